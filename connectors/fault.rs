//! What went wrong, as a decision: the variant says what to do next, and that is said nowhere else.

use std::time::Duration;

use thiserror::Error;

/// Why a call did not bring what it was made for.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Fault {
    /// Certainly not done, and worth another try: too many requests, 503, connection refused, or our own quota.
    #[error("later: {why}")]
    Later {
        /// When the vendor (or our quota) says to come back. `None`: the engine's backoff decides.
        after: Option<Duration>,
        why: String,
    },
    /// Sent, outcome not known: a timeout, a cut connection, a 500. A read may be repeated; before a write is
    /// repeated, look for what it may have done.
    #[error("outcome unknown: {why}")]
    Unknown { why: String },
    /// This record will never pass as it is: a dead letter.
    #[error("rejected{}: {why}", field.as_ref().map(|f| format!(" (field {f})")).unwrap_or_default())]
    Rejected { why: String, field: Option<String> },
    /// Nothing will pass until a person mends the connection: credentials, scope, plan, a team or table that is gone.
    #[error("locked: {why}")]
    Locked { why: String },
}

impl Fault {
    /// Come back, at no moment that anybody named: the engine's backoff decides.
    pub fn later(why: impl Into<String>) -> Self {
        Self::Later { after: None, why: why.into() }
    }
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }
    /// Of the record as a whole; where one field is to blame, name it in the variant.
    pub fn rejected(why: impl Into<String>) -> Self {
        Self::Rejected { why: why.into(), field: None }
    }
    pub fn locked(why: impl Into<String>) -> Self {
        Self::Locked { why: why.into() }
    }
}

/// Why a webhook request was not let in. The status is what the sender gets.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// 401: no signature, or a wrong one.
    #[error("forged: {0}")]
    Forged(&'static str),
    /// 401: signed too long ago, so it may be a replay.
    #[error("stale: signed {age_seconds} s ago")]
    Stale { age_seconds: i64 },
    /// 400: signed, but not what the vendor documents.
    #[error("malformed: {0}")]
    Malformed(String),
    /// 422: one field of it cannot be taken. For interfaces of ours, whose senders read what we answer.
    #[error("{field}: {why}")]
    Invalid { field: String, why: String, mend: String },
    /// 415: not JSON.
    #[error("unsupported content type")]
    ContentType,
    /// 503: no secret is known yet (a webhook that is still being registered), so nothing can be verified.
    #[error("not ready: {0}")]
    NotReady(&'static str),
}

impl Refusal {
    /// The HTTP status that answers it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Forged(_) | Self::Stale { .. } => 401,
            Self::Malformed(_) => 400,
            Self::Invalid { .. } => 422,
            Self::ContentType => 415,
            Self::NotReady(_) => 503,
        }
    }

    /// For a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Forged(_) => "forged",
            Self::Stale { .. } => "stale",
            Self::Malformed(_) => "malformed",
            Self::Invalid { .. } => "invalid",
            Self::ContentType => "content_type",
            Self::NotReady(_) => "not_ready",
        }
    }
}

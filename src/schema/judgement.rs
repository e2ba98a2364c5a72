//! What is judged of feedback beyond its tags: where it was said in a longer conversation, what job is to be done, how much
//! is at risk, and what there is to ask a model for.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Something that a model, or loopd's own small ones, may be asked for. In configuration and in `prompts/`: its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Items out of a call or a long thread.
    Extract,
    /// Category, severity, product, model, and whether a known theme fits.
    Classify,
    /// Whether two items are one: one fix or one feature would close both.
    Duplicate,
    /// Which theme an item belongs to, and what a theme is called.
    Theme,
    /// The job to be done behind a request.
    Jtbd,
    /// Signs of churn, competitors, escalation, renewal.
    Risk,
    /// The week's Voice of Customer.
    Digest,
}

impl Task {
    pub const ALL: [Self; 7] =
        [Self::Extract, Self::Classify, Self::Duplicate, Self::Theme, Self::Jtbd, Self::Risk, Self::Digest];

    pub fn name(self) -> &'static str {
        match self {
            Self::Extract => "extract",
            Self::Classify => "classify",
            Self::Duplicate => "duplicate",
            Self::Theme => "theme",
            Self::Jtbd => "jtbd",
            Self::Risk => "risk",
            Self::Digest => "digest",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.name() == name)
    }
}

/// A span of what somebody said, byte for byte as they said it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quote {
    pub text: String,
    /// The turn of the conversation (`thread[].id`) that it stands in; none: the verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// Bytes into the turn's text, or the verbatim.
    pub start: usize,
    pub end: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Leads to that moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What somebody asks for, and what they want it for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Job {
    /// What was literally asked for.
    pub request: String,
    /// "When (the situation), I want to (the motivation), so I can (the outcome)."
    pub job: String,
    /// What to ask the customer before building.
    pub questions: Vec<String>,
    /// Other ways to get the job done.
    pub alternatives: Vec<String>,
    /// Which model, or prompt and version.
    pub model: String,
}

/// How much is at stake, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Risk {
    /// 0 to 1, before revenue is weighed in.
    pub score: f64,
    pub reasons: Vec<RiskReason>,
    /// Which model, or prompt and version.
    pub model: String,
}

/// One sign of risk, with the words that show it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RiskReason {
    /// `churn`, `competitor`, `escalation`, `renewal`.
    pub kind: String,
    pub weight: f64,
    pub quote: Quote,
    /// Which competitor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

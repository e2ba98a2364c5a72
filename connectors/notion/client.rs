//! The calls, and what an answer means: one `match` from status to decision.
//!
//! 180 calls a minute and connection, and a limit that the workspace's connections share (Notion "request limits", read
//! 2026-11-23). Notion has no idempotency key: a write that was answered with a 5xx may have been saved, 503 included, so its
//! outcome is unknown. 409 and 529 say "not now". What Notion's edge answers by itself is HTML.

use std::time::Duration;

use serde_json::Value;

use super::types::uuid;
use crate::Fault;
use crate::http::{Answer, Call, Http};
use crate::quota::Quota;

/// How long to stay away where a 429 does not say: its window.
const WINDOW: Duration = Duration::from_secs(60);
/// Rows in a page of a query: the most that Notion gives.
pub(super) const PAGE: usize = 100;

pub(super) struct Client {
    http: Http,
}

/// An answer that is no success, with what the callers need to decide differently.
#[derive(Debug)]
pub(super) struct Failure {
    /// 0: no answer came.
    pub(super) status: u16,
    /// Notion's code, `validation_error`; empty where it gave none.
    pub(super) code: String,
    pub(super) message: String,
    /// The page that a write made although it failed.
    pub(super) committed: Option<String>,
    /// Notion's edge answered, and not Notion.
    pub(super) edge: bool,
    pub(super) fault: Fault,
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        failure.fault
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { status: 0, code: String::new(), message: String::new(), committed: None, edge: false, fault }
    }
}

impl Failure {
    /// What was asked for is not there, or not shared with us: Notion tells no difference.
    pub(super) fn is_absence(&self) -> bool {
        self.status == 404 && (self.code.is_empty() || self.code == "object_not_found")
    }

    /// The endpoint is not known there.
    pub(super) fn is_unknown_endpoint(&self) -> bool {
        matches!(self.status, 405 | 501)
            || self.code == "invalid_request_url"
            || (self.status == 404 && self.code.is_empty())
    }

    /// The place in a list is forgotten.
    pub(super) fn is_lost_place(&self) -> bool {
        self.status == 400 && self.message.contains("start_cursor")
    }

    pub(super) fn is_trashed(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        self.status == 400
            && (message.contains("archived") || message.contains("in trash") || message.contains("in_trash"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Read,
    Write,
}

impl Client {
    pub(super) fn new(http: Http) -> Self {
        Self { http }
    }

    pub(super) fn quota(&self) -> &Quota {
        self.http.quota()
    }

    pub(super) async fn get(&self, path: impl Into<String>) -> Result<Value, Failure> {
        self.send(Call::get(path), Verb::Read).await
    }

    /// One call, once.
    pub(super) async fn send(&self, call: Call, verb: Verb) -> Result<Value, Failure> {
        let answer = self.http.call(call.reads(verb == Verb::Read)).await?;
        if answer.status.is_success() {
            return Ok(answer.json::<Value>()?);
        }
        Err(self.refused(&answer, verb))
    }

    fn refused(&self, answer: &Answer, verb: Verb) -> Failure {
        let status = answer.status.as_u16();
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok().filter(Value::is_object);
        let said = |key: &str| body.as_ref().and_then(|body| crate::json::text(body, key)).map(|text| clip(&text));
        let (code, message) = (said("code").unwrap_or_default(), said("message").unwrap_or_default());
        let more = body.as_ref().and_then(|body| body.get("additional_data")).unwrap_or(&Value::Null);
        let edge = body.is_none() && answer.header("x-notion-request-id").is_none();
        let request = said("request_id").or_else(|| answer.header("x-notion-request-id").map(clip));
        let ray = answer.header("cf-ray").filter(|_| edge).map(|ray| format!(", Cloudflare ray {}", clip(ray)));
        let request = request.map(|id| format!(", request {id}")).or(ray).unwrap_or_default();
        let why = match (code.as_str(), message.as_str()) {
            ("", "") => format!("HTTP {status}{request}"),
            (code, "") => format!("HTTP {status} {code}{request}"),
            (code, message) => format!("HTTP {status} {code}: {message}{request}"),
        };
        let reason = crate::json::text(more, "rate_limit_reason").unwrap_or_default();
        let wait =
            answer.retry_after().or_else(|| more.get("retry_after").and_then(Value::as_u64).map(Duration::from_secs));
        let fault = match status {
            429 if reason == "public_api_request_blocked" => {
                Fault::locked(format!("Notion blocks this connection ({why})"))
            }
            429 | 529 => {
                if status == 429 {
                    self.http.quota().note_throttled();
                }
                let wait = wait.unwrap_or(if status == 429 { WINDOW } else { Duration::from_secs(10) });
                self.http.quota().close_for(wait);
                Fault::Later { after: Some(wait), why }
            }
            // "Conflict occurred while saving": not saved.
            409 => Fault::Later { after: wait, why },
            401 => Fault::locked(format!("the token is not accepted ({why})")),
            403 if edge && verb == Verb::Write => Fault::unknown(format!("refused before it reached Notion ({why})")),
            403 if edge => Fault::later(format!("refused before it reached Notion ({why})")),
            403 => Fault::locked(format!("the connection lacks a capability, or the plan has no room ({why})")),
            500..=599 | 408 if verb == Verb::Write => Fault::unknown(why),
            500..=599 | 408 => Fault::Later { after: wait, why },
            300..=399 => Fault::locked(format!("base_url answers with a redirect ({why})")),
            _ if code == "missing_version" || code == "invalid_grant" => Fault::locked(why),
            _ => Fault::rejected(why),
        };
        let committed = crate::json::text(more, "committed_resource_id").as_deref().and_then(uuid);
        Failure { status, code, message, committed, edge, fault }
    }
}

fn clip(text: &str) -> String {
    text.chars().take(300).collect()
}

//! The call, and what an answer of PostHog's means: one `match`.
//!
//! Facts (PostHog docs "API overview", read 2026-11-23): errors are `{type, code, detail, attr}`; limits are the team's, not the
//! key's; results are cached unless `force_blocking` is asked for.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::settings::Settings;
use crate::http::{Answer, Auth, Call, Http};
use crate::json::text;
use crate::quota::Quota;
use crate::{Clock, Fault, Outside};

/// Ten seconds of running, thirty in the queue, and the way.
const TIMEOUT: Duration = Duration::from_secs(60);
/// After a limit that names no time.
const A_MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct Client {
    http: Http,
    clock: Arc<dyn Clock>,
    path: String,
}

/// What comes of a query.
pub(crate) enum Told {
    Rows(Vec<Value>),
    /// PostHog has ended it, or will not begin it: it takes too long or too much. (504; 512 and 513 in its source, unconfirmed.)
    TooLong(String),
}

impl Client {
    pub(crate) fn new(settings: &Settings, token: SecretString, outside: &Outside) -> Self {
        let quota = Arc::new(Quota::new(settings.limit(), outside.clock.clone()));
        let http = Http::new(&settings.base_url, Auth::Bearer(token), quota, outside.transport.clone());
        let path = format!("/api/projects/{}/query/", settings.project);
        Self { http: http.with_timeout(TIMEOUT), clock: outside.clock.clone(), path }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn quota(&self) -> &Quota {
        self.http.quota()
    }

    /// The rows of a query, each an array in the order of its columns.
    pub(crate) async fn query(&self, query: &str) -> Result<Told, Fault> {
        let body = json!({
            "query": {"kind": "HogQLQuery", "query": query},
            "name": "loopd usage",
            "refresh": "force_blocking",
        });
        let answer = self.http.call(Call::post(&self.path, body).reads(true)).await?;
        let status = answer.status.as_u16();
        if !answer.status.is_success() {
            let fault = judge(status, &answer);
            if let (504 | 512 | 513, Fault::Later { after: None, why }) = (status, &fault) {
                return Ok(Told::TooLong(why.clone()));
            }
            if let Fault::Later { after: Some(wait), .. } = &fault {
                self.quota().note_throttled();
                self.quota().close_for(*wait);
            }
            return Err(fault);
        }
        let mut told: Value = answer.json()?;
        match told["results"].take() {
            Value::Array(rows) => Ok(Told::Rows(rows)),
            // It runs on by itself, and we did not ask for that.
            _ if told["query_status"].is_object() => {
                let why = text(&told["query_status"], "error_message");
                Err(Fault::later(why.unwrap_or_else(|| "the query is not done yet".into())))
            }
            _ => Err(Fault::unknown("PostHog answered a query without results")),
        }
    }
}

fn judge(status: u16, answer: &Answer) -> Fault {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let detail: Option<String> = text(&body, "detail").map(|detail| detail.chars().take(300).collect());
    let code = text(&body, "code").unwrap_or_default();
    let why = match (detail, code.is_empty()) {
        (Some(detail), false) => format!("{detail} ({code})"),
        (Some(detail), true) => detail,
        (None, _) => format!("HTTP {status} {code}").trim_end().to_owned(),
    };
    match status {
        401 => Fault::locked(format!("PostHog refuses the key: {why}")),
        402 | 403 => Fault::locked(format!("PostHog forbids it; does the key have the scope Query Read? {why}")),
        404 => Fault::locked(format!("project, or base_url: {why}")),
        429 => Fault::Later { after: Some(answer.retry_after().unwrap_or(A_MINUTE)), why },
        400 | 405..=422 => Fault::Rejected { why, field: Some("query".into()) },
        // A read: it may be asked for again.
        _ => Fault::Later { after: answer.retry_after(), why },
    }
}

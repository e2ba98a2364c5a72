//! The calls, and what an answer of Granola's means: one `match`.
//!
//! Facts (Granola docs and implementers' notes, read 2026-11-23): the statuses are documented, the error bodies are not; seen
//! are `{code}` and `{error: {code}}`, both read and neither relied on. `Retry-After` is not promised. An oversized transcript
//! makes the whole note a 413.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::settings::Settings;
use crate::Outside;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::http::{Answer, Auth, Call, Http};
use crate::quota::Quota;

/// After a 429 that does not say: a whole window.
const BREATHER: Duration = Duration::from_secs(5);

pub(crate) struct Client {
    http: Http,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
pub(crate) enum Told {
    Here(Answer),
    /// 404: unknown, not shared with this key, or not summarised yet. Nobody can tell which.
    Missing,
    /// 413: the transcript does not fit into the note.
    TooLarge,
}

impl Client {
    pub(crate) fn new(settings: &Settings, token: SecretString, outside: &Outside) -> Self {
        let quota = Arc::new(Quota::new(settings.limit(), outside.clock.clone()));
        let http = Http::new(&settings.base_url, Auth::Bearer(token), quota, outside.transport.clone());
        Self { http, clock: outside.clock.clone() }
    }

    pub(crate) fn quota(&self) -> &Quota {
        self.http.quota()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) async fn read(&self, call: Call) -> Result<Told, Fault> {
        self.answered(call, false).await?.1
    }

    /// The status too, for those who can do without; [`Fault`] is then only what kept an answer from coming.
    pub(crate) async fn answered(&self, call: Call, write: bool) -> Result<(u16, Result<Told, Fault>), Fault> {
        let answer = self.http.call(call).await?;
        let status = answer.status.as_u16();
        if status == 429 {
            self.quota().note_throttled();
            self.quota().close_for(breather(&answer));
        }
        Ok((status, judge(answer, write)))
    }
}

fn breather(answer: &Answer) -> Duration {
    answer.retry_after().unwrap_or(BREATHER).max(Duration::from_secs(1))
}

pub(crate) fn judge(answer: Answer, write: bool) -> Result<Told, Fault> {
    let status = answer.status.as_u16();
    let said = message(&answer);
    match status {
        200..=299 => Ok(Told::Here(answer)),
        404 | 410 => Ok(Told::Missing),
        413 => Ok(Told::TooLarge),
        401 => Err(Fault::locked(format!("Granola refuses the key: {said}"))),
        402 | 403 => {
            Err(Fault::locked(format!("Granola forbids it (a scope that the workspace's admin switched off?): {said}")))
        }
        429 => Err(Fault::Later { after: Some(breather(&answer)), why: "Granola's rate limit".into() }),
        408 | 500..=599 if write => Err(Fault::unknown(format!("HTTP {status} to a write"))),
        408 | 500..=599 => Err(Fault::Later { after: answer.retry_after(), why: format!("HTTP {status}: {said}") }),
        300..=399 => Err(Fault::locked(format!("base_url: Granola answers with a redirection (HTTP {status})"))),
        400..=499 => Err(Fault::rejected(format!("HTTP {status}: {said}"))),
        _ => Err(Fault::unknown(format!("HTTP {status} is not an answer that Granola documents"))),
    }
}

/// What Granola said, cut to 300 characters; nothing of a body that is not an error object.
fn message(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let part = |name: &str| {
        [&body[name], &body["error"][name]].into_iter().find_map(Value::as_str).filter(|text| !text.is_empty())
    };
    let text = match (part("code"), part("message")) {
        (Some(code), Some(said)) => format!("{said} ({code})"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => format!("HTTP {}", answer.status),
    };
    text.chars().take(300).collect()
}

//! The calls, and what an answer of Typeform's means: one `match`.
//!
//! Facts (Typeform's API client 2.8.0 and its developer pages, read 2026-11-23): errors are `{code, description, details}`,
//! some with `message` instead; 429 may carry `Retry-After`. Whatever is called here can be called twice: reads, and the
//! PUT of a webhook, which its tag names. So a 5xx is always [`Fault::Later`].

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

/// After a 429 that does not say.
const BREATHER: Duration = Duration::from_secs(5);

pub(crate) struct Client {
    http: Http,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
pub(crate) enum Told {
    Here(Answer),
    /// 404 or 410: not there, or not for this token to see.
    Missing,
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

    pub(crate) async fn call(&self, call: Call) -> Result<Told, Fault> {
        let answer = self.http.call(call).await?;
        if answer.status.as_u16() == 429 {
            self.quota().note_throttled();
            self.quota().close_for(breather(&answer));
        }
        judge(answer)
    }
}

fn breather(answer: &Answer) -> Duration {
    answer.retry_after().unwrap_or(BREATHER).max(Duration::from_secs(1))
}

pub(crate) fn judge(answer: Answer) -> Result<Told, Fault> {
    let status = answer.status.as_u16();
    let said = message(&answer);
    match status {
        200..=299 => Ok(Told::Here(answer)),
        404 | 410 => Ok(Told::Missing),
        401 => Err(Fault::locked(format!("Typeform refuses the token: {said}"))),
        402 | 403 => Err(Fault::locked(format!("Typeform forbids it (a scope of the token, or the plan): {said}"))),
        429 => Err(Fault::Later { after: Some(breather(&answer)), why: "Typeform's rate limit".into() }),
        408 | 423 | 500..=599 => {
            Err(Fault::Later { after: answer.retry_after(), why: format!("HTTP {status}: {said}") })
        }
        300..=399 => Err(Fault::locked(format!("base_url: Typeform answers with a redirection (HTTP {status})"))),
        400..=499 => Err(Fault::rejected(format!("HTTP {status}: {said}"))),
        _ => Err(Fault::unknown(format!("HTTP {status} is not an answer that Typeform documents"))),
    }
}

/// What Typeform said, cut to 300 characters; nothing of a body that is not its error object.
fn message(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let part = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
    let text = match (part("code"), part("description").or_else(|| part("message"))) {
        (Some(code), Some(said)) => format!("{said} ({code})"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => format!("HTTP {}", answer.status),
    };
    text.chars().take(300).collect()
}

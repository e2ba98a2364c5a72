//! The calls, and what an answer of Intercom's means: one `match`.
//!
//! Facts (Intercom OpenAPI 2.16 and "Rate limiting", read 2026-11-23): errors are `{type: "error.list", errors: [{code,
//! message, field}]}`; 429 carries `X-RateLimit-Reset` in unix seconds; a 401 is as often a missing permission as a dead
//! token; empty and non-JSON answers are transient. Nothing has an idempotency key, so no write is repeated here.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::Value;

use super::settings::Settings;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::http::{Answer, Auth, Call, Http};
use crate::quota::Quota;
use crate::{Outside, SettingsError};

pub(crate) struct Client {
    http: Http,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
pub(crate) enum Told {
    Here(Answer),
    /// 404, or 410 with the place of what it was merged into.
    Missing(Option<String>),
}

#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) told: Result<Told, Fault>,
    pub(crate) throttled: bool,
    pub(crate) close_for: Option<Duration>,
}

impl Client {
    pub(crate) fn new(settings: &Settings, token: SecretString, outside: &Outside) -> Result<Self, SettingsError> {
        let quota = Arc::new(Quota::new(settings.limit(), outside.clock.clone()));
        let version = HeaderValue::from_str(&settings.version)
            .map_err(|_| SettingsError::key("version", "must be an API version such as 2.14"))?;
        let http = Http::new(&settings.base_url, Auth::Bearer(token), quota, outside.transport.clone())
            .with_header(HeaderName::from_static("intercom-version"), version);
        Ok(Self { http, clock: outside.clock.clone() })
    }

    pub(crate) fn quota(&self) -> &Quota {
        self.http.quota()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(crate) async fn read(&self, call: Call) -> Result<Told, Fault> {
        self.call(call, false).await
    }

    pub(crate) async fn write(&self, call: Call) -> Result<Told, Fault> {
        self.call(call, true).await
    }

    async fn call(&self, call: Call, write: bool) -> Result<Told, Fault> {
        self.answered(call, write).await?.1
    }

    /// The same with the status, for those who can do without; [`Fault`] is then only what kept an answer from coming.
    pub(crate) async fn answered(&self, call: Call, write: bool) -> Result<(u16, Result<Told, Fault>), Fault> {
        let answer = self.http.call(call.reads(!write)).await?;
        let status = answer.status.as_u16();
        let verdict = judge(answer, write, self.clock.now());
        if verdict.throttled {
            self.quota().note_throttled();
        }
        if let Some(wait) = verdict.close_for {
            self.quota().close_for(wait);
        }
        Ok((status, verdict.told))
    }
}

pub(crate) fn judge(answer: Answer, write: bool, now: DateTime<Utc>) -> Verdict {
    let now = server_time(&answer).unwrap_or(now);
    let status = answer.status.as_u16();
    let spent = (answer.number("x-ratelimit-remaining") == Some(0)).then(|| until_reset(&answer, now)).flatten();
    let told = match status {
        200..=299 => Ok(Told::Here(answer)),
        404 | 410 => Ok(Told::Missing(answer.header("link").and_then(canonical))),
        429 => {
            let wait = answer.retry_after().or_else(|| until_reset(&answer, now)).unwrap_or(Duration::from_secs(10));
            let wait = wait.max(Duration::from_secs(1));
            let told = Err(Fault::Later { after: Some(wait), why: "Intercom's rate limit".into() });
            return Verdict { told, throttled: true, close_for: Some(wait) };
        }
        401 => {
            Err(Fault::locked(format!("Intercom refuses the token, or it lacks a permission: {}", message(&answer))))
        }
        402 | 403 => Err(Fault::locked(format!("Intercom forbids it: {}", message(&answer)))),
        400 if code(&answer).as_deref() == Some("intercom_version_invalid") => {
            Err(Fault::locked(format!("version: {}", message(&answer))))
        }
        408 | 500..=599 if write => Err(Fault::unknown(format!("HTTP {status} to a write"))),
        408 | 500..=599 => {
            Err(Fault::Later { after: answer.retry_after(), why: format!("HTTP {status}: {}", message(&answer)) })
        }
        400..=499 => {
            Err(Fault::Rejected { why: format!("HTTP {status}: {}", message(&answer)), field: error(&answer, "field") })
        }
        _ => Err(Fault::unknown(format!("HTTP {status} is not an answer that Intercom documents"))),
    };
    Verdict { told, throttled: false, close_for: spent }
}

/// Intercom's own time, where it sends it.
pub(crate) fn server_time(answer: &Answer) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(answer.header("date")?).ok().map(|at| at.to_utc())
}

/// Until `X-RateLimit-Reset`; slices last ten seconds, so never beyond two minutes.
fn until_reset(answer: &Answer, now: DateTime<Utc>) -> Option<Duration> {
    let left = answer.number("x-ratelimit-reset")?.saturating_sub(now.timestamp());
    u64::try_from(left.clamp(1, 120)).ok().map(Duration::from_secs)
}

/// The id in `Link: </contacts/{id}>; rel="canonical"` of a merged contact.
fn canonical(link: &str) -> Option<String> {
    let (_, from) = link.split_once('<')?;
    let (url, rest) = from.split_once('>')?;
    let id = url.rsplit('/').next()?;
    (rest.contains("canonical") && super::types::is_id(id)).then(|| id.to_owned())
}

/// What Intercom said, cut to 300 characters; nothing of a body that is not its error object.
pub(crate) fn message(answer: &Answer) -> String {
    let (code, said) = (code(answer), error(answer, "message"));
    let text = match (code, said) {
        (Some(code), Some(said)) => format!("{said} ({code})"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => format!("HTTP {}", answer.status),
    };
    text.chars().take(300).collect()
}

fn code(answer: &Answer) -> Option<String> {
    error(answer, "code")
}

fn error(answer: &Answer, part: &str) -> Option<String> {
    let said: Value = serde_json::from_slice(&answer.body).ok()?;
    said["errors"].as_array()?.first()?[part].as_str().map(str::to_owned)
}

//! The calls, and what an answer means: one `match` from status and code to a decision.
//!
//! Salesforce throttles with 403 `REQUEST_LIMIT_EXCEEDED` and says nothing of when to come back: the limit is of a rolling
//! day. Each answer tells how much of it is used (`Sforce-Limit-Info: api-usage=123/100000`). Errors are an array of
//! `{message, errorCode, fields}`. ("Status codes and error responses", "API request limits", read 2026-11-23.)

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::types::text;
use crate::Fault;
use crate::http::{Answer, Call, Http};
use crate::oauth::Session;
use crate::quota::Quota;

/// After the day's calls are used up, or nearly: nothing changes sooner.
const DAY_WAIT: Duration = Duration::from_secs(900);
/// After too many long calls at once.
const CROWD_WAIT: Duration = Duration::from_secs(20);

pub(super) struct Client {
    http: Http,
    session: Option<Arc<Session>>,
    version: String,
    /// Calls to be left to others, in percent.
    leave: u8,
    used: AtomicU64,
    allowed: AtomicU64,
    /// The API's host, as the last sign-in named it.
    home: Mutex<Option<String>>,
}

/// An answer that is no success, with what the callers need to decide differently.
#[derive(Debug)]
pub(super) struct Failure {
    /// 0: no answer came.
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) fault: Fault,
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        failure.fault
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { status: 0, code: String::new(), message: String::new(), fault }
    }
}

impl Failure {
    /// There is no such object, or none for this user.
    pub(super) fn is_absence(&self) -> bool {
        self.status == 404 || self.code == "INVALID_TYPE"
    }

    /// The column that there is none of, or none for this user.
    pub(super) fn unknown_column(&self) -> Option<&str> {
        if self.code != "INVALID_FIELD" {
            return None;
        }
        let (_, rest) = self.message.split_once("No such column '")?;
        Some(rest.split_once('\'')?.0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Read,
    Write,
}

impl Client {
    pub(super) fn new(http: Http, session: Option<Arc<Session>>, version: &str, leave: u8) -> Self {
        Self {
            http,
            session,
            version: version.to_owned(),
            leave,
            used: AtomicU64::new(0),
            allowed: AtomicU64::new(0),
            home: Mutex::default(),
        }
    }

    pub(super) fn quota(&self) -> &Quota {
        self.http.quota()
    }

    pub(super) fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    /// Where a person looks at a record.
    pub(super) fn page_of(&self, id: &str) -> String {
        let home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{}/{id}", home.as_deref().unwrap_or_else(|| self.http.base()))
    }

    /// `/services/data/v67.0` and what is below it.
    pub(super) fn path(&self, below: &str) -> String {
        format!("/services/data/v{}/{below}", self.version)
    }

    /// How much of the day's calls are used, where Salesforce has said so.
    pub(super) fn usage(&self) -> Option<(u64, u64)> {
        let allowed = self.allowed.load(Ordering::Relaxed);
        (allowed > 0).then(|| (self.used.load(Ordering::Relaxed), allowed))
    }

    /// No more than what is to be left to others.
    pub(super) fn is_nearly_used_up(&self) -> bool {
        self.usage().is_some_and(|(used, allowed)| {
            used.saturating_mul(100) >= allowed.saturating_mul(100 - u64::from(self.leave))
        })
    }

    /// That the day's calls are used up as far as they are ours, for people.
    pub(super) fn spent(&self) -> Option<String> {
        let (used, allowed) = self.usage().filter(|_| self.is_nearly_used_up())?;
        Some(format!(
            "{used} of {allowed} API calls of the last 24 hours are used: loopd waits, so that others can call (`leave_percent`)"
        ))
    }

    /// The way to the API, at the host that the sign-in named: it may change when an org moves.
    async fn way(&self) -> Result<Http, Fault> {
        let Some(session) = &self.session else { return Ok(self.http.clone()) };
        let grant = session.grant().await?;
        let there = grant.text("instance_url").filter(|url| url.starts_with("https://") || url.starts_with("http://"));
        let there = there.unwrap_or_else(|| self.http.base()).trim_end_matches('/').to_owned();
        let way = self.http.clone().with_base(&there);
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = Some(there);
        Ok(way)
    }

    /// One call, and the body of its answer; `null` for an empty one.
    pub(super) async fn send(&self, call: Call, verb: Verb) -> Result<Value, Failure> {
        let answer = self.answer(call, verb).await?;
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        Ok(answer.json()?)
    }

    async fn answer(&self, call: Call, verb: Verb) -> Result<Answer, Failure> {
        let call = call.reads(verb == Verb::Read);
        let answer = self.way().await?.call(call).await.map_err(|fault| self.explained(fault))?;
        self.watch(&answer);
        if answer.status.is_success() { Ok(answer) } else { Err(self.refused(&answer, verb)) }
    }

    /// Why our own quota holds a call back, where that is the day's limit.
    fn explained(&self, fault: Fault) -> Fault {
        match (fault, self.spent()) {
            (Fault::Later { after: Some(after), .. }, Some(why)) if self.quota().wait().is_some() => {
                Fault::Later { after: Some(after), why }
            }
            (fault, _) => fault,
        }
    }

    /// The first page of a query's rows. Deleted rows come too.
    pub(super) async fn query(&self, soql: &str) -> Result<Rows, Failure> {
        self.rows(Call::get(self.path("queryAll")).query("q", soql)).await
    }

    /// All pages of a query that answers with few rows: wide ones come in several pages all the same.
    pub(super) async fn query_whole(&self, soql: &str) -> Result<Vec<Value>, Failure> {
        let mut page = self.query(soql).await?;
        let mut rows = page.rows;
        while let Some(next) = page.next.take() {
            // A path; a whole address would be held against our own host before it is followed.
            page = self.rows(Call::get(next)).await?;
            rows.append(&mut page.rows);
        }
        Ok(rows)
    }

    async fn rows(&self, call: Call) -> Result<Rows, Failure> {
        let answer = self.answer(call, Verb::Read).await?;
        let body: Value = answer.json()?;
        let at = answer.header("date").and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(|at| at.to_utc());
        Ok(Rows { at, ..rows_of(&body)? })
    }

    fn watch(&self, answer: &Answer) {
        let Some((used, allowed)) = answer.header("sforce-limit-info").and_then(usage) else { return };
        self.used.store(used, Ordering::Relaxed);
        self.allowed.store(allowed, Ordering::Relaxed);
        if self.is_nearly_used_up() {
            self.quota().close_for(DAY_WAIT);
        }
    }

    fn refused(&self, answer: &Answer, verb: Verb) -> Failure {
        let (code, message) = error_of(answer);
        let status = answer.status.as_u16();
        let why = match (code.as_str(), message.as_str()) {
            ("", "") => format!("HTTP {status}"),
            (code, "") => format!("HTTP {status} {code}"),
            ("", message) => format!("HTTP {status}: {message}"),
            (code, message) => format!("HTTP {status} {code}: {message}"),
        };
        let fault = match (status, code.as_str()) {
            (_, "REQUEST_LIMIT_EXCEEDED") => {
                self.quota().note_throttled();
                let wait = if message.contains("Concurrent") { CROWD_WAIT } else { DAY_WAIT };
                self.quota().close_for(wait);
                Fault::Later { after: Some(wait), why }
            }
            (429 | 420, _) => {
                self.quota().note_throttled();
                let wait = answer.retry_after().unwrap_or(CROWD_WAIT);
                self.quota().close_for(wait);
                Fault::Later { after: Some(wait), why }
            }
            (_, "UNABLE_TO_LOCK_ROW" | "SERVER_UNAVAILABLE" | "QUERY_TIMEOUT") => {
                Fault::Later { after: answer.retry_after(), why }
            }
            (401, _) => Fault::locked(format!("the session is not accepted ({why})")),
            (402 | 403, _) => Fault::locked(format!("no access ({why})")),
            (410, _) => Fault::locked(format!("api_version {} is retired there ({why})", self.version)),
            (500..=599 | 408, _) if verb == Verb::Write => Fault::unknown(why),
            (500..=599 | 408, _) => Fault::Later { after: answer.retry_after(), why },
            (300..=399, _) => Fault::locked(format!("base_url answers with a redirect ({why})")),
            (_, "INVALID_TYPE" | "INVALID_VERSION") => Fault::locked(why),
            _ => Fault::rejected(why),
        };
        Failure { status, code, message, fault }
    }
}

/// A page of a query.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Value>,
    /// Where the rest is.
    pub(super) next: Option<String>,
    /// When it was answered, by Salesforce's clock.
    pub(super) at: Option<DateTime<Utc>>,
}

fn rows_of(answer: &Value) -> Result<Rows, Failure> {
    let Some(rows) = answer.get("records").and_then(Value::as_array) else {
        return Err(Fault::unknown("the answer to a query holds no records").into());
    };
    let done = answer.get("done").and_then(Value::as_bool) != Some(false);
    Ok(Rows { rows: rows.clone(), next: text(answer, "nextRecordsUrl").filter(|_| !done), at: None })
}

/// `api-usage=25/5000; per-app-api-usage=17/250(appName=…)`
fn usage(header: &str) -> Option<(u64, u64)> {
    let part = header.split([';', ',']).find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, allowed) = part.split_once('/')?;
    let allowed: String = allowed.trim().chars().take_while(char::is_ascii_digit).collect();
    Some((used.trim().parse().ok()?, allowed.parse().ok().filter(|allowed| *allowed > 0)?))
}

/// Code and message of the first error; a sign-in's endpoints word theirs differently, and a page of a gateway says nothing.
fn error_of(answer: &Answer) -> (String, String) {
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return Default::default() };
    let error = body.get(0).unwrap_or(&body);
    let part = |keys: [&str; 2]| keys.iter().find_map(|key| text(error, key)).unwrap_or_default();
    (clip(&part(["errorCode", "error"])), clip(&part(["message", "error_description"])))
}

pub(super) fn clip(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::usage;

    #[test]
    fn usage_is_read_from_its_header() {
        assert_eq!(usage("api-usage=18/5000"), Some((18, 5000)));
        assert_eq!(usage("api-usage=25/5000; per-app-api-usage=17/250(appName=sample)"), Some((25, 5000)));
        assert_eq!(usage("api-usage=0/0"), None);
        assert_eq!(usage("per-app-api-usage=17/250(appName=sample)"), None);
    }
}

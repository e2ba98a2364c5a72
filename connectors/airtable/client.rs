//! The calls, and what an answer means: one `match` from status to decision.
//!
//! 5 calls a second and base, for all tokens together; one more, and every call is refused for 30 s (Airtable "rate
//! limits", read 2026-11-23). So the quota is spaced evenly, and a 429 closes it for all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::binding::Table;
use super::types::Rows;
use crate::Fault;
use crate::http::{Answer, Call, Http, encode};
use crate::quota::Quota;

/// How long everything is refused after one call too many.
const PENALTY: Duration = Duration::from_secs(30);
/// Records in a page, and ids that one formula asks for.
pub(super) const PAGE: usize = 100;

pub(super) struct Client {
    http: Http,
    base: String,
    /// `POST …/listRecords` is not there (an older proxy, a partial server): list by GET.
    plain_lists: AtomicBool,
}

/// An answer that is no success, with what the callers need to decide differently.
#[derive(Debug)]
pub(super) struct Failure {
    /// 0: no answer came.
    pub(super) status: u16,
    /// Airtable's error type, `INVALID_VALUE_FOR_COLUMN`; empty where it gave none.
    pub(super) kind: String,
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
        Self { status: 0, kind: String::new(), message: String::new(), fault }
    }
}

impl Failure {
    /// The record asked for is not there, as far as the status tells.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self.status, 404 | 410)
            || (self.status == 403 && self.kind.contains("MODEL_NOT_FOUND"))
            || self.kind == "ROW_DOES_NOT_EXIST"
    }

    pub(super) fn is_bad_formula(&self) -> bool {
        self.status == 422 && self.kind != "LIST_RECORDS_ITERATOR_NOT_AVAILABLE"
    }

    pub(super) fn is_lost_place(&self) -> bool {
        self.kind == "LIST_RECORDS_ITERATOR_NOT_AVAILABLE"
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Read,
    Write,
}

/// What to list.
#[derive(Default)]
pub(super) struct List {
    pub(super) formula: Option<String>,
    pub(super) offset: Option<String>,
    /// Only these fields, by their name on the wire.
    pub(super) fields: Vec<String>,
}

impl Client {
    pub(super) fn new(http: Http, base: String) -> Self {
        Self { http, base, plain_lists: AtomicBool::new(false) }
    }

    pub(super) fn quota(&self) -> &Quota {
        self.http.quota()
    }

    /// One call, once.
    pub(super) async fn send(&self, call: Call, verb: Verb) -> Result<Value, Failure> {
        let answer = self.http.call(call.reads(verb == Verb::Read)).await?;
        if answer.status.is_success() {
            if answer.body.iter().all(u8::is_ascii_whitespace) {
                return Ok(Value::Null);
            }
            return Ok(answer.json::<Value>()?);
        }
        Err(self.refused(&answer, verb))
    }

    fn refused(&self, answer: &Answer, verb: Verb) -> Failure {
        let (kind, message) = error_of(&answer.body);
        let status = answer.status.as_u16();
        let why = match (kind.as_str(), message.as_str()) {
            ("", "") => format!("HTTP {status}"),
            (kind, "") => format!("HTTP {status} {kind}"),
            (kind, message) => format!("HTTP {status} {kind}: {message}"),
        };
        if status == 429 {
            self.http.quota().note_throttled();
        }
        let billing = kind.contains("BILLING") || kind.contains("PLAN_LIMIT");
        let fault = match status {
            429 if billing => Fault::locked(format!("the plan's API calls of this month are used up ({why})")),
            429 => {
                let wait = answer.retry_after().unwrap_or(PENALTY).max(PENALTY);
                self.http.quota().close_for(wait);
                Fault::Later { after: Some(wait), why }
            }
            401 => Fault::locked(format!("the token is not accepted ({why})")),
            402 => Fault::locked(why),
            403 => Fault::locked(format!("no access: the token's scopes or bases, or the table is gone ({why})")),
            // Documented as safe to repeat: not done (Airtable "errors", RETRIABLE_ERROR).
            503 => Fault::Later { after: answer.retry_after(), why },
            500..=599 | 408 if verb == Verb::Write => Fault::unknown(why),
            500..=599 | 408 => Fault::Later { after: answer.retry_after(), why },
            300..=399 => Fault::locked(format!("base_url answers with a redirect ({why})")),
            _ => Fault::rejected(why),
        };
        Failure { status, kind, message, fault }
    }

    pub(super) fn table_path(&self, table: &Table) -> String {
        format!("/{}/{}", self.base, encode(table.wire()))
    }

    pub(super) fn meta_path(&self) -> String {
        format!("/meta/bases/{}/tables", self.base)
    }

    pub(super) fn hooks_path(&self) -> String {
        format!("/bases/{}/webhooks", self.base)
    }

    /// A page of records. By POST, because a formula with 100 ids may not fit into a URL (16,000 characters).
    pub(super) async fn list(&self, table: &Table, list: &List) -> Result<Rows, Failure> {
        let path = self.table_path(table);
        if !self.plain_lists.load(Ordering::Relaxed) {
            match self.send(Call::post(format!("{path}/listRecords"), list.body(table)), Verb::Read).await {
                // Either the table or this way of asking is refused; asking by GET tells which.
                Err(failure) if is_unlisted(failure.status) => self.plain_lists.store(true, Ordering::Relaxed),
                answer => return answer.map(|answer| Rows::read(&answer)),
            }
        }
        let answer = self.send(list.query(Call::get(path), table), Verb::Read).await;
        if matches!(&answer, Err(failure) if is_unlisted(failure.status)) {
            self.plain_lists.store(false, Ordering::Relaxed);
        }
        answer.map(|answer| Rows::read(&answer))
    }

    pub(super) async fn record(&self, table: &Table, id: &str) -> Result<Value, Failure> {
        let call = Call::get(format!("{}/{}", self.table_path(table), encode(id)));
        let call = if table.by_id() { call.query("returnFieldsByFieldId", "true") } else { call };
        self.send(call, Verb::Read).await
    }
}

/// What a server may say to a `POST …/listRecords` that it does not know, and to a table that it does not have.
fn is_unlisted(status: u16) -> bool {
    matches!(status, 400 | 403 | 404 | 405 | 501)
}

impl List {
    fn body(&self, table: &Table) -> Value {
        let mut body = Map::new();
        body.insert("pageSize".into(), json!(PAGE));
        if table.by_id() {
            body.insert("returnFieldsByFieldId".into(), json!(true));
        }
        if let Some(formula) = &self.formula {
            body.insert("filterByFormula".into(), json!(formula));
        }
        if let Some(offset) = &self.offset {
            body.insert("offset".into(), json!(offset));
        }
        if !self.fields.is_empty() {
            body.insert("fields".into(), json!(self.fields));
        }
        Value::Object(body)
    }

    fn query(&self, mut call: Call, table: &Table) -> Call {
        call = call.query("pageSize", PAGE.to_string());
        if table.by_id() {
            call = call.query("returnFieldsByFieldId", "true");
        }
        if let Some(formula) = &self.formula {
            call = call.query("filterByFormula", formula.as_str());
        }
        if let Some(offset) = &self.offset {
            call = call.query("offset", offset.as_str());
        }
        for field in &self.fields {
            call = call.query("fields[]", field.as_str());
        }
        call
    }
}

/// Type and message of an error body, which comes in two shapes (`"error": "NOT_FOUND"` and an object), or in none.
fn error_of(body: &[u8]) -> (String, String) {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Default::default() };
    let Some(error) = body.get("error").or_else(|| body.get("errors")) else {
        return (String::new(), clip(body.get("message").and_then(Value::as_str).unwrap_or_default()));
    };
    let error = error.get(0).unwrap_or(error);
    match error {
        Value::String(kind) => (clip(kind), clip(body.get("message").and_then(Value::as_str).unwrap_or_default())),
        error => {
            let text = |key| error.get(key).and_then(Value::as_str).map(clip);
            (text("type").or_else(|| text("error")).unwrap_or_default(), text("message").unwrap_or_default())
        }
    }
}

fn clip(text: &str) -> String {
    text.chars().take(300).collect()
}

/// `OR({field}='a',{field}='b')`. The field by its present name: that is what formulas know.
pub(super) fn any_of(left: &str, values: &[String]) -> String {
    let terms: Vec<_> = values.iter().map(|value| format!("{left}={}", quoted(value))).collect();
    if let [term] = terms.as_slice() { term.clone() } else { format!("OR({})", terms.join(",")) }
}

pub(super) fn field_reference(name: &str) -> String {
    format!("{{{}}}", name.replace('\\', "\\\\").replace('}', "\\}"))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

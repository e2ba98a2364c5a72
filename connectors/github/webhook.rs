//! Receiving: `issues` and `issue_comment` deliveries, which carry whole records.
//!
//! Facts (GitHub docs, "Validating webhook deliveries" and "Webhook events and payloads", read 2026-11-23): HMAC-SHA256
//! of the raw body in `X-Hub-Signature-256`; no timestamp, so a replay is met by comparing values; the delivery's GUID
//! stays the same when it is redelivered. JSON, or a form whose field `payload` is the JSON. Unknown events and actions
//! are none of ours and no error.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::GitHub;
use super::types::{ISSUE, Item, Repository, comment, issue};
use crate::fault::Refusal;
use crate::signature::sha256_hex;
use crate::{Delivery, Record, Request, Webhook};

/// The actions after which the issue in the payload is the issue as it is now.
const LIVING: [&str; 17] = [
    "assigned",
    "closed",
    "demilestoned",
    "edited",
    "labeled",
    "locked",
    "milestoned",
    "opened",
    "pinned",
    "reopened",
    "typed",
    "unassigned",
    "unlabeled",
    "unlocked",
    "unpinned",
    "untyped",
    "field_changed",
];

impl Webhook for GitHub {
    fn open(&self, raw: Request<'_>, _now: DateTime<Utc>) -> Result<Delivery, Refusal> {
        let header = |name: &str| raw.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let secret = self.webhook_secret.as_ref().ok_or(Refusal::NotReady("webhook_secret is not set"))?;
        let signature = header("x-hub-signature-256").ok_or(Refusal::Forged("no X-Hub-Signature-256"))?;
        let claimed =
            signature.strip_prefix("sha256=").ok_or(Refusal::Forged("X-Hub-Signature-256 is not sha256=…"))?;
        if !sha256_hex(secret.expose_secret().as_bytes(), raw.body, claimed) {
            return Err(Refusal::Forged("X-Hub-Signature-256 does not match"));
        }
        let event = header("x-github-event").ok_or_else(|| Refusal::Malformed("no X-GitHub-Event".into()))?;
        // The signature stands in for a GUID that a proxy dropped: it too is the same on a redelivery.
        let id = header("x-github-delivery").filter(|id| !id.is_empty()).unwrap_or(claimed).to_owned();
        let body = json_of(header("content-type"), raw.body)?;
        let payload: Value = serde_json::from_slice(&body).map_err(|error| {
            Refusal::Malformed(format!("not JSON at line {} column {}", error.line(), error.column()))
        })?;
        if !payload.is_object() {
            return Err(Refusal::Malformed("no object".into()));
        }
        let said = match event {
            "issues" => self.issues(payload)?,
            "issue_comment" => self.issue_comment(payload)?,
            _ => Vec::new(),
        };
        let mut delivery = Delivery { id, ..Delivery::default() };
        for record in said {
            if is_whole(&record) { delivery.records.push(record) } else { delivery.fetch.push(record.key) }
        }
        Ok(delivery)
    }
}

impl GitHub {
    fn issues(&self, mut payload: Value) -> Result<Vec<Record>, Refusal> {
        let Some(handle) = self.client.repos.recognise(&Repository::read(&payload["repository"])) else {
            return Ok(Vec::new());
        };
        let action = payload["action"].as_str().unwrap_or_default().to_owned();
        let gone = ["deleted", "transferred"].contains(&action.as_str());
        if !gone && !LIVING.contains(&action.as_str()) {
            return Ok(Vec::new());
        }
        Ok(read(issue(&handle, take(&mut payload, "issue")?))?.into_iter().map(|record| bury(record, gone)).collect())
    }

    fn issue_comment(&self, mut payload: Value) -> Result<Vec<Record>, Refusal> {
        let Some(handle) = self.client.repos.recognise(&Repository::read(&payload["repository"])) else {
            return Ok(Vec::new());
        };
        let gone = match payload["action"].as_str() {
            Some("created" | "edited") => false,
            Some("deleted") => true,
            _ => return Ok(Vec::new()),
        };
        // The issue first: its comment is read with it.
        let Some(parent) = read(issue(&handle, take(&mut payload, "issue")?))? else { return Ok(Vec::new()) };
        let own = read(comment(&handle, take(&mut payload, "comment")?))?.map(|record| bury(record, gone));
        Ok(std::iter::once(parent).chain(own).collect())
    }
}

/// Whether the record holds what GitHub always sends, if only as `null`. One that lacks some of it says nothing about that:
/// it only tells that there is news, and is fetched.
fn is_whole(record: &Record) -> bool {
    let Some(body) = &record.body else { return true };
    let always: &[&str] = match record.key.collection.as_str() {
        ISSUE => &["body", "created_at", "html_url", "labels", "state", "title", "user"],
        _ => &["body", "created_at", "html_url", "issue_key", "user"],
    };
    record.version.is_some() && always.iter().all(|field| body.get(*field).is_some())
}

fn take(payload: &mut Value, field: &str) -> Result<Value, Refusal> {
    Some(payload[field].take()).filter(Value::is_object).ok_or_else(|| Refusal::Malformed(format!("no {field} in it")))
}

fn read(item: Item) -> Result<Option<Record>, Refusal> {
    match item {
        Item::Issue(record) => Ok(Some(record)),
        Item::PullRequest => Ok(None),
        Item::Nameless => Err(Refusal::Malformed("an issue or comment without a number".into())),
    }
}

fn bury(record: Record, gone: bool) -> Record {
    if gone { Record { body: None, ..record } } else { record }
}

/// The JSON of a delivery in either of the two forms that a hook may be set to.
fn json_of(content_type: Option<&str>, body: &[u8]) -> Result<Bytes, Refusal> {
    let kind =
        content_type.unwrap_or("application/json").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/x-www-form-urlencoded" => {
            let payload = body.split(|byte| *byte == b'&').find_map(|part| part.strip_prefix(b"payload="));
            payload
                .and_then(unform)
                .map(Bytes::from)
                .ok_or_else(|| Refusal::Malformed("a form without a readable payload".into()))
        }
        kind if kind == "application/json" || kind.ends_with("+json") => Ok(Bytes::copy_from_slice(body)),
        _ => Err(Refusal::ContentType),
    }
}

/// Form decoding: `+` is a space, `%XX` a byte.
fn unform(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let (pair, after) = rest.split_at_checked(2)?;
                out.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
                rest = after;
            }
            byte => out.push(*byte),
        }
    }
    Some(out)
}

//! What we read of Salesforce's JSON. Everything is optional here: what is missing or odd is left out, never a failure.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::Version;
pub(super) use crate::json::{array, text};

pub(super) const ACCOUNT: &str = "Account";
pub(super) const OPPORTUNITY: &str = "Opportunity";

/// `2026-11-23T08:00:00.000+0000`, which is not RFC 3339 for want of a colon.
pub(super) fn instant(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let at = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"));
    at.ok().map(|at| at.to_utc())
}

/// Whole seconds and `Z`: what Salesforce keeps of an instant.
pub(super) fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) fn modified(row: &Value) -> Option<DateTime<Utc>> {
    instant(row.get("SystemModstamp")?.as_str()?)
}

pub(super) fn version(row: &Value) -> Option<Version> {
    modified(row).map(|at| Version(at.timestamp_millis()))
}

pub(super) fn is_deleted(row: &Value) -> bool {
    row.get("IsDeleted").and_then(Value::as_bool) == Some(true)
}

/// A row as mappings see it: without Salesforce's own notes on it, and with times in RFC 3339.
pub(super) fn plain(row: Value) -> Value {
    match row {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, _)| name != "attributes");
            Value::Object(kept.map(|(name, value)| (name, plain(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        Value::String(text) => Value::String(match as_time(&text) {
            Some(at) => stamp(at),
            None => text,
        }),
        other => other,
    }
}

/// Only what is spelt exactly as the API spells its times: a person's text may begin with a date.
fn as_time(text: &str) -> Option<DateTime<Utc>> {
    (text.len() == 28 && text.as_bytes().get(10) == Some(&b'T') && text.contains('.')).then(|| instant(text)).flatten()
}

/// The value at `Owner.Name`.
pub(super) fn at_path<'v>(row: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(row, |value, part| &value[part])
}

pub(super) fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

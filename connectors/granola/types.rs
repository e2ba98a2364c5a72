//! What we read of Granola's JSON, as tolerantly as can be: a field that is missing, null or of another type costs only
//! itself.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::json::text;
use crate::spelling::instant;
use crate::{Key, Record};

pub(crate) const NOTE: &str = "note";

/// An id that is safe in a path: `not_` and letters and digits (fourteen, but nobody counts).
pub(crate) fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        !rest.is_empty() && rest.len() <= 100 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

pub(crate) fn note_id(value: &Value) -> Option<String> {
    text(value, "id").filter(|id| is_id(id, "not_"))
}

pub(crate) fn moment(value: &Value, field: &str) -> Option<DateTime<Utc>> {
    instant(value[field].as_str()?)
}

pub(crate) fn gone(id: &str) -> Record {
    Record { key: Key::new(NOTE, id), version: None, body: None, url: None, edits: Vec::new() }
}

/// The domain of an email address, in lower case.
pub(crate) fn domain(email: &str) -> Option<String> {
    let (_, domain) = email.trim().rsplit_once('@')?;
    domain.contains('.').then(|| domain.to_lowercase())
}

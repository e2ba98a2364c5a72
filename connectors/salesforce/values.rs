//! Values: one spelling for what we send, what a query returns and what mappings compare. Salesforce trims texts, keeps
//! whole seconds, rounds to a field's scale, and answers a write with an id only: what it will have stored is worked out
//! here. (Object Reference "Field types", read 2026-11-23.)

use chrono::NaiveDate;
use serde_json::{Value, json};

use super::org::{Field, is_number};
use super::soql::long_id;
use super::types::{instant, stamp};
use crate::spelling::{as_text, beginning, cut_mark, empty_is_null, midnight, number, one_line, units, whole};

/// The value as Salesforce stores and returns it, in our spelling. `null` for empty: absent, "", [] and false are one.
pub(super) fn canonical(field: Option<&Field>, value: Value) -> Value {
    let Some(field) = field else { return empty_is_null(guessed(value)) };
    empty_is_null(match field.kind.as_str() {
        "boolean" => value,
        "date" => day(value),
        "datetime" => moment(value),
        "multipicklist" => several(value),
        "reference" | "id" => link(&value),
        kind if is_number(kind) => number(value, field.scale.map(|scale| scale.min(15))),
        "textarea" | "html" | "encryptedstring" => limited(as_text(value), field.length, true),
        _ => limited(as_text(value), field.length, false),
    })
}

/// The canonical value as it is sent into this field, or why it cannot be.
pub(super) fn fits(field: &Field, value: &Value) -> Result<Value, String> {
    if field.kind == "boolean" {
        return match value {
            Value::Null => Ok(json!(false)),
            Value::Bool(_) => Ok(value.clone()),
            _ => Err("the field there is a checkbox: it takes true or false".into()),
        };
    }
    if value.is_null() {
        return Ok(Value::Null);
    }
    let wrong = |takes: &str| Err(format!("the field there is of type {}: it takes {takes}", field.kind));
    match field.kind.as_str() {
        "date" if value.as_str().is_none_or(|text| text.parse::<NaiveDate>().is_err()) => wrong("a day, YYYY-MM-DD"),
        "datetime" if value.as_str().and_then(instant).is_none() => wrong("an instant, RFC 3339"),
        kind if is_number(kind) && !value.is_number() => wrong("a number"),
        "multipicklist" => match value.as_array() {
            Some(items) => Ok(json!(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(";"))),
            None => wrong("a list of options"),
        },
        "reference" => match value.as_array().map_or(Some(value), |ids| ids.first()) {
            Some(Value::String(id)) => Ok(json!(id)),
            _ => wrong("one record's id"),
        },
        "base64" | "address" | "location" | "complexvalue" | "anyType" => {
            Err(format!("a field of type {} is not written", field.kind))
        }
        "url" if value.as_str().is_some_and(|text| units(text) > field.length.max(1) && field.length > 0) => {
            Err(format!("the address is longer than {} characters, and half an address is none", field.length))
        }
        _ if value.is_string() || is_number(&field.kind) => Ok(value.clone()),
        _ => wrong("text"),
    }
}

/// Trimmed, with line ends of one kind (none in a field of one line), and cut where the field ends.
fn limited(value: Value, length: usize, lines: bool) -> Value {
    let Value::String(text) = value else { return value };
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = if lines { text } else { one_line(text) };
    Value::String(cut(text.trim(), length))
}

/// What is longer than the field ends visibly: `… [cut by loopd: 40000 characters]`, or `…` where there is little room.
pub(super) fn cut(text: &str, length: usize) -> String {
    if length == 0 || units(text) <= length {
        return text.to_owned();
    }
    let long = cut_mark(text);
    let mark = if units(&long) * 4 <= length { long.as_str() } else { "…" };
    format!("{}{mark}", beginning(text, length.saturating_sub(units(mark)), usize::MAX).trim_end())
}

fn day(value: Value) -> Value {
    let Value::String(text) = &value else { return value };
    match (text.trim().parse::<NaiveDate>(), instant(text)) {
        (Ok(day), _) => Value::String(day.to_string()),
        (_, Some(at)) => Value::String(at.date_naive().to_string()),
        _ => value,
    }
}

fn moment(value: Value) -> Value {
    let Value::String(text) = &value else { return value };
    let at = instant(text).or_else(|| text.trim().parse::<NaiveDate>().ok().and_then(midnight));
    at.map_or(value, |at| Value::String(stamp(at)))
}

/// A set, however it is spelt: `a;b`, or a list. Order carries no meaning.
fn several(value: Value) -> Value {
    let mut items: Vec<String> = match &value {
        Value::String(text) => text.split(';').map(|part| part.trim().to_owned()).collect(),
        // A semicolon in a value would make two of it.
        Value::Array(items) => {
            items.iter().filter_map(Value::as_str).map(|text| text.trim().replace(';', ",")).collect()
        }
        Value::Null => return Value::Null,
        _ => return value,
    };
    items.retain(|item| !item.is_empty());
    items.sort();
    items.dedup();
    json!(items)
}

/// A lookup holds one record's id.
fn link(value: &Value) -> Value {
    let id = match value {
        Value::String(id) => Some(long_id(id)),
        Value::Array(ids) => ids.iter().filter_map(Value::as_str).map(long_id).min(),
        _ => None,
    };
    id.filter(|id| !id.is_empty()).map_or(Value::Null, |id| json!([id]))
}

/// Without a type the value itself has to tell.
fn guessed(value: Value) -> Value {
    match value {
        Value::String(text) => match instant(&text) {
            Some(at) => Value::String(stamp(at)),
            None => Value::String(text.trim().to_owned()),
        },
        Value::Number(number) => Value::Number(whole(&number)),
        other => other,
    }
}

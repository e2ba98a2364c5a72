//! Values: one spelling for what we send, what a query returns and what mappings compare. Salesforce trims texts, keeps
//! whole seconds, rounds to a field's scale, and answers a write with an id only: what it will have stored is worked out
//! here. (Object Reference "Field types", read 2026-11-23.)

use chrono::NaiveDate;
use serde_json::{Number, Value, json};

use super::org::{Field, is_number};
use super::soql::long_id;
use super::types::{instant, stamp};

/// The value as Salesforce stores and returns it, in our spelling. `null` for empty: absent, "", [] and false are one.
pub(super) fn canonical(field: Option<&Field>, value: Value) -> Value {
    let Some(field) = field else { return empty_is_null(guessed(value)) };
    empty_is_null(match field.kind.as_str() {
        "boolean" => value,
        "date" => day(value),
        "datetime" => moment(value),
        "multipicklist" => several(value),
        "reference" | "id" => link(&value),
        kind if is_number(kind) => number(value, field.scale),
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

fn empty_is_null(value: Value) -> Value {
    match &value {
        Value::Bool(false) => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Array(items) if items.is_empty() => Value::Null,
        _ => value,
    }
}

fn as_text(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(plain(&number).to_string()),
        Value::Bool(flag) => Value::String(flag.to_string()),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            Value::String(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
        }
        other => other,
    }
}

/// Trimmed, with line ends of one kind (none in a field of one line), and cut where the field ends.
fn limited(value: Value, length: usize, lines: bool) -> Value {
    let Value::String(text) = value else { return value };
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = if lines || !text.contains('\n') {
        text
    } else {
        text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    };
    Value::String(cut(text.trim(), length))
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// What is longer than the field ends visibly: `… [cut by loopd: 40000 characters]`, or `…` where there is little room.
pub(super) fn cut(text: &str, length: usize) -> String {
    if length == 0 || units(text) <= length {
        return text.to_owned();
    }
    let long = format!("… [cut by loopd: {} characters]", text.chars().count());
    let ending = if units(&long) * 4 <= length { long.as_str() } else { "…" };
    let mut room = length.saturating_sub(units(ending));
    let mut kept = String::new();
    for letter in text.chars() {
        let Some(left) = room.checked_sub(letter.len_utf16()) else { break };
        room = left;
        kept.push(letter);
    }
    let mut kept = kept.trim_end().to_owned();
    kept.push_str(ending);
    kept
}

/// 3 and 3.0 are one number, but not one `serde_json::Number`.
fn plain(number: &Number) -> Number {
    let Some(float) = number.as_f64() else { return number.clone() };
    let whole = float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
    if whole { Number::from(float as i64) } else { number.clone() }
}

fn number(value: Value, scale: Option<u8>) -> Value {
    let float = match &value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let Some(float) = float.filter(|float: &f64| float.is_finite()) else { return value };
    let power = 10_f64.powi(i32::from(scale.unwrap_or(15).min(15)));
    let scaled = (float * power).round() / power;
    let rounded = if scale.is_some() && scaled.is_finite() { scaled } else { float };
    Number::from_f64(rounded).map_or(value, |number| Value::Number(plain(&number)))
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
    let midnight = |day: NaiveDate| day.and_hms_opt(0, 0, 0).map(|at| at.and_utc());
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
        Value::Number(number) => Value::Number(plain(&number)),
        other => other,
    }
}

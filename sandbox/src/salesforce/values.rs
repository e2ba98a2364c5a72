//! What a field makes of a value: trimmed, rounded, cut to seconds; or why it takes none such. (Object Reference "Field
//! types" and "Status codes", read 2026-11-23.)

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};

use super::model::{Field, Kind, stamp};
use super::refusal::{Answer, Refusal, unreadable, unsaved};

/// A time in any of the spellings that the API takes.
pub(super) fn read_time(text: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"));
    at.ok().map(|at| at.to_utc())
}

/// The value as it is stored; `null` for nothing. References are looked up by the caller.
pub(super) fn store(field: &Field, value: &Value) -> Answer<Value> {
    if value.is_null() {
        return match field.kind {
            Kind::Boolean => {
                let message = format!("{}: value not of required type: ", field.label);
                Err(unsaved("INVALID_TYPE_ON_FIELD_IN_RECORD", message, &[&field.name]))
            }
            _ => Ok(Value::Null),
        };
    }
    match field.kind {
        Kind::Boolean => value.as_bool().map(Value::Bool).ok_or_else(|| mistyped("boolean", value)),
        Kind::Date => {
            let day = value
                .as_str()
                .and_then(|text| text.parse::<NaiveDate>().ok().or_else(|| read_time(text).map(|at| at.date_naive())));
            day.map(|day| json!(day.to_string())).ok_or_else(|| mistyped("date", value))
        }
        Kind::DateTime => {
            let at = value.as_str().and_then(read_time);
            at.map(|at| json!(stamp(at))).ok_or_else(|| mistyped("datetime", value))
        }
        kind if kind.is_number() => number(field, value),
        Kind::Multipicklist => several(field, value),
        _ => text(field, value),
    }
}

fn text(field: &Field, value: &Value) -> Answer<Value> {
    let word = if field.kind == Kind::Reference { "id" } else { "string" };
    let text = value.as_str().ok_or_else(|| mistyped(word, value))?.trim();
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let long = text.encode_utf16().count() > field.length;
    if field.kind == Kind::Reference || !long {
        return match field.kind {
            Kind::Email if !is_address(text) => {
                let message = format!("{}: invalid email address: {text}", field.label);
                Err(unsaved("INVALID_EMAIL_ADDRESS", message, &[&field.name]))
            }
            Kind::Picklist if field.restricted && !field.values.iter().any(|value| value == text) => {
                Err(bad_choice(field, text))
            }
            _ => Ok(json!(text)),
        };
    }
    let shown: String = text.chars().take(1000).collect();
    let message = format!("{}: data value too large: {shown} (max length={})", field.label, field.length);
    Err(unsaved("STRING_TOO_LONG", message, &[&field.name]))
}

fn several(field: &Field, value: &Value) -> Answer<Value> {
    let text = value.as_str().ok_or_else(|| mistyped("string", value))?;
    let mut chosen: Vec<&str> = text.split(';').map(str::trim).filter(|part| !part.is_empty()).collect();
    if let Some(bad) = chosen.iter().find(|part| field.restricted && !field.values.iter().any(|value| value == *part)) {
        return Err(bad_choice(field, bad));
    }
    // They stand in the order of the picklist, whatever order they came in.
    let place = |part: &&str| field.values.iter().position(|value| value == part).unwrap_or(usize::MAX);
    chosen.sort_by_key(place);
    chosen.dedup();
    Ok(if chosen.is_empty() { Value::Null } else { json!(chosen.join(";")) })
}

fn number(field: &Field, value: &Value) -> Answer<Value> {
    let number =
        value.as_f64().ok_or_else(|| mistyped(if field.kind == Kind::Int { "int" } else { "double" }, value))?;
    let scale = 10_f64.powi(i32::try_from(field.scale).unwrap_or_default());
    // Half away from zero.
    let rounded = (number * scale).round() / scale;
    let room = 10_f64.powi(i32::try_from(field.precision.saturating_sub(field.scale)).unwrap_or_default());
    if !rounded.is_finite() || rounded.abs() >= room {
        let message = format!("{}: value outside of valid range on numeric field: {number}", field.label);
        return Err(unsaved("NUMBER_OUTSIDE_VALID_RANGE", message, &[&field.name]));
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
    Ok(if field.kind == Kind::Int { json!(rounded as i64) } else { json!(rounded) })
}

fn bad_choice(field: &Field, value: &str) -> Refusal {
    let message = format!("{}: bad value for restricted picklist field: {value}", field.label);
    unsaved("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, &[&field.name])
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !text.contains(' '))
}

/// The reader of JSON stumbles before any row is looked at.
fn mistyped(kind: &str, value: &Value) -> Refusal {
    let token = match value {
        Value::String(_) => "VALUE_STRING",
        Value::Number(number) if number.is_f64() => "VALUE_NUMBER_FLOAT",
        Value::Number(_) => "VALUE_NUMBER_INT",
        Value::Bool(true) => "VALUE_TRUE",
        Value::Bool(false) => "VALUE_FALSE",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
        Value::Null => "VALUE_NULL",
    };
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    unreadable(&format!(
        "Cannot deserialize instance of {kind} from {token} value {shown} or request may be missing a required field at [line:1, column:1]"
    ))
}

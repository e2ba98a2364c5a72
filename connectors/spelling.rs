//! What the spellings of values have in common, whichever vendor keeps them: equal values compare equal only when both
//! sides write them alike. What a vendor does differently stands with the vendor.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde_json::{Number, Value};

/// Absent, "", [], {} and false are one in a mapping.
pub(crate) fn empty_is_null(value: Value) -> Value {
    match &value {
        Value::Bool(false) => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Array(items) if items.is_empty() => Value::Null,
        Value::Object(fields) if fields.is_empty() => Value::Null,
        _ => value,
    }
}

/// What a text field would take of it; lists of texts read as an enumeration.
pub(crate) fn as_text(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(whole(&number).to_string()),
        Value::Bool(flag) => Value::String(flag.to_string()),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            Value::String(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
        }
        other => other,
    }
}

pub(crate) fn map_text(value: Value, change: impl FnOnce(String) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        other => other,
    }
}

/// Several lines as one, without empty ones.
pub(crate) fn one_line(text: String) -> String {
    if !text.contains(['\n', '\r']) {
        return text;
    }
    text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// 3 and 3.0 are one number, but not one `serde_json::Number`.
pub(crate) fn whole(number: &Number) -> Number {
    let Some(float) = number.as_f64() else { return number.clone() };
    let whole = float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
    if whole { Number::from(float as i64) } else { number.clone() }
}

/// A number, or a text that is one, rounded to so many decimals where the field keeps no more.
pub(crate) fn number(value: Value, decimals: Option<u8>) -> Value {
    let float = match &value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let Some(float) = float.filter(|float: &f64| float.is_finite()) else { return value };
    let rounded = decimals.map_or(float, |decimals| {
        let scale = 10_f64.powi(i32::from(decimals));
        let scaled = (float * scale).round() / scale;
        if scaled.is_finite() { scaled } else { float }
    });
    Number::from_f64(rounded).map_or(value, |number| Value::Number(whole(&number)))
}

/// An instant, RFC 3339.
pub(crate) fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text.trim()).ok().map(|at| at.to_utc())
}

/// Milliseconds and `Z`, as most vendors write instants.
pub(crate) fn millis(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(crate) fn midnight(day: NaiveDate) -> Option<DateTime<Utc>> {
    day.and_hms_opt(0, 0, 0).map(|at| at.and_utc())
}

/// In an order that carries no meaning, each once, without what is empty.
pub(crate) fn sorted(mut items: Vec<Value>) -> Value {
    items.retain(|item| !item.is_null() && item.as_str() != Some(""));
    items.sort_by(|a, b| match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => a.cmp(b),
        _ => a.to_string().cmp(&b.to_string()),
    });
    items.dedup();
    Value::Array(items)
}

/// The length in UTF-16 units, the strictest reading of a vendor's "characters".
pub(crate) fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// How a text ends that was cut.
pub(crate) fn cut_mark(text: &str) -> String {
    format!("… [cut by loopd: {} characters]", text.chars().count())
}

/// As much of the text's beginning as fits into so many UTF-16 units and bytes; no letter is parted.
pub(crate) fn beginning(text: &str, mut units: usize, mut bytes: usize) -> &str {
    for (at, letter) in text.char_indices() {
        let (Some(less_units), Some(less_bytes)) =
            (units.checked_sub(letter.len_utf16()), bytes.checked_sub(letter.len_utf8()))
        else {
            return text.get(..at).unwrap_or_default();
        };
        (units, bytes) = (less_units, less_bytes);
    }
    text
}

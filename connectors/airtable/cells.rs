//! Cell values: one spelling for what we send, what REST returns and what webhook payloads carry ("V2" cells), so that
//! equal values compare equal. (Airtable field model and webhook cell formats, read 2026-11-23.)

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Number, Value};

use super::binding::Field;
use super::types::{instant, stamp, text};

/// What a text cell holds at most (Airtable support, "rich text", read 2026-11-23). Counted in UTF-16 units, the
/// strictest reading of "characters".
pub(super) const MAX_TEXT: usize = 100_000;

/// Airtable's field types, sorted by how their values are spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Line,
    Text,
    Rich,
    Number,
    Checkbox,
    Date,
    DateTime,
    Select,
    Selects,
    Links,
    Person,
    People,
    Attachments,
    Barcode,
    /// Formula, rollup, lookup, counters, who and when: read only.
    Computed,
    /// The schema could not be read, or has a type that is not known here.
    Unknown,
}

pub(super) fn sort(kind: &str) -> Sort {
    match kind {
        "singleLineText" | "email" | "url" | "phoneNumber" => Sort::Line,
        "multilineText" => Sort::Text,
        "richText" => Sort::Rich,
        "number" | "percent" | "currency" | "duration" | "rating" => Sort::Number,
        "checkbox" => Sort::Checkbox,
        "date" => Sort::Date,
        "dateTime" => Sort::DateTime,
        "singleSelect" => Sort::Select,
        "multipleSelects" => Sort::Selects,
        "multipleRecordLinks" => Sort::Links,
        "singleCollaborator" => Sort::Person,
        "multipleCollaborators" => Sort::People,
        "multipleAttachments" => Sort::Attachments,
        "barcode" => Sort::Barcode,
        "formula"
        | "rollup"
        | "multipleLookupValues"
        | "lookup"
        | "count"
        | "autoNumber"
        | "createdTime"
        | "lastModifiedTime"
        | "createdBy"
        | "lastModifiedBy"
        | "button"
        | "aiText"
        | "externalSyncSource" => Sort::Computed,
        _ => Sort::Unknown,
    }
}

/// The value as Airtable stores and returns it. `null` for empty: absent, "", [] and false are one at Airtable.
pub(super) fn canonical(field: Option<&Field>, value: Value) -> Value {
    let sort = field.map_or(Sort::Unknown, |field| sort(&field.kind));
    let spelt = match sort {
        Sort::Line => one_line(as_text(value)),
        Sort::Text => cut_value(as_text(value)),
        // Rich text comes back with a line feed at its end.
        Sort::Rich => match cut_value(as_text(value)) {
            Value::String(text) => Value::String(text.trim_end().to_owned()),
            other => other,
        },
        Sort::Number => number(value, field.and_then(Field::decimals)),
        Sort::Date => day(value),
        Sort::DateTime => moment(value),
        Sort::Select | Sort::Barcode => match inner(value, if sort == Sort::Select { "name" } else { "text" }) {
            Value::String(text) => Value::String(text.trim().to_owned()),
            plain @ (Value::Number(_) | Value::Bool(true)) => as_text(plain),
            other => other,
        },
        Sort::Selects => set(value, "name"),
        Sort::Links | Sort::Attachments => set(value, "id"),
        Sort::Person => person(value),
        Sort::People => match value {
            Value::Array(items) => sorted(items.into_iter().map(person).collect()),
            other => sorted(vec![person(other)]),
        },
        Sort::Checkbox => value,
        Sort::Computed => computed(value),
        Sort::Unknown => guessed(value),
    };
    empty_is_null(spelt)
}

/// The canonical value as it may be sent into this field, or why it may not.
pub(super) fn fits(field: &Field, value: &Value, typecast: bool) -> Result<Value, String> {
    let sort = sort(&field.kind);
    let computed = || format!("the field is computed there ({})", field.kind);
    if value.is_null() {
        return if sort == Sort::Computed { Err(computed()) } else { Ok(Value::Null) };
    }
    let wrong = |expected: &str| Err(format!("the field there is of type {}: it takes {expected}", field.kind));
    match sort {
        Sort::Computed => Err(computed()),
        Sort::Attachments => Err("attachments are not written".into()),
        _ if typecast => Ok(value.clone()),
        Sort::Line | Sort::Text | Sort::Rich if !value.is_string() => wrong("text"),
        Sort::Select if !value.is_string() => wrong("one option's name"),
        Sort::Number if !value.is_number() => wrong("a number"),
        Sort::Checkbox if !value.is_boolean() => wrong("true or false"),
        Sort::Date if value.as_str().is_none_or(|day| day.parse::<NaiveDate>().is_err()) => wrong("a day, YYYY-MM-DD"),
        Sort::DateTime if value.as_str().and_then(instant).is_none() => wrong("an instant, RFC 3339"),
        Sort::Selects if !is_texts(value, |_| true) => wrong("a list of options"),
        Sort::Links if !is_texts(value, |id| id.starts_with("rec")) => wrong("a list of record ids"),
        Sort::Barcode => Ok(serde_json::json!({ "text": value })),
        Sort::Person => Ok(who(value)),
        Sort::People => Ok(value.as_array().map_or(Value::Null, |people| people.iter().map(who).collect())),
        _ => Ok(value.clone()),
    }
}

fn is_texts(value: &Value, good: impl Fn(&str) -> bool) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(|item| item.as_str().is_some_and(&good)))
}

fn empty_is_null(value: Value) -> Value {
    match &value {
        Value::Bool(false) => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Array(items) if items.is_empty() => Value::Null,
        Value::Object(fields) if fields.is_empty() => Value::Null,
        _ => value,
    }
}

/// What a text field would take of it; lists of plain values read as an enumeration.
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

fn one_line(value: Value) -> Value {
    match cut_value(value) {
        Value::String(text) if text.contains(['\n', '\r']) => Value::String(
            text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "),
        ),
        other => other,
    }
}

fn cut_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(text)),
        other => other,
    }
}

/// Text beyond [`MAX_TEXT`] ends visibly.
pub(super) fn cut(text: String) -> String {
    let units = |text: &str| text.encode_utf16().count();
    if text.len() <= MAX_TEXT || units(&text) <= MAX_TEXT {
        return text;
    }
    let ending = format!("… [cut by loopd: {} characters]", text.chars().count());
    let mut room = MAX_TEXT - units(&ending);
    let mut kept = String::with_capacity(MAX_TEXT);
    for letter in text.chars() {
        let Some(left) = room.checked_sub(letter.len_utf16()) else { break };
        room = left;
        kept.push(letter);
    }
    kept.push_str(&ending);
    kept
}

/// 3 and 3.0 are one number, but not one `serde_json::Number`.
fn plain(number: &Number) -> Number {
    let Some(float) = number.as_f64() else { return number.clone() };
    let whole = float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
    if whole { Number::from(float as i64) } else { number.clone() }
}

fn number(value: Value, decimals: Option<u8>) -> Value {
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
    Number::from_f64(rounded).map_or(value, |number| Value::Number(plain(&number)))
}

fn day(value: Value) -> Value {
    let Value::String(text) = &value else { return value };
    let text = text.trim();
    match (text.parse::<NaiveDate>(), instant(text)) {
        (Ok(day), _) => Value::String(day.to_string()),
        (_, Some(at)) => Value::String(at.date_naive().to_string()),
        _ => value,
    }
}

fn moment(value: Value) -> Value {
    let Value::String(text) = &value else { return value };
    let midnight = |day: NaiveDate| day.and_hms_opt(0, 0, 0).map(|at| at.and_utc());
    let at: Option<DateTime<Utc>> = instant(text).or_else(|| text.trim().parse::<NaiveDate>().ok().and_then(midnight));
    at.map_or(value, |at| Value::String(stamp(at)))
}

/// `{"name": x}` becomes x.
fn inner(value: Value, key: &str) -> Value {
    match &value {
        Value::Object(_) => text(&value, key).map_or(value, Value::String),
        _ => value,
    }
}

/// An array as a set: order carries no meaning in loopd, and Airtable keeps whatever order it was given.
fn set(value: Value, key: &str) -> Value {
    let items = match value {
        Value::Array(items) => items,
        Value::Null => return Value::Null,
        one => vec![one],
    };
    let trimmed = |item: Value| match inner(item, key) {
        Value::String(text) => Value::String(text.trim().to_owned()),
        other => other,
    };
    sorted(items.into_iter().map(trimmed).collect())
}

fn sorted(mut items: Vec<Value>) -> Value {
    items.retain(|item| !item.is_null() && item.as_str() != Some(""));
    items.sort_by(|a, b| match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => a.cmp(b),
        _ => a.to_string().cmp(&b.to_string()),
    });
    items.dedup();
    Value::Array(items)
}

/// A collaborator by address where one is given, else by id.
fn person(value: Value) -> Value {
    match &value {
        Value::Object(_) => text(&value, "email").or_else(|| text(&value, "id")).map_or(value, Value::String),
        _ => value,
    }
}

fn who(value: &Value) -> Value {
    match value.as_str() {
        Some(address) if address.contains('@') => serde_json::json!({ "email": address }),
        Some(id) => serde_json::json!({ "id": id }),
        None => value.clone(),
    }
}

fn computed(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(plain(&number)),
        Value::Array(items) => Value::Array(items.into_iter().map(computed).collect()),
        // {"error": "#ERROR!"}, {"specialValue": "NaN"}: no value.
        Value::Object(fields) if fields.contains_key("error") || fields.contains_key("specialValue") => Value::Null,
        // aiText: {"state": "generated", "value": "…"}
        Value::Object(fields) if fields.contains_key("state") => fields.get("value").cloned().unwrap_or(Value::Null),
        other => other,
    }
}

/// Without a type the value itself has to tell: full timestamps are instants, arrays of texts are sets.
fn guessed(value: Value) -> Value {
    match value {
        Value::String(text) => match instant(&text) {
            Some(at) => Value::String(stamp(at)),
            None => Value::String(cut(text)),
        },
        Value::Number(number) => Value::Number(plain(&number)),
        Value::Array(items) if items.iter().all(Value::is_string) => set(Value::Array(items), "id"),
        other => other,
    }
}

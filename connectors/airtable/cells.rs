//! Cell values: one spelling for what we send, what REST returns and what webhook payloads carry ("V2" cells), so that
//! equal values compare equal. (Airtable field model and webhook cell formats, read 2026-11-23.)

use chrono::NaiveDate;
use serde_json::Value;

use super::binding::Field;
use super::types::text;
use crate::spelling::{
    as_text, beginning, cut_mark, empty_is_null, instant, map_text, midnight, millis, number, one_line, sorted, units,
    whole,
};

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
        Sort::Line => map_text(as_text(value), |text| one_line(cut(text))),
        Sort::Text => map_text(as_text(value), cut),
        // Rich text comes back with a line feed at its end.
        Sort::Rich => map_text(as_text(value), |text| cut(text).trim_end().to_owned()),
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

/// Text beyond [`MAX_TEXT`] ends visibly.
pub(super) fn cut(text: String) -> String {
    if text.len() <= MAX_TEXT || units(&text) <= MAX_TEXT {
        return text;
    }
    let mark = cut_mark(&text);
    format!("{}{mark}", beginning(&text, MAX_TEXT - units(&mark), usize::MAX))
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
    let at = instant(text).or_else(|| text.trim().parse::<NaiveDate>().ok().and_then(midnight));
    at.map_or(value, |at| Value::String(millis(at)))
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
        Value::Number(number) => Value::Number(whole(&number)),
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
            Some(at) => Value::String(millis(at)),
            None => Value::String(cut(text)),
        },
        Value::Number(number) => Value::Number(whole(&number)),
        Value::Array(items) if items.iter().all(Value::is_string) => set(Value::Array(items), "id"),
        other => other,
    }
}

//! Property values: one spelling for what we send and what pages show, so that equal values compare equal; the shapes that
//! writes take; and the limits of both. (Notion "page property values" and "request limits", read 2026-11-23.)

use chrono::{DateTime, NaiveDate, Timelike, Utc};
use serde_json::{Map, Value, json};

use super::binding::Field;
use super::types::{array, bare, plain, text, uuid};
use crate::FieldKind;
use crate::spelling::{
    as_text, beginning, cut_mark, empty_is_null, instant, map_text, midnight, millis, number, one_line, sorted, units,
    whole,
};

/// A piece of rich text holds so much. Counted in UTF-16 units, the strictest reading of "characters".
pub(super) const PIECE: usize = 2_000;
/// Pieces in a text, options in a multi-select, pages in a relation.
pub(super) const MOST: usize = 100;
/// A page object shows so many pieces, people and related pages; the rest is read by page.
pub(super) const SHOWN: usize = 25;
/// A request takes 500 KB; a text leaves room for others.
const MAX_BYTES: usize = 150_000;
const MAX_URL: usize = 2_000;
const MAX_CONTACT: usize = 200;

/// Notion's property types, sorted by how their values are spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Title,
    Text,
    Number,
    Checkbox,
    Date,
    Select,
    Status,
    Selects,
    Relation,
    Url,
    Email,
    Phone,
    People,
    Files,
    /// Formula, rollup, numbering, who and when: read only.
    Computed,
    /// A type that is not known here.
    Unknown,
}

pub(super) fn sort(kind: &str) -> Sort {
    match kind {
        "title" => Sort::Title,
        "rich_text" => Sort::Text,
        "number" => Sort::Number,
        "checkbox" => Sort::Checkbox,
        "date" => Sort::Date,
        "select" => Sort::Select,
        "status" => Sort::Status,
        "multi_select" => Sort::Selects,
        "relation" => Sort::Relation,
        "url" => Sort::Url,
        "email" => Sort::Email,
        "phone_number" => Sort::Phone,
        "people" => Sort::People,
        "files" => Sort::Files,
        "formula" | "rollup" | "unique_id" | "created_time" | "created_by" | "last_edited_time" | "last_edited_by"
        | "button" | "verification" => Sort::Computed,
        _ => Sort::Unknown,
    }
}

/// The value as Notion stores and returns it. `null` for empty: absent, "", [] and false are one in a mapping.
pub(super) fn canonical(field: Option<&Field>, value: Value) -> Value {
    let sort = field.map_or(Sort::Unknown, |field| sort(&field.kind));
    let spelt = match sort {
        Sort::Title => map_text(as_text(value), |text| cut(one_line(text))),
        Sort::Text => match (field.and_then(|field| field.wanted), value) {
            (Some(FieldKind::Date | FieldKind::DateTime), value) => date(field.and_then(|field| field.wanted), value),
            (_, value) => map_text(as_text(value), |text| cut(text.replace("\r\n", "\n").replace('\r', "\n"))),
        },
        Sort::Number => number(value, None),
        Sort::Date => date(field.and_then(|field| field.wanted), value),
        Sort::Select | Sort::Status => map_text(as_text(value), |name| option(&name)),
        Sort::Selects => set(value, option),
        Sort::Relation => set(value, |id| uuid(id).unwrap_or_else(|| id.trim().to_owned())),
        Sort::Url | Sort::Email | Sort::Phone => map_text(as_text(value), |text| text.trim().to_owned()),
        Sort::People | Sort::Files => match field.and_then(|field| field.wanted) {
            Some(FieldKind::Text) => as_text(set(value, |name| name.trim().to_owned())),
            _ => set(value, |name| name.trim().to_owned()),
        },
        Sort::Checkbox => value,
        Sort::Computed | Sort::Unknown => guessed(value),
    };
    empty_is_null(spelt)
}

/// The canonical value of a property as a page shows it.
pub(super) fn read(field: &Field, property: &Value) -> Value {
    // The type may have changed since it was bound: what the page says counts.
    let kind = text(property, "type").unwrap_or_else(|| field.kind.clone());
    let held = property.get(&kind).unwrap_or(&Value::Null);
    canonical(Some(field), shown(&kind, held))
}

/// A value in a property's own shape, as a plain one.
fn shown(kind: &str, held: &Value) -> Value {
    let list = held.as_array().map_or(&[][..], Vec::as_slice);
    match sort(kind) {
        Sort::Title | Sort::Text => json!(plain(list)),
        Sort::Select | Sort::Status => text(held, "name").map_or(Value::Null, Value::String),
        Sort::Selects => list.iter().filter_map(|option| text(option, "name")).collect(),
        Sort::Relation => list.iter().filter_map(|page| text(page, "id")).collect(),
        Sort::Date => text(held, "start").map_or(Value::Null, Value::String),
        Sort::People => list.iter().filter_map(person).collect(),
        Sort::Files => list.iter().filter_map(|file| text(file, "name")).collect(),
        Sort::Computed => computed(kind, held),
        Sort::Number | Sort::Checkbox | Sort::Url | Sort::Email | Sort::Phone | Sort::Unknown => held.clone(),
    }
}

/// Whether the page shows a part only.
pub(super) fn is_cut(property: &Value) -> bool {
    let kind = text(property, "type").unwrap_or_default();
    match property.get("has_more").and_then(Value::as_bool) {
        Some(more) => more,
        None => {
            matches!(sort(&kind), Sort::Title | Sort::Text | Sort::People | Sort::Relation)
                && array(property, &kind).len() >= SHOWN
        }
    }
}

/// The canonical value in the shape that a write takes, or why it may not be written.
pub(super) fn fits(field: &Field, value: &Value, new_options: bool) -> Result<Value, String> {
    let sort = sort(&field.kind);
    let wrong = |expected: &str| Err(format!("the property there is of type {}: it takes {expected}", field.kind));
    let words = || value.as_str();
    let texts = || -> Option<Vec<&str>> { value.as_array()?.iter().map(Value::as_str).collect() };
    let known = |names: &[&str]| match names.iter().find(|name| !new_options && !field.has_option(name)) {
        Some(name) => {
            Err(format!("option {name} is missing in property {}: add it there or run `loopd setup`", field.name))
        }
        None => Ok(()),
    };
    let shape = match sort {
        Sort::Computed => return Err(format!("the property is computed there ({})", field.kind)),
        Sort::Unknown => return Err(format!("loopd does not know how to write a property of type {}", field.kind)),
        Sort::Files => return Err("files are not written".into()),
        Sort::People => return Err("people are set in Notion: map a text property to write names".into()),
        Sort::Title | Sort::Text => match words() {
            Some(text) => pieces(text),
            None if value.is_null() => json!([]),
            None => return wrong("text"),
        },
        Sort::Checkbox if value.is_null() => json!(false),
        Sort::Selects | Sort::Relation if value.is_null() => json!([]),
        _ if value.is_null() => Value::Null,
        Sort::Checkbox if value.is_boolean() => value.clone(),
        Sort::Checkbox => return wrong("true or false"),
        Sort::Number if value.is_number() => value.clone(),
        Sort::Number => return wrong("a number"),
        Sort::Select | Sort::Status => match words() {
            Some(name) => {
                known(&[name])?;
                json!({ "name": name })
            }
            None => return wrong("one option's name"),
        },
        Sort::Selects => match texts() {
            Some(names) if names.len() > MOST => return wrong("at most 100 options"),
            Some(names) => {
                known(&names)?;
                names.iter().map(|name| json!({ "name": name })).collect()
            }
            None => return wrong("a list of options"),
        },
        Sort::Relation => match texts() {
            Some(ids) if ids.len() > MOST => return wrong("at most 100 pages"),
            Some(ids) if ids.iter().all(|id| uuid(id).is_some()) => ids.iter().map(|id| json!({ "id": id })).collect(),
            _ => return wrong("a list of page ids"),
        },
        Sort::Date => match words() {
            Some(day) if day.parse::<NaiveDate>().is_ok() || instant(day).is_some() => json!({ "start": day }),
            _ => return wrong("a day or an instant"),
        },
        Sort::Url => match words() {
            Some(url) if units(url) <= MAX_URL => json!(url),
            _ => return wrong("an address of at most 2,000 characters"),
        },
        Sort::Email | Sort::Phone => match words() {
            Some(text) if units(text) <= MAX_CONTACT => json!(text),
            _ => return wrong("at most 200 characters"),
        },
    };
    let mut wrapped = Map::new();
    wrapped.insert(field.kind.clone(), shape);
    Ok(Value::Object(wrapped))
}

/// Rich text of pieces that Notion takes; no letter is parted.
pub(super) fn pieces(text: &str) -> Value {
    let mut pieces: Vec<String> = Vec::new();
    let mut room = 0;
    for letter in text.chars() {
        let takes = letter.len_utf16();
        match pieces.last_mut() {
            Some(piece) if takes <= room => piece.push(letter),
            _ => {
                pieces.push(letter.into());
                room = PIECE;
            }
        }
        room -= takes;
    }
    pieces.iter().map(|piece| json!({ "type": "text", "text": { "content": piece } })).collect()
}

/// Text beyond what a property takes ends visibly.
pub(super) fn cut(text: String) -> String {
    let most = PIECE * MOST;
    if text.len() <= MAX_BYTES && (text.len() <= most || units(&text) <= most) {
        return text;
    }
    let mark = cut_mark(&text);
    // Each piece may end one unit early, before a letter of two.
    format!("{}{mark}", beginning(&text, most - MOST - units(&mark), MAX_BYTES - mark.len()))
}

/// An option's name: Notion refuses commas in it.
fn option(name: &str) -> String {
    name.trim().replace(',', ";")
}

/// A day, or an instant to the minute, which is all that Notion shows.
fn date(wanted: Option<FieldKind>, value: Value) -> Value {
    let Value::String(text) = &value else { return value };
    let text = text.trim();
    let (day, at) = (text.parse::<NaiveDate>().ok(), instant(text));
    let minute = |at: DateTime<Utc>| millis(at.with_second(0).and_then(|at| at.with_nanosecond(0)).unwrap_or(at));
    match (wanted, day, at) {
        // The day as it stands there, wherever on earth that was.
        (Some(FieldKind::Date), None, Some(_)) => {
            let day = text.get(..10).and_then(|day| day.parse::<NaiveDate>().ok());
            day.map_or(value, |day| Value::String(day.to_string()))
        }
        (Some(FieldKind::DateTime), Some(day), _) => midnight(day).map_or(value, |at| Value::String(millis(at))),
        (_, Some(day), _) => Value::String(day.to_string()),
        (_, _, Some(at)) => Value::String(minute(at)),
        _ => value,
    }
}

/// An array as a set: order carries no meaning in loopd, and Notion keeps whatever order it was given.
fn set(value: Value, spell: impl Fn(&str) -> String) -> Value {
    let items = match value {
        Value::Array(items) => items,
        Value::Null => return Value::Null,
        one => vec![one],
    };
    let spelt = |item: Value| map_text(item, |text| spell(&text));
    sorted(items.into_iter().map(spelt).collect())
}

/// By name, else by address, else by id: what the connection's capabilities let it see.
fn person(person: &Value) -> Option<String> {
    let address = || person.get("person").and_then(|inner| text(inner, "email"));
    text(person, "name").or_else(address).or_else(|| text(person, "id"))
}

fn computed(kind: &str, held: &Value) -> Value {
    match kind {
        "formula" => text(held, "type").and_then(|kind| held.get(&kind).cloned()).map_or(Value::Null, |value| {
            if value.is_object() { text(&value, "start").map_or(Value::Null, Value::String) } else { value }
        }),
        "rollup" => match text(held, "type").as_deref() {
            Some("array") => array(held, "array")
                .iter()
                .filter_map(|item| Some(shown(&text(item, "type")?, item.get(text(item, "type")?)?)))
                .collect(),
            Some("date") => held.get("date").and_then(|date| text(date, "start")).map_or(Value::Null, Value::String),
            Some(kind) => held.get(kind).cloned().unwrap_or_default(),
            None => Value::Null,
        },
        "unique_id" => {
            let number = held.get("number").and_then(Value::as_i64);
            match (text(held, "prefix").filter(|prefix| !prefix.is_empty()), number) {
                (Some(prefix), Some(number)) => json!(format!("{prefix}-{number}")),
                (None, Some(number)) => json!(number),
                _ => Value::Null,
            }
        }
        "created_by" | "last_edited_by" => person(held).map_or(Value::Null, Value::String),
        _ => held.clone(),
    }
}

/// Without a type the value itself has to tell.
fn guessed(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(&number)),
        Value::Array(items) if items.iter().all(Value::is_string) => set(Value::Array(items), str::to_owned),
        other => other,
    }
}

/// Whether a message names this property: by its name, or by its id with or without escapes.
pub(super) fn is_named(field: &Field, name: &str, message: &str) -> bool {
    let id = bare(&field.id);
    let as_key = |word: &str| {
        let ends = [".", "[", "\"", "`", "'", " ", ":"];
        message.starts_with(&format!("{word} "))
            || ends.iter().any(|end| message.contains(&format!("properties.{word}{end}")))
    };
    // Short ids, and "title", stand in messages for other reasons.
    let as_word = |word: &str| word.len() >= 4 && word != "title" && message.contains(word);
    [field.name.as_str(), name, &field.id, &id].into_iter().any(as_key) || as_word(&field.id) || as_word(&id)
}

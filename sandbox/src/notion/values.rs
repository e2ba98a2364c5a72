//! Property values: what a write may hold, with Notion's words where it may not, and how it is kept.

use chrono::{DateTime, NaiveDate};
use serde_json::{Value, json};

use super::model::{Property, rich, uuid};
use super::refusal::{Answer, Refusal};

const TEXT: usize = 2_000;
const MANY: usize = 100;

/// A written value, in the shape that is kept; `None`: empty. Options still by name, relations unchecked.
pub(super) fn written(property: &Property, value: &Value) -> Answer<Option<Value>> {
    let (name, kind) = (&property.name, property.kind.as_str());
    let place = format!("properties.{name}.{kind}");
    let mismatch = || Refusal::invalid(format!("{name} is expected to be {kind}."));
    // Both `{"number": 3}` and the bare value that older clients send for it are taken.
    let held = match value {
        Value::Object(fields) => {
            let other = fields.get("type").and_then(Value::as_str).is_some_and(|given| given != kind);
            fields.get(kind).filter(|_| !other).ok_or_else(mismatch)?
        }
        Value::Null => value,
        Value::Array(_) if matches!(kind, "title" | "rich_text" | "relation" | "multi_select" | "people") => value,
        Value::String(_) if matches!(kind, "url" | "email" | "phone_number") => value,
        Value::Number(_) if kind == "number" => value,
        Value::Bool(_) if kind == "checkbox" => value,
        _ => return Err(mismatch()),
    };
    match kind {
        "title" | "rich_text" => {
            let pieces = rich_text(held, &place)?;
            Ok((!pieces.is_empty()).then_some(Value::Array(pieces)))
        }
        "number" => match held {
            Value::Null => Ok(None),
            Value::Number(_) => Ok(Some(held.clone())),
            other => Err(Refusal::body(&place, "a number or `null`", other)),
        },
        "checkbox" => match held {
            Value::Bool(flag) => Ok(Some(json!(flag))),
            other => Err(Refusal::body(&place, "a boolean", other)),
        },
        "url" => text(held, &place, 2_000),
        "email" | "phone_number" => text(held, &place, 200),
        "date" => date(held, &place),
        "select" | "status" => match held {
            Value::Null => Ok(None),
            option => Ok(Some(reference(option, &place)?)),
        },
        "multi_select" => {
            let options = list(held, &place)?;
            let options: Vec<Value> =
                options.iter().map(|option| reference(option, &place)).collect::<Result<_, _>>()?;
            Ok((!options.is_empty()).then_some(Value::Array(options)))
        }
        "relation" => {
            let ids: Vec<Value> = list(held, &place)?.iter().map(|page| id(page, &place)).collect::<Result<_, _>>()?;
            Ok((!ids.is_empty()).then_some(Value::Array(ids)))
        }
        "people" => {
            let ids: Vec<Value> = list(held, &place)?.iter().map(|user| id(user, &place)).collect::<Result<_, _>>()?;
            Ok((!ids.is_empty()).then_some(Value::Array(ids)))
        }
        "files" => Ok(Some(held.clone()).filter(|files| files.as_array().is_some_and(|files| !files.is_empty()))),
        computed => Err(Refusal::invalid(format!(
            "body failed validation: property {name} is of type {computed}, which cannot be updated."
        ))),
    }
}

/// Rich text as clients write it, whole.
pub(super) fn rich_text(value: &Value, place: &str) -> Answer<Vec<Value>> {
    list(value, place)?.iter().enumerate().map(|(at, piece)| self::piece(piece, &format!("{place}[{at}]"))).collect()
}

fn piece(piece: &Value, place: &str) -> Answer<Value> {
    let kind = piece["type"].as_str().unwrap_or("text");
    match kind {
        "text" => {
            let content = &piece["text"]["content"];
            let Some(text) = content.as_str() else {
                return Err(if content.is_null() {
                    Refusal::undefined(&format!("{place}.text"))
                } else {
                    Refusal::body(&format!("{place}.text.content"), "a string", content)
                });
            };
            let length = text.encode_utf16().count();
            if length > TEXT {
                return Err(Refusal::too_long(&format!("{place}.text.content"), TEXT, length));
            }
            let link = piece["text"]["link"]["url"].as_str();
            if let Some(long) = link.map(|url| url.encode_utf16().count()).filter(|long| *long > TEXT) {
                return Err(Refusal::too_long(&format!("{place}.text.link.url"), TEXT, long));
            }
            let mut kept = rich(text, link);
            if let Some(looks) = piece["annotations"].as_object() {
                for (name, look) in looks {
                    kept["annotations"][name] = look.clone();
                }
            }
            Ok(kept)
        }
        "mention" | "equation" => {
            let mut kept = piece.clone();
            kept["plain_text"] = piece["equation"]["expression"].as_str().map_or(json!("@mention"), |text| json!(text));
            kept["href"] = Value::Null;
            Ok(kept)
        }
        _ => {
            Err(Refusal::body(&format!("{place}.type"), "`\"text\"`, `\"mention\"` or `\"equation\"`", &piece["type"]))
        }
    }
}

fn list<'a>(value: &'a Value, place: &str) -> Answer<&'a [Value]> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        other => return Err(Refusal::body(place, "an array", other)),
    };
    if items.len() > MANY {
        return Err(Refusal::too_long(place, MANY, items.len()));
    }
    Ok(items)
}

fn text(value: &Value, place: &str, most: usize) -> Answer<Option<Value>> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Err(Refusal::body(place, "a non-empty string or `null`", value)),
        Value::String(text) => match text.encode_utf16().count() {
            length if length > most => Err(Refusal::too_long(place, most, length)),
            _ => Ok(Some(value.clone())),
        },
        other => Err(Refusal::body(place, "a string or `null`", other)),
    }
}

fn date(value: &Value, place: &str) -> Answer<Option<Value>> {
    if value.is_null() {
        return Ok(None);
    }
    let moment = |key: &str| -> Answer<Value> {
        match &value[key] {
            Value::Null if key != "start" => Ok(Value::Null),
            Value::String(text) if text.parse::<NaiveDate>().is_ok() => Ok(json!(text)),
            Value::String(text) => match DateTime::parse_from_rfc3339(text) {
                Ok(at) => Ok(json!(at.format("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string())),
                Err(_) => Err(Refusal::body(&format!("{place}.{key}"), "a valid ISO 8601 date string", &value[key])),
            },
            Value::Null => Err(Refusal::undefined(&format!("{place}.start"))),
            other => Err(Refusal::body(&format!("{place}.{key}"), "a valid ISO 8601 date string", other)),
        }
    };
    Ok(Some(json!({ "start": moment("start")?, "end": moment("end")?, "time_zone": value["time_zone"] })))
}

/// `{"name"}` or `{"id"}` of an option.
fn reference(option: &Value, place: &str) -> Answer<Value> {
    match (option["id"].as_str(), option["name"].as_str()) {
        (Some(id), _) => Ok(json!({ "id": id })),
        (None, Some("")) => Err(Refusal::body(&format!("{place}.name"), "a non-empty string", &option["name"])),
        (None, Some(name)) => Ok(json!({ "name": name })),
        (None, None) => Err(Refusal::undefined(&format!("{place}.name"))),
    }
}

fn id(value: &Value, place: &str) -> Answer<Value> {
    let given = value["id"].as_str().ok_or_else(|| Refusal::undefined(&format!("{place}.id")))?;
    let id = uuid(given).ok_or_else(|| Refusal::body(&format!("{place}.id"), "a valid uuid", &value["id"]))?;
    Ok(json!(id))
}

//! Which field types there are, which may be made through the API, which may come first in a table, and which options
//! they must bring (Airtable docs "create-field" and field model, read 2026-11-23).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::model::mint;
use super::refusal::{Answer, Refusal};
use crate::faults::Rng;

/// Computed types: they take no values, and the API does not make them.
const COMPUTED: [&str; 13] = [
    "aiText",
    "autoNumber",
    "button",
    "count",
    "createdBy",
    "createdTime",
    "externalSyncSource",
    "formula",
    "lastModifiedBy",
    "lastModifiedTime",
    "lookup",
    "multipleLookupValues",
    "rollup",
];

/// Types that people and clients fill in, with the options that must be there.
const PLAIN: [(&str, &[&str]); 21] = [
    ("singleLineText", &[]),
    ("multilineText", &[]),
    ("richText", &[]),
    ("email", &[]),
    ("url", &[]),
    ("phoneNumber", &[]),
    ("number", &["precision"]),
    ("percent", &["precision"]),
    ("currency", &["precision", "symbol"]),
    ("duration", &["durationFormat"]),
    ("rating", &["icon", "color", "max"]),
    ("checkbox", &["icon", "color"]),
    ("date", &["dateFormat"]),
    ("dateTime", &["timeZone", "dateFormat", "timeFormat"]),
    ("singleSelect", &["choices"]),
    ("multipleSelects", &["choices"]),
    ("singleCollaborator", &[]),
    ("multipleCollaborators", &[]),
    ("multipleRecordLinks", &["linkedTableId"]),
    ("multipleAttachments", &[]),
    ("barcode", &[]),
];

/// Types that may be a table's first field.
const PRIMARY: [&str; 13] = [
    "singleLineText",
    "multilineText",
    "email",
    "url",
    "phoneNumber",
    "number",
    "percent",
    "currency",
    "duration",
    "date",
    "dateTime",
    "barcode",
    "formula",
];

/// Types an upsert may merge on (Airtable docs "update-multiple-records", read 2026-11-23).
const MERGE: [&str; 9] = [
    "number",
    "percent",
    "currency",
    "singleLineText",
    "multilineText",
    "singleSelect",
    "multipleSelects",
    "date",
    "dateTime",
];

const COLORS: [&str; 10] = [
    "blueLight2",
    "cyanLight2",
    "tealLight2",
    "greenLight2",
    "yellowLight2",
    "orangeLight2",
    "redLight2",
    "pinkLight2",
    "purpleLight2",
    "grayLight2",
];

pub(super) fn is_computed(kind: &str) -> bool {
    COMPUTED.contains(&kind)
}

pub(super) fn is_select(kind: &str) -> bool {
    matches!(kind, "singleSelect" | "multipleSelects")
}

pub(super) fn may_merge(kind: &str) -> bool {
    MERGE.contains(&kind)
}

pub(super) fn may_be_primary(kind: &str) -> bool {
    PRIMARY.contains(&kind)
}

/// A new field's options as they are stored, or the refusal. `by_person`: computed types may be made by hand only.
pub(super) fn options(name: &str, kind: &str, given: &Value, by_person: bool, rng: &mut Rng) -> Answer<Value> {
    if is_computed(kind) {
        if by_person {
            return Ok(given.clone());
        }
        let message = format!("Creating {kind} fields is not supported at this time");
        return Err(Refusal::new(422, "UNSUPPORTED_FIELD_TYPE_FOR_CREATE", message));
    }
    let Some((_, needed)) = PLAIN.iter().find(|(known, _)| *known == kind) else {
        return Err(invalid(format!("{kind:?} is not a field type")));
    };
    if let Some(absent) = needed.iter().find(|option| given.get(**option).is_none_or(Value::is_null)) {
        return Err(invalid(format!("Creating field \"{name}\": a {kind} field needs options.{absent}")));
    }
    match kind {
        "singleSelect" | "multipleSelects" => choices(&given["choices"], rng),
        "number" | "percent" | "currency" => {
            if given["precision"].as_i64().is_none_or(|p| !(0..=8).contains(&p)) {
                return Err(invalid(format!("Creating field \"{name}\": options.precision must be 0 to 8")));
            }
            Ok(given.clone())
        }
        "date" => Ok(json!({ "dateFormat": named_format(&given["dateFormat"]) })),
        "dateTime" => Ok(json!({
            "dateFormat": named_format(&given["dateFormat"]),
            "timeFormat": named_format(&given["timeFormat"]),
            "timeZone": given["timeZone"],
        })),
        _ => Ok(given.clone()),
    }
}

pub(super) fn invalid(message: String) -> Refusal {
    Refusal::new(422, "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE", message)
}

/// `{"name":"iso"}` is read back with its pattern.
fn named_format(given: &Value) -> Value {
    let name = given.get("name").and_then(Value::as_str).unwrap_or("local");
    let format = match name {
        "iso" => "YYYY-MM-DD",
        "friendly" => "LL",
        "us" => "M/D/YYYY",
        "european" => "D/M/YYYY",
        "12hour" => "h:mma",
        "24hour" => "HH:mm",
        _ => "l",
    };
    json!({"name": name, "format": format})
}

fn choices(given: &Value, rng: &mut Rng) -> Answer<Value> {
    let Some(list) = given.as_array() else { return Err(invalid("options.choices must be an array".to_owned())) };
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for (at, choice) in list.iter().enumerate() {
        let Some(name) = choice.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            return Err(invalid("every choice needs a name".to_owned()));
        };
        if !seen.insert(name) {
            return Err(invalid(format!("the choice {name:?} is there twice")));
        }
        let id = choice.get("id").and_then(Value::as_str).map_or_else(|| mint(rng, "sel"), str::to_owned);
        let color = choice.get("color").and_then(Value::as_str).unwrap_or(COLORS[at % COLORS.len()]);
        out.push(json!({"id": id, "name": name, "color": color}));
    }
    Ok(json!({ "choices": out }))
}

/// One more choice at the end; says its id.
pub(super) fn add_choice(options: &mut Value, name: &str, rng: &mut Rng) -> String {
    let id = mint(rng, "sel");
    if let Some(list) = options.get_mut("choices").and_then(Value::as_array_mut) {
        let color = COLORS[list.len() % COLORS.len()];
        list.push(json!({"id": id, "name": name, "color": color}));
    }
    id
}

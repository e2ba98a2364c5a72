//! Cells in: what a client or person writes, checked against the field's type (Airtable field model, read 2026-11-23).
//! Nothing is changed here: options and linked rows that `typecast` asks for wait in [`Scratch`] until the whole request
//! is known to be good, because a batch is all or nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fields;
use super::formula_row::parse_date;
use super::model::{Base, Field, mint, stamp};
use super::refusal::{Answer, Refusal};
use super::render;
use crate::faults::Rng;

/// Single line and long text (support.airtable.com, read 2026-11-23).
pub(super) const TEXT_LIMIT: usize = 100_000;

/// What a request will do besides setting cells, once all of it is accepted.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) typecast: bool,
    /// New options of select fields, by field id.
    pub(super) options: BTreeMap<String, Value>,
    /// Rows that a typecast link names and that are not there yet: table id, record id, primary text.
    pub(super) rows: Vec<(String, String, String)>,
}

/// The cell to store, `None` for an empty one.
pub(super) fn accept(
    base: &Base,
    field: &Field,
    value: &Value,
    scratch: &mut Scratch,
    rng: &mut Rng,
) -> Answer<Option<Value>> {
    if fields::is_computed(&field.kind) {
        let message = format!("Field \"{}\" cannot accept a value because the field is computed", field.name);
        return Err(Refusal::value(message));
    }
    if value.is_null() {
        return Ok(None);
    }
    let cell = match field.kind.as_str() {
        "number" | "percent" | "currency" | "duration" => number(field, value, scratch.typecast)?,
        "rating" => rating(field, value)?,
        "checkbox" => checkbox(field, value, scratch.typecast)?,
        "date" | "dateTime" => date(field, value)?,
        "singleSelect" => select(field, value, scratch, rng)?,
        "multipleSelects" => selects(field, value, scratch, rng)?,
        "multipleRecordLinks" => links(base, field, value, scratch, rng)?,
        "singleCollaborator" => collaborator(field, value)?,
        "multipleCollaborators" => list(field, value)?.iter().map(|v| collaborator(field, v)).collect::<Answer<_>>()?,
        "multipleAttachments" => attachments(field, value, rng)?,
        "barcode" => match value.get("text") {
            Some(Value::String(_)) => value.clone(),
            _ => return Err(refused(field)),
        },
        _ => text(field, value, scratch.typecast)?,
    };
    let empty = matches!(&cell, Value::Bool(false) | Value::Null)
        || cell.as_str() == Some("")
        || cell.as_array().is_some_and(Vec::is_empty);
    Ok((!empty).then_some(cell))
}

fn refused(field: &Field) -> Refusal {
    Refusal::value(format!("Field \"{}\" cannot accept the provided value", field.name))
}

fn list<'v>(field: &Field, value: &'v Value) -> Answer<&'v Vec<Value>> {
    value.as_array().ok_or_else(|| refused(field))
}

fn text(field: &Field, value: &Value, typecast: bool) -> Answer<Value> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) if typecast => value.to_string(),
        _ => return Err(refused(field)),
    };
    if text.chars().count() > TEXT_LIMIT {
        let message = format!("Field \"{}\": text is longer than {TEXT_LIMIT} characters", field.name);
        return Err(Refusal::value(message));
    }
    Ok(Value::String(text))
}

/// Rounded to the field's precision, as the cell shows it.
fn number(field: &Field, value: &Value, typecast: bool) -> Answer<Value> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if typecast => text.trim().replace([',', '$', '€', '%'], "").parse().ok(),
        _ => None,
    };
    let number = number.filter(|n| n.is_finite()).ok_or_else(|| refused(field))?;
    let digits = field.options.get("precision").and_then(Value::as_u64).unwrap_or(8);
    // A percent's precision counts digits of the percentage; the cell holds the fraction.
    let digits = digits + if field.kind == "percent" { 2 } else { 0 };
    let scale = 10_f64.powi(i32::try_from(digits).unwrap_or(8));
    Ok(render::number((number * scale).round() / scale))
}

fn rating(field: &Field, value: &Value) -> Answer<Value> {
    let most = field.options.get("max").and_then(Value::as_i64).unwrap_or(5);
    match value.as_i64() {
        Some(0) => Ok(Value::Null),
        Some(stars) if (1..=most).contains(&stars) => Ok(json!(stars)),
        _ => Err(refused(field)),
    }
}

fn checkbox(field: &Field, value: &Value, typecast: bool) -> Answer<Value> {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) if typecast => {
            Ok(json!(matches!(text.to_lowercase().as_str(), "true" | "1" | "yes" | "checked")))
        }
        Value::Number(number) if typecast => Ok(json!(number.as_f64() != Some(0.0))),
        _ => Err(refused(field)),
    }
}

/// A date loses its time; a time is kept in UTC with milliseconds, and read as UTC if it names no zone.
fn date(field: &Field, value: &Value) -> Answer<Value> {
    let given = value.as_str().ok_or_else(|| refused(field))?;
    if given.is_empty() {
        return Ok(Value::Null);
    }
    let at = parse_date(given).ok_or_else(|| refused(field))?;
    Ok(if field.kind == "date" { json!(at.format("%Y-%m-%d").to_string()) } else { json!(stamp(at)) })
}

fn select(field: &Field, value: &Value, scratch: &mut Scratch, rng: &mut Rng) -> Answer<Value> {
    let name = match value {
        Value::String(name) => name.clone(),
        Value::Number(_) if scratch.typecast => value.to_string(),
        _ => return Err(refused(field)),
    };
    if name.is_empty() {
        return Ok(Value::Null);
    }
    let known = scratch.options.get(&field.id).unwrap_or(&field.options);
    let choices = known.get("choices").and_then(Value::as_array);
    if let Some(choice) = choices.into_iter().flatten().find(|c| c["name"] == name.as_str()) {
        return Ok(choice["id"].clone());
    }
    if !scratch.typecast {
        let message = format!("Insufficient permissions to create new select option \"\"{name}\"\"");
        return Err(Refusal::new(422, "INVALID_MULTIPLE_CHOICE_OPTIONS", message));
    }
    let options = scratch.options.entry(field.id.clone()).or_insert_with(|| field.options.clone());
    Ok(Value::String(fields::add_choice(options, &name, rng)))
}

fn selects(field: &Field, value: &Value, scratch: &mut Scratch, rng: &mut Rng) -> Answer<Value> {
    let names: Vec<Value> = match value {
        Value::Array(names) => names.clone(),
        Value::String(names) if scratch.typecast => names.split(',').map(|name| json!(name.trim())).collect(),
        _ => return Err(refused(field)),
    };
    let mut out: Vec<Value> = Vec::new();
    for name in &names {
        let id = select(field, name, scratch, rng)?;
        if !id.is_null() && !out.contains(&id) {
            out.push(id);
        }
    }
    Ok(Value::Array(out))
}

fn links(base: &Base, field: &Field, value: &Value, scratch: &mut Scratch, rng: &mut Rng) -> Answer<Value> {
    let wanted: Vec<Value> = match value {
        Value::Array(ids) => ids.clone(),
        Value::String(names) if scratch.typecast => names.split(',').map(|name| json!(name.trim())).collect(),
        _ => return Err(refused(field)),
    };
    let Some(table) = field.option("linkedTableId").and_then(|id| base.at(id)).map(|at| &base.tables[at]) else {
        return Err(refused(field));
    };
    let mut out: Vec<Value> = Vec::new();
    for id in &wanted {
        let Some(id) = id.as_str() else { return Err(refused(field)) };
        let id = if table.rows.contains_key(id) {
            id.to_owned()
        } else if scratch.typecast && !id.is_empty() && !id.starts_with("rec") {
            named_row(base, &table.id, id, scratch, rng)
        } else {
            return Err(Refusal::no_row(id));
        };
        let id = Value::String(id);
        if out.contains(&id) {
            return Err(Refusal::value(format!("Field \"{}\" cannot hold the same record twice", field.name)));
        }
        out.push(id);
    }
    Ok(Value::Array(out))
}

/// The row whose primary field reads so, or one that will be made.
fn named_row(base: &Base, table: &str, name: &str, scratch: &mut Scratch, rng: &mut Rng) -> String {
    let planned = scratch.rows.iter().find(|(in_table, _, text)| in_table == table && text == name);
    if let Some((_, id, _)) = planned {
        return id.clone();
    }
    let found = base.at(table).and_then(|at| {
        let table = &base.tables[at];
        table.order.values().find(|id| render::primary_text(base, table, id) == name).cloned()
    });
    found.unwrap_or_else(|| {
        let id = mint(rng, "rec");
        scratch.rows.push((table.to_owned(), id.clone(), name.to_owned()));
        id
    })
}

fn collaborator(field: &Field, value: &Value) -> Answer<Value> {
    render::people()
        .into_iter()
        .find(|person| ["id", "email"].iter().any(|key| value.get(*key).is_some_and(|given| *given == person[*key])))
        .ok_or_else(|| refused(field))
}

/// Kept by `{id}`, or made from `{url}`. The vendor fetches the file later; here it is taken as fetched.
fn attachments(field: &Field, value: &Value, rng: &mut Rng) -> Answer<Value> {
    list(field, value)?
        .iter()
        .map(|given| match (given.get("id"), given.get("url").and_then(Value::as_str)) {
            (Some(Value::String(id)), _) => Ok(json!({ "id": id })),
            (_, Some(url)) if url.starts_with("http") => {
                let name = given.get("filename").and_then(Value::as_str).unwrap_or_else(|| url.rsplit('/').next().unwrap_or("file"));
                Ok(json!({"id": mint(rng, "att"), "url": url, "filename": name, "size": 0, "type": "application/octet-stream"}))
            }
            _ => Err(Refusal::new(422, "INVALID_ATTACHMENT_OBJECT", format!("Field \"{}\": an attachment needs id or url", field.name))),
        })
        .collect()
}

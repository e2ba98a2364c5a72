//! Cells out, in Airtable's two formats: REST (selects by name, links by id) and the "V2" of webhook payloads (selects as
//! `{id,name,color}`, links as `[{id,name}]`); Airtable docs, read 2026-11-23. Computed fields are worked out here.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::fields;
use super::formula::{Cell, Formula};
use super::formula_row::RowView;
use super::model::{Base, Field, Row, Table, stamp};

/// The owner of the token, and the person whose hands the desk moves.
pub(super) fn people() -> [Value; 2] {
    [
        json!({"id": "usrSandboxOwner01", "email": "owner@sandbox.example", "name": "Orla Owner"}),
        json!({"id": "usrSandboxPerson1", "email": "person@sandbox.example", "name": "Pim Person"}),
    ]
}

/// Whole numbers are written without a fraction.
pub(super) fn number(n: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and far inside i64")]
    if n.fract() == 0.0 && n.abs() < 9e15 { json!(n as i64) } else { json!(n) }
}

/// A row as the API answers it: empty cells are left out.
pub(super) fn record(
    base: &Base,
    table: &Table,
    row: &Row,
    by_id: bool,
    only: Option<&[String]>,
    now: DateTime<Utc>,
) -> Value {
    let mut cells = Map::new();
    for field in table.fields.iter().filter(|f| only.is_none_or(|only| only.contains(&f.id))) {
        if let Some(value) = rest(base, table, row, field, now, 0) {
            cells.insert(if by_id { field.id.clone() } else { field.name.clone() }, value);
        }
    }
    json!({"id": row.id, "createdTime": stamp(row.created), "fields": cells})
}

/// `depth` counts formulas that read formulas; past a few the value is an error.
pub(super) fn rest(
    base: &Base,
    table: &Table,
    row: &Row,
    field: &Field,
    now: DateTime<Utc>,
    depth: u8,
) -> Option<Value> {
    if fields::is_computed(&field.kind) {
        return computed(base, table, row, field, now, depth);
    }
    let cell = row.cells.get(&field.id)?;
    Some(match field.kind.as_str() {
        "singleSelect" => field.choice_by_id(cell.as_str()?)?["name"].clone(),
        "multipleSelects" => {
            let names = ids(cell).filter_map(|id| Some(field.choice_by_id(id)?["name"].clone())).collect::<Vec<_>>();
            Value::Array(names)
        }
        _ => cell.clone(),
    })
}

/// A cell as webhook payloads carry it; an empty one is `null`.
pub(super) fn v2(
    base: &Base,
    table: &Table,
    row: &Row,
    field: &Field,
    cell: Option<&Value>,
    now: DateTime<Utc>,
) -> Value {
    if fields::is_computed(&field.kind) {
        return computed(base, table, row, field, now, 0).unwrap_or(Value::Null);
    }
    let Some(cell) = cell else { return Value::Null };
    match field.kind.as_str() {
        "singleSelect" => cell.as_str().and_then(|id| field.choice_by_id(id)).cloned().unwrap_or(Value::Null),
        "multipleSelects" => ids(cell).filter_map(|id| field.choice_by_id(id).cloned()).collect(),
        "multipleRecordLinks" => {
            let linked = field.option("linkedTableId").and_then(|id| base.at(id)).map(|at| &base.tables[at]);
            ids(cell)
                .map(|id| json!({"id": id, "name": linked.map(|t| primary_text(base, t, id)).unwrap_or_default()}))
                .collect()
        }
        _ => cell.clone(),
    }
}

fn ids(cell: &Value) -> impl Iterator<Item = &str> {
    cell.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// What the primary field of a row reads, as text.
pub(super) fn primary_text(base: &Base, table: &Table, row: &str) -> String {
    let found = table.rows.get(row).zip(table.field(&table.primary));
    let value = found.and_then(|(row, field)| rest(base, table, row, field, row.created, 0));
    match value {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn computed(base: &Base, table: &Table, row: &Row, field: &Field, now: DateTime<Utc>, depth: u8) -> Option<Value> {
    match field.kind.as_str() {
        "autoNumber" => Some(json!(row.number)),
        "createdTime" => Some(json!(stamp(row.created))),
        "lastModifiedTime" => {
            let watched: Vec<String> = field
                .options
                .get("referencedFieldIds")
                .map(|v| ids(v).map(str::to_owned).collect())
                .unwrap_or_default();
            Some(json!(stamp(row.modified((!watched.is_empty()).then_some(&watched)))))
        }
        "createdBy" | "lastModifiedBy" => Some(people()[0].clone()),
        "count" => {
            let links = row.cells.get(field.option("recordLinkFieldId")?).map_or(0, |cell| ids(cell).count());
            Some(json!(links))
        }
        "multipleLookupValues" | "lookup" => {
            linked_values(base, table, row, field, now, depth).filter(|v| !v.is_empty()).map(Value::Array)
        }
        "rollup" => {
            let values = linked_values(base, table, row, field, now, depth)?;
            Some(number(values.iter().filter_map(Value::as_f64).sum()))
        }
        "formula" => {
            if depth > 4 {
                return Some(json!({"error": "#ERROR!"}));
            }
            let formula = Formula::parse(field.option("formula")?).ok()?;
            let view = RowView { base, table, row, now, depth: depth + 1 };
            match formula.value(&view) {
                Cell::Blank => None,
                Cell::Number(n) => Some(number(n)),
                Cell::Error => Some(json!({"error": "#ERROR!"})),
                Cell::Bool(b) => Some(json!(u8::from(b))),
                other => Some(json!(other.text())),
            }
        }
        _ => None,
    }
}

fn linked_values(
    base: &Base,
    table: &Table,
    row: &Row,
    field: &Field,
    now: DateTime<Utc>,
    depth: u8,
) -> Option<Vec<Value>> {
    if depth > 4 {
        return None;
    }
    let link = table.field(field.option("recordLinkFieldId")?)?;
    let other = &base.tables[base.at(link.option("linkedTableId")?)?];
    let target = other.field(field.option("fieldIdInLinkedTable")?)?;
    let linked = row.cells.get(&link.id).into_iter().flat_map(ids).filter_map(|id| other.rows.get(id));
    Some(linked.filter_map(|row| rest(base, other, row, target, now, depth + 1)).collect())
}

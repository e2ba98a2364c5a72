//! Writing records: create, update, replace, upsert, delete; at most ten a request, all of them or none
//! (Airtable docs "create-records", "update-multiple-records", "delete-multiple-records", read 2026-11-23).
//!
//! Every write first checks the whole request into a plan, which changes nothing; then the plan is applied.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::cells::{self, Scratch};
use super::changes::{self, Source, Transaction};
use super::model::{Base, mint};
use super::refusal::{Answer, Refusal};
use super::{fields, render, webhooks};
use crate::faults::Rng;
use crate::world::Context;

const MOST: usize = 10;

type Cells = Vec<(String, Option<Value>)>;

/// One row to write.
struct Write {
    /// `None`: create.
    row: Option<String>,
    cells: Cells,
}

fn flag(body: &Map<String, Value>, name: &str) -> bool {
    body.get(name).is_some_and(|v| *v == true)
}

fn batch(body: &Map<String, Value>) -> Answer<Vec<&Map<String, Value>>> {
    let records = body.get("records").and_then(Value::as_array);
    let records = records.ok_or_else(|| Refusal::missing("Could not find field \"records\" in the request body"))?;
    if records.is_empty() || records.len() > MOST {
        return Err(Refusal::new(
            422,
            "INVALID_RECORDS",
            format!("A request takes 1 to {MOST} records, this has {}", records.len()),
        ));
    }
    records.iter().map(|r| r.as_object().ok_or_else(|| Refusal::malformed("Every record must be an object"))).collect()
}

fn cells_of(
    base: &Base,
    table: usize,
    record: &Map<String, Value>,
    scratch: &mut Scratch,
    rng: &mut Rng,
) -> Answer<Cells> {
    let Some(Value::Object(given)) = record.get("fields") else {
        return Err(Refusal::missing("Could not find field \"fields\" in the request body"));
    };
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for (name, value) in given {
        let field = base.tables[table].known_field(name)?;
        if !seen.insert(field.id.clone()) {
            return Err(Refusal::malformed(format!("Field \"{name}\" is given twice")));
        }
        out.push((field.id.clone(), cells::accept(base, field, value, scratch, rng)?));
    }
    Ok(out)
}

/// `POST /{base}/{table}`.
pub(super) fn create(base: &mut Base, table: &str, body: &Map<String, Value>, cx: &mut Context<'_>) -> Answer {
    let at = base.at(table).ok_or_else(Refusal::no_model)?;
    let mut scratch = Scratch { typecast: flag(body, "typecast"), ..Scratch::default() };
    let single = !body.contains_key("records");
    let records = if single { vec![body] } else { batch(body)? };
    let mut writes = Vec::new();
    for record in records {
        writes.push(Write { row: None, cells: cells_of(base, at, record, &mut scratch, cx.rng)? });
    }
    let (rows, _) = apply(base, at, writes, scratch, cx);
    Ok(answer(base, at, &rows, single, flag(body, "returnFieldsByFieldId"), cx.now))
}

/// `PATCH` (merge) and `PUT` (clears what is left out) of one record.
pub(super) fn update_one(
    base: &mut Base,
    table: &str,
    row: &str,
    body: &Map<String, Value>,
    replace: bool,
    cx: &mut Context<'_>,
) -> Answer {
    let at = base.at(table).ok_or_else(Refusal::no_model)?;
    if !base.tables[at].rows.contains_key(row) {
        return Err(Refusal::not_found());
    }
    let mut scratch = Scratch { typecast: flag(body, "typecast"), ..Scratch::default() };
    let cells = cells_of(base, at, body, &mut scratch, cx.rng)?;
    let cells = if replace { replacing(base, at, cells) } else { cells };
    let (rows, _) = apply(base, at, vec![Write { row: Some(row.to_owned()), cells }], scratch, cx);
    Ok(answer(base, at, &rows, true, flag(body, "returnFieldsByFieldId"), cx.now))
}

/// `PATCH` and `PUT` of up to ten, with or without `performUpsert`.
pub(super) fn update(
    base: &mut Base,
    table: &str,
    body: &Map<String, Value>,
    replace: bool,
    cx: &mut Context<'_>,
) -> Answer {
    let at = base.at(table).ok_or_else(Refusal::no_model)?;
    let merge = match body.get("performUpsert") {
        None | Some(Value::Null) => None,
        Some(upsert) => Some(merge_fields(base, at, upsert)?),
    };
    let mut scratch = Scratch { typecast: flag(body, "typecast"), ..Scratch::default() };
    let mut writes = Vec::new();
    let (mut seen_rows, mut seen_keys) = (BTreeSet::new(), BTreeSet::new());
    for record in batch(body)? {
        let cells = cells_of(base, at, record, &mut scratch, cx.rng)?;
        let row = match (record.get("id"), &merge) {
            (Some(Value::String(id)), _) => {
                if !base.tables[at].rows.contains_key(id) {
                    return Err(Refusal::no_row(id));
                }
                Some(id.clone())
            }
            // `id: null` is not "no id".
            (Some(_), _) => return Err(Refusal::malformed("A record's id must be a record id, or be left out")),
            (None, None) => return Err(Refusal::missing("Could not find field \"id\" in the request body")),
            (None, Some(merge)) => {
                let key = key_of(merge, &cells)?;
                // What Airtable does with one key twice is not documented (read 2026-11-23): refused, the safer guess.
                if !seen_keys.insert(serde_json::to_string(&key).unwrap_or_default()) {
                    return Err(Refusal::malformed(
                        "Two records in this request have the same values in the fields to merge on",
                    ));
                }
                matched(base, at, merge, &key)?
            }
        };
        if row.as_ref().is_some_and(|row| !seen_rows.insert(row.clone())) {
            return Err(Refusal::malformed("The same record is in this request twice"));
        }
        let cells = if replace && row.is_some() { replacing(base, at, cells) } else { cells };
        writes.push(Write { row, cells });
    }
    let (rows, created) = apply(base, at, writes, scratch, cx);
    let mut out = answer(base, at, &rows, false, flag(body, "returnFieldsByFieldId"), cx.now);
    if merge.is_some() {
        out["updatedRecords"] = rows.iter().filter(|row| !created.contains(row)).map(|row| json!(row)).collect();
        out["createdRecords"] = json!(created);
    }
    Ok(out)
}

fn merge_fields(base: &Base, table: usize, upsert: &Value) -> Answer<Vec<String>> {
    let names = upsert["fieldsToMergeOn"].as_array().filter(|names| (1..=3).contains(&names.len()));
    let names = names.ok_or_else(|| Refusal::malformed("performUpsert.fieldsToMergeOn takes 1 to 3 fields"))?;
    names
        .iter()
        .map(|name| {
            let name = name
                .as_str()
                .ok_or_else(|| Refusal::malformed("performUpsert.fieldsToMergeOn takes field names or ids"))?;
            let field = base.tables[table].known_field(name)?;
            if !fields::may_merge(&field.kind) {
                return Err(Refusal::malformed(format!(
                    "Cannot merge on field \"{}\" of type {}",
                    field.name, field.kind
                )));
            }
            Ok(field.id.clone())
        })
        .collect()
}

fn key_of(merge: &[String], cells: &Cells) -> Answer<Vec<Option<Value>>> {
    merge
        .iter()
        .map(|field| {
            let cell = cells.iter().find(|(id, _)| id == field).map(|(_, cell)| cell.clone());
            cell.ok_or_else(|| Refusal::missing("Every record must have a value for each field to merge on"))
        })
        .collect()
}

/// The row to update, `None` to create; more than one fails the whole request.
fn matched(base: &mut Base, table: usize, merge: &[String], key: &[Option<Value>]) -> Answer<Option<String>> {
    let mut rows: Option<BTreeSet<String>> = None;
    for (field, cell) in merge.iter().zip(key) {
        // An empty key matches no row.
        let Some(cell) = cell else { return Ok(None) };
        let with = base.tables[table].rows_with(field, cell);
        rows = Some(match rows {
            None => with,
            Some(rows) => rows.intersection(&with).cloned().collect(),
        });
    }
    let mut rows = rows.unwrap_or_default().into_iter();
    match (rows.next(), rows.next()) {
        (row, None) => Ok(row),
        _ => Err(Refusal::malformed("Cannot upsert: more than one record matches the fields to merge on")),
    }
}

/// A replace sets every field that can be set; those not named become empty.
fn replacing(base: &Base, table: usize, cells: Cells) -> Cells {
    let settable = base.tables[table].fields.iter().filter(|f| !fields::is_computed(&f.kind));
    let emptied: Cells =
        settable.filter(|f| !cells.iter().any(|(id, _)| *id == f.id)).map(|f| (f.id.clone(), None)).collect();
    cells.into_iter().chain(emptied).collect()
}

/// Does what was planned. Says the written rows in order, and which of them are new.
fn apply(
    base: &mut Base,
    table: usize,
    writes: Vec<Write>,
    scratch: Scratch,
    cx: &mut Context<'_>,
) -> (Vec<String>, Vec<String>) {
    let mut txn = Transaction::new(Source::Api);
    settle(base, &mut txn, table, scratch, cx.now);
    let (mut rows, mut created) = (Vec::new(), Vec::new());
    for write in writes {
        let row = write.row.unwrap_or_else(|| {
            let id = mint(cx.rng, "rec");
            changes::create_row(base, &mut txn, table, &id, cx.now);
            created.push(id.clone());
            id
        });
        for (field, cell) in write.cells {
            changes::put(base, &mut txn, table, &row, &field, cell, cx.now);
        }
        rows.push(row);
    }
    webhooks::commit(base, &txn, cx);
    (rows, created)
}

/// Makes the options and rows that `typecast` asked for.
pub(super) fn settle(base: &mut Base, txn: &mut Transaction, table: usize, scratch: Scratch, now: DateTime<Utc>) {
    for (field, options) in scratch.options {
        let Some(held) = base.tables[table].field_mut(&field) else { continue };
        let was = json!({"name": held.name, "type": held.kind});
        held.options = options;
        txn.table(&base.tables[table].id).changed_fields.insert(field, was);
    }
    for (other, id, text) in scratch.rows {
        if let Some(at) = base.at(&other) {
            changes::create_row(base, txn, at, &id, now);
            let primary = base.tables[at].primary.clone();
            changes::put(base, txn, at, &id, &primary, Some(Value::String(text)), now);
        }
    }
}

fn answer(base: &Base, table: usize, rows: &[String], single: bool, by_id: bool, now: DateTime<Utc>) -> Value {
    let held = &base.tables[table];
    let mut records =
        rows.iter().filter_map(|id| held.rows.get(id)).map(|row| render::record(base, held, row, by_id, None, now));
    if single {
        return records.next().unwrap_or(Value::Null);
    }
    json!({ "records": records.collect::<Vec<_>>() })
}

pub(super) fn delete_one(base: &mut Base, table: &str, row: &str, cx: &mut Context<'_>) -> Answer {
    let at = base.at(table).ok_or_else(Refusal::no_model)?;
    if !base.tables[at].rows.contains_key(row) {
        return Err(Refusal::not_found());
    }
    delete_rows(base, at, &[row.to_owned()], cx);
    Ok(json!({"id": row, "deleted": true}))
}

/// `DELETE /{base}/{table}?records[]=…`.
pub(super) fn delete(base: &mut Base, table: &str, rows: &[String], cx: &mut Context<'_>) -> Answer {
    let at = base.at(table).ok_or_else(Refusal::no_model)?;
    if rows.is_empty() || rows.len() > MOST {
        return Err(Refusal::new(
            422,
            "INVALID_RECORDS",
            format!("A request deletes 1 to {MOST} records, this has {}", rows.len()),
        ));
    }
    if let Some(absent) = rows.iter().find(|row| !base.tables[at].rows.contains_key(*row)) {
        return Err(Refusal::no_row(absent));
    }
    delete_rows(base, at, rows, cx);
    Ok(json!({ "records": rows.iter().map(|row| json!({"id": row, "deleted": true})).collect::<Vec<_>>() }))
}

fn delete_rows(base: &mut Base, table: usize, rows: &[String], cx: &mut Context<'_>) {
    let mut txn = Transaction::new(Source::Api);
    for row in rows {
        changes::destroy_row(base, &mut txn, table, row, cx.now);
    }
    webhooks::commit(base, &txn, cx);
}

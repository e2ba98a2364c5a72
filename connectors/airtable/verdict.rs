//! From writes to rows, and from a refusal to a verdict for each record. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::binding::{Field, Table};
use super::cells::{self, Sort};
use super::client::Failure;
use crate::{Fault, Write, Written};

/// One row of a request. Writes of one batch to one record share a row.
pub(super) struct Outgoing {
    /// Which of the writes it carries.
    pub(super) writes: Vec<usize>,
    pub(super) target: Option<String>,
    pub(super) external_id: String,
    /// By name on the wire.
    pub(super) cells: Map<String, Value>,
    /// The same, canonical, by the mapping's name, without the external id.
    pub(super) sent: Map<String, Value>,
    pub(super) skipped: BTreeMap<String, String>,
}

/// The rows for those writes that create (or that update), in order.
pub(super) fn rows(table: &Table, writes: &[Write], creates: bool, typecast: bool) -> Vec<Outgoing> {
    let mut rows: Vec<Outgoing> = Vec::new();
    for (at, write) in writes.iter().enumerate().filter(|(_, write)| write.target.is_none() == creates) {
        let row = row(table, write, at, typecast);
        let same = |other: &&mut Outgoing| match &row.target {
            Some(id) => other.target.as_ref() == Some(id),
            None => other.external_id == row.external_id,
        };
        // Airtable does not say what it does with one key twice in a batch.
        if let Some(earlier) = rows.iter_mut().find(same) {
            earlier.writes.push(at);
            earlier.cells.extend(row.cells);
            earlier.sent.extend(row.sent);
            earlier.skipped.extend(row.skipped);
        } else {
            rows.push(row);
        }
    }
    rows
}

fn row(table: &Table, write: &Write, at: usize, typecast: bool) -> Outgoing {
    let mut row = Outgoing {
        writes: vec![at],
        target: write.target.clone(),
        external_id: write.external_id.clone(),
        cells: Map::new(),
        sent: Map::new(),
        skipped: BTreeMap::new(),
    };
    for (name, value) in &write.fields {
        // Merging names the key itself; a row that people made gets it as any other cell.
        if write.target.is_some() || table.key.as_ref() != Some(name) {
            put(&mut row, table, name, value.clone(), typecast);
        }
    }
    for (name, change) in &write.tags {
        if write.target.is_none() {
            put(&mut row, table, name, json!(change.add), typecast);
        } else {
            row.skipped.insert(
                name.clone(),
                "Airtable can only replace a set, not add to it: map the field as a list of options".into(),
            );
        }
    }
    if let (Some(key), None) = (table.key_field(), &write.target) {
        row.cells.insert(key.wire().to_owned(), json!(write.external_id));
    }
    row
}

fn put(row: &mut Outgoing, table: &Table, name: &str, value: Value, typecast: bool) {
    let by_name = Field { name: name.to_owned(), ..Field::default() };
    let field = match table.fields.get(name) {
        Some(field) => field,
        None if table.by_id() || table.missing.contains_key(name) => {
            let why = table
                .missing
                .get(name)
                .cloned()
                .unwrap_or_else(|| format!("there is no field {name} in table {}", table.name));
            row.skipped.insert(name.to_owned(), why);
            return;
        }
        None => &by_name,
    };
    let value = cells::canonical(Some(field), value);
    match cells::fits(field, &value, typecast) {
        Ok(cell) => {
            row.cells.insert(field.wire().to_owned(), cell);
            row.sent.insert(name.to_owned(), value);
        }
        Err(why) => {
            row.skipped.insert(name.to_owned(), why);
        }
    }
}

type Verdicts = Vec<Result<Written, Fault>>;

/// A verdict per row, and the fields (with their collection) that turned out to be unknown there.
pub(super) fn refused(
    collection: &str,
    table: &Table,
    batch: &[Outgoing],
    failure: &Failure,
) -> (Verdicts, Vec<(String, String)>) {
    let all = |verdict: Result<Written, Fault>| -> Verdicts { batch.iter().map(|_| verdict.clone()).collect() };
    let kind = failure.kind.as_str();
    if kind == "UNKNOWN_FIELD_NAME" {
        let suspects: Vec<_> =
            named(table, batch, &failure.message).into_iter().map(|field| (collection.to_owned(), field)).collect();
        if !suspects.is_empty() {
            // The next try leaves the field out and says so, which makes the engine look at the schema again.
            let why = format!("the binding is out of date: {}", failure.message);
            return (all(Err(Fault::Later { after: Some(Duration::from_secs(1)), why })), suspects);
        }
    }
    let verdict = match (batch, failure.status) {
        ([row], 404 | 422) if row.target.is_some() && is_gone(failure) => Ok(Written::Gone),
        // The row, or only this way of writing it, is not there: a read tells.
        ([row], 404) if row.target.is_some() && !kind.contains("TABLE") => {
            Err(Fault::unknown(format!("HTTP 404 {kind} to a write: a look will tell whether the record is gone")))
        }
        (rows, 404) if kind.contains("TABLE") || rows.iter().any(|row| row.target.is_none()) => {
            Err(Fault::locked(format!("table {collection} is gone: {}", failure.message)))
        }
        ([row], 400 | 413 | 422) => Err(alone(table, row, failure)),
        _ => Err(failure.fault.clone()),
    };
    (all(verdict), Vec::new())
}

/// Whether a write was refused for a field that it calls by its id.
pub(super) fn blames_an_id(table: &Table, batch: &[Outgoing], failure: &Failure) -> bool {
    failure.kind == "UNKNOWN_FIELD_NAME"
        && table.by_id()
        && batch.iter().flat_map(|row| row.cells.keys()).any(|wire| failure.message.contains(wire.as_str()))
}

fn is_gone(failure: &Failure) -> bool {
    failure.kind == "ROW_DOES_NOT_EXIST" || failure.kind == "MODEL_ID_NOT_FOUND"
}

/// A refusal of one record: the cause can be told.
fn alone(table: &Table, row: &Outgoing, failure: &Failure) -> Fault {
    let message = failure.message.to_ascii_lowercase();
    let several = ["more than one", "multiple records", "matched multiple", "duplicate"]
        .iter()
        .any(|sign| message.contains(sign));
    if row.target.is_none() && several {
        // Somebody duplicated the row. The search knows which one is ours.
        return Fault::unknown(format!("several rows carry this external id ({})", failure.message));
    }
    if failure.kind == "INVALID_MULTIPLE_CHOICE_OPTIONS" || message.contains("select option") {
        let (field, option) = unknown_option(table, row, &failure.message);
        let why = match (&field, &option) {
            (Some(field), Some(option)) => {
                format!("option {option} is missing in field {field}: add it there or run `loopd setup airtable`")
            }
            _ => format!("an option is missing: add it there or run `loopd setup airtable` ({})", failure.message),
        };
        return Fault::Rejected { why, field };
    }
    let field = named(table, std::slice::from_ref(row), &failure.message).into_iter().next();
    match &failure.fault {
        Fault::Rejected { why, .. } => Fault::Rejected { why: why.clone(), field },
        other => other.clone(),
    }
}

/// The written fields that a message names, in quotes or as an id.
fn named(table: &Table, batch: &[Outgoing], message: &str) -> Vec<String> {
    let mut names = BTreeSet::new();
    let words: BTreeSet<&str> =
        message.split(['"', '\'', '`', '“', '”']).map(|word| word.trim_matches(['\\', ' '])).collect();
    for row in batch {
        let key = table.key.iter().map(|key| (key, table.key_field()));
        let sent = row.sent.keys().map(|name| (name, table.fields.get(name)));
        for (name, field) in sent.chain(key) {
            let id = field.and_then(|field| field.id.as_deref());
            let now = field.map_or(name.as_str(), |field| field.name.as_str());
            if words.contains(now) || words.contains(name.as_str()) || id.is_some_and(|id| message.contains(id)) {
                names.insert(name.clone());
            }
        }
    }
    names.into_iter().collect()
}

/// Whether a row sets an option that was not there when the schema was read.
pub(super) fn is_doubtful(table: &Table, row: &Outgoing) -> bool {
    row.sent.iter().any(|(name, value)| {
        let Some(field) = table.fields.get(name) else { return false };
        matches!(cells::sort(&field.kind), Sort::Select | Sort::Selects)
            && options(value).any(|option| !field.has_option(option))
    })
}

fn options(value: &Value) -> impl Iterator<Item = &str> {
    value.as_str().into_iter().chain(value.as_array().into_iter().flatten().filter_map(Value::as_str))
}

/// Which option of which field: the one that the message quotes, else one that the schema did not have.
fn unknown_option(table: &Table, row: &Outgoing, message: &str) -> (Option<String>, Option<String>) {
    let mut quoted = None;
    let mut lacking = None;
    let mut only = Vec::new();
    for (name, value) in &row.sent {
        let Some(field) = table.fields.get(name) else { continue };
        if !matches!(cells::sort(&field.kind), Sort::Select | Sort::Selects | Sort::Unknown) {
            continue;
        }
        for option in options(value) {
            if quoted.is_none() && message.contains(option) {
                quoted = Some((name.clone(), option.to_owned()));
            }
            if lacking.is_none() && !field.options.is_empty() && !field.has_option(option) {
                lacking = Some((name.clone(), option.to_owned()));
            }
            only.push((name.clone(), option.to_owned()));
        }
    }
    let only = if let [one] = only.as_slice() { Some(one.clone()) } else { None };
    lacking.or(quoted).or(only).unzip()
}

//! What the webhook's payloads say: which records changed, which are gone, and what people typed. Pure.
//!
//! Payloads tell *that* a record changed; its values are then read, because a payload is as old as its place in the
//! queue. Our own writes come back here too: a change through the API whose every cell is one that we just wrote is
//! dropped unread ([`Echo`]), so that writing costs no reading.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::binding::{Binding, Table};
use super::cells::{self, Sort};
use super::types::{array, object, text};
use crate::spelling::instant;
use crate::{Edit, Key};

/// Cells remembered at most: a minute of writing at full pace.
const REMEMBERED: usize = 40_000;

/// A record that changed and has still to be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) collection: String,
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) edits: Vec<Edit>,
}

/// The cells that we wrote lately, as hashes, each to be recognised once.
#[derive(Default)]
pub(super) struct Echo {
    cells: BTreeSet<u64>,
    order: VecDeque<u64>,
}

impl Echo {
    pub(super) fn wrote(&mut self, record: &str, field: &str, value: &Value) {
        let cell = cell(record, field, value);
        if self.cells.insert(cell) {
            self.order.push_back(cell);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.cells.remove(&oldest);
            }
        }
    }

    /// Whether all these cells are ours; if so, they are forgotten.
    fn recognise(&mut self, record: &str, values: &BTreeMap<&str, Value>) -> bool {
        let cells: Vec<_> = values.iter().map(|(field, value)| cell(record, field, value)).collect();
        let ours = !cells.is_empty() && cells.iter().all(|cell| self.cells.contains(cell));
        if ours {
            for cell in &cells {
                self.cells.remove(cell);
            }
        }
        ours
    }
}

fn cell(record: &str, field: &str, value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    (record, field, value.to_string()).hash(&mut hasher);
    hasher.finish()
}

/// Adds what `payloads` say to `pending`, and returns the records that are gone.
pub(super) fn digest(payloads: &[Value], binding: &Binding, echo: &mut Echo, pending: &mut Vec<Pending>) -> Vec<Key> {
    let tables: BTreeMap<&str, (&str, &Table)> = binding
        .tables
        .iter()
        .filter_map(|(name, table)| Some((table.id.as_deref()?, (name.as_str(), table))))
        .collect();
    let mut gone = Vec::new();
    for payload in payloads {
        let source = payload.get("actionMetadata").and_then(|action| text(action, "source")).unwrap_or_default();
        let at = text(payload, "timestamp").as_deref().and_then(instant);
        for (id, changes) in object(payload, "changedTablesById") {
            let Some((collection, table)) = tables.get(id.as_str()).copied() else { continue };
            for (record, created) in object(changes, "createdRecordsById") {
                let cells = values(table, created);
                if source != "publicApi" || !echo.recognise(record, &cells) {
                    waiting(pending, collection, record);
                }
            }
            for (record, change) in object(changes, "changedRecordsById") {
                let now = change.get("current").map(|current| values(table, current)).unwrap_or_default();
                if source == "publicApi" {
                    let before = change.get("previous").map(|previous| values(table, previous)).unwrap_or_default();
                    overwrite(pending, collection, record, table, &before);
                    if !echo.recognise(record, &now) {
                        waiting(pending, collection, record);
                    }
                } else {
                    let edits = &mut waiting(pending, collection, record).edits;
                    // Only what a person did; unknown sources are people until shown otherwise.
                    if !matches!(source.as_str(), "automation" | "system" | "sync") {
                        edits.extend(now.into_iter().filter_map(|(wire, value)| {
                            let (field, _) = table.by_wire(wire)?;
                            Some(Edit { field: field.to_owned(), value, at, overwritten: false })
                        }));
                    }
                }
            }
            for record in array(changes, "destroyedRecordIds").iter().filter_map(Value::as_str) {
                pending.retain(|waiting| !(waiting.collection == collection && waiting.id == record));
                gone.push(Key::new(collection, record));
            }
        }
    }
    gone
}

fn waiting<'a>(pending: &'a mut Vec<Pending>, collection: &str, id: &str) -> &'a mut Pending {
    let at =
        pending.iter().position(|waiting| waiting.collection == collection && waiting.id == id).unwrap_or_else(|| {
            pending.push(Pending { collection: collection.to_owned(), id: id.to_owned(), edits: Vec::new() });
            pending.len() - 1
        });
    &mut pending[at]
}

/// The cells of bound fields that hold stored values, canonical, by field id. (V2 cells: selects and links are objects.)
fn values<'a>(table: &Table, state: &'a Value) -> BTreeMap<&'a str, Value> {
    object(state, "cellValuesByFieldId")
        .filter_map(|(wire, value)| {
            let (_, field) = table.by_wire(wire)?;
            let stored = cells::sort(&field.kind) != Sort::Computed;
            stored.then(|| (wire.as_str(), cells::canonical(Some(field), value.clone())))
        })
        .collect()
}

/// An API write replaced what a person typed: from now on their value is known from here only.
fn overwrite(pending: &mut [Pending], collection: &str, record: &str, table: &Table, before: &BTreeMap<&str, Value>) {
    let Some(waiting) = pending.iter_mut().find(|waiting| waiting.collection == collection && waiting.id == record)
    else {
        return;
    };
    for (wire, replaced) in before {
        let Some((field, _)) = table.by_wire(wire) else { continue };
        let typed = waiting.edits.iter_mut().rev().find(|edit| edit.field == field);
        if let Some(typed) = typed.filter(|typed| typed.value == *replaced) {
            typed.overwritten = true;
        }
    }
}

//! The one way rows change, and the transaction that remembers what changed for the webhooks.
//!
//! Links are kept on both sides: whoever sets a link field sets its inverse too, and both count as changes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::model::{Base, stamp};
use super::render;

/// Who changed something, as `actionMetadata` names it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A request to the API.
    Api,
    /// A person in Airtable's own screens.
    Person,
}

impl Source {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Api => "publicApi",
            Self::Person => "client",
        }
    }

    fn metadata(self) -> Value {
        let [owner, person] = render::people();
        let mut user = if self == Self::Api { owner } else { person };
        user["permissionLevel"] = json!("create");
        json!({"source": self.name(), "sourceMetadata": {"user": user}})
    }
}

/// All changes of one request or one act of a person.
pub(super) struct Transaction {
    pub(super) source: Source,
    pub(super) tables: BTreeMap<String, TableChange>,
    pub(super) created_tables: Vec<String>,
}

#[derive(Default)]
pub(super) struct TableChange {
    pub(super) created: BTreeSet<String>,
    /// Rows, their changed fields, and what the cells were (V2).
    pub(super) changed: BTreeMap<String, BTreeMap<String, Value>>,
    pub(super) destroyed: BTreeSet<String>,
    pub(super) created_fields: BTreeSet<String>,
    /// Fields, and what they were: name and type.
    pub(super) changed_fields: BTreeMap<String, Value>,
    pub(super) destroyed_fields: BTreeSet<String>,
    /// What name and description were.
    pub(super) metadata: Option<Value>,
}

impl Transaction {
    pub(super) fn new(source: Source) -> Self {
        Self { source, tables: BTreeMap::new(), created_tables: Vec::new() }
    }

    pub(super) fn table(&mut self, table: &str) -> &mut TableChange {
        self.tables.entry(table.to_owned()).or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.created_tables.is_empty()
    }
}

/// Sets a cell, its inverse links, and remembers what it was.
pub(super) fn put(
    base: &mut Base,
    txn: &mut Transaction,
    table: usize,
    row: &str,
    field: &str,
    cell: Option<Value>,
    now: DateTime<Utc>,
) {
    let held = &base.tables[table];
    let (Some(old_row), Some(spec)) = (held.rows.get(row), held.field(field)) else { return };
    let before = old_row.cells.get(&spec.id).cloned();
    if before == cell {
        return;
    }
    let shown_before = render::v2(base, held, old_row, spec, before.as_ref(), now);
    let inverse = spec.option("linkedTableId").zip(spec.option("inverseLinkFieldId"));
    let inverse = inverse.and_then(|(other, field)| Some((base.at(other)?, field.to_owned())));
    let field_id = spec.id.clone();
    let table_id = held.id.clone();
    let (was, is) = (ids(before.as_ref()), ids(cell.as_ref()));
    base.tables[table].set(row, &field_id, cell, now);
    let change = txn.table(&table_id);
    if !change.created.contains(row) {
        change.changed.entry(row.to_owned()).or_default().entry(field_id).or_insert(shown_before);
    }
    if let Some((other, field)) = inverse {
        for gone in was.difference(&is) {
            let linked: Vec<Value> = links(base, other, gone, &field).into_iter().filter(|id| id != row).collect();
            put(base, txn, other, gone, &field, (!linked.is_empty()).then_some(Value::Array(linked)), now);
        }
        for new in is.difference(&was) {
            let mut linked = links(base, other, new, &field);
            if !linked.iter().any(|id| id == row) {
                linked.push(json!(row));
                put(base, txn, other, new, &field, Some(Value::Array(linked)), now);
            }
        }
    }
}

fn ids(cell: Option<&Value>) -> BTreeSet<String> {
    cell.and_then(Value::as_array).into_iter().flatten().filter_map(|id| Some(id.as_str()?.to_owned())).collect()
}

fn links(base: &Base, table: usize, row: &str, field: &str) -> Vec<Value> {
    let cell = base.tables[table].rows.get(row).and_then(|row| row.cells.get(field));
    cell.and_then(Value::as_array).cloned().unwrap_or_default()
}

pub(super) fn create_row(base: &mut Base, txn: &mut Transaction, table: usize, id: &str, now: DateTime<Utc>) {
    let held = &mut base.tables[table];
    held.add_row(id.to_owned(), now);
    txn.table(&held.id).created.insert(id.to_owned());
}

/// Takes a row out of the table and out of every link to it.
pub(super) fn destroy_row(base: &mut Base, txn: &mut Transaction, table: usize, id: &str, now: DateTime<Utc>) -> bool {
    if !base.tables[table].rows.contains_key(id) {
        return false;
    }
    let link_fields: Vec<String> =
        base.tables[table].fields.iter().filter(|f| f.kind == "multipleRecordLinks").map(|f| f.id.clone()).collect();
    for field in link_fields {
        put(base, txn, table, id, &field, None, now);
    }
    base.tables[table].drop_row(id);
    let change = txn.table(&base.tables[table].id);
    change.changed.remove(id);
    if !change.created.remove(id) {
        change.destroyed.insert(id.to_owned());
    }
    true
}

/// A payload of the parts that a webhook asked for.
pub(super) struct Wanted<'a> {
    pub(super) tables: &'a BTreeMap<String, TableChange>,
    /// `None`: every change counts. Else only changes of these fields.
    pub(super) watched: Option<Vec<String>>,
    pub(super) records: bool,
    pub(super) fields: bool,
    pub(super) metadata: bool,
    pub(super) kinds: Option<Vec<String>>,
    pub(super) scope: Option<String>,
    /// Fields whose unchanged cells come along; `all` is every field.
    pub(super) include_cells: Value,
    pub(super) include_previous: bool,
}

impl Wanted<'_> {
    fn wants(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|k| k == kind))
    }

    fn includes(&self, field: &str) -> bool {
        self.include_cells == "all" || self.include_cells.as_array().is_some_and(|ids| ids.iter().any(|id| id == field))
    }

    /// `changedTablesById`, empty if nothing was asked for.
    pub(super) fn changed_tables(&self, base: &Base, now: DateTime<Utc>) -> Map<String, Value> {
        let mut out = Map::new();
        for (id, change) in self.tables {
            if self.scope.as_ref().is_some_and(|scope| scope != id) {
                continue;
            }
            let Some(at) = base.at(id) else { continue };
            let mut body = Map::new();
            if self.records {
                self.records_of(base, at, change, now, &mut body);
            }
            if self.fields {
                self.fields_of(base, at, change, &mut body);
            }
            if let Some(previous) = change.metadata.as_ref().filter(|_| self.metadata) {
                let current = json!({"name": base.tables[at].name, "description": base.tables[at].description});
                body.insert("changedMetadata".to_owned(), json!({"current": current, "previous": previous}));
            }
            if !body.is_empty() {
                out.insert(id.clone(), Value::Object(body));
            }
        }
        out
    }

    fn records_of(
        &self,
        base: &Base,
        table: usize,
        change: &TableChange,
        now: DateTime<Utc>,
        body: &mut Map<String, Value>,
    ) {
        let held = &base.tables[table];
        let watched = |field: &str| self.watched.as_ref().is_none_or(|ids| ids.iter().any(|id| id == field));
        let mut created = Map::new();
        for row in change.created.iter().filter_map(|id| held.rows.get(id)).filter(|_| self.wants("add")) {
            let cells: Map<String, Value> = held
                .fields
                .iter()
                .filter(|f| row.cells.contains_key(&f.id))
                .map(|f| (f.id.clone(), render::v2(base, held, row, f, row.cells.get(&f.id), now)))
                .collect();
            if self.watched.is_none() || cells.keys().any(|id| watched(id)) {
                created
                    .insert(row.id.clone(), json!({"createdTime": stamp(row.created), "cellValuesByFieldId": cells}));
            }
        }
        let mut changed = Map::new();
        for (id, cells) in change.changed.iter().filter(|_| self.wants("update")) {
            let Some(row) = held.rows.get(id).filter(|_| cells.keys().any(|field| watched(field))) else { continue };
            let shown = |wanted: &dyn Fn(&str) -> bool| -> Map<String, Value> {
                held.fields
                    .iter()
                    .filter(|f| wanted(&f.id))
                    .map(|f| (f.id.clone(), render::v2(base, held, row, f, row.cells.get(&f.id), now)))
                    .collect()
            };
            let current = shown(&|field| cells.contains_key(field) && watched(field));
            let mut entry = json!({"current": {"cellValuesByFieldId": current}});
            if self.include_previous {
                let previous: Map<String, Value> =
                    cells.iter().filter(|(f, _)| watched(f)).map(|(f, v)| (f.clone(), v.clone())).collect();
                entry["previous"] = json!({ "cellValuesByFieldId": previous });
            }
            let unchanged = shown(&|field| !cells.contains_key(field) && self.includes(field));
            if !unchanged.is_empty() {
                entry["unchanged"] = json!({ "cellValuesByFieldId": unchanged });
            }
            changed.insert(id.clone(), entry);
        }
        if !created.is_empty() {
            body.insert("createdRecordsById".to_owned(), Value::Object(created));
        }
        if !changed.is_empty() {
            body.insert("changedRecordsById".to_owned(), Value::Object(changed));
        }
        if !change.destroyed.is_empty() && self.wants("remove") && self.watched.is_none() {
            body.insert("destroyedRecordIds".to_owned(), json!(change.destroyed));
        }
    }

    fn fields_of(&self, base: &Base, table: usize, change: &TableChange, body: &mut Map<String, Value>) {
        let held = &base.tables[table];
        let shown = |id: &str| held.field(id).map(|f| json!({"name": f.name, "type": f.kind}));
        let created: Map<String, Value> = change
            .created_fields
            .iter()
            .filter(|_| self.wants("add"))
            .filter_map(|id| Some((id.clone(), shown(id)?)))
            .collect();
        let changed: Map<String, Value> = change
            .changed_fields
            .iter()
            .filter(|_| self.wants("update"))
            .filter_map(|(id, was)| Some((id.clone(), json!({"current": shown(id)?, "previous": was}))))
            .collect();
        if !created.is_empty() {
            body.insert("createdFieldsById".to_owned(), Value::Object(created));
        }
        if !changed.is_empty() {
            body.insert("changedFieldsById".to_owned(), Value::Object(changed));
        }
        if !change.destroyed_fields.is_empty() && self.wants("remove") {
            body.insert("destroyedFieldIds".to_owned(), json!(change.destroyed_fields));
        }
    }
}

/// Everything of a payload but its changes.
pub(super) fn envelope(source: Source, number: u64, now: DateTime<Utc>) -> Value {
    json!({
        "timestamp": stamp(now),
        "baseTransactionNumber": number,
        "payloadFormat": "v0",
        "actionMetadata": source.metadata(),
    })
}

//! People's hands in Airtable, and a look at what is there.
//!
//! Edits go through the same checks as a client's and are told to webhooks with source `client`. A wrong name or value
//! is the test's own mistake: it panics with what was asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::cells::{self, Scratch};
use super::changes::{self, Source, Transaction};
use super::model::{Base, mint};
use super::refusal::Refusal;
use super::{Airtable, Token, fields, records, render, schema, template, webhooks};
use crate::world::Context;

#[track_caller]
fn must<T>(what: &str, answer: Result<T, Refusal>) -> T {
    match answer {
        Ok(value) => value,
        Err(refusal) => panic!("Airtable desk, {what}: {refusal:?}"),
    }
}

impl Airtable {
    /// A base with loopd's own tables: Feedback, Customers, Themes.
    #[track_caller]
    pub fn create_base(&mut self, cx: &mut Context<'_>, id: &str, name: &str) {
        self.create_base_with(cx, id, name, &Value::Array(template::tables()));
    }

    /// A base with any tables, in the shape that create-base takes: `[{"name", "fields": [{"name", "type", "options"}]}]`.
    /// `linkedTableId` may be a table's name; computed fields may be made, and name the fields they read.
    #[track_caller]
    pub fn create_base_with(&mut self, cx: &mut Context<'_>, id: &str, name: &str, tables: &Value) {
        let tables = tables.as_array().map(Vec::as_slice).unwrap_or_default();
        let base = must("create_base", schema::new_base(id.to_owned(), name.to_owned(), tables, true, cx.rng));
        self.bases.insert(id.to_owned(), base);
    }

    /// A person adds a column, of any type.
    #[track_caller]
    pub fn add_field(&mut self, cx: &mut Context<'_>, base: &str, table: &str, field: &Value) -> String {
        let body = field.as_object().cloned().unwrap_or_default();
        let made = must("add_field", schema::create_field(self.held(base), table, &body, Source::Person, cx));
        made["id"].as_str().unwrap_or_default().to_owned()
    }

    /// A person types into a cell; `null` clears it. Values are as the API takes them.
    #[track_caller]
    pub fn edit_cell(
        &mut self,
        cx: &mut Context<'_>,
        base: &str,
        table: &str,
        record: &str,
        field: &str,
        value: &Value,
    ) {
        self.edit_row(cx, base, table, record, &json!({ field: value }));
    }

    /// A person fills several cells of a row at once.
    #[track_caller]
    pub fn edit_row(&mut self, cx: &mut Context<'_>, base: &str, table: &str, record: &str, values: &Value) {
        let base = self.held(base);
        let at = place(base, table);
        assert!(base.tables[at].rows.contains_key(record), "Airtable desk: no record {record} in {table}");
        let mut txn = Transaction::new(Source::Person);
        write(base, &mut txn, at, record, values, cx);
        webhooks::commit(base, &txn, cx);
    }

    /// A person adds a row; says its id.
    #[track_caller]
    pub fn add_row(&mut self, cx: &mut Context<'_>, base: &str, table: &str, values: &Value) -> String {
        let base = self.held(base);
        let at = place(base, table);
        let id = mint(cx.rng, "rec");
        let mut txn = Transaction::new(Source::Person);
        changes::create_row(base, &mut txn, at, &id, cx.now);
        write(base, &mut txn, at, &id, values, cx);
        webhooks::commit(base, &txn, cx);
        id
    }

    /// A person deletes a row; says whether it was there.
    #[track_caller]
    pub fn delete_row(&mut self, cx: &mut Context<'_>, base: &str, table: &str, record: &str) -> bool {
        let base = self.held(base);
        let at = place(base, table);
        let mut txn = Transaction::new(Source::Person);
        let was_there = changes::destroy_row(base, &mut txn, at, record, cx.now);
        webhooks::commit(base, &txn, cx);
        was_there
    }

    #[track_caller]
    pub fn rename_field(&mut self, cx: &mut Context<'_>, base: &str, table: &str, field: &str, name: &str) {
        self.change_field(cx, base, table, field, |held| held.name = name.to_owned());
    }

    #[track_caller]
    pub fn rename_table(&mut self, cx: &mut Context<'_>, base: &str, table: &str, name: &str) {
        let base = self.held(base);
        let at = place(base, table);
        let held = &mut base.tables[at];
        let was = json!({"name": held.name, "description": held.description});
        held.name = name.to_owned();
        let mut txn = Transaction::new(Source::Person);
        txn.table(&held.id).metadata = Some(was);
        webhooks::commit(base, &txn, cx);
    }

    /// A person deletes a column; the other side of a link goes too.
    #[track_caller]
    pub fn delete_field(&mut self, cx: &mut Context<'_>, base: &str, table: &str, field: &str) {
        let base = self.held(base);
        let at = place(base, table);
        let Some(held) = base.tables[at].field(field).cloned() else {
            panic!("Airtable desk: no field {field} in {table}")
        };
        assert!(held.id != base.tables[at].primary, "Airtable desk: the primary field cannot be deleted");
        let mut txn = Transaction::new(Source::Person);
        drop_field(base, &mut txn, at, &held.id);
        let inverse = held.option("linkedTableId").zip(held.option("inverseLinkFieldId"));
        if let Some((other, field)) = inverse.and_then(|(other, field)| Some((base.at(other)?, field))) {
            drop_field(base, &mut txn, other, field);
        }
        webhooks::commit(base, &txn, cx);
    }

    /// A person changes a column's type. Cells that do not fit the new type are emptied, as Airtable does.
    #[track_caller]
    pub fn retype_field(
        &mut self,
        cx: &mut Context<'_>,
        base: &str,
        table: &str,
        field: &str,
        kind: &str,
        options: &Value,
    ) {
        let held_base = self.held(base);
        let at = place(held_base, table);
        let Some(old) = held_base.tables[at].field(field).cloned() else {
            panic!("Airtable desk: no field {field} in {table}")
        };
        let shown: BTreeMap<String, Value> = held_base.tables[at]
            .rows
            .values()
            .filter_map(|row| {
                Some((row.id.clone(), render::rest(held_base, &held_base.tables[at], row, &old, cx.now, 0)?))
            })
            .collect();
        let mut new = old.clone();
        new.kind = kind.to_owned();
        new.options = must("retype_field", fields::options(&old.name, kind, options, true, cx.rng));
        let mut scratch = Scratch { typecast: true, ..Scratch::default() };
        let converted: BTreeMap<&String, Option<Value>> = shown
            .iter()
            .map(|(row, value)| (row, cells::accept(held_base, &new, value, &mut scratch, cx.rng).unwrap_or(None)))
            .collect();
        let mut txn = Transaction::new(Source::Person);
        txn.table(&held_base.tables[at].id)
            .changed_fields
            .insert(old.id.clone(), json!({"name": old.name, "type": old.kind}));
        held_base.tables[at].forget_index(&old.id);
        if let Some(held) = held_base.tables[at].field_mut(&old.id) {
            *held = new;
        }
        records::settle(held_base, &mut txn, at, scratch, cx.now);
        for (row, cell) in converted {
            changes::put(held_base, &mut txn, at, row, &old.id, cell, cx.now);
        }
        webhooks::commit(held_base, &txn, cx);
    }

    #[track_caller]
    pub fn add_option(&mut self, cx: &mut Context<'_>, base: &str, table: &str, field: &str, option: &str) {
        let mut rng = cx.rng.clone();
        self.change_field(cx, base, table, field, |held| {
            fields::add_choice(&mut held.options, option, &mut rng);
        });
        *cx.rng = rng;
    }

    #[track_caller]
    pub fn rename_option(
        &mut self,
        cx: &mut Context<'_>,
        base: &str,
        table: &str,
        field: &str,
        option: &str,
        name: &str,
    ) {
        self.change_field(cx, base, table, field, |held| {
            let choices = held.options.get_mut("choices").and_then(Value::as_array_mut);
            if let Some(choice) = choices.and_then(|list| list.iter_mut().find(|c| c["name"] == option)) {
                choice["name"] = json!(name);
            }
        });
    }

    /// A person deletes a choice; cells that held it lose it.
    #[track_caller]
    pub fn remove_option(&mut self, cx: &mut Context<'_>, base: &str, table: &str, field: &str, option: &str) {
        let held = self.held(base);
        let at = place(held, table);
        let Some(spec) = held.tables[at].field(field).cloned() else {
            panic!("Airtable desk: no field {field} in {table}")
        };
        let Some(choice) = spec.choices().find(|c| c["name"] == option).map(|c| c["id"].clone()) else { return };
        let mut txn = Transaction::new(Source::Person);
        let rows: Vec<(String, Value)> = held.tables[at]
            .rows
            .values()
            .filter_map(|r| Some((r.id.clone(), r.cells.get(&spec.id)?.clone())))
            .collect();
        for (row, cell) in rows {
            let left = match cell {
                Value::Array(ids) => {
                    let ids: Vec<Value> = ids.into_iter().filter(|id| *id != choice).collect();
                    (!ids.is_empty()).then_some(Value::Array(ids))
                }
                one => (one != choice).then_some(one),
            };
            changes::put(held, &mut txn, at, &row, &spec.id, left, cx.now);
        }
        if let Some(list) =
            held.tables[at].field_mut(&spec.id).and_then(|f| f.options.get_mut("choices")).and_then(Value::as_array_mut)
        {
            list.retain(|c| c["id"] != choice);
        }
        txn.table(&held.tables[at].id).changed_fields.insert(spec.id, json!({"name": spec.name, "type": spec.kind}));
        webhooks::commit(held, &txn, cx);
    }

    /// A further token of the owner, with only these scopes (`None`: all).
    pub fn issue_token(&mut self, token: &str, scopes: Option<&[&str]>) {
        let user = super::owner();
        let scopes = scopes.map(|list| list.iter().map(|s| (*s).to_owned()).collect::<BTreeSet<_>>());
        self.tokens.insert(token.to_owned(), Token { user, scopes, revoked: false });
    }

    /// From now on the token is answered 401.
    pub fn revoke_token(&mut self, token: &str) {
        if let Some(token) = self.tokens.get_mut(token) {
            token.revoked = true;
        }
    }

    pub fn restore_token(&mut self, token: &str) {
        if let Some(token) = self.tokens.get_mut(token) {
            token.revoked = false;
        }
    }

    /// An OAuth integration; without a secret, a public one.
    pub fn register_client(&mut self, id: &str, secret: Option<&str>, redirects: &[&str]) {
        self.sign_in.register(id, secret, redirects);
    }

    /// The next person who is asked says no.
    pub fn deny_next_sign_in(&mut self, why: &str) {
        self.sign_in.deny_next(why);
    }

    /// All access tokens of sign-ins are over at once; they can be refreshed.
    pub fn expire_sign_ins(&mut self) {
        self.sign_in.expire();
    }

    /// The user takes back what they granted.
    pub fn end_sign_ins(&mut self) {
        self.sign_in.end_all();
    }

    /// Requests a second per base and per user, and calls a month (`None`: no such limit). The vendor's are 5, 50, by plan.
    pub fn set_quota(&mut self, per_base: usize, per_user: usize, monthly: Option<u64>) {
        self.quota.per_base = per_base;
        self.quota.per_user = per_user;
        self.quota.monthly = monthly;
    }

    pub fn base_ids(&self) -> Vec<String> {
        self.bases.keys().cloned().collect()
    }

    /// The schema of a base, as `GET /meta/bases/{base}/tables` answers it.
    pub fn schema(&self, base: &str) -> Value {
        self.bases.get(base).map_or(Value::Null, schema::tables)
    }

    /// All rows in order of creation: `{"id", "createdTime", "fields": {name: value}}`. Empty if there is no such table.
    pub fn rows(&self, base: &str, table: &str) -> Vec<Value> {
        let Some(base) = self.bases.get(base) else { return Vec::new() };
        let Ok(table) = base.table(table) else { return Vec::new() };
        let rows = table.order.values().filter_map(|id| table.rows.get(id));
        rows.map(|row| render::record(base, table, row, false, None, row.modified(None))).collect()
    }

    pub fn row(&self, base: &str, table: &str, record: &str) -> Option<Value> {
        let base = self.bases.get(base)?;
        let table = base.table(table).ok()?;
        let row = table.rows.get(record)?;
        Some(render::record(base, table, row, false, None, row.modified(None)))
    }

    /// Values of a field that more than one row has, with how many.
    pub fn doubles(&self, base: &str, table: &str, field: &str) -> BTreeMap<String, usize> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for row in self.rows(base, table) {
            if let Some(value) = row["fields"].get(field) {
                *counts.entry(value.as_str().map_or_else(|| value.to_string(), str::to_owned)).or_default() += 1;
            }
        }
        counts.retain(|_, count| *count > 1);
        counts
    }

    /// The comments of a record, oldest first.
    pub fn comments(&self, base: &str, table: &str, record: &str) -> Vec<String> {
        let table = self.bases.get(base).and_then(|b| b.table(table).ok());
        let row = table.and_then(|t| t.rows.get(record));
        row.map(|r| r.comments.iter().map(|c| c.text.clone()).collect()).unwrap_or_default()
    }

    #[track_caller]
    fn held(&mut self, base: &str) -> &mut Base {
        match self.bases.get_mut(base) {
            Some(base) => base,
            None => panic!("Airtable desk: no base {base}"),
        }
    }

    #[track_caller]
    fn change_field(
        &mut self,
        cx: &mut Context<'_>,
        base: &str,
        table: &str,
        field: &str,
        change: impl FnOnce(&mut super::model::Field),
    ) {
        let base = self.held(base);
        let at = place(base, table);
        let Some(held) = base.tables[at].field_mut(field) else { panic!("Airtable desk: no field {field} in {table}") };
        let was = json!({"name": held.name, "type": held.kind});
        change(held);
        let id = held.id.clone();
        let mut txn = Transaction::new(Source::Person);
        txn.table(&base.tables[at].id).changed_fields.insert(id, was);
        webhooks::commit(base, &txn, cx);
    }
}

#[track_caller]
fn place(base: &Base, table: &str) -> usize {
    base.at(table).unwrap_or_else(|| panic!("Airtable desk: no table {table} in {}", base.id))
}

#[track_caller]
fn write(base: &mut Base, txn: &mut Transaction, table: usize, row: &str, values: &Value, cx: &mut Context<'_>) {
    let mut scratch = Scratch::default();
    let mut accepted = Vec::new();
    for (name, value) in values.as_object().unwrap_or(&Map::new()) {
        let field = must("write", base.tables[table].known_field(name)).clone();
        let cell = must(name, cells::accept(base, &field, value, &mut scratch, cx.rng));
        accepted.push((field.id, cell));
    }
    for (field, cell) in accepted {
        changes::put(base, txn, table, row, &field, cell, cx.now);
    }
}

fn drop_field(base: &mut Base, txn: &mut Transaction, table: usize, field: &str) {
    let held = &mut base.tables[table];
    held.fields.retain(|f| f.id != field);
    held.forget_index(field);
    for row in held.rows.values_mut() {
        row.cells.remove(field);
    }
    txn.table(&held.id).destroyed_fields.insert(field.to_owned());
}

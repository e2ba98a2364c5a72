//! What a base is made of: tables, fields, rows. Cells are kept by field id, selects as choice ids and links as record
//! ids, so that a renamed field or option keeps its cells as it does there. An empty cell is an absent one.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::refusal::{Answer, Refusal};
use super::webhooks::Hook;
use crate::faults::Rng;

const ID_ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// `rec`, `tbl`, `fld`… and 14 characters.
pub(super) fn mint(rng: &mut Rng, prefix: &str) -> String {
    format!("{prefix}{}", rng.text(ID_ALPHABET, 14))
}

/// Times as Airtable writes them: UTC with milliseconds.
pub(super) fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[derive(Clone)]
pub(super) struct Base {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) tables: Vec<Table>,
    pub(super) hooks: Vec<Hook>,
    pub(super) transactions: u64,
}

#[derive(Clone)]
pub(super) struct Table {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) primary: String,
    pub(super) fields: Vec<Field>,
    pub(super) view: String,
    pub(super) rows: BTreeMap<String, Row>,
    /// Creation order, in which a list without `sort` is read.
    pub(super) order: BTreeMap<u64, String>,
    pub(super) next_number: u64,
    /// Rows by the text of a cell, for the fields that upserts merge on. Built at first use, kept by `set`.
    index: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) options: Value,
    pub(super) description: Option<String>,
}

#[derive(Clone)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) number: u64,
    pub(super) created: DateTime<Utc>,
    pub(super) cells: BTreeMap<String, Value>,
    /// When each field was last changed by a person or a client; links changed from the other side count.
    pub(super) touched: BTreeMap<String, DateTime<Utc>>,
    pub(super) comments: Vec<Comment>,
}

#[derive(Clone)]
pub(super) struct Comment {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) parent: Option<String>,
    pub(super) author: Value,
    pub(super) created: DateTime<Utc>,
    pub(super) edited: Option<DateTime<Utc>>,
}

impl Base {
    /// A table by id or name.
    pub(super) fn at(&self, table: &str) -> Option<usize> {
        self.tables.iter().position(|t| t.id == table).or_else(|| self.tables.iter().position(|t| t.name == table))
    }

    pub(super) fn table(&self, table: &str) -> Answer<&Table> {
        self.at(table).map(|at| &self.tables[at]).ok_or_else(Refusal::no_model)
    }
}

impl Table {
    pub(super) fn new(id: String, name: String, primary: Field, view: String) -> Self {
        Self {
            id,
            name,
            description: None,
            primary: primary.id.clone(),
            fields: vec![primary],
            view,
            rows: BTreeMap::new(),
            order: BTreeMap::new(),
            next_number: 1,
            index: BTreeMap::new(),
        }
    }

    /// A field by id or by exact name.
    pub(super) fn field(&self, field: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.id == field).or_else(|| self.fields.iter().find(|f| f.name == field))
    }

    pub(super) fn field_mut(&mut self, field: &str) -> Option<&mut Field> {
        let at = self
            .fields
            .iter()
            .position(|f| f.id == field)
            .or_else(|| self.fields.iter().position(|f| f.name == field))?;
        self.fields.get_mut(at)
    }

    pub(super) fn known_field(&self, field: &str) -> Answer<&Field> {
        self.field(field).ok_or_else(|| Refusal::unknown_field(field))
    }

    pub(super) fn add_row(&mut self, id: String, now: DateTime<Utc>) {
        let number = self.next_number;
        self.next_number += 1;
        self.order.insert(number, id.clone());
        let row = Row {
            id: id.clone(),
            number,
            created: now,
            cells: BTreeMap::new(),
            touched: BTreeMap::new(),
            comments: Vec::new(),
        };
        self.rows.insert(id, row);
    }

    pub(super) fn drop_row(&mut self, id: &str) -> Option<Row> {
        let row = self.rows.remove(id)?;
        self.order.remove(&row.number);
        for values in self.index.values_mut() {
            values.retain(|_, rows| {
                rows.remove(id);
                !rows.is_empty()
            });
        }
        Some(row)
    }

    /// Sets or clears a cell and says what it was, or `None` if nothing changed. The only way a cell changes.
    pub(super) fn set(&mut self, row: &str, field: &str, cell: Option<Value>, now: DateTime<Utc>) -> Option<Value> {
        let held = self.rows.get_mut(row)?;
        let before = held.cells.get(field).cloned();
        if before == cell {
            return None;
        }
        held.touched.insert(field.to_owned(), now);
        if let Some(values) = self.index.get_mut(field) {
            if let Some(rows) = before.as_ref().and_then(|cell| values.get_mut(&key_of(cell))) {
                rows.remove(row);
            }
            if let Some(cell) = &cell {
                values.entry(key_of(cell)).or_default().insert(row.to_owned());
            }
        }
        match cell {
            Some(cell) => held.cells.insert(field.to_owned(), cell),
            None => held.cells.remove(field),
        };
        Some(before.unwrap_or(Value::Null))
    }

    /// Rows whose cell in `field` equals `cell`.
    pub(super) fn rows_with(&mut self, field: &str, cell: &Value) -> BTreeSet<String> {
        if !self.index.contains_key(field) {
            let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for row in self.rows.values() {
                if let Some(cell) = row.cells.get(field) {
                    values.entry(key_of(cell)).or_default().insert(row.id.clone());
                }
            }
            self.index.insert(field.to_owned(), values);
        }
        self.index.get(field).and_then(|values| values.get(&key_of(cell))).cloned().unwrap_or_default()
    }

    /// After a field was deleted or its cells were converted.
    pub(super) fn forget_index(&mut self, field: &str) {
        self.index.remove(field);
    }

    pub(super) fn describe(&self) -> Value {
        let mut out = json!({
            "id": self.id,
            "name": self.name,
            "primaryFieldId": self.primary,
            "fields": self.fields.iter().map(Field::describe).collect::<Vec<_>>(),
            "views": [{"id": self.view, "name": "Grid view", "type": "grid"}],
        });
        if let Some(description) = &self.description {
            out["description"] = json!(description);
        }
        out
    }
}

impl Field {
    pub(super) fn describe(&self) -> Value {
        let mut out = Map::new();
        out.insert("id".to_owned(), json!(self.id));
        out.insert("name".to_owned(), json!(self.name));
        out.insert("type".to_owned(), json!(self.kind));
        if let Some(description) = &self.description {
            out.insert("description".to_owned(), json!(description));
        }
        if !self.options.is_null() {
            out.insert("options".to_owned(), self.options.clone());
        }
        Value::Object(out)
    }

    /// Option text, such as `linkedTableId`.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).and_then(Value::as_str)
    }

    pub(super) fn choices(&self) -> impl Iterator<Item = &Value> {
        self.options.get("choices").and_then(Value::as_array).into_iter().flatten()
    }

    pub(super) fn choice_by_id(&self, id: &str) -> Option<&Value> {
        self.choices().find(|c| c["id"] == id)
    }
}

impl Row {
    /// The last change of any of `fields`, or of any field at all; a row never changed was last changed when created.
    pub(super) fn modified(&self, fields: Option<&[String]>) -> DateTime<Utc> {
        let touched = self.touched.iter().filter(|(id, _)| fields.is_none_or(|wanted| wanted.contains(id)));
        touched.map(|(_, at)| *at).max().unwrap_or(self.created)
    }
}

fn key_of(cell: &Value) -> String {
    match cell {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

//! The names that mappings use, bound to what is there: table and field ids, types, options. Pure.
//!
//! The law: what was bound by id stays bound when people rename it. Only a binding whose id is gone is looked up by
//! name again. Where the schema cannot be read, names are used as they are.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cells;
use super::settings::DEFAULT_KEY;
use super::types::{SchemaField, SchemaTable};
use crate::{CollectionShape, FieldKind, Shape};

/// Everything that `attach` found. The engine stores it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Binding {
    /// By the name that mappings use.
    #[serde(default)]
    pub(super) tables: BTreeMap<String, Table>,
    #[serde(default)]
    pub(super) hook: Option<Hook>,
    /// For people.
    #[serde(default)]
    pub(super) notes: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Table {
    /// `None`: bound by name.
    pub(super) id: Option<String>,
    /// As it is called there now.
    pub(super) name: String,
    /// The external-id field, by the mapping's name for it.
    pub(super) key: Option<String>,
    /// By the name that mappings use.
    #[serde(default)]
    pub(super) fields: BTreeMap<String, Field>,
    /// Wanted fields that are not there, and why.
    #[serde(default)]
    pub(super) missing: BTreeMap<String, String>,
    /// Of wanted fields that are not there: the ids that they had. One that is undeleted comes back with its values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) lost: BTreeMap<String, String>,
    /// The table is not there.
    #[serde(default)]
    pub(super) gone: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) id: Option<String>,
    pub(super) name: String,
    /// Airtable's type; empty where the schema could not be read.
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) precision: Option<u8>,
    /// A select's options.
    #[serde(default)]
    pub(super) options: Vec<String>,
}

/// Our webhook at the base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hook {
    pub(super) id: String,
    /// Base64, as Airtable handed it out, once.
    #[serde(default)]
    pub(super) mac_secret: Option<String>,
    #[serde(default)]
    pub(super) expires: Option<DateTime<Utc>>,
    /// Where it pings us; `None`: its payloads are only polled.
    #[serde(default)]
    pub(super) callback: Option<String>,
    /// It does not tell of changes through the API.
    #[serde(default)]
    pub(super) people_only: bool,
    /// The first payload that is of interest.
    #[serde(default = "first")]
    pub(super) start: i64,
}

fn first() -> i64 {
    1
}

impl Field {
    /// Its name in requests and answers.
    pub(super) fn wire(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.name)
    }

    /// Its cell. By its name, too: a server may not know `returnFieldsByFieldId`.
    pub(super) fn of<'a>(&self, cells: &'a Map<String, Value>) -> Option<&'a Value> {
        cells.get(self.wire()).or_else(|| cells.get(&self.name))
    }

    pub(super) fn has_option(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }

    /// To how many decimals its values are rounded.
    pub(super) fn decimals(&self) -> Option<u8> {
        match self.kind.as_str() {
            // 12.3 % with one decimal is 0.123.
            "percent" => self.precision.map(|precision| precision.saturating_add(2)),
            "rating" => Some(0),
            _ => self.precision,
        }
    }
}

impl Table {
    /// Its name in URLs.
    pub(super) fn wire(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.name)
    }

    pub(super) fn by_id(&self) -> bool {
        self.id.is_some()
    }

    pub(super) fn key_field(&self) -> Option<&Field> {
        self.fields.get(self.key.as_ref()?)
    }

    /// The mapping's names and canonical values of a row that REST or a payload brought; empty cells are absent.
    pub(super) fn body(&self, cells: &Map<String, Value>) -> Map<String, Value> {
        let mut body = Map::new();
        let mut known = BTreeSet::new();
        for (name, field) in &self.fields {
            known.insert(field.wire());
            let value = field.of(cells).cloned().map(|value| cells::canonical(Some(field), value));
            if let Some(value) = value.filter(|value| !value.is_null()) {
                body.insert(name.clone(), value);
            }
        }
        if !self.by_id() {
            for (name, value) in cells {
                let value = cells::canonical(None, value.clone());
                if !known.contains(name.as_str()) && !self.missing.contains_key(name) && !value.is_null() {
                    body.insert(name.clone(), value);
                }
            }
        }
        body
    }

    /// The external id that a row carries.
    pub(super) fn external_id(&self, cells: &Map<String, Value>) -> Option<String> {
        self.key_field()?.of(cells)?.as_str().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    /// The id that a field has, or had when it was last there.
    fn last_id(&self, field: &str) -> Option<&String> {
        self.fields.get(field).and_then(|field| field.id.as_ref()).or_else(|| self.lost.get(field))
    }

    pub(super) fn by_wire(&self, wire: &str) -> Option<(&str, &Field)> {
        self.fields.iter().find(|(_, field)| field.wire() == wire).map(|(name, field)| (name.as_str(), field))
    }
}

/// Finds what the mappings name. `schema: None`: it cannot be read.
pub(super) fn bind(
    shape: &Shape,
    observed: &[String],
    schema: Option<&[SchemaTable]>,
    known: Option<&Binding>,
) -> Binding {
    let mut wanted: BTreeMap<&str, Option<&CollectionShape>> =
        observed.iter().map(|name| (name.as_str(), None)).collect();
    wanted.extend(shape.collections.iter().map(|collection| (collection.name.as_str(), Some(collection))));
    let mut binding = Binding::default();
    for (name, shape) in wanted {
        let known = known.and_then(|known| known.tables.get(name));
        let table = match schema {
            Some(schema) => from_schema(name, shape, schema, known, &mut binding.notes),
            None => by_name(name, shape, known),
        };
        binding.tables.insert(name.to_owned(), table);
    }
    if schema.is_none() {
        binding.notes.push("the base's schema cannot be read (scope schema.bases:read): tables and fields are found by name, so renaming one breaks it".into());
    }
    binding
}

fn from_schema(
    name: &str,
    shape: Option<&CollectionShape>,
    schema: &[SchemaTable],
    known: Option<&Table>,
    notes: &mut Vec<String>,
) -> Table {
    let known_id = known.and_then(|table| table.id.as_deref());
    let Some(found) = find_table(name, schema, known_id) else {
        notes.push(format!("there is no table {name}: make it, or run `loopd setup`"));
        return Table { name: name.to_owned(), key: key_name(shape), gone: true, ..Table::default() };
    };
    let mut table =
        Table { id: Some(found.id.clone()), name: found.name.clone(), key: key_name(shape), ..Table::default() };
    // A table found by name after its id was gone has other field ids: its old ones do not count.
    let known = known.filter(|known| known.id.as_deref() == Some(found.id.as_str()));
    for field in wanted_fields(shape) {
        let known_id = known.and_then(|known| known.last_id(field));
        match find_field(field, &found.fields, known_id.map(String::as_str)) {
            Some(there) => {
                if let Some(note) = mismatch(name, field, shape, there) {
                    notes.push(note);
                }
                table.fields.insert(field.to_owned(), bound(there));
            }
            None => {
                notes.push(format!("table {name} has no field {field}"));
                if let Some(id) = known_id {
                    table.lost.insert(field.to_owned(), id.clone());
                }
                table.missing.insert(field.to_owned(), format!("there is no field {field} in table {}", found.name));
            }
        }
    }
    let taken: BTreeSet<_> = table.fields.values().filter_map(|field| field.id.clone()).collect();
    for there in found.fields.iter().filter(|there| !taken.contains(&there.id)) {
        if !table.missing.contains_key(&there.name) {
            table.fields.entry(there.name.clone()).or_insert_with(|| bound(there));
        }
    }
    if table.key.is_none() && table.fields.contains_key(DEFAULT_KEY) {
        table.key = Some(DEFAULT_KEY.to_owned());
    }
    table
}

/// The fields (table, name) that stand for another field than before: made anew after they were deleted, most likely.
pub(super) fn rebound(before: &Binding, now: &Binding) -> Vec<(String, String)> {
    let mut rebound = Vec::new();
    for (name, table) in &now.tables {
        let Some(before) = before.tables.get(name) else { continue };
        for (field, there) in &table.fields {
            let Some(id) = &there.id else { continue };
            let other = match before.last_id(field) {
                Some(old) => old != id,
                None => before.missing.contains_key(field),
            };
            if other {
                rebound.push((name.clone(), field.clone()));
            }
        }
    }
    rebound
}

/// By id if it was bound before, else by name, else by name in another case.
pub(super) fn find_table<'a>(name: &str, schema: &'a [SchemaTable], known: Option<&str>) -> Option<&'a SchemaTable> {
    known
        .and_then(|id| schema.iter().find(|table| table.id == id))
        .or_else(|| schema.iter().find(|table| table.name == name || table.id == name))
        .or_else(|| schema.iter().find(|table| same(&table.name, name)))
}

pub(super) fn find_field<'a>(name: &str, fields: &'a [SchemaField], known: Option<&str>) -> Option<&'a SchemaField> {
    known
        .and_then(|id| fields.iter().find(|field| field.id == id))
        .or_else(|| fields.iter().find(|field| field.name == name || field.id == name))
        .or_else(|| fields.iter().find(|field| same(&field.name, name)))
}

fn same(a: &str, b: &str) -> bool {
    a.trim().eq_ignore_ascii_case(b.trim())
}

/// Without a schema: what is bound by id stays so, the rest is called by its name.
fn by_name(name: &str, shape: Option<&CollectionShape>, known: Option<&Table>) -> Table {
    let mut table = match known {
        Some(known) if known.by_id() => known.clone(),
        _ => Table { name: name.to_owned(), ..Table::default() },
    };
    table.key = key_name(shape).or(table.key).or_else(|| Some(DEFAULT_KEY.to_owned()));
    table.gone = false;
    let wanted: BTreeSet<String> = wanted_fields(shape).map(String::from).chain(table.key.clone()).collect();
    for field in wanted {
        if table.fields.contains_key(&field) {
            continue;
        }
        if table.by_id() {
            table.missing.insert(field, "the base's schema cannot be read, so the field cannot be found".into());
        } else {
            table.fields.insert(field.clone(), Field { name: field, ..Field::default() });
        }
    }
    table
}

fn key_name(shape: Option<&CollectionShape>) -> Option<String> {
    shape.map(|shape| shape.key.clone().unwrap_or_else(|| DEFAULT_KEY.to_owned()))
}

fn wanted_fields(shape: Option<&CollectionShape>) -> impl Iterator<Item = &str> {
    let key = shape.map(|shape| shape.key.as_deref().unwrap_or(DEFAULT_KEY));
    let fields = shape.into_iter().flat_map(|shape| &shape.fields).map(|field| field.name.as_str());
    let mut seen = BTreeSet::new();
    fields.chain(key).filter(move |name| seen.insert(*name)).collect::<Vec<_>>().into_iter()
}

fn bound(there: &SchemaField) -> Field {
    let precision =
        there.options.get("precision").and_then(Value::as_u64).and_then(|precision| u8::try_from(precision).ok());
    Field {
        id: Some(there.id.clone()),
        name: there.name.clone(),
        kind: there.kind.clone(),
        precision,
        options: there.choices(),
    }
}

fn mismatch(table: &str, field: &str, shape: Option<&CollectionShape>, there: &SchemaField) -> Option<String> {
    let wanted = shape?.fields.iter().find(|wanted| wanted.name == field)?;
    (!suits(wanted.kind, &there.kind)).then(|| {
        format!(
            "field {field} of table {table} is of type {}, where {} is expected",
            there.kind,
            suggested(wanted.kind)
        )
    })
}

/// Whether values of our kind can live in a field of Airtable's type.
pub(super) fn suits(kind: FieldKind, there: &str) -> bool {
    use cells::Sort;
    let there = cells::sort(there);
    let text = matches!(there, Sort::Line | Sort::Text | Sort::Rich);
    let number = there == Sort::Number;
    if there == Sort::Unknown {
        return true;
    }
    match kind {
        // A mapping's text may well be one of a list, a day or a person.
        FieldKind::Text => {
            text || matches!(there, Sort::Select | Sort::Date | Sort::DateTime | Sort::Person | Sort::Barcode)
        }
        FieldKind::LongText | FieldKind::Url => text,
        FieldKind::Number | FieldKind::Currency => number,
        FieldKind::Checkbox => there == Sort::Checkbox,
        FieldKind::Date => text || matches!(there, Sort::Date | Sort::DateTime),
        FieldKind::DateTime => text || matches!(there, Sort::Date | Sort::DateTime),
        FieldKind::Select => text || there == Sort::Select,
        FieldKind::MultiSelect | FieldKind::Tags => there == Sort::Selects,
        FieldKind::Link => there == Sort::Links,
    }
}

/// The type that `setup` makes for a kind.
pub(super) fn suggested(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "singleLineText",
        FieldKind::LongText => "multilineText",
        FieldKind::Number => "number",
        FieldKind::Currency => "currency",
        FieldKind::Checkbox => "checkbox",
        FieldKind::Date => "date",
        FieldKind::DateTime => "dateTime",
        FieldKind::Url => "url",
        FieldKind::Select => "singleSelect",
        FieldKind::MultiSelect | FieldKind::Tags => "multipleSelects",
        FieldKind::Link => "multipleRecordLinks",
    }
}

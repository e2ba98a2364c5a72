//! The names that mappings use, bound to what is there: data source and property ids, types, options. Pure.
//!
//! The law: what was bound by id stays bound when people rename it. Only a binding whose id is gone is looked up by name
//! again. A property whose type does not suit is not bound: what it shows is no value of ours.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::settings::DEFAULT_KEY;
use super::types::{DataSource, Property, bare};
use super::values::{self, Sort};
use crate::{CollectionShape, FieldKind, Shape};

/// Everything that `attach` found. The engine stores it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Binding {
    /// The user that our token is: what it edits, we edited.
    #[serde(default)]
    pub(super) me: Option<String>,
    /// By the name that mappings use.
    #[serde(default)]
    pub(super) tables: BTreeMap<String, Table>,
    /// For people.
    #[serde(default)]
    pub(super) notes: Vec<String>,
}

/// A collection's data source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Table {
    /// Of the data source; empty where it is gone.
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) database: Option<String>,
    /// As it is called there now.
    pub(super) name: String,
    /// The external-id property, by the mapping's name for it.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// By the name that mappings use.
    #[serde(default)]
    pub(super) fields: BTreeMap<String, Field>,
    /// Wanted properties that are not there, or of another type, and why.
    #[serde(default)]
    pub(super) missing: BTreeMap<String, String>,
    /// Of wanted properties that are not there: the ids that they had. One that is restored comes back with its values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) lost: BTreeMap<String, String>,
    /// The data source is not there.
    #[serde(default)]
    pub(super) gone: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) id: String,
    pub(super) name: String,
    /// Notion's type.
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    /// What the mapping takes it for, where it names it.
    #[serde(default)]
    pub(super) wanted: Option<FieldKind>,
    /// A select's options.
    #[serde(default)]
    pub(super) options: Vec<String>,
}

impl Field {
    pub(super) fn has_option(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }

    /// Its value in a page: by its id, for names change.
    pub(super) fn of<'a>(&self, page: &'a Value) -> Option<(&'a String, &'a Value)> {
        let properties = page.get("properties").and_then(Value::as_object)?;
        let is_ours = |value: &Value| {
            value.get("id").and_then(Value::as_str).is_some_and(|id| id == self.id || bare(id) == bare(&self.id))
        };
        properties.iter().find(|(_, value)| is_ours(value))
    }
}

impl Table {
    pub(super) fn key_field(&self) -> Option<&Field> {
        self.fields.get(self.key.as_ref()?)
    }

    /// The mapping's names and canonical values of a page; empty properties are absent.
    pub(super) fn body(&self, page: &Value) -> Map<String, Value> {
        let mut body = Map::new();
        for (name, field) in &self.fields {
            let value = field.of(page).map(|(_, value)| values::read(field, value)).unwrap_or_default();
            if !value.is_null() {
                body.insert(name.clone(), value);
            }
        }
        body
    }

    /// The external id that a page carries.
    pub(super) fn external_id(&self, page: &Value) -> Option<String> {
        let field = self.key_field()?;
        let value = values::read(field, field.of(page)?.1);
        value.as_str().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    /// The id that a property has, or had when it was last there.
    fn last_id(&self, field: &str) -> Option<&String> {
        self.fields.get(field).map(|field| &field.id).or_else(|| self.lost.get(field))
    }
}

/// Finds what the mappings name in the data sources that were found for their collections (`None`: none was).
pub(super) fn bind(
    shape: &Shape,
    found: &BTreeMap<String, Option<DataSource>>,
    known: Option<&Binding>,
) -> (BTreeMap<String, Table>, Vec<String>) {
    let mut notes = Vec::new();
    let table = |(name, there): (&String, &Option<DataSource>)| {
        let shape = shape.collections.iter().find(|collection| collection.name == *name);
        let known = known.and_then(|known| known.tables.get(name));
        (name.clone(), of_source(name, shape, there.as_ref(), known, &mut notes))
    };
    let tables = found.iter().map(table).collect();
    (tables, notes)
}

fn of_source(
    name: &str,
    shape: Option<&CollectionShape>,
    there: Option<&DataSource>,
    known: Option<&Table>,
    notes: &mut Vec<String>,
) -> Table {
    let key = shape.map(|shape| key_name(shape).to_owned());
    let Some(there) = there else {
        notes.push(format!("there is no data source {name}: share it with the connection, or run `loopd setup`"));
        return Table { name: name.to_owned(), key, gone: true, ..Table::default() };
    };
    let mut table = Table {
        id: there.id.clone(),
        database: there.database.clone(),
        name: there.name.clone(),
        key,
        ..Table::default()
    };
    // Another data source of the same name is another one: its ids do not count.
    let known = known.filter(|known| known.id == there.id);
    for (field, kind) in wanted_fields(shape) {
        let known_id = known.and_then(|known| known.last_id(field)).map(String::as_str);
        match find_property(field, &there.properties, known_id) {
            Some(property) if kind.is_none_or(|kind| suits(kind, &property.kind)) => {
                table.fields.insert(field.to_owned(), bound(property, kind));
            }
            Some(property) => {
                let why = format!(
                    "property {} of {name} is of type {}, where {} is expected",
                    property.name,
                    property.kind,
                    suggested(kind.unwrap_or(FieldKind::Text))
                );
                notes.push(why.clone());
                table.missing.insert(field.to_owned(), why);
            }
            None => {
                notes.push(format!("{name} has no property {field}"));
                if let Some(id) = known_id {
                    table.lost.insert(field.to_owned(), id.to_owned());
                }
                table.missing.insert(field.to_owned(), format!("there is no property {field} in {}", there.name));
            }
        }
    }
    if shape.is_none() {
        // Only looked at: everything is of interest.
        for property in &there.properties {
            table.fields.insert(property.name.clone(), bound(property, None));
        }
        if table.fields.contains_key(DEFAULT_KEY) {
            table.key = Some(DEFAULT_KEY.to_owned());
        }
    }
    table
}

/// The properties (collection, name) that stand for another one than before: made anew after they were deleted, or back
/// from another type.
pub(super) fn rebound(before: &Binding, now: &Binding) -> Vec<(String, String)> {
    let mut rebound = Vec::new();
    for (name, table) in &now.tables {
        let Some(before) = before.tables.get(name) else { continue };
        for (field, there) in &table.fields {
            let other = match before.last_id(field) {
                Some(old) => *old != there.id,
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
pub(super) fn find_property<'a>(name: &str, there: &'a [Property], known: Option<&str>) -> Option<&'a Property> {
    known
        .and_then(|id| there.iter().find(|property| property.id == id))
        .or_else(|| there.iter().find(|property| property.name == name))
        .or_else(|| there.iter().find(|property| same(&property.name, name)))
}

pub(super) fn same(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}

pub(super) fn key_name(shape: &CollectionShape) -> &str {
    shape.key.as_deref().unwrap_or(DEFAULT_KEY)
}

fn wanted_fields(shape: Option<&CollectionShape>) -> Vec<(&str, Option<FieldKind>)> {
    let fields = shape.into_iter().flat_map(|shape| &shape.fields).map(|field| (field.name.as_str(), Some(field.kind)));
    let key = shape.map(|shape| (key_name(shape), Some(FieldKind::Text)));
    let mut seen = BTreeSet::new();
    fields.chain(key).filter(|(name, _)| seen.insert(*name)).collect()
}

fn bound(property: &Property, wanted: Option<FieldKind>) -> Field {
    Field {
        id: property.id.clone(),
        name: property.name.clone(),
        kind: property.kind.clone(),
        wanted,
        options: property.option_names(),
    }
}

/// Whether values of our kind can live in a property of Notion's type.
pub(super) fn suits(kind: FieldKind, there: &str) -> bool {
    let there = values::sort(there);
    let text = matches!(there, Sort::Title | Sort::Text);
    if matches!(there, Sort::Unknown | Sort::Computed) {
        return true;
    }
    match kind {
        // A mapping's text may well be one of a list, an address or a person.
        FieldKind::Text => {
            text || matches!(
                there,
                Sort::Select | Sort::Status | Sort::Url | Sort::Email | Sort::Phone | Sort::People | Sort::Date
            )
        }
        FieldKind::LongText => text,
        FieldKind::Url => text || there == Sort::Url,
        FieldKind::Number | FieldKind::Currency => there == Sort::Number,
        FieldKind::Checkbox => there == Sort::Checkbox,
        FieldKind::Date | FieldKind::DateTime => text || there == Sort::Date,
        FieldKind::Select => text || matches!(there, Sort::Select | Sort::Status),
        FieldKind::MultiSelect | FieldKind::Tags => there == Sort::Selects,
        FieldKind::Link => there == Sort::Relation,
    }
}

/// The type that `setup` makes for a kind.
pub(super) fn suggested(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text | FieldKind::LongText => "rich_text",
        FieldKind::Number | FieldKind::Currency => "number",
        FieldKind::Checkbox => "checkbox",
        FieldKind::Date | FieldKind::DateTime => "date",
        FieldKind::Url => "url",
        FieldKind::Select => "select",
        FieldKind::MultiSelect | FieldKind::Tags => "multi_select",
        FieldKind::Link => "relation",
    }
}

//! What we read of Airtable's JSON. Everything is optional here: what is missing or odd is left out, never a failure.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::spelling::instant;

pub(super) use crate::json::{array, text};

/// A table of `GET /meta/bases/{base}/tables`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SchemaTable {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) fields: Vec<SchemaField>,
    pub(super) views: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct SchemaField {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) options: Value,
}

impl SchemaTable {
    pub(super) fn list(answer: &Value) -> Vec<Self> {
        array(answer, "tables").iter().filter_map(Self::read).collect()
    }

    pub(super) fn read(table: &Value) -> Option<Self> {
        Some(Self {
            id: text(table, "id")?,
            name: text(table, "name")?,
            fields: array(table, "fields").iter().filter_map(SchemaField::read).collect(),
            views: array(table, "views").iter().filter_map(|view| text(view, "name")).collect(),
        })
    }
}

impl SchemaField {
    pub(super) fn read(field: &Value) -> Option<Self> {
        Some(Self {
            id: text(field, "id")?,
            name: text(field, "name")?,
            kind: text(field, "type").unwrap_or_default(),
            options: field.get("options").cloned().unwrap_or(Value::Null),
        })
    }

    /// The names of a select's options.
    pub(super) fn choices(&self) -> Vec<String> {
        array(&self.options, "choices").iter().filter_map(|choice| text(choice, "name")).collect()
    }
}

/// A record as REST returns it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) created: Option<DateTime<Utc>>,
    pub(super) fields: Map<String, Value>,
}

impl Row {
    pub(super) fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: text(value, "id")?,
            created: text(value, "createdTime").as_deref().and_then(instant),
            fields: value.get("fields").and_then(Value::as_object).cloned().unwrap_or_default(),
        })
    }
}

/// One page of a list, or the records of a batch.
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    pub(super) offset: Option<String>,
}

impl Rows {
    pub(super) fn read(answer: &Value) -> Self {
        Self {
            rows: array(answer, "records").iter().filter_map(Row::read).collect(),
            offset: text(answer, "offset").filter(|offset| !offset.is_empty()),
        }
    }
}

/// A webhook of `GET /bases/{base}/webhooks`.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) url: Option<String>,
    pub(super) expires: Option<DateTime<Utc>>,
    pub(super) enabled: bool,
    pub(super) notifies: bool,
}

impl Listed {
    pub(super) fn list(answer: &Value) -> Vec<Self> {
        let read = |hook: &Value| {
            Some(Self {
                id: text(hook, "id")?,
                url: text(hook, "notificationUrl"),
                expires: text(hook, "expirationTime").as_deref().and_then(instant),
                enabled: hook.get("isHookEnabled").and_then(Value::as_bool).unwrap_or(true),
                notifies: hook.get("areNotificationsEnabled").and_then(Value::as_bool).unwrap_or(true),
            })
        };
        array(answer, "webhooks").iter().filter_map(read).collect()
    }
}

pub(super) fn object<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

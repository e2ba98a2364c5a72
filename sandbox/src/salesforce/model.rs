//! What an org is made of: objects, fields, rows. Names of objects and fields are found whatever their case; ids are 18
//! characters long, of which the last three make them safe where case is lost.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::faults::Rng;

/// A field's type, as `describe` calls it ("Field types", Object Reference, read 2026-11-23).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Id,
    Text,
    /// Up to 131,072 characters; cannot be filtered on when longer than 255.
    Textarea,
    Url,
    Email,
    Phone,
    Number,
    Int,
    Currency,
    Percent,
    Boolean,
    Date,
    DateTime,
    Picklist,
    Multipicklist,
    Reference,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Text => "string",
            Self::Textarea => "textarea",
            Self::Url => "url",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Number => "double",
            Self::Int => "int",
            Self::Currency => "currency",
            Self::Percent => "percent",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Picklist => "picklist",
            Self::Multipicklist => "multipicklist",
            Self::Reference => "reference",
        }
    }

    pub(super) fn soap(self) -> &'static str {
        match self {
            Self::Id | Self::Reference => "tns:ID",
            Self::Number | Self::Currency | Self::Percent => "xsd:double",
            Self::Int => "xsd:int",
            Self::Boolean => "xsd:boolean",
            Self::Date => "xsd:date",
            Self::DateTime => "xsd:dateTime",
            _ => "xsd:string",
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::Int | Self::Currency | Self::Percent)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    /// Of a custom field: its id in the Tooling API.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) label: String,
    pub(super) help: String,
    pub(super) kind: Kind,
    /// Characters that fit; 0 where that says nothing.
    pub(super) length: usize,
    /// Digits in all, and of these behind the point.
    pub(super) precision: usize,
    pub(super) scale: usize,
    pub(super) values: Vec<String>,
    pub(super) restricted: bool,
    pub(super) points_to: Option<String>,
    pub(super) relation: Option<String>,
    pub(super) external_id: bool,
    pub(super) unique: bool,
    pub(super) case_sensitive: bool,
    pub(super) required: bool,
    pub(super) default: Value,
    /// Kept by the server: nobody writes it.
    pub(super) system: bool,
    /// As the Tooling API took it.
    pub(super) metadata: Value,
}

impl Field {
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        let label = label_of(name);
        let (length, precision, scale) = match kind {
            Kind::Id | Kind::Reference => (18, 0, 0),
            Kind::Text | Kind::Url | Kind::Picklist => (255, 0, 0),
            Kind::Email => (80, 0, 0),
            Kind::Phone => (40, 0, 0),
            Kind::Textarea => (32_000, 0, 0),
            Kind::Multipicklist => (4099, 0, 0),
            Kind::Number | Kind::Currency | Kind::Percent => (0, 18, 2),
            Kind::Int => (0, 8, 0),
            Kind::Boolean | Kind::Date | Kind::DateTime => (0, 0, 0),
        };
        Self {
            id: String::new(),
            name: name.to_owned(),
            label,
            help: String::new(),
            kind,
            length,
            precision,
            scale,
            values: Vec::new(),
            restricted: false,
            points_to: None,
            relation: None,
            external_id: false,
            unique: false,
            case_sensitive: false,
            required: false,
            default: if kind == Kind::Boolean { json!(false) } else { Value::Null },
            system: false,
            metadata: Value::Null,
        }
    }

    pub(super) fn is_custom(&self) -> bool {
        self.name.ends_with("__c")
    }

    /// Long texts are stored apart.
    pub(super) fn can_be_filtered(&self) -> bool {
        self.kind != Kind::Textarea || self.length <= 255
    }
}

fn label_of(name: &str) -> String {
    let name = name.strip_suffix("__c").unwrap_or(name).replace('_', " ");
    let mut label = String::new();
    let mut before = ' ';
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
            label.push(' ');
        }
        label.push(letter);
        before = letter;
    }
    label
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) label: String,
    pub(super) plural: String,
    /// The three characters with which its rows' ids begin.
    pub(super) prefix: String,
    pub(super) fields: Vec<Field>,
    pub(super) rows: BTreeMap<String, Row>,
    next: u64,
    /// Rows by the text of a unique or external id field, for upserts. Built at first use, kept by [`Object::put`].
    index: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// Values by the fields' own names; an empty one is absent.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) cells: Map<String, Value>,
    pub(super) deleted: bool,
    /// Saves of it that still meet a lock of somebody else's.
    pub(super) locked: u32,
}

impl Row {
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.cells.get(field).and_then(Value::as_str)
    }
}

impl Object {
    pub(super) fn new(name: &str, label: &str, plural: &str, prefix: &str) -> Self {
        let mut object = Self {
            id: String::new(),
            name: name.into(),
            label: label.into(),
            plural: plural.into(),
            prefix: prefix.into(),
            fields: Vec::new(),
            rows: BTreeMap::new(),
            next: 1,
            index: BTreeMap::new(),
        };
        let system = |name: &str, kind| Field { system: true, ..Field::new(name, kind) };
        object.fields.push(system("Id", Kind::Id));
        object.fields.push(Field { default: json!(false), ..system("IsDeleted", Kind::Boolean) });
        for name in ["CreatedDate", "LastModifiedDate", "SystemModstamp"] {
            object.fields.push(system(name, Kind::DateTime));
        }
        for (name, relation) in [("CreatedById", "CreatedBy"), ("LastModifiedById", "LastModifiedBy")] {
            object.fields.push(Field {
                points_to: Some("User".into()),
                relation: Some(relation.into()),
                ..system(name, Kind::Reference)
            });
        }
        object
    }

    pub(super) fn is_custom(&self) -> bool {
        self.name.ends_with("__c")
    }

    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn field_mut(&mut self, name: &str) -> Option<&mut Field> {
        self.fields.iter_mut().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The reference behind a relationship's name (`Owner`, `Account__r`).
    pub(super) fn relation(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.relation.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name)))
    }

    pub(super) fn mint(&mut self) -> String {
        let id = id_of(&self.prefix, self.next);
        self.next += 1;
        id
    }

    pub(super) fn put(&mut self, id: &str, row: Row) {
        let before = self.rows.insert(id.to_owned(), row);
        for (field, texts) in &mut self.index {
            let fold = fold_of(&self.fields, field);
            if let Some(old) = before.as_ref().and_then(|row| row.cells.get(field)).map(key_of)
                && let Some(ids) = texts.get_mut(&fold(&old))
            {
                ids.remove(id);
            }
            if let Some(new) = self.rows.get(id).and_then(|row| row.cells.get(field)).map(key_of) {
                texts.entry(fold(&new)).or_default().insert(id.to_owned());
            }
        }
    }

    pub(super) fn remove(&mut self, id: &str) {
        if self.rows.remove(id).is_some() {
            for ids in self.index.values_mut().flat_map(BTreeMap::values_mut) {
                ids.remove(id);
            }
        }
    }

    /// The rows (not those in the recycle bin) whose field holds this text.
    pub(super) fn having(&mut self, field: &str, value: &Value) -> Vec<String> {
        let fold = fold_of(&self.fields, field);
        let texts = self.index.entry(field.to_owned()).or_insert_with(|| {
            let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (id, row) in &self.rows {
                if let Some(value) = row.cells.get(field) {
                    texts.entry(fold(&key_of(value))).or_default().insert(id.clone());
                }
            }
            texts
        });
        let ids = texts.get(&fold(&key_of(value))).into_iter().flatten();
        ids.filter(|id| self.rows.get(*id).is_some_and(|row| !row.deleted)).cloned().collect()
    }
}

/// What makes two texts one in this field: unless it says otherwise, case does not count.
fn fold_of(fields: &[Field], name: &str) -> impl Fn(&str) -> String + use<> {
    let exact = fields.iter().any(|field| field.name == name && field.case_sensitive);
    move |text: &str| if exact { text.to_owned() } else { text.to_lowercase() }
}

fn key_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The `number`th id of an object, 18 characters.
pub(super) fn id_of(prefix: &str, number: u64) -> String {
    let mut digits = Vec::new();
    let mut left = number;
    for _ in 0..9 {
        digits.push(BASE62[usize::try_from(left % 62).unwrap_or_default()]);
        left /= 62;
    }
    digits.reverse();
    let short = format!("{prefix}5g0{}", String::from_utf8_lossy(&digits));
    long(&short)
}

/// An id of 15 characters with the three that tell which of its letters are capitals.
pub(super) fn long(short: &str) -> String {
    let suffix = short.as_bytes().chunks(5).take(3).map(|part| {
        let bits = part.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase()).map(|(at, _)| 1 << at);
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[bits.sum::<usize>()])
    });
    format!("{short}{}", suffix.collect::<String>())
}

/// An id as it is kept, from 15 or 18 characters; `None`: no id at all.
pub(super) fn read_id(text: &str) -> Option<String> {
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    match text.len() {
        15 => Some(long(text)),
        18 => Some(text.to_owned()),
        _ => None,
    }
}

/// As REST writes times: whole seconds kept, milliseconds shown, no colon in the zone.
pub(super) fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S.000+0000").to_string()
}

/// A secret of letters and digits.
pub(super) fn secret(rng: &mut Rng, prefix: &str, length: usize) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    format!("{prefix}{}", rng.text(LETTERS, length))
}

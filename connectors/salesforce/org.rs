//! What stands behind the names that mappings use: objects and fields, as `describe` tells of them. A field that is there
//! and that this user may not see is told as one that is missing ("Field-level security", read 2026-11-23).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::settings::{DEFAULT_KEY, Settings};
use super::types::{ACCOUNT, OPPORTUNITY, array, text};
use crate::Shape;

/// All that was found, as the engine keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Org {
    /// By the collection's name, which is the object's API name.
    pub(super) objects: BTreeMap<String, Table>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Table {
    /// Why it cannot be used: there is none, or none for this user.
    pub(super) gone: bool,
    pub(super) creatable: bool,
    pub(super) updatable: bool,
    /// The name of the field that holds our id, where it has one.
    pub(super) key: Option<String>,
    /// Those that mappings or settings name, by API name.
    pub(super) fields: BTreeMap<String, Field>,
    /// Named, and not there.
    pub(super) missing: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Field {
    /// As `describe` words it: `string`, `textarea`, `double`, `picklist`, `reference`…
    pub(super) kind: String,
    /// Characters that fit; 0: not told.
    pub(super) length: usize,
    pub(super) scale: Option<u8>,
    /// Only these values are taken. Empty: any.
    pub(super) only: Vec<String>,
    pub(super) creatable: bool,
    pub(super) updatable: bool,
    /// Serves for upserts.
    pub(super) external_id: bool,
    pub(super) filterable: bool,
}

impl Field {
    fn read(field: &Value) -> Option<(String, Self)> {
        let flag = |name: &str| field.get(name).and_then(Value::as_bool).unwrap_or(false);
        let number = |name: &str| field.get(name).and_then(Value::as_u64);
        let restricted = flag("restrictedPicklist");
        let values = array(field, "picklistValues");
        let active = values.iter().filter(|value| value.get("active").and_then(Value::as_bool) != Some(false));
        let kind = text(field, "type").unwrap_or_default();
        Some((
            text(field, "name")?,
            Self {
                length: number("length").and_then(|length| usize::try_from(length).ok()).unwrap_or_default(),
                scale: number("scale").and_then(|scale| u8::try_from(scale).ok()).filter(|_| is_number(&kind)),
                only: if restricted { active.filter_map(|value| text(value, "value")).collect() } else { Vec::new() },
                creatable: flag("createable"),
                updatable: flag("updateable"),
                external_id: flag("externalId"),
                filterable: field.get("filterable").and_then(Value::as_bool).unwrap_or(true),
                kind,
            },
        ))
    }
}

pub(super) fn is_number(kind: &str) -> bool {
    matches!(kind, "double" | "currency" | "percent" | "int" | "long")
}

/// An object as `describe` tells of it, with all its fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described {
    pub(super) label: String,
    pub(super) creatable: bool,
    pub(super) updatable: bool,
    pub(super) fields: BTreeMap<String, Field>,
}

impl Described {
    pub(super) fn read(answer: &Value) -> Self {
        let flag = |name: &str| answer.get(name).and_then(Value::as_bool).unwrap_or(true);
        Self {
            label: text(answer, "label").unwrap_or_default(),
            creatable: flag("createable"),
            updatable: flag("updateable"),
            fields: array(answer, "fields").iter().filter_map(Field::read).collect(),
        }
    }

    /// The field of this name, whatever its case.
    pub(super) fn field(&self, name: &str) -> Option<(&String, &Field)> {
        self.fields
            .get_key_value(name)
            .or_else(|| self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)))
    }
}

/// The objects that are looked at: those that mappings write into, those of the settings, and the two that are read.
pub(super) fn wanted(shape: &Shape, settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> = vec![ACCOUNT.into(), OPPORTUNITY.into()];
    for name in settings.objects.iter().chain(shape.collections.iter().map(|collection| &collection.name)) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The standard fields of an account and of an opportunity that mappings see, as far as they are there.
fn standard(object: &str) -> &'static [&'static str] {
    match object {
        ACCOUNT => &[
            "Name",
            "Website",
            "Industry",
            "Type",
            "Rating",
            "BillingCity",
            "BillingCountry",
            "NumberOfEmployees",
            "AnnualRevenue",
            "OwnerId",
            "ParentId",
            "MasterRecordId",
            "CreatedDate",
        ],
        OPPORTUNITY => &[
            "Name",
            "StageName",
            "Amount",
            "CloseDate",
            "Type",
            "AccountId",
            "OwnerId",
            "IsWon",
            "IsClosed",
            "CreatedDate",
        ],
        _ => &[],
    }
}

/// Binds the names to what is there. `found`: what was described, `None` for objects that are not there.
pub(super) fn bind(shape: &Shape, settings: &Settings, found: &BTreeMap<String, Option<Described>>) -> Org {
    let mut org = Org::default();
    for name in wanted(shape, settings) {
        let shape = shape.collections.iter().find(|collection| collection.name == name);
        let Some(Some(there)) = found.get(&name) else {
            org.objects.insert(name, Table { gone: true, ..Table::default() });
            continue;
        };
        let mut table = Table { creatable: there.creatable, updatable: there.updatable, ..Table::default() };
        if !matches!(name.as_str(), ACCOUNT | OPPORTUNITY) || shape.is_some_and(|shape| shape.key.is_some()) {
            let key = shape.and_then(|shape| shape.key.clone()).unwrap_or_else(|| DEFAULT_KEY.to_owned());
            take(&mut table, there, &key, &name);
            table.key = Some(key);
        }
        for field in shape.into_iter().flat_map(|shape| &shape.fields) {
            take(&mut table, there, &field.name, &name);
        }
        for field in read_of(&name, settings) {
            if let Some(known) = there.fields.get(&field) {
                table.fields.entry(field).or_insert_with(|| known.clone());
            }
        }
        org.objects.insert(name, table);
    }
    org
}

fn take(table: &mut Table, there: &Described, name: &str, object: &str) {
    match there.field(name) {
        Some((known, field)) if known == name => drop(table.fields.insert(name.to_owned(), field.clone())),
        Some((known, _)) => {
            drop(table.missing.insert(name.to_owned(), format!("{object}: {name} is written {known} there")));
        }
        None => {
            let why = format!("{object} has no field {name} that this user sees");
            table.missing.insert(name.to_owned(), why);
        }
    }
}

/// The plain fields that are read of an object besides those that mappings write.
fn read_of(object: &str, settings: &Settings) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = standard(object).iter().map(ToString::to_string).collect();
    match object {
        ACCOUNT => names.extend(settings.account().into_values()),
        OPPORTUNITY => names.extend(settings.opportunity().into_values()),
        _ => {}
    }
    names.extend(settings.fields.get(object).into_iter().flatten().filter(|name| !name.contains('.')).cloned());
    names
}

/// What is selected of an object that is read: plain fields that are there, and what stands behind relationships.
pub(super) fn selected(object: &str, table: &Table, settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> = ["Id", "SystemModstamp", "IsDeleted"].map(String::from).into();
    let plain = read_of(object, settings).into_iter().filter(|name| table.fields.contains_key(name));
    names.extend(plain);
    if table.fields.contains_key("OwnerId") {
        names.extend(["Owner.Name", "Owner.Email"].map(String::from));
    }
    if object == OPPORTUNITY && table.fields.contains_key("AccountId") {
        names.extend(["Account.Name", "Account.Website"].map(String::from));
    }
    names.extend(settings.fields.get(object).into_iter().flatten().filter(|name| name.contains('.')).cloned());
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Fields whose absence ops asked to hear of: what the settings name by themselves and is not there.
pub(super) fn unmet(settings: &Settings, found: &BTreeMap<String, Option<Described>>) -> Vec<String> {
    let mut unmet = Vec::new();
    let mut look = |object: &str, names: Vec<&String>| {
        if let Some(Some(there)) = found.get(object) {
            let lacking = names.into_iter().filter(|name| !name.contains('.') && !there.fields.contains_key(*name));
            unmet.extend(
                lacking
                    .map(|name| format!("{object} has no field {name} that this user sees, which the settings name")),
            );
        }
    };
    look(ACCOUNT, settings.account.values().chain(settings.fields.get(ACCOUNT).into_iter().flatten()).collect());
    let said = settings.opportunity.iter().flat_map(BTreeMap::values);
    look(OPPORTUNITY, said.chain(settings.fields.get(OPPORTUNITY).into_iter().flatten()).collect());
    unmet
}

impl Org {
    /// What cannot be done, for people.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (name, table) in &self.objects {
            if table.gone {
                notes.push(format!("there is no object {name} that this user sees"));
                continue;
            }
            notes.extend(table.missing.values().cloned());
            if let Some(key) = table.key.as_ref().and_then(|key| table.fields.get_key_value(key))
                && !key.1.external_id
                && name != ACCOUNT
            {
                notes.push(format!(
                    "{name}.{} is no external id: records are looked for before they are made again",
                    key.0
                ));
            }
            let closed: Vec<&str> = table
                .fields
                .iter()
                .filter(|(field, there)| {
                    (name != ACCOUNT || field.starts_with("Loopd_")) && field.ends_with("__c") && !there.updatable
                })
                .map(|(field, _)| field.as_str())
                .collect();
            if !closed.is_empty() && name != OPPORTUNITY {
                notes.push(format!("{name}: this user may not edit {}", closed.join(", ")));
            }
        }
        notes
    }
}

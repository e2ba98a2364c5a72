//! Making the tables, fields and options that mappings need. Only ever adds: Airtable's API deletes and retypes nothing.
//!
//! What the API cannot do (views; retyping a field) is told to a person, step by step. (Airtable "create table",
//! "create field", "field model", read 2026-11-23.)

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::Airtable;
use super::binding::{self, find_field, find_table, suggested, suits};
use super::client::Verb;
use super::settings::{DEFAULT_KEY, Settings};
use super::types::{SchemaField, SchemaTable, text};
use crate::http::{Call, encode};
use crate::{Change, CollectionShape, Fault, FieldKind, FieldShape, Setup, Shape};

#[async_trait]
impl Setup for Airtable {
    async fn plan(&self, wanted: &Shape) -> Result<Vec<Change>, Fault> {
        let Some(schema) = self.schema().await? else {
            return Err(Fault::locked(format!(
                "the schema of base {} cannot be read: `setup` needs a token with schema.bases:read and schema.bases:write and access to the base",
                self.settings.base
            )));
        };
        self.planned.put(&*self.clock, schema.clone());
        let known = self.binding();
        let id_of = |name: &str| known.tables.get(name).and_then(|table| table.id.as_deref());
        let (mut tables, mut fields, mut hands, mut views) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for collection in &wanted.collections {
            let there = find_table(&collection.name, &schema, id_of(&collection.name));
            let mut now: Vec<&FieldShape> = Vec::new();
            let key = key_shape(collection);
            let all: Vec<&FieldShape> =
                collection.fields.iter().filter(|field| field.name != key.name).chain([&key]).collect();
            if there.is_none() {
                // Links wait until every table is there.
                now = all.iter().copied().filter(|field| field.kind != FieldKind::Link).collect();
                tables.push(create_table(collection, &now, &key.name, &self.settings));
            }
            for field in all.iter().filter(|field| !now.iter().any(|made| made.name == field.name)) {
                let known_id = known
                    .tables
                    .get(&collection.name)
                    .and_then(|table| table.fields.get(&field.name))
                    .and_then(|field| field.id.as_deref());
                match there.and_then(|there| find_field(&field.name, &there.fields, known_id)) {
                    None => fields.push(create_field(&collection.name, field)),
                    Some(found) if !suits(field.kind, &found.kind) => {
                        hands.push(retype(&collection.name, field, found));
                    }
                    Some(found) => fields.extend(add_options(&collection.name, field, found)),
                }
            }
            views.extend(suggest_views(collection, there));
        }
        Ok([tables, fields, hands, views].concat())
    }

    async fn apply(&self, change: &Change) -> Result<(), Fault> {
        if let Some(by_hand) = &change.by_hand {
            return Err(Fault::rejected(format!("by hand: {by_hand}")));
        }
        let schema = self.planned_schema().await?;
        let detail = &change.detail;
        let table_name = text(detail, "table").unwrap_or_default();
        let known = self.binding();
        let table =
            find_table(&table_name, &schema, known.tables.get(&table_name).and_then(|table| table.id.as_deref()));
        let no_table = || Fault::rejected(format!("there is no table {table_name} yet: apply the plan in its order"));
        match detail.get("do").and_then(Value::as_str).unwrap_or_default() {
            "create_table" if table.is_some() => Ok(()),
            "create_table" => {
                let body = detail.get("body").cloned().unwrap_or_default();
                let answer = self.client.send(Call::post(self.client.meta_path(), body), Verb::Write).await?;
                self.learn(schema, SchemaTable::read(&answer));
                Ok(())
            }
            "create_field" => {
                let table = table.ok_or_else(no_table)?;
                let field: FieldShape = serde_json::from_value(detail.get("field").cloned().unwrap_or_default())
                    .map_err(|error| Fault::rejected(format!("no field in the change: {error}")))?;
                if find_field(&field.name, &table.fields, None).is_some() {
                    return Ok(());
                }
                let linked = match &field.links_to {
                    Some(to) if field.kind == FieldKind::Link => {
                        let id = known.tables.get(to).and_then(|table| table.id.as_deref());
                        let linked = find_table(to, &schema, id);
                        Some(
                            linked
                                .ok_or_else(|| {
                                    Fault::rejected(format!(
                                        "there is no table {to} to link to: apply the plan in its order"
                                    ))
                                })?
                                .id
                                .clone(),
                        )
                    }
                    _ => None,
                };
                let path = format!("{}/{}/fields", self.client.meta_path(), encode(&table.id));
                let answer = self
                    .client
                    .send(Call::post(path, field_body(&field, linked.as_deref(), &self.settings)), Verb::Write)
                    .await?;
                let mut table = table.clone();
                table.fields.extend(SchemaField::read(&answer));
                self.learn(schema, Some(table));
                Ok(())
            }
            "add_options" => {
                let table = table.ok_or_else(no_table)?;
                let field = text(detail, "field")
                    .and_then(|name| find_field(&name, &table.fields, text(detail, "id").as_deref()).cloned());
                let Some(field) = field else { return Err(Fault::rejected("the field is gone: plan again")) };
                let missing: Vec<String> =
                    serde_json::from_value(detail.get("options").cloned().unwrap_or_default()).unwrap_or_default();
                let mut choices = field.options.get("choices").and_then(Value::as_array).cloned().unwrap_or_default();
                let known: BTreeSet<_> = field.choices().into_iter().collect();
                choices
                    .extend(missing.iter().filter(|name| !known.contains(*name)).map(|name| json!({ "name": name })));
                let path = format!("{}/{}/fields/{}", self.client.meta_path(), encode(&table.id), encode(&field.id));
                match self
                    .client
                    .send(Call::patch(path, json!({ "options": { "choices": choices } })), Verb::Write)
                    .await
                {
                    Ok(_) => {
                        self.planned.forget();
                        Ok(())
                    }
                    Err(failure) if matches!(failure.status, 400 | 404 | 405 | 422) => Err(Fault::Rejected {
                        why: format!(
                            "Airtable lets no program add options here. {}",
                            options_by_hand(&table.name, &field.name, &missing)
                        ),
                        field: Some(field.name),
                    }),
                    Err(failure) => Err(failure.fault),
                }
            }
            other => Err(Fault::rejected(format!("no such change: {other}"))),
        }
    }
}

impl Airtable {
    async fn planned_schema(&self) -> Result<Vec<SchemaTable>, Fault> {
        if let Some(schema) = self.planned.get(&*self.clock) {
            return Ok(schema);
        }
        let schema = self.schema().await?.ok_or_else(|| Fault::locked("the base's schema cannot be read"))?;
        self.planned.put(&*self.clock, schema.clone());
        Ok(schema)
    }

    fn learn(&self, mut schema: Vec<SchemaTable>, table: Option<SchemaTable>) {
        match table {
            Some(table) => {
                schema.retain(|other| other.id != table.id);
                schema.push(table);
                self.planned.put(&*self.clock, schema);
            }
            None => self.planned.forget(),
        }
    }
}

fn key_shape(collection: &CollectionShape) -> FieldShape {
    let name = collection.key.as_deref().unwrap_or(DEFAULT_KEY);
    FieldShape {
        name: name.to_owned(),
        kind: FieldKind::Text,
        options: Vec::new(),
        links_to: None,
        description: "Written by loopd, to know this row again. Please leave it as it is; hide it if it is in the way."
            .into(),
    }
}

fn create_table(collection: &CollectionShape, fields: &[&FieldShape], key: &str, settings: &Settings) -> Change {
    // The first field becomes the primary one, by which people and links know the record, and must be a text.
    let mut fields = fields.to_vec();
    let primary = |kind| fields.iter().position(|field| field.kind == kind && field.name != key);
    let named = |name| {
        fields.iter().position(|field| {
            matches!(field.kind, FieldKind::Text | FieldKind::LongText) && field.name == name && field.name != key
        })
    };
    let first = ["Name", "Summary", "Title"]
        .into_iter()
        .find_map(named)
        .or_else(|| primary(FieldKind::Text))
        .or_else(|| primary(FieldKind::LongText))
        .unwrap_or(fields.len().saturating_sub(1));
    if first < fields.len() {
        let field = fields.remove(first);
        fields.insert(0, field);
    }
    let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
    let bodies: Vec<_> = fields.iter().map(|field| field_body(field, None, settings)).collect();
    Change {
        what: format!("create table {} with {}", collection.name, names.join(", ")),
        by_hand: None,
        detail: json!({ "do": "create_table", "table": collection.name, "body": { "name": collection.name, "fields": bodies } }),
    }
}

fn create_field(table: &str, field: &FieldShape) -> Change {
    Change {
        what: format!("create field {} ({}) in {table}", field.name, human(suggested(field.kind))),
        by_hand: None,
        detail: json!({ "do": "create_field", "table": table, "field": field }),
    }
}

fn add_options(table: &str, field: &FieldShape, there: &SchemaField) -> Option<Change> {
    let known: BTreeSet<_> = there.choices().into_iter().collect();
    let missing: Vec<_> = field.options.iter().filter(|option| !known.contains(*option)).collect();
    let has_options = matches!(there.kind.as_str(), "singleSelect" | "multipleSelects");
    (has_options && !missing.is_empty()).then(|| Change {
        what: format!("add options {} to {} in {table}", list(&missing), there.name),
        by_hand: None,
        detail: json!({ "do": "add_options", "table": table, "field": there.name, "id": there.id, "options": missing }),
    })
}

fn options_by_hand(table: &str, field: &str, options: &[String]) -> String {
    format!("By hand: open table {table}, click the arrow beside {field}, choose Edit field, and add {}", list(options))
}

fn retype(table: &str, field: &FieldShape, there: &SchemaField) -> Change {
    let (name, to) = (&there.name, human(suggested(field.kind)));
    Change {
        what: format!("field {name} in {table} is a {}, where a {to} is expected", human(&there.kind)),
        by_hand: Some(format!(
            "open table {table}, click the arrow beside {name}, choose Edit field, and change its type to {to}; or rename {name} and run setup again, which makes a new field"
        )),
        detail: Value::Null,
    }
}

/// A view for each role that the table can serve. Airtable's API makes no views.
fn suggest_views(collection: &CollectionShape, there: Option<&SchemaTable>) -> Vec<Change> {
    let select = |names: &[&str]| {
        collection.fields.iter().find(|field| names.contains(&field.name.as_str()) && field.kind == FieldKind::Select)
    };
    let link =
        |to: &str| collection.fields.iter().find(|field| field.kind == FieldKind::Link && field.name.contains(to));
    let mut wanted = Vec::new();
    if let Some(status) = select(&["Status"]) {
        wanted.push(("Product: by status", format!("choose Kanban, and stack it by {}", status.name)));
    }
    if let Some(severity) = select(&["Severity"]) {
        wanted.push(("Engineering: by severity", format!("choose Grid, and group it by {}", severity.name)));
    }
    if let Some(customer) = link("Customer") {
        wanted.push(("Customer success: by customer", format!("choose Grid, and group it by {}", customer.name)));
    }
    wanted
        .into_iter()
        .filter(|(name, _)| there.is_none_or(|there| !there.views.iter().any(|view| view == name)))
        .map(|(name, how)| Change {
            what: format!("view \"{name}\" in {}", collection.name),
            by_hand: Some(format!(
                "open table {}, click Create new at the lower left, {how}, and name the view \"{name}\"",
                collection.name
            )),
            detail: Value::Null,
        })
        .collect()
}

fn field_body(field: &FieldShape, linked: Option<&str>, settings: &Settings) -> Value {
    let day = json!({ "name": "iso" });
    let options = match field.kind {
        FieldKind::Text | FieldKind::LongText | FieldKind::Url => None,
        FieldKind::Number => Some(json!({ "precision": settings.number_precision })),
        FieldKind::Currency => Some(json!({ "precision": 2, "symbol": settings.currency_symbol })),
        FieldKind::Checkbox => Some(json!({ "icon": "check", "color": "greenBright" })),
        FieldKind::Date => Some(json!({ "dateFormat": day })),
        FieldKind::DateTime => {
            Some(json!({ "timeZone": "utc", "dateFormat": day, "timeFormat": { "name": "24hour" } }))
        }
        FieldKind::Select | FieldKind::MultiSelect | FieldKind::Tags => {
            Some(json!({ "choices": field.options.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() }))
        }
        FieldKind::Link => linked.map(|id| json!({ "linkedTableId": id })),
    };
    let mut body = json!({ "name": field.name, "type": binding::suggested(field.kind) });
    if let Some(options) = options {
        body["options"] = options;
    }
    if !field.description.is_empty() {
        body["description"] = json!(field.description.chars().take(20_000).collect::<String>());
    }
    body
}

/// Airtable's type as its own screens call it.
fn human(kind: &str) -> &str {
    match kind {
        "singleLineText" => "single line text",
        "multilineText" => "long text",
        "richText" => "long text with formatting",
        "dateTime" => "date with time",
        "singleSelect" => "single select",
        "multipleSelects" => "multiple select",
        "multipleRecordLinks" => "link to another record",
        "multipleAttachments" => "attachment",
        other => other,
    }
}

fn list<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

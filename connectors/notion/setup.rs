//! Making the databases, properties, options and views that mappings need. Only ever adds: a change of a property's type can
//! lose what people wrote, and is told to a person. (Notion "create a database", "update a data source", read 2026-11-23.)

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::Notion;
use super::binding::{find_property, key_name, suggested, suits};
use super::client::{Failure, Verb};
use super::types::{DataSource, Property, text};
use super::values::{self, Sort};
use super::views;
use crate::http::Call;
use crate::{Change, CollectionShape, Fault, FieldKind, FieldShape, Setup, Shape};

/// Options that a change of a property may name (practitioners' notes, 2026-11-23).
const MOST_OPTIONS: usize = 100;

#[async_trait]
impl Setup for Notion {
    async fn plan(&self, wanted: &Shape) -> Result<Vec<Change>, Fault> {
        let known = self.binding();
        let (mut databases, mut properties, mut hands, mut views) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for collection in &wanted.collections {
            let bound = known.tables.get(&collection.name);
            let there = self.find_source(&collection.name, bound).await?;
            let fields = all_fields(collection);
            let Some(there) = there else {
                databases.push(self.create_database(collection, &fields));
                // Relations wait until every database is there.
                let links = fields.iter().filter(|field| field.kind == FieldKind::Link);
                properties.extend(links.map(|field| create_property(&collection.name, field)));
                views.extend(views::wanted(collection, Some(&[])));
                continue;
            };
            let bound = bound.filter(|bound| bound.id == there.id);
            let find = |field: &FieldShape| {
                let id = bound.and_then(|bound| bound.fields.get(&field.name)).map(|field| field.id.as_str());
                find_property(&field.name, &there.properties, id)
            };
            let title = title_field(&fields);
            for field in &fields {
                match find(field) {
                    None if Some(field.name.as_str()) == title => match spare_title(&there, &fields) {
                        Some(old) => properties.push(rename_title(&collection.name, &old.name, &field.name)),
                        None => properties.push(create_property(&collection.name, field)),
                    },
                    None => properties.push(create_property(&collection.name, field)),
                    Some(found) if !suits(field.kind, &found.kind) => {
                        hands.push(retype(&collection.name, field, found));
                    }
                    Some(found) => properties.extend(add_options(&collection.name, field, found)),
                }
            }
            let names = self.view_names(&there).await?;
            views.extend(views::wanted(collection, names.as_deref()));
        }
        self.lookup.forget();
        Ok([databases, properties, hands, views].concat())
    }

    async fn apply(&self, change: &Change) -> Result<(), Fault> {
        if let Some(by_hand) = &change.by_hand {
            return Err(Fault::rejected(format!("by hand: {by_hand}")));
        }
        let detail = &change.detail;
        let name = text(detail, "collection").unwrap_or_default();
        let known = self.binding();
        let there = self.find_source(&name, known.tables.get(&name)).await?;
        let done = match (text(detail, "do").as_deref(), there) {
            (Some("create_database"), Some(_)) => Ok(()),
            (Some("create_database"), None) => {
                let body = detail.get("body").cloned().unwrap_or_default();
                self.client.send(Call::post("/v1/databases", body), Verb::Write).await.map(drop).map_err(Fault::from)
            }
            (Some(_), None) => {
                Err(Fault::rejected(format!("there is no data source {name} yet: apply the plan in its order")))
            }
            (Some("create_property"), Some(there)) => self.make_property(detail, &there).await,
            (Some("rename_title"), Some(there)) => {
                let to = text(detail, "to").unwrap_or_default();
                if there.properties.iter().any(|property| property.name == to) {
                    Ok(())
                } else {
                    Ok(self.change_properties(&there, json!({ "title": { "name": to } })).await?)
                }
            }
            (Some("add_options"), Some(there)) => self.add_options(detail, &there).await,
            (Some("create_view"), Some(there)) => self.make_view(detail, &there).await,
            (other, _) => Err(Fault::rejected(format!("no such change: {}", other.unwrap_or_default()))),
        };
        // What was read to find the place serves another try; what was changed is read anew.
        if !matches!(done, Err(Fault::Later { .. })) {
            self.lookup.forget();
        }
        done
    }
}

impl Notion {
    async fn change_properties(&self, there: &DataSource, properties: Value) -> Result<(), Failure> {
        let call = Call::patch(format!("/v1/data_sources/{}", there.id), json!({ "properties": properties }));
        self.client.send(call, Verb::Write).await.map(drop)
    }

    async fn make_property(&self, detail: &Value, there: &DataSource) -> Result<(), Fault> {
        let field: FieldShape = serde_json::from_value(detail.get("field").cloned().unwrap_or_default())
            .map_err(|error| Fault::rejected(format!("no property in the change: {error}")))?;
        if find_property(&field.name, &there.properties, None).is_some() {
            return Ok(());
        }
        let linked = match &field.links_to {
            Some(to) if field.kind == FieldKind::Link => {
                let known = self.binding();
                let linked = self.find_source(to, known.tables.get(to)).await?;
                Some(linked.ok_or_else(|| {
                    Fault::rejected(format!("there is no data source {to} to link to: apply the plan in its order"))
                })?)
            }
            _ => None,
        };
        let collection = text(detail, "collection").unwrap_or_default();
        let shape = property_body(&field, linked.as_ref().map(|linked| (linked, collection.as_str())));
        Ok(self.change_properties(there, json!({ field.name: shape })).await?)
    }

    async fn add_options(&self, detail: &Value, there: &DataSource) -> Result<(), Fault> {
        let wanted = text(detail, "property").unwrap_or_default();
        let property = find_property(&wanted, &there.properties, text(detail, "id").as_deref());
        let property = property.ok_or_else(|| Fault::rejected("the property is gone: plan again"))?;
        let missing: Vec<String> =
            serde_json::from_value(detail.get("options").cloned().unwrap_or_default()).unwrap_or_default();
        let known: BTreeSet<String> = property.option_names().into_iter().collect();
        // The list replaces what is there: an option that it leaves out is deleted with its values.
        let kept = property.options().iter().map(|option| {
            let id = option.get("id").cloned().unwrap_or_default();
            json!({ "id": id, "name": option.get("name") })
        });
        let new = missing.iter().filter(|name| !known.contains(*name)).map(|name| json!({ "name": name }));
        let options: Vec<Value> = kept.chain(new).collect();
        let change = json!({ property.id.as_str(): { property.kind.as_str(): { "options": options } } });
        match self.change_properties(there, change).await {
            Err(failure) if matches!(failure.fault, Fault::Rejected { .. }) => Err(Fault::Rejected {
                why: format!("{} {}", failure.message, options_by_hand(&there.name, &property.name, &missing)),
                field: Some(property.name.clone()),
            }),
            answer => Ok(answer?),
        }
    }

    fn create_database(&self, collection: &CollectionShape, fields: &[FieldShape]) -> Change {
        let name = &collection.name;
        let names: Vec<_> =
            fields.iter().filter(|field| field.kind != FieldKind::Link).map(|field| field.name.as_str()).collect();
        let what = format!("create database {name} with {}", names.join(", "));
        let Some(page) = &self.settings.page else {
            let by_hand = format!(
                "name the page that is to hold it as `page` in this connection's settings, or make {name} by hand and put its id into `data_sources`"
            );
            return Change { what, by_hand: Some(by_hand), detail: Value::Null };
        };
        let title = title_field(fields);
        let mut properties = Map::new();
        for field in fields.iter().filter(|field| field.kind != FieldKind::Link) {
            let is_title = Some(field.name.as_str()) == title;
            let shape = if is_title { json!({ "title": {} }) } else { property_body(field, None) };
            properties.insert(field.name.clone(), shape);
        }
        if title.is_none() {
            properties.insert("Name".into(), json!({ "title": {} }));
        }
        let body = json!({
            "parent": { "type": "page_id", "page_id": page },
            "title": [{ "type": "text", "text": { "content": name } }],
            "initial_data_source": { "properties": properties },
        });
        Change { what, by_hand: None, detail: json!({ "do": "create_database", "collection": name, "body": body }) }
    }
}

/// The mapping's fields and the external id.
fn all_fields(collection: &CollectionShape) -> Vec<FieldShape> {
    let key = key_name(collection);
    let shape = FieldShape {
        name: key.to_owned(),
        kind: FieldKind::Text,
        options: Vec::new(),
        links_to: None,
        description:
            "Written by loopd, to know this page again. Please leave it as it is; hide it if it is in the way.".into(),
    };
    collection.fields.iter().filter(|field| field.name != key).cloned().chain([shape]).collect()
}

/// The field by which people know the page.
fn title_field(fields: &[FieldShape]) -> Option<&str> {
    let is_text = |field: &&FieldShape| matches!(field.kind, FieldKind::Text | FieldKind::LongText);
    let last = fields.len().saturating_sub(1);
    let own = || fields.iter().take(last).filter(is_text);
    let named = |name: &str| own().find(|field| field.name == name);
    ["Name", "Summary", "Title"]
        .into_iter()
        .find_map(named)
        .or_else(|| own().find(|field| field.kind == FieldKind::Text))
        .or_else(|| own().next())
        .map(|field| field.name.as_str())
}

/// The title of a database that people made, where no field of ours has its name.
fn spare_title<'a>(there: &'a DataSource, fields: &[FieldShape]) -> Option<&'a Property> {
    let title = there.properties.iter().find(|property| values::sort(&property.kind) == Sort::Title)?;
    fields.iter().all(|field| field.name != title.name).then_some(title)
}

fn create_property(collection: &str, field: &FieldShape) -> Change {
    Change {
        what: format!("create property {} ({}) in {collection}", field.name, human(suggested(field.kind))),
        by_hand: None,
        detail: json!({ "do": "create_property", "collection": collection, "field": field }),
    }
}

fn rename_title(collection: &str, from: &str, to: &str) -> Change {
    Change {
        what: format!("rename the title of {collection} from {from} to {to}"),
        by_hand: None,
        detail: json!({ "do": "rename_title", "collection": collection, "to": to }),
    }
}

fn add_options(collection: &str, field: &FieldShape, there: &Property) -> Option<Change> {
    if !matches!(values::sort(&there.kind), Sort::Select | Sort::Selects | Sort::Status) {
        return None;
    }
    let known: BTreeSet<String> = there.option_names().into_iter().collect();
    let wanted = field.options.iter().map(|option| option.trim().replace(',', ";"));
    let missing: Vec<String> = wanted.filter(|option| !known.contains(option)).collect();
    let by_hand = known.len() + missing.len() > MOST_OPTIONS;
    (!missing.is_empty()).then(|| Change {
        what: format!("add options {} to {} in {collection}", missing.join(", "), there.name),
        by_hand: by_hand.then(|| options_by_hand(collection, &there.name, &missing)),
        detail: json!({
            "do": "add_options", "collection": collection, "property": there.name, "id": there.id, "options": missing,
        }),
    })
}

fn options_by_hand(collection: &str, property: &str, options: &[String]) -> String {
    format!("By hand: open {collection}, click {property}, choose Edit property, and add {}", options.join(", "))
}

fn retype(collection: &str, field: &FieldShape, there: &Property) -> Change {
    let (name, to) = (&there.name, human(suggested(field.kind)));
    Change {
        what: format!("property {name} in {collection} is of type {}, where {to} is expected", human(&there.kind)),
        by_hand: Some(format!(
            "open {collection}, click {name}, choose Edit property > Type, and change it to {to}; or rename {name} and run setup again, which makes a new property"
        )),
        detail: Value::Null,
    }
}

fn property_body(field: &FieldShape, linked: Option<(&DataSource, &str)>) -> Value {
    let options = || {
        let mut seen = BTreeSet::new();
        let names = field.options.iter().map(|option| option.trim().replace(',', ";"));
        let names = names.filter(|name| !name.is_empty() && seen.insert(name.clone())).take(MOST_OPTIONS);
        names.map(|name| json!({ "name": name })).collect::<Vec<_>>()
    };
    let config = match field.kind {
        FieldKind::Select | FieldKind::MultiSelect | FieldKind::Tags => json!({ "options": options() }),
        FieldKind::Number => json!({ "format": "number" }),
        FieldKind::Currency => json!({ "format": "number_with_commas" }),
        FieldKind::Link => match linked {
            // Two-way: the other page lists everything that points to it.
            Some((source, collection)) => {
                let taken = |name: &str| source.properties.iter().any(|property| property.name == name);
                let back =
                    if taken(collection) { format!("{collection} ({})", field.name) } else { collection.to_owned() };
                json!({
                    "data_source_id": source.id, "type": "dual_property",
                    "dual_property": { "synced_property_name": back },
                })
            }
            None => json!({}),
        },
        FieldKind::Text
        | FieldKind::LongText
        | FieldKind::Checkbox
        | FieldKind::Date
        | FieldKind::DateTime
        | FieldKind::Url => json!({}),
    };
    let mut body = Map::new();
    body.insert(suggested(field.kind).into(), config);
    if !field.description.is_empty() {
        body.insert("description".into(), json!(field.description.chars().take(280).collect::<String>()));
    }
    Value::Object(body)
}

/// Notion's type as its own screens call it.
pub(super) fn human(kind: &str) -> &str {
    match kind {
        "title" => "Title",
        "rich_text" => "Text",
        "number" => "Number",
        "select" => "Select",
        "multi_select" => "Multi-select",
        "status" => "Status",
        "date" => "Date",
        "checkbox" => "Checkbox",
        "url" => "URL",
        "relation" => "Relation",
        "people" => "Person",
        other => other,
    }
}

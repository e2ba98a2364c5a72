//! Databases, their data sources, and the properties of these.

use serde_json::{Map, Value, json};

use super::model::{Capability, Database, Parent, Property, Source, rich, uuid};
use super::refusal::{Answer, Refusal};
use super::{Asked, Notion, hooks, options, values};
use crate::faults::Rng;
use crate::world::Context;

/// As ids of properties are drawn: some need percent escapes in a URL.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:;<>@[]_`|~{}=?^";
const KINDS: [&str; 21] = [
    "title",
    "rich_text",
    "number",
    "select",
    "multi_select",
    "status",
    "date",
    "people",
    "files",
    "checkbox",
    "url",
    "email",
    "phone_number",
    "formula",
    "relation",
    "rollup",
    "unique_id",
    "created_time",
    "created_by",
    "last_edited_time",
    "last_edited_by",
];

impl Notion {
    pub(super) fn create_database(&mut self, asked: &Asked, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::InsertContent)?;
        let parent = asked.body.get("parent").ok_or_else(|| Refusal::undefined("parent"))?;
        let parent = match (parent["page_id"].as_str(), parent["workspace"].as_bool()) {
            (Some(page), _) => {
                let page = self.page(page)?;
                if page.trashed {
                    return Err(Refusal::trashed());
                }
                Parent::Page(page.id.clone())
            }
            (None, Some(true)) => Parent::Workspace,
            _ => return Err(Refusal::undefined("parent.page_id")),
        };
        // `properties` at the top level is from before 2025-09-03, and is not looked at.
        let initial = asked.body.get("initial_data_source").cloned().unwrap_or_default();
        let title = match asked.body.get("title") {
            None => json!([]),
            Some(title) => json!(values::rich_text(title, "title")?),
        };
        let id = self.insert_database(&parent, title, &initial["properties"], &asked.token.user, cx)?;
        if let Some(database) = self.databases.get_mut(&id) {
            database.inline = asked.body.get("is_inline").and_then(Value::as_bool).unwrap_or(false);
        }
        Ok(self.show_database(asked, self.database(&id)?))
    }

    pub(super) fn insert_database(
        &mut self,
        parent: &Parent,
        title: Value,
        properties: &Value,
        by: &str,
        cx: &mut Context<'_>,
    ) -> Answer<String> {
        let id = cx.rng.uuid();
        let stamps = self.stamps(cx.now, by);
        let database = Database {
            id: id.clone(),
            parent: parent.clone(),
            title: title.clone(),
            description: json!([]),
            inline: false,
            locked: false,
            trashed: false,
            sources: Vec::new(),
            stamps,
        };
        self.databases.insert(id.clone(), database);
        if let Parent::Page(page) = parent
            && let Some(page) = self.pages.get_mut(page)
        {
            page.children.push(id.clone());
        }
        if let Err(refusal) = self.insert_source(&id, title, properties, by, cx) {
            self.databases.remove(&id);
            for page in self.pages.values_mut() {
                page.children.retain(|child| *child != id);
            }
            return Err(refusal);
        }
        self.default_view(&id, by, cx);
        Ok(id)
    }

    fn insert_source(
        &mut self,
        database: &str,
        title: Value,
        properties: &Value,
        by: &str,
        cx: &mut Context<'_>,
    ) -> Answer<String> {
        let id = cx.rng.uuid();
        let stamps = self.stamps(cx.now, by);
        let source = Source {
            id: id.clone(),
            database: database.to_owned(),
            title,
            properties: Vec::new(),
            trashed: false,
            stamps,
        };
        self.sources.insert(id.clone(), source);
        let empty = Map::new();
        let made = self.change_properties(&id, properties.as_object().unwrap_or(&empty), cx.rng);
        let titled = made.and_then(|()| {
            let source = self.sources.get_mut(&id).ok_or_else(|| Refusal::not_found("data_source", &id))?;
            match source.properties.iter().filter(|property| property.kind == "title").count() {
                0 => {
                    let title = Property {
                        id: "title".into(),
                        name: "Name".into(),
                        kind: "title".into(),
                        config: json!({}),
                        description: None,
                    };
                    source.properties.insert(0, title);
                    Ok(())
                }
                1 => Ok(()),
                _ => Err(Refusal::invalid("A data source must have exactly one title property.")),
            }
        });
        if let Err(refusal) = titled {
            self.sources.remove(&id);
            return Err(refusal);
        }
        if let Some(database) = self.databases.get_mut(database) {
            database.sources.push(id.clone());
        }
        self.tell(&hooks::Event::source("data_source.created", &id), by, cx);
        Ok(id)
    }

    pub(super) fn create_source(&mut self, asked: &Asked, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::InsertContent)?;
        let parent = asked.body.get("parent").and_then(|parent| parent["database_id"].as_str());
        let database = self.database(parent.ok_or_else(|| Refusal::undefined("parent.database_id"))?)?.id.clone();
        let title = match asked.body.get("title") {
            None => json!([]),
            Some(title) => json!(values::rich_text(title, "title")?),
        };
        let properties = asked.body.get("properties").ok_or_else(|| Refusal::undefined("properties"))?;
        let id = self.insert_source(&database, title, properties, &asked.token.user, cx)?;
        Ok(self.show_source(asked, self.source(&id)?))
    }

    pub(super) fn retrieve_database(&self, asked: &Asked, id: &str) -> Answer {
        asked.must(Capability::ReadContent)?;
        Ok(self.show_database(asked, self.database(id)?))
    }

    pub(super) fn update_database(&mut self, asked: &Asked, id: &str, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::UpdateContent)?;
        let id = self.database(id)?.id.clone();
        let title = asked.body.get("title").map(|title| values::rich_text(title, "title")).transpose()?;
        let description =
            asked.body.get("description").map(|text| values::rich_text(text, "description")).transpose()?;
        let flag = |name: &str| asked.body.get(name).and_then(Value::as_bool);
        if let Some(database) = self.databases.get_mut(&id) {
            if let Some(title) = title {
                database.title = json!(title);
            }
            if let Some(description) = description {
                database.description = json!(description);
            }
            database.inline = flag("is_inline").unwrap_or(database.inline);
            database.locked = flag("is_locked").unwrap_or(database.locked);
            database.trashed = flag("in_trash").or_else(|| flag("archived")).unwrap_or(database.trashed);
            database.stamps.touch(cx.now, &asked.token.user);
        }
        self.follow_trash(&id);
        Ok(self.show_database(asked, self.database(&id)?))
    }

    /// A database takes its data sources with it.
    pub(super) fn follow_trash(&mut self, database: &str) {
        let Some(trashed) = self.databases.get(database).map(|database| database.trashed) else { return };
        for source in self.sources.values_mut().filter(|source| source.database == database) {
            source.trashed = trashed;
        }
    }

    pub(super) fn retrieve_source(&self, asked: &Asked, id: &str) -> Answer {
        asked.must(Capability::ReadContent)?;
        Ok(self.show_source(asked, self.source(id)?))
    }

    pub(super) fn update_source(&mut self, asked: &Asked, id: &str, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::UpdateContent)?;
        let source = self.source(id)?;
        if source.trashed && asked.body.get("in_trash") != Some(&json!(false)) {
            return Err(Refusal::trashed());
        }
        let id = source.id.clone();
        let title = asked.body.get("title").map(|title| values::rich_text(title, "title")).transpose()?;
        match asked.body.get("properties") {
            None | Some(Value::Null) => {}
            Some(Value::Object(properties)) => self.change_schema(&id, properties, &asked.token.user, cx)?,
            Some(other) => return Err(Refusal::body("properties", "an object", other)),
        }
        if let Some(source) = self.sources.get_mut(&id) {
            if let Some(title) = title {
                source.title = json!(title);
            }
            if let Some(trashed) = asked.body.get("in_trash").and_then(Value::as_bool) {
                source.trashed = trashed;
            }
        }
        Ok(self.show_source(asked, self.source(&id)?))
    }

    /// Changes columns, by anybody's hand.
    pub(super) fn change_schema(
        &mut self,
        source: &str,
        changes: &Map<String, Value>,
        by: &str,
        cx: &mut Context<'_>,
    ) -> Answer<()> {
        self.change_properties(source, changes, cx.rng)?;
        if let Some(source) = self.sources.get_mut(source) {
            source.stamps.touch(cx.now, by);
        }
        self.tell(&hooks::Event::source("data_source.schema_updated", source), by, cx);
        Ok(())
    }

    /// All of the changes, or none.
    fn change_properties(&mut self, id: &str, changes: &Map<String, Value>, rng: &mut Rng) -> Answer<()> {
        let Some(source) = self.sources.get(id) else { return Err(Refusal::not_found("data_source", id)) };
        let mut scratch = source.clone();
        let mut dropped: Vec<Property> = Vec::new();
        let mut relations: Vec<String> = Vec::new();
        for (key, change) in changes {
            let known = scratch.property(key).cloned();
            match (known, change) {
                (Some(known), Value::Null) if known.kind == "title" => {
                    return Err(Refusal::invalid("Cannot delete the title property."));
                }
                (Some(known), Value::Null) => {
                    scratch.properties.retain(|property| property.id != known.id);
                    dropped.push(known);
                }
                (None, Value::Null) => {
                    return Err(Refusal::invalid(format!("{key} is not a property that exists.")));
                }
                (known, change) => {
                    let property = self.configured(key, known.as_ref(), change, rng)?;
                    if let Some(taken) =
                        scratch.properties.iter().find(|other| other.name == property.name && other.id != property.id)
                    {
                        return Err(Refusal::invalid(format!(
                            "Cannot create property: {} already exists.",
                            taken.name
                        )));
                    }
                    let retyped = known.as_ref().filter(|known| known.kind != property.kind).cloned();
                    dropped.extend(retyped);
                    if property.kind == "relation" {
                        relations.push(property.id.clone());
                    }
                    match scratch.property_mut(&property.id) {
                        Some(place) => *place = property,
                        None => scratch.properties.push(property),
                    }
                }
            }
        }
        self.sources.insert(id.to_owned(), scratch);
        let kept: Vec<String> = self
            .sources
            .get(id)
            .into_iter()
            .flat_map(|source| &source.properties)
            .map(|property| property.id.clone())
            .collect();
        for property in dropped {
            for page in self.pages.values_mut().filter(|page| page.parent == Parent::Source(id.to_owned())) {
                page.values.remove(&property.id);
            }
            if !kept.contains(&property.id) || property.kind == "relation" {
                self.unlink(&property);
            }
        }
        for relation in relations {
            self.link(id, &relation, rng);
        }
        Ok(())
    }

    fn configured(&self, key: &str, known: Option<&Property>, change: &Value, rng: &mut Rng) -> Answer<Property> {
        let Some(fields) = change.as_object() else {
            return Err(Refusal::body(&format!("properties.{key}"), "an object", change));
        };
        let named = fields.keys().find(|name| KINDS.contains(&name.as_str())).map(String::as_str);
        let kind = match (named.or_else(|| fields.get("type").and_then(Value::as_str)), known) {
            (Some(kind), _) if KINDS.contains(&kind) => kind.to_owned(),
            (Some(other), _) => {
                return Err(Refusal::body(&format!("properties.{key}.type"), "a known property type", &json!(other)));
            }
            (None, Some(known)) => known.kind.clone(),
            (None, None) => return Err(Refusal::undefined(&format!("properties.{key}.type"))),
        };
        let asked = fields.get(&kind).cloned().unwrap_or_else(|| json!({}));
        let config = match (kind.as_str(), known) {
            ("select" | "multi_select" | "status", _) => options::configured(&kind, &asked, known, rng)?,
            ("number", _) => json!({ "format": asked.get("format").cloned().unwrap_or_else(|| json!("number")) }),
            ("relation", Some(known)) if known.kind == "relation" && !fields.contains_key("relation") => {
                known.config.clone()
            }
            ("relation", _) => {
                let place = format!("properties.{key}.relation.data_source_id");
                let target = asked["data_source_id"].as_str().ok_or_else(|| Refusal::undefined(&place))?;
                let target =
                    uuid(target).ok_or_else(|| Refusal::body(&place, "a valid uuid", &asked["data_source_id"]))?;
                let source = self.source(&target)?;
                let kind = if asked.get("dual_property").is_some() { "dual_property" } else { "single_property" };
                let inner = asked.get(kind).cloned().unwrap_or_else(|| json!({}));
                json!({ "database_id": source.database, "data_source_id": target, "type": kind, kind: inner })
            }
            (_, Some(known)) if known.kind == kind && asked.as_object().is_some_and(Map::is_empty) => {
                known.config.clone()
            }
            _ => asked,
        };
        let id = match known {
            Some(known) => known.id.clone(),
            None if kind == "title" => "title".to_owned(),
            None => rng.text(LETTERS, 4),
        };
        let name = fields.get("name").and_then(Value::as_str).or(known.map(|known| known.name.as_str())).unwrap_or(key);
        let description = match fields.get("description") {
            Some(Value::String(text)) if text.chars().count() > 280 => {
                return Err(Refusal::too_long(&format!("properties.{key}.description"), 280, text.chars().count()));
            }
            Some(Value::String(text)) => Some(text.clone()),
            _ => known.and_then(|known| known.description.clone()),
        };
        Ok(Property { id, name: name.to_owned(), kind, config, description })
    }

    /// Gives a new two-way relation its other side.
    fn link(&mut self, source: &str, relation: &str, rng: &mut Rng) {
        let Some(here) = self.sources.get(source).cloned() else { return };
        let Some(property) = here.property(relation).cloned() else { return };
        if property.config["type"] != "dual_property"
            || property.config["dual_property"]["synced_property_id"].is_string()
        {
            return;
        }
        let target = property.config["data_source_id"].as_str().unwrap_or_default().to_owned();
        let asked = property.config["dual_property"]["synced_property_name"].as_str();
        let title = super::model::plain(&here.title);
        let name = asked.map_or_else(|| format!("Related to {title} ({})", property.name), str::to_owned);
        let other = Property {
            id: rng.text(LETTERS, 4),
            name: name.clone(),
            kind: "relation".into(),
            config: json!({
                "database_id": here.database, "data_source_id": source, "type": "dual_property",
                "dual_property": { "synced_property_id": property.shown_id(), "synced_property_name": property.name },
            }),
            description: None,
        };
        let shown = other.shown_id();
        if let Some(there) = self.sources.get_mut(&target) {
            there.properties.push(other);
        }
        if let Some(here) = self.sources.get_mut(source).and_then(|source| source.property_mut(relation)) {
            here.config["dual_property"] = json!({ "synced_property_id": shown, "synced_property_name": name });
        }
    }

    /// A two-way relation takes its other side with it.
    fn unlink(&mut self, property: &Property) {
        let Some(synced) = property.config["dual_property"]["synced_property_id"].as_str() else { return };
        let synced = super::model::unescape(synced);
        let target = property.config["data_source_id"].as_str().unwrap_or_default().to_owned();
        if let Some(there) = self.sources.get_mut(&target) {
            there.properties.retain(|other| other.id != synced);
        }
        for page in self.pages.values_mut().filter(|page| page.parent == Parent::Source(target.clone())) {
            page.values.remove(&synced);
        }
    }

    /// A title without looks.
    pub(super) fn titled(text: &str) -> Value {
        json!([rich(text, None)])
    }
}

//! Views of a database.

use serde_json::{Map, Value, json};

use super::model::{Capability, Source, View};
use super::refusal::{Answer, Refusal};
use super::{Asked, Notion, paged};
use crate::world::Context;

const KINDS: [&str; 10] =
    ["table", "board", "list", "calendar", "timeline", "gallery", "form", "chart", "map", "dashboard"];

impl Notion {
    /// Every database has one from the start.
    pub(super) fn default_view(&mut self, database: &str, by: &str, cx: &mut Context<'_>) {
        let source = self.databases.get(database).and_then(|database| database.sources.first().cloned());
        let view = View {
            id: cx.rng.uuid(),
            database: database.to_owned(),
            source: source.unwrap_or_default(),
            name: "Default view".into(),
            kind: "table".into(),
            more: json!({}),
            stamps: self.stamps(cx.now, by),
        };
        self.views.insert(view.id.clone(), view);
    }

    pub(super) fn list_views(&self, asked: &Asked) -> Answer {
        asked.must(Capability::ReadContent)?;
        let (cursor, size) = asked.page()?;
        let (database, source) = (asked.param("database_id"), asked.param("data_source_id"));
        let mut views: Vec<&View> = match (database, source) {
            (Some(id), _) => {
                let id = &self.database(id)?.id;
                self.views.values().filter(|view| view.database == *id).collect()
            }
            (None, Some(id)) => {
                let id = &self.source(id)?.id;
                self.views.values().filter(|view| view.source == *id).collect()
            }
            (None, None) => {
                return Err(Refusal::invalid(
                    "query failed validation: query.database_id or query.data_source_id should be defined, instead was `undefined`.",
                ));
            }
        };
        views.sort_by_key(|view| view.stamps.serial);
        // References only.
        let rows = views.iter().map(|view| json!({ "object": "view", "id": view.id })).collect();
        paged(rows, cursor.as_deref(), size, "view")
    }

    fn view(&self, id: &str) -> Answer<&View> {
        let id = Self::id(id, "view_id")?;
        self.views.get(&id).filter(|view| self.is_shared(&view.database)).ok_or_else(|| Refusal::not_found("view", &id))
    }

    pub(super) fn retrieve_view(&self, asked: &Asked, id: &str) -> Answer {
        asked.must(Capability::ReadContent)?;
        self.view(id).map(Self::show_view)
    }

    pub(super) fn create_view(&mut self, asked: &Asked, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::InsertContent)?;
        let text = |key: &str| asked.body.get(key).and_then(Value::as_str);
        let source = self.source(text("data_source_id").ok_or_else(|| Refusal::undefined("data_source_id"))?)?;
        let name = text("name").ok_or_else(|| Refusal::undefined("name"))?.to_owned();
        let kind = text("type").ok_or_else(|| Refusal::undefined("type"))?;
        if !KINDS.contains(&kind) {
            return Err(Refusal::body("type", "a view type", &json!(kind)));
        }
        let places = ["database_id", "view_id", "create_database"];
        if places.iter().filter(|place| asked.body.contains_key(**place)).count() != 1 {
            return Err(Refusal::invalid(
                "body failed validation: exactly one of body.database_id, body.view_id or body.create_database should be defined.",
            ));
        }
        let database = match text("database_id") {
            Some(id) => self.database(id)?.id.clone(),
            None => source.database.clone(),
        };
        if database != source.database {
            return Err(Refusal::invalid("The data source does not belong to the database."));
        }
        let more = configured(source, kind, &asked.body)?;
        let (source, kind) = (source.id.clone(), kind.to_owned());
        let stamps = self.stamps(cx.now, &asked.token.user);
        let view = View { id: cx.rng.uuid(), database, source, name, kind, more, stamps };
        let shown = Self::show_view(&view);
        self.views.insert(view.id.clone(), view);
        Ok(shown)
    }

    pub(super) fn update_view(&mut self, asked: &Asked, id: &str, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::UpdateContent)?;
        let view = self.view(id)?.clone();
        let source = self.source(&view.source)?;
        let mut more = view.more.clone();
        for (name, value) in configured(source, &view.kind, &asked.body)?.as_object().into_iter().flatten() {
            more[name] = value.clone();
        }
        let view = self.views.get_mut(&view.id).ok_or_else(|| Refusal::not_found("view", id))?;
        view.more = more;
        if let Some(name) = asked.body.get("name").and_then(Value::as_str) {
            name.clone_into(&mut view.name);
        }
        view.stamps.touch(cx.now, &asked.token.user);
        Ok(Self::show_view(view))
    }

    pub(super) fn delete_view(&mut self, asked: &Asked, id: &str) -> Answer {
        asked.must(Capability::UpdateContent)?;
        let view = self.view(id)?.clone();
        if self.views.values().filter(|other| other.database == view.database).count() == 1 {
            return Err(Refusal::invalid("Cannot delete the last view of a database."));
        }
        self.views.remove(&view.id);
        Ok(json!({
            "object": "view", "id": view.id, "type": view.kind,
            "parent": { "type": "database_id", "database_id": view.database },
        }))
    }
}

/// What a view shows, checked: its properties exist, and what its type needs is there.
fn configured(source: &Source, kind: &str, body: &Map<String, Value>) -> Answer {
    let known = |place: &str, id: &Value| -> Answer<()> {
        match id.as_str() {
            Some(id) if source.property(id).is_some() => Ok(()),
            Some(id) => Err(Refusal::invalid(format!("Could not find property with name or id: {id}"))),
            None => Err(Refusal::undefined(place)),
        }
    };
    let mut more = Map::new();
    for name in ["filter", "sorts", "quick_filters", "configuration"] {
        if let Some(value) = body.get(name) {
            more.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(configuration) = more.get("configuration").filter(|value| !value.is_null()) {
        if configuration["type"] != kind {
            return Err(Refusal::body("configuration.type", &format!("`\"{kind}\"`"), &configuration["type"]));
        }
        let group = &configuration["group_by"];
        if !group.is_null() {
            known("configuration.group_by.property_id", &group["property_id"])?;
            if !group["sort"]["type"].is_string() {
                return Err(Refusal::undefined("configuration.group_by.sort"));
            }
            let property = group["property_id"].as_str().and_then(|id| source.property(id));
            let grouped =
                property.map_or("", |property| if property.kind == "rich_text" { "text" } else { &property.kind });
            if group["type"] != grouped {
                return Err(Refusal::body("configuration.group_by.type", &format!("`\"{grouped}\"`"), &group["type"]));
            }
        }
        if kind == "calendar" || kind == "timeline" {
            known("configuration.date_property_id", &configuration["date_property_id"])?;
        }
    }
    if kind == "board"
        && more.get("configuration").is_none_or(|configuration| configuration["group_by"].is_null())
        && body.contains_key("type")
    {
        return Err(Refusal::undefined("configuration.group_by"));
    }
    for sort in more.get("sorts").and_then(Value::as_array).into_iter().flatten() {
        if sort["timestamp"].is_null() {
            known("sorts.property", &sort["property"])?;
        }
    }
    if let Some(filter) = more.get("filter").filter(|filter| !filter["property"].is_null()) {
        known("filter.property", &filter["property"])?;
    }
    Ok(Value::Object(more))
}

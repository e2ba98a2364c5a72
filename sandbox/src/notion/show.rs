//! Objects as answers show them.

use serde_json::{Map, Value, json};

use super::model::{Block, Database, Page, Parent, Property, Source, Stamps, View, plain, stamp};
use super::{Asked, Notion, users};

/// A page object shows so many of a list.
const SHOWN: usize = 25;

fn stamped(mut object: Value, stamps: &Stamps) -> Value {
    object["created_time"] = json!(stamp(stamps.created));
    object["last_edited_time"] = json!(stamp(stamps.edited));
    object["created_by"] = users::partial(&stamps.created_by);
    object["last_edited_by"] = users::partial(&stamps.edited_by);
    object
}

/// Version 2026-03-11 has no `archived` any more.
fn trash(object: &mut Value, asked: &Asked, trashed: bool) {
    object["in_trash"] = json!(trashed);
    if asked.version < "2026-03-11" {
        object["archived"] = json!(trashed);
    }
}

impl Notion {
    pub(super) fn show_parent(&self, parent: &Parent) -> Value {
        match parent {
            Parent::Workspace => json!({ "type": "workspace", "workspace": true }),
            Parent::Page(id) => json!({ "type": "page_id", "page_id": id }),
            Parent::Block(id) => json!({ "type": "block_id", "block_id": id }),
            Parent::Source(id) => {
                let database = self.sources.get(id).map(|source| source.database.as_str());
                json!({ "type": "data_source_id", "data_source_id": id, "database_id": database })
            }
        }
    }

    /// `only`: the properties (by id) to show; empty: all.
    pub(super) fn show_page(&self, asked: &Asked, page: &Page, only: &[String]) -> Value {
        let mut properties = Map::new();
        match &page.parent {
            Parent::Source(id) => {
                for property in self.sources.get(id).map_or(&[][..], |source| &source.properties) {
                    if only.is_empty() || only.contains(&property.id) {
                        properties.insert(property.name.clone(), self.show_value(property, page));
                    }
                }
            }
            _ => {
                let title = page.values.get("title").cloned().unwrap_or_else(|| json!([]));
                properties.insert("title".into(), json!({ "id": "title", "type": "title", "title": title }));
            }
        }
        let title = page.values.get("title").map(plain).unwrap_or_default();
        let slug: String = title
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join("-");
        let dash = if slug.is_empty() { "" } else { "-" };
        let mut object = json!({
            "object": "page", "id": page.id,
            "cover": page.cover, "icon": page.icon,
            "parent": self.show_parent(&page.parent),
            "is_archived": page.archived, "is_locked": page.locked,
            "properties": properties,
            "url": format!("https://www.notion.so/{slug}{dash}{}", page.id.replace('-', "")),
            "public_url": null,
        });
        trash(&mut object, asked, page.trashed);
        stamped(object, &page.stamps)
    }

    fn show_value(&self, property: &Property, page: &Page) -> Value {
        let kind = property.kind.as_str();
        let whole = self.inner(property, page);
        let cut =
            |value: &Value| -> Vec<Value> { value.as_array().into_iter().flatten().take(SHOWN).cloned().collect() };
        let mut shown = json!({ "id": property.shown_id(), "type": kind });
        match kind {
            "title" | "rich_text" | "people" => shown[kind] = json!(cut(&whole)),
            "relation" => {
                shown[kind] = json!(cut(&whole));
                shown["has_more"] = json!(whole.as_array().is_some_and(|list| list.len() > SHOWN));
            }
            _ => shown[kind] = whole,
        }
        shown
    }

    /// The value under its kind, uncut.
    pub(super) fn inner(&self, property: &Property, page: &Page) -> Value {
        let held = page.values.get(&property.id);
        let list = || held.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let option = |id: &Value| {
            let known = property.option(id.as_str()?)?;
            Some(json!({ "id": known["id"], "name": known["name"], "color": known["color"] }))
        };
        match property.kind.as_str() {
            "select" | "status" => held.and_then(option).unwrap_or_default(),
            "multi_select" => list().iter().filter_map(option).collect(),
            "relation" => {
                // What is in the trash is not shown.
                let there =
                    |id: &&Value| id.as_str().and_then(|id| self.pages.get(id)).is_some_and(|page| !page.trashed);
                list().iter().filter(there).map(|id| json!({ "id": id })).collect()
            }
            "people" => list().iter().filter_map(|id| users::whole(id.as_str()?)).collect(),
            "title" | "rich_text" | "files" => held.cloned().unwrap_or_else(|| json!([])),
            "checkbox" => held.cloned().unwrap_or(json!(false)),
            "created_time" => json!(stamp(page.stamps.created)),
            "last_edited_time" => json!(stamp(page.stamps.edited)),
            "created_by" => users::whole(&page.stamps.created_by).unwrap_or_default(),
            "last_edited_by" => users::whole(&page.stamps.edited_by).unwrap_or_default(),
            "unique_id" => json!({ "prefix": property.config["prefix"], "number": page.stamps.serial }),
            _ => held.cloned().unwrap_or_default(),
        }
    }

    pub(super) fn show_database(&self, asked: &Asked, database: &Database) -> Value {
        let sources: Vec<Value> = database
            .sources
            .iter()
            .filter_map(|id| self.sources.get(id))
            .filter(|source| !source.trashed)
            .map(|source| json!({ "id": source.id, "name": plain(&source.title) }))
            .collect();
        let mut object = json!({
            "object": "database", "id": database.id,
            "title": database.title, "description": database.description,
            "parent": self.show_parent(&database.parent),
            "is_inline": database.inline, "is_locked": database.locked,
            "data_sources": sources, "icon": null, "cover": null,
            "url": format!("https://www.notion.so/{}", database.id.replace('-', "")),
            "public_url": null,
        });
        trash(&mut object, asked, database.trashed);
        object["created_time"] = json!(stamp(database.stamps.created));
        object["last_edited_time"] = json!(stamp(database.stamps.edited));
        object
    }

    pub(super) fn show_source(&self, asked: &Asked, source: &Source) -> Value {
        let properties: Map<String, Value> = source
            .properties
            .iter()
            .map(|property| {
                let kind = property.kind.as_str();
                let shape = json!({
                    "id": property.shown_id(), "name": property.name, "description": property.description,
                    "type": kind, kind: property.config,
                });
                (property.name.clone(), shape)
            })
            .collect();
        let database = self.databases.get(&source.database);
        let mut object = json!({
            "object": "data_source", "id": source.id,
            "title": source.title, "description": [],
            "parent": { "type": "database_id", "database_id": source.database },
            "database_parent": database.map(|database| self.show_parent(&database.parent)),
            "is_inline": database.is_some_and(|database| database.inline),
            "properties": properties, "icon": null, "cover": null,
            "url": format!("https://www.notion.so/{}", source.database.replace('-', "")),
            "public_url": null,
        });
        trash(&mut object, asked, source.trashed);
        stamped(object, &source.stamps)
    }

    pub(super) fn show_block(&self, asked: &Asked, block: &Block) -> Value {
        let mut object = json!({
            "object": "block", "id": block.id, "type": block.kind,
            "parent": self.show_parent(&block.parent),
            "has_children": !block.children.is_empty(),
        });
        object[block.kind.as_str()] = block.content.clone();
        trash(&mut object, asked, block.trashed);
        stamped(object, &block.stamps)
    }

    pub(super) fn show_view(view: &View) -> Value {
        let mut object = json!({
            "object": "view", "id": view.id,
            "parent": { "type": "database_id", "database_id": view.database },
            "data_source_id": view.source, "name": view.name, "type": view.kind,
            "url": format!("https://www.notion.so/{}?v={}", view.database.replace('-', ""), view.id.replace('-', "")),
            "filter": null, "sorts": null, "quick_filters": null, "configuration": null,
        });
        for (name, value) in view.more.as_object().into_iter().flatten() {
            object[name] = value.clone();
        }
        stamped(object, &view.stamps)
    }
}

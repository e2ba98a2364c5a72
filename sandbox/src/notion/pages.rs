//! Pages: made, read, changed, moved; and the lists of their properties, page by page.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::model::{Capability, Page, Parent};
use super::refusal::{Answer, Refusal};
use super::{Asked, Notion, hooks, options, values};
use crate::world::Context;

impl Notion {
    pub(super) fn create_page(&mut self, asked: &Asked, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::InsertContent)?;
        let parent = asked.body.get("parent").filter(|parent| !parent.is_null());
        let parent = self.parent_of(parent.ok_or_else(|| Refusal::undefined("parent"))?)?;
        let empty = Map::new();
        let given = match asked.body.get("properties") {
            None => &empty,
            Some(Value::Object(given)) => given,
            Some(other) => return Err(Refusal::body("properties", "an object", other)),
        };
        let children = match asked.body.get("children") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(children)) if children.len() <= 100 => children.clone(),
            Some(Value::Array(children)) => return Err(Refusal::too_long("children", 100, children.len())),
            Some(other) => return Err(Refusal::body("children", "an array", other)),
        };
        let user = asked.token.user.clone();
        let id = self.insert_page(&parent, given, &user, cx)?;
        if let Some(icon) = asked.body.get("icon").cloned()
            && let Some(page) = self.pages.get_mut(&id)
        {
            page.icon = icon;
        }
        self.append(&id, &children, None, &user, cx)?;
        if let Some(named) = self.saved.pop_front() {
            let mut more = json!({
                "retry_guidance": "The write may have been saved. Read the resource again before retrying; do not repeat the request.",
            });
            if named {
                more["committed_resource_id"] = json!(id);
            }
            let message = "Notion is currently unavailable. Please try again later.";
            return Err(Refusal { more, ..Refusal::new(503, "service_unavailable", message) });
        }
        Ok(self.show_page(asked, self.page(&id)?, &self.shown(asked, &id)))
    }

    fn parent_of(&self, parent: &Value) -> Answer<Parent> {
        let given = |key: &str| parent[key].as_str();
        if let Some(id) = given("data_source_id") {
            let source = self.source(id)?;
            return if source.trashed { Err(Refusal::trashed()) } else { Ok(Parent::Source(source.id.clone())) };
        }
        if let Some(id) = given("database_id") {
            // The older way, for databases of one data source.
            let database = self.database(id)?;
            return match database.sources.as_slice() {
                [only] => Ok(Parent::Source(only.clone())),
                _ => {
                    Err(Refusal::invalid("Databases with multiple data sources are not supported in this API version."))
                }
            };
        }
        match given("page_id") {
            Some(id) => Ok(Parent::Page(self.page(id)?.id.clone())),
            None => Err(Refusal::invalid(
                "body failed validation. Fix one: body.parent.page_id should be defined, instead was `undefined`. body.parent.data_source_id should be defined, instead was `undefined`.",
            )),
        }
    }

    /// Makes a page, by anybody's hand.
    pub(super) fn insert_page(
        &mut self,
        parent: &Parent,
        given: &Map<String, Value>,
        by: &str,
        cx: &mut Context<'_>,
    ) -> Answer<String> {
        let changes = self.changes(parent, given, cx)?;
        let id = cx.rng.uuid();
        let page = Page {
            id: id.clone(),
            parent: parent.clone(),
            values: BTreeMap::new(),
            stamps: self.stamps(cx.now, by),
            trashed: false,
            archived: false,
            locked: false,
            icon: Value::Null,
            cover: Value::Null,
            children: Vec::new(),
        };
        self.pages.insert(id.clone(), page);
        if let Parent::Page(above) = parent
            && let Some(above) = self.pages.get_mut(above)
        {
            above.children.push(id.clone());
        }
        self.put(&id, changes);
        self.tell(&hooks::Event::page("page.created", &id), by, cx);
        Ok(id)
    }

    /// What a write asks for, checked: by property id, `None` to clear. Options that it makes are made.
    fn changes(
        &mut self,
        parent: &Parent,
        given: &Map<String, Value>,
        cx: &mut Context<'_>,
    ) -> Answer<Vec<(String, Option<Value>)>> {
        let Parent::Source(source) = parent else {
            let mut changes = Vec::new();
            for (name, value) in given {
                if name != "title" {
                    return Err(Refusal::invalid(format!("{name} is not a property that exists.")));
                }
                let title = super::model::Property {
                    id: "title".into(),
                    name: "title".into(),
                    kind: "title".into(),
                    config: Value::Null,
                    description: None,
                };
                changes.push(("title".to_owned(), values::written(&title, value)?));
            }
            return Ok(changes);
        };
        let source = self.source(source)?.clone();
        let mut changes = Vec::new();
        for (name, value) in given {
            let property = source
                .property(name)
                .ok_or_else(|| Refusal::invalid(format!("{name} is not a property that exists.")))?;
            let value = values::written(property, value)?;
            if let (Some(value), "relation") = (&value, property.kind.as_str()) {
                self.check_relation(property, value)?;
            }
            changes.push((property.id.clone(), value));
        }
        // Whole or not at all: options are made when everything else is good.
        let mut scratch = source.clone();
        for (id, value) in &mut changes {
            let Some(property) = scratch.property_mut(id) else { continue };
            if let (Some(asked), "select" | "multi_select" | "status") = (value.as_ref(), property.kind.as_str()) {
                *value = Some(options::resolve(property, asked, cx.rng)?);
            }
        }
        if let Some(source) = self.sources.get_mut(&source.id) {
            source.properties = scratch.properties;
        }
        Ok(changes)
    }

    fn put(&mut self, id: &str, changes: Vec<(String, Option<Value>)>) {
        let source = match self.pages.get(id).map(|page| page.parent.clone()) {
            Some(Parent::Source(source)) => self.sources.get(&source).cloned(),
            _ => None,
        };
        for (property, value) in changes {
            let Some(page) = self.pages.get_mut(id) else { return };
            let before = match &value {
                Some(value) => page.values.insert(property.clone(), value.clone()),
                None => page.values.remove(&property),
            };
            let relation = source.as_ref().and_then(|source| source.property(&property));
            if let Some(relation) = relation.filter(|relation| relation.kind == "relation").cloned() {
                self.mirror(id, &relation, &before.unwrap_or_default(), &value.unwrap_or_default());
            }
        }
    }

    /// The properties that `filter_properties` names.
    pub(super) fn shown(&self, asked: &Asked, page: &str) -> Vec<String> {
        let source = match self.pages.get(page).map(|page| &page.parent) {
            Some(Parent::Source(source)) => self.sources.get(source),
            _ => None,
        };
        let named = asked.query.iter().filter(|(key, _)| key == "filter_properties" || key == "filter_properties[]");
        named.filter_map(|(_, id)| Some(source?.property(id)?.id.clone())).collect()
    }

    pub(super) fn retrieve_page(&self, asked: &Asked, id: &str) -> Answer {
        asked.must(Capability::ReadContent)?;
        let page = self.page(id)?;
        Ok(self.show_page(asked, page, &self.shown(asked, &page.id)))
    }

    pub(super) fn update_page(&mut self, asked: &Asked, id: &str, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::UpdateContent)?;
        let page = self.page(id)?;
        let id = page.id.clone();
        if asked.version >= "2026-03-11" && asked.body.contains_key("archived") {
            return Err(Refusal::invalid(
                "body failed validation: body.archived should be not present, use body.in_trash.",
            ));
        }
        let flag = |name: &str| asked.body.get(name).and_then(Value::as_bool);
        let trash = flag("in_trash").or_else(|| flag("archived"));
        if page.trashed && trash != Some(false) {
            return Err(Refusal::trashed());
        }
        let empty = Map::new();
        let given = match asked.body.get("properties") {
            None | Some(Value::Null) => &empty,
            Some(Value::Object(given)) => given,
            Some(other) => return Err(Refusal::body("properties", "an object", other)),
        };
        self.change_page(&id, given, &asked.token.user, cx)?;
        if let Some(page) = self.pages.get_mut(&id) {
            for (name, place) in [("icon", &mut page.icon), ("cover", &mut page.cover)] {
                if let Some(value) = asked.body.get(name) {
                    place.clone_from(value);
                }
            }
            page.locked = flag("is_locked").unwrap_or(page.locked);
            page.archived = flag("is_archived").unwrap_or(page.archived);
        }
        if let Some(trash) = trash {
            self.trash_page(&id, trash, &asked.token.user, cx);
        }
        Ok(self.show_page(asked, self.page(&id)?, &self.shown(asked, &id)))
    }

    /// Changes properties, by anybody's hand.
    pub(super) fn change_page(
        &mut self,
        id: &str,
        given: &Map<String, Value>,
        by: &str,
        cx: &mut Context<'_>,
    ) -> Answer<()> {
        let parent = self.page(id)?.parent.clone();
        let changes = self.changes(&parent, given, cx)?;
        let touched: Vec<String> = changes.iter().map(|(property, _)| crate::wire::encode(property)).collect();
        self.put(id, changes);
        if let Some(page) = self.pages.get_mut(id) {
            page.stamps.touch(cx.now, by);
        }
        if !touched.is_empty() {
            let event = hooks::Event { properties: touched, ..hooks::Event::page("page.properties_updated", id) };
            self.tell(&event, by, cx);
        }
        Ok(())
    }

    pub(super) fn trash_page(&mut self, id: &str, trash: bool, by: &str, cx: &mut Context<'_>) {
        let Some(page) = self.pages.get_mut(id) else { return };
        if std::mem::replace(&mut page.trashed, trash) == trash {
            return;
        }
        page.stamps.touch(cx.now, by);
        self.tell(&hooks::Event::page(if trash { "page.deleted" } else { "page.undeleted" }, id), by, cx);
    }

    pub(super) fn move_page(&mut self, asked: &Asked, id: &str, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::UpdateContent)?;
        let id = self.page(id)?.id.clone();
        let parent = self.parent_of(asked.body.get("parent").ok_or_else(|| Refusal::undefined("parent"))?)?;
        self.put_under(&id, parent, &asked.token.user, cx);
        Ok(self.show_page(asked, self.page(&id)?, &[]))
    }

    pub(super) fn put_under(&mut self, id: &str, parent: Parent, by: &str, cx: &mut Context<'_>) {
        let Some(page) = self.pages.get_mut(id) else { return };
        // Its title goes with it; the columns of a table do not.
        page.values.retain(|property, _| property == "title");
        page.parent = parent;
        page.stamps.touch(cx.now, by);
        self.tell(&hooks::Event::page("page.moved", id), by, cx);
    }

    pub(super) fn property_items(&self, asked: &Asked, id: &str, property: &str, cx: &Context<'_>) -> Answer {
        asked.must(Capability::ReadContent)?;
        let page = self.page(id)?;
        let Parent::Source(source) = &page.parent else {
            return Err(Refusal::not_found("property", property));
        };
        let source = self.source(source)?;
        let property =
            source.properties.iter().find(|known| known.id == property || known.shown_id() == property).ok_or_else(
                || Refusal::new(404, "object_not_found", format!("Could not find property with ID: {property}.")),
            )?;
        let (kind, shown) = (property.kind.as_str(), property.shown_id());
        let whole = self.inner(property, page);
        if !matches!(kind, "title" | "rich_text" | "relation" | "people") {
            return Ok(json!({ "object": "property_item", "type": kind, "id": shown, kind: whole }));
        }
        let (cursor, size) = asked.page()?;
        let start = match cursor {
            None => 0,
            Some(cursor) => cursor
                .strip_prefix("item-")
                .and_then(|at| at.parse::<usize>().ok())
                .ok_or_else(|| Refusal::invalid(format!("The start_cursor provided is invalid: {cursor}")))?,
        };
        let items = whole.as_array().map_or(&[][..], Vec::as_slice);
        let results: Vec<Value> = items
            .iter()
            .skip(start)
            .take(size)
            .map(|item| json!({ "object": "property_item", "type": kind, "id": shown, kind: item }))
            .collect();
        let next = (start + size < items.len()).then(|| format!("item-{}", start + size));
        let url = next.as_ref().map(|next| {
            format!("{}/v1/pages/{}/properties/{shown}?start_cursor={next}&page_size={size}", cx.base, page.id)
        });
        Ok(json!({
            "object": "list", "results": results, "next_cursor": next, "has_more": next.is_some(),
            "type": "property_item",
            "property_item": { "id": shown, "next_url": url, "type": kind, kind: {} },
        }))
    }
}

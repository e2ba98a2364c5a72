//! People's hands in Notion, and a look at what is there.
//!
//! A wrong name or value is the test's own mistake: it panics with what was asked for.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::model::{Capability, Parent, Token, plain};
use super::refusal::Refusal;
use super::{Notion, PAGE, TOKEN, users};
use crate::world::Context;

#[track_caller]
fn must<T>(what: &str, answer: Result<T, Refusal>) -> T {
    match answer {
        Ok(value) => value,
        Err(refusal) => panic!("Notion desk, {what}: {refusal:?}"),
    }
}

fn object(values: &Value) -> Map<String, Value> {
    values.as_object().cloned().unwrap_or_default()
}

impl Notion {
    /// A page at the top of the workspace; shared with the connection or not.
    pub fn create_page_at_top(&mut self, cx: &mut Context<'_>, title: &str, shared: bool) -> String {
        let values = object(&json!({ "title": [{ "text": { "content": title } }] }));
        let id = must("create_page", self.insert_page(&Parent::Workspace, &values, users::OWNER, cx));
        if shared {
            self.shared.insert(id.clone());
        }
        id
    }

    /// A database that somebody makes by hand on the shared page, with properties in the shape that the API takes; says the id
    /// of its data source.
    #[track_caller]
    pub fn create_database_by_hand(&mut self, cx: &mut Context<'_>, title: &str, properties: &Value) -> String {
        let made = self.insert_database(&Parent::Page(PAGE.into()), Self::titled(title), properties, users::OWNER, cx);
        let id = must("create_database", made);
        self.databases.get(&id).and_then(|database| database.sources.first().cloned()).unwrap_or_default()
    }

    /// The data source with this title, if there is one.
    pub fn source_named(&self, title: &str) -> Option<String> {
        self.sources
            .values()
            .find(|source| !source.trashed && plain(&source.title) == title)
            .map(|source| source.id.clone())
    }

    #[track_caller]
    fn held(&self, title: &str) -> String {
        self.source_named(title).unwrap_or_else(|| panic!("Notion desk: no data source {title}"))
    }

    /// The database that holds a data source.
    #[track_caller]
    pub fn database_of(&self, title: &str) -> String {
        let source = self.held(title);
        self.sources.get(&source).map(|source| source.database.clone()).unwrap_or_default()
    }

    /// A person adds a row, with values as the API takes them (`{"Name": {"title": […]}}`); plain texts, numbers, flags, option
    /// names and lists of ids are understood as well. Says its id.
    #[track_caller]
    pub fn add_row(&mut self, cx: &mut Context<'_>, source: &str, values: &Value) -> String {
        let id = self.held(source);
        let given = self.spelt(&id, values);
        must("add_row", self.insert_page(&Parent::Source(id), &given, users::OWNER, cx))
    }

    /// A person edits a row.
    #[track_caller]
    pub fn edit_row(&mut self, cx: &mut Context<'_>, page: &str, values: &Value) {
        let Some(Parent::Source(source)) = self.pages.get(page).map(|page| page.parent.clone()) else {
            panic!("Notion desk: no row {page}");
        };
        let given = self.spelt(&source, values);
        must("edit_row", self.change_page(page, &given, users::OWNER, cx));
    }

    /// Plain values in the shape that their properties take.
    fn spelt(&self, source: &str, values: &Value) -> Map<String, Value> {
        let mut given = object(values);
        let Some(source) = self.sources.get(source) else { return given };
        for (name, value) in &mut given {
            let Some(property) = source.property(name) else { continue };
            let kind = property.kind.as_str();
            let text = value.as_str().map(str::to_owned);
            let shape = match (kind, text) {
                ("title" | "rich_text", Some(text)) => {
                    let letters: Vec<char> = text.chars().collect();
                    letters
                        .chunks(1_000)
                        .map(|part| json!({ "text": { "content": part.iter().collect::<String>() } }))
                        .collect()
                }
                ("title" | "rich_text", None) if value.is_null() => json!([]),
                ("select" | "status", Some(text)) => json!({ "name": text }),
                ("date", Some(text)) => json!({ "start": text }),
                ("multi_select", None) if value.is_array() => {
                    value.as_array().into_iter().flatten().map(|name| json!({ "name": name })).collect()
                }
                ("relation", None) if value.as_array().is_some_and(|ids| ids.iter().all(Value::is_string)) => {
                    value.as_array().into_iter().flatten().map(|id| json!({ "id": id })).collect()
                }
                _ if value.is_object() => continue,
                _ => value.clone(),
            };
            *value = json!({ kind: shape });
        }
        given
    }

    /// A person throws a row away, or takes it back.
    pub fn trash_row(&mut self, cx: &mut Context<'_>, page: &str, trash: bool) {
        self.trash_page(page, trash, users::OWNER, cx);
    }

    /// A row that is gone for good.
    pub fn erase_row(&mut self, page: &str) {
        self.pages.remove(page);
    }

    /// A person moves a row onto the shared page, out of its table.
    pub fn move_row_out(&mut self, cx: &mut Context<'_>, page: &str) {
        self.put_under(page, Parent::Page(PAGE.into()), users::OWNER, cx);
    }

    /// A person duplicates a row, with all that it holds; says the copy's id.
    #[track_caller]
    pub fn duplicate_row(&mut self, cx: &mut Context<'_>, page: &str) -> String {
        let original = self.pages.get(page).cloned().unwrap_or_else(|| panic!("Notion desk: no row {page}"));
        let id = must("duplicate_row", self.insert_page(&original.parent, &Map::new(), users::OWNER, cx));
        if let Some(copy) = self.pages.get_mut(&id) {
            copy.values = original.values;
        }
        id
    }

    /// A person changes columns, in the shape of `PATCH /data_sources`: rename, retype, delete with `null`, add.
    #[track_caller]
    pub fn change_columns(&mut self, cx: &mut Context<'_>, source: &str, changes: &Value) {
        let id = self.held(source);
        must("change_columns", self.change_schema(&id, &object(changes), users::OWNER, cx));
    }

    /// A person renames a database and its data source.
    #[track_caller]
    pub fn rename_source(&mut self, source: &str, title: &str) {
        let id = self.held(source);
        let Some(source) = self.sources.get_mut(&id) else { return };
        source.title = Self::titled(title);
        if let Some(database) = self.databases.get_mut(&source.database) {
            database.title = Self::titled(title);
        }
    }

    /// A person throws a database away, or takes it back.
    #[track_caller]
    pub fn trash_source(&mut self, id: &str, trash: bool) {
        let database = self.sources.get(id).map(|source| source.database.clone()).unwrap_or_default();
        if let Some(database) = self.databases.get_mut(&database) {
            database.trashed = trash;
        }
        self.follow_trash(&database);
    }

    /// Shares a page with the connection, or no more.
    pub fn share(&mut self, page: &str, shared: bool) {
        if shared {
            self.shared.insert(page.to_owned());
        } else {
            self.shared.remove(page);
        }
    }

    pub fn revoke_token(&mut self, token: &str) {
        if let Some(token) = self.tokens.get_mut(token) {
            token.revoked = true;
        }
    }

    /// A second connection.
    pub fn add_token(&mut self, token: &str, lacks: &[Capability]) {
        let lacks: BTreeSet<Capability> = lacks.iter().copied().collect();
        self.tokens.insert(token.to_owned(), Token { user: users::BOT.into(), lacks, revoked: false });
    }

    /// The connection loses capabilities in its settings, or gets them back.
    pub fn deny(&mut self, lacks: &[Capability]) {
        if let Some(token) = self.tokens.get_mut(TOKEN) {
            token.lacks = lacks.iter().copied().collect();
        }
    }

    /// Makes a webhook subscription in the settings; the handshake goes out.
    pub fn subscribe(&mut self, cx: &mut Context<'_>, url: &str) {
        self.begin_hook(url, cx);
    }

    /// Pastes the token of the handshake; `false`: Notion does not accept it.
    pub fn verify_subscription(&mut self, token: &str) -> bool {
        self.end_handshake(token)
    }

    /// A verified subscription with this token.
    pub fn set_webhook(&mut self, cx: &mut Context<'_>, url: &str, token: &str) {
        self.set_hook(url, token, cx);
    }

    /// Another plan's quota, in calls a minute.
    pub fn set_quota(&mut self, calls: usize) {
        self.quota.set(calls);
    }

    /// What one query shows, instead of 10,000 rows.
    pub fn set_query_cap(&mut self, rows: usize) {
        self.cap = rows;
    }

    /// How far queries are behind what was made.
    pub fn set_index_lag(&mut self, seconds: i64) {
        self.lag = TimeDelta::seconds(seconds);
    }

    /// The next create is saved and answered 503; the answer names the page or not.
    pub fn save_and_fail_next(&mut self, named: bool) {
        self.saved.push_back(named);
    }

    /// An API without views.
    pub fn forget_views(&mut self) {
        self.viewless = true;
    }

    /// The rows of a data source that are not in the trash, by id: plain values by property name (options by name, relations
    /// and people as lists of ids); empty ones are absent.
    pub fn rows(&self, source: &str) -> BTreeMap<String, Map<String, Value>> {
        let Some(source) = self.source_named(source) else { return BTreeMap::new() };
        let there = Parent::Source(source);
        let rows = self.pages.values().filter(|page| page.parent == there && !page.trashed);
        rows.map(|page| (page.id.clone(), self.row(&page.id))).collect()
    }

    /// One row, as in [`Notion::rows`]; empty if there is none.
    pub fn row(&self, page: &str) -> Map<String, Value> {
        let mut row = Map::new();
        let Some(page) = self.pages.get(page) else { return row };
        let Parent::Source(source) = &page.parent else { return row };
        for property in self.sources.get(source).map_or(&[][..], |source| &source.properties) {
            let Some(held) = page.values.get(&property.id) else { continue };
            let name = |id: &Value| Some(property.option(id.as_str()?)?["name"].clone());
            let value = match property.kind.as_str() {
                "title" | "rich_text" => json!(plain(held)),
                "select" | "status" => name(held).unwrap_or_default(),
                "multi_select" => held.as_array().into_iter().flatten().filter_map(name).collect(),
                "date" => held["start"].clone(),
                _ => held.clone(),
            };
            row.insert(property.name.clone(), value);
        }
        row
    }

    /// Values of a text property that more than one row carries.
    pub fn doubles(&self, source: &str, property: &str) -> Vec<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for row in self.rows(source).values() {
            if let Some(value) = row.get(property).and_then(Value::as_str) {
                *seen.entry(value.to_owned()).or_default() += 1;
            }
        }
        seen.into_iter().filter(|(_, times)| *times > 1).map(|(value, _)| value).collect()
    }

    /// The names of a data source's properties, with their types.
    pub fn columns(&self, source: &str) -> BTreeMap<String, String> {
        let source = self.source_named(source).and_then(|id| self.sources.get(&id));
        let properties = source.map_or(&[][..], |source| &source.properties);
        properties.iter().map(|property| (property.name.clone(), property.kind.clone())).collect()
    }

    /// The names of a data source's views.
    pub fn views(&self, source: &str) -> Vec<String> {
        let id = self.source_named(source).unwrap_or_default();
        let mut views: Vec<_> = self.views.values().filter(|view| view.source == id).collect();
        views.sort_by_key(|view| view.stamps.serial);
        views.iter().map(|view| view.name.clone()).collect()
    }
}

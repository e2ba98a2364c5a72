//! Queries of a data source, and the search by title.

use serde_json::{Value, json};

use super::model::{Capability, Page, Parent, plain};
use super::refusal::{Answer, Refusal};
use super::{Asked, Notion, filter, paged};
use crate::world::Context;

impl Notion {
    pub(super) fn query_source(&self, asked: &Asked, id: &str, cx: &Context<'_>) -> Answer {
        asked.must(Capability::ReadContent)?;
        let source = self.source(id)?;
        let (cursor, size) = asked.page()?;
        let nothing = Value::Null;
        let wanted = asked.body.get("filter").unwrap_or(&nothing);
        let sorts = match asked.body.get("sorts") {
            None => Vec::new(),
            Some(Value::Array(sorts)) => sorts.clone(),
            Some(other) => return Err(Refusal::body("sorts", "an array or `undefined`", other)),
        };
        for sort in &sorts {
            let key = sort["property"].as_str();
            if let Some(key) = key.filter(|key| source.property(key).is_none()) {
                return Err(Refusal::invalid(format!("Could not find sort property with name or id: {key}")));
            }
            if key.is_none() && !matches!(sort["timestamp"].as_str(), Some("created_time" | "last_edited_time")) {
                return Err(Refusal::body(
                    "sorts[0].timestamp",
                    "`\"created_time\"` or `\"last_edited_time\"`",
                    &sort["timestamp"],
                ));
            }
        }
        if !wanted.is_null() {
            filter::check(source, wanted, &blank(&source.id))?;
        }
        let there = Parent::Source(source.id.clone());
        let archived = asked.body.get("is_archived").and_then(Value::as_bool).unwrap_or(false);
        let trashed = ["in_trash", "archived"].iter().any(|flag| asked.body.get(*flag) == Some(&json!(true)));
        let mut rows: Vec<&Page> = Vec::new();
        for page in self
            .pages
            .values()
            .filter(|page| page.parent == there && page.trashed == trashed && page.archived == archived)
        {
            // The index is behind.
            if page.stamps.created + self.lag > cx.now && !self.lag.is_zero() {
                continue;
            }
            if wanted.is_null() || filter::passes(source, page, wanted)? {
                rows.push(page);
            }
        }
        rows.sort_by(|a, b| filter::order(source, &sorts, a, b));
        let start = match &cursor {
            None => 0,
            Some(cursor) => rows
                .iter()
                .position(|page| page.id == *cursor)
                .ok_or_else(|| Refusal::invalid(format!("The start_cursor provided is invalid: {cursor}")))?,
        };
        let end = (start + size).min(self.cap).min(rows.len());
        let capped = end == self.cap && rows.len() > self.cap;
        let next = rows.get(end).filter(|_| !capped).map(|page| page.id.clone());
        let only: Vec<String> = asked
            .query
            .iter()
            .filter(|(key, _)| key == "filter_properties" || key == "filter_properties[]")
            .map(|(_, id)| match source.property(id) {
                Some(property) => Ok(property.id.clone()),
                None => Err(Refusal::invalid(format!("Could not find property with name or id: {id}"))),
            })
            .collect::<Result<_, _>>()?;
        let results: Vec<Value> =
            rows.iter().take(end).skip(start).map(|page| self.show_page(asked, page, &only)).collect();
        let status = if capped {
            json!({ "type": "incomplete", "incomplete_reason": "query_result_limit_reached" })
        } else {
            json!({ "type": "complete" })
        };
        Ok(json!({
            "object": "list", "results": results, "next_cursor": next, "has_more": next.is_some(),
            "type": "page_or_data_source", "page_or_data_source": {}, "request_status": status,
        }))
    }

    /// By title, newest edit first; only what is shared.
    pub(super) fn search(&self, asked: &Asked) -> Answer {
        asked.must(Capability::ReadContent)?;
        let (cursor, size) = asked.page()?;
        let words = asked.body.get("query").and_then(Value::as_str).unwrap_or_default().to_lowercase();
        let kind = match asked.body.get("filter").map(|filter| &filter["value"]) {
            None | Some(Value::Null) => None,
            Some(Value::String(kind)) if kind == "page" || kind == "data_source" => Some(kind.as_str()),
            Some(other) => return Err(Refusal::body("filter.value", "`\"page\"` or `\"data_source\"`", other)),
        };
        let mut found: Vec<(_, Value)> = Vec::new();
        if kind != Some("data_source") {
            for page in self.pages.values().filter(|page| !page.trashed && self.is_shared(&page.id)) {
                let title = page.values.get("title").map(plain).unwrap_or_default();
                if title.to_lowercase().contains(&words) {
                    found.push(((page.stamps.edited, page.stamps.serial), self.show_page(asked, page, &[])));
                }
            }
        }
        if kind != Some("page") {
            for source in self.sources.values().filter(|source| !source.trashed && self.is_shared(&source.id)) {
                if plain(&source.title).to_lowercase().contains(&words) {
                    found.push(((source.stamps.edited, source.stamps.serial), self.show_source(asked, source)));
                }
            }
        }
        found.sort_by_key(|(at, _)| *at);
        let ascending = asked.body.get("sort").is_some_and(|sort| sort["direction"] == "ascending");
        if !ascending {
            found.reverse();
        }
        paged(found.into_iter().map(|(_, object)| object).collect(), cursor.as_deref(), size, "page_or_data_source")
    }
}

/// A page without values, to try a filter on.
fn blank(source: &str) -> Page {
    let begin = chrono::DateTime::UNIX_EPOCH;
    Page {
        id: String::new(),
        parent: Parent::Source(source.to_owned()),
        values: std::collections::BTreeMap::new(),
        stamps: super::model::Stamps {
            created: begin,
            created_by: String::new(),
            edited: begin,
            edited_by: String::new(),
            serial: 0,
        },
        trashed: false,
        archived: false,
        locked: false,
        icon: Value::Null,
        cover: Value::Null,
        children: Vec::new(),
    }
}

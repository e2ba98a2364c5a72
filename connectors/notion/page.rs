//! A page as it is now, with the lists that its object cuts at 25 read to their end by the property endpoint. (Notion
//! "retrieve a page property item", read 2026-11-23.)

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::Notion;
use super::binding::Table;
use super::client::Verb;
use super::types::{address, array, is_trashed, text, time, uuid};
use super::values;
use crate::http::Call;
use crate::{Fault, Key, Record, Version};

/// How long a page that was read in part may be read on.
const FRESH: Duration = Duration::from_secs(15);

/// A page that the quota kept us from reading to its end.
#[derive(Clone, Default)]
pub(super) struct Partial {
    page: Option<Value>,
    /// It answered 404: whether the data source can be seen tells what that means.
    absent: bool,
    /// The property under way: its name, its items so far, and where to go on.
    list: Option<(String, Vec<Value>, Option<String>)>,
    done: BTreeSet<String>,
    at: Duration,
}

impl Notion {
    /// The page, whole as far as the table names its properties; `None`: it is gone from there.
    pub(super) async fn whole(&self, table: &Table, id: &str) -> Result<Option<Value>, Fault> {
        let now = self.clock.monotonic();
        let kept = self.reading.take(&*self.clock, id).filter(|kept| now.saturating_sub(kept.at) < FRESH);
        let mut part = kept.unwrap_or_default();
        loop {
            match self.read_on(table, id, &mut part).await {
                Ok(None) => {}
                Ok(Some(read)) => return Ok(read),
                Err(fault) => {
                    if matches!(fault, Fault::Later { .. }) && (part.page.is_some() || part.absent) {
                        part.at = self.clock.monotonic();
                        self.reading.put(&*self.clock, id, part);
                    }
                    return Err(fault);
                }
            }
        }
    }

    /// One call, or none when there is nothing left to read.
    async fn read_on(&self, table: &Table, id: &str, part: &mut Partial) -> Result<Option<Option<Value>>, Fault> {
        if part.absent {
            return match self.client.get(format!("/v1/data_sources/{}", table.id)).await {
                Ok(_) => Ok(Some(None)),
                Err(failure) if failure.is_absence() => Err(Fault::locked(format!(
                    "data source {} is gone, or no longer shared with the connection ({})",
                    table.name, failure.message
                ))),
                Err(failure) => Err(failure.fault),
            };
        }
        let Some(page) = &mut part.page else {
            match self.client.get(format!("/v1/pages/{id}")).await {
                Ok(page) if is_trashed(&page) || !is_of(table, &page) => return Ok(Some(None)),
                Ok(page) => part.page = Some(page),
                // Lost sharing looks like this, too.
                Err(failure) if failure.is_absence() => part.absent = true,
                Err(failure) => return Err(failure.fault),
            }
            return Ok(None);
        };
        if part.list.is_none() {
            let cut = |field: &&super::binding::Field| {
                field.of(page).is_some_and(|(name, value)| !part.done.contains(name) && values::is_cut(value))
            };
            let Some(field) = table.fields.values().find(cut) else { return Ok(Some(part.page.take())) };
            let Some((name, _)) = field.of(page) else { return Ok(Some(part.page.take())) };
            part.list = Some((name.clone(), Vec::new(), None));
        }
        let Some((name, items, cursor)) = &mut part.list else { return Ok(None) };
        let Some(property) = page.get_mut("properties").and_then(|properties| properties.get_mut(name.as_str())) else {
            part.list = None;
            return Ok(None);
        };
        let (kind, property_id) =
            (text(property, "type").unwrap_or_default(), text(property, "id").unwrap_or_default());
        // Ids come with their percent escapes, or need them.
        let segment = crate::http::encode(&super::types::bare(&property_id));
        let mut call = Call::get(format!("/v1/pages/{id}/properties/{segment}")).query("page_size", "100");
        if let Some(cursor) = cursor {
            call = call.query("start_cursor", cursor.as_str());
        }
        let answer = self.client.send(call, Verb::Read).await?;
        items.extend(array(&answer, "results").iter().filter_map(|item| item.get(&kind).cloned()));
        let next = text(&answer, "next_cursor").filter(|next| !next.is_empty() && Some(next) != cursor.as_ref());
        if next.is_some() {
            *cursor = next;
        } else {
            if !items.is_empty() {
                property[&kind] = json!(items);
                property["has_more"] = json!(false);
            }
            part.done.insert(name.clone());
            part.list = None;
        }
        Ok(None)
    }

    /// A page object as a record.
    pub(super) fn record(collection: &str, table: &Table, page: &Value) -> Option<Record> {
        let id = text(page, "id").as_deref().and_then(uuid)?;
        let url = text(page, "url").or_else(|| Some(address(&id)));
        let body = (!is_trashed(page)).then(|| Value::Object(table.body(page)));
        Some(Record { key: Key::new(collection, id), version: version(page), body, url, edits: Vec::new() })
    }

    pub(super) fn gone(collection: &str, id: &str) -> Record {
        Record { key: Key::new(collection, id), version: None, body: None, url: None, edits: Vec::new() }
    }
}

/// To the minute, rounded down: equal versions may well be different pages.
pub(super) fn version(page: &Value) -> Option<Version> {
    time(page, "last_edited_time").map(|at| Version(at.timestamp_millis()))
}

/// Whether a page is a row of this table, as far as it says.
fn is_of(table: &Table, page: &Value) -> bool {
    let parent = page.get("parent").unwrap_or(&Value::Null);
    match text(parent, "data_source_id").as_deref().and_then(uuid) {
        Some(source) => source == table.id,
        None => {
            let database = text(parent, "database_id").as_deref().and_then(uuid);
            database.is_some_and(|database| table.database.as_ref().is_none_or(|ours| *ours == database))
        }
    }
}

//! Writing a page a call, and finding pages again by what we wrote into them.
//!
//! A create has no natural upsert at Notion. So one whose outcome is not known is followed by [`Sink::find`], and a page that
//! is not found counts as not made only after a while: the index is behind.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::binding::Table;
use super::client::Verb;
use super::page::version;
use super::query::Query;
use super::types::{address, is_trashed, text, time, uuid};
use super::values::{self, Sort};
use super::{Notion, held, verdict};
use crate::http::Call;
use crate::spelling::millis;
use crate::{Cursor, Fault, Receipt, Record, Sink, Write, Written};

/// What a write sends, and what it leaves out.
pub(super) struct Draft {
    /// By property id.
    properties: Map<String, Value>,
    /// The same, canonical, by the mapping's name.
    pub(super) sent: Map<String, Value>,
    skipped: BTreeMap<String, String>,
}

/// A place among all pages of a data source, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    /// Pages made before are behind us: a query shows 10,000.
    since: Option<DateTime<Utc>>,
    cursor: Option<String>,
    /// When the newest page so far was made.
    newest: Option<DateTime<Utc>>,
}

#[async_trait]
impl Sink for Notion {
    /// One: Notion has no call for several.
    fn batch(&self, _collection: &str) -> usize {
        1
    }

    fn canonical(&self, collection: &str, field: &str, value: Value) -> Value {
        let binding = self.binding();
        values::canonical(binding.tables.get(collection).and_then(|table| table.fields.get(field)), value)
    }

    fn lacks(&self, collection: &str) -> std::collections::BTreeSet<String> {
        self.table(collection).map(|table| table.missing.into_keys().collect()).unwrap_or_default()
    }

    async fn write(&self, collection: &str, writes: &[Write]) -> Vec<Result<Written, Fault>> {
        let mut verdicts: Vec<Result<Written, Fault>> = Vec::new();
        for write in writes {
            let verdict = match verdicts.last() {
                Some(Err(later @ Fault::Later { .. })) => Err(later.clone()),
                _ => self.write_one(collection, write).await,
            };
            verdicts.push(verdict);
        }
        verdicts
    }

    async fn read(&self, collection: &str, ids: &[String]) -> Result<Vec<Record>, Fault> {
        let table = self.table(collection)?;
        let work = format!("{collection}\n{}", ids.join("\n"));
        let mut records = self.records.take(&*self.clock, &work).unwrap_or_default();
        for id in ids {
            if records.contains_key(id) {
                continue;
            }
            let record = match self.whole(&table, id).await {
                Ok(page) => page.and_then(|page| Self::record(collection, &table, &page)),
                Err(fault) => {
                    if matches!(fault, Fault::Later { .. }) && !records.is_empty() {
                        self.records.put(&*self.clock, &work, records);
                    }
                    return Err(fault);
                }
            };
            records.insert(id.clone(), record.unwrap_or_else(|| Self::gone(collection, id)));
        }
        Ok(ids.iter().filter_map(|id| records.get(id).cloned()).collect())
    }

    async fn find(&self, collection: &str, external_ids: &[String]) -> Result<Vec<Option<Record>>, Fault> {
        let table = self.table(collection)?;
        let mut found = Vec::new();
        for external_id in external_ids {
            found.push(self.find_one(collection, &table, external_id).await?);
        }
        Ok(found)
    }

    async fn list(
        &self,
        collection: &str,
        after: Option<&Cursor>,
    ) -> Result<(Vec<(String, Record)>, Option<Cursor>), Fault> {
        let table = self.table(collection)?;
        let (rows, next) = self.all(collection, &table, after, Vec::new()).await?;
        let ours = rows
            .iter()
            .filter(|row| !is_trashed(row))
            .filter_map(|row| Some((table.external_id(row)?, Self::record(collection, &table, row)?)));
        Ok((ours.collect(), next))
    }
}

impl Notion {
    pub(super) async fn write_one(&self, collection: &str, write: &Write) -> Result<Written, Fault> {
        let table = self.table(collection)?;
        let draft = draft(&table, write, self.settings.new_options);
        let call = match &write.target {
            // Nothing of it can be written: no call, and the receipt says why.
            Some(id) if draft.properties.is_empty() => {
                return Ok(Written::Stored(Receipt {
                    id: id.clone(),
                    url: Some(address(id)),
                    version: None,
                    fields: Map::new(),
                    replaced: Map::new(),
                    skipped: draft.skipped,
                    created: false,
                }));
            }
            Some(id) => Call::patch(format!("/v1/pages/{id}"), json!({ "properties": draft.properties })),
            None => {
                let key = table.key_field().ok_or_else(|| no_key(collection, &table))?;
                let mut properties = draft.properties.clone();
                let shape = values::fits(key, &json!(write.external_id), true).map_err(Fault::locked)?;
                properties.insert(key.id.clone(), shape);
                let parent = json!({ "type": "data_source_id", "data_source_id": table.id });
                Call::post("/v1/pages", json!({ "parent": parent, "properties": properties }))
            }
        };
        match self.client.send(call, Verb::Write).await {
            Ok(page) => self.stored(&table, write, draft, &page),
            Err(failure) => {
                let ruling = verdict::refused(collection, &table, write, &draft, &failure);
                if !ruling.suspects.is_empty() {
                    self.schema_moved.store(true, Ordering::Relaxed);
                    held(&self.suspects).extend(ruling.suspects);
                }
                let mut doubts = held(&self.doubts);
                if let Some(id) = &failure.committed {
                    doubts.committed(&write.external_id, id);
                }
                match ruling.verdict {
                    Err(Fault::Unknown { why }) if failure.edge && failure.status == 403 => {
                        Err(doubts.blocked(&write.external_id, why))
                    }
                    verdict => verdict,
                }
            }
        }
    }

    fn stored(&self, table: &Table, write: &Write, draft: Draft, page: &Value) -> Result<Written, Fault> {
        let Some(id) = text(page, "id").as_deref().and_then(uuid) else {
            return Err(Fault::unknown("Notion's answer names no page"));
        };
        self.note_own(&id, write.target.is_none());
        held(&self.doubts).settled(&write.external_id);
        let mut receipt = Receipt {
            url: text(page, "url").or_else(|| Some(address(&id))),
            id,
            version: version(page),
            fields: Map::new(),
            replaced: Map::new(),
            skipped: draft.skipped,
            created: write.target.is_none(),
        };
        let whole = page.get("properties").is_some_and(Value::is_object);
        for (name, sent) in draft.sent {
            let Some(field) = table.fields.get(&name) else { continue };
            let shown = field.of(page).map(|(_, property)| property);
            let value = match shown {
                // A page shows the first 25 of a list.
                Some(property) if values::is_cut(property) => sent,
                Some(property) => values::read(field, property),
                // It says 200 and did not write it.
                None if whole => {
                    receipt.skipped.insert(name, format!("Notion's answer does not show property {}", field.name));
                    continue;
                }
                None => sent,
            };
            receipt.fields.insert(name, value);
        }
        Ok(Written::Stored(receipt))
    }

    async fn find_one(&self, collection: &str, table: &Table, external_id: &str) -> Result<Option<Record>, Fault> {
        // The error of the create named the page that it made.
        let named = held(&self.doubts).named(external_id);
        if let Some(id) = named
            && let Some(page) = self.whole(table, &id).await?
        {
            held(&self.doubts).settled(external_id);
            return Ok(Self::record(collection, table, &page));
        }
        let key = table.key_field().ok_or_else(|| no_key(collection, table))?;
        if !matches!(values::sort(&key.kind), Sort::Title | Sort::Text | Sort::Url | Sort::Email) {
            return Err(Fault::locked(format!(
                "property {} of {collection} is of type {}: pages are known again by a text property",
                key.name, key.kind
            )));
        }
        let mut condition = Map::new();
        condition.insert("property".into(), json!(key.id));
        condition.insert(key.kind.clone(), json!({ "equals": external_id }));
        let query = Query {
            filter: Some(Value::Object(condition)),
            sort: Some(("created_time", "ascending")),
            ..Query::default()
        };
        let answer = match self.whole_rows(&format!("find {external_id}"), table, &query, |_| false).await {
            Ok(answer) => answer,
            // The search itself is refused: the property is gone since it was bound.
            Err(failure) if matches!(failure.fault, Fault::Rejected { .. }) => {
                self.schema_moved.store(true, Ordering::Relaxed);
                return Err(Fault::locked(format!(
                    "pages of {collection} cannot be found by {} ({})",
                    key.name, failure.message
                )));
            }
            Err(failure) => return Err(failure.fault),
        };
        let ours = answer
            .rows
            .iter()
            .filter(|row| !is_trashed(row) && table.external_id(row).as_deref() == Some(external_id))
            .min_by_key(|row| (time(row, "created_time"), text(row, "id")));
        if let Some(page) = ours {
            held(&self.doubts).settled(external_id);
            return Ok(Self::record(collection, table, page));
        }
        let patience = Duration::from_secs(self.settings.absent_seconds.into());
        if held(&self.doubts).is_absent(external_id, self.clock.monotonic(), patience) {
            return Ok(None);
        }
        Err(Fault::unknown("it is not found, and Notion's index may be behind: it is looked for again"))
    }

    /// A page of all rows, oldest first, and where to go on.
    pub(super) async fn all(
        &self,
        collection: &str,
        table: &Table,
        after: Option<&Cursor>,
        only: Vec<String>,
    ) -> Result<(Vec<Value>, Option<Cursor>), Fault> {
        let mut place: Place = after.and_then(|after| Place::deserialize(&after.0).ok()).unwrap_or_default();
        let from = place.since.map(millis);
        let query = Query {
            filter: from.map(|from| json!({ "timestamp": "created_time", "created_time": { "on_or_after": from } })),
            sort: Some(("created_time", "ascending")),
            cursor: place.cursor.clone(),
            only,
        };
        let narrow = !query.only.is_empty();
        let name = format!("all {collection} {narrow} {}", json!(place));
        let asked = if narrow {
            self.query(table, &query).await
        } else {
            self.whole_rows(&name, table, &query, |_| false).await
        };
        let answer = match asked {
            Ok(answer) => answer,
            Err(failure) if failure.is_lost_place() && place.cursor.is_some() => {
                place.cursor = None;
                return Ok((Vec::new(), Some(cursor(&place))));
            }
            Err(failure) => return Err(failure.fault),
        };
        place.newest = answer.rows.iter().filter_map(|row| time(row, "created_time")).max().max(place.newest);
        let next = match (answer.next, answer.capped) {
            (Some(next), _) => Some(Place { cursor: Some(next), ..place }),
            (None, true) => {
                // As many as Notion shows were made in one minute: what is behind them cannot be seen.
                let stuck = place.newest == place.since;
                if stuck {
                    self.crowd(collection);
                }
                let since = place.newest.map(|newest| if stuck { newest + TimeDelta::minutes(1) } else { newest });
                Some(Place { since, cursor: None, newest: since })
            }
            (None, false) => None,
        };
        Ok((answer.rows, next.as_ref().map(cursor)))
    }

    /// More pages than Notion shows to one query stand in the same minute.
    pub(super) fn crowd(&self, collection: &str) {
        let why = format!(
            "more pages of {collection} were made or edited within one minute than Notion shows to a query (10,000); those behind them are not seen until somebody edits them"
        );
        *held(&self.crowded) = Some(why);
    }
}

fn cursor(place: &Place) -> Cursor {
    Cursor(serde_json::to_value(place).unwrap_or_default())
}

fn no_key(collection: &str, table: &Table) -> Fault {
    let name = table.key.as_deref().unwrap_or(super::settings::DEFAULT_KEY);
    Fault::locked(format!(
        "{collection} has no property {name}: without it a page could be made twice. Add it (type Text) or run `loopd setup`"
    ))
}

fn draft(table: &Table, write: &Write, new_options: bool) -> Draft {
    let mut draft = Draft { properties: Map::new(), sent: Map::new(), skipped: BTreeMap::new() };
    let mut put = |name: &String, value: Value| {
        let Some(field) = table.fields.get(name) else {
            let why = table.missing.get(name).cloned();
            let why = why.unwrap_or_else(|| format!("there is no property {name} in {}", table.name));
            draft.skipped.insert(name.clone(), why);
            return;
        };
        let value = values::canonical(Some(field), value);
        match values::fits(field, &value, new_options) {
            Ok(shape) => {
                draft.properties.insert(field.id.clone(), shape);
                draft.sent.insert(name.clone(), value);
            }
            Err(why) => {
                draft.skipped.insert(name.clone(), why);
            }
        }
    };
    for (name, value) in &write.fields {
        // A create carries the key anyway; a page that people made gets it as any other property.
        if write.target.is_some() || table.key.as_ref() != Some(name) {
            put(name, value.clone());
        }
    }
    for (name, change) in &write.tags {
        if write.target.is_none() {
            put(name, json!(change.add));
        }
    }
    if write.target.is_some() {
        for name in write.tags.keys() {
            let why = "Notion can only replace a set, not add to it: map the property as a list of options";
            draft.skipped.insert(name.clone(), why.into());
        }
    }
    draft
}

//! Reading: what was edited since, single pages, and the id sweep.
//!
//! Notion lists by `last_edited_time`, which is rounded down to the minute. Newest first: a page that is edited while the list
//! is read moves to its front, so the rest shifts back and none is skipped; the edit itself belongs to the next look, which
//! begins behind the newest edit that this one saw, less an overlap. A query shows 10,000 pages and says when there are more:
//! the look goes on below the oldest that it saw.
//!
//! What we have just written ourselves is no news, and the index may still show what stood before: pages of which that may be
//! so are read by themselves.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Notion;
use super::query::Query;
use super::types::{text, time, uuid};
use crate::spelling::millis;
use crate::{Cursor, Fault, IdPage, Key, Next, Page, Record, Source, Stream};

pub(super) const MODIFIED: &str = "modified";
/// After a look that found hundreds of our own pages and no other, the next waits so long.
const WHILE_LOADING: TimeDelta = TimeDelta::minutes(5);
const LOADING: usize = 200;

/// Position in the stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    /// By collection: the newest edit that was seen, by Notion's clock.
    since: BTreeMap<String, DateTime<Utc>>,
    /// By collection: when, by our clock, that last moved.
    moved: BTreeMap<String, DateTime<Utc>>,
    /// When, by our clock, the last look began.
    looked: Option<DateTime<Utc>>,
    /// How many pages it found that were our own writes, and how many others.
    own: usize,
    others: usize,
    scan: Option<Scan>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Scan {
    began: DateTime<Utc>,
    collection: String,
    /// Only edits up to here: what is newer was seen.
    #[serde(default)]
    to: Option<DateTime<Utc>>,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    newest: Option<DateTime<Utc>>,
    #[serde(default)]
    oldest: Option<DateTime<Utc>>,
}

impl Scan {
    fn of(collection: &str, began: DateTime<Utc>) -> Self {
        Self { began, collection: collection.to_owned(), to: None, cursor: None, newest: None, oldest: None }
    }
}

fn cursor(place: &Place) -> Cursor {
    Cursor(serde_json::to_value(place).unwrap_or_default())
}

#[async_trait]
impl Source for Notion {
    fn streams(&self) -> Vec<Stream> {
        vec![Stream {
            name: MODIFIED.into(),
            every: "0 * * * * *",
            about: "pages that were edited since the last look",
        }]
    }

    async fn pull(&self, stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        if stream != MODIFIED {
            return Err(Fault::rejected(format!("Notion has no stream {stream}")));
        }
        let mut place: Place = after.and_then(|after| Place::deserialize(&after.0).ok()).unwrap_or_default();
        let binding = self.binding();
        let names: Vec<&String> =
            binding.tables.iter().filter(|(_, table)| !table.gone).map(|(name, _)| name).collect();
        let idle = |place: &Place| Page::of(Vec::new(), Next::CaughtUp(cursor(place)));
        let Some(first) = names.first() else { return Ok(idle(&place)) };
        let now = self.clock.now();
        let scan = match place.scan.take() {
            Some(scan) => scan,
            None => {
                if !self.look_now.swap(false, Ordering::Relaxed) && self.rests(&place, now) {
                    return Ok(idle(&place));
                }
                (place.own, place.others) = (0, 0);
                Scan::of(first, now)
            }
        };
        let following = names.into_iter().find(|name| **name > scan.collection).cloned();
        self.scan(place, scan, following).await
    }

    async fn fetch(&self, key: &Key) -> Result<Option<Record>, Fault> {
        let table = self.table(&key.collection)?;
        let page = self.whole(&table, &key.id).await?;
        let record = page.and_then(|page| Self::record(&key.collection, &table, &page));
        Ok(Some(record.unwrap_or_else(|| Self::gone(&key.collection, &key.id))))
    }

    async fn ids(&self, collection: &str, after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        let table = self.table(collection)?;
        let only = table.key_field().map(|key| vec![key.id.clone()]).unwrap_or_default();
        let (rows, next) = self.all(collection, &table, after, only).await?;
        Ok(Some(IdPage {
            ids: rows.iter().filter_map(|row| text(row, "id").as_deref().and_then(uuid)).collect(),
            next,
        }))
    }
}

impl Notion {
    /// Whether it is too early for another look: edits come by webhook, or we are busy writing and nobody else is.
    fn rests(&self, place: &Place, now: DateTime<Utc>) -> bool {
        let by_webhook = TimeDelta::seconds(self.settings.modified_every_seconds.into());
        let pause = match &self.webhook_secret {
            Some(_) => by_webhook,
            None if place.own >= LOADING && place.others == 0 => WHILE_LOADING,
            None => return false,
        };
        place.looked.is_some_and(|looked| now - looked < pause)
    }

    async fn scan(&self, mut place: Place, mut scan: Scan, following: Option<String>) -> Result<Page, Fault> {
        let Ok(table) = self.table(&scan.collection) else { return Ok(advance(place, &scan, following)) };
        let overlap = TimeDelta::seconds(self.settings.overlap_seconds.into());
        // What lies behind the newest edit was looked at again for as long as an edit may be late: it is known.
        let settled = place.moved.get(&scan.collection).is_some_and(|moved| scan.began - *moved > overlap);
        let back = if settled { TimeDelta::zero() } else { overlap };
        let from = place.since.get(&scan.collection).map(|since| *since - back).or(self.settings.start);
        let edited = |bound: &str, at: DateTime<Utc>| json!({ "timestamp": "last_edited_time", "last_edited_time": { bound: millis(at) } });
        let filter = match (from, scan.to) {
            (None, None) => None,
            (Some(from), None) => Some(edited("on_or_after", from)),
            (None, Some(to)) => Some(edited("on_or_before", to)),
            (Some(from), Some(to)) => Some(json!({ "and": [edited("on_or_after", from), edited("on_or_before", to)] })),
        };
        let query = Query {
            filter,
            sort: Some(("last_edited_time", "descending")),
            cursor: scan.cursor.clone(),
            only: Vec::new(),
        };
        let me = self.binding().me.clone();
        let editor = |row: &Value| row.get("last_edited_by").and_then(|user| text(user, "id"));
        let by_us = |row: &Value| me.is_some() && editor(row) == me;
        let by_another = |row: &Value| me.is_some() && editor(row).is_some_and(|editor| Some(editor) != me);
        let lately = |row: &Value| text(row, "id").as_deref().and_then(uuid).is_some_and(|id| self.wrote_lately(&id));
        let made = |row: &Value| text(row, "id").as_deref().and_then(uuid).is_some_and(|id| self.made_lately(&id));
        let name = format!("modified {} {:?} {:?} {:?}", scan.collection, from, scan.to, scan.cursor);
        let answer = match self.whole_rows(&name, &table, &query, |row| lately(row) && by_another(row)).await {
            Ok(answer) => answer,
            Err(failure) if failure.is_lost_place() && scan.cursor.is_some() => {
                scan.cursor = None;
                place.scan = Some(scan);
                return Ok(Page::of(Vec::new(), Next::More(cursor(&place))));
            }
            Err(failure) => return Err(failure.fault),
        };
        let (own, news): (Vec<&Value>, Vec<&Value>) = answer.rows.iter().partition(|row| made(row) && by_us(row));
        (place.own, place.others) = (place.own + own.len(), place.others + news.len());
        let records: Vec<Record> = news.iter().filter_map(|row| Self::record(&scan.collection, &table, row)).collect();
        let times = || answer.rows.iter().filter_map(|row| time(row, "last_edited_time"));
        scan.newest = times().max().max(scan.newest);
        scan.oldest = [times().min(), scan.oldest].into_iter().flatten().min();
        if answer.next.is_some() {
            scan.cursor = answer.next;
            place.scan = Some(scan);
            return Ok(Page::of(records, Next::More(cursor(&place))));
        }
        if answer.capped && scan.oldest.is_some() {
            let stuck = scan.oldest == scan.to;
            if stuck {
                self.crowd(&scan.collection);
            }
            scan.to = scan.oldest.map(|oldest| if stuck { oldest - TimeDelta::minutes(1) } else { oldest });
            scan.cursor = None;
            place.scan = Some(scan);
            return Ok(Page::of(records, Next::More(cursor(&place))));
        }
        let before = place.since.get(&scan.collection).copied();
        if let Some(newest) = scan.newest.filter(|newest| before.is_none_or(|before| *newest > before)) {
            place.since.insert(scan.collection.clone(), newest);
            place.moved.insert(scan.collection.clone(), scan.began);
        }
        Ok(Page { records, ..advance(place, &scan, following) })
    }
}

/// On to the next collection, or to the next turn.
fn advance(mut place: Place, scan: &Scan, following: Option<String>) -> Page {
    let next = if let Some(collection) = following {
        place.scan = Some(Scan::of(&collection, scan.began));
        Next::More(cursor(&place))
    } else {
        place.looked = Some(scan.began);
        Next::CaughtUp(cursor(&place))
    };
    Page::of(Vec::new(), next)
}

//! Reading: the payload stream, the modified-since poll, single records, and the id sweep. One call a pull.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Airtable;
use super::client::{List, PAGE, Verb, any_of};
use super::payloads::{self, Pending};
use super::types::{Row, array};
use crate::http::{Call, encode};
use crate::spelling::millis;
use crate::{Cursor, Fault, IdPage, Key, Next, Page, Record, Sink, Source, Stream};

pub(super) const PAYLOADS: &str = "payloads";
const MODIFIED: &str = "modified";
/// Payloads a call may bring (Airtable "list webhook payloads", read 2026-11-23).
const PAYLOADS_A_CALL: &str = "50";

/// Position in the payload stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    hook: String,
    /// Airtable's own cursor.
    next: i64,
    /// Changed records that are still to be read.
    pending: Vec<Pending>,
    /// The webhook does not answer any more; another will be made.
    dead: bool,
    /// Formulas are not understood there: records are read one by one.
    one_by_one: bool,
}

/// Position in the modified-since poll.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Watermark {
    /// Everything modified before is known.
    since: Option<DateTime<Utc>>,
    scan: Option<Scan>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Scan {
    /// The next watermark.
    started: DateTime<Utc>,
    table: String,
    offset: Option<String>,
    /// Formulas are not understood there: every record is listed.
    #[serde(default)]
    whole: bool,
}

fn cursor(position: &impl Serialize) -> Cursor {
    Cursor(serde_json::to_value(position).unwrap_or_default())
}

#[async_trait]
impl Source for Airtable {
    fn streams(&self) -> Vec<Stream> {
        vec![
            Stream {
                name: PAYLOADS.into(),
                every: "*/10 * * * * *",
                about: "what changed and what was deleted, by the base's webhook",
            },
            Stream {
                name: MODIFIED.into(),
                every: "0 * * * * *",
                about: "what was modified since the last look, as repair",
            },
        ]
    }

    async fn pull(&self, stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        match stream {
            PAYLOADS => self.pull_payloads(after).await,
            MODIFIED => self.pull_modified(after).await,
            other => Err(Fault::rejected(format!("Airtable has no stream {other}"))),
        }
    }

    async fn fetch(&self, key: &Key) -> Result<Option<Record>, Fault> {
        let read = self.read(&key.collection, std::slice::from_ref(&key.id)).await?;
        Ok(read.into_iter().next())
    }

    async fn ids(&self, collection: &str, after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        let table = self.table(collection)?;
        let offset = after.and_then(|after| after.0.as_str()).map(String::from);
        let fields = table.key_field().map(|key| vec![key.wire().to_owned()]).unwrap_or_default();
        match self.client.list(&table, &List { offset, fields, ..List::default() }).await {
            Ok(rows) => Ok(Some(IdPage {
                ids: rows.rows.into_iter().map(|row| row.id).collect(),
                next: rows.offset.map(|offset| Cursor(json!(offset))),
            })),
            // Airtable forgot our place: from the beginning. Ids that were told twice do no harm.
            Err(failure) if failure.is_lost_place() => {
                Ok(Some(IdPage { ids: Vec::new(), next: Some(Cursor(Value::Null)) }))
            }
            Err(failure) => Err(failure.fault),
        }
    }
}

impl Airtable {
    async fn pull_payloads(&self, after: Option<&Cursor>) -> Result<Page, Fault> {
        let mut place: Place = after.and_then(|after| Place::deserialize(&after.0).ok()).unwrap_or_default();
        if !place.pending.is_empty() {
            return self.read_pending(place).await;
        }
        let binding = self.binding();
        let idle = |place: &Place| Page::of(Vec::new(), Next::CaughtUp(cursor(place)));
        let Some(hook) = &binding.hook else { return Ok(idle(&place)) };
        if place.hook != hook.id {
            place = Place { hook: hook.id.clone(), next: hook.start, ..Place::default() };
        }
        if place.dead {
            self.hook_broken.store(true, Ordering::Relaxed);
            return Ok(idle(&place));
        }
        let call = Call::get(format!("{}/{}/payloads", self.client.hooks_path(), encode(&hook.id)))
            .query("cursor", place.next.to_string())
            .query("limit", PAYLOADS_A_CALL);
        let answer = match self.client.send(call, Verb::Read).await {
            Ok(answer) => answer,
            Err(failure) if matches!(failure.status, 400 | 403 | 404 | 405 | 410 | 422 | 501) => {
                return Ok(self.lost_hook(place));
            }
            Err(failure) => return Err(failure.fault),
        };
        let found = array(&answer, "payloads");
        let broken = |value: &Value| value.get("error").is_some_and(|error| *error != json!(false) && !error.is_null());
        if broken(&answer) || (found.iter().any(broken) && found.iter().all(broken)) {
            return Ok(self.lost_hook(place));
        }
        let gone = {
            let mut echo = self.echo.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            payloads::digest(found, &binding, &mut echo, &mut place.pending)
        };
        let counted = i64::try_from(found.len()).unwrap_or_default();
        place.next = answer.get("cursor").and_then(Value::as_i64).unwrap_or(place.next + counted);
        let more = answer.get("mightHaveMore").and_then(Value::as_bool).unwrap_or(false) && !found.is_empty();
        let records = gone
            .into_iter()
            .map(|key| Record { key, version: None, body: None, url: None, edits: Vec::new() })
            .collect();
        let next =
            if more || !place.pending.is_empty() { Next::More(cursor(&place)) } else { Next::CaughtUp(cursor(&place)) };
        Ok(Page::of(records, next))
    }

    /// The next attach makes another webhook; what happens until then is the modified-since poll's and the sweep's.
    fn lost_hook(&self, mut place: Place) -> Page {
        self.hook_broken.store(true, Ordering::Relaxed);
        place.dead = true;
        Page::of(Vec::new(), Next::CaughtUp(cursor(&place)))
    }

    /// Reads up to a page of the records that payloads named, of one table.
    async fn read_pending(&self, mut place: Place) -> Result<Page, Fault> {
        let Some(collection) = place.pending.first().map(|first| first.collection.clone()) else {
            return Ok(Page::of(Vec::new(), Next::More(cursor(&place))));
        };
        let most = if place.one_by_one { 1 } else { PAGE };
        let (mut now, mut rest) = (Vec::new(), Vec::new());
        for pending in std::mem::take(&mut place.pending) {
            if pending.collection == collection && now.len() < most { now.push(pending) } else { rest.push(pending) }
        }
        let table = match self.table(&collection) {
            Ok(table) => table,
            // The table went meanwhile, or mappings name it no more.
            Err(_) if !self.binding().tables.is_empty() => {
                place.pending = rest;
                return Ok(Page::of(Vec::new(), Next::More(cursor(&place))));
            }
            Err(fault) => return Err(fault),
        };
        let mut records = Vec::new();
        if place.one_by_one {
            for pending in now {
                match self.client.record(&table, &pending.id).await {
                    Ok(answer) => records.extend(
                        Row::read(&answer)
                            .map(|row| (row.id.clone(), self.record(&collection, &table, &row.id, &row.fields))),
                    ),
                    Err(failure) if failure.is_absence() => {}
                    Err(failure) => return Err(failure.fault),
                }
                for (_, record) in &mut records {
                    record.edits.clone_from(&pending.edits);
                }
            }
        } else {
            let ids: Vec<_> = now.iter().map(|pending| pending.id.clone()).collect();
            let answer =
                self.client.list(&table, &List { formula: Some(any_of("RECORD_ID()", &ids)), ..List::default() }).await;
            let rows = match answer {
                Ok(rows) => rows.rows,
                Err(failure) if failure.is_bad_formula() => return Ok(self.one_by_one(place, now, rest)),
                Err(failure) => return Err(failure.fault),
            };
            // Not one of them, or others: the formula is not understood there (or all of them are gone).
            if rows.is_empty() || rows.iter().any(|row| !ids.contains(&row.id)) {
                return Ok(self.one_by_one(place, now, rest));
            }
            let mut found: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
            for pending in now {
                // One that is missing was deleted meanwhile: a later payload says so.
                if let Some(row) = found.remove(&pending.id) {
                    let record = self.record(&collection, &table, &row.id, &row.fields);
                    records.push((row.id, Record { edits: pending.edits, ..record }));
                }
            }
        }
        place.one_by_one &= !rest.is_empty();
        place.pending = rest;
        Ok(Page::of(records.into_iter().map(|(_, record)| record).collect(), Next::More(cursor(&place))))
    }

    fn one_by_one(&self, mut place: Place, now: Vec<Pending>, rest: Vec<Pending>) -> Page {
        place.one_by_one = true;
        place.pending = now.into_iter().chain(rest).collect();
        Page::of(Vec::new(), Next::More(cursor(&place)))
    }

    async fn pull_modified(&self, after: Option<&Cursor>) -> Result<Page, Fault> {
        let mut mark: Watermark = after.and_then(|after| Watermark::deserialize(&after.0).ok()).unwrap_or_default();
        let binding = self.binding();
        let mut tables = binding.tables.iter().filter(|(_, table)| !table.gone).map(|(name, _)| name.as_str());
        let Some(first) = tables.clone().next() else {
            return Ok(Page::of(Vec::new(), Next::CaughtUp(cursor(&mark))));
        };
        let now = self.clock.now();
        let scan = match mark.scan.take() {
            Some(scan) => scan,
            None => {
                let pause = TimeDelta::seconds(self.settings.modified_every_seconds.into());
                let watched = binding.hook.is_some() && !self.hook_broken.load(Ordering::Relaxed);
                if watched && mark.since.is_some_and(|since| now - since < pause) {
                    return Ok(Page::of(Vec::new(), Next::CaughtUp(cursor(&mark))));
                }
                Scan { started: now, table: first.to_owned(), offset: None, whole: false }
            }
        };
        let following = |scan: &Scan| tables.find(|name| *name > scan.table.as_str()).map(String::from);
        let Ok(table) = self.table(&scan.table) else { return Ok(advance(mark, &scan, following)) };
        let overlap = TimeDelta::seconds(self.settings.modified_overlap_seconds.into());
        let since = mark.since.map(|since| since - overlap).or(self.settings.start);
        let formula =
            since.filter(|_| !scan.whole).map(|since| format!("IS_AFTER(LAST_MODIFIED_TIME(), \"{}\")", millis(since)));
        let filtered = formula.is_some();
        match self.client.list(&table, &List { formula, offset: scan.offset.clone(), ..List::default() }).await {
            Ok(rows) => {
                let records =
                    rows.rows.iter().map(|row| self.record(&scan.table, &table, &row.id, &row.fields)).collect();
                if let Some(offset) = rows.offset.filter(|offset| Some(offset) != scan.offset.as_ref()) {
                    mark.scan = Some(Scan { offset: Some(offset), ..scan });
                    return Ok(Page::of(records, Next::More(cursor(&mark))));
                }
                Ok(Page { records, ..advance(mark, &scan, following) })
            }
            Err(failure) if failure.is_lost_place() => {
                mark.scan = Some(Scan { offset: None, ..scan });
                Ok(Page::of(Vec::new(), Next::More(cursor(&mark))))
            }
            Err(failure) if failure.is_bad_formula() && filtered => {
                mark.scan = Some(Scan { offset: None, whole: true, ..scan });
                Ok(Page::of(Vec::new(), Next::More(cursor(&mark))))
            }
            Err(failure) => Err(failure.fault),
        }
    }
}

/// On to the next table, or to the next turn.
fn advance(mut mark: Watermark, scan: &Scan, mut following: impl FnMut(&Scan) -> Option<String>) -> Page {
    let next = if let Some(table) = following(scan) {
        mark.scan = Some(Scan { table, offset: None, ..scan.clone() });
        Next::More(cursor(&mark))
    } else {
        mark.since = Some(scan.started);
        Next::CaughtUp(cursor(&mark))
    };
    Page::of(Vec::new(), next)
}

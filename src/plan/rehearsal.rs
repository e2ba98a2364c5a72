//! A connection that reads as always and writes only into its own memory.
//!
//! The law: nothing leaves that changes anything. Reads go to the vendor; writes and messages are answered as the vendor
//! would, and are counted. What was "written" is read back from memory, so that the rooms meet it as they will in
//! earnest.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use connectors::{
    Clock as _, CollectionSpec, Connector, Cursor, Fault, IdPage, Identity, Key, Message, Messenger, Meter, Pace, Page,
    Receipt, Record, Sent, Shape, Sink, Source, Stream, Write, Written,
};
use serde_json::{Map, Value};

use super::clock::Jumping;
use crate::pause::Pause;

/// The longest that one read waits for the quota, and its most tries.
const PATIENCE: Duration = Duration::from_secs(90);
const TRIES: usize = 400;

/// What was counted in one collection.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Tally {
    pub creates: u64,
    pub updates: u64,
    /// Calls that write, and calls that look before an update.
    pub calls: u64,
    /// How often each field would be written in updates.
    pub fields: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Book {
    tallies: BTreeMap<String, Tally>,
    messages: u64,
    read: u64,
    /// What stands in records as far as this rehearsal "wrote" it. `None`: a record that does not exist in earnest.
    records: BTreeMap<Key, (bool, Map<String, Value>)>,
    /// The records that carry an external id already, by collection.
    known: BTreeMap<String, BTreeMap<String, Record>>,
    fault: Option<String>,
    failures: u32,
    /// Until then the quota would let no call out. On the rehearsal's clock.
    busy: Option<DateTime<Utc>>,
}

pub struct Rehearsal {
    inner: Arc<dyn Connector>,
    pause: Arc<dyn Pause>,
    clock: Arc<Jumping>,
    book: Mutex<Book>,
}

impl Rehearsal {
    pub fn new(inner: Arc<dyn Connector>, pause: Arc<dyn Pause>, clock: Arc<Jumping>) -> Self {
        Self { inner, pause, clock, book: Mutex::default() }
    }

    pub fn tallies(&self) -> BTreeMap<String, Tally> {
        self.book().tallies.clone()
    }

    pub fn messages(&self) -> u64 {
        self.book().messages
    }

    /// Records that were read.
    pub fn read_records(&self) -> u64 {
        self.book().read
    }

    /// Why the vendor cannot be read, if that is so for good.
    pub fn given_up(&self) -> Option<String> {
        let book = self.book();
        book.fault.clone().filter(|_| book.failures >= 3)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes rehearsed time, so that connections get on with each other as they will in earnest.
    fn spend(&self, time: Duration) {
        let (now, time) = (self.clock.now(), TimeDelta::from_std(time).unwrap_or_default());
        let mut book = self.book();
        book.busy = Some(book.busy.map_or(now, |busy| busy.max(now)) + time);
    }

    /// A rehearsed call. Quotas by the hour let a good many go at once; those by the second are paced evenly.
    fn spend_call(&self) {
        let pace = self.inner.pace();
        let interval = pace.per / pace.calls.max(1);
        if pace.per <= Duration::from_secs(1) {
            self.spend(interval);
        }
    }

    /// Repeats a read while the quota, or the vendor, says later.
    async fn patiently<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        call: impl Fn() -> F + Send,
    ) -> Result<T, Fault> {
        let mut waited = Duration::ZERO;
        for _ in 0..TRIES {
            let fault = match call().await {
                Ok(answer) => {
                    let mut book = self.book();
                    (book.failures, book.fault) = (0, None);
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            let wait = match &fault {
                Fault::Later { after: Some(after), .. } => *after,
                Fault::Later { after: None, .. } | Fault::Unknown { .. } => Duration::from_secs(1),
                Fault::Rejected { .. } => return Err(fault),
                Fault::Locked { .. } => {
                    let mut book = self.book();
                    (book.failures, book.fault) = (3, Some(fault.to_string()));
                    return Err(fault);
                }
            };
            if waited + wait > PATIENCE {
                let mut book = self.book();
                book.failures += 1;
                book.fault = Some(fault.to_string());
                return Err(fault);
            }
            waited += wait;
            self.spend(wait);
            self.pause.pause(wait).await;
        }
        Err(Fault::later("the quota never let this read through"))
    }

    fn source_or(&self) -> Result<&dyn Source, Fault> {
        self.inner.source().ok_or_else(|| Fault::rejected("this connection is not read"))
    }

    fn sink_or(&self) -> Result<&dyn Sink, Fault> {
        self.inner.sink().ok_or_else(|| Fault::rejected("this connection is not written"))
    }

    /// The record of an external id that exists in earnest.
    async fn known(&self, collection: &str, external_id: &str) -> Result<Option<Record>, Fault> {
        if let Some(known) = self.book().known.get(collection) {
            return Ok(known.get(external_id).cloned());
        }
        let mut all = BTreeMap::new();
        let mut after: Option<Cursor> = None;
        loop {
            let (records, next) =
                self.patiently(|| async { self.sink_or()?.list(collection, after.as_ref()).await }).await?;
            all.extend(records);
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let found = all.get(external_id).cloned();
        self.book().known.insert(collection.to_owned(), all);
        Ok(found)
    }

    async fn rehearse(&self, collection: &str, write: &Write) -> Result<Written, Fault> {
        let found = match &write.target {
            Some(id) => Some((id.clone(), None)),
            None => self.known(collection, &write.external_id).await?.map(|record| (record.key.id, record.url)),
        };
        let (id, url) =
            found.clone().unwrap_or_else(|| (write.external_id.clone(), Some(made_up(collection, &write.external_id))));
        let mut fields = Map::new();
        for (name, value) in &write.fields {
            let stored = self.sink_or()?.canonical(collection, name, value.clone());
            fields.insert(name.clone(), stored);
        }
        let mut book = self.book();
        let tally = book.tallies.entry(collection.to_owned()).or_default();
        if found.is_none() {
            tally.creates += 1;
        } else {
            tally.updates += 1;
            for name in write.fields.keys().chain(write.tags.keys()) {
                *tally.fields.entry(name.clone()).or_default() += 1;
            }
        }
        let (_, held) = book.records.entry(Key::new(collection, &id)).or_insert_with(|| (found.is_some(), Map::new()));
        held.extend(fields.clone());
        for (name, change) in &write.tags {
            let tags = held.entry(name.clone()).or_insert(Value::Null);
            let mut set: BTreeSet<String> =
                tags.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            set.retain(|tag| !change.remove.contains(tag));
            set.extend(change.add.iter().cloned());
            *tags = set.into_iter().collect();
            fields.insert(name.clone(), tags.clone());
        }
        let created = found.is_none();
        Ok(Written::Stored(Receipt {
            id,
            url,
            version: None,
            fields,
            replaced: Map::new(),
            skipped: BTreeMap::new(),
            created,
        }))
    }

    /// A record as it would be by now.
    fn laid_over(&self, record: Record) -> Record {
        let book = self.book();
        match (book.records.get(&record.key), record.body) {
            (Some((_, written)), Some(Value::Object(mut body))) => {
                body.extend(written.clone());
                Record { body: Some(Value::Object(body)), ..record }
            }
            (_, body) => Record { body, ..record },
        }
    }

    /// A record that exists only in this rehearsal.
    fn made_here(&self, key: &Key) -> Option<Record> {
        let book = self.book();
        let (real, fields) = book.records.get(key)?;
        let record = || Record {
            key: key.clone(),
            version: None,
            body: Some(Value::Object(fields.clone())),
            url: Some(made_up(&key.collection, &key.id)),
            edits: Vec::new(),
        };
        (!real).then(record)
    }
}

fn made_up(collection: &str, id: &str) -> String {
    format!("https://rehearsal.invalid/{}/{id}", connectors::http::encode(collection))
}

#[async_trait]
impl Connector for Rehearsal {
    fn collections(&self) -> Vec<CollectionSpec> {
        self.inner.collections()
    }
    fn pace(&self) -> Pace {
        self.inner.pace()
    }
    fn meter(&self) -> Meter {
        self.inner.meter()
    }
    fn wait(&self) -> Option<Duration> {
        let busy = self.book().busy?;
        (busy - self.clock.now()).to_std().ok().filter(|wait| !wait.is_zero())
    }
    async fn probe(&self) -> Result<Identity, Fault> {
        self.patiently(|| self.inner.probe()).await
    }

    /// Looks for what the mappings name. Webhooks are neither made nor removed: the transport lets only reads through.
    async fn attach(&self, shape: &Shape, callback: Option<&str>, known: Option<&Value>) -> Result<Value, Fault> {
        self.patiently(|| self.inner.attach(shape, callback, known)).await
    }

    fn rebound(&self, before: &Value, now: &Value) -> Vec<(String, String)> {
        self.inner.rebound(before, now)
    }

    fn source(&self) -> Option<&dyn Source> {
        self.inner.source().map(|_| self as &dyn Source)
    }
    fn sink(&self) -> Option<&dyn Sink> {
        self.inner.sink().map(|_| self as &dyn Sink)
    }
    fn messenger(&self) -> Option<&dyn Messenger> {
        self.inner.messenger().map(|_| self as &dyn Messenger)
    }
}

#[async_trait]
impl Source for Rehearsal {
    fn streams(&self) -> Vec<Stream> {
        self.inner.source().map(Source::streams).unwrap_or_default()
    }

    async fn pull(&self, stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        let page = self.patiently(|| async { self.source_or()?.pull(stream, after).await }).await?;
        self.book().read += page.records.len() as u64;
        Ok(page)
    }

    async fn fetch(&self, key: &Key) -> Result<Option<Record>, Fault> {
        if let Some(record) = self.made_here(key) {
            return Ok(Some(record));
        }
        let record = self.patiently(|| async { self.source_or()?.fetch(key).await }).await?;
        self.book().read += 1;
        Ok(record.map(|record| self.laid_over(record)))
    }

    async fn ids(&self, collection: &str, after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        let page = self.patiently(|| async { self.source_or()?.ids(collection, after).await }).await?;
        Ok(page.map(|mut page| {
            let book = self.book();
            let here = book.records.iter().filter(|(key, (real, _))| key.collection == collection && !real);
            page.ids.extend(here.map(|(key, _)| key.id.clone()));
            page
        }))
    }
}

#[async_trait]
impl Sink for Rehearsal {
    fn batch(&self, collection: &str) -> usize {
        self.inner.sink().map_or(1, |sink| sink.batch(collection))
    }

    fn canonical(&self, collection: &str, field: &str, value: Value) -> Value {
        match self.inner.sink() {
            Some(sink) => sink.canonical(collection, field, value),
            None => value,
        }
    }

    fn lacks(&self, collection: &str) -> BTreeSet<String> {
        self.inner.sink().map(|sink| sink.lacks(collection)).unwrap_or_default()
    }

    async fn write(&self, collection: &str, writes: &[Write]) -> Vec<Result<Written, Fault>> {
        self.book().tallies.entry(collection.to_owned()).or_default().calls += 1;
        self.spend_call();
        let mut verdicts = Vec::new();
        for write in writes {
            verdicts.push(self.rehearse(collection, write).await);
        }
        verdicts
    }

    async fn read(&self, collection: &str, ids: &[String]) -> Result<Vec<Record>, Fault> {
        self.book().tallies.entry(collection.to_owned()).or_default().calls += 1;
        self.spend_call();
        let real: Vec<String> =
            ids.iter().filter(|id| self.made_here(&Key::new(collection, *id)).is_none()).cloned().collect();
        let mut there = Vec::new();
        if !real.is_empty() {
            there = self.patiently(|| async { self.sink_or()?.read(collection, &real).await }).await?;
        }
        let mut there = there.into_iter();
        let records = ids.iter().filter_map(|id| {
            let here = self.made_here(&Key::new(collection, id));
            here.or_else(|| there.next().map(|record| self.laid_over(record)))
        });
        Ok(records.collect())
    }

    async fn find(&self, collection: &str, external_ids: &[String]) -> Result<Vec<Option<Record>>, Fault> {
        let mut found = Vec::new();
        for id in external_ids {
            found.push(match self.made_here(&Key::new(collection, id)) {
                Some(record) => Some(record),
                None => self.known(collection, id).await?,
            });
        }
        Ok(found)
    }

    async fn list(
        &self,
        collection: &str,
        after: Option<&Cursor>,
    ) -> Result<(Vec<(String, Record)>, Option<Cursor>), Fault> {
        self.patiently(|| async { self.sink_or()?.list(collection, after).await }).await
    }
}

#[async_trait]
impl Messenger for Rehearsal {
    async fn send(&self, message: &Message) -> Result<Sent, Fault> {
        self.book().messages += 1;
        Ok(Sent { id: message.id.clone(), url: None })
    }

    /// An uncertain sending of an earlier run is looked for in earnest.
    async fn find(&self, message: &Message) -> Result<Option<Sent>, Fault> {
        let messenger = self.inner.messenger().ok_or_else(|| Fault::rejected("nothing is sent there"))?;
        self.patiently(|| messenger.find(message)).await
    }
}

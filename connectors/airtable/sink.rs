//! Writing in tens, reading in hundreds.
//!
//! A create is an upsert on the external-id field, never a plain POST: repeated after a lost answer it meets the row it
//! made. (Airtable "update multiple records", read 2026-11-23.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::binding::Table;
use super::client::{Failure, List, PAGE, Verb, any_of, field_reference};
use super::types::{Row, Rows};
use super::verdict::{self, Outgoing};
use super::{Airtable, cells, settings};
use crate::http::Call;
use crate::{Cursor, Fault, Key, Receipt, Record, Sink, Write, Written};

/// The most records that one write takes.
pub(super) const BATCH: usize = 10;
/// How long a read that the quota interrupted may be continued.
const FRESH: Duration = Duration::from_secs(60);

/// A read or search that the quota interrupted: what was paid for is kept until the engine comes back for the rest.
pub(super) struct Progress {
    asked: Vec<String>,
    /// By record id, or by external id; `None`: not there.
    answered: BTreeMap<String, Option<Row>>,
    part: Part,
    at: Duration,
}

/// Of those, as many as one list call asks for.
#[derive(Default)]
struct Part {
    asked: Vec<String>,
    found: BTreeMap<String, Row>,
    gone: BTreeSet<String>,
    listed: bool,
    /// Formulas are not understood there.
    whole: bool,
    offset: Option<String>,
}

#[async_trait]
impl Sink for Airtable {
    fn batch(&self, _collection: &str) -> usize {
        BATCH
    }

    fn canonical(&self, collection: &str, field: &str, value: Value) -> Value {
        let binding = self.binding();
        cells::canonical(binding.tables.get(collection).and_then(|table| table.fields.get(field)), value)
    }

    fn lacks(&self, collection: &str) -> BTreeSet<String> {
        self.table(collection).map(|table| table.missing.into_keys().collect()).unwrap_or_default()
    }

    async fn write(&self, collection: &str, writes: &[Write]) -> Vec<Result<Written, Fault>> {
        let table = match self.table(collection) {
            Ok(table) => table,
            Err(fault) => return writes.iter().map(|_| Err(fault.clone())).collect(),
        };
        let mut verdicts: Vec<Option<Result<Written, Fault>>> = writes.iter().map(|_| None).collect();
        let mut later: Option<Fault> = None;
        for creates in [false, true] {
            let rows = verdict::rows(&table, writes, creates, self.settings.typecast);
            // One unknown option has the whole batch refused: rows with an option that the schema did not have go alone.
            let (doubtful, good): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|row| !self.settings.typecast && verdict::is_doubtful(&table, row));
            for batch in good.chunks(BATCH).chain(doubtful.chunks(1)) {
                let outcome = match &later {
                    Some(fault) => batch.iter().map(|_| Err(fault.clone())).collect(),
                    None => self.write_batch(collection, &table, batch, creates).await,
                };
                for (row, verdict) in batch.iter().zip(outcome) {
                    if let Err(fault @ Fault::Later { .. }) = &verdict {
                        later = Some(fault.clone());
                    }
                    for at in &row.writes {
                        verdicts[*at] = Some(verdict.clone());
                    }
                }
            }
        }
        verdicts
            .into_iter()
            .map(|verdict| {
                verdict.unwrap_or_else(|| Err(Fault::unknown("Airtable's answer does not name this record")))
            })
            .collect()
    }

    async fn read(&self, collection: &str, ids: &[String]) -> Result<Vec<Record>, Fault> {
        let table = self.table(collection)?;
        let mut records = BTreeMap::new();
        for (id, row) in self.look_up(collection, &table, ids, true).await? {
            let record = match row {
                Some(row) => self.record(collection, &table, &id, &row.fields),
                None => Record {
                    key: Key::new(collection, id.clone()),
                    version: None,
                    body: None,
                    url: None,
                    edits: Vec::new(),
                },
            };
            records.insert(id, record);
        }
        Ok(ids.iter().filter_map(|id| records.get(id).cloned()).collect())
    }

    async fn find(&self, collection: &str, external_ids: &[String]) -> Result<Vec<Option<Record>>, Fault> {
        let table = self.table(collection)?;
        let mut records = BTreeMap::new();
        for (external_id, row) in self.look_up(collection, &table, external_ids, false).await? {
            records.insert(external_id, row.map(|row| self.record(collection, &table, &row.id, &row.fields)));
        }
        Ok(external_ids.iter().map(|id| records.get(id).cloned().flatten()).collect())
    }

    async fn list(
        &self,
        collection: &str,
        after: Option<&Cursor>,
    ) -> Result<(Vec<(String, Record)>, Option<Cursor>), Fault> {
        let table = self.table(collection)?;
        let offset = after.and_then(|after| after.0.as_str()).map(String::from);
        let rows = match self.client.list(&table, &List { offset, ..List::default() }).await {
            Ok(rows) => rows,
            Err(failure) if failure.is_lost_place() => return Ok((Vec::new(), Some(Cursor(Value::Null)))),
            Err(failure) => return Err(failure.fault),
        };
        let ours = rows.rows.iter().filter_map(|row| {
            let external_id = table.external_id(&row.fields)?;
            Some((external_id, self.record(collection, &table, &row.id, &row.fields)))
        });
        Ok((ours.collect(), rows.offset.map(|offset| Cursor(json!(offset)))))
    }
}

impl Airtable {
    async fn write_batch(
        &self,
        collection: &str,
        table: &Table,
        batch: &[Outgoing],
        creates: bool,
    ) -> Vec<Result<Written, Fault>> {
        // Nothing of these can be written: no call, and the receipt says why.
        if batch.iter().all(|row| row.target.is_some() && row.cells.is_empty()) {
            return batch.iter().map(|row| Ok(Written::Stored(self.receipt(table, row, None, false)))).collect();
        }
        let key = table.key_field();
        let by_name = self.names_only.load(Ordering::Relaxed);
        let mut body = Map::new();
        if creates {
            let Some(key) = key else {
                let name = table.key.as_deref().unwrap_or(settings::DEFAULT_KEY);
                let why = format!(
                    "table {collection} has no field {name}: without it a row could be made twice. Add it (single line text) or run `loopd setup`"
                );
                return batch.iter().map(|_| Err(Fault::locked(why.clone()))).collect();
            };
            body.insert(
                "performUpsert".into(),
                json!({ "fieldsToMergeOn": [if by_name { &key.name } else { key.wire() }] }),
            );
        }
        let records: Vec<Value> = batch
            .iter()
            .filter(|row| creates || !row.cells.is_empty())
            .map(|row| (&row.target, if by_name { named(table, &row.cells) } else { row.cells.clone() }))
            .map(|(target, cells)| match target {
                Some(id) => json!({ "id": id, "fields": cells }),
                None => json!({ "fields": cells }),
            })
            .collect();
        body.insert("records".into(), Value::Array(records));
        if self.settings.typecast {
            body.insert("typecast".into(), json!(true));
        }
        if table.by_id() {
            body.insert("returnFieldsByFieldId".into(), json!(true));
        }
        let call = Call::patch(self.client.table_path(table), Value::Object(body));
        match self.client.send(call, Verb::Write).await {
            Ok(answer) => self.stored(table, batch, &answer),
            Err(failure) => {
                if !by_name && verdict::blames_an_id(table, batch, &failure) {
                    // The field is gone, or ids are not understood in writes there. Names tell which.
                    self.names_only.store(true, Ordering::Relaxed);
                    let later = Fault::Later { after: Some(Duration::from_secs(1)), why: failure.message };
                    return batch.iter().map(|_| Err(later.clone())).collect();
                }
                let (faults, suspects) = verdict::refused(collection, table, batch, &failure);
                if !suspects.is_empty() {
                    self.names_only.store(false, Ordering::Relaxed);
                }
                self.suspects.lock().unwrap_or_else(PoisonError::into_inner).extend(suspects);
                faults
            }
        }
    }

    fn stored(&self, table: &Table, batch: &[Outgoing], answer: &Value) -> Vec<Result<Written, Fault>> {
        let rows = Rows::read(answer).rows;
        let created = answer.get("createdRecords").and_then(Value::as_array);
        let sent: Vec<&Outgoing> = batch.iter().filter(|row| row.target.is_none() || !row.cells.is_empty()).collect();
        let in_order = rows.len() == sent.len();
        batch
            .iter()
            .map(|row| {
                if row.target.is_some() && row.cells.is_empty() {
                    return Ok(Written::Stored(self.receipt(table, row, None, false)));
                }
                let named = rows.iter().find(|there| match &row.target {
                    Some(id) => there.id == *id,
                    None => table.external_id(&there.fields).as_deref() == Some(row.external_id.as_str()),
                });
                let placed = || {
                    sent.iter()
                        .position(|one| std::ptr::eq(*one, row))
                        .filter(|_| in_order && row.target.is_none())
                        .and_then(|at| rows.get(at))
                };
                let Some(there) = named.or_else(placed) else {
                    return Err(Fault::unknown("Airtable's answer does not name this record"));
                };
                let made = created.map_or(row.target.is_none(), |created| {
                    created.iter().any(|id| id.as_str() == Some(there.id.as_str()))
                });
                Ok(Written::Stored(self.receipt(table, row, Some(there), made)))
            })
            .collect()
    }

    fn receipt(&self, table: &Table, row: &Outgoing, there: Option<&Row>, created: bool) -> Receipt {
        let id = there.map(|there| there.id.clone()).or_else(|| row.target.clone()).unwrap_or_default();
        let body = there.filter(|there| !there.fields.is_empty()).map(|there| table.body(&there.fields));
        let mut fields = Map::new();
        let mut echo = self.echo.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, sent) in &row.sent {
            let held =
                body.as_ref().map_or_else(|| sent.clone(), |body| body.get(name).cloned().unwrap_or(Value::Null));
            if let Some(field) = table.fields.get(name) {
                echo.wrote(&id, field.wire(), &held);
            }
            fields.insert(name.clone(), held);
        }
        if let (Some(key), true) = (table.key_field(), row.target.is_none()) {
            echo.wrote(&id, key.wire(), &json!(row.external_id));
        }
        Receipt {
            url: self.url(table, &id),
            id,
            version: None,
            fields,
            replaced: Map::new(),
            skipped: row.skipped.clone(),
            created,
        }
    }

    /// Rows by record id (`by_id`) or by external id; `None` for those that are not there. A list call a hundred; where
    /// the answer leaves doubt about a record id, one call more for each.
    async fn look_up(
        &self,
        collection: &str,
        table: &Table,
        asked: &[String],
        by_id: bool,
    ) -> Result<BTreeMap<String, Option<Row>>, Fault> {
        let slot = (by_id, collection.to_owned());
        let now = self.clock.monotonic();
        let kept = self.progress.lock().unwrap_or_else(PoisonError::into_inner).remove(&slot);
        let fresh = |kept: &Progress| kept.asked == asked && now.saturating_sub(kept.at) < FRESH;
        let mut progress = kept.filter(fresh).unwrap_or_else(|| Progress {
            asked: asked.to_vec(),
            answered: BTreeMap::new(),
            part: Part::default(),
            at: now,
        });
        loop {
            let part = &mut progress.part;
            if part.asked.is_empty() {
                part.asked =
                    asked.iter().filter(|id| !progress.answered.contains_key(*id)).take(PAGE).cloned().collect();
            }
            if part.asked.is_empty() {
                return Ok(progress.answered);
            }
            if let Err(failure) = self.look_up_part(table, part, by_id).await {
                progress.at = now;
                self.progress.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, progress);
                return Err(failure.fault);
            }
            let mut part = std::mem::take(&mut progress.part);
            progress.answered.extend(part.asked.into_iter().map(|id| {
                let row = part.found.remove(&id);
                (id, row)
            }));
        }
    }

    async fn look_up_part(&self, table: &Table, part: &mut Part, by_id: bool) -> Result<(), Failure> {
        let left = if by_id {
            "RECORD_ID()".to_owned()
        } else {
            let Some(key) = table.key_field() else { return Ok(()) };
            field_reference(&key.name)
        };
        // One by one, where formulas are not understood and the ids are known.
        while !(part.listed || part.whole && by_id) {
            let formula = (!part.whole).then(|| any_of(&left, &part.asked));
            let page = match self
                .client
                .list(table, &List { formula, offset: part.offset.clone(), ..List::default() })
                .await
            {
                Ok(page) => page,
                Err(failure) if failure.is_lost_place() => {
                    part.offset = None;
                    return Err(Fault::later("Airtable forgot our place in the list").into());
                }
                Err(failure) if failure.is_bad_formula() && !part.whole => {
                    part.whole = true;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            for row in page.rows {
                let name = if by_id { Some(row.id.clone()) } else { table.external_id(&row.fields) };
                match name.filter(|name| part.asked.contains(name)) {
                    Some(name) => keep_oldest(&mut part.found, name, row),
                    // What was not asked for came: the server does not understand the formula.
                    None => part.whole = true,
                }
            }
            let repeated = page.offset == part.offset;
            part.offset = page.offset;
            part.listed = part.offset.is_none() || repeated;
        }
        if by_id {
            let missing: Vec<_> = part
                .asked
                .iter()
                .filter(|id| !part.found.contains_key(*id) && !part.gone.contains(*id))
                .cloned()
                .collect();
            for id in missing {
                match self.client.record(table, &id).await {
                    Ok(answer) => {
                        let row =
                            Row::read(&answer).ok_or_else(|| Fault::later("the record's answer cannot be read"))?;
                        part.found.insert(id, row);
                    }
                    Err(failure) if failure.is_absence() => {
                        part.gone.insert(id);
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(())
    }
}

/// The cells by their fields' present names.
fn named(table: &Table, cells: &Map<String, Value>) -> Map<String, Value> {
    let name = |wire: &String| table.by_wire(wire).map_or_else(|| wire.clone(), |(_, field)| field.name.clone());
    cells.iter().map(|(wire, cell)| (name(wire), cell.clone())).collect()
}

/// Of rows with one external id, the oldest is ours.
fn keep_oldest(found: &mut BTreeMap<String, Row>, name: String, row: Row) {
    let age = |row: &Row| (row.created.is_none(), row.created, row.id.clone());
    match found.get(&name) {
        Some(other) if age(other) <= age(&row) => {}
        _ => {
            found.insert(name, row);
        }
    }
}

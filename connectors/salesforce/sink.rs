//! Writing in collections of up to 200, each row with its verdict; reading back by query.
//!
//! A create is an upsert on the external-id field, never a plain POST: repeated after a lost answer it meets the row it
//! made. Where an object's key cannot be an external id (tasks), rows are made by POST, and the engine looks for them by
//! [`Sink::find`] before it makes one again. ("sObject Collections", "Upsert by external id", read 2026-11-23.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::client::{Failure, Verb};
use super::org::Table;
use super::soql::{self, among, encoded_length, quoted};
use super::types::{ACCOUNT, is_deleted, text, version};
use super::verdict::{self, Refused};
use super::{Salesforce, values};
use crate::http::Call;
use crate::{Cursor, Fault, Key, Receipt, Record, Sink, Write, Written};

/// The most rows of one collection.
const BATCH: usize = 200;
/// A call's rows may hold so many bytes: six megabytes is where servers begin to refuse.
const HEFT: usize = 3_000_000;
/// Why a field is left out that `describe` offers.
pub(super) const CLOSED: &str = "this user may not write the field";
/// Rows of one page of [`Sink::list`].
const LISTED: usize = 500;

/// A row to send.
struct Outgoing {
    /// Its place among the writes.
    at: usize,
    cells: Map<String, Value>,
    /// The same in our spelling, for the receipt.
    sent: Map<String, Value>,
    skipped: BTreeMap<String, String>,
    target: Option<String>,
}

#[async_trait]
impl Sink for Salesforce {
    fn batch(&self, _collection: &str) -> usize {
        BATCH
    }

    fn canonical(&self, collection: &str, field: &str, value: Value) -> Value {
        let org = self.org();
        values::canonical(org.objects.get(collection).and_then(|table| table.fields.get(field)), value)
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
        let mut stop: Option<Fault> = None;
        for creates in [false, true] {
            let rows: Vec<Outgoing> = writes
                .iter()
                .enumerate()
                .filter(|(_, write)| write.target.is_none() == creates)
                .map(|(at, write)| outgoing(&table, at, write))
                .collect();
            for part in parts(&rows) {
                let outcome = match &stop {
                    Some(fault) => part.iter().map(|_| Err(fault.clone())).collect(),
                    None => self.write_part(collection, &table, part, writes, creates).await,
                };
                // What was put off, or lost, is so for the rest: one after another is how order is kept.
                if outcome.iter().all(Result::is_err) {
                    stop = outcome.iter().find_map(|verdict| match verdict {
                        Err(fault @ (Fault::Later { .. } | Fault::Locked { .. })) => Some(fault.clone()),
                        _ => None,
                    });
                }
                for (row, verdict) in part.iter().zip(outcome) {
                    verdicts[row.at] = Some(verdict);
                }
            }
        }
        let untold = || Err(Fault::unknown("Salesforce's answer does not speak of this record"));
        verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(untold)).collect()
    }

    async fn read(&self, collection: &str, ids: &[String]) -> Result<Vec<Record>, Fault> {
        let table = self.table(collection)?;
        let found = self.look_up(collection, &table, "Id", ids).await?;
        let gone = |id: &String| Record {
            key: Key::new(collection, id.clone()),
            version: None,
            body: None,
            url: None,
            edits: Vec::new(),
        };
        let record = |id: &String| {
            let row = found.get(&soql::long_id(id)).filter(|row| !is_deleted(row));
            row.map_or_else(
                || gone(id),
                |row| Record { key: Key::new(collection, id.clone()), ..self.record(collection, &table, row) },
            )
        };
        Ok(ids.iter().map(record).collect())
    }

    async fn find(&self, collection: &str, external_ids: &[String]) -> Result<Vec<Option<Record>>, Fault> {
        let table = self.table(collection)?;
        let Some(key) = table.key.clone().filter(|key| table.fields.contains_key(key)) else {
            return Ok(vec![None; external_ids.len()]);
        };
        let found = self.look_up(collection, &table, &key, external_ids).await?;
        let record = |id: &String| found.get(id).map(|row| self.record(collection, &table, row));
        Ok(external_ids.iter().map(record).collect())
    }

    async fn list(
        &self,
        collection: &str,
        after: Option<&Cursor>,
    ) -> Result<(Vec<(String, Record)>, Option<Cursor>), Fault> {
        let table = self.table(collection)?;
        let Some(key) = table.key.clone().filter(|key| table.fields.contains_key(key)) else {
            return Ok((Vec::new(), None));
        };
        let behind = after.and_then(|after| after.0.as_str()).map(|id| format!(" AND Id > {}", quoted(id)));
        let soql = format!(
            "SELECT {} FROM {collection} WHERE {key} != null AND IsDeleted = false{} ORDER BY Id LIMIT {LISTED}",
            columns(&table).join(","),
            behind.unwrap_or_default()
        );
        let page = self.client.query(&soql).await.map_err(|failure| self.refused(collection, &failure))?;
        let last = page.rows.last().and_then(|row| text(row, "Id"));
        let next = last.filter(|_| page.next.is_some() || page.rows.len() >= LISTED).map(|id| Cursor(json!(id)));
        let ours = page.rows.iter().filter_map(|row| Some((text(row, &key)?, self.record(collection, &table, row))));
        Ok((ours.collect(), next))
    }
}

/// What is selected of an object that is written.
pub(super) fn columns(table: &Table) -> Vec<String> {
    let mut names: Vec<String> = ["Id", "SystemModstamp", "IsDeleted"].map(String::from).into();
    names.extend(
        table.fields.keys().filter(|name| !["Id", "SystemModstamp", "IsDeleted"].contains(&name.as_str())).cloned(),
    );
    names
}

fn outgoing(table: &Table, at: usize, write: &Write) -> Outgoing {
    let mut row =
        Outgoing { at, cells: Map::new(), sent: Map::new(), skipped: BTreeMap::new(), target: write.target.clone() };
    for (name, value) in &write.fields {
        let value = values::canonical(table.fields.get(name), value.clone());
        let cell = match (table.fields.get(name), table.missing.get(name)) {
            (_, Some(why)) => Err(why.clone()),
            (None, None) => Err(format!("there is no field {name}")),
            (Some(field), None) if !(if write.target.is_some() { field.updatable } else { field.creatable }) => {
                Err(format!("this user may not write the field {name}, or it is computed there ({})", field.kind))
            }
            (Some(field), None) => values::fits(field, &value),
        };
        match cell {
            Ok(cell) => {
                row.cells.insert(name.clone(), cell);
                row.sent.insert(name.clone(), value);
            }
            Err(why) => drop(row.skipped.insert(name.clone(), why)),
        }
    }
    for name in write.tags.keys() {
        row.skipped.insert(name.clone(), "Salesforce has no sets that are added to: use multi_select".into());
    }
    row
}

/// Rows that go together: no more than a collection holds, and not too heavy.
fn parts(rows: &[Outgoing]) -> Vec<&[Outgoing]> {
    let (mut parts, mut begin, mut heft) = (Vec::new(), 0, 0);
    for (at, row) in rows.iter().enumerate() {
        let size: usize = row.cells.values().map(|cell| cell.as_str().map_or(24, str::len) + 40).sum();
        if at > begin && (heft + size > HEFT || at - begin >= BATCH) {
            parts.push(&rows[begin..at]);
            (begin, heft) = (at, 0);
        }
        heft += size;
    }
    if begin < rows.len() {
        parts.push(&rows[begin..]);
    }
    parts
}

impl Salesforce {
    async fn write_part(
        &self,
        collection: &str,
        table: &Table,
        part: &[Outgoing],
        writes: &[Write],
        creates: bool,
    ) -> Vec<Result<Written, Fault>> {
        let whole = |fault: Fault| part.iter().map(|_| Err(fault.clone())).collect::<Vec<_>>();
        if creates && collection == ACCOUNT {
            return whole(Fault::rejected("accounts are changed, not made"));
        }
        let key = table.key.as_deref();
        let upsert = key.and_then(|key| table.fields.get(key)).is_some_and(|field| field.external_id);
        if creates && key.is_none_or(|key| !table.fields.contains_key(key)) {
            let name = key.unwrap_or(super::settings::DEFAULT_KEY);
            return whole(Fault::locked(format!(
                "{collection} has no field {name} that this user sees: without it a record could be made twice. Run `loopd setup`"
            )));
        }
        // Nothing of these can be written: no call, and the receipt says why.
        let sends = |row: &&Outgoing| creates || !row.cells.is_empty();
        let records: Vec<Value> = part
            .iter()
            .filter(sends)
            .map(|row| {
                let mut record = row.cells.clone();
                record.insert("attributes".into(), json!({ "type": collection }));
                match (&row.target, key) {
                    (Some(id), _) => drop(record.insert("id".into(), json!(id))),
                    (None, Some(key)) => drop(record.insert(key.to_owned(), json!(writes[row.at].external_id))),
                    (None, None) => {}
                }
                Value::Object(record)
            })
            .collect();
        if records.is_empty() {
            return part
                .iter()
                .map(|row| Ok(Written::Stored(self.receipt(row, row.target.clone().unwrap_or_default(), false))))
                .collect();
        }
        let body = json!({ "allOrNone": false, "records": records });
        let call = match (creates, upsert, key) {
            (true, true, Some(key)) => {
                Call::patch(self.client.path(&format!("composite/sobjects/{collection}/{key}")), body)
            }
            (true, ..) => Call::post(self.client.path("composite/sobjects"), body),
            (false, ..) => Call::patch(self.client.path("composite/sobjects"), body),
        };
        let answer = match self.client.send(call, Verb::Write).await {
            Ok(answer) => answer,
            Err(failure) => return whole(self.refused(collection, &failure)),
        };
        let Some(told) = answer.as_array().filter(|told| told.len() == records.len()) else {
            return whole(Fault::unknown("Salesforce's verdicts are not as many as the records"));
        };
        let mut told = told.iter();
        part.iter()
            .map(|row| {
                if !sends(&row) {
                    return Ok(Written::Stored(self.receipt(row, row.target.clone().unwrap_or_default(), false)));
                }
                let untold = || Fault::unknown("Salesforce's answer does not speak of this record");
                self.verdict(collection, row, told.next().ok_or_else(untold)?, creates && !upsert)
            })
            .collect()
    }

    fn verdict(&self, collection: &str, row: &Outgoing, told: &Value, posted: bool) -> Result<Written, Fault> {
        if told.get("success").and_then(Value::as_bool) == Some(true) {
            let id = text(told, "id").or_else(|| row.target.clone());
            let Some(id) = id else {
                return Err(Fault::unknown("Salesforce saved the record and does not say which it is"));
            };
            let created = row.target.is_none() && told.get("created").and_then(Value::as_bool).unwrap_or(posted);
            return Ok(Written::Stored(self.receipt(row, soql::long_id(&id), created)));
        }
        match verdict::of_row(told, row.target.is_some()) {
            Refused::Gone => Ok(Written::Gone),
            Refused::Fault(Fault::Rejected { why, field }) => {
                // Only what we sent can be left out.
                let field = field.filter(|field| row.cells.contains_key(field));
                Err(Fault::Rejected { why, field })
            }
            Refused::Fault(fault) => Err(fault),
            Refused::Closed(fields) => {
                let ours: Vec<String> = fields.into_iter().filter(|field| row.cells.contains_key(field)).collect();
                if ours.is_empty() {
                    return Err(Fault::rejected("Salesforce refuses fields that were not sent"));
                }
                let why = format!("this user may not write {}: they are left out", ours.join(", "));
                self.suspect(collection, ours, CLOSED);
                Err(Fault::Later { after: Some(std::time::Duration::from_secs(1)), why })
            }
        }
    }

    /// The whole call was refused.
    pub(super) fn refused(&self, collection: &str, failure: &Failure) -> Fault {
        if let Some(column) = failure.unknown_column() {
            let known = self.org().objects.get(collection).is_some_and(|table| table.fields.contains_key(column));
            if known {
                // It went, or was hidden, since it was looked for. The next try leaves it out.
                self.suspect(
                    collection,
                    vec![column.to_owned()],
                    "the field is not there any more, or hidden from this user",
                );
                return Fault::Later { after: Some(std::time::Duration::from_secs(1)), why: failure.message.clone() };
            }
        }
        if failure.status == 404 && failure.message.contains("external ID field") {
            self.stale.store(true, std::sync::atomic::Ordering::Relaxed);
            return Fault::locked(format!("{} (run `loopd setup`)", failure.message));
        }
        failure.fault.clone()
    }

    pub(super) fn suspect(&self, collection: &str, fields: Vec<String>, why: &str) {
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        suspects.extend(fields.into_iter().map(|field| ((collection.to_owned(), field), why.to_owned())));
        self.stale.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    fn receipt(&self, row: &Outgoing, id: String, created: bool) -> Receipt {
        Receipt {
            url: Some(self.client.page_of(&id)),
            id,
            // A verdict tells no time.
            version: None,
            fields: row.sent.clone(),
            replaced: Map::new(),
            skipped: row.skipped.clone(),
            created,
        }
    }

    /// Rows by a field's values, as many queries as fit their addresses; of several with one value, the oldest.
    async fn look_up(
        &self,
        collection: &str,
        table: &Table,
        by: &str,
        values: &[String],
    ) -> Result<BTreeMap<String, Value>, Fault> {
        let select = format!("SELECT {} FROM {collection} WHERE ", columns(table).join(","));
        let alive = if by == "Id" { "" } else { " AND IsDeleted = false ORDER BY CreatedDate, Id" };
        let work = format!("{collection} {by} {}", values.join(" "));
        let mut found = self.looking.take(&*self.clock, &work).unwrap_or_default();
        let lists = soql::lists(values, encoded_length(&select) + encoded_length(alive) + 64);
        for (at, list) in lists.iter().enumerate().skip(found.0) {
            let soql = format!("{select}{}{alive}", among(by, list));
            match self.client.query_whole(&soql).await {
                Ok(rows) => {
                    for row in rows {
                        let Some(value) = text(&row, by) else { continue };
                        found.1.entry(value).or_insert(row);
                    }
                }
                Err(failure) => {
                    found.0 = at;
                    self.looking.put(&*self.clock, &work, found);
                    return Err(self.refused(collection, &failure));
                }
            }
        }
        Ok(found.1)
    }

    /// A row in its flat form: the fields that mappings write.
    pub(super) fn record(&self, collection: &str, table: &Table, row: &Value) -> Record {
        let id = text(row, "Id").unwrap_or_default();
        let cell = |(name, field): (&String, &super::org::Field)| {
            let value = values::canonical(Some(field), row.get(name).cloned().unwrap_or_default());
            (!value.is_null()).then(|| (name.clone(), value))
        };
        Record {
            url: Some(self.client.page_of(&id)),
            key: Key::new(collection, id),
            version: version(row),
            body: (!is_deleted(row)).then(|| Value::Object(table.fields.iter().filter_map(cell).collect())),
            edits: Vec::new(),
        }
    }
}

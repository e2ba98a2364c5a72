//! Reading: what changed, by `SystemModstamp` and then id, page after page; single records; what exists.
//!
//! The law of the position: within a pass each page begins behind the last row of the one before, so a row that changes
//! meanwhile moves to a later page: seen twice, perhaps, and never missed. The next pass begins `overlap_seconds` before
//! this one began, by Salesforce's clock, because a long transaction appears late with an older time. Deleted rows come in
//! the same query (`queryAll`, `IsDeleted`); what was removed from the bin meanwhile is found by the sweep.
//! (REST guide "Query", "QueryAll", read 2026-11-23.)

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Rows;
use super::org::{self, Table};
use super::soql::{PAGE, moment, quoted};
use super::types::{ACCOUNT, OPPORTUNITY, at_path, is_deleted, modified, plain, text, version};
use super::{Salesforce, sink};
use crate::{Cursor, Fault, IdPage, Key, Next, Page, Record, Source, Stream};

/// Where a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    /// Where a pass begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<DateTime<Utc>>,
    /// The last row seen in a pass under way: its time and id.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<(DateTime<Utc>, String)>,
    /// When this pass began, by Salesforce's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun: Option<DateTime<Utc>>,
}

fn position(after: Option<&Cursor>) -> Result<Position, Fault> {
    let Some(Cursor(value)) = after else { return Ok(Position::default()) };
    Position::deserialize(value)
        .map_err(|error| Fault::locked(format!("the stored position of a Salesforce stream cannot be read: {error}")))
}

fn cursor(position: &Position) -> Cursor {
    Cursor(serde_json::to_value(position).unwrap_or_default())
}

#[async_trait]
impl Source for Salesforce {
    fn streams(&self) -> Vec<Stream> {
        let mut streams = vec![
            Stream { name: ACCOUNT.into(), every: "0 */5 * * * *", about: "accounts made, changed or deleted" },
            Stream { name: OPPORTUNITY.into(), every: "30 */5 * * * *", about: "what opportunities say of customers" },
        ];
        streams.extend(self.settings.objects.iter().map(|name| Stream {
            name: name.clone(),
            every: "15 */2 * * * *",
            about: "records that loopd made there, as people change them",
        }));
        streams
    }

    async fn pull(&self, stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        let mut at = position(after)?;
        if !self.streams().iter().any(|known| known.name == stream) {
            return Err(Fault::rejected(format!("{stream} is not read")));
        }
        let Some(soql) = self.asks(stream, &mut at)? else {
            // There is nothing yet to read there.
            return Ok(Page::of(Vec::new(), Next::CaughtUp(cursor(&at))));
        };
        let page = self.client.query(&soql).await.map_err(|failure| self.refused(stream, &failure))?;
        self.page(stream, at, page)
    }

    async fn fetch(&self, key: &Key) -> Result<Option<Record>, Fault> {
        let (id, about) = match key.id.split_once('#') {
            Some((id, about)) if key.collection == OPPORTUNITY => (id, Some(about)),
            _ => (key.id.as_str(), None),
        };
        let Some(table) = self.org().objects.get(&key.collection).filter(|table| !table.gone).cloned() else {
            return Ok(None);
        };
        let gone = || Record { key: key.clone(), version: None, body: None, url: None, edits: Vec::new() };
        let soql = format!(
            "SELECT {} FROM {} WHERE Id = {}",
            self.columns(&key.collection, &table).join(","),
            key.collection,
            quoted(id)
        );
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) || !matches!(id.len(), 15 | 18) {
            return Ok(Some(gone()));
        }
        let rows = self.client.query(&soql).await.map_err(|failure| self.refused(&key.collection, &failure))?.rows;
        let Some(row) = rows.into_iter().next() else { return Ok(Some(gone())) };
        let mut records = self.drawn(&key.collection, &table, row);
        let found = match about {
            Some(_) => records.into_iter().find(|record| record.key.id == key.id),
            None => records.pop(),
        };
        Ok(Some(found.map_or_else(gone, |record| Record { key: key.clone(), ..record })))
    }

    async fn ids(&self, collection: &str, after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        let Some(table) = self.org().objects.get(collection).filter(|table| !table.gone).cloned() else {
            return Ok(None);
        };
        let mut columns = vec!["Id".to_owned()];
        let mut filter = vec!["IsDeleted = false".to_owned()];
        match (collection, &table.key) {
            (OPPORTUNITY, _) => columns.extend(self.said(&table).into_iter().map(|(_, field)| field)),
            (ACCOUNT, _) => {}
            (_, Some(key)) if table.fields.contains_key(key) => filter.push(format!("{key} != null")),
            _ => return Ok(None),
        }
        if let Some(id) = after.and_then(|after| after.0.as_str()) {
            filter.push(format!("Id > {}", quoted(id)));
        }
        let soql = format!(
            "SELECT {} FROM {collection} WHERE {} ORDER BY Id LIMIT {PAGE}",
            columns.join(","),
            filter.join(" AND ")
        );
        let page = self.client.query(&soql).await.map_err(|failure| self.refused(collection, &failure))?;
        let last = page.rows.last().and_then(|row| text(row, "Id"));
        let next = last.filter(|_| page.next.is_some() || page.rows.len() >= PAGE).map(|id| Cursor(json!(id)));
        let ids = page.rows.iter().flat_map(|row| {
            let id = text(row, "Id").unwrap_or_default();
            if collection != OPPORTUNITY {
                return vec![id];
            }
            let said = self.said(&table).into_iter().filter(|(_, field)| is_said(row, field));
            said.map(|(about, _)| format!("{id}#{about}")).collect()
        });
        Ok(Some(IdPage { ids: ids.collect(), next }))
    }
}

impl Salesforce {
    /// The next query of a pass; `None`: nothing can be asked yet.
    fn asks(&self, object: &str, at: &mut Position) -> Result<Option<String>, Fault> {
        let org = self.org();
        let table = org.objects.get(object).ok_or_else(|| Fault::later(format!("{object} is not bound yet")))?;
        let mut filter = Vec::new();
        match object {
            ACCOUNT | OPPORTUNITY if table.gone => {
                return Err(Fault::rejected(format!("there is no object {object} that this user sees")));
            }
            _ if table.gone => return Ok(None),
            OPPORTUNITY if self.said(table).is_empty() => return Ok(None),
            ACCOUNT | OPPORTUNITY => {
                at.from = at.from.or(self.settings.start);
            }
            _ => match table.key.as_ref().filter(|key| table.fields.contains_key(*key)) {
                Some(key) => filter.push(format!("{key} != null")),
                None => return Ok(None),
            },
        }
        match (&at.behind, at.from) {
            (Some((time, id)), _) => {
                let (time, id) = (moment(*time), quoted(id));
                filter.push(format!("SystemModstamp >= {time}"));
                filter.push(format!("(SystemModstamp > {time} OR Id > {id})"));
            }
            (None, Some(from)) => filter.push(format!("SystemModstamp >= {}", moment(from))),
            (None, None) => {}
        }
        let filter = if filter.is_empty() { String::new() } else { format!(" WHERE {}", filter.join(" AND ")) };
        let columns = self.columns(object, table).join(",");
        Ok(Some(format!("SELECT {columns} FROM {object}{filter} ORDER BY SystemModstamp, Id LIMIT {PAGE}")))
    }

    fn columns(&self, object: &str, table: &Table) -> Vec<String> {
        match object {
            ACCOUNT | OPPORTUNITY => org::selected(object, table, &self.settings),
            _ => sink::columns(table),
        }
    }

    fn page(&self, object: &str, mut at: Position, page: Rows) -> Result<Page, Fault> {
        let table = self.org().objects.get(object).cloned().unwrap_or_default();
        at.begun = at.begun.or(page.at).or_else(|| Some(self.clock.now()));
        let last = page.rows.last().and_then(|row| Some((modified(row)?, text(row, "Id")?)));
        let more = page.next.is_some() || page.rows.len() >= PAGE;
        let records = page.rows.into_iter().flat_map(|row| self.drawn(object, &table, row)).collect();
        if more {
            let Some(last) = last.filter(|last| at.behind.as_ref() != Some(last)) else {
                return Err(Fault::unknown("a page of rows has no last one to go on from"));
            };
            at.behind = Some(last);
            return Ok(Page::of(records, Next::More(cursor(&at))));
        }
        let overlap = TimeDelta::seconds(self.settings.overlap_seconds.into());
        let next = at.begun.and_then(|begun| begun.checked_sub_signed(overlap));
        let done = Position { from: next.max(at.from), behind: None, begun: None };
        Ok(Page::of(records, Next::CaughtUp(cursor(&done))))
    }

    /// The fields in which opportunities speak, of those that are there: what about, and where.
    fn said(&self, table: &Table) -> Vec<(String, String)> {
        self.settings.opportunity().into_iter().filter(|(_, field)| table.fields.contains_key(field)).collect()
    }

    /// The records that a row is for mappings: an account is one, an opportunity one for each thing that it says.
    fn drawn(&self, object: &str, table: &Table, row: Value) -> Vec<Record> {
        let Some(id) = text(&row, "Id") else { return Vec::new() };
        match object {
            ACCOUNT => vec![self.account(id, row)],
            OPPORTUNITY => self.opportunity(&id, table, &row),
            _ => vec![self.record(object, table, &row)],
        }
    }

    /// Salesforce's own JSON of the account, with `arr`, `tier`, `region`, `lifecycle`, `use_case`, `customer_since` beside it.
    fn account(&self, id: String, row: Value) -> Record {
        let (version, deleted) = (version(&row), is_deleted(&row));
        let mut body = plain(row);
        for (word, field) in self.settings.account() {
            let value = at_path(&body, &field).clone();
            body[word] = value;
        }
        let url = Some(self.client.page_of(&id));
        Record { key: Key::new(ACCOUNT, id), version, body: (!deleted).then_some(body), url, edits: Vec::new() }
    }

    /// For each thing that it says: Salesforce's own JSON of the opportunity, with `about` and `text` beside it.
    fn opportunity(&self, id: &str, table: &Table, row: &Value) -> Vec<Record> {
        let body = plain(row.clone());
        let part = |(about, field): (String, String)| {
            let says = is_said(row, &field) && !is_deleted(row);
            let body = says.then(|| {
                let mut body = body.clone();
                body["text"] = body[field.as_str()].clone();
                body["about"] = json!(about);
                body
            });
            Record {
                key: Key::new(OPPORTUNITY, format!("{id}#{about}")),
                version: version(row),
                body,
                url: Some(self.client.page_of(id)),
                edits: Vec::new(),
            }
        };
        self.said(table).into_iter().map(part).collect()
    }
}

fn is_said(row: &Value, field: &str) -> bool {
    row.get(field).and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty())
}

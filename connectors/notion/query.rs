//! Asking a data source for its pages: one page of a query, with the rows that need a closer look read one by one.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Notion;
use super::binding::Table;
use super::client::{Failure, PAGE, Verb};
use super::types::{array, text, uuid};
use super::values;
use crate::Fault;
use crate::http::Call;

/// What to ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pub(super) filter: Option<Value>,
    /// `created_time` or `last_edited_time`, and which way.
    pub(super) sort: Option<(&'static str, &'static str)>,
    pub(super) cursor: Option<String>,
    /// Only these properties, by id.
    pub(super) only: Vec<String>,
}

/// One page of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Value>,
    pub(super) next: Option<String>,
    /// There are more rows than Notion shows to one query.
    pub(super) capped: bool,
    /// Rows that were looked at by themselves.
    closer: BTreeSet<String>,
}

impl Query {
    fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("page_size".into(), json!(PAGE));
        if let Some(filter) = &self.filter {
            body.insert("filter".into(), filter.clone());
        }
        if let Some((timestamp, direction)) = self.sort {
            body.insert("sorts".into(), json!([{ "timestamp": timestamp, "direction": direction }]));
        }
        if let Some(cursor) = &self.cursor {
            body.insert("start_cursor".into(), json!(cursor));
        }
        Value::Object(body)
    }
}

impl Notion {
    pub(super) async fn query(&self, table: &Table, query: &Query) -> Result<Answer, Failure> {
        let mut call = Call::post(format!("/v1/data_sources/{}/query", table.id), query.body());
        for property in &query.only {
            call = call.query("filter_properties", super::types::bare(property));
        }
        let answer = match self.client.send(call, Verb::Read).await {
            Ok(answer) => answer,
            Err(mut failure) if failure.is_absence() => {
                self.schema_moved.store(true, std::sync::atomic::Ordering::Relaxed);
                failure.fault = Fault::locked(format!(
                    "data source {} is gone, or no longer shared with the connection ({})",
                    table.name, failure.message
                ));
                return Err(failure);
            }
            Err(failure) => return Err(failure),
        };
        // Data sources may stand among the rows of a wiki.
        let is_page = |row: &&Value| text(row, "object").is_none_or(|object| object == "page");
        let status = answer.get("request_status").unwrap_or(&Value::Null);
        let more = answer.get("has_more").and_then(Value::as_bool).unwrap_or(true);
        Ok(Answer {
            rows: array(&answer, "results").iter().filter(is_page).cloned().collect(),
            next: text(&answer, "next_cursor")
                .filter(|next| more && !next.is_empty() && Some(next) != query.cursor.as_ref()),
            capped: text(status, "type").as_deref() == Some("incomplete"),
            closer: BTreeSet::new(),
        })
    }

    /// The same, with whole rows: those of which the answer shows a part, and those that `doubtful` names, are read by
    /// themselves. What was read before the quota said "later" is kept for the next try under `name`.
    pub(super) async fn whole_rows(
        &self,
        name: &str,
        table: &Table,
        query: &Query,
        doubtful: impl Fn(&Value) -> bool + Send + Sync,
    ) -> Result<Answer, Failure> {
        let mut answer = match self.answers.take(&*self.clock, name) {
            Some(answer) => answer,
            None => self.query(table, query).await?,
        };
        let needs_it = |row: &Value| {
            let cut = |field: &super::binding::Field| field.of(row).is_some_and(|(_, value)| values::is_cut(value));
            doubtful(row) || table.fields.values().any(cut)
        };
        for at in 0..answer.rows.len() {
            let Some(id) = answer.rows.get(at).and_then(|row| text(row, "id")).as_deref().and_then(uuid) else {
                continue;
            };
            if answer.closer.contains(&id) || !answer.rows.get(at).is_some_and(&needs_it) {
                continue;
            }
            match self.whole(table, &id).await {
                Ok(whole) => {
                    if let Some(row) = answer.rows.get_mut(at) {
                        // Gone meanwhile: shown as such.
                        *row = whole.unwrap_or_else(|| json!({ "id": id, "object": "page", "in_trash": true }));
                    }
                    answer.closer.insert(id);
                }
                Err(fault) => {
                    if matches!(fault, Fault::Later { .. }) {
                        self.answers.put(&*self.clock, name, answer);
                    }
                    return Err(fault.into());
                }
            }
        }
        Ok(answer)
    }
}

//! Writing issues, and reading every collection.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::Linear;
use super::attach::Binding;
use super::client::{Failure, Sort};
use super::draft::{Draft, Sent, untouched};
use super::operations::{
    IssueCreate, IssueUpdate, IssueUpdateWithHistory, issue_create, issue_update, issue_update_with_history,
};
use super::types::{ATTACHMENT, CUSTOMER, ISSUE, NEED, canonical, record, replaced, text};
use crate::{Cursor, Fault, Key, Receipt, Record, Sink, Write, Written};

/// Records that one read asks for; 100 issues cost some 6,000 of 10,000 points.
const PAGE: usize = 100;
/// A replica lags by no more than this.
const LAG: TimeDelta = TimeDelta::minutes(2);
/// Fields of an issue that are Linear's alone to set.
const READ_ONLY: [&str; 4] = ["state", "state_name", "identifier", "url"];

#[async_trait]
impl Sink for Linear {
    /// One: Linear's batch mutations take one change for all, or fail all for one.
    fn batch(&self, _collection: &str) -> usize {
        1
    }

    fn canonical(&self, collection: &str, field: &str, value: Value) -> Value {
        canonical(collection, field, value, &self.settings)
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
        let mut found = BTreeMap::new();
        for part in ids.chunks(PAGE) {
            for node in self.nodes_by_id(collection, part).await? {
                if let Some(record) = record(collection, &node, &self.settings) {
                    found.insert(record.key.id.clone(), record);
                }
            }
        }
        let gone = |id: &String| Record {
            key: Key::new(collection, id.clone()),
            version: None,
            body: None,
            url: None,
            edits: Vec::new(),
        };
        Ok(ids.iter().map(|id| found.get(id).cloned().unwrap_or_else(|| gone(id))).collect())
    }

    async fn find(&self, collection: &str, external_ids: &[String]) -> Result<Vec<Option<Record>>, Fault> {
        match collection {
            // Their id is our id. One in the trash is found too, as deleted.
            ISSUE | NEED => {
                let mut found: BTreeMap<String, Record> = BTreeMap::new();
                for part in external_ids.chunks(PAGE) {
                    let nodes = self.nodes_by_id(collection, part).await?;
                    found.extend(
                        nodes
                            .iter()
                            .filter_map(|node| record(collection, node, &self.settings))
                            .map(|record| (record.key.id.clone(), record)),
                    );
                }
                Ok(external_ids.iter().map(|id| found.remove(id)).collect())
            }
            CUSTOMER => self.find_customers(external_ids).await,
            // Attachments are created by upsert on url and issue: making one again finds it.
            _ => Ok(external_ids.iter().map(|_| None).collect()),
        }
    }

    async fn list(
        &self,
        collection: &str,
        after: Option<&Cursor>,
    ) -> Result<(Vec<(String, Record)>, Option<Cursor>), Fault> {
        let (nodes, next) = self.page(collection, after).await?;
        let me = self.binding().me.clone();
        let ours = nodes.iter().filter_map(|node| {
            let record = record(collection, node, &self.settings)?;
            record.body.as_ref()?;
            Some((external_id(collection, node, &me)?, record))
        });
        Ok((ours.collect(), next))
    }
}

/// The entity's id that a node carries.
fn external_id(collection: &str, node: &Value, me: &str) -> Option<String> {
    match collection {
        // Issues that other people made have ids of the same kind.
        ISSUE => {
            let creator = node.get("creator").and_then(|creator| text(creator, "id"));
            text(node, "id").filter(|_| creator.is_none_or(|creator| creator == me))
        }
        ATTACHMENT => node.get("metadata").and_then(|metadata| text(metadata, super::needs::MARK)),
        CUSTOMER => super::types::array(node, "externalIds")
            .iter()
            .filter_map(Value::as_str)
            .find(|id| super::settings::is_uuid(id))
            .map(String::from),
        _ => text(node, "id"),
    }
}

impl Linear {
    async fn write_one(&self, collection: &str, write: &Write) -> Result<Written, Fault> {
        let binding = self.bound()?;
        match (collection, &write.target) {
            (ISSUE, None) => self.create_issue(&binding, write).await,
            (ISSUE, Some(id)) => self.update_issue(&binding, id, write).await,
            (ATTACHMENT, _) => self.write_attachment(write).await,
            (CUSTOMER | NEED, _) if binding.customers == Some(false) => Err(Fault::Later {
                after: Some(Duration::from_secs(60)),
                why: "this workspace has no customers".into(),
            }),
            (CUSTOMER, _) => self.write_customer(&binding, write).await,
            (NEED, _) => self.write_need(write).await,
            (other, _) => Err(Fault::rejected(format!("Linear has no collection {other}"))),
        }
    }

    async fn create_issue(&self, binding: &Binding, write: &Write) -> Result<Written, Fault> {
        let id = &write.external_id;
        if self.halfway().contains_key(id) {
            return self.existing(ISSUE, id).await;
        }
        let mut draft = Draft::new(ISSUE, write, self);
        let labels = draft.labels(binding);
        let Some(title) = draft.text("title") else {
            return Err(Fault::Rejected { why: "an issue needs a title".into(), field: Some("title".into()) });
        };
        let input = issue_create::IssueCreateInput {
            id: Some(id.clone()),
            team_id: binding.team_id.clone(),
            title: Some(title),
            description: draft.text("description"),
            priority: draft.whole("priority"),
            label_ids: Some(labels.add).filter(|ids| !ids.is_empty()),
        };
        let skipped = draft.finish();
        match self.client.mutate::<IssueCreate>("issueCreate", issue_create::Variables { input }, &[]).await {
            Ok(payload) => self.stored(ISSUE, payload.get("issue"), &skipped, true),
            Err(failure) if failure.sort == Sort::Exists => self.existing(ISSUE, id).await,
            Err(failure) => Err(self.issue_fault(failure, binding, &skipped)),
        }
    }

    /// An earlier try made it; until it could be read, that is remembered, with since when. A replica that lags does not know it
    /// yet; what none knows for so long was deleted for good.
    pub(super) async fn existing(&self, collection: &str, id: &str) -> Result<Written, Fault> {
        let now = self.clock.now();
        let since = self.halfway().get(id).and_then(|since| since.parse::<DateTime<Utc>>().ok());
        if since.is_none() {
            self.keep_halfway(id, now.to_rfc3339());
        }
        let there = self.find(collection, &[id.to_owned()]).await?.into_iter().next().flatten();
        if there.is_none() && since.is_none_or(|since| now - since < LAG) {
            return Err(Fault::unknown("it exists, and cannot be read yet"));
        }
        self.halfway().remove(id);
        let Some(Record { key, version, body: Some(Value::Object(mut fields)), url, .. }) = there else {
            return Ok(Written::Gone);
        };
        // Its state is where we start from: whether somebody has moved it since, its history tells. Where there is none, a state
        // is news for the next look.
        if collection == ISSUE && !self.has_history() {
            fields.retain(|field, _| !READ_ONLY.contains(&field.as_str()));
        }
        Ok(Written::Stored(Receipt {
            id: key.id,
            url,
            version,
            fields,
            replaced: Map::new(),
            skipped: BTreeMap::new(),
            created: false,
        }))
    }

    async fn update_issue(&self, binding: &Binding, id: &str, write: &Write) -> Result<Written, Fault> {
        let mut draft = Draft::new(ISSUE, write, self);
        let labels = draft.labels(binding);
        let title = draft.text("title");
        if write.fields.get("title").is_some() && title.is_none() {
            draft.skip("title", "an issue needs a title");
        }
        let description = draft.text_or_empty("description");
        let priority = draft.whole_or_zero("priority");
        let some = |ids: Vec<String>| Some(ids).filter(|ids| !ids.is_empty());
        let (added, removed) = (some(labels.add), some(labels.remove));
        let sent = draft.finish();
        if title.is_none() && description.is_none() && priority.is_none() && added.is_none() && removed.is_none() {
            return Ok(Written::Stored(untouched(id, sent)));
        }
        let outcome = if !self.has_history() {
            let input = issue_update::IssueUpdateInput {
                title,
                description,
                priority,
                added_label_ids: added,
                removed_label_ids: removed,
            };
            self.client
                .mutate::<IssueUpdate>("issueUpdate", issue_update::Variables { id: id.to_owned(), input }, &[])
                .await
        } else {
            let input = issue_update_with_history::IssueUpdateInput {
                title,
                description,
                priority,
                added_label_ids: added,
                removed_label_ids: removed,
            };
            let variables = issue_update_with_history::Variables { id: id.to_owned(), input };
            self.client.mutate::<IssueUpdateWithHistory>("issueUpdate", variables, &[]).await
        };
        match outcome {
            Ok(payload) => self.stored(ISSUE, payload.get("issue"), &sent, false),
            Err(failure) if failure.sort != Sort::Query && self.has_history() && failure.spares_history() => {
                self.forgo_history(&failure.message);
                // The update may be done, and only its answer not put together.
                Err(Fault::unknown(format!("the history could not be answered: {}", failure.message)))
            }
            Err(failure) if failure.sort == Sort::Query && self.has_history() => {
                self.forgo_history(&failure.message);
                // Refused before anything was done.
                Err(Fault::Later {
                    after: Some(Duration::ZERO),
                    why: "the server keeps no history; asking without".into(),
                })
            }
            Err(failure)
                if failure.sort == Sort::Missing && !refers_to(&failure, "label") && !refers_to(&failure, "team") =>
            {
                Ok(Written::Gone)
            }
            Err(failure) => Err(self.issue_fault(failure, binding, &sent)),
        }
    }

    /// A label or the team may be what is missing.
    fn issue_fault(&self, failure: Failure, binding: &Binding, sent: &Sent) -> Fault {
        if failure.sort == Sort::Missing && refers_to(&failure, "label") && !sent.labels.is_empty() {
            self.correct(|bound| bound.labels.retain(|_, id| !sent.labels.contains(id)));
            return Fault::Later {
                after: Some(Duration::from_secs(1)),
                why: format!("a label is gone: {}", failure.message),
            };
        }
        if failure.sort == Sort::Missing && (refers_to(&failure, "team") || failure.message.contains(&binding.team_id))
        {
            return self.team_gone();
        }
        failure.fault
    }

    /// The receipt for a payload's record.
    pub(super) fn stored(
        &self,
        collection: &str,
        node: Option<&Value>,
        sent: &Sent,
        created: bool,
    ) -> Result<Written, Fault> {
        let there = node.and_then(|node| record(collection, node, &self.settings));
        let (Some(node), Some(there)) = (node, there) else {
            return Err(Fault::unknown("Linear's answer does not name the record"));
        };
        let Some(Value::Object(body)) = there.body else { return Ok(Written::Gone) };
        // What was sent, as it is now. A server that answers with less than asked is taken at our word.
        let held = |field: &String, value: &Value| {
            let asked = node.get(field.as_str()).is_some();
            let value = if asked { body.get(field).cloned().unwrap_or(Value::Null) } else { value.clone() };
            (field.clone(), value)
        };
        let mut fields: Map<String, Value> = sent.fields.iter().map(|(field, value)| held(field, value)).collect();
        if created {
            // Where its state and the like begin.
            fields.extend(
                body.iter()
                    .filter(|(field, _)| READ_ONLY.contains(&field.as_str()))
                    .map(|(field, value)| (field.clone(), value.clone())),
            );
        }
        let replaced = if collection == ISSUE && !created {
            replaced(node, &self.binding().me, &sent.fields, &self.settings)
        } else {
            Map::new()
        };
        Ok(Written::Stored(Receipt {
            id: there.key.id,
            url: there.url,
            version: there.version,
            fields,
            replaced,
            skipped: sent.skipped.clone(),
            created,
        }))
    }

    pub(super) fn halfway(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.halfway.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refers_to(failure: &Failure, what: &str) -> bool {
    failure.message.to_lowercase().contains(what)
}

//! Writing: labels of an issue, and nothing else. Members are added and removed; the set is never replaced, because
//! others label too (`PUT …/labels` would overwrite them).

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::GitHub;
use super::client::{Met, Weight, delete};
use super::types::{ISSUE, Item, flat, issue, labels};
use crate::fault::Fault;
use crate::http::{Answer, Call, encode};
use crate::{Cursor, Key, Receipt, Record, Sink, TagChange, Write, Written};

pub(crate) const LABELS: &str = "labels";

#[async_trait]
impl Sink for GitHub {
    fn batch(&self, _collection: &str) -> usize {
        1
    }

    fn canonical(&self, _collection: &str, field: &str, value: Value) -> Value {
        match value {
            Value::Array(_) if field == LABELS => {
                let names = labels(&value);
                if names.is_empty() { Value::Null } else { Value::from(names) }
            }
            Value::String(text) if text.is_empty() => Value::Null,
            other => other,
        }
    }

    async fn write(&self, collection: &str, writes: &[Write]) -> Vec<Result<Written, Fault>> {
        let mut verdicts = Vec::with_capacity(writes.len());
        for write in writes {
            verdicts.push(if collection == ISSUE { self.label(write).await } else { Err(read_only(collection)) });
        }
        verdicts
    }

    async fn read(&self, collection: &str, ids: &[String]) -> Result<Vec<Record>, Fault> {
        if collection != ISSUE {
            return Err(read_only(collection));
        }
        let work = ids.join(" ");
        let mut records: Vec<Record> = self.reading.take(self.client.clock(), &work).unwrap_or_default();
        for id in ids.iter().skip(records.len()) {
            let read = match self.issue_of(id) {
                Some((handle, number)) => self.look_at_issue(id, &handle, number).await,
                None => Ok(gone(id)),
            };
            match read {
                Ok(record) => records.push(record),
                Err(fault) => {
                    self.reading.put(self.client.clock(), &work, records);
                    return Err(fault);
                }
            }
        }
        Ok(records)
    }

    /// Issues are never created, so none carries an external id.
    async fn find(&self, _collection: &str, external_ids: &[String]) -> Result<Vec<Option<Record>>, Fault> {
        Ok(vec![None; external_ids.len()])
    }

    async fn list(
        &self,
        _collection: &str,
        _after: Option<&Cursor>,
    ) -> Result<(Vec<(String, Record)>, Option<Cursor>), Fault> {
        Ok((Vec::new(), None))
    }
}

fn read_only(collection: &str) -> Fault {
    Fault::rejected(format!("GitHub's {collection} is only read"))
}

fn gone(id: &str) -> Record {
    Record { key: Key::new(ISSUE, id), version: None, body: None, url: None, edits: Vec::new() }
}

/// How far a write came: what a later attempt need not do again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labelling {
    added: bool,
    removed: usize,
    /// The issue could not be written to; why, a look will say.
    refused: bool,
    /// The whole set, as the last answer gave it.
    there: Option<Vec<String>>,
}

fn labels_of(answer: &Answer) -> Option<Vec<String>> {
    answer.json().ok().filter(Value::is_array).map(|set| labels(&set))
}

impl GitHub {
    async fn label(&self, write: &Write) -> Result<Written, Fault> {
        let Some(id) = &write.target else { return Err(Fault::rejected("GitHub issues are labelled, not created")) };
        let (handle, number) = self
            .issue_of(id)
            .ok_or_else(|| Fault::rejected(format!("{id} is not an issue of a configured repository")))?;
        let other = write.fields.keys().chain(write.tags.keys()).find(|field| *field != LABELS);
        if let Some(field) = other.or_else(|| write.fields.keys().next()) {
            let why = "only labels are written to GitHub, by adding and removing".to_owned();
            return Err(Fault::Rejected { why, field: Some(field.clone()) });
        }
        let change = write.tags.get(LABELS).cloned().unwrap_or_default();
        let work = format!("{id} {change:?}");
        let mut progress = self.labelling.take(self.client.clock(), &work).unwrap_or_default();
        let written = self.change_labels(id, &handle, number, &change, &mut progress).await;
        if matches!(&written, Err(Fault::Later { .. })) {
            self.labelling.put(self.client.clock(), &work, progress);
        }
        written
    }

    async fn change_labels(
        &self,
        id: &str,
        handle: &str,
        number: u64,
        change: &TagChange,
        progress: &mut Labelling,
    ) -> Result<Written, Fault> {
        let path = format!("issues/{number}/labels");
        if progress.refused {
            return self.gone_or_forbidden(id, handle, number).await;
        }
        if !change.add.is_empty() && !progress.added {
            let body = json!({ "labels": change.add });
            let met = self
                .client
                .write_in(handle, Weight::Quiet, |repo| Call::post(format!("{repo}/{path}"), body.clone()))
                .await;
            match met.map_err(at_labels)? {
                Met::Here(answer) => progress.there = labels_of(&answer),
                Met::Unchanged => {}
                Met::Gone => {
                    progress.refused = true;
                    return self.gone_or_forbidden(id, handle, number).await;
                }
            }
            progress.added = true;
        }
        while let Some(name) = change.remove.get(progress.removed) {
            let call = |repo: &str| delete(format!("{repo}/{path}/{}", encode(name)));
            progress.there = match self.client.write_in(handle, Weight::Quiet, call).await.map_err(at_labels)? {
                Met::Here(answer) => labels_of(&answer),
                // Missing is the label (then it is removed already) or the issue; the look below tells.
                Met::Unchanged | Met::Gone => None,
            };
            progress.removed += 1;
        }
        self.receipt(id, handle, number, progress).await
    }

    /// GitHub answers 404 to those who may not write as well.
    async fn gone_or_forbidden(&self, id: &str, handle: &str, number: u64) -> Result<Written, Fault> {
        match self.look_at_issue(id, handle, number).await?.body {
            None => Ok(Written::Gone),
            Some(_) => Err(Fault::locked(format!("the credential may not label issues in {handle}"))),
        }
    }

    /// What is there now: the whole set, since others label too, and the version that tells older snapshots from newer.
    /// The write is done, so a look that fails costs only the version.
    async fn receipt(&self, id: &str, handle: &str, number: u64, progress: &Labelling) -> Result<Written, Fault> {
        let (there, version, url) = match (self.look_at_issue(id, handle, number).await, &progress.there) {
            (Ok(Record { body: Some(body), version, url, .. }), _) => (labels(&body[LABELS]), version, url),
            // The labels were taken, whatever the look says.
            (_, Some(there)) => (there.clone(), None, None),
            (Ok(_), None) => return Ok(Written::Gone),
            (Err(fault), None) => return Err(fault),
        };
        Ok(Written::Stored(Receipt {
            id: id.to_owned(),
            url,
            version,
            fields: Map::from_iter([(LABELS.to_owned(), Value::from(there))]),
            replaced: Map::new(),
            skipped: BTreeMap::new(),
            created: false,
        }))
    }

    /// An issue in its flat form.
    async fn look_at_issue(&self, id: &str, handle: &str, number: u64) -> Result<Record, Fault> {
        match self.client.read_in(handle, |repo| Call::get(format!("{repo}/issues/{number}"))).await? {
            Met::Here(answer) => {
                let raw: Value = answer.json()?;
                let fields = flat(&raw);
                match issue(handle, raw) {
                    Item::Issue(record) => {
                        Ok(Record { key: Key::new(ISSUE, id), body: Some(Value::Object(fields)), ..record })
                    }
                    Item::PullRequest => Err(Fault::rejected(format!("{id} is a pull request"))),
                    Item::Nameless => Err(Fault::unknown("GitHub answered with something that has no number")),
                }
            }
            Met::Gone => Ok(gone(id)),
            Met::Unchanged => Err(Fault::unknown("GitHub answered 304 to an unconditional request")),
        }
    }
}

/// A refused label is the field's fault.
fn at_labels(fault: Fault) -> Fault {
    match fault {
        Fault::Rejected { why, field: _ } => Fault::Rejected { why, field: Some(LABELS.into()) },
        other => other,
    }
}

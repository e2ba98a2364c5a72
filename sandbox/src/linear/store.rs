//! What the workspace holds: rows of named fields by type, with relations as `…Id` and `…Ids`, so that the schema alone says
//! how a field is resolved. Relations that are asked backwards (the comments of an issue) are indexed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

/// A type's name in the schema.
pub(super) type Kind = &'static str;

pub(super) const ISSUE: Kind = "Issue";
pub(super) const HISTORY: Kind = "IssueHistory";
pub(super) const STATE: Kind = "WorkflowState";
pub(super) const LABEL: Kind = "IssueLabel";
pub(super) const TEAM: Kind = "Team";
pub(super) const USER: Kind = "User";
pub(super) const ORGANIZATION: Kind = "Organization";
pub(super) const COMMENT: Kind = "Comment";
pub(super) const ATTACHMENT: Kind = "Attachment";
pub(super) const CUSTOMER: Kind = "Customer";
pub(super) const NEED: Kind = "CustomerNeed";
pub(super) const STATUS: Kind = "CustomerStatus";
pub(super) const TIER: Kind = "CustomerTier";
pub(super) const WEBHOOK: Kind = "Webhook";
pub(super) const PROJECT: Kind = "Project";

pub(super) const KINDS: [Kind; 15] = [
    ISSUE,
    HISTORY,
    STATE,
    LABEL,
    TEAM,
    USER,
    ORGANIZATION,
    COMMENT,
    ATTACHMENT,
    CUSTOMER,
    NEED,
    STATUS,
    TIER,
    WEBHOOK,
    PROJECT,
];

/// Relations that are followed backwards often.
const INDEXED: [(Kind, &str); 8] = [
    (COMMENT, "issueId"),
    (ATTACHMENT, "issueId"),
    (ATTACHMENT, "url"),
    (HISTORY, "issueId"),
    (NEED, "issueId"),
    (NEED, "customerId"),
    (NEED, "attachmentId"),
    (ISSUE, "identifier"),
];

/// Times as Linear writes them.
pub(super) fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Order of insertion: breaks ties between equal times.
    pub(super) seq: u64,
    pub(super) fields: Map<String, Value>,
}

impl Row {
    pub(super) fn get(&self, field: &str) -> &Value {
        self.fields.get(field).unwrap_or(&Value::Null)
    }

    pub(super) fn text(&self, field: &str) -> &str {
        self.get(field).as_str().unwrap_or_default()
    }

    pub(super) fn id(&self) -> &str {
        self.text("id")
    }

    pub(super) fn is_archived(&self) -> bool {
        !self.get("archivedAt").is_null()
    }

    /// The texts of a list field.
    pub(super) fn texts(&self, field: &str) -> Vec<String> {
        self.get(field).as_array().into_iter().flatten().filter_map(|v| Some(v.as_str()?.to_owned())).collect()
    }
}

#[derive(Clone, Default)]
pub(super) struct Store {
    rows: BTreeMap<Kind, BTreeMap<String, Row>>,
    index: BTreeMap<(Kind, &'static str, String), BTreeSet<String>>,
    seq: u64,
    /// `lastSyncId`: grows with every change.
    pub(super) sync: u64,
}

impl Store {
    pub(super) fn get(&self, kind: Kind, id: &str) -> Option<&Row> {
        self.rows.get(kind)?.get(id)
    }

    pub(super) fn has(&self, kind: Kind, id: &str) -> bool {
        self.get(kind, id).is_some()
    }

    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = &Row> {
        self.rows.get(kind).into_iter().flat_map(BTreeMap::values)
    }

    /// Rows in the order they were made.
    pub(super) fn in_order(&self, kind: Kind) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.all(kind).collect();
        rows.sort_by_key(|row| row.seq);
        rows
    }

    /// Rows of `kind` whose `field` is `value`.
    pub(super) fn having(&self, kind: Kind, field: &str, value: &str) -> Vec<&Row> {
        if let Some((kind, field)) = INDEXED.iter().find(|(k, f)| *k == kind && *f == field) {
            let ids = self.index.get(&(*kind, *field, value.to_owned()));
            return ids.into_iter().flatten().filter_map(|id| self.get(kind, id)).collect();
        }
        self.all(kind).filter(|row| row.get(field) == value).collect()
    }

    /// Adds a row made of `fields`; `createdAt` and `updatedAt` are filled in.
    pub(super) fn insert(&mut self, kind: Kind, id: &str, fields: Value, now: DateTime<Utc>) {
        let mut fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        fields.insert("id".to_owned(), json!(id));
        for at in ["createdAt", "updatedAt"] {
            if fields.get(at).is_none_or(Value::is_null) {
                fields.insert(at.to_owned(), json!(stamp(now)));
            }
        }
        self.seq += 1;
        self.sync += 1;
        for (_, field) in INDEXED.iter().filter(|(k, _)| *k == kind) {
            if let Some(value) = fields.get(*field).and_then(Value::as_str) {
                self.index.entry((kind, field, value.to_owned())).or_default().insert(id.to_owned());
            }
        }
        self.rows.entry(kind).or_default().insert(id.to_owned(), Row { seq: self.seq, fields });
    }

    pub(super) fn set(&mut self, kind: Kind, id: &str, field: &str, value: Value) {
        let Some(row) = self.rows.get_mut(kind).and_then(|rows| rows.get_mut(id)) else { return };
        self.sync += 1;
        if let Some((_, field)) = INDEXED.iter().find(|(k, f)| *k == kind && *f == field) {
            if let Some(ids) = self.index.get_mut(&(kind, *field, row.text(field).to_owned())) {
                ids.remove(id);
            }
            if let Some(value) = value.as_str() {
                self.index.entry((kind, *field, value.to_owned())).or_default().insert(id.to_owned());
            }
        }
        row.fields.insert(field.to_owned(), value);
    }

    pub(super) fn remove(&mut self, kind: Kind, id: &str) -> Option<Row> {
        let row = self.rows.get_mut(kind)?.remove(id)?;
        self.sync += 1;
        for (_, field) in INDEXED.iter().filter(|(k, _)| *k == kind) {
            if let Some(ids) = self.index.get_mut(&(kind, *field, row.text(field).to_owned())) {
                ids.remove(id);
            }
        }
        Some(row)
    }

    /// An issue by its UUID or its identifier (`ENG-12`).
    pub(super) fn issue(&self, id: &str) -> Option<&Row> {
        if let Some(row) = self.get(ISSUE, id) {
            return Some(row);
        }
        // `KEY-12`: the only other form, so that a missing UUID costs no search.
        id.rsplit_once('-').filter(|(_, number)| number.len() < 10 && number.parse::<u32>().is_ok())?;
        let id = id.to_uppercase();
        self.having(ISSUE, "identifier", &id)
            .into_iter()
            .next()
            .or_else(|| self.all(ISSUE).find(|row| row.texts("previousIdentifiers").contains(&id)))
    }
}

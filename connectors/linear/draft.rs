//! A write on its way to being an input: canonical values, label names as ids, and what becomes of each field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Linear;
use super::attach::Binding;
use super::types::{ISSUE, whole};
use crate::{Receipt, Sink, TagChange, Write};

/// Nothing could be written, so nobody was called.
pub(super) fn untouched(id: &str, sent: Sent) -> Receipt {
    Receipt {
        id: id.to_owned(),
        url: None,
        version: None,
        fields: Map::new(),
        replaced: Map::new(),
        skipped: sent.skipped,
        created: false,
    }
}

/// A write on its way to being an input: canonical values, and what becomes of each field.
pub(super) struct Draft<'a> {
    collection: &'a str,
    write: &'a Write,
    fields: Map<String, Value>,
    sent: Sent,
}

/// What of a write was sent.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) fields: Map<String, Value>,
    pub(super) skipped: BTreeMap<String, String>,
    /// Ids of labels that were added or removed.
    pub(super) labels: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(collection: &'a str, write: &'a Write, linear: &Linear) -> Self {
        let fields = write
            .fields
            .iter()
            .map(|(field, value)| (field.clone(), linear.canonical(collection, field, value.clone())))
            .collect();
        Self { collection, write, fields, sent: Sent::default() }
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        let value = self.fields.remove(field)?;
        self.sent.fields.insert(field.to_owned(), value.clone());
        Some(value)
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// A text; `None` if it is not to be written, or empty, or (then skipped) no text.
    pub(super) fn text(&mut self, field: &str) -> Option<String> {
        match self.take(field)? {
            Value::String(text) => Some(text),
            Value::Null => None,
            _ => {
                self.skip(field, "is no text");
                None
            }
        }
    }

    /// A text where empty clears.
    pub(super) fn text_or_empty(&mut self, field: &str) -> Option<String> {
        let had = self.has(field);
        let text = self.text(field);
        text.or_else(|| (had && !self.sent.skipped.contains_key(field)).then(String::new))
    }

    pub(super) fn whole(&mut self, field: &str) -> Option<i64> {
        let value = self.take(field)?;
        if !value.is_null() && whole(&value).is_none() {
            self.skip(field, "is no number");
        }
        whole(&value)
    }

    pub(super) fn whole_or_zero(&mut self, field: &str) -> Option<i64> {
        let had = self.has(field);
        let number = self.whole(field);
        number.or_else(|| (had && !self.sent.skipped.contains_key(field)).then_some(0))
    }

    /// The ids of a link or the members of a set.
    pub(super) fn list(&mut self, field: &str) -> Option<Vec<String>> {
        let value = self.take(field)?;
        Some(value.as_array().into_iter().flatten().filter_map(Value::as_str).map(String::from).collect())
    }

    /// The one record that a link names.
    pub(super) fn link(&mut self, field: &str) -> Option<String> {
        self.list(field)?.into_iter().next()
    }

    pub(super) fn skip(&mut self, field: &str, why: impl Into<String>) {
        self.sent.fields.remove(field);
        self.sent.skipped.insert(field.to_owned(), why.into());
    }

    /// Label names as ids. A label that is not there is skipped; the others are written.
    pub(super) fn labels(&mut self, binding: &Binding) -> TagChange {
        let mut change = self.write.tags.get("labels").cloned().unwrap_or_default();
        change.add.extend(self.list("labels").unwrap_or_default());
        let mut unknown = BTreeSet::new();
        let mut ids = |names: Vec<String>, wanted: bool| -> Vec<String> {
            let mut ids: BTreeSet<String> = BTreeSet::new();
            for name in names {
                match binding.label(&name) {
                    Some(id) => {
                        ids.insert(id.to_owned());
                    }
                    // One that is not there need not be removed.
                    None if wanted => {
                        unknown.insert(name);
                    }
                    None => {}
                }
            }
            ids.into_iter().collect()
        };
        let change = TagChange { add: ids(change.add, true), remove: ids(change.remove, false) };
        if !change.add.is_empty() || !change.remove.is_empty() {
            // Its value is what is there afterwards.
            self.sent.fields.insert("labels".into(), Value::Null);
        }
        self.sent.labels.extend(change.add.iter().chain(&change.remove).cloned());
        if !unknown.is_empty() {
            let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
            self.sent.skipped.insert(
                "labels".into(),
                format!("team {} has no label {names}: make it or run `loopd setup linear`", binding.team_key),
            );
        }
        change
    }

    /// What was not taken is not writable.
    pub(super) fn finish(mut self) -> Sent {
        for field in self.fields.keys() {
            self.sent.skipped.insert(field.clone(), format!("cannot be written at a {}", self.collection));
        }
        for field in self.write.tags.keys().filter(|field| self.collection != ISSUE || field.as_str() != "labels") {
            self.sent.skipped.insert(field.clone(), "is no set of labels".into());
        }
        self.sent
    }
}

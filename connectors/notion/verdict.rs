//! From a refusal to a verdict, and what is remembered of writes whose outcome is not known. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::binding::Table;
use super::client::Failure;
use super::sink::Draft;
use super::types::uuid;
use super::values::{self, Sort};
use crate::{Fault, Write, Written};

/// So many uncertain creates are remembered at most.
const MOST: usize = 10_000;
/// How often Notion's edge may refuse a record before it counts as refused for what it holds.
const BLOCKS: u32 = 3;

/// By external id. In memory only: after a restart the search tells, after the same patience.
#[derive(Default)]
pub(super) struct Doubts {
    /// The page that an error named as made.
    named: BTreeMap<String, String>,
    /// When it was first looked for and not found.
    absent: BTreeMap<String, Duration>,
    blocks: BTreeMap<String, u32>,
}

impl Doubts {
    pub(super) fn committed(&mut self, external_id: &str, page: &str) {
        if self.named.len() < MOST {
            self.named.insert(external_id.to_owned(), page.to_owned());
        }
    }

    pub(super) fn named(&self, external_id: &str) -> Option<String> {
        self.named.get(external_id).cloned()
    }

    /// It was looked for and not found: has that lasted long enough?
    pub(super) fn is_absent(&mut self, external_id: &str, now: Duration, patience: Duration) -> bool {
        self.absent.retain(|_, first| now.saturating_sub(*first) < Duration::from_secs(24 * 3600));
        let first = match self.absent.get(external_id) {
            Some(first) => *first,
            None if self.absent.len() >= MOST => return true,
            None => *self.absent.entry(external_id.to_owned()).or_insert(now),
        };
        let absent = now.saturating_sub(first) >= patience;
        if absent {
            self.absent.remove(external_id);
            self.named.remove(external_id);
        }
        absent
    }

    pub(super) fn settled(&mut self, external_id: &str) {
        self.named.remove(external_id);
        self.absent.remove(external_id);
        self.blocks.remove(external_id);
    }

    /// Notion's edge refused it: a rule of the network, or one against what this record holds.
    pub(super) fn blocked(&mut self, external_id: &str, why: String) -> Fault {
        if self.blocks.len() >= MOST {
            self.blocks.clear();
        }
        let times = self.blocks.entry(external_id.to_owned()).or_default();
        *times += 1;
        if *times < BLOCKS { Fault::Unknown { why } } else { Fault::rejected(format!("{why}, {times} times")) }
    }
}

pub(super) struct Ruling {
    pub(super) verdict: Result<Written, Fault>,
    /// Properties (with their collection) that turned out to be gone or of another type, and why.
    pub(super) suspects: Vec<((String, String), String)>,
}

pub(super) fn refused(collection: &str, table: &Table, write: &Write, draft: &Draft, failure: &Failure) -> Ruling {
    let plainly = |verdict| Ruling { verdict, suspects: Vec::new() };
    let message = &failure.message;
    if failure.is_absence() {
        return plainly(absent(collection, table, write, draft, failure));
    }
    if failure.is_trashed() {
        return plainly(match write.target {
            Some(_) => Ok(Written::Gone),
            None => Err(Fault::locked(format!("data source {collection} is in the trash ({message})"))),
        });
    }
    if !matches!(failure.status, 400 | 413 | 422) || !matches!(failure.fault, Fault::Rejected { .. }) {
        return plainly(Err(failure.fault.clone()));
    }
    let named = named(table, draft, message);
    let stale = message.contains("is not a property that exists")
        || message.contains("is expected to be")
        || message.contains("Could not find property");
    if stale && !named.is_empty() {
        // The next try leaves it out and says so, which makes the engine look at the schema again.
        let why = format!("the binding is out of date: {message}");
        let suspects = named.into_iter().map(|name| ((collection.to_owned(), name), message.clone())).collect();
        return Ruling { verdict: Err(Fault::Later { after: Some(Duration::from_secs(1)), why }), suspects };
    }
    let field = option_at_fault(table, draft, message).or_else(|| named.into_iter().next());
    let why = match (&failure.fault, &field) {
        (_, Some(field)) if message.contains("option") => {
            format!("{message} (property {field}: add the option in Notion or run `loopd setup`)")
        }
        (Fault::Rejected { why, .. }, _) => why.clone(),
        (other, _) => other.to_string(),
    };
    plainly(Err(Fault::Rejected { why, field }))
}

/// 404: of the page itself, of the data source, or of a page that a relation names.
fn absent(collection: &str, table: &Table, write: &Write, draft: &Draft, failure: &Failure) -> Result<Written, Fault> {
    let message = &failure.message;
    let about: Vec<String> = message.split(|c: char| !(c.is_ascii_hexdigit() || c == '-')).filter_map(uuid).collect();
    let points_at = |value: &Value| {
        let ids = value.as_array().map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(Value::as_str).any(|id| about.iter().any(|named| named == id))
    };
    let relation = draft.sent.iter().find(|(name, value)| {
        table.fields.get(*name).is_some_and(|field| values::sort(&field.kind) == Sort::Relation) && points_at(value)
    });
    match (relation, &write.target) {
        (Some((name, _)), target) if target.as_ref().is_none_or(|target| !about.contains(target)) => {
            let why = format!("the page that {name} points to is gone, or not shared with the connection ({message})");
            Err(Fault::Rejected { why, field: Some(name.clone()) })
        }
        // The page is gone, or no longer shared, and so may be all of them: a look tells.
        (_, Some(_)) => {
            Err(Fault::unknown(format!("HTTP 404 to a write: a look tells whether the page is gone ({message})")))
        }
        (_, None) => Err(Fault::locked(format!(
            "data source {collection} is gone, or no longer shared with the connection ({message})"
        ))),
    }
}

/// The written properties that a message names; the external id is one of them.
fn named(table: &Table, draft: &Draft, message: &str) -> Vec<String> {
    let key = table.key.iter().filter(|key| !draft.sent.contains_key(*key));
    let names = draft
        .sent
        .keys()
        .chain(key)
        .filter(|name| table.fields.get(*name).is_some_and(|field| values::is_named(field, name, message)));
    names.cloned().collect()
}

/// The status or select whose option a message complains of.
fn option_at_fault(table: &Table, draft: &Draft, message: &str) -> Option<String> {
    if !message.to_ascii_lowercase().contains("option") {
        return None;
    }
    let options = |value: &Value| -> Vec<String> {
        let many = value.as_array().map_or(&[][..], Vec::as_slice);
        value.as_str().into_iter().chain(many.iter().filter_map(Value::as_str)).map(str::to_owned).collect()
    };
    let of_kind = draft.sent.iter().filter(|(name, _)| {
        let field = table.fields.get(*name);
        field.is_some_and(|field| matches!(values::sort(&field.kind), Sort::Select | Sort::Status | Sort::Selects))
    });
    let mut quoted = of_kind.filter(|(_, value)| options(value).iter().any(|option| message.contains(option.as_str())));
    let lacking = |(name, value): &(&String, &Value)| {
        let field = table.fields.get(*name);
        field.is_some_and(|field| options(value).iter().any(|option| !field.has_option(option)))
    };
    let quoted: Vec<_> = quoted.by_ref().collect();
    quoted.iter().find(|one| lacking(one)).or(quoted.first()).map(|(name, _)| (*name).clone())
}

//! What everybody said, in one pass over the ledger, as reports need it: who speaks, of what, with how much revenue.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::ledger::{Ledger, LedgerError};
use crate::schema::{Body, Customer, EntityId, EntityKind, Feedback, Risk, Status, Theme};
use crate::view;

/// A customer, as far as a report tells of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    pub name: String,
    pub arr: Option<f64>,
    pub segment: Option<String>,
    pub tier: Option<String>,
    pub region: Option<String>,
}

/// A theme, as far as a report tells of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topic {
    pub name: String,
    pub statement: Option<String>,
    pub status: Option<String>,
    /// The job behind it.
    pub job: Option<String>,
    /// When a person said that it shipped.
    pub shipped_at: Option<DateTime<Utc>>,
}

/// A piece of feedback, as far as a report tells of it. Who was merged stands here as whom they live on in.
#[derive(Clone, Debug, PartialEq)]
pub struct Voice {
    pub id: EntityId,
    pub at: Option<DateTime<Utc>>,
    pub customer: Option<EntityId>,
    pub theme: Option<EntityId>,
    pub category: Option<String>,
    pub severity: Option<String>,
    pub segment: Option<String>,
    pub product: Option<String>,
    pub source: Option<String>,
    pub status: Status,
    pub shipped_at: Option<DateTime<Utc>>,
    pub risk: Option<Risk>,
    /// Its words, where they were asked for.
    pub words: Option<Box<Words>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    pub title: Option<String>,
    pub verbatim: Option<String>,
}

impl Voice {
    pub fn is(&self, categories: &[&str]) -> bool {
        self.category.as_deref().is_some_and(|category| categories.contains(&category))
    }

    pub fn is_open(&self) -> bool {
        !matches!(self.status, Status::Shipped | Status::WontDo)
    }

    pub fn between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        self.at.is_some_and(|at| from <= at && at < to)
    }

    pub fn short_id(&self) -> String {
        self.id.short(EntityKind::Feedback)
    }
}

/// Everything that was said, and by whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Voices {
    pub accounts: BTreeMap<EntityId, Account>,
    pub topics: BTreeMap<EntityId, Topic>,
    pub items: Vec<Voice>,
}

/// Listens. `words`: of items from when the words are wanted too.
///
/// What was withdrawn says nothing, and a conversation from which items were extracted speaks through them.
///
/// # Errors
/// When the ledger cannot be read.
pub fn voices(ledger: &Ledger, words: impl Fn(DateTime<Utc>) -> bool) -> Result<Voices, LedgerError> {
    let mut all = Voices::default();
    let mut customers: BTreeMap<EntityId, EntityId> = BTreeMap::new();
    let mut themes: BTreeMap<EntityId, EntityId> = BTreeMap::new();
    let mut wholes: BTreeSet<EntityId> = BTreeSet::new();
    ledger.each_entity(|entity| {
        let id = entity.id;
        match entity.body {
            Body::Customer(customer) => {
                if let Some(merge) = &customer.merged {
                    customers.insert(id, merge.into);
                } else if !customer.withdrawn {
                    all.accounts.insert(id, account(id, *customer));
                }
            }
            Body::Theme(theme) => {
                if let Some(into) = theme.merged_into {
                    themes.insert(id, into);
                } else if !theme.withdrawn {
                    all.topics.insert(id, topic(id, *theme));
                }
            }
            Body::Feedback(feedback) if !feedback.withdrawn => {
                wholes.extend(feedback.part_of);
                all.items.push(voice(ledger, id, *feedback, &words)?);
            }
            Body::Feedback(_) => {}
        }
        Ok(())
    })?;
    all.items.retain(|item| !wholes.contains(&item.id));
    for item in &mut all.items {
        item.customer = item.customer.map(|id| lives_in(&customers, id)).filter(|id| all.accounts.contains_key(id));
        item.theme = item.theme.map(|id| lives_in(&themes, id)).filter(|id| all.topics.contains_key(id));
        let account = item.customer.and_then(|id| all.accounts.get(&id));
        item.segment = item.segment.take().or_else(|| account.and_then(|account| account.segment.clone()));
    }
    Ok(all)
}

/// Whom one that was merged lives on in. A ring is no answer, and none is followed for ever.
fn lives_in(merged: &BTreeMap<EntityId, EntityId>, id: EntityId) -> EntityId {
    let mut at = id;
    for _ in 0..64 {
        match merged.get(&at) {
            Some(into) => at = *into,
            None => break,
        }
    }
    at
}

fn account(id: EntityId, customer: Customer) -> Account {
    Account {
        name: customer.name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| id.short(EntityKind::Customer)),
        arr: customer.arr.filter(|arr| arr.is_finite() && *arr > 0.0),
        segment: customer.industry,
        tier: customer.tier,
        region: customer.region,
    }
}

fn topic(id: EntityId, theme: Theme) -> Topic {
    let shipped_at = theme.decided.get("status").map(|decision| decision.at);
    Topic {
        name: theme.name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| id.short(EntityKind::Theme)),
        statement: theme.statement,
        job: theme.job.map(|job| job.job).filter(|job| !job.is_empty()),
        shipped_at: shipped_at.filter(|_| theme.status.as_deref() == Some("shipped")),
        status: theme.status,
    }
}

fn voice(
    ledger: &Ledger,
    id: EntityId,
    feedback: Feedback,
    words: impl Fn(DateTime<Utc>) -> bool,
) -> Result<Voice, LedgerError> {
    // What came without a date was said when we heard of it.
    let at = match feedback.received_at {
        Some(at) => Some(at),
        None => ledger.history(id)?.first().map(|line| line.at),
    };
    let shipped_at = view::shipped_at(ledger, id, &feedback)?;
    let wanted = at.is_some_and(words);
    Ok(Voice {
        id,
        at,
        customer: feedback.customer,
        theme: feedback.theme,
        category: feedback.tags.category,
        severity: feedback.tags.severity,
        segment: feedback.tags.segment,
        product: feedback.tags.product,
        source: feedback.source,
        status: feedback.status,
        shipped_at,
        risk: feedback.risk,
        words: (wanted || shipped_at.is_some())
            .then(|| Box::new(Words { title: feedback.title.or(feedback.summary), verbatim: feedback.verbatim })),
    })
}

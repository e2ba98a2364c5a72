//! Usage, seen from the customer: whose an account is, and what a customer's numbers say.
//!
//! The law: an account is matched when it is looked at, never when it is counted. So numbers that came before their
//! customer was known are the customer's from the day they are, and those of an account that turns out to be another's go
//! with it.

mod room;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

pub use room::Room;

use crate::ledger::{Holder, Ledger, LedgerError, People};
use crate::schema::{Alias, AliasKind, Customer, Entity, EntityId};

/// How many days a period has, in what a mapping sees.
pub const PERIOD: i64 = 30;

/// The kinds of name that an account may be, the surest first.
const KINDS: [AliasKind; 5] =
    [AliasKind::SegmentGroup, AliasKind::CompanyId, AliasKind::SalesforceAccount, AliasKind::Domain, AliasKind::Name];

/// The customer who goes by this account's name.
pub fn customer_of(ledger: &Ledger, account: &str) -> Result<Option<EntityId>, LedgerError> {
    for alias in KINDS.into_iter().filter_map(|kind| Alias::new(kind, account)) {
        if let Some(customer) = ledger.named_customer(&alias)? {
            return Ok(Some(customer));
        }
    }
    Ok(None)
}

/// The customer and all that were merged into it.
fn family(ledger: &Ledger, customer: &Customer) -> Result<Vec<Customer>, LedgerError> {
    let (mut family, mut seen, mut next) = (vec![customer.clone()], BTreeSet::new(), customer.absorbed.clone());
    while let Some(id) = next.pop() {
        let member = if seen.insert(id) { ledger.entity(id)? } else { None };
        if let Some(member) = member.as_ref().and_then(Entity::as_customer) {
            next.extend(&member.absorbed);
            family.push(member.clone());
        }
    }
    Ok(family)
}

/// The accounts that are this customer's and have been used.
fn accounts(ledger: &Ledger, id: EntityId, customer: &Customer) -> Result<Vec<Holder>, LedgerError> {
    let mut candidates: BTreeSet<Holder> = BTreeSet::new();
    for member in family(ledger, customer)? {
        let aliases = member.aliases.iter().chain(&member.given).map(|alias| alias.value.as_str());
        let names = aliases.chain(member.domains.iter().map(String::as_str)).chain(member.name.as_deref());
        candidates.extend(names.filter_map(Holder::account));
    }
    let mut accounts = Vec::new();
    for holder in candidates {
        let Holder::Account(name) = &holder else { continue };
        // Another customer may have the better right to the name.
        if !ledger.usage_spans(&holder)?.is_empty() && customer_of(ledger, name)? == Some(id) {
            accounts.push(holder);
        }
    }
    Ok(accounts)
}

/// A customer's numbers, as mappings see them: `.usage`.
pub fn of_customer(
    ledger: &Ledger,
    id: EntityId,
    customer: &Customer,
    now: DateTime<Utc>,
) -> Result<Value, LedgerError> {
    let today = now.date_naive();
    let begin = today - TimeDelta::days(PERIOD - 1);
    let before = begin - TimeDelta::days(PERIOD);
    let mut last: Option<NaiveDate> = None;
    let (mut events, mut previous) = (0_u64, 0_u64);
    let mut people = People::default();
    let mut features: BTreeMap<String, u64> = BTreeMap::new();
    for holder in accounts(ledger, id, customer)? {
        for (connection, span) in ledger.usage_spans(&holder)? {
            last = last.max(Some(span.last.min(today)));
            ledger.usage_of(
                &holder,
                &connection,
                before.max(span.first),
                today.min(span.last),
                |day, feature, cell| {
                    if day < begin {
                        previous = previous.saturating_add(cell.count);
                        return;
                    }
                    events = events.saturating_add(cell.count);
                    people.join(&cell.people);
                    let uses = features.entry(feature.to_owned()).or_default();
                    *uses = uses.saturating_add(cell.count);
                },
            )?;
        }
    }
    let top = features.iter().max_by(|(a, n), (b, m)| n.cmp(m).then(b.cmp(a))).map(|(name, _)| name.as_str());
    Ok(json!({
        "last_seen": last,
        "events_30d": last.map(|_| events),
        "previous_30d": last.map(|_| previous),
        "active_users": last.map(|_| people.len()),
        "active_features": last.map(|_| features.len()),
        "top_feature": top,
        "trend": trend(events, previous),
    }))
}

/// By what part it has grown or shrunk, to two digits: -0.25 is a quarter less. `None` where there was nothing before.
pub fn trend(now: u64, before: u64) -> Option<f64> {
    (before > 0).then(|| ((now as f64 - before as f64) / before as f64 * 100.0).round() / 100.0)
}

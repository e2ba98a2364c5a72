//! Who used what, and how much more or less than before.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::ledger::{Holder, Ledger, LedgerError, People};
use crate::schema::{Entity, EntityId, EntityKind};
use crate::usage::{customer_of, trend};

/// What was used in a period, most first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub from: NaiveDate,
    pub to: NaiveDate,
    /// The days from which it is compared: as many, just before.
    pub compared_from: NaiveDate,
    pub events: u64,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The customer's name, or the vendor's name of the account; `None`: it is not known whose it is.
    pub account: Option<String>,
    /// `CU-7K3Q9X`; `None`: no customer goes by this account's name.
    pub customer: Option<String>,
    pub feature: String,
    pub events: u64,
    pub users: u64,
    /// `users` is counted; else it is estimated, to some 5 %.
    pub users_exact: bool,
    pub last: Option<NaiveDate>,
    pub previous: u64,
    /// By what part it has grown or shrunk; `None` where there was nothing before.
    pub trend: Option<f64>,
}

/// What people ask for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// A customer's or account's name or id, in any case; `None`: all.
    pub account: Option<String>,
    pub feature: Option<String>,
    /// `None`: 30 days ago.
    pub since: Option<NaiveDate>,
}

/// Whose a row is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Customer(EntityId),
    Account(String),
    Nobody,
}

#[derive(Default)]
struct Sum {
    events: u64,
    previous: u64,
    people: People,
    last: Option<NaiveDate>,
}

/// # Errors
/// When the ledger cannot be read.
pub fn usage(ledger: &Ledger, wanted: &Wanted, now: DateTime<Utc>) -> Result<Usage, LedgerError> {
    let to = now.date_naive();
    // Nothing is counted before 1970.
    let from =
        wanted.since.unwrap_or(to - TimeDelta::days(29)).clamp(NaiveDate::default(), to.max(NaiveDate::default()));
    let compared_from = from - (to - from) - TimeDelta::days(1);
    let mut whose: BTreeMap<Holder, Whose> = BTreeMap::new();
    let mut sums: BTreeMap<(Whose, String), Sum> = BTreeMap::new();
    ledger.usage_between(compared_from, to, |(_, day, holder, feature, cell)| {
        if wanted.feature.as_ref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(feature)) {
            return Ok(());
        }
        let owner = match whose.get(holder) {
            Some(known) => known.clone(),
            None => {
                let owner = match holder {
                    Holder::Account(name) => match customer_of(ledger, name)? {
                        Some(id) => Whose::Customer(id),
                        None => Whose::Account(name.clone()),
                    },
                    // A table of people is nobody's business.
                    Holder::Person(_) | Holder::Nobody => Whose::Nobody,
                };
                whose.insert(holder.clone(), owner.clone());
                owner
            }
        };
        let sum = sums.entry((owner, feature.to_owned())).or_default();
        if day < from {
            sum.previous = sum.previous.saturating_add(cell.count);
            return Ok(());
        }
        sum.events = sum.events.saturating_add(cell.count);
        sum.people.join(&cell.people);
        sum.last = sum.last.max(Some(day));
        Ok(())
    })?;
    let mut rows = Vec::new();
    for ((owner, feature), sum) in sums {
        let (account, customer, names) = told(ledger, &owner, &whose)?;
        if wanted.account.as_ref().is_some_and(|wanted| !names.contains(&wanted.trim().to_lowercase())) {
            continue;
        }
        rows.push(Row {
            account,
            customer,
            feature,
            events: sum.events,
            users: sum.people.len(),
            users_exact: sum.people.is_exact(),
            last: sum.last,
            previous: sum.previous,
            trend: trend(sum.events, sum.previous),
        });
    }
    rows.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| (&a.account, &a.feature).cmp(&(&b.account, &b.feature))));
    Ok(Usage { from, to, compared_from, events: rows.iter().fold(0, |all, row| all.saturating_add(row.events)), rows })
}

/// How an account is called, its customer's short id, and all the names by which one may ask for it.
type Told = (Option<String>, Option<String>, Vec<String>);

fn told(ledger: &Ledger, owner: &Whose, whose: &BTreeMap<Holder, Whose>) -> Result<Told, LedgerError> {
    Ok(match owner {
        Whose::Nobody => (None, None, Vec::new()),
        Whose::Account(name) => (Some(name.clone()), None, vec![name.clone()]),
        Whose::Customer(id) => {
            let entity = ledger.entity(*id)?;
            let name = entity.as_ref().and_then(Entity::as_customer).and_then(|customer| customer.name.clone());
            let short = id.short(EntityKind::Customer);
            let mut names = vec![short.to_lowercase(), id.to_string()];
            names.extend(name.as_ref().map(|name| name.to_lowercase()));
            names.extend(whose.iter().filter_map(|(holder, known)| match holder {
                Holder::Account(name) if known == owner => Some(name.clone()),
                _ => None,
            }));
            (name.or_else(|| Some(short.clone())), Some(short), names)
        }
    })
}

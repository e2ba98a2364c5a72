//! What people are shown of customers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{called, family_names, survivor};
use crate::house::House;
use crate::ledger::{LedgerError, LinkState};
use crate::report::{Found, find};
use crate::schema::{Alias, AliasKind, Customer, EntityId, EntityKind};

/// A customer in a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub id: EntityId,
    pub short_id: String,
    pub name: String,
    pub domains: Vec<String>,
    pub tier: Option<String>,
    pub arr: Option<f64>,
    pub items: usize,
    /// The customer into which it was merged.
    pub merged_into: Option<EntityId>,
}

/// A customer with all that it goes by, and where it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    pub id: EntityId,
    pub short_id: String,
    pub name: String,
    /// Nobody has said its name: it goes by its domain.
    pub nameless: bool,
    pub names: Vec<Bearing>,
    pub records: Vec<Place>,
    pub items: usize,
    pub arr: Option<f64>,
    pub industry: Option<String>,
    pub region: Option<String>,
    pub owner: Option<String>,
    /// When the first of its records came to be known.
    pub since: Option<DateTime<Utc>>,
    pub merged_into: Option<EntityId>,
    /// Customers that were merged into it: what `split --undo-merge` takes.
    pub absorbed: Vec<(EntityId, String)>,
    pub parted_from: Option<EntityId>,
    pub withdrawn: bool,
}

/// A name, and whose word it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bearing {
    pub alias: String,
    /// A person gave it.
    pub given: bool,
    /// The short id of another customer who had it first, where one does: then it leads there.
    pub held_by: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub connection: String,
    pub collection: String,
    pub id: String,
    pub url: Option<String>,
    pub state: String,
}

impl Card {
    pub fn called(&self) -> String {
        format!("{} ({})", self.name, self.short_id)
    }
}

/// Every customer, by name. `all`: those that were merged into others too.
///
/// # Errors
/// A ledger that cannot be read.
pub fn lines(house: &House, all: bool) -> Result<Vec<Line>, LedgerError> {
    let mut lines = Vec::new();
    house.ledger.each_entity(|entity| {
        let Some(customer) = entity.as_customer() else { return Ok(()) };
        if all || !customer.is_merged() {
            lines.push(Line {
                id: entity.id,
                short_id: entity.short_id(),
                name: customer.name.clone().unwrap_or_default(),
                domains: customer.domains.clone(),
                tier: customer.tier.clone(),
                arr: customer.arr,
                items: items(house, entity.id)?,
                merged_into: customer.merged.as_ref().map(|merge| merge.into),
            });
        }
        Ok(())
    })?;
    lines.sort_by_key(|line| (line.name.to_lowercase(), line.id));
    Ok(lines)
}

/// How many items name it.
fn items(house: &House, id: EntityId) -> Result<usize, LedgerError> {
    let mut items = 0;
    for referrer in house.ledger.referrers(id)? {
        items +=
            usize::from(house.ledger.entity(referrer)?.is_some_and(|entity| entity.kind() == EntityKind::Feedback));
    }
    Ok(items)
}

/// `None`: there is no such customer.
///
/// # Errors
/// A ledger that cannot be read.
pub fn card(house: &House, id: EntityId) -> Result<Option<Card>, LedgerError> {
    let Some(entity) = house.ledger.entity(id)? else { return Ok(None) };
    let Some(customer) = entity.as_customer() else { return Ok(None) };
    let names = house.ledger.transact(|tx| {
        let mut names = Vec::new();
        for alias in family_names(house, tx, id)? {
            let held_by = match tx.customer_by(&alias)? {
                Some(owner) if survivor(tx, owner)? != survivor(tx, id)? => {
                    tx.entity(owner)?.map(|owner| owner.short_id())
                }
                _ => None,
            };
            names.push(Bearing { given: customer.given.contains(&alias), alias: alias.to_string(), held_by });
        }
        Ok(names)
    })?;
    let links = house.ledger.links(id)?;
    let since = links.iter().map(|(_, _, link)| link.since).min();
    let records = links.into_iter().map(|(connection, collection, link)| {
        let state = match &link.state {
            LinkState::Live => "live",
            LinkState::Gone { .. } => "deleted there",
            LinkState::Anew { .. } => "to be made anew",
            LinkState::Stopped { .. } => "stopped",
        };
        Place { connection, collection, id: link.id, url: link.url, state: state.to_owned() }
    });
    let mut absorbed = Vec::new();
    for id in &customer.absorbed {
        absorbed.extend(house.ledger.entity(*id)?.map(|entity| (*id, called(&entity))));
    }
    Ok(Some(Card {
        id,
        short_id: entity.short_id(),
        name: customer.name.clone().unwrap_or_default(),
        nameless: Customer::is_nameless(customer),
        names,
        records: records.collect(),
        items: items(house, id)?,
        arr: customer.arr,
        industry: customer.industry.clone(),
        region: customer.region.clone(),
        owner: customer.owner.clone(),
        since,
        merged_into: customer.merged.as_ref().map(|merge| merge.into),
        absorbed,
        parted_from: customer.parted_from,
        withdrawn: customer.withdrawn,
    }))
}

/// The customer that a person means: by id, short id, the id or URL of one of its records, a name with its kind
/// (`domain:lumen.example.com`), a domain, or what it is called. Inside: why it is not clear.
///
/// # Errors
/// A ledger that cannot be read.
pub fn meant(house: &House, text: &str) -> Result<Result<EntityId, String>, LedgerError> {
    let bare = [AliasKind::Domain, AliasKind::CompanyId, AliasKind::Name].map(|kind| Alias::new(kind, text));
    let aliases: Vec<Alias> = match Alias::parse(text) {
        Some(alias) => vec![alias],
        None => bare.into_iter().flatten().collect(),
    };
    let is_customer = |id: EntityId| -> Result<bool, LedgerError> {
        Ok(house.ledger.entity(id)?.is_some_and(|entity| entity.as_customer().is_some()))
    };
    match find(house, text)? {
        Found::One(id) if is_customer(id)? => return Ok(Ok(id)),
        Found::Several(several) => {
            let list: Vec<String> = several.iter().map(|(name, id)| format!("  {id}  {name}")).collect();
            return Ok(Err(format!("{text} may be any of these; give the long id:\n{}", list.join("\n"))));
        }
        Found::One(_) | Found::None => {}
    }
    for alias in &aliases {
        if let Some(id) = house.ledger.transact(|tx| tx.customer_by(alias))? {
            return Ok(Ok(id));
        }
    }
    let hint = "give an id such as CU-7K3Q9X, a domain, a name, or KIND:NAME; `loopd customers` lists them";
    Ok(Err(format!("no customer is known as {text}\n  = {hint}")))
}

/// All names of one customer that a text may mean: with its kind, or without where only one kind fits.
///
/// # Errors
/// A ledger that cannot be read.
pub(crate) fn name_meant(house: &House, id: EntityId, text: &str) -> Result<Result<Alias, String>, LedgerError> {
    if let Some(alias) = Alias::parse(text) {
        return Ok(Ok(alias));
    }
    let wanted = text.trim().to_lowercase();
    let names = house.ledger.transact(|tx| family_names(house, tx, id))?;
    let mut found = names.into_iter().filter(|alias| alias.value == wanted);
    Ok(match (found.next(), found.next()) {
        (Some(alias), None) => Ok(alias),
        (Some(_), Some(_)) => Err(format!("{text} may be of several kinds: write KIND:{text}")),
        (None, _) => {
            let kinds: Vec<&str> = AliasKind::ALL.iter().map(|kind| kind.name()).collect();
            Err(format!("`{text}` is no name of it\n  = write KIND:NAME; the kinds are {}", kinds.join(", ")))
        }
    })
}

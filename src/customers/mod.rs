//! Customers as people judge them: who may be one (`doubt`), who is ([`merge`]), and who is not after all ([`part`]).
//!
//! Laws:
//! - A customer that was merged into another keeps all that is its own: its sources' records still lead to it and are drawn
//!   into it, its rows at destinations stay its rows. What its sources say goes on to the one in which it lives on, and so
//!   do its names and its items. So to part them again loses nothing.
//! - A name leads to who lives: never to one that was merged.
//! - Two that a person said are two are never asked about again.

mod doubt;
mod merge;
mod names;
mod part;
mod show;

pub use doubt::{Doubtful, Evidence, answer, doubtful, doubts_open};
pub use merge::{Merged, merge, move_items, undo};
pub(crate) use merge::{goes_after, own_domains};
pub use names::{add_name, remove_name};
pub use part::{Parted, part, sort_items};
pub use show::{Card, Line, card, lines, meant};

pub(crate) use doubt::{alike, heir, raise};
pub(crate) use names::names_of;
pub(crate) use show::name_meant;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::house::House;
use crate::ledger::{Entry, LedgerError, Tx, What};
use crate::schema::{Alias, AliasKind, Body, Customer, Entity, EntityId};

/// What sources and people say of a customer, and what a merge decides on one by one.
pub(crate) const VALUES: [&str; 9] =
    ["name", "industry", "region", "tier", "arr", "lifecycle", "use_case", "owner", "customer_since"];

/// Merges that follow one upon the other, at most.
const CHAIN: usize = 64;

/// The customer in whom this one lives: itself, mostly.
pub fn survivor(tx: &mut Tx<'_>, id: EntityId) -> Result<EntityId, LedgerError> {
    let mut at = id;
    for _ in 0..CHAIN {
        match tx.entity(at)?.as_ref().and_then(Entity::as_customer).and_then(|customer| customer.merged.as_ref()) {
            Some(merge) => at = merge.into,
            None => return Ok(at),
        }
    }
    Err(LedgerError::Bug(format!("{id} was merged in a circle")))
}

/// The customer and all that were merged into it, itself first.
pub fn family(tx: &mut Tx<'_>, id: EntityId) -> Result<Vec<Entity>, LedgerError> {
    let mut found: Vec<Entity> = Vec::new();
    let mut next = vec![id];
    while let Some(id) = next.pop() {
        if found.iter().any(|known| known.id == id) {
            continue;
        }
        let Some(entity) = tx.entity(id)? else { continue };
        next.extend(entity.as_customer().into_iter().flat_map(|customer| customer.absorbed.iter().copied()));
        found.push(entity);
    }
    Ok(found)
}

/// All names by which the customer, and whoever was merged into it, goes.
pub(crate) fn family_names(house: &House, tx: &mut Tx<'_>, id: EntityId) -> Result<BTreeSet<Alias>, LedgerError> {
    Ok(family(tx, id)?.iter().flat_map(|member| names_of(house, member)).collect())
}

pub(crate) fn customer_mut(entity: &mut Entity) -> Option<&mut Customer> {
    match &mut entity.body {
        Body::Customer(customer) => Some(customer),
        Body::Feedback(_) | Body::Theme(_) => None,
    }
}

/// The domains of all that were merged into it are its own, and those that a person took from it are not.
pub(crate) fn gather(tx: &mut Tx<'_>, entity: &mut Entity) -> Result<(), LedgerError> {
    let Some(customer) = customer_mut(entity) else { return Ok(()) };
    let mut more = Vec::new();
    for id in customer.absorbed.clone() {
        for member in family(tx, id)? {
            more.extend(member.as_customer().into_iter().flat_map(|customer| customer.domains.clone()));
        }
    }
    for domain in more {
        if !customer.domains.contains(&domain) {
            customer.domains.push(domain);
        }
    }
    let refused = customer.refused.clone();
    let is_refused =
        |domain: &String| Alias::new(AliasKind::Domain, domain).is_some_and(|alias| refused.contains(&alias));
    customer.domains.retain(|domain| !is_refused(domain));
    customer.aliases.retain(|alias| !refused.contains(alias));
    Ok(())
}

/// The tier follows from the ARR where the configuration has bands, unless a person decided it.
pub(crate) fn set_tier(house: &House, customer: &mut Customer) {
    let tier = customer.arr.and_then(|arr| {
        let tiers = house.config.customers.tiers.iter().filter(|tier| tier.from_arr <= arr);
        tiers.max_by(|a, b| a.from_arr.total_cmp(&b.from_arr)).map(|tier| tier.name.clone())
    });
    if tier.is_some() && !customer.decided.contains_key("tier") {
        customer.tier = tier;
    }
}

/// What the customer's own sources say of a path: the word of the one that is known longest.
pub(crate) fn word_of_sources(
    house: &House,
    tx: &mut Tx<'_>,
    id: EntityId,
    path: &str,
) -> Result<Option<Value>, LedgerError> {
    let mut words = Vec::new();
    for (connection, collection, _) in house.ledger.links(id)? {
        let Some(link) = tx.link(id, &connection, &collection)? else { continue };
        let said = tx.base(id, &connection, &collection)?.drawn.remove(path);
        words.extend(said.filter(|said| !is_nothing(said)).map(|said| (link.since, said)));
    }
    Ok(words.into_iter().min_by_key(|(since, _)| *since).map(|(_, said)| said))
}

pub(crate) fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// For people, as they stand in the log: `Lumen (CU-7K3Q9X)`.
pub fn called(entity: &Entity) -> String {
    match entity.as_customer().and_then(|customer| customer.name.clone()) {
        Some(name) => format!("{name} ({})", entity.short_id()),
        None => entity.short_id(),
    }
}

/// A line about a customer as a whole.
pub(crate) fn line(house: &House, by: &str, what: What, note: String) -> Entry {
    Entry { at: house.now(), by: by.to_owned(), what, field: None, old: None, new: None, note: Some(note) }
}

/// A line about one of its values.
pub(crate) fn value_line(
    house: &House,
    by: &str,
    what: What,
    path: &str,
    (old, new): (Value, Value),
    note: String,
) -> Entry {
    let said = |value: Value| (!value.is_null()).then_some(value);
    Entry {
        at: house.now(),
        by: by.to_owned(),
        what,
        field: Some(path.to_owned()),
        old: said(old),
        new: said(new),
        note: Some(note),
    }
}

/// An entity with values set by path.
pub(crate) fn with_values(entity: &Entity, values: &[(String, Value)]) -> Result<Entity, LedgerError> {
    let mut value = entity.to_value();
    for (path, set) in values {
        value[path.as_str()] = set.clone();
    }
    Entity::from_value(entity.id, entity.kind(), value)
        .map_err(|error| LedgerError::Bug(format!("a customer's own value does not fit the schema: {error}")))
}

//! The names by which a customer goes: its sources', and those that a person gave it or took from it.

use std::collections::BTreeSet;

use super::{called, customer_mut, family_names, gather, line, survivor};
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{LedgerError, What, When};
use crate::recognise::name_customer;
use crate::schema::{Alias, AliasKind, Entity, EntityId};

/// All that a customer is recognised by, of the kinds that the configuration names.
pub(crate) fn names_of(house: &House, entity: &Entity) -> BTreeSet<Alias> {
    let Some(customer) = entity.as_customer() else { return BTreeSet::new() };
    let rules = &house.config.customers.rules;
    let domains = customer.domains.iter().filter_map(|domain| Alias::new(AliasKind::Domain, domain));
    let name = customer.name.as_deref().and_then(|name| Alias::new(AliasKind::Name, name));
    let said = customer.aliases.iter().cloned().chain(domains).chain(name);
    let said = said.filter(|alias| rules.admits(alias) && !customer.refused.contains(alias));
    said.chain(customer.given.iter().cloned()).collect()
}

/// A person gives a customer a name: what goes by it is theirs from now on. Inside: why not.
///
/// # Errors
/// A ledger that cannot be read or written.
pub fn add_name(house: &House, id: EntityId, alias: &Alias, by: &str) -> Result<Result<String, String>, LedgerError> {
    let rules = &house.config.customers.rules;
    let done = house.ledger.transact(|tx| {
        let id = survivor(tx, id)?;
        let Some(before) = tx.entity(id)? else { return Ok(Err(format!("there is no {id} any more"))) };
        if !rules.admits(alias) {
            let why = "nobody is recognised by it: it is a mail provider's domain or our own (`customers.companies` makes an exception), or of a kind that neither `customers.match` nor `customers.doubtful` names";
            return Ok(Err(format!("{alias}: {why}")));
        }
        if let Some(owner) = tx.customer_by(alias)?
            && survivor(tx, owner)? != id
        {
            let owner = tx.entity(owner)?.map(|owner| called(&owner)).unwrap_or_default();
            let way = "take it from them first (`loopd customers alias remove`), or merge the two";
            return Ok(Err(format!("{alias} is {owner}'s\n  = {way}")));
        }
        let mut after = before.clone();
        let Some(customer) = customer_mut(&mut after) else { return Ok(Err(format!("{} is no customer", before.short_id()))) };
        customer.refused.retain(|refused| refused != alias);
        if !customer.given.contains(alias) {
            customer.given.push(alias.clone());
        }
        if alias.kind == AliasKind::Domain && !customer.domains.contains(&alias.value) {
            customer.domains.push(alias.value.clone());
        }
        if after != before {
            tx.put_entity(&after)?;
            name_customer(house, tx, Some(&before), &after)?;
            tx.log(id, &line(house, by, What::Decided, format!("it goes by {alias}")))?;
            follow(house, tx, &after, Some(&before), When::Now)?;
        }
        Ok(Ok(format!("{} goes by {alias}", called(&after))))
    })?;
    house.ledger.durable()?;
    Ok(done)
}

/// A person takes a name from a customer, whatever its sources say. Its items stay. Inside: why not.
///
/// # Errors
/// A ledger that cannot be read or written.
pub fn remove_name(
    house: &House,
    id: EntityId,
    alias: &Alias,
    by: &str,
) -> Result<Result<String, String>, LedgerError> {
    let done = house.ledger.transact(|tx| {
        let id = survivor(tx, id)?;
        if !family_names(house, tx, id)?.contains(alias) {
            return Ok(Err(format!("it does not go by {alias}; `loopd customers show {id}` lists its names")));
        }
        let mut whole = None;
        // Whoever was merged into it states it no more either.
        for before in super::family(tx, id)?.into_iter().rev() {
            let mut after = before.clone();
            let Some(customer) = customer_mut(&mut after) else { continue };
            customer.given.retain(|given| given != alias);
            if !customer.refused.contains(alias) {
                customer.refused.push(alias.clone());
            }
            gather(tx, &mut after)?;
            tx.put_entity(&after)?;
            name_customer(house, tx, Some(&before), &after)?;
            follow(house, tx, &after, Some(&before), When::Now)?;
            whole = Some(after);
        }
        tx.log(id, &line(house, by, What::Decided, format!("it goes by {alias} no more")))?;
        Ok(Ok(format!("{} goes by {alias} no more", whole.as_ref().map(called).unwrap_or_default())))
    })?;
    house.ledger.durable()?;
    Ok(done)
}

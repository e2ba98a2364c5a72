//! Whose it is: customers by their names, and the feedback that waits for a name to become known.
//!
//! The law: a name belongs to one customer, the first that bore it. Feedback that nobody is known for waits, and is looked
//! at again in the commit that makes one of its names known.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::follow::follow;
use crate::house::House;
use crate::ledger::{ENRICH, Entry, LedgerError, Tx, What, When};
use crate::schema::{Alias, AliasKind, Body, Entity, EntityId, EntityKind};

/// Makes a customer findable by its names, and wakes the feedback that waits for one of them. A name that it gave up goes
/// to whoever else states it.
pub fn name_customer(
    house: &House,
    tx: &mut Tx<'_>,
    before: Option<&Entity>,
    entity: &Entity,
) -> Result<(), LedgerError> {
    let names = names_of(entity);
    for alias in before.map(names_of).unwrap_or_default().difference(&names) {
        free(house, tx, alias, entity.id)?;
    }
    for alias in &names {
        match tx.customer_by(alias)? {
            Some(owner) if owner != entity.id => {
                let what =
                    format!("{alias} names two customers ({} and {}): it stays with the first", owner, entity.id);
                tx.raise(CUSTOMERS, &alias.to_string(), &what, false, house.now())?;
            }
            Some(_) => {}
            None => take_name(house, tx, alias, entity.id)?,
        }
    }
    Ok(())
}

/// Whose conditions these are.
const CUSTOMERS: &str = "customers";

/// All that a customer is recognised by.
fn names_of(entity: &Entity) -> BTreeSet<Alias> {
    let Some(customer) = entity.as_customer() else { return BTreeSet::new() };
    let domains = customer.domains.iter().filter_map(|domain| Alias::new(AliasKind::Domain, domain));
    let name = customer.name.as_deref().and_then(|name| Alias::new(AliasKind::Name, name));
    customer.aliases.iter().cloned().chain(domains).chain(name).collect()
}

fn take_name(house: &House, tx: &mut Tx<'_>, alias: &Alias, customer: EntityId) -> Result<(), LedgerError> {
    tx.name_customer(alias, customer)?;
    for feedback in house.ledger.waiting(alias)? {
        tx.queue(ENRICH, 0, feedback.as_bytes(), When::Now, house.now())?;
    }
    Ok(())
}

/// `customer` goes by this name no more.
fn free(house: &House, tx: &mut Tx<'_>, alias: &Alias, customer: EntityId) -> Result<(), LedgerError> {
    let disputed = house.ledger.condition(CUSTOMERS, &alias.to_string())?.is_some();
    let owned = tx.customer_by(alias)? == Some(customer);
    if owned {
        tx.unname_customer(alias);
    }
    if !disputed {
        return Ok(());
    }
    // Rare, and there is no index of who else would have had it.
    let mut others = Vec::new();
    for id in house.ledger.ids(EntityKind::Customer)? {
        let states = |entity: Entity| names_of(&entity).contains(alias);
        if id != customer && tx.entity(id)?.is_some_and(states) {
            others.push(id);
        }
    }
    if let (true, Some(heir)) = (owned, others.first()) {
        take_name(house, tx, alias, *heir)?;
    }
    if others.len() < 2 {
        tx.clear(CUSTOMERS, &alias.to_string())?;
    }
    Ok(())
}

/// The customer by whose names a piece of feedback goes; notes what it waits for when there is none.
pub fn recognise(
    house: &House,
    tx: &mut Tx<'_>,
    id: EntityId,
    hints: &[Alias],
) -> Result<Option<EntityId>, LedgerError> {
    for alias in hints {
        if let Some(customer) = tx.customer_by(alias)? {
            for alias in hints {
                tx.wait_no_more(alias, id);
            }
            return Ok(Some(customer));
        }
    }
    let domain = hints.iter().find(|alias| alias.kind == AliasKind::Domain);
    if let (true, Some(domain)) = (house.config.customers.create_unknown, domain) {
        let customer = EntityId::derive("customers", "domain", &domain.value);
        let mut entity = Entity::empty(customer, EntityKind::Customer);
        if let Body::Customer(body) = &mut entity.body {
            body.name = Some(domain.value.clone());
            body.domains = vec![domain.value.clone()];
            body.aliases = hints.to_vec();
        }
        if tx.entity(customer)?.is_none() {
            tx.put_entity(&entity)?;
            tx.log(
                customer,
                &Entry {
                    at: house.now(),
                    by: CUSTOMERS.into(),
                    what: What::Created,
                    field: None,
                    old: None,
                    new: Some(Value::from(domain.value.as_str())),
                    note: None,
                },
            )?;
            name_customer(house, tx, None, &entity)?;
            follow(house, tx, &entity, None, When::Now)?;
        }
        return Ok(Some(customer));
    }
    for alias in hints {
        tx.wait_for(alias, id)?;
    }
    Ok(None)
}

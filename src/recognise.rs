//! Whose it is: customers by their names, and the feedback that waits for a name to become known.
//!
//! The law: a name belongs to one customer, the first that bore it, and leads to where that one lives. Another that states
//! it is a doubt for a person. Feedback that nobody is known for waits, and is looked at again in the commit that makes one
//! of its names known.

use serde_json::Value;

use crate::customers::{self, alike, family_names, names_of, raise, survivor};
use crate::follow::{follow, records};
use crate::house::House;
use crate::ledger::{ENRICH, Entry, LedgerError, Tx, What, When};
use crate::schema::{Alias, AliasKind, Body, Entity, EntityId, EntityKind};

/// Makes a customer findable by its names, and wakes the feedback that waits for one of them. A name that it gave up goes
/// to whoever else states it. `entity` is stored already.
pub fn name_customer(
    house: &House,
    tx: &mut Tx<'_>,
    before: Option<&Entity>,
    entity: &Entity,
) -> Result<(), LedgerError> {
    if entity.kind() != EntityKind::Customer {
        return Ok(());
    }
    let names = names_of(house, entity);
    let lives = survivor(tx, entity.id)?;
    for alias in before.map(|before| names_of(house, before)).unwrap_or_default().difference(&names) {
        free(house, tx, alias, lives)?;
    }
    for alias in &names {
        match tx.customer_by(alias)? {
            Some(owner) if survivor(tx, owner)? != lives => raise(house, tx, owner, lives)?,
            Some(_) => {}
            None => take_name(house, tx, alias, lives)?,
        }
    }
    alike(house, tx, before, entity)
}

/// Who speaks where no connection does.
const CUSTOMERS: &str = "customers";

fn take_name(house: &House, tx: &mut Tx<'_>, alias: &Alias, customer: EntityId) -> Result<(), LedgerError> {
    tx.name_customer(alias, customer)?;
    for feedback in house.ledger.waiting(alias)? {
        tx.queue(ENRICH, 0, feedback.as_bytes(), When::Now, house.now())?;
    }
    Ok(())
}

/// A customer, or one that was merged into it, goes by this name no more.
fn free(house: &House, tx: &mut Tx<'_>, alias: &Alias, customer: EntityId) -> Result<(), LedgerError> {
    if tx.customer_by(alias)? != Some(customer) || family_names(house, tx, customer)?.contains(alias) {
        return Ok(());
    }
    tx.unname_customer(alias);
    match customers::heir(house, tx, customer, alias)? {
        Some(heir) => {
            take_name(house, tx, alias, heir)?;
            // It shows the name from now on.
            match tx.entity(heir)? {
                Some(heir) => records(house, tx, &heir, When::Now),
                None => Ok(()),
            }
        }
        None => Ok(()),
    }
}

/// The customer by whose names a piece of feedback goes; notes what it waits for when there is none.
pub fn recognise(
    house: &House,
    tx: &mut Tx<'_>,
    id: EntityId,
    hints: &[Alias],
) -> Result<Option<EntityId>, LedgerError> {
    let hints = &house.config.customers.rules.order(hints);
    for alias in hints {
        if let Some(customer) = tx.customer_by(alias)? {
            for alias in hints {
                tx.wait_no_more(alias, id);
            }
            return Ok(Some(survivor(tx, customer)?));
        }
    }
    let domain = hints.iter().find(|alias| alias.kind == AliasKind::Domain);
    if let (true, Some(domain)) = (house.config.customers.create_unknown, domain) {
        let customer = EntityId::derive("customers", "domain", &domain.value);
        let mut entity = Entity::empty(customer, EntityKind::Customer);
        if let Body::Customer(body) = &mut entity.body {
            body.name = Some(domain.value.clone());
            body.domains = vec![domain.value.clone()];
            body.aliases.clone_from(hints);
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
        return Ok(Some(survivor(tx, customer)?));
    }
    for alias in hints {
        tx.wait_for(alias, id)?;
    }
    Ok(None)
}

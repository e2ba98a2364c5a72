//! Whose it is: customers by their names, and the feedback that waits for a name to become known.
//!
//! The law: a name belongs to one customer, the first that bore it. Feedback that nobody is known for waits, and is looked
//! at again in the commit that makes one of its names known.

use serde_json::Value;

use crate::follow::follow;
use crate::house::House;
use crate::ledger::{ENRICH, Entry, LedgerError, Tx, What, When};
use crate::schema::{Alias, AliasKind, Body, Entity, EntityId, EntityKind};

/// Makes a customer findable by its names, and wakes the feedback that waits for one of them.
pub fn name_customer(house: &House, tx: &mut Tx<'_>, entity: &Entity) -> Result<(), LedgerError> {
    let Some(customer) = entity.as_customer() else { return Ok(()) };
    let domains = customer.domains.iter().filter_map(|domain| Alias::new(AliasKind::Domain, domain));
    let name = customer.name.as_deref().and_then(|name| Alias::new(AliasKind::Name, name));
    for alias in customer.aliases.iter().cloned().chain(domains).chain(name) {
        match tx.customer_by(&alias)? {
            Some(owner) if owner != entity.id => {
                let what =
                    format!("{alias} names two customers ({} and {}): it stays with the first", entity.id, owner);
                tx.raise("customers", &alias.to_string(), &what, false, house.now())?;
            }
            Some(_) => {}
            None => {
                tx.name_customer(&alias, entity.id)?;
                for feedback in house.ledger.waiting(&alias)? {
                    tx.queue(ENRICH, 0, feedback.as_bytes(), When::Now, house.now())?;
                }
            }
        }
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
                    by: "customers".into(),
                    what: What::Created,
                    field: None,
                    old: None,
                    new: Some(Value::from(domain.value.as_str())),
                    note: None,
                },
            )?;
            name_customer(house, tx, &entity)?;
            follow(house, tx, &entity, None, When::Now)?;
        }
        return Ok(Some(customer));
    }
    for alias in hints {
        tx.wait_for(alias, id)?;
    }
    Ok(None)
}

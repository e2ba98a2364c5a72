//! What follows when a destination's binding changes: fields that it lacked are owed to it no more, and of fields that
//! stand for another one now (a column deleted and made anew) nothing is agreed on any more.
//!
//! The law: what is to be looked through is noted in the commit that stores the binding, and done in bounded pieces, so
//! that a crash anywhere loses none of it. Until a rebound field is done with, nothing is written there, and a look at a
//! record does not speak of it: the new column is empty, and nobody cleared it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::follow::{item, rank};
use crate::house::House;
use crate::ledger::{Base, LedgerError, Tx, When, sync_lane};
use crate::schema::EntityId;

/// Records that one piece looks at, most of which owe nothing.
const LOOK: usize = 4096;
/// Records that one piece changes.
const PIECE: usize = 64;

/// What is left to look through in one collection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rebound {
    /// Fields that stand for another one now.
    fields: BTreeSet<String>,
    /// The outside id up to which it is done.
    after: Option<String>,
}

type Left = BTreeMap<String, Rebound>;

fn left_at(connection: &str) -> String {
    format!("rebound at {connection}")
}

/// Notes, beside the new binding, what follows from it. `rebound`: (collection, field), as the connector says. Work that
/// was under way begins anew, and nothing of it is forgotten.
pub fn note(house: &House, tx: &mut Tx<'_>, name: &str, rebound: &[(String, String)]) -> Result<(), LedgerError> {
    let mut left: Left = tx.meta(&left_at(name))?.unwrap_or_default();
    for mapping in house.config.mappings.into.iter().filter(|mapping| mapping.connection == name) {
        left.entry(mapping.collection.clone()).or_default().after = None;
    }
    for (collection, field) in rebound {
        if let Some(rebound) = left.get_mut(collection) {
            rebound.fields.insert(field.clone());
        }
    }
    tx.set_meta(&left_at(name), &left)?;
    for (of, condition, _) in house.ledger.conditions()? {
        // Said again by the next write that still has to leave a field out.
        if of == name && condition.starts_with("skips ") {
            tx.clear(name, &condition)?;
        }
    }
    Ok(())
}

/// Fields of a collection that are not to be spoken of yet.
pub(super) fn unsettled(tx: &mut Tx<'_>, connection: &str, collection: &str) -> Result<BTreeSet<String>, LedgerError> {
    let left: Option<Left> = tx.meta(&left_at(connection))?;
    Ok(left.and_then(|mut left| left.remove(collection)).map(|rebound| rebound.fields).unwrap_or_default())
}

/// Looks through a piece of what is left. `false`: nothing was left.
///
/// # Errors
/// A ledger that fails.
pub fn look_through(house: &House, connection: &str) -> Result<bool, LedgerError> {
    let name = left_at(connection);
    let left: Left = house.ledger.transact(|tx| tx.meta(&name))?.unwrap_or_default();
    let Some((collection, rebound)) = left.first_key_value() else { return Ok(false) };
    let records = house.ledger.linked_after(connection, collection, rebound.after.as_deref(), LOOK)?;
    let mut owing = Vec::new();
    let mut after = None;
    for (id, entity) in &records {
        if owing.len() == PIECE {
            break;
        }
        after = Some(id);
        if house.ledger.base(*entity, connection, collection)?.is_some_and(|base| concerns(&base, &rebound.fields)) {
            owing.push(*entity);
        }
    }
    let done = records.len() < LOOK && after == records.last().map(|(id, _)| id);
    house.ledger.transact(|tx| {
        for entity in &owing {
            forget(house, tx, connection, collection, *entity, &rebound.fields)?;
        }
        let mut left: Left = tx.meta(&name)?.unwrap_or_default();
        if done {
            left.remove(collection);
        } else {
            left.entry(collection.clone()).or_default().after = after.cloned();
        }
        tx.set_meta(&name, &left)
    })?;
    Ok(true)
}

/// Something is owed there, or agreed on about a field that is another one now.
fn concerns(base: &Base, fields: &BTreeSet<String>) -> bool {
    !base.owed.is_empty() || base.fields.keys().any(|field| fields.contains(field))
}

/// What the record owed is paid, and what was agreed on about `fields` is forgotten: should-be is written again.
fn forget(
    house: &House,
    tx: &mut Tx<'_>,
    connection: &str,
    collection: &str,
    entity: EntityId,
    fields: &BTreeSet<String>,
) -> Result<(), LedgerError> {
    let mut base = tx.base(entity, connection, collection)?;
    if !concerns(&base, fields) {
        return Ok(());
    }
    base.fields.retain(|field, _| !fields.contains(field));
    base.owed.clear();
    base.refused.clear();
    tx.put_base(entity, connection, collection, &base)?;
    let Some(entity) = tx.entity(entity)? else { return Ok(()) };
    let rank = rank(house, connection, collection, entity.kind());
    tx.queue(&sync_lane(connection), rank, &item(entity.id, collection), When::Now, house.now())
}

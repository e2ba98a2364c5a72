//! Restore: ops say that a record which was deleted at a destination is made anew.
//!
//! The law: nothing else makes one anew. The new record is of the next generation, so that an id that loopd chose for the
//! deleted one is not used again; and what hung on the deleted one (an issue's attachment) comes with it.

use connectors::CollectionSpec;

use crate::house::House;
use crate::ledger::{Base, Entry, GENERATIONS, LedgerError, Link, LinkState, Tx, What, When, sync_lane};
use crate::mapping::IntoMapping;
use crate::schema::{Entity, EntityId};
use crate::sync::{item, rank};

/// Makes the record of `id` in `place` (`linear.issue`, or `issue` where that is plain) anew. The answer says where.
///
/// # Errors
/// A ledger that cannot be read or written. Inside: why there is nothing to make anew.
pub fn restore(house: &House, id: EntityId, place: &str, by: &str) -> Result<Result<String, String>, LedgerError> {
    house.ledger.transact(|tx| {
        let Some(entity) = tx.entity(id)? else { return Ok(Err(format!("there is no {id} any more"))) };
        let (mapping, link) = match deleted(house, tx, &entity, place)? {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        if link.generation + 1 >= GENERATIONS {
            return Ok(Err(format!("it was made {GENERATIONS} times already: if it is needed, make it there by hand")));
        }
        anew(house, tx, &entity, mapping, link, by)?;
        for hanging in house.config.mappings.into.iter().filter(|into| hangs_on(into, mapping)) {
            if let Some(link) = tx.link(id, &hanging.connection, &hanging.collection)? {
                anew(house, tx, &entity, hanging, link, by)?;
            }
        }
        let lane = sync_lane(&mapping.connection);
        let rank = rank(house, &mapping.connection, &mapping.collection, mapping.entity);
        tx.queue(&lane, rank, &item(id, &mapping.collection), When::Now, house.now())?;
        Ok(Ok(format!("{}.{}", mapping.connection, mapping.collection)))
    })
}

/// The deleted record that is meant.
fn deleted<'h>(
    house: &'h House,
    tx: &mut Tx<'_>,
    entity: &Entity,
    place: &str,
) -> Result<Result<(&'h IntoMapping, Link), String>, LedgerError> {
    let mut gone = Vec::new();
    let mut known = Vec::new();
    for into in house.config.mappings.into.iter().filter(|into| into.entity == entity.kind()) {
        let spec = house.connections.get(&into.connection).and_then(|open| open.collection(&into.collection));
        let Some(CollectionSpec { creatable: true, .. }) = spec else { continue };
        let name = format!("{}.{}", into.connection, into.collection);
        let Some(link) = tx.link(entity.id, &into.connection, &into.collection)? else { continue };
        if place == name || place == into.collection {
            match link.state {
                LinkState::Gone { .. } => gone.push((into, link)),
                _ => return Ok(Err(format!("its record in {name} is not deleted there"))),
            }
        }
        known.push(name);
    }
    Ok(match gone.len() {
        1 => Ok(gone.remove(0)),
        0 if known.is_empty() => Err("it has no record at any destination".into()),
        0 => Err(format!("it has no record in {place}; it has one in {}", known.join(", "))),
        _ => Err(format!("{place} may be at several connections: write CONNECTION.{place}")),
    })
}

/// Its records hang on those of the same entity in the other's collection.
fn hangs_on(into: &IntoMapping, other: &IntoMapping) -> bool {
    into.connection == other.connection
        && into.entity == other.entity
        && into.collection != other.collection
        && into.fields.values().any(|lens| {
            let own = lens.link.as_ref().filter(|link| link.path.dotted() == "id");
            own.is_some_and(|link| link.collection.as_ref().is_none_or(|to| *to == other.collection))
        })
}

fn anew(
    house: &House,
    tx: &mut Tx<'_>,
    entity: &Entity,
    into: &IntoMapping,
    link: Link,
    by: &str,
) -> Result<(), LedgerError> {
    let (connection, collection, now) = (&into.connection, &into.collection, house.now());
    let next = Link { state: LinkState::Anew { at: now }, generation: link.generation + 1, ..link };
    tx.put_link(entity.id, connection, collection, &next)?;
    tx.put_base(entity.id, connection, collection, &Base::default())?;
    tx.drop_effect(entity.id, connection, collection);
    let note = Some(format!("to be made anew in {connection}"));
    tx.log(
        entity.id,
        &Entry {
            at: now,
            by: by.into(),
            what: What::Decided,
            field: Some(collection.clone()),
            old: None,
            new: None,
            note,
        },
    )
}

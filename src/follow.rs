//! What follows from a changed entity: which records are to be looked at again. Nothing is written here, only queued.
//!
//! It stands below the rooms, since each of them changes entities; of these it calls on [`close`], to prepare what is to be
//! said when something ships, and on [`review`], which hears what people say of a model's verdicts.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::close;
use crate::house::House;
use crate::ledger::{ENRICH, LedgerError, TRIAGE, Tx, When, sync_lane};
use crate::review;
use crate::schema::{Body, Entity, EntityId, EntityKind, Feedback, Status, Task};
use crate::triage::{merge, themes};
use crate::view::view;

/// Ranks in a sync lane: what others link to goes first, and of one entity the record before what hangs on it. Then, from
/// [`BEHIND`] on, what nothing has changed but the configuration.
pub const RANKS: u8 = BEHIND + 3;
pub const BEHIND: u8 = 9;

/// A record to bring in step: an entity in a collection.
pub fn item(entity: EntityId, collection: &str) -> Vec<u8> {
    [entity.as_bytes().as_slice(), collection.as_bytes()].concat()
}

pub fn read_item(item: &[u8]) -> Option<(EntityId, String)> {
    let (id, collection) = item.split_first_chunk::<16>()?;
    Some((EntityId::from_bytes(*id), String::from_utf8(collection.to_vec()).ok()?))
}

/// The rank of a collection's work.
pub fn rank(house: &House, connection: &str, collection: &str, kind: EntityKind) -> u8 {
    let hangs_on_itself = house.config.mappings.into_for(connection, collection, kind).is_some_and(|mapping| {
        mapping.fields.values().any(|lens| lens.link.as_ref().is_some_and(|link| link.path.dotted() == "id"))
    });
    kind.rank() * 3 + u8::from(hangs_on_itself)
}

/// Queues every record of `entity` that its routes name, and what depends on how it changed.
pub fn follow(
    house: &House,
    tx: &mut Tx<'_>,
    entity: &Entity,
    before: Option<&Entity>,
    when: When,
) -> Result<(), LedgerError> {
    let learnt = review::learn(house, tx, before, entity)?;
    let entity = learnt.as_ref().unwrap_or(entity);
    records(house, tx, entity, when)?;
    neighbours(house, tx, entity, before)?;
    if let Body::Feedback(feedback) = &entity.body {
        let was = before.and_then(Entity::as_feedback).map(|feedback| feedback.status);
        if feedback.status == Status::Shipped && was != Some(Status::Shipped) {
            close::prepare(house, tx, entity)?;
        }
        if was.is_some_and(|was| was != feedback.status) {
            merge::take_along(house, tx, entity.id, feedback.status)?;
        }
        judged_anew(house, tx, entity.id, feedback, before)?;
    }
    settle(house, tx, entity, before)
}

/// What people do to themes and duplicates anywhere is brought in step by the triage room.
fn settle(house: &House, tx: &mut Tx<'_>, entity: &Entity, before: Option<&Entity>) -> Result<(), LedgerError> {
    let is_due = match &entity.body {
        Body::Feedback(now) => before.and_then(Entity::as_feedback).is_some_and(|was| {
            was.duplicate_of != now.duplicate_of
                || was.theme != now.theme
                || was.withdrawn != now.withdrawn
                || ["theme", merge::DUPLICATE_OF].iter().any(|path| was.decided.get(*path) != now.decided.get(*path))
        }),
        Body::Theme(_) => before.is_none_or(|before| before.body != entity.body),
        Body::Customer(_) => false,
    };
    if is_due {
        let settle = When::Settled(house.config.triage.settle);
        tx.queue(TRIAGE, 0, entity.id.as_bytes(), settle, house.now())?;
    }
    Ok(())
}

/// Other words are judged anew, whoever changed them; and what was extracted from a conversation goes with it, to another customer or
/// away.
fn judged_anew(
    house: &House,
    tx: &mut Tx<'_>,
    id: EntityId,
    now: &Feedback,
    before: Option<&Entity>,
) -> Result<(), LedgerError> {
    let Some(was) = before.and_then(Entity::as_feedback) else { return Ok(()) };
    let moved = was.customer != now.customer || was.withdrawn != now.withdrawn;
    if moved && tx.triaged(id)?.done.contains_key(Task::Extract.name()) {
        tx.queue(TRIAGE, 0, id.as_bytes(), When::Now, house.now())?;
    }
    let same = (&was.title, &was.verbatim, &was.summary, &was.thread)
        == (&now.title, &now.verbatim, &now.summary, &now.thread);
    if !now.withdrawn && !same {
        tx.queue(TRIAGE, 0, id.as_bytes(), When::Settled(house.config.triage.settle), house.now())?;
    }
    Ok(())
}

/// A record has come to be: what shows its link, and what waited for it, is looked at again.
pub fn linked(house: &House, tx: &mut Tx<'_>, entity: &Entity) -> Result<(), LedgerError> {
    records(house, tx, entity, When::Now)?;
    if entity.kind() != EntityKind::Feedback {
        // Thousands may name a customer: the enrich room passes it on piece by piece.
        tx.queue(ENRICH, 1, entity.id.as_bytes(), When::Now, house.now())?;
    }
    Ok(())
}

/// Queues the entity's own records.
pub fn records(house: &House, tx: &mut Tx<'_>, entity: &Entity, when: When) -> Result<(), LedgerError> {
    let now = house.now();
    let mut seen = None;
    for route in house.config.routes.iter().filter(|route| route.entity == entity.kind()) {
        if route.when.is_some() && tx.link(entity.id, &route.connection, &route.collection)?.is_none() {
            let view = match &seen {
                Some(view) => view,
                None => seen.insert(with_new_links(house, tx, entity, view(&house.ledger, entity, now)?)?),
            };
            // An expression that fails is told by the sync room, which meets it with the record at hand.
            if !route.takes(view).unwrap_or(true) {
                continue;
            }
        }
        let rank = rank(house, &route.connection, &route.collection, entity.kind());
        tx.queue(&sync_lane(&route.connection), rank, &item(entity.id, &route.collection), when, now)?;
    }
    Ok(())
}

/// The view of what is committed, with the links that this transaction is about to make: an attachment follows its issue.
fn with_new_links(
    house: &House,
    tx: &mut Tx<'_>,
    entity: &Entity,
    mut view: serde_json::Value,
) -> Result<serde_json::Value, LedgerError> {
    for route in house.config.routes.iter().filter(|route| route.entity == entity.kind()) {
        if let Some(link) =
            tx.link(entity.id, &route.connection, &route.collection)?.filter(crate::ledger::Link::is_live)
        {
            view["links"][format!("{}.{}", route.connection, route.collection)] =
                serde_json::json!({ "id": link.id, "url": link.url });
        }
    }
    Ok(view)
}

/// Customers and themes show counts, and how grave what is open is; feedback shows its customer's name and revenue.
fn neighbours(house: &House, tx: &mut Tx<'_>, entity: &Entity, before: Option<&Entity>) -> Result<(), LedgerError> {
    match &entity.body {
        Body::Feedback(feedback) => {
            let old = before.map(Entity::refers_to).unwrap_or_default();
            let moved = before.and_then(Entity::as_feedback).is_none_or(|old| {
                old.customer != feedback.customer
                    || old.theme != feedback.theme
                    || old.status != feedback.status
                    || old.withdrawn != feedback.withdrawn
                    || old.tags.category != feedback.tags.category
                    || old.tags.severity != feedback.tags.severity
                    || old.received_at != feedback.received_at
                    || old.risk != feedback.risk
                    || old.duplicate_of != feedback.duplicate_of
            });
            if moved {
                let settle = When::Settled(TimeDelta::seconds(house.config.sync.counts_settle_seconds.into()));
                let mut touched: BTreeSet<EntityId> = entity.refers_to().into_iter().chain(old).collect();
                let stands = before.and_then(Entity::as_feedback).is_some_and(|old| is_as_it_stood(old, feedback));
                if before.is_some() && !stands {
                    // Who stands for them may be another now, and what a theme counts as one.
                    for (id, duplicate) in merge::duplicates(&house.ledger, entity.id)? {
                        touched.insert(id);
                        touched.extend(duplicate.theme);
                    }
                }
                for id in touched.clone() {
                    if tx.entity(id)?.is_some_and(|neighbour| neighbour.kind() == EntityKind::Theme) {
                        touched.insert(themes::lives_in_tx(tx, id)?);
                    }
                }
                for id in touched {
                    if let Some(neighbour) = tx.entity(id)? {
                        records(house, tx, &neighbour, settle)?;
                    }
                }
            }
        }
        // Many may name it: the enrich room passes it on piece by piece.
        Body::Customer(_) | Body::Theme(_) if before.is_some_and(|before| before.body != entity.body) => {
            let settle = When::Settled(TimeDelta::seconds(house.config.sync.settle_seconds.into()));
            tx.queue(ENRICH, 1, entity.id.as_bytes(), settle, house.now())?;
        }
        Body::Customer(_) | Body::Theme(_) => {}
    }
    Ok(())
}

/// Whether an item stands for others as it did.
fn is_as_it_stood(before: &Feedback, after: &Feedback) -> bool {
    before.withdrawn == after.withdrawn && before.duplicate_of == after.duplicate_of
}

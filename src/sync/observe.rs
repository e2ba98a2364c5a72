//! Takes in a look at a record that loopd keeps in step: merges it, and says what follows. Called by normalize, inside
//! its transaction; this is the way back of every human edit.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use connectors::{Record, Sink};
use serde_json::{Map, Value};

use super::desired::{DesireError, desired};
use super::follow::{follow, item, rank, records};
use super::merge::{Look, Merged, linked_id, merge};
use super::rebind;
use crate::house::House;
use crate::ledger::{
    Base, Dead, Effect, Entry, Input, LedgerError, Letter, Link, LinkState, Question, Tx, Via, What, When, fetch_lane,
    sync_lane,
};
use crate::mapping::{Flow, IntoMapping, Lens};
use crate::schema::{Body, Decision, Entity};
use crate::triage::merge::{self as duplicates, DUPLICATE_OF};
use crate::triage::themes;
use crate::view::view;

/// Why a look could not be taken in: it becomes a dead letter.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    #[error("{field}: {cause}")]
    Refused { field: String, cause: String },
    #[error(transparent)]
    Desire(#[from] DesireError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// How many times in a row a destination may change what we wrote before we stop.
const ROUNDS: u32 = 3;

/// Merges `input`, a look at the record of `entity`.
pub fn observe(
    house: &House,
    tx: &mut Tx<'_>,
    mapping: &IntoMapping,
    entity: &Entity,
    input: &Input,
) -> Result<(), ObserveError> {
    let (connection, collection) = (&mapping.connection, &mapping.collection);
    let now = house.now();
    let Some((link, theirs)) = standing(house, tx, mapping, entity, input)? else { return Ok(()) };
    let Some(sink) = house.connections.get(connection).and_then(|open| open.connector.sink()) else { return Ok(()) };
    let base = tx.base(entity.id, connection, collection)?;
    let effect = tx.effect(entity.id, connection, collection)?;
    let settles =
        input.via == Via::Fence && effect.as_ref().is_some_and(|effect| effect.settling && input.seen_at >= effect.at);
    let view = view(&house.ledger, entity, now).map_err(DesireError::from)?;
    let wanted = desired(house, mapping, entity, &view)?;
    let theirs = what_it_speaks_of(house, tx, mapping, input, (sink, &base), theirs)?;
    let mut merged = merge(&Look {
        mapping,
        sink,
        by: connection,
        now,
        desired: &wanted.fields,
        entity: &entity.to_value(),
        base: &base,
        effect: effect.as_ref(),
        theirs: &theirs,
        edits: &input.record.edits,
        resolve: &|lens, outside| resolve(house, mapping, lens, outside),
    });
    if is_overtaken(input, &base, effect.as_ref().filter(|_| !settles)) && merged.base != base {
        // Keep what its history said; look again for the rest.
        for line in merged.log.iter().filter(|line| line.what == What::Overtaken) {
            tx.log(entity.id, line)?;
        }
        return Ok(look_again(house, tx, connection, &input.record, now + TimeDelta::seconds(1))?);
    }
    if let Some(at) = merged.look_again {
        look_again(house, tx, connection, &input.record, at)?;
    }
    for line in &merged.log {
        tx.log(entity.id, line)?;
    }
    let mut changed = take_over(entity, connection, &merged.takes, now)?;
    if let Some(changed) = &mut changed {
        to_who_lives(tx, changed, &mut merged)?;
    }
    let entity = changed.as_ref().unwrap_or(entity);
    ask(tx, mapping, entity, std::mem::take(&mut merged.questions), now)?;
    let agreed = if changed.is_some() { agreed_after(house, mapping, entity)? } else { wanted.fields };
    agree(mapping, entity, &agreed, &mut merged);
    merged.base.version = input.record.version.map(|version| version.0).or(merged.base.version);
    let must_write = merged.base.fields.values().any(|field| field.restore);
    if merged.base.rounds >= ROUNDS {
        merged.base.rounds = 0;
        stopped(house, tx, entity, connection, collection, link)?;
    } else if input.record.url.is_some() && link.url != input.record.url {
        tx.put_link(entity.id, connection, collection, &Link { url: input.record.url.clone(), ..link })?;
        records(house, tx, entity, When::Now)?;
    }
    if merged.base != base {
        merged.base.looked_at = Some(input.seen_at).max(base.looked_at);
        tx.put_base(entity.id, connection, collection, &merged.base)?;
    }
    if settles {
        tx.drop_effect(entity.id, connection, collection);
    }
    if let Some(changed) = &changed {
        let before = tx.entity(changed.id)?;
        tx.put_entity(changed)?;
        crate::recognise::name_customer(house, tx, before.as_ref(), changed)?;
        let settle = When::Settled(TimeDelta::seconds(house.config.sync.settle_seconds.into()));
        follow(house, tx, changed, before.as_ref(), settle)?;
        said_of_one_that_was_merged(house, tx, connection, changed, &merged.takes)?;
    } else if must_write || settles {
        let rank = rank(house, connection, collection, entity.kind());
        tx.queue(&sync_lane(connection), rank, &item(entity.id, collection), When::Now, now)?;
    }
    // What could be taken was taken; the rest is told.
    for (field, cause) in &merged.refused {
        hold(house, tx, mapping, entity, field, cause)?;
        let links = mapping.fields.get(field).is_some_and(|lens| lens.link.is_some());
        if let Some(outside) = theirs.get(field).and_then(linked_id).filter(|_| links) {
            tx.await_record(connection, outside, (collection, entity.id, field))?;
        }
    }
    Ok(())
}

/// A link, and what stands at its record.
type Standing = (Link, Map<String, Value>);

/// The link of the record that was looked at, and what stands there. `None`: there is nothing to merge.
fn standing(
    house: &House,
    tx: &mut Tx<'_>,
    mapping: &IntoMapping,
    entity: &Entity,
    input: &Input,
) -> Result<Option<Standing>, LedgerError> {
    let (connection, collection) = (&mapping.connection, &mapping.collection);
    let known = tx.link(entity.id, connection, collection)?;
    // What is made anew has another id than the one that was deleted.
    let another = |link: &Link| matches!(link.state, LinkState::Anew { .. }) && link.id != input.record.key.id;
    let Some(mut link) = known.filter(|link| !another(link)) else {
        if tx.effect(entity.id, connection, collection)?.is_some() {
            // It is being made this moment: this is our own create, mostly, told before it was answered. It is kept
            // until the outcome is in the books, and costs a look only if it says something else.
            keep(tx, input)?;
        }
        return Ok(None);
    };
    if link.id != input.record.key.id {
        return Ok(None); // An older record of this entity.
    }
    let Some(theirs) = input.record.body.as_ref().and_then(Value::as_object) else {
        // A replica that lags does not know a record that was made a moment ago.
        let sure = link.since + TimeDelta::seconds(house.config.sync.stale_read_seconds.into());
        if link.is_live() && input.seen_at < sure {
            look_again(house, tx, connection, &input.record, sure)?;
        } else {
            gone(house, tx, entity, connection, collection, link)?;
        }
        return Ok(None);
    };
    if let LinkState::Gone { .. } | LinkState::Anew { .. } = link.state {
        // Restored there; if it was to be made anew, that is not needed any more.
        link.generation -= u32::from(matches!(link.state, LinkState::Anew { .. }));
        link.state = LinkState::Live;
        tx.put_link(entity.id, connection, collection, &link)?;
        follow(house, tx, entity, Some(entity), When::Now)?;
    }
    Ok(Some((link, theirs.clone())))
}

/// Keeps a look at a record whose create has no outcome yet, with what the history of an earlier one told.
fn keep(tx: &mut Tx<'_>, input: &Input) -> Result<(), LedgerError> {
    let mut kept = input.clone();
    if let Some(mut before) = tx.take_parked(&input.connection, &input.record.key)? {
        let newer =
            matches!((before.record.version, input.record.version), (Some(before), Some(new)) if new.0 < before.0);
        if newer && input.record.body.is_some() {
            before.record.edits.extend(kept.record.edits);
            kept = before;
        } else {
            before.record.edits.append(&mut kept.record.edits);
            kept.record.edits = before.record.edits;
        }
    }
    tx.park(&input.record.key, &kept)
}

/// A reading that began before our last write was answered cannot know that write: read again. And one that began before
/// another that was merged already, or that shows an older version, is no news.
fn is_overtaken(input: &Input, base: &Base, effect: Option<&Effect>) -> bool {
    let older = matches!((input.record.version, base.version), (Some(new), Some(old)) if new.0 < old);
    older
        || base.written_at.is_some_and(|written| input.seen_at < written)
        || base.looked_at.is_some_and(|looked| input.seen_at < looked)
        || effect.is_some_and(|effect| input.seen_at < effect.at)
}

/// The look without what it does not speak of: a row that somebody has just made, and linked (it is read first, and this
/// field waits for it), and columns that are missing, or that stand for another one now.
fn what_it_speaks_of(
    house: &House,
    tx: &mut Tx<'_>,
    mapping: &IntoMapping,
    input: &Input,
    (sink, base): (&dyn Sink, &Base),
    mut theirs: Map<String, Value>,
) -> Result<Map<String, Value>, LedgerError> {
    let (connection, collection, now) = (&mapping.connection, &mapping.collection, house.now());
    for (field, linked) in just_made(house, mapping, &theirs)? {
        as_agreed(base, &field, &mut theirs);
        tx.queue(&fetch_lane(connection), 0, &crate::ledger::fetch_item(&linked), When::Now, now)?;
        look_again(house, tx, connection, &input.record, now + TimeDelta::seconds(1))?;
    }
    let unsettled = rebind::unsettled(tx, connection, collection)?;
    for field in sink.lacks(collection).union(&unsettled) {
        as_agreed(base, field, &mut theirs);
    }
    if !unsettled.is_empty() {
        // Somebody may have typed into the new one already.
        look_again(house, tx, connection, &input.record, now + TimeDelta::seconds(1))?;
    }
    Ok(theirs)
}

/// Conflicts that a person is to decide.
fn ask(
    tx: &mut Tx<'_>,
    mapping: &IntoMapping,
    entity: &Entity,
    questions: Vec<(String, String, Value, Value)>,
    at: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let (connection, collection) = (&mapping.connection, &mapping.collection);
    questions.into_iter().try_for_each(|(field, path, ours, theirs)| {
        tx.ask(&Question {
            at,
            entity: entity.id,
            connection: connection.clone(),
            collection: collection.clone(),
            field,
            path,
            ours,
            theirs,
        })
    })
}

/// What was taken over is agreed on, as our side now words it.
fn agree(mapping: &IntoMapping, entity: &Entity, agreed: &BTreeMap<String, Value>, merged: &mut Merged) {
    let value = entity.to_value();
    for take in &merged.takes {
        if let (Some(field), Some(lens)) = (merged.base.fields.get_mut(&take.field), mapping.fields.get(&take.field))
            && !field.restore
        {
            field.ours = match (lens.flow, &lens.path) {
                (Flow::Pull, Some(path)) => path.get(&value).clone(),
                _ => agreed.get(&take.field).cloned().unwrap_or_default(),
            };
        }
    }
}

/// This look does not speak of the field.
fn as_agreed(base: &Base, field: &str, theirs: &mut Map<String, Value>) {
    match base.fields.get(field) {
        Some(agreed) => drop(theirs.insert(field.to_owned(), agreed.theirs.clone())),
        None => drop(theirs.remove(field)),
    }
}

/// A value there that means nothing here: a letter to ops, one a field, while everything else goes on.
fn hold(
    house: &House,
    tx: &mut Tx<'_>,
    mapping: &IntoMapping,
    entity: &Entity,
    field: &str,
    cause: &str,
) -> Result<(), LedgerError> {
    let (connection, collection) = (&mapping.connection, &mapping.collection);
    tx.bury(&Dead {
        at: house.now(),
        room: "normalize".into(),
        connection: connection.clone(),
        key: None,
        entity: Some(entity.id),
        field: Some(field.into()),
        cause: format!("the value that stands in {collection}.{field} cannot be taken: {cause}. It is left as it is there; change it, or the mapping's `values`"),
        letter: Letter::Held { collection: collection.clone(), entity: entity.id, field: field.into() },
        mapping: Some(mapping.digest()),
    })?;
    Ok(())
}

/// The entity with what people changed at a destination; `None` when nothing changed.
fn take_over(
    entity: &Entity,
    by: &str,
    takes: &[super::merge::Take],
    now: DateTime<Utc>,
) -> Result<Option<Entity>, ObserveError> {
    if takes.is_empty() {
        return Ok(None);
    }
    let mut value = entity.to_value();
    for take in takes {
        let path: crate::schema::Path = take.path.parse().map_err(|_| ObserveError::Refused {
            field: take.field.clone(),
            cause: format!("{} is no path", take.path),
        })?;
        path.set(&mut value, take.value.clone());
    }
    let mut changed = Entity::from_value(entity.id, entity.kind(), value)
        .map_err(|error| ObserveError::Refused { field: takes[0].field.clone(), cause: error.to_string() })?;
    for take in takes {
        changed.decided_mut().insert(take.path.clone(), Decision { by: by.to_owned(), at: now });
    }
    Ok(Some(changed))
}

/// Whoever links to a customer or theme that was merged means the one in which it lives, and whoever calls an item the
/// same as a duplicate means the item that stands for it: that stands here, and is written there.
fn to_who_lives(tx: &mut Tx<'_>, changed: &mut Entity, merged: &mut Merged) -> Result<(), LedgerError> {
    let id = changed.id;
    let Body::Feedback(feedback) = &mut changed.body else { return Ok(()) };
    let mut others = Vec::new();
    if let Some(customer) = feedback.customer {
        let lives = crate::customers::survivor(tx, customer)?;
        if lives != customer {
            feedback.customer = Some(lives);
            others.push("customer");
        }
    }
    let took = |path: &str| merged.takes.iter().any(|take| take.path == path);
    if let Some(theme) = feedback.theme.filter(|_| took("theme")) {
        let lives = themes::lives_in_tx(tx, theme)?;
        if lives != theme {
            feedback.theme = Some(lives);
            others.push("theme");
        }
    }
    if let Some(of) = feedback.duplicate_of.filter(|_| took(DUPLICATE_OF)) {
        let root = duplicates::stands_for_in(tx, of)?.unwrap_or(of);
        if root == id || of == id {
            // It stands for that one already: a circle would stand for nothing.
            let before = tx.entity(id)?;
            let before = before.as_ref().and_then(Entity::as_feedback);
            feedback.duplicate_of = before.and_then(|before| before.duplicate_of);
            match before.and_then(|before| before.decided.get(DUPLICATE_OF)) {
                Some(decision) => drop(feedback.decided.insert(DUPLICATE_OF.into(), decision.clone())),
                None => drop(feedback.decided.remove(DUPLICATE_OF)),
            }
            others.push(DUPLICATE_OF);
        } else if root != of {
            feedback.duplicate_of = Some(root);
            others.push(DUPLICATE_OF);
        }
    }
    for take in merged.takes.iter().filter(|take| others.contains(&take.path.as_str())) {
        if let Some(field) = merged.base.fields.get_mut(&take.field) {
            field.restore = true;
        }
    }
    Ok(())
}

/// What a person types into the row of a customer that was merged is a word about the one in which it lives.
fn said_of_one_that_was_merged(
    house: &House,
    tx: &mut Tx<'_>,
    by: &str,
    entity: &Entity,
    takes: &[super::merge::Take],
) -> Result<(), ObserveError> {
    let now = house.now();
    let mut into = entity.as_customer().and_then(|customer| customer.merged.as_ref()).map(|merge| merge.into);
    while let Some(id) = into {
        let Some(before) = tx.entity(id)? else { return Ok(()) };
        let Some(after) = take_over(&before, by, takes, now)? else { return Ok(()) };
        let (old, new) = (before.to_value(), after.to_value());
        for take in takes {
            let Ok(path) = take.path.parse::<crate::schema::Path>() else { continue };
            let mut line =
                line(now, by, What::Edited, &take.path, "typed into the row of one that was merged into this");
            line.old = Some(path.get(&old).clone()).filter(|old| !old.is_null());
            line.new = Some(path.get(&new).clone()).filter(|new| !new.is_null());
            tx.log(id, &line)?;
        }
        tx.put_entity(&after)?;
        crate::recognise::name_customer(house, tx, Some(&before), &after)?;
        let settle = When::Settled(TimeDelta::seconds(house.config.sync.settle_seconds.into()));
        follow(house, tx, &after, Some(&before), settle)?;
        into = after.as_customer().and_then(|customer| customer.merged.as_ref()).map(|merge| merge.into);
    }
    Ok(())
}

/// What the record should hold once the entity has changed.
pub(super) fn agreed_after(
    house: &House,
    mapping: &IntoMapping,
    entity: &Entity,
) -> Result<BTreeMap<String, Value>, ObserveError> {
    let view = view(&house.ledger, entity, house.now())?;
    Ok(desired(house, mapping, entity, &view)?.fields)
}

/// Deleted there: the entity stays, and nothing makes the record anew.
pub fn gone(
    house: &House,
    tx: &mut Tx<'_>,
    entity: &Entity,
    connection: &str,
    collection: &str,
    mut link: Link,
) -> Result<(), LedgerError> {
    if !link.is_live() {
        return Ok(());
    }
    let now = house.now();
    link.state = LinkState::Gone { at: now };
    tx.put_link(entity.id, connection, collection, &link)?;
    tx.drop_effect(entity.id, connection, collection);
    let note = "deleted there; the item stays, and no record is made anew unless `loopd restore` says so";
    tx.log(entity.id, &line(now, connection, What::GoneThere, collection, note))?;
    // Others show its URL.
    follow(house, tx, entity, Some(entity), When::Now)
}

fn stopped(
    house: &House,
    tx: &mut Tx<'_>,
    entity: &Entity,
    connection: &str,
    collection: &str,
    mut link: Link,
) -> Result<(), LedgerError> {
    let now = house.now();
    let why = format!("{collection} changed what loopd wrote {ROUNDS} times in a row (an automation there?)");
    link.state = LinkState::Stopped { at: now, why: why.clone() };
    tx.put_link(entity.id, connection, collection, &link)?;
    tx.log(entity.id, &line(now, connection, What::Stopped, collection, &why))?;
    tx.raise(
        connection,
        &format!("rewrites {collection}"),
        &format!("{why}; `loopd why {}` shows it, `loopd dead retry` goes on", entity.short_id()),
        false,
        now,
    )?;
    tx.bury(&Dead {
        at: now,
        room: "sync".into(),
        connection: connection.into(),
        key: None,
        entity: Some(entity.id),
        field: None,
        cause: why,
        letter: Letter::Sync { collection: collection.into(), entity: entity.id },
        mapping: None,
    })?;
    Ok(())
}

fn look_again(
    house: &House,
    tx: &mut Tx<'_>,
    connection: &str,
    record: &Record,
    at: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let item = crate::ledger::fetch_item(&record.key);
    tx.queue(&fetch_lane(connection), 0, &item, When::At(at), house.now())
}

pub(super) fn line(at: DateTime<Utc>, by: &str, what: What, field: &str, note: &str) -> Entry {
    Entry { at, by: by.into(), what, field: Some(field.into()), old: None, new: None, note: Some(note.into()) }
}

/// The entity behind a linked record.
fn resolve(house: &House, mapping: &IntoMapping, lens: &Lens, outside: &str) -> Option<String> {
    let link = lens.link.as_ref()?;
    let mut homes: Vec<String> = link.collection.iter().cloned().collect();
    if homes.is_empty() {
        homes = crate::schema::EntityKind::ALL
            .into_iter()
            .filter_map(|kind| house.config.mappings.home(&mapping.connection, kind).map(str::to_owned))
            .collect();
    }
    let found = |home: &String| house.ledger.linked(&mapping.connection, home, outside).ok().flatten();
    homes.iter().find_map(found).map(|id| id.to_string())
}

/// Fields that link to a record which loopd has never read, and would adopt.
fn just_made(
    house: &House,
    mapping: &IntoMapping,
    theirs: &Map<String, Value>,
) -> Result<Vec<(String, connectors::Key)>, LedgerError> {
    let mut found = Vec::new();
    for (name, lens) in mapping.fields.iter().filter(|(_, lens)| lens.flow != Flow::Push) {
        let home = lens.link.as_ref().and_then(|link| link.collection.as_deref());
        let id = theirs.get(name).and_then(linked_id);
        let (Some(home), Some(id)) = (home, id) else { continue };
        let adopts = house.config.mappings.intos(&mapping.connection, home).any(|into| into.adopt);
        let stranger =
            resolve(house, mapping, lens, id).is_none() && house.ledger.raw(&mapping.connection, home, id)?.is_none();
        if adopts && stranger {
            found.push((name.clone(), connectors::Key::new(home, id)));
        }
    }
    Ok(found)
}

//! What a write brought, put into the books: one transaction a record.

use chrono::{DateTime, TimeDelta, Utc};
use connectors::{Edit, Receipt, Record, Sink};
use serde_json::{Map, Value};

use super::follow::rank;
use super::plan::{Planned, Task};
use crate::house::{Connection, House};
use crate::ledger::{
    Base, Dead, Entry, FieldBase, Input, LedgerError, Letter, Link, LinkState, Tx, Via, Was, What, When, sync_lane,
};
use crate::mapping::{Flow, IntoMapping};
use crate::schema::Entity;
use connectors::FieldKind;

/// The vendor has it.
pub(super) fn stored(
    house: &House,
    connection: &Connection,
    sink: &dyn Sink,
    tx: &mut Tx<'_>,
    planned: &Planned,
    receipt: &Receipt,
) -> Result<(), LedgerError> {
    let name = &connection.name;
    let Some(mapping) = house.config.mappings.into_for(name, &planned.collection, planned.kind) else { return Ok(()) };
    let now = house.now();
    let creates = matches!(planned.task, Task::Create { .. });
    let mut base = tx.base(planned.entity, name, &planned.collection)?;
    let found = creates && !receipt.created;
    settle_fields(house, sink, mapping, planned, receipt, found, &mut base, now);
    base.written_at = Some(now);
    base.version = receipt.version.map(|version| version.0).or(base.version);
    for (field, why) in &receipt.skipped {
        base.owed.insert(field.clone(), why.clone());
        let what = format!("{}.{field} is left out: {why}", planned.collection);
        tx.raise(name, &format!("skips {}.{field}", planned.collection), &what, false, now)?;
    }
    let anew = creates && try_anew(house, name, planned, &mut base)?;
    let before = tx.link(planned.entity, name, &planned.collection)?;
    let link = Link {
        id: receipt.id.clone(),
        url: receipt.url.clone().or_else(|| before.as_ref().and_then(|link| link.url.clone())),
        state: LinkState::Live,
        generation: before.as_ref().map_or(0, |link| link.generation),
        since: before.as_ref().map_or(now, |link| link.since),
    };
    if before.as_ref() != Some(&link) {
        tx.put_link(planned.entity, name, &planned.collection, &link)?;
    }
    tx.put_base(planned.entity, name, &planned.collection, &base)?;
    tx.drop_effect(planned.entity, name, &planned.collection);
    tx.forget_seen(name, &planned.collection, &receipt.id);
    tx.finish(&sync_lane(name), &planned.claim.item, planned.claim.slot.stamp, now)?;
    if anew {
        let rank = rank(house, name, &planned.collection, planned.kind);
        tx.queue(&sync_lane(name), rank, &planned.claim.item, When::Now, now)?;
    }
    tx.resurrected(Letter::Sync { collection: planned.collection.clone(), entity: planned.entity }.number(name)?)?;
    log(tx, planned, name, receipt, creates, now)?;
    if creates {
        take_up(tx, name, &planned.collection, &receipt.id)?;
    }
    if found || !receipt.replaced.is_empty() {
        look_closer(name, tx, planned, &base, receipt, now)?;
    }
    // An address that changes (a title may be part of it) is shown elsewhere.
    if creates || before.is_some_and(|before| before.url != link.url) {
        linked(house, tx, planned)?;
    }
    Ok(())
}

/// Each written field: what it means here, what it is there.
#[expect(clippy::too_many_arguments, reason = "it is the middle of `stored`")]
fn settle_fields(
    house: &House,
    sink: &dyn Sink,
    mapping: &IntoMapping,
    planned: &Planned,
    receipt: &Receipt,
    found: bool,
    base: &mut Base,
    now: DateTime<Utc>,
) {
    let Some(write) = planned.write() else { return };
    let stale = now + TimeDelta::seconds(house.config.sync.stale_read_seconds.into());
    let tags = write.tags.keys().map(|name| (name, planned.desired.get(name).cloned().unwrap_or_default()));
    let sent: Vec<(&String, Value)> =
        write.fields.iter().map(|(name, value)| (name, value.clone())).chain(tags).collect();
    for (name, value) in sent {
        if receipt.skipped.contains_key(name) {
            continue;
        }
        let is_tags = mapping.fields.get(name).is_some_and(|lens| lens.kind == FieldKind::Tags);
        // What was there already (`found`) may have been edited since: what we sent is what was agreed, and a look at
        // the record tells the rest.
        let theirs = match receipt.fields.get(name) {
            Some(stored) if !found && !is_tags => sink.canonical(&planned.collection, name, stored.clone()),
            _ if is_tags => {
                if value.as_array().is_some_and(Vec::is_empty) {
                    Value::Null
                } else {
                    value
                }
            }
            _ => value,
        };
        let before = base.fields.get(name).map(|field| field.theirs.clone());
        let was = before.filter(|before| *before != theirs).map(|theirs| Was { theirs, until: stale });
        let ours = planned.desired.get(name).cloned().unwrap_or_default();
        base.fields.insert(name.clone(), FieldBase { ours, theirs, was, ..FieldBase::default() });
        base.owed.remove(name);
        base.refused.remove(name);
    }
    // Fields that would have stored the same were not sent; they are agreed all the same.
    for (name, ours) in &planned.desired {
        if let Some(field) = base.fields.get_mut(name)
            && !field.held
            && !write.fields.contains_key(name)
            && !write.tags.contains_key(name)
        {
            field.ours = ours.clone();
            field.restore = false;
        }
    }
    // Fields that only come from there: what they are now is where we start from.
    for (name, ours) in &planned.pulled {
        if let (Some(theirs), Some(lens)) = (receipt.fields.get(name), mapping.fields.get(name))
            && !base.fields.contains_key(name)
            && lens.flow == Flow::Pull
        {
            let theirs = lens.settled(sink.canonical(&planned.collection, name, theirs.clone()));
            base.fields.insert(name.clone(), FieldBase { ours: ours.clone(), theirs, found, ..FieldBase::default() });
        }
    }
}

/// A record came to be linked without a receipt: what it holds in the fields that only come from there is where we start
/// from, and no edit. Its own history may say that somebody put it there.
pub(crate) fn start_from(mapping: &IntoMapping, sink: &dyn Sink, entity: &Entity, record: &Record, base: &mut Base) {
    let value = entity.to_value();
    for (name, lens) in mapping.fields.iter().filter(|(_, lens)| lens.flow == Flow::Pull) {
        let (Some(path), Some(theirs)) = (&lens.path, record.body.as_ref().and_then(|body| body.get(name))) else {
            continue;
        };
        if base.fields.contains_key(name) {
            continue;
        }
        let ours = path.get(&value).clone();
        let theirs = lens.settled(sink.canonical(&mapping.collection, name, theirs.clone()));
        base.fields.insert(name.clone(), FieldBase { ours, theirs, found: true, ..FieldBase::default() });
    }
}

/// What was said of the record before it was known to be ours is merged now.
fn take_up(tx: &mut Tx<'_>, name: &str, collection: &str, id: &str) -> Result<(), LedgerError> {
    match tx.take_parked(name, &connectors::Key::new(collection, id))? {
        Some(kept) => tx.reingest(&kept),
        None => Ok(()),
    }
}

fn log(
    tx: &mut Tx<'_>,
    planned: &Planned,
    by: &str,
    receipt: &Receipt,
    creates: bool,
    at: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let Some(write) = planned.write() else { return Ok(()) };
    let names: Vec<&str> = write.fields.keys().chain(write.tags.keys()).map(String::as_str).collect();
    let entry = Entry {
        at,
        by: by.into(),
        what: if creates { What::Linked } else { What::Written },
        field: Some(planned.collection.clone()),
        old: None,
        new: Some(if creates { Value::from(receipt.id.as_str()) } else { Value::Object(write.fields.clone()) }),
        note: Some(names.join(", ")),
    };
    tx.log(planned.entity, &entry)
}

/// Something stood there that we had not seen: hand it to the merge as a look, with what was replaced as history.
fn look_closer(
    name: &str,
    tx: &mut Tx<'_>,
    planned: &Planned,
    base: &Base,
    receipt: &Receipt,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let mut body: Map<String, Value> =
        base.fields.iter().map(|(field, base)| (field.clone(), base.theirs.clone())).collect();
    body.extend(receipt.fields.clone());
    let edits = receipt
        .replaced
        .iter()
        .filter(|(field, value)| planned.base.fields.get(*field).is_some_and(|base| base.theirs != **value))
        .map(|(field, value)| Edit { field: field.clone(), value: value.clone(), at: None, overwritten: true })
        .collect::<Vec<_>>();
    if edits.is_empty() && receipt.created {
        return Ok(());
    }
    let record = Record {
        key: connectors::Key::new(&planned.collection, &receipt.id),
        version: receipt.version,
        body: Some(Value::Object(body)),
        url: receipt.url.clone(),
        edits,
    };
    tx.reingest(&Input { connection: name.to_owned(), record, via: Via::Fence, seen_at: now })
}

/// A record has come to be.
fn linked(house: &House, tx: &mut Tx<'_>, planned: &Planned) -> Result<(), LedgerError> {
    match tx.entity(planned.entity)? {
        Some(entity) => super::follow::linked(house, tx, &entity),
        None => Ok(()),
    }
}

/// The vendor was asked whether an uncertain create happened.
pub(super) fn found(
    house: &House,
    connection: &Connection,
    sink: &dyn Sink,
    tx: &mut Tx<'_>,
    planned: &Planned,
    record: Option<&Record>,
    seen_at: DateTime<Utc>,
) -> Result<(), LedgerError> {
    let name = &connection.name;
    let now = house.now();
    let Task::Find { effect } = &planned.task else { return Ok(()) };
    tx.drop_effect(planned.entity, name, &planned.collection);
    let Some(record) = record.filter(|record| record.body.is_some()) else {
        // It did not happen: make it, in the next step. Of one that lives on in another none is made; so a replica that lags
        // must not be believed, or a record would be left there that nobody knows.
        let merged = tx
            .entity(planned.entity)?
            .is_some_and(|entity| entity.as_customer().is_some_and(crate::schema::Customer::is_merged));
        let sure = effect.at + TimeDelta::seconds(house.config.sync.stale_read_seconds.into());
        if merged && now < sure {
            tx.put_effect(planned.entity, name, &planned.collection, effect)?;
            let again = (now + TimeDelta::seconds(10)).min(sure);
            tx.requeue(&sync_lane(name), &planned.claim.item, |slot| slot.due = again)?;
        }
        return Ok(());
    };
    let generation = tx.link(planned.entity, name, &planned.collection)?.map_or(0, |link| link.generation);
    let link =
        Link { id: record.key.id.clone(), url: record.url.clone(), state: LinkState::Live, generation, since: now };
    tx.put_link(planned.entity, name, &planned.collection, &link)?;
    // What we sent is what was agreed; what stands there now may differ by an edit, and the merge sees to that.
    let mut base = Base { written_at: Some(effect.at), ..Base::default() };
    for (field, ours) in &effect.ours {
        let theirs = effect.write.fields.get(field).cloned().unwrap_or_else(|| ours.clone());
        base.fields.insert(field.clone(), FieldBase { ours: ours.clone(), theirs, ..FieldBase::default() });
    }
    let mapping = house.config.mappings.into_for(name, &planned.collection, planned.kind);
    if let (Some(mapping), Some(entity)) = (mapping, tx.entity(planned.entity)?) {
        start_from(mapping, sink, &entity, record, &mut base);
    }
    tx.put_base(planned.entity, name, &planned.collection, &base)?;
    tx.log(
        planned.entity,
        &Entry {
            at: now,
            by: name.clone(),
            what: What::Linked,
            field: Some(planned.collection.clone()),
            old: None,
            new: Some(Value::from(record.key.id.as_str())),
            note: Some("found after an uncertain write".into()),
        },
    )?;
    let mut look = Input { connection: name.clone(), record: record.clone(), via: Via::Fence, seen_at };
    let kept = tx.take_parked(name, &record.key)?;
    let newer = kept.filter(|kept| {
        let edits = kept.record.edits.iter().filter(|edit| !record.edits.contains(edit));
        look.record.edits.extend(edits.cloned());
        kept.seen_at > seen_at || kept.record.version > record.version
    });
    tx.reingest(&look)?;
    // Of one that is older, only what its history told is news.
    newer.map_or(Ok(()), |kept| tx.reingest(&kept))?;
    linked(house, tx, planned)
}

/// The outcome of an update is being read back.
pub(super) fn settling(
    connection: &Connection,
    tx: &mut Tx<'_>,
    planned: &Planned,
    seen_at: DateTime<Utc>,
) -> Result<(), LedgerError> {
    if let Some(mut effect) = tx.effect(planned.entity, &connection.name, &planned.collection)? {
        effect.settling = true;
        effect.at = seen_at;
        tx.put_effect(planned.entity, &connection.name, &planned.collection, &effect)?;
    }
    Ok(())
}

/// A select that lacks an option costs the cell, and not the row: the field is left out, told, and owed until the binding
/// changes (the option is there) or another value is due. An empty cell says nothing, and what a person puts there counts,
/// so this is as safe for a field that both sides keep. `false`: it is of another kind, and the row cannot pass.
pub(super) fn left_out(
    house: &House,
    connection: &Connection,
    tx: &mut Tx<'_>,
    planned: &Planned,
    why: &str,
    field: &str,
) -> Result<bool, LedgerError> {
    let name = &connection.name;
    let mapping = house.config.mappings.into_for(name, &planned.collection, planned.kind);
    let kind = mapping.and_then(|mapping| mapping.fields.get(field)).map(|lens| lens.kind);
    let is_select = matches!(kind, Some(FieldKind::Select | FieldKind::MultiSelect));
    let sent = planned.write().is_some_and(|write| write.fields.contains_key(field));
    let Some(value) = planned.desired.get(field).filter(|_| is_select && sent) else { return Ok(false) };
    let mut base = tx.base(planned.entity, name, &planned.collection)?;
    if base.refused.get(field) == Some(value) {
        return Ok(false);
    }
    base.owed.insert(field.to_owned(), why.to_owned());
    base.refused.insert(field.to_owned(), value.clone());
    tx.put_base(planned.entity, name, &planned.collection, &base)?;
    let what = format!("{}.{field} is left out: {why}", planned.collection);
    tx.raise(name, &format!("skips {}.{field}", planned.collection), &what, false, house.now())?;
    tx.drop_effect(planned.entity, name, &planned.collection);
    let now = house.now();
    tx.requeue(&sync_lane(name), &planned.claim.item, |slot| slot.due = now)?;
    Ok(true)
}

/// The binding changed between the refusal of a field and its record's creation: no link led to what was owed then, so it
/// is tried once more. (While the condition stands, the binding is the one that refused it.)
fn try_anew(house: &House, name: &str, planned: &Planned, base: &mut Base) -> Result<bool, LedgerError> {
    let mut anew = false;
    for field in base.refused.keys().cloned().collect::<Vec<_>>() {
        if house.ledger.condition(name, &format!("skips {}.{field}", planned.collection))?.is_none() {
            base.refused.remove(&field);
            base.owed.remove(&field);
            anew = true;
        }
    }
    Ok(anew)
}

/// It will never pass as it is.
pub(super) fn rejected(
    house: &House,
    connection: &Connection,
    tx: &mut Tx<'_>,
    planned: &Planned,
    why: &str,
    field: Option<&str>,
) -> Result<(), LedgerError> {
    let name = &connection.name;
    let mapping = house.config.mappings.into_for(name, &planned.collection, planned.kind).map(IntoMapping::digest);
    tracing::warn!(entity = %planned.entity, connection = %name, field, "a record of {} was rejected: dead letter", planned.collection);
    tx.bury(&Dead {
        at: house.now(),
        room: "sync".into(),
        connection: name.clone(),
        key: planned.target().map(|id| connectors::Key::new(&planned.collection, id)),
        entity: Some(planned.entity),
        field: field.map(str::to_owned),
        cause: why.to_owned(),
        letter: Letter::Sync { collection: planned.collection.clone(), entity: planned.entity },
        mapping,
    })?;
    tx.drop_effect(planned.entity, name, &planned.collection);
    tx.finish(&sync_lane(name), &planned.claim.item, planned.claim.slot.stamp, house.now())
}

/// The record was deleted there while we were about to write to it.
pub(super) fn vanished(
    house: &House,
    connection: &Connection,
    tx: &mut Tx<'_>,
    planned: &Planned,
) -> Result<(), LedgerError> {
    let name = &connection.name;
    tx.finish(&sync_lane(name), &planned.claim.item, planned.claim.slot.stamp, house.now())?;
    if let (Some(entity), Some(link)) =
        (tx.entity(planned.entity)?, tx.link(planned.entity, name, &planned.collection)?)
    {
        super::gone(house, tx, &entity, name, &planned.collection, link)?;
    }
    tx.drop_effect(planned.entity, name, &planned.collection);
    Ok(())
}

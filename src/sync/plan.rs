//! What is to be done about one queued record: nothing, look for it, read it, create it, or update it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use connectors::{CollectionSpec, FieldKind, Fields, Record, Sink, TagChange, Write};
use serde_json::{Map, Value};

use super::desired::{DesireError, Desired, desired, difference};
use super::follow::{item, read_item};
use crate::house::{Connection, House};
use crate::ledger::{Base, Claim, Dead, Effect, LedgerError, Letter, Link, LinkState, sync_lane};
use crate::mapping::IntoMapping;
use crate::schema::{EntityId, EntityKind};
use crate::view::view;

/// For so long a customer's record lets those go first that are to give up what it takes: two might wait for each other.
const IN_ORDER: TimeDelta = TimeDelta::minutes(10);

/// A record that needs a vendor call.
#[derive(Debug)]
pub struct Planned {
    pub claim: Claim,
    pub entity: EntityId,
    pub kind: EntityKind,
    pub collection: String,
    pub base: Base,
    pub link: Option<Link>,
    /// The outside id in the books, of a record that is to be made anew too.
    pub known: Option<String>,
    /// The external id of the record.
    pub named: String,
    pub task: Task,
    /// Should-be of every field, for the base once it is stored.
    pub desired: BTreeMap<String, Value>,
    /// The field that holds our id; only loopd writes it.
    pub key: Option<String>,
    /// Of fields that are only pulled: what the entity holds now.
    pub pulled: BTreeMap<String, Value>,
}

/// The vendor call that a record needs next.
#[derive(Debug)]
pub enum Task {
    /// A create whose outcome is not in the books.
    Find {
        effect: Box<Effect>,
    },
    /// An update whose outcome is not in the books.
    Read,
    Create {
        write: Box<Write>,
    },
    Update {
        write: Box<Write>,
    },
}

impl Planned {
    /// One vendor call can take both.
    pub fn goes_with(&self, other: &Self) -> bool {
        self.collection == other.collection
            && self.claim.slot.split == other.claim.slot.split
            && std::mem::discriminant(&self.task) == std::mem::discriminant(&other.task)
    }

    pub fn target(&self) -> Option<&str> {
        self.link.as_ref().map(|link| link.id.as_str())
    }

    pub fn write(&self) -> Option<&Write> {
        match &self.task {
            Task::Create { write } | Task::Update { write } => Some(write),
            Task::Find { .. } | Task::Read => None,
        }
    }

    pub fn external_id(&self) -> String {
        match &self.task {
            Task::Find { effect } => effect.write.external_id.clone(),
            Task::Create { write } | Task::Update { write } => write.external_id.clone(),
            Task::Read => self.named.clone(),
        }
    }

    pub fn effect(&self, now: DateTime<Utc>) -> Effect {
        let write = self.write().cloned().unwrap_or_else(|| Write {
            external_id: self.named.clone(),
            target: None,
            fields: Map::new(),
            tags: BTreeMap::new(),
        });
        let ours = write
            .fields
            .keys()
            .chain(write.tags.keys())
            .filter_map(|name| Some((name.clone(), self.desired.get(name)?.clone())))
            .collect();
        Effect { write, ours, at: now, settling: false }
    }

    /// Whether the fields about to be written still stand there as both sides agreed.
    pub fn stands_as_agreed(&self, sink: &dyn Sink, record: &Record) -> bool {
        let Some(theirs) = record.body.as_ref().and_then(Value::as_object) else { return false };
        let Some(write) = self.write() else { return false };
        // A column that is gone, or hidden from us, shows nothing that could be lost, and is left out of the write. The rest of
        // the record must not wait for it.
        let lacks = sink.lacks(&self.collection);
        let compared = |name: &String| self.key.as_ref() != Some(name) && !lacks.contains(name);
        write.fields.iter().filter(|(name, _)| compared(name)).all(|(name, wanted)| {
            let seen = sink.canonical(&self.collection, name, theirs.get(name).cloned().unwrap_or_default());
            // What is there already cannot be lost.
            seen == *wanted || seen == self.base.fields.get(name).map(|field| field.theirs.clone()).unwrap_or_default()
        })
    }
}

/// Looks at a queued record. `None`: there is nothing to do, and it is out of the queue (or put off).
pub fn plan(house: &House, connection: &Connection, claim: Claim) -> Result<Option<Planned>, LedgerError> {
    let name = &connection.name;
    let lane = sync_lane(name);
    let now = house.now();
    let finish =
        |claim: &Claim| house.ledger.transact(|tx| tx.finish(&lane, &claim.item, claim.slot.stamp, now)).map(|()| None);
    let Some((id, collection)) = read_item(&claim.item) else { return finish(&claim) };
    let Some(entity) = house.ledger.entity(id)? else { return finish(&claim) };
    let Some(mapping) = house.config.mappings.into_for(name, &collection, entity.kind()) else { return finish(&claim) };
    let Some(spec) = connection.collection(&collection) else {
        // The plan of that account does not have it (Linear customers): said once, and left out.
        let what = format!(
            "{name} has no {collection} (not in this account's plan, or not configured): its routes are left out"
        );
        if house.ledger.condition(name, &format!("no {collection}"))?.is_none() {
            tracing::warn!(connection = %name, "{what}");
            house.ledger.transact(|tx| tx.raise(name, &format!("no {collection}"), &what, false, now))?;
        }
        return finish(&claim);
    };
    let known = house.ledger.link(id, name, &collection)?;
    let generation = known.as_ref().map_or(0, |link| link.generation);
    let known_id = known.as_ref().map(|link| link.id.clone());
    let link = known.filter(|link| !matches!(link.state, LinkState::Anew { .. }));
    if link.as_ref().is_some_and(|link| !link.is_live()) {
        return finish(&claim);
    }
    let base = house.ledger.base(id, name, &collection)?.unwrap_or_default();
    let sink = connection.connector.sink();
    let mut planned = Planned {
        claim,
        entity: id,
        kind: entity.kind(),
        collection: collection.clone(),
        base,
        link,
        known: known_id,
        named: name_of(mapping, &spec, id, generation),
        task: Task::Read,
        desired: BTreeMap::new(),
        key: mapping.key.clone(),
        pulled: BTreeMap::new(),
    };
    let effect = house.ledger.effect(id, name, &collection)?;
    if let Some(effect) = effect {
        if effect.settling && now - effect.at < TimeDelta::minutes(1) {
            // Normalize has the look that closes it.
            let again = now + TimeDelta::milliseconds(250);
            house.ledger.transact(|tx| tx.requeue(&lane, &planned.claim.item, |slot| slot.due = again))?;
            return Ok(None);
        }
        if planned.link.is_none() {
            planned.task = Task::Find { effect: Box::new(effect) };
        }
        return Ok(Some(planned));
    }
    let view = view(&house.ledger, &entity, now)?;
    let wanted = takes(house, name, &collection, entity.kind(), &view)
        .map_err(DesireError::from)
        .and_then(|takes| Ok((takes, desired(house, mapping, &entity, &view)?)));
    let (takes, wanted) = match wanted {
        Ok(wanted) => wanted,
        Err(DesireError::Ledger(error)) => return Err(error),
        Err(DesireError::Map(error)) => {
            bury(house, name, &planned, mapping, &error.to_string(), Some(&error.field))?;
            return finish(&planned.claim);
        }
    };
    let create = planned.link.is_none();
    // Who lives on in another needs no record of its own; one that it has is kept.
    let merged = entity.as_customer().is_some_and(crate::schema::Customer::is_merged);
    if create && (merged || !takes || !spec.creatable || waits_for_itself(&wanted, id)) {
        return finish(&planned.claim);
    }
    if create && let Some(due) = waits_for_others(house, name, &lane, &wanted)? {
        let again = due.max(now) + TimeDelta::seconds(1);
        house.ledger.transact(|tx| tx.requeue(&lane, &planned.claim.item, |slot| slot.due = again))?;
        return Ok(None);
    }
    if now - planned.claim.slot.since < IN_ORDER
        && let Some(due) =
            crate::customers::goes_after(house, &entity, (name, &collection), &wanted.fields, &planned.base)?
    {
        let again = due.max(now) + TimeDelta::seconds(1);
        house.ledger.transact(|tx| tx.requeue(&lane, &planned.claim.item, |slot| slot.due = again))?;
        return Ok(None);
    }
    let value = entity.to_value();
    planned.pulled = mapping
        .fields
        .iter()
        .filter(|(_, lens)| lens.flow == crate::mapping::Flow::Pull)
        .filter_map(|(name, lens)| Some((name.clone(), lens.path.as_ref()?.get(&value).clone())))
        .collect();
    let changed = difference(mapping, &wanted, &planned.base);
    let Some(sink) = sink else { return finish(&planned.claim) };
    let mut write = write(sink, mapping, &planned, &wanted, changed.iter());
    planned.desired = wanted.fields;
    if let (Some(key), false, None) = (&mapping.key, create, planned.base.written_at) {
        // A row that people made does not carry our id yet.
        let id = Value::from(write.external_id.as_str());
        if planned.base.fields.get(key).is_none_or(|field| field.theirs != id)
            && !matches!(spec.fields, Fields::Fixed(_))
        {
            planned.desired.insert(key.clone(), id.clone());
            write.fields.insert(key.clone(), id);
        }
    }
    if !create && write.fields.is_empty() && write.tags.is_empty() {
        // Nothing to say there; but what we agreed on may be worded anew.
        agree(house, name, &planned, &changed)?;
        return finish(&planned.claim);
    }
    planned.task =
        if create { Task::Create { write: Box::new(write) } } else { Task::Update { write: Box::new(write) } };
    Ok(Some(planned))
}

/// Some route sends entities like this one there.
fn takes(
    house: &House,
    connection: &str,
    collection: &str,
    kind: EntityKind,
    view: &Value,
) -> Result<bool, crate::mapping::MapError> {
    for route in &house.config.routes {
        if route.entity == kind
            && route.connection == connection
            && route.collection == collection
            && route.takes(view)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What hangs on a record of the same entity that does not exist (an attachment without its issue) is made when that is.
fn waits_for_itself(wanted: &Desired, id: EntityId) -> bool {
    wanted.unresolved.iter().any(|missing| missing.target == id)
}

/// A linked record that is itself still queued is made first; it spares a second write.
/// `Some`: when that is due.
fn waits_for_others(
    house: &House,
    connection: &str,
    lane: &str,
    wanted: &Desired,
) -> Result<Option<DateTime<Utc>>, LedgerError> {
    for missing in &wanted.unresolved {
        let queued = house.ledger.slot(lane, &item(missing.target, &missing.collection))?;
        let spec = house.connections.get(connection).and_then(|open| open.collection(&missing.collection));
        if let (Some(_), Some(slot)) = (spec, queued) {
            return Ok(Some(slot.due));
        }
    }
    Ok(None)
}

/// The write for the changed fields; what would store the same value is left out.
fn write<'a>(
    sink: &dyn Sink,
    mapping: &IntoMapping,
    planned: &Planned,
    wanted: &Desired,
    changed: impl Iterator<Item = &'a String>,
) -> Write {
    let mut write = Write {
        external_id: planned.named.clone(),
        target: planned.target().map(str::to_owned),
        fields: Map::new(),
        tags: BTreeMap::new(),
    };
    for name in changed {
        let Some(value) = wanted.fields.get(name) else { continue };
        let base = planned.base.fields.get(name);
        if mapping.fields.get(name).is_some_and(|lens| lens.kind == FieldKind::Tags) {
            let (want, have) = (members(value), base.map(|base| members(&base.theirs)).unwrap_or_default());
            let change = TagChange {
                add: want.iter().filter(|tag| !have.contains(tag)).cloned().collect(),
                remove: have.iter().filter(|tag| !want.contains(tag)).cloned().collect(),
            };
            if change != TagChange::default() {
                write.tags.insert(name.clone(), change);
            }
            continue;
        }
        let canonical = sink.canonical(&planned.collection, name, value.clone());
        let there = base.map(|base| base.theirs.clone()).unwrap_or_default();
        if canonical != there {
            write.fields.insert(name.clone(), canonical);
        }
    }
    write
}

/// The entity's own id where the record keeps it in a field. Where the record goes by an id that we choose, and cannot
/// have one that was used up: a branch of it. And where the mapping names no key, too: one entity may have several records
/// at one vendor (an issue, an attachment, a customer's need).
fn name_of(mapping: &IntoMapping, spec: &CollectionSpec, id: EntityId, generation: u32) -> String {
    let kept_in_a_field = !matches!(spec.fields, Fields::Fixed(_));
    if mapping.key.is_some() && (generation == 0 || kept_in_a_field) {
        return id.to_string();
    }
    id.branch(&format!("{}.{}", mapping.connection, mapping.collection), generation).to_string()
}

fn members(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Where should-be is worded anew but stores the same, only the base moves.
fn agree(
    house: &House,
    connection: &str,
    planned: &Planned,
    changed: &std::collections::BTreeSet<String>,
) -> Result<(), LedgerError> {
    if changed.is_empty() {
        return Ok(());
    }
    house.ledger.transact(|tx| {
        let mut base = tx.base(planned.entity, connection, &planned.collection)?;
        for name in changed {
            let field = base.fields.entry(name.clone()).or_default();
            field.ours = planned.desired.get(name).cloned().unwrap_or_default();
            field.restore = false;
        }
        tx.put_base(planned.entity, connection, &planned.collection, &base)
    })
}

fn bury(
    house: &House,
    connection: &str,
    planned: &Planned,
    mapping: &IntoMapping,
    cause: &str,
    field: Option<&str>,
) -> Result<(), LedgerError> {
    let dead = Dead {
        at: house.now(),
        room: "sync".into(),
        connection: connection.into(),
        key: None,
        entity: Some(planned.entity),
        field: field.map(str::to_owned),
        cause: cause.into(),
        letter: Letter::Sync { collection: planned.collection.clone(), entity: planned.entity },
        mapping: Some(mapping.digest()),
    };
    house.ledger.transact(|tx| tx.bury(&dead).map(|_| ()))
}

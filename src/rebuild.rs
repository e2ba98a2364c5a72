//! Rebuild: a lost ledger, from what stands at the destinations.
//!
//! Every record that loopd wrote carries its entity's id, and ids are derived from the source record. So what is found
//! becomes entities, links and bases again; when the sources are read anew they meet the same ids, and nothing is
//! created twice.
//!
//! What cannot come back from the destinations: the audit log, what was deleted there (it is made anew), and what only the
//! sources know (threads, titles), until they are read again. Of what people judged of customers comes back which were made
//! one, where a record says so; names that were given or taken, and pairs that are two, do not.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use connectors::{Cursor, Fault, FieldKind, Record, Sink};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::customers;
use crate::house::{Connection, House};
use crate::ledger::{self, Base, FieldBase, GENERATIONS, LedgerError, Link, LinkState, Tree, What};
use crate::mapping::{Flow, IntoMapping, Lens, MapError};
use crate::pause::Pause;
use crate::recognise::name_customer;
use crate::schema::{Entity, EntityId, EntityKind, Path};
use crate::sync::{DesireError, desired};
use crate::view::view;

/// Where a mapping shows who lives on in another: "Lumen Example (CU-7K3Q9X)".
const MERGED_INTO: &str = "derived.merged_into";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    pub entities: BTreeMap<&'static str, u64>,
    pub links: u64,
    /// Customers that live on in others, as their records say.
    pub merged: u64,
    /// Records that were left out: (record, why).
    pub left_out: Vec<(String, String)>,
}

#[derive(Debug, Error)]
pub enum RebuildError {
    #[error(
        "the ledger holds {0} items already: a rebuild begins with an empty one\n  = move the old ledger away first (and keep it), or restore a copy of it"
    )]
    NotEmpty(usize),
    #[error("{connection} cannot be read: {fault}")]
    Vendor { connection: String, fault: Fault },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Map(#[from] MapError),
}

impl From<DesireError> for RebuildError {
    fn from(error: DesireError) -> Self {
        match error {
            DesireError::Map(error) => Self::Map(error),
            DesireError::Ledger(error) => Self::Ledger(error),
        }
    }
}

/// A record of ours, as it stands there.
struct Found<'a> {
    mapping: &'a IntoMapping,
    id: EntityId,
    generation: u32,
    record: Record,
}

/// Reads all destinations. `tell` hears how many records were found.
///
/// # Errors
/// A ledger that is not empty, or a destination that cannot be read: then nothing was written.
pub async fn rebuild(
    house: &House,
    pause: &dyn Pause,
    tell: &mut (dyn FnMut(u64) + Send),
) -> Result<Rebuilt, RebuildError> {
    let held = house.ledger.count(Tree::Entities)?;
    if held > 0 {
        return Err(RebuildError::NotEmpty(held));
    }
    let mut listed: BTreeMap<(&str, &str), Vec<(String, Record)>> = BTreeMap::new();
    for connection in house.connections.values().filter(|connection| connection.connector.sink().is_some()) {
        let of_it = || house.config.mappings.into.iter().filter(|mapping| mapping.connection == connection.name);
        if of_it().next().is_none() {
            continue;
        }
        attach(house, connection, pause).await?;
        for mapping in
            of_it().filter(|mapping| connection.collection(&mapping.collection).is_some_and(|spec| spec.creatable))
        {
            let place = (mapping.connection.as_str(), mapping.collection.as_str());
            if let Entry::Vacant(vacant) = listed.entry(place) {
                vacant.insert(list(connection, &mapping.collection, pause, tell).await?);
            }
        }
    }
    let mut rebuilt = Rebuilt::default();
    let found = recognise(house, &listed, &mut rebuilt);
    let entities = draw(house, &found, &mut rebuilt)?;
    store(house, &found, &entities, &mut rebuilt)?;
    house.ledger.durable()?;
    Ok(rebuilt)
}

/// Repeats a call while the quota says later.
async fn patiently<T, F: Future<Output = Result<T, Fault>>>(
    connection: &Connection,
    pause: &dyn Pause,
    call: impl Fn() -> F,
) -> Result<T, RebuildError> {
    const TRIES: u32 = 300;
    let mut tries = 0;
    loop {
        let fault = match call().await {
            Ok(answer) => return Ok(answer),
            Err(fault) => fault,
        };
        let wait = match &fault {
            Fault::Later { after: Some(after), .. } => *after,
            Fault::Later { after: None, .. } | Fault::Unknown { .. } => std::time::Duration::from_secs(1),
            Fault::Rejected { .. } | Fault::Locked { .. } => std::time::Duration::MAX,
        };
        tries += 1;
        if wait == std::time::Duration::MAX || tries > TRIES {
            return Err(RebuildError::Vendor { connection: connection.name.clone(), fault });
        }
        pause.pause(wait).await;
    }
}

async fn attach(house: &House, connection: &Connection, pause: &dyn Pause) -> Result<(), RebuildError> {
    let shape = house.config.mappings.shape(&connection.name);
    let callback = connection.callback.as_deref().filter(|_| connection.webhook);
    let known = house.ledger.binding(&connection.name)?;
    let binding =
        patiently(connection, pause, || connection.connector.attach(&shape, callback, known.as_ref())).await?;
    house.ledger.transact(|tx| tx.set_binding(&connection.name, &binding))?;
    connection.set_attached(true);
    Ok(())
}

async fn list(
    connection: &Connection,
    collection: &str,
    pause: &dyn Pause,
    tell: &mut (dyn FnMut(u64) + Send),
) -> Result<Vec<(String, Record)>, RebuildError> {
    let Some(sink) = connection.connector.sink() else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let (page, next) = patiently(connection, pause, || sink.list(collection, after.as_ref())).await?;
        tell(page.len() as u64);
        records.extend(page);
        match next {
            Some(next) => after = Some(next),
            None => return Ok(records),
        }
    }
}

/// Whose record each is.
fn recognise<'a>(
    house: &'a House,
    listed: &BTreeMap<(&str, &str), Vec<(String, Record)>>,
    rebuilt: &mut Rebuilt,
) -> Vec<Found<'a>> {
    let mut found: Vec<Found<'a>> = Vec::new();
    let mut taken: BTreeSet<(EntityId, &str, &str)> = BTreeSet::new();
    let mut keyed: Vec<&IntoMapping> =
        house.config.mappings.into.iter().filter(|mapping| mapping.key.is_some()).collect();
    keyed.sort_by_key(|mapping| mapping.entity.rank());
    let mut known: BTreeSet<(EntityId, EntityKind)> = BTreeSet::new();
    for mapping in &keyed {
        known.extend(
            of(listed, mapping).iter().filter_map(|(external, _)| Some((external.parse().ok()?, mapping.entity))),
        );
    }
    for mapping in keyed {
        let place = (mapping.connection.as_str(), mapping.collection.as_str());
        // A record that was made anew may go by an id that follows from the entity's.
        let made_anew = generations(known.iter().filter(|(_, kind)| *kind == mapping.entity), mapping, 1);
        let mut records: Vec<(EntityId, u32, &Record)> = Vec::new();
        for (external, record) in of(listed, mapping) {
            match external.parse::<EntityId>() {
                Err(_) => rebuilt.left_out.push((name_of(mapping, record), "its id is none that loopd gives".into())),
                Ok(id) => {
                    let (id, generation) = made_anew.get(&id).copied().unwrap_or((id, 0));
                    records.push((id, generation, record));
                }
            }
        }
        // The newest first.
        records.sort_by_key(|(_, generation, _)| std::cmp::Reverse(*generation));
        for (id, generation, record) in records {
            if taken.insert((id, place.0, place.1)) {
                found.push(Found { mapping, id, generation, record: record.clone() });
            } else {
                rebuilt.left_out.push((name_of(mapping, record), "another record carries the same id".into()));
            }
        }
    }
    let entities: Vec<(EntityId, EntityKind)> =
        found.iter().map(|found| (found.id, found.mapping.entity)).collect::<BTreeSet<_>>().into_iter().collect();
    for mapping in house.config.mappings.into.iter().filter(|mapping| mapping.key.is_none()) {
        let place = (mapping.connection.as_str(), mapping.collection.as_str());
        let Some(records) = listed.get(&place).filter(|records| !records.is_empty()) else { continue };
        // These records go by an id that follows from the entity's; it does not lead back.
        let names = generations(entities.iter().filter(|(_, kind)| *kind == mapping.entity), mapping, 0);
        let mut newest: BTreeMap<EntityId, Found<'a>> = BTreeMap::new();
        for (external, record) in records {
            let named = external.parse().ok().and_then(|external: EntityId| names.get(&external).copied());
            let Some((id, generation)) = named else { continue };
            let one = Found { mapping, id, generation, record: record.clone() };
            if newest.get(&id).is_none_or(|other| other.generation < generation) {
                newest.insert(id, one);
            }
        }
        found.extend(newest.into_values());
    }
    found
}

/// The records that were listed of a mapping's collection.
fn of<'l>(
    listed: &'l BTreeMap<(&'l str, &'l str), Vec<(String, Record)>>,
    mapping: &'l IntoMapping,
) -> &'l [(String, Record)] {
    listed.get(&(mapping.connection.as_str(), mapping.collection.as_str())).map_or(&[], Vec::as_slice)
}

fn name_of(mapping: &IntoMapping, record: &Record) -> String {
    format!("{} {} of {}", mapping.collection, record.key.id, mapping.connection)
}

/// The ids by which records of these entities may go, from a generation on: whose, and the how manyth it is.
fn generations<'e>(
    entities: impl Iterator<Item = &'e (EntityId, EntityKind)>,
    mapping: &IntoMapping,
    from: u32,
) -> BTreeMap<EntityId, (EntityId, u32)> {
    let purpose = format!("{}.{}", mapping.connection, mapping.collection);
    let of = |id: EntityId| (from..GENERATIONS).map(move |generation| (id, generation)).collect::<Vec<_>>();
    let all = entities.flat_map(|(id, _)| of(*id));
    all.map(|(id, generation)| (id.branch(&purpose, generation), (id, generation))).collect()
}

/// The entities, as far as the destinations know them. What the first says stands.
fn draw(house: &House, found: &[Found<'_>], rebuilt: &mut Rebuilt) -> Result<BTreeMap<EntityId, Entity>, RebuildError> {
    let mut entities: BTreeMap<EntityId, Entity> = BTreeMap::new();
    let mut outside: BTreeMap<(&str, &str, &str), EntityId> = BTreeMap::new();
    for one in found {
        entities.entry(one.id).or_insert_with(|| Entity::empty(one.id, one.mapping.entity));
        outside.insert((&one.mapping.connection, &one.mapping.collection, &one.record.key.id), one.id);
    }
    // What only comes from there starts somewhere by itself: it speaks where no record that both sides keep does.
    let mut said: BTreeSet<(EntityId, String)> = BTreeSet::new();
    for (one, pulled) in found.iter().map(|one| (one, false)).chain(found.iter().map(|one| (one, true))) {
        let Some(entity) = entities.get(&one.id).cloned() else { continue };
        if entity.kind() != one.mapping.entity {
            if !pulled {
                let why = format!("its id is that of a {}", entity.kind().name());
                rebuilt.left_out.push((name_of(one.mapping, &one.record), why));
            }
            continue;
        }
        let Some(sink) = sink_of(house, one.mapping) else { continue };
        let mut entity = entity;
        for (name, lens) in one.mapping.fields.iter().filter(|(_, lens)| (lens.flow == Flow::Pull) == pulled) {
            let theirs = seen(sink, one, name);
            let Some(path) = settable(lens).filter(|_| !theirs.is_null()) else { continue };
            let meant = match &lens.link {
                Some(link) => {
                    let first = theirs.as_array().and_then(|ids| ids.first()).and_then(Value::as_str);
                    let named = link.collection.as_deref().zip(first);
                    let named = named
                        .and_then(|(collection, id)| outside.get(&(one.mapping.connection.as_str(), collection, id)));
                    named.map_or(Value::Null, |id| Value::from(id.to_string()))
                }
                None => lens.read_back(&theirs).unwrap_or_default(),
            };
            let mut value = entity.to_value();
            let first = said.insert((one.id, path.dotted()));
            if meant.is_null() || !said_nothing(path, &value, &entity) || (pulled && !first) {
                continue;
            }
            path.set(&mut value, meant);
            // A value that the schema refuses (a day where it has an instant) comes back with its source.
            if let Ok(changed) = Entity::from_value(entity.id, entity.kind(), value) {
                entity = changed;
            }
        }
        entities.insert(one.id, entity);
    }
    Ok(entities)
}

/// Where a field's value stands in the entity, if it stands there as it is.
fn settable(lens: &Lens) -> Option<&Path> {
    match (&lens.link, lens.flow) {
        (Some(link), _) if link.path.dotted() == "id" => None,
        (Some(link), _) => Some(&link.path),
        (None, _) if lens.kind == FieldKind::Tags => None,
        (None, _) => lens.path.as_ref(),
    }
}

fn said_nothing(path: &Path, value: &Value, entity: &Entity) -> bool {
    let blank = Entity::empty(entity.id, entity.kind()).to_value();
    path.get(value) == path.get(&blank)
}

fn sink_of<'h>(house: &'h House, mapping: &IntoMapping) -> Option<&'h dyn Sink> {
    house.connections.get(&mapping.connection)?.connector.sink()
}

fn seen(sink: &dyn Sink, one: &Found<'_>, name: &str) -> Value {
    let raw = one.record.body.as_ref().and_then(|body| body.get(name)).cloned().unwrap_or_default();
    sink.canonical(&one.mapping.collection, name, raw)
}

/// Entities and links first, then the bases: what a record should hold depends on the others.
fn store(
    house: &House,
    found: &[Found<'_>],
    entities: &BTreeMap<EntityId, Entity>,
    rebuilt: &mut Rebuilt,
) -> Result<(), RebuildError> {
    let now = house.now();
    let all: Vec<&Entity> = entities.values().collect();
    for piece in all.chunks(128) {
        house.ledger.transact(|tx| {
            for entity in piece {
                tx.put_entity(entity)?;
                let note = Some("rebuilt from the destinations".to_owned());
                tx.log(
                    entity.id,
                    &ledger::Entry {
                        at: now,
                        by: "rebuild".into(),
                        what: What::Created,
                        field: None,
                        old: None,
                        new: None,
                        note,
                    },
                )?;
                name_customer(house, tx, None, entity)?;
            }
            Ok(())
        })?;
        for entity in piece {
            *rebuilt.entities.entry(entity.kind().name()).or_default() += 1;
        }
    }
    let fitting = |one: &&Found<'_>| entities.get(&one.id).is_some_and(|entity| entity.kind() == one.mapping.entity);
    let ours: Vec<&Found<'_>> = found.iter().filter(fitting).collect();
    for piece in ours.chunks(128) {
        house.ledger.transact(|tx| {
            for one in piece {
                let link = Link {
                    id: one.record.key.id.clone(),
                    url: one.record.url.clone(),
                    state: LinkState::Live,
                    generation: one.generation,
                    since: now,
                };
                tx.put_link(one.id, &one.mapping.connection, &one.mapping.collection, &link)?;
            }
            Ok(())
        })?;
        rebuilt.links += piece.len() as u64;
    }
    // Before the bases: what a record should hold depends on who lives on in another.
    for (keep, lose) in merges(house, &ours, entities) {
        match customers::merge(house, keep, lose, "rebuild")? {
            Ok(_) => rebuilt.merged += 1,
            Err(why) => rebuilt.left_out.push((lose.short(EntityKind::Customer), why)),
        }
    }
    for piece in ours.chunks(128) {
        let mut bases = Vec::new();
        for one in piece {
            if let Some(entity) = house.ledger.entity(one.id)? {
                bases.push((one, base(house, one, &entity)?));
            }
        }
        house.ledger.transact(|tx| {
            bases
                .iter()
                .try_for_each(|(one, base)| tx.put_base(one.id, &one.mapping.connection, &one.mapping.collection, base))
        })?;
    }
    Ok(())
}

/// Customers that somebody had made one: the record of the one that was merged says by its short id in whom it lives.
fn merges(
    house: &House,
    found: &[&Found<'_>],
    entities: &BTreeMap<EntityId, Entity>,
) -> BTreeSet<(EntityId, EntityId)> {
    let customers = entities.values().filter(|entity| entity.kind() == EntityKind::Customer);
    let by_short: BTreeMap<String, EntityId> = customers.map(|entity| (entity.short_id(), entity.id)).collect();
    let mut merges = BTreeSet::new();
    for one in found {
        let Some(sink) = sink_of(house, one.mapping) else { continue };
        let says = one.mapping.fields.iter().filter(|(_, lens)| lens.flow == Flow::Push && lens.speaks_of(MERGED_INTO));
        for (name, _) in says {
            let said = seen(sink, one, name);
            let words = said.as_str().unwrap_or_default().split(['(', ')', ' ']);
            merges.extend(
                words.filter_map(|word| by_short.get(word)).filter(|keep| **keep != one.id).map(|keep| (*keep, one.id)),
            );
        }
    }
    merges
}

/// What both sides are held to have agreed on: what stands there now.
fn base(house: &House, one: &Found<'_>, entity: &Entity) -> Result<Base, RebuildError> {
    let mut base = Base { version: one.record.version.map(|version| version.0), ..Base::default() };
    let Some(sink) = sink_of(house, one.mapping) else { return Ok(base) };
    if let Some(key) = &one.mapping.key {
        let id = Value::from(one.id.to_string());
        base.fields.insert(key.clone(), FieldBase { ours: id.clone(), theirs: id, ..FieldBase::default() });
    }
    let wanted = desired(house, one.mapping, entity, &view(&house.ledger, entity, house.now())?)?;
    let value = entity.to_value();
    for (name, lens) in &one.mapping.fields {
        let theirs = projected(lens, &wanted.fields, name, seen(sink, one, name));
        let ours = match lens.flow {
            Flow::Pull => lens.path.as_ref().map(|path| path.get(&value).clone()).unwrap_or_default(),
            Flow::Push | Flow::Both => wanted.fields.get(name).cloned().unwrap_or_default(),
        };
        // Two records of one item that disagree: nothing is agreed, and the merge decides.
        let disagree = lens.flow == Flow::Both && sink.canonical(&one.mapping.collection, name, ours.clone()) != theirs;
        let nothing = ours.is_null() && theirs.is_null();
        if !disagree && !nothing {
            base.fields.insert(name.clone(), FieldBase { ours, theirs, ..FieldBase::default() });
        }
    }
    Ok(base)
}

/// Of a set that others add to as well, only the members that are ours to speak of.
fn projected(lens: &Lens, wanted: &BTreeMap<String, Value>, name: &str, theirs: Value) -> Value {
    if lens.kind != FieldKind::Tags {
        return theirs;
    }
    let ours: BTreeSet<&str> =
        wanted.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let known = |tag: &str| ours.iter().copied().find(|known| known.to_lowercase() == tag.to_lowercase());
    let members: BTreeSet<&str> =
        theirs.as_array().into_iter().flatten().filter_map(Value::as_str).filter_map(known).collect();
    if members.is_empty() { Value::Null } else { members.into_iter().map(Value::from).collect() }
}

//! Normalize: turns what vendors said into what loopd knows. Inputs are taken in the order in which they came.
//!
//! An input of a collection that is read (`from` mapping) makes or changes an entity; an input of a collection that is
//! written (`into` mapping) is a look at a record of ours and goes to [`crate::sync::observe`]. What cannot pass
//! becomes a dead letter with its cause; the others go on.

mod draw;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::house::{House, Stage, Step, Stop};
use crate::ledger::{Dead, Input, LedgerError, Letter, NORMALIZE, Taken, Tx, Via};
use crate::mapping::IntoMapping;
use crate::schema::EntityId;
use crate::sync::{ObserveError, adopt, observe};

/// Inputs a step.
const BATCH: usize = 32;

pub struct Normalize {
    house: Arc<House>,
}

impl Normalize {
    pub fn new(house: Arc<House>) -> Self {
        Self { house }
    }
}

#[async_trait]
impl Stage for Normalize {
    fn name(&self) -> String {
        "normalize".into()
    }

    fn lane(&self) -> String {
        NORMALIZE.into()
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        let inputs = self.house.ledger.inbox(BATCH)?;
        if inputs.is_empty() {
            return Ok(Step::Idle { until: None });
        }
        for (number, input) in inputs {
            self.house.ledger.transact(|tx| take(&self.house, tx, number, &input))?;
        }
        Ok(Step::Worked)
    }
}

/// Why an input became a dead letter.
struct Refused {
    field: Option<String>,
    cause: String,
    mapping: Option<u64>,
}

enum Failed {
    Refused(Refused),
    Ledger(LedgerError),
}

impl From<LedgerError> for Failed {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// One input, in one transaction: its result, or its dead letter.
fn take(house: &House, tx: &mut Tx<'_>, number: u64, input: &Taken) -> Result<(), LedgerError> {
    tx.taken(number);
    let input = match input {
        Ok(input) => input,
        Err(bytes) => {
            let refused = Refused { field: None, cause: "the inbox row cannot be read".into(), mapping: None };
            return bury(house, tx, "?", Letter::Unreadable { bytes: bytes.clone() }, refused);
        }
    };
    through(house, tx, input)
}

/// Draws a record anew from what is kept of it: the mapping has changed, and not the record.
pub fn redraw(house: &House, tx: &mut Tx<'_>, kept: Input) -> Result<(), LedgerError> {
    through(house, tx, &Input { via: Via::Replay, ..kept })
}

/// An input as far as it gets: its result, or its dead letter.
fn through(house: &House, tx: &mut Tx<'_>, input: &Input) -> Result<(), LedgerError> {
    let letter = || Letter::Input { input: Box::new(input.clone()) };
    // Nothing of a refused input may stay: try on a copy of the transaction's writes.
    let mark = tx.mark();
    match read(house, tx, input) {
        Ok(()) => {
            keep(tx, input)?;
            tx.resurrected(letter().number(&input.connection)?)
        }
        Err(Failed::Ledger(LedgerError::Corrupt { tree, why })) => {
            // One bad row must not stop everybody.
            tx.back_to(mark);
            let cause = format!("a row of {tree} that it needs cannot be read: {why}; `loopd ledger verify` shows it");
            bury(house, tx, &input.connection, letter(), Refused { field: None, cause, mapping: None })
        }
        Err(Failed::Ledger(error)) => Err(error),
        Err(Failed::Refused(refused)) => {
            tx.back_to(mark);
            keep(tx, input)?;
            bury(house, tx, &input.connection, letter(), refused)
        }
    }
}

/// Of what was said, not of our own looks, and not of what is kept already.
fn keep(tx: &mut Tx<'_>, input: &Input) -> Result<(), LedgerError> {
    if matches!(input.via, Via::Fence | Via::Replay) { Ok(()) } else { tx.keep_raw(input) }
}

fn bury(house: &House, tx: &mut Tx<'_>, connection: &str, letter: Letter, refused: Refused) -> Result<(), LedgerError> {
    let key = match &letter {
        Letter::Input { input } => Some(input.record.key.clone()),
        _ => None,
    };
    tracing::warn!(connection, field = refused.field, "an input was refused: dead letter");
    tx.bury(&Dead {
        at: house.now(),
        room: "normalize".into(),
        connection: connection.into(),
        key,
        entity: None,
        field: refused.field,
        cause: refused.cause,
        letter,
        mapping: refused.mapping,
    })?;
    Ok(())
}

fn read(house: &House, tx: &mut Tx<'_>, input: &Input) -> Result<(), Failed> {
    let (connection, collection) = (&input.connection, &input.record.key.collection);
    let mappings = &house.config.mappings;
    // A record may be both: a GitHub issue is read, and carries labels that loopd writes. A look that the sync room
    // took has the flat form of written fields, so it is no source.
    let written = mappings.intos(connection, collection).next().is_some();
    if let Some(mapping) = mappings.from_for(connection, collection)
        && !(written && input.via == Via::Fence)
    {
        draw::draw(house, tx, mapping, input)?;
        return Ok(());
    }
    if !written {
        // No mapping speaks of it (any more).
        return Ok(());
    }
    let Some(id) = owner(house, tx, input)? else {
        if input.record.body.is_none() {
            tx.clear(connection, &format!("twice {collection} {}", input.record.key.id))?;
        }
        for mapping in mappings.intos(connection, collection) {
            if mapping.adopt && input.record.body.is_some() {
                adopt(house, tx, mapping, input).map_err(|error| refuse(error, Some(mapping.digest())))?;
                break;
            }
        }
        return Ok(());
    };
    let Some(entity) = tx.entity(id)? else { return Ok(()) };
    let Some(mapping) = mappings.into_for(connection, collection, entity.kind()) else { return Ok(()) };
    observe(house, tx, mapping, &entity, input).map_err(|error| refuse(error, Some(mapping.digest())))
}

fn refuse(error: ObserveError, mapping: Option<u64>) -> Failed {
    match error {
        ObserveError::Ledger(error) | ObserveError::Desire(crate::sync::DesireError::Ledger(error)) => {
            Failed::Ledger(error)
        }
        ObserveError::Refused { field, cause } => Failed::Refused(Refused { field: Some(field), cause, mapping }),
        ObserveError::Desire(crate::sync::DesireError::Map(error)) => {
            Failed::Refused(Refused { field: Some(error.field.clone()), cause: error.to_string(), mapping })
        }
    }
}

/// Whose record this is: by its link, or by the id that loopd wrote into it.
fn owner(house: &House, tx: &mut Tx<'_>, input: &Input) -> Result<Option<EntityId>, LedgerError> {
    let (connection, collection) = (&input.connection, &input.record.key.collection);
    if let Some(id) = tx.linked(connection, collection, &input.record.key.id)? {
        return Ok(Some(id));
    }
    for mapping in house.config.mappings.intos(connection, collection) {
        let marked = mapping
            .key
            .as_ref()
            .and_then(|key| input.record.body.as_ref()?.get(key)?.as_str()?.parse::<EntityId>().ok())
            .or_else(|| mapping.key.as_ref().and_then(|_| input.record.key.id.parse().ok()));
        let Some(id) = marked else { continue };
        let Some(entity) = tx.entity(id)? else { continue };
        if entity.kind() != mapping.entity {
            continue;
        }
        if tx.effect(id, connection, collection)?.is_some() {
            // Just being written; the sync room puts it into the books.
            return Ok(Some(id));
        }
        if tx.link(id, connection, collection)?.is_some() {
            continue;
        }
        // A record of ours that the ledger had lost sight of.
        let link = crate::ledger::Link {
            id: input.record.key.id.clone(),
            url: input.record.url.clone(),
            state: crate::ledger::LinkState::Live,
            generation: 0,
            since: house.now(),
        };
        tx.put_link(id, connection, collection, &link)?;
        if let Some(sink) = house.connections.get(connection).and_then(|open| open.connector.sink()) {
            let mut base = tx.base(id, connection, collection)?;
            crate::sync::start_from(mapping, sink, &entity, &input.record, &mut base);
            tx.put_base(id, connection, collection, &base)?;
        }
        crate::follow::linked(house, tx, &entity)?;
        return Ok(Some(id));
    }
    Ok(None)
}

/// Looks at dead letters whose mapping, or message template, has changed since, and sends them through again.
pub fn redrive(house: &House) -> Result<usize, LedgerError> {
    let mut redriven = 0;
    for (number, dead) in house.ledger.dead()? {
        let Some(refused_by) = dead.mapping else { continue };
        let now = speak_of(house, &dead)?;
        // The one that refused it is still in force, or none is any more.
        if !now.is_empty() && !now.contains(&refused_by) {
            retry(house, number)?;
            redriven += 1;
        }
    }
    Ok(redriven)
}

/// The mappings, by their digests, that a dead letter's record goes through: any of them may have refused it.
fn speak_of(house: &House, dead: &Dead) -> Result<Vec<u64>, LedgerError> {
    let mappings = &house.config.mappings;
    Ok(match &dead.letter {
        Letter::Input { input } => {
            let (connection, collection) = (&input.connection, &input.record.key.collection);
            let from = mappings.from_for(connection, collection).map(crate::mapping::FromMapping::digest);
            from.into_iter().chain(mappings.intos(connection, collection).map(IntoMapping::digest)).collect()
        }
        Letter::Sync { collection, entity } | Letter::Held { collection, entity, .. } => {
            let kind = house.ledger.entity(*entity)?.map(|entity| entity.kind());
            let into = kind.and_then(|kind| mappings.into_for(&dead.connection, collection, kind));
            into.map(IntoMapping::digest).into_iter().collect()
        }
        Letter::Message { .. } => vec![crate::close::template(house)?],
        Letter::Fetch { .. } | Letter::Unreadable { .. } | Letter::Line { .. } => Vec::new(),
    })
}

/// Sends one dead letter through again. `false`: there is none of that number.
pub fn retry(house: &House, number: u64) -> Result<bool, LedgerError> {
    let now = house.now();
    house.ledger.transact(|tx| {
        let Some(dead) = tx.unbury(number)? else { return Ok(false) };
        match &dead.letter {
            Letter::Input { input } => tx.reingest(input)?,
            Letter::Sync { collection, entity } => {
                if let Some(mut link) = tx.link(*entity, &dead.connection, collection)?
                    && matches!(link.state, crate::ledger::LinkState::Stopped { .. })
                {
                    link.state = crate::ledger::LinkState::Live;
                    tx.put_link(*entity, &dead.connection, collection, &link)?;
                    tx.clear(&dead.connection, &format!("rewrites {collection}"))?;
                }
                if let Some(known) = tx.entity(*entity)? {
                    let rank = crate::sync::rank(house, &dead.connection, collection, known.kind());
                    let lane = crate::ledger::sync_lane(&dead.connection);
                    tx.queue(&lane, rank, &crate::sync::item(*entity, collection), crate::ledger::When::Now, now)?;
                }
            }
            Letter::Held { collection, entity, field } => {
                tx.read_anew(&dead.connection, collection, *entity, field, now)?;
            }
            Letter::Message { id } if tx.message(id)?.is_some() => {
                let lane = crate::ledger::close_lane(&dead.connection);
                tx.queue(&lane, 0, id.as_bytes(), crate::ledger::When::Now, now)?;
            }
            // It could not be written yet.
            Letter::Message { .. } => {
                if let Some(entity) = dead.entity {
                    crate::close::prepare_again(house, tx, entity)?;
                }
            }
            Letter::Fetch { key } => {
                let lane = crate::ledger::fetch_lane(&dead.connection);
                tx.queue(&lane, 0, &crate::ledger::fetch_item(key), crate::ledger::When::Now, now)?;
            }
            Letter::Unreadable { .. } | Letter::Line { .. } => {
                tx.bury(&dead)?;
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// A JSON text, or nothing.
fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

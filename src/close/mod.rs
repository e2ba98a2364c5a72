//! Close: tells the people who asked that it has shipped. A message is prepared when an item ships, and goes out when
//! a person approves it, or where config says so by the connection's name.
//!
//! A message has an id that follows from what it is about, so it is prepared once. Its sending is written down, on
//! disk, before the call; after an uncertain call it is looked for in the thread before it is sent again.

mod text;

use std::sync::Arc;

use async_trait::async_trait;
use connectors::{Fault, Key, Message, MessageKind, Sent};

pub use text::render;

use crate::delay::Delay;
use crate::house::{Connection, House, Stage, Step, Stop};
use crate::ledger::{
    Claim, Dead, Entry, LedgerError, Letter, MessageState, Outgoing, Tx, What, When, close_lane, digest,
};
use crate::schema::{Entity, EntityId, Status};

/// Prepares a message for each thread that the item came from, unless that was done.
pub fn prepare(house: &House, tx: &mut Tx<'_>, entity: &Entity) -> Result<(), LedgerError> {
    let Some(feedback) = entity.as_feedback().filter(|feedback| !feedback.withdrawn) else { return Ok(()) };
    let Some(origin) = &feedback.origin else { return Ok(()) };
    let Some(connection) = house.connections.get(&origin.connection) else { return Ok(()) };
    if connection.connector.messenger().is_none() {
        return Ok(());
    }
    let id = entity.id.branch("shipped", 0).to_string();
    if tx.message(&id)?.is_some() {
        return Ok(());
    }
    let now = house.now();
    let letter = Letter::Message { id: id.clone() };
    let body = match render(house, entity) {
        Ok(body) => {
            tx.clear("close", "template")?;
            body
        }
        Err(why) => {
            // Not lost: it is prepared when the template is another one, or when somebody says so.
            tx.bury(&Dead {
                at: now,
                room: "close".into(),
                connection: origin.connection.clone(),
                key: Some(Key::new(&origin.collection, &origin.id)),
                entity: Some(entity.id),
                field: Some("close.template".into()),
                cause: format!("the message could not be written: {why}. Mend `template` of [close]"),
                letter,
                mapping: Some(template(house)?),
            })?;
            return Ok(());
        }
    };
    let free = house.config.close.send_without_approval.contains(&origin.connection);
    let state = if free { MessageState::Approved { by: "config".into(), at: now } } else { MessageState::Prepared };
    let kind = if house.config.close.note { MessageKind::Note } else { MessageKind::Reply };
    let message = Outgoing {
        entity: entity.id,
        connection: origin.connection.clone(),
        to: Key::new(&origin.collection, &origin.id),
        kind,
        body,
        state,
        prepared: now,
    };
    tx.put_message(&id, &message)?;
    tx.resurrected(letter.number(&origin.connection)?)?;
    tx.log(
        entity.id,
        &line(
            house,
            &origin.connection,
            if free { "prepared, and sent without approval as config says" } else { "prepared; it waits for approval" },
        ),
    )?;
    if free {
        tx.queue(&close_lane(&origin.connection), 0, id.as_bytes(), When::Now, now)?;
    }
    Ok(())
}

/// Prepares what could not be prepared when the item shipped, if it is still shipped.
pub fn prepare_again(house: &House, tx: &mut Tx<'_>, entity: EntityId) -> Result<(), LedgerError> {
    let Some(entity) = tx.entity(entity)? else { return Ok(()) };
    if entity.as_feedback().is_some_and(|feedback| feedback.status == Status::Shipped) {
        prepare(house, tx, &entity)?;
    }
    Ok(())
}

/// The item is not shipped after all: what was prepared, and nobody has approved, is not said. It is prepared anew when it ships.
pub fn take_back(house: &House, tx: &mut Tx<'_>, item: EntityId) -> Result<(), LedgerError> {
    let id = item.branch("shipped", 0).to_string();
    if let Some(message) = tx.message(&id)?.filter(|message| message.state == MessageState::Prepared) {
        tx.forget_message(&id);
        tx.log(item, &line(house, &message.connection, "taken back: the item is not shipped after all"))?;
    }
    Ok(())
}

/// Digest of the template: a message that another one could not write is tried again.
pub fn template(house: &House) -> Result<u64, LedgerError> {
    digest(&house.config.close.template)
}

fn line(house: &House, by: &str, note: &str) -> Entry {
    Entry {
        at: house.now(),
        by: by.into(),
        what: What::Message,
        field: None,
        old: None,
        new: None,
        note: Some(note.into()),
    }
}

/// What a person decides about a prepared message.
pub fn approve(house: &House, id: &str, by: &str) -> Result<Result<(), String>, LedgerError> {
    decide(house, id, by, &MessageState::Approved { by: by.into(), at: house.now() }, "approved")
}

pub fn drop_message(house: &House, id: &str, by: &str) -> Result<Result<(), String>, LedgerError> {
    decide(house, id, by, &MessageState::Dropped { by: by.into(), at: house.now() }, "dropped")
}

fn decide(
    house: &House,
    id: &str,
    by: &str,
    state: &MessageState,
    word: &str,
) -> Result<Result<(), String>, LedgerError> {
    house.ledger.transact(|tx| {
        let Some(mut message) = tx.message(id)? else { return Ok(Err(format!("there is no message {id}"))) };
        if message.state != MessageState::Prepared {
            return Ok(Err(format!("message {id} is {} already", message.state.name())));
        }
        message.state = state.clone();
        tx.put_message(id, &message)?;
        tx.log(message.entity, &line(house, by, word))?;
        if matches!(state, MessageState::Approved { .. }) {
            tx.queue(&close_lane(&message.connection), 0, id.as_bytes(), When::Now, house.now())?;
        }
        Ok(Ok(()))
    })
}

/// Gives a message other words: before it is approved, or after it was sent, where its vendor lets it be changed.
pub fn reword(house: &House, id: &str, by: &str, body: &str) -> Result<Result<(), String>, LedgerError> {
    house.ledger.transact(|tx| {
        let Some(mut message) = tx.message(id)? else { return Ok(Err(format!("there is no message {id}"))) };
        let messenger = house.connections.get(&message.connection).and_then(|open| open.connector.messenger());
        message.state = match message.state {
            MessageState::Prepared => MessageState::Prepared,
            MessageState::Sent { id, url, at } | MessageState::Reworded { id, url, at } => {
                if !messenger.is_some_and(connectors::Messenger::updates) {
                    return Ok(Err(format!("{} does not let a message be changed that was sent", message.connection)));
                }
                MessageState::Reworded { id, url, at }
            }
            other => return Ok(Err(format!("message {id} is {}; wait until it is sent", other.name()))),
        };
        body.clone_into(&mut message.body);
        tx.put_message(id, &message)?;
        tx.log(message.entity, &line(house, by, "reworded"))?;
        if matches!(message.state, MessageState::Reworded { .. }) {
            tx.queue(&close_lane(&message.connection), 0, id.as_bytes(), When::Now, house.now())?;
        }
        Ok(Ok(()))
    })
}

/// A call may take half a minute, and the vendor a moment more.
const IN_FLIGHT: chrono::TimeDelta = chrono::TimeDelta::seconds(35);

/// The room that sends to one connection.
pub struct Close {
    house: Arc<House>,
    connection: String,
}

impl Close {
    pub fn new(house: Arc<House>, connection: String) -> Self {
        Self { house, connection }
    }
}

#[async_trait]
impl Stage for Close {
    fn name(&self) -> String {
        format!("close {}", self.connection)
    }

    fn lane(&self) -> String {
        close_lane(&self.connection)
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        let house = &*self.house;
        let Some(connection) = house.connections.get(&self.connection) else { return Ok(Step::Idle { until: None }) };
        let now = house.now();
        if let Some(until) = connection.rests(now) {
            return Ok(Step::Idle { until: Some(until) });
        }
        let lane = self.lane();
        let Some(claim) = house.ledger.due(&lane, 1, now, 1)?.into_iter().next() else {
            return Ok(Step::Idle { until: house.ledger.next_due(&lane, 1)? });
        };
        // The connector must know its account first.
        if !connection.is_attached() {
            return Ok(Step::Idle { until: Some(now + chrono::TimeDelta::milliseconds(500)) });
        }
        deliver(house, connection, &lane, &claim).await
    }
}

async fn deliver(house: &House, connection: &Connection, lane: &str, claim: &Claim) -> Result<Step, Stop> {
    let done = || house.ledger.transact(|tx| tx.finish(lane, &claim.item, claim.slot.stamp, house.now()));
    let id = String::from_utf8_lossy(&claim.item).into_owned();
    let (Some(outgoing), Some(messenger)) = (house.ledger.message(&id)?, connection.connector.messenger()) else {
        done()?;
        return Ok(Step::Worked);
    };
    let message = Message { id: id.clone(), to: outgoing.to.clone(), kind: outgoing.kind, body: outgoing.body.clone() };
    match &outgoing.state {
        MessageState::Approved { .. } => sending(house, &id, &outgoing)?,
        // Cut short once: did it go out? Not before the vendor has surely made up its mind.
        MessageState::Sending { since } if house.now() < *since + IN_FLIGHT => {
            // Queues know milliseconds: one more, so that it is surely past when its turn comes.
            let at = *since + IN_FLIGHT + chrono::TimeDelta::milliseconds(1);
            house.ledger.transact(|tx| tx.requeue(lane, &claim.item, |slot| slot.due = at))?;
            return Ok(Step::Worked);
        }
        MessageState::Sending { .. } => match messenger.find(&message).await {
            Ok(Some(sent)) => {
                house.ledger.transact(|tx| sent_now(house, tx, &id, &outgoing, &sent, lane, claim))?;
                return Ok(Step::Worked);
            }
            Ok(None) => sending(house, &id, &outgoing)?,
            Err(fault) => return failed(house, connection, lane, claim, &id, &outgoing, &fault),
        },
        MessageState::Reworded { id: sent, .. } => {
            return match messenger.update(&message, sent).await {
                Ok(()) => {
                    connection.went_well(house)?;
                    house.ledger.transact(|tx| changed_now(house, tx, &message, lane, claim))?;
                    Ok(Step::Worked)
                }
                Err(fault) => failed(house, connection, lane, claim, &id, &outgoing, &fault),
            };
        }
        MessageState::Prepared | MessageState::Sent { .. } | MessageState::Dropped { .. } => {
            done()?;
            return Ok(Step::Worked);
        }
    }
    match messenger.send(&message).await {
        Ok(sent) => {
            connection.went_well(house)?;
            house.ledger.transact(|tx| sent_now(house, tx, &id, &outgoing, &sent, lane, claim))?;
            Ok(Step::Worked)
        }
        Err(fault) => {
            if matches!(fault, Fault::Later { .. } | Fault::Locked { .. }) {
                // Certainly not sent this time: it stands where it stood, which may be "sent, perhaps".
                house.ledger.transact(|tx| tx.put_message(&id, &outgoing))?;
            }
            failed(house, connection, lane, claim, &id, &outgoing, &fault)
        }
    }
}

/// From here on it may have gone out.
fn sending(house: &House, id: &str, outgoing: &Outgoing) -> Result<(), LedgerError> {
    let state = MessageState::Sending { since: house.now() };
    house.ledger.transact(|tx| tx.put_message(id, &Outgoing { state: state.clone(), ..outgoing.clone() }))?;
    house.ledger.durable()
}

fn sent_now(
    house: &House,
    tx: &mut Tx<'_>,
    id: &str,
    outgoing: &Outgoing,
    sent: &Sent,
    lane: &str,
    claim: &Claim,
) -> Result<(), LedgerError> {
    let now = house.now();
    let state = MessageState::Sent { id: sent.id.clone(), url: sent.url.clone(), at: now };
    tx.put_message(id, &Outgoing { state, ..outgoing.clone() })?;
    tx.log(outgoing.entity, &line(house, &outgoing.connection, "sent"))?;
    tx.resurrected(Letter::Message { id: id.to_owned() }.number(&outgoing.connection)?)?;
    tx.finish(lane, &claim.item, claim.slot.stamp, now)
}

/// The message has these words there now. Somebody may have given it others in the meantime.
fn changed_now(
    house: &House,
    tx: &mut Tx<'_>,
    message: &Message,
    lane: &str,
    claim: &Claim,
) -> Result<(), LedgerError> {
    if let Some(mut outgoing) = tx.message(&message.id)? {
        if let (MessageState::Reworded { id, url, at }, true) = (&outgoing.state, outgoing.body == message.body) {
            outgoing.state = MessageState::Sent { id: id.clone(), url: url.clone(), at: *at };
            tx.put_message(&message.id, &outgoing)?;
        }
        tx.log(outgoing.entity, &line(house, &outgoing.connection, "changed there"))?;
        tx.resurrected(Letter::Message { id: message.id.clone() }.number(&outgoing.connection)?)?;
    }
    tx.finish(lane, &claim.item, claim.slot.stamp, house.now())
}

fn failed(
    house: &House,
    connection: &Connection,
    lane: &str,
    claim: &Claim,
    id: &str,
    outgoing: &Outgoing,
    fault: &Fault,
) -> Result<Step, Stop> {
    match fault {
        Fault::Rejected { why, field } => {
            house.ledger.transact(|tx| {
                tx.put_message(id, outgoing)?;
                tx.bury(&Dead {
                    at: house.now(),
                    room: "close".into(),
                    connection: connection.name.clone(),
                    key: Some(outgoing.to.clone()),
                    entity: Some(outgoing.entity),
                    field: field.clone(),
                    cause: why.clone(),
                    letter: Letter::Message { id: id.to_owned() },
                    mapping: None,
                })?;
                tx.finish(lane, &claim.item, claim.slot.stamp, house.now())
            })?;
            Ok(Step::Worked)
        }
        Fault::Unknown { .. } => {
            let again = house.now() + Delay::of(claim.slot.tries);
            house.ledger.transact(|tx| {
                tx.requeue(lane, &claim.item, |slot| {
                    slot.tries += 1;
                    slot.due = again;
                })
            })?;
            Ok(Step::Worked)
        }
        Fault::Later { .. } | Fault::Locked { .. } => Ok(Step::Idle { until: Some(connection.after(house, fault)?) }),
    }
}

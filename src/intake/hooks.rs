//! Webhooks: verified, put on disk, then acknowledged.
//!
//! Many arrive at once and a disk sync takes milliseconds, so a [`Door`] gathers what has arrived while the last sync
//! ran into one commit and one sync: the more come, the less each costs.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use connectors::{Delivery, Refusal, Request, Webhook};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::house::{Connection, House};
use crate::ledger::{Input, Ledger, LedgerError, Position, Tally, Via, When, fetch_item, fetch_lane};
use crate::schema::{EntityId, EntityKind};

/// A verified delivery and the connection it came by.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub connection: String,
    pub delivery: Delivery,
    pub at: DateTime<Utc>,
}

/// Why a webhook request is not acknowledged.
#[derive(Debug, Error)]
pub enum Rejection {
    #[error("there is no connection of that name that takes webhooks")]
    Unknown,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("no connection that takes webhooks has this key")]
    Key,
    #[error("it cannot be put on disk now")]
    Unavailable,
}

impl Rejection {
    /// The HTTP status that answers it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Unknown => 404,
            Self::Key => 401,
            Self::Refused(refusal) => refusal.status(),
            Self::Unavailable => 503,
        }
    }

    pub fn label(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Key => "key",
            Self::Refused(refusal) => refusal.label(),
            Self::Unavailable => "unavailable",
        }
    }
}

/// Verifies a request: the part that needs no disk.
pub fn receive(house: &House, connection: &str, raw: Request<'_>) -> Result<Arrived, Rejection> {
    let open = house.connections.get(connection).filter(|open| open.webhook).ok_or(Rejection::Unknown)?;
    let webhook = open.connector.webhook().ok_or(Rejection::Unknown)?;
    let at = house.now();
    Ok(Arrived::of(house, connection, webhook.open(raw, at)?, at))
}

/// The connections whose senders use this path, and how they receive.
fn served<'h>(house: &'h House, path: &'h str) -> impl Iterator<Item = (&'h Connection, &'h dyn Webhook)> {
    let hooks = house.connections.values().filter(|open| open.webhook);
    let hooks = hooks.filter_map(|open| Some((open, open.connector.webhook()?)));
    hooks.filter(move |(_, hook)| hook.fixed_paths().contains(&path))
}

/// Whether a connection here has senders at this path.
pub fn serves(house: &House, path: &str) -> bool {
    served(house, path).next().is_some()
}

/// [`receive`], at a path that senders share: the key in the request says whose it is.
pub fn receive_at(house: &House, path: &str, raw: Request<'_>) -> Result<Arrived, Rejection> {
    if !serves(house, path) {
        return Err(Rejection::Unknown);
    }
    let (open, hook) = served(house, path).find(|(_, hook)| hook.is_ours(path, raw)).ok_or(Rejection::Key)?;
    let at = house.now();
    Ok(Arrived::of(house, &open.name, hook.open_at(path, raw, at)?, at))
}

/// The condition under which `status` shows what a vendor's request asks of a person. It is shown until a request comes that
/// asks for nothing (but to count), until the daemon has been started or reloaded since, or for a day.
pub(crate) const NOTICE: &str = "asked by webhook";

impl Arrived {
    /// Without what was used before the days that are kept: it would go at once, and until then each move of a person's numbers
    /// to their account would walk over all the days in between.
    fn of(house: &House, connection: &str, mut delivery: Delivery, at: DateTime<Utc>) -> Self {
        let first = Ledger::first_usage_day(at, house.config.usage.days);
        delivery.usage.retain(|usage| usage.day >= first);
        Self { connection: connection.to_owned(), delivery, at }
    }

    /// The body that the sender wants with our 2xx: content type and text.
    pub fn reply(&self) -> Option<(&'static str, String)> {
        let reply = self.delivery.reply.as_ref()?;
        let body = match &reply.names {
            Some(key) => {
                let id = EntityId::derive(&self.connection, &key.collection, &key.id);
                reply.body.replace("{id}", &id.short(EntityKind::Feedback))
            }
            None => reply.body.clone(),
        };
        Some((reply.content_type, body))
    }
}

/// One look answers all the pings that come within this time; a person who edits makes many.
const PINGS: TimeDelta = TimeDelta::seconds(1);

/// Puts deliveries on disk. When it returns, they may be acknowledged.
pub fn admit(ledger: &Ledger, arrived: &[Arrived]) -> Result<(), LedgerError> {
    take_in(ledger, arrived)?;
    ledger.durable()
}

/// Puts deliveries into the ledger, in one commit. Not yet durable.
fn take_in(ledger: &Ledger, arrived: &[Arrived]) -> Result<(), LedgerError> {
    ledger.transact(|tx| {
        let mut tally = Tally::default();
        // Who belongs where first: it may stand behind the events that it places.
        for Arrived { connection, delivery, at } in arrived {
            tally.join(tx, connection, &delivery.members, *at)?;
        }
        for Arrived { connection, delivery, at } in arrived {
            tally.count(tx, connection, &delivery.usage, *at)?;
        }
        tally.write(tx)?;
        for Arrived { connection, delivery, at } in arrived {
            for record in &delivery.records {
                tx.ingest(&Input {
                    connection: connection.clone(),
                    record: record.clone(),
                    via: Via::Webhook,
                    seen_at: *at,
                })?;
            }
            for key in &delivery.fetch {
                tx.queue(&fetch_lane(connection), 0, &fetch_item(key), When::Now, *at)?;
            }
            for stream in &delivery.pull {
                let position = tx.position(connection, stream)?;
                if position.due.is_some_and(|due| due > *at + PINGS) {
                    tx.set_position(connection, stream, &Position { due: Some(*at + PINGS), ..position })?;
                }
            }
            match &delivery.notice {
                Some(notice) => {
                    // It stands since it was said last.
                    tx.clear(connection, NOTICE)?;
                    tx.raise(connection, NOTICE, notice, false, *at)?;
                }
                // Whatever a person was asked for has been done, or nothing would come. What is counted comes all the time, and
                // says nothing of what was left out before.
                None if delivery.usage.is_empty() && delivery.members.is_empty() => drop(tx.clear(connection, NOTICE)?),
                None => {}
            }
            if !delivery.fetch.is_empty() {
                tx.nudge(crate::ledger::poll_lane(connection));
            }
        }
        Ok(())
    })
}

/// The most deliveries in one commit, and the most that these may count together.
const GATHER: usize = 512;
const EVENTS: usize = 20_000;
/// The most that may wait; more are answered 503, which the vendor repeats.
const WAITING: usize = 8192;

type Answer = oneshot::Sender<bool>;

/// Where verified deliveries wait for their commit.
#[derive(Clone)]
pub struct Door {
    queue: mpsc::Sender<(Arrived, Answer)>,
}

impl Door {
    /// Opens the door on a thread of its own, which ends when the last `Door` is dropped.
    pub fn open(ledger: Ledger) -> Self {
        let (queue, mut arrivals) = mpsc::channel::<(Arrived, Answer)>(WAITING);
        let work = move || {
            let mut waiting: Vec<(Arrived, Answer)> = Vec::new();
            let mut shut = false;
            while let Some(first) = arrivals.blocking_recv() {
                let weight = |arrived: &Arrived| arrived.delivery.usage.len() + arrived.delivery.members.len();
                let mut events = weight(&first.0);
                waiting.push(first);
                while waiting.len() < GATHER
                    && events < EVENTS
                    && let Ok(next) = arrivals.try_recv()
                {
                    events += weight(&next.0);
                    waiting.push(next);
                }
                let (arrived, answers): (Vec<Arrived>, Vec<Answer>) = waiting.drain(..).unzip();
                let done = admit(&ledger, &arrived);
                match &done {
                    // Once: a log that grows with every try is the last thing that a full disk needs.
                    Err(error) if !std::mem::replace(&mut shut, true) => {
                        tracing::error!(%error, "webhooks cannot be put on disk; they are answered 503 until they can");
                    }
                    Ok(()) if std::mem::take(&mut shut) => tracing::info!("webhooks are put on disk again"),
                    _ => {}
                }
                for answer in answers {
                    // A caller that went away will send it again.
                    let _ = answer.send(done.is_ok());
                }
            }
        };
        let thread = std::thread::Builder::new().name("intake".into()).spawn(work);
        if let Err(error) = thread {
            tracing::error!(%error, "no thread for webhooks; they will be answered 503");
        }
        Self { queue }
    }

    /// Returns when the delivery is on disk.
    pub async fn admit(&self, arrived: Arrived) -> Result<(), Rejection> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send((arrived, answer)).map_err(|_| Rejection::Unavailable)?;
        match answered.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Rejection::Unavailable),
        }
    }
}

/// The house behind a door, which a reload replaces.
pub type Current = Arc<std::sync::RwLock<Arc<House>>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{MemoryStore, NoProbe};

    #[test]
    fn what_a_person_is_asked_for_is_shown_until_requests_come_without_it() {
        let ledger = Ledger::over(Arc::new(MemoryStore::new()), Arc::new(NoProbe)).expect("opens");
        let arrived = |notice: Option<&str>| Arrived {
            connection: "notes".into(),
            delivery: Delivery { notice: notice.map(str::to_owned), ..Delivery::default() },
            at: DateTime::UNIX_EPOCH,
        };
        let asked = || ledger.condition("notes", NOTICE).expect("reads").map(|condition| condition.what);
        admit(&ledger, &[arrived(Some("paste it"))]).expect("on disk");
        assert_eq!(asked().as_deref(), Some("paste it"));
        admit(&ledger, &[arrived(None)]).expect("on disk");
        assert_eq!(asked(), None);
    }
}

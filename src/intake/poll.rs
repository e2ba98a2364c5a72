//! The room that reads one connection: attaches, fetches single records, pulls streams when they are due, and sweeps
//! for deletions.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use connectors::{Fault, Next, Record, Source};

use super::hooks::NOTICE;
use super::sweep::Sweep;
use crate::delay::Delay;
use crate::house::{Connection, House, Stage, Step, Stop, UNREACHABLE};
use crate::ledger::{
    Claim, Dead, Input, LedgerError, Letter, Position, Tally, Tx, Via, fetch_lane, poll_lane, sync_lane,
};
use crate::sync::{RANKS, look_through, note};

/// Bindings are looked after this often: webhooks renewed, renamed fields found.
const ATTACH_EVERY: TimeDelta = TimeDelta::minutes(60);
/// While something there hinders us, that a person may mend at any time.
const ATTACH_HINDERED: TimeDelta = TimeDelta::minutes(10);
/// How long `status` shows what a vendor's request asks of a person, if the daemon runs on.
const NOTICED: TimeDelta = TimeDelta::hours(24);
/// And where the connector asks for it, not more often than this.
const ATTACH_AGAIN: TimeDelta = TimeDelta::minutes(1);
/// How long reading makes way for writes that wait. Connectors remember a minute of their own writes.
const YIELD: TimeDelta = TimeDelta::seconds(30);
/// The stream name under which the next attach is remembered.
const ATTACH: &str = "(attach)";

pub struct Poll {
    house: Arc<House>,
    connection: String,
    sweep: Sweep,
    /// When this process, or this configuration, took over.
    begun: DateTime<Utc>,
    /// In this process: the first attach loads the binding into the connector.
    attached: bool,
    /// When it was last tried, in this process.
    tried: Option<DateTime<Utc>>,
    /// What follows from a new binding is not all done, perhaps since before a restart.
    rebinding: bool,
    /// Streams, and the fetching of single records, that are left alone for a while after a read failed.
    held: BTreeMap<String, Held>,
}

/// One stream's own trouble is no other's: each waits by itself. What holds all of a connection is its quota's gate, or
/// a lock.
struct Held {
    until: DateTime<Utc>,
    delay: Delay,
}

/// The name under which fetching is held.
const FETCH: &str = "(fetch)";

impl Poll {
    pub fn new(house: Arc<House>, connection: String) -> Self {
        let (begun, sweep, held) = (house.now(), Sweep::default(), BTreeMap::new());
        Self { house, connection, sweep, begun, attached: false, tried: None, rebinding: true, held }
    }
}

#[async_trait]
impl Stage for Poll {
    fn name(&self) -> String {
        format!("intake {}", self.connection)
    }

    fn lane(&self) -> String {
        poll_lane(&self.connection)
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        let house = self.house.clone();
        let Some(connection) = house.connections.get(&self.connection) else { return Ok(Step::Idle { until: None }) };
        let now = house.now();
        if let Some(until) = connection.rests(now) {
            return Ok(Step::Idle { until: Some(until) });
        }
        let attach = house.ledger.position(&self.connection, ATTACH)?;
        let wanted = connection.connector.wants_attach() && self.tried.is_none_or(|tried| now - tried >= ATTACH_AGAIN);
        if !self.attached || attach.due.is_none_or(|due| due <= now) || wanted {
            return self.attach(&house, connection).await;
        }
        if self.rebinding {
            return Ok(self.settle_binding(&house, connection)?);
        }
        let Some(source) = connection.connector.source() else { return Ok(Step::Idle { until: attach.due }) };
        let lane = fetch_lane(&self.connection);
        let held = self.held(FETCH, now);
        if held.is_none()
            && let Some(claim) = house.ledger.due(&lane, 1, now, 1)?.into_iter().next()
        {
            let fetched = fetch(&house, connection, source, &lane, claim).await?;
            return Ok(self.settle(&house, connection, FETCH, fetched)?);
        }
        let mut next = earliest(attach.due, held.or(house.ledger.next_due(&lane, 1)?));
        for stream in self.streams(&house, source) {
            let position = house.ledger.position(&self.connection, &stream.name)?;
            if position.due.is_none_or(|due| due <= now) {
                if yields(&house, connection, &position, now)? {
                    next = earliest(next, Some(now + TimeDelta::seconds(1)));
                    continue;
                }
                if let Some(until) = self.held(&stream.name, now) {
                    next = earliest(next, Some(until));
                    continue;
                }
                let pulled = pull(&house, connection, source, &stream, position).await?;
                return Ok(self.settle(&house, connection, &stream.name, pulled)?);
            }
            next = earliest(next, position.due);
        }
        match self.sweep.step(&house, connection, source).await? {
            Step::Worked => Ok(Step::Worked),
            Step::Idle { until } => Ok(Step::Idle { until: earliest(next, until) }),
        }
    }
}

/// Reading and writing share one quota, and each of our writes is announced to us: read at once, every announcement would
/// cost as many calls as the writing itself. So a stream that has just been read waits while writes wait.
fn yields(
    house: &House,
    connection: &Connection,
    position: &Position,
    now: DateTime<Utc>,
) -> Result<bool, LedgerError> {
    let fresh = position.caught_up.is_some_and(|read| read <= now && now < read + YIELD);
    if !fresh || connection.connector.sink().is_none() {
        return Ok(false);
    }
    Ok(house.ledger.next_due(&sync_lane(&connection.name), RANKS)?.is_some_and(|due| due <= now))
}

/// A stream and its schedule here.
struct Due {
    name: String,
    schedule: crate::config::Schedule,
}

impl Poll {
    /// Until when this is left alone.
    fn held(&self, name: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.held.get(name).map(|held| held.until).filter(|until| *until > now)
    }

    /// After a read: on, or a wait.
    fn settle(
        &mut self,
        house: &House,
        connection: &Connection,
        name: &str,
        outcome: Result<(), Fault>,
    ) -> Result<Step, LedgerError> {
        let now = house.now();
        match outcome {
            Ok(()) => drop(self.held.remove(name)),
            Err(fault @ Fault::Locked { .. }) => {
                return Ok(Step::Idle { until: Some(connection.after(house, &fault)?) });
            }
            Err(fault) => {
                let held =
                    self.held.entry(name.to_owned()).or_insert_with(|| Held { until: now, delay: Delay::default() });
                // Where the gate said when, the others find out by themselves that it is closed, and at no cost.
                let until = match &fault {
                    Fault::Later { after: Some(_), .. } => connection.after(house, &fault)?,
                    _ => now + held.delay.wait(),
                };
                held.until = until.max(now + TimeDelta::milliseconds(1));
                connection.note_trouble(house, &fault)?;
            }
        }
        Ok(Step::Worked)
    }

    fn streams(&self, house: &House, source: &dyn Source) -> Vec<Due> {
        let config = house.config.connections.get(&self.connection);
        let schedule = |stream: &connectors::Stream| {
            let set =
                config.and_then(|config| config.schedules.get(&stream.name).or_else(|| config.schedules.get("*")));
            set.cloned().or_else(|| crate::config::Schedule::parse(stream.every, "UTC").ok())
        };
        if config.is_some_and(|config| !config.poll) {
            return Vec::new();
        }
        let due = |stream: connectors::Stream| Some(Due { schedule: schedule(&stream)?, name: stream.name });
        source.streams().into_iter().filter_map(due).collect()
    }

    /// Lets the connector find what the mappings name, and keeps what it found.
    async fn attach(&mut self, house: &House, connection: &Connection) -> Result<Step, Stop> {
        let name = &self.connection;
        self.tried = Some(house.now());
        let known = house.ledger.binding(name)?;
        let shape = house.config.mappings.shape(name);
        let callback = connection.callback.as_deref().filter(|_| connection.webhook);
        let bound = connection.connector.attach(&shape, callback, known.as_ref()).await;
        let now = house.now();
        let binding = match bound {
            Ok(binding) => binding,
            Err(fault) => {
                if let Fault::Rejected { why, .. } = &fault {
                    house.ledger.transact(|tx| tx.raise(name, "attach", why, false, now))?;
                }
                let until = connection.after(house, &fault)?;
                if self.attached && !matches!(fault, Fault::Locked { .. }) {
                    // The binding in hand still serves. A connector that only waits for its quota remembers the calls
                    // that it has made for a minute: it goes on when it said, or it would begin anew for ever.
                    let paced = matches!(fault, Fault::Later { after: Some(_), .. });
                    let again = if paced { until } else { until.max(now + TimeDelta::minutes(1)) };
                    let due = Position { due: Some(again), ..Position::default() };
                    house.ledger.transact(|tx| tx.set_position(name, ATTACH, &due))?;
                    return Ok(Step::Worked);
                }
                return Ok(Step::Idle { until: Some(until) });
            }
        };
        let changed = known.as_ref() != Some(&binding);
        let rebound = known.as_ref().map(|known| connection.connector.rebound(known, &binding)).unwrap_or_default();
        self.rebinding |= changed;
        if !rebound.is_empty() {
            // Nothing is written by a base that speaks of another field.
            connection.set_attached(false);
        }
        let hindered = connection.connector.hindrance().is_some();
        let pause = if hindered { ATTACH_HINDERED } else { ATTACH_EVERY };
        house.ledger.transact(|tx| {
            if changed {
                tx.set_binding(name, &binding)?;
                note(house, tx, name, &rebound)?;
            }
            tx.clear(name, "locked")?;
            tx.clear(name, UNREACHABLE)?;
            tx.clear(name, "attach")?;
            tx.clear_before(name, NOTICE, self.begun.max(now - NOTICED))?;
            tell_hindrance(tx, connection, now)?;
            let due = Position { due: Some(now + pause), ..Position::default() };
            tx.set_position(name, ATTACH, &due)
        })?;
        if changed {
            // A webhook secret that is lost can not be asked for again.
            house.ledger.durable()?;
        }
        connection.went_well(house)?;
        self.attached = true;
        Ok(Step::Worked)
    }

    /// Before anything else is read or written by a new binding, what was agreed on under the old one is looked through.
    fn settle_binding(&mut self, house: &House, connection: &Connection) -> Result<Step, LedgerError> {
        if !look_through(house, &self.connection)? {
            self.rebinding = false;
            connection.set_attached(true);
            house.ledger.nudge(&sync_lane(&self.connection));
        }
        Ok(Step::Worked)
    }
}

async fn pull(
    house: &House,
    connection: &Connection,
    source: &dyn Source,
    stream: &Due,
    position: Position,
) -> Result<Result<(), Fault>, Stop> {
    let seen_at = house.now();
    let page = match source.pull(&stream.name, position.cursor.as_ref()).await {
        Ok(page) => page,
        Err(Fault::Rejected { why, .. }) => return Ok(Ok(refused(house, connection, stream, position, &why)?)),
        Err(fault) => return Ok(Err(fault)),
    };
    connection.went_well(house)?;
    let now = house.now();
    let (cursor, caught_up) = match page.next {
        Next::More(cursor) => (cursor, None),
        Next::CaughtUp(cursor) => (cursor, Some(now)),
    };
    let next = Position {
        cursor: Some(cursor),
        due: Some(if caught_up.is_some() { stream.schedule.after(now) } else { now }),
        caught_up: caught_up.or(position.caught_up),
        records: position.records + page.records.len() as u64 + page.usage.len() as u64,
    };
    if let Some(whole) = page.whole {
        // Before the position moves: a crash in between does it again.
        house.ledger.drop_untold(&connection.name, whole)?;
    }
    let taken = house.ledger.transact(|tx| {
        tx.advance(&connection.name, &stream.name, position.cursor.as_ref(), &next)?;
        let mut tally = Tally::default();
        tally.count(tx, &connection.name, &page.usage, seen_at)?;
        tally.write(tx)?;
        tx.clear(&connection.name, &format!("stream {}", stream.name))?;
        if caught_up.is_some() {
            // What was read may have said how good it is.
            tell_hindrance(tx, connection, now)?;
        }
        for record in &page.records {
            tx.ingest(&Input { connection: connection.name.clone(), record: record.clone(), via: Via::Poll, seen_at })?;
        }
        Ok(())
    });
    match taken {
        // Somebody set the stream back (a backfill); the page is read again from there.
        Ok(()) | Err(LedgerError::StaleCursor { .. }) => Ok(Ok(())),
        Err(error) => Err(error.into()),
    }
}

fn tell_hindrance(tx: &mut Tx<'_>, connection: &Connection, now: DateTime<Utc>) -> Result<(), LedgerError> {
    match connection.connector.hindrance() {
        Some(why) => tx.raise(&connection.name, "hindered", &why, false, now),
        None => tx.clear(&connection.name, "hindered").map(drop),
    }
}

/// A stream that the vendor refuses is told, and tried again at its next turn.
fn refused(
    house: &House,
    connection: &Connection,
    stream: &Due,
    position: Position,
    why: &str,
) -> Result<(), LedgerError> {
    let now = house.now();
    tracing::warn!(connection = %connection.name, stream = %stream.name, %why, "stream {} of {} was refused", stream.name, connection.name);
    let due = Position { due: Some(stream.schedule.after(now).max(now + TimeDelta::minutes(1))), ..position };
    house.ledger.transact(|tx| {
        tx.raise(&connection.name, &format!("stream {}", stream.name), why, false, now)?;
        tx.set_position(&connection.name, &stream.name, &due)
    })
}

async fn fetch(
    house: &House,
    connection: &Connection,
    source: &dyn Source,
    lane: &str,
    claim: Claim,
) -> Result<Result<(), Fault>, Stop> {
    let Some(key) = crate::ledger::read_fetch_item(&claim.item) else {
        house.ledger.transact(|tx| tx.finish(lane, &claim.item, claim.slot.stamp, house.now()))?;
        return Ok(Ok(()));
    };
    let seen_at = house.now();
    let record: Option<Record> = match source.fetch(&key).await {
        Ok(record) => record,
        Err(Fault::Rejected { why, field }) => {
            house.ledger.transact(|tx| {
                tx.bury(&Dead {
                    at: house.now(),
                    room: "intake".into(),
                    connection: connection.name.clone(),
                    key: Some(key.clone()),
                    entity: None,
                    field: field.clone(),
                    cause: why.clone(),
                    letter: Letter::Fetch { key: key.clone() },
                    mapping: None,
                })?;
                tx.finish(lane, &claim.item, claim.slot.stamp, house.now())
            })?;
            return Ok(Ok(()));
        }
        Err(fault @ (Fault::Unknown { .. } | Fault::Later { after: None, .. })) => {
            // A read may be repeated; this one waits by itself, so that one bad record does not hold up the stream.
            let again = house.now() + Delay::of(claim.slot.tries);
            tracing::debug!(connection = %connection.name, %fault, "a record could not be fetched; again later");
            house.ledger.transact(|tx| {
                tx.requeue(lane, &claim.item, |slot| {
                    slot.tries += 1;
                    slot.due = again;
                })
            })?;
            return Ok(Err(fault));
        }
        Err(fault) => return Ok(Err(fault)),
    };
    connection.went_well(house)?;
    house.ledger.transact(|tx| {
        if let Some(record) = &record {
            // What was asked for by name is looked at, also if it is the same as the last time.
            tx.reingest(&Input {
                connection: connection.name.clone(),
                record: record.clone(),
                via: Via::Fetch,
                seen_at,
            })?;
        }
        tx.finish(lane, &claim.item, claim.slot.stamp, house.now())
    })?;
    Ok(Ok(()))
}

pub(super) fn earliest(a: Option<DateTime<Utc>>, b: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

//! Sync: brings outside records in step with their entities. One room per destination, one vendor call a step.
//!
//! The law: should-be is a pure function of the entity; only its difference from what both sides agreed on is written;
//! doing it twice changes nothing. So there is no path for retries, restarts or duplicates.
//!
//! An outside write happens in three commits: its intent (durable, before the call), the call, its outcome. An intent
//! that is found without an outcome was cut short: the record is looked for before anything is written again.
//! Before an update the record is read (the fence), so that what a person changed since the last look is merged, not
//! overwritten.

mod adopt;
mod desired;
mod merge;
mod observe;
mod outcome;
mod plan;
mod rebind;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use connectors::{Fault, Record, Sink, Written};

pub use adopt::adopt;
pub use desired::{DesireError, Desired, desired, difference};
pub use follow::{BEHIND, RANKS, follow, item, rank, read_item, records};
pub use merge::{Look, Merged, Take, merge};
pub use observe::{ObserveError, gone, observe};
pub(crate) use outcome::start_from;
pub use plan::{Planned, Task, plan};
pub use rebind::{look_through, note};

use crate::delay::Delay;
use crate::follow;
use crate::house::{Connection, House, Stage, Step, Stop};
use crate::ledger::{Claim, Input, LedgerError, Via, sync_lane};
use crate::schema::{Customer, Entity, EntityKind};

/// The most queued items that one step looks at.
const LOOK: usize = 64;

/// How often a record that another may have to make room for is tried.
const PATIENCE: u32 = 8;

/// How long a look before an update is believed. Under an evenly paced quota the look takes the slot, and the write must
/// wait for the next one: without this it would look again, for ever.
const FENCED: TimeDelta = TimeDelta::seconds(5);

/// Updates whose records were looked at, and that the quota has put off.
type PutOff = Option<(DateTime<Utc>, Vec<Planned>)>;

/// The room of one destination.
pub struct Sync {
    house: Arc<House>,
    connection: String,
    put_off: Mutex<PutOff>,
    /// Outcomes are in the books, and may not be on disk yet.
    unsettled: bool,
    /// What is not so any more under this configuration has been cleared.
    cleared: bool,
}

impl Sync {
    pub fn new(house: Arc<House>, connection: String) -> Self {
        Self { house, connection, put_off: Mutex::default(), unsettled: false, cleared: false }
    }
}

#[async_trait]
impl Stage for Sync {
    fn name(&self) -> String {
        format!("sync {}", self.connection)
    }

    fn lane(&self) -> String {
        sync_lane(&self.connection)
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        let house = &*self.house;
        let Some(connection) = house.connections.get(&self.connection) else { return Ok(Step::Idle { until: None }) };
        let Some(sink) = connection.connector.sink() else { return Ok(Step::Idle { until: None }) };
        let now = house.now();
        if let Some(until) = connection.rests(now) {
            return Ok(Step::Idle { until: Some(until) });
        }
        if !connection.is_attached() {
            return Ok(Step::Idle { until: Some(now + TimeDelta::milliseconds(500)) });
        }
        if !std::mem::replace(&mut self.cleared, true) {
            house.ledger.transact(|tx| clear_what_is_over(house, connection, tx))?;
        }
        let lane = self.lane();
        let claims = house.ledger.due(&lane, RANKS, now, LOOK)?;
        if claims.is_empty() {
            // What comes next makes the outcomes before it durable; after the last of them nothing may come for hours.
            if std::mem::take(&mut self.unsettled) {
                house.ledger.durable()?;
            }
            return Ok(Step::Idle { until: house.ledger.next_due(&lane, RANKS)? });
        }
        // Gathering costs nothing until the next slot of the quota is free.
        if let Some(wait) = connection.connector.wait() {
            return Ok(Step::Idle {
                until: Some(now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::seconds(1)).min(TimeDelta::hours(2))),
            });
        }
        self.unsettled = true;
        let room = Room { house, connection, sink, lane: &lane, now, put_off: &self.put_off };
        let put_off = self.put_off.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((looked, batch)) = put_off
            && now - looked < FENCED
            && room.is_still_so(&batch)?
        {
            let batch = room.intend(batch)?;
            if batch.is_empty() {
                return Ok(Step::Worked);
            }
            return room.write(batch, Some(looked)).await;
        }
        room.work(claims).await
    }
}

/// One step at work.
struct Room<'a> {
    house: &'a House,
    connection: &'a Connection,
    sink: &'a dyn Sink,
    lane: &'a str,
    now: DateTime<Utc>,
    put_off: &'a Mutex<PutOff>,
}

impl Room<'_> {
    /// Nothing of this work was queued again since it was planned.
    fn is_still_so(&self, batch: &[Planned]) -> Result<bool, LedgerError> {
        for planned in batch {
            let slot = self.house.ledger.slot(self.lane, &planned.claim.item)?;
            if slot.is_none_or(|slot| slot.stamp != planned.claim.slot.stamp) {
                return Ok(false);
            }
            // What was merged since may forbid the write without queueing another.
            let (name, collection) = (&self.connection.name, &planned.collection);
            let base = self.house.ledger.base(planned.entity, name, collection)?.unwrap_or_default();
            if base != planned.base || self.house.ledger.link(planned.entity, name, collection)? != planned.link {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes what one vendor call can do from the front of the queue, and does it.
    async fn work(&self, claims: Vec<Claim>) -> Result<Step, Stop> {
        let mut batch: Vec<Planned> = Vec::new();
        let mut settled = 0;
        for claim in claims {
            let Some(planned) = plan(self.house, self.connection, claim)? else {
                settled += 1;
                continue;
            };
            if batch.first().is_some_and(|first| !first.goes_with(&planned)) {
                continue; // Its turn comes: the queue is looked at anew in the next step.
            }
            let most = self.sink.batch(&planned.collection).max(1) >> planned.claim.slot.split.min(16);
            batch.push(planned);
            if batch.len() >= most.max(1) {
                break;
            }
        }
        let Some(first) = batch.first() else {
            return Ok(if settled > 0 {
                Step::Worked
            } else {
                Step::Idle { until: self.house.ledger.next_due(self.lane, RANKS)? }
            });
        };
        match first.task {
            Task::Find { .. } => self.find(batch).await,
            Task::Read => self.read(batch).await,
            Task::Create { .. } => self.create(batch).await,
            Task::Update { .. } => self.update(batch).await,
        }
    }

    /// Did these creates, cut short once, happen after all?
    async fn find(&self, batch: Vec<Planned>) -> Result<Step, Stop> {
        let collection = batch[0].collection.clone();
        let ids: Vec<String> = batch.iter().map(Planned::external_id).collect();
        let seen_at = self.now;
        let found = match self.sink.find(&collection, &ids).await {
            Ok(found) => found,
            Err(fault) => return self.wait(&batch, &fault),
        };
        self.connection.went_well(self.house)?;
        for (planned, record) in batch.iter().zip(found.into_iter().chain(std::iter::repeat_with(|| None))) {
            self.house.ledger.transact(|tx| {
                outcome::found(self.house, self.connection, self.sink, tx, planned, record.as_ref(), seen_at)
            })?;
        }
        Ok(Step::Worked)
    }

    /// Did these updates, cut short once, happen? Normalize merges what stands there and closes the matter.
    async fn read(&self, batch: Vec<Planned>) -> Result<Step, Stop> {
        let seen_at = self.now;
        let records = match self.look(&batch).await {
            Ok(records) => records,
            Err(fault) => return self.wait(&batch, &fault),
        };
        for (planned, record) in batch.iter().zip(records) {
            self.house.ledger.transact(|tx| {
                outcome::settling(self.connection, tx, planned, seen_at)?;
                self.merge_first(tx, planned, &record, seen_at)
            })?;
        }
        Ok(Step::Worked)
    }

    async fn create(&self, batch: Vec<Planned>) -> Result<Step, Stop> {
        let batch = self.intend(batch)?;
        if batch.is_empty() {
            return Ok(Step::Worked);
        }
        self.write(batch, None).await
    }

    /// The fence: what stands there must be what we think stands there.
    async fn update(&self, batch: Vec<Planned>) -> Result<Step, Stop> {
        let seen_at = self.now;
        let records = match self.look(&batch).await {
            Ok(records) => records,
            Err(fault) => return self.wait(&batch, &fault),
        };
        let mut clear = Vec::new();
        for (planned, record) in batch.into_iter().zip(records) {
            if planned.stands_as_agreed(self.sink, &record) {
                clear.push(planned);
            } else {
                self.house.ledger.transact(|tx| self.merge_first(tx, &planned, &record, seen_at))?;
            }
        }
        if clear.is_empty() {
            return Ok(Step::Worked);
        }
        let clear = self.intend(clear)?;
        if clear.is_empty() {
            return Ok(Step::Worked);
        }
        self.write(clear, Some(seen_at)).await
    }

    async fn look(&self, batch: &[Planned]) -> Result<Vec<Record>, Fault> {
        let ids: Vec<String> = batch.iter().map(|planned| planned.target().unwrap_or_default().to_owned()).collect();
        let records = self.sink.read(&batch[0].collection, &ids).await?;
        if records.len() == batch.len() {
            Ok(records)
        } else {
            Err(Fault::unknown("fewer records came back than were asked for"))
        }
    }

    /// Hands a look to normalize, and puts the work off until it is merged.
    fn merge_first(
        &self,
        tx: &mut crate::ledger::Tx<'_>,
        planned: &Planned,
        record: &Record,
        seen_at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let input =
            Input { connection: self.connection.name.clone(), record: record.clone(), via: Via::Fence, seen_at };
        tx.reingest(&input)?;
        // Mostly once; but what normalize cannot take must not be looked at four times a second for ever.
        let again = self.now + TimeDelta::milliseconds(250 << planned.claim.slot.tries.min(10));
        tx.requeue(self.lane, &planned.claim.item, |slot| {
            slot.tries += 1;
            slot.due = again;
        })
    }

    /// Before a call that writes, what it is about to do is on disk. What has become another's record since it was planned (a
    /// person merged two customers) stays queued, and is planned anew.
    fn intend(&self, mut batch: Vec<Planned>) -> Result<Vec<Planned>, Stop> {
        let name = &self.connection.name;
        let stand = self.house.ledger.transact(|tx| {
            let mut stand = Vec::new();
            for planned in &batch {
                let link = tx.link(planned.entity, name, &planned.collection)?;
                let mut same = link.as_ref().map(|link| &link.id) == planned.known.as_ref();
                if planned.kind == EntityKind::Customer && link.is_none() {
                    let entity = tx.entity(planned.entity)?;
                    same &= !entity.as_ref().and_then(Entity::as_customer).is_some_and(Customer::is_merged);
                }
                if same {
                    tx.put_effect(planned.entity, name, &planned.collection, &planned.effect(self.now))?;
                }
                stand.push(same);
            }
            Ok(stand)
        })?;
        self.house.ledger.durable()?;
        let mut stand = stand.into_iter();
        batch.retain(|_| stand.next().unwrap_or(true));
        Ok(batch)
    }

    /// `looked`: when the records of these updates were looked at.
    async fn write(&self, batch: Vec<Planned>, looked: Option<DateTime<Utc>>) -> Result<Step, Stop> {
        let collection = batch[0].collection.clone();
        let writes: Vec<connectors::Write> = batch.iter().filter_map(|planned| planned.write().cloned()).collect();
        let mut verdicts = self.sink.write(&collection, &writes).await;
        // A connector that answers short leaves the rest unknown.
        verdicts.resize_with(batch.len(), || Err(Fault::unknown("no verdict")));
        let alone = batch.len() == 1;
        let mut step = Step::Worked;
        if verdicts.iter().any(Result::is_ok) {
            self.connection.went_well(self.house)?;
        } else if let Some(Err(fault @ Fault::Unknown { .. })) = verdicts.first() {
            step = Step::Idle { until: Some(self.connection.after(self.house, fault)?) };
        }
        let mut waited = false;
        let later: Vec<bool> = verdicts.iter().map(|verdict| matches!(verdict, Err(Fault::Later { .. }))).collect();
        for (planned, verdict) in batch.iter().zip(verdicts) {
            match &verdict {
                Err(fault @ (Fault::Later { .. } | Fault::Locked { .. })) => {
                    self.house.ledger.transact(|tx| {
                        tx.drop_effect(planned.entity, &self.connection.name, &planned.collection);
                        Ok(())
                    })?;
                    if !std::mem::replace(&mut waited, true) {
                        step = Step::Idle { until: Some(self.connection.after(self.house, fault)?) };
                    }
                }
                Err(Fault::Unknown { why }) => {
                    tracing::info!(entity = %planned.entity, connection = %self.connection.name, %why, "outcome of a write to {collection} is unknown; it is looked for before another try");
                    let until = self.now + Delay::of(planned.claim.slot.tries);
                    self.house.ledger.transact(|tx| {
                        tx.requeue(self.lane, &planned.claim.item, |slot| {
                            slot.tries += 1;
                            slot.due = until;
                        })
                    })?;
                }
                Err(Fault::Rejected { why, field: Some(field) })
                    if self
                        .house
                        .ledger
                        .transact(|tx| outcome::left_out(self.house, self.connection, tx, planned, why, field))? => {}
                Err(Fault::Rejected { .. }) if !alone => {
                    // One of them spoils the batch: halve it until the bad row stands alone.
                    self.house.ledger.transact(|tx| {
                        tx.drop_effect(planned.entity, &self.connection.name, &planned.collection);
                        tx.requeue(self.lane, &planned.claim.item, |slot| slot.split += 1)
                    })?;
                }
                Err(Fault::Rejected { .. }) if self.may_pass_later(planned)? => {
                    let again = self.now + Delay::of(planned.claim.slot.tries);
                    self.house.ledger.transact(|tx| {
                        tx.drop_effect(planned.entity, &self.connection.name, &planned.collection);
                        tx.requeue(self.lane, &planned.claim.item, |slot| {
                            slot.tries += 1;
                            slot.due = again;
                        })
                    })?;
                }
                Err(Fault::Rejected { why, field }) => {
                    self.house.ledger.transact(|tx| {
                        outcome::rejected(self.house, self.connection, tx, planned, why, field.as_deref())
                    })?;
                }
                Ok(Written::Gone) => {
                    self.house.ledger.transact(|tx| outcome::vanished(self.house, self.connection, tx, planned))?;
                }
                Ok(Written::Stored(receipt)) => {
                    self.house
                        .ledger
                        .transact(|tx| outcome::stored(self.house, self.connection, self.sink, tx, planned, receipt))?;
                }
            }
        }
        let put_off: Vec<Planned> =
            batch.into_iter().zip(later).filter(|(_, later)| *later).map(|(planned, _)| planned).collect();
        if let (Some(looked), false) = (looked, put_off.is_empty()) {
            *self.put_off.lock().unwrap_or_else(PoisonError::into_inner) = Some((looked, put_off));
        }
        Ok(step)
    }

    /// What is refused to a customer may be another's that is about to give it up (a domain, where a vendor lets only one have
    /// it). Where none is queued, it is refused for good.
    fn may_pass_later(&self, planned: &Planned) -> Result<bool, LedgerError> {
        if planned.kind != EntityKind::Customer || planned.claim.slot.tries >= PATIENCE {
            return Ok(false);
        }
        let queued = self.house.ledger.due(self.lane, RANKS, DateTime::<Utc>::MAX_UTC, LOOK)?;
        let another = |claim: &Claim| {
            read_item(&claim.item)
                .is_some_and(|(id, collection)| id != planned.entity && collection == planned.collection)
        };
        Ok(queued.iter().any(another))
    }

    /// A read that did not come: nothing changes, the lane waits.
    fn wait(&self, batch: &[Planned], fault: &Fault) -> Result<Step, Stop> {
        if let Fault::Rejected { why, field } = fault {
            if let [planned] = batch {
                self.house.ledger.transact(|tx| {
                    outcome::rejected(self.house, self.connection, tx, planned, why, field.as_deref())
                })?;
            } else {
                self.house.ledger.transact(|tx| {
                    batch
                        .iter()
                        .try_for_each(|planned| tx.requeue(self.lane, &planned.claim.item, |slot| slot.split += 1))
                })?;
            }
            return Ok(Step::Worked);
        }
        if matches!(fault, Fault::Unknown { .. } | Fault::Later { after: None, .. }) {
            // It may be one of these that the vendor chokes on: they step back, so that others get their turn.
            self.house.ledger.transact(|tx| {
                batch.iter().try_for_each(|planned| {
                    let again = self.now + Delay::of(planned.claim.slot.tries);
                    tx.requeue(self.lane, &planned.claim.item, |slot| {
                        slot.tries += 1;
                        slot.due = again;
                    })
                })
            })?;
        }
        Ok(Step::Idle { until: Some(self.connection.after(self.house, fault)?) })
    }
}

/// Conditions that are raised where a record is met, and would be met no more under another configuration: a collection
/// that was not there, and fields that were left out. (What a new binding mends, [`note`] clears.)
fn clear_what_is_over(
    house: &House,
    connection: &Connection,
    tx: &mut crate::ledger::Tx<'_>,
) -> Result<(), LedgerError> {
    let wanted = |place: &str| {
        let intos = house.config.mappings.into.iter().filter(|into| into.connection == connection.name);
        intos
            .flat_map(|into| into.fields.keys().map(|field| format!("{}.{field}", into.collection)))
            .any(|field| field == place)
    };
    let routed = |collection: &str| house.config.mappings.intos(&connection.name, collection).next().is_some();
    for (of, name, _) in house.ledger.conditions()? {
        let over = match name.split_once(' ') {
            Some(("no", collection)) => connection.collection(collection).is_some() || !routed(collection),
            Some(("skips", place)) => !wanted(place),
            _ => false,
        };
        if of == connection.name && over {
            tx.clear(&of, &name)?;
        }
    }
    Ok(())
}

//! The enrich room: recognises whose feedback it is, lets a model suggest its tags, and passes on what changed in a
//! customer or theme to the feedback that shows it.
//!
//! A suggestion never replaces a person's decision, and is kept with its model and confidence whether it was good
//! enough to be used or not.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::Suggestion;
use super::apply::{By, apply};
use crate::customers;
use crate::follow::{follow, records};
use crate::house::{House, Stage, Step, Stop};
use crate::ledger::{Claim, ENRICH, LedgerError, TRIAGE, Tx, When};
use crate::recognise::recognise;
use crate::review::memory;
use crate::schema::{Body, Entity, EntityId, Feedback, Task};
use crate::triage;

/// Items a step.
const BATCH: usize = 16;
/// Two ranks: feedback first, then what only passes on.
const RANKS: u8 = 2;

pub struct Enrich {
    house: Arc<House>,
}

impl Enrich {
    pub fn new(house: Arc<House>) -> Self {
        Self { house }
    }
}

#[async_trait]
impl Stage for Enrich {
    fn name(&self) -> String {
        "enrich".into()
    }

    fn lane(&self) -> String {
        ENRICH.into()
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        let house = &*self.house;
        let claims = house.ledger.due(ENRICH, RANKS, house.now(), BATCH)?;
        if claims.is_empty() {
            return Ok(Step::Idle { until: house.ledger.next_due(ENRICH, RANKS)? });
        }
        for claim in claims {
            match work(house, &claim) {
                Err(error @ (LedgerError::Corrupt { .. } | LedgerError::Bug(_))) => {
                    // One bad row must not stop the others.
                    tracing::error!(%error, "an item could not be enriched; it is left as it is");
                    house.ledger.transact(|tx| tx.finish(ENRICH, &claim.item, claim.slot.stamp, house.now()))?;
                }
                done => done?,
            }
        }
        Ok(Step::Worked)
    }
}

fn work(house: &House, claim: &Claim) -> Result<(), LedgerError> {
    let finish = |tx: &mut Tx<'_>| tx.finish(ENRICH, &claim.item, claim.slot.stamp, house.now());
    let Some(entity) = <[u8; 16]>::try_from(claim.item.as_slice()).ok().map(EntityId::from_bytes) else {
        return house.ledger.transact(finish);
    };
    let Some(entity) = house.ledger.entity(entity)? else { return house.ledger.transact(finish) };
    match &entity.body {
        Body::Feedback(feedback) => {
            let suggestions =
                if house.config.enrich.enabled { suggest(house, entity.id, feedback)? } else { Said::default() };
            house.ledger.transact(|tx| {
                feedback_step(house, tx, entity.id, &suggestions)?;
                finish(tx)
            })
        }
        Body::Customer(customer) => {
            if customer.is_merged() {
                customers::move_items(house, entity.id)?;
            } else {
                customers::sort_items(house, entity.id)?;
                pass_on(house, entity.id)?;
            }
            house.ledger.transact(finish)
        }
        Body::Theme(_) => {
            pass_on(house, entity.id)?;
            house.ledger.transact(finish)
        }
    }
}

/// What is suggested of an item, by whom.
#[derive(Default)]
struct Said {
    by_memory: Vec<Suggestion>,
    by_classifier: Vec<Suggestion>,
}

/// Outside the transaction: it may take a while. What people decided of nearly the same text goes before the small models.
fn suggest(house: &House, id: EntityId, feedback: &Feedback) -> Result<Said, LedgerError> {
    let by_memory = memory::recall(house, id, feedback)?;
    let mut by_classifier = house.classifier.classify(&triage::text(feedback));
    by_classifier.retain(|said| !by_memory.iter().any(|known| known.path == said.path));
    Ok(Said { by_memory, by_classifier })
}

fn feedback_step(house: &House, tx: &mut Tx<'_>, id: EntityId, said: &Said) -> Result<(), LedgerError> {
    let Some(before) = tx.entity(id)? else { return Ok(()) };
    let Body::Feedback(feedback) = &before.body else { return Ok(()) };
    let mut feedback = feedback.clone();
    if !feedback.decided.contains_key("customer") {
        let customer = recognise(house, tx, id, &feedback.hints)?;
        feedback.customer = customer.or(feedback.customer);
    }
    if let Some(customer) = feedback.customer {
        feedback.customer = Some(customers::survivor(tx, customer)?);
    }
    let mut value = Entity { id, body: Body::Feedback(feedback.clone()) }.to_value();
    for (model, suggestions) in [(memory::NAME, &said.by_memory), (house.classifier.name(), &said.by_classifier)] {
        let by = By { task: Task::Classify, model, prompt: None };
        apply(house, tx, id, &feedback, &mut value, suggestions, &by)?;
    }
    let after = Entity::from_value(id, before.kind(), value)
        .map_err(|error| LedgerError::Bug(format!("a suggestion does not fit the schema: {error}")))?;
    if after != before {
        tx.put_entity(&after)?;
    }
    if let Some(now) = after.as_feedback()
        && !now.withdrawn
        && tx.triaged(id)?.done.get("text") != Some(&triage::digest(now))
    {
        let settle = house.config.triage.settle;
        // What was said long ago has settled, unless somebody edits it. Judged at once, it is mostly judged before its rows are
        // written, where loopd judges alone: a backfill writes each once.
        let is_fresh = newest(now).is_none_or(|said| house.now() - said < settle);
        let is_edited = tx.triaged(id)?.done.contains_key("text");
        let when = if is_fresh || is_edited { When::Settled(settle) } else { When::Now };
        tx.queue(TRIAGE, 0, id.as_bytes(), when, house.now())?;
    }
    // Also when nothing changed here: the room before has queued only this.
    follow(house, tx, &after, Some(&before), When::Now)
}

/// When the last word of it was said.
fn newest(feedback: &Feedback) -> Option<DateTime<Utc>> {
    feedback.thread.iter().filter_map(|turn| turn.at).chain(feedback.received_at).max()
}

/// Everything that shows this customer or theme is looked at again, a piece at a time.
fn pass_on(house: &House, passed: EntityId) -> Result<(), LedgerError> {
    for piece in house.ledger.referrers(passed)?.chunks(64) {
        house.ledger.transact(|tx| {
            for id in piece {
                let Some(entity) = tx.entity(*id)? else { continue };
                records(house, tx, &entity, When::Now)?;
                // A theme adds up its customers' revenue.
                let settle = When::Settled(TimeDelta::seconds(house.config.sync.counts_settle_seconds.into()));
                for neighbour in entity.refers_to().into_iter().filter(|neighbour| *neighbour != passed) {
                    if let Some(neighbour) = tx.entity(neighbour)? {
                        records(house, tx, &neighbour, settle)?;
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

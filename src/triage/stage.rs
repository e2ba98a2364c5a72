//! The triage room: takes items whose words have settled through the steps, in their order.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Outcome, batch, classify, cluster, dedupe, digest, embed, extract, jtbd, risk};
use crate::house::{House, Stage, Step, Stop};
use crate::ledger::{Claim, LedgerError, TRIAGE, When};
use crate::schema::{Body, EntityId, Feedback};

/// Items a step.
const BATCH: usize = 8;
/// What was just said, then what is looked at again.
pub(super) const RANKS: u8 = 2;

/// The shortest wait.
const LEAST: TimeDelta = TimeDelta::milliseconds(200);

pub struct Triage {
    house: Arc<House>,
    ahead: embed::Ahead,
}

impl Triage {
    pub fn new(house: Arc<House>) -> Self {
        Self { house, ahead: embed::Ahead::default() }
    }
}

#[async_trait]
impl Stage for Triage {
    fn name(&self) -> String {
        "triage".into()
    }

    fn lane(&self) -> String {
        TRIAGE.into()
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        let house = &*self.house;
        batch::step(house).await?;
        let claims = house.ledger.due(TRIAGE, RANKS, house.now(), BATCH)?;
        if claims.is_empty() {
            return Ok(Step::Idle { until: house.ledger.next_due(TRIAGE, RANKS)? });
        }
        let items: Vec<EntityId> = claims.iter().filter_map(item).collect();
        let ahead = &self.ahead;
        embed::ahead(house, &items, ahead).await?;
        // Each item has its own slot and its own commits; a model answers several as fast as one.
        let works = claims.iter().map(|claim| async move { (claim, work(house, claim, ahead).await) });
        for (claim, done) in futures::future::join_all(works).await {
            match done {
                Err(error @ (LedgerError::Corrupt { .. } | LedgerError::Bug(_))) => {
                    tracing::error!(%error, "an item could not be judged; it is left as it is");
                    finish(house, claim)?;
                }
                done => done?,
            }
        }
        Ok(Step::Worked)
    }
}

fn finish(house: &House, claim: &Claim) -> Result<(), LedgerError> {
    house.ledger.transact(|tx| tx.finish(TRIAGE, &claim.item, claim.slot.stamp, house.now()))
}

/// The item that a claim is of.
pub(super) fn item(claim: &Claim) -> Option<EntityId> {
    <[u8; 16]>::try_from(claim.item.as_slice()).ok().map(EntityId::from_bytes)
}

async fn work(house: &House, claim: &Claim, ahead: &embed::Ahead) -> Result<(), LedgerError> {
    let Some(id) = item(claim) else {
        return finish(house, claim);
    };
    let Some(later) = steps(house, id, ahead).await? else {
        return finish(house, claim);
    };
    // Only what must wait waits: what was done is in the books. A provider may ask for less time than passes here.
    let later = later.max(house.now() + LEAST);
    house.ledger.transact(|tx| {
        tx.finish(TRIAGE, &claim.item, claim.slot.stamp, house.now())?;
        tx.queue(TRIAGE, claim.slot.rank, &claim.item, When::At(later), house.now())
    })
}

/// Every step that is due for an item; when to come back for those that must wait.
async fn steps(house: &House, id: EntityId, ahead: &embed::Ahead) -> Result<Option<DateTime<Utc>>, LedgerError> {
    // What people did to it anywhere, also where it is a theme, or gone.
    super::settle(house, id)?;
    let Some(feedback) = read(house, id)? else {
        extract::withdraw(house, id)?;
        return Ok(None);
    };
    let said = digest(&feedback);
    let mut later = Later::default();
    later.note(extract::step(house, id, &feedback).await?);
    later.note(classify::step(house, id, &feedback).await?);
    // A conversation speaks through its items.
    if !extract::is_conversation(house, &feedback) {
        later.note(embed::step(house, id, &feedback, ahead).await?);
        later.note(dedupe::step(house, id).await?);
        later.note(cluster::step(house, id).await?);
        later.note(jtbd::step(house, id).await?);
        later.note(risk::step(house, id).await?);
    }
    if later.0.is_none() {
        house.ledger.transact(|tx| super::mark_as(tx, id, "text", said))?;
    }
    Ok(later.0)
}

pub(super) fn read(house: &House, id: EntityId) -> Result<Option<Box<Feedback>>, LedgerError> {
    let entity = house.ledger.entity(id)?;
    Ok(entity.and_then(|entity| match entity.body {
        Body::Feedback(feedback) if !feedback.withdrawn => Some(feedback),
        _ => None,
    }))
}

/// The first moment at which something that had to wait may go on.
#[derive(Default)]
struct Later(Option<DateTime<Utc>>);

impl Later {
    fn note(&mut self, outcome: Outcome) {
        if let Outcome::Later(until) = outcome {
            self.0 = Some(self.0.map_or(until, |before| before.min(until)));
        }
    }
}

//! The triage room: takes items whose words have settled through the steps, in their order.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{Outcome, digest};
use crate::house::{House, Stage, Step, Stop};
use crate::ledger::{Claim, LedgerError, TRIAGE, When};
use crate::schema::EntityId;

/// Items a step.
const BATCH: usize = 8;
const RANKS: u8 = 1;

pub struct Triage {
    house: Arc<House>,
}

impl Triage {
    pub fn new(house: Arc<House>) -> Self {
        Self { house }
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
        let claims = house.ledger.due(TRIAGE, RANKS, house.now(), BATCH)?;
        if claims.is_empty() {
            return Ok(Step::Idle { until: house.ledger.next_due(TRIAGE, RANKS)? });
        }
        for claim in claims {
            match work(house, &claim).await {
                Err(error @ (LedgerError::Corrupt { .. } | LedgerError::Bug(_))) => {
                    tracing::error!(%error, "an item could not be judged; it is left as it is");
                    finish(house, &claim)?;
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

async fn work(house: &House, claim: &Claim) -> Result<(), LedgerError> {
    let Some(id) = <[u8; 16]>::try_from(claim.item.as_slice()).ok().map(EntityId::from_bytes) else {
        return finish(house, claim);
    };
    let Some(later) = steps(house, id).await? else {
        return finish(house, claim);
    };
    // Only what must wait waits: what was done is in the books.
    house.ledger.transact(|tx| {
        tx.finish(TRIAGE, &claim.item, claim.slot.stamp, house.now())?;
        tx.queue(TRIAGE, 0, &claim.item, When::At(later), house.now())
    })
}

/// Every step that is due for an item; when to come back for those that must wait.
async fn steps(house: &House, id: EntityId) -> Result<Option<DateTime<Utc>>, LedgerError> {
    super::settle(house, id)?;
    let Some(entity) = house.ledger.entity(id)? else { return Ok(None) };
    let Some(feedback) = entity.as_feedback() else { return Ok(None) };
    if feedback.withdrawn {
        return Ok(None);
    }
    let said = digest(feedback);
    super::nearest::place_offline(house, id)?;
    let mut later: Option<DateTime<Utc>> = None;
    for outcome in [super::dedupe::step(house, id).await?, super::cluster::step(house, id).await?] {
        if let Outcome::Later(at) = outcome {
            later = later.into_iter().chain([at]).min();
        }
    }
    house.ledger.transact(|tx| {
        let mut triaged = tx.triaged(id)?;
        triaged.done.insert("text".into(), said);
        tx.put_triaged(id, &triaged)
    })?;
    Ok(later)
}

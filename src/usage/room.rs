//! The room that tells customers' records of new numbers. Counting marks the account; here its customer's records are
//! queued, at most once for each `sync.counts_settle_seconds`: a million events do not make a million writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;

use super::customer_of;
use crate::follow::records;
use crate::house::{House, Stage, Step, Stop};
use crate::ledger::{USAGE, When};

/// Accounts a step.
const BATCH: usize = 64;

pub struct Room {
    house: Arc<House>,
}

impl Room {
    pub fn new(house: Arc<House>) -> Self {
        Self { house }
    }
}

#[async_trait]
impl Stage for Room {
    fn name(&self) -> String {
        USAGE.into()
    }

    fn lane(&self) -> String {
        USAGE.into()
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        let house = &*self.house;
        let claims = house.ledger.due(USAGE, 1, house.now(), BATCH)?;
        if claims.is_empty() {
            return Ok(Step::Idle { until: house.ledger.next_due(USAGE, 1)? });
        }
        let mut customers = BTreeSet::new();
        for claim in &claims {
            let account = String::from_utf8_lossy(&claim.item);
            customers.extend(customer_of(&house.ledger, &account)?);
        }
        let settle = When::Settled(TimeDelta::seconds(house.config.sync.counts_settle_seconds.into()));
        house.ledger.transact(|tx| {
            for id in &customers {
                if let Some(customer) = tx.entity(*id)? {
                    records(house, tx, &customer, settle)?;
                }
            }
            for claim in &claims {
                tx.finish(USAGE, &claim.item, claim.slot.stamp, house.now())?;
            }
            Ok(())
        })?;
        Ok(Step::Worked)
    }
}

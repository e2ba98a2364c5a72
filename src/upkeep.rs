//! The room that keeps the house: raw inputs, audit lines and usage go when their retention ends, parts whose parent has not come
//! by then become dead letters, and what depends on the date alone (days as customer) is looked at once a day.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::follow::records;
use crate::house::{House, Stage, Step, Stop};
use crate::ledger::{Expiry, LedgerError, When};
use crate::schema::EntityKind;

const LANE: &str = "upkeep";
/// Rows that one step forgets.
const PIECE: usize = 1000;
/// How often what was counted is walked through: every id is looked at.
const WALK: TimeDelta = TimeDelta::hours(12);
/// The day on which the date was last passed on.
const DAY: &str = "day passed on";

pub struct Upkeep {
    house: Arc<House>,
    retired: Option<DateTime<Utc>>,
    /// A walk over what was counted, a piece a step, and when the last one ended.
    walk: Expiry,
    walked: Option<DateTime<Utc>>,
}

impl Upkeep {
    pub fn new(house: Arc<House>) -> Self {
        Self { house, retired: None, walk: Expiry::default(), walked: None }
    }

    fn retire(&mut self, now: DateTime<Utc>) -> Result<bool, LedgerError> {
        let config = &self.house.config.ledger;
        let raw = now - TimeDelta::days(config.raw_days.into());
        let audit = config.audit_days.map(|days| now - TimeDelta::days(days.into()));
        let gone = self.house.ledger.retire(now, raw, audit, PIECE)?;
        if gone < PIECE {
            self.retired = Some(now);
        }
        Ok(gone > 0)
    }

    /// Days as customer is a function of the date: once a day, every customer is due.
    fn pass_day(&self, now: DateTime<Utc>) -> Result<bool, LedgerError> {
        let house = &*self.house;
        let today = now.date_naive();
        let last: Option<chrono::NaiveDate> = house.ledger.transact(|tx| tx.meta(DAY))?;
        if last == Some(today) {
            return Ok(false);
        }
        if last.is_some() {
            for piece in house.ledger.ids(EntityKind::Customer)?.chunks(64) {
                house.ledger.transact(|tx| {
                    for id in piece {
                        if let Some(entity) = tx.entity(*id)? {
                            records(house, tx, &entity, When::Settled(TimeDelta::minutes(1)))?;
                        }
                    }
                    Ok(())
                })?;
            }
        }
        house.ledger.transact(|tx| tx.set_meta(DAY, &today))?;
        Ok(true)
    }
}

#[async_trait]
impl Stage for Upkeep {
    fn name(&self) -> String {
        LANE.into()
    }

    fn lane(&self) -> String {
        LANE.into()
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        let now = self.house.now();
        if self.pass_day(now)? {
            return Ok(Step::Worked);
        }
        let next = self.retired.map(|at| at + TimeDelta::hours(1));
        if next.is_none_or(|next| next <= now) && self.retire(now)? {
            return Ok(Step::Worked);
        }
        if self.walked.is_none_or(|at| at + WALK <= now) {
            let config = &self.house.config.usage;
            if !self.house.ledger.expire_usage(&mut self.walk, now, config.days, config.dedupe_days)? {
                (self.walk, self.walked) = (Expiry::default(), Some(now));
            }
            return Ok(Step::Worked);
        }
        Ok(Step::Idle { until: Some(now + TimeDelta::hours(1)) })
    }
}

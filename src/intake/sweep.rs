//! Deletions that nobody told us of: the ids that exist there, compared with the links that say they do.
//!
//! A sweep holds its place in memory: it only looks, so a restart begins it again. A record that is missed is not
//! believed gone: it is fetched, and what comes back decides.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use connectors::{Cursor, Key, Source};

use crate::house::{Connection, House, Step};
use crate::ledger::{LedgerError, Position, When, fetch_item, fetch_lane};

#[derive(Default)]
pub(super) struct Sweep {
    at: Option<Underway>,
}

struct Underway {
    collection: String,
    began: DateTime<Utc>,
    cursor: Option<Cursor>,
    seen: BTreeSet<String>,
}

fn stream(collection: &str) -> String {
    format!("(sweep) {collection}")
}

impl Sweep {
    pub(super) async fn step(
        &mut self,
        house: &House,
        connection: &Connection,
        source: &dyn Source,
    ) -> Result<Step, LedgerError> {
        let now = house.now();
        let mut next = None;
        if self.at.is_none() {
            for spec in connection.connector.collections() {
                let position = house.ledger.position(&connection.name, &stream(&spec.name))?;
                match position.due {
                    // The first sweep comes at its first turn: at the start everything is read anyway.
                    None => {
                        let due = house.config.sync.sweep.after(now);
                        let first = Position { due: Some(due), ..Position::default() };
                        house.ledger.transact(|tx| tx.set_position(&connection.name, &stream(&spec.name), &first))?;
                        next = super::poll::earliest(next, Some(due));
                    }
                    Some(due) if due <= now => {
                        self.at =
                            Some(Underway { collection: spec.name, began: now, cursor: None, seen: BTreeSet::new() });
                        break;
                    }
                    Some(due) => next = super::poll::earliest(next, Some(due)),
                }
            }
        }
        let Some(underway) = &mut self.at else { return Ok(Step::Idle { until: next }) };
        match source.ids(&underway.collection, underway.cursor.as_ref()).await {
            Ok(Some(page)) => {
                connection.went_well(house)?;
                underway.seen.extend(page.ids);
                underway.cursor = page.next;
                if underway.cursor.is_none() {
                    self.finish(house, connection, true)?;
                }
            }
            Ok(None) => self.finish(house, connection, false)?,
            Err(fault @ (connectors::Fault::Rejected { .. } | connectors::Fault::Unknown { .. })) => {
                // Its list cannot be trusted: begin again at the next turn.
                tracing::debug!(connection = %connection.name, %fault, "sweep given up for now");
                self.finish(house, connection, false)?;
            }
            Err(fault) => return Ok(Step::Idle { until: Some(connection.after(house, &fault)?) }),
        }
        Ok(Step::Worked)
    }

    fn finish(&mut self, house: &House, connection: &Connection, whole: bool) -> Result<(), LedgerError> {
        let Some(underway) = self.at.take() else { return Ok(()) };
        let now = house.now();
        let mut missed = Vec::new();
        if whole {
            house.ledger.each_linked(&connection.name, &underway.collection, |id, entity| {
                if !underway.seen.contains(&id) {
                    missed.push((id, entity));
                }
                Ok(())
            })?;
        }
        house.ledger.transact(|tx| {
            for (id, entity) in &missed {
                let link = tx.link(*entity, &connection.name, &underway.collection)?;
                if link.is_some_and(|link| link.is_live() && link.since < underway.began) {
                    let item = fetch_item(&Key::new(&underway.collection, id));
                    tx.queue(&fetch_lane(&connection.name), 0, &item, When::Now, now)?;
                }
            }
            let due = Position { due: Some(house.config.sync.sweep.after(now)), ..Position::default() };
            tx.set_position(&connection.name, &stream(&underway.collection), &due)
        })
    }
}

//! The room that listens over a line that we opened: the way in for those whom no webhook reaches.
//!
//! The law is that of webhooks: what came is on disk before its receipt goes out. So a line that breaks, a daemon that is killed or a
//! disk that is full loses nothing: the sender has no receipt, and sends it again. What was missed while there was no line at all is
//! read from the streams.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use connectors::http::{Broken, Heard, Wire};
use connectors::{Delivery, Fault, Frame, Listener};

use super::hooks::{Arrived, admit};
use crate::delay::Delay;
use crate::house::{Connection, House, Stage, Step, Stop};
use crate::ledger::LedgerError;

/// How long a step waits for the first frame; a daemon that stops waits for it no longer than this.
const PATIENCE: Duration = Duration::from_millis(500);
/// Frames whose deliveries share one commit.
const GATHER: usize = 256;
/// A line that has been silent for so long is dead, whatever the network says: vendors ping every few seconds.
const SILENT: TimeDelta = TimeDelta::seconds(60);
/// After so long without a line, the streams are read.
const MISSED: TimeDelta = TimeDelta::seconds(5);
/// The condition under which `status` shows that there is no line.
const NO_LINE: &str = "line";

pub struct Listen {
    house: Arc<House>,
    connection: String,
    line: Option<Box<dyn Wire>>,
    /// When the line last gave a sign of life; none in this process yet.
    heard: Option<DateTime<Utc>>,
    delay: Delay,
    /// Not dialled before this.
    rests: Option<DateTime<Utc>>,
    told: bool,
}

impl Listen {
    pub fn new(house: Arc<House>, connection: String) -> Self {
        Self { house, connection, line: None, heard: None, delay: Delay::default(), rests: None, told: false }
    }
}

#[async_trait]
impl Stage for Listen {
    fn name(&self) -> String {
        format!("listen {}", self.connection)
    }

    fn lane(&self) -> String {
        format!("listen/{}", self.connection)
    }

    async fn step(&mut self) -> Result<Step, Stop> {
        let house = self.house.clone();
        let Some(connection) = house.connections.get(&self.connection) else { return Ok(Step::Idle { until: None }) };
        let Some(listener) = connection.connector.listener() else { return Ok(Step::Idle { until: None }) };
        match self.line.take() {
            Some(line) => self.hear(&house, listener, line).await,
            None => self.dial(&house, connection, listener).await,
        }
    }
}

impl Listen {
    async fn dial(&mut self, house: &House, connection: &Connection, listener: &dyn Listener) -> Result<Step, Stop> {
        let now = house.now();
        if let Some(until) = self.rests.max(connection.rests(now)).filter(|until| *until > now) {
            return Ok(Step::Idle { until: Some(until) });
        }
        // Who we are there must be known first, or we would take our own words for somebody's.
        if !connection.is_attached() {
            return Ok(Step::Idle { until: Some(now + TimeDelta::milliseconds(500)) });
        }
        let line = match listener.dial().await {
            Ok(line) => line,
            Err(fault) => return Ok(self.failed(house, connection, &fault)?),
        };
        let now = house.now();
        connection.went_well(house)?;
        self.delay.reset();
        house.ledger.transact(|tx| tx.clear(&self.connection, NO_LINE).map(drop))?;
        if self.heard.is_none_or(|heard| now - heard > MISSED) {
            let streams = connection.connector.source().map(connectors::Source::streams).unwrap_or_default();
            let pull = streams.into_iter().map(|stream| stream.name).collect();
            admit(&house.ledger, &[self.arrived(Delivery { pull, ..Delivery::default() }, now)])?;
        }
        if !std::mem::replace(&mut self.told, true) {
            tracing::info!(connection = %self.connection, "{} is listened to over a line of our own", self.connection);
        }
        self.heard = Some(now);
        self.line = Some(line);
        Ok(Step::Worked)
    }

    fn failed(&mut self, house: &House, connection: &Connection, fault: &Fault) -> Result<Step, LedgerError> {
        let until = match fault {
            // Only the line's own credential may be at fault: what is read and written goes on.
            Fault::Locked { .. } | Fault::Rejected { .. } => house.now() + TimeDelta::minutes(5),
            Fault::Later { after: Some(after), .. } => {
                house.now() + TimeDelta::from_std(*after).unwrap_or(TimeDelta::minutes(5))
            }
            Fault::Later { after: None, .. } | Fault::Unknown { .. } => house.now() + self.delay.wait(),
        };
        self.rests = Some(until);
        connection.note_trouble(house, fault)?;
        let person = matches!(fault, Fault::Locked { .. } | Fault::Rejected { .. });
        // One try that fails is no news.
        if person || until - house.now() > TimeDelta::seconds(10) {
            tracing::warn!(connection = %self.connection, %fault, "no line to {}", self.connection);
            let what =
                format!("there is no line, so that news come by poll only ({fault}); it is dialled again by itself");
            house.ledger.transact(|tx| tx.raise(&self.connection, NO_LINE, &what, person, house.now()))?;
        }
        Ok(Step::Idle { until: Some(until) })
    }

    /// Waits for what comes, takes all that is there, puts it on disk, and hands in the receipts.
    async fn hear(&mut self, house: &House, listener: &dyn Listener, mut line: Box<dyn Wire>) -> Result<Step, Stop> {
        let (mut arrived, mut tickets) = (Vec::new(), Vec::new());
        let mut gone = None;
        while arrived.len() < GATHER && gone.is_none() {
            let patience = if arrived.is_empty() { PATIENCE } else { Duration::ZERO };
            let frame = match line.next(patience).await {
                Ok(Some(Heard::Text(text))) => text,
                Ok(Some(Heard::Alive)) => {
                    self.heard = Some(house.now());
                    continue;
                }
                Ok(None) => break,
                Err(broken) => {
                    gone = Some(broken.to_string());
                    break;
                }
            };
            let now = house.now();
            self.heard = Some(now);
            match listener.read(&frame, now) {
                Ok(Frame::Delivery { ticket, delivery }) => {
                    arrived.push(self.arrived(*delivery, now));
                    tickets.push(ticket);
                }
                Ok(Frame::Over(why)) => gone = Some(format!("the other side asks for a new one: {why}")),
                Ok(Frame::Nothing) => {}
                // It has no receipt, so it will be heard of again.
                Err(refusal) => {
                    tracing::warn!(connection = %self.connection, %refusal, "a frame of {} could not be read", self.connection);
                }
            }
        }
        if !arrived.is_empty() {
            // On an error the line is dropped here: what was not kept is sent again over the next one.
            admit(&house.ledger, &arrived)?;
            if let Err(broken) = hand_in(listener, &mut line, &arrived, &tickets).await {
                gone = Some(broken.to_string());
            }
        }
        let now = house.now();
        if self.heard.is_some_and(|heard| now - heard > SILENT) {
            gone = Some("it has been silent for a minute".into());
        }
        if let Some(why) = gone {
            tracing::debug!(connection = %self.connection, why, "the line has ended");
            return Ok(Step::Worked);
        }
        self.line = Some(line);
        Ok(if arrived.is_empty() {
            Step::Idle { until: Some(now + TimeDelta::milliseconds(20)) }
        } else {
            Step::Worked
        })
    }

    fn arrived(&self, delivery: Delivery, at: DateTime<Utc>) -> Arrived {
        Arrived { connection: self.connection.clone(), delivery, at }
    }
}

async fn hand_in(
    listener: &dyn Listener,
    line: &mut Box<dyn Wire>,
    arrived: &[Arrived],
    tickets: &[String],
) -> Result<(), Broken> {
    for (arrived, ticket) in arrived.iter().zip(tickets) {
        let reply = arrived.reply().map(|(_, body)| body);
        line.say(listener.receipt(ticket, reply.as_deref())).await?;
    }
    Ok(())
}

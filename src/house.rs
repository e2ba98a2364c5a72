//! What every room is handed, and what a room is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use connectors::oauth::Session;
use connectors::{Clock, CollectionSpec, Connector, Fault};
use thiserror::Error;

use crate::config::Config;
use crate::delay::Delay;
use crate::enrich::Classifier;
use crate::ledger::{Ledger, LedgerError};
use crate::model::Models;
use crate::triage::Near;

/// A room of the house: looks at the ledger, does one bounded piece of work, and says whether there is more.
///
/// It takes no input and keeps nothing that a restart would miss: the way after a crash is the way of every day.
#[async_trait]
pub trait Stage: Send {
    /// For logs and metrics.
    fn name(&self) -> String;
    /// The ledger's lane whose nudge shortens this room's wait.
    fn lane(&self) -> String;
    async fn step(&mut self) -> Result<Step, Stop>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was done; there may be more.
    Worked,
    /// Nothing to do before `until`, or before a nudge.
    Idle { until: Option<DateTime<Utc>> },
}

/// The room cannot go on. The ledger is full or broken, or there is a bug; the daemon waits and tries again, or ends.
#[derive(Debug, Error)]
pub enum Stop {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The engine's shared parts. One value, made by `daemon::build`; a reload makes another.
pub struct House {
    pub config: Config,
    pub ledger: Ledger,
    pub clock: Arc<dyn Clock>,
    pub connections: BTreeMap<String, Connection>,
    pub classifier: Box<dyn Classifier>,
    pub models: Models,
    /// Where texts lie: loaded when somebody asks.
    pub near: Near,
}

impl House {
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}

/// One configured account, opened.
pub struct Connection {
    pub name: String,
    pub connector: Arc<dyn Connector>,
    /// Changes may come by webhook.
    pub webhook: bool,
    /// Where the vendor reaches us, if it can.
    pub callback: Option<String>,
    gate: Mutex<Gate>,
    attached: AtomicBool,
}

#[derive(Default)]
struct Gate {
    /// Locked by the vendor until somebody mends it; tried again at this time.
    locked_until: Option<DateTime<Utc>>,
    /// In trouble: nobody calls before this, whatever else comes in.
    rests_until: Option<DateTime<Utc>>,
    /// Since when every call has failed, and whether ops have been told.
    trouble: Option<(DateTime<Utc>, bool)>,
    delay: Delay,
}

/// The condition of a connection whose vendor has not answered sensibly for a minute.
pub const UNREACHABLE: &str = "unreachable";
const TROUBLE: TimeDelta = TimeDelta::minutes(1);
/// How long a connection that locked us out is left alone before it is tried again.
const LOCKED: TimeDelta = TimeDelta::minutes(5);
/// The longest that a vendor may send us away for; what it says beyond is asked again.
const LONGEST: TimeDelta = TimeDelta::hours(2);

impl Connection {
    pub fn new(name: String, connector: Arc<dyn Connector>, webhook: bool, callback: Option<String>) -> Self {
        Self { name, connector, webhook, callback, gate: Mutex::default(), attached: AtomicBool::new(false) }
    }

    pub fn collection(&self, name: &str) -> Option<CollectionSpec> {
        self.connector.collections().into_iter().find(|spec| spec.name == name)
    }

    /// Writing and reading wait until the connector has found what the mappings name.
    pub fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
    }

    pub fn set_attached(&self, attached: bool) {
        self.attached.store(attached, Ordering::Release);
    }

    /// Until when the connection is locked.
    pub fn locked(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.locked_until.filter(|until| *until > now)
    }

    /// Until when nobody should call: the connection is locked, or its vendor is in trouble.
    pub fn rests(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mended = self.is_mended(now);
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if mended {
            // Tried again now; that it was locked is forgotten when a call goes well.
            gate.locked_until = Some(now);
        }
        gate.locked_until.max(gate.rests_until).filter(|until| *until > now)
    }

    /// It is locked, and somebody has signed in since.
    pub fn is_mended(&self, now: DateTime<Utc>) -> bool {
        self.locked(now).is_some() && self.connector.sign_in().is_some_and(Session::has_news)
    }

    /// Takes over from the connection of the configuration before: what its vendor asked for holds for this one too.
    pub fn succeed(&self, before: &Self, now: DateTime<Utc>) {
        let asked = before.connector.wait().and_then(|wait| TimeDelta::from_std(wait).ok()).map(|wait| now + wait);
        let rests = before.gate.lock().unwrap_or_else(PoisonError::into_inner).rests_until;
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).rests_until = rests.max(asked);
    }

    /// A call went well: an earlier lock or delay is over.
    pub fn went_well(&self, house: &House) -> Result<(), LedgerError> {
        let was_shut = {
            let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            gate.delay.reset();
            gate.rests_until = None;
            let told = gate.trouble.take().is_some_and(|(_, told)| told);
            gate.locked_until.take().is_some() || told
        };
        if was_shut {
            tracing::info!(connection = %self.name, "connection {} is open again", self.name);
            house.ledger.transact(|tx| {
                tx.clear(&self.name, UNREACHABLE)?;
                tx.clear(&self.name, "locked").map(|_| ())
            })?;
        }
        Ok(())
    }

    /// Tells ops, once, of a vendor that has not answered sensibly for a minute, whoever called it.
    pub fn note_trouble(&self, house: &House, fault: &Fault) -> Result<(), LedgerError> {
        let (Fault::Later { after: None, why } | Fault::Unknown { why }) = fault else { return Ok(()) };
        let now = house.now();
        {
            let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            let (since, told) = gate.trouble.get_or_insert((now, false));
            if *told || now - *since < TROUBLE {
                return Ok(());
            }
            *told = true;
        }
        tracing::warn!(connection = %self.name, %why, "no call to {} has gone well for a minute; it is tried again, ever more rarely, up to once a minute", self.name);
        let what = format!("no call has gone well for a minute ({why}); it is tried again by itself");
        house.ledger.transact(|tx| tx.raise(&self.name, UNREACHABLE, &what, false, now))
    }

    /// When to come back after a fault of the whole call, noting it in the ledger where a person must act.
    pub fn after(&self, house: &House, fault: &Fault) -> Result<DateTime<Utc>, LedgerError> {
        let now = house.now();
        let until = {
            let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            match fault {
                Fault::Later { after: Some(after), .. } => {
                    now + TimeDelta::from_std(*after).unwrap_or(LONGEST).min(LONGEST)
                }
                Fault::Rejected { .. } => now + gate.delay.wait(),
                Fault::Later { after: None, .. } | Fault::Unknown { .. } => {
                    let until = now + gate.delay.wait();
                    gate.rests_until = Some(until);
                    until
                }
                Fault::Locked { .. } => {
                    gate.locked_until = Some(now + LOCKED);
                    now + LOCKED
                }
            }
        };
        self.note_trouble(house, fault)?;
        if let Fault::Locked { why } = fault {
            tracing::warn!(connection = %self.name, %why, "connection {} is locked; it is left alone and tried again in 5 minutes", self.name);
            house.ledger.transact(|tx| tx.raise(&self.name, "locked", why, true, now))?;
        }
        Ok(until)
    }
}

//! Plan: what a run would write, where, and at what cost; and which human edits are at stake.
//!
//! The law: it is the run itself. The same rooms work on an overlay of the ledger, with connections that read in earnest
//! and write into their memory (`rehearsal`), on a clock that jumps to what is due next, until nothing is left to do.
//! So on a still world it predicts exactly what `run` does; and neither the ledger nor any vendor is changed.

mod clock;
mod rehearsal;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use connectors::Clock;
use connectors::http::Transport;
use connectors::read_only::ReadOnly;
use serde::Serialize;
use serde_json::Value;

pub use clock::Jumping;
pub use rehearsal::{Rehearsal, Tally};

use crate::config::{Config, Provider, World};
use crate::daemon::{self, BuildError, Materials};
use crate::enrich::Classifier;
use crate::house::{Connection, House, Stage, Step, Stop};
use crate::ledger::{Ledger, LedgerError, What};
use crate::pause::Pause;
use crate::schema::EntityKind;
use crate::vault::Vaults;
use crate::{model, triage};

/// The way out, per connection name.
pub type WayOut = Arc<dyn Fn(&str) -> Arc<dyn Transport> + Send + Sync>;

/// What planning is given.
pub struct Given<'a> {
    pub config: Config,
    pub world: &'a dyn World,
    pub ledger: &'a Ledger,
    pub transport: WayOut,
    /// The time by which real reads are paced.
    pub clock: Arc<dyn Clock>,
    pub pause: Arc<dyn Pause>,
    pub classifier: Box<dyn Classifier>,
    pub vaults: Vaults,
}

/// What a run would do. The keys of its JSON are what `loopd plan --json` prints.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    pub connections: BTreeMap<String, Forecast>,
    /// Records that were read from the sources.
    pub read: u64,
    pub at_stake: Vec<AtStake>,
    /// Messages to customers that would be prepared, and those that would go out.
    pub messages_prepared: u64,
    pub messages_sent: u64,
    /// Records that no mapping can take: (what, why).
    pub dead: Vec<(String, String)>,
    /// What the language model would be asked; `None`: there is none.
    pub questions: Option<Questions>,
    /// What could not be looked at, so that the plan lacks it.
    pub problems: Vec<String>,
}

/// What the language model would be asked about tags, each item once and without second opinions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Questions {
    pub count: u64,
    /// By estimate, from above.
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// US dollars, at most; half of it where it goes by batches.
    pub usd: f64,
}

/// What a run would do at one connection.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Forecast {
    pub collections: BTreeMap<String, Tally>,
    pub calls: u64,
    /// How long these calls take under the quota, at least.
    pub minutes: f64,
}

/// A person's edit that meets what a run would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AtStake {
    pub item: String,
    pub connection: String,
    pub field: String,
    /// `taken`: it goes into the item. `conflict`: both sides changed it, `new` wins and `old` goes into the log. `put
    /// back`: ours is written over `new`. `kept`: it stands there. `overtaken`: it was replaced before it was seen.
    pub what: &'static str,
    pub old: Value,
    pub new: Value,
    pub note: Option<String>,
}

/// Why nothing can be foretold.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Stop(#[from] Stop),
}

impl Plan {
    pub fn creates(&self) -> u64 {
        self.sum(|tally| tally.creates)
    }

    pub fn updates(&self) -> u64 {
        self.sum(|tally| tally.updates)
    }

    fn sum(&self, of: impl Fn(&Tally) -> u64) -> u64 {
        self.connections.values().flat_map(|forecast| forecast.collections.values()).map(of).sum()
    }
}

/// Rehearses a run. `tell` hears how far it is: inputs read, writes counted.
///
/// # Errors
/// A ledger that fails, or a connection whose settings cannot be used. A vendor that cannot be read is a problem within
/// the plan.
pub async fn plan(given: Given<'_>, tell: &mut (dyn FnMut(u64, u64) + Send)) -> Result<Plan, PlanError> {
    let ledger = given.ledger.overlay()?;
    let began = given.clock.now();
    let transport = given.transport.clone();
    let materials = Materials {
        ledger: ledger.clone(),
        clock: given.clock.clone(),
        transport: Arc::new(move |name| Arc::new(ReadOnly(transport(name))) as Arc<dyn Transport>),
        classifier: given.classifier,
        vaults: given.vaults,
    };
    // Nobody is asked in a rehearsal: what would be is counted.
    let mut config = given.config;
    let asks = std::mem::replace(&mut config.model.provider, Provider::None) != Provider::None;
    let earnest = daemon::build(config, given.world, materials)?;
    let clock = Arc::new(Jumping::from(began));
    let mut rehearsals = BTreeMap::new();
    let mut connections = BTreeMap::new();
    for (name, connection) in earnest.connections {
        let rehearsal = Arc::new(Rehearsal::new(connection.connector.clone(), given.pause.clone(), clock.clone()));
        let open = Connection::new(name.clone(), rehearsal.clone(), connection.webhook, connection.callback.clone());
        connections.insert(name.clone(), open);
        rehearsals.insert(name, rehearsal);
    }
    let house = Arc::new(House { connections, clock: clock.clone(), ..earnest });
    due_now(&house)?;
    let mut stage = Rehearsing { house: &house, clock: &clock, rehearsals: &rehearsals, began, problems: Vec::new() };
    stage.play(tell).await?;
    let problems = stage.problems;
    let plan = told(&house, &rehearsals, began, problems)?;
    Ok(Plan { questions: if asks { Some(questions(&house)?) } else { None }, ..plan })
}

fn questions(house: &House) -> Result<Questions, LedgerError> {
    let mut questions = Questions::default();
    let mut micro_usd = 0;
    for id in house.ledger.ids(EntityKind::Feedback)? {
        for asked in triage::in_advance(house, id, &triage::IN_ADVANCE)? {
            let tokens = model::tokens_at_most(&asked.request);
            questions.count += 1;
            questions.input_tokens += tokens.input;
            questions.output_tokens += tokens.output;
            micro_usd += model::price(&house.config.model, &asked.request.model, tokens);
        }
    }
    questions.usd = crate::report::cost::usd(micro_usd);
    Ok(questions)
}

/// Whatever its schedule says, every stream is read to its end once.
fn due_now(house: &House) -> Result<(), LedgerError> {
    for (name, connection) in &house.connections {
        for stream in connection.connector.source().map(connectors::Source::streams).unwrap_or_default() {
            house.ledger.transact(|tx| {
                let position = tx.position(name, &stream.name)?;
                if position.due.is_none() {
                    return Ok(());
                }
                tx.set_position(name, &stream.name, &crate::ledger::Position { due: None, ..position })
            })?;
        }
    }
    crate::normalize::redrive(house).map(|_| ())
}

type Rooms = Vec<Box<dyn Stage>>;

struct Rehearsing<'a> {
    house: &'a Arc<House>,
    clock: &'a Jumping,
    rehearsals: &'a BTreeMap<String, Arc<Rehearsal>>,
    began: DateTime<Utc>,
    problems: Vec<String>,
}

/// A rehearsal that has not come to its end by then never will.
const LONGEST: TimeDelta = TimeDelta::days(2);

impl Rehearsing<'_> {
    /// Lets the rooms work until nothing is left to do.
    async fn play(&mut self, tell: &mut (dyn FnMut(u64, u64) + Send)) -> Result<(), PlanError> {
        // Writing waits until all that comes before is quiet: so batches are as full as under a quota.
        let writes = |name: &str| name.starts_with("sync ") || name.starts_with("close ");
        let (mut writing, mut before): (Rooms, Rooms) =
            daemon::rooms(self.house).into_iter().partition(|room| writes(&room.name()));
        loop {
            let (worked, next) = round(&mut before, usize::MAX).await?;
            tell(self.read(), self.written());
            if worked {
                continue;
            }
            let (worked, then) = round(&mut writing, 1).await?;
            if worked {
                continue;
            }
            if self.is_quiet()? {
                return Ok(());
            }
            let next = next.into_iter().chain(then).min();
            match next {
                Some(next) if self.clock.passed() < LONGEST => self.clock.jump_to(next),
                _ => {
                    self.problems.push(format!("work that waits for nothing is left out: {}", self.left()?));
                    return Ok(());
                }
            }
        }
    }

    fn read(&self) -> u64 {
        self.rehearsals.values().map(|rehearsal| rehearsal.read_records()).sum()
    }

    fn written(&self) -> u64 {
        let tallies = self.rehearsals.values().flat_map(|rehearsal| rehearsal.tallies().into_values());
        tallies.map(|tally| tally.creates + tally.updates).sum()
    }

    fn is_quiet(&self) -> Result<bool, LedgerError> {
        let ledger = &self.house.ledger;
        if !ledger.inbox(1)?.is_empty() {
            return Ok(false);
        }
        let given_up = |lane: &str| {
            let connection = lane.split_once('/').map_or("", |(_, connection)| connection);
            self.rehearsals.get(connection).is_some_and(|rehearsal| rehearsal.given_up().is_some())
        };
        if ledger.queues()?.keys().any(|lane| !given_up(lane)) {
            return Ok(false);
        }
        for (name, rehearsal) in self.rehearsals {
            if rehearsal.given_up().is_some()
                || self.house.config.connections.get(name).is_some_and(|config| !config.poll)
            {
                continue;
            }
            for stream in connectors::Source::streams(&**rehearsal) {
                let position = ledger.position(name, &stream.name)?;
                let refused = ledger.condition(name, &format!("stream {}", stream.name))?.is_some();
                if !refused && position.caught_up.is_none_or(|at| at < self.began) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn left(&self) -> Result<String, LedgerError> {
        let queues = self.house.ledger.queues()?;
        Ok(queues.iter().map(|(lane, (count, _))| format!("{count} in {lane}")).collect::<Vec<_>>().join(", "))
    }
}

/// Each room up to `most` steps; whether any worked, and when the earliest wants to go on.
async fn round(rooms: &mut [Box<dyn Stage>], most: usize) -> Result<(bool, Option<DateTime<Utc>>), Stop> {
    let mut worked = false;
    let mut next: Option<DateTime<Utc>> = None;
    for room in rooms {
        for _ in 0..most {
            match room.step().await? {
                Step::Worked => worked = true,
                Step::Idle { until } => {
                    next = next.into_iter().chain(until).min();
                    break;
                }
            }
        }
    }
    Ok((worked, next))
}

fn told(
    house: &House,
    rehearsals: &BTreeMap<String, Arc<Rehearsal>>,
    began: DateTime<Utc>,
    problems: Vec<String>,
) -> Result<Plan, PlanError> {
    let mut plan = Plan { problems, ..Plan::default() };
    for (name, rehearsal) in rehearsals {
        let collections = rehearsal.tallies();
        let calls = collections.values().map(|tally| tally.calls).sum();
        let pace = connectors::Connector::pace(&**rehearsal);
        let minutes = calls as f64 * pace.per.as_secs_f64() / f64::from(pace.calls.max(1)) / 60.0;
        plan.connections.insert(name.clone(), Forecast { collections, calls, minutes });
        plan.read += rehearsal.read_records();
        plan.messages_sent += rehearsal.messages();
        plan.problems.extend(rehearsal.given_up().map(|why| format!("{name} cannot be read: {why}")));
    }
    for (connection, _, condition) in house.ledger.conditions()? {
        // A theme to be looked at, a budget that is spent: nothing that the plan lacks.
        if condition.since >= began && house.connections.contains_key(&connection) {
            plan.problems.push(format!("{connection}: {}", condition.what));
        }
    }
    let mut items = Vec::new();
    house.ledger.each_entity(|entity| {
        items.push((entity.id, entity.short_id()));
        Ok(())
    })?;
    for (id, short) in items {
        for entry in house.ledger.history(id)?.into_iter().filter(|entry| entry.at >= began) {
            let note = entry.note.clone();
            let what = match entry.what {
                What::Conflict => "conflict",
                What::Edited => "taken",
                What::Overtaken => "overtaken",
                What::EditedThere if note.as_deref().is_some_and(|note| note.starts_with("ours is put back")) => {
                    "put back"
                }
                What::EditedThere => "kept",
                _ => continue,
            };
            plan.at_stake.push(AtStake {
                item: short.clone(),
                connection: entry.by,
                field: entry.field.unwrap_or_default(),
                what,
                old: entry.old.unwrap_or_default(),
                new: entry.new.unwrap_or_default(),
                note,
            });
        }
    }
    plan.messages_prepared =
        house.ledger.messages()?.iter().filter(|(_, message)| message.prepared >= began).count() as u64;
    for (number, dead) in house.ledger.dead()? {
        if dead.at >= began {
            let what = dead.key.map_or_else(
                || format!("letter {number}"),
                |key| format!("{} {} of {}", key.collection, key.id, dead.connection),
            );
            plan.dead.push((what, dead.cause));
        }
    }
    Ok(plan)
}

//! How things stand: connections, streams, queues, and what needs a person.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::Problem;
use crate::house::House;
use crate::ledger::{Counts, LedgerError, MessageState, Tree};

/// How everything stands at one moment. The keys of its JSON are what `loopd status --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub at: DateTime<Utc>,
    pub version: String,
    /// Told by a running daemon.
    pub daemon: bool,
    pub connections: Vec<Connection>,
    pub streams: Vec<Stream>,
    pub queues: Vec<Queue>,
    pub dead: usize,
    /// Messages that wait for `loopd close approve`.
    pub messages: usize,
    /// Conflicts that wait for `loopd review decide`.
    pub questions: usize,
    /// Pairs of customers that may be one, for `loopd customers review`.
    #[serde(default)]
    pub doubtful_customers: usize,
    /// What waits for `loopd review`, and where a task acts by itself.
    #[serde(default)]
    pub review: Reviewing,
    pub ledger_bytes: u64,
    /// What has come of usage analytics, by connection.
    #[serde(default)]
    pub usage: BTreeMap<String, Counts>,
    /// What is wrong beyond any one connection.
    pub conditions: Vec<Condition>,
    /// What needs a person, in words, worst first.
    pub needs: Vec<Need>,
}

/// What waits for people's judgement, and how far it is trusted without.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reviewing {
    /// Items with suggestions that nobody has spoken to.
    pub items: usize,
    pub proposals: usize,
    pub trusted: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    pub name: String,
    pub kind: String,
    pub state: State,
    pub webhook: bool,
    /// Calls made and throttled answers, since the daemon started.
    pub calls: u64,
    pub throttled: u64,
    /// Calls that its quota allows, and per how many seconds.
    pub quota_calls: u32,
    pub quota_seconds: f64,
    /// How long until the quota lets another call out.
    pub quota_wait_seconds: Option<f64>,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It found what the mappings name, and works.
    Attached,
    /// Not yet: its first calls have not been answered.
    Waiting,
    /// The vendor shut it out, until a person mends it.
    Locked,
    /// No daemon runs.
    Idle,
    /// No daemon runs, and none could with a secret that is missing.
    Unopened,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Waiting => "waiting",
            Self::Locked => "locked",
            Self::Idle => "not running",
            Self::Unopened => "lacks a secret",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    pub name: String,
    pub what: String,
    pub since: DateTime<Utc>,
    pub stops: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    pub connection: String,
    pub name: String,
    pub records: u64,
    /// When it was last read to its end.
    pub caught_up: Option<DateTime<Utc>>,
    pub due: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    pub name: String,
    pub items: usize,
    pub oldest: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    pub what: String,
    /// What to do about it.
    pub mend: String,
}

impl Status {
    /// A connection of the configuration that could not be opened for want of a secret.
    pub fn unopened(&mut self, name: String, kind: &str, webhook: bool, problem: &Problem) {
        let mend = problem.mend.clone().unwrap_or_else(|| "`loopd check` says more".to_owned());
        self.needs.insert(0, Need { what: format!("{name} cannot be opened: {}", problem.what), mend });
        let place = self.connections.partition_point(|known| known.name < name);
        let unopened = Connection {
            name,
            kind: kind.to_owned(),
            state: State::Unopened,
            webhook,
            calls: 0,
            throttled: 0,
            quota_calls: 0,
            quota_seconds: 0.0,
            quota_wait_seconds: None,
            conditions: Vec::new(),
        };
        self.connections.insert(place, unopened);
    }
}

/// How things stand now. Walks the queues.
///
/// # Errors
/// When the ledger cannot be read.
pub fn status(house: &House, daemon: bool) -> Result<Status, LedgerError> {
    let now = house.now();
    let ledger = &house.ledger;
    let mut conditions: BTreeMap<String, Vec<Condition>> = BTreeMap::new();
    for (connection, name, condition) in ledger.conditions()? {
        let known = Condition { name, what: condition.what, since: condition.since, stops: condition.stops };
        conditions.entry(connection).or_default().push(known);
    }
    let connections = house.connections.values().map(|open| {
        let own = conditions.remove(&open.name).unwrap_or_default();
        let (meter, pace) = (open.connector.meter(), open.connector.pace());
        let locked = open.locked(now).is_some() || own.iter().any(|condition| condition.stops);
        let state = match (locked, daemon, open.is_attached()) {
            (true, ..) => State::Locked,
            (_, false, _) => State::Idle,
            (_, _, true) => State::Attached,
            (_, _, false) => State::Waiting,
        };
        Connection {
            name: open.name.clone(),
            kind: house
                .config
                .connections
                .get(&open.name)
                .map(|config| config.kind.name().to_owned())
                .unwrap_or_default(),
            state,
            webhook: open.webhook,
            calls: meter.calls,
            throttled: meter.throttled,
            quota_calls: pace.calls,
            quota_seconds: pace.per.as_secs_f64(),
            quota_wait_seconds: open.connector.wait().map(|wait| wait.as_secs_f64()),
            conditions: own,
        }
    });
    let connections: Vec<Connection> = connections.collect();
    // That a task has earned trust is nothing to mend.
    conditions.remove(crate::review::record::TRUST);
    let waiting = crate::review::queue::counts(house)?;
    let review = Reviewing {
        items: waiting.items,
        proposals: waiting.proposals,
        trusted: crate::review::agreement::trusted(house)?,
    };
    let messages = ledger.messages()?.iter().filter(|(_, message)| message.state == MessageState::Prepared).count();
    let mut status = Status {
        at: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        daemon,
        connections,
        streams: streams(house)?,
        queues: queues(house)?,
        dead: ledger.count(Tree::Dead)?,
        messages,
        questions: ledger.count(Tree::Review)?,
        doubtful_customers: crate::customers::doubts_open(house)?,
        review,
        ledger_bytes: ledger.size_on_disk(),
        usage: ledger.usage_counts(house.connections.keys().map(String::as_str))?,
        conditions: conditions.into_values().flatten().collect(),
        needs: Vec::new(),
    };
    status.needs = needs(&status);
    if let Err(full) = ledger.store().has_room() {
        let mend = "make room on its disk; it goes on by itself";
        status.needs.insert(0, Need { what: format!("nothing is taken in: {full}"), mend: mend.into() });
    }
    Ok(status)
}

fn streams(house: &House) -> Result<Vec<Stream>, LedgerError> {
    let mut streams = Vec::new();
    for (connection, name, position) in house.ledger.positions()? {
        // Names in brackets are the rooms' own reminders.
        if !name.starts_with('(') {
            let (records, caught_up, due) = (position.records, position.caught_up, position.due);
            streams.push(Stream { connection, name, records, caught_up, due });
        }
    }
    Ok(streams)
}

fn queues(house: &House) -> Result<Vec<Queue>, LedgerError> {
    let inbox = house.ledger.count(Tree::Inbox)?;
    let first = house.ledger.inbox(1)?.into_iter().next();
    let oldest = first.and_then(|(_, input)| input.ok()).map(|input| input.seen_at);
    let mut queues = vec![Queue { name: crate::ledger::NORMALIZE.to_owned(), items: inbox, oldest }];
    let lanes = house.ledger.queues()?;
    queues.extend(lanes.into_iter().map(|(name, (items, oldest))| Queue { name, items, oldest: Some(oldest) }));
    Ok(queues)
}

fn needs(status: &Status) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut need = |what: String, mend: &str| needs.push(Need { what, mend: mend.to_owned() });
    for connection in &status.connections {
        for condition in connection.conditions.iter().filter(|condition| condition.stops) {
            let mend =
                format!("mend it at the vendor or in the configuration, then `loopd check --live {}`", connection.name);
            need(format!("{} is {}: {}", connection.name, condition.name, condition.what), &mend);
        }
    }
    for condition in &status.conditions {
        let mend = match condition.name.as_str() {
            name if name.starts_with(crate::triage::themes::TO_VERIFY) => "people say whether it holds",
            "budget" => "it goes on by itself; `loopd cost` tells what was spent on what",
            "unreachable" => "it is tried again by itself; `loopd check --live` says what is wrong",
            "locked" => "`loopd check --live` says what is wrong with the key or the model of `[model]`",
            _ => "mend it, then reload the daemon",
        };
        need(format!("{}: {}", condition.name, condition.what), mend);
    }
    for connection in &status.connections {
        for condition in connection.conditions.iter().filter(|condition| !condition.stops) {
            let mend = match condition.name.as_str() {
                crate::intake::NOTICE => {
                    "it is shown for a day at most, or until the daemon is started or reloaded".to_owned()
                }
                _ => format!("`loopd check --live {}` says what is missing", connection.name),
            };
            need(format!("{}, {}: {}", connection.name, condition.name, condition.what), &mend);
        }
    }
    if status.dead > 0 {
        need(
            count(status.dead, "record could not pass", "records could not pass"),
            "`loopd dead` says why, `loopd dead retry` sends them again",
        );
    }
    if status.questions > 0 {
        need(
            count(status.questions, "conflict waits for a decision", "conflicts wait for a decision"),
            "`loopd review`",
        );
    }
    if status.review.proposals > 0 {
        need(count(status.review.proposals, "proposal waits", "proposals wait"), "`loopd review list --kind proposal`");
    }
    if status.doubtful_customers > 0 {
        need(
            count(status.doubtful_customers, "pair of customers may be one", "pairs of customers may be one"),
            "`loopd customers review`",
        );
    }
    if status.messages > 0 {
        need(count(status.messages, "message waits for approval", "messages wait for approval"), "`loopd close`");
    }
    needs
}

fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

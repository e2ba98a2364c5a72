//! The demo: the real daemon against the sandbox over loopback HTTP. Customers speak, engineers and product managers work
//! with it, and the vendors' own books show whether everything arrived, once.

mod books;
mod feed;
mod play;
mod stage;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use connectors::Clock;
use connectors::clock::SystemClock;
use sandbox::faults::Rng;
use serde::Serialize;

pub use books::Standing;
pub use feed::{Feed, FeedError};
pub use stage::{BASE, FEEDBACK, STAGED, Stage, vendors, write_config};

use crate::ledger::LedgerError;
use crate::pause::{Pause, RealPause};
use books::Waiting;
use play::{Fed, Move};

/// What the demo found. The keys of its JSON are a promise to scripts; more may come.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub fed: usize,
    pub arrived: Arrived,
    pub came_back: usize,
    pub calls: BTreeMap<&'static str, u64>,
    pub least_calls: BTreeMap<&'static str, u64>,
    pub throttled: u64,
    pub doubled: usize,
    pub lost: usize,
    pub seconds: f64,
    pub moved: usize,
    pub linear_due: usize,
    pub prepared_messages: usize,
    pub dead: usize,
    pub webhooks: u64,
    /// What is missing, in words.
    pub missing: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Arrived {
    pub airtable: usize,
    pub linear: usize,
}

impl Outcome {
    /// Everything arrived, once, and nobody's edit was lost.
    pub fn is_whole(&self) -> bool {
        self.lost == 0
            && self.doubled == 0
            && self.arrived.airtable == self.fed
            && self.arrived.linear == self.linear_due
            && self.came_back == self.moved
    }
}

/// What a person may see while it plays.
#[derive(Clone, Debug)]
pub enum Told<'a> {
    /// A new part begins.
    Part(&'a str),
    /// So many of so many.
    Arrived { done: usize, of: usize },
}

/// How long nothing may change before the demo gives up waiting.
const PATIENCE: Duration = Duration::from_secs(50);
/// How long it must be quiet to be believed.
const QUIET: Duration = Duration::from_millis(1500);
const LOOK: Duration = Duration::from_millis(250);

/// Plays everything, and leaves the stage as it is.
///
/// # Errors
/// Anything that keeps the demo from being played; what did not arrive is in the outcome.
pub async fn play(
    folder: &Path,
    feed: &Feed,
    seed: u64,
    tell: &mut (dyn FnMut(Told<'_>) + Send),
) -> anyhow::Result<(Stage, Outcome)> {
    let clock = SystemClock::new();
    let mut rng = Rng::seeded(seed);
    let repos = feed.repos();
    tell(Told::Part("opening the sandbox, and letting setup make the tables and labels"));
    let (world, served) = stage::vendors(seed, &repos).await?;
    let companies = play::companies(&world, feed);
    let mut said = Said { fed: Vec::new(), waiting: Waiting::default() };
    // Two thirds were said before the daemon starts and are found by polling; the others come by webhook.
    let mut threads: Vec<&feed::Thread> = feed.threads.iter().collect();
    let mut talks: Vec<&feed::Talk> = feed.talks.iter().collect();
    play::shuffle(&mut threads, &mut rng);
    play::shuffle(&mut talks, &mut rng);
    let (early, late) = threads.split_at(threads.len() * 2 / 3);
    let (early_talks, late_talks) = talks.split_at(talks.len() * 2 / 3);
    for thread in early {
        said.fed.extend(play::open_issue(&world, thread));
        *said.waiting.threads.entry(thread.repo.clone()).or_default() += 1;
    }
    for talk in early_talks {
        said.fed.extend(play::open_talk(&world, talk, &companies));
        said.waiting.talks += 1;
    }
    let stage = stage::open(folder, world.clone(), served, &repos).await?;
    tell(Told::Part("the daemon runs: it polls what was said before, and hears of what is said now"));
    let mut late_talks = late_talks.iter();
    for piece in late.chunks(late.len().div_ceil(late_talks.len().max(1)).max(1)) {
        for thread in piece {
            said.fed.extend(play::open_issue(&world, thread));
        }
        if let Some(talk) = late_talks.next() {
            said.fed.extend(play::open_talk(&world, talk, &companies));
        }
        RealPause.pause(Duration::from_millis(100)).await;
    }
    for talk in late_talks {
        said.fed.extend(play::open_talk(&world, talk, &companies));
    }
    anyhow::ensure!(
        said.fed.len() == feed.len(),
        "the sandbox took only {} of {} that were said; this is a bug",
        said.fed.len(),
        feed.len()
    );
    settle(&stage, &clock, &said.fed, &[], tell).await?;

    tell(Told::Part("people work with it: cards move in Linear, cells are edited in Airtable, a row is deleted"));
    let moves = play::moves(&stage, &said.fed, &mut rng);
    let standing = settle(&stage, &clock, &said.fed, &moves, tell).await?;
    let outcome = outcome(&stage, feed, &said, &moves, standing, clock.monotonic())?;
    Ok((stage, outcome))
}

/// What was said so far.
struct Said {
    fed: Vec<Fed>,
    waiting: Waiting,
}

/// Waits until everything is where it should be and nothing is left to do; or until nothing changes any more.
async fn settle(
    stage: &Stage,
    clock: &SystemClock,
    fed: &[Fed],
    moves: &[Move],
    tell: &mut (dyn FnMut(Told<'_>) + Send),
) -> anyhow::Result<Standing> {
    let (mut last, mut since) = (None, clock.monotonic());
    let mut quiet: Option<Duration> = None;
    loop {
        anyhow::ensure!(stage.died().is_none(), "room {} has died; this is a bug", stage.died().unwrap_or_default());
        let standing = books::look(stage, fed, moves)?;
        let busy = left(stage)?;
        let (done, of) =
            if moves.is_empty() { (standing.airtable, fed.len()) } else { (standing.came_back, moves.len()) };
        tell(Told::Arrived { done, of });
        let now = clock.monotonic();
        let writes: Vec<u64> = stage::STAGED.iter().map(|vendor| stage.world.books(*vendor).webhooks_sent).collect();
        let sign = Some((standing.clone(), busy, writes));
        if last != sign {
            (last, since, quiet) = (sign, now, None);
        }
        if standing.is_whole() && busy == 0 {
            let began = *quiet.get_or_insert(now);
            if now - began >= QUIET {
                return Ok(standing);
            }
        } else if now - since >= PATIENCE {
            return Ok(standing);
        }
        RealPause.pause(LOOK).await;
    }
}

/// Work that waits in the ledger, and webhooks on their way.
fn left(stage: &Stage) -> Result<usize, LedgerError> {
    let ledger = &stage.house.ledger;
    let queued: usize = ledger.queues()?.values().map(|(count, _)| count).sum();
    Ok(queued + ledger.inbox(1)?.len() + stage.world.webhooks_waiting())
}

fn outcome(
    stage: &Stage,
    feed: &Feed,
    said: &Said,
    moves: &[Move],
    standing: Standing,
    took: Duration,
) -> anyhow::Result<Outcome> {
    let of_all =
        |of: fn(&sandbox::Books) -> u64| stage::STAGED.iter().map(|vendor| of(&stage.world.books(*vendor))).sum();
    Ok(Outcome {
        fed: said.fed.len(),
        arrived: Arrived { airtable: standing.airtable, linear: standing.linear },
        came_back: standing.came_back,
        calls: stage::STAGED.iter().map(|vendor| (vendor.name(), stage.calls(*vendor))).collect(),
        least_calls: books::least(stage, feed, &said.waiting, moves),
        throttled: of_all(|books| books.throttled),
        doubled: standing.doubled,
        lost: standing.lost.len(),
        seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
        moved: standing.moves,
        linear_due: standing.linear_due,
        prepared_messages: stage.house.ledger.messages()?.len(),
        dead: stage.house.ledger.dead()?.len(),
        webhooks: of_all(|books| books.webhooks_sent),
        missing: standing.lost,
    })
}

//! The demo: the real daemon against the sandbox over loopback HTTP. Customers speak in seven places; engineers, product managers
//! and customer success work with it in four; and the vendors' own books show whether everything arrived, once.

mod books;
mod feed;
mod least;
mod play;
mod settings;
mod speak;
mod stage;
mod triage;
mod voices;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use connectors::Clock;
use connectors::clock::SystemClock;
use sandbox::faults::Rng;
use serde::Serialize;

pub use books::Standing;
pub use feed::{Feed, FeedError};
pub use settings::{Names, STAGED, write_config};
pub use stage::{BASE, FEEDBACK, FORM, Stage, call_back, vendors};
pub use triage::{Judged, Lesson, Named};

use crate::ledger::LedgerError;
use crate::pause::{Pause, RealPause};
use least::Waiting;
use play::Move;
use speak::{Fed, Saying, Speakers};
use voices::{Chat, Voice};

/// What the demo found. The keys of its JSON are a promise to scripts; more may come.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub fed: usize,
    pub arrived: Arrived,
    pub came_back: usize,
    pub calls: BTreeMap<&'static str, u64>,
    pub least_calls: BTreeMap<&'static str, u64>,
    pub throttled: u64,
    /// By whom, where anybody was.
    pub throttled_by: BTreeMap<&'static str, u64>,
    pub doubled: usize,
    pub lost: usize,
    pub seconds: f64,
    pub moved: usize,
    pub linear_due: usize,
    pub salesforce_due: usize,
    pub customers_due: usize,
    pub usage_due: u64,
    /// Of what was said in each place, what is wherever it should be.
    pub sources: BTreeMap<&'static str, Source>,
    pub prepared_messages: usize,
    pub dead: usize,
    pub webhooks: u64,
    /// What is missing, in words.
    pub missing: Vec<String>,
    /// What triage made of what was said.
    pub triage: Judged,
}

#[derive(Clone, Debug, Serialize)]
pub struct Arrived {
    pub airtable: usize,
    pub linear: usize,
    pub notion: usize,
    pub salesforce: usize,
    pub customers: usize,
    pub usage: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Source {
    pub fed: usize,
    pub arrived: usize,
}

impl Outcome {
    /// Everything arrived, once, and nobody's edit was lost.
    pub fn is_whole(&self) -> bool {
        self.lost == 0
            && self.doubled == 0
            && self.arrived.airtable == self.fed
            && self.arrived.linear == self.linear_due
            && self.arrived.notion == self.fed
            && self.arrived.salesforce == self.salesforce_due
            && self.arrived.customers == self.customers_due
            && self.arrived.usage == self.usage_due
            && self.sources.values().all(|source| source.arrived == source.fed)
            && self.came_back == self.moved
            && self.triage.lesson.as_ref().is_none_or(Lesson::was_learned)
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
    tell(Told::Part("opening the sandbox, and letting setup make the tables, databases, fields and labels"));
    let (world, served) = stage::vendors(seed, &feed.repos()).await?;
    let mut speakers = Speakers::open(&world, feed)?;
    let mut said = Said { fed: Vec::new(), waiting: Waiting::default() };
    // Two thirds were said before the daemon starts and are found by polling; the others come by webhook, and so does what
    // only a daemon that runs can hear.
    let (early, late) = order(feed, &mut rng);
    for saying in early {
        said.waiting.count(saying);
        said.fed.extend(speakers.say(saying).await?);
    }
    let stage = stage::open(folder, world.clone(), served, &speakers.names(feed)).await?;
    speakers.door = format!("http://{}", stage.address);
    tell(Told::Part("the daemon runs: it polls what was said before, and hears of what is said now"));
    for (at, saying) in late.into_iter().enumerate() {
        if at % 5 == 4 {
            RealPause.pause(Duration::from_millis(100)).await;
        }
        said.fed.extend(speakers.say(saying).await?);
    }
    anyhow::ensure!(
        said.fed.len() == feed.len(),
        "the sandbox took only {} of {} that were said; this is a bug",
        said.fed.len(),
        feed.len()
    );
    settle(&stage, &clock, feed, &said.fed, &[], tell).await?;

    tell(Told::Part(
        "people work with it: cards move in Linear, cells, pages and records are edited in Airtable, Notion and Salesforce, a row is deleted",
    ));
    let moves = play::moves(&stage, &said.fed, &mut rng);
    let standing = settle(&stage, &clock, feed, &said.fed, &moves, tell).await?;
    tell(Told::Part(
        "triage: items are taken from calls, themes come to be, and a suggestion that a person corrects in Airtable is learned from",
    ));
    let judged = triage::play(&stage, &said.fed, &moves).await?;
    let outcome = Outcome { triage: judged, ..outcome(&stage, feed, &said, &moves, standing, clock.monotonic())? };
    Ok((stage, outcome))
}

/// What is said before the daemon starts, and what while it runs; in an order that the seed decides.
fn order<'f>(feed: &'f Feed, rng: &mut Rng) -> (Vec<Saying<'f>>, Vec<Saying<'f>>) {
    let sources: [Vec<Saying<'f>>; 3] = [
        feed.threads.iter().map(Saying::Thread).collect(),
        feed.talks.iter().map(Saying::Talk).collect(),
        feed.voices.iter().map(Saying::Voice).collect(),
    ];
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for source in sources {
        let (must, mut may): (Vec<_>, Vec<_>) = source.into_iter().partition(Saying::is_late);
        play::shuffle(&mut may, rng);
        late.extend(must);
        late.extend(may.split_off(may.len() * 2 / 3));
        early.extend(may);
    }
    play::shuffle(&mut late, rng);
    (early, late)
}

impl Waiting {
    fn count(&mut self, saying: Saying<'_>) {
        match saying {
            Saying::Thread(thread) => *self.threads.entry(thread.repo.clone()).or_default() += 1,
            Saying::Talk(_) => self.talks += 1,
            Saying::Voice(Voice::Chat(Chat { channel, .. })) => *self.chats.entry(channel.clone()).or_default() += 1,
            Saying::Voice(_) => {}
        }
    }
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
    feed: &Feed,
    fed: &[Fed],
    moves: &[Move],
    tell: &mut (dyn FnMut(Told<'_>) + Send),
) -> anyhow::Result<Standing> {
    let (mut last, mut since) = (None, clock.monotonic());
    let mut quiet: Option<Duration> = None;
    loop {
        anyhow::ensure!(stage.died().is_none(), "room {} has died; this is a bug", stage.died().unwrap_or_default());
        let standing = books::look(stage, feed, fed, moves)?;
        let busy = left(stage)?;
        let (done, of) = if moves.is_empty() {
            (standing.sources.values().sum(), fed.len())
        } else {
            (standing.came_back, moves.len())
        };
        tell(Told::Arrived { done, of });
        let now = clock.monotonic();
        let writes: Vec<u64> = STAGED.iter().map(|vendor| stage.world.books(*vendor).webhooks_sent).collect();
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
    let of_all = |of: fn(&sandbox::Books) -> u64| STAGED.iter().map(|vendor| of(&stage.world.books(*vendor))).sum();
    Ok(Outcome {
        fed: said.fed.len(),
        arrived: Arrived {
            airtable: standing.airtable,
            linear: standing.linear,
            notion: standing.notion,
            salesforce: standing.salesforce,
            customers: standing.customers,
            usage: standing.usage,
        },
        came_back: standing.came_back,
        calls: STAGED.iter().map(|vendor| (vendor.name(), stage.calls(*vendor))).collect(),
        least_calls: least::least(stage, feed, &said.fed, &said.waiting, moves),
        throttled: of_all(|books| books.throttled),
        throttled_by: STAGED
            .iter()
            .map(|vendor| (vendor.name(), stage.world.books(*vendor).throttled))
            .filter(|(_, count)| *count > 0)
            .collect(),
        doubled: standing.doubled,
        lost: standing.lost.len(),
        seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
        moved: standing.moves,
        linear_due: standing.linear_due,
        salesforce_due: standing.salesforce_due,
        customers_due: standing.customers_due,
        usage_due: standing.usage_due,
        sources: feed
            .counts()
            .into_iter()
            .map(|(source, fed)| {
                (source, Source { fed, arrived: standing.sources.get(source).copied().unwrap_or_default() })
            })
            .collect(),
        prepared_messages: stage.house.ledger.messages()?.len(),
        dead: stage.house.ledger.dead()?.len(),
        webhooks: of_all(|books| books.webhooks_sent),
        missing: standing.lost,
        triage: Judged::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Outcome {
        let one = BTreeMap::from([("github", Source { fed: 1, arrived: 1 })]);
        Outcome {
            fed: 1,
            arrived: Arrived { airtable: 1, linear: 1, notion: 1, salesforce: 1, customers: 1, usage: 1 },
            came_back: 1,
            calls: BTreeMap::new(),
            least_calls: BTreeMap::new(),
            throttled: 0,
            throttled_by: BTreeMap::new(),
            doubled: 0,
            lost: 0,
            seconds: 1.0,
            moved: 1,
            linear_due: 1,
            salesforce_due: 1,
            customers_due: 1,
            usage_due: 1,
            sources: one,
            prepared_messages: 1,
            dead: 0,
            webhooks: 1,
            missing: Vec::new(),
            triage: Judged::default(),
        }
    }

    #[test]
    fn the_keys_that_scripts_rely_on_are_there() {
        let json = serde_json::to_value(whole()).expect("JSON");
        for key in [
            "fed",
            "came_back",
            "calls",
            "least_calls",
            "throttled",
            "throttled_by",
            "doubled",
            "lost",
            "seconds",
            "moved",
            "linear_due",
            "salesforce_due",
            "customers_due",
            "usage_due",
            "sources",
            "prepared_messages",
            "dead",
            "webhooks",
            "missing",
            "triage",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        let arrived: Vec<&String> = json["arrived"].as_object().map(|map| map.keys().collect()).unwrap_or_default();
        assert_eq!(arrived, ["airtable", "customers", "linear", "notion", "salesforce", "usage"]);
        assert_eq!(json["sources"]["github"], serde_json::json!({"fed": 1, "arrived": 1}));
        assert!(json.to_string().contains("\"lost\":0"), "CI looks for it");
    }

    #[test]
    fn whatever_is_missing_anywhere_is_no_whole_ring() {
        assert!(whole().is_whole());
        let breaks: [fn(&mut Outcome); 11] = [
            |outcome| outcome.lost = 1,
            |outcome| outcome.doubled = 1,
            |outcome| outcome.arrived.airtable = 0,
            |outcome| outcome.arrived.linear = 0,
            |outcome| outcome.arrived.notion = 0,
            |outcome| outcome.arrived.salesforce = 0,
            |outcome| outcome.arrived.customers = 0,
            |outcome| outcome.arrived.usage = 0,
            |outcome| outcome.came_back = 0,
            |outcome| {
                outcome.triage.lesson =
                    Some(Lesson { corrected: "bug".into(), suggested: "praise".into(), ..Lesson::default() });
            },
            |outcome| {
                outcome.sources.insert("slack", Source { fed: 2, arrived: 1 });
            },
        ];
        for (at, make) in breaks.into_iter().enumerate() {
            let mut outcome = whole();
            make(&mut outcome);
            assert!(!outcome.is_whole(), "{at}");
        }
    }

    #[test]
    fn what_only_a_running_daemon_hears_is_said_to_one() {
        let feed = Feed::own().expect("it can be read");
        let (early, late) = order(&feed, &mut Rng::seeded(1));
        assert!(!early.iter().any(Saying::is_late));
        assert!(early.len() > late.len() && late.iter().any(|saying| !saying.is_late()));
        let all = feed.threads.len() + feed.talks.len() + feed.voices.len();
        assert_eq!(early.len() + late.len(), all);
    }
}

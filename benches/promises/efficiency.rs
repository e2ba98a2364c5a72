//! 10,000 items that are already there when loopd is switched on, until each stands wherever its routes say; on virtual time,
//! under the configured quotas. Issues into Airtable, and the severe bugs of them into Linear, with answers at once and
//! with answers after 120 ms; and conversations of twenty companies into Airtable, Linear, Notion and Salesforce.
//!
//! *Least calls* of a destination: what its API needs at least for the rows that the routes name.
//! - Airtable: one upsert for ten rows, and one more for ten rows that show what is known only later, because another
//!   destination is slower: their Linear issue, or their Notion page (each row has one, and when it is known, the issue has
//!   long been). What is taken at once is known before a row is written.
//! - Linear: one create for each issue, and one for each attachment.
//! - Notion: one create for each page. Linear is quicker, so that a page can show its issue from the start.
//! - Salesforce: one upsert for 200 records, one for the accounts, and one more for 200 records that show their Linear issue.
//!
//! A company is a row more; that each learns how much it has said is in no least. Reads and polls are in none either; writes
//! are compared with it, and all calls are.
//!
//! *Efficiency* is told of the destination whose quota binds: the longest of the shortest possible times. That is least
//! calls, less what may go out at once, / the configured rate; divided by the time from the first write to the end of
//! the slot of the last one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connectors::Clock;
use loopd::ledger::MemoryStore;
use sandbox::{Phase, Vendor};

use crate::Size;
use crate::figures::{Aim, Figures};
use crate::machine::Timer;
use crate::support::TestClock;
use crate::town::{config, two_more};
use crate::works::{Works, drop_webhooks, has_read, open_conversations, open_issues};

/// Calls that the default settings of a Linear connection let go out at once.
const LINEAR_AT_ONCE: u64 = 100;
/// The same of a Notion connection.
const NOTION_AT_ONCE: u64 = 3;
/// Customers, each with an account at Salesforce.
const COMPANIES: u64 = 20;

/// What a destination needs at least, and how much of it may go out at once.
#[derive(Clone, Copy)]
struct Least {
    of: Vendor,
    calls: u64,
    at_once: u64,
}

/// What went to one destination.
#[derive(Clone, Copy, Default)]
struct Sent {
    calls: u64,
    writes: u64,
    first: Option<Duration>,
    last: Duration,
}

impl Sent {
    /// From the first write to the last, in seconds.
    fn span(&self) -> f64 {
        (self.last - self.first.unwrap_or_default()).as_secs_f64()
    }
}

/// What was called before the run, and what is sent in it.
struct Watched {
    before: [BTreeMap<String, u64>; Vendor::ALL.len()],
    sent: Notes,
}

type Notes = Arc<Mutex<BTreeMap<Vendor, Sent>>>;

pub(crate) fn run(size: Size, figures: &mut Figures) {
    let items = size.pick(10_000, 1_000);
    let all = config("");
    // Airtable's webhook without what programs change, our own writes among them.
    let people = all.replace("kind = \"airtable\"\n", "kind = \"airtable\"\nhear_programs = false\n");
    for (delay, how) in [(Duration::ZERO, "instant"), (Duration::from_millis(120), "120 ms")] {
        two(figures, &all, items, 0, delay, &format!("{items} into Airtable, {how}"));
        two(figures, &people, items, 0, delay, &format!("{items} into Airtable, hearing people only, {how}"));
        two(figures, &all, items, 20, delay, &format!("{items} into Airtable, 1 in 20 into Linear, {how}"));
    }
    four(figures, items, &format!("{items} into Airtable, Notion and Salesforce, 1 in 20 into Linear, instant"));
}

/// One run into Airtable and Linear: everything from the first poll until nothing is left to write.
fn two(figures: &mut Figures, text: &str, items: u64, severe: u64, delay: Duration, case: &str) {
    let timer = Timer::start();
    let mut works = Works::open(Arc::new(MemoryStore::new()), text, delay);
    let bugs = open_issues(&works.world, items, severe);
    let sent = begin(&works);
    works.settle(Duration::from_secs(24 * 3600), |house| has_read(house, "github", items));
    assert_eq!(works.rows("Feedback") as u64, items, "an item is missing or doubled");
    assert_eq!(works.world.linear(|desk, _| desk.issues().len()) as u64, bugs, "an issue is missing or doubled");
    let late = bugs.saturating_sub(LINEAR_AT_ONCE / 2);
    let least = [
        Least { of: Vendor::Airtable, calls: items.div_ceil(10) + late.div_ceil(10), at_once: 0 },
        Least { of: Vendor::Linear, calls: 2 * bugs, at_once: LINEAR_AT_ONCE },
    ];
    tell(figures, &works, &sent, &least, case);
    println!("-- {case}: {:.1} s of real time", timer.seconds());
}

/// One run into all four.
fn four(figures: &mut Figures, items: u64, case: &str) {
    let timer = Timer::start();
    // Nobody is there to say how severe an item is: what is supposed of it must do.
    let text = config(&two_more()) + "\n[enrich]\nthreshold = 0.3\n";
    let mut works = Works::open(Arc::new(MemoryStore::new()), &text, Duration::ZERO);
    let bugs = open_conversations(&works.world, COMPANIES, items, 20);
    let sent = begin(&works);
    works.settle(Duration::from_secs(24 * 3600), |house| has_read(house, "intercom", items));
    assert_eq!(works.rows("Feedback") as u64, items, "a row is missing or doubled");
    assert_eq!(works.world.linear(|desk, _| desk.issues().len()) as u64, bugs, "an issue is missing or doubled");
    let pages = works.world.notion(|desk, _| desk.rows("Feedback").len());
    assert_eq!(pages as u64, items, "a page is missing or doubled");
    let records = works.world.salesforce(|desk, _| desk.rows("Loopd_Feedback__c").len());
    assert_eq!(records as u64, items, "a record at Salesforce is missing or doubled");
    let late = bugs.saturating_sub(LINEAR_AT_ONCE / 2);
    let least = [
        Least { of: Vendor::Airtable, calls: 2 * items.div_ceil(10) + COMPANIES.div_ceil(10), at_once: 0 },
        Least { of: Vendor::Linear, calls: 2 * bugs, at_once: LINEAR_AT_ONCE },
        Least { of: Vendor::Notion, calls: items + COMPANIES, at_once: NOTION_AT_ONCE },
        Least { of: Vendor::Salesforce, calls: items.div_ceil(200) + 1 + late.div_ceil(200), at_once: 200 },
    ];
    tell(figures, &works, &sent, &least, case);
    println!("-- {case}: {:.1} s of real time", timer.seconds());
}

/// What was made stands there for an hour already, nothing of it is told of by webhook, and from now on all calls are noted.
fn begin(works: &Works) -> Watched {
    drop_webhooks(&works.world);
    works.line.clock.advance(Duration::from_secs(3600));
    let before = Vendor::ALL.map(|vendor| works.world.books(vendor).by_operation);
    Watched { before, sent: watch(works) }
}

fn tell(figures: &mut Figures, works: &Works, watched: &Watched, least: &[Least], case: &str) {
    if std::env::var_os("CALLS").is_some() {
        for (vendor, before) in Vendor::ALL.into_iter().zip(&watched.before) {
            let now = works.world.books(vendor).by_operation;
            println!(
                "{} {:?}",
                vendor.name(),
                now.iter()
                    .map(|(name, count)| (name, count - before.get(name).unwrap_or(&0)))
                    .collect::<BTreeMap<_, _>>()
            );
        }
    }
    let sent = watched.sent.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let throttled: u64 = Vendor::ALL.into_iter().map(|vendor| works.world.books(vendor).throttled).sum();
    let of = |vendor| sent.get(&vendor).copied().unwrap_or_default();
    let mut binding = (Vendor::Airtable, 0.0, 1.0);
    for Least { of: vendor, calls: least, at_once } in least.iter().copied().filter(|least| least.calls > 0) {
        let (Sent { calls, writes, .. }, name) = (of(vendor), vendor.name());
        figures.add(
            "efficiency",
            format!("{case}: {name} writes / least ({writes} / {least})"),
            writes as f64 / least as f64,
            "",
            Aim::AtMost(1.02),
        );
        figures.add(
            "efficiency",
            format!("{case}: {name} all calls / least ({calls} / {least})"),
            calls as f64 / least as f64,
            "",
            Aim::AtMost(1.02),
        );
        let pace = works.house.connections[name].connector.pace();
        let slot = pace.per.as_secs_f64() / f64::from(pace.calls);
        let shortest = least.saturating_sub(at_once) as f64 * slot;
        if shortest > binding.1 {
            binding = (vendor, shortest, of(vendor).span() + slot);
        }
    }
    let (vendor, shortest, taken) = binding;
    let quota = vendor.name();
    figures.add(
        "efficiency",
        format!("{case}: efficiency, bound by {quota} ({shortest:.1} s / {taken:.1} s)"),
        shortest / taken,
        "",
        Aim::AtLeast(0.98),
    );
    figures.add("efficiency", format!("{case}: throttled"), throttled as f64, "calls", Aim::AtMost(0.0));
}

/// Notes every call from now on.
fn watch(works: &Works) -> Notes {
    let noted = Notes::default();
    let (notes, clock): (Notes, Arc<TestClock>) = (noted.clone(), works.line.clock.clone());
    works.world.on_call(move |vendor, request, phase| {
        if phase == Phase::After {
            return;
        }
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = notes.entry(vendor).or_default();
        sent.calls += 1;
        if is_write(vendor, request) {
            sent.writes += 1;
            sent.first.get_or_insert(clock.monotonic());
            sent.last = clock.monotonic();
        }
    });
    noted
}

fn is_write(vendor: Vendor, request: &http::Request<bytes::Bytes>) -> bool {
    let path = request.uri().path();
    match vendor {
        Vendor::Airtable => {
            request.method() != http::Method::GET
                && !path.contains("/webhooks")
                && !path.contains("/meta/")
                && !path.ends_with("/listRecords")
        }
        Vendor::Notion => request.method() != http::Method::GET && path.starts_with("/v1/pages"),
        Vendor::Salesforce => request.method() != http::Method::GET && path.contains("/sobjects"),
        Vendor::Linear => String::from_utf8_lossy(request.body()).contains("mutation"),
        _ => request.method() != http::Method::GET,
    }
}

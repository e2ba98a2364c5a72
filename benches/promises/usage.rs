//! What a million usage events cost: how many a second are on disk, what they leave there, how much memory counting takes,
//! and what it costs when all of them are sent again. And at twice the size, whether an event costs the same.
//!
//! The events are batches of 100 as Segment's SDKs send them, of 200 accounts, 5,000 people and 40 features, over one day, through
//! the connector and the door: each batch is parsed, counted, and answered when it is on disk. 64 senders wait for their
//! answers.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connectors::clock::SystemClock;
use connectors::http::Transport;
use http::HeaderMap;
use loopd::house::House;
use loopd::intake::{Door, receive_at};
use loopd::ledger::{Ledger, NoProbe, SledStore, Tree, portable, verify};
use loopd::report::size;
use serde_json::json;

use crate::Size;
use crate::figures::{Aim, Figures};
use crate::machine::{Timer, folder, free_space, resident_mb};
use crate::support::TestClock;
use crate::throughput::Direct;
use crate::town::{SECRET, config};
use crate::works::{house, vendors};

const SEGMENT: &str = r#"
[connection.segment]
kind = "segment"
webhook = true
write_key = { env = "SEGMENT_HOOK" }
"#;

const BATCH: usize = 100;
const SENDERS: usize = 64;

pub(crate) fn run(wanted: Size, figures: &mut Figures) {
    let events = wanted.pick(1_000_000, 100_000);
    let folder = folder();
    let first = measure(folder.path(), "one", events, figures, true);
    let second = measure(folder.path(), "two", 2 * events, figures, false);
    figures.add("usage", "time for an event at twice the size", second / first, "", Aim::AtMost(1.3));
}

/// A house whose only work is to count, over a new ledger.
fn open(path: &Path) -> Arc<House> {
    let store = Arc::new(SledStore::open(path, free_space()).expect("a new ledger"));
    let world = vendors(&TestClock::new());
    let way_out = move |vendor| -> Arc<dyn Transport> { Arc::new(Direct { world: world.clone(), vendor }) };
    house(store, Arc::new(SystemClock::new()), &config(SEGMENT), way_out)
}

/// Seconds for an event.
fn measure(folder: &Path, name: &str, events: usize, figures: &mut Figures, tell: bool) -> f64 {
    let path = folder.join(name);
    let house = open(&path);
    let before = resident_mb(std::process::id()).0;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let timer = Timer::start();
    runtime.block_on(send(&house, events));
    let seconds = timer.seconds();
    let each = seconds / events as f64;
    let counts = |house: &House| house.ledger.usage_counts(["segment"]).expect("the ledger is open")["segment"];
    assert_eq!(counts(&house).events, events as u64, "an acknowledged event was not counted");
    let million = 1e6 / events as f64;
    let mut add = |what: &str, value: f64, unit: &'static str, aim: Aim| {
        figures.add("usage", format!("{events} events: {what}"), value, unit, aim);
    };
    add("counted and durable", events as f64 / seconds, "/s", Aim::AtLeast(10_000.0));
    if tell {
        let peak = resident_mb(std::process::id()).1;
        add("memory beyond that of an idle house", (peak - before).max(0.0), "MB", Aim::AtMost(300.0));
        let timer = Timer::start();
        runtime.block_on(send(&house, events));
        add("the same sent again, known and answered", events as f64 / timer.seconds(), "/s", Aim::AtLeast(10_000.0));
        assert_eq!((counts(&house).events, counts(&house).duplicates), (events as u64, events as u64));
    }
    let sized = size(&house.ledger).expect("a whole ledger");
    let bytes = |names: &[&str]| -> f64 {
        let trees = sized.trees.iter().filter(|tree| names.contains(&tree.tree.as_str()));
        trees.map(|tree| tree.bytes).sum::<u64>() as f64 / 1e6 * million
    };
    add("numbers, for a million", bytes(&["usage", "usage_of", "members"]), "MB", Aim::None);
    add("ids, which go after `dedupe_days`, for a million", bytes(&["counted"]), "MB", Aim::AtMost(20.0));
    add("on disk as it stands, for a million", sized.bytes_on_disk as f64 / 1e6 * million, "MB", Aim::None);
    let cells = house.ledger.count(Tree::Usage).expect("the ledger is open");
    add("rows of numbers", cells as f64, "", Aim::None);
    assert_eq!(verify(&house.ledger).expect("a whole ledger"), []);
    drop(house);
    portable::compact(&path, &free_space()).expect("a whole ledger");
    let ledger = Ledger::open(&path, free_space(), Arc::new(NoProbe)).expect("a whole ledger");
    let compact = size(&ledger).expect("a whole ledger").bytes_on_disk;
    figures.add(
        "usage",
        format!("{events} events: on disk when compacted, for a million"),
        compact as f64 / 1e6 * million,
        "MB",
        Aim::AtMost(200.0),
    );
    drop(ledger);
    let _ = std::fs::remove_dir_all(&path);
    each
}

async fn send(house: &Arc<House>, events: usize) {
    let door = Door::open(house.ledger.clone());
    let tasks: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (house, door) = (house.clone(), door.clone());
            tokio::spawn(async move {
                let mut headers = HeaderMap::new();
                let key = SECRET.split(' ').next().unwrap_or_default();
                let basic = format!("Basic {}", STANDARD.encode(format!("{key}:")));
                headers.insert("authorization", basic.parse().expect("a header"));
                for at in (0..events / BATCH).skip(sender).step_by(SENDERS) {
                    let body = batch(at * BATCH);
                    let raw = connectors::Request { headers: &headers, body: body.as_bytes() };
                    let arrived = receive_at(&house, "/v1/batch", raw).expect("it has the key");
                    door.admit(arrived).await.expect("room in the queue and on the disk");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no batch fails");
    }
}

/// A batch of events, the first of them of this number.
fn batch(first: usize) -> String {
    let event = |n: usize| {
        // Spread as by a multiplicative hash, so that neighbours differ in all of these.
        let mixed = n.wrapping_mul(2_654_435_761) >> 7;
        let person = mixed % 5000;
        json!({
            "type": "track", "event": format!("Feature {}", mixed / 5000 % 40), "userId": format!("user-{person}"),
            "messageId": format!("ajs-next-{n:012}"), "timestamp": "2026-11-23T07:59:00.000Z",
            "properties": {"rows": n % 100, "format": "csv"}, "integrations": {},
            "context": {"groupId": format!("account-{}", person % 200), "library": {"name": "@segment/analytics-node", "version": "3.1.0"}},
        })
    };
    let events: Vec<_> = (first..first + BATCH).map(event).collect();
    json!({"batch": events, "sentAt": "2026-11-23T07:59:30.000Z"}).to_string()
}

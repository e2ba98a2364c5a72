//! A Slack acknowledgement under 1,000 events a second: each signature proven and each event on disk before its 200.
//!
//! Slack gives three seconds. Events come on the clock, whether the ones before them were answered or not, and each is timed from the
//! moment that it was due: a server that stalls cannot hide it by being asked less. They are the sandbox's own, signed: one
//! `reaction_added` for each of so many messages.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use connectors::Clock;
use connectors::clock::SystemClock;
use loopd::intake::{Current, Door};
use loopd::ledger::{SledStore, fetch_lane};
use loopd::web::{self, Web};
use sandbox::{Outgoing, Vendor, World};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval_at};

use crate::Size;
use crate::figures::{Aim, Figures};
use crate::hooks::over_http;
use crate::machine::{fdatasyncs_a_second, folder, free_space, percentile};
use crate::throughput::Direct;
use crate::town::{SECRET, config};
use crate::works::house;

const A_SECOND: u64 = 1_000;
/// Connections that Slack keeps open to us.
const SENDERS: u64 = 64;
/// What Slack waits for, in milliseconds.
const PATIENCE: f64 = 3_000.0;
const CONNECTION: &str = r#"
[connection.slack]
kind = "slack"
token = { env = "GITHUB_TOKEN" }
webhook = true
webhook_secret = { env = "SLACK_HOOK" }
"#;

pub(crate) fn run(size: Size, figures: &mut Figures) {
    let count = size.pick(60, 10) * A_SECOND;
    let folder = folder();
    let fdatasync = fdatasyncs_a_second(folder.path(), size.pick(500, 100));
    figures.add(
        "slack",
        "this disk: writes of 4 KB confirmed by fdatasync, one after another",
        fdatasync,
        "/s",
        Aim::None,
    );
    let clock = SystemClock::new();
    let world = World::new(7, Arc::new(move || clock.now()));
    let events = Arc::new(events(&world, count));
    let store = Arc::new(SledStore::open(&folder.path().join("ledger"), free_space()).expect("a new ledger"));
    let house = house(store, Arc::new(clock), &config(CONNECTION), move |vendor| {
        Arc::new(Direct { world: world.clone(), vendor })
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut latencies = runtime.block_on(async {
        let current: Current = Arc::new(RwLock::new(house.clone()));
        let web = Web::new(current, Door::open(house.ledger.clone()), free_space());
        let listening = web::serve(&web, SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let latencies = send_all(listening.address, &events).await;
        listening.stop().await;
        latencies
    });
    latencies.sort_unstable();
    let queued =
        house.ledger.queues().expect("the ledger is open").get(&fetch_lane("slack")).map_or(0, |(count, _)| *count);
    assert_eq!(queued as u64, count, "an acknowledged event is not on disk");
    for (share, name) in [(0.5, "p50"), (0.99, "p99"), (1.0, "the slowest")] {
        let aim = if share < 0.9 { Aim::None } else { Aim::AtMost(PATIENCE) };
        let took = percentile(&latencies, share).as_secs_f64() * 1000.0;
        figures.add("slack", format!("acknowledged and durable at 1,000 events/s: {name}"), took, "ms", aim);
    }
}

/// So many reactions, each to a message of its own.
fn events(world: &World, count: u64) -> Vec<Outgoing> {
    const CHANNELS: u64 = 100;
    world.slack(|desk, cx| {
        let channels: Vec<String> =
            (0..CHANNELS).map(|at| desk.add_channel(&format!("channel-{at}"), false, cx)).collect();
        let mut said = Vec::new();
        for channel in &channels {
            said.extend(
                (0..count / CHANNELS).map(|at| (channel, desk.say(channel, "U0ADMIN", &format!("It fails {at}"), cx))),
            );
        }
        desk.set_webhook("https://loopd.example.com/hooks/slack", SECRET);
        for (channel, ts) in &said {
            desk.react(channel, ts, "U0ADMIN", "bug", cx);
        }
    });
    world.due_webhooks().into_iter().filter(|outgoing| outgoing.vendor == Vendor::Slack).collect()
}

/// How long each took, from the moment it was due.
async fn send_all(address: SocketAddr, events: &Arc<Vec<Outgoing>>) -> Vec<Duration> {
    let apart = Duration::from_secs(1) / u32::try_from(A_SECOND).unwrap_or(1);
    let start = Instant::now() + Duration::from_millis(200);
    let sender = |first: u64| {
        let events = events.clone();
        async move {
            let mut stream = TcpStream::connect(address).await.expect("the listener is up");
            stream.set_nodelay(true).expect("a socket");
            let nth = |n: u64| apart * u32::try_from(n).unwrap_or(u32::MAX);
            let mut turns = interval_at(start + nth(first), nth(SENDERS));
            let mut latencies = Vec::new();
            let mine =
                events.iter().skip(usize::try_from(first).unwrap_or(0)).step_by(usize::try_from(SENDERS).unwrap_or(1));
            for outgoing in mine {
                let due = turns.tick().await;
                over_http(&mut stream, "slack", outgoing).await;
                latencies.push(due.elapsed());
            }
            latencies
        }
    };
    let tasks: Vec<_> = (0..SENDERS).map(|first| tokio::spawn(sender(first))).collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("no delivery fails"));
    }
    latencies
}

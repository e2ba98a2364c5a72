//! Items a second through every room, with real threads and a ledger on disk, into destinations that answer at once and
//! have no quotas: what loopd itself needs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connectors::Clock;
use connectors::clock::SystemClock;
use connectors::http::{Broken, Transport};
use http::{Request, Response};
use loopd::daemon;
use loopd::ledger::SledStore;
use sandbox::{Reply, Vendor, World};

use crate::Size;
use crate::figures::{Aim, Figures};
use crate::machine::{Timer, cpu_ms, folder, free_space, pause};
use crate::support::TestClock;
use crate::town::{BASE, config};
use crate::works::{furnish_vendors, has_read, house, is_quiet, open_issues};

/// The sandbox in process, at once.
pub(crate) struct Direct {
    pub(crate) world: Arc<World>,
    pub(crate) vendor: Vendor,
}

#[async_trait]
impl Transport for Direct {
    async fn send(&self, request: Request<Bytes>, _timeout: Duration) -> Result<Response<Bytes>, Broken> {
        match self.world.call(self.vendor, request) {
            Reply::Answer { response, .. } => Ok(response),
            Reply::Cut { .. } => Err(Broken::NoAnswer("cut".into())),
        }
    }
}

/// Quotas that never bind, on our side. (A window of a second would be waited out at the start.)
pub(crate) const LIFTED: &str = "
[connection.airtable.quota]
calls = 1000000
per_seconds = 10
burst = 500000
[connection.linear.quota]
calls = 1000000
per_seconds = 10
burst = 500000
[connection.github.quota]
calls = 1000000
per_seconds = 10
burst = 500000
";

/// And on the vendors'.
pub(crate) fn lift(world: &World) {
    world.airtable(|desk, _| desk.set_quota(1_000_000, 1_000_000, None));
    world.linear(|desk, _| desk.set_quota(Some((100_000_000, 1_000_000_000))));
}

pub(crate) fn run(size: Size, figures: &mut Figures) {
    let items = size.pick(10_000, 1_000);
    let folder = folder();
    let clock = Arc::new(SystemClock::new());
    let world = World::new(7, {
        let clock = clock.clone();
        Arc::new(move || clock.now())
    });
    furnish_vendors(&world);
    lift(&world);
    let store = Arc::new(SledStore::open(&folder.path().join("ledger"), free_space()).expect("a new ledger"));
    let house = house(store, clock, &config(LIFTED), {
        let world = world.clone();
        move |vendor| Arc::new(Direct { world: world.clone(), vendor })
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for connection in ["airtable", "linear"] {
        runtime.block_on(crate::furnish::setup(&house, &TestClock::new(), connection));
    }
    let bugs = open_issues(&world, items, 20);
    let (timer, cpu) = (Timer::start(), cpu_ms());
    let running = {
        let _inside = runtime.enter();
        daemon::start(&house).expect("the ledger is open")
    };
    while !(has_read(&house, "github", items) && is_quiet(&house)) {
        assert!(timer.seconds() < 1200.0, "the items do not arrive");
        pause(Duration::from_millis(20));
    }
    let (seconds, cpu) = (timer.seconds(), cpu_ms() - cpu);
    assert_eq!(runtime.block_on(running.stop()), Vec::<String>::new(), "a room died");
    assert_eq!(
        world.airtable(|desk, _| desk.rows(BASE, "Feedback").len()) as u64,
        items,
        "an item is missing or doubled"
    );
    assert_eq!(world.linear(|desk, _| desk.issues().len()) as u64, bugs, "an issue is missing or doubled");
    let books = world.books(Vendor::Airtable);
    figures.add(
        "throughput",
        format!("{items} items, 1 in 20 also into Linear"),
        items as f64 / seconds,
        "items/s",
        Aim::None,
    );
    figures.add(
        "throughput",
        "processor time for an item, with the stand-ins' own",
        cpu / items as f64,
        "ms",
        Aim::None,
    );
    figures.add(
        "throughput",
        "items in one call to Airtable",
        items as f64 / books.by_operation.get("PATCH records").map_or(1.0, |calls| *calls as f64),
        "",
        Aim::None,
    );
}

//! The whole engine over any store, with the whole sandbox behind it, on virtual time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use connectors::Clock;
use connectors::http::Transport;
use loopd::daemon::{Materials, build, classifier, rooms};
use loopd::house::House;
use loopd::intake::{admit, receive};
use loopd::ledger::{ENRICH, Ledger, NoProbe, Store, TRIAGE, Tree, sync_lane};
use loopd::sync::RANKS;
use sandbox::github::NewIssue;
use sandbox::intercom::NewCompany;
use sandbox::{Vendor, World};
use serde_json::json;

use crate::support::TestClock;
use crate::timeline::{Task, Timeline, Wire, keep_working};
use crate::town::{BASE, NoMachine, REPO, SECRET};

pub(crate) struct Works {
    pub(crate) world: Arc<World>,
    pub(crate) house: Arc<House>,
    pub(crate) line: Arc<Timeline>,
    tasks: Vec<Task>,
}

/// Vendors whose accounts are made, and whose clock this is.
pub(crate) fn vendors(clock: &Arc<TestClock>) -> Arc<World> {
    let world = World::new(7, clock.hands());
    furnish_vendors(&world);
    world
}

pub(crate) fn furnish_vendors(world: &Arc<World>) {
    for vendor in Vendor::ALL {
        world.set_base(vendor, &format!("https://{}.example.com", vendor.name()));
    }
    world.github(|desk, cx| {
        desk.create_repo(REPO, cx);
        desk.set_webhook(REPO, "https://loopd.example.com/hooks/github", SECRET, cx);
    });
    crate::furnish::accounts(world);
}

/// The house of this configuration (the town's, mostly), over this store and this way out.
pub(crate) fn house(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    text: &str,
    transport: impl Fn(Vendor) -> Arc<dyn Transport> + Send + Sync + 'static,
) -> Arc<House> {
    let path = PathBuf::from("config.toml");
    let machine = NoMachine { files: [(path.clone(), text.to_owned())].into() };
    let config =
        loopd::config::load(Path::new("config.toml"), &machine).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let ledger = Ledger::over(store, Arc::new(NoProbe)).expect("an empty or whole ledger");
    let classifier = classifier(&config);
    let transport = Arc::new(move |name: &str| {
        // Connections are named as their vendor; one that is only ever sent to calls nobody, and any way out will do.
        let vendor = Vendor::ALL.into_iter().find(|vendor| vendor.name() == name);
        transport(vendor.unwrap_or(Vendor::GitHub))
    });
    Arc::new(
        build(config, &machine, Materials { ledger, clock, transport, classifier, vaults: loopd::vault::none() })
            .expect("a good configuration"),
    )
}

impl Works {
    /// `text`: the configuration. `delay`: how long each call takes.
    pub(crate) fn open(store: Arc<dyn Store>, text: &str, delay: Duration) -> Self {
        let line = Arc::new(Timeline::default());
        let world = vendors(&line.clock);
        let wire = {
            let (world, line) = (world.clone(), line.clone());
            move |delay| {
                let (world, line) = (world.clone(), line.clone());
                move |vendor| {
                    Arc::new(Wire { world: world.clone(), vendor, line: line.clone(), delay }) as Arc<dyn Transport>
                }
            }
        };
        // Setting up is no part of any measurement: its calls take no time.
        let first = house(store.clone(), line.clock.clone(), text, wire(Duration::ZERO));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for connection in first.connections.keys() {
            runtime.block_on(crate::furnish::setup(&first, &line.clock, connection));
        }
        drop(first);
        line.clock.advance(Duration::from_secs(3600));
        let house = house(store, line.clock.clone(), text, wire(delay));
        let tasks = rooms(&house)
            .into_iter()
            .map(|room| Box::pin(keep_working(house.clone(), room, line.clone())) as Task)
            .collect();
        Self { world, house, line, tasks }
    }

    /// Runs until all that is known of has been brought everywhere, and `also`.
    pub(crate) fn settle(&mut self, most: Duration, mut also: impl FnMut(&House) -> bool) {
        let (world, house, line) = (self.world.clone(), self.house.clone(), self.line.clone());
        let post = || {
            deliver(&world, &house, &line);
            world.next_webhook().map(|due| since_start(&line, due))
        };
        let done = || is_quiet(&house) && also(&house);
        self.line.run(&mut self.tasks, most, post, done);
    }

    pub(crate) fn rows(&self, table: &str) -> usize {
        self.world.airtable(|desk, _| desk.rows(BASE, table).len())
    }
}

fn since_start(line: &Timeline, at: DateTime<Utc>) -> Duration {
    line.clock.monotonic() + (at - line.clock.now()).to_std().unwrap_or_default()
}

/// Brings what the vendors have sent to our door.
fn deliver(world: &World, house: &House, line: &Timeline) {
    for outgoing in world.due_webhooks() {
        line.act();
        let raw = connectors::Request { headers: &outgoing.headers, body: &outgoing.body };
        let status = match receive(house, outgoing.vendor.name(), raw) {
            Ok(arrived) if admit(&house.ledger, std::slice::from_ref(&arrived)).is_ok() => 200,
            Ok(_) => 503,
            Err(rejection) => rejection.status(),
        };
        world.delivered(outgoing, Some(status));
    }
}

/// Opens issues; one in `severe` is a bug that goes to Linear. Returns how many those are.
pub(crate) fn open_issues(world: &World, count: u64, severe: u64) -> u64 {
    let mut bugs = 0;
    for number in 1..=count {
        let body =
            format!("When I export table {number}, it stops after {} rows. I expected all of them.", number * 7 % 1000);
        let bug = severe > 0 && number % severe == 0;
        bugs += u64::from(bug);
        open_issue(world, number, &body, if bug { &["bug", "p1"] } else { &["enhancement", "p3"] });
    }
    bugs
}

/// Companies that have an account at Salesforce, too; among them they write so many times. One message in `severe` is a bug
/// that goes to Linear. Returns how many those are.
pub(crate) fn open_conversations(world: &World, companies: u64, count: u64, severe: u64) -> u64 {
    let mut contacts = Vec::new();
    for n in 1..=companies {
        let (name, site) = (format!("Company {n} Example"), format!("https://c{n}.example.com"));
        let id = format!("c-{n}");
        contacts.push(world.intercom(|desk, cx| {
            let new = NewCompany { name: &name, company_id: &id, website: Some(&site), ..NewCompany::default() };
            let company = desk.add_company(&new, cx);
            desk.add_contact(&format!("Person {n}"), &format!("person@c{n}.example.com"), Some(&company), cx)
        }));
        world.salesforce(|desk, cx| desk.create(cx, "Account", &json!({"Name": name, "Website": site})));
    }
    let mut bugs = 0;
    for (number, contact) in (1..=count).zip(contacts.iter().cycle()) {
        let bug = number.is_multiple_of(severe);
        bugs += u64::from(bug);
        let body = if bug {
            format!("Production is down: every request crashes with error 500 ({number})")
        } else {
            format!("Feature request: please add a limit of {number} rows to the export")
        };
        let opened = world.intercom(|desk, cx| desk.open_conversation(contact, "", &body, None, cx));
        opened.expect("the contact is there");
    }
    bugs
}

pub(crate) fn open_issue(world: &World, number: u64, body: &str, labels: &[&str]) {
    let title = format!("Report {number}: the export stops");
    let new = NewIssue { title: &title, body: Some(body), author: "ada-example", labels, ..NewIssue::default() };
    world.github(|desk, cx| desk.open_issue(REPO, &new, cx).expect("the repository is there"));
}

/// Throws away what the vendors have to say about what was just done at them: those who poll find it all the same.
pub(crate) fn drop_webhooks(world: &World) {
    while !world.due_webhooks().is_empty() {}
}

/// Nothing that is known of has still to be brought anywhere.
pub(crate) fn is_quiet(house: &House) -> bool {
    let ledger = &house.ledger;
    let quiet = |lane: &str| ledger.next_due(lane, RANKS).expect("the ledger is open").is_none();
    ledger.inbox(1).expect("the ledger is open").is_empty()
        && quiet(ENRICH)
        && quiet(TRIAGE)
        && house.connections.keys().all(|connection| quiet(&sync_lane(connection)))
}

/// So many records have been read from this connection.
pub(crate) fn has_read(house: &House, from: &str, items: u64) -> bool {
    let positions = house.ledger.positions().expect("the ledger is open");
    positions.iter().any(|(connection, _, position)| connection == from && position.records >= items)
}

/// Entities that there are.
pub(crate) fn entities(house: &House) -> usize {
    house.ledger.count(Tree::Entities).expect("the ledger is open")
}

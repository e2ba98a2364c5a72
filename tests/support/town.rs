//! A town: the whole engine and the whole sandbox on one thread, under one clock that only moves when nothing is left
//! to do now. The engine can be stopped anywhere, lose its power, and come back; the vendors remember.
#![expect(unreachable_pub, reason = "each test binary includes this file as a module")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use connectors::http::{Broken, Transport, Wire};
use connectors::{Clock, Kind};
use http::{Request, Response};
use loopd::config::{Config, World as Machine};
use loopd::daemon::{Materials, build, rooms};
use loopd::house::{House, Stage, Step};
use loopd::intake::{admit, receive};
use loopd::ledger::{Ledger, MemoryStore, NoProbe, Tree};
use sandbox::{Vendor, World};

use crate::support::{InProcess, TestClock};

/// A machine without files but the configuration's.
pub struct NoMachine {
    pub files: BTreeMap<PathBuf, String>,
}

impl Machine for NoMachine {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
    fn list(&self, folder: &Path, extension: &str) -> std::io::Result<Vec<PathBuf>> {
        Ok(self
            .files
            .keys()
            .filter(|path| path.parent() == Some(folder) && path.extension().is_some_and(|own| own == extension))
            .cloned()
            .collect())
    }
    fn env(&self, name: &str) -> Option<String> {
        Some(match name {
            "GITHUB_TOKEN" => Vendor::GitHub.token().to_owned(),
            "INTERCOM_TOKEN" => Vendor::Intercom.token().to_owned(),
            "AIRTABLE_TOKEN" => Vendor::Airtable.token().to_owned(),
            "LINEAR_TOKEN" => Vendor::Linear.token().to_owned(),
            "NOTION_TOKEN" => Vendor::Notion.token().to_owned(),
            "SALESFORCE_SECRET" => sandbox::salesforce::CLIENT_SECRET.to_owned(),
            "SALESFORCE_TOKEN" => Vendor::Salesforce.token().to_owned(),
            "GOOGLE_KEY" => serde_json::json!({
                "client_email": sandbox::google::ACCOUNT, "private_key_id": "k1",
                "private_key": include_str!("../../connectors/github/fixtures/app_key_for_tests_only.pem"),
            })
            .to_string(),
            name if name.ends_with("_HOOK") => SECRET.to_owned(),
            // Any other vendor's, by its name.
            name => {
                let vendor = name.strip_suffix("_TOKEN")?.to_lowercase();
                Vendor::ALL.into_iter().find(|known| known.name() == vendor)?.token().to_owned()
            }
        })
    }
    fn credentials(&self) -> Option<PathBuf> {
        None
    }
}

/// Signs all webhooks of the town.
pub const SECRET: &str = "a secret between the town and its vendors";
pub const REPO: &str = "lumen-example/widgets";
pub const BASE: &str = "appSandbox0000001";

/// The configuration of a town, with all four vendors.
pub fn config(extra: &str) -> String {
    let airtable = loopd::config::routes(&[Kind::Airtable]);
    format!(
        r#"
[http]
public_url = "https://loopd.example.com"

[sync]
settle_seconds = 3
counts_settle_seconds = 30

[connection.github]
kind = "github"
repos = ["{REPO}"]
token = {{ env = "GITHUB_TOKEN" }}
webhook = true
webhook_secret = {{ env = "GITHUB_HOOK" }}

[connection.intercom]
kind = "intercom"
token = {{ env = "INTERCOM_TOKEN" }}
webhook = true
webhook_secret = {{ env = "INTERCOM_HOOK" }}

[connection.airtable]
kind = "airtable"
base = "{BASE}"
token = {{ env = "AIRTABLE_TOKEN" }}
webhook = true

[connection.linear]
kind = "linear"
team = "ENG"
token = {{ env = "LINEAR_TOKEN" }}
webhook = true
webhook_secret = {{ env = "LINEAR_HOOK" }}

{airtable}
[[route]]
entity = "feedback"
to = "linear.issue"
when = '.tags.category == "bug" and (.tags.severity == "high" or .tags.severity == "critical")'

[[route]]
entity = "feedback"
to = "linear.attachment"
when = '.tags.category == "bug" and (.tags.severity == "high" or .tags.severity == "critical")'

[[route]]
entity = "feedback"
to = "linear.need"
when = '.customer != null and .tags.category == "bug" and (.tags.severity == "high" or .tags.severity == "critical")'

[[route]]
entity = "customer"
to = "linear.customer"

{extra}
"#
    )
}

/// Beside those four: Notion and Salesforce, so that one item lives in up to four places.
pub fn two_more() -> String {
    let routes = loopd::config::routes(&[Kind::Notion, Kind::Salesforce]);
    let (page, client) = (sandbox::notion::PAGE, sandbox::salesforce::CLIENT_ID);
    format!(
        r#"
[connection.notion]
kind = "notion"
page = "{page}"
token = {{ env = "NOTION_TOKEN" }}
webhook = true
webhook_secret = {{ env = "NOTION_HOOK" }}

[connection.salesforce]
kind = "salesforce"
base_url = "https://salesforce.example.com"
client_id = "{client}"
client_secret = {{ env = "SALESFORCE_SECRET" }}
quota = {{ calls = 600, per_seconds = 60, burst = 200 }}

{routes}
"#
    )
}

/// A room, and when it wants to work again.
pub type Waiting = (Box<dyn Stage>, Option<DateTime<Utc>>);

pub struct Town {
    pub world: Arc<World>,
    pub clock: Arc<TestClock>,
    pub store: Arc<MemoryStore>,
    pub house: Arc<House>,
    pub rooms: Vec<Waiting>,
    /// What lies on the machine: `config.toml`, and mappings. A change is read at the next start.
    pub files: BTreeMap<PathBuf, String>,
    /// Calls whose path holds this are answered 500.
    pub broken: Arc<Mutex<Option<&'static str>>>,
    runtime: tokio::runtime::Runtime,
    pub steps: u64,
    /// A room failed; the reason is kept for the test to see.
    pub failures: Vec<String>,
}

/// The way to a vendor of which a part does not work.
struct Breakable {
    inner: InProcess,
    broken: Arc<Mutex<Option<&'static str>>>,
}

#[async_trait]
impl Transport for Breakable {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, Broken> {
        let broken = *self.broken.lock().expect("one thread");
        if broken.is_some_and(|part| request.uri().path().contains(part)) {
            return Ok(Response::builder().status(500).body(Bytes::new()).expect("a response"));
        }
        self.inner.send(request, timeout).await
    }

    async fn dial(&self, url: &str) -> Result<Box<dyn Wire>, Broken> {
        self.inner.dial(url).await
    }
}

/// The way to where nobody is.
struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn send(&self, _request: Request<Bytes>, _timeout: Duration) -> Result<Response<Bytes>, Broken> {
        Err(Broken::NotSent("nobody is there".into()))
    }
}

fn house(
    world: &Arc<World>,
    clock: &Arc<TestClock>,
    store: &Arc<MemoryStore>,
    files: &BTreeMap<PathBuf, String>,
    broken: &Arc<Mutex<Option<&'static str>>>,
) -> Arc<House> {
    let path = PathBuf::from("config.toml");
    let machine = NoMachine { files: files.clone() };
    let config: Config = loopd::config::load(&path, &machine).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let ledger = Ledger::over(store.clone(), Arc::new(NoProbe)).expect("a ledger in memory");
    let (transport_world, transport_clock, transport_broken) = (world.clone(), clock.clone(), broken.clone());
    let classifier = loopd::daemon::classifier(&config);
    // Only a connection that signs in has a file there.
    let vaults = loopd::vault::files(&config.auth.dir);
    let materials = Materials {
        ledger,
        clock: clock.clone(),
        transport: Arc::new(move |name: &str| {
            // Connections are named as their vendor; what is only ever sent to us has none.
            let model = (name == loopd::model::MODEL).then_some(Vendor::Mistral);
            let Some(vendor) = model.or_else(|| Vendor::ALL.into_iter().find(|vendor| vendor.name() == name)) else {
                return Arc::new(Nowhere);
            };
            let inner = InProcess { world: transport_world.clone(), vendor, clock: transport_clock.clone() };
            Arc::new(Breakable { inner, broken: transport_broken.clone() })
        }),
        classifier,
        vaults,
    };
    let house = build(config, &machine, materials).expect("a good configuration");
    loopd::import::configured(&house, &machine).expect("memory");
    Arc::new(house)
}

impl Town {
    /// An empty town: a repository, a base with the tables that the mappings need, a Linear team.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, "")
    }

    /// One in which an item lives in up to four places.
    pub fn of_four(seed: u64) -> Self {
        Self::with(seed, &two_more())
    }

    pub fn with(seed: u64, extra: &str) -> Self {
        Self::furnished(seed, extra, BTreeMap::new())
    }

    /// A town whose machine has these files beside its configuration.
    pub fn furnished(seed: u64, extra: &str, mut files: BTreeMap<PathBuf, String>) -> Self {
        let clock = TestClock::new();
        let world = World::new(seed, clock.hands());
        for vendor in Vendor::ALL {
            let host = format!("https://{}.example.com", vendor.name());
            world.set_base(vendor, &host);
        }
        world.github(|desk, cx| {
            desk.create_repo(REPO, cx);
            desk.set_webhook(REPO, "https://loopd.example.com/hooks/github", SECRET, cx);
        });
        world.intercom(|desk, _| desk.set_webhook("https://loopd.example.com/hooks/intercom", SECRET));
        crate::furnish::accounts(&world);
        let store = Arc::new(MemoryStore::new());
        files.insert("config.toml".into(), config(extra));
        let broken = Arc::default();
        let house = house(&world, &clock, &store, &files, &broken);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for connection in house.connections.keys() {
            runtime.block_on(crate::furnish::setup(&house, &clock, connection));
        }
        let rooms = rooms(&house).into_iter().map(|room| (room, None)).collect();
        Self { world, clock, store, house, rooms, files, broken, runtime, steps: 0, failures: Vec::new() }
    }

    /// The engine ends here and now, and begins again. With `kept`: the machine loses its power, and of what was not
    /// durable only the first so many commits are found on the disk.
    pub fn restart(&mut self, kept: Option<usize>) {
        if let Some(kept) = kept {
            self.store.lose_power(kept);
        }
        self.rooms.clear();
        self.house = house(&self.world, &self.clock, &self.store, &self.files, &self.broken);
        self.rooms = rooms(&self.house).into_iter().map(|room| (room, None)).collect();
    }

    /// One step of one room. `true` when it worked.
    pub fn step(&mut self, at: usize) -> bool {
        self.steps += 1;
        let (room, due) = &mut self.rooms[at];
        match self.runtime.block_on(room.step()) {
            Ok(Step::Worked) => {
                for (_, due) in &mut self.rooms {
                    *due = None;
                }
                true
            }
            Ok(Step::Idle { until }) => {
                *due = Some(until.unwrap_or(DateTime::<Utc>::MAX_UTC));
                false
            }
            Err(error) => {
                self.failures.push(format!("{}: {error}", room.name()));
                *due = Some(self.clock.now() + chrono::TimeDelta::seconds(1));
                false
            }
        }
    }

    /// Whether a room may have something to do now.
    pub fn is_due(&self, at: usize) -> bool {
        self.rooms[at].1.is_none_or(|due| due <= self.clock.now())
    }

    /// Brings what the vendors have sent to our door.
    pub fn post(&mut self) -> bool {
        let mut came = false;
        for outgoing in self.world.due_webhooks() {
            came = true;
            let raw = connectors::Request { headers: &outgoing.headers, body: &outgoing.body };
            let status = match receive(&self.house, outgoing.vendor.name(), raw) {
                Ok(arrived) => {
                    let taken = admit(&self.house.ledger, &[arrived]);
                    if taken.is_ok() { 200 } else { 503 }
                }
                Err(rejection) => rejection.status(),
            };
            self.world.delivered(outgoing, Some(status));
        }
        if came {
            for (_, due) in &mut self.rooms {
                *due = None;
            }
        }
        came
    }

    /// Lets time pass: everything that is due is done, then the clock jumps to what is due next.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.clock.now() + span;
        let (mut moment, mut turns) = (self.clock.now(), 0);
        loop {
            // A house that works for ever without time passing is caught in a circle.
            if self.clock.now() > moment {
                (moment, turns) = (self.clock.now(), 0);
            }
            let mut worked = self.post();
            for at in 0..self.rooms.len() {
                while self.is_due(at) && self.step(at) {
                    worked = true;
                    turns += 1;
                    assert!(turns < 20_000, "a circle in {}: {:#?}", self.rooms[at].0.name(), self.unfinished());
                }
            }
            if worked {
                continue;
            }
            let next = self.next();
            if next > end {
                let rest = (end - self.clock.now()).to_std().unwrap_or_default();
                self.clock.advance(rest);
                return;
            }
            let wait = (next - self.clock.now()).to_std().unwrap_or_default();
            self.clock.advance(wait.max(Duration::from_millis(1)));
        }
    }

    /// When anything is due.
    pub fn next(&self) -> DateTime<Utc> {
        let rooms = self.rooms.iter().filter_map(|(_, due)| *due).min();
        let post = self.world.next_webhook();
        [rooms, post].into_iter().flatten().min().unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// What is left undone; a quiet town has none.
    pub fn unfinished(&self) -> Vec<String> {
        let mut left = Vec::new();
        for tree in [Tree::Inbox, Tree::Effects, Tree::Parked] {
            let count = self.house.ledger.count(tree).expect("memory");
            if count > 0 {
                let rows = self.house.ledger.store().scan(tree, &[], None, 3).expect("memory");
                let keys: Vec<String> =
                    rows.iter().map(|(key, _)| String::from_utf8_lossy(key).escape_debug().to_string()).collect();
                left.push(format!("{count} in {}: {keys:?}", tree.name()));
            }
        }
        for (lane, (count, _)) in self.house.ledger.queues().expect("memory") {
            left.push(format!("{count} queued for {lane}"));
            for claim in self.house.ledger.due(&lane, 9, DateTime::<Utc>::MAX_UTC, 5).expect("memory") {
                let item = loopd::sync::read_item(&claim.item);
                let effect = item.as_ref().and_then(|(id, collection)| {
                    self.house.ledger.effect(*id, lane.strip_prefix("sync/")?, collection).expect("memory")
                });
                left.push(format!("  {item:?} {:?} {effect:?}", claim.slot));
            }
        }
        if !left.is_empty() {
            left.push(format!("now {}; {:#?}", self.clock.now(), self.house.ledger.conditions().expect("memory")));
        }
        left
    }

    /// The teardown of every story.
    pub fn assert_quiet(&self) {
        assert_eq!(self.unfinished(), Vec::<String>::new(), "work is left undone");
        assert_eq!(loopd::ledger::verify(&self.house.ledger).expect("memory"), Vec::new(), "a law is broken");
        assert_eq!(self.failures, Vec::<String>::new(), "a room failed");
    }
}

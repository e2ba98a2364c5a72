//! What `loopd plan` foretells is what a run does; and a ledger that was lost comes back from the destinations, so that
//! nothing is made twice. In process, on a clock that only moves when told.

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use connectors::Kind;
use connectors::http::Transport;
use loopd::config::{self, Config};
use loopd::daemon::{self, Materials};
use loopd::enrich::Offline;
use loopd::house::{House, Step};
use loopd::ledger::{Ledger, MemoryStore, NoProbe, What, verify};
use loopd::pause::Pause;
use loopd::plan::{Given, Plan, WayOut, plan};
use loopd::{rebuild, setup};
use sandbox::github::NewIssue;
use sandbox::{Vendor, World};
use serde_json::json;
use support::{InProcess, TestClock};

const CONFIG: &str = r#"
[sync]
settle_seconds        = 1
counts_settle_seconds = 3
stale_read_seconds    = 5

[connection.github]
kind  = "github"
repos = ["acme/app"]
token = { env = "github" }

[connection.airtable]
kind     = "airtable"
base     = "appTest"
token    = { env = "airtable" }
typecast = true

[connection.linear]
kind  = "linear"
team  = "ENG"
token = { env = "linear" }
"#;

/// No files; each secret is the sandbox's own.
struct Bare;

impl config::World for Bare {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn list(&self, _: &Path, _: &str) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
    fn env(&self, name: &str) -> Option<String> {
        Vendor::ALL.iter().find(|vendor| vendor.name() == name).map(|vendor| vendor.token().to_owned())
    }
    fn credentials(&self) -> Option<PathBuf> {
        None
    }
}

/// Waiting moves the clock.
struct Moving(Arc<TestClock>);

#[async_trait]
impl Pause for Moving {
    async fn pause(&self, wait: Duration) {
        self.0.advance(wait.max(Duration::from_millis(1)));
    }
}

struct Scene {
    config: String,
    clock: Arc<TestClock>,
    world: Arc<World>,
    ledger: Ledger,
}

fn fresh() -> Ledger {
    Ledger::over(Arc::new(MemoryStore::new()), Arc::new(NoProbe)).expect("an empty ledger")
}

fn configuration(text: &str) -> Config {
    config::load_text("config.toml", text, Path::new(""), &Bare).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

impl Scene {
    fn new() -> Self {
        let clock = TestClock::new();
        let world = World::new(7, clock.hands());
        world.airtable(|airtable, cx| airtable.create_base_with(cx, "appTest", "Feedback", &json!([])));
        world.github(|github, cx| github.create_repo("acme/app", cx));
        let scene = Self {
            config: format!("{CONFIG}{}", config::routes(&[Kind::Airtable, Kind::Linear])),
            clock,
            world,
            ledger: fresh(),
        };
        for (title, labels) in [
            ("Stream ends early", &["bug", "p1"][..]),
            ("Dark mode, please", &["enhancement"]),
            ("All calls fail", &["bug", "critical"]),
            ("How is it done?", &[]),
        ] {
            scene.open_issue(title, labels);
        }
        for at in 0..25 {
            scene.open_issue(&format!("Wish number {at}"), &["enhancement"]);
        }
        scene
    }

    fn open_issue(&self, title: &str, labels: &[&str]) {
        let new =
            NewIssue { title, body: Some("It is as it is."), author: "ada-example", labels, ..NewIssue::default() };
        self.world.github(|github, cx| github.open_issue("acme/app", &new, cx)).expect("it opens");
    }

    fn transport(&self) -> WayOut {
        let (world, clock) = (self.world.clone(), self.clock.clone());
        Arc::new(move |name: &str| {
            let vendor = Vendor::ALL.into_iter().find(|vendor| vendor.name() == name).expect("a vendor of that name");
            Arc::new(InProcess { world: world.clone(), vendor, clock: clock.clone() }) as Arc<dyn Transport>
        })
    }

    fn house(&self) -> Arc<House> {
        let materials = Materials {
            ledger: self.ledger.clone(),
            clock: self.clock.clone(),
            transport: self.transport(),
            classifier: Box::new(Offline::new(Vec::new())),
            vaults: loopd::vault::none(),
        };
        Arc::new(daemon::build(configuration(&self.config), &Bare, materials).expect("it is built"))
    }

    async fn set_up(&self) {
        let house = self.house();
        for name in ["airtable", "linear"] {
            setup::all(&house, &house.connections[name], &Moving(self.clock.clone())).await.expect("it is set up");
            let left =
                setup::plan(&house, &house.connections[name], &Moving(self.clock.clone())).await.expect("planned");
            assert!(left.iter().all(|change| change.by_hand.is_some()), "{name}: a second plan is empty: {left:?}");
        }
    }

    /// Lets the daemon's rooms work until every stream was read once more and nothing is left.
    async fn run(&self) {
        let house = self.house();
        let began = house.now();
        let mut rooms = daemon::rooms(&house);
        for _ in 0..20_000 {
            let mut worked = false;
            let mut next: Option<DateTime<Utc>> = None;
            for room in &mut rooms {
                match room.step().await.expect("the ledger holds") {
                    Step::Worked => worked = true,
                    Step::Idle { until } => next = next.into_iter().chain(until).min(),
                }
            }
            if worked {
                continue;
            }
            let positions = self.ledger.positions().expect("positions");
            let mut streams = positions.iter().filter(|(_, stream, _)| !stream.starts_with('('));
            let read = streams.clone().count() >= 5
                && streams.all(|(.., position)| position.caught_up.is_some_and(|at| at >= began));
            if read
                && self.ledger.queues().expect("queues").is_empty()
                && self.ledger.inbox(1).expect("inbox").is_empty()
            {
                return;
            }
            let wait = (next.expect("something is due") - house.now()).to_std().unwrap_or_default();
            self.clock.advance(wait.max(Duration::from_millis(1)));
        }
        panic!("it never came to rest: {:?}", self.ledger.queues());
    }

    async fn plan(&self) -> Plan {
        let given = Given {
            config: configuration(&self.config),
            world: &Bare,
            ledger: &self.ledger,
            transport: self.transport(),
            clock: self.clock.clone(),
            pause: Arc::new(Moving(self.clock.clone())),
            classifier: Box::new(Offline::new(Vec::new())),
            vaults: loopd::vault::none(),
        };
        plan(given, &mut |_, _| {}).await.expect("it is planned")
    }

    /// Creates and updates so far, by connection and collection, as the audit log has them.
    fn written(&self) -> BTreeMap<String, (u64, u64)> {
        let mut ids = Vec::new();
        self.ledger
            .each_entity(|entity| {
                ids.push(entity.id);
                Ok(())
            })
            .expect("entities");
        let mut written: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for entry in ids.into_iter().flat_map(|id| self.ledger.history(id).expect("history")) {
            let place = written.entry(format!("{}.{}", entry.by, entry.field.unwrap_or_default())).or_default();
            match entry.what {
                What::Linked => place.0 += 1,
                What::Written => place.1 += 1,
                _ => {}
            }
        }
        written.retain(|_, counts| *counts != (0, 0));
        written
    }

    fn rows(&self, table: &str) -> Vec<serde_json::Value> {
        self.world.airtable(|airtable, _| airtable.rows("appTest", table))
    }
}

fn foretold(plan: &Plan) -> BTreeMap<String, (u64, u64)> {
    let mut told = BTreeMap::new();
    for (name, forecast) in &plan.connections {
        for (collection, tally) in &forecast.collections {
            if (tally.creates, tally.updates) != (0, 0) {
                told.insert(format!("{name}.{collection}"), (tally.creates, tally.updates));
            }
        }
    }
    told
}

fn difference(
    after: &BTreeMap<String, (u64, u64)>,
    before: &BTreeMap<String, (u64, u64)>,
) -> BTreeMap<String, (u64, u64)> {
    let less = |(place, (creates, updates)): (&String, &(u64, u64))| {
        let (c, u) = before.get(place).copied().unwrap_or_default();
        (place.clone(), (creates - c, updates - u))
    };
    after.iter().map(less).filter(|(_, counts)| *counts != (0, 0)).collect()
}

#[tokio::test]
async fn a_plan_foretells_the_run() {
    let scene = Scene::new();
    scene.set_up().await;
    let calls = Vendor::ALL.map(|vendor| scene.world.books(vendor).by_operation.clone());
    let planned = scene.plan().await;
    assert_eq!(planned.problems, Vec::<String>::new());
    assert_eq!(scene.rows("Feedback").len(), 0, "a plan writes nothing");
    assert!(scene.written().is_empty() && scene.ledger.queues().expect("queues").is_empty());
    scene.run().await;
    assert_eq!(foretold(&planned), scene.written(), "{calls:?}");
    assert_eq!((scene.rows("Feedback").len(), scene.world.linear(|linear, _| linear.issues().len())), (29, 2));

    let again = scene.plan().await;
    assert_eq!(foretold(&again), BTreeMap::new(), "nothing is left to do");

    // People and customers go on.
    let row = scene
        .rows("Feedback")
        .into_iter()
        .find(|row| row["fields"]["Summary"] == "Dark mode, please")
        .expect("its row");
    scene.world.airtable(|airtable, cx| {
        airtable.edit_cell(
            cx,
            "appTest",
            "Feedback",
            row["id"].as_str().expect("an id"),
            "Status",
            &json!("Validated"),
        );
    });
    scene.open_issue("It crashes", &["bug", "p1"]);
    let before = scene.written();
    let planned = scene.plan().await;
    assert!(
        planned.at_stake.iter().any(|edit| edit.what == "taken" && edit.field == "Feedback.Status"),
        "{:?}",
        planned.at_stake
    );
    scene.run().await;
    assert_eq!(foretold(&planned), difference(&scene.written(), &before));
}

#[tokio::test]
async fn a_plan_foretells_what_a_changed_configuration_writes() {
    let mut scene = Scene::new();
    scene.open_issue("It is slow", &["bug", "p3"]);
    scene.set_up().await;
    scene.run().await;
    let when = r#".tags.category == "bug" and (.tags.severity == "high" or .tags.severity == "critical")"#;
    assert!(scene.config.contains(when));
    scene.config = scene.config.replace(when, r#".tags.category == "bug""#);
    let before = scene.written();
    let planned = scene.plan().await;
    assert_eq!(foretold(&planned).get("linear.issue"), Some(&(1, 0)), "{planned:?}");
    scene.run().await;
    assert_eq!(foretold(&planned), difference(&scene.written(), &before));
    assert_eq!(foretold(&scene.plan().await), BTreeMap::new(), "nothing is left to do");
}

#[tokio::test]
async fn a_lost_ledger_comes_back_and_nothing_is_made_twice() {
    let mut scene = Scene::new();
    scene.set_up().await;
    scene.run().await;
    let row = scene
        .rows("Feedback")
        .into_iter()
        .find(|row| row["fields"]["Summary"] == "Dark mode, please")
        .expect("its row");
    let edit = json!({"Status": "Validated", "Category": "Praise"});
    scene.world.airtable(|airtable, cx| {
        airtable.edit_row(cx, "appTest", "Feedback", row["id"].as_str().expect("an id"), &edit);
    });
    scene.run().await;
    let (rows, issues) = (scene.rows("Feedback"), scene.world.linear(|linear, _| linear.issues()));

    scene.ledger = fresh();
    let house = scene.house();
    let rebuilt = rebuild::rebuild(&house, &Moving(scene.clock.clone()), &mut |_| {}).await.expect("it is rebuilt");
    assert_eq!((rebuilt.entities.get("feedback"), rebuilt.left_out.len()), (Some(&29), 0), "{rebuilt:?}");
    assert_eq!(verify(&scene.ledger).expect("it can be read"), vec![]);
    let second = rebuild::rebuild(&house, &Moving(scene.clock.clone()), &mut |_| {}).await;
    assert!(matches!(second, Err(rebuild::RebuildError::NotEmpty(_))));
    scene.run().await;
    assert_eq!(scene.written(), BTreeMap::new(), "nothing is created and nothing is written again");
    assert_eq!((scene.rows("Feedback"), scene.world.linear(|linear, _| linear.issues())), (rows, issues));
    assert_eq!(verify(&scene.ledger).expect("it can be read"), vec![]);
}

#[tokio::test]
async fn a_record_that_was_made_anew_is_found_again() {
    let mut scene = Scene::new();
    scene.set_up().await;
    scene.run().await;
    let issues = scene.world.linear(|linear, _| linear.issues());
    let deleted = issues[0]["id"].as_str().expect("an id").to_owned();
    let id = deleted.parse().expect("loopd chose it");
    scene.world.linear(|linear, cx| linear.delete_issue(cx, &deleted));
    let house = scene.house();
    scene
        .ledger
        .transact(|tx| {
            let (entity, link) = (tx.entity(id)?.expect("known"), tx.link(id, "linear", "issue")?.expect("linked"));
            loopd::sync::gone(&house, tx, &entity, "linear", "issue", link)
        })
        .expect("memory");
    assert_eq!(loopd::restore::restore(&house, id, "issue", "ops").expect("memory"), Ok("linear.issue".into()));
    scene.run().await;
    let link = |ledger: &Ledger| ledger.link(id, "linear", "issue").expect("memory").expect("linked");
    let made = link(&scene.ledger);
    assert_eq!((made.generation, made.is_live(), made.id != deleted), (1, true, true));

    scene.ledger = fresh();
    let house = scene.house();
    let rebuilt = rebuild::rebuild(&house, &Moving(scene.clock.clone()), &mut |_| {}).await.expect("it is rebuilt");
    assert_eq!((rebuilt.entities.get("feedback"), rebuilt.left_out.len()), (Some(&29), 0), "{rebuilt:?}");
    assert_eq!((link(&scene.ledger).generation, link(&scene.ledger).id), (1, made.id));
    scene.run().await;
    assert_eq!(scene.world.linear(|linear, _| linear.issues().len()), issues.len());
    assert_eq!(verify(&scene.ledger).expect("it can be read"), vec![]);
}

#[tokio::test]
async fn customers_that_were_made_one_are_one_again() {
    let mut scene = Scene::new();
    scene.set_up().await;
    let import = |scene: &Scene| {
        let rows =
            "id,name,domain\na,Lumen,lumen.example.com\nb,Lumen Labs,labs.example.com\nc,Quill,quill.example.com\n";
        let customers = loopd::import::Kind::Customers;
        let bad = loopd::import::take_in_text(&scene.house(), customers, rows).expect("it is taken in");
        assert_eq!(bad, Vec::new());
    };
    import(&scene);
    scene.run().await;
    let of = |ledger: &Ledger, domain: &str| {
        let name = loopd::schema::Alias::parse(&format!("domain:{domain}")).expect("a name");
        ledger.transact(|tx| tx.customer_by(&name)).expect("memory").expect("known")
    };
    let (keep, lose) = (of(&scene.ledger, "lumen.example.com"), of(&scene.ledger, "labs.example.com"));
    loopd::customers::merge(&scene.house(), keep, lose, "ada").expect("memory").expect("they are two");
    scene.run().await;
    let rows = scene.rows("Customers");
    assert_eq!(rows.iter().filter(|row| row["fields"].get("Merged Into").is_some()).count(), 1, "{rows:?}");

    scene.ledger = fresh();
    let rebuilt = rebuild::rebuild(&scene.house(), &Moving(scene.clock.clone()), &mut |_| {}).await.expect("rebuilt");
    assert_eq!((rebuilt.merged, rebuilt.left_out.len()), (1, 0), "{rebuilt:?}");
    assert_eq!(verify(&scene.ledger).expect("it can be read"), vec![]);
    // What its source says anew goes on to the one in which it lives.
    import(&scene);
    scene.run().await;
    let lives = scene.ledger.entity(lose).expect("memory").expect("it is there");
    assert_eq!(lives.as_customer().and_then(|customer| customer.merged.as_ref()).map(|merge| merge.into), Some(keep));
    assert_eq!(of(&scene.ledger, "labs.example.com"), keep);
    assert_eq!(scene.rows("Customers"), rows, "no row is written again");
    assert_eq!(verify(&scene.ledger).expect("it can be read"), vec![]);
}

//! Where the demo plays: the sandbox over loopback HTTP, a configuration in a temporary folder, and the daemon itself.
//!
//! The law: the daemon here is the one of `loopd run`: the same house, rooms, listener and admin socket. Nothing is
//! called that a real vendor would not be called for; only [`Stage::world`] is the vendors' side.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use anyhow::Context as _;
use connectors::Clock;
use connectors::clock::SystemClock;
use sandbox::{Ports, Served, Vendor, World};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::cli::{admin, open};
use crate::config::{self, Machine};
use crate::daemon::{self, Running};
use crate::house::House;
use crate::intake::{Current, Door};
use crate::ledger::NoProbe;
use crate::pause::RealPause;
use crate::schema::{EntityId, EntityKind};
use crate::setup;
use crate::web::{self, Listening, Web};

use super::settings::{Names, STAGED, WEBHOOK_SECRET, write_config};

pub const BASE: &str = "appDemo0000000001";
pub(super) const TEAM: &str = "ENG";
pub const FEEDBACK: &str = "Feedback";
pub(super) const CUSTOMERS: &str = "Customers";
pub(super) const THEMES: &str = "Themes";
/// Salesforce's records of what was said.
pub(super) const CHILDREN: &str = "Loopd_Feedback__c";
/// The survey at Typeform.
pub const FORM: &str = "demoNPS1";
/// Our own domain: who writes from it is no customer.
pub(super) const OURS: &str = "ours.example.com";
/// What the pages of our product and the senders of usage are given.
pub(super) const APP_KEY: &str = "pk_demo_console_1";
pub(super) const WRITE_KEY: &str = "demo-write-key-of-20-letters";

pub struct Stage {
    pub world: Arc<World>,
    pub served: Served,
    pub house: Arc<House>,
    pub folder: PathBuf,
    pub config: PathBuf,
    pub address: SocketAddr,
    /// Calls that setting up took, per vendor: they are no part of the run.
    pub before: Vec<(Vendor, u64)>,
    /// Salesforce's ids of accounts, by their domain.
    pub accounts: BTreeMap<String, String>,
    running: Running,
    listening: Listening,
    asked: JoinHandle<()>,
}

/// The vendors, empty but for the repositories, a survey, and where Salesforce keeps the ARR.
pub async fn vendors(seed: u64, repos: &[String]) -> anyhow::Result<(Arc<World>, Served)> {
    let clock = SystemClock::new();
    let world = World::new(seed, Arc::new(move || clock.now()));
    world.airtable(|airtable, cx| airtable.create_base_with(cx, BASE, "Feedback", &serde_json::json!([])));
    world.github(|github, cx| {
        for repo in repos {
            github.create_repo(repo, cx);
        }
    });
    world.typeform(|typeform, cx| {
        let questions = json!([
            {"ref": "nps", "type": "nps", "title": "How likely are you to recommend us?"},
            {"ref": "why", "type": "long_text", "title": "Why?"},
        ]);
        typeform.add_form(FORM, "Customer survey", &questions, &["email"], cx)
    });
    // A workspace on the Business plan: the settings say why.
    world.notion(|notion, _| notion.set_quota(600));
    world.salesforce(|salesforce, cx| {
        salesforce.run_as(Some(true));
        let arr = json!({"type": "Currency", "precision": 18, "scale": 0, "label": "ARR"});
        salesforce.add_field(cx, "Account", "ARR__c", &arr);
    });
    let served = sandbox::serve(world.clone(), &Ports::new()).await.context("the sandbox cannot listen on loopback")?;
    Ok((world, served))
}

/// Opens the house, lets `setup` make the tables and labels, has the vendors send their webhooks here, and starts.
pub(super) async fn open(folder: &Path, world: Arc<World>, served: Served, names: &Names) -> anyhow::Result<Stage> {
    let address = free_address()?;
    let path = write_config(folder, &served, address, &STAGED, names)?;
    let config = config::load(&path, &Machine).map_err(|problems| {
        anyhow::anyhow!("the demo's own configuration is wrong, this is a bug:\n{}", open::render(&problems))
    })?;
    let ledger = open::ledger(&config, Arc::new(NoProbe))?;
    let socket = admin::socket_of(&config.ledger.path);
    let house = open::house(config, ledger.clone(), &open::way_out(Arc::new(NoProbe))?)?;
    // No route of the demo writes labels into GitHub.
    for connection in
        ["airtable", "linear", "notion", "salesforce"].iter().filter_map(|name| house.connections.get(*name))
    {
        setup::all(&house, connection, &RealPause).await?;
    }
    call_back(&world, address, names);
    let before = STAGED.map(|vendor| (vendor, world.books(vendor).calls)).to_vec();

    let current: Current = Arc::new(RwLock::new(house.clone()));
    let web = Web::new(current.clone(), Door::open(ledger), open::free_space());
    let listening = web::serve(&web, address).await.with_context(|| format!("{address} cannot be listened on"))?;
    let running = daemon::start(&house)?;
    let asked = admin::serve(&socket, current)?;
    Ok(Stage {
        world,
        served,
        house,
        folder: folder.to_owned(),
        config: path,
        address,
        before,
        accounts: names.accounts.clone(),
        running,
        listening,
        asked,
    })
}

/// Has the vendors whose webhooks a person makes send them to the daemon there; the others' it makes itself.
pub fn call_back(world: &World, address: SocketAddr, names: &Names) {
    let hook = |name: &str| format!("http://{address}/hooks/{name}");
    world.github(|github, cx| {
        for repo in &names.repos {
            github.set_webhook(repo, &hook("github"), WEBHOOK_SECRET, cx);
        }
    });
    world.intercom(|intercom, _| intercom.set_webhook(&hook("intercom"), WEBHOOK_SECRET));
    world.linear(|linear, cx| linear.set_webhook(cx, &hook("linear"), WEBHOOK_SECRET));
    world.notion(|notion, cx| notion.set_webhook(cx, &hook("notion"), WEBHOOK_SECRET));
    world.slack(|slack, _| slack.set_webhook(&hook("slack"), WEBHOOK_SECRET));
}

impl Stage {
    /// A room that ended: a bug.
    pub fn died(&self) -> Option<&str> {
        self.running.died()
    }

    /// The id under which Linear has the issue of something said: the item's own where the mapping keeps it as its key, else
    /// one that follows from it.
    pub(super) fn issue(&self, id: EntityId) -> String {
        let mapping = self.house.config.mappings.into_for("linear", "issue", EntityKind::Feedback);
        if mapping.is_some_and(|mapping| mapping.key.is_some()) { id } else { id.branch("linear.issue", 0) }.to_string()
    }

    /// Calls since the run began.
    pub fn calls(&self, vendor: Vendor) -> u64 {
        let before = self.before.iter().find(|(known, _)| *known == vendor).map_or(0, |(_, calls)| *calls);
        self.world.books(vendor).calls - before
    }

    /// Ends as the daemon does: each room finishes its step.
    pub async fn close(self) -> Vec<String> {
        self.asked.abort();
        self.listening.stop().await;
        let died = self.running.stop().await;
        self.served.shutdown().await;
        died
    }
}

/// A port that is free now. Somebody else may be faster; then listening says so.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
    Ok(listener.local_addr()?)
}

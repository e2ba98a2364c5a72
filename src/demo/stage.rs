//! Where the demo plays: the sandbox over loopback HTTP, a configuration in a temporary folder, and the daemon itself.
//!
//! The law: the daemon here is the one of `loopd run`: the same house, rooms, listener and admin socket. Nothing is
//! called that a real vendor would not be called for; only [`Stage::world`] is the vendors' side.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use anyhow::Context as _;
use connectors::clock::SystemClock;
use connectors::{Clock, Kind};
use sandbox::{Ports, Served, Vendor, World};
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

pub const BASE: &str = "appDemo0000000001";
pub(super) const TEAM: &str = "ENG";
pub const FEEDBACK: &str = "Feedback";
pub(super) const CUSTOMERS: &str = "Customers";
pub(super) const THEMES: &str = "Themes";
const WEBHOOK_SECRET: &str = "demo-webhook-secret";

pub struct Stage {
    pub world: Arc<World>,
    pub served: Served,
    pub house: Arc<House>,
    pub folder: PathBuf,
    pub config: PathBuf,
    pub address: SocketAddr,
    /// Calls that setting up took, per vendor: they are no part of the run.
    pub before: Vec<(Vendor, u64)>,
    running: Running,
    listening: Listening,
    asked: JoinHandle<()>,
}

/// The vendors, empty but for the repositories.
pub async fn vendors(seed: u64, repos: &[String]) -> anyhow::Result<(Arc<World>, Served)> {
    let clock = SystemClock::new();
    let world = World::new(seed, Arc::new(move || clock.now()));
    world.airtable(|airtable, cx| airtable.create_base_with(cx, BASE, "Feedback", &serde_json::json!([])));
    world.github(|github, cx| {
        for repo in repos {
            github.create_repo(repo, cx);
        }
    });
    let served = sandbox::serve(world.clone(), &Ports::new()).await.context("the sandbox cannot listen on loopback")?;
    Ok((world, served))
}

/// Opens the house, lets `setup` make the tables and labels, has the vendors send their webhooks here, and starts.
pub(super) async fn open(folder: &Path, world: Arc<World>, served: Served, repos: &[String]) -> anyhow::Result<Stage> {
    let address = free_address()?;
    let path = write_config(folder, &served, address, repos)?;
    let config = config::load(&path, &Machine).map_err(|problems| {
        anyhow::anyhow!("the demo's own configuration is wrong, this is a bug:\n{}", open::render(&problems))
    })?;
    let ledger = open::ledger(&config, Arc::new(NoProbe))?;
    let socket = admin::socket_of(&config.ledger.path);
    let house = open::house(config, ledger.clone(), &open::way_out(Arc::new(NoProbe))?)?;
    // No route of the demo writes labels into GitHub.
    for connection in ["airtable", "linear"].iter().filter_map(|name| house.connections.get(*name)) {
        setup::all(&house, connection, &RealPause).await?;
    }
    let hook = |name: &str| format!("http://{address}/hooks/{name}");
    world.github(|github, cx| {
        for repo in repos {
            github.set_webhook(repo, &hook("github"), WEBHOOK_SECRET, cx);
        }
    });
    world.intercom(|intercom, _| intercom.set_webhook(&hook("intercom"), WEBHOOK_SECRET));
    world.linear(|linear, cx| linear.set_webhook(cx, &hook("linear"), WEBHOOK_SECRET));
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
        running,
        listening,
        asked,
    })
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

/// The vendors that are in it.
pub const STAGED: [Vendor; 4] = [Vendor::GitHub, Vendor::Intercom, Vendor::Airtable, Vendor::Linear];

/// Writes the configuration and its secrets.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_config(folder: &Path, served: &Served, address: SocketAddr, repos: &[String]) -> anyhow::Result<PathBuf> {
    let secrets = folder.join("secrets");
    std::fs::create_dir_all(&secrets)?;
    for vendor in Vendor::ALL {
        std::fs::write(secrets.join(vendor.name()), vendor.token())?;
    }
    std::fs::write(secrets.join("webhook"), WEBHOOK_SECRET)?;
    let path = folder.join("config.toml");
    std::fs::write(&path, text(served, address, repos))?;
    Ok(path)
}

/// The demo's configuration: loopd's defaults, but that what takes minutes takes seconds.
fn text(served: &Served, address: SocketAddr, repos: &[String]) -> String {
    let mut text = format!(
        r#"# Written by `loopd demo`. The vendors here are the sandbox's.
[ledger]
path = "ledger"

[http]
listen     = "{address}"
public_url = "http://{address}"

[log]
filter = "warn"

[sync]
settle_seconds        = 1
counts_settle_seconds = 3
stale_read_seconds    = 5

[vocabularies]
product = [
  {{ value = "API", words = ["api", "endpoint", "request"] }}, {{ value = "SDK", words = ["sdk", "client", "python", "typescript"] }},
  {{ value = "Console", words = ["console", "dashboard", "workspace"] }}, {{ value = "OCR", words = ["ocr", "tables"] }},
]

"#
    );
    for vendor in STAGED {
        let (name, base) = (vendor.name(), served.base(vendor));
        // Some meter by the hour: a demo that lasts a minute may use much of the hour's calls at once.
        let (schedule, more) = match vendor {
            Vendor::GitHub => (
                "\"*/5 * * * *\"".to_owned(),
                format!("repos = {repos:?}\nquota = {{ calls = 5000, per_seconds = 3600, burst = 800 }}"),
            ),
            Vendor::Intercom => (
                "{ conversations = \"*/10 * * * * *\", companies = \"*/20 * * * * *\" }".to_owned(),
                "arr_attribute = \"arr\"".to_owned(),
            ),
            Vendor::Airtable => (
                "{ payloads = \"*/10 * * * * *\", modified = \"0 * * * * *\" }".to_owned(),
                // A tenth below the limit: here both sides share one machine, which may be busy with something else.
                format!("base = \"{BASE}\"\ntypecast = true\nquota = {{ calls = 9, per_seconds = 2 }}"),
            ),
            _ => (
                "\"*/20 * * * * *\"".to_owned(),
                format!("team = \"{TEAM}\"\nquota = {{ calls = 2400, per_seconds = 3600, burst = 1500 }}"),
            ),
        };
        // Airtable's secret comes with the webhook that loopd makes there.
        let secret = if vendor == Vendor::Airtable { "" } else { "webhook_secret = { file = \"secrets/webhook\" }\n" };
        let _ = writeln!(
            text,
            "[connection.{name}]\nkind = \"{name}\"\nbase_url = \"{base}\"\ntoken = {{ file = \"secrets/{name}\" }}\nwebhook = true\n{secret}schedule = {schedule}\n{more}\n"
        );
    }
    text.push_str(&config::routes(&[Kind::Airtable, Kind::Linear]));
    text
}

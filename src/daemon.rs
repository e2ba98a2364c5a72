//! Wires the house, and is the only loop that waits.
//!
//! Each room runs on a thread of its own, because the ledger's calls may wait for a disk; what a room awaits (a vendor's
//! answer) runs on the runtime. A room that has nothing to do sleeps until it said, or until its lane is nudged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connectors::http::{Broken, Transport, Wire};
use connectors::{Clock, Outside, SettingsError};
use http::{Request, Response};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::close::Close;
use crate::config::{Config, Problem, Provider, World};
use crate::enrich::stage::Enrich;
use crate::enrich::{Classifier, Offline, Term, Vocabulary};
use crate::house::{Connection, House, Stage, Step};
use crate::import;
use crate::intake::{Listen, Poll};
use crate::ledger::{Ledger, LedgerError, Probe};
use crate::model::{MODEL, Models};
use crate::normalize::{Normalize, redrive};
use crate::reconcile::Reconcile;
use crate::sync::Sync;
use crate::triage::{Near, Triage};
use crate::upkeep::Upkeep;
use crate::usage;
use crate::vault::Vaults;

/// Why the house cannot be built from its configuration.
#[derive(Debug, Error)]
pub enum BuildError {
    #[error("connection {connection}: {error}")]
    Settings { connection: String, error: SettingsError },
    #[error("{}", .0.what)]
    Secret(Box<Problem>),
}

/// The way out of each connection, by its name.
pub type WaysOut = Arc<dyn Fn(&str) -> Arc<dyn Transport> + Send + std::marker::Sync>;

/// What the house is built with besides its configuration.
pub struct Materials {
    pub ledger: Ledger,
    pub clock: Arc<dyn Clock>,
    pub transport: WaysOut,
    pub classifier: Box<dyn Classifier>,
    pub vaults: Vaults,
}

/// Opens every connection. Calls nobody.
pub fn build(mut config: Config, world: &dyn World, materials: Materials) -> Result<House, BuildError> {
    for mapping in import::mappings() {
        if config.mappings.from_for(import::CONNECTION, &mapping.collection).is_none() {
            config.mappings.from.push(mapping);
        }
    }
    let mut connections = BTreeMap::new();
    for (name, connection) in &config.connections {
        let secrets = config.secrets(name, world).map_err(|problem| BuildError::Secret(Box::new(problem)))?;
        let outside = Outside {
            transport: (materials.transport)(name),
            clock: materials.clock.clone(),
            vault: (materials.vaults)(name),
        };
        let connector = connectors::open(connection.kind, &connection.settings, &secrets, &outside)
            .map_err(|error| BuildError::Settings { connection: name.clone(), error })?;
        let callback = config.http.public_url.as_ref().map(|url| format!("{}/hooks/{name}", url.trim_end_matches('/')));
        connections.insert(name.clone(), Connection::new(name.clone(), connector, connection.webhook, callback));
    }
    materials.ledger.store().keep_free(config.ledger.keep_free_bytes);
    let models = open_models(&config, world, &materials)?;
    Ok(House {
        config,
        ledger: materials.ledger,
        clock: materials.clock,
        connections,
        classifier: materials.classifier,
        models,
        near: Near::default(),
    })
}

/// The endpoints of the language model: one, and one more for each region that has its own.
fn open_models(config: &Config, world: &dyn World, materials: &Materials) -> Result<Models, BuildError> {
    if config.model.provider == Provider::None {
        return Ok(Models::default());
    }
    let open = |base_url: &str| {
        let key = config.model_key(world).map_err(|problem| BuildError::Secret(Box::new(problem)))?;
        let outside = Outside {
            transport: (materials.transport)(MODEL),
            clock: materials.clock.clone(),
            vault: (materials.vaults)(MODEL),
        };
        let mut settings = config.model.settings.clone();
        settings.insert("base_url".into(), base_url.into());
        connectors::model::open(&settings, key, &outside)
            .map_err(|error| BuildError::Settings { connection: MODEL.into(), error })
    };
    let regions = config.model.regions.iter().map(|(region, url)| Ok((region.clone(), open(url)?)));
    let regions = regions.collect::<Result<_, BuildError>>()?;
    Ok(Models::new(Some(open(&config.model.base_url)?), regions))
}

/// The vocabularies that name something a text can be about; the others hold the words of judgements.
const NAMING: [&str; 3] = ["model", "product", "use_case"];

/// The model that suggests tags: it knows the configured vocabularies.
pub fn classifier(config: &Config) -> Box<dyn Classifier> {
    let naming = config.vocabularies.iter().filter(|(name, _)| NAMING.contains(&name.as_str()));
    let vocabularies = naming.map(|(name, terms)| Vocabulary {
        path: format!("tags.{name}"),
        terms: terms.iter().map(|term| Term { value: term.value.clone(), words: term.words.clone() }).collect(),
    });
    Box::new(Offline::new(vocabularies.collect()))
}

/// The rooms, in the order in which data passes through them.
pub fn rooms(house: &Arc<House>) -> Vec<Box<dyn Stage>> {
    let names = || house.connections.keys().cloned();
    let mut rooms: Vec<Box<dyn Stage>> = Vec::new();
    rooms.extend(names().map(|name| Box::new(Poll::new(house.clone(), name)) as Box<dyn Stage>));
    let listening = house.connections.values().filter(|connection| connection.connector.listener().is_some());
    rooms.extend(listening.map(|heard| Box::new(Listen::new(house.clone(), heard.name.clone())) as Box<dyn Stage>));
    rooms.push(Box::new(Normalize::new(house.clone())));
    rooms.push(Box::new(Reconcile::new(house.clone())));
    rooms.push(Box::new(Enrich::new(house.clone())));
    rooms.push(Box::new(Triage::new(house.clone())));
    for (name, connection) in &house.connections {
        if connection.connector.sink().is_some() {
            rooms.push(Box::new(Sync::new(house.clone(), name.clone())));
        }
        if connection.connector.messenger().is_some() {
            rooms.push(Box::new(Close::new(house.clone(), name.clone())));
        }
    }
    rooms.push(Box::new(usage::Room::new(house.clone())));
    rooms.push(Box::new(Upkeep::new(house.clone())));
    rooms
}

/// A house at work. Dropping it does not stop it; [`Running::stop`] does.
pub struct Running {
    stop: watch::Sender<bool>,
    tasks: Vec<(String, JoinHandle<()>)>,
    /// When each room last began or ended a step, in milliseconds of the clock's monotonic time.
    beats: Vec<(String, Arc<AtomicU64>)>,
}

/// Sets every room to work.
pub fn start(house: &Arc<House>) -> Result<Running, LedgerError> {
    let redriven = redrive(house)?;
    if redriven > 0 {
        tracing::info!(redriven, "dead letters whose mapping has changed go through again");
    }
    Ok(set_to_work(house, rooms(house)))
}

/// Sets some rooms to work.
pub fn set_to_work(house: &Arc<House>, rooms: Vec<Box<dyn Stage>>) -> Running {
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Vec::new();
    let mut beats = Vec::new();
    for room in rooms {
        let name = room.name();
        let beat = Arc::new(AtomicU64::new(millis(house)));
        beats.push((name.clone(), beat.clone()));
        let (house, stopped, handle) = (house.clone(), stopped.clone(), tokio::runtime::Handle::current());
        let work = move || handle.block_on(keep_working(&house, room, stopped, &beat));
        tasks.push((name, tokio::task::spawn_blocking(work)));
    }
    Running { stop, tasks, beats }
}

impl Running {
    /// Nobody at work, while one house hands over to the next.
    pub fn none() -> Self {
        Self { stop: watch::channel(false).0, tasks: Vec::new(), beats: Vec::new() }
    }

    /// Every room finishes the step it is in; then nothing is half done. Returns the rooms that had died.
    pub async fn stop(self) -> Vec<String> {
        let _ = self.stop.send(true);
        let mut died = Vec::new();
        for (name, task) in self.tasks {
            if task.await.is_err() {
                died.push(name);
            }
        }
        died
    }

    /// A room that ended by itself: a bug, since rooms never end.
    pub fn died(&self) -> Option<&str> {
        self.tasks.iter().find(|(_, task)| task.is_finished()).map(|(name, _)| name.as_str())
    }

    /// A room that has been in one step for longer than any step takes: a bug, or a disk that hangs.
    pub fn stuck(&self, house: &House) -> Option<&str> {
        let latest = millis(house).saturating_sub(u64::try_from(STUCK.as_millis()).unwrap_or(u64::MAX));
        self.beats.iter().find(|(_, beat)| beat.load(Ordering::Relaxed) < latest).map(|(name, _)| name.as_str())
    }
}

fn millis(house: &House) -> u64 {
    u64::try_from(house.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
}

/// Longer than any step, with its calls that time out and its longest sleep.
const STUCK: Duration = Duration::from_secs(600);
/// How long a room waits after the ledger failed it.
const LEDGER_DOWN: Duration = Duration::from_secs(2);
/// The longest sleep, so that a clock that jumped is noticed.
const LONGEST: Duration = Duration::from_secs(60);

async fn keep_working(house: &House, mut room: Box<dyn Stage>, mut stopped: watch::Receiver<bool>, beat: &AtomicU64) {
    let name = room.name();
    let nudged = house.ledger.nudged(&room.lane());
    let mut down = false;
    while !*stopped.borrow() {
        beat.store(millis(house), Ordering::Relaxed);
        let stepped = room.step().await;
        if stepped.is_ok() && std::mem::take(&mut down) {
            tracing::info!(room = %name, "room {name} works again");
        }
        let wait = match stepped {
            Ok(Step::Worked) => continue,
            Ok(Step::Idle { until: Some(until) }) => {
                (until - house.now()).to_std().unwrap_or_default().clamp(Duration::from_millis(1), LONGEST)
            }
            Ok(Step::Idle { until: None }) => LONGEST,
            Err(error) => {
                if !std::mem::replace(&mut down, true) {
                    tracing::error!(room = %name, %error, "room {name} cannot work; it keeps trying");
                }
                LEDGER_DOWN
            }
        };
        tokio::select! {
            () = pause(wait) => {}
            () = nudged.notified(), if !down => {}
            _ = stopped.changed() => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the daemon's loop is the one that waits")]
async fn pause(wait: Duration) {
    tokio::time::sleep(wait).await;
}

/// The way out with a probe around each call, so that crash tests can end the process there.
pub struct Probed {
    pub inner: Arc<dyn Transport>,
    pub probe: Arc<dyn Probe>,
}

#[async_trait]
impl Transport for Probed {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, Broken> {
        self.probe.at("call.before");
        let answer = self.inner.send(request, timeout).await;
        self.probe.at("call.after");
        answer
    }

    async fn dial(&self, url: &str) -> Result<Box<dyn Wire>, Broken> {
        self.inner.dial(url).await
    }
}

//! `loopd run`: the daemon. Opens everything, says it is ready, and then waits for a signal.
//!
//! The law: it starts only with a configuration that checks, keeps the one it has when a new one does not, and stops
//! with no step half done.

mod die;
mod reload;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Exit, Out, Told, admin, open};
use crate::config::Machine;
use crate::daemon::{self, Running};
use crate::house::House;
use crate::import;
use crate::intake::{Current, Door};
use crate::ledger::{NoProbe, Probe, poll_lane, sync_lane};
use crate::telemetry;
use crate::web::{self, Listening, Web};
use die::DieAt;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Crash tests: end by SIGKILL at the Nth time that POINT is passed (`commit.after:17`), or at a time that follows
    /// from SEED and is MEAN on average (`random:SEED:MEAN`)
    #[arg(long, hide = true, value_name = "POINT:N")]
    die_at: Option<DieAt>,
}

/// Often enough to see a dead room at once; a watchdog is never set to less.
const TICK: Duration = Duration::from_millis(500);

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let (config, warnings) =
        open::checked(&out.config_path()).map_err(|problems| Told::usage(open::render(&problems)))?;
    telemetry::start(&config.log, out.verbose()).map_err(|error| Told::usage(format!("error: {error}")))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let probe: Arc<dyn Probe> = match args.die_at {
        Some(die) => Arc::new(die),
        None => Arc::new(NoProbe),
    };
    // Before anything is open: a signal that comes early is not lost.
    let mut signals = Signals::listen()?;
    let ledger = open::ledger(&config, probe.clone())?;
    let (ledger_path, listen) = (config.ledger.path.clone(), config.http.listen);
    let transport = open::way_out(probe)?;
    let house = open::house(config, ledger.clone(), &transport)?;

    let current: Current = Arc::new(RwLock::new(house.clone()));
    let web = Web::new(current.clone(), Door::open(ledger), open::free_space());
    let listening =
        web::serve(&web, listen).await.with_context(|| format!("http.listen = \"{listen}\" cannot be listened on"))?;
    customers(&house);
    let running = daemon::start(&house)?;
    let socket = admin::socket_of(&ledger_path);
    let asked = match admin::serve(&socket, current.clone()) {
        Ok(task) => Some(task),
        Err(error) => {
            tracing::warn!(%error, socket = %socket.display(), "no admin socket: `loopd status` and its like will not reach this daemon");
            None
        }
    };
    reload::mended(&house)?;
    tracing::info!(address = %listening.address, connections = house.connections.len(), version = env!("CARGO_PKG_VERSION"), "loopd is ready");
    notify(&[NotifyState::Ready]);

    let mut daemon =
        Daemon { path: out.config_path(), current, web, running, transport, lost: false, signals: &mut signals };
    let died = daemon.watch().await;
    notify(&[NotifyState::Stopping]);
    if let Some(asked) = asked {
        asked.abort();
    }
    let Daemon { running, current, .. } = daemon;
    let exit = stop(running, listening, &mut signals, &current, died).await;
    // Nobody answers there any more.
    let _ = std::fs::remove_file(&socket);
    Ok(exit)
}

/// The file of customers is read with the configuration that names it. A ledger that takes nothing now is no reason not to
/// start: the file is read again at the next.
fn customers(house: &House) {
    if let Err(error) = import::configured(house, &Machine) {
        tracing::error!(%error, "customers.csv could not be taken in; it is read again at the next start or reload");
    }
}

/// What the daemon holds while it runs.
struct Daemon<'a> {
    path: PathBuf,
    current: Current,
    web: Arc<Web>,
    running: Running,
    transport: Arc<dyn connectors::http::Transport>,
    /// A reload left no room at work.
    lost: bool,
    signals: &'a mut Signals,
}

impl Daemon<'_> {
    /// Waits for the end: a signal (`false`), or a room that died (`true`).
    async fn watch(&mut self) -> bool {
        let mut tick = tokio::time::interval(TICK);
        let mut said_stuck = false;
        loop {
            tokio::select! {
                signal = self.signals.next() => match signal {
                    Asked::Stop => return false,
                    Asked::Reload => {
                        self.reload().await;
                        if self.lost {
                            return true;
                        }
                    }
                },
                _ = tick.tick() => {
                    if let Some(room) = self.running.died() {
                        tracing::error!(room, "room {room} has died; this is a bug. The daemon stops, to be started anew");
                        self.web.room_died(room);
                        return true;
                    }
                    let house = self.house();
                    for connection in house.connections.values().filter(|one| one.is_mended(house.now())) {
                        house.ledger.nudge(&poll_lane(&connection.name));
                        house.ledger.nudge(&sync_lane(&connection.name));
                    }
                    match self.running.stuck(&house) {
                        // No ping: the service manager restarts what hangs.
                        Some(room) if !said_stuck => {
                            tracing::error!(room, "room {room} has been in one step for 10 minutes");
                            said_stuck = true;
                        }
                        Some(_) => {}
                        None => {
                            said_stuck = false;
                            notify(&[NotifyState::Watchdog]);
                        }
                    }
                }
            }
        }
    }

    fn house(&self) -> Arc<House> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Ends the rooms and the listener, letting each finish what it is in. A second signal ends the process at once.
async fn stop(running: Running, listening: Listening, signals: &mut Signals, current: &Current, died: bool) -> Exit {
    tracing::info!("stopping: each room finishes the step it is in");
    let gracefully = async {
        let ((), died) = tokio::join!(listening.stop(), running.stop());
        died
    };
    tokio::pin!(gracefully);
    let mut tick = tokio::time::interval(TICK);
    let late = loop {
        tokio::select! {
            died = &mut gracefully => break died,
            asked = signals.next() => {
                if asked == Asked::Stop {
                    tracing::warn!("a second signal: stopping now. What was under way is taken up at the next start");
                    return Exit::Failed;
                }
            }
            _ = tick.tick() => notify(&[NotifyState::Watchdog]),
        }
    };
    for room in &late {
        tracing::error!(room = room.as_str(), "room {room} had died; this is a bug");
    }
    let house = current.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Err(error) = house.ledger.durable() {
        tracing::error!(%error, "the ledger could not be brought to disk at the end; nothing acknowledged is lost");
        return Exit::Failed;
    }
    tracing::info!("stopped");
    if died || !late.is_empty() { Exit::Failed } else { Exit::Done }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}

/// Tells the service manager, if there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

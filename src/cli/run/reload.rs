//! SIGHUP: a new configuration is taken if it checks; if not, the old one stays, and says so wherever people look.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use sd_notify::NotifyState;

use super::{Daemon, TICK, customers, notify};
use crate::cli::open;
use crate::config::{Config, Problem};
use crate::daemon;
use crate::house::House;
use crate::ledger::LedgerError;

/// The condition that says that the configuration on disk is not the one in use.
const SELF: &str = "loopd";
const NAME: &str = "config";

/// The configuration in use is the one on disk.
pub(super) fn mended(house: &House) -> Result<(), LedgerError> {
    house.ledger.transact(|tx| tx.clear(SELF, NAME).map(|_| ()))
}

impl Daemon<'_> {
    pub(super) async fn reload(&mut self) {
        let mut states = vec![NotifyState::Reloading];
        states.extend(NotifyState::monotonic_usec_now());
        notify(&states);
        tracing::info!(config = %self.path.display(), "reloading");
        let old = self.house();
        match self.prepare(&old) {
            Ok(new) => self.change_over(&old, &new).await,
            Err(why) => keep(&old, &why),
        }
        notify(&[NotifyState::Ready]);
    }

    /// A house for the configuration on disk, over the same ledger.
    fn prepare(&self, old: &House) -> Result<Arc<House>, String> {
        let config = load(&self.path)?;
        open::house(config, old.ledger.clone(), &self.transport).map_err(|error| format!("{error:#}"))
    }

    async fn change_over(&mut self, old: &Arc<House>, new: &Arc<House>) {
        for (key, changed) in [
            ("ledger.path", old.config.ledger.path != new.config.ledger.path),
            ("http.listen", old.config.http.listen != new.config.http.listen),
            ("log", old.config.log != new.config.log),
        ] {
            if changed {
                tracing::warn!(key, "{key} has changed: that takes a restart; until then the old value is used");
            }
        }
        for (name, connection) in &new.connections {
            if let Some(before) = old.connections.get(name) {
                connection.succeed(before, new.now());
            }
        }
        // No room works for the old house when the first works for the new: an entity is never in two hands.
        let idle = daemon::Running::none();
        let running = std::mem::replace(&mut self.running, idle);
        let stopping = running.stop();
        tokio::pin!(stopping);
        let mut tick = tokio::time::interval(TICK);
        let died = loop {
            tokio::select! {
                died = &mut stopping => break died,
                _ = tick.tick() => notify(&[NotifyState::Watchdog]),
            }
        };
        for room in died {
            tracing::error!(room, "room {room} had died; this is a bug");
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
        if let Err(error) = mended(new) {
            tracing::error!(%error, "the ledger could not take note of the reload");
        }
        customers(new);
        match daemon::start(new) {
            Ok(running) => {
                self.running = running;
                tracing::info!(connections = new.connections.len(), "the new configuration is in use");
            }
            Err(error) => {
                tracing::error!(%error, "no room could be started after the reload; the daemon stops");
                self.lost = true;
            }
        }
    }
}

fn load(path: &Path) -> Result<Config, String> {
    open::checked(path).map(|(config, _)| config).map_err(|problems| {
        let errors: Vec<String> = problems.iter().filter(|problem| !problem.warning).map(Problem::to_string).collect();
        errors.join("; ")
    })
}

fn keep(house: &House, why: &str) {
    tracing::error!(why, "the new configuration cannot be used; the old one stays in use");
    let what = format!("the configuration on disk is not in use: {why}");
    let raised = house.ledger.transact(|tx| tx.raise(SELF, NAME, &what, false, house.now()));
    if let Err(error) = raised {
        tracing::error!(%error, "the ledger could not take note of the failed reload");
    }
}

//! Opening what a subcommand needs: configuration, ledger, house. Errors are told as a person needs them.

use std::path::Path;
use std::sync::Arc;

use connectors::clock::SystemClock;
use connectors::http::{Reqwest, Transport};

use super::{Exit, Out, Told};
use crate::config::{self, Config, Machine, Problem};
use crate::daemon::{self, BuildError, Materials, Probed};
use crate::house::House;
use crate::ledger::{FreeSpace, Ledger, LedgerError, NoProbe, Probe, StoreError, stands};
use crate::vault;

/// The configuration, or every mistake in it.
///
/// # Errors
/// [`Told`] with [`Exit::Usage`]: all problems, each with its place and its mend.
pub fn config(out: &Out) -> anyhow::Result<Config> {
    config::load(&out.config_path(), &Machine).map_err(|problems| Told::usage(render(&problems)).into())
}

/// A configuration that `loopd check` finds nothing wrong with, and the warnings.
///
/// # Errors
/// Every mistake in it.
pub fn checked(path: &Path) -> Result<(Config, Vec<Problem>), Vec<Problem>> {
    match config::examine(path, &Machine) {
        (Some(config), warnings) => Ok((config, warnings)),
        (None, problems) => Err(problems),
    }
}

/// Problems, one after the other, as a compiler tells them.
pub fn render(problems: &[Problem]) -> String {
    problems.iter().map(Problem::render).collect::<Vec<_>>().join("\n")
}

/// Bytes that a process without privileges may still write where `path` is, or will be.
pub fn free_space() -> FreeSpace {
    Arc::new(|path: &Path| {
        let there = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
        let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
        // Where the file system cannot tell, the disk itself will refuse.
        rustix::fs::statvfs(there).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    })
}

/// The ledger that the configuration names, for this process alone.
///
/// # Errors
/// [`Told`] with [`Exit::Busy`] when another process holds it.
pub fn ledger(config: &Config, probe: Arc<dyn Probe>) -> anyhow::Result<Ledger> {
    ledger_at(&config.ledger.path, config.ledger.cache_bytes, probe)
}

/// The ledger that is there, for a command that looks, or has an order about what it holds: such a one makes none.
///
/// # Errors
/// [`Told`] with [`Exit::Usage`] where there is none; else as [`ledger`].
pub fn ledger_there(config: &Config) -> anyhow::Result<Ledger> {
    must_stand(&config.ledger.path)?;
    ledger(config, Arc::new(NoProbe))
}

/// # Errors
/// [`Told`] with [`Exit::Usage`] where no ledger is.
pub(super) fn must_stand(path: &Path) -> anyhow::Result<()> {
    if stands(path) {
        return Ok(());
    }
    let at = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = format!(
        "error: there is no ledger yet at {}\n  = `loopd run` makes it; if there should be one, mend `ledger.path`",
        at.display()
    );
    Err(Told::usage(text).into())
}

/// The ledger in a folder, with a page cache of `cache` bytes.
fn ledger_at(path: &Path, cache: u64, probe: Arc<dyn Probe>) -> anyhow::Result<Ledger> {
    only_its_owner(path)?;
    Ledger::open_with_cache(path, cache, free_space(), probe).map_err(|error| match error {
        LedgerError::Store(StoreError::Locked { .. }) => Told::new(Exit::Busy, format!("error: {error}")).into(),
        error => error.into(),
    })
}

/// Root may open every file, and would leave some behind that the daemon's user may not.
///
/// # Errors
/// [`Told`] with [`Exit::Usage`] when root is at another user's ledger.
pub(super) fn only_its_owner(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let there = if path.exists() { Some(path) } else { path.parent().filter(|parent| parent.exists()) };
    let Some(owner) = there.and_then(|there| there.metadata().ok()).map(|there| there.uid()) else { return Ok(()) };
    if rustix::process::geteuid().is_root() && owner != 0 {
        let text = format!(
            "error: the ledger at {} is another user's\n  = run this as that user: sudo -u '#{owner}' loopd …",
            path.display()
        );
        return Err(Told::usage(text).into());
    }
    Ok(())
}

/// Takes out the connections whose secrets are not at hand, all but those that are `needed`; and says what is missing.
pub fn leave_out_what_lacks_secrets(config: &mut Config, needed: &[&str]) -> Vec<Lacking> {
    let mut lacking = Vec::new();
    for (name, connection) in &config.connections {
        if !needed.contains(&name.as_str())
            && let Err(problem) = config.secrets(name, &Machine)
        {
            lacking.push(Lacking {
                name: name.clone(),
                kind: connection.kind.name(),
                webhook: connection.webhook,
                problem,
            });
        }
    }
    for lacking in &lacking {
        config.connections.remove(&lacking.name);
    }
    lacking
}

/// A connection that cannot be opened, for want of a secret.
pub struct Lacking {
    pub name: String,
    pub kind: &'static str,
    pub webhook: bool,
    pub problem: Problem,
}

/// The way out to the vendors, with a probe around each call.
///
/// # Errors
/// When the system's TLS roots cannot be read.
pub fn way_out(probe: Arc<dyn Probe>) -> anyhow::Result<Arc<dyn Transport>> {
    Ok(Arc::new(Probed { inner: Arc::new(Reqwest::new()?), probe }))
}

/// Opens every connection over a ledger. Calls nobody.
///
/// # Errors
/// [`Told`] with [`Exit::Usage`] when a setting or a secret cannot be used.
pub fn house(config: Config, ledger: Ledger, transport: &Arc<dyn Transport>) -> anyhow::Result<Arc<House>> {
    let classifier = daemon::classifier(&config);
    let transport = transport.clone();
    let vaults = vault::files(&config.auth.dir);
    let materials = Materials {
        ledger,
        clock: Arc::new(SystemClock::new()),
        transport: Arc::new(move |_| transport.clone()),
        classifier,
        vaults,
    };
    let house = daemon::build(config, &Machine, materials).map_err(|error| unbuilt(&error))?;
    Ok(Arc::new(house))
}

/// Why a house cannot be built, with its place and its mend.
pub fn unbuilt(error: &BuildError) -> Told {
    match error {
        BuildError::Secret(problem) => Told::usage(problem.render()),
        BuildError::Settings { .. } => Told::usage(format!("error: {error}")),
    }
}

/// Configuration, ledger and connections, for a command that works on its own.
///
/// # Errors
/// As [`config()`], [`ledger`] and [`house`].
pub fn everything(out: &Out) -> anyhow::Result<Arc<House>> {
    let config = config(out)?;
    let ledger = ledger(&config, Arc::new(NoProbe))?;
    house(config, ledger, &way_out(Arc::new(NoProbe))?)
}

//! `loopd ledger`: looking after the ledger.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::admin::{self, Answer, Ask};
use super::out::bytes;
use super::{Exit, Out, Told, open, rebuild};
use crate::ledger::portable::{self, Ending, PortError};
use crate::ledger::{NoProbe, StoreError, verify};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Check every law of the ledger over every row
    Verify,
    /// Write all of it as lines of JSON
    Export {
        /// The file to write; `-` is stdout
        file: PathBuf,
    },
    /// Read an export into a new ledger, at the path that the configuration names
    Import {
        /// The file to read; `-` is stdin
        file: PathBuf,
        /// Take one that lacks its last line as far as it goes: it was cut, or an older loopd made it
        #[arg(long)]
        cut: bool,
    },
    /// Rewrite it into a fresh store, which holds only what is alive. The daemon must be stopped
    Compact,
    /// Bytes on disk, and what is alive of them
    Size,
    /// Make a lost ledger anew from the destinations, which carry every item's id
    Rebuild(rebuild::Args),
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    match args.action {
        Action::Verify => check(out),
        Action::Export { file } => export(&file, out),
        Action::Import { file, cut } => import(&file, cut, out),
        Action::Compact => compact(out),
        Action::Size => size(out),
        Action::Rebuild(args) => rebuild::run(args, out).await,
    }
}

fn check(out: &Out) -> anyhow::Result<Exit> {
    let Answer::Laws(broken) = admin::ask(out, Ask::Verify)? else { bail!("another answer than was asked for") };
    out.json(&broken);
    if broken.is_empty() {
        out.line("Every law holds.");
        return Ok(Exit::Done);
    }
    out.table(&["TREE", "ROW", "LAW THAT DOES NOT HOLD"], broken.iter().map(|law| vec![&law.tree, &law.row, &law.law]));
    out.line(
        "\nThis is a bug, or a damaged disk. Keep the folder; at another `ledger.path`, import a backup (`loopd ledger import`), \
         or make the ledger anew from the destinations (`loopd ledger rebuild`).",
    );
    Ok(Exit::Failed)
}

fn export(file: &PathBuf, out: &Out) -> anyhow::Result<Exit> {
    if file.as_os_str() == "-" {
        let rows = admin::export(out, &mut std::io::stdout().lock())?;
        out.note(format!("{rows} rows"));
        return Ok(Exit::Done);
    }
    // Beside the file until it is whole, so that a cut one is not taken for an export.
    let mut name = file.file_name().context("name a file")?.to_owned();
    name.push(".part");
    let part = file.with_file_name(name);
    let mut to = BufWriter::new(File::create(&part).with_context(|| part.display().to_string())?);
    let written = admin::export(out, &mut to).and_then(|rows| {
        to.flush()?;
        to.get_ref().sync_all()?;
        std::fs::rename(&part, file)?;
        Ok(rows)
    });
    if written.is_err() {
        // Nobody wants a part of it, and the first error is the one to tell.
        let _ = std::fs::remove_file(&part);
    }
    let rows = written?;
    out.json(&serde_json::json!({ "rows": rows, "file": file }));
    out.line(format!("{rows} rows are in {}", file.display()));
    Ok(Exit::Done)
}

fn import(file: &PathBuf, cut: bool, out: &Out) -> anyhow::Result<Exit> {
    let config = open::config(out)?;
    let path = &config.ledger.path;
    open::only_its_owner(path)?;
    let mut lines: Box<dyn BufRead> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file).with_context(|| file.display().to_string())?))
    };
    let ending = if cut { Ending::MayLack } else { Ending::Needed };
    let rows = portable::import_at(path, &mut lines, ending, &open::free_space()).map_err(|error| match error {
        PortError::Store(error) => busy(error),
        error => anyhow::Error::from(error).context(file.display().to_string()),
    })?;
    let ledger = open::ledger(&config, Arc::new(NoProbe))?;
    let broken = verify(&ledger)?;
    out.json(&serde_json::json!({ "rows": rows, "broken": broken }));
    out.line(format!("{rows} rows are in the ledger at {}", path.display()));
    if broken.is_empty() {
        return Ok(Exit::Done);
    }
    out.line(out.red(&format!("{} laws do not hold: `loopd ledger verify` lists them", broken.len())));
    Ok(Exit::Failed)
}

fn compact(out: &Out) -> anyhow::Result<Exit> {
    let config = open::config(out)?;
    open::must_stand(&config.ledger.path)?;
    open::only_its_owner(&config.ledger.path)?;
    let (before, after) = portable::compact(&config.ledger.path, &open::free_space()).map_err(|error| match error {
        PortError::Store(error) => busy(error),
        error => error.into(),
    })?;
    out.json(&serde_json::json!({ "bytes_before": before, "bytes_after": after }));
    out.line(format!("{} before, {} after", bytes(before), bytes(after)));
    Ok(Exit::Done)
}

fn busy(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Locked { .. } => Told::new(Exit::Busy, format!("error: {error}. Stop the daemon first")).into(),
        error => error.into(),
    }
}

fn size(out: &Out) -> anyhow::Result<Exit> {
    let Answer::Size(size) = admin::ask(out, Ask::Size)? else { bail!("another answer than was asked for") };
    out.json(&size);
    let rows = size.trees.iter().filter(|tree| tree.rows > 0);
    out.table(
        &["TREE", "ROWS", "ALIVE"],
        rows.map(|tree| vec![tree.tree.clone(), tree.rows.to_string(), bytes(tree.bytes)]),
    );
    let times = size.amplification().map(|times| format!(": {times:.1} times as much")).unwrap_or_default();
    out.line(format!("\n{} on disk, {} alive{times}", bytes(size.bytes_on_disk), bytes(size.bytes_alive)));
    Ok(Exit::Done)
}

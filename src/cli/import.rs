//! `loopd import customers FILE.csv`: customers from a spreadsheet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;

use super::admin::{self, Answer, Ask};
use super::{Exit, Out, Told, open};
use crate::import::{self, Report, Table};
use crate::ledger::{Ledger, MemoryStore, NoProbe, stands};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Customers: name, domain, company_id, arr, industry, region, tier, lifecycle, owner, customer_since, github_org, use_case
    Customers {
        file: PathBuf,
        /// A header of the file and what it means: --map "Annual value=arr"
        #[arg(long, value_name = "HEADER=NAME", value_parser = pair)]
        map: Vec<(String, String)>,
        /// Only tell what would happen
        #[arg(long)]
        dry_run: bool,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (theirs, ours) = text.rsplit_once('=').ok_or("write it as HEADER=NAME")?;
    Ok((theirs.trim().to_owned(), ours.trim().to_owned()))
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let What::Customers { file, map, dry_run } = args.what;
    let name = file.display().to_string();
    let bytes = std::fs::read(&file).with_context(|| name.clone())?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Told::usage(format!("error: {name} is not UTF-8\n  = save it as CSV UTF-8")))?;
    let map: BTreeMap<String, String> = map.into_iter().collect();
    let table = import::read(&text, &map).map_err(|error| Told::usage(format!("error: {name}: {error}")))?;
    for header in &table.unknown {
        out.note(format!(
            "{} column `{header}` is left out (--map \"{header}=…\" says what it means)",
            out.yellow("!")
        ));
    }
    let config = open::config(out)?;
    let daemon = admin::is_up(&config);
    let mut report = if daemon && !dry_run {
        through_daemon(&table, out)?
    } else {
        let ledger = match dry_run {
            false => open::ledger(&config, Arc::new(NoProbe))?,
            true if stands(&config.ledger.path) => open::ledger_there(&config)?.overlay()?,
            true => Ledger::over(Arc::new(MemoryStore::new()), Arc::new(NoProbe))?,
        };
        let house = open::house(config, ledger, &open::way_out(Arc::new(NoProbe))?)?;
        import::run(&house, &table.rows).await?
    };
    report.bad.splice(0..0, table.bad);
    tell(&report, &name, dry_run, daemon, out);
    Ok(if report.bad.is_empty() { Exit::Done } else { Exit::NeedsPerson })
}

/// Rows that one question carries.
const PIECE: usize = 500;

fn through_daemon(table: &Table, out: &Out) -> anyhow::Result<Report> {
    let mut report = Report { rows: table.rows.len(), ..Report::default() };
    for piece in table.rows.chunks(PIECE) {
        match admin::ask(out, Ask::Import { rows: piece.to_vec() })? {
            Answer::Imported { news } => {
                report.changed += news;
                report.unchanged += piece.len() - news.min(piece.len());
            }
            other => anyhow::bail!("the daemon answered something else: {other:?}"),
        }
    }
    Ok(report)
}

fn tell(report: &Report, name: &str, dry_run: bool, daemon: bool, out: &Out) {
    out.json(report);
    let count = |what: &str, count: usize| vec![what.to_owned(), count.to_string()];
    let mut rows = vec![count("rows", report.rows)];
    if daemon && !dry_run {
        rows.extend([count("handed to the daemon", report.changed), count("known already", report.unchanged)]);
    } else {
        rows.extend([
            count("new customers", report.new),
            count("found to be a known customer", report.matched),
            count("changed", report.changed),
            count("unchanged", report.unchanged),
        ]);
    }
    rows.push(count("left out", report.bad.len()));
    out.table(&[name, ""], rows);
    for bad in &report.bad {
        out.note(format!("{} {name}:{}: {}", out.red("x"), bad.line, bad.why));
    }
    if dry_run {
        out.line("\nNothing was changed.");
    }
}

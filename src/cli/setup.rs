//! `loopd setup`: makes or mends the tables, fields and labels that the mappings need. It shows its plan first.

use std::sync::Arc;

use connectors::Change;
use serde_json::json;

use super::{Exit, Out, Told, open};
use crate::config::Config;
use crate::house::House;
use crate::ledger::{Ledger, MemoryStore, NoProbe};
use crate::pause::RealPause;
use crate::setup;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A connection by name, or all of a kind: airtable, notion, linear, salesforce, github
    #[arg(value_name = "CONNECTION")]
    connection: String,
    /// Make the changes
    #[arg(long, alias = "yes", short = 'y')]
    apply: bool,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let mut config = open::config(out)?;
    let names = named(&config, &args.connection)?;
    // Others may lack their secrets; that is none of ours here.
    config.connections.retain(|name, _| names.contains(name));
    // Nothing of a setup is kept in the ledger: a daemon may be at work on it.
    let ledger = Ledger::over(Arc::new(MemoryStore::new()), Arc::new(NoProbe))?;
    let house = open::house(config, ledger, &open::way_out(Arc::new(NoProbe))?)?;
    let mut exit = Exit::Done;
    let mut told = Vec::new();
    for name in names {
        let (changes, applied, next) = one(&house, &name, args.apply, out).await?;
        told.push(json!({ "connection": name, "changes": changes, "applied": applied }));
        if next != Exit::Done {
            exit = next;
        }
    }
    out.json(&json!({ "setup": told }));
    Ok(exit)
}

/// The connection of that name, or those of that kind.
fn named(config: &Config, wanted: &str) -> anyhow::Result<Vec<String>> {
    if config.connections.contains_key(wanted) {
        return Ok(vec![wanted.to_owned()]);
    }
    let of_kind = config.connections.values().filter(|connection| connection.kind.name() == wanted);
    let names: Vec<String> = of_kind.map(|connection| connection.name.clone()).collect();
    if names.is_empty() {
        let known = config.connections.keys().cloned().collect::<Vec<_>>().join(", ");
        let text = format!(
            "error: there is no connection `{wanted}`, and none of that kind\n  = the configuration has {}",
            if known.is_empty() { "none" } else { &known }
        );
        return Err(Told::usage(text).into());
    }
    Ok(names)
}

async fn one(house: &House, name: &str, apply: bool, out: &Out) -> anyhow::Result<(Vec<Change>, usize, Exit)> {
    let Some(connection) = house.connections.get(name) else { anyhow::bail!("connection {name} did not open") };
    let changes = setup::plan(house, connection, &RealPause).await?;
    let (hands, ours): (Vec<Change>, Vec<Change>) =
        changes.iter().cloned().partition(|change| change.by_hand.is_some());
    if ours.is_empty() {
        out.line(format!("{name}: all that loopd can make is there."));
    } else {
        out.line(format!("{name}: {} to make", ours.len()));
        for change in &ours {
            out.line(format!("  + {}", change.what));
        }
    }
    let mut applied = 0;
    let sure = apply
        || (!ours.is_empty() && out.ask("Make them? [y/N]").is_some_and(|answer| answer.eq_ignore_ascii_case("y")));
    let mut refused = Vec::new();
    if sure {
        let bar = out.progress(Some(ours.len() as u64), name);
        for change in &ours {
            match setup::apply(connection, change, &RealPause).await {
                Ok(()) => applied += 1,
                Err(error) => refused.push(error.to_string()),
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        out.line(format!("{name}: {applied} made."));
        if applied > 0 {
            out.line("A daemon that runs sees it within ten minutes, or when it is reloaded.");
        }
    }
    for why in &refused {
        out.note(format!("{} {why}", out.red("x")));
    }
    if !refused.is_empty() {
        out.note(format!("  = `loopd setup {name} --apply` again makes what is still missing, and nothing twice"));
    }
    if !hands.is_empty() {
        out.line(format!("\n{name}: by hand, because its API cannot"));
        for change in &hands {
            out.line(format!("  - {}: {}", change.what, change.by_hand.as_deref().unwrap_or_default()));
        }
    }
    let exit = match (refused.is_empty(), applied == ours.len() && hands.is_empty()) {
        (false, _) => Exit::Failed,
        (true, true) => Exit::Done,
        (true, false) => {
            if applied < ours.len() {
                out.line(format!("\nNothing was made. To make it: loopd setup {name} --apply"));
            }
            Exit::NeedsPerson
        }
    };
    Ok((changes, applied, exit))
}

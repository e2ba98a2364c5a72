//! `loopd check`: everything that is wrong with the configuration, in one go; with `--live` the accounts as well.
//!
//! The law: it writes nothing, here or at a vendor. `--live` registers no webhook.

use std::sync::Arc;

use connectors::http::Transport;
use connectors::read_only::ReadOnly;
use connectors::{Change, Fault};
use serde::Serialize;
use serde_json::json;

use super::{Exit, Out, Told, counted, open};
use crate::config::{self, Config, Machine, Problem};
use crate::house::{Connection, House};
use crate::ledger::{Ledger, MemoryStore, NoProbe};
use crate::pause::{Pause, RealPause};
use crate::setup;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also call each account (or those named): whose it is, what it may do, what is missing there
    #[arg(long, num_args = 0.., value_name = "CONNECTION")]
    live: Option<Vec<String>>,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let path = out.config_path();
    let (usable, problems) = config::examine(&path, &Machine);
    let errors = problems.iter().filter(|problem| !problem.warning).count();
    if !problems.is_empty() {
        out.line(open::render(&problems));
    }
    let mut findings = Vec::new();
    let mut exit = if errors > 0 { Exit::Usage } else { Exit::Done };
    if let Some(config) = usable {
        out.line(summary(&config, &path.display().to_string()));
        if let Some(names) = &args.live {
            (findings, exit) = live(config, names, out).await?;
        }
    } else {
        out.line(format!(
            "{}: {errors} to mend{}",
            path.display(),
            if args.live.is_some() { ", before accounts can be asked" } else { "" }
        ));
    }
    out.json(&json!({
        "config": path,
        "ok": errors == 0,
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
        "live": findings,
    }));
    Ok(exit)
}

fn summary(config: &Config, path: &str) -> String {
    let mappings = config.mappings.from.len() + config.mappings.into.len();
    format!(
        "{path} is good: {}, {}, {}",
        counted(config.connections.len(), "connection"),
        counted(mappings, "mapping"),
        counted(config.routes.len(), "route")
    )
}

fn problem(problem: &Problem) -> serde_json::Value {
    json!({
        "level": if problem.warning { "warning" } else { "error" },
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "field": problem.field,
        "what": problem.what,
        "mend": problem.mend,
    })
}

/// What was found at one account.
#[derive(Debug, Default, Serialize)]
struct Finding {
    connection: String,
    account: Option<String>,
    scopes: Vec<String>,
    notes: Vec<String>,
    /// It cannot be worked with, in the vendor's words.
    fault: Option<String>,
    /// What the mappings name and the account lacks.
    missing: Vec<Missing>,
}

#[derive(Debug, Serialize)]
struct Missing {
    what: String,
    by_hand: Option<String>,
}

async fn live(config: Config, names: &[String], out: &Out) -> anyhow::Result<(Vec<Finding>, Exit)> {
    if let Some(unknown) = names.iter().find(|name| !config.connections.contains_key(*name)) {
        return Err(Told::usage(format!("error: there is no connection {unknown} in the configuration")).into());
    }
    // What was bound before stays bound when it is renamed; a ledger that the daemon holds is left alone.
    let kept = open::ledger_there(&config).ok();
    let empty = Ledger::over(Arc::new(MemoryStore::default()), Arc::new(NoProbe))?;
    // What would register a webhook or change anything else is not sent: nobody would keep what it made.
    let way_out: Arc<dyn Transport> = Arc::new(ReadOnly(open::way_out(Arc::new(NoProbe))?));
    let house = open::house(config, kept.unwrap_or(empty), &way_out)?;
    let mut findings = Vec::new();
    let mut exit = Exit::Done;
    for connection in house.connections.values().filter(|open| names.is_empty() || names.contains(&open.name)) {
        let (finding, ended) = look(&house, connection).await?;
        show(&finding, out);
        findings.push(finding);
        exit = worse(exit, ended);
    }
    if names.is_empty()
        && let Some((finding, ended)) = model(&house).await
    {
        show(&finding, out);
        findings.push(finding);
        exit = worse(exit, ended);
    }
    Ok((findings, exit))
}

/// An account that cannot be reached is worse than one that lacks a field.
fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Failed, _) | (_, Exit::Failed) => Exit::Failed,
        (Exit::Done, other) => other,
        (one, _) => one,
    }
}

/// Whether the language model answers, and has the models that tasks name.
async fn model(house: &House) -> Option<(Finding, Exit)> {
    let model = house.models.everywhere.as_ref()?;
    let config = &house.config.model;
    let mut finding = Finding { connection: crate::model::MODEL.into(), ..Finding::default() };
    let cards = match within_quota(|| model.models()).await {
        Ok(cards) => cards,
        Err(fault) => return Some(refused(finding, &fault)),
    };
    finding.account = Some(format!("{}, {} models", config.base_url, cards.len()));
    let of_tasks = house.config.tasks.values().flat_map(|task| &task.models).map(|name| config.named(name));
    let named: std::collections::BTreeSet<&str> = of_tasks.chain(config.embed.as_deref()).collect();
    let mut exit = Exit::Done;
    for name in named {
        match cards.iter().find(|card| card.is_called(name)) {
            None => {
                let what = format!("the model {name}, which is not offered there");
                let by_hand = Some("name another in [model] or [tasks]".to_owned());
                finding.missing.push(Missing { what, by_hand });
                exit = Exit::NeedsPerson;
            }
            Some(card) => {
                if let Some(at) = card.deprecated {
                    let then = card.replacement.as_ref().map(|other| format!("; {other} takes its place"));
                    finding.notes.push(format!("{name} goes on {}{}", at.date_naive(), then.unwrap_or_default()));
                }
            }
        }
    }
    Some((finding, exit))
}

async fn look(house: &House, connection: &Connection) -> anyhow::Result<(Finding, Exit)> {
    let mut finding = Finding { connection: connection.name.clone(), ..Finding::default() };
    match within_quota(|| connection.connector.probe()).await {
        Ok(identity) => {
            finding.account = Some(match identity.account.as_str() {
                "" => identity.name,
                account => format!("{} ({account})", identity.name),
            });
            (finding.scopes, finding.notes) = (identity.scopes, identity.notes);
        }
        Err(fault) => return Ok(refused(finding, &fault)),
    }
    let shape = house.config.mappings.shape(&connection.name);
    if let Some(setup) = connection.connector.setup() {
        let needed = setup::shape(house, &connection.name)?;
        match within_quota(|| setup.plan(&needed)).await {
            Ok(changes) => finding.missing = changes.into_iter().map(missing).collect(),
            Err(fault) => return Ok(refused(finding, &fault)),
        }
    }
    let known = house.ledger.binding(&connection.name)?;
    if let Err(fault) = within_quota(|| connection.connector.attach(&shape, None, known.as_ref())).await {
        return Ok(refused(finding, &fault));
    }
    let exit = if finding.missing.is_empty() { Exit::Done } else { Exit::NeedsPerson };
    Ok((finding, exit))
}

/// Waits where a quota says how long. An account that cannot be reached is told at once.
async fn within_quota<T, F: Future<Output = Result<T, Fault>>>(call: impl Fn() -> F) -> Result<T, Fault> {
    const TRIES: u32 = 30;
    for _ in 0..TRIES {
        match call().await {
            Err(Fault::Later { after: Some(after), .. }) if after <= std::time::Duration::from_secs(60) => {
                RealPause.pause(after).await;
            }
            done => return done,
        }
    }
    call().await
}

fn missing(change: Change) -> Missing {
    Missing { what: change.what, by_hand: change.by_hand }
}

fn refused(finding: Finding, fault: &Fault) -> (Finding, Exit) {
    let exit = match fault {
        Fault::Locked { .. } | Fault::Rejected { .. } => Exit::NeedsPerson,
        Fault::Later { .. } | Fault::Unknown { .. } => Exit::Failed,
    };
    (Finding { fault: Some(fault.to_string()), ..finding }, exit)
}

fn show(finding: &Finding, out: &Out) {
    let name = &finding.connection;
    match (&finding.account, &finding.fault) {
        (Some(account), None) => out.line(format!("{name}: {} {account}", out.green("reached"))),
        (_, Some(fault)) => out.line(format!("{name}: {}", out.red(fault))),
        (None, None) => {}
    }
    if !finding.scopes.is_empty() {
        out.line(format!("  may: {}", finding.scopes.join(", ")));
    }
    for note in &finding.notes {
        out.line(format!("  note: {note}"));
    }
    for missing in &finding.missing {
        match &missing.by_hand {
            None => out.line(format!("  {}: {} (`loopd setup {name}` does it)", out.yellow("missing"), missing.what)),
            Some(how) => out.line(format!("  {}: {}\n    by hand: {how}", out.yellow("missing"), missing.what)),
        }
    }
}

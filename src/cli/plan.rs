//! `loopd plan`: what a run would write, where, and at what cost. Writes nothing, neither there nor here.

use std::sync::Arc;

use connectors::clock::SystemClock;
use connectors::http::Transport;
use serde_json::Value;

use super::{Exit, Out, admin, open};
use crate::config::{Config, Machine};
use crate::ledger::{Ledger, MemoryStore, NoProbe, portable, stands};
use crate::pause::RealPause;
use crate::plan::{Given, Plan, PlanError, plan};
use crate::vault;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show at most so many edits and dead letters
    #[arg(long, default_value_t = 20, value_name = "N")]
    show: usize,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let config = open::config(out)?;
    let ledger = ledger(&config, out)?;
    let way_out = open::way_out(Arc::new(NoProbe))?;
    let classifier = crate::daemon::classifier(&config);
    let vaults = vault::files(&config.auth.dir);
    let given = Given {
        config,
        world: &Machine,
        ledger: &ledger,
        transport: Arc::new(move |_| -> Arc<dyn Transport> { way_out.clone() }),
        clock: Arc::new(SystemClock::new()),
        pause: Arc::new(RealPause),
        classifier,
        vaults,
    };
    let bar = out.progress(None, "rehearsing: records");
    let planned = plan(given, &mut |read, written| bar.set_position(read + written)).await;
    bar.finish_and_clear();
    let planned = planned.map_err(|error| match error {
        PlanError::Build(error) => open::unbuilt(&error).into(),
        error => anyhow::Error::from(error),
    })?;
    if out.is_json() {
        out.json(&planned);
    } else {
        show(&planned, args.show, out);
    }
    Ok(if planned.problems.is_empty() { Exit::Done } else { Exit::NeedsPerson })
}

/// The ledger to look at: a copy of the daemon's, the one on disk, or an empty one where there is none. A plan leaves
/// nothing behind, not even an empty ledger.
fn ledger(config: &Config, out: &Out) -> anyhow::Result<Ledger> {
    if !admin::is_up(config) && stands(&config.ledger.path) {
        return open::ledger_there(config);
    }
    let store = Arc::new(MemoryStore::new());
    if admin::is_up(config) {
        let mut rows = Vec::new();
        admin::export(out, &mut rows)?;
        portable::import(&*store, &mut rows.as_slice(), portable::Ending::Needed)?;
    }
    Ok(Ledger::over(store, Arc::new(NoProbe))?)
}

fn show(plan: &Plan, most: usize, out: &Out) {
    let mut rows = Vec::new();
    for (name, forecast) in &plan.connections {
        for (collection, tally) in &forecast.collections {
            rows.push(vec![
                format!("{name}.{collection}"),
                tally.creates.to_string(),
                tally.updates.to_string(),
                tally.calls.to_string(),
                fields(&tally.fields),
            ]);
        }
    }
    if rows.is_empty() {
        out.line("A run would write nothing.");
    } else {
        out.table(&["where", "create", "update", "calls", "fields updated"], rows);
        let slowest = plan.connections.values().map(|forecast| forecast.minutes).fold(0.0, f64::max);
        out.line(format!(
            "\n{} creates and {} updates; about {} under the quotas.",
            plan.creates(),
            plan.updates(),
            span(slowest)
        ));
    }
    out.line(format!("{} records read.", plan.read));
    if let Some(asked) = &plan.questions {
        out.line(format!(
            "{} questions to the language model: at most {} + {} tokens, {:.2} USD.",
            asked.count, asked.input_tokens, asked.output_tokens, asked.usd
        ));
    }
    if plan.messages_prepared + plan.messages_sent > 0 {
        out.line(format!(
            "{} messages to customers would be prepared, {} would go out.",
            plan.messages_prepared, plan.messages_sent
        ));
    }
    if !plan.at_stake.is_empty() {
        out.line(format!("\n{} human edits are at stake:", plan.at_stake.len()));
        let row = |edit: &crate::plan::AtStake| {
            vec![
                edit.item.clone(),
                edit.what.to_owned(),
                format!("{}.{}", edit.connection, edit.field),
                brief(&edit.old),
                brief(&edit.new),
            ]
        };
        out.table(&["item", "what", "field", "old", "new"], plan.at_stake.iter().take(most).map(row));
    }
    if !plan.dead.is_empty() {
        out.line(format!("\n{} records cannot pass:", plan.dead.len()));
        out.table(&["record", "why"], plan.dead.iter().take(most).map(|(what, why)| vec![what.clone(), why.clone()]));
    }
    for problem in &plan.problems {
        out.note(format!("{} {problem}", out.yellow("!")));
    }
}

fn fields(fields: &std::collections::BTreeMap<String, u64>) -> String {
    fields.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

fn span(minutes: f64) -> String {
    if minutes < 1.0 { format!("{:.0} seconds", (minutes * 60.0).ceil()) } else { format!("{minutes:.1} minutes") }
}

fn brief(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() > 40 { format!("{}…", text.chars().take(39).collect::<String>()) } else { text }
}

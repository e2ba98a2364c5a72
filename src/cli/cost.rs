//! `loopd cost`: what the language model costs, and how far the budget is spent.

use anyhow::bail;

use super::admin::{self, Answer, Ask};
use super::usage::read_day;
use super::{Exit, Out};
use crate::report::cost::{By, Cost, CostRow};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// From this day on: 2026-01-31, or so many days back: 7d [default: the month]
    #[arg(long, value_name = "DAY")]
    since: Option<String>,
    /// What the lines are told apart by
    #[arg(long, value_enum, default_value = "task")]
    by: Lines,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Lines {
    Task,
    Day,
    Model,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let since = args.since.as_deref().map(read_day).transpose()?;
    let by = match args.by {
        Lines::Task => By::Task,
        Lines::Day => By::Day,
        Lines::Model => By::Model,
    };
    let Answer::Cost(cost) = admin::ask(out, Ask::Cost { since, by })? else {
        bail!("another answer than was asked for")
    };
    out.json(&cost);
    show(&cost, out);
    Ok(Exit::Done)
}

fn show(cost: &Cost, out: &Out) {
    if cost.rows.is_empty() {
        out.line(format!("No language model was asked from {} to {}.", cost.from, cost.to));
    } else {
        out.line(format!("From {} to {}:\n", cost.from, cost.to));
        let mut rows: Vec<Vec<String>> = cost.rows.iter().map(line).collect();
        rows.push(line(&CostRow { task: "all".into(), ..cost.total.clone() }));
        out.table(&["DAY", "TASK", "MODEL", "CALLS", "CACHED", "REFUSED", "TOKENS IN", "OUT", "USD"], rows);
        out.line("");
    }
    let limit = |spent: f64, limit: Option<f64>| match limit {
        Some(limit) => format!("{spent:.4} of {limit:.2} USD"),
        None => format!("{spent:.4} USD, no limit"),
    };
    out.line(format!("Today: {}", limit(cost.today_usd, cost.day_limit_usd)));
    out.line(format!("This month: {}", limit(cost.month_usd, cost.month_limit_usd)));
    for what in &cost.conditions {
        out.line(format!("{} {what}", out.yellow("!")));
    }
}

fn line(row: &CostRow) -> Vec<String> {
    vec![
        row.day.map(|day| day.to_string()).unwrap_or_default(),
        row.task.clone(),
        row.model.clone(),
        row.calls.to_string(),
        row.from_cache.to_string(),
        row.refused.to_string(),
        if row.cached_tokens > 0 {
            format!("{} ({} cached)", row.input_tokens, row.cached_tokens)
        } else {
            row.input_tokens.to_string()
        },
        row.output_tokens.to_string(),
        format!("{:.4}", row.usd),
    ]
}

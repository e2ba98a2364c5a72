//! `loopd usage`: who used what.

use anyhow::bail;
use chrono::{NaiveDate, TimeDelta};

use super::admin::{self, Answer, Ask};
use super::{Exit, Out, Told};
use crate::report::usage::{Row, Usage, Wanted};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// One account: a customer's name or id, or the account as the vendor calls it
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// One feature, by its event's name
    #[arg(long, value_name = "NAME")]
    feature: Option<String>,
    /// From this day on: 2026-01-31, or so many days back: 7d [default: 30d]
    #[arg(long, value_name = "DAY")]
    since: Option<String>,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let since = args.since.as_deref().map(read_day).transpose()?;
    let wanted = Wanted { account: args.account, feature: args.feature, since };
    let Answer::Usage(usage) = admin::ask(out, Ask::Usage { wanted })? else {
        bail!("another answer than was asked for")
    };
    out.json(&usage);
    show(&usage, out);
    Ok(Exit::Done)
}

pub(super) fn read_day(text: &str) -> Result<NaiveDate, Told> {
    let back =
        text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()).filter(|days| (1..=36_500).contains(days));
    if let Some(days) = back {
        let today = connectors::Clock::now(&connectors::clock::SystemClock::new()).date_naive();
        return Ok(today - TimeDelta::days(i64::from(days) - 1));
    }
    text.parse().map_err(|_| Told::usage(format!("error: --since {text}: write a day (2026-01-31), or 7d for a week")))
}

fn show(usage: &Usage, out: &Out) {
    if usage.rows.is_empty() {
        out.line(format!("No usage from {} to {}.", usage.from, usage.to));
        return;
    }
    out.line(format!(
        "{} events from {} to {}; the trend is against {} to {}",
        usage.events,
        usage.from,
        usage.to,
        usage.compared_from,
        usage.from - TimeDelta::days(1)
    ));
    out.line("");
    let rows = usage.rows.iter().map(|row| row_of(row, out));
    out.table(&["ACCOUNT", "CUSTOMER", "FEATURE", "EVENTS", "USERS", "LAST DAY", "TREND"], rows);
}

fn row_of(row: &Row, out: &Out) -> Vec<String> {
    let about = if row.users_exact { "" } else { "~" };
    let trend = match row.trend {
        None if row.events > 0 => out.green("new"),
        None => String::new(),
        Some(trend) if trend < 0.0 => out.red(&format!("{:+.0} %", trend * 100.0)),
        Some(trend) => out.green(&format!("{:+.0} %", trend * 100.0)),
    };
    vec![
        row.account.clone().unwrap_or_else(|| out.faint("(not known)")),
        row.customer.clone().unwrap_or_default(),
        row.feature.clone(),
        row.events.to_string(),
        format!("{about}{}", row.users),
        row.last.map(|day| day.to_string()).unwrap_or_default(),
        trend,
    ]
}

//! `loopd status`: how things stand, and what needs a person.

use anyhow::bail;

use super::admin::{self, Answer, Ask};
use super::out::{ago, bytes};
use super::{Exit, Out, open};
use crate::report::Status;
use crate::report::status::{Need, State};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// End with exit code 3 if something needs a person
    #[arg(long)]
    strict: bool,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let Answer::Status(mut status) = admin::ask(out, Ask::Status)? else { bail!("another answer than was asked for") };
    // The daemon tells of a refused reload; of what was broken since, nobody has told it.
    if open::config(out).is_err() && status.conditions.iter().all(|condition| condition.name != "config") {
        let what = "the configuration on disk is broken; the daemon would not start with it again".to_owned();
        status.needs.insert(0, Need { what, mend: "`loopd check` lists every mistake".to_owned() });
    }
    out.json(&status);
    show(&status, out);
    Ok(if args.strict && !status.needs.is_empty() { Exit::NeedsPerson } else { Exit::Done })
}

fn show(status: &Status, out: &Out) {
    let since = |at: chrono::DateTime<chrono::Utc>| ago((status.at - at).num_seconds());
    let daemon = if status.daemon { out.green("running") } else { out.yellow("not running") };
    out.line(format!("loopd {}, {daemon}; ledger {}", status.version, bytes(status.ledger_bytes)));
    out.line("");
    let connections = status.connections.iter().map(|connection| {
        let state = match connection.state {
            State::Attached => out.green(connection.state.name()),
            State::Locked | State::Unopened => out.red(connection.state.name()),
            State::Waiting | State::Idle => out.yellow(connection.state.name()),
        };
        let quota = match connection.quota_wait_seconds {
            Some(wait) => format!("used up for {wait:.1} s"),
            None if connection.state == State::Unopened => "-".to_owned(),
            None => format!("free ({} in {} s)", connection.quota_calls, connection.quota_seconds),
        };
        let webhook = if connection.webhook { "yes" } else { "no" };
        let calls = connection.calls.to_string();
        vec![
            connection.name.clone(),
            connection.kind.clone(),
            state,
            webhook.into(),
            calls,
            connection.throttled.to_string(),
            quota,
        ]
    });
    out.table(&["CONNECTION", "KIND", "STATE", "WEBHOOK", "CALLS", "THROTTLED", "QUOTA"], connections);
    if !status.streams.is_empty() {
        out.line("");
        let streams = status.streams.iter().map(|stream| {
            let fresh = stream.caught_up.map_or_else(|| "never".to_owned(), |at| format!("{} ago", since(at)));
            let due = stream.due.map_or_else(|| "now".to_owned(), |at| in_time((at - status.at).num_seconds()));
            vec![format!("{}.{}", stream.connection, stream.name), fresh, due, stream.records.to_string()]
        });
        out.table(&["STREAM", "READ TO ITS END", "NEXT", "RECORDS"], streams);
    }
    out.line("");
    let queues = status
        .queues
        .iter()
        .map(|queue| vec![queue.name.clone(), queue.items.to_string(), queue.oldest.map(since).unwrap_or_default()]);
    out.table(&["QUEUE", "ITEMS", "OLDEST"], queues);
    out.line("");
    if !status.usage.is_empty() {
        let usage = status.usage.iter().map(|(name, counts)| {
            let numbers = [counts.events, counts.duplicates, counts.unplaced, counts.totals, counts.people];
            std::iter::once(name.clone()).chain(numbers.map(|number| number.to_string())).collect()
        });
        out.table(&["USAGE", "EVENTS", "SENT AGAIN", "NO ACCOUNT", "TOTALS", "PEOPLE"], usage);
        out.line("");
    }
    let review = &status.review;
    let items = super::counted(review.items, "item");
    out.line(format!("Review: {items} with suggestions that nobody has spoken to (`loopd review`)"));
    for trusted in &review.trusted {
        out.line(format!("  {}", out.green(trusted)));
    }
    out.line("");
    if status.needs.is_empty() {
        out.line(out.green("Nothing needs a person."));
    } else {
        out.line(out.bold("What needs a person:"));
        for need in &status.needs {
            out.line(format!("  {}\n    {}", need.what, out.faint(&need.mend)));
        }
    }
}

fn in_time(seconds: i64) -> String {
    if seconds <= 0 { "now".to_owned() } else { format!("in {}", ago(seconds)) }
}

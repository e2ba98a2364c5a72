//! `loopd backfill`: reads a source again, from its beginning or from a date.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use indicatif::ProgressBar;
use serde_json::json;

use super::admin::{self, Answer, Ask};
use super::open::Lacking;
use super::{Exit, Out, Told, open};
use crate::backfill::{self, Progress};
use crate::config::Config;
use crate::daemon;
use crate::house::House;
use crate::intake::Poll;
use crate::ledger::NoProbe;
use crate::pause::{Pause, RealPause};
use crate::report::Status;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The connection to read again
    connection: String,
    /// Only this stream (`issues`, `comments:owner/name`)
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,
    /// From this day or instant on; else from the connection's `start`
    #[arg(long, value_name = "DATE", value_parser = instant)]
    since: Option<DateTime<Utc>>,
    /// Set back, and do not wait
    #[arg(long)]
    detach: bool,
}

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    day()
        .or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()))
        .ok_or_else(|| "write 2026-01-31 or 2026-01-31T08:00:00Z".into())
}

const LOOK: Duration = Duration::from_millis(400);

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let config = open::config(out)?;
    let Some(connection) = config.connections.get(&args.connection) else {
        let known = config.connections.keys().cloned().collect::<Vec<_>>().join(", ");
        let text = format!("error: there is no connection `{}`\n  = the configuration has {known}", args.connection);
        return Err(Told::usage(text).into());
    };
    if !admin::is_up(&config) {
        return here(&args, config, out).await;
    }
    if let Some(since) = args.since {
        let text = format!(
            "error: the daemon reads each source from the `start` that it was configured with, so it cannot take --since\n  \
             = set `start = \"{}\"` in [connection.{name}], reload the daemon, and run this without --since; or stop the daemon and run this again",
            since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            name = args.connection,
        );
        return Err(Told::usage(text).into());
    }
    if !connection.poll {
        let text = format!(
            "error: [connection.{}] has `poll = false`, so the daemon reads no stream of it\n  \
             = set `poll = true` and reload the daemon, or stop the daemon and run this again",
            args.connection
        );
        return Err(Told::usage(text).into());
    }
    by_daemon(&args, out).await
}

async fn by_daemon(args: &Args, out: &Out) -> anyhow::Result<Exit> {
    let answer = admin::ask(out, Ask::SetBack { connection: args.connection.clone(), stream: args.stream.clone() })?;
    let Answer::SetBack { streams, before } = answer else {
        anyhow::bail!("the daemon answered something else: {answer:?}")
    };
    if args.detach {
        return Ok(set_back(out, args, &streams));
    }
    let bar = out.progress((before > 0).then_some(before), &format!("reading {} again", args.connection));
    let progress = loop {
        RealPause.pause(LOOK).await;
        let answer = admin::ask(out, Ask::Standing { connection: args.connection.clone(), streams: streams.clone() })?;
        let Answer::Standing(progress) = answer else {
            anyhow::bail!("the daemon answered something else: {answer:?}")
        };
        show(&bar, &progress);
        if let Some(why) = &progress.stopped {
            return Err(stopped(args, why));
        }
        if progress.is_read() && !progress.busy {
            break progress;
        }
    };
    bar.finish_and_clear();
    let answer = admin::ask(out, Ask::Status)?;
    let Answer::Status(status) = answer else { anyhow::bail!("the daemon answered something else: {answer:?}") };
    Ok(told(out, args, &progress, &status))
}

async fn here(args: &Args, mut config: Config, out: &Out) -> anyhow::Result<Exit> {
    if let Some(connection) = config.connections.get_mut(&args.connection) {
        connection.poll = true;
        if let Some(since) = args.since {
            connection.settings["start"] = json!(since.to_rfc3339());
        }
    }
    let lacking = open::leave_out_what_lacks_secrets(&mut config, &[args.connection.as_str()]);
    let ledger = open::ledger(&config, Arc::new(NoProbe))?;
    let house = open::house(config, ledger, &open::way_out(Arc::new(NoProbe))?)?;
    let streams = streams(&house, args)?;
    let before = backfill::set_back(&house, &args.connection, &streams)?;
    if args.detach {
        return Ok(set_back(out, args, &streams));
    }
    backfill::forget_conditions(&house, &args.connection, &streams)?;
    // Where a connection is missing, what would follow at it must not be worked out without it: only reading goes on.
    let whole = lacking.is_empty();
    let running = if whole {
        daemon::start(&house)?
    } else {
        daemon::set_to_work(&house, vec![Box::new(Poll::new(house.clone(), args.connection.clone()))])
    };
    let bar = out.progress((before > 0).then_some(before), &format!("reading {} again", args.connection));
    let progress = watch(&house, args, &streams, whole, &bar).await;
    running.stop().await;
    house.ledger.durable()?;
    bar.finish_and_clear();
    let progress = progress?;
    let mut status = crate::report::status(&house, false)?;
    for Lacking { name, kind, webhook, problem } in lacking {
        out.note(format!("{} {name} cannot be opened: {problem}", out.yellow("!")));
        status.unopened(name, kind, webhook, &problem);
    }
    Ok(told(out, args, &progress, &status))
}

/// Until all is read, and, where the rooms for that are at work (`whole`), normalized.
async fn watch(
    house: &House,
    args: &Args,
    streams: &[String],
    whole: bool,
    bar: &ProgressBar,
) -> anyhow::Result<Progress> {
    loop {
        RealPause.pause(LOOK).await;
        let progress = backfill::progress(house, &args.connection, streams)?;
        show(bar, &progress);
        if let Some(why) = &progress.stopped {
            return Err(stopped(args, why));
        }
        if progress.is_read() && !(whole && progress.busy) {
            return Ok(progress);
        }
    }
}

fn stopped(args: &Args, why: &str) -> anyhow::Error {
    let text = format!(
        "error: {name} cannot be read on: {why}\n  = mend it, then run this again; `loopd check --live {name}` says more",
        name = args.connection
    );
    Told::new(Exit::Failed, text).into()
}

fn show(bar: &ProgressBar, progress: &Progress) {
    let records = progress.records();
    if bar.length().is_some_and(|length| length < records) {
        bar.set_length(records);
    }
    bar.set_position(records);
}

fn streams(house: &House, args: &Args) -> anyhow::Result<Vec<String>> {
    let streams = backfill::streams(house, &args.connection, args.stream.as_deref());
    if streams.is_empty() {
        let known = backfill::streams(house, &args.connection, None).join(", ");
        let known = if known.is_empty() { "none: nothing is read there".to_owned() } else { known };
        return Err(Told::usage(format!("error: {} has no such stream\n  = there are {known}", args.connection)).into());
    }
    Ok(streams)
}

fn set_back(out: &Out, args: &Args, streams: &[String]) -> Exit {
    out.json(&json!({ "connection": args.connection, "streams": streams, "standings": [], "records": 0 }));
    out.line(format!("{} of {} set back; the daemon reads them again.", streams.join(", "), args.connection));
    Exit::Done
}

fn told(out: &Out, args: &Args, progress: &Progress, status: &Status) -> Exit {
    let rest = backfill::rest(status);
    let streams: Vec<&String> = progress.standings.iter().map(|standing| &standing.stream).collect();
    out.json(&json!({
        "connection": args.connection,
        "streams": streams,
        "standings": progress.standings,
        "records": progress.records(),
        "waiting": rest,
    }));
    out.table(
        &["stream", "records"],
        progress.standings.iter().map(|standing| vec![standing.stream.clone(), standing.records.to_string()]),
    );
    if !rest.is_empty() {
        out.line("\nWhat still waits:");
        out.table(
            &["queue", "items", "why"],
            rest.into_iter().map(|rest| vec![rest.queue, rest.items.to_string(), rest.why]),
        );
    }
    Exit::Done
}

//! `loopd backfill`: reads a source again, from its beginning or from a date.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use indicatif::ProgressBar;
use serde_json::json;

use super::admin::{self, Answer, Ask};
use super::{Exit, Out, Told, open};
use crate::backfill::{self, Standing};
use crate::config::Config;
use crate::daemon;
use crate::house::House;
use crate::ledger::NoProbe;
use crate::pause::{Pause, RealPause};

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
    if !config.connections.contains_key(&args.connection) {
        let known = config.connections.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(Told::usage(format!(
            "error: there is no connection `{}`\n  = the configuration has {known}",
            args.connection
        ))
        .into());
    }
    if admin::is_up(&config) { by_daemon(&args, out).await } else { here(&args, config, out).await }
}

async fn by_daemon(args: &Args, out: &Out) -> anyhow::Result<Exit> {
    if args.since.is_some() {
        let text = "error: the daemon reads with the connection's own `start`\n  = set `start` there and reload the daemon, or stop the daemon and run this again, or leave --since out";
        return Err(Told::usage(text).into());
    }
    let answer = admin::ask(out, Ask::SetBack { connection: args.connection.clone(), stream: args.stream.clone() })?;
    let Answer::SetBack { streams, before } = answer else {
        anyhow::bail!("the daemon answered something else: {answer:?}")
    };
    if args.detach {
        return Ok(told(out, args, &[], &streams));
    }
    let bar = out.progress((before > 0).then_some(before), &format!("reading {} again", args.connection));
    loop {
        RealPause.pause(LOOK).await;
        let answer = admin::ask(out, Ask::Standing { connection: args.connection.clone(), streams: streams.clone() })?;
        let Answer::Standing { standings, queued } = answer else {
            anyhow::bail!("the daemon answered something else: {answer:?}")
        };
        if shown(&bar, &standings, queued) {
            bar.finish_and_clear();
            return Ok(told(out, args, &standings, &streams));
        }
    }
}

async fn here(args: &Args, mut config: Config, out: &Out) -> anyhow::Result<Exit> {
    if let (Some(since), Some(connection)) = (args.since, config.connections.get_mut(&args.connection)) {
        connection.settings["start"] = json!(since.to_rfc3339());
    }
    let ledger = open::ledger(&config, Arc::new(NoProbe))?;
    let house = open::house(config, ledger, &open::way_out(Arc::new(NoProbe))?)?;
    let streams = streams(&house, args)?;
    let before = backfill::set_back(&house, &args.connection, &streams)?;
    if args.detach {
        return Ok(told(out, args, &[], &streams));
    }
    let running = daemon::start(&house)?;
    let bar = out.progress((before > 0).then_some(before), &format!("reading {} again", args.connection));
    let standings = watch(&house, args, &streams, &bar).await;
    running.stop().await;
    house.ledger.durable()?;
    bar.finish_and_clear();
    let standings = standings?;
    Ok(told(out, args, &standings, &streams))
}

async fn watch(house: &House, args: &Args, streams: &[String], bar: &ProgressBar) -> anyhow::Result<Vec<Standing>> {
    loop {
        RealPause.pause(LOOK).await;
        let (standings, queued) = backfill::standing(house, &args.connection, streams)?;
        if shown(bar, &standings, queued) {
            return Ok(standings);
        }
        let stops = house
            .ledger
            .conditions()?
            .into_iter()
            .find(|(connection, _, condition)| *connection == args.connection && condition.stops);
        if let Some((_, _, condition)) = stops {
            return Err(
                Told::new(Exit::Failed, format!("error: {} is locked: {}", args.connection, condition.what)).into()
            );
        }
    }
}

/// Shows how far it is; whether it is through.
fn shown(bar: &ProgressBar, standings: &[Standing], queued: u64) -> bool {
    let records: u64 = standings.iter().map(|standing| standing.records).sum();
    if bar.length().is_some_and(|length| length < records) {
        bar.set_length(records);
    }
    bar.set_position(records);
    backfill::is_through(standings) && queued == 0
}

fn streams(house: &House, args: &Args) -> anyhow::Result<Vec<String>> {
    let streams = backfill::streams(house, &args.connection, args.stream.as_deref());
    if streams.is_empty() {
        let known = backfill::streams(house, &args.connection, None).join(", ");
        let known = if known.is_empty() { "none: it is only written".to_owned() } else { known };
        return Err(Told::usage(format!("error: {} has no such stream\n  = there are {known}", args.connection)).into());
    }
    Ok(streams)
}

fn told(out: &Out, args: &Args, standings: &[Standing], streams: &[String]) -> Exit {
    let records: u64 = standings.iter().map(|standing| standing.records).sum();
    out.json(&json!({ "connection": args.connection, "streams": streams, "standings": standings, "records": records }));
    if standings.is_empty() {
        out.line(format!("{} of {} set back; the daemon reads them again.", streams.join(", "), args.connection));
    } else {
        out.table(
            &["stream", "records"],
            standings.iter().map(|standing| vec![standing.stream.clone(), standing.records.to_string()]),
        );
    }
    Exit::Done
}

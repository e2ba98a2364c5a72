//! `loopd demo`: the whole loop in the sandbox. No account, no key, no network beyond loopback.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context;
use indicatif::ProgressBar;
use sandbox::Vendor;

use super::{Exit, Out, Told as Error};
use crate::demo::{self, Feed, Outcome, Stage, Told};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Threads to play, one JSON object a line: repo, number, title, body or summary, state, created, author, labels
    #[arg(long, value_name = "FILE")]
    feed: Vec<PathBuf>,
    /// Decides who does what, and in which order
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Stay up afterwards, to look around
    #[arg(long)]
    keep: bool,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let feed = feed(&args.feed, out)?;
    if out.verbose() > 0 {
        let log = crate::config::LogConfig { format: crate::config::LogFormat::Auto, filter: "info".into() };
        crate::telemetry::start(&log, out.verbose()).map_err(|error| Error::usage(format!("error: {error}")))?;
    }
    let folder = tempfile::Builder::new().prefix("loopd-demo-").tempdir().context("no temporary folder")?;
    let said: Vec<String> = feed.counts().iter().map(|(source, count)| format!("{count} of {source}")).collect();
    out.note(format!("playing {} things that customers say: {}", feed.len(), said.join(", ")));
    let mut progress = Progress { out, bar: out.progress(Some(feed.len() as u64), ""), said: usize::MAX };
    let played = demo::play(folder.path(), &feed, args.seed, &mut |told| progress.hear(&told)).await;
    progress.bar.finish_and_clear();
    let (stage, outcome) = played?;
    show(&outcome, out);
    if args.keep {
        keep(&stage, out).await;
    }
    let died = stage.close().await;
    for room in &died {
        out.note(format!("{} room {room} had died; this is a bug", out.red("x")));
    }
    // Last, as scripts expect it.
    out.json(&outcome);
    Ok(if outcome.is_whole() && died.is_empty() { Exit::Done } else { Exit::Failed })
}

/// The given feeds, with the demo's own conversations; or the demo's own feed.
fn feed(files: &[PathBuf], out: &Out) -> anyhow::Result<Feed> {
    let told = |error: demo::FeedError| Error::usage(error.to_string());
    let own = Feed::own().map_err(told)?;
    if files.is_empty() {
        return Ok(own);
    }
    let mut feed = Feed { talks: own.talks, ..Feed::default() };
    for file in files {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|error| Error::usage(format!("error: {name}: {error}\n  = --feed names a file of JSON lines")))?;
        feed.read(&name, &text).map_err(told)?;
    }
    if feed.threads.is_empty() && feed.voices.is_empty() {
        return Err(Error::usage("error: the feed holds no thread\n  = each line is a JSON object with repo, number, title and body or summary, state, created").into());
    }
    if feed.repeated > 0 {
        out.note(format!("{} lines repeat a thread and are left out", feed.repeated));
    }
    Ok(feed)
}

/// A bar on a terminal, plain lines elsewhere.
struct Progress<'a> {
    out: &'a Out,
    bar: ProgressBar,
    said: usize,
}

impl Progress<'_> {
    fn hear(&mut self, told: &Told<'_>) {
        match told {
            Told::Part(what) => {
                self.bar.suspend(|| self.out.note(format!("- {what}")));
                self.said = usize::MAX;
            }
            Told::Arrived { done, of } => {
                self.bar.set_length(*of as u64);
                self.bar.set_position(*done as u64);
                // A line for each quarter is enough for a log.
                let quarter = done * 4 / (*of).max(1);
                if quarter != self.said && !std::io::stderr().is_terminal() {
                    self.said = quarter;
                    self.out.note(format!("  {done} of {of} arrived"));
                }
            }
        }
    }
}

fn show(outcome: &Outcome, out: &Out) {
    let calls = |vendor: Vendor| {
        let of =
            |map: &std::collections::BTreeMap<&'static str, u64>| map.get(vendor.name()).copied().unwrap_or_default();
        format!("{} (least {})", of(&outcome.calls), of(&outcome.least_calls))
    };
    let mark = |good: bool, text: String| if good { out.green(&text) } else { out.red(&text) };
    let arrived = &outcome.arrived;
    let of = |done: usize, due: usize, what: &str| mark(done == due, format!("{done} of {due}{what}"));
    let mut rows = vec![("fed".to_owned(), outcome.fed.to_string())];
    rows.extend(
        outcome.sources.iter().map(|(source, said)| (format!("said in {source}"), of(said.arrived, said.fed, ""))),
    );
    rows.extend([
        ("in Airtable".into(), of(arrived.airtable, outcome.fed, "")),
        ("in Notion".into(), of(arrived.notion, outcome.fed, "")),
        ("in Linear".into(), of(arrived.linear, outcome.linear_due, " severe bugs")),
        ("in Salesforce".into(), of(arrived.salesforce, outcome.salesforce_due, " of customers with an account")),
        ("customers".into(), of(arrived.customers, outcome.customers_due, " companies are one each")),
        (
            "uses counted".into(),
            mark(arrived.usage == outcome.usage_due, format!("{} of {}", arrived.usage, outcome.usage_due)),
        ),
        ("came back".into(), of(outcome.came_back, outcome.moved, " human edits")),
        ("messages prepared".into(), outcome.prepared_messages.to_string()),
    ]);
    let by: Vec<String> = outcome.throttled_by.iter().map(|(vendor, count)| format!("{count} by {vendor}")).collect();
    let throttled = if by.is_empty() { outcome.throttled.to_string() } else { by.join(", ") };
    rows.extend(demo::STAGED.iter().map(|vendor| (format!("calls to {}", vendor.name()), calls(*vendor))));
    rows.extend([
        ("429s".into(), mark(outcome.throttled == 0, throttled)),
        ("dead letters".into(), mark(outcome.dead == 0, outcome.dead.to_string())),
        ("doubles".into(), mark(outcome.doubled == 0, outcome.doubled.to_string())),
        ("losses".into(), mark(outcome.lost == 0, outcome.lost.to_string())),
        ("seconds".into(), outcome.seconds.to_string()),
    ]);
    out.table(&["", ""], rows.into_iter().map(|(name, value)| vec![name, value]));
    show_triage(&outcome.triage, out);
    for what in outcome.missing.iter().take(20) {
        out.note(format!("{} {what}", out.red("x")));
    }
    if outcome.missing.len() > 20 {
        out.note(format!("and {} more", outcome.missing.len() - 20));
    }
}

/// What was judged, by loopd's own small models: no account, no key.
fn show_triage(judged: &demo::Judged, out: &Out) {
    out.line(format!("\nTriage: {} items taken from {} calls, word for word:", judged.extracted, judged.calls));
    for quote in &judged.quotes {
        out.line(format!("  \u{201c}{quote}\u{201d}"));
    }
    if !judged.themes.is_empty() {
        out.line("\nThemes that came to be:");
        let rows = judged.themes.iter().map(|theme| {
            let numbers = [theme.items.to_string(), theme.customers.to_string(), format!("{:.0}", theme.arr)];
            let [items, customers, arr] = numbers;
            vec![theme.name.clone(), items, customers, arr, theme.status.clone()]
        });
        out.table(&["THEME", "ITEMS", "CUSTOMERS", "ARR", "STATUS"], rows);
    }
    out.line(format!(
        "\n{} pairs of items may be one, for a person to decide; people spoke to {} verdicts and let {} stand.",
        judged.duplicates_proposed, judged.reviews, judged.agreed
    ));
    if let Some(lesson) = &judged.lesson {
        let mark = if lesson.was_learned() { out.green("learned") } else { out.red("not learned") };
        out.line(format!(
            "{} \u{201c}{}\u{201d} was suggested as {}, and corrected in Airtable to {}. Said again ({}), it is suggested as {}: {mark}{}.",
            lesson.item,
            lesson.title,
            lesson.was,
            lesson.corrected,
            lesson.again,
            lesson.suggested,
            if lesson.because.is_empty() { String::new() } else { format!(", {}", lesson.because) }
        ));
    }
}

/// Stays up until it is interrupted.
async fn keep(stage: &Stage, out: &Out) {
    let config = stage.config.display();
    let rows = demo::STAGED
        .iter()
        .map(|vendor| vec![vendor.name().to_owned(), stage.served.base(*vendor).to_owned(), vendor.token().to_owned()]);
    out.line("\nThe sandbox's vendors");
    out.table(&["vendor", "base URL", "token"], rows);
    let [base, feedback] = [demo::BASE, demo::FEEDBACK];
    let airtable = stage.served.base(Vendor::Airtable);
    out.line(format!("\nThe daemon: http://{}/healthz, /readyz, /metrics", stage.address));
    out.line(format!("Its folder: {}\n\nTo try, in another terminal:", stage.folder.display()));
    for command in ["status", "review", "themes", "agreement", "digest", "close list", "plan", "dead"] {
        out.line(format!("  loopd --config {config} {command}"));
    }
    out.line(format!(
        "  curl -H 'Authorization: Bearer {}' '{airtable}/{base}/{feedback}?maxRecords=3'",
        Vendor::Airtable.token()
    ));
    out.line("\nCtrl-C ends it; the folder goes with it.");
    if out.is_json() {
        out.note(format!("the demo stays up; its configuration is {config}"));
    }
    let _ = tokio::signal::ctrl_c().await;
}

//! `loopd dead`: records that could not pass, and sending them through again.

use anyhow::bail;

use super::admin::{self, Answer, Ask, Outcome};
use super::out::ago;
use super::{Exit, Out, Told};
use crate::ledger::Letter;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All of them, oldest first (the default)
    List,
    /// One of them, with what it holds
    Show { number: u64 },
    /// Send some, or all, through again. Those whose mapping has changed go by themselves
    Retry {
        numbers: Vec<u64>,
        /// All of them
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
    },
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    match args.action.unwrap_or(Action::List) {
        Action::List => list(out),
        Action::Show { number } => show(number, out),
        Action::Retry { numbers, all } => {
            if numbers.is_empty() && !all {
                return Err(Told::usage("error: name the numbers to retry, or --all").into());
            }
            outcomes(admin::ask(out, Ask::Retry { numbers })?, "goes through again", out)
        }
    }
}

fn list(out: &Out) -> anyhow::Result<Exit> {
    let Answer::Letters(letters) = admin::ask(out, Ask::Dead)? else { bail!("another answer than was asked for") };
    out.json(&letters);
    if letters.is_empty() {
        out.line("No dead letters.");
        return Ok(Exit::Done);
    }
    let now = connectors::Clock::now(&connectors::clock::SystemClock::new());
    let rows = letters.iter().map(|letter| {
        let place = match &letter.collection {
            Some(collection) => format!("{}.{collection}", letter.connection),
            None => letter.connection.clone(),
        };
        let about = letter.entity.clone().or_else(|| letter.record.clone()).unwrap_or_default();
        let cause =
            letter.field.as_ref().map_or_else(|| letter.cause.clone(), |field| format!("{field}: {}", letter.cause));
        vec![letter.number.to_string(), ago((now - letter.at).num_seconds()), letter.room.clone(), place, about, cause]
    });
    out.table(&["NUMBER", "AGE", "ROOM", "WHERE", "WHAT", "CAUSE"], rows);
    Ok(Exit::Done)
}

fn show(number: u64, out: &Out) -> anyhow::Result<Exit> {
    let Answer::Letter(dead) = admin::ask(out, Ask::Letter { number })? else {
        bail!("another answer than was asked for")
    };
    out.json(&dead);
    out.line(format!("{} {}", out.bold("cause"), dead.cause));
    let say = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.line(format!("{name}: {value}"));
        }
    };
    say("field", dead.field.clone());
    say("room", Some(dead.room.clone()));
    say("record", dead.key.as_ref().map(|key| format!("{}.{} {}", dead.connection, key.collection, key.id)));
    say("item", dead.entity.map(|id| id.to_string()));
    say("since", Some(dead.at.format("%Y-%m-%d %H:%M:%S").to_string()));
    match &dead.letter {
        Letter::Input { input } => out.line(serde_json::to_string_pretty(&input.record)?),
        Letter::Unreadable { bytes } => out.line(String::from_utf8_lossy(bytes)),
        Letter::Line { file, line, text } => out.line(format!("{file}:{line}: {text}")),
        Letter::Sync { .. } | Letter::Held { .. } | Letter::Message { .. } | Letter::Fetch { .. } => {}
    }
    Ok(Exit::Done)
}

/// What became of each thing; a failure among them fails the command.
pub(super) fn outcomes(answer: Answer, done: &str, out: &Out) -> anyhow::Result<Exit> {
    let Answer::Outcomes(outcomes) = answer else { bail!("another answer than was asked for") };
    out.json(&outcomes);
    for Outcome { what, failed } in &outcomes {
        match failed {
            None => out.line(format!("{what} {done}")),
            Some(why) => out.line(format!("{what}: {}", out.red(why))),
        }
    }
    if outcomes.is_empty() {
        out.line("Nothing to do.");
    }
    Ok(if outcomes.iter().any(|outcome| outcome.failed.is_some()) { Exit::Failed } else { Exit::Done })
}

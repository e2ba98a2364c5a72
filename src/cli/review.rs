//! `loopd review`: the conflicts that a mapping leaves to a person (`wins = "ask"`).

use anyhow::bail;

use super::admin::{self, Answer, Ask};
use super::out::plain;
use super::{Exit, Out};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All of them, oldest first (the default)
    List,
    /// Say which value stands; it then travels everywhere
    Decide { number: u64, side: Side },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Side {
    /// The value that loopd holds
    Ours,
    /// The value that a person typed at the destination
    Theirs,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    match args.action.unwrap_or(Action::List) {
        Action::List => list(out),
        Action::Decide { number, side } => {
            let ask = Ask::Decide { number, ours: matches!(side, Side::Ours), by: admin::person() };
            super::dead::outcomes(admin::ask(out, ask)?, "is decided", out)
        }
    }
}

fn list(out: &Out) -> anyhow::Result<Exit> {
    let Answer::Questions(questions) = admin::ask(out, Ask::Questions)? else {
        bail!("another answer than was asked for")
    };
    out.json(&questions);
    if questions.is_empty() {
        out.line("No conflict waits.");
        return Ok(Exit::Done);
    }
    let rows = questions.iter().map(|question| {
        let place = format!("{}.{} {}", question.connection, question.collection, question.field);
        vec![
            question.number.to_string(),
            format!("{} {}", question.item, question.title),
            place,
            plain(&question.ours),
            plain(&question.theirs),
        ]
    });
    out.table(&["NUMBER", "ITEM", "FIELD", "OURS", "THEIRS"], rows);
    out.line("\n`loopd review decide NUMBER ours|theirs` says which one stands.");
    Ok(Exit::Done)
}

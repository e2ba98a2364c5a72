//! `loopd review`: what waits for a person, best first. On a terminal one thing at a time, by keys; else a list, and orders
//! for scripts.

mod session;
mod show;

use std::io::{self, IsTerminal};

use anyhow::bail;

use super::admin::{self, Answer, AnswerReview, Ask, AskReview};
use super::out::{ago, plain};
use super::{Exit, Out};
use crate::review::queue::{Kind, Waiting};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// What waits, best first: the default where there is no terminal
    List {
        /// Only these
        #[arg(long)]
        kind: Option<Which>,
        /// The most that are listed
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Accept what models suggest of an item: these fields, or all
    Accept { item: String, fields: Vec<String> },
    /// Give a field of an item another value; `-` for none
    Correct { item: String, field: String, value: String },
    /// Take back what you said of an item
    Reopen { item: String },
    /// Do what a proposal proposes: merge two, split one, verify a theme
    Merge { number: u64 },
    /// Say no to a proposal: it is not made again
    Refuse { number: u64 },
    /// Take back what was done upon a proposal
    Undo { number: u64 },
    /// Say which value of a conflict stands; it then travels everywhere
    Decide { number: u64, side: Side },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Side {
    /// The value that loopd holds
    Ours,
    /// The value that a person typed at the destination
    Theirs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Which {
    /// Both sides changed a field, and its mapping leaves it to a person
    Conflict,
    /// What models suggest of an item
    Suggestions,
    /// A duplicate, a merge or split of themes, a theme to verify
    Proposal,
}

impl From<Which> for Kind {
    fn from(which: Which) -> Self {
        match which {
            Which::Conflict => Self::Conflict,
            Which::Suggestions => Self::Suggestions,
            Which::Proposal => Self::Proposal,
        }
    }
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let by = admin::person();
    let order = match args.action {
        None if !out.is_json() && io::stdin().is_terminal() && io::stdout().is_terminal() => {
            session::run(&mut session::Terminal { out })?;
            return Ok(Exit::Done);
        }
        None => return list(None, 20, out),
        Some(Action::List { kind, limit }) => return list(kind.map(Kind::from), limit.into(), out),
        Some(Action::Accept { item, fields }) => AskReview::Accept { item, fields, by },
        Some(Action::Correct { item, field, value }) => AskReview::Correct { item, field, value, by },
        Some(Action::Reopen { item }) => AskReview::Reopen { item, by },
        Some(Action::Merge { number }) => AskReview::Merge { number, by },
        Some(Action::Refuse { number }) => AskReview::Refuse { number, by },
        Some(Action::Undo { number }) => AskReview::Undo { number, by },
        Some(Action::Decide { number, side }) => AskReview::Decide { number, ours: matches!(side, Side::Ours), by },
    };
    let AnswerReview::Outcome(outcome) = ask(out, order)? else { bail!("another answer than was asked for") };
    out.json(&outcome);
    Ok(match &outcome.failed {
        None => {
            out.line(&outcome.what);
            Exit::Done
        }
        Some(why) => {
            out.line(format!("{}: {}", outcome.what, out.red(why)));
            Exit::Failed
        }
    })
}

fn ask(out: &Out, ask: AskReview) -> anyhow::Result<AnswerReview> {
    match admin::ask(out, Ask::Review(ask))? {
        Answer::Review(answer) => Ok(*answer),
        _ => bail!("another answer than was asked for"),
    }
}

fn list(kind: Option<Kind>, limit: usize, out: &Out) -> anyhow::Result<Exit> {
    let AnswerReview::Waiting(waiting) = ask(out, AskReview::List { kind, limit })? else {
        bail!("another answer than was asked for")
    };
    out.json(&waiting);
    if waiting.is_empty() {
        out.line("Nothing waits for a person.");
        return Ok(Exit::Done);
    }
    let newest = waiting.iter().map(|waiting| waiting.since).max().unwrap_or_default();
    let rows = waiting.iter().map(|waiting| {
        vec![
            waiting.kind.name().to_owned(),
            waiting.number.map(|number| number.to_string()).unwrap_or_default(),
            format!("{} {}", waiting.item.short_id, waiting.item.title),
            asked(waiting),
            waiting.item.customer.clone().unwrap_or_default(),
            ago((newest - waiting.since).num_seconds()),
        ]
    });
    out.table(&["KIND", "NUMBER", "ITEM", "ASKED", "CUSTOMER", "OLDER BY"], rows);
    out.line("\n`loopd review accept ITEM [FIELD…]`, `correct ITEM FIELD VALUE`; `merge NUMBER`, `refuse NUMBER`; `decide NUMBER ours|theirs`.");
    Ok(Exit::Done)
}

/// What a person is asked, in a line.
fn asked(waiting: &Waiting) -> String {
    if let Some(conflict) = &waiting.conflict {
        return format!("{}: {} or {}?", conflict.field, plain(&conflict.ours), plain(&conflict.theirs));
    }
    if let Some(proposal) = &waiting.proposal {
        return show::proposed(waiting, proposal);
    }
    let said = waiting.suggestions.iter().map(|said| format!("{} {} {:.2}", said.field, said.shown, said.confidence));
    said.collect::<Vec<_>>().join(", ")
}

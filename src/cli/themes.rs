//! `loopd themes`: what customers struggle with, what stands behind it, and what people make of it.

use anyhow::bail;

use super::admin::{self, Answer, AnswerThemes, Ask, AskThemes};
use super::{Exit, Out, Told, counted};
use crate::report::themes::{Card, Line, Proposing, Sort};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// By what they are listed, the most first
    #[arg(long, value_name = "BY", default_value = "arr")]
    sort: By,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum By {
    /// Revenue of the customers who say it, each counted once
    Arr,
    /// Items, where duplicates count once
    Count,
    /// How many more in the last four weeks than in the four before
    Growth,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All of them (the default)
    List {
        /// By what they are listed, the most first
        #[arg(long, value_name = "BY", default_value = "arr")]
        sort: By,
        /// Those that were merged into others too
        #[arg(long)]
        all: bool,
    },
    /// One of them, with its items in their own words
    Show {
        /// An id (TH-7K3Q9X), its name, or the address of its row or page
        theme: String,
    },
    /// Give it a name, for good
    Rename { theme: String, name: String },
    /// Two are one: the second lives on in the first
    Merge { keep: String, merge: String },
    /// Some of its items are about something else: they become a theme of their own
    Split {
        theme: String,
        #[arg(required = true)]
        items: Vec<String>,
        /// What the new one is called; without it, by what its items share
        #[arg(long)]
        name: Option<String>,
    },
    /// Say which theme an item belongs to
    Move {
        item: String,
        /// Without it: to none
        theme: Option<String>,
    },
    /// Take back a merge or a split of a theme, or that an item is a duplicate or was moved
    Undo {
        /// The theme that was merged or split off, or the item
        id: String,
    },
    /// You have looked: the hypothesis holds
    Verify { theme: String },
    /// Do what is proposed
    Accept { number: u64 },
    /// Never propose it again
    Reject { number: u64 },
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let by = admin::person();
    let order = match args.action {
        None => return list(args.sort, false, out),
        Some(Action::List { sort, all }) => return list(sort, all, out),
        Some(Action::Show { theme }) => {
            let AnswerThemes::Card(card) = ask(out, AskThemes::Show { id: theme })? else { return another() };
            out.json(&card);
            show(&card, out);
            return Ok(Exit::Done);
        }
        Some(Action::Rename { theme, name }) => AskThemes::Rename { id: theme, name, by },
        Some(Action::Merge { keep, merge }) => AskThemes::Merge { keep, lose: merge, by },
        Some(Action::Split { theme, items, name }) => AskThemes::Split { id: theme, items, name, by },
        Some(Action::Move { item, theme }) => AskThemes::Move { item, theme, by },
        Some(Action::Undo { id }) => AskThemes::Undo { id, by },
        Some(Action::Verify { theme }) => AskThemes::Verify { id: theme, by },
        Some(Action::Accept { number }) => AskThemes::Answer { number, yes: true, by },
        Some(Action::Reject { number }) => AskThemes::Answer { number, yes: false, by },
    };
    let answer = ask(out, order)?;
    let AnswerThemes::Done { text } = &answer else { return another() };
    out.json(&answer);
    out.line(text);
    Ok(Exit::Done)
}

fn another<T>() -> anyhow::Result<T> {
    bail!("another answer than was asked for")
}

fn ask(out: &Out, what: AskThemes) -> anyhow::Result<AnswerThemes> {
    match admin::ask(out, Ask::Themes(what))? {
        Answer::Themes(answer) => match *answer {
            AnswerThemes::No(why) => Err(Told::new(Exit::Failed, format!("error: {why}")).into()),
            answer => Ok(answer),
        },
        _ => another(),
    }
}

fn list(sort: By, all: bool, out: &Out) -> anyhow::Result<Exit> {
    let sort = match sort {
        By::Arr => Sort::Arr,
        By::Count => Sort::Count,
        By::Growth => Sort::Growth,
    };
    let AnswerThemes::Lines { lines, proposals } = ask(out, AskThemes::List { sort, all })? else { return another() };
    out.json(&lines);
    if lines.is_empty() {
        out.line("There is no theme yet: three items that lie near each other make one, or a row that somebody adds.");
        return Ok(Exit::Done);
    }
    out.table(
        &["ID", "NAME", "STATUS", "ITEMS", "CUSTOMERS", "ARR", "4 WEEKS", "NEWEST"],
        lines.iter().map(|line| row(line, out)),
    );
    tell(&proposals, out);
    Ok(Exit::Done)
}

fn row(line: &Line, out: &Out) -> Vec<String> {
    let merged = if line.merged_into.is_some() { " (merged)" } else { "" };
    let status =
        if line.verify { out.yellow(&format!("{}, time to verify", line.status)) } else { line.status.clone() };
    let newest = line.newest_at.map(|at| at.format("%Y-%m-%d").to_string()).unwrap_or_default();
    vec![
        line.short_id.clone(),
        format!("{}{merged}", line.name),
        status,
        line.count.to_string(),
        line.customers.to_string(),
        format!("{:.0}", line.arr),
        trend(line),
        newest,
    ]
}

/// `7 (+3)`: seven in the last four weeks, three more than in the four before.
fn trend(line: &Line) -> String {
    match line.recent.cmp(&line.before) {
        std::cmp::Ordering::Greater => format!("{} (+{})", line.recent, line.recent - line.before),
        std::cmp::Ordering::Less => format!("{} (-{})", line.recent, line.before - line.recent),
        std::cmp::Ordering::Equal => format!("{} (=)", line.recent),
    }
}

fn tell(proposals: &[Proposing], out: &Out) {
    if proposals.is_empty() {
        return;
    }
    out.line(format!("\n{} for a person:", counted(proposals.len(), "proposal")));
    for proposal in proposals {
        out.line(format!("  {} {}  {}", proposal.number, proposal.what, out.faint(&proposal.because)));
    }
    out.line("`loopd themes accept NUMBER` does it, `loopd themes reject NUMBER` never asks again.");
}

fn show(card: &Card, out: &Out) {
    let line = &card.line;
    out.line(format!("{}  {}", out.bold(&line.name), out.faint(&line.short_id)));
    let say = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            out.line(format!("  {name:<10} {value}"));
        }
    };
    say("statement", card.statement.clone());
    say("about", card.description.clone());
    say("status", Some(line.status.clone()));
    say("owner", card.owner.clone());
    let duplicates = line.items - line.count.min(line.items);
    let and = if duplicates > 0 { format!(", and {}", counted(duplicates, "duplicate")) } else { String::new() };
    say("items", Some(format!("{}{and}; {} in four weeks", line.count, trend(line))));
    say("customers", Some(format!("{}, ARR {:.0}", line.customers, line.arr)));
    say("job", card.job.as_ref().map(|job| job.job.clone()));
    say("split from", card.split_from.clone());
    say("lives in", line.merged_into.map(|id| id.to_string()));
    for merged in &card.merged {
        say("merged in", Some(merged.clone()));
    }
    for member in &card.members {
        let who = member.customer.clone().unwrap_or_default();
        let of = member.duplicate_of.as_ref().map(|of| format!("  the same as {of}")).unwrap_or_default();
        let by = if member.decided { "  put here by a person" } else { "" };
        let day = member.at.map(|at| at.format("%Y-%m-%d").to_string()).unwrap_or_default();
        out.line(format!("\n  {} {}", out.bold(&member.short_id), member.title));
        out.line(format!("    {}", out.faint(&format!("{day}  {}  {who}{of}{by}", member.status))));
        if let Some(quote) = &member.quote {
            out.line(format!("    “{quote}”"));
        }
    }
    tell(&card.proposals, out);
}

//! `loopd customers`: who they are, who may be one, who is, and who is not.

use std::io::IsTerminal;

use anyhow::bail;

use super::admin::{self, Answer, AnswerCustomers, Ask, AskCustomers};
use super::{Exit, Out, Told, counted};
use crate::customers::{Card, Doubtful, Evidence};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All of them, by name (the default)
    List {
        /// Those that were merged into others too
        #[arg(long)]
        all: bool,
    },
    /// One of them: its names, its records, what was merged into it
    Show {
        /// An id (CU-7K3Q9X), a domain, what it is called, or KIND:NAME
        customer: String,
    },
    /// Pairs that may be one: look at both sides and say
    Review {
        /// They are one: the second is merged into the first
        #[arg(long, value_name = "NUMBER")]
        accept: Vec<u64>,
        /// They are two. That is never asked again
        #[arg(long, value_name = "NUMBER")]
        reject: Vec<u64>,
    },
    /// Two are one: the second lives on in the first, with its names, items and records
    Merge { keep: String, merge: String },
    /// What is taken for one is two
    Split {
        /// The customer of which a part is another
        #[arg(required_unless_present = "undo_merge")]
        customer: Option<String>,
        /// A name that is the other's: domain:lumen.example.com. What goes by it goes along
        #[arg(long, value_name = "KIND:NAME", conflicts_with = "undo_merge", required_unless_present = "undo_merge")]
        alias: Vec<String>,
        /// The one that was merged: it lives again, as it was
        #[arg(long, value_name = "CUSTOMER")]
        undo_merge: Option<String>,
    },
    /// The names by which one is recognised
    Alias {
        #[command(subcommand)]
        what: Naming,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Naming {
    /// What goes by this name is this customer's
    Add {
        customer: String,
        /// domain:lumen.example.com, slack_channel:C0123456789, email:ada@example.com, …
        name: String,
    },
    /// This name is not this customer's, whatever its sources say
    Remove { customer: String, name: String },
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let by = admin::person();
    match args.action.unwrap_or(Action::List { all: false }) {
        Action::List { all } => list(all, out),
        Action::Show { customer } => {
            let AnswerCustomers::Card(card) = ask(out, AskCustomers::Show { id: customer })? else { return another() };
            out.json(&card);
            show(&card, out);
            Ok(Exit::Done)
        }
        Action::Review { accept, reject } if accept.is_empty() && reject.is_empty() => review(&by, out),
        Action::Review { accept, reject } => {
            let mut outcomes = Vec::new();
            for (numbers, one) in [(accept, true), (reject, false)] {
                if !numbers.is_empty() {
                    outcomes.extend(answered(numbers, one, &by, out)?);
                }
            }
            super::dead::outcomes(Answer::Outcomes(outcomes), "", out)
        }
        Action::Merge { keep, merge } => done(AskCustomers::Merge { keep, lose: merge, by }, out),
        Action::Split { undo_merge: Some(id), .. } => done(AskCustomers::UndoMerge { id, by }, out),
        Action::Split { customer, alias, .. } => {
            done(AskCustomers::Split { id: customer.unwrap_or_default(), names: alias, by }, out)
        }
        Action::Alias { what: Naming::Add { customer, name } } => {
            done(AskCustomers::Name { id: customer, name, give: true, by }, out)
        }
        Action::Alias { what: Naming::Remove { customer, name } } => {
            done(AskCustomers::Name { id: customer, name, give: false, by }, out)
        }
    }
}

fn another<T>() -> anyhow::Result<T> {
    bail!("another answer than was asked for")
}

fn ask(out: &Out, what: AskCustomers) -> anyhow::Result<AnswerCustomers> {
    match admin::ask(out, Ask::Customers(what))? {
        Answer::Customers(answer) => match *answer {
            AnswerCustomers::No(why) => Err(Told::new(Exit::Failed, format!("error: {why}")).into()),
            answer => Ok(answer),
        },
        _ => another(),
    }
}

fn done(what: AskCustomers, out: &Out) -> anyhow::Result<Exit> {
    let answer = ask(out, what)?;
    let AnswerCustomers::Done { text, items, .. } = &answer else { return another() };
    out.json(&answer);
    out.line(text);
    if *items > 0 {
        out.line(format!("{} follow, and every destination with them", counted(*items, "item")));
    }
    Ok(Exit::Done)
}

fn list(all: bool, out: &Out) -> anyhow::Result<Exit> {
    let AnswerCustomers::Lines(lines) = ask(out, AskCustomers::List { all })? else { return another() };
    out.json(&lines);
    if lines.is_empty() {
        out.line("No customers are known.");
        return Ok(Exit::Done);
    }
    let rows = lines.iter().map(|line| {
        let merged = if line.merged_into.is_some() { " (merged)" } else { "" };
        let arr = line.arr.map(|arr| format!("{arr:.0}")).unwrap_or_default();
        let tier = line.tier.clone().unwrap_or_default();
        let name = format!("{}{merged}", line.name);
        vec![line.short_id.clone(), name, line.domains.join(", "), tier, arr, line.items.to_string()]
    });
    out.table(&["ID", "NAME", "DOMAINS", "TIER", "ARR", "ITEMS"], rows);
    Ok(Exit::Done)
}

fn show(card: &Card, out: &Out) {
    out.line(out.bold(&card.called()));
    let say = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            out.line(format!("  {name:<10} {value}"));
        }
    };
    say("id", Some(card.id.to_string()));
    say("items", Some(card.items.to_string()));
    say("ARR", card.arr.map(|arr| format!("{arr:.0}")));
    say("industry", card.industry.clone());
    say("region", card.region.clone());
    say("owner", card.owner.clone());
    say("state", card.withdrawn.then(|| "deleted at its source".to_owned()));
    say("lives in", card.merged_into.map(|id| id.to_string()));
    say("parted", card.parted_from.map(|id| format!("from {id}")));
    for name in &card.names {
        let given = if name.given { "  given by a person" } else { "" };
        let held = name.held_by.as_ref().map(|who| format!("  {}", out.yellow(&format!("leads to {who}"))));
        say("goes by", Some(format!("{}{given}{}", name.alias, held.unwrap_or_default())));
    }
    for place in &card.records {
        let url = place.url.clone().unwrap_or_default();
        let state = if place.state == "live" { String::new() } else { format!("  ({})", place.state) };
        say(
            "record",
            Some(format!("{}.{} {}{state}  {}", place.connection, place.collection, place.id, out.faint(&url))),
        );
    }
    for (id, called) in &card.absorbed {
        say("merged in", Some(format!("{called}  {}", out.faint(&id.to_string()))));
    }
}

fn answered(numbers: Vec<u64>, one: bool, by: &str, out: &Out) -> anyhow::Result<Vec<admin::Outcome>> {
    let what = AskCustomers::Answer { numbers, one, by: by.to_owned() };
    let AnswerCustomers::Outcomes(outcomes) = ask(out, what)? else { return another() };
    Ok(outcomes)
}

/// On a terminal one after the other, with a key for each answer; else a list to answer by number.
fn review(by: &str, out: &Out) -> anyhow::Result<Exit> {
    let AnswerCustomers::Doubtful(pairs) = ask(out, AskCustomers::Review)? else { return another() };
    out.json(&pairs);
    if pairs.is_empty() {
        out.line("No pair of customers is in doubt.");
        return Ok(Exit::Done);
    }
    let asks = !out.is_json() && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    for (at, pair) in pairs.iter().enumerate() {
        tell(pair, at + 1, pairs.len(), out);
        if !asks {
            continue;
        }
        match asked(pair, by, out)? {
            Some(said) => out.line(said),
            None => return Ok(Exit::NeedsPerson),
        }
    }
    if !asks {
        out.line(
            "`loopd customers review --accept NUMBER` says that they are one, `--reject NUMBER` that they are two.",
        );
    }
    Ok(if asks { Exit::Done } else { Exit::NeedsPerson })
}

fn tell(pair: &Doubtful, at: usize, of: usize, out: &Out) {
    out.line(format!("\n{} {}", out.bold(&pair.number.to_string()), out.faint(&format!("{at} of {of}"))));
    show(&pair.keep, out);
    show(&pair.other, out);
    for evidence in &pair.evidence {
        out.line(format!("  {} {}", out.yellow("?"), Evidence::text(evidence)));
    }
}

/// `None`: enough for today.
fn asked(pair: &Doubtful, by: &str, out: &Out) -> anyhow::Result<Option<String>> {
    loop {
        let question =
            format!("one [y], one, but the second stays [x], two [n], later [s], enough [q]? ({})", pair.keep.short_id);
        let Some(key) = out.ask(&question) else { return Ok(None) };
        let one = match key.as_str() {
            "y" => true,
            "n" => false,
            "x" => {
                let (keep, lose) = (pair.other.id.to_string(), pair.keep.id.to_string());
                let answer = ask(out, AskCustomers::Merge { keep, lose, by: by.to_owned() })?;
                let AnswerCustomers::Done { text, .. } = answer else { return another() };
                return Ok(Some(text));
            }
            "s" => return Ok(Some("later".to_owned())),
            "q" => return Ok(None),
            _ => continue,
        };
        let outcomes = answered(vec![pair.number], one, by, out)?;
        let said = outcomes.into_iter().map(|outcome| match outcome.failed {
            Some(why) => out.red(&why),
            None => outcome.what,
        });
        return Ok(Some(said.collect::<Vec<_>>().join("\n")));
    }
}

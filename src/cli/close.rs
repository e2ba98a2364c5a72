//! `loopd close`: the messages to customers that wait for a person.

use anyhow::{Context, bail};
use connectors::MessageKind;

use super::admin::{self, Answer, Ask};
use super::{Exit, Out};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Those that wait for approval (the default)
    List {
        /// Also those that were sent or dropped
        #[arg(long)]
        all: bool,
    },
    /// Send them. An id may be shortened, or be the item's (FB-7K3Q9X)
    Approve {
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Give one other words: before it is sent, or after, where its vendor lets it be changed (Slack)
    Reword {
        id: String,
        /// The words, in Markdown
        #[arg(long, conflicts_with = "file", required_unless_present = "file")]
        text: Option<String>,
        /// A file that holds them; `-` is stdin
        #[arg(long)]
        file: Option<std::path::PathBuf>,
    },
    /// Never send them
    Drop {
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    match args.action.unwrap_or(Action::List { all: false }) {
        Action::List { all } => list(all, out),
        Action::Approve { ids } => {
            let answer = admin::ask(out, Ask::Approve { ids, by: admin::person() })?;
            super::dead::outcomes(answer, "is approved and goes out", out)
        }
        Action::Reword { id, text, file } => {
            let body = match file {
                Some(file) if file.as_os_str() == "-" => {
                    std::io::read_to_string(std::io::stdin()).context("stdin cannot be read")?
                }
                Some(file) => {
                    std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?
                }
                None => text.unwrap_or_default(),
            };
            let body = body.trim().to_owned();
            if body.is_empty() {
                return Err(super::Told::usage(
                    "error: a message of no words is none; `loopd close drop` never sends it",
                )
                .into());
            }
            let answer = admin::ask(out, Ask::Reword { id, body, by: admin::person() })?;
            super::dead::outcomes(answer, "has other words", out)
        }
        Action::Drop { ids } => {
            let answer = admin::ask(out, Ask::Drop { ids, by: admin::person() })?;
            super::dead::outcomes(answer, "is dropped", out)
        }
    }
}

fn list(all: bool, out: &Out) -> anyhow::Result<Exit> {
    let Answer::Messages(messages) = admin::ask(out, Ask::Messages { all })? else {
        bail!("another answer than was asked for")
    };
    out.json(&messages);
    if messages.is_empty() {
        out.line("No message waits.");
    }
    for message in &messages {
        let kind = match message.kind {
            MessageKind::Reply => "reply to the customer",
            MessageKind::Note => "note to the team",
        };
        let id = message.id.get(..8).unwrap_or(&message.id);
        let to = format!("{} {} {}", message.connection, message.collection, message.to);
        out.line(format!("{}  {}  {}", out.bold(id), message.item, message.title));
        out.line(out.faint(&format!("          {kind} in {to}; {}", message.state)));
        for line in message.body.lines() {
            out.line(format!("          {line}"));
        }
        out.line("");
    }
    if messages.iter().any(|message| message.state == crate::ledger::MessageState::Prepared.name()) {
        out.line("`loopd close approve ID…` sends them, `loopd close drop ID…` does not.");
    }
    Ok(Exit::Done)
}

//! `loopd digest`: the week's Voice of Customer, as Markdown.

use anyhow::bail;

use super::admin::{self, Answer, AnswerVoice, Ask, AskVoice};
use super::{Exit, Out};
use crate::digest::{Role, Wanted};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which week: 2026-W47, `last`, `this` [default: the one that ended last; before the first has, the one that runs]
    #[arg(long, value_name = "WEEK")]
    week: Option<String>,
    /// For whom
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// In loopd's own words, without asking a model
    #[arg(long)]
    offline: bool,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let wanted = Wanted { week: args.week, role: args.role, offline: args.offline };
    let Answer::Voice(answer) = admin::ask(out, Ask::Voice(AskVoice::Digest { wanted }))? else {
        bail!("another answer than was asked for")
    };
    let AnswerVoice::Digest(edition) = *answer else { bail!("another answer than was asked for") };
    out.json(&edition);
    out.line(edition.text.trim_end());
    if let Some(note) = edition.note.as_ref().filter(|_| !out.is_json()) {
        out.note(format!("{} in loopd's own words: {note}", out.yellow("!")));
    }
    Ok(Exit::Done)
}

//! `loopd jtbd`: what somebody asks for, and what they want it for.

use anyhow::bail;

use super::admin::{self, Answer, AnswerVoice, Ask, AskVoice, ToldJob};
use super::{Exit, Out};
use crate::triage::jtbd::RULES;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// An item or a theme: a Loopd ID, a short id (FB-7K3Q9X), the id of a record outside, or its URL
    id: String,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let Answer::Voice(answer) = admin::ask(out, Ask::Voice(AskVoice::Job { id: args.id }))? else {
        bail!("another answer than was asked for")
    };
    let AnswerVoice::Job(told) = *answer else { bail!("another answer than was asked for") };
    out.json(&told);
    show(&told, out);
    Ok(Exit::Done)
}

fn show(told: &ToldJob, out: &Out) {
    let job = &told.job;
    out.line(format!("{}  {}", out.bold(&told.short_id), told.title));
    out.line("");
    out.line(format!("Request  “{}”", job.request));
    out.line(format!("Job      {}", job.job));
    for (name, lines) in [("Ask", &job.questions), ("Or", &job.alternatives)] {
        for (at, line) in lines.iter().enumerate() {
            out.line(format!("{:<9}- {line}", if at == 0 { name } else { "" }));
        }
    }
    out.line("");
    out.line(out.faint(&format!("by {}", job.model)));
    if job.model == RULES {
        out.note("written by rules, from its words alone: a language model ([model] of the configuration) finds more");
    }
    if let Some(later) = told.later {
        out.note(format!("no model has time before {}; then it is written anew", later.format("%Y-%m-%d %H:%M UTC")));
    }
}

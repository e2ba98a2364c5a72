//! `loopd agreement`: how well models stand against people, and where they may act by themselves.

use anyhow::bail;

use super::admin::{self, Answer, AnswerReview, Ask, AskReview};
use super::{Exit, Out};
use crate::review::agreement::{Agreement, By, Wanted};
use crate::schema::Task;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this task: extract, classify, duplicate, theme, jtbd, risk, digest
    #[arg(long, value_parser = task)]
    task: Option<Task>,
    /// Tell reviews apart by this
    #[arg(long)]
    by: Option<Apart>,
    /// Only the last seven days
    #[arg(long)]
    week: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Apart {
    /// What the model said, or saw
    Category,
    /// The customer's
    Segment,
    /// The prompt, with its version
    Prompt,
    Model,
    Field,
}

fn task(name: &str) -> Result<Task, String> {
    Task::parse(name).ok_or_else(|| format!("there are {}", Task::ALL.map(Task::name).join(", ")))
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let by = match args.by {
        None => By::Task,
        Some(Apart::Category) => By::Category,
        Some(Apart::Segment) => By::Segment,
        Some(Apart::Prompt) => By::Prompt,
        Some(Apart::Model) => By::Model,
        Some(Apart::Field) => By::Field,
    };
    let wanted = Wanted { task: args.task, by, week: args.week };
    let answer = admin::ask(out, Ask::Review(AskReview::Agreement(wanted)))?;
    let Answer::Review(answer) = answer else { bail!("another answer than was asked for") };
    let AnswerReview::Agreement(agreement) = *answer else { bail!("another answer than was asked for") };
    out.json(&agreement);
    show(&agreement, by, out);
    Ok(Exit::Done)
}

fn show(agreement: &Agreement, by: By, out: &Out) {
    if agreement.rows.is_empty() {
        out.line("No verdict of a model has been reviewed yet: `loopd review`, or an edit of a suggested field where it is shown.");
        return;
    }
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let bounds = |low: f64, high: f64| format!("{:.0}–{:.0} %", low * 100.0, high * 100.0);
    let of = match by {
        By::Task => "",
        By::Category => "CATEGORY",
        By::Segment => "SEGMENT",
        By::Prompt => "PROMPT",
        By::Model => "MODEL",
        By::Field => "FIELD",
    };
    let rows = agreement.rows.iter().map(|row| {
        let kappa = match (row.kappa, row.kappa_low, row.kappa_high) {
            (Some(kappa), Some(low), Some(high)) => format!("{kappa:.2} ({low:.2} to {high:.2})"),
            _ => "-".to_owned(),
        };
        let name = if row.of.is_empty() && by != By::Task { "-".to_owned() } else { row.of.clone() };
        vec![
            row.task.name().to_owned(),
            name,
            row.reviews.to_string(),
            row.agreed.to_string(),
            percent(row.rate),
            bounds(row.low, row.high),
            kappa,
        ]
    });
    out.table(&["TASK", of, "REVIEWS", "AGREED", "RATE", "95 %", "KAPPA (95 %)"], rows);
    if !agreement.cells.is_empty() {
        out.line("");
        let cells = agreement.cells.iter().map(|cell| {
            let trust = match (&cell.lacks, cell.trusted) {
                (_, true) => out.green("acts by itself"),
                (Some(lacks), _) => lacks.clone(),
                (None, _) => String::new(),
            };
            let share = format!("{} of {}", cell.agreed, cell.reviews);
            vec![cell.task.name().to_owned(), cell.cell.clone(), share, format!("{:.2}", cell.low), trust]
        });
        out.table(&["TASK", "CATEGORY × SEGMENT", "NEWEST", "LOWER BOUND", "TRUST, OR WHAT LACKS"], cells);
    }
    if !agreement.calibration.is_empty() {
        out.line("");
        let bins = agreement.calibration.iter().map(|bin| {
            let said = format!("{:.1} to {:.1}", bin.from, bin.to);
            vec![said, bin.reviews.to_string(), percent(bin.claimed), percent(bin.rate), bounds(bin.low, bin.high)]
        });
        out.table(&["CONFIDENCE", "REVIEWS", "CLAIMED", "STOOD", "95 %"], bins);
    }
    if !agreement.mistakes.is_empty() {
        out.line(out.bold("\nThe last seven days' corrections, the surest first:"));
        let mistakes = agreement.mistakes.iter().map(|mistake| {
            vec![
                mistake.item.clone(),
                mistake.field.clone(),
                format!("{} {:.2}", mistake.said_shown, mistake.confidence),
                mistake.stands_shown.clone(),
                mistake.title.clone(),
                mistake.url.clone().unwrap_or_default(),
            ]
        });
        out.table(&["ITEM", "FIELD", "SAID", "STANDS", "TITLE", "LINK"], mistakes);
    }
}

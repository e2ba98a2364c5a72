//! Asks the subject about every row, and makes the report.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::labels::{choices, known};
use super::nearest::{self, Nearest};
use super::pairs::{self, Pairs};
use super::rows::{Gold, Options, Read, Row};
use super::score::{Score, Verdict, score};
use super::{Asked, Choice, Cost, Subject, Task};
use crate::enrich::Text;

/// All that was measured. Its JSON is what `--json` prints; `docs/eval.md` says what the keys mean.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    pub subject: String,
    pub rows: usize,
    /// What was renamed, folded or left out.
    pub notes: Vec<String>,
    /// By task: category, severity, product, lang.
    pub tasks: BTreeMap<&'static str, Score>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Pairs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Nearest>,
    pub cost: Cost,
}

/// How far it is: called once a question.
pub type Progress<'a> = &'a (dyn Fn() + Sync);

/// The tasks that are run, with how many rows have gold for each.
pub fn tasks(read: &Read, options: &Options) -> Vec<(Task, usize)> {
    let with = |task: Task| read.rows.iter().filter(|row| row.gold.contains_key(&task)).count();
    let wanted = |task: &Task| match options.tasks.is_empty() {
        false => options.tasks.contains(task),
        // Themes and labels beside a category are not what the file is for.
        true => *task != Task::Nearest || with(Task::Category) == 0,
    };
    Task::ALL.into_iter().filter(wanted).map(|task| (task, with(task))).filter(|(_, rows)| *rows > 0).collect()
}

/// # Errors
/// Where the subject can answer nothing, or there is nothing to ask.
pub async fn run(
    subject: &dyn Subject,
    read: Read,
    options: &Options,
    errors: usize,
    step: Progress<'_>,
) -> Result<Report, String> {
    let tasks = tasks(&read, options);
    if tasks.is_empty() {
        let asked: Vec<&str> = options.tasks.iter().map(|task| task.name()).collect();
        let what = if asked.is_empty() { "any task".to_owned() } else { asked.join(", ") };
        return Err(format!(
            "no row has gold for {what}: write it into category, product, severity or lang, or say where it stands with --map category:FIELD"
        ));
    }
    let mut report =
        Report { subject: subject.name(), rows: read.rows.len(), notes: read.notes.clone(), ..Report::default() };
    for (task, _) in tasks {
        match task {
            Task::Nearest => report.nearest = Some(nearest::measure(subject, &read.rows, &mut report.cost).await?),
            Task::Pairs => {
                let verdicts = judge(subject, task, &pairs_of(&read.rows), &[], step, &mut report.cost).await?;
                let score = score(&verdicts, errors);
                report.pairs = Some(pairs::measure(subject, &read.rows, score, &mut report.cost).await?);
            }
            _ => {
                let (rows, choices) = labelled(task, &read.rows, options, &mut report.notes)?;
                let verdicts = judge(subject, task, &rows, &choices, step, &mut report.cost).await?;
                report.tasks.insert(task.name(), score(&verdicts, errors));
            }
        }
    }
    Ok(report)
}

/// A question: the row, its texts and its gold.
struct Question<'a> {
    line: usize,
    texts: Vec<Text>,
    gold: &'a Gold,
}

fn pairs_of(rows: &[Row]) -> Vec<Question<'_>> {
    let pair = |row: &'_ Row| Some((row.line, vec![row.text.clone(), row.other.clone()?]));
    rows.iter()
        .filter_map(|row| {
            let (line, texts) = pair(row)?;
            Some(Question { line, texts, gold: row.gold.get(&Task::Pairs)? })
        })
        .collect()
}

/// The rows that have gold for a task, without those that `--only` leaves out, and what may be answered.
fn labelled<'a>(
    task: Task,
    rows: &'a [Row],
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<(Vec<Question<'a>>, Vec<Choice>), String> {
    let with = || rows.iter().filter_map(|row| Some((row, row.gold.get(&task)?)));
    let gold: BTreeSet<String> = with().flat_map(|(_, gold)| gold.iter().cloned()).collect();
    let reviews = task == Task::Category && rows.iter().any(|row| row.review);
    let only: Vec<String> = if task == Task::Category {
        options
            .only
            .iter()
            .map(|label| known(task, label).map_or_else(|| super::labels::plain(label), str::to_owned))
            .collect()
    } else {
        Vec::new()
    };
    let (choices, folded) = choices(task, &gold, &only, reviews);
    notes.extend(folded);
    if let Some(strange) = only.iter().find(|label| !choices.iter().any(|choice| choice.label == **label)) {
        return Err(format!("--only {strange}: it is no category; they are {}", super::labels::CATEGORIES.join(", ")));
    }
    let mut questions = Vec::new();
    let mut left = 0;
    for (row, gold) in with() {
        if !only.is_empty() && !gold.iter().all(|label| only.contains(label)) {
            left += 1;
            continue;
        }
        questions.push(Question { line: row.line, texts: vec![row.text.clone()], gold });
    }
    if left > 0 {
        notes.push(format!("{left} rows have other labels than {} and were left out", only.join(", ")));
    }
    if questions.is_empty() {
        return Err(format!("no row is labelled {}; the file has {}", only.join(", "), listed(&gold)));
    }
    let strange: BTreeSet<String> = if choices.is_empty() {
        BTreeSet::new()
    } else {
        gold.iter().filter(|label| !choices.iter().any(|choice| choice.label == **label)).cloned().collect()
    };
    if !strange.is_empty() && only.is_empty() {
        notes.push(format!(
            "{} can never be answered: {} is none of ours; --rename it, or leave it out with --only",
            task.name(),
            listed(&strange)
        ));
    }
    Ok((questions, choices))
}

fn listed(labels: &BTreeSet<String>) -> String {
    let mut some: Vec<&str> = labels.iter().map(String::as_str).take(12).collect();
    if labels.len() > some.len() {
        some.push("…");
    }
    some.join(", ")
}

async fn judge(
    subject: &dyn Subject,
    task: Task,
    questions: &[Question<'_>],
    choices: &[Choice],
    step: Progress<'_>,
    cost: &mut Cost,
) -> Result<Vec<Verdict>, String> {
    let mut verdicts = Vec::with_capacity(questions.len());
    for question in questions {
        let judged = subject.judge(Asked { task, texts: &question.texts, choices }).await?;
        *cost += judged.cost;
        step();
        let shown = |text: &Text| format!("{} {}", text.title, text.body).trim().to_owned();
        // A product may be spelt as its vocabulary does.
        let said = judged.value.map(|value| match task {
            Task::Product if !question.gold.contains(&value) => super::labels::plain(&value),
            _ => value,
        });
        verdicts.push(Verdict {
            line: question.line,
            text: question.texts.iter().map(shown).collect::<Vec<_>>().join(" || "),
            gold: question.gold.clone(),
            said,
            confidence: judged.confidence,
            because: judged.because,
        });
    }
    Ok(verdicts)
}

//! `loopd eval FILE`: how well texts are judged that somebody has labelled.

use std::path::PathBuf;

use super::{Exit, Out, Told, counted};
use crate::enrich::{Term, Vocabulary};
use crate::eval::score::Score;
use crate::eval::{Offline, Options, Report, Subject, Task, WithModel, read, run as measure};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON object a line: text, or title with body or summary; and what is true: category, product, severity, lang; or
    /// pairs: a_text, b_text, label (- for standard input)
    file: PathBuf,
    /// Where a gold or a text stands: --map category:label says that the category is in the field label
    #[arg(long, value_name = "NAME:FIELD", value_parser = parted, value_delimiter = ',')]
    map: Vec<(String, String)>,
    /// What the file calls one thing and loopd another: --rename incident=bug
    #[arg(long, value_name = "LABEL=NAME", value_parser = parted, value_delimiter = ',')]
    rename: Vec<(String, String)>,
    /// Only rows of these categories, and only these as answers: --only bug,feature_request,question
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these [default: all that the file has gold for]
    #[arg(long, value_enum, value_delimiter = ',')]
    task: Vec<Task>,
    /// List the worst mistakes: so many a task, the surest first
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    errors: usize,
    /// Who is measured: loopd's own models, or the language model of the configuration
    #[arg(long, value_enum, default_value = "offline")]
    with: With,
    /// Another model than [tasks] names: small, large, or an id
    #[arg(long, value_name = "MODEL", requires = "with")]
    model: Option<String>,
    /// Another prompt than the one in use: a version of classify
    #[arg(long, value_name = "VERSION", requires = "with")]
    prompt: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum With {
    Offline,
    Model,
}

fn parted(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once([':', '=']).map(|(from, to)| (from.trim().to_owned(), to.trim().to_owned()));
    parts
        .filter(|(from, to)| !from.is_empty() && !to.is_empty())
        .ok_or_else(|| "write two names: category:label".to_owned())
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let name = args.file.display().to_string();
    let bytes = if name == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(&args.file)
    };
    let bytes = bytes.map_err(|error| Told::usage(format!("error: {name}: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Told::usage(format!("error: {name}:{line}: no UTF-8: convert the file (iconv -t UTF-8)"))
    })?;
    let options = Options { map: args.map, rename: args.rename, only: args.only, tasks: args.task };
    let rows = read(&text, &options).map_err(|problem| {
        let place = problem.line.map_or_else(|| name.clone(), |line| format!("{name}:{line}"));
        Told::usage(format!("error: {place}: {}", problem.why))
    })?;
    let subject: Box<dyn Subject> = match args.with {
        With::Offline => Box::new(Offline::new(products(out))),
        With::Model => Box::new(with_model(args.model, args.prompt, out)?),
    };
    let questions: usize = crate::eval::run::tasks(&rows, &options).iter().map(|(_, rows)| rows).sum();
    let bar = out.progress(u64::try_from(questions).ok(), &subject.name());
    let report = measure(&*subject, rows, &options, args.errors, &|| bar.inc(1)).await;
    bar.finish_and_clear();
    let report = report.map_err(|why| Told::usage(format!("error: {name}: {why}")))?;
    out.json(&report);
    show(&report, out);
    Ok(Exit::Done)
}

/// The language model of the configuration, maybe by another name or with another prompt.
fn with_model(name: Option<String>, prompt: Option<String>, out: &Out) -> anyhow::Result<WithModel> {
    let mut config = super::open::config(out)?;
    if config.model.provider == crate::config::Provider::None {
        let text = "error: no language model is configured\n  = see [model] in the configuration, or leave --with out";
        return Err(Told::usage(text).into());
    }
    let task = crate::schema::Task::Classify;
    if let Some(version) = &prompt
        && config.prompts.get(task, version).is_none()
    {
        let versions = config.prompts.versions(task).join(", ");
        let text = format!("error: there is no prompt classify/{version}\n  = there are versions {versions}");
        return Err(Told::usage(text).into());
    }
    if let Some(settings) = config.tasks.get_mut(&task) {
        settings.models = name.map_or_else(|| settings.models.clone(), |name| vec![name]);
        settings.prompt = prompt.unwrap_or_else(|| settings.prompt.clone());
    }
    Ok(WithModel::new(super::prompts::alone(config)?))
}

/// The configured products, where there is a configuration that has some.
fn products(out: &Out) -> Vec<Vocabulary> {
    let path = out.config_path();
    let Ok(config) = crate::config::load(&path, &crate::config::Machine) else { return Vec::new() };
    let terms = config.vocabularies.get("product").map(Vec::as_slice).unwrap_or_default();
    if terms.is_empty() {
        return Vec::new();
    }
    out.note(format!("products are those of {}", path.display()));
    let term = |value: &str, words: &[String]| Term { value: value.to_owned(), words: words.to_vec() };
    // Every category may be said, whatever the configuration lists: the file decides what is counted.
    let categories = crate::eval::labels::CATEGORIES.iter().map(|category| term(category, &[])).collect();
    vec![
        Vocabulary {
            path: "tags.product".into(),
            terms: terms.iter().map(|known| term(&known.value, &known.words)).collect(),
        },
        Vocabulary { path: "tags.category".into(), terms: categories },
    ]
}

fn show(report: &Report, out: &Out) {
    out.line(format!("{} on {}", report.subject, counted(report.rows, "row")));
    for note in &report.notes {
        out.line(format!("  {}", out.faint(note)));
    }
    for (task, score) in &report.tasks {
        out.line("");
        head(task, score, out);
        classes(score, out);
        confusion(score, out);
        calibration(score, out);
        mistakes(score, out);
    }
    if let Some(pairs) = &report.pairs {
        out.line("");
        out.line(format!(
            "{}: {} duplicates and {} others, {} texts",
            out.bold("pairs"),
            pairs.duplicates,
            pairs.others,
            pairs.texts
        ));
        out.line(format!("  a duplicate is among the five nearest of all texts: {:.3}", pairs.top5_recall));
        out.line(format!(
            "  nearness tells duplicates from all other pairs: AUC {:.3}, from the others labelled here: {:.3}",
            pairs.auc_all, pairs.auc_hard
        ));
        head("verdict", &pairs.score, out);
        classes(&pairs.score, out);
        confusion(&pairs.score, out);
        calibration(&pairs.score, out);
        mistakes(&pairs.score, out);
    }
    if let Some(nearest) = &report.nearest {
        out.line("");
        out.line(format!(
            "{}: {} texts of {}, of which {} have a fellow",
            out.bold("nearest"),
            nearest.n,
            counted(nearest.labels, "label"),
            nearest.sought
        ));
        out.line(format!("  the nearest text has the label: {:.3}", nearest.top1));
        out.line(format!("  one of the five nearest has it: {:.3}", nearest.top5_recall));
        out.line(format!(
            "  one pass of online centroids: {} groups, V-measure {:.3}",
            nearest.groups, nearest.v_measure
        ));
    }
    out.line("");
    let cost = &report.cost;
    out.line(format!(
        "cost: {}, {} tokens in, {} out, {:.4} in money",
        counted(usize::try_from(cost.calls).unwrap_or(usize::MAX), "call"),
        cost.tokens_in,
        cost.tokens_out,
        cost.money
    ));
}

fn head(task: &str, score: &Score, out: &Out) {
    let unsaid = if score.unsaid > 0 { format!(", {} unsaid", score.unsaid) } else { String::new() };
    out.line(format!(
        "{}: n {}, accuracy {:.3}, macro-F1 {:.3}, kappa {:.3}, ECE {:.3}{unsaid}",
        out.bold(task),
        score.n,
        score.accuracy,
        score.macro_f1,
        score.kappa,
        score.ece
    ));
}

fn classes(score: &Score, out: &Out) {
    let row = |class: &crate::eval::score::Class| {
        vec![
            class.name.clone(),
            class.n.to_string(),
            class.said.to_string(),
            format!("{:.2}", class.precision),
            format!("{:.2}", class.recall),
            format!("{:.2}", class.f1),
        ]
    };
    out.table(&["class", "gold", "said", "precision", "recall", "F1"], score.classes.iter().map(row));
}

/// Rows are the gold, columns what was said.
fn confusion(score: &Score, out: &Out) {
    let said: std::collections::BTreeSet<&String> = score.confusion.values().flat_map(|row| row.keys()).collect();
    let head: Vec<&str> = std::iter::once("gold \\ said").chain(said.iter().map(|name| name.as_str())).collect();
    let rows = score.confusion.iter().map(|(gold, row)| {
        let cell = |name: &&String| row.get(*name).map_or_else(|| "\u{b7}".to_owned(), ToString::to_string);
        std::iter::once(gold.clone()).chain(said.iter().map(cell)).collect()
    });
    out.table(&head, rows);
}

fn calibration(score: &Score, out: &Out) {
    let row = |bin: &crate::eval::score::Bin| {
        vec![
            format!("{:.1} to {:.1}", bin.from, bin.to),
            bin.n.to_string(),
            format!("{:.2}", bin.confidence),
            format!("{:.2}", bin.right),
        ]
    };
    out.table(&["confidence", "verdicts", "mean", "right"], score.calibration.iter().map(row));
}

fn mistakes(score: &Score, out: &Out) {
    let row = |mistake: &crate::eval::score::Mistake| {
        vec![
            mistake.line.to_string(),
            mistake.gold.clone(),
            mistake.said.clone().unwrap_or_else(|| crate::eval::score::UNSAID.to_owned()),
            format!("{:.2}", mistake.confidence),
            mistake.because.clone().unwrap_or_default(),
            mistake.text.clone(),
        ]
    };
    if !score.errors.is_empty() {
        out.table(&["line", "gold", "said", "confidence", "because", "text"], score.errors.iter().map(row));
    }
}

//! `loopd prompts`: the prompt library, and what another prompt or model would have said.

use std::sync::Arc;

use anyhow::bail;

use super::admin::{self, Answer, Ask};
use super::{Exit, Out, Told, open};
use crate::config::Provider;
use crate::ledger::{Ledger, MemoryStore, NoProbe};
use crate::pause::RealPause;
use crate::schema::Task;
use crate::triage::backtest::{self, Report, Share};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All prompts, with the version in use of each task (the default)
    List,
    /// One prompt, as it is written: `classify/1`. Copy it into the folder of `[model] prompts` to change it
    Show { name: String },
    /// Replay known items through another prompt (`classify/2`) or other models: flips, agreement, cost
    Backtest(Backtest),
}

#[derive(Debug, clap::Args)]
struct Backtest {
    /// The prompt to try: `classify/2`, or a version of classify [default: the one in use, with other models]
    new: Option<String>,
    /// The model to try, as [tasks] names it: small, large, or an id
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Items at most; those that people reviewed come first
    #[arg(long, default_value_t = 200)]
    items: usize,
    /// Do not ask before money is spent
    #[arg(long)]
    yes: bool,
    /// Show so many of the items that would be judged otherwise
    #[arg(long, default_value_t = 20)]
    flips: usize,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    match args.action.unwrap_or(Action::List) {
        Action::List => list(out),
        Action::Show { name } => show(&name, out),
        Action::Backtest(args) => replay(args, out).await,
    }
}

fn list(out: &Out) -> anyhow::Result<Exit> {
    let config = open::config(out)?;
    let in_use = |prompt: &crate::model::prompts::Prompt| config.task(prompt.task).prompt == prompt.version;
    let rows: Vec<serde_json::Value> = config
        .prompts
        .all()
        .map(|prompt| {
            serde_json::json!({
                "name": prompt.name(), "in_use": in_use(prompt), "file": prompt.file, "models": config.task(prompt.task).models,
                "temperature": prompt.temperature, "max_tokens": prompt.max_tokens,
            })
        })
        .collect();
    out.json(&rows);
    let rows = config.prompts.all().map(|prompt| {
        let models: Vec<&str> = config.task(prompt.task).models.iter().map(|model| config.model.named(model)).collect();
        let used = if in_use(prompt) { "in use" } else { "" };
        vec![prompt.name(), used.to_owned(), models.join(", then "), prompt.file.clone()]
    });
    out.table(&["PROMPT", "", "MODELS", "FILE"], rows);
    if config.model.provider == Provider::None {
        out.line("\nNo language model is configured: loopd's own models and rules judge, and use none of these.");
    }
    Ok(Exit::Done)
}

fn read_name(name: &str) -> Result<(Task, String), Told> {
    let (task, version) = name.split_once('/').unwrap_or(("classify", name));
    let names = Task::ALL.map(Task::name).join(", ");
    let task = Task::parse(task)
        .ok_or_else(|| Told::usage(format!("error: there is no task `{task}`\n  = there are {names}")))?;
    Ok((task, version.to_owned()))
}

fn show(name: &str, out: &Out) -> anyhow::Result<Exit> {
    let config = open::config(out)?;
    let (task, version) = read_name(name)?;
    let Some(prompt) = config.prompts.get(task, &version) else { return Err(unknown(&config, task, &version).into()) };
    out.json(&serde_json::json!({ "name": prompt.name(), "file": prompt.file, "text": prompt.text }));
    out.line(prompt.text.trim_end());
    Ok(Exit::Done)
}

fn unknown(config: &crate::config::Config, task: Task, version: &str) -> Told {
    let versions = config.prompts.versions(task).join(", ");
    Told::usage(format!("error: there is no prompt {}/{version}\n  = there are versions {versions}", task.name()))
}

async fn replay(args: Backtest, out: &Out) -> anyhow::Result<Exit> {
    let mut config = open::config(out)?;
    let (task, version) = match &args.new {
        Some(name) => read_name(name)?,
        None => (Task::Classify, config.task(Task::Classify).prompt.clone()),
    };
    if task != Task::Classify {
        let what = "only classify is backtested: its answers have a right and a wrong";
        return Err(Told::usage(format!("error: {what}")).into());
    }
    if config.prompts.get(task, &version).is_none() {
        return Err(unknown(&config, task, &version).into());
    }
    if config.model.provider == Provider::None {
        return Err(Told::usage("error: no language model is configured\n  = see [model] in the configuration").into());
    }
    let Answer::Known(items) = admin::ask(out, Ask::Known { limit: args.items })? else {
        bail!("another answer than was asked for")
    };
    if items.is_empty() {
        out.line("Nothing is known yet that could be replayed.");
        return Ok(Exit::Done);
    }
    if let Some(settings) = config.tasks.get_mut(&task) {
        settings.prompt = version;
        if let Some(model) = args.model {
            settings.models = vec![model];
        }
    }
    let reviewed = items.iter().filter(|item| !item.decided.is_empty()).count();
    let most = estimate(&config, &items);
    let what = format!("{} items, {reviewed} of them reviewed; at most {most:.4} USD", items.len());
    if !args.yes && out.ask(&format!("{what}. Go on? [y/N]")).is_none_or(|answer| !answer.eq_ignore_ascii_case("y")) {
        return Err(Told::usage(format!("error: nothing was asked: {what}\n  = --yes goes on")).into());
    }
    let house = alone(config)?;
    let bar = out.progress(Some(items.len() as u64), "replayed");
    let report = backtest::run(&house, &items, &RealPause, &mut |done| bar.set_position(done as u64)).await?;
    bar.finish_and_clear();
    // It is in the books like every other question.
    admin::ask(out, Ask::Spend { rows: house.ledger.spent()? })?;
    out.json(&report);
    tell(&report, args.flips, out);
    Ok(if report.cut.is_some() { Exit::Failed } else { Exit::Done })
}

/// At most what it may cost, in dollars: no answer from a cache, two models each.
fn estimate(config: &crate::config::Config, items: &[backtest::Known]) -> f64 {
    let settings = config.task(Task::Classify);
    let prompt = config.prompts.get(Task::Classify, &settings.prompt);
    let fixed = prompt.map_or(0, |prompt| prompt.text.len());
    let out = prompt.map_or(0, |prompt| u64::from(prompt.max_tokens));
    let micro: u64 = items
        .iter()
        .flat_map(|item| settings.models.iter().map(move |model| (item, model)))
        .map(|(item, model)| {
            let input = ((fixed + item.reading.whole().len()) / 2) as u64;
            let tokens = connectors::model::Tokens { input, output: out, cached: 0 };
            crate::model::price(&config.model, config.model.named(model), tokens)
        })
        .sum();
    crate::report::cost::usd(micro)
}

/// A house with a ledger in memory and no connection: it can ask, and changes nothing.
///
/// # Errors
/// [`Told`] where the model's settings or its key cannot be used.
pub(super) fn alone(mut config: crate::config::Config) -> anyhow::Result<Arc<crate::house::House>> {
    config.connections.clear();
    config.routes.clear();
    let ledger = Ledger::over(Arc::new(MemoryStore::default()), Arc::new(NoProbe))?;
    open::house(config, ledger, &open::way_out(Arc::new(NoProbe))?)
}

fn tell(report: &Report, flips: usize, out: &Out) {
    let share =
        |share: &Share| format!("{:.0} % ({:.0}-{:.0})", share.share * 100.0, share.low * 100.0, share.high * 100.0);
    let rows = report.paths.iter().map(|(path, row)| {
        let verdict = if row.reviewed == 0 {
            "nobody reviewed these".to_owned()
        } else {
            format!("{} better, {} worse, p = {:.2}", row.better, row.worse, row.chance)
        };
        vec![
            path.clone(),
            row.compared.to_string(),
            row.flipped.to_string(),
            row.reviewed.to_string(),
            share(&row.old),
            share(&row.new),
            verdict,
        ]
    });
    out.table(&["FIELD", "COMPARED", "FLIPPED", "REVIEWED", "AGREED BEFORE", "NOW", ""], rows);
    if !report.flips.is_empty() && flips > 0 {
        out.line("");
        let rows = report.flips.iter().take(flips).map(|flip| {
            let stands = flip.stands.clone().unwrap_or_default();
            vec![flip.item.clone(), flip.path.clone(), flip.was.clone(), flip.now.clone(), stands, flip.text.clone()]
        });
        out.table(&["ITEM", "FIELD", "WAS", "NOW", "PEOPLE SAY", "TEXT"], rows);
    }
    out.line(format!(
        "\n{} of {} items answered, {} without an answer that holds; {} calls, {} + {} tokens, {:.4} USD ({:.6} an item)",
        report.answered,
        report.items,
        report.unanswered,
        report.calls,
        report.input_tokens,
        report.output_tokens,
        report.usd,
        report.usd_per_item
    ));
    if let Some(cut) = &report.cut {
        out.note(format!("{} {cut}", out.yellow("!")));
    }
}

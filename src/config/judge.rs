//! `[model]`, `[tasks]`, `[triage]` and `[review]`: which model judges what, what it may cost, and how people review it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::connection::read_secret;
use super::parse::{Over, count, optional};
use super::{Config, Problem, SecretRef, World};
use crate::mapping::nearest;
use crate::mapping::source::Item;
use crate::schema::Task;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// loopd's own small models and rules: nothing leaves the house.
    None,
    Mistral,
    /// A server that speaks the same protocol: vLLM, Ollama, llama.cpp.
    Compatible,
}

/// The language model, and what it may cost.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    pub provider: Provider,
    pub base_url: String,
    pub key: Option<SecretRef>,
    /// Where the key is named, for a problem with it.
    pub(super) key_at: Option<Problem>,
    pub small: String,
    pub large: String,
    /// `None`: loopd's own n-grams.
    pub embed: Option<String>,
    /// A folder of prompts that stand before the shipped ones.
    pub prompts: Option<PathBuf>,
    /// By region in lower case: the only endpoint that may hear what is said there.
    pub regions: BTreeMap<String, String>,
    /// In millionths of a US dollar; `None`: no limit.
    pub day_micro_usd: Option<u64>,
    pub month_micro_usd: Option<u64>,
    pub batch: bool,
    pub batch_from: u32,
    /// By the beginning of a model's name.
    pub prices: BTreeMap<String, Price>,
    /// What the client of the endpoint takes: `base_url` is not among it, for regions have their own.
    pub settings: Map<String, Value>,
}

/// US dollars for a million tokens; the same number is millionths of a dollar for one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    pub input: f64,
    pub output: f64,
}

impl ModelConfig {
    /// The model that a task's configuration names by `small`, `large` or its id.
    pub fn named<'a>(&'a self, name: &'a str) -> &'a str {
        match name {
            "small" => &self.small,
            "large" => &self.large,
            other => other,
        }
    }

    /// What a model costs: by the longest beginning of its name that has a price. Of an unknown one the dearest is assumed, so
    /// that a budget is never overrun for want of a price.
    pub fn price(&self, model: &str) -> Price {
        let known = self.prices.iter().filter(|(beginning, _)| model.starts_with(beginning.as_str()));
        let dearest = || {
            self.prices.values().fold(Price { input: 0.0, output: 0.0 }, |top, price| Price {
                input: top.input.max(price.input),
                output: top.output.max(price.output),
            })
        };
        known.max_by_key(|(beginning, _)| beginning.len()).map_or_else(dearest, |(_, price)| *price)
    }
}

impl Config {
    /// Reads the key of the language model; `None`: none is named.
    ///
    /// # Errors
    /// It is named but cannot be read, or holds nothing.
    pub fn model_key(&self, world: &dyn World) -> Result<Option<SecretString>, Problem> {
        let Some(key) = &self.model.key else { return Ok(None) };
        let text = key.read(world).map_err(|(what, mend)| {
            let base = self.model.key_at.clone().unwrap_or_else(|| Problem::of_file("", ""));
            Problem { what, field: Some("model.key".into()), ..base }.mend(mend)
        })?;
        Ok(Some(SecretString::from(text)))
    }
}

/// Whether, and how far, a task is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Off,
    /// People decide, always.
    Suggest,
    /// People decide until the task has earned trust.
    Auto,
}

/// How a task is done.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskConfig {
    pub mode: Mode,
    /// Tried in turn; see [`ModelConfig::named`].
    pub models: Vec<String>,
    /// The version of its prompt.
    pub prompt: String,
    /// An answer less sure than this goes to the next model.
    pub escalate_below: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TriageConfig {
    pub settle: TimeDelta,
    pub extract_from: usize,
    pub extract_sources: Vec<String>,
    pub examples: usize,
    /// Mean cosine to its items from which on one joins a theme, by loopd's own n-grams and by a model's embeddings.
    pub theme_join: f64,
    pub theme_join_model: f64,
    pub theme_from: usize,
    pub verify_from: usize,
    pub neighbours: usize,
    pub job_of_items: bool,
}

/// No configuration goes below these: a handful of reviews, or little more than the toss of a coin, is no trust.
pub const LEAST_REVIEWS: u32 = 10;
pub const LEAST_TARGET: f64 = 0.6;

#[derive(Clone, Debug, PartialEq)]
pub struct ReviewConfig {
    /// What is suggested stands in an empty field before anybody has said so.
    pub drafts: bool,
    /// What the lower bound of agreement must reach.
    pub target: f64,
    pub least: usize,
    pub window: usize,
    pub slack: f64,
    pub sample: f64,
}

pub(super) fn read_model(over: &Over<'_, '_>, folder: &Path) -> Option<ModelConfig> {
    let provider = over.read("provider", |item| match item.string()?.as_str() {
        "none" => Some(Provider::None),
        "mistral" => Some(Provider::Mistral),
        "compatible" => Some(Provider::Compatible),
        other => {
            item.note(format!("there is no provider `{other}`"), "\"none\", \"mistral\" or \"compatible\"");
            None
        }
    })?;
    let key = over.get("key");
    let mut settings = over.read("options", |item| match item.json() {
        Value::Object(options) => Some(options),
        _ => {
            item.note("options are a table", "write options = { name = \"value\" }");
            None
        }
    })?;
    settings.insert("timeout_seconds".into(), count(over, "timeout_seconds", 1..=3600)?.into());
    if provider == Provider::Compatible {
        settings.entry("dialect").or_insert_with(|| "compatible".into());
    }
    let config = ModelConfig {
        provider,
        base_url: over.read("base_url", read_url)?,
        key_at: key.as_ref().map(|item| item.problem("").without_excerpt()),
        key: key.and_then(|item| read_secret(&item, folder)),
        small: over.read("small", Item::string)?,
        large: over.read("large", Item::string)?,
        embed: optional(over, "embed"),
        prompts: optional(over, "prompts").map(|dir| folder.join(dir)),
        regions: over.read("regions", read_regions)?,
        day_micro_usd: over.read("day_usd", read_money)?,
        month_micro_usd: over.read("month_usd", read_money)?,
        batch: over.read("batch", Item::boolean)?,
        batch_from: count(over, "batch_from", 1..=100_000)?,
        prices: read_prices(&over.section("prices")),
        settings,
    };
    over.done();
    Some(config)
}

fn read_url(item: &Item<'_, '_>) -> Option<String> {
    let url = item.string()?;
    if !url.starts_with("https://") && !url.starts_with("http://") {
        item.note("this is no address", "write \"https://…\"");
        return None;
    }
    Some(url.trim_end_matches('/').to_owned())
}

fn read_regions(item: &Item<'_, '_>) -> Option<BTreeMap<String, String>> {
    let section = item.section()?;
    section.entries().map(|entry| Some((entry.key.to_lowercase(), read_url(&entry)?))).collect()
}

/// Zero means no limit.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be neither negative nor vast")]
fn read_money(item: &Item<'_, '_>) -> Option<Option<u64>> {
    let money = item.number()?;
    if !(0.0..=1e9).contains(&money) {
        item.note("an amount in US dollars is from 0 (no limit) on", "write 25");
        return None;
    }
    Some((money > 0.0).then(|| (money * 1e6).round() as u64))
}

/// The user's prices beside the shipped ones.
fn read_prices(over: &Over<'_, '_>) -> BTreeMap<String, Price> {
    let mut prices = BTreeMap::new();
    for section in [&over.base, &over.user].into_iter().flatten() {
        for item in section.entries() {
            let numbers: Option<Vec<f64>> =
                item.list().map(|list| list.iter().filter_map(Item::number).filter(|price| *price >= 0.0).collect());
            match numbers.as_deref() {
                Some([input, output]) => {
                    prices.insert(item.key.clone(), Price { input: *input, output: *output });
                }
                Some(_) => item.note("a price is two numbers: for a million tokens in, and out", "write [0.15, 0.60]"),
                None => {}
            }
        }
    }
    prices
}

pub(super) fn read_tasks(over: &Over<'_, '_>) -> Option<BTreeMap<Task, TaskConfig>> {
    let tasks = Task::ALL.map(|task| {
        let one = over.section(task.name());
        let config = TaskConfig {
            mode: one.read("mode", |item| match item.string()?.as_str() {
                "off" => Some(Mode::Off),
                "suggest" => Some(Mode::Suggest),
                "auto" => Some(Mode::Auto),
                other => {
                    let mend = nearest(other, ["off", "suggest", "auto"]);
                    let mend = mend
                        .map_or("\"off\", \"suggest\" or \"auto\"".into(), |near| format!("did you mean \"{near}\"?"));
                    item.note(format!("there is no mode `{other}`"), mend);
                    None
                }
            })?,
            models: one.read("models", |item| {
                let models = item.strings()?;
                if models.is_empty() {
                    item.note("no model", "write [\"small\"], or mode = \"off\"");
                    return None;
                }
                Some(models)
            })?,
            prompt: one.read("prompt", Item::string)?,
            escalate_below: one.read("escalate_below", share)?,
        };
        one.done();
        Some((task, config))
    });
    over.done();
    tasks.into_iter().collect()
}

pub(super) fn read_triage(over: &Over<'_, '_>) -> Option<TriageConfig> {
    let config = TriageConfig {
        settle: TimeDelta::seconds(count(over, "settle_seconds", 0..=86_400)?.into()),
        extract_from: whole(over, "extract_from", 1..=1_000_000)?,
        extract_sources: over.read("extract_sources", Item::strings)?,
        examples: whole(over, "examples", 0..=50)?,
        theme_join: over.read("theme_join", share)?,
        theme_join_model: over.read("theme_join_model", share)?,
        theme_from: whole(over, "theme_from", 2..=1000)?,
        verify_from: whole(over, "verify_from", 1..=1000)?,
        neighbours: whole(over, "neighbours", 1..=50)?,
        job_of_items: over.read("job_of_items", Item::boolean)?,
    };
    over.done();
    Some(config)
}

pub(super) fn read_review(over: &Over<'_, '_>) -> Option<ReviewConfig> {
    let config = ReviewConfig {
        drafts: over.read("drafts", Item::boolean)?,
        target: over.read("target", |item| {
            let target = share(item)?;
            if target < LEAST_TARGET {
                item.note(format!("agreement below {LEAST_TARGET} is no ground for trust"), "write 0.9");
                return None;
            }
            Some(target)
        })?,
        least: whole(over, "least", LEAST_REVIEWS..=100_000)?,
        window: whole(over, "window", 10..=10_000)?,
        slack: over.read("slack", share)?,
        sample: over.read("sample", share)?,
    };
    over.done();
    Some(config)
}

fn whole(over: &Over<'_, '_>, key: &str, allowed: std::ops::RangeInclusive<u32>) -> Option<usize> {
    count(over, key, allowed).and_then(|value| usize::try_from(value).ok())
}

fn share(item: &Item<'_, '_>) -> Option<f64> {
    let share = item.number()?;
    if !(0.0..=1.0).contains(&share) {
        item.note("this is a number from 0 to 1", "write 0.7");
        return None;
    }
    Some(share)
}

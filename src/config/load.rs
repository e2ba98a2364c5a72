//! From files to a [`Config`]: the configuration, then the mappings that its connections use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::parse::{Parsed, parse};
use super::{Config, Problem, Route, World};
use crate::mapping::source::Doc;
use crate::mapping::{Compiled, Mapping, Mappings, compile, run_examples};
use crate::model::prompts::Library;
use crate::schema::Task;

/// Every setting, commented, at its default.
pub const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The mappings that loopd ships, by file name.
pub const SHIPPED: &[(&str, &str)] = &[
    ("airtable.customers.toml", include_str!("../../mappings/airtable.customers.toml")),
    ("airtable.feedback.toml", include_str!("../../mappings/airtable.feedback.toml")),
    ("airtable.themes.toml", include_str!("../../mappings/airtable.themes.toml")),
    ("app.feedback.toml", include_str!("../../mappings/app.feedback.toml")),
    ("github.comment.toml", include_str!("../../mappings/github.comment.toml")),
    ("github.issue.toml", include_str!("../../mappings/github.issue.toml")),
    ("github.labels.toml", include_str!("../../mappings/github.labels.toml")),
    ("granola.note.toml", include_str!("../../mappings/granola.note.toml")),
    ("intercom.company.toml", include_str!("../../mappings/intercom.company.toml")),
    ("intercom.conversation.toml", include_str!("../../mappings/intercom.conversation.toml")),
    ("linear.attachment.toml", include_str!("../../mappings/linear.attachment.toml")),
    ("linear.customer.toml", include_str!("../../mappings/linear.customer.toml")),
    ("linear.issue.toml", include_str!("../../mappings/linear.issue.toml")),
    ("linear.need.toml", include_str!("../../mappings/linear.need.toml")),
    ("segment.group.toml", include_str!("../../mappings/segment.group.toml")),
    ("typeform.response.toml", include_str!("../../mappings/typeform.response.toml")),
    ("notion.customers.toml", include_str!("../../mappings/notion.customers.toml")),
    ("notion.feedback.toml", include_str!("../../mappings/notion.feedback.toml")),
    ("notion.themes.toml", include_str!("../../mappings/notion.themes.toml")),
    ("salesforce.account.toml", include_str!("../../mappings/salesforce.account.toml")),
    ("salesforce.feedback.toml", include_str!("../../mappings/salesforce.feedback.toml")),
    ("salesforce.health.toml", include_str!("../../mappings/salesforce.health.toml")),
    ("salesforce.opportunity.toml", include_str!("../../mappings/salesforce.opportunity.toml")),
    ("salesforce.task.toml", include_str!("../../mappings/salesforce.task.toml")),
    ("slack.command.toml", include_str!("../../mappings/slack.command.toml")),
    ("slack.message.toml", include_str!("../../mappings/slack.message.toml")),
];

/// # Errors
/// Every mistake in the file and in the mappings in use.
pub fn load(path: &Path, world: &dyn World) -> Result<Config, Vec<Problem>> {
    let text = text_of(path, world).map_err(|problem| vec![problem])?;
    load_text(&path.display().to_string(), &text, folder_of(path), world)
}

/// Everything that is wrong, in one go: what [`load`] finds, and what [`super::check()`] finds in as much as could be read. The
/// configuration, where nothing is wrong but for warnings.
pub fn examine(path: &Path, world: &dyn World) -> (Option<Config>, Vec<Problem>) {
    let text = match text_of(path, world) {
        Ok(text) => text,
        Err(problem) => return (None, vec![problem]),
    };
    let (config, mut problems) = read(&path.display().to_string(), &text, folder_of(path), world);
    if let Some(config) = &config {
        problems.extend(super::check::check(config, world));
    }
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.to_string()));
    let good = problems.iter().all(|problem| problem.warning);
    (config.filter(|_| good), problems)
}

fn text_of(path: &Path, world: &dyn World) -> Result<String, Problem> {
    world.read(path).map_err(|error| {
        let mend = "write one with `loopd init`, or name one with --config PATH";
        Problem::of_file(&path.display().to_string(), format!("cannot be read: {error}")).mend(mend)
    })
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// [`load`], of a text at hand. `folder` is what its relative paths are relative to.
///
/// # Errors
/// Every mistake in the text and in the mappings in use.
pub fn load_text(file: &str, text: &str, folder: &Path, world: &dyn World) -> Result<Config, Vec<Problem>> {
    let (config, problems) = read(file, text, folder, world);
    let (warnings, errors): (Vec<_>, Vec<_>) = problems.into_iter().partition(|problem| problem.warning);
    match config {
        Some(config) if errors.is_empty() => Ok(Config { warnings, ..config }),
        _ => Err(errors.into_iter().chain(warnings).collect()),
    }
}

/// As much as can be read, and what is wrong with it.
fn read(file: &str, text: &str, folder: &Path, world: &dyn World) -> (Option<Config>, Vec<Problem>) {
    let (user, example) = (Doc::new(file, text), Doc::new("config.example.toml", EXAMPLE));
    let (user_table, example_table) = (user.parse(), example.parse());
    let parsed = parse(user.root(&user_table), example.root(&example_table), folder);
    let mut problems = user.into_problems();
    problems.extend(example.into_problems());
    let Some(parsed) = parsed else {
        problems.push(Problem::of_file(
            "config.example.toml",
            "a setting has no default: this is a bug of loopd, please report it",
        ));
        return (None, problems);
    };
    let (mut compiled, unread) = read_mappings(&parsed, world, &mut problems);
    let prompts = read_prompts(&parsed, world, &mut problems);
    compiled.retain(|mapping| is_in_use(mapping, &parsed.routes));
    let unread = Unread { connections: parsed.unread.clone(), ..unread };
    let mut vocabularies: BTreeMap<String, Vec<String>> = parsed
        .vocabularies
        .iter()
        .map(|(name, terms)| (name.clone(), terms.iter().map(|term| term.value.clone()).collect()))
        .collect();
    if !parsed.customers.tiers.is_empty() {
        // The bands' names are what a customer's tier is called.
        vocabularies
            .entry("tier".into())
            .or_insert_with(|| parsed.customers.tiers.iter().map(|tier| tier.name.clone()).collect());
    }
    let config = Config {
        mappings: Mappings::new(compiled, &vocabularies),
        ledger: parsed.ledger,
        auth: parsed.auth,
        http: parsed.http,
        log: parsed.log,
        timezone: parsed.timezone,
        connections: parsed.connections,
        routes: parsed.routes,
        vocabularies: parsed.vocabularies,
        sync: parsed.sync,
        close: parsed.close,
        customers: parsed.customers,
        enrich: parsed.enrich,
        model: parsed.model,
        prompts,
        tasks: parsed.tasks,
        triage: parsed.triage,
        review: parsed.review,
        usage: parsed.usage,
        warnings: Vec::new(),
    };
    problems.extend(super::check::wiring(&config, &unread));
    (Some(config), problems)
}

/// Where the ledger is, of a configuration that may be broken anywhere else: enough to find the daemon that took an earlier
/// one. Line by line, for a text that is no TOML as a whole.
pub fn ledger_path(path: &Path, world: &dyn World) -> Option<PathBuf> {
    let text = world.read(path).ok()?;
    let said = said_path(&text).or_else(|| said_path(EXAMPLE))?;
    Some(path.parent().unwrap_or(Path::new("")).join(said))
}

fn said_path(text: &str) -> Option<String> {
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.split(['#', ' ']).next().unwrap_or_default();
            continue;
        }
        let Ok(table) = toml::from_str::<toml::Table>(line) else { continue };
        let here = match section {
            "[ledger]" => Some(&table),
            "" => table.get("ledger").and_then(toml::Value::as_table),
            _ => None,
        };
        if let Some(path) = here.and_then(|table| table.get("path")).and_then(toml::Value::as_str) {
            return Some(path.to_owned());
        }
    }
    None
}

/// The mappings in use, each for its connections. A file in the user's folder replaces the shipped one of its name.
fn read_mappings(parsed: &Parsed, world: &dyn World, problems: &mut Vec<Problem>) -> (Vec<Mapping>, Unread) {
    let mut unread = Unread::default();
    let mut files: BTreeMap<String, (String, String)> = BTreeMap::new();
    if parsed.builtin_mappings {
        files.extend(
            SHIPPED.iter().map(|(name, text)| ((*name).to_owned(), (format!("mappings/{name}"), (*text).to_owned()))),
        );
    }
    if let Some(folder) = &parsed.mappings_dir {
        let shown = folder.display().to_string();
        match world.list(folder, "toml") {
            Ok(paths) => {
                for path in paths {
                    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                    match world.read(&path) {
                        Ok(text) => {
                            files.insert(name, (path.display().to_string(), text));
                        }
                        Err(error) => problems
                            .push(Problem::of_file(&path.display().to_string(), format!("cannot be read: {error}"))),
                    }
                }
            }
            Err(error) => {
                problems.push(Problem::of_file(&shown, format!("cannot be read: {error}")).field("mappings.dir"));
            }
        }
    }
    let mut mappings = Vec::new();
    for (file, text) in files.values() {
        match compile(file, text) {
            Ok(compiled) => {
                let failed = run_examples(&compiled);
                let connection = compiled.connection().to_owned();
                if !failed.is_empty() {
                    unread.note(text);
                    problems.extend(failed);
                    continue;
                }
                let serving = serve(parsed, file, text, compiled);
                if serving.is_empty() && !file.starts_with("mappings/") {
                    let what = format!("the mapping is not used: there is no connection `{connection}`");
                    let mend = "add the connection, or rename it in the mapping";
                    problems.push(Problem::of_file(file, what).mend(mend).warning());
                }
                mappings.extend(serving);
            }
            Err(found) => {
                unread.note(text);
                problems.extend(found);
            }
        }
    }
    (prefer_own(mappings), unread)
}

/// The shipped prompts, and over them those of the user's folder: a folder a task.
fn read_prompts(parsed: &Parsed, world: &dyn World, problems: &mut Vec<Problem>) -> Library {
    let mut own = Vec::new();
    if let Some(folder) = &parsed.model.prompts
        && let Err(error) = world.list(folder, "md")
    {
        let what =
            format!("the folder of `[model] prompts` cannot be read: {error}; make it, or leave `prompts` empty");
        problems.push(Problem::of_file(&folder.display().to_string(), what));
    }
    for folder in parsed.model.prompts.iter().flat_map(|folder| Task::ALL.map(|task| folder.join(task.name()))) {
        // Few have a prompt of their own for every task.
        for path in world.list(&folder, "md").unwrap_or_default() {
            match world.read(&path) {
                // Somebody is about to write it.
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => own.push((path.display().to_string(), text)),
                Err(error) => {
                    problems.push(Problem::of_file(&path.display().to_string(), format!("cannot be read: {error}")));
                }
            }
        }
    }
    let (library, found) = Library::read(&own);
    problems.extend(found);
    library
}

/// What is there and could not be read: that something leads there is no mistake of its own.
#[derive(Default)]
pub(super) struct Unread {
    connections: Vec<String>,
    /// `connection.collection` of mappings; `None`: it is not known of which.
    ends: Vec<Option<String>>,
}

impl Unread {
    fn note(&mut self, mapping: &str) {
        let table = toml::from_str::<toml::Table>(mapping).unwrap_or_default();
        self.ends.push(table.get("into").and_then(toml::Value::as_str).map(str::to_owned));
    }

    pub(super) fn connection(&self, name: &str) -> bool {
        self.connections.iter().any(|unread| unread == name)
    }

    pub(super) fn mapping(&self, connection: &str, collection: &str) -> bool {
        let end = format!("{connection}.{collection}");
        self.ends.iter().any(|unread| unread.as_ref().is_none_or(|unread| *unread == end))
    }
}

/// A mapping serves the connection that it names, and every connection of the kind so called.
fn serve(parsed: &Parsed, file: &str, text: &str, compiled: Compiled) -> Vec<(Mapping, bool)> {
    let named = compiled.connection().to_owned();
    let of_kind =
        parsed.connections.values().filter(|connection| connection.kind.name() == named && connection.name != named);
    let again = of_kind.filter_map(|connection| {
        let mut mapping = compile(file, text).ok()?.mapping;
        match &mut mapping {
            Mapping::From(from) => from.connection.clone_from(&connection.name),
            Mapping::Into(into) => into.connection.clone_from(&connection.name),
        }
        Some(mapping)
    });
    let mut mappings: Vec<(Mapping, bool)> = again.map(|mapping| (mapping, false)).collect();
    if parsed.connections.contains_key(&named) {
        mappings.push((compiled.mapping, true));
    }
    mappings
}

/// A mapping that waits for a route says nothing before there is one: no table is expected for it.
fn is_in_use(mapping: &Mapping, routes: &[Route]) -> bool {
    let Mapping::Into(into) = mapping else { return true };
    let leads_here = |route: &Route| {
        route.connection == into.connection && route.collection == into.collection && route.entity == into.entity
    };
    !into.on_route || routes.iter().any(leads_here)
}

/// Where a file names the connection itself, one that serves it by its kind steps back.
fn prefer_own(mappings: Vec<(Mapping, bool)>) -> Vec<Mapping> {
    let end = |mapping: &Mapping| match mapping {
        Mapping::From(from) => (from.connection.clone(), from.collection.clone(), None),
        Mapping::Into(into) => (into.connection.clone(), into.collection.clone(), Some(into.entity)),
    };
    let own: Vec<_> = mappings.iter().filter(|(_, own)| *own).map(|(mapping, _)| end(mapping)).collect();
    mappings
        .into_iter()
        .filter(|(mapping, is_own)| *is_own || !own.contains(&end(mapping)))
        .map(|(mapping, _)| mapping)
        .collect()
}

//! Reads labelled NDJSON: a text or two, and what is true of them.
//!
//! Law: a mistake is told with its line and its mend; what is not asked for is left alone; a row without gold for a task is left
//! out of that task, and counted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Task;
use super::labels::known;
use crate::enrich::Text;

/// What the command line says of the file.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `category:label`: the gold of `category` stands in the field `label`.
    pub map: Vec<(String, String)>,
    /// `problem_report=bug`: what the file calls the one is called the other.
    pub rename: Vec<(String, String)>,
    /// Labels of the category; rows with others are left out.
    pub only: Vec<String>,
    /// Empty: all that the file has gold for.
    pub tasks: Vec<Task>,
}

/// A mistake in the file, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct Problem {
    pub line: Option<usize>,
    pub why: String,
}

/// What is true of a row: in most cases one label, in reviews sometimes two.
pub type Gold = BTreeSet<String>;

#[derive(Clone, Debug, Default)]
pub struct Row {
    pub line: usize,
    pub text: Text,
    /// The second text of a pair.
    pub other: Option<Text>,
    pub gold: BTreeMap<Task, Gold>,
    /// It was labelled as reviews are: irrelevant, problem report.
    pub review: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Read {
    pub rows: Vec<Row>,
    pub notes: Vec<String>,
}

const TEXTS: [&str; 6] = ["text", "title", "body", "summary", "verbatim", "description"];
/// Longer lines are no feedback.
const LONGEST: usize = 4 << 20;

fn problem(line: usize, why: impl Into<String>) -> Problem {
    Problem { line: Some(line), why: why.into() }
}

/// # Errors
/// With the first line that is wrong.
pub fn read(file: &str, options: &Options) -> Result<Read, Problem> {
    let mut objects: Vec<(usize, Map<String, Value>)> = Vec::new();
    for (at, line) in file.strip_prefix('\u{feff}').unwrap_or(file).lines().enumerate() {
        let (at, line) = (at + 1, line.trim());
        if line.is_empty() {
            continue;
        }
        if line.len() > LONGEST {
            return Err(problem(at, "longer than 4 MiB: a row is one piece of feedback"));
        }
        match serde_json::from_str(line) {
            Ok(Value::Object(object)) => objects.push((at, object)),
            Ok(Value::Array(_)) => return Err(problem(at, "a JSON array: write one object a line (jq -c '.[]' FILE)")),
            Ok(_) => {
                return Err(problem(at, "no JSON object: write a row as {\"text\": \"…\", \"category\": \"bug\"}"));
            }
            // An array over many lines begins so.
            Err(_) if at == 1 && line == "[" => {
                return Err(problem(at, "a JSON array: write one object a line (jq -c '.[]' FILE)"));
            }
            Err(error) => return Err(problem(at, format!("no JSON ({error}): write one object a line"))),
        }
    }
    if objects.is_empty() {
        return Err(Problem {
            line: None,
            why: "no rows: write one JSON object a line, with a text and its gold".into(),
        });
    }
    let mut notes = Vec::new();
    let fields = mapped(&objects, options, &mut notes)?;
    let rename: BTreeMap<&str, &str> = options.rename.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let mut rows = Vec::with_capacity(objects.len());
    let mut spelt: BTreeSet<(String, String)> = BTreeSet::new();
    for (line, object) in &objects {
        rows.push(row(*line, object, &fields, &rename, &mut spelt)?);
    }
    for (from, to) in &options.rename {
        notes.push(format!("{from} is called {to}, as asked"));
    }
    notes.extend(spelt.into_iter().map(|(from, to)| format!("{from} is read as {to}")));
    Ok(Read { rows, notes })
}

/// Which field holds the gold or text of which name.
fn mapped(
    objects: &[(usize, Map<String, Value>)],
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, Problem> {
    let has = |field: &str| objects.iter().any(|(_, object)| object.contains_key(field));
    let ours = |field: &str| {
        Task::ALL.iter().any(|task| task.name() == field)
            || TEXTS.contains(&field)
            || ["label", "cluster", "theme", "a_text", "b_text", "language"].contains(&field)
    };
    let mut fields = BTreeMap::new();
    for (from, to) in &options.map {
        // Both ways round are written; the one that exists tells.
        let (name, field) = match (has(from), has(to)) {
            (_, true) if ours(from) => (from, to),
            (true, _) if ours(to) => (to, from),
            (_, true) => (from, to),
            (true, false) => (to, from),
            (false, false) => {
                let known: BTreeSet<&str> =
                    objects.iter().flat_map(|(_, object)| object.keys().map(String::as_str)).collect();
                let known: Vec<&str> = known.into_iter().take(20).collect();
                return Err(Problem {
                    line: None,
                    why: format!("--map {from}:{to}: no row has {from} or {to}; the fields are {}", known.join(", ")),
                });
            }
        };
        if !ours(name) {
            return Err(Problem {
                line: None,
                why: format!(
                    "--map {from}:{to}: {name} is no gold; it is category, product, severity, lang, label, or a text"
                ),
            });
        }
        notes.push(format!("{name} is taken from the field {field}"));
        fields.insert(name.clone(), field.clone());
    }
    Ok(fields)
}

/// A row's fields, by the names that they were mapped to.
struct Fields<'a> {
    object: &'a Map<String, Value>,
    fields: &'a BTreeMap<String, String>,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        let field = self.fields.get(name).map_or(name, String::as_str);
        self.object.get(field).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// `prefix` is `a_` or `b_` for the sides of a pair.
    fn read(&self, prefix: &str) -> Option<Text> {
        let part = |name: &str| self.text(&format!("{prefix}{name}"));
        let title = part("title");
        let body = part("body").or(part("summary")).or(part("description")).or(part("text")).or(part("verbatim"));
        (title.is_some() || body.is_some()).then(|| Text {
            title: title.unwrap_or_default().to_owned(),
            body: body.unwrap_or_default().to_owned(),
            origin: String::new(),
        })
    }
}

fn row(
    line: usize,
    object: &Map<String, Value>,
    fields: &BTreeMap<String, String>,
    rename: &BTreeMap<&str, &str>,
    spelt: &mut BTreeSet<(String, String)>,
) -> Result<Row, Problem> {
    let of = Fields { object, fields };
    let mut row = Row { line, ..Row::default() };
    let pair = of.get("a_text").is_some() || of.get("a_title").is_some();
    if pair {
        row.text = of.read("a_").ok_or_else(|| problem(line, "a_text is empty or no text"))?;
        row.other = Some(of.read("b_").ok_or_else(|| problem(line, "a_text without a b_text: a pair needs both"))?);
        let label = of.get("label").or(of.get("pairs")).or(of.get("duplicate"));
        let label =
            label.ok_or_else(|| problem(line, "a pair without a label: write \"label\": \"duplicate\" or another"))?;
        let label = scalar(label).ok_or_else(|| problem(line, "label: a text, a number or true"))?;
        let label = rename.get(label.as_str()).map_or(label.as_str(), |to| *to);
        let same = ["duplicate", "dup", "duplicates", "same", "true", "1", "yes", "match"]
            .contains(&super::labels::plain(label).as_str());
        row.gold.insert(Task::Pairs, Gold::from([if same { "duplicate" } else { "other" }.to_owned()]));
        return Ok(row);
    }
    row.text = of.read("").ok_or_else(|| {
        problem(
            line,
            "no text: a row has text, or title with body or summary; name another field with --map text:FIELD",
        )
    })?;
    for task in [Task::Category, Task::Severity, Task::Product, Task::Lang, Task::Nearest] {
        let value = match task {
            Task::Lang => of.get("lang").or(of.get("language")),
            Task::Nearest => of.get("nearest").or(of.get("cluster")).or_else(|| {
                // The field of a mapping is that gold, and no second one.
                let taken = fields.iter().any(|(name, field)| field == "label" && name != "label");
                of.get("label").filter(|_| !taken).or(of.get("theme"))
            }),
            _ => of.get(task.name()),
        };
        let several = match value {
            Some(value) => {
                values(value).ok_or_else(|| problem(line, format!("{}: a text, or a list of texts", task.name())))?
            }
            None if task == Task::Category => ticked(object),
            None => continue,
        };
        let mut gold = Gold::new();
        for label in several {
            let renamed = rename.get(label.as_str()).map_or(label.as_str(), |to| *to);
            if task == Task::Category {
                row.review |= matches!(super::labels::plain(renamed).as_str(), "irrelevant" | "problem_report");
            }
            let ours = match task {
                Task::Lang => super::labels::plain(renamed).split('_').next().unwrap_or_default().to_owned(),
                Task::Nearest | Task::Pairs => renamed.to_owned(),
                _ => known(task, renamed).map_or_else(|| super::labels::plain(renamed), str::to_owned),
            };
            if !matches!(task, Task::Lang | Task::Nearest) && ours != super::labels::plain(renamed) {
                spelt.insert((renamed.to_owned(), ours.clone()));
            }
            gold.insert(ours);
        }
        if !gold.is_empty() {
            row.gold.insert(task, gold);
        }
    }
    Ok(row)
}

/// Columns of yes and no whose names are categories: the ones that say yes. None where there are not two of them.
fn ticked(object: &Map<String, Value>) -> Vec<String> {
    let yes = |value: &Value| match value {
        Value::Bool(yes) => Some(*yes),
        Value::Number(number) => {
            number.as_f64().filter(|number| *number == 0.0 || *number == 1.0).map(|number| number > 0.5)
        }
        _ => None,
    };
    let columns: Vec<(&String, bool)> = object
        .iter()
        .filter(|(name, _)| known(Task::Category, name).is_some())
        .filter_map(|(name, value)| Some((name, yes(value)?)))
        .collect();
    let said = columns.iter().filter(|(_, yes)| *yes).map(|(name, _)| (*name).clone());
    if columns.len() < 2 { Vec::new() } else { said.collect() }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

fn values(value: &Value) -> Option<Vec<String>> {
    let several = match value {
        Value::Array(values) => values.iter().map(scalar).collect::<Option<Vec<_>>>()?,
        value => vec![scalar(value)?],
    };
    Some(several.into_iter().filter(|label| !label.is_empty()).collect())
}

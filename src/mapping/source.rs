//! Reading TOML that ops wrote, with the place of everything at hand.
//!
//! The law: one reading finds every problem, not the first; no key is ignored. A [`Section`] remembers which keys it
//! was asked for, and [`Section::done`] reports the others, with the one that was probably meant.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, excerpt, nearest};

/// One file being read.
pub(crate) struct Doc<'t> {
    pub(crate) file: &'t str,
    pub(crate) text: &'t str,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Doc<'t> {
    pub(crate) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, problems: RefCell::default() }
    }

    /// The file's root. Mistakes in the TOML itself are noted, and what could be read is returned.
    pub(crate) fn parse(&self) -> DeTable<'t> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            self.note(self.problem(span, None, format!("this is not TOML: {}", error.message())));
        }
        table.into_inner()
    }

    pub(crate) fn root<'d>(&'d self, table: &'d DeTable<'t>) -> Section<'d, 't> {
        Section { doc: self, path: String::new(), span: 0..0, table, asked: RefCell::default() }
    }

    pub(crate) fn problem(&self, span: Range<usize>, field: Option<&str>, what: impl Into<String>) -> Problem {
        let (line, column, excerpt) = excerpt(self.text, span.start, span.end);
        Problem {
            file: self.file.to_owned(),
            line,
            column,
            field: field.map(str::to_owned),
            what: what.into(),
            mend: None,
            warning: false,
            excerpt: Some(Box::new(excerpt)),
        }
    }

    pub(crate) fn note(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }

    /// Where a key that would stand here is missing, or a section as a whole is meant.
    pub(crate) fn place(&self, span: &Range<usize>, field: &str) -> Place {
        let (line, column, _) = excerpt(self.text, span.start, span.end);
        Place { file: self.file.to_owned(), line, column, field: field.to_owned() }
    }
}

/// A table.
pub(crate) struct Section<'d, 't> {
    pub(crate) doc: &'d Doc<'t>,
    /// As it would be written between brackets; empty for the root.
    pub(crate) path: String,
    pub(crate) span: Range<usize>,
    table: &'d DeTable<'t>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'d, 't> Section<'d, 't> {
    pub(crate) fn get(&self, key: &str) -> Option<Item<'d, 't>> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.entries().find(|item| item.key == key)
    }

    /// Every entry, in the order of their keys. Asking so counts as knowing none of them.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Item<'d, 't>> + use<'d, 't> {
        let (doc, path) = (self.doc, self.path.clone());
        self.table.iter().map(move |(key, value)| Item {
            doc,
            key: key.get_ref().to_string(),
            path: join(&path, key.get_ref()),
            key_span: key.span(),
            span: value.span(),
            value: value.get_ref(),
        })
    }

    /// Says that a key is known without reading it.
    pub(crate) fn know(&self, key: &str) {
        self.asked.borrow_mut().insert(key.to_owned());
    }

    pub(crate) fn require(&self, key: &str, mend: &str) -> Option<Item<'d, 't>> {
        let item = self.get(key);
        if item.is_none() {
            let field = join(&self.path, key);
            let problem = self.doc.problem(self.span.clone(), Some(&field), "is missing");
            self.doc.note(problem.mend(mend));
        }
        item
    }

    pub(crate) fn string(&self, key: &str) -> Option<String> {
        self.get(key).and_then(|item| item.string())
    }

    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        self.get(key).and_then(|item| item.boolean())
    }

    pub(crate) fn section(&self, key: &str) -> Option<Section<'d, 't>> {
        self.get(key).and_then(|item| item.section())
    }

    /// The tables of `[[key]]`.
    pub(crate) fn sections(&self, key: &str) -> Vec<Section<'d, 't>> {
        let items = self.get(key).and_then(|item| item.list()).unwrap_or_default();
        items.into_iter().filter_map(|item| item.section()).collect()
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn done(&self) {
        let asked = self.asked.borrow();
        for item in self.entries().filter(|item| !asked.contains(&item.key)) {
            let problem = self.doc.problem(item.key_span.clone(), Some(&item.path), "no such key");
            let mend = match nearest(&item.key, asked.iter().map(String::as_str)) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", asked.iter().cloned().collect::<Vec<_>>().join(", ")),
            };
            self.doc.note(problem.mend(mend));
        }
    }
}

/// A key with its value.
#[derive(Clone)]
pub(crate) struct Item<'d, 't> {
    pub(crate) doc: &'d Doc<'t>,
    pub(crate) key: String,
    pub(crate) path: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) span: Range<usize>,
    value: &'d DeValue<'t>,
}

impl<'d, 't> Item<'d, 't> {
    pub(crate) fn problem(&self, what: impl Into<String>) -> Problem {
        self.doc.problem(self.span.clone(), Some(&self.path), what)
    }

    pub(crate) fn note(&self, what: impl Into<String>, mend: impl Into<String>) {
        self.doc.note(self.problem(what).mend(mend));
    }

    pub(crate) fn place(&self) -> Place {
        self.doc.place(&self.span, &self.path)
    }

    fn expected(&self, wanted: &str, sample: &str) {
        self.note(
            format!("{wanted} is expected here, this is {}", type_name(self.value)),
            format!("write it as {sample}"),
        );
    }

    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(crate) fn is_string(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    pub(crate) fn string(&self) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                self.expected("a text", "\"…\"");
                None
            }
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => {
                self.expected("true or false", "true");
                None
            }
        }
    }

    pub(crate) fn integer(&self, allowed: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let value = match self.value {
            DeValue::Integer(value) => u64::from_str_radix(value.as_str(), value.radix()).ok(),
            _ => None,
        };
        let value = value.filter(|value| allowed.contains(value));
        if value.is_none() {
            let (least, most) = (allowed.start(), allowed.end());
            let what = if *most == u64::MAX {
                format!("a whole number, at least {least}, is expected")
            } else {
                format!("a whole number from {least} to {most} is expected")
            };
            self.note(what, format!("write for instance {least}"));
        }
        value
    }

    pub(crate) fn number(&self) -> Option<f64> {
        let value = match self.value {
            DeValue::Integer(value) => value.as_str().parse().ok(),
            DeValue::Float(value) => value.as_str().parse::<f64>().ok().filter(|value| value.is_finite()),
            _ => None,
        };
        if value.is_none() {
            self.expected("a number", "0.5");
        }
        value
    }

    pub(crate) fn list(&self) -> Option<Vec<Item<'d, 't>>> {
        let DeValue::Array(items) = self.value else {
            self.expected("a list", "[ … ]");
            return None;
        };
        let item = |(at, value): (usize, &'d Spanned<DeValue<'t>>)| Item {
            doc: self.doc,
            key: at.to_string(),
            path: format!("{}[{at}]", self.path),
            key_span: value.span(),
            span: value.span(),
            value: value.get_ref(),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    pub(crate) fn strings(&self) -> Option<Vec<String>> {
        let items = self.list()?;
        Some(items.iter().filter_map(Item::string).collect())
    }

    pub(crate) fn section(&self) -> Option<Section<'d, 't>> {
        let DeValue::Table(table) = self.value else {
            self.expected("a table", "{ … }, or as a section of its own");
            return None;
        };
        // A `[header]` spans its brackets; for problems about the whole, the key is the better place.
        Some(Section {
            doc: self.doc,
            path: self.path.clone(),
            span: self.key_span.clone(),
            table,
            asked: RefCell::default(),
        })
    }

    /// The value as JSON. Times become text.
    pub(crate) fn json(&self) -> Value {
        json(self.value)
    }

    /// Where byte `offset` of the decoded text stands in the file, as far as that can be told: a text with escapes
    /// is pointed at as a whole.
    pub(crate) fn inside(&self, decoded: &str, part: Range<usize>) -> Range<usize> {
        let raw = self.doc.text.get(self.span.clone()).unwrap_or_default();
        let mark = ["'''", "\"\"\"", "'", "\""].into_iter().find(|mark| raw.starts_with(mark)).unwrap_or_default();
        let mut skip = mark.len();
        if mark.len() == 3 && raw[skip..].starts_with('\n') {
            skip += 1;
        }
        let plain = raw.get(skip..raw.len().saturating_sub(mark.len())) == Some(decoded);
        if plain { self.span.start + skip + part.start..self.span.start + skip + part.end } else { self.span.clone() }
    }
}

fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let radix = number.radix();
            let signed = i64::from_str_radix(number.as_str(), radix).map(Number::from);
            let number = signed.or_else(|_| u64::from_str_radix(number.as_str(), radix).map(Number::from));
            number.map_or(Value::Null, Value::Number)
        }
        DeValue::Float(number) => {
            number.as_str().parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref()))).collect::<Map<_, _>>(),
        ),
    }
}

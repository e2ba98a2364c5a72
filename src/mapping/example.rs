//! The examples that stand in a mapping: run by `loopd check` and by the tests.

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::compile::{Compiled, Mapping};
use super::lens::Wanted;
use super::problem::Problem;
use super::source::{Doc, Item, Section};
use crate::schema::Path;

/// `given` this, `expect` that. What `expect` does not name is not looked at.
#[derive(Clone, Debug)]
pub struct Example {
    pub name: String,
    pub given: Value,
    pub expect: Map<String, Value>,
    /// For a destination: values that a person typed there, and what they mean for the entity.
    pub theirs: Map<String, Value>,
    pub means: Map<String, Value>,
    pub(super) at: Problem,
}

pub(super) fn read(root: &Section<'_, '_>, doc: &Doc<'_>) -> Vec<Example> {
    let sections = root.sections("example");
    let read = |(at, section): (usize, Section<'_, '_>)| {
        let name = section.string("name").unwrap_or_else(|| format!("example {}", at + 1));
        let object = |key: &str| match section.get(key).and_then(|item| value(&item)) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        let example = Example {
            given: section.get("given").and_then(|item| value(&item)).unwrap_or_default(),
            expect: object("expect"),
            theirs: object("theirs"),
            means: object("means"),
            at: doc.problem(section.span.clone(), Some(&name), ""),
            name,
        };
        section.done();
        example
    };
    sections.into_iter().enumerate().map(read).collect()
}

/// A table, or JSON in a text: a vendor's answer can be pasted as it is.
fn value(item: &Item<'_, '_>) -> Option<Value> {
    if !item.is_string() {
        return Some(item.json());
    }
    let text = item.string()?;
    match serde_json::from_str(&text) {
        Ok(value) => Some(value),
        Err(error) => {
            let offset: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            let at = (offset + error.column().saturating_sub(1)).min(text.len());
            let span: Range<usize> = item.inside(&text, at..at + 1);
            item.doc.note(
                item.doc
                    .problem(span, Some(&item.path), format!("this is not JSON: {:?}", error.classify()))
                    .mend("paste the record as the vendor sends it"),
            );
            None
        }
    }
}

/// Every example that does not hold.
pub fn run_examples(compiled: &Compiled) -> Vec<Problem> {
    compiled.examples.iter().flat_map(|example| run(&compiled.mapping, example)).collect()
}

fn run(mapping: &Mapping, example: &Example) -> Vec<Problem> {
    let fail = |what: String| Problem { what, ..example.at.clone() }.mend("mend the mapping, or the example");
    let mut problems = Vec::new();
    let got = match mapping {
        Mapping::From(from) => from.draw(&example.given).map(|drawn| {
            let mut got: Map<String, Value> =
                drawn.fields.iter().map(|(path, value)| (path.dotted(), value.clone())).collect();
            got.insert("hints".into(), drawn.hints.iter().map(|alias| Value::from(alias.to_string())).collect());
            got.insert("part_of".into(), json!(drawn.part_of));
            got.insert("skip".into(), json!(drawn.skip));
            got.insert("taken_back".into(), json!(drawn.taken_back));
            got
        }),
        Mapping::Into(into) => into.desire(&example.given).map(|wanted| {
            let plain = |wanted: &Wanted| match wanted {
                Wanted::Value(value) => value.clone(),
                Wanted::Links { ids, .. } => ids.iter().map(|id| Value::from(id.to_string())).collect(),
                Wanted::Tags(tags) => tags.iter().cloned().collect(),
            };
            wanted.iter().map(|(name, wanted)| (name.clone(), plain(wanted))).collect()
        }),
    };
    match got {
        Ok(got) => {
            let nested = matches!(mapping, Mapping::From(_));
            for (name, wanted) in flat(&example.expect, nested) {
                match got.get(&name) {
                    Some(value) if same(value, &wanted) => {}
                    Some(value) => problems.push(fail(format!("{name} is {value}, expected is {wanted}"))),
                    None => problems.push(fail(format!("{name} is expected, but the mapping does not give it"))),
                }
            }
        }
        // `expect = { error = "…" }` asks for a refusal.
        Err(error)
            if example
                .expect
                .get("error")
                .and_then(Value::as_str)
                .is_some_and(|part| error.to_string().contains(part)) => {}
        Err(error) => problems.push(fail(format!("{}: {}", error.field, error.what))),
    }
    problems.extend(means(mapping, example).into_iter().map(fail));
    problems
}

fn means(mapping: &Mapping, example: &Example) -> Vec<String> {
    let Mapping::Into(into) = mapping else { return Vec::new() };
    let mut meant = Value::Object(Map::new());
    let mut wrong = Vec::new();
    for (name, theirs) in &example.theirs {
        let Some(lens) = into.fields.get(name) else {
            wrong.push(format!("`theirs` names {name}, which is no field of the mapping"));
            continue;
        };
        match (lens.read_back(theirs), &lens.path) {
            (Ok(value), Some(path)) => path.set(&mut meant, value),
            (Ok(_), None) => wrong.push(format!("{name} does not flow back")),
            (Err(error), _) => wrong.push(format!("{}: {}", error.field, error.what)),
        }
    }
    for (name, wanted) in flat(&example.means, true) {
        let value = name.parse::<Path>().map(|path| path.get(&meant).clone()).unwrap_or_default();
        if !same(&value, &wanted) {
            wrong.push(format!("what they typed means {name} = {value}, expected is {wanted}"));
        }
    }
    wrong
}

/// `tags = { product = … }` as `tags.product`.
fn flat(map: &Map<String, Value>, nested: bool) -> Vec<(String, Value)> {
    let mut flattened = Vec::new();
    for (key, value) in map {
        match value {
            Value::Object(inner) if nested => {
                flattened.extend(flat(inner, true).into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value)));
            }
            value => flattened.push((key.clone(), value.clone())),
        }
    }
    flattened
}

/// `1` is `1.0`; and an object that is expected may be a part of what is there.
fn same(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => b.iter().all(|(key, b)| same(a.get(key).unwrap_or(&Value::Null), b)),
        _ => value == wanted,
    }
}

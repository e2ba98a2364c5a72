//! From a mapping's text to a compiled mapping, or to everything that is wrong with it.

use super::example::{self, Example};
use super::from::{self, FromMapping};
use super::into::{self, IntoMapping};
use super::problem::{Problem, nearest};
use super::source::{Doc, Item};
use crate::schema::EntityKind;

/// One file.
#[derive(Debug)]
pub struct Compiled {
    pub mapping: Mapping,
    pub examples: Vec<Example>,
}

#[derive(Debug)]
pub enum Mapping {
    From(Box<FromMapping>),
    Into(IntoMapping),
}

impl Compiled {
    pub fn connection(&self) -> &str {
        match &self.mapping {
            Mapping::From(from) => &from.connection,
            Mapping::Into(into) => &into.connection,
        }
    }
}

/// # Errors
/// Every mistake in the file.
pub fn compile(file: &str, text: &str) -> Result<Compiled, Vec<Problem>> {
    let doc = Doc::new(file, text);
    let table = doc.parse();
    let root = doc.root(&table);
    let (from, into) = (root.get("from"), root.get("into"));
    for known in ["entity", "fields", "example"] {
        root.know(known);
    }
    let direction = match (from, into) {
        (Some(item), None) => Some((item, true)),
        (None, Some(item)) => Some((item, false)),
        (None, None) => {
            doc.note(
                doc.problem(0..0, None, "the mapping names no end")
                    .mend("write from = \"github.issue\" or into = \"airtable.Feedback\""),
            );
            None
        }
        (Some(_), Some(item)) => {
            item.note("one file maps one way", "keep `from` or `into`, and put the other into a file of its own");
            None
        }
    };
    let entity = root.require("entity", "write entity = \"feedback\"").and_then(|item| read_entity(&item));
    let ends = direction.as_ref().and_then(|(item, _)| read_ends(item));
    let examples = example::read(&root, &doc);
    // An entity that cannot be told is noted already; reading on as feedback would only add noise.
    let mapping = if let (Some((item, is_from)), Some(ends), Some(entity)) = (direction, ends, entity) {
        let mapping = if is_from {
            for known in ["when", "taken_back", "part_of", "customer"] {
                root.know(known);
            }
            Mapping::From(Box::new(from::read(&root, &doc, item.place(), ends, entity)))
        } else {
            for known in ["key", "adopt", "on_route"] {
                root.know(known);
            }
            Mapping::Into(into::read(&root, &doc, item.place(), ends, entity))
        };
        root.done();
        Some(mapping)
    } else {
        None
    };
    drop(root);
    let problems = doc.into_problems();
    match mapping {
        Some(mapping) if problems.iter().all(|problem| problem.warning) => Ok(Compiled { mapping, examples }),
        _ => Err(problems),
    }
}

pub(crate) fn read_entity(item: &Item<'_, '_>) -> Option<EntityKind> {
    let name = item.string()?;
    let kind = EntityKind::parse(&name);
    if kind.is_none() {
        let names = EntityKind::ALL.map(EntityKind::name);
        let mend = nearest(&name, names).map_or_else(|| names.join(", "), |near| format!("did you mean \"{near}\"?"));
        item.note(format!("there is no entity `{name}`"), mend);
    }
    kind
}

/// `connection.collection`; a collection's name may hold dots and spaces, a connection's may not.
pub(crate) fn read_ends(item: &Item<'_, '_>) -> Option<(String, String)> {
    let text = item.string()?;
    let ends = text
        .split_once('.')
        .filter(|(connection, collection)| !connection.trim().is_empty() && !collection.trim().is_empty());
    if ends.is_none() {
        item.note("a connection and its collection are expected", "write it as \"airtable.Feedback\"");
    }
    ends.map(|(connection, collection)| (connection.trim().to_owned(), collection.trim().to_owned()))
}

//! Mappings: what ops write in `mappings/*.toml`, compiled.
//!
//! The law: applying a mapping is pure. The same record gives the same entity, and the same entity the same record;
//! nothing is read but the argument, every evaluation ends, and whatever can be checked before a record comes is.
//!
//! - [`compile()`] makes one file into a [`FromMapping`] (a vendor's record to an entity) or an [`IntoMapping`] (an entity
//!   to a destination's record), or tells every mistake in it as a [`Problem`].
//! - [`Mappings`] are those in use.
//! - A [`MapError`] is a record that a mapping cannot take: the cause of a dead letter.

mod compile;
mod example;
mod expr;
mod from;
mod into;
mod lens;
mod problem;
pub(crate) mod source;
mod template;
#[cfg(test)]
mod tests;
mod types;
mod words;

use std::collections::BTreeMap;

use connectors::{CollectionShape, FieldShape, Shape};
use sha2::{Digest, Sha256};

pub use compile::{Compiled, Mapping, compile};
pub(crate) use compile::{read_ends, read_entity};
pub use example::{Example, run_examples};
pub use expr::Expression;
pub(crate) use from::expression;
pub use from::{Drawn, FromMapping, PartOf};
pub use into::IntoMapping;
pub use lens::{Flow, Lens, LinkTo, Wanted, Wins};
pub(crate) use problem::nearest;
pub use problem::{MapError, Place, Problem};
pub use template::Template;

use crate::schema::EntityKind;
use types::Type;

/// The mappings in use.
#[derive(Debug, Default)]
pub struct Mappings {
    pub from: Vec<FromMapping>,
    pub into: Vec<IntoMapping>,
}

impl Mappings {
    /// Puts compiled mappings together: links that name no collection lead to the home of what they name, and selects
    /// get the options that `vocabularies` (by the last key of a path: `category`) know.
    pub fn new(compiled: Vec<Mapping>, vocabularies: &BTreeMap<String, Vec<String>>) -> Self {
        let mut all = Self::default();
        for mapping in compiled {
            match mapping {
                Mapping::From(from) => all.from.push(*from),
                Mapping::Into(into) => all.into.push(into),
            }
        }
        all.from.sort_by(|a, b| a.file.cmp(&b.file));
        all.into.sort_by(|a, b| a.file.cmp(&b.file));
        all.lead_links();
        all.fill_options(vocabularies);
        all
    }

    /// How records of this collection become entities, if they do.
    pub fn from_for(&self, connection: &str, collection: &str) -> Option<&FromMapping> {
        self.from.iter().find(|from| from.connection == connection && from.collection == collection)
    }

    /// How entities of this kind look in this collection, if they go there.
    pub fn into_for(&self, connection: &str, collection: &str, kind: EntityKind) -> Option<&IntoMapping> {
        self.intos(connection, collection).find(|into| into.entity == kind)
    }

    pub fn intos(&self, connection: &str, collection: &str) -> impl Iterator<Item = &IntoMapping> {
        self.into.iter().filter(move |into| into.connection == connection && into.collection == collection)
    }

    /// The collection of this connection where entities of a kind have the record that stands for them: not one that
    /// hangs on another record of the same entity.
    pub fn home(&self, connection: &str, kind: EntityKind) -> Option<&str> {
        let own = |into: &&IntoMapping| into.connection == connection && into.entity == kind;
        let hangs = |into: &IntoMapping| {
            into.fields.values().any(|lens| lens.link.as_ref().is_some_and(|link| link.path.dotted() == "id"))
        };
        let mut homes = self.into.iter().filter(own).filter(|into| !hangs(into));
        let first = homes.next()?;
        // Where there are several, the one that keeps the entity's id.
        let keyed = std::iter::once(first).chain(homes).find(|into| into.key.is_some());
        Some(&keyed.unwrap_or(first).collection)
    }

    /// The tables and fields that this connection's mappings expect to find.
    pub fn shape(&self, connection: &str) -> Shape {
        let mut collections: BTreeMap<&str, CollectionShape> = BTreeMap::new();
        for into in self.into.iter().filter(|into| into.connection == connection) {
            let shape = collections.entry(&into.collection).or_insert_with(|| CollectionShape {
                name: into.collection.clone(),
                key: None,
                fields: Vec::new(),
            });
            shape.key = shape.key.take().or_else(|| into.key.clone());
            for (name, lens) in &into.fields {
                let field = FieldShape {
                    name: name.clone(),
                    kind: lens.kind,
                    options: lens.options.clone(),
                    links_to: lens.link.as_ref().and_then(|link| link.collection.clone()),
                    description: lens.description.clone(),
                };
                match shape.fields.iter_mut().find(|known| known.name == *name) {
                    Some(known) => known
                        .options
                        .extend(field.options.into_iter().filter(|new| !lens.options.is_empty() && !new.is_empty())),
                    None => shape.fields.push(field),
                }
            }
        }
        for shape in collections.values_mut() {
            for field in &mut shape.fields {
                let mut seen = std::collections::BTreeSet::new();
                field.options.retain(|option| seen.insert(option.clone()));
            }
        }
        Shape { collections: collections.into_values().collect() }
    }

    fn lead_links(&mut self) {
        let mut homes = BTreeMap::new();
        for into in &self.into {
            for kind in EntityKind::ALL {
                if let Some(home) = self.home(&into.connection, kind) {
                    homes.insert((into.connection.clone(), kind), home.to_owned());
                }
            }
        }
        for into in &mut self.into {
            for lens in into.fields.values_mut() {
                let (Some(link), Some(Type::Entity(kind))) = (&mut lens.link, lens.ty) else { continue };
                if link.collection.is_none() {
                    link.collection = homes.get(&(into.connection.clone(), kind)).cloned();
                }
            }
        }
    }

    fn fill_options(&mut self, vocabularies: &BTreeMap<String, Vec<String>>) {
        use connectors::FieldKind;
        for into in &mut self.into {
            let entity = into.entity;
            for lens in into.fields.values_mut() {
                if !matches!(lens.kind, FieldKind::Select | FieldKind::MultiSelect) {
                    continue;
                }
                let Some(last) = lens.last_key() else { continue };
                let name = if last == "status" { format!("{}_status", entity.name()) } else { last };
                let status = || crate::schema::Status::ALL.iter().map(|status| status.name().to_owned()).collect();
                let words: Vec<String> = if lens.ty == Some(Type::Status) {
                    status()
                } else {
                    vocabularies.get(&name).cloned().unwrap_or_default()
                };
                for word in words {
                    let theirs = lens.words.outward(serde_json::Value::String(word));
                    if let Some(theirs) =
                        theirs.as_str().filter(|theirs| !lens.options.iter().any(|known| known == theirs))
                    {
                        lens.options.push(theirs.to_owned());
                    }
                }
            }
        }
    }
}

/// Why a plain path finds nothing in an entity of this kind: what was probably meant. `None`: it can be read.
pub(crate) fn unreadable(kind: EntityKind, keys: &[String]) -> Option<String> {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    if types::readable(kind, &keys) {
        return None;
    }
    let near = nearest(&keys.join("."), types::readable_names(kind));
    Some(near.map_or_else(
        || "see the list of fields in docs/mappings.md".to_owned(),
        |near| format!("did you mean `.{near}`?"),
    ))
}

/// Bump when the meaning of mappings changes without their text.
const GENERATION: u8 = 1;

fn digest(text: &str) -> u64 {
    let hash = Sha256::new().chain_update([GENERATION]).chain_update(text).finalize();
    hash.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

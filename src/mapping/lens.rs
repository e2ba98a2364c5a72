//! One field of a destination: what it should hold for an entity, and what its value there means for the entity.

use std::collections::BTreeSet;

use connectors::FieldKind;
use serde_json::{Number, Value};

use super::expr::{Expression, Input, type_name};
use super::problem::{MapError, Place};
use super::template::Template;
use super::types::Type;
use super::words::Words;
use crate::schema::{EntityId, Path};

/// Which way a field's value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// From the entity to the destination (`from`, `template`, `link`).
    Push,
    /// Both ways (`both`, or `link` with `both = true`).
    Both,
    /// From the destination to the entity (`pull`).
    Pull,
}

/// Who wins when both sides changed to different values. The loser's value goes into the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wins {
    Theirs,
    Ours,
    Newest,
    /// Theirs stands until somebody has decided; the question goes to review.
    Ask,
}

/// A link to another entity's record in the same destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTo {
    /// Names the entity: `.customer`, `.theme`, or `.id` for the entity's own record in another collection.
    pub path: Path,
    /// Where that record is. Loading fills it in where the mapping leaves it out.
    pub collection: Option<String>,
}

/// What a field should hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// `null`: empty.
    Value(Value),
    /// The records of these entities; sync knows their outside ids.
    Links { collection: Option<String>, ids: Vec<EntityId> },
    /// These among whatever others put there.
    Tags(BTreeSet<String>),
}

/// A field of an `into` mapping, compiled.
#[derive(Debug)]
pub struct Lens {
    pub flow: Flow,
    pub wins: Wins,
    /// What is read and set in the entity. Absent where an expression makes the value.
    pub path: Option<Path>,
    pub link: Option<LinkTo>,
    pub kind: FieldKind,
    /// For selects and tags: what may be written, for `setup`.
    pub options: Vec<String>,
    pub description: String,
    pub place: Place,
    pub(super) value: Source,
    pub(super) words: Words,
    /// The destination's word for nothing.
    pub(super) empty: Option<Value>,
    /// The path's type.
    pub(super) ty: Option<Type>,
}

/// Where a pushed value comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The lens's own path.
    Path,
    /// The lens's own path; while that is empty, this.
    Otherwise(Expression),
    Expression(Expression),
    Template(Template),
}

impl Lens {
    /// Whether its value comes from this field of the entity, as it is or through an expression.
    pub fn speaks_of(&self, key: &str) -> bool {
        if let Some(path) = &self.path {
            return path.dotted() == key;
        }
        let Source::Expression(expression) = &self.value else { return false };
        let words = expression.text().split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
        words.filter_map(|word| word.strip_prefix('.')).any(|word| word == key)
    }

    /// The last key of the path, or of the first plain path of an expression: by it a vocabulary is known.
    pub(super) fn last_key(&self) -> Option<String> {
        if let Some(path) = &self.path {
            return path.keys().last().cloned();
        }
        let Source::Expression(expression) = &self.value else { return None };
        match expression.keys() {
            Some(keys) => keys.last().map(|key| (*key).to_owned()),
            None => expression.plain_paths().first()?.last().cloned(),
        }
    }

    pub(super) fn wanted(&self, view: &Input<'_>) -> Result<Wanted, MapError> {
        if let Some(link) = &self.link {
            return self.links(link, view.value);
        }
        let value = match (&self.value, &self.path) {
            (Source::Path, Some(path)) => {
                super::expr::bounded(path.get(view.value)).map_err(|what| self.place.error(what))?
            }
            (Source::Otherwise(otherwise), Some(path)) => match path.get(view.value) {
                Value::Null => otherwise.eval(view)?,
                Value::String(text) if text.trim().is_empty() => otherwise.eval(view)?,
                value => super::expr::bounded(value).map_err(|what| self.place.error(what))?,
            },
            (Source::Path | Source::Otherwise(_), None) => Value::Null,
            (Source::Expression(expression), _) => expression.eval(view)?,
            (Source::Template(template), _) => Value::String(template.render(view.value)?),
        };
        if self.kind == FieldKind::Tags {
            return self.tags(value);
        }
        let value = match value {
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.words.outward(item)).collect()),
            value => self.words.outward(value),
        };
        let value = self.outward(value).map_err(|what| self.place.error(what))?;
        let empty = || self.empty.clone().unwrap_or_default();
        Ok(Wanted::Value(if value.is_null() { empty() } else { value }))
    }

    fn links(&self, link: &LinkTo, view: &Value) -> Result<Wanted, MapError> {
        let named = link.path.get(view);
        let named = match named {
            Value::Null => &[],
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let id = |value: &Value| {
            let id = value.as_str().and_then(|id| id.parse().ok());
            id.ok_or_else(|| self.place.error(format!("{} names no entity: there is {}", link.path, type_name(value))))
        };
        let ids = named.iter().map(id).collect::<Result<_, _>>()?;
        Ok(Wanted::Links { collection: link.collection.clone(), ids })
    }

    fn tags(&self, value: Value) -> Result<Wanted, MapError> {
        let items = match value {
            Value::Null => Vec::new(),
            Value::Array(items) => items,
            one => vec![one],
        };
        let mut tags = BTreeSet::new();
        for item in items {
            match self.words.outward(item) {
                Value::Null => {}
                Value::String(tag) if tag.trim().is_empty() => {}
                Value::String(tag) => {
                    tags.insert(tag.trim().to_owned());
                }
                other => return Err(self.place.error(format!("a tag is a text, this is {}", type_name(&other)))),
            }
        }
        Ok(Wanted::Tags(tags))
    }

    /// A value in the form of the field's kind.
    fn outward(&self, value: Value) -> Result<Value, String> {
        use FieldKind as K;
        let wrong = |value: &Value, wanted: &str| {
            Err(format!("{wanted} is expected for a field of this type, this is {}", type_name(value)))
        };
        Ok(match (self.kind, value) {
            (_, Value::Null) => Value::Null,
            (_, Value::String(text)) if text.trim().is_empty() => Value::Null,
            (K::Text | K::LongText | K::Select | K::Url, Value::String(text)) => Value::String(text),
            (K::Text | K::LongText | K::Select, Value::Number(number)) => Value::String(number.to_string()),
            (K::Text | K::LongText, Value::Array(items)) => {
                lines(&items, if self.kind == K::Text { ", " } else { "\n" })?
            }
            (K::Text | K::LongText | K::Select | K::Url, other) => return wrong(&other, "a text"),
            (K::Number | K::Currency, Value::Number(number)) => Value::Number(number),
            (K::Number | K::Currency, other) => return wrong(&other, "a number"),
            (K::Checkbox, Value::Bool(flag)) => Value::Bool(flag),
            (K::Checkbox, other) => return wrong(&other, "true or false"),
            (K::Date, value) => Type::Day.take(value)?,
            (K::DateTime, value) => Type::Time.take(value)?,
            (K::MultiSelect, value) => Type::Texts.take(value)?,
            (K::Link | K::Tags, other) => return wrong(&other, "a link"),
        })
    }

    /// What stands at a record, as it is compared: a box without a tick is nothing, whether the vendor says so or leaves it out.
    pub fn settled(&self, theirs: Value) -> Value {
        if self.ty == Some(Type::Flag) && theirs == Value::Bool(false) { Value::Null } else { theirs }
    }

    /// What a value at the destination means for the entity. An unknown word is kept where the vocabulary is open.
    ///
    /// # Errors
    /// A value of another type than the entity's field, or a status that is none.
    pub fn read_back(&self, theirs: &Value) -> Result<Value, MapError> {
        if theirs.is_null() || self.empty.as_ref() == Some(theirs) {
            return Ok(if self.ty == Some(Type::Flag) { Value::Bool(false) } else { Value::Null });
        }
        if self.link.is_some() || self.kind == FieldKind::Tags {
            return Ok(theirs.clone());
        }
        let bounded = super::expr::bounded(theirs).map_err(|what| self.place.error(what))?;
        let meant = match bounded {
            Value::Array(items) => {
                Value::Array(items.into_iter().map(|item| self.words.inward(&item).unwrap_or(item)).collect())
            }
            one => self.words.inward(&one).unwrap_or(one),
        };
        let Some(ty) = self.ty else { return Ok(meant) };
        let meant = match (ty, self.kind, meant) {
            (Type::Texts, FieldKind::Text, Value::String(text)) => split(&text, ','),
            (Type::Texts, FieldKind::LongText, Value::String(text)) => split(&text, '\n'),
            // A link to one record comes as a list of one.
            (_, _, meant) => meant,
        };
        ty.take(meant).map_err(|what| self.place.error(what))
    }
}

fn lines(items: &[Value], between: &str) -> Result<Value, String> {
    let mut parts = Vec::new();
    for item in items {
        match item {
            Value::Null => {}
            Value::String(text) => parts.push(text.clone()),
            Value::Number(number) => parts.push(Number::to_string(number)),
            other => return Err(format!("a list of texts is expected, in it is {}", type_name(other))),
        }
    }
    Ok(if parts.is_empty() { Value::Null } else { Value::String(parts.join(between)) })
}

fn split(text: &str, at: char) -> Value {
    text.split(at).map(str::trim).filter(|part| !part.is_empty()).map(Value::from).collect()
}

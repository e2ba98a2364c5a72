//! From a vendor's record to what the schema makes of it.
//!
//! The law: pure, and tolerant of what is missing. A field that the record lacks is drawn as `null` (the source says
//! empty); a value of another type is an error that names it, and the record becomes a dead letter.

use std::collections::BTreeMap;

use serde_json::Value;

use super::digest;
use super::expr::{Expression, Input, type_name};
use super::lens::Flow;
use super::problem::{MapError, Place};
use super::source::{Doc, Item, Section};
use super::types::{self, Field, Set, TURN, Type};
use super::words::Words;
use crate::schema::{Alias, AliasKind, EntityKind, Path};

/// How records of one collection become entities, or contributions to one.
#[derive(Debug)]
pub struct FromMapping {
    pub file: String,
    pub connection: String,
    pub collection: String,
    pub entity: EntityKind,
    pub part_of: Option<PartOf>,
    /// A record names only some of what its source knows: what it leaves out stays as it was.
    pub partial: bool,
    place: Place,
    when: Option<Expression>,
    taken_back: Option<Expression>,
    fields: Vec<Drawing>,
    customer: Vec<Hint>,
    digest: u64,
}

/// The record is a contribution to another one's thread, and no entity of its own.
#[derive(Debug)]
pub struct PartOf {
    /// The parent's collection in the same connection.
    pub collection: String,
    id: Expression,
}

#[derive(Debug)]
struct Drawing {
    path: Path,
    ty: Type,
    value: Expression,
    words: Words,
}

#[derive(Debug)]
struct Hint {
    kind: AliasKind,
    value: Expression,
}

/// What one record gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    /// By path in the entity, or in the contribution. `null`: the source says empty.
    pub fields: BTreeMap<Path, Value>,
    /// How the customer may be recognised, best first. For a customer: its own names.
    pub hints: Vec<Alias>,
    /// The outside id of the parent record.
    pub part_of: Option<String>,
    /// `when` does not hold: the record is none of ours.
    pub skip: bool,
    /// The source takes it back.
    pub taken_back: bool,
}

impl FromMapping {
    /// # Errors
    /// A value of a type that the schema's field cannot take.
    pub fn draw(&self, record: &Value) -> Result<Drawn, MapError> {
        let input = Input::new(record);
        if let Some(when) = &self.when
            && !when.holds(&input)?
        {
            return Ok(Drawn { skip: true, ..Drawn::default() });
        }
        if let Some(taken_back) = &self.taken_back
            && taken_back.holds(&input)?
        {
            return Ok(Drawn { taken_back: true, ..Drawn::default() });
        }
        let mut drawn = Drawn::default();
        for drawing in &self.fields {
            let value = drawing.draw(&input)?;
            let unsaid = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            if !(self.partial && unsaid) {
                drawn.fields.insert(drawing.path.clone(), value);
            }
        }
        for hint in &self.customer {
            for alias in hint.draw(&input)? {
                if !drawn.hints.contains(&alias) {
                    drawn.hints.push(alias);
                }
            }
        }
        if let Some(part_of) = &self.part_of {
            let id = Type::Text.take(part_of.id.eval(&input)?).map_err(|what| part_of.id.place().error(what))?;
            let Value::String(id) = id else {
                return Err(part_of.id.place().error("the record does not say whose part it is"));
            };
            drawn.part_of = Some(id);
        }
        Ok(drawn)
    }

    /// Where the mapping names its collection.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Changes when the mapping does, so that its dead letters are tried again.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

impl Drawing {
    fn draw(&self, input: &Input<'_>) -> Result<Value, MapError> {
        let value = self.value.eval(input)?;
        let value = self.words.inward(&value).unwrap_or(value);
        self.ty.take(value).map_err(|what| self.value.place().error(what))
    }
}

impl Hint {
    fn draw(&self, input: &Input<'_>) -> Result<Vec<Alias>, MapError> {
        let values = match self.value.eval(input)? {
            Value::Array(items) => items,
            one => vec![one],
        };
        let mut aliases = Vec::new();
        for value in values {
            match value {
                Value::Null => {}
                Value::String(text) if self.kind == AliasKind::Domain => aliases.extend(Alias::of_domain(&text)),
                Value::String(text) => aliases.extend(Alias::new(self.kind, &text)),
                Value::Number(number) => aliases.extend(Alias::new(self.kind, &number.to_string())),
                other => {
                    return Err(self.value.place().error(format!("a text is expected, this is {}", type_name(&other))));
                }
            }
        }
        Ok(aliases)
    }
}

/// Reads the rest of a file that says `from = "connection.collection"`.
pub(super) fn read(
    root: &Section<'_, '_>,
    doc: &Doc<'_>,
    place: Place,
    ends: (String, String),
    entity: EntityKind,
) -> FromMapping {
    let part_of = root.section("part_of").and_then(|section| read_part_of(&section));
    let table = if part_of.is_some() { TURN } else { types::fields(entity) };
    let mut fields = Vec::new();
    let mut named = false;
    if let Some(section) = root.section("fields") {
        named = section.entries().next().is_some();
        read_fields(&section, "", table, &mut fields);
    }
    let mut customer = Vec::new();
    if let Some(section) = root.section("customer") {
        let items = section.get("match").and_then(|item| item.list()).unwrap_or_default();
        customer = items.iter().filter_map(read_hint).collect();
        section.done();
    }
    if !named && customer.is_empty() {
        let problem = doc.problem(0..0, Some("fields"), "the mapping draws nothing");
        doc.note(problem.mend("add a [fields] section: verbatim = '.body'"));
    }
    if part_of.is_some() {
        for needed in ["id", "text"] {
            if !fields.iter().any(|drawing: &Drawing| drawing.path.dotted() == needed) {
                let problem = doc.problem(0..0, Some(&format!("fields.{needed}")), "a contribution needs it");
                doc.note(problem.mend("a mapping with [part_of] draws id, author, customer, at, text and url"));
            }
        }
        if entity != EntityKind::Feedback {
            let problem = doc.problem(0..0, Some("entity"), "only feedback has a thread that something can be part of");
            doc.note(problem.mend("write entity = \"feedback\""));
        }
    }
    FromMapping {
        file: doc.file.to_owned(),
        connection: ends.0,
        collection: ends.1,
        entity,
        part_of,
        partial: root.get("partial").and_then(|item| item.boolean()).unwrap_or(false),
        place,
        when: root.get("when").and_then(|item| expression(&item)),
        taken_back: root.get("taken_back").and_then(|item| expression(&item)),
        fields,
        customer,
        digest: digest(doc.text),
    }
}

fn read_part_of(section: &Section<'_, '_>) -> Option<PartOf> {
    let collection = section.require("collection", "name the parent's collection: collection = \"issue\"");
    let id = section.require("id", "say whose part it is: id = '.issue_key'");
    if let Some(item) = section.get("into")
        && item.string().is_some_and(|into| into != ".thread")
    {
        item.note("contributions go into .thread", "write into = \".thread\"");
    }
    section.done();
    Some(PartOf { collection: collection?.string()?, id: expression(&id?)? })
}

/// `tags.product = '…'` may also stand as `[fields.tags]`.
fn read_fields(section: &Section<'_, '_>, prefix: &str, table: &'static [Field], fields: &mut Vec<Drawing>) {
    for item in section.entries() {
        let dotted = if prefix.is_empty() { item.key.clone() } else { format!("{prefix}.{}", item.key) };
        let dotted = dotted.trim_start_matches('.').to_owned();
        if types::is_inner(table, &dotted) {
            if let Some(inner) = item.section() {
                read_fields(&inner, &dotted, table, fields);
            }
            continue;
        }
        let path = dotted.parse::<Path>().ok();
        let Some((path, field)) = path.and_then(|path| types::find(table, &path).map(|field| (path, field))) else {
            let names = || table.iter().filter(|field| field.set != Set::Engine).map(|field| field.path);
            let mend = super::problem::nearest(&dotted, names());
            let mend = mend.map_or_else(
                || format!("there are {}", names().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            let problem = item.doc.problem(item.key_span.clone(), Some(&item.path), "the schema has no such field");
            item.doc.note(problem.mend(mend));
            continue;
        };
        match field.set {
            Set::Engine => {
                item.note("the engine sets this by itself", "leave it out");
                continue;
            }
            Set::People => {
                item.note(
                    "a source cannot name an entity",
                    "use the [customer] section; themes are people's and models'",
                );
                continue;
            }
            Set::Anyone | Set::Source => {}
        }
        fields.extend(read_drawing(&item, path, field.ty));
    }
}

fn read_drawing(item: &Item<'_, '_>, path: Path, ty: Type) -> Option<Drawing> {
    if item.is_string() {
        return Some(Drawing { path, ty, value: constant_fits(expression(item)?, ty, item), words: Words::default() });
    }
    let section = item.section()?;
    let from = section.require("from", "write from = '.path'");
    let words = section.get("values").map(|values| Words::read(&values, Flow::Pull)).unwrap_or_default();
    section.done();
    Some(Drawing { path, ty, value: expression(&from?)?, words })
}

/// A constant of another type would fail on every record: say so now.
fn constant_fits(value: Expression, ty: Type, item: &Item<'_, '_>) -> Expression {
    if let Some(Err(what)) = value.as_constant().map(|constant| ty.take(constant.clone())) {
        item.note(what, "change the constant");
    }
    value
}

/// `{ domain = '.author.email' }`; or the bare expression where it tells by itself what it gives.
fn read_hint(item: &Item<'_, '_>) -> Option<Hint> {
    let mend = || {
        let kinds: Vec<String> = AliasKind::ALL.iter().map(|kind| format!("{{ {} = '…' }}", kind.name())).collect();
        format!("write one of {}", kinds.join(", "))
    };
    if item.is_string() {
        let text = item.string()?;
        let last = text.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        let Some(kind) = AliasKind::parse(last) else {
            item.note("it is not clear what this gives", mend());
            return None;
        };
        return Some(Hint { kind, value: expression(item)? });
    }
    let section = item.section()?;
    let mut entries = section.entries();
    let (Some(entry), None) = (entries.next(), entries.next()) else {
        item.note("one name at a time, so that their order is clear", mend());
        return None;
    };
    let Some(kind) = AliasKind::parse(&entry.key) else {
        item.note(format!("a customer is not recognised by `{}`", entry.key), mend());
        return None;
    };
    Some(Hint { kind, value: expression(&entry)? })
}

/// Compiles an expression; its mistakes are noted at their own place in the file.
pub(crate) fn expression(item: &Item<'_, '_>) -> Option<Expression> {
    let text = item.string()?;
    match Expression::compile(&text, item.place()) {
        Ok(expression) => Some(expression),
        Err(refused) => {
            let span = item.inside(&text, refused.at);
            item.doc.note(item.doc.problem(span, Some(&item.path), refused.what).mend(refused.mend));
            None
        }
    }
}

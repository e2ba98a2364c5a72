//! From an entity to what its record at a destination should look like.
//!
//! The law: pure, so that sync can compare what should be with what was; and what flows back is a path on the entity
//! that may be set and that the destination's type can hold, checked here before any record comes.

use std::collections::BTreeMap;

use connectors::FieldKind;
use serde_json::Value;

use super::digest;
use super::expr::Input;
use super::from::expression;
use super::lens::{Flow, Lens, LinkTo, Source, Wanted, Wins};
use super::problem::{MapError, Place, nearest};
use super::source::{Doc, Item, Section};
use super::template::Template;
use super::types::{self, Set, Type};
use super::words::Words;
use crate::schema::{EntityKind, Path};

/// How entities of a kind look in one collection of a destination.
#[derive(Debug)]
pub struct IntoMapping {
    pub file: String,
    pub connection: String,
    pub collection: String,
    pub entity: EntityKind,
    /// The field that holds the entity's id.
    pub key: Option<String>,
    /// Records that people make there become entities.
    pub adopt: bool,
    /// In use only where a route leads here: without one, the collection need not be there.
    pub on_route: bool,
    /// By the destination's name of the field.
    pub fields: BTreeMap<String, Lens>,
    pub place: Place,
    digest: u64,
}

impl IntoMapping {
    /// What each field should hold, of those that are written.
    ///
    /// # Errors
    /// A value of a type that the field cannot take.
    pub fn desire(&self, view: &Value) -> Result<BTreeMap<String, Wanted>, MapError> {
        let view = Input::new(view);
        let pushed = self.fields.iter().filter(|(_, lens)| lens.flow != Flow::Pull);
        pushed.map(|(name, lens)| Ok((name.clone(), lens.wanted(&view)?))).collect()
    }

    /// Changes when the mapping does, so that its dead letters are tried again.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}

/// Reads the rest of a file that says `into = "connection.collection"`.
pub(super) fn read(
    root: &Section<'_, '_>,
    doc: &Doc<'_>,
    place: Place,
    ends: (String, String),
    entity: EntityKind,
) -> IntoMapping {
    let key = root.string("key");
    let adopt = root.boolean("adopt").unwrap_or(false);
    let on_route = root.boolean("on_route").unwrap_or(false);
    let mut fields = BTreeMap::new();
    let mut named = false;
    if let Some(section) = root.section("fields") {
        for item in section.entries() {
            named = true;
            if key.as_ref() == Some(&item.key) {
                item.note("the key is written by itself", "leave it out of the fields");
            }
            let name = item.key.clone();
            if let Some(lens) = read_lens(&item, entity) {
                fields.insert(name, lens);
            }
        }
    }
    if !named {
        let problem = doc.problem(0..0, Some("fields"), "the mapping writes nothing");
        doc.note(problem.mend("add a section per field: [fields.\"Summary\"]"));
    }
    if adopt && named && !fields.values().any(|lens| lens.flow != Flow::Push) {
        let problem =
            doc.problem(0..0, Some("adopt"), "records that people make would become entities that nothing is known of");
        doc.note(problem.mend("let at least the name flow both ways: both = \".name\""));
    }
    IntoMapping {
        file: doc.file.to_owned(),
        connection: ends.0,
        collection: ends.1,
        entity,
        key,
        adopt,
        on_route,
        fields,
        place,
        digest: digest(doc.text),
    }
}

fn read_lens(item: &Item<'_, '_>, entity: EntityKind) -> Option<Lens> {
    let section = item.section()?;
    let place = section.doc.place(&item.key_span, &item.path);
    let before = ["from", "both", "pull", "link", "template"].map(|key| (key, section.get(key)));
    let mut sources: Vec<(&str, Item<'_, '_>)> =
        before.into_iter().filter_map(|(key, item)| item.map(|item| (key, item))).collect();
    // `both = true` is a mark beside `link`, not a source.
    let both_mark = sources.iter().any(|(key, _)| *key == "link")
        && sources.iter().any(|(key, item)| *key == "both" && !item.is_string() && item.boolean() == Some(true));
    sources.retain(|(key, item)| *key != "both" || item.is_string() || !both_mark);
    if sources.len() != 1 {
        let what = if sources.is_empty() {
            "it is not said where the value comes from"
        } else {
            "several sources for one field"
        };
        item.note(
            what,
            "give one of from = '…', both = \".path\", pull = \".path\", link = \".path\", template = \"\"\"…\"\"\"",
        );
        return None;
    }
    let (source, value) = sources.remove(0);
    let flow = match source {
        "both" => Flow::Both,
        "pull" => Flow::Pull,
        _ if both_mark => Flow::Both,
        _ => Flow::Push,
    };
    let words = section.get("values").map(|values| Words::read(&values, flow)).unwrap_or_default();
    let mut lens = Lens {
        flow,
        wins: Wins::Theirs,
        path: None,
        link: None,
        kind: FieldKind::Text,
        options: section.get("options").and_then(|options| options.strings()).unwrap_or_default(),
        description: section.string("description").unwrap_or_default(),
        place,
        value: Source::Path,
        words,
        empty: section.get("empty").map(|empty| empty.json()),
        ty: None,
    };
    let good = match source {
        "link" => read_link(&mut lens, &value, &section, entity),
        "template" => read_template(&mut lens, &value),
        "from" => read_push(&mut lens, &value, entity),
        _ => read_settable(&mut lens, &value, entity),
    };
    read_otherwise(&mut lens, &section);
    read_kind(&mut lens, &section, item);
    read_wins(&mut lens, &section);
    section.know("collection");
    section.know("values");
    section.done();
    good?;
    if lens.options.is_empty() {
        let words = lens.words.pairs().iter().filter_map(|(_, theirs)| theirs.as_str().map(str::to_owned));
        lens.options = words.collect();
    }
    Some(lens)
}

fn read_link(lens: &mut Lens, value: &Item<'_, '_>, section: &Section<'_, '_>, entity: EntityKind) -> Option<()> {
    let path = read_path(value)?;
    let target = match types::find(types::fields(entity), &path).map(|field| field.ty) {
        Some(Type::Entity(kind)) => kind,
        _ if path.dotted() == "id" => entity,
        _ => {
            value.note(
                format!("{path} names no entity"),
                "link .customer, .theme, or .id for the entity's own record elsewhere",
            );
            return None;
        }
    };
    if path.dotted() == "id" && lens.flow == Flow::Both {
        value.note("what an entity is does not flow back", "leave `both = true` out");
    }
    if !lens.words.is_empty() {
        value.note("a link has no words to translate", "leave `values` out");
    }
    lens.ty = Some(Type::Entity(target));
    if lens.flow == Flow::Both {
        lens.path = Some(path.clone());
    }
    lens.kind = FieldKind::Link;
    lens.link = Some(LinkTo { path, collection: section.string("collection") });
    Some(())
}

fn read_template(lens: &mut Lens, value: &Item<'_, '_>) -> Option<()> {
    let text = value.string()?;
    lens.kind = FieldKind::LongText;
    match Template::compile(&text, value.place()) {
        Ok(template) => lens.value = Source::Template(template),
        Err(broken) => {
            let span = value.inside(&text, broken.at);
            value.doc.note(value.doc.problem(span, Some(&value.path), broken.what).mend(broken.mend));
            return None;
        }
    }
    Some(())
}

fn read_push(lens: &mut Lens, value: &Item<'_, '_>, entity: EntityKind) -> Option<()> {
    let expression = expression(value)?;
    if let Some(keys) = expression.keys() {
        let owned: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        if let Some(mend) = super::unreadable(entity, &owned) {
            value.note(format!("{} has no `.{}`", entity.name(), keys.join(".")), mend);
            return None;
        }
        let path = expression.text().parse::<Path>().ok();
        let field = path.as_ref().and_then(|path| types::find(types::fields(entity), path));
        if let Some(field) = field {
            lens.kind = field.ty.kind();
            lens.path = path;
        } else if keys.last() == Some(&"arr") {
            lens.kind = FieldKind::Currency;
        }
    } else if let Some(constant) = expression.as_constant() {
        lens.kind = match constant {
            Value::Number(_) => FieldKind::Number,
            Value::Bool(_) => FieldKind::Checkbox,
            _ => FieldKind::Text,
        };
    }
    lens.value = Source::Expression(expression);
    Some(())
}

/// What stands there while the path is empty.
fn read_otherwise(lens: &mut Lens, section: &Section<'_, '_>) {
    let Some(item) = section.get("otherwise") else { return };
    if lens.flow != Flow::Both || lens.link.is_some() {
        item.note("only a field that flows both ways has something to show otherwise", "in `from`, write `.path // …`");
    } else if let Some(expression) = expression(&item) {
        lens.value = Source::Otherwise(expression);
    }
}

fn read_settable(lens: &mut Lens, value: &Item<'_, '_>, entity: EntityKind) -> Option<()> {
    let path = read_path(value)?;
    let table = types::fields(entity);
    let Some(field) = types::find(table, &path) else {
        let settable =
            || table.iter().filter(|field| matches!(field.set, Set::Anyone | Set::People)).map(|field| field.path);
        let near = nearest(&path.dotted(), settable());
        let mend = near.map_or_else(
            || format!("what can be set: {}", settable().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `.{near}`?"),
        );
        value.note(format!("{} has no `{path}`", entity.name()), mend);
        return None;
    };
    match (field.set, field.ty) {
        (_, Type::Entity(_)) => {
            value.note(format!("`{path}` names another entity"), format!("write link = \"{path}\" and both = true"));
            return None;
        }
        (Set::Anyone | Set::People, _) => {}
        (Set::Source, _) => {
            value.note(
                format!("`{path}` is what the customer said; nobody edits it from here"),
                format!("write from = \"{path}\""),
            );
            return None;
        }
        (Set::Engine, _) => {
            value.note(format!("`{path}` is the engine's own"), format!("write from = \"{path}\""));
            return None;
        }
    }
    lens.kind = field.ty.kind();
    lens.ty = Some(field.ty);
    lens.path = Some(path);
    Some(())
}

fn read_path(value: &Item<'_, '_>) -> Option<Path> {
    let text = value.string()?;
    let path = text.parse().ok();
    if path.is_none() {
        value.note(
            "what flows back must be a plain path, so that it can be set",
            "write it as \".status\" or \".tags.category\"; an expression can only be pushed, with `from`",
        );
    }
    path
}

fn read_kind(lens: &mut Lens, section: &Section<'_, '_>, item: &Item<'_, '_>) {
    const KINDS: [(&str, FieldKind); 11] = [
        ("text", FieldKind::Text),
        ("long_text", FieldKind::LongText),
        ("number", FieldKind::Number),
        ("currency", FieldKind::Currency),
        ("checkbox", FieldKind::Checkbox),
        ("date", FieldKind::Date),
        ("datetime", FieldKind::DateTime),
        ("url", FieldKind::Url),
        ("select", FieldKind::Select),
        ("multi_select", FieldKind::MultiSelect),
        ("tags", FieldKind::Tags),
    ];
    let given = section.get("type");
    if let Some(given) = &given {
        let Some(name) = given.string() else { return };
        let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == name) else {
            let mend =
                nearest(&name, KINDS.iter().map(|(name, _)| *name)).map(|near| format!("did you mean `{near}`?"));
            given.note(
                format!("there is no type `{name}`"),
                mend.unwrap_or_else(|| KINDS.map(|(name, _)| name).join(", ")),
            );
            return;
        };
        if lens.link.is_some() {
            given.note("a link has its type already", "leave it out");
            return;
        }
        lens.kind = *kind;
    } else if !lens.words.is_empty() && lens.link.is_none() {
        let numbers = lens.words.pairs().iter().all(|(_, theirs)| theirs.is_number());
        lens.kind = if numbers { FieldKind::Number } else { FieldKind::Select };
    }
    if let Some(ty) = lens.ty
        && lens.flow != Flow::Push
        && !ty.fits(lens.kind)
    {
        let at = given.as_ref().unwrap_or(item);
        at.note(
            "a field of this type cannot give back what the entity holds",
            "choose another `type`, or push it with `from`",
        );
    }
}

fn read_wins(lens: &mut Lens, section: &Section<'_, '_>) {
    let default = if lens.flow == Flow::Push { Wins::Ours } else { Wins::Theirs };
    lens.wins = default;
    let Some(item) = section.get("wins") else { return };
    let Some(name) = item.string() else { return };
    let wins = match name.as_str() {
        "theirs" => Wins::Theirs,
        "ours" => Wins::Ours,
        "newest" => Wins::Newest,
        "ask" => Wins::Ask,
        _ => {
            item.note(format!("nobody is called `{name}`"), "theirs, ours, newest or ask");
            return;
        }
    };
    match (lens.flow, wins) {
        (Flow::Pull, _) => item.note("what is only pulled has no conflict to win", "leave `wins` out"),
        (Flow::Push, Wins::Newest | Wins::Ask) => {
            item.note(
                "a field that is only pushed is ours, or theirs once somebody edits it there",
                "write wins = \"ours\" or \"theirs\", or let it flow with `both`",
            );
        }
        _ => lens.wins = wins,
    }
}

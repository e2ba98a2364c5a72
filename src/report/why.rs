//! How a value came to be: the entity, its records outside, and each field with where it came from.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::house::House;
use crate::ledger::{Entry, LedgerError, LinkState, What};
use crate::mapping::{IntoMapping, Lens};
use crate::schema::{Body, Entity, EntityId, EntityKind, Origin, Path, Verdict};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    pub id: EntityId,
    pub short_id: String,
    pub kind: String,
    pub title: String,
    pub origin: Option<Place>,
    pub records: Vec<Record>,
    pub fields: Vec<Field>,
    /// All of it, oldest first; with a field, what concerns that field.
    pub history: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub connection: String,
    pub collection: String,
    pub id: String,
    pub url: Option<String>,
}

/// A record of the entity at a vendor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub place: Place,
    pub state: String,
    pub since: DateTime<Utc>,
    pub written_at: Option<DateTime<Utc>>,
    /// Fields that the destination lacks, with the reason.
    pub owed: BTreeMap<String, String>,
    /// Queued for writing since.
    pub queued: Option<DateTime<Utc>>,
}

/// A field and where its value came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    pub path: String,
    pub value: Value,
    /// Who it came from: a connection, a model, a person.
    pub by: Option<String>,
    pub what: Option<What>,
    pub at: Option<DateTime<Utc>>,
    /// A person decided it: no source and no model changes it.
    pub decided: bool,
    pub suggested: Option<Verdict>,
    /// How it stands in the outside records.
    pub there: Vec<There>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct There {
    pub connection: String,
    pub collection: String,
    pub field: String,
    /// What both sides last agreed on, as the vendor holds it.
    pub value: Value,
    /// A person's edit of a field that loopd only pushes stands there.
    pub held: bool,
}

/// What a text that a person typed leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    One(EntityId),
    Several(Vec<(String, EntityId)>),
    None,
}

/// Finds the entity that is meant: by its id, its short id (`FB-7K3Q9X`), the id of one of its records, or a URL.
///
/// # Errors
/// When the ledger cannot be read.
pub fn find(house: &House, text: &str) -> Result<Found, LedgerError> {
    let text = text.trim();
    if let Ok(id) = text.parse::<EntityId>()
        && house.ledger.entity(id)?.is_some()
    {
        return Ok(Found::One(id));
    }
    let mut places: BTreeSet<(String, String)> = BTreeSet::new();
    for open in house.connections.values() {
        places.extend(open.connector.collections().into_iter().map(|spec| (open.name.clone(), spec.name)));
    }
    let mappings = &house.config.mappings;
    places.extend(mappings.into.iter().map(|into| (into.connection.clone(), into.collection.clone())));
    places.extend(mappings.from.iter().map(|from| (from.connection.clone(), from.collection.clone())));
    for (connection, collection) in places {
        if let Some(id) = house.ledger.linked(&connection, &collection, text)? {
            return Ok(Found::One(id));
        }
    }
    by_name(house, text)
}

/// Short ids and URLs have no index: every entity is looked at.
fn by_name(house: &House, text: &str) -> Result<Found, LedgerError> {
    let short = text.to_uppercase();
    let url = address(text);
    let mut found = Vec::new();
    house.ledger.each_entity(|entity| {
        let known = entity.short_id();
        let mut meant =
            known == short || origin(&entity).is_some_and(|origin| same(&url, origin.url.as_deref(), &origin.id, text));
        if !meant && url.is_some() {
            meant = house
                .ledger
                .links(entity.id)?
                .iter()
                .any(|(_, _, link)| same(&url, link.url.as_deref(), &link.id, text));
        }
        if meant {
            found.push((format!("{known}  {}", title(&entity)), entity.id));
        }
        Ok(())
    })?;
    found.sort();
    Ok(match found.as_slice() {
        [] => Found::None,
        [(_, id)] => Found::One(*id),
        _ => Found::Several(found),
    })
}

/// A URL without what does not matter for telling pages apart.
fn address(text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let rest = rest.split(['#', '?']).next().unwrap_or(rest);
    Some(rest.trim_end_matches('/').to_lowercase())
}

fn same(wanted: &Option<String>, url: Option<&str>, id: &str, text: &str) -> bool {
    id == text || (wanted.is_some() && url.and_then(address) == *wanted)
}

fn origin(entity: &Entity) -> Option<&Origin> {
    match &entity.body {
        Body::Feedback(body) => body.origin.as_ref(),
        Body::Customer(body) => body.origin.as_ref(),
        Body::Theme(body) => body.origin.as_ref(),
    }
}

/// What a person would call it.
pub fn title(entity: &Entity) -> String {
    let name = match &entity.body {
        Body::Feedback(body) => body.title.clone().or_else(|| body.summary.clone()).or_else(|| body.verbatim.clone()),
        Body::Customer(body) => body.name.clone(),
        Body::Theme(body) => body.name.clone(),
    };
    let name = name.unwrap_or_default();
    let line = name.lines().next().unwrap_or_default();
    if line.chars().count() > 80 {
        format!("{}…", line.chars().take(79).collect::<String>())
    } else {
        line.to_owned()
    }
}

/// How an entity's values came to be; with `field`, one of them (an entity's path or a field's name at a destination).
/// `None`: there is no such entity.
///
/// # Errors
/// When the ledger cannot be read.
pub fn why(house: &House, id: EntityId, field: Option<&str>) -> Result<Option<Why>, LedgerError> {
    let Some(entity) = house.ledger.entity(id)? else { return Ok(None) };
    let history = house.ledger.history(id)?;
    let mut records = Vec::new();
    let mut drawn: BTreeMap<String, String> = BTreeMap::new();
    let mut there: BTreeMap<String, Vec<There>> = BTreeMap::new();
    for (connection, collection, link) in house.ledger.links(id)? {
        let base = house.ledger.base(id, &connection, &collection)?.unwrap_or_default();
        let mapping = house.config.mappings.into_for(&connection, &collection, entity.kind());
        for (name, agreed) in &base.fields {
            let path = mapping.and_then(|mapping| path_of(mapping.fields.get(name)?));
            there.entry(path.unwrap_or_else(|| name.clone())).or_default().push(There {
                connection: connection.clone(),
                collection: collection.clone(),
                field: name.clone(),
                value: agreed.theirs.clone(),
                held: agreed.held,
            });
        }
        drawn.extend(base.drawn.keys().map(|path| (path.clone(), connection.clone())));
        let state = match &link.state {
            LinkState::Live => "live".to_owned(),
            LinkState::Gone { at } => format!("deleted there ({})", at.format("%Y-%m-%d %H:%M")),
            LinkState::Anew { .. } => "to be made anew".to_owned(),
            LinkState::Stopped { why, .. } => format!("stopped: {why}"),
        };
        let queued =
            house.ledger.slot(&crate::ledger::sync_lane(&connection), &crate::follow::item(id, &collection))?;
        records.push(Record {
            state,
            since: link.since,
            written_at: base.written_at,
            owed: base.owed,
            queued: queued.map(|slot| slot.since),
            place: Place { connection, collection, id: link.id, url: link.url },
        });
    }
    let names = names(house, entity.kind());
    let mut fields = fields(&entity, &history, &drawn, &names, &mut there);
    let mut history = history;
    if let Some(wanted) = field {
        let whole = whole_path(&fields, &names, wanted);
        let wanted = whole.as_deref().unwrap_or(wanted);
        let meant: BTreeSet<&str> = names.iter().filter(|name| name.is(wanted)).map(|name| &*name.path).collect();
        let is_meant = |field: &Field| {
            field.path == wanted || meant.contains(&*field.path) || field.there.iter().any(|there| there.is(wanted))
        };
        fields.retain(is_meant);
        let paths: BTreeSet<&str> = fields.iter().map(|field| &*field.path).chain(meant).chain([wanted]).collect();
        let here = |entry: &Entry| {
            let there = |name: &&Name| paths.contains(&*name.path) && (name.tells(entry) || name.was_written(entry));
            entry.field.as_deref().is_some_and(|field| paths.contains(field)) || names.iter().any(|name| there(&name))
        };
        history.retain(here);
    }
    let place = |origin: &Origin| Place {
        connection: origin.connection.clone(),
        collection: origin.collection.clone(),
        id: origin.id.clone(),
        url: origin.url.clone(),
    };
    Ok(Some(Why {
        id,
        short_id: entity.short_id(),
        kind: entity.kind().name().to_owned(),
        title: title(&entity),
        origin: origin(&entity).map(place),
        records,
        fields,
        history,
    }))
}

/// The path of which this is the last key, where it is nothing else and one path's only: `severity` of `tags.severity`.
fn whole_path(fields: &[Field], names: &[Name], wanted: &str) -> Option<String> {
    let is_known = |field: &Field| field.path == wanted || field.there.iter().any(|there| there.is(wanted));
    if fields.iter().any(is_known) || names.iter().any(|name| name.is(wanted)) {
        return None;
    }
    let mut paths = fields.iter().map(|field| &field.path).filter(|path| path.rsplit('.').next() == Some(wanted));
    paths.next().filter(|_| paths.next().is_none()).cloned()
}

/// A field's name at a destination, and what it is on our side: its path, or the name itself where it has none.
struct Name {
    path: String,
    connection: String,
    collection: String,
    field: String,
}

impl Name {
    /// A person may say the path, the field's name, or that with its collection and connection before it.
    fn is(&self, wanted: &str) -> bool {
        self.path == wanted || is_called(&self.connection, &self.collection, &self.field, wanted)
    }

    /// The line is about this field there: an edit, or a conflict.
    fn tells(&self, entry: &Entry) -> bool {
        let field = entry.field.as_deref().and_then(|field| field.strip_prefix(&self.collection)?.strip_prefix('.'));
        entry.by == self.connection && field == Some(&self.field)
    }

    /// The line is about a write of the whole record, and this field was in it.
    fn was_written(&self, entry: &Entry) -> bool {
        let named = || entry.note.as_deref().is_some_and(|note| note.split(", ").any(|name| name == self.field));
        matches!(entry.what, What::Written | What::Linked)
            && entry.by == self.connection
            && entry.field.as_ref() == Some(&self.collection)
            && named()
    }
}

fn is_called(connection: &str, collection: &str, field: &str, wanted: &str) -> bool {
    let rest = wanted.strip_prefix(connection).and_then(|rest| rest.strip_prefix('.')).unwrap_or(wanted);
    let rest = rest.strip_prefix(collection).and_then(|rest| rest.strip_prefix('.')).unwrap_or(rest);
    field == wanted || field == rest
}

impl There {
    fn is(&self, wanted: &str) -> bool {
        is_called(&self.connection, &self.collection, &self.field, wanted)
    }
}

fn path_of(lens: &Lens) -> Option<String> {
    lens.path.as_ref().or(lens.link.as_ref().map(|link| &link.path)).map(Path::dotted).filter(|path| path != "id")
}

/// What the fields of this kind of entity are called at the destinations.
fn names(house: &House, kind: EntityKind) -> Vec<Name> {
    let into = house.config.mappings.into.iter().filter(|into| into.entity == kind);
    let of = |into: &IntoMapping| -> Vec<Name> {
        let name = |(field, lens): (&String, &Lens)| Name {
            path: path_of(lens).unwrap_or_else(|| field.clone()),
            connection: into.connection.clone(),
            collection: into.collection.clone(),
            field: field.clone(),
        };
        into.fields.iter().map(name).collect()
    };
    into.flat_map(of).collect()
}

/// What an entity keeps about itself: shown by its own columns.
const ABOUT: [&str; 6] = ["decided", "enrichment", "origin", "hints", "aliases", "thread"];

/// `drawn`: which connection's record a path was drawn from.
fn fields(
    entity: &Entity,
    history: &[Entry],
    drawn: &BTreeMap<String, String>,
    names: &[Name],
    there: &mut BTreeMap<String, Vec<There>>,
) -> Vec<Field> {
    let mut values = Vec::new();
    if let Value::Object(body) = entity.to_value() {
        for (name, value) in body.into_iter().filter(|(name, _)| !ABOUT.contains(&name.as_str())) {
            leaves(name, value, &mut values);
        }
    }
    let suggestions: BTreeMap<String, Verdict> =
        entity.as_feedback().map(|feedback| feedback.enrichment.clone()).unwrap_or_default();
    let mut fields: Vec<Field> = values
        .into_iter()
        .map(|(path, value)| {
            // The last line that set it; lines about writing tell where it went, not where it came from.
            let set = |entry: &&Entry| {
                let named = || names.iter().any(|name| name.path == path && name.tells(entry));
                entry.what != What::EditedThere && (entry.field.as_deref() == Some(&path) || named())
            };
            let last = history.iter().rev().find(set);
            let decision = entity.decided().get(&path);
            Field {
                value,
                by: decision
                    .map(|decision| decision.by.clone())
                    .or_else(|| last.map(|entry| entry.by.clone()))
                    .or_else(|| drawn.get(&path).cloned()),
                what: last.map(|entry| entry.what),
                at: decision.map(|decision| decision.at).or_else(|| last.map(|entry| entry.at)),
                decided: decision.is_some(),
                suggested: suggestions.get(&path).cloned(),
                there: there.remove(&path).unwrap_or_default(),
                path,
            }
        })
        .filter(|field| {
            !is_empty(&field.value) || field.at.is_some() || field.suggested.is_some() || !field.there.is_empty()
        })
        .collect();
    // What destinations show that is no path of the entity: texts and counts made for them.
    for (name, there) in std::mem::take(there) {
        let value = there.first().map(|there| there.value.clone()).unwrap_or_default();
        fields.push(Field {
            path: name,
            value,
            by: None,
            what: None,
            at: None,
            decided: false,
            suggested: None,
            there,
        });
    }
    fields
}

fn leaves(path: String, value: Value, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(inner) if !inner.is_empty() => {
            for (name, value) in inner {
                leaves(format!("{path}.{name}"), value, into);
            }
        }
        value => into.push((path, value)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

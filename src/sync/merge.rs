//! The three-way merge, field by field: base, ours, theirs. Pure.
//!
//! | theirs moved | ours moved | what happens |
//! |---|---|---|
//! | no | – | nothing; sync writes ours if it differs |
//! | to what we are just writing | – | our own echo: agreed |
//! | back to what stood there before our last write, and lately | – | a replica that lags: looked at again later |
//! | yes | no | `both`, `pull`: into the entity. Pushed only: restored, or held if its mapping says `wins = "theirs"` |
//! | yes | to the same | agreed, and decided by a person |
//! | yes | to something else | the field's rule; the loser's value goes into the log |
//!
//! Values are compared, canonicalised as the vendor stores them; never times. Whatever a person typed is afterwards in
//! the entity or in the log: nothing is silently dropped.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use connectors::{Edit, FieldKind, Sink};
use serde_json::{Map, Value};

use crate::ledger::{Base, Effect, Entry, FieldBase, Known, What};
use crate::mapping::{Flow, IntoMapping, Lens, Wins};

/// An automation that changes what we wrote does so within this time.
const REACTION: TimeDelta = TimeDelta::minutes(2);

/// A vendor's history lags behind what looks show by no more than this.
const HISTORY_LAG: TimeDelta = TimeDelta::days(1);
/// Values of one field that people gave it within that time, at most.
const KNOWN: usize = 16;

/// What is known when a record of ours has been looked at.
pub struct Look<'a> {
    pub mapping: &'a IntoMapping,
    pub sink: &'a dyn Sink,
    /// The connection's name, for the log.
    pub by: &'a str,
    pub now: DateTime<Utc>,
    /// What the entity should look like there, in the vendor's terms. Links that lead nowhere yet are absent.
    pub desired: &'a BTreeMap<String, Value>,
    /// The entity, for `pull` fields and for who decided when.
    pub entity: &'a Value,
    pub base: &'a Base,
    /// A write of ours whose outcome is not in the books.
    pub effect: Option<&'a Effect>,
    pub theirs: &'a Map<String, Value>,
    pub edits: &'a [Edit],
    /// Outside id of a linked record to entity id; `None` when it is not ours.
    pub resolve: &'a dyn Fn(&Lens, &str) -> Option<String>,
}

/// What follows from a look.
#[derive(Debug, Default, PartialEq)]
pub struct Merged {
    /// Fields that the entity takes over: outside name, and its value on our side.
    pub takes: Vec<Take>,
    pub base: Base,
    pub log: Vec<Entry>,
    /// Conflicts for a person: (field, path, ours, theirs), in the entity's terms.
    pub questions: Vec<(String, String, Value, Value)>,
    /// Fields whose value there cannot be taken, and why.
    pub refused: Vec<(String, String)>,
    /// A replica may lag: look again at this time.
    pub look_again: Option<DateTime<Utc>>,
    /// A person changed something there.
    pub edited: bool,
    /// What we wrote came back changed.
    pub rewritten: bool,
}

/// A value that the entity takes from a destination: the outside field, and the entity's path and value.
#[derive(Clone, Debug, PartialEq)]
pub struct Take {
    pub field: String,
    pub path: String,
    pub value: Value,
}

/// Merges one look at a record.
pub fn merge(look: &Look<'_>) -> Merged {
    let mut merged = Merged { base: look.base.clone(), ..Merged::default() };
    for (name, lens) in &look.mapping.fields {
        let before = merged.log.len();
        field(look, name, lens, &mut merged);
        if merged.log.len() > before {
            know(look, name, lens, &mut merged.base);
        }
    }
    // A vendor tells the same history more than once.
    let heard = look.base.heard;
    for edit in look.edits.iter().filter(|edit| edit.at.is_none() || edit.at > heard) {
        history(look, edit, &mut merged);
    }
    merged.base.heard = look.edits.iter().filter_map(|edit| edit.at).max().max(heard);
    if merged.edited {
        // A person, not a destination that rewrites what we write.
        merged.base.rounds = if merged.rewritten { merged.base.rounds + 1 } else { 0 };
    }
    merged
}

/// Remembers what a person put there, so that the vendor's history is no news when it tells of it.
fn know(look: &Look<'_>, name: &str, lens: &Lens, base: &mut Base) {
    let known = base.known.entry(name.to_owned()).or_default();
    known.retain(|known| look.now - known.at < HISTORY_LAG);
    known.push(Known { value: seen(look, name, lens), at: look.now });
    let spare = known.len().saturating_sub(KNOWN);
    known.drain(..spare);
}

/// Whether a look has shown this value before its history told of it; that is remembered once.
fn was_known(look: &Look<'_>, field: &str, value: &Value, base: &mut Base) -> bool {
    let Some(known) = base.known.get_mut(field) else { return false };
    known.retain(|known| look.now - known.at < HISTORY_LAG);
    let place = known.iter().position(|known| known.value == *value);
    if let Some(place) = place {
        known.remove(place);
    }
    if known.is_empty() {
        base.known.remove(field);
    }
    place.is_some()
}

fn field(look: &Look<'_>, name: &str, lens: &Lens, merged: &mut Merged) {
    let theirs = seen(look, name, lens);
    let Some(base) = look.base.fields.get(name) else {
        return first_sight(look, name, lens, &theirs, merged);
    };
    if theirs == base.theirs {
        return;
    }
    if let Some(agreed) = echo(look, name, lens, &theirs) {
        merged.base.fields.insert(name.to_owned(), agreed);
        return;
    }
    if let Some(was) = &base.was
        && was.until > look.now
        && was.theirs == theirs
    {
        merged.look_again = Some(merged.look_again.map_or(was.until, |at| at.max(was.until)));
        return;
    }
    let ours = ours(look, name, lens);
    let mut next = FieldBase {
        ours: base.ours.clone(),
        theirs: theirs.clone(),
        was: None,
        held: base.held,
        restore: base.restore,
        found: false,
    };
    // We wrote this very field a moment ago, and already it is something else: an automation, or a hasty person. Where their
    // value becomes the item's, that goes round only if it is put back; else the next edit comes from a person somewhere.
    let lately = lens.flow == Flow::Push && look.base.written_at.is_some_and(|at| look.now - at < REACTION);
    // Or it is what we replaced: seen only when no replica can lag any more.
    let again = base.was.as_ref().is_some_and(|was| was.theirs == theirs && look.now < was.until + REACTION);
    merged.rewritten |=
        base.was.is_some() && (lately || again) && !(lens.flow == Flow::Push && lens.wins == Wins::Theirs);
    if lens.flow == Flow::Push {
        pushed(look, name, lens, Some(&base.theirs), &theirs, &mut next, merged);
    } else if ours == Some(&base.ours) || ours.is_none() || (lens.flow == Flow::Pull && lens.wins == Wins::Theirs) {
        take(look, name, lens, &theirs, &mut next, merged, What::Edited, Some(&base.theirs));
    } else if ours.is_some_and(|ours| canonical(look, name, lens, ours) == theirs) {
        next.ours = ours.cloned().unwrap_or_default();
        next.held = false;
        merged.edited = true;
        agree(look, name, lens, &theirs, merged);
        merged.log.push(entry(
            look,
            What::Edited,
            name,
            Some(&base.theirs),
            Some(&theirs),
            Some("both sides say the same"),
        ));
    } else {
        conflict(look, name, lens, &theirs, ours.unwrap_or(&Value::Null), &mut next, merged);
    }
    merged.base.fields.insert(name.to_owned(), next);
}

/// What stands there is what we are just writing.
fn echo(look: &Look<'_>, name: &str, lens: &Lens, theirs: &Value) -> Option<FieldBase> {
    let effect = look.effect?;
    let ours = effect.ours.get(name)?.clone();
    (written(effect, name, lens).as_ref() == Some(theirs)).then(|| FieldBase {
        ours,
        theirs: theirs.clone(),
        ..FieldBase::default()
    })
}

/// A field without a base: it was never written, or the record was found rather than made.
fn first_sight(look: &Look<'_>, name: &str, lens: &Lens, theirs: &Value, merged: &mut Merged) {
    if theirs.is_null() {
        return;
    }
    let mut next = FieldBase { ours: Value::Null, theirs: theirs.clone(), ..FieldBase::default() };
    let same = ours(look, name, lens).filter(|ours| canonical(look, name, lens, ours) == *theirs);
    match (lens.flow, same) {
        // We made the record, and left this empty: somebody has typed what was to be written there next. It is their word now.
        (Flow::Both | Flow::Pull, Some(ours))
            if look.base.written_at.is_some() && echo(look, name, lens, theirs).is_none() =>
        {
            next.ours = ours.clone();
            merged.edited = true;
            agree(look, name, lens, theirs, merged);
            let note = Some("both sides say the same");
            merged.log.push(entry(look, What::Edited, name, None, Some(theirs), note));
        }
        (_, Some(ours)) => next.ours = ours.clone(),
        (Flow::Push, None) => match echo(look, name, lens, theirs) {
            Some(agreed) => next = agreed,
            // We made the record, and left this empty: somebody has typed it.
            None if look.base.written_at.is_some() => pushed(look, name, lens, None, theirs, &mut next, merged),
            None => next.restore = true,
        },
        (Flow::Both | Flow::Pull, None) => take(look, name, lens, theirs, &mut next, merged, What::Edited, None),
    }
    merged.base.fields.insert(name.to_owned(), next);
}

/// A person said what the item holds already: from now on it is decided, and no model changes it.
fn agree(look: &Look<'_>, name: &str, lens: &Lens, theirs: &Value, merged: &mut Merged) {
    if let (Ok(value), Some(path)) = (inward(look, lens, theirs), path_of(lens)) {
        merged.takes.push(Take { field: name.to_owned(), path, value });
    }
}

/// Somebody has edited a field that is only pushed.
fn pushed(
    look: &Look<'_>,
    name: &str,
    lens: &Lens,
    old: Option<&Value>,
    theirs: &Value,
    next: &mut FieldBase,
    merged: &mut Merged,
) {
    merged.edited = true;
    let held = lens.wins == Wins::Theirs;
    next.held = held;
    // Back to what we want anyway is no reason to write.
    next.restore = !held && look.desired.get(name).is_some_and(|ours| canonical(look, name, lens, ours) != *theirs);
    let note = if held {
        "kept there: this field is only pushed, and its mapping lets an edit stand"
    } else {
        "ours is put back: this field is only pushed"
    };
    merged.log.push(entry(look, What::EditedThere, name, old, Some(theirs), Some(note)));
}

#[expect(clippy::too_many_arguments, reason = "it is the tail of `field`, and all of it is that field's")]
fn take(
    look: &Look<'_>,
    name: &str,
    lens: &Lens,
    theirs: &Value,
    next: &mut FieldBase,
    merged: &mut Merged,
    what: What,
    old: Option<&Value>,
) {
    merged.edited = true;
    match inward(look, lens, theirs) {
        Ok(value) => {
            let Some(path) = path_of(lens) else { return };
            merged.log.push(entry(look, what, name, old, Some(theirs), None));
            merged.takes.push(Take { field: name.to_owned(), path, value });
            next.held = false;
        }
        Err(why) => {
            // It stays there, and is not overwritten, until somebody says what it means.
            next.held = true;
            merged.log.push(entry(look, What::EditedThere, name, old, Some(theirs), Some(&why)));
            merged.refused.push((name.to_owned(), why));
        }
    }
}

fn conflict(
    look: &Look<'_>,
    name: &str,
    lens: &Lens,
    theirs: &Value,
    ours: &Value,
    next: &mut FieldBase,
    merged: &mut Merged,
) {
    merged.edited = true;
    let theirs_wins = match lens.wins {
        Wins::Theirs => true,
        Wins::Ours | Wins::Ask => false,
        Wins::Newest => decided_at(look, lens).is_none_or(|at| at <= edited_at(look, name)),
    };
    if lens.wins == Wins::Ask {
        next.held = true;
        if let (Ok(theirs), Some(path)) = (inward(look, lens, theirs), lens.path.as_ref()) {
            let mine = path.get(look.entity).clone();
            merged.questions.push((name.to_owned(), path.dotted(), mine, theirs));
        }
        let note = "a person is asked (`loopd review`)";
        merged.log.push(entry(look, What::Conflict, name, Some(theirs), Some(ours), Some(note)));
    } else if theirs_wins {
        let before = merged.takes.len();
        take(look, name, lens, theirs, next, merged, What::Conflict, Some(ours));
        if merged.takes.len() == before {
            merged.log.push(entry(
                look,
                What::Conflict,
                name,
                Some(theirs),
                Some(ours),
                Some("ours stays: theirs cannot be read"),
            ));
        }
    } else {
        // Ours is still to be written; what it replaces is kept in the log.
        next.restore = true;
        merged.log.push(entry(look, What::Conflict, name, Some(theirs), Some(ours), Some("ours wins")));
    }
}

/// A value from the vendor's history that may not stand there any more.
fn history(look: &Look<'_>, edit: &Edit, merged: &mut Merged) {
    let Some(lens) = look.mapping.fields.get(&edit.field) else { return };
    let value = look.sink.canonical(&look.mapping.collection, &edit.field, edit.value.clone());
    let value = projected(look, &edit.field, lens, value);
    if was_known(look, &edit.field, &value, &mut merged.base) {
        return;
    }
    let stands = seen(look, &edit.field, lens) == value;
    if stands {
        if let Some(base) = look.base.fields.get(&edit.field).filter(|base| base.found && base.theirs == value) {
            // It was found there, and not known to be anybody's word: it is.
            let mut next = FieldBase { found: false, ..base.clone() };
            match ours(look, &edit.field, lens) {
                Some(ours) if *ours != base.ours && canonical(look, &edit.field, lens, ours) != value => {
                    conflict(look, &edit.field, lens, &value, ours, &mut next, merged);
                }
                _ => take(look, &edit.field, lens, &value, &mut next, merged, What::Edited, None),
            }
            merged.base.fields.insert(edit.field.clone(), next);
            return;
        }
        if look.base.fields.get(&edit.field).is_some_and(|base| base.theirs == value) {
            // Somebody typed what we believed to stand there: between two writes of ours, perhaps, of which we know
            // one. It changes nothing now, but it is a person's word.
            let note = "it was typed, and is what was known to stand there";
            merged.log.push(entry(look, What::EditedThere, &edit.field, None, Some(&value), Some(note)));
        }
        return;
    }
    let ours_stands =
        look.base.fields.get(&edit.field).is_some_and(|base| base.theirs == seen(look, &edit.field, lens));
    let overwritten_by_us = edit.overwritten && ours_stands;
    let takes_it = overwritten_by_us && lens.flow != Flow::Push && matches!(lens.wins, Wins::Theirs | Wins::Newest);
    if takes_it && let (Ok(value), Some(path)) = (inward(look, lens, &value), path_of(lens)) {
        merged.takes.retain(|take| take.field != edit.field);
        merged.takes.push(Take { field: edit.field.clone(), path, value });
        merged.edited = true;
        if let Some(base) = merged.base.fields.get_mut(&edit.field) {
            base.restore = true;
        }
    }
    let note = if takes_it {
        "it was overwritten before it was seen, and is put back"
    } else {
        "it was replaced before it was seen"
    };
    let mut line = entry(look, What::Overtaken, &edit.field, None, Some(&value), Some(note));
    line.at = edit.at.unwrap_or(look.now);
    merged.log.push(line);
}

/// What stands there, canonical.
fn seen(look: &Look<'_>, name: &str, lens: &Lens) -> Value {
    let raw = look.theirs.get(name).cloned().unwrap_or_default();
    let value = look.sink.canonical(&look.mapping.collection, name, raw);
    projected(look, name, lens, value)
}

/// Of a set that others add to as well, only the members that are ours to speak of.
fn projected(look: &Look<'_>, name: &str, lens: &Lens, value: Value) -> Value {
    if lens.kind != FieldKind::Tags {
        return lens.settled(value);
    }
    let base = look.base.fields.get(name);
    let known: BTreeSet<&str> = [look.desired.get(name), base.map(|base| &base.ours), base.map(|base| &base.theirs)]
        .into_iter()
        .flatten()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    // Vendors take "bug" for the "Bug" that they have: in our spelling it is the same.
    let ours = |tag: &str| known.iter().copied().find(|known| known.to_lowercase() == tag.to_lowercase());
    let members: BTreeSet<&str> =
        value.as_array().into_iter().flatten().filter_map(Value::as_str).filter_map(ours).collect();
    if members.is_empty() { Value::Null } else { members.into_iter().map(Value::from).collect() }
}

/// What our last write would look like there.
fn written(effect: &Effect, name: &str, lens: &Lens) -> Option<Value> {
    if lens.kind == FieldKind::Tags {
        return effect
            .ours
            .get(name)
            .map(|tags| if tags.as_array().is_some_and(Vec::is_empty) { Value::Null } else { tags.clone() });
    }
    effect.write.fields.get(name).cloned()
}

fn canonical(look: &Look<'_>, name: &str, lens: &Lens, value: &Value) -> Value {
    let value = look.sink.canonical(&look.mapping.collection, name, value.clone());
    projected(look, name, lens, value)
}

/// Our side of a field: for a field that is only pulled, the entity's own value.
fn ours<'a>(look: &'a Look<'_>, name: &str, lens: &'a Lens) -> Option<&'a Value> {
    match lens.flow {
        Flow::Pull => lens.path.as_ref().map(|path| path.get(look.entity)),
        Flow::Push | Flow::Both => look.desired.get(name),
    }
}

/// The record that a link names, of those that it may name the first.
pub(super) fn linked_id(theirs: &Value) -> Option<&str> {
    match theirs {
        Value::Array(ids) => ids.first().and_then(Value::as_str),
        Value::String(id) => Some(id.as_str()),
        _ => None,
    }
}

/// Their value in the entity's terms.
fn inward(look: &Look<'_>, lens: &Lens, theirs: &Value) -> Result<Value, String> {
    if lens.link.is_some() {
        return match linked_id(theirs) {
            None => Ok(Value::Null),
            Some(id) => (look.resolve)(lens, id)
                .map(Value::from)
                .ok_or_else(|| "it links to a record that loopd does not know".to_owned()),
        };
    }
    lens.read_back(theirs).map_err(|error| error.to_string())
}

fn path_of(lens: &Lens) -> Option<String> {
    lens.path.as_ref().or(lens.link.as_ref().map(|link| &link.path)).map(crate::schema::Path::dotted)
}

fn decided_at(look: &Look<'_>, lens: &Lens) -> Option<DateTime<Utc>> {
    let at = look.entity.get("decided")?.get(path_of(lens)?)?.get("at")?.as_str()?;
    DateTime::parse_from_rfc3339(at).ok().map(|at| at.to_utc())
}

fn edited_at(look: &Look<'_>, name: &str) -> DateTime<Utc> {
    look.edits.iter().rev().find(|edit| edit.field == name).and_then(|edit| edit.at).unwrap_or(look.now)
}

fn entry(
    look: &Look<'_>,
    what: What,
    field: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    note: Option<&str>,
) -> Entry {
    Entry {
        at: look.now,
        by: look.by.to_owned(),
        what,
        field: Some(format!("{}.{field}", look.mapping.collection)),
        old: old.cloned(),
        new: new.cloned(),
        note: note.map(str::to_owned),
    }
}

//! What people judge of themes: two are one, one is two, what it is called, whether it holds. Nobody else does.
//!
//! Laws:
//! - A theme that was merged keeps its items' names of it and its records everywhere; it only names the one in which it lives
//!   on. What shows an item's theme follows that name ([`lives_in`]). So to part them again loses nothing.
//! - A theme that was split off remembers where its items came from. To undo that gives those back which are still there, and
//!   what has joined since goes along.
//! - Everything is logged on every side of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::merge::{Hand, judge, line, merge_items, set_state, unmerge_item};
use crate::follow::{follow, records};
use crate::house::House;
use crate::ledger::{ENRICH, Entry, Ledger, LedgerError, Proposal, ProposalState, Proposed, Tx, What, When};
use crate::schema::{Body, Decision, Entity, EntityId, EntityKind, Theme};

/// Merges that follow one upon the other, at most.
const CHAIN: usize = 64;
/// A theme as it begins.
pub const HYPOTHESIS: &str = "hypothesis";
const VALIDATED: &str = "validated";
/// Whose conditions `loopd status` shows for themes.
pub const THEMES: &str = "themes";

/// The theme in which this one lives on: itself, mostly.
///
/// # Errors
/// The ledger's.
pub fn lives_in(ledger: &Ledger, theme: EntityId) -> Result<EntityId, LedgerError> {
    last(theme, |id| ledger.entity(id))
}

pub(crate) fn lives_in_tx(tx: &mut Tx<'_>, theme: EntityId) -> Result<EntityId, LedgerError> {
    last(theme, |id| tx.entity(id))
}

fn last(
    theme: EntityId,
    mut read: impl FnMut(EntityId) -> Result<Option<Entity>, LedgerError>,
) -> Result<EntityId, LedgerError> {
    let mut at = theme;
    for _ in 0..CHAIN {
        match read(at)?.as_ref().and_then(Entity::as_theme).and_then(|theme| theme.merged_into) {
            Some(into) => at = into,
            None => return Ok(at),
        }
    }
    Err(LedgerError::Bug(format!("theme {theme} was merged in a circle")))
}

/// The theme and all that were merged into it, itself first.
///
/// # Errors
/// The ledger's.
pub fn family(ledger: &Ledger, theme: EntityId) -> Result<Vec<EntityId>, LedgerError> {
    let mut found = vec![theme];
    let mut at = 0;
    while let Some(of) = found.get(at).copied() {
        for id in ledger.referrers(of)? {
            let entity = ledger.entity(id)?;
            let is_merged =
                entity.as_ref().and_then(Entity::as_theme).is_some_and(|theme| theme.merged_into == Some(of));
            if is_merged && !found.contains(&id) {
                found.push(id);
            }
        }
        at += 1;
    }
    Ok(found)
}

/// For people: `Slow exports (TH-7K3Q9X)`.
pub fn called(entity: &Entity) -> String {
    match entity.as_theme().and_then(|theme| theme.name.clone()) {
        Some(name) => format!("{name} ({})", entity.short_id()),
        None => entity.short_id(),
    }
}

type Said<T> = Result<Result<T, String>, LedgerError>;

fn theme_of(tx: &mut Tx<'_>, id: EntityId) -> Said<(Entity, Box<Theme>)> {
    Ok(match tx.entity(id)? {
        Some(Entity { id, body: Body::Theme(theme) }) => Ok((Entity { id, body: Body::Theme(theme.clone()) }, theme)),
        Some(other) => Err(format!("{} is no theme", other.short_id())),
        None => Err(format!("there is no {id} any more")),
    })
}

macro_rules! or_say {
    ($said:expr) => {
        match $said? {
            Ok(value) => value,
            Err(why) => return Ok(Err(why)),
        }
    };
}

/// Stores a changed theme, and lets everything that shows it or its items be looked at again.
fn store(house: &House, tx: &mut Tx<'_>, before: &Entity, theme: Box<Theme>) -> Result<Entity, LedgerError> {
    let after = Entity { id: before.id, body: Body::Theme(theme) };
    tx.put_entity(&after)?;
    follow(house, tx, &after, Some(before), When::Now)?;
    Ok(after)
}

/// Items that name any theme of the family show another theme from now on.
fn pass_on(house: &House, tx: &mut Tx<'_>, theme: EntityId) -> Result<(), LedgerError> {
    for id in family(&house.ledger, theme)? {
        tx.queue(ENRICH, 1, id.as_bytes(), When::Now, house.now())?;
    }
    Ok(())
}

/// A person says that two themes are one: `theme` lives on in `into`. Inside: why it cannot be.
///
/// # Errors
/// The ledger's.
pub fn merge_themes(house: &House, tx: &mut Tx<'_>, theme: EntityId, into: EntityId, by: &str) -> Said<()> {
    let (before, mut merged) = or_say!(theme_of(tx, theme));
    let into = lives_in_tx(tx, into)?;
    let (other, other_theme) = or_say!(theme_of(tx, into));
    if into == theme {
        return Ok(Err(format!("{} is one theme already", called(&before))));
    }
    if let Some(lives) = merged.merged_into {
        let lives = lives_in_tx(tx, lives)?;
        let name = tx.entity(lives)?.map(|other| called(&other)).unwrap_or_default();
        return Ok(Err(format!("{} was merged into {name} already\n  = merge that one", called(&before))));
    }
    if other_theme.withdrawn {
        return Ok(Err(format!("{} was deleted", called(&other))));
    }
    merged.merged_into = Some(into);
    store(house, tx, &before, merged)?;
    records(house, tx, &other, When::Now)?;
    pass_on(house, tx, theme)?;
    tx.log(theme, &line(house, by, What::Merged, format!("merged into {}", called(&other))))?;
    tx.log(into, &line(house, by, What::Merged, format!("{} was merged into it", called(&before))))?;
    let done = ProposalState::Done { by: by.into(), at: house.now() };
    judge(house, tx, &Proposed::MergeThemes { theme, into }, Some(done), Hand::Person(by))?;
    Ok(Ok(()))
}

/// They are two after all: each is as it was, and keeps what joined it since.
///
/// # Errors
/// The ledger's.
pub fn unmerge_theme(house: &House, tx: &mut Tx<'_>, theme: EntityId, by: &str) -> Said<EntityId> {
    let (before, mut merged) = or_say!(theme_of(tx, theme));
    let Some(into) = merged.merged_into.take() else {
        return Ok(Err(format!("{} was not merged into another", called(&before))));
    };
    let lived_in = lives_in_tx(tx, into)?;
    store(house, tx, &before, merged)?;
    for id in BTreeSet::from([into, lived_in]) {
        if let Some(other) = tx.entity(id)? {
            records(house, tx, &other, When::Now)?;
            tx.log(id, &line(house, by, What::Parted, format!("{} is a theme of its own again", called(&before))))?;
        }
    }
    pass_on(house, tx, theme)?;
    tx.log(theme, &line(house, by, What::Parted, "a theme of its own again".into()))?;
    let undone = ProposalState::Undone { by: by.into(), at: house.now() };
    judge(house, tx, &Proposed::MergeThemes { theme, into }, Some(undone), Hand::Person(by))?;
    Ok(Ok(into))
}

/// A person says that some items of a theme are about something else: they become a theme of their own. Returns it.
///
/// # Errors
/// The ledger's.
pub fn split_theme(
    house: &House,
    tx: &mut Tx<'_>,
    theme: EntityId,
    items: &[EntityId],
    name: Option<&str>,
    by: &str,
) -> Said<EntityId> {
    let (before, whole) = or_say!(theme_of(tx, theme));
    let items: BTreeSet<EntityId> = items.iter().copied().collect();
    if items.is_empty() {
        return Ok(Err("say which items are about something else".into()));
    }
    let mut moved = Vec::new();
    for id in &items {
        let Some(item) = tx.entity(*id)? else { return Ok(Err(format!("there is no {id} any more"))) };
        let named = item.as_feedback().and_then(|feedback| feedback.theme);
        match named {
            Some(named) if lives_in_tx(tx, named)? == theme => moved.push((item, named)),
            _ => return Ok(Err(format!("{} is not in {}", item.short_id(), called(&before)))),
        }
    }
    let mut id = theme.branch("split", 0);
    for turn in 1.. {
        if tx.entity(id)?.is_none() {
            break;
        }
        id = theme.branch("split", turn);
    }
    let texts: Vec<Entity> = moved.iter().map(|(item, _)| item.clone()).collect();
    let told = super::naming::by_rule(house, &texts)?;
    let mut split = Theme {
        name: Some(name.map_or_else(|| told.name.clone(), str::to_owned)),
        statement: Some(told.statement),
        status: Some(HYPOTHESIS.into()),
        split_from: Some(theme),
        split_items: moved.iter().map(|(item, named)| (item.id, *named)).collect(),
        owner: whole.owner.clone(),
        ..Theme::default()
    };
    if name.is_some() {
        split.decided.insert("name".into(), Decision { by: by.into(), at: house.now() });
    }
    let after = Entity { id, body: Body::Theme(Box::new(split)) };
    tx.put_entity(&after)?;
    let count = moved.len();
    tx.log(
        id,
        &line(house, by, What::Created, format!("{count} items of {} are about something else", called(&before))),
    )?;
    tx.log(theme, &line(house, by, What::Parted, format!("{count} of its items are now {}", called(&after))))?;
    follow(house, tx, &after, None, When::Now)?;
    for (item, _) in &moved {
        point(house, tx, item, Some(id), (by, None))?;
    }
    let done = ProposalState::Done { by: by.into(), at: house.now() };
    let what = Proposed::SplitTheme { theme, items: items.into_iter().collect() };
    judge(house, tx, &what, Some(done), Hand::Person(by))?;
    Ok(Ok(id))
}

/// It was no other theme: its items are again where they were, and what has joined it since lives in that theme too.
fn unsplit(house: &House, tx: &mut Tx<'_>, id: EntityId, by: &str) -> Said<EntityId> {
    let (_, split) = or_say!(theme_of(tx, id));
    let Some(from) = split.split_from else { return Ok(Err("it was not split off another".into())) };
    let items: Vec<EntityId> = split.split_items.iter().map(|(item, _)| *item).collect();
    for (item, was) in &split.split_items {
        if let Some(entity) = tx.entity(*item)?
            && entity.as_feedback().is_some_and(|feedback| feedback.theme == Some(id))
        {
            point(house, tx, &entity, Some(*was), (by, None))?;
        }
    }
    or_say!(merge_themes(house, tx, id, from, by));
    let undone = ProposalState::Undone { by: by.into(), at: house.now() };
    let mut sorted = items;
    sorted.sort();
    judge(house, tx, &Proposed::SplitTheme { theme: from, items: sorted }, Some(undone), Hand::Person(by))?;
    Ok(Ok(from))
}

/// The item names another theme; with a decision where a person meant this very item.
fn point(
    house: &House,
    tx: &mut Tx<'_>,
    before: &Entity,
    theme: Option<EntityId>,
    (by, decision): (&str, Option<Decision>),
) -> Result<(), LedgerError> {
    let Some(feedback) = before.as_feedback() else { return Ok(()) };
    let mut feedback = feedback.clone();
    let said = |id: Option<EntityId>| id.map(|id| Value::from(id.to_string()));
    let (old, what) = (feedback.theme, if decision.is_some() { What::Decided } else { What::Parted });
    feedback.theme = theme;
    if let Some(decision) = decision {
        feedback.decided.insert("theme".into(), decision);
    }
    let after = Entity { id: before.id, body: Body::Feedback(Box::new(feedback)) };
    tx.put_entity(&after)?;
    let (at, by) = (house.now(), by.to_owned());
    let entry = Entry { at, by, what, field: Some("theme".into()), old: said(old), new: said(theme), note: None };
    tx.log(before.id, &entry)?;
    follow(house, tx, &after, Some(before), When::Now)
}

/// A person says which theme an item belongs to; `None`: to none. No model changes that.
///
/// # Errors
/// The ledger's.
pub fn move_item(house: &House, tx: &mut Tx<'_>, item: EntityId, theme: Option<EntityId>, by: &str) -> Said<()> {
    let Some(before) = tx.entity(item)? else { return Ok(Err(format!("there is no {item} any more"))) };
    if before.as_feedback().is_none() {
        return Ok(Err(format!("{} is no item", before.short_id())));
    }
    let theme = match theme {
        Some(theme) => {
            let lives = lives_in_tx(tx, theme)?;
            or_say!(theme_of(tx, lives));
            Some(lives)
        }
        None => None,
    };
    point(house, tx, &before, theme, (by, Some(Decision { by: by.into(), at: house.now() })))?;
    Ok(Ok(()))
}

/// A person gives a theme its name, for good.
///
/// # Errors
/// The ledger's.
pub fn rename(house: &House, tx: &mut Tx<'_>, id: EntityId, name: &str, by: &str) -> Said<()> {
    let name = name.trim();
    if name.is_empty() {
        return Ok(Err("a theme has a name".into()));
    }
    say(house, tx, id, ("name", name), by)
}

/// A person has looked, and the hypothesis holds.
///
/// # Errors
/// The ledger's.
pub fn verify(house: &House, tx: &mut Tx<'_>, id: EntityId, by: &str) -> Said<()> {
    let (before, theme) = or_say!(theme_of(tx, id));
    if theme.status.as_deref().is_some_and(|status| status != HYPOTHESIS) {
        let status = theme.status.unwrap_or_default();
        return Ok(Err(format!("{} is no hypothesis any more: it is {status}", called(&before))));
    }
    or_say!(say(house, tx, id, ("status", VALIDATED), by));
    let done = ProposalState::Done { by: by.into(), at: house.now() };
    judge(house, tx, &Proposed::VerifyTheme { theme: id }, Some(done), Hand::Person(by))?;
    tx.clear(THEMES, &condition(id))?;
    Ok(Ok(()))
}

/// How the name of a condition begins that tells of a theme to be verified.
pub const TO_VERIFY: &str = "time to verify";

/// How `loopd status` calls that a theme is to be verified.
pub(super) fn condition(theme: EntityId) -> String {
    format!("{TO_VERIFY} {}", theme.short(EntityKind::Theme))
}

fn say(house: &House, tx: &mut Tx<'_>, id: EntityId, (path, value): (&str, &str), by: &str) -> Said<()> {
    let (before, mut theme) = or_say!(theme_of(tx, id));
    let place = if path == "name" { &mut theme.name } else { &mut theme.status };
    let old = place.replace(value.to_owned()).map(Value::from);
    theme.decided.insert(path.into(), Decision { by: by.into(), at: house.now() });
    store(house, tx, &before, theme)?;
    let (at, by) = (house.now(), by.to_owned());
    let what = What::Decided;
    tx.log(id, &Entry { at, by, what, field: Some(path.into()), old, new: Some(value.into()), note: None })?;
    Ok(Ok(()))
}

/// Takes back what was last done to a theme (merged, split off), or to an item (a duplicate, moved). Returns what was done.
///
/// # Errors
/// The ledger's.
pub fn undo(house: &House, tx: &mut Tx<'_>, id: EntityId, by: &str) -> Said<String> {
    let Some(entity) = tx.entity(id)? else { return Ok(Err(format!("there is no {id} any more"))) };
    match &entity.body {
        Body::Theme(theme) => {
            if theme.merged_into.is_some() {
                or_say!(unmerge_theme(house, tx, id, by));
                return Ok(Ok(format!("{} is a theme of its own again", called(&entity))));
            }
            if theme.split_from.is_some() {
                let from = or_say!(unsplit(house, tx, id, by));
                let from = tx.entity(from)?.map(|from| called(&from)).unwrap_or_default();
                return Ok(Ok(format!("{} is {from} again", called(&entity))));
            }
            Ok(Err(format!("{} was neither merged into another nor split off one", called(&entity))))
        }
        Body::Feedback(feedback) if feedback.duplicate_of.is_some() => {
            or_say!(unmerge_item(house, tx, id, by));
            Ok(Ok(format!("{} stands for itself again", entity.short_id())))
        }
        Body::Feedback(_) => {
            let history = house.ledger.history(id)?;
            let moved = history.iter().rev().find(|entry| {
                entry.field.as_deref() == Some("theme") && matches!(entry.what, What::Decided | What::Edited)
            });
            let Some(moved) = moved else {
                return Ok(Err(format!("{} is no duplicate, and nobody moved it", entity.short_id())));
            };
            let old = moved.old.as_ref().and_then(Value::as_str).and_then(|old| old.parse().ok());
            or_say!(move_item(house, tx, id, old, by));
            Ok(Ok(format!("{} is where it was", entity.short_id())))
        }
        Body::Customer(_) => Ok(Err("`loopd customers split --undo-merge` parts customers".into())),
    }
}

/// A person's answer to a proposal, by its number: it is done, or never proposed again. Returns what was done.
///
/// # Errors
/// The ledger's.
pub fn decide(house: &House, tx: &mut Tx<'_>, number: u64, yes: bool, by: &str) -> Said<String> {
    let Some(proposal) = tx.proposal(number)? else { return Ok(Err(format!("nothing is proposed as {number}"))) };
    if proposal.state != ProposalState::Open {
        return Ok(Err("that was answered already".into()));
    }
    if !yes {
        set_state(tx, number, &ProposalState::Refused { by: by.into(), at: house.now() })?;
        let (id, note) = match &proposal.what {
            Proposed::Duplicate { item, of } => (*item, format!("no duplicate of {}", of.short(EntityKind::Feedback))),
            Proposed::MergeThemes { theme, into } => {
                (*theme, format!("another than {}", into.short(EntityKind::Theme)))
            }
            Proposed::SplitTheme { theme, .. } => (*theme, "one theme, and not two".to_owned()),
            Proposed::VerifyTheme { theme } => {
                tx.clear(THEMES, &condition(*theme))?;
                (*theme, "not to be verified yet".to_owned())
            }
        };
        tx.log(id, &line(house, by, What::Decided, note.clone()))?;
        return Ok(Ok(note));
    }
    Ok(match &proposal.what {
        Proposed::Duplicate { item, of } => merge_items(house, tx, *item, *of, by)?.map(|()| "merged".to_owned()),
        Proposed::MergeThemes { theme, into } => {
            merge_themes(house, tx, *theme, *into, by)?.map(|()| "merged".to_owned())
        }
        Proposed::SplitTheme { theme, items } => split_theme(house, tx, *theme, items, None, by)?
            .map(|id| format!("split off {}", id.short(EntityKind::Theme))),
        Proposed::VerifyTheme { theme } => verify(house, tx, *theme, by)?.map(|()| "validated".to_owned()),
    })
}

/// What is proposed and may still be done, oldest first.
///
/// # Errors
/// The ledger's.
pub fn open_proposals(ledger: &Ledger) -> Result<Vec<(u64, Proposal)>, LedgerError> {
    let mut open = Vec::new();
    for (number, proposal) in ledger.proposals()? {
        if proposal.state != ProposalState::Open {
            continue;
        }
        let is_moot = match &proposal.what {
            Proposed::Duplicate { item, of } => {
                let item = ledger.entity(*item)?;
                let gone = |id: &EntityId| -> Result<bool, LedgerError> {
                    Ok(ledger.entity(*id)?.as_ref().and_then(Entity::as_feedback).is_none_or(|item| item.withdrawn))
                };
                let item = item.as_ref().and_then(Entity::as_feedback);
                item.is_none_or(|item| item.withdrawn || item.duplicate_of.is_some()) || gone(of)?
            }
            Proposed::MergeThemes { theme, into } => lives_in(ledger, *theme)? == lives_in(ledger, *into)?,
            Proposed::SplitTheme { theme, items } => {
                let mut all = lives_in(ledger, *theme)? != *theme;
                for item in items {
                    let item = ledger.entity(*item)?;
                    let named = item.as_ref().and_then(Entity::as_feedback).and_then(|item| item.theme);
                    all |= match named {
                        Some(named) => lives_in(ledger, named)? != *theme,
                        None => true,
                    };
                }
                all
            }
            Proposed::VerifyTheme { theme } => {
                let theme = ledger.entity(*theme)?;
                let status = theme.as_ref().and_then(Entity::as_theme).and_then(|theme| theme.status.clone());
                status.is_some_and(|status| status != HYPOTHESIS)
            }
        };
        if !is_moot {
            open.push((number, proposal));
        }
    }
    open.sort_by_key(|(number, proposal)| (proposal.at, *number));
    Ok(open)
}

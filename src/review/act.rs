//! What a person says in `loopd review`: accept, correct, merge, refuse, undo.

use serde_json::Value;

use super::open::{meant, open, short, task_of, worded};
use super::queue::sides;
use super::record::{fill, heard};
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{Entry, LedgerError, Proposal, ProposalState, Proposed, Tx, What, When};
use crate::report::{Found, find};
use crate::schema::{Body, Decision, Entity, EntityId, Feedback, Task, Verdict};
use crate::triage::merge::{merge_items, unmerge_item};
use crate::triage::{risk, themes};

/// What was done, in words, or why it could not be.
pub type Done = Result<Result<String, String>, LedgerError>;

/// Accepts suggestions of an item: those of these fields, or all that are open.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn accept(house: &House, id: EntityId, fields: &[String], by: &str) -> Done {
    let mut paths = Vec::new();
    for field in fields {
        match meant(field) {
            Some(path) => paths.push(path),
            None => return Ok(Err(unknown(field))),
        }
    }
    house.ledger.transact(|tx| {
        let Some((before, mut item)) = feedback(tx, id)? else { return Ok(Err(GONE.into())) };
        let all = open(&item, house.config.enrich.threshold).into_iter();
        let chosen: Vec<(String, Value, bool)> = all
            .filter(|open| paths.is_empty() || paths.contains(&open.path))
            .map(|open| (open.path.to_owned(), open.verdict.value.clone(), open.stands))
            .collect();
        if let Some(none) = paths.iter().find(|path| !chosen.iter().any(|(open, ..)| open == *path)) {
            return Ok(Err(format!("no suggestion of {} is open", short(none))));
        }
        if chosen.is_empty() {
            return Ok(Err("nothing that a model suggested is open".into()));
        }
        let word = Decision { by: by.to_owned(), at: house.now() };
        let mut accepted = Vec::new();
        for (path, value, stands) in chosen {
            if stands || fill(&mut item, &path, &value) {
                accepted.push(format!("{} {}", short(&path), worded(&house.ledger, &value)?));
                item.decided.insert(path, word.clone());
            }
        }
        if paths.is_empty() {
            item.reviewed = true;
            item.decided.insert("reviewed".into(), word);
        }
        store(house, tx, &before, item)?;
        Ok(Ok(format!("accepted {}", accepted.join(", "))))
    })
}

/// Gives a field of an item another value than was suggested, or one where none was. Empty: none of it.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn correct(house: &House, id: EntityId, field: &str, value: &str, by: &str) -> Done {
    if meant(field) == Some(risk::PATH) && matches!(value.trim(), "" | "-" | "0") {
        let is_there = risk::refuse(house, id, None, by)?;
        return Ok(if is_there { Ok("risk is none".to_owned()) } else { Err(GONE.into()) });
    }
    let Some(path) = meant(field).filter(|path| matches!(task_of(path), Some(Task::Classify | Task::Theme))) else {
        return Ok(Err(unknown(field)));
    };
    let value = match said(house, path, value)? {
        Ok(value) => value,
        Err(why) => return Ok(Err(why)),
    };
    house.ledger.transact(|tx| {
        let Some((before, mut item)) = feedback(tx, id)? else { return Ok(Err(GONE.into())) };
        let place: crate::schema::Path = match path.parse() {
            Ok(place) => place,
            Err(_) => return Ok(Err(unknown(field))),
        };
        let old = place.get(&before.to_value()).clone();
        let done = match path {
            "theme" => {
                item.theme = value.as_str().and_then(|id| id.parse().ok());
                true
            }
            path => fill(&mut item, path, &value),
        };
        if !done {
            return Ok(Err(format!("the value does not fit {}", short(path))));
        }
        item.decided.insert(path.to_owned(), Decision { by: by.to_owned(), at: house.now() });
        tx.log(id, &line(house, by, path, &old, &value))?;
        store(house, tx, &before, item)?;
        let shown = worded(&house.ledger, &value)?;
        Ok(Ok(format!("{} is {shown}", short(path))))
    })
}

/// The value that a person means: a word of the field's vocabulary whatever its case, else as it was typed.
fn said(house: &House, path: &str, value: &str) -> Result<Result<Value, String>, LedgerError> {
    let value = value.trim();
    if value.is_empty() || value == "-" {
        return Ok(Ok(Value::Null));
    }
    if path == "theme" {
        return theme(house, value);
    }
    let known = house.config.vocabularies.get(short(path)).into_iter().flatten();
    let wanted = value.to_lowercase().replace([' ', '-'], "_");
    let matches = |term: &str| term.to_lowercase().replace([' ', '-'], "_") == wanted;
    let known: Vec<&str> =
        known.map(|term| term.value.as_str()).chain(LEVELS.into_iter().filter(|_| path == "tags.severity")).collect();
    // Where no words are configured, any will do.
    Ok(match known.iter().find(|term| matches(term)) {
        Some(word) => Ok(Value::from(*word)),
        None if known.is_empty() => Ok(Value::from(value)),
        None => Err(format!("{value} is no {}: there are {}", short(path), known.join(", "))),
    })
}

const LEVELS: [&str; 4] = ["critical", "high", "medium", "low"];

/// What may be chosen for a field; empty: anything.
pub fn choices(house: &House, field: &str) -> Vec<String> {
    let Some(path) = meant(field) else { return Vec::new() };
    let known = house.config.vocabularies.get(short(path)).into_iter().flatten();
    let mut words: Vec<String> = known.map(|term| term.value.clone()).collect();
    if path == "tags.severity" && words.is_empty() {
        words = LEVELS.map(str::to_owned).to_vec();
    }
    words
}

fn theme(house: &House, text: &str) -> Result<Result<Value, String>, LedgerError> {
    if let Found::One(id) = find(house, text)?
        && house.ledger.entity(id)?.is_some_and(|entity| entity.as_theme().is_some())
    {
        return Ok(Ok(Value::from(id.to_string())));
    }
    let mut named = Vec::new();
    house.ledger.each_entity(|entity| {
        let name = entity.as_theme().and_then(|theme| theme.name.as_deref()).unwrap_or_default();
        if name.eq_ignore_ascii_case(text) {
            named.push(entity.id);
        }
        Ok(())
    })?;
    Ok(match named.as_slice() {
        [id] => Ok(Value::from(id.to_string())),
        [] => Err(format!("no theme is called {text}: give its name, or its id (TH-…)")),
        _ => Err(format!("several themes are called {text}: give the id (TH-…)")),
    })
}

/// Does what a proposal proposes.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn merge(house: &House, number: u64, by: &str) -> Done {
    answered(house, number, by, |state| *state == ProposalState::Open, "is done or refused already", Answer::Do)
}

/// Says no to a proposal: it is never made again.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn refuse(house: &House, number: u64, by: &str) -> Done {
    answered(house, number, by, |state| *state == ProposalState::Open, "is done or refused already", Answer::Refuse)
}

/// Takes back what was done upon a proposal: it is never made again.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn undo(house: &House, number: u64, by: &str) -> Done {
    let done = |state: &ProposalState| matches!(state, ProposalState::Done { .. });
    answered(house, number, by, done, "was not done", Answer::Undo)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Do,
    Refuse,
    Undo,
}

fn answered(
    house: &House,
    number: u64,
    by: &str,
    may: impl Fn(&ProposalState) -> bool,
    else_: &str,
    answer: Answer,
) -> Done {
    house.ledger.transact(|tx| {
        let Some(mut proposal) = tx.proposal(number)? else {
            return Ok(Err("there is no such proposal; `loopd review list --kind proposal` lists them".into()));
        };
        if !may(&proposal.state) {
            return Ok(Err(format!("proposal {number} {else_}")));
        }
        let done = match answer {
            Answer::Do => apply(house, tx, &proposal.what, by)?,
            Answer::Undo => unapply(house, tx, &proposal.what, by)?,
            Answer::Refuse => Ok(()),
        };
        if let Err(why) = done {
            return Ok(Err(why));
        }
        let at = house.now();
        let (by, agreed) = (by.to_owned(), answer == Answer::Do);
        // Merging and parting hear it themselves: it may be said elsewhere as well.
        let heard = !matches!(proposal.what, Proposed::VerifyTheme { .. }) && answer != Answer::Refuse;
        let state = match answer {
            Answer::Do => ProposalState::Done { by: by.clone(), at },
            Answer::Refuse => ProposalState::Refused { by: by.clone(), at },
            Answer::Undo => ProposalState::Undone { by: by.clone(), at },
        };
        if !heard {
            judged(house, tx, &proposal, agreed, &Decision { by, at })?;
        }
        let word = match answer {
            Answer::Do => "is done",
            Answer::Refuse => "is refused, and will not be proposed again",
            Answer::Undo => "is undone, and will not be proposed again",
        };
        proposal.state = state;
        tx.put_proposal(&proposal)?;
        Ok(Ok(word.to_owned()))
    })
}

/// A word on a proposal is a review of the task that made it.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn judged(
    house: &House,
    tx: &mut Tx<'_>,
    proposal: &Proposal,
    agreed: bool,
    word: &Decision,
) -> Result<(), LedgerError> {
    let (_, whose, other, _) = sides(&proposal.what);
    let path = if matches!(proposal.what, Proposed::Duplicate { .. }) { "duplicate_of" } else { "theme" };
    let said = Value::from(other.unwrap_or(whose).to_string());
    let stands = if agreed { said.clone() } else { Value::Null };
    let cell = match tx.entity(whose)?.as_ref().and_then(Entity::as_feedback) {
        Some(item) => (super::queue::category(item), super::open::segment_in(tx, item)?),
        None => (String::new(), String::new()),
    };
    let verdict = Verdict {
        value: said,
        model: proposal.model.clone(),
        prompt: Some(proposal.prompt.clone()).filter(|prompt| !prompt.is_empty()),
        confidence: proposal.confidence,
        claimed: None,
        at: proposal.at,
        because: None,
    };
    heard(house, tx, whose, path, &verdict, &stands, word, cell)
}

/// The seam to those who merge and split.
fn apply(house: &House, tx: &mut Tx<'_>, what: &Proposed, by: &str) -> Result<Result<(), String>, LedgerError> {
    match what {
        Proposed::VerifyTheme { theme } => themes::verify(house, tx, *theme, by),
        Proposed::Duplicate { item, of } => merge_items(house, tx, *item, *of, by),
        Proposed::MergeThemes { theme, into } => themes::merge_themes(house, tx, *theme, *into, by),
        Proposed::SplitTheme { theme, items } => {
            Ok(themes::split_theme(house, tx, *theme, items, None, by)?.map(|_| ()))
        }
    }
}

fn unapply(house: &House, tx: &mut Tx<'_>, what: &Proposed, by: &str) -> Result<Result<(), String>, LedgerError> {
    match what {
        Proposed::VerifyTheme { theme } => status_of(house, tx, *theme, "hypothesis", by),
        Proposed::Duplicate { item, .. } => unmerge_item(house, tx, *item, by),
        Proposed::MergeThemes { theme, .. } => Ok(themes::unmerge_theme(house, tx, *theme, by)?.map(|_| ())),
        Proposed::SplitTheme { .. } => {
            Ok(Err("`loopd themes undo TH-…`, with the theme that was split off, takes it back".into()))
        }
    }
}

fn status_of(
    house: &House,
    tx: &mut Tx<'_>,
    id: EntityId,
    status: &str,
    by: &str,
) -> Result<Result<(), String>, LedgerError> {
    let Some(before) = tx.entity(id)? else { return Ok(Err(GONE.into())) };
    let mut after = before.clone();
    let Body::Theme(theme) = &mut after.body else { return Ok(Err("this is no theme".into())) };
    let old = theme.status.replace(status.to_owned());
    theme.decided.insert("status".into(), Decision { by: by.to_owned(), at: house.now() });
    tx.put_entity(&after)?;
    tx.log(id, &line(house, by, "status", &Value::from(old), &Value::from(status)))?;
    follow(house, tx, &after, Some(&before), When::Now)?;
    Ok(Ok(()))
}

/// Takes back every word of this person on an item's suggestions, and leaves what stands.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn reopen(house: &House, id: EntityId, by: &str) -> Done {
    house.ledger.transact(|tx| {
        let Some((before, mut item)) = feedback(tx, id)? else { return Ok(Err(GONE.into())) };
        let theirs: Vec<String> = item
            .decided
            .iter()
            .filter(|(path, word)| word.by == by && (task_of(path).is_some() || path.as_str() == "reviewed"))
            .map(|(path, _)| path.clone())
            .collect();
        if theirs.is_empty() {
            return Ok(Err("nothing was said of it from here".into()));
        }
        for path in &theirs {
            item.decided.remove(path);
            if path == "reviewed" {
                item.reviewed = false;
            }
            // A value that was typed instead goes back to what the model said, if that would stand as a draft.
            if let Some(verdict) = item.enrichment.get(path).cloned() {
                let draft = house.config.review.drafts && verdict.confidence >= house.config.enrich.threshold;
                fill(&mut item, path, if draft { &verdict.value } else { &Value::Null });
            }
        }
        store(house, tx, &before, item)?;
        Ok(Ok("is open again".to_owned()))
    })
}

const GONE: &str = "its item does not exist any more";

fn feedback(tx: &mut Tx<'_>, id: EntityId) -> Result<Option<(Entity, Box<Feedback>)>, LedgerError> {
    let Some(before) = tx.entity(id)? else { return Ok(None) };
    let item = before.as_feedback().cloned().map(Box::new);
    Ok(item.map(|item| (before, item)))
}

fn store(house: &House, tx: &mut Tx<'_>, before: &Entity, item: Box<Feedback>) -> Result<(), LedgerError> {
    let after = Entity { id: before.id, body: Body::Feedback(item) };
    tx.put_entity(&after)?;
    follow(house, tx, &after, Some(before), When::Now)
}

fn line(house: &House, by: &str, path: &str, old: &Value, new: &Value) -> Entry {
    let some = |value: &Value| Some(value.clone()).filter(|value| !value.is_null());
    Entry {
        at: house.now(),
        by: by.to_owned(),
        what: What::Decided,
        field: Some(path.to_owned()),
        old: some(old),
        new: some(new),
        note: None,
    }
}

fn unknown(field: &str) -> String {
    let known: Vec<&str> = super::WRITABLE
        .iter()
        .filter(|path| matches!(task_of(path), Some(Task::Classify | Task::Theme)))
        .map(|path| short(path))
        .collect();
    if meant(field) == Some(risk::PATH) {
        return "a risk is corrected to \"-\": its signs are none; what it weighs follows from them".to_owned();
    }
    format!("models suggest no {field}; they suggest {}, risk", known.join(", "))
}

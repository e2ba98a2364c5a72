//! Extract: a call, or a long thread, becomes several items: what was asked for, what failed, what was praised, who else was named.
//! Each is a span of one turn, byte for byte, with its speaker and its moment.
//!
//! Laws: an item has its id from its conversation and its place among the items, and is found again by where it stands, by its
//! words, or by what it says; so a note that is edited later updates its items and never doubles them. What a person decided of an
//! item stays. The conversation stays an item of its own that is not counted among themes.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Outcome, names};
use crate::enrich::sentences::sentences;
use crate::enrich::{Text, embed};
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{ENRICH, Entry, LedgerError, Tx, What, When};
use crate::model::{self, Advance, Asked, Question, quote};
use crate::review::calibration;
use crate::schema::{Author, Body, Entity, EntityId, EntityKind, Feedback, Origin, Quote, Task, Turn, Verdict};

/// Something that was said, found in a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub category: Option<String>,
    pub title: Option<String>,
    pub quote: Quote,
    pub confidence: f64,
}

/// Offline: a sentence counts that the small model is this sure of.
const SURE: f64 = 0.62;
/// Sentences with fewer words carry too little.
const WORDS: usize = 5;
/// Items of one conversation.
const MOST: usize = 40;
/// The same thing in other words, after an edit.
const ALIKE: f32 = 0.72;
/// The longest conversation, in bytes, that is put to a model at once; of a longer one, each part.
const PART: usize = 60_000;

/// Is this a conversation from which items are to be taken?
pub fn is_conversation(house: &House, feedback: &Feedback) -> bool {
    let config = &house.config.triage;
    let source = feedback.source.as_deref().unwrap_or_default();
    let length: usize = feedback.thread.iter().map(|turn| turn.text.len()).sum();
    feedback.part_of.is_none()
        && config.extract_sources.iter().any(|wanted| wanted == source)
        && length.max(feedback.verbatim.as_ref().map_or(0, String::len)) >= config.extract_from
}

/// # Errors
/// The ledger's.
pub async fn step(house: &House, id: EntityId, feedback: &Feedback) -> Result<Outcome, LedgerError> {
    let config = house.config.task(Task::Extract);
    if config.mode == crate::config::Mode::Off || !is_conversation(house, feedback) {
        return Ok(Outcome::Done);
    }
    let (said, asked_for) = (conversation_digest(feedback), asked_for(house, feedback)?);
    if house.ledger.triaged(id)?.done.get(Task::Extract.name()) == Some(&asked_for) {
        return Ok(Outcome::Done);
    }
    let turns = turns(feedback);
    let (found, by, prompt) = match with_model(house, id, feedback, &turns).await? {
        Extraction::Found(found, model, prompt) => (found, model, Some(prompt)),
        Extraction::Later(until) => return Ok(Outcome::Later(until)),
        Extraction::Alone => (offline(house, &turns), house.classifier.name().to_owned(), None),
    };
    house.ledger.transact(|tx| {
        let Some(parent) = tx.entity(id)? else { return Ok(()) };
        let Some(now) = parent.as_feedback() else { return Ok(()) };
        if conversation_digest(now) != said {
            return Ok(());
        }
        place(house, tx, id, now, &found, &by, prompt.as_deref())?;
        super::mark(tx, id, Task::Extract, asked_for)
    })?;
    Ok(Outcome::Done)
}

/// Of a conversation that is withdrawn, so is what was extracted from it.
///
/// # Errors
/// The ledger's.
pub fn withdraw(house: &House, id: EntityId) -> Result<(), LedgerError> {
    house.ledger.transact(|tx| {
        let Some(parent) = tx.entity(id)? else { return Ok(()) };
        let Some(feedback) = parent.as_feedback().filter(|feedback| feedback.withdrawn) else { return Ok(()) };
        let mut triaged = tx.triaged(id)?;
        // Should it come back, its items come back with it.
        if triaged.done.remove(Task::Extract.name()).is_some() {
            tx.put_triaged(id, &triaged)?;
            place(house, tx, id, feedback, &[], "triage", None)?;
        }
        Ok(())
    })
}

/// Changes when the words do, who is asked, or whose they are: the items go with it.
fn asked_for(house: &House, feedback: &Feedback) -> Result<u64, LedgerError> {
    let config = house.config.task(Task::Extract);
    crate::ledger::digest(&(conversation_digest(feedback), &config.prompt, &config.models, feedback.customer))
}

fn conversation_digest(feedback: &Feedback) -> u64 {
    super::digest(feedback)
}

/// What was said, turn by turn; a conversation without turns is one.
fn turns(feedback: &Feedback) -> Vec<Turn> {
    if !feedback.thread.is_empty() {
        return feedback.thread.clone();
    }
    let text = feedback.verbatim.clone().unwrap_or_default();
    vec![Turn { id: String::new(), author: feedback.author.name.clone(), customer: true, text, ..Turn::default() }]
}

/// Where nobody is told apart, everybody may be the customer.
fn speaks(turn: &Turn, turns: &[Turn]) -> bool {
    turn.customer || !turns.iter().any(|turn| turn.customer)
}

enum Extraction {
    Found(Vec<Found>, String, String),
    Later(DateTime<Utc>),
    Alone,
}

async fn with_model(
    house: &House,
    id: EntityId,
    feedback: &Feedback,
    turns: &[Turn],
) -> Result<Extraction, LedgerError> {
    let mut all = Vec::new();
    let mut who: Option<(String, String)> = None;
    for part in parts(turns) {
        let check = |value: &Value| read(value, part).map(|_| ());
        match model::ask(house, &question(house, id, feedback, (part, turns), &check)?).await? {
            Asked::Alone => return Ok(Extraction::Alone),
            Asked::Later(until) => return Ok(Extraction::Later(until)),
            Asked::Answered(answered) => {
                all.extend(read(&answered.value, part).unwrap_or_default());
                who = Some((answered.model, answered.prompt));
            }
            Asked::Unanswered(why) => {
                super::unanswered(id, Task::Extract, &why);
                return Ok(Extraction::Alone);
            }
        }
    }
    Ok(who.map_or(Extraction::Alone, |(model, prompt)| Extraction::Found(all, model, prompt)))
}

/// What is asked of a piece of a conversation.
fn question<'a>(
    house: &House,
    id: EntityId,
    feedback: &Feedback,
    (part, turns): (&[Turn], &[Turn]),
    check: &'a (dyn Fn(&Value) -> Result<(), String> + Send + Sync),
) -> Result<Question<'a>, LedgerError> {
    let said = |turn: &Turn| {
        let who = if speaks(turn, turns) { "customer" } else { "us" };
        format!("[{}] {who}: {}", turn.id, turn.text)
    };
    let conversation: Vec<String> = part.iter().map(said).collect();
    Ok(Question {
        task: Task::Extract,
        subject: Some(id),
        region: super::region(house, feedback)?,
        data: vec![("conversation", conversation.join("\n"))],
        context: json!({ "vocabularies": {} }),
        examples: Vec::new(),
        names: names(house, feedback)?,
        check,
    })
}

/// The questions about a conversation, for a batch: those that are not answered.
pub(super) fn in_advance(house: &House, id: EntityId, feedback: &Feedback) -> Result<Vec<Advance>, LedgerError> {
    let is_done = house.ledger.triaged(id)?.done.get(Task::Extract.name()) == Some(&asked_for(house, feedback)?);
    if is_done || !is_conversation(house, feedback) {
        return Ok(Vec::new());
    }
    let turns = turns(feedback);
    let mut asked = Vec::new();
    for part in parts(&turns) {
        asked.extend(model::in_advance(house, &question(house, id, feedback, (part, &turns), &|_| Ok(()))?)?);
    }
    Ok(asked)
}

/// Pieces of a conversation, whole turns each.
fn parts(turns: &[Turn]) -> Vec<&[Turn]> {
    let mut parts = Vec::new();
    let (mut begin, mut size) = (0, 0);
    for (at, turn) in turns.iter().enumerate() {
        if size + turn.text.len() > PART && at > begin {
            parts.push(&turns[begin..at]);
            (begin, size) = (at, 0);
        }
        size += turn.text.len();
    }
    if begin < turns.len() {
        parts.push(&turns[begin..]);
    }
    parts
}

/// A model's answer, if each quote is a span of its turn and the customer's.
fn read(value: &Value, turns: &[Turn]) -> Result<Vec<Found>, String> {
    let mut found: Vec<Found> = Vec::new();
    for (number, item) in value["items"].as_array().into_iter().flatten().enumerate() {
        let (id, said) = (item["turn"].as_str().unwrap_or_default(), item["quote"].as_str().unwrap_or_default());
        let id = id.trim().trim_start_matches('[').trim_end_matches(']');
        let place = format!("items[{number}]");
        let Some(turn) = turns.iter().find(|turn| turn.id == id) else {
            return Err(format!("{place}.turn: there is no turn of this id"));
        };
        if !speaks(turn, turns) {
            return Err(format!("{place}: that turn is ours, not the customer's"));
        }
        let Some(at) = quote::find(&turn.text, said) else {
            return Err(format!("{place}.quote is not in its turn: copy it exactly"));
        };
        let category = match item["kind"].as_str().unwrap_or_default() {
            "request" => "feature_request",
            "problem" => "bug",
            "objection" => "pain_point",
            "praise" => "praise",
            "competitor" | "leaving" => "churn_signal",
            _ => "question",
        };
        if found.iter().any(|other| other.quote.turn.as_deref() == Some(id) && overlap(&other.quote, at.start, at.end))
        {
            continue;
        }
        found.push(Found {
            category: Some(category.to_owned()),
            title: item["title"].as_str().map(str::trim).filter(|title| !title.is_empty()).map(str::to_owned),
            quote: span(turn, at.start, at.end),
            confidence: item["confidence"].as_f64().unwrap_or(0.5).clamp(0.0, 0.98),
        });
    }
    found.truncate(MOST);
    Ok(found)
}

fn span(turn: &Turn, start: usize, end: usize) -> Quote {
    Quote {
        text: turn.text[start..end].to_owned(),
        turn: (!turn.id.is_empty()).then(|| turn.id.clone()),
        speaker: turn.author.clone(),
        start,
        end,
        at: turn.at,
        url: turn.url.clone(),
    }
}

fn overlap(quote: &Quote, start: usize, end: usize) -> bool {
    quote.start < end && start < quote.end
}

/// By the small model: sentences that it is sure of, and what follows them in the same vein.
fn offline(house: &House, turns: &[Turn]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for turn in turns.iter().filter(|turn| speaks(turn, turns)) {
        let mut open: Option<Found> = None;
        for at in sentences(&turn.text) {
            let text = &turn.text[at.clone()];
            let judged = (text.split_whitespace().count() >= WORDS)
                .then(|| house.classifier.classify(&Text { body: text.to_owned(), ..Text::default() }))
                .into_iter()
                .flatten()
                .find(|suggestion| suggestion.path == "tags.category");
            let telling = judged
                .filter(|judged| judged.confidence >= SURE && !matches!(judged.value.as_str(), "general" | "question"));
            match (telling, &mut open) {
                (Some(judged), Some(before)) if before.category.as_deref() == Some(&judged.value) => {
                    before.quote = span(turn, before.quote.start, at.end);
                    before.confidence = before.confidence.max(judged.confidence);
                }
                (Some(judged), _) => {
                    found.extend(open.take());
                    open = Some(Found {
                        category: Some(judged.value),
                        title: None,
                        quote: span(turn, at.start, at.end),
                        confidence: judged.confidence,
                    });
                }
                (None, _) => found.extend(open.take()),
            }
        }
        found.extend(open.take());
    }
    found.truncate(MOST);
    found
}

/// Brings the items of a conversation in step with what was found in it.
fn place(
    house: &House,
    tx: &mut Tx<'_>,
    id: EntityId,
    parent: &Feedback,
    found: &[Found],
    by: &str,
    prompt: Option<&str>,
) -> Result<(), LedgerError> {
    let mut known: Vec<(EntityId, Feedback)> = Vec::new();
    for number in 0.. {
        let Some(entity) = tx.entity(child_id(id, number))? else { break };
        if let Some(feedback) = entity.as_feedback() {
            known.push((entity.id, feedback.clone()));
        }
    }
    let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
    let mut fresh = 0;
    for (found, before) in matched(found, &mut known) {
        let child = before.as_ref().map_or_else(|| child_id(id, next + fresh), |(id, _)| *id);
        fresh += u32::from(before.is_none());
        put(house, tx, child, id, parent, found, before.map(|(_, feedback)| feedback), by, prompt)?;
    }
    // Nobody says it any more.
    for (child, feedback) in known.into_iter().filter(|(_, feedback)| !feedback.withdrawn) {
        let before = Entity { id: child, body: Body::Feedback(Box::new(feedback.clone())) };
        let after = Entity { id: child, body: Body::Feedback(Box::new(Feedback { withdrawn: true, ..feedback })) };
        tx.put_entity(&after)?;
        note(house, tx, child, What::Drawn, "it is not in its conversation any more")?;
        follow(house, tx, &after, Some(&before), When::Now)?;
    }
    Ok(())
}

pub fn child_id(parent: EntityId, number: u32) -> EntityId {
    parent.branch("part", number)
}

/// Each found thing with the item that it was before: by the same words, then by where it stands, then by what it says.
fn matched<'a>(
    found: &'a [Found],
    known: &mut Vec<(EntityId, Feedback)>,
) -> Vec<(&'a Found, Option<(EntityId, Feedback)>)> {
    let mut pairs: Vec<(&Found, Option<(EntityId, Feedback)>)> = found.iter().map(|found| (found, None)).collect();
    for rule in [same_words, same_place, same_sense] {
        for (found, before) in pairs.iter_mut().filter(|(_, before)| before.is_none()) {
            let at =
                known.iter().position(|(_, feedback)| feedback.quote.as_ref().is_some_and(|quote| rule(found, quote)));
            *before = at.map(|at| known.remove(at));
        }
    }
    pairs
}

fn same_words(found: &Found, quote: &Quote) -> bool {
    found.quote.text == quote.text
}

fn same_place(found: &Found, quote: &Quote) -> bool {
    found.quote.turn == quote.turn && overlap(quote, found.quote.start, found.quote.end)
}

fn same_sense(found: &Found, quote: &Quote) -> bool {
    let vector = |text: &str| embed::embed(&Text { body: text.to_owned(), ..Text::default() });
    embed::cosine(&vector(&found.quote.text), &vector(&quote.text)) >= ALIKE
}

#[expect(clippy::too_many_arguments, reason = "what an item is made of; a struct would only name them again")]
fn put(
    house: &House,
    tx: &mut Tx<'_>,
    id: EntityId,
    parent_id: EntityId,
    parent: &Feedback,
    found: &Found,
    before: Option<Feedback>,
    by: &str,
    prompt: Option<&str>,
) -> Result<(), LedgerError> {
    let was = before.clone();
    let mut child = before.unwrap_or_default();
    let origin = parent.origin.clone().unwrap_or_default();
    let url = found.quote.url.clone().or_else(|| origin.url.clone());
    let own = |path: &str, child: &Feedback| !child.decided.contains_key(path);
    child.source.clone_from(&parent.source);
    child.origin = Some(Origin { id: format!("{}#{}", origin.id, id), url: url.clone(), ..origin });
    child.received_at = found.quote.at.or(parent.received_at);
    child.part_of = Some(parent_id);
    child.verbatim = Some(found.quote.text.clone());
    child.language.clone_from(&parent.language);
    child.hints.clone_from(&parent.hints);
    child.author =
        Author { name: found.quote.speaker.clone().or_else(|| parent.author.name.clone()), ..parent.author.clone() };
    if child.author.name != parent.author.name {
        // The address is the one of whom the conversation is filed under.
        child.author.email = None;
        child.author.handle = None;
    }
    if own("customer", &child) {
        child.customer = parent.customer;
    }
    if own("title", &child) {
        child.title = found.title.clone().or_else(|| Some(line(&found.quote.text)));
    }
    child.withdrawn = parent.withdrawn;
    child.quote = Some(Quote { url, ..found.quote.clone() });
    if let Some(category) = &found.category {
        let known = house
            .config
            .vocabularies
            .get("category")
            .is_none_or(|terms| terms.iter().any(|term| term.value == *category));
        let category = if known { category.as_str() } else { "general" };
        let (confidence, claimed) = calibration::right(tx, "tags.category", prompt, found.confidence)?;
        let earlier = child.enrichment.get("tags.category").map(|verdict| verdict.value.clone());
        let current = child.tags.category.as_deref().map(Value::from);
        let ours = current.is_none() || current == earlier;
        if own("tags.category", &child)
            && ours
            && confidence >= house.config.enrich.threshold
            && house.config.review.drafts
        {
            child.tags.category = Some(category.to_owned());
        }
        let verdict = Verdict {
            value: category.into(),
            model: by.to_owned(),
            prompt: prompt.map(str::to_owned),
            confidence,
            claimed,
            at: house.now(),
            because: Some(format!("\u{201c}{}\u{201d}", line(&found.quote.text))),
        };
        let same = child
            .enrichment
            .get("tags.category")
            .is_some_and(|kept| kept.value == verdict.value && kept.model == verdict.model);
        if !same {
            child.enrichment.insert("tags.category".into(), verdict);
        }
    }
    if was.as_ref() == Some(&child) {
        return Ok(());
    }
    let body = |feedback: Feedback| Entity { id, body: Body::Feedback(Box::new(feedback)) };
    let after = body(child);
    tx.put_entity(&after)?;
    if was.is_none() {
        note(
            house,
            tx,
            id,
            What::Created,
            &format!("extracted from {} by {by}", parent_id.short(EntityKind::Feedback)),
        )?;
    }
    follow(house, tx, &after, was.map(body).as_ref(), When::Now)?;
    // Its tags and its customer, as of any item.
    tx.queue(ENRICH, 0, id.as_bytes(), When::Now, house.now())
}

fn line(text: &str) -> String {
    const MOST: usize = 90;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MOST { line } else { line.chars().take(MOST - 1).chain(['\u{2026}']).collect() }
}

fn note(house: &House, tx: &mut Tx<'_>, id: EntityId, what: What, note: &str) -> Result<(), LedgerError> {
    let entry = Entry {
        at: house.now(),
        by: "triage".into(),
        what,
        field: None,
        old: None,
        new: None,
        note: Some(note.to_owned()),
    };
    tx.log(id, &entry)
}

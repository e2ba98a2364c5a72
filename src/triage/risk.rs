//! Weighs what is at risk: who speaks of leaving, names a rival, escalates, or comes up for renewal.
//!
//! Laws:
//! - A sign has its words, byte for byte, and where they stand. A sign without them is none.
//! - A model adds to what the rules see, and takes nothing away: no text can talk a sign out of the books. A person can.
//! - What is denied is no sign: "we do not plan to leave".
//! - The same text weighs the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Outcome, digest, names, region};
use crate::config::Mode;
use crate::enrich::Term;
use crate::enrich::signals::{SignalKind, signals};
use crate::follow::follow;
use crate::house::House;
use crate::ledger::{Entry, LedgerError, Tx, What, When};
use crate::model::{self, Advance, Answered, Asked, Question, ask, quote as spans};
use crate::review;
use crate::schema::{Body, Decision, Entity, EntityId, Feedback, Quote, Risk, RiskReason, Task, Verdict};

/// Where it stands in an item, and in its verdicts and decisions. A decision on `risk.churn` is about signs of that kind.
pub const PATH: &str = "risk";
/// Who weighed, where no model did.
pub const RULES: &str = "rules-1";
pub const KINDS: [&str; 4] = ["churn", "competitor", "escalation", "renewal"];
/// Signs that an item keeps, the heaviest first.
const MOST: usize = 8;

/// A text of an item in which signs are looked for: the verbatim, or what the customer's side said later.
struct Part<'a> {
    turn: Option<&'a str>,
    speaker: Option<&'a str>,
    at: Option<chrono::DateTime<chrono::Utc>>,
    url: Option<&'a str>,
    text: &'a str,
}

/// Weighs an item, unless that was done for these words.
///
/// # Errors
/// When the ledger cannot be read or written.
pub async fn step(house: &House, id: EntityId) -> Result<Outcome, LedgerError> {
    let task = house.config.task(Task::Risk);
    let Some(entity) = house.ledger.entity(id)? else { return Ok(Outcome::Done) };
    let Some(feedback) = entity.as_feedback() else { return Ok(Outcome::Done) };
    if feedback.withdrawn || task.mode == Mode::Off || feedback.decided.contains_key(PATH) {
        return Ok(Outcome::Done);
    }
    let state = state(house, feedback)?;
    if house.ledger.triaged(id)?.done.get(Task::Risk.name()) == Some(&state) {
        return Ok(Outcome::Done);
    }
    let parts = parts(feedback);
    let mut reasons = by_rule(house, &parts);
    let (outcome, answered) = match consult(house, id, feedback, &parts).await? {
        Asked::Answered(answered) => {
            reasons.extend(by_model(&parts, &answered.value));
            (Outcome::Done, Some(answered))
        }
        Asked::Alone => (Outcome::Done, None),
        Asked::Unanswered(why) => {
            super::unanswered(id, Task::Risk, &why);
            (Outcome::Done, None)
        }
        // What the rules see counts until the model has time.
        Asked::Later(at) => (Outcome::Later(at), None),
    };
    let found = weigh(reasons, answered.as_ref());
    house.ledger.transact(|tx| {
        let done = outcome == Outcome::Done;
        settle(house, tx, id, state, &found, answered.as_ref(), done)
    })?;
    Ok(outcome)
}

/// A person says that these signs of an item are none: they are gone, and never come back. `kind`: `None` for all of them.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn refuse(house: &House, id: EntityId, kind: Option<&str>, by: &str) -> Result<bool, LedgerError> {
    house.ledger.transact(|tx| {
        let Some(before) = tx.entity(id)? else { return Ok(false) };
        let Body::Feedback(feedback) = &before.body else { return Ok(false) };
        let mut feedback = feedback.clone();
        let path = kind.map_or(PATH.to_owned(), |kind| format!("{PATH}.{kind}"));
        feedback.decided.insert(path.clone(), Decision { by: by.to_owned(), at: house.now() });
        feedback.risk = feedback.risk.and_then(|risk| {
            let kept = risk.reasons.into_iter().filter(|reason| kind.is_some_and(|kind| reason.kind != kind)).collect();
            summed(kept, risk.model)
        });
        let after = Entity { id, body: Body::Feedback(feedback) };
        tx.put_entity(&after)?;
        tx.log(id, &line(house, by, What::Decided, &path, &before, &after, None))?;
        follow(house, tx, &after, Some(&before), When::Now)?;
        Ok(true)
    })
}

/// Changes when the words do, who answers, or which rivals are known.
fn state(house: &House, feedback: &Feedback) -> Result<u64, LedgerError> {
    let rivals: Vec<(&str, &[String])> =
        competitors(house).iter().map(|term| (term.value.as_str(), term.words.as_slice())).collect();
    let refused: Vec<&String> = feedback.decided.keys().filter(|path| path.starts_with(PATH)).collect();
    let who = house.models.everywhere.is_some().then(|| house.config.task(Task::Risk).prompt.clone());
    crate::ledger::digest(&(digest(feedback), RULES, rivals, refused, who))
}

fn competitors(house: &House) -> &[crate::config::Term] {
    house.config.vocabularies.get("competitor").map_or(&[], Vec::as_slice)
}

fn parts(feedback: &Feedback) -> Vec<Part<'_>> {
    let verbatim = feedback.verbatim.iter().map(|text| Part {
        turn: None,
        speaker: feedback.author.name.as_deref(),
        at: feedback.received_at,
        url: feedback.origin.as_ref().and_then(|origin| origin.url.as_deref()),
        text,
    });
    let turns = feedback.thread.iter().filter(|turn| turn.customer).map(|turn| Part {
        turn: Some(&turn.id),
        speaker: turn.author.as_deref(),
        at: turn.at,
        url: turn.url.as_deref(),
        text: &turn.text,
    });
    verbatim.chain(turns).filter(|part| !part.text.trim().is_empty()).collect()
}

fn quote(part: &Part<'_>, at: std::ops::Range<usize>) -> Option<Quote> {
    Some(Quote {
        text: part.text.get(at.clone())?.to_owned(),
        turn: part.turn.map(str::to_owned),
        speaker: part.speaker.map(str::to_owned),
        start: at.start,
        end: at.end,
        at: part.at,
        url: part.url.map(str::to_owned),
    })
}

fn by_rule(house: &House, parts: &[Part<'_>]) -> Vec<RiskReason> {
    let rivals: Vec<Term> =
        competitors(house).iter().map(|term| Term { value: term.value.clone(), words: term.words.clone() }).collect();
    let mut reasons = Vec::new();
    for part in parts {
        for signal in signals(part.text, &rivals) {
            let kind = match signal.kind {
                SignalKind::Churn => "churn",
                SignalKind::Competitor => "competitor",
                SignalKind::Escalation => "escalation",
                SignalKind::Renewal => "renewal",
            };
            let (Some(base), Some(quote)) = (base(kind), quote(part, signal.at)) else { continue };
            let weight = round(base * signal.weight.clamp(0.0, 1.0));
            reasons.push(RiskReason { kind: kind.into(), weight, quote, name: signal.name });
        }
    }
    reasons
}

/// What a plain sign of a kind weighs. `None`: it is no kind of sign.
fn base(kind: &str) -> Option<f64> {
    match kind {
        "churn" => Some(0.8),
        "escalation" => Some(0.5),
        "competitor" => Some(0.4),
        "renewal" => Some(0.3),
        _ => None,
    }
}

/// Whether a sign is plain enough to be told to people who see nothing else: half as sure as one can be.
pub fn is_plain(reason: &RiskReason) -> bool {
    base(&reason.kind).is_none_or(|base| reason.weight >= base / 2.0)
}

async fn consult(house: &House, id: EntityId, feedback: &Feedback, parts: &[Part<'_>]) -> Result<Asked, LedgerError> {
    if parts.is_empty() {
        return Ok(Asked::Alone);
    }
    let holds = |answer: &Value| holds(parts, answer);
    ask(house, &question(house, id, feedback, parts, &holds)?).await
}

/// The question about an item, for a batch; `None`: it is answered, or need not be asked.
pub(super) fn in_advance(house: &House, id: EntityId, feedback: &Feedback) -> Result<Option<Advance>, LedgerError> {
    let is_done = house.ledger.triaged(id)?.done.get(Task::Risk.name()) == Some(&state(house, feedback)?);
    let parts = parts(feedback);
    if is_done || parts.is_empty() || feedback.decided.contains_key(PATH) {
        return Ok(None);
    }
    model::in_advance(house, &question(house, id, feedback, &parts, &|_| Ok(()))?)
}

fn question<'a>(
    house: &House,
    id: EntityId,
    feedback: &Feedback,
    parts: &[Part<'_>],
    check: &'a (dyn Fn(&Value) -> Result<(), String> + Send + Sync),
) -> Result<Question<'a>, LedgerError> {
    let text: Vec<&str> = parts.iter().map(|part| part.text).collect();
    let customer = match feedback.customer {
        Some(customer) => house.ledger.entity(customer)?,
        None => None,
    };
    let lifecycle = customer.as_ref().and_then(Entity::as_customer).and_then(|customer| customer.lifecycle.clone());
    let rivals: Vec<&str> = competitors(house).iter().map(|term| term.value.as_str()).collect();
    Ok(Question {
        task: Task::Risk,
        subject: Some(id),
        region: region(house, feedback)?,
        data: vec![("text", text.join("\n\n"))],
        context: json!({ "competitors": rivals, "lifecycle": lifecycle }),
        examples: Vec::new(),
        names: names(house, feedback)?,
        check,
    })
}

/// An answer may count where one of its signs does, or where it gives none. The others are left out, one by one.
fn holds(parts: &[Part<'_>], answer: &Value) -> Result<(), String> {
    let signals = answer["signals"].as_array().ok_or("`signals` is missing")?;
    let mut complaint = None;
    for signal in signals {
        match read(parts, signal, 1.0) {
            Ok(_) => return Ok(()),
            Err(why) => complaint = complaint.or(Some(why)),
        }
    }
    complaint.map_or(Ok(()), Err)
}

fn by_model(parts: &[Part<'_>], answer: &Value) -> Vec<RiskReason> {
    let sure = answer["confidence"].as_f64().filter(|sure| sure.is_finite()).unwrap_or(0.5).clamp(0.0, 1.0);
    let signals = answer["signals"].as_array().map_or(&[][..], Vec::as_slice);
    signals.iter().take(MOST * 2).filter_map(|signal| read(parts, signal, sure).ok()).collect()
}

/// One sign of an answer, if it holds.
fn read(parts: &[Part<'_>], signal: &Value, sure: f64) -> Result<RiskReason, String> {
    let kind = signal["kind"].as_str().unwrap_or_default();
    let base = base(kind).ok_or_else(|| format!("`{kind}` is no kind of sign: {}", KINDS.join(", ")))?;
    let words = signal["quote"].as_str().unwrap_or_default();
    let found = parts.iter().find_map(|part| Some((part, spans::find(part.text, words)?)));
    let Some((part, at)) = found else {
        return Err(format!("the quote “{words}” does not stand in the text: copy it letter for letter"));
    };
    if is_denied(part.text, &at) {
        return Err(format!("“{words}” says that it is not so"));
    }
    let name = signal["name"].as_str().map(str::trim).filter(|name| !name.is_empty() && kind == "competitor");
    if let Some(name) = name
        && !words.to_lowercase().contains(&name.to_lowercase())
    {
        return Err(format!("the quote “{words}” does not name {name}"));
    }
    let quote = quote(part, at).ok_or("a quote that is no span")?;
    Ok(RiskReason { kind: kind.into(), weight: round(base * sure), quote, name: name.map(str::to_owned) })
}

/// Of each kind, and of each rival, the heaviest sign. Of two that weigh the same, the first that was said.
fn weigh(reasons: Vec<RiskReason>, answered: Option<&Answered>) -> Option<Risk> {
    let mut kept: BTreeMap<(String, String), RiskReason> = BTreeMap::new();
    for reason in reasons {
        let key = (reason.kind.clone(), reason.name.as_deref().unwrap_or_default().to_lowercase());
        match kept.get(&key) {
            Some(known) if known.weight >= reason.weight => {}
            _ => drop(kept.insert(key, reason)),
        }
    }
    let model = answered.map_or_else(|| RULES.to_owned(), |answered| answered.model.clone());
    summed(kept.into_values().collect(), model)
}

/// The score of some signs: that at least one of them means what it seems to.
fn summed(mut reasons: Vec<RiskReason>, model: String) -> Option<Risk> {
    reasons.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| (&a.kind, &a.name).cmp(&(&b.kind, &b.name))));
    reasons.truncate(MOST);
    let score = round(1.0 - reasons.iter().map(|reason| 1.0 - reason.weight).product::<f64>());
    (!reasons.is_empty()).then_some(Risk { score, reasons, model })
}

/// Two digits: more would claim a precision that nobody has.
fn round(score: f64) -> f64 {
    (score * 100.0).round() / 100.0
}

fn settle(
    house: &House,
    tx: &mut Tx<'_>,
    id: EntityId,
    state: u64,
    found: &Option<Risk>,
    answered: Option<&Answered>,
    done: bool,
) -> Result<(), LedgerError> {
    let Some(before) = tx.entity(id)? else { return Ok(()) };
    let Body::Feedback(feedback) = &before.body else { return Ok(()) };
    // Other words stand there by now, or a person has spoken: what was found is of the past.
    if self::state(house, feedback)? != state || feedback.decided.contains_key(PATH) {
        return Ok(());
    }
    let mut feedback = feedback.clone();
    let found = found.clone().and_then(|risk| {
        let refused = |reason: &RiskReason| feedback.decided.contains_key(&format!("{PATH}.{}", reason.kind));
        summed(risk.reasons.into_iter().filter(|reason| !refused(reason)).collect(), risk.model)
    });
    let who = answered.map_or(RULES, |answered| answered.model.as_str()).to_owned();
    // As it stands in the item, so that a person who accepts it puts it there.
    let said = serde_json::to_value(&found).unwrap_or_default();
    let earlier = feedback.enrichment.get(PATH);
    let news = earlier.map_or(found.is_some(), |earlier| earlier.value != said || earlier.model != who);
    if news {
        let strongest = found.as_ref().and_then(|risk| risk.reasons.first());
        feedback.enrichment.insert(
            PATH.into(),
            Verdict {
                value: said,
                model: who.clone(),
                prompt: answered.map(|answered| answered.prompt.clone()),
                confidence: answered
                    .and_then(|answered| answered.value["confidence"].as_f64())
                    .map_or_else(|| strongest.map_or(1.0, |reason| reason.weight), |sure| round(sure.clamp(0.0, 1.0))),
                claimed: None,
                at: house.now(),
                because: strongest.map(|reason| reason.quote.text.clone()),
            },
        );
    }
    if may_stand(house, &feedback)? {
        feedback.risk = found;
    }
    let after = Entity { id, body: Body::Feedback(feedback) };
    if after != before {
        tx.put_entity(&after)?;
        if risk_of(&after) != risk_of(&before) {
            tx.log(id, &line(house, &who, What::Suggested, PATH, &before, &after, because(&after)))?;
        }
        follow(house, tx, &after, Some(&before), When::Now)?;
    }
    if done {
        let mut triaged = tx.triaged(id)?;
        triaged.done.insert(Task::Risk.name().into(), state);
        tx.put_triaged(id, &triaged)?;
    }
    Ok(())
}

/// As a draft, or by trust that the task has earned.
fn may_stand(house: &House, feedback: &Feedback) -> Result<bool, LedgerError> {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let (category, segment) = (name(&feedback.tags.category), name(&feedback.tags.segment));
    Ok(house.config.review.drafts || review::may_act(house, Task::Risk, &category, &segment)?)
}

fn risk_of(entity: &Entity) -> Option<&Risk> {
    entity.as_feedback().and_then(|feedback| feedback.risk.as_ref())
}

fn because(entity: &Entity) -> Option<String> {
    let reasons: Vec<String> =
        risk_of(entity)?.reasons.iter().map(|reason| format!("{}: “{}”", reason.kind, reason.quote.text)).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn line(
    house: &House,
    by: &str,
    what: What,
    path: &str,
    before: &Entity,
    after: &Entity,
    note: Option<String>,
) -> Entry {
    let score = |entity: &Entity| risk_of(entity).map(|risk| Value::from(risk.score));
    Entry {
        at: house.now(),
        by: by.to_owned(),
        what,
        field: Some(path.to_owned()),
        old: score(before),
        new: score(after),
        note,
    }
}

/// What takes a sign back, where it stands before it in the same clause; and how many words may stand between.
const DENIALS: [(&str, usize); 16] = [
    ("not plan", 4),
    ("not planning", 4),
    ("no plan", 4),
    ("no plans", 4),
    ("no intention", 4),
    ("not going to", 2),
    ("not want to", 2),
    ("not thinking", 3),
    ("not considering", 3),
    ("not about to", 2),
    ("never", 1),
    ("will not be", 1),
    ("pas l'intention", 4),
    ("aucune intention", 4),
    ("pas envie", 3),
    ("jamais", 1),
];
/// Who denies these gives a sign by it: they will *not renew*.
const STAYING: [&str; 9] = ["renew", "stay", "remain", "continu", "keep", "extend", "rester", "renouvel", "prolong"];
/// Ends a clause: what was denied before it says nothing of what comes after.
const TURNS: [&str; 8] = [",", " but ", " mais ", " however ", " unless ", " until ", " and ", " et "];

/// Whether the words at this place are said not to be so.
fn is_denied(text: &str, at: &std::ops::Range<usize>) -> bool {
    let (Some(before), Some(own)) = (text.get(..at.start), text.get(at.clone())) else { return false };
    let own = folded(own);
    if STAYING.iter().any(|word| own.contains(word)) {
        return false;
    }
    let start = before.rfind(['.', '!', '?', ';', ':', '\n']).map_or(0, |end| end + 1);
    // A quote may be the whole sentence: then the denial stands in it.
    let said = folded(&before[start..]);
    let start = TURNS.iter().filter_map(|turn| said.rfind(turn).map(|at| at + turn.len())).max().unwrap_or(0);
    let clause = format!("{}{own}", &said[start..]);
    DENIALS.iter().any(|(denial, between)| {
        clause.match_indices(denial).any(|(at, _)| {
            let after = &clause[at + denial.len()..];
            // Whole words only.
            let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            if inside(clause[..at].chars().next_back()) || inside(after.chars().next()) {
                return false;
            }
            after.split_whitespace().take(between + 2).any(|word| LEAVING.iter().any(|stem| word.starts_with(stem)))
        })
    })
}

/// The words that a denial takes back.
const LEAVING: [&str; 22] = [
    "leav",
    "cancel",
    "churn",
    "switch",
    "mov",
    "migrat",
    "terminat",
    "quit",
    "stop",
    "look",
    "evaluat",
    "downgrad",
    "go",
    "unsubscrib",
    "escalat",
    "complain",
    "part",
    "résili",
    "resili",
    "chang",
    "arrêt",
    "desabonn",
];

/// In small letters, with plain apostrophes, contractions written out.
fn folded(text: &str) -> String {
    let text = text.to_lowercase().replace('\u{2019}', "'");
    text.replace("n't", " not").replace("n'avons", "avons").replace("n'ai ", "ai ")
}

#[cfg(test)]
mod tests;

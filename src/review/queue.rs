//! What waits for a person, best first.
//!
//! An item's place is `(0.1 + risk) · (1 + log10(1 + ARR / 1000)) · (0.1 + uncertainty) + days / 30`: what is at stake, for whom,
//! and how unsure the model is. Revenue counts by its order of magnitude, so that one large account does not hide all others;
//! what waits rises by a point a month, so that whoever pays nothing is heard as well. The uncertainty of an item is that of the
//! least sure of its suggestions; two people who say different things are as unsure as can be.
//!
//! Only what a page shows is kept in hand, however much waits.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::open::{category_of, open, risk, short, task_of, worded};
use super::trust::{cell, holds, sampled};
use crate::config::Mode;
use crate::house::House;
use crate::ledger::{LedgerError, MessageState, Proposal, ProposalState, Proposed, Question, Waits, digest};
use crate::report::why::title;
use crate::schema::{Entity, EntityId, EntityKind, Feedback, Task};

/// What a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Both sides changed a field, and its mapping leaves it to a person.
    Conflict,
    /// All that models suggested of one item.
    Suggestions,
    /// A duplicate, a merge or split of themes, a theme to verify.
    Proposal,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Suggestions => "suggestions",
            Self::Proposal => "proposal",
        }
    }
}

/// What waits, with all that one needs to judge it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    pub kind: Kind,
    pub score: f64,
    pub since: DateTime<Utc>,
    /// Of a conflict or a proposal, to name it by.
    pub number: Option<u64>,
    pub item: Card,
    /// What models suggest of the item.
    pub suggestions: Vec<Suggested>,
    pub conflict: Option<Conflict>,
    pub proposal: Option<Shown>,
}

/// An item or a theme, as one looks at it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    pub id: Option<EntityId>,
    pub short_id: String,
    pub title: String,
    /// The customer's words, cut.
    pub text: String,
    pub url: Option<String>,
    pub customer: Option<String>,
    pub arr: Option<f64>,
    pub segment: String,
    pub category: Option<String>,
    pub severity: Option<String>,
    pub product: Option<String>,
    pub risk: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suggested {
    pub field: String,
    pub path: String,
    pub value: Value,
    /// The value, as people read it.
    pub shown: String,
    /// It stands as a draft.
    pub stands: bool,
    pub confidence: f64,
    pub because: Option<String>,
    pub model: String,
    pub prompt: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    pub connection: String,
    pub collection: String,
    pub field: String,
    pub path: String,
    pub ours: Value,
    pub theirs: Value,
}

/// A proposal, with the other side beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// `duplicate`, `merge_themes`, `split_theme`, `verify_theme`.
    pub what: String,
    pub other: Option<Card>,
    pub items: Vec<Card>,
    pub because: String,
    pub confidence: f64,
    pub model: String,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Items with suggestions that nobody has spoken to.
    pub items: usize,
    pub conflicts: usize,
    pub proposals: usize,
    /// Messages to customers that wait for `loopd close approve`.
    pub messages: usize,
}

/// The place of what waits; see the top of this file.
pub fn score(risk: f64, arr: Option<f64>, uncertainty: f64, days: f64) -> f64 {
    let arr = arr.filter(|arr| arr.is_finite()).unwrap_or(0.0).max(0.0);
    let (risk, uncertainty) = (risk.clamp(0.0, 1.0), uncertainty.clamp(0.0, 1.0));
    (0.1 + risk) * (1.0 + (1.0 + arr / 1000.0).log10()) * (0.1 + uncertainty) + days.max(0.0) / 30.0
}

/// The best few of many, however many there are: what is not among them is let go at once.
pub struct Best<T> {
    limit: usize,
    heap: BinaryHeap<Ranked<T>>,
}

struct Ranked<T> {
    score: f64,
    /// Tells equals apart, so that the order is always the same.
    tie: u64,
    what: T,
}

impl<T> Best<T> {
    pub fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    /// Whether something of this score would be among them.
    pub fn takes(&self, score: f64) -> bool {
        self.heap.len() < self.limit || self.heap.peek().is_some_and(|worst| score >= worst.score)
    }

    pub fn put(&mut self, score: f64, tie: u64, what: T) {
        self.heap.push(Ranked { score, tie, what });
        if self.heap.len() > self.limit {
            self.heap.pop();
        }
    }

    /// Best first.
    pub fn sorted(self) -> Vec<(f64, T)> {
        self.heap.into_sorted_vec().into_iter().map(|ranked| (ranked.score, ranked.what)).collect()
    }
}

/// The worst is the greatest, so that it is at the top of the heap.
impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.tie.cmp(&other.tie))
    }
}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Ranked<T> {}

enum Found {
    Item(EntityId),
    Conflict(Box<Question>),
    Proposal(u64, Box<Proposal>),
}

/// What there is to know of customers, each read once.
struct Accounts<'a> {
    house: &'a House,
    known: BTreeMap<EntityId, (Option<f64>, String)>,
}

impl Accounts<'_> {
    /// Revenue, and the segment where an item names none of its own.
    fn of(&mut self, customer: Option<EntityId>) -> Result<(Option<f64>, String), LedgerError> {
        let Some(id) = customer else { return Ok((None, String::new())) };
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let entity = self.house.ledger.entity(id)?;
        let customer = entity.as_ref().and_then(Entity::as_customer);
        let known = (
            customer.and_then(|customer| customer.arr),
            cell(customer.and_then(|customer| customer.industry.as_deref())),
        );
        self.known.insert(id, known.clone());
        Ok(known)
    }
}

/// Cells in which a task acts by itself.
fn trusted(house: &House) -> Result<BTreeSet<(Task, String, String)>, LedgerError> {
    let standings = house.ledger.standings()?.into_iter();
    Ok(standings
        .filter(|(task, .., standing)| {
            house.config.task(*task).mode == Mode::Auto && holds(standing, &house.config.review)
        })
        .map(|(task, category, segment, _)| (task, category, segment))
        .collect())
}

/// The least sure of what a person must see of an item; `None`: all of it is trusted, and it is not in the sample.
fn uncertainty(
    house: &House,
    id: EntityId,
    waits: &Waits,
    segment: &str,
    trusted: &BTreeSet<(Task, String, String)>,
) -> Option<f64> {
    let seen = sampled(id, house.config.review.sample);
    let must = waits.open.iter().filter(|(path, _)| {
        let Some(task) = task_of(path) else { return false };
        seen || trusted.is_empty() || !trusted.contains(&(task, waits.category.clone(), segment.to_owned()))
    });
    must.map(|(_, confidence)| 1.0 - confidence).max_by(f64::total_cmp)
}

/// The first of what waits.
///
/// # Errors
/// When the ledger cannot be read.
pub fn queue(house: &House, kind: Option<Kind>, limit: usize) -> Result<Vec<Waiting>, LedgerError> {
    let now = house.now();
    let days = |since: DateTime<Utc>| (now - since).num_minutes().max(0) as f64 / 1440.0;
    let mut best = Best::new(limit);
    let mut accounts = Accounts { house, known: BTreeMap::new() };
    let wants = |of: Kind| kind.is_none_or(|kind| kind == of);
    if wants(Kind::Suggestions) {
        let trusted = trusted(house)?;
        house.ledger.each_waits(|id, waits| {
            let (arr, industry) = accounts.of(waits.customer)?;
            let segment = waits.segment.clone().unwrap_or(industry);
            if let Some(unsure) = uncertainty(house, id, &waits, &segment, &trusted) {
                let score = score(waits.risk, arr, unsure, days(waits.since));
                if best.takes(score) {
                    best.put(score, digest(&id)?, (waits.since, Found::Item(id)));
                }
            }
            Ok(())
        })?;
    }
    if wants(Kind::Conflict) {
        for question in house.ledger.questions()? {
            let entity = house.ledger.entity(question.entity)?;
            let feedback = entity.as_ref().and_then(Entity::as_feedback);
            let (arr, _) = accounts.of(feedback.and_then(|feedback| feedback.customer))?;
            let score = score(feedback.map_or(0.1, risk), arr, 1.0, days(question.at));
            let tie = digest(&(question.entity, &question.field))?;
            best.put(score, tie, (question.at, Found::Conflict(Box::new(question))));
        }
    }
    if wants(Kind::Proposal) {
        for (number, proposal) in house.ledger.proposals()? {
            if proposal.state != ProposalState::Open {
                continue;
            }
            let (at_risk, arr) = stake(house, &mut accounts, &proposal.what)?;
            let score = score(at_risk, arr, 1.0 - proposal.confidence, days(proposal.at));
            best.put(score, number, (proposal.at, Found::Proposal(number, Box::new(proposal))));
        }
    }
    let mut waiting = Vec::new();
    for (score, (since, found)) in best.sorted() {
        waiting.extend(shown(house, &mut accounts, score, since, found)?);
    }
    Ok(waiting)
}

/// Risk and revenue of what a proposal is about; each account once.
fn stake(house: &House, accounts: &mut Accounts<'_>, what: &Proposed) -> Result<(f64, Option<f64>), LedgerError> {
    let items = match what {
        Proposed::Duplicate { item, of } => vec![*item, *of],
        Proposed::SplitTheme { items, .. } => items.clone(),
        Proposed::MergeThemes { theme, .. } | Proposed::VerifyTheme { theme } => house.ledger.referrers(*theme)?,
    };
    let (mut most, mut seen, mut sum) = (0.0_f64, BTreeSet::new(), 0.0);
    for id in items.iter().take(STAKE) {
        let entity = house.ledger.entity(*id)?;
        let Some(feedback) = entity.as_ref().and_then(Entity::as_feedback) else { continue };
        most = most.max(risk(feedback));
        if let Some(customer) = feedback.customer
            && seen.insert(customer)
        {
            sum += accounts.of(Some(customer))?.0.unwrap_or(0.0);
        }
    }
    Ok((most, Some(sum)))
}

/// Items of a theme that are looked at to see what is at stake.
const STAKE: usize = 500;

/// Cut for a person to read.
const TEXT: usize = 1_500;

fn shown(
    house: &House,
    accounts: &mut Accounts<'_>,
    score: f64,
    since: DateTime<Utc>,
    found: Found,
) -> Result<Option<Waiting>, LedgerError> {
    let mut waiting = Waiting {
        kind: Kind::Suggestions,
        score: (score * 1000.0).round() / 1000.0,
        since,
        number: None,
        item: Card::default(),
        suggestions: Vec::new(),
        conflict: None,
        proposal: None,
    };
    match found {
        Found::Item(id) => {
            let Some(entity) = house.ledger.entity(id)? else { return Ok(None) };
            waiting.item = card(house, accounts, &entity)?;
            if let Some(item) = entity.as_feedback() {
                waiting.suggestions = suggestions(house, item)?;
            }
        }
        Found::Conflict(question) => {
            let Some(entity) = house.ledger.entity(question.entity)? else { return Ok(None) };
            waiting.kind = Kind::Conflict;
            waiting.number = Some(number(&question)?);
            waiting.item = card(house, accounts, &entity)?;
            waiting.conflict = Some(Conflict {
                connection: question.connection,
                collection: question.collection,
                field: question.field,
                path: question.path,
                ours: question.ours,
                theirs: question.theirs,
            });
        }
        Found::Proposal(number, proposal) => {
            let (what, item, other, items) = sides(&proposal.what);
            let Some(entity) = house.ledger.entity(item)? else { return Ok(None) };
            waiting.kind = Kind::Proposal;
            waiting.number = Some(number);
            waiting.item = card(house, accounts, &entity)?;
            let other = match other {
                Some(id) => house.ledger.entity(id)?.map(|entity| card(house, accounts, &entity)).transpose()?,
                None => None,
            };
            let items = match items.is_empty() && entity.kind() == EntityKind::Theme {
                true => house.ledger.referrers(entity.id)?,
                false => items,
            };
            let mut cards = Vec::new();
            for id in items.iter().take(MEMBERS) {
                if let Some(entity) = house.ledger.entity(*id)?.filter(|entity| entity.as_feedback().is_some()) {
                    cards.push(card(house, accounts, &entity)?);
                }
            }
            waiting.proposal = Some(Shown {
                what: what.to_owned(),
                other,
                items: cards,
                because: proposal.because,
                confidence: proposal.confidence,
                model: proposal.model,
            });
        }
    }
    Ok(Some(waiting))
}

/// Items of a theme that are shown with a proposal.
const MEMBERS: usize = 8;

/// What it is called, whom it is about, who stands beside, and which items.
pub(super) fn sides(what: &Proposed) -> (&'static str, EntityId, Option<EntityId>, Vec<EntityId>) {
    match what {
        Proposed::Duplicate { item, of } => ("duplicate", *item, Some(*of), Vec::new()),
        Proposed::MergeThemes { theme, into } => ("merge_themes", *theme, Some(*into), Vec::new()),
        Proposed::SplitTheme { theme, items } => ("split_theme", *theme, None, items.clone()),
        Proposed::VerifyTheme { theme } => ("verify_theme", *theme, None, Vec::new()),
    }
}

/// The open suggestions of an item, for people.
fn suggestions(house: &House, item: &Feedback) -> Result<Vec<Suggested>, LedgerError> {
    let suggested = open(item, house.config.enrich.threshold).into_iter().map(|open| {
        Ok(Suggested {
            field: short(open.path).to_owned(),
            path: open.path.to_owned(),
            value: open.verdict.value.clone(),
            shown: worded(&house.ledger, &open.verdict.value)?,
            stands: open.stands,
            confidence: open.verdict.confidence,
            because: open.verdict.because.clone(),
            model: open.verdict.model.clone(),
            prompt: open.verdict.prompt.clone(),
        })
    });
    suggested.collect()
}

fn card(house: &House, accounts: &mut Accounts<'_>, entity: &Entity) -> Result<Card, LedgerError> {
    let mut card = Card { id: Some(entity.id), short_id: entity.short_id(), title: title(entity), ..Card::default() };
    match &entity.body {
        crate::schema::Body::Feedback(item) => {
            let said =
                item.quote.as_ref().map(|quote| &quote.text).or(item.verbatim.as_ref()).or(item.summary.as_ref());
            card.text = cut(said.map_or("", String::as_str), TEXT);
            let links = house.ledger.links(entity.id)?;
            let own = item.origin.as_ref().and_then(|origin| origin.url.clone());
            card.url = own.or_else(|| links.into_iter().find_map(|(.., link)| link.url.filter(|_| true)));
            let (arr, industry) = accounts.of(item.customer)?;
            card.arr = arr;
            card.segment = item.tags.segment.as_deref().map_or(industry, |segment| cell(Some(segment)));
            card.customer = match item.customer {
                Some(id) => house.ledger.entity(id)?.as_ref().map(title).filter(|name| !name.is_empty()),
                None => None,
            };
            card.category.clone_from(&item.tags.category);
            card.severity.clone_from(&item.tags.severity);
            card.product.clone_from(&item.tags.product);
            card.risk = risk(item);
        }
        crate::schema::Body::Theme(theme) => {
            let said = theme.statement.as_ref().or(theme.description.as_ref());
            card.text = cut(said.map_or("", String::as_str), TEXT);
            let links = house.ledger.links(entity.id)?;
            card.url = links.into_iter().find_map(|(.., link)| link.url);
        }
        crate::schema::Body::Customer(_) => {}
    }
    Ok(card)
}

pub(super) fn cut(text: &str, most: usize) -> String {
    let text = text.trim();
    if text.chars().count() > most { text.chars().take(most - 1).chain(['…']).collect() } else { text.to_owned() }
}

/// Small enough to type, and the same as long as the question stands.
///
/// # Errors
/// Never, for what can be stored.
pub fn number(question: &Question) -> Result<u64, LedgerError> {
    Ok(digest(&(question.entity, &question.connection, &question.collection, &question.field))? % 1_000_000_000)
}

/// How much waits. Looks at every row of what waits, and at nothing else.
///
/// # Errors
/// When the ledger cannot be read.
pub fn counts(house: &House) -> Result<Counts, LedgerError> {
    let mut counts = Counts { conflicts: house.ledger.questions()?.len(), ..Counts::default() };
    let trusted = trusted(house)?;
    let mut accounts = Accounts { house, known: BTreeMap::new() };
    house.ledger.each_waits(|id, waits| {
        // Whose segment it is matters only where something is trusted.
        let segment = match (&waits.segment, trusted.is_empty()) {
            (Some(segment), _) => segment.clone(),
            (None, true) => String::new(),
            (None, false) => accounts.of(waits.customer)?.1,
        };
        counts.items += usize::from(uncertainty(house, id, &waits, &segment, &trusted).is_some());
        Ok(())
    })?;
    let open = house.ledger.proposals()?.into_iter().filter(|(_, proposal)| proposal.state == ProposalState::Open);
    counts.proposals = open.count();
    let messages = house.ledger.messages()?;
    counts.messages = messages.iter().filter(|(_, message)| message.state == MessageState::Prepared).count();
    Ok(counts)
}

/// The category of an item as trust knows it.
pub fn category(item: &Feedback) -> String {
    category_of(item, "", &Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn risk_revenue_and_doubt_go_first_and_nobody_starves() {
        let grave = score(0.8, Some(100_000.0), 0.5, 0.0);
        assert!(grave > score(0.8, Some(1_000.0), 0.5, 0.0), "whose revenue is larger");
        assert!(grave > score(0.3, Some(100_000.0), 0.5, 0.0), "whose risk is higher");
        assert!(grave > score(0.8, Some(100_000.0), 0.1, 0.0), "where the model is less sure");
        let small = |days| score(0.1, None, 0.1, days);
        assert!(small(0.0) < grave && small(60.0) > grave, "in two months also the least is heard");
        assert!(score(f64::NAN, Some(f64::NAN), 0.5, 0.0).is_nan() || score(0.5, Some(-1.0), 0.5, -3.0).is_finite());
    }

    #[test]
    fn the_best_of_many_are_kept_and_no_more() {
        let mut best = Best::new(10);
        let mut most = 0;
        for n in 0..100_000_u64 {
            // A fixed shuffle.
            let score = ((n * 48_271) % 100_003) as f64;
            if best.takes(score) {
                best.put(score, n, n);
            }
            most = most.max(best.heap.len());
        }
        let sorted = best.sorted();
        assert_eq!((sorted.len(), most), (10, 10));
        assert!(sorted.windows(2).all(|pair| pair[0].0 > pair[1].0));
        let mut all: Vec<f64> = (0..100_000_u64).map(|n| ((n * 48_271) % 100_003) as f64).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        let best: Vec<u64> = sorted.iter().map(|(score, _)| score.to_bits()).collect();
        assert_eq!(best, all.iter().take(10).map(|score| score.to_bits()).collect::<Vec<_>>());
    }

    #[test]
    fn equals_are_always_in_the_same_order() {
        let order = |ties: [u64; 4]| {
            let mut best = Best::new(2);
            ties.into_iter().for_each(|tie| best.put(1.0, tie, tie));
            best.sorted().into_iter().map(|(_, tie)| tie).collect::<Vec<_>>()
        };
        assert_eq!(order([4, 2, 3, 1]), order([1, 2, 3, 4]));
    }
}

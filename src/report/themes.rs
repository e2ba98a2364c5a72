//! Themes as people look at them: what stands behind each, how it grows, and who says it in which words.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::why::{Found, find, title};
use crate::house::House;
use crate::ledger::{Ledger, LedgerError, Proposal, ProposalState, Proposed};
use crate::schema::{Entity, EntityId, EntityKind, Feedback, Job, Theme};
use crate::triage::merge::stands_for;
use crate::triage::themes::{HYPOTHESIS, called, family, open_proposals};
use crate::view::{Weight, members_of_theme, weigh};

/// How long the two spans are that a trend compares.
const SPAN: TimeDelta = TimeDelta::weeks(4);
/// Characters of a quote.
const QUOTE: usize = 240;

/// A theme, in a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub id: EntityId,
    pub short_id: String,
    pub name: String,
    pub status: String,
    /// Items, where duplicates count once.
    pub count: usize,
    pub items: usize,
    pub customers: usize,
    /// Of those customers, each counted once.
    pub arr: f64,
    /// Items of the last four weeks, and of the four before.
    pub recent: usize,
    pub before: usize,
    pub newest_at: Option<DateTime<Utc>>,
    /// Enough stands behind it, and nobody has looked yet.
    pub verify: bool,
    pub merged_into: Option<EntityId>,
}

/// By what themes are listed, the most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    #[default]
    Arr,
    Count,
    Growth,
}

/// One theme with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    pub line: Line,
    pub statement: Option<String>,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub job: Option<Job>,
    pub split_from: Option<String>,
    /// Themes that were merged into it.
    pub merged: Vec<String>,
    /// Newest first.
    pub members: Vec<Member>,
    pub proposals: Vec<Proposing>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub id: EntityId,
    pub short_id: String,
    pub title: String,
    /// In their own words.
    pub quote: Option<String>,
    pub customer: Option<String>,
    pub arr: Option<f64>,
    pub at: Option<DateTime<Utc>>,
    pub status: String,
    /// The item that stands for it.
    pub duplicate_of: Option<String>,
    /// A person put it there.
    pub decided: bool,
}

/// Something that is proposed about themes and waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposing {
    pub number: u64,
    pub at: DateTime<Utc>,
    pub what: String,
    pub because: String,
    pub confidence: f64,
}

/// Every theme; `all`: those that were merged into others too.
///
/// # Errors
/// The ledger's.
pub fn lines(house: &House, sort: Sort, all: bool) -> Result<Vec<Line>, LedgerError> {
    let mut lines = Vec::new();
    for id in house.ledger.ids(EntityKind::Theme)? {
        let Some(entity) = house.ledger.entity(id)? else { continue };
        let Some(theme) = entity.as_theme() else { continue };
        if !theme.withdrawn && (all || theme.merged_into.is_none()) {
            lines.push(line(house, &entity, theme, &members_of_theme(&house.ledger, id)?)?);
        }
    }
    lines.sort_by(|a, b| {
        let growth = |line: &Line| signed(line.recent) - signed(line.before);
        let by = match sort {
            Sort::Arr => b.arr.total_cmp(&a.arr),
            Sort::Count => b.count.cmp(&a.count),
            Sort::Growth => growth(b).cmp(&growth(a)),
        };
        by.then_with(|| b.count.cmp(&a.count)).then_with(|| a.name.cmp(&b.name)).then_with(|| a.id.cmp(&b.id))
    });
    Ok(lines)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn line(house: &House, entity: &Entity, theme: &Theme, members: &[(EntityId, Feedback)]) -> Result<Line, LedgerError> {
    let Weight { count, items, customers, arr, newest_at } = weigh(&house.ledger, members)?;
    let now = house.now();
    let within = |from: DateTime<Utc>, to: DateTime<Utc>| {
        members.iter().filter(|(_, item)| item.received_at.is_some_and(|at| at > from && at <= to)).count()
    };
    let proposed = house.ledger.proposal(Proposed::VerifyTheme { theme: entity.id }.number()?)?;
    let status = theme.status.clone().unwrap_or_else(|| HYPOTHESIS.to_owned());
    let waits = proposed.is_some_and(|proposal| proposal.state == ProposalState::Open);
    Ok(Line {
        id: entity.id,
        short_id: entity.short_id(),
        name: theme.name.clone().unwrap_or_else(|| "(without a name)".to_owned()),
        verify: waits && status == HYPOTHESIS,
        status,
        count,
        items,
        customers,
        arr,
        recent: within(now - SPAN, now),
        before: within(now - SPAN * 2, now - SPAN),
        newest_at,
        merged_into: theme.merged_into,
    })
}

/// One theme; `None`: there is none of that id.
///
/// # Errors
/// The ledger's.
pub fn card(house: &House, id: EntityId) -> Result<Option<Card>, LedgerError> {
    let Some(entity) = house.ledger.entity(id)? else { return Ok(None) };
    let Some(theme) = entity.as_theme() else { return Ok(None) };
    let mut members = members_of_theme(&house.ledger, id)?;
    let line = line(house, &entity, theme, &members)?;
    members.sort_by_key(|(id, item)| (std::cmp::Reverse(item.received_at), *id));
    let name_of =
        |id: EntityId| -> Result<Option<String>, LedgerError> { Ok(house.ledger.entity(id)?.as_ref().map(called)) };
    let mut merged = Vec::new();
    for other in family(&house.ledger, id)?.into_iter().skip(1) {
        merged.extend(name_of(other)?);
    }
    let shown: Result<Vec<Member>, LedgerError> =
        members.into_iter().map(|(id, item)| member(&house.ledger, id, item)).collect();
    let proposals = proposed(house)?.into_iter().filter(|(about, _)| about.contains(&id)).map(|(_, one)| one);
    Ok(Some(Card {
        line,
        statement: theme.statement.clone(),
        description: theme.description.clone(),
        owner: theme.owner.clone(),
        job: theme.job.clone(),
        split_from: theme.split_from.map(name_of).transpose()?.flatten(),
        merged,
        members: shown?,
        proposals: proposals.collect(),
    }))
}

fn member(ledger: &Ledger, id: EntityId, item: Feedback) -> Result<Member, LedgerError> {
    let customer = match item.customer {
        Some(customer) => ledger.entity(customer)?,
        None => None,
    };
    let customer = customer.as_ref().and_then(Entity::as_customer);
    let stands = if item.duplicate_of.is_some() { stands_for(ledger, id)? } else { None };
    let words = item.quote.as_ref().map(|quote| quote.text.clone()).or_else(|| item.verbatim.clone());
    Ok(Member {
        id,
        short_id: id.short(EntityKind::Feedback),
        quote: words.map(|words| cut(&words)).filter(|words| !words.is_empty()),
        customer: customer.and_then(|customer| customer.name.clone()),
        arr: customer.and_then(|customer| customer.arr),
        at: item.received_at,
        status: item.status.name().to_owned(),
        duplicate_of: stands.map(|of| of.short(EntityKind::Feedback)),
        decided: item.decided.contains_key("theme"),
        title: title(&Entity { id, body: crate::schema::Body::Feedback(Box::new(item)) }),
    })
}

fn cut(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= QUOTE { line } else { line.chars().take(QUOTE - 1).chain(['…']).collect() }
}

/// What is proposed about themes, oldest first.
///
/// # Errors
/// The ledger's.
pub fn proposals(house: &House) -> Result<Vec<Proposing>, LedgerError> {
    Ok(proposed(house)?.into_iter().map(|(_, one)| one).collect())
}

/// The same, with the themes that each is about.
fn proposed(house: &House) -> Result<Vec<(Vec<EntityId>, Proposing)>, LedgerError> {
    let mut found = Vec::new();
    for (number, Proposal { at, what, because, confidence, .. }) in open_proposals(&house.ledger)? {
        let name = |id: EntityId| -> Result<String, LedgerError> {
            Ok(house.ledger.entity(id)?.as_ref().map_or_else(|| id.to_string(), called))
        };
        let (about, text) = match what {
            Proposed::MergeThemes { theme, into } => {
                (vec![theme, into], format!("{} is the same as {}", name(theme)?, name(into)?))
            }
            Proposed::SplitTheme { theme, items } => {
                let items: Vec<String> = items.iter().map(|id| id.short(EntityKind::Feedback)).collect();
                (vec![theme], format!("{} is two: {} are about something else", name(theme)?, items.join(", ")))
            }
            Proposed::VerifyTheme { theme } => (vec![theme], format!("{} can be verified", name(theme)?)),
            Proposed::Duplicate { .. } => continue,
        };
        found.push((about, Proposing { number, at, what: text, because, confidence }));
    }
    Ok(found)
}

/// The theme that a person means: by id, or by its name. Inside: why that is none.
///
/// # Errors
/// The ledger's.
pub fn meant(house: &House, text: &str) -> Result<Result<EntityId, String>, LedgerError> {
    let mut named = Vec::new();
    house.ledger.each_entity(|entity| {
        let is_so = entity.as_theme().is_some_and(|theme| {
            theme.merged_into.is_none()
                && theme.name.as_ref().is_some_and(|name| name.trim().to_lowercase() == text.trim().to_lowercase())
        });
        if is_so {
            named.push(entity);
        }
        Ok(())
    })?;
    match named.as_slice() {
        [one] => return Ok(Ok(one.id)),
        [] => {}
        several => {
            let several: Vec<String> = several.iter().map(called).collect();
            return Ok(Err(format!("{text} may be {}", several.join(", "))));
        }
    }
    Ok(match one(house, text)? {
        Ok(id) if house.ledger.entity(id)?.is_some_and(|entity| entity.kind() == EntityKind::Theme) => Ok(id),
        Ok(_) => Err(format!("{text} is no theme: `loopd themes` lists them")),
        Err(why) => Err(why),
    })
}

/// The item or theme that a person means by an id or an address.
///
/// # Errors
/// The ledger's.
pub fn one(house: &House, text: &str) -> Result<Result<EntityId, String>, LedgerError> {
    Ok(match find(house, text)? {
        Found::One(id) => Ok(id),
        Found::None => {
            Err(format!("nothing is known of {text}: give an id such as TH-7K3Q9X or FB-7K3Q9X, or a theme's name"))
        }
        Found::Several(several) => {
            let several: Vec<String> = several.into_iter().map(|(what, _)| what).collect();
            Err(format!("{text} may be\n  {}", several.join("\n  ")))
        }
    })
}

//! What a mapping sees of an entity: its body, its ids, its links, and what is derived from its neighbours.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::ledger::{Ledger, LedgerError, Link, ProposalState, Proposed};
use crate::schema::domain::is_mail_provider;
use crate::schema::{
    Alias, AliasKind, Body, Customer, Entity, EntityId, EntityKind, Feedback, RiskReason, Status, Theme,
};
use crate::triage::merge::{duplicates, stands_for};
use crate::triage::themes::{HYPOTHESIS, family, lives_in};
use crate::{review, usage};

/// The view of an entity (its shape is in docs/mappings.md).
pub fn view(ledger: &Ledger, entity: &Entity, now: DateTime<Utc>) -> Result<Value, LedgerError> {
    let mut view = entity.to_value();
    let links = ledger.links(entity.id)?;
    let urls: Vec<Value> = links
        .iter()
        .filter(|(_, _, link)| link.is_live())
        .filter_map(|(.., link)| link.url.clone())
        .map(Value::from)
        .collect();
    let derived = match &entity.body {
        Body::Feedback(feedback) => of_feedback(ledger, entity.id, feedback, &urls)?,
        Body::Customer(customer) => of_customer(ledger, entity.id, customer, now)?,
        Body::Theme(theme) => of_theme(ledger, entity.id, theme)?,
    };
    let shown = shown(links);
    if let Body::Customer(customer) = &entity.body {
        view["domains"] = json!(own_domains(ledger, entity.id, customer)?);
    }
    if let Body::Feedback(feedback) = &entity.body {
        // Who stands for it, and where its theme lives on, after all that was merged.
        if feedback.duplicate_of.is_some() {
            view["duplicate_of"] = json!(stands_for(ledger, entity.id)?);
        }
        if let Some(theme) = feedback.theme {
            view["theme"] = json!(lives_in(ledger, theme)?);
        }
    }
    if let Value::Object(map) = &mut view {
        map.insert("id".into(), json!(entity.id));
        map.insert("short_id".into(), json!(entity.short_id()));
        map.insert("kind".into(), json!(entity.kind().name()));
        map.insert("links".into(), Value::Object(shown));
        map.insert("derived".into(), derived);
        if let Body::Customer(customer) = &entity.body {
            map.insert("usage".into(), usage::of_customer(ledger, entity.id, customer, now)?);
        }
    }
    Ok(view)
}

/// Links by where they lead: `linear.issue`.
fn shown(links: Vec<(String, String, Link)>) -> Map<String, Value> {
    let live = links.into_iter().filter(|(_, _, link)| link.is_live());
    live.map(|(connection, collection, link)| {
        (format!("{connection}.{collection}"), json!({"id": link.id, "url": link.url}))
    })
    .collect()
}

fn of_feedback(ledger: &Ledger, id: EntityId, feedback: &Feedback, urls: &[Value]) -> Result<Value, LedgerError> {
    let (customer, links) = match feedback.customer {
        Some(id) => (ledger.entity(id)?, shown(ledger.links(id)?)),
        None => (None, Map::new()),
    };
    let customer = customer.as_ref().and_then(Entity::as_customer);
    let theme = match feedback.theme {
        Some(id) => ledger.entity(lives_in(ledger, id)?)?,
        None => None,
    };
    Ok(json!({
        "duplicates": duplicates(ledger, id)?.iter().filter(|(_, other)| !other.withdrawn).count(),
        "customer_links": links,
        "shipped_at": shipped_at(ledger, id, feedback)?,
        "customer_name": customer.and_then(|customer| customer.name.clone()),
        "arr": customer.and_then(|customer| customer.arr),
        "tier": customer.and_then(|customer| customer.tier.clone()),
        "industry": customer.and_then(|customer| customer.industry.clone()),
        "region": customer.and_then(|customer| customer.region.clone()),
        "revenue_at_risk": revenue_at_risk(customer.and_then(|customer| customer.arr), feedback.risk.as_ref().map(|risk| risk.score)),
        "segment": feedback.tags.segment.clone().or_else(|| customer.and_then(|customer| customer.industry.clone())),
        "suggested": review::suggested(feedback),
        "theme_name": theme.as_ref().and_then(Entity::as_theme).and_then(|theme| theme.name.clone()),
        "urls": urls,
    }))
}

/// How a customer stands: what it asks for, what worries it, what was done about it.
fn of_customer(ledger: &Ledger, id: EntityId, customer: &Customer, now: DateTime<Utc>) -> Result<Value, LedgerError> {
    let members = members(ledger, id)?;
    let open: Vec<&Feedback> =
        members.iter().map(|(_, feedback)| feedback).filter(|feedback| is_open(feedback)).collect();
    let days = customer.customer_since.map(|since| (now.date_naive() - since).num_days().max(0));
    let merged_into = match &customer.merged {
        Some(merge) => ledger.entity(merge.into)?.as_ref().map(crate::customers::called),
        None => None,
    };
    let mut addressed: Vec<(Option<DateTime<Utc>>, EntityId, &Feedback)> = Vec::new();
    for (id, feedback) in members.iter().filter(|(_, feedback)| feedback.status == Status::Shipped) {
        addressed.push((shipped_at(ledger, *id, feedback)?, *id, feedback));
    }
    addressed.sort_by_key(|(at, id, _)| (std::cmp::Reverse(*at), *id));
    let shown: Vec<Value> = addressed
        .iter()
        .take(ADDRESSED)
        .map(|(at, id, feedback)| json!({ "short_id": id.short(EntityKind::Feedback), "title": title(feedback), "at": at }))
        .collect();
    let reasons = risk_reasons(&members, now);
    let at_risk = (!reasons.is_empty()).then(|| risk_score(&reasons));
    Ok(json!({
        "days_as_customer": days,
        "feedback_count": members.len(),
        "open_count": open.len(),
        "open_requests": open.iter().filter(|feedback| asks(feedback)).count(),
        "last_feedback_at": members.iter().filter_map(|(_, feedback)| feedback.received_at).max(),
        "top_theme": top_theme(ledger, &members)?,
        "risk": risk(&members, &open),
        "risk_score": at_risk,
        "risk_reasons": reasons.iter().take(REASONS).map(told_reason).collect::<Vec<_>>(),
        "revenue_at_risk": revenue_at_risk(customer.arr, at_risk),
        "addressed_count": addressed.len(),
        "last_addressed_at": addressed.first().and_then(|(at, ..)| *at),
        "addressed": shown,
        "merged_into": merged_into,
    }))
}

/// The most of what was addressed that a customer shows, newest first.
const ADDRESSED: usize = 10;

fn is_open(feedback: &Feedback) -> bool {
    !matches!(feedback.status, Status::Shipped | Status::WontDo)
}

/// Something is wanted; praise, and word of what works, wants nothing.
fn asks(feedback: &Feedback) -> bool {
    !matches!(feedback.tags.category.as_deref(), Some("praise" | "behavior_working"))
}

/// `high`: somebody speaks of leaving, or gives as grave a sign, or something critical is open. `medium`: something of high severity is. `null`: the
/// customer has said nothing.
fn risk(members: &[(EntityId, Feedback)], open: &[&Feedback]) -> Option<&'static str> {
    let severe =
        |level: &str| open.iter().any(|feedback| feedback.tags.severity.as_deref() == Some(level) && asks(feedback));
    let leaving = open.iter().any(|feedback| {
        feedback.tags.category.as_deref() == Some("churn_signal")
            || feedback.risk.as_ref().is_some_and(|risk| risk.score >= GRAVE)
    });
    match members.is_empty() {
        true => None,
        false if leaving || severe("critical") => Some("high"),
        false if severe("high") => Some("medium"),
        false => Some("low"),
    }
}

/// From this score on, an item says as much as one that speaks of leaving.
const GRAVE: f64 = 0.7;

/// A sign of risk that an open item gives, and what it weighs by now.
struct Weighed<'a> {
    id: EntityId,
    at: Option<DateTime<Utc>>,
    reason: &'a RiskReason,
    weight: f64,
}

/// After so many days a sign weighs half.
const HALF_LIFE: f64 = 90.0;
/// The most signs that a customer shows, the heaviest first.
const REASONS: usize = 5;

/// What open items show of risk, the heaviest first. A conversation speaks through the items that were extracted from it. All
/// fade alike, so that their order stays as it is until somebody says something.
fn risk_reasons(members: &[(EntityId, Feedback)], now: DateTime<Utc>) -> Vec<Weighed<'_>> {
    let wholes: BTreeSet<EntityId> = members.iter().filter_map(|(_, feedback)| feedback.part_of).collect();
    let mut reasons = Vec::new();
    for (id, feedback) in members.iter().filter(|(id, feedback)| is_open(feedback) && !wholes.contains(id)) {
        let age = feedback.received_at.map_or(0.0, |at| ((now - at).num_minutes() as f64 / 1440.0).max(0.0));
        let fade = 0.5_f64.powf(age / HALF_LIFE);
        let weighed = feedback.risk.iter().flat_map(|risk| &risk.reasons);
        reasons.extend(weighed.map(|reason| Weighed {
            id: *id,
            at: feedback.received_at,
            reason,
            weight: reason.weight.clamp(0.0, 1.0) * fade,
        }));
    }
    // Of when they were said, not of how old they are: else two that are nearly as heavy would change places as time passes.
    let rank = |one: &Weighed<'_>| {
        let days = one.at.map_or(f64::MAX, |at| at.timestamp() as f64 / 86_400.0);
        one.reason.weight.clamp(1e-9, 1.0).log2() + days / HALF_LIFE
    };
    reasons
        .sort_by(|a, b| rank(b).total_cmp(&rank(a)).then_with(|| (a.id, &a.reason.kind).cmp(&(b.id, &b.reason.kind))));
    reasons
}

/// That at least one of the signs means what it seems to.
fn risk_score(reasons: &[Weighed<'_>]) -> f64 {
    let none = reasons.iter().map(|reason| 1.0 - reason.weight).product::<f64>();
    ((1.0 - none) * 100.0).round() / 100.0
}

/// Without what fades: a record that shows it is not written anew every day.
fn told_reason(weighed: &Weighed<'_>) -> Value {
    json!({
        "kind": weighed.reason.kind,
        "quote": weighed.reason.quote.text,
        "name": weighed.reason.name,
        "short_id": weighed.id.short(EntityKind::Feedback),
        "at": weighed.at,
    })
}

/// Whole units. `null`: the revenue is not known, or nothing is at risk.
fn revenue_at_risk(arr: Option<f64>, score: Option<f64>) -> Option<f64> {
    arr.zip(score).map(|(arr, score)| (arr * score).round())
}

/// The theme that the customer speaks of most: of several, the first by name.
fn top_theme(ledger: &Ledger, members: &[(EntityId, Feedback)]) -> Result<Option<String>, LedgerError> {
    let mut counts: BTreeMap<EntityId, usize> = BTreeMap::new();
    for theme in members.iter().filter_map(|(_, feedback)| feedback.theme) {
        *counts.entry(lives_in(ledger, theme)?).or_default() += 1;
    }
    let most = counts.values().max().copied();
    let mut names = Vec::new();
    for (theme, _) in counts.iter().filter(|(_, count)| Some(**count) == most) {
        names.extend(ledger.entity(*theme)?.as_ref().and_then(Entity::as_theme).and_then(|theme| theme.name.clone()));
    }
    Ok(names.into_iter().min())
}

/// When it became shipped: as somebody decided, or as its log has it; of what came shipped, when it came.
pub(crate) fn shipped_at(
    ledger: &Ledger,
    id: EntityId,
    feedback: &Feedback,
) -> Result<Option<DateTime<Utc>>, LedgerError> {
    if feedback.status != Status::Shipped {
        return Ok(None);
    }
    if let Some(decision) = feedback.decided.get("status") {
        return Ok(Some(decision.at));
    }
    let history = ledger.history(id)?;
    let shipped = Value::from(Status::Shipped.name());
    let moved = history
        .iter()
        .rev()
        .find(|line| line.field.as_deref() == Some("status") && line.new.as_ref() == Some(&shipped));
    Ok(moved.or(history.first()).map(|line| line.at).or(feedback.received_at))
}

/// A line that says what it is about.
fn title(feedback: &Feedback) -> Option<String> {
    let text = [&feedback.title, &feedback.summary, &feedback.verbatim]
        .into_iter()
        .flatten()
        .find(|text| !text.trim().is_empty())?;
    let line = text.trim().lines().next().unwrap_or_default();
    Some(if line.chars().count() > TITLE {
        line.chars().take(TITLE - 1).chain(['…']).collect()
    } else {
        line.to_owned()
    })
}

const TITLE: usize = 120;

/// The domains that lead to this customer. One that another had first is that one's, whatever a source says of both: some
/// vendors let only one have it. Who was merged has none.
fn own_domains(ledger: &Ledger, id: EntityId, customer: &Customer) -> Result<Vec<String>, LedgerError> {
    let mut own = Vec::new();
    for domain in &customer.domains {
        let owner = match Alias::new(AliasKind::Domain, domain) {
            Some(alias) => ledger.customer_by(&alias)?,
            None => None,
        };
        let is_own = match owner {
            Some(owner) => owner == id,
            None => !customer.is_merged() && !is_mail_provider(domain),
        };
        if is_own {
            own.push(domain.clone());
        }
    }
    Ok(own)
}

fn of_theme(ledger: &Ledger, id: EntityId, theme: &Theme) -> Result<Value, LedgerError> {
    let weight = weigh(ledger, &members_of_theme(ledger, id)?)?;
    let is_hypothesis = theme.status.as_deref().is_none_or(|status| status == HYPOTHESIS);
    let proposed = ledger.proposal(Proposed::VerifyTheme { theme: id }.number()?)?;
    let verify = is_hypothesis && proposed.is_some_and(|proposal| proposal.state == ProposalState::Open);
    Ok(json!({
        "count": weight.count,
        "items": weight.items,
        "customers": weight.customers,
        "arr": weight.arr,
        "newest_at": weight.newest_at,
        "verify": verify,
    }))
}

/// What stands behind a theme.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weight {
    /// Items, where duplicates count once.
    pub count: usize,
    /// All of them.
    pub items: usize,
    pub customers: usize,
    /// Of those customers, each counted once, however much it says.
    pub arr: f64,
    pub newest_at: Option<DateTime<Utc>>,
}

/// Adds up what stands behind some items.
///
/// # Errors
/// The ledger's.
pub fn weigh(ledger: &Ledger, members: &[(EntityId, Feedback)]) -> Result<Weight, LedgerError> {
    let mut roots = BTreeSet::new();
    for (id, feedback) in members {
        let root = if feedback.duplicate_of.is_some() { stands_for(ledger, *id)? } else { None };
        roots.insert(root.unwrap_or(*id));
    }
    let customers: BTreeSet<EntityId> = members.iter().filter_map(|(_, feedback)| feedback.customer).collect();
    let mut arr = 0.0;
    for customer in &customers {
        let customer = ledger.entity(*customer)?;
        arr += customer.as_ref().and_then(Entity::as_customer).and_then(|customer| customer.arr).unwrap_or(0.0);
    }
    Ok(Weight {
        count: roots.len(),
        items: members.len(),
        customers: customers.len(),
        arr,
        newest_at: members.iter().filter_map(|(_, feedback)| feedback.received_at).max(),
    })
}

/// The items of a theme and of all that were merged into it, by id, without what was withdrawn. A theme that was merged itself has none.
///
/// # Errors
/// The ledger's.
pub fn members_of_theme(ledger: &Ledger, id: EntityId) -> Result<Vec<(EntityId, Feedback)>, LedgerError> {
    if lives_in(ledger, id)? != id {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for theme in family(ledger, id)? {
        found.extend(members(ledger, theme)?.into_iter().filter(|(_, feedback)| feedback.theme == Some(theme)));
    }
    found.sort_by_key(|(id, _)| *id);
    Ok(found)
}

/// The feedback that names an entity, without what was withdrawn.
fn members(ledger: &Ledger, id: EntityId) -> Result<Vec<(EntityId, Feedback)>, LedgerError> {
    let mut members = Vec::new();
    for id in ledger.referrers(id)? {
        if let Some(feedback) = ledger.entity(id)?.as_ref().and_then(Entity::as_feedback)
            && !feedback.withdrawn
        {
            members.push((id, feedback.clone()));
        }
    }
    Ok(members)
}

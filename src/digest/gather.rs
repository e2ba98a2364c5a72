//! The numbers of a week: one pass over what was said, and what waits for people.
//!
//! The law: they follow from the ledger and the week alone. What came later is left out, so that a past week reads today
//! as it did then, as far as the ledger still knows.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::span::Span;
use super::week::{Change, Decide, Decision, Money, Role, Said, Signal, ThemeLine, Week, Win};
use super::words;
use crate::house::House;
use crate::ledger::{DoubtState, LedgerError, MessageState, ProposalState, Proposed};
use crate::report::coverage::{Expected, coverage, revenue};
use crate::report::voices::{Account, Voice, Voices, voices};
use crate::schema::{EntityId, EntityKind, RiskReason, Status};
use crate::triage::risk::is_plain;

/// How far back the gaps are looked for: one week alone is mostly chance.
const GAP_DAYS: u32 = 28;
const BROKEN: [&str; 3] = ["bug", "pain_point", "behavior_not_working"];
const PRAISE: [&str; 2] = ["praise", "behavior_working"];
/// What names of people's are cut to: a digest is short.
const NAME: usize = 60;
const STATEMENT: usize = 110;

/// What waits for people, as it stood when the week ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waits {
    pub verify: Vec<EntityId>,
    pub proposals: usize,
    pub messages: usize,
    pub conflicts: usize,
    pub customers: usize,
}

/// Listens to all that was said, with the words of some weeks.
///
/// # Errors
/// When the ledger cannot be read.
pub fn listen(house: &House, spans: &[Span]) -> Result<Voices, LedgerError> {
    let weeks: Vec<(DateTime<Utc>, DateTime<Utc>)> = spans.iter().map(|span| (span.from(), span.to())).collect();
    voices(&house.ledger, |at| weeks.iter().any(|(from, to)| *from <= at && at < *to))
}

/// Everything of a week, for everybody; [`super::role::seen_by`] makes an edition of it. `all`: with the words of that week.
///
/// # Errors
/// When the ledger cannot be read.
pub fn gather(house: &House, all: &Voices, span: Span) -> Result<Week, LedgerError> {
    let products = house.config.vocabularies.get("product").map_or(&[][..], Vec::as_slice);
    let expected = Expected { products: products.iter().map(|term| term.value.clone()).collect() };
    Ok(week(all, span, &waits(house, span.to())?, &expected, house.now()))
}

fn waits(house: &House, to: DateTime<Utc>) -> Result<Waits, LedgerError> {
    let mut waits = Waits::default();
    for (_, proposal) in house.ledger.proposals()? {
        let open = match &proposal.state {
            ProposalState::Open => true,
            ProposalState::Done { at, .. } | ProposalState::Refused { at, .. } | ProposalState::Undone { at, .. } => {
                *at >= to
            }
        };
        if proposal.at >= to || !open {
            continue;
        }
        match proposal.what {
            Proposed::VerifyTheme { theme } => waits.verify.push(theme),
            Proposed::Duplicate { .. } | Proposed::MergeThemes { .. } | Proposed::SplitTheme { .. } => {
                waits.proposals += 1;
            }
        }
    }
    let waited = |state: &MessageState| match state {
        MessageState::Prepared => true,
        MessageState::Approved { at, .. } | MessageState::Dropped { at, .. } => *at >= to,
        MessageState::Sending { .. } | MessageState::Sent { .. } | MessageState::Reworded { .. } => false,
    };
    let messages = house.ledger.messages()?;
    waits.messages = messages.iter().filter(|(_, message)| message.prepared < to && waited(&message.state)).count();
    waits.conflicts = house.ledger.questions()?.iter().filter(|question| question.at < to).count();
    let doubted = |state: &DoubtState| match state {
        DoubtState::Open => true,
        DoubtState::One { at, .. } | DoubtState::Two { at, .. } => *at >= to,
    };
    let doubts = house.ledger.doubts()?;
    waits.customers = doubts.iter().filter(|(.., doubt)| doubt.at < to && doubted(&doubt.state)).count();
    Ok(waits)
}

/// Pure: from what was said to the numbers.
pub fn week(all: &Voices, span: Span, waits: &Waits, expected: &Expected, now: DateTime<Utc>) -> Week {
    let (from, to) = (span.from(), span.to());
    let before = span.before();
    let this: Vec<&Voice> = all.items.iter().filter(|item| item.between(from, to)).collect();
    let last: Vec<&Voice> = all.items.iter().filter(|item| item.between(before.from(), before.to())).collect();
    let speakers = |items: &[&Voice]| -> BTreeSet<EntityId> { items.iter().filter_map(|item| item.customer).collect() };
    let (heard, heard_before) = (speakers(&this), speakers(&last));
    let signals = signals(all, &this);
    let churning: BTreeSet<EntityId> =
        this.iter().filter(|item| speaks_of_leaving(item)).filter_map(|item| item.customer).collect();
    let unknown = this.iter().filter(|item| speaks_of_leaving(item) && item.customer.is_none()).count();
    let ever = by_theme(all, to);
    let themes = themes(all, &this, &last, &ever);
    Week {
        week: span.name(),
        year: span.year(),
        number: span.number(),
        from: span.monday,
        until: span.sunday(),
        timezone: span.zone.to_string(),
        role: Role::default(),
        running: now < to,
        first: !all.items.iter().any(|item| item.at.is_some_and(|at| at < from)),
        items: Change::of(this.len(), last.len()),
        customers: Change::of(heard.len(), heard_before.len()),
        arr_heard: revenue(all, &heard).map(Money::of),
        praise: this.iter().filter(|item| item.is(&PRAISE)).count(),
        defects: this.iter().filter(|item| item.is(&BROKEN)).count(),
        unsorted: this.iter().filter(|item| item.theme.is_none()).count(),
        decisions: decisions(all, &this, &signals, waits, &ever, to),
        themes,
        signals,
        churning: churning.len() + unknown,
        churning_arr: revenue(all, &churning).map(Money::of),
        gaps: coverage(all, span.days_before_end(GAP_DAYS.into()), to, expected).gaps,
        gap_days: GAP_DAYS,
        wins: wins(all, span),
        quotes: quotes(all, &this),
    }
}

fn speaks_of_leaving(item: &Voice) -> bool {
    signs(item).any(|reason| reason.kind == "churn") || item.is(&["churn_signal"])
}

/// The signs of risk that an item plainly gives.
fn signs(item: &Voice) -> impl Iterator<Item = &RiskReason> {
    item.risk.iter().flat_map(|risk| &risk.reasons).filter(|reason| is_plain(reason))
}

/// One a customer, the heaviest first; who is not known stands for itself.
fn signals(all: &Voices, this: &[&Voice]) -> Vec<Signal> {
    let mut by: BTreeMap<(Option<EntityId>, Option<EntityId>), Vec<&Voice>> = BTreeMap::new();
    for item in this {
        if speaks_of_leaving(item) || signs(item).next().is_some() {
            let itself = item.customer.is_none().then_some(item.id);
            by.entry((item.customer, itself)).or_default().push(item);
        }
    }
    let mut signals: Vec<(f64, Signal)> = Vec::new();
    for ((customer, _), items) in by {
        let account = customer.and_then(|id| all.accounts.get(&id));
        let score = |item: &Voice| item.risk.as_ref().map_or(0.5, |risk| risk.score);
        let weight = |item: &&&Voice| (score(item) * 1e6).round();
        let Some(strongest) = items.iter().max_by(|a, b| weight(a).total_cmp(&weight(b)).then(b.id.cmp(&a.id))) else {
            continue;
        };
        let mut kinds: Vec<(&str, f64)> = Vec::new();
        for item in &items {
            kinds.extend(signs(item).map(|reason| (reason.kind.as_str(), reason.weight)));
            if speaks_of_leaving(item) {
                kinds.push(("churn", 1.0));
            }
        }
        kinds.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let mut named: Vec<String> = Vec::new();
        for (kind, _) in kinds {
            if !named.iter().any(|known| known == kind) {
                named.push(kind.to_owned());
            }
        }
        let quote = signs(strongest).max_by(|a, b| a.weight.total_cmp(&b.weight));
        let quote = quote.map(|reason| reason.quote.text.as_str()).filter(|text| words::is_short(text));
        let arr = account.and_then(|account| account.arr);
        signals.push((
            score(strongest) * arr.unwrap_or(1.0),
            Signal {
                customer: account.map(|account| words::clip(&account.name, NAME)),
                segment: strongest.segment.as_deref().map(|name| words::clip(name, NAME)),
                tier: account.and_then(|account| account.tier.as_deref()).map(|name| words::clip(name, NAME)),
                arr: arr.map(Money::of),
                kinds: named,
                competitor: items
                    .iter()
                    .flat_map(|item| signs(item))
                    .find_map(|reason| reason.name.as_deref())
                    .map(|name| words::clip(name, NAME)),
                item: strongest.short_id(),
                quote: quote.map(str::to_owned),
            },
        ));
    }
    signals.sort_by(|(a, one), (b, other)| {
        other.is_churn().cmp(&one.is_churn()).then(b.total_cmp(a)).then_with(|| one.item.cmp(&other.item))
    });
    signals.into_iter().map(|(_, signal)| signal).collect()
}

/// How many pieces belong to each theme, and whose they are.
type ByTheme = BTreeMap<EntityId, (usize, BTreeSet<EntityId>)>;

fn by_theme(all: &Voices, to: DateTime<Utc>) -> ByTheme {
    let mut ever = ByTheme::new();
    for item in all.items.iter().filter(|item| item.at.is_some_and(|at| at < to)) {
        if let Some(theme) = item.theme {
            let said = ever.entry(theme).or_default();
            said.0 += 1;
            said.1.extend(item.customer);
        }
    }
    ever
}

/// By revenue of those who spoke; where none is known, by customers and pieces.
fn themes(all: &Voices, this: &[&Voice], last: &[&Voice], ever: &ByTheme) -> Vec<ThemeLine> {
    let mut now: BTreeMap<EntityId, Vec<&Voice>> = BTreeMap::new();
    for item in this {
        if let Some(theme) = item.theme {
            now.entry(theme).or_default().push(item);
        }
    }
    let mut before: BTreeMap<EntityId, usize> = BTreeMap::new();
    for theme in last.iter().filter_map(|item| item.theme) {
        *before.entry(theme).or_default() += 1;
    }
    let mut lines: Vec<(f64, ThemeLine)> = Vec::new();
    for (theme, items) in now {
        let Some(topic) = all.topics.get(&theme) else { continue };
        let customers: BTreeSet<EntityId> = items.iter().filter_map(|item| item.customer).collect();
        let arr = revenue(all, &customers);
        let (all_items, all_customers) =
            ever.get(&theme).map_or((0, 0), |(items, customers)| (*items, customers.len()));
        let defects: Vec<&&Voice> = items.iter().filter(|item| item.is(&BROKEN)).collect();
        lines.push((
            arr.unwrap_or(0.0),
            ThemeLine {
                id: theme.short(EntityKind::Theme),
                name: words::clip(&topic.name, NAME),
                statement: topic.statement.as_deref().map(|text| words::clip(text, STATEMENT)),
                status: topic.status.clone(),
                job: topic.job.as_deref().map(|text| words::clip(text, STATEMENT)),
                items: Change::of(items.len(), before.get(&theme).copied().unwrap_or_default()),
                customers: customers.len(),
                arr: arr.map(Money::of),
                all_items,
                all_customers,
                defects: defects.len(),
                critical: defects.iter().filter(|item| is_critical(item)).count(),
            },
        ));
    }
    lines.sort_by(|(a, one), (b, other)| {
        b.total_cmp(a)
            .then(other.customers.cmp(&one.customers))
            .then(other.items.now.cmp(&one.items.now))
            .then_with(|| (&one.name, &one.id).cmp(&(&other.name, &other.id)))
    });
    lines.into_iter().map(|(_, line)| line).collect()
}

fn is_critical(item: &Voice) -> bool {
    item.severity.as_deref() == Some("critical")
}

fn decisions(
    all: &Voices,
    this: &[&Voice],
    signals: &[Signal],
    waits: &Waits,
    ever: &ByTheme,
    to: DateTime<Utc>,
) -> Vec<Decision> {
    let mut decisions: Vec<Decision> = signals
        .iter()
        .filter(|signal| signal.is_churn())
        .map(|signal| Decision {
            what: Decide::Churn,
            name: signal.customer.clone(),
            count: 1,
            customers: 1,
            arr: signal.arr.clone(),
            id: Some(signal.item.clone()),
        })
        .collect();
    let critical: Vec<&&Voice> = this
        .iter()
        .filter(|item| is_critical(item) && !item.is(&PRAISE))
        .filter(|item| item.is_open() || item.shipped_at.is_some_and(|at| at >= to))
        .collect();
    if !critical.is_empty() {
        let customers: BTreeSet<EntityId> = critical.iter().filter_map(|item| item.customer).collect();
        let one = if let [one] = critical.as_slice() { Some(one) } else { None };
        decisions.push(Decision {
            what: Decide::Critical,
            name: one.and_then(|item| words::title(item)),
            count: critical.len(),
            customers: customers.len(),
            arr: revenue(all, &customers).map(Money::of),
            id: one.map(|item| item.short_id()),
        });
    }
    let mut verify: Vec<(f64, Decision)> = Vec::new();
    for theme in &waits.verify {
        let Some(topic) = all.topics.get(theme) else { continue };
        let (count, customers) = ever.get(theme).cloned().unwrap_or_default();
        let arr = revenue(all, &customers);
        verify.push((
            arr.unwrap_or(0.0),
            Decision {
                what: Decide::Verify,
                name: Some(words::clip(&topic.name, NAME)),
                count,
                customers: customers.len(),
                arr: arr.map(Money::of),
                id: Some(theme.short(EntityKind::Theme)),
            },
        ));
    }
    verify.sort_by(|(a, one), (b, other)| {
        b.total_cmp(a).then(other.count.cmp(&one.count)).then_with(|| one.id.cmp(&other.id))
    });
    decisions.extend(verify.into_iter().map(|(_, decision)| decision));
    let counted = [
        (Decide::Messages, waits.messages),
        (Decide::Proposals, waits.proposals),
        (Decide::Conflicts, waits.conflicts),
        (Decide::Customers, waits.customers),
    ];
    for (what, count) in counted.into_iter().filter(|(_, count)| *count > 0) {
        decisions.push(Decision { what, name: None, count, customers: 0, arr: None, id: None });
    }
    decisions
}

/// What shipped, by theme where it has one; what most revenue waited for first.
fn wins(all: &Voices, span: Span) -> Vec<Win> {
    let mut by: BTreeMap<(Option<EntityId>, Option<EntityId>), Vec<&Voice>> = BTreeMap::new();
    for item in &all.items {
        if item.status == Status::Shipped && item.shipped_at.is_some_and(|at| span.holds(at)) {
            by.entry((item.theme, item.theme.is_none().then_some(item.id))).or_default().push(item);
        }
    }
    for (theme, _) in all.topics.iter().filter(|(_, topic)| topic.shipped_at.is_some_and(|at| span.holds(at))) {
        by.entry((Some(*theme), None))
            .or_insert_with(|| all.items.iter().filter(|item| item.theme == Some(*theme)).collect());
    }
    let mut wins: Vec<(f64, Win)> = Vec::new();
    for ((theme, item), items) in by {
        let topic = theme.and_then(|id| Some((id, all.topics.get(&id)?)));
        let (name, id) = match (topic, item, items.first()) {
            (Some((id, topic)), ..) => (words::clip(&topic.name, NAME), id.short(EntityKind::Theme)),
            (None, Some(_), Some(first)) => (words::title(first).unwrap_or_else(|| first.short_id()), first.short_id()),
            _ => continue,
        };
        let at = items.iter().filter_map(|item| item.shipped_at).filter(|at| span.holds(*at)).max();
        let at = at.or(topic.and_then(|(_, topic)| topic.shipped_at));
        let Some(on) = at.map(|at| span.day(at)) else { continue };
        let customers: BTreeSet<EntityId> = items.iter().filter_map(|item| item.customer).collect();
        let mut accounts: Vec<&Account> = customers.iter().filter_map(|id| all.accounts.get(id)).collect();
        accounts
            .sort_by(|a, b| b.arr.unwrap_or(0.0).total_cmp(&a.arr.unwrap_or(0.0)).then_with(|| a.name.cmp(&b.name)));
        let arr = revenue(all, &customers);
        wins.push((
            arr.unwrap_or(0.0),
            Win {
                name,
                id,
                on,
                items: items.len(),
                customers: customers.len(),
                arr: arr.map(Money::of),
                names: accounts.iter().take(3).map(|account| words::clip(&account.name, NAME)).collect(),
            },
        ));
    }
    wins.sort_by(|(a, one), (b, other)| {
        b.total_cmp(a)
            .then(other.customers.cmp(&one.customers))
            .then_with(|| (&one.name, &one.id).cmp(&(&other.name, &other.id)))
    });
    wins.into_iter().map(|(_, win)| win).collect()
}

/// What is worth reading in their words, from those with most revenue first; one a customer and kind.
fn quotes(all: &Voices, this: &[&Voice]) -> Vec<Said> {
    let mut said: Vec<(f64, Said)> = Vec::new();
    let mut seen: BTreeSet<(Option<EntityId>, &str)> = BTreeSet::new();
    let mut items: Vec<(f64, &&Voice)> = this
        .iter()
        .map(|item| (item.customer.and_then(|id| all.accounts.get(&id)?.arr).unwrap_or(0.0), item))
        .collect();
    items.sort_by(|(a, one), (b, other)| b.total_cmp(a).then(one.id.cmp(&other.id)));
    for (arr, item) in items {
        let kind = match item {
            item if speaks_of_leaving(item) => "churn",
            item if item.is(&PRAISE) => "praise",
            item if item.is(&BROKEN) => "defect",
            _ => "request",
        };
        if seen.contains(&(item.customer, kind)) {
            continue;
        }
        let Some(text) = words::quotable(item) else { continue };
        // Nobody in particular may say several things.
        if item.customer.is_some() {
            seen.insert((item.customer, kind));
        }
        let account = item.customer.and_then(|id| all.accounts.get(&id));
        said.push((
            arr,
            Said {
                text,
                customer: account.map(|account| words::clip(&account.name, NAME)),
                segment: item.segment.as_deref().map(|name| words::clip(name, NAME)),
                tier: account.and_then(|account| account.tier.as_deref()).map(|name| words::clip(name, NAME)),
                item: item.short_id(),
                theme: item.theme.and_then(|id| all.topics.get(&id)).map(|topic| words::clip(&topic.name, NAME)),
                kind: kind.to_owned(),
            },
        ));
        if said.len() >= 40 {
            break;
        }
    }
    said.into_iter().map(|(_, said)| said).collect()
}

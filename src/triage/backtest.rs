//! Backtest: what another prompt, or another model, would have said of items that are known, before anybody switches.
//!
//! Nothing is changed by it: it asks in a ledger of its own, in memory, and what it spent is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::classify::{self, Reading};
use crate::enrich::Suggestion;
use crate::house::House;
use crate::ledger::{LedgerError, Spent};
use crate::model::Asked;
use crate::pause::Pause;
use crate::review::wilson;
use crate::schema::{EntityId, EntityKind, Verdict};

/// An item as it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    pub id: EntityId,
    pub reading: Reading,
    /// What was said of it, by path.
    pub verdicts: BTreeMap<String, Verdict>,
    /// What people decided, by path.
    pub decided: BTreeMap<String, Value>,
}

/// What became of one path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PathReport {
    /// Items of which both said something.
    pub compared: usize,
    pub flipped: usize,
    /// Items of which a person said what is right, and both said something.
    pub reviewed: usize,
    pub old: Share,
    pub new: Share,
    /// Wrong before and right now, and the other way round.
    pub better: usize,
    pub worse: usize,
    /// How likely so uneven a count of better and worse is by chance alone (exact McNemar test).
    pub chance: f64,
}

/// A share with its 95 % bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub agreed: usize,
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

/// One item that would be judged otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flip {
    pub item: String,
    pub text: String,
    pub path: String,
    pub was: String,
    pub now: String,
    /// What a person says.
    pub stands: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub items: usize,
    pub answered: usize,
    /// No answer of any model held.
    pub unanswered: usize,
    pub paths: BTreeMap<String, PathReport>,
    pub flips: Vec<Flip>,
    pub calls: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub usd: f64,
    pub usd_per_item: f64,
    /// It ended before its items did, and why.
    pub cut: Option<String>,
}

/// The items to replay: those that people spoke to first, then others; at most `limit`.
///
/// # Errors
/// When the ledger cannot be read.
pub fn known(house: &House, limit: usize) -> Result<Vec<Known>, LedgerError> {
    let (mut reviewed, mut others) = (Vec::new(), Vec::new());
    for id in house.ledger.ids(EntityKind::Feedback)? {
        if reviewed.len() >= limit {
            break;
        }
        let Some(entity) = house.ledger.entity(id)? else { continue };
        let Some(feedback) = entity.as_feedback().filter(|feedback| !feedback.withdrawn) else { continue };
        let value = entity.to_value();
        let decided: BTreeMap<String, Value> = feedback
            .decided
            .keys()
            .filter(|path| path.starts_with("tags."))
            .filter_map(|path| {
                let parsed = path.parse::<crate::schema::Path>().ok()?;
                Some((path.clone(), parsed.get(&value).clone()))
            })
            .collect();
        if decided.is_empty() && (feedback.enrichment.is_empty() || others.len() >= limit) {
            continue;
        }
        let known = Known {
            id,
            reading: Reading {
                text: super::text(feedback),
                source: feedback.source.clone(),
                region: super::region(house, feedback)?,
                names: super::names(house, feedback)?,
                examples: Vec::new(),
                vocabularies: None,
            },
            verdicts: feedback.enrichment.clone(),
            decided,
        };
        if known.decided.is_empty() { others.push(known) } else { reviewed.push(known) }
    }
    reviewed.extend(others);
    reviewed.truncate(limit);
    Ok(reviewed)
}

/// Asks anew about every item, as this house is configured. `tell` hears how many are done.
///
/// # Errors
/// When the ledger (a fresh one, in memory) fails.
pub async fn run(
    house: &House,
    items: &[Known],
    pause: &dyn Pause,
    tell: &mut (dyn FnMut(usize) + Send),
) -> Result<Report, LedgerError> {
    let mut report = Report { items: items.len(), ..Report::default() };
    let mut right: BTreeMap<String, Vec<(bool, bool)>> = BTreeMap::new();
    for (number, item) in items.iter().enumerate() {
        match classify::ask_patiently(house, &item.reading, pause).await? {
            Asked::Answered(answered) => {
                report.answered += 1;
                compare(item, &classify::suggestions(&answered), &mut report, &mut right);
            }
            Asked::Unanswered(_) => report.unanswered += 1,
            Asked::Alone => {
                report.cut = Some("there is no model to ask: see [model] in the configuration".into());
                break;
            }
            Asked::Later(until) => {
                report.cut = Some(crate::model::why_not(house, until)?);
                break;
            }
        }
        tell(number + 1);
    }
    for (path, pairs) in right {
        let row = report.paths.entry(path).or_default();
        row.reviewed = pairs.len();
        row.old = share(pairs.iter().filter(|(old, _)| *old).count(), pairs.len());
        row.new = share(pairs.iter().filter(|(_, new)| *new).count(), pairs.len());
        row.better = pairs.iter().filter(|(old, new)| !old && *new).count();
        row.worse = pairs.iter().filter(|(old, new)| *old && !new).count();
        row.chance = mcnemar(row.better, row.worse);
    }
    for (.., spent) in house.ledger.spent()? {
        add(&mut report, &spent);
    }
    if report.answered > 0 {
        #[expect(clippy::cast_precision_loss, reason = "items are few")]
        let items = report.answered as f64;
        report.usd_per_item = report.usd / items;
    }
    Ok(report)
}

fn add(report: &mut Report, spent: &Spent) {
    report.calls += spent.calls;
    report.input_tokens += spent.input_tokens;
    report.output_tokens += spent.output_tokens;
    report.usd += crate::report::cost::usd(spent.micro_usd);
}

fn compare(item: &Known, said: &[Suggestion], report: &mut Report, right: &mut BTreeMap<String, Vec<(bool, bool)>>) {
    for suggestion in said {
        let Some(was) = item.verdicts.get(&suggestion.path) else { continue };
        let row = report.paths.entry(suggestion.path.clone()).or_default();
        row.compared += 1;
        let was = was.value.as_str().unwrap_or_default();
        let stands = item.decided.get(&suggestion.path).map(|value| value.as_str().unwrap_or_default().to_owned());
        if was != suggestion.value {
            row.flipped += 1;
            report.flips.push(Flip {
                item: item.id.short(EntityKind::Feedback),
                text: item.reading.whole().split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect(),
                path: suggestion.path.clone(),
                was: was.to_owned(),
                now: suggestion.value.clone(),
                stands: stands.clone(),
            });
        }
        if let Some(stands) = stands {
            right.entry(suggestion.path.clone()).or_default().push((was == stands, suggestion.value == stands));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "items are few")]
fn share(agreed: usize, of: usize) -> Share {
    let (low, high) = wilson(agreed, of);
    Share { agreed, share: if of == 0 { 0.0 } else { agreed as f64 / of as f64 }, low, high }
}

/// Two-sided, exact: of `better + worse` changes that are each as likely either way, how likely is one so uneven?
fn mcnemar(better: usize, worse: usize) -> f64 {
    let n = better + worse;
    if n == 0 {
        return 1.0;
    }
    let least = better.min(worse);
    // By logarithms: n may be some thousands.
    #[expect(clippy::cast_precision_loss, reason = "items are few")]
    let ln_choose = |k: usize| (0..k).map(|i| ((n - i) as f64).ln() - ((i + 1) as f64).ln()).sum::<f64>();
    #[expect(clippy::cast_precision_loss, reason = "items are few")]
    let all = n as f64 * std::f64::consts::LN_2;
    let tail: f64 = (0..=least).map(|k| (ln_choose(k) - all).exp()).sum();
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_that_of_the_books() {
        // Binomial tails: 2 × P(X ≤ k) of n fair throws.
        for (better, worse, expected) in
            [(0, 0, 1.0), (5, 5, 1.0), (1, 9, 0.021_484_375), (0, 6, 0.031_25), (10, 2, 0.038_574_218_75)]
        {
            assert!((mcnemar(better, worse) - expected).abs() < 1e-9, "{better} {worse}: {}", mcnemar(better, worse));
        }
        assert!(mcnemar(2000, 1000) < 1e-9);
    }
}

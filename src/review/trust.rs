//! Trust: whether a task may act by itself on a category and a segment.
//!
//! Law: it follows from what people said, and from nothing else. A task earns it when the lower 95 % bound of agreement over
//! its newest reviews reaches the target, and loses it when that bound falls too far below. Configuration can forbid it
//! (`off`, `suggest`, a higher target), never give it: [`holds`] looks at the reviews each time it is asked.

use chrono::{DateTime, Utc};

use crate::config::{LEAST_REVIEWS, LEAST_TARGET, Mode, ReviewConfig};
use crate::house::House;
use crate::ledger::{LedgerError, Standing, Tx};
use crate::schema::{EntityId, Task};

/// Of the normal distribution, for 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// Whatever the slack, what may be wrong every other time is trusted no longer.
const KEEP: f64 = 0.5;

/// A share with its 95 % bounds (Wilson): (lower, upper). Of nothing, nothing is known: (0, 1).
#[expect(clippy::cast_precision_loss, reason = "reviews are far fewer than 2^52")]
pub fn wilson(agreed: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let n = of as f64;
    let share = agreed.min(of) as f64 / n;
    let z2 = Z * Z;
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// Agreement beyond chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kappa {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Cohen's kappa, with its large-sample 95 % interval. `pairs` are what was said and what stands, each with the scale that it
/// is on: chance is reckoned scale by scale, for nobody takes a language for a severity. `None`: chance alone would agree
/// always, so that nothing can be told.
#[expect(clippy::cast_precision_loss, reason = "reviews are far fewer than 2^52")]
pub fn kappa<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Option<Kappa> {
    use std::collections::BTreeMap;
    #[derive(Default)]
    struct Scale<'a> {
        said: BTreeMap<&'a str, f64>,
        stands: BTreeMap<&'a str, f64>,
        all: f64,
    }
    let mut scales: BTreeMap<&str, Scale<'_>> = BTreeMap::new();
    let (mut n, mut agreed) = (0_usize, 0_usize);
    for (scale, said, stands) in pairs {
        let scale = scales.entry(scale).or_default();
        *scale.said.entry(said).or_default() += 1.0;
        *scale.stands.entry(stands).or_default() += 1.0;
        scale.all += 1.0;
        n += 1;
        agreed += usize::from(said == stands);
    }
    if n == 0 {
        return None;
    }
    let chance = |scale: &Scale<'_>| -> f64 {
        let both = scale.said.iter().map(|(value, said)| said * scale.stands.get(value).copied().unwrap_or(0.0));
        both.sum::<f64>() / (scale.all * scale.all)
    };
    let expected = scales.values().map(|scale| chance(scale) * scale.all / n as f64).sum::<f64>();
    let observed = agreed as f64 / n as f64;
    if 1.0 - expected < 1e-9 {
        return None;
    }
    let value = (observed - expected) / (1.0 - expected);
    let error = (observed * (1.0 - observed) / (n as f64 * (1.0 - expected).powi(2))).sqrt();
    Some(Kappa { value, low: (value - Z * error).max(-1.0), high: (value + Z * error).min(1.0) })
}

/// What the newest reviews of a cell come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tally {
    pub agreed: usize,
    pub of: usize,
    pub low: f64,
    pub high: f64,
}

/// The newest reviews, as many as the window takes.
pub fn tally(standing: &Standing, rule: &ReviewConfig) -> Tally {
    let skip = standing.recent.len().saturating_sub(rule.window);
    let recent = standing.recent.get(skip..).unwrap_or_default();
    let agreed = recent.iter().filter(|agreed| **agreed).count();
    let (low, high) = wilson(agreed, recent.len());
    Tally { agreed, of: recent.len(), low, high }
}

fn least(rule: &ReviewConfig) -> usize {
    rule.least.max(LEAST_REVIEWS as usize)
}

fn target(rule: &ReviewConfig) -> f64 {
    rule.target.max(LEAST_TARGET)
}

/// Whether trust that was earned still stands, by what people said and the rule of today.
pub fn holds(standing: &Standing, rule: &ReviewConfig) -> bool {
    let tally = tally(standing, rule);
    standing.earned.is_some() && tally.of >= least(rule) && tally.low >= (target(rule) - rule.slack).max(KEEP)
}

/// What is lacking to trust, in words; `None`: nothing.
pub fn lacks(standing: &Standing, rule: &ReviewConfig) -> Option<String> {
    let tally = tally(standing, rule);
    if holds(standing, rule) {
        None
    } else if tally.of < least(rule) {
        let more = least(rule) - tally.of;
        Some(format!("{more} more review{}", if more == 1 { "" } else { "s" }))
    } else {
        Some(format!("the lower bound is {:.2}, of {:.2}", tally.low, target(rule)))
    }
}

/// What a review changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Earned,
    Lost,
}

/// Writes a person's word into a cell: `whose` names item, path and prompt; `None` takes the word back.
pub fn say(
    standing: &mut Standing,
    whose: u64,
    agreed: Option<bool>,
    rule: &ReviewConfig,
    now: DateTime<Utc>,
) -> Option<Turn> {
    // A row without names, or with too few, is of an older hand: those stand for themselves.
    standing.of.resize(standing.recent.len(), 0);
    let place = standing.of.iter().rposition(|known| *known == whose);
    match (place, agreed) {
        (Some(place), Some(agreed)) => {
            count(standing, standing.recent[place], false);
            count(standing, agreed, true);
            standing.recent[place] = agreed;
        }
        (Some(place), None) => {
            count(standing, standing.recent[place], false);
            standing.recent.remove(place);
            standing.of.remove(place);
        }
        (None, Some(agreed)) => {
            count(standing, agreed, true);
            standing.recent.push(agreed);
            standing.of.push(whose);
        }
        // It has left the window.
        (None, None) => {}
    }
    let spare = standing.recent.len().saturating_sub(rule.window);
    standing.recent.drain(..spare);
    standing.of.drain(..spare);
    turn(standing, rule, now)
}

fn count(standing: &mut Standing, agreed: bool, more: bool) {
    let step = |number: u64| if more { number + 1 } else { number.saturating_sub(1) };
    standing.reviews = step(standing.reviews);
    if agreed {
        standing.agreed = step(standing.agreed);
    }
}

fn turn(standing: &mut Standing, rule: &ReviewConfig, now: DateTime<Utc>) -> Option<Turn> {
    if standing.earned.is_some() {
        if holds(standing, rule) {
            return None;
        }
        standing.earned = None;
        return Some(Turn::Lost);
    }
    let tally = tally(standing, rule);
    if tally.of >= least(rule) && tally.low >= target(rule) {
        standing.earned = Some(now);
        return Some(Turn::Earned);
    }
    None
}

/// How a cell is called: `bug × finance`.
pub fn cell_name(category: &str, segment: &str) -> String {
    let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
    format!("{} × {}", or(category, "no category"), or(segment, "no segment"))
}

/// Cells are known in lower case.
pub fn cell(text: Option<&str>) -> String {
    text.unwrap_or_default().trim().to_lowercase()
}

/// May this task act by itself on what it says is of this category, of a customer of this segment? Only where its mode is
/// `auto` and people have agreed often enough. An item without a segment is a cell of its own.
///
/// # Errors
/// When the ledger cannot be read.
pub fn may_act(house: &House, task: Task, category: &str, segment: &str) -> Result<bool, LedgerError> {
    if house.config.task(task).mode != Mode::Auto {
        return Ok(false);
    }
    let standing = house.ledger.standing(task, &cell(Some(category)), &cell(Some(segment)))?;
    Ok(holds(&standing, &house.config.review))
}

/// The same in a transaction, which then rests on it.
///
/// # Errors
/// When the ledger cannot be read.
pub fn may_act_in(
    house: &House,
    tx: &mut Tx<'_>,
    task: Task,
    category: &str,
    segment: &str,
) -> Result<bool, LedgerError> {
    if house.config.task(task).mode != Mode::Auto {
        return Ok(false);
    }
    let standing = tx.standing(task, &cell(Some(category)), &cell(Some(segment)))?;
    Ok(holds(&standing, &house.config.review))
}

/// The share of what is trusted that a person sees all the same, so that drift is noticed. The same items each time.
pub fn sampled(id: EntityId, share: f64) -> bool {
    let [a, b, c, d, ..] = *id.as_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) < share * f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> ReviewConfig {
        ReviewConfig { drafts: true, target: 0.9, least: 30, window: 200, slack: 0.05, sample: 0.05 }
    }

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    #[test]
    fn bounds_are_those_of_the_books() {
        // Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        for (agreed, of, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let (found_low, found_high) = wilson(agreed, of);
            assert!((found_low - low).abs() < 1e-4 && (found_high - high).abs() < 1e-4, "{agreed} of {of}");
        }
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn kappa_takes_chance_away() {
        let pairs = |yes_yes: usize, yes_no: usize, no_yes: usize, no_no: usize| {
            let of = |count, said, stands| std::iter::repeat_n(("", said, stands), count);
            of(yes_yes, "y", "y").chain(of(yes_no, "y", "n")).chain(of(no_yes, "n", "y")).chain(of(no_no, "n", "n"))
        };
        // The example of every textbook: 20, 5, 10, 15: kappa is 0.4.
        let found = kappa(pairs(20, 5, 10, 15)).expect("two values");
        assert!((found.value - 0.4).abs() < 1e-9, "{found:?}");
        assert!((found.low - 0.1460).abs() < 1e-3 && (found.high - 0.6540).abs() < 1e-3, "{found:?}");
        assert_eq!(kappa(pairs(10, 0, 0, 0)), None, "with one value, chance agrees always");
        // Two scales of one value each agree by chance as well, though together they look like two values.
        assert_eq!(kappa([("language", "en", "en"), ("category", "bug", "bug")]), None);
    }

    #[test]
    fn trust_is_earned_and_lost() {
        let mut standing = Standing::default();
        for whose in 1..=34 {
            assert_eq!(say(&mut standing, whose, Some(true), &rule(), now()), None, "{whose} are not enough");
        }
        assert_eq!(say(&mut standing, 35, Some(true), &rule(), now()), Some(Turn::Earned), "35 of 35: 0.901");
        assert!(holds(&standing, &rule()) && lacks(&standing, &rule()).is_none());
        assert_eq!(say(&mut standing, 36, Some(false), &rule(), now()), None, "within the slack");
        assert_eq!(say(&mut standing, 37, Some(false), &rule(), now()), Some(Turn::Lost));
        assert!(!holds(&standing, &rule()));
        assert_eq!((standing.reviews, standing.agreed), (37, 35));
    }

    #[test]
    fn a_later_word_takes_the_place_of_the_earlier() {
        let mut standing = Standing::default();
        say(&mut standing, 7, Some(true), &rule(), now());
        say(&mut standing, 8, Some(true), &rule(), now());
        say(&mut standing, 7, Some(false), &rule(), now());
        assert_eq!((standing.recent.clone(), standing.reviews, standing.agreed), (vec![false, true], 2, 1));
        say(&mut standing, 7, None, &rule(), now());
        say(&mut standing, 9, None, &rule(), now());
        assert_eq!((standing.recent.clone(), standing.of, standing.reviews), (vec![true], vec![8], 1));
    }

    #[test]
    fn only_the_newest_count() {
        let mut standing = Standing::default();
        for whose in 1..=300 {
            say(&mut standing, whose, Some(whose > 100), &rule(), now());
        }
        assert_eq!(standing.recent.len(), 200);
        assert!(holds(&standing, &rule()), "what went wrong long ago is past");
        let narrow = ReviewConfig { window: 20, ..rule() };
        assert!(!holds(&standing, &narrow), "20 are fewer than the least");
    }

    #[test]
    fn no_rule_gives_trust_that_was_not_earned() {
        let forged = |recent: Vec<bool>| Standing { recent, earned: Some(now()), ..Standing::default() };
        for target in [0.0, 0.5, 0.9, 1.0] {
            for least in [0, 1, 30, 100_000] {
                for window in [0, 10, 10_000] {
                    for slack in [0.0, 0.5, 1.0] {
                        let rule = ReviewConfig { drafts: true, target, least, window, slack, sample: 0.0 };
                        assert!(!holds(&Standing::default(), &rule));
                        assert!(!holds(&forged(Vec::new()), &rule), "{rule:?}");
                        assert!(!holds(&forged(vec![true; 9]), &rule), "{rule:?}");
                        assert!(!holds(&forged(vec![false; 500]), &rule), "{rule:?}");
                        let mut standing = Standing::default();
                        for whose in 1..=9 {
                            assert_eq!(say(&mut standing, whose, Some(true), &rule, now()), None, "{rule:?}");
                        }
                        for whose in 10..=60 {
                            say(&mut standing, whose, Some(whose % 2 == 0), &rule, now());
                        }
                        assert!(standing.earned.is_none(), "half right is no trust, whatever the target: {rule:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_sample_is_always_the_same_and_as_large_as_it_says() {
        let ids: Vec<EntityId> = (0..10_000).map(|n| EntityId::derive("a", "b", &format!("{n}"))).collect();
        let count = |share| ids.iter().filter(|id| sampled(**id, share)).count();
        assert!((400..600).contains(&count(0.05)), "{}", count(0.05));
        assert_eq!((count(0.0), count(1.0)), (0, 10_000));
    }
}

//! Counts: accuracy, F1, agreement beyond chance, confusion, calibration.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::rows::Gold;

/// One row's truth and what was said.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The line in the file.
    pub line: usize,
    pub text: String,
    pub gold: Gold,
    pub said: Option<String>,
    pub confidence: f64,
    pub because: Option<String>,
}

impl Verdict {
    pub fn right(&self) -> bool {
        self.said.as_ref().is_some_and(|said| self.gold.contains(said))
    }

    fn truth(&self) -> String {
        self.gold.iter().map(String::as_str).collect::<Vec<_>>().join("+")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Class {
    pub name: String,
    /// Rows that are it.
    pub n: usize,
    /// Rows that were called it.
    pub said: usize,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

/// Verdicts of one range of confidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bin {
    pub from: f64,
    pub to: f64,
    pub n: usize,
    pub confidence: f64,
    pub right: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mistake {
    pub line: usize,
    pub gold: String,
    pub said: Option<String>,
    pub confidence: f64,
    pub because: Option<String>,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    pub n: usize,
    pub accuracy: f64,
    /// The mean F1 of the classes that the gold has.
    pub macro_f1: f64,
    /// Cohen's kappa: agreement beyond what chance gives.
    pub kappa: f64,
    /// Expected calibration error, over ten ranges of confidence.
    pub ece: f64,
    /// Rows of which nothing was said; they count as wrong.
    pub unsaid: usize,
    pub classes: Vec<Class>,
    /// Gold, said, rows.
    pub confusion: BTreeMap<String, BTreeMap<String, usize>>,
    pub calibration: Vec<Bin>,
    pub errors: Vec<Mistake>,
}

/// The name of what was not said, in the confusion.
pub const UNSAID: &str = "(nothing)";
/// Characters of a mistake's text that are shown.
const CUT: usize = 160;

pub fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

pub fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// `errors`: how many of the worst mistakes are listed, the surest first.
pub fn score(verdicts: &[Verdict], errors: usize) -> Score {
    let n = verdicts.len();
    let right = verdicts.iter().filter(|verdict| verdict.right()).count();
    let names: BTreeSet<&String> =
        verdicts.iter().flat_map(|verdict| verdict.gold.iter().chain(&verdict.said)).collect();
    let classes: Vec<Class> = names.into_iter().map(|name| class(name, verdicts)).collect();
    let present: Vec<f64> = classes.iter().filter(|class| class.n > 0).map(|class| class.f1).collect();
    let mut confusion: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for verdict in verdicts {
        let said = verdict.said.clone().unwrap_or_else(|| UNSAID.to_owned());
        *confusion.entry(verdict.truth()).or_default().entry(said).or_default() += 1;
    }
    let calibration = bins(verdicts);
    let ece = calibration.iter().map(|bin| (bin.confidence - bin.right).abs() * count(bin.n)).sum::<f64>();
    let accuracy = share(count(right), count(n));
    // By chance one agrees as often as both use the same word.
    let chance: f64 =
        classes.iter().map(|class| share(count(class.n), count(n)) * share(count(class.said), count(n))).sum();
    Score {
        n,
        accuracy,
        macro_f1: share(present.iter().sum(), count(present.len())),
        kappa: if chance < 1.0 { (accuracy - chance) / (1.0 - chance) } else { 1.0 },
        ece: share(ece, calibration.iter().map(|bin| count(bin.n)).sum()),
        unsaid: verdicts.iter().filter(|verdict| verdict.said.is_none()).count(),
        classes,
        confusion,
        calibration,
        errors: worst(verdicts, errors),
    }
}

fn class(name: &str, verdicts: &[Verdict]) -> Class {
    let is = |verdict: &&Verdict| verdict.gold.contains(name);
    let called = |verdict: &&Verdict| verdict.said.as_deref() == Some(name);
    let n = verdicts.iter().filter(is).count();
    let said = verdicts.iter().filter(called).count();
    let both = count(verdicts.iter().filter(is).filter(called).count());
    Class {
        name: name.to_owned(),
        n,
        said,
        precision: share(both, count(said)),
        recall: share(both, count(n)),
        f1: share(2.0 * both, count(n) + count(said)),
    }
}

fn bins(verdicts: &[Verdict]) -> Vec<Bin> {
    let bin = |at: u8| {
        let (from, to) = (f64::from(at) / 10.0, f64::from(at + 1) / 10.0);
        let inside = |verdict: &&Verdict| {
            verdict.said.is_some()
                && verdict.confidence >= from
                && (verdict.confidence < to || (at == 9 && verdict.confidence <= 1.0))
        };
        let here: Vec<&Verdict> = verdicts.iter().filter(inside).collect();
        let n = here.len();
        (n > 0).then(|| Bin {
            from,
            to,
            n,
            confidence: here.iter().map(|verdict| verdict.confidence).sum::<f64>() / count(n),
            right: count(here.iter().filter(|verdict| verdict.right()).count()) / count(n),
        })
    };
    (0..10).filter_map(bin).collect()
}

fn worst(verdicts: &[Verdict], errors: usize) -> Vec<Mistake> {
    let mut wrong: Vec<&Verdict> = verdicts.iter().filter(|verdict| !verdict.right()).collect();
    wrong.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.line.cmp(&b.line)));
    let mistake = |verdict: &Verdict| Mistake {
        line: verdict.line,
        gold: verdict.truth(),
        said: verdict.said.clone(),
        confidence: verdict.confidence,
        because: verdict.because.clone(),
        text: cut(&verdict.text),
    };
    wrong.into_iter().take(errors).map(mistake).collect()
}

fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CUT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The share of (positive, negative) in which the positive is higher; 0.5 where there are none of one kind.
pub fn auc(positive: &[f64], negative: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> =
        positive.iter().map(|value| (*value, true)).chain(negative.iter().map(|value| (*value, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins, mut at) = (0.0, 0.0, 0);
    while at < all.len() {
        let same = all[at..].iter().take_while(|(value, _)| value.total_cmp(&all[at].0).is_eq()).count();
        let here = &all[at..at + same];
        let high = count(here.iter().filter(|(_, positive)| *positive).count());
        let low = count(same) - high;
        wins += high * (below + low / 2.0);
        below += low;
        at += same;
    }
    let whole = count(positive.len()) * count(negative.len());
    if whole > 0.0 { wins / whole } else { 0.5 }
}

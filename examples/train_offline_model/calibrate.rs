//! From a model's probability to how often it is right: a rising curve through held-out verdicts, and a factor a class.

use loopd::enrich::model::interpolate;

use crate::data::Source;
use crate::folds::{FOLDS, Verdict};

const BINS: f32 = 12.0;
/// Imagined verdicts that are as right as the curve says, before a class is judged by its own.
const PRIOR: f32 = 6.0;

pub(crate) type Curve = Vec<(f32, f32)>;

/// Issues are few and what the product is for; without a weight the reviews would drown them.
fn weight(verdict: &Verdict) -> f32 {
    match verdict.source {
        _ if verdict.untold => 0.0,
        Source::Issues => 10.0,
        Source::Plain | Source::Business | Source::Sentences => 2.0,
        Source::Reviews | Source::Formed | Source::Talk | Source::Products => 1.0,
        Source::Intents => 0.0,
    }
}

/// The curve (isotonic regression over bins of equal weight) and each class's worth against it.
pub(crate) fn fit(verdicts: &[Verdict], classes: usize) -> (Curve, Vec<f32>) {
    fit_without(verdicts, classes, None)
}

fn fit_without(verdicts: &[Verdict], classes: usize, unit: Option<usize>) -> (Curve, Vec<f32>) {
    let mut used: Vec<&Verdict> =
        verdicts.iter().filter(|verdict| weight(verdict) > 0.0 && Some(verdict.unit) != unit).collect();
    used.sort_by(|a, b| a.probability.total_cmp(&b.probability).then(a.example.cmp(&b.example)));
    let whole: f32 = used.iter().map(|verdict| weight(verdict)).sum();
    // (weight, weighted probability, weighted hits)
    let mut bins: Vec<(f32, f32, f32)> = vec![(0.0, 0.0, 0.0)];
    for verdict in &used {
        if bins.last().is_some_and(|bin| bin.0 >= whole / BINS) {
            bins.push((0.0, 0.0, 0.0));
        }
        let w = weight(verdict);
        if let Some(bin) = bins.last_mut() {
            *bin = (bin.0 + w, bin.1 + w * verdict.probability, bin.2 + w * verdict.right);
        }
    }
    let mut rising: Vec<(f32, f32, f32)> = Vec::new();
    for mut bin in bins.into_iter().filter(|bin| bin.0 > 0.0) {
        while let Some(last) = rising.last().copied().filter(|last| last.2 / last.0 >= bin.2 / bin.0) {
            bin = (bin.0 + last.0, bin.1 + last.1, bin.2 + last.2);
            rising.pop();
        }
        rising.push(bin);
    }
    let curve: Curve = rising.iter().map(|(w, p, hits)| (p / w, hits / w)).collect();
    let worth = |class: usize| {
        let of = || used.iter().filter(|verdict| verdict.class == class);
        // Real verdicts only count by their weight; a class seen on few stays near the curve.
        let hits: f32 = of().map(|verdict| weight(verdict).min(2.0) * verdict.right).sum();
        let said: f32 = of().map(|verdict| weight(verdict).min(2.0) * interpolate(&curve, verdict.probability)).sum();
        ((hits + PRIOR) / (said + PRIOR)).min(1.1)
    };
    let worth = (0..classes).map(worth).collect();
    (curve, worth)
}

/// Confidence and hit of each verdict, the curve fitted without its fold.
pub(crate) fn crossed(verdicts: &[Verdict], classes: usize) -> Vec<(&Verdict, f32)> {
    let mut told = Vec::new();
    for unit in 0..FOLDS {
        let (curve, worth) = fit_without(verdicts, classes, Some(unit));
        let here = verdicts.iter().filter(|verdict| verdict.unit == unit && !verdict.untold);
        told.extend(here.map(|verdict| {
            let confidence = interpolate(&curve, verdict.probability) * worth[verdict.class];
            (verdict, confidence.clamp(0.02, 0.98))
        }));
    }
    told
}

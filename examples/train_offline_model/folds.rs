//! Trains on some examples and judges the others, so that no verdict is on a text that was learned from.

use loopd::enrich::cues;
use loopd::enrich::features::Features;
use loopd::enrich::model::Task;

use crate::data::{CATEGORIES, Example, SEVERITIES, Source};
use crate::fit::{self, Row, Settings};

/// Folds of the sets that are not reviews; reviews have one an app.
pub(crate) const FOLDS: usize = 8;

/// Chosen on the held-out figures of the development sets, which are thereby a little flattered.
const CATEGORY: Settings = Settings { epochs: 20, rate: 0.1, decay: 5e-4, decay_cues: 3e-4 };
const SEVERITY: Settings = Settings { epochs: 30, rate: 0.1, decay: 0.1, decay_cues: 1e-3 };

pub(crate) struct Trained {
    pub idf: Vec<f32>,
    pub category: Task,
    pub severity: Task,
}

/// What the model said of a held-out example.
pub(crate) struct Verdict {
    pub source: Source,
    pub unit: usize,
    pub class: usize,
    pub probability: f32,
    /// The share of the truth that it hit: 0 or 1, or between where an example has two labels.
    pub right: f32,
    /// The likeliest true class.
    pub truth: usize,
    /// The place of the example.
    pub example: usize,
    /// Its labels cannot tell whether this verdict is right: reviews know neither pain nor leaving.
    pub untold: bool,
}

pub(crate) struct HeldOut {
    pub category: Vec<Verdict>,
    pub severity: Vec<Verdict>,
}

/// The fold in which an example is judged.
fn unit(example: &Example) -> usize {
    match (example.source, example.group.as_str()) {
        (Source::Reviews, "Garmin Connect") => 0,
        (Source::Reviews, "Huawei Health") => 1,
        (Source::Reviews, _) => 2,
        (_, group) => {
            group.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
                as usize
                % FOLDS
        }
    }
}

fn category_weight(example: &Example) -> f32 {
    let says = |cue: &str| cues::find(&example.reading).iter().any(|found| cues::name(found.cue) == cue);
    match example.source {
        // The labels of reviews call leaving and pain a problem report; they must not teach that the words mean a bug.
        Source::Reviews if says("churn") || (says("pain") && example.category[0] > 0.0) => 0.0,
        Source::Reviews => 1.0,
        // Of some classes there are few; without this they would never be said.
        Source::Issues | Source::Invented => {
            let [_, _, pain, _, churn, general] = example.category[..] else { return 8.0 };
            8.0 * (1.0 + 2.0 * (pain + churn) + general)
        }
        Source::Intents => 0.3,
    }
}

pub(crate) fn train(examples: &[&Example]) -> Trained {
    let idf = fit::idf(examples.iter().map(|example| &example.reading));
    let features: Vec<Features> = examples.iter().map(|example| Features::of(&example.reading, &idf)).collect();
    let rows: Vec<Row<'_>> = examples
        .iter()
        .zip(&features)
        .map(|(example, features)| Row { features, target: &example.category, weight: category_weight(example) })
        .filter(|row| row.weight > 0.0)
        .collect();
    let category = fit::fit("tags.category", &CATEGORIES, &rows, CATEGORY);
    let one = |class: usize| (0..SEVERITIES.len()).map(|other| f32::from(u8::from(other == class))).collect();
    let levels: Vec<Vec<f32>> = (0..SEVERITIES.len()).map(one).collect();
    // To miss a grave one is worse than to cry wolf.
    let weight = |source, level: usize| [3.0, 2.5, 1.0, 1.0][level] * if source == Source::Issues { 1.0 } else { 0.5 };
    let rows: Vec<Row<'_>> = examples
        .iter()
        .zip(&features)
        .filter_map(|(example, features)| {
            let level = example.severity?;
            Some(Row { features, target: &levels[level], weight: weight(example.source, level) })
        })
        .collect();
    Trained { idf, category, severity: fit::fit("tags.severity", &SEVERITIES, &rows, SEVERITY) }
}

pub(crate) fn held_out(examples: &[Example]) -> HeldOut {
    let mut held = HeldOut { category: Vec::new(), severity: Vec::new() };
    let reviews = |example: &Example| example.source == Source::Reviews;
    let folds = (0..3).map(|fold| (true, fold)).chain((0..FOLDS).map(|fold| (false, fold)));
    for (of_reviews, fold) in folds {
        let out = |example: &Example| reviews(example) == of_reviews && unit(example) == fold;
        let learned: Vec<&Example> = examples.iter().filter(|example| !out(example)).collect();
        let trained = train(&learned);
        for (at, example) in examples.iter().enumerate().filter(|(_, example)| out(example)) {
            let features = Features::of(&example.reading, &trained.idf);
            let verdict = |task: &Task, truth: &dyn Fn(usize) -> f32| {
                let probabilities = task.probabilities(&features);
                let class = top(probabilities.len(), &|class| probabilities[class]);
                Verdict {
                    source: example.source,
                    unit: fold,
                    class,
                    probability: probabilities[class],
                    right: truth(class),
                    truth: top(probabilities.len(), truth),
                    example: at,
                    untold: of_reviews
                        && task.path == "tags.category"
                        && matches!(CATEGORIES[class], "pain_point" | "churn_signal"),
                }
            };
            held.category.push(verdict(&trained.category, &|class| example.category[class]));
            if let Some(level) = example.severity {
                held.severity.push(verdict(&trained.severity, &|class| f32::from(u8::from(class == level))));
            }
        }
    }
    held
}

fn top(count: usize, of: &dyn Fn(usize) -> f32) -> usize {
    (1..count).fold(0, |best, class| if of(class) > of(best) { class } else { best })
}

//! Multinomial logistic regression by AdaGrad over sparse features; the same data give the same weights.

use loopd::enrich::cues;
use loopd::enrich::features::{DIMS, Features, HASHED, grams};
use loopd::enrich::model::Task;
use loopd::enrich::reading::Reading;

/// One text with its share in each class and its weight.
pub(crate) struct Row<'a> {
    pub features: &'a Features,
    pub target: &'a [f32],
    pub weight: f32,
}

#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub epochs: usize,
    pub rate: f32,
    /// L2 on hashed features, and on cues.
    pub decay: f32,
    pub decay_cues: f32,
    /// Whether it learns from the names of products, and from the other cues.
    pub names: bool,
    pub speech: bool,
}

impl Settings {
    fn uses(&self, index: usize) -> bool {
        index.checked_sub(HASHED).is_none_or(|cue| if cues::is_name(cue) { self.names } else { self.speech })
    }
}

/// Smoothed inverse document frequencies; 0 for what no text holds, so that unseen slots stay silent.
#[expect(clippy::cast_possible_truncation, reason = "a logarithm of a count fits")]
pub(crate) fn idf<'a>(readings: impl Iterator<Item = &'a Reading>) -> Vec<f32> {
    let (mut counts, mut last, mut all) = (vec![0_u32; HASHED], vec![0_u32; HASHED], 0_u32);
    for reading in readings {
        all += 1;
        grams(reading, |index, _| {
            if last[index] != all {
                last[index] = all;
                counts[index] += 1;
            }
        });
    }
    let weight =
        |count: &u32| if *count == 0 { 0.0 } else { ((1.0 + f64::from(all)) / (1.0 + f64::from(*count))).ln() + 1.0 };

    counts.iter().map(|count| weight(count) as f32).collect()
}

/// SplitMix64: the order of the rows.
struct Order(u64);

impl Order {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("below a usize")
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded to 8 bits on purpose, and scaled to fit them")]
pub(crate) fn fit(path: &str, classes: &[&str], rows: &[Row<'_>], settings: Settings) -> Task {
    let k = classes.len();
    let (mut weights, mut squares) = (vec![0.0_f32; DIMS * k], vec![1e-6_f32; DIMS * k]);
    let (mut bias, mut bias_squares) = (vec![0.0_f32; k], vec![1e-6_f32; k]);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut chance = Order(7);
    let mut scores = vec![0.0_f32; k];
    for epoch in 0..settings.epochs {
        for at in (1..order.len()).rev() {
            order.swap(at, chance.below(at + 1));
        }
        let rate = settings.rate / (1.0 + 0.15 * epoch as f32);
        for row in order.iter().map(|at| &rows[*at]) {
            scores.copy_from_slice(&bias);
            for (index, value) in row.features.values.iter().filter(|(index, _)| settings.uses(*index)) {
                let weights = &weights[index * k..(index + 1) * k];
                scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += value * weight);
            }
            let top = scores.iter().copied().fold(f32::MIN, f32::max);
            scores.iter_mut().for_each(|score| *score = (*score - top).exp());
            let sum: f32 = scores.iter().sum();
            for (score, target) in scores.iter_mut().zip(row.target) {
                *score = row.weight * (*score / sum - target);
            }
            let step = |weight: &mut f32, square: &mut f32, slope: f32| {
                *square += slope * slope;
                *weight -= rate * slope / square.sqrt();
            };
            for ((weight, square), slope) in bias.iter_mut().zip(&mut bias_squares).zip(&scores) {
                step(weight, square, *slope);
            }
            for (index, value) in row.features.values.iter().filter(|(index, _)| settings.uses(*index)) {
                let decay = if *index >= HASHED { settings.decay_cues } else { settings.decay };
                let span = index * k..(index + 1) * k;
                let slots = weights[span.clone()].iter_mut().zip(&mut squares[span]);
                for ((weight, square), slope) in slots.zip(&scores) {
                    let slope = slope * value + decay * row.weight * *weight;
                    step(weight, square, slope);
                }
            }
        }
    }
    // Only differences between classes count: centre them, so that 8 bits reach further.
    for slots in weights.chunks_mut(k) {
        let mean = slots.iter().sum::<f32>() / k as f32;
        slots.iter_mut().for_each(|weight| *weight -= mean);
    }
    let (hashed, cue_weights) = weights.split_at(HASHED * k);
    let scale = hashed.iter().fold(f32::MIN_POSITIVE, |top, weight| top.max(weight.abs())) / 127.0;
    Task {
        path: path.to_owned(),
        classes: classes.iter().map(|&class| class.to_owned()).collect(),
        bias,
        worth: vec![1.0; k],
        scale,
        hashed: hashed.iter().map(|weight| (weight / scale).round() as i8).collect(),
        cues: cue_weights[..cues::COUNT * k].to_vec(),
        curve: Vec::new(),
    }
}

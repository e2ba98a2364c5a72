//! A text as a point, without a model. A stand-in: hashed grams with idf, folded.

use std::sync::LazyLock;

use super::Text;
use super::features::{Features, HASHED};
use super::model::Model;
use super::reading::Reading;

/// The space that it measures in.
pub const NAME: &str = "ngrams-1";
pub const DIMS: usize = 1_024;

static IDF: LazyLock<Vec<f32>> = LazyLock::new(|| {
    Model::parse(include_bytes!("weights/offline-1.bin")).map_or_else(|_| vec![1.0; HASHED], |model| model.idf)
});

/// 1,024 numbers of length one; all of them 0 where there is nothing to read.
pub fn embed(text: &Text) -> Vec<f32> {
    let features = Features::of(&Reading::of(text), &IDF);
    let mut point = vec![0.0_f32; DIMS];
    for (index, value) in features.values.iter().filter(|(index, _)| *index < HASHED) {
        let mixed = index.wrapping_mul(0x9e37_79b1) >> 7;
        point[index % DIMS] += if mixed & 1 == 0 { *value } else { -*value };
    }
    let length = point.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        point.iter_mut().for_each(|value| *value /= length);
    }
    point
}

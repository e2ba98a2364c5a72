//! Turns a reading into numbers: hashed character 3-5-grams within words, hashed words and word pairs, and the cues.
//!
//! Law: every feature belongs to words, so that a judgement can be traced back to them. Counts are sublinear (1 + ln n), the
//! grams of characters and those of words each form a vector of length one after the idf weighting, and a cue counts [`strength`].

use super::cues::{self, Found};
use super::reading::Reading;

/// Dimensions of the character grams, and of the words and word pairs.
pub const CHARS: usize = 16_384;
pub const WORDS: usize = 16_384;
/// Dimensions of everything that is hashed: the character grams come first.
pub const HASHED: usize = CHARS + WORDS;
/// All dimensions: the hashed ones, then one a cue.
pub const DIMS: usize = HASHED + cues::COUNT;

/// The features of one text; each index once.
#[derive(Clone, Debug, Default)]
pub struct Features {
    pub values: Vec<(usize, f32)>,
    pub cues: Vec<Found>,
    /// What one occurrence of a hashed feature contributed, by index; for tracing back.
    pub share: Vec<(usize, f32)>,
}

/// Calls `gram` for each occurrence of a hashed feature with its index and the words it lies in.
pub fn grams(reading: &Reading, mut gram: impl FnMut(usize, std::ops::Range<usize>)) {
    let mut before: Option<u32> = None;
    for (at, word) in reading.words().iter().enumerate() {
        let letters = reading.padded(word);
        for start in 0..letters.len() {
            let mut hash = 0x811c_9dc5_u32;
            for (n, letter) in letters[start..].iter().take(5).enumerate() {
                hash = (hash ^ u32::from(*letter)).wrapping_mul(0x0100_0193);
                if n >= 2 {
                    gram(slot(hash, CHARS), at..at + 1);
                }
            }
        }
        let hash =
            letters.iter().fold(0x9747_b28c_u32, |hash, letter| (hash ^ u32::from(*letter)).wrapping_mul(0x0100_0193));
        gram(CHARS + slot(hash, WORDS), at..at + 1);
        if let Some(before) = before.filter(|_| !word.begins) {
            gram(CHARS + slot(before.rotate_left(5) ^ hash, WORDS), at - 1..at + 1);
        }
        before = Some(hash);
    }
}

fn slot(hash: u32, of: usize) -> usize {
    let mut mixed = hash;
    mixed ^= mixed >> 16;
    mixed = mixed.wrapping_mul(0x85eb_ca6b);
    mixed ^= mixed >> 13;
    mixed = mixed.wrapping_mul(0xc2b2_ae35);
    mixed ^= mixed >> 16;
    mixed as usize % of
}

/// The value of a cue: 1, and sublinearly more where it is said again.
pub fn strength(found: &Found) -> f32 {
    1.0 + f32::from(found.count.clamp(1, 5)).ln()
}

impl Features {
    /// `idf` has [`HASHED`] weights.
    pub fn of(reading: &Reading, idf: &[f32]) -> Self {
        let mut counts = vec![0_u16; HASHED];
        let mut seen: Vec<usize> = Vec::with_capacity(512);
        grams(reading, |index, _| {
            if counts[index] == 0 {
                seen.push(index);
            }
            counts[index] = counts[index].saturating_add(1);
        });
        let mut features = Self { cues: cues::find(reading), ..Self::default() };
        let mut squares = [0.0_f32; 2];
        for index in seen {
            let count = f32::from(counts[index]);
            let value = (1.0 + count.ln()) * idf[index];
            if value > 0.0 {
                squares[usize::from(index >= CHARS)] += value * value;
                features.values.push((index, value));
                features.share.push((index, value / count));
            }
        }
        let norms = squares.map(|square| if square > 0.0 { square.sqrt() } else { 1.0 });
        for (index, value) in features.values.iter_mut().chain(&mut features.share) {
            *value /= norms[usize::from(*index >= CHARS)];
        }
        features.values.extend(features.cues.iter().map(|found| (HASHED + found.cue, strength(found))));
        features
    }
}

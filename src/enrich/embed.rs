//! A text as a vector, for finding what is near it: the n-grams of the offline model with its idf, hashed into few dimensions.
//!
//! Law: the same text gets the same vector on every machine, of length one, or all zeros where there is nothing to read. Near says
//! that two texts speak of the same things, never that they ask for the same: [`super::duplicate`] decides that.

use std::sync::LazyLock;

use super::Text;
use super::classify::embedded;
use super::features::{CHARS, HASHED, grams};
use super::reading::Reading;

pub const DIMS: usize = 1_024;
/// Who made a vector; vectors of different names cannot be compared.
pub const NAME: &str = "ngrams-1";

/// What the words and word pairs count beside the character grams: they name things, these find their spellings.
const WORDS: f32 = 0.5;
/// What a number or an identifier counts, which the grams read without its digits: `422` is not `404`.
const CODES: f32 = 3.0;
/// Dimensions that a gram touches: with several, a collision in one of them is not fatal.
const TOUCHED: u32 = 2;

static IDF: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let idf = embedded().idf;
    // What no trained text holds is as telling as the rarest of them.
    let rarest = idf.iter().copied().fold(0.0, f32::max);
    idf.into_iter().map(|idf| if idf > 0.0 { idf } else { rarest }).collect()
});

/// [`DIMS`] numbers, their squares summing to 1.
pub fn embed(text: &Text) -> Vec<f32> {
    let reading = Reading::of(text);
    let mut counts = vec![0_u16; HASHED];
    let mut seen = Vec::with_capacity(512);
    grams(&reading, |index, _| {
        if counts[index] == 0 {
            seen.push(index);
        }
        counts[index] = counts[index].saturating_add(1);
    });
    let mut vector = vec![0.0_f32; DIMS];
    let mut add = |hash: u32, value: f32| {
        for touch in 0..TOUCHED {
            let hash = mix(hash.wrapping_mul(TOUCHED).wrapping_add(touch));
            vector[(hash >> 1) as usize % DIMS] += if hash & 1 == 0 { value } else { -value };
        }
    };
    for index in seen {
        let weight = if index < CHARS { 1.0 } else { WORDS };
        add(u32::try_from(index).unwrap_or(u32::MAX), weight * (1.0 + f32::from(counts[index]).ln()) * IDF[index]);
    }
    let mut codes: Vec<u32> = codes(reading.prose()).map(|code| fnv(&code.to_lowercase())).collect();
    codes.sort_unstable();
    codes.dedup();
    let rarest = IDF.iter().copied().fold(0.0, f32::max);
    codes.into_iter().for_each(|code| add(code, CODES * rarest));
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

/// Numbers of three digits and more, versions, and identifiers: `422`, `0.1.3`, `max_tokens`, `ERR_REQUIRE_ESM`.
pub(super) fn codes(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-')))
        .map(|token| token.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|token| (3..=60).contains(&token.len()))
        .filter(|token| token.contains('_') || token.bytes().filter(u8::is_ascii_digit).count() >= 2 || is_camel(token))
}

/// `LLMEngine`, `PydanticError`: a capital within a word of small letters.
fn is_camel(token: &str) -> bool {
    let small = token.chars().filter(|c| c.is_lowercase()).count();
    small >= 2
        && token.chars().skip(1).filter(|c| c.is_uppercase()).count() >= 1
        && token.chars().all(char::is_alphanumeric)
}

fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// -1 to 1; 0 where the lengths differ.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return 0.0;
    }
    // Eight sums side by side: the compiler makes one instruction of them.
    let mut sums = [0.0_f32; 8];
    let (mut left, mut right) = (a.chunks_exact(8), b.chunks_exact(8));
    for (a, b) in left.by_ref().zip(right.by_ref()) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    (sums.iter().sum::<f32>() + rest).clamp(-1.0, 1.0)
}

/// The finish of `MurmurHash3`, with a multiple of the golden ratio so that small numbers are apart from the start.
fn mix(number: u32) -> u32 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9).wrapping_add(0x5bd1_e995);
    mixed ^= mixed >> 16;
    mixed = mixed.wrapping_mul(0x85eb_ca6b);
    mixed ^= mixed >> 13;
    mixed = mixed.wrapping_mul(0xc2b2_ae35);
    mixed ^ (mixed >> 16)
}

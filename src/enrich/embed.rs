//! Stand-in until the trained one lands.
use super::Text;
pub const DIMS: usize = 1024;
pub const NAME: &str = "ngrams-1";
/// Hashed words.
#[expect(clippy::cast_possible_truncation, reason = "stand-in")]
pub fn embed(text: &Text) -> Vec<f32> {
    let mut vector = vec![0.0_f32; DIMS];
    for word in format!("{} {}", text.title, text.body).to_lowercase().split_whitespace() {
        vector[crate::ledger::digest(&word).unwrap_or_default() as usize % DIMS] += 1.0;
    }
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-6);
    vector.iter_mut().for_each(|value| *value /= norm);
    vector
}
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

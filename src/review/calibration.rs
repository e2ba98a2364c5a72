//! How sure a language model says it is, made into how often it is right when it says so.
//!
//! Its own word counts as much as ten reviews; beside it count the reviews of what it said of the same field, by the same
//! prompt, when it was about as sure. So a model is believed at first, and less (or more) as people correct it (or do not).
//! loopd's own small models need none of this: theirs is measured when they are trained.
//!
//! Law: it follows from the reviews, one by one, as they come and are taken back. A verdict keeps the confidence that it had when
//! it was given.

use serde::{Deserialize, Serialize};

use crate::ledger::{LedgerError, Review, Tx};

/// Reviews that a model's own word weighs as much as.
const WORD: f64 = 10.0;
/// Nobody is right always.
pub const SUREST: f64 = 0.98;
/// Ranges of confidence, of a tenth each.
const RANGES: usize = 10;

/// Reviews by how sure the model had said it was, lowest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Curve {
    reviews: [u64; RANGES],
    agreed: [u64; RANGES],
}

impl Curve {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within 0 and 9")]
    fn range(said: f64) -> usize {
        ((said.clamp(0.0, 1.0) * 10.0) as usize).min(RANGES - 1)
    }

    fn count(&mut self, said: f64, agreed: bool, more: bool) {
        let range = Self::range(said);
        let step = |number: &mut u64| *number = if more { *number + 1 } else { number.saturating_sub(1) };
        step(&mut self.reviews[range]);
        if agreed {
            step(&mut self.agreed[range]);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "reviews are far fewer than 2^52")]
    fn right(&self, said: f64) -> f64 {
        let range = Self::range(said);
        let right = (WORD * said + self.agreed[range] as f64) / (WORD + self.reviews[range] as f64);
        right.min(SUREST)
    }
}

fn place(path: &str, prompt: &str) -> String {
    format!("calibration {prompt} {path}")
}

/// How often what `prompt` says of `path` is right when it says that it is so sure, 0 to 1; and what it said. Where there is no prompt,
/// what was said is measured.
///
/// # Errors
/// When the ledger cannot be read.
pub fn right(tx: &mut Tx<'_>, path: &str, prompt: Option<&str>, said: f64) -> Result<(f64, Option<f64>), LedgerError> {
    let Some(prompt) = prompt else { return Ok((said, None)) };
    let curve: Curve = tx.meta(&place(path, prompt))?.unwrap_or_default();
    Ok((curve.right(said), Some(said)))
}

/// Enters a review, or takes it out.
pub(super) fn count(tx: &mut Tx<'_>, review: &Review, more: bool) -> Result<(), LedgerError> {
    let Some(said) = review.claimed.filter(|_| !review.prompt.is_empty()) else { return Ok(()) };
    let place = place(&review.path, &review.prompt);
    let mut curve: Curve = tx.meta(&place)?.unwrap_or_default();
    curve.count(said, review.agreed, more);
    tx.set_meta(&place, &curve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_believed_until_people_have_spoken() {
        let mut curve = Curve::default();
        assert!((curve.right(0.9) - 0.9).abs() < 1e-9);
        for _ in 0..30 {
            curve.count(0.95, false, true);
        }
        assert!((curve.right(0.95) - 9.5 / 40.0).abs() < 1e-9, "thirty times wrong");
        assert!((curve.right(0.85) - 0.85).abs() < 1e-9, "nobody has said anything of what it was less sure of");
        for _ in 0..30 {
            curve.count(0.95, false, false);
        }
        assert_eq!(curve, Curve::default(), "what is taken back leaves nothing");
    }

    #[test]
    fn who_is_always_right_is_believed_more() {
        let mut curve = Curve::default();
        for _ in 0..90 {
            curve.count(0.3, true, true);
        }
        assert!((curve.right(0.3) - 0.93).abs() < 1e-9);
    }

    #[test]
    fn every_confidence_has_a_range() {
        for (said, range) in [(-1.0, 0), (0.0, 0), (0.0999, 0), (0.1, 1), (0.99, 9), (1.0, 9), (7.0, 9), (f64::NAN, 0)]
        {
            assert_eq!(Curve::range(said), range, "{said}");
        }
    }
}

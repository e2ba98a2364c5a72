//! Whether two items are one, by rule. A stand-in.

use std::collections::BTreeSet;

use super::Text;

/// What is compared of an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    pub text: Text,
    pub product: Option<String>,
    pub model: Option<String>,
    pub category: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    Different,
    Unsure,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub verdict: Verdict,
    /// How likely they are one: 0 to 1.
    pub confidence: f64,
    pub because: String,
}

fn words(text: &Text) -> BTreeSet<String> {
    let all = format!("{} {}", text.title, text.body).to_lowercase();
    all.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() > 2).map(str::to_owned).collect()
}

pub fn compare(a: &Side, b: &Side) -> Judged {
    if let (Some(mine), Some(other)) = (&a.product, &b.product)
        && mine != other
    {
        let because = format!("one is about {mine}, the other about {other}");
        return Judged { verdict: Verdict::Different, confidence: 0.05, because };
    }
    let (mine, other) = (words(&a.text), words(&b.text));
    let both = mine.intersection(&other).count();
    let least = mine.len().min(other.len()).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a few hundred words")]
    let share = both as f64 / least as f64;
    let (verdict, because) = match share {
        share if share >= 0.9 && least >= 4 => (Verdict::Same, "they say the same words"),
        share if share < 0.2 => (Verdict::Different, "they share hardly a word"),
        _ => (Verdict::Unsure, "they share some words"),
    };
    Judged { verdict, confidence: (share * 0.9).clamp(0.05, 0.95), because: because.into() }
}

//! Whether two items are one, by rule. A stand-in.

use std::collections::BTreeSet;

/// One of the two. `product` and `category` are values of tags, where somebody or something has set them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Side<'a> {
    pub title: &'a str,
    pub body: &'a str,
    pub product: Option<&'a str>,
    pub category: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub duplicate: bool,
    /// Of the verdict, either way; 0.5 to 1.
    pub confidence: f64,
    pub because: String,
}

fn words(side: &Side<'_>) -> BTreeSet<String> {
    let all = format!("{} {}", side.title, side.body).to_lowercase();
    all.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() > 2).map(str::to_owned).collect()
}

pub fn compare(a: &Side<'_>, b: &Side<'_>) -> Judged {
    if let (Some(one), Some(other)) = (a.product, b.product)
        && !one.eq_ignore_ascii_case(other)
    {
        let because = format!("one is about {one}, the other about {other}");
        return Judged { duplicate: false, confidence: 0.9, because };
    }
    let (mine, other) = (words(a), words(b));
    let both = mine.intersection(&other).count();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred words")]
    let share = both as f64 / mine.len().min(other.len()).max(1) as f64;
    let because = format!("they share {both} words");
    Judged { duplicate: share >= 0.6, confidence: if share >= 0.6 { share } else { 1.0 - share }, because }
}

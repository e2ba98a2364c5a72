//! What people have said of texts like this one: a word on an item holds for what is nearly the same.
//!
//! Where an item's category, severity or product was decided by a person, its text's vector is kept in a space of its own. A new
//! text that lies very near to one or several of these takes their word, before that of the small models, and says whose it is.
//! It is a suggestion like any other: drafts, reviews and trust treat it as such.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::enrich::{Suggestion, Text, embed};
use crate::house::House;
use crate::ledger::{LedgerError, Packed, Tx};
use crate::schema::{EntityId, EntityKind, Feedback, Path};
use crate::triage;

/// Who judges then; it is stored beside the verdict.
pub const NAME: &str = "memory-1";

/// What is remembered.
pub const PATHS: [&str; 3] = ["tags.category", "tags.severity", "tags.product"];

/// From this cosine on a text is near enough. Measured: see [`confidence`].
const NEAR: f32 = 0.75;
/// Of so many at most.
const NEIGHBOURS: usize = 8;
/// Fewer letters say too little to be told apart by.
const SHORTEST: usize = 12;

/// The space in which what was decided lies.
pub fn space() -> String {
    format!("{} decided", embed::NAME)
}

/// Keeps, or lets go of, the vector of an item by what people decided of it.
pub(super) fn keep(tx: &mut Tx<'_>, id: EntityId, item: &Feedback) -> Result<(), LedgerError> {
    let space = space();
    let decided = !item.withdrawn && PATHS.iter().any(|path| item.decided.contains_key(*path));
    let known = tx.vector(&space, id)?;
    if !decided {
        if known.is_some() {
            tx.drop_vector(&space, id);
        }
        return Ok(());
    }
    let text = triage::text(item);
    if !is_telling(&text) {
        return Ok(());
    }
    let vector = Packed::of(&embed::embed(&text));
    if known.as_ref() != Some(&vector) {
        tx.put_vector(&space, id, &vector);
    }
    Ok(())
}

/// Whether there is enough of a text to find its like.
pub fn is_telling(text: &Text) -> bool {
    text.title.chars().count() + text.body.chars().count() >= SHORTEST
}

/// A decided item, and how near it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    pub id: EntityId,
    pub cosine: f32,
}

/// Whose texts lie near to this vector, nearest first; `of` itself left out.
///
/// # Errors
/// When the ledger cannot be read.
pub fn near(house: &House, of: EntityId, vector: &[f32]) -> Result<Vec<Near>, LedgerError> {
    let mut found: Vec<Near> = Vec::new();
    house.ledger.each_vector(&space(), |id, packed| {
        let cosine = cosine(vector, &packed);
        if id != of && cosine >= NEAR {
            let place = found.partition_point(|near| (near.cosine, near.id) > (cosine, id));
            found.insert(place, Near { id, cosine });
            found.truncate(NEIGHBOURS);
        }
        Ok(())
    })?;
    Ok(found)
}

fn cosine(vector: &[f32], packed: &Packed) -> f32 {
    let dot: f32 = vector.iter().zip(&packed.values).map(|(a, b)| a * f32::from(*b)).sum();
    dot * packed.scale
}

/// What people decided of texts like this item's.
///
/// # Errors
/// When the ledger cannot be read.
pub fn recall(house: &House, id: EntityId, item: &Feedback) -> Result<Vec<Suggestion>, LedgerError> {
    let text = triage::text(item);
    if !is_telling(&text) {
        return Ok(Vec::new());
    }
    remembered(house, id, &embed::embed(&text))
}

/// What people decided of texts like this one: at most one value a path.
///
/// # Errors
/// When the ledger cannot be read.
pub fn remembered(house: &House, of: EntityId, vector: &[f32]) -> Result<Vec<Suggestion>, LedgerError> {
    let near = near(house, of, vector)?;
    let mut said: BTreeMap<&str, Vec<(String, f32, EntityId)>> = BTreeMap::new();
    for Near { id, cosine } in near {
        let Some(entity) = house.ledger.entity(id)? else { continue };
        let value = entity.to_value();
        for path in PATHS {
            let Ok(place) = path.parse::<Path>() else { continue };
            if let (true, Value::String(word)) = (entity.decided().contains_key(path), place.get(&value)) {
                said.entry(path).or_default().push((word.clone(), cosine, id));
            }
        }
    }
    let suggestions = said.into_iter().filter_map(|(path, words)| {
        let (value, confidence, id) = vote(&words)?;
        let because = Some(format!("a person decided so on {}", id.short(EntityKind::Feedback)));
        Some(Suggestion { path: path.to_owned(), value, confidence, because })
    });
    Ok(suggestions.collect())
}

/// The word of the nearest, by nearness, with how sure that is, and of whom it was learnt first.
fn vote(words: &[(String, f32, EntityId)]) -> Option<(String, f64, EntityId)> {
    let mut weights: BTreeMap<&str, f64> = BTreeMap::new();
    for (word, cosine, _) in words {
        *weights.entry(word).or_default() += weight(*cosine);
    }
    let all: f64 = weights.values().sum();
    let (word, most) = weights.into_iter().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(a.0)))?;
    let (_, nearest, id) = words.iter().find(|(known, ..)| known == word)?;
    let share = most / all;
    (share > 0.5).then(|| (word.to_owned(), confidence(*nearest, share), *id))
}

/// What lies twice as near counts for more than twice as much.
fn weight(cosine: f32) -> f64 {
    f64::from(cosine).powi(8)
}

/// How often the nearest are right, by how near the nearest of them lies and how far they agree.
fn confidence(nearest: f32, share: f64) -> f64 {
    let alone = 0.70 + 0.25 * f64::from((nearest - NEAR) / (1.0 - NEAR)).clamp(0.0, 1.0);
    (alone * share * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> EntityId {
        EntityId::derive("a", "b", &n.to_string())
    }

    #[test]
    fn the_nearest_have_the_word_and_doubt_lowers_it() {
        let words = |list: &[(&str, f32)]| {
            list.iter().zip(1..).map(|((word, cosine), n)| ((*word).to_owned(), *cosine, id(n))).collect::<Vec<_>>()
        };
        let (word, sure, of) = vote(&words(&[("bug", 0.99)])).expect("one");
        assert_eq!((word.as_str(), of), ("bug", id(1)));
        let (_, doubtful, _) = vote(&words(&[("bug", 0.99), ("praise", 0.9)])).expect("the nearest");
        assert!(sure > 0.9 && doubtful < sure && doubtful > 0.5, "{sure} {doubtful}");
        assert_eq!(vote(&words(&[("bug", 0.8), ("praise", 0.8)])), None, "nobody has the word");
        assert_eq!(vote(&[]), None);
    }

    #[test]
    fn a_packed_vector_is_as_near_to_itself_as_can_be() {
        let text = |body: &str| Text { body: body.into(), ..Text::default() };
        let vector = embed::embed(&text("The export stops after forty rows"));
        assert!((cosine(&vector, &Packed::of(&vector)) - 1.0).abs() < 0.01);
        let other = embed::embed(&text("Please add a dark theme to the console"));
        assert!(cosine(&vector, &Packed::of(&other)) < 0.5);
    }

    /// Leave one out, over the labelled threads and reviews: where something lies this near, how often is its label right?
    #[test]
    #[ignore = "prints a measurement; run it by name with --nocapture"]
    fn measure_on_the_development_data() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        for (name, file, label) in [
            ("issues: category", "mistral_issues/issues.ndjson", "category"),
            ("issues: product", "mistral_issues/issues.ndjson", "product"),
            ("issues: severity", "mistral_issues/issues.ndjson", "severity"),
            ("questions: intent", "intents/banking77_dev.ndjson", "label"),
            ("reviews: problem", "reviews/reviews.ndjson", "problem_report"),
        ] {
            let Ok(text) = std::fs::read_to_string(root.join(file)) else {
                println!("left out: {file} is not beside the repository");
                return;
            };
            let rows = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            // A thousand, for this is quadratic.
            let rows: Vec<(Vec<f32>, String)> = rows
                .take(1_000)
                .map(|row| {
                    let field = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
                    let body = if row["text"].is_string() { field("text") } else { field("summary") };
                    (embed::embed(&Text { title: field("title"), body, origin: String::new() }), row[label].to_string())
                })
                .collect();
            for (low, high) in [(0.55, 0.65), (0.65, 0.75), (0.75, 0.8), (0.8, 0.85), (0.85, 0.9), (0.9, 1.01)] {
                let (mut right, mut all) = (0, 0);
                for (at, (vector, label)) in rows.iter().enumerate() {
                    let others = rows.iter().enumerate().filter(|(other, _)| *other != at);
                    let near = others
                        .map(|(_, (other, label))| (vector.iter().zip(other).map(|(a, b)| a * b).sum::<f32>(), label))
                        .max_by(|a, b| a.0.total_cmp(&b.0));
                    if let Some((cosine, found)) = near
                        && (low..high).contains(&cosine)
                    {
                        all += 1;
                        right += usize::from(found == label);
                    }
                }
                println!("{name}: cosine from {low:.2}: {right} of {all}");
            }
        }
    }
}

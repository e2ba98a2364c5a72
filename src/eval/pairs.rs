//! Pairs: whether what asks for the same is found among the nearest, and whether the verdict tells it from what is only similar.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::rows::Row;
use super::score::{Score, auc, count, share};
use super::{Subject, Task};
use crate::enrich::Text;
use crate::enrich::embed::cosine;

/// Neighbours that are looked at, as the pipeline does.
pub const NEAR: usize = 5;
/// Of more texts only so many are compared with all others.
const MOST: usize = 4_000;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pairs {
    /// Of the verdict: duplicate or other.
    #[serde(rename = "verdict")]
    pub score: Score,
    pub duplicates: usize,
    pub others: usize,
    pub texts: usize,
    /// The share of texts with a duplicate that have one among their five nearest, of all texts in the file.
    pub top5_recall: f64,
    /// Nearness of duplicates against that of all other pairs of the file's texts.
    pub auc_all: f64,
    /// Nearness of duplicates against that of the pairs that are labelled otherwise.
    pub auc_hard: f64,
}

/// # Errors
/// The subject's.
pub async fn measure(
    subject: &dyn Subject,
    rows: &[Row],
    score: Score,
    cost: &mut super::Cost,
) -> Result<Pairs, String> {
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut texts: Vec<Text> = Vec::new();
    let mut pairs: Vec<(usize, usize, bool)> = Vec::new();
    for row in rows {
        let (Some(other), Some(gold)) = (&row.other, row.gold.get(&Task::Pairs)) else { continue };
        let ends = [&row.text, other].map(|text| {
            *places.entry((text.title.as_str(), text.body.as_str())).or_insert_with(|| {
                texts.push(text.clone());
                texts.len() - 1
            })
        });
        pairs.push((ends[0], ends[1], gold.contains("duplicate")));
    }
    let (vectors, spent) = subject.embed(&texts).await?;
    *cost += spent;
    let near = |a: usize, b: usize| f64::from(cosine(&vectors[a], &vectors[b]));
    let same: BTreeSet<(usize, usize)> =
        pairs.iter().filter(|(_, _, same)| *same).flat_map(|(a, b, _)| [(*a, *b), (*b, *a)]).collect();
    let (mut found, mut sought, mut apart) = (0, 0, Vec::new());
    for text in 0..texts.len().min(MOST) {
        let mut others: Vec<(f64, usize)> =
            (0..texts.len()).filter(|other| *other != text).map(|other| (near(text, other), other)).collect();
        apart.extend(
            others.iter().filter(|(_, other)| *other < text && !same.contains(&(text, *other))).map(|(near, _)| *near),
        );
        if others.iter().any(|(_, other)| same.contains(&(text, *other))) {
            sought += 1;
            others.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            found += usize::from(others.iter().take(NEAR).any(|(_, other)| same.contains(&(text, *other))));
        }
    }
    let of = |same: bool| -> Vec<f64> {
        pairs.iter().filter(|(_, _, gold)| *gold == same).map(|(a, b, _)| near(*a, *b)).collect()
    };
    let (duplicates, others) = (of(true), of(false));
    Ok(Pairs {
        score,
        texts: texts.len(),
        top5_recall: share(count(found), count(sought)),
        auc_all: auc(&duplicates, &apart),
        auc_hard: auc(&duplicates, &others),
        duplicates: duplicates.len(),
        others: others.len(),
    })
}

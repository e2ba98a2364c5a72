//! Nearest: whether texts of one label lie together, and whether online centroids bring them together, as themes are made.

use std::collections::BTreeMap;

use serde::Serialize;

use super::pairs::NEAR;
use super::rows::Row;
use super::score::{count, share};
use super::{Cost, Subject, Task};
use crate::enrich::Text;
use crate::enrich::embed::cosine;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Nearest {
    pub n: usize,
    pub labels: usize,
    /// Texts whose label another text has: only they can be found.
    pub sought: usize,
    /// The nearest text has the label.
    pub top1: f64,
    /// One of the five nearest has it.
    pub top5_recall: f64,
    /// Of the groups that one pass of online centroids makes: harmonic mean of their purity and of the labels' wholeness.
    pub v_measure: f64,
    pub groups: usize,
}

/// A text joins the nearest centroid from this cosine on; the middle of what served the development sets.
const JOINS: f32 = 0.42;
/// More texts than these are not compared with all others.
const MOST: usize = 10_000;

/// # Errors
/// The subject's.
pub async fn measure(subject: &dyn Subject, rows: &[Row], cost: &mut Cost) -> Result<Nearest, String> {
    let labelled = rows.iter().filter_map(|row| Some((&row.text, row.gold.get(&Task::Nearest)?.first()?)));
    let (texts, labels): (Vec<Text>, Vec<&String>) =
        labelled.take(MOST).map(|(text, label)| (text.clone(), label)).unzip();
    let (vectors, spent) = subject.embed(&texts).await?;
    *cost += spent;
    let mut sizes: BTreeMap<&String, usize> = BTreeMap::new();
    labels.iter().for_each(|label| *sizes.entry(label).or_default() += 1);
    let (mut sought, mut first, mut among) = (0, 0, 0);
    for at in (0..texts.len()).filter(|at| sizes[labels[*at]] > 1) {
        let mut best: Vec<(f32, usize)> = Vec::with_capacity(NEAR + 1);
        for other in (0..texts.len()).filter(|other| *other != at) {
            let near = cosine(&vectors[at], &vectors[other]);
            if best.len() < NEAR || best.last().is_some_and(|(last, _)| near > *last) {
                let place = best.partition_point(|(before, _)| *before >= near);
                best.insert(place, (near, other));
                best.truncate(NEAR);
            }
        }
        let has = |(_, other): &(f32, usize)| labels[*other] == labels[at];
        sought += 1;
        first += usize::from(best.first().is_some_and(has));
        among += usize::from(best.iter().any(has));
    }
    let groups = centroids(&vectors);
    Ok(Nearest {
        n: texts.len(),
        labels: sizes.len(),
        sought,
        top1: share(count(first), count(sought)),
        top5_recall: share(count(among), count(sought)),
        v_measure: v_measure(&labels, &groups),
        groups: groups.iter().max().map_or(0, |most| most + 1),
    })
}

/// One pass: each text joins the nearest centroid, or begins one.
fn centroids(vectors: &[Vec<f32>]) -> Vec<usize> {
    let (mut sums, mut units): (Vec<Vec<f32>>, Vec<Vec<f32>>) = (Vec::new(), Vec::new());
    let mut groups = Vec::with_capacity(vectors.len());
    for vector in vectors {
        let nearest =
            units.iter().enumerate().map(|(at, unit)| (cosine(unit, vector), at)).max_by(|a, b| a.0.total_cmp(&b.0));
        let group = match nearest.filter(|(near, _)| *near >= JOINS) {
            Some((_, at)) => {
                sums[at].iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
                let length = sums[at].iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
                units[at] = sums[at].iter().map(|value| value / length).collect();
                at
            }
            None => {
                sums.push(vector.clone());
                units.push(vector.clone());
                units.len() - 1
            }
        };
        groups.push(group);
    }
    groups
}

/// 0 to 1: 1 where groups and labels are the same partition.
fn v_measure(labels: &[&String], groups: &[usize]) -> f64 {
    let n = count(labels.len());
    let (mut by_label, mut by_group, mut both) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (label, group) in labels.iter().zip(groups) {
        *by_label.entry(*label).or_insert(0) += 1;
        *by_group.entry(*group).or_insert(0) += 1;
        *both.entry((*label, *group)).or_insert(0) += 1;
    }
    let entropy = |sizes: &mut dyn Iterator<Item = usize>| -> f64 {
        sizes.map(|size| count(size) / n).map(|share| -share * share.ln()).sum()
    };
    let of_labels = entropy(&mut by_label.values().copied());
    let of_groups = entropy(&mut by_group.values().copied());
    let joint = entropy(&mut both.values().copied());
    let shared = of_labels + of_groups - joint;
    let pure = if of_labels > 0.0 { shared / of_labels } else { 1.0 };
    let whole = if of_groups > 0.0 { shared / of_groups } else { 1.0 };
    share(2.0 * pure * whole, pure + whole)
}

//! How well themes meet what people made of the development data. It reads ../shared/data, and skips where that is absent.

use std::collections::BTreeMap;
use std::path::Path;

use loopd::schema::EntityId;
use serde_json::Value;

use crate::Room;

/// The harmonic mean of homogeneity and completeness: 1 where themes and labels are the same. An item without a theme is one of
/// its own.
#[expect(clippy::cast_precision_loss, reason = "a few thousand items")]
pub fn v_measure(items: &[(EntityId, Option<EntityId>)], labels: &[usize]) -> f64 {
    let n = items.len() as f64;
    let groups: Vec<EntityId> = items.iter().map(|(id, theme)| theme.unwrap_or(*id)).collect();
    let (mut by_group, mut by_label, mut both) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (group, label) in groups.iter().zip(labels) {
        *by_group.entry(*group).or_insert(0.0) += 1.0;
        *by_label.entry(*label).or_insert(0.0) += 1.0;
        *both.entry((*group, *label)).or_insert(0.0) += 1.0;
    }
    let entropy = |counts: Vec<f64>| -> f64 { counts.iter().map(|count| -(count / n) * (count / n).ln()).sum() };
    let (of_groups, of_labels) =
        (entropy(by_group.values().copied().collect()), entropy(by_label.values().copied().collect()));
    let label_in_group: f64 =
        both.iter().map(|((group, _), count): (_, &f64)| -(count / n) * (count / by_group[group]).ln()).sum();
    let group_in_label: f64 =
        both.iter().map(|((_, label), count): (_, &f64)| -(count / n) * (count / by_label[label]).ln()).sum();
    let (same, whole) = (1.0 - label_in_group / of_labels.max(1e-9), 1.0 - group_in_label / of_groups.max(1e-9));
    2.0 * same * whole / (same + whole).max(1e-9)
}

/// Rows of a labelled file, in an order that is no order of the labels; one in `every`.
fn rows(name: &str, label: &str, every: usize) -> Option<Vec<(String, String, usize)>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    let mut labels = BTreeMap::new();
    let mut rows: Vec<(u64, (String, String, usize))> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let row: Value = serde_json::from_str(line).expect("NDJSON");
        let of = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let next = labels.len();
        let label = *labels.entry(of(label)).or_insert(next);
        let body = if row["text"].is_string() { of("text") } else { of("summary") };
        let mixed = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        rows.push((mixed ^ (mixed >> 31), (of("title"), body, label)));
    }
    rows.sort();
    Some(rows.into_iter().map(|(_, row)| row).step_by(every).collect())
}

fn measure(rows: &[(String, String, usize)]) -> (f64, usize, usize) {
    let mut room = Room::with("[tasks]\nduplicate = { mode = \"off\" }\n");
    let ids: Vec<EntityId> = rows
        .iter()
        .enumerate()
        .map(|(at, (title, body, _))| {
            room.say(&at.to_string(), |feedback| {
                feedback.title = (!title.is_empty()).then(|| title.clone());
                feedback.verbatim = Some(body.clone());
            })
        })
        .collect();
    room.work();
    let themed: Vec<(EntityId, Option<EntityId>)> = ids.iter().map(|id| (*id, room.item(*id).theme)).collect();
    let labels: Vec<usize> = rows.iter().map(|(.., label)| *label).collect();
    let with = themed.iter().filter(|(_, theme)| theme.is_some()).count();
    (v_measure(&themed, &labels), room.themes().len(), with)
}

#[test]
fn support_questions_meet_where_people_put_them() {
    let Some(rows) = rows("intents/banking77_dev.ndjson", "label", 3) else { return };
    let (v, themes, with) = measure(&rows);
    println!("{} questions: V-measure {v:.3}, {themes} themes, {with} in one", rows.len());
    assert!(v >= 0.69, "{v}");
}

#[test]
fn threads_about_other_things_stay_apart() {
    let Some(rows) = rows("mistral_issues/issues.ndjson", "theme", 1) else { return };
    let (v, themes, with) = measure(&rows);
    println!("{} threads: V-measure {v:.3}, {themes} themes, {with} in one", rows.len());
    assert!(v >= 0.9, "{v}");
}

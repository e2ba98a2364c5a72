//! Corrections as examples for a prompt: what a model said, and what a person made of it.
//!
//! Law: between calls they stand still. A model's answers are kept by what was asked, so examples that changed with every
//! correction would make every answer anew. The corrections in use are frozen in the ledger; a new set is taken when ten more
//! have come, or when one has come and a day has passed; and not while a batch is under way, whose questions would be others then.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::open::short;
use super::queue::cut;
use crate::enrich::{Text, embed};
use crate::house::House;
use crate::ledger::LedgerError;
use crate::schema::{Entity, EntityId, Feedback, Task};
use crate::triage;

/// A correction, as a prompt shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    pub id: EntityId,
    /// What was said, cut.
    pub text: String,
    /// What the model had made of it, by field.
    pub said: Map<String, Value>,
    /// What stands, by field.
    pub stands: Map<String, Value>,
}

/// The corrections in use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Frozen {
    at: DateTime<Utc>,
    /// Corrections there were then.
    known: u64,
    examples: Vec<Kept>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    at: DateTime<Utc>,
    /// In lower case; empty where it is not known.
    region: String,
    example: Example,
}

/// Corrections that are kept in hand.
const POOL: usize = 100;
/// New ones that make a new set.
const NEWS: u64 = 10;
const DAY: TimeDelta = TimeDelta::days(1);
/// Characters of a text that are shown.
const TEXT: usize = 400;

/// The `n` corrections of a task that are most telling for `text`: no two alike while others are there, the nearest first, then
/// the newest. Where regions have endpoints of their own, only those of the same region.
///
/// # Errors
/// When the ledger cannot be read or written.
pub fn few_shot(
    house: &House,
    task: Task,
    text: &Text,
    region: Option<&str>,
    n: usize,
) -> Result<Vec<Example>, LedgerError> {
    if n == 0 {
        return Ok(Vec::new());
    }
    let kept = frozen(house, task)?.examples.into_iter();
    let region = region.unwrap_or_default().trim().to_lowercase();
    let apart = !house.config.model.regions.is_empty();
    let vector = embed::embed(text);
    // What a person made of this very text is no example for it.
    let own = shown(text);
    let ranked: Vec<(f32, Kept)> = kept
        .filter(|kept| (!apart || kept.region == region) && kept.example.text != own)
        .map(|kept| {
            let theirs = Text { body: kept.example.text.clone(), ..Text::default() };
            let cosine = vector.iter().zip(embed::embed(&theirs)).map(|(a, b)| a * b).sum();
            (cosine, kept)
        })
        .collect();
    Ok(balanced(ranked, n))
}

/// Class by class in turn, in each the nearest first.
fn balanced(mut ranked: Vec<(f32, Kept)>, n: usize) -> Vec<Example> {
    // Near to a hundredth is the same: then the newer tells more of what people want today.
    let near = |cosine: f32| (cosine * 100.0).round();
    ranked.sort_by(|(a, one), (b, other)| {
        near(*b).total_cmp(&near(*a)).then(other.at.cmp(&one.at)).then(one.example.id.cmp(&other.example.id))
    });
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut order: Vec<(usize, usize, Example)> = Vec::new();
    for (place, (_, kept)) in ranked.into_iter().enumerate() {
        let class = serde_json::to_string(&kept.example.stands).unwrap_or_default();
        let turn = taken.entry(class).or_default();
        order.push((*turn, place, kept.example));
        *turn += 1;
    }
    order.sort_by_key(|(turn, place, _)| (*turn, *place));
    order.into_iter().take(n).map(|(.., example)| example).collect()
}

/// The set in use; a new one is taken where it is time.
fn frozen(house: &House, task: Task) -> Result<Frozen, LedgerError> {
    let name = format!("examples {}", task.name());
    let (now, count) = (house.now(), corrections(house, task)?);
    let known: Option<Frozen> = house.ledger.transact(|tx| tx.meta(&name))?;
    if let Some(known) = known {
        let news = count.abs_diff(known.known);
        if news == 0 || (news < NEWS && now - known.at < DAY) || house.models.stands_still(now) {
            return Ok(known);
        }
    }
    let frozen = Frozen { at: now, known: count, examples: gather(house, task, corrected(house, task)?)? };
    house.ledger.transact(|tx| tx.set_meta(&name, &frozen))?;
    Ok(frozen)
}

/// How many verdicts of a task people have corrected.
fn corrections(house: &House, task: Task) -> Result<u64, LedgerError> {
    let standings = house.ledger.standings()?;
    let of_task = standings.iter().filter(|(of, ..)| *of == task);
    Ok(of_task.map(|(.., standing)| standing.reviews.saturating_sub(standing.agreed)).sum())
}

/// Items that a person corrected, newest first, with when.
fn corrected(house: &House, task: Task) -> Result<Vec<(DateTime<Utc>, EntityId)>, LedgerError> {
    let mut newest: BTreeMap<EntityId, DateTime<Utc>> = BTreeMap::new();
    for (id, review) in house.ledger.reviews()? {
        if review.task == task && !review.agreed {
            let at = newest.entry(id).or_insert(review.at);
            *at = (*at).max(review.at);
        }
    }
    let mut items: Vec<(DateTime<Utc>, EntityId)> = newest.into_iter().map(|(id, at)| (at, id)).collect();
    items.sort_by(|a, b| b.cmp(a));
    Ok(items)
}

fn gather(house: &House, task: Task, corrected: Vec<(DateTime<Utc>, EntityId)>) -> Result<Vec<Kept>, LedgerError> {
    let mut of: BTreeMap<EntityId, Vec<crate::ledger::Review>> = BTreeMap::new();
    let wanted: BTreeSet<EntityId> = corrected.iter().take(POOL).map(|(_, id)| *id).collect();
    for (id, review) in house.ledger.reviews()? {
        if review.task == task && wanted.contains(&id) {
            of.entry(id).or_default().push(review);
        }
    }
    let mut kept = Vec::new();
    for (at, id) in corrected.into_iter().take(POOL) {
        let Some(entity) = house.ledger.entity(id)? else { continue };
        let Some(item) = entity.as_feedback().filter(|item| !item.withdrawn) else { continue };
        let text = shown(&triage::text(item));
        let mut reviews = of.remove(&id).unwrap_or_default();
        reviews.sort_by_key(|review| review.at);
        let by_field = |value: fn(&crate::ledger::Review) -> &Value| {
            reviews.iter().map(|review| (short(&review.path).to_owned(), value(review).clone())).collect()
        };
        let example =
            Example { id, text, said: by_field(|review| &review.said), stands: by_field(|review| &review.stands) };
        if !example.text.is_empty() {
            kept.push(Kept { at, region: region(house, item)?, example });
        }
    }
    Ok(kept)
}

/// A text as an example shows it.
fn shown(text: &Text) -> String {
    cut(format!("{}\n{}", text.title, text.body).trim(), TEXT)
}

/// Where it was said.
fn region(house: &House, item: &Feedback) -> Result<String, LedgerError> {
    let customer = match (&item.tags.region, item.customer) {
        (None, Some(id)) => house.ledger.entity(id)?,
        _ => None,
    };
    let theirs = customer.as_ref().and_then(Entity::as_customer).and_then(|customer| customer.region.clone());
    Ok(item.tags.region.clone().or(theirs).unwrap_or_default().trim().to_lowercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(n: u32, class: &str) -> Kept {
        let fields = |value: &str| json!({ "category": value }).as_object().cloned().unwrap_or_default();
        Kept {
            at: DateTime::UNIX_EPOCH + TimeDelta::minutes(n.into()),
            region: String::new(),
            example: Example {
                id: EntityId::derive("a", "b", &n.to_string()),
                text: format!("said {n}"),
                said: fields("general"),
                stands: fields(class),
            },
        }
    }

    #[test]
    fn examples_are_of_every_class_the_nearest_first() {
        let pool =
            || vec![(0.2, kept(1, "bug")), (0.9, kept(2, "bug")), (0.5, kept(3, "bug")), (0.1, kept(4, "praise"))];
        let texts = |n| balanced(pool(), n).into_iter().map(|example| example.text).collect::<Vec<_>>();
        assert_eq!(texts(2), ["said 2", "said 4"]);
        assert_eq!(texts(9), ["said 2", "said 4", "said 3", "said 1"]);
        let mut other = pool();
        other.reverse();
        assert_eq!(balanced(other, 9), balanced(pool(), 9), "whatever order they come in");
    }

    #[test]
    fn of_those_as_near_the_newest_is_first() {
        let pool = vec![(0.501, kept(1, "bug")), (0.499, kept(2, "bug"))];
        assert_eq!(balanced(pool, 1)[0].text, "said 2");
    }
}

//! What themes look like after a while: two that say the same, one that says two things. It is proposed, and people decide.
//!
//! Law: each is proposed once, and again only when the theme has grown by half since.

use std::collections::BTreeSet;

use super::cluster::join_from;
use super::nearest::{dot, unit};
use crate::house::House;
use crate::ledger::{LedgerError, Proposal, ProposalState, Proposed};
use crate::schema::EntityId;

/// How far from the nearness that makes a theme towards being one and the same two middles must be to look like one. Of 52
/// such pairs among 282 themes of support questions, 29 were rightly one.
const ALIKE: f32 = 0.3;
/// Members from which on a theme may be two, for each that makes one.
const LARGE: usize = 2;
/// The most members that are looked at: what is larger is people's to split.
const MOST: usize = 500;
/// Rounds of sorting members into two parts.
const ROUNDS: usize = 12;

/// Looks at a theme that has just changed.
///
/// # Errors
/// The ledger's.
pub(super) fn look(house: &House, theme: EntityId) -> Result<(), LedgerError> {
    let from = house.config.triage.theme_from;
    let seen = house.near.with(house, |index| {
        let Some((space, members)) = index.size(theme).map(|(space, members)| (space.to_owned(), members)) else {
            return Ok(None);
        };
        let middles = index.middles(&space);
        let middles: Vec<(EntityId, Vec<f32>, usize)> =
            middles.into_iter().map(|(id, middle, count)| (id, unit(middle), count)).collect();
        let own = middles.iter().find(|(id, ..)| *id == theme).map(|(_, middle, _)| middle.clone());
        let nearest = own.and_then(|own| {
            let others = middles.iter().filter(|(id, _, count)| *id != theme && *count >= from);
            others
                .map(|(id, middle, count)| (*id, dot(&own, middle), *count))
                .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
        });
        let is_due = members >= from * LARGE && members <= MOST && is_checkpoint(members, from);
        let vectors: Vec<(EntityId, Vec<f32>)> = if is_due {
            index.members(theme).iter().filter_map(|id| index.of(*id).map(|(_, vector)| (*id, vector))).collect()
        } else {
            Vec::new()
        };
        Ok(Some((space, members, nearest, vectors)))
    })?;
    let Some((space, members, nearest, vectors)) = seen else { return Ok(()) };
    let join = join_from(house, &space);
    if let Some((other, cosine, count)) =
        nearest.filter(|(_, cosine, _)| members >= from && *cosine >= join + (1.0 - join) * ALIKE)
    {
        // The smaller goes into the larger.
        let (lose, keep) = if (members, other) < (count, theme) { (theme, other) } else { (other, theme) };
        let because = format!("what they say lies near each other ({cosine:.2})");
        propose(house, &Proposed::MergeThemes { theme: lose, into: keep }, &because, cosine, &space)?;
    }
    if let Some((part, cosine)) = two_parts(&vectors, from, join)
        && !was_proposed(house, theme, part.len())?
    {
        let because = format!("{} of its {} items say something else ({cosine:.2})", part.len(), vectors.len());
        propose(
            house,
            &Proposed::SplitTheme { theme, items: part.into_iter().collect() },
            &because,
            1.0 - cosine,
            &space,
        )?;
    }
    Ok(())
}

/// At every growth by a quarter, and not with every item.
fn is_checkpoint(members: usize, from: usize) -> bool {
    let mut at = from * LARGE;
    while at < members {
        at += (at / 4).max(1);
    }
    at == members
}

/// The smaller of the two parts that a theme falls into, if it does.
fn two_parts(vectors: &[(EntityId, Vec<f32>)], least: usize, apart: f32) -> Option<(BTreeSet<EntityId>, f32)> {
    let (first, _) = vectors.first().map(|(_, vector)| farthest(vectors, vector))?;
    let (second, _) = farthest(vectors, &vectors.get(first)?.1);
    let mut middles = [vectors.get(first)?.1.clone(), vectors.get(second)?.1.clone()];
    let mut sides: Vec<bool> = Vec::new();
    for _ in 0..ROUNDS {
        let sorted: Vec<bool> =
            vectors.iter().map(|(_, vector)| dot(vector, &middles[1]) > dot(vector, &middles[0])).collect();
        if sorted == sides {
            break;
        }
        sides = sorted;
        for (side, middle) in [false, true].into_iter().zip(&mut middles) {
            let mut sum = vec![0.0_f32; middle.len()];
            for ((_, vector), _) in vectors.iter().zip(&sides).filter(|(_, of)| **of == side) {
                sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
            }
            *middle = unit(sum);
        }
    }
    let second = sides.iter().filter(|side| **side).count();
    let first = sides.len() - second;
    let cosine = dot(&middles[0], &middles[1]);
    if first.min(second) < least || cosine >= apart {
        return None;
    }
    let smaller = second <= first;
    let part = vectors.iter().zip(&sides).filter(|(_, side)| **side == smaller).map(|((id, _), _)| *id).collect();
    Some((part, cosine))
}

fn farthest(vectors: &[(EntityId, Vec<f32>)], from: &[f32]) -> (usize, f32) {
    let all = vectors.iter().enumerate().map(|(at, (_, vector))| (at, dot(vector, from)));
    all.min_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0))).unwrap_or((0, 1.0))
}

/// A split of this theme was proposed that waits, or that people answered when it was hardly smaller.
fn was_proposed(house: &House, theme: EntityId, part: usize) -> Result<bool, LedgerError> {
    Ok(house.ledger.proposals()?.iter().any(|(_, proposal)| match &proposal.what {
        Proposed::SplitTheme { theme: of, items } if *of == theme => match proposal.state {
            ProposalState::Open => true,
            _ => part * 2 < items.len() * 3,
        },
        _ => false,
    }))
}

fn propose(house: &House, what: &Proposed, because: &str, confidence: f32, space: &str) -> Result<(), LedgerError> {
    house.ledger.transact(|tx| {
        if tx.proposal(what.number()?)?.is_some() {
            return Ok(());
        }
        tx.put_proposal(&Proposal {
            at: house.now(),
            what: what.clone(),
            because: because.to_owned(),
            confidence: f64::from(confidence).clamp(0.0, 1.0),
            model: space.to_owned(),
            prompt: String::new(),
            state: ProposalState::Open,
        })
    })
}

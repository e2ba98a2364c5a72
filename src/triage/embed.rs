//! Where a text lies among others: by loopd's own n-grams, or by a model's embeddings where one is configured.
//!
//! A model is asked for hundreds at once: [`ahead`] asks for what is due soon, [`step`] finds its vector there, and asks alone only
//! for a text that has changed meanwhile. Vectors that no item has taken are forgotten when loopd stops, and asked for again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use connectors::Fault;
use connectors::model::Tokens;

use super::{Outcome, digest, names, nearest, text};
use crate::enrich::embed;
use crate::house::House;
use crate::ledger::{LedgerError, TRIAGE};
use crate::model::mask::Mask;
use crate::schema::{EntityId, Feedback};

/// The space that items lie in.
pub fn space(house: &House) -> &str {
    match (&house.config.model.embed, &house.models.everywhere) {
        (Some(model), Some(_)) => model,
        _ => embed::NAME,
    }
}

/// Vectors that were asked for many at once, until their items take them.
#[derive(Default)]
pub struct Ahead(Mutex<BTreeMap<EntityId, (u64, Vec<f32>)>>);

/// What is looked at to be asked for at once: as many as the greatest call takes, texts and bytes.
const AT_ONCE: usize = 512;
const BYTES: usize = 64 * 1024;

impl Ahead {
    fn map(&self) -> std::sync::MutexGuard<'_, BTreeMap<EntityId, (u64, Vec<f32>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, id: EntityId, asked_for: u64) -> bool {
        self.map().get(&id).is_some_and(|(of, _)| *of == asked_for)
    }

    fn take(&self, id: EntityId, asked_for: u64) -> Option<Vec<f32>> {
        self.map().remove(&id).filter(|(of, _)| *of == asked_for).map(|(_, vector)| vector)
    }
}

/// A text that has no vector yet.
struct Lacks {
    id: EntityId,
    asked_for: u64,
    text: String,
}

/// Asks for the vectors of what is due, one call an endpoint, where any of `now` lacks its own.
///
/// # Errors
/// The ledger's.
pub async fn ahead(house: &House, now: &[EntityId], known: &Ahead) -> Result<(), LedgerError> {
    let space = space(house);
    if space == embed::NAME || house.models.rests(house.now()).is_some() {
        return Ok(());
    }
    let mut bytes = 0;
    for id in now {
        bytes += lacks(house, space, *id, known)?.map_or(0, |(_, lacks)| lacks.text.len());
    }
    if bytes == 0 || !crate::model::bears(house, space, bytes)? {
        return Ok(());
    }
    let mut by_region: BTreeMap<Option<String>, Vec<Lacks>> = BTreeMap::new();
    let mut room = BYTES;
    for claim in house.ledger.due(TRIAGE, super::stage::RANKS, house.now(), AT_ONCE)? {
        let Some(id) = super::stage::item(&claim) else { continue };
        if let Some((region, lacks)) = lacks(house, space, id, known)? {
            // Regions that have no endpoint of their own go together.
            let own = region.filter(|region| house.models.regions.contains_key(region));
            room = room.saturating_sub(lacks.text.len());
            by_region.entry(own).or_default().push(lacks);
            if room == 0 {
                break;
            }
        }
    }
    // What was asked for long ago and not taken was edited, or has gone.
    if known.map().len() > 4 * AT_ONCE {
        known.map().retain(|id, _| now.contains(id));
    }
    for (region, some) in by_region {
        together(house, space, region.as_deref(), some, known).await?;
    }
    Ok(())
}

async fn together(
    house: &House,
    space: &str,
    region: Option<&str>,
    mut some: Vec<Lacks>,
    known: &Ahead,
) -> Result<(), LedgerError> {
    let Some(model) = house.models.of(region) else { return Ok(()) };
    let bytes = |some: &[Lacks]| some.iter().map(|lacks| lacks.text.len()).sum();
    // What the budget bears, and at least two: one is asked for alone.
    while some.len() > 1 && !crate::model::bears(house, space, bytes(&some))? {
        some.truncate(some.len() / 2);
    }
    if some.len() < 2 {
        return Ok(());
    }
    let texts: Vec<String> = some.iter().map(|lacks| lacks.text.clone()).collect();
    match model.embed(space, &texts).await {
        Ok(embedded) => {
            let tokens = Tokens { output: 0, ..embedded.tokens };
            crate::model::spend(house, "embed", &embedded.model, tokens)?;
            let vectors = some.into_iter().zip(embedded.vectors).filter(|(_, vector)| !vector.is_empty());
            known.map().extend(vectors.map(|(lacks, vector)| (lacks.id, (lacks.asked_for, vector))));
        }
        // Which of them it was shows when each is asked for alone.
        Err(Fault::Rejected { .. }) => {}
        Err(fault) => {
            crate::model::fail(house, &fault)?;
        }
    }
    Ok(())
}

/// What is to be asked of an item, and where it was said; `None`: its vector is there, or none is wanted.
fn lacks(
    house: &House,
    space: &str,
    id: EntityId,
    known: &Ahead,
) -> Result<Option<(Option<String>, Lacks)>, LedgerError> {
    let Some(feedback) = super::stage::read(house, id)? else { return Ok(None) };
    let asked_for = asked_for(&feedback, space)?;
    if super::extract::is_conversation(house, &feedback)
        || house.ledger.triaged(id)?.done.get("embed") == Some(&asked_for)
        || known.has(id, asked_for)
    {
        return Ok(None);
    }
    let text = masked(house, &feedback)?;
    let region = super::region(house, &feedback)?;
    Ok((!text.trim().is_empty()).then_some((region, Lacks { id, asked_for, text })))
}

/// Changes when the text does, or who says where it lies.
fn asked_for(feedback: &Feedback, space: &str) -> Result<u64, LedgerError> {
    crate::ledger::digest(&(digest(feedback), space))
}

/// The text as it may leave.
fn masked(house: &House, feedback: &Feedback) -> Result<String, LedgerError> {
    let text = text(feedback);
    let whole = format!("{}\n{}", text.title, text.body);
    Ok(Mask::of([whole.as_str()], &names(house, feedback)?).hide(&whole))
}

/// # Errors
/// The ledger's.
pub async fn step(house: &House, id: EntityId, feedback: &Feedback, ahead: &Ahead) -> Result<Outcome, LedgerError> {
    let space = space(house);
    let asked_for = asked_for(feedback, space)?;
    if house.ledger.triaged(id)?.done.get("embed") == Some(&asked_for) {
        return Ok(Outcome::Done);
    }
    let vector = if space == embed::NAME {
        embed::embed(&text(feedback))
    } else if let Some(vector) = ahead.take(id, asked_for) {
        vector
    } else {
        match ask(house, space, feedback, masked(house, feedback)?).await? {
            Ok(vector) => vector,
            Err(outcome) => return Ok(outcome),
        }
    };
    house.ledger.transact(|tx| {
        let current = tx.entity(id)?.as_ref().and_then(|entity| entity.as_feedback().map(digest));
        if current != Some(digest(feedback)) {
            return Ok(());
        }
        nearest::put(house, tx, id, space, &vector)?;
        super::mark_as(tx, id, "embed", asked_for)
    })?;
    Ok(Outcome::Done)
}

async fn ask(
    house: &House,
    space: &str,
    feedback: &Feedback,
    text: String,
) -> Result<Result<Vec<f32>, Outcome>, LedgerError> {
    let region = super::region(house, feedback)?;
    let Some(model) = house.models.of(region.as_deref()) else { return Ok(Err(Outcome::Done)) };
    if let Some(until) = crate::model::may_spend(house, space, text.len())? {
        return Ok(Err(Outcome::Later(until)));
    }
    match model.embed(space, std::slice::from_ref(&text)).await {
        Ok(mut embedded) => {
            let tokens = Tokens { output: 0, ..embedded.tokens };
            crate::model::spend(house, "embed", &embedded.model, tokens)?;
            match embedded.vectors.pop().filter(|vector| !vector.is_empty()) {
                Some(vector) => Ok(Ok(vector)),
                // Nothing to embed.
                None => Ok(Err(Outcome::Done)),
            }
        }
        Err(Fault::Rejected { why, .. }) => {
            tracing::warn!(%why, "a text could not be embedded; it is near to nothing");
            Ok(Err(Outcome::Done))
        }
        Err(fault) => Ok(Err(Outcome::Later(crate::model::fail(house, &fault)?))),
    }
}

//! Where a text lies among others: by loopd's own n-grams, or by a model's embeddings where one is configured.

use connectors::Fault;
use connectors::model::Tokens;

use super::{Outcome, digest, names, nearest, text};
use crate::enrich::embed;
use crate::house::House;
use crate::ledger::LedgerError;
use crate::model::mask::Mask;
use crate::schema::{EntityId, Feedback};

/// The space that items lie in.
pub fn space(house: &House) -> &str {
    match (&house.config.model.embed, &house.models.everywhere) {
        (Some(model), Some(_)) => model,
        _ => embed::NAME,
    }
}

/// # Errors
/// The ledger's.
pub async fn step(house: &House, id: EntityId, feedback: &Feedback) -> Result<Outcome, LedgerError> {
    let space = space(house);
    let asked_for = crate::ledger::digest(&(digest(feedback), space))?;
    if house.ledger.triaged(id)?.done.get("embed") == Some(&asked_for) {
        return Ok(Outcome::Done);
    }
    let text = text(feedback);
    let vector = if space == embed::NAME {
        embed::embed(&text)
    } else {
        let whole = format!("{}\n{}", text.title, text.body);
        let mask = Mask::of([whole.as_str()], &names(house, feedback)?);
        match ask(house, space, feedback, mask.hide(&whole)).await? {
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

//! What a suggestion does to an item: it is kept as a verdict, and where the field is a model's to fill it stands there as a draft.
//!
//! Laws: a person's decision is never replaced. What a language model said of a text is not replaced by what the small model says
//! of the same text. Only the paths of [`crate::review::WRITABLE`] are a model's to fill, whatever it says.

use serde_json::Value;

use super::Suggestion;
use crate::config::Mode;
use crate::house::House;
use crate::ledger::{Entry, LedgerError, Tx, What};
use crate::review::open::may_fill;
use crate::review::{calibration, is_writable};
use crate::schema::{EntityId, Feedback, Path, Task, Verdict};
use crate::triage::classify;

/// Who suggests.
pub struct By<'a> {
    pub task: Task,
    pub model: &'a str,
    /// `classify/1`
    pub prompt: Option<&'a str>,
}

/// Enters suggestions into an item: `feedback` as it stands, `value` the same as JSON, which is changed.
///
/// # Errors
/// The ledger's.
pub fn apply(
    house: &House,
    tx: &mut Tx<'_>,
    id: EntityId,
    feedback: &Feedback,
    value: &mut Value,
    suggestions: &[Suggestion],
    by: &By<'_>,
) -> Result<(), LedgerError> {
    if house.config.task(by.task).mode == Mode::Off {
        return Ok(());
    }
    // Whether a language model has spoken of this very text.
    let spoken = by.task == Task::Classify
        && tx.triaged(id)?.done.get(by.task.name()) == Some(&classify::asked_for(house, feedback)?);
    for suggestion in suggestions {
        let Ok(path) = suggestion.path.parse::<Path>() else { continue };
        let dotted = path.dotted();
        if !is_writable(&dotted) {
            continue;
        }
        let earlier = feedback.enrichment.get(&dotted);
        if by.prompt.is_none() && spoken && earlier.is_some_and(|earlier| earlier.prompt.is_some()) {
            continue;
        }
        let said = Value::from(suggestion.value.as_str());
        let (confidence, claimed) = calibration::right(tx, &dotted, by.prompt, suggestion.confidence)?;
        let news = earlier.is_none_or(|earlier| {
            (&earlier.value, earlier.model.as_str(), earlier.prompt.as_deref()) != (&said, by.model, by.prompt)
                || (earlier.confidence - confidence).abs() > f64::EPSILON
                || earlier.because != suggestion.because
        });
        // Ours to set: nothing stands there, or what stands there is a model's own earlier word.
        let current = path.get(value).clone();
        let ours = current.is_null() || earlier.is_some_and(|earlier| earlier.value == current);
        let free = ours && !feedback.decided.contains_key(&dotted) && current != said;
        if free && confidence >= house.config.enrich.threshold && may_fill(house, tx, feedback, value, &dotted, &said)?
        {
            path.set(value, said.clone());
            tx.log(
                id,
                &Entry {
                    at: house.now(),
                    by: by.prompt.map_or_else(|| by.model.to_owned(), |prompt| format!("{} ({prompt})", by.model)),
                    what: What::Suggested,
                    field: Some(dotted.clone()),
                    old: (!current.is_null()).then_some(current),
                    new: Some(said.clone()),
                    note: Some(note(confidence, suggestion.because.as_deref())),
                },
            )?;
        }
        if news {
            let verdict = Verdict {
                value: said,
                model: by.model.to_owned(),
                prompt: by.prompt.map(str::to_owned),
                confidence,
                claimed,
                at: house.now(),
                because: suggestion.because.clone(),
            };
            keep(value, &dotted, &verdict);
        }
    }
    Ok(())
}

/// Verdicts are keyed by a dotted path, so they are set as one key, not as a path.
fn keep(value: &mut Value, dotted: &str, verdict: &Verdict) {
    if let (Some(enrichment), Ok(verdict)) =
        (value.get_mut("enrichment").and_then(Value::as_object_mut), serde_json::to_value(verdict))
    {
        enrichment.insert(dotted.to_owned(), verdict);
    }
}

fn note(confidence: f64, because: Option<&str>) -> String {
    let sure = format!("{:.0} % sure", confidence * 100.0);
    match because {
        Some(because) => format!("{sure}, because of {because}"),
        None => sure,
    }
}

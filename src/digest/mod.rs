//! Digest: the week's Voice of Customer, for whoever reads it. Decisions first.
//!
//! Laws:
//! - Every number is ours, and follows from the ledger and the week: asked twice, it says the same twice.
//! - A model writes sentences around them. A number, quote or name in these that we did not give is refused, and the text is ours.
//! - A role sees what concerns it, first what it must decide. Engineers see no customer's name.

pub mod check;
pub mod gather;
pub mod numbers;
pub mod prose;
pub mod role;
pub mod span;
#[cfg(test)]
mod tests;
pub mod week;
mod words;
pub mod write;

pub use span::Span;
pub use week::{Role, Week};
pub use write::Edition;

use crate::house::House;
use crate::ledger::LedgerError;

/// What a person asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wanted {
    /// `2026-W47`, `last`, `this`. `None`: the week that ended last; where nothing was heard in it, the one that runs.
    pub week: Option<String>,
    #[serde(default)]
    pub role: Role,
    /// In our own words, whether there is a model or not.
    #[serde(default)]
    pub offline: bool,
}

/// The digest of a week. Inside: why there is none.
///
/// # Errors
/// When the ledger cannot be read or written.
pub async fn digest(house: &House, wanted: &Wanted) -> Result<Result<Edition, String>, LedgerError> {
    let spans = match meant(house, wanted.week.as_deref()) {
        Ok(spans) => spans,
        Err(why) => return Ok(Err(why)),
    };
    let all = gather::listen(house, &spans)?;
    let heard = |span: &&Span| all.items.iter().any(|item| item.between(span.from(), span.to()));
    let Some(span) = spans.iter().find(heard).or(spans.first()).copied() else { return Ok(Err("no week".into())) };
    let week = role::seen_by(gather::gather(house, &all, span)?, wanted.role);
    drop(all);
    Ok(Ok(if wanted.offline { Edition::ours(week, None) } else { write::write(house, week).await? }))
}

/// The weeks of which the first in which anything was heard is meant.
fn meant(house: &House, text: Option<&str>) -> Result<Vec<Span>, String> {
    let running = Span::at(house.now(), house.config.timezone);
    match text.map(str::trim) {
        None => Ok(vec![running.before(), running]),
        Some("this") => Ok(vec![running]),
        Some("last") => Ok(vec![running.before()]),
        Some(text) => match Span::parse(text, house.config.timezone) {
            Some(span) if span.from() > house.now() => Err(format!("{} has not begun", span.name())),
            Some(span) => Ok(vec![span]),
            None => {
                Err(format!("`{text}` is no week\n  = write it as {}, or `last`, or `this`", running.before().name()))
            }
        },
    }
}

//! Triage at work: what was extracted from calls, which themes came to be, what is proposed; and a suggestion that a person corrects in
//! Airtable, after which the same thing said again is judged as they said.

use std::time::Duration;

use anyhow::Context;
use connectors::Clock;
use connectors::clock::SystemClock;
use sandbox::github::NewIssue;
use serde::Serialize;
use serde_json::json;

use super::books::Books;
use super::play::Move;
use super::speak::Fed;
use super::stage::{BASE, FEEDBACK, Stage};
use crate::ledger::{LedgerError, ProposalState, Proposed};
use crate::pause::{Pause, RealPause};
use crate::schema::{Entity, EntityId, EntityKind, Feedback};
use crate::view::view;

/// What triage made of what was said.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Judged {
    /// Conversations, and the items that were taken from them.
    pub calls: usize,
    pub extracted: usize,
    /// Some of them, in the customer's words.
    pub quotes: Vec<String>,
    /// The largest, by how many items they hold.
    pub themes: Vec<Named>,
    /// Pairs that may be one, for a person to decide.
    pub duplicates_proposed: usize,
    /// Verdicts of models that people spoke to, and those that they let stand.
    pub reviews: usize,
    pub agreed: usize,
    pub lesson: Option<Lesson>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Named {
    pub name: String,
    pub items: u64,
    pub customers: u64,
    pub arr: f64,
    pub status: String,
}

/// A correction, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Lesson {
    pub item: String,
    pub title: String,
    /// What the model had said, and what a person made of it in Airtable.
    pub was: String,
    pub corrected: String,
    /// The same, said again by somebody else: what is suggested now, and why.
    pub again: String,
    pub suggested: String,
    pub because: String,
}

impl Lesson {
    pub fn was_learned(&self) -> bool {
        self.suggested == self.corrected
    }
}

/// How long the demo waits for one thing to show.
const PATIENCE: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(200);
const SHOWN: usize = 5;

/// Corrects a suggestion, and reads what there is.
///
/// # Errors
/// A ledger that cannot be read.
pub(super) async fn play(stage: &Stage, fed: &[Fed], moves: &[Move]) -> anyhow::Result<Judged> {
    let lesson = match pupil(stage, fed, moves)? {
        Some((one, feedback)) => Some(teach(stage, &one, &feedback).await?),
        None => None,
    };
    Ok(Judged { lesson, ..look(stage)? })
}

/// An issue that nobody has worked on, with a suggestion that stands as a draft.
fn pupil(stage: &Stage, fed: &[Fed], moves: &[Move]) -> anyhow::Result<Option<(Fed, Box<Feedback>)>> {
    let books = Books::read(&stage.world);
    for one in fed.iter().filter(|one| one.connection == "github" && !moves.iter().any(|done| done.fed() == *one)) {
        let entity = stage.house.ledger.entity(one.entity())?;
        let Some(feedback) = entity.as_ref().and_then(Entity::as_feedback) else { continue };
        let drafted = feedback.enrichment.get("tags.category").is_some_and(|verdict| {
            feedback.tags.category.as_deref() == verdict.value.as_str() && verdict.value != "pain_point"
        });
        let long = feedback.verbatim.as_ref().is_some_and(|text| text.split_whitespace().count() >= 12);
        if drafted && long && !feedback.decided.contains_key("tags.category") && books.row(one).is_some() {
            return Ok(Some((one.clone(), Box::new(feedback.clone()))));
        }
    }
    Ok(None)
}

async fn teach(stage: &Stage, one: &Fed, feedback: &Feedback) -> anyhow::Result<Lesson> {
    let (id, ledger) = (one.entity(), &stage.house.ledger);
    let row = Books::read(&stage.world).row(one).and_then(|row| row["id"].as_str().map(str::to_owned));
    let row = row.context("its row has gone")?;
    stage.world.airtable(|desk, cx| desk.edit_cell(cx, BASE, FEEDBACK, &row, "Category", &json!("Pain Point")));
    wait(|| Ok(ledger.reviews()?.iter().any(|(of, review)| *of == id && review.path == "tags.category"))).await?;
    // Another customer says the same.
    let (repo, _) = one.outside.split_once('#').context("an issue's id")?;
    let title = feedback.title.clone().unwrap_or_default();
    let body = format!("{}\n\nWe see this as well.", feedback.verbatim.clone().unwrap_or_default());
    let new = NewIssue { title: &title, body: Some(&body), author: "cy-example", ..NewIssue::default() };
    let number = stage.world.github(|desk, cx| desk.open_issue(repo, &new, cx)).context("its repository has gone")?;
    let again = EntityId::derive("github", "issue", &format!("{repo}#{number}"));
    let read = || -> Result<Option<Feedback>, LedgerError> {
        Ok(ledger.entity(again)?.as_ref().and_then(Entity::as_feedback).cloned())
    };
    wait(|| Ok(read()?.is_some_and(|item| item.enrichment.contains_key("tags.category")))).await?;
    let item = read()?.context("it was said and is not known")?;
    let verdict = item.enrichment.get("tags.category").cloned();
    Ok(Lesson {
        item: id.short(EntityKind::Feedback),
        title,
        was: feedback.tags.category.clone().unwrap_or_default(),
        corrected: "pain_point".into(),
        again: again.short(EntityKind::Feedback),
        suggested: verdict.as_ref().and_then(|verdict| verdict.value.as_str()).unwrap_or_default().to_owned(),
        because: verdict.and_then(|verdict| verdict.because).unwrap_or_default(),
    })
}

/// Until it is so, or for so long; what does not come to be so shows in the outcome.
async fn wait(mut is_so: impl FnMut() -> Result<bool, LedgerError>) -> Result<(), LedgerError> {
    let clock = SystemClock::new();
    let began = clock.monotonic();
    while !is_so()? && clock.monotonic() - began < PATIENCE {
        RealPause.pause(LOOK).await;
    }
    Ok(())
}

fn look(stage: &Stage) -> anyhow::Result<Judged> {
    let ledger = &stage.house.ledger;
    let mut judged = Judged::default();
    let mut parents = std::collections::BTreeSet::new();
    let mut themes = Vec::new();
    ledger.each_entity(|entity| {
        if let Some(item) = entity.as_feedback().filter(|item| !item.withdrawn)
            && let (Some(parent), Some(quote)) = (item.part_of, &item.quote)
        {
            parents.insert(parent);
            judged.extracted += 1;
            if judged.quotes.len() < 3 {
                judged.quotes.push(quote.text.clone());
            }
        }
        if entity.as_theme().is_some_and(|theme| !theme.withdrawn && theme.merged_into.is_none()) {
            themes.push(entity);
        }
        Ok(())
    })?;
    judged.calls = parents.len();
    for theme in themes {
        let seen = view(ledger, &theme, stage.house.now())?;
        judged.themes.push(Named {
            name: seen["name"].as_str().unwrap_or_default().to_owned(),
            items: seen["derived"]["count"].as_u64().unwrap_or_default(),
            customers: seen["derived"]["customers"].as_u64().unwrap_or_default(),
            arr: seen["derived"]["arr"].as_f64().unwrap_or_default(),
            status: seen["status"].as_str().unwrap_or_default().to_owned(),
        });
    }
    judged.themes.sort_by(|a, b| b.items.cmp(&a.items).then_with(|| a.name.cmp(&b.name)));
    judged.themes.truncate(SHOWN);
    let open = |state: &ProposalState| *state == ProposalState::Open;
    judged.duplicates_proposed = ledger
        .proposals()?
        .iter()
        .filter(|(_, proposal)| open(&proposal.state) && matches!(proposal.what, Proposed::Duplicate { .. }))
        .count();
    let reviews = ledger.reviews()?;
    judged.reviews = reviews.len();
    judged.agreed = reviews.iter().filter(|(_, review)| review.agreed).count();
    Ok(judged)
}

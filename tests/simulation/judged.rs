//! A language model among the vendors: it lies, it cuts its answers, it refuses, it is slow or down, it obeys whoever gives it orders; and
//! people answer what it proposes. Whatever it says, nothing is lost, no merge stands that no person made, and nothing is asked
//! about for ever.

use loopd::ledger::{ProposalState, Proposed, What};
use loopd::review::act;
use loopd::schema::EntityKind;
use sandbox::faults::Rng;
use sandbox::mistral::Habit;

use super::people::People;
use crate::town::Town;

pub(super) const MODEL: &str = r#"
[model]
provider = "mistral"
base_url = "https://mistral.example.com"
key = { env = "MISTRAL_TOKEN" }
batch_from = 12
[triage]
settle_seconds = 2
theme_from = 2
"#;

const HABITS: [Habit; 7] =
    [Habit::Slow, Habit::Lying, Habit::Malformed, Habit::Refusing, Habit::Limited, Habit::Down, Habit::Credulous];

/// The model's mood changes, or somebody answers what it said.
pub(super) fn act(town: &mut Town, rng: &mut Rng) {
    match rng.below(6) {
        0 | 1 => {
            town.world.mistral(|desk, _| desk.behave());
            for habit in HABITS {
                if rng.chance(0.3) {
                    let rate = rng.below(700) as f64 / 1000.0;
                    town.world.mistral(|desk, _| desk.set_habit(habit, rate));
                }
            }
        }
        2 => accept(town, rng),
        3 => correct(town, rng),
        _ => answer(town, rng),
    }
}

fn accept(town: &mut Town, rng: &mut Rng) {
    let items = town.house.ledger.ids(EntityKind::Feedback).expect("memory");
    if let Some(id) = People::one(rng, items) {
        let _ = act::accept(&town.house, id, &[], "a simulated person").expect("memory");
    }
}

fn correct(town: &mut Town, rng: &mut Rng) {
    let items = town.house.ledger.ids(EntityKind::Feedback).expect("memory");
    if let Some(id) = People::one(rng, items) {
        let word = ["bug", "praise", "pain_point", "general"][usize::try_from(rng.below(4)).unwrap_or(0)];
        let _ = act::correct(&town.house, id, "use_case", word, "a simulated person").expect("memory");
    }
}

/// Yes, no, or not after all.
fn answer(town: &mut Town, rng: &mut Rng) {
    let proposals = town.house.ledger.proposals().expect("memory");
    let Some((number, proposal)) = People::one(rng, proposals) else { return };
    let by = "a simulated person";
    let _ = match proposal.state {
        ProposalState::Open if rng.chance(0.6) => act::merge(&town.house, number, by),
        ProposalState::Open => act::refuse(&town.house, number, by),
        _ => act::undo(&town.house, number, by),
    }
    .expect("memory");
}

/// What must be so of every verdict, whatever the model said.
pub(super) fn check(town: &mut Town) {
    let asked = town.world.mistral(|desk, _| desk.usage().calls);
    town.run_for(std::time::Duration::from_secs(2 * 3600));
    assert_eq!(town.world.mistral(|desk, _| desk.usage().calls), asked, "what was answered is asked again");
    let ledger = &town.house.ledger;
    for id in ledger.ids(EntityKind::Feedback).expect("memory") {
        let entity = ledger.entity(id).expect("memory").expect("it is listed");
        let item = entity.as_feedback().expect("feedback");
        // Of what is gone nothing is judged any more.
        if item.withdrawn {
            continue;
        }
        if item.duplicate_of.is_some() {
            assert!(item.decided.contains_key("duplicate_of"), "{id} was merged, and by no person");
        }
        for (path, verdict) in &item.enrichment {
            assert!(loopd::review::is_writable(path), "a model set {path} of {id}");
            let words = town.house.config.vocabularies.get(path.strip_prefix("tags.").unwrap_or_default());
            let said = verdict.value.as_str().unwrap_or_default();
            let known = words.is_none_or(|words| words.iter().any(|term| term.value == said));
            assert!(known, "{path} of {id} is {said}, which is no word of ours");
            if let (Some(because), true) = (&verdict.because, verdict.prompt.is_some())
                && path.starts_with("tags.")
            {
                let quote = because.trim_matches(['\u{201c}', '\u{201d}']);
                let text = format!(
                    "{}\n\n{}",
                    item.title.as_deref().unwrap_or_default(),
                    item.verbatim.as_deref().unwrap_or_default()
                );
                // The text may have been edited since; then it waits to be judged anew, which assert_quiet would show.
                assert!(
                    loopd::model::quote::find(&text, quote).is_some(),
                    "{path} of {id} rests on what nobody said: {quote}"
                );
            }
        }
        for entry in ledger.history(id).expect("memory").iter().filter(|entry| entry.what == What::Suggested) {
            let field = entry.field.as_deref().unwrap_or_default();
            assert!(loopd::review::is_writable(field), "a model set {field} of {id}");
        }
    }
    for (number, proposal) in ledger.proposals().expect("memory") {
        if let ProposalState::Done { by, .. } = &proposal.state
            && !matches!(proposal.what, Proposed::VerifyTheme { .. })
        {
            let model = by == &proposal.model && !proposal.model.is_empty();
            assert!(!model, "proposal {number} was done by a model that had not earned it");
        }
    }
}

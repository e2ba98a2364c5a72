//! What a person says of a model's verdict counts, wherever they say it, and trust follows from it.

use loopd::ledger::{Review, What};
use loopd::review::{act, agreement, may_act, queue};
use loopd::schema::{EntityId, Task};
use serde_json::{Value, json};

use crate::story::{cells, history, issue, known, minutes, no_dead, of_issue, row, rows_with, tell, tell_in, type_in};
use crate::town::Town;

/// Something that nobody labelled: what it is, a model must say.
fn said(town: &Town, title: &str, body: &str) -> EntityId {
    of_issue(issue(town, title, Some(body), &[]))
}

fn crash(town: &Town, title: &str) -> EntityId {
    said(town, title, "The program crashes with an error as soon as I open a file. This is a bug.")
}

fn reviews(town: &Town, id: EntityId) -> Vec<Review> {
    let all = town.house.ledger.reviews().expect("memory");
    let mut own: Vec<Review> = all.into_iter().filter(|(of, _)| *of == id).map(|(_, review)| review).collect();
    own.sort_by(|a, b| a.path.cmp(&b.path));
    own
}

fn words(town: &Town, id: EntityId) -> Vec<(String, Value, Value, bool)> {
    reviews(town, id).into_iter().map(|review| (review.path, review.said, review.stands, review.agreed)).collect()
}

fn category(town: &Town, id: EntityId) -> Option<String> {
    known(town, id)?.as_feedback()?.tags.category.clone()
}

fn waiting(town: &Town) -> Vec<EntityId> {
    let queue = queue::queue(&town.house, Some(queue::Kind::Suggestions), 100).expect("memory");
    queue.into_iter().filter_map(|waiting| waiting.item.id).collect()
}

/// A word at the desk, which is on the disk when it is answered.
#[track_caller]
fn at_the_desk(town: &Town, done: Result<Result<String, String>, loopd::ledger::LedgerError>) {
    done.expect("memory").expect("it is done");
    town.house.ledger.durable().expect("memory");
}

fn tick(town: &Town, id: EntityId, ticked: bool) {
    type_in(town, "Feedback", id, "Reviewed", &if ticked { json!(true) } else { Value::Null });
}

#[test]
fn a_correction_in_airtable_is_a_review() {
    tell(|town, mid| {
        let id = crash(town, "Opening a file ends it");
        minutes(town, 3);
        assert_eq!(cells(town, id)["Category"], "Bug", "as the model says");
        assert_eq!(waiting(town), [id]);
        assert_eq!(words(town, id), []);
        type_in(town, "Feedback", id, "Category", &json!("Pain Point"));
        mid(town);
        minutes(town, 3);
        assert_eq!(words(town, id), [("tags.category".into(), json!("bug"), json!("pain_point"), false)]);
        // The same person thinks again: one word, the later one.
        type_in(town, "Feedback", id, "Category", &json!("Bug"));
        mid(town);
        minutes(town, 3);
        assert_eq!(words(town, id), [("tags.category".into(), json!("bug"), json!("bug"), true)]);
        let standing = town.house.ledger.standing(Task::Classify, "bug", "").expect("memory");
        assert_eq!((standing.recent, standing.reviews, standing.agreed), (vec![true], 1, 1));
        assert_eq!(reviews(town, id)[0].by, "airtable");
        assert!(history(town, id).iter().any(|line| line.what == What::Reviewed));
        let told = agreement::agreement(&town.house, &agreement::Wanted::default()).expect("memory");
        assert_eq!((told.rows[0].reviews, told.rows[0].agreed), (1, 1));
        assert!(told.mistakes.is_empty(), "what was corrected stands corrected");
        no_dead(town);
    });
}

#[test]
fn what_loopd_writes_is_no_review() {
    tell(|town, mid| {
        let id = crash(town, "Opening a file ends it");
        mid(town);
        minutes(town, 30);
        assert_eq!(cells(town, id)["Category"], "Bug");
        assert_eq!(words(town, id), [], "its own row, read back, is nobody's word");
        // Nor is an edit of what no model judged.
        type_in(town, "Feedback", id, "Status", &json!("Validated"));
        mid(town);
        minutes(town, 3);
        assert_eq!(words(town, id), []);
        no_dead(town);
    });
}

#[test]
fn a_ticked_box_accepts_and_an_unticked_one_takes_back() {
    tell(|town, mid| {
        let id = crash(town, "Opening a file ends it");
        minutes(town, 3);
        // One field is corrected before; that word is not touched by the box.
        type_in(town, "Feedback", id, "Severity", &json!("Low"));
        minutes(town, 3);
        let before = words(town, id);
        tick(town, id, true);
        mid(town);
        minutes(town, 3);
        let entity = known(town, id).expect("known");
        let item = entity.as_feedback().expect("feedback");
        assert!(item.reviewed && item.decided.contains_key("tags.category"), "{:?}", item.decided);
        let all = words(town, id);
        assert!(all.len() > before.len(), "{all:?}");
        assert!(all.contains(&("tags.category".into(), json!("bug"), json!("bug"), true)), "{all:?}");
        assert_eq!(waiting(town), []);
        tick(town, id, false);
        mid(town);
        minutes(town, 3);
        let entity = known(town, id).expect("known");
        let item = entity.as_feedback().expect("feedback");
        assert!(!item.reviewed && !item.decided.contains_key("tags.category"));
        assert_eq!(words(town, id), before, "the correction stays");
        assert_eq!(waiting(town), [id]);
        assert_eq!(item.tags.severity.as_deref(), Some("low"));
        no_dead(town);
    });
}

#[test]
fn a_box_in_notion_counts_the_same_and_costs_nothing() {
    tell_in(
        || Town::of_four(7),
        |town, mid| {
            let id = crash(town, "Opening a file ends it");
            minutes(town, 5);
            assert_eq!(words(town, id), [], "a box without a tick is nothing new");
            assert!(
                !history(town, id)
                    .iter()
                    .any(|line| line.field.as_deref().is_some_and(|field| field.ends_with("Reviewed")))
            );
            let link = town.house.ledger.link(id, "notion", "Feedback").expect("memory").expect("a page");
            town.world.notion(|desk, cx| desk.edit_row(cx, &link.id, &json!({ "Reviewed": true })));
            mid(town);
            minutes(town, 5);
            assert!(words(town, id).contains(&("tags.category".into(), json!("bug"), json!("bug"), true)));
            assert_eq!(reviews(town, id)[0].by, "notion");
            assert_eq!(rows_with(town, "Feedback", id)[0].1.get("Reviewed"), None, "it is never written");
            no_dead(town);
        },
    );
}

const FEW: &str = "[review]\nleast = 10\ntarget = 0.7\nslack = 0.1\n";

#[test]
fn trust_is_earned_by_agreement_and_lost_when_it_drifts() {
    tell_in(
        || Town::with(7, FEW),
        |town, mid| {
            let may = |town: &Town| may_act(&town.house, Task::Classify, "Bug", "").expect("memory");
            let trusts = |town: &Town| agreement::trusted(&town.house).expect("memory");
            let items: Vec<EntityId> = (0..14).map(|n| crash(town, &format!("Opening file {n} ends it"))).collect();
            minutes(town, 5);
            assert!(!may(town) && trusts(town).is_empty());
            for id in &items[..9] {
                at_the_desk(town, act::accept(&town.house, *id, &["category".into()], "cli (ada)"));
            }
            mid(town);
            assert!(!may(town), "nine are too few");
            type_in(town, "Feedback", items[9], "Reviewed", &json!(true));
            mid(town);
            minutes(town, 3);
            assert!(may(town), "{:?}", town.house.ledger.standing(Task::Classify, "bug", "").expect("memory"));
            assert_eq!(trusts(town).len(), 1, "{:?}", trusts(town));
            assert!(!may_act(&town.house, Task::Classify, "praise", "").expect("memory"), "another category");
            assert!(!may_act(&town.house, Task::Classify, "bug", "finance").expect("memory"), "another segment");
            assert!(!may_act(&town.house, Task::Theme, "bug", "").expect("memory"), "another task");
            for id in &items[10..13] {
                type_in(town, "Feedback", *id, "Category", &json!("Pain Point"));
            }
            mid(town);
            minutes(town, 3);
            assert!(!may(town), "it has drifted");
            assert!(trusts(town).is_empty());
            no_dead(town);
        },
    );
}

#[test]
fn configuration_forbids_and_never_forces() {
    let agreed = |extra: &str| {
        let town = &mut Town::with(7, extra);
        let items: Vec<EntityId> = (0..12).map(|n| crash(town, &format!("Opening file {n} ends it"))).collect();
        minutes(town, 5);
        for id in &items {
            at_the_desk(town, act::accept(&town.house, *id, &["category".into()], "cli (ada)"));
        }
        may_act(&town.house, Task::Classify, "bug", "").expect("memory")
    };
    assert!(agreed(FEW));
    assert!(!agreed(&format!("{FEW}[tasks.classify]\nmode = \"suggest\"\n")));
    // And the boldest of configurations gives nothing without reviews.
    let town = Town::with(
        7,
        "[review]\nleast = 10\ntarget = 0.6\nslack = 1.0\ndrafts = true\n[tasks.classify]\nmode = \"auto\"\n",
    );
    for task in Task::ALL {
        assert!(!may_act(&town.house, task, "bug", "").expect("memory"), "{task:?}");
    }
}

#[test]
fn without_drafts_nothing_is_filled_before_a_person_has_spoken() {
    tell_in(
        || Town::with(7, "[review]\ndrafts = false\n"),
        |town, mid| {
            let id = crash(town, "Opening a file ends it");
            mid(town);
            minutes(town, 3);
            assert_eq!((category(town, id), row(town, "Feedback", id).1.get("Category").cloned()), (None, None));
            assert_eq!(waiting(town), [id]);
            // A box accepts what is seen, and nothing is.
            tick(town, id, true);
            minutes(town, 3);
            assert_eq!((category(town, id), words(town, id)), (None, Vec::new()));
            at_the_desk(town, act::accept(&town.house, id, &[], "cli (ada)"));
            mid(town);
            minutes(town, 3);
            assert_eq!(cells(town, id)["Category"], "Bug");
            assert_eq!(waiting(town), []);
            no_dead(town);
        },
    );
}

#[test]
fn what_a_person_decided_holds_for_what_is_nearly_the_same() {
    tell(|town, mid| {
        let first = crash(town, "Opening a file ends it");
        minutes(town, 3);
        type_in(town, "Feedback", first, "Category", &json!("Pain Point"));
        mid(town);
        minutes(town, 3);
        let next = crash(town, "Opening a file ends it");
        mid(town);
        minutes(town, 3);
        assert_eq!(category(town, next).as_deref(), Some("pain_point"));
        let entity = known(town, next).expect("known");
        let verdict = &entity.as_feedback().expect("feedback").enrichment["tags.category"];
        assert_eq!(verdict.model, loopd::review::memory::NAME);
        assert!(verdict.because.as_deref().is_some_and(|because| because.contains("a person decided so on FB-")));
        no_dead(town);
    });
}

#[test]
fn at_the_desk_one_accepts_corrects_and_thinks_again() {
    tell(|town, mid| {
        let id = crash(town, "Opening a file ends it");
        minutes(town, 3);
        let by = "cli (ada)";
        let refused = act::correct(&town.house, id, "status", "shipped", by).expect("memory");
        assert!(refused.is_err_and(|why| why.contains("category")), "the status is no model's");
        let mistyped = act::correct(&town.house, id, "category", "praize", by).expect("memory");
        assert!(mistyped.is_err_and(|why| why.contains("praise")), "it says which words there are");
        at_the_desk(town, act::correct(&town.house, id, "Category", "Pain point", by));
        mid(town);
        minutes(town, 3);
        assert_eq!(cells(town, id)["Category"], "Pain Point");
        at_the_desk(town, act::accept(&town.house, id, &[], by));
        assert!(known(town, id).expect("known").as_feedback().expect("feedback").reviewed);
        let all = words(town, id);
        assert!(all.iter().filter(|(.., agreed)| !agreed).count() == 1 && all.len() > 1, "{all:?}");
        at_the_desk(town, act::reopen(&town.house, id, by));
        mid(town);
        minutes(town, 3);
        assert_eq!(words(town, id), []);
        assert_eq!((cells(town, id)["Category"].clone(), waiting(town)), (json!("Bug"), vec![id]));
        no_dead(town);
    });
}

#[test]
fn a_risk_that_is_none_is_corrected_and_counts() {
    tell(|town, mid| {
        let id = said(town, "Your contract", "We will cancel our subscription next month and move to a rival.");
        minutes(town, 3);
        let risk = |town: &Town| known(town, id).expect("known").as_feedback().expect("feedback").risk.clone();
        assert!(risk(town).is_some());
        at_the_desk(town, act::correct(&town.house, id, "risk", "-", "cli (ada)"));
        mid(town);
        minutes(town, 3);
        assert_eq!(risk(town), None);
        let heard = reviews(town, id).into_iter().find(|review| review.task == Task::Risk).expect("a review");
        assert!(!heard.agreed, "trust in it falls as well as rises");
        no_dead(town);
    });
}

#[test]
fn corrections_are_examples_and_stand_still_between_calls() {
    let town = &mut Town::new(7);
    let text = loopd::enrich::Text { title: "Opening a file ends it".into(), ..Default::default() };
    let shown =
        |town: &Town| loopd::review::examples::few_shot(&town.house, Task::Classify, &text, None, 6).expect("memory");
    assert_eq!(shown(town), []);
    let items: Vec<EntityId> = (0..12).map(|n| crash(town, &format!("Opening file {n} ends it"))).collect();
    minutes(town, 5);
    let correct = |town: &Town, id| {
        at_the_desk(town, act::correct(&town.house, id, "category", "pain_point", "cli (ada)"));
    };
    correct(town, items[0]);
    assert_eq!(shown(town), [], "not before a day, or ten");
    town.clock.advance(std::time::Duration::from_secs(86_400));
    let first = shown(town);
    assert_eq!(first.len(), 1);
    assert_eq!((&first[0].said["category"], &first[0].stands["category"]), (&json!("bug"), &json!("pain_point")));
    correct(town, items[1]);
    assert_eq!(shown(town), first, "a set stands still");
    items[2..11].iter().for_each(|id| correct(town, *id));
    assert_eq!(shown(town).len(), 6, "ten new ones make a new set");
}

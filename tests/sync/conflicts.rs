//! Both sides changed a field before either heard of the other: the mapping's rule decides, and the loser is in the log.

use loopd::ledger::What;
use loopd::review::{self, Choice};
use serde_json::{Value, json};

use crate::story::{
    always, bug, cells, changed_mapping, history, linear, minutes, no_dead, of_issue, own_mapping, severity, tell,
    tell_in, type_in, until,
};
use crate::town::{REPO, Town};
use sandbox::Faults;
use sandbox::github::Edit;

const OWN: &str = "[mappings]\ndir = \"mappings\"\n";

/// A town where Linear's priority follows this rule.
fn ruled(rule: &str) -> Town {
    let text = changed_mapping(
        "linear.issue.toml",
        &[("both   = \".tags.severity\"", &format!("both   = \".tags.severity\"\nwins   = \"{rule}\""))],
    );
    Town::furnished(5, OWN, own_mapping("linear.issue.toml", &text))
}

/// Airtable says "critical" and Linear says "low", at the same moment; Linear's rule decides.
fn quarrel(town: &mut Town, mid: crate::story::Mid<'_>) -> loopd::schema::EntityId {
    let number = bug(town, "Stream ends early");
    let id = of_issue(number);
    minutes(town, 3);
    type_in(town, "Feedback", id, "Severity", &json!("Critical"));
    // Airtable's edit is in the ledger and settles; Linear's comes meanwhile.
    town.run_for(std::time::Duration::from_secs(2));
    town.world.linear(|desk, cx| desk.set_priority(cx, &id.to_string(), 4));
    mid(town);
    minutes(town, 5);
    id
}

fn both(town: &Town, id: loopd::schema::EntityId) -> (Value, Value) {
    (cells(town, id)["Severity"].clone(), linear(town, id).expect("an issue")["priority"].clone())
}

fn logged(town: &Town, id: loopd::schema::EntityId) -> bool {
    let lost = [What::Conflict, What::Overtaken, What::Edited];
    history(town, id).iter().any(|line| lost.contains(&line.what))
}

#[test]
fn theirs() {
    tell_in(
        || ruled("theirs"),
        |town, mid| {
            let id = quarrel(town, mid);
            assert_eq!(both(town, id), (json!("Low"), json!(4)));
            assert!(logged(town, id));
            no_dead(town);
        },
    );
}

#[test]
fn newest() {
    tell_in(
        || ruled("newest"),
        |town, mid| {
            let id = quarrel(town, mid);
            assert_eq!(both(town, id), (json!("Low"), json!(4)));
            no_dead(town);
        },
    );
}

#[test]
fn ours() {
    // Whether Airtable's edit reaches the ledger before Linear's is heard decides who was first; either way both sides
    // end with one value, and the other is told.
    tell_in(
        || ruled("ours"),
        |town, mid| {
            let id = quarrel(town, mid);
            let agreed = both(town, id);
            assert!([(json!("Critical"), json!(1)), (json!("Low"), json!(4))].contains(&agreed), "{agreed:?}");
            assert!(logged(town, id));
            no_dead(town);
        },
    );
}

#[test]
fn a_person_is_asked() {
    tell_in(
        || ruled("ask"),
        |town, mid| {
            let number = bug(town, "Stream ends early");
            let id = of_issue(number);
            minutes(town, 3);
            type_in(town, "Feedback", id, "Severity", &json!("Critical"));
            // Until Airtable's edit has been heard.
            for _ in 0..200 {
                let severity = crate::story::known(town, id)
                    .and_then(|known| known.as_feedback().and_then(|feedback| feedback.tags.severity.clone()));
                if severity.as_deref() == Some("critical") {
                    break;
                }
                town.run_for(std::time::Duration::from_millis(100));
            }
            town.world.linear(|desk, cx| desk.set_priority(cx, &id.to_string(), 4));
            mid(town);
            minutes(town, 5);
            let questions = town.house.ledger.questions().expect("memory");
            assert_eq!(questions.len(), 1, "{:#?}", history(town, id));
            assert_eq!((&questions[0].ours, &questions[0].theirs), (&json!("critical"), &json!("low")));
            assert_eq!(both(town, id), (json!("Critical"), json!(4)), "until then each side keeps its own");
            review::decide(&town.house, &questions[0], Choice::Theirs, "a colleague")
                .expect("memory")
                .expect("it can be answered");
            town.house.ledger.durable().expect("memory");
            mid(town);
            minutes(town, 5);
            assert_eq!(both(town, id), (json!("Low"), json!(4)));
            assert_eq!(town.house.ledger.questions().expect("memory"), Vec::new());
            no_dead(town);
        },
    );
}

#[test]
fn a_pushed_field_is_put_back_or_held_as_its_mapping_says() {
    tell_in(
        || Town::new(5),
        |town, mid| {
            let number = bug(town, "Stream ends early");
            let id = of_issue(number);
            minutes(town, 3);
            // Shipped: the verbatim is the customer's own; the summary is theirs once they have touched it.
            type_in(town, "Feedback", id, "Verbatim", &json!("What I think they meant."));
            type_in(town, "Feedback", id, "Summary", &json!("In short: cut"));
            mid(town);
            minutes(town, 5);
            let shown = cells(town, id);
            assert_eq!(shown["Verbatim"], "It stops after 4 KB.", "put back");
            assert_eq!(shown["Summary"], "In short: cut", "held");
            let told = |value: &str| {
                history(town, id).iter().any(|line| line.what == What::EditedThere && line.new == Some(json!(value)))
            };
            assert!(
                told("What I think they meant.") && told("In short: cut"),
                "no edit is lost: {:#?}",
                history(town, id)
            );
            town.world.github(|desk, cx| {
                let edit = Edit {
                    title: Some("Streams end early".into()),
                    body: Some(Some("It stops after 8 KB.".into())),
                    ..Edit::default()
                };
                desk.edit_issue(REPO, number, edit, "ada-example", cx)
            });
            minutes(town, 5);
            let shown = cells(town, id);
            assert_eq!(
                (&shown["Verbatim"], &shown["Summary"]),
                (&json!("It stops after 8 KB."), &json!("In short: cut"))
            );
            no_dead(town);
        },
    );
}

/// From now on no vendor's webhook arrives.
fn unheard(town: &Town) {
    let mut faults = Faults::NONE;
    faults.webhook_drop = 1.0;
    town.world.set_faults(faults);
}

/// An edit of which nothing has told yet is met by the look before the write. Airtable's and Linear's histories would
/// have it put back later; until then people would see it gone.
#[test]
fn an_edit_that_nothing_told_of_is_not_written_over_in_airtable() {
    tell(|town, mid| {
        let number = bug(town, "Stream ends early");
        let id = of_issue(number);
        minutes(town, 3);
        town.world.github(|desk, cx| desk.label_issue(REPO, number, &["bug", "low"], "ada-example", cx));
        // GitHub's webhook is on its way; Airtable's is lost.
        unheard(town);
        type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        mid(town);
        always(town, 3, "the cell says what was typed", |town| cells(town, id)["Severity"] == "Critical");
        assert_eq!(linear(town, id).expect("an issue")["priority"], 1);
        assert!(logged(town, id));
        no_dead(town);
    });
}

#[test]
fn an_edit_that_nothing_told_of_is_not_written_over_in_linear() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        type_in(town, "Feedback", id, "Severity", &json!("Low"));
        until(town, "Airtable is heard", |town| severity(town, id).as_deref() == Some("low"));
        unheard(town);
        town.world.linear(|desk, cx| desk.set_priority(cx, &id.to_string(), 1));
        mid(town);
        let there = |town: &Town| linear(town, id).expect("an issue")["priority"].clone();
        always(town, 3, "the issue has the priority that was chosen", |town| there(town) == 1);
        assert_eq!(cells(town, id)["Severity"], "Critical");
        assert!(logged(town, id));
        no_dead(town);
    });
}

#[test]
fn an_edit_that_was_heard_is_not_put_back_when_it_is_told_again() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        town.world.linear(|desk, cx| desk.set_priority(cx, &id.to_string(), 4));
        until(town, "Linear is heard", |town| severity(town, id).as_deref() == Some("low"));
        // A colleague knows better, and says so later. Linear's history tells once more what was said first.
        town.run_for(std::time::Duration::from_secs(5));
        type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        mid(town);
        minutes(town, 5);
        assert_eq!(both(town, id), (json!("Critical"), json!(1)), "{:#?}", history(town, id));
        no_dead(town);
    });
}

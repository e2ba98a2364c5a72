//! A changed configuration reaches what is in the ledger already, once, and no person's edit is lost over it.

use std::path::PathBuf;
use std::time::Duration;

use loopd::ledger::Via;
use serde_json::{Value, json};

use crate::story::{
    bug, cells, changed_mapping, conditions, issue, known, linear, minutes, much_later, no_dead, of_issue, own_mapping,
    tell, tell_in, type_in, writes,
};
use crate::town::{REPO, Town};

const DIR: &str = "[mappings]\ndir = \"mappings\"\n";

fn furnished(name: &'static str) -> impl Fn() -> Town {
    move || Town::furnished(7, DIR, own_mapping(name, &changed_mapping(name, &[])))
}

/// From now on this mapping is in force.
fn remap(town: &mut Town, name: &str, changes: &[(&str, &str)]) {
    let whole = changed_mapping(name, changes);
    // The examples are those of the mapping as it is shipped.
    let text = whole.split("[[example]]").next().unwrap_or_default().to_owned();
    town.files.insert(PathBuf::from(format!("mappings/{name}")), text);
    town.restart(None);
}

/// From now on this stands in `config.toml`.
fn reconfigure(town: &mut Town, from: &str, to: &str) {
    let text = town.files.get_mut(&PathBuf::from("config.toml")).expect("a configuration");
    assert!(text.contains(from), "no {from:?}");
    *text = text.replace(from, to);
    town.restart(None);
}

const LOUDER: (&str, &str) = ("'.summary // .title'", "'(.summary // .title) + \"!\"'");
const LOUDEST: (&str, &str) = ("'.summary // .title'", "'(.summary // .title) + \"!!\"'");

#[test]
fn a_changed_mapping_reaches_rows_that_are_there() {
    tell_in(furnished("airtable.feedback.toml"), |town, mid| {
        let id = of_issue(issue(town, "Add batch uploads", Some("Please."), &["enhancement"]));
        minutes(town, 3);
        type_in(town, "Feedback", id, "Severity", &json!("Low"));
        remap(town, "airtable.feedback.toml", &[LOUDER]);
        mid(town);
        minutes(town, 5);
        assert_eq!(cells(town, id)["Summary"], "Add batch uploads!");
        assert_eq!(cells(town, id)["Severity"], "Low", "a person's edit stands");
        let calls = writes(town);
        town.restart(None);
        minutes(town, 5);
        assert_eq!(writes(town), calls, "the same configuration again changes nothing");
        no_dead(town);
    });
}

#[test]
fn a_route_that_changes_takes_in_what_came_before_it() {
    const HIGH: &str = r#"to = "linear.issue"
when = '.tags.category == "bug" and (.tags.severity == "high" or .tags.severity == "critical")'"#;
    const ANY: &str = r#"to = "linear.issue"
when = '.tags.category == "bug"'"#;
    tell(|town, mid| {
        let low = of_issue(issue(town, "It is slow", Some("Every day."), &["bug", "p3"]));
        let wish = of_issue(issue(town, "Add batch uploads", Some("Please."), &["enhancement"]));
        minutes(town, 3);
        assert!(linear(town, low).is_none());
        reconfigure(town, HIGH, ANY);
        mid(town);
        minutes(town, 5);
        assert!(linear(town, low).is_some() && linear(town, wish).is_none());
        assert_eq!(town.world.linear(|desk, _| desk.issues().len()), 1);

        // Away, and back: what came meanwhile is taken in.
        reconfigure(town, ANY, &ANY.replace("bug", "praise"));
        let meanwhile = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        assert!(linear(town, meanwhile).is_none());
        reconfigure(town, &ANY.replace("bug", "praise"), ANY);
        mid(town);
        minutes(town, 5);
        assert!(linear(town, meanwhile).is_some());
        no_dead(town);
    });
}

#[test]
fn a_mapping_without_a_route_writes_nothing() {
    tell_in(furnished("github.labels.toml"), |town, mid| {
        let number = issue(town, "Add batch uploads", Some("Please."), &["enhancement"]);
        minutes(town, 3);
        type_in(town, "Feedback", of_issue(number), "Status", &json!("Building"));
        minutes(town, 3);
        remap(town, "github.labels.toml", &[("loopd: ", "is ")]);
        mid(town);
        minutes(town, 5);
        let labels = town.world.github(|desk, _| desk.issue(REPO, number).map(|issue| issue.labels.clone()));
        assert_eq!(labels, Some(vec!["enhancement".to_owned()]));
        no_dead(town);
    });
}

#[test]
fn a_changed_source_mapping_draws_anew_what_is_kept() {
    tell_in(furnished("github.issue.toml"), |town, mid| {
        let id = of_issue(issue(town, "Add batch uploads", Some("Please."), &["enhancement", "p3"]));
        minutes(town, 3);
        type_in(town, "Feedback", id, "Severity", &json!("High"));
        minutes(town, 3);
        let change =
            [("title         = '.title'", "title         = '.title | ascii_upcase'"), (". == \"p3\"", ". == \"p9\"")];
        remap(town, "github.issue.toml", &change);
        mid(town);
        minutes(town, 5);
        assert_eq!(cells(town, id)["Summary"], "ADD BATCH UPLOADS");
        assert_eq!(cells(town, id)["Severity"], "High", "what a person decided stays");
        let raw = town.house.ledger.raw("github", "issue", &known_as(town, id)).expect("memory").expect("it is kept");
        assert_ne!(raw.via, Via::Replay, "what was said stays as it came");
        no_dead(town);
    });
}

fn known_as(town: &Town, id: loopd::schema::EntityId) -> String {
    let known = known(town, id).expect("known");
    known.as_feedback().and_then(|feedback| feedback.origin.clone()).expect("an origin").id
}

#[test]
fn what_is_kept_no_longer_is_drawn_anew_by_a_backfill() {
    let shipped = || own_mapping("github.issue.toml", &changed_mapping("github.issue.toml", &[]));
    let found = || Town::furnished(7, &format!("{DIR}[ledger]\nraw_days = 1\n"), shipped());
    tell_in(found, |town, mid| {
        let number = issue(town, "Add batch uploads", Some("Please."), &["enhancement"]);
        let id = of_issue(number);
        minutes(town, 5);
        much_later(town, 30);
        let raw = town.house.ledger.raw("github", "issue", &format!("{REPO}#{number}")).expect("memory");
        assert_eq!(raw, None);
        remap(town, "github.issue.toml", &[("title         = '.title'", "title         = '.title | ascii_upcase'")]);
        minutes(town, 5);
        let streams = loopd::backfill::streams(&town.house, "github", None);
        loopd::backfill::set_back(&town.house, "github", &streams).expect("memory");
        mid(town);
        minutes(town, 5);
        assert_eq!(cells(town, id)["Summary"], "ADD BATCH UPLOADS");
        no_dead(town);
    });
}

#[test]
fn a_walk_that_is_cut_short_goes_on_and_another_change_begins_it_again() {
    let mut town = furnished("airtable.feedback.toml")();
    town.run_for(Duration::from_secs(10));
    let ids: Vec<_> = (0..150).map(|n| of_issue(issue(&town, &format!("Wish {n}"), None, &["enhancement"]))).collect();
    minutes(&mut town, 5);
    let walk = |town: &mut Town, steps: usize| {
        let at = town.rooms.iter().position(|(room, _)| room.name() == "reconcile").expect("the room");
        for _ in 0..steps {
            assert!(town.step(at), "it has more to do");
        }
        town.house.ledger.durable().expect("memory");
    };
    remap(&mut town, "airtable.feedback.toml", &[LOUDER]);
    walk(&mut town, 2);
    town.restart(Some(0));
    walk(&mut town, 1);
    assert_eq!(queued(&town), 150, "the second part, and not the first once more");
    remap(&mut town, "airtable.feedback.toml", &[LOUDEST]);
    minutes(&mut town, 10);
    let told = |id| cells(&town, id)["Summary"].as_str().unwrap_or_default().to_owned();
    assert!(ids.into_iter().all(|id| told(id).ends_with("!!")));
    no_dead(&town);
    town.assert_quiet();
}

fn queued(town: &Town) -> usize {
    town.house.ledger.queues().expect("memory").values().map(|(count, _)| count).sum()
}

#[test]
fn fresh_work_goes_before_what_only_the_configuration_changed() {
    let mut town = furnished("airtable.feedback.toml")();
    town.run_for(Duration::from_secs(10));
    let old: Vec<_> = (0..60).map(|n| of_issue(issue(&town, &format!("Wish {n}"), None, &["enhancement"]))).collect();
    minutes(&mut town, 5);
    let fresh = of_issue(issue(&town, "Fresh", None, &["enhancement"]));
    remap(&mut town, "airtable.feedback.toml", &[LOUDER]);
    let done = |town: &Town, id| -> Value {
        crate::story::rows_with(town, "Feedback", id)
            .first()
            .map(|(_, cells)| cells["Summary"].clone())
            .unwrap_or_default()
    };
    while done(&town, fresh) != "Fresh!" {
        town.run_for(Duration::from_millis(200));
    }
    let waiting = old.iter().filter(|id| !done(&town, **id).as_str().is_some_and(|text| text.ends_with('!'))).count();
    assert!(waiting > 0, "the others still wait");
    minutes(&mut town, 5);
    town.assert_quiet();
}

#[test]
fn what_was_wrong_is_not_told_any_more_once_it_is_over() {
    tell_in(furnished("airtable.feedback.toml"), |town, mid| {
        let language = "[fields.\"Language\"]";
        let extra = format!("[fields.\"Extra\"]\nfrom = \".short_id\"\n\n{language}");
        remap(town, "airtable.feedback.toml", &[(language, &extra)]);
        issue(town, "Add batch uploads", Some("Please."), &["enhancement"]);
        minutes(town, 5);
        assert!(conditions(town, "airtable").iter().any(|what| what.contains("Extra")), "the table has no such field");
        remap(town, "airtable.feedback.toml", &[]);
        mid(town);
        minutes(town, 5);
        assert_eq!(conditions(town, "airtable"), Vec::<String>::new());
        no_dead(town);
    });
}

#[test]
fn work_for_a_connection_that_is_configured_no_more_is_let_go() {
    tell(|town, mid| {
        let id = of_issue(bug(town, "Stream ends early"));
        minutes(town, 3);
        let now = town.house.now();
        let left = |tx: &mut loopd::ledger::Tx<'_>| {
            tx.raise("notion", "locked", "a token that was revoked", true, now)?;
            tx.queue("sync/notion", 6, &loopd::sync::item(id, "Feedback"), loopd::ledger::When::Now, now)
        };
        town.house.ledger.transact(left).expect("memory");
        town.house.ledger.durable().expect("memory");
        town.restart(None);
        mid(town);
        minutes(town, 3);
        assert_eq!(conditions(town, "notion"), Vec::<String>::new());
        assert_eq!(queued(town), 0);
    });
}

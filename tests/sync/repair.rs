//! What webhooks miss, polls and sweeps find.

use bytes::Bytes;
use http::{Method, Request};
use sandbox::{Faults, Reply, Vendor};
use serde_json::{Value, json};

use crate::story::{
    bug, cells, company, known, linear, minutes, much_later, no_dead, of_issue, row, rows_with, tell_in, type_in,
};
use crate::town::{BASE, REPO, Town};

fn silent() -> Town {
    let town = Town::with(9, "");
    let mut faults = Faults::NONE;
    faults.webhook_drop = 1.0;
    town.world.set_faults(faults);
    town
}

#[test]
fn without_any_webhook_everything_still_arrives() {
    tell_in(silent, |town, mid| {
        company(town, "Lumen", Some("ada-example"), 1000);
        let number = bug(town, "Stream ends early");
        let id = of_issue(number);
        town.world.github(|desk, cx| desk.comment(REPO, number, "grace-example", "Same here.", cx));
        mid(town);
        minutes(town, 35);
        assert_eq!(cells(town, id)["Severity"], "High");
        assert_eq!(
            known(town, id).and_then(|known| known.as_feedback().map(|feedback| feedback.thread.len())),
            Some(1)
        );
        type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        mid(town);
        much_later(town, 1);
        assert_eq!(linear(town, id).expect("an issue")["priority"], 1);
        town.world.linear(|desk, cx| desk.move_issue(cx, &id.to_string(), "Done"));
        much_later(town, 1);
        assert_eq!(cells(town, id)["Status"], "Shipped");
        assert!(town.world.books(Vendor::GitHub).webhooks_dropped > 0);
        no_dead(town);
    });
}

#[test]
fn a_sweep_finds_what_was_deleted_in_silence() {
    tell_in(silent, |town, mid| {
        let (first, second, third) = (bug(town, "One"), bug(town, "Two"), bug(town, "Three"));
        much_later(town, 1);
        town.world.github(|desk, cx| desk.delete_issue(REPO, first, "ada-example", cx));
        let (record, _) = row(town, "Feedback", of_issue(second));
        town.world.airtable(|desk, cx| desk.delete_row(cx, BASE, "Feedback", &record));
        town.world.linear(|desk, cx| desk.delete_issue(cx, &of_issue(third).to_string()));
        mid(town);
        much_later(town, 20);
        assert_eq!(
            known(town, of_issue(first)).and_then(|known| known.as_feedback().map(|feedback| feedback.withdrawn)),
            Some(true)
        );
        let live = |number, connection, collection| {
            town.house
                .ledger
                .link(of_issue(number), connection, collection)
                .expect("memory")
                .is_some_and(|link| link.is_live())
        };
        assert!(!live(second, "airtable", "Feedback"), "the row is known to be gone");
        assert!(!live(third, "linear", "issue"), "the issue is known to be gone");
        assert!(live(second, "linear", "issue") && live(third, "airtable", "Feedback"));
        assert_eq!(rows_with(town, "Feedback", of_issue(second)), Vec::new());
        no_dead(town);
    });
}

#[test]
fn one_stream_that_fails_holds_up_no_other() {
    tell_in(
        || Town::with(9, ""),
        |town, mid| {
            let id = of_issue(bug(town, "Stream ends early"));
            minutes(town, 3);
            *town.broken.lock().expect("one thread") = Some("/payloads");
            mid(town);
            minutes(town, 20);
            let caught_up =
                |town: &Town, stream: &str| town.house.ledger.position("airtable", stream).expect("memory").caught_up;
            let ago = |town: &Town, stream: &str| {
                let now = connectors::Clock::now(&*town.clock);
                caught_up(town, stream).map(|at| (now - at).num_seconds())
            };
            assert!(ago(town, "modified").is_some_and(|ago| ago <= 90), "{:?}", ago(town, "modified"));
            assert!(ago(town, "payloads").is_some_and(|ago| ago >= 1000), "{:?}", ago(town, "payloads"));
            *town.broken.lock().expect("one thread") = None;
            minutes(town, 3);
            assert!(ago(town, "payloads").is_some_and(|ago| ago <= 90), "{:?}", ago(town, "payloads"));
            assert_eq!(cells(town, id)["Severity"], "High");
            no_dead(town);
        },
    );
}

/// What Airtable answers to one who stands beside loopd.
fn airtable(town: &Town, method: Method, path: &str) -> Value {
    let request = Request::builder()
        .method(method)
        .uri(format!("/v0/bases/{BASE}/webhooks{path}"))
        .header("authorization", format!("Bearer {}", Vendor::Airtable.token()))
        .body(Bytes::new())
        .expect("a request");
    match town.world.call(Vendor::Airtable, request) {
        Reply::Answer { response, .. } => serde_json::from_slice(response.body()).unwrap_or_default(),
        Reply::Cut { .. } => panic!("no faults are set"),
    }
}

#[test]
fn a_webhook_that_somebody_deleted_is_made_again_before_the_hour() {
    let mut town = Town::with(9, "");
    minutes(&mut town, 5);
    let hooks = airtable(&town, Method::GET, "");
    let id = hooks["webhooks"][0]["id"].as_str().unwrap_or_else(|| panic!("a webhook: {hooks}")).to_owned();
    minutes(&mut town, 1);
    airtable(&town, Method::DELETE, &format!("/{id}"));
    minutes(&mut town, 10);
    let hooks = airtable(&town, Method::GET, "");
    assert!(hooks["webhooks"][0]["id"].as_str().is_some_and(|made| made != id), "{hooks}");
}

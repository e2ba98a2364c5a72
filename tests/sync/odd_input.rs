//! Records that are not what they should be: a dead letter with its cause, or a cut that says so; the others go on.

use std::path::PathBuf;

use chrono::Utc;
use connectors::{Key, Record};
use loopd::intake::{admit, receive};
use loopd::ledger::{Input, Via};
use serde_json::{Value, json};

use crate::story::{
    bug, cells, changed_mapping, dead, issue, known, linear, minutes, no_dead, of_issue, own_mapping, tell, tell_in,
};
use crate::town::{REPO, SECRET, Town};

/// A record as a vendor might one day send it, put where the door would put it.
fn arrives(town: &Town, number: u64, body: Value) {
    let record = Record {
        key: Key::new("issue", format!("{REPO}#{number}")),
        version: None,
        body: Some(body),
        url: None,
        edits: Vec::new(),
    };
    let now: chrono::DateTime<Utc> = town.house.now();
    let input = Input { connection: "github".into(), record, via: Via::Webhook, seen_at: now };
    town.house.ledger.transact(|tx| tx.ingest(&input).map(|_| ())).expect("memory");
    town.house.ledger.durable().expect("memory");
}

#[test]
fn missing_null_and_odd_fields_hold_nobody_up() {
    tell(|town, mid| {
        arrives(town, 901, json!({}));
        arrives(town, 902, json!({"title": null, "body": null, "user": null, "labels": null, "created_at": null}));
        arrives(
            town,
            903,
            json!({"title": {"text": "an object"}, "body": 5, "user": "a name", "labels": "bug", "created_at": "2026-11-23T08:00:00Z"}),
        );
        arrives(town, 904, json!({"title": "t", "body": "b", "labels": [], "created_at": "last Tuesday"}));
        arrives(town, 905, json!(["not", "an", "object"]));
        let good = bug(town, "Stream ends early");
        mid(town);
        minutes(town, 5);
        assert_eq!(cells(town, of_issue(good))["Severity"], "High", "the good one goes on");
        let letters = dead(town);
        for number in [903, 904, 905] {
            let record = format!("{REPO}#{number}");
            let letter = letters.iter().find(|(_, letter)| letter.key.as_ref().is_some_and(|key| key.id == record));
            assert!(letter.is_some_and(|(_, letter)| !letter.cause.is_empty()), "{record} is told: {letters:#?}");
        }
        assert!(known(town, of_issue(905)).is_none());
    });
}

/// A delivery that GitHub, or whoever has its secret, signed.
fn signed(town: &Town, payload: &Value) -> u16 {
    use hmac::{Hmac, Mac};
    let body = serde_json::to_vec(payload).expect("it is JSON");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
    mac.update(&body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut headers = http::HeaderMap::new();
    for (name, value) in [("x-hub-signature-256", format!("sha256={hex}")), ("x-github-event", "issues".to_owned())] {
        headers.insert(name, value.parse().expect("a header"));
    }
    match receive(&town.house, "github", connectors::Request { headers: &headers, body: &body }) {
        Ok(arrived) => admit(&town.house.ledger, &[arrived]).map_or(503, |()| 200),
        Err(rejection) => rejection.status(),
    }
}

#[test]
fn what_a_signed_record_lacks_is_fetched_and_erases_nothing() {
    tell(|town, mid| {
        let number = bug(town, "Stream ends early");
        let id = of_issue(number);
        minutes(town, 3);
        let before = cells(town, id);
        let part = json!({"action": "edited", "repository": {"full_name": REPO}, "issue": {"number": number}});
        assert_eq!(signed(town, &part), 200);
        mid(town);
        minutes(town, 5);
        assert_eq!(cells(town, id), before);
        for odd in [json!([1, 2, 3]), json!("text"), json!(null)] {
            assert_eq!(signed(town, &odd), 400, "{odd}");
        }
        no_dead(town);
    });
}

#[test]
fn ten_megabytes_are_cut_where_a_destination_is_smaller_and_say_so() {
    tell(|town, mid| {
        let words = "a long story ".repeat(800_000);
        let number = issue(town, "The whole log", Some(&words), &["bug", "p1"]);
        let good = bug(town, "Stream ends early");
        mid(town);
        minutes(town, 5);
        assert_eq!(cells(town, of_issue(good))["Severity"], "High");
        let rows = crate::story::rows_with(town, "Feedback", of_issue(number));
        match rows.as_slice() {
            [(_, cells)] => {
                let shown = cells["Verbatim"].as_str().unwrap_or_default();
                assert!(
                    shown.chars().count() <= 100_000 && shown.contains("[cut by loopd"),
                    "a cut that says so: …{:?}",
                    shown.get(shown.len().saturating_sub(80)..)
                );
            }
            _ => assert!(dead(town).iter().any(|(_, letter)| letter.entity == Some(of_issue(number))
                || letter.key.as_ref().is_some_and(|key| key.id.ends_with(&format!("#{number}"))))),
        }
        if let Some(issue) = linear(town, of_issue(number)) {
            assert!(issue["description"].as_str().is_some_and(|text| text.len() < 50_000));
        }
    });
}

#[test]
fn a_mapping_that_is_mended_redrives_its_dead_letters() {
    let broken =
        changed_mapping("github.issue.toml", &[("verbatim      = '.body'", "verbatim      = '.body | tonumber'")]);
    let broken: String = broken.split("[[example]]").next().unwrap_or_default().to_owned();
    let found = || Town::furnished(5, "[mappings]\ndir = \"mappings\"\n", own_mapping("github.issue.toml", &broken));
    tell_in(found, |town, mid| {
        let number = bug(town, "Stream ends early");
        mid(town);
        minutes(town, 5);
        let letters = dead(town);
        assert!(letters.iter().any(|(_, letter)| letter.field.as_deref() == Some("fields.verbatim")), "{letters:#?}");
        assert_eq!(known(town, of_issue(number)), None);
        town.files.insert(PathBuf::from("mappings/github.issue.toml"), changed_mapping("github.issue.toml", &[]));
        town.restart(None);
        assert_eq!(loopd::normalize::redrive(&town.house).expect("memory"), letters.len());
        mid(town);
        loopd::normalize::redrive(&town.house).expect("memory");
        minutes(town, 5);
        assert_eq!(cells(town, of_issue(number))["Verbatim"], "It stops after 4 KB.");
        no_dead(town);
    });
}

#[test]
fn only_the_mapping_that_refused_redrives_a_letter() {
    let mut town = Town::new(5);
    let mappings = &town.house.config.mappings;
    let read = mappings.from_for("github", "issue").expect("it is read").digest();
    let written = mappings.intos("github", "issue").next().expect("and written").digest();
    for (refused_by, again) in [(read, 0), (written, 0), (7, 1)] {
        let record = Record { key: Key::new("issue", "x#1"), version: None, body: None, url: None, edits: Vec::new() };
        let input = Input { connection: "github".into(), record, via: Via::Poll, seen_at: town.house.now() };
        let letter = loopd::ledger::Dead {
            at: town.house.now(),
            room: "normalize".into(),
            connection: "github".into(),
            key: None,
            entity: None,
            field: None,
            cause: "a test".into(),
            letter: loopd::ledger::Letter::Input { input: Box::new(input) },
            mapping: Some(refused_by),
        };
        town.house.ledger.transact(|tx| tx.bury(&letter)).expect("memory");
        assert_eq!(loopd::normalize::redrive(&town.house).expect("memory"), again);
    }
    minutes(&mut town, 1);
    no_dead(&town);
}

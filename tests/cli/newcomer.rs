//! Ten minutes, as somebody who has never seen it: every vendor of the sandbox, by the commands that the README tells of.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::support::{Place, Said};

/// The sandbox as a process of its own, with a configuration for it in the place's folder `try`.
struct Sandbox(Child, Value);

impl Sandbox {
    fn start(place: &Place) -> Self {
        let mut child = place
            .command(&["sandbox", "--json", "--for", "300", "--init", "try"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it is");
        Self(child, serde_json::from_str(&line).expect("JSON"))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn loopd(place: &Place, args: &[&str]) -> Said {
    place.loopd(&[&["--config", "try/config.toml"], args].concat())
}

/// What `check --live` found, by connection: (fault, what is missing and loopd can make).
fn found(said: &Said) -> Vec<(String, Option<String>, usize)> {
    let live = said.json()["live"].as_array().cloned().unwrap_or_default();
    let ours = |one: &Value| {
        let missing = one["missing"].as_array().cloned().unwrap_or_default();
        missing.iter().filter(|missing| missing["by_hand"].is_null()).count()
    };
    live.iter()
        .map(|one| (one["connection"].to_string(), one["fault"].as_str().map(str::to_owned), ours(one)))
        .collect()
}

#[test]
fn every_vendor_can_be_checked_set_up_and_planned_for() {
    let place = Place::empty();
    let _sandbox = Sandbox::start(&place);
    loopd(&place, &["check"]).ends(0).says("12 connections");
    let before = found(&loopd(&place, &["check", "--live", "--json"]).ends(3));
    assert_eq!(before.len(), 12, "{before:?}");
    assert!(before.iter().all(|(_, fault, _)| fault.is_none()), "a look is no write: {before:?}");
    let lacking: Vec<&str> =
        before.iter().filter(|(.., missing)| *missing > 0).map(|(name, ..)| name.trim_matches('"')).collect();
    // GitHub's labels are not among it: no route leads there.
    assert_eq!(lacking, ["airtable", "linear", "notion", "salesforce"]);
    for name in ["airtable", "linear", "notion", "salesforce", "github"] {
        let said = loopd(&place, &["setup", name, "--apply", "--json"]);
        let by_hand = if name == "airtable" { 3 } else { 0 };
        assert_eq!(said.code, Some(by_hand), "{}\n{}", said.out, said.err);
    }
    let after = found(&loopd(&place, &["check", "--live", "--json"]).ends(3));
    assert!(after.iter().all(|(_, fault, missing)| fault.is_none() && *missing == 0), "{after:?}");
    let config = std::fs::read_to_string(place.path().join("try/config.toml")).expect("it is there");
    let labels = "[[route]]\nentity = \"feedback\"\nto = \"github.issue\"\n";
    place.write("try/config.toml", &format!("{config}\n{labels}"));
    loopd(&place, &["check", "--live", "github"]).ends(3).says("create label loopd: validated");
    // The survey has more answers than a test need wait for; two calls are left to be read.
    place.write("try/config.toml", &config.replace("kind = \"typeform\"", "kind = \"typeform\"\npoll = false"));
    let plan = loopd(&place, &["plan", "--json"]).ends(0).json();
    assert_eq!(plan["problems"], json!([]), "{plan}");
    assert_eq!(plan["connections"]["notion"]["collections"]["Feedback"]["creates"], 2, "{}", plan["connections"]);
    assert!(!place.path().join("try/ledger").exists(), "neither look left anything behind");
}

#[test]
fn googles_vendors_are_looked_at_with_a_key_of_ones_own() {
    let place = Place::empty();
    let sandbox = Sandbox::start(&place);
    let base = |vendor: &str| sandbox.1["vendors"][vendor]["base_url"].as_str().expect("a URL").to_owned();
    let key = include_str!("../../connectors/github/fixtures/app_key_for_tests_only.pem");
    let file = json!({"client_email": "loopd@sandbox.iam.gserviceaccount.com", "private_key": key}).to_string();
    place.write("try/google.json", &file);
    let init = ["init", "--vendor", "bigquery,ga4", "--force"];
    loopd(&place, &init).ends(0).says("GOOGLE_SERVICE_ACCOUNT").says("Destinations are airtable");
    let config = std::fs::read_to_string(place.path().join("try/config.toml")).expect("it is there");
    let mut config = config
        .replace("/var/lib/loopd/ledger", "ledger")
        .replace("my-project", "sandbox-project")
        .replace("{ env = \"GOOGLE_SERVICE_ACCOUNT\" }", "{ file = \"google.json\" }");
    for vendor in ["bigquery", "ga4"] {
        let (table, base) = (format!("[connection.{vendor}]"), base(vendor));
        config = config.replace(&table, &format!("{table}\nbase_url = \"{base}\"\ntoken_url = \"{base}/token\""));
    }
    place.write("try/config.toml", &config);
    let checked = loopd(&place, &["check"]).ends(0);
    assert!(!checked.out.contains("warning"), "usage needs no mapping: {}", checked.out);
    let live = loopd(&place, &["check", "--live", "--json"]).ends(0);
    assert!(found(&live).iter().all(|(_, fault, _)| fault.is_none()), "{}", live.out);
    loopd(&place, &["plan"]).ends(0);
    // Nothing is mapped, so nothing can be wrong with it.
    loopd(&place, &["test"]).ends(0).says("0 tried");
}

#[test]
fn mappings_of_every_vendor_are_tried() {
    let place = Place::empty();
    let said = place.loopd(&["test", "--json"]).ends(0).json();
    let tried = said["tried"].as_array().expect("a list");
    let of = |mapping: &str| {
        tried.iter().filter(|one| one["mapping"] == format!("mappings/{mapping}.toml")).collect::<Vec<_>>()
    };
    for (name, _) in loopd::config::SHIPPED {
        assert!(!of(name.trim_end_matches(".toml")).is_empty(), "{name} is not tried");
    }
    // Over HTTP and back, but for what is only sent to us.
    for mapping in [
        "slack.message",
        "granola.note",
        "typeform.response",
        "salesforce.account",
        "salesforce.opportunity",
        "notion.feedback",
        "notion.customers",
        "notion.themes",
        "salesforce.feedback",
        "salesforce.health",
    ] {
        assert!(of(mapping).iter().any(|one| one["fields"].as_u64() > Some(0)), "{mapping}: {:?}", of(mapping));
    }
    for mapping in ["app.feedback", "segment.group", "slack.command"] {
        assert_eq!(of(mapping)[0]["fields"], 0, "{mapping}");
    }
    place.loopd(&["test", "nothing-like-it"]).ends(2).says("no mapping that is in use");
    place.loopd(&["init", "--vendor", "app"]).ends(0);
    place.loopd(&["test"]).ends(0).says("1 tried, 0 wrong");
}

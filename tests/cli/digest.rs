//! `loopd digest`, `loopd report coverage` and `loopd jtbd`: the same beside a running daemon and without one.

use serde_json::Value;

use crate::support::{GITHUB, Place};

const CUSTOMERS: &str = "\
id,name,domain,industry,arr
c1,Lumen Example,lumen.example.com,Energy,840000
c2,Quill Example,quill.example.com,Media,84000
c3,Birch Example,birch.example.com,Healthcare,400000
";
const FEEDBACK: &str = "\
id,domain,date,text,category,severity,source
1,lumen.example.com,2026-11-16,The export stops after ten thousand rows.,bug,high,support
2,quill.example.com,2026-11-17,We need to sign in with our own directory.,feature_request,,call
3,quill.example.com,2026-11-18,The new editor is a joy to use every day.,praise,,support
4,lumen.example.com,2026-11-22,We will cancel our subscription unless exports work.,churn_signal,high,call
5,quill.example.com,2026-11-12,Exports are slow at night.,pain_point,,support
";

fn place() -> Place {
    let place = Place::with(GITHUB);
    place.write("customers.csv", CUSTOMERS);
    place.write("feedback.csv", FEEDBACK);
    place.loopd(&["import", "customers", "customers.csv"]).ends(0);
    place.loopd(&["import", "feedback", "feedback.csv"]).ends(0);
    place
}

/// Until what was taken in has passed through the rooms.
fn settled(place: &Place) {
    let daemon = place.run();
    let quiet = || {
        let queues = place.loopd(&["status", "--json"]).ends(0).json()["queues"].clone();
        let waits = |queue: &Value| ["normalize", "enrich"].contains(&queue["lane"].as_str().unwrap_or_default());
        !queues.as_array().expect("a list").iter().any(waits)
    };
    assert!(std::iter::repeat_with(quiet).take(300).any(|quiet| quiet), "it is not done");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_past_week_reads_the_same_twice_and_for_each_role_its_own() {
    let place = place();
    settled(&place);
    let digest = |more: &[&str]| place.loopd(&[&["digest", "--week", "2026-W47"], more].concat()).ends(0);
    let text = digest(&[]).out;
    assert!(text.starts_with("# Voice of Customer, week 47 of 2026: for leadership"), "{text}");
    assert!(text.contains("16 to 22 November 2026. 4 pieces of feedback from 2 customers with 924k ARR"), "{text}");
    assert!(text.contains("**Who calls Lumen Example, 840k ARR?**"), "{text}");
    assert!(text.split_whitespace().count() < 500);
    assert_eq!(digest(&[]).out, text);
    assert_eq!(digest(&["--offline"]).out, text, "there is no model");
    let engineers = digest(&["--role", "engineering"]).out;
    assert!(engineers.contains("for engineering") && !engineers.contains("Lumen"), "{engineers}");
    digest(&["--role", "sales"]).says("Accounts to call");
    digest(&["--role", "pm"]).says("for product managers");
    let week = digest(&["--json"]).json();
    assert_eq!((&week["week"]["week"], &week["by"]), (&Value::from("2026-W47"), &Value::from("loopd")));
    assert_eq!(week["week"]["items"], serde_json::json!({"now": 4, "before": 1, "change": 3}));
    assert_eq!(week["week"]["churning_arr"]["amount"], 840_000.0);

    // Beside a daemon, which asks for itself.
    let daemon = place.run();
    assert_eq!(digest(&[]).out, text);
    place.loopd(&["digest", "--week", "2026-W46"]).ends(0).says("1 piece of feedback").says("first week");
    assert_eq!(daemon.stop(), Some(0));

    place.loopd(&["digest", "--week", "2020-W01"]).ends(0).says("Nobody was heard.");
    place.loopd(&["digest", "--week", "2026-47"]).ends(1).says("is no week").says("`last`");
    place.loopd(&["digest", "--week", "2999-W01"]).ends(1).says("has not begun");
    place.loopd(&["digest", "--role", "nobody"]).ends(2).says("leadership");
}

#[test]
fn a_ledger_that_has_heard_nobody_has_a_digest_and_a_coverage() {
    let place = Place::with(GITHUB);
    place.loopd(&["import", "customers", &place.write("c.csv", CUSTOMERS).display().to_string()]).ends(0);
    place.loopd(&["digest"]).ends(0).says("Nobody was heard").says("Nothing waits for a decision");
    place.loopd(&["report", "coverage"]).ends(0).says("0 pieces of feedback in 90 days, from 0 of 3 customers");
}

#[test]
fn coverage_shows_who_is_not_heard() {
    let place = place();
    settled(&place);
    let told = place.loopd(&["report", "coverage", "--days", "3650", "--json"]).ends(0).json();
    assert_eq!((&told["items"], &told["customers"], &told["heard"]), (&5.into(), &3.into(), &2.into()));
    let gaps: Vec<&str> =
        told["gaps"].as_array().expect("a list").iter().filter_map(|gap| gap["name"].as_str()).collect();
    assert_eq!(gaps, ["Healthcare"]);
    assert_eq!(told["silent"][0]["name"], "Birch Example");
    let shown = place.loopd(&["report", "coverage", "--days", "3650"]).ends(0);
    shown.says("SEGMENT").says("gap").says("SAID NOTHING").says("400k");
    place.loopd(&["report", "coverage", "--days", "0"]).ends(2);
    place.loopd(&["report"]).ends(2).says("coverage");
}

#[test]
fn the_job_of_an_item_is_told_when_asked_for() {
    let place = place();
    settled(&place);
    let told = place.loopd(&["jtbd", "2", "--json"]).ends(0).json();
    assert_eq!(told["job"]["request"], "We need to sign in with our own directory.");
    assert_eq!(told["job"]["model"], "rules-1");
    place
        .loopd(&["jtbd", "2"])
        .ends(0)
        .says("I want to sign in with our own directory")
        .says("they did not say")
        .says("a language model");
    let daemon = place.run();
    place.loopd(&["jtbd", "2"]).ends(0).says("sign in with our own directory");
    assert_eq!(daemon.stop(), Some(0));
    place.loopd(&["why", "2", "job.request"]).ends(0).says("sign in with our own directory");
    place.loopd(&["jtbd", "3"]).ends(1).says("asks for nothing");
    place.loopd(&["jtbd", "c1"]).ends(1).says("is a customer");
    place.loopd(&["jtbd", "nothing"]).ends(1).says("nothing is known");
}

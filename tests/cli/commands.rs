//! Help, first configuration, and the commands that look at a ledger.

use crate::support::{GITHUB, Place};

const COMMANDS: [&str; 21] = [
    "demo",
    "init",
    "check",
    "setup",
    "plan",
    "run",
    "status",
    "why",
    "dead",
    "close",
    "review",
    "agreement",
    "customers",
    "eval",
    "test",
    "backfill",
    "import",
    "ledger",
    "sandbox",
    "completions",
    "man",
];

#[test]
fn every_command_explains_itself() {
    let place = Place::empty();
    let all = place.loopd(&["--help"]).ends(0).says("Exit codes");
    for command in COMMANDS {
        assert!(all.out.contains(&format!("\n  {command} ")), "{command} is not in:\n{}", all.out);
        let own = place.loopd(&[command, "--help"]).ends(0).says("Usage: loopd");
        assert!(!own.out.contains("die-at"), "crash tests are no one's business");
        place.loopd(&["man", command]).ends(0).says(".TH");
    }
    place.loopd(&["completions", "bash"]).ends(0).says("_loopd");
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let place = Place::empty();
    place.loopd(&["sing"]).ends(2).says("unrecognized subcommand");
    place.loopd(&["init", "--vendor", "fax"]).ends(2).says("possible values: airtable, app, bigquery");
    place.loopd(&["dead", "retry"]).ends(2).says("--all");
    place.loopd(&["run", "--die-at", "never:1"]).ends(2).says("commit.before");
}

#[test]
fn no_configuration_is_told_with_its_mend() {
    let place = Place::empty();
    for command in [vec!["check"], vec!["run"], vec!["status"], vec!["ledger", "size"]] {
        place.loopd(&command).ends(2).says("loopd init");
    }
}

#[test]
fn init_writes_a_configuration_that_checks() {
    let place = Place::empty();
    // Nobody can be asked without a terminal.
    place.loopd(&["init"]).ends(2).says("--vendor");
    place.loopd(&["init", "--vendor", "github,airtable,linear,intercom"]).ends(0).says("check --live");
    place.loopd(&["init", "--vendor", "github"]).ends(2).says("--force");
    let both = ["init", "--force", "--vendor", "app,notion,salesforce"];
    place.loopd(&both).ends(0).says("setup notion, and then").says("setup salesforce, and then");
    place.loopd(&["init", "--force", "--vendor", "github,airtable,linear,intercom"]).ends(0);
    let checked = place
        .command(&["check"])
        .envs(["GITHUB_TOKEN", "INTERCOM_TOKEN", "AIRTABLE_TOKEN", "LINEAR_API_KEY"].map(|name| (name, "x")))
        .output()
        .expect("it runs");
    crate::support::Said::from(checked).ends(0).says("is good: 4 connections");
}

#[test]
fn init_can_copy_the_mappings_to_edit() {
    let place = Place::empty();
    place.loopd(&["init", "--vendor", "github", "--mappings", "mine"]).ends(0);
    assert!(place.path().join("mine/github.issue.toml").exists());
    assert!(!place.path().join("mine/linear.issue.toml").exists(), "another vendor's");
    let checked = place.command(&["check"]).env("GITHUB_TOKEN", "x").output().expect("it runs");
    crate::support::Said::from(checked).ends(0);
}

#[test]
fn looking_makes_no_ledger() {
    let place = Place::with(GITHUB);
    place.write("customers.csv", "name,domain\nExample,example.com\n");
    let there = || std::fs::read_dir(place.path()).expect("a folder").count();
    let looks: [&[&str]; 20] = [
        &["status"],
        &["status", "--json"],
        &["dead"],
        &["dead", "show", "7"],
        &["dead", "retry", "--all"],
        &["close"],
        &["close", "approve", "abc"],
        &["review"],
        &["review", "decide", "7", "ours"],
        &["review", "accept", "FB-000000"],
        &["review", "refuse", "7"],
        &["agreement"],
        &["customers"],
        &["customers", "merge", "a", "b"],
        &["why", "FB-000000"],
        &["ledger", "verify"],
        &["ledger", "size"],
        &["ledger", "export", "-"],
        &["ledger", "export", "rows.ndjson"],
        &["ledger", "compact"],
    ];
    for command in looks {
        let said = place.loopd(command).ends(2).says("there is no ledger yet at ").says("/ledger");
        said.says("`loopd run` makes it").says("ledger.path");
        assert_eq!(there(), 2, "{command:?} made something");
    }
    place.loopd(&["import", "customers", "customers.csv", "--dry-run"]).ends(0).says("Nothing was changed");
    assert_eq!(there(), 2, "a rehearsal made something");
}

#[test]
fn an_empty_ledger_can_be_looked_at() {
    let place = Place::with(GITHUB);
    assert_eq!(place.run().stop(), Some(0));
    let status = place.loopd(&["status", "--json"]).ends(0).json();
    assert_eq!(status["daemon"], false);
    assert_eq!(status["connections"][0]["state"], "idle");
    place.loopd(&["status", "--strict"]).ends(0).says("Nothing needs a person");
    place.loopd(&["dead"]).ends(0).says("No dead letters");
    place.loopd(&["dead", "show", "7"]).ends(1).says("loopd dead");
    place.loopd(&["dead", "retry", "7"]).ends(1).says("no such dead letter");
    place.loopd(&["dead", "retry", "--all"]).ends(0).says("Nothing to do");
    place.loopd(&["customers"]).ends(0).says("No customers are known");
    place.loopd(&["customers", "review"]).ends(0).says("No pair of customers is in doubt");
    place.loopd(&["customers", "show", "Lumen"]).ends(1).says("no customer is known as Lumen").says("KIND:NAME");
    place.loopd(&["close"]).ends(0).says("No message waits");
    place.loopd(&["close", "approve", "abc"]).ends(1).says("no such message");
    place.loopd(&["review"]).ends(0).says("Nothing waits for a person");
    place.loopd(&["review", "accept", "FB-000000"]).ends(1).says("nothing is known of FB-000000");
    place.loopd(&["review", "merge", "7"]).ends(1).says("no such proposal");
    place.loopd(&["agreement"]).ends(0).says("No verdict of a model has been reviewed yet");
    place.loopd(&["agreement", "--task", "sing"]).ends(2).says("extract, classify");
    place.loopd(&["review", "decide", "7", "ours"]).ends(1).says("no such question");
    place.loopd(&["why", "FB-000000"]).ends(1).says("nothing is known of FB-000000");
    place.loopd(&["ledger", "verify"]).ends(0).says("Every law holds");
    assert!(place.loopd(&["ledger", "size", "--json"]).ends(0).json()["bytes_on_disk"].is_number());
}

#[test]
fn a_look_needs_no_secret_and_an_order_does() {
    let place = Place::with(GITHUB);
    assert_eq!(place.run().stop(), Some(0));
    let without = |args: &[&str]| {
        let output = place.command(args).env_remove("TEST_TOKEN").output().expect("it runs");
        crate::support::Said::from(output)
    };
    without(&["dead"]).ends(0);
    // What is missing is what needs a person: no daemon would start.
    let status = without(&["status", "--strict"]).ends(3).says("github cannot be opened").says("set TEST_TOKEN where");
    assert!(!status.out.contains("Nothing needs a person"), "{}", status.out);
    let status = without(&["status", "--json"]).ends(0).json();
    assert_eq!(status["connections"][0]["name"], "github");
    assert_eq!(status["connections"][0]["state"], "unopened");
    without(&["dead", "retry", "--all"]).ends(2).says("TEST_TOKEN");
    // Whether a message may go out has nothing to do with who sends it.
    without(&["close", "approve", "abc"]).ends(1).says("no such message");
    without(&["plan"]).ends(2).says("config.toml:14:9").says("set TEST_TOKEN where loopd is started");
}

#[test]
fn a_ledger_travels_as_text() {
    let place = Place::with(GITHUB);
    assert_eq!(place.run().stop(), Some(0));
    place.loopd(&["ledger", "export", "rows.jsonl"]).ends(0).says("rows are in rows.jsonl");
    let text = std::fs::read_to_string(place.path().join("rows.jsonl")).expect("it is there");
    assert!(text.starts_with("{\"loopd_ledger\":"), "{text}");
    place.loopd(&["ledger", "compact"]).ends(0).says("before");
    let other = Place::with(GITHUB);
    other.write("rows.jsonl", &text);
    other.loopd(&["ledger", "import", "rows.jsonl"]).ends(0);
    other.loopd(&["ledger", "verify"]).ends(0);
    other.write("bad.jsonl", "{\"something\": 1}\n");
    let third = Place::with(GITHUB);
    third.write("bad.jsonl", "{\"something\": 1}\n");
    third.loopd(&["ledger", "import", "bad.jsonl"]).ends(1).says("line 1");
}

#[test]
fn the_sandbox_says_where_it_is_and_ends_in_time() {
    let place = Place::empty();
    let said =
        place.loopd(&["sandbox", "--for", "1", "--json", "--seed", "7", "--faults", "slow=0.1:20"]).ends(0).json();
    for vendor in ["github", "intercom", "airtable", "linear"] {
        assert!(
            said["vendors"][vendor]["base_url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")),
            "{said}"
        );
    }
    place.loopd(&["sandbox", "--faults", "gremlins=1"]).ends(2).says("fail_before");
    place.loopd(&["sandbox", "--ports", "1,2"]).ends(2).says("VENDOR=PORT");
}

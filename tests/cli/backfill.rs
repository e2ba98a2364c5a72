//! A source is read again, whatever becomes of the others.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::Place;

/// `loopd sandbox`, until the test ends.
struct Sandbox(Child);

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A GitHub that answers and an Airtable that does not, with customers who wait to be written there.
fn half_a_world() -> (Place, Sandbox) {
    let place = Place::empty();
    let mut sandbox = Sandbox(
        place.command(&["sandbox", "--json", "--for", "300"]).stdout(Stdio::piped()).spawn().expect("it starts"),
    );
    let mut line = String::new();
    BufReader::new(sandbox.0.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it is");
    let said: Value = serde_json::from_str(&line).expect("JSON");
    let github = &said["vendors"]["github"];
    place.write("github.token", github["token"].as_str().expect("a token"));
    place.write(
        "config.toml",
        &format!(
            r#"
[ledger]
path = "ledger"
[http]
listen = "127.0.0.1:0"
[connection.github]
kind = "github"
base_url = {}
repos = ["example/app"]
token = {{ file = "github.token" }}
[connection.airtable]
kind = "airtable"
base_url = "http://127.0.0.1:1"
base = "appSandbox0000001"
token = {{ env = "TEST_TOKEN" }}
[[route]]
entity = "customer"
to = "airtable.Customers"
"#,
            github["base_url"]
        ),
    );
    place.write("customers.csv", "name,domain\nExample,example.com\nOther,other.example\n");
    place.loopd(&["import", "customers", "customers.csv"]).ends(0);
    (place, sandbox)
}

#[test]
fn another_vendor_that_is_down_holds_up_no_backfill() {
    let (place, _sandbox) = half_a_world();
    assert_eq!(place.run_until_it_ends(&["backfill", "github"]).code(), Some(0));
    let said = place.loopd(&["backfill", "github"]).ends(0).says("What still waits").says("sync/airtable");
    said.says("`loopd run` goes on with it");
    // One whose secret is missing neither.
    let output = place.command(&["backfill", "github", "--json"]).env_remove("TEST_TOKEN").output().expect("it runs");
    let said = crate::support::Said::from(output).ends(0).says("airtable cannot be opened").json();
    assert_eq!(said["waiting"][0]["queue"], "sync/airtable", "{said}");
    assert_eq!(said["waiting"][0]["why"], "airtable lacks a secret", "{said}");
    // And the same where the daemon reads.
    let daemon = place.run();
    assert_eq!(place.run_until_it_ends(&["backfill", "github"]).code(), Some(0));
    place.loopd(&["backfill", "github"]).ends(0).says("the daemon is at it");
    place.loopd(&["backfill", "github", "--since", "2026-01-31"]).ends(2).says("start = \"2026-01-31T00:00:00Z\"");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_source_that_is_locked_ends_its_backfill_with_the_reason() {
    let (place, _sandbox) = half_a_world();
    let good = std::fs::read_to_string(place.path().join("github.token")).expect("it is there");
    place.write("github.token", "revoked");
    assert_eq!(place.run_until_it_ends(&["backfill", "github"]).code(), Some(1));
    let daemon = place.run();
    place.loopd(&["backfill", "github"]).ends(1).says("cannot be read on: locked").says("check --live github");
    assert_eq!(daemon.stop(), Some(0));
    // What was noted then does not stop the next one.
    place.write("github.token", &good);
    place.loopd(&["backfill", "github"]).ends(0);
}

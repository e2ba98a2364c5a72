//! `loopd run`: it says that it is ready, answers, and ends when told, by itself, or by force.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{GITHUB, Place};

#[test]
fn it_starts_answers_and_stops_cleanly() {
    let place = Place::with(GITHUB);
    let daemon = place.run();
    assert_eq!(daemon.get("/healthz").status, 200);
    let ready = daemon.get("/readyz");
    assert_eq!(ready.status, 200, "{ready:?}");
    let ready: Value = serde_json::from_str(&ready.body).expect("JSON");
    // Its vendor cannot be reached: that concerns only this connection.
    assert_eq!(ready["connections"]["github"], "waiting");
    assert_eq!(ready["ledger"], "open");
    let metrics = daemon.get("/metrics").body;
    for name in [
        "loopd_queue_items{lane=\"normalize\"} 0",
        "loopd_connection_up{connection=\"github\",kind=\"github\"} 0",
        "loopd_dead_letters 0",
    ] {
        assert!(metrics.contains(name), "{name} is not in:\n{metrics}");
    }
    assert_eq!(daemon.get("/nothing").status, 404);
    assert_eq!(daemon.stop(), Some(0));
    assert!(!place.path().join("ledger.admin.sock").exists(), "the socket goes with the daemon");
    place.loopd(&["ledger", "verify"]).ends(0);
    // And again over the same ledger.
    assert_eq!(place.run().stop(), Some(0));
}

#[test]
fn others_ask_the_daemon_that_holds_the_ledger() {
    let place = Place::with(GITHUB);
    let daemon = place.run();
    let status = place.loopd(&["status", "--json"]).ends(0).json();
    assert_eq!(status["daemon"], true);
    place.loopd(&["ledger", "verify"]).ends(0).says("Every law holds");
    place.loopd(&["ledger", "size"]).ends(0);
    place.loopd(&["ledger", "export", "rows.jsonl"]).ends(0);
    place.loopd(&["dead"]).ends(0);
    // What needs the ledger for itself says so.
    place.loopd(&["ledger", "compact"]).ends(4).says("Stop the daemon");
    place.loopd(&["run"]).ends(4).says("in use by another process");
    // The second one did no harm to the first.
    assert_eq!(place.loopd(&["status", "--json"]).ends(0).json()["daemon"], true);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_taken_address_is_told() {
    let place = Place::with(GITHUB);
    let daemon = place.run();
    let other = Place::with(&GITHUB.replace("127.0.0.1:0", &daemon.address));
    other.loopd(&["run"]).ends(1).says(&format!("http.listen = \"{}\"", daemon.address));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn it_can_be_killed_at_a_point_and_started_again() {
    use std::os::unix::process::ExitStatusExt;
    let place = Place::with(GITHUB);
    for point in ["call.before:1", "call.after:2", "random:5:2"] {
        let status = place.run_until_it_ends(&["run", "--die-at", point]);
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{point}");
    }
    // A socket that was left behind is in nobody's way.
    assert_eq!(place.run().stop(), Some(0));
    place.loopd(&["ledger", "verify"]).ends(0);
}

#[test]
fn a_killed_daemon_does_not_stop_the_others_from_looking() {
    let place = Place::with(GITHUB);
    let daemon = place.run();
    daemon.signal(Signal::KILL);
    assert!(!daemon.ended().success());
    assert_eq!(place.loopd(&["status", "--json"]).ends(0).json()["daemon"], false);
}

#[test]
fn an_unreadable_ledger_is_refused_and_left_untouched() {
    let place = Place::with(GITHUB);
    let damaged = place.write("ledger/conf", "this is no ledger of any kind");
    place.write("ledger/db", "nor is this");
    place.loopd(&["run"]).ends(1).says("left untouched").says("ledger rebuild");
    assert_eq!(std::fs::read_to_string(damaged).expect("still there"), "this is no ledger of any kind");
}

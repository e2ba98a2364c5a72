//! SIGHUP: a good configuration is taken, a bad one is refused, and the old one stays.

use rustix::process::Signal;

use crate::support::{GITHUB, Place};

#[test]
fn a_bad_configuration_is_refused_loudly_and_the_old_one_stays() {
    let place = Place::with(GITHUB);
    let mut daemon = place.run();
    place.write("config.toml", &GITHUB.replace("repos =", "repoz ="));
    daemon.signal(Signal::HUP);
    let said = daemon.wait_for("the old one stays in use");
    assert!(said["why"].as_str().is_some_and(|why| why.contains("config.toml:") && why.contains("repoz")), "{said}");
    assert_eq!(daemon.get("/readyz").status, 200);
    assert_eq!(daemon.post("/hooks/github", &[], b"{}").status, 401, "the old connection is there");

    place.write("config.toml", GITHUB);
    let told = place.loopd(&["status", "--strict"]).ends(3);
    assert!(told.out.contains("the configuration on disk is not in use"), "{}", told.out);
    daemon.signal(Signal::HUP);
    daemon.wait_for("the new configuration is in use");
    place.loopd(&["status", "--strict"]).ends(0).says("Nothing needs a person");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_daemon_is_asked_also_while_the_configuration_is_broken() {
    let place = Place::with(GITHUB);
    let mut daemon = place.run();
    let mistyped = GITHUB.replace("public_url", "publik_url");
    for broken in [mistyped.as_str(), &format!("{GITHUB}\n[http\nlisten"), "[ledger]\npath = \"ledger\"\n]]"] {
        place.write("config.toml", broken);
        place.loopd(&["check"]).ends(2);
        let said = place.loopd(&["status"]).ends(0).says("running").says("the configuration on disk is broken");
        assert!(!said.out.contains("Nothing needs a person"), "{}", said.out);
        place.loopd(&["status", "--strict"]).ends(3).says("loopd check");
        assert_eq!(place.loopd(&["status", "--json"]).ends(0).json()["daemon"], true);
        place.loopd(&["dead"]).ends(0).says("No dead letters").says("the configuration on disk is broken");
        place.loopd(&["close", "list"]).ends(0);
        place.loopd(&["why", "FB-000000"]).ends(1).says("nothing is known of FB-000000");
        place.loopd(&["ledger", "export", "rows.ndjson"]).ends(0);
    }
    // A reload that was refused is told by the daemon itself.
    daemon.signal(Signal::HUP);
    daemon.wait_for("the old one stays in use");
    place.loopd(&["status", "--strict"]).ends(3).says("the configuration on disk is not in use");
    assert_eq!(daemon.stop(), Some(0));
    // Without a daemon it is the configuration that must be mended.
    place.loopd(&["status"]).ends(2).says("config.toml:");
}

#[test]
fn a_new_configuration_is_used_from_then_on() {
    let place = Place::with(GITHUB);
    let mut daemon = place.run();
    place.write(
        "config.toml",
        &GITHUB.replace("[connection.github]", "[connection.hub]").replace("127.0.0.1:0", "127.0.0.1:9"),
    );
    daemon.signal(Signal::HUP);
    let said = daemon.wait_for("takes a restart");
    assert_eq!(said["key"], "http.listen");
    daemon.wait_for("the new configuration is in use");
    assert_eq!(daemon.post("/hooks/github", &[], b"{}").status, 404);
    assert_eq!(daemon.post("/hooks/hub", &[], b"{}").status, 401);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn the_file_of_customers_is_read_at_the_start_and_when_it_has_changed() {
    let place = Place::with(&format!("{GITHUB}\n[customers]\ncsv = \"customers.csv\"\n"));
    place.write(
        "customers.csv",
        "name,domain,arr\nLumen Example,lumen.example.com,lots\nQuill Example,quill.example.com,5\n",
    );
    let mut daemon = place.run();
    let told = place.loopd(&["status", "--strict"]).ends(3);
    assert!(told.out.contains("customers.csv:2: arr: `lots` is no amount"), "{}", told.out);
    // An unchanged file is not read in again.
    daemon.signal(Signal::HUP);
    daemon.wait_for("the new configuration is in use");
    place.write(
        "customers.csv",
        "name,domain,arr\nLumen Example,lumen.example.com,7\nQuill Example,quill.example.com,5\n",
    );
    daemon.signal(Signal::HUP);
    let taken = daemon.wait_for("customers are taken in");
    assert_eq!((&taken["rows"], &taken["news"]), (&2.into(), &1.into()), "{taken}");
    daemon.wait_for("the new configuration is in use");
    place.loopd(&["status", "--strict"]).ends(0);
    assert_eq!(daemon.stop(), Some(0));
}

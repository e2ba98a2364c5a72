//! Airtable and Linear by sign-in: tokens end in the middle of work, and sign-ins as a whole.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use sandbox::{Reply, Vendor};

use crate::story::{bug, cells, conditions, linear, minutes, much_later, no_dead, of_issue, row, rows_with, tell};
use crate::town::{SECRET, Town};

const CLIENT: &str = "the-town";

/// The town's tokens make way for sign-ins, which are kept in `folder`.
fn sign_in(town: &mut Town, folder: &Path) {
    town.world.airtable(|desk, _| desk.register_client(CLIENT, Some(SECRET), &[]));
    town.world.linear(|desk, _| desk.register_client(CLIENT, Some(SECRET), &[]));
    let config = town.files.get_mut(Path::new("config.toml")).expect("a configuration");
    for name in ["AIRTABLE_TOKEN", "LINEAR_TOKEN"] {
        let token = format!("token = {{ env = \"{name}\" }}");
        assert!(config.contains(&token));
        *config =
            config.replace(&token, &format!("client_id = \"{CLIENT}\"\nclient_secret = {{ env = \"CLIENT_HOOK\" }}"));
    }
    *config = format!("[auth]\ndir = \"{}\"\n{config}", folder.display());
    town.restart(None);
    for (name, vendor) in [("airtable", Vendor::Airtable), ("linear", Vendor::Linear)] {
        browse(town, name, vendor);
    }
}

/// What `loopd auth` does, and a person's browser.
fn browse(town: &Town, name: &str, vendor: Vendor) {
    let session = town.house.connections[name].connector.sign_in().expect("a person signs in");
    let begun = session.begin("http://localhost:8788/callback", &[3; 64]).expect("begins");
    let path = begun.url.splitn(4, '/').nth(3).expect("a path");
    let request = Request::get(format!("/{path}")).body(Bytes::new()).expect("a request");
    let Reply::Answer { response, .. } = town.world.call(vendor, request) else { panic!("cut") };
    let back = response.headers()["location"].to_str().expect("text");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(session.finish(&begun, back)).unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn tokens_end_in_the_middle_of_work_and_everything_arrives_once() {
    tell(|town, mid| {
        let folder = tempfile::tempdir().expect("a folder");
        sign_in(town, folder.path());
        minutes(town, 2);
        let ids: Vec<_> = (0..24).map(|n| of_issue(bug(town, &format!("Stream {n} ends early")))).collect();
        town.run_for(Duration::from_secs(4));
        town.world.airtable(|desk, _| desk.expire_sign_ins());
        town.world.linear(|desk, _| desk.expire_sign_ins());
        mid(town);
        minutes(town, 10);
        for id in &ids {
            assert_eq!(cells(town, *id)["Severity"], "High");
            assert!(linear(town, *id).is_some(), "{id}");
        }
        // And by the clock: both have run out overnight.
        much_later(town, 26);
        let late = of_issue(bug(town, "Stream ends late"));
        mid(town);
        minutes(town, 10);
        row(town, "Feedback", late);
        assert!(linear(town, late).is_some());
        for name in ["airtable", "linear"] {
            let told = conditions(town, name);
            assert!(told.iter().all(|what| !what.starts_with("locked")), "{told:?}");
        }
        no_dead(town);
    });
}

#[test]
fn a_sign_in_that_is_taken_back_waits_for_another() {
    tell(|town, mid| {
        let folder = tempfile::tempdir().expect("a folder");
        sign_in(town, folder.path());
        minutes(town, 2);
        town.world.airtable(|desk, _| desk.end_sign_ins());
        let id = of_issue(bug(town, "Stream ends early"));
        mid(town);
        minutes(town, 12);
        assert!(linear(town, id).is_some(), "Linear goes on");
        assert_eq!(rows_with(town, "Feedback", id), Vec::new());
        let told = conditions(town, "airtable");
        assert!(told.iter().any(|what| what.contains("sign in again: loopd auth airtable")), "{told:?}");
        let asked = |town: &Town| town.world.books(Vendor::Airtable).by_operation.get("POST token").copied();
        let before = asked(town);
        minutes(town, 30);
        assert_eq!(asked(town), before, "the vendor is not asked again and again");
        browse(town, "airtable", Vendor::Airtable);
        mid(town);
        minutes(town, 15);
        assert_eq!(cells(town, id)["Severity"], "High");
        no_dead(town);
    });
}

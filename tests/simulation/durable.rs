//! "Acknowledged" means on disk, and a write's intent is on disk before the call: a machine that loses its power right
//! after an answer, or in the middle of a call, has forgotten nothing that somebody was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loopd::intake::{admit, receive};
use loopd::schema::EntityId;
use sandbox::github::NewIssue;
use sandbox::{Phase, Vendor};

use crate::town::{BASE, REPO, Town};

/// A town whose engine knows its accounts, and where nothing is under way.
fn town(extra: &str) -> Town {
    let mut town = Town::with(7, extra);
    town.run_for(Duration::from_secs(120));
    town
}

fn open_issue(town: &Town, title: &str, body: &str) -> u64 {
    let new = NewIssue { title, body: Some(body), author: "ada-example", ..NewIssue::default() };
    town.world.github(|desk, cx| desk.open_issue(REPO, &new, cx)).expect("the repository is there")
}

#[test]
fn an_acknowledged_webhook_survives_a_power_loss() {
    let mut town = town("");
    let number = open_issue(&town, "How do I set the temperature?", "I looked everywhere.");
    let arrived: Vec<_> = town
        .world
        .due_webhooks()
        .iter()
        .map(|outgoing| {
            let raw = connectors::Request { headers: &outgoing.headers, body: &outgoing.body };
            receive(&town.house, outgoing.vendor.name(), raw).expect("it is theirs")
        })
        .collect();
    assert!(!arrived.is_empty(), "GitHub tells of a new issue");
    admit(&town.house.ledger, &arrived).expect("memory");
    assert_eq!(town.store.at_risk(), 0, "it was answered 2xx, and is not on disk");
    town.restart(Some(0));
    let inbox = town.house.ledger.count(loopd::ledger::Tree::Inbox).expect("memory");
    assert!(inbox > 0, "it was answered 2xx, and is gone");
    town.run_for(Duration::from_secs(300));
    let id = EntityId::derive("github", "issue", &format!("{REPO}#{number}"));
    assert!(town.house.ledger.entity(id).expect("memory").is_some());
    town.assert_quiet();
}

/// Counts calls that change something, and those of them that begin while their intent is not on disk.
///
/// Other rooms commit as well: what is at risk when a write goes out may be none of its business. So the intent is looked
/// for as a power loss would: on one thread the last commit before the call is the intent, and it must be on disk.
fn watch(town: &Town, is_write: fn(Vendor, &http::Request<bytes::Bytes>) -> bool) -> (Arc<AtomicU64>, Arc<AtomicU64>) {
    let (calls, bare) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (told, exposed, store) = (calls.clone(), bare.clone(), town.store.clone());
    town.world.on_call(move |vendor, request, phase| {
        if phase == Phase::Before && is_write(vendor, request) {
            told.fetch_add(1, Ordering::Relaxed);
            if store.at_risk() > 0 {
                exposed.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (calls, bare)
}

#[test]
fn the_intent_of_a_write_is_on_disk_before_the_call() {
    let mut town = town("");
    let (calls, bare) = watch(&town, |vendor, request| match vendor {
        // It reads by POST too, and renews its webhook.
        Vendor::Airtable => {
            request.method() != http::Method::GET
                && !["/listRecords", "/bases/"].iter().any(|read| request.uri().path().contains(read))
        }
        Vendor::Linear => String::from_utf8_lossy(request.body()).contains("mutation"),
        _ => false,
    });
    open_issue(&town, "Outage", "Every request fails with error 500, production is down for our whole team");
    town.run_for(Duration::from_secs(300));
    let row = town.world.airtable(|desk, _| desk.rows(BASE, "Feedback")).remove(0);
    let record = row["id"].as_str().expect("rows have ids").to_owned();
    let issue =
        town.world.linear(|desk, _| desk.issues()).remove(0)["id"].as_str().expect("issues have ids").to_owned();
    town.world.linear(|desk, cx| desk.move_issue(cx, &issue, "In Progress"));
    town.world.airtable(|desk, cx| desk.edit_cell(cx, BASE, "Feedback", &record, "Severity", &"Critical".into()));
    town.run_for(Duration::from_secs(900));
    let calls = calls.load(Ordering::Relaxed);
    // A row, an issue and its attachment made; a row and an issue changed.
    assert!(calls >= 5, "only {calls} writes");
    assert_eq!(bare.load(Ordering::Relaxed), 0, "of {calls} writes so many began before their intent was on disk");
    town.assert_quiet();
}

#[test]
fn a_message_is_marked_as_on_its_way_before_it_goes() {
    let mut town = town("\n[close]\nsend_without_approval = [\"github\"]\n");
    let (calls, bare) =
        watch(&town, |vendor, request| vendor == Vendor::GitHub && request.method() == http::Method::POST);
    open_issue(&town, "Outage", "Every request fails with error 500, production is down for our whole team");
    town.run_for(Duration::from_secs(300));
    let issue =
        town.world.linear(|desk, _| desk.issues()).remove(0)["id"].as_str().expect("issues have ids").to_owned();
    town.world.linear(|desk, cx| desk.move_issue(cx, &issue, "Done"));
    town.run_for(Duration::from_secs(900));
    assert_eq!(
        (calls.load(Ordering::Relaxed), bare.load(Ordering::Relaxed)),
        (1, 0),
        "messages sent, and sent unmarked"
    );
    town.assert_quiet();
}

/// The room that polls GitHub: rooms that poll come first, by their connections' names.
const POLLS_GITHUB: usize = 1;
const STREAM: &str = "issues:lumen-example/widgets";

#[test]
fn a_page_and_its_cursor_survive_together() {
    let mut kept = 0;
    loop {
        let mut town = town("");
        open_issue(&town, "How do I set the temperature?", "I looked everywhere.");
        for dropped in town.world.due_webhooks() {
            town.world.delivered(dropped, Some(200));
        }
        town.house.ledger.durable().expect("memory");
        let place = |town: &Town| town.house.ledger.position("github", STREAM).expect("memory").cursor;
        let read = |town: &Town| town.house.ledger.count(loopd::ledger::Tree::Inbox).expect("memory") > 0;
        let before = place(&town);
        town.clock.advance(Duration::from_secs(600));
        while town.step(POLLS_GITHUB) {}
        assert!(place(&town) != before && read(&town), "the page was not read");
        let at_risk = town.store.at_risk();
        town.restart(Some(kept));
        assert_eq!(
            place(&town) != before,
            read(&town),
            "of {at_risk} commits the first {kept} are left: one without the other"
        );
        if kept >= at_risk {
            break;
        }
        kept += 1;
    }
    assert!(kept > 0, "nothing was at risk");
}

#[test]
fn a_page_that_was_read_from_elsewhere_is_refused() {
    let town = town("");
    let ledger = &town.house.ledger;
    let stands = ledger.position("github", STREAM).expect("memory");
    let taken = ledger.transact(|tx| tx.advance("github", STREAM, None, &stands));
    assert!(matches!(taken, Err(loopd::ledger::LedgerError::StaleCursor { .. })), "{taken:?}");
    ledger.transact(|tx| tx.advance("github", STREAM, stands.cursor.as_ref(), &stands)).expect("it stands there");
}

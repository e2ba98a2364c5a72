//! The GA4 connector against its stand-in. Every request is also checked against Google's discovery document.

use std::time::Duration;

use connectors::{Fault, Kind};
use sandbox::google::ACCOUNT;
use sandbox::{FailKind, Vendor};
use serde_json::{Value, json};

use crate::usage::{Bench, KEY_ID, PUBLIC_KEY, check_google, key_file, used};

fn bench_with(more: &Value) -> Bench {
    let mut settings =
        json!({"property": 123_456_789, "account": "customUser:company_id", "user": "customUser:user_id"});
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    let bench = Bench::open(Kind::Ga4, Vendor::Ga4, &settings, ("service_account", &key_file(ACCOUNT)));
    assert!(bench.world.ga4(|desk, cx| desk.register_key(ACCOUNT, KEY_ID, PUBLIC_KEY, cx)));
    bench
}

fn put(bench: &Bench, on: &str, account: &str, user: &str, feature: &str, count: u64) {
    bench.world.ga4(|desk, cx| desk.put(used(on, account, user, feature, count), cx));
}

fn done(bench: &Bench) {
    check_google(bench, "google-analyticsdata.v1beta.discovery.json");
}

#[tokio::test]
async fn every_row_comes_once_over_many_pages() {
    let mut bench = bench_with(&json!({"page_rows": 100}));
    for n in 0..455 {
        put(&bench, "2026-11-22", &format!("acct{n:04}"), &format!("u{}", n % 7), "export", n + 1);
    }
    put(&bench, "2026-11-22", "", "", "export", 9);
    assert_eq!(bench.catch_up().await, 6, "five pages, and the end");
    assert_eq!((bench.cells.len(), bench.sum()), (456, 455 * 456 / 2 + 9));
    assert!(bench.of("2026-11-22").contains(&"/ export: 9".to_owned()), "(not set) is nobody's");
    let asked = &bench.bodies(":runReport")[1];
    assert_eq!((&asked["limit"], &asked["offset"]), (&json!("100"), &json!("100")), "int64 is a text");
    done(&bench);
}

#[tokio::test]
async fn the_settling_days_are_pulled_again_and_replaced() {
    let mut bench = bench_with(&json!({}));
    put(&bench, "2026-11-10", "acme", "kim", "export", 5);
    put(&bench, "2026-11-21", "acme", "kim", "export", 7);
    put(&bench, "2026-11-22", "quill", "tom", "export", 4);
    bench.catch_up().await;
    assert_eq!(bench.sum(), 16);
    bench.clock.advance(Duration::from_secs(24 * 3600));
    put(&bench, "2026-11-10", "acme", "kim", "export", 500);
    put(&bench, "2026-11-21", "acme", "kim", "export", 9);
    put(&bench, "2026-11-22", "quill", "tom", "export", 0);
    put(&bench, "2026-11-24", "acme", "kim", "export", 1);
    bench.catch_up().await;
    assert_eq!((bench.sum(), bench.of("2026-11-21")), (15, vec!["acme/kim export: 9".to_owned()]));
    let asked = bench.bodies(":runReport");
    assert_eq!(
        asked.last().expect("it was asked")["dateRanges"][0],
        json!({"startDate": "2026-11-20", "endDate": "2026-11-24"})
    );
    done(&bench);
}

#[tokio::test]
async fn a_row_that_may_be_withheld_is_not_taken_for_zero() {
    let mut bench = bench_with(&json!({}));
    put(&bench, "2026-11-22", "acme", "kim", "export", 5);
    put(&bench, "2026-11-22", "quill", "tom", "export", 2);
    bench.catch_up().await;
    assert_eq!(bench.connector.hindrance(), None);
    put(&bench, "2026-11-22", "quill", "tom", "export", 0);
    bench.world.ga4(|desk, cx| desk.set_thresholding(true, cx));
    bench.clock.advance(Duration::from_secs(3600));
    bench.catch_up().await;
    assert_eq!(bench.sum(), 7, "it may be there all the same");
    assert!(bench.connector.hindrance().is_some_and(|why| why.contains("thresholding")));
    bench.world.ga4(|desk, cx| {
        desk.set_thresholding(false, cx);
        desk.set_other_row(true, cx);
    });
    bench.clock.advance(Duration::from_secs(3600));
    bench.catch_up().await;
    assert!(bench.connector.hindrance().is_some_and(|why| why.contains("(other)") && !why.contains("thresholding")));
    bench.world.ga4(|desk, cx| desk.set_other_row(false, cx));
    bench.clock.advance(Duration::from_secs(3600));
    bench.catch_up().await;
    assert_eq!((bench.sum(), bench.connector.hindrance()), (5, None), "now it says all there is");
}

#[tokio::test]
async fn features_may_be_chosen_and_people_left_out() {
    let mut bench = bench_with(&json!({"features": ["export", "import"], "user": null}));
    put(&bench, "2026-11-22", "acme", "kim", "export", 5);
    put(&bench, "2026-11-22", "acme", "lou", "export", 2);
    put(&bench, "2026-11-22", "acme", "lou", "page_view", 99);
    bench.catch_up().await;
    assert_eq!(bench.of("2026-11-22"), ["acme/ export: 7"]);
    done(&bench);
}

#[tokio::test]
async fn whatever_fails_midway_costs_time_and_no_row() {
    for kind in [
        FailKind::Unavailable,
        FailKind::ServerError,
        FailKind::Throttled,
        FailKind::CutBefore,
        FailKind::CutAfter,
        FailKind::ErrorAfter,
        FailKind::BadGatewayAfter,
    ] {
        for operation in ["token", "runReport"] {
            let mut bench = bench_with(&json!({"page_rows": 10}));
            for n in 0..35 {
                put(&bench, "2026-11-22", &format!("a{n:02}"), "kim", "export", 2);
            }
            bench.world.fail_next_operation(Vendor::Ga4, operation, 2, kind);
            bench.catch_up().await;
            assert_eq!((bench.cells.len(), bench.sum()), (35, 70), "{operation} {kind:?}");
        }
    }
}

#[tokio::test]
async fn what_is_left_of_the_quota_is_left_to_others() {
    let mut bench = bench_with(&json!({"page_rows": 1}));
    put(&bench, "2026-11-22", "acme", "kim", "export", 1);
    put(&bench, "2026-11-22", "quill", "kim", "export", 1);
    // Nearly all of the project's part of an hour: 35 % of 40,000.
    bench.world.ga4(|desk, cx| desk.spend_tokens(13_950, cx));
    assert!(bench.page().await.expect("there is a little left"));
    let fault = bench.fault().await;
    let Fault::Later { after: Some(after), .. } = fault else { panic!("{fault}") };
    assert!(
        after <= Duration::from_secs(3600) && after > Duration::from_secs(3000),
        "until the hour is over: {after:?}"
    );
    bench.catch_up().await;
    assert_eq!((bench.sum(), bench.connector.meter().throttled), (2, 0));
    // Gone altogether, by others: refused until the hour is over.
    bench.world.ga4(|desk, cx| desk.spend_tokens(50_000, cx));
    let fault = bench.fault().await;
    assert!(matches!(&fault, Fault::Later { after: Some(_), why } if why.contains("Exhausted")), "{fault}");
}

#[tokio::test]
async fn what_is_refused_says_what_to_do() {
    let bench = bench_with(&json!({}));
    let identity = bench.probe().await.expect("it works");
    assert_eq!((identity.account.as_str(), identity.name.as_str()), ("properties/123456789", ACCOUNT));
    let mut unregistered = bench_with(&json!({}));
    unregistered.world.ga4(|desk, cx| desk.unregister("customUser:company_id", cx));
    let told = unregistered.probe().await.expect_err("it is not there").to_string();
    assert!(told.contains("customUser:company_id") && told.contains("Custom definitions"), "{told}");
    assert!(matches!(unregistered.fault().await, Fault::Rejected { why, .. } if why.contains("customUser:company_id")));
    let misspelt = bench_with(&json!({"metric": "eventCounts"}));
    assert!(misspelt.probe().await.expect_err("there is none").to_string().contains("no metric eventCounts"));
    let mut other = bench_with(&json!({"property": "properties/5"}));
    assert!(matches!(other.fault().await, Fault::Locked { why } if why.contains("Viewer")));
    done(&bench);
}

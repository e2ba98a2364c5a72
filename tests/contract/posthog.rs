//! The PostHog connector against its stand-in.

use std::time::Duration;

use connectors::{Fault, Kind};
use sandbox::{FailKind, Vendor};
use serde_json::{Value, json};

use crate::usage::{Bench, used};

fn bench_with(more: &Value) -> Bench {
    keyed(Vendor::PostHog.token(), more)
}

fn keyed(token: &str, more: &Value) -> Bench {
    let mut settings = json!({"project": 4711});
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    Bench::open(Kind::PostHog, Vendor::PostHog, &settings, ("token", token))
}

fn put(bench: &Bench, on: &str, account: &str, user: &str, feature: &str, count: u64) {
    bench.world.posthog(|desk, cx| desk.put(used(on, account, user, feature, count), cx));
}

fn queries(bench: &Bench) -> Vec<String> {
    let bodies = bench.bodies("/query/");
    bodies.iter().map(|body| body["query"]["query"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn every_row_comes_once_by_keyset_whatever_it_is_called() {
    let mut bench = bench_with(&json!({"page_rows": 7}));
    let odd = ["", "O'Brien", "back\\slash", "a\nb", "ünï", "'; DROP TABLE events --", "tab\tbed"];
    let mut sum = 0;
    for (n, account) in odd.iter().enumerate() {
        for (m, feature) in odd.iter().skip(1).enumerate() {
            let count = (n * 10 + m + 1) as u64;
            put(&bench, "2026-11-22", account, odd[(n + m) % odd.len()], feature, count);
            sum += count;
        }
    }
    bench.catch_up().await;
    assert_eq!((bench.cells.len(), bench.sum()), (42, sum));
    assert!(queries(&bench).iter().all(|query| !query.contains("OFFSET")));
    let body = &bench.bodies("/query/")[0];
    assert_eq!((&body["refresh"], &body["query"]["kind"]), (&json!("force_blocking"), &json!("HogQLQuery")));
}

#[tokio::test]
async fn a_few_days_are_read_at_a_time_and_the_last_ones_again() {
    let mut bench = bench_with(&json!({"start": "2026-11-01"}));
    put(&bench, "2026-11-01", "acme", "kim", "Export", 1);
    put(&bench, "2026-11-22", "acme", "kim", "Export", 2);
    put(&bench, "2026-11-23", "acme", "lou", "Export", 3);
    put(&bench, "2026-10-31", "acme", "lou", "Export", 99);
    // 23 days in weeks: four queries, and the end.
    assert_eq!(bench.catch_up().await, 5);
    assert_eq!(bench.sum(), 6);
    put(&bench, "2026-11-22", "acme", "kim", "Export", 20);
    put(&bench, "2026-11-23", "acme", "lou", "Export", 0);
    put(&bench, "2026-11-20", "acme", "kim", "Export", 99);
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(bench.catch_up().await, 2);
    assert_eq!((bench.sum(), bench.of("2026-11-23")), (21, Vec::<String>::new()));
    let last = queries(&bench).pop().expect("it was asked");
    assert!(last.contains("toDate('2026-11-21')") && last.contains("toDate('2026-11-23')"), "{last}");
}

#[tokio::test]
async fn a_query_of_ones_own_is_read_the_same_way() {
    let own = "SELECT day, company AS account, person AS user, name AS feature, n AS count FROM uses WHERE day >= {since} AND day <= {until};";
    let mut bench = bench_with(&json!({"query": own, "query_days": 100, "page_rows": 3}));
    for n in 0..10 {
        put(&bench, "2026-11-22", &format!("a{n}"), "kim", "Export", 1);
    }
    bench.catch_up().await;
    assert_eq!(bench.sum(), 10);
    assert!(queries(&bench)[0].contains("FROM (SELECT day, company AS account"), "{}", queries(&bench)[0]);
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
        let mut bench = bench_with(&json!({"page_rows": 5}));
        for n in 0..23 {
            put(&bench, "2026-11-22", &format!("a{n:02}"), "kim", "Export", 2);
        }
        bench.world.fail_next_operation(Vendor::PostHog, "query", 3, kind);
        bench.catch_up().await;
        assert_eq!((bench.cells.len(), bench.sum()), (23, 46), "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_refused_says_what_to_do() {
    let mut wrong = keyed("phx_wrong", &json!({}));
    assert!(matches!(wrong.fault().await, Fault::Locked { why } if why.contains("Invalid personal API key")));
    let mut narrow = keyed("phx_narrow", &json!({}));
    narrow.world.posthog(|desk, cx| desk.add_narrow_key("phx_narrow", cx));
    assert!(matches!(narrow.fault().await, Fault::Locked { why } if why.contains("query:read")));
    assert!(narrow.probe().await.is_err());
    let mut other =
        Bench::open(Kind::PostHog, Vendor::PostHog, &json!({"project": 1}), ("token", Vendor::PostHog.token()));
    assert!(matches!(other.fault().await, Fault::Locked { why } if why.contains("Project not found")));
    let mut broken = bench_with(&json!({}));
    broken.world.posthog(|desk, cx| desk.set_trouble(Some("Unable to resolve field: $group_0"), cx));
    assert!(matches!(broken.fault().await, Fault::Rejected { why, .. } if why.contains("$group_0")));
    assert!(broken.probe().await.expect_err("it is looked at").to_string().contains("$group_0"));
    let asked = queries(&broken).pop().expect("it was asked");
    assert!(
        asked.contains("$group_0 AS account") && asked.ends_with("LIMIT 1"),
        "the query that is read with: {asked}"
    );
    broken.world.posthog(|desk, cx| desk.set_trouble(None, cx));
    assert_eq!(broken.probe().await.expect("it works").account, "4711");
}

#[tokio::test]
async fn a_throttled_team_is_left_alone_as_long_as_it_says() {
    let mut bench = bench_with(&json!({}));
    bench.world.fail_next_operation(Vendor::PostHog, "query", 1, FailKind::Throttled);
    let fault = bench.fault().await;
    assert!(matches!(fault, Fault::Later { after: Some(after), .. } if after == Duration::from_secs(30)), "{fault}");
    let before = bench.sent.seen().len();
    assert!(matches!(bench.fault().await, Fault::Later { after: Some(_), .. }));
    assert_eq!(bench.sent.seen().len(), before, "our own gate is closed");
    bench.catch_up().await;
    assert_eq!(bench.connector.meter().throttled, 1);
}

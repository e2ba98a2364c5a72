//! The BigQuery connector against its stand-in. Every request is also checked against Google's discovery document.

use std::time::Duration;

use connectors::{Fault, Kind};
use sandbox::bigquery::Trouble;
use sandbox::google::ACCOUNT;
use sandbox::{FailKind, Vendor};
use serde_json::{Value, json};

use crate::usage::{Bench, KEY_ID, PUBLIC_KEY, check_google, key_file, used};

const QUERY: &str = "SELECT account, user, feature, day, count FROM product.usage WHERE day BETWEEN @since AND @until";

fn bench_with(more: &Value) -> Bench {
    let mut settings = json!({"project": "sandbox-project", "query": QUERY});
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    let bench = Bench::open(Kind::BigQuery, Vendor::BigQuery, &settings, ("service_account", &key_file(ACCOUNT)));
    assert!(bench.world.bigquery(|desk, cx| desk.register_key(ACCOUNT, KEY_ID, PUBLIC_KEY, cx)));
    bench
}

fn put(bench: &Bench, on: &str, account: &str, user: &str, count: u64) {
    bench.world.bigquery(|desk, cx| desk.put(used(on, account, user, "Export", count), cx));
}

fn done(bench: &Bench) {
    check_google(bench, "google-bigquery.v2.discovery.json");
}

fn operations(bench: &Bench, name: &str) -> u64 {
    bench.world.books(Vendor::BigQuery).by_operation.get(name).copied().unwrap_or(0)
}

#[tokio::test]
async fn every_row_comes_once_over_many_pages() {
    let mut bench = bench_with(&json!({"page_rows": 100}));
    for n in 0..950 {
        put(&bench, "2026-11-22", &format!("acct{n:04}"), "kim", n + 1);
    }
    bench.world.bigquery(|desk, cx| desk.put(used("2026-11-22", "", "lou", "Import", 3), cx));
    assert_eq!(bench.catch_up().await, 11, "ten pages, and the end");
    assert_eq!((bench.cells.len(), bench.sum()), (951, 950 * 951 / 2 + 3));
    assert!(bench.of("2026-11-22").contains(&"/lou Import: 3".to_owned()), "null is nobody's");
    assert_eq!((operations(&bench, "token"), operations(&bench, "jobs.query")), (1, 1));
    let asked = &bench.bodies("/queries")[0];
    assert_eq!((&asked["useLegacySql"], &asked["maximumBytesBilled"]), (&json!(false), &json!("10000000000")));
    assert_eq!(asked["queryParameters"][0]["parameterValue"]["value"], "2026-09-24");
    done(&bench);
}

#[tokio::test]
async fn the_last_days_are_read_again_and_replaced() {
    let mut bench = bench_with(&json!({}));
    put(&bench, "2026-11-10", "acme", "kim", 5);
    put(&bench, "2026-11-22", "acme", "kim", 7);
    put(&bench, "2026-11-23", "acme", "kim", 1);
    put(&bench, "2026-11-23", "quill", "tom", 4);
    bench.catch_up().await;
    assert_eq!(bench.sum(), 17);
    bench.clock.advance(Duration::from_secs(3600));
    // Rewritten within the days that settle; and one beyond, which is not asked for again.
    put(&bench, "2026-11-10", "acme", "kim", 500);
    put(&bench, "2026-11-22", "acme", "kim", 8);
    put(&bench, "2026-11-23", "acme", "kim", 2);
    put(&bench, "2026-11-23", "quill", "tom", 0);
    bench.catch_up().await;
    assert_eq!(bench.of("2026-11-10"), ["acme/kim Export: 5"]);
    assert_eq!(bench.of("2026-11-22"), ["acme/kim Export: 8"]);
    assert_eq!(bench.of("2026-11-23"), ["acme/kim Export: 2"], "what is not told any more is gone");
    let asked = bench.bodies("/queries");
    assert_eq!(asked[1]["queryParameters"][0]["parameterValue"]["value"], "2026-11-20");
    done(&bench);
}

#[tokio::test]
async fn a_long_query_is_waited_for_where_it_runs() {
    let mut bench = bench_with(&json!({"page_rows": 2}));
    bench.world.bigquery(|desk, cx| {
        desk.move_to("europe-west1", cx);
        desk.set_busy(3, cx);
    });
    for n in 0..5 {
        put(&bench, "2026-11-22", &format!("a{n}"), "", 1);
    }
    bench.catch_up().await;
    assert_eq!(bench.sum(), 5);
    assert_eq!(operations(&bench, "jobs.query"), 1);
    let lines = bench.sent.lines(0);
    let results: Vec<&String> = lines.iter().filter(|line| line.starts_with("GET ")).collect();
    assert!(results.len() >= 5 && results.iter().all(|line| line.contains("location=europe-west1")), "{results:?}");
    done(&bench);
}

#[tokio::test]
async fn whatever_fails_midway_costs_time_and_no_row_and_is_billed_once() {
    for kind in [
        FailKind::Unavailable,
        FailKind::ServerError,
        FailKind::Throttled,
        FailKind::CutBefore,
        FailKind::CutAfter,
        FailKind::ErrorAfter,
        FailKind::BadGatewayAfter,
    ] {
        for operation in ["token", "jobs.query", "jobs.getQueryResults"] {
            let mut bench = bench_with(&json!({"page_rows": 10}));
            for n in 0..35 {
                put(&bench, "2026-11-22", &format!("a{n:02}"), "kim", 2);
            }
            bench.world.fail_next_operation(Vendor::BigQuery, operation, 2, kind);
            bench.catch_up().await;
            assert_eq!((bench.cells.len(), bench.sum()), (35, 70), "{operation} {kind:?}");
            assert_eq!(bench.world.bigquery(|desk, _| desk.billed()), 12_000_000, "{operation} {kind:?}: billed twice");
        }
    }
}

#[tokio::test]
async fn a_job_that_is_gone_is_run_again_and_nothing_is_added_twice() {
    let mut bench = bench_with(&json!({"page_rows": 10}));
    for n in 0..25 {
        put(&bench, "2026-11-22", &format!("a{n:02}"), "kim", 2);
    }
    assert!(bench.page().await.expect("a page"));
    bench.clock.advance(Duration::from_secs(25 * 3600));
    bench.catch_up().await;
    assert_eq!((bench.cells.len(), bench.sum()), (25, 50));
    assert_eq!(operations(&bench, "jobs.query"), 2);
}

#[tokio::test]
async fn what_is_refused_says_what_to_do() {
    let refuse = |status: u16, reason: &str| Trouble::Refused(status, reason.into(), "as Google says".into());
    for (trouble, expect) in [
        (refuse(403, "accessDenied"), "locked"),
        (refuse(403, "quotaExceeded"), "later 3600"),
        (refuse(403, "rateLimitExceeded"), "later 10"),
        (refuse(400, "invalidQuery"), "rejected query"),
        (refuse(503, "backendError"), "later"),
        (Trouble::InAnswer("invalidQuery".into(), "as Google says".into()), "rejected query"),
        (Trouble::InAnswer("jobBackendError".into(), "as Google says".into()), "later"),
    ] {
        let mut bench = bench_with(&json!({}));
        bench.world.bigquery(|desk, cx| desk.set_trouble(Some(trouble.clone()), cx));
        let fault = bench.fault().await;
        let found = match &fault {
            Fault::Locked { .. } => "locked".to_owned(),
            Fault::Later { after: Some(after), .. } => format!("later {}", after.as_secs()),
            Fault::Later { after: None, .. } => "later".to_owned(),
            Fault::Rejected { field, .. } => format!("rejected {}", field.as_deref().unwrap_or_default()),
            Fault::Unknown { .. } => "unknown".to_owned(),
        };
        assert_eq!(found, expect, "{trouble:?}: {fault}");
        assert!(fault.to_string().contains("as Google says"), "{fault}");
    }
    let mut dear = bench_with(&json!({"max_bytes_billed": 1_000_000}));
    assert!(dear.fault().await.to_string().contains("max_bytes_billed"));
    let mut elsewhere = bench_with(&json!({"location": "US"}));
    assert!(matches!(elsewhere.fault().await, Fault::Locked { .. }));
    let mut short = bench_with(&json!({}));
    short.world.bigquery(|desk, cx| desk.set_columns(&["account", "feature", "day"], cx));
    put(&short, "2026-11-22", "acme", "kim", 1);
    assert!(short.fault().await.to_string().contains("no column `count`"));
    assert!(short.probe().await.expect_err("it lacks a column").to_string().contains("no column `count`"));
}

#[tokio::test]
async fn a_probe_runs_nothing_and_says_what_a_pull_reads() {
    let bench = bench_with(&json!({}));
    let identity = bench.probe().await.expect("it works");
    assert_eq!((identity.account.as_str(), identity.name.as_str()), ("sandbox-project", ACCOUNT));
    assert_eq!(identity.notes, ["a pull reads about 12 MB"]);
    assert_eq!(bench.world.bigquery(|desk, _| desk.billed()), 0);
    done(&bench);
}

#[tokio::test]
async fn tokens_are_renewed_and_a_key_that_is_not_taken_is_told() {
    let mut bench = bench_with(&json!({}));
    put(&bench, "2026-11-22", "acme", "kim", 1);
    bench.catch_up().await;
    bench.clock.advance(Duration::from_secs(2 * 3600));
    bench.catch_up().await;
    assert_eq!(operations(&bench, "token"), 2, "an hour is over");
    bench.clock.advance(Duration::from_secs(600));
    bench.world.bigquery(sandbox::bigquery::BigQuery::revoke_tokens);
    bench.catch_up().await;
    assert_eq!((operations(&bench, "token"), bench.sum()), (3, 1));
    bench.clock.advance(Duration::from_secs(2 * 3600));
    bench.world.bigquery(|desk, cx| desk.delete_account(ACCOUNT, cx));
    let fault = bench.fault().await;
    assert!(matches!(&fault, Fault::Locked { why } if why.contains("account not found")), "{fault}");
}

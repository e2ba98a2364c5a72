//! What the stand-in promises those who call it.

use serde_json::{Value, json};

use super::Trouble;
use crate::testing::Bench;
use crate::used::Used;
use crate::world::Vendor;

const PATH: &str = "/bigquery/v2/projects/sandbox-project/queries";

fn call(bench: &Bench, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let bearer = format!("Bearer {}", Vendor::BigQuery.token());
    let got = bench.call(Vendor::BigQuery, method, path, &[("authorization", &bearer)], body);
    (got.status, got.body)
}

fn query(more: &Value) -> Value {
    let mut query = json!({
        "query": "SELECT * FROM t WHERE day >= @since", "useLegacySql": false, "parameterMode": "NAMED",
        "queryParameters": [{"name": "since", "parameterType": {"type": "DATE"}, "parameterValue": {"value": "2026-09-01"}}],
    });
    query.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    query
}

fn fill(bench: &Bench, rows: u64) {
    bench.world.bigquery(|desk, cx| {
        for n in 0..rows {
            let day = "2026-09-20".parse().expect("a day");
            desk.put(Used::new(day, &format!("a{n}"), "", "export", n + 1), cx);
        }
        desk.put(Used::new("2026-08-01".parse().expect("a day"), "old", "", "export", 1), cx);
    });
}

#[test]
fn rows_are_texts_or_null_and_come_by_pages() {
    let bench = Bench::new(7);
    fill(&bench, 5);
    let (status, first) = call(&bench, "POST", PATH, Some(&query(&json!({"maxResults": 2}))));
    assert_eq!((status, &first["totalRows"], &first["jobComplete"]), (200, &json!("5"), &json!(true)));
    assert_eq!(
        first["rows"][0]["f"],
        json!([{"v": "a0"}, {"v": null}, {"v": "export"}, {"v": "2026-09-20"}, {"v": "1"}])
    );
    let (job, token) =
        (first["jobReference"]["jobId"].as_str().expect("a job"), first["pageToken"].as_str().expect("more"));
    let (status, next) = call(&bench, "GET", &format!("{PATH}/{job}?pageToken={token}&maxResults=10"), None);
    assert_eq!((status, next["rows"].as_array().map(Vec::len), next.get("pageToken")), (200, Some(3), None));
    assert_eq!(call(&bench, "GET", &format!("{PATH}/{job}?pageToken=BF9_other"), None).0, 400);
    bench.wait(24 * 3600);
    assert_eq!(call(&bench, "GET", &format!("{PATH}/{job}"), None).0, 404, "kept for a day");
}

#[test]
fn elsewhere_a_job_is_found_with_its_location_only() {
    let bench = Bench::new(7);
    bench.world.bigquery(|desk, cx| {
        desk.move_to("europe-west1", cx);
        desk.set_busy(1, cx);
    });
    let (_, told) = call(&bench, "POST", PATH, Some(&query(&json!({}))));
    assert_eq!((&told["jobComplete"], &told["jobReference"]["location"]), (&json!(false), &json!("europe-west1")));
    let job = told["jobReference"]["jobId"].as_str().expect("a job");
    assert_eq!(call(&bench, "GET", &format!("{PATH}/{job}"), None).0, 404);
    let (status, told) = call(&bench, "GET", &format!("{PATH}/{job}?location=europe-west1"), None);
    assert_eq!((status, &told["jobComplete"], told.get("rows")), (200, &json!(true), None));
    assert_eq!(call(&bench, "POST", PATH, Some(&query(&json!({"location": "US"})))).0, 404);
}

#[test]
fn what_bigquery_refuses_is_refused() {
    let bench = Bench::new(7);
    let reason = |more: Value| {
        let (status, told) = call(&bench, "POST", PATH, Some(&query(&more)));
        (status, told["error"]["errors"][0]["reason"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(reason(json!({"useLegacySql": true})), (400, "invalidQuery".into()));
    assert_eq!(reason(json!({"queryParameters": []})), (400, "invalidQuery".into()));
    assert_eq!(reason(json!({"query": "SELEC 1"})), (400, "invalidQuery".into()));
    assert_eq!(reason(json!({"query": ""})), (400, "required".into()));
    assert_eq!(reason(json!({"maximumBytesBilled": "1000"})), (400, "bytesBilledLimitExceeded".into()));
    assert_eq!(reason(json!({"requestId": "x".repeat(37)})), (400, "invalid".into()));
    bench
        .world
        .bigquery(|desk, cx| desk.set_trouble(Some(Trouble::Refused(403, "quotaExceeded".into(), "gone".into())), cx));
    assert_eq!(reason(json!({})), (403, "quotaExceeded".into()));
    bench.world.bigquery(|desk, cx| desk.set_trouble(None, cx));
    let other = call(&bench, "POST", "/bigquery/v2/projects/another/queries", Some(&query(&json!({}))));
    assert_eq!(other.0, 404);
    let no_token = bench.call(Vendor::BigQuery, "POST", PATH, &[], Some(&query(&json!({}))));
    assert_eq!((no_token.status, no_token.body["error"]["status"].as_str()), (401, Some("UNAUTHENTICATED")));
    for _ in 0..100 {
        call(&bench, "POST", PATH, Some(&query(&json!({"dryRun": true}))));
    }
    assert_eq!(reason(json!({})), (403, "rateLimitExceeded".into()));
    bench.wait(1);
    assert_eq!(reason(json!({})).0, 200);
}

#[test]
fn the_same_request_is_billed_once() {
    let bench = Bench::new(7);
    let ask = |id: &str| {
        call(&bench, "POST", PATH, Some(&query(&json!({"requestId": id})))).1["jobReference"]["jobId"].clone()
    };
    let first = ask("r1");
    assert_eq!((ask("r1") == first, ask("r2") == first), (true, false));
    bench.wait(15 * 60);
    assert_ne!(ask("r1"), first);
    assert_eq!(bench.world.bigquery(|desk, _| desk.billed()), 36_000_000);
}

#[test]
fn a_token_needs_an_assertion_that_holds() {
    let bench = Bench::new(7);
    let form = |body: &str| {
        let request = http::Request::builder().method("POST").uri("/token").body(bytes::Bytes::from(body.to_owned()));
        match bench.world.call(Vendor::BigQuery, request.expect("a request")) {
            crate::Reply::Answer { response, .. } => {
                let body: Value = serde_json::from_slice(response.body()).expect("JSON");
                (response.status().as_u16(), body["error"].as_str().unwrap_or_default().to_owned())
            }
            crate::Reply::Cut { .. } => panic!("nobody cuts"),
        }
    };
    assert_eq!(form("grant_type=client_credentials"), (400, "unsupported_grant_type".into()));
    let jwt = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    for assertion in ["", "a.b.c", "e30.e30.AAAA"] {
        assert_eq!(form(&format!("{jwt}{assertion}")), (400, "invalid_grant".into()), "{assertion}");
    }
}

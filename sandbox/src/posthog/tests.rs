//! What the stand-in promises those who call it.

use serde_json::{Value, json};

use crate::testing::{Bench, Got};
use crate::used::Used;
use crate::world::Vendor;

fn query(bench: &Bench, text: &str, refresh: &str) -> Got {
    let bearer = format!("Bearer {}", Vendor::PostHog.token());
    let body = json!({"query": {"kind": "HogQLQuery", "query": text}, "refresh": refresh});
    bench.call(Vendor::PostHog, "POST", "/api/projects/4711/query/", &[("authorization", &bearer)], Some(&body))
}

fn put(bench: &Bench, account: &str, user: &str, feature: &str, count: u64) {
    let day = "2026-09-20".parse().expect("a day");
    bench.world.posthog(|desk, cx| desk.put(Used::new(day, account, user, feature, count), cx));
}

fn select(condition: &str, limit: &str) -> String {
    format!(
        "SELECT d, a, f, u, c FROM (SELECT x FROM (SELECT toDate('2026-09-01'), toDate('2026-09-30'), ')')){condition} ORDER BY d, a, f, u{limit}"
    )
}

#[test]
fn a_keyset_is_understood() {
    let bench = Bench::new(7);
    for (account, user, count) in [("a", "u1", 1), ("a", "u2", 2), ("b's", "u1", 3), ("", "u9", 4)] {
        put(&bench, account, user, "export", count);
    }
    let rows = |condition: &str, limit: &str| {
        query(&bench, &select(condition, limit), "force_blocking").body["results"].clone()
    };
    assert_eq!(rows("", "").as_array().map(Vec::len), Some(4));
    assert_eq!(rows("", " LIMIT 1"), json!([["2026-09-20", "", "export", "u9", "4"]]));
    assert_eq!(
        rows(" WHERE d > '2026-09-20' OR (d = '2026-09-20' AND (a > 'a' OR (a = 'a' AND (u > 'u1'))))", "")
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    assert_eq!(rows(" WHERE a = 'b\\'s'", ""), json!([["2026-09-20", "b's", "export", "u1", "3"]]));
}

#[test]
fn without_a_limit_a_hundred_rows_come_and_the_cache_answers_unless_it_is_told_not_to() {
    let bench = Bench::new(7);
    for n in 0..150 {
        put(&bench, &format!("a{n:03}"), "u", "export", 1);
    }
    let got = query(&bench, &select("", ""), "blocking");
    assert_eq!((got.body["results"].as_array().map(Vec::len), &got.body["hasMore"]), (Some(100), &json!(true)));
    put(&bench, "a000", "u", "export", 9);
    let again = query(&bench, &select("", ""), "blocking");
    assert_eq!((&again.body["is_cached"], &again.body["results"][0][4]), (&json!(true), &json!("1")));
    assert_eq!(query(&bench, &select("", ""), "force_blocking").body["results"][0][4], "9");
}

#[test]
fn what_posthog_refuses_is_refused() {
    let bench = Bench::new(7);
    let code = |got: &Got| (got.status, got.body["code"].as_str().unwrap_or_default().to_owned());
    let call = |key: &str, path: &str, body: &Value| {
        bench.call(Vendor::PostHog, "POST", path, &[("authorization", &format!("Bearer {key}"))], Some(body))
    };
    let good = json!({"query": {"kind": "HogQLQuery", "query": "SELECT 1"}});
    let path = "/api/projects/4711/query/";
    assert_eq!(code(&call("phx_wrong", path, &good)), (401, "invalid_personal_api_key".into()));
    bench.world.posthog(|desk, cx| desk.add_narrow_key("phx_narrow", cx));
    assert_eq!(code(&call("phx_narrow", path, &good)), (403, "permission_denied".into()));
    let key = Vendor::PostHog.token();
    assert_eq!(code(&call(key, "/api/projects/1/query/", &good)), (404, "not_found".into()));
    assert_eq!(code(&call(key, path, &json!({"query": {"kind": "TrendsQuery"}}))), (400, "invalid_input".into()));
    for text in [
        "SELECT 2",
        &select(" WHERE x = 'a'", ""),
        &select(" WHERE a = 'b", ""),
        &select(" WHERE (a = 'b'", ""),
        &select("", " OFFSET 3"),
    ] {
        assert_eq!(code(&query(&bench, text, "force_blocking")), (400, "illegal_hogql".into()), "{text}");
    }
    assert_eq!(call(key, path, &good).status, 200);
    for _ in 0..240 {
        call(key, path, &good);
    }
    let refused = call(key, path, &good);
    assert_eq!((code(&refused), refused.header("retry-after")), ((429, "throttled".into()), "60"));
}

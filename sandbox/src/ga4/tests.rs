//! What the stand-in promises those who call it.

use serde_json::{Value, json};

use crate::testing::Bench;
use crate::used::Used;
use crate::world::Vendor;

fn call(bench: &Bench, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let bearer = format!("Bearer {}", Vendor::Ga4.token());
    let got = bench.call(Vendor::Ga4, method, path, &[("authorization", &bearer)], body);
    (got.status, got.body)
}

fn report(bench: &Bench, more: &Value) -> (u16, Value) {
    let mut asked = json!({
        "dateRanges": [{"startDate": "2026-09-01", "endDate": "today"}],
        "dimensions": [{"name": "date"}, {"name": "eventName"}, {"name": "customUser:company_id"}], "metrics": [{"name": "eventCount"}],
        "orderBys": [{"dimension": {"dimensionName": "customUser:company_id"}}],
    });
    asked.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    call(bench, "POST", "/v1beta/properties/123456789:runReport", Some(&asked))
}

fn put(bench: &Bench, on: &str, account: &str, user: &str, count: u64) {
    bench.world.ga4(|desk, cx| desk.put(Used::new(on.parse().expect("a day"), account, user, "export", count), cx));
}

#[test]
fn a_report_adds_up_over_what_is_not_asked_for() {
    let bench = Bench::new(7);
    let (status, empty) = report(&bench, &json!({}));
    assert_eq!((status, empty.get("rows"), empty.get("rowCount")), (200, None, None));
    put(&bench, "2026-09-20", "acme", "kim", 2);
    put(&bench, "2026-09-20", "acme", "lou", 3);
    put(&bench, "2026-09-20", "", "tom", 4);
    put(&bench, "2026-08-20", "acme", "kim", 99);
    let (_, told) = report(&bench, &json!({}));
    assert_eq!(told["rowCount"], 2);
    let row = |account: &str, count: &str| json!({"dimensionValues": [{"value": "20260920"}, {"value": "export"}, {"value": account}], "metricValues": [{"value": count}]});
    assert_eq!(told["rows"], json!([row("(not set)", "4"), row("acme", "5")]));
    let (_, page) = report(&bench, &json!({"limit": "1", "offset": 1, "returnPropertyQuota": true}));
    assert_eq!((&page["rows"], &page["rowCount"]), (&json!([row("acme", "5")]), &json!(2)));
    assert!(page["propertyQuota"]["tokensPerHour"]["remaining"].as_u64().is_some_and(|left| left > 39_000));
}

#[test]
fn what_ga4_refuses_is_refused() {
    let bench = Bench::new(7);
    let refused = |more: Value| {
        let (status, told) = report(&bench, &more);
        (status, told["error"]["status"].as_str().unwrap_or_default().to_owned())
    };
    let bad = || (400, "INVALID_ARGUMENT".to_owned());
    assert_eq!(refused(json!({"dimensions": [{"name": "customUser:nothing"}]})), bad());
    assert_eq!(refused(json!({"dimensions": vec![json!({"name": "date"}); 10]})), bad());
    assert_eq!(refused(json!({"metrics": [{"name": "visits"}]})), bad());
    assert_eq!(refused(json!({"limit": "250001"})), bad());
    assert_eq!(refused(json!({"dateRanges": [{"startDate": "today", "endDate": "yesterday"}]})), bad());
    let other = call(&bench, "POST", "/v1beta/properties/1:runReport", Some(&json!({})));
    assert_eq!((other.0, other.1["error"]["status"].as_str()), (403, Some("PERMISSION_DENIED")));
    assert_eq!(bench.call(Vendor::Ga4, "GET", "/v1beta/properties/123456789/metadata", &[], None).status, 401);
    bench.world.ga4(|desk, cx| desk.spend_tokens(40_000, cx));
    assert_eq!(refused(json!({})), (429, "RESOURCE_EXHAUSTED".to_owned()));
    bench.wait(3600);
    assert_eq!(report(&bench, &json!({})).0, 200);
}

#[test]
fn metadata_names_what_is_registered() {
    let bench = Bench::new(7);
    let names = |bench: &Bench| -> Vec<String> {
        let (_, told) = call(bench, "GET", "/v1beta/properties/123456789/metadata", None);
        let list = told["dimensions"].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|one| one["apiName"].as_str()).map(str::to_owned).collect()
    };
    assert_eq!(names(&bench), ["date", "eventName", "customUser:company_id", "customUser:user_id"]);
    bench.world.ga4(|desk, cx| desk.unregister("customUser:user_id", cx));
    assert_eq!(names(&bench).len(), 3);
}

use serde_json::{Value, json};

use super::{Capability, PAGE};
use crate::faults::FailKind;
use crate::testing::{Bench, Got, body};
use crate::world::Vendor;

fn ask(bench: &Bench, method: &str, path: &str, body: Option<&Value>) -> Got {
    let headers = [("authorization", "Bearer ntn_sandbox"), ("notion-version", "2025-09-03")];
    bench.call(Vendor::Notion, method, path, &headers, body)
}

/// A database with two properties; the ids of it and of its data source.
fn database(bench: &Bench, title: &str) -> (String, String) {
    let made = ask(
        bench,
        "POST",
        "/v1/databases",
        Some(&json!({
            "parent": { "type": "page_id", "page_id": PAGE }, "title": [{ "text": { "content": title } }],
            "initial_data_source": { "properties": { "Name": { "title": {} }, "Tag": { "select": { "options": [{ "name": "a" }] } } } },
            // Of older versions, and not looked at.
            "properties": { "Lost": { "number": {} } },
        })),
    );
    assert_eq!(made.status, 200, "{}", made.body);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&made.body["id"]), text(&made.body["data_sources"][0]["id"]))
}

fn row(bench: &Bench, source: &str, properties: &Value) -> Got {
    let body = json!({ "parent": { "data_source_id": source }, "properties": properties });
    ask(bench, "POST", "/v1/pages", Some(&body))
}

#[test]
fn every_answer_names_its_request_and_every_call_its_version() {
    let bench = Bench::new(1);
    let me = ask(&bench, "GET", "/v1/users/me", None);
    assert_eq!(me.body["bot"]["workspace_name"], "Lumen Example");
    assert_eq!(me.body["request_id"], me.header("x-notion-request-id"));
    let bare = bench.call(Vendor::Notion, "GET", "/v1/users/me", &[("authorization", "Bearer ntn_sandbox")], None);
    assert_eq!((bare.status, bare.body["code"].as_str()), (400, Some("missing_version")));
    let old = [("authorization", "Bearer ntn_sandbox"), ("notion-version", "2022-06-28")];
    assert_eq!(bench.call(Vendor::Notion, "GET", "/v1/users/me", &old, None).body["code"], "validation_error");
    let stranger = [("authorization", "Bearer other"), ("notion-version", "2025-09-03")];
    let refused = bench.call(Vendor::Notion, "GET", "/v1/users/me", &stranger, None);
    assert_eq!((refused.status, &refused.body["message"]), (401, &json!("API token is invalid.")));
}

#[test]
fn databases_and_data_sources_are_two_things() {
    let bench = Bench::new(1);
    let (database, source) = database(&bench, "Feedback");
    let read = ask(&bench, "GET", &format!("/v1/data_sources/{source}"), None);
    assert!(read.body["properties"].get("Lost").is_none(), "{}", read.body);
    assert_eq!(ask(&bench, "GET", &format!("/v1/data_sources/{database}"), None).status, 404);
    assert_eq!(ask(&bench, "GET", &format!("/v1/databases/{source}"), None).status, 404);
    let children = ask(&bench, "GET", &format!("/v1/blocks/{PAGE}/children"), None);
    assert_eq!(children.body["results"][0]["child_database"]["title"], "Feedback");
}

#[test]
fn times_are_told_to_the_minute_and_filtered_so() {
    let bench = Bench::new(1);
    let (_, source) = database(&bench, "Feedback");
    let made = row(&bench, &source, &json!({}));
    let at = made.body["last_edited_time"].as_str().unwrap_or_default().to_owned();
    assert!(at.ends_with(":00.000Z"), "{at}");
    let since = |at: &str| {
        let filter =
            json!({ "filter": { "timestamp": "last_edited_time", "last_edited_time": { "on_or_after": at } } });
        ask(&bench, "POST", &format!("/v1/data_sources/{source}/query"), Some(&filter)).body["results"]
            .as_array()
            .map_or(0, Vec::len)
    };
    assert_eq!(since(&at), 1);
    assert_eq!(since(&at.replace(":00.000Z", ":01.000Z")), 0);
}

#[test]
fn sizes_and_names_are_refused_in_notions_words() {
    let bench = Bench::new(1);
    let (_, source) = database(&bench, "Feedback");
    let title = |text: &str| json!({ "Name": { "title": [{ "text": { "content": text } }] } });
    for (properties, message) in [
        (
            title(&"x".repeat(2_001)),
            "body failed validation: body.properties.Name.title[0].text.content.length should be ≤ `2000`, instead was `2001`.",
        ),
        (
            json!({ "Name": { "title": vec![json!({ "text": { "content": "x" } }); 101] } }),
            "body failed validation: body.properties.Name.title.length should be ≤ `100`, instead was `101`.",
        ),
        (json!({ "Nope": { "number": 1 } }), "Nope is not a property that exists."),
        (json!({ "Tag": { "number": 1 } }), "Tag is expected to be select."),
        (json!({ "Tag": { "select": { "name": "a, b" } } }), "Invalid select option, commas not allowed: a, b"),
    ] {
        let refused = row(&bench, &source, &properties);
        assert_eq!((refused.status, refused.body["message"].as_str()), (400, Some(message)));
        assert_eq!(refused.body["code"], "validation_error");
    }
    assert_eq!(row(&bench, &source, &title(&"🐛".repeat(1_000))).status, 200, "2,000 units");
    assert_eq!(row(&bench, &source, &title(&"🐛".repeat(1_001))).status, 400);
    let rows = ask(&bench, "POST", &format!("/v1/data_sources/{source}/query"), None);
    assert_eq!(rows.body["results"].as_array().map(Vec::len), Some(1), "a refused page is not made");
}

#[test]
fn relations_go_both_ways_and_are_cut_at_25() {
    let bench = Bench::new(1);
    let ((_, feedback), (_, customers)) = (database(&bench, "Feedback"), database(&bench, "Customers"));
    let change = json!({ "properties": { "Customer": { "relation": {
        "data_source_id": customers, "type": "dual_property", "dual_property": { "synced_property_name": "Said" },
    } } } });
    assert_eq!(ask(&bench, "PATCH", &format!("/v1/data_sources/{feedback}"), Some(&change)).status, 200);
    let customer = row(&bench, &customers, &json!({})).body["id"].clone();
    let mut pages = Vec::new();
    for _ in 0..30 {
        let made = row(&bench, &feedback, &json!({ "Customer": { "relation": [{ "id": customer }] } }));
        pages.push(made.body["id"].clone());
    }
    let path = format!("/v1/pages/{}", customer.as_str().unwrap_or_default());
    let shown = ask(&bench, "GET", &path, None).body["properties"]["Said"].clone();
    assert_eq!((shown["relation"].as_array().map(Vec::len), &shown["has_more"]), (Some(25), &json!(true)));
    let items = |cursor: &str| {
        let property = shown["id"].as_str().unwrap_or_default();
        ask(&bench, "GET", &format!("{path}/properties/{property}?page_size=20{cursor}"), None).body
    };
    let first = items("");
    let second = items(&format!("&start_cursor={}", first["next_cursor"].as_str().unwrap_or_default()));
    let all: Vec<_> = [&first, &second]
        .iter()
        .filter_map(|page| page["results"].as_array())
        .flatten()
        .map(|item| item["relation"]["id"].clone())
        .collect();
    assert_eq!(all, pages);
    assert_eq!((&second["has_more"], &second["next_cursor"]), (&json!(false), &Value::Null));
    // One side of it goes, and so does the other.
    ask(&bench, "PATCH", &format!("/v1/data_sources/{feedback}"), Some(&json!({ "properties": { "Customer": null } })));
    assert!(ask(&bench, "GET", &path, None).body["properties"].get("Said").is_none());
}

#[test]
fn a_query_shows_so_many_rows_and_says_so() {
    let bench = Bench::new(1);
    let (_, source) = database(&bench, "Feedback");
    for _ in 0..12 {
        row(&bench, &source, &json!({}));
    }
    bench.world.notion(|desk, _| desk.set_query_cap(10));
    let query = |body: Value| ask(&bench, "POST", &format!("/v1/data_sources/{source}/query"), Some(&body)).body;
    let first = query(json!({ "page_size": 8 }));
    assert_eq!((&first["has_more"], &first["request_status"]["type"]), (&json!(true), &json!("complete")));
    let second = query(json!({ "page_size": 8, "start_cursor": first["next_cursor"] }));
    assert_eq!(second["results"].as_array().map(Vec::len), Some(2));
    assert_eq!(second["request_status"]["incomplete_reason"], "query_result_limit_reached");
    assert_eq!((&second["has_more"], &second["next_cursor"]), (&json!(false), &Value::Null));
}

#[test]
fn the_181st_call_of_a_minute_is_refused() {
    let bench = Bench::new(1);
    for _ in 0..180 {
        assert_eq!(ask(&bench, "GET", "/v1/users/me", None).status, 200);
    }
    bench.wait(20);
    let refused = ask(&bench, "GET", "/v1/users/me", None);
    assert_eq!((refused.status, refused.body["code"].as_str()), (429, Some("rate_limited")));
    assert_eq!((refused.header("retry-after"), &refused.body["additional_data"]["retry_after"]), ("40", &json!(40)));
    bench.wait(40);
    assert_eq!(ask(&bench, "GET", "/v1/users/me", None).status, 200);
}

#[test]
fn what_breaks_says_so_in_its_own_words_and_its_edge_in_html() {
    let bench = Bench::new(1);
    bench.world.fail_next(Vendor::Notion, 1, FailKind::ServerError);
    let broken = ask(&bench, "GET", "/v1/users/me", None);
    assert_eq!((broken.status, broken.body["code"].as_str()), (500, Some("internal_server_error")));
    assert_eq!(broken.body["request_id"], broken.header("x-notion-request-id"));
    bench.world.fail_next(Vendor::Notion, 1, FailKind::Unavailable);
    let edge = ask(&bench, "GET", "/v1/users/me", None);
    assert_eq!((edge.status, edge.header("content-type"), &edge.body), (503, "text/html", &Value::Null));
}

#[test]
fn what_is_not_shared_and_what_may_not_be_done() {
    let bench = Bench::new(1);
    let (_, source) = database(&bench, "Feedback");
    let page = row(&bench, &source, &json!({})).body["id"].as_str().unwrap_or_default().to_owned();
    bench.world.notion(|desk, _| desk.deny(&[Capability::UpdateContent]));
    let refused = ask(&bench, "PATCH", &format!("/v1/pages/{page}"), Some(&json!({})));
    assert_eq!((refused.status, refused.body["code"].as_str()), (403, Some("restricted_resource")));
    bench.world.notion(|desk, _| {
        desk.deny(&[]);
        desk.share(PAGE, false);
    });
    assert_eq!(ask(&bench, "GET", &format!("/v1/pages/{page}"), None).body["code"], "object_not_found");
}

#[test]
fn a_webhook_shakes_hands_and_then_tells_no_values() {
    let bench = Bench::new(1);
    let (_, source) = database(&bench, "Feedback");
    bench.world.notion(|desk, cx| desk.subscribe(cx, "https://loopd.example.com/hooks/notion"));
    let hand = bench.webhooks().remove(0);
    let token = body(&hand)["verification_token"].as_str().unwrap_or_default().to_owned();
    row(&bench, &source, &json!({}));
    assert!(bench.webhooks().is_empty(), "nothing before it is verified");
    assert!(!bench.world.notion(|desk, _| desk.verify_subscription("secret_other")));
    assert!(bench.world.notion(|desk, _| desk.verify_subscription(&token)));
    let page = bench.world.notion(|desk, cx| desk.add_row(cx, "Feedback", &json!({ "Name": "by hand" })));
    bench.world.notion(|desk, cx| desk.edit_row(cx, &page, &json!({ "Tag": "a" })));
    let events: Vec<Value> = bench.webhooks().iter().map(body).collect();
    assert_eq!(
        events.iter().map(|event| event["type"].as_str().unwrap_or_default()).collect::<Vec<_>>(),
        ["page.created", "page.properties_updated"]
    );
    assert_eq!(events[1]["entity"], json!({ "id": page, "type": "page" }));
    assert_eq!(events[1]["data"]["parent"]["data_source_id"], source.as_str());
    assert!(!events[1].to_string().contains("by hand"));
}

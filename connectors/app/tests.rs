//! The interface and its description say the same; keys, names and odd bytes.

use std::collections::BTreeSet;

use chrono::{TimeZone, Utc};
use http::{HeaderMap, HeaderName};
use serde_json::{Map, json};

use super::*;
use crate::testing::outside;

const KEY: &str = "pk_my_app_1";

fn app(settings: &Value) -> App {
    let outside = outside().2;
    open(settings, &Secrets::new(), &outside).expect("good settings")
}

fn plain() -> App {
    app(&json!({"key": KEY, "origins": ["https://app.example.com"]}))
}

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, 8, 0, 0).single().expect("a real date")
}

fn send(app: &App, headers: &[(&str, &str)], body: &[u8]) -> Result<Delivery, Refusal> {
    let name = |name: &str| name.parse::<HeaderName>().expect("a header");
    let headers: HeaderMap =
        headers.iter().map(|(header, value)| (name(header), value.parse().expect("a value"))).collect();
    Webhook::open(app, Request { headers: &headers, body }, now())
}

/// With the key, as JSON.
fn said(body: &Value) -> Result<Delivery, Refusal> {
    let body = serde_json::to_vec(body).expect("it is JSON");
    send(&plain(), &[("content-type", "application/json"), (KEY_HEADER, KEY)], &body)
}

fn record(body: &Value) -> Record {
    said(body).unwrap_or_else(|refusal| panic!("{refusal}: {body}")).records.remove(0)
}

/// The field that a refusal names, and what it says.
#[track_caller]
fn refused(body: &Value) -> (String, String) {
    match said(body) {
        Err(Refusal::Invalid { field, why, mend }) => (field, format!("{why}: {mend}")),
        other => panic!("{other:?}: {body}"),
    }
}

fn document() -> Value {
    serde_json::from_str(include_str!("openapi.json")).expect("the document is JSON")
}

fn examples() -> Vec<Value> {
    let document = document();
    let examples = &document["paths"]["/v1/feedback"]["post"]["requestBody"]["content"]["application/json"]["examples"];
    examples.as_object().expect("examples").values().map(|example| example["value"].clone()).collect()
}

/// A body of this kind that is taken.
fn of_kind(kind: &str) -> Value {
    examples().into_iter().find(|example| example["kind"] == kind).unwrap_or_else(|| panic!("no example of {kind}"))
}

fn with(mut body: Value, path: &[&str], value: Value) -> Value {
    let mut at = &mut body;
    for part in path {
        at = &mut at[*part];
    }
    *at = value;
    body
}

#[test]
fn every_example_of_the_document_is_taken() {
    let kinds: BTreeSet<String> =
        examples().iter().map(|body| body["kind"].as_str().unwrap_or_default().to_owned()).collect();
    let documented = document()["components"]["schemas"]["Feedback"]["properties"]["kind"]["enum"].clone();
    assert_eq!(json!(kinds.iter().collect::<Vec<_>>()), {
        let mut sorted: Vec<String> = serde_json::from_value(documented).expect("a list of kinds");
        sorted.sort();
        json!(sorted)
    });
    for body in examples() {
        let record = record(&body);
        assert_eq!(record.key.collection, COLLECTION);
        let kept = record.body.expect("a body");
        assert!(kept.get("key").is_none() && kept.get("idempotency_key").is_none(), "keys are not kept: {kept}");
    }
}

/// The limits, words and names of an object in the document are those of the code.
fn holds(schema: &Value, path: &[&str]) {
    let properties = schema["properties"].as_object().expect("properties");
    let names: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
    let inside = |name: &'static str| path.iter().copied().chain([name]).collect::<Vec<_>>();
    let (field, told) = refused(&with(of_kind("feedback"), &inside("nonsense"), json!("a")));
    assert_eq!(field, inside("nonsense").join("."));
    let told = told.split("known here: ").nth(1).and_then(|rest| rest.split(". ").next()).expect("what is known");
    assert_eq!(told.split(", ").collect::<BTreeSet<_>>(), names, "of {path:?}");
    for (name, property) in properties {
        let at: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        // The key must be one that there is, and these two have a form.
        if ["key", "at", "idempotency_key"].contains(&name.as_str()) {
            continue;
        }
        let body = |value: Value| with(of_kind("feedback"), &at, value);
        if let Some(words) = property["enum"].as_array() {
            for word in words {
                let kind = if name == "kind" { word.as_str().unwrap_or_default() } else { "thumbs" };
                record(&with(of_kind(kind), &at, word.clone()));
            }
            assert_eq!(refused(&body(json!("nonsense"))).0, at.join("."));
        } else if property["type"] == "object" {
            if property["properties"].is_object() {
                holds(property, &at);
            }
            assert_eq!(refused(&body(json!([]))).0, at.join("."));
        } else {
            let most = usize::try_from(property["maxLength"].as_u64().expect("a limit")).expect("small");
            record(&body(json!("é".repeat(most))));
            assert_eq!(refused(&body(json!("é".repeat(most + 1)))).0, at.join("."));
            assert_eq!(refused(&body(json!(true))).0, at.join("."));
            let number = said(&body(json!(7)));
            assert_eq!(number.is_ok(), property["type"] == json!(["string", "integer"]), "{at:?}: {number:?}");
        }
    }
}

#[test]
fn the_document_and_the_code_know_the_same_fields_words_and_limits() {
    let document = document();
    holds(&document["components"]["schemas"]["Feedback"], &[]);
    for asset in ASSETS {
        assert!(document["paths"][asset.path]["get"].is_object(), "{} is not described", asset.path);
    }
    for path in PATHS {
        assert!(document["paths"][path]["post"].is_object(), "{path} is not described");
    }
    let answer: Value = serde_json::from_str(ACCEPTED).expect("the answer is JSON");
    let described = &document["components"]["schemas"]["Accepted"];
    let names = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<BTreeSet<_>>());
    assert_eq!(names(&answer), names(&described["properties"]));
    for header in plain().headers().split(", ").filter(|header| *header != "content-type") {
        let parameters = document["paths"]["/v1/feedback"]["post"]["parameters"].as_array().expect("parameters");
        assert!(
            parameters
                .iter()
                .any(|parameter| parameter["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(header))),
            "{header} is not described"
        );
    }
}

#[test]
fn each_kind_needs_what_the_document_says_it_needs() {
    let rules = document()["components"]["schemas"]["Feedback"]["allOf"].clone();
    for rule in rules.as_array().expect("rules") {
        let about = &rule["if"]["properties"]["kind"];
        let kinds = about["enum"].as_array().cloned().unwrap_or_else(|| vec![about["const"].clone()]);
        for kind in kinds {
            let whole = of_kind(kind.as_str().expect("a kind"));
            let needed = rule["then"]["required"].as_array().cloned();
            let any = rule["then"]["anyOf"].as_array().cloned().unwrap_or_default();
            let needed = needed.unwrap_or_else(|| any.iter().map(|one| one["required"][0].clone()).collect());
            let mut bare = whole.clone();
            for field in &needed {
                bare[field.as_str().expect("a name")] = Value::Null;
            }
            let (field, told) = refused(&bare);
            assert!(
                needed.contains(&json!(field)) && told.contains("is missing"),
                "{kind} without {needed:?}: {field} {told}"
            );
            for field in &any {
                // One of them is enough.
                record(&with(bare.clone(), &[field["required"][0].as_str().expect("a name")], json!("a")));
            }
        }
    }
    let (field, _) = refused(&json!({"text": "  \n "}));
    assert_eq!(field, "text", "blanks say nothing");
    record(&json!({"text": "the default kind"}));
}

#[test]
fn metadata_is_free_and_small() {
    let metadata = |value: Value| json!({"text": "a", "metadata": value});
    record(&metadata(json!({"a": "text", "b": 1, "c": true, "d": null})));
    for bad in
        [json!({"a": {}}), json!({"a": []}), json!({"a": "x".repeat(501)}), json!({"x".repeat(65): 1}), json!("text")]
    {
        assert_eq!(refused(&metadata(bad)).0, "metadata");
    }
    let many: Map<String, Value> = (0..21).map(|at| (at.to_string(), json!(1))).collect();
    assert_eq!(refused(&metadata(Value::Object(many))).0, "metadata");
}

#[test]
fn a_piece_has_one_name_wherever_it_is_written() {
    let id = |headers: &[(&str, &str)], body: &Value| {
        let mut all = vec![(KEY_HEADER, KEY)];
        all.extend_from_slice(headers);
        send(&plain(), &all, &serde_json::to_vec(body).expect("JSON"))
            .map(|delivery| delivery.records[0].key.id.clone())
    };
    let body = json!({"text": "a"});
    assert_eq!(id(&[("idempotency-key", "k-1")], &body).as_deref(), Ok("k-1"));
    assert_eq!(id(&[("idempotency-key", "\"k-1\"")], &body).as_deref(), Ok("k-1"), "as the draft writes it");
    let inside = with(body.clone(), &["idempotency_key"], json!("k-1"));
    assert_eq!(id(&[], &inside).as_deref(), Ok("k-1"));
    assert_eq!(id(&[("idempotency-key", "k-1")], &inside).as_deref(), Ok("k-1"));
    for bad in ["k 1", "ké"] {
        assert!(id(&[], &with(body.clone(), &["idempotency_key"], json!(bad))).is_err(), "{bad}");
    }
    assert!(id(&[("idempotency-key", "k-2")], &inside).is_err(), "two names");
    assert!(id(&[("idempotency-key", &"k".repeat(201))], &body).is_err());
    // Without a name: known by what it says if it says when, else new each time.
    let timed = json!({"text": "a", "at": "2026-11-23T07:59:00Z"});
    assert_eq!(id(&[], &timed), id(&[], &timed));
    assert_ne!(id(&[], &timed), id(&[], &with(timed.clone(), &["text"], json!("b"))));
    let later = |seconds| {
        let body = serde_json::to_vec(&json!({"key": KEY, "text": "a"})).expect("JSON");
        let raw = Request { headers: &HeaderMap::new(), body: &body };
        Webhook::open(&plain(), raw, now() + chrono::TimeDelta::seconds(seconds)).expect("good").records[0]
            .key
            .id
            .clone()
    };
    assert_ne!(later(0), later(1));
}

#[test]
fn the_key_is_in_the_header_or_in_the_body() {
    let two = app(&json!({"keys": [KEY, "pk_my_app_2"]}));
    let body = |key: &str| serde_json::to_vec(&json!({"key": key, "text": "a"})).expect("JSON");
    assert!(send(&two, &[], &body(KEY)).is_ok() && send(&two, &[], &body("pk_my_app_2")).is_ok());
    for (headers, body) in [
        (vec![], body("pk_other_app")),
        (vec![(KEY_HEADER, "pk_other_app")], body(KEY)),
        (vec![], b"{\"text\":\"a\"}".to_vec()),
        (vec![], b"{\"key\":7,\"text\":\"a\"}".to_vec()),
        (vec![], b"{\"key\":\"pk_my_app_1\",\"key\":\"pk_my_app_1\",\"text\":\"a\"}".to_vec()),
        (vec![], b"not json".to_vec()),
    ] {
        assert_eq!(send(&two, &headers, &body).map_err(|refusal| refusal.status()).err(), Some(401));
    }
}

#[test]
fn a_beacon_is_taken_and_a_form_is_not() {
    let body = serde_json::to_vec(&json!({"key": KEY, "text": "a"})).expect("JSON");
    for good in ["text/plain;charset=UTF-8", "application/json; charset=utf-8", "application/vnd.ours+json", ""] {
        assert!(send(&plain(), &[("content-type", good)], &body).is_ok(), "{good}");
    }
    for bad in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/html"] {
        assert_eq!(send(&plain(), &[("content-type", bad)], &body).err(), Some(Refusal::ContentType), "{bad}");
    }
}

#[test]
fn half_an_emoji_loses_no_text() {
    let text = |inside: &str| {
        let body = format!("{{\"key\":\"{KEY}\",\"text\":\"{inside}\"}}");
        let delivery = send(&plain(), &[], body.as_bytes()).unwrap_or_else(|refusal| panic!("{refusal}: {body}"));
        delivery.records[0].body.as_ref().expect("a body")["text"].as_str().expect("a text").to_owned()
    };
    assert_eq!(text(r"cut \ud83d"), "cut \u{fffd}");
    assert_eq!(text(r"\udc4d first, \ud83d\udc4d whole"), "\u{fffd} first, 👍 whole");
    assert_eq!(text(r"\ud83d\ud83d\udc4d"), "\u{fffd}👍");
    assert_eq!(text(r"C:\\ud83d \ud83d"), "C:\\ud83d \u{fffd}", "an escaped backslash is no escape");
    assert!(matches!(send(&plain(), &[(KEY_HEADER, KEY)], b"{\"text\":\"\\ud8"), Err(Refusal::Malformed(_))));
}

#[test]
fn control_characters_are_left_out_and_lines_stay() {
    let body = record(&json!({"text": "a\u{0}b\u{1b}[31m\nc\td"})).body.expect("a body");
    assert_eq!(body["text"], "ab[31m\nc\td");
}

#[test]
fn a_time_that_cannot_be_is_not_believed() {
    let at = |at: &str| record(&json!({"text": "a", "at": at})).body.expect("a body").get("at").cloned();
    assert_eq!(at("2026-11-23T09:00:00+01:00"), Some(json!("2026-11-23T08:00:00.000Z")));
    assert_eq!(at("2026-11-23T08:05:00Z"), Some(json!("2026-11-23T08:05:00.000Z")));
    assert_eq!(at("2026-11-23T08:05:01Z"), None, "ahead");
    assert_eq!(at("1970-01-01T00:00:00Z"), None, "a clock that was never set");
    assert_eq!(refused(&json!({"text": "a", "at": "yesterday"})).0, "at");
}

#[test]
fn a_page_loses_its_query_and_only_a_page_is_a_link() {
    let seen = |settings: Value, url: &str| {
        let body = serde_json::to_vec(&json!({"key": KEY, "text": "a", "url": url})).expect("JSON");
        let record = send(&app(&settings), &[], &body).expect("good").records.remove(0);
        (record.url, record.body.expect("a body")["url"].as_str().map(str::to_owned))
    };
    let short = Some("https://app.example.com/orders".to_owned());
    let bare = json!({"key": KEY});
    assert_eq!(seen(bare.clone(), "https://app.example.com/orders?token=t#x"), (short.clone(), short));
    let whole = Some("https://app.example.com/?a=b".to_owned());
    assert_eq!(
        seen(json!({"key": KEY, "keep_url_query": true}), "https://app.example.com/?a=b"),
        (whole.clone(), whole)
    );
    for other in ["javascript:alert(1)", "myapp://orders"] {
        assert_eq!(seen(bare.clone(), other), (None, Some(other.to_owned())));
    }
}

#[test]
fn the_product_of_the_connection_is_written_into_the_record() {
    let body = serde_json::to_vec(&json!({"key": KEY, "text": "a"})).expect("JSON");
    let record = send(&app(&json!({"key": KEY, "product": "Console"})), &[], &body).expect("good").records.remove(0);
    assert_eq!(record.body.expect("a body")["product"], "Console");
}

#[test]
fn settings_that_cannot_be_meant_are_told_with_their_key() {
    for (settings, key) in [
        (json!({}), "key"),
        (json!({"key": "short"}), "key"),
        (json!({"keys": ["pk my app"]}), "keys"),
        (json!({"key": KEY, "origins": ["app.example.com"]}), "origins"),
        (json!({"key": KEY, "servers": ["10.0.0.0/99"]}), "servers"),
        (json!({"key": KEY, "max_body_bytes": 12}), "max_body_bytes"),
        (json!({"key": KEY, "per_key": {"calls": 1}}), "per_key"),
        (json!({"key": KEY, "product": " "}), "product"),
        (json!({"key": KEY, "base_url": "https://x.example"}), "base_url"),
    ] {
        let outside = outside().2;
        let error = open(&settings, &Secrets::new(), &outside).map(|_| ()).expect_err("it is wrong");
        assert_eq!(error.key.as_deref(), Some(key), "{error}");
    }
}

#[tokio::test]
async fn a_probe_calls_nobody_and_tells_what_is_open() {
    let notes = |settings: Value| async move { app(&settings).probe().await.expect("it is ours").notes.join(" ") };
    assert!(notes(json!({"key": KEY})).await.contains("no browser may send"));
    assert!(notes(json!({"key": KEY, "origins": ["*"]})).await.contains("any page"));
    assert_eq!(notes(json!({"key": KEY, "origins": ["https://app.example.com"]})).await, "");
}

#[test]
fn the_script_stays_small_and_needs_no_permission_of_the_page() {
    let script = include_str!("widget.js");
    assert!(script.len() < 9 * 1024, "{} bytes", script.len());
    for forbidden in ["eval(", "new Function", "innerHTML", "document.write", ".style.", "document.cookie"] {
        assert!(!script.contains(forbidden), "{forbidden}");
    }
}

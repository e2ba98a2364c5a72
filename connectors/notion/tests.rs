mod odd;

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;

use super::binding::Field;
use super::rich::{cut, pieces};
use super::types::{DataSource, bare};
use super::values::{self, canonical, fits, is_cut};
use super::*;
use crate::testing::{Script, StillClock, outside};
use crate::{CollectionShape, FieldKind, FieldShape, Key, Refusal, Request, Write, Written};

pub(super) const SOURCE: &str = "11111111-1111-4111-8111-111111111111";
pub(super) const DATABASE: &str = "22222222-2222-4222-8222-222222222222";
pub(super) const HOME: &str = "33333333-3333-4333-8333-333333333333";
pub(super) const ROW: &str = "44444444-4444-4444-8444-444444444444";
pub(super) const BOT: &str = "55555555-5555-4555-8555-555555555555";

fn field(kind: &str) -> Field {
    Field { id: "aB%3A1".into(), name: "A".into(), kind: kind.into(), ..Field::default() }
}

fn wanted(kind: &str, wanted: FieldKind) -> Field {
    Field { wanted: Some(wanted), ..field(kind) }
}

fn secrets(webhook: bool) -> Secrets {
    let mut secrets = Secrets::from([("token".into(), SecretString::from("ntn_invented"))]);
    if webhook {
        secrets.insert("webhook_secret".into(), SecretString::from("secret_invented"));
    }
    secrets
}

pub(super) fn notion(webhook: bool) -> (Notion, Arc<Script>, Arc<StillClock>) {
    let (script, clock, outside) = outside();
    let settings = json!({ "page": HOME, "quota": { "calls": 1000, "per_seconds": 1, "burst": 1000 } });
    let notion = open(&settings, &secrets(webhook), &outside).expect("opens");
    clock.warm_up();
    (notion, script, clock)
}

pub(super) fn source() -> Value {
    json!({
        "object": "data_source", "id": SOURCE, "title": [{ "plain_text": "Feedback" }],
        "parent": { "type": "database_id", "database_id": DATABASE },
        "properties": {
            "Summary": { "id": "title", "name": "Summary", "type": "title", "title": {} },
            "Severity": { "id": "aB%3A1", "name": "Severity", "type": "select", "select": { "options": [{ "id": "o1", "name": "High" }] } },
            "Status": { "id": "st", "name": "Status", "type": "status", "status": { "options": [{ "id": "o2", "name": "New" }] } },
            "ARR": { "id": "num", "name": "ARR", "type": "number", "number": {} },
            "Loopd ID": { "id": "key", "name": "Loopd ID", "type": "rich_text", "rich_text": {} },
            "Sum": { "id": "f", "name": "Sum", "type": "formula", "formula": {} },
        },
    })
}

pub(super) fn shape() -> Shape {
    let field = |name: &str, kind| FieldShape {
        name: name.into(),
        kind,
        options: Vec::new(),
        links_to: None,
        description: String::new(),
    };
    Shape {
        collections: vec![CollectionShape {
            name: "Feedback".into(),
            key: Some("Loopd ID".into()),
            fields: vec![
                field("Summary", FieldKind::Text),
                field("Severity", FieldKind::Select),
                field("Status", FieldKind::Select),
                field("ARR", FieldKind::Currency),
                field("Theme", FieldKind::Text),
            ],
        }],
    }
}

/// The calls that find the data source, answered.
pub(super) fn script_attach(script: &Script) {
    script.answer(200, &json!({ "object": "user", "id": BOT, "type": "bot", "bot": {} }));
    script.answer(
        200,
        &json!({ "results": [{ "object": "block", "id": DATABASE, "type": "child_database", "child_database": { "title": "Feedback" } }], "next_cursor": null, "has_more": false }),
    );
    script.answer(
        200,
        &json!({ "object": "database", "id": DATABASE, "data_sources": [{ "id": SOURCE, "name": "Feedback" }] }),
    );
    script.answer(200, &source());
}

pub(super) async fn attached(webhook: bool) -> (Notion, Arc<Script>, Arc<StillClock>) {
    let (notion, script, clock) = notion(webhook);
    script_attach(&script);
    notion.attach(&shape(), None, None).await.expect("attaches");
    script.take_asked();
    (notion, script, clock)
}

pub(super) fn write(target: Option<&str>, fields: &Value) -> Write {
    Write {
        external_id: "00000000-0000-4000-8000-000000000001".into(),
        target: target.map(String::from),
        fields: fields.as_object().cloned().unwrap_or_default(),
        tags: BTreeMap::new(),
    }
}

pub(super) fn refusal(status: u16, code: &str, message: &str) -> Value {
    json!({ "object": "error", "status": status, "code": code, "message": message, "request_id": "r-1" })
}

#[test]
fn settings_name_the_key_at_fault() {
    let outside = outside().2;
    for (settings, key) in [
        (json!({}), "page"),
        (json!({ "page": "Feedback" }), "page"),
        (json!({ "page": HOME, "version": "2022-06-28" }), "version"),
        (json!({ "page": HOME, "version": "latest" }), "version"),
        (json!({ "page": HOME, "overlap_seconds": 60 }), "overlap_seconds"),
        (json!({ "data_sources": { "Feedback": "there" } }), "data_sources"),
        (json!({ "page": HOME, "pgae": 1 }), "pgae"),
        (json!({ "page": HOME, "base_url": "notion.example" }), "base_url"),
    ] {
        let error = open(&settings, &secrets(false), &outside).err().expect("it is wrong");
        assert_eq!(error.key.as_deref(), Some(key), "{error}");
    }
    let error = open(&json!({ "page": HOME }), &Secrets::new(), &outside).err().expect("no token");
    assert_eq!(error.key.as_deref(), Some("token"));
    assert!(open(&json!({ "page": HOME, "base_url": "http://127.0.0.1:9/v1" }), &secrets(false), &outside).is_ok());
}

#[test]
fn values_are_spelt_as_notion_keeps_them() {
    for (field, given, kept) in [
        (field("title"), json!(" two\n\nlines "), json!("two lines")),
        (field("rich_text"), json!("a\r\nb"), json!("a\nb")),
        (field("rich_text"), json!(["x", "y"]), json!("x, y")),
        (field("rich_text"), json!(""), Value::Null),
        (field("number"), json!(3.0), json!(3)),
        (field("number"), json!("4.5"), json!(4.5)),
        (field("number"), json!("many"), json!("many")),
        (field("checkbox"), json!(false), Value::Null),
        (field("select"), json!(" a, b "), json!("a; b")),
        (field("multi_select"), json!(["b", "a,", "b", ""]), json!(["a;", "b"])),
        (field("relation"), json!([ROW.replace('-', "").to_uppercase()]), json!([ROW])),
        (field("url"), json!(" https://x.example "), json!("https://x.example")),
        (field("date"), json!("2026-11-20"), json!("2026-11-20")),
        (field("date"), json!("2026-11-20T10:00:59+01:00"), json!("2026-11-20T09:00:00.000Z")),
        (wanted("date", FieldKind::Date), json!("2026-11-20T23:30:00-08:00"), json!("2026-11-20")),
        (wanted("date", FieldKind::DateTime), json!("2026-11-20"), json!("2026-11-20T00:00:00.000Z")),
        (wanted("people", FieldKind::Text), json!(["Carol", "Bob"]), json!("Bob, Carol")),
        (field("place"), json!({ "lat": 1.0 }), json!({ "lat": 1.0 })),
    ] {
        assert_eq!(canonical(Some(&field), given.clone()), kept, "{field:?} {given}");
        assert_eq!(canonical(Some(&field), kept.clone()), kept, "twice is once: {field:?}");
    }
}

#[test]
fn properties_are_read_by_their_type() {
    let text = |text: &str| json!([{ "plain_text": text }, { "text": { "content": "!" } }]);
    for (kind, property, value) in [
        ("title", json!({ "type": "title", "title": text("a") }), json!("a!")),
        ("status", json!({ "type": "status", "status": { "name": "Done" } }), json!("Done")),
        ("select", json!({ "type": "select", "select": null }), Value::Null),
        ("date", json!({ "type": "date", "date": { "start": "2026-01-02", "end": null } }), json!("2026-01-02")),
        (
            "people",
            json!({ "type": "people", "people": [{ "id": "u1" }, { "name": "Carol" }] }),
            json!(["Carol", "u1"]),
        ),
        ("files", json!({ "type": "files", "files": [{ "name": "a.png" }] }), json!(["a.png"])),
        ("unique_id", json!({ "type": "unique_id", "unique_id": { "prefix": "F", "number": 7 } }), json!("F-7")),
        ("formula", json!({ "type": "formula", "formula": { "type": "number", "number": 2.0 } }), json!(2)),
        (
            "formula",
            json!({ "type": "formula", "formula": { "type": "date", "date": { "start": "2026-01-02" } } }),
            json!("2026-01-02"),
        ),
        (
            "rollup",
            json!({ "type": "rollup", "rollup": { "type": "array", "array": [{ "type": "number", "number": 1 }] } }),
            json!([1]),
        ),
        ("created_by", json!({ "type": "created_by", "created_by": { "id": "u1" } }), json!("u1")),
        // Retyped meanwhile.
        ("select", json!({ "type": "rich_text", "rich_text": text("b") }), json!("b!")),
        ("number", json!({}), Value::Null),
    ] {
        assert_eq!(values::read(&field(kind), &property), value, "{kind} {property}");
    }
}

#[test]
fn what_a_page_cuts_is_noticed() {
    let list = |n: usize| vec![json!({ "plain_text": "x" }); n];
    assert!(is_cut(&json!({ "type": "relation", "relation": [], "has_more": true })));
    assert!(!is_cut(&json!({ "type": "relation", "relation": list(25), "has_more": false })));
    assert!(is_cut(&json!({ "type": "rich_text", "rich_text": list(25) })));
    assert!(!is_cut(&json!({ "type": "rich_text", "rich_text": list(24) })));
    assert!(!is_cut(&json!({ "type": "multi_select", "multi_select": list(30) })));
}

#[test]
fn a_list_of_addresses_can_be_clicked_and_what_customers_write_cannot() {
    let links = pieces("https://a.example/1\nhttp://b.example/2");
    let link = |url: &str| json!({ "type": "text", "text": { "content": url, "link": { "url": url } } });
    let end = json!({ "type": "text", "text": { "content": "\n" } });
    assert_eq!(links, json!([link("https://a.example/1"), end, link("http://b.example/2")]));
    for text in ["see https://a.example/1", "https://a.example/1\n", "javascript:alert(1)", "https://a.example/1 now"] {
        assert_eq!(pieces(text), json!([{ "type": "text", "text": { "content": text } }]));
    }
    // A page shows 25 pieces: more addresses are plain text, and are read in one call all the same.
    let lines = |n: usize| vec!["https://a.example/1"; n].join("\n");
    assert_eq!(pieces(&lines(12)).as_array().map(Vec::len), Some(23));
    assert_eq!(pieces(&lines(13)).as_array().map(Vec::len), Some(1));
}

#[test]
fn texts_are_parted_between_letters() {
    let text = format!("{}🐛{}", "x".repeat(1_999), "y".repeat(2_000));
    let parts = pieces(&text);
    let parts: Vec<&str> =
        parts.as_array().expect("pieces").iter().filter_map(|piece| piece["text"]["content"].as_str()).collect();
    assert_eq!(parts.concat(), text);
    assert_eq!(parts.iter().map(|part| part.encode_utf16().count()).collect::<Vec<_>>(), [1_999, 2_000, 2]);
    assert_eq!(pieces(""), json!([]));
    for long in ["🐛".repeat(100_001), "x".repeat(200_001), "é".repeat(80_000)] {
        let kept = cut(long.clone());
        assert!(kept.contains("[cut by loopd: "), "{}", long.len());
        assert!(pieces(&kept).as_array().is_some_and(|pieces| pieces.len() <= 100));
        assert!(kept.len() <= 150_000);
        assert_eq!(cut(kept.clone()), kept, "twice is once");
    }
}

#[test]
fn what_does_not_fit_says_why() {
    for (kind, value, why) in [
        ("number", json!("3"), "a number"),
        ("checkbox", json!("yes"), "true or false"),
        ("select", json!(["a"]), "one option's name"),
        ("multi_select", json!("a"), "a list of options"),
        ("multi_select", json!(vec!["a"; 101]), "at most 100"),
        ("relation", json!(["rec1"]), "a list of page ids"),
        ("date", json!("soon"), "a day or an instant"),
        ("url", json!("x".repeat(2_001)), "2,000"),
        ("email", json!("x".repeat(201)), "200"),
        ("title", json!(7), "text"),
        ("formula", json!(1), "computed"),
        ("files", json!(["a"]), "not written"),
        ("people", json!(["a"]), "set in Notion"),
        ("place", json!("x"), "does not know"),
    ] {
        let told = fits(&field(kind), &value, true).expect_err(kind);
        assert!(told.contains(why), "{kind}: {told}");
    }
    assert_eq!(fits(&field("date"), &Value::Null, true), Ok(json!({ "date": null })));
    assert_eq!(fits(&field("rich_text"), &Value::Null, true), Ok(json!({ "rich_text": [] })));
    assert_eq!(fits(&field("checkbox"), &Value::Null, true), Ok(json!({ "checkbox": false })));
    assert!(fits(&field("select"), &json!("New"), false).is_err_and(|why| why.contains("option New is missing")));
}

#[tokio::test]
async fn attaching_finds_the_data_source_and_forgets_nothing_on_the_way() {
    let (notion, script, _) = notion(false);
    // The quota, or Notion, says "later" in the middle: what was read is not read again.
    script.answer(200, &json!({ "object": "user", "id": BOT }));
    script.answer(502, &Value::Null);
    assert!(notion.attach(&shape(), None, None).await.is_err());
    script.answer(200, &json!({ "results": [{ "id": DATABASE, "child_database": { "title": "feedback" } }] }));
    script.answer(200, &json!({ "id": DATABASE, "data_sources": [{ "id": SOURCE, "name": "x" }] }));
    script.answer(200, &source());
    let binding = notion.attach(&shape(), None, None).await.expect("attaches");
    assert_eq!(
        script.lines(),
        [
            "GET /v1/users/me".to_owned(),
            format!("GET /v1/blocks/{HOME}/children?page_size=100"),
            format!("GET /v1/blocks/{HOME}/children?page_size=100"),
            format!("GET /v1/databases/{DATABASE}"),
            format!("GET /v1/data_sources/{SOURCE}"),
        ]
    );
    assert_eq!(binding["tables"]["Feedback"]["missing"]["Theme"], "there is no property Theme in Feedback");
    assert_eq!(notion.binding().me.as_deref(), Some(BOT));
    // Known by id from now on.
    script.take_asked();
    script.answer(200, &json!({ "object": "user", "id": BOT }));
    script.answer(200, &source());
    notion.attach(&shape(), None, Some(&binding)).await.expect("attaches");
    assert_eq!(script.lines().len(), 2);
}

#[tokio::test]
async fn a_page_is_written_by_property_ids() {
    let (notion, script, _) = attached(false).await;
    script.answer(200, &json!({ "id": ROW, "properties": {} }));
    let fields = json!({ "Severity": "High", "ARR": 3.0, "Theme": "x" });
    let verdict = notion.write_one("Feedback", &write(None, &fields)).await.expect("stored");
    let Written::Stored(receipt) = verdict else { panic!("it is there") };
    // The answer says 200 and shows nothing of it.
    assert_eq!(receipt.skipped.keys().collect::<Vec<_>>(), ["ARR", "Severity", "Theme"]);
    let asked = script.take_asked().remove(0);
    assert_eq!((asked.method().as_str(), asked.uri().path()), ("POST", "/v1/pages"));
    assert_eq!(asked.headers()["notion-version"], "2025-09-03");
    let body: Value = serde_json::from_slice(asked.body()).expect("JSON");
    assert_eq!(body["parent"], json!({ "type": "data_source_id", "data_source_id": SOURCE }));
    assert_eq!(
        body["properties"],
        json!({
            "aB%3A1": { "select": { "name": "High" } }, "num": { "number": 3 },
            "key": { "rich_text": [{ "type": "text", "text": { "content": "00000000-0000-4000-8000-000000000001" } }] },
        })
    );
    // Nothing that can be written: no call.
    let verdict = notion.write_one("Feedback", &write(Some(ROW), &json!({ "Theme": "x" }))).await;
    assert!(matches!(verdict, Ok(Written::Stored(receipt)) if receipt.skipped.contains_key("Theme")));
    assert_eq!(script.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn every_status_of_a_write_is_a_decision() {
    let (notion, script, clock) = attached(false).await;
    let change = json!({ "Severity": "High", "Status": "Parked" });
    let mut table = vec![
        (409, refusal(409, "conflict_error", "Conflict occurred while saving."), "later"),
        (429, refusal(429, "rate_limited", "x"), "later"),
        (529, refusal(529, "service_overload", "x"), "later"),
        (500, refusal(500, "internal_server_error", "x"), "unknown"),
        (502, Value::Null, "unknown"),
        (503, refusal(503, "service_unavailable", "x"), "unknown"),
        (504, refusal(504, "gateway_timeout", "x"), "unknown"),
        (401, refusal(401, "unauthorized", "API token is invalid."), "locked"),
        (403, refusal(403, "restricted_resource", "x"), "locked"),
        (400, refusal(400, "missing_version", "x"), "locked"),
        (301, Value::Null, "locked"),
        (400, refusal(400, "validation_error", "Status option \"Parked\" does not exist."), "rejected(Status)"),
        (
            400,
            refusal(400, "validation_error", "body failed validation: body.properties.aB%3A1.select.name is bad."),
            "rejected(Severity)",
        ),
        (400, refusal(400, "validation_error", "something else"), "rejected"),
        (413, refusal(413, "validation_error", "too large"), "rejected"),
        (400, refusal(400, "validation_error", "Can't edit block that is archived."), "gone"),
        (404, refusal(404, "object_not_found", &format!("Could not find page with ID: {ROW}.")), "unknown"),
        (400, refusal(400, "validation_error", "Severity is not a property that exists."), "later"),
    ];
    let mut blocked = refusal(429, "rate_limited", "x");
    blocked["additional_data"] = json!({ "rate_limit_reason": "public_api_request_blocked" });
    table.push((429, blocked, "locked"));
    for (status, body, expected) in table {
        script.answer(status, &body);
        let verdict = notion.write_one("Feedback", &write(Some(ROW), &change)).await;
        let got = match &verdict {
            Err(Fault::Later { .. }) => "later".to_owned(),
            Err(Fault::Unknown { .. }) => "unknown".into(),
            Err(Fault::Locked { .. }) => "locked".into(),
            Err(Fault::Rejected { field, .. }) => {
                field.as_ref().map_or("rejected".into(), |field| format!("rejected({field})"))
            }
            Ok(Written::Gone) => "gone".into(),
            Ok(Written::Stored(_)) => "stored".into(),
        };
        assert_eq!(got, expected, "{status} {body}: {verdict:?}");
        clock.advance(70);
    }
    // The last refusal: the field is left out from then on, until the schema is read.
    script.take_asked();
    script.answer(200, &json!({ "id": ROW, "properties": {} }));
    let verdict = notion.write_one("Feedback", &write(Some(ROW), &change)).await;
    assert!(
        matches!(verdict, Ok(Written::Stored(receipt)) if receipt.skipped["Severity"].contains("not a property that exists"))
    );
}

#[tokio::test]
async fn what_the_edge_refuses_again_and_again_is_a_dead_letter() {
    let (notion, script, _) = attached(false).await;
    let html = || {
        ::http::Response::builder()
            .status(403)
            .header("cf-ray", "9a-FRA")
            .body(bytes::Bytes::from_static(b"<html>Attention Required</html>"))
            .expect("a response")
    };
    let mut verdicts = Vec::new();
    for _ in 0..3 {
        script.put(Ok(html()));
        verdicts.push(notion.write_one("Feedback", &write(Some(ROW), &json!({ "ARR": 1 }))).await);
    }
    assert!(
        matches!(&verdicts[..2], [Err(Fault::Unknown { why }), Err(Fault::Unknown { .. })] if why.contains("9a-FRA")),
        "{verdicts:?}"
    );
    assert!(matches!(&verdicts[2], Err(Fault::Rejected { .. })), "{verdicts:?}");
    script.put(Ok(html()));
    assert!(matches!(notion.whole(&notion.table("Feedback").expect("bound"), ROW).await, Err(Fault::Later { .. })));
}

#[tokio::test]
async fn retry_after_is_obeyed_wherever_it_stands() {
    for (headers, more, wait) in [
        (vec![("retry-after", "7")], Value::Null, 7),
        (vec![], json!({ "rate_limit_reason": "public_api_space_request_rate_limit", "retry_after": 90 }), 90),
        (vec![], Value::Null, 60),
    ] {
        let (notion, script, _) = attached(false).await;
        let mut body = refusal(429, "rate_limited", "x");
        body["additional_data"] = more;
        script.answer_with(429, &headers, &body);
        let verdict = notion.write_one("Feedback", &write(Some(ROW), &json!({ "ARR": 1 }))).await;
        let expected = Duration::from_secs(wait);
        assert!(matches!(verdict, Err(Fault::Later { after: Some(after), .. }) if after == expected), "{verdict:?}");
        assert_eq!(notion.wait(), Some(expected), "the gate is closed for all");
    }
}

fn signed(body: &str, secret: &str) -> ::http::HeaderMap {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut headers = ::http::HeaderMap::new();
    headers.insert("x-notion-signature", format!("sha256={hex}").parse().expect("a header"));
    headers
}

#[tokio::test]
async fn events_say_what_to_fetch() {
    let (notion, _, clock) = attached(true).await;
    let open = |event: &Value| {
        let body = event.to_string();
        let headers = signed(&body, "secret_invented");
        notion.open(Request { headers: &headers, body: body.as_bytes() }, clock.now())
    };
    let event = |kind: &str, author: &str, parent: Value| {
        json!({
            "id": "e1", "type": kind, "authors": [{ "id": author, "type": "person" }],
            "entity": { "id": ROW, "type": "page" }, "data": { "parent": parent },
        })
    };
    let ours = || json!({ "id": DATABASE, "type": "database", "data_source_id": SOURCE });
    let of_version_2022 = || json!({ "id": DATABASE.replace('-', ""), "type": "database" });
    let elsewhere = || json!({ "id": DATABASE, "type": "database", "data_source_id": HOME });
    let fetch = vec![Key::new("Feedback", ROW)];
    for (kind, author, parent, expected) in [
        ("page.properties_updated", ROW, ours(), true),
        ("page.created", ROW, of_version_2022(), true),
        ("page.deleted", BOT, ours(), true),
        ("page.moved", ROW, elsewhere(), true),
        ("page.properties_updated", BOT, ours(), false),
        ("page.properties_updated", ROW, elsewhere(), false),
        ("page.content_updated", ROW, ours(), false),
        ("comment.created", ROW, ours(), false),
        ("view.updated", ROW, ours(), false),
        ("something.new", ROW, ours(), false),
    ] {
        let delivery = open(&event(kind, author, parent)).expect("signed");
        assert_eq!(delivery.fetch, if expected { fetch.clone() } else { Vec::new() }, "{kind}");
        assert!(delivery.records.is_empty() && delivery.notice.is_none());
    }
    // Two did it: one of them is not us.
    let mut mixed = event("page.properties_updated", BOT, ours());
    mixed["authors"] = json!([{ "id": BOT, "type": "bot" }, { "id": ROW, "type": "person" }]);
    assert_eq!(open(&mixed).expect("signed").fetch, fetch);
    // It says too little: a poll, and one that does not wait.
    let vague = event("page.properties_updated", ROW, Value::Null);
    assert_eq!(open(&vague).expect("signed").pull, ["modified"]);
    assert!(notion.look_now.load(Ordering::Relaxed));
    assert!(!notion.wants_attach());
    open(&json!({ "id": "e2", "type": "data_source.content_updated" })).expect("signed");
    assert!(!notion.wants_attach());
    open(&json!({ "id": "e3", "type": "data_source.schema_updated" })).expect("signed");
    assert!(notion.wants_attach());
}

#[tokio::test]
async fn a_signature_is_over_the_bytes() {
    let (notion, _, clock) = attached(true).await;
    // HMAC-SHA256 of the body with the key, as `openssl dgst -sha256 -hmac` says it.
    let body = br#"{"id":"e1","type":"page.created"}"#;
    let good = signed(std::str::from_utf8(body).expect("text"), "secret_invented");
    assert!(notion.open(Request { headers: &good, body }, clock.now()).is_ok());
    let spaced = br#"{"id": "e1","type":"page.created"}"#;
    assert_eq!(
        notion.open(Request { headers: &good, body: spaced }, clock.now()).err(),
        Some(Refusal::Forged("X-Notion-Signature does not match"))
    );
    let none = ::http::HeaderMap::new();
    assert_eq!(
        notion.open(Request { headers: &none, body }, clock.now()).err(),
        Some(Refusal::Forged("no X-Notion-Signature"))
    );
    let list = signed("[]", "secret_invented");
    assert!(matches!(notion.open(Request { headers: &list, body: b"[]" }, clock.now()), Err(Refusal::Malformed(_))));
    assert_eq!(bare("aB%3A1"), "aB:1");
    assert!(DataSource::read(&json!({ "id": SOURCE })).is_none());
}

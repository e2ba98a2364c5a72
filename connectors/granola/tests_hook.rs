//! Granola's webhooks: what they bring, whose they are, and the endpoint that they come by.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::Mac as _;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::Granola;
use super::tests::{A, SECRET, granola, opened};
use crate::http::Broken;
use crate::testing::Script;
use crate::{Connector, Delivery, Fault, Refusal, Request, Shape, Webhook};

const URL: &str = "https://loopd.example/hooks/granola";

fn signed(secret: &str, id: &str, at: i64, body: &str) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn receive(granola: &Granola, headers: &[(&'static str, String)], body: &str, now: i64) -> Result<Delivery, Refusal> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_str(value).expect("a header"));
    }
    let now: DateTime<Utc> = DateTime::from_timestamp(now, 0).expect("a time");
    granola.open(Request { headers: &map, body: body.as_bytes() }, now)
}

fn headers(secret: &str, body: &str) -> Vec<(&'static str, String)> {
    vec![
        ("webhook-id", "msg_1".into()),
        ("webhook-timestamp", "1763856001".into()),
        ("webhook-signature", signed(secret, "msg_1", 1_763_856_001, body)),
    ]
}

fn event(kind: &str) -> String {
    json!({"event_id": "e1", "event_type": kind, "note_id": A, "occurred_at": "2026-11-23T00:00:00Z"}).to_string()
}

#[test]
fn a_delivery_names_a_note_to_look_at() {
    let (granola, ..) = granola();
    for (kind, fetch, pulled) in [
        ("note.generated", 1, 0),
        ("note.edited", 1, 0),
        ("note.access_granted", 1, 1),
        ("note.of_a_kind_yet_to_come", 1, 0),
        ("folder.renamed", 0, 0),
    ] {
        let body = event(kind);
        let delivery = receive(&granola, &headers(SECRET, &body), &body, 1_763_856_100).expect("it is Granola's");
        assert_eq!((delivery.id.as_str(), delivery.fetch.len(), delivery.pull.len()), ("e1", fetch, pulled), "{kind}");
        assert!(delivery.records.is_empty());
    }
    for malformed in [
        "[]",
        "{}",
        "not json",
        r#"{"event_type": "note.edited"}"#,
        r#"{"event_type": "note.edited", "note_id": "../x"}"#,
    ] {
        let refusal = receive(&granola, &headers(SECRET, malformed), malformed, 1_763_856_001).expect_err("malformed");
        assert!(matches!(refusal, Refusal::Malformed(_)), "{malformed}: {refusal}");
    }
}

#[test]
fn one_of_several_signatures_is_enough_and_none_is_not() {
    let (granola, ..) = granola();
    let body = event("note.edited");
    let good = signed(SECRET, "msg_1", 1_763_856_001, &body);
    let with = |name: &str, value: &str| {
        let mut headers = headers(SECRET, &body);
        headers.retain(|(known, _)| *known != name || !value.is_empty());
        for header in &mut headers {
            if header.0 == name {
                header.1 = value.to_owned();
            }
        }
        receive(&granola, &headers, &body, 1_763_856_001)
    };
    for fine in [good.clone(), format!("v1,AAAA {good}"), format!("v2,{good} {good} v1a,x"), format!("  {good}  ")] {
        assert!(with("webhook-signature", &fine).is_ok(), "{fine}");
    }
    for forged in ["v1,AAAA", "v1,", "v1", good.trim_start_matches("v1,"), &format!("v2,{}", &good[3..])] {
        assert!(matches!(with("webhook-signature", forged), Err(Refusal::Forged(_))), "{forged}");
    }
    for (name, value) in [
        ("webhook-id", "msg_2"),
        ("webhook-timestamp", "1763856002"),
        ("webhook-id", ""),
        ("webhook-timestamp", ""),
        ("webhook-signature", ""),
    ] {
        assert!(matches!(with(name, value), Err(Refusal::Forged(_))), "{name} {value}");
    }
    assert!(matches!(
        receive(&granola, &headers(SECRET, &body), &format!("{body} "), 1_763_856_001),
        Err(Refusal::Forged(_))
    ));
    for (now, fine) in [(1_763_856_301, true), (1_763_855_701, true), (1_763_856_302, false), (1_763_855_700, false)] {
        let outcome = receive(&granola, &headers(SECRET, &body), &body, now);
        assert_eq!(outcome.is_ok(), fine, "{outcome:?}");
        assert!(fine || matches!(outcome, Err(Refusal::Stale { .. })));
    }
}

fn endpoint(id: &str, url: &str, enabled: bool) -> Value {
    json!({"id": id, "object": "webhook_endpoint", "url": url, "url_redacted": false, "enabled": enabled})
}

#[tokio::test]
async fn an_endpoint_is_made_once_kept_and_mended() {
    let fresh = || opened(&json!({}), &[("token", "grn_a_b")]);
    let (granola, script, _) = fresh();
    let body = event("note.edited");
    assert!(matches!(receive(&granola, &headers(SECRET, &body), &body, 1_763_856_001), Err(Refusal::NotReady(_))));
    // One of ours whose secret is lost goes; others stay.
    script.answer(200, &json!({"webhook_endpoints": [endpoint("whe_lost", URL, true), endpoint("whe_theirs", "https://else.example", true)]}));
    script.answer(200, &json!({"deleted": true}));
    let mut made = endpoint("whe_new", URL, true);
    made["signing_secret"] = json!(SECRET);
    script.answer(201, &made);
    let bound = granola.attach(&Shape::default(), Some(URL), None).await.expect("attached");
    assert_eq!(
        script.lines(),
        ["GET /v1/webhook-endpoints", "DELETE /v1/webhook-endpoints/whe_lost", "POST /v1/webhook-endpoints"]
    );
    let asked = script.take_asked();
    let sent: Value = serde_json::from_slice(asked[2].body()).expect("JSON");
    assert_eq!(
        sent,
        json!({"url": URL, "scopes": ["personal", "public"], "events": ["note.generated", "note.edited", "note.access_granted"]})
    );
    assert!(receive(&granola, &headers(SECRET, &body), &body, 1_763_856_001).is_ok());
    assert_eq!(granola.hindrance(), None);
    // Another process: it is known, and left alone.
    let (granola, script, _) = fresh();
    script.answer(200, &json!({"webhook_endpoints": [endpoint("whe_new", URL, true)]}));
    assert_eq!(granola.attach(&Shape::default(), Some(URL), Some(&bound)).await, Ok(bound.clone()));
    assert!(receive(&granola, &headers(SECRET, &body), &body, 1_763_856_001).is_ok());
    // Switched off, and at another address: the secret stays.
    let (granola, script, _) = fresh();
    script.answer(200, &json!({"webhook_endpoints": [endpoint("whe_new", URL, false)]}));
    script.answer(200, &endpoint("whe_new", URL, true));
    let moved = granola.attach(&Shape::default(), Some("https://new.example/h"), Some(&bound)).await.expect("attached");
    let asked = script.take_asked();
    assert_eq!(asked[1].method(), "PATCH");
    let sent: Value = serde_json::from_slice(asked[1].body()).expect("JSON");
    assert_eq!(sent, json!({"enabled": true, "url": "https://new.example/h"}));
    assert_eq!(moved["endpoint"]["secret"], SECRET);
    // Gone: another one.
    let (granola, script, _) = fresh();
    script.answer(200, &json!({"webhook_endpoints": []}));
    script.answer(201, &made);
    granola.attach(&Shape::default(), Some(URL), Some(&bound)).await.expect("attached");
    assert_eq!(script.lines().len(), 2);
    // Its secret was typed in by hand, or nobody can reach us: nothing is asked.
    for (secrets, url) in
        [(&[("token", "t"), ("webhook_secret", SECRET)][..], Some(URL)), (&[("token", "t")][..], None)]
    {
        let (granola, script, _) = opened(&json!({}), secrets);
        granola.attach(&Shape::default(), url, None).await.expect("attached");
        assert!(script.lines().is_empty());
    }
}

#[tokio::test]
async fn which_scopes_a_key_has_is_found_by_trying_and_a_refusal_is_told() {
    let scopes = |script: &Script| -> Vec<Value> {
        let asked = script.take_asked();
        let posts = asked.iter().filter(|request| request.method() == "POST");
        posts.map(|request| serde_json::from_slice::<Value>(request.body()).expect("JSON")["scopes"].clone()).collect()
    };
    let none = json!({"webhook_endpoints": []});
    let mut made = endpoint("whe_new", URL, true);
    made["signing_secret"] = json!(SECRET);
    let (granola, script, _) = opened(&json!({}), &[("token", "t")]);
    script.answer(200, &none);
    script.answer(403, &Value::Null);
    script.answer(400, &Value::Null);
    script.answer(201, &made);
    granola.attach(&Shape::default(), Some(URL), None).await.expect("attached");
    assert_eq!(scopes(&script), [json!(["personal", "public"]), json!(["workspace"]), json!(["public"])]);
    // Named: these and no others.
    let (granola, script, _) =
        opened(&json!({"webhook_scopes": ["workspace"], "folders": ["fol_a"]}), &[("token", "t")]);
    script.answer(200, &none);
    script.answer(400, &json!({"code": "BAD_REQUEST"}));
    granola.attach(&Shape::default(), Some(URL), None).await.expect("attached all the same");
    let asked = script.take_asked();
    let sent: Value = serde_json::from_slice(asked[1].body()).expect("JSON");
    assert_eq!((&sent["scopes"], &sent["folder_ids"]), (&json!(["workspace"]), &json!(["fol_a"])));
    assert!(granola.hindrance().is_some_and(|why| why.contains("polled")));
    // No webhooks on this plan, or none for this key.
    for status in [404, 403, 500] {
        let (granola, script, _) = opened(&json!({}), &[("token", "t")]);
        script.answer(status, &Value::Null);
        granola.attach(&Shape::default(), Some(URL), None).await.expect("attached all the same");
        assert!(granola.hindrance().is_some_and(|why| why.contains("polled")), "{status}");
    }
    // The answer is lost: looked at again soon.
    let (granola, script, clock) = opened(&json!({}), &[("token", "t")]);
    script.answer(200, &none);
    script.put(Err(Broken::NoAnswer("cut".into())));
    granola.attach(&Shape::default(), Some(URL), None).await.expect("attached all the same");
    assert!(granola.wants_attach());
    clock.advance(61);
    script.answer(200, &json!({"webhook_endpoints": [endpoint("whe_orphan", URL, true)]}));
    script.answer(200, &json!({}));
    script.answer(201, &made);
    granola.attach(&Shape::default(), Some(URL), None).await.expect("attached");
    assert!(!granola.wants_attach() && granola.hindrance().is_none());
    // A key that is dead stops all.
    let (granola, script, _) = opened(&json!({}), &[("token", "t")]);
    script.answer(401, &Value::Null);
    assert!(matches!(granola.attach(&Shape::default(), Some(URL), None).await, Err(Fault::Locked { .. })));
}

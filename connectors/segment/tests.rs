//! What is read of calls as Segment's SDKs make them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, Utc};
use hmac::{Hmac, Mac};
use http::HeaderMap;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Segment, open};
use crate::testing::outside;
use crate::{Belongs, Clock, Connector, Counted, Delivery, Refusal, Request, Secrets, Webhook};

const KEY: &str = "wk0123456789abcdefgh";

fn secrets() -> Secrets {
    [("write_key", format!("{KEY} older-key")), ("webhook_secret", "shared".into())]
        .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
        .into()
}

fn with(settings: &Value) -> Segment {
    open(settings, &secrets(), &outside().2).expect("it opens")
}

/// Monday 2026-11-23 08:00 UTC.
fn now() -> DateTime<Utc> {
    outside().1.now()
}

fn basic(key: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = format!("Basic {}", STANDARD.encode(format!("{key}:")));
    headers.insert("authorization", value.parse().expect("a header"));
    headers
}

fn post(segment: &Segment, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Refusal> {
    segment.open_at(path, Request { headers, body }, now())
}

fn good(segment: &Segment, path: &str, body: &Value) -> Delivery {
    let delivery = post(segment, path, &basic(KEY), body.to_string().as_bytes()).expect("it is taken");
    assert_eq!(delivery.reply.as_ref().map(|reply| reply.body.as_str()), Some("{\"success\":true}"));
    delivery
}

fn day(delivery: &Delivery) -> NaiveDate {
    delivery.usage[0].day
}

/// As @segment/analytics-node 3 sends it.
fn node_batch() -> Value {
    json!({
        "batch": [
            {
                "userId": "kim", "event": "Report Exported", "properties": {"rows": 17}, "type": "track",
                "context": {"library": {"name": "@segment/analytics-node", "version": "3.1.0"}}, "integrations": {},
                "timestamp": "2026-11-23T07:59:58.000Z",
                "messageId": "node-next-1700000000000-0c1c",
                "_metadata": {"nodeVersion": "22.0.0", "jsRuntime": "node"},
            },
            {"userId": "kim", "groupId": "acme", "traits": {"name": "Acme", "plan": "pro"}, "type": "group", "timestamp": "2026-11-23T07:59:59.000Z", "messageId": "node-next-2", "context": {}, "integrations": {}},
            {"anonymousId": "a-1", "userId": "kim", "traits": {"email": "kim@acme.example"}, "type": "identify", "messageId": "node-next-3", "context": {}},
            {"userId": "kim", "previousId": "a-0", "type": "alias", "messageId": "node-next-4"},
            {"userId": "kim", "name": "Home", "type": "page", "messageId": "node-next-5", "context": {"groupId": "acme"}},
        ],
        "writeKey": KEY, "sentAt": "2026-11-23T08:00:00.000Z",
    })
}

#[test]
fn a_batch_of_the_node_sdk_is_taken_whole() {
    let delivery = good(&with(&json!({})), "/v1/batch", &node_batch());
    assert_eq!(delivery.usage.len(), 1);
    let usage = &delivery.usage[0];
    assert_eq!(
        (usage.feature.as_str(), usage.user.as_deref(), &usage.account),
        ("Report Exported", Some("kim"), &None)
    );
    assert_eq!(usage.count, Counted::Once("node-next-1700000000000-0c1c".into()));
    let members: Vec<(&str, &Belongs)> =
        delivery.members.iter().map(|member| (member.user.as_str(), &member.of)).collect();
    assert_eq!(
        members,
        [
            ("kim", &Belongs::Account("acme".into())),
            ("a-1", &Belongs::Person("kim".into())),
            ("kim", &Belongs::Email("kim@acme.example".into())),
            ("a-0", &Belongs::Person("kim".into())),
            ("kim", &Belongs::Account("acme".into())),
        ]
    );
    let record = &delivery.records[0];
    assert_eq!((record.key.collection.as_str(), record.key.id.as_str()), ("group", "acme"));
    assert_eq!(record.body, Some(json!({"groupId": "acme", "traits": {"name": "Acme", "plan": "pro"}})));
    assert_eq!(delivery.notice, None);
}

#[test]
fn each_path_says_what_its_body_is() {
    let segment = with(&json!({"pages": true}));
    let call = json!({"userId": 17, "event": "Export", "name": "Home", "groupId": 4, "previousId": "old", "messageId": "m", "traits": {"name": "Four"}});
    for (path, features, members, records) in [
        ("/v1/track", vec!["Export"], 1, 0),
        ("/v1/t", vec!["Export"], 1, 0),
        ("/v1/page", vec!["page: Home"], 1, 0),
        ("/v1/s", vec!["screen: Home"], 1, 0),
        ("/v1/identify", vec![], 0, 0),
        ("/v1/group", vec![], 1, 1),
        ("/v1/a", vec![], 1, 0),
    ] {
        assert!(segment.fixed_paths().contains(&path));
        let delivery = good(&segment, path, &call);
        let found: Vec<&str> = delivery.usage.iter().map(|usage| usage.feature.as_str()).collect();
        assert_eq!((found, delivery.members.len(), delivery.records.len()), (features, members, records), "{path}");
        assert!(delivery.usage.iter().all(|usage| usage.user.as_deref() == Some("17")));
    }
    for path in ["/v1/batch", "/v1/b", "/v1/import"] {
        assert_eq!(good(&segment, path, &node_batch()).usage.len(), 2, "{path}");
    }
}

#[test]
fn the_key_is_in_the_header_or_in_the_body_and_must_be_ours() {
    let segment = with(&json!({}));
    let body = |key: &str| json!({"type": "track", "event": "e", "userId": "u", "writeKey": key}).to_string();
    let none = HeaderMap::new();
    let mut bearer = HeaderMap::new();
    bearer.insert("authorization", "Bearer oauth-token".parse().expect("a header"));
    for (headers, body, ours) in [
        (&basic(KEY), body("whatever"), true),
        (&basic("older-key"), body(""), true),
        (&none, body(KEY), true),
        (&bearer, body(KEY), true),
        (&basic("another"), body(KEY), false),
        (&none, body("another"), false),
        (&none, "{}".to_owned(), false),
        (&none, "no JSON".to_owned(), false),
        (&basic(""), body(""), false),
        (&basic(""), body(KEY), true),
    ] {
        let raw = Request { headers, body: body.as_bytes() };
        assert_eq!(segment.is_ours("/v1/track", raw), ours, "{body}");
        assert_eq!(post(&segment, "/v1/track", headers, body.as_bytes()).is_ok(), ours);
        assert_eq!(segment.open(raw, now()).is_ok(), ours, "the connection's own path, without a signature");
    }
}

#[test]
fn the_senders_clock_is_corrected_and_days_are_utcs() {
    let segment = with(&json!({}));
    let at = |event: Value, sent: Value| {
        let mut event = event;
        event["type"] = json!("track");
        event["event"] = json!("e");
        event["userId"] = json!("u");
        day(&good(&segment, "/v1/batch", &json!({"batch": [event], "sentAt": sent}))).to_string()
    };
    for (event, sent, expect) in [
        // A day's edge, in UTC whatever zone it is written in.
        (json!({"timestamp": "2026-11-22T23:59:59.999Z"}), json!("2026-11-23T08:00:00Z"), "2026-11-22"),
        (json!({"timestamp": "2026-11-23T00:00:00Z"}), json!("2026-11-23T08:00:00Z"), "2026-11-23"),
        (json!({"timestamp": "2026-11-23T00:30:00+01:00"}), json!("2026-11-23T08:00:00Z"), "2026-11-22"),
        // A clock a year fast, or that stands at its beginning: what counts is how long before sending it was.
        (json!({"timestamp": "2027-11-23T08:00:00Z"}), json!("2027-11-24T08:00:00Z"), "2026-11-22"),
        (json!({"timestamp": "1970-01-01T00:00:00Z"}), json!("1970-01-03T00:00:00Z"), "2026-11-21"),
        // An event's own sentAt goes before the batch's.
        (
            json!({"timestamp": "2027-11-23T08:00:00Z", "sentAt": "2027-11-25T08:00:00Z"}),
            json!("2026-11-23T08:00:00Z"),
            "2026-11-21",
        ),
        // Corrected by somebody on the way.
        (
            json!({"timestamp": "2026-11-20T08:00:00Z", "originalTimestamp": "2030-01-01T00:00:00Z"}),
            json!("2030-01-01T00:00:01Z"),
            "2026-11-20",
        ),
        (json!({"originalTimestamp": "2026-11-19T08:00:00Z"}), json!("2026-11-23T08:00:00Z"), "2026-11-19"),
        // Python's SDK, an import of last year's, and a sender that says no time of sending.
        (json!({"timestamp": "2026-11-22T10:00:00.123456+00:00"}), json!("2026-11-23T08:00:00.5+00:00"), "2026-11-22"),
        (json!({"timestamp": "2025-03-01T10:00:00Z"}), json!("2026-11-23T08:00:00Z"), "2025-03-01"),
        (json!({"timestamp": "2026-11-21T10:00:00Z"}), Value::Null, "2026-11-21"),
        (json!({"timestamp": 1_795_341_600_000_i64}), Value::Null, "2026-11-22"),
        // Nonsense is now.
        (json!({"timestamp": "2099-01-01T00:00:00Z"}), Value::Null, "2026-11-23"),
        (json!({"timestamp": "1970-01-01T00:00:00Z"}), json!("2026-11-23T08:00:00Z"), "2026-11-23"),
        (json!({"timestamp": "yesterday"}), json!([]), "2026-11-23"),
        // The ends of the calendar.
        (json!({"timestamp": -8_334_601_228_800_000_i64}), json!(8_210_266_876_799_000_i64), "2026-11-23"),
        (json!({"timestamp": "+262142-12-31T23:59:59"}), json!("-262143-01-02T00:00:00"), "2026-11-23"),
        (json!({"timestamp": i64::MIN}), json!(i64::MAX), "2026-11-23"),
        (json!({}), Value::Null, "2026-11-23"),
    ] {
        assert_eq!(at(event.clone(), sent.clone()), expect, "{event} {sent}");
    }
}

#[test]
fn an_account_stands_where_the_settings_say() {
    let call = json!({"type": "track", "event": "e", "userId": "u", "context": {"groupId": "ctx", "traits": {"email": "u@acme.example"}}, "properties": {"org": {"id": 9}}});
    let account = |settings: Value, call: &Value| {
        let delivery = good(&with(&settings), "/v1/track", call);
        (delivery.usage[0].account.clone(), delivery.usage[0].email.clone())
    };
    let email = Some("u@acme.example".to_owned());
    assert_eq!(account(json!({}), &call), (Some("ctx".into()), email.clone()));
    assert_eq!(account(json!({"account": ["properties.org.id"]}), &call), (Some("9".into()), email.clone()));
    assert_eq!(account(json!({"account": ["properties.nothing"]}), &call), (None, email));
    // The batch's own context is every event's.
    let batch = json!({"batch": [{"type": "track", "event": "e", "userId": "u"}], "context": {"groupId": "all"}});
    assert_eq!(good(&with(&json!({})), "/v1/batch", &batch).usage[0].account.as_deref(), Some("all"));
}

#[test]
fn events_may_be_chosen_by_name() {
    let events = ["Export", "import", "Click"].map(|event| json!({"type": "track", "event": event, "userId": "u"}));
    let batch = json!({"batch": events});
    let names = |settings: Value| {
        let delivery = good(&with(&settings), "/v1/batch", &batch);
        delivery.usage.into_iter().map(|usage| usage.feature).collect::<Vec<_>>()
    };
    assert_eq!(names(json!({"features": ["export", "Import"]})), ["Export", "import"]);
    assert_eq!(names(json!({"ignore": ["click"]})), ["Export", "import"]);
}

#[test]
fn without_an_id_the_text_of_an_event_is_its_id() {
    let segment = with(&json!({}));
    let id = |second: u8| {
        let body = json!({"event": "e", "userId": "u", "timestamp": format!("2026-11-23T07:00:0{second}Z")});
        good(&segment, "/v1/track", &body).usage[0].count.clone()
    };
    assert_eq!(id(1), id(1));
    assert_ne!(id(1), id(2));
}

#[test]
fn the_limits_are_segments() {
    let segment = with(&json!({}));
    let event =
        |size: usize| json!({"type": "track", "event": "e", "userId": "u", "properties": {"x": "x".repeat(size)}});
    let refused = |path: &str, body: &str| match post(&segment, path, &basic(KEY), body.as_bytes()) {
        Err(refusal) => {
            assert_eq!(refusal.status(), 400, "{refusal}");
            refusal.to_string()
        }
        Ok(_) => panic!("{path} took it"),
    };
    assert!(refused("/v1/track", &event(33 * 1024).to_string()).contains("32 KB"));
    assert!(refused("/v1/batch", &json!({"batch": vec![event(30 * 1024); 20]}).to_string()).contains("500 KB"));
    assert!(refused("/v1/batch", &json!({"batch": vec![json!({}); 2501]}).to_string()).contains("2501 events"));
    for bad in ["", "{", "[1", "{\"batch\": 5}", "{\"batch\": {}}", "null", "\u{feff}{}"] {
        refused("/v1/batch", bad);
    }
    assert!(post(&segment, "/v1/batch", &basic(KEY), b"\xff\xfe").is_err());
    for (path, call) in [
        ("/v1/track", json!({"event": "e"})),
        ("/v1/track", json!({"userId": "u"})),
        ("/v1/group", json!({"userId": "u"})),
        ("/v1/alias", json!({"userId": "u"})),
        ("/v1/batch", json!({"type": "dance", "userId": "u"})),
    ] {
        refused(path, &call.to_string());
    }
}

#[test]
fn what_is_wrong_in_a_batch_is_left_out_and_told() {
    let good_one = json!({"type": "track", "event": "e", "userId": "u", "messageId": "m"});
    let large = json!({"type": "track", "event": "e", "userId": "u", "properties": {"x": "x".repeat(33 * 1024)}});
    let batch = json!({"batch": [{"type": "track", "event": "e"}, good_one, 7, null, "x", large]});
    let delivery = good(&with(&json!({})), "/v1/batch", &batch);
    assert_eq!(delivery.usage.len(), 1);
    let notice = delivery.notice.expect("it is told");
    assert_eq!(
        notice,
        "of a batch of 6, 5 events were left out, the first because an event has neither userId nor anonymousId"
    );
}

#[test]
fn a_webhook_destination_signs_one_event_at_a_time() {
    let segment = with(&json!({}));
    let signed = |body: &str, secret: &str| {
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(secret.as_bytes()).expect("any key will do");
        mac.update(body.as_bytes());
        let mut headers = HeaderMap::new();
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        headers.insert("x-signature", hex.parse().expect("a header"));
        segment.open(Request { headers: &headers, body: body.as_bytes() }, now())
    };
    let body = json!({"type": "track", "event": "e", "userId": "u", "messageId": "m"}).to_string();
    assert_eq!(signed(&body, "shared").expect("it is signed").usage.len(), 1);
    assert!(matches!(signed(&body, "another"), Err(Refusal::Forged(_))));
    assert!(matches!(signed(&format!("[{body}]"), "shared"), Err(Refusal::Forged(why)) if why.contains("batch")));
}

#[test]
fn wrong_settings_are_told_by_their_key() {
    for (settings, key) in [
        (json!({"account": ["context..id"]}), "account"),
        (json!({"page": true}), "page"),
        (json!({"features": "export"}), "features"),
    ] {
        let error = open(&settings, &secrets(), &outside().2).map(|_| ()).expect_err("it is wrong");
        assert_eq!(error.key.as_deref(), Some(key));
    }
    for keys in ["", "a:b"] {
        let secrets: Secrets = [("write_key".to_owned(), SecretString::from(keys))].into();
        let error = open(&json!({}), &secrets, &outside().2).map(|_| ()).expect_err("it is wrong");
        assert_eq!(error.key.as_deref(), Some("write_key"));
    }
    assert_eq!(with(&json!({})).collections()[0].name, "group");
}

//! Slack against a script: what each answer means, and what settings are taken. Stateful stories are in the contract tests, against the
//! sandbox.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::client::{Told, judge};
use super::{Bound, Slack, millis, open, place};
use crate::http::Answer;
use crate::testing::{Script, StillClock, outside};
use crate::{Connector, Delivery, Fault, Message, MessageKind, Messenger, Secrets, Shape, Source};

fn slack_with(settings: &Value) -> (Slack, Arc<Script>, Arc<StillClock>) {
    let (script, clock, outside) = outside();
    let mut whole = json!({"base_url": "https://sl.example/api"});
    whole.as_object_mut().expect("a table").extend(settings.as_object().expect("a table").clone());
    let secrets: Secrets = [("token", "xoxb-1"), ("webhook_secret", "s")]
        .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
        .into();
    let slack = open(&whole, &secrets, &outside).expect("it opens");
    clock.warm_up();
    (slack, script, clock)
}

async fn attached(settings: &Value) -> (Slack, Arc<Script>, Arc<StillClock>) {
    let (slack, script, clock) = slack_with(settings);
    let me = json!({"ok": true, "team_id": "T1", "team": "Ours", "user_id": "U0BOT", "bot_id": "B0BOT", "user": "loopd", "url": "https://ours.slack.com/"});
    script.answer(200, &me);
    slack.attach(&Shape::default(), None, None).await.expect("attached");
    script.take_asked();
    (slack, script, clock)
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().expect("a name");
        map.insert(name, value.parse().expect("a value"));
    }
    let status = http::StatusCode::from_u16(status).expect("a status");
    Answer::new(status, map, Bytes::from(body.to_owned()))
}

#[test]
fn an_answer_means_one_thing() {
    let told =
        |status, body: &str, write| judge("chat.postMessage", &answer(status, &[("retry-after", "7")], body), write);
    for write in [false, true] {
        assert!(matches!(told(200, r#"{"ok": true}"#, write), (Ok(Told::Here(_)), None)));
        for (status, body) in [(429, ""), (200, r#"{"ok": false, "error": "ratelimited"}"#)] {
            let (fault, shut) = told(status, body, write);
            assert!(matches!(fault, Err(Fault::Later { after: Some(wait), .. }) if wait == Duration::from_secs(7)));
            assert_eq!(shut, Some(Duration::from_secs(7)));
        }
        for body in ["invalid_auth", "token_revoked", "account_inactive", "team_disabled", "unknown_method"] {
            let (fault, _) = told(200, &format!(r#"{{"ok": false, "error": "{body}"}}"#), write);
            assert!(matches!(fault, Err(Fault::Locked { .. })), "{body}");
        }
        for (code, part) in [
            ("not_in_channel", "/invite"),
            ("is_archived", "archived"),
            ("restricted_action", "settings"),
            ("msg_too_long", "msg_too_long (too long)"),
        ] {
            let body = json!({"ok": false, "error": code, "response_metadata": {"messages": ["too long"]}}).to_string();
            let (Ok(Told::Not(refusal)), None) = told(200, &body, write) else { panic!("{code}") };
            assert!(matches!(refusal.fault(), Fault::Rejected { why, .. } if why.contains(part)), "{code}");
        }
        let scope = r#"{"ok": false, "error": "missing_scope", "needed": "chat:write", "provided": "users:read"}"#;
        let (Ok(Told::Not(refusal)), None) = told(200, scope, write) else { panic!("it is for whoever asked") };
        assert!(
            matches!(refusal.fault(), Fault::Locked { why } if why.contains("needed chat:write, the token has users:read"))
        );
        for (status, body) in [(302, ""), (404, "<html>")] {
            assert!(matches!(told(status, body, write).0, Err(Fault::Locked { why }) if why.starts_with("base_url")));
        }
    }
    // Of a write that ended so, nobody knows whether it was done.
    for (status, body) in
        [(500, ""), (503, ""), (200, r#"{"ok": false, "error": "fatal_error"}"#), (200, r#"{"ok": false}"#)]
    {
        assert!(matches!(told(status, body, true).0, Err(Fault::Unknown { .. })), "{status} {body}");
        assert!(matches!(told(status, body, false).0, Err(Fault::Later { .. })), "{status} {body}");
    }
    assert!(matches!(told(200, "<html>", true).0, Err(Fault::Unknown { .. })));
}

#[test]
fn settings_are_strict_and_name_their_key() {
    let (_, _, outside) = outside();
    let secrets: Secrets = [("token".to_owned(), SecretString::from("x"))].into();
    for (settings, key) in [
        (json!({"emojis": {}}), "emojis"),
        (json!({"emoji": {}}), "emoji"),
        (json!({"channels": {"general": "acme.example"}}), "channels"),
        (json!({"channel_pattern": "ext-"}), "channel_pattern"),
        (json!({"channel_pattern": 7}), "channel_pattern"),
        (json!({"notes_channel": "#team"}), "notes_channel"),
        (json!({"commands": ["feedback"]}), "commands"),
        (json!({"rescan_days": 0}), "rescan_days"),
        (json!({"history": "fast"}), "history"),
        (json!({"sweep": "all"}), "sweep"),
        (json!({"base_url": "slack.com"}), "base_url"),
    ] {
        let error = open(&settings, &secrets, &outside).err().expect("it is wrong");
        assert_eq!(error.key.as_deref(), Some(key), "{error}");
    }
    assert_eq!(open(&json!({}), &Secrets::new(), &outside).err().and_then(|error| error.key).as_deref(), Some("token"));
}

#[test]
fn time_stamps_are_keys() {
    assert_eq!(place("C012AB3CD:1763856000.000100"), Some(("C012AB3CD", "1763856000.000100")));
    for bad in ["C012AB3CD", "c012:1.2", "C012:1763856000", "C012:1763856000.x", ":1.2", "C012:1.2.3"] {
        assert_eq!(place(bad), None, "{bad}");
    }
    assert_eq!(
        (millis("1763856000.000100"), millis("1763856000.12"), millis("x")),
        (Some(1_763_856_000_000), Some(1_763_856_000_120), None)
    );
}

fn told(slack: &Slack, event: &Value) -> Delivery {
    let envelope = json!({"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": event});
    slack.envelope(&envelope, "x").expect("an envelope")
}

#[tokio::test]
async fn another_workspaces_events_are_acknowledged_and_left_alone() {
    let (slack, ..) = attached(&json!({})).await;
    let event = json!({"type": "reaction_added", "user": "U2", "reaction": "bug", "item": {"type": "message", "channel": "C1", "ts": "1.000001"}});
    let envelope = |more: Value| {
        let mut whole = json!({"type": "event_callback", "event_id": "Ev1", "event": event});
        whole.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
        slack.envelope(&whole, "x").expect("an envelope").fetch.len()
    };
    assert_eq!(envelope(json!({"team_id": "T1"})), 1);
    assert_eq!(envelope(json!({})), 1);
    assert_eq!(envelope(json!({"team_id": "T9"})), 0);
    // In a shared channel the team may be the other side's; the authorization says that it came for us.
    assert_eq!(envelope(json!({"team_id": "T9", "authorizations": [{"team_id": "T1"}]})), 1);
    assert_eq!(envelope(json!({"team_id": "T9", "context_team_id": "T1"})), 1);
    *slack.bound.lock().expect("not poisoned") =
        Bound { team_id: Some("T1".into()), enterprise_id: Some("E1".into()), ..Bound::default() };
    assert_eq!(envelope(json!({"team_id": "T9", "enterprise_id": "E1"})), 1);
}

#[tokio::test]
async fn events_that_are_no_news_ask_for_nothing() {
    let (slack, ..) = attached(&json!({})).await;
    for event in [
        json!({"type": "reaction_added", "user": "U2", "reaction": "tada", "item": {"type": "message", "channel": "C1", "ts": "1.000001"}}),
        json!({"type": "reaction_added", "user": "U0BOT", "reaction": "bug", "item": {"type": "message", "channel": "C1", "ts": "1.000001"}}),
        json!({"type": "reaction_added", "user": "U2", "reaction": "bug", "item": {"type": "file", "file": "F1"}}),
        json!({"type": "reaction_added", "user": "U2", "reaction": "bug", "item": {"type": "message", "channel": "../x", "ts": "1.000001"}}),
        json!({"type": "message", "channel": "C1", "user": "U2", "text": "Hello", "ts": "1.000001"}),
        json!({"type": "message", "channel": "C1", "user": "U2", "text": "Hello", "ts": "2.000001", "thread_ts": "1.000001"}),
        json!({"type": "something_new"}),
        json!({}),
    ] {
        let told = told(&slack, &event);
        assert!(told.fetch.is_empty() && told.records.is_empty() && told.pull.is_empty(), "{event}");
    }
    let joined = json!({"type": "member_joined_channel", "user": "U0BOT", "channel": "C1"});
    assert_eq!(told(&slack, &joined).pull, ["history"]);
    let revoked = json!({"type": "tokens_revoked", "tokens": {"bot": ["U0BOT"]}});
    assert!(told(&slack, &revoked).notice.is_some());
}

#[tokio::test]
async fn a_message_that_a_quota_stops_halfway_is_not_read_again() {
    let (slack, script, clock) = attached(&json!({"threads": false})).await;
    let message = json!({"ts": "1763856000.000100", "user": "U2", "text": "It fails", "reactions": [{"name": "bug", "users": ["U3"], "count": 1}]});
    script.answer(200, &json!({"ok": true, "messages": [message]}));
    script.answer_with(429, &[("retry-after", "30")], &Value::Null);
    let key = super::key("C1", "1763856000.000100");
    assert!(matches!(slack.fetch(&key).await, Err(Fault::Later { after: Some(_), .. })));
    clock.advance(31);
    script.answer(200, &json!({"ok": true, "channel": {"id": "C1", "name": "general"}}));
    script.answer(200, &json!({"ok": false, "error": "user_not_found"}));
    script.answer(200, &json!({"ok": false, "error": "message_not_found"}));
    let record = slack.fetch(&key).await.expect("read").expect("ours");
    let body = record.body.expect("there");
    assert_eq!(
        (&body["channel"]["name"], &body["author"]["id"], &body["captured"]["by"]),
        (&json!("general"), &json!("U2"), &json!(["U3"]))
    );
    // Slack tells no link: it is built as Slack builds them.
    assert_eq!(record.url.as_deref(), Some("https://ours.slack.com/archives/C1/p1763856000000100"));
    let lines = script.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("conversations.history")).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn a_crowds_refusal_is_not_taken_for_the_tier() {
    // How many were answered in the minute before, the refusals, and whether they tell the slow tier.
    for (answered, refused, slow) in
        [(1, 1, true), (2, 1, true), (3, 1, false), (9, 1, false), (0, 1, false), (0, 2, true)]
    {
        let (slack, script, clock) = attached(&json!({})).await;
        let there = json!({"ok": true, "messages": [{"ts": "1763856000.000100", "user": "U2", "text": "Hm"}]});
        let key = super::key("C1", "1763856000.000100");
        for _ in 0..answered {
            script.answer(200, &there);
            slack.fetch(&key).await.expect("read");
        }
        for _ in 0..refused {
            script.answer_with(429, &[("retry-after", "30")], &Value::Null);
            assert!(matches!(slack.fetch(&key).await, Err(Fault::Later { .. })));
            clock.advance(31);
        }
        assert_eq!(slack.wants_attach(), slow, "{answered} {refused}");
        assert_eq!(slack.hindrance().is_some(), slow, "{answered} {refused}");
    }
}

#[tokio::test]
async fn reactions_of_many_are_counted_and_not_listed() {
    let (slack, ..) = attached(&json!({"emoji": {"ladybug": "bug"}})).await;
    for (reactions, captured) in [
        (json!([{"name": "ladybug", "users": ["U0BOT"], "count": 1}]), false),
        (json!([{"name": "ladybug", "users": ["U0BOT"], "count": 60}]), true),
        (json!([{"name": "bug", "users": ["U3"], "count": 1}]), false),
        (json!([{"name": "ladybug::skin-tone-2", "users": ["U3"]}]), true),
        (json!("odd"), false),
    ] {
        assert_eq!(slack.capture_of(&json!({"reactions": reactions})).is_some(), captured, "{reactions}");
    }
}

#[tokio::test]
async fn where_metadata_is_not_given_back_the_text_is_known() {
    let (slack, script, _) = attached(&json!({})).await;
    let message = Message {
        id: "m-1".into(),
        to: super::key("C1", "1.000001"),
        kind: MessageKind::Reply,
        body: "It **shipped**".into(),
    };
    let root = json!({"ok": true, "messages": [{"ts": "1.000001", "user": "U2", "text": "It fails"}]});
    script.answer(200, &root);
    let mine = |text: &str| json!({"ok": true, "messages": [{"ts": "1.000001"}, {"ts": "2.000001", "bot_id": "B0BOT", "text": text}]});
    script.answer(200, &mine("It *shipped*"));
    assert_eq!(slack.find(&message).await.expect("read").map(|sent| sent.id).as_deref(), Some("C1:2.000001"));
    script.answer(200, &mine("Something else"));
    assert_eq!(slack.find(&message).await, Ok(None));
    let other = json!({"ok": true, "messages": [{"ts": "2.000001", "bot_id": "B0BOT", "text": "It *shipped*", "metadata": {"event_payload": {"id": "m-2"}}}]});
    script.answer(200, &other);
    assert_eq!(slack.find(&message).await, Ok(None), "the same words, another message");
}

#[tokio::test]
async fn a_proxys_page_is_not_taken_for_slack() {
    let (slack, script, _) = slack_with(&json!({}));
    script.put(Ok(Response::builder().status(407).body(Bytes::from_static(b"<html>")).expect("a response")));
    assert!(matches!(slack.probe().await, Err(Fault::Locked { why }) if why.contains("407")));
}

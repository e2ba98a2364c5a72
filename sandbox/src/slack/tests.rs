//! The stand-in as a client that we did not write would meet it.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::Shown;
use crate::testing::{Bench, Got, body};
use crate::world::{Reply, Vendor};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json; charset=utf-8";

fn ask(bench: &Bench, method: &str, kind: &str, text: &str, token: &str) -> Got {
    let request = Request::builder()
        .method("POST")
        .uri(format!("/api/{method}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", kind)
        .body(Bytes::from(text.to_owned()))
        .expect("a request");
    match bench.world.call(Vendor::Slack, request) {
        Reply::Answer { response, .. } => Got {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: serde_json::from_slice(response.body()).unwrap_or_default(),
        },
        Reply::Cut { .. } => panic!("{method} was cut"),
    }
}

fn form(bench: &Bench, method: &str, text: &str) -> Got {
    ask(bench, method, FORM, text, Vendor::Slack.token())
}

fn say(bench: &Bench, n: usize) -> Vec<String> {
    let write = |at| bench.world.slack(|desk, cx| desk.say("C0GENERAL", "U0ADMIN", &format!("message {at}"), cx));
    (0..n).map(write).collect()
}

#[test]
fn refusals_are_200_and_name_a_code() {
    let bench = Bench::new(1);
    for (method, text, token, code) in [
        ("auth.test", "", "nobody", "invalid_auth"),
        ("no.such", "", "xoxb-sandbox", "unknown_method"),
        ("conversations.info", "channel=C0NONE", "xoxb-sandbox", "channel_not_found"),
        ("conversations.history", "channel=C0GENERAL&cursor=x", "xoxb-sandbox", "invalid_cursor"),
        ("conversations.history", "channel=C0GENERAL&limit=x", "xoxb-sandbox", "invalid_limit"),
        ("conversations.history", "channel=C0GENERAL&oldest=now", "xoxb-sandbox", "invalid_ts_oldest"),
        ("conversations.replies", "channel=C0GENERAL&ts=1.2", "xoxb-sandbox", "thread_not_found"),
        ("chat.postMessage", "channel=C0GENERAL", "xoxb-sandbox", "no_text"),
        ("chat.update", "channel=C0GENERAL&ts=1.2&text=x", "xoxb-sandbox", "message_not_found"),
        ("reactions.remove", "channel=C0GENERAL&timestamp=1.2&name=bug", "xoxb-sandbox", "message_not_found"),
        ("users.info", "user=U0NONE", "xoxb-sandbox", "user_not_found"),
        ("auth.test", "", "xapp-sandbox", "not_allowed_token_type"),
        ("apps.connections.open", "", "xoxb-sandbox", "not_allowed_token_type"),
    ] {
        let got = ask(&bench, method, FORM, text, token);
        assert_eq!((got.status, &got.body["ok"], &got.body["error"]), (200, &json!(false), &json!(code)), "{method}");
    }
    let got = form(&bench, "auth.test", "");
    assert_eq!((&got.body["ok"], &got.body["user_id"]), (&json!(true), &json!("U0LOOPD")));
    assert!(got.header("x-oauth-scopes").contains("chat:write") && !got.header("x-slack-req-id").is_empty());
}

#[test]
fn forms_and_json_say_the_same_and_json_without_a_charset_is_warned_of() {
    let bench = Bench::new(1);
    let metadata = json!({"event_type": "t", "event_payload": {"id": "m-1"}});
    let text = json!({"channel": "C0GENERAL", "text": "a & b", "metadata": metadata}).to_string();
    let one = ask(&bench, "chat.postMessage", JSON, &text, "xoxb-sandbox");
    let encoded = crate::wire::encode(&metadata.to_string());
    let two = form(&bench, "chat.postMessage", &format!("channel=C0GENERAL&text=a+%26+b&metadata={encoded}"));
    for got in [&one, &two] {
        assert_eq!((&got.body["message"]["text"], &got.body["message"]["metadata"]), (&json!("a & b"), &metadata));
        assert_eq!((&got.body["message"]["bot_id"], got.body.get("warning")), (&json!("B0LOOPD"), None));
    }
    let bare = ask(&bench, "chat.postMessage", "application/json", &text, "xoxb-sandbox");
    assert_eq!(bare.body["response_metadata"]["warnings"], json!(["missing_charset"]));
    let shown = form(&bench, "conversations.history", "channel=C0GENERAL&limit=1");
    assert_eq!(shown.body["messages"][0].get("metadata"), None);
    let shown = form(&bench, "conversations.history", "channel=C0GENERAL&limit=1&include_all_metadata=true");
    assert_eq!(shown.body["messages"][0]["metadata"], metadata);
    let other = json!({"channel": "C0GENERAL", "text": "x", "metadata": {"event_type": 1}}).to_string();
    assert_eq!(ask(&bench, "chat.postMessage", JSON, &other, "xoxb-sandbox").body["error"], "invalid_metadata_schema");
}

#[test]
fn history_is_newest_first_and_pages_to_its_end() {
    let bench = Bench::new(1);
    let made = say(&bench, 25);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let got = form(
            &bench,
            "conversations.history",
            &format!("channel=C0GENERAL&limit=10&cursor={}", crate::wire::encode(&cursor)),
        );
        seen.extend(
            got.body["messages"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|one| one["ts"].as_str().expect("a ts").to_owned()),
        );
        cursor = got.body["response_metadata"]["next_cursor"].as_str().expect("a cursor").to_owned();
        assert_eq!(got.body["has_more"].as_bool(), Some(!cursor.is_empty()));
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(seen, made.iter().rev().cloned().collect::<Vec<_>>());
    let one = format!("channel=C0GENERAL&oldest={0}&latest={0}", made[3]);
    assert_eq!(form(&bench, "conversations.history", &one).body["messages"], json!([]));
    let one = form(&bench, "conversations.history", &format!("{one}&inclusive=true"));
    assert_eq!(one.body["messages"][0]["text"], "message 3");
}

#[test]
fn a_thread_is_shown_below_its_root_and_a_reply_by_itself() {
    let bench = Bench::new(1);
    let root = say(&bench, 1).remove(0);
    let reply = bench.world.slack(|desk, cx| desk.reply("C0GENERAL", &root, "U0ADMIN", "below", cx));
    let shown = form(&bench, "conversations.history", "channel=C0GENERAL");
    assert_eq!(
        (shown.body["messages"].as_array().map(Vec::len), &shown.body["messages"][0]["latest_reply"]),
        (Some(1), &json!(reply))
    );
    let thread = form(&bench, "conversations.replies", &format!("channel=C0GENERAL&ts={root}"));
    assert_eq!(
        (&thread.body["messages"][0]["reply_count"], &thread.body["messages"][1]["thread_ts"]),
        (&json!(1), &json!(root))
    );
    let alone = form(&bench, "conversations.replies", &format!("channel=C0GENERAL&ts={reply}"));
    assert_eq!(
        (alone.body["messages"].as_array().map(Vec::len), &alone.body["messages"][0]["text"]),
        (Some(1), &json!("below"))
    );
    let link = form(&bench, "chat.getPermalink", &format!("channel=C0GENERAL&message_ts={reply}"));
    assert!(
        link.body["permalink"].as_str().is_some_and(|link| link.ends_with(&format!("?thread_ts={root}&cid=C0GENERAL")))
    );
}

#[test]
fn each_method_has_its_own_minute() {
    let bench = Bench::new(1);
    for _ in 0..50 {
        assert_eq!(form(&bench, "conversations.history", "channel=C0GENERAL").status, 200);
    }
    let got = form(&bench, "conversations.history", "channel=C0GENERAL");
    assert_eq!((got.status, got.header("retry-after"), &got.body["error"]), (429, "60", &json!("ratelimited")));
    assert_eq!(form(&bench, "conversations.info", "channel=C0GENERAL").status, 200);
    bench.wait(60);
    assert_eq!(form(&bench, "conversations.history", "channel=C0GENERAL").status, 200);
    bench.world.slack(|desk, _| desk.set_restricted(true));
    bench.wait(60);
    say(&bench, 20);
    let got = form(&bench, "conversations.history", "channel=C0GENERAL&limit=200");
    assert_eq!(got.body["messages"].as_array().map(Vec::len), Some(15));
    assert_eq!(form(&bench, "conversations.history", "channel=C0GENERAL").status, 429);
}

#[test]
fn what_a_token_may_not_do_is_said_in_scopes() {
    let bench = Bench::new(1);
    bench.world.slack(|desk, _| desk.set_scopes("xoxb-sandbox", &["channels:read"]));
    let got = form(&bench, "conversations.history", "channel=C0GENERAL");
    assert_eq!(
        (&got.body["error"], &got.body["needed"], &got.body["provided"]),
        (&json!("missing_scope"), &json!("channels:history"), &json!("channels:read"))
    );
    bench.world.slack(|desk, _| desk.revoke_token("xoxb-sandbox"));
    assert_eq!(form(&bench, "auth.test", "").body["error"], "token_revoked");
}

#[test]
fn reactions_are_given_once_and_events_tell_of_them() {
    let bench = Bench::new(1);
    bench.world.slack(|desk, _| desk.set_webhook("https://app.example/slack", "s3cret"));
    let ts = say(&bench, 1).remove(0);
    let react = format!("channel=C0GENERAL&timestamp={ts}&name=bug");
    assert_eq!(form(&bench, "reactions.add", &react).body["ok"], json!(true));
    assert_eq!(form(&bench, "reactions.add", &react).body["error"], "already_reacted");
    let got = form(&bench, "reactions.get", &format!("channel=C0GENERAL&timestamp={ts}&full=true"));
    assert_eq!(got.body["message"]["reactions"], json!([{"name": "bug", "users": ["U0LOOPD"], "count": 1}]));
    assert_eq!(form(&bench, "reactions.remove", &react).body["ok"], json!(true));
    assert_eq!(form(&bench, "reactions.remove", &react).body["error"], "no_reaction");
    let told: Vec<Value> = bench.webhooks().iter().map(body).collect();
    let kinds: Vec<&str> = told.iter().filter_map(|one| one["event"]["type"].as_str()).collect();
    assert_eq!(kinds, ["message", "reaction_added", "reaction_removed"]);
    assert_eq!(told[1]["event"]["item"], json!({"type": "message", "channel": "C0GENERAL", "ts": ts}));
}

#[test]
fn a_failed_event_comes_three_times_more_and_is_signed_anew() {
    let bench = Bench::new(1);
    bench.world.slack(|desk, _| desk.set_webhook("https://app.example/slack", "s3cret"));
    say(&bench, 1);
    let (mut seen, start) = (Vec::new(), bench.world.now());
    for _ in 0..8 {
        for outgoing in bench.world.due_webhooks() {
            let header = |name: &str| outgoing.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
            let at: i64 = header("x-slack-request-timestamp").expect("there").parse().expect("a number");
            let base = [b"v0:", at.to_string().as_bytes(), b":", &outgoing.body[..]].concat();
            let good = format!("v0={}", crate::wire::hmac::<hmac::Hmac<sha2::Sha256>>("s3cret", &base));
            assert_eq!(header("x-slack-signature"), Some(good));
            seen.push((at - start.timestamp(), header("x-slack-retry-num"), header("x-slack-retry-reason")));
            bench.world.delivered(outgoing, Some(500));
        }
        bench.wait(60);
    }
    let times: Vec<i64> = seen.iter().map(|(at, ..)| *at).collect();
    let numbers: Vec<Option<&str>> = seen.iter().map(|(_, number, _)| number.as_deref()).collect();
    assert_eq!(numbers, [None, Some("1"), Some("2"), Some("3")]);
    assert_eq!(seen[1].2.as_deref(), Some("http_error"));
    // At once is at the next look.
    assert_eq!(times, [0, 0, 120, 420]);
}

#[test]
fn whoever_types_a_command_sees_its_answer_or_an_error() {
    let bench = Bench::new(1);
    bench.world.slack(|desk, _| desk.set_webhook("https://app.example/slack", "s3cret"));
    let type_in = || bench.world.slack(|desk, cx| desk.slash("C0GENERAL", "U0ADMIN", "/feedback", "It fails", cx));
    let answer = br#"{"response_type": "ephemeral", "text": "Noted"}"#;
    for (status, took, shown) in [
        (Some(200), 1, Shown::Text("Noted".into())),
        (Some(200), 4, Shown::Failed("operation_timeout")),
        (None, 3, Shown::Failed("operation_timeout")),
        (Some(503), 1, Shown::Failed("dispatch_failed")),
    ] {
        let trigger = type_in();
        let outgoing = bench.world.due_webhooks().pop().expect("a command");
        assert!(outgoing.body.starts_with(b"token=") && outgoing.headers["content-type"] == FORM);
        bench.world.answered(outgoing, status, answer, Duration::from_secs(took));
        assert_eq!(bench.world.slack(|desk, _| desk.shown(&trigger)), Some(shown));
        bench.wait(1000);
        assert_eq!(bench.world.webhooks_waiting(), 0, "a command is never repeated");
    }
}

#[test]
fn a_line_is_opened_once_and_envelopes_come_until_their_receipt_is_there() {
    let bench = Bench::new(1);
    bench.world.set_base(Vendor::Slack, "http://127.0.0.1:9000/api");
    let open = || ask(&bench, "apps.connections.open", FORM, "", super::APP_TOKEN);
    bench.world.slack(|desk, _| desk.set_webhook("https://app.example/slack", "s3cret"));
    assert_eq!(open().body["error"], "socket_mode_not_enabled");
    bench.world.slack(|desk, _| desk.set_socket_mode());
    let url = open().body["url"].as_str().expect("a url").to_owned();
    let query = url.strip_prefix("ws://127.0.0.1:9000/link/?").expect("on our port");
    let line = bench.world.slack(|desk, _| desk.line_opened(query)).expect("a line");
    assert_eq!(bench.world.slack(|desk, _| desk.line_opened(query)), None);
    let frames = |line| -> Vec<Value> {
        let frames = bench.world.slack(|desk, cx| desk.line_frames(line, cx)).unwrap_or_default();
        frames.iter().map(|frame| serde_json::from_str(frame).expect("JSON")).collect()
    };
    assert_eq!(frames(line)[0]["type"], "hello");
    say(&bench, 1);
    let first = frames(line).remove(0);
    assert_eq!((&first["type"], &first["payload"]["event"]["type"]), (&json!("events_api"), &json!("message")));
    assert!(frames(line).is_empty());
    bench.wait(4);
    let again = frames(line).remove(0);
    assert_eq!((&again["envelope_id"], &again["retry_attempt"]), (&first["envelope_id"], &json!(1)));
    // The line ends without a receipt: over the next one it comes again.
    bench.world.slack(|desk, _| desk.line_closed(line));
    let url = open().body["url"].as_str().expect("a url").to_owned();
    let query = url.split_once('?').expect("a query").1.to_owned();
    let line = bench.world.slack(|desk, _| desk.line_opened(&query)).expect("a line");
    assert_eq!(frames(line)[1]["envelope_id"], first["envelope_id"]);
    let receipt = json!({"envelope_id": first["envelope_id"]}).to_string();
    bench.world.slack(|desk, cx| desk.line_heard(line, &receipt, cx));
    bench.wait(10);
    assert!(frames(line).is_empty());
    let trigger = bench.world.slack(|desk, cx| desk.slash("C0GENERAL", "U0ADMIN", "/feedback", "x", cx));
    let asked = frames(line).remove(0);
    let receipt = json!({"envelope_id": asked["envelope_id"], "payload": {"text": "Noted"}}).to_string();
    bench.world.slack(|desk, cx| desk.line_heard(line, &receipt, cx));
    assert_eq!(bench.world.slack(|desk, _| desk.shown(&trigger)), Some(Shown::Text("Noted".into())));
}

#[test]
fn a_channel_is_seen_by_those_who_are_in_it() {
    let bench = Bench::new(1);
    let (private, shared) = bench.world.slack(|desk, cx| {
        let team = desk.add_team("Acme", "acme", "acme.example", cx);
        let shared = desk.add_channel("ext-acme", false, cx);
        desk.share_channel(&shared, &team);
        (desk.add_channel("secret", true, cx), shared)
    });
    let got = form(&bench, "users.conversations", "types=public_channel,private_channel&limit=2");
    assert_eq!(got.body["channels"].as_array().map(Vec::len), Some(2));
    assert_ne!(got.body["response_metadata"]["next_cursor"], "");
    let info = form(&bench, "conversations.info", &format!("channel={shared}"));
    assert_eq!(
        (&info.body["channel"]["is_ext_shared"], info.body["channel"]["connected_team_ids"].as_array().map(Vec::len)),
        (&json!(true), Some(1))
    );
    bench.world.slack(|desk, _| {
        desk.remove_app(&private);
        desk.remove_app(&shared);
    });
    assert_eq!(form(&bench, "conversations.info", &format!("channel={private}")).body["error"], "channel_not_found");
    assert_eq!(form(&bench, "conversations.history", &format!("channel={shared}")).body["error"], "not_in_channel");
    assert_eq!(form(&bench, "conversations.join", &format!("channel={shared}")).body["ok"], json!(true));
    assert_eq!(form(&bench, "conversations.history", &format!("channel={shared}")).body["ok"], json!(true));
    let list = form(&bench, "conversations.list", "types=private_channel");
    assert_eq!(list.body["channels"], json!([]));
}

//! What Slack posts: its signature, its forms, its repeats; and the payloads that Slack itself publishes.

use chrono::{DateTime, TimeDelta};
use connectors::{Kind, Outside, Request, Secrets};
use http::HeaderMap;
use sandbox::slack::Shown;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::bench::{Bench, GENERAL};

#[tokio::test]
async fn forgeries_and_replays_are_refused_on_both_sides_of_now() {
    let bench = Bench::new().await;
    let (ada, _) = bench.people();
    bench.say(GENERAL, &ada, "It fails");
    let hook = bench.slack.webhook().expect("it receives");
    let outgoing = bench.world.due_webhooks().pop().expect("an event");
    let open = |body: &[u8], seconds: i64| {
        let raw = Request { headers: &outgoing.headers, body };
        hook.open(raw, bench.world.now() + TimeDelta::seconds(seconds)).map_err(|refusal| refusal.label())
    };
    for seconds in [-300, -1, 0, 300] {
        assert!(open(&outgoing.body, seconds).is_ok(), "{seconds}");
    }
    for seconds in [-301, 301, 100_000] {
        assert_eq!(open(&outgoing.body, seconds).err(), Some("stale"), "{seconds}");
    }
    assert_eq!(open(&[&outgoing.body[..], b" "].concat(), 0).err(), Some("forged"));
    let without = |name: &str| {
        let mut headers = outgoing.headers.clone();
        headers.remove(name);
        hook.open(Request { headers: &headers, body: &outgoing.body }, bench.world.now())
            .map_err(|refusal| refusal.status())
    };
    assert_eq!(without("x-slack-signature").err(), Some(401));
    assert_eq!(without("x-slack-request-timestamp").err(), Some(401));
}

#[tokio::test]
async fn a_repeat_may_be_the_only_copy() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let ts = bench.say(GENERAL, &ada, "It fails");
    bench.deliver();
    bench.react(GENERAL, &ts, &bo, "bug");
    // The first attempt finds nobody.
    for outgoing in bench.world.due_webhooks() {
        bench.world.delivered(outgoing, None);
    }
    let again = bench.world.due_webhooks();
    assert_eq!(again[0].headers["x-slack-retry-num"], "1");
    for outgoing in again {
        bench.world.delivered(outgoing, Some(503));
    }
    bench.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(bench.deliver().fetch, [bench.key(&ts)]);
}

#[tokio::test]
async fn an_edit_is_looked_at_and_an_unfolding_link_is_not() {
    let bench = Bench::new().await;
    let (ada, bo) = bench.people();
    let ts = bench.say(GENERAL, &ada, "See https://page.example");
    bench.react(GENERAL, &ts, &bo, "bug");
    bench.fetch(&ts).await.expect("read");
    bench.deliver();
    bench.world.slack(|desk, cx| desk.unfurl(GENERAL, &ts, cx));
    assert!(bench.deliver().fetch.is_empty());
    bench.world.slack(|desk, cx| desk.edit(GENERAL, &ts, "See the page", cx));
    assert_eq!(bench.deliver().fetch, [bench.key(&ts)]);
    // Somebody answers below what is captured; below anything else it is no news.
    bench.reply(GENERAL, &ts, &ada, "Also here");
    assert_eq!(bench.deliver().fetch, [bench.key(&ts)]);
    let other = bench.say(GENERAL, &ada, "Lunch?");
    bench.reply(GENERAL, &other, &bo, "Yes");
    bench.react(GENERAL, &other, &bo, "pizza");
    assert!(bench.deliver().fetch.is_empty());
}

#[tokio::test]
async fn slack_is_answered_as_it_wants() {
    let bench = Bench::new().await;
    bench.deliver();
    bench.world.slack(sandbox::slack::Slack::send_verification);
    let reply = bench.deliver().reply.expect("the challenge");
    assert_eq!((reply.content_type, reply.body.as_str()), ("text/plain; charset=utf-8", "3eZbrw1aB10"));
    bench.world.slack(sandbox::slack::Slack::send_rate_limited);
    let told = bench.deliver();
    assert!(told.pull == ["history"] && told.notice.is_some_and(|notice| notice.contains("dropped events")));
    let form = HeaderMap::from_iter([(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/x-www-form-urlencoded"),
    )]);
    for body in ["ssl_check=1&token=legacy", "payload=%7B%22type%22%3A%22block_actions%22%7D"] {
        let headers = signed(form.clone(), "signing secret", body, bench.world.now().timestamp());
        let delivery = bench
            .slack
            .webhook()
            .expect("it receives")
            .open(Request { headers: &headers, body: body.as_bytes() }, bench.world.now());
        assert!(delivery.is_ok_and(|delivery| delivery.records.is_empty() && delivery.reply.is_none()), "{body}");
    }
}

fn signed(mut headers: HeaderMap, secret: &str, body: &str, at: i64) -> HeaderMap {
    use hmac::Mac;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(format!("v0:{at}:{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    headers.insert("x-slack-signature", format!("v0={hex}").parse().expect("a header"));
    headers.insert("x-slack-request-timestamp", at.into());
    headers
}

#[tokio::test]
async fn a_command_is_kept_whole_and_answered_with_its_number() {
    let bench = Bench::with(&json!({"channels": {GENERAL: "acme.example"}})).await;
    let (ada, _) = bench.people();
    bench.deliver();
    let ask = |text: &str, command: &str| {
        let trigger = bench.world.slack(|desk, cx| desk.slash(GENERAL, &ada, command, text, cx));
        let outgoing = bench.world.due_webhooks().pop().expect("a command");
        let raw = Request { headers: &outgoing.headers, body: &outgoing.body };
        let hook = bench.slack.webhook().expect("it receives");
        let delivery = hook.open(raw, bench.world.now()).expect("it is Slack's");
        // Brought twice, it is one.
        assert_eq!(hook.open(raw, bench.world.now()).expect("it is Slack's").records, delivery.records);
        let reply = delivery.reply.clone().expect("an answer");
        bench.world.answered(outgoing, Some(200), reply.body.as_bytes(), std::time::Duration::from_millis(5));
        let shown = bench.world.slack(|desk, _| desk.shown(&trigger));
        (delivery, reply, shown)
    };
    let (delivery, reply, shown) = ask("The <b> & the \"c\" fail", "/feedback");
    let [record] = delivery.records.as_slice() else { panic!("one record: {:?}", delivery.records) };
    assert_eq!((record.key.collection.as_str(), reply.names.as_ref()), ("command", Some(&record.key)));
    let body = record.body.as_ref().expect("whole");
    assert_eq!(body["text"], "The <b> & the \"c\" fail");
    assert_eq!((&body["user"]["id"], &body["customer"]["domains"]), (&json!(ada), &json!(["acme.example"])));
    assert_eq!(shown, Some(Shown::Text("Thank you: noted as {id}.".into())));
    let answer: Value = serde_json::from_str(&reply.body).expect("JSON");
    assert_eq!(
        (reply.content_type, &answer["response_type"]),
        ("application/json; charset=utf-8", &json!("ephemeral"))
    );
    let (again, ..) = ask("The <b> & the \"c\" fail", "/feedback");
    assert_ne!(again.records[0].key, record.key, "said twice, it is two");
    for (text, command, part) in
        [("", "/feedback", "/feedback The export"), (" help ", "/Feedback", ":bug:"), ("x", "/other", "`commands`")]
    {
        let (delivery, _, shown) = ask(text, command);
        assert!(delivery.records.is_empty());
        assert!(matches!(&shown, Some(Shown::Text(text)) if text.contains(part)), "{shown:?}");
    }
}

/// The signatures that others have computed.
#[test]
fn the_published_vectors_verify() {
    let path = crate::shared("specs/webhooks/webhook-signature-vectors.json");
    let Ok(text) = std::fs::read_to_string(path) else { return println!("left out: no vectors beside the repository") };
    let vectors: Value = serde_json::from_str(&text).expect("JSON");
    let mut seen = 0;
    for vector in vectors["vectors"].as_array().expect("a list").iter().filter(|vector| vector["vendor"] == "slack") {
        seen += 1;
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let outside = Outside {
            transport: std::sync::Arc::new(connectors::http::Reqwest::new().expect("a client")),
            clock: crate::support::TestClock::new(),
            vault: std::sync::Arc::new(connectors::oauth::NoVault),
        };
        let secrets: Secrets = [("token", "xoxb-1".to_owned()), ("webhook_secret", text(&vector["secret"]))]
            .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
            .into();
        let settings = json!({"emoji": {"feedback": ""}, "commands": ["/webhook-collect"]});
        let slack = connectors::open(Kind::Slack, &settings, &secrets, &outside).expect("it opens");
        let body = text(&vector["raw_body"]);
        let mut headers = HeaderMap::new();
        for (name, value) in vector["headers"].as_object().expect("headers") {
            let name: http::HeaderName = name.parse().expect("a name");
            headers.insert(name, text(value).parse().expect("a value"));
        }
        let kind = if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        headers.insert("content-type", kind.parse().expect("a value"));
        let at: i64 = text(&vector["headers"]["X-Slack-Request-Timestamp"]).parse().expect("a number");
        let now = DateTime::from_timestamp(at, 0).expect("a time");
        let hook = slack.webhook().expect("it receives");
        let delivery = hook.open(Request { headers: &headers, body: body.as_bytes() }, now).expect("it verifies");
        // The command is empty: how to use it. The event names the message.
        assert!(
            delivery.reply.is_some() || delivery.fetch == [connectors::Key::new("message", "C0001:1763856000.000100")]
        );
        let forged = body.replacen('a', "b", 1);
        assert!(hook.open(Request { headers: &headers, body: forged.as_bytes() }, now).is_err());
    }
    assert_eq!(seen, 2);
}

/// Every payload is taken, and none makes up a message.
#[tokio::test]
async fn the_published_payloads_are_taken() {
    let Ok(folder) = std::fs::read_dir(crate::shared("data/payloads/slack")) else {
        return println!("left out: no payloads beside the repository");
    };
    let bench = Bench::new().await;
    let mut seen = 0;
    for file in folder.flatten().filter(|file| file.path().extension().is_some_and(|end| end == "json")) {
        seen += 1;
        let body = std::fs::read_to_string(file.path()).expect("a file");
        let mut headers = signed(HeaderMap::new(), "signing secret", &body, bench.world.now().timestamp());
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        let hook = bench.slack.webhook().expect("it receives");
        let delivery = hook.open(Request { headers: &headers, body: body.as_bytes() }, bench.world.now());
        let delivery = delivery.unwrap_or_else(|refusal| panic!("{:?}: {refusal}", file.file_name()));
        // Their ids are blank.
        assert!(delivery.records.is_empty() && delivery.fetch.is_empty(), "{:?}", file.file_name());
    }
    assert!(seen >= 19, "{seen} payloads");
}

//! In-app feedback over the real listener: what is taken is on disk, what is refused says why, and a browser is told no more
//! than it may know.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Daemon, GITHUB, Place, Response};

const APPS: &str = r#"
[ledger]
path = "ledger"

[http]
listen = "127.0.0.1:0"

[connection.console]
kind = "app"
key = "pk_console_1"
origins = ["https://app.example.com", "https://*.example.org"]
product = "Console"
servers = ["127.0.0.1"]

[connection.shop]
kind = "app"
keys = ["pk_shop_1", "pk_shop_2"]
origins = ["https://shop.example.com"]
require_origin = true
max_body_bytes = 2048
servers = ["127.0.0.1"]
"#;

const PATH: &str = "/v1/feedback";
const HERE: (&str, &str) = ("origin", "https://app.example.com");
const JSON: (&str, &str) = ("content-type", "application/json");

fn send(daemon: &Daemon, headers: &[(&str, &str)], body: &Value) -> Response {
    daemon.post(PATH, headers, body.to_string().as_bytes())
}

fn feedback(text: &str) -> Value {
    json!({"key": "pk_console_1", "text": text})
}

/// A refusal as RFC 9457 has it, with the field at fault.
#[track_caller]
fn refused(response: &Response, status: u16, field: &str) {
    assert_eq!(response.status, status, "{}", response.body);
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{}", response.body);
    let problem = response.json();
    assert_eq!((&problem["status"], &problem["field"]), (&json!(status), &json!(field)), "{problem}");
    assert!(problem["mend"].is_string() && problem["detail"].is_string(), "{problem}");
}

/// What `why` says of it, once it has been drawn.
fn why(place: &Place, id: &str) -> Value {
    for _ in 0..100 {
        let said = place.loopd(&["why", id, "--json"]);
        if said.code == Some(0) {
            return said.json();
        }
    }
    panic!("{id} was not drawn");
}

fn field<'v>(why: &'v Value, path: &str) -> &'v Value {
    let fields = why["fields"].as_array().expect("fields");
    fields.iter().find(|field| field["path"] == path).map_or(&Value::Null, |field| &field["value"])
}

#[test]
fn what_is_acknowledged_is_on_disk_and_a_repeat_is_the_same_item() {
    let place = Place::with(APPS);
    let daemon = place.run();
    let body = json!({
        "key": "pk_console_1", "kind": "error", "text": "Inviting a colleague", "error": {"code": 500},
        "url": "https://app.example.com/team?invite=secret", "user": {"email": "ada@lumen.example.com"}, "account": {"id": 42},
    });
    let name = ("idempotency-key", "7d1c2f0e-0001");
    let first = send(&daemon, &[JSON, HERE, name], &body);
    assert_eq!(first.status, 202, "{}", first.body);
    let id = first.json()["id"].as_str().expect("a short id").to_owned();
    assert!(id.starts_with("FB-"), "{id}");
    daemon.signal(Signal::KILL);
    daemon.ended();

    let daemon = place.run();
    // A beacon sets no header: the same piece, its name in the body.
    let mut again = body.clone();
    again["idempotency_key"] = json!("7d1c2f0e-0001");
    let second = send(&daemon, &[("content-type", "text/plain;charset=UTF-8"), HERE], &again);
    assert_eq!((second.status, &second.body), (202, &first.body));
    let found = why(&place, &id);
    assert_eq!(field(&found, "verbatim"), "Inviting a colleague");
    assert_eq!(field(&found, "title"), "Error page 500");
    assert_eq!(field(&found, "tags.category"), "bug");
    assert_eq!(field(&found, "tags.product"), "Console");
    assert!(field(&found, "received_at").is_string(), "it came when it came in");
    assert_eq!(found["origin"]["url"], "https://app.example.com/team", "without what stands behind the question mark");
    assert_eq!(found["origin"]["id"], "7d1c2f0e-0001", "it is found by the sender's own name for it");
    assert_eq!(daemon.stop(), Some(0));
    place.loopd(&["ledger", "verify"]).ends(0);
    let rows = place.loopd(&["ledger", "export", "-"]).ends(0).out;
    // (The record itself is compressed there; the connector's own tests look at that.)
    assert!(rows.contains("example.com/team") && !rows.contains("invite=secret"), "the query is not kept");
}

#[test]
fn a_word_more_under_the_same_name_is_the_same_item() {
    let place = Place::with(APPS);
    let daemon = place.run();
    let vote =
        json!({"key": "pk_console_1", "idempotency_key": "v-1", "kind": "thumbs", "rating": "down", "task": "export"});
    let id = send(&daemon, &[HERE], &vote).json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(field(&why(&place, &id), "verbatim"), &Value::Null);
    let mut more = vote;
    more["text"] = json!("It took minutes.");
    assert_eq!(send(&daemon, &[HERE], &more).json()["id"], id.as_str());
    let mut text = Value::Null;
    for _ in 0..100 {
        text = field(&why(&place, &id), "verbatim").clone();
        if !text.is_null() {
            break;
        }
    }
    assert_eq!(text, "It took minutes.");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_key_opens_its_own_app_and_only_from_its_own_pages() {
    let place = Place::with(APPS);
    let daemon = place.run();
    assert_eq!(send(&daemon, &[HERE], &feedback("mine")).status, 202);
    assert_eq!(send(&daemon, &[], &feedback("from a server")).status, 202);
    refused(&send(&daemon, &[("origin", "https://shop.example.com")], &feedback("another's page")), 403, "Origin");
    refused(&send(&daemon, &[("origin", "null")], &feedback("no page")), 403, "Origin");
    refused(&send(&daemon, &[("origin", "https://app.example.com.evil.example")], &feedback("alike")), 403, "Origin");
    refused(&send(&daemon, &[HERE], &json!({"key": "pk_nobody_1", "text": "a guess"})), 401, "key");
    refused(&send(&daemon, &[HERE], &json!({"text": "no key"})), 401, "key");
    let shop = |headers: &[(&str, &str)]| send(&daemon, headers, &json!({"key": "pk_shop_2", "text": "rotated"}));
    assert_eq!(shop(&[("origin", "https://shop.example.com")]).status, 202);
    refused(&shop(&[]), 403, "Origin");
    assert_eq!(daemon.post("/hooks/console", &[JSON], b"{}").status, 404, "there is no way round the limits");
    let metrics = daemon.get("/metrics").body;
    for counted in [
        "loopd_webhooks_received_total{connection=\"console\"} 2",
        "loopd_webhooks_received_total{connection=\"shop\"} 1",
        "loopd_webhooks_refused_total{connection=\"console\",reason=\"origin\"} 3",
        "loopd_webhooks_refused_total{connection=\"\",reason=\"unknown\"} 3",
    ] {
        assert!(metrics.contains(counted), "{counted} is not in:\n{metrics}");
    }
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_browser_is_told_what_its_page_may_do_and_caches_are_told_that_it_depends() {
    let place = Place::with(APPS);
    let daemon = place.run();
    let preflight = |origin: &str| {
        let head = format!(
            "OPTIONS {PATH} HTTP/1.1\r\nhost: test\r\nconnection: close\r\norigin: {origin}\r\n\
             access-control-request-method: POST\r\naccess-control-request-headers: content-type,idempotency-key\r\n\r\n"
        );
        daemon.send(&head, b"")
    };
    for origin in ["https://app.example.com", "https://a.b.example.org", "https://shop.example.com"] {
        let answer = preflight(origin);
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        let allowed = answer.header("access-control-allow-headers").unwrap_or_default();
        assert!(
            ["content-type", "idempotency-key", "x-loopd-key"].iter().all(|name| allowed.contains(name)),
            "{allowed}"
        );
        assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "for beacons of a Blob");
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("Origin")));
    }
    for origin in ["https://evil.example", "null", "https://example.org", "https://app.example.com:8443"] {
        let answer = preflight(origin);
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None), "{origin}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{origin}");
    }
    for (headers, allowed) in [(&[HERE][..], Some("https://app.example.com")), (&[][..], None)] {
        let answer = send(&daemon, headers, &feedback("a"));
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
        assert!(answer.header("vary").is_some_and(|vary| vary.starts_with("Origin")));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    // A page may read what it did wrong.
    let answer = send(&daemon, &[HERE], &json!({"key": "pk_console_1", "kind": "thumbs"}));
    refused(&answer, 422, "rating");
    assert_eq!(answer.header("access-control-allow-origin"), Some(HERE.1));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_is_wrong_is_told_with_its_field_and_its_mend() {
    let place = Place::with(APPS);
    let daemon = place.run();
    let key = ("x-loopd-key", "pk_console_1");
    refused(&daemon.post(PATH, &[key, JSON], b"{\"text\": "), 400, "body");
    refused(&daemon.post(PATH, &[key, JSON], b"[]"), 422, "body");
    refused(
        &daemon.post(PATH, &[key, ("content-type", "application/x-www-form-urlencoded")], b"text=a"),
        415,
        "Content-Type",
    );
    refused(&daemon.post(PATH, &[key, JSON, ("content-encoding", "gzip")], b"{}"), 415, "Content-Encoding");
    refused(&daemon.post(PATH, &[key, JSON], &vec![b' '; 65537]), 413, "body");
    let long = json!({"key": "pk_shop_1", "text": "a".repeat(3000)});
    refused(&send(&daemon, &[("origin", "https://shop.example.com")], &long), 413, "body");
    refused(&send(&daemon, &[key], &json!({"text": "a", "user": {"mail": "x"}})), 422, "user.mail");
    refused(&send(&daemon, &[key], &json!({"kind": "praise", "text": "a"})), 422, "kind");
    let got = daemon.get(PATH);
    assert_eq!((got.status, got.header("allow")), (405, Some("POST, OPTIONS")));
    assert_eq!(daemon.get("/v1/nothing").status, 404);
    assert_eq!(daemon.stop(), Some(0));

    let place = Place::with(GITHUB);
    let daemon = place.run();
    for path in [PATH, "/v1/widget.js", "/v1/openapi.json"] {
        assert_eq!(daemon.get(path).status, 404, "{path}: there is no app here");
    }
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn who_sends_too_often_is_told_when_to_come_back() {
    let limited = APPS
        .replace("product = \"Console\"\nservers = [\"127.0.0.1\"]", "per_address = { calls = 6, per_seconds = 3600, burst = 2 }")
        .replace("[connection.console]", "[connection.many]\nkind = \"app\"\nkey = \"pk_many_1\"\nper_key = { calls = 1, per_seconds = 3600 }\n\n[connection.console]");
    let place = Place::with(&limited);
    let daemon = place.run();
    let from = |address: &str| send(&daemon, &[("x-forwarded-for", address)], &feedback("a"));
    assert_eq!((from("203.0.113.1").status, from("203.0.113.2").status), (202, 202));
    // Nobody said that a proxy is in front: what the sender writes there does not make another sender of them.
    let answer = from("203.0.113.3");
    assert_eq!(answer.status, 429);
    let wait: u64 = answer.header("retry-after").and_then(|wait| wait.parse().ok()).expect("when to come back");
    assert!((590..=600).contains(&wait), "{wait}");
    let many = || send(&daemon, &[], &json!({"key": "pk_many_1", "text": "a"}));
    assert_eq!((many().status, many().status), (202, 429), "the key's own limit");
    // Guessing keys is bounded as well.
    let guesses: Vec<u16> =
        (0..40).map(|at| send(&daemon, &[], &json!({"key": format!("pk_guess_{at}"), "text": "a"})).status).collect();
    assert_eq!(guesses.iter().collect::<BTreeSet<_>>(), [401, 429].iter().collect());
    assert_eq!(daemon.stop(), Some(0));

    // Behind a proxy that is ours, each sender is one.
    let place = Place::with(
        &limited.replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.0/8\"]"),
    );
    let daemon = place.run();
    let from = |address: &str| send(&daemon, &[("x-forwarded-for", address)], &feedback("a")).status;
    assert_eq!([from("203.0.113.1"), from("203.0.113.1"), from("203.0.113.1")], [202, 202, 429]);
    assert_eq!(from("198.51.100.1, 203.0.113.1"), 429, "what stood there before the proxy wrote is not believed");
    assert_eq!(from("203.0.113.2"), 202);
    assert_eq!([from("2001:db8::1"), from("2001:db8::2"), from("2001:db8::3")], [202, 202, 429], "one household");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn the_script_and_the_description_are_cached_until_they_change() {
    let place = Place::with(APPS);
    let daemon = place.run();
    let got = daemon.get("/v1/widget.js");
    assert_eq!((got.status, got.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert!(got.body.contains("loopd"));
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    assert!(got.header("cache-control").is_some_and(|cache| cache.contains("max-age=")));
    let tag = got.header("etag").expect("an ETag").to_owned();
    let ask = |method: &str, known: &str| {
        daemon.send(
            &format!(
                "{method} /v1/widget.js HTTP/1.1\r\nhost: test\r\nconnection: close\r\nif-none-match: {known}\r\n\r\n"
            ),
            b"",
        )
    };
    for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
        let again = ask("GET", &known);
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{known}");
        assert_eq!(again.header("etag"), Some(tag.as_str()));
    }
    assert_eq!(ask("GET", "\"other\"").status, 200);
    let head = ask("HEAD", "\"other\"");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(ask("POST", "\"other\"").status, 405);
    let document = daemon.get("/v1/openapi.json");
    assert_eq!((document.status, document.json()["openapi"].as_str()), (200, Some("3.1.0")));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_finds_no_room_is_sent_again() {
    // No disk of a test machine has a pebibyte free.
    let place = Place::with(&APPS.replace("path = \"ledger\"", "path = \"ledger\"\nkeep_free_mb = 1073741824"));
    let daemon = place.run();
    let answer = send(&daemon, &[HERE], &feedback("a"));
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(answer.header("access-control-allow-origin"), Some(HERE.1), "the page can read that it should wait");
    assert!(answer.json()["mend"].as_str().is_some_and(|mend| mend.contains("same idempotency key")));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_key_is_replaced_by_a_reload() {
    let place = Place::with(APPS);
    let mut daemon = place.run();
    assert_eq!(send(&daemon, &[], &feedback("old")).status, 202);
    place.write("config.toml", &APPS.replace("pk_console_1", "pk_console_2"));
    daemon.signal(Signal::HUP);
    daemon.wait_for("the new configuration is in use");
    refused(&send(&daemon, &[], &feedback("old")), 401, "key");
    assert_eq!(send(&daemon, &[], &json!({"key": "pk_console_2", "text": "new"})).status, 202);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_key_that_would_mean_two_apps_is_refused_by_check() {
    let place = Place::with(&APPS.replace("pk_shop_2", "pk_console_1"));
    place.loopd(&["check"]).ends(2).says("\"pk_console_1\" is a key of connection.console as well");
    let place = Place::with(
        &APPS.replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:0\"\ntrusted_proxies = [\"proxy\"]"),
    );
    place.loopd(&["check"]).ends(2).says("neither an address nor a network");
    Place::with(APPS).loopd(&["check"]).ends(0);
}

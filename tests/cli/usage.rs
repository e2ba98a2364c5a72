//! Usage as a sender meets the daemon, and as a person asks for it.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::{Daemon, Place, Response, SECRET};

const SEGMENT: &str = r#"
[ledger]
path = "ledger"

[http]
listen = "127.0.0.1:0"
public_url = "https://loopd.example.com"
max_body_bytes = 1048576

[connection.segment]
kind = "segment"
webhook = true
write_key = { env = "TEST_TOKEN" }

[connection.second]
kind = "segment"
webhook = true
write_key = { env = "TEST_SECRET" }
"#;

fn batch(ids: std::ops::Range<usize>) -> Vec<u8> {
    let events: Vec<Value> = ids
        .map(|n| {
            json!({
                "type": "track", "event": if n % 3 == 0 { "Import" } else { "Export" }, "userId": format!("u{}", n % 5),
                "context": {"groupId": "Acme"}, "messageId": format!("m-{n}"),
            })
        })
        .collect();
    json!({"batch": events}).to_string().into_bytes()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

fn post(daemon: &Daemon, path: &str, key: &str, more: &[(&str, &str)], body: &[u8]) -> Response {
    let basic = format!("Basic {}", STANDARD.encode(format!("{key}:")));
    let headers: Vec<(&str, &str)> = [("authorization", basic.as_str()), ("content-type", "application/json")]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    daemon.post(path, &headers, body)
}

#[test]
fn what_senders_send_is_counted_once_and_shown() {
    let place = Place::with(SEGMENT);
    let daemon = place.run();
    let took = post(&daemon, "/v1/batch", "token", &[], &batch(0..30));
    assert_eq!((took.status, took.body.as_str()), (200, "{\"success\":true}"));
    // Python's SDK may compress; killed at once, what was acknowledged is there; and it may come again.
    let packed = gzip(&batch(20..60));
    assert_eq!(post(&daemon, "/v1/batch", "token", &[("content-encoding", "gzip")], &packed).status, 200);
    daemon.signal(rustix::process::Signal::KILL);
    daemon.ended();
    let daemon = place.run();
    assert_eq!(post(&daemon, "/v1/batch", "token", &[("content-encoding", "gzip")], &packed).status, 200);
    // In the body, as browsers put it; and of another connection.
    let first = SECRET.split(' ').next().expect("a word");
    let call = json!({"event": "Export", "userId": "x", "messageId": "m-1", "groupId": "Quill", "writeKey": first})
        .to_string();
    assert_eq!(daemon.post("/v1/t", &[("content-type", "text/plain")], call.as_bytes()).status, 200);

    let said = place.loopd(&["usage", "--json"]).ends(0).json();
    let row = |n: usize| {
        let row = &said["rows"][n];
        (row["account"].as_str(), row["feature"].as_str(), row["events"].as_u64(), row["users"].as_u64())
    };
    assert_eq!(said["events"], 61);
    assert_eq!(row(0), (Some("acme"), Some("Export"), Some(40), Some(5)));
    assert_eq!(row(1), (Some("acme"), Some("Import"), Some(20), Some(5)));
    assert_eq!(row(2), (Some("quill"), Some("Export"), Some(1), Some(1)));
    let one = place.loopd(&["usage", "--account", "ACME", "--feature", "import", "--since", "7d"]).ends(0);
    assert!(
        one.out.contains("20 events from") && one.out.contains("new") && !one.out.contains("Export"),
        "{}",
        one.out
    );
    place.loopd(&["usage", "--account", "nobody"]).ends(0).says("No usage from");
    place.loopd(&["usage", "--since", "soon"]).ends(2).says("2026-01-31");
    // Before anything was ever counted, and before any calendar.
    place.loopd(&["usage", "--since=-262000-01-01"]).ends(0).says("61 events from 1970-01-01");

    let metrics = daemon.get("/metrics").body;
    for counted in [
        "loopd_usage_events_total{connection=\"segment\"} 60",
        "loopd_usage_duplicates_total{connection=\"segment\"} 50",
        "loopd_usage_events_total{connection=\"second\"} 1",
    ] {
        assert!(metrics.contains(counted), "{counted} is not in:\n{metrics}");
    }
    let status = place.loopd(&["status", "--json"]).ends(0).json();
    assert_eq!(status["usage"]["segment"]["events"], 60);
    assert_eq!(daemon.stop(), Some(0));
    place.loopd(&["ledger", "verify"]).ends(0);
    place.loopd(&["usage"]).ends(0).says("acme");
}

#[test]
fn what_cannot_be_taken_is_answered_as_senders_understand_it() {
    let place = Place::with(SEGMENT);
    let daemon = place.run();
    for (path, key, more, body, status) in [
        ("/v1/batch", "another", &[][..], batch(0..1), 401),
        ("/v1/batch", "", &[], batch(0..1), 401),
        ("/v1/nothing", "token", &[], batch(0..1), 404),
        ("/v1/batch", "token", &[], b"{\"batch\": [".to_vec(), 400),
        ("/v1/batch", "token", &[], vec![b' '; 600 * 1024], 400),
        ("/v1/batch", "token", &[("content-encoding", "gzip")], b"no gzip".to_vec(), 400),
        ("/v1/batch", "token", &[("content-encoding", "br")], batch(0..1), 415),
        // A small body that would become a large one.
        ("/v1/batch", "token", &[("content-encoding", "gzip")], gzip(&vec![b' '; 64 << 20]), 413),
    ] {
        let answer = post(&daemon, path, key, more, &body);
        assert_eq!(answer.status, status, "{path} {key} {more:?}: {}", answer.body);
        // Where no sender's path is, there is nobody to be answered in their words.
        if status != 404 {
            let said: Value = serde_json::from_str(&answer.body).expect("JSON");
            assert_eq!(said["success"], false);
            assert!(said["code"].is_string() && said["message"].is_string(), "{}", answer.body);
        }
    }
    // An event that is none is told, and not for ever.
    let told = |place: &Place| place.loopd(&["status"]).ends(0).out.contains("1 event was left out");
    assert!(!told(&place));
    let one =
        json!({"batch": [{"type": "track", "event": "Export", "userId": "u"}, {"type": "nonsense", "userId": "u"}]});
    assert_eq!(post(&daemon, "/v1/batch", "token", &[], one.to_string().as_bytes()).status, 200);
    assert!(told(&place));
    let preflight = daemon.send("OPTIONS /v1/t HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n", b"");
    assert_eq!(preflight.status, 204);
    assert_eq!(daemon.stop(), Some(0));
    let daemon = place.run();
    let quiet = std::iter::repeat_with(|| told(&place)).take(200).any(|told| !told);
    assert!(quiet, "it was shown until the daemon was started anew");
    assert_eq!(daemon.stop(), Some(0));
}

//! Webhooks as strangers send them: each refused with the status that it deserves, and counted.

use std::io::{Read, Write};
use std::net::TcpStream;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::support::{Daemon, GITHUB, PATIENCE, Place, SECRET};

fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key will do");
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

fn issue(title: &str) -> Vec<u8> {
    let body = serde_json::json!({
        "action": "opened",
        "repository": {"id": 1, "full_name": "example/app"},
        "issue": {
            "id": 11, "number": 1, "title": title, "body": "It stops when I press the button.", "state": "open",
            "html_url": "https://github.com/example/app/issues/1", "labels": [],
            "created_at": "2026-11-20T08:00:00Z", "updated_at": "2026-11-20T08:00:00Z", "user": {"login": "ada", "id": 5, "type": "User"},
        },
    });
    serde_json::to_vec(&body).expect("it is JSON")
}

fn deliver(daemon: &Daemon, body: &[u8], signature: &str, more: &[(&str, &str)]) -> u16 {
    let mut headers = vec![
        ("x-hub-signature-256", signature),
        ("x-github-event", "issues"),
        ("x-github-delivery", "6f1c0000-0000-4000-8000-000000000001"),
    ];
    headers.extend_from_slice(more);
    daemon.post("/hooks/github", &headers, body).status
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_good_one_is_on_disk_when_it_is_answered() {
    let place = Place::with(GITHUB);
    let daemon = place.run();
    let body = issue("The button breaks it");
    assert_eq!(deliver(&daemon, &body, &signature(&body), &[JSON]), 200);
    // Once more: a replay changes nothing.
    assert_eq!(deliver(&daemon, &body, &signature(&body), &[JSON]), 200);
    // Killed at once, it is still there.
    daemon.signal(rustix::process::Signal::KILL);
    daemon.ended();
    let daemon = place.run();
    let mut found = String::new();
    for _ in 0..100 {
        let said = place.loopd(&["why", "https://github.com/example/app/issues/1"]);
        if said.code == Some(0) {
            found = said.out;
            break;
        }
        // Normalize has not come to it yet; asking takes time enough.
    }
    assert!(found.contains("The button breaks it"), "{found}");
    assert_eq!(daemon.stop(), Some(0));
    place.loopd(&["ledger", "verify"]).ends(0);
}

#[test]
fn what_is_not_the_vendors_is_refused_and_counted() {
    let place = Place::with(GITHUB);
    let daemon = place.run();
    let body = issue("Not signed by them");
    let good = signature(&body);
    assert_eq!(daemon.post("/hooks/github", &[JSON], &body).status, 401, "no signature");
    assert_eq!(deliver(&daemon, &body, &signature(b"another body"), &[JSON]), 401, "forged");
    assert_eq!(deliver(&daemon, &body, &good, &[("content-type", "text/html")]), 415, "wrongly typed");
    assert_eq!(deliver(&daemon, &body, &good, &[JSON, ("content-encoding", "gzip")]), 415, "compressed");
    assert_eq!(deliver(&daemon, &body, &good, &[JSON, ("content-encoding", "deflate")]), 415, "compressed");
    assert_eq!(deliver(&daemon, &body, &good, &[JSON, ("content-encoding", "identity")]), 200);
    let cut = &body[..body.len() / 2];
    assert_eq!(deliver(&daemon, cut, &signature(cut), &[JSON]), 400, "truncated");
    assert_eq!(daemon.post("/hooks/nobody", &[JSON], &body).status, 404);
    assert_eq!(daemon.get("/hooks/github").status, 405);
    let metrics = daemon.get("/metrics").body;
    for counted in [
        "loopd_webhooks_received_total{connection=\"github\"} 1",
        "loopd_webhooks_refused_total{connection=\"github\",reason=\"forged\"} 2",
        "loopd_webhooks_refused_total{connection=\"github\",reason=\"encoded\"} 2",
        "loopd_webhooks_refused_total{connection=\"github\",reason=\"malformed\"} 1",
        "loopd_webhooks_refused_total{connection=\"\",reason=\"unknown\"} 1",
    ] {
        assert!(metrics.contains(counted), "{counted} is not in:\n{metrics}");
    }
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn too_much_is_refused_whether_it_is_announced_or_not() {
    let place = Place::with(GITHUB);
    let daemon = place.run();
    let large = vec![b' '; 65537];
    assert_eq!(deliver(&daemon, &large, &signature(&large), &[JSON]), 413, "announced");
    let head = "POST /hooks/github HTTP/1.1\r\nhost: test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut chunks = b"10000\r\n".to_vec();
    chunks.extend(vec![b' '; 0x10000]);
    chunks.extend(b"\r\n10000\r\n");
    chunks.extend(vec![b' '; 0x10000]);
    chunks.extend(b"\r\n0\r\n\r\n");
    assert_eq!(daemon.send(head, &chunks).status, 413, "in chunks");
    let long = format!("GET /healthz HTTP/1.1\r\nhost: test\r\nx-long: {}\r\n\r\n", "a".repeat(64 * 1024));
    assert_eq!(daemon.send(&long, b"").status, 431, "a head that does not end");
    assert_eq!(daemon.get("/healthz").status, 200);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_body_that_trickles_is_given_up() {
    let place = Place::with(GITHUB);
    let daemon = place.run();
    let mut stream = TcpStream::connect(&daemon.address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
        .write_all(b"POST /hooks/github HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n{")
        .expect("it takes it");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_is_only_announced_keeps_nobody_out() {
    let place = Place::with(&GITHUB.replace("max_body_bytes = 65536", "max_body_bytes = 26214400"));
    let daemon = place.run();
    // Four times 25 MiB is more than there is room for; of each, one byte has come.
    let hold = || {
        let mut stream = TcpStream::connect(&daemon.address).expect("it listens");
        let head = b"POST /hooks/github HTTP/1.1\r\nhost: test\r\ncontent-length: 26214400\r\n\r\n{";
        stream.write_all(head).expect("it takes it");
        stream
    };
    let held: Vec<TcpStream> = (0..4).map(|_| hold()).collect();
    let body = issue("The button breaks it");
    assert_eq!(deliver(&daemon, &body, &signature(&body), &[JSON]), 200);
    drop(held);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_finds_no_room_is_not_acknowledged_until_there_is_some() {
    let short = |mb: u32| GITHUB.replace("path = \"ledger\"", &format!("path = \"ledger\"\nkeep_free_mb = {mb}"));
    // No disk of a test machine has a pebibyte free.
    let place = Place::with(&short(1_073_741_824));
    let mut daemon = place.run();
    let body = issue("The button breaks it");
    assert_eq!(deliver(&daemon, &body, &signature(&body), &[JSON]), 503);
    assert_eq!(deliver(&daemon, &body, &signature(b"another body"), &[JSON]), 401, "forged is forged");
    let ready = daemon.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("the disk is full") && ready.body.contains("in reserve"), "{}", ready.body);
    assert_eq!(daemon.get("/healthz").status, 200, "it lives");
    place.loopd(&["status"]).says("nothing is taken in: the disk is full");

    place.write("config.toml", &short(64));
    daemon.signal(rustix::process::Signal::HUP);
    daemon.wait_for("the new configuration is in use");
    assert_eq!(daemon.get("/readyz").status, 200);
    place.loopd(&["why", "https://github.com/example/app/issues/1"]).ends(1);
    assert_eq!(deliver(&daemon, &body, &signature(&body), &[JSON]), 200);
    assert_eq!(daemon.stop(), Some(0));
    place.loopd(&["ledger", "verify"]).ends(0);
}

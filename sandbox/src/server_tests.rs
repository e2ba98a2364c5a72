use std::sync::{Arc, Mutex};

use chrono::DateTime;
use futures::StreamExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Ports, serve};
use crate::faults::FailKind;
use crate::world::{Vendor, World};

fn world() -> Arc<World> {
    World::new(1, Arc::new(|| DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default()))
}

async fn speak(base: &str, request: &str) -> String {
    let address = base.trim_start_matches("http://").split('/').next().expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let mut answer = Vec::new();
    // A server may answer and hang up before it has read all; and a cut may come as an end or as a reset.
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const GET_USER: &str =
    "GET /user HTTP/1.1\r\nhost: x\r\nuser-agent: t\r\nauthorization: Bearer ghp_sandbox\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn it_answers_and_a_cut_sends_not_one_byte() {
    let world = world();
    let served = serve(Arc::clone(&world), &Ports::new()).await.expect("serves");
    let answer = speak(served.base(Vendor::GitHub), GET_USER).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains(served.base(Vendor::GitHub)), "links lead back here: {answer}");
    for kind in [FailKind::CutBefore, FailKind::CutAfter] {
        world.fail_next(Vendor::GitHub, 1, kind);
        assert_eq!(speak(served.base(Vendor::GitHub), GET_USER).await, "");
    }
    assert!(served.base(Vendor::Airtable).ends_with("/v0") && served.base(Vendor::Linear).ends_with("/graphql"));
    let base = served.base(Vendor::GitHub).to_owned();
    served.shutdown().await;
    assert!(TcpStream::connect(base.trim_start_matches("http://")).await.is_err());
}

#[tokio::test]
async fn a_body_too_large_is_refused() {
    let served = serve(world(), &Ports::new()).await.expect("serves");
    let head = "POST /tags HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999\r\n\r\n";
    let answer = speak(served.base(Vendor::Intercom), &format!("{head}{}", " ".repeat(33 * 1024 * 1024))).await;
    assert!(answer.starts_with("HTTP/1.1 413") || answer.is_empty(), "{answer}");
    served.shutdown().await;
}

#[tokio::test]
async fn it_delivers_webhooks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    let world = world();
    let served = serve(Arc::clone(&world), &Ports::new()).await.expect("serves");
    world.intercom(|desk, cx| {
        desk.set_webhook(&url, "secret");
        desk.send_ping(cx);
    });
    let (mut stream, _) = listener.accept().await.expect("a delivery");
    let heard = Mutex::new(String::new());
    let mut buffer = [0; 4096];
    while !heard.lock().expect("lock").contains("notification_event") {
        let read = stream.read(&mut buffer).await.expect("reads");
        assert_ne!(read, 0);
        heard.lock().expect("lock").push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("answers");
    assert!(heard.into_inner().expect("lock").contains("x-hub-signature: sha1="));
    while world.books(Vendor::Intercom).webhooks_sent == 0 {
        tokio::task::yield_now().await;
    }
    served.shutdown().await;
}

#[tokio::test]
async fn a_line_that_is_hung_up_says_goodbye() {
    let served = serve(world(), &Ports::new()).await.expect("serves");
    let open = "POST /api/apps.connections.open HTTP/1.1\r\nhost: x\r\nauthorization: Bearer xapp-sandbox\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let answer = speak(served.base(Vendor::Slack), open).await;
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let url = serde_json::from_str::<Value>(body).expect("JSON")["url"].as_str().expect("a URL").to_owned();
    let address = url.trim_start_matches("ws://").split('/').next().expect("an address").to_owned();
    let stream = TcpStream::connect(address).await.expect("connects");
    let (mut line, _) = tokio_tungstenite::client_async(&url, stream).await.expect("a line");
    let hello = line.next().await.expect("a frame").expect("a whole one");
    assert!(hello.to_text().expect("a text").contains("\"hello\""), "{hello}");
    line.close(None).await.expect("closes");
    let goodbye = line.next().await.expect("an answer").expect("a frame, and no reset");
    assert!(goodbye.is_close(), "{goodbye}");
    served.shutdown().await;
}

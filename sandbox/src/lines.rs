//! WebSockets over loopback: Slack's Socket Mode, on the same port as its API.
//!
//! Nothing is decided here: frames are the stand-in's, and what is heard goes to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::wire;
use crate::world::{Vendor, World};

/// How often frames that have become due are looked for.
const LOOK: Duration = Duration::from_millis(20);
/// Looks between two pings.
const PING_EVERY: u32 = 250;

/// The answer to a request that asks for a WebSocket; `None`: it does not, or the vendor has none.
pub(crate) fn accept(
    world: &Arc<World>,
    vendor: Vendor,
    request: &mut Request<Incoming>,
    stopped: watch::Receiver<bool>,
) -> Option<Response<Bytes>> {
    let wants = request.headers().get(header::UPGRADE)?.as_bytes().eq_ignore_ascii_case(b"websocket");
    if !wants || vendor != Vendor::Slack {
        return None;
    }
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY)?.clone();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let Some(line) = world.slack(|desk, _| desk.line_opened(&query)) else {
        return Some(wire::empty(StatusCode::FORBIDDEN));
    };
    let upgrade = hyper::upgrade::on(request);
    let world = Arc::clone(world);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            converse(&world, line, socket, stopped).await;
        }
        world.slack(|desk, _| desk.line_closed(line));
    });
    let mut response = wire::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, http::HeaderValue::from_static("websocket"));
    wire::set(headers, "sec-websocket-accept", &derive_accept_key(key.as_bytes()));
    Some(response)
}

async fn converse(
    world: &World,
    line: u64,
    mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>,
    stopped: watch::Receiver<bool>,
) {
    let mut looks = 0_u32;
    while !*stopped.borrow() {
        let Some(frames) = world.slack(|desk, cx| desk.line_frames(line, cx)) else { return };
        let ends = frames.iter().any(|frame| frame.contains("\"type\":\"disconnect\""));
        for frame in frames {
            if socket.send(Message::text(frame)).await.is_err() {
                return;
            }
        }
        if ends {
            let _ = socket.close(None).await;
            return;
        }
        looks += 1;
        if looks.is_multiple_of(PING_EVERY) && socket.send(Message::Ping(Bytes::from_static(b"sandbox"))).await.is_err()
        {
            return;
        }
        match timeout(LOOK, socket.next()).await {
            Err(_) => {}
            Ok(Some(Ok(Message::Text(text)))) => world.slack(|desk, cx| desk.line_heard(line, text.as_str(), cx)),
            Ok(Some(Ok(Message::Close(_)))) => {
                // Its answer lies ready, and a client that waits for it calls its absence an error.
                let _ = socket.flush().await;
                return;
            }
            Ok(Some(Err(_)) | None) => return,
            Ok(Some(Ok(_))) => {}
        }
    }
}

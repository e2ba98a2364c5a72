//! The world over loopback HTTP: one listener a vendor, and the deliverer of webhooks.
//!
//! The law: nothing is decided here. A request goes to [`World::call`] as it came; its reply goes out as it is. A cut
//! closes the connection without a byte, which is why this speaks hyper itself: a router always answers something.
//!
//! This edge is the one place in the crate that sleeps and sends.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::world::{Outgoing, Reply, Vendor, World};
use crate::{lines, wire};

/// No request is larger; more is answered 413.
const MAX_BODY: usize = 32 * 1024 * 1024;
/// How often the deliverer looks for webhooks that have become due.
const LOOK: Duration = Duration::from_millis(20);
/// Deliveries under way at once.
const AT_ONCE: usize = 32;

/// Where to listen, on loopback. Vendors that are not named get any free port.
pub type Ports = BTreeMap<Vendor, u16>;

/// The running server. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Served {
    bases: BTreeMap<Vendor, String>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Served {
    /// The base URL, as clients of this vendor take it.
    pub fn base(&self, vendor: Vendor) -> &str {
        self.bases.get(&vendor).map_or("", String::as_str)
    }

    /// Stops listening, cuts what is open, and waits until it is gone. Webhooks under way are abandoned.
    pub async fn shutdown(mut self) {
        // No receiver is left only if every task has already ended.
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Serves the world, and tells it under which base URLs it is reached.
pub async fn serve(world: Arc<World>, ports: &Ports) -> io::Result<Served> {
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut open = Vec::new();
    for vendor in Vendor::ALL {
        let port = ports.get(&vendor).copied().unwrap_or(0);
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let base = format!("http://127.0.0.1:{}{}", listener.local_addr()?.port(), vendor.path());
        open.push((vendor, listener, base));
    }
    let bases = open.iter().map(|(vendor, _, base)| (*vendor, base.clone())).collect();
    for (vendor, listener, base) in open {
        world.set_base(vendor, &base);
        tasks.spawn(accept(Arc::clone(&world), vendor, listener, stopped.clone()));
    }
    tasks.spawn(deliver(world, client()?, stopped));
    Ok(Served { bases, stop, tasks })
}

async fn accept(world: Arc<World>, vendor: Vendor, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(Arc::clone(&world), vendor, stream, stopped.clone()));
                }
                // Out of file handles, or the peer is gone again: the next one may do better.
                Err(error) => {
                    tracing::warn!(vendor = vendor.name(), %error, "sandbox could not accept a connection");
                    pause(LOOK).await;
                }
            },
        }
    }
    connections.shutdown().await;
}

async fn converse(world: Arc<World>, vendor: Vendor, stream: TcpStream, stopped: watch::Receiver<bool>) {
    // Small answers must not wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let service =
        hyper::service::service_fn(move |request| answer(Arc::clone(&world), vendor, request, stopped.clone()));
    // An error is a cut of our own, or a client that went away; neither is news.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// The service's error: the connection is to be cut.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut by the sandbox")
    }
}

impl std::error::Error for Cut {}

type Answer = Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>;

async fn answer(
    world: Arc<World>,
    vendor: Vendor,
    mut request: Request<Incoming>,
    stopped: watch::Receiver<bool>,
) -> Result<Answer, Cut> {
    if let Some(accepted) = lines::accept(&world, vendor, &mut request, stopped) {
        return Ok(accepted.map(|body| Full::new(body).boxed()));
    }
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return Ok(wire::empty(StatusCode::PAYLOAD_TOO_LARGE).map(|body| Full::new(body).boxed()));
        }
        Err(_) => return Err(Cut),
    };
    match world.call(vendor, Request::from_parts(parts, body)) {
        Reply::Answer { response, delay } => {
            pause(delay).await;
            Ok(response.map(|body| Full::new(body).boxed()))
        }
        Reply::Cut { delay, .. } => {
            pause(delay).await;
            Err(Cut)
        }
    }
}

async fn deliver(world: Arc<World>, client: reqwest::Client, mut stopped: watch::Receiver<bool>) {
    let mut under_way = JoinSet::new();
    loop {
        for outgoing in world.due_webhooks() {
            if under_way.len() >= AT_ONCE {
                under_way.join_next().await;
            }
            let (world, client) = (Arc::clone(&world), client.clone());
            under_way.spawn(async move {
                let (status, body, took) = post(&client, &outgoing).await;
                world.answered(outgoing, status, &body, took);
            });
        }
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = under_way.join_next() => {}
            () = pause(LOOK) => {}
        }
    }
    under_way.shutdown().await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox posts webhooks as the vendors do, without our client's quota"
)]
async fn post(client: &reqwest::Client, outgoing: &Outgoing) -> (Option<u16>, Bytes, Duration) {
    let began = tokio::time::Instant::now();
    let sent = client
        .post(&outgoing.url)
        .headers(outgoing.headers.clone())
        .body(outgoing.body.clone())
        .timeout(outgoing.vendor.patience())
        .send()
        .await;
    match sent {
        Ok(response) => {
            let status = response.status().as_u16();
            (Some(status), response.bytes().await.unwrap_or_default(), began.elapsed())
        }
        Err(error) => {
            tracing::debug!(vendor = outgoing.vendor.name(), attempt = outgoing.attempt, %error, "webhook not delivered");
            (None, Bytes::new(), began.elapsed())
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "as in `post`")]
fn client() -> io::Result<reqwest::Client> {
    // Installed already is as good: any provider will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| io::Error::other(format!("no HTTP client for webhooks: {error}")))
}

#[expect(clippy::disallowed_methods, reason = "the edge of the sandbox: real clients wait real time")]
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

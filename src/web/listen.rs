//! The listener: as many connections as there is room for, short heads, and an end that lets answers finish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Web;
use super::address::Peer;
use super::places::{Patient, Place, Places};

/// Connections open at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 1024;
/// How long a request's head may take to come, or a kept connection to stay silent.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes of a request's head. Vendors send some two KiB.
const HEAD_BYTES: usize = 32 * 1024;
/// How long the other side may take nothing of an answer.
const READ: Duration = Duration::from_secs(30);
/// How long open requests may take to end when the daemon stops.
const GRACE: Duration = Duration::from_secs(10);

/// A server at work.
pub struct Listening {
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listening {
    pub(super) fn start(listener: TcpListener, web: Arc<Web>, routes: Router) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self { address, stop, task: tokio::spawn(accept(listener, web, routes, stopped)) })
    }

    /// Takes no more connections, and returns when the open requests have been answered.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        // Only a bug ends it otherwise, and then it is ended.
        let _ = self.task.await;
    }
}

async fn accept(listener: TcpListener, web: Arc<Web>, routes: Router, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let places = Arc::new(Places::default());
    let open = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => break,
            accepted = next(&listener, &room) => accepted,
        };
        let (stream, peer, held) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file handles, or the peer is gone already: the next one may do better.
                tracing::warn!(%error, "a connection could not be accepted");
                pause(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = places.take(peer.ip(), &web.house().config.http.trusted_proxies) else {
            web.counts.refused("", "crowded");
            continue;
        };
        // Small answers must not wait for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        let inner = TowerToHyperService::new(routes.clone());
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer.ip()));
            inner.call(request)
        });
        let conversation = open.watch(http.serve_connection(TokioIo::new(Patient::new(stream, READ)), service));
        tokio::spawn(async move {
            let _held: (_, Place) = (held, place);
            // A client that went away is no news.
            let _ = conversation.await;
        });
    }
    drop(listener);
    if timeout(GRACE, open.shutdown()).await.is_err() {
        tracing::warn!("some requests were still open when the daemon stopped; their senders will repeat them");
    }
}

type Accepted = (tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn next(listener: &TcpListener, room: &Arc<Semaphore>) -> std::io::Result<Accepted> {
    let place = room.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

#[expect(clippy::disallowed_methods, reason = "the edge to the network, where nothing is simulated")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

//! Webhooks acknowledged a second, each verified and on disk before its answer: through the door alone, and through the
//! HTTP listener. Beside it, how often this disk confirms one write after another: without group commit, that is the limit.
//!
//! The deliveries are the sandbox's own: GitHub's `issues` events, signed, about 10 KB each, every one another issue.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use connectors::clock::SystemClock;
use loopd::house::House;
use loopd::intake::{Current, Door, receive};
use loopd::ledger::{SledStore, Tree};
use loopd::web::{self, Web};
use sandbox::{Outgoing, Vendor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Size;
use crate::figures::{Aim, Figures};
use crate::machine::{Timer, fdatasyncs_a_second, folder, free_space, percentile};
use crate::support::TestClock;
use crate::throughput::Direct;
use crate::town::config;
use crate::works::{house, open_issues, vendors};

pub(crate) fn run(size: Size, figures: &mut Figures) {
    let count = size.pick(30_000, 3_000);
    let folder = folder();
    let fdatasync = fdatasyncs_a_second(folder.path(), size.pick(500, 100));
    figures.add(
        "hooks",
        "this disk: writes of 4 KB confirmed by fdatasync, one after another",
        fdatasync,
        "/s",
        Aim::None,
    );
    let world = vendors(&TestClock::new());
    open_issues(&world, count, 20);
    let deliveries: Vec<Outgoing> =
        world.due_webhooks().into_iter().filter(|outgoing| outgoing.vendor == Vendor::GitHub).collect();
    let bytes: usize = deliveries.iter().map(|outgoing| outgoing.body.len()).sum();
    figures.add(
        "hooks",
        "bytes of a delivery's body, on average",
        bytes as f64 / deliveries.len() as f64,
        "bytes",
        Aim::None,
    );
    let deliveries = Arc::new(deliveries);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for senders in [64, 256] {
        for http in [false, true] {
            let path = folder.path().join(format!("ledger-{senders}-{http}"));
            let store = Arc::new(SledStore::open(&path, free_space()).expect("a new ledger"));
            let world = world.clone();
            let house = house(store, Arc::new(SystemClock::new()), &config(""), move |vendor| {
                Arc::new(Direct { world: world.clone(), vendor })
            });
            let (seconds, mut latencies) = runtime.block_on(send_all(&house, &deliveries, senders, http));
            latencies.sort_unstable();
            let inbox = house.ledger.count(Tree::Inbox).expect("the ledger is open");
            assert_eq!(inbox as u64, count, "an acknowledged delivery is not in the inbox");
            let rate = latencies.len() as f64 / seconds;
            let how = if http { "over HTTP" } else { "verify and admit" };
            figures.add(
                "hooks",
                format!("{how}, {senders} senders: acknowledged and durable"),
                rate,
                "/s",
                Aim::AtLeast(5000.0),
            );
            figures.add(
                "hooks",
                format!("{how}, {senders} senders: acknowledged for each fdatasync the disk could do"),
                rate / fdatasync,
                "",
                Aim::None,
            );
            for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
                figures.add(
                    "hooks",
                    format!("{how}, {senders} senders: {name}"),
                    percentile(&latencies, share).as_secs_f64() * 1000.0,
                    "ms",
                    Aim::None,
                );
            }
            drop(house);
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Sends everything, each sender one delivery after another. How long it took, and each answer.
async fn send_all(
    house: &Arc<House>,
    deliveries: &Arc<Vec<Outgoing>>,
    senders: usize,
    http: bool,
) -> (f64, Vec<Duration>) {
    let door = Door::open(house.ledger.clone());
    let current: Current = Arc::new(RwLock::new(house.clone()));
    let web = Web::new(current, door.clone(), free_space());
    let listening = web::serve(&web, SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = listening.address;
    let timer = Timer::start();
    let tasks: Vec<_> = (0..senders)
        .map(|first| {
            let (house, door, deliveries) = (house.clone(), door.clone(), deliveries.clone());
            tokio::spawn(async move {
                let mut stream =
                    if http { Some(TcpStream::connect(address).await.expect("the listener is up")) } else { None };
                if let Some(stream) = &stream {
                    stream.set_nodelay(true).expect("a socket");
                }
                let mut latencies = Vec::new();
                for outgoing in deliveries.iter().skip(first).step_by(senders) {
                    let timer = Timer::start();
                    match &mut stream {
                        Some(stream) => over_http(stream, "github", outgoing).await,
                        None => {
                            let raw = connectors::Request { headers: &outgoing.headers, body: &outgoing.body };
                            let arrived = receive(&house, "github", raw).expect("a good signature");
                            door.admit(arrived).await.expect("room in the queue and on the disk");
                        }
                    }
                    latencies.push(timer.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("no delivery fails"));
    }
    let seconds = timer.seconds();
    listening.stop().await;
    (seconds, latencies)
}

/// One request on a kept connection, as small as a client can be: what is measured is the server.
pub(crate) async fn over_http(stream: &mut TcpStream, connection: &str, outgoing: &Outgoing) {
    let mut request =
        format!("POST /hooks/{connection} HTTP/1.1\r\nhost: loopd\r\ncontent-length: {}\r\n", outgoing.body.len())
            .into_bytes();
    for (name, value) in
        outgoing.headers.iter().filter(|(name, _)| *name != http::header::HOST && *name != http::header::CONTENT_LENGTH)
    {
        request.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    request.extend_from_slice(&outgoing.body);
    stream.write_all(&request).await.expect("an open connection");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 512];
        let read = stream.read(&mut piece).await.expect("an open connection");
        assert!(read > 0, "the listener hung up");
        answer.extend_from_slice(&piece[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

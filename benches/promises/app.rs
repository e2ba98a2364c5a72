//! In-app feedback acknowledged a second over HTTP, each checked, counted against its limits and on disk before its answer:
//! as a page sends it (an `Origin`, a text of 200 characters, who and where), every piece another one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connectors::clock::SystemClock;
use connectors::http::{Broken, Transport};
use http::{Request, Response};
use loopd::daemon::{Materials, build, classifier};
use loopd::house::House;
use loopd::intake::{Current, Door};
use loopd::ledger::{Ledger, NoProbe, SledStore, Tree};
use loopd::web::{self, Web};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Size;
use crate::figures::{Aim, Figures};
use crate::machine::{Timer, folder, free_space, percentile};
use crate::town::NoMachine;

const CONFIG: &str = r#"
[connection.app]
kind    = "app"
key     = "pk_bench_1"
origins = ["https://app.example.com"]
per_key = { calls = 1000000, per_seconds = 1, burst = 1000000 }
per_address = { calls = 1000000, per_seconds = 1, burst = 1000000 }
"#;

/// Nobody is called.
struct Nobody;

#[async_trait]
impl Transport for Nobody {
    async fn send(&self, _: Request<Bytes>, _: Duration) -> Result<Response<Bytes>, Broken> {
        Err(Broken::NotSent("an app calls nobody".into()))
    }
}

pub(crate) fn run(size: Size, figures: &mut Figures) {
    let count = size.pick(30_000, 3_000);
    let requests: Arc<Vec<Vec<u8>>> = Arc::new((0..count).map(request).collect());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for senders in [64, 256] {
        let folder = folder();
        let house = house(&folder.path().join("ledger"));
        let (seconds, mut latencies) = runtime.block_on(send_all(&house, &requests, senders));
        latencies.sort_unstable();
        let inbox = house.ledger.count(Tree::Inbox).expect("the ledger is open");
        assert_eq!(inbox as u64, count, "an acknowledged piece is not in the inbox");
        let rate = latencies.len() as f64 / seconds;
        let name = format!("POST /v1/feedback, {senders} senders: acknowledged and durable");
        figures.add("app", name, rate, "/s", Aim::AtLeast(5000.0));
        for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
            let name = format!("POST /v1/feedback, {senders} senders: {name}");
            figures.add("app", name, percentile(&latencies, share).as_secs_f64() * 1000.0, "ms", Aim::None);
        }
    }
}

/// The whole of it, as it is on the wire.
fn request(number: u64) -> Vec<u8> {
    let body = json!({
        "key": "pk_bench_1", "idempotency_key": format!("{number:032x}"), "kind": "feedback", "text": "Let me export it. ".repeat(11),
        "at": "2026-11-23T08:00:00Z", "url": "https://app.example.com/exports", "page_title": "Exports", "locale": "en-GB",
        "app_version": "4.2.0", "user": {"id": number, "email": "ada@lumen.example.com"}, "account": {"id": "lumen-1"},
    })
    .to_string();
    let head = "POST /v1/feedback HTTP/1.1\r\nhost: loopd\r\norigin: https://app.example.com\r\ncontent-type: text/plain;charset=UTF-8\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn house(path: &Path) -> Arc<House> {
    let machine = NoMachine { files: [(PathBuf::from("config.toml"), CONFIG.to_owned())].into() };
    let config =
        loopd::config::load(Path::new("config.toml"), &machine).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let store = Arc::new(SledStore::open(path, free_space()).expect("a new ledger"));
    let ledger = Ledger::over(store, Arc::new(NoProbe)).expect("an empty ledger");
    let classifier = classifier(&config);
    let transport = Arc::new(|_: &str| Arc::new(Nobody) as Arc<dyn Transport>);
    let materials =
        Materials { ledger, clock: Arc::new(SystemClock::new()), transport, classifier, vaults: loopd::vault::none() };
    Arc::new(build(config, &machine, materials).expect("a good configuration"))
}

/// Sends everything, each sender one piece after another on a kept connection. How long it took, and each answer.
async fn send_all(house: &Arc<House>, requests: &Arc<Vec<Vec<u8>>>, senders: usize) -> (f64, Vec<Duration>) {
    let door = Door::open(house.ledger.clone());
    let current: Current = Arc::new(RwLock::new(house.clone()));
    let web = Web::new(current, door, free_space());
    let listening = web::serve(&web, SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = listening.address;
    let timer = Timer::start();
    let tasks: Vec<_> = (0..senders)
        .map(|first| {
            let requests = requests.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("the listener is up");
                stream.set_nodelay(true).expect("a socket");
                let mut latencies = Vec::new();
                for request in requests.iter().skip(first).step_by(senders) {
                    let timer = Timer::start();
                    send(&mut stream, request).await;
                    latencies.push(timer.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("no piece is refused"));
    }
    let seconds = timer.seconds();
    listening.stop().await;
    (seconds, latencies)
}

async fn send(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).await.expect("an open connection");
    let mut answer = Vec::new();
    // Its body is one object.
    while !answer.ends_with(b"}") {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).await.expect("an open connection");
        assert!(read > 0, "the listener hung up");
        answer.extend_from_slice(&piece[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer));
}

//! Segment's protocol as its own SDKs speak it (what they send was written down from analytics-node 3.1.0 and analytics-python
//! 2.3), through the connector and into a ledger: what is acknowledged counts once.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::NaiveDate;
use connectors::{Clock, Connector, Kind, Outside, Refusal, Request, Secrets};
use http::HeaderMap;
use loopd::intake::{Arrived, admit};
use loopd::ledger::{Ledger, MemoryStore, NoProbe};
use loopd::report::usage::{Wanted, usage};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::TestClock;

const KEY: &str = "a-write-key-of-the-bench";

struct Bench {
    clock: Arc<TestClock>,
    segment: Arc<dyn Connector>,
    store: Arc<MemoryStore>,
    ledger: Ledger,
}

impl Bench {
    fn new() -> Self {
        let clock = TestClock::new();
        let nowhere = sandbox::World::new(7, clock.hands());
        let transport = Arc::new(crate::support::InProcess {
            world: nowhere,
            vendor: sandbox::Vendor::PostHog,
            clock: clock.clone(),
        });
        let outside = Outside { transport, clock: clock.clone(), vault: Arc::new(connectors::oauth::NoVault) };
        let secrets: Secrets = [("write_key".to_owned(), SecretString::from(KEY))].into();
        let segment = connectors::open(Kind::Segment, &json!({}), &secrets, &outside).expect("it opens");
        let store = Arc::new(MemoryStore::new());
        let ledger = Ledger::over(store.clone(), Arc::new(NoProbe)).expect("memory");
        Self { clock, segment, store, ledger }
    }

    /// What the daemon does at `/v1/…`, without its sockets.
    fn post(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        let mut headers = HeaderMap::new();
        let basic = format!("Basic {}", STANDARD.encode(format!("{KEY}:")));
        headers.insert("authorization", basic.parse().expect("a header"));
        let body = body.to_string();
        let hook = self.segment.webhook().expect("it receives");
        let raw = Request { headers: &headers, body: body.as_bytes() };
        assert!(hook.is_ours(path, raw));
        let delivery = hook.open_at(path, raw, self.clock.now())?;
        let reply = delivery.reply.clone().expect("its senders read the answer").body;
        admit(&self.ledger, &[Arrived { connection: "segment".into(), delivery, at: self.clock.now() }])
            .expect("memory is always durable");
        Ok(serde_json::from_str(&reply).expect("it is JSON"))
    }

    /// Account, feature, events, users.
    fn rows(&self) -> Vec<(String, String, u64, u64)> {
        let since = Some(NaiveDate::MIN + chrono::TimeDelta::days(365 * 262_000));
        let found = usage(&self.ledger, &Wanted { since, ..Wanted::default() }, self.clock.now()).expect("memory");
        let name = |account: Option<String>| account.unwrap_or_else(|| "-".into());
        found.rows.into_iter().map(|row| (name(row.account), row.feature, row.events, row.users)).collect()
    }
}

fn row(account: &str, feature: &str, events: u64, users: u64) -> (String, String, u64, u64) {
    (account.into(), feature.into(), events, users)
}

fn track(n: usize, user: &str) -> Value {
    json!({
        "type": "track", "event": "Report Exported", "userId": user, "properties": {"rows": n},
        "messageId": format!("ajs-next-{n:06}"), "timestamp": "2026-11-23T07:59:00.000Z",
        "context": {"library": {"name": "@segment/analytics-node", "version": "3.1.0"}}, "integrations": {},
    })
}

fn batch(events: &[Value]) -> Value {
    json!({"batch": events, "writeKey": KEY, "sentAt": "2026-11-23T07:59:30.000Z"})
}

#[test]
fn a_batch_that_is_sent_again_counts_once() {
    let bench = Bench::new();
    let events: Vec<Value> = (0..100).map(|n| track(n, ["kim", "lou"][n % 2])).collect();
    let success = json!({"success": true});
    assert_eq!(bench.post("/v1/batch", &batch(&events)), Ok(success.clone()));
    // The SDK repeats a batch whose answer it did not get, with the time of the new try; and its batches may overlap.
    let mut again = batch(&events);
    again["sentAt"] = json!("2026-11-23T08:00:05.000Z");
    assert_eq!(bench.post("/v1/batch", &again), Ok(success.clone()));
    assert_eq!(bench.post("/v1/batch", &batch(&events[40..])), Ok(success));
    assert_eq!(bench.rows(), [row("-", "Report Exported", 100, 2)]);
    // Who they are becomes known afterwards.
    for user in ["kim", "lou"] {
        let group = json!({"type": "group", "userId": user, "groupId": "acme", "traits": {"name": "Acme"}, "messageId": format!("g-{user}")});
        bench.post("/v1/group", &group).expect("it is taken");
    }
    assert_eq!(bench.rows(), [row("acme", "Report Exported", 100, 2)]);
    let counts = bench.ledger.usage_counts(["segment"]).expect("memory")["segment"];
    assert_eq!((counts.events, counts.duplicates), (100, 160));
}

#[test]
fn every_order_of_the_same_calls_ends_the_same() {
    let calls = [
        json!({"type": "identify", "userId": "kim", "anonymousId": "a-1", "traits": {"email": "kim@acme.example"}, "messageId": "i"}),
        json!({"type": "group", "userId": "kim", "groupId": "acme", "traits": {"plan": "pro"}, "messageId": "g"}),
        track(1, "kim"),
        track(2, "kim"),
    ];
    let mut ends = Vec::new();
    for turn in 0..calls.len() {
        let bench = Bench::new();
        let mut order: Vec<Value> = calls.to_vec();
        order.rotate_left(turn);
        bench.post("/v1/batch", &batch(&order)).expect("it is taken");
        ends.push(bench.rows());
    }
    assert!(ends.iter().all(|end| *end == [row("acme", "Report Exported", 2, 1)]), "{ends:?}");
}

#[test]
fn what_was_acknowledged_survives_a_power_loss() {
    let bench = Bench::new();
    for n in 0..20 {
        bench.post("/v1/track", &track(n, "kim")).expect("it is taken");
        assert_eq!(bench.store.at_risk(), 0, "acknowledged before it is on disk");
    }
    bench.store.lose_power(0);
    assert_eq!(bench.rows(), [row("-", "Report Exported", 20, 1)]);
}

#[test]
fn the_largest_batch_is_one_commit() {
    let bench = Bench::new();
    let events: Vec<Value> = (0..2500)
        .map(
            |n| json!({"type": "track", "event": "e", "userId": format!("u{}", n % 500), "messageId": format!("m{n}")}),
        )
        .collect();
    bench.post("/v1/import", &json!({"batch": events})).expect("it is within the limits");
    let rows = bench.rows();
    let (events, users) = (rows.iter().map(|row| row.2).sum::<u64>(), rows[0].3);
    assert_eq!(events, 2500);
    assert!(users.abs_diff(500) <= 70, "{users} is far from 500");
}

#[tokio::test]
async fn there_is_nobody_to_call() {
    let bench = Bench::new();
    let identity = bench.segment.probe().await.expect("nobody is asked");
    assert!(identity.notes[0].contains("public_url"));
    assert!(bench.segment.source().is_none() && bench.segment.sink().is_none());
    let binding = bench.segment.attach(&connectors::Shape::default(), None, None).await.expect("nobody is asked");
    assert_eq!(binding, json!({}));
}

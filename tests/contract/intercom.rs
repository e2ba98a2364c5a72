//! The Intercom connector against its stand-in. Every request is also checked against Intercom's OpenAPI document.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connectors::{Connector, Cursor, Fault, Key, Kind, Message, MessageKind, Outside, Record, Request, Secrets, Shape};
use sandbox::intercom::NewCompany;
use sandbox::{FailKind, Vendor, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::pull;
use crate::recording::Recording;
use crate::spec;
use crate::support::{InProcess, TestClock};

const SECRET: &str = "client secret";

struct Bench {
    world: Arc<World>,
    clock: Arc<TestClock>,
    sent: Arc<Recording>,
    intercom: Arc<dyn Connector>,
}

impl Bench {
    fn new() -> Self {
        Self::with(&json!({}))
    }

    fn with(more: &Value) -> Self {
        let clock = TestClock::new();
        let world = World::new(7, clock.hands());
        let transport = InProcess { world: world.clone(), vendor: Vendor::Intercom, clock: clock.clone() };
        let sent = Recording::new(Arc::new(transport));
        let outside =
            Outside { transport: sent.clone(), clock: clock.clone(), vault: Arc::new(connectors::oauth::NoVault) };
        let secrets: Secrets = [("token", Vendor::Intercom.token()), ("webhook_secret", SECRET)]
            .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
            .into();
        let intercom = connectors::open(Kind::Intercom, more, &secrets, &outside).expect("it opens");
        Self { world, clock, sent, intercom }
    }

    /// A company, a contact in it, and so many conversations of theirs; their ids.
    fn write_in(&self, n: usize) -> Vec<u64> {
        self.world.intercom(|desk, cx| {
            let attributes = [("ARR".to_owned(), json!(120_000))].into_iter().collect();
            let company = NewCompany {
                name: "Acme",
                company_id: "acme-1",
                custom_attributes: attributes,
                ..NewCompany::default()
            };
            let company = desk.add_company(&company, cx);
            let contact = desk.add_contact("Kim", "kim@acme.example", Some(&company), cx);
            (0..n)
                .map(|at| {
                    desk.open_conversation(&contact, "Help", &format!("<p>It broke {at}</p>"), None, cx)
                        .expect("opened")
                })
                .collect()
        })
    }

    /// Pulls until caught up, waiting as told.
    async fn pull_all(&self, stream: &str, at: &mut Option<Cursor>) -> Result<Vec<Record>, Fault> {
        let source = self.intercom.source().expect("it reads");
        pull::all(at, async |at| pull::patient(&self.clock, async || source.pull(stream, at).await).await).await
    }

    fn asked(&self, from: usize, what: &str) -> usize {
        self.sent.lines(from).iter().filter(|line| line.starts_with(what)).count()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let Some(spec) = spec::intercom() else { return };
        for request in self.sent.seen() {
            assert_eq!(request.headers()["intercom-version"], "2.14");
            assert_eq!(spec.check("", &request), Ok(()));
        }
    }
}

fn ids(records: &[Record]) -> Vec<String> {
    let mut ids: Vec<String> = records.iter().map(|record| record.key.id.clone()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn every_conversation_comes_once_over_many_pages_with_its_contact() {
    let bench = Bench::new();
    let made = bench.write_in(320);
    bench.world.intercom(|desk, cx| desk.user_replies(made[0], "<p>Still broken</p>", cx));
    bench.clock.advance(Duration::from_secs(30));
    let mut at = None;
    let records = bench.pull_all("conversations", &mut at).await.expect("read");
    let mut expect: Vec<String> = made.iter().map(ToString::to_string).collect();
    expect.sort();
    assert_eq!(ids(&records), expect);
    let one =
        records.iter().find(|record| record.key.id == made[0].to_string()).expect("there").body.clone().expect("there");
    assert_eq!(one["contact"]["email"], "kim@acme.example");
    assert_eq!(one["contact"]["company_ids"].as_array().map(Vec::len), Some(1));
    assert_eq!((&one["companies"][0]["company_id"], &one["companies"][0]["name"]), (&json!("acme-1"), &json!("Acme")));
    assert_eq!((&one["parts_complete"], one["source"]["body"].as_str()), (&json!(true), Some("It broke 0")));
    assert_eq!(one["conversation_parts"]["conversation_parts"].as_array().map(Vec::len), Some(1));
    // 320 conversations, one contact, one company, three pages of search: not a call more.
    assert_eq!(bench.sent.seen().len(), 320 + 1 + 1 + 3);

    let before = bench.sent.seen().len();
    bench.clock.advance(Duration::from_secs(60));
    bench.world.intercom(|desk, cx| desk.user_replies(made[7], "<p>Hello?</p>", cx));
    let records = bench.pull_all("conversations", &mut at).await.expect("read");
    assert_eq!(ids(&records), [made[7].to_string()]);
    assert_eq!(bench.asked(before, "GET /conversations/"), 1);
}

#[tokio::test]
async fn a_start_is_kept_to() {
    let bench = Bench::with(&json!({"start": "2026-11-23T08:00:30Z"}));
    bench.write_in(2);
    bench.clock.advance(Duration::from_secs(60));
    let late = bench.write_in(1);
    assert_eq!(ids(&bench.pull_all("conversations", &mut None).await.expect("read")), [late[0].to_string()]);
}

#[tokio::test]
async fn a_fault_midway_costs_time_and_no_conversation() {
    for kind in [
        FailKind::Unavailable,
        FailKind::ServerError,
        FailKind::CutBefore,
        FailKind::CutAfter,
        FailKind::BadGatewayAfter,
        FailKind::Throttled,
    ] {
        for operation in ["POST conversations/search", "GET conversations", "GET contacts", "GET companies"] {
            let bench = Bench::new();
            let made = bench.write_in(30);
            bench.clock.advance(Duration::from_secs(30));
            bench.world.fail_next_operation(Vendor::Intercom, operation, 2, kind);
            let (mut at, mut seen) = (None, BTreeMap::new());
            for _ in 0..6 {
                match bench.pull_all("conversations", &mut at).await {
                    Ok(records) => seen.extend(records.into_iter().map(|record| (record.key.id.clone(), record))),
                    Err(Fault::Later { .. } | Fault::Unknown { .. }) => {}
                    Err(fault) => panic!("{kind:?} {operation}: {fault}"),
                }
                bench.clock.advance(Duration::from_secs(61));
            }
            assert_eq!(seen.len(), made.len(), "{kind:?} {operation}");
        }
    }
}

#[tokio::test]
async fn throttling_closes_the_gate() {
    let bench = Bench::new();
    bench.world.fail_next(Vendor::Intercom, 1, FailKind::Throttled);
    let source = bench.intercom.source().expect("it reads");
    let Err(Fault::Later { after: Some(wait), .. }) = source.pull("conversations", None).await else {
        panic!("it waits")
    };
    assert!(wait <= Duration::from_secs(10), "{wait:?}");
    assert!(matches!(source.pull("companies", None).await, Err(Fault::Later { .. })));
    assert_eq!((bench.sent.seen().len(), bench.intercom.meter().throttled), (1, 1));
    bench.clock.advance(wait);
    assert!(source.pull("companies", None).await.is_ok());
}

#[tokio::test]
async fn an_even_pace_stays_below_the_limit() {
    let bench = Bench::new();
    for _ in 0..18 {
        bench.write_in(100);
        bench.clock.advance(Duration::from_secs(120));
    }
    let (start, mut at) = (bench.world.now(), None);
    assert_eq!(bench.pull_all("conversations", &mut at).await.expect("read").len(), 1800);
    assert!(bench.world.now() - start < chrono::TimeDelta::seconds(13), "{}", bench.world.now() - start);
    assert_eq!(bench.world.books(Vendor::Intercom).throttled, 0);
}

#[tokio::test]
async fn companies_are_listed_with_their_arr() {
    let bench = Bench::with(&json!({"arr_attribute": "ARR"}));
    bench.world.intercom(|desk, cx| {
        for at in 0..120 {
            let id = format!("acme-{at}");
            let attributes = [("ARR".to_owned(), json!(at * 1000))].into_iter().collect();
            let company = desk.add_company(
                &NewCompany { name: "Acme", company_id: &id, custom_attributes: attributes, ..NewCompany::default() },
                cx,
            );
            desk.add_contact("Kim", &format!("kim@acme-{at}.example"), Some(&company), cx);
        }
    });
    let records = bench.pull_all("companies", &mut None).await.expect("read");
    assert_eq!(records.len(), 120);
    assert!(records.iter().all(|record| {
        record.body.as_ref().is_some_and(|body| body["arr"].is_number() && body["company_id"].is_string())
    }));
    let source = bench.intercom.source().expect("it reads");
    let fetched = source.fetch(&records[0].key).await.expect("read").expect("ours");
    assert_eq!(fetched.body.expect("there")["arr"], records[0].body.as_ref().expect("there")["arr"]);
    let (mut at, mut all) = (None, Vec::new());
    loop {
        let page = source.ids("company", at.as_ref()).await.expect("read").expect("it lists");
        all.extend(page.ids);
        at = page.next;
        if at.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), 120);
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_no_longer_listed() {
    let bench = Bench::new();
    let made = bench.write_in(160);
    bench.world.intercom(|desk, cx| desk.delete_conversation(made[3], cx));
    let source = bench.intercom.source().expect("it reads");
    let key = Key::new("conversation", made[3].to_string());
    assert_eq!(source.fetch(&key).await.expect("read").expect("ours").body, None);
    let (mut at, mut all) = (None, Vec::new());
    loop {
        let page = source.ids("conversation", at.as_ref()).await.expect("read").expect("it lists");
        all.extend(page.ids);
        at = page.next;
        if at.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), 159);
    assert!(!all.contains(&key.id));
}

#[tokio::test]
async fn notes_and_replies_are_written_once_and_found() {
    for (kind, unknown) in [
        (FailKind::ServerError, true),
        (FailKind::CutBefore, true),
        (FailKind::CutAfter, true),
        (FailKind::ErrorAfter, true),
        (FailKind::Throttled, false),
    ] {
        for what in [MessageKind::Note, MessageKind::Reply] {
            let bench = Bench::new();
            let made = bench.write_in(1);
            let message = Message {
                id: "m-1".into(),
                to: Key::new("conversation", made[0].to_string()),
                kind: what,
                body: "It **shipped**.".into(),
            };
            let messenger = bench.intercom.messenger().expect("it answers");
            bench.world.fail_next_operation(Vendor::Intercom, "POST conversations/{id}/reply", 1, kind);
            let fault = messenger.send(&message).await.expect_err("it fails");
            assert_eq!(matches!(fault, Fault::Unknown { .. }), unknown, "{kind:?}: {fault}");
            bench.clock.advance(Duration::from_secs(30));
            let found = messenger.find(&message).await.expect("read");
            assert_eq!(found.is_some(), matches!(kind, FailKind::CutAfter | FailKind::ErrorAfter), "{kind:?}");
            if found.is_none() {
                let sent = messenger.send(&message).await.expect("sent");
                assert_eq!(messenger.find(&message).await.expect("read"), Some(sent));
            }
            let kinds: Vec<String> = bench
                .world
                .intercom(|desk, _| desk.parts_containing("[ref:loopd-m-1]").map(|part| part.kind.clone()).collect());
            assert_eq!(kinds, [if what == MessageKind::Note { "note" } else { "comment" }]);
        }
    }
    let bench = Bench::new();
    let nobody =
        Message { id: "m".into(), to: Key::new("conversation", "999"), kind: MessageKind::Note, body: "x".into() };
    assert!(matches!(bench.intercom.messenger().expect("it answers").send(&nobody).await, Err(Fault::Rejected { .. })));
}

#[tokio::test]
async fn a_revoked_token_locks() {
    let bench = Bench::new();
    let me = bench.intercom.probe().await.expect("seen");
    assert!(!me.account.is_empty() && me.notes.is_empty(), "{me:?}");
    let binding = bench.intercom.attach(&Shape::default(), None, None).await.expect("attached");
    assert_eq!((binding["app_id"].as_str(), binding["admin_id"].is_string()), (Some(me.account.as_str()), true));
    bench.world.intercom(|desk, _| desk.revoke_token(Vendor::Intercom.token()));
    assert!(matches!(bench.pull_all("conversations", &mut None).await, Err(Fault::Locked { .. })));
    assert!(matches!(bench.intercom.probe().await, Err(Fault::Locked { .. })));
    assert!(matches!(bench.intercom.attach(&Shape::default(), None, Some(&binding)).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn webhooks_name_conversations_and_forgeries_are_refused() {
    let bench = Bench::new();
    bench.intercom.attach(&Shape::default(), None, None).await.expect("attached");
    bench.world.intercom(|desk, _| desk.set_webhook("https://loopd.example/hooks/intercom", SECRET));
    let made = bench.write_in(1);
    bench.world.intercom(|desk, cx| {
        desk.send_ping(cx);
        desk.user_replies(made[0], "<p>Hello?</p>", cx);
        desk.admin_notes(made[0], "<p>Hm</p>", cx);
        desk.tag(made[0], "billing", cx);
        desk.delete_conversation(made[0], cx);
    });
    let hook = bench.intercom.webhook().expect("it receives");
    let (mut fetch, mut gone) = (Vec::new(), Vec::new());
    for outgoing in bench.world.due_webhooks() {
        let raw = Request { headers: &outgoing.headers, body: &outgoing.body };
        let delivery = hook.open(raw, bench.world.now()).expect("it is Intercom's");
        assert!(!delivery.id.is_empty() && delivery.pull.is_empty());
        fetch.extend(delivery.fetch);
        gone.extend(delivery.records.into_iter().filter(|record| record.body.is_none()).map(|record| record.key.id));
        let mut body = outgoing.body.to_vec();
        body.push(b' ');
        assert_eq!(
            hook.open(Request { headers: &outgoing.headers, body: &body }, bench.world.now())
                .expect_err("forged")
                .status(),
            401
        );
        bench.world.delivered(outgoing, Some(200));
    }
    let key = Key::new("conversation", made[0].to_string());
    assert!(fetch.iter().filter(|fetched| **fetched == key).count() >= 3, "{fetch:?}");
    assert_eq!(gone, [made[0].to_string()]);
    assert!(fetch.iter().any(|fetched| fetched.collection == "company"), "{fetch:?}");
}

//! The Granola connector against its stand-in. Every request is also checked against the reconstruction of Granola's OpenAPI
//! document, and so is what the stand-in says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use connectors::{Connector, Cursor, Fault, Key, Kind, Outside, Record, Request, Secrets, Shape};
use sandbox::granola::NewCall;
use sandbox::{FailKind, Vendor, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::recording::Recording;
use crate::support::{InProcess, TestClock};
use crate::{pull, spec, vectors};

const URL: &str = "https://loopd.example/hooks/granola";
const PEOPLE: [(&str, &str); 2] = [("Bo", "bo@ours.example"), ("Ada", "ada@lumen.example")];
const SAID: [(&str, &str); 2] = [("me", "How is it going?"), ("them", "Exports take all night.")];

struct Bench {
    world: Arc<World>,
    clock: Arc<TestClock>,
    sent: Arc<Recording>,
    granola: Arc<dyn Connector>,
}

impl Bench {
    fn new() -> Self {
        Self::with(&json!({}))
    }

    fn with(more: &Value) -> Self {
        let clock = TestClock::new();
        let world = World::new(7, clock.hands());
        let (sent, granola) = open(&world, &clock, more);
        clock.advance(Duration::from_secs(2));
        Self { world, clock, sent, granola }
    }

    /// Another process: nothing of the last one's memory.
    fn restart(&mut self) {
        (self.sent, self.granola) = open(&self.world, &self.clock, &json!({}));
        self.clock.advance(Duration::from_secs(2));
    }

    fn call(&self, title: &str) -> String {
        let call = NewCall { title, people: &PEOPLE, said: &SAID, ..NewCall::default() };
        self.world.granola(|desk, cx| desk.call(&call, "Exports are slow.", cx))
    }

    async fn pull(&self, at: &mut Option<Cursor>) -> Result<Vec<Record>, Fault> {
        let source = self.granola.source().expect("it reads");
        pull::all(at, async |at| pull::patient(&self.clock, async || source.pull("notes", at).await).await).await
    }

    async fn attach(&self, known: Option<&Value>) -> Result<Value, Fault> {
        pull::patient(&self.clock, async || self.granola.attach(&Shape::default(), Some(URL), known).await).await
    }

    async fn fetch(&self, id: &str) -> Result<Option<Record>, Fault> {
        let source = self.granola.source().expect("it reads");
        pull::patient(&self.clock, async || source.fetch(&Key::new("note", id)).await).await
    }

    async fn ids(&self) -> Result<Vec<String>, Fault> {
        let source = self.granola.source().expect("it reads");
        let (mut at, mut all) = (None, Vec::new());
        loop {
            let page = pull::patient(&self.clock, async || source.ids("note", at.as_ref()).await).await?;
            let page = page.expect("it lists");
            all.extend(page.ids);
            at = page.next;
            if at.is_none() {
                return Ok(all);
            }
        }
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
        let Some(spec) = spec::granola() else { return };
        for request in self.sent.seen() {
            assert_eq!(spec.check("", &request), Ok(()));
        }
    }
}

fn open(world: &Arc<World>, clock: &Arc<TestClock>, more: &Value) -> (Arc<Recording>, Arc<dyn Connector>) {
    let transport = InProcess { world: world.clone(), vendor: Vendor::Granola, clock: clock.clone() };
    let sent = Recording::new(Arc::new(transport));
    let outside =
        Outside { transport: sent.clone(), clock: clock.clone(), vault: Arc::new(connectors::oauth::NoVault) };
    let secrets: Secrets = [("token".to_owned(), SecretString::from(Vendor::Granola.token()))].into();
    (sent, connectors::open(Kind::Granola, more, &secrets, &outside).expect("it opens"))
}

fn ids(records: &[Record]) -> Vec<String> {
    let mut ids: Vec<String> = records.iter().map(|record| record.key.id.clone()).collect();
    ids.sort();
    ids
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[tokio::test]
async fn every_call_comes_once_over_many_pages_and_then_only_what_changed() {
    let bench = Bench::new();
    let made: Vec<String> = (0..130)
        .map(|at| {
            bench.clock.advance(Duration::from_secs(600));
            bench.call(&format!("Call {at}"))
        })
        .collect();
    bench.clock.advance(Duration::from_secs(30));
    let mut at = None;
    let records = bench.pull(&mut at).await.expect("read");
    assert_eq!(ids(&records), sorted(made.clone()));
    // 130 notes and five pages: not a call more.
    assert_eq!(bench.sent.seen().len(), 130 + 5);
    let body = records[0].body.as_ref().expect("there");
    assert_eq!(body["customer_domains"], json!(["lumen.example"]));
    assert_eq!(
        (&body["customer_words"], &body["turns"][1]["speaker"]),
        (&json!("Exports take all night."), &json!("Ada"))
    );
    assert!(body.get("private_notes_text").is_none());

    let before = bench.sent.seen().len();
    bench.clock.advance(Duration::from_secs(300));
    bench.world.granola(|desk, cx| desk.summarise(&made[128], "Exports and SSO.", cx));
    bench.clock.advance(Duration::from_secs(5));
    let records = bench.pull(&mut at).await.expect("read");
    assert_eq!(ids(&records), [made[128].clone()]);
    assert_eq!(records[0].body.as_ref().expect("there")["summary_text"], "Exports and SSO.");
    assert_eq!(bench.asked(before, "GET /v1/notes/"), 1);
}

#[tokio::test]
async fn a_call_that_is_summarised_days_later_is_seen() {
    let bench = Bench::new();
    bench.call("Early");
    let held = bench.world.granola(|desk, cx| {
        desk.hold(&NewCall { title: "Late", people: &PEOPLE, said: &SAID, ..NewCall::default() }, cx)
    });
    let (mut at, mut seen) = (None, Vec::new());
    for day in 0..5 {
        if day == 3 {
            bench.world.granola(|desk, cx| desk.summarise(&held, "At last.", cx));
        }
        bench.call(&format!("Day {day}"));
        bench.clock.advance(Duration::from_secs(24 * 3600));
        seen.extend(ids(&bench.pull(&mut at).await.expect("read")));
    }
    assert_eq!((seen.len(), seen.iter().filter(|id| **id == held).count()), (7, 1));
}

#[tokio::test]
async fn a_long_transcript_comes_whole() {
    let bench = Bench::new();
    let texts: Vec<String> = (0..730).map(|at| format!("Sentence {at}.")).collect();
    let said: Vec<(&str, &str)> =
        texts.iter().enumerate().map(|(at, text)| (if at % 2 == 0 { "me" } else { "them" }, text.as_str())).collect();
    let call = NewCall { title: "Long", people: &PEOPLE, said: &said, ..NewCall::default() };
    bench.world.granola(|desk, cx| desk.call(&call, "Long.", cx));
    bench.clock.advance(Duration::from_secs(30));
    let records = bench.pull(&mut None).await.expect("read");
    let body = records[0].body.as_ref().expect("there");
    let segments = body["transcript"].as_array().expect("a transcript");
    assert_eq!((segments.len(), body["turns"].as_array().map(Vec::len)), (730, Some(730)));
    assert!(segments.iter().zip(&texts).all(|(segment, text)| segment["text"] == text.as_str()));
    assert_eq!(bench.asked(0, "GET /v1/notes/"), 1 + 1 + 8);
}

#[tokio::test]
async fn a_fault_midway_costs_time_and_no_call() {
    for kind in [
        FailKind::Unavailable,
        FailKind::ServerError,
        FailKind::CutBefore,
        FailKind::CutAfter,
        FailKind::BadGatewayAfter,
        FailKind::Throttled,
    ] {
        for operation in ["GET notes", "GET notes/{id}", "GET notes/{id}/transcript"] {
            let bench = Bench::new();
            bench.world.granola(|desk, _| desk.inline_at_most(1));
            let made = sorted((0..35).map(|at| bench.call(&format!("Call {at}"))).collect());
            bench.clock.advance(Duration::from_secs(30));
            bench.world.fail_next_operation(Vendor::Granola, operation, 2, kind);
            let (mut at, mut seen) = (None, BTreeMap::new());
            for _ in 0..8 {
                match bench.pull(&mut at).await {
                    Ok(records) => seen.extend(records.into_iter().map(|record| (record.key.id.clone(), record))),
                    Err(Fault::Later { .. } | Fault::Unknown { .. }) => {}
                    Err(fault) => panic!("{kind:?} {operation}: {fault}"),
                }
                bench.clock.advance(Duration::from_secs(61));
            }
            assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), made, "{kind:?} {operation}");
            assert!(seen.values().all(|record| {
                record.body.as_ref().is_some_and(|body| body["transcript"].as_array().map(Vec::len) == Some(2))
            }));
        }
    }
}

#[tokio::test]
async fn throttling_closes_the_gate_and_an_even_pace_stays_below_the_limit() {
    let bench = Bench::new();
    (0..200).for_each(|at| drop(bench.call(&format!("Call {at}"))));
    bench.clock.advance(Duration::from_secs(30));
    let start = bench.world.now();
    assert_eq!(bench.pull(&mut None).await.expect("read").len(), 200);
    assert_eq!(bench.world.books(Vendor::Granola).throttled, 0);
    // 207 calls at five a second.
    assert!(bench.world.now() - start < TimeDelta::seconds(44), "{}", bench.world.now() - start);
    bench.clock.advance(Duration::from_secs(10));
    bench.world.fail_next(Vendor::Granola, 1, FailKind::Throttled);
    let source = bench.granola.source().expect("it reads");
    let before = bench.sent.seen().len();
    let Err(Fault::Later { after: Some(wait), .. }) = source.pull("notes", None).await else { panic!("it waits") };
    assert!(matches!(source.pull("notes", None).await, Err(Fault::Later { .. })));
    assert_eq!((bench.sent.seen().len() - before, bench.granola.meter().throttled), (1, 1));
    bench.clock.advance(wait);
    assert!(source.pull("notes", None).await.is_ok());
}

#[tokio::test]
async fn what_is_shared_before_it_is_summarised_is_no_loss() {
    let mut bench = Bench::new();
    bench.attach(None).await.expect("attached");
    let id = bench.world.granola(|desk, cx| {
        let id = desk.hold(&NewCall { title: "Shared", people: &PEOPLE, said: &SAID, ..NewCall::default() }, cx);
        desk.unshare(&id);
        desk.share(&id, cx);
        id
    });
    let outgoing = bench.world.due_webhooks().remove(0);
    let raw = Request { headers: &outgoing.headers, body: &outgoing.body };
    let delivery = bench.granola.webhook().expect("it receives").open(raw, bench.world.now()).expect("it is Granola's");
    assert_eq!(
        (delivery.fetch.as_slice(), delivery.pull.as_slice()),
        (&[Key::new("note", id.as_str())][..], &["notes".to_owned()][..])
    );
    assert_eq!(bench.fetch(&id).await.expect("read").expect("ours").body, None);
    let mut at = None;
    assert_eq!(bench.pull(&mut at).await.expect("read").len(), 0);
    // Another process, and no webhook gets through; its summary bears an old date.
    bench.restart();
    bench.world.granola(|desk, cx| desk.summarise(&id, "At last.", cx));
    for _ in 0..30 {
        bench.call("Another");
        bench.clock.advance(Duration::from_secs(300));
    }
    let seen = ids(&bench.pull(&mut at).await.expect("read"));
    assert!(seen.contains(&id));
    let position = at.expect("a position").0;
    assert_eq!(position["awaited"], json!({}));
}

#[tokio::test]
async fn what_is_deleted_or_no_longer_shared_is_gone() {
    let bench = Bench::new();
    let made: Vec<String> = (0..65).map(|at| bench.call(&format!("Call {at}"))).collect();
    bench.world.granola(|desk, _| {
        desk.delete(&made[3]);
        desk.unshare(&made[4]);
    });
    let listed = bench.ids().await.expect("read");
    assert_eq!((listed.len(), listed.contains(&made[3]), listed.contains(&made[4])), (63, false, false));
    for gone in &made[3..5] {
        assert_eq!(bench.fetch(gone).await.expect("read").expect("ours").body, None);
    }
    assert!(bench.fetch(&made[5]).await.expect("read").expect("ours").body.is_some());
    bench.world.granola(|desk, _| made.iter().for_each(|id| desk.delete(id)));
    assert!(matches!(bench.ids().await, Err(Fault::Rejected { .. })), "that all are gone is not believed");
}

#[tokio::test]
async fn an_endpoint_is_made_once_and_found_again_after_a_lost_answer() {
    let endpoints = |bench: &Bench| bench.world.granola(|desk, _| desk.endpoints().to_vec());
    let mut bench = Bench::new();
    let bound = bench.attach(None).await.expect("attached");
    assert_eq!(endpoints(&bench).len(), 1);
    assert_eq!(endpoints(&bench)[0].scopes, ["personal", "public"]);
    bench.restart();
    assert_eq!(bench.attach(Some(&bound)).await, Ok(bound.clone()));
    bench.world.granola(|desk, _| desk.endpoints_mut()[0].enabled = false);
    bench.restart();
    assert_eq!(bench.attach(Some(&bound)).await, Ok(bound.clone()));
    assert!(endpoints(&bench)[0].enabled);
    for kind in [
        FailKind::CutAfter,
        FailKind::ErrorAfter,
        FailKind::BadGatewayAfter,
        FailKind::CutBefore,
        FailKind::Unavailable,
    ] {
        let bench = Bench::new();
        bench.world.fail_next_operation(Vendor::Granola, "POST webhook-endpoints", 1, kind);
        let bound = bench.attach(None).await.expect("attached all the same");
        assert!(bench.granola.hindrance().is_some() && bench.granola.wants_attach(), "{kind:?}");
        bench.clock.advance(Duration::from_secs(61));
        let bound = bench.attach(Some(&bound)).await.expect("attached");
        let there = endpoints(&bench);
        assert_eq!(
            (there.len(), bound["endpoint"]["secret"].as_str()),
            (1, Some(there[0].secret.as_str())),
            "{kind:?}"
        );
        assert!(bench.granola.hindrance().is_none() && !bench.granola.wants_attach(), "{kind:?}");
    }
    // A key of the workspace, and one that may see only what is public.
    for scopes in [&["workspace"][..], &["public"], &["personal"]] {
        let bench = Bench::new();
        bench.world.granola(|desk, _| desk.set_key_scopes(scopes));
        bench.attach(None).await.expect("attached");
        assert_eq!(endpoints(&bench)[0].scopes, scopes);
    }
    bench.world.granola(|desk, _| desk.take_webhooks_away());
    bench.restart();
    bench.attach(None).await.expect("attached all the same");
    assert!(bench.granola.hindrance().is_some_and(|why| why.contains("polled")));
}

#[tokio::test]
async fn deliveries_name_notes_and_forgeries_are_refused() {
    let bench = Bench::new();
    bench.attach(None).await.expect("attached");
    let id = bench.call("Weekly");
    bench.world.granola(|desk, cx| desk.summarise(&id, "Edited.", cx));
    let webhook = bench.granola.webhook().expect("it receives");
    let due = bench.world.due_webhooks();
    assert_eq!(due.len(), 2);
    for outgoing in due {
        if let Some(spec) = spec::granola() {
            let body: Value = serde_json::from_slice(&outgoing.body).expect("JSON");
            assert_eq!(spec.shaped("/components/schemas/WebhookDelivery", &body), Ok(()));
        }
        let raw = Request { headers: &outgoing.headers, body: &outgoing.body };
        let delivery = webhook.open(raw, bench.world.now()).expect("it is Granola's");
        assert_eq!(delivery.fetch, [Key::new("note", id.as_str())]);
        let late = bench.world.now() + TimeDelta::seconds(301);
        assert_eq!(webhook.open(raw, late).expect_err("stale").label(), "stale");
        let mut body = outgoing.body.to_vec();
        body.push(b' ');
        let refusal = webhook.open(Request { headers: &outgoing.headers, body: &body }, bench.world.now());
        assert_eq!(refusal.expect_err("forged").label(), "forged");
        bench.world.delivered(outgoing, Some(200));
    }
}

#[tokio::test]
async fn the_stand_in_tries_again_for_four_days_and_not_after_a_refusal() {
    let bench = Bench::new();
    bench.attach(None).await.expect("attached");
    bench.call("Weekly");
    let began = bench.world.now();
    let mut attempts = 0;
    while let Some(next) = bench.world.next_webhook() {
        bench.clock.advance((next - bench.world.now()).to_std().unwrap_or_default());
        for outgoing in bench.world.due_webhooks() {
            attempts += 1;
            bench.world.delivered(outgoing, [None, Some(503), Some(429)][attempts % 3]);
        }
    }
    let days = (bench.world.now() - began).num_hours() / 24;
    assert!((3..=5).contains(&days) && attempts > 10, "{attempts} attempts in {days} days");
    assert!(!bench.world.granola(|desk, _| desk.endpoints()[0].enabled));
    let bench = Bench::new();
    bench.attach(None).await.expect("attached");
    bench.call("Weekly");
    let outgoing = bench.world.due_webhooks().remove(0);
    bench.world.delivered(outgoing, Some(401));
    assert_eq!(bench.world.next_webhook(), None);
}

#[tokio::test]
async fn only_the_folders_that_were_named_are_read() {
    let bench = Bench::with(&json!({"folders": ["fol_AAAAAAAAAAAAAA"]}));
    let (inside, below, outside) = bench.world.granola(|desk, cx| {
        desk.add_folder("fol_AAAAAAAAAAAAAA", "Customers", None);
        desk.add_folder("fol_BBBBBBBBBBBBBB", "Big ones", Some("fol_AAAAAAAAAAAAAA"));
        desk.add_folder("fol_CCCCCCCCCCCCCC", "The biggest", Some("fol_BBBBBBBBBBBBBB"));
        desk.add_folder("fol_DDDDDDDDDDDDDD", "Hiring", None);
        let mut call = |folder: &str| {
            let new = NewCall { title: "Call", people: &PEOPLE, said: &SAID, folders: &[folder], ..NewCall::default() };
            desk.call(&new, "Said.", cx)
        };
        (call("fol_AAAAAAAAAAAAAA"), call("fol_CCCCCCCCCCCCCC"), call("fol_DDDDDDDDDDDDDD"))
    });
    let source = bench.granola.source().expect("it reads");
    let mut at = None;
    let records = pull::all(&mut at, async |at| {
        pull::patient(&bench.clock, async || source.pull("notes:fol_AAAAAAAAAAAAAA", at).await).await
    });
    assert_eq!(ids(&records.await.expect("read")), sorted(vec![inside, below.clone()]));
    assert!(bench.fetch(&below).await.expect("read").is_some());
    assert_eq!(bench.fetch(&outside).await, Ok(None));
    bench.attach(None).await.expect("attached");
    assert_eq!(bench.world.granola(|desk, _| desk.endpoints()[0].folders.clone()), ["fol_AAAAAAAAAAAAAA"]);
}

#[tokio::test]
async fn a_revoked_key_locks() {
    let bench = Bench::new();
    bench.call("Weekly");
    let me = bench.granola.probe().await.expect("seen");
    assert_eq!(me.account, "ours.example");
    bench.world.granola(|desk, _| desk.revoke_token(Vendor::Granola.token()));
    assert!(matches!(bench.pull(&mut None).await, Err(Fault::Locked { .. })));
    assert!(matches!(bench.granola.probe().await, Err(Fault::Locked { .. })));
    assert!(matches!(bench.attach(None).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn what_the_stand_in_says_has_granolas_shapes() {
    let Some(spec) = spec::granola() else { return };
    let bench = Bench::new();
    let call =
        NewCall { title: "", people: &PEOPLE, invited: &["cy@quill.example"], said: &SAID, ..NewCall::default() };
    let id = bench.world.granola(|desk, cx| desk.call(&call, "Said.", cx));
    let ask = |path: &str| {
        let request = http::Request::get(path).header("authorization", format!("Bearer {}", Vendor::Granola.token()));
        let sandbox::Reply::Answer { response, .. } =
            bench.world.call(Vendor::Granola, request.body(bytes::Bytes::new()).expect("a request"))
        else {
            panic!("cut")
        };
        (response.status().as_u16(), serde_json::from_slice::<Value>(response.body()).expect("JSON"))
    };
    for (path, shape) in [
        ("/v1/notes".to_owned(), "ListNotesOutput"),
        (format!("/v1/notes/{id}/transcript?page_size=1"), "TranscriptPage"),
        ("/v1/folders".to_owned(), "ListFoldersOutput"),
    ] {
        let (status, said) = ask(&path);
        assert_eq!(
            (status, spec.shaped(&format!("/components/schemas/{shape}"), &said)),
            (200, Ok(())),
            "{path}: {said}"
        );
    }
    let (_, note) = ask(&format!("/v1/notes/{id}?include=transcript"));
    for (at, part) in note["transcript"].as_array().expect("segments").iter().enumerate() {
        assert_eq!(spec.shaped("/components/schemas/TranscriptItem", part), Ok(()), "{at}");
    }
    assert_eq!(spec.shaped("/components/schemas/CalendarEvent", &note["calendar_event"]), Ok(()));
    for (path, status) in [
        ("/v1/notes?page_size=31", 400),
        ("/v1/notes?updated_after=soon", 400),
        ("/v1/notes?cursor=%%%", 400),
        ("/v1/notes/not_short", 400),
        ("/v1/notes/not_AAAAAAAAAAAAAA", 404),
        ("/v1/audit", 404),
        ("/v1/me", 404),
    ] {
        assert_eq!(ask(path).0, status, "{path}");
    }
}

#[test]
fn signatures_computed_by_others_verify() {
    for vector in vectors::of("granola") {
        let delivery = vector.open(Kind::Granola, &json!({}), 1_763_856_001).expect("it is Granola's");
        assert_eq!(delivery.fetch, [Key::new("note", "not_AAAAAAAAAAAAAA")], "{}", vector.kind);
        assert_eq!(vector.spoilt().open(Kind::Granola, &json!({}), 1_763_856_001).expect_err("forged").status(), 401);
        assert_eq!(vector.open(Kind::Granola, &json!({}), 1_763_857_001).expect_err("stale").label(), "stale");
    }
}

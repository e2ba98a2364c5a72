//! The Typeform connector against its stand-in. Requests, and what the stand-in says, are also checked against the
//! reconstruction of Typeform's shapes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use connectors::{Connector, Cursor, Fault, Key, Kind, Outside, Record, Request, Secrets, Shape};
use sandbox::typeform::NewResponse;
use sandbox::{FailKind, Vendor, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::recording::Recording;
use crate::support::{InProcess, TestClock};
use crate::{pull, spec, vectors};

const FORM: &str = "lT4Z3j";
const STREAM: &str = "responses:lT4Z3j";
const URL: &str = "https://loopd.example/hooks/typeform";

struct Bench {
    world: Arc<World>,
    clock: Arc<TestClock>,
    sent: Arc<Recording>,
    typeform: Arc<dyn Connector>,
}

impl Bench {
    fn new() -> Self {
        Self::with(&json!({}))
    }

    fn with(more: &Value) -> Self {
        let clock = TestClock::new();
        let world = World::new(7, clock.hands());
        world.typeform(|desk, cx| {
            assert!(desk.add_form(FORM, "Customer survey", &questions(), &["company", "email"], cx));
        });
        let (sent, typeform) = open(&world, &clock, more);
        clock.advance(Duration::from_secs(2));
        Self { world, clock, sent, typeform }
    }

    /// Another process: nothing of the last one's memory.
    fn restart(&mut self) {
        (self.sent, self.typeform) = open(&self.world, &self.clock, &json!({}));
        self.clock.advance(Duration::from_secs(2));
    }

    fn answer(&self, score: u64, why: &str) -> String {
        let answers = [("nps", json!(score)), ("why", json!(why))];
        let hidden = [("company", "Lumen"), ("email", "ada@lumen.example")];
        let new = NewResponse { answers: &answers, hidden: &hidden, ..NewResponse::default() };
        self.world.typeform(|desk, cx| desk.respond(FORM, &new, cx)).expect("the form is there")
    }

    async fn pull(&self, stream: &str, at: &mut Option<Cursor>) -> Result<Vec<Record>, Fault> {
        let source = self.typeform.source().expect("it reads");
        pull::all(at, async |at| pull::patient(&self.clock, async || source.pull(stream, at).await).await).await
    }

    async fn attach(&self, url: Option<&str>, known: Option<&Value>) -> Result<Value, Fault> {
        pull::patient(&self.clock, async || self.typeform.attach(&Shape::default(), url, known).await).await
    }

    async fn fetch(&self, token: &str) -> Result<Option<Record>, Fault> {
        let key = Key::new("response", format!("{FORM}/{token}"));
        let source = self.typeform.source().expect("it reads");
        pull::patient(&self.clock, async || source.fetch(&key).await).await
    }

    async fn ids(&self) -> Vec<String> {
        let source = self.typeform.source().expect("it reads");
        let (mut at, mut all) = (None, Vec::new());
        loop {
            let ids = async || source.ids("response", at.as_ref()).await;
            let page = pull::patient(&self.clock, ids).await.expect("read").expect("it lists");
            all.extend(page.ids);
            at = page.next;
            if at.is_none() {
                return all;
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
        let known = ["page_size", "response_type", "since", "before", "included_response_ids"];
        for request in self.sent.seen() {
            assert_eq!(request.headers()["authorization"], format!("Bearer {}", Vendor::Typeform.token()));
            let query = request.uri().query().unwrap_or_default();
            for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                assert!(known.contains(&pair.split('=').next().unwrap_or_default()), "{query}");
            }
            if let (false, Some(spec)) = (request.body().is_empty(), spec::typeform()) {
                let body: Value = serde_json::from_slice(request.body()).expect("JSON");
                assert_eq!(spec.shaped("/$defs/PutWebhookRequest", &body), Ok(()));
            }
        }
    }
}

fn questions() -> Value {
    json!([
        {"ref": "nps", "type": "nps", "title": "How likely are you to recommend us?"},
        {"ref": "why", "type": "long_text", "title": "Why?"},
        {"ref": "about", "type": "group", "title": "About you", "properties": {"fields": [
            {"ref": "tools", "type": "multiple_choice", "title": "What do you use?"}]}},
    ])
}

fn open(world: &Arc<World>, clock: &Arc<TestClock>, more: &Value) -> (Arc<Recording>, Arc<dyn Connector>) {
    let transport = InProcess { world: world.clone(), vendor: Vendor::Typeform, clock: clock.clone() };
    let sent = Recording::new(Arc::new(transport));
    let outside =
        Outside { transport: sent.clone(), clock: clock.clone(), vault: Arc::new(connectors::oauth::NoVault) };
    let secrets: Secrets = [("token".to_owned(), SecretString::from(Vendor::Typeform.token()))].into();
    let mut settings = json!({"forms": [FORM]});
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    (sent, connectors::open(Kind::Typeform, &settings, &secrets, &outside).expect("it opens"))
}

fn tokens(records: &[Record]) -> BTreeSet<String> {
    records.iter().map(|record| record.key.id.trim_start_matches("lT4Z3j/").to_owned()).collect()
}

#[tokio::test]
async fn every_response_comes_once_over_many_pages_and_then_only_the_overlap() {
    let bench = Bench::new();
    let mut given = BTreeSet::new();
    for at in 0..2300 {
        given.insert(bench.answer(at % 11, "It is slow"));
        bench.clock.advance(Duration::from_secs(60));
    }
    let mut at = None;
    let records = bench.pull(STREAM, &mut at).await.expect("read");
    assert_eq!((records.len(), tokens(&records)), (2300, given));
    // The form once, and three pages.
    assert_eq!(bench.sent.seen().len(), 4);
    let body = records[0].body.as_ref().expect("there");
    assert_eq!(body["text"].as_str().map(|text| text.ends_with("Why?\nIt is slow")), Some(true));
    assert_eq!(
        (&body["respondent"]["company"], &body["respondent"]["email"]),
        (&json!("Lumen"), &json!("ada@lumen.example"))
    );
    let late = bench.answer(3, "Late");
    bench.clock.advance(Duration::from_secs(300));
    let records = bench.pull(STREAM, &mut at).await.expect("read");
    assert_eq!(tokens(&records), [late].into());
    assert_eq!(bench.sent.seen().len(), 5);
}

#[tokio::test]
async fn what_is_shown_half_an_hour_late_is_not_lost() {
    let bench = Bench::new();
    let (mut at, mut seen, mut given) = (None, BTreeSet::new(), BTreeSet::new());
    for turn in 0..30_usize {
        let lag = TimeDelta::minutes([0, 30, 7, 29, 1][turn % 5]);
        bench.world.typeform(|desk, _| desk.set_lag(lag));
        given.insert(bench.answer(5, "Slow"));
        bench.clock.advance(Duration::from_secs(300));
        seen.extend(tokens(&bench.pull(STREAM, &mut at).await.expect("read")));
    }
    bench.clock.advance(Duration::from_secs(1800));
    seen.extend(tokens(&bench.pull(STREAM, &mut at).await.expect("read")));
    assert_eq!(seen, given);
}

#[tokio::test]
async fn a_fault_midway_costs_time_and_no_response() {
    for kind in [
        FailKind::Unavailable,
        FailKind::ServerError,
        FailKind::CutBefore,
        FailKind::CutAfter,
        FailKind::BadGatewayAfter,
        FailKind::Throttled,
    ] {
        for operation in ["GET forms/{id}/responses", "GET forms/{id}"] {
            let bench = Bench::with(&json!({"page_size": 7}));
            let given: BTreeSet<String> = (0..30).map(|at| bench.answer(at % 11, "Slow")).collect();
            bench.world.fail_next_operation(Vendor::Typeform, operation, 2, kind);
            let (mut at, mut seen) = (None, BTreeSet::new());
            for turn in 0..8 {
                if turn == 1 {
                    bench.world.fail_next_operation(Vendor::Typeform, operation, 1, kind);
                }
                match bench.pull(STREAM, &mut at).await {
                    Ok(records) => seen.extend(tokens(&records)),
                    Err(Fault::Later { .. } | Fault::Unknown { .. }) => {}
                    Err(fault) => panic!("{kind:?} {operation}: {fault}"),
                }
                bench.clock.advance(Duration::from_secs(61));
            }
            assert_eq!(seen, given, "{kind:?} {operation}");
        }
    }
}

#[tokio::test]
async fn throttling_closes_the_gate_and_an_even_pace_stays_below_the_limit() {
    let bench = Bench::with(&json!({"page_size": 1}));
    (0..30).for_each(|_| drop(bench.answer(9, "Fine")));
    let start = bench.world.now();
    assert_eq!(bench.pull(STREAM, &mut None).await.expect("read").len(), 30);
    assert_eq!(bench.world.books(Vendor::Typeform).throttled, 0);
    // The form and thirty pages, two a second.
    assert!(bench.world.now() - start < TimeDelta::seconds(17), "{}", bench.world.now() - start);
    bench.clock.advance(Duration::from_secs(2));
    bench.world.fail_next(Vendor::Typeform, 1, FailKind::Throttled);
    let source = bench.typeform.source().expect("it reads");
    let before = bench.sent.seen().len();
    let Err(Fault::Later { after: Some(wait), .. }) = source.pull(STREAM, None).await else { panic!("it waits") };
    assert!(matches!(source.pull(STREAM, None).await, Err(Fault::Later { .. })));
    assert_eq!((bench.sent.seen().len() - before, bench.typeform.meter().throttled), (1, 1));
    bench.clock.advance(wait);
    assert!(source.pull(STREAM, None).await.is_ok());
}

#[tokio::test]
async fn the_webhook_is_put_there_kept_and_put_again() {
    let mut bench = Bench::new();
    let bound = bench.attach(Some(URL), None).await.expect("attached");
    let hook = |bench: &Bench| bench.world.typeform(|desk, _| desk.webhook(FORM, "loopd").cloned());
    let first = hook(&bench).expect("made");
    assert!(first.enabled && first.completed && !first.partial && first.verify_ssl && first.url == URL);
    bench.restart();
    assert_eq!(bench.attach(Some(URL), Some(&bound)).await, Ok(bound.clone()));
    assert_eq!(bench.asked(0, "PUT"), 0);
    bench.world.typeform(|desk, _| desk.switch_off(FORM, "loopd"));
    bench.restart();
    bench.attach(Some(URL), Some(&bound)).await.expect("attached");
    assert_eq!(hook(&bench).map(|hook| (hook.enabled, hook.secret)), Some((true, first.secret.clone())));
    // Its answer is lost: put again, as often as need be.
    for kind in [FailKind::CutAfter, FailKind::ErrorAfter, FailKind::Unavailable] {
        let bench = Bench::new();
        bench.world.fail_next_operation(Vendor::Typeform, "PUT forms/{id}/webhooks/{id}", 1, kind);
        let bound = bench.attach(Some(URL), None).await.expect("attached all the same");
        assert!(bench.typeform.hindrance().is_some() || hook(&bench).is_some_and(|hook| hook.enabled), "{kind:?}");
        bench.clock.advance(Duration::from_secs(3600));
        bench.attach(Some(URL), Some(&bound)).await.expect("attached");
        assert_eq!((hook(&bench).map(|hook| hook.enabled), bench.typeform.hindrance()), (Some(true), None), "{kind:?}");
    }
    bench.world.typeform(|desk, _| desk.forbid_webhooks());
    bench.restart();
    bench.attach(Some(URL), None).await.expect("attached all the same");
    assert!(bench.typeform.hindrance().is_some_and(|why| why.contains("polled")));
}

#[tokio::test]
async fn deliveries_read_like_the_poll_and_forgeries_are_refused() {
    let bench = Bench::new();
    bench.attach(Some(URL), None).await.expect("attached");
    let given: BTreeSet<String> = (0..8).map(|at| bench.answer(at, "It is slow")).collect();
    let webhook = bench.typeform.webhook().expect("it receives");
    let mut pushed = Vec::new();
    for outgoing in bench.world.due_webhooks() {
        if let Some(spec) = spec::typeform() {
            let body: Value = serde_json::from_slice(&outgoing.body).expect("JSON");
            assert_eq!(spec.shaped("/$defs/WebhookDelivery", &body), Ok(()));
        }
        let raw = Request { headers: &outgoing.headers, body: &outgoing.body };
        let delivery = webhook.open(raw, bench.world.now()).expect("it is Typeform's");
        assert!(!delivery.id.is_empty() && delivery.pull.is_empty() && delivery.fetch.is_empty());
        pushed.extend(delivery.records);
        let trimmed =
            outgoing.body.strip_suffix(b"\n").map_or_else(|| [&outgoing.body[..], b" "].concat(), <[u8]>::to_vec);
        let refusal = webhook.open(Request { headers: &outgoing.headers, body: &trimmed }, bench.world.now());
        assert_eq!(refusal.expect_err("forged").status(), 401);
        bench.world.delivered(outgoing, Some(200));
    }
    assert_eq!(tokens(&pushed), given);
    let polled = bench.pull(STREAM, &mut None).await.expect("read");
    for record in &pushed {
        let same = polled.iter().find(|polled| polled.key == record.key).expect("polled too");
        let (pushed, polled) = (record.body.as_ref().expect("there"), same.body.as_ref().expect("there"));
        assert_eq!(record.version, same.version);
        for part in ["text", "words", "score", "scores", "respondent", "answers", "form_title", "submitted_at"] {
            assert_eq!(pushed[part], polled[part], "{part}");
        }
    }
}

#[tokio::test]
async fn the_stand_in_tries_again_as_typeform_does_and_gives_up_on_404() {
    let bench = Bench::new();
    bench.attach(Some(URL), None).await.expect("attached");
    bench.answer(3, "Slow");
    let mut waits = Vec::new();
    for status in [Some(503), Some(503), Some(500), None] {
        let mut due = bench.world.due_webhooks();
        assert_eq!(due.len(), 1);
        bench.world.delivered(due.remove(0), status);
        let next = bench.world.next_webhook().expect("again");
        waits.push((next - bench.world.now()).num_minutes());
        bench.clock.advance((next - bench.world.now()).to_std().expect("ahead"));
    }
    assert_eq!(waits, [2, 3, 20, 60]);
    let mut due = bench.world.due_webhooks();
    bench.world.delivered(due.remove(0), Some(404));
    assert_eq!(bench.world.next_webhook(), None);
    let enabled = bench.world.typeform(|desk, _| desk.webhook(FORM, "loopd").map(|hook| hook.enabled));
    assert_eq!(enabled, Some(false));
    bench.answer(4, "Slower");
    assert_eq!(bench.world.next_webhook(), None);
}

#[tokio::test]
async fn a_form_that_is_edited_is_read_again() {
    let bench = Bench::new();
    let mut at = None;
    bench.answer(3, "Slow");
    let first = bench.pull(STREAM, &mut at).await.expect("read");
    bench.world.typeform(|desk, cx| {
        desk.add_question(
            FORM,
            json!({"id": "q9", "ref": "more", "type": "short_text", "title": "Anything else?"}),
            cx,
        );
    });
    bench.clock.advance(Duration::from_secs(300));
    let answers = [("more", json!("A dark mode")), ("tools", json!(["API", "CLI"]))];
    let new = NewResponse { answers: &answers, ..NewResponse::default() };
    let token = bench.world.typeform(|desk, cx| desk.respond(FORM, &new, cx)).expect("the form is there");
    let records = bench.pull(STREAM, &mut at).await.expect("read");
    let body = records.iter().find(|record| record.key.id.ends_with(&token)).and_then(|record| record.body.clone());
    let text = "Anything else?\nA dark mode\n\nWhat do you use?\nAPI, CLI";
    assert_eq!(body.expect("there")["text"], text);
    assert_eq!(first.len(), 1);
    // A question that is reworded leaves what was answered before as it was asked.
    bench.world.typeform(|desk, cx| desk.retitle(FORM, "why", "And why?", cx));
    bench.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(bench.pull(STREAM, &mut at).await.expect("read").len(), 0);
    // The form at first, when the question was new, and after an hour.
    let form = format!("GET /forms/{FORM}");
    assert_eq!(bench.sent.lines(0).iter().filter(|line| **line == form).count(), 3);
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_no_longer_listed() {
    let bench = Bench::with(&json!({"page_size": 10}));
    let given: Vec<String> = (0..25).map(|_| bench.answer(9, "Fine")).collect();
    bench.world.typeform(|desk, _| desk.delete_response(FORM, &given[3]));
    let ids = bench.ids().await;
    assert_eq!((ids.len(), ids.contains(&format!("{FORM}/{}", given[3]))), (24, false));
    assert_eq!(bench.fetch(&given[3]).await.expect("read").expect("ours").body, None);
    let there = bench.fetch(&given[4]).await.expect("read").expect("ours");
    assert_eq!(there.body.expect("there")["token"], given[4].as_str());
    // One that came by webhook and is not shown yet is neither missed nor believed gone.
    bench.attach(Some(URL), None).await.expect("attached");
    bench.world.typeform(|desk, _| desk.set_lag(TimeDelta::minutes(30)));
    let young = bench.answer(2, "Slow");
    let outgoing = bench.world.due_webhooks().remove(0);
    let raw = Request { headers: &outgoing.headers, body: &outgoing.body };
    bench.typeform.webhook().expect("it receives").open(raw, bench.world.now()).expect("it is Typeform's");
    assert!(bench.ids().await.contains(&format!("{FORM}/{young}")));
    assert_eq!(bench.fetch(&young).await, Ok(None));
}

#[tokio::test]
async fn what_was_not_sent_off_comes_only_where_it_is_wanted() {
    let begun = |bench: &Bench| {
        let answers = [("nps", json!(2))];
        let new = NewResponse { answers: &answers, partial: true, ..NewResponse::default() };
        bench.world.typeform(|desk, cx| desk.respond(FORM, &new, cx)).expect("the form is there")
    };
    let bench = Bench::new();
    begun(&bench);
    assert_eq!(bench.pull(STREAM, &mut None).await.expect("read").len(), 0);
    let bench = Bench::with(&json!({"partial": true}));
    bench.attach(Some(URL), None).await.expect("attached");
    let token = begun(&bench);
    let (mut at, mut partial) = (None, None);
    let records = bench.pull("partial:lT4Z3j", &mut partial).await.expect("read");
    let body = records[0].body.as_ref().expect("there");
    assert_eq!((records[0].key.id.ends_with(&token), &body["response_type"]), (true, &json!("partial")));
    assert_eq!(bench.pull(STREAM, &mut at).await.expect("read").len(), 0);
    bench.clock.advance(Duration::from_secs(600));
    bench.world.typeform(|desk, cx| desk.complete(FORM, &token, &[("why", json!("Slow"))], cx)).expect("sent off");
    let records = bench.pull(STREAM, &mut at).await.expect("read");
    assert_eq!(records[0].body.as_ref().expect("there")["response_type"], "completed");
    assert_eq!(bench.pull("partial:lT4Z3j", &mut partial).await.expect("read").len(), 0);
    let kinds: Vec<Value> = bench
        .world
        .due_webhooks()
        .iter()
        .map(|outgoing| serde_json::from_slice::<Value>(&outgoing.body).expect("JSON")["event_type"].clone())
        .collect();
    assert_eq!(kinds, ["form_response_partial", "form_response"]);
    assert_eq!(bench.ids().await.len(), 1);
}

#[tokio::test]
async fn a_revoked_token_locks_and_so_does_the_wrong_region() {
    let bench = Bench::new();
    let probe = async || pull::patient(&bench.clock, async || bench.typeform.probe().await).await;
    let me = probe().await.expect("seen");
    assert!(me.name.contains("Customer survey") && me.notes.is_empty(), "{me:?}");
    bench.world.typeform(|desk, _| desk.keep_responses_at("https://api.eu.typeform.com"));
    bench.clock.advance(Duration::from_secs(3600));
    for fault in [probe().await.map(drop), bench.attach(None, None).await.map(drop)] {
        assert!(
            matches!(&fault, Err(Fault::Locked { why }) if why.contains("https://api.eu.typeform.com")),
            "{fault:?}"
        );
    }
    bench.world.typeform(|desk, _| desk.revoke_token(Vendor::Typeform.token()));
    bench.clock.advance(Duration::from_secs(3600));
    assert!(matches!(bench.pull(STREAM, &mut None).await, Err(Fault::Locked { .. })));
    assert!(matches!(probe().await, Err(Fault::Locked { .. })));
    assert!(matches!(bench.attach(None, None).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn what_the_stand_in_says_has_typeforms_shapes() {
    let Some(spec) = spec::typeform() else { return };
    let bench = Bench::with(&json!({"partial": true}));
    bench.attach(Some(URL), None).await.expect("attached");
    bench.answer(3, "Slow");
    let nothing = NewResponse { partial: true, ..NewResponse::default() };
    bench.world.typeform(|desk, cx| desk.respond(FORM, &nothing, cx)).expect("the form is there");
    let ask = |path: &str| {
        bench.clock.advance(Duration::from_secs(1));
        let request = http::Request::get(path).header("authorization", format!("bearer {}", Vendor::Typeform.token()));
        let sandbox::Reply::Answer { response, .. } =
            bench.world.call(Vendor::Typeform, request.body(bytes::Bytes::new()).expect("a request"))
        else {
            panic!("cut")
        };
        serde_json::from_slice::<Value>(response.body()).expect("JSON")
    };
    for (path, shape) in [
        ("/forms/lT4Z3j/responses?response_type=completed,partial", "/$defs/ResponsesPage"),
        ("/forms/lT4Z3j/webhooks/loopd", "/$defs/Webhook"),
        ("/forms/nowhere", "/$defs/Error"),
        ("/forms/lT4Z3j/responses?page_size=1001", "/$defs/Error"),
        ("/forms/lT4Z3j/responses?sort=submitted_at,asc&before=x", "/$defs/Error"),
    ] {
        let said = ask(path);
        assert_eq!(spec.shaped(shape, &said), Ok(()), "{path}: {said}");
        assert_eq!(shape.ends_with("Error"), said["code"].is_string(), "{path}: {said}");
    }
}

#[test]
fn signatures_computed_by_others_verify() {
    for vector in vectors::of("typeform") {
        let settings = json!({"forms": [FORM]});
        let delivery = vector.open(Kind::Typeform, &settings, 1_763_856_001).expect("it is Typeform's");
        let body = delivery.records[0].body.clone().expect("there");
        assert_eq!(
            (delivery.id.as_str(), &body["text"], &body["score"]["group"]),
            ("01JTEST0001", &json!("How likely?\n9 of 10, promoter\n\nWhy?\nfast sync"), &json!("promoter")),
            "{}",
            vector.kind
        );
        assert_eq!(vector.spoilt().open(Kind::Typeform, &settings, 0).expect_err("forged").status(), 401);
    }
}

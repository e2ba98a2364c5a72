//! The client of models against their stand-in, in process and over HTTP. Requests are also checked against Mistral's own document.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use connectors::model::{self, BatchLine, BatchState, Chat, ChatRequest, Finish, Model, Schema};
use connectors::{Fault, Outside};
use sandbox::mistral::{Habit, Personality};
use sandbox::{FailKind, Ports, Vendor, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::recording::Recording;
use crate::spec;
use crate::support::{InProcess, TestClock};

struct Bench {
    world: Arc<World>,
    clock: Arc<TestClock>,
    sent: Arc<Recording>,
    model: Arc<dyn Model>,
}

impl Bench {
    fn new() -> Self {
        Self::with(&json!({}))
    }

    fn with(settings: &Value) -> Self {
        let clock = TestClock::new();
        let world = World::new(7, clock.hands());
        Self::keyed(world, clock, settings, Vendor::Mistral.token())
    }

    fn keyed(world: Arc<World>, clock: Arc<TestClock>, settings: &Value, key: &str) -> Self {
        let inside = InProcess { world: world.clone(), vendor: Vendor::Mistral, clock: clock.clone() };
        let sent = Recording::new(Arc::new(inside));
        let outside =
            Outside { transport: sent.clone(), clock: clock.clone(), vault: Arc::new(connectors::oauth::NoVault) };
        let settings = settings.as_object().expect("a table");
        let model = model::open(settings, Some(SecretString::from(key)), &outside).expect("good settings");
        clock.advance(Duration::from_secs(2));
        Self { world, clock, sent, model }
    }

    fn habit(&self, habit: Habit, rate: f64) {
        self.world.mistral(|desk, _| desk.set_habit(habit, rate));
    }

    /// Asks until the answer is not "later", as the engine does.
    async fn patient<T>(&self, act: impl AsyncFn() -> Result<T, Fault>) -> Result<T, Fault> {
        for _ in 0..100 {
            match act().await {
                Err(Fault::Later { after, .. }) => self.clock.advance(after.unwrap_or(Duration::from_secs(1))),
                told => return told,
            }
        }
        panic!("a hundred times \"later\"");
    }

    async fn ask(&self, user: &str) -> Result<Chat, Fault> {
        self.patient(async || self.model.chat(&question(user)).await).await
    }
}

fn question(user: &str) -> ChatRequest {
    let schema = json!({"type": "object", "required": ["category", "confidence", "quote"], "properties": {
        "category": {"type": "string", "enum": ["bug", "feature_request", "praise", "general"], "description": "what it is"},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1}, "quote": {"type": "string", "format": "text"}}});
    ChatRequest {
        model: "mistral-small-latest".into(),
        system: "You sort feedback.".into(),
        user: user.into(),
        schema: Some(Schema { name: "classify".into(), schema }),
        temperature: Some(0.0),
        max_tokens: Some(400),
        seed: Some(1),
        cache_key: Some("classify-v1".into()),
    }
}

fn said(chat: &Chat) -> Value {
    serde_json::from_str(&chat.text).unwrap_or_default()
}

#[tokio::test]
async fn a_question_is_answered_and_billed_as_the_books_say() {
    let bench = Bench::new();
    let chat = bench.ask("The export crashes with an error. Please hurry.").await.expect("an answer");
    assert_eq!((chat.model.as_str(), &chat.finish), ("mistral-small-2603", &Finish::Stop));
    assert_eq!(said(&chat)["quote"], "The export crashes with an error.");
    let usage = bench.world.mistral(|desk, _| desk.usage());
    assert_eq!((usage.input_tokens, usage.output_tokens), (chat.tokens.input, chat.tokens.output));
    let cut =
        bench.model.chat(&ChatRequest { max_tokens: Some(5), ..question("It crashes.") }).await.expect("an answer");
    assert_eq!(cut.finish, Finish::Length);
    let free = bench.model.chat(&ChatRequest { schema: None, ..question("It crashes.") }).await.expect("an answer");
    assert_eq!(free.text, "It crashes.");
}

#[tokio::test]
async fn a_stable_beginning_is_billed_as_cached() {
    let bench = Bench::new();
    let ask = |user: &str| ChatRequest { system: "You sort feedback, with care. ".repeat(20), ..question(user) };
    bench.model.chat(&ask("One.")).await.expect("an answer");
    let second = bench.model.chat(&ask("Two.")).await.expect("an answer");
    assert!(second.tokens.cached >= 64 && second.tokens.cached < second.tokens.input, "{:?}", second.tokens);
}

#[tokio::test]
async fn every_fault_of_the_way_is_told_for_what_it_is() {
    let bench = Bench::new();
    for (kind, later) in [
        (FailKind::Unavailable, true),
        (FailKind::ServerError, true),
        (FailKind::Throttled, true),
        (FailKind::ErrorAfter, true),
        (FailKind::BadGatewayAfter, true),
        (FailKind::CutBefore, false),
        (FailKind::CutAfter, false),
    ] {
        bench.world.fail_next(Vendor::Mistral, 1, kind);
        let fault = bench.model.chat(&question("It crashes.")).await.expect_err("a fault");
        assert_eq!(matches!(fault, Fault::Later { .. }), later, "{kind:?}: {fault}");
        assert_eq!(matches!(fault, Fault::Unknown { .. }), !later, "{kind:?}: {fault}");
        assert!(!fault.to_string().contains("crashes"));
        bench.clock.advance(Duration::from_secs(60));
        bench.ask("It crashes.").await.expect("an answer");
    }
    bench.world.mistral(|desk, _| desk.set_lateness(Duration::from_secs(300)));
    bench.habit(Habit::Slow, 1.0);
    assert!(
        matches!(bench.model.chat(&question("It crashes.")).await, Err(Fault::Unknown { .. })),
        "it is not waited for longer"
    );
}

#[tokio::test]
async fn too_fast_is_slowed_down_before_the_server_has_to_say_so() {
    let bench = Bench::new();
    for _ in 0..40 {
        bench.ask("It crashes.").await.expect("an answer");
    }
    assert_eq!(bench.world.books(Vendor::Mistral).throttled, 0);
    let small = Bench::new();
    small.world.mistral(|desk, _| desk.set_quota(6, 3_000));
    for _ in 0..40 {
        small.ask("It crashes.").await.expect("an answer");
    }
    assert_eq!(small.world.books(Vendor::Mistral).throttled, 0, "the headers said what a minute takes");
    small.habit(Habit::Limited, 0.5);
    for tells in [true, false] {
        small.world.mistral(|desk, _| desk.tell_wait(tells));
        for _ in 0..10 {
            small.ask("It crashes.").await.expect("an answer");
        }
    }
    assert_eq!(small.model.meter().throttled, small.world.books(Vendor::Mistral).throttled);
}

#[tokio::test]
async fn answers_of_bad_models_come_as_they_are_and_break_nothing() {
    let bench = Bench::new();
    bench.habit(Habit::Malformed, 1.0);
    let (mut bad, mut empty, mut good, mut cut) = (0, 0, 0, 0);
    for _ in 0..60 {
        let chat = bench.ask("The export crashes with an error.").await.expect("an answer");
        let read: Option<Value> = serde_json::from_str(&chat.text).ok();
        match read {
            None if chat.text.is_empty() => empty += 1,
            None if chat.finish == Finish::Length => cut += 1,
            None => bad += 1,
            Some(_) => good += 1,
        }
    }
    assert!(bad > 0 && empty > 0 && good > 0 && cut > 0, "{bad} {empty} {good} {cut}");
    bench.world.mistral(|desk, _| desk.behave());
    bench.habit(Habit::Lying, 1.0);
    let lie = bench.ask("The export crashes with an error.").await.expect("an answer");
    assert_eq!((&said(&lie)["category"], &said(&lie)["confidence"]), (&json!("feature_request"), &json!(1.0)));
    bench.world.mistral(|desk, _| desk.behave());
    bench.habit(Habit::Refusing, 1.0);
    let (mut guarded, mut sorry) = (0, 0);
    for _ in 0..20 {
        match bench.ask("The export crashes with an error.").await {
            Err(Fault::Rejected { field: Some(field), why }) if field == "user" && why.contains("guardrail") => {
                guarded += 1;
            }
            Ok(chat) if chat.text.contains("sorry") => sorry += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(guarded > 0 && sorry > 0);
    bench.world.mistral(|desk, _| desk.behave());
    bench.habit(Habit::Down, 1.0);
    for _ in 0..10 {
        assert!(matches!(bench.model.chat(&question("x")).await, Err(Fault::Later { .. } | Fault::Unknown { .. })));
        bench.clock.advance(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn what_a_person_must_mend_locks_and_says_how() {
    let bench = Bench::new();
    let old = ChatRequest { model: "mistral-small-2506".into(), ..question("It crashes.") };
    let fault = bench.model.chat(&old).await.expect_err("it is retired");
    assert!(
        matches!(&fault, Fault::Locked { why } if why.contains("mistral-small-2506") && why.contains("mistral-small-latest takes its place")),
        "{fault}"
    );
    let cards = bench.model.models().await.expect("a list");
    let small = cards.iter().find(|card| card.is_called("mistral-small-latest")).expect("it is there");
    assert_eq!((small.context, small.chat, small.reasoning), (Some(262_144), true, Some(true)));
    let going = cards.iter().find(|card| card.id == "codestral-2508").expect("it is there yet");
    assert!(going.deprecated.is_some() && going.replacement.as_deref() == Some("mistral-medium-latest"));
    assert!(!cards.iter().any(|card| card.id == "mistral-small-2506"));
    bench.world.mistral(|desk, _| desk.revoke_key(Vendor::Mistral.token()));
    assert!(matches!(bench.ask("It crashes.").await, Err(Fault::Locked { why }) if why.contains("key")));
    assert!(matches!(bench.model.models().await, Err(Fault::Locked { .. })));
    let long = Bench::new();
    long.world.mistral(|desk, _| desk.serve_model("small-one", 100));
    let ask = ChatRequest { model: "small-one".into(), ..question(&"The export crashes. ".repeat(100)) };
    assert!(matches!(long.model.chat(&ask).await, Err(Fault::Rejected { field: Some(field), .. }) if field == "user"));
}

#[tokio::test]
async fn a_word_that_a_model_does_not_take_is_left_out() {
    let bench = Bench::new();
    bench.world.mistral(|desk, _| desk.refuse_reasoning_effort());
    let ask = ChatRequest { model: "mistral-large-latest".into(), ..question("It crashes.") };
    for _ in 0..3 {
        bench.patient(async || bench.model.chat(&ask).await).await.expect("an answer");
    }
    assert_eq!(bench.world.books(Vendor::Mistral).calls, 4);
    let thinking = ChatRequest { model: "mistral-large-4".into(), ..question("It crashes.") };
    assert_eq!(said(&bench.model.chat(&thinking).await.expect("an answer"))["category"], "bug");
    let loud = Bench::with(&json!({"send": ["temperature"]}));
    let chat = loud.model.chat(&thinking).await.expect("it thinks, and its thoughts are left out");
    assert_eq!(said(&chat)["category"], "bug");
}

#[tokio::test]
async fn many_texts_are_embedded_piece_by_piece() {
    let bench = Bench::new();
    let texts: Vec<String> =
        (0..1200).map(|n| format!("text number {n} about exports")).chain(["long ".repeat(20_000)]).collect();
    let (mut vectors, mut calls) = (Vec::new(), 0);
    while vectors.len() < texts.len() {
        let rest = &texts[vectors.len()..];
        let some = bench.patient(async || bench.model.embed("mistral-embed", rest).await).await.expect("vectors");
        assert!(!some.vectors.is_empty());
        vectors.extend(some.vectors);
        calls += 1;
    }
    assert!(vectors.iter().all(|vector| vector.len() == 1024) && calls <= 4, "{calls}");
    let alone = bench.model.embed("mistral-embed", &texts[17..18]).await.expect("a vector");
    assert_eq!(alone.vectors[0], vectors[17], "in their order, whatever the order of the answer");
    let length: f32 = vectors[0].iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-4);
    // Where a token is a letter, every estimate is too low.
    bench.world.mistral(|desk, _| desk.set_letters_per_token(1));
    let some = bench.patient(async || bench.model.embed("mistral-embed", &vec!["word ".repeat(400); 30]).await).await;
    assert!(some.is_ok_and(|some| (1..=8).contains(&some.vectors.len())));
    let one = vec!["word ".repeat(8000)];
    assert_eq!(
        bench.patient(async || bench.model.embed("mistral-embed", &one).await).await.map(|some| some.vectors.len()),
        Ok(1)
    );
}

#[tokio::test]
async fn moderation_is_there_for_who_asks() {
    let bench = Bench::new();
    let verdicts = bench
        .model
        .moderate("mistral-moderation-latest", &["Our contract, ada@lumen.example".into(), "Slow.".into()])
        .await;
    let verdicts = verdicts.expect("verdicts");
    assert_eq!((verdicts[0].flagged, verdicts[1].flagged, verdicts[0].scores["pii"] > 0.5), (true, false, true));
}

fn lines(count: usize) -> Vec<BatchLine> {
    let text =
        |n: usize| if n.is_multiple_of(2) { format!("Export {n} crashes.") } else { format!("Thank you for {n}.") };
    (0..count).map(|n| BatchLine { custom_id: format!("id-{n}"), request: question(&text(n)) }).collect()
}

async fn through(bench: &Bench, count: usize) -> Vec<(String, Result<Chat, String>)> {
    let batches = bench.model.batches().expect("it has them");
    let name = format!("backfill {count}");
    let job = bench.patient(async || batches.submit(&name, &lines(count)).await).await.expect("a job");
    assert!(
        matches!(bench.patient(async || batches.look(&job).await).await, Ok(BatchState::Running { total, .. }) if total == count as u64)
    );
    bench.clock.advance(Duration::from_secs(61));
    assert_eq!(bench.patient(async || batches.look(&job).await).await, Ok(BatchState::Done));
    bench.patient(async || batches.results(&job).await).await.expect("results")
}

#[tokio::test]
async fn a_batch_comes_back_by_its_ids_inside_or_as_a_file() {
    // Paced as evenly as can be: every step that takes several calls must be able to go on.
    let bench = Bench::with(&json!({"quota": {"calls": 1, "per_seconds": 1}}));
    for count in [7, 10_001] {
        let results = through(&bench, count).await;
        assert_eq!(results.len(), count);
        let of = |id: &str| results.iter().find(|(known, _)| known == id).and_then(|(_, chat)| chat.as_ref().ok());
        assert_eq!(said(of("id-4").expect("an answer"))["quote"], "Export 4 crashes.");
        assert_eq!(said(of("id-5").expect("an answer"))["category"], "praise");
    }
    bench.habit(Habit::Refusing, 0.5);
    let results = through(&bench, 40).await;
    let failed = results.iter().filter(|(_, chat)| chat.is_err()).count();
    assert!(results.len() == 40 && (1..39).contains(&failed), "{failed}");
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_found_and_not_made_twice() {
    let bench = Bench::new();
    let batches = bench.model.batches().expect("it has them");
    assert_eq!(batches.find("backfill").await, Ok(None));
    for (kind, made) in [(FailKind::CutAfter, true), (FailKind::CutBefore, false), (FailKind::ErrorAfter, true)] {
        let name = format!("backfill {kind:?}");
        bench.clock.advance(Duration::from_secs(2));
        bench.world.fail_next_operation(Vendor::Mistral, "POST batch/jobs", 1, kind);
        assert!(matches!(batches.submit(&name, &lines(3)).await, Err(Fault::Unknown { .. })));
        let found = bench.patient(async || batches.find(&name).await).await.expect("a list");
        assert_eq!(found.is_some(), made, "{kind:?}");
    }
    let job = batches.submit("another", &lines(3)).await.expect("a job");
    assert_eq!(bench.patient(async || batches.find("another").await).await, Ok(Some(job.clone())));
    bench.patient(async || batches.cancel(&job).await).await.expect("it is cancelled");
    bench.clock.advance(Duration::from_secs(10));
    assert!(matches!(batches.look(&job).await, Ok(BatchState::Failed(why)) if why == "cancelled"));
    bench.patient(async || batches.cancel(&job).await).await.expect("and again");
    let late = batches.submit("late", &lines(3)).await.expect("a job");
    bench.world.mistral(|desk, _| desk.keep_files_for(TimeDelta::zero()));
    bench.clock.advance(Duration::from_secs(90));
    assert!(
        bench.patient(async || batches.results(&late).await).await.is_ok(),
        "what was given inside comes back inside"
    );
}

#[tokio::test]
async fn compatible_servers_are_spoken_to_in_their_own_way() {
    for (personality, settings) in [
        (Personality::Vllm, json!({"dialect": "compatible", "base_url": "http://gpu.example/v1"})),
        (Personality::Ollama, json!({"dialect": "compatible", "base_url": "http://gpu.example/v1/"})),
        (
            Personality::LlamaCpp,
            json!({"dialect": "compatible", "base_url": "http://gpu.example", "json_schema": "flat"}),
        ),
        (
            Personality::LlamaCpp,
            json!({"dialect": "compatible", "base_url": "http://gpu.example", "json_schema": "object"}),
        ),
    ] {
        let bench = Bench::with(&settings);
        bench.world.mistral(|desk, _| desk.become_a(personality));
        let chat = bench.ask("The export crashes with an error.").await.expect("an answer");
        assert_eq!(said(&chat)["category"], "bug", "{personality:?}");
        assert!(chat.tokens.input > 0 && chat.tokens.cached == 0);
        assert!(bench.model.batches().is_none());
        assert!(!bench.model.models().await.expect("a list").is_empty());
        if personality != Personality::LlamaCpp {
            let fault = bench
                .model
                .chat(&ChatRequest { model: "nobody".into(), ..question("x") })
                .await
                .expect_err("no such model");
            assert!(matches!(&fault, Fault::Locked { why } if why.contains("nobody")), "{fault}");
        }
        bench.world.mistral(|desk, _| desk.serve_model("tiny", 50));
        let long = ChatRequest { model: "tiny".into(), ..question(&"It crashes. ".repeat(100)) };
        let fault = bench.patient(async || bench.model.chat(&long).await).await.expect_err("it is too long");
        assert!(
            matches!(&fault, Fault::Rejected { field: Some(field), .. } if field == "user"),
            "{personality:?} {fault}"
        );
        let body = &bench.world.mistral(|desk, _| desk.usage()).prompts[0].body;
        assert!(
            body.get("random_seed").is_none() && body.get("prompt_cache_key").is_none() && body.get("seed").is_some()
        );
    }
    let wrong = Bench::with(&json!({"dialect": "compatible"}));
    wrong.world.mistral(|desk, _| desk.become_a(Personality::LlamaCpp));
    assert!(matches!(wrong.ask("x").await, Err(Fault::Rejected { field: Some(field), .. }) if field == "schema"));
}

#[tokio::test]
async fn every_request_is_one_that_the_document_knows() {
    let Some(spec) = spec::mistral() else { return };
    let bench = Bench::new();
    bench.ask("The export crashes with an error.").await.expect("an answer");
    bench
        .patient(async || bench.model.chat(&ChatRequest { schema: None, ..question("x y z") }).await)
        .await
        .expect("an answer");
    bench.patient(async || bench.model.models().await).await.expect("a list");
    bench.patient(async || bench.model.embed("mistral-embed", &["a text".into()]).await).await.expect("a vector");
    bench
        .patient(async || bench.model.moderate("mistral-moderation-latest", &["a".into()]).await)
        .await
        .expect("a verdict");
    through(&bench, 3).await;
    through(&bench, 10_001).await;
    let batches = bench.model.batches().expect("it has them");
    bench.patient(async || batches.find("nothing").await).await.expect("a list");
    let job = bench.patient(async || batches.submit("n", &lines(1)).await).await.expect("a job");
    bench.patient(async || batches.cancel(&job).await).await.expect("cancelled");
    let seen = bench.sent.seen();
    let paths: std::collections::BTreeSet<String> = seen
        .iter()
        .map(|request| {
            format!("{} {}", request.method(), request.uri().path().split('/').take(4).collect::<Vec<_>>().join("/"))
        })
        .collect();
    assert!(paths.len() >= 7, "{paths:?}");
    for request in &seen {
        // The checker reads JSON; a form is looked at in the connector's own tests.
        if request.uri().path() != "/v1/files" {
            assert_eq!(spec.check("", request), Ok(()));
        }
        assert_eq!(request.headers()["authorization"], "Bearer mistral-sandbox-key");
    }
}

#[tokio::test]
async fn over_real_http_it_is_the_same() {
    let clock = connectors::clock::SystemClock::new();
    let reader = clock;
    let world = World::new(7, Arc::new(move || connectors::Clock::now(&reader)));
    let served = sandbox::serve(world.clone(), &Ports::new()).await.expect("free ports");
    let outside = Outside {
        transport: Arc::new(connectors::http::Reqwest::new().expect("TLS roots")),
        clock: Arc::new(clock),
        vault: Arc::new(connectors::oauth::NoVault),
    };
    // Evenly paced and long ago begun, so that nothing here waits.
    let settings =
        json!({"base_url": served.base(Vendor::Mistral), "quota": {"calls": 1000, "per_seconds": 10, "burst": 1000}});
    world.mistral(|desk, _| desk.set_quota(1000, 10_000_000));
    let key = Some(SecretString::from(Vendor::Mistral.token()));
    let model = model::open(settings.as_object().expect("a table"), key, &outside).expect("good settings");
    assert!(model.models().await.is_ok_and(|cards| cards.len() > 5));
    let chat = model.chat(&question("The export crashes with an error.")).await.expect("an answer");
    assert_eq!(said(&chat)["quote"], "The export crashes with an error.");
    assert_eq!(model.embed("mistral-embed", &["a".into(), "b".into()]).await.map(|some| some.vectors.len()), Ok(2));
    world.mistral(|desk, _| desk.set_batch_time(TimeDelta::zero()));
    let batches = model.batches().expect("it has them");
    let job = batches.submit("over http", &lines(10_001)).await.expect("a file, and a job");
    assert_eq!(batches.look(&job).await, Ok(BatchState::Done));
    assert_eq!(batches.results(&job).await.map(|results| results.len()), Ok(10_001));
    world.mistral(|desk, _| desk.set_habit(Habit::Down, 1.0));
    for _ in 0..6 {
        assert!(matches!(model.chat(&question("x")).await, Err(Fault::Later { .. } | Fault::Unknown { .. })));
    }
    served.shutdown().await;
}

//! What judging costs: by loopd's own models, and from the store of answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connectors::Fault;
use connectors::clock::SystemClock;
use connectors::http::{Broken, Transport};
use connectors::model::{Chat, ChatRequest, Embedded, Finish, Model, Tokens};
use http::{Request, Response};
use loopd::daemon::{Materials, build, classifier};
use loopd::enrich::{Text, embed};
use loopd::house::House;
use loopd::ledger::{Ledger, NoProbe, SledStore};
use loopd::model::{Asked, Models};
use loopd::triage::classify::{self, Reading};
use serde_json::json;

use crate::Size;
use crate::figures::{Aim, Figures};
use crate::machine::{Timer, folder, free_space};
use crate::town::NoMachine;

/// Nobody is called.
struct Nobody;

#[async_trait]
impl Transport for Nobody {
    async fn send(&self, _: Request<Bytes>, _: Duration) -> Result<Response<Bytes>, Broken> {
        Err(Broken::NotSent("a bench calls nobody".into()))
    }
}

/// Answers at once, and well.
struct Instant;

#[async_trait]
impl Model for Instant {
    async fn chat(&self, request: &ChatRequest) -> Result<Chat, Fault> {
        let sure = json!({"category": 0.9, "severity": 0.9});
        let answer = json!({"category": "bug", "severity": "low", "confidence": sure, "quote": ""});
        let tokens = Tokens { input: (request.system.len() + request.user.len()) as u64 / 4, output: 40, cached: 0 };
        let model = request.model.clone();
        Ok(Chat { text: answer.to_string(), model, finish: Finish::Stop, tokens })
    }
    async fn embed(&self, _: &str, _: &[String]) -> Result<Embedded, Fault> {
        Err(Fault::rejected("it does not embed"))
    }
}

pub(crate) fn run(size: Size, figures: &mut Figures) {
    let folder = folder();
    let house = house(folder.path());
    let count = size.pick(50_000, 2_000);
    let texts: Vec<Text> = (0..count).map(text).collect();
    offline(&house, &texts[..texts.len().min(20_000)], figures);
    replay(&house, &texts, figures);
}

fn offline(house: &House, texts: &[Text], figures: &mut Figures) {
    #[expect(clippy::cast_precision_loss, reason = "a count of texts")]
    let count = texts.len() as f64;
    let timer = Timer::start();
    let verdicts: usize = texts.iter().map(|text| house.classifier.classify(text).len()).sum();
    figures.add("judgement", "texts judged by the small models, one core", count / timer.seconds(), "/s", Aim::None);
    assert!(verdicts > texts.len(), "each text gets several verdicts");
    let timer = Timer::start();
    let sum: f32 = texts.iter().map(|text| embed::embed(text)[0]).sum();
    figures.add("judgement", "texts embedded by n-grams, one core", count / timer.seconds(), "/s", Aim::None);
    assert!(sum.is_finite());
}

fn replay(house: &House, texts: &[Text], figures: &mut Figures) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ask = |text: &Text| {
        let reading = Reading { text: text.clone(), source: Some("support".into()), ..Reading::default() };
        let asked = runtime.block_on(classify::ask(house, None, &reading)).expect("the ledger");
        assert!(matches!(asked, Asked::Answered(_)), "{asked:?}");
    };
    texts.iter().for_each(ask);
    let spent = |house: &House| {
        let rows = house.ledger.spent().expect("the ledger");
        rows.iter().fold((0, 0), |(calls, known), (.., row)| (calls + row.calls, known + row.cached_answers))
    };
    assert_eq!(spent(house), (texts.len() as u64, 0), "one call each");
    let timer = Timer::start();
    texts.iter().for_each(ask);
    let seconds = timer.seconds();
    assert_eq!(spent(house), (texts.len() as u64, texts.len() as u64), "the second time nobody is asked");
    let name = format!("{} items judged again from the store of answers", texts.len());
    figures.add("judgement", name, seconds, "s", Aim::AtMost(60.0));
}

fn text(number: usize) -> Text {
    const WHAT: [&str; 4] =
        ["The export crashes", "Please add single sign-on", "Streaming is slow", "We love the search"];
    let body = format!(
        "{} in the console since version {number}. Our team of {} sees it every day, and the logs show nothing. \
         It would be good to hear when this is done.",
        WHAT[number % WHAT.len()],
        number % 97
    );
    Text { title: format!("Item {number}"), body, origin: String::new() }
}

fn house(path: &Path) -> Arc<House> {
    let machine = NoMachine { files: [(PathBuf::from("config.toml"), String::new())].into() };
    let config =
        loopd::config::load(Path::new("config.toml"), &machine).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let store = Arc::new(SledStore::open(&path.join("ledger"), free_space()).expect("a new ledger"));
    let ledger = Ledger::over(store, Arc::new(NoProbe)).expect("an empty ledger");
    let classifier = classifier(&config);
    let transport = Arc::new(|_: &str| Arc::new(Nobody) as Arc<dyn Transport>);
    let clock = Arc::new(SystemClock::new());
    let materials = Materials { ledger, clock, transport, classifier, vaults: loopd::vault::none() };
    let mut house = build(config, &machine, materials).expect("a good configuration");
    house.models = Models::new(Some(Arc::new(Instant)), std::collections::BTreeMap::new());
    Arc::new(house)
}

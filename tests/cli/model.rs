//! With a language model, over HTTP: `loopd prompts`, `loopd cost`, `loopd eval --with model`.

use std::sync::Arc;

use connectors::Clock;
use connectors::clock::SystemClock;
use sandbox::{Ports, Served, Vendor, World};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::{GITHUB, Place};

const SAID: &str = "id,title,text\n\
    1,Export,The export crashes with an error every night.\n\
    2,Sign-on,Please add single sign-on for our team.\n\
    3,Thanks,I love the new editor. Great work.\n";
const LABELLED: &str = "{\"text\": \"The export crashes with an error.\", \"category\": \"bug\"}\n\
    {\"text\": \"Please add single sign-on.\", \"category\": \"feature_request\"}\n\
    {\"text\": \"I love the new editor.\", \"category\": \"praise\"}\n";

/// A server of models, for as long as it is held.
struct Server {
    _runtime: Runtime,
    world: Arc<World>,
    served: Served,
}

fn server() -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let clock = SystemClock::new();
    let world = World::new(1, Arc::new(move || clock.now()));
    let served = runtime.block_on(sandbox::serve(world.clone(), &Ports::new())).expect("loopback ports");
    Server { _runtime: runtime, world, served }
}

fn place(server: &Server, more: &str) -> Place {
    let base = server.served.base(Vendor::Mistral);
    let config = format!(
        "{GITHUB}\n[triage]\nsettle_seconds = 0\n[model]\nprovider = \"mistral\"\nbase_url = \"{base}\"\n\
         key = {{ file = \"model.key\" }}\nembed = \"\"\n{more}"
    );
    let place = Place::with(&config);
    place.write("model.key", Vendor::Mistral.token());
    place
}

fn asked(server: &Server) -> u64 {
    server.world.mistral(|desk, _| desk.usage().calls)
}

#[test]
fn prompts_are_shown_tried_and_paid_for() {
    let server = server();
    let place = place(
        &server,
        "prompts = \"mine\"\n[tasks]\nclassify = { models = [\"small\"] }\nrisk = { mode = \"off\" }\n\
         duplicate = { mode = \"off\" }\ntheme = { mode = \"off\" }\n",
    );
    place.loopd(&["check"]).ends(2).says("`[model] prompts` cannot be read").says("mine");
    // A shell makes a file before anything is written to it.
    place.write("mine/classify/2.md", "");
    let shipped = place.loopd(&["prompts", "show", "classify/1"]).ends(0).out;
    let own = shipped.replace("version     = \"1\"", "version = \"2\"").replace("You sort what", "You file what");
    place.write("mine/classify/2.md", &own);
    place.loopd(&["prompts"]).ends(0).says("classify/2").says("in use").says("mistral-small-latest");
    place.loopd(&["prompts", "show", "classify/3"]).ends(2).says("there are versions 1, 2");
    place.loopd(&["prompts", "show", "guess/1"]).ends(2).says("there is no task `guess`");
    place.loopd(&["cost"]).ends(2).says("there is no ledger yet");

    place.write("said.csv", SAID);
    place.loopd(&["import", "feedback", "said.csv"]).ends(0);
    let daemon = place.run();
    let known = |place: &Place| place.loopd(&["cost", "--json"]).ends(0).json()["total"]["calls"].as_u64();
    assert!((0..300).any(|_| known(&place).is_some_and(|calls| calls >= 3)), "it asked nobody");
    let before = asked(&server);
    place.loopd(&["prompts", "backtest", "2"]).ends(2).says("--yes goes on");
    assert_eq!(asked(&server), before, "nothing is spent unasked");
    let tried = place.loopd(&["prompts", "backtest", "classify/2", "--yes", "--json"]).ends(0).json();
    assert_eq!((&tried["items"], &tried["answered"], &tried["cut"]), (&3.into(), &3.into(), &Value::Null), "{tried}");
    assert_eq!(tried["paths"]["tags.category"]["compared"], 3);
    assert!(tried["usd"].as_f64().is_some_and(|usd| usd > 0.0));
    place.loopd(&["prompts", "backtest", "--model", "large", "--yes"]).ends(0).says("tags.category").says("USD");
    let cost = place.loopd(&["cost", "--json"]).ends(0).json();
    assert_eq!(cost["total"]["calls"].as_u64(), Some(asked(&server)), "every call is in the books: {cost}");
    place.loopd(&["cost", "--by", "model"]).ends(0).says("mistral-small").says("Today:").says("no limit");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_language_model_is_measured_by_the_same_command() {
    let server = server();
    let place = place(&server, "");
    place.write("labelled.ndjson", LABELLED);
    let report = place.loopd(&["eval", "labelled.ndjson", "--with", "model", "--json"]).ends(0).json();
    assert_eq!(report["rows"], 3);
    assert!(report["subject"].as_str().is_some_and(|name| name.contains("mistral-small-latest")), "{report}");
    assert_eq!(report["cost"]["calls"].as_u64(), Some(asked(&server)));
    assert!(report["tasks"]["category"]["accuracy"].as_f64().is_some_and(|right| right > 0.9), "{report}");
    place.loopd(&["eval", "labelled.ndjson", "--with", "model", "--prompt", "9"]).ends(2).says("no prompt classify/9");
    let alone = Place::with(GITHUB);
    alone.write("labelled.ndjson", LABELLED);
    alone.loopd(&["eval", "labelled.ndjson", "--with", "model"]).ends(2).says("no language model is configured");
}

#[test]
fn a_key_that_is_not_there_is_told_with_its_place() {
    let server = server();
    let place = place(&server, "");
    std::fs::remove_file(place.path().join("model.key")).expect("it was there");
    place.loopd(&["check"]).ends(2).says("model.key");
    place.loopd(&["run"]).ends(2).says("model.key");
}

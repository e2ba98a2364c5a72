//! The in-app source at its ports: there is no vendor to stand in for, so what stands on the other side is the documented
//! interface itself. What it does over HTTP is in `tests/cli/app.rs`, in a browser in `tests/widget`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use chrono::{TimeZone, Utc};
use connectors::{Connector, Kind, Outside, Request, Secrets};
use http::HeaderMap;
use loopd::config::{Machine, load_text, starter};
use loopd::mapping::{Mapping, compile};
use sandbox::{Vendor, World};
use serde_json::{Value, json};

use crate::support::{InProcess, TestClock};

fn app() -> Arc<dyn Connector> {
    let clock = TestClock::new();
    let world = World::new(7, clock.hands());
    let transport = InProcess { world, vendor: Vendor::GitHub, clock: clock.clone() };
    let outside = Outside { transport: Arc::new(transport), clock, vault: Arc::new(connectors::oauth::NoVault) };
    let settings = json!({"key": "pk_my_app_1", "origins": ["https://app.example.com"]});
    connectors::open(Kind::App, &settings, &Secrets::new(), &outside).expect("it opens")
}

fn examples(app: &dyn Connector) -> Vec<Value> {
    let public = app.webhook().and_then(|webhook| webhook.public()).expect("it is open to the public");
    let document = public.assets().iter().find(|asset| asset.path.ends_with(".json")).expect("it describes itself");
    let document: Value = serde_json::from_str(document.body).expect("JSON");
    let body = &document["paths"]["/v1/feedback"]["post"]["requestBody"]["content"]["application/json"];
    body["examples"].as_object().expect("examples").values().map(|example| example["value"].clone()).collect()
}

#[test]
fn it_is_only_ever_sent_to_us() {
    let app = app();
    assert!(Kind::App.is_received_only());
    assert!(app.source().is_none() && app.sink().is_none() && app.messenger().is_none() && app.setup().is_none());
    assert!(Kind::App.secrets().is_empty(), "a key that stands in a page is no secret");
}

#[test]
fn its_first_configuration_is_open_without_another_word() {
    let text = starter(&[Kind::App]);
    let config = load_text("config.toml", &text, Path::new(""), &Machine).expect("it loads");
    assert!(config.connections["app"].webhook, "it has no other way in");
    assert!(config.mappings.from_for("app", "feedback").is_some());
}

/// Every documented piece becomes feedback that says something, in a category of its kind; a repeat is the same record.
#[test]
fn each_documented_piece_is_drawn() {
    let app = app();
    let text = std::fs::read_to_string(crate::repository().join("mappings/app.feedback.toml")).expect("it is shipped");
    let Mapping::From(mapping) = compile("app.feedback.toml", &text).expect("it compiles").mapping else {
        panic!("it draws nothing");
    };
    let now = Utc.with_ymd_and_hms(2026, 11, 23, 8, 0, 0).single().expect("a real date");
    let mut categories = BTreeSet::new();
    for example in examples(app.as_ref()) {
        let body = serde_json::to_vec(&example).expect("JSON");
        let headers = HeaderMap::from_iter(
            [("idempotency-key", "k-1")]
                .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))),
        );
        let headers = if example.get("idempotency_key").is_some() { HeaderMap::new() } else { headers };
        let open = || {
            let webhook = app.webhook().expect("it receives");
            webhook.open(Request { headers: &headers, body: &body }, now).expect("a good piece")
        };
        let (once, twice) = (open(), open());
        assert_eq!(once.records, twice.records);
        assert_eq!(once.reply.as_ref().and_then(|reply| reply.names.clone()), Some(once.records[0].key.clone()));
        let drawn = mapping.draw(once.records[0].body.as_ref().expect("a body")).expect("it can be drawn");
        let said = |path: &str| {
            drawn
                .fields
                .iter()
                .find(|(known, _)| known.dotted() == path)
                .map(|(_, value)| value.clone())
                .unwrap_or_default()
        };
        assert!(said("title").is_string() || said("verbatim").is_string(), "{example}");
        assert_eq!(said("source"), "in_app");
        categories.insert(said("tags.category").as_str().unwrap_or("(a model's)").to_owned());
    }
    let expected = ["(a model's)", "behavior_not_working", "bug", "churn_signal", "pain_point"];
    assert_eq!(categories, expected.map(str::to_owned).into());
}

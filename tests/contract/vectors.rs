//! The signatures of `specs/webhooks`, where that is at hand: computed by others, from the vendors' documents.

use connectors::{Clock, Delivery, Kind, Outside, Refusal, Request, Secrets};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::Value;

use crate::shared;
use crate::support::{InProcess, TestClock};

/// A signed delivery.
pub(crate) struct Vector {
    pub(crate) kind: String,
    pub(crate) secret: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Those of one vendor; none, and a word about it, where they are not here.
#[expect(clippy::print_stderr, reason = "a check that did not run must be seen")]
pub(crate) fn of(vendor: &str) -> Vec<Vector> {
    let file = shared("specs/webhooks/webhook-signature-vectors.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("{} is not here: no signature is checked against it", file.display());
        return Vec::new();
    };
    let all: Value = serde_json::from_str(&text).expect("JSON");
    let ours = all["vectors"].as_array().expect("vectors").iter().filter(|vector| vector["vendor"] == vendor);
    let vector = |vector: &Value| {
        let headers = vector["headers"].as_object().expect("headers").iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value.as_str().expect("text")).expect("a header");
            (name.parse::<HeaderName>().expect("a header"), value)
        });
        let text = |key: &str| vector[key].as_str().expect("text").to_owned();
        Vector { kind: text("kind"), secret: text("secret"), headers: headers.collect(), body: text("raw_body") }
    };
    let found: Vec<Vector> = ours.map(vector).collect();
    assert!(!found.is_empty(), "no vector of {vendor}");
    found
}

impl Vector {
    /// Opens it in a connection whose webhook secret is this one.
    pub(crate) fn open(&self, kind: Kind, settings: &Value, at: i64) -> Result<Delivery, Refusal> {
        let clock = TestClock::new();
        let world = sandbox::World::new(1, clock.hands());
        let transport = std::sync::Arc::new(InProcess { world, vendor: sandbox::Vendor::GitHub, clock: clock.clone() });
        let outside =
            Outside { transport, clock: clock.clone(), vault: std::sync::Arc::new(connectors::oauth::NoVault) };
        let secrets: Secrets = [("token", "t"), ("webhook_secret", self.secret.as_str())]
            .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
            .into();
        let connector = connectors::open(kind, settings, &secrets, &outside).expect("it opens");
        let now = chrono::DateTime::from_timestamp(at, 0).unwrap_or(clock.now());
        let raw = Request { headers: &self.headers, body: self.body.as_bytes() };
        connector.webhook().expect("it receives").open(raw, now)
    }

    /// With a byte more it must not pass.
    pub(crate) fn spoilt(&self) -> Self {
        let body = format!("{} ", self.body);
        Self { kind: self.kind.clone(), secret: self.secret.clone(), headers: self.headers.clone(), body }
    }
}

//! What the contracts of usage analytics share: a connection to a stand-in, and pulls as the engine makes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use connectors::{Connector, Counted, Cursor, Fault, Kind, Next, Outside, Secrets, Source, Whole};
use sandbox::{Used, Vendor, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::pull::patient;
use crate::recording::Recording;
use crate::support::{InProcess, TestClock};

/// For tests only: signs as the sandbox's service account.
pub(crate) const PRIVATE_KEY: &str = include_str!("../../connectors/github/fixtures/app_key_for_tests_only.pem");
pub(crate) const PUBLIC_KEY: &str = include_str!("../../connectors/github/fixtures/app_public_key_for_tests_only.pem");
pub(crate) const KEY_ID: &str = "k1";

/// The key file of the sandbox's service account.
pub(crate) fn key_file(email: &str) -> String {
    json!({
        "type": "service_account", "project_id": "sandbox-project", "client_email": email, "private_key": PRIVATE_KEY,
        "private_key_id": KEY_ID, "token_uri": "https://oauth2.googleapis.com/token",
    })
    .to_string()
}

pub(crate) struct Bench {
    pub(crate) world: Arc<World>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) sent: Arc<Recording>,
    pub(crate) connector: Arc<dyn Connector>,
    /// The numbers as they stand after what was pulled, as the engine keeps them: (day, account, user, feature).
    pub(crate) cells: BTreeMap<(String, String, String, String), u64>,
    pulls: BTreeMap<(String, String, String, String), i64>,
    pub(crate) at: Option<Cursor>,
}

pub(crate) fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

pub(crate) fn used(on: &str, account: &str, user: &str, feature: &str, count: u64) -> Used {
    Used::new(day(on), account, user, feature, count)
}

impl Bench {
    pub(crate) fn open(kind: Kind, vendor: Vendor, settings: &Value, secret: (&str, &str)) -> Self {
        let clock = TestClock::new();
        let world = World::new(7, clock.hands());
        let transport = InProcess { world: world.clone(), vendor, clock: clock.clone() };
        let sent = Recording::new(Arc::new(transport));
        let outside =
            Outside { transport: sent.clone(), clock: clock.clone(), vault: Arc::new(connectors::oauth::NoVault) };
        let secrets: Secrets = [(secret.0.to_owned(), SecretString::from(secret.1))].into();
        let connector = connectors::open(kind, settings, &secrets, &outside).expect("it opens");
        Self { world, clock, sent, connector, cells: BTreeMap::new(), pulls: BTreeMap::new(), at: None }
    }

    pub(crate) fn source(&self) -> &dyn Source {
        self.connector.source().expect("it reads")
    }

    /// One page, without patience.
    pub(crate) async fn page(&mut self) -> Result<bool, Fault> {
        let page = self.source().pull("usage", self.at.as_ref()).await?;
        for usage in page.usage {
            let Counted::Total { count, pull } = usage.count else { panic!("a vendor adds up") };
            let text = |text: Option<String>| text.unwrap_or_default();
            let key = (usage.day.to_string(), text(usage.account), text(usage.user), usage.feature);
            let known = self.pulls.insert(key.clone(), pull);
            assert!(known != Some(pull), "a row came twice in one pull: {key:?}");
            self.cells.insert(key, count);
        }
        if let Some(Whole { from, to, pull }) = page.whole {
            let told = |key: &(String, String, String, String)| self.pulls[key] >= pull;
            let inside = |key: &(String, String, String, String)| (from..=to).contains(&day(&key.0));
            self.cells.retain(|key, _| told(key) || !inside(key));
        }
        let (cursor, more) = match page.next {
            Next::More(cursor) => (cursor, true),
            Next::CaughtUp(cursor) => (cursor, false),
        };
        // As the ledger keeps it.
        self.at = Some(serde_json::from_value(serde_json::to_value(&cursor).expect("plain data")).expect("plain data"));
        Ok(more)
    }

    /// Pages until the stream has caught up; how many. What fails for a while is tried again, as the engine does.
    pub(crate) async fn catch_up(&mut self) -> usize {
        for pages in 1..10_000 {
            match self.page().await {
                Ok(true) => {}
                Ok(false) => return pages,
                Err(Fault::Later { after, .. }) => {
                    self.clock.advance(after.unwrap_or(std::time::Duration::from_secs(1)));
                }
                Err(Fault::Unknown { .. }) => {}
                Err(fault) => panic!("{fault}"),
            }
        }
        panic!("it never catches up");
    }

    pub(crate) async fn fault(&mut self) -> Fault {
        self.page().await.expect_err("it is refused")
    }

    pub(crate) async fn probe(&self) -> Result<connectors::Identity, Fault> {
        patient(&self.clock, async || self.connector.probe().await).await
    }

    /// `account feature: count`, of a day.
    pub(crate) fn of(&self, on: &str) -> Vec<String> {
        let rows = self.cells.iter().filter(|((day, ..), _)| day == on);
        rows.map(|((_, account, user, feature), count)| format!("{account}/{user} {feature}: {count}")).collect()
    }

    pub(crate) fn sum(&self) -> u64 {
        self.cells.values().sum()
    }

    /// The requests' bodies, as JSON, of those whose path ends so.
    pub(crate) fn bodies(&self, end: &str) -> Vec<Value> {
        let seen = self.sent.seen();
        let wanted = seen.iter().filter(|request| request.uri().path().ends_with(end));
        wanted.filter_map(|request| serde_json::from_slice(request.body()).ok()).collect()
    }
}

/// Every request against Google's own discovery document, where that is at hand: path, parameters, the names in a body.
#[expect(clippy::print_stderr, reason = "a check that did not run must be seen")]
pub(crate) fn check_google(bench: &Bench, document: &str) {
    let Ok(text) = std::fs::read_to_string(crate::shared(&format!("specs/google/{document}"))) else {
        eprintln!("{document} is not here: requests are not checked against it");
        return;
    };
    let root: Value = serde_json::from_str(&text).expect("a discovery document");
    let base = root["servicePath"].as_str().unwrap_or_default();
    let mut methods = Vec::new();
    collect(&root["resources"], &mut methods);
    for request in bench.sent.seen() {
        let path = request.uri().path().trim_start_matches('/');
        if path == "token" {
            continue;
        }
        let path = path.strip_prefix(base).unwrap_or(path);
        let fits = |method: &&Value| {
            let pattern = method["flatPath"].as_str().or_else(|| method["path"].as_str()).unwrap_or_default();
            method["httpMethod"] == request.method().as_str() && matches_path(pattern, path)
        };
        let method = methods.iter().find(fits).unwrap_or_else(|| panic!("{} {path} is no operation", request.method()));
        for pair in request.uri().query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            assert!(method["parameters"].get(name).is_some(), "{path} has no parameter {name}");
        }
        if let Some(schema) = method["request"]["$ref"].as_str() {
            let body: Value = serde_json::from_slice(request.body()).expect("JSON");
            check_names(&root, schema, &body);
        }
    }
}

fn collect(resources: &Value, methods: &mut Vec<Value>) {
    for resource in resources.as_object().into_iter().flat_map(|map| map.values()) {
        methods.extend(resource["methods"].as_object().into_iter().flat_map(|map| map.values().cloned()));
        collect(&resource["resources"], methods);
    }
}

/// `projects/{projectsId}/queries/{queriesId}` against a path.
fn matches_path(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(part, found)| match part.split_once('{') {
            Some((before, rest)) => {
                let after = rest.split_once('}').map_or("", |(_, after)| after);
                found.starts_with(before) && found.ends_with(after) && found.len() > before.len() + after.len()
            }
            None => part == found,
        })
}

fn check_names(root: &Value, schema: &str, body: &Value) {
    let known = &root["schemas"][schema]["properties"];
    for (name, value) in body.as_object().into_iter().flatten() {
        let property = &known[name];
        assert!(property.is_object(), "{schema} has no {name}");
        let (inner, list) = match property["items"]["$ref"].as_str() {
            Some(inner) => (Some(inner), true),
            None => (property["$ref"].as_str(), false),
        };
        match (inner, list) {
            (Some(inner), true) => {
                value.as_array().expect("a list").iter().for_each(|one| check_names(root, inner, one));
            }
            (Some(inner), false) => check_names(root, inner, value),
            (None, _) => {
                let fits = match property["type"].as_str() {
                    Some("string") => value.is_string(),
                    Some("boolean") => value.is_boolean(),
                    Some("integer") => value.is_u64() || value.is_i64(),
                    Some("array") => value.is_array(),
                    _ => true,
                };
                assert!(fits, "{schema}.{name} is of another type: {value}");
            }
        }
    }
}

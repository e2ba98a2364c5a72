//! Of one connection: its secrets, its settings, its schedules, its webhook.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use connectors::http::{Broken, Transport};
use connectors::{Clock, CollectionSpec, Connector, Need, Outside, Secrets};
use secrecy::SecretString;

use crate::config::connection::OURS;
use crate::config::{Connection, Problem, World};
use crate::mapping::nearest;

pub(super) fn secrets(connection: &Connection, world: &dyn World) -> Vec<Problem> {
    let mut problems = Vec::new();
    for spec in connection.kind.secrets() {
        match connection.secrets.get(spec.name) {
            Some(secret) => {
                if let Err((what, mend)) = secret.read(world) {
                    problems.push(connection.problem(Some(spec.name), what).mend(mend));
                }
            }
            None if spec.need == Need::Always || (spec.need == Need::Webhook && connection.webhook) => {
                let mend = format!("write {} = {{ env = \"…\" }}; it is {}", spec.name, spec.about);
                let why = if spec.need == Need::Webhook {
                    "is missing, and webhooks cannot be verified without it"
                } else {
                    "is missing"
                };
                problems.push(
                    Problem {
                        field: Some(format!("connection.{}.{}", connection.name, spec.name)),
                        ..connection.problem(None, why)
                    }
                    .mend(mend),
                );
            }
            None => {}
        }
    }
    problems
}

/// Opened with made-up credentials: what is checked are the settings.
pub(super) fn open(connection: &Connection) -> Result<Arc<dyn Connector>, connectors::SettingsError> {
    let always = connection.kind.secrets().iter().filter(|spec| spec.need == Need::Always).map(|spec| spec.name);
    let named = connection.secrets.keys().map(String::as_str).chain(always);
    let secrets: Secrets = named.map(|name| (name.to_owned(), SecretString::from("not-a-secret"))).collect();
    let outside = Outside {
        transport: Arc::new(Nowhere),
        clock: Arc::new(Standing),
        vault: Arc::new(connectors::oauth::NoVault),
    };
    match connectors::open(connection.kind, &connection.settings, &secrets, &outside) {
        // A made-up credential of a certain form (a private key) is refused, which says nothing about the settings.
        Err(error) if error.key.as_ref().is_some_and(|key| connection.secrets.contains_key(key)) => {
            Ok(Arc::new(Closed))
        }
        opened => opened,
    }
}

/// What is wrong with a vendor's setting, and the mend.
pub(super) fn setting(connection: &Connection, error: &connectors::SettingsError) -> Problem {
    let kind = connection.kind.name();
    let unknown = error.why.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    let Some((unknown, rest)) = unknown else {
        let mend = format!("what it may be is in docs/vendors/{kind}.md");
        return connection.problem(error.key.as_deref(), error.why.clone()).mend(mend);
    };
    // serde lists the vendor's own between backticks.
    let vendors = rest.split('`').skip(1).step_by(2);
    let secrets = connection.kind.secrets().iter().map(|secret| secret.name);
    let known: Vec<&str> = vendors.chain(secrets).chain(OURS).collect();
    let mend = match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    connection.problem(error.key.as_deref(), format!("a {kind} connection has no key `{unknown}`")).mend(mend)
}

pub(super) fn streams(connection: &Connection, connector: &dyn Connector) -> Vec<Problem> {
    let streams: Vec<String> = connector
        .source()
        .map(|source| source.streams().into_iter().map(|stream| stream.name).collect())
        .unwrap_or_default();
    if streams.is_empty() {
        return Vec::new();
    }
    let unknown = connection.schedules.keys().filter(|name| *name != "*" && !streams.contains(name));
    let problem = |name: &String| {
        let near = nearest(name, streams.iter().map(String::as_str));
        let mend =
            near.map_or_else(|| format!("there are {}", streams.join(", ")), |near| format!("did you mean `{near}`?"));
        connection.problem(Some("schedule"), format!("there is no stream `{name}`")).mend(mend)
    };
    unknown.map(problem).collect()
}

/// Public keys by which two connections would be meant. `seen`: whose each key is, of those looked at so far.
pub(super) fn shared_keys<'c>(
    connection: &'c Connection,
    connector: &dyn Connector,
    seen: &mut BTreeMap<String, &'c str>,
) -> Vec<Problem> {
    let keys = connector.webhook().and_then(|webhook| webhook.public()).map(|public| public.keys().to_vec());
    let mut problems = Vec::new();
    for key in keys.unwrap_or_default() {
        if let Some(other) = seen.get(&key) {
            let named = ["key", "keys"].into_iter().find(|name| connection.keys.contains_key(*name));
            let what = format!("{key:?} is a key of connection.{other} as well");
            problems.push(connection.problem(named, what).mend("give each connection keys of its own"));
        }
        seen.insert(key, &connection.name);
    }
    problems
}

/// Webhooks that no vendor can send, since it is not told where to.
pub(super) fn unreachable(connection: &Connection, has_url: bool) -> Option<Problem> {
    let what = "webhooks are accepted, but nobody is told where: `http.public_url` is empty";
    let told = connection.webhook && !connection.kind.is_received_only();
    (told && !has_url).then(|| {
        connection
            .problem(Some("webhook"), what)
            .mend("set public_url, or register {your host}/hooks/NAME at the vendor by hand")
            .warning()
    })
}

/// Reaches nobody.
pub(super) struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn send(&self, _: http::Request<Bytes>, _: Duration) -> Result<http::Response<Bytes>, Broken> {
        Err(Broken::NotSent("offline".into()))
    }
}

/// Stands still: nothing here waits.
pub(super) struct Standing;

impl Clock for Standing {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// In place of a connection whose settings could not be looked at.
struct Closed;

#[async_trait]
impl Connector for Closed {
    fn collections(&self) -> Vec<CollectionSpec> {
        Vec::new()
    }
    async fn probe(&self) -> Result<connectors::Identity, connectors::Fault> {
        Err(connectors::Fault::locked("not opened"))
    }
    async fn attach(
        &self,
        _: &connectors::Shape,
        _: Option<&str>,
        _: Option<&serde_json::Value>,
    ) -> Result<serde_json::Value, connectors::Fault> {
        Err(connectors::Fault::locked("not opened"))
    }
}

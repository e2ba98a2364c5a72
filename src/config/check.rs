//! What `loopd check` finds beyond what can be seen in one place: names that lead nowhere, credentials that are missing,
//! types that do not fit, routes that never match, and records that would come round in a circle.
//!
//! The law: offline. Connections are opened with a transport that reaches nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use connectors::http::{Broken, Transport};
use connectors::{Clock, CollectionSpec, Connector, FieldKind, FieldSpec, Fields, Outside, Secrets};
use secrecy::SecretString;

use super::{Config, Connection, Problem, Route, World};
use crate::mapping::{Expression, Flow, IntoMapping, Lens, MapError, Place, nearest};
use crate::schema::{EntityKind, Status};

/// Offline and in one go: everything that is wrong, or worth telling, with a configuration that loads.
pub fn check(config: &Config, world: &dyn World) -> Vec<Problem> {
    let mut problems = config.warnings.clone();
    let mut specs = BTreeMap::new();
    for connection in config.connections.values() {
        problems.extend(secrets(connection, world));
        match open(connection) {
            Ok(connector) => {
                problems.extend(streams(connection, connector.as_ref()));
                specs.insert(connection.name.as_str(), connector.collections());
            }
            Err(error) => problems.push(
                connection.problem(error.key.as_deref(), error.why).mend("see the connection's page in docs/vendors"),
            ),
        }
        if connection.webhook && config.http.public_url.is_none() {
            let what = "webhooks are accepted, but nobody is told where: `http.public_url` is empty";
            problems.push(
                connection
                    .problem(Some("webhook"), what)
                    .mend("set public_url, or register {your host}/hooks/NAME at the vendor by hand")
                    .warning(),
            );
        }
    }
    problems.extend(collections(config, &specs));
    problems.extend(circles(config, &specs));
    problems.extend(config.routes.iter().flat_map(|route| never(config, route)));
    problems.extend(lossy(config));
    problems.extend(unused(config));
    if let Some(csv) = &config.customers.csv
        && let Err(error) = world.read(csv)
    {
        problems.push(
            Problem::of_file(&csv.display().to_string(), format!("cannot be read: {error}"))
                .field("customers.csv")
                .mend("make the file, or leave `csv` empty"),
        );
    }
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.to_string()));
    problems
}

/// What must hold before anything can run: every name leads somewhere.
pub(super) fn wiring(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let names = || config.connections.keys().map(String::as_str);
    let meant = |name: &str| match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if config.connections.is_empty() => "add a [connection.NAME]".to_owned(),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    let mut seen: BTreeMap<(EntityKind, &str, &str), ()> = BTreeMap::new();
    for route in &config.routes {
        if !config.connections.contains_key(&route.connection) {
            problems.push(
                at(&route.at, format!("there is no connection `{}`", route.connection)).mend(meant(&route.connection)),
            );
        } else if config.mappings.into_for(&route.connection, &route.collection, route.entity).is_none() {
            let there = config
                .mappings
                .into
                .iter()
                .filter(|into| into.connection == route.connection && into.entity == route.entity);
            let there: Vec<&str> = there.map(|into| into.collection.as_str()).collect();
            let mend = match nearest(&route.collection, there.iter().copied()) {
                Some(near) => format!("did you mean \"{}.{near}\"?", route.connection),
                None if there.is_empty() => format!(
                    "write a mapping with into = \"{}.{}\" and entity = \"{}\"",
                    route.connection,
                    route.collection,
                    route.entity.name()
                ),
                None => format!("{} is mapped into {}", route.entity.name(), there.join(", ")),
            };
            let what = format!(
                "no mapping says how {} looks in {}.{}",
                route.entity.name(),
                route.connection,
                route.collection
            );
            problems.push(at(&route.at, what).mend(mend));
        } else if seen.insert((route.entity, &route.connection, &route.collection), ()).is_some() {
            let what = format!(
                "{} goes to {}.{} by an earlier route, too",
                route.entity.name(),
                route.connection,
                route.collection
            );
            problems.push(
                at(&route.at, what)
                    .mend("an entity goes where any of its routes says; join the conditions with `or`")
                    .warning(),
            );
        }
    }
    for name in &config.close.send_without_approval {
        if !config.connections.contains_key(name) {
            problems.push(
                Problem::of_file("", format!("there is no connection `{name}`"))
                    .field("close.send_without_approval")
                    .mend(meant(name)),
            );
        }
    }
    for into in &config.mappings.into {
        let same = |other: &&IntoMapping| {
            (&other.connection, &other.collection, other.entity) == (&into.connection, &into.collection, into.entity)
        };
        if config.mappings.into.iter().filter(same).count() > 1 {
            problems.push(
                at(
                    &into.place,
                    format!(
                        "another file maps {} into {}.{}, too",
                        into.entity.name(),
                        into.connection,
                        into.collection
                    ),
                )
                .mend("keep one"),
            );
        }
    }
    for from in &config.mappings.from {
        let others = config
            .mappings
            .from
            .iter()
            .filter(|other| other.connection == from.connection && other.collection == from.collection);
        if others.count() > 1 {
            problems.push(
                at(from.place(), format!("another file maps {}.{}, too", from.connection, from.collection))
                    .mend("keep one"),
            );
        }
        if let Some(part_of) = &from.part_of
            && config.mappings.from_for(&from.connection, &part_of.collection).is_none()
        {
            let what = format!("nothing maps {}.{}, which this is part of", from.connection, part_of.collection);
            problems.push(at(from.place(), what).mend("name the parent's collection in [part_of]"));
        }
    }
    problems
}

/// A problem at a place that is known without its text.
fn at(place: &Place, what: impl Into<String>) -> Problem {
    Problem {
        file: place.file.clone(),
        line: place.line,
        column: place.column,
        field: Some(place.field.clone()).filter(|field| !field.is_empty()),
        ..Problem::of_file("", what)
    }
}

fn secrets(connection: &Connection, world: &dyn World) -> Vec<Problem> {
    use connectors::Need;
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
fn open(connection: &Connection) -> Result<Arc<dyn Connector>, connectors::SettingsError> {
    let always =
        connection.kind.secrets().iter().filter(|spec| spec.need == connectors::Need::Always).map(|spec| spec.name);
    let named = connection.secrets.keys().map(String::as_str).chain(always);
    let secrets: Secrets = named.map(|name| (name.to_owned(), SecretString::from("not-a-secret"))).collect();
    let outside = Outside { transport: Arc::new(Nowhere), clock: Arc::new(Standing) };
    match connectors::open(connection.kind, &connection.settings, &secrets, &outside) {
        // A made-up credential of a certain form (a private key) is refused, which says nothing about the settings.
        Err(error) if error.key.as_ref().is_some_and(|key| connection.secrets.contains_key(key)) => {
            Ok(Arc::new(Closed))
        }
        opened => opened,
    }
}

fn streams(connection: &Connection, connector: &dyn Connector) -> Vec<Problem> {
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

type Specs<'c> = BTreeMap<&'c str, Vec<CollectionSpec>>;

fn collections(config: &Config, specs: &Specs<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let ends = config.mappings.from.iter().map(|from| (from.place(), &from.connection, &from.collection, None));
    let ends = ends
        .chain(config.mappings.into.iter().map(|into| (&into.place, &into.connection, &into.collection, Some(into))));
    for (place, connection, collection, into) in ends {
        let Some(specs) = specs.get(connection.as_str()) else { continue };
        // Where any table may exist, only the vendor can tell.
        let any = specs.iter().all(|spec| matches!(spec.fields, Fields::Open) && spec.creatable);
        let Some(spec) = specs.iter().find(|spec| spec.name == *collection) else {
            if !any {
                let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
                let mend = nearest(collection, names.iter().copied()).map_or_else(
                    || format!("there are {}", names.join(", ")),
                    |near| format!("did you mean \"{connection}.{near}\"?"),
                );
                problems.push(at(place, format!("{connection} has no collection `{collection}`")).mend(mend));
            }
            continue;
        };
        let Some(into) = into else { continue };
        if !spec.writable {
            problems.push(at(place, format!("{connection}.{collection} is only read")).mend("map it with `from`"));
            continue;
        }
        if let Fields::Fixed(fields) = &spec.fields {
            problems.extend(into.fields.iter().filter_map(|(name, lens)| field(name, lens, fields)));
        }
    }
    problems
}

fn field(name: &str, lens: &Lens, fields: &[FieldSpec]) -> Option<Problem> {
    let Some(spec) = fields.iter().find(|spec| spec.name == name) else {
        let names: Vec<&str> = fields.iter().map(|spec| spec.name).collect();
        let mend = nearest(name, names.iter().copied())
            .map_or_else(|| format!("there are {}", names.join(", ")), |near| format!("did you mean `{near}`?"));
        return Some(at(&lens.place, format!("there is no field `{name}`")).mend(mend));
    };
    if lens.flow != Flow::Pull && !spec.writable {
        return Some(
            at(&lens.place, format!("`{name}` cannot be written")).mend("take it with `pull`, or leave it out"),
        );
    }
    if lens.flow != Flow::Pull && !holds(spec.kind, lens.kind) {
        let what = format!("`{name}` is of type {}, the mapping gives {}", word(spec.kind), word(lens.kind));
        return Some(
            at(&lens.place, what).mend(format!("write type = \"{}\", or translate with `values`", word(spec.kind))),
        );
    }
    None
}

/// Can a field of the first kind hold values of the second?
fn holds(field: FieldKind, value: FieldKind) -> bool {
    use FieldKind as K;
    field == value
        || match field {
            K::Text | K::LongText => !matches!(value, K::Link | K::Tags | K::MultiSelect | K::Checkbox),
            K::Select | K::Url => matches!(value, K::Text | K::LongText | K::Select | K::Url),
            K::Number | K::Currency => matches!(value, K::Number | K::Currency),
            K::MultiSelect | K::Tags => matches!(value, K::MultiSelect | K::Tags),
            K::Date | K::DateTime => matches!(value, K::Date | K::DateTime),
            K::Checkbox | K::Link => false,
        }
}

fn word(kind: FieldKind) -> String {
    serde_json::to_value(kind).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Records that a route makes, and that a mapping would read as new ones.
fn circles(config: &Config, specs: &Specs<'_>) -> Vec<Problem> {
    let makes = |route: &&Route| {
        let specs = specs.get(route.connection.as_str());
        specs.is_none_or(|specs| {
            specs.iter().find(|spec| spec.name == route.collection).is_none_or(|spec| spec.creatable)
        })
    };
    let read_again = |route: &Route| {
        config.mappings.from_for(&route.connection, &route.collection).filter(|from| from.part_of.is_none())
    };
    let mut problems = Vec::new();
    for route in config.routes.iter().filter(makes) {
        let Some(from) = read_again(route) else { continue };
        let what = format!(
            "loopd makes records in {0}.{1}, and {2} reads them as new {3}: they would come round in a circle",
            route.connection,
            route.collection,
            from.file,
            from.entity.name()
        );
        problems.push(at(&route.at, what).mend(
            "leave out the route or the mapping; `adopt = true` in an `into` mapping takes in only what people make",
        ));
    }
    problems
}

/// Conditions that no entity can meet.
fn never(config: &Config, route: &Route) -> Vec<Problem> {
    let Some(when) = &route.when else { return Vec::new() };
    let mut problems = Vec::new();
    if when.is_never() {
        problems.push(
            at(when.place(), "this never holds, so nothing goes there").mend("leave the route out, or mend `when`"),
        );
    }
    for (path, value, positive) in compared(when) {
        let name = path.rsplit('.').next().unwrap_or_default();
        let known: Vec<String> = match (route.entity, path.as_str()) {
            (EntityKind::Feedback, "status") => Status::ALL.iter().map(|status| status.name().to_owned()).collect(),
            (EntityKind::Theme, "status") => words(config, "theme_status"),
            _ => words(config, name),
        };
        if known.is_empty() || known.contains(&value) {
            continue;
        }
        let near = nearest(&value, known.iter().map(String::as_str));
        let mend = near.map_or_else(
            || format!("there are {}; or add it to [vocabularies]", known.join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        let fixed = route.entity == EntityKind::Feedback && path == "status";
        let what = if positive {
            format!("no {} has the {name} \"{value}\", so this never holds", route.entity.name())
        } else {
            format!("there is no {name} \"{value}\"")
        };
        let problem = at(when.place(), what).mend(mend);
        problems.push(if fixed && positive { problem } else { problem.warning() });
    }
    for path in when.plain_paths() {
        if let Some(mend) = crate::mapping::unreadable(route.entity, &path) {
            problems.push(
                at(
                    when.place(),
                    format!("{} has no `.{}`, so it is always empty here", route.entity.name(), path.join(".")),
                )
                .mend(mend)
                .warning(),
            );
        }
    }
    problems
}

fn words(config: &Config, name: &str) -> Vec<String> {
    config.vocabularies.get(name).map(|terms| terms.iter().map(|term| term.value.clone()).collect()).unwrap_or_default()
}

/// `.path == "value"` and `.path != "value"` in an expression.
fn compared(when: &Expression) -> Vec<(String, String, bool)> {
    let text = when.text();
    let mut found = Vec::new();
    for (sign, positive) in [("==", true), ("!=", false)] {
        for (at, _) in text.match_indices(sign) {
            let before = text[..at].trim_end();
            let start =
                before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').map_or(0, |at| at + 1);
            let value = text[at + 2..]
                .trim_start()
                .strip_prefix('"')
                .and_then(|rest| rest.split_once('"'))
                .map(|(value, _)| value);
            if let (Some(path), Some(value)) = (before[start..].strip_prefix('.'), value)
                && !path.is_empty()
            {
                found.push((path.to_owned(), value.to_owned(), positive));
            }
        }
    }
    found
}

/// A value that flows both ways in two places must survive both: a coarser one would come back and overwrite the finer.
fn lossy(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let both =
        || {
            config.mappings.into.iter().flat_map(|into| {
                into.fields.values().filter(|lens| lens.flow == Flow::Both).map(move |lens| (into, lens))
            })
        };
    let routed = |into: &IntoMapping| {
        config.routes.iter().any(|route| {
            (route.entity, &route.connection, &route.collection) == (into.entity, &into.connection, &into.collection)
        })
    };
    for (into, lens) in both().filter(|(into, _)| routed(into)) {
        let Some(path) = &lens.path else { continue };
        let elsewhere = both()
            .filter(|(other, _)| routed(other) && other.connection != into.connection && other.entity == into.entity);
        for (other, theirs) in elsewhere.filter(|(_, theirs)| theirs.path.as_ref() == Some(path)) {
            let coarse = lens.kind == FieldKind::Date && theirs.kind == FieldKind::DateTime;
            let fight = lens.wins == crate::mapping::Wins::Ours
                && theirs.wins == crate::mapping::Wins::Ours
                && into.connection < other.connection;
            if coarse {
                let what = format!(
                    "{path} flows both ways here as a day and in {} as a time: the day would come back and cut the time",
                    other.connection
                );
                problems.push(at(&lens.place, what).mend("write type = \"datetime\" here, or push it with `from`"));
            } else if fight {
                let what = format!(
                    "{path} flows both ways here and in {}, and neither side may win: edits would be undone in both",
                    other.connection
                );
                problems.push(at(&lens.place, what).mend("write wins = \"theirs\" in one of them").warning());
            }
        }
    }
    problems
}

/// Connections that nothing comes from or goes to.
fn unused(config: &Config) -> Vec<Problem> {
    let used = |connection: &&Connection| {
        let name = &connection.name;
        config.routes.iter().any(|route| route.connection == *name)
            || config.mappings.from.iter().any(|from| from.connection == *name)
    };
    let idle = config.connections.values().filter(|connection| !used(connection));
    idle.map(|connection| {
        connection
            .problem(None, "nothing comes from here and no route leads here")
            .mend("add a [[route]] to it, or a mapping from it")
            .warning()
    })
    .collect()
}

/// Reaches nobody.
struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn send(&self, _: http::Request<Bytes>, _: Duration) -> Result<http::Response<Bytes>, Broken> {
        Err(Broken::NotSent("offline".into()))
    }
}

/// Stands still: nothing here waits.
struct Standing;

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
    fn pace(&self) -> connectors::Pace {
        connectors::Pace { calls: 1, per: Duration::from_secs(1) }
    }
    fn meter(&self) -> connectors::Meter {
        connectors::Meter::default()
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

/// Kept so that a route's error can be told the way a mapping's is.
impl From<MapError> for Problem {
    fn from(error: MapError) -> Self {
        Self {
            file: error.file,
            line: error.line,
            column: error.column,
            field: Some(error.field),
            ..Self::of_file("", error.what)
        }
    }
}

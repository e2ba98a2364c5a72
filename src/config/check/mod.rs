//! What `loopd check` finds beyond what can be seen in one place: names that lead nowhere, credentials that are missing,
//! types that do not fit, routes that never match, and records that would come round in a circle.
//!
//! The law: offline. Connections are opened with a transport that reaches nobody.

mod account;
mod model;
mod route;
mod shape;
mod wiring;

use std::collections::{BTreeMap, BTreeSet};

use connectors::CollectionSpec;

pub(super) use wiring::wiring;

use super::{Config, Problem, World};
use crate::mapping::Place;

/// What each connection that could be opened has, by its name.
type Specs<'c> = BTreeMap<&'c str, Vec<CollectionSpec>>;

/// Offline and in one go: everything that is wrong, or worth telling, with a configuration that loads.
pub fn check(config: &Config, world: &dyn World) -> Vec<Problem> {
    let mut problems = config.warnings.clone();
    let mut specs = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for connection in config.connections.values() {
        problems.extend(account::secrets(connection, world));
        match account::open(connection) {
            Ok(connector) => {
                problems.extend(account::streams(connection, connector.as_ref()));
                problems.extend(account::shared_keys(connection, connector.as_ref(), &mut keys));
                specs.insert(connection.name.as_str(), connector.collections());
            }
            Err(error) => problems.push(account::setting(connection, &error)),
        }
        problems.extend(account::unreachable(connection, config.http.public_url.is_some()));
    }
    problems.extend(shape::collections(config, &specs));
    problems.extend(route::circles(config, &specs));
    problems.extend(config.routes.iter().flat_map(|route| route::never(config, route)));
    problems.extend(shape::lossy(config));
    problems.extend(route::unused(config));
    if let Some(csv) = &config.customers.csv
        && let Err(error) = world.read(csv)
    {
        problems.push(
            Problem::of_file(&csv.display().to_string(), format!("cannot be read: {error}"))
                .field("customers.csv")
                .mend("make the file, or leave `csv` empty"),
        );
    }
    problems.extend(model::check(config, world));
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.to_string()));
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

//! Names that must lead somewhere before anything can run: of connections, mappings, and the parents of parts.

use std::collections::BTreeMap;

use super::at;
use crate::config::load::Unread;
use crate::config::{Config, Problem, Route};
use crate::mapping::{IntoMapping, nearest};
use crate::schema::EntityKind;

/// What must hold before anything can run: every name leads somewhere.
pub(in crate::config) fn wiring(config: &Config, unread: &Unread) -> Vec<Problem> {
    let mut problems = Vec::new();
    let names = || config.connections.keys().map(String::as_str);
    let meant = |name: &str| match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if config.connections.is_empty() => "add a [connection.NAME]".to_owned(),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    let mut seen: BTreeMap<(EntityKind, &str, &str), ()> = BTreeMap::new();
    let mapped = |route: &Route| {
        config.mappings.into_for(&route.connection, &route.collection, route.entity).is_some()
            || !unread.mapping(&route.connection, &route.collection)
    };
    let read = |route: &&Route| {
        let known = config.connections.contains_key(&route.connection);
        if known { mapped(route) } else { !unread.connection(&route.connection) }
    };
    for route in config.routes.iter().filter(read) {
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
    for name in config.close.send_without_approval.iter().filter(|name| !unread.connection(name)) {
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

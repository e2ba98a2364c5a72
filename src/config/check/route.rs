//! Routes: records that would come back as new ones, conditions that no entity meets, connections that nothing uses.

use super::{Specs, at};
use crate::config::{Config, Connection, Problem, Route};
use crate::mapping::{Expression, nearest, unreadable};
use crate::schema::{EntityKind, Status};

/// Records that a route makes, and that a mapping would read as new ones.
pub(super) fn circles(config: &Config, specs: &Specs<'_>) -> Vec<Problem> {
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
pub(super) fn never(config: &Config, route: &Route) -> Vec<Problem> {
    let Some(when) = &route.when else { return Vec::new() };
    let mut problems = Vec::new();
    if when.is_never() {
        problems.push(
            at(when.place(), "this never holds, so nothing goes there").mend("leave the route out, or mend `when`"),
        );
    }
    if let Some((path, one, other)) = contradiction(when) {
        let what = format!("{path} cannot be \"{one}\" and \"{other}\" at once, so this never holds");
        problems.push(at(when.place(), what).mend("join the two with `or`, or leave one out"));
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
        if let Some(mend) = unreadable(route.entity, &path) {
            problems.push(
                at(
                    when.place(),
                    format!("{} has no `.{}`, so it is always empty here", route.entity.name(), path.join(".")),
                )
                .mend(mend),
            );
        }
    }
    problems
}

/// Two values that one path is to have at once, in a condition of nothing but comparisons joined by `and`.
fn contradiction(when: &Expression) -> Option<(String, String, String)> {
    let text = when.text();
    if [" or ", "//", "if ", "not", "|", ","].iter().any(|more| text.contains(more)) {
        return None;
    }
    let found: Vec<_> = compared(when).into_iter().filter(|(.., positive)| *positive).collect();
    found.iter().enumerate().find_map(|(at, (path, value, _))| {
        let other = found[..at].iter().find(|(before, other, _)| before == path && other != value)?;
        Some((format!(".{path}"), other.1.clone(), value.clone()))
    })
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

/// Connections that nothing comes from or goes to.
pub(super) fn unused(config: &Config) -> Vec<Problem> {
    let used = |connection: &&Connection| {
        let name = &connection.name;
        // Usage is counted, and needs no mapping for it.
        connection.kind.is_counted_only()
            || config.routes.iter().any(|route| route.connection == *name)
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

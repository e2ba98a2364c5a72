//! Mappings against what they map into: collections and fields that exist, types that hold the value, and values that
//! survive every place that they flow through.

use connectors::{FieldKind, FieldSpec, Fields};

use super::{Specs, at};
use crate::config::{Config, Problem};
use crate::mapping::{Flow, IntoMapping, Lens, Wins, nearest};

pub(super) fn collections(config: &Config, specs: &Specs<'_>) -> Vec<Problem> {
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

/// A value that flows both ways in two places must survive both: a coarser one would come back and overwrite the finer.
pub(super) fn lossy(config: &Config) -> Vec<Problem> {
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
            let fight = lens.wins == Wins::Ours && theirs.wins == Wins::Ours && into.connection < other.connection;
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

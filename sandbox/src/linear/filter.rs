//! `filter` arguments. The input types say what each key is: a comparator on a value, a filter on one related row, or a
//! collection filter on many.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::resolve;
use super::schema::schema;
use super::store::{ISSUE, Kind, Row, Store};
use super::values;

/// Whether `row` passes a filter of the input type `ty`.
pub(super) fn passes(
    store: &Store,
    kind: Kind,
    row: &Row,
    ty: &str,
    filter: &Map<String, Value>,
    now: DateTime<Utc>,
) -> bool {
    let Some(inputs) = schema().inputs(ty) else { return true };
    filter.iter().filter(|(_, wanted)| !wanted.is_null()).all(|(key, wanted)| {
        let each = || wanted.as_array().into_iter().flatten().filter_map(Value::as_object);
        match key.as_str() {
            "and" => return each().all(|f| passes(store, kind, row, ty, f, now)),
            "or" => return each().any(|f| passes(store, kind, row, ty, f, now)),
            _ => {}
        }
        let (Some(input), Some(wanted)) = (inputs.get(key), wanted.as_object()) else { return true };
        let input = input.ty.name();
        if input.ends_with("CollectionFilter") {
            let (below, rows) = resolve::related(store, kind, row, key);
            collection(store, below, &rows, input, wanted, now)
        } else if input.ends_with("Filter") {
            match resolve::relation(store, kind, row, key) {
                Some((below, related)) => {
                    wanted.get("null") != Some(&Value::Bool(true))
                        && passes(store, below, related, input, &without_null(wanted), now)
                }
                None => wanted.get("null") == Some(&Value::Bool(true)),
            }
        } else if kind == ISSUE && key == "id" {
            // An issue's id comparator takes identifiers too.
            compare(row.get("id"), wanted, now) || compare(row.get("identifier"), wanted, now) && !negative(wanted)
        } else {
            compare(row.get(key), wanted, now)
        }
    })
}

fn negative(wanted: &Map<String, Value>) -> bool {
    wanted.contains_key("neq") || wanted.contains_key("nin")
}

fn without_null(wanted: &Map<String, Value>) -> Map<String, Value> {
    wanted.iter().filter(|(key, _)| *key != "null").map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn collection(
    store: &Store,
    kind: Kind,
    rows: &[&Row],
    ty: &str,
    wanted: &Map<String, Value>,
    now: DateTime<Utc>,
) -> bool {
    let Some(inputs) = schema().inputs(ty) else { return true };
    let inner = |name: &str| inputs.get(name).map(|input| input.ty.name().to_owned()).unwrap_or_default();
    let mut direct = Map::new();
    for (key, value) in wanted.iter().filter(|(_, value)| !value.is_null()) {
        let object = value.as_object();
        let each = || value.as_array().into_iter().flatten().filter_map(Value::as_object);
        let holds = match key.as_str() {
            "some" => object.is_some_and(|f| rows.iter().any(|row| passes(store, kind, row, &inner("some"), f, now))),
            "every" => object.is_some_and(|f| rows.iter().all(|row| passes(store, kind, row, &inner("every"), f, now))),
            "length" => object.is_some_and(|f| compare(&Value::from(rows.len()), f, now)),
            "null" => (*value == true) == rows.is_empty(),
            "and" => each().all(|f| collection(store, kind, rows, ty, f, now)),
            "or" => each().any(|f| collection(store, kind, rows, ty, f, now)),
            _ => {
                direct.insert(key.clone(), value.clone());
                true
            }
        };
        if !holds {
            return false;
        }
    }
    // Plain fields of a collection filter ask for one row that fits them all.
    direct.is_empty() || rows.iter().any(|row| passes(store, kind, row, ty, &direct, now))
}

/// A comparator on a value; on a list it may say `some`, `every`, `length`.
fn compare(value: &Value, wanted: &Map<String, Value>, now: DateTime<Utc>) -> bool {
    wanted.iter().filter(|(_, other)| !other.is_null()).all(|(op, other)| {
        let list = || value.as_array().into_iter().flatten();
        let text = value.as_str();
        let asked = other.as_str().unwrap_or_default();
        let lower = |text: &str| text.to_lowercase();
        match op.as_str() {
            "eq" => equal(value, other, now),
            "neq" => !equal(value, other, now),
            "in" => other.as_array().is_some_and(|all| all.iter().any(|one| equal(value, one, now))),
            "nin" => !other.as_array().is_some_and(|all| all.iter().any(|one| equal(value, one, now))),
            "null" => value.is_null() == (*other == true),
            "lt" => order(value, other, now).is_some_and(std::cmp::Ordering::is_lt),
            "lte" => order(value, other, now).is_some_and(std::cmp::Ordering::is_le),
            "gt" => order(value, other, now).is_some_and(std::cmp::Ordering::is_gt),
            "gte" => order(value, other, now).is_some_and(std::cmp::Ordering::is_ge),
            "eqIgnoreCase" => text.is_some_and(|t| lower(t) == lower(asked)),
            "neqIgnoreCase" => text.is_none_or(|t| lower(t) != lower(asked)),
            "contains" => text.is_some_and(|t| t.contains(asked)),
            "notContains" => text.is_none_or(|t| !t.contains(asked)),
            "containsIgnoreCase" | "containsIgnoreCaseAndAccent" => {
                text.is_some_and(|t| lower(t).contains(&lower(asked)))
            }
            "notContainsIgnoreCase" => text.is_none_or(|t| !lower(t).contains(&lower(asked))),
            "startsWith" => text.is_some_and(|t| t.starts_with(asked)),
            "startsWithIgnoreCase" => text.is_some_and(|t| lower(t).starts_with(&lower(asked))),
            "notStartsWith" => text.is_none_or(|t| !t.starts_with(asked)),
            "endsWith" => text.is_some_and(|t| t.ends_with(asked)),
            "notEndsWith" => text.is_none_or(|t| !t.ends_with(asked)),
            "some" => other.as_object().is_some_and(|f| list().any(|item| compare(item, f, now))),
            "every" => other.as_object().is_some_and(|f| list().all(|item| compare(item, f, now))),
            "length" => other.as_object().is_some_and(|f| compare(&Value::from(list().count()), f, now)),
            "and" => other
                .as_array()
                .is_some_and(|all| all.iter().filter_map(Value::as_object).all(|f| compare(value, f, now))),
            "or" => other
                .as_array()
                .is_some_and(|all| all.iter().filter_map(Value::as_object).any(|f| compare(value, f, now))),
            _ => false,
        }
    })
}

fn equal(value: &Value, other: &Value, now: DateTime<Utc>) -> bool {
    value == other || order(value, other, now).is_some_and(std::cmp::Ordering::is_eq)
}

/// Numbers, and times against times or durations from now; `None` where there is no order.
fn order(value: &Value, other: &Value, now: DateTime<Utc>) -> Option<std::cmp::Ordering> {
    if let (Some(a), Some(b)) = (value.as_f64(), other.as_f64()) {
        return a.partial_cmp(&b);
    }
    let (a, b) = (value.as_str()?, other.as_str()?);
    let at = values::date(a)?;
    let than = values::date(b).or_else(|| now.checked_add_signed(values::duration(b)?))?;
    Some(at.cmp(&than))
}

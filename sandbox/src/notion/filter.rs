//! Filters and sorts of a query, with Notion's words for what it does not know.

use std::cmp::Ordering;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde_json::Value;

use super::model::{Page, Property, Source, minute, plain, uuid};
use super::refusal::{Answer, Refusal};

/// How deep `and` and `or` may nest.
const DEEP: usize = 2;

pub(super) fn passes(source: &Source, page: &Page, filter: &Value) -> Answer<bool> {
    compound(source, page, filter, 0)
}

fn compound(source: &Source, page: &Page, filter: &Value, depth: usize) -> Answer<bool> {
    for (name, all) in [("and", true), ("or", false)] {
        let Some(parts) = filter[name].as_array() else { continue };
        if depth >= DEEP {
            return Err(Refusal::invalid("body failed validation: body.filter is nested too deeply."));
        }
        if parts.len() > 100 {
            return Err(Refusal::too_long(&format!("filter.{name}"), 100, parts.len()));
        }
        let mut passed = all;
        for part in parts {
            let one = compound(source, page, part, depth + 1)?;
            passed = if all { passed && one } else { passed || one };
        }
        return Ok(passed);
    }
    if let Some(timestamp) = filter["timestamp"].as_str() {
        let at = match timestamp {
            "created_time" => page.stamps.created,
            "last_edited_time" => page.stamps.edited,
            _ => {
                return Err(Refusal::body(
                    "filter.timestamp",
                    "`\"created_time\"` or `\"last_edited_time\"`",
                    &filter["timestamp"],
                ));
            }
        };
        return dated(Some(minute(at)), &filter[timestamp], &format!("filter.{timestamp}"));
    }
    let Some(key) = filter["property"].as_str() else {
        return Err(Refusal::invalid(
            "body failed validation. Fix one: body.filter.or should be defined, instead was `undefined`. body.filter.and should be defined, instead was `undefined`. body.filter.property should be defined, instead was `undefined`.",
        ));
    };
    let property = source
        .property(key)
        .ok_or_else(|| Refusal::invalid(format!("Could not find property with name or id: {key}")))?;
    let kind = property.kind.as_str();
    let condition = filter.get(kind).or_else(|| filter.get("rich_text").filter(|_| kind == "title"));
    let Some(condition) = condition else {
        let given = filter.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let given = given.filter(|name| *name != "property" && *name != "type").collect::<Vec<_>>().join(", ");
        return Err(Refusal::invalid(format!("database property {kind} does not match filter {given}")));
    };
    matches(property, page, condition)
}

fn matches(property: &Property, page: &Page, condition: &Value) -> Answer<bool> {
    let held = page.values.get(&property.id);
    let empty = held.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty));
    if condition["is_empty"] == true {
        return Ok(empty);
    }
    if condition["is_not_empty"] == true {
        return Ok(!empty);
    }
    let place = format!("filter.{}", property.kind);
    let (operator, wanted) = match condition.as_object().and_then(|condition| condition.iter().next()) {
        Some((operator, wanted)) => (operator.as_str(), wanted),
        None => return Err(Refusal::undefined(&format!("{place}.equals"))),
    };
    let unknown =
        || Err(Refusal::invalid(format!("body failed validation: body.{place}.{operator} should be not present.")));
    match property.kind.as_str() {
        "title" | "rich_text" | "url" | "email" | "phone_number" => {
            let text = match held {
                Some(Value::String(text)) => text.clone(),
                Some(rich) => plain(rich),
                None => String::new(),
            };
            let Some(wanted) = wanted.as_str() else {
                return Err(Refusal::body(&format!("{place}.{operator}"), "a string", wanted));
            };
            let (lower, part) = (text.to_lowercase(), wanted.to_lowercase());
            match operator {
                "equals" => Ok(text == wanted),
                "does_not_equal" => Ok(text != wanted),
                "contains" => Ok(lower.contains(&part)),
                "does_not_contain" => Ok(!lower.contains(&part)),
                "starts_with" => Ok(lower.starts_with(&part)),
                "ends_with" => Ok(lower.ends_with(&part)),
                _ => unknown(),
            }
        }
        "number" => {
            let (Some(wanted), number) = (wanted.as_f64(), held.and_then(Value::as_f64)) else {
                return Err(Refusal::body(&format!("{place}.{operator}"), "a number", wanted));
            };
            let compare =
                |good: fn(Ordering) -> bool| number.and_then(|number| number.partial_cmp(&wanted)).is_some_and(good);
            match operator {
                "equals" => Ok(compare(Ordering::is_eq)),
                "does_not_equal" => Ok(!compare(Ordering::is_eq)),
                "greater_than" => Ok(compare(Ordering::is_gt)),
                "less_than" => Ok(compare(Ordering::is_lt)),
                "greater_than_or_equal_to" => Ok(compare(Ordering::is_ge)),
                "less_than_or_equal_to" => Ok(compare(Ordering::is_le)),
                _ => unknown(),
            }
        }
        "checkbox" => {
            let is = held == Some(&Value::Bool(true));
            match (operator, wanted.as_bool()) {
                ("equals", Some(wanted)) => Ok(is == wanted),
                ("does_not_equal", Some(wanted)) => Ok(is != wanted),
                _ => unknown(),
            }
        }
        "select" | "status" => {
            let name = held.and_then(|id| property.option(id.as_str()?)).map(|option| option["name"].clone());
            match operator {
                "equals" => Ok(name.as_ref() == Some(wanted)),
                "does_not_equal" => Ok(name.as_ref() != Some(wanted)),
                _ => unknown(),
            }
        }
        "multi_select" => {
            let ids = held.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let has = ids.iter().filter_map(|id| property.option(id.as_str()?)).any(|option| option["name"] == *wanted);
            match operator {
                "contains" => Ok(has),
                "does_not_contain" => Ok(!has),
                _ => unknown(),
            }
        }
        "relation" | "people" => {
            let ids = held.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let wanted = wanted.as_str().and_then(uuid);
            let has = ids.iter().any(|id| id.as_str() == wanted.as_deref());
            match operator {
                "contains" => Ok(has),
                "does_not_contain" => Ok(!has),
                _ => unknown(),
            }
        }
        "date" => dated(held.and_then(|date| moment(date["start"].as_str()?)), condition, &place),
        "created_time" => dated(Some(minute(page.stamps.created)), condition, &place),
        "last_edited_time" => dated(Some(minute(page.stamps.edited)), condition, &place),
        _ => unknown(),
    }
}

/// A day begins at midnight, in UTC.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let day = text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
    day.or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()))
}

fn dated(at: Option<DateTime<Utc>>, condition: &Value, place: &str) -> Answer<bool> {
    let Some((operator, wanted)) = condition.as_object().and_then(|condition| condition.iter().next()) else {
        return Err(Refusal::undefined(place));
    };
    let Some(wanted) = wanted.as_str().and_then(moment) else {
        return Err(Refusal::body(&format!("{place}.{operator}"), "a valid ISO 8601 date string", wanted));
    };
    let Some(at) = at else { return Ok(false) };
    match operator.as_str() {
        "equals" => Ok(at.date_naive() == wanted.date_naive()),
        "before" => Ok(at < wanted),
        "after" => Ok(at > wanted),
        "on_or_before" => Ok(at <= wanted),
        "on_or_after" => Ok(at >= wanted),
        _ => Err(Refusal::invalid(format!("body failed validation: body.{place}.{operator} should be not present."))),
    }
}

/// Checks a filter against a data source that may be empty.
pub(super) fn check(source: &Source, filter: &Value, blank: &Page) -> Answer<()> {
    compound(source, blank, filter, 0).map(drop)
}

/// How two pages stand to each other under the sorts asked for.
pub(super) fn order(source: &Source, sorts: &[Value], a: &Page, b: &Page) -> Ordering {
    for sort in sorts {
        let by = match sort["timestamp"].as_str() {
            Some("created_time") => minute(a.stamps.created).cmp(&minute(b.stamps.created)),
            Some(_) => minute(a.stamps.edited).cmp(&minute(b.stamps.edited)),
            None => {
                let Some(property) = sort["property"].as_str().and_then(|key| source.property(key)) else { continue };
                compare(property, a, b)
            }
        };
        let by = if sort["direction"] == "descending" { by.reverse() } else { by };
        if by != Ordering::Equal {
            return by;
        }
    }
    a.stamps.serial.cmp(&b.stamps.serial)
}

fn compare(property: &Property, a: &Page, b: &Page) -> Ordering {
    let value = |page: &Page| {
        let held = page.values.get(&property.id)?;
        Some(match property.kind.as_str() {
            "title" | "rich_text" => (0.0, plain(held)),
            "number" => (held.as_f64()?, String::new()),
            "select" | "status" => {
                let at = property.options().iter().position(|option| option["id"] == *held)?;
                (at as f64, String::new())
            }
            "date" => (0.0, held["start"].as_str()?.to_owned()),
            _ => (0.0, held.to_string()),
        })
    };
    match (value(a), value(b)) {
        (Some((a, x)), Some((b, y))) => a.partial_cmp(&b).unwrap_or(Ordering::Equal).then_with(|| x.cmp(&y)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

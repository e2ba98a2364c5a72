//! Search queries: a filter, or groups of filters, over the fields of a conversation or a contact.
//!
//! The law (Intercom docs and vendor sheet, read 2026-11-23): at most two levels of groups, at most 15 entries a group, a
//! value of the field's type, known operators; else 400. Up to 2.16 a contact's dates count in whole days (of the
//! workspace's zone, here UTC): `>` means from the next day on, and `>=`, `<=`, `!=` are errors. `>` on a conversation is
//! strict here: the docs' gloss says "greater (or equal)", and a client must be right either way.

use bytes::Bytes;
use http::Response;
use serde_json::Value;

use super::errors::bad;

const MOST_LEVELS: usize = 2;
const MOST_IN_GROUP: usize = 15;
const DAY: i64 = 86_400;

/// What a field holds.
pub(super) enum Field {
    Time(Option<i64>),
    Number(Option<f64>),
    Flag(bool),
    /// One text or many; a filter matches if it matches one of them.
    Texts(Vec<String>),
}

#[derive(Debug)]
pub(super) enum Query {
    All(Vec<Self>),
    Any(Vec<Self>),
    Is { field: String, operator: String, value: Value },
}

impl Query {
    pub(super) fn read(query: &Value) -> Result<Self, Response<Bytes>> {
        Self::read_level(query, 1)
    }

    fn read_level(query: &Value, level: usize) -> Result<Self, Response<Bytes>> {
        let operator =
            query.get("operator").and_then(Value::as_str).ok_or_else(|| bad("query is missing an operator"))?;
        let value = query.get("value").ok_or_else(|| bad("query is missing a value"))?;
        let Some(field) = query.get("field") else {
            let entries = value
                .as_array()
                .filter(|entries| !entries.is_empty())
                .ok_or_else(|| bad("query group needs a list of filters"))?;
            if level > MOST_LEVELS {
                return Err(bad("Maximum number of nested filters exceeded: 2"));
            }
            if entries.len() > MOST_IN_GROUP {
                return Err(bad("Maximum number of filters in a group exceeded: 15"));
            }
            let entries = entries.iter().map(|entry| Self::read_level(entry, level + 1)).collect::<Result<_, _>>()?;
            return match operator {
                "AND" => Ok(Self::All(entries)),
                "OR" => Ok(Self::Any(entries)),
                other => Err(bad(&format!("{other} is not a valid operator for a group"))),
            };
        };
        let field = field.as_str().ok_or_else(|| bad("field must be a string"))?.to_owned();
        match operator {
            "=" | "!=" | ">" | "<" | ">=" | "<=" | "~" | "!~" | "^" | "$" => {}
            "IN" | "NIN" if value.is_array() => {}
            "IN" | "NIN" => return Err(bad(&format!("{operator} needs a list"))),
            other => return Err(bad(&format!("{other} is not a valid operator"))),
        }
        Ok(Self::Is { field, operator: operator.to_owned(), value: value.clone() })
    }

    /// Whether it matches what `look` finds under a field's name; `None` there: no such field. `days`: dates are days.
    pub(super) fn matches(&self, look: &impl Fn(&str) -> Option<Field>, days: bool) -> Result<bool, Response<Bytes>> {
        match self {
            // Every entry is looked at, so that a wrong one is an error whatever the others say.
            Self::All(entries) => entries.iter().try_fold(true, |all, entry| Ok(entry.matches(look, days)? && all)),
            Self::Any(entries) => entries.iter().try_fold(false, |any, entry| Ok(entry.matches(look, days)? || any)),
            Self::Is { field, operator, value } => {
                let held = look(field).ok_or_else(|| bad(&format!("{field} is not a valid search field")))?;
                compare(field, &held, operator, value, days)
            }
        }
    }
}

fn compare(field: &str, held: &Field, operator: &str, value: &Value, days: bool) -> Result<bool, Response<Bytes>> {
    let wrong = || bad(&format!("{operator} {value} is not valid for {field}"));
    match held {
        Field::Time(at) if matches!(operator, "IN" | "NIN") => {
            let among = value.as_array().into_iter().flatten().any(|value| seconds(value) == *at);
            Ok(among == (operator == "IN"))
        }
        Field::Time(at) => {
            let wanted = seconds(value).ok_or_else(wrong)?;
            let Some(at) = *at else { return Ok(operator == "!=") };
            if !days {
                return order(at.cmp(&wanted), operator).ok_or_else(wrong);
            }
            let (day, wanted) = (at.div_euclid(DAY), wanted.div_euclid(DAY));
            if matches!(operator, ">=" | "<=" | "!=") {
                return Err(wrong());
            }
            order(day.cmp(&wanted), operator).ok_or_else(wrong)
        }
        Field::Number(number) => {
            let one = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
            if let Value::Array(values) = value {
                return Ok(values.iter().any(|value| one(value) == *number) == (operator == "IN"));
            }
            if value.is_null() && matches!(operator, "=" | "!=") {
                return Ok(number.is_none() == (operator == "="));
            }
            let wanted = one(value).ok_or_else(wrong)?;
            let Some(number) = number else { return Ok(operator == "!=") };
            number.partial_cmp(&wanted).and_then(|ordering| order(ordering, operator)).ok_or_else(wrong)
        }
        Field::Flag(flag) => {
            let wanted = value.as_bool().or_else(|| value.as_str()?.parse().ok()).ok_or_else(wrong)?;
            match operator {
                "=" => Ok(*flag == wanted),
                "!=" => Ok(*flag != wanted),
                _ => Err(wrong()),
            }
        }
        Field::Texts(texts) => compare_texts(texts, operator, value).ok_or_else(wrong),
    }
}

fn compare_texts(texts: &[String], operator: &str, value: &Value) -> Option<bool> {
    if let Value::Array(values) = value {
        let among =
            values.iter().filter_map(text).any(|value| texts.iter().any(|text| text.eq_ignore_ascii_case(&value)));
        return Some(among == (operator == "IN"));
    }
    if value.is_null() {
        return matches!(operator, "=" | "!=").then(|| texts.is_empty() == (operator == "="));
    }
    let wanted = text(value)?.to_lowercase();
    let any = |test: fn(&str, &str) -> bool| texts.iter().any(|text| test(&text.to_lowercase(), &wanted));
    match operator {
        "=" => Some(any(|text, wanted| text == wanted)),
        "!=" => Some(!any(|text, wanted| text == wanted)),
        "~" => Some(any(|text, wanted| text.contains(wanted))),
        "!~" => Some(!any(|text, wanted| text.contains(wanted))),
        "^" => Some(any(|text, wanted| text.starts_with(wanted))),
        "$" => Some(any(|text, wanted| text.ends_with(wanted))),
        _ => None,
    }
}

fn order(ordering: std::cmp::Ordering, operator: &str) -> Option<bool> {
    match operator {
        "=" => Some(ordering.is_eq()),
        "!=" => Some(ordering.is_ne()),
        ">" => Some(ordering.is_gt()),
        "<" => Some(ordering.is_lt()),
        ">=" => Some(ordering.is_ge()),
        "<=" => Some(ordering.is_le()),
        _ => None,
    }
}

fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

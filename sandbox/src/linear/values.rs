//! Values in: literals and variables to JSON, checked against the types of the schema (GraphQL spec, October 2021).

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use graphql_parser::query::Value as Literal;
use serde_json::{Map, Value, json};

use super::schema::{InputDef, Ty, TypeDef, schema};

/// A literal as JSON. A variable that was not given leaves its place out of objects, and is `null` elsewhere.
pub(super) fn literal(value: &Literal<'static, String>, variables: &Map<String, Value>) -> Value {
    match value {
        Literal::Variable(name) => variables.get(name).cloned().unwrap_or(Value::Null),
        Literal::Int(number) => json!(number.as_i64()),
        Literal::Float(number) => json!(number),
        Literal::String(text) => json!(text),
        Literal::Boolean(truth) => json!(truth),
        Literal::Null => Value::Null,
        Literal::Enum(name) => json!(name),
        Literal::List(items) => items.iter().map(|item| literal(item, variables)).collect(),
        Literal::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(_, value)| !matches!(value, Literal::Variable(name) if !variables.contains_key(name)))
                .map(|(name, value)| (name.clone(), literal(value, variables)))
                .collect(),
        ),
    }
}

/// The value as its type has it (defaults filled in, a single item made a list), or what is wrong and where.
pub(super) fn coerce(ty: &Ty, value: &Value, at: &str) -> Result<Value, String> {
    match ty {
        Ty::NonNull(inner) => {
            if value.is_null() {
                return Err(format!("Expected non-nullable type \"{ty}\" not to be null{}.", place(at)));
            }
            coerce(inner, value, at)
        }
        _ if value.is_null() => Ok(Value::Null),
        Ty::List(inner) => match value {
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(n, item)| coerce(inner, item, &format!("{at}[{n}]")));
                Ok(Value::Array(items.collect::<Result<_, _>>()?))
            }
            one => Ok(json!([coerce(inner, one, at)?])),
        },
        Ty::Named(name) => named(name, value, at),
    }
}

fn place(at: &str) -> String {
    if at.is_empty() { String::new() } else { format!(" at \"{at}\"") }
}

fn named(name: &str, value: &Value, at: &str) -> Result<Value, String> {
    match schema().get(name) {
        Some(TypeDef::Input(fields)) => {
            let Value::Object(given) = value else {
                return Err(format!("Expected type \"{name}\" to be an object{}.", place(at)));
            };
            if let Some(unknown) = given.keys().find(|key| !fields.contains_key(*key)) {
                return Err(format!("Field \"{unknown}\" is not defined by type \"{name}\"{}.", place(at)));
            }
            arguments(fields, given, name, at).map(Value::Object)
        }
        Some(TypeDef::Enum(choices)) => match value.as_str().filter(|text| choices.iter().any(|c| c == text)) {
            Some(_) => Ok(value.clone()),
            None => Err(format!("Value {value} does not exist in \"{name}\" enum{}.", place(at))),
        },
        Some(TypeDef::Object(_)) | None => Err(format!("\"{name}\" is not an input type.")),
        Some(TypeDef::Scalar) => {
            let fits = match name {
                "Int" => value.as_f64().is_some_and(|n| n.fract() == 0.0 && n.abs() <= f64::from(i32::MAX)),
                "Float" => value.is_number(),
                "Boolean" => value.is_boolean(),
                "String" | "UUID" => value.is_string(),
                "ID" => value.is_string() || value.is_i64(),
                "DateTime" => value.as_str().is_some_and(|text| date(text).is_some()),
                "TimelessDate" => {
                    value.as_str().is_some_and(|text| NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok())
                }
                "DateTimeOrDuration" | "TimelessDateOrDuration" => {
                    value.as_str().is_some_and(|text| date(text).is_some() || duration(text).is_some())
                }
                "JSONObject" => value.is_object(),
                _ => true,
            };
            if fits { Ok(value.clone()) } else { Err(format!("{name} cannot represent value: {value}{}.", place(at))) }
        }
    }
}

/// Checks the given arguments or input fields and fills in defaults. Unknown names are the caller's to refuse.
pub(super) fn arguments(
    defined: &std::collections::BTreeMap<String, InputDef>,
    given: &Map<String, Value>,
    owner: &str,
    at: &str,
) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    for (name, input) in defined {
        let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        match given.get(name).or(input.default.as_ref()) {
            Some(value) => {
                out.insert(name.clone(), coerce(&input.ty, value, &at)?);
            }
            None if input.ty.is_required() => {
                return Err(format!(
                    "Field \"{name}\" of required type \"{}\" was not provided on \"{owner}\".",
                    input.ty
                ));
            }
            None => {}
        }
    }
    Ok(out)
}

/// An ISO date or time.
pub(super) fn date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.to_utc())
        .ok()
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0).map(|at| at.and_utc()))
}

/// An ISO duration such as `P7D` or `-PT2H`; months count 30 days and years 365.
pub(super) fn duration(text: &str) -> Option<TimeDelta> {
    let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (days, times) = rest.strip_prefix('P')?.split_once('T').unwrap_or((rest.strip_prefix('P')?, ""));
    let mut seconds: i64 = 0;
    for (part, units) in [
        (days, [('Y', 31_536_000), ('M', 2_592_000), ('W', 604_800), ('D', 86_400)]),
        (times, [('H', 3_600), ('M', 60), ('S', 1), ('_', 0)]),
    ] {
        let mut number = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() {
                number.push(c);
            } else {
                let (_, unit) = units.iter().find(|(letter, _)| *letter == c)?;
                seconds = seconds.checked_add(number.parse::<i64>().ok()?.checked_mul(*unit)?)?;
                number.clear();
            }
        }
        if !number.is_empty() {
            return None;
        }
    }
    TimeDelta::try_seconds(sign * seconds)
}

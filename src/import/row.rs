//! One row, as the shipped mappings of imports read it: plain columns under their meanings, or what a mapping of a person's
//! own draws from the file's own words.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::columns::plain;
use super::sheet::Sheet;
use super::values::{amount, day, moment, short};
use super::{Kind, Row};
use crate::ledger::digest;
use crate::mapping::FromMapping;
use crate::schema::{Alias, AliasKind};

/// A row of a file whose headers are known words.
pub(super) fn plain_row(
    sheet: &Sheet,
    values: Vec<(&'static str, Value)>,
    line: u64,
    id: Option<String>,
) -> Result<Row, String> {
    let mut body = Map::new();
    for (meaning, value) in values {
        let value = read(sheet, meaning, value)?;
        place(sheet.kind, &mut body, meaning, value);
    }
    row(sheet.kind, body, line, id)
}

/// A value of a column that means this.
fn read(sheet: &Sheet, meaning: &str, value: Value) -> Result<Value, String> {
    let text = match value {
        Value::Null => return Ok(Value::Null),
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) if meaning == "arr" => return Ok(Value::Number(number)),
        Value::Number(number) => number.to_string(),
        Value::Array(items) if meaning == "domains" => return Ok(Value::Array(items)),
        other => return Err(format!("{meaning}: a text is expected, this is {}", short(&other.to_string()))),
    };
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let told = |why| format!("{meaning}: {why}");
    Ok(match meaning {
        "domains" => text.split([',', ';', ' ', '|']).filter(|part| !part.is_empty()).map(Value::from).collect(),
        "arr" => amount(&text, sheet.comma_is_decimal).map_err(told)?,
        "customer_since" => day(&text, sheet.order).map_err(told)?,
        "date" => moment(&text, sheet.order).map_err(told)?,
        "source" | "category" | "severity" => Value::from(plain(&text)),
        "language" => Value::from(text.get(..2).unwrap_or(&text).to_lowercase()),
        _ => Value::from(text),
    })
}

/// Where the shipped mapping looks for it.
fn place(kind: Kind, body: &mut Map<String, Value>, meaning: &str, value: Value) {
    let mut inside = |outer: &str, inner: &str, value: Value| {
        let object = body.entry(outer).or_insert_with(|| json!({}));
        object[inner] = value;
    };
    match (kind, meaning) {
        (Kind::Feedback, "text") => drop(body.insert("verbatim".into(), value)),
        (Kind::Feedback, "date") => drop(body.insert("received_at".into(), value)),
        (Kind::Feedback, "author") => inside("author", "name", value),
        (Kind::Feedback, "author_email") => inside("author", "email", value),
        (Kind::Feedback, "category" | "severity" | "product") => inside("tags", meaning, value),
        (_, "company_id") => match value.as_str().filter(|text| is_salesforce_account(text)) {
            // A Salesforce export calls its own ids by this name.
            Some(_) => drop(body.insert("salesforce_account".into(), value)),
            None => drop(body.insert("company_id".into(), value)),
        },
        _ => drop(body.insert(meaning.to_owned(), value)),
    }
}

/// The id of an account at Salesforce: its first three characters say what it is the id of.
fn is_salesforce_account(text: &str) -> bool {
    text.starts_with("001") && matches!(text.len(), 15 | 18) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A row as a person's own mapping draws it. `None`: its `when` leaves it out.
pub(super) fn mapped(
    kind: Kind,
    map: &FromMapping,
    raw: &Map<String, Value>,
    line: u64,
    id: Option<String>,
) -> Result<Option<Row>, String> {
    let drawn = map.draw(&Value::Object(raw.clone())).map_err(|error| error.to_string())?;
    if drawn.skip {
        return Ok(None);
    }
    let mut body = json!({});
    for (path, value) in drawn.fields {
        path.set(&mut body, value);
    }
    for alias in &drawn.hints {
        let names = &mut body["names"];
        if names.is_null() {
            *names = json!({});
        }
        match names[alias.kind.name()].as_array_mut() {
            Some(known) => known.push(Value::from(alias.value.as_str())),
            None => names[alias.kind.name()] = json!([alias.value]),
        }
    }
    // A column that tells one row from another, by its usual name.
    let own = |(key, value): (&String, &Value)| {
        let usual = ["id", "external_id", "record_id", "account_id", "feedback_id", "response_id", "ticket_id"];
        let text = value.as_str().map(str::to_owned).or_else(|| value.as_number().map(ToString::to_string));
        text.filter(|text| !text.trim().is_empty() && usual.contains(&plain(key).as_str()))
    };
    let id = id.or_else(|| raw.iter().find_map(own));
    let Value::Object(body) = body else { return Ok(None) };
    row(kind, body, line, id).map(Some)
}

/// With its id: stable, so that the same row is the same tomorrow.
fn row(kind: Kind, mut body: Map<String, Value>, line: u64, id: Option<String>) -> Result<Row, String> {
    let text = |body: &Map<String, Value>, name: &str| {
        body.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let id = match (id, kind) {
        (Some(id), _) => id,
        (None, Kind::Customers) => {
            let named = |kind: AliasKind| {
                let names = body.get("names")?.get(kind.name())?.as_array()?;
                names.first().and_then(Value::as_str).map(str::to_owned)
            };
            let salesforce = |id: String| Alias::new(AliasKind::SalesforceAccount, &id).map_or(id, |alias| alias.value);
            let domain = || body.get("domains").and_then(|domains| domains.get(0)).and_then(Value::as_str);
            let known = text(&body, "company_id").or_else(|| text(&body, "salesforce_account").map(salesforce));
            let known = known.or_else(|| named(AliasKind::CompanyId)).or_else(|| named(AliasKind::SalesforceAccount));
            let known = known.or_else(|| domain().map(str::to_lowercase)).or_else(|| named(AliasKind::Domain));
            let known = known.or_else(|| text(&body, "name").map(|name| name.to_lowercase()));
            known.ok_or("it has no name, no domain and no company id: nobody could be recognised by it")?
        }
        (None, Kind::Feedback) => match body.remove("id") {
            Some(Value::String(id)) => id,
            _ => format!("row-{:016x}", digest(&body).map_err(|error| error.to_string())?),
        },
    };
    if kind == Kind::Feedback {
        body.remove("id");
        if text(&body, "verbatim").or_else(|| text(&body, "title")).is_none() {
            return Err("it says nothing: its text is empty".into());
        }
    }
    Ok(Row { id, line, body })
}

/// The rows that came before, by digests of their ids: the line of each, and half a digest of all that it says.
#[derive(Default)]
pub(super) struct Seen {
    lines: HashMap<u64, (u32, u32)>,
}

/// A row with this id came before.
pub(super) enum Before {
    /// The very same.
    Same,
    /// Another, in this line.
    Another(u64),
}

impl Seen {
    pub(super) fn before(&mut self, row: &Row) -> Option<Before> {
        let (Ok(id), Ok(whole)) = (digest(&row.id), digest(&row.body)) else { return None };
        let this = (u32::try_from(row.line).unwrap_or(u32::MAX), (whole >> 32) as u32);
        let (line, first) = *self.lines.entry(id).or_insert(this);
        if line == this.0 {
            return None;
        }
        Some(if first == this.1 { Before::Same } else { Before::Another(line.into()) })
    }
}

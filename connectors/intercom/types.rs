//! What we read of Intercom's JSON, as tolerantly as can be: ids are text or numbers, times seconds or milliseconds,
//! and a field that is missing, null or of another type costs only itself.

use serde_json::{Map, Value, json};

use crate::{Key, Record, Version};

pub(crate) const CONVERSATION: &str = "conversation";
pub(crate) const COMPANY: &str = "company";
pub(crate) const CONTACT: &str = "contact";

/// At most so many parts come with a conversation, the newest (OpenAPI 2.16, read 2026-11-23).
const MOST_PARTS: usize = 500;

/// An id that is safe in a path.
pub(crate) fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if is_id(text) => Some(text.clone()),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

pub(crate) fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// A time in seconds. Milliseconds have been seen (singer-io's tap, sheet of 2026-11-23).
pub(crate) fn seconds(value: &Value) -> Option<i64> {
    let at = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Some(if at.abs() > 100_000_000_000 { at.div_euclid(1000) } else { at })
}

fn version(item: &Value) -> Option<Version> {
    seconds(&item["updated_at"]).and_then(|at| at.checked_mul(1000)).map(Version)
}

pub(crate) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A record of a collection with Intercom's own JSON.
pub(crate) fn record(collection: &str, id: &str, body: Value) -> Record {
    Record { key: Key::new(collection, id), version: version(&body), body: Some(body), url: None, edits: Vec::new() }
}

pub(crate) fn gone(collection: &str, id: &str) -> Record {
    Record { key: Key::new(collection, id), version: None, body: None, url: None, edits: Vec::new() }
}

/// The first contact of a conversation, as `contacts.contacts[0]` names it.
pub(crate) fn first_contact(conversation: &Value) -> Option<&Value> {
    let contacts = &conversation["contacts"];
    contacts["contacts"].as_array().or_else(|| contacts.as_array())?.first()
}

pub(crate) fn parts(conversation: &Value) -> &[Value] {
    conversation["conversation_parts"]["conversation_parts"].as_array().map_or(&[], Vec::as_slice)
}

/// Whether every part came: as many as the conversation itself counts, and not the 500 at which Intercom stops.
pub(crate) fn parts_complete(conversation: &Value) -> bool {
    let list = &conversation["conversation_parts"];
    let Some(here) = list["conversation_parts"].as_array().map(Vec::len) else { return false };
    here < MOST_PARTS && list["total_count"].as_u64().is_none_or(|total| total <= here as u64)
}

/// What a conversation is told about its contact: enough to recognise the customer.
pub(crate) fn contact_summary(contact: &Value) -> Value {
    let companies: Vec<Value> =
        companies_of(contact).filter_map(|company| id(&company["id"])).map(Value::from).collect();
    let mut summary = Map::new();
    for field in ["id", "email", "name", "external_id", "role"] {
        summary.insert(field.into(), contact[field].clone());
    }
    summary.insert("company_ids".into(), Value::from(companies));
    Value::Object(summary)
}

fn companies_of(contact: &Value) -> impl Iterator<Item = &Value> {
    let list = &contact["companies"];
    ["data", "companies"].into_iter().filter_map(|key| list[key].as_array()).flatten()
}

/// Whether the texts of a conversation that was asked for in plain text are that. A server may answer with HTML all the
/// same; then all of them are, because HTML is Intercom's own wrapping of each. What only mentions a tag is somebody's words.
fn is_plaintext(conversation: &Value) -> bool {
    let parts = parts(conversation).iter().map(|part| &part["body"]);
    let mut texts = std::iter::once(&conversation["source"]["body"]).chain(parts).filter_map(text).peekable();
    texts.peek().is_some() && !texts.all(|text| is_html(text.trim()))
}

/// Elements from end to end, as Intercom writes its bodies, and no bare angle bracket between.
fn is_html(text: &str) -> bool {
    const BLOCKS: [&str; 14] =
        ["p", "div", "h1", "h2", "h3", "h4", "ul", "ol", "pre", "blockquote", "table", "img", "br", "a"];
    let begins = text.strip_prefix('<').is_some_and(|rest| {
        let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        BLOCKS.contains(&name.to_ascii_lowercase().as_str())
    });
    let bare = |(at, _): (usize, &str)| {
        !text[at + 1..].starts_with(|next: char| next.is_ascii_alphabetic() || next == '/' || next == '!')
    };
    begins && text.ends_with('>') && !text.match_indices('<').any(bare)
}

/// Intercom's JSON plus `contact`, `companies`, `parts_complete` and `plaintext`.
pub(crate) fn enrich(mut conversation: Value, contact: Option<&Value>) -> Value {
    let complete = parts_complete(&conversation);
    let plaintext = is_plaintext(&conversation);
    let short = |company: &Value| {
        let mut entry = Map::new();
        for field in ["id", "company_id", "name"] {
            if !company[field].is_null() {
                entry.insert(field.into(), company[field].clone());
            }
        }
        Value::Object(entry)
    };
    let mut companies: Vec<Value> = Vec::new();
    // Since 2.15 the conversation itself names one.
    let own = Some(&conversation["company"]).filter(|company| id(&company["id"]).is_some());
    for company in own.into_iter().chain(contact.into_iter().flat_map(companies_of)) {
        let known = companies.iter().any(|other| id(&other["id"]) == id(&company["id"]));
        if id(&company["id"]).is_some() && !known {
            companies.push(short(company));
        }
    }
    let summary = contact.map(contact_summary).or_else(|| first_contact(&conversation).map(contact_summary));
    if let Some(fields) = conversation.as_object_mut() {
        fields.insert("contact".into(), summary.unwrap_or_default());
        fields.insert("companies".into(), Value::from(companies));
        fields.insert("parts_complete".into(), json!(complete));
        fields.insert("plaintext".into(), json!(plaintext));
    }
    conversation
}

/// Intercom's company plus `arr`, where ops named the attribute that holds it.
pub(crate) fn with_arr(mut company: Value, attribute: Option<&str>) -> Value {
    let Some(attribute) = attribute else { return company };
    let held = &company["custom_attributes"][attribute];
    let arr = held.as_f64().or_else(|| held.as_str()?.trim().replace([',', '_', ' '], "").parse().ok());
    if let (Some(arr), Some(fields)) = (arr.filter(|arr| arr.is_finite()), company.as_object_mut()) {
        fields.insert("arr".into(), json!(arr));
    }
    company
}

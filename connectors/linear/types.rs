//! From Linear's JSON to records. Everything is optional: what is missing or odd is left out.

use chrono::{DateTime, Utc};
use serde_json::{Map, Number, Value, json};

pub(super) use crate::json::{array, text};

use super::settings::Settings;
use crate::spelling::{self, beginning, cut_mark, units};
use crate::{Edit, Key, Record, Version};

pub(super) const ISSUE: &str = "issue";
pub(super) const ATTACHMENT: &str = "attachment";
pub(super) const CUSTOMER: &str = "customer";
pub(super) const NEED: &str = "need";

pub(super) fn instant(value: &Value, key: &str) -> Option<DateTime<Utc>> {
    spelling::instant(value.get(key)?.as_str()?)
}

/// A connection's nodes and, if there is more, where it goes on.
pub(super) fn nodes<'a>(data: &'a Value, connection: &str) -> (&'a [Value], Option<String>) {
    let connection = data.get(connection).unwrap_or(&Value::Null);
    let info = connection.get("pageInfo").unwrap_or(&Value::Null);
    let more = info.get("hasNextPage").and_then(Value::as_bool).unwrap_or(false);
    (array(connection, "nodes"), text(info, "endCursor").filter(|_| more))
}

/// A record of any collection; `None` without an id.
pub(super) fn record(collection: &str, node: &Value, settings: &Settings) -> Option<Record> {
    let id = text(node, "id")?;
    let trashed = node.get("trashed").and_then(Value::as_bool).unwrap_or(false);
    // Issues are archived when they have long been done: they are still there. Of the rest, archived means deleted.
    let gone = trashed || (collection != ISSUE && node.get("archivedAt").is_some_and(|at| !at.is_null()));
    let raw = match collection {
        ISSUE => issue(node),
        ATTACHMENT => pick(node, &["title", "subtitle", "url"], &["issue"]),
        CUSTOMER => customer(node),
        _ => pick(node, &["body", "priority"], &["issue", "customer"]),
    };
    let body = raw.into_iter().map(|(field, value)| {
        let value = canonical(collection, &field, value, settings);
        (field, value)
    });
    let body: Map<String, Value> = body.filter(|(_, value)| !value.is_null()).collect();
    Some(Record {
        key: Key::new(collection, id),
        version: instant(node, "updatedAt").map(|at| Version(at.timestamp_millis())),
        body: (!gone).then_some(Value::Object(body)),
        url: text(node, "url"),
        edits: Vec::new(),
    })
}

fn pick(node: &Value, plain: &[&str], links: &[&str]) -> Map<String, Value> {
    let plain = plain.iter().filter_map(|field| Some(((*field).to_owned(), node.get(*field)?.clone())));
    let links = links.iter().filter_map(|field| {
        let id = node.get(*field).and_then(|to| text(to, "id")).or_else(|| text(node, &format!("{field}Id")))?;
        Some(((*field).to_owned(), json!([id])))
    });
    plain.chain(links).collect()
}

fn issue(node: &Value) -> Map<String, Value> {
    let mut body = pick(node, &["title", "description", "priority", "identifier", "url"], &[]);
    if let Some(state) = node.get("state") {
        body.extend(text(state, "type").map(|kind| ("state".to_owned(), json!(kind))));
        body.extend(text(state, "name").map(|name| ("state_name".to_owned(), json!(name))));
    }
    // GraphQL gives a connection, webhooks a plain array.
    let labels = node
        .get("labels")
        .map(|labels| labels.as_array().map_or_else(|| array(labels, "nodes"), Vec::as_slice))
        .unwrap_or_default();
    let names: Vec<_> = labels.iter().filter_map(|label| text(label, "name")).collect();
    body.insert("labels".into(), json!(names));
    body
}

fn customer(node: &Value) -> Map<String, Value> {
    let mut body = pick(node, &["name", "domains", "revenue"], &[]);
    let tier = node.get("tier").and_then(|tier| text(tier, "displayName").or_else(|| text(tier, "name")));
    body.extend(tier.map(|tier| ("tier".to_owned(), json!(tier))));
    let external = array(node, "externalIds").first().and_then(Value::as_str);
    body.extend(external.map(|id| ("externalId".to_owned(), json!(id))));
    body
}

/// The value as Linear stores and returns it; `null` for empty.
pub(super) fn canonical(collection: &str, field: &str, value: Value, settings: &Settings) -> Value {
    let spelt = match (collection, field) {
        (_, "title" | "name" | "subtitle" | "state" | "state_name" | "tier" | "identifier" | "externalId") => {
            match value {
                Value::String(text) => {
                    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
                    Value::String(cut(&line, settings.title_limit, false))
                }
                Value::Number(_) | Value::Bool(true) => Value::String(value.to_string()),
                other => other,
            }
        }
        (_, "url") => value.as_str().map_or(Value::Null, |url| json!(url.trim())),
        (_, "description" | "body") => match value {
            Value::String(text) => {
                let text = text.replace("\r\n", "\n");
                Value::String(cut(text.trim(), settings.text_limit, true))
            }
            other => other,
        },
        // 0 is "no priority", and "not important".
        (_, "priority") => match whole(&value) {
            Some(0) => Value::Null,
            Some(priority) => json!(priority),
            None => value,
        },
        (_, "revenue") => whole(&value).map_or(value, |revenue| json!(revenue)),
        (_, "labels" | "issue" | "customer") => set(value, str::to_owned),
        (_, "domains") => set(value, str::to_lowercase),
        _ => value,
    };
    match &spelt {
        Value::Bool(false) => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Array(items) if items.is_empty() => Value::Null,
        _ => spelt,
    }
}

/// A number, or digits, rounded to a whole one.
pub(super) fn whole(value: &Value) -> Option<i64> {
    let float = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let rounded = Number::from_f64(float.round())?.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53")]
    (rounded.abs() < 9_007_199_254_740_992.0).then_some(rounded as i64)
}

fn set(value: Value, spell: impl Fn(&str) -> String) -> Value {
    let items = match value {
        Value::Array(items) => items,
        Value::Null => return Value::Null,
        one => vec![one],
    };
    let mut names: Vec<String> =
        items.iter().filter_map(Value::as_str).map(|name| spell(name.trim())).filter(|name| !name.is_empty()).collect();
    names.sort();
    names.dedup();
    json!(names)
}

/// Cuts at `limit` UTF-16 units, visibly.
fn cut(text: &str, limit: usize, noted: bool) -> String {
    if text.len() <= limit || units(text) <= limit {
        return text.to_owned();
    }
    let mark = if noted { cut_mark(text) } else { "…".to_owned() };
    format!("{}{mark}", beginning(text, limit.saturating_sub(units(&mark)), usize::MAX).trim_end())
}

/// What the issue's history says, oldest first.
struct Entry<'a> {
    at: Option<DateTime<Utc>>,
    actor: Option<String>,
    raw: &'a Value,
}

fn history(node: &Value) -> Vec<Entry<'_>> {
    let entries = node.get("history").map(|history| array(history, "nodes")).unwrap_or_default();
    let mut entries: Vec<_> =
        entries.iter().map(|raw| Entry { at: instant(raw, "createdAt"), actor: text(raw, "actorId"), raw }).collect();
    entries.sort_by_key(|entry| entry.at);
    entries
}

impl Entry<'_> {
    /// Field, value before, value after, of those that the entry changed.
    fn changes(&self, settings: &Settings) -> Vec<(&'static str, Value, Value)> {
        let mut found = Vec::new();
        let mut note = |field: &'static str, from: Option<Value>, to: Option<Value>| {
            if let Some(to) = to.filter(|to| !to.is_null()) {
                let spell = |value| canonical(ISSUE, field, value, settings);
                found.push((field, spell(from.unwrap_or_default()), spell(to)));
            }
        };
        let get = |key| self.raw.get(key).cloned();
        note("title", get("fromTitle"), get("toTitle"));
        note("priority", get("fromPriority"), get("toPriority"));
        let state = |side: &str, key: &str| self.raw.get(side).and_then(|state| state.get(key)).cloned();
        note("state", state("fromState", "type"), state("toState", "type"));
        note("state_name", state("fromState", "name"), state("toState", "name"));
        found
    }
}

/// What people typed since `since`, oldest first.
pub(super) fn edits(node: &Value, me: &str, since: Option<DateTime<Utc>>, settings: &Settings) -> Vec<Edit> {
    let mut edits: Vec<Edit> = Vec::new();
    for entry in history(node) {
        let ours = entry.actor.as_deref() == Some(me);
        for (field, from, to) in entry.changes(settings) {
            if ours {
                if let Some(typed) =
                    edits.iter_mut().rev().find(|edit| edit.field == field).filter(|edit| edit.value == from)
                {
                    typed.overwritten = true;
                }
            } else if entry.actor.is_some() && since.is_none_or(|since| entry.at.is_some_and(|at| at >= since)) {
                edits.push(Edit { field: field.to_owned(), value: to, at: entry.at, overwritten: false });
            }
        }
    }
    edits
}

/// What a write of `sent` by us replaced: from the newest entry of ours that set these values.
pub(super) fn replaced(node: &Value, me: &str, sent: &Map<String, Value>, settings: &Settings) -> Map<String, Value> {
    let mut replaced = Map::new();
    let written = instant(node, "updatedAt");
    // An older entry that set the same value tells of another write.
    let is_this = |entry: &&Entry<'_>| {
        let near = entry.at.zip(written).is_some_and(|(at, written)| (written - at).num_seconds().abs() <= 5);
        near && entry.actor.as_deref() == Some(me)
    };
    for entry in history(node).iter().filter(is_this) {
        for (field, from, to) in entry.changes(settings) {
            if sent.get(field) == Some(&to) {
                replaced.insert(field.to_owned(), from);
            }
        }
    }
    replaced
}

//! What a workspace holds.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Timelike, Utc};
use serde_json::{Value, json};

/// Where an object stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parent {
    Workspace,
    Page(String),
    Source(String),
    Block(String),
}

#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) id: String,
    pub(super) parent: Parent,
    /// By property id, in the shape that answers show, uncut. Options and people by id; an empty value is absent.
    pub(super) values: BTreeMap<String, Value>,
    pub(super) stamps: Stamps,
    pub(super) trashed: bool,
    pub(super) archived: bool,
    pub(super) locked: bool,
    pub(super) icon: Value,
    pub(super) cover: Value,
    /// Blocks, pages and databases on it, in their order.
    pub(super) children: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Database {
    pub(super) id: String,
    pub(super) parent: Parent,
    pub(super) title: Value,
    pub(super) description: Value,
    pub(super) inline: bool,
    pub(super) locked: bool,
    pub(super) trashed: bool,
    pub(super) sources: Vec<String>,
    pub(super) stamps: Stamps,
}

#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) id: String,
    pub(super) database: String,
    pub(super) title: Value,
    pub(super) properties: Vec<Property>,
    pub(super) trashed: bool,
    pub(super) stamps: Stamps,
}

#[derive(Clone, Debug)]
pub(super) struct Property {
    /// Without percent escapes.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    /// What stands under the key that the kind names.
    pub(super) config: Value,
    pub(super) description: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) content: Value,
    pub(super) parent: Parent,
    pub(super) children: Vec<String>,
    pub(super) trashed: bool,
    pub(super) stamps: Stamps,
}

#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) id: String,
    pub(super) database: String,
    pub(super) source: String,
    pub(super) name: String,
    pub(super) kind: String,
    /// `filter`, `sorts`, `quick_filters`, `configuration`, as they were given.
    pub(super) more: Value,
    pub(super) stamps: Stamps,
}

#[derive(Clone, Debug)]
pub(super) struct Comment {
    pub(super) id: String,
    pub(super) discussion: String,
    pub(super) page: String,
    pub(super) text: Value,
    pub(super) stamps: Stamps,
}

/// Who and when.
#[derive(Clone, Debug)]
pub(super) struct Stamps {
    pub(super) created: DateTime<Utc>,
    pub(super) created_by: String,
    pub(super) edited: DateTime<Utc>,
    pub(super) edited_by: String,
    /// A number that grows, for an order among what was made in one minute.
    pub(super) serial: u64,
}

impl Stamps {
    pub(super) fn touch(&mut self, now: DateTime<Utc>, by: &str) {
        self.edited = now;
        by.clone_into(&mut self.edited_by);
    }
}

/// A connection to the workspace.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// The user that it acts as.
    pub(super) user: String,
    pub(super) lacks: BTreeSet<Capability>,
    pub(super) revoked: bool,
}

/// What a connection may be denied in its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    ReadContent,
    UpdateContent,
    InsertContent,
    ReadUsers,
    Comments,
}

impl Source {
    /// By its name or id, with or without percent escapes.
    pub(super) fn property(&self, key: &str) -> Option<&Property> {
        let bare = unescape(key);
        let by_id = self.properties.iter().find(|property| property.id == key || property.id == bare);
        by_id.or_else(|| self.properties.iter().find(|property| property.name == key))
    }

    pub(super) fn property_mut(&mut self, id: &str) -> Option<&mut Property> {
        self.properties.iter_mut().find(|property| property.id == id)
    }
}

impl Property {
    /// As answers spell its id.
    pub(super) fn shown_id(&self) -> String {
        crate::wire::encode(&self.id)
    }

    pub(super) fn options(&self) -> &[Value] {
        self.config.get("options").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn option(&self, id: &str) -> Option<&Value> {
        self.options().iter().find(|option| option["id"] == id)
    }
}

pub(super) fn unescape(text: &str) -> String {
    crate::wire::segments(text).pop().unwrap_or_default()
}

/// The hyphened form of an id; `None`: it is none.
pub(super) fn uuid(text: &str) -> Option<String> {
    let hex: String = text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if hex.len() != 32 || !hex.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    Some(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// Notion tells times to the minute.
pub(super) fn minute(at: DateTime<Utc>) -> DateTime<Utc> {
    at.with_second(0).and_then(|at| at.with_nanosecond(0)).unwrap_or(at)
}

pub(super) fn stamp(at: DateTime<Utc>) -> String {
    minute(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A piece of rich text as answers show it.
pub(super) fn rich(text: &str, link: Option<&str>) -> Value {
    json!({
        "type": "text",
        "text": { "content": text, "link": link.map(|url| json!({ "url": url })) },
        "annotations": {
            "bold": false, "italic": false, "strikethrough": false, "underline": false, "code": false, "color": "default",
        },
        "plain_text": text,
        "href": link,
    })
}

pub(super) fn plain(rich: &Value) -> String {
    let pieces = rich.as_array().map_or(&[][..], Vec::as_slice);
    pieces.iter().filter_map(|piece| piece["plain_text"].as_str()).collect()
}

//! What we read of Notion's JSON. Everything is optional here: what is missing or odd is left out, never a failure.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::spelling::instant;

pub(super) use crate::json::{array, text};

/// A data source: the table of a database, with its columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DataSource {
    pub(super) id: String,
    /// The database that holds it.
    pub(super) database: Option<String>,
    pub(super) name: String,
    pub(super) properties: Vec<Property>,
    pub(super) trashed: bool,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Property {
    /// As Notion hands it out (it may hold percent escapes), and as it is handed back.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    /// What stands under the key that the kind names.
    pub(super) config: Value,
}

impl DataSource {
    pub(super) fn read(value: &Value) -> Option<Self> {
        let properties = value.get("properties").and_then(Value::as_object)?;
        let parent = value.get("parent").unwrap_or(&Value::Null);
        Some(Self {
            id: text(value, "id").as_deref().and_then(uuid)?,
            database: text(parent, "database_id").as_deref().and_then(uuid),
            name: plain(array(value, "title")),
            properties: properties.iter().filter_map(|(name, property)| Property::read(name, property)).collect(),
            trashed: is_trashed(value),
        })
    }
}

impl Property {
    fn read(name: &str, value: &Value) -> Option<Self> {
        let kind = text(value, "type").unwrap_or_default();
        Some(Self {
            id: text(value, "id")?,
            name: text(value, "name").unwrap_or_else(|| name.to_owned()),
            config: value.get(&kind).cloned().unwrap_or(Value::Null),
            kind,
        })
    }

    /// The options of a select or status, with their ids, as a change of the list hands them back.
    pub(super) fn options(&self) -> &[Value] {
        array(&self.config, "options")
    }

    pub(super) fn option_names(&self) -> Vec<String> {
        self.options().iter().filter_map(|option| text(option, "name")).collect()
    }
}

/// In the trash, or archived: gone as far as a table shows.
pub(super) fn is_trashed(value: &Value) -> bool {
    ["in_trash", "archived", "is_archived"].iter().any(|flag| value.get(*flag).and_then(Value::as_bool) == Some(true))
}

/// The text of rich text, without its looks.
pub(super) fn plain(pieces: &[Value]) -> String {
    let piece = |piece: &Value| {
        text(piece, "plain_text")
            .or_else(|| piece.get("text").and_then(|inner| text(inner, "content")))
            .unwrap_or_default()
    };
    pieces.iter().map(piece).collect()
}

/// A Notion id in its hyphened form: of an id with or without hyphens, or of an address that ends in one.
pub(super) fn uuid(given: &str) -> Option<String> {
    let path = given.trim().split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    let letters: Vec<char> = last.chars().filter(|c| *c != '-').collect();
    let hex = letters.get(letters.len().checked_sub(32)?..)?;
    if !hex.iter().all(char::is_ascii_hexdigit) {
        return None;
    }
    let hex: String = hex.iter().map(char::to_ascii_lowercase).collect();
    Some(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// The address of a page whose object did not come.
pub(super) fn address(id: &str) -> String {
    format!("https://www.notion.so/{}", id.replace('-', ""))
}

pub(super) fn time(value: &Value, key: &str) -> Option<DateTime<Utc>> {
    text(value, key).as_deref().and_then(instant)
}

/// A property id without its percent escapes: some places show them with, some without.
pub(super) fn bare(id: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), id.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        let pair = if *byte == b'%' { after.get(..2) } else { None };
        let escaped = pair.and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        out.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_whatever_people_copy() {
        let id = Some("0123abcd-4567-89ab-cdef-0123456789ab".to_owned());
        for given in [
            "0123abcd456789abcdef0123456789ab",
            " 0123ABCD-4567-89ab-cdef-0123456789ab ",
            "https://www.notion.so/acme/Feedback-0123abcd456789abcdef0123456789ab?v=ffffffffffffffffffffffffffffffff#x",
            "https://acme.notion.site/0123abcd456789abcdef0123456789ab/",
        ] {
            assert_eq!(uuid(given), id, "{given}");
        }
        for none in ["", "Feedback", "https://www.notion.so/acme", "0123abcd456789abcdef0123456789a", "é0123"] {
            assert_eq!(uuid(none), None, "{none}");
        }
    }

    #[test]
    fn property_ids_lose_their_escapes() {
        for (id, without) in [("%3AUPp", ":UPp"), ("title", "title"), ("a%", "a%"), ("%zz", "%zz")] {
            assert_eq!(bare(id), without);
        }
    }
}

//! A place inside an entity, written as jq writes it: `.tags.category`. It can be read and set.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use thiserror::Error;

/// Keys from the root of an entity. Indexes are not part of it: what is set must stand still.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<String>);

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a path: write it as `.status` or `.tags.category`")]
pub struct PathError;

impl Path {
    pub fn keys(&self) -> &[String] {
        &self.0
    }

    /// Without the leading dot: `tags.category`.
    pub fn dotted(&self) -> String {
        self.0.join(".")
    }

    /// `null` where there is nothing.
    pub fn get<'a>(&self, root: &'a Value) -> &'a Value {
        self.0.iter().fold(root, |value, key| value.get(key).unwrap_or(&Value::Null))
    }

    /// Objects on the way are made; anything else on the way is replaced by one.
    pub fn set(&self, root: &mut Value, value: Value) {
        let mut place = root;
        for key in &self.0 {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            let Value::Object(map) = place else { return };
            place = map.entry(key.clone()).or_insert(Value::Null);
        }
        *place = value;
    }
}

impl FromStr for Path {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        let text = text.trim();
        let keys: Vec<String> = text.strip_prefix('.').unwrap_or(text).split('.').map(str::to_owned).collect();
        let good = |key: &String| {
            key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if keys.iter().all(good) { Ok(Self(keys)) } else { Err(PathError) }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}", self.dotted())
    }
}

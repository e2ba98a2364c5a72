//! Reading an object of our interface strictly: each mistake names its field and what to do about it.

use serde_json::{Map, Value};

use crate::Refusal;

/// An object whose fields are taken one after another; [`Table::done`] refuses what nobody took.
pub(super) struct Table<'v> {
    path: &'static str,
    map: &'v Map<String, Value>,
    known: Vec<&'static str>,
    /// What was taken, as it is kept.
    pub(super) kept: Map<String, Value>,
}

pub(super) fn invalid(field: impl Into<String>, why: impl Into<String>, mend: impl Into<String>) -> Refusal {
    Refusal::Invalid { field: field.into(), why: why.into(), mend: mend.into() }
}

fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl<'v> Table<'v> {
    /// `path` is empty for the body itself.
    pub(super) fn of(path: &'static str, value: &'v Value) -> Result<Self, Refusal> {
        let Value::Object(map) = value else {
            let field = if path.is_empty() { "body" } else { path };
            return Err(invalid(field, format!("is {}", sort(value)), "send a JSON object: { … }"));
        };
        Ok(Self { path, map, known: Vec::new(), kept: Map::new() })
    }

    pub(super) fn field(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// What is null is absent.
    fn get(&mut self, name: &'static str) -> Option<&'v Value> {
        self.known.push(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A text of at most `most` characters; empty is absent. Kept only by [`Table::keep`].
    pub(super) fn text(&mut self, name: &'static str, most: usize) -> Result<Option<String>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let Value::String(text) = value else {
            return Err(invalid(self.field(name), format!("is {}", sort(value)), "send a text"));
        };
        let length = text.chars().count();
        if length > most {
            let why = format!("is {length} characters long, and at most {most} are taken");
            return Err(invalid(self.field(name), why, format!("cut it to {most} characters")));
        }
        // No vendor takes control characters, and no person types them.
        let clean: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).collect();
        Ok((!clean.trim().is_empty()).then_some(clean))
    }

    pub(super) fn keep(&mut self, name: &'static str, most: usize) -> Result<bool, Refusal> {
        let text = self.text(name, most)?;
        Ok(text.is_some_and(|text| self.kept.insert(name.into(), text.into()).is_none()))
    }

    /// A name that some systems write as a number; kept as a text.
    pub(super) fn keep_id(&mut self, name: &'static str, most: usize) -> Result<(), Refusal> {
        if let Some(Value::Number(number)) = self.map.get(name)
            && (number.is_i64() || number.is_u64())
        {
            self.known.push(name);
            self.kept.insert(name.into(), number.to_string().into());
            return Ok(());
        }
        self.keep(name, most).map(|_| ())
    }

    pub(super) fn one_of(&mut self, name: &'static str, words: &[&str]) -> Result<Option<String>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_str().filter(|text| words.contains(text)) {
            Some(word) => Ok(Some(word.to_owned())),
            None => Err(invalid(
                self.field(name),
                "is none of the words that it may be",
                format!("send {}", words.join(", ")),
            )),
        }
    }

    pub(super) fn table(&mut self, name: &'static str) -> Result<Option<Table<'v>>, Refusal> {
        self.get(name).map(|value| Table::of(name, value)).transpose()
    }

    /// Names that the sender chooses, with one short value each.
    pub(super) fn keep_free(
        &mut self,
        name: &'static str,
        entries: usize,
        key: usize,
        most: usize,
    ) -> Result<(), Refusal> {
        let Some(value) = self.get(name) else { return Ok(()) };
        let Value::Object(map) = value else {
            return Err(invalid(name, format!("is {}", sort(value)), "send an object of names and values"));
        };
        if map.len() > entries {
            return Err(invalid(name, format!("has {} entries", map.len()), format!("send at most {entries}")));
        }
        for (entry, value) in map {
            let short = entry.chars().count() <= key;
            let good = match value {
                Value::Null | Value::Bool(_) | Value::Number(_) => short,
                Value::String(text) => short && text.chars().count() <= most,
                Value::Array(_) | Value::Object(_) => false,
            };
            if !good {
                let mend = format!(
                    "send names of at most {key} characters, and as values texts of at most {most}, numbers, true, false"
                );
                // A name of the sender's own choice is not repeated to whoever reads our answer.
                return Err(invalid(name, "holds an entry that is too long, or a list or object", mend));
            }
        }
        if !map.is_empty() {
            self.kept.insert(name.into(), value.clone());
        }
        Ok(())
    }

    /// Refuses what nobody asked for: a misspelt `user` would otherwise lose whom it came from.
    pub(super) fn done(self) -> Result<Map<String, Value>, Refusal> {
        match self.map.keys().find(|key| !self.known.contains(&key.as_str())) {
            None => Ok(self.kept),
            Some(unknown) => {
                let shown: String = unknown.chars().filter(|c| !c.is_control()).take(64).collect();
                let mend = format!("known here: {}. What is your own goes into metadata", self.known.join(", "));
                Err(invalid(self.field(&shown), "is not known", mend))
            }
        }
    }
}

//! A `values` table: loopd's word on the left, the vendor's on the right.
//!
//! The law: what flows both ways is one-to-one, so that a word that goes out comes back as itself. A field that is
//! only pulled may give several of the vendor's words for one of loopd's; a field that is only pushed may give one of
//! the vendor's words for several of loopd's.

use serde_json::Value;

use super::Flow;
use super::expr::type_name;
use super::source::Item;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Words(Vec<(String, Value)>);

impl Words {
    pub(crate) fn read(item: &Item<'_, '_>, flow: Flow) -> Self {
        let Some(section) = item.section() else { return Self::default() };
        let mut pairs: Vec<(String, Value)> = Vec::new();
        for entry in section.entries() {
            let ours = entry.key.clone();
            let theirs = match entry.json() {
                Value::Array(several) if flow == Flow::Pull => several,
                Value::Array(_) => {
                    entry.note("several words for one can only be pulled", "use `pull`, or give one word");
                    continue;
                }
                one => vec![one],
            };
            for theirs in theirs {
                if !matches!(theirs, Value::String(_) | Value::Number(_) | Value::Bool(_)) {
                    entry.note(
                        format!("a word is a text or a number, this is {}", type_name(&theirs)),
                        "write ours = \"theirs\"",
                    );
                    continue;
                }
                let twin = pairs.iter().find(|(_, other)| same(other, &theirs));
                if let Some((other, _)) = twin.filter(|_| flow != Flow::Push) {
                    let what =
                        format!("`{other}` and `{ours}` both stand for {theirs}; what comes back could be either");
                    let mend = if flow == Flow::Both {
                        "give each its own word, or use `from` instead of `both`"
                    } else {
                        "give each word to one of them"
                    };
                    entry.note(what, mend);
                    continue;
                }
                pairs.push((ours.clone(), theirs));
            }
        }
        Self(pairs)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn pairs(&self) -> &[(String, Value)] {
        &self.0
    }

    /// An unknown word passes: vocabularies are open. So does what is no word.
    pub(crate) fn outward(&self, value: Value) -> Value {
        let Value::String(ours) = &value else { return value };
        let known = self.0.iter().find(|(word, _)| word == ours);
        known.map_or(value.clone(), |(_, theirs)| theirs.clone())
    }

    /// `None`: unknown.
    pub(crate) fn inward(&self, theirs: &Value) -> Option<Value> {
        let exact = self.0.iter().find(|(_, word)| word == theirs);
        let known = exact.or_else(|| self.0.iter().find(|(_, word)| same(word, theirs)));
        known.map(|(ours, _)| Value::String(ours.clone()))
    }
}

/// People type "bug " for "Bug".
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.trim().to_lowercase() == b.trim().to_lowercase(),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            text.trim() == number.to_string()
        }
        _ => a == b,
    }
}

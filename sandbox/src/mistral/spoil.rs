//! Answers as badly behaved models give them.

use serde_json::{Value, json};

/// An answer, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Spoilt {
    pub(super) text: String,
    pub(super) finish: &'static str,
    /// `content` is null.
    pub(super) nothing: bool,
    /// `content` is a list of chunks, of which one was thought.
    pub(super) in_chunks: bool,
}

impl Spoilt {
    pub(super) const WAYS: u64 = 6;

    pub(super) fn plain(text: String) -> Self {
        Self { text, finish: "stop", nothing: false, in_chunks: false }
    }

    /// One of [`Spoilt::WAYS`].
    pub(super) fn of(good: &str, way: u64) -> Self {
        let read: Value = serde_json::from_str(good).unwrap_or_default();
        match way {
            0 => {
                let half = good.chars().count() / 2;
                Self { finish: "length", ..Self::plain(good.chars().take(half).collect()) }
            }
            1 => Self::plain(format!("Sure! Here is the result:\n```json\n{good}\n```\nLet me know if you need more.")),
            2 => Self::plain(mistyped(&read).to_string()),
            3 => {
                let mut more = read;
                if let Value::Object(fields) = &mut more {
                    fields.insert("extra_note".into(), "not asked for".into());
                }
                Self::plain(more.to_string())
            }
            4 => Self { nothing: true, ..Self::plain(String::new()) },
            _ => Self { in_chunks: true, ..Self::plain(good.to_owned()) },
        }
    }
}

/// Every value of another type.
fn mistyped(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, inner)| (name.clone(), mistyped(inner))).collect(),
        Value::Array(_) => "none".into(),
        Value::String(text) => json!([text]),
        Value::Number(number) => number.to_string().into(),
        Value::Bool(truth) => if *truth { "yes" } else { "no" }.into(),
        Value::Null => 0.into(),
    }
}

//! Expressions: pure functions from a record to one value, compiled once.
//!
//! The law: an expression reads nothing but its input, always ends, and its errors name its place in the mapping and
//! the types it met, never the text of a record. A plain path does not go through jaq at all.

mod allow;
mod filters;
mod fuel;
mod html;
mod jq;
mod native;
mod path;
#[cfg(test)]
mod tests;
mod value;

use std::cell::OnceCell;
use std::fmt;

use serde_json::Value;

#[cfg(test)]
pub(crate) use filters::known_names;
pub(crate) use jq::Refused;
pub(crate) use native::truncate;
pub(crate) use path::{Step, type_name};
pub(crate) use value::{MAX_OUTPUT, bounded};

use super::problem::{MapError, Place};

/// A value that expressions look at; turned into jaq's form at most once.
pub(crate) struct Input<'v> {
    pub(crate) value: &'v Value,
    jaq: OnceCell<jaq_json::Val>,
}

impl<'v> Input<'v> {
    pub(crate) fn new(value: &'v Value) -> Self {
        Self { value, jaq: OnceCell::new() }
    }
}

/// A compiled expression with its place.
pub struct Expression {
    text: String,
    place: Place,
    code: Code,
}

enum Code {
    Constant(Value),
    Path(Vec<Step>),
    Jq(jq::Program),
}

impl Expression {
    pub(crate) fn compile(text: &str, place: Place) -> Result<Self, Refused> {
        let code = if let Some(steps) = path::parse(text) {
            Code::Path(steps)
        } else if let Some(constant) = constant(text) {
            Code::Constant(constant)
        } else {
            Code::Jq(jq::compile(text)?)
        };
        Ok(Self { text: text.to_owned(), place, code })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The keys of a plain path without indexes.
    pub(crate) fn keys(&self) -> Option<Vec<&str>> {
        let Code::Path(steps) = &self.code else { return None };
        steps.iter().map(|step| if let Step::Key(key) = step { Some(key.as_str()) } else { None }).collect()
    }

    /// Gives the same for every input.
    pub(crate) fn as_constant(&self) -> Option<&Value> {
        if let Code::Constant(value) = &self.code { Some(value) } else { None }
    }

    /// It is a constant that never holds.
    pub(crate) fn is_never(&self) -> bool {
        matches!(self.as_constant(), Some(Value::Null | Value::Bool(false))) || self.text.trim() == "empty"
    }

    /// The paths of an expression that looks at its input only: a comparison, `and`, `or`. Nothing for one with pipes,
    /// brackets or calls, where a path may start elsewhere.
    pub(crate) fn plain_paths(&self) -> Vec<Vec<String>> {
        let mut bare = String::new();
        for (at, part) in self.text.split('"').enumerate() {
            bare.push_str(if at % 2 == 0 { part } else { " " });
        }
        if bare.contains(['|', '[', '{', '$', ';', '\\']) {
            return Vec::new();
        }
        let words = bare.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
        let paths = words.filter_map(|word| word.strip_prefix('.')).filter(|path| !path.is_empty());
        paths.map(|path| path.split('.').map(str::to_owned).collect()).collect()
    }

    /// The value it gives; `null` when it gives none.
    pub(crate) fn eval(&self, input: &Input<'_>) -> Result<Value, MapError> {
        match &self.code {
            Code::Constant(value) => Ok(value.clone()),
            Code::Path(steps) => path::get(input.value, steps).map_err(|what| self.place.error(what)),
            Code::Jq(program) => {
                let value = input.jaq.get_or_init(|| value::to_val(input.value)).clone();
                let result = program.run(value, &self.text);
                result.map(Option::unwrap_or_default).map_err(|what| self.place.error(what))
            }
        }
    }

    /// Does it hold? As in jq, everything but `false`, `null` and no value at all does.
    pub(crate) fn holds(&self, input: &Input<'_>) -> Result<bool, MapError> {
        Ok(!matches!(self.eval(input)?, Value::Null | Value::Bool(false)))
    }

    /// `Expression::holds` for a value that is looked at once.
    ///
    /// # Errors
    /// When the expression meets a type that it cannot use.
    pub fn test(&self, view: &Value) -> Result<bool, MapError> {
        self.holds(&Input::new(view))
    }
}

/// A text, number, `true`, `false` or `null` written out.
fn constant(text: &str) -> Option<Value> {
    let text = text.trim();
    let plain = !text.contains('\\') && !text.starts_with(['{', '[']);
    if plain { serde_json::from_str(text).ok() } else { None }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

//! JSON to jaq's values and back, within bounds.
//!
//! The law: what goes in is cut, visibly, so that no step meets a text longer than [`MAX_TEXT`]; what comes out is
//! refused when it is larger than [`MAX_OUTPUT`] or nested deeper than JSON readers accept.

use std::borrow::Cow;

use jaq_json::{Map, Num, Rc, Val};
use serde_json::{Number, Value};

/// The longest text that a mapping sees, in bytes.
pub(crate) const MAX_TEXT: usize = 256 * 1024;
/// The largest value that an expression may make, in bytes.
pub(crate) const MAX_OUTPUT: usize = 1024 * 1024;
const MAX_DEPTH: usize = 100;

/// A text within [`MAX_TEXT`]; the cut says how much there was.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT {
        return Cow::Borrowed(text);
    }
    let mut end = MAX_TEXT;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}\n\n[cut by loopd: the first {end} of {} bytes]", &text[..end], text.len()))
}

/// [`cut`] for every text inside, and the bound on the whole.
pub(crate) fn bounded(value: &Value) -> Result<Value, &'static str> {
    let mut left = MAX_OUTPUT;
    bound(value, &mut left, MAX_DEPTH)
}

fn bound(value: &Value, left: &mut usize, depth: usize) -> Result<Value, &'static str> {
    spend(left, 8)?;
    let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
    Ok(match value {
        Value::String(text) => {
            let text = cut(text);
            spend(left, text.len())?;
            Value::String(text.into_owned())
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| bound(item, left, depth)).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let mut entries = serde_json::Map::new();
            for (key, value) in map {
                spend(left, key.len())?;
                entries.insert(key.clone(), bound(value, left, depth)?);
            }
            Value::Object(entries)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

const TOO_LARGE: &str = "the result is larger than 1 MiB";
const TOO_DEEP: &str = "the result is nested too deeply";

fn spend(left: &mut usize, bytes: usize) -> Result<(), &'static str> {
    *left = left.checked_sub(bytes).ok_or(TOO_LARGE)?;
    Ok(())
}

pub(super) fn to_val(value: &Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(value) => Val::Bool(*value),
        Value::Number(number) => Val::Num(number_in(number)),
        Value::String(text) => Val::utf8_str(cut(text).into_owned()),
        Value::Array(items) => Val::Arr(Rc::new(items.iter().map(to_val).collect())),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| (Val::utf8_str(key.clone()), to_val(value)));
            Val::obj(entries.collect::<Map>())
        }
    }
}

fn number_in(number: &Number) -> Num {
    if let Some(int) = number.as_i64().and_then(|int| isize::try_from(int).ok()) {
        return Num::Int(int);
    }
    if let Some(int) = number.as_u64() {
        return Num::from_integral(int);
    }
    Num::Float(number.as_f64().unwrap_or(f64::NAN))
}

pub(super) fn from_val(value: &Val) -> Result<Value, &'static str> {
    let mut left = MAX_OUTPUT;
    out(value, &mut left, MAX_DEPTH)
}

fn out(value: &Val, left: &mut usize, depth: usize) -> Result<Value, &'static str> {
    spend(left, 8)?;
    let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(value) => Value::Bool(*value),
        Val::Num(number) => number_out(number),
        Val::TStr(text) | Val::BStr(text) => {
            spend(left, text.len())?;
            Value::String(String::from_utf8_lossy(text).into_owned())
        }
        Val::Arr(items) => Value::Array(items.iter().map(|item| out(item, left, depth)).collect::<Result<_, _>>()?),
        Val::Obj(map) => {
            let mut entries = serde_json::Map::new();
            for (key, value) in map.iter() {
                let (Val::TStr(key) | Val::BStr(key)) = key else { return Err("an object's key is not a text") };
                spend(left, key.len())?;
                entries.insert(String::from_utf8_lossy(key).into_owned(), out(value, left, depth)?);
            }
            Value::Object(entries)
        }
    })
}

/// What is no number in JSON (an infinity, not-a-number) becomes `null`.
fn number_out(number: &Num) -> Value {
    match number {
        Num::Int(int) => Value::from(*int as i64),
        Num::BigInt(int) => {
            let text = int.to_string();
            let exact = text.parse::<u64>().map(Value::from).ok();
            exact
                .or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number))
                .unwrap_or(Value::Null)
        }
        Num::Float(float) => Number::from_f64(*float).map_or(Value::Null, Value::Number),
        Num::Dec(text) => text.parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number),
    }
}

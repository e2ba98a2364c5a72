//! An instance of a schema, filled from what a text says.
//!
//! The law: the same schema, texts and mood give the same instance. A closed list is decided by which of its values' words the text
//! holds; a quote is a sentence of it, byte for byte; a confidence follows from how clear the words were; everything else is a short
//! line of the text, or nothing.

use serde_json::{Map, Value, json};

use super::cues::{self, evidence, is_remark, overlap, spoken};
use super::text::{paragraphs, sentences, speaker};

const DEEPEST: usize = 12;

/// What is read, and how honestly.
#[derive(Clone, Debug)]
pub(super) struct Reading<'t> {
    pub(super) text: &'t str,
    /// The text before it, where two are compared.
    pub(super) other: Option<&'t str>,
    pub(super) system: &'t str,
    /// What the text commands, if it is obeyed.
    pub(super) order: Option<String>,
    pub(super) lying: bool,
}

/// Fills a whole schema.
pub(super) fn fill(schema: &Value, reading: &Reading<'_>) -> Value {
    let mut filler = Filler { root: schema, reading, clarity: 0.4 };
    filler.value(schema, "", reading.text, DEEPEST)
}

struct Filler<'a> {
    root: &'a Value,
    reading: &'a Reading<'a>,
    /// How clear the last closed list was to decide.
    clarity: f64,
}

impl Filler<'_> {
    fn value(&mut self, schema: &Value, name: &str, text: &str, depth: usize) -> Value {
        if depth == 0 {
            return Value::Null;
        }
        if let Some(there) = schema["$ref"].as_str().and_then(|place| self.root.pointer(place.strip_prefix('#')?)) {
            return self.value(there, name, text, depth - 1);
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(values) = schema["enum"].as_array() {
            let (value, clarity) = self.choose(values, text);
            self.clarity = clarity;
            return value;
        }
        for choice in ["anyOf", "oneOf", "allOf"] {
            if let Some(first) = schema[choice].as_array().and_then(|all| all.iter().find(|one| one["type"] != "null"))
            {
                return self.value(first, name, text, depth - 1);
            }
        }
        match kind(schema) {
            "object" => self.object(schema, text, depth),
            "array" => self.array(&schema["items"], name, text, depth),
            "string" => self.string(name, text).into(),
            "boolean" => self.truth(name, text).into(),
            "number" if is_confidence(name) => self.confidence().into(),
            "number" => self.number().into(),
            "integer" => (if self.reading.lying { 4711 } else { 0 }).into(),
            _ => Value::Null,
        }
    }

    /// Closed lists first, wherever they stand: how clear they were is how sure the object is.
    fn object(&mut self, schema: &Value, text: &str, depth: usize) -> Value {
        let Some(properties) = schema["properties"].as_object() else { return json!({}) };
        let mut out = Map::new();
        let outside = self.clarity;
        let mut clearest = Vec::new();
        for late in [false, true] {
            for (name, inner) in properties.iter().filter(|(name, _)| is_confidence(name) == late) {
                let value = self.value(inner, name, text, depth - 1);
                if inner["enum"].is_array() {
                    clearest.push(self.clarity);
                }
                if !late {
                    let least = clearest.iter().copied().fold(f64::INFINITY, f64::min);
                    self.clarity = if least.is_finite() { least } else { outside };
                }
                out.insert(name.clone(), value);
            }
        }
        Value::Object(out)
    }

    /// One entry for each part of the text that is a remark, four at the most; of a text that makes none, one.
    fn array(&mut self, items: &Value, name: &str, text: &str, depth: usize) -> Value {
        if let Some(values) = items["enum"].as_array() {
            let lower = text.to_lowercase();
            let named = values.iter().filter(|value| value.as_str().is_some_and(|value| evidence(value, &lower) > 0));
            return named.take(4).cloned().collect();
        }
        let parts: Vec<&str> =
            if is_quote(name) && kind(items) == "string" { sentences(text) } else { paragraphs(text) };
        let remarks: Vec<&str> = parts.iter().copied().filter(|part| is_remark(&part.to_lowercase())).take(4).collect();
        let parts = if remarks.is_empty() { parts.into_iter().take(1).collect() } else { remarks };
        parts.iter().map(|part| self.value(items, name, part, depth - 1)).collect()
    }

    fn string(&self, name: &str, text: &str) -> String {
        if is_quote(name) {
            return self.quote(text);
        }
        if name.contains("speaker") || name == "author" {
            return text.lines().find_map(speaker).unwrap_or_default().to_owned();
        }
        if let Some(order) =
            self.reading.order.as_deref().filter(|order| order.contains("prompt") || order.contains("instructions"))
        {
            let told: String = self.reading.system.chars().take(120).collect();
            return if told.is_empty() { order.to_owned() } else { told };
        }
        let first = sentences(text).first().copied().unwrap_or(text).trim();
        let line: String = first.chars().take(90).collect();
        let line = line.trim_end_matches(['.', '!', '?']).to_owned();
        if self.reading.lying { format!("{line}, as 4711 customers said") } else { line }
    }

    /// The sentence that remarks on something, as it stands there.
    fn quote(&self, text: &str) -> String {
        let all = sentences(text);
        let remark = all.iter().copied().find(|sentence| is_remark(&sentence.to_lowercase()));
        let quote = remark.or_else(|| all.first().copied()).unwrap_or(text.trim());
        if !self.reading.lying {
            return quote.to_owned();
        }
        let middle = quote.chars().count() / 2;
        let place =
            quote.chars().enumerate().skip(middle).find(|(_, c)| c.is_alphabetic()).map_or(0, |(place, _)| place);
        let altered = |c: char| if c == 'x' { 'y' } else { 'x' };
        quote.chars().enumerate().map(|(at, c)| if at == place { altered(c) } else { c }).collect()
    }

    fn truth(&self, name: &str, text: &str) -> bool {
        let name = spoken(name);
        let honest = if ["duplicate", "same", "match"].iter().any(|word| name.contains(word)) {
            self.reading.other.is_some_and(|other| overlap(other, text) >= 0.5)
        } else {
            evidence(&name, &text.to_lowercase()) > 0
        };
        let commanded = self.reading.order.as_deref().is_some_and(|order| cues::has(order, &name));
        if self.reading.lying { !honest } else { honest || commanded }
    }

    fn number(&self) -> f64 {
        if self.reading.lying { 4711.0 } else { 0.0 }
    }

    fn confidence(&self) -> f64 {
        if self.reading.lying { 1.0 } else { (self.clarity * 100.0).round() / 100.0 }
    }

    /// The value for which most words speak, and how clearly. Of equals, the first.
    fn choose(&self, values: &[Value], text: &str) -> (Value, f64) {
        if let Some(order) = &self.reading.order {
            let named = values.iter().filter_map(|value| Some((order.find(&spoken(value.as_str()?))?, value)));
            if let Some((_, value)) = named.min_by_key(|(at, _)| *at) {
                return (value.clone(), 0.99);
            }
        }
        let lower = text.to_lowercase();
        let mut best: Option<(&Value, u32)> = None;
        let mut second = 0;
        for value in values {
            let score = value.as_str().map_or(0, |value| evidence(value, &lower));
            match best {
                Some((_, most)) if score <= most => second = second.max(score),
                _ => {
                    second = best.map_or(0, |(_, most)| most);
                    best = Some((value, score));
                }
            }
        }
        let compared = self.reading.other.and_then(|other| compared(values, overlap(other, text)));
        let (value, clarity) = match (compared, best) {
            (Some(verdict), _) => verdict,
            (None, Some((value, score))) if score > 0 => {
                (value, 0.55 + 0.4 * f64::from(score - second) / f64::from(score + 1))
            }
            _ => (neutral(values), 0.4),
        };
        if !self.reading.lying {
            return (value.clone(), clarity);
        }
        let place = values.iter().position(|one| one == value).unwrap_or(0);
        (values.get((place + 1) % values.len().max(1)).cloned().unwrap_or_default(), 1.0)
    }
}

/// A list that asks whether two texts are one.
fn compared(values: &[Value], overlap: f64) -> Option<(&Value, f64)> {
    let yes = |value: &str| matches!(spoken(value).as_str(), "duplicate" | "same" | "yes" | "match");
    let no = |value: &str| {
        let value = spoken(value);
        ["not ", "distinct", "different", "unrelated", "similar", "no"].iter().any(|word| value.starts_with(word))
    };
    let find = |is: &dyn Fn(&str) -> bool| values.iter().find(|value| value.as_str().is_some_and(is));
    let (yes, no) = (find(&yes)?, find(&no)?);
    let clarity = (0.5 + (overlap - 0.5).abs()).min(0.95);
    Some((if overlap >= 0.5 { yes } else { no }, clarity))
}

fn neutral(values: &[Value]) -> &Value {
    let named = |name: &&str| values.iter().find(|value| value.as_str().is_some_and(|value| spoken(value) == **name));
    let empty = values.iter().find(|value| value.is_null());
    empty
        .or_else(|| cues::NEUTRAL.iter().find_map(|name| named(&name)))
        .or_else(|| values.first())
        .unwrap_or(&Value::Null)
}

/// The type, or the first that is something.
fn kind(schema: &Value) -> &str {
    let stated = match &schema["type"] {
        Value::String(kind) => Some(kind.as_str()),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        _ => None,
    };
    stated.unwrap_or(if schema["properties"].is_object() {
        "object"
    } else if schema["items"].is_object() {
        "array"
    } else {
        "string"
    })
}

fn is_quote(name: &str) -> bool {
    ["quote", "verbatim", "evidence", "citation"].iter().any(|word| name.to_lowercase().contains(word))
}

fn is_confidence(name: &str) -> bool {
    ["confidence", "certainty", "probability"].iter().any(|word| name.to_lowercase().contains(word))
}

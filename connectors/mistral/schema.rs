//! The schema that is sent: what every server's grammar compiles, and nothing else.
//!
//! Which keywords Mistral takes is not published; `format`, `$schema` and `$id` were refused (issue threads of 2025-02 and 2025-08,
//! read 2026-11-23). So references are put in place, ranges and patterns are left to whoever checks the answer, and every object says
//! that it is closed.

use serde_json::{Map, Value, json};

/// References within references end here: a schema that holds itself has no whole form.
const DEEPEST: usize = 24;

pub(crate) fn sent(schema: &Value) -> Value {
    clean(schema, schema, DEEPEST)
}

/// What a server takes for a schema's name.
pub(crate) fn name(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let name: String = text.chars().map(letter).take(64).collect();
    if name.is_empty() { "answer".into() } else { name }
}

fn clean(schema: &Value, root: &Value, depth: usize) -> Value {
    let Some(fields) = schema.as_object().filter(|_| depth > 0) else { return json!({}) };
    if let Some(there) =
        fields.get("$ref").and_then(Value::as_str).and_then(|place| root.pointer(place.strip_prefix('#')?))
    {
        let mut meant = clean(there, root, depth - 1);
        describe(&mut meant, fields);
        return meant;
    }
    if let Some(choice) = choice(fields) {
        return chosen(choice, fields, root, depth);
    }
    let mut out = Map::new();
    if let Some(kind) = fields.get("type") {
        out.insert("type".into(), kind.clone());
    }
    match (fields.get("enum"), fields.get("const")) {
        (Some(values), _) => drop(out.insert("enum".into(), values.clone())),
        (None, Some(value)) => drop(out.insert("enum".into(), json!([value]))),
        (None, None) => {}
    }
    if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
        let cleaned = properties.iter().map(|(name, inner)| (name.clone(), clean(inner, root, depth - 1)));
        out.insert("properties".into(), Value::Object(cleaned.collect()));
        out.entry("type").or_insert_with(|| "object".into());
    }
    if let Some(required) = fields.get("required").filter(|_| out.contains_key("properties")) {
        out.insert("required".into(), required.clone());
    }
    if let Some(items) = fields.get("items") {
        out.insert("items".into(), clean(items, root, depth - 1));
    }
    if is_object(out.get("type")) {
        out.insert("additionalProperties".into(), false.into());
    }
    let mut out = Value::Object(out);
    describe(&mut out, fields);
    out
}

fn is_object(kind: Option<&Value>) -> bool {
    match kind {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => false,
    }
}

fn describe(out: &mut Value, fields: &Map<String, Value>) {
    if let (Value::Object(out), Some(text @ Value::String(_))) = (out, fields.get("description")) {
        out.insert("description".into(), text.clone());
    }
}

fn choice(fields: &Map<String, Value>) -> Option<&[Value]> {
    ["anyOf", "oneOf", "allOf"].iter().find_map(|key| fields.get(*key)?.as_array()).map(Vec::as_slice)
}

/// Of a choice, what can be said without one: "this or nothing" as a type, several closed lists as one; anything wider is left open.
fn chosen(options: &[Value], fields: &Map<String, Value>, root: &Value, depth: usize) -> Value {
    let nothing = |option: &&Value| option["type"] == "null";
    let real: Vec<Value> =
        options.iter().filter(|option| !nothing(option)).map(|option| clean(option, root, depth - 1)).collect();
    let nullable = options.iter().any(|option| nothing(&option));
    let mut out = match real.as_slice() {
        [one] => one.clone(),
        several if !several.is_empty() && several.iter().all(|option| option["enum"].is_array()) => {
            let values = several.iter().filter_map(|option| option["enum"].as_array()).flatten().cloned();
            json!({"enum": values.collect::<Vec<_>>()})
        }
        _ => return json!({}),
    };
    if nullable && let Value::Object(out) = &mut out {
        if let Some(kind) = out.get("type").filter(|kind| kind.is_string()).cloned() {
            out.insert("type".into(), json!([kind, "null"]));
        }
        if let Some(Value::Array(values)) = out.get_mut("enum") {
            values.push(Value::Null);
        }
    }
    describe(&mut out, fields);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_every_grammar_takes_is_sent_and_every_object_is_closed() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://x.example/s", "title": "Tags",
            "type": "object", "required": ["category", "format"], "minProperties": 2,
            "$defs": {"quote": {"type": "object", "properties": {"text": {"type": "string", "minLength": 1, "format": "uri"}}, "required": ["text"]}},
            "properties": {
                "category": {"enum": ["bug", "praise"], "description": "what it is"},
                "format": {"type": "string", "pattern": "^a$"},
                "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                "quotes": {"type": "array", "items": {"$ref": "#/$defs/quote", "description": "as written"}, "maxItems": 4},
                "product": {"anyOf": [{"type": "string", "enum": ["API"]}, {"type": "null"}]},
                "kind": {"const": "x"}, "odd": {"oneOf": [{"type": "string"}, {"type": "number"}]},
                "open": {"type": ["object", "null"], "additionalProperties": true},
            },
        });
        assert_eq!(
            sent(&schema),
            json!({
                "type": "object", "required": ["category", "format"], "additionalProperties": false,
                "properties": {
                    "category": {"enum": ["bug", "praise"], "description": "what it is"},
                    "format": {"type": "string"},
                    "confidence": {"type": "number"},
                    "quotes": {"type": "array", "items": {"type": "object", "properties": {"text": {"type": "string"}},
                        "required": ["text"], "additionalProperties": false, "description": "as written"}},
                    "product": {"type": ["string", "null"], "enum": ["API", null]},
                    "kind": {"enum": ["x"]}, "odd": {},
                    "open": {"type": ["object", "null"], "additionalProperties": false},
                },
            })
        );
    }

    #[test]
    fn a_schema_that_holds_itself_ends() {
        let schema = json!({"type": "object", "properties": {"more": {"$ref": "#"}}});
        assert!(sent(&schema).to_string().len() < 4000);
        assert_eq!(sent(&json!({"$ref": "#/nowhere"})), json!({}));
        assert_eq!(name("classify/v1 é"), "classify_v1__");
    }
}

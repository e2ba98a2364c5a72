//! The part of JSON Schema that prompts use, checked here whatever the provider promises: `type` (one, or several), `enum`, `required`,
//! `properties`, `items`, and no other keys than the properties.
//!
//! An `enum` of one word that begins with `$` stands for a vocabulary of the question's context: `["$category"]`.

use serde_json::{Map, Value, json};

/// The schema as it is sent: vocabularies filled in, every object closed, every property required (strict modes ask for both;
/// what may be left out is said to be `null`).
pub fn fill(schema: &Value, context: &Value) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let mut filled: Map<String, Value> = map
        .iter()
        .map(|(key, value)| {
            let value = match (key.as_str(), value) {
                ("properties", Value::Object(inner)) => {
                    let asked = asked(inner, context);
                    Value::Object(asked.iter().map(|(name, one)| (name.clone(), fill(one, context))).collect())
                }
                ("items", one) => fill(one, context),
                ("enum", Value::Array(words)) => Value::Array(vocabulary(words, context)),
                _ => value.clone(),
            };
            (key.clone(), value)
        })
        .collect();
    if let Some(Value::Object(properties)) = filled.get("properties") {
        let names: Vec<String> = properties.keys().cloned().collect();
        filled.insert("required".into(), json!(names));
        filled.insert("additionalProperties".into(), false.into());
    }
    Value::Object(filled)
}

/// A choice of nothing is no question; nor is how sure one is of it.
fn asked(properties: &Map<String, Value>, context: &Value) -> Map<String, Value> {
    let is_none = |name: &String| is_empty(&fill(&properties[name], context));
    let mut asked = properties.clone();
    for name in properties.keys().filter(|name| is_none(name)) {
        asked.remove(name);
        if let Some(sure) = asked.get_mut("confidence").and_then(|sure| sure["properties"].as_object_mut()) {
            sure.remove(name);
        }
    }
    asked
}

fn is_empty(schema: &Value) -> bool {
    schema["enum"].as_array().is_some_and(|words| words.iter().all(Value::is_null))
}

fn vocabulary(words: &[Value], context: &Value) -> Vec<Value> {
    let expand = |word: &Value| match word.as_str().and_then(|word| word.strip_prefix('$')) {
        // TOML has no null.
        Some("none") => vec![Value::Null],
        Some(name) => context["vocabularies"][name].as_array().cloned().unwrap_or_default(),
        None => vec![word.clone()],
    };
    words.iter().flat_map(expand).collect()
}

/// # Errors
/// The first place where the value does not fit, and what is wrong there.
pub fn check(value: &Value, schema: &Value) -> Result<(), String> {
    at(value, schema, "the answer")
}

fn at(value: &Value, schema: &Value, place: &str) -> Result<(), String> {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|wanted| is(value, wanted)) {
        return Err(format!("{place} must be {}, and is {}", types.join(" or "), named(value)));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        let words: Vec<String> =
            words.iter().map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect();
        return Err(format!("{place} must be one of {}", words.join(", ")));
    }
    if let (Value::Object(map), Value::Object(properties)) = (value, &schema["properties"]) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !map.contains_key(name) {
                return Err(format!("{place} lacks `{name}`"));
            }
        }
        for (name, inner) in map {
            let Some(wanted) = properties.get(name) else {
                return Err(format!("{place} holds `{name}`, which was not asked for"));
            };
            at(inner, wanted, &format!("{place}.{name}"))?;
        }
    }
    if let (Value::Array(list), wanted @ Value::Object(_)) = (value, &schema["items"]) {
        for (number, inner) in list.iter().enumerate() {
            at(inner, wanted, &format!("{place}[{number}]"))?;
        }
    }
    Ok(())
}

fn is(value: &Value, wanted: &str) -> bool {
    match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn named(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The JSON in an answer: some servers put a fence, or a sentence, around it.
pub fn read(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let (start, end) = (text.find('{')?, text.rfind('}')?);
    serde_json::from_str(text.get(start..=end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_words_is_not_asked_nor_how_sure_one_is_of_it() {
        let number = json!({"type": "number"});
        let schema = json!({"type": "object", "properties": {
            "category": {"type": "string", "enum": ["$category"]},
            "model": {"type": ["string", "null"], "enum": ["$model", "$none"]},
            "confidence": {"type": "object", "properties": {"category": number, "model": number}},
        }});
        let filled = fill(&schema, &json!({"vocabularies": {"category": ["bug"]}}));
        assert_eq!(filled["required"], json!(["category", "confidence"]));
        assert_eq!(filled["properties"]["confidence"]["required"], json!(["category"]));
        assert_eq!(check(&json!({"category": "bug", "confidence": {"category": 0.9}}), &filled), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let schema = json!({"type": "object", "properties": {
            "category": {"type": "string", "enum": ["$category", "none"]},
            "note": {"type": ["string", "null"]},
            "items": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        }});
        let schema = fill(&schema, &json!({"vocabularies": {"category": ["bug", "praise"]}}));
        assert_eq!(schema["properties"]["category"]["enum"], json!(["bug", "praise", "none"]));
        assert_eq!(schema["properties"]["items"]["items"]["additionalProperties"], json!(false));
        let good = json!({"category": "bug", "note": null, "items": [{"n": 1}]});
        assert_eq!(check(&good, &schema), Ok(()));
        let told = |change: &dyn Fn(&mut Value)| {
            let mut bad = good.clone();
            change(&mut bad);
            check(&bad, &schema).expect_err("it does not fit")
        };
        assert_eq!(told(&|bad| bad["category"] = json!("Bug")), "the answer.category must be one of bug, praise, none");
        assert_eq!(
            told(&|bad| bad["items"][0]["n"] = json!("1")),
            "the answer.items[0].n must be integer, and is a string"
        );
        assert_eq!(told(&|bad| bad["extra"] = json!(1)), "the answer holds `extra`, which was not asked for");
        assert_eq!(told(&|bad| *bad = json!({"category": "bug"})), "the answer lacks `items`");
        assert_eq!(told(&|bad| *bad = json!([])), "the answer must be object, and is an array");
    }

    #[test]
    fn json_is_found_in_what_is_said_around_it() {
        let whole = json!({"a": {"b": "}"}});
        assert_eq!(read("{\"a\": {\"b\": \"}\"}}"), Some(whole.clone()));
        assert_eq!(read("Here you are:\n```json\n{\"a\": {\"b\": \"}\"}}\n```\nAnything else?"), Some(whole));
        assert_eq!(read("{\"a\": "), None);
        assert_eq!(read("I cannot help with that."), None);
    }
}

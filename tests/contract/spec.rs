//! Requests checked against the vendors' OpenAPI documents: path, method, query parameters, and the body's shape.
//!
//! The documents are not part of this repository; where they are absent, the check says so and passes.

use std::path::PathBuf;
use std::sync::OnceLock;

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use crate::shared;

/// One vendor's document.
pub(crate) struct Spec {
    root: Value,
    /// Objects may hold more than the document knows of.
    open: bool,
}

pub(crate) fn github() -> Option<&'static Spec> {
    static SPEC: OnceLock<Option<Spec>> = OnceLock::new();
    SPEC.get_or_init(|| {
        load("specs/github/github-issues-apps-hooks.openapi.json", |text| {
            serde_json::from_str(text).map_err(|e| e.to_string())
        })
    })
    .as_ref()
}

pub(crate) fn intercom() -> Option<&'static Spec> {
    static SPEC: OnceLock<Option<Spec>> = OnceLock::new();
    SPEC.get_or_init(|| {
        load("specs/intercom/intercom-openapi-2.16.yaml", |text| {
            serde_yaml_ng::from_str(text).map_err(|e| e.to_string())
        })
    })
    .as_ref()
}

pub(crate) fn notion() -> Option<&'static Spec> {
    static SPEC: OnceLock<Option<Spec>> = OnceLock::new();
    SPEC.get_or_init(|| {
        load("specs/notion/notion-openapi.json", |text| {
            let mut root: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
            // Two schemas of the document are behind: Notion's own client and its references of a page's parent and of a
            // query's sorts (read 2026-11-23) say this.
            let schemas = &mut root["components"]["schemas"];
            schemas["dataSourceIdParentRequest"] = serde_json::json!({
                "type": "object",
                "properties": { "type": { "enum": ["data_source_id"] }, "data_source_id": { "type": "string" } },
                "required": ["data_source_id"],
                "additionalProperties": false,
            });
            schemas["sortObject"] = serde_json::json!({
                "type": "object",
                "properties": {
                    "property": { "type": "string" },
                    "timestamp": { "enum": ["created_time", "last_edited_time"] },
                    "direction": { "enum": ["ascending", "descending"] },
                },
                "required": ["direction"],
                "additionalProperties": false,
            });
            Ok(root)
        })
    })
    .as_ref()
}

pub(crate) fn granola() -> Option<&'static Spec> {
    static SPEC: OnceLock<Option<Spec>> = OnceLock::new();
    SPEC.get_or_init(|| {
        load("specs/granola/granola-api-reconstructed.openapi.yaml", |text| {
            serde_yaml_ng::from_str(text).map_err(|e| e.to_string())
        })
    })
    .as_ref()
}

pub(crate) fn typeform() -> Option<&'static Spec> {
    static SPEC: OnceLock<Option<Spec>> = OnceLock::new();
    SPEC.get_or_init(|| {
        let spec = load("specs/typeform/typeform-reconstructed.schema.json", |text| {
            serde_json::from_str(text).map_err(|e| e.to_string())
        });
        spec.map(|spec| Spec { open: true, ..spec })
    })
    .as_ref()
}

pub(crate) fn mistral() -> Option<&'static Spec> {
    static SPEC: OnceLock<Option<Spec>> = OnceLock::new();
    SPEC.get_or_init(|| {
        load("specs/mistral/mistral-openapi-trimmed.yaml", |text| {
            serde_yaml_ng::from_str(text).map_err(|e| e.to_string())
        })
    })
    .as_ref()
}

#[expect(clippy::print_stderr, reason = "a check that did not run must be seen")]
fn load(path: &str, parse: impl Fn(&str) -> Result<Value, String>) -> Option<Spec> {
    let file: PathBuf = shared(path);
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("{} is not here: requests are not checked against it", file.display());
        return None;
    };
    let root = parse(&text).unwrap_or_else(|why| panic!("{} cannot be read: {why}", file.display()));
    Some(Spec { root, open: false })
}

impl Spec {
    /// What is wrong with a request, if anything. `base` is the path of the base URL.
    pub(crate) fn check(&self, base: &str, request: &Request<Bytes>) -> Result<(), String> {
        let path = request.uri().path().strip_prefix(base).ok_or("not below the base URL")?;
        let method = request.method().as_str().to_lowercase();
        let said = format!("{method} {path}");
        let (template, item) = self.path(path, &method).ok_or_else(|| format!("{said}: no such operation"))?;
        let operation = &item[&method];
        let parameters: Vec<&Value> = [&operation["parameters"], &item["parameters"]]
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .map(|parameter| self.resolve(parameter))
            .collect();
        for (name, value) in query(request.uri().query().unwrap_or_default()) {
            let parameter = parameters
                .iter()
                .find(|parameter| parameter["in"] == "query" && parameter["name"] == name.as_str())
                .ok_or_else(|| format!("{said}: unknown query parameter {name}"))?;
            self.parameter(&parameter["schema"], &value).map_err(|why| format!("{said}: {name}: {why}"))?;
        }
        let asked = query(request.uri().query().unwrap_or_default());
        if let Some(lacking) = parameters.iter().find(|parameter| {
            parameter["in"] == "query"
                && parameter["required"] == true
                && !asked.iter().any(|(name, _)| parameter["name"] == name.as_str())
        }) {
            return Err(format!("{said}: lacks {}", lacking["name"]));
        }
        self.placed(template, path, &parameters).map_err(|why| format!("{said}: {why}"))?;
        let schema = &self.resolve(&operation["requestBody"])["content"]["application/json"]["schema"];
        match (request.body().is_empty(), schema.is_null()) {
            (true, _) if operation["requestBody"]["required"] == true => Err(format!("{said}: needs a body")),
            (true, _) => Ok(()),
            (false, true) => Err(format!("{said}: takes no body")),
            (false, false) => {
                let body: Value = serde_json::from_slice(request.body()).map_err(|error| format!("{said}: {error}"))?;
                self.value(schema, &body, "body", 12).map_err(|why| format!("{said}: {why}"))
            }
        }
    }

    /// What is wrong with a value that should be what stands at this place of the document, `/$defs/Webhook`.
    pub(crate) fn shaped(&self, place: &str, value: &Value) -> Result<(), String> {
        let schema = self.root.pointer(place).ok_or_else(|| format!("the document has no {place}"))?;
        self.value(schema, value, place, 12)
    }

    /// The most literal path that fits and knows the method.
    fn path(&self, path: &str, method: &str) -> Option<(&str, &Value)> {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            parts.len() == segments.len()
                && parts
                    .iter()
                    .zip(&segments)
                    .all(|(part, segment)| part == segment || (part.starts_with('{') && !segment.is_empty()))
        };
        self.root["paths"]
            .as_object()?
            .iter()
            .filter(|(template, item)| fits(template) && !item[method].is_null())
            .min_by_key(|(template, _)| template.matches('{').count())
            .map(|(template, item)| (template.as_str(), item))
    }

    /// Parameters in the path are of their type.
    fn placed(&self, template: &str, path: &str, parameters: &[&Value]) -> Result<(), String> {
        for (part, segment) in template.split('/').zip(path.split('/')) {
            let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else { continue };
            if let Some(parameter) =
                parameters.iter().find(|parameter| parameter["in"] == "path" && parameter["name"] == name)
            {
                self.parameter(&parameter["schema"], segment).map_err(|why| format!("{name}: {why}"))?;
            }
        }
        Ok(())
    }

    fn parameter(&self, schema: &Value, text: &str) -> Result<(), String> {
        let schema = self.resolve(schema);
        if let Some(options) = schema["enum"].as_array()
            && !options.iter().any(|option| option == text)
        {
            return Err(format!("{text:?} is none of {options:?}"));
        }
        let number = text.parse::<i64>();
        match (schema["type"].as_str(), number) {
            (Some("integer" | "number"), Err(_)) => Err(format!("{text:?} is no number")),
            (Some("integer" | "number"), Ok(number))
                if schema["maximum"].as_i64().is_some_and(|most| number > most) =>
            {
                Err(format!("{number} is more than {}", schema["maximum"]))
            }
            (Some("boolean"), _) if !["true", "false"].contains(&text) => {
                Err(format!("{text:?} is neither true nor false"))
            }
            _ if schema["format"] == "date-time" && chrono::DateTime::parse_from_rfc3339(text).is_err() => {
                Err(format!("{text:?} is no time"))
            }
            _ => Ok(()),
        }
    }

    fn value(&self, schema: &Value, value: &Value, place: &str, depth: usize) -> Result<(), String> {
        let schema = self.resolve(schema);
        if depth == 0 || (value.is_null() && schema["nullable"] == true) {
            return Ok(());
        }
        for choice in ["oneOf", "anyOf"] {
            if let Some(options) = schema[choice].as_array() {
                let tried: Vec<_> = options.iter().map(|option| self.value(option, value, place, depth - 1)).collect();
                if !tried.iter().any(Result::is_ok) {
                    return Err(tried.into_iter().filter_map(Result::err).collect::<Vec<_>>().join(" | "));
                }
            }
        }
        if let Some(options) = schema["enum"].as_array()
            && !options.contains(value)
        {
            return Err(format!("{place}: {value} is none of {options:?}"));
        }
        if let Some(kinds) = kinds(schema)
            && !kinds.iter().any(|kind| is(kind, value))
        {
            return Err(format!("{place}: {value} is no {}", kinds.join(" or ")));
        }
        if let (Some(items), false) = (value.as_array(), schema["items"].is_null()) {
            for (at, item) in items.iter().enumerate() {
                self.value(&schema["items"], item, &format!("{place}[{at}]"), depth - 1)?;
            }
        }
        let Some(fields) = value.as_object() else { return Ok(()) };
        for lacking in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(lacking) {
                return Err(format!("{place}: lacks {lacking}"));
            }
        }
        let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
        for (name, inner) in fields {
            match properties.get(name) {
                Some(of) => self.value(of, inner, &format!("{place}.{name}"), depth - 1)?,
                None if !self.open && [Value::Null, Value::Bool(false)].contains(&schema["additionalProperties"]) => {
                    return Err(format!("{place}: unknown property {name}"));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let mut value = value;
        while let Some(pointer) = value["$ref"].as_str().and_then(|place| place.strip_prefix('#')) {
            value = self.root.pointer(pointer).unwrap_or(&Value::Null);
        }
        value
    }
}

fn kinds(schema: &Value) -> Option<Vec<&str>> {
    match &schema["type"] {
        Value::String(kind) => Some(vec![kind]),
        Value::Array(kinds) => Some(kinds.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn query(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let (mut out, mut rest) = (Vec::new(), part.as_bytes());
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            let pair = (*byte == b'%').then(|| rest.split_at_checked(2)).flatten();
            match pair
                .and_then(|(pair, after)| Some((u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?, after)))
            {
                Some((decoded, after)) => {
                    out.push(decoded);
                    rest = after;
                }
                None => out.push(*byte),
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

#[test]
fn the_check_itself_refuses_what_is_not_in_the_document() {
    if let Some(spec) = intercom() {
        let search = |body: &str| {
            Request::post("https://h.example/conversations/search")
                .body(Bytes::from(body.to_owned()))
                .expect("a request")
        };
        assert_eq!(spec.check("", &search(r#"{"query":{"field":"updated_at","operator":">","value":1}}"#)), Ok(()));
        for body in [
            "{}",
            r#"{"query":{"field":"updated_at","operator":"after","value":1}}"#,
            r#"{"query":{"field":7}}"#,
            r#"{"query":{"field":"a"},"sort":{}}"#,
        ] {
            assert!(spec.check("", &search(body)).is_err(), "{body}");
        }
    }
    let Some(spec) = github() else { return };
    let ask = |method: &str, path: &str, body: &str| {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://h.example/api{path}"))
            .body(Bytes::from(body.to_owned()));
        spec.check("/api", &request.expect("a request"))
    };
    assert_eq!(ask("GET", "/repos/a/b/issues?state=all&since=2026-01-01T00%3A00%3A00Z&per_page=100", ""), Ok(()));
    assert_eq!(ask("POST", "/repos/a/b/issues/1/labels", r#"{"labels":["x"]}"#), Ok(()));
    for (method, path, body) in [
        ("GET", "/repos/a/b/issue", ""),
        ("PUT", "/repos/a/b/issues/1", ""),
        ("GET", "/repos/a/b/issues?stat=all", ""),
        ("GET", "/repos/a/b/issues?state=everything", ""),
        ("GET", "/repos/a/b/issues/one", ""),
        ("POST", "/repos/a/b/issues/1/comments", ""),
        ("POST", "/repos/a/b/issues/1/comments", r#"{"text":"x"}"#),
        ("POST", "/repos/a/b/issues/1/comments", r#"{"body":7}"#),
    ] {
        assert!(ask(method, path, body).is_err(), "{method} {path} {body}");
    }
}

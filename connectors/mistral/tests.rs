//! The client against a script: what goes out in each dialect, and what each answer and refusal means. Stateful stories are in the
//! contract tests, against the sandbox.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::open;
use crate::Fault;
use crate::http::Broken;
use crate::model::{Chat, ChatRequest, Finish, Model, Schema, Tokens};
use crate::testing::{Script, StillClock, outside};

pub(super) fn model_with(more: &Value) -> (Arc<dyn Model>, Arc<Script>, Arc<StillClock>) {
    let (script, clock, outside) = outside();
    let mut settings =
        json!({"base_url": "https://models.example/v1/", "quota": {"calls": 100, "per_seconds": 1, "burst": 100}});
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    let key = SecretString::from("a-key-for-tests");
    let opened = open(settings.as_object().expect("a table"), Some(key), &outside).expect("it opens");
    clock.warm_up();
    (opened, script, clock)
}

pub(super) fn question() -> ChatRequest {
    ChatRequest {
        model: "mistral-small-latest".into(),
        system: "You sort feedback.".into(),
        user: "Exports take all night, says Ada Example of Lumen.".into(),
        schema: Some(Schema {
            name: "classify/v1".into(),
            schema: json!({"$schema": "x", "type": "object", "properties": {"category": {"type": "string", "enum": ["bug"], "format": "x"}}, "required": ["category"]}),
        }),
        temperature: Some(0.0),
        max_tokens: Some(300),
        seed: Some(7),
        cache_key: Some("classify-v1".into()),
    }
}

fn answer(content: &Value) -> Value {
    json!({"id": "c", "object": "chat.completion", "model": "mistral-small-2603", "created": 1,
           "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
           "usage": {"prompt_tokens": 200, "completion_tokens": 9, "total_tokens": 209, "new_field": null, "prompt_tokens_details": {"cached_tokens": 128}}})
}

fn sent(script: &Script) -> Value {
    let asked = script.take_asked().pop().expect("something was sent");
    serde_json::from_slice(asked.body()).expect("JSON")
}

#[tokio::test]
async fn each_dialect_sends_what_its_servers_take() {
    let schema = json!({"type": "object", "properties": {"category": {"type": "string", "enum": ["bug"]}}, "required": ["category"], "additionalProperties": false});
    let messages = json!([{"role": "system", "content": "You sort feedback."},
                          {"role": "user", "content": "Exports take all night, says Ada Example of Lumen."}]);
    let named = json!({"name": "classify_v1", "schema": schema});
    let mut strict = named.clone();
    strict["strict"] = true.into();
    let compatible = |format: Value| {
        json!({"model": "mistral-small-latest", "messages": messages, "response_format": format,
                                            "temperature": 0.0, "max_tokens": 300, "seed": 7})
    };
    for (settings, body) in [
        (
            json!({}),
            json!({"model": "mistral-small-latest", "messages": messages, "response_format": {"type": "json_schema", "json_schema": strict},
                           "temperature": 0.0, "max_tokens": 300, "random_seed": 7, "reasoning_effort": "none", "prompt_cache_key": "classify-v1"}),
        ),
        (json!({"dialect": "compatible"}), compatible(json!({"type": "json_schema", "json_schema": named}))),
        (
            json!({"dialect": "compatible", "json_schema": "flat"}),
            compatible(json!({"type": "json_schema", "schema": schema})),
        ),
        (
            json!({"send": [], "json_schema": "plain"}),
            json!({"model": "mistral-small-latest", "messages": messages, "response_format": {"type": "json_schema", "json_schema": named}}),
        ),
        (
            json!({"dialect": "compatible", "send": ["prompt_cache_key"], "json_schema": "plain"}),
            json!({"model": "mistral-small-latest", "messages": messages, "response_format": {"type": "json_schema", "json_schema": named}, "prompt_cache_key": "classify-v1"}),
        ),
    ] {
        let (model, script, _) = model_with(&settings);
        script.answer(200, &answer(&json!("{}")));
        model.chat(&question()).await.expect("an answer");
        assert_eq!(script.lines(), ["POST /v1/chat/completions"]);
        assert_eq!(sent(&script), body, "{settings}");
    }
    let (model, script, _) = model_with(&json!({"json_schema": "object"}));
    script.answer(200, &answer(&json!("{}")));
    model.chat(&question()).await.expect("an answer");
    let body = sent(&script);
    assert_eq!(body["response_format"], json!({"type": "json_object"}));
    assert!(body["messages"][0]["content"].as_str().expect("text").contains("JSON"), "{body}");
}

#[tokio::test]
async fn an_answer_is_read_whatever_its_shape() {
    let tokens = Tokens { input: 200, output: 9, cached: 128 };
    for (content, text) in [
        (json!("{\"a\":1}"), "{\"a\":1}"),
        (json!(null), ""),
        (
            json!([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "{\"a\""}, {"type": "text", "text": ":1}"}, {"type": "reference"}]),
            "{\"a\":1}",
        ),
        (json!(["x", {"text": "y"}, 7]), "xy"),
    ] {
        let (model, script, _) = model_with(&json!({}));
        script.answer(200, &answer(&content));
        let chat = model.chat(&question()).await.expect("an answer");
        assert_eq!(
            chat,
            Chat { text: text.into(), model: "mistral-small-2603".into(), finish: Finish::Stop, tokens },
            "{content}"
        );
    }
    let (model, script, _) = model_with(&json!({"dialect": "compatible"}));
    let mut odd = answer(&json!("<think>so</think>\n{}"));
    odd["usage"] = json!({"prompt_tokens": null, "prompt_token_details": null});
    odd["choices"][0]["finish_reason"] = "model_length".into();
    script.answer(200, &odd);
    let chat = model.chat(&question()).await.expect("an answer");
    assert_eq!((chat.text.as_str(), chat.finish, chat.tokens), ("{}", Finish::Length, Tokens::default()));
    for nothing in [json!({}), json!({"choices": []}), json!([1])] {
        script.answer(200, &nothing);
        assert!(matches!(model.chat(&question()).await, Err(Fault::Unknown { .. })), "{nothing}");
    }
    script.put(Ok(Response::new(Bytes::from_static(b"<html>"))));
    assert!(matches!(model.chat(&question()).await, Err(Fault::Unknown { .. })));
}

#[tokio::test]
async fn each_refusal_says_what_to_do_and_nothing_of_the_question() {
    let flat = |message: &str, kind: &str, code: Value| json!({"object": "error", "message": message, "type": kind, "param": null, "code": code});
    let said = &question().user;
    for (status, body, fault) in [
        (401, json!({"detail": "Unauthorized"}), "locked: the key is refused: Unauthorized"),
        (402, json!(null), "locked: the plan, or its spending limit, forbids it: HTTP 402"),
        (
            403,
            json!({"message": "guardrails.results.pii violated", "type": "guardrail"}),
            "rejected (field user): a guardrail of the workspace stops it: guardrails.results.pii violated",
        ),
        (403, json!({"message": "No access"}), "locked: forbidden for this key or its workspace: No access"),
        (
            404,
            json!({"error": {"message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}}),
            "locked: there is no model mistral-small-2506 for this key, or not any more; mistral-small-latest takes its place: The model `x` does not exist. (NotFoundError)",
        ),
        (404, json!(null), "locked: base_url: there is no such call: HTTP 404"),
        (
            400,
            flat("Invalid model: mistral-small-2506", "invalid_model", json!("1500")),
            "locked: there is no model mistral-small-2506 for this key, or not any more; mistral-small-latest takes its place: Invalid model: mistral-small-2506 (invalid_model)",
        ),
        (
            400,
            flat(
                "Prompt contains 300000 tokens and 0 draft tokens, too large for model with 262144 maximum context length",
                "invalid_request_error",
                json!(3051),
            ),
            "rejected (field user): HTTP 400: Prompt contains 300000 tokens and 0 draft tokens, too large for model with 262144 maximum context length (invalid_request_error)",
        ),
        (
            400,
            json!({"error": {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context_size_error"}}),
            "rejected (field user): HTTP 400: the request exceeds the available context size (exceed_context_size_error)",
        ),
        (
            400,
            flat("Received unsupported keyword `format` in schema.", "invalid_request_error", json!(null)),
            "rejected (field schema): HTTP 400: Received unsupported keyword `format` in schema. (invalid_request_error)",
        ),
        (
            422,
            json!({"detail": [{"loc": ["body", "messages", 0], "msg": "Field required", "type": "missing", "input": said}]}),
            "rejected (field messages.0): HTTP 422: Field required (missing)",
        ),
        (422, json!({"message": format!("cannot take {said}")}), "rejected: HTTP 422: HTTP 422"),
        (500, json!(null), "later: HTTP 500: HTTP 500"),
        (502, json!(null), "later: HTTP 502: HTTP 502"),
        (
            503,
            flat("Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", json!("3505")),
            "later: HTTP 503: Service tier capacity exceeded for this model. (service_tier_capacity_exceeded)",
        ),
        (301, json!(null), "locked: base_url: it answers with a redirection (HTTP 301)"),
    ] {
        let (model, script, _) = model_with(&json!({}));
        script.answer(status, &body);
        let got =
            model.chat(&ChatRequest { model: "mistral-small-2506".into(), ..question() }).await.expect_err("a fault");
        assert_eq!(got.to_string(), fault, "{status} {body}");
        assert!(!got.to_string().contains("Ada Example"));
    }
    let (model, script, _) = model_with(&json!({}));
    script.put(Err(Broken::NoAnswer("timed out".into())));
    assert!(matches!(model.chat(&question()).await, Err(Fault::Unknown { .. })));
    assert!(matches!(model.chat(&question()).await, Err(Fault::Later { .. })), "what was not sent");
    script.answer(502, &json!(null));
    assert!(
        matches!(model.chat(&question()).await, Err(Fault::Later { after: Some(wait), .. }) if wait.as_secs() == 30)
    );
}

#[tokio::test]
async fn the_replacement_that_the_server_names_is_told() {
    let (model, script, _) = model_with(&json!({}));
    script.answer(200, &json!({"object": "list", "data": [
        {"id": "acme-1", "aliases": ["acme"], "max_context_length": 8192, "deprecation": "2026-12-01T00:00:00Z", "deprecation_replacement_model": "acme-2",
         "default_model_temperature": 0.3, "capabilities": {"completion_chat": true, "reasoning": false}},
        {"id": "mine", "max_model_len": 4096, "deprecation": null}, {"object": "model"}]}));
    let cards = model.models().await.expect("a list");
    assert_eq!(cards.len(), 2);
    assert_eq!(
        (cards[0].context, cards[0].chat, cards[0].reasoning, cards[0].temperature),
        (Some(8192), true, Some(false), Some(0.3))
    );
    assert_eq!(cards[0].deprecated.map(|at| at.to_rfc3339()).as_deref(), Some("2026-12-01T00:00:00+00:00"));
    assert_eq!((cards[1].context, cards[1].deprecated, cards[1].chat), (Some(4096), None, true));
    script.answer(400, &json!({"message": "Invalid model: acme"}));
    let ask = ChatRequest { model: "acme".into(), ..question() };
    let why = model.chat(&ask).await.expect_err("it is gone").to_string();
    assert!(why.contains("acme-2 takes its place"), "{why}");
    assert_eq!(sent(&script).get("reasoning_effort"), None, "its card says that it does not think");
}

#[tokio::test]
async fn an_optional_field_that_is_refused_by_name_is_left_out_from_then_on() {
    for body in [
        json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "prompt_cache_key"], "msg": "Extra inputs are not permitted"}]}),
        json!({"error": {"message": "prompt_cache_key is not supported", "type": "invalid_request_error", "code": 400}}),
    ] {
        let (model, script, _) = model_with(&json!({}));
        script.answer(if body["detail"].is_null() { 400 } else { 422 }, &body);
        script.answer(200, &answer(&json!("{}")));
        assert!(matches!(model.chat(&question()).await, Err(Fault::Later { after: Some(Duration::ZERO), .. })));
        model.chat(&question()).await.expect("an answer");
        let body = sent(&script);
        assert_eq!((body.get("prompt_cache_key"), body["random_seed"].as_u64()), (None, Some(7)));
    }
}

#[tokio::test]
async fn too_many_closes_the_gate_for_as_long_as_it_is_said() {
    let limited = json!({"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "param": null, "code": "1300"});
    for (headers, seconds) in [
        (vec![("retry-after", "7")], 7.0),
        (vec![("retry-after-ms", "1500"), ("retry-after", "9")], 1.5),
        (vec![], 1.0),
    ] {
        let (model, script, clock) = model_with(&json!({}));
        script.answer_with(429, &headers, &limited);
        let Err(Fault::Later { after: Some(wait), why }) = model.chat(&question()).await else { panic!("not later") };
        assert_eq!((wait.as_secs_f64(), why.as_str()), (seconds, "HTTP 429: Rate limit exceeded (rate_limited)"));
        assert_eq!(model.wait(), Some(wait));
        assert_eq!(model.meter().throttled, 1);
        clock.pass(wait);
        script.answer_with(429, &[], &limited);
        let Err(Fault::Later { after: Some(wait), .. }) = model.chat(&question()).await else { panic!("not later") };
        assert_eq!(wait.as_secs(), 2, "longer each time, where nobody says how long");
    }
}

#[tokio::test]
async fn the_headers_tell_what_a_minute_takes() {
    let (model, script, clock) = model_with(&json!({}));
    let left = [("x-ratelimit-limit-tokens-minute", "1000"), ("x-ratelimit-remaining-tokens-minute", "100")];
    script.answer_with(200, &left, &answer(&json!("{}")));
    model.chat(&question()).await.expect("an answer");
    assert!(
        matches!(model.chat(&question()).await, Err(Fault::Later { after: Some(wait), .. }) if wait.as_secs() == 60)
    );
    clock.advance(60);
    let none = [("x-ratelimit-limit-req-minute", "30"), ("x-ratelimit-remaining-req-minute", "0")];
    script.answer_with(200, &none, &answer(&json!("{}")));
    model.chat(&question()).await.expect("an answer");
    assert!(model.wait().is_some_and(|wait| wait.as_secs() == 60));
    assert!(matches!(model.models().await, Err(Fault::Later { .. })));
    let (own, script, _) = model_with(&json!({"tokens_per_minute": 700}));
    script.answer(200, &answer(&json!("{}")));
    own.chat(&question()).await.expect("an answer");
    script.answer(200, &answer(&json!("{}")));
    own.chat(&question()).await.expect("what was reckoned is corrected by what was billed");
    assert!(matches!(own.chat(&ChatRequest { max_tokens: Some(600), ..question() }).await, Err(Fault::Later { .. })));
}

#[tokio::test]
async fn embeddings_are_halved_until_they_pass() {
    let too_many = json!({"object": "error", "message": "Too many tokens overall, split into more batches.", "type": "invalid_request_prompt", "param": null, "code": "3210"});
    let (model, script, _) = model_with(&json!({}));
    let inputs: Vec<String> = (0..6).map(|n| format!("text {n}")).chain([String::new(), " ".into()]).collect();
    script.answer(400, &too_many);
    script.answer(400, &too_many);
    script.answer(200, &json!({"data": [{"index": 1, "embedding": [0.0, 1.0]}, {"index": 0, "embedding": [1.0, 0.0]}], "model": "m", "usage": {"prompt_tokens": 4, "completion_tokens": null}}));
    let embedded = model.embed("mistral-embed", &inputs).await.expect("vectors");
    assert_eq!((embedded.vectors, embedded.tokens.input), (vec![vec![1.0, 0.0], vec![0.0, 1.0]], 4));
    let sizes: Vec<usize> = script
        .take_asked()
        .iter()
        .map(|asked| {
            let body: Value = serde_json::from_slice(asked.body()).expect("JSON");
            body["input"].as_array().map_or(0, Vec::len)
        })
        .collect();
    assert_eq!(sizes, [6, 4, 2]);
    let empty = model.embed("mistral-embed", &inputs[6..]).await.expect("nothing to send");
    assert_eq!(empty.vectors, [Vec::<f32>::new(), Vec::new()]);
    for _ in 0..8 {
        script.answer(400, &too_many);
    }
    let one =
        ["one text that is refused however little of it is sent, which must end some time, and here it does"
            .to_owned()];
    assert!(
        matches!(model.embed("mistral-embed", &one).await, Err(Fault::Rejected { field: Some(field), .. }) if field == "input")
    );
    assert!(script.take_asked().len() < 6);
}

#[tokio::test]
async fn moderation_is_read_as_an_open_map() {
    let (model, script, _) = model_with(&json!({}));
    script.answer(200, &json!({"results": [{"categories": {"pii": true, "new": false}, "category_scores": {"pii": 0.9, "new": 0.1, "odd": null}}, {}]}));
    let verdicts = model.moderate("mistral-moderation-latest", &["a".into(), "b".into()]).await.expect("verdicts");
    assert_eq!((verdicts[0].flagged, verdicts[0].scores.len(), verdicts[1].flagged), (true, 2, false));
    let (other, _, _) = model_with(&json!({"dialect": "compatible"}));
    assert!(matches!(other.moderate("m", &["a".into()]).await, Err(Fault::Locked { .. })));
    assert!(other.batches().is_none());
}

#[test]
fn settings_are_strict_and_say_what_is_wrong() {
    let (_, _, outside) = outside();
    let key = || Some(SecretString::from("k"));
    let table = |settings: Value| settings.as_object().expect("a table").clone();
    for (settings, at) in [
        (json!({"base_url": "ftp://x"}), "base_url"),
        (json!({"dialect": "openai"}), "dialect"),
        (json!({"send": ["top_k"]}), "send"),
        (json!({"json_schema": "loose"}), "json_schema"),
        (json!({"timeout_seconds": 0}), "timeout_seconds"),
        (json!({"tokens_per_minute": 0}), "tokens_per_minute"),
        (json!({"embed": {"inputs": 0}}), "embed"),
        (json!({"colour": 1}), "colour"),
    ] {
        let error = open(&table(settings.clone()), key(), &outside).err().expect("an error");
        assert_eq!(error.key.as_deref(), Some(at), "{settings}");
    }
    let lacking = open(&Map::new(), Some(SecretString::from(" ")), &outside).err().expect("an error");
    assert_eq!(lacking.key.as_deref(), Some("key"));
    assert!(
        open(&table(json!({"dialect": "compatible", "base_url": "http://127.0.0.1:11434/v1"})), None, &outside).is_ok()
    );
}

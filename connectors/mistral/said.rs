//! What a server says in place of an answer, whatever shape it says it in, with nothing in it that must not be told again.
//!
//! | who | shape |
//! |---|---|
//! | Mistral | `{object, message, type, param, code}`, where `message` may hold a `detail` |
//! | Mistral, 422 | `{detail: [{loc, msg, type}]}` |
//! | vLLM, Ollama, llama.cpp | `{error: {message, type, code}}`, the code a number or a text; or `{error: text}` |
//! | what stands before them | HTML, or nothing |

use std::time::Duration;

use serde_json::Value;

use crate::http::Answer;
use crate::json::text;

const LONGEST: usize = 300;
/// An error that repeats so many characters of what was sent is quoting it (up to `2 * RUN - 1` may pass by chance).
const RUN: usize = 16;

/// A refusal, read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) kind: String,
    /// The field of the request that it names, without the list it stands in: `messages.0.content`.
    pub(crate) field: Option<String>,
    /// All of it in lower case, for recognising it; not to be told.
    pub(crate) whole: String,
    /// For people.
    pub(crate) why: String,
    /// When it says to come back.
    pub(crate) after: Option<Duration>,
}

impl Said {
    pub(crate) fn read(answer: &Answer, private: &[&str]) -> Self {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Self { after: after(answer), ..Self::of(answer.status.as_u16(), &body, private) }
    }

    /// Of an error object that is not an answer of its own: a line of a batch.
    pub(crate) fn of(status: u16, body: &Value, private: &[&str]) -> Self {
        let error = if body["error"].is_object() { &body["error"] } else { body };
        let detail =
            [&body["detail"], &error["message"]["detail"], &error["detail"]].into_iter().find(|at| !at.is_null());
        let first = detail.and_then(|detail| detail.as_array()?.first());
        let field =
            first.and_then(|first| place(&first["loc"])).or_else(|| text(error, "param")).filter(|at| !at.is_empty());
        let message = text(error, "message")
            .or_else(|| first.and_then(|first| text(first, "msg")))
            .or_else(|| text(body, "detail"))
            .or_else(|| text(body, "error"))
            .or_else(|| text(error, "detail"))
            .unwrap_or_default();
        let kind = first.and_then(|first| text(first, "type")).or_else(|| text(error, "type")).unwrap_or_default();
        let code = text(error, "code").unwrap_or_default();
        let whole = format!("{message} {kind} {code} {}", field.as_deref().unwrap_or_default()).to_lowercase();
        let mut why = safe(&message, private);
        if why.is_empty() {
            why = safe(&kind, private);
        }
        let mark = [&kind, &code].into_iter().find(|mark| !mark.is_empty() && !why.contains(mark.as_str()));
        let mark = mark.map(|mark| safe(mark, private)).filter(|mark| !mark.is_empty());
        let why = match (why.is_empty(), mark) {
            (true, _) => format!("HTTP {status}"),
            (false, Some(mark)) => format!("{why} ({mark})"),
            (false, None) => why,
        };
        Self { status, code, kind, field, whole, why, after: None }
    }

    /// Whether it holds one of these words.
    pub(crate) fn speaks_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.whole.contains(word))
    }
}

/// `["body", "messages", 0, "content"]` as `messages.0.content`.
fn place(loc: &Value) -> Option<String> {
    let parts = loc.as_array()?.iter().map(|part| match part {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let parts: Vec<String> = parts.skip_while(|part| part == "body").take(6).collect();
    (!parts.is_empty()).then(|| parts.join("."))
}

/// `Retry-After` in seconds, and `retry-after-ms`, which Mistral's own clients heed, too.
fn after(answer: &Answer) -> Option<Duration> {
    let millis = answer.number("retry-after-ms").and_then(|millis| u64::try_from(millis).ok());
    let wait = millis.map(Duration::from_millis).or_else(|| answer.retry_after());
    // A quarter of an hour covers what is meant; a longer word is a mistake or a month's end, and asking again is cheap.
    wait.map(|wait| wait.clamp(Duration::from_millis(1), Duration::from_secs(900)))
}

/// A message that may be told: short, without ids and keys, and nothing at all of it if it quotes what was sent.
fn safe(message: &str, private: &[&str]) -> String {
    let letters: Vec<char> = message.chars().take(LONGEST).collect();
    let quotes = letters.chunks_exact(RUN).any(|run| {
        let run: String = run.iter().collect();
        !run.trim().is_empty() && private.iter().any(|text| text.contains(&run))
    });
    if quotes {
        return String::new();
    }
    let mut out = String::new();
    let mut word = String::new();
    let put = |word: &mut String, out: &mut String| {
        let secret = word.chars().count() >= 24 && word.chars().any(|c| c.is_ascii_digit());
        out.push_str(if secret { "…" } else { word });
        word.clear();
    };
    for letter in letters {
        if letter.is_alphanumeric() || letter == '-' || letter == '_' {
            word.push(letter);
        } else {
            put(&mut word, &mut out);
            out.push(if letter.is_control() { ' ' } else { letter });
        }
    }
    put(&mut word, &mut out);
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_shape_of_error_is_read() {
        let flat = json!({"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "param": null, "code": "1300"});
        let deep = json!({"object": "error", "type": "invalid_request_error", "param": null, "code": null,
            "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}});
        let listed = json!({"detail": [{"type": "missing", "loc": ["body", "messages", 0, "content"], "msg": "Field required", "input": {"role": "user"}}]});
        let vllm = json!({"error": {"message": "The model `x` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}});
        let ollama = json!({"error": "model is loading"});
        for (body, code, kind, field, why) in [
            (flat, "1300", "rate_limited", None, "Rate limit exceeded (rate_limited)"),
            (deep, "", "extra_forbidden", Some("seed"), "Extra inputs are not permitted (extra_forbidden)"),
            (listed, "", "missing", Some("messages.0.content"), "Field required (missing)"),
            (vllm, "404", "NotFoundError", Some("model"), "The model `x` does not exist. (NotFoundError)"),
            (ollama, "", "", None, "model is loading"),
            (json!({"detail": "Unauthorized"}), "", "", None, "Unauthorized"),
            (json!(null), "", "", None, "HTTP 400"),
            (json!([1, {"error": 7}]), "", "", None, "HTTP 400"),
        ] {
            let said = Said::of(400, &body, &[]);
            assert_eq!((said.code.as_str(), said.kind.as_str(), said.field.as_deref()), (code, kind, field), "{body}");
            assert_eq!(said.why, why, "{body}");
        }
    }

    #[test]
    fn nothing_of_what_was_sent_is_told_again() {
        let prompt = "Ada Example says that the nightly export of her invoices has failed since Monday.";
        let quoting = json!({"message": format!("Cannot parse: {prompt}"), "type": "invalid"});
        assert_eq!(Said::of(400, &quoting, &[prompt]).why, "invalid");
        let ids = json!({"message": "Request 0f8fad5b-d9cb-469f-a165-70867728950e with key abcdefghijklmnopqrstuvwxyz012345 failed"});
        assert_eq!(Said::of(400, &ids, &[]).why, "Request … with key … failed");
        let long = json!({"message": "no ".repeat(1000)});
        assert!(Said::of(400, &long, &[]).why.len() <= LONGEST);
    }
}

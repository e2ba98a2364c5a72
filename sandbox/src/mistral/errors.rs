//! Refusals, each server's in its own shape. (Vendor sheet of 2026-11-23; vLLM's, Ollama's and llama.cpp's sources of 2026-08.)

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::Mistral;
use super::desk::Personality;
use crate::wire;

pub(super) type Answer = Result<Response<Bytes>, Response<Bytes>>;

impl Mistral {
    /// `code`: Mistral's; the others say the status there.
    pub(super) fn refuse(&self, status: StatusCode, message: &str, kind: &str, code: &str) -> Response<Bytes> {
        let code = if code.is_empty() { Value::Null } else { code.into() };
        let number = status.as_u16();
        let body = match self.personality {
            Personality::Mistral => {
                json!({"object": "error", "message": message, "type": kind, "param": null, "code": code, "raw_status_code": number})
            }
            Personality::Vllm => {
                json!({"error": {"message": message, "type": "BadRequestError", "param": null, "code": number}})
            }
            Personality::Ollama => {
                json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}})
            }
            Personality::LlamaCpp => json!({"error": {"code": number, "message": message, "type": kind}}),
        };
        wire::json(status, &body)
    }

    pub(super) fn bad(&self, message: &str, kind: &str, code: &str) -> Response<Bytes> {
        self.refuse(StatusCode::BAD_REQUEST, message, kind, code)
    }

    /// A body that is not of its shape. FastAPI's list of details at Mistral.
    pub(super) fn invalid(&self, place: &[&str], message: &str, kind: &str) -> Response<Bytes> {
        if self.personality != Personality::Mistral {
            return self.bad(&format!("{}: {message}", place.join(".")), "invalid_request_error", "");
        }
        let loc: Vec<Value> =
            place.iter().map(|part| part.parse::<u64>().map_or_else(|_| (*part).into(), Value::from)).collect();
        let body = json!({"detail": [{"type": kind, "loc": loc, "msg": message, "input": null}]});
        wire::json(StatusCode::UNPROCESSABLE_ENTITY, &body)
    }

    pub(super) fn unauthorised(&self) -> Response<Bytes> {
        match self.personality {
            Personality::Mistral => {
                let body = json!({"message": "Unauthorized", "request_id": "1f0c2a54d7e84b6a9c3e5d7f90a1b2c3"});
                wire::json(StatusCode::UNAUTHORIZED, &body)
            }
            Personality::Vllm => wire::json(StatusCode::UNAUTHORIZED, &json!({"error": "Unauthorized"})),
            _ => self.refuse(StatusCode::UNAUTHORIZED, "Invalid API Key", "authentication_error", ""),
        }
    }

    pub(super) fn no_model(&self, name: &str) -> Response<Bytes> {
        match self.personality {
            Personality::Mistral => self.bad(&format!("Invalid model: {name}"), "invalid_model", "1500"),
            Personality::Vllm => {
                let message = format!("The model `{name}` does not exist.");
                let body =
                    json!({"error": {"message": message, "type": "NotFoundError", "param": "model", "code": 404}});
                wire::json(StatusCode::NOT_FOUND, &body)
            }
            _ => {
                let message = format!("model \"{name}\" not found, try pulling it first");
                self.refuse(StatusCode::NOT_FOUND, &message, "not_found_error", "")
            }
        }
    }

    pub(super) fn nowhere(&self) -> Response<Bytes> {
        match self.personality {
            Personality::Mistral => {
                wire::json(StatusCode::NOT_FOUND, &json!({"message": "no Route matched with those values"}))
            }
            Personality::Vllm => wire::json(StatusCode::NOT_FOUND, &json!({"detail": "Not Found"})),
            Personality::Ollama => wire::answer(StatusCode::NOT_FOUND, "text/plain", "404 page not found"),
            Personality::LlamaCpp => self.refuse(StatusCode::NOT_FOUND, "File Not Found", "not_found_error", ""),
        }
    }

    pub(super) fn missing(&self, what: &str) -> Response<Bytes> {
        self.refuse(StatusCode::NOT_FOUND, &format!("No such {what}."), "not_found", "")
    }

    pub(super) fn limited(&self) -> Response<Bytes> {
        let mut response = self.refuse(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded", "rate_limited", "1300");
        if self.quota.tells {
            wire::set(response.headers_mut(), "retry-after", "2");
        }
        response
    }

    pub(super) fn guarded(&self) -> Response<Bytes> {
        self.refuse(
            StatusCode::FORBIDDEN,
            "Input blocked: guardrails.results.moderation_llm_v2 violated",
            "guardrail_violation",
            "",
        )
    }
}

//! A way out for those who only look: what would change something at the vendor is answered 403 and never sent.
//!
//! Vendors read by POST, too (a search, a GraphQL query), so the method alone does not tell: whoever makes such a call marks it with
//! [`Reads`]. One that nobody has marked is not sent.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use serde_json::json;

use crate::http::{Broken, Reads, Transport};

/// Lets reads through.
pub struct ReadOnly(pub Arc<dyn Transport>);

#[async_trait]
impl Transport for ReadOnly {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, Broken> {
        if only_reads(&request) {
            return self.0.send(request, timeout).await;
        }
        let why = "not sent: only reads are let through";
        let body =
            json!({ "message": why, "error": { "type": "READ_ONLY", "message": why }, "errors": [{ "message": why }] });
        Response::builder()
            .status(StatusCode::FORBIDDEN)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()))
            .map_err(|error| Broken::NotSent(error.to_string()))
    }
}

/// Whether a request changes nothing at its vendor.
pub fn only_reads(request: &Request<Bytes>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        || request.extensions().get::<Reads>().is_some()
        || request.method() == Method::POST && gets_a_token(request.body())
}

/// A refresh, an assertion, client credentials (RFC 6749): without a token, nothing can be read.
fn gets_a_token(body: &[u8]) -> bool {
    body.starts_with(b"grant_type=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, body: &str) -> Request<Bytes> {
        Request::builder().method(method).uri("/").body(Bytes::copy_from_slice(body.as_bytes())).expect("a request")
    }

    #[test]
    fn what_only_looks_is_told_from_what_changes() {
        for (reads, method, body) in [
            (true, Method::GET, ""),
            (true, Method::POST, "grant_type=refresh_token&refresh_token=r"),
            (false, Method::POST, "token=r&token_type_hint=refresh_token"),
            (false, Method::POST, r#"{"query": "query Team { team { id } }"}"#),
            (false, Method::PATCH, r#"{"records": []}"#),
            (false, Method::DELETE, ""),
        ] {
            assert_eq!(only_reads(&request(method.clone(), body)), reads, "{method} {body}");
        }
        let mut marked = request(Method::POST, r#"{"query": "query Team { team { id } }"}"#);
        marked.extensions_mut().insert(Reads);
        assert!(only_reads(&marked));
    }
}

//! A way out for those who only look: what would change something at the vendor is answered 403 and never sent.
//!
//! Vendors read by POST, too (a search, a GraphQL query), so the method alone does not tell.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::http::{Broken, Transport};

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
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return true;
    }
    if request.method() != Method::POST {
        return false;
    }
    if gets_a_token(request.body()) {
        return true;
    }
    if let Some(document) = graphql(request.body()) {
        return !document.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "mutation");
    }
    // Airtable's long lists, Intercom's searches and lists, a GitHub App's token.
    let last = request.uri().path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    matches!(last, "listRecords" | "search" | "list" | "access_tokens")
}

/// A refresh, an assertion, client credentials: without a token, nothing can be read.
fn gets_a_token(body: &[u8]) -> bool {
    body.starts_with(b"grant_type=")
}

/// The document of a GraphQL request.
fn graphql(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    // A record of some vendor may have a field of that name; a document has a selection.
    body.get("query")?.as_str().filter(|text| text.contains('{')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, path: &str, body: &str) -> Request<Bytes> {
        Request::builder().method(method).uri(path).body(Bytes::copy_from_slice(body.as_bytes())).expect("a request")
    }

    #[test]
    fn what_only_looks_is_told_from_what_changes() {
        for (reads, method, path, body) in [
            (true, Method::GET, "/repos/a/b/issues", ""),
            (true, Method::POST, "/v0/appA/tblB/listRecords", r#"{"pageSize": 100}"#),
            (true, Method::POST, "/conversations/search", r#"{"query": {"operator": "AND"}}"#),
            (true, Method::POST, "/graphql", r#"{"query": "query Team { team { id } }"}"#),
            (
                false,
                Method::POST,
                "/graphql",
                r#"{"query": "mutation Make($input: IssueCreateInput!) { issueCreate(input: $input) { success } }"}"#,
            ),
            (true, Method::POST, "/oauth2/v1/token", "grant_type=refresh_token&refresh_token=r"),
            (false, Method::POST, "/oauth2/v1/revoke", "token=r&token_type_hint=refresh_token"),
            (false, Method::PATCH, "/v0/appA/tblB", r#"{"records": []}"#),
            (false, Method::POST, "/v0/bases/appA/webhooks", "{}"),
            (false, Method::POST, "/conversations/1/reply", "{}"),
            (false, Method::DELETE, "/v0/appA/tblB/rec1", ""),
        ] {
            assert_eq!(only_reads(&request(method.clone(), path, body)), reads, "{method} {path} {body}");
        }
    }
}

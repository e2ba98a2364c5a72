//! `POST /hooks/{connection}`: reads a body within its bounds, has it verified, and answers when it is on disk.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{Web, body, public};
use crate::intake;

pub(super) async fn receive(State(web): State<Arc<Web>>, Path(connection): Path<String>, request: Request) -> Response {
    let house = web.house();
    let (parts, body) = request.into_parts();
    // What is sent with a public key has paths of its own, where it is counted and bounded.
    let known = house.connections.get(&connection).is_some_and(|open| open.webhook && public::public(open).is_none());
    // Names that strangers make up are counted under one.
    let name = if known { connection.as_str() } else { "" };
    if !known {
        web.counts.refused(name, "unknown");
        return StatusCode::NOT_FOUND.into_response();
    }
    let limit = house.config.http.max_body_bytes;
    let held = match body::read(&web, &parts.headers, body, limit).await {
        Ok(held) => held,
        Err(turned) => {
            web.counts.refused(name, turned.label());
            return again(turned.status().into_response());
        }
    };
    let raw = connectors::Request { headers: &parts.headers, body: &held.bytes };
    let admitted = match intake::receive(&house, &connection, raw) {
        Ok(arrived) => {
            let reply = arrived.reply();
            web.door.admit(arrived).await.map(|()| reply)
        }
        Err(rejection) => Err(rejection),
    };
    match admitted {
        Ok(reply) => {
            web.counts.received(name);
            match reply {
                Some((content_type, body)) => ([(header::CONTENT_TYPE, content_type)], body).into_response(),
                None => StatusCode::OK.into_response(),
            }
        }
        Err(rejection) => {
            tracing::debug!(connection = name, reason = rejection.label(), "a webhook of {name} was refused");
            web.counts.refused(name, rejection.label());
            again(StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::BAD_REQUEST).into_response())
        }
    }
}

/// An answer that says "not now" says when.
pub(super) fn again(mut answer: Response) -> Response {
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    answer
}

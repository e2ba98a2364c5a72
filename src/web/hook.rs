//! `POST /hooks/{connection}`: reads a body within its bounds, has it verified, and answers when it is on disk.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Web;
use crate::intake;

/// How long a body may take to come.
const SLOW: Duration = Duration::from_secs(10);

/// Why a request did not get as far as its verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turned {
    Encoded,
    TooLarge,
    Slow,
    Cut,
    Busy,
}

impl Turned {
    fn status(self) -> StatusCode {
        match self {
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Cut => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Encoded => "encoded",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::Cut => "cut",
            Self::Busy => "busy",
        }
    }
}

pub(super) async fn receive(State(web): State<Arc<Web>>, Path(connection): Path<String>, request: Request) -> Response {
    let house = web.house();
    let (parts, body) = request.into_parts();
    let known = house.connections.get(&connection).is_some_and(|open| open.webhook);
    // Names that strangers make up are counted under one.
    let name = if known { connection.as_str() } else { "" };
    if !known {
        web.counts.refused(name, "unknown");
        return StatusCode::NOT_FOUND.into_response();
    }
    let limit = house.config.http.max_body_bytes;
    let (bytes, _held) = match read(&web, &parts.headers, body, limit).await {
        Ok(read) => read,
        Err(turned) => {
            web.counts.refused(name, turned.label());
            return turned.status().into_response();
        }
    };
    let raw = connectors::Request { headers: &parts.headers, body: &bytes };
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
            StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::BAD_REQUEST).into_response()
        }
    }
}

/// The whole body, and the hold on the memory it takes.
async fn read(
    web: &Web,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<(Bytes, OwnedSemaphorePermit), Turned> {
    // No vendor of ours compresses, and what is not inflated cannot blow up.
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii());
    if encoding.is_some_and(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(Turned::Encoded);
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(Turned::TooLarge);
    }
    // Where no length is given, the most that may come is held.
    let most = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(limit);
    let kib = u32::try_from(most.div_ceil(1024).clamp(1, super::BODIES_KIB)).unwrap_or(u32::MAX);
    let Ok(Ok(held)) = timeout(SLOW, web.bodies.clone().acquire_many_owned(kib)).await else {
        return Err(Turned::Busy);
    };
    match timeout(SLOW, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok((collected.to_bytes(), held)),
        Ok(Err(error)) if is_too_large(&*error) => Err(Turned::TooLarge),
        Ok(Err(_)) => Err(Turned::Cut),
        Err(_) => Err(Turned::Slow),
    }
}

fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<LengthLimitError>)
}

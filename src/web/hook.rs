//! `POST /hooks/{connection}`: reads a body within its bounds, has it verified, and answers when it is on disk.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Web;
use crate::intake::{self, Arrived, Rejection};

/// How long a body may take to come.
const SLOW: Duration = Duration::from_secs(10);

/// Why a request did not get as far as its verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    Encoded,
    /// Not what its encoding says.
    Broken,
    TooLarge,
    Slow,
    Cut,
    Busy,
}

impl Turned {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Cut | Self::Broken => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Encoded => "encoded",
            Self::Broken => "broken",
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
    // No vendor of ours compresses what it sends there, and what is not inflated cannot blow up.
    let (bytes, _held) = match read(&web, &parts.headers, body, limit, Packed::Refused).await {
        Ok(read) => read,
        Err(turned) => {
            web.counts.refused(name, turned.label());
            return again(turned.status().into_response());
        }
    };
    let raw = connectors::Request { headers: &parts.headers, body: &bytes };
    match admit(&web, intake::receive(&house, &connection, raw)).await {
        Ok((_, answer)) => answer,
        Err(rejection) => {
            tracing::debug!(connection = name, reason = rejection.label(), "a webhook of {name} was refused");
            web.counts.refused(name, rejection.label());
            let status = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::BAD_REQUEST);
            again(status.into_response())
        }
    }
}

/// Puts a verified delivery on disk. Whose it was, and what answers it.
pub(super) async fn admit(web: &Web, received: Result<Arrived, Rejection>) -> Result<(String, Response), Rejection> {
    let arrived = received?;
    let (connection, reply) = (arrived.connection.clone(), arrived.reply());
    web.door.admit(arrived).await?;
    web.counts.received(&connection);
    let answer = match reply {
        Some((content_type, body)) => ([(header::CONTENT_TYPE, content_type)], body).into_response(),
        None => StatusCode::OK.into_response(),
    };
    Ok((connection, answer))
}

/// An answer that says "not now" says when.
pub(super) fn again(mut answer: Response) -> Response {
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    answer
}

/// Whether a body may come compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    Refused,
    /// With gzip, inflated within the same limit.
    Gzip,
}

/// The whole body, and the hold on the memory it takes.
pub(super) async fn read(
    web: &Web,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    packed: Packed,
) -> Result<(Bytes, OwnedSemaphorePermit), Turned> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().trim_ascii());
    let encoding = encoding.filter(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity"));
    let inflate = match encoding {
        None => false,
        Some(encoding) if packed == Packed::Gzip && encoding.eq_ignore_ascii_case(b"gzip") => true,
        Some(_) => return Err(Turned::Encoded),
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(Turned::TooLarge);
    }
    // Where no length is given, the most that may come is held; and of what is packed, the most that it may become.
    let most = length.filter(|_| !inflate).and_then(|length| usize::try_from(length).ok()).unwrap_or(limit);
    let kib = u32::try_from(most.div_ceil(1024).clamp(1, super::BODIES_KIB)).unwrap_or(u32::MAX);
    let Ok(Ok(held)) = timeout(SLOW, web.bodies.clone().acquire_many_owned(kib)).await else {
        return Err(Turned::Busy);
    };
    match timeout(SLOW, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) if inflate => Ok((unpack(&collected.to_bytes(), limit)?, held)),
        Ok(Ok(collected)) => Ok((collected.to_bytes(), held)),
        Ok(Err(error)) if is_too_large(&*error) => Err(Turned::TooLarge),
        Ok(Err(_)) => Err(Turned::Cut),
        Err(_) => Err(Turned::Slow),
    }
}

fn unpack(body: &[u8], limit: usize) -> Result<Bytes, Turned> {
    let mut bytes = Vec::new();
    let read = MultiGzDecoder::new(body).take(limit as u64 + 1).read_to_end(&mut bytes);
    match read {
        Ok(_) if bytes.len() > limit => Err(Turned::TooLarge),
        Ok(_) => Ok(bytes.into()),
        Err(_) => Err(Turned::Broken),
    }
}

fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<LengthLimitError>)
}

//! Reading a body within its bounds of size, time and memory.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Web;

/// How long a body may take to come, and how long it may wait for memory.
const SLOW: Duration = Duration::from_secs(10);
/// The first piece of each body is free, since connections are bounded: many large bodies keep out no small one. The others are
/// taken when their bytes have come: what is only announced holds up nobody.
pub(super) const PIECE: usize = 64 * 1024;

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

/// A whole body, and the hold on the memory that it takes.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// As it came: few of those who send to us compress, and what is not inflated cannot blow up.
pub(super) async fn read(web: &Web, headers: &HeaderMap, body: Body, limit: usize) -> Result<Held, Turned> {
    match encoding(headers) {
        None => plain(web, headers, body, limit).await,
        Some(_) => Err(Turned::Encoded),
    }
}

/// The same, and inflated where it is gzip: `limit` bounds it before and after. The room that it may need is held first.
pub(super) async fn read_packed(web: &Web, headers: &HeaderMap, body: Body, limit: usize) -> Result<Held, Turned> {
    match encoding(headers) {
        None => plain(web, headers, body, limit).await,
        Some(b"gzip") => {
            let packed = plain(web, headers, body, limit).await?;
            let kib = u32::try_from(limit.div_ceil(1024).min(super::BODIES_KIB)).unwrap_or(u32::MAX);
            let Ok(Ok(room)) = timeout(SLOW / 2, web.bodies.clone().acquire_many_owned(kib)).await else {
                return Err(Turned::Busy);
            };
            Ok(Held { bytes: inflate(&packed.bytes, limit)?, _room: Some(room) })
        }
        Some(_) => Err(Turned::Encoded),
    }
}

fn inflate(packed: &[u8], limit: usize) -> Result<Bytes, Turned> {
    let mut bytes = Vec::new();
    match MultiGzDecoder::new(packed).take(limit as u64 + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() > limit => Err(Turned::TooLarge),
        Ok(_) => Ok(bytes.into()),
        Err(_) => Err(Turned::Broken),
    }
}

fn encoding(headers: &HeaderMap) -> Option<&[u8]> {
    let encoding = headers.get(header::CONTENT_ENCODING)?.as_bytes().trim_ascii();
    (!encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")).then_some(encoding)
}

async fn plain(web: &Web, headers: &HeaderMap, body: Body, limit: usize) -> Result<Held, Turned> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(Turned::TooLarge);
    }
    match timeout(SLOW, collect(web, Limited::new(body, limit))).await {
        Ok(read) => read,
        Err(_) => Err(Turned::Slow),
    }
}

async fn collect(web: &Web, mut body: Limited<Body>) -> Result<Held, Turned> {
    let mut bytes = BytesMut::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    let mut room = PIECE;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| if is_too_large(&*error) { Turned::TooLarge } else { Turned::Cut })?;
        let Ok(piece) = frame.into_data() else { continue };
        if bytes.len() + piece.len() > room {
            let more = (bytes.len() + piece.len() - room).div_ceil(PIECE) * PIECE;
            let kib = u32::try_from(more / 1024).unwrap_or(u32::MAX);
            // Each waits no longer than its own time, so that two that wait for each other both end.
            let Ok(Ok(got)) = timeout(SLOW / 2, web.bodies.clone().acquire_many_owned(kib)).await else {
                return Err(Turned::Busy);
            };
            match &mut held {
                Some(held) => held.merge(got),
                None => held = Some(got),
            }
            room += more;
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Held { bytes: bytes.freeze(), _room: held })
}

fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<LengthLimitError>)
}

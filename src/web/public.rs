//! `/v1/…`: what browsers and apps send with a public key, and the files that they fetch.
//!
//! The law: an answer depends on the path, the key, the origin and the limits, and says so to caches (`Vary`); cookies are
//! never looked at, so an origin that is let in gains nothing but the right to add and to read this answer. An error tells
//! the field and the mend, and nothing of ours.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use connectors::public::Asset;
use connectors::quota::Limit;
use connectors::{Public, Refusal};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::address::{Peer, client, household};
use super::body::{self, Turned};
use super::limits::Who;
use super::{Web, keyed};
use crate::house::{Connection, House};
use crate::intake::{self, Rejection};

/// How long a browser may remember what it may send (the most that browsers take), in seconds.
const PREFLIGHT: &str = "7200";
/// After this a page asks whether the file has changed; until it knows, it may use the old one for a day.
const CACHED: &str = "public, max-age=3600, stale-while-revalidate=86400";
/// When whoever finds us unable should come back, in seconds.
const UNABLE: u64 = 5;
/// How often an address may try keys that there are not.
const STRANGERS: Duration = Duration::from_secs(60);

/// A connection that is open to the public.
type Open<'h> = (&'h Connection, &'h dyn Public);

pub(super) async fn answer(State(web): State<Arc<Web>>, request: Request) -> Response {
    let house = web.house();
    let open: Vec<Open<'_>> = house.connections.values().filter_map(public).collect();
    let path = request.uri().path();
    if keyed::serves(&house, path) {
        return keyed::answer(&web, &house, request).await;
    }
    let asset = open.iter().flat_map(|(_, public)| public.assets()).find(|asset| asset.path == path);
    if let Some(asset) = asset {
        return file(*asset, &request);
    }
    let open: Vec<Open<'_>> = open.into_iter().filter(|(_, public)| public.paths().contains(&path)).collect();
    let Some((_, first)) = open.first() else {
        // There may be something tomorrow: no cache is to remember that there was nothing.
        return (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")]).into_response();
    };
    let origin = request.headers().get(header::ORIGIN).cloned();
    let answer = match *request.method() {
        Method::OPTIONS => preflight(&open, origin.as_ref(), first.headers()),
        Method::POST => match receive(&web, &house, &open, request).await {
            Ok(response) => response,
            Err(turned) => turned.into_response(),
        },
        _ => {
            let problem = Problem::of(405, "there is nothing here to read").mend("send it with POST");
            ([(header::ALLOW, "POST, OPTIONS")], problem.into_response()).into_response()
        }
    };
    shared(answer, &open, origin.as_ref())
}

/// The connection's public side, if it has one.
pub(super) fn public(connection: &Connection) -> Option<Open<'_>> {
    let webhook = connection.connector.webhook().filter(|_| connection.webhook)?;
    Some((connection, webhook.public()?))
}

async fn receive(web: &Web, house: &House, open: &[Open<'_>], request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    let address = client(peer, &parts.headers, &house.config.http.trusted_proxies);
    // Whose it is may stand in the body, so the largest of theirs bounds it until that is known.
    let most = open.iter().map(|(_, public)| public.bounds().body_bytes).max().unwrap_or_default();
    let refuse = |name: &str, label: &'static str, problem: Problem| {
        web.counts.refused(name, label);
        problem
    };
    let most = most.min(house.config.http.max_body_bytes);
    let held = body::read(web, &parts.headers, body, most)
        .await
        .map_err(|turned| refuse("", turned.label(), Problem::turned(turned, most)))?;
    let raw = connectors::Request { headers: &parts.headers, body: &held.bytes };
    let key = open.first().and_then(|(_, public)| public.key(raw));
    let owner = key.and_then(|key| {
        let (connection, public) = open.iter().find(|(_, public)| public.keys().contains(&key))?;
        Some((*connection, *public, key))
    });
    let now = web.clock.monotonic();
    let Some((connection, public, key)) = owner else {
        let strangers = Limit::even(30, STRANGERS).with_burst(30);
        web.buckets
            .take(&Who::Stranger(household(address)), strangers, now)
            .map_err(|wait| refuse("", "limited", Problem::limited("this address", wait)))?;
        let problem = Problem::of(401, "the key is missing, or there is no such key").field("key");
        return Err(refuse("", "unknown", problem.mend("send the public key that stands in loopd's configuration")));
    };
    let name = connection.name.as_str();
    let bounds = public.bounds();
    admit_origin(public, parts.headers.get(header::ORIGIN)).map_err(|problem| refuse(name, "origin", problem))?;
    if held.bytes.len() > bounds.body_bytes {
        let problem = Problem::turned(Turned::TooLarge, bounds.body_bytes);
        return Err(refuse(name, Turned::TooLarge.label(), problem));
    }
    if !bounds.servers.iter().any(|server| server.contains(address)) {
        let who = Who::Address(name.to_owned(), household(address));
        let taken = web.buckets.take(&who, bounds.per_address, now);
        taken.map_err(|wait| refuse(name, "limited", Problem::limited("this address", wait)))?;
    }
    let taken = web.buckets.take(&Who::Key(key), bounds.per_key, now);
    taken.map_err(|wait| refuse(name, "limited", Problem::limited("this key", wait)))?;

    let admitted = match intake::receive(house, name, raw) {
        Ok(arrived) => {
            let reply = arrived.reply();
            web.door.admit(arrived).await.map(|()| reply)
        }
        Err(rejection) => Err(rejection),
    };
    let reply = admitted.map_err(|rejection| {
        tracing::debug!(connection = name, reason = rejection.label(), "what was sent to {name} was refused");
        refuse(name, rejection.label(), Problem::from(&rejection))
    })?;
    web.counts.received(name);
    Ok(match reply {
        Some((content_type, body)) => {
            (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        None => StatusCode::ACCEPTED.into_response(),
    })
}

fn admit_origin(public: &dyn Public, origin: Option<&HeaderValue>) -> Result<(), Problem> {
    match origin {
        Some(origin) if origin.to_str().is_ok_and(|origin| public.origins().admits(origin)) => Ok(()),
        None if public.takes_servers() => Ok(()),
        Some(_) => Err(Problem::of(403, "pages of this origin may not send with this key")
            .field("Origin")
            .mend("add the page's scheme and host to `origins` of this connection")),
        None => Err(Problem::of(403, "only browsers may send with this key")
            .field("Origin")
            .mend("send it from a page, or set require_origin = false for this connection")),
    }
}

/// May a page of this origin send, with these headers? The key is not known yet: the request itself is asked for it.
fn preflight(open: &[Open<'_>], origin: Option<&HeaderValue>, headers: &'static str) -> Response {
    if origin.is_some() && allowed(open, origin).is_none() {
        return Problem::of(403, "pages of this origin may not send here")
            .field("Origin")
            .mend("add the page's scheme and host to `origins` of the connection")
            .into_response();
    }
    let told = [
        (header::ALLOW, "POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, headers),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT),
    ];
    (StatusCode::NO_CONTENT, told).into_response()
}

/// What an origin may be told it is, where any of these connections lets it in.
fn allowed(open: &[Open<'_>], origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    let origin = origin?;
    let text = origin.to_str().ok()?;
    // `null` is the name of many who share none: it is never given back as one.
    let named = open.iter().any(|(_, public)| !public.origins().is_any() && public.origins().admits(text));
    let any = || open.iter().any(|(_, public)| public.origins().is_any());
    if named { Some(origin.clone()) } else { any().then(|| HeaderValue::from_static("*")) }
}

/// The headers that each answer on a shared path has, the refusals too: a page can only show an error that it may read.
fn shared(mut answer: Response, open: &[Open<'_>], origin: Option<&HeaderValue>) -> Response {
    const VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    let allowed = allowed(open, origin);
    let headers = answer.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static(VARY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(allowed) = allowed {
        if allowed != "*" {
            // A beacon of a typed Blob insists on sending cookies along. There are none, and none would be read.
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    }
    answer
}

/// A file for any page. It is the same for everybody, whatever they ask with.
fn file(asset: Asset, request: &Request) -> Response {
    const ANYWHERE: [(HeaderName, HeaderValue); 4] = [
        (header::CACHE_CONTROL, HeaderValue::from_static(CACHED)),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin")),
    ];
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        let told = [(header::ALLOW, "GET, HEAD"), (header::CACHE_CONTROL, "no-store")];
        return (StatusCode::METHOD_NOT_ALLOWED, told).into_response();
    }
    let digest: String = Sha256::digest(asset.body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{digest}\"");
    let answer = if has(request.headers(), &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.content_type)], asset.body).into_response()
    };
    ([(header::ETAG, tag)], ANYWHERE, answer).into_response()
}

fn has(headers: &HeaderMap, tag: &str) -> bool {
    let asked = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    asked
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// An answer that says what is wrong and how to mend it (RFC 9457).
#[derive(Debug)]
struct Problem {
    status: u16,
    why: String,
    field: Option<String>,
    mend: Option<String>,
    again: Option<u64>,
}

impl Problem {
    fn of(status: u16, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), field: None, mend: None, again: None }
    }

    fn field(self, field: &str) -> Self {
        Self { field: Some(field.to_owned()), ..self }
    }

    fn mend(self, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..self }
    }

    fn again(self, seconds: u64) -> Self {
        Self { again: Some(seconds), ..self }
    }

    fn limited(who: &str, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::of(429, format!("{who} sends too often"))
            .mend(format!("send it again in {seconds} s, with the same idempotency key"))
            .again(seconds.max(1))
    }

    fn turned(turned: Turned, most: usize) -> Self {
        let status = turned.status().as_u16();
        match turned {
            Turned::Encoded => {
                Self::of(status, "the body is compressed").field("Content-Encoding").mend("send it as it is")
            }
            Turned::TooLarge => Self::of(status, format!("the body is larger than {most} bytes"))
                .field("body")
                .mend("send less, or raise max_body_bytes of this connection"),
            Turned::Slow => {
                Self::of(status, "the body came too slowly").mend("send it again, with the same idempotency key")
            }
            Turned::Cut | Turned::Broken => Self::of(status, "the body was cut off")
                .field("body")
                .mend("send it again, with the same idempotency key"),
            Turned::Busy => Self::unable(),
        }
    }

    fn unable() -> Self {
        Self::of(503, "it cannot be put on disk now")
            .mend(format!("send it again in {UNABLE} s, with the same idempotency key"))
            .again(UNABLE)
    }
}

impl From<&Rejection> for Problem {
    fn from(rejection: &Rejection) -> Self {
        let status = rejection.status();
        match rejection {
            Rejection::Unknown | Rejection::Key => Self::of(status, "there is nothing here"),
            Rejection::Unavailable => Self::unable(),
            Rejection::Refused(Refusal::Invalid { field, why, mend }) => {
                Self::of(status, format!("{field} {why}")).field(field).mend(mend)
            }
            Rejection::Refused(Refusal::ContentType) => Self::of(status, "the body is not said to be JSON")
                .field("Content-Type")
                .mend("send application/json; text/plain is taken as well, as beacons send it"),
            Rejection::Refused(refusal @ Refusal::Malformed(_)) => {
                Self::of(status, refusal.to_string()).field("body").mend("send one JSON object, in UTF-8")
            }
            Rejection::Refused(refusal) => Self::of(status, refusal.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut body = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": self.status,
            "detail": match &self.mend {
                Some(mend) => format!("{}: {mend}", self.why),
                None => self.why.clone(),
            },
        });
        for (name, text) in [("field", self.field), ("mend", self.mend)] {
            if let Some(text) = text {
                body[name] = text.into();
            }
        }
        let mut answer =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
        if let Some(again) = self.again {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(again));
        }
        answer
    }
}

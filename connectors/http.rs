//! The only way out. Base URL from settings, authorisation, timeout, quota, redaction, a span per call, and a
//! [`Transport`] that is reqwest in the daemon and something in-process in a simulation.
//!
//! [`Http::call`] makes exactly one attempt. What the status means is the connector's to say (vendors disagree: GitHub
//! throttles with 403, Linear with 400); what a *missing* answer means is said here: not sent is [`Fault::Later`], sent
//! without an answer is [`Fault::Unknown`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::fault::Fault;
use crate::oauth::Tokens;
use crate::quota::Quota;

/// The most that one answer may hold, in bytes. Airtable's largest page (100 records of 100,000-character texts) fits.
pub const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Sends one request, once.
#[async_trait]
pub trait Transport: Send + Sync {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, Broken>;

    /// Opens a WebSocket. The URL may hold a ticket: it is for no log.
    async fn dial(&self, _url: &str) -> Result<Box<dyn Wire>, Broken> {
        Err(Broken::NotSent("this way out opens no lines".into()))
    }
}

/// A line that stays open, with texts in both directions.
#[async_trait]
pub trait Wire: Send {
    /// What comes next, waited for as long as `patience`. `None`: nothing came. An error: the line is gone.
    async fn next(&mut self, patience: Duration) -> Result<Option<Heard>, Broken>;

    async fn say(&mut self, text: String) -> Result<(), Broken>;
}

/// What came over a [`Wire`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Text(String),
    /// The other side is there: a ping, answered, or a pong.
    Alive,
}

/// No answer came.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Broken {
    /// The request certainly did not arrive: no address, connection refused, TLS failed.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have arrived: timeout or cut after connecting.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The answer is larger than [`MAX_ANSWER`].
    #[error("the answer is larger than {MAX_ANSWER} bytes")]
    TooLarge,
}

/// How requests are authorised. Secrets are exposed only while the header is written.
#[derive(Clone)]
pub enum Auth {
    None,
    Bearer(SecretString),
    /// The bare token (Linear's personal keys).
    Raw(SecretString),
    /// `Bearer` with the token of the moment.
    Fresh(Arc<dyn Tokens>),
}

impl Auth {
    /// The credential of the moment.
    async fn now(&self) -> Result<Self, Fault> {
        match self {
            Self::Fresh(tokens) => Ok(Self::Bearer(tokens.token().await?)),
            other => Ok(other.clone()),
        }
    }

    fn header(&self) -> Result<Option<HeaderValue>, Fault> {
        let text = match self {
            Self::None | Self::Fresh(_) => return Ok(None),
            Self::Bearer(token) => format!("Bearer {}", token.expose_secret().trim()),
            Self::Raw(token) => token.expose_secret().trim().to_owned(),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            Fault::locked(
                "the credential holds characters that no HTTP header may hold; is it a path or several lines?",
            )
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// One vendor account's way out.
#[derive(Clone)]
pub struct Http {
    base: String,
    auth: Auth,
    headers: HeaderMap,
    timeout: Duration,
    quota: Arc<Quota>,
    transport: Arc<dyn Transport>,
}

/// An extension of a request whose method does not tell that it changes nothing at the vendor: a search by POST, a query. What only
/// looks ([`crate::read_only`]) lets it through.
#[derive(Clone, Copy, Debug)]
pub struct Reads;

/// One request to make.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    /// A path below the base URL (`/repos/o/r`), or a whole URL that the vendor handed out (a `next` link).
    pub target: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(HeaderName, String)>,
    /// Sent as JSON.
    pub body: Option<Value>,
    /// Sent as `application/x-www-form-urlencoded`, where there is no `body`.
    pub form: Vec<(String, String)>,
    /// Sent as it is, as this content type, where there is neither (a file).
    pub raw: Option<(String, Bytes)>,
    /// It changes nothing there, whatever its method.
    pub reads: bool,
}

impl Call {
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            form: Vec::new(),
            raw: None,
            reads: false,
        }
    }
    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }
    pub fn post(target: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, target) }
    }
    pub fn patch(target: impl Into<String>, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::PATCH, target) }
    }
    /// A POST of a form.
    pub fn form(target: impl Into<String>, form: &[(&str, &str)]) -> Self {
        let form = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { form, ..Self::new(Method::POST, target) }
    }
    /// A POST of bytes as they are.
    pub fn raw(target: impl Into<String>, content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { raw: Some((content_type.into(), body.into())), ..Self::new(Method::POST, target) }
    }
    /// Marks a call that changes nothing there although its method does not say so.
    #[must_use]
    pub fn reads(self, reads: bool) -> Self {
        Self { reads, ..self }
    }
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    sent_with: Option<SentWith>,
}

/// The token that a call was made with, and who gets the next one.
#[derive(Clone)]
struct SentWith {
    token: SecretString,
    tokens: Arc<dyn Tokens>,
}

impl std::fmt::Debug for SentWith {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SentWith")
    }
}

impl Answer {
    /// One that came without a token that changes.
    pub fn new(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self { status, headers, body, sent_with: None }
    }

    /// For vendors that say otherwise than by 401 that the token is not good (Slack's `ok: false`, GraphQL's errors): the
    /// token is refused. The fault tells the engine to make the call again with another token; it was certainly not
    /// done. `None`: the credentials are at fault, or they do not change while we run.
    pub fn token_refused(&self) -> Option<Fault> {
        let sent = self.sent_with.as_ref()?;
        sent.tokens.refused(&sent.token).then(|| Fault::Later {
            after: Some(Duration::ZERO),
            why: format!("HTTP {}: the token is not good any more; the call is made again with another", self.status),
        })
    }

    /// The body as `T`. An answer that is not what the vendor documents leaves the outcome unknown.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // serde's message can quote the body: keep only its kind and place.
            Fault::unknown(format!(
                "HTTP {} answered {} bytes that are not the documented JSON ({:?} at line {} column {})",
                self.status,
                self.body.len(),
                error.classify(),
                error.line(),
                error.column()
            ))
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header that holds a whole number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.header(name)?.trim().parse().ok()
    }

    /// `Retry-After` in seconds, where the vendor sends it.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.number("retry-after")?;
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }
}

impl Http {
    /// `base` without a trailing slash; paths are appended to it as they are.
    pub fn new(base: &str, auth: Auth, quota: Arc<Quota>, transport: Arc<dyn Transport>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("loopd/", env!("CARGO_PKG_VERSION"))));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Self {
            base: base.trim_end_matches('/').to_owned(),
            auth,
            headers,
            timeout: Duration::from_secs(30),
            quota,
            transport,
        }
    }

    /// A header for every call (an API version).
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    #[must_use]
    pub fn with_auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Another host or path, where the vendor names it after signing in (Salesforce's `instance_url`).
    #[must_use]
    pub fn with_base(mut self, base: &str) -> Self {
        base.trim_end_matches('/').clone_into(&mut self.base);
        self
    }

    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// One attempt, through the quota. Where the token of the moment is refused with 401, the call was not done and is
    /// worth another with the next token ([`Fault::Later`], at once); where another token would fare no better, the 401 is
    /// handed back for the connector to tell.
    pub async fn call(&self, call: Call) -> Result<Answer, Fault> {
        let auth = self.auth.now().await?;
        let request = self.request(&call, &auth)?;
        let ticket =
            self.quota.take().map_err(|wait| Fault::Later { after: Some(wait), why: "our own quota".into() })?;
        let started = request.uri().path().to_owned();
        let method = call.method.clone();
        let sent = self.transport.send(request, self.timeout).await;
        self.quota.answered(ticket);
        let answer = match sent {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let sent_with = match (&self.auth, auth) {
                    (Auth::Fresh(tokens), Auth::Bearer(token)) => Some(SentWith { token, tokens: tokens.clone() }),
                    _ => None,
                };
                Ok(Answer { status: parts.status, headers: parts.headers, body, sent_with })
            }
            Err(broken @ Broken::NotSent(_)) => Err(Fault::later(broken.to_string())),
            Err(broken) => Err(Fault::unknown(broken.to_string())),
        };
        match &answer {
            Ok(answer) => tracing::debug!(%method, path = %started, status = answer.status.as_u16(), "call"),
            Err(fault) => tracing::debug!(%method, path = %started, %fault, "call without an answer"),
        }
        let answer = answer?;
        let refused = if answer.status == StatusCode::UNAUTHORIZED { answer.token_refused() } else { None };
        refused.map_or(Ok(answer), Err)
    }

    fn request(&self, call: &Call, auth: &Auth) -> Result<Request<Bytes>, Fault> {
        let uri = self.uri(call)?;
        let mut request = Request::builder().method(call.method.clone()).uri(uri);
        if call.reads {
            request = request.extension(Reads);
        }
        let Some(headers) = request.headers_mut() else {
            return Err(Fault::locked(format!("base_url {} makes no URL with {}", self.base, call.target)));
        };
        headers.extend(self.headers.clone());
        if let Some(value) = auth.header()? {
            headers.insert(header::AUTHORIZATION, value);
        }
        for (name, value) in &call.headers {
            let value = HeaderValue::from_str(value)
                .map_err(|_| Fault::rejected(format!("header {name} would hold forbidden characters")))?;
            headers.insert(name, value);
        }
        let body = match &call.body {
            Some(value) => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Bytes::from(
                    serde_json::to_vec(value).map_err(|error| Fault::rejected(format!("cannot be JSON: {error}")))?,
                )
            }
            None if !call.form.is_empty() => {
                let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                headers.insert(header::CONTENT_TYPE, form);
                let pairs = call.form.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
                Bytes::from(pairs.collect::<Vec<_>>().join("&"))
            }
            None => match &call.raw {
                Some((kind, raw)) => {
                    let kind = HeaderValue::from_str(kind)
                        .map_err(|_| Fault::rejected("a content type would hold forbidden characters"))?;
                    headers.insert(header::CONTENT_TYPE, kind);
                    raw.clone()
                }
                None => Bytes::new(),
            },
        };
        request.body(body).map_err(|error| Fault::rejected(format!("no request can be made of it: {error}")))
    }

    fn uri(&self, call: &Call) -> Result<Uri, Fault> {
        let whole = call.target.starts_with("http://") || call.target.starts_with("https://");
        let mut url = if whole { call.target.clone() } else { format!("{}{}", self.base, call.target) };
        let mut glue = if url.contains('?') { '&' } else { '?' };
        for (name, value) in &call.query {
            url.push(glue);
            url.push_str(&encode(name));
            url.push('=');
            url.push_str(&encode(value));
            glue = '&';
        }
        let uri: Uri = url.parse().map_err(|error| {
            Fault::locked(format!("base_url {} makes no URL with {}: {error}", self.base, call.target))
        })?;
        // A URL from a vendor's answer must not carry our credential to another host.
        if whole && origin(&uri) != self.base.parse::<Uri>().ok().as_ref().and_then(origin) {
            return Err(Fault::locked(format!("the vendor's link leads away from {}; refused", self.base)));
        }
        Ok(uri)
    }
}

impl Http {
    /// Whether a link from an answer stays at our base's host (so that following it keeps the credential at home).
    pub fn is_home(&self, url: &str) -> bool {
        let home = self.base.parse::<Uri>().ok();
        let there = url.parse::<Uri>().ok();
        matches!((home.as_ref().and_then(origin), there.as_ref().and_then(origin)), (Some(a), Some(b)) if a == b)
    }
}

fn origin(uri: &Uri) -> Option<(String, String)> {
    Some((uri.scheme_str()?.to_owned(), uri.authority()?.as_str().to_ascii_lowercase()))
}

/// Percent-encodes all but RFC 3986's unreserved characters; for query parts and single path segments.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(b"0123456789ABCDEF"[usize::from(byte >> 4)]));
            out.push(char::from(b"0123456789ABCDEF"[usize::from(byte & 15)]));
        }
    }
    out
}

/// The pairs of a form, decoded; what is not UTF-8 is shown as such.
pub(crate) fn decode_form(body: &[u8]) -> Vec<(String, String)> {
    let decode = |text: &[u8]| {
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            let escaped = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
            let escaped = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
            match (escaped, byte) {
                (Some(byte), _) => {
                    out.push(byte);
                    at += 2;
                }
                (None, b'+') => out.push(b' '),
                (None, byte) => out.push(*byte),
            }
            at += 1;
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    body.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let mut half = || decode(halves.next().unwrap_or_default());
            (half(), half())
        })
        .collect()
}

/// The daemon's transport. Redirects are not followed (a credential must not travel); connectors see the 3xx.
pub struct Reqwest {
    client: reqwest::Client,
    /// For hosts of this machine, past any proxy that the environment names.
    local: reqwest::Client,
}

impl Reqwest {
    /// # Errors
    /// When the system's TLS roots cannot be read.
    #[expect(clippy::disallowed_methods, reason = "this is the one way out")]
    pub fn new() -> Result<Self, Broken> {
        // Another part of the process may have installed a provider already; either is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(10))
                // Many servers hang up after five seconds; a write into a closing connection has an unknown outcome.
                .pool_idle_timeout(Duration::from_secs(4))
        };
        let build =
            |builder: reqwest::ClientBuilder| builder.build().map_err(|error| Broken::NotSent(error.to_string()));
        Ok(Self { client: build(builder())?, local: build(builder().no_proxy())? })
    }
}

#[async_trait]
impl Transport for Reqwest {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, Broken> {
        let client = if is_local(request.uri()) { &self.local } else { &self.client };
        let mut request =
            reqwest::Request::try_from(request).map_err(|error| Broken::NotSent(error.without_url().to_string()))?;
        *request.timeout_mut() = Some(timeout);
        let mut answer = client.execute(request).await.map_err(broken)?;
        let mut parts = Response::builder().status(answer.status());
        if let Some(headers) = parts.headers_mut() {
            headers.extend(answer.headers().clone());
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Broken::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        parts.body(Bytes::from(body)).map_err(|error| Broken::NoAnswer(error.to_string()))
    }

    async fn dial(&self, url: &str) -> Result<Box<dyn Wire>, Broken> {
        crate::wire::dial(url).await
    }
}

fn is_local(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn broken(error: reqwest::Error) -> Broken {
    let connect = error.is_connect();
    // The URL may hold ids and filters of a customer's: not for logs.
    let error = error.without_url();
    let mut why = error.to_string();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(inner) = cause {
        why = format!("{why}: {inner}");
        cause = inner.source();
    }
    if connect { Broken::NotSent(why) } else { Broken::NoAnswer(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_known() {
        for (url, local) in [
            ("http://127.0.0.1:8/x", true),
            ("http://localhost:8", true),
            ("http://[::1]:8/", true),
            ("https://api.example/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_local(&url.parse().expect("a URL")), local, "{url}");
        }
    }
}

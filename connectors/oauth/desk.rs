//! One call to a token endpoint, and what its answer means. The `oauth2` crate writes the requests and reads the answers;
//! they travel by our own [`Transport`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderValue, Method, Request, StatusCode, header};
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, EndpointNotSet, EndpointSet,
    HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    StandardRevocableToken, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};

use super::grant::Told;
use super::{Server, Style};
use crate::http::{Broken, Transport, encode};
use crate::{Clock, Fault};

const TIMEOUT: Duration = Duration::from_secs(30);
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

type Client = oauth2::Client<
    BasicErrorResponse,
    Told,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

pub(super) struct Desk {
    client: Client,
    token_url: String,
    revoke_url: Option<String>,
    vendor: &'static str,
    scopes: Option<String>,
    style: Style,
    id: String,
    secret: Option<SecretString>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
}

/// Why no token came.
#[derive(Debug)]
pub(super) enum Refused {
    /// `invalid_grant`: this code, refresh token or assertion will not be taken, now or later.
    Grant {
        why: String,
        /// The vendor's clock minus ours, in seconds, where the answer tells.
        drift: Option<i64>,
    },
    /// What else went wrong. `answered`: the vendor has spoken, so nothing was spent.
    Other { fault: Fault, answered: bool },
}

impl Desk {
    /// # Errors
    /// For people: one of the URLs is none.
    pub(super) fn new(server: &Server, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Result<Self, String> {
        // Where nobody signs in there is no such URL, and it is not used.
        let authorize = if server.authorize_url.is_empty() { &server.token_url } else { &server.authorize_url };
        let authorize = AuthUrl::new(authorize.clone()).map_err(|error| format!("{authorize}: {error}"))?;
        let token =
            TokenUrl::new(server.token_url.clone()).map_err(|error| format!("{}: {error}", server.token_url))?;
        let style = match server.style {
            Style::Basic => AuthType::BasicAuth,
            Style::Body => AuthType::RequestBody,
        };
        let mut client = oauth2::Client::new(ClientId::new(server.client_id.clone()))
            .set_auth_uri(authorize)
            .set_token_uri(token)
            .set_auth_type(style);
        if let Some(secret) = &server.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose_secret().trim().to_owned()));
        }
        let scopes = server.scopes.join(server.separator);
        Ok(Self {
            client,
            token_url: server.token_url.clone(),
            revoke_url: server.revoke_url.clone(),
            vendor: server.vendor,
            scopes: (!scopes.is_empty()).then_some(scopes),
            style: server.style,
            id: server.client_id.clone(),
            secret: server.client_secret.clone(),
            transport,
            clock,
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn scopes(&self) -> Option<Scope> {
        self.scopes.clone().map(Scope::new)
    }

    pub(super) async fn exchange(
        &self,
        code: &str,
        verifier: &SecretString,
        back: &RedirectUrl,
    ) -> Result<Told, Refused> {
        let line = self.line();
        let answer = self
            .client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose_secret().to_owned()))
            .set_redirect_uri(std::borrow::Cow::Borrowed(back))
            .request_async(&line)
            .await;
        self.judge(answer, &line)
    }

    pub(super) async fn refresh(&self, token: &SecretString) -> Result<Told, Refused> {
        let line = self.line();
        let token = RefreshToken::new(token.expose_secret().to_owned());
        let answer = self.client.exchange_refresh_token(&token).request_async(&line).await;
        self.judge(answer, &line)
    }

    pub(super) async fn client_credentials(&self) -> Result<Told, Refused> {
        let line = self.line();
        let mut request = self.client.exchange_client_credentials();
        if let Some(scopes) = self.scopes() {
            request = request.add_scope(scopes);
        }
        let answer = request.request_async(&line).await;
        self.judge(answer, &line)
    }

    pub(super) async fn assert(&self, assertion: &SecretString) -> Result<Told, Refused> {
        let line = self.line();
        let answer =
            match self.form(&self.token_url, &[("grant_type", JWT_BEARER), ("assertion", assertion.expose_secret())]) {
                Ok(request) => line.call(request).await,
                Err(why) => return Err(Refused::Other { fault: Fault::locked(why), answered: false }),
            };
        let read = |response: HttpResponse| {
            if response.status().is_success() {
                serde_json::from_slice(response.body())
                    .map_err(|_| RequestTokenError::Other("its answer holds no token".into()))
            } else {
                Err(serde_json::from_slice(response.body()).map_or_else(
                    |_| RequestTokenError::Other("not in the words of OAuth".into()),
                    RequestTokenError::ServerResponse,
                ))
            }
        };
        self.judge(answer.map_err(RequestTokenError::Request).and_then(read), &line)
    }

    /// Tells the vendor that a token is to be forgotten (RFC 7009). `Ok(false)`: it has no way to be told.
    pub(super) async fn revoke(&self, token: &SecretString, hint: &str) -> Result<bool, Fault> {
        let Some(url) = &self.revoke_url else { return Ok(false) };
        let mut form = vec![("token", token.expose_secret()), ("token_type_hint", hint)];
        let secret = self.secret.as_ref().map(|secret| secret.expose_secret().trim());
        if self.style == Style::Body || secret.is_none() {
            form.push(("client_id", &self.id));
            form.extend(secret.map(|secret| ("client_secret", secret)));
        }
        let mut request = self.form(url, &form).map_err(Fault::locked)?;
        if let (Style::Basic, Some(secret)) = (self.style, secret) {
            use base64::prelude::{BASE64_STANDARD, Engine as _};
            let pair = BASE64_STANDARD.encode(format!("{}:{}", encode(&self.id), encode(secret)));
            if let Ok(value) = HeaderValue::from_str(&format!("Basic {pair}")) {
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
        }
        let answer = self.line().call(request).await.map_err(|unsent| Fault::later(unsent.to_string()))?;
        if answer.status().is_success() {
            return Ok(true);
        }
        Err(Fault::later(format!("{} answers HTTP {}", self.vendor, answer.status().as_u16())))
    }

    fn form(&self, url: &str, form: &[(&str, &str)]) -> Result<HttpRequest, String> {
        let pairs = form.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(pairs.collect::<Vec<_>>().join("&").into_bytes())
            .map_err(|error| format!("{url} makes no request: {error}"))
    }

    fn line(&self) -> Line<'_> {
        Line { desk: self, heard: Mutex::default() }
    }

    fn judge(
        &self,
        answer: Result<Told, RequestTokenError<Unsent, BasicErrorResponse>>,
        line: &Line<'_>,
    ) -> Result<Told, Refused> {
        let error = match answer {
            Ok(told) => return Ok(told),
            Err(error) => error,
        };
        let heard = line.heard.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(heard) = heard else {
            let why = match error {
                RequestTokenError::Request(Unsent(broken)) => broken.to_string(),
                _ => "no request could be made".into(),
            };
            // Whatever became of it there: the call that wanted the token was not sent.
            let answered = why.starts_with("not sent");
            return Err(Refused::Other {
                fault: Fault::later(format!("{} gives no token: {why}", self.vendor)),
                answered,
            });
        };
        let status = heard.status.as_u16();
        let (code, words) = match &error {
            RequestTokenError::ServerResponse(said) => {
                let about: String = said.error_description().map_or("", String::as_str).chars().take(200).collect();
                let code = said.error().as_ref().to_owned();
                let words = if about.is_empty() { code.clone() } else { format!("{code}: {about}") };
                (Some(said.error().clone()), words)
            }
            // Its message may quote the answer.
            RequestTokenError::Parse(..) if heard.status.is_success() => (None, "its answer holds no token".into()),
            RequestTokenError::Other(why) if heard.status.is_success() => (None, why.clone()),
            _ => (None, "not in the words of OAuth".into()),
        };
        let vendor = self.vendor;
        let why = format!("{vendor} gives no token (HTTP {status}, {words})");
        let later = |after| Refused::Other { fault: Fault::Later { after, why: why.clone() }, answered: true };
        let locked = || Refused::Other { fault: Fault::locked(why.clone()), answered: true };
        let Some(code) = code else {
            return Err(match status {
                200..=299 => Refused::Other { fault: Fault::later(why), answered: false },
                408 | 429 => later(heard.retry_after),
                500..=599 => Refused::Other { fault: Fault::Later { after: heard.retry_after, why }, answered: false },
                300..=399 => Refused::Other {
                    fault: Fault::locked(format!("{vendor}'s token URL answers with a redirect (HTTP {status})")),
                    answered: true,
                },
                _ => locked(),
            });
        };
        Err(match code {
            BasicErrorResponseType::InvalidGrant => Refused::Grant { why: words, drift: heard.drift },
            BasicErrorResponseType::Extension(code) => match code.as_str() {
                "temporarily_unavailable" | "server_error" | "slow_down" | "rate_limit_exceeded" => {
                    later(heard.retry_after)
                }
                _ if status == 429 || status >= 500 => later(heard.retry_after),
                _ => locked(),
            },
            _ if status == 429 || status >= 500 => later(heard.retry_after),
            _ => locked(),
        })
    }
}

/// The way of one request, and what is worth knowing of its answer besides the body.
struct Line<'d> {
    desk: &'d Desk,
    heard: Mutex<Option<Heard>>,
}

struct Heard {
    status: StatusCode,
    retry_after: Option<Duration>,
    drift: Option<i64>,
}

#[derive(Debug)]
struct Unsent(Broken);

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl std::error::Error for Unsent {}

impl<'c> AsyncHttpClient<'c> for Line<'_> {
    type Error = Unsent;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Unsent>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let agent = HeaderValue::from_static(concat!("loopd/", env!("CARGO_PKG_VERSION")));
            parts.headers.insert(header::USER_AGENT, agent);
            if let Some(authorization) = parts.headers.get_mut(header::AUTHORIZATION) {
                authorization.set_sensitive(true);
            }
            let request = Request::from_parts(parts, Bytes::from(body));
            let sent = self.desk.transport.send(request, TIMEOUT).await;
            let status = sent.as_ref().map_or(0, |answer| answer.status().as_u16());
            tracing::debug!(vendor = self.desk.vendor, status, "token call");
            let (parts, body) = sent.map_err(Unsent)?.into_parts();
            let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            let there = text(header::DATE).and_then(|date| DateTime::parse_from_rfc2822(date).ok());
            let heard = Heard {
                status: parts.status,
                retry_after: text(header::RETRY_AFTER)
                    .and_then(|text| text.trim().parse().ok())
                    .map(Duration::from_secs),
                drift: there.map(|there| there.timestamp() - self.now().timestamp()),
            };
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
            Ok(HttpResponse::from_parts(parts, body.to_vec()))
        })
    }
}

impl Line<'_> {
    fn now(&self) -> DateTime<Utc> {
        self.desk.clock.now()
    }
}

//! Linear: bugs and requests become issues of one team, with the source attached and, where the plan allows, the
//! customer and their need.
//!
//! - **Out**: `issueCreate` with our own UUID ("already exists" is success: the issue is read and returned), labels added
//!   and removed by id and never replaced, `attachmentCreate` (an upsert by url and issue), `customerUpsert` by our
//!   external id, `customerNeedCreate` with our own UUID.
//! - **Back**: stream `issues` walks windows of `updatedAt`, because pages of a moving list skip rows; webhooks bring the
//!   same sooner. What people set in between is read from the issue's history.
//! - **Limits**: 2,500 requests an hour for a key; a query may cost 10,000 points; pages of 250 (Linear "rate limiting",
//!   read 2026-11-23). "Too many" is HTTP 400 (`client`).
//! - **Customers** are a matter of the plan. `attach` asks; where they are not to be had, [`Connector::collections`]
//!   leaves `customer` and `need` out. If that shows only at a write, the write is owed and the next attach decides.
//!
//! The queries are checked against the schema when this is compiled (`schema.graphql`, `operations.graphql`).

mod attach;
mod client;
mod customers;
mod draft;
mod lookup;
mod needs;
mod operations;
mod prune;
mod settings;
mod setup;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod types;
mod webhook;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use self::attach::{Binding, Found};
use self::client::Client;
use self::settings::{AuthSetting, Settings};
use self::types::{ATTACHMENT, CUSTOMER, ISSUE, NEED};
use crate::http::{Auth, Http};
use crate::kind::{Need, SecretSpec, Secrets, SettingsError};
use crate::memo::Memo;
use crate::oauth::{self, Session};
use crate::quota::{Limit, Quota};
use crate::{
    Clock, CollectionSpec, Connector, Fault, FieldKind, FieldSpec, Fields, Identity, Outside, Setup, Shape, Sink,
    Source, Webhook,
};

pub const SECRETS: &[SecretSpec] = &[
    SecretSpec {
        name: "token",
        about: "a personal API key (Settings > Security & access) or an OAuth access token with read, write and, for customers, \
                customer:read and customer:write",
        need: Need::Sometimes,
    },
    SecretSpec {
        name: "client_secret",
        about: "the secret of the OAuth application (Settings > API) whose `client_id` is set",
        need: Need::Sometimes,
    },
    SecretSpec {
        name: "webhook_secret",
        about: "the signing secret that Linear shows when the webhook is made (Settings > API)",
        need: Need::Webhook,
    },
];

pub struct Linear {
    settings: Settings,
    client: Client,
    clock: Arc<dyn Clock>,
    /// Where a person signs in, or the application for itself, instead of handing over a token.
    session: Option<Arc<Session>>,
    webhook_secret: Option<SecretString>,
    binding: RwLock<Arc<Binding>>,
    /// The server does not know an issue's history.
    no_history: AtomicBool,
    /// An attach that was interrupted.
    attaching: Memo<Found>,
    /// Answers of the first of two calls, until the quota allows the second: issues known to exist, attachments' titles, the
    /// customers that people made.
    halfway: Mutex<BTreeMap<String, String>>,
}

/// # Errors
/// A setting that is missing, unknown or of another type, or no token.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<Linear, SettingsError> {
    let settings = Settings::parse(settings)?;
    let Way { auth, other, session } = way(&settings, secrets, outside)?;
    // 2,500 an hour for a key, 5,000 for a user of an OAuth application, less what others with the same may take.
    let an_hour = if session.is_some() { 4_800 } else { 2_400 };
    let limit = settings
        .quota
        .map_or_else(|| Limit::even(an_hour, Duration::from_secs(3_600)).with_burst(100), crate::settings::Rate::limit);
    let quota = Arc::new(Quota::new(limit, outside.clock.clone()));
    let http = Http::new(&settings.base_url, auth, quota, outside.transport.clone());
    Ok(Linear {
        client: Client::new(http.clone(), other.map(|auth| http.with_auth(auth)), outside.clock.clone()),
        clock: outside.clock.clone(),
        session,
        webhook_secret: crate::settings::secret(secrets, "webhook_secret"),
        binding: RwLock::default(),
        no_history: AtomicBool::new(false),
        attaching: Memo::default(),
        halfway: Mutex::default(),
        settings,
    })
}

/// How calls are authorised.
struct Way {
    auth: Auth,
    /// The token in its other form, where its beginning does not tell which is right.
    other: Option<Auth>,
    session: Option<Arc<Session>>,
}

fn way(settings: &Settings, secrets: &Secrets, outside: &Outside) -> Result<Way, SettingsError> {
    let as_app = settings.auth == AuthSetting::ClientCredentials;
    let token = match (crate::settings::secret(secrets, "token"), &settings.client_id) {
        (Some(_), Some(_)) => {
            return Err(SettingsError::key("client_id", "token and client_id are two ways in: keep one of them"));
        }
        (Some(token), None) if !as_app => token,
        (None, Some(id)) => {
            if as_app && crate::settings::secret(secrets, "client_secret").is_none() {
                return Err(SettingsError::key("client_secret", "client credentials are an id and a secret"));
            }
            let how = if as_app { oauth::Way::ClientCredentials } else { oauth::Way::Code };
            let session = Session::new(settings.server(id, secrets)?, how, outside)
                .map_err(|why| SettingsError::key("token_url", why))?;
            let session = Arc::new(session);
            return Ok(Way { auth: Auth::Fresh(session.clone()), other: None, session: Some(session) });
        }
        (_, None) => {
            let why = "Linear needs an API key, an OAuth token, or a client_id to sign in with (`loopd auth`)";
            return Err(SettingsError::key(if as_app { "client_id" } else { "token" }, why));
        }
    };
    let begins = |sign: &str| token.expose_secret().trim().starts_with(sign);
    let is_key = match settings.auth {
        AuthSetting::Auto => !begins("lin_oauth_"),
        AuthSetting::Key => true,
        AuthSetting::Bearer | AuthSetting::ClientCredentials => false,
    };
    let unclear = settings.auth == AuthSetting::Auto && is_key && !begins("lin_api_");
    let other = unclear.then(|| Auth::Bearer(token.clone()));
    let auth = if is_key { Auth::Raw(token) } else { Auth::Bearer(token) };
    Ok(Way { auth, other, session: None })
}

impl Linear {
    fn binding(&self) -> Arc<Binding> {
        self.binding.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn bind(&self, binding: Binding) {
        *self.binding.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(binding);
    }

    /// Whether to ask for history. Where the server does not say who we are, our own entries would read as people's.
    /// From now on asks without history; said once in a process.
    fn forgo_history(&self, why: &str) {
        if !self.no_history.swap(true, Ordering::Relaxed) {
            tracing::info!(%why, "Linear gives no history here: what was overwritten between two looks is not seen");
        }
    }

    fn has_history(&self) -> bool {
        !self.no_history.load(Ordering::Relaxed) && !self.binding().me.is_empty()
    }

    /// The binding, once there is one.
    fn bound(&self) -> Result<Arc<Binding>, Fault> {
        let binding = self.binding();
        if binding.team_id.is_empty() {
            Err(Fault::later(format!("team {} is not bound yet", self.settings.team)))
        } else {
            Ok(binding)
        }
    }

    /// Changes what was found without asking Linear: a label that went, a plan that has no customers.
    fn correct(&self, change: impl FnOnce(&mut Binding)) {
        let mut binding = self.binding.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut binding));
    }

    fn team_gone(&self) -> Fault {
        Fault::locked(format!("team {} is gone, or the token may not see it", self.settings.team))
    }
}

fn fields(specs: &[(&'static str, FieldKind, bool)]) -> Fields {
    Fields::Fixed(
        specs.iter().map(|(name, kind, writable)| FieldSpec { name, kind: *kind, writable: *writable }).collect(),
    )
}

#[async_trait]
impl Connector for Linear {
    fn collections(&self) -> Vec<CollectionSpec> {
        use FieldKind::{Link, LongText, MultiSelect, Number, Tags, Text, Url};
        let spec = |name: &str, specs: &[(&'static str, FieldKind, bool)]| CollectionSpec {
            name: name.into(),
            fields: fields(specs),
            writable: true,
            creatable: true,
        };
        let mut collections = vec![
            spec(
                ISSUE,
                &[
                    ("title", Text, true),
                    ("description", LongText, true),
                    // 1 urgent, 2 high, 3 medium, 4 low; none is absent.
                    ("priority", Number, true),
                    ("labels", Tags, true),
                    // triage, backlog, unstarted, started, completed, canceled, duplicate.
                    ("state", Text, false),
                    ("state_name", Text, false),
                    ("identifier", Text, false),
                    ("url", Url, false),
                ],
            ),
            spec(
                ATTACHMENT,
                &[("issue", Link, true), ("title", Text, true), ("subtitle", Text, true), ("url", Url, true)],
            ),
        ];
        if self.binding().customers != Some(false) {
            collections.push(spec(
                CUSTOMER,
                &[
                    ("name", Text, true),
                    ("domains", MultiSelect, true),
                    ("revenue", Number, true),
                    ("tier", Text, true),
                    ("externalId", Text, false),
                ],
            ));
            collections.push(spec(
                NEED,
                &[
                    ("issue", Link, true),
                    ("customer", Link, true),
                    ("body", LongText, true),
                    ("priority", Number, true),
                ],
            ));
        }
        collections
    }

    fn quota(&self) -> Option<&Quota> {
        Some(self.client.quota())
    }

    async fn probe(&self) -> Result<Identity, Fault> {
        self.identity().await
    }

    async fn attach(&self, shape: &Shape, _callback: Option<&str>, known: Option<&Value>) -> Result<Value, Fault> {
        self.find_all(shape, known).await
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
    fn sink(&self) -> Option<&dyn Sink> {
        Some(self)
    }
    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }
    fn setup(&self) -> Option<&dyn Setup> {
        Some(self)
    }
    fn sign_in(&self) -> Option<&Session> {
        self.session.as_deref()
    }
}

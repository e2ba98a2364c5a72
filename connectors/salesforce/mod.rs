//! Salesforce: accounts are read as customers, what loopd knows of them is written beside them, and what was said and
//! addressed is kept in records that hang on the account.
//!
//! - **Down**: `Account` and `Opportunity` by `SystemModstamp` and id; deletions with them. An opportunity is a record for
//!   each of its fields in which customers speak.
//! - **Up**: accounts are only ever changed; records of the objects in `objects` are upserted by their external id, 200 a
//!   call with a verdict for each row, so a repeat after an unknown outcome makes no second record.
//! - **Sign-in**: a signed assertion, client credentials, or a person in the browser; the API's host is the one that the
//!   sign-in names.
//! - **Limits**: calls of a rolling day, told by every answer and left to others in part (`client`).
//! - **Sight**: a field that no permission set shows to this user is not there, for the API. `setup` makes fields and
//!   shows them; `attach` tells of those that are hidden.

mod client;
mod metadata;
mod org;
mod settings;
mod setup;
mod sink;
mod soql;
mod source;
#[cfg(test)]
mod tests;
mod types;
mod values;
mod verdict;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use self::client::{Client, Failure, Verb};
use self::org::{Described, Org, Table};
use self::settings::{Settings, SignIn};
use self::types::{ACCOUNT, OPPORTUNITY, text};
use crate::http::{Auth, Call, Http};
use crate::kind::{Need, SecretSpec, Secrets, SettingsError};
use crate::oauth::{Assertion, Server, Session, Way};
use crate::quota::{Limit, Quota};
use crate::unfinished::Unfinished;
use crate::{Clock, CollectionSpec, Connector, Fault, Fields, Identity, Outside, Setup, Shape, Sink, Source};

pub const SECRETS: &[SecretSpec] = &[
    SecretSpec {
        name: "private_key",
        about: "the private key (PEM) whose certificate the external client app holds, for signing in as `username`",
        need: Need::Sometimes,
    },
    SecretSpec {
        name: "client_secret",
        about: "the consumer secret of the external client app, for client credentials or, with `sign_in = \"web\"`, for the browser",
        need: Need::Sometimes,
    },
    SecretSpec {
        name: "token",
        about: "an access token, to try things out (`sf org display`); it ends with its session, and `base_url` must be the org's own",
        need: Need::Sometimes,
    },
];

pub struct Salesforce {
    settings: Settings,
    client: Client,
    clock: Arc<dyn Clock>,
    org: RwLock<Arc<Org>>,
    /// Fields that calls found to be gone or closed although they were bound, and why; emptied when all is described anew.
    suspects: Mutex<BTreeMap<(String, String), String>>,
    /// What was bound is not so any more: `attach` looks again.
    stale: AtomicBool,
    /// What ops would want to know, as of the last attach.
    unmet: Mutex<Vec<String>>,
    /// What work of several calls was told before the quota stopped it.
    told: Unfinished<Told>,
    looking: Unfinished<(usize, BTreeMap<String, Value>)>,
}

/// # Errors
/// A setting that is missing, unknown or of another type, or no way to sign in.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<Salesforce, SettingsError> {
    let settings = Settings::parse(settings)?;
    let (auth, session) = way(&settings, secrets, outside)?;
    // No pace is published, only a day's calls; this is what a busy integration keeps to.
    let limit = settings
        .quota
        .map_or_else(|| Limit::even(600, Duration::from_secs(60)).with_burst(20), crate::settings::Rate::limit);
    let quota = Arc::new(Quota::new(limit, outside.clock.clone()));
    // Our writes carry this name in the org's own logs and change events.
    let told = HeaderValue::from_static(concat!("client=loopd/", env!("CARGO_PKG_VERSION")));
    let http = Http::new(&settings.base_url, auth, quota, outside.transport.clone())
        .with_header(HeaderName::from_static("sforce-call-options"), told);
    Ok(Salesforce {
        client: Client::new(http, session, &settings.api_version, settings.leave_percent),
        clock: outside.clock.clone(),
        org: RwLock::default(),
        suspects: Mutex::default(),
        stale: AtomicBool::new(false),
        unmet: Mutex::default(),
        told: Unfinished::default(),
        looking: Unfinished::default(),
        settings,
    })
}

/// How calls are authorised.
fn way(
    settings: &Settings,
    secrets: &Secrets,
    outside: &Outside,
) -> Result<(Auth, Option<Arc<Session>>), SettingsError> {
    let secret = |name| crate::settings::secret(secrets, name);
    let (key, password, token) = (secret("private_key"), secret("client_secret"), secret("token"));
    let given = [("private_key", key.is_some()), ("client_secret", password.is_some()), ("token", token.is_some())];
    let how = match (settings.sign_in, given.iter().filter(|(_, there)| *there).count()) {
        (Some(how), _) => how,
        (None, 2..) => {
            let names: Vec<&str> = given.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
            let why = format!("{} are several ways in: keep one, or say which with sign_in", names.join(" and "));
            return Err(SettingsError::key("sign_in", why));
        }
        (None, _) if key.is_some() => SignIn::Jwt,
        (None, _) if password.is_some() => SignIn::ClientCredentials,
        (None, _) if token.is_some() => SignIn::Token,
        (None, _) => SignIn::Web,
    };
    if how == SignIn::Token {
        let token = token.ok_or_else(|| SettingsError::key("token", "sign_in = \"token\" needs a token"))?;
        return Ok((Auth::Bearer(token), None));
    }
    let client_id = settings.client_id.clone().ok_or_else(|| {
        let why = "Salesforce needs the client_id (consumer key) of an external client app: docs/vendors/salesforce.md";
        SettingsError::key("client_id", why)
    })?;
    let at = |what: &str| format!("{}/services/oauth2/{what}", settings.base_url);
    let mut server = Server {
        authorize_url: at("authorize"),
        revoke_url: Some(at("revoke")),
        client_secret: password,
        ..Server::new("Salesforce", at("token"), client_id.clone())
    };
    let way = match how {
        SignIn::Jwt => {
            let user = settings.username.clone().ok_or_else(|| {
                SettingsError::key("username", "signing in by a key needs the user name of the user to act as")
            })?;
            let key =
                key.ok_or_else(|| SettingsError::key("private_key", "signing in as a user needs the private key"))?;
            server.client_secret = None;
            let assertion = Assertion::new(&key, client_id, settings.audience())
                .map_err(|why| SettingsError::key("private_key", why))?;
            Way::Assertion(assertion.subject(user))
        }
        SignIn::ClientCredentials => {
            if server.client_secret.is_none() {
                return Err(SettingsError::key("client_secret", "client credentials are an id and a secret"));
            }
            let host = settings.base_url.split("://").last().unwrap_or_default();
            if host.starts_with("login.salesforce.") || host.starts_with("test.salesforce.") {
                let why = "client credentials are taken only at the org's My Domain, https://NAME.my.salesforce.com";
                return Err(SettingsError::key("base_url", why));
            }
            Way::ClientCredentials
        }
        SignIn::Web | SignIn::Token => {
            server.scopes.clone_from(&settings.scopes);
            Way::Code
        }
    };
    let session = Session::new(server, way, outside).map_err(|why| SettingsError::key("base_url", why))?;
    let session = Arc::new(session);
    Ok((Auth::Fresh(session.clone()), Some(session)))
}

impl Salesforce {
    fn org(&self) -> Arc<Org> {
        self.org.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn bind(&self, org: Org) {
        *self.org.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(org);
    }

    /// The object of a collection, for writing.
    fn table(&self, collection: &str) -> Result<Table, Fault> {
        let mut table = match self.org().objects.get(collection) {
            Some(table) if table.gone => {
                return Err(Fault::locked(format!(
                    "there is no object {collection} that this user sees: run `loopd setup`, or give the user its permission set"
                )));
            }
            Some(table) => table.clone(),
            None => return Err(Fault::later(format!("{collection} is not bound yet"))),
        };
        for ((of, field), why) in self.suspects.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if of == collection && table.fields.remove(field).is_some() {
                table.missing.insert(field.clone(), why.clone());
            }
        }
        Ok(table)
    }

    /// A call, unless this work has made it before the quota stopped it; `null` where there is no such thing, or none for us.
    async fn ask(&self, told: &mut Told, call: Call, verb: Verb) -> Result<Value, Failure> {
        let name = format!("{} {} {:?} {:?}", call.method, call.target, call.query, call.body);
        if let Some(known) = told.get(&name) {
            return Ok(known.clone());
        }
        let answer = match self.client.send(call, verb).await {
            Err(failure) if verb == Verb::Read && failure.is_absence() => Value::Null,
            answer => answer?,
        };
        told.insert(name, answer.clone());
        Ok(answer)
    }

    /// Work of several calls begins, or goes on where the quota stopped it.
    fn begin(&self, work: &str) -> Told {
        self.told.take(&*self.clock, work).unwrap_or_default()
    }

    /// It ended, or was put off: only then is what was told so far kept, for what failed may have changed what was told.
    fn end<T>(&self, work: &str, told: Told, done: Result<T, Fault>) -> Result<T, Fault> {
        if matches!(done, Err(Fault::Later { .. })) {
            self.told.put(&*self.clock, work, told);
        }
        done
    }

    async fn rows(&self, told: &mut Told, below: &str, soql: &str) -> Result<Vec<Value>, Failure> {
        let answer = self.ask(told, Call::get(self.client.path(below)).query("q", soql), Verb::Read).await?;
        Ok(types::array(&answer, "records").to_vec())
    }

    /// Objects as they are now; `None`: there is none, or none for this user.
    async fn describe(&self, told: &mut Told, names: &[String]) -> Result<BTreeMap<String, Option<Described>>, Fault> {
        let mut found = BTreeMap::new();
        for name in names {
            let path = self.client.path(&format!("sobjects/{name}/describe"));
            let answer = self.ask(told, Call::get(path), Verb::Read).await?;
            found.insert(name.clone(), (!answer.is_null()).then(|| Described::read(&answer)));
        }
        Ok(found)
    }

    /// Who signed in (`userinfo`); `null` where the session may not say.
    async fn whoami(&self, told: &mut Told) -> Result<Value, Fault> {
        match self.ask(told, Call::get("/services/oauth2/userinfo"), Verb::Read).await {
            Ok(who) => Ok(who),
            Err(failure) if failure.status == 403 && failure.code != "REQUEST_LIMIT_EXCEEDED" => Ok(Value::Null),
            Err(failure) => Err(failure.fault),
        }
    }

    async fn identity(&self, told: &mut Told) -> Result<Identity, Fault> {
        let who = self.whoami(told).await?;
        let soql = "SELECT Id, Name, IsSandbox, OrganizationType FROM Organization LIMIT 1";
        let org = self.rows(told, "query", soql).await?.first().cloned().unwrap_or_default();
        let name = text(&org, "Name").unwrap_or_else(|| "the org".into());
        let kind = text(&org, "OrganizationType").unwrap_or_default();
        let sandbox = if org.get("IsSandbox").and_then(Value::as_bool) == Some(true) { ", a sandbox" } else { "" };
        let user = text(&who, "preferred_username").or_else(|| text(&who, "email"));
        let mut notes = Vec::new();
        if who.is_null() {
            notes.push("who signed in cannot be told: the scope `id` is missing".into());
        }
        let scopes = match self.client.session() {
            Some(session) => session.grant().await?.scopes,
            None => Vec::new(),
        };
        if !scopes.is_empty() && !scopes.iter().any(|scope| matches!(scope.as_str(), "api" | "full")) {
            notes.push("the scope `api` is missing: nothing can be read or written".into());
        }
        if let Some((used, allowed)) = self.client.usage() {
            notes.push(format!("{used} of {allowed} API calls of the last 24 hours are used"));
        }
        let bound = self.org();
        if bound.objects.is_empty() {
            let found = self.describe(told, &org::wanted(&Shape::default(), &self.settings)).await?;
            let gone = found.iter().filter(|(_, there)| there.is_none());
            notes.extend(gone.map(|(name, _)| format!("there is no object {name} that this user sees")));
            notes.extend(org::unmet(&self.settings, &found));
        }
        notes.extend(bound.notes());
        let name = match user {
            Some(user) => format!("{name} ({kind}{sandbox}) as {user}"),
            None => format!("{name} ({kind}{sandbox})"),
        };
        let account = text(&org, "Id").or_else(|| text(&who, "organization_id")).unwrap_or_default();
        Ok(Identity { account, name, scopes, notes })
    }
}

/// Answers by the calls that brought them.
type Told = BTreeMap<String, Value>;

#[async_trait]
impl Connector for Salesforce {
    fn collections(&self) -> Vec<CollectionSpec> {
        let spec = |name: &str, writable, creatable| CollectionSpec {
            name: name.into(),
            fields: Fields::Open,
            writable,
            creatable,
        };
        let mut specs = vec![spec(ACCOUNT, true, false), spec(OPPORTUNITY, false, false)];
        specs.extend(self.settings.objects.iter().map(|name| spec(name, true, true)));
        specs
    }

    fn quota(&self) -> Option<&Quota> {
        Some(self.client.quota())
    }

    async fn probe(&self) -> Result<Identity, Fault> {
        let mut told = self.begin("probe");
        let done = self.identity(&mut told).await;
        self.end("probe", told, done)
    }

    async fn attach(&self, shape: &Shape, _callback: Option<&str>, known: Option<&Value>) -> Result<Value, Fault> {
        if let Some(known) =
            known.and_then(|known| Org::deserialize(known).ok()).filter(|_| self.org().objects.is_empty())
        {
            // What was bound before the restart serves until Salesforce has answered.
            self.bind(known);
        }
        let names = org::wanted(shape, &self.settings);
        let mut told = self.begin("attach");
        let found = self.describe(&mut told, &names).await;
        let found = self.end("attach", told, found)?;
        let org = org::bind(shape, &self.settings, &found);
        *self.unmet.lock().unwrap_or_else(PoisonError::into_inner) = org::unmet(&self.settings, &found);
        let before = self.org();
        let field = |org: &Org, of: &String, name: &String| {
            org.objects.get(of).and_then(|table| table.fields.get(name)).cloned()
        };
        // What `describe` offers and a write refused stays closed for as long as it is described the same.
        self.suspects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(of, name), why| why == sink::CLOSED && field(&before, of, name) == field(&org, of, name));
        self.stale.store(false, Ordering::Relaxed);
        let stored = serde_json::to_value(&org)
            .map_err(|error| Fault::rejected(format!("the binding cannot be stored: {error}")))?;
        self.bind(org);
        Ok(stored)
    }

    fn hindrance(&self) -> Option<String> {
        let mut told = self.unmet.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let org = self.org();
        for (name, table) in &org.objects {
            if table.gone && name != OPPORTUNITY {
                told.push(format!("there is no object {name} that this user sees: `loopd setup` makes it"));
            } else if !table.missing.is_empty() {
                let fields: Vec<&str> = table.missing.keys().map(String::as_str).collect();
                told.push(format!(
                    "{name}: this user sees no {}: `loopd setup` makes and shows them",
                    fields.join(", ")
                ));
            }
        }
        if let Some((used, allowed)) = self.client.usage().filter(|_| self.client.is_nearly_used_up()) {
            told.push(format!(
                "{used} of {allowed} API calls of the last 24 hours are used: loopd waits, so that others can call"
            ));
        }
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn wants_attach(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
    fn sink(&self) -> Option<&dyn Sink> {
        Some(self)
    }
    fn setup(&self) -> Option<&dyn Setup> {
        Some(self)
    }
    fn sign_in(&self) -> Option<&Session> {
        self.client.session()
    }
}

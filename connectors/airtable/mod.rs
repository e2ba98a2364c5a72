//! Airtable: tables that people work in, written by loopd and read back.
//!
//! - **Out**: creates are upserts on the external-id field, ten a call (`PATCH /{base}/{table}` with `performUpsert`),
//!   so a repeat after an unknown outcome makes no second row; updates go by record id, ten a call.
//! - **Back**: stream `payloads` follows the base's webhook payloads (also without a public URL), each changed record is
//!   read once; stream `modified` asks what changed since, as repair; deletions come with the payloads and the id sweep.
//! - **Names**: `attach` binds tables and fields by id, so renaming them breaks nothing (`binding`).
//! - **Limits**: 5 calls a second and base, 30 s penalty (`client`); 10 records a write, 100 a page; texts of 100,000
//!   characters (`cells`). No idempotency key, no client-chosen id, no modified time in a record.
//!
//! Rows that carry the same external id (people duplicate rows, and two programs may race): the oldest is ours; the
//! others are left alone, because deleting a person's copy cannot be undone.

mod binding;
mod cells;
mod client;
mod hook;
mod payloads;
mod settings;
mod setup;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod types;
mod verdict;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::binding::{Binding, Table};
use self::client::{Client, Verb};
use self::settings::Settings;
use self::types::{Listed, SchemaTable};
use crate::http::{Auth, Call, Http};
use crate::kind::{Need, SecretSpec, Secrets, SettingsError};
use crate::memo::Memo;
use crate::oauth::{Session, Way};
use crate::quota::{Limit, Quota};
use crate::{
    Clock, CollectionSpec, Connector, Fault, Fields, Identity, Key, Outside, Record, Setup, Shape, Sink, Source,
    Webhook,
};

pub const SECRETS: &[SecretSpec] = &[
    SecretSpec {
        name: "token",
        about: "a personal access token (airtable.com/create/tokens) with data.records:read, data.records:write, schema.bases:read, \
            webhook:manage, for `setup` also schema.bases:write, and access to the base",
        need: Need::Sometimes,
    },
    SecretSpec {
        name: "client_secret",
        about: "the secret of the OAuth integration (airtable.com/create/oauth) whose `client_id` is set, if it was given one",
        need: Need::Sometimes,
    },
];

pub struct Airtable {
    settings: Settings,
    client: Client,
    clock: Arc<dyn Clock>,
    /// Where a person signs in instead of handing over a token.
    session: Option<Arc<Session>>,
    binding: RwLock<Arc<Binding>>,
    /// Fields that the last writes found to be unknown although they were bound; emptied when the schema is read.
    suspects: Mutex<BTreeSet<(String, String)>>,
    /// The webhook does not answer any more: `attach` makes another.
    hook_broken: AtomicBool,
    echo: Mutex<payloads::Echo>,
    /// Why the base got no webhook, where a person can mend it.
    hindrance: Mutex<Option<String>>,
    /// Airtable refuses our public URL: payloads are polled only.
    callback_refused: AtomicBool,
    /// A write by field ids was refused: fields are called by their names.
    names_only: AtomicBool,
    attaching: Memo<Option<Vec<SchemaTable>>>,
    listed: Memo<Option<Vec<Listed>>>,
    planned: Memo<Vec<SchemaTable>>,
    whoami: Memo<Option<Value>>,
    progress: Mutex<BTreeMap<(bool, String), sink::Progress>>,
}

/// # Errors
/// A setting that is missing, unknown or of another type, or no token.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<Airtable, SettingsError> {
    let settings = Settings::parse(settings)?;
    let token = crate::settings::secret(secrets, "token");
    let (auth, session) = match (token, &settings.client_id) {
        (Some(token), None) => (Auth::Bearer(token), None),
        (None, Some(id)) => {
            let session = Session::new(settings.server(id, secrets)?, Way::Code, outside)
                .map_err(|why| SettingsError::key("token_url", why))?;
            let session = Arc::new(session);
            (Auth::Fresh(session.clone()), Some(session))
        }
        (Some(_), Some(_)) => {
            let why = "token and client_id are two ways in: keep one of them";
            return Err(SettingsError::key("client_id", why));
        }
        (None, None) => {
            let why = "Airtable needs a personal access token, or a client_id to sign in with (`loopd auth`)";
            return Err(SettingsError::key("token", why));
        }
    };
    // Airtable "rate limits", read 2026-11-23.
    let limit = settings.quota.map_or_else(|| Limit::even(5, Duration::from_secs(1)), crate::settings::Rate::limit);
    let quota = Arc::new(Quota::new(limit, outside.clock.clone()));
    let http = Http::new(&settings.base_url, auth, quota, outside.transport.clone());
    Ok(Airtable {
        client: Client::new(http, settings.base.clone()),
        clock: outside.clock.clone(),
        session,
        binding: RwLock::default(),
        suspects: Mutex::default(),
        hook_broken: AtomicBool::new(false),
        echo: Mutex::default(),
        hindrance: Mutex::default(),
        callback_refused: AtomicBool::new(false),
        names_only: AtomicBool::new(false),
        attaching: Memo::default(),
        listed: Memo::default(),
        planned: Memo::default(),
        whoami: Memo::default(),
        progress: Mutex::default(),
        settings,
    })
}

impl Airtable {
    fn binding(&self) -> Arc<Binding> {
        self.binding.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn bind(&self, binding: Binding) {
        *self.binding.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(binding);
    }

    /// The table of a collection.
    fn table(&self, collection: &str) -> Result<Table, Fault> {
        let mut table = match self.binding().tables.get(collection) {
            Some(table) if table.gone => {
                return Err(Fault::locked(format!(
                    "there is no table {collection} in base {}: make it or run `loopd setup`",
                    self.settings.base
                )));
            }
            Some(table) => table.clone(),
            None => return Err(Fault::later(format!("table {collection} is not bound yet"))),
        };
        for (of, field) in self.suspects.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if of == collection && table.fields.remove(field).is_some() {
                table.missing.insert(field.clone(), format!("Airtable knows no field {field} in this table"));
            }
        }
        Ok(table)
    }

    fn record(&self, collection: &str, table: &Table, id: &str, cells: &Map<String, Value>) -> Record {
        Record {
            key: Key::new(collection, id),
            // A record does not say when it was modified.
            version: None,
            body: Some(Value::Object(table.body(cells))),
            url: self.url(table, id),
            edits: Vec::new(),
        }
    }

    fn url(&self, table: &Table, id: &str) -> Option<String> {
        let table = table.id.as_deref()?;
        Some(format!("https://airtable.com/{}/{table}/{id}", self.settings.base))
    }

    /// The base's schema; `None` where the token may not read it or the server has none.
    async fn schema(&self) -> Result<Option<Vec<SchemaTable>>, Fault> {
        match self.client.send(Call::get(self.client.meta_path()), Verb::Read).await {
            Ok(answer) if answer.get("tables").is_some_and(Value::is_array) => Ok(Some(SchemaTable::list(&answer))),
            Ok(_) => Ok(None),
            Err(failure) if is_lacking(failure.status) => Ok(None),
            Err(failure) => Err(failure.fault),
        }
    }

    /// Like [`Airtable::schema`], kept for the rest of an interrupted attach.
    async fn schema_once(&self) -> Result<Option<Vec<SchemaTable>>, Fault> {
        if let Some(schema) = self.attaching.get(&*self.clock) {
            return Ok(schema);
        }
        let schema = self.schema().await?;
        self.attaching.put(&*self.clock, schema.clone());
        Ok(schema)
    }

    async fn whoami(&self) -> Result<Option<Value>, Fault> {
        if let Some(known) = self.whoami.get(&*self.clock) {
            return Ok(known);
        }
        let answer = match self.client.send(Call::get("/meta/whoami"), Verb::Read).await {
            Ok(answer) => Some(answer),
            Err(failure) if is_lacking(failure.status) => None,
            Err(failure) => return Err(failure.fault),
        };
        self.whoami.put(&*self.clock, answer.clone());
        Ok(answer)
    }
}

/// The endpoint is not there, or not for us.
fn is_lacking(status: u16) -> bool {
    matches!(status, 403 | 404 | 405 | 410 | 501)
}

#[async_trait]
impl Connector for Airtable {
    fn collections(&self) -> Vec<CollectionSpec> {
        let binding = self.binding();
        let names: BTreeSet<_> = self.settings.tables.iter().chain(binding.tables.keys()).collect();
        let spec = |name: &String| CollectionSpec {
            name: name.clone(),
            fields: Fields::Open,
            writable: true,
            creatable: true,
        };
        names.into_iter().map(spec).collect()
    }

    fn quota(&self) -> Option<&Quota> {
        Some(self.client.quota())
    }

    async fn probe(&self) -> Result<Identity, Fault> {
        let who = self.whoami().await?;
        let mut notes = Vec::new();
        let schema = self.schema().await?;
        self.whoami.forget();
        match schema {
            Some(schema) => notes.push(format!("{} tables can be seen", schema.len())),
            None => notes.push(
                "the base's schema cannot be read (scope schema.bases:read, or the base is not shared with the token)"
                    .into(),
            ),
        }
        let text = |key| who.as_ref().and_then(|who| types::text(who, key));
        let scopes = who
            .as_ref()
            .map(|who| types::array(who, "scopes").iter().filter_map(Value::as_str).map(String::from).collect());
        let name = match text("email").or_else(|| text("id")) {
            Some(user) => format!("base {} as {user}", self.settings.base),
            None => format!("base {}", self.settings.base),
        };
        notes.extend(self.binding().notes.iter().cloned());
        Ok(Identity { account: self.settings.base.clone(), name, scopes: scopes.unwrap_or_default(), notes })
    }

    async fn attach(&self, shape: &Shape, callback: Option<&str>, known: Option<&Value>) -> Result<Value, Fault> {
        let known = known.and_then(|known| Binding::deserialize(known).ok());
        if let Some(known) = known.clone().filter(|_| self.binding().tables.is_empty()) {
            // What was bound before the restart serves until the vendor has answered.
            self.bind(known);
        }
        let schema = self.schema_once().await?;
        let mut binding = binding::bind(shape, &self.settings.tables, schema.as_deref(), known.as_ref());
        binding.hook = match &schema {
            Some(_) => {
                self.keep_hook(callback, known.as_ref().and_then(|known| known.hook.clone()), &mut binding.notes)
                    .await?
            }
            // Payloads name tables and fields by ids that we cannot know.
            None => None,
        };
        let suspects = std::mem::take(&mut *self.suspects.lock().unwrap_or_else(PoisonError::into_inner));
        if schema.is_none() {
            // No schema can say that these fields are gone, but the writes did. The next attach tries them again.
            for (collection, field) in suspects {
                if let Some(table) = binding.tables.get_mut(&collection) {
                    table.fields.remove(&field);
                    table.missing.insert(field.clone(), format!("Airtable knows no field {field} in this table"));
                }
            }
        }
        // The next attach looks again.
        self.attaching.forget();
        self.listed.forget();
        let stored = serde_json::to_value(&binding)
            .map_err(|error| Fault::rejected(format!("the binding cannot be stored: {error}")))?;
        self.bind(binding);
        Ok(stored)
    }

    fn rebound(&self, before: &Value, now: &Value) -> Vec<(String, String)> {
        match (Binding::deserialize(before), Binding::deserialize(now)) {
            (Ok(before), Ok(now)) => binding::rebound(&before, &now),
            _ => Vec::new(),
        }
    }

    fn wants_attach(&self) -> bool {
        self.hook_broken.load(std::sync::atomic::Ordering::Relaxed) && self.binding().hook.is_some()
    }

    fn hindrance(&self) -> Option<String> {
        self.hindrance.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

//! Notion: databases that people work in, written by loopd and read back.
//!
//! - **Rows are pages of a data source** (Notion 2025-09-03 and later): a database is found by its title under the configured
//!   page, or by id, and from then on known by id (`lookup`, `binding`).
//! - **Out**: one page a call. Notion has no idempotency key: a create whose outcome is not known is looked for by its
//!   external id, or by the id that the error names, and never sent again before that (`sink`, `verdict`).
//! - **Back**: stream `modified` asks what was edited since; a webhook names pages, which are fetched (`source`, `webhook`).
//! - **Limits**: 180 calls a minute (`client`); pieces of 2,000 characters, 100 of anything (`values`); a page shows 25 related
//!   pages, the rest is read by page (`page`); a query shows 10,000 rows (`source`).
//!
//! Pages that carry the same external id (people duplicate pages, and two programs may race): the oldest is ours; the others
//! are left alone, because deleting a person's copy cannot be undone.

mod binding;
mod client;
mod lookup;
mod page;
mod query;
mod settings;
mod setup;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod types;
mod values;
mod verdict;
mod views;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use async_trait::async_trait;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use self::binding::{Binding, Table};
use self::client::Client;
use self::lookup::Lookup;
use self::settings::Settings;
use self::types::{array, plain, text};
use crate::http::{Auth, Call, Http};
use crate::kind::{Need, SecretSpec, Secrets, SettingsError};
use crate::quota::{Limit, Quota};
use crate::unfinished::Unfinished;
use crate::{Clock, CollectionSpec, Connector, Fault, Fields, Identity, Outside, Setup, Shape, Sink, Source, Webhook};

pub const SECRETS: &[SecretSpec] = &[
    SecretSpec {
        name: "token",
        about: "the internal integration secret (notion.so/profile/integrations > your integration > Configuration), with the \
                capabilities to read, update and insert content; or an OAuth access token",
        need: Need::Always,
    },
    SecretSpec {
        name: "webhook_secret",
        about: "the verification token that Notion sends when a webhook subscription is made; without it loopd takes that one \
                request only, and `loopd status` shows the token",
        need: Need::Sometimes,
    },
];

/// How long a page that we wrote is known as such; queries show what stood before for a while.
const OWN: Duration = Duration::from_secs(600);

pub struct Notion {
    settings: Settings,
    client: Client,
    clock: Arc<dyn Clock>,
    webhook_secret: Option<SecretString>,
    binding: RwLock<Arc<Binding>>,
    lookup: Lookup,
    /// Properties that the last writes found to be gone or of another type although they were bound; emptied when the
    /// schema is read.
    suspects: Mutex<BTreeMap<(String, String), String>>,
    doubts: Mutex<verdict::Doubts>,
    /// When we last wrote a page, and whether that made it.
    wrote: Mutex<BTreeMap<String, (Duration, bool)>>,
    reading: Unfinished<page::Partial>,
    answers: Unfinished<query::Answer>,
    records: Unfinished<BTreeMap<String, crate::Record>>,
    /// A webhook said that a schema changed: attaching is worth it.
    schema_moved: AtomicBool,
    /// A webhook could not say which page changed: the next poll does not wait for its turn.
    look_now: AtomicBool,
    hindrance: Mutex<Option<String>>,
    /// More pages than a query shows were edited in one minute, in this collection.
    crowded: Mutex<Option<String>>,
}

/// # Errors
/// A setting that is missing, unknown or of another type, or no token.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<Notion, SettingsError> {
    let settings = Settings::parse(settings)?;
    let token: SecretString = crate::settings::secret(secrets, "token")
        .ok_or_else(|| SettingsError::key("token", "Notion needs an integration's secret or an access token"))?;
    // Notion "request limits", read 2026-11-23: 180 in any 60 s, which may come at once. A few may; the rest keeps its pace,
    // as the older limit of three a second asks.
    let limit = settings
        .quota
        .map_or_else(|| Limit::even(180, Duration::from_secs(60)).with_burst(3), crate::settings::Rate::limit);
    let quota = Arc::new(Quota::new(limit, outside.clock.clone()));
    let version = HeaderValue::from_str(&settings.version)
        .map_err(|_| SettingsError::key("version", "holds characters that no HTTP header may hold"))?;
    let http = Http::new(&settings.base_url, Auth::Bearer(token), quota, outside.transport.clone())
        .with_header(HeaderName::from_static("notion-version"), version)
        .with_timeout(Duration::from_secs(60));
    Ok(Notion {
        client: Client::new(http),
        clock: outside.clock.clone(),
        webhook_secret: crate::settings::secret(secrets, "webhook_secret"),
        binding: RwLock::default(),
        lookup: Lookup::default(),
        suspects: Mutex::default(),
        doubts: Mutex::default(),
        wrote: Mutex::default(),
        reading: Unfinished::default(),
        answers: Unfinished::default(),
        records: Unfinished::default(),
        schema_moved: AtomicBool::new(false),
        look_now: AtomicBool::new(false),
        hindrance: Mutex::default(),
        crowded: Mutex::default(),
        settings,
    })
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notion {
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
                    "there is no data source {collection}: share it with the connection, or run `loopd setup`"
                )));
            }
            Some(table) => table.clone(),
            None => return Err(Fault::later(format!("data source {collection} is not bound yet"))),
        };
        for ((of, field), why) in held(&self.suspects).iter() {
            if of == collection && table.fields.remove(field).is_some() {
                table.missing.insert(field.clone(), why.clone());
            }
        }
        Ok(table)
    }

    /// Notes that we have just written this page.
    fn note_own(&self, id: &str, made: bool) {
        let now = self.clock.monotonic();
        let mut wrote = held(&self.wrote);
        wrote.retain(|_, (at, _)| now.saturating_sub(*at) < OWN);
        wrote.insert(id.to_owned(), (now, made));
    }

    fn wrote_lately(&self, id: &str) -> bool {
        let now = self.clock.monotonic();
        held(&self.wrote).get(id).is_some_and(|(at, _)| now.saturating_sub(*at) < OWN)
    }

    /// Lately made by us, and not written since. Where a page of ours was only changed, the last editor hides those before.
    fn made_lately(&self, id: &str) -> bool {
        self.wrote_lately(id) && held(&self.wrote).get(id).is_some_and(|(_, made)| *made)
    }

    /// Which pages and data sources are shared with us, for people; the first few by name.
    async fn shared(&self) -> Result<String, Fault> {
        let body = serde_json::json!({ "page_size": 100 });
        let answer = self.lookup.once(&self.client, &*self.clock, "search", Call::post("/v1/search", body)).await?;
        let Some(answer) = answer else { return Ok("what is shared cannot be searched".into()) };
        let found = array(&answer, "results");
        let title = |object: &Value| {
            let title = plain(array(object, "title"));
            let properties = object.get("properties").and_then(Value::as_object);
            let of_page = || {
                let title = properties?.values().find(|property| text(property, "type").as_deref() == Some("title"))?;
                Some(plain(array(title, "title")))
            };
            let is_row =
                object.get("parent").and_then(|parent| text(parent, "type")).as_deref() == Some("data_source_id");
            let is_page = text(object, "object").as_deref() == Some("page");
            if is_page && is_row { None } else { Some(title).filter(|title| !title.is_empty()).or_else(of_page) }
        };
        let names: BTreeSet<String> = found.iter().filter_map(title).filter(|name| !name.is_empty()).collect();
        if found.is_empty() {
            return Ok(
                "nothing is shared with the connection: open the page in Notion, choose ••• > Connections, and add it"
                    .into(),
            );
        }
        let shown: Vec<_> = names.iter().take(10).cloned().collect();
        let more = names.len().saturating_sub(shown.len());
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        Ok(format!("shared with the connection: {}{rest}", shown.join(", ")))
    }
}

#[async_trait]
impl Connector for Notion {
    fn collections(&self) -> Vec<CollectionSpec> {
        let binding = self.binding();
        let names: BTreeSet<_> = self.settings.data_sources.keys().chain(binding.tables.keys()).collect();
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
        let me = self.lookup.get(&self.client, &*self.clock, "/v1/users/me").await?;
        let me = me.ok_or_else(|| Fault::locked("Notion does not say who we are (GET /v1/users/me)"))?;
        let mut notes = Vec::new();
        if let Some(page) = &self.settings.page {
            match self.lookup.get(&self.client, &*self.clock, &format!("/v1/pages/{page}")).await {
                Ok(Some(_)) => {}
                Ok(None) => notes.push(lookup::not_shared(page)),
                Err(Fault::Locked { why } | Fault::Rejected { why, .. }) => notes.push(why),
                Err(fault) => return Err(fault),
            }
        }
        match self.shared().await {
            Ok(shared) => notes.push(shared),
            Err(Fault::Locked { why } | Fault::Rejected { why, .. }) => notes.push(why),
            Err(fault) => return Err(fault),
        }
        self.lookup.forget();
        let bot = me.get("bot").unwrap_or(&Value::Null);
        let user = text(&me, "name").unwrap_or_else(|| "a connection".into());
        let id = text(&me, "id").unwrap_or_default();
        let workspace = text(bot, "workspace_name");
        notes.extend(self.binding().notes.iter().cloned());
        notes.extend(held(&self.crowded).clone());
        Ok(Identity {
            account: text(bot, "workspace_id").or_else(|| workspace.clone()).unwrap_or(id),
            name: match workspace {
                Some(workspace) => format!("workspace {workspace} as {user}"),
                None => user,
            },
            // Capabilities are set in Notion's settings and told by no endpoint; what lacks is told by the calls.
            scopes: Vec::new(),
            notes,
        })
    }

    async fn attach(&self, shape: &Shape, callback: Option<&str>, known: Option<&Value>) -> Result<Value, Fault> {
        let known = known.and_then(|known| Binding::deserialize(known).ok());
        if let Some(known) = known.clone().filter(|_| self.binding().tables.is_empty()) {
            // What was bound before the restart serves until Notion has answered.
            self.bind(known);
        }
        let me = self.lookup.get(&self.client, &*self.clock, "/v1/users/me").await?;
        let names: BTreeSet<&String> = shape
            .collections
            .iter()
            .map(|collection| &collection.name)
            .chain(self.settings.data_sources.keys())
            .collect();
        let mut found = BTreeMap::new();
        for name in names {
            let known = known.as_ref().and_then(|known| known.tables.get(name));
            found.insert(name.clone(), self.find_source(name, known).await?);
        }
        let (tables, notes) = binding::bind(shape, &found, known.as_ref());
        let me = me.as_ref().and_then(|me| text(me, "id")).or_else(|| known.and_then(|known| known.me));
        let binding = Binding { me, tables, notes };
        held(&self.suspects).clear();
        self.schema_moved.store(false, Ordering::Relaxed);
        // The next attach looks again.
        self.lookup.forget();
        *held(&self.hindrance) = match (callback, &self.webhook_secret) {
            (Some(callback), None) => Some(format!(
                "no webhook_secret is configured, so edits are found by the poll: make a subscription to {callback} in the \
                 integration's Webhooks tab, and `loopd status` shows the token that Notion sends"
            )),
            _ => held(&self.crowded).clone(),
        };
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
        self.schema_moved.load(Ordering::Relaxed)
    }

    fn hindrance(&self) -> Option<String> {
        held(&self.hindrance).clone()
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
}

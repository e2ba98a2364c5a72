//! Granola: notes of calls are read, with their transcripts. Nothing is written but our webhook endpoint.
//!
//! | what | call |
//! |---|---|
//! | which notes changed, which exist | `GET /v1/notes` by `updated_after`, 30 a page |
//! | one note | `GET /v1/notes/{id}?include=transcript`; after a 413 without it, and `GET /v1/notes/{id}/transcript`, 100 segments a page |
//! | what a folder is in | `GET /v1/folders`, where `folders` is set |
//! | our webhook endpoint | `GET` and `POST /v1/webhook-endpoints`, `PATCH` and `DELETE …/{id}` |
//!
//! A note's id is Granola's (`not_…`). Its body is Granola's JSON (without `private_notes_…` unless they are wanted) plus
//! `participants` (`[{name, email, own}]`), `customer_domains` (of those from outside, that of the most people first),
//! `audience` (`external`, `internal`, or `unknown` where nobody is named but the owner), `turns` (`[{id, speaker, customer, at,
//! until, text}]`: segments of one voice that follow each other are one) and `customer_words` (all that the other side said).
//! One call is one record, and stays it when its note is edited.
//!
//! Limits: 25 calls in five seconds. A note shows only once it is summarised; one that is shared before that answers 404, and
//! is asked for again for two weeks. Deleted and no longer shared notes are found by comparing [`crate::Source::ids`]; a key of
//! another person makes all notes look so, and they come back with the right one.

mod client;
mod hook;
mod note;
mod retrieve;
mod settings;
mod source;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_hook;
#[cfg(test)]
mod tests_note;
mod types;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use self::client::{Client, Told};
use self::hook::Bound;
use self::retrieve::Half;
use self::settings::Settings;
use self::types::{NOTE, domain};
use crate::http::Call;
use crate::json::{array, text};
use crate::kind::Need;
use crate::memo::Memo;
use crate::quota::Quota;
use crate::settings::secret;
use crate::unfinished::Unfinished;
use crate::{
    CollectionSpec, Connector, Fault, Fields, Identity, Outside, SecretSpec, Secrets, SettingsError, Shape, Source,
    Webhook,
};

pub const SECRETS: &[SecretSpec] = &[
    SecretSpec {
        name: "token",
        about: "an API key: Granola's desktop app > Settings > Connectors > API keys, with the scopes personal and public; Business or Enterprise plan",
        need: Need::Always,
    },
    SecretSpec {
        name: "webhook_secret",
        about: "the whsec_… of a webhook that was made by hand: Settings > Connectors > Webhooks; without it loopd makes its own",
        need: Need::Sometimes,
    },
];

pub struct Granola {
    settings: Settings,
    webhook_secret: Option<SecretString>,
    client: Client,
    bound: Mutex<Bound>,
    hindrance: Mutex<Option<String>>,
    /// Whether an endpoint was made is not known.
    doubt: AtomicBool,
    /// Which scopes the next attempt at an endpoint begins with.
    trial: AtomicUsize,
    /// The endpoints, for an attach that the quota interrupts.
    listed: Memo<Vec<Value>>,
    parents: Memo<BTreeMap<String, String>>,
    halves: Unfinished<Half>,
    /// Notes that were named to us and not found, until a stream's position takes them over.
    awaited: Mutex<BTreeSet<String>>,
}

/// Opens a connection; calls nobody.
///
/// # Errors
/// Settings of another shape, or no key.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<Granola, SettingsError> {
    let settings = Settings::parse(settings)?;
    let token =
        secret(secrets, "token").ok_or_else(|| SettingsError::key("token", "is missing: an API key (grn_…)"))?;
    let client = Client::new(&settings, token, outside);
    Ok(Granola {
        settings,
        webhook_secret: secret(secrets, "webhook_secret"),
        client,
        bound: Mutex::default(),
        hindrance: Mutex::default(),
        doubt: AtomicBool::default(),
        trial: AtomicUsize::default(),
        listed: Memo::default(),
        parents: Memo::default(),
        halves: Unfinished::default(),
        awaited: Mutex::default(),
    })
}

#[async_trait]
impl Connector for Granola {
    fn collections(&self) -> Vec<CollectionSpec> {
        vec![CollectionSpec { name: NOTE.into(), fields: Fields::Open, writable: false, creatable: false }]
    }

    fn quota(&self) -> Option<&Quota> {
        Some(self.client.quota())
    }

    /// The first note of the list says whose key it is, as far as anything does: there is no `/v1/me`.
    async fn probe(&self) -> Result<Identity, Fault> {
        let page = match self.client.read(Call::get("/v1/notes").query("page_size", "1")).await? {
            Told::Here(answer) => answer.json::<Value>()?,
            _ => return Err(Fault::locked("base_url: there is no /v1/notes here")),
        };
        let owner = array(&page, "notes").first().and_then(|note| text(&note["owner"], "email"));
        let mut notes: Vec<String> = self.hindrance().into_iter().collect();
        if owner.is_none() {
            notes.push("the key sees no note yet: a note shows once it is summarised".into());
        }
        let account = owner.as_deref().and_then(domain).unwrap_or_else(|| "granola".into());
        Ok(Identity { name: format!("notes of {account}"), account, scopes: Vec::new(), notes })
    }

    /// Puts our webhook endpoint there, unless its secret was given by hand.
    async fn attach(&self, _shape: &Shape, callback: Option<&str>, known: Option<&Value>) -> Result<Value, Fault> {
        let mut bound = known.and_then(|known| Bound::deserialize(known).ok()).unwrap_or_default();
        // From here on what is signed with the known secret can be let in.
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner) = bound.clone();
        match callback.filter(|_| self.webhook_secret.is_none()) {
            Some(url) => self.keep_endpoint(url, &mut bound).await?,
            None => *self.hindrance.lock().unwrap_or_else(PoisonError::into_inner) = None,
        }
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner) = bound.clone();
        Ok(serde_json::to_value(bound).unwrap_or_default())
    }

    fn hindrance(&self) -> Option<String> {
        self.hindrance.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wants_attach(&self) -> bool {
        self.doubt.load(Ordering::Relaxed)
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }
}

impl Granola {
    fn bound(&self) -> Bound {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

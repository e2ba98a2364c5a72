//! Intercom: conversations with their parts, their contacts and companies are read; replies and notes are written.
//!
//! | what | call |
//! |---|---|
//! | which conversations changed, which exist | `POST /conversations/search` |
//! | one conversation, in plain text | `GET /conversations/{id}?display_as=plaintext` |
//! | who it is from | `GET /contacts/{id}`, `GET /companies/{id}`, each remembered for a quarter of an hour |
//! | companies | `POST /companies/list` (or `GET /companies`), `GET /companies/{id}` |
//! | a reply or a note | `POST /conversations/{id}/reply`, found again by its reference |
//! | who are we | `GET /me`; where that does not work and `admin_id` is not set, `GET /admins` says who signs |
//!
//! A conversation's body is Intercom's JSON plus `contact` (`{id, email, name, external_id, role, company_ids}`),
//! `companies` (`[{id, company_id, name}]`, the first five), `parts_complete` (false: Intercom gave fewer parts than it
//! counts, or stopped at 500) and `plaintext` (false: the texts came as HTML). A company's body is Intercom's JSON plus
//! `arr`, where `arr_attribute` is set. Our own replies and notes are among the parts, recognisable by `[ref:loopd-…]`.
//!
//! Limits: 10,000 calls a minute, metered in slices of ten seconds; 500 parts; 10,000 listed companies. Deletions come
//! by webhook, or are found by comparing [`crate::Source::ids`]. Webhooks are registered by hand in the Developer Hub
//! (docs/vendors/intercom.md).

mod client;
mod companies;
mod messenger;
mod retrieve;
mod settings;
mod source;
mod types;
mod webhook;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_odd;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::client::{Client, Told};
use self::retrieve::Remembered;
use self::settings::Settings;
use self::types::{COMPANY, CONTACT, CONVERSATION, id, text};
use crate::http::Call;
use crate::kind::Need;
use crate::quota::Quota;
use crate::settings::secret;
use crate::unfinished::Unfinished;
use crate::{
    CollectionSpec, Connector, Fault, Fields, Identity, Messenger, Outside, SecretSpec, Secrets, SettingsError, Shape,
    Source, Webhook,
};

const CONVERSATIONS: &str = "conversations";
const COMPANIES: &str = "companies";

pub const SECRETS: &[SecretSpec] = &[
    SecretSpec {
        name: "token",
        about: "the app's access token: Developer Hub > your app > Configure > Authentication",
        need: Need::Always,
    },
    SecretSpec {
        name: "webhook_secret",
        about: "the app's client secret, with which Intercom signs: Developer Hub > your app > Basic information",
        need: Need::Webhook,
    },
];

pub struct Intercom {
    settings: Settings,
    webhook_secret: Option<SecretString>,
    client: Client,
    bound: Mutex<Bound>,
    notes: Mutex<BTreeSet<String>>,
    /// `GET /me` did not work when it was last asked.
    no_me: AtomicBool,
    /// `POST /companies/list` is not there, `GET /companies` is.
    companies_by_get: AtomicBool,
    contacts: Remembered,
    companies: Remembered,
    /// Conversations, with the second they were retrieved at, whose contact the quota put off.
    halves: Unfinished<(i64, Value)>,
}

/// What is kept across restarts, as [`Connector::attach`] returns it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Bound {
    /// The workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<String>,
    /// The token's own admin, who signs unless `admin_id` says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_id: Option<String>,
}

/// Opens a connection; calls nobody.
///
/// # Errors
/// Settings of another shape, or no token.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<Intercom, SettingsError> {
    let settings = Settings::parse(settings)?;
    let token =
        secret(secrets, "token").ok_or_else(|| SettingsError::key("token", "is missing: the app's access token"))?;
    let client = Client::new(&settings, token, outside)?;
    Ok(Intercom {
        settings,
        webhook_secret: secret(secrets, "webhook_secret"),
        client,
        bound: Mutex::default(),
        notes: Mutex::default(),
        no_me: AtomicBool::default(),
        companies_by_get: AtomicBool::default(),
        contacts: Remembered::default(),
        companies: Remembered::default(),
        halves: Unfinished::default(),
    })
}

#[async_trait]
impl Connector for Intercom {
    fn collections(&self) -> Vec<CollectionSpec> {
        [CONVERSATION, COMPANY, CONTACT]
            .into_iter()
            .map(|name| CollectionSpec { name: name.into(), fields: Fields::Open, writable: false, creatable: false })
            .collect()
    }

    fn quota(&self) -> Option<&Quota> {
        Some(self.client.quota())
    }

    async fn probe(&self) -> Result<Identity, Fault> {
        let me = self.me().await?.ok_or_else(|| Fault::locked("base_url: there is no /me here"))?;
        let app = &me["app"];
        let workspace = text(&app["name"]).unwrap_or_else(|| "workspace".into());
        let mut notes: Vec<String> =
            self.notes.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        if self.settings.admin_id.is_none() && id(&me["id"]).is_none() {
            notes.push("the token belongs to no admin: set admin_id to send replies and notes".into());
        }
        Ok(Identity {
            account: id(&app["id_code"]).unwrap_or_default(),
            name: text(&me["name"]).map_or(workspace.clone(), |name| format!("{workspace} ({name})")),
            scopes: Vec::new(),
            notes,
        })
    }

    /// Binds the connection to its workspace: a token of another one would make every conversation look deleted.
    async fn attach(&self, _shape: &Shape, _callback: Option<&str>, known: Option<&Value>) -> Result<Value, Fault> {
        let known = known.and_then(|known| Bound::deserialize(known).ok()).unwrap_or_default();
        let mut bound = Bound { admin_id: known.admin_id.clone(), app_id: known.app_id.clone() };
        match self.me_if_told().await {
            Ok(Some(me)) => {
                let app_id = id(&me["app"]["id_code"]);
                if let (Some(before), Some(now)) = (&known.app_id, &app_id)
                    && before != now
                {
                    return Err(Fault::locked(format!(
                        "token: it opens workspace {now}, but this connection has been reading workspace {before}; give the new one a connection of its own"
                    )));
                }
                bound.app_id = app_id.or(bound.app_id);
                bound.admin_id = id(&me["id"]).or(bound.admin_id);
            }
            Ok(None) => self.note("GET /me does not work: the workspace is not known, nor its admin"),
            // A token that may not read admins can still read conversations.
            Err(Fault::Locked { why }) if self.settings.admin_id.is_some() => {
                tracing::warn!(%why, "GET /me is refused");
                self.note("GET /me is refused: the workspace is not known");
            }
            Err(fault) => return Err(fault),
        }
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner) = bound.clone();
        Ok(serde_json::to_value(bound).unwrap_or_default())
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }
    fn messenger(&self) -> Option<&dyn Messenger> {
        Some(self)
    }
}

impl Intercom {
    fn bound(&self) -> Bound {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something that ops should know; [`Connector::probe`] tells it.
    fn note(&self, note: &str) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(note.to_owned());
    }

    async fn me(&self) -> Result<Option<Value>, Fault> {
        match self.client.read(Call::get("/me")).await? {
            Told::Here(answer) => Ok(Some(answer.json()?)),
            Told::Missing(_) => Ok(None),
        }
    }

    /// Like [`Intercom::me`], for those who can do without: `None` also where the server cannot answer it.
    async fn me_if_told(&self) -> Result<Option<Value>, Fault> {
        let me = match self.client.answered(Call::get("/me"), false).await? {
            (_, Ok(Told::Here(answer))) => answer.json().ok(),
            (_, Ok(Told::Missing(_))) => None,
            (400 | 405 | 422 | 500..=599, Err(fault)) if !matches!(fault, Fault::Locked { .. }) => {
                tracing::warn!(%fault, "GET /me does not work");
                None
            }
            (_, Err(fault)) => return Err(fault),
        };
        self.no_me.store(me.is_none(), Ordering::Relaxed);
        Ok(me)
    }

    /// The first of the workspace's admins, where the server says who they are.
    async fn first_admin(&self) -> Result<Option<String>, Fault> {
        match self.client.read(Call::get("/admins")).await {
            Ok(Told::Here(answer)) => Ok(id(&answer.json::<Value>()?["admins"][0]["id"])),
            Ok(Told::Missing(_)) | Err(Fault::Locked { .. } | Fault::Rejected { .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Who signs replies and notes.
    async fn admin(&self) -> Result<String, Fault> {
        if let Some(admin) = &self.settings.admin_id {
            return Ok(admin.0.clone());
        }
        if let Some(admin) = self.bound().admin_id {
            return Ok(admin);
        }
        // What did not work is not asked again here: at an even pace each attempt gets one call through.
        let me = if self.no_me.load(Ordering::Relaxed) { None } else { self.me_if_told().await? };
        let admin = match me {
            Some(me) => id(&me["id"]),
            None => self.first_admin().await?,
        };
        // This message cannot be signed; reading goes on.
        let admin = admin.ok_or_else(|| {
            Fault::rejected("admin_id: Intercom does not say which admin the token belongs to; set it")
        })?;
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).admin_id = Some(admin.clone());
        Ok(admin)
    }
}

//! GitHub: issues and their comments are read; labels and a comment are written back.
//!
//! | what | call |
//! |---|---|
//! | issues, comments (pull requests left out) | `GET /repos/{o}/{r}/issues`, `…/issues/comments`, by `since`, with ETag |
//! | one record | `GET …/issues/{n}`, `…/issues/comments/{id}` |
//! | labels | `POST …/issues/{n}/labels`, `DELETE …/labels/{name}`, then `GET …/issues/{n}` |
//! | an answer in the thread | `POST …/issues/{n}/comments`, found again by its marker |
//! | setup | `GET` and `POST /repos/{o}/{r}/labels` |
//! | who are we | `GET /repos/{o}/{r}` (also after each 301 and 404); App tokens: `POST /app/installations/{id}/access_tokens` |
//!
//! An issue's id is `owner/name#number` in the settings' spelling, whatever the repository is called later; its body is
//! GitHub's JSON. A comment's id is `owner/name/comments/id`; its body is GitHub's JSON plus `issue_key`.
//!
//! Limits: 5,000 calls an hour, one write a second, one comment in three seconds and 480 an hour, 65,536 characters.
//! Deletions and transfers come by webhook, or are found by comparing [`crate::Source::ids`]. Webhooks are registered by
//! hand (docs/vendors/github.md).

mod app;
mod client;
mod messenger;
mod repos;
mod settings;
mod setup;
mod sink;
mod source;
mod types;
mod verdict;
mod webhook;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_odd;
#[cfg(test)]
mod tests_write;

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::Value;

use self::app::App;
use self::client::{Client, Credential, hidden};
use self::settings::Settings;
use self::types::{COMMENT, ISSUE};
use crate::kind::Need;
use crate::quota::Quota;
use crate::settings::secret;
use crate::unfinished::Unfinished;
use crate::{
    CollectionSpec, Connector, Fault, FieldKind, FieldSpec, Fields, Identity, Messenger, Outside, Pace, Record,
    SecretSpec, Secrets, SettingsError, Setup, Shape, Sink, Source, Webhook,
};

pub const SECRETS: &[SecretSpec] = &[
    SecretSpec {
        name: "token",
        about: "a personal access token: Settings > Developer settings; fine-grained with Issues read and write on the repositories",
        need: Need::Sometimes,
    },
    SecretSpec {
        name: "app_private_key",
        about: "the .pem that GitHub gave when the App's private key was made; with `app` instead of a token",
        need: Need::Sometimes,
    },
    SecretSpec {
        name: "webhook_secret",
        about: "the secret typed into the webhook's form: Settings > Webhooks",
        need: Need::Webhook,
    },
];

/// An attach that the quota stopped halfway goes on where it stopped if it comes back within this.
const ATTACH_MEMORY: Duration = Duration::from_secs(600);

pub struct GitHub {
    settings: Settings,
    webhook_secret: Option<SecretString>,
    client: Client,
    labelling: Unfinished<sink::Labelling>,
    reading: Unfinished<Vec<Record>>,
    listing: Unfinished<source::Listed>,
}

/// Opens a connection; calls nobody.
///
/// # Errors
/// Settings of another shape, or neither a token nor an App with its key.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<GitHub, SettingsError> {
    let settings = Settings::parse(settings)?;
    let credential = match (&settings.app, secret(secrets, "token"), secret(secrets, "app_private_key")) {
        (Some(app), _, Some(pem)) => {
            Credential::App(App::new(app, &pem).map_err(|why| SettingsError::key("app_private_key", why))?)
        }
        (Some(_), _, None) => {
            return Err(SettingsError::key("app_private_key", "an App signs in with its private key"));
        }
        (None, Some(token), _) => Credential::Token(token),
        (None, None, _) => {
            return Err(SettingsError::key("token", "give a token, or an `app` with its `app_private_key`"));
        }
    };
    let client = Client::new(&settings, credential, outside)?;
    Ok(GitHub {
        settings,
        webhook_secret: secret(secrets, "webhook_secret"),
        client,
        labelling: Unfinished::default(),
        reading: Unfinished::default(),
        listing: Unfinished::default(),
    })
}

#[async_trait]
impl Connector for GitHub {
    fn collections(&self) -> Vec<CollectionSpec> {
        let field = |name, kind, writable| FieldSpec { name, kind, writable };
        let issue = vec![
            field(sink::LABELS, FieldKind::Tags, true),
            field("title", FieldKind::Text, false),
            field("state", FieldKind::Text, false),
            field("state_reason", FieldKind::Text, false),
            field("body", FieldKind::LongText, false),
        ];
        vec![
            CollectionSpec { name: ISSUE.into(), fields: Fields::Fixed(issue), writable: true, creatable: false },
            CollectionSpec { name: COMMENT.into(), fields: Fields::Open, writable: false, creatable: false },
        ]
    }

    /// Writes are slower than calls.
    fn pace(&self) -> Pace {
        self.client.writes().pace()
    }

    fn quota(&self) -> Option<&Quota> {
        Some(self.client.quota())
    }

    /// Looks at the first repository: `GET /user` would not do, an App's installation has none.
    async fn probe(&self) -> Result<Identity, Fault> {
        let handles = self.client.repos.handles();
        let handle = handles.first().ok_or_else(|| Fault::locked("repos is empty"))?;
        let seen = self.client.look(handle).await?.ok_or_else(|| hidden(handle))?;
        let mut notes = Vec::new();
        if seen.has_issues == Some(false) {
            notes.push(format!("the issues of {handle} are switched off"));
        }
        if !seen.may.is_empty()
            && !seen.may.iter().any(|may| ["admin", "maintain", "push", "triage"].contains(&may.as_str()))
        {
            notes.push(format!("no triage or push permission on {handle}: labels cannot be written"));
        }
        let owner = seen.owner.unwrap_or_else(|| handle.split('/').next().unwrap_or_default().to_owned());
        Ok(Identity {
            account: seen.owner_id.map_or_else(|| owner.clone(), |id| id.to_string()),
            name: format!("{owner} ({})", handles.join(", ")),
            scopes: seen.may,
            notes,
        })
    }

    /// Binds every repository to its numeric id. One that cannot be seen is left out and said; its own streams then say
    /// why they stand. Only if none can be seen is the connection locked.
    async fn attach(&self, _shape: &Shape, _callback: Option<&str>, known: Option<&Value>) -> Result<Value, Fault> {
        if let Some(known) = known {
            self.client.repos.restore(known);
        }
        let mut seen = false;
        let mut lost = None;
        for handle in self.client.repos.handles() {
            match self.client.look_lately(handle, ATTACH_MEMORY).await {
                Ok(true) => seen = true,
                Ok(false) => {
                    tracing::warn!(%handle, "the repository is not there, or the credential may not read it");
                    lost = Some(hidden(handle));
                }
                Err(fault @ Fault::Locked { .. }) => lost = Some(fault),
                Err(fault) => return Err(fault),
            }
        }
        match lost {
            Some(fault) if !seen => Err(fault),
            _ => Ok(self.client.repos.binding()),
        }
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
    fn messenger(&self) -> Option<&dyn Messenger> {
        Some(self)
    }
    fn setup(&self) -> Option<&dyn Setup> {
        Some(self)
    }
}

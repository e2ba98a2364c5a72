//! Typeform: responses are read, by poll and by webhook. Nothing is written but our webhook.
//!
//! | what | call |
//! |---|---|
//! | responses, newest first | `GET /forms/{id}/responses` by `since` and `before`, 1000 a page |
//! | one response, which exist | the same by `included_response_ids`; without `since` |
//! | what the form asks | `GET /forms/{id}`, remembered for an hour, read again when an answer belongs to no known question |
//! | our webhook | `GET` and `PUT /forms/{id}/webhooks/{tag}` |
//!
//! A response's id is `form/token`. Its body is Typeform's JSON (without `metadata.network_id`) plus `form_title`, a `title` in
//! each answer's `field`, `said` (`[{question, answer, ref, words}]`, without what says who answers), `text` (all of `said`),
//! `words` (something is in the respondent's own words), `scores` and `score` (`{kind, question, ref, value, from, to, label,
//! group, category, severity}`; `group` is promoter, passive or detractor), and `respondent` (`{email, name, user, company,
//! company_id}`). One response is one record, however many questions were answered: the score and its reason belong together.
//!
//! Limits: two calls a second; a response may be missing from the API for half an hour; at the wrong region's host there are
//! no responses and no error (the form itself says where they are, and [`Connector::attach`] compares). Deletions are found by
//! comparing [`crate::Source::ids`].

mod client;
mod definition;
mod hook;
mod response;
mod score;
mod settings;
mod source;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_hook;
mod webhook;
mod young;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use self::client::{Client, Told};
use self::definition::{Definition, Definitions};
use self::hook::{Bound, Hook};
use self::response::RESPONSE;
use self::settings::Settings;
use self::source::Found;
use self::young::Young;
use crate::http::Call;
use crate::kind::Need;
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
        about: "a personal access token: Typeform > account menu > Account > Personal tokens, with the scopes forms:read and responses:read, and webhooks:read and webhooks:write for webhooks",
        need: Need::Always,
    },
    SecretSpec {
        name: "webhook_secret",
        about: "with what Typeform signs: any long random text of your own; without it loopd makes one",
        need: Need::Sometimes,
    },
];

pub struct Typeform {
    settings: Settings,
    token: SecretString,
    webhook_secret: Option<SecretString>,
    client: Client,
    bound: Mutex<Bound>,
    hindrance: Mutex<Option<String>>,
    definitions: Definitions,
    /// By form: a webhook that was seen to, and when.
    tended: Mutex<BTreeMap<String, (Duration, Hook)>>,
    /// Forms whose webhook is not as it should be.
    wanting: Mutex<BTreeSet<String>>,
    /// Pages whose questions the quota put off, by stream, with where they begin.
    pages: Unfinished<(Option<String>, Found)>,
    young: Young,
}

/// Opens a connection; calls nobody.
///
/// # Errors
/// Settings of another shape, or no token.
pub fn open(settings: &Value, secrets: &Secrets, outside: &Outside) -> Result<Typeform, SettingsError> {
    let settings = Settings::parse(settings)?;
    let token =
        secret(secrets, "token").ok_or_else(|| SettingsError::key("token", "is missing: a personal access token"))?;
    let client = Client::new(&settings, token.clone(), outside);
    Ok(Typeform {
        settings,
        token,
        webhook_secret: secret(secrets, "webhook_secret"),
        client,
        bound: Mutex::default(),
        hindrance: Mutex::default(),
        definitions: Definitions::default(),
        tended: Mutex::default(),
        wanting: Mutex::default(),
        pages: Unfinished::default(),
        young: Young::default(),
    })
}

#[async_trait]
impl Connector for Typeform {
    fn collections(&self) -> Vec<CollectionSpec> {
        vec![CollectionSpec { name: RESPONSE.into(), fields: Fields::Open, writable: false, creatable: false }]
    }

    fn quota(&self) -> Option<&Quota> {
        Some(self.client.quota())
    }

    /// Looks at the first form and at one of its responses: there is no call that needs no scope.
    async fn probe(&self) -> Result<Identity, Fault> {
        let form = self.settings.forms.first().ok_or_else(|| Fault::locked("forms is empty"))?;
        let definition = self.definition(form, Duration::from_secs(60)).await.map_err(locked)?;
        self.check_region(form, &definition)?;
        let call = Call::get(format!("/forms/{form}/responses")).query("page_size", "1");
        if let Told::Missing = self.client.call(call).await? {
            return Err(Fault::locked(format!("forms: the responses of {form} cannot be seen with this token")));
        }
        Ok(Identity {
            account: form.clone(),
            name: format!("{} ({})", definition.title, self.settings.forms.join(", ")),
            scopes: ["forms:read", "responses:read"].map(str::to_owned).to_vec(),
            notes: self.hindrance().into_iter().collect(),
        })
    }

    /// Looks at every form, and puts our webhook there. A form that cannot be seen is left out and said by its stream; only
    /// if none can be seen is the connection locked.
    async fn attach(&self, _shape: &Shape, callback: Option<&str>, known: Option<&Value>) -> Result<Value, Fault> {
        let mut bound = known.and_then(|known| Bound::deserialize(known).ok()).unwrap_or_default();
        // From here on what is signed with the known secret can be let in.
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner) = bound.clone();
        let (mut seen, mut lost) = (false, None);
        for form in &self.settings.forms {
            match self.definition(form, Duration::from_secs(900)).await {
                Ok(definition) => {
                    self.check_region(form, &definition)?;
                    seen = true;
                }
                Err(fault @ Fault::Rejected { .. }) => {
                    tracing::warn!(%form, "the form is not there, or the token may not see it");
                    lost = Some(locked(fault));
                }
                Err(fault) => return Err(fault),
            }
        }
        if let Some(fault) = lost.filter(|_| !seen) {
            return Err(fault);
        }
        match callback {
            Some(url) => self.keep_hooks(url, &mut bound).await?,
            None => *self.hindrance.lock().unwrap_or_else(PoisonError::into_inner) = None,
        }
        bound.hooks.retain(|form, _| self.settings.forms.contains(form));
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner) = bound.clone();
        Ok(serde_json::to_value(bound).unwrap_or_default())
    }

    fn hindrance(&self) -> Option<String> {
        self.hindrance.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }
    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }
}

impl Typeform {
    fn bound(&self) -> Bound {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Between two of Typeform's own hosts the form decides: the other one would show no responses. A host that is none of
    /// theirs (a proxy) is ops' business.
    fn check_region(&self, form: &str, definition: &Definition) -> Result<(), Fault> {
        let host = |url: &str| url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_ascii_lowercase));
        let theirs = |host: &String| [".typeform.com", ".typeform.eu"].iter().any(|end| host.ends_with(end));
        let here = host(&self.settings.base_url).filter(theirs);
        let there = definition.responses.as_deref().and_then(host).filter(theirs);
        match (here, there) {
            (Some(here), Some(there)) if here != there => Err(Fault::locked(format!(
                "base_url: the responses of form {form} are kept at another of Typeform's hosts; set base_url = \"https://{there}\""
            ))),
            _ => Ok(()),
        }
    }
}

/// A form that is not there is the settings' fault where everything hangs on it.
fn locked(fault: Fault) -> Fault {
    match fault {
        Fault::Rejected { why, .. } => Fault::locked(format!("forms: {why}")),
        fault => fault,
    }
}

//! Segment's tracking protocol, received: whatever speaks it (Segment's SDKs with another host, RudderStack, a Segment
//! webhook destination) tells us who used what.
//!
//! | call | what becomes of it |
//! |---|---|
//! | `track` | one use of the feature that the event names |
//! | `page`, `screen` | where `pages` is set: one use of `page: NAME` or `screen: NAME`; else only who belongs where |
//! | `identify` | where a person belongs: `traits.company.id`, else the domain of `traits.email`; an `anonymousId` is theirs |
//! | `group` | a person belongs to the group; its traits are a record of `group`: `{groupId, traits}` |
//! | `alias` | `previousId` is another name of `userId` |
//! | `batch`, `import` | many of these |
//!
//! The account of an event is the first of `account` (default `context.groupId`, `groupId`) that is there; else it follows
//! from who it was. Days are in UTC, by the sender's time corrected for the sender's clock.
//!
//! As Segment does, an event that is none (no id of anybody, no name) is left out and the rest of its batch is taken; `status`
//! tells of it. What is too large, or no JSON, is 400. Official senders drop what is answered 4xx and repeat 429 and 5xx, so
//! the daemon answers 503 when it cannot put a batch on disk.
//!
//! Facts: Segment docs "HTTP API", "Spec: Common Fields", analytics-node 3.1.0 (read 2026-11-23).

mod event;
mod settings;
mod webhook;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use self::settings::Settings;
use crate::kind::Need;
use crate::settings::secret;
use crate::{
    CollectionSpec, Connector, Fault, Fields, Identity, Outside, SecretSpec, Secrets, SettingsError, Shape, Webhook,
};

/// Groups, with their traits.
const GROUP: &str = "group";

pub const SECRETS: &[SecretSpec] = &[
    SecretSpec {
        name: "write_key",
        about: "the key that your senders are given: make one up, 20 letters and digits or more (two, with a space between, while you change it)",
        need: Need::Always,
    },
    SecretSpec {
        name: "webhook_secret",
        about: "the shared secret of a Segment webhook destination that sends here",
        need: Need::Sometimes,
    },
];

pub struct Segment {
    settings: Settings,
    keys: Vec<SecretString>,
    webhook_secret: Option<SecretString>,
}

/// Opens a connection; calls nobody.
///
/// # Errors
/// Settings of another shape, or no write key.
pub fn open(settings: &Value, secrets: &Secrets, _outside: &Outside) -> Result<Segment, SettingsError> {
    let settings = Settings::parse(settings)?;
    let keys = secret(secrets, "write_key")
        .ok_or_else(|| SettingsError::key("write_key", "is missing: the key that your senders are given"))?;
    let keys: Vec<SecretString> = keys.expose_secret().split_whitespace().map(SecretString::from).collect();
    if keys.iter().any(|key| key.expose_secret().contains(':')) {
        return Err(SettingsError::key("write_key", "must hold no colon: it is the user name of HTTP's Basic scheme"));
    }
    Ok(Segment { settings, keys, webhook_secret: secret(secrets, "webhook_secret") })
}

#[async_trait]
impl Connector for Segment {
    fn collections(&self) -> Vec<CollectionSpec> {
        vec![CollectionSpec { name: GROUP.into(), fields: Fields::Open, writable: false, creatable: false }]
    }

    /// Nothing is called.
    /// There is nobody to ask: senders come to us.
    async fn probe(&self) -> Result<Identity, Fault> {
        let note = "senders come here: set their host to `http.public_url`, and their write key to this connection's";
        Ok(Identity {
            account: String::new(),
            name: "Segment protocol, received".into(),
            scopes: Vec::new(),
            notes: vec![note.into()],
        })
    }

    async fn attach(&self, _shape: &Shape, _callback: Option<&str>, _known: Option<&Value>) -> Result<Value, Fault> {
        Ok(json!({}))
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }
}

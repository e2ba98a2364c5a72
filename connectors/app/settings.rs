//! What ops may set for an app.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::SettingsError;
use crate::public::{Bounds, Network, Origins};
use crate::quota::Limit;
use crate::settings::{Rate, read};

#[derive(Clone, Debug)]
pub(super) struct Settings {
    keys: Vec<String>,
    origins: Origins,
    bounds: Bounds,
    /// Who sends no `Origin` is refused: only browsers may send.
    pub(super) require_origin: bool,
    /// What this app is called in `tags.product`.
    pub(super) product: Option<String>,
    keep_url_query: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The public key that pages send. Not a secret.
    key: Option<String>,
    /// Several, while one takes another's place.
    #[serde(default)]
    keys: Vec<String>,
    /// The pages that may send. Default: none, so that only servers and native apps may.
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    require_origin: bool,
    product: Option<String>,
    /// Default 65536: what a beacon may hold.
    #[serde(default = "max_body_bytes")]
    max_body_bytes: usize,
    /// Default 3,000 a minute, 500 of them at once.
    per_key: Option<Rate>,
    /// Default 60 a minute, 30 of them at once: an office behind one address.
    per_address: Option<Rate>,
    /// Addresses and networks that send for many people and are bound by the key alone.
    #[serde(default)]
    servers: Vec<String>,
    /// Default false: what stands behind `?` and `#` in `url` is not kept, since it may hold names and tokens.
    #[serde(default)]
    keep_url_query: bool,
}

fn max_body_bytes() -> usize {
    64 * 1024
}

impl Settings {
    pub(super) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let written: Written = read(settings)?;
        let named = if written.key.is_some() { "key" } else { "keys" };
        let keys: Vec<String> = written.key.into_iter().chain(written.keys).collect();
        if keys.is_empty() {
            let why = "is missing: make up a public key, such as \"pk_console_1\"; pages send it, and it is no secret";
            return Err(SettingsError::key("key", why));
        }
        let plain = |key: &String| {
            (8..=128).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        };
        if let Some(bad) = keys.iter().find(|key| !plain(key)) {
            return Err(SettingsError::key(named, format!("{bad:?} is not 8 to 128 letters, digits, _, - and .")));
        }
        if !(1024..=1024 * 1024).contains(&written.max_body_bytes) {
            return Err(SettingsError::key("max_body_bytes", "must be between 1024 and 1048576"));
        }
        if written.product.as_ref().is_some_and(|product| product.trim().is_empty()) {
            return Err(SettingsError::key("product", "is empty"));
        }
        let servers = written.servers.iter().map(|server| {
            let why = || format!("{server:?} is neither an address nor a network such as 10.0.0.0/8");
            Network::parse(server).ok_or_else(|| SettingsError::key("servers", why()))
        });
        let minute = Duration::from_secs(60);
        Ok(Self {
            keys,
            origins: Origins::parse(&written.origins)?,
            bounds: Bounds {
                body_bytes: written.max_body_bytes,
                per_key: written.per_key.map_or_else(|| Limit::even(3000, minute).with_burst(500), Rate::limit),
                per_address: written.per_address.map_or_else(|| Limit::even(60, minute).with_burst(30), Rate::limit),
                servers: servers.collect::<Result<_, _>>()?,
            },
            require_origin: written.require_origin,
            product: written.product,
            keep_url_query: written.keep_url_query,
        })
    }

    /// At least one.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// As much of a page's URL as is kept.
    pub(super) fn shown<'u>(&self, url: &'u str) -> &'u str {
        if self.keep_url_query { url } else { url.split(['?', '#']).next().unwrap_or_default() }
    }
}

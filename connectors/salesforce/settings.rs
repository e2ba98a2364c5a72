//! What ops may say about a Salesforce connection.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::soql::is_name;
use crate::SettingsError;
use crate::settings::{self, Rate};

/// The external-id field, where a mapping names none.
pub(super) const DEFAULT_KEY: &str = "Loopd_ID__c";
pub(super) const FEEDBACK: &str = "Loopd_Feedback__c";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Where to sign in: the org's My Domain, `https://NAME.my.salesforce.com` (of a sandbox:
    /// `https://NAME--SANDBOX.sandbox.my.salesforce.com`), or `https://login.salesforce.com` or `https://test.salesforce.com`,
    /// which client credentials cannot use. The API is met where the sign-in says.
    /// Default: `https://login.salesforce.com`.
    #[serde(default = "base_url")]
    pub(super) base_url: String,
    /// The API's version. Default: `67.0`.
    #[serde(default = "api_version")]
    pub(super) api_version: String,
    /// How tokens are got. Default: `jwt` where there is a `private_key`, `client_credentials` where there is a
    /// `client_secret`, `token` where there is a `token`, else `web`, which `loopd auth` begins.
    pub(super) sign_in: Option<SignIn>,
    /// The consumer key of the external client app.
    pub(super) client_id: Option<String>,
    /// The user whom `jwt` signs in.
    pub(super) username: Option<String>,
    /// `aud` of `jwt`. Default: `https://test.salesforce.com` where `base_url` is a sandbox's, else
    /// `https://login.salesforce.com`.
    pub(super) audience: Option<String>,
    /// What a sign-in in the browser asks for. Default: `api`, `id`, `refresh_token`.
    #[serde(default = "scopes")]
    pub(super) scopes: Vec<String>,
    /// The objects in which loopd makes records, besides the accounts that it only changes. Default: `Loopd_Feedback__c`;
    /// add `Task` to keep what was addressed as tasks.
    #[serde(default = "objects")]
    pub(super) objects: Vec<String>,
    /// Which fields of an account say what. Default: `arr = "ARR__c"`, `tier = "Tier__c"`, `region = "BillingCountry"`,
    /// `lifecycle = "Type"`, `use_case = "Use_Case__c"`, `customer_since = "Customer_Since__c"`; of these, those that
    /// are there.
    #[serde(default)]
    pub(super) account: BTreeMap<String, String>,
    /// Which fields of an opportunity hold what customers say. Default: `blockers = "Loopd_Blockers__c"`,
    /// `wants = "Loopd_Wants__c"`, `wins = "Loopd_Wins__c"`, which `setup` makes.
    pub(super) opportunity: Option<BTreeMap<String, String>>,
    /// Further fields of accounts and opportunities for mappings to see, by object. Default: none.
    #[serde(default)]
    pub(super) fields: BTreeMap<String, Vec<String>>,
    /// How far back the first look goes: a day or an instant. Default: everything.
    #[serde(default, deserialize_with = "settings::instant")]
    pub(super) start: Option<DateTime<Utc>>,
    /// How far each look goes back behind the last one: long transactions appear late, with older times. Default: 300.
    #[serde(default = "five_minutes")]
    pub(super) overlap_seconds: u32,
    /// How many calls, in percent of the org's limit of a day, are left to others: when no more are left than this, loopd
    /// waits. Default: 5.
    #[serde(default = "five")]
    pub(super) leave_percent: u8,
    /// Decimals of the number fields that `setup` makes. Default: 0.
    #[serde(default)]
    pub(super) number_scale: u8,
    /// The permission set through which `setup` shows what it makes, by its API name. Default: `Loopd`.
    #[serde(default = "permission_set")]
    pub(super) permission_set: String,
    /// User names to whom `setup` gives the permission set, besides the user who signs in. Default: none.
    #[serde(default)]
    pub(super) assign_to: Vec<String>,
    /// Another pace than 600 calls a minute, 20 at once.
    #[serde(default)]
    pub(super) quota: Option<Rate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SignIn {
    Jwt,
    ClientCredentials,
    Web,
    Token,
}

fn base_url() -> String {
    "https://login.salesforce.com".into()
}
fn api_version() -> String {
    "67.0".into()
}
fn scopes() -> Vec<String> {
    ["api", "id", "refresh_token"].map(String::from).into()
}
fn objects() -> Vec<String> {
    vec![FEEDBACK.into()]
}
fn five_minutes() -> u32 {
    300
}
fn five() -> u8 {
    5
}
fn permission_set() -> String {
    "Loopd".into()
}

/// What of an account is shown to mappings, and where it is by default.
pub(super) const ACCOUNT_WORDS: [(&str, &str); 6] = [
    ("arr", "ARR__c"),
    ("tier", "Tier__c"),
    ("region", "BillingCountry"),
    ("lifecycle", "Type"),
    ("use_case", "Use_Case__c"),
    ("customer_since", "Customer_Since__c"),
];

impl Settings {
    pub(super) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut parsed: Self = settings::read(settings)?;
        parsed.base_url = settings::base_url(&parsed.base_url)?;
        let version = parsed.api_version.trim().trim_start_matches('v').to_owned();
        parsed.api_version = if version.contains('.') { version } else { format!("{version}.0") };
        if parsed
            .api_version
            .split_once('.')
            .is_none_or(|(major, minor)| major.parse::<u16>().is_err() || minor.parse::<u16>().is_err())
        {
            return Err(SettingsError::key("api_version", "expected a version, as in `67.0`"));
        }
        let named = |key: &str, name: &String| {
            let why = format!("{name:?} is no API name (letters, digits and underscores: `Loopd_Feedback__c`)");
            if is_name(name) { Ok(()) } else { Err(SettingsError::key(key, why)) }
        };
        parsed.objects.iter().try_for_each(|name| named("objects", name))?;
        if let Some(name) = parsed.objects.iter().find(|name| matches!(name.as_str(), "Account" | "Opportunity")) {
            let why = format!("{name} is read and changed by itself: name only objects in which loopd makes records");
            return Err(SettingsError::key("objects", why));
        }
        parsed.account.values().try_for_each(|name| named("account", name))?;
        parsed.opportunity.iter().flat_map(BTreeMap::values).try_for_each(|name| named("opportunity", name))?;
        parsed
            .fields
            .values()
            .flatten()
            .try_for_each(|name| name.split('.').try_for_each(|part| named("fields", &part.into())))?;
        if let Some(word) = parsed.account.keys().find(|word| !ACCOUNT_WORDS.iter().any(|(known, _)| known == word)) {
            let words: Vec<&str> = ACCOUNT_WORDS.iter().map(|(word, _)| *word).collect();
            return Err(SettingsError::key("account", format!("{word} is none of {}", words.join(", "))));
        }
        if let Some(word) =
            parsed.opportunity().into_keys().find(|word| !matches!(word.as_str(), "blockers" | "wants" | "wins"))
        {
            return Err(SettingsError::key("opportunity", format!("{word} is none of blockers, wants, wins")));
        }
        if let Some(object) = parsed.fields.keys().find(|name| !matches!(name.as_str(), "Account" | "Opportunity")) {
            let why = format!("{object}: further fields are read of Account and Opportunity only");
            return Err(SettingsError::key("fields", why));
        }
        if !is_name(&parsed.permission_set) {
            return Err(SettingsError::key("permission_set", "expected an API name, as in `Loopd`"));
        }
        if parsed.leave_percent > 99 {
            return Err(SettingsError::key("leave_percent", "at most 99, or loopd never calls"));
        }
        if parsed.number_scale > 8 {
            return Err(SettingsError::key("number_scale", "at most 8 decimals"));
        }
        for text in [&mut parsed.client_id, &mut parsed.username, &mut parsed.audience] {
            *text = text.take().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        }
        Ok(parsed)
    }

    /// The host of a sandbox, or `https://test.salesforce.com`.
    pub(super) fn is_sandbox(&self) -> bool {
        let host = self.base_url.split("://").last().unwrap_or_default();
        host.contains(".sandbox.") || host.starts_with("test.")
    }

    pub(super) fn audience(&self) -> String {
        let default = if self.is_sandbox() { "https://test.salesforce.com" } else { "https://login.salesforce.com" };
        self.audience.clone().unwrap_or_else(|| default.into())
    }

    /// Where each thing that mappings see of an account is.
    pub(super) fn account(&self) -> BTreeMap<String, String> {
        let at = |(word, default): (&str, &str)| {
            (word.to_owned(), self.account.get(word).cloned().unwrap_or_else(|| default.to_owned()))
        };
        ACCOUNT_WORDS.into_iter().map(at).collect()
    }

    /// What customers say in an opportunity, and in which field.
    pub(super) fn opportunity(&self) -> BTreeMap<String, String> {
        self.opportunity.clone().unwrap_or_else(|| {
            let own = |word: &str, field: &str| (word.to_owned(), field.to_owned());
            [own("blockers", "Loopd_Blockers__c"), own("wants", "Loopd_Wants__c"), own("wins", "Loopd_Wins__c")].into()
        })
    }
}

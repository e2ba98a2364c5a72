//! What every connection's settings share: strict reading with the key at fault, base URLs, start dates, rates.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::quota::Limit;
use crate::{Secrets, SettingsError};

/// Reads a connection's own table. The error names the key, so that configuration can point at its line.
pub(crate) fn read<T: DeserializeOwned>(settings: &Value) -> Result<T, SettingsError> {
    T::deserialize(settings).map_err(|error| {
        let why = error.to_string();
        SettingsError { key: culprit::<T>(settings, &why), why }
    })
}

/// The top-level key that an error is about: the one it quotes, or else the one without which it changes.
fn culprit<T: DeserializeOwned>(settings: &Value, why: &str) -> Option<String> {
    let table = settings.as_object()?;
    let lacks = why.starts_with("missing field `");
    let without = |key: &String| {
        let mut rest = table.clone();
        rest.remove(key);
        // That this one is missing, too, once it is taken out, says nothing against it.
        let own = format!("missing field `{key}`");
        let left = T::deserialize(&Value::Object(rest)).err().map(|error| error.to_string());
        left.is_none_or(|left| left != why && !(lacks && left == own))
    };
    table.keys().find(|key| without(key)).cloned().or_else(|| {
        let quoted = why.strip_prefix("missing field `").or_else(|| why.strip_prefix("unknown field `"))?;
        quoted.split('`').next().map(str::to_owned)
    })
}

/// A base URL without a slash at its end.
pub(crate) fn base_url(text: &str) -> Result<String, SettingsError> {
    base_url_of("base_url", text)
}

fn base_url_of(key: &str, text: &str) -> Result<String, SettingsError> {
    let bad = |why: &str| SettingsError::key(key, format!("{why}: {text}"));
    let url: http::Uri = text.parse().map_err(|_| bad("is no URL"))?;
    match url.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err(bad("must start with http:// or https://")),
    }
    if url.query().is_some() {
        return Err(bad("must hold no query"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// An endpoint's whole URL, or the default: at the vendor's own host, or at that of a `base_url` that was set. So a stand-in or
/// a proxy is met for signing in, too, and no secret goes elsewhere than the calls do.
pub(crate) fn endpoint(
    key: &str,
    given: Option<&str>,
    base_url: &str,
    vendors_base: &str,
    (vendors, path): (&str, &str),
) -> Result<String, SettingsError> {
    if let Some(given) = given {
        return base_url_of(key, given);
    }
    let origin = |url: &str| {
        let url: http::Uri = url.parse().ok()?;
        Some(format!("{}://{}", url.scheme_str()?, url.authority()?))
    };
    match (origin(base_url), origin(vendors_base)) {
        (Some(ours), Some(theirs)) if ours != theirs => Ok(format!("{ours}{path}")),
        _ => Ok(format!("{vendors}{path}")),
    }
}

/// A credential, if it was given and is not empty.
pub(crate) fn secret(secrets: &Secrets, name: &str) -> Option<SecretString> {
    secrets.get(name).filter(|secret| !secret.expose_secret().trim().is_empty()).cloned()
}

/// `quota = { calls = 5000, per_seconds = 3600, burst = 200 }`: how fast this connection may call, instead of the
/// vendor's published limit (a larger plan, or a budget shared with other programs).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    pub(crate) calls: NonZeroU32,
    pub(crate) per_seconds: NonZeroU32,
    /// How many may come at once. Default 1: evenly paced.
    pub(crate) burst: Option<NonZeroU32>,
}

impl Rate {
    pub(crate) fn limit(self) -> Limit {
        let per = Duration::from_secs(self.per_seconds.get().into());
        Limit { calls: self.calls, per, burst: NonZeroU32::MIN }.with_burst(self.burst.map_or(1, NonZeroU32::get))
    }
}

/// `start = "2026-01-01"` or `"2026-01-01T08:00:00Z"`.
pub(crate) fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let text = text.trim();
    let moment = match text.parse::<NaiveDate>() {
        Ok(day) => Some(day.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.to_utc()),
    };
    moment
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("{text:?} is no date (2026-01-31) or time (2026-01-31T08:00:00Z)")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        #[serde(default, deserialize_with = "instant")]
        start: Option<DateTime<Utc>>,
        quota: Option<Rate>,
    }

    #[test]
    fn the_key_at_fault_is_named() {
        for (settings, key) in [
            (json!({"name": "a", "nmae": 1}), "nmae"),
            (json!({}), "name"),
            (json!({"start": "2026-01-31"}), "name"),
            (json!({"name": "a", "quota": {"calls": 1}}), "quota"),
            (json!({"name": "a", "start": "soon"}), "start"),
            (json!({"name": "a", "quota": {"calls": 0, "per_seconds": 1}}), "quota"),
        ] {
            let error = read::<Sample>(&settings).expect_err("it is wrong");
            assert_eq!(error.key.as_deref(), Some(key), "{error}");
        }
    }

    #[test]
    fn a_start_is_a_day_or_an_instant() {
        for start in ["2026-01-31", "2026-01-31T01:00:00+01:00"] {
            let sample: Sample =
                read(&json!({"name": "a", "start": start, "quota": {"calls": 9, "per_seconds": 3}})).expect("valid");
            assert_eq!(sample.start.map(|at| at.timestamp()), Some(1_769_817_600), "{}", sample.name);
            assert_eq!(sample.quota.map(|rate| rate.limit().burst.get()), Some(1));
        }
    }

    #[test]
    fn base_urls_lose_their_last_slash_and_must_be_http() {
        assert_eq!(base_url("https://h.example/api/v3/"), Ok("https://h.example/api/v3".into()));
        for bad in ["ftp://h.example", "h.example", "https://h.example/?a=b", ""] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }
}

//! One call of the protocol: what it says, and when it was.

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::GROUP;
use super::settings::Settings;
use crate::{Belongs, Counted, Delivery, Key, Member, Record, Usage, Version};

/// The largest event, in bytes ("HTTP API", Max request size).
pub(super) const LARGEST: usize = 32 * 1024;

/// A call, as it came. What it does not name is not read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call<'a> {
    #[serde(rename = "type", default, deserialize_with = "text")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "text")]
    message_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    anonymous_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    group_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    previous_id: Option<String>,
    #[serde(default, deserialize_with = "text")]
    event: Option<String>,
    #[serde(default, deserialize_with = "text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "instant")]
    timestamp: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "instant")]
    original_timestamp: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "instant")]
    sent_at: Option<DateTime<Utc>>,
    #[serde(default, borrow)]
    context: Option<&'a RawValue>,
    #[serde(default, borrow)]
    traits: Option<&'a RawValue>,
}

/// Of the batch around it.
#[derive(Clone, Copy, Default)]
pub(super) struct Around<'a> {
    pub(super) sent_at: Option<DateTime<Utc>>,
    pub(super) context: Option<&'a RawValue>,
}

/// Some senders write ids as numbers. What is neither is as good as absent.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => Some(text).filter(|text| !text.trim().is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// ISO 8601, or milliseconds since 1970, as some senders write it. What is neither is as good as absent.
pub(super) fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => moment(text.trim()),
        Value::Number(number) => number.as_i64().and_then(DateTime::from_timestamp_millis),
        _ => None,
    })
}

fn moment(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.to_utc());
    // Python's isoformat of a naive time names no zone.
    zoned.or_else(|| text.parse::<chrono::NaiveDateTime>().ok().map(|moment| moment.and_utc()))
}

/// When it was, by our clock: the sender's clock may be off by as much as it says it sent this later or earlier than we
/// received it ("Spec: Common Fields", Timestamps: `receivedAt - (sentAt - originalTimestamp)`).
fn when(call: &Call<'_>, around: Around<'_>, now: DateTime<Utc>) -> DateTime<Utc> {
    let corrected = match (call.original_timestamp, call.timestamp, call.sent_at.or(around.sent_at)) {
        // Both: somebody on the way has corrected it already.
        (Some(_), Some(corrected), _) => corrected,
        // Times that lie further apart than any calendar say nothing.
        (Some(original), None, Some(sent)) | (None, Some(original), Some(sent)) => {
            now.checked_sub_signed(sent.signed_duration_since(original)).unwrap_or(now)
        }
        (Some(original), None, None) | (None, Some(original), None) => original,
        (None, None, _) => now,
    };
    // Nothing is used before it happens; and a clock that stands at its beginning says nothing.
    if corrected > now || corrected.year() < 2000 { now } else { corrected }
}

/// A part of a JSON text, by a path of keys.
fn part(raw: Option<&RawValue>, path: &[&str]) -> Option<Value> {
    let (first, rest) = match path.split_first() {
        Some((first, rest)) => (*first, rest),
        None => return serde_json::from_str(raw?.get()).ok(),
    };
    let fields: std::collections::BTreeMap<std::borrow::Cow<'_, str>, &RawValue> =
        serde_json::from_str(raw?.get()).ok()?;
    part(fields.get(first).copied(), rest)
}

fn part_text(raw: Option<&RawValue>, path: &[&str]) -> Option<String> {
    text(part(raw, path)?).ok().flatten()
}

/// Puts into the delivery what a call says. `kind`: of a path that names it.
///
/// # Errors
/// Why there is nothing in it, for people.
pub(super) fn take(
    raw: &RawValue,
    kind: Option<&str>,
    around: Around<'_>,
    settings: &Settings,
    now: DateTime<Utc>,
    into: &mut Delivery,
) -> Result<(), &'static str> {
    if raw.get().len() > LARGEST {
        return Err("an event is larger than 32 KB");
    }
    let call: Call<'_> = serde_json::from_str(raw.get()).map_err(|_| "an event is no JSON object")?;
    let kind = kind.or(call.kind.as_deref()).ok_or("an event has no type")?;
    if call.user_id.is_none() && call.anonymous_id.is_none() {
        return Err("an event has neither userId nor anonymousId");
    }
    let somebody = call.user_id.clone().or_else(|| call.anonymous_id.clone());
    let mut belongs = |user: &Option<String>, of: Belongs| {
        into.members.extend(user.clone().map(|user| Member { user, of }));
    };
    match kind {
        "track" | "page" | "screen" => {}
        "identify" => {
            if let (Some(_), Some(user)) = (&call.anonymous_id, &call.user_id) {
                belongs(&call.anonymous_id, Belongs::Person(user.clone()));
            }
            let company = part_text(call.traits, &["company", "id"]);
            match (company, part_text(call.traits, &["email"])) {
                (Some(company), _) => belongs(&somebody, Belongs::Account(company)),
                (None, Some(email)) => belongs(&somebody, Belongs::Email(email)),
                (None, None) => {}
            }
            return Ok(());
        }
        "group" => {
            let group = call.group_id.clone().ok_or("a group call has no groupId")?;
            belongs(&call.user_id, Belongs::Account(group.clone()));
            belongs(&call.anonymous_id, Belongs::Account(group.clone()));
            let traits =
                part(call.traits, &[]).filter(|traits| traits.as_object().is_some_and(|traits| !traits.is_empty()));
            // Without traits it says who belongs there, and nothing of the group.
            into.records.extend(traits.map(|traits| Record {
                key: Key::new(GROUP, group.clone()),
                version: Some(Version(when(&call, around, now).timestamp_millis())),
                body: Some(serde_json::json!({"groupId": group, "traits": traits})),
                url: None,
                edits: Vec::new(),
            }));
            return Ok(());
        }
        "alias" => {
            let user = call.user_id.clone().ok_or("an alias call has no userId")?;
            let previous = call.previous_id.clone().ok_or("an alias call has no previousId")?;
            belongs(&Some(previous), Belongs::Person(user));
            return Ok(());
        }
        _ => return Err("an event has a type that the protocol has not"),
    }
    let account = settings.account.iter().find_map(|path| {
        let keys: Vec<&str> = path.split('.').collect();
        match keys.as_slice() {
            ["groupId"] => call.group_id.clone(),
            ["context", rest @ ..] => part_text(call.context, rest).or_else(|| part_text(around.context, rest)),
            keys => part_text(Some(raw), keys),
        }
    });
    if let Some(account) = &account {
        // So that an event of theirs which does not say so finds its account.
        belongs(&call.user_id, Belongs::Account(account.clone()));
    }
    let feature = match (kind, &call.event, &call.name) {
        ("track", Some(event), _) => event.trim().to_owned(),
        ("track", None, _) => return Err("a track call has no event"),
        _ if !settings.pages => return Ok(()),
        (_, _, Some(name)) => format!("{kind}: {}", name.trim()),
        (_, _, None) => kind.to_owned(),
    };
    if !settings.counts(&feature) {
        return Ok(());
    }
    let id = call.message_id.clone().unwrap_or_else(|| format!("{:x}", Sha256::digest(raw.get())));
    into.usage.push(Usage {
        account,
        email: part_text(call.context, &["traits", "email"]),
        day: when(&call, around, now).date_naive(),
        user: call.user_id,
        anonymous: call.anonymous_id,
        feature,
        count: Counted::Once(id),
    });
    Ok(())
}

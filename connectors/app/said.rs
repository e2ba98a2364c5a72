//! What is sent to `POST /v1/feedback`. The law: `openapi.json` says the same, and a test holds the two together.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::table::{Table, invalid};
use crate::Refusal;

/// Feedback about a feature; a thumb after a task; what somebody was trying to do when an error page came; a search that found
/// nothing; why somebody cancels.
const KINDS: [&str; 5] = ["feedback", "thumbs", "error", "search", "cancellation"];
/// Characters of what a person typed.
const TEXT: usize = 10_000;
/// Characters of a name, an id, a version.
const NAME: usize = 200;
const URL: usize = 2048;
/// How far a clock may go fast before its time is not believed.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// One piece, checked.
pub(super) struct Said {
    pub(super) idempotency_key: Option<String>,
    pub(super) body: Map<String, Value>,
}

impl Said {
    pub(super) fn read(value: &Value, now: DateTime<Utc>) -> Result<Self, Refusal> {
        let mut table = Table::of("", value)?;
        table.text("key", NAME)?;
        let idempotency_key = table.text("idempotency_key", NAME)?;
        let kind = table.one_of("kind", &KINDS)?.unwrap_or_else(|| "feedback".into());
        table.kept.insert("kind".into(), kind.clone().into());
        let text = table.keep("text", TEXT)?;
        let rating = table.one_of("rating", &["up", "down"])?;
        let query = table.keep("query", 1000)?;
        let reason = table.keep("reason", NAME)?;
        table.keep("task", NAME)?;
        table.keep("feature", NAME)?;
        table.keep("url", URL)?;
        table.keep("page_title", NAME)?;
        table.keep("app_version", NAME)?;
        table.keep("locale", NAME)?;
        if let Some(at) = moment(&mut table, now)? {
            table.kept.insert("at".into(), at.into());
        }
        let lacks = |there: bool, field: &str, mend: &str| {
            if there { Ok(()) } else { Err(invalid(field, format!("is missing, and \"{kind}\" needs it"), mend)) }
        };
        match kind.as_str() {
            "thumbs" => lacks(rating.is_some(), "rating", "send \"up\" or \"down\"")?,
            "search" => lacks(query, "query", "send what was searched for")?,
            "cancellation" => {
                lacks(text || reason, "text", "send what the person answered, or the reason that they chose")?;
            }
            _ => lacks(text, "text", "send what the person wrote")?,
        }
        if let Some(rating) = rating {
            table.kept.insert("rating".into(), rating.into());
        }
        if let Some(mut error) = table.table("error")? {
            error.keep_id("code", NAME)?;
            error.keep("message", 1000)?;
            error.keep_id("id", NAME)?;
            put(&mut table, "error", error.done()?);
        }
        if let Some(mut user) = table.table("user")? {
            user.keep_id("id", NAME)?;
            user.keep("email", 320)?;
            user.keep("name", NAME)?;
            put(&mut table, "user", user.done()?);
        }
        if let Some(mut account) = table.table("account")? {
            account.keep_id("id", NAME)?;
            account.keep("name", NAME)?;
            account.keep("domain", 253)?;
            account.keep("plan", NAME)?;
            put(&mut table, "account", account.done()?);
        }
        table.keep_free("metadata", 20, 64, 500)?;
        Ok(Self { idempotency_key, body: table.done()? })
    }
}

fn put(table: &mut Table<'_>, name: &str, kept: Map<String, Value>) {
    if !kept.is_empty() {
        table.kept.insert(name.into(), kept.into());
    }
}

/// When it was said, in UTC. A clock that is wrong must not lose the piece: then the time at which it comes in counts.
fn moment(table: &mut Table<'_>, now: DateTime<Utc>) -> Result<Option<String>, Refusal> {
    let Some(text) = table.text("at", 64)? else { return Ok(None) };
    let at = DateTime::parse_from_rfc3339(text.trim())
        .map_err(|_| invalid("at", "is no time", "send it as 2026-01-31T08:00:00Z, or leave it out"))?;
    let at = at.to_utc();
    let believed = at <= now + AHEAD && at.timestamp() > 946_684_800; // 2000
    Ok(believed.then(|| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)))
}

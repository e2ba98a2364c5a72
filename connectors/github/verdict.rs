//! What an answer of GitHub's means, said once.
//!
//! Facts (GitHub docs, "Rate limits for the REST API" and "Best practices", read 2026-11-23): the primary limit is 403
//! or 429 with `x-ratelimit-remaining: 0`, until `x-ratelimit-reset`; the secondary limit is 403 or 429 with
//! `retry-after` or a message that speaks of a rate limit, then at least a minute; any other 403 is a permission. A
//! renamed repository and a transferred issue answer 301, a deleted issue 410, and what the token may not see 404.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::fault::Fault;
use crate::http::Answer;

/// A good answer, or one that says where the thing went.
#[derive(Debug)]
pub(crate) enum Told {
    Here(Answer),
    /// 304.
    Unchanged,
    /// 404 or 410.
    Missing,
    /// 301, 302, 307, 308, with the place.
    Moved(Option<String>),
}

#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) told: Result<Told, Fault>,
    /// It was an answer that said "too many".
    pub(crate) throttled: bool,
    /// Nothing should go out for this long.
    pub(crate) close_for: Option<Duration>,
}

pub(crate) fn judge(answer: Answer, write: bool, now: DateTime<Utc>) -> Verdict {
    let now = server_time(&answer).unwrap_or(now);
    let status = answer.status.as_u16();
    let spent = (answer.number("x-ratelimit-remaining") == Some(0)).then(|| until_reset(&answer, now)).flatten();
    let plain = |told| Verdict { told, throttled: false, close_for: spent };
    let throttle = |wait: Duration, what: &str| Verdict {
        told: Err(Fault::Later { after: Some(wait), why: format!("GitHub's {what} rate limit") }),
        throttled: true,
        close_for: Some(wait),
    };
    match status {
        200..=299 => plain(Ok(Told::Here(answer))),
        304 => plain(Ok(Told::Unchanged)),
        301 | 302 | 307 | 308 => plain(Ok(Told::Moved(answer.header("location").map(str::to_owned)))),
        404 | 410 => plain(Ok(Told::Missing)),
        401 => plain(Err(Fault::locked(format!("GitHub refuses the credential: {}", message(&answer))))),
        403 | 429 => {
            let said = message(&answer);
            let lower = said.to_ascii_lowercase();
            match (spent, answer.retry_after()) {
                (_, Some(wait)) => throttle(wait.max(Duration::from_secs(1)), "secondary"),
                (Some(wait), None) => throttle(wait, "primary"),
                (None, None) if status == 429 || lower.contains("rate limit") || lower.contains("abuse detection") => {
                    throttle(Duration::from_secs(60), "secondary")
                }
                // Not the credential's fault but this one thread's.
                (None, None)
                    if write && ["is locked", "archived", "blocked"].iter().any(|word| lower.contains(word)) =>
                {
                    plain(Err(Fault::rejected(said)))
                }
                (None, None) => plain(Err(Fault::locked(format!("GitHub forbids it: {said}")))),
            }
        }
        408 | 500..=599 if write => plain(Err(Fault::unknown(format!("HTTP {status} to a write")))),
        408 | 409 | 500..=599 => {
            let why = format!("HTTP {status}: {}", message(&answer));
            plain(Err(Fault::Later { after: answer.retry_after(), why }))
        }
        400..=499 => {
            plain(Err(Fault::Rejected { why: format!("HTTP {status}: {}", message(&answer)), field: field(&answer) }))
        }
        _ => plain(Err(Fault::unknown(format!("HTTP {status} is not an answer that GitHub documents")))),
    }
}

/// GitHub's own time, so that a wait does not depend on our clock being right.
pub(crate) fn server_time(answer: &Answer) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(answer.header("date")?).ok().map(|at| at.to_utc())
}

/// Until `x-ratelimit-reset` and a second more; never beyond the hour that a window lasts.
fn until_reset(answer: &Answer, now: DateTime<Utc>) -> Option<Duration> {
    let left = answer.number("x-ratelimit-reset")?.saturating_sub(now.timestamp()).saturating_add(1);
    u64::try_from(left.clamp(1, 3660)).ok().map(Duration::from_secs)
}

/// What GitHub said, cut to 300 characters; nothing of a body that is not its error object.
pub(crate) fn message(answer: &Answer) -> String {
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let Some(text) = said["message"].as_str() else { return format!("HTTP {}", answer.status) };
    let detail = said["errors"].as_array().and_then(|errors| errors.first()).map(|error| {
        let part = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        error.as_str().map_or_else(
            || format!(" ({} {} {})", part("field"), part("code"), part("message")),
            |text| format!(" ({text})"),
        )
    });
    format!("{text}{}", detail.unwrap_or_default()).chars().take(300).collect()
}

fn field(answer: &Answer) -> Option<String> {
    let said: Value = serde_json::from_slice(&answer.body).ok()?;
    said["errors"].as_array()?.iter().find_map(|error| error["field"].as_str()).map(str::to_owned)
}

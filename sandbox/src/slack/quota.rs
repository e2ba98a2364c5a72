//! Rate limits: for each method, workspace and app, in windows of a minute. Posting is for each channel, about one a second with short
//! bursts. (Vendor sheet sections 6, 7 and 9, 2026-11-23.)

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::Request;

use super::Slack;
use super::args::Args;

/// Messages that one channel takes in any five seconds.
const BURST: usize = 5;

/// How many calls in how many seconds; and whether each channel has its own.
fn tier(method: &str, restricted: bool) -> (usize, i64, bool) {
    match method {
        "conversations.history" | "conversations.replies" if restricted => (1, 60, false),
        "chat.postMessage" | "chat.postEphemeral" => (BURST, 5, true),
        "apps.connections.open" => (20, 60, false),
        "conversations.list" | "users.list" | "reactions.remove" => (20, 60, false),
        "users.info" | "conversations.members" => (100, 60, false),
        "auth.test" | "chat.getPermalink" | "api.test" => (600, 60, false),
        _ => (50, 60, false),
    }
}

impl Slack {
    /// Counts a call.
    ///
    /// # Errors
    /// Seconds until the next is taken.
    pub(super) fn count(&mut self, method: &str, request: &Request<Bytes>, now: DateTime<Utc>) -> Result<(), u64> {
        let (calls, seconds, of_channel) = tier(method, self.restricted);
        let args = Args::read(request).ok();
        let whose = args.as_ref().and_then(|args| args.token.clone()).unwrap_or_default();
        let channel = args.filter(|_| of_channel).and_then(|args| args.text("channel")).unwrap_or_default();
        let window = self.windows.entry((method.to_owned(), format!("{whose} {channel}"))).or_default();
        while window.front().is_some_and(|first| *first + TimeDelta::seconds(seconds) <= now) {
            window.pop_front();
        }
        match window.front() {
            Some(first) if window.len() >= calls * self.lenience => {
                let wait = (*first + TimeDelta::seconds(seconds) - now).num_milliseconds();
                Err(u64::try_from(wait).unwrap_or(0).div_ceil(1000).max(1))
            }
            _ => {
                window.push_back(now);
                Ok(())
            }
        }
    }

    /// As if the limit had just been reached: the seconds to wait.
    pub(super) fn exhaust(&mut self, method: &str, request: &Request<Bytes>, now: DateTime<Utc>) -> u64 {
        loop {
            if let Err(wait) = self.count(method, request, now) {
                return wait;
            }
        }
    }
}

//! Where the sweep's stream stands, as the engine keeps it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::known::News;
use crate::Cursor;
use crate::json::text;

/// The most captured messages that are remembered, the newest; older ones are looked at by their events only.
const MOST_CAPTURED: usize = 2_000;

/// Where the stream stands. Times in unix seconds, or as Slack's time stamps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Position {
    /// When the last turn came to its end (at one request a minute it may have taken hours), and when the last deep one began.
    pub(super) swept: Option<i64>,
    pub(super) deep: Option<i64>,
    /// Until when each channel's history is known.
    pub(super) channels: BTreeMap<String, String>,
    pub(super) captured: BTreeMap<String, Seen>,
    pub(super) turn: Option<Turn>,
}

/// What was last seen of a captured message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    pub(super) print: u64,
    /// A reply: a channel's history does not show it.
    pub(super) reply: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Turn {
    pub(super) began: i64,
    pub(super) until: String,
    pub(super) deep: bool,
    /// The next page of the list of channels; none: it is complete.
    pub(super) listing: Option<String>,
    pub(super) pending: BTreeSet<String>,
    pub(super) reading: Option<Reading>,
    pub(super) threads: Vec<Thread>,
    /// Captured replies of a deep turn's window that no thread has shown yet: deleted, perhaps, or their thread began long ago.
    pub(super) replies: BTreeSet<String>,
}

/// A channel's window, under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reading {
    pub(super) channel: String,
    pub(super) oldest: String,
    pub(super) cursor: String,
    /// Captured messages that it has shown.
    pub(super) seen: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Thread {
    pub(super) channel: String,
    pub(super) ts: String,
    pub(super) cursor: String,
}

pub(super) fn cursor(at: &Position) -> Cursor {
    Cursor(serde_json::to_value(at).unwrap_or_default())
}

/// What events have told since the last pull.
pub(super) fn note(captured: &mut BTreeMap<String, Seen>, news: &BTreeMap<String, News>) {
    for (id, news) in news {
        match news {
            News::Told => drop(captured.entry(id.clone()).or_default()),
            News::Saw(seen) => drop(captured.insert(id.clone(), seen.clone())),
            News::Lost => drop(captured.remove(id)),
        }
    }
}

/// Captured messages of the window that its pages have not shown: deleted, perhaps.
pub(super) fn missing(at: &Position, turn: &Turn, reading: &Reading) -> Vec<String> {
    let ours = at.captured.iter().filter(|(_, seen)| !seen.reply).filter_map(|(id, _)| super::place(id));
    ours.filter(|(channel, _)| *channel == reading.channel)
        .map(|(_, ts)| ts.to_owned())
        .filter(|ts| *ts >= reading.oldest && *ts <= turn.until && !reading.seen.contains(ts))
        .collect()
}

/// Changes when what matters of a message does.
pub(super) fn print(message: &Value, captured: &Value, threads: bool) -> u64 {
    let mut hasher = Sha256::new();
    let mut put = |text: Option<String>| hasher.update([text.unwrap_or_default().as_bytes(), b"\0"].concat());
    put(text(message, "text"));
    put(text(&message["edited"], "ts"));
    put(Some(captured.to_string()));
    if threads {
        put(text(message, "latest_reply"));
        put(Some(message["reply_count"].to_string()));
    }
    let digest = hasher.finalize();
    digest.iter().take(8).fold(0, |print, byte| print << 8 | u64::from(*byte))
}

pub(super) fn shorten(captured: &mut BTreeMap<String, Seen>) {
    if captured.len() <= MOST_CAPTURED {
        return;
    }
    let time = |id: &str| super::place(id).map(|(_, ts)| ts.to_owned()).unwrap_or_default();
    let mut times: Vec<String> = captured.keys().map(|id| time(id)).collect();
    times.sort_unstable();
    let oldest = times[times.len() - MOST_CAPTURED].clone();
    captured.retain(|id, _| time(id) >= oldest);
}

//! What no event told: after a downtime, after a throttled hour, or where no events come at all.
//!
//! Slack repeats nothing, but the history of a channel shows each message with its reactions as they are now. A turn lists the channels,
//! reads each one's window page by page, and then the threads in which somebody has written lately. It brings a message only if a
//! capturing reaction came or went, its text was edited, or something was answered below it, since the last look.
//!
//! The law of the position: it holds where a turn stands and what was last seen of each captured message, so that a quota that stops
//! midway, or a crash, loses nothing; a channel's mark moves to the turn's beginning when its window is read to the end. An ordinary
//! turn looks back an hour, a deep one (daily, and after an hour without) `rescan_days`: reactions come late. At one request a minute all
//! this is the same, and slow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::capture::next_cursor;
use super::client::Told;
use super::settings::Swept;
use super::{Slack, is_id, is_ts, stamp};
use crate::fault::Fault;
use crate::json::{array, text};
use crate::{Cursor, Next, Page, Record};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// The most captured messages that are remembered, the newest; older ones are looked at by their events only.
const MOST_CAPTURED: usize = 2_000;
/// The most threads of a turn, so that a turn ends.
const MOST_THREADS: usize = 500;

/// Where the stream stands. Times in unix seconds, or as Slack's time stamps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    /// When the last turn came to its end (at one request a minute it may have taken hours), and when the last deep one began.
    swept: Option<i64>,
    deep: Option<i64>,
    /// Until when each channel's history is known.
    channels: BTreeMap<String, String>,
    captured: BTreeMap<String, Seen>,
    turn: Option<Turn>,
}

/// What was last seen of a captured message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Seen {
    print: u64,
    /// A reply: a channel's history does not show it.
    reply: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Turn {
    began: i64,
    until: String,
    deep: bool,
    /// The next page of the list of channels; none: it is complete.
    listing: Option<String>,
    pending: BTreeSet<String>,
    reading: Option<Reading>,
    threads: Vec<Thread>,
}

/// A channel's window, under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Reading {
    channel: String,
    oldest: String,
    cursor: String,
    /// Captured messages that it has shown.
    seen: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Thread {
    channel: String,
    ts: String,
    cursor: String,
}

impl Slack {
    pub(super) async fn sweep(&self, after: Option<&Cursor>) -> Result<Page, Fault> {
        let mut at = match after {
            None => Position::default(),
            Some(Cursor(value)) => Position::deserialize(value).map_err(|error| {
                Fault::locked(format!("the stored position of Slack's history cannot be read: {error}"))
            })?,
        };
        let begins = at.turn.is_none();
        let mut turn = at.turn.take().unwrap_or_else(|| self.begin(&at));
        let mut records = Vec::new();
        let done = if turn.listing.is_some() {
            self.list(&mut turn).await?;
            false
        } else if let Some(reading) = turn.reading.take().or_else(|| self.next_channel(&at, &mut turn)) {
            self.read_channel(&mut at, &mut turn, reading, &mut records).await?;
            false
        } else if let Some(thread) = turn.threads.pop() {
            self.read_thread(&mut at, &mut turn, thread, &mut records).await?;
            false
        } else {
            true
        };
        if begins {
            // Only now: a turn whose first call fails is begun anew, and must look as far back.
            self.gap.store(false, Ordering::Relaxed);
        }
        if done {
            at.swept = Some(self.client.clock().now().timestamp());
            at.deep = if turn.deep { Some(turn.began) } else { at.deep };
            shorten(&mut at.captured);
        } else {
            at.turn = Some(turn);
        }
        let cursor = Cursor(serde_json::to_value(at).unwrap_or_default());
        Ok(Page::of(records, if done { Next::CaughtUp(cursor) } else { Next::More(cursor) }))
    }

    fn begin(&self, at: &Position) -> Turn {
        let now = self.client.clock().now();
        let began = now.timestamp();
        let ago = |then: Option<i64>| then.map_or(i64::MAX, |then| began.saturating_sub(then));
        let deaf = !self.hears.load(Ordering::Relaxed);
        let gap = self.gap.load(Ordering::Relaxed);
        let deep = deaf || gap || ago(at.swept) > HOUR || ago(at.deep) >= DAY;
        Turn { began, until: stamp(now), deep, listing: Some(String::new()), ..Turn::default() }
    }

    /// A page of the list of channels that we are in.
    async fn list(&self, turn: &mut Turn) -> Result<(), Fault> {
        let page = turn.listing.take().unwrap_or_default();
        turn.pending.extend(self.settings.channels.keys().cloned());
        if self.settings.sweep != Swept::Joined {
            return Ok(());
        }
        let mut types = "public_channel,private_channel";
        let answer = loop {
            let mut args = vec![("types", types), ("exclude_archived", "true"), ("limit", "200")];
            if !page.is_empty() {
                args.push(("cursor", &page));
            }
            match self.client.told("users.conversations", &args).await? {
                Told::Here(answer) => break answer,
                // Without groups:read there are the public ones.
                Told::Not(refusal) if refusal.code == "missing_scope" && types.contains(',') => {
                    types = "public_channel";
                }
                Told::Not(refusal) => return Err(refusal.fault()),
            }
        };
        turn.pending
            .extend(array(&answer, "channels").iter().filter_map(|channel| text(channel, "id")).filter(|id| is_id(id)));
        turn.listing = Some(next_cursor(&answer)).filter(|next| !next.is_empty() && *next != page);
        Ok(())
    }

    fn next_channel(&self, at: &Position, turn: &mut Turn) -> Option<Reading> {
        let channel = turn.pending.pop_first()?;
        let rescan = i64::from(self.settings.rescan_days) * DAY;
        let oldest = match at.channels.get(&channel).and_then(|mark| super::millis(mark)) {
            Some(mark) => mark / 1000 - if turn.deep { rescan } else { HOUR },
            None => self.settings.start.map_or(turn.began - rescan, |start| start.timestamp()),
        };
        Some(Reading { channel, oldest: format!("{}.000000", oldest.max(0)), ..Reading::default() })
    }

    async fn read_channel(
        &self,
        at: &mut Position,
        turn: &mut Turn,
        mut reading: Reading,
        records: &mut Vec<Record>,
    ) -> Result<(), Fault> {
        let channel = reading.channel.clone();
        let mut args = vec![
            ("channel", channel.as_str()),
            ("oldest", &reading.oldest),
            ("latest", &turn.until),
            ("inclusive", "true"),
            ("limit", self.client.page()),
        ];
        if !reading.cursor.is_empty() {
            args.push(("cursor", &reading.cursor));
        }
        let work = format!("{channel} {} {}", turn.until, reading.cursor);
        let Some(page) = self.page_of(&work, "conversations.history", &args).await? else {
            tracing::warn!(channel, "Slack does not show the history of this channel; it is left out of this turn");
            return Ok(());
        };
        let next = next_cursor(&page);
        let last = next.is_empty() || next == reading.cursor;
        let taken = self.take_page(at, turn, &mut reading, &page, last).await;
        match taken {
            Ok(taken) => records.extend(taken),
            Err(fault) => {
                self.pages.put(self.client.clock(), &work, page);
                return Err(fault);
            }
        }
        if last {
            at.channels.insert(channel, turn.until.clone());
        } else {
            reading.cursor = next;
            turn.reading = Some(reading);
        }
        Ok(())
    }

    /// The records that a page of a channel's history gives.
    async fn take_page(
        &self,
        at: &mut Position,
        turn: &mut Turn,
        reading: &mut Reading,
        page: &Value,
        last: bool,
    ) -> Result<Vec<Record>, Fault> {
        let mut records = Vec::new();
        // All or nothing: what is noted here of a page that a quota stops is noted again.
        for message in array(page, "messages") {
            let Some(ts) = text(message, "ts").filter(|ts| is_ts(ts)) else { continue };
            reading.seen.insert(ts.clone());
            records.extend(self.look(at, &reading.channel, message, false).await?);
            let lively = text(message, "latest_reply").is_some_and(|latest| latest >= reading.oldest);
            let thread = Thread { channel: reading.channel.clone(), ts, cursor: String::new() };
            if turn.deep && lively && turn.threads.len() < MOST_THREADS && !turn.threads.contains(&thread) {
                turn.threads.push(thread);
            }
        }
        if last {
            for ts in missing(at, turn, reading) {
                records.extend(self.message(&reading.channel, &ts).await?);
                at.captured.remove(&format!("{}:{ts}", reading.channel));
            }
        } else {
            // Of what it has shown, only what was captured matters at the end.
            reading.seen.retain(|ts| at.captured.contains_key(&format!("{}:{ts}", reading.channel)));
        }
        Ok(records)
    }

    async fn read_thread(
        &self,
        at: &mut Position,
        turn: &mut Turn,
        thread: Thread,
        records: &mut Vec<Record>,
    ) -> Result<(), Fault> {
        let mut args = vec![("channel", thread.channel.as_str()), ("ts", &thread.ts), ("limit", self.client.page())];
        if !thread.cursor.is_empty() {
            args.push(("cursor", &thread.cursor));
        }
        let work = format!("{}:{} {} {}", thread.channel, thread.ts, turn.until, thread.cursor);
        let Some(page) = self.page_of(&work, "conversations.replies", &args).await? else { return Ok(()) };
        for reply in array(&page, "messages").iter().filter(|reply| reply["ts"].as_str() != Some(&thread.ts)) {
            match self.look(at, &thread.channel, reply, true).await {
                Ok(record) => records.extend(record),
                Err(fault) => {
                    self.pages.put(self.client.clock(), &work, page);
                    return Err(fault);
                }
            }
        }
        let next = next_cursor(&page);
        if !next.is_empty() && next != thread.cursor {
            turn.threads.push(Thread { cursor: next, ..thread });
        }
        Ok(())
    }

    /// A page, from memory where the quota stopped what was to be made of it. `None`: it is not for us.
    async fn page_of(
        &self,
        work: &str,
        method: &'static str,
        args: &[(&'static str, &str)],
    ) -> Result<Option<Value>, Fault> {
        if let Some(page) = self.pages.take(self.client.clock(), work) {
            return Ok(Some(page));
        }
        match self.client.told(method, args).await? {
            Told::Here(page) => Ok(Some(page)),
            Told::Not(refusal) => match refusal.fault() {
                Fault::Rejected { .. } => Ok(None),
                fault => Err(fault),
            },
        }
    }

    /// The record of a message, if it says anything new.
    async fn look(
        &self,
        at: &mut Position,
        channel: &str,
        message: &Value,
        reply: bool,
    ) -> Result<Option<Record>, Fault> {
        let Some(ts) = text(message, "ts").filter(|ts| is_ts(ts)) else { return Ok(None) };
        let id = format!("{channel}:{ts}");
        let Some(captured) = self.capture_of(message) else {
            let was = at.captured.contains_key(&id) || self.captured().contains(&id);
            let record = if was { self.record(channel, message).await? } else { None };
            at.captured.remove(&id);
            return Ok(record);
        };
        let print = print(message, &captured, self.settings.threads);
        if at.captured.get(&id).is_some_and(|seen| seen.print == print) {
            self.note_captured(&id, true);
            return Ok(None);
        }
        let record = self.record(channel, message).await?;
        if record.is_some() {
            at.captured.insert(id, Seen { print, reply });
        }
        Ok(record)
    }
}

/// Captured messages of the window that its pages have not shown: deleted, perhaps.
fn missing(at: &Position, turn: &Turn, reading: &Reading) -> Vec<String> {
    let ours = at.captured.iter().filter(|(_, seen)| !seen.reply).filter_map(|(id, _)| super::place(id));
    ours.filter(|(channel, _)| *channel == reading.channel)
        .map(|(_, ts)| ts.to_owned())
        .filter(|ts| *ts >= reading.oldest && *ts <= turn.until && !reading.seen.contains(ts))
        .collect()
}

/// Changes when what matters of a message does.
fn print(message: &Value, captured: &Value, threads: bool) -> u64 {
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

fn shorten(captured: &mut BTreeMap<String, Seen>) {
    if captured.len() <= MOST_CAPTURED {
        return;
    }
    let time = |id: &str| super::place(id).map(|(_, ts)| ts.to_owned()).unwrap_or_default();
    let mut times: Vec<String> = captured.keys().map(|id| time(id)).collect();
    times.sort_unstable();
    let oldest = times[times.len() - MOST_CAPTURED].clone();
    captured.retain(|id, _| time(id) >= oldest);
}

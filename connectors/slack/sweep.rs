//! What no event told: after a downtime, after a throttled hour, or where no events come at all.
//!
//! Slack repeats nothing, but the history of a channel shows each message with its reactions as they are now. A turn lists the channels,
//! reads each one's window page by page, and then the threads in which somebody has written lately. It brings a message only if a
//! capturing reaction came or went, its text was edited, or something was answered below it, since the last look.
//!
//! The law of the position: it holds where a turn stands and what was last seen of each captured message, so that a quota that stops
//! midway, or a crash, loses nothing; a channel's mark moves to the turn's beginning when its window is read to the end. An ordinary
//! turn looks back an hour, a deep one (daily, after a downtime, and while no events come) `rescan_days`: reactions come late. At one
//! request a minute all this is the same, and slow. A pull that an event asked for only saves what it told of ([`super::known`]).

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde_json::Value;

use super::capture::next_cursor;
use super::client::Told;
use super::position::{Position, Reading, Seen, Thread, Turn, cursor, missing, note, print, shorten};
use super::settings::Swept;
use super::{Slack, is_id, is_ts, stamp};
use crate::fault::Fault;
use crate::json::{array, text};
use crate::{Cursor, Next, Page, Record};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// So long Slack tells again what it could not deliver: at once, after one minute, after five.
pub(super) const BRIDGED: i64 = 300;
/// The most threads of a turn, so that a turn ends.
const MOST_THREADS: usize = 500;

impl Slack {
    pub(super) async fn sweep(&self, after: Option<&Cursor>) -> Result<Page, Fault> {
        let mut at = match after {
            None => Position::default(),
            Some(Cursor(value)) => Position::deserialize(value).map_err(|error| {
                Fault::locked(format!("the stored position of Slack's history cannot be read: {error}"))
            })?,
        };
        let (unsaved, asked) = self.captured.unsaved();
        note(&mut at.captured, &unsaved);
        let fresh = self.fresh.load(Ordering::Relaxed);
        if fresh {
            self.captured.restore(at.captured.keys());
        }
        if asked && at.turn.is_none() && self.has_just_swept(&at) {
            return Ok(Page::of(Vec::new(), Next::CaughtUp(cursor(&at))));
        }
        // A turn whose first call fails is begun anew, and must look as far back.
        let gap = at.turn.is_none() && self.gap.swap(false, Ordering::Relaxed);
        let outdated = fresh && at.turn.as_ref().is_some_and(|turn| self.ago(Some(turn.began)) > BRIDGED);
        match self.go_on(at, gap).await {
            Ok(page) => {
                self.fresh.store(false, Ordering::Relaxed);
                if outdated {
                    // What it had read before we were down may have changed since.
                    self.gap.store(true, Ordering::Relaxed);
                }
                Ok(page)
            }
            Err(fault) => {
                self.captured.give_back(unsaved);
                self.gap.fetch_or(gap, Ordering::Relaxed);
                Err(fault)
            }
        }
    }

    /// One call's worth of the turn.
    async fn go_on(&self, mut at: Position, gap: bool) -> Result<Page, Fault> {
        let mut turn = at.turn.take().unwrap_or_else(|| self.begin(&at, gap));
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
        } else if let Some(reply) = turn.replies.pop_first() {
            match self.look_again(&mut at, &reply).await {
                Ok(record) => records.extend(record),
                // Its channel is not ours to read any more, which says nothing of it.
                Err(Fault::Rejected { why, .. }) => tracing::debug!(reply, why, "a captured reply is not shown"),
                Err(fault) => return Err(fault),
            }
            false
        } else {
            true
        };
        if done {
            at.swept = Some(self.client.clock().now().timestamp());
            at.deep = if turn.deep { Some(turn.began) } else { at.deep };
            shorten(&mut at.captured);
        } else {
            at.turn = Some(turn);
        }
        let cursor = cursor(&at);
        Ok(Page::of(records, if done { Next::CaughtUp(cursor) } else { Next::More(cursor) }))
    }

    pub(super) fn ago(&self, then: Option<i64>) -> i64 {
        then.map_or(i64::MAX, |then| self.client.clock().now().timestamp().saturating_sub(then))
    }

    /// Nothing can have been missed since the last turn.
    fn has_just_swept(&self, at: &Position) -> bool {
        let missing = self.gap.load(Ordering::Relaxed) || self.has_lost_its_line();
        // Its own turn comes every ten minutes.
        let lately = if self.fresh.load(Ordering::Relaxed) { 1 } else { 3 };
        !missing && self.ago(at.swept) < lately * BRIDGED
    }

    fn begin(&self, at: &Position, gap: bool) -> Turn {
        let now = self.client.clock().now();
        let began = now.timestamp();
        let deaf = !self.hears.load(Ordering::Relaxed) || self.has_lost_its_line();
        // How long we were down is not known, but it began after the last turn.
        let down = self.fresh.load(Ordering::Relaxed) && self.ago(at.swept) > BRIDGED;
        let deep = deaf || gap || down || self.ago(at.swept) > HOUR || self.ago(at.deep) >= DAY;
        let replies = if deep { self.replies(at, began) } else { BTreeSet::new() };
        Turn { began, until: stamp(now), deep, listing: Some(String::new()), replies, ..Turn::default() }
    }

    /// The captured replies of a deep turn's window.
    fn replies(&self, at: &Position, began: i64) -> BTreeSet<String> {
        let oldest = at.swept.unwrap_or(began) - i64::from(self.settings.rescan_days) * DAY;
        let lately =
            |id: &str| super::place(id).and_then(|(_, ts)| super::millis(ts)).is_some_and(|at| at / 1000 >= oldest);
        at.captured.iter().filter(|(id, seen)| seen.reply && lately(id)).map(|(id, _)| id.clone()).collect()
    }

    /// By itself, because no list has shown it.
    async fn look_again(&self, at: &mut Position, id: &str) -> Result<Option<Record>, Fault> {
        let Some((channel, ts)) = super::place(id) else { return Ok(None) };
        let record = self.message(channel, ts).await?;
        match self.seen_in(record.as_ref()) {
            Some(seen) => drop(at.captured.insert(id.to_owned(), seen)),
            None => drop(at.captured.remove(id)),
        }
        Ok(record)
    }

    /// What is seen of a captured message in its record; `None`: it is not captured, or not there.
    pub(super) fn seen_in(&self, record: Option<&Record>) -> Option<Seen> {
        let body = record?.body.as_ref()?;
        body["captured"].is_object().then(|| self.seen(&body["message"], &body["captured"]))
    }

    /// What a look at a captured message has seen.
    fn seen(&self, message: &Value, captured: &Value) -> Seen {
        let root = text(message, "thread_ts");
        let reply = root.is_some() && root != text(message, "ts");
        Seen { print: print(message, captured, self.settings.threads), reply }
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
            turn.replies.remove(&format!("{}:{ts}", reading.channel));
            records.extend(self.look(at, &reading.channel, message).await?);
            let lively = text(message, "latest_reply").is_some_and(|latest| latest >= reading.oldest);
            let thread = Thread { channel: reading.channel.clone(), ts, cursor: String::new() };
            if turn.deep && lively && turn.threads.len() < MOST_THREADS && !turn.threads.contains(&thread) {
                turn.threads.push(thread);
            }
        }
        if last {
            for ts in missing(at, turn, reading) {
                records.extend(self.look_again(at, &format!("{}:{ts}", reading.channel)).await?);
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
            match self.look(at, &thread.channel, reply).await {
                Ok(record) => {
                    records.extend(record);
                    turn.replies.remove(&format!("{}:{}", thread.channel, reply["ts"].as_str().unwrap_or_default()));
                }
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
    async fn look(&self, at: &mut Position, channel: &str, message: &Value) -> Result<Option<Record>, Fault> {
        let Some(ts) = text(message, "ts").filter(|ts| is_ts(ts)) else { return Ok(None) };
        let id = format!("{channel}:{ts}");
        let Some(captured) = self.capture_of(message) else {
            let was = at.captured.contains_key(&id) || self.captured.has(&id);
            let record = if was { self.record(channel, message).await? } else { None };
            at.captured.remove(&id);
            return Ok(record);
        };
        let seen = self.seen(message, &captured);
        if at.captured.get(&id).is_some_and(|known| known.print == seen.print) {
            self.captured.note(&id, true);
            return Ok(None);
        }
        let record = self.record(channel, message).await?;
        if record.is_some() {
            at.captured.insert(id, seen);
        }
        Ok(record)
    }
}

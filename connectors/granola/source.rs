//! Reading notes: a list says which changed, then each is retrieved whole, a handful at a time.
//!
//! The law of the position: it remembers every note that a list named until it was retrieved, so a quota that stops midway, a
//! crash or a 500 loses none. The watermark moves to the newest `updated_at` seen, only after the last page of a list; each
//! list overlaps the one before by days, because a note shows only once it is summarised. The order of a list is not
//! documented, so nothing relies on it. A note that answers 404 is awaited: it may have been shared before its summary was
//! made, and is asked for again at growing distances. (Granola docs and implementers' notes, read 2026-11-23.)

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Granola;
use super::client::Told;
use super::note::record;
use super::retrieve::Retrieved;
use super::types::{NOTE, gone, is_id, moment, note_id};
use crate::fault::Fault;
use crate::http::Call;
use crate::{Cursor, IdPage, Key, Next, Page, Record, Source, Stream};

const PER_PAGE: &str = "30";
/// A note that fails so often is set aside until the stream's next turn, so that it holds up nobody.
const TRIES: u8 = 3;
/// The most retrieved notes to remember; beyond it some are retrieved twice.
const MOST_DONE: usize = 5000;
/// The most notes to wait for, and how long: in seconds, the first pause, the longest, and all in all.
const MOST_AWAITED: usize = 500;
const FIRST_PAUSE: i64 = 300;
const LONGEST_PAUSE: i64 = 6 * 3600;
const PATIENCE: i64 = 14 * 24 * 3600;

/// Where a stream of notes stands. Times in unix seconds, but for the watermark's milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    watermark: Option<i64>,
    /// A list is under way.
    listing: bool,
    /// The next page of it.
    cursor: Option<String>,
    /// All its pages have come.
    listed: bool,
    restarts: u8,
    seen_max: Option<i64>,
    pending: Vec<Pending>,
    /// Retrieved already, as of this second of `updated_at`: a list and a note may tell it with other fractions.
    done: BTreeMap<String, i64>,
    /// Not to be seen yet.
    awaited: BTreeMap<String, Awaited>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Pending {
    id: String,
    tries: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Awaited {
    since: i64,
    due: i64,
    pause: i64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Listing {
    folder: usize,
    cursor: Option<String>,
    /// Some note was there.
    some: bool,
}

fn position<T: Default + for<'de> Deserialize<'de>>(after: Option<&Cursor>) -> Result<T, Fault> {
    let Some(Cursor(value)) = after else { return Ok(T::default()) };
    T::deserialize(value)
        .map_err(|error| Fault::locked(format!("the stored position of a Granola stream cannot be read: {error}")))
}

fn cursor(position: &impl Serialize) -> Cursor {
    Cursor(serde_json::to_value(position).unwrap_or_default())
}

/// One page of a list.
struct Found {
    notes: Vec<Value>,
    next: Option<String>,
}

#[async_trait]
impl Source for Granola {
    fn streams(&self) -> Vec<Stream> {
        let about = "notes that changed, each with its attendees and its transcript";
        let stream = |name: String| Stream { name, every: "0 */5 * * * *", about };
        match &self.settings.folders[..] {
            [] => vec![stream("notes".into())],
            folders => folders.iter().map(|folder| stream(format!("notes:{folder}"))).collect(),
        }
    }

    async fn pull(&self, stream: &str, after: Option<&Cursor>) -> Result<Page, Fault> {
        let folder = match stream.split_once(':') {
            None if stream == "notes" => None,
            Some(("notes", folder)) if self.settings.folders.iter().any(|known| known == folder) => Some(folder),
            _ => return Err(Fault::rejected(format!("Granola has no stream {stream}"))),
        };
        let mut at: Position = position(after)?;
        let taken = self.take_over_awaited(&mut at);
        let page = self.pull_notes(folder, at).await;
        if page.is_err() {
            // The position does not hold them yet.
            self.await_again(taken);
        }
        page
    }

    async fn fetch(&self, key: &Key) -> Result<Option<Record>, Fault> {
        if key.collection != NOTE || !is_id(&key.id, "not_") {
            return Ok(None);
        }
        let Some(Retrieved { note, .. }) = self.note(&key.id).await? else {
            // Shared before it was summarised, or no longer shared, or deleted: it is gone for now, and asked for again.
            self.await_again(vec![key.id.clone()]);
            return Ok(Some(gone(&key.id)));
        };
        if !self.is_in_our_folders(&note).await? {
            return Ok(None);
        }
        Ok(record(&self.settings, note))
    }

    async fn ids(&self, collection: &str, after: Option<&Cursor>) -> Result<Option<IdPage>, Fault> {
        if collection != NOTE {
            return Ok(None);
        }
        let at: Listing = position(after)?;
        let folder = self.settings.folders.get(at.folder).map(String::as_str);
        let found = self.list(None, folder, at.cursor.as_deref()).await?;
        let some = at.some || !found.notes.is_empty();
        let next = match found.next {
            Some(next) => Some(Listing { folder: at.folder, cursor: Some(next), some }),
            None => (at.folder + 1 < self.settings.folders.len()).then_some(Listing {
                folder: at.folder + 1,
                cursor: None,
                some,
            }),
        };
        if next.is_none() && !some {
            // A key that sees nothing would make every call look withdrawn.
            return Err(Fault::rejected("Granola lists no notes at all: that they are gone is not believed"));
        }
        let ids = found.notes.iter().filter_map(note_id).collect();
        Ok(Some(IdPage { ids, next: next.as_ref().map(cursor) }))
    }
}

impl Granola {
    async fn pull_notes(&self, folder: Option<&str>, mut at: Position) -> Result<Page, Fault> {
        let mut moved = false;
        let begins = !at.listing;
        if begins {
            (at.listing, at.listed) = (true, false);
            self.look_for_awaited(&mut at);
        }
        if begins || (!at.listed && at.pending.iter().all(|pending| pending.tries >= TRIES)) {
            self.look_for_more(folder, &mut at).await?;
            moved = true;
        }
        let (records, stopped) = self.retrieve(&mut at, &mut moved).await;
        if let (Some(fault), false) = (stopped, moved) {
            return Err(fault);
        }
        if !at.listed || at.pending.iter().any(|pending| pending.tries < TRIES) {
            return Ok(Page::of(records, Next::More(cursor(&at))));
        }
        self.finish(&mut at);
        Ok(Page::of(records, Next::CaughtUp(cursor(&at))))
    }

    /// One page of the list: what it names is pending from here on.
    async fn look_for_more(&self, folder: Option<&str>, at: &mut Position) -> Result<(), Fault> {
        let found = match self.list(self.floor(at.watermark), folder, at.cursor.as_deref()).await {
            // The page's cursor has died: list again from the first page.
            Err(Fault::Rejected { .. }) if at.cursor.is_some() && at.restarts < TRIES => {
                at.restarts += 1;
                at.cursor = None;
                return Ok(());
            }
            found => found?,
        };
        // The same place again, or more without a place: there is no way on.
        at.listed = found.next.is_none() || found.next == at.cursor;
        at.cursor = found.next;
        for note in &found.notes {
            let Some(id) = note_id(note) else {
                tracing::warn!("Granola listed a note without an id; left out");
                continue;
            };
            let updated_at = moment(note, "updated_at");
            at.seen_max = at.seen_max.max(updated_at.map(|at| at.timestamp_millis()));
            if updated_at.is_some_and(|updated_at| at.done.get(&id) == Some(&updated_at.timestamp())) {
                continue;
            }
            at.pending.retain(|pending| pending.id != id);
            at.pending.push(Pending { id, tries: 0 });
        }
        Ok(())
    }

    /// Retrieves a handful. Hands back what came, and the fault that stopped it.
    async fn retrieve(&self, at: &mut Position, moved: &mut bool) -> (Vec<Record>, Option<Fault>) {
        let at_once = usize::from(self.settings.concurrency);
        let (mut handful, mut rest): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
        for pending in at.pending.drain(..) {
            let take = pending.tries < TRIES && handful.len() < at_once * 5;
            if take { handful.push(pending) } else { rest.push(pending) }
        }
        let asked: Vec<_> = handful.iter().map(|pending| self.note(&pending.id).boxed()).collect();
        let answers: Vec<Result<Option<Retrieved>, Fault>> =
            futures::stream::iter(asked).buffered(at_once).collect().await;
        let (mut records, mut stopped, mut waiting, mut failed) = (Vec::new(), None, Vec::new(), Vec::new());
        for (mut pending, answer) in handful.into_iter().zip(answers) {
            match answer {
                Ok(Some(retrieved)) => {
                    *moved = true;
                    at.awaited.remove(&pending.id);
                    note_done(at, &pending.id, &retrieved);
                    records.extend(record(&self.settings, retrieved.note));
                }
                Ok(None) => {
                    *moved = true;
                    self.await_longer(at, &pending.id);
                }
                Err(fault @ (Fault::Later { after: Some(_), .. } | Fault::Locked { .. })) => {
                    stopped = Some(fault);
                    waiting.push(pending);
                }
                Err(fault) => {
                    *moved = true;
                    pending.tries += 1;
                    if pending.tries >= TRIES {
                        tracing::warn!(id = %pending.id, %fault, "note set aside until the next turn");
                    }
                    stopped = Some(fault);
                    failed.push(pending);
                }
            }
        }
        at.pending = waiting.into_iter().chain(rest).chain(failed).collect();
        (records, stopped)
    }

    /// The turn is over: the watermark moves, and what was set aside gets one try in the next turn.
    fn finish(&self, at: &mut Position) {
        at.watermark = at.seen_max.take().max(at.watermark);
        at.cursor = None;
        (at.listing, at.listed, at.restarts) = (false, false, 0);
        for pending in &mut at.pending {
            pending.tries = TRIES - 1;
        }
        // What the next list cannot name need not be remembered.
        let floor = self.floor(at.watermark).map(|floor| floor.timestamp());
        at.done.retain(|_, second| floor.is_none_or(|floor| *second >= floor));
        if at.done.len() > MOST_DONE {
            let mut seconds: Vec<i64> = at.done.values().copied().collect();
            seconds.sort_unstable();
            let oldest = seconds[seconds.len() - MOST_DONE];
            at.done.retain(|_, second| *second >= oldest);
        }
    }

    /// What is listed again; `None`: everything.
    fn floor(&self, watermark: Option<i64>) -> Option<DateTime<Utc>> {
        let back = watermark
            .and_then(DateTime::from_timestamp_millis)
            .map(|at| at - chrono::TimeDelta::seconds(self.settings.overlap_seconds.into()));
        back.max(self.settings.start)
    }

    /// Always with a whole moment: a bare day leaves out that day (airbyte, sheet of 2026-11-23).
    async fn list(
        &self,
        updated_after: Option<DateTime<Utc>>,
        folder: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<Found, Fault> {
        let mut call = Call::get("/v1/notes").query("page_size", PER_PAGE);
        if let Some(after) = updated_after {
            call = call.query("updated_after", after.to_rfc3339_opts(SecondsFormat::Secs, true));
        }
        if let Some(folder) = folder {
            call = call.query("folder_id", folder);
        }
        if let Some(cursor) = cursor {
            call = call.query("cursor", cursor);
        }
        let answer = match self.client.read(call).await? {
            Told::Here(answer) => answer.json::<Value>()?,
            Told::Missing if folder.is_some() => {
                return Err(Fault::rejected("the folder is not there, or not shared with this key"));
            }
            Told::Missing => return Err(Fault::locked("base_url: there is no /v1/notes here")),
            Told::TooLarge => return Err(Fault::rejected("Granola finds the list of notes too large")),
        };
        let notes = answer["notes"]
            .as_array()
            .cloned()
            .ok_or_else(|| Fault::unknown("Granola answered a list without notes"))?;
        Ok(Found { notes, next: next_cursor(&answer) })
    }

    /// Asks again for what is due.
    fn look_for_awaited(&self, at: &mut Position) {
        let now = self.client.clock().now().timestamp();
        at.awaited.retain(|_, awaited| now - awaited.since <= PATIENCE);
        for (id, awaited) in &at.awaited {
            if awaited.due <= now && !at.pending.iter().any(|pending| pending.id == *id) {
                at.pending.push(Pending { id: id.clone(), tries: 0 });
            }
        }
    }

    /// It is not to be seen yet: later, and then later still.
    fn await_longer(&self, at: &mut Position, id: &str) {
        let now = self.client.clock().now().timestamp();
        if at.awaited.len() >= MOST_AWAITED && !at.awaited.contains_key(id) {
            return;
        }
        let awaited =
            at.awaited.entry(id.to_owned()).or_insert(Awaited { since: now, due: now, pause: FIRST_PAUSE / 2 });
        awaited.pause = (awaited.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        awaited.due = now + awaited.pause;
    }

    /// What single fetches did not find comes into the position, which outlives this process.
    fn take_over_awaited(&self, at: &mut Position) -> Vec<String> {
        let taken = self.take_awaited();
        for id in &taken {
            self.await_longer(at, id);
        }
        taken
    }
}

/// Remembers a note as retrieved, if nothing can have happened since that its whole-second `updated_at` hides.
fn note_done(at: &mut Position, id: &str, retrieved: &Retrieved) {
    match moment(&retrieved.note, "updated_at").map(|at| at.timestamp()) {
        Some(second) if retrieved.at.timestamp() > second => drop(at.done.insert(id.to_owned(), second)),
        _ => drop(at.done.remove(id)),
    }
}

/// Where a list goes on. `hasMore` without a place to go on at is its end, and so is a place without `hasMore`.
pub(super) fn next_cursor(answer: &Value) -> Option<String> {
    let more = answer["hasMore"].as_bool().or_else(|| answer["has_more"].as_bool()).unwrap_or(true);
    answer["cursor"].as_str().filter(|cursor| more && !cursor.is_empty()).map(str::to_owned)
}

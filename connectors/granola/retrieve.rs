//! One note, whole: with its transcript in it, or page by page where that is too large for one answer.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::Granola;
use super::client::Told;
use super::source::next_cursor;
use crate::fault::Fault;
use crate::http::{Answer, Call};
use crate::json::{array, text};

const SEGMENTS_A_PAGE: &str = "100";
/// Fifty thousand segments: longer than any day.
const MOST_PAGES: usize = 500;
const MOST_FOLDERS: usize = 10_000;

/// A note as it was at this moment of Granola's clock.
#[derive(Debug)]
pub(super) struct Retrieved {
    pub(super) note: Value,
    pub(super) at: DateTime<Utc>,
}

/// A large note that the quota stopped halfway.
#[derive(Default)]
pub(super) struct Half {
    note: Option<(Value, DateTime<Utc>)>,
    segments: Vec<Value>,
    pages: usize,
    cursor: Option<String>,
}

impl Granola {
    /// `None`: not there, not shared, or not summarised yet.
    pub(super) async fn note(&self, id: &str) -> Result<Option<Retrieved>, Fault> {
        let mut half = match self.halves.take(self.client.clock(), id) {
            Some(half) => half,
            None => {
                let call = Call::get(format!("/v1/notes/{id}"));
                let call = if self.settings.transcripts { call.query("include", "transcript") } else { call };
                match self.client.read(call).await? {
                    Told::Here(answer) => return self.whole(&answer).map(Some),
                    Told::Missing => return Ok(None),
                    Told::TooLarge => Half::default(),
                }
            }
        };
        match self.large(id, &mut half).await {
            Err(fault) => {
                // It is paid for: the next attempt goes on from here.
                self.halves.put(self.client.clock(), id, half);
                Err(fault)
            }
            outcome => outcome,
        }
    }

    fn whole(&self, answer: &Answer) -> Result<Retrieved, Fault> {
        let note: Value = answer.json()?;
        if !note.is_object() {
            return Err(Fault::unknown("Granola answered with something that is no note"));
        }
        Ok(Retrieved { note, at: self.time_of(answer) })
    }

    /// The note without its transcript, and that by itself.
    async fn large(&self, id: &str, half: &mut Half) -> Result<Option<Retrieved>, Fault> {
        if half.note.is_none() {
            half.note = match self.client.read(Call::get(format!("/v1/notes/{id}"))).await? {
                Told::Here(answer) => self.whole(&answer).map(|retrieved| Some((retrieved.note, retrieved.at)))?,
                Told::Missing => return Ok(None),
                Told::TooLarge => {
                    return Err(Fault::rejected("Granola finds the note too large, even without its transcript"));
                }
            };
        }
        loop {
            let mut call = Call::get(format!("/v1/notes/{id}/transcript")).query("page_size", SEGMENTS_A_PAGE);
            if let Some(cursor) = &half.cursor {
                call = call.query("cursor", cursor.as_str());
            }
            let page = match self.client.read(call).await? {
                Told::Here(answer) => answer.json::<Value>()?,
                // A note whose transcript was deleted is still a note.
                Told::Missing => break,
                Told::TooLarge => return Err(Fault::rejected("Granola finds a page of the transcript too large")),
            };
            half.segments.extend(array(&page, "transcript").iter().cloned());
            half.pages += 1;
            let next = next_cursor(&page).filter(|next| half.cursor.as_ref() != Some(next) && half.pages < MOST_PAGES);
            half.cursor = next;
            if half.cursor.is_none() {
                break;
            }
        }
        Ok(half.note.take().map(|(mut note, at)| {
            note["transcript"] = std::mem::take(&mut half.segments).into();
            Retrieved { note, at }
        }))
    }

    /// The moment at which Granola answered; by our own clock five seconds less, in case it is ahead.
    fn time_of(&self, answer: &Answer) -> DateTime<Utc> {
        let theirs = answer.header("date").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        theirs.map_or_else(|| self.client.clock().now() - TimeDelta::seconds(5), |at| at.to_utc())
    }

    /// Whether a note that was named to us is in the folders that the settings name, or below them.
    pub(super) async fn is_in_our_folders(&self, note: &Value) -> Result<bool, Fault> {
        if self.settings.folders.is_empty() {
            return Ok(true);
        }
        let ours = |id: &str| self.settings.folders.iter().any(|folder| folder == id);
        let folders = array(note, "folder_membership");
        let near = |folder: &Value| ["id", "parent_folder_id"].iter().any(|key| folder[key].as_str().is_some_and(ours));
        if folders.iter().any(near) {
            return Ok(true);
        }
        if folders.iter().all(|folder| folder["parent_folder_id"].is_null()) {
            return Ok(false);
        }
        let parents = self.parents().await?;
        Ok(folders.iter().any(|folder| {
            let mut at = text(folder, "id");
            // A circle is not believed in, and not walked in for ever.
            for _ in 0..64 {
                match at.take() {
                    Some(id) if ours(&id) => return true,
                    Some(id) => at = parents.get(&id).cloned(),
                    None => break,
                }
            }
            false
        }))
    }

    /// Each folder's parent, remembered for a minute.
    async fn parents(&self) -> Result<BTreeMap<String, String>, Fault> {
        if let Some(known) = self.parents.get(self.client.clock()) {
            return Ok(known);
        }
        let (mut parents, mut cursor) = (BTreeMap::new(), None::<String>);
        loop {
            let mut call = Call::get("/v1/folders").query("page_size", "30");
            if let Some(cursor) = &cursor {
                call = call.query("cursor", cursor.as_str());
            }
            let Told::Here(answer) = self.client.read(call).await? else { break };
            let page: Value = answer.json()?;
            for folder in array(&page, "folders") {
                if let (Some(id), Some(parent)) = (text(folder, "id"), text(folder, "parent_folder_id")) {
                    parents.insert(id, parent);
                }
            }
            let next = next_cursor(&page).filter(|next| cursor.as_ref() != Some(next));
            if next.is_none() || parents.len() > MOST_FOLDERS {
                break;
            }
            cursor = next;
        }
        self.parents.put(self.client.clock(), parents.clone());
        Ok(parents)
    }

    /// What is to be asked for again.
    pub(super) fn await_again(&self, ids: Vec<String>) {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }

    pub(super) fn take_awaited(&self) -> Vec<String> {
        std::mem::take(&mut *self.awaited.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

//! `/v1/notes`, `/v1/notes/{id}`, `/v1/notes/{id}/transcript` and `/v1/folders`.
//!
//! Notes come newest created first. A cursor is opaque: it names the place after which to go on. A bare day in
//! `created_before` leaves out that whole day. (Granola's OpenAPI document as it has been copied, read 2026-11-23.)

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use http::Response;
use serde_json::{Map, Value};

use super::Granola;
use super::errors::{Answer, bad, missing, ok, too_large};
use super::model::{Folder, Note, Segment};

type Refused = Response<Bytes>;

/// The query of a list.
pub(super) struct Asked<'q>(pub(super) &'q [(String, String)]);

impl Asked<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn moment(&self, name: &str) -> Result<Option<DateTime<Utc>>, Refused> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN).and_utc());
        let instant = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
        day().or_else(instant).map(Some).ok_or_else(|| bad(&format!("{name} is neither a date nor a date-time")))
    }

    fn size(&self, usual: usize, most: usize) -> Result<usize, Refused> {
        let Some(text) = self.text("page_size") else { return Ok(usual) };
        let size = text.parse().ok().filter(|size| (1..=most).contains(size));
        size.ok_or_else(|| bad(&format!("page_size must be between 1 and {most}")))
    }

    /// The key of the last item of the page before.
    fn place(&self) -> Result<Option<String>, Refused> {
        let Some(text) = self.text("cursor") else { return Ok(None) };
        let place = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        place.map(Some).ok_or_else(|| bad("cursor is not valid"))
    }

    /// A page of `all`, which stand in their order, each under its key.
    fn cut<T>(&self, name: &str, all: &[(String, T)], size: usize, show: impl Fn(&T) -> Value) -> Answer {
        let from = match self.place()? {
            None => 0,
            Some(place) => all
                .iter()
                .position(|(key, _)| *key == place)
                .map(|at| at + 1)
                .ok_or_else(|| bad("cursor has expired"))?,
        };
        let rest = &all[from..];
        let page = &rest[..rest.len().min(size)];
        let more = rest.len() > size;
        let cursor = page.last().filter(|_| more).map(|(key, _)| URL_SAFE_NO_PAD.encode(key));
        let mut body = Map::new();
        body.insert(name.into(), page.iter().map(|(_, item)| show(item)).collect::<Vec<_>>().into());
        body.insert("hasMore".into(), more.into());
        body.insert("cursor".into(), cursor.map_or(Value::Null, Value::from));
        ok(&Value::Object(body))
    }
}

impl Granola {
    pub(super) fn list_notes(&self, asked: &Asked<'_>) -> Answer {
        let size = asked.size(10, 30)?;
        let (after, before) = (asked.moment("created_after")?, asked.moment("created_before")?);
        let updated = asked.moment("updated_after")?;
        let folder = asked.text("folder_id");
        if let Some(folder) = folder
            && !self.folders.contains_key(folder)
        {
            return Err(missing());
        }
        let fits = |note: &&Note| {
            note.is_seen()
                && after.is_none_or(|after| note.created_at > after)
                && before.is_none_or(|before| note.created_at < before)
                && updated.is_none_or(|updated| note.updated_at >= updated)
                && folder.is_none_or(|folder| note.folders.iter().any(|of| self.is_below(of, folder)))
        };
        let mut notes: Vec<&Note> = self.notes.values().filter(fits).collect();
        notes.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        let keyed: Vec<(String, &Note)> = notes.into_iter().map(|note| (note.id.clone(), note)).collect();
        asked.cut("notes", &keyed, size, |note| note.row())
    }

    pub(super) fn get_note(&self, id: &str, asked: &Asked<'_>) -> Answer {
        let note = self.seen(id)?;
        let transcript = match asked.text("include") {
            None => false,
            Some("transcript") => true,
            Some(_) => return Err(bad("include must be transcript")),
        };
        if transcript && note.transcript.len() > self.inline_most {
            return Err(too_large());
        }
        let folders: Vec<&Folder> = note.folders.iter().filter_map(|id| self.folders.get(id)).collect();
        ok(&note.show(&folders, transcript))
    }

    pub(super) fn get_transcript(&self, id: &str, asked: &Asked<'_>) -> Answer {
        let note = self.seen(id)?;
        let size = asked.size(50, 100)?;
        let keyed: Vec<(String, &Segment)> =
            note.transcript.iter().enumerate().map(|(at, segment)| (format!("{id}:{at}"), segment)).collect();
        asked.cut("transcript", &keyed, size, |segment| segment.show())
    }

    pub(super) fn list_folders(&self, asked: &Asked<'_>) -> Answer {
        let size = asked.size(10, 30)?;
        let keyed: Vec<(String, &Folder)> = self.folders.values().map(|folder| (folder.id.clone(), folder)).collect();
        asked.cut("folders", &keyed, size, |folder| folder.show())
    }

    /// A note that is not summarised, or not shared, is not there.
    fn seen(&self, id: &str) -> Result<&Note, Refused> {
        let whole = id
            .strip_prefix("not_")
            .is_some_and(|rest| rest.len() == 14 && rest.bytes().all(|b| b.is_ascii_alphanumeric()));
        if !whole {
            return Err(bad("note_id is not valid"));
        }
        self.notes.get(id).filter(|note| note.is_seen()).ok_or_else(missing)
    }

    pub(super) fn is_below(&self, folder: &str, top: &str) -> bool {
        let mut at = Some(folder.to_owned());
        // Folders that lie in a circle end after as many steps as there are folders.
        for _ in 0..=self.folders.len() {
            match at {
                Some(id) if id == top => return true,
                Some(id) => at = self.folders.get(&id).and_then(|folder| folder.parent.clone()),
                None => return false,
            }
        }
        false
    }
}

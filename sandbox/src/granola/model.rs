//! What Granola keeps: notes with their transcripts, folders, and webhook endpoints.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub struct Note {
    pub id: String,
    pub title: Option<String>,
    pub owner: Person,
    pub attendees: Vec<Person>,
    /// The calendar event's title and invitees, where the call was in a calendar.
    pub event: Option<(String, Vec<String>)>,
    pub folders: Vec<String>,
    /// Only a note that has one can be seen.
    pub summary: Option<String>,
    pub private_notes: Option<String>,
    pub transcript: Vec<Segment>,
    /// The key may see it.
    pub shared: bool,
    pub uuid: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub name: Option<String>,
    pub email: String,
}

#[derive(Clone, Debug)]
pub struct Segment {
    /// `microphone` or `speaker`.
    pub source: String,
    /// `me` or `them`.
    pub attribution: Option<String>,
    pub name: Option<String>,
    pub text: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct Folder {
    pub id: String,
    pub name: String,
    pub parent: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Endpoint {
    pub id: String,
    pub url: String,
    pub scopes: Vec<String>,
    pub events: Vec<String>,
    pub folders: Vec<String>,
    pub enabled: bool,
    pub secret: String,
    pub created_at: DateTime<Utc>,
    /// When the first of the deliveries failed that have failed since.
    pub failing_since: Option<DateTime<Utc>>,
}

pub(super) fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl Person {
    pub fn new(name: &str, email: &str) -> Self {
        Self { name: (!name.is_empty()).then(|| name.to_owned()), email: email.to_owned() }
    }

    fn show(&self) -> Value {
        json!({"name": self.name, "email": self.email})
    }
}

impl Segment {
    pub(super) fn show(&self) -> Value {
        let mut speaker = json!({"source": self.source});
        if let (Value::Object(speaker), Some(side)) = (&mut speaker, &self.attribution) {
            speaker.insert("attribution".into(), side.as_str().into());
        }
        if let (Value::Object(speaker), Some(name)) = (&mut speaker, &self.name) {
            speaker.insert("name".into(), name.as_str().into());
        }
        json!({"speaker": speaker, "text": self.text, "start_time": stamp(self.start), "end_time": stamp(self.end)})
    }
}

impl Folder {
    pub(super) fn show(&self) -> Value {
        json!({"id": self.id, "object": "folder", "name": self.name, "parent_folder_id": self.parent})
    }
}

impl Note {
    pub(super) fn is_seen(&self) -> bool {
        self.shared && self.summary.is_some()
    }

    /// As a list gives it.
    pub(super) fn row(&self) -> Value {
        json!({
            "id": self.id, "object": "note", "title": self.title, "owner": self.owner.show(),
            "created_at": stamp(self.created_at), "updated_at": stamp(self.updated_at),
        })
    }

    /// As it is given by itself; `transcript` is null unless it was asked for.
    pub(super) fn show(&self, folders: &[&Folder], transcript: bool) -> Value {
        let event = self.event.as_ref().map(|(title, invitees)| {
            json!({
                "event_title": title, "invitees": invitees.iter().map(|email| json!({"email": email})).collect::<Vec<_>>(),
                "organiser": self.owner.email, "calendar_event_id": format!("evt_{}", &self.id[4..]),
                "scheduled_start_time": stamp(self.created_at), "scheduled_end_time": stamp(self.created_at + chrono::TimeDelta::minutes(30)),
            })
        });
        let mut note = self.row();
        if let Value::Object(note) = &mut note {
            let summary = self.summary.clone().unwrap_or_default();
            let said = transcript.then(|| self.transcript.iter().map(Segment::show).collect::<Vec<_>>());
            for (name, value) in [
                ("web_url", format!("https://notes.granola.ai/d/{}", self.uuid).into()),
                ("calendar_event", event.unwrap_or_default()),
                ("attendees", self.attendees.iter().map(Person::show).collect::<Vec<_>>().into()),
                ("folder_membership", folders.iter().map(|folder| folder.show()).collect::<Vec<_>>().into()),
                ("summary_markdown", format!("### Summary\n\n{summary}").into()),
                ("summary_text", summary.into()),
                ("private_notes_text", self.private_notes.clone().map_or(Value::Null, Value::from)),
                ("private_notes_markdown", self.private_notes.clone().map_or(Value::Null, Value::from)),
                ("transcript", said.map_or(Value::Null, Value::from)),
            ] {
                note.insert(name.into(), value);
            }
        }
        note
    }
}

impl Endpoint {
    /// The secret is never told again.
    pub(super) fn show(&self) -> Value {
        json!({
            "id": self.id, "object": "webhook_endpoint", "url": self.url, "url_redacted": false, "events": self.events,
            "folder_ids": self.folders, "scopes": self.scopes, "created_by": null, "enabled": self.enabled,
            "created_at": stamp(self.created_at),
        })
    }
}

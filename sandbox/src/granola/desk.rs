//! What people do in Granola: hold calls, have them summarised, edit, share, file and delete their notes.

use chrono::{DateTime, TimeDelta, Utc};

use super::model::{Endpoint, Folder, Note, Person, Segment};
use super::{ALPHABET, Granola};
use crate::world::Context;

/// A call as it was held.
#[derive(Clone, Debug, Default)]
pub struct NewCall<'a> {
    pub title: &'a str,
    /// Name and address; the first is the note's owner.
    pub people: &'a [(&'a str, &'a str)],
    /// Addresses in the calendar's invitation.
    pub invited: &'a [&'a str],
    pub folders: &'a [&'a str],
    /// Who said what: `me`, `them`, or a name, which the other side's microphone brings. On a phone (`?`) nobody is told
    /// apart.
    pub said: &'a [(&'a str, &'a str)],
    /// When it began; now, unless said.
    pub at: Option<DateTime<Utc>>,
}

impl Granola {
    /// A call that nobody has had summarised yet; the note's id.
    pub fn hold(&mut self, call: &NewCall<'_>, cx: &mut Context<'_>) -> String {
        let id = format!("not_{}", cx.rng.text(ALPHABET, 14));
        let begin = call.at.unwrap_or(cx.now);
        let mut people = call.people.iter().map(|(name, email)| Person::new(name, email));
        let owner = people.next().unwrap_or_else(|| Person::new("Loop Sandbox", "loop@sandbox.example"));
        let mut start = begin;
        let transcript = call
            .said
            .iter()
            .map(|(who, text)| {
                let from = start;
                start += TimeDelta::seconds(5);
                let (source, attribution, name) = match *who {
                    "me" => ("microphone", Some("me"), None),
                    "them" => ("speaker", Some("them"), None),
                    "?" => ("microphone", None, None),
                    name => ("speaker", None, Some(name)),
                };
                Segment {
                    source: source.to_owned(),
                    attribution: attribution.map(str::to_owned),
                    name: name.map(str::to_owned),
                    text: (*text).to_owned(),
                    start: from,
                    end: start,
                }
            })
            .collect();
        let note = Note {
            id: id.clone(),
            title: (!call.title.is_empty()).then(|| call.title.to_owned()),
            owner: owner.clone(),
            attendees: std::iter::once(owner).chain(people).collect(),
            event: (!call.invited.is_empty())
                .then(|| (call.title.to_owned(), call.invited.iter().map(|email| (*email).to_owned()).collect())),
            folders: call.folders.iter().map(|id| (*id).to_owned()).collect(),
            summary: None,
            private_notes: Some("For my eyes only.".to_owned()),
            transcript,
            shared: true,
            uuid: cx.rng.uuid(),
            created_at: begin,
            updated_at: begin,
        };
        self.notes.insert(id.clone(), note);
        id
    }

    /// The first summary makes the note visible; a later one is an edit.
    pub fn summarise(&mut self, note: &str, summary: &str, cx: &mut Context<'_>) -> bool {
        let Some(entry) = self.notes.get_mut(note) else { return false };
        let event = if entry.summary.is_none() { "note.generated" } else { "note.edited" };
        entry.summary = Some(summary.to_owned());
        entry.updated_at = cx.now;
        let tells = entry.shared;
        if tells {
            self.fire(event, note, cx);
        }
        true
    }

    /// A call that is held and summarised.
    pub fn call(&mut self, call: &NewCall<'_>, summary: &str, cx: &mut Context<'_>) -> String {
        let id = self.hold(call, cx);
        self.summarise(&id, summary, cx);
        id
    }

    /// Somebody shares it with the key's owner. Its `updated_at` stays.
    pub fn share(&mut self, note: &str, cx: &mut Context<'_>) {
        if let Some(entry) = self.notes.get_mut(note) {
            entry.shared = true;
            self.fire("note.access_granted", note, cx);
        }
    }

    /// Nobody is told.
    pub fn unshare(&mut self, note: &str) {
        if let Some(note) = self.notes.get_mut(note) {
            note.shared = false;
        }
    }

    /// Nobody is told.
    pub fn delete(&mut self, note: &str) {
        self.notes.remove(note);
    }

    pub fn add_folder(&mut self, id: &str, name: &str, parent: Option<&str>) {
        let folder = Folder { id: id.to_owned(), name: name.to_owned(), parent: parent.map(str::to_owned) };
        self.folders.insert(id.to_owned(), folder);
    }

    /// How many segments a transcript may have to be given with its note.
    pub fn inline_at_most(&mut self, segments: usize) {
        self.inline_most = segments;
    }

    /// What the key may see and hear of: `personal` and `public`, or `workspace`.
    pub fn set_key_scopes(&mut self, scopes: &[&str]) {
        self.key_scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    }

    /// Another quota, in calls in five seconds.
    pub fn set_quota(&mut self, calls: usize) {
        self.most = calls;
    }

    /// The plan has no webhooks: 404.
    pub fn take_webhooks_away(&mut self) {
        self.no_webhooks = true;
    }

    pub fn add_token(&mut self, token: &str) {
        self.tokens.insert(token.to_owned());
    }

    /// From now on 401.
    pub fn revoke_token(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    pub fn note(&self, id: &str) -> Option<&Note> {
        self.notes.get(id)
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub fn endpoints_mut(&mut self) -> &mut Vec<Endpoint> {
        &mut self.endpoints
    }
}

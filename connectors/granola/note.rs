//! A note as a record: Granola's own JSON, with who took part and what was said in turns.
//!
//! The law: what was said stands with who said it and when, to the second, so that it can be quoted; and who is of our own
//! house is never taken for the customer.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::settings::Settings;
use super::types::{NOTE, domain, moment, note_id};
use crate::json::{array, text};
use crate::{Key, Record, Version};

/// A turn is not made longer than this by what follows it, in bytes.
const LONGEST_TURN: usize = 2000;

/// The record of a note; `None` where only our own people took part and such calls are not wanted, or where it has no id.
pub(crate) fn record(settings: &Settings, mut note: Value) -> Option<Record> {
    let id = note_id(&note)?;
    let party = Party::read(settings, &note);
    let audience = party.audience();
    if audience == "internal" && !settings.internal {
        return None;
    }
    let turns = turns(&note, &party);
    let customers = turns.iter().filter(|turn| turn.customer).map(|turn| turn.text.as_str()).collect::<Vec<_>>();
    let words = customers.join("\n\n");
    let fields = note.as_object_mut()?;
    if !settings.private_notes {
        fields.retain(|name, _| !name.starts_with("private_notes"));
    }
    fields.insert("participants".into(), party.show());
    fields.insert("customer_domains".into(), party.customer_domains().into());
    fields.insert("audience".into(), audience.into());
    fields.insert("turns".into(), turns.iter().map(Turn::show).collect::<Vec<_>>().into());
    fields.insert("customer_words".into(), words.into());
    let version = moment(&note, "updated_at").map(|at| Version(at.timestamp_millis()));
    let url = text(&note, "web_url").filter(|url| url.starts_with("https://"));
    Some(Record { key: Key::new(NOTE, id), version, body: Some(note), url, edits: Vec::new() })
}

/// Who took part.
struct Party(Vec<Participant>);

struct Participant {
    name: Option<String>,
    email: Option<String>,
    own: bool,
}

impl Party {
    /// The owner, who attended, and who was invited: each once, by address.
    fn read(settings: &Settings, note: &Value) -> Self {
        let owner = text(&note["owner"], "email").as_deref().and_then(domain).filter(|host| !is_anybodys(host));
        let mut people: Vec<Participant> = Vec::new();
        let event = &note["calendar_event"];
        let organiser = text(event, "organiser").map(|email| json!({"email": email}));
        let all = std::iter::once(&note["owner"])
            .chain(array(note, "attendees"))
            .chain(array(event, "invitees"))
            .chain(organiser.as_ref());
        for person in all {
            let (name, email) = (filled(person, "name"), filled(person, "email").map(|email| email.to_lowercase()));
            if name.is_none() && email.is_none() {
                continue;
            }
            let same = |known: &&mut Participant| match (&email, &known.email) {
                (Some(email), Some(known)) => email == known,
                _ => name.is_some() && name == known.name,
            };
            if let Some(known) = people.iter_mut().find(same) {
                known.name = known.name.take().or(name);
                continue;
            }
            let host = email.as_deref().and_then(domain);
            let own = people.is_empty() && person == &note["owner"]
                || host.is_some_and(|host| owner.as_ref() == Some(&host) || is_ours(settings, &host));
            people.push(Participant { name, email, own });
        }
        Self(people)
    }

    fn outsiders(&self) -> impl Iterator<Item = &Participant> {
        self.0.iter().filter(|person| !person.own)
    }

    /// `external`: somebody from outside was there. `internal`: several, all ours. `unknown`: nobody is named but the owner.
    fn audience(&self) -> &'static str {
        match (self.outsiders().count(), self.0.len()) {
            (0, 0 | 1) => "unknown",
            (0, _) => "internal",
            _ => "external",
        }
    }

    /// The domains of those from outside; that of the most people first. Free mail providers are among them: whoever
    /// recognises customers leaves those out.
    fn customer_domains(&self) -> Vec<String> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for host in self.outsiders().filter_map(|person| person.email.as_deref().and_then(domain)) {
            *counts.entry(host).or_default() += 1;
        }
        let mut hosts: Vec<(String, usize)> = counts.into_iter().collect();
        hosts.sort_by(|(a, many), (b, more)| more.cmp(many).then_with(|| a.cmp(b)));
        hosts.into_iter().map(|(host, _)| host).collect()
    }

    fn show(&self) -> Value {
        let show = |person: &Participant| json!({"name": person.name, "email": person.email, "own": person.own});
        self.0.iter().map(show).collect()
    }

    /// Whether somebody of this name is ours, if anybody is called so.
    fn is_own(&self, name: &str) -> Option<bool> {
        let same = |person: &&Participant| person.name.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name));
        self.0.iter().find(same).map(|person| person.own)
    }

    /// The one on the other side, where there is only one.
    fn only_outsider(&self) -> Option<&Participant> {
        let mut outsiders = self.outsiders();
        outsiders.next().filter(|_| outsiders.next().is_none())
    }
}

fn is_ours(settings: &Settings, host: &str) -> bool {
    settings.own_domains.iter().any(|own| host == own || host.strip_suffix(own).is_some_and(|rest| rest.ends_with('.')))
}

/// A mail provider: whoever has an address there as a note's owner does is no colleague for it.
fn is_anybodys(host: &str) -> bool {
    const PROVIDERS: [&str; 14] = [
        "aol.com",
        "fastmail.com",
        "gmail.com",
        "gmx.de",
        "gmx.net",
        "googlemail.com",
        "hotmail.com",
        "icloud.com",
        "live.com",
        "outlook.com",
        "proton.me",
        "protonmail.com",
        "web.de",
        "yahoo.com",
    ];
    PROVIDERS.contains(&host)
}

fn filled(value: &Value, field: &str) -> Option<String> {
    text(value, field).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// What one person said without being interrupted.
struct Turn {
    /// The place of its first segment in the transcript: segments have no ids.
    first: usize,
    speaker: Option<String>,
    customer: bool,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    text: String,
    side: String,
}

impl Turn {
    fn show(&self) -> Value {
        let mut shown = Map::new();
        shown.insert("id".into(), format!("t{:05}", self.first).into());
        shown.insert("speaker".into(), self.speaker.clone().map_or(Value::Null, Value::from));
        shown.insert("customer".into(), self.customer.into());
        shown.insert("at".into(), self.from.map_or(Value::Null, |at| json!(at)));
        shown.insert("until".into(), self.until.map_or(Value::Null, |at| json!(at)));
        shown.insert("text".into(), self.text.as_str().into());
        Value::Object(shown)
    }
}

/// The transcript in turns: segments of one voice that follow each other are one.
fn turns(note: &Value, party: &Party) -> Vec<Turn> {
    let segments = array(note, "transcript");
    // On a phone all that is heard comes by one microphone: then the source tells nobody apart.
    let parted = segments.iter().any(|segment| segment["speaker"]["source"].as_str() == Some("speaker"));
    let mut turns: Vec<Turn> = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        let Some(said) = filled(segment, "text") else { continue };
        let speaker = &segment["speaker"];
        let name = filled(speaker, "name");
        let side = match (speaker["attribution"].as_str(), speaker["source"].as_str()) {
            (Some("me"), _) => Some(false),
            (Some("them"), _) => Some(true),
            (_, Some("speaker")) => Some(true),
            (_, Some("microphone")) if parted => Some(false),
            _ => None,
        };
        // A name says more than a side: a colleague may speak from the other one.
        let own = name.as_deref().and_then(|name| party.is_own(name));
        let customer = own.map(|own| !own).or(side).unwrap_or(false);
        let label = filled(speaker, "diarization_label");
        let who = name.or(label).or_else(|| match side {
            Some(false) => filled(&note["owner"], "name"),
            Some(true) => party.only_outsider().and_then(|person| person.name.clone()),
            None => None,
        });
        let voice = format!("{customer}/{}", who.as_deref().unwrap_or_default());
        let (from, until) = (moment(segment, "start_time"), moment(segment, "end_time"));
        match turns.last_mut().filter(|turn| turn.side == voice && turn.text.len() + said.len() < LONGEST_TURN) {
            Some(turn) => {
                turn.text.push(' ');
                turn.text.push_str(&said);
                turn.until = until.or(turn.until);
            }
            None => turns.push(Turn { first: at, speaker: who, customer, from, until, text: said, side: voice }),
        }
    }
    turns
}

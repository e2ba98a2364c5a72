//! `loopd why`: how an item came to be what it is, field by field.

use anyhow::bail;
use serde_json::Value;

use super::admin::{self, Answer, Ask};
use super::out::plain;
use super::{Exit, Out};
use crate::ledger::{Entry, What};
use crate::report::Why;
use crate::report::why::Field;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A Loopd ID, a short id (FB-7K3Q9X), the id of a record outside, or its URL
    id: String,
    /// One field: a path of the item (tags.category) or a field's name at a destination
    field: Option<String>,
}

pub async fn run(args: Args, out: &Out) -> anyhow::Result<Exit> {
    let ask = Ask::Why { id: args.id, field: args.field.clone() };
    let Answer::Why(why) = admin::ask(out, ask)? else { bail!("another answer than was asked for") };
    out.json(&why);
    show(&why, args.field.is_some(), out);
    Ok(Exit::Done)
}

fn show(why: &Why, one: bool, out: &Out) {
    out.line(format!("{}  {}", out.bold(&why.short_id), why.title));
    out.line(format!("{} {}", why.kind, why.id));
    if let Some(origin) = &why.origin {
        out.line(format!(
            "from {}.{} {}",
            origin.connection,
            origin.collection,
            origin.url.as_deref().unwrap_or(&origin.id)
        ));
    }
    if !one {
        out.line("");
        let records = why.records.iter().map(|record| {
            let mut state = record.state.clone();
            if record.queued.is_some() {
                state.push_str(", to be written");
            }
            if !record.owed.is_empty() {
                let owed: Vec<&str> = record.owed.keys().map(String::as_str).collect();
                state.push_str(&format!(", lacks {}", owed.join(", ")));
            }
            let place = format!("{}.{}", record.place.connection, record.place.collection);
            vec![place, record.place.url.clone().unwrap_or_else(|| record.place.id.clone()), state]
        });
        out.table(&["RECORD", "WHERE", "STATE"], records);
    }
    out.line("");
    out.table(&["FIELD", "VALUE", "FROM", "WHEN"], why.fields.iter().map(row));
    if one {
        for field in &why.fields {
            details(field, out);
        }
    }
    out.line("");
    out.table(&["WHEN", "WHAT", "BY", "FIELD", "CHANGE"], why.history.iter().map(event));
}

fn row(field: &Field) -> Vec<String> {
    let mut from = match (field.decided, &field.by) {
        (true, by) => format!("decided by a person ({})", by.as_deref().unwrap_or("?")),
        (false, Some(by)) => by.clone(),
        (false, None) => String::new(),
    };
    if let Some(suggested) = field.suggested.as_ref().filter(|suggested| suggested.value != field.value) {
        let glue = if from.is_empty() { "" } else { "; " };
        from.push_str(&format!(
            "{glue}{} suggested {} ({:.0}%)",
            suggested.model,
            plain(&suggested.value),
            suggested.confidence * 100.0
        ));
    }
    vec![field.path.clone(), plain(&field.value), from, field.at.map(when).unwrap_or_default()]
}

fn details(field: &Field, out: &Out) {
    for there in &field.there {
        let held = if there.held { " (a person's edit, left to stand)" } else { "" };
        let place = format!("{}.{} {:?}", there.connection, there.collection, there.field);
        out.line(format!("  in {place}: {}{held}", plain(&there.value)));
    }
    if let Some(suggested) = &field.suggested {
        let because = suggested.because.as_ref().map(|because| format!(", because of {because}")).unwrap_or_default();
        let value = plain(&suggested.value);
        out.line(format!(
            "  {} suggested {value} ({:.0}% sure{because})",
            suggested.model,
            suggested.confidence * 100.0
        ));
    }
}

fn event(entry: &Entry) -> Vec<String> {
    let change = match (&entry.old, &entry.new, &entry.note) {
        (None, None, note) => note.clone().unwrap_or_default(),
        (old, new, note) => {
            let side = |value: &Option<Value>| {
                value.as_ref().map(plain).filter(|text| !text.is_empty()).unwrap_or_else(|| "nothing".into())
            };
            let note = note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            let (old, new) = (side(old), side(new));
            if entry.what == What::Conflict {
                format!("{new} won over {old}{note}")
            } else {
                format!("{old} → {new}{note}")
            }
        }
    };
    vec![when(entry.at), word(entry.what).into(), entry.by.clone(), entry.field.clone().unwrap_or_default(), change]
}

fn when(at: chrono::DateTime<chrono::Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn word(what: What) -> &'static str {
    match what {
        What::Created => "came to be",
        What::Drawn => "said by the source",
        What::Suggested => "suggested",
        What::Edited => "edited",
        What::Conflict => "conflict",
        What::EditedThere => "edited there only",
        What::Overtaken => "overtaken",
        What::Written => "written",
        What::Linked => "linked",
        What::GoneThere => "deleted there",
        What::Stopped => "stopped",
        What::Message => "message",
        What::Decided => "decided",
        What::Merged => "merged",
        What::Parted => "parted",
        What::Reviewed => "reviewed",
    }
}

//! A response as a record: Typeform's own JSON, with each answer's question beside it and what can be read from both.
//!
//! The law: a response has the same text, score and respondent whether it was polled or came by webhook, and whatever its
//! form asks today. What is unknown of a question costs only its title.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::definition::{Definition, Field};
use super::score::{best, score};
use super::settings::{Settings, is_id};
use crate::json::{array, text};
use crate::spelling::instant;
use crate::{Key, Record, Version};

pub(crate) const RESPONSE: &str = "response";

pub(crate) fn key(form: &str, token: &str) -> Key {
    Key::new(RESPONSE, format!("{form}/{token}"))
}

/// The form and the token of a record's id.
pub(crate) fn parts(id: &str) -> Option<(&str, &str)> {
    id.split_once('/').filter(|(form, token)| is_id(form) && is_id(token))
}

pub(crate) fn gone(form: &str, token: &str) -> Record {
    Record { key: key(form, token), version: None, body: None, url: None, edits: Vec::new() }
}

/// The token of a response; webhooks and pages both have it.
pub(crate) fn token(item: &Value) -> Option<String> {
    ["token", "response_id"].into_iter().find_map(|field| text(item, field).filter(|token| is_id(token)))
}

/// A moment. What has not happened is `0001-01-01T00:00:00Z` in older answers.
pub(crate) fn moment(item: &Value, field: &str) -> Option<DateTime<Utc>> {
    let at = instant(item[field].as_str()?)?;
    (at > DateTime::UNIX_EPOCH).then_some(at)
}

/// When it took its present form.
pub(crate) fn settled(item: &Value) -> Option<DateTime<Utc>> {
    ["submitted_at", "staged_at", "landed_at"].into_iter().find_map(|field| moment(item, field))
}

pub(crate) fn is_complete(item: &Value) -> bool {
    match item["response_type"].as_str() {
        Some(kind) => kind == "completed",
        None => moment(item, "submitted_at").is_some(),
    }
}

/// The record of a response of `form`; `None` for what has no token.
pub(crate) fn record(settings: &Settings, form: &str, definition: &Definition, mut item: Value) -> Option<Record> {
    let token = token(&item)?;
    let complete = is_complete(&item);
    let version = settled(&item).map(|at| Version(at.timestamp_millis()));
    let mut answers: Vec<Value> = item["answers"].take().as_array().cloned().unwrap_or_default();
    let respondent = respondent(settings, definition, &item, &answers);
    let said: Vec<Said> = answers.iter().filter_map(|answer| Said::read(definition, &item, &answers, answer)).collect();
    let scores: Vec<Value> = answers
        .iter()
        .filter_map(|answer| {
            let field = definition.field(&answer["field"]);
            let question = field.map(|field| title(definition, &item, &answers, field)).unwrap_or_default();
            score(&settings.scales, field, answer, &question)
        })
        .collect();
    let words = said.iter().any(|said| said.words);
    let pairs: Vec<Value> = said.iter().map(Said::show).collect();
    let told = said.iter().map(|said| said.told(&scores)).collect::<Vec<_>>().join("\n\n");
    for answer in &mut answers {
        let known = definition.field(&answer["field"]).map(|field| field.title.clone());
        if let (Some(title), Some(field)) = (known, answer["field"].as_object_mut()) {
            field.insert("title".into(), title.into());
        }
    }
    let fields = item.as_object_mut()?;
    // Made of the respondent's IP address: of no use here, and nothing to keep.
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("network_id");
    }
    // Webhooks bring the definition along; what it says of this response stands at the answers.
    fields.remove("definition");
    for (name, value) in [
        ("token", Value::from(token.as_str())),
        ("form_id", form.into()),
        ("form_title", definition.title.as_str().into()),
        ("response_type", if complete { "completed" } else { "partial" }.into()),
        ("answers", answers.into()),
        ("said", pairs.into()),
        ("text", told.into()),
        ("words", words.into()),
        ("score", best(&scores).cloned().unwrap_or_default()),
        ("scores", scores.into()),
        ("respondent", respondent),
    ] {
        fields.insert(name.into(), value);
    }
    let url = Some(format!("https://admin.typeform.com/form/{form}/results#responses"));
    Some(Record { key: key(form, &token), version, body: Some(item), url, edits: Vec::new() })
}

/// One question with its answer.
struct Said {
    question: String,
    answer: String,
    reference: Option<String>,
    number: Option<Value>,
    /// In the respondent's own words, not picked from what was offered.
    words: bool,
}

impl Said {
    /// `None`: it says who answers, or nothing that can be read.
    fn read(definition: &Definition, item: &Value, answers: &[Value], answer: &Value) -> Option<Self> {
        let field = definition.field(&answer["field"]);
        let kind = answer["field"]["type"].as_str().or(field.map(|field| field.kind.as_str())).unwrap_or_default();
        let personal = field.is_some_and(|field| field.personal)
            || matches!(
                kind,
                "email" | "phone_number" | "contact_info" | "address" | "payment" | "signature" | "legal"
            );
        let (given, words) = plain(answer)?;
        if personal || given.trim().is_empty() {
            return None;
        }
        let question = field.map(|field| title(definition, item, answers, field)).unwrap_or_default();
        let (reference, number) = (text(&answer["field"], "ref"), answer.get("number").cloned());
        Some(Self { question, answer: given, reference, number, words })
    }

    fn show(&self) -> Value {
        json!({"question": self.question, "answer": self.answer, "ref": self.reference, "words": self.words})
    }

    /// The question on a line of its own, the answer below, as it was given; a number with its scale.
    fn told(&self, scores: &[Value]) -> String {
        let scored = scores.iter().find(|score| {
            self.number.is_some()
                && score.get("value") == self.number.as_ref()
                && score["question"] == self.question.as_str()
        });
        let answer = scored.and_then(|score| score["label"].as_str()).unwrap_or(&self.answer);
        if self.question.is_empty() { answer.to_owned() } else { format!("{}\n{answer}", self.question) }
    }
}

/// An answer as text, and whether it is in the respondent's own words. Kinds that are unknown are read like the others:
/// their value is under the name of their type.
fn plain(answer: &Value) -> Option<(String, bool)> {
    let kind = answer["type"].as_str().unwrap_or_default();
    let value = &answer[kind];
    let own = |text: &str| Some((text.to_owned(), true));
    match kind {
        "email" | "phone_number" | "payment" | "signature" => None,
        "text" => own(value.as_str()?),
        "boolean" => Some((if value.as_bool()? { "Yes" } else { "No" }.to_owned(), false)),
        "choice" => match (value["label"].as_str(), value["other"].as_str()) {
            (_, Some(other)) => own(other),
            (label, None) => Some((label?.to_owned(), false)),
        },
        "choices" => {
            let labels = array(value, "labels").iter().filter_map(Value::as_str);
            let other = value["other"].as_str();
            let all: Vec<&str> = labels.chain(other).collect();
            (!all.is_empty()).then(|| (all.join(", "), other.is_some()))
        }
        // Spoken: the words are in its transcript.
        "multi_format" => {
            let spoken = value.as_object()?.iter().find(|(name, text)| name.contains("transcri") && text.is_string());
            own(spoken.map_or_else(|| value["text"].as_str(), |(_, text)| text.as_str())?)
        }
        _ => match value {
            Value::String(text) => Some((text.clone(), false)),
            Value::Number(number) => Some((number.to_string(), false)),
            _ => None,
        },
    }
}

/// A question's title, with what it quotes of earlier answers put in: `{{field:ref}}`, `{{answer_id}}`, `{{hidden:name}}`.
fn title(definition: &Definition, item: &Value, answers: &[Value], field: &Field) -> String {
    let mut out = String::with_capacity(field.title.len());
    let mut rest = field.title.as_str();
    while let Some((before, (inside, after))) =
        rest.split_once("{{").and_then(|(before, from)| Some((before, from.split_once("}}")?)))
    {
        out.push_str(before);
        out.push_str(&quoted(definition, item, answers, inside.trim()).unwrap_or_else(|| "…".into()));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn quoted(definition: &Definition, item: &Value, answers: &[Value], what: &str) -> Option<String> {
    if let Some(name) = what.strip_prefix("hidden:") {
        return text(&item["hidden"], name);
    }
    let name = what.strip_prefix("field:").or_else(|| what.strip_prefix("answer_"))?;
    let field = definition
        .fields
        .iter()
        .find(|field| field.reference.as_deref() == Some(name) || field.id == name)
        .filter(|field| !field.personal)?;
    let answer = answers.iter().find(|answer| definition.field(&answer["field"]) == Some(field))?;
    plain(answer).map(|(text, _)| text)
}

/// Who answers: the hidden fields say, or else what they typed into fields that ask for it.
fn respondent(settings: &Settings, definition: &Definition, item: &Value, answers: &[Value]) -> Value {
    let names = &settings.hidden;
    let hidden = |name: &str| text(&item["hidden"], name).filter(|text| !text.trim().is_empty());
    let typed = |part: &str| {
        answers.iter().find_map(|answer| {
            let field = definition.field(&answer["field"]);
            (field.and_then(|field| field.part.as_deref()) == Some(part)).then(|| text(answer, "text")).flatten()
        })
    };
    let email = || answers.iter().find_map(|answer| text(answer, "email"));
    let name = || {
        let both: Vec<String> = ["first_name", "last_name"].into_iter().filter_map(typed).collect();
        (!both.is_empty()).then(|| both.join(" "))
    };
    let mut who = Map::new();
    for (field, value) in [
        ("email", hidden(&names.email).or_else(email)),
        ("name", hidden(&names.name).or_else(name)),
        ("user", hidden(&names.user)),
        ("company", hidden(&names.company).or_else(|| typed("company"))),
        ("company_id", hidden(&names.company_id)),
    ] {
        who.insert(field.into(), value.map_or(Value::Null, Value::from));
    }
    Value::Object(who)
}

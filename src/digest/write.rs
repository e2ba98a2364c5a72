//! Asks a model for the sentences around our numbers. Where it does not answer, or states what we did not, the text is ours.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::check::check;
use super::prose::{self, Sheet, WORDS, offline, words};
use super::role::{Section, sections};
use super::week::Week;
use crate::config::Mode;
use crate::house::House;
use crate::ledger::LedgerError;
use crate::model::{Asked, Question, ask, why_not};
use crate::schema::Task;

/// A week as one role reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edition {
    pub week: Week,
    /// Markdown.
    pub text: String,
    /// Who wrote the sentences: a model, or `loopd`.
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Why no model wrote it, where one should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Edition {
    /// In our words.
    pub fn ours(week: Week, note: Option<String>) -> Self {
        Self { text: offline(&week), week, by: "loopd".into(), prompt: None, note }
    }
}

/// Writes it, with a model's help where there is one.
///
/// # Errors
/// When the ledger cannot be read or written.
pub async fn write(house: &House, week: Week) -> Result<Edition, LedgerError> {
    // Of a week in which nothing was said there is nothing to say.
    if house.config.task(Task::Digest).mode == Mode::Off || week.items.now == 0 {
        return Ok(Edition::ours(week, None));
    }
    let holds = |answer: &Value| told(&week, answer).map(|_| ());
    let question = Question {
        task: Task::Digest,
        subject: None,
        region: None,
        data: vec![("week", shown(&week))],
        context: json!({
            "role": week.role.name(),
            "sections": wanted(&week).map(Section::name).collect::<Vec<_>>(),
            "words": WORDS - 200,
        }),
        examples: Vec::new(),
        names: week.names(),
        check: &holds,
    };
    Ok(match ask(house, &question).await? {
        Asked::Answered(answered) => match told(&week, &answered.value) {
            Ok(text) => Edition { week, text, by: answered.model, prompt: Some(answered.prompt), note: None },
            Err(why) => Edition::ours(week, Some(format!("the model's text does not hold: {why}"))),
        },
        Asked::Alone => Edition::ours(week, None),
        Asked::Later(at) => Edition::ours(week, Some(why_not(house, at)?)),
        Asked::Unanswered(why) => Edition::ours(week, Some(format!("no model's text held: {why}"))),
    })
}

/// The sections that have something to tell. The others are ours: of nothing, nothing can be made up.
fn wanted(week: &Week) -> impl Iterator<Item = Section> {
    sections(week.role).into_iter().filter(|section| match section {
        Section::Decisions => !week.decisions.is_empty(),
        Section::Themes => !week.themes.is_empty(),
        Section::Signals => !week.signals.is_empty(),
        Section::Gaps => !week.gaps.is_empty(),
        Section::Wins => !week.wins.is_empty() || week.praise > 0,
    })
}

/// The numbers as the model reads them: of an amount, what it may write.
fn shown(week: &Week) -> String {
    fn short(value: Value) -> Value {
        match value {
            Value::Object(map) => match (map.len(), map.get("amount"), map.get("shown").and_then(Value::as_str)) {
                (2, Some(_), Some(shown)) => Value::from(format!("{shown} ARR")),
                _ => Value::Object(map.into_iter().map(|(key, value)| (key, short(value))).collect()),
            },
            Value::Array(list) => Value::Array(list.into_iter().map(short).collect()),
            other => other,
        }
    }
    let value = serde_json::to_value(week).map(short).unwrap_or_default();
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

/// The text that an answer makes.
///
/// # Errors
/// What does not hold in it, in words for the model.
pub(super) fn told(week: &Week, answer: &Value) -> Result<String, String> {
    let text = |value: &Value, what: &str| match value.as_str().map(str::trim) {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("{what} is missing")),
    };
    let headline = text(&answer["headline"], "`headline`")?;
    if headline.contains('\n') || words(&headline) > 60 {
        return Err("`headline` is one paragraph of at most sixty words".into());
    }
    check(&headline, week).map_err(|why| format!("`headline`: {why}"))?;
    let given = answer["sections"].as_array().ok_or("`sections` is missing")?;
    let asked: Vec<Section> = wanted(week).collect();
    for section in given {
        let name = section["section"].as_str().unwrap_or_default();
        if !asked.iter().any(|asked| asked.name() == name) {
            return Err(format!("no section `{name}` was asked for"));
        }
    }
    let mut sheet =
        Sheet { title: prose::title(week), intro: headline, parts: Vec::new(), quotes: prose::quotes(week) };
    for section in sections(week.role) {
        if !asked.contains(&section) {
            sheet.parts.push(prose::part(week, section));
            continue;
        }
        let mut told = given.iter().filter(|given| given["section"].as_str() == Some(section.name()));
        let (Some(one), None) = (told.next(), told.next()) else {
            return Err(format!("the section `{}` is to be there once", section.name()));
        };
        let body = text(&one["text"], section.name())?;
        check(&body, week).map_err(|why| format!("`{}`: {why}", section.name()))?;
        sheet.parts.push(prose::told(week, section, body));
    }
    let whole = sheet.render();
    match words(&whole) {
        count if count < WORDS => Ok(whole),
        count => Err(format!("it has {count} words with its headings and quotes: write {} fewer", count + 20 - WORDS)),
    }
}

//! Scales: what a number means. An NPS answer makes a promoter (9, 10), a passive (7, 8) or a detractor (0 to 6). Of other
//! scales only those whose good end is known say as much: the upper quarter promotes, what is below the middle detracts.
//!
//! A score comes with a category and a severity for mappings to use where the respondent wrote nothing that says more.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::definition::Field;
use super::settings::GoodEnd;
use crate::json::text;

const NPS_STEPS: i64 = 11;

/// What an answer says on its question's scale; `None` for what is no scale.
pub(crate) fn score(
    good_ends: &BTreeMap<String, GoodEnd>,
    field: Option<&Field>,
    answer: &Value,
    question: &str,
) -> Option<Value> {
    let value = answer["number"].as_f64()?;
    let kind = text(&answer["field"], "type").or_else(|| field.map(|field| field.kind.clone()))?;
    let steps = field.and_then(|field| field.steps);
    let from = i64::from(field.map_or(kind == "rating", |field| field.starts_at_one));
    let nps = kind == "nps" || (kind == "opinion_scale" && steps == Some(NPS_STEPS) && from == 0);
    let (name, from, to) = match kind.as_str() {
        _ if nps => ("nps", 0, 10),
        "opinion_scale" => ("opinion_scale", from, from + steps? - 1),
        "rating" => ("rating", from, from + steps? - 1),
        _ => return None,
    };
    let named = |name: Option<String>| name.and_then(|name| good_ends.get(&name).copied());
    let good = named(text(&answer["field"], "ref"))
        .or_else(|| named(text(&answer["field"], "id")))
        .or((name == "rating").then_some(GoodEnd::High));
    let group = match (nps, good) {
        (true, _) => Some(group_of_nps(value)),
        (false, Some(end)) if to > from => {
            let share = (value - from as f64) / (to - from) as f64;
            Some(group_of_share(if end == GoodEnd::High { share } else { 1.0 - share }))
        }
        _ => None,
    };
    let (group, category, severity) = group.map_or((None, None, None), Group::reading);
    let mut label = format!("{} of {to}", answer["number"]);
    if let Some(group) = group {
        label = format!("{label}, {group}");
    }
    Some(json!({
        "kind": name, "question": question, "ref": text(&answer["field"], "ref"), "value": answer["number"],
        "from": from, "to": to, "label": label, "group": group, "category": category, "severity": severity,
    }))
}

/// The one that stands for the response: the first NPS, or else the first whose meaning is known, or else the first.
pub(crate) fn best(scores: &[Value]) -> Option<&Value> {
    let nps = scores.iter().find(|score| score["kind"] == "nps");
    nps.or_else(|| scores.iter().find(|score| !score["group"].is_null())).or_else(|| scores.first())
}

#[derive(Clone, Copy)]
enum Group {
    Promoter,
    Passive,
    Detractor,
    /// At the very end of the scale.
    Angry,
}

impl Group {
    /// Its name, and the category and severity that it speaks for.
    fn reading(self) -> (Option<&'static str>, Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Promoter => (Some("promoter"), Some("praise"), None),
            Self::Passive => (Some("passive"), None, None),
            Self::Detractor => (Some("detractor"), Some("pain_point"), Some("medium")),
            Self::Angry => (Some("detractor"), Some("pain_point"), Some("high")),
        }
    }
}

fn group_of_nps(value: f64) -> Group {
    match value {
        value if value >= 9.0 => Group::Promoter,
        value if value >= 7.0 => Group::Passive,
        value if value > 2.0 => Group::Detractor,
        _ => Group::Angry,
    }
}

fn group_of_share(share: f64) -> Group {
    match share {
        share if share >= 0.75 => Group::Promoter,
        share if share >= 0.5 => Group::Passive,
        share if share >= 0.25 => Group::Detractor,
        _ => Group::Angry,
    }
}

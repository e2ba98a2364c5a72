//! What models suggested of an item and nobody has spoken to: open suggestions. And what models may set at all.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::config::{Config, Mode};
use crate::house::House;
use crate::ledger::{Ledger, LedgerError, Tx, Waits};
use crate::report::why::title;
use crate::schema::{Entity, EntityId, Feedback, Path, Task, Verdict};

use super::trust::{cell, may_act_in};

/// What a model may ever set of an item, whatever its task has earned. What is not here is people's alone: the status and with
/// it the roadmap and closing as won't do, the customer, what is said to them; a priority there is not.
pub const WRITABLE: [&str; 15] = [
    "tags.category",
    "tags.severity",
    "tags.product",
    "tags.model",
    "tags.segment",
    "tags.region",
    "tags.use_case",
    "language",
    "summary",
    "theme",
    "duplicate_of",
    "part_of",
    "quote",
    "job",
    "risk",
];

/// Is this path a model's to set?
pub fn is_writable(path: &str) -> bool {
    WRITABLE.contains(&path)
}

/// The task whose verdict a path holds.
pub fn task_of(path: &str) -> Option<Task> {
    Some(match path {
        "theme" => Task::Theme,
        "duplicate_of" => Task::Duplicate,
        "risk" => Task::Risk,
        "job" => Task::Jtbd,
        "part_of" | "quote" | "summary" => Task::Extract,
        path if is_writable(path) => Task::Classify,
        _ => return None,
    })
}

/// A suggestion that nobody has spoken to.
#[derive(Clone, Debug, PartialEq)]
pub struct Open<'a> {
    pub path: &'a str,
    pub verdict: &'a Verdict,
    /// What stands there now: the suggestion as a draft, or nothing.
    pub stands: bool,
}

/// The open suggestions of an item: what stands as a draft, and what would if drafts were shown. What was not sure enough, what
/// a source says otherwise, and what a person decided is not open. Nor is a merge: it is a proposal, and asked for as such, so that
/// nobody merges two items by accepting the tags of one.
pub fn open<'a>(feedback: &'a Feedback, threshold: f64) -> Vec<Open<'a>> {
    if feedback.withdrawn {
        return Vec::new();
    }
    let value = serde_json::to_value(feedback).unwrap_or_default();
    let candidates = feedback.enrichment.iter().filter(|(path, _)| {
        path.as_str() != "duplicate_of" && task_of(path).is_some() && !feedback.decided.contains_key(path.as_str())
    });
    candidates
        .filter_map(|(dotted, verdict)| {
            let path: Path = dotted.parse().ok()?;
            let current = path.get(&value);
            let stands = same(current, &verdict.value) && !current.is_null();
            let would = current.is_null() && !verdict.value.is_null() && verdict.confidence >= threshold;
            (stands || would).then_some(Open { path: dotted, verdict, stands })
        })
        .collect()
}

/// Whether what a model said is what stands, as the field compares: words whatever their case, numbers by value.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.trim().to_lowercase() == b.trim().to_lowercase(),
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9,
            _ => a == b,
        },
        // One record, or a list of one.
        (Value::Array(list), one) | (one, Value::Array(list)) if list.len() == 1 && !one.is_array() => {
            same(&list[0], one)
        }
        (a, b) => a == b,
    }
}

/// Which fields are drafts, for people: `category 0.83, severity 0.61`.
pub fn suggested(feedback: &Feedback) -> Option<String> {
    let drafts = open(feedback, f64::INFINITY);
    let words: Vec<String> =
        drafts.iter().map(|open| format!("{} {:.2}", short(open.path), open.verdict.confidence)).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// A value as people read it: an item or a theme by its name, a risk by its score and its signs.
///
/// # Errors
/// When the ledger cannot be read.
pub fn worded(ledger: &Ledger, value: &Value) -> Result<String, LedgerError> {
    if let Some(id) = value.as_str().and_then(|text| text.parse::<EntityId>().ok())
        && let Some(entity) = ledger.entity(id)?
    {
        return Ok(format!("{} {}", entity.short_id(), title(&entity)).trim().to_owned());
    }
    if let Some(score) = value["score"].as_f64() {
        let kinds = value["reasons"].as_array().into_iter().flatten().filter_map(|reason| reason["kind"].as_str());
        let kinds: BTreeSet<&str> = kinds.collect();
        return Ok(format!("{score:.2} ({})", kinds.into_iter().collect::<Vec<_>>().join(", ")));
    }
    Ok(match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// `tags.category` is `category` to people.
pub fn short(path: &str) -> &str {
    path.strip_prefix("tags.").unwrap_or(path)
}

/// The path that people mean by a field's name.
pub fn meant(field: &str) -> Option<&'static str> {
    let wanted = field.trim().trim_start_matches('.').to_lowercase().replace([' ', '-'], "_");
    WRITABLE.into_iter().find(|path| *path == wanted || short(path) == wanted)
}

/// The customer's segment, as a mapping shows it: the item's own, else its customer's industry.
pub fn segment_in(tx: &mut Tx<'_>, feedback: &Feedback) -> Result<String, LedgerError> {
    if feedback.tags.segment.is_some() {
        return Ok(cell(feedback.tags.segment.as_deref()));
    }
    let Some(id) = feedback.customer else { return Ok(String::new()) };
    let customer = tx.entity(id)?;
    Ok(cell(customer.as_ref().and_then(Entity::as_customer).and_then(|customer| customer.industry.as_deref())))
}

/// The category under which a verdict counts: of the category itself what the model says, of all else what the item has.
pub fn category_of(feedback: &Feedback, path: &str, said: &Value) -> String {
    if path == "tags.category" {
        return cell(said.as_str());
    }
    let suggested = feedback.enrichment.get("tags.category").and_then(|verdict| verdict.value.as_str());
    cell(feedback.tags.category.as_deref().or(suggested))
}

/// Whether what a model says of this path may fill it before a person has spoken: as a draft, where drafts are shown, or for
/// having earned it. `value` is the item as JSON, with what was filled before this.
///
/// # Errors
/// When the ledger cannot be read.
pub fn may_fill(
    house: &House,
    tx: &mut Tx<'_>,
    feedback: &Feedback,
    value: &Value,
    path: &str,
    said: &Value,
) -> Result<bool, LedgerError> {
    let Some(task) = task_of(path) else { return Ok(false) };
    if house.config.review.drafts {
        return Ok(true);
    }
    if house.config.task(task).mode != Mode::Auto {
        return Ok(false);
    }
    let segment = segment_in(tx, feedback)?;
    let category = match path {
        "tags.category" => said.as_str(),
        _ => value["tags"]["category"].as_str().or_else(|| value["enrichment"]["tags.category"]["value"].as_str()),
    };
    may_act_in(house, tx, task, &cell(category), &segment)
}

/// What the queue must know of an item; `None`: nothing waits.
pub fn waits(config: &Config, feedback: &Feedback) -> Option<Waits> {
    if feedback.duplicate_of.is_some() && feedback.decided.contains_key("duplicate_of") {
        return None; // Who stands for it is reviewed.
    }
    let open = open(feedback, config.enrich.threshold);
    Some(Waits {
        since: open.iter().map(|open| open.verdict.at).min()?,
        risk: risk(feedback),
        customer: feedback.customer,
        category: category_of(feedback, "", &Value::Null),
        segment: feedback.tags.segment.as_deref().map(|segment| cell(Some(segment))),
        open: open.iter().map(|open| (open.path.to_owned(), open.verdict.confidence)).collect(),
    })
}

/// 0 to 1. As it was scored; what was not is taken by its tags.
pub fn risk(feedback: &Feedback) -> f64 {
    if let Some(risk) = &feedback.risk {
        return risk.score.clamp(0.0, 1.0);
    }
    let leaving: f64 = match feedback.tags.category.as_deref() {
        Some("churn_signal") => 0.7,
        _ => 0.1,
    };
    let severe: f64 = match feedback.tags.severity.as_deref() {
        Some("critical") => 0.8,
        Some("high") => 0.5,
        Some("medium") => 0.25,
        _ => 0.0,
    };
    leaving.max(severe)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::schema::{Decision, Tags};

    fn verdict(value: &str, confidence: f64) -> Verdict {
        Verdict {
            value: json!(value),
            model: "offline-1".into(),
            prompt: None,
            confidence,
            claimed: None,
            at: DateTime::UNIX_EPOCH,
            because: None,
        }
    }

    fn item() -> Feedback {
        Feedback {
            tags: Tags { category: Some("bug".into()), product: Some("console".into()), ..Tags::default() },
            enrichment: [
                ("tags.category".to_owned(), verdict("bug", 0.83)),
                ("tags.severity".to_owned(), verdict("high", 0.61)),
                ("tags.product".to_owned(), verdict("sdk", 0.9)),
                ("tags.model".to_owned(), verdict("large", 0.2)),
                ("status".to_owned(), verdict("wont_do", 1.0)),
            ]
            .into(),
            ..Feedback::default()
        }
    }

    #[test]
    fn open_is_what_stands_as_a_draft_or_would() {
        let mut item = item();
        let shown = |item: &Feedback| {
            open(item, 0.6).iter().map(|open| (open.path.to_owned(), open.stands)).collect::<Vec<_>>()
        };
        let (category, severity) = (("tags.category".to_owned(), true), ("tags.severity".to_owned(), false));
        assert_eq!(shown(&item), [category, severity.clone()]);
        assert_eq!(suggested(&item).as_deref(), Some("category 0.83"));
        item.decided.insert("tags.category".into(), Decision { by: "airtable".into(), at: DateTime::UNIX_EPOCH });
        assert_eq!((shown(&item), suggested(&item)), (vec![severity], None));
        item.withdrawn = true;
        assert_eq!(shown(&item), []);
    }

    #[test]
    fn what_is_peoples_is_no_models() {
        for path in
            ["status", "customer", "verbatim", "title", "reviewed", "decided", "withdrawn", "priority", "author"]
        {
            assert!(!is_writable(path) && task_of(path).is_none(), "{path}");
        }
        for path in WRITABLE {
            assert!(task_of(path).is_some(), "{path}");
        }
    }

    #[test]
    fn values_are_compared_as_their_field_does() {
        assert!(
            same(&json!("Bug "), &json!("bug")) && same(&json!(1), &json!(1.0)) && same(&json!(["a"]), &json!("A"))
        );
        assert!(!same(&json!("bug"), &Value::Null) && !same(&json!(["a", "b"]), &json!("a")));
        assert_eq!(
            (meant("Category"), meant("tags.severity"), meant("status")),
            (Some("tags.category"), Some("tags.severity"), None)
        );
    }

    #[test]
    fn a_score_goes_before_tags() {
        assert!((risk(&item()) - 0.1).abs() < 1e-9);
        let scored = Feedback { risk: Some(crate::schema::Risk { score: 7.0, ..Default::default() }), ..item() };
        assert!((risk(&scored) - 1.0).abs() < 1e-9);
    }
}

//! `GET` and `DELETE /forms/{id}/responses`.
//!
//! Newest first in order of arrival; `before` and `after` are tokens and exclude theirs, and do not go with `sort`; `since` and
//! `until` include their second. `total_items` and `page_count` count what is left behind `before`. (Typeform "Retrieve
//! responses", read 2026-11-23.) What `after` finds is told oldest first, or paging by it would miss some (js-api-client#7).

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Value, json};

use super::Typeform;
use super::errors::{Answer, done, invalid, no_form, ok};
use super::model::Response;
use crate::world::Context;

const MOST: usize = 1000;
const USUAL: usize = 25;

type Refused = http::Response<bytes::Bytes>;

/// The query of a list.
struct Asked<'q>(&'q [(String, String)]);

impl Asked<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn list(&self, name: &str) -> Option<Vec<&str>> {
        self.text(name).map(|text| text.split(',').map(str::trim).collect())
    }

    fn moment(&self, name: &str) -> Result<Option<DateTime<Utc>>, Refused> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let seconds = || text.parse::<i64>().ok().and_then(|at| DateTime::from_timestamp(at, 0));
        let iso = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
        let bare = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok().map(|at| at.and_utc());
        let at = seconds().or_else(iso).or_else(bare);
        at.map(Some).ok_or_else(|| invalid(name, "query", &format!("{name} is not a valid date")))
    }
}

impl Typeform {
    pub(super) fn list_responses(&self, id: &str, query: &[(String, String)], cx: &Context<'_>) -> Answer {
        let form = self.forms.get(id).ok_or_else(|| no_form(id))?;
        let asked = Asked(query);
        let size = match asked.text("page_size") {
            None => USUAL,
            Some(text) => text
                .parse()
                .ok()
                .filter(|size| (1..=MOST).contains(size))
                .ok_or_else(|| invalid("page_size", "query", "page_size must be between 1 and 1000"))?,
        };
        let (since, until) = (asked.moment("since")?, asked.moment("until")?);
        let (before, after, sort) = (asked.text("before"), asked.text("after"), asked.text("sort"));
        if sort.is_some() && (before.is_some() || after.is_some()) {
            return Err(invalid("sort", "query", "sort cannot be combined with before or after"));
        }
        if let Some(sort) = sort
            && !["submitted_at", "staged_at", "landed_at"].iter().any(|field| sort.starts_with(&format!("{field},")))
        {
            return Err(invalid("sort", "query", "sort must be {fieldID},{asc|desc}"));
        }
        let kinds = match (asked.list("response_type"), asked.text("completed")) {
            (Some(kinds), _) => {
                if let Some(odd) = kinds.iter().find(|kind| !["started", "partial", "completed"].contains(kind)) {
                    return Err(invalid("response_type", "query", &format!("{odd} is no response type")));
                }
                kinds
            }
            (None, Some("false")) => vec!["started", "partial"],
            (None, _) => vec!["completed"],
        };
        // At the wrong region there is nothing, and no error.
        let here = self.responses_at.as_deref().is_none_or(|home| home == cx.base);
        let place = |token: &str| form.responses.iter().position(|response| response.token == token);
        let (below, above) = match (before, after) {
            (Some(token), _) => (Some(place(token).ok_or_else(|| invalid("before", "query", "no such token"))?), None),
            (None, Some(token)) => {
                (None, Some(place(token).ok_or_else(|| invalid("after", "query", "no such token"))?))
            }
            (None, None) => (None, None),
        };
        let (wanted, unwanted) = (
            asked.list("included_response_ids").or_else(|| asked.list("included_tokens")),
            asked.list("excluded_response_ids").unwrap_or_default(),
        );
        let fits = |at: usize, response: &Response| {
            let settled = response.settled().timestamp();
            here && response.shown_at <= cx.now
                && kinds.contains(&response.kind())
                && below.is_none_or(|below| at < below)
                && above.is_none_or(|above| at > above)
                && since.is_none_or(|since| settled >= since.timestamp())
                && until.is_none_or(|until| settled <= until.timestamp())
                && wanted.as_ref().is_none_or(|wanted| wanted.contains(&response.token.as_str()))
                && !unwanted.contains(&response.token.as_str())
                && asked.text("query").is_none_or(|text| mentions(response, text))
                && asked
                    .list("answered_fields")
                    .is_none_or(|fields| fields.iter().any(|field| answered(response, field)))
        };
        let mut found: Vec<&Response> = form
            .responses
            .iter()
            .enumerate()
            .filter(|(at, response)| fits(*at, response))
            .map(|(_, one)| one)
            .collect();
        let rising = above.is_some() || sort.is_some_and(|sort| sort.ends_with(",asc"));
        if !rising {
            found.reverse();
        }
        let total = found.len();
        let fields = asked.list("fields");
        let items: Vec<Value> =
            found.into_iter().take(size).map(|response| only(response.show(), fields.as_deref())).collect();
        ok(&json!({"total_items": total, "page_count": total.div_ceil(size), "items": items}))
    }

    pub(super) fn delete_responses(&mut self, id: &str, query: &[(String, String)]) -> Answer {
        let form = self.forms.get_mut(id).ok_or_else(|| no_form(id))?;
        let asked = Asked(query);
        let tokens = asked.list("included_tokens").or_else(|| asked.list("included_response_ids"));
        let tokens = tokens.ok_or_else(|| invalid("included_tokens", "query", "included_tokens is required"))?;
        form.responses.retain(|response| !tokens.contains(&response.token.as_str()));
        done()
    }
}

fn mentions(response: &Response, text: &str) -> bool {
    let text = text.to_lowercase();
    response.answers.iter().any(|answer| answer.to_string().to_lowercase().contains(&text))
        || response.hidden.values().any(|value| value.to_string().to_lowercase().contains(&text))
}

fn answered(response: &Response, field: &str) -> bool {
    response.answers.iter().any(|answer| ["id", "ref"].iter().any(|key| answer["field"][key].as_str() == Some(field)))
}

/// Only the answers to these questions.
fn only(mut item: Value, fields: Option<&[&str]>) -> Value {
    if let (Some(fields), Some(answers)) = (fields, item["answers"].as_array_mut()) {
        answers.retain(|answer| {
            ["id", "ref"].iter().any(|key| answer["field"][key].as_str().is_some_and(|id| fields.contains(&id)))
        });
    }
    item
}

//! What we read of GitHub's JSON, as tolerantly as can be: a field that is missing, null or of another type costs only
//! itself.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::spelling::instant;
use crate::{Key, Record, Version};

pub(crate) const ISSUE: &str = "issue";
pub(crate) const COMMENT: &str = "comment";

/// Of a repository, as `GET /repos/{o}/{r}` and webhooks give it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Repository {
    pub(crate) id: Option<u64>,
    pub(crate) full_name: Option<String>,
    pub(crate) owner_id: Option<u64>,
    pub(crate) owner: Option<String>,
    pub(crate) has_issues: Option<bool>,
    /// `permissions`: what the credential may do, where GitHub says.
    pub(crate) may: Vec<String>,
}

impl Repository {
    pub(crate) fn read(value: &Value) -> Self {
        let owner = &value["owner"];
        let may = value["permissions"].as_object().map(|all| {
            all.iter().filter(|(_, yes)| yes.as_bool() == Some(true)).map(|(name, _)| name.clone()).collect()
        });
        Self {
            id: whole(&value["id"]),
            full_name: text(&value["full_name"])
                .or_else(|| Some(format!("{}/{}", text(&owner["login"])?, text(&value["name"])?))),
            owner_id: whole(&owner["id"]),
            owner: text(&owner["login"]),
            has_issues: value["has_issues"].as_bool(),
            may: may.unwrap_or_default(),
        }
    }
}

/// An issue among GitHub's answers; a pull request is one with the key `pull_request` (OpenAPI `issue`, 2026-11-23).
pub(crate) enum Item {
    Issue(Record),
    PullRequest,
    /// No number, so it cannot be named.
    Nameless,
}

pub(crate) fn issue(handle: &str, issue: Value) -> Item {
    if !issue["pull_request"].is_null() {
        return Item::PullRequest;
    }
    let Some(number) = whole(&issue["number"]) else { return Item::Nameless };
    Item::Issue(Record {
        key: Key::new(ISSUE, issue_id(handle, number)),
        version: changed(&issue).map(version),
        url: text(&issue["html_url"]),
        body: Some(issue),
        edits: Vec::new(),
    })
}

/// A comment, with the key of its issue added as `issue_key`.
pub(crate) fn comment(handle: &str, mut comment: Value) -> Item {
    if text(&comment["html_url"]).is_some_and(|url| url.contains("/pull/")) {
        return Item::PullRequest;
    }
    let Some(id) = whole(&comment["id"]) else { return Item::Nameless };
    let number = number_in(&comment["issue_url"]).or_else(|| number_in(&comment["html_url"]));
    if let (Some(number), Some(fields)) = (number, comment.as_object_mut()) {
        fields.insert("issue_key".into(), Value::String(issue_id(handle, number)));
    }
    Item::Issue(Record {
        key: Key::new(COMMENT, comment_id(handle, id)),
        version: changed(&comment).map(version),
        url: text(&comment["html_url"]),
        body: Some(comment),
        edits: Vec::new(),
    })
}

/// The number after `/issues/` in an API or page URL.
fn number_in(url: &Value) -> Option<u64> {
    let (_, after) = url.as_str()?.rsplit_once("/issues/")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

pub(crate) fn issue_id(handle: &str, number: u64) -> String {
    format!("{handle}#{number}")
}

pub(crate) fn comment_id(handle: &str, id: u64) -> String {
    format!("{handle}/comments/{id}")
}

/// `owner/name#7`, taken apart.
pub(crate) fn split_issue(id: &str) -> Option<(&str, u64)> {
    let (handle, number) = id.rsplit_once('#')?;
    Some((handle, number.parse().ok()?))
}

/// `owner/name/comments/7`, taken apart.
pub(crate) fn split_comment(id: &str) -> Option<(&str, u64)> {
    let (handle, number) = id.rsplit_once("/comments/")?;
    Some((handle, number.parse().ok()?))
}

/// The flat form of an issue that mappings write to: its labels.
pub(crate) fn flat(issue: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    let names = labels(&issue["labels"]);
    if !names.is_empty() {
        fields.insert("labels".into(), Value::from(names));
    }
    fields
}

/// Label names, sorted, each once. A label is a string or an object (OpenAPI `issue.labels`).
pub(crate) fn labels(value: &Value) -> Vec<String> {
    let mut names: Vec<String> = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|label| text(label).or_else(|| text(&label["name"])))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    // GitHub takes labels that differ only in case for the same one.
    names.sort_by_cached_key(|name| (name.to_lowercase(), name.clone()));
    names.dedup_by(|a, b| a.to_lowercase() == b.to_lowercase());
    names
}

pub(crate) fn changed(item: &Value) -> Option<DateTime<Utc>> {
    instant(item["updated_at"].as_str()?)
}

fn version(at: DateTime<Utc>) -> Version {
    Version(at.timestamp_millis())
}

pub(crate) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(crate) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

//! Labels: an issue's (`…/issues/{n}/labels`) and the repository's own (`…/labels`).
//!
//! The law: adding is a union, PUT replaces all, names are matched without case and shown as the repository writes them.

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Map, Value};

use super::GitHub;
use super::errors::{Answer, created, done, invalid, not_found, ok, refuse};
use super::list::{Listing, Order};
use super::model::{Actor, Label, Repo};
use super::route::Call;
use crate::world::Context;

impl GitHub {
    #[expect(clippy::too_many_arguments, reason = "one arm of the router; all of it is the request")]
    pub(super) fn labels_of_issue(
        &mut self,
        repo: u64,
        number: u64,
        method: &Method,
        rest: &[&str],
        call: &Call,
        actor: &Actor,
        cx: &mut Context<'_>,
    ) -> Answer {
        let mut names = self.issue_mut(repo, number).ok_or_else(not_found)?.labels.clone();
        match (method, rest) {
            (&Method::GET, []) => {}
            (&Method::POST, []) => names.extend(label_names(&call.value()?)?),
            (&Method::PUT, []) => names = label_names(&call.value()?)?,
            (&Method::DELETE, []) => {
                self.relabel(repo, number, &[], actor, cx);
                return done();
            }
            (&Method::DELETE, [name]) => {
                let before = names.len();
                names.retain(|label| label.to_lowercase() != name.to_lowercase());
                if names.len() == before {
                    return Err(refuse(http::StatusCode::NOT_FOUND, "Label does not exist"));
                }
            }
            _ => return Err(not_found()),
        }
        if method != Method::GET {
            self.relabel(repo, number, &names, actor, cx);
        }
        let entry = self.repos.get(&repo).ok_or_else(not_found)?;
        let view = call.view(cx.base);
        let issue = entry.issues.get(&number).ok_or_else(not_found)?;
        ok(&issue
            .labels
            .iter()
            .filter_map(|name| Some(view.label(entry, entry.labels.get(&name.to_lowercase())?)))
            .collect())
    }

    /// The repository's own labels.
    pub(super) fn label_route(&mut self, repo: u64, rest: &[&str], call: &Call, cx: &mut Context<'_>) -> Answer {
        let id = self.next_id();
        let entry = self.repos.get_mut(&repo).ok_or_else(not_found)?;
        let view = call.view(cx.base);
        match (&call.method, rest) {
            (&Method::GET, []) => {
                let all: Vec<&Label> = entry.labels.values().collect();
                let listing =
                    Listing::read(&call.query, format!("{}/repositories/{repo}/labels", cx.base), self.most_per_page)?;
                listing.answer(
                    &all,
                    &Order::rising(|label: &&Label| (0, label.id)),
                    |label| view.label(entry, label),
                    None,
                )
            }
            (&Method::POST, []) => {
                let body = call.object()?;
                let name = body.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| invalid("Label", "name", "missing_field", None))?;
                if entry.labels.contains_key(&name.to_lowercase()) {
                    return Err(invalid("Label", "name", "already_exists", None));
                }
                let label = Label {
                    id,
                    name: name.to_owned(),
                    color: color(&body)?.unwrap_or_else(|| "ededed".to_owned()),
                    description: description(&body),
                };
                entry.labels.insert(name.to_lowercase(), label.clone());
                created(&view.label(entry, &label))
            }
            (&Method::GET, [name]) => {
                ok(&view.label(entry, entry.labels.get(&name.to_lowercase()).ok_or_else(not_found)?))
            }
            (&Method::PATCH, [name]) => {
                let body = call.object()?;
                let mut label = entry.labels.get(&name.to_lowercase()).cloned().ok_or_else(not_found)?;
                let old = label.name.clone();
                if let Some(new) = body.get("new_name").and_then(Value::as_str) {
                    new.clone_into(&mut label.name);
                }
                label.color = color(&body)?.unwrap_or(label.color);
                label.description = description(&body).or(label.description);
                rename_label(entry, &old, &label);
                ok(&view.label(entry, &label))
            }
            (&Method::DELETE, [name]) => {
                let label = entry.labels.remove(&name.to_lowercase()).ok_or_else(not_found)?;
                for issue in entry.issues.values_mut() {
                    issue.labels.retain(|name| *name != label.name);
                }
                done()
            }
            _ => Err(not_found()),
        }
    }
}

/// Labels come as `{"labels": […]}`, as a list, or one as a string; each a name or `{name, suggest, …}`. A suggestion is
/// not applied.
pub(super) fn label_names(value: &Value) -> Result<Vec<String>, Response<Bytes>> {
    let wrong = || invalid("Label", "name", "invalid", None);
    match value {
        Value::Object(object) => object.get("labels").map_or_else(|| Err(wrong()), label_names),
        Value::String(name) => Ok(vec![name.clone()]),
        Value::Array(entries) => {
            let mut names = Vec::new();
            for entry in entries {
                let name = entry
                    .as_str()
                    .or_else(|| entry.get("name").and_then(Value::as_str))
                    .filter(|name| !name.is_empty());
                let name = name.ok_or_else(wrong)?;
                if entry.get("suggest").and_then(Value::as_bool) != Some(true) {
                    names.push(name.to_owned());
                }
            }
            Ok(names)
        }
        _ => Err(wrong()),
    }
}

fn color(body: &Map<String, Value>) -> Result<Option<String>, Response<Bytes>> {
    match body.get("color").and_then(Value::as_str) {
        None => Ok(None),
        Some(color) if color.len() == 6 && color.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(Some(color.to_lowercase()))
        }
        Some(_) => Err(invalid("Label", "color", "invalid", None)),
    }
}

fn description(body: &Map<String, Value>) -> Option<String> {
    body.get("description").and_then(Value::as_str).map(str::to_owned)
}

/// A rename touches every issue that carries the label, and moves no issue's time.
fn rename_label(repo: &mut Repo, old: &str, label: &Label) {
    repo.labels.remove(&old.to_lowercase());
    repo.labels.insert(label.name.to_lowercase(), label.clone());
    for name in repo.issues.values_mut().flat_map(|issue| issue.labels.iter_mut()).filter(|name| *name == old) {
        name.clone_from(&label.name);
    }
}

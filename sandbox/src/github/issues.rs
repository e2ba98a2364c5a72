//! `/repos/{o}/{r}/issues…`, as the API answers them.

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Map, Value};

use super::GitHub;
use super::change::{Edit, NewIssue};
use super::errors::{Answer, created, deleted, done, invalid, moved, not_found, ok, refuse};
use super::labels::label_names;
use super::list::{Listing, Order, choice, get, since};
use super::model::{Actor, Comment, Gone, Issue};
use super::route::Call;
use crate::world::Context;

/// GitHub counts characters (vendor sheet section 7, 2026-11-23).
const LONGEST_BODY: usize = 65_536;
const LONGEST_TITLE: usize = 256;

impl GitHub {
    pub(super) fn issue_route(
        &mut self,
        repo: u64,
        rest: &[&str],
        call: &Call,
        actor: &Actor,
        cx: &mut Context<'_>,
    ) -> Answer {
        match (&call.method, rest) {
            (&Method::GET, []) => self.list_issues(repo, call, cx),
            (&Method::POST, []) => self.create_issue(repo, call, actor, cx),
            (&Method::GET, ["comments"]) => self.list_comments(repo, None, call, cx),
            (method, ["comments", id]) => self.comment_route(repo, method, id, call, actor, cx),
            (method, [number, rest @ ..]) => {
                let number = self.live(repo, number, cx)?;
                match (method, rest) {
                    (&Method::GET, []) => self.show_issue(repo, number, call, cx),
                    (&Method::PATCH, []) => {
                        let edit = self.read_edit(&call.object()?)?;
                        self.edit(repo, number, edit, actor, cx).ok_or_else(not_found)?;
                        self.show_issue(repo, number, call, cx)
                    }
                    (&Method::GET, ["comments"]) => self.list_comments(repo, Some(number), call, cx),
                    (&Method::POST, ["comments"]) => {
                        let body = comment_body(&call.object()?)?;
                        let id = self.add_comment(repo, number, &body, actor, cx).ok_or_else(not_found)?;
                        created(&self.shown_comment(repo, id, call, cx)?)
                    }
                    (method, ["labels", rest @ ..]) => {
                        self.labels_of_issue(repo, number, method, rest, call, actor, cx)
                    }
                    _ => Err(not_found()),
                }
            }
            _ => Err(not_found()),
        }
    }

    /// The number of an issue that is there; else why not.
    fn live(&self, repo: u64, number: &str, cx: &Context<'_>) -> Result<u64, Response<Bytes>> {
        let number: u64 = number.parse().map_err(|_| not_found())?;
        let entry = self.repos.get(&repo).ok_or_else(not_found)?;
        if entry.issues.contains_key(&number) {
            return Ok(number);
        }
        Err(match entry.gone.get(&number) {
            Some(Gone::Deleted) => deleted(),
            Some(Gone::Transferred { repo, number }) => {
                moved(http::StatusCode::MOVED_PERMANENTLY, &format!("{}/repositories/{repo}/issues/{number}", cx.base))
            }
            None => not_found(),
        })
    }

    fn list_issues(&self, repo: u64, call: &Call, cx: &Context<'_>) -> Answer {
        let entry = self.repos.get(&repo).ok_or_else(not_found)?;
        let query = &call.query;
        let open = match choice(query, "state", &["open", "closed", "all"])?.unwrap_or("open") {
            "open" => Some(true),
            "closed" => Some(false),
            _ => None,
        };
        let since = since(query)?;
        let labels: Vec<String> = get(query, "labels")
            .unwrap_or_default()
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_lowercase)
            .collect();
        let creator = get(query, "creator");
        let sort = choice(query, "sort", &["created", "updated", "comments"])?.unwrap_or("created");
        let rising = choice(query, "direction", &["asc", "desc"])? == Some("asc");
        let place = |issue: &&Issue| {
            let key = match sort {
                "updated" => issue.updated_at.timestamp(),
                "comments" => {
                    entry.threads.get(&issue.number).map_or(0, |thread| i64::try_from(thread.len()).unwrap_or(i64::MAX))
                }
                _ => issue.created_at.timestamp(),
            };
            (key, issue.number)
        };
        let mut all: Vec<&Issue> = entry
            .issues
            .values()
            .filter(|issue| open.is_none_or(|open| issue.open == open))
            .filter(|issue| since.is_none_or(|since| issue.updated_at >= since))
            .filter(|issue| labels.iter().all(|wanted| issue.labels.iter().any(|name| name.to_lowercase() == *wanted)))
            .filter(|issue| creator.is_none_or(|creator| issue.author.eq_ignore_ascii_case(creator)))
            .collect();
        all.sort_unstable_by_key(place);
        if !rising {
            all.reverse();
        }
        let view = call.view(cx.base);
        let listing = Listing::read(query, format!("{}/repositories/{repo}/issues", cx.base), self.most_per_page)?;
        listing.answer(&all, &Order { place, rising }, |issue| view.issue(entry, issue), Some(self.page_cap))
    }

    fn list_comments(&self, repo: u64, number: Option<u64>, call: &Call, cx: &Context<'_>) -> Answer {
        let entry = self.repos.get(&repo).ok_or_else(not_found)?;
        let since = since(&call.query)?;
        let fresh = |comment: &&Comment| since.is_none_or(|since| comment.updated_at >= since);
        let mut all: Vec<&Comment> = match number {
            Some(number) => entry.comments_of(number).filter(fresh).collect(),
            None => entry.comments.values().filter(fresh).collect(),
        };
        // `direction` without `sort` is ignored, and one issue's comments know neither (OpenAPI, read 2026-11-23).
        let sort = if number.is_none() { choice(&call.query, "sort", &["created", "updated"])? } else { None };
        let place = |comment: &&Comment| match sort {
            Some("updated") => (comment.updated_at.timestamp(), comment.id),
            Some(_) => (comment.created_at.timestamp(), comment.id),
            None => (0, comment.id),
        };
        all.sort_unstable_by_key(place);
        let rising = sort.is_none() || choice(&call.query, "direction", &["asc", "desc"])? != Some("desc");
        if !rising {
            all.reverse();
        }
        let path = match number {
            Some(number) => format!("{}/repositories/{repo}/issues/{number}/comments", cx.base),
            None => format!("{}/repositories/{repo}/issues/comments", cx.base),
        };
        let view = call.view(cx.base);
        let cap = number.is_none().then_some(self.page_cap);
        Listing::read(&call.query, path, self.most_per_page)?.answer(
            &all,
            &Order { place, rising },
            |comment| view.comment(entry, comment),
            cap,
        )
    }

    fn show_issue(&self, repo: u64, number: u64, call: &Call, cx: &Context<'_>) -> Answer {
        let entry = self.repos.get(&repo).ok_or_else(not_found)?;
        ok(&call.view(cx.base).issue(entry, entry.issues.get(&number).ok_or_else(not_found)?))
    }

    fn create_issue(&mut self, repo: u64, call: &Call, actor: &Actor, cx: &mut Context<'_>) -> Answer {
        let entry = self.repos.get(&repo).ok_or_else(not_found)?;
        if !entry.has_issues {
            return Err(refuse(http::StatusCode::GONE, "Issues has been disabled in this repository."));
        }
        let edit = self.read_edit(&call.object()?)?;
        let title = edit.title.ok_or_else(|| invalid("Issue", "title", "missing_field", None))?;
        let labels = edit.labels.unwrap_or_default();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let body = edit.body.flatten();
        let new = NewIssue {
            title: &title,
            body: body.as_deref(),
            author: &actor.login,
            labels: &labels,
            ..NewIssue::default()
        };
        let number = self.open(repo, &new, actor, cx).ok_or_else(not_found)?;
        if edit.assignees.is_some() {
            self.edit(repo, number, Edit { assignees: edit.assignees, ..Edit::default() }, actor, cx);
        }
        let shown = self.show_issue(repo, number, call, cx)?;
        created(&serde_json::from_slice(shown.body()).unwrap_or_default())
    }

    fn comment_route(
        &mut self,
        repo: u64,
        method: &Method,
        id: &str,
        call: &Call,
        actor: &Actor,
        cx: &mut Context<'_>,
    ) -> Answer {
        let id: u64 = id.parse().map_err(|_| not_found())?;
        self.repos.get(&repo).filter(|repo| repo.comments.contains_key(&id)).ok_or_else(not_found)?;
        match *method {
            Method::GET => ok(&self.shown_comment(repo, id, call, cx)?),
            Method::PATCH => {
                let body = comment_body(&call.object()?)?;
                self.change_comment(repo, id, &body, actor, cx);
                ok(&self.shown_comment(repo, id, call, cx)?)
            }
            Method::DELETE => {
                self.remove_comment(repo, id, actor, cx);
                done()
            }
            _ => Err(not_found()),
        }
    }

    fn shown_comment(&self, repo: u64, id: u64, call: &Call, cx: &Context<'_>) -> Result<Value, Response<Bytes>> {
        let entry = self.repos.get(&repo).ok_or_else(not_found)?;
        Ok(call.view(cx.base).comment(entry, entry.comments.get(&id).ok_or_else(not_found)?))
    }

    fn read_edit(&self, body: &Map<String, Value>) -> Result<Edit, Response<Bytes>> {
        let title = match body.get("title") {
            None | Some(Value::Null) => None,
            Some(Value::String(title)) if title.trim().is_empty() => {
                return Err(invalid("Issue", "title", "missing_field", None));
            }
            Some(Value::String(title)) => Some(title.clone()),
            Some(Value::Number(title)) => Some(title.to_string()),
            Some(_) => return Err(invalid("Issue", "title", "invalid", None)),
        };
        if title.as_ref().is_some_and(|title| title.chars().count() > LONGEST_TITLE) {
            return Err(invalid("Issue", "title", "custom", Some("title is too long (maximum is 256 characters)")));
        }
        let text = match body.get("body") {
            None => None,
            Some(Value::Null) => Some(None),
            Some(Value::String(text)) if text.chars().count() > LONGEST_BODY => {
                return Err(invalid("Issue", "body", "custom", Some("body is too long (maximum is 65536 characters)")));
            }
            Some(Value::String(text)) => Some(Some(text.clone())),
            Some(_) => return Err(invalid("Issue", "body", "invalid", None)),
        };
        let open = match body.get("state").map(Value::as_str) {
            None | Some(None) => None,
            Some(Some("open")) => Some(true),
            Some(Some("closed")) => Some(false),
            Some(Some(_)) => return Err(invalid("Issue", "state", "invalid", None)),
        };
        let reason = match body.get("state_reason") {
            None => None,
            Some(Value::Null) => Some(None),
            Some(Value::String(reason))
                if matches!(reason.as_str(), "completed" | "not_planned" | "duplicate" | "reopened") =>
            {
                Some(Some(reason.clone()))
            }
            Some(_) => return Err(invalid("Issue", "state_reason", "invalid", None)),
        };
        let labels = body.get("labels").filter(|labels| !labels.is_null()).map(label_names).transpose()?;
        let assignees = body
            .get("assignees")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        Ok(Edit { title, body: text, open, state_reason: reason, labels, assignees })
    }
}

fn comment_body(body: &Map<String, Value>) -> Result<String, Response<Bytes>> {
    match body.get("body").and_then(Value::as_str) {
        None => Err(invalid("IssueComment", "body", "missing_field", None)),
        Some(text) if text.trim().is_empty() => {
            Err(invalid("IssueComment", "data", "unprocessable", Some("Body cannot be blank")))
        }
        Some(text) if text.chars().count() > LONGEST_BODY => Err(invalid(
            "IssueComment",
            "data",
            "unprocessable",
            Some("Body is too long (maximum is 65536 characters)"),
        )),
        Some(text) => Ok(text.to_owned()),
    }
}

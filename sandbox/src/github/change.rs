//! What changes an issue, whoever does it: the state, the times that move, and the events that fire.
//!
//! The law: a desk and an API call that do the same leave the same behind. An edit that changes nothing moves no time and
//! fires nothing. Comments, edits and labels move the issue's `updated_at` (vendor sheet section 4, 2026-11-23).

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::GitHub;
use super::model::{Actor, Comment, Gone, Issue, Label, Repo, whole};
use super::show::View;
use crate::world::Context;

/// A new issue or pull request, as somebody opens it.
#[derive(Clone, Debug, Default)]
pub struct NewIssue<'a> {
    pub title: &'a str,
    pub body: Option<&'a str>,
    pub author: &'a str,
    pub labels: &'a [&'a str],
    /// Now, if `None`.
    pub created_at: Option<DateTime<Utc>>,
    /// Now, if `None`: an old issue that turns up is new to those who poll.
    pub updated_at: Option<DateTime<Utc>>,
    pub pull_request: bool,
    /// This number, if it is free; else the next one.
    pub number: Option<u64>,
}

/// What of an issue is to be otherwise. `None`: as it is.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    pub title: Option<String>,
    pub body: Option<Option<String>>,
    pub open: Option<bool>,
    pub state_reason: Option<Option<String>>,
    pub labels: Option<Vec<String>>,
    pub assignees: Option<Vec<String>>,
}

impl GitHub {
    pub(super) fn open(&mut self, repo: u64, new: &NewIssue<'_>, actor: &Actor, cx: &mut Context<'_>) -> Option<u64> {
        let now = whole(cx.now);
        let id = self.next_id();
        let entry = self.repos.get_mut(&repo)?;
        let number = new.number.filter(|number| !entry.issues.contains_key(number)).unwrap_or(entry.next_number);
        entry.next_number = entry.next_number.max(number + 1);
        entry.issues.insert(
            number,
            Issue {
                id,
                number,
                title: new.title.to_owned(),
                body: new.body.map(str::to_owned),
                author: new.author.to_owned(),
                labels: Vec::new(),
                open: true,
                state_reason: None,
                assignees: Vec::new(),
                pull_request: new.pull_request,
                created_at: new.created_at.map_or(now, whole),
                updated_at: new.updated_at.map_or(now, whole),
                closed_at: None,
                closed_by: None,
            },
        );
        let labels: Vec<String> = new.labels.iter().map(|name| self.ensure_label(repo, name)).collect();
        self.issue_mut(repo, number)?.labels.clone_from(&labels);
        self.fire_issue(repo, number, "opened", Map::new(), actor, cx);
        for label in labels {
            self.fire_label(repo, number, "labeled", &label, actor, cx);
        }
        Some(number)
    }

    pub(super) fn edit(
        &mut self,
        repo: u64,
        number: u64,
        edit: Edit,
        actor: &Actor,
        cx: &mut Context<'_>,
    ) -> Option<()> {
        let now = whole(cx.now);
        let issue = self.issue_mut(repo, number)?;
        let mut changes = Map::new();
        if let Some(title) = edit.title.filter(|title| *title != issue.title) {
            changes.insert("title".into(), json!({"from": issue.title}));
            issue.title = title;
        }
        if let Some(body) = edit.body.filter(|body| *body != issue.body) {
            changes.insert("body".into(), json!({"from": issue.body.clone().unwrap_or_default()}));
            issue.body = body;
        }
        let mut actions = Vec::new();
        if !changes.is_empty() {
            issue.updated_at = now;
            actions.push(("edited", json!({"changes": changes})));
        }
        let reason = edit.state_reason.flatten();
        match edit.open {
            Some(false) if issue.open => {
                (issue.open, issue.closed_at, issue.closed_by) = (false, Some(now), Some(actor.login.clone()));
                issue.state_reason = Some(reason.unwrap_or_else(|| "completed".to_owned()));
                issue.updated_at = now;
                actions.push(("closed", json!({})));
            }
            Some(true) if !issue.open => {
                (issue.open, issue.closed_at, issue.closed_by) = (true, None, None);
                issue.state_reason = Some("reopened".to_owned());
                issue.updated_at = now;
                actions.push(("reopened", json!({})));
            }
            // The reason of a closed issue can be changed; the state stays and nothing fires.
            _ => {
                if let Some(reason) = reason.filter(|reason| !issue.open && issue.state_reason.as_ref() != Some(reason))
                {
                    issue.state_reason = Some(reason);
                    issue.updated_at = now;
                }
            }
        }
        if let Some(assignees) = edit.assignees.filter(|assignees| *assignees != issue.assignees) {
            let action = if assignees.len() >= issue.assignees.len() { "assigned" } else { "unassigned" };
            issue.assignees = assignees;
            issue.updated_at = now;
            actions.push((action, json!({})));
        }
        for (action, extra) in actions {
            let extra = if let Value::Object(extra) = extra { extra } else { Map::new() };
            self.fire_issue(repo, number, action, extra, actor, cx);
        }
        if let Some(labels) = edit.labels {
            self.relabel(repo, number, &labels, actor, cx)?;
        }
        Some(())
    }

    /// Makes the issue's labels exactly these; labels that the repository lacks are made.
    pub(super) fn relabel(
        &mut self,
        repo: u64,
        number: u64,
        wanted: &[String],
        actor: &Actor,
        cx: &mut Context<'_>,
    ) -> Option<()> {
        let now = whole(cx.now);
        let mut names: Vec<String> = Vec::new();
        for name in wanted {
            let name = self.ensure_label(repo, name);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let issue = self.issue_mut(repo, number)?;
        let old = std::mem::replace(&mut issue.labels, names.clone());
        let added: Vec<&String> = names.iter().filter(|name| !old.contains(name)).collect();
        let removed: Vec<&String> = old.iter().filter(|name| !names.contains(name)).collect();
        if !(added.is_empty() && removed.is_empty()) {
            issue.updated_at = now;
        }
        for name in added {
            self.fire_label(repo, number, "labeled", name, actor, cx);
        }
        for name in removed {
            self.fire_label(repo, number, "unlabeled", name, actor, cx);
        }
        Some(())
    }

    pub(super) fn add_comment(
        &mut self,
        repo: u64,
        number: u64,
        body: &str,
        actor: &Actor,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let now = whole(cx.now);
        let id = self.next_id();
        let entry = self.repos.get_mut(&repo)?;
        entry.issues.get_mut(&number)?.updated_at = now;
        let comment = Comment {
            id,
            issue: number,
            body: body.to_owned(),
            author: actor.login.clone(),
            created_at: now,
            updated_at: now,
        };
        entry.put_comment(comment);
        self.fire_comment(repo, id, "created", Map::new(), actor, cx);
        Some(id)
    }

    pub(super) fn change_comment(
        &mut self,
        repo: u64,
        id: u64,
        body: &str,
        actor: &Actor,
        cx: &mut Context<'_>,
    ) -> Option<()> {
        let now = whole(cx.now);
        let entry = self.repos.get_mut(&repo)?;
        let comment = entry.comments.get_mut(&id)?;
        if comment.body == body {
            return Some(());
        }
        let from = std::mem::replace(&mut comment.body, body.to_owned());
        comment.updated_at = now;
        if let Some(issue) = entry.issues.get_mut(&comment.issue) {
            issue.updated_at = now;
        }
        let extra = Map::from_iter([("changes".to_owned(), json!({"body": {"from": from}}))]);
        self.fire_comment(repo, id, "edited", extra, actor, cx);
        Some(())
    }

    pub(super) fn remove_comment(&mut self, repo: u64, id: u64, actor: &Actor, cx: &mut Context<'_>) -> Option<()> {
        let number = self.repos.get(&repo)?.comments.get(&id)?.issue;
        self.fire_comment(repo, id, "deleted", Map::new(), actor, cx);
        self.repos.get_mut(&repo)?.take_comment(id);
        self.issue_mut(repo, number)?.updated_at = whole(cx.now);
        Some(())
    }

    /// Deleted issues answer 410 and are in no list.
    pub(super) fn remove_issue(&mut self, repo: u64, number: u64, actor: &Actor, cx: &mut Context<'_>) -> Option<()> {
        self.issue_mut(repo, number)?;
        self.fire_issue(repo, number, "deleted", Map::new(), actor, cx);
        let entry = self.repos.get_mut(&repo)?;
        entry.issues.remove(&number);
        entry.take_thread(number);
        entry.gone.insert(number, Gone::Deleted);
        Some(())
    }

    /// Moves an issue with its comments: new number, new id; the old place answers 301.
    pub(super) fn move_issue(
        &mut self,
        from: u64,
        number: u64,
        to: u64,
        actor: &Actor,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let id = self.next_id();
        let mut issue = self.repos.get(&from)?.issues.get(&number)?.clone();
        let target = self.repos.get_mut(&to).filter(|_| from != to)?;
        let new_number = target.next_number;
        target.next_number += 1;
        (issue.id, issue.number, issue.updated_at) = (id, new_number, whole(cx.now));
        let labels = std::mem::take(&mut issue.labels);
        target.issues.insert(new_number, issue);
        for name in labels {
            let name = self.ensure_label(to, &name);
            self.issue_mut(to, new_number)?.labels.push(name);
        }
        for mut comment in self.repos.get_mut(&from)?.take_thread(number) {
            comment.issue = new_number;
            self.repos.get_mut(&to)?.put_comment(comment);
        }
        let view = View::of_webhook(cx.base);
        let (old, new) = (self.repos.get(&from)?, self.repos.get(&to)?);
        let left =
            json!({"new_issue": view.issue(new, new.issues.get(&new_number)?), "new_repository": view.repo(new)});
        let came = json!({"old_issue": view.issue(old, old.issues.get(&number)?), "old_repository": view.repo(old)});
        self.fire_issue(from, number, "transferred", Map::from_iter([("changes".to_owned(), left)]), actor, cx);
        let old = self.repos.get_mut(&from)?;
        old.issues.remove(&number);
        old.gone.insert(number, Gone::Transferred { repo: to, number: new_number });
        self.fire_issue(to, new_number, "opened", Map::from_iter([("changes".to_owned(), came)]), actor, cx);
        Some(new_number)
    }

    /// The label as the repository writes it; made in grey if it is not there yet, as GitHub does.
    pub(super) fn ensure_label(&mut self, repo: u64, name: &str) -> String {
        let key = name.to_lowercase();
        if let Some(label) = self.repos.get(&repo).and_then(|repo| repo.labels.get(&key)) {
            return label.name.clone();
        }
        let label = Label { id: self.next_id(), name: name.to_owned(), color: "ededed".to_owned(), description: None };
        if let Some(repo) = self.repos.get_mut(&repo) {
            repo.labels.insert(key, label);
        }
        name.to_owned()
    }

    pub(super) fn issue_mut(&mut self, repo: u64, number: u64) -> Option<&mut Issue> {
        self.repos.get_mut(&repo)?.issues.get_mut(&number)
    }

    fn fire_issue(
        &mut self,
        repo: u64,
        number: u64,
        action: &str,
        mut extra: Map<String, Value>,
        actor: &Actor,
        cx: &mut Context<'_>,
    ) {
        let view = View::of_webhook(cx.base);
        let Some(shown) = self.shown_issue(repo, number, &view) else { return };
        extra.insert("issue".into(), shown);
        self.fire(repo, "issues", action, extra, actor, cx);
    }

    fn fire_label(&mut self, repo: u64, number: u64, action: &str, label: &str, actor: &Actor, cx: &mut Context<'_>) {
        let view = View::of_webhook(cx.base);
        let shown =
            self.repos.get(&repo).and_then(|repo| Some(view.label(repo, repo.labels.get(&label.to_lowercase())?)));
        let extra = Map::from_iter([("label".to_owned(), shown.unwrap_or(Value::Null))]);
        self.fire_issue(repo, number, action, extra, actor, cx);
    }

    fn fire_comment(
        &mut self,
        repo: u64,
        id: u64,
        action: &str,
        mut extra: Map<String, Value>,
        actor: &Actor,
        cx: &mut Context<'_>,
    ) {
        let view = View::of_webhook(cx.base);
        let Some(entry) = self.repos.get(&repo) else { return };
        let Some(comment) = entry.comments.get(&id) else { return };
        let (number, comment) = (comment.issue, view.comment(entry, comment));
        let Some(issue) = self.shown_issue(repo, number, &view) else { return };
        extra.insert("issue".into(), issue);
        extra.insert("comment".into(), comment);
        self.fire(repo, "issue_comment", action, extra, actor, cx);
    }

    fn shown_issue(&self, repo: u64, number: u64, view: &View<'_>) -> Option<Value> {
        let repo: &Repo = self.repos.get(&repo)?;
        // Nobody listens: spare the rendering, which is most of a backlog's cost.
        self.hooks.values().any(|hook| hook.active).then_some(())?;
        Some(view.issue(repo, repo.issues.get(&number)?))
    }
}

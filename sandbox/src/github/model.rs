//! What GitHub keeps: repositories, issues, comments, labels, people, hooks.
//!
//! Times are whole seconds, as GitHub's are. Logins, names and labels are compared without case, and shown as written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};

#[derive(Clone, Debug)]
pub struct Repo {
    pub id: u64,
    pub owner: String,
    pub name: String,
    pub issues: BTreeMap<u64, Issue>,
    pub comments: BTreeMap<u64, Comment>,
    pub has_issues: bool,
    /// The comments of each issue, by number.
    pub(super) threads: BTreeMap<u64, BTreeSet<u64>>,
    pub(super) labels: BTreeMap<String, Label>,
    /// Where the numbers went that no longer answer.
    pub(super) gone: BTreeMap<u64, Gone>,
    pub(super) next_number: u64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
}

impl Repo {
    pub(super) fn new(id: u64, owner: &str, name: &str, now: DateTime<Utc>) -> Self {
        Self {
            id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            issues: BTreeMap::new(),
            comments: BTreeMap::new(),
            has_issues: true,
            threads: BTreeMap::new(),
            labels: BTreeMap::new(),
            gone: BTreeMap::new(),
            next_number: 1,
            created_at: now,
            updated_at: now,
        }
    }

    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    pub fn comments_of(&self, number: u64) -> impl Iterator<Item = &Comment> {
        self.threads.get(&number).into_iter().flatten().filter_map(|id| self.comments.get(id))
    }

    pub(super) fn put_comment(&mut self, comment: Comment) {
        self.threads.entry(comment.issue).or_default().insert(comment.id);
        self.comments.insert(comment.id, comment);
    }

    pub(super) fn take_comment(&mut self, id: u64) -> Option<Comment> {
        let comment = self.comments.remove(&id)?;
        if let Some(thread) = self.threads.get_mut(&comment.issue) {
            thread.remove(&id);
        }
        Some(comment)
    }

    pub(super) fn take_thread(&mut self, number: u64) -> Vec<Comment> {
        self.threads.remove(&number).into_iter().flatten().filter_map(|id| self.comments.remove(&id)).collect()
    }
}

#[derive(Clone, Debug)]
pub(super) enum Gone {
    Deleted,
    Transferred { repo: u64, number: u64 },
}

#[derive(Clone, Debug)]
pub struct Issue {
    pub id: u64,
    pub number: u64,
    pub title: String,
    pub body: Option<String>,
    pub author: String,
    /// Names as the repository writes them, in the order in which they came.
    pub labels: Vec<String>,
    pub open: bool,
    /// `completed`, `not_planned`, `duplicate`, `reopened`.
    pub state_reason: Option<String>,
    pub assignees: Vec<String>,
    pub pull_request: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    pub closed_by: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Comment {
    pub id: u64,
    pub issue: u64,
    pub body: String,
    pub author: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) color: String,
    pub(super) description: Option<String>,
}

/// Who acts: a person, or an app through its installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Actor {
    pub(super) login: String,
    pub(super) installation: Option<u64>,
    /// The repositories that the token may touch; `None`: all.
    pub(super) only: Option<Vec<u64>>,
}

impl Actor {
    pub(super) fn person(login: &str) -> Self {
        Self { login: login.to_owned(), installation: None, only: None }
    }

    /// Quotas belong to the person or the installation, not to the token.
    pub(super) fn account(&self) -> String {
        match self.installation {
            Some(id) => format!("installation {id}"),
            None => format!("user {}", self.login),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) actor: Actor,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// A webhook of a repository, or (`repo: None`) of the app.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) id: u64,
    pub(super) repo: Option<u64>,
    pub(super) url: String,
    pub(super) secret: Option<String>,
    pub(super) form: bool,
    pub(super) events: Vec<String>,
    pub(super) active: bool,
    pub(super) created_at: DateTime<Utc>,
    pub(super) deliveries: VecDeque<Delivery>,
}

/// One attempt at delivering, newest first in its hook.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) id: u64,
    pub(super) guid: String,
    pub(super) event: String,
    pub(super) action: Option<String>,
    pub(super) repo: Option<u64>,
    pub(super) delivered_at: DateTime<Utc>,
    pub(super) redelivery: bool,
    pub(super) status: Option<u16>,
    pub(super) body: Bytes,
}

pub(super) fn whole(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(0)
}

pub(super) fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

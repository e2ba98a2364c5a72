//! GitHub's own pages: what people do there, and a look at what is there.
//!
//! A repository is named `owner/name`. What names something that is not there does nothing and says so (`None`, `false`).

use chrono::{DateTime, Utc};
use std::collections::VecDeque;

use super::GitHub;
use super::app::read_public_key;
pub use super::change::{Edit, NewIssue};
use super::model::{Actor, Comment, Hook, Issue, Repo, Token, whole};
use crate::world::Context;

impl GitHub {
    /// Makes a repository; its numeric id. One that exists stays as it is.
    pub fn create_repo(&mut self, full_name: &str, cx: &mut Context<'_>) -> u64 {
        if let Some(id) = self.repo_id(full_name) {
            return id;
        }
        let (owner, name) = full_name.split_once('/').unwrap_or(("sandbox", full_name));
        let (id, now) = (self.next_id(), whole(cx.now));
        self.repos.insert(id, Repo::new(id, owner, name, now));
        self.names.insert(full_name.to_lowercase(), id);
        id
    }

    /// The repository's old path answers 301 from now on.
    pub fn rename_repo(&mut self, full_name: &str, new_full_name: &str, cx: &mut Context<'_>) -> bool {
        let (Some(id), Some((owner, name))) = (self.repo_id(full_name), new_full_name.split_once('/')) else {
            return false;
        };
        if self.names.contains_key(&new_full_name.to_lowercase()) {
            return false;
        }
        let Some(repo) = self.repos.get_mut(&id) else { return false };
        let old = repo.full_name().to_lowercase();
        (repo.owner, repo.name, repo.updated_at) = (owner.to_owned(), name.to_owned(), whole(cx.now));
        self.names.remove(&old);
        self.old_names.insert(old, id);
        self.old_names.remove(&new_full_name.to_lowercase());
        self.names.insert(new_full_name.to_lowercase(), id);
        true
    }

    pub fn open_issue(&mut self, repo: &str, new: &NewIssue<'_>, cx: &mut Context<'_>) -> Option<u64> {
        let id = self.repo_id(repo)?;
        self.open(id, new, &Actor::person(new.author), cx)
    }

    pub fn edit_issue(&mut self, repo: &str, number: u64, edit: Edit, by: &str, cx: &mut Context<'_>) -> bool {
        self.repo_id(repo).and_then(|id| self.edit(id, number, edit, &Actor::person(by), cx)).is_some()
    }

    pub fn close_issue(&mut self, repo: &str, number: u64, by: &str, cx: &mut Context<'_>) -> bool {
        self.edit_issue(repo, number, Edit { open: Some(false), ..Edit::default() }, by, cx)
    }

    pub fn reopen_issue(&mut self, repo: &str, number: u64, by: &str, cx: &mut Context<'_>) -> bool {
        self.edit_issue(repo, number, Edit { open: Some(true), ..Edit::default() }, by, cx)
    }

    /// Makes the issue's labels exactly these.
    pub fn label_issue(&mut self, repo: &str, number: u64, labels: &[&str], by: &str, cx: &mut Context<'_>) -> bool {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        self.edit_issue(repo, number, Edit { labels: Some(labels), ..Edit::default() }, by, cx)
    }

    /// Writes a comment; its id.
    pub fn comment(&mut self, repo: &str, number: u64, by: &str, body: &str, cx: &mut Context<'_>) -> Option<u64> {
        let id = self.repo_id(repo)?;
        self.add_comment(id, number, body, &Actor::person(by), cx)
    }

    pub fn edit_comment(&mut self, repo: &str, comment: u64, body: &str, by: &str, cx: &mut Context<'_>) -> bool {
        self.repo_id(repo).and_then(|id| self.change_comment(id, comment, body, &Actor::person(by), cx)).is_some()
    }

    pub fn delete_comment(&mut self, repo: &str, comment: u64, by: &str, cx: &mut Context<'_>) -> bool {
        self.repo_id(repo).and_then(|id| self.remove_comment(id, comment, &Actor::person(by), cx)).is_some()
    }

    pub fn delete_issue(&mut self, repo: &str, number: u64, by: &str, cx: &mut Context<'_>) -> bool {
        self.repo_id(repo).and_then(|id| self.remove_issue(id, number, &Actor::person(by), cx)).is_some()
    }

    /// Moves an issue to another repository; its number there.
    pub fn transfer_issue(&mut self, repo: &str, number: u64, to: &str, by: &str, cx: &mut Context<'_>) -> Option<u64> {
        let (from, to) = (self.repo_id(repo)?, self.repo_id(to)?);
        self.move_issue(from, number, to, &Actor::person(by), cx)
    }

    /// Points the repository's webhook for issues and comments here, in place of what was there; the hook's id. GitHub
    /// sends a `ping` first.
    pub fn set_webhook(&mut self, repo: &str, url: &str, secret: &str, cx: &mut Context<'_>) -> Option<u64> {
        let repo = self.repo_id(repo)?;
        Some(self.put_hook(Some(repo), url, secret, cx))
    }

    /// The same for the app: one hook for all repositories, whose events carry `installation`.
    pub fn set_app_webhook(&mut self, url: &str, secret: &str, cx: &mut Context<'_>) -> u64 {
        self.put_hook(None, url, secret, cx)
    }

    fn put_hook(&mut self, repo: Option<u64>, url: &str, secret: &str, cx: &mut Context<'_>) -> u64 {
        self.hooks.retain(|_, hook| hook.repo != repo);
        let hook = Hook {
            id: self.next_id(),
            repo,
            url: url.to_owned(),
            secret: (!secret.is_empty()).then(|| secret.to_owned()),
            form: false,
            events: vec!["issues".to_owned(), "issue_comment".to_owned(), "label".to_owned()],
            active: true,
            created_at: whole(cx.now),
            deliveries: VecDeque::new(),
        };
        self.add_hook(hook, &Actor::person("sandbox-owner"), cx)
    }

    pub fn remove_webhooks(&mut self) {
        self.hooks.clear();
    }

    /// Another accepted token, for this login.
    pub fn add_token(&mut self, token: &str, login: &str) {
        self.tokens.insert(token.to_owned(), Token { actor: Actor::person(login), expires_at: None });
    }

    /// From now on 401.
    pub fn revoke_token(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// Makes `/app` answer: an app with one installation. With a public key (PEM), JWT signatures are checked.
    pub fn register_app(&mut self, app_id: u64, client_id: &str, installation: u64, public_key: Option<&str>) -> bool {
        let key = public_key.map(read_public_key);
        if key == Some(None) {
            return false;
        }
        (self.app_id, self.client_id, self.installation) = (app_id, client_id.to_owned(), Some(installation));
        self.public_key = key.flatten();
        true
    }

    /// How many items page numbers reach in the long lists; beyond, only cursors do.
    pub fn set_page_cap(&mut self, items: usize) {
        self.page_cap = items;
    }

    /// Makes pages smaller than asked for, as servers that only resemble GitHub do.
    pub fn set_most_per_page(&mut self, items: usize) {
        self.most_per_page = items;
    }

    /// Uses up the hour's quota of the account that this token belongs to.
    pub fn exhaust_quota(&mut self, token: &str, now: DateTime<Utc>) {
        if let Some(token) = self.tokens.get(token) {
            self.quota.exhaust(&token.actor.account(), now);
        }
    }

    pub fn set_has_issues(&mut self, repo: &str, has_issues: bool) {
        if let Some(repo) = self.repo_id(repo).and_then(|id| self.repos.get_mut(&id)) {
            repo.has_issues = has_issues;
        }
    }

    pub fn repo(&self, full_name: &str) -> Option<&Repo> {
        self.repos.get(&self.repo_id(full_name)?)
    }

    pub fn repos(&self) -> impl Iterator<Item = &Repo> {
        self.repos.values()
    }

    pub fn issue(&self, repo: &str, number: u64) -> Option<&Issue> {
        self.repo(repo)?.issues.get(&number)
    }

    /// Issues and pull requests, by number.
    pub fn issues(&self, repo: &str) -> impl Iterator<Item = &Issue> {
        self.repo(repo).into_iter().flat_map(|repo| repo.issues.values())
    }

    /// One issue's comments, oldest first.
    pub fn comments(&self, repo: &str, number: u64) -> impl Iterator<Item = &Comment> {
        self.repo(repo).into_iter().flat_map(move |repo| repo.comments_of(number))
    }

    /// How many comments, anywhere, contain this.
    pub fn comments_containing(&self, marker: &str) -> usize {
        self.repos
            .values()
            .flat_map(|repo| repo.comments.values())
            .filter(|comment| comment.body.contains(marker))
            .count()
    }

    fn repo_id(&self, full_name: &str) -> Option<u64> {
        self.names.get(&full_name.to_lowercase()).copied()
    }
}

//! GitHub's JSON. Every field that the OpenAPI document marks as required is there (`@octokit/openapi` 23.0.2,
//! read 2026-11-23), also in webhooks, which carry a few more.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::model::{Comment, Issue, Label, Repo, stamp};

/// Version and media type of the answer, and where it is served.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) base: &'a str,
    /// `2026-03-10` took the singular `assignee` away.
    pub(super) with_assignee: bool,
    pub(super) body: BodyForm,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyForm {
    Raw,
    Text,
    Html,
    Full,
}

impl<'a> View<'a> {
    pub(super) fn of_webhook(base: &'a str) -> Self {
        Self { base, with_assignee: true, body: BodyForm::Raw }
    }

    pub(super) fn repo_url(&self, repo: &Repo) -> String {
        format!("{}/repos/{}", self.base, repo.full_name())
    }

    pub(super) fn issue(&self, repo: &Repo, issue: &Issue) -> Value {
        let api = self.repo_url(repo);
        let url = format!("{api}/issues/{}", issue.number);
        let kind = if issue.pull_request { "pull" } else { "issues" };
        let html = format!("https://github.com/{}/{kind}/{}", repo.full_name(), issue.number);
        let labels: Vec<Value> = issue
            .labels
            .iter()
            .filter_map(|name| repo.labels.get(&name.to_lowercase()))
            .map(|label| self.label(repo, label))
            .collect();
        let assignees: Vec<Value> = issue.assignees.iter().map(|login| self.user(login)).collect();
        let mut shown = json!({
            "id": issue.id, "node_id": node_id("I", issue.id), "number": issue.number,
            "url": url, "repository_url": api, "labels_url": format!("{url}/labels{{/name}}"),
            "comments_url": format!("{url}/comments"), "events_url": format!("{url}/events"),
            "timeline_url": format!("{url}/timeline"), "html_url": html,
            "title": issue.title, "user": self.user(&issue.author), "labels": labels,
            "state": if issue.open { "open" } else { "closed" }, "state_reason": issue.state_reason, "locked": false,
            "active_lock_reason": null, "assignees": assignees, "milestone": null,
            "comments": repo.threads.get(&issue.number).map_or(0, std::collections::BTreeSet::len),
            "created_at": stamp(issue.created_at), "updated_at": stamp(issue.updated_at),
            "closed_at": issue.closed_at.map(stamp),
            "closed_by": issue.closed_by.as_deref().map(|login| self.user(login)),
            "author_association": association(repo, &issue.author), "type": null,
            "reactions": reactions(&url), "performed_via_github_app": null,
            "sub_issues_summary": {"total": 0, "completed": 0, "percent_completed": 0},
            "issue_dependencies_summary": {"blocked_by": 0, "blocking": 0, "total_blocked_by": 0, "total_blocking": 0},
            "issue_field_values": [],
        });
        if let Value::Object(shown) = &mut shown {
            self.bodies(shown, issue.body.as_deref());
            if self.with_assignee {
                shown.insert("assignee".into(), assignees.first().cloned().unwrap_or(Value::Null));
            }
            if issue.pull_request {
                let pull = format!("{api}/pulls/{}", issue.number);
                shown.insert("draft".into(), false.into());
                shown.insert("pull_request".into(), json!({
                    "url": pull, "html_url": html, "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"),
                    "merged_at": null,
                }));
            }
        }
        shown
    }

    pub(super) fn comment(&self, repo: &Repo, comment: &Comment) -> Value {
        let api = self.repo_url(repo);
        let url = format!("{api}/issues/comments/{}", comment.id);
        let kind =
            if repo.issues.get(&comment.issue).is_some_and(|issue| issue.pull_request) { "pull" } else { "issues" };
        let html =
            format!("https://github.com/{}/{kind}/{}#issuecomment-{}", repo.full_name(), comment.issue, comment.id);
        let mut shown = json!({
            "id": comment.id, "node_id": node_id("IC", comment.id), "url": url, "html_url": html,
            "issue_url": format!("{api}/issues/{}", comment.issue), "user": self.user(&comment.author),
            "created_at": stamp(comment.created_at), "updated_at": stamp(comment.updated_at),
            "author_association": association(repo, &comment.author), "reactions": reactions(&url),
            "performed_via_github_app": null, "pin": null, "minimized": null,
        });
        if let Value::Object(shown) = &mut shown {
            self.bodies(shown, Some(&comment.body));
        }
        shown
    }

    pub(super) fn label(&self, repo: &Repo, label: &Label) -> Value {
        let path = crate::wire::encode(&label.name);
        json!({
            "id": label.id, "node_id": node_id("LA", label.id), "url": format!("{}/labels/{path}", self.repo_url(repo)),
            "name": label.name, "color": label.color, "default": false, "description": label.description,
        })
    }

    pub(super) fn user(&self, login: &str) -> Value {
        let id = user_id(login);
        let url = format!("{}/users/{login}", self.base);
        json!({
            "login": login, "id": id, "node_id": node_id("U", id), "gravatar_id": "",
            "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"),
            "url": url, "html_url": format!("https://github.com/{login}"),
            "followers_url": format!("{url}/followers"), "following_url": format!("{url}/following{{/other_user}}"),
            "gists_url": format!("{url}/gists{{/gist_id}}"), "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
            "subscriptions_url": format!("{url}/subscriptions"), "organizations_url": format!("{url}/orgs"),
            "repos_url": format!("{url}/repos"), "events_url": format!("{url}/events{{/privacy}}"),
            "received_events_url": format!("{url}/received_events"),
            "type": if login.ends_with("[bot]") { "Bot" } else { "User" }, "user_view_type": "public", "site_admin": false,
        })
    }

    pub(super) fn repo(&self, repo: &Repo) -> Value {
        let url = self.repo_url(repo);
        let full = repo.full_name();
        let open = repo.issues.values().filter(|issue| issue.open).count();
        let mut shown = json!({
            "id": repo.id, "node_id": node_id("R", repo.id), "name": repo.name, "full_name": full,
            "owner": self.user(&repo.owner), "private": false, "visibility": "public", "description": null, "fork": false,
            "url": url, "html_url": format!("https://github.com/{full}"),
            "git_url": format!("git://github.com/{full}.git"), "ssh_url": format!("git@github.com:{full}.git"),
            "clone_url": format!("https://github.com/{full}.git"), "svn_url": format!("https://github.com/{full}"),
            "mirror_url": null, "homepage": null, "language": null, "license": null, "default_branch": "main",
            "open_issues": open, "open_issues_count": open, "topics": [], "is_template": false,
            "has_issues": repo.has_issues, "custom_properties": {},
            "created_at": stamp(repo.created_at), "updated_at": stamp(repo.updated_at), "pushed_at": stamp(repo.created_at),
            "permissions": {"admin": true, "maintain": true, "push": true, "triage": true, "pull": true},
        });
        if let Value::Object(shown) = &mut shown {
            for key in REPO_COUNTS {
                shown.insert((*key).into(), 0.into());
            }
            for (key, value) in REPO_SWITCHES {
                shown.insert((*key).into(), (*value).into());
            }
            for (key, path) in REPO_URLS {
                shown.insert((*key).into(), format!("{url}/{path}").into());
            }
        }
        shown
    }

    fn bodies(&self, shown: &mut Map<String, Value>, body: Option<&str>) {
        if matches!(self.body, BodyForm::Raw | BodyForm::Full) {
            shown.insert("body".into(), body.map_or(Value::Null, Value::from));
        }
        if matches!(self.body, BodyForm::Text | BodyForm::Full) {
            shown.insert("body_text".into(), body.unwrap_or_default().into());
        }
        if matches!(self.body, BodyForm::Html | BodyForm::Full) {
            let text = body.unwrap_or_default().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let html = if text.is_empty() { text } else { format!("<p dir=\"auto\">{text}</p>") };
            shown.insert("body_html".into(), html.into());
        }
    }
}

/// A login's id is derived from it, so that it is the same wherever it turns up.
pub(super) fn user_id(login: &str) -> u64 {
    let hash = login
        .to_lowercase()
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    1_000_000 + hash % 200_000_000
}

pub(super) fn node_id(kind: &str, id: u64) -> String {
    format!("{kind}_kwDO{}", URL_SAFE_NO_PAD.encode(id.to_be_bytes()))
}

fn association(repo: &Repo, login: &str) -> &'static str {
    if repo.owner.eq_ignore_ascii_case(login) { "OWNER" } else { "NONE" }
}

fn reactions(url: &str) -> Value {
    json!({
        "url": format!("{url}/reactions"), "total_count": 0, "+1": 0, "-1": 0, "laugh": 0, "hooray": 0, "confused": 0,
        "heart": 0, "rocket": 0, "eyes": 0,
    })
}

const REPO_COUNTS: &[&str] = &[
    "forks",
    "forks_count",
    "network_count",
    "size",
    "stargazers_count",
    "subscribers_count",
    "watchers",
    "watchers_count",
];

const REPO_SWITCHES: &[(&str, bool)] = &[
    ("allow_forking", true),
    ("archived", false),
    ("disabled", false),
    ("has_discussions", false),
    ("has_downloads", true),
    ("has_pages", false),
    ("has_projects", true),
    ("has_pull_requests", true),
    ("has_wiki", true),
    ("web_commit_signoff_required", false),
];

const REPO_URLS: &[(&str, &str)] = &[
    ("archive_url", "{archive_format}{/ref}"),
    ("assignees_url", "assignees{/user}"),
    ("blobs_url", "git/blobs{/sha}"),
    ("branches_url", "branches{/branch}"),
    ("collaborators_url", "collaborators{/collaborator}"),
    ("comments_url", "comments{/number}"),
    ("commits_url", "commits{/sha}"),
    ("compare_url", "compare/{base}...{head}"),
    ("contents_url", "contents/{+path}"),
    ("contributors_url", "contributors"),
    ("deployments_url", "deployments"),
    ("downloads_url", "downloads"),
    ("events_url", "events"),
    ("forks_url", "forks"),
    ("git_commits_url", "git/commits{/sha}"),
    ("git_refs_url", "git/refs{/sha}"),
    ("git_tags_url", "git/tags{/sha}"),
    ("hooks_url", "hooks"),
    ("issue_comment_url", "issues/comments{/number}"),
    ("issue_events_url", "issues/events{/number}"),
    ("issues_url", "issues{/number}"),
    ("keys_url", "keys{/key_id}"),
    ("labels_url", "labels{/name}"),
    ("languages_url", "languages"),
    ("merges_url", "merges"),
    ("milestones_url", "milestones{/number}"),
    ("notifications_url", "notifications{?since,all,participating}"),
    ("pulls_url", "pulls{/number}"),
    ("releases_url", "releases{/id}"),
    ("stargazers_url", "stargazers"),
    ("statuses_url", "statuses/{sha}"),
    ("subscribers_url", "subscribers"),
    ("subscription_url", "subscription"),
    ("tags_url", "tags"),
    ("teams_url", "teams"),
    ("trees_url", "git/trees{/sha}"),
];

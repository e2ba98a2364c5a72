//! People's hands in Linear, and a look at what is there.
//!
//! A person's change goes through the same place as a client's: history with the person as actor, webhooks. What it names
//! must exist, else it panics: that is the test's own mistake. Issues are named by UUID or identifier, states, labels
//! and teams by name (a team also by key).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::quota::Limits;
use super::store::{ATTACHMENT, COMMENT, CUSTOMER, ISSUE, Kind, LABEL, NEED, Row, STATE, TEAM, TIER, WEBHOOK, stamp};
use super::{Linear, PERSON};
use crate::world::Context;

/// The states that a new team has, with type and colour.
pub(super) const STATES: [(&str, &str, &str); 7] = [
    ("Backlog", "backlog", "#bec2c8"),
    ("Todo", "unstarted", "#e2e2e2"),
    ("In Progress", "started", "#f2c94c"),
    ("In Review", "started", "#0f783c"),
    ("Done", "completed", "#5e6ad2"),
    ("Canceled", "canceled", "#95a2b3"),
    ("Duplicate", "duplicate", "#95a2b3"),
];

#[track_caller]
fn must<T>(what: &str, answer: Result<T, Fault>) -> T {
    match answer {
        Ok(value) => value,
        Err(fault) => panic!("Linear desk, {what}: {fault:?}"),
    }
}

fn one(name: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value)])
}

impl Linear {
    /// A team with the usual states; says its id.
    pub fn create_team(&mut self, cx: &mut Context<'_>, key: &str, name: &str) -> String {
        let id = cx.rng.uuid();
        let fields =
            json!({"key": key, "name": name, "timezone": "Europe/Paris", "color": "#5e6ad2", "visibility": "public"});
        self.store.insert(TEAM, &id, fields, cx.now);
        for (at, (name, kind, color)) in STATES.iter().enumerate() {
            let state = cx.rng.uuid();
            let fields = json!({"name": name, "type": kind, "color": color, "position": at * 1000, "teamId": id});
            self.store.insert(STATE, &state, fields, cx.now);
        }
        id
    }

    /// A state at the end of a team's list; says its id.
    #[track_caller]
    pub fn create_state(&mut self, cx: &mut Context<'_>, team: &str, name: &str, kind: &str) -> String {
        let team = self.team(team);
        let input = json!({"name": name, "type": kind, "color": "#95a2b3", "teamId": team});
        must("create_state", self.state_create(input.as_object().unwrap_or(&Map::new()), cx))
    }

    /// A label of a team, or of the workspace; says its id.
    #[track_caller]
    pub fn create_label(&mut self, cx: &mut Context<'_>, team: Option<&str>, name: &str) -> String {
        let team = team.map(|team| self.team(team));
        self.make_label(cx, &json!({"name": name, "teamId": team}))
    }

    /// A group of labels, of which an issue may carry one; says the ids of the group and its labels.
    #[track_caller]
    pub fn create_label_group(&mut self, cx: &mut Context<'_>, name: &str, labels: &[&str]) -> (String, Vec<String>) {
        let group = self.make_label(cx, &json!({"name": name, "isGroup": true}));
        let labels =
            labels.iter().map(|label| self.make_label(cx, &json!({"name": label, "parentId": group}))).collect();
        (group, labels)
    }

    #[track_caller]
    fn make_label(&mut self, cx: &mut Context<'_>, input: &Value) -> String {
        must("create_label", self.label_create(input.as_object().unwrap_or(&Map::new()), PERSON, cx))
    }

    /// A person opens an issue; `more` as in `IssueCreateInput`. Says its id.
    #[track_caller]
    pub fn create_issue(&mut self, cx: &mut Context<'_>, team: &str, title: &str, more: &Value) -> String {
        let mut input = more.as_object().cloned().unwrap_or_default();
        input.insert("teamId".to_owned(), json!(self.team(team)));
        input.insert("title".to_owned(), json!(title));
        must("create_issue", self.issue_create(&input, PERSON, cx))
    }

    /// Drags the card to a state of its team.
    #[track_caller]
    pub fn move_issue(&mut self, cx: &mut Context<'_>, issue: &str, state: &str) {
        let team = self.held(issue).text("teamId").to_owned();
        let found = self
            .store
            .having(STATE, "teamId", &team)
            .into_iter()
            .find(|s| s.text("name") == state)
            .map(|s| s.id().to_owned());
        let Some(state) = found else { panic!("Linear desk: no state {state} in the team of {issue}") };
        self.edit(cx, issue, &one("stateId", json!(state)));
    }

    /// 0 none, 1 urgent, 2 high, 3 medium, 4 low.
    #[track_caller]
    pub fn set_priority(&mut self, cx: &mut Context<'_>, issue: &str, priority: u8) {
        self.edit(cx, issue, &one("priority", json!(priority)));
    }

    #[track_caller]
    pub fn set_title(&mut self, cx: &mut Context<'_>, issue: &str, title: &str) {
        self.edit(cx, issue, &one("title", json!(title)));
    }

    #[track_caller]
    pub fn set_description(&mut self, cx: &mut Context<'_>, issue: &str, description: &str) {
        self.edit(cx, issue, &one("description", json!(description)));
    }

    #[track_caller]
    pub fn move_to_team(&mut self, cx: &mut Context<'_>, issue: &str, team: &str) {
        let team = self.team(team);
        self.edit(cx, issue, &one("teamId", json!(team)));
    }

    #[track_caller]
    pub fn add_label(&mut self, cx: &mut Context<'_>, issue: &str, label: &str) {
        let label = self.label(label);
        self.edit(cx, issue, &one("addedLabelIds", json!([label])));
    }

    #[track_caller]
    pub fn comment(&mut self, cx: &mut Context<'_>, issue: &str, body: &str) -> String {
        let input = Map::from_iter([("issueId".to_owned(), json!(issue)), ("body".to_owned(), json!(body))]);
        must("comment", self.comment_create(&input, PERSON, cx))
    }

    /// Into the trash, from which it can come back for 30 days.
    #[track_caller]
    pub fn trash_issue(&mut self, cx: &mut Context<'_>, issue: &str) {
        let id = self.held(issue).id().to_owned();
        self.issue_archive(&id, true, true, PERSON, cx);
    }

    /// Gone for good, with its comments, attachments, needs and history.
    #[track_caller]
    pub fn delete_issue(&mut self, cx: &mut Context<'_>, issue: &str) {
        let id = self.held(issue).id().to_owned();
        self.issue_erase(&id, PERSON, cx);
    }

    #[track_caller]
    pub fn archive_issue(&mut self, cx: &mut Context<'_>, issue: &str) {
        let id = self.held(issue).id().to_owned();
        self.issue_archive(&id, true, false, PERSON, cx);
    }

    /// Back from the archive or the trash.
    #[track_caller]
    pub fn restore_issue(&mut self, cx: &mut Context<'_>, issue: &str) {
        let id = self.held(issue).id().to_owned();
        self.issue_archive(&id, false, false, PERSON, cx);
    }

    /// Deletes a state; its issues go to the team's first backlog state.
    #[track_caller]
    pub fn delete_state(&mut self, cx: &mut Context<'_>, team: &str, state: &str) {
        let team = self.team(team);
        let found = self
            .store
            .having(STATE, "teamId", &team)
            .into_iter()
            .find(|s| s.text("name") == state)
            .map(|s| s.id().to_owned());
        let Some(id) = found else { panic!("Linear desk: no state {state}") };
        self.store.set(STATE, &id, "archivedAt", json!(stamp(cx.now)));
        let issues: Vec<String> =
            self.store.all(ISSUE).filter(|i| i.text("stateId") == id).map(|i| i.id().to_owned()).collect();
        if let Some(to) = self.default_state(&team) {
            for issue in issues {
                self.issue_change(&issue, one("stateId", json!(to)), PERSON, cx);
            }
        }
        self.store.remove(STATE, &id);
    }

    #[track_caller]
    pub fn delete_label(&mut self, cx: &mut Context<'_>, label: &str) {
        let label = self.label(label);
        must("delete_label", self.label_erase(&label, PERSON, cx));
    }

    /// Deletes a team with its states, labels and issues.
    #[track_caller]
    pub fn delete_team(&mut self, cx: &mut Context<'_>, team: &str) {
        let team = self.team(team);
        let below = |store: &super::store::Store, kind: Kind| -> Vec<String> {
            store.having(kind, "teamId", &team).iter().map(|row| row.id().to_owned()).collect()
        };
        for issue in below(&self.store, ISSUE) {
            self.issue_erase(&issue, PERSON, cx);
        }
        for kind in [STATE, LABEL] {
            for id in below(&self.store, kind) {
                self.store.remove(kind, &id);
            }
        }
        self.store.remove(TEAM, &team);
    }

    /// Subscribes a URL to all resource types of all teams, as an admin does in the settings.
    pub fn set_webhook(&mut self, cx: &mut Context<'_>, url: &str, secret: &str) -> String {
        let types = [ISSUE, COMMENT, LABEL, ATTACHMENT, CUSTOMER, NEED, "Project"];
        let id = cx.rng.uuid();
        let fields = json!({"url": url, "secret": secret, "resourceTypes": types, "enabled": true, "allPublicTeams": true, "teamId": Value::Null});
        self.store.insert(WEBHOOK, &id, fields, cx.now);
        id
    }

    pub fn remove_webhooks(&mut self) {
        let ids: Vec<String> = self.store.all(WEBHOOK).map(|hook| hook.id().to_owned()).collect();
        for id in ids {
            self.store.remove(WEBHOOK, &id);
        }
    }

    /// A person makes a customer, with the fields that `customerCreate` takes; says its id.
    #[track_caller]
    pub fn create_customer(&mut self, cx: &mut Context<'_>, input: &Value) -> String {
        must("create_customer", self.customer_create(input.as_object().unwrap_or(&Map::new()), PERSON, cx))
    }

    /// Whether the workspace's plan has customers and their requests.
    pub fn set_plan(&mut self, customers: bool) {
        self.customers_on_plan = customers;
    }

    /// Whether webhook URLs must be public HTTPS, as at Linear. Off at first, since a sandbox lives on loopback.
    pub fn set_strict_webhook_urls(&mut self, strict: bool) {
        self.strict_webhook_urls = strict;
    }

    /// Whether a document's other mutations still run and answer when one fails. Off at first: the run then ends with the
    /// first failure and `data` is null, as GraphQL has it for payloads that may not be null. Which of the two Linear does
    /// is not documented (2026-11-23).
    pub fn set_keeps_other_aliases(&mut self, keeps: bool) {
        self.keeps_other_aliases = keeps;
    }

    /// Requests and complexity points an hour; `None`: the vendor's own.
    pub fn set_quota(&mut self, limits: Option<(u32, u32)>) {
        self.quota.limits =
            limits.map(|(requests, complexity)| Limits { requests: requests.into(), complexity: complexity.into() });
    }

    /// From now on the credential is answered 401.
    pub fn revoke_token(&mut self, token: &str) {
        self.revoked.insert(token.to_owned());
    }

    pub fn restore_token(&mut self, token: &str) {
        self.revoked.remove(token);
    }

    /// An OAuth application; without a secret, a public one.
    pub fn register_client(&mut self, id: &str, secret: Option<&str>, redirects: &[&str]) {
        self.sign_in.register(id, secret, redirects);
    }

    /// The next person who is asked says no.
    pub fn deny_next_sign_in(&mut self, why: &str) {
        self.sign_in.deny_next(why);
    }

    /// All access tokens of sign-ins are over at once; they can be refreshed.
    pub fn expire_sign_ins(&mut self) {
        self.sign_in.expire();
    }

    /// An admin takes the application's access back.
    pub fn end_sign_ins(&mut self) {
        self.sign_in.end_all();
    }

    /// The next mutation of this name is refused with this text.
    pub fn refuse_next(&mut self, mutation: &str, why: &str) {
        self.refuse_next.insert(mutation.to_owned(), why.to_owned());
    }

    /// All issues that are not gone for good, in order of creation, with `state`, `team` and `labels` by name.
    pub fn issues(&self) -> Vec<Value> {
        self.store.in_order(ISSUE).into_iter().map(|row| self.shown(row)).collect()
    }

    /// An issue by UUID or identifier.
    pub fn issue(&self, issue: &str) -> Option<Value> {
        self.store.issue(issue).map(|row| self.shown(row))
    }

    fn shown(&self, row: &Row) -> Value {
        let name = |kind: Kind, id: &str| self.store.get(kind, id).map(|row| row.get("name").clone());
        let mut out = Value::Object(row.fields.clone());
        out["state"] = json!(name(STATE, row.text("stateId")));
        out["team"] = json!(self.store.get(TEAM, row.text("teamId")).map(|team| team.get("key").clone()));
        out["labels"] = row.texts("labelIds").iter().filter_map(|id| name(LABEL, id)).collect();
        out
    }

    /// How many attachments with the same URL more than one issue has: one source that became several issues.
    pub fn doubles(&self) -> BTreeMap<String, usize> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for row in self.store.all(ATTACHMENT) {
            *counts.entry(row.text("url").to_owned()).or_default() += 1;
        }
        counts.retain(|_, count| *count > 1);
        counts
    }

    /// How many issues have this id: 0 or 1, as ids are keys.
    pub fn count_by_id(&self, id: &str) -> usize {
        usize::from(self.store.has(ISSUE, id))
    }

    pub fn attachments(&self) -> Vec<Value> {
        self.plain(ATTACHMENT)
    }

    pub fn comments(&self) -> Vec<Value> {
        self.plain(COMMENT)
    }

    pub fn customers(&self) -> Vec<Value> {
        self.plain(CUSTOMER)
    }

    pub fn needs(&self) -> Vec<Value> {
        self.plain(NEED)
    }

    pub fn labels(&self) -> Vec<Value> {
        self.plain(LABEL)
    }

    pub fn states(&self) -> Vec<Value> {
        self.plain(STATE)
    }

    pub fn teams(&self) -> Vec<Value> {
        self.plain(TEAM)
    }

    pub fn tiers(&self) -> Vec<Value> {
        self.plain(TIER)
    }

    pub fn webhooks(&self) -> Vec<Value> {
        self.plain(WEBHOOK)
    }

    fn plain(&self, kind: Kind) -> Vec<Value> {
        self.store.in_order(kind).into_iter().map(|row| Value::Object(row.fields.clone())).collect()
    }

    #[track_caller]
    fn edit(&mut self, cx: &mut Context<'_>, issue: &str, input: &Map<String, Value>) {
        must("edit", self.issue_update(issue, input, PERSON, cx));
    }

    #[track_caller]
    fn held(&self, issue: &str) -> &Row {
        self.store.issue(issue).unwrap_or_else(|| panic!("Linear desk: no issue {issue}"))
    }

    /// The id of a team by id, key or name.
    #[track_caller]
    fn team(&self, team: &str) -> String {
        let found = self.store.all(TEAM).find(|t| t.id() == team || t.text("key") == team || t.text("name") == team);
        found.unwrap_or_else(|| panic!("Linear desk: no team {team}")).id().to_owned()
    }

    #[track_caller]
    fn label(&self, label: &str) -> String {
        let found = self.store.all(LABEL).find(|l| l.id() == label || l.text("name") == label);
        found.unwrap_or_else(|| panic!("Linear desk: no label {label}")).id().to_owned()
    }
}

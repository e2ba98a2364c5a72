//! Issues change in one place, whoever changes them: checked, applied, written into the history, told to webhooks.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::Linear;
use super::events::Action;
use super::fault::{Answer, Fault};
use super::store::{HISTORY, ISSUE, LABEL, PROJECT, Row, STATE, TEAM, USER, stamp};
use super::values;
use crate::world::Context;

/// Practitioners' number; not in the schema (vendor sheet, 2026-11-23).
const TITLE_LIMIT: usize = 255;

/// Input fields that are kept under their own name.
const PLAIN: [&str; 22] = [
    "title",
    "description",
    "priority",
    "estimate",
    "dueDate",
    "assigneeId",
    "delegateId",
    "parentId",
    "projectId",
    "projectMilestoneId",
    "cycleId",
    "stateId",
    "subscriberIds",
    "trashed",
    "sortOrder",
    "prioritySortOrder",
    "subIssueSortOrder",
    "snoozedUntilAt",
    "slaBreachesAt",
    "slaStartedAt",
    "slaType",
    "lastAppliedTemplateId",
];

pub(super) fn priority_label(priority: &Value) -> &'static str {
    match priority.as_f64().unwrap_or_default() {
        p if p < 1.0 => "No priority",
        p if p < 2.0 => "Urgent",
        p if p < 3.0 => "High",
        p if p < 4.0 => "Medium",
        _ => "Low",
    }
}

impl Linear {
    /// Creates an issue and says its id. Nothing is changed if it is refused.
    pub(super) fn issue_create(
        &mut self,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<String> {
        let (id, fields) = self.issue_prepare(input, actor, cx)?;
        self.issue_insert(&id, fields, actor, cx);
        Ok(id)
    }

    /// The checks of a create, so that a batch can check all before it makes one.
    pub(super) fn issue_prepare(
        &self,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<(String, Map<String, Value>)> {
        let id = self.new_id(ISSUE, input, cx)?;
        let team = input["teamId"].as_str().unwrap_or_default();
        let team = self.store.get(TEAM, team).ok_or_else(|| Fault::missing(TEAM))?.id().to_owned();
        if input.get("title").and_then(Value::as_str).is_none_or(|title| title.trim().is_empty()) {
            return Err(Fault::argument(
                "title",
                input.get("title").unwrap_or(&Value::Null),
                "title should not be empty",
            ));
        }
        for name in ["createdAt", "completedAt"] {
            let at = input.get(name).and_then(Value::as_str).and_then(values::date);
            if at.is_some_and(|at| at > cx.now) {
                return Err(Fault::argument(name, &input[name], &format!("{name} must be in the past")));
            }
        }
        let mut fields = self.issue_fields(input, &team, None)?;
        if !fields.contains_key("stateId") {
            let state = self.default_state(&team).ok_or_else(|| Fault::missing(STATE))?;
            fields.insert("stateId".to_owned(), json!(state));
        }
        fields.insert("teamId".to_owned(), json!(team));
        fields.insert("creatorId".to_owned(), json!(actor));
        if let Some(at) = input.get("createdAt").and_then(Value::as_str).and_then(values::date) {
            fields.insert("createdAt".to_owned(), json!(stamp(at)));
        }
        if let Some(name) = input.get("createAsUser").filter(|v| !v.is_null()) {
            let bot = json!({"id": Value::Null, "type": "oauthClient", "name": "Sandbox App", "userDisplayName": name, "avatarUrl": input.get("displayIconUrl")});
            fields.insert("botActor".to_owned(), bot);
        }
        Ok((id, fields))
    }

    pub(super) fn issue_insert(&mut self, id: &str, mut fields: Map<String, Value>, actor: &str, cx: &mut Context<'_>) {
        let team = fields["teamId"].as_str().unwrap_or_default().to_owned();
        for (name, value) in [
            ("priority", json!(0)),
            ("labelIds", json!([])),
            ("previousIdentifiers", json!([])),
            ("reactionData", json!([])),
        ] {
            fields.entry(name).or_insert(value);
        }
        fields.entry("subscriberIds").or_insert_with(|| json!([actor]));
        fields.insert("priorityLabel".to_owned(), json!(priority_label(&fields["priority"])));
        let title = fields.get("title").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.number(&mut fields, &team, &title);
        let state = fields["stateId"].as_str().unwrap_or_default();
        fields.extend(self.state_times(state, cx.now));
        self.store.insert(ISSUE, id, Value::Object(fields), cx.now);
        self.emit(ISSUE, id, Action::Create, None, actor, cx);
    }

    /// Number, identifier and links of an issue that enters a team. Numbers are not used again.
    fn number(&mut self, fields: &mut Map<String, Value>, team: &str, title: &str) {
        let number = self.numbers.entry(team.to_owned()).or_default();
        *number += 1;
        let identifier = format!("{}-{number}", self.store.get(TEAM, team).map_or("", |t| t.text("key")));
        let slug: String =
            title.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(60).collect();
        fields.insert("number".to_owned(), json!(number));
        fields.insert("url".to_owned(), json!(format!("https://linear.app/sandbox/issue/{identifier}/{slug}")));
        fields.insert("branchName".to_owned(), json!(format!("sandbox/{}-{slug}", identifier.to_lowercase())));
        fields.insert("identifier".to_owned(), json!(identifier));
    }

    /// First backlog state by position, or any state where a team has none.
    pub(super) fn default_state(&self, team: &str) -> Option<String> {
        let mut states = self.store.having(STATE, "teamId", team);
        states.retain(|state| !state.is_archived());
        states.sort_by(|a, b| {
            a.get("position").as_f64().unwrap_or(0.0).total_cmp(&b.get("position").as_f64().unwrap_or(0.0))
        });
        let backlog = states.iter().find(|state| state.text("type") == "backlog");
        backlog.or(states.first()).map(|state| state.id().to_owned())
    }

    fn state_times(&self, state: &str, now: DateTime<Utc>) -> Map<String, Value> {
        let kind = self.store.get(STATE, state).map(|s| s.text("type")).unwrap_or_default();
        let at = |wanted: &str| if kind == wanted { json!(stamp(now)) } else { Value::Null };
        let mut out = Map::new();
        // A start is kept through completion; going back clears it.
        if !matches!(kind, "completed" | "canceled" | "duplicate") {
            out.insert("startedAt".to_owned(), at("started"));
        }
        out.insert("completedAt".to_owned(), at("completed"));
        out.insert("canceledAt".to_owned(), if kind == "duplicate" { json!(stamp(now)) } else { at("canceled") });
        out
    }

    /// Checks an input and says the fields it sets. `None` for `current`: the issue is new.
    pub(super) fn issue_fields(
        &self,
        input: &Map<String, Value>,
        team: &str,
        current: Option<&Row>,
    ) -> Answer<Map<String, Value>> {
        let mut out = Map::new();
        for name in PLAIN {
            if let Some(value) = input.get(name) {
                out.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(title) = out.get("title") {
            let text = title.as_str().unwrap_or_default();
            if text.trim().is_empty() {
                return Err(Fault::argument("title", title, "title should not be empty"));
            }
            if text.chars().count() > TITLE_LIMIT {
                return Err(Fault::argument("title", title, "title must be shorter than or equal to 255 characters"));
            }
        }
        if let Some(priority) = out.get("priority") {
            if !(0..=4).contains(&priority.as_i64().unwrap_or(0)) {
                return Err(Fault::argument("priority", priority, "priority must be 0 to 4"));
            }
            if priority.is_null() {
                out.insert("priority".to_owned(), json!(0));
            }
        }
        if let Some(state) = out.get("stateId") {
            let found = self.store.get(STATE, state.as_str().unwrap_or_default()).filter(|s| !s.is_archived());
            let found = found.ok_or_else(|| Fault::missing(STATE))?;
            if found.text("teamId") != team {
                return Err(Fault::input("The workflow state does not belong to the team of the issue."));
            }
        }
        for (name, kind) in [("assigneeId", USER), ("delegateId", USER), ("parentId", ISSUE), ("projectId", PROJECT)] {
            if let Some(id) = out.get(name).and_then(Value::as_str)
                && !self.store.has(kind, id)
            {
                return Err(Fault::missing(kind));
            }
        }
        let ids = |name: &str| -> Option<Vec<String>> {
            let list = input.get(name)?.as_array()?;
            Some(list.iter().filter_map(|v| Some(v.as_str()?.to_owned())).collect())
        };
        let (set, added, removed) = (ids("labelIds"), ids("addedLabelIds"), ids("removedLabelIds"));
        if set.is_some() || added.is_some() || removed.is_some() {
            let before = current.map(|row| row.texts("labelIds")).unwrap_or_default();
            let mut labels = set.unwrap_or_else(|| before.clone());
            labels.extend(added.unwrap_or_default());
            let removed = removed.unwrap_or_default();
            labels.retain(|label| !removed.contains(label));
            let mut unique: Vec<String> = Vec::new();
            labels.into_iter().for_each(|label| {
                if !unique.contains(&label) {
                    unique.push(label);
                }
            });
            self.check_labels(&unique, &before, team)?;
            out.insert("labelIds".to_owned(), json!(unique));
        }
        Ok(out)
    }

    /// Labels must exist, be the workspace's or the team's, be no groups, and no two of one group.
    fn check_labels(&self, labels: &[String], before: &[String], team: &str) -> Answer<()> {
        let mut groups: Vec<&str> = Vec::new();
        for id in labels {
            let Some(label) = self.store.get(LABEL, id) else {
                if before.contains(id) {
                    continue;
                }
                return Err(Fault::missing(LABEL));
            };
            let name = label.text("name");
            if !label.get("teamId").is_null() && label.text("teamId") != team {
                return Err(Fault::input(&format!(
                    "The label '{name}' is not associated with the same team as the issue."
                )));
            }
            if *label.get("isGroup") == true {
                return Err(Fault::input(&format!(
                    "The label '{name}' is a group and cannot be assigned to issues directly."
                )));
            }
            if !label.get("retiredAt").is_null() && !before.contains(id) {
                return Err(Fault::input(&format!("The label '{name}' is retired.")));
            }
            let group = label.get("parentId").as_str();
            let many =
                |group: &&str| self.store.get(LABEL, group).is_some_and(|g| g.text("groupType") == "multiSelect");
            if let Some(group) = group.filter(|group| !many(group)) {
                if groups.contains(&group) {
                    return Err(Fault::input(&format!(
                        "The label '{name}' is in a group of which the issue already has a label."
                    )));
                }
                groups.push(group);
            }
        }
        Ok(())
    }

    /// Checks and applies an `IssueUpdateInput`.
    pub(super) fn issue_update(
        &mut self,
        id: &str,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<String> {
        let row = self.store.issue(id).ok_or_else(|| Fault::missing(ISSUE))?;
        let id = row.id().to_owned();
        let team = input.get("teamId").and_then(Value::as_str).unwrap_or(row.text("teamId")).to_owned();
        if !self.store.has(TEAM, &team) {
            return Err(Fault::missing(TEAM));
        }
        let mut fields = self.issue_fields(input, &team, Some(row))?;
        if team != row.text("teamId") {
            fields.insert("teamId".to_owned(), json!(team));
            if !fields.contains_key("stateId") {
                fields.insert("stateId".to_owned(), json!(self.default_state(&team)));
            }
        }
        if fields.get("trashed") == Some(&json!(true)) {
            fields.insert("archivedAt".to_owned(), json!(stamp(cx.now)));
        } else if fields.contains_key("trashed") {
            fields.insert("trashed".to_owned(), Value::Null);
            fields.insert("archivedAt".to_owned(), Value::Null);
        }
        self.issue_change(&id, fields, actor, cx);
        Ok(id)
    }

    /// Sets fields of an issue; what is already so is left alone, and if all is, nothing happens. Says whether it did.
    pub(super) fn issue_change(
        &mut self,
        id: &str,
        mut fields: Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(row) = self.store.get(ISSUE, id).cloned() else { return false };
        fields.retain(|name, value| *row.get(name) != *value);
        if fields.is_empty() {
            return false;
        }
        if let Some(team) = fields.get("teamId").and_then(Value::as_str).map(str::to_owned) {
            let mut old = row.texts("previousIdentifiers");
            old.push(row.text("identifier").to_owned());
            fields.insert("previousIdentifiers".to_owned(), json!(old));
            let title = fields.get("title").and_then(Value::as_str).unwrap_or(row.text("title")).to_owned();
            self.number(&mut fields, &team, &title);
        }
        let mut was = Map::new();
        for name in fields.keys() {
            was.insert(name.clone(), row.get(name).clone());
        }
        was.insert("updatedAt".to_owned(), row.get("updatedAt").clone());
        self.remember(&row, &fields, actor, cx);
        if let Some(state) = fields.get("stateId").and_then(Value::as_str) {
            let times = self.state_times(state, cx.now);
            fields.extend(times.into_iter().filter(|(name, value)| value.is_null() != row.get(name).is_null()));
        }
        if let Some(priority) = fields.get("priority") {
            let label = priority_label(priority);
            fields.insert("priorityLabel".to_owned(), json!(label));
        }
        for (name, value) in fields {
            self.store.set(ISSUE, id, &name, value);
        }
        self.store.set(ISSUE, id, "updatedAt", json!(stamp(cx.now)));
        // A trashed issue is reported as removed; an archived one as updated (not documented, 2026-11-23).
        let trashed =
            was.contains_key("trashed") && self.store.get(ISSUE, id).is_some_and(|r| *r.get("trashed") == true);
        let action = if trashed { Action::Remove } else { Action::Update };
        self.emit(ISSUE, id, action, Some(&was), actor, cx);
        true
    }

    /// One history entry for all that changes at once.
    fn remember(&mut self, row: &Row, fields: &Map<String, Value>, actor: &str, cx: &mut Context<'_>) {
        let mut entry = Map::new();
        for (name, from, to) in [
            ("title", "fromTitle", "toTitle"),
            ("priority", "fromPriority", "toPriority"),
            ("stateId", "fromStateId", "toStateId"),
            ("assigneeId", "fromAssigneeId", "toAssigneeId"),
            ("teamId", "fromTeamId", "toTeamId"),
            ("parentId", "fromParentId", "toParentId"),
            ("projectId", "fromProjectId", "toProjectId"),
            ("cycleId", "fromCycleId", "toCycleId"),
            ("dueDate", "fromDueDate", "toDueDate"),
            ("estimate", "fromEstimate", "toEstimate"),
        ] {
            if let Some(value) = fields.get(name) {
                entry.insert(from.to_owned(), row.get(name).clone());
                entry.insert(to.to_owned(), value.clone());
            }
        }
        if let Some(labels) = fields.get("labelIds") {
            let before = row.texts("labelIds");
            let after: Vec<String> =
                labels.as_array().into_iter().flatten().filter_map(|v| Some(v.as_str()?.to_owned())).collect();
            let added: Vec<&String> = after.iter().filter(|id| !before.contains(id)).collect();
            let removed: Vec<&String> = before.iter().filter(|id| !after.contains(id)).collect();
            if !added.is_empty() {
                entry.insert("addedLabelIds".to_owned(), json!(added));
            }
            if !removed.is_empty() {
                entry.insert("removedLabelIds".to_owned(), json!(removed));
            }
        }
        if fields.contains_key("description") {
            entry.insert("updatedDescription".to_owned(), json!(true));
            entry.insert("descriptionUpdatedByIds".to_owned(), json!([actor]));
        }
        if let Some(archived) = fields.get("archivedAt") {
            entry.insert("archived".to_owned(), json!(!archived.is_null()));
        }
        if let Some(trashed) = fields.get("trashed") {
            entry.insert("trashed".to_owned(), json!(*trashed == true));
        }
        if !entry.is_empty() {
            self.history(row.id(), entry, actor, cx);
        }
    }

    pub(super) fn history(&mut self, issue: &str, mut entry: Map<String, Value>, actor: &str, cx: &mut Context<'_>) {
        entry.insert("issueId".to_owned(), json!(issue));
        entry.insert("actorId".to_owned(), json!(actor));
        entry.insert("actorIds".to_owned(), json!([actor]));
        let id = cx.rng.uuid();
        self.store.insert(HISTORY, &id, Value::Object(entry), cx.now);
    }
}

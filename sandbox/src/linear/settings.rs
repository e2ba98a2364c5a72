//! What a workspace is set up with: labels and their groups, workflow states, webhooks.

use serde_json::{Map, Value, json};

use super::events::Action;
use super::fault::{Answer, Fault};
use super::mutations::text;
use super::resolve::Out;
use super::store::{ISSUE, LABEL, Row, STATE, TEAM, WEBHOOK};
use super::{Caller, Linear};
use crate::world::Context;

const LABEL_NAME_LIMIT: usize = 80;

impl Linear {
    pub(super) fn label_mutation(
        &mut self,
        name: &str,
        id: &str,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<Out> {
        match name {
            "issueLabelCreate" => {
                let id = self.label_create(input, actor, cx)?;
                Ok(self.payload_of("issueLabel", LABEL, id))
            }
            "issueLabelUpdate" => {
                self.change(LABEL, id, input, actor, cx)?;
                Ok(self.payload_of("issueLabel", LABEL, id.to_owned()))
            }
            "issueLabelDelete" => self.label_erase(id, actor, cx).map(|()| self.deleted(id)),
            _ => Err(Fault::input(&format!("{name} is not modelled by this stand-in"))),
        }
    }

    pub(super) fn label_create(
        &mut self,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<String> {
        let id = self.new_id(LABEL, input, cx)?;
        let (name, team) = (text(input, "name").trim(), input.get("teamId").and_then(Value::as_str));
        if name.is_empty() || name.chars().count() > LABEL_NAME_LIMIT {
            return Err(Fault::argument("name", &json!(name), "name must be 1 to 80 characters"));
        }
        if team.is_some_and(|team| !self.store.has(TEAM, team)) {
            return Err(Fault::missing(TEAM));
        }
        if let Some(parent) = input.get("parentId").and_then(Value::as_str) {
            let parent = self.store.get(LABEL, parent).ok_or_else(|| Fault::missing(LABEL))?;
            if *parent.get("isGroup") != true {
                return Err(Fault::input("The parent label is not a group."));
            }
        }
        let clash = |label: &Row| {
            label.text("name").eq_ignore_ascii_case(name)
                && (label.get("teamId").is_null() || team.is_none_or(|t| t == label.text("teamId")))
        };
        if self.store.all(LABEL).any(clash) {
            return Err(Fault::input(&format!("A label with the name \"{name}\" already exists.")));
        }
        let fields = json!({
            "name": name,
            "color": input.get("color").filter(|c| !c.is_null()).unwrap_or(&json!("#95a2b3")),
            "description": input.get("description"),
            "isGroup": input.get("isGroup").unwrap_or(&json!(false)),
            "groupType": input.get("groupType"),
            "parentId": input.get("parentId"),
            "teamId": team,
            "creatorId": actor,
        });
        self.store.insert(LABEL, &id, fields, cx.now);
        self.emit(LABEL, &id, Action::Create, None, actor, cx);
        Ok(id)
    }

    /// A deleted label goes from every issue.
    pub(super) fn label_erase(&mut self, id: &str, actor: &str, cx: &mut Context<'_>) -> Answer<()> {
        if !self.store.has(LABEL, id) {
            return Err(Fault::missing(LABEL));
        }
        let held: Vec<(String, Vec<String>)> = self
            .store
            .all(ISSUE)
            .map(|i| (i.id().to_owned(), i.texts("labelIds")))
            .filter(|(_, labels)| labels.iter().any(|l| l == id))
            .collect();
        for (issue, mut labels) in held {
            labels.retain(|label| label != id);
            self.issue_change(&issue, Map::from_iter([("labelIds".to_owned(), json!(labels))]), actor, cx);
        }
        self.erase(LABEL, id, actor, cx)
    }

    pub(super) fn state_create(&mut self, input: &Map<String, Value>, cx: &mut Context<'_>) -> Answer<String> {
        let id = self.new_id(STATE, input, cx)?;
        let team = text(input, "teamId");
        if !self.store.has(TEAM, team) {
            return Err(Fault::missing(TEAM));
        }
        let kind = text(input, "type");
        if !matches!(kind, "backlog" | "unstarted" | "started" | "completed" | "canceled") {
            return Err(Fault::argument(
                "type",
                &json!(kind),
                "type must be one of backlog, unstarted, started, completed, canceled",
            ));
        }
        let states = self.store.having(STATE, "teamId", team);
        if states.iter().any(|state| state.text("name").eq_ignore_ascii_case(text(input, "name"))) {
            return Err(Fault::input("A workflow state with this name already exists in the team."));
        }
        let position =
            input.get("position").filter(|p| !p.is_null()).cloned().unwrap_or_else(|| json!(states.len() * 1000));
        let fields = json!({"name": input["name"], "type": kind, "color": input["color"], "description": input.get("description"), "teamId": team, "position": position});
        self.store.insert(STATE, &id, fields, cx.now);
        Ok(id)
    }

    pub(super) fn webhook_create(
        &mut self,
        input: &Map<String, Value>,
        caller: &Caller,
        cx: &mut Context<'_>,
    ) -> Answer<Out> {
        if !caller.admin {
            return Err(Fault::forbidden("Webhooks need an admin, or the admin scope."));
        }
        let id = self.new_id(WEBHOOK, input, cx)?;
        let url = text(input, "url");
        let local = url.contains("://localhost") || url.contains("://127.");
        if !url.starts_with("http") || self.strict_webhook_urls && (local || !url.starts_with("https://")) {
            return Err(Fault::argument("url", &json!(url), "url must be a public HTTPS address"));
        }
        let team = input.get("teamId").and_then(Value::as_str);
        if team.is_none() && input.get("allPublicTeams") != Some(&json!(true)) {
            return Err(Fault::input("A webhook needs a team, or all public teams."));
        }
        if team.is_some_and(|team| !self.store.has(TEAM, team)) {
            return Err(Fault::missing(TEAM));
        }
        let secret = match text(input, "secret") {
            "" => {
                format!("lin_wh_{}", cx.rng.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 40))
            }
            given => given.to_owned(),
        };
        let fields = json!({
            "url": url,
            "resourceTypes": input["resourceTypes"],
            "teamId": team,
            "allPublicTeams": input.get("allPublicTeams").unwrap_or(&json!(false)),
            "enabled": input.get("enabled").unwrap_or(&json!(true)),
            "label": input.get("label"),
            "secret": secret,
            "creatorId": caller.user,
        });
        self.store.insert(WEBHOOK, &id, fields, cx.now);
        Ok(self.payload_of("webhook", WEBHOOK, id))
    }
}

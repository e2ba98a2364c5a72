//! The mutations, by name. What is behind them: `issues`, `customers`, and `settings` for labels, states and webhooks.

use serde_json::{Map, Value, json};

use super::events::Action;
use super::fault::{Answer, Fault};
use super::resolve::Out;
use super::store::{ATTACHMENT, COMMENT, ISSUE, Kind, NEED, STATE, WEBHOOK, stamp};
use super::{Caller, Linear};
use crate::world::Context;

/// Most issues of `issueBatchCreate` and `issueBatchUpdate`.
const BATCH: usize = 50;

pub(super) fn text<'a>(map: &'a Map<String, Value>, name: &str) -> &'a str {
    map.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The shape "UUID v4" that client-chosen ids must have.
fn is_uuid_v4(id: &str) -> bool {
    let bytes = id.as_bytes();
    bytes.len() == 36
        && bytes
            .iter()
            .enumerate()
            .all(|(at, b)| if matches!(at, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() })
        && bytes[14] == b'4'
        && matches!(bytes[19].to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b')
}

impl Linear {
    /// The id of a new row: the client's own if it is free, or a new one.
    pub(super) fn new_id(&self, kind: Kind, input: &Map<String, Value>, cx: &mut Context<'_>) -> Answer<String> {
        let Some(id) = input.get("id").and_then(Value::as_str) else { return Ok(cx.rng.uuid()) };
        if !is_uuid_v4(id) {
            return Err(Fault::argument("id", &json!(id), "id must be a UUID"));
        }
        if self.store.has(kind, id) { Err(Fault::conflict(kind, id, cx.rng.chance(0.5))) } else { Ok(id.to_owned()) }
    }

    pub(super) fn payload_of(&self, name: &'static str, kind: Kind, id: String) -> Out {
        self.payload_with(vec![(name, Out::Row(kind, id))])
    }

    pub(super) fn payload_with(&self, mut fields: Vec<(&'static str, Out)>) -> Out {
        fields.push(("success", Out::Leaf(json!(true))));
        fields.push(("lastSyncId", Out::Leaf(json!(self.store.sync))));
        Out::Object(fields)
    }

    pub(super) fn deleted(&self, id: &str) -> Out {
        self.payload_with(vec![("entityId", Out::Leaf(json!(id)))])
    }

    pub(super) fn mutate(
        &mut self,
        name: &str,
        args: &Map<String, Value>,
        caller: &Caller,
        cx: &mut Context<'_>,
    ) -> Answer<Out> {
        if let Some(refusal) = self.refuse_next.remove(name) {
            return Err(Fault::input(&refusal));
        }
        let none = Map::new();
        let input = args.get("input").and_then(Value::as_object).unwrap_or(&none);
        let (id, actor) = (text(args, "id"), caller.user.as_str());
        if name.starts_with("customer") {
            self.customers_allowed()?;
            return self.customer_mutation(name, args, input, actor, cx);
        }
        if name.starts_with("issueLabel") {
            return self.label_mutation(name, id, input, actor, cx);
        }
        if name.starts_with("issue") {
            return self.issue_mutation(name, args, input, caller, cx);
        }
        match name {
            "attachmentCreate" => {
                let id = self.attachment_create(input, actor, cx)?;
                Ok(self.payload_of("attachment", ATTACHMENT, id))
            }
            "attachmentLinkURL" => {
                let mut input = args.clone();
                if text(&input, "title").is_empty() {
                    input.insert("title".to_owned(), json!(text(args, "url")));
                }
                let id = self.attachment_create(&input, actor, cx)?;
                Ok(self.payload_of("attachment", ATTACHMENT, id))
            }
            "attachmentUpdate" => {
                self.change(ATTACHMENT, id, input, actor, cx)?;
                Ok(self.payload_of("attachment", ATTACHMENT, id.to_owned()))
            }
            "attachmentDelete" => self.erase(ATTACHMENT, id, actor, cx).map(|()| self.deleted(id)),
            "commentCreate" => {
                let id = self.comment_create(input, actor, cx)?;
                Ok(self.payload_of("comment", COMMENT, id))
            }
            "commentUpdate" => {
                let mut fields = input.clone();
                if args.get("skipEditedAt") != Some(&json!(true)) {
                    fields.insert("editedAt".to_owned(), json!(stamp(cx.now)));
                }
                self.change(COMMENT, id, &fields, actor, cx)?;
                Ok(self.payload_of("comment", COMMENT, id.to_owned()))
            }
            "commentDelete" => self.erase(COMMENT, id, actor, cx).map(|()| self.deleted(id)),
            "webhookCreate" => self.webhook_create(input, caller, cx),
            "webhookUpdate" => {
                self.change(WEBHOOK, id, input, actor, cx)?;
                Ok(self.payload_of("webhook", WEBHOOK, id.to_owned()))
            }
            "webhookDelete" => self.erase(WEBHOOK, id, actor, cx).map(|()| self.deleted(id)),
            "workflowStateCreate" => {
                let id = self.state_create(input, cx)?;
                Ok(self.payload_of("workflowState", STATE, id))
            }
            "workflowStateUpdate" => {
                self.change(STATE, id, input, actor, cx)?;
                Ok(self.payload_of("workflowState", STATE, id.to_owned()))
            }
            "workflowStateArchive" => {
                if self.store.all(ISSUE).any(|issue| issue.text("stateId") == id && !issue.is_archived()) {
                    return Err(Fault::input("A workflow state that has issues cannot be archived."));
                }
                let archived = Map::from_iter([("archivedAt".to_owned(), json!(stamp(cx.now)))]);
                self.change(STATE, id, &archived, actor, cx)?;
                Ok(self.payload_of("entity", STATE, id.to_owned()))
            }
            _ => Err(Fault::input(&format!("{name} is not modelled by this stand-in"))),
        }
    }

    fn issue_mutation(
        &mut self,
        name: &str,
        args: &Map<String, Value>,
        input: &Map<String, Value>,
        caller: &Caller,
        cx: &mut Context<'_>,
    ) -> Answer<Out> {
        let (id, actor) = (text(args, "id"), caller.user.as_str());
        let issues = |ids: Vec<String>| Out::List(ids.into_iter().map(|id| Out::Row(ISSUE, id)).collect());
        match name {
            "issueCreate" => {
                let id = self.issue_create(input, actor, cx)?;
                Ok(self.payload_of("issue", ISSUE, id))
            }
            "issueUpdate" => {
                let id = self.issue_update(id, input, actor, cx)?;
                Ok(self.payload_of("issue", ISSUE, id))
            }
            "issueAddLabel" | "issueRemoveLabel" => {
                let field = if name == "issueAddLabel" { "addedLabelIds" } else { "removedLabelIds" };
                let input = Map::from_iter([(field.to_owned(), json!([text(args, "labelId")]))]);
                let id = self.issue_update(id, &input, actor, cx)?;
                Ok(self.payload_of("issue", ISSUE, id))
            }
            "issueBatchCreate" => {
                let list = input.get("issues").and_then(Value::as_array).cloned().unwrap_or_default();
                batch_size("issues", list.len())?;
                let mut prepared: Vec<(String, Map<String, Value>)> = Vec::new();
                for one in list.iter().filter_map(Value::as_object) {
                    let next = self.issue_prepare(one, actor, cx)?;
                    if prepared.iter().any(|(id, _)| *id == next.0) {
                        return Err(Fault::conflict(ISSUE, &next.0, true));
                    }
                    prepared.push(next);
                }
                let ids = prepared.iter().map(|(id, _)| id.clone()).collect();
                for (id, fields) in prepared {
                    self.issue_insert(&id, fields, actor, cx);
                }
                Ok(self.payload_with(vec![("issues", issues(ids))]))
            }
            "issueBatchUpdate" => {
                let ids: Vec<String> = args
                    .get("ids")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(|v| Some(v.as_str()?.to_owned()))
                    .collect();
                batch_size("ids", ids.len())?;
                for id in &ids {
                    let row = self.store.issue(id).ok_or_else(|| Fault::missing(ISSUE))?;
                    self.issue_fields(
                        input,
                        input.get("teamId").and_then(Value::as_str).unwrap_or(row.text("teamId")),
                        Some(row),
                    )?;
                }
                for id in &ids {
                    self.issue_update(id, input, actor, cx)?;
                }
                Ok(self.payload_with(vec![("issues", issues(ids))]))
            }
            "issueArchive" | "issueUnarchive" | "issueDelete" => {
                let id = self.store.issue(id).ok_or_else(|| Fault::missing(ISSUE))?.id().to_owned();
                if name == "issueDelete" && args.get("permanentlyDelete") == Some(&json!(true)) {
                    if !caller.admin {
                        return Err(Fault::forbidden("Only admins can delete issues permanently."));
                    }
                    self.issue_erase(&id, actor, cx);
                    return Ok(self.payload_with(vec![]));
                }
                let trash = name == "issueDelete" || args.get("trash") == Some(&json!(true));
                self.issue_archive(&id, name != "issueUnarchive", trash, actor, cx);
                Ok(self.payload_of("entity", ISSUE, id))
            }
            _ => Err(Fault::input(&format!("{name} is not modelled by this stand-in"))),
        }
    }

    pub(super) fn issue_archive(&mut self, id: &str, archive: bool, trash: bool, actor: &str, cx: &mut Context<'_>) {
        let mut fields = Map::new();
        fields.insert("archivedAt".to_owned(), if archive { json!(stamp(cx.now)) } else { Value::Null });
        if trash || !archive {
            fields.insert("trashed".to_owned(), if archive { json!(true) } else { Value::Null });
        }
        self.issue_change(id, fields, actor, cx);
    }

    /// Gone for good, with what hangs on it.
    pub(super) fn issue_erase(&mut self, id: &str, actor: &str, cx: &mut Context<'_>) {
        for kind in [COMMENT, ATTACHMENT, NEED, super::store::HISTORY] {
            let below: Vec<String> =
                self.store.having(kind, "issueId", id).iter().map(|row| row.id().to_owned()).collect();
            for id in below {
                self.store.remove(kind, &id);
            }
        }
        if let Some(row) = self.store.remove(ISSUE, id) {
            self.emit_row(ISSUE, &row, Action::Remove, None, actor, cx);
        }
    }

    /// Sets fields of a row that is no issue; only changes count.
    pub(super) fn change(
        &mut self,
        kind: Kind,
        id: &str,
        fields: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<()> {
        let row = self.store.get(kind, id).ok_or_else(|| Fault::missing(kind))?.clone();
        let changed: Vec<_> = fields.iter().filter(|(name, value)| *name != "id" && row.get(name) != *value).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let mut was: Map<String, Value> =
            changed.iter().map(|(name, _)| ((*name).clone(), row.get(name).clone())).collect();
        was.insert("updatedAt".to_owned(), row.get("updatedAt").clone());
        for (name, value) in changed {
            self.store.set(kind, id, name, value.clone());
        }
        self.store.set(kind, id, "updatedAt", json!(stamp(cx.now)));
        self.emit(kind, id, Action::Update, Some(&was), actor, cx);
        Ok(())
    }

    pub(super) fn erase(&mut self, kind: Kind, id: &str, actor: &str, cx: &mut Context<'_>) -> Answer<()> {
        let row = self.store.remove(kind, id).ok_or_else(|| Fault::missing(kind))?;
        self.emit_row(kind, &row, Action::Remove, None, actor, cx);
        Ok(())
    }

    /// Upserts on url and issue: the same attachment comes back with its title, subtitle and metadata replaced.
    pub(super) fn attachment_create(
        &mut self,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<String> {
        let issue = self.store.issue(text(input, "issueId")).ok_or_else(|| Fault::missing(ISSUE))?.id().to_owned();
        let url = text(input, "url");
        if !url.contains(':') {
            return Err(Fault::argument("url", &json!(url), "url must be a URL address"));
        }
        let mut fields = Map::new();
        for name in ["title", "subtitle", "metadata", "iconUrl", "groupBySource"] {
            if let Some(value) = input.get(name) {
                fields.insert(name.to_owned(), value.clone());
            }
        }
        let same = self
            .store
            .having(ATTACHMENT, "issueId", &issue)
            .into_iter()
            .find(|a| a.text("url") == url)
            .map(|a| a.id().to_owned());
        if let Some(id) = same {
            self.change(ATTACHMENT, &id, &fields, actor, cx)?;
            return Ok(id);
        }
        let id = self.new_id(ATTACHMENT, input, cx)?;
        fields.entry("metadata").or_insert_with(|| json!({}));
        fields.insert("groupBySource".to_owned(), input.get("groupBySource").cloned().unwrap_or(json!(false)));
        fields.insert("sourceType".to_owned(), json!("api"));
        fields.insert("url".to_owned(), json!(url));
        fields.insert("issueId".to_owned(), json!(issue));
        fields.insert("creatorId".to_owned(), json!(actor));
        self.store.insert(ATTACHMENT, &id, Value::Object(fields), cx.now);
        self.history(&issue, Map::from_iter([("attachmentId".to_owned(), json!(id))]), actor, cx);
        self.emit(ATTACHMENT, &id, Action::Create, None, actor, cx);
        Ok(id)
    }

    pub(super) fn comment_create(
        &mut self,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<String> {
        let id = self.new_id(COMMENT, input, cx)?;
        let issue = self.store.issue(text(input, "issueId")).ok_or_else(|| Fault::missing(ISSUE))?;
        if text(input, "body").is_empty() {
            return Err(Fault::argument("body", input.get("body").unwrap_or(&Value::Null), "body should not be empty"));
        }
        let url = format!("{}#comment-{}", issue.text("url"), id.get(..8).unwrap_or(&id));
        let mut fields = json!({
            "body": input["body"],
            "issueId": issue.id(),
            "userId": actor,
            "parentId": input.get("parentId"),
            "createdAt": input.get("createdAt"),
            "quotedText": input.get("quotedText"),
            "reactionData": [],
            "url": url,
        });
        if let Some(name) = input.get("createAsUser").filter(|v| !v.is_null()) {
            fields["botActor"] = json!({"type": "oauthClient", "name": "Sandbox App", "userDisplayName": name, "avatarUrl": input.get("displayIconUrl")});
        }
        self.store.insert(COMMENT, &id, fields, cx.now);
        self.emit(COMMENT, &id, Action::Create, None, actor, cx);
        Ok(id)
    }
}

fn batch_size(property: &str, size: usize) -> Answer<()> {
    if (1..=BATCH).contains(&size) {
        return Ok(());
    }
    Err(Fault::argument(property, &json!(size), &format!("{property} must contain 1 to {BATCH} elements")))
}

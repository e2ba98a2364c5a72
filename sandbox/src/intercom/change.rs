//! What changes conversations, contacts and companies, whoever does it, and the webhooks that follow.
//!
//! The law: a desk and an API call that do the same leave the same behind, save that parts made through the API carry
//! `app_package_code`. Every part moves the conversation's `updated_at`; so do tags, which the sheet leaves open.

use http::HeaderMap;
use serde_json::{Value, json};

use super::Intercom;
use super::errors::{Answer, no_user, ok};
use super::model::{Author, Company, Contact, Conversation, Part, State};
use super::show::{Parts, View};
use super::text::html;
use crate::wire;
use crate::world::{Context, Outgoing, Vendor};

/// A part to be added.
pub(super) struct NewPart {
    pub(super) kind: &'static str,
    pub(super) body: Option<String>,
    pub(super) author: Author,
    pub(super) by_api: bool,
    pub(super) assigned_to: Option<u64>,
    pub(super) snoozed_until: Option<i64>,
    pub(super) created_at: Option<i64>,
}

impl NewPart {
    pub(super) fn new(kind: &'static str, body: Option<&str>, author: Author, by_api: bool) -> Self {
        Self { kind, body: body.map(html), author, by_api, assigned_to: None, snoozed_until: None, created_at: None }
    }
}

impl Intercom {
    pub(super) fn begin(
        &mut self,
        contact: &str,
        subject: &str,
        body: &str,
        created_at: Option<i64>,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let author = self.contacts.get(contact)?.author();
        let (id, source_id, now) = (self.next_id(), self.next_id(), cx.now.timestamp());
        self.conversations.insert(
            id,
            Conversation {
                id,
                source_id,
                title: None,
                subject: if subject.is_empty() { String::new() } else { html(subject) },
                body: html(body),
                author,
                contact: contact.to_owned(),
                state: State::Open,
                snoozed_until: None,
                waiting_since: Some(now),
                read: false,
                admin_assignee: None,
                team_assignee: None,
                custom_attributes: serde_json::Map::new(),
                tags: Vec::new(),
                parts: Vec::new(),
                created_at: created_at.unwrap_or(now),
                updated_at: now,
            },
        );
        self.fire_conversation("conversation.user.created", id, Parts::Last(0), cx);
        Some(id)
    }

    pub(super) fn add_part(&mut self, conversation: u64, new: NewPart, cx: &mut Context<'_>) -> Option<u64> {
        let (id, now) = (self.next_id(), cx.now.timestamp());
        let package = new.by_api.then(|| self.app_package_code.clone());
        let of = self.conversations.get_mut(&conversation)?;
        let from_admin = new.author.kind == "admin";
        let topic = match new.kind {
            "comment" if from_admin => "conversation.admin.replied",
            "comment" => "conversation.user.replied",
            "note" => "conversation.admin.noted",
            "close" => "conversation.admin.closed",
            "open" => "conversation.admin.opened",
            "snoozed" => "conversation.admin.snoozed",
            _ => "conversation.admin.assigned",
        };
        match new.kind {
            "close" => of.state = State::Closed,
            "open" => of.state = State::Open,
            "snoozed" => of.state = State::Snoozed,
            // A customer's reply opens what was closed or asleep.
            "comment" if !from_admin => of.state = State::Open,
            "assignment" => of.admin_assignee = new.assigned_to,
            _ => {}
        }
        of.snoozed_until = new.snoozed_until.filter(|_| of.state == State::Snoozed);
        match (new.kind, from_admin) {
            ("comment", true) => of.waiting_since = None,
            ("comment", false) => of.waiting_since = of.waiting_since.or(Some(now)),
            _ => {}
        }
        of.updated_at = now;
        of.parts.push(Part {
            id,
            kind: new.kind.to_owned(),
            body: new.body,
            author: new.author,
            created_at: new.created_at.unwrap_or(now),
            app_package_code: package,
            assigned_to: new.assigned_to,
        });
        self.fire_conversation(topic, conversation, Parts::Last(1), cx);
        Some(id)
    }

    pub(super) fn tag_conversation(
        &mut self,
        conversation: u64,
        tag: u64,
        admin: u64,
        cx: &mut Context<'_>,
    ) -> Option<()> {
        let now = cx.now.timestamp();
        let of = self.conversations.get_mut(&conversation)?;
        if of.tags.iter().all(|(id, ..)| *id != tag) {
            of.tags.push((tag, now, admin));
            of.updated_at = now;
            self.fire_conversation("conversation_part.tag.created", conversation, Parts::Last(0), cx);
        }
        Some(())
    }

    pub(super) fn untag_conversation(&mut self, conversation: u64, tag: u64, cx: &mut Context<'_>) -> Option<()> {
        let of = self.conversations.get_mut(&conversation)?;
        of.tags.iter().any(|(id, ..)| *id == tag).then_some(())?;
        of.tags.retain(|(id, ..)| *id != tag);
        of.updated_at = cx.now.timestamp();
        Some(())
    }

    /// By name, whatever its case; made if it is not there.
    pub(super) fn tag_named(&mut self, name: &str) -> u64 {
        if let Some((id, _)) = self.tags.iter().find(|(_, tag)| tag.eq_ignore_ascii_case(name)) {
            return *id;
        }
        let id = self.next_id();
        self.tags.insert(id, name.to_owned());
        id
    }

    pub(super) fn remove_conversation(&mut self, conversation: u64, cx: &mut Context<'_>) -> Option<()> {
        self.conversations.remove(&conversation)?;
        self.deleted.push((conversation, cx.now.timestamp()));
        let id = conversation.to_string();
        self.fire("conversation.deleted", &json!({"type": "conversation", "id": id, "conversation_id": id}), cx);
        Some(())
    }

    pub(super) fn put_contact(&mut self, contact: Contact, cx: &mut Context<'_>) -> String {
        let id = contact.id.clone();
        let topic = if self.contacts.contains_key(&id) { "contact.user.updated" } else { "contact.user.created" };
        let view = self.webhook_view();
        let shown = self.show_contact(&contact, view);
        self.contacts.insert(id.clone(), contact);
        self.fire(topic, &shown, cx);
        id
    }

    pub(super) fn put_company(&mut self, company: Company, cx: &mut Context<'_>) -> String {
        let id = company.id.clone();
        let topic = if self.companies.contains_key(&id) { "company.updated" } else { "company.created" };
        let shown = self.show_company(&company);
        self.companies.insert(id.clone(), company);
        self.fire(topic, &shown, cx);
        id
    }

    pub(super) fn attach(&mut self, contact: &str, company: &str, cx: &mut Context<'_>) -> Option<()> {
        let joined = self.companies.get_mut(company)?;
        let person = self.contacts.get_mut(contact)?;
        if !person.companies.iter().any(|id| id == company) {
            person.companies.push(company.to_owned());
            person.updated_at = cx.now.timestamp();
            joined.user_count += 1;
        }
        Some(())
    }

    /// The answer is what Intercom says of a contact that it has just deleted, and what its webhook brings.
    pub(super) fn remove_contact(&mut self, id: &str, cx: &mut Context<'_>) -> Answer {
        let gone = self.contacts.remove(id).ok_or_else(no_user)?;
        for company in &gone.companies {
            if let Some(company) = self.companies.get_mut(company) {
                company.user_count = company.user_count.saturating_sub(1);
            }
        }
        let told = json!({"type": "contact", "id": gone.id, "external_id": gone.external_id, "deleted": true});
        self.fire("contact.deleted", &told, cx);
        ok(&told)
    }

    pub(super) fn webhook_view(&self) -> View {
        View { version: self.version, plain: self.version >= 15 }
    }

    fn fire_conversation(&mut self, topic: &str, id: u64, parts: Parts, cx: &mut Context<'_>) {
        if self.webhook.is_none() {
            return;
        }
        if let Some(of) = self.conversations.get(&id) {
            let item = self.show_conversation(of, parts, self.webhook_view());
            self.fire(topic, &item, cx);
        }
    }

    /// Sends a notification, signed over the body with the app's client secret.
    pub(super) fn fire(&self, topic: &str, item: &Value, cx: &mut Context<'_>) {
        let Some(hook) = &self.webhook else { return };
        if hook.topics.as_ref().is_some_and(|topics| !topics.iter().any(|wanted| wanted == topic)) {
            return;
        }
        let now = cx.now.timestamp();
        let notification = json!({
            "type": "notification_event", "id": format!("notif_{}", cx.rng.uuid()), "topic": topic, "app_id": self.app_id,
            "data": {"type": "notification_event_data", "item": item}, "links": {}, "self": null,
            "delivery_status": "pending", "delivery_attempts": 1, "delivered_at": 0, "first_sent_at": now, "created_at": now,
        });
        let body = notification.to_string();
        let mut headers = HeaderMap::new();
        wire::set(&mut headers, "content-type", "application/json");
        wire::set(&mut headers, "user-agent", "intercom-webhooks/sandbox");
        wire::set(
            &mut headers,
            "x-hub-signature",
            &format!("sha1={}", wire::hmac::<hmac::Hmac<sha1::Sha1>>(&hook.secret, body.as_bytes())),
        );
        cx.outbox.push(Outgoing::new(Vendor::Intercom, hook.url.clone(), headers, body));
    }
}

//! Intercom's JSON, by API version (OpenAPI 2.16 and changelogs, read 2026-11-23).
//!
//! 2.15 put `company` on the conversation; 2.16 made unassigned ids 0, the priority an enum and `owner_id` a string.

use serde_json::{Map, Value, json};

use super::Intercom;
use super::model::{Admin, Author, Company, Contact, Conversation, Part, State};
use super::text::plain;

/// No more parts are shown, the newest ones; older ones cannot be had.
pub(super) const MOST_PARTS: usize = 500;

/// Which version, and whether bodies are plain text.
#[derive(Clone, Copy)]
pub(super) struct View {
    /// The minor number: 16 is version 2.16.
    pub(super) version: u32,
    pub(super) plain: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Parts {
    /// As in lists.
    None,
    All,
    /// The newest so many, as in webhooks.
    Last(usize),
}

impl View {
    fn body(self, html: &str) -> String {
        if self.plain { plain(html) } else { html.to_owned() }
    }

    fn assignee(self, id: Option<u64>) -> Value {
        match id {
            Some(id) => id.into(),
            None if self.version >= 16 => 0.into(),
            None => Value::Null,
        }
    }
}

impl Intercom {
    pub(super) fn show_conversation(&self, of: &Conversation, parts: Parts, view: View) -> Value {
        let contact = self.contacts.get(&of.contact);
        let mut shown = json!({
            "type": "conversation", "id": of.id.to_string(), "title": of.title,
            "created_at": of.created_at, "updated_at": of.updated_at,
            "waiting_since": of.waiting_since, "snoozed_until": of.snoozed_until,
            "open": of.state != State::Closed, "state": of.state.name(), "read": of.read,
            "priority": if view.version >= 16 { "none" } else { "not_priority" },
            "admin_assignee_id": view.assignee(of.admin_assignee), "team_assignee_id": view.assignee(of.team_assignee),
            "tags": {"type": "tag.list", "tags": of.tags.iter().filter_map(|tag| self.show_applied_tag(*tag)).collect::<Vec<_>>()},
            "conversation_rating": null,
            "source": {
                "type": "conversation", "id": of.source_id.to_string(), "delivered_as": if of.author.kind == "admin" { "admin_initiated" } else { "customer_initiated" },
                "subject": view.body(&of.subject), "body": view.body(&of.body), "author": show_author(&of.author),
                "attachments": [], "url": null, "redacted": false,
            },
            "contacts": {
                "type": "contact.list",
                "contacts": [{"type": "contact", "id": of.contact, "external_id": contact.and_then(|contact| contact.external_id.clone())}],
            },
            "teammates": show_teammates(of), "custom_attributes": of.custom_attributes,
            "first_contact_reply": {"type": "conversation", "url": null, "created_at": of.created_at},
            "sla_applied": null, "statistics": show_statistics(of),
            "linked_objects": {"type": "list", "data": [], "total_count": 0, "has_more": false},
            "ai_agent": null, "ai_agent_participated": false,
        });
        let Value::Object(map) = &mut shown else { return shown };
        if view.version >= 15 {
            let company = contact.and_then(|contact| self.companies.get(contact.companies.first()?));
            map.insert("company".into(), company.map_or(Value::Null, |company| self.show_company(company)));
        }
        let newest = match parts {
            Parts::None => return shown,
            Parts::All => MOST_PARTS,
            Parts::Last(n) => n,
        };
        let from = of.parts.len().saturating_sub(newest);
        let list: Vec<Value> = of.parts.iter().skip(from).map(|part| show_part(of, part, view)).collect();
        map.insert(
            "conversation_parts".into(),
            json!({
                "type": "conversation_part.list", "conversation_parts": list, "total_count": of.parts.len(),
            }),
        );
        shown
    }

    pub(super) fn show_contact(&self, contact: &Contact, view: View) -> Value {
        let id = &contact.id;
        let companies: Vec<Value> = contact
            .companies
            .iter()
            .take(10)
            .map(|id| json!({"type": "company", "id": id, "url": format!("/companies/{id}")}))
            .collect();
        let list = |kind: &str, data: Vec<Value>, count: usize| json!({"type": "list", "data": data, "url": format!("/contacts/{id}/{kind}"), "total_count": count, "has_more": count > 10});
        let domain = contact.email.as_deref().and_then(|email| email.split_once('@')).map(|(_, domain)| domain);
        let mut shown = json!({
            "type": "contact", "id": id, "workspace_id": self.app_id, "external_id": contact.external_id, "role": contact.role,
            "email": contact.email, "email_domain": domain, "phone": null, "name": contact.name, "avatar": null, "owner_id": null,
            "social_profiles": {"type": "list", "data": []}, "has_hard_bounced": false, "marked_email_as_spam": false,
            "unsubscribed_from_emails": false, "created_at": contact.created_at, "updated_at": contact.updated_at,
            "signed_up_at": contact.created_at, "custom_attributes": contact.custom_attributes,
            "tags": list("tags", Vec::new(), 0), "notes": list("notes", Vec::new(), 0),
            "companies": list("companies", companies, contact.companies.len()),
            "location": {"type": "location", "country": null, "region": null, "city": null},
        });
        if let Value::Object(shown) = &mut shown {
            let nulls = [
                "last_seen_at",
                "last_replied_at",
                "last_contacted_at",
                "last_email_opened_at",
                "last_email_clicked_at",
                "language_override",
                "browser",
                "browser_version",
                "browser_language",
                "os",
            ];
            shown.extend(nulls.map(|key| (key.to_owned(), Value::Null)));
            if view.version >= 17 {
                shown.insert("merge_history".into(), json!([]));
            }
        }
        shown
    }

    pub(super) fn show_company(&self, company: &Company) -> Value {
        let mut shown = json!({
            "type": "company", "id": company.id, "company_id": company.company_id, "app_id": self.app_id, "name": company.name,
            "created_at": company.created_at, "updated_at": company.updated_at, "monthly_spend": company.monthly_spend, "session_count": 0, "user_count": company.user_count,
            "tags": {"type": "tag.list", "tags": []}, "segments": {"type": "segment.list", "segments": []},
            "plan": company.plan.as_ref().map_or_else(|| json!({}), |name| json!({"type": "plan", "id": "1", "name": name})),
            "custom_attributes": company.custom_attributes,
        });
        // What was never set is left out, as Intercom does.
        if let Value::Object(shown) = &mut shown {
            shown.extend(company.website.clone().map(|website| ("website".to_owned(), website.into())));
            shown.extend(company.industry.clone().map(|industry| ("industry".to_owned(), industry.into())));
            shown.extend(company.remote_created_at.map(|at| ("remote_created_at".to_owned(), at.into())));
            shown.extend(company.size.map(|size| ("size".to_owned(), size.into())));
        }
        shown
    }

    pub(super) fn show_admin(&self, admin: &Admin) -> Value {
        json!({
            "type": "admin", "id": admin.id.to_string(), "name": admin.name, "email": admin.email, "job_title": "",
            "away_mode_enabled": false, "away_mode_reassign": false, "has_inbox_seat": true, "team_ids": [], "avatar": null,
        })
    }

    pub(super) fn show_me(&self, admin: &Admin) -> Value {
        json!({
            "type": "admin", "id": admin.id.to_string(), "name": admin.name, "email": admin.email, "email_verified": true,
            "has_inbox_seat": true, "avatar": {"type": "avatar", "image_url": null},
            "app": {
                "type": "app", "id_code": self.app_id, "name": "Sandbox workspace", "region": "US", "timezone": "UTC",
                "created_at": 1_577_836_800, "identity_verification": false, "secure": false,
            },
        })
    }

    pub(super) fn show_tag(&self, id: u64) -> Option<Value> {
        Some(json!({"type": "tag", "id": id.to_string(), "name": self.tags.get(&id)?}))
    }

    pub(super) fn show_applied_tag(&self, (id, at, admin): (u64, i64, u64)) -> Option<Value> {
        let name = self.tags.get(&id)?;
        Some(json!({
            "type": "tag", "id": id.to_string(), "name": name, "applied_at": at, "applied_by": {"type": "admin", "id": admin.to_string()},
        }))
    }
}

pub(super) fn show_author(author: &Author) -> Value {
    json!({"type": author.kind, "id": author.id, "name": author.name, "email": author.email})
}

fn show_part(of: &Conversation, part: &Part, view: View) -> Value {
    json!({
        "type": "conversation_part", "id": part.id.to_string(), "part_type": part.kind,
        "body": part.body.as_deref().map(|body| view.body(body)), "created_at": part.created_at, "updated_at": part.created_at,
        "notified_at": part.created_at, "author": show_author(&part.author),
        "assigned_to": part.assigned_to.map(|id| json!({"type": "admin", "id": id.to_string()})),
        "attachments": [], "external_id": null, "redacted": false, "tags": [], "state": of.state.name(),
        "app_package_code": part.app_package_code, "metadata": {}, "event_details": null,
    })
}

fn show_teammates(of: &Conversation) -> Value {
    let mut ids: Vec<&str> =
        of.parts.iter().filter(|part| part.author.kind == "admin").map(|part| part.author.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    json!({"type": "admin.list", "teammates": ids.iter().map(|id| json!({"type": "admin", "id": id})).collect::<Vec<_>>()})
}

fn show_statistics(of: &Conversation) -> Value {
    let last = |kind: fn(&Part) -> bool| of.parts.iter().rev().find(|part| kind(part)).map(|part| part.created_at);
    let count = |kind: &str| of.parts.iter().filter(|part| part.kind == kind).count();
    let mut shown = Map::from_iter([
        ("type".to_owned(), "conversation_statistics".into()),
        ("count_conversation_parts".to_owned(), of.parts.len().into()),
        ("count_reopens".to_owned(), count("open").into()),
        ("count_assignments".to_owned(), count("assignment").into()),
    ]);
    for (key, at) in [
        ("first_contact_reply_at", Some(of.created_at)),
        ("last_contact_reply_at", last(|part| part.author.kind != "admin").or(Some(of.created_at))),
        ("last_admin_reply_at", last(|part| part.author.kind == "admin" && part.kind == "comment")),
        ("last_close_at", last(|part| part.kind == "close")),
    ] {
        shown.extend(at.map(|at| (key.to_owned(), at.into())));
    }
    Value::Object(shown)
}

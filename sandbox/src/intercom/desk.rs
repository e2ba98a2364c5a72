//! Intercom's own screens: what customers and teammates do there, and a look at what is there.
//!
//! Contacts and companies are named by Intercom's ids, conversations by their number. What names something that is not
//! there does nothing and says so (`None`, `false`).

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::Intercom;
use super::change::NewPart;
use super::companies::new_company;
use super::model::{Admin, Company, Contact, Conversation, Part, Webhook};
use super::route;
use crate::world::Context;

const HEX: &str = "0123456789abcdef";

/// A company as somebody enters it.
#[derive(Clone, Debug, Default)]
pub struct NewCompany<'a> {
    pub name: &'a str,
    /// The workspace's own id of it.
    pub company_id: &'a str,
    pub website: Option<&'a str>,
    pub industry: Option<&'a str>,
    pub monthly_spend: i64,
    pub plan: Option<&'a str>,
    pub custom_attributes: Map<String, Value>,
}

impl Intercom {
    /// Adds a company, or changes the one with this `company_id`; Intercom's id of it.
    pub fn add_company(&mut self, new: &NewCompany<'_>, cx: &mut Context<'_>) -> String {
        let now = cx.now.timestamp();
        let old = self.companies.values().find(|company| company.company_id == new.company_id).cloned();
        let mut company = old.unwrap_or_else(|| new_company(cx.rng.text(HEX, 24), new.company_id, now));
        new.name.clone_into(&mut company.name);
        company.website = new.website.map(str::to_owned).or(company.website);
        company.industry = new.industry.map(str::to_owned).or(company.industry);
        company.plan = new.plan.map(str::to_owned).or(company.plan);
        company.monthly_spend = new.monthly_spend;
        company.custom_attributes.extend(new.custom_attributes.clone());
        company.updated_at = now;
        self.put_company(company, cx)
    }

    /// Adds a contact, in a company if one is named; the contact's id. An email that is known is that contact.
    pub fn add_contact(&mut self, name: &str, email: &str, company: Option<&str>, cx: &mut Context<'_>) -> String {
        let now = cx.now.timestamp();
        let known = self
            .contacts
            .values()
            .find(|contact| contact.email.as_deref() == Some(email))
            .map(|contact| contact.id.clone());
        let id = known.unwrap_or_else(|| {
            let contact = Contact {
                id: cx.rng.text(HEX, 24),
                external_id: None,
                role: "user".to_owned(),
                email: Some(email.to_owned()),
                name: Some(name.to_owned()),
                companies: Vec::new(),
                custom_attributes: Map::new(),
                created_at: now,
                updated_at: now,
            };
            self.put_contact(contact, cx)
        });
        if let Some(company) = company {
            self.attach(&id, company, cx);
        }
        id
    }

    /// A customer writes in; `body` is HTML or plain text.
    pub fn open_conversation(
        &mut self,
        contact: &str,
        subject: &str,
        body: &str,
        created_at: Option<DateTime<Utc>>,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        self.begin(contact, subject, body, created_at.map(|at| at.timestamp()), cx)
    }

    /// The customer of the conversation writes again; the part's id.
    pub fn user_replies(&mut self, conversation: u64, body: &str, cx: &mut Context<'_>) -> Option<u64> {
        let author = self.contacts.get(&self.conversations.get(&conversation)?.contact)?.author();
        self.add_part(conversation, NewPart::new("comment", Some(body), author, false), cx)
    }

    pub fn admin_replies(&mut self, conversation: u64, body: &str, cx: &mut Context<'_>) -> Option<u64> {
        self.teammate_does("comment", conversation, Some(body), cx)
    }

    /// A note is seen by teammates only.
    pub fn admin_notes(&mut self, conversation: u64, body: &str, cx: &mut Context<'_>) -> Option<u64> {
        self.teammate_does("note", conversation, Some(body), cx)
    }

    pub fn close_conversation(&mut self, conversation: u64, cx: &mut Context<'_>) -> bool {
        self.teammate_does("close", conversation, None, cx).is_some()
    }

    pub fn tag(&mut self, conversation: u64, name: &str, cx: &mut Context<'_>) -> bool {
        let tag = self.tag_named(name);
        self.tag_conversation(conversation, tag, self.teammate, cx).is_some()
    }

    pub fn delete_conversation(&mut self, conversation: u64, cx: &mut Context<'_>) -> bool {
        self.remove_conversation(conversation, cx).is_some()
    }

    /// The one endpoint of the app, with the app's client secret; every topic.
    pub fn set_webhook(&mut self, url: &str, client_secret: &str) {
        self.webhook = Some(Webhook { url: url.to_owned(), secret: client_secret.to_owned(), topics: None });
    }

    /// Only these topics from now on.
    pub fn subscribe(&mut self, topics: &[&str]) {
        if let Some(webhook) = &mut self.webhook {
            webhook.topics = Some(topics.iter().map(|&topic| topic.to_owned()).collect());
        }
    }

    /// The Developer Hub's test button: topic `ping`.
    pub fn send_ping(&mut self, cx: &mut Context<'_>) {
        self.fire("ping", &serde_json::json!({"type": "ping", "message": "something something interzen"}), cx);
    }

    /// The app's version (`2.16`): of calls without the header, and of webhooks. False if there is no such version.
    pub fn set_version(&mut self, version: &str) -> bool {
        let found = route::version(version);
        self.version = found.unwrap_or(self.version);
        found.is_some()
    }

    pub fn add_admin(&mut self, name: &str, email: &str) -> u64 {
        let id = self.next_id();
        self.admins.insert(id, Admin { id, name: name.to_owned(), email: email.to_owned() });
        id
    }

    pub fn add_token(&mut self, token: &str) {
        self.tokens.insert(token.to_owned());
    }

    /// From now on 401.
    pub fn revoke_token(&mut self, token: &str) {
        self.tokens.remove(token);
    }

    /// The admin whose token the app's is.
    pub fn app_admin(&self) -> u64 {
        self.app_admin
    }

    pub fn conversation(&self, id: u64) -> Option<&Conversation> {
        self.conversations.get(&id)
    }

    pub fn conversations(&self) -> impl Iterator<Item = &Conversation> {
        self.conversations.values()
    }

    pub fn companies(&self) -> impl Iterator<Item = &Company> {
        self.companies.values()
    }

    pub fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.contacts.values()
    }

    pub fn tag_names(&self, conversation: u64) -> Vec<String> {
        let tags = self.conversations.get(&conversation).map(|of| of.tags.as_slice()).unwrap_or_default();
        tags.iter().filter_map(|(id, ..)| self.tags.get(id).cloned()).collect()
    }

    /// Parts, anywhere, whose body contains this.
    pub fn parts_containing(&self, marker: &str) -> impl Iterator<Item = &Part> {
        self.conversations
            .values()
            .flat_map(|of| &of.parts)
            .filter(move |part| part.body.as_deref().is_some_and(|body| body.contains(marker)))
    }

    fn teammate_does(
        &mut self,
        kind: &'static str,
        conversation: u64,
        body: Option<&str>,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let author = self.admins.get(&self.teammate)?.author();
        self.add_part(conversation, NewPart::new(kind, body, author, false), cx)
    }
}

//! One conversation, with who it is from. The contact and its companies are asked for once and remembered for a while;
//! what cannot be had does not keep the conversation back.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::Intercom;
use super::client::{Told, server_time};
use super::types::{CONVERSATION, enrich, first_contact, gone, id, is_id, record};
use crate::fault::Fault;
use crate::http::{Answer, Call};
use crate::{Clock, Record};

/// Somebody may belong to a thousand; the first few say who they are.
const MOST_COMPANIES: usize = 5;

/// A conversation as it was at this second of Intercom's clock.
#[derive(Debug)]
pub(super) struct Retrieved {
    pub(super) record: Record,
    pub(super) at: i64,
}

/// Contacts or companies by id; `None`: not there, or not for us to see.
#[derive(Default)]
pub(super) struct Remembered {
    known: Mutex<BTreeMap<String, (Duration, Option<Value>)>>,
}

impl Remembered {
    const KEEP: Duration = Duration::from_secs(900);
    const MOST: usize = 2000;

    #[expect(clippy::option_option, reason = "known to be absent is not the same as unknown")]
    fn get(&self, clock: &dyn Clock, id: &str) -> Option<Option<Value>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, who) = known.get(id)?;
        (clock.monotonic().saturating_sub(*since) <= Self::KEEP).then(|| who.clone())
    }

    fn put(&self, clock: &dyn Clock, id: &str, who: Option<Value>) {
        let now = clock.monotonic();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::MOST {
            known.retain(|_, (since, _)| now.saturating_sub(*since) <= Self::KEEP);
        }
        if known.len() >= Self::MOST {
            known.clear();
        }
        known.insert(id.to_owned(), (now, who));
    }
}

impl Intercom {
    /// A conversation with its parts in plain text. `contact` is who the search said it is from; with `lenient`, a
    /// contact that cannot be had now is done without.
    pub(super) async fn conversation(
        &self,
        id: &str,
        contact: Option<&str>,
        lenient: bool,
    ) -> Result<Retrieved, Fault> {
        let (at, conversation) = match self.halves.take(self.client.clock(), id) {
            Some(half) => half,
            None => {
                if let (Some(contact), false) = (contact, lenient) {
                    self.customer(contact).await?;
                }
                match self
                    .client
                    .read(Call::get(format!("/conversations/{id}")).query("display_as", "plaintext"))
                    .await?
                {
                    Told::Here(answer) => (self.time_of(&answer), answer.json::<Value>()?),
                    Told::Missing(_) => return Ok(Retrieved { record: gone(CONVERSATION, id), at: 0 }),
                }
            }
        };
        if !conversation.is_object() {
            return Err(Fault::unknown("Intercom answered with something that is no conversation"));
        }
        let contact = match first_contact(&conversation).and_then(|contact| super::types::id(&contact["id"])) {
            None => None,
            Some(contact) => match self.customer(&contact).await {
                Ok(contact) => contact,
                Err(_) if lenient => None,
                Err(fault) => {
                    // It is paid for: the next attempt goes on from here.
                    self.halves.put(self.client.clock(), id, (at, conversation));
                    return Err(fault);
                }
            },
        };
        let url =
            self.bound().app_id.map(|app| format!("{}/a/apps/{app}/conversations/{id}", self.settings.app_host()));
        Ok(Retrieved { record: Record { url, ..record(CONVERSATION, id, enrich(conversation, contact.as_ref())) }, at })
    }

    /// Who somebody is, with their companies by name: a contact only refers to them (OpenAPI 2.16, read 2026-11-23).
    pub(super) async fn customer(&self, contact: &str) -> Result<Option<Value>, Fault> {
        let Some(mut contact) = self.contact(contact).await? else { return Ok(None) };
        let companies = contact["companies"]["data"].as_array_mut().map_or(&mut [][..], Vec::as_mut_slice);
        for company in companies.iter_mut().take(MOST_COMPANIES) {
            let bare = company["company_id"].is_null() && company["name"].is_null();
            let Some(id) = id(&company["id"]).filter(|_| bare) else { continue };
            if let (Some(known), Some(fields)) = (self.known_company(&id).await?, company.as_object_mut()) {
                fields.extend(["company_id", "name"].map(|field| (field.to_owned(), known[field].clone())));
            }
        }
        Ok(Some(contact))
    }

    async fn known_company(&self, company: &str) -> Result<Option<Value>, Fault> {
        if let Some(known) = self.companies.get(self.client.clock(), company) {
            return Ok(known);
        }
        let found = match self.fetch_company(company).await {
            Err(fault @ (Fault::Locked { .. } | Fault::Rejected { .. })) => {
                tracing::warn!(%fault, "conversations come without their company's name");
                self.note("companies cannot be read (permission \"Read one user and one company\"): customers are recognised by email domain");
                None
            }
            answer => answer?.body,
        };
        self.companies.put(self.client.clock(), company, found.clone());
        Ok(found)
    }

    /// Who somebody is: remembered, or asked for.
    pub(super) async fn contact(&self, contact: &str) -> Result<Option<Value>, Fault> {
        match self.contacts.get(self.client.clock(), contact) {
            Some(known) => Ok(known),
            None => match self.contact_anew(contact).await {
                Err(fault @ (Fault::Locked { .. } | Fault::Rejected { .. })) => {
                    tracing::warn!(%fault, "conversations come without their contact's details");
                    self.note("contacts cannot be read (permission \"Read one user and one company\"): customers are recognised by what a conversation itself says");
                    self.contacts.put(self.client.clock(), contact, None);
                    Ok(None)
                }
                answer => answer,
            },
        }
    }

    /// Asks, following a merge once (410 with the canonical contact's place; OpenAPI 2.16, read 2026-11-23).
    pub(super) async fn contact_anew(&self, contact: &str) -> Result<Option<Value>, Fault> {
        if !is_id(contact) {
            return Ok(None);
        }
        let mut told = self.client.read(Call::get(format!("/contacts/{contact}"))).await?;
        if let Told::Missing(Some(into)) = &told {
            told = self.client.read(Call::get(format!("/contacts/{into}"))).await?;
        }
        let found = match told {
            Told::Here(answer) => Some(answer.json::<Value>()?).filter(|contact| id(&contact["id"]).is_some()),
            Told::Missing(_) => None,
        };
        self.contacts.put(self.client.clock(), contact, found.clone());
        Ok(found)
    }

    /// The second at which Intercom answered; by our own clock five seconds less, in case it is ahead.
    fn time_of(&self, answer: &Answer) -> i64 {
        server_time(answer).map_or_else(|| self.client.clock().now().timestamp() - 5, |at| at.timestamp())
    }
}

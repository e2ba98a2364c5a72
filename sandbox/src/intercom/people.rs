//! `/contacts…`, `/data_attributes`, `/tags`.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::Intercom;
use super::conversations::number;
use super::errors::{Answer, bad, missing, no_company, no_such_page, no_user, ok, refuse};
use super::model::{Company, Contact};
use super::page::Cursor;
use super::route::Call;
use super::search::{Field, Query};
use super::show::View;
use crate::world::Context;

const CONTACTS_PER_PAGE: u64 = 50;
/// From this version on a contact's dates are compared to the second.
const EXACT_DATES: u32 = 17;
const HEX: &str = "0123456789abcdef";

impl Intercom {
    pub(super) fn contact_route(&mut self, rest: &[&str], call: &Call, cx: &mut Context<'_>) -> Answer {
        let view = View { version: call.version, plain: false };
        match (&call.method, rest) {
            (&Method::GET, []) => {
                let pagination =
                    json!({"per_page": call.get("per_page"), "starting_after": call.get("starting_after")});
                self.answer_contacts(
                    self.contacts.values().collect(),
                    &Cursor::read(&pagination, CONTACTS_PER_PAGE)?,
                    view,
                )
            }
            (&Method::POST, []) => {
                let contact = self.read_contact(None, &call.object()?, cx)?;
                let id = self.put_contact(contact, cx);
                ok(&self.contacts.get(&id).map(|contact| self.show_contact(contact, view)).unwrap_or_default())
            }
            (&Method::POST, ["search"]) => self.search_contacts(call, view),
            (&Method::GET, ["find_by_external_id", external]) => {
                let found = self.contacts.values().find(|contact| contact.external_id.as_deref() == Some(external));
                ok(&self.show_contact(found.ok_or_else(no_user)?, view))
            }
            (method, [id, rest @ ..]) => {
                let contact = self.contacts.get(*id).ok_or_else(no_user)?;
                match (method, rest) {
                    (&Method::GET, []) => ok(&self.show_contact(contact, view)),
                    (&Method::PUT, []) => {
                        let changed = self.read_contact(Some(contact.clone()), &call.object()?, cx)?;
                        let id = self.put_contact(changed, cx);
                        ok(&self.contacts.get(&id).map(|contact| self.show_contact(contact, view)).unwrap_or_default())
                    }
                    (&Method::DELETE, []) => self.remove_contact(id, cx),
                    (&Method::GET, ["companies"]) => {
                        let companies: Vec<&Company> =
                            contact.companies.iter().filter_map(|id| self.companies.get(id)).collect();
                        self.answer_companies(
                            companies,
                            usize::try_from(CONTACTS_PER_PAGE).unwrap_or(50),
                            &format!("/contacts/{id}/companies"),
                            call,
                            cx,
                        )
                    }
                    (&Method::POST, ["companies"]) => {
                        let body = call.object()?;
                        let company = body.get("id").and_then(Value::as_str).ok_or_else(|| missing("company"))?;
                        self.attach(id, company, cx).ok_or_else(no_company)?;
                        ok(&self.companies.get(company).map(|company| self.show_company(company)).unwrap_or_default())
                    }
                    _ => Err(no_such_page()),
                }
            }
            _ => Err(no_such_page()),
        }
    }

    fn search_contacts(&self, call: &Call, view: View) -> Answer {
        let body = call.object()?;
        let query = Query::read(body.get("query").ok_or_else(|| missing("query"))?)?;
        if let Some(order) = body.get("sort").and_then(|sort| sort.get("order")).and_then(Value::as_str)
            && !matches!(order, "ascending" | "descending")
        {
            let message = format!("Invalid sort order '{order}'. Must be one of: ascending, descending");
            return Err(refuse(StatusCode::BAD_REQUEST, "invalid_sort_order", &message));
        }
        let cursor = Cursor::read(body.get("pagination").unwrap_or(&Value::Null), CONTACTS_PER_PAGE)?;
        let days = call.version < EXACT_DATES;
        query.matches(&|name| look(None, name), days)?;
        let mut found = Vec::new();
        for contact in self.contacts.values() {
            if query.matches(&|name| look(Some(contact), name), days)? {
                found.push(contact);
            }
        }
        self.answer_contacts(found, &cursor, view)
    }

    fn answer_contacts(&self, found: Vec<&Contact>, cursor: &Cursor, view: View) -> Answer {
        let total = found.len();
        let (items, pages) = cursor.cut(found, |contact| (contact.updated_at, contact.id.clone()));
        let items: Vec<Value> = items.into_iter().map(|contact| self.show_contact(contact, view)).collect();
        ok(&json!({"type": "list", "data": items, "total_count": total, "pages": pages}))
    }

    fn read_contact(
        &self,
        old: Option<Contact>,
        body: &Map<String, Value>,
        cx: &mut Context<'_>,
    ) -> Result<Contact, Response<Bytes>> {
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let (email, external_id) = (text("email"), text("external_id"));
        if old.is_none() && email.is_none() && external_id.is_none() {
            return Err(bad("Either an email, external_id or role must be specified"));
        }
        let own = old.as_ref().map(|old| old.id.as_str());
        let same = self.contacts.values().find(|contact| {
            Some(contact.id.as_str()) != own
                && ((email.is_some() && contact.email == email)
                    || (external_id.is_some() && contact.external_id == external_id))
        });
        if let Some(same) = same {
            let message = format!("A contact matching those details already exists with id={}", same.id);
            return Err(refuse(StatusCode::CONFLICT, "conflict", &message));
        }
        let now = cx.now.timestamp();
        let mut contact = old.unwrap_or_else(|| Contact {
            id: cx.rng.text(HEX, 24),
            external_id: None,
            role: "user".to_owned(),
            email: None,
            name: None,
            companies: Vec::new(),
            custom_attributes: Map::new(),
            created_at: now,
            updated_at: now,
        });
        contact.email = email.or(contact.email);
        contact.external_id = external_id.or(contact.external_id);
        contact.name = text("name").or(contact.name);
        contact.role = text("role").unwrap_or(contact.role);
        if let Some(Value::Object(attributes)) = body.get("custom_attributes") {
            contact.custom_attributes.extend(attributes.clone());
        }
        contact.updated_at = now;
        Ok(contact)
    }

    /// The workspace's own attributes, read off what contacts and companies carry.
    pub(super) fn attribute_route(&self, call: &Call) -> Answer {
        let model = call.get("model");
        match model.as_deref() {
            None | Some("contact" | "company") => {}
            Some("conversation") => {
                let message = "model=conversation is no longer supported. Use GET /conversations/attributes instead";
                return Err(refuse(StatusCode::UNPROCESSABLE_ENTITY, "parameter_invalid", message));
            }
            Some(_) => return Err(bad("model is invalid")),
        }
        let mut data = Vec::new();
        let standard = [
            ("contact", "email"),
            ("contact", "name"),
            ("company", "name"),
            ("company", "company_id"),
            ("company", "website"),
            ("company", "monthly_spend"),
            ("company", "plan"),
        ];
        let contacts = self.contacts.values().map(|contact| ("contact", &contact.custom_attributes));
        let companies = self.companies.values().map(|company| ("company", &company.custom_attributes));
        let mut custom = std::collections::BTreeMap::new();
        for (of, attributes) in contacts.chain(companies) {
            for (key, value) in attributes {
                custom.entry((of, key.as_str())).or_insert(value);
            }
        }
        for (of, name) in standard {
            let kind = if name == "monthly_spend" { "integer" } else { "string" };
            data.push(json!({"type": "data_attribute", "model": of, "name": name, "full_name": name, "label": name, "data_type": kind, "api_writable": true, "ui_writable": false, "messenger_writable": false, "custom": false, "archived": false}));
        }
        for (number, ((of, name), value)) in custom.into_iter().enumerate() {
            let kind = match value {
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_f64() => "float",
                Value::Number(_) => "integer",
                _ => "string",
            };
            data.push(json!({"type": "data_attribute", "id": number + 1, "model": of, "name": name, "full_name": format!("custom_attributes.{name}"), "label": name, "data_type": kind, "api_writable": true, "ui_writable": true, "messenger_writable": false, "custom": true, "archived": false}));
        }
        data.retain(|attribute| model.is_none() || attribute.get("model").and_then(Value::as_str) == model.as_deref());
        ok(&json!({"type": "list", "data": data}))
    }

    pub(super) fn tag_route(&mut self, rest: &[&str], call: &Call) -> Answer {
        match (&call.method, rest) {
            (&Method::GET, []) => ok(
                &json!({"type": "list", "data": self.tags.keys().filter_map(|id| self.show_tag(*id)).collect::<Vec<_>>()}),
            ),
            (&Method::GET, [id]) => {
                let shown = id.parse().ok().and_then(|id| self.show_tag(id));
                ok(&shown.ok_or_else(|| refuse(StatusCode::NOT_FOUND, "not_found", "Resource Not Found"))?)
            }
            (&Method::POST, []) => {
                let body = call.object()?;
                let name = body
                    .get("name")
                    .and_then(Value::as_str)
                    .filter(|name| !name.is_empty())
                    .ok_or_else(|| bad("invalid tag parameters"))?;
                let id = match body.get("id").and_then(number) {
                    Some(id) if self.tags.contains_key(&id) => {
                        self.tags.insert(id, name.to_owned());
                        id
                    }
                    _ => self.tag_named(name),
                };
                ok(&self.show_tag(id).unwrap_or_default())
            }
            _ => Err(no_such_page()),
        }
    }
}

fn look(of: Option<&Contact>, name: &str) -> Option<Field> {
    let texts = |get: &dyn Fn(&Contact) -> Option<String>| Field::Texts(of.and_then(get).into_iter().collect());
    Some(match name {
        "id" => texts(&|of| Some(of.id.clone())),
        "external_id" => texts(&|of| of.external_id.clone()),
        "email" => texts(&|of| of.email.clone()),
        "email_domain" => texts(&|of| of.email.as_ref()?.split_once('@').map(|(_, domain)| domain.to_owned())),
        "name" => texts(&|of| of.name.clone()),
        "role" => texts(&|of| Some(of.role.clone())),
        "created_at" | "signed_up_at" => Field::Time(of.map(|of| of.created_at)),
        "updated_at" => Field::Time(of.map(|of| of.updated_at)),
        _ => {
            let key = name.strip_prefix("custom_attributes.")?;
            texts(&|of| {
                of.custom_attributes
                    .get(key)
                    .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
        }
    })
}

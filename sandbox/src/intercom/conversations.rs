//! `/conversations…`.

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Map, Value, json};

use super::Intercom;
use super::change::NewPart;
use super::errors::{Answer, bad, missing, no_conversation, no_such_page, no_user, ok, refuse};
use super::model::{Admin, Conversation, State};
use super::page::{Cursor, Numbered};
use super::route::Call;
use super::search::{Field, Query};
use super::show::{Parts, View};
use super::text::plain;
use crate::world::Context;

const PER_PAGE: u64 = 20;
const MOST_ATTACHMENTS: usize = 10;
/// `GET /conversations/deleted` came with this version.
const KNOWS_DELETED: u32 = 16;

impl Intercom {
    pub(super) fn conversation_route(&mut self, rest: &[&str], call: &Call, cx: &mut Context<'_>) -> Answer {
        match (&call.method, rest) {
            (&Method::GET, []) => {
                let pagination =
                    json!({"per_page": call.get("per_page"), "starting_after": call.get("starting_after")});
                self.answer_list(self.conversations.values().collect(), &Cursor::read(&pagination, PER_PAGE)?, call)
            }
            (&Method::POST, []) => self.create_conversation(call, cx),
            (&Method::POST, ["search"]) => self.search_conversations(call),
            (&Method::GET, ["deleted"]) => self.list_deleted(call, cx),
            (&Method::POST, ["last", "reply"]) => self.reply(None, call, cx),
            (method, [id, rest @ ..]) => {
                let id =
                    id.parse().ok().filter(|id| self.conversations.contains_key(id)).ok_or_else(no_conversation)?;
                match (method, rest) {
                    (&Method::GET, []) => self.one(id, call),
                    (&Method::PUT, []) => self.update_conversation(id, call, cx),
                    (&Method::DELETE, []) => {
                        self.remove_conversation(id, cx);
                        ok(&json!({"id": id.to_string(), "object": "conversation", "deleted": true}))
                    }
                    (&Method::POST, ["reply"]) => self.reply(Some(id), call, cx),
                    (&Method::POST, ["parts"]) => self.manage(id, call, cx),
                    (&Method::POST, ["tags"]) => {
                        let body = call.object()?;
                        let admin = self.admin_of(&body)?.id;
                        let tag = body.get("id").and_then(number).ok_or_else(|| missing("id"))?;
                        let found = self.tags.contains_key(&tag);
                        found
                            .then_some(())
                            .ok_or_else(|| refuse(http::StatusCode::NOT_FOUND, "not_found", "Resource Not Found"))?;
                        self.tag_conversation(id, tag, admin, cx);
                        ok(&self.show_applied_tag((tag, cx.now.timestamp(), admin)).unwrap_or_default())
                    }
                    (&Method::DELETE, ["tags", tag]) => {
                        let tag: u64 = tag.parse().map_err(|_| no_conversation())?;
                        self.admin_of(&call.object()?)?;
                        self.untag_conversation(id, tag, cx).ok_or_else(no_conversation)?;
                        ok(&self.show_tag(tag).unwrap_or_default())
                    }
                    _ => Err(no_such_page()),
                }
            }
            _ => Err(no_such_page()),
        }
    }

    fn one(&self, id: u64, call: &Call) -> Answer {
        let of = self.conversations.get(&id).ok_or_else(no_conversation)?;
        let view = View { version: call.version, plain: call.get("display_as").as_deref() == Some("plaintext") };
        ok(&self.show_conversation(of, Parts::All, view))
    }

    fn search_conversations(&self, call: &Call) -> Answer {
        let body = call.object()?;
        let query = Query::read(body.get("query").ok_or_else(|| missing("query"))?)?;
        let cursor = Cursor::read(body.get("pagination").unwrap_or(&Value::Null), PER_PAGE)?;
        // A wrong field is wrong also where there is nothing to search.
        query.matches(&|name| look(None, name), false)?;
        let mut found = Vec::new();
        for of in self.conversations.values() {
            if query.matches(&|name| look(Some(of), name), false)? {
                found.push(of);
            }
        }
        self.answer_list(found, &cursor, call)
    }

    fn answer_list(&self, found: Vec<&Conversation>, cursor: &Cursor, call: &Call) -> Answer {
        let total = found.len();
        // Ids are shown without padding; the cursor needs them in order.
        let (items, pages) = cursor.cut(found, |of| (of.updated_at, format!("{:020}", of.id)));
        let view = View { version: call.version, plain: false };
        let items: Vec<Value> = items.into_iter().map(|of| self.show_conversation(of, Parts::None, view)).collect();
        ok(&json!({"type": "conversation.list", "pages": pages, "total_count": total, "conversations": items}))
    }

    fn list_deleted(&self, call: &Call, cx: &Context<'_>) -> Answer {
        if call.version < KNOWS_DELETED {
            return Err(refuse(
                http::StatusCode::BAD_REQUEST,
                "intercom_version_invalid",
                "Requested resource is not available in current API version.",
            ));
        }
        let numbered = Numbered::read(|key| call.get(key), usize::try_from(PER_PAGE).unwrap_or(20))?;
        let mut all = self.deleted.clone();
        let order = call.get("order").unwrap_or_else(|| "desc".to_owned());
        if order == "desc" {
            all.reverse();
        }
        let total = all.len();
        let per_page = numbered.per_page;
        let (items, pages) = numbered.cut(all, |page| {
            format!("{}/conversations/deleted?per_page={per_page}&order={order}&page={page}", cx.base)
        });
        let items: Vec<Value> =
            items.into_iter().map(|(id, at)| json!({"type": "conversation", "id": id.to_string(), "metrics_retained": true, "deleted_at": at})).collect();
        ok(&json!({"type": "conversations.list", "conversations": items, "total_count": total, "pages": pages}))
    }

    fn create_conversation(&mut self, call: &Call, cx: &mut Context<'_>) -> Answer {
        let body = call.object()?;
        let from =
            body.get("from").and_then(|from| from.get("id")).and_then(Value::as_str).ok_or_else(|| missing("from"))?;
        let text =
            body.get("body").and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or_else(|| missing("body"))?;
        let contact = self.contacts.get(from).map(|contact| contact.id.clone()).ok_or_else(no_user)?;
        let subject = body.get("subject").and_then(Value::as_str).unwrap_or_default();
        let created_at = body.get("created_at").and_then(Value::as_i64);
        let id = self.begin(&contact, subject, text, created_at, cx).ok_or_else(no_user)?;
        let source = self.conversations.get(&id).map_or(0, |of| of.source_id);
        ok(&json!({
            "type": "user_message", "id": source.to_string(), "created_at": created_at.unwrap_or(cx.now.timestamp()),
            "body": text, "message_type": "inapp", "conversation_id": id.to_string(),
        }))
    }

    /// `id: None` is the literal `last`: the contact's latest conversation.
    fn reply(&mut self, id: Option<u64>, call: &Call, cx: &mut Context<'_>) -> Answer {
        let body = call.object()?;
        let text = body.get("body").and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let attached = body
            .get("attachment_urls")
            .or_else(|| body.get("attachment_files"))
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        if attached > MOST_ATTACHMENTS {
            return Err(bad("attachment_urls must not contain more than 10 entries"));
        }
        let text = text.or((attached > 0).then_some("")).ok_or_else(|| missing("body"))?;
        let message = body.get("message_type").and_then(Value::as_str);
        let (kind, author, contact) = match (body.get("type").and_then(Value::as_str), message) {
            (Some("admin"), Some("comment")) => ("comment", self.admin_of(&body)?.author(), None),
            (Some("admin"), Some("note")) => ("note", self.admin_of(&body)?.author(), None),
            (Some("user"), Some("comment")) => {
                let contact = self.contact_of(&body)?;
                ("comment", self.contacts.get(&contact).ok_or_else(no_user)?.author(), Some(contact))
            }
            (Some("admin" | "user"), _) => return Err(bad("message_type is invalid")),
            _ => return Err(bad("type is invalid")),
        };
        let id = match (id, contact) {
            (Some(id), _) => id,
            (None, Some(contact)) => {
                let latest = self
                    .conversations
                    .values()
                    .filter(|of| of.contact == contact)
                    .max_by_key(|of| (of.updated_at, of.id));
                latest.map(|of| of.id).ok_or_else(no_conversation)?
            }
            (None, None) => return Err(no_conversation()),
        };
        let mut part = NewPart::new(kind, Some(text), author, true);
        part.created_at = body.get("created_at").and_then(Value::as_i64);
        self.add_part(id, part, cx).ok_or_else(no_conversation)?;
        self.one(id, call)
    }

    /// Close, open, snooze, assign.
    fn manage(&mut self, id: u64, call: &Call, cx: &mut Context<'_>) -> Answer {
        let body = call.object()?;
        let author = self.admin_of(&body)?.author();
        let text = body.get("body").and_then(Value::as_str);
        let typed = body.get("type").and_then(Value::as_str);
        let part = match body.get("message_type").and_then(Value::as_str) {
            Some("close") if typed != Some("admin") => return Err(bad("type must be admin")),
            Some("close") => NewPart::new("close", text, author, true),
            Some("open") => NewPart::new("open", None, author, true),
            Some("snoozed") => {
                let until =
                    body.get("snoozed_until").and_then(Value::as_i64).ok_or_else(|| missing("snoozed_until"))?;
                if until <= cx.now.timestamp() {
                    return Err(bad("snoozed_until must be in the future"));
                }
                NewPart { snoozed_until: Some(until), ..NewPart::new("snoozed", None, author, true) }
            }
            Some("assignment") => {
                let assignee = body.get("assignee_id").and_then(number).ok_or_else(|| missing("assignee_id"))?;
                if assignee != 0 && typed != Some("team") && !self.admins.contains_key(&assignee) {
                    return Err(refuse(http::StatusCode::NOT_FOUND, "assignee_not_found", "Assignee not found"));
                }
                NewPart {
                    assigned_to: Some(assignee).filter(|id| *id != 0),
                    ..NewPart::new("assignment", text, author, true)
                }
            }
            _ => return Err(bad("message_type is invalid")),
        };
        self.add_part(id, part, cx).ok_or_else(no_conversation)?;
        self.one(id, call)
    }

    fn update_conversation(&mut self, id: u64, call: &Call, cx: &mut Context<'_>) -> Answer {
        let body = call.object()?;
        let of = self.conversations.get_mut(&id).ok_or_else(no_conversation)?;
        if let Some(read) = body.get("read").and_then(Value::as_bool) {
            of.read = read;
        }
        if let Some(title) = body.get("title").and_then(Value::as_str) {
            of.title = Some(title.to_owned());
        }
        if let Some(Value::Object(attributes)) = body.get("custom_attributes") {
            of.custom_attributes.extend(attributes.clone());
        }
        of.updated_at = cx.now.timestamp();
        self.one(id, call)
    }

    fn admin_of(&self, body: &Map<String, Value>) -> Result<&Admin, Response<Bytes>> {
        let id = body.get("admin_id").and_then(number).ok_or_else(|| missing("admin_id"))?;
        self.admins.get(&id).ok_or_else(|| refuse(http::StatusCode::NOT_FOUND, "admin_not_found", "Admin not found"))
    }

    fn contact_of(&self, body: &Map<String, Value>) -> Result<String, Response<Bytes>> {
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let found = self.contacts.values().find(|contact| {
            text("intercom_user_id").is_some_and(|id| id == contact.id)
                || text("user_id").is_some_and(|id| Some(id) == contact.external_id.as_deref())
                || text("email")
                    .is_some_and(|email| contact.email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(email)))
        });
        found.map(|contact| contact.id.clone()).ok_or_else(no_user)
    }
}

/// What a search finds under a field's name. Without a conversation: whether there is such a field, and of which type.
fn look(of: Option<&Conversation>, name: &str) -> Option<Field> {
    let texts = |get: &dyn Fn(&Conversation) -> Option<String>| Field::Texts(of.and_then(get).into_iter().collect());
    let time = |get: &dyn Fn(&Conversation) -> Option<i64>| Field::Time(of.and_then(get));
    let id = |get: &dyn Fn(&Conversation) -> Option<u64>| Field::Number(of.map(|of| get(of).unwrap_or(0) as f64));
    Some(match name {
        "id" => texts(&|of| Some(of.id.to_string())),
        "created_at" => time(&|of| Some(of.created_at)),
        "updated_at" => time(&|of| Some(of.updated_at)),
        "waiting_since" => time(&|of| of.waiting_since),
        "snoozed_until" => time(&|of| of.snoozed_until),
        "state" => texts(&|of| Some(of.state.name().to_owned())),
        "open" => Field::Flag(of.is_some_and(|of| of.state != State::Closed)),
        "read" => Field::Flag(of.is_some_and(|of| of.read)),
        "title" => texts(&|of| of.title.clone()),
        "source.type" => texts(&|_| Some("conversation".to_owned())),
        "source.id" => texts(&|of| Some(of.source_id.to_string())),
        "source.subject" => texts(&|of| Some(plain(&of.subject))),
        // The body is searched word by word.
        "source.body" => Field::Texts(
            of.map(|of| plain(&of.body).split_whitespace().map(str::to_owned).collect()).unwrap_or_default(),
        ),
        "source.delivered_as" => texts(&|_| Some("customer_initiated".to_owned())),
        "source.author.id" => texts(&|of| Some(of.author.id.clone())),
        "source.author.type" => texts(&|of| Some(of.author.kind.clone())),
        "source.author.name" => texts(&|of| of.author.name.clone()),
        "source.author.email" => texts(&|of| of.author.email.clone()),
        "contact_ids" => texts(&|of| Some(of.contact.clone())),
        "teammate_ids" => Field::Texts(
            of.map(|of| {
                of.parts.iter().filter(|part| part.author.kind == "admin").map(|part| part.author.id.clone()).collect()
            })
            .unwrap_or_default(),
        ),
        "admin_assignee_id" => id(&|of| of.admin_assignee),
        "team_assignee_id" => id(&|of| of.team_assignee),
        "tag_ids" => {
            Field::Texts(of.map(|of| of.tags.iter().map(|(id, ..)| id.to_string()).collect()).unwrap_or_default())
        }
        "statistics.last_contact_reply_at" => time(&|of| {
            Some(
                of.parts
                    .iter()
                    .rev()
                    .find(|part| part.author.kind != "admin")
                    .map_or(of.created_at, |part| part.created_at),
            )
        }),
        _ => {
            let key = name.strip_prefix("custom_attribute.")?;
            texts(&|of| {
                of.custom_attributes
                    .get(key)
                    .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
        }
    })
}

/// Ids come as numbers and as strings.
pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

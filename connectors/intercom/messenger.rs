//! Answering: a reply that the customer sees, or a note that only the team sees, by an admin.
//!
//! Intercom has no idempotency key, so each message ends in a short reference, `[ref:loopd-ID]`, by which
//! [`Messenger::find`] recognises it among the newest parts (OpenAPI 2.16, read 2026-11-23).

use async_trait::async_trait;
use serde_json::{Value, json};

use super::Intercom;
use super::client::Told;
use super::types::{CONVERSATION, id, is_id, parts};
use crate::fault::Fault;
use crate::http::{Call, encode};
use crate::{Message, MessageKind, Messenger, Sent};

#[async_trait]
impl Messenger for Intercom {
    async fn send(&self, message: &Message) -> Result<Sent, Fault> {
        let conversation = thread(message)?;
        let admin = self.admin().await?;
        let marker = marker(&message.id);
        let kind = match message.kind {
            MessageKind::Reply => "comment",
            MessageKind::Note => "note",
        };
        let body = json!({
            "message_type": kind,
            "type": "admin",
            "admin_id": admin,
            "body": format!("{}<p>{marker}</p>", html(&message.body)),
        });
        match self.client.write(Call::post(format!("/conversations/{conversation}/reply"), body)).await? {
            // Sent it is; an answer that cannot be read costs only the part's id.
            Told::Here(answer) => {
                let told = answer.json::<Value>().unwrap_or_default();
                Ok(find_in(&told, &marker).unwrap_or(Sent { id: format!("{conversation}/{}", message.id), url: None }))
            }
            Told::Missing(_) => {
                Err(Fault::rejected(format!("conversation {conversation} is gone: nobody is there to answer")))
            }
        }
    }

    async fn find(&self, message: &Message) -> Result<Option<Sent>, Fault> {
        let conversation = thread(message)?;
        match self
            .client
            .read(Call::get(format!("/conversations/{conversation}")).query("display_as", "plaintext"))
            .await?
        {
            Told::Here(answer) => Ok(find_in(&answer.json()?, &marker(&message.id))),
            Told::Missing(_) => Ok(None),
        }
    }
}

fn thread(message: &Message) -> Result<&str, Fault> {
    let to = &message.to;
    if to.collection == CONVERSATION && is_id(&to.id) {
        return Ok(&to.id);
    }
    Err(Fault::rejected(format!("{} is not an Intercom conversation", to.id)))
}

fn find_in(conversation: &Value, marker: &str) -> Option<Sent> {
    let part = parts(conversation)
        .iter()
        .rev()
        .find(|part| part["body"].as_str().is_some_and(|body| body.contains(marker)))?;
    Some(Sent { id: id(&part["id"]).unwrap_or_default(), url: None })
}

pub(crate) fn marker(id: &str) -> String {
    format!("[ref:loopd-{}]", encode(id))
}

/// The little Markdown that messages use, as the little HTML that Intercom takes: paragraphs, line breaks, `**bold**` and
/// `[links](https://…)`. All else stays as it was written.
pub(crate) fn html(markdown: &str) -> String {
    let paragraphs = markdown.replace("\r\n", "\n");
    paragraphs
        .split("\n\n")
        .map(str::trim)
        .filter(|paragraph| !paragraph.is_empty())
        .map(|paragraph| format!("<p>{}</p>", inline(paragraph).replace('\n', "<br>")))
        .collect()
}

fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['[', '*']) {
        out.push_str(&escape(&rest[..at]));
        rest = &rest[at..];
        let taken = if rest.starts_with('[') { link(rest) } else { bold(rest) };
        match taken {
            Some((html, after)) => {
                out.push_str(&html);
                rest = after;
            }
            None => {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    out.push_str(&escape(rest));
    out
}

fn link(text: &str) -> Option<(String, &str)> {
    let (label, after) = text.strip_prefix('[')?.split_once("](")?;
    let (url, after) = after.split_once(')')?;
    let safe = (url.starts_with("https://") || url.starts_with("http://")) && !url.contains(char::is_whitespace);
    (safe && !label.contains(['[', '\n']))
        .then(|| (format!("<a href=\"{}\">{}</a>", escape(url), escape(label)), after))
}

fn bold(text: &str) -> Option<(String, &str)> {
    let (inner, after) = text.strip_prefix("**")?.split_once("**")?;
    (!inner.is_empty() && !inner.contains('\n')).then(|| (format!("<b>{}</b>", escape(inner)), after))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

//! Answering in the thread: a comment that ends in an invisible marker, `<!-- loopd:ID -->`, because GitHub has no
//! idempotency key (a repeated POST comments twice).

use async_trait::async_trait;
use serde_json::{Value, json};

use super::GitHub;
use super::client::{Met, Weight};
use super::types::{comment_id, text, whole};
use crate::fault::Fault;
use crate::http::{Call, encode};
use crate::{Message, MessageKind, Messenger, Sent};

/// The longest comment that GitHub takes, in characters (422 "body is too long", read 2026-11-23).
pub(crate) const LONGEST: usize = 65_536;

#[async_trait]
impl Messenger for GitHub {
    async fn send(&self, message: &Message) -> Result<Sent, Fault> {
        let (handle, number) = self.thread(message)?;
        let body = json!({ "body": compose(&message.body, &marker(&message.id)) });
        let met = self.client.write_in(&handle, Weight::Loud, |repo| {
            Call::post(format!("{repo}/issues/{number}/comments"), body.clone())
        });
        match met.await? {
            Met::Here(answer) => Ok(sent(&handle, &answer.json()?)),
            Met::Gone => {
                Err(Fault::rejected(format!("{} is gone, or the credential may not comment there", message.to.id)))
            }
            Met::Unchanged => Err(Fault::unknown("GitHub answered 304 to a write")),
        }
    }

    async fn find(&self, message: &Message) -> Result<Option<Sent>, Fault> {
        let (handle, number) = self.thread(message)?;
        let comments = self.all(&handle, &format!("issues/{number}/comments")).await?.unwrap_or_default();
        let marker = marker(&message.id);
        let found =
            comments.iter().rev().find(|comment| comment["body"].as_str().is_some_and(|body| body.contains(&marker)));
        Ok(found.map(|comment| sent(&handle, comment)))
    }
}

impl GitHub {
    fn thread(&self, message: &Message) -> Result<(String, u64), Fault> {
        if message.kind == MessageKind::Note {
            return Err(Fault::rejected("GitHub issues have no notes that only the team sees"));
        }
        self.issue_of(&message.to.id)
            .ok_or_else(|| Fault::rejected(format!("{} is not an issue of a configured repository", message.to.id)))
    }
}

fn sent(handle: &str, comment: &Value) -> Sent {
    let id = whole(&comment["id"]).map(|id| comment_id(handle, id));
    Sent { id: id.unwrap_or_default(), url: text(&comment["html_url"]) }
}

/// Percent-encoded, so that no id can end the comment early.
pub(crate) fn marker(id: &str) -> String {
    format!("<!-- loopd:{} -->", encode(id).replace("--", "-%2D"))
}

/// The body with its marker, cut to what GitHub takes; a cut says so.
pub(crate) fn compose(body: &str, marker: &str) -> String {
    let whole = body.chars().count();
    let tail = format!("\n\n{marker}");
    if whole + tail.chars().count() <= LONGEST {
        return format!("{body}{tail}");
    }
    let tail = format!("\n\n(cut here; the whole text has {whole} characters){tail}");
    let kept: String = body.chars().take(LONGEST - tail.chars().count()).collect();
    format!("{kept}{tail}")
}

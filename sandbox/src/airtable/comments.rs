//! Comments of a record (Airtable docs "create-comment", "list-comments", read 2026-11-23). They carry no key, so a repeated
//! post doubles them, and they do not change the record's last-modified time.

use serde_json::{Map, Value, json};

use super::model::{Base, Comment, Row, mint, stamp};
use super::refusal::{Answer, Refusal};
use super::render;
use crate::world::Context;

const PAGE: usize = 100;

fn row<'b>(base: &'b mut Base, table: &str, row: &str) -> Answer<&'b mut Row> {
    let at = base.at(table).ok_or_else(Refusal::no_model)?;
    base.tables[at].rows.get_mut(row).ok_or_else(Refusal::not_found)
}

fn text(body: &Map<String, Value>) -> Answer<String> {
    let text = body.get("text").and_then(Value::as_str).filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| Refusal::missing("text is required"))
}

impl Comment {
    fn describe(&self) -> Value {
        let mut out = json!({
            "id": self.id,
            "author": self.author,
            "text": self.text,
            "createdTime": stamp(self.created),
            "lastUpdatedTime": self.edited.map(stamp),
        });
        if let Some(parent) = &self.parent {
            out["parentCommentId"] = json!(parent);
        }
        out
    }
}

/// Newest first, by pages whose offset is the next comment's id.
pub(super) fn list(base: &mut Base, table: &str, id: &str, asked: &Map<String, Value>) -> Answer {
    let row = row(base, table, id)?;
    let size = asked
        .get("pageSize")
        .and_then(Value::as_u64)
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(PAGE)
        .clamp(1, PAGE);
    let mut rest = row.comments.iter().rev().peekable();
    if let Some(offset) = asked.get("offset").and_then(Value::as_str) {
        while rest.peek().is_some_and(|c| c.id != offset) {
            rest.next();
        }
    }
    let page: Vec<Value> = rest.by_ref().take(size).map(Comment::describe).collect();
    Ok(json!({"comments": page, "offset": rest.next().map(|c| c.id.clone())}))
}

pub(super) fn create(
    base: &mut Base,
    table: &str,
    id: &str,
    body: &Map<String, Value>,
    cx: &mut Context<'_>,
) -> Answer {
    let text = text(body)?;
    let row = row(base, table, id)?;
    let parent = body.get("parentCommentId").and_then(Value::as_str).map(str::to_owned);
    if parent.as_ref().is_some_and(|parent| !row.comments.iter().any(|c| c.id == *parent)) {
        return Err(Refusal::not_found());
    }
    let [author, _] = render::people();
    let comment = Comment { id: mint(cx.rng, "com"), text, parent, author, created: cx.now, edited: None };
    let out = comment.describe();
    row.comments.push(comment);
    Ok(out)
}

pub(super) fn update(
    base: &mut Base,
    table: &str,
    id: &str,
    comment: &str,
    body: &Map<String, Value>,
    cx: &Context<'_>,
) -> Answer {
    let text = text(body)?;
    let comment = row(base, table, id)?.comments.iter_mut().find(|c| c.id == comment).ok_or_else(Refusal::not_found)?;
    comment.text = text;
    comment.edited = Some(cx.now);
    Ok(comment.describe())
}

pub(super) fn delete(base: &mut Base, table: &str, id: &str, comment: &str) -> Answer {
    let row = row(base, table, id)?;
    let before = row.comments.len();
    row.comments.retain(|c| c.id != comment);
    if row.comments.len() == before {
        return Err(Refusal::not_found());
    }
    Ok(json!({"id": comment, "deleted": true}))
}

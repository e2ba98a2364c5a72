//! Comments on pages.

use serde_json::{Value, json};

use super::model::{Capability, Comment, stamp};
use super::refusal::{Answer, Refusal};
use super::{Asked, Notion, paged, users, values};
use crate::world::Context;

impl Notion {
    pub(super) fn create_comment(&mut self, asked: &Asked, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::Comments)?;
        let text = asked.body.get("rich_text").ok_or_else(|| Refusal::undefined("rich_text"))?;
        let text = json!(values::rich_text(text, "rich_text")?);
        let thread = asked.body.get("discussion_id").and_then(Value::as_str);
        let (page, discussion) = match thread {
            Some(id) => {
                let first = self.comments.iter().find(|comment| comment.discussion == id);
                let first = first.ok_or_else(|| Refusal::not_found("discussion", id))?;
                (first.page.clone(), id.to_owned())
            }
            None => {
                let parent = asked.body.get("parent").and_then(|parent| parent["page_id"].as_str());
                let page = self.page(parent.ok_or_else(|| Refusal::undefined("parent.page_id"))?)?;
                (page.id.clone(), cx.rng.uuid())
            }
        };
        let stamps = self.stamps(cx.now, &asked.token.user);
        let comment = Comment { id: cx.rng.uuid(), discussion, page, text, stamps };
        let shown = show(&comment);
        self.comments.push(comment);
        Ok(shown)
    }

    pub(super) fn list_comments(&self, asked: &Asked) -> Answer {
        asked.must(Capability::Comments)?;
        let (cursor, size) = asked.page()?;
        let Some(id) = asked.param("block_id") else {
            return Err(Refusal::invalid(
                "query failed validation: query.block_id should be defined, instead was `undefined`.",
            ));
        };
        let page = self.page(id)?;
        let rows = self.comments.iter().filter(|comment| comment.page == page.id).map(show).collect();
        paged(rows, cursor.as_deref(), size, "comment")
    }
}

fn show(comment: &Comment) -> Value {
    json!({
        "object": "comment", "id": comment.id,
        "parent": { "type": "page_id", "page_id": comment.page },
        "discussion_id": comment.discussion, "rich_text": comment.text,
        "created_time": stamp(comment.stamps.created), "last_edited_time": stamp(comment.stamps.edited),
        "created_by": users::partial(&comment.stamps.created_by),
        "display_name": { "type": "integration", "resolved_name": "loopd" },
    })
}

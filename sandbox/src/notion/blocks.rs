//! Blocks: what stands on a page, databases and pages among it.

use serde_json::{Value, json};

use super::model::{Block, Capability, Parent, plain};
use super::refusal::{Answer, Refusal};
use super::{Asked, Notion, hooks, paged, values};
use crate::world::Context;

impl Notion {
    /// Any child, as a block.
    fn as_block(&self, asked: &Asked, id: &str) -> Option<Value> {
        if let Some(block) = self.blocks.get(id) {
            return (!block.trashed).then(|| self.show_block(asked, block));
        }
        let (kind, title, stamps, parent) = match (self.databases.get(id), self.pages.get(id)) {
            (Some(database), _) if !database.trashed => {
                ("child_database", plain(&database.title), &database.stamps, &database.parent)
            }
            (None, Some(page)) if !page.trashed => {
                ("child_page", page.values.get("title").map(plain).unwrap_or_default(), &page.stamps, &page.parent)
            }
            _ => return None,
        };
        let block = Block {
            id: id.to_owned(),
            kind: kind.to_owned(),
            content: json!({ "title": title }),
            parent: parent.clone(),
            children: self.pages.get(id).map(|page| page.children.clone()).unwrap_or_default(),
            trashed: false,
            stamps: stamps.clone(),
        };
        Some(self.show_block(asked, &block))
    }

    fn there(&self, id: &str) -> Answer<String> {
        let id = Self::id(id, "block_id")?;
        let known = self.blocks.get(&id).is_some_and(|block| !block.trashed)
            || self.pages.contains_key(&id)
            || self.databases.contains_key(&id);
        if known && self.is_shared(&id) { Ok(id) } else { Err(Refusal::not_found("block", &id)) }
    }

    pub(super) fn retrieve_block(&self, asked: &Asked, id: &str) -> Answer {
        asked.must(Capability::ReadContent)?;
        let id = self.there(id)?;
        self.as_block(asked, &id).ok_or_else(|| Refusal::not_found("block", &id))
    }

    pub(super) fn list_children(&self, asked: &Asked, id: &str) -> Answer {
        asked.must(Capability::ReadContent)?;
        let id = self.there(id)?;
        let (cursor, size) = asked.page()?;
        let children = match (self.blocks.get(&id), self.pages.get(&id)) {
            (Some(block), _) => block.children.clone(),
            (_, Some(page)) => page.children.clone(),
            _ => Vec::new(),
        };
        let rows = children.iter().filter_map(|child| self.as_block(asked, child)).collect();
        paged(rows, cursor.as_deref(), size, "block")
    }

    pub(super) fn append_children(&mut self, asked: &Asked, id: &str, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::InsertContent)?;
        let id = self.there(id)?;
        let children = match asked.body.get("children") {
            Some(Value::Array(children)) if children.len() <= 100 => children.clone(),
            Some(Value::Array(children)) => return Err(Refusal::too_long("children", 100, children.len())),
            Some(other) => return Err(Refusal::body("children", "an array", other)),
            None => return Err(Refusal::undefined("children")),
        };
        let position = asked.body.get("position").map(|position| &position["after_block"]["id"]);
        let after = position.or_else(|| asked.body.get("after")).and_then(Value::as_str).map(str::to_owned);
        let made = self.append(&id, &children, after.as_deref(), &asked.token.user, cx)?;
        if self.pages.contains_key(&id) {
            self.tell(&hooks::Event::page("page.content_updated", &id), &asked.token.user, cx);
        }
        let rows: Vec<Value> = made.iter().filter_map(|block| self.as_block(asked, block)).collect();
        paged(rows, None, 100, "block")
    }

    /// Puts blocks under a page or a block; says their ids.
    pub(super) fn append(
        &mut self,
        under: &str,
        children: &[Value],
        after: Option<&str>,
        by: &str,
        cx: &mut Context<'_>,
    ) -> Answer<Vec<String>> {
        let is_page = self.pages.contains_key(under);
        let mut blocks: Vec<(Block, Vec<Value>)> = Vec::new();
        for (at, child) in children.iter().enumerate() {
            let place = format!("children[{at}]");
            let kind = child["type"].as_str().map(str::to_owned).or_else(|| {
                child.as_object()?.keys().find(|key| !matches!(key.as_str(), "object" | "type" | "id")).cloned()
            });
            let kind = kind.ok_or_else(|| Refusal::undefined(&format!("{place}.type")))?;
            let mut content =
                child.get(&kind).cloned().ok_or_else(|| Refusal::undefined(&format!("{place}.{kind}")))?;
            if let Some(text) = content.get("rich_text") {
                content["rich_text"] = json!(values::rich_text(text, &format!("{place}.{kind}.rich_text"))?);
                if content.get("color").is_none() {
                    content["color"] = json!("default");
                }
            }
            let inner = content.as_object_mut().and_then(|content| content.remove("children"));
            let inner = inner.and_then(|inner| inner.as_array().cloned()).unwrap_or_default();
            let parent = if is_page { Parent::Page(under.to_owned()) } else { Parent::Block(under.to_owned()) };
            let block = Block {
                id: cx.rng.uuid(),
                kind,
                content,
                parent,
                children: Vec::new(),
                trashed: false,
                stamps: self.stamps(cx.now, by),
            };
            blocks.push((block, inner));
        }
        let ids: Vec<String> = blocks.iter().map(|(block, _)| block.id.clone()).collect();
        let siblings = match self.pages.get_mut(under) {
            Some(page) => Some(&mut page.children),
            None => self.blocks.get_mut(under).map(|block| &mut block.children),
        };
        if let Some(siblings) = siblings {
            let at =
                after.and_then(|after| siblings.iter().position(|id| id == after)).map_or(siblings.len(), |at| at + 1);
            siblings.splice(at..at, ids.iter().cloned());
        }
        for (block, inner) in blocks {
            let id = block.id.clone();
            self.blocks.insert(id.clone(), block);
            if !inner.is_empty() {
                self.append(&id, &inner, None, by, cx)?;
            }
        }
        Ok(ids)
    }

    pub(super) fn update_block(&mut self, asked: &Asked, id: &str, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::UpdateContent)?;
        let id = self.there(id)?;
        let Some(kind) = self.blocks.get(&id).map(|block| block.kind.clone()) else {
            return Err(Refusal::invalid("This block type cannot be updated here."));
        };
        let mut content = asked.body.get(&kind).cloned();
        if let Some(content) = &mut content
            && let Some(text) = content.get("rich_text")
        {
            content["rich_text"] = json!(values::rich_text(text, &format!("{kind}.rich_text"))?);
        }
        if let Some(block) = self.blocks.get_mut(&id) {
            for (name, value) in content.as_ref().and_then(Value::as_object).into_iter().flatten() {
                block.content[name] = value.clone();
            }
            let flag = |name: &str| asked.body.get(name).and_then(Value::as_bool);
            block.trashed = flag("in_trash").or_else(|| flag("archived")).unwrap_or(block.trashed);
            block.stamps.touch(cx.now, &asked.token.user);
        }
        self.blocks.get(&id).map(|block| self.show_block(asked, block)).ok_or_else(|| Refusal::not_found("block", &id))
    }

    pub(super) fn delete_block(&mut self, asked: &Asked, id: &str, cx: &mut Context<'_>) -> Answer {
        asked.must(Capability::UpdateContent)?;
        let id = self.there(id)?;
        if let Some(block) = self.blocks.get_mut(&id) {
            block.trashed = true;
            let block = block.clone();
            return Ok(self.show_block(asked, &block));
        }
        let shown = self.as_block(asked, &id).ok_or_else(|| Refusal::not_found("block", &id))?;
        if self.pages.contains_key(&id) {
            self.trash_page(&id, true, &asked.token.user, cx);
        } else if let Some(database) = self.databases.get_mut(&id) {
            database.trashed = true;
            self.follow_trash(&id);
        }
        let mut shown = shown;
        shown["in_trash"] = json!(true);
        Ok(shown)
    }
}

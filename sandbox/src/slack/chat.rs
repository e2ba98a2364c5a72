//! `chat.*` and `reactions.*`: what the app itself says and does.

use serde_json::{Value, json};

use super::args::Args;
use super::desk::HEX;
use super::model::{Message, Sort, Token};
use super::{Answer, Refusal, Slack, no};
use crate::world::Context;

/// Longer texts are cut, with a warning.
const LONGEST: usize = 40_000;
const MOST_BLOCKS: usize = 50;
/// What `markdown_text` holds at most.
const MOST_MARKDOWN: usize = 12_000;

impl Slack {
    /// Where a message is to be posted: an id, a name with its hash, or a user.
    fn target(&mut self, args: &Args, cx: &mut Context<'_>) -> Result<String, Refusal> {
        let Some(named) = args.text("channel") else { return no("channel_not_found") };
        if self.users.contains_key(&named) {
            return Ok(self.direct(&named, cx));
        }
        let name = named.trim_start_matches('#');
        let found =
            self.channels.iter().find(|(id, channel)| **id == named || channel.name == name && !name.is_empty());
        let Some((id, channel)) = found else { return no("channel_not_found") };
        if channel.archived {
            return no("is_archived");
        }
        match (channel.members.contains(&self.bot_user), channel.sort) {
            (true, _) => Ok(id.clone()),
            (false, Sort::Public) => no("not_in_channel"),
            (false, _) => no("channel_not_found"),
        }
    }

    /// The text and what hangs on it, within bounds.
    fn content(args: &Args) -> Result<(String, Option<Value>, Option<Value>), Refusal> {
        let blocks = args.json("blocks", "invalid_blocks_format")?;
        let attachments = args.json("attachments", "invalid_attachments")?;
        if let Some(blocks) = &blocks {
            match blocks.as_array() {
                None => return no("invalid_blocks_format"),
                Some(list) if list.len() > MOST_BLOCKS || list.iter().any(|block| !block["type"].is_string()) => {
                    return no("invalid_blocks");
                }
                Some(_) => {}
            }
            if blocks.to_string().chars().count() > 13_200 {
                return no("msg_blocks_too_long");
            }
        }
        let markdown = args.text("markdown_text");
        if markdown.as_ref().is_some_and(|text| text.chars().count() > MOST_MARKDOWN) {
            return no("msg_too_long");
        }
        if markdown.is_some() && (blocks.is_some() || args.text("text").is_some()) {
            return no("markdown_text_conflict");
        }
        let mut text = args.text("text").or(markdown).unwrap_or_default();
        if text.trim().is_empty() && blocks.is_none() && attachments.is_none() {
            return no("no_text");
        }
        if text.chars().count() > LONGEST {
            text = text.chars().take(LONGEST).collect();
            args.warnings.borrow_mut().push("message_truncated");
        }
        Ok((text, blocks, attachments))
    }

    pub(super) fn post_message(&mut self, token: &Token, args: &Args, cx: &mut Context<'_>) -> Answer {
        token.need("chat:write")?;
        let channel = self.target(args, cx)?;
        let (text, blocks, attachments) = Self::content(args)?;
        let metadata = args.json("metadata", "invalid_metadata_format")?;
        if let Some(metadata) = &metadata
            && !(metadata["event_type"].is_string() && metadata["event_payload"].is_object())
        {
            return no("invalid_metadata_schema");
        }
        let thread_ts = args.text("thread_ts");
        if let Some(root) = &thread_ts {
            match self.channels.get(&channel).and_then(|channel| channel.messages.get(root)) {
                None => return no("thread_not_found"),
                Some(root) if root.thread_ts.as_ref().is_some_and(|of| *of != root.ts) => {
                    return no("cannot_reply_to_message");
                }
                Some(_) => {}
            }
        }
        let message = Message {
            by_app: true,
            metadata,
            blocks,
            attachments,
            broadcast: args.flag("reply_broadcast") && thread_ts.is_some(),
            thread_ts,
            ..self.written(&self.bot_user.clone(), &text, cx)
        };
        let ts = self.put_message(&channel, message, cx);
        let kept = &self.channels[&channel];
        let shown = kept.messages.get(&ts).map(|message| self.show_message(kept, message, true));
        Ok(json!({ "channel": channel, "ts": ts, "message": shown }))
    }

    pub(super) fn post_ephemeral(&mut self, token: &Token, args: &Args, cx: &mut Context<'_>) -> Answer {
        token.need("chat:write")?;
        let channel = self.target(args, cx)?;
        Self::content(args)?;
        match args.text("user") {
            Some(user) if self.channels[&channel].members.contains(&user) => {
                Ok(json!({ "message_ts": self.next_ts(cx.now) }))
            }
            _ => no("user_not_in_channel"),
        }
    }

    /// A message of the app's own.
    fn own(&mut self, args: &Args, code: &'static str) -> Result<(String, String), Refusal> {
        let Some(channel) = args.text("channel") else { return no("channel_not_found") };
        let Some(kept) = self.channels.get(&channel) else { return no("channel_not_found") };
        let ts = args.text("ts").unwrap_or_default();
        match kept.messages.get(&ts) {
            None => no("message_not_found"),
            Some(message) if !message.by_app => no(code),
            Some(_) => Ok((channel, ts)),
        }
    }

    pub(super) fn update(&mut self, token: &Token, args: &Args, cx: &mut Context<'_>) -> Answer {
        token.need("chat:write")?;
        let (channel, ts) = self.own(args, "cant_update_message")?;
        let (text, blocks, _) = Self::content(args)?;
        if let Some(metadata) = args.json("metadata", "invalid_metadata_format")? {
            self.change(&channel, &ts, |message| message.metadata = Some(metadata));
        }
        if blocks.is_some() {
            self.change(&channel, &ts, |message| message.blocks = blocks);
        }
        self.edit(&channel, &ts, &text, cx);
        let kept = &self.channels[&channel];
        let shown = kept.messages.get(&ts).map(|message| self.show_message(kept, message, true));
        Ok(json!({ "channel": channel, "ts": ts, "text": text, "message": shown }))
    }

    pub(super) fn delete(&mut self, token: &Token, args: &Args, cx: &mut Context<'_>) -> Answer {
        token.need("chat:write")?;
        let (channel, ts) = self.own(args, "cant_delete_message")?;
        self.delete_message(&channel, &ts, cx);
        Ok(json!({ "channel": channel, "ts": ts }))
    }

    pub(super) fn permalink(&self, args: &Args) -> Answer {
        let (id, channel) = self.channel_of(args)?;
        let ts = args.text("message_ts").unwrap_or_default();
        let Some(message) = channel.messages.get(&ts) else { return no("message_not_found") };
        let mut link = format!("https://{}.slack.com/archives/{id}/p{}", self.team.domain, ts.replace('.', ""));
        if let Some(root) = message.thread_ts.as_ref().filter(|root| **root != ts) {
            link = format!("{link}?thread_ts={root}&cid={id}");
        }
        Ok(json!({ "channel": id, "permalink": link }))
    }

    pub(super) fn react_with(&mut self, token: &Token, args: &Args, add: bool, cx: &mut Context<'_>) -> Answer {
        token.need("reactions:write")?;
        let (channel, _) = self.channel_of(args)?;
        let name = args.text("name").map(|name| name.trim_matches(':').to_owned()).unwrap_or_default();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-+:'".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return no("invalid_name");
        }
        let Some(ts) = args.text("timestamp") else { return no("no_item_specified") };
        if !self.channels[&channel].messages.contains_key(&ts) {
            return no("message_not_found");
        }
        let user = self.bot_user.clone();
        let done = if add {
            self.react(&channel, &ts, &user, &name, cx)
        } else {
            self.unreact(&channel, &ts, &user, &name, cx)
        };
        if done { Ok(json!({})) } else { no(if add { "already_reacted" } else { "no_reaction" }) }
    }

    pub(super) fn reactions_get(&self, token: &Token, args: &Args) -> Answer {
        token.need("reactions:read")?;
        let (id, channel) = self.channel_of(args)?;
        let Some(ts) = args.text("timestamp") else { return no("no_item_specified") };
        let Some(message) = channel.messages.get(&ts) else { return no("message_not_found") };
        let mut shown = self.show_message(channel, message, false);
        shown["permalink"] =
            json!(format!("https://{}.slack.com/archives/{id}/p{}", self.team.domain, ts.replace('.', "")));
        Ok(json!({ "type": "message", "channel": id, "message": shown }))
    }

    pub(super) fn written(&mut self, user: &str, text: &str, cx: &mut Context<'_>) -> Message {
        let client_msg_id = cx.rng.text(HEX, 32);
        Message {
            ts: self.next_ts(cx.now),
            user: user.to_owned(),
            by_app: false,
            text: text.to_owned(),
            thread_ts: None,
            edited: None,
            reactions: Vec::new(),
            metadata: None,
            blocks: None,
            attachments: None,
            subtype: None,
            broadcast: false,
            client_msg_id,
        }
    }
}

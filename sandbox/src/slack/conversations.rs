//! `conversations.*`: which there are, and what was said in them.

use serde_json::{Value, json};

use super::args::Args;
use super::model::{Channel, Message, Sort, Token, micros};
use super::show::cut;
use super::{Answer, Refusal, Slack, no};
use crate::world::Context;

impl Slack {
    /// A channel that the app may see: public ones, and those that it is in.
    pub(super) fn channel_of(&self, args: &Args) -> Result<(String, &Channel), Refusal> {
        let Some(id) = args.text("channel") else { return no("channel_not_found") };
        match self.channels.get(&id) {
            Some(channel) if channel.sort == Sort::Public || channel.members.contains(&self.bot_user) => {
                Ok((id, channel))
            }
            _ => no("channel_not_found"),
        }
    }

    /// The same to read what was said there.
    fn readable(&self, token: &Token, args: &Args) -> Result<(String, &Channel), Refusal> {
        let (id, channel) = self.channel_of(args)?;
        token.need(&channel.scope("history"))?;
        if !channel.members.contains(&self.bot_user) {
            return no("not_in_channel");
        }
        Ok((id, channel))
    }

    pub(super) fn conversations_info(&self, token: &Token, args: &Args) -> Answer {
        let (id, channel) = self.channel_of(args)?;
        token.need(&channel.scope("read"))?;
        Ok(json!({ "channel": self.show_channel(&id, channel) }))
    }

    /// `conversations.list`, and with `joined` `users.conversations`.
    pub(super) fn list(&self, token: &Token, args: &Args, joined: bool) -> Answer {
        let types = args.text("types").unwrap_or_else(|| "public_channel".into());
        let mut sorts = Vec::new();
        for kind in types.split(',').map(str::trim) {
            let (sort, scope) = match kind {
                "public_channel" => (Some(Sort::Public), "channels:read"),
                "private_channel" => (Some(Sort::Private), "groups:read"),
                "im" => (Some(Sort::Direct), "im:read"),
                "mpim" => (None, "im:read"),
                _ => return no("invalid_types"),
            };
            token.need(scope)?;
            sorts.extend(sort);
        }
        let skip_archived = args.flag("exclude_archived");
        let shown: Vec<(&String, &Channel)> = self
            .channels
            .iter()
            .filter(|(_, channel)| sorts.contains(&channel.sort) && !(skip_archived && channel.archived))
            .filter(|(_, channel)| channel.members.contains(&self.bot_user) || !joined && channel.sort == Sort::Public)
            .collect();
        let (page, next) = cut(&shown, args, 100, 1000, "channel", |(id, _)| (*id).clone())?;
        let channels: Vec<Value> = page.iter().map(|(id, channel)| self.show_channel(id, channel)).collect();
        Ok(json!({ "channels": channels, "response_metadata": { "next_cursor": next } }))
    }

    pub(super) fn members(&self, token: &Token, args: &Args) -> Answer {
        let (_, channel) = self.channel_of(args)?;
        token.need(&channel.scope("read"))?;
        let members: Vec<String> = channel.members.iter().cloned().collect();
        let (page, next) = cut(&members, args, 100, 1000, "user", String::clone)?;
        Ok(json!({ "members": page, "response_metadata": { "next_cursor": next } }))
    }

    pub(super) fn join(&mut self, token: &Token, args: &Args, cx: &mut Context<'_>) -> Answer {
        token.need("channels:join")?;
        let (id, channel) = self.channel_of(args)?;
        if channel.archived {
            return no("is_archived");
        }
        if channel.sort != Sort::Public {
            return no("method_not_supported_for_channel_type");
        }
        let already = channel.members.contains(&self.bot_user);
        let user = self.bot_user.clone();
        self.channels.entry(id.clone()).and_modify(|channel| {
            channel.members.insert(user);
        });
        if already {
            args.warnings.borrow_mut().push("already_in_channel");
        } else {
            self.tell_joined(&id, cx);
        }
        Ok(json!({ "channel": self.show_channel(&id, &self.channels[&id]) }))
    }

    /// The direct conversation with one user; opened if there is none.
    pub(super) fn open_direct(&mut self, token: &Token, args: &Args, cx: &mut Context<'_>) -> Answer {
        token.need("im:write")?;
        let Some(user) = args.text("users") else { return no("users_list_not_supplied") };
        if !self.users.contains_key(&user) {
            return no("user_not_found");
        }
        let id = self.direct(&user, cx);
        Ok(json!({ "channel": { "id": id }, "no_op": true, "already_open": true }))
    }

    pub(super) fn direct(&mut self, user: &str, cx: &mut Context<'_>) -> String {
        let with = |channel: &Channel| channel.sort == Sort::Direct && channel.members.contains(user);
        if let Some((id, _)) = self.channels.iter().find(|(_, channel)| with(channel)) {
            return id.clone();
        }
        let id = format!("D{}", cx.rng.text(super::desk::LETTERS, 9));
        let members = [user.to_owned(), self.bot_user.clone()];
        self.channels.insert(id.clone(), Channel { sort: Sort::Direct, ..Channel::new("", true, &members) });
        id
    }

    pub(super) fn history(&self, token: &Token, args: &Args) -> Answer {
        let (_, channel) = self.readable(token, args)?;
        let oldest = args.text("oldest").map(|ts| micros(&ts, "invalid_ts_oldest")).transpose()?;
        let latest = args.text("latest").map(|ts| micros(&ts, "invalid_ts_latest")).transpose()?;
        let inclusive = args.flag("inclusive");
        let within = |message: &Message| {
            let at = micros(&message.ts, "").unwrap_or_default();
            let after = oldest.is_none_or(|oldest| at > oldest || inclusive && at == oldest);
            let before = latest.is_none_or(|latest| at < latest || inclusive && at == latest);
            after && before
        };
        let top =
            |message: &Message| message.thread_ts.as_ref().is_none_or(|root| *root == message.ts) || message.broadcast;
        let found: Vec<&Message> =
            channel.messages.values().rev().filter(|message| top(message) && within(message)).collect();
        let (default, most) = if self.restricted { (15, 15) } else { (100, 999) };
        let (page, next) = cut(&found, args, default, most, "next_ts", |message| message.ts.clone())?;
        let metadata = args.flag("include_all_metadata");
        let messages: Vec<Value> = page.iter().map(|message| self.show_message(channel, message, metadata)).collect();
        Ok(json!({
            "messages": messages, "has_more": !next.is_empty(), "pin_count": 0, "channel_actions_ts": null, "channel_actions_count": 0,
            "response_metadata": { "next_cursor": next },
        }))
    }

    /// A thread, oldest first; for a reply's own time stamp, that reply.
    pub(super) fn replies(&self, token: &Token, args: &Args) -> Answer {
        let (_, channel) = self.readable(token, args)?;
        let Some(ts) = args.text("ts") else { return no("invalid_arguments") };
        micros(&ts, "invalid_ts_latest")?;
        let Some(root) = channel.messages.get(&ts) else { return no("thread_not_found") };
        let oldest = args.text("oldest").map(|ts| micros(&ts, "invalid_ts_oldest")).transpose()?;
        let latest = args.text("latest").map(|ts| micros(&ts, "invalid_ts_latest")).transpose()?;
        let inclusive = args.flag("inclusive");
        let within = |message: &&Message| {
            let at = micros(&message.ts, "").unwrap_or_default();
            oldest.is_none_or(|oldest| at > oldest || inclusive && at == oldest)
                && latest.is_none_or(|latest| at < latest || inclusive && at == latest)
        };
        let found: Vec<&Message> = std::iter::once(root).chain(channel.replies(&ts).filter(within)).collect();
        let (default, most) = if self.restricted { (15, 15) } else { (1000, 1000) };
        let (page, next) = cut(&found, args, default, most, "next_ts", |message| message.ts.clone())?;
        let metadata = args.flag("include_all_metadata");
        let messages: Vec<Value> = page.iter().map(|message| self.show_message(channel, message, metadata)).collect();
        Ok(json!({ "messages": messages, "has_more": !next.is_empty(), "response_metadata": { "next_cursor": next } }))
    }
}

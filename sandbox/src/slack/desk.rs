//! Slack's own screens: what people write and how they react, and a look at what is there.
//!
//! Users and channels are named by their ids, messages by channel and time stamp. What names something that is not there does
//! nothing, and says so (`false`, an empty text).

use serde_json::{Value, json};

use super::Slack;
use super::model::{Channel, Message, Team, User, Way};
use crate::world::Context;

pub(super) const LETTERS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
pub(super) const HEX: &str = "0123456789abcdef";

/// What somebody who typed a command saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    Text(String),
    /// Slack's own words for what went wrong.
    Failed(&'static str),
}

impl Slack {
    /// The workspace's id, and the user who stands for the app.
    pub fn ids(&self) -> (String, String) {
        (self.team.id.clone(), self.bot_user.clone())
    }

    pub fn add_user(&mut self, name: &str, real_name: &str, email: &str, cx: &mut Context<'_>) -> String {
        let id = format!("U0{}", cx.rng.text(LETTERS, 9));
        let team = self.team.id.clone();
        self.users.insert(id.clone(), User { team, ..User::new(name, real_name, email) });
        id
    }

    /// Somebody who was invited to single channels.
    pub fn add_guest(&mut self, name: &str, email: &str, cx: &mut Context<'_>) -> String {
        let id = self.add_user(name, name, email, cx);
        self.users.entry(id.clone()).and_modify(|user| user.guest = true);
        id
    }

    /// Another company's workspace; its id.
    pub fn add_team(&mut self, name: &str, domain: &str, email_domain: &str, cx: &mut Context<'_>) -> String {
        let id = format!("T0{}", cx.rng.text(LETTERS, 9));
        let team = Team { id: id.clone(), name: name.into(), domain: domain.into(), email_domain: email_domain.into() };
        self.others.insert(id.clone(), team);
        id
    }

    /// Somebody of another company.
    pub fn add_stranger(&mut self, team: &str, name: &str, email: &str, cx: &mut Context<'_>) -> String {
        let id = self.add_user(name, name, email, cx);
        self.users.entry(id.clone()).and_modify(|user| team.clone_into(&mut user.team));
        id
    }

    /// A channel that the app is in.
    pub fn add_channel(&mut self, name: &str, private: bool, cx: &mut Context<'_>) -> String {
        let id = format!("C0{}", cx.rng.text(LETTERS, 9));
        let members = ["U0ADMIN".to_owned(), self.bot_user.clone()];
        self.channels.insert(id.clone(), Channel::new(name, private, &members));
        self.tell_joined(&id, cx);
        id
    }

    /// Slack Connect: from now on another company is in the channel too.
    pub fn share_channel(&mut self, channel: &str, team: &str) {
        self.channels.entry(channel.to_owned()).and_modify(|channel| channel.shared_with.push(team.to_owned()));
    }

    pub fn remove_app(&mut self, channel: &str) {
        let bot = self.bot_user.clone();
        self.channels.entry(channel.to_owned()).and_modify(|channel| {
            channel.members.remove(&bot);
        });
    }

    pub fn say(&mut self, channel: &str, user: &str, text: &str, cx: &mut Context<'_>) -> String {
        let message = self.written(user, text, cx);
        self.put_message(channel, message, cx)
    }

    /// Below another message.
    pub fn reply(&mut self, channel: &str, root: &str, user: &str, text: &str, cx: &mut Context<'_>) -> String {
        let message = Message { thread_ts: Some(root.to_owned()), ..self.written(user, text, cx) };
        self.put_message(channel, message, cx)
    }

    pub(super) fn put_message(&mut self, channel: &str, message: Message, cx: &mut Context<'_>) -> String {
        let Some(kept) = self.channels.get_mut(channel) else { return String::new() };
        let ts = message.ts.clone();
        kept.members.insert(message.user.clone());
        kept.messages.insert(ts.clone(), message);
        self.tell_message(channel, &ts, cx);
        ts
    }

    pub(super) fn change(&mut self, channel: &str, ts: &str, change: impl FnOnce(&mut Message)) -> bool {
        let message = self.channels.get_mut(channel).and_then(|kept| kept.messages.get_mut(ts));
        message.map(change).is_some()
    }

    fn shown_message(&self, channel: &str, ts: &str) -> Option<Value> {
        let kept = self.channels.get(channel)?;
        Some(self.show_message(kept, kept.messages.get(ts)?, false))
    }

    pub fn edit(&mut self, channel: &str, ts: &str, text: &str, cx: &mut Context<'_>) -> bool {
        let Some(before) = self.shown_message(channel, ts) else { return false };
        let at = self.next_ts(cx.now);
        self.change(channel, ts, |message| {
            message.edited = Some((message.user.clone(), at));
            text.clone_into(&mut message.text);
        });
        let fields = json!({ "message": self.shown_message(channel, ts), "previous_message": before });
        self.tell_hidden(channel, "message_changed", fields, cx);
        true
    }

    /// A link in it shows what is behind it: a change, though nothing was said.
    pub fn unfurl(&mut self, channel: &str, ts: &str, cx: &mut Context<'_>) -> bool {
        let Some(before) = self.shown_message(channel, ts) else { return false };
        let preview =
            json!([{ "title": "A page", "text": "What is behind the link", "from_url": "https://page.example" }]);
        self.change(channel, ts, |message| message.attachments = Some(preview));
        let fields = json!({ "message": self.shown_message(channel, ts), "previous_message": before });
        self.tell_hidden(channel, "message_changed", fields, cx);
        true
    }

    /// A message with answers below it leaves a stone behind.
    pub fn delete_message(&mut self, channel: &str, ts: &str, cx: &mut Context<'_>) -> bool {
        let Some(before) = self.shown_message(channel, ts) else { return false };
        let Some(kept) = self.channels.get_mut(channel) else { return false };
        if kept.replies(ts).next().is_some() {
            self.change(channel, ts, |message| {
                message.subtype = Some("tombstone");
                "This message was deleted.".clone_into(&mut message.text);
                message.reactions.clear();
            });
            let fields = json!({ "message": self.shown_message(channel, ts), "previous_message": before });
            self.tell_hidden(channel, "message_changed", fields, cx);
        } else {
            kept.messages.remove(ts);
            let fields = json!({ "deleted_ts": ts, "previous_message": before });
            self.tell_hidden(channel, "message_deleted", fields, cx);
        }
        true
    }

    pub fn react(&mut self, channel: &str, ts: &str, user: &str, name: &str, cx: &mut Context<'_>) -> bool {
        let mut done = false;
        self.change(channel, ts, |message| {
            let at = message.reactions.iter().position(|(known, _)| known == name).unwrap_or(message.reactions.len());
            if at == message.reactions.len() {
                message.reactions.push((name.to_owned(), Vec::new()));
            }
            let users = &mut message.reactions[at].1;
            done = !users.iter().any(|known| known == user);
            if done {
                users.push(user.to_owned());
            }
        });
        if done {
            self.tell_reaction(channel, ts, user, name, true, cx);
        }
        done
    }

    pub fn unreact(&mut self, channel: &str, ts: &str, user: &str, name: &str, cx: &mut Context<'_>) -> bool {
        let mut done = false;
        self.change(channel, ts, |message| {
            for (_, users) in message.reactions.iter_mut().filter(|(known, _)| known == name) {
                let before = users.len();
                users.retain(|known| known != user);
                done |= users.len() < before;
            }
            message.reactions.retain(|(_, users)| !users.is_empty());
        });
        if done {
            self.tell_reaction(channel, ts, user, name, false, cx);
        }
        done
    }

    /// The request URL of events and commands, with the signing secret.
    pub fn set_webhook(&mut self, url: &str, secret: &str) {
        self.way = Some(Way::Http { url: url.to_owned(), secret: secret.to_owned() });
    }

    /// Events and commands come over a line.
    pub fn set_socket_mode(&mut self) {
        self.way = Some(Way::Socket);
    }

    /// Slack asks whether the URL is really the app's.
    pub fn send_verification(&mut self, cx: &mut Context<'_>) {
        self.send(
            "events_api",
            json!({ "type": "url_verification", "token": "legacy", "challenge": "3eZbrw1aB10" }),
            cx,
        );
    }

    /// Slack has thrown events away.
    pub fn send_rate_limited(&mut self, cx: &mut Context<'_>) {
        let body = json!({
            "type": "app_rate_limited", "token": "legacy", "team_id": self.team.id, "api_app_id": self.app_id,
            "minute_rate_limited": cx.now.timestamp() / 60 * 60,
        });
        self.send("events_api", body, cx);
    }

    /// From now on the app may read history once a minute only.
    pub fn set_restricted(&mut self, restricted: bool) {
        self.restricted = restricted;
    }

    /// So many times the published limits.
    pub fn set_lenience(&mut self, times: usize) {
        self.lenience = times.max(1);
    }

    pub fn set_scopes(&mut self, token: &str, scopes: &[&str]) {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.tokens.entry(token.to_owned()).and_modify(|token| token.scopes = scopes);
    }

    pub fn revoke_token(&mut self, token: &str) {
        self.tokens.entry(token.to_owned()).and_modify(|token| token.revoked = true);
    }

    /// What whoever typed this command saw; `None`: nothing yet.
    pub fn shown(&self, trigger: &str) -> Option<Shown> {
        self.commands.iter().find(|asked| asked.trigger == trigger).and_then(|asked| asked.shown.clone())
    }

    /// Everything in a channel, oldest first, as the API shows it, with metadata.
    pub fn messages(&self, channel: &str) -> Vec<Value> {
        let kept = self.channels.get(channel);
        kept.into_iter()
            .flat_map(|kept| kept.messages.values().map(|message| self.show_message(kept, message, true)))
            .collect()
    }

    /// The direct conversation of the app with somebody.
    pub fn direct_with(&mut self, user: &str, cx: &mut Context<'_>) -> String {
        self.direct(user, cx)
    }
}

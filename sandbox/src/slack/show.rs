//! Things as the API shows them, and lists cut into pages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::args::Args;
use super::model::{Channel, Message, Sort, Token};
use super::{Refusal, Slack, no};

/// A page of a list, and the cursor of the next; empty: there is none. `name` is what a thing's cursor is made of.
pub(super) fn cut<T: Clone>(
    all: &[T],
    args: &Args,
    default: usize,
    most: usize,
    word: &str,
    name: impl Fn(&T) -> String,
) -> Result<(Vec<T>, String), Refusal> {
    let limit = args.limit(default, most)?;
    let start = match args.text("cursor") {
        None => 0,
        Some(cursor) => {
            let plain = STANDARD.decode(&cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let wanted =
                plain.as_deref().and_then(|plain| plain.strip_prefix(word)?.strip_prefix(':')).map(str::to_owned);
            let Some(wanted) = wanted else { return no("invalid_cursor") };
            // Should it be gone meanwhile, the list goes on behind its place.
            all.iter().position(|item| name(item) == wanted).unwrap_or(all.len())
        }
    };
    let page: Vec<T> = all.iter().skip(start).take(limit).cloned().collect();
    let next = all.get(start + limit).map(|item| STANDARD.encode(format!("{word}:{}", name(item))));
    Ok((page, next.unwrap_or_default()))
}

impl Slack {
    pub(super) fn show_user(&self, id: &str, token: &Token) -> Option<Value> {
        let user = self.users.get(id)?;
        let foreign = user.team != self.team.id;
        let mut profile = Map::from_iter([
            ("real_name".to_owned(), json!(user.real_name)),
            ("display_name".to_owned(), json!(user.name)),
            ("real_name_normalized".to_owned(), json!(user.real_name)),
            ("display_name_normalized".to_owned(), json!(user.name)),
            ("team".to_owned(), json!(user.team)),
            ("image_48".to_owned(), json!("https://avatars.example/48.png")),
        ]);
        // Of other companies' people the email is often not shown.
        if token.scopes.contains("users:read.email") && !user.email.is_empty() && !foreign {
            profile.insert("email".into(), json!(user.email));
        }
        if user.bot {
            profile.insert("api_app_id".into(), json!(self.app_id));
            profile.insert("bot_id".into(), json!(self.bot_id));
        }
        let mut shown = json!({
            "id": id, "team_id": user.team, "name": user.name, "deleted": user.deleted, "real_name": user.real_name, "tz": "Etc/UTC",
            "tz_offset": 0, "profile": profile, "is_admin": id == "U0ADMIN", "is_owner": id == "U0ADMIN", "is_restricted": user.guest,
            "is_ultra_restricted": false, "is_bot": user.bot, "is_app_user": false, "updated": 1_790_000_000,
        });
        if foreign {
            shown["is_stranger"] = json!(true);
        }
        Some(shown)
    }

    pub(super) fn show_channel(&self, id: &str, channel: &Channel) -> Value {
        let shared = !channel.shared_with.is_empty();
        let mut teams = vec![self.team.id.clone()];
        teams.extend(channel.shared_with.iter().cloned());
        if channel.sort == Sort::Direct {
            let other = channel.members.iter().find(|member| **member != self.bot_user);
            return json!({ "id": id, "created": channel.created, "is_im": true, "is_org_shared": false, "user": other, "is_archived": false });
        }
        json!({
            "id": id, "name": channel.name, "name_normalized": channel.name, "created": channel.created, "creator": "U0ADMIN",
            "is_channel": channel.sort == Sort::Public, "is_group": channel.sort == Sort::Private, "is_im": false, "is_mpim": false,
            "is_private": channel.sort == Sort::Private, "is_archived": channel.archived, "is_general": channel.name == "general",
            "is_shared": shared, "is_ext_shared": shared, "is_org_shared": false, "is_pending_ext_shared": false, "unlinked": 0,
            "is_member": channel.members.contains(&self.bot_user), "context_team_id": self.team.id, "shared_team_ids": teams,
            "connected_team_ids": channel.shared_with, "conversation_host_id": if shared { Some(&self.team.id) } else { None },
            "topic": { "value": "", "creator": "", "last_set": 0 }, "purpose": { "value": "", "creator": "", "last_set": 0 },
            "previous_names": [], "num_members": channel.members.len(),
        })
    }

    pub(super) fn show_message(&self, channel: &Channel, message: &Message, metadata: bool) -> Value {
        let mut shown = Map::from_iter([
            ("type".to_owned(), json!("message")),
            ("user".to_owned(), json!(message.user)),
            ("text".to_owned(), json!(message.text)),
            ("ts".to_owned(), json!(message.ts)),
            ("team".to_owned(), json!(self.users.get(&message.user).map_or(&self.team.id, |user| &user.team))),
        ]);
        let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
        if message.by_app {
            put("bot_id", json!(self.bot_id));
            put("app_id", json!(self.app_id));
            put(
                "bot_profile",
                json!({ "id": self.bot_id, "app_id": self.app_id, "name": "loopd", "deleted": false, "team_id": self.team.id, "updated": 1_790_000_000, "icons": {} }),
            );
        } else {
            put("client_msg_id", json!(message.client_msg_id));
        }
        for (name, value) in [("blocks", &message.blocks), ("attachments", &message.attachments)] {
            if let Some(value) = value {
                put(name, value.clone());
            }
        }
        if let Some(subtype) = message.subtype {
            put("subtype", json!(subtype));
        } else if message.broadcast {
            put("subtype", json!("thread_broadcast"));
        }
        if let Some((user, ts)) = &message.edited {
            put("edited", json!({ "user": user, "ts": ts }));
        }
        if let Some(root) = &message.thread_ts {
            put("thread_ts", json!(root));
            if *root != message.ts {
                put("parent_user_id", json!(channel.messages.get(root).map(|root| &root.user)));
            }
        }
        let replies: Vec<&Message> = channel.replies(&message.ts).collect();
        if let Some(latest) = replies.last() {
            let mut users: Vec<&String> = replies.iter().map(|reply| &reply.user).collect();
            users.sort_unstable();
            users.dedup();
            put("thread_ts", json!(message.ts));
            put("reply_count", json!(replies.len()));
            put("reply_users_count", json!(users.len()));
            put("latest_reply", json!(latest.ts));
            put("reply_users", json!(users));
            put("is_locked", json!(false));
            put("subscribed", json!(false));
        }
        if !message.reactions.is_empty() {
            let one =
                |(name, users): &(String, Vec<String>)| json!({ "name": name, "users": users, "count": users.len() });
            put("reactions", message.reactions.iter().map(one).collect());
        }
        if let Some(held) = message.metadata.as_ref().filter(|_| metadata) {
            put("metadata", held.clone());
        }
        Value::Object(shown)
    }
}

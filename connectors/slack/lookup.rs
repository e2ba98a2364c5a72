//! Who and where: users, channels and permalinks, asked for once and remembered for an hour.
//!
//! The law: what Slack refuses to tell keeps no message back; a quota does, because a little later it will tell.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::Slack;
use super::client::Told;
use crate::Clock;
use crate::fault::Fault;
use crate::json::{array, text};

/// Things by id; `None`: not there, or not for us to see.
#[derive(Default)]
pub(super) struct Remembered {
    known: Mutex<BTreeMap<String, (Duration, Option<Value>)>>,
}

impl Remembered {
    const KEEP: Duration = Duration::from_secs(3600);
    const MOST: usize = 5000;

    #[expect(clippy::option_option, reason = "known to be absent is not the same as unknown")]
    pub(super) fn get(&self, clock: &dyn Clock, id: &str) -> Option<Option<Value>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, what) = known.get(id)?;
        (clock.monotonic().saturating_sub(*since) <= Self::KEEP).then(|| what.clone())
    }

    pub(super) fn put(&self, clock: &dyn Clock, id: &str, what: Option<Value>) {
        let now = clock.monotonic();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::MOST {
            known.retain(|_, (since, _)| now.saturating_sub(*since) <= Self::KEEP);
        }
        if known.len() >= Self::MOST {
            known.clear();
        }
        known.insert(id.to_owned(), (now, what));
    }

    pub(super) fn forget(&self, id: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Slack {
    async fn looked_up(
        &self,
        memory: &Remembered,
        id: &str,
        method: &'static str,
        args: &[(&'static str, &str)],
        field: &str,
    ) -> Result<Option<Value>, Fault> {
        let clock = self.client.clock();
        if let Some(known) = memory.get(clock, id) {
            return Ok(known);
        }
        let found = match self.client.told(method, args).await? {
            Told::Here(answer) => Some(answer[field].clone()),
            Told::Not(refusal) => {
                tracing::debug!(method, error = %refusal.code, "Slack does not tell");
                None
            }
        };
        memory.put(clock, id, found.clone());
        Ok(found)
    }

    pub(super) async fn user(&self, id: &str) -> Result<Option<Value>, Fault> {
        self.looked_up(&self.users, id, "users.info", &[("user", id)], "user").await
    }

    pub(super) async fn channel(&self, id: &str) -> Result<Value, Fault> {
        let found = self.looked_up(&self.channels, id, "conversations.info", &[("channel", id)], "channel").await?;
        let found = found.filter(Value::is_object).unwrap_or_default();
        Ok(json!({
            "id": id,
            "name": text(&found, "name"),
            "is_private": found["is_private"].as_bool().unwrap_or(false),
            "is_ext_shared": found["is_ext_shared"].as_bool().unwrap_or(false),
            "connected_team_ids": texts(&found["connected_team_ids"]),
            "shared_team_ids": texts(&found["shared_team_ids"]),
            "conversation_host_id": text(&found, "conversation_host_id"),
        }))
    }

    /// Where people look at it; if Slack does not say, as its links are built.
    pub(super) async fn permalink(&self, channel: &str, ts: &str, root: Option<&str>) -> Result<Option<String>, Fault> {
        let args = [("channel", channel), ("message_ts", ts)];
        let id = format!("{channel}:{ts}");
        let told = self.looked_up(&self.permalinks, &id, "chat.getPermalink", &args, "permalink").await?;
        Ok(told.and_then(|told| told.as_str().map(str::to_owned)).or_else(|| self.link(channel, ts, root)))
    }

    pub(super) fn link(&self, channel: &str, ts: &str, root: Option<&str>) -> Option<String> {
        let home = self.bound().url?;
        let link = format!("{}/archives/{channel}/p{}", home.trim_end_matches('/'), ts.replace('.', ""));
        Some(match root.filter(|root| *root != ts) {
            Some(root) => format!("{link}?thread_ts={root}&cid={channel}"),
            None => link,
        })
    }

    /// `{id, name, email, handle, bot, external, guest}` of who wrote a message.
    pub(super) async fn author(&self, message: &Value) -> Result<Value, Fault> {
        let ours = self.bound().team_id;
        let foreign = |team: Option<String>| team.is_some() && ours.is_some() && team != ours;
        let Some(id) = text(message, "user").filter(|id| super::is_id(id)) else {
            // An integration; a person's words may have come through it all the same.
            let name = text(message, "username").or_else(|| text(&message["bot_profile"], "name"));
            return Ok(
                json!({ "id": message["bot_id"], "name": name, "bot": true, "external": false, "guest": false }),
            );
        };
        let user = self.user(&id).await?.filter(Value::is_object).unwrap_or_default();
        let profile = &user["profile"];
        let team =
            text(message, "user_team").or_else(|| text(&user, "team_id")).or_else(|| text(message, "source_team"));
        let filled = |value: Option<String>| value.filter(|text| !text.trim().is_empty());
        let name = filled(text(profile, "real_name"))
            .or_else(|| filled(text(&user, "real_name")))
            .or_else(|| filled(text(profile, "display_name")))
            .or_else(|| filled(text(&user, "name")));
        Ok(json!({
            "id": id,
            "name": name,
            "email": filled(text(profile, "email")),
            "handle": filled(text(profile, "display_name")).or_else(|| filled(text(&user, "name"))),
            "bot": user["is_bot"].as_bool().unwrap_or(false),
            "external": foreign(team) || user["is_stranger"].as_bool().unwrap_or(false),
            "guest": user["is_restricted"].as_bool().unwrap_or(false) || user["is_ultra_restricted"].as_bool().unwrap_or(false),
        }))
    }
}

/// The texts of a list.
pub(super) fn texts(list: &Value) -> Vec<String> {
    list.as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The reactions of a message: the name, who of ours to see gave it, and how many did.
pub(super) fn reactions(message: &Value) -> impl Iterator<Item = (String, Vec<String>, u64)> {
    array(message, "reactions").iter().filter_map(|reaction| {
        let users = texts(&reaction["users"]);
        let count = reaction["count"].as_u64().unwrap_or(users.len() as u64);
        Some((text(reaction, "name")?, users, count))
    })
}

//! The slash command: what somebody types after it is feedback, and they get its short id back at once, for their eyes only.
//!
//! Facts (docs.slack.dev, "Slash commands", read 2026-11-23): a form; the body of the 200, within three seconds, is the answer; Slack
//! itself never repeats one, proxies may. `user_name` is no key. There is nothing to fetch a command by later, so it comes whole, and
//! whose channel it is must follow from the configuration alone.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{COMMAND, Slack, is_id, text as markup};
use crate::fault::Refusal;
use crate::{Delivery, Key, Record, Reply};

impl Slack {
    pub(super) fn command(
        &self,
        form: &[(String, String)],
        now: DateTime<Utc>,
        stand_in: &str,
    ) -> Result<Delivery, Refusal> {
        let get = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim());
        let command = get("command");
        if command.is_empty() {
            return Err(Refusal::Malformed("a form that is neither a command nor an interaction".into()));
        }
        // Unique for each time that somebody presses enter; a proxy's repeat has the same.
        let trigger: String =
            get("trigger_id").chars().filter(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).take(200).collect();
        let id = if trigger.is_empty() { stand_in.to_owned() } else { trigger };
        let mut delivery = Delivery { id: id.clone(), ..Delivery::default() };
        let said = markup::plain(get("text"), &std::collections::BTreeMap::new());
        let team = get("team_id");
        let foreign = self.bound().team_id.is_some_and(|ours| ours != team) && !self.is_ours(get("enterprise_id"));
        let known = self.settings.commands.iter().any(|known| known.eq_ignore_ascii_case(command));
        if !known {
            let text = format!(
                "loopd does not take `{command}` yet: whoever runs it adds it to `commands` of this connection."
            );
            delivery.reply = Some(ephemeral(&text));
        } else if foreign {
            delivery.reply =
                Some(ephemeral("This workspace is not the one whose feedback is collected here; nothing was noted."));
        } else if said.trim().is_empty() || said.trim().eq_ignore_ascii_case("help") {
            let text = format!(
                "Tell us what a customer said or what you ran into, and it is noted for the product team:\n`{command} The export stops after 1,000 rows`\nYou get a number back. A message that is there already is noted by a reaction: {}.",
                self.settings.emoji.keys().map(|name| format!(":{name}:")).collect::<Vec<_>>().join(" ")
            );
            delivery.reply = Some(ephemeral(&text));
        } else {
            let user = get("user_id");
            if !is_id(user) {
                return Err(Refusal::Malformed("a command of no user".into()));
            }
            let (channel, channel_name) = (get("channel_id"), get("channel_name"));
            // What Slack writes in the place of a name that is not for all.
            let channel_name =
                Some(channel_name).filter(|name| !matches!(*name, "privategroup" | "directmessage" | ""));
            let key = Key::new(COMMAND, format!("{user}:{id}"));
            delivery.records.push(Record {
                key: key.clone(),
                version: None,
                body: Some(json!({
                    "team": team,
                    "command": command,
                    "text": said.trim(),
                    "user": { "id": user, "name": get("user_name") },
                    "channel": { "id": channel, "name": channel_name },
                    "customer": self.named(channel, channel_name.unwrap_or_default()),
                    "received_at": now.timestamp(),
                })),
                url: None,
                edits: Vec::new(),
            });
            let mut reply = ephemeral("Thank you: noted as {id}.");
            reply.names = Some(key);
            delivery.reply = Some(reply);
        }
        Ok(delivery)
    }

    fn is_ours(&self, enterprise: &str) -> bool {
        !enterprise.is_empty() && self.bound().enterprise_id.as_deref() == Some(enterprise)
    }
}

/// The fields of a command that came as JSON, over a line.
pub(super) fn form_of(payload: &Value) -> Vec<(String, String)> {
    let fields = payload.as_object().into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// For the eyes of whoever typed the command.
fn ephemeral(text: &str) -> Reply {
    let body = json!({ "response_type": "ephemeral", "text": text }).to_string();
    Reply { content_type: "application/json; charset=utf-8", body, names: None }
}

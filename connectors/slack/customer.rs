//! Whose channel it is: by the table in the configuration, by the channel's name, or by the one company that it is shared with.
//!
//! The law: what names the customer names the channel as a whole; who happens to write there is another matter, told apart in
//! the author. A channel that several companies share is nobody's.

use serde_json::{Map, Value, json};

use super::Slack;
use super::client::Told;
use super::lookup::texts;
use crate::fault::Fault;
use crate::json::text;

/// `ext-{customer}`: what stands before and after the customer's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    before: String,
    after: String,
}

impl Pattern {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (before, after) = text.trim().trim_start_matches('#').split_once("{customer}")?;
        let once = !after.contains(['{', '}']) && !before.contains(['{', '}']);
        once.then(|| Self { before: before.to_lowercase(), after: after.to_lowercase() })
    }

    /// The customer in a channel's name.
    pub(crate) fn customer<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(&*self.before)?.strip_suffix(&*self.after).filter(|customer| !customer.is_empty())
    }
}

impl Slack {
    /// `{channel, domains, names}` of the customer whose channel this is; `null` for a channel of ours.
    ///
    /// # Errors
    /// A quota, or a vendor in trouble; what Slack refuses to tell is done without.
    pub(super) async fn customer_of(&self, channel: &Value) -> Result<Value, Fault> {
        let id = text(channel, "id").unwrap_or_default();
        let name = text(channel, "name").unwrap_or_default();
        let known = self.named(&id, &name);
        if !known.is_null() {
            return Ok(known);
        }
        let ours = self.bound().team_id;
        let mut teams = texts(&channel["connected_team_ids"]);
        if teams.is_empty() {
            teams = texts(&channel["shared_team_ids"]);
        }
        teams.extend(text(channel, "conversation_host_id"));
        teams.retain(|team| Some(team) != ours.as_ref());
        teams.sort_unstable();
        teams.dedup();
        let [team] = teams.as_slice() else { return Ok(Value::Null) };
        let mut customer = Map::from_iter([("channel".to_owned(), json!(id))]);
        if let Some(team) = self.team(team).await? {
            // One domain, or several with commas between; many workspaces have none.
            let domains: Vec<String> = text(&team, "email_domain")
                .iter()
                .flat_map(|domains| domains.split(','))
                .map(|domain| domain.trim().to_owned())
                .filter(|domain| !domain.is_empty())
                .collect();
            customer.insert("domains".into(), json!(domains));
            customer.insert("names".into(), json!(text(&team, "name").into_iter().collect::<Vec<_>>()));
        }
        Ok(Value::Object(customer))
    }

    /// What the configuration alone says. Pure: a slash command has no time to ask.
    pub(super) fn named(&self, channel: &str, name: &str) -> Value {
        if let Some(customer) = self.settings.channels.get(channel) {
            let customer = customer.trim();
            let domain = customer.contains('.') && !customer.contains(char::is_whitespace);
            let (domains, names) = if domain { (vec![customer], vec![]) } else { (vec![], vec![customer]) };
            return json!({ "channel": channel, "domains": domains, "names": names });
        }
        let name = name.to_lowercase();
        let Some(customer) = self.settings.patterns.iter().find_map(|pattern| pattern.customer(&name)) else {
            return Value::Null;
        };
        // Channel names hold no spaces; companies' names do.
        let spaced = customer.replace(['-', '_'], " ");
        let mut names = vec![customer.to_owned()];
        if spaced != customer {
            names.insert(0, spaced);
        }
        json!({ "channel": channel, "domains": [], "names": names })
    }

    async fn team(&self, team: &str) -> Result<Option<Value>, Fault> {
        if let Some(known) = self.teams.get(self.client.clock(), team) {
            return Ok(known);
        }
        let found = match self.client.told("team.info", &[("team", team)]).await? {
            Told::Here(answer) => Some(answer["team"].clone()),
            // Without team:read, or where Slack shows nothing of others, the channel's name must do.
            Told::Not(_) => None,
        };
        self.teams.put(self.client.clock(), team, found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_finds_the_customer_in_a_channels_name() {
        for (pattern, name, customer) in [
            ("ext-{customer}", "ext-acme-corp", Some("acme-corp")),
            ("#EXT-{customer}", "ext-acme", Some("acme")),
            ("{customer}-support", "acme-support", Some("acme")),
            ("ext-{customer}-eu", "ext-acme-us", None),
            ("ext-{customer}", "ext-", None),
            ("ext-{customer}", "general", None),
        ] {
            let pattern = Pattern::read(pattern).expect("a pattern");
            assert_eq!(pattern.customer(name), customer, "{name}");
        }
        for bad in ["ext-", "{customer}{customer}", "{customer"] {
            assert_eq!(Pattern::read(bad), None, "{bad}");
        }
    }
}

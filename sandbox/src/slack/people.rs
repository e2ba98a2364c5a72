//! `auth.test`, `api.test`, `team.info`, `users.*`.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::args::Args;
use super::model::{Team, Token};
use super::show::cut;
use super::{Answer, Refusal, Slack, no};

/// Gives back what it was given, an error if one is asked for.
pub(super) fn api_test(args: &Args, _request: &Request<Bytes>) -> Answer {
    let given = Value::Object(args.all().clone());
    if args.text("error").is_some() {
        return Err(Refusal("test_error", json!({ "error": args.text("error"), "args": given })));
    }
    Ok(if args.all().is_empty() { json!({}) } else { json!({ "args": given }) })
}

impl Slack {
    pub(super) fn auth_test(&self) -> Value {
        json!({
            "url": format!("https://{}.slack.com/", self.team.domain), "team": self.team.name, "user": self.users[&self.bot_user].name,
            "team_id": self.team.id, "user_id": self.bot_user, "bot_id": self.bot_id, "is_enterprise_install": false,
        })
    }

    pub(super) fn team_info(&self, token: &Token, args: &Args) -> Answer {
        token.need("team:read")?;
        let asked = args.text("team");
        let team = match &asked {
            None => Some(&self.team),
            Some(id) if *id == self.team.id => Some(&self.team),
            Some(id) => self.others.get(id),
        };
        let Some(Team { id, name, domain, email_domain }) = team else { return no("team_not_found") };
        Ok(
            json!({ "team": { "id": id, "name": name, "domain": domain, "email_domain": email_domain, "icon": { "image_default": true } } }),
        )
    }

    pub(super) fn users_info(&self, token: &Token, args: &Args) -> Answer {
        token.need("users:read")?;
        let Some(id) = args.text("user") else { return no("user_not_found") };
        match self.show_user(&id, token) {
            Some(user) => Ok(json!({ "user": user })),
            None => no("user_not_found"),
        }
    }

    pub(super) fn users_list(&self, token: &Token, args: &Args) -> Answer {
        token.need("users:read")?;
        let ids: Vec<&String> =
            self.users.iter().filter(|(_, user)| user.team == self.team.id).map(|(id, _)| id).collect();
        let (page, next) = cut(&ids, args, 100, 1000, "user", |id| (*id).clone())?;
        let members: Vec<Value> = page.iter().filter_map(|id| self.show_user(id, token)).collect();
        Ok(json!({ "members": members, "cache_ts": 1_790_000_000, "response_metadata": { "next_cursor": next } }))
    }
}

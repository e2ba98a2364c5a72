//! What ops may say about a Linear connection.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::oauth::{Server, Style};
use crate::settings::{self, Rate};
use crate::{Secrets, SettingsError};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// The whole address of the GraphQL endpoint; without a path, Linear's own is meant: `/graphql`. Default:
    /// `https://api.linear.app/graphql`.
    #[serde(default = "base_url")]
    pub(super) base_url: String,
    /// The team that issues are made in and read from: its key (`ENG`) or its id.
    pub(super) team: String,
    /// Of an OAuth application (Settings > API > OAuth applications), to sign in with `loopd auth` in place of a token.
    pub(super) client_id: Option<String>,
    /// What a sign-in asks for. Default: `read`, `write`, `customer:read`, `customer:write`.
    #[serde(default = "scopes")]
    pub(super) scopes: Vec<String>,
    /// In whose name a sign-in acts: the `user` who signs in, or the `app`. Default: `user`.
    #[serde(default)]
    pub(super) actor: Actor,
    /// Default: `https://linear.app/oauth/authorize`, or that path at the host of a `base_url` that is set.
    pub(super) authorize_url: Option<String>,
    /// Default: `https://api.linear.app/oauth/token`, or that path at the host of a `base_url` that is set.
    pub(super) token_url: Option<String>,
    /// How the token is sent: bare, as Linear wants personal keys, or as `Bearer`, as it wants OAuth tokens. Default:
    /// `auto`, by the token's beginning (`lin_api_`, `lin_oauth_`); one that begins otherwise is sent bare, and if that
    /// is refused, as `Bearer`. `client_credentials`: no token and no person; the application itself, by its `client_id` and
    /// `client_secret` (to be switched on for it in Linear).
    #[serde(default)]
    pub(super) auth: AuthSetting,
    /// From when on issues are read at first: a day or an instant. Default: from the team's first issue.
    #[serde(default, deserialize_with = "settings::instant")]
    pub(super) start: Option<DateTime<Utc>>,
    /// How far each poll looks back behind the last one. Default: 120.
    #[serde(default = "two_minutes")]
    pub(super) overlap_seconds: u32,
    /// Where titles are cut. Linear publishes no limit; 255 is what other clients found. Default: 255.
    #[serde(default = "title_limit")]
    pub(super) title_limit: usize,
    /// Where descriptions and needs are cut, with a note. Not published either. Default: 50000.
    #[serde(default = "text_limit")]
    pub(super) text_limit: usize,
    /// Colour of the labels that `setup` makes. Default: `#5e6ad2`.
    #[serde(default = "label_color")]
    pub(super) label_color: String,
    /// Another pace than 2,400 calls an hour with a burst of 100.
    #[serde(default)]
    pub(super) quota: Option<Rate>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthSetting {
    #[default]
    Auto,
    Key,
    Bearer,
    #[serde(rename = "client_credentials")]
    ClientCredentials,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Actor {
    #[default]
    User,
    App,
}

fn scopes() -> Vec<String> {
    ["read", "write", "customer:read", "customer:write"].map(String::from).to_vec()
}

fn base_url() -> String {
    "https://api.linear.app/graphql".into()
}
fn two_minutes() -> u32 {
    120
}
fn title_limit() -> usize {
    255
}
fn text_limit() -> usize {
    50_000
}
fn label_color() -> String {
    "#5e6ad2".into()
}

impl Settings {
    pub(super) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let mut parsed: Self = settings::read(settings)?;
        parsed.base_url = settings::base_url(&parsed.base_url)?;
        if parsed.base_url.split_once("://").is_some_and(|(_, rest)| !rest.contains('/')) {
            parsed.base_url.push_str("/graphql");
        }
        parsed.team = parsed.team.trim().to_owned();
        if parsed.team.is_empty() || parsed.team.contains(char::is_whitespace) {
            return Err(SettingsError::key("team", "expected a team's key, as in `ENG`, or its id"));
        }
        parsed.client_id = parsed.client_id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        let hex = parsed.label_color.strip_prefix('#').unwrap_or_default();
        if hex.len() != 6 || !hex.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(SettingsError::key("label_color", "expected a colour, as in `#5e6ad2`"));
        }
        for (key, limit) in [("title_limit", parsed.title_limit), ("text_limit", parsed.text_limit)] {
            if limit < 100 {
                return Err(SettingsError::key(key, "is too small to be of use: at least 100"));
            }
        }
        Ok(parsed)
    }

    /// Linear "OAuth 2.0", read 2026-11-23: scopes by commas, PKCE, the client in the form. The address of `revoke` is beside
    /// that of `token`.
    pub(super) fn server(&self, client_id: &str, secrets: &Secrets) -> Result<Server, SettingsError> {
        let endpoint = |key, given: &Option<String>, there| {
            settings::endpoint(key, given.as_deref(), &self.base_url, &base_url(), there)
        };
        let token_url = endpoint("token_url", &self.token_url, ("https://api.linear.app", "/oauth/token"))?;
        let actor = (self.actor == Actor::App).then(|| ("actor".to_owned(), "app".to_owned()));
        Ok(Server {
            authorize_url: endpoint("authorize_url", &self.authorize_url, ("https://linear.app", "/oauth/authorize"))?,
            revoke_url: token_url.strip_suffix("/token").map(|at| format!("{at}/revoke")),
            client_secret: settings::secret(secrets, "client_secret"),
            style: Style::Body,
            scopes: self.scopes.clone(),
            separator: ",",
            params: actor.into_iter().collect(),
            ..Server::new("Linear", token_url, client_id)
        })
    }

    /// The team is given by its id.
    pub(super) fn team_is_id(&self) -> bool {
        is_uuid(&self.team)
    }
}

pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text
            .char_indices()
            .all(|(at, letter)| if [8, 13, 18, 23].contains(&at) { letter == '-' } else { letter.is_ascii_hexdigit() })
}

//! The workspace as it is found: an organization, three users, the team ENG with the usual states, the usual labels, and
//! the statuses and tiers that customers can have. Ids are fixed, so that tests and configurations can name them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::desk::STATES;
use super::quota::Quota;
use super::store::{LABEL, ORGANIZATION, STATE, STATUS, Store, TEAM, TIER, USER};
use super::{APP, Linear, OWNER, PERSON};
use crate::oauth::Provider;

/// The id of the team ENG.
pub(super) const TEAM_ID: &str = "00000000-0000-4000-8000-0000000000b1";

fn id(group: char, number: usize) -> String {
    format!("00000000-0000-4000-8000-0000000000{group}{number}")
}

impl Default for Linear {
    fn default() -> Self {
        let mut store = Store::default();
        // Some day before any simulation begins.
        let then = DateTime::from_timestamp(1_767_225_600, 0).unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
        let mut put = |kind, id: &str, fields: Value| store.insert(kind, id, fields, then);
        put(ORGANIZATION, "organization", json!({"name": "Sandbox", "urlKey": "sandbox", "customersEnabled": true}));
        for (id, name, app, admin) in [
            (OWNER, "Orla Owner", false, true),
            (APP, "Sandbox App", true, false),
            (PERSON, "Pim Person", false, false),
        ] {
            let handle = name.split(' ').next_back().unwrap_or_default().to_lowercase();
            let fields = json!({
                "name": name,
                "displayName": handle,
                "email": format!("{handle}@sandbox.example"),
                "url": format!("https://linear.app/sandbox/profiles/{handle}"),
                "initials": name.chars().filter(char::is_ascii_uppercase).collect::<String>(),
                "avatarBackgroundColor": "#5e6ad2",
                "active": true,
                "app": app,
                "admin": admin,
                "isMe": id == OWNER,
                "isAssignable": true,
                "isMentionable": true,
            });
            put(USER, id, fields);
        }
        put(
            TEAM,
            TEAM_ID,
            json!({"key": "ENG", "name": "Engineering", "timezone": "Europe/Paris", "color": "#5e6ad2", "visibility": "public"}),
        );
        for (at, (name, kind, color)) in STATES.iter().enumerate() {
            put(
                STATE,
                &id('c', at + 1),
                json!({"name": name, "type": kind, "color": color, "position": at * 1000, "teamId": TEAM_ID}),
            );
        }
        for (at, name) in ["Bug", "Feature", "Improvement"].iter().enumerate() {
            put(
                LABEL,
                &id('d', at + 1),
                json!({"name": name, "color": "#95a2b3", "isGroup": false, "creatorId": OWNER}),
            );
        }
        for (at, name) in ["Active", "Prospect", "Churned"].iter().enumerate() {
            put(
                STATUS,
                &id('e', at + 1),
                json!({"name": name, "displayName": name, "color": "#95a2b3", "position": at}),
            );
        }
        for (at, name) in ["Enterprise", "Growth", "Starter"].iter().enumerate() {
            put(TIER, &id('f', at + 1), json!({"name": name, "displayName": name, "color": "#95a2b3", "position": at}));
        }
        Self {
            store,
            quota: Quota::default(),
            numbers: BTreeMap::new(),
            revoked: BTreeSet::new(),
            refuse_next: BTreeMap::new(),
            customers_on_plan: true,
            strict_webhook_urls: false,
            keeps_other_aliases: false,
            documents: BTreeMap::new(),
            sign_in: Provider::new(super::RULES, super::CLIENT_ID, super::CLIENT_SECRET),
        }
    }
}

//! The people of the workspace, and the connection's own user.

use serde_json::{Value, json};

use super::model::{Capability, Token};
use super::refusal::{Answer, Refusal};
use super::{Asked, paged};

pub(super) const BOT: &str = "b07a9d00-0000-4000-8000-0000000000b1";
pub(super) const OWNER: &str = "9e0a9d00-0000-4000-8000-0000000000c1";
const PEOPLE: [(&str, &str, &str); 2] = [
    (OWNER, "Carol Example", "carol@example.com"),
    ("9e0a9d00-0000-4000-8000-0000000000c2", "Dave Example", "dave@example.com"),
];
const WORKSPACE: &str = "5bace000-0000-4000-8000-0000000000d1";
pub(super) const WORKSPACE_NAME: &str = "Lumen Example";

pub(super) fn workspace() -> &'static str {
    WORKSPACE
}

pub(super) fn me(token: &Token) -> Value {
    let mut me = whole(&token.user).unwrap_or_default();
    if token.user == BOT {
        me["bot"] = json!({
            "owner": { "type": "workspace", "workspace": true },
            "workspace_name": WORKSPACE_NAME,
            "workspace_id": WORKSPACE,
            "workspace_limits": { "max_file_upload_size_in_bytes": 5_368_709_120_u64 },
        });
    }
    me
}

pub(super) fn one(asked: &Asked, id: &str) -> Answer {
    asked.must(Capability::ReadUsers)?;
    whole(id).ok_or_else(|| Refusal::not_found("user", id))
}

pub(super) fn list(asked: &Asked) -> Answer {
    asked.must(Capability::ReadUsers)?;
    let (cursor, size) = asked.page()?;
    let ids = PEOPLE.iter().map(|(id, _, _)| *id).chain([BOT]);
    paged(ids.filter_map(whole).collect(), cursor.as_deref(), size, "user")
}

pub(super) fn whole(id: &str) -> Option<Value> {
    if id == BOT {
        return Some(json!({
            "object": "user", "id": BOT, "name": "loopd", "avatar_url": null, "type": "bot", "bot": {},
        }));
    }
    let (id, name, email) = PEOPLE.into_iter().find(|(known, _, _)| *known == id)?;
    Some(json!({
        "object": "user", "id": id, "name": name, "avatar_url": null, "type": "person", "person": { "email": email },
    }))
}

/// As pages name who made them.
pub(super) fn partial(id: &str) -> Value {
    json!({ "object": "user", "id": id })
}

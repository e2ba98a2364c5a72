//! The root queries.

use serde_json::{Map, Value};

use super::fault::{Answer, Fault};
use super::resolve::{self, Out};
use super::store::{
    ATTACHMENT, COMMENT, CUSTOMER, ISSUE, Kind, LABEL, NEED, ORGANIZATION, PROJECT, STATE, STATUS, TEAM, TIER, USER,
    WEBHOOK,
};
use super::{Caller, Linear};
use crate::world::Context;

impl Linear {
    pub(super) fn query(
        &self,
        name: &str,
        args: &Map<String, Value>,
        caller: &Caller,
        cx: &Context<'_>,
    ) -> Answer<Out> {
        let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
        let one = |kind: Kind| {
            let id = text("id");
            if self.store.has(kind, id) { Ok(Out::Row(kind, id.to_owned())) } else { Err(Fault::missing(kind)) }
        };
        let all = |kind: Kind| resolve::page(&self.store, kind, self.store.all(kind).collect(), args, cx.now);
        match name {
            "viewer" => Ok(Out::Row(USER, caller.user.clone())),
            "organization" => Ok(Out::Row(ORGANIZATION, "organization".to_owned())),
            "rateLimitStatus" => Ok(Out::Json(self.quota.status(&caller.key, cx.now))),
            "teams" => all(TEAM),
            "team" => {
                // A team is found by its key too.
                let team = self.store.all(TEAM).find(|team| team.id() == text("id") || team.text("key") == text("id"));
                team.map(|team| Out::Row(TEAM, team.id().to_owned())).ok_or_else(|| Fault::missing(TEAM))
            }
            "workflowStates" => all(STATE),
            "workflowState" => one(STATE),
            "issueLabels" => all(LABEL),
            "issueLabel" => one(LABEL),
            "issues" => all(ISSUE),
            "issue" => {
                let issue = self.store.issue(text("id"));
                issue.map(|row| Out::Row(ISSUE, row.id().to_owned())).ok_or_else(|| Fault::missing(ISSUE))
            }
            "comments" => all(COMMENT),
            "comment" => one(COMMENT),
            "attachments" => all(ATTACHMENT),
            "attachment" => one(ATTACHMENT),
            "attachmentsForURL" => {
                resolve::page(&self.store, ATTACHMENT, self.store.having(ATTACHMENT, "url", text("url")), args, cx.now)
            }
            "customers" => self.customers_allowed().and_then(|()| all(CUSTOMER)),
            "customer" => {
                self.customers_allowed()?;
                let wanted = text("id");
                let found = self.store.all(CUSTOMER).find(|c| c.id() == wanted || c.text("slugId") == wanted);
                found.map(|c| Out::Row(CUSTOMER, c.id().to_owned())).ok_or_else(|| Fault::missing(CUSTOMER))
            }
            "customerNeeds" => self.customers_allowed().and_then(|()| all(NEED)),
            "customerNeed" => self.customers_allowed().and_then(|()| one(NEED)),
            "customerStatuses" => all(STATUS),
            "customerStatus" => one(STATUS),
            "customerTiers" => all(TIER),
            "customerTier" => one(TIER),
            "webhooks" => all(WEBHOOK),
            "webhook" => one(WEBHOOK),
            "projects" => all(PROJECT),
            "project" => one(PROJECT),
            "users" => all(USER),
            "user" => {
                if text("id") == "me" {
                    Ok(Out::Row(USER, caller.user.clone()))
                } else {
                    one(USER)
                }
            }
            _ => Err(Fault::input(&format!("{name} is not modelled by this stand-in"))),
        }
    }

    pub(super) fn customers_allowed(&self) -> Answer<()> {
        if self.customers_on_plan { Ok(()) } else { Err(Fault::unavailable("Customer requests")) }
    }
}

//! Making the labels that mappings name, in every repository that lacks them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::GitHub;
use super::client::{Met, Weight, hidden};
use super::sink::LABELS;
use super::types::{ISSUE, text};
use crate::fault::Fault;
use crate::http::Call;
use crate::{Change, Setup, Shape};

/// The grey that GitHub itself gives to labels made in passing.
const COLOR: &str = "ededed";

#[derive(Serialize, Deserialize)]
struct NewLabel {
    repo: String,
    name: String,
    description: String,
}

#[async_trait]
impl Setup for GitHub {
    async fn plan(&self, wanted: &Shape) -> Result<Vec<Change>, Fault> {
        let wanted: Vec<_> = wanted
            .collections
            .iter()
            .filter(|collection| collection.name == ISSUE)
            .flat_map(|collection| collection.fields.iter().filter(|field| field.name == LABELS))
            .flat_map(|field| field.options.iter().map(move |name| (name, &field.description)))
            .collect();
        let mut changes = Vec::new();
        if wanted.is_empty() {
            return Ok(changes);
        }
        for handle in self.client.repos.handles() {
            let there = self.all(handle, "labels").await?;
            let there = there.ok_or_else(|| hidden(handle))?;
            let mut names: Vec<String> =
                there.iter().filter_map(|label| text(&label["name"])).map(|name| name.to_lowercase()).collect();
            for (name, description) in &wanted {
                let lower = name.trim().to_lowercase();
                if lower.is_empty() || names.contains(&lower) {
                    continue;
                }
                names.push(lower);
                let label = NewLabel {
                    repo: handle.clone(),
                    name: name.trim().to_owned(),
                    // GitHub refuses longer ones (OpenAPI, 2026-11-23).
                    description: description.chars().take(100).collect(),
                };
                changes.push(Change {
                    what: format!("create label {} in {handle}", label.name),
                    by_hand: None,
                    detail: serde_json::to_value(label).unwrap_or_default(),
                });
            }
        }
        Ok(changes)
    }

    async fn apply(&self, change: &Change) -> Result<(), Fault> {
        let label = NewLabel::deserialize(&change.detail)
            .map_err(|_| Fault::rejected("not a change that GitHub's setup planned"))?;
        let handle =
            self.client.repos.handle(&label.repo).ok_or_else(|| Fault::rejected("not a configured repository"))?;
        let body = json!({ "name": label.name, "color": COLOR, "description": label.description });
        match self
            .client
            .write_in(handle, Weight::Quiet, |repo| Call::post(format!("{repo}/labels"), body.clone()))
            .await
        {
            Ok(Met::Here(_) | Met::Unchanged) => Ok(()),
            // The label list's own 404 with the repository in sight: the credential may not make labels.
            Ok(Met::Gone) => Err(Fault::locked(format!("the credential may not create labels in {handle}"))),
            Err(Fault::Rejected { why, .. }) if why.contains("already_exists") => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

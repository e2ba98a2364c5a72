//! Making the labels that mappings write. States, teams and customer tiers are people's to make.

use async_trait::async_trait;
use serde_json::json;

use super::Linear;
use super::client::Sort;
use super::operations::{IssueLabelCreate, issue_label_create};
use super::types::{ISSUE, text};
use crate::{Change, Fault, FieldKind, Setup, Shape};

#[async_trait]
impl Setup for Linear {
    async fn plan(&self, wanted: &Shape) -> Result<Vec<Change>, Fault> {
        let known = serde_json::to_value(&*self.binding()).ok();
        self.find_all(wanted, known.as_ref()).await?;
        let binding = self.bound()?;
        let issues = wanted.collections.iter().filter(|collection| collection.name == ISSUE);
        let tags = issues.flat_map(|collection| &collection.fields).filter(|field| field.kind == FieldKind::Tags);
        let mut changes: Vec<Change> = Vec::new();
        for name in tags.flat_map(|field| &field.options).map(|name| name.trim()).filter(|name| !name.is_empty()) {
            let what = format!("create label {name} in team {}", binding.team_key);
            if binding.label(name).is_none() && !changes.iter().any(|change| change.what == what) {
                changes.push(Change { what, by_hand: None, detail: json!({ "label": name }) });
            }
        }
        let wants_customers = wanted
            .collections
            .iter()
            .any(|collection| [super::CUSTOMER, super::NEED].contains(&collection.name.as_str()));
        if wants_customers && binding.customers == Some(false) {
            changes.push(Change {
                what: "customers and their needs".into(),
                by_hand: Some(
                    "turn on Customer requests (Settings > Features; a matter of the plan), or give the token customer:read and customer:write; \
                     until then loopd leaves customers and needs out"
                        .into(),
                ),
                detail: json!(null),
            });
        }
        Ok(changes)
    }

    async fn apply(&self, change: &Change) -> Result<(), Fault> {
        if let Some(by_hand) = &change.by_hand {
            return Err(Fault::rejected(format!("by hand: {by_hand}")));
        }
        let Some(name) = text(&change.detail, "label") else { return Err(Fault::rejected("no such change")) };
        let binding = self.bound()?;
        let input = issue_label_create::IssueLabelCreateInput {
            name: name.clone(),
            color: Some(self.settings.label_color.clone()),
            team_id: Some(binding.team_id.clone()),
        };
        match self
            .client
            .mutate::<IssueLabelCreate>("issueLabelCreate", issue_label_create::Variables { input }, &[])
            .await
        {
            Ok(payload) => {
                let id = payload.get("issueLabel").and_then(|label| text(label, "id"));
                self.correct(|binding| binding.labels.extend(id.map(|id| (name, id))));
                Ok(())
            }
            Err(failure)
                if failure.sort == Sort::Exists || failure.message.to_lowercase().contains("duplicate label") =>
            {
                Ok(())
            }
            Err(failure) => Err(failure.fault),
        }
    }
}

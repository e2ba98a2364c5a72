//! Looking records up: by their ids, and page by page.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Linear;
use super::client::{Failure, Sort};
use super::customers::no_filter;
use super::operations::{
    Attachments, CustomerNeeds, Customers, Issues, attachments, customer_needs, customers, issues,
};
use super::types::{ATTACHMENT, CUSTOMER, ISSUE, NEED, nodes, text};
use crate::{Cursor, Fault};

/// Pages that are read for records that a server does not look up by id.
const MOST_PAGES: usize = 50;

impl Linear {
    /// The nodes with these ids, trash included. What is not among them is gone, so it has to be certain that the server
    /// looked for them.
    pub(super) async fn nodes_by_id(&self, collection: &str, ids: &[String]) -> Result<Vec<Value>, Fault> {
        let ids: BTreeSet<String> = ids.iter().cloned().collect();
        let mut found = match self.ask_for(collection, ids.clone()).await {
            // Some servers answer so instead of with an empty list, and for any of them.
            Err(failure) if failure.sort == Sort::Missing && ids.len() > 1 => {
                let mut found = Vec::new();
                for id in &ids {
                    match self.ask_for(collection, BTreeSet::from([id.clone()])).await {
                        Err(failure) if failure.sort == Sort::Missing => {}
                        nodes => found.extend(nodes?),
                    }
                }
                found
            }
            Err(failure) if failure.sort == Sort::Missing => Vec::new(),
            nodes => nodes?,
        };
        let asked = |node: &Value| text(node, "id").is_some_and(|id| ids.contains(&id));
        if found.iter().any(|node| text(node, "id").is_some_and(|id| !ids.contains(&id))) {
            // Others came: the filter is not understood, so these may be on any page.
            found.retain(asked);
            let (mut after, mut pages) = (None, 0);
            while found.len() < ids.len() {
                let (nodes, next) = self.page_of(collection, None, after.as_ref()).await?;
                let new = |node: &Value| !found.iter().any(|known| text(known, "id") == text(node, "id"));
                let fresh: Vec<Value> = nodes.into_iter().filter(|node| asked(node) && new(node)).collect();
                found.extend(fresh);
                pages += 1;
                if next.is_none() || next == after {
                    break;
                }
                if pages == MOST_PAGES {
                    return Err(Fault::later("the server does not look records up by id, and lists too many"));
                }
                after = next;
            }
        }
        found.retain(asked);
        Ok(found)
    }

    async fn ask_for(&self, collection: &str, ids: BTreeSet<String>) -> Result<Vec<Value>, Failure> {
        let first = i64::try_from(ids.len()).unwrap_or(250);
        let in_ = Some(ids.into_iter().collect::<Vec<_>>());
        let data = match collection {
            ISSUE => {
                let filter =
                    issues::IssueFilter { id: Some(issues::IssueIDComparator { in_ }), team: None, updated_at: None };
                self.client.query::<Issues>(issues::Variables { filter, first, after: None }).await
            }
            ATTACHMENT => {
                let filter =
                    Some(attachments::AttachmentFilter { id: Some(attachments::IDComparator { eq: None, in_ }) });
                self.client.query::<Attachments>(attachments::Variables { filter, first, after: None }).await
            }
            CUSTOMER => {
                let filter = Some(customers::CustomerFilter {
                    id: Some(customers::IDComparator { eq: None, in_ }),
                    ..no_filter()
                });
                self.client.query::<Customers>(customers::Variables { filter, first, after: None }).await
            }
            _ => {
                let filter = Some(customer_needs::CustomerNeedFilter {
                    id: Some(customer_needs::IDComparator { eq: None, in_ }),
                });
                self.client.query::<CustomerNeeds>(customer_needs::Variables { filter, first, after: None }).await
            }
        }?;
        Ok(nodes(&data, connection(collection)).0.to_vec())
    }

    /// A page of a whole collection: issues of the team, the rest of the workspace.
    pub(super) async fn page(
        &self,
        collection: &str,
        after: Option<&Cursor>,
    ) -> Result<(Vec<Value>, Option<Cursor>), Fault> {
        let team = (collection == ISSUE).then(|| self.bound()).transpose()?;
        self.page_of(collection, team.map(|bound| bound.team_id.clone()), after).await
    }

    async fn page_of(
        &self,
        collection: &str,
        team: Option<String>,
        after: Option<&Cursor>,
    ) -> Result<(Vec<Value>, Option<Cursor>), Fault> {
        let after = after.and_then(|after| after.0.as_str()).map(String::from);
        let first = 100;
        let data = match collection {
            ISSUE => {
                let by_id =
                    |id| issues::TeamFilter { id: Some(issues::IDComparator { eq: Some(id), in_: None }), key: None };
                let filter = issues::IssueFilter { id: None, team: team.map(by_id), updated_at: None };
                self.client.query::<Issues>(issues::Variables { filter, first, after }).await?
            }
            ATTACHMENT => {
                self.client.query::<Attachments>(attachments::Variables { filter: None, first, after }).await?
            }
            CUSTOMER => self.client.query::<Customers>(customers::Variables { filter: None, first, after }).await?,
            NEED => {
                self.client.query::<CustomerNeeds>(customer_needs::Variables { filter: None, first, after }).await?
            }
            other => return Err(Fault::rejected(format!("Linear has no collection {other}"))),
        };
        let (nodes, next) = nodes(&data, connection(collection));
        Ok((nodes.to_vec(), next.map(|next| Cursor(Value::String(next)))))
    }
}

fn connection(collection: &str) -> &'static str {
    match collection {
        ISSUE => "issues",
        ATTACHMENT => "attachments",
        CUSTOMER => "customers",
        _ => "customerNeeds",
    }
}

//! Writing what hangs on an issue: the source's attachment, the customer's need.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Linear;
use super::client::{Failure, Sort};
use super::draft::{Draft, untouched};
use super::operations::{
    AttachmentCreate, AttachmentUpdate, CustomerNeedCreate, CustomerNeedUpdate, attachment_create, attachment_update,
    customer_need_create, customer_need_update,
};
use super::types::{ATTACHMENT, NEED, text};
use crate::{Fault, Sink, Write, Written};

/// Where an attachment's metadata holds our id.
pub(super) const MARK: &str = "loopd_id";
/// Titles of attachments kept between two calls.
const KEPT: usize = 1_000;

impl Linear {
    pub(super) async fn write_attachment(&self, write: &Write) -> Result<Written, Fault> {
        let mut draft = Draft::new(ATTACHMENT, write, self);
        if let Some(id) = &write.target {
            return self.update_attachment(id, draft).await;
        }
        let need = |field: &str| Fault::Rejected {
            why: format!("an attachment needs {field}"),
            field: Some(field.to_owned()),
        };
        let issue_id = draft.link("issue").ok_or_else(|| need("issue"))?;
        let url = draft.text("url").ok_or_else(|| need("url"))?;
        let title = draft.text("title").unwrap_or_else(|| url.clone());
        let input = attachment_create::AttachmentCreateInput {
            issue_id,
            url,
            title,
            subtitle: draft.text("subtitle"),
            metadata: Some(Map::from_iter([(MARK.to_owned(), Value::String(write.external_id.clone()))])),
        };
        let sent = draft.finish();
        match self
            .client
            .mutate::<AttachmentCreate>("attachmentCreate", attachment_create::Variables { input }, &[])
            .await
        {
            Ok(payload) => {
                let node = payload.get("attachment");
                self.stored(ATTACHMENT, node, &sent, is_new(node))
            }
            Err(failure) if failure.sort == Sort::Missing => Err(missing(failure, "issue")),
            Err(failure) => Err(failure.fault),
        }
    }

    async fn update_attachment(&self, id: &str, mut draft: Draft<'_>) -> Result<Written, Fault> {
        for field in ["issue", "url"] {
            if draft.has(field) {
                draft.list(field);
                draft.skip(field, "an attachment keeps its issue and url");
            }
        }
        let title = draft.text("title");
        let subtitle = draft.text_or_empty("subtitle");
        let sent = draft.finish();
        if title.is_none() && subtitle.is_none() {
            return Ok(Written::Stored(untouched(id, sent)));
        }
        // The input wants a title, also where only the subtitle changes.
        let title = match title {
            Some(title) => title,
            None => match self.title_of(id).await? {
                Some(title) => title,
                None => return Ok(Written::Gone),
            },
        };
        let input = attachment_update::AttachmentUpdateInput { title, subtitle };
        match self
            .client
            .mutate::<AttachmentUpdate>(
                "attachmentUpdate",
                attachment_update::Variables { id: id.to_owned(), input },
                &[],
            )
            .await
        {
            Ok(payload) => self.stored(ATTACHMENT, payload.get("attachment"), &sent, false),
            Err(failure) if failure.sort == Sort::Missing => Ok(Written::Gone),
            Err(failure) => Err(failure.fault),
        }
    }

    /// Kept until it was used, in case that the quota allows only one call now.
    async fn title_of(&self, id: &str) -> Result<Option<String>, Fault> {
        if let Some(title) = self.halfway().remove(id) {
            return Ok(Some(title));
        }
        let there = self.read(ATTACHMENT, &[id.to_owned()]).await?.into_iter().next();
        let Some(body) = there.and_then(|there| there.body) else { return Ok(None) };
        let title = text(&body, "title").unwrap_or_else(|| "…".into());
        self.keep_halfway(id, title.clone());
        Ok(Some(title))
    }

    pub(super) fn keep_halfway(&self, id: &str, what: String) {
        let mut halfway = self.halfway();
        if halfway.len() > KEPT {
            halfway.clear();
        }
        halfway.insert(id.to_owned(), what);
    }

    pub(super) async fn write_need(&self, write: &Write) -> Result<Written, Fault> {
        if write.target.is_none() && self.halfway().contains_key(&write.external_id) {
            return self.existing(NEED, &write.external_id).await;
        }
        let mut draft = Draft::new(NEED, write, self);
        let issue_id = draft.link("issue");
        let customer_id = draft.link("customer");
        #[expect(clippy::cast_precision_loss, reason = "0 or 1")]
        let priority = draft.whole_or_zero("priority").map(|priority| priority as f64);
        let body = draft.text_or_empty("body");
        let sent = draft.finish();
        let Some(id) = &write.target else {
            if issue_id.is_none() {
                return Err(Fault::Rejected { why: "a need needs its issue".into(), field: Some("issue".into()) });
            }
            let input = customer_need_create::CustomerNeedCreateInput {
                id: Some(write.external_id.clone()),
                issue_id,
                customer_id,
                body,
                priority,
            };
            return match self
                .client
                .mutate::<CustomerNeedCreate>("customerNeedCreate", customer_need_create::Variables { input }, &[])
                .await
            {
                Ok(payload) => self.stored(NEED, payload.get("need"), &sent, true),
                Err(failure) if failure.sort == Sort::Exists => self.existing(NEED, &write.external_id).await,
                Err(failure) if failure.sort == Sort::Missing => Err(missing(failure, "issue")),
                Err(failure) => Err(self.customers_fault(failure)),
            };
        };
        if issue_id.is_none() && customer_id.is_none() && body.is_none() && priority.is_none() {
            return Ok(Written::Stored(untouched(id, sent)));
        }
        let input = customer_need_update::CustomerNeedUpdateInput { issue_id, customer_id, body, priority };
        match self
            .client
            .mutate::<CustomerNeedUpdate>(
                "customerNeedUpdate",
                customer_need_update::Variables { id: id.clone(), input },
                &[],
            )
            .await
        {
            Ok(payload) => self.stored(NEED, payload.get("need"), &sent, false),
            Err(failure) if failure.sort == Sort::Missing => Ok(Written::Gone),
            Err(failure) => Err(self.customers_fault(failure)),
        }
    }

    /// The plan has no customers after all: the write is owed, and the next attach asks again.
    pub(super) fn customers_fault(&self, failure: Failure) -> Fault {
        if failure.sort == Sort::Feature {
            self.correct(|binding| binding.customers = Some(false));
            return Fault::Later {
                after: Some(Duration::from_secs(60)),
                why: format!("this workspace has no customers: {}", failure.message),
            };
        }
        failure.fault
    }
}

/// Upserts do not say whether they made anything.
pub(super) fn is_new(node: Option<&Value>) -> bool {
    node.is_some_and(|node| text(node, "createdAt").is_some() && text(node, "createdAt") == text(node, "updatedAt"))
}

/// What a record refers to is gone.
fn missing(failure: Failure, field: &str) -> Fault {
    match failure.fault {
        Fault::Rejected { why, .. } => Fault::Rejected { why, field: Some(field.to_owned()) },
        other => other,
    }
}

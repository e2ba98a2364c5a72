//! Customers and their needs; a plan without them refuses all of it. Domains, external ids and the Slack channel are unique
//! in the workspace, and public mail domains are no company (linear schema and vendor sheet, read 2026-11-23).

use serde_json::{Map, Value, json};

use super::Linear;
use super::events::Action;
use super::fault::{Answer, Fault};
use super::mutations::text;
use super::resolve::Out;
use super::store::{ATTACHMENT, COMMENT, CUSTOMER, ISSUE, NEED, STATUS, TIER, USER, stamp};
use crate::world::Context;

const PUBLIC_MAIL: [&str; 8] =
    ["gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "yahoo.com", "icloud.com", "proton.me", "gmx.de"];

fn strings(input: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let list = input.get(name)?.as_array()?;
    Some(list.iter().filter_map(|v| Some(v.as_str()?.to_owned())).collect())
}

impl Linear {
    pub(super) fn customer_mutation(
        &mut self,
        name: &str,
        args: &Map<String, Value>,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<Out> {
        let id = text(args, "id");
        let deleted = |linear: &Self| linear.payload_with(vec![("entityId", Out::Leaf(json!(id)))]);
        match name {
            "customerCreate" => {
                let id = self.customer_create(input, actor, cx)?;
                Ok(self.payload_of("customer", CUSTOMER, id))
            }
            "customerUpdate" => {
                self.customer_update(id, input, actor, cx)?;
                Ok(self.payload_of("customer", CUSTOMER, id.to_owned()))
            }
            "customerUpsert" => {
                let id = self.customer_upsert(input, actor, cx)?;
                Ok(self.payload_of("customer", CUSTOMER, id))
            }
            "customerDelete" => {
                self.erase(CUSTOMER, id, actor, cx)?;
                Ok(deleted(self))
            }
            "customerTierCreate" => {
                let id = self.tier_named(text(input, "name"), cx);
                Ok(self.payload_of("tier", TIER, id))
            }
            "customerNeedCreate" => {
                let id = self.need_create(input, actor, cx)?;
                Ok(self.payload_of("need", NEED, id))
            }
            "customerNeedUpdate" => {
                self.need_update(id, args, input, actor, cx)?;
                Ok(self.payload_of("need", NEED, id.to_owned()))
            }
            "customerNeedDelete" => {
                let attachment =
                    self.store.get(NEED, id).map(|need| need.text("attachmentId").to_owned()).unwrap_or_default();
                self.erase(NEED, id, actor, cx)?;
                if args.get("keepAttachment") != Some(&json!(true)) && self.store.has(ATTACHMENT, &attachment) {
                    self.erase(ATTACHMENT, &attachment, actor, cx)?;
                }
                Ok(deleted(self))
            }
            "customerNeedArchive" | "customerNeedUnarchive" => {
                let at = if name == "customerNeedArchive" { json!(stamp(cx.now)) } else { Value::Null };
                self.change(NEED, id, &Map::from_iter([("archivedAt".to_owned(), at)]), actor, cx)?;
                Ok(self.payload_of("entity", NEED, id.to_owned()))
            }
            _ => Err(Fault::input(&format!("{name} is not modelled by this stand-in"))),
        }
    }

    pub(super) fn tier_named(&mut self, name: &str, cx: &mut Context<'_>) -> String {
        if let Some(tier) = self.store.all(TIER).find(|tier| tier.text("name").eq_ignore_ascii_case(name)) {
            return tier.id().to_owned();
        }
        let (id, position) = (cx.rng.uuid(), self.store.all(TIER).count());
        self.store.insert(
            TIER,
            &id,
            json!({"name": name, "displayName": name, "color": "#95a2b3", "position": position}),
            cx.now,
        );
        id
    }

    /// What a customer's `statusId` is when none is given.
    pub(super) fn first_status(&self) -> Option<String> {
        self.store.in_order(STATUS).first().map(|row| row.id().to_owned())
    }

    pub(super) fn customer_by(&self, field: &str, value: &str) -> Option<String> {
        self.store
            .all(CUSTOMER)
            .find(|c| c.texts(field).iter().any(|v| v.eq_ignore_ascii_case(value)))
            .map(|c| c.id().to_owned())
    }

    /// Checks what may not be shared between customers. `own`: the customer that may keep it.
    fn customer_check(&self, input: &Map<String, Value>, own: Option<&str>) -> Answer<()> {
        for domain in strings(input, "domains").unwrap_or_default() {
            if PUBLIC_MAIL.contains(&domain.to_lowercase().as_str()) {
                return Err(Fault::input(&format!("The domain {domain} is a public mail domain.")));
            }
            if self.customer_by("domains", &domain).is_some_and(|id| Some(id.as_str()) != own) {
                return Err(Fault::input(&format!("The domain {domain} belongs to another customer.")));
            }
        }
        for external in strings(input, "externalIds").unwrap_or_default() {
            if self.customer_by("externalIds", &external).is_some_and(|id| Some(id.as_str()) != own) {
                return Err(Fault::input(&format!("The external id {external} belongs to another customer.")));
            }
        }
        let channel = input.get("slackChannelId").and_then(Value::as_str);
        let taken =
            |c: &super::store::Row| channel.is_some_and(|ch| c.text("slackChannelId") == ch) && Some(c.id()) != own;
        if self.store.all(CUSTOMER).any(taken) {
            return Err(Fault::input("The Slack channel belongs to another customer."));
        }
        for (name, kind) in [("statusId", STATUS), ("tierId", TIER), ("ownerId", USER)] {
            if input.get(name).and_then(Value::as_str).is_some_and(|id| !self.store.has(kind, id)) {
                return Err(Fault::missing(kind));
            }
        }
        Ok(())
    }

    pub(super) fn customer_create(
        &mut self,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<String> {
        let id = self.new_id(CUSTOMER, input, cx)?;
        let name = text(input, "name").trim().to_owned();
        if name.is_empty() {
            return Err(Fault::argument("name", &json!(name), "name should not be empty"));
        }
        self.customer_check(input, None)?;
        let short: String = id.chars().filter(char::is_ascii_hexdigit).take(12).collect();
        let mut fields = Map::from_iter([
            ("name".to_owned(), json!(name)),
            ("domains".to_owned(), json!([])),
            ("externalIds".to_owned(), json!([])),
            ("statusId".to_owned(), json!(self.first_status())),
            ("slugId".to_owned(), json!(short)),
            ("url".to_owned(), json!(format!("https://linear.app/sandbox/customer/{short}"))),
        ]);
        for field in [
            "domains",
            "externalIds",
            "logoUrl",
            "mainSourceId",
            "ownerId",
            "revenue",
            "size",
            "slackChannelId",
            "statusId",
            "tierId",
        ] {
            if let Some(value) = input.get(field).filter(|v| !v.is_null()) {
                fields.insert(field.to_owned(), value.clone());
            }
        }
        self.store.insert(CUSTOMER, &id, Value::Object(fields), cx.now);
        self.emit(CUSTOMER, &id, Action::Create, None, actor, cx);
        Ok(id)
    }

    /// `domains` replaces the list; external ids are added to it.
    fn customer_update(
        &mut self,
        id: &str,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<()> {
        let row = self.store.get(CUSTOMER, id).ok_or_else(|| Fault::missing(CUSTOMER))?;
        self.customer_check(input, Some(id))?;
        let mut fields = input.clone();
        if let Some(more) = strings(input, "externalIds") {
            let mut all = row.texts("externalIds");
            more.into_iter().for_each(|id| {
                if !all.contains(&id) {
                    all.push(id);
                }
            });
            fields.insert("externalIds".to_owned(), json!(all));
        }
        self.change(CUSTOMER, id, &fields, actor, cx)
    }

    pub(super) fn customer_upsert(
        &mut self,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<String> {
        let by_domain = || strings(input, "domains")?.iter().find_map(|domain| self.customer_by("domains", domain));
        let by_channel = || {
            let channel = input.get("slackChannelId")?.as_str()?;
            self.store.all(CUSTOMER).find(|c| c.text("slackChannelId") == channel).map(|c| c.id().to_owned())
        };
        let known = Some(text(input, "id").to_owned())
            .filter(|id| self.store.has(CUSTOMER, id))
            .or_else(|| self.customer_by("externalIds", input.get("externalId")?.as_str()?))
            .or_else(by_channel)
            .or_else(by_domain);
        let mut fields = input.clone();
        fields.remove("tierName");
        if let Some(external) = fields.remove("externalId").filter(|v| !v.is_null()) {
            fields.insert("externalIds".to_owned(), json!([external]));
        }
        self.customer_check(&fields, known.as_deref())?;
        if known.is_none() && text(input, "name").is_empty() {
            return Err(Fault::argument("name", &Value::Null, "name is needed to create a customer"));
        }
        if let Some(tier) = input.get("tierName").and_then(Value::as_str) {
            let id = self.tier_named(tier, cx);
            fields.insert("tierId".to_owned(), json!(id));
        }
        match known {
            Some(id) => self.customer_update(&id, &fields, actor, cx).map(|()| id),
            None => self.customer_create(&fields, actor, cx),
        }
    }

    fn customer_of(&self, input: &Map<String, Value>) -> Answer<Option<String>> {
        match (input.get("customerId").and_then(Value::as_str), input.get("customerExternalId").and_then(Value::as_str))
        {
            (Some(_), Some(_)) => Err(Fault::input("Give either customerId or customerExternalId.")),
            (Some(id), None) if self.store.has(CUSTOMER, id) => Ok(Some(id.to_owned())),
            (None, Some(external)) => {
                self.customer_by("externalIds", external).map(Some).ok_or_else(|| Fault::missing(CUSTOMER))
            }
            (Some(_), None) => Err(Fault::missing(CUSTOMER)),
            (None, None) => Ok(None),
        }
    }

    fn need_create(&mut self, input: &Map<String, Value>, actor: &str, cx: &mut Context<'_>) -> Answer<String> {
        let id = self.new_id(NEED, input, cx)?;
        let customer = self.customer_of(input)?;
        let issue = self.store.issue(text(input, "issueId")).ok_or_else(|| Fault::missing(ISSUE))?.id().to_owned();
        let priority = input.get("priority").filter(|p| !p.is_null()).cloned().unwrap_or(json!(0));
        if !matches!(priority.as_f64(), Some(p) if p == 0.0 || p == 1.0) {
            return Err(Fault::argument("priority", &priority, "priority must be 0 or 1"));
        }
        for (name, kind) in [("attachmentId", ATTACHMENT), ("commentId", COMMENT)] {
            if input.get(name).and_then(Value::as_str).is_some_and(|id| !self.store.has(kind, id)) {
                return Err(Fault::missing(kind));
            }
        }
        let attachment = self.need_attachment(input, &issue, actor, cx)?;
        let fields = json!({
            "issueId": issue,
            "customerId": customer,
            "body": input.get("body"),
            "priority": priority,
            "attachmentId": attachment,
            "commentId": input.get("commentId"),
            "createdAt": input.get("createdAt"),
            "creatorId": actor,
            "url": self.store.get(ISSUE, &issue).map(|i| i.get("url").clone()),
        });
        self.store.insert(NEED, &id, fields, cx.now);
        self.history(&issue, Map::from_iter([("customerNeedId".to_owned(), json!(id))]), actor, cx);
        self.emit(NEED, &id, Action::Create, None, actor, cx);
        Ok(id)
    }

    /// `attachmentUrl` makes the attachment, or finds the one with that URL.
    fn need_attachment(
        &mut self,
        input: &Map<String, Value>,
        issue: &str,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<Option<String>> {
        let url = text(input, "attachmentUrl");
        if url.is_empty() {
            return Ok(input.get("attachmentId").and_then(Value::as_str).map(str::to_owned));
        }
        let same = self
            .store
            .having(ATTACHMENT, "issueId", issue)
            .into_iter()
            .find(|a| a.text("url") == url)
            .map(|a| a.id().to_owned());
        if same.is_some() {
            return Ok(same);
        }
        let attachment = Map::from_iter([
            ("issueId".to_owned(), json!(issue)),
            ("url".to_owned(), json!(url)),
            ("title".to_owned(), json!(url)),
        ]);
        self.attachment_create(&attachment, actor, cx).map(Some)
    }

    fn need_update(
        &mut self,
        id: &str,
        args: &Map<String, Value>,
        input: &Map<String, Value>,
        actor: &str,
        cx: &mut Context<'_>,
    ) -> Answer<()> {
        let issue = self.store.get(NEED, id).ok_or_else(|| Fault::missing(NEED))?.text("issueId").to_owned();
        let mut fields = Map::new();
        for name in ["body", "priority", "issueId"] {
            if let Some(value) = input.get(name) {
                fields.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(customer) = self.customer_of(input)? {
            fields.insert("customerId".to_owned(), json!(customer));
        }
        if let Some(attachment) = self.need_attachment(input, &issue, actor, cx)? {
            fields.insert("attachmentId".to_owned(), json!(attachment));
        }
        if args.get("clearAttachment") == Some(&json!(true)) {
            fields.insert("attachmentId".to_owned(), Value::Null);
        }
        self.change(NEED, id, &fields, actor, cx)
    }
}

//! Writing customers. A customer of ours is known by our external id; one that a person made, by its domain: it becomes ours as
//! well, and keeps the name that the person gave it.
//!
//! `customerUpsert` would match it by its domain, too, and rename it; so before the first write, a customer with a domain is
//! looked for (linear.app schema, `CustomerUpsertInput`, read 2026-11-23).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Linear;
use super::attach::Binding;
use super::client::{Failure, Sort};
use super::draft::{Draft, untouched};
use super::needs::is_new;
use super::operations::{CustomerUpdate, CustomerUpsert, Customers, customer_update, customer_upsert, customers};
use super::types::{CUSTOMER, array, nodes, record, text};
use crate::{Fault, Record, Write, Written};

/// Whether Linear has a customer already.
#[derive(Serialize, Deserialize)]
enum There {
    Nobody,
    /// It carries our external id.
    Ours,
    /// It has one of the domains, and not our external id.
    APersons(Value),
}

/// A filter that lets all through, to fill in.
pub(super) fn no_filter() -> customers::CustomerFilter {
    customers::CustomerFilter { domains: None, external_ids: None, id: None, or: None }
}

impl Linear {
    pub(super) async fn write_customer(&self, binding: &Binding, write: &Write) -> Result<Written, Fault> {
        let mut draft = Draft::new(CUSTOMER, write, self);
        let clear_revenue = draft.has("revenue");
        let name = draft.text("name");
        let domains = draft.list("domains");
        let revenue = draft.whole("revenue");
        let had_tier = draft.has("tier");
        let tier = draft.text("tier");
        let Some(id) = &write.target else {
            if name.is_none() {
                return Err(Fault::Rejected { why: "a customer needs a name".into(), field: Some("name".into()) });
            }
            let domains = domains.filter(|domains| !domains.is_empty());
            let (name, domains) = match self.customer_there(&write.external_id, domains.as_deref()).await? {
                There::Nobody => (name, domains),
                // An earlier try made it, or took it up: then its name and some of its domains are a person's.
                There::Ours => (None, None),
                There::APersons(theirs) => {
                    return self
                        .adopt_customer(binding, &theirs, write, domains.unwrap_or_default(), revenue, tier, draft)
                        .await;
                }
            };
            let input = customer_upsert::CustomerUpsertInput {
                external_id: Some(write.external_id.clone()),
                name,
                domains,
                revenue,
                tier_name: tier,
            };
            let sent = draft.finish();
            let written =
                self.client.mutate::<CustomerUpsert>("customerUpsert", customer_upsert::Variables { input }, &[]).await;
            self.looked(&write.external_id, &written);
            return match written {
                Ok(payload) => {
                    let node = payload.get("customer");
                    self.stored(CUSTOMER, node, &sent, is_new(node))
                }
                Err(failure) => Err(self.customers_fault(failure)),
            };
        };
        if write.fields.contains_key("name") && name.is_none() {
            draft.skip("name", "a customer needs a name");
        }
        let tier_id = tier.as_ref().and_then(|tier| binding.tiers.get(tier)).cloned();
        if let (Some(tier), None) = (&tier, &tier_id) {
            draft.skip("tier", format!("this workspace has no customer tier {tier}"));
        }
        let mut clear = Vec::new();
        if clear_revenue && revenue.is_none() {
            clear.push("revenue");
        }
        if had_tier && tier.is_none() {
            clear.push("tierId");
        }
        let sent = draft.finish();
        if name.is_none() && domains.is_none() && revenue.is_none() && tier_id.is_none() && clear.is_empty() {
            return Ok(Written::Stored(untouched(id, sent)));
        }
        let input = customer_update::CustomerUpdateInput { name, domains, revenue, tier_id, external_ids: None };
        match self
            .client
            .mutate::<CustomerUpdate>("customerUpdate", customer_update::Variables { id: id.clone(), input }, &clear)
            .await
        {
            Ok(payload) => self.stored(CUSTOMER, payload.get("customer"), &sent, false),
            Err(failure) if failure.sort == Sort::Missing => Ok(Written::Gone),
            Err(failure) => Err(self.customers_fault(failure)),
        }
    }

    /// Who has our external id, or one of these domains. What was seen is kept until it was used, in case that the quota
    /// allows only one call now.
    async fn customer_there(&self, ours: &str, domains: Option<&[String]>) -> Result<There, Fault> {
        // Without a domain, only our own can be met.
        let Some(domains) = domains else { return Ok(There::Nobody) };
        if let Some(seen) = self.halfway().get(ours).and_then(|seen| serde_json::from_str(seen).ok()) {
            return Ok(seen);
        }
        let among = |values: &[String]| {
            let some = Some(customers::StringItemComparator { in_: Some(values.to_vec()) });
            Some(customers::StringArrayComparator { some })
        };
        let either = vec![
            customers::CustomerFilter { external_ids: among(&[ours.to_owned()]), ..no_filter() },
            customers::CustomerFilter { domains: among(domains), ..no_filter() },
        ];
        let filter = Some(customers::CustomerFilter { or: Some(either), ..no_filter() });
        let data = match self.client.query::<Customers>(customers::Variables { filter, first: 50, after: None }).await {
            Ok(data) => data,
            // A server that cannot be asked so: the upsert decides by itself.
            Err(failure) if failure.sort == Sort::Query => return Ok(There::Nobody),
            Err(failure) => return Err(self.customers_fault(failure)),
        };
        let there = nodes(&data, "customers").0;
        let has = |node: &Value, list: &str, value: &str| {
            array(node, list).iter().filter_map(Value::as_str).any(|held| held.eq_ignore_ascii_case(value))
        };
        // The first of our domains says most of who it is.
        let of_domain = |domain: &String| there.iter().find(|node| has(node, "domains", domain));
        let found = if there.iter().any(|node| has(node, "externalIds", ours)) {
            There::Ours
        } else {
            domains.iter().find_map(of_domain).map_or(There::Nobody, |theirs| There::APersons(theirs.clone()))
        };
        self.keep_halfway(ours, serde_json::to_string(&found).unwrap_or_default());
        Ok(found)
    }

    /// What was seen was used, unless the call did not go out.
    fn looked(&self, ours: &str, written: &Result<Value, Failure>) {
        if !matches!(written, Err(Failure { fault: Fault::Later { .. }, .. })) {
            self.halfway().remove(ours);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what `write_customer` has taken apart")]
    async fn adopt_customer(
        &self,
        binding: &Binding,
        theirs: &Value,
        write: &Write,
        domains: Vec<String>,
        revenue: Option<i64>,
        tier: Option<String>,
        mut draft: Draft<'_>,
    ) -> Result<Written, Fault> {
        let id = text(theirs, "id").ok_or_else(|| Fault::unknown("Linear's customer has no id"))?;
        let mut all: Vec<String> =
            array(theirs, "domains").iter().filter_map(Value::as_str).map(String::from).collect();
        all.extend(
            domains
                .into_iter()
                .filter(|ours| !all.iter().any(|held| held.eq_ignore_ascii_case(ours)))
                .collect::<Vec<_>>(),
        );
        let tier_id = tier.as_ref().and_then(|tier| binding.tiers.get(tier)).cloned();
        if let (Some(tier), None) = (&tier, &tier_id) {
            draft.skip("tier", format!("this workspace has no customer tier {tier}"));
        }
        let sent = draft.finish();
        let input = customer_update::CustomerUpdateInput {
            name: None,
            domains: Some(all),
            revenue,
            tier_id,
            external_ids: Some(vec![write.external_id.clone()]),
        };
        let written =
            self.client.mutate::<CustomerUpdate>("customerUpdate", customer_update::Variables { id, input }, &[]).await;
        self.looked(&write.external_id, &written);
        match written {
            Ok(payload) => self.stored(CUSTOMER, payload.get("customer"), &sent, false),
            // It went in between: the next try looks again.
            Err(failure) if failure.sort == Sort::Missing => Err(Fault::later(failure.message)),
            Err(failure) => Err(self.customers_fault(failure)),
        }
    }

    pub(super) async fn find_customers(&self, external_ids: &[String]) -> Result<Vec<Option<Record>>, Fault> {
        let mut found: BTreeMap<String, Record> = BTreeMap::new();
        for part in external_ids.chunks(100) {
            let some = Some(customers::StringItemComparator { in_: Some(part.to_vec()) });
            let filter = Some(customers::CustomerFilter {
                external_ids: Some(customers::StringArrayComparator { some }),
                ..no_filter()
            });
            let data = self.client.query::<Customers>(customers::Variables { filter, first: 100, after: None }).await?;
            for node in nodes(&data, "customers").0 {
                for id in array(node, "externalIds")
                    .iter()
                    .filter_map(Value::as_str)
                    .filter(|id| part.iter().any(|asked| asked == id))
                {
                    found.extend(record(CUSTOMER, node, &self.settings).map(|record| (id.to_owned(), record)));
                }
            }
        }
        Ok(external_ids.iter().map(|id| found.remove(id)).collect())
    }
}

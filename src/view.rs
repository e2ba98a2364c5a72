//! What a mapping sees of an entity: its body, its ids, its links, and what is derived from its neighbours.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::ledger::{Ledger, LedgerError};
use crate::schema::domain::is_mail_provider;
use crate::schema::{Alias, AliasKind, Body, Customer, Entity, EntityId, Feedback, Status};

/// The view of an entity (its shape is in docs/mappings.md).
pub fn view(ledger: &Ledger, entity: &Entity, now: DateTime<Utc>) -> Result<Value, LedgerError> {
    let mut view = entity.to_value();
    let links = ledger.links(entity.id)?;
    let urls: Vec<Value> = links
        .iter()
        .filter(|(_, _, link)| link.is_live())
        .filter_map(|(.., link)| link.url.clone())
        .map(Value::from)
        .collect();
    let derived = match &entity.body {
        Body::Feedback(feedback) => of_feedback(ledger, feedback, &urls)?,
        Body::Customer(customer) => of_customer(ledger, entity.id, customer, now)?,
        Body::Theme(_) => of_theme(ledger, entity.id)?,
    };
    let shown: Map<String, Value> = links
        .into_iter()
        .filter(|(_, _, link)| link.is_live())
        .map(|(connection, collection, link)| {
            (format!("{connection}.{collection}"), json!({"id": link.id, "url": link.url}))
        })
        .collect();
    if let Body::Customer(customer) = &entity.body {
        view["domains"] = json!(own_domains(ledger, entity.id, customer)?);
    }
    if let Value::Object(map) = &mut view {
        map.insert("id".into(), json!(entity.id));
        map.insert("short_id".into(), json!(entity.short_id()));
        map.insert("kind".into(), json!(entity.kind().name()));
        map.insert("links".into(), Value::Object(shown));
        map.insert("derived".into(), derived);
    }
    Ok(view)
}

fn of_feedback(ledger: &Ledger, feedback: &Feedback, urls: &[Value]) -> Result<Value, LedgerError> {
    let customer = match feedback.customer {
        Some(id) => ledger.entity(id)?,
        None => None,
    };
    let customer = customer.as_ref().and_then(Entity::as_customer);
    let theme = match feedback.theme {
        Some(id) => ledger.entity(id)?,
        None => None,
    };
    Ok(json!({
        "customer_name": customer.and_then(|customer| customer.name.clone()),
        "arr": customer.and_then(|customer| customer.arr),
        "tier": customer.and_then(|customer| customer.tier.clone()),
        "industry": customer.and_then(|customer| customer.industry.clone()),
        "region": customer.and_then(|customer| customer.region.clone()),
        "segment": feedback.tags.segment.clone().or_else(|| customer.and_then(|customer| customer.industry.clone())),
        "theme_name": theme.as_ref().and_then(Entity::as_theme).and_then(|theme| theme.name.clone()),
        "urls": urls,
    }))
}

fn of_customer(ledger: &Ledger, id: EntityId, customer: &Customer, now: DateTime<Utc>) -> Result<Value, LedgerError> {
    let members = members(ledger, id)?;
    let open = members.iter().filter(|feedback| !matches!(feedback.status, Status::Shipped | Status::WontDo)).count();
    let days = customer.customer_since.map(|since| (now.date_naive() - since).num_days().max(0));
    let merged_into = match &customer.merged {
        Some(merge) => ledger.entity(merge.into)?.as_ref().map(crate::customers::called),
        None => None,
    };
    Ok(json!({
        "days_as_customer": days,
        "feedback_count": members.len(),
        "open_count": open,
        "merged_into": merged_into,
    }))
}

/// The domains that lead to this customer. One that another had first is that one's, whatever a source says of both: some
/// vendors let only one have it. Who was merged has none.
fn own_domains(ledger: &Ledger, id: EntityId, customer: &Customer) -> Result<Vec<String>, LedgerError> {
    let mut own = Vec::new();
    for domain in &customer.domains {
        let owner = match Alias::new(AliasKind::Domain, domain) {
            Some(alias) => ledger.customer_by(&alias)?,
            None => None,
        };
        let is_own = match owner {
            Some(owner) => owner == id,
            None => !customer.is_merged() && !is_mail_provider(domain),
        };
        if is_own {
            own.push(domain.clone());
        }
    }
    Ok(own)
}

fn of_theme(ledger: &Ledger, id: EntityId) -> Result<Value, LedgerError> {
    let members = members(ledger, id)?;
    // Each account counts once, however much it says.
    let customers: BTreeSet<EntityId> = members.iter().filter_map(|feedback| feedback.customer).collect();
    let mut arr = 0.0;
    for customer in &customers {
        arr += ledger
            .entity(*customer)?
            .as_ref()
            .and_then(Entity::as_customer)
            .and_then(|customer| customer.arr)
            .unwrap_or(0.0);
    }
    Ok(json!({ "count": members.len(), "customers": customers.len(), "arr": arr }))
}

/// The feedback that names an entity, without what was withdrawn.
fn members(ledger: &Ledger, id: EntityId) -> Result<Vec<Feedback>, LedgerError> {
    let mut members = Vec::new();
    for id in ledger.referrers(id)? {
        if let Some(feedback) = ledger.entity(id)?.as_ref().and_then(Entity::as_feedback)
            && !feedback.withdrawn
        {
            members.push(feedback.clone());
        }
    }
    Ok(members)
}

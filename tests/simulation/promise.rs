//! The promise, checked against the vendors' own books when a town has come to rest.

use std::collections::BTreeMap;
use std::time::Duration;

use loopd::ledger::{Entry, LinkState, What};
use loopd::schema::{Entity, EntityId};
use loopd::view::view;
use sandbox::Vendor;
use serde_json::Value;

use super::people::{People, Typed};
use crate::town::{BASE, REPO, Town};

pub(super) fn check(town: &mut Town, people: &People) {
    town.assert_quiet();
    let dead = town.house.ledger.dead().expect("memory");
    // An answer to a thread that was deleted has nowhere to go: that is a dead letter.
    let dead: Vec<_> = dead.into_iter().filter(|(_, dead)| dead.room != "close").collect();
    assert!(dead.is_empty(), "dead letters: {dead:#?}");
    once_each(town, people);
    for typed in last_of_each_field(people) {
        stands_or_is_told(town, people, typed);
    }
    nothing_moves_by_itself(town, people);
    converged(town, people);
    nobody_is_left_behind(town);
    // A model says "too many" when it is told to.
    for vendor in Vendor::ALL.into_iter().filter(|vendor| *vendor != Vendor::Mistral) {
        assert_eq!(town.world.books(vendor).throttled, 0, "{} had to say \"too many\"", vendor.name());
    }
    let before = writes(town);
    town.run_for(Duration::from_secs(30 * 60));
    assert_eq!(writes(town), before, "a cycle on a still world writes");
    town.assert_quiet();
}

/// Calls that change something, by vendor and operation.
fn writes(town: &Town) -> BTreeMap<String, u64> {
    let mut writes = BTreeMap::new();
    for vendor in Vendor::ALL {
        for (operation, count) in town.world.books(vendor).by_operation {
            let name = format!("{} {operation}", vendor.name());
            let method = ["PATCH", "PUT", "DELETE"].iter().any(|method| operation.starts_with(method));
            let mutation =
                ["Create", "Update", "Upsert", "Delete", "Archive"].iter().any(|word| operation.contains(word));
            let said = operation.contains("reply") || operation.starts_with("POST") && operation.contains("comments");
            if method || mutation || said {
                writes.insert(name, count);
            }
        }
    }
    writes
}

/// Every input has its records, and each of them once.
fn once_each(town: &Town, people: &People) {
    let doubles = town.world.airtable(|desk, _| {
        ["Feedback", "Customers", "Themes"].map(|table| (table, desk.doubles(BASE, table, "Loopd ID")))
    });
    for (table, doubles) in doubles {
        assert!(doubles.is_empty(), "{table} has doubles: {doubles:?}");
    }
    let rows = town.world.airtable(|desk, _| desk.rows(BASE, "Feedback"));
    let pages = town.world.notion(|desk, _| desk.rows("Feedback"));
    for source in ["Feedback", "Customers", "Themes"] {
        let doubles = town.world.notion(|desk, _| desk.doubles(source, "Loopd ID"));
        assert!(doubles.is_empty(), "{source} in Notion has doubles: {doubles:?}");
    }
    let doubles = town.world.salesforce(|desk, _| desk.doubles("Loopd_Feedback__c", "Loopd_ID__c"));
    assert!(doubles.is_empty(), "Salesforce has doubles: {doubles:?}");
    let issues = people.issues.iter().map(|number| ("github", "issue", format!("{REPO}#{number}")));
    let conversations = people.conversations.iter().map(|id| ("intercom", "conversation", id.to_string()));
    for (connection, collection, outside) in issues.chain(conversations) {
        let id = EntityId::derive(connection, collection, &outside).to_string();
        let count = rows.iter().filter(|row| row["fields"]["Loopd ID"] == id.as_str()).count();
        let expected = usize::from(!people.deleted_rows.contains(&id));
        assert_eq!(count, expected, "rows of {connection} {outside} ({id})");
        if people.four {
            let count =
                pages.values().filter(|page| page.get("Loopd ID").is_some_and(|held| *held == id.as_str())).count();
            let expected = usize::from(!people.trashed_pages.contains(&id));
            assert_eq!(count, expected, "pages of {connection} {outside} ({id})");
        }
    }
    let urls = town.world.linear(|desk, _| desk.doubles());
    assert!(urls.is_empty(), "one source became several issues: {urls:?}");
    for (id, message) in town.house.ledger.messages().expect("memory") {
        let marked = match message.connection.as_str() {
            "github" => town.world.github(|desk, _| desk.comments_containing(&id)),
            _ => town.world.intercom(|desk, _| desk.parts_containing(&id).count()),
        };
        let sent = usize::from(matches!(message.state, loopd::ledger::MessageState::Sent { .. }));
        // What it answers may have been deleted, and the answer with it; the nightly sweep will know, where no webhook told.
        let number = message.to.id.rsplit_once('#').and_then(|(_, number)| number.parse::<u64>().ok());
        let stands = message.connection != "github" || number.is_some_and(|number| people.issues.contains(&number));
        let gone = town.house.ledger.link(message.entity, &message.connection, &message.to.collection).expect("memory");
        if stands && gone.is_some_and(|link| link.is_live()) {
            assert_eq!(marked, sent, "message {id} was sent {marked} times");
        }
        assert!(marked <= 1, "message {id} was sent {marked} times");
    }
}

/// Of each field of each record, what a person typed last.
fn last_of_each_field(people: &People) -> Vec<&Typed> {
    let mut last: BTreeMap<(&str, &str, &str), &Typed> = BTreeMap::new();
    for typed in &people.typed {
        last.insert((typed.table, &typed.record, typed.field), typed);
    }
    last.into_values().collect()
}

fn outside(town: &Town, typed: &Typed) -> Option<Value> {
    match typed.vendor {
        "airtable" => town
            .world
            .airtable(|desk, _| desk.row(BASE, typed.table, &typed.record))
            .map(|row| row["fields"][typed.field].clone()),
        "notion" => {
            let row = town.world.notion(|desk, _| desk.row(&typed.record));
            (!row.is_empty()).then(|| row.get(typed.field).cloned().unwrap_or_default())
        }
        "salesforce" => {
            town.world.salesforce(|desk, _| desk.row(typed.table, &typed.record)).map(|row| row[typed.field].clone())
        }
        _ => town.world.linear(|desk, _| desk.issue(&typed.record)).map(|issue| issue[typed.field].clone()),
    }
}

fn stands_or_is_told(town: &Town, people: &People, typed: &Typed) {
    let Some(now) = outside(town, typed) else { return }; // The record is gone.
    if now == typed.value || people.trashed.contains(&typed.record) {
        return;
    }
    let entity = town.house.ledger.linked(typed.vendor, typed.table, &typed.record).expect("memory");
    let Some(entity) = entity else { panic!("nobody knows the record of {typed:?}") };
    let history = town.house.ledger.history(entity).expect("memory");
    let told = |entry: &Entry| {
        entry.old.as_ref() == Some(&typed.value)
            || entry.new.as_ref() == Some(&typed.value)
            || entry.note.as_ref().is_some_and(|note| typed.value.as_str().is_some_and(|value| note.contains(value)))
    };
    // What they typed is what loopd held: it had written it there before (and they changed it back), or did so after, for
    // somebody typed the same elsewhere. Then nothing is to be told.
    let written = |entry: &&Entry| {
        entry.what == What::Written
            && entry.by == typed.vendor
            && entry.new.as_ref().is_some_and(|new| new.get(typed.field).is_some())
    };
    let same = |entry: &Entry| entry.new.as_ref().and_then(|new| new.get(typed.field)) == Some(&typed.value);
    let before = history.iter().filter(written).rfind(|entry| entry.at < typed.at).is_some_and(same);
    let held = before || history.iter().filter(written).any(|entry| entry.at >= typed.at && same(entry));
    let counts = [What::Edited, What::Conflict, What::EditedThere, What::Overtaken];
    let logged = history.iter().any(|entry| counts.contains(&entry.what) && told(entry));
    assert!(logged || held, "an edit is lost: {typed:#?}\nnow stands: {now}\nhistory: {history:#?}");
}

/// What is a customer's is that of the one in which it lives: items, and names.
fn nobody_is_left_behind(town: &Town) {
    let ledger = &town.house.ledger;
    let lives = |id: EntityId| {
        let entity = ledger.entity(id).expect("memory").expect("it is there");
        entity.as_customer().is_some_and(|customer| !customer.is_merged())
    };
    let mut entities: Vec<Entity> = Vec::new();
    let all = ledger.each_entity(|entity| {
        entities.push(entity);
        Ok(())
    });
    all.expect("memory");
    for entity in entities {
        if let Some(customer) = entity.as_feedback().and_then(|feedback| feedback.customer) {
            assert!(lives(customer), "{} is that of one who was merged", entity.short_id());
        }
        let Some(customer) = entity.as_customer() else { continue };
        for alias in &customer.aliases {
            let owner = ledger.transact(|tx| tx.customer_by(alias)).expect("memory");
            assert!(owner.is_none_or(lives), "{alias} leads to one who was merged");
            assert!(owner.is_some() || !town.house.config.customers.rules.admits(alias), "{alias} leads to nobody");
        }
        for absorbed in &customer.absorbed {
            let other = ledger.entity(*absorbed).expect("memory").expect("it is there");
            let into = other.as_customer().and_then(|customer| customer.merged.as_ref()).map(|merge| merge.into);
            assert_eq!(into, Some(entity.id), "both sides of a merge say the same");
        }
    }
}

/// No status comes from Linear that nobody set there.
fn nothing_moves_by_itself(town: &Town, people: &People) {
    let issues = town.world.linear(|desk, _| desk.issues());
    for issue in issues.iter().filter_map(|issue| issue["id"].as_str()).filter(|id| !people.moved.contains(*id)) {
        let Some(entity) = town.house.ledger.linked("linear", "issue", issue).expect("memory") else { continue };
        for entry in town.house.ledger.history(entity).expect("memory") {
            let counts = matches!(entry.what, What::Edited | What::Conflict);
            let by_linear = entry.by == "linear" && entry.field.as_deref() == Some("issue.state");
            assert!(!(counts && by_linear), "nobody moved issue {issue}: {entry:#?}");
        }
    }
}

/// What stands outside is what should stand there.
fn converged(town: &Town, people: &People) {
    let house = &town.house;
    let mut checked = 0;
    let mut entities: Vec<Entity> = Vec::new();
    house
        .ledger
        .each_entity(|entity| {
            entities.push(entity);
            Ok(())
        })
        .expect("memory");
    for entity in entities {
        let seen = view(&house.ledger, &entity, house.now()).expect("memory");
        for (connection, collection, link) in house.ledger.links(entity.id).expect("memory") {
            let Some(mapping) = house.config.mappings.into_for(&connection, &collection, entity.kind()) else {
                continue;
            };
            let Some(sink) = house.connections[&connection].connector.sink() else { continue };
            assert!(!matches!(link.state, LinkState::Stopped { .. }), "{entity:?} was given up in {collection}");
            // A query does not tell of the trash, nor of what was typed before: where the webhook was lost, the sweep finds it.
            let in_trash = connection == "notion" && people.trashed_pages.contains(&entity.id.to_string());
            if !link.is_live() || in_trash {
                continue;
            }
            let there = match (connection.as_str(), collection.as_str()) {
                ("airtable", table) => {
                    town.world.airtable(|desk, _| desk.row(BASE, table, &link.id)).map(|row| row["fields"].clone())
                }
                ("linear", "issue") => town.world.linear(|desk, _| desk.issue(&link.id)),
                ("notion", _) => {
                    let row = town.world.notion(|desk, _| desk.row(&link.id));
                    (!row.is_empty()).then_some(Value::Object(row))
                }
                ("salesforce", object) => town.world.salesforce(|desk, _| desk.row(object, &link.id)),
                _ => continue,
            };
            let Some(there) = there else {
                panic!("{connection} {collection} {} is linked and does not exist", link.id)
            };
            let base = house.ledger.base(entity.id, &connection, &collection).expect("memory").unwrap_or_default();
            let wanted = loopd::sync::desired(house, mapping, &entity, &seen).expect("a mapping that works");
            for (field, value) in wanted.fields {
                if base.fields.get(&field).is_some_and(|base| base.held)
                    || field == "labels"
                    || base.owed.contains_key(&field)
                {
                    continue;
                }
                let should = sink.canonical(&collection, &field, value);
                let is = sink.canonical(&collection, &field, there[&field].clone());
                assert_eq!(
                    is,
                    should,
                    "{connection} {collection}.{field} of {} ({})\nbase: {:#?}\nhistory: {:#?}",
                    entity.short_id(),
                    entity.id,
                    base.fields.get(&field),
                    house.ledger.history(entity.id)
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 0, "nothing was there to compare");
}

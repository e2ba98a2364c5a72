//! How a story is told, and the few words that all of them use.

#![expect(unreachable_pub, reason = "its words are for the stories of this binary")]

use std::collections::BTreeMap;
use std::time::Duration;

use loopd::ledger::{Dead, Entry};
use loopd::schema::{Entity, EntityId};
use sandbox::Vendor;
use sandbox::github::NewIssue;
use sandbox::intercom::NewCompany;
use serde_json::{Map, Value, json};

use crate::town::{BASE, REPO, Town};

/// What happens to the engine in the middle of a story.
pub type Mid<'a> = &'a mut dyn FnMut(&mut Town);

/// Tells a story in an ordinary town, three times.
pub fn tell(story: impl Fn(&mut Town, Mid<'_>)) {
    tell_in(|| Town::new(7), story);
}

/// The same in a town of the story's own.
pub fn tell_in(found: impl Fn() -> Town, story: impl Fn(&mut Town, Mid<'_>)) {
    let restart = |town: &mut Town| {
        town.run_for(Duration::from_millis(1500));
        town.restart(None);
    };
    let power_loss = |town: &mut Town| {
        town.run_for(Duration::from_millis(2500));
        town.restart(Some(0));
    };
    let ways: [(&str, Mid<'_>); 3] = [
        ("undisturbed", &mut |_| ()),
        ("with a restart", &mut { restart }),
        ("with a power loss", &mut { power_loss }),
    ];
    for (name, mid) in ways {
        println!("told {name}");
        let mut town = found();
        town.run_for(Duration::from_secs(10));
        let mut times = 0;
        story(&mut town, &mut |town: &mut Town| {
            times += 1;
            mid(town);
        });
        assert!(times > 0, "the story has no middle");
        town.assert_quiet();
    }
}

/// A machine with these mappings of its own.
pub fn own_mapping(name: &str, text: &str) -> BTreeMap<std::path::PathBuf, String> {
    [(format!("mappings/{name}").into(), text.to_owned())].into()
}

/// The mapping that loopd ships, with some of its text replaced.
pub fn changed_mapping(name: &str, changes: &[(&str, &str)]) -> String {
    let shipped = loopd::config::SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    changes.iter().fold(shipped.expect("a mapping that is shipped").to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from:?}");
        text.replace(from, to)
    })
}

/// The machine sleeps for so long: the clock leaps, and whatever has come due meanwhile is done in the minutes after.
pub fn much_later(town: &mut Town, hours: u64) {
    town.clock.advance(Duration::from_secs(hours * 3600));
    minutes(town, 3);
}

pub fn minutes(town: &mut Town, minutes: u64) {
    town.run_for(Duration::from_secs(minutes * 60));
}

/// Lets time pass until it is so, and not a moment longer.
#[track_caller]
pub fn until(town: &mut Town, what: &str, is_so: impl Fn(&Town) -> bool) {
    for _ in 0..1200 {
        if is_so(town) {
            return;
        }
        town.run_for(Duration::from_millis(100));
    }
    panic!("for two minutes it was not so: {what}");
}

/// For so many minutes it is so at every moment: not only in the end, as it would be after a loss that was mended.
#[track_caller]
pub fn always(town: &mut Town, minutes: u64, what: &str, is_so: impl Fn(&Town) -> bool) {
    for tenths in 0..minutes * 600 {
        assert!(is_so(town), "after {tenths} tenths of a second it was not so any more: {what}");
        town.run_for(Duration::from_millis(100));
    }
}

/// A bug of high severity, which becomes a Linear issue; its number.
pub fn bug(town: &Town, title: &str) -> u64 {
    issue(town, title, Some("It stops after 4 KB."), &["bug", "p1"])
}

pub fn issue(town: &Town, title: &str, body: Option<&str>, labels: &[&str]) -> u64 {
    let new = NewIssue { title, body, author: "ada-example", labels, ..NewIssue::default() };
    town.world.github(|desk, cx| desk.open_issue(REPO, &new, cx)).expect("the repository is there")
}

/// What loopd calls a GitHub issue.
pub fn of_issue(number: u64) -> EntityId {
    EntityId::derive("github", "issue", &format!("{REPO}#{number}"))
}

pub fn of_conversation(id: u64) -> EntityId {
    EntityId::derive("intercom", "conversation", &id.to_string())
}

/// A company with a person who speaks for it; that person's contact.
pub fn company(town: &Town, name: &str, github_org: Option<&str>, spend: i64) -> String {
    let domain = format!("{}.example.com", name.to_lowercase());
    let attributes: Map<String, Value> =
        github_org.map(|org| ("github_org".to_owned(), json!(org))).into_iter().collect();
    let (id, site) = (format!("{name}-1"), format!("https://{domain}"));
    town.world.intercom(|desk, cx| {
        let new = NewCompany {
            name,
            company_id: &id,
            website: Some(&site),
            monthly_spend: spend,
            custom_attributes: attributes,
            ..NewCompany::default()
        };
        let company = desk.add_company(&new, cx);
        desk.add_contact("Ada Example", &format!("ada@{domain}"), Some(&company), cx)
    })
}

pub fn conversation(town: &Town, contact: &str, text: &str) -> u64 {
    let body = format!("<p>{text}</p>");
    town.world
        .intercom(|desk, cx| desk.open_conversation(contact, "Help", &body, None, cx))
        .expect("the contact is there")
}

/// Rows of a table that carry an id of ours: the record id and the cells.
pub fn rows_with(town: &Town, table: &str, id: EntityId) -> Vec<(String, Value)> {
    let rows = town.world.airtable(|desk, _| desk.rows(BASE, table));
    let ours = rows.into_iter().filter(|row| row["fields"]["Loopd ID"] == id.to_string().as_str());
    ours.map(|row| (row["id"].as_str().unwrap_or_default().to_owned(), row["fields"].clone())).collect()
}

/// The one row of an entity: its record id and its cells.
#[track_caller]
pub fn row(town: &Town, table: &str, id: EntityId) -> (String, Value) {
    let mut rows = rows_with(town, table, id);
    assert_eq!(rows.len(), 1, "rows of {id} in {table}; dead: {:#?}", dead(town));
    rows.remove(0)
}

#[track_caller]
pub fn cells(town: &Town, id: EntityId) -> Value {
    row(town, "Feedback", id).1
}

/// Somebody types into a cell of the entity's row.
#[track_caller]
pub fn type_in(town: &Town, table: &str, id: EntityId, field: &str, value: &Value) {
    let (record, _) = row(town, table, id);
    town.world.airtable(|desk, cx| desk.edit_cell(cx, BASE, table, &record, field, value));
}

/// The Linear issue of an entity: loopd chooses its id.
pub fn linear(town: &Town, id: EntityId) -> Option<Value> {
    town.world.linear(|desk, _| desk.issue(&id.to_string()))
}

pub fn known(town: &Town, id: EntityId) -> Option<Entity> {
    town.house.ledger.entity(id).expect("memory")
}

/// The severity that loopd knows.
pub fn severity(town: &Town, id: EntityId) -> Option<String> {
    known(town, id)?.as_feedback()?.tags.severity.clone()
}

/// The status that loopd knows.
pub fn status(town: &Town, id: EntityId) -> Option<&'static str> {
    Some(known(town, id)?.as_feedback()?.status.name())
}

pub fn history(town: &Town, id: EntityId) -> Vec<Entry> {
    town.house.ledger.history(id).expect("memory")
}

pub fn dead(town: &Town) -> Vec<(u64, Dead)> {
    town.house.ledger.dead().expect("memory")
}

#[track_caller]
pub fn no_dead(town: &Town) {
    assert_eq!(dead(town), Vec::new(), "dead letters");
}

/// What is wrong with a connection, as loopd says it.
pub fn conditions(town: &Town, connection: &str) -> Vec<String> {
    let all = town.house.ledger.conditions().expect("memory");
    all.into_iter()
        .filter(|(of, ..)| of == connection)
        .map(|(_, name, condition)| format!("{name}: {}", condition.what))
        .collect()
}

/// The one message that was prepared, by id.
#[track_caller]
pub fn the_message(town: &Town) -> String {
    let messages = town.house.ledger.messages().expect("memory");
    assert_eq!(messages.len(), 1, "messages");
    messages[0].0.clone()
}

/// Calls that change something at Airtable and Linear.
pub fn writes(town: &Town) -> BTreeMap<String, u64> {
    let changes = |operation: &str| {
        ["PATCH", "PUT", "DELETE", "Create", "Update", "Upsert", "Delete", "Archive"]
            .iter()
            .any(|word| operation.contains(word))
    };
    let of = |vendor: Vendor| {
        town.world
            .books(vendor)
            .by_operation
            .into_iter()
            .map(move |(name, count)| (format!("{} {name}", vendor.name()), count))
    };
    [Vendor::Airtable, Vendor::Linear].into_iter().flat_map(of).filter(|(name, _)| changes(name)).collect()
}

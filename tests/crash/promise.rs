//! The promise, read from the vendors' own books: each input in each record that its routes name, once; each message
//! once; each edit by a person where it was typed, or in the item's history.

use std::collections::{BTreeMap, BTreeSet};

use loopd::schema::EntityId;
use sandbox::{Vendor, World};
use serde_json::Value;

use crate::people::{CHILD, People, Said, Typed, issue_of};
use crate::poster::{Acknowledged, piece};
use crate::scene::{BASE, CHANNEL, DIRECT, FORM, LUMEN, Scene};

/// What is not (yet) as it should be.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) lost: Vec<String>,
    pub(crate) doubled: Vec<String>,
}

impl Standing {
    pub(crate) fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty()
    }
}

/// `acknowledged`: what was posted and answered 2xx, and can come in no other way.
pub(crate) fn look(world: &World, people: &People, acknowledged: &Acknowledged) -> Standing {
    let mut standing = Standing::default();
    let direct = (1..=acknowledged.issues).map(|number| {
        let outside = format!("{DIRECT}#{number}");
        let (id, what) = (EntityId::derive("direct", "issue", &outside), format!("the webhook of {outside}"));
        Said { id, what, answered: false }
    });
    let pieces = (1..=acknowledged.pieces).map(|number| {
        let id = EntityId::derive("app", "feedback", &piece(number));
        Said { id, what: format!("the in-app piece {number}"), answered: false }
    });
    let said: Vec<Said> = people.said.iter().cloned().chain(direct).chain(pieces).collect();

    let rows = world.airtable(|desk, _| desk.rows(BASE, "Feedback"));
    let by_id: BTreeMap<&str, &Value> =
        rows.iter().filter_map(|row| Some((row["fields"]["Loopd ID"].as_str()?, row))).collect();
    let issues = world.linear(|desk, _| desk.issues());
    let held: Vec<&str> = issues.iter().filter_map(|issue| issue["id"].as_str()).collect();
    for Said { id, what, .. } in &said {
        let Some(row) = by_id.get(id.to_string().as_str()) else {
            standing.lost.push(format!("{what} ({id}) has no row"));
            continue;
        };
        let fields = &row["fields"];
        let severe = fields["Category"] == "Bug" && (fields["Severity"] == "High" || fields["Severity"] == "Critical");
        if severe && !held.contains(&issue_of(*id).as_str()) {
            standing.lost.push(format!("{what} ({id}) is a severe bug without a Linear issue"));
        }
    }

    // What was said in one survey has one address: that of all its responses.
    for (table, field) in [
        ("Feedback", "Loopd ID"),
        ("Feedback", "Source Link"),
        ("Customers", "Loopd ID"),
        ("Customers", "Name"),
        ("Themes", "Loopd ID"),
    ] {
        let mut twice = world.airtable(|desk, _| desk.doubles(BASE, table, field));
        twice.retain(|value, _| !value.contains(FORM));
        standing
            .doubled
            .extend(twice.into_iter().map(|(value, count)| format!("{count} rows of {table} with {field} {value}")));
    }
    in_notion(world, &said, &mut standing);
    in_salesforce(world, &said, &mut standing);
    let expected: Vec<String> = said.iter().map(|said| issue_of(said.id)).collect();
    for id in held.iter().filter(|id| !expected.iter().any(|known| known == *id)) {
        standing.doubled.push(format!("the Linear issue {id} is nobody's"));
    }
    let mut twice = world.linear(|desk, _| desk.doubles());
    twice.retain(|url, _| !url.contains(FORM));
    standing.doubled.extend(twice.into_iter().map(|(url, count)| format!("{count} attachments of {url}")));
    once(&mut standing, "need", &world.linear(|desk, _| desk.needs()), &["issueId", "customerId"]);
    once(&mut standing, "Linear customer", &world.linear(|desk, _| desk.customers()), &["name"]);

    let posted: Vec<String> =
        world.slack(|desk, _| desk.messages(CHANNEL)).into_iter().map(|message| message.to_string()).collect();
    for Said { id, what, answered } in &said {
        let message = id.branch("shipped", 0).to_string();
        let comments = world.github(|desk, _| desk.comments_containing(&message));
        let parts = world.intercom(|desk, _| desk.parts_containing(&message).count());
        let posts = posted.iter().filter(|post| post.contains(&message)).count();
        let due = *answered && people.done.contains(&issue_of(*id));
        match comments + parts + posts {
            0 if due => standing.lost.push(format!("{what} ({id}) has shipped, and nobody was told")),
            0 | 1 => {}
            count => standing.doubled.push(format!("{what} ({id}) was told {count} times")),
        }
    }
    for table in ["Feedback", "Customers", "Themes"] {
        let strangers = world
            .airtable(|desk, _| desk.rows(BASE, table))
            .iter()
            .filter(|row| row["fields"]["Loopd ID"].is_null())
            .count();
        if strangers > 0 {
            standing.lost.push(format!("{strangers} rows of {table} without a Loopd ID"));
        }
    }
    standing
}

/// Each item has one page.
fn in_notion(world: &World, said: &[Said], standing: &mut Standing) {
    for source in ["Feedback", "Customers", "Themes"] {
        let twice = world.notion(|desk, _| desk.doubles(source, "Loopd ID"));
        standing.doubled.extend(twice.into_iter().map(|id| format!("several pages of {source} with Loopd ID {id}")));
        let pages = world.notion(|desk, _| desk.rows(source));
        let strangers = pages.values().filter(|page| !page.contains_key("Loopd ID")).count();
        if strangers > 0 {
            standing.lost.push(format!("{strangers} pages of {source} without a Loopd ID"));
        }
        if source == "Feedback" {
            let held: BTreeSet<&str> = pages.values().filter_map(|page| page.get("Loopd ID")?.as_str()).collect();
            let missing = said.iter().filter(|said| !held.contains(said.id.to_string().as_str()));
            standing.lost.extend(missing.map(|said| format!("{} ({}) has no page", said.what, said.id)));
        }
    }
}

/// What a customer with an account has said hangs on it, once: of the customer of Slack, calls, surveys and the app it is
/// known from the start.
fn in_salesforce(world: &World, said: &[Said], standing: &mut Standing) {
    let twice = world.salesforce(|desk, _| desk.doubles(CHILD, "Loopd_ID__c"));
    standing.doubled.extend(twice.into_iter().map(|id| format!("several {CHILD} with Loopd_ID__c {id}")));
    let rows = world.salesforce(|desk, _| desk.rows(CHILD));
    let held: BTreeMap<&str, &Value> =
        rows.iter().filter_map(|row| Some((row["Loopd_ID__c"].as_str()?, &row["Account__c"]))).collect();
    if held.len() < rows.len() {
        standing.lost.push(format!("{} {CHILD} without a Loopd_ID__c", rows.len() - held.len()));
    }
    let site = format!("https://{LUMEN}");
    let accounts = world.salesforce(|desk, _| desk.rows("Account"));
    let account = accounts.iter().find(|row| row["Website"] == site.as_str()).map_or(&Value::Null, |row| &row["Id"]);
    for Said { id, what, .. } in said {
        let of_lumen = ["slack", "typeform", "granola", "the in-app"].iter().any(|from| what.starts_with(from));
        match held.get(id.to_string().as_str()) {
            None if of_lumen => standing.lost.push(format!("{what} ({id}) hangs on no account")),
            Some(at) if of_lumen && **at != *account => {
                standing.lost.push(format!("{what} ({id}) hangs on {at}, not on {account}"));
            }
            _ => {}
        }
    }
}

/// No two with the same values of these fields.
fn once(standing: &mut Standing, what: &str, all: &[Value], fields: &[&str]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in all {
        let key: Vec<String> = fields.iter().map(|field| one[*field].to_string()).collect();
        *counts.entry(key.join(" ")).or_default() += 1;
    }
    standing.doubled.extend(
        counts
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .map(|(key, count)| format!("{count} times the {what} {key}")),
    );
}

/// Of each field, what a person typed last: it stands there, or `loopd why` tells what became of it.
pub(crate) fn lost_edits(scene: &Scene, people: &People) -> Vec<String> {
    let mut last: BTreeMap<(&str, &str), &Typed> = BTreeMap::new();
    for typed in &people.typed {
        last.insert((&typed.record, typed.field), typed);
    }
    last.into_values().filter_map(|typed| lost(scene, typed)).collect()
}

fn lost(scene: &Scene, typed: &Typed) -> Option<String> {
    let now = match typed.vendor {
        "airtable" => scene
            .world
            .airtable(|desk, _| desk.row(BASE, "Feedback", &typed.record))
            .map(|row| row["fields"][typed.field].clone()),
        "notion" => {
            let page = scene.world.notion(|desk, _| desk.row(&typed.record));
            (!page.is_empty()).then(|| page.get(typed.field).cloned().unwrap_or_default())
        }
        "salesforce" => {
            scene.world.salesforce(|desk, _| desk.row(CHILD, &typed.record)).map(|row| row[typed.field].clone())
        }
        _ => scene.world.linear(|desk, _| desk.issue(&typed.record)).map(|issue| issue[typed.field].clone()),
    };
    if now.as_ref() == Some(&typed.value) {
        return None;
    }
    let why = scene.json(&["why", &typed.record, "--json"]);
    let word = typed.value.as_str().unwrap_or_default();
    let told = |entry: &Value| {
        entry["old"] == typed.value
            || entry["new"] == typed.value
            || entry["note"].as_str().is_some_and(|note| note.contains(word))
    };
    let told = why["history"].as_array().is_some_and(|history| history.iter().any(told));
    (!told).then(|| format!("{typed:?} is gone, and its history does not tell; now stands {now:?}:\n{why:#}"))
}

/// How often each vendor was called; what no longer moves is quiet.
pub(crate) fn writes(world: &World) -> u64 {
    let changes = |operation: &str| {
        let method = ["PATCH", "PUT", "DELETE"].iter().any(|method| operation.starts_with(method));
        let mutation = ["Create", "Update", "Upsert", "Delete", "Archive"].iter().any(|word| operation.contains(word));
        method
            || mutation
            || ["POST pages", "POST collection", "chat.postMessage"].contains(&operation)
            || operation.starts_with("POST") && operation.contains("comments")
            || operation.contains("reply")
    };
    let count = |vendor| {
        world
            .books(vendor)
            .by_operation
            .iter()
            .filter(|(operation, _)| changes(operation))
            .map(|(_, count)| *count)
            .sum::<u64>()
    };
    Vendor::ALL.into_iter().map(count).sum()
}

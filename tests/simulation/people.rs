//! The people of a simulation: customers who speak, and colleagues who edit on every side.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use connectors::Clock as _;
use loopd::schema::{Entity, EntityId};
use sandbox::faults::Rng;
use sandbox::github::{Edit, NewIssue};
use sandbox::intercom::NewCompany;
use serde_json::{Value, json};

use crate::town::{BASE, REPO, Town};

/// An edit that a person made in a destination.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) at: DateTime<Utc>,
    pub(super) vendor: &'static str,
    pub(super) table: &'static str,
    pub(super) record: String,
    pub(super) field: &'static str,
    pub(super) value: Value,
}

#[derive(Default)]
pub(super) struct People {
    /// Issues that were opened and not deleted, by number.
    pub(super) issues: BTreeSet<u64>,
    pub(super) conversations: BTreeSet<u64>,
    /// The last edit of each field, and those before it.
    pub(super) typed: Vec<Typed>,
    /// Rows that people deleted: `Loopd ID` values that may have no row.
    pub(super) deleted_rows: BTreeSet<String>,
    pub(super) deleted_issues: BTreeSet<u64>,
    pub(super) trashed: BTreeSet<String>,
    /// Linear issues whose state somebody moved.
    pub(super) moved: BTreeSet<String>,
    /// There are Notion and Salesforce, too.
    pub(super) four: bool,
    /// Pages that people threw away: `Loopd ID` values that may have no page.
    pub(super) trashed_pages: BTreeSet<String>,
    /// A field is hidden in Salesforce.
    pub(super) hidden: bool,
    contacts: Vec<String>,
    companies: u64,
    said: BTreeMap<&'static str, u64>,
}

const BUGS: [&str; 6] = [
    "Outage: every request fails with error 500, production is down for our whole team",
    "The stream crashes with an exception and we lost data, no workaround",
    "Codestral completion is broken, returns an error and blocks our release",
    "Feature request: please add batch uploads to the API",
    "It would be nice to have a dark mode in Le Chat",
    "How do I set the temperature?",
];

impl People {
    pub(super) fn act(&mut self, town: &mut Town, rng: &mut Rng) {
        if self.four && rng.chance(0.5) {
            return self.act_in_more_places(town, rng);
        }
        match rng.below(23) {
            0..=4 => self.open_issue(town, rng),
            5 => self.edit_issue(town, rng),
            6 => self.comment(town, rng),
            7 => self.delete_issue(town, rng),
            8 => self.company(town, rng),
            9 | 10 => self.conversation(town, rng),
            11..=14 => self.edit_cell(town, rng),
            15 => self.theme(town, rng),
            16 => self.delete_row(town, rng),
            17 | 18 => self.linear(town, rng),
            19 => self.trash(town, rng),
            20 => merge(town, rng),
            21 => part(town, rng),
            _ => approve(town, rng),
        }
    }

    pub(super) fn one<T: Clone>(rng: &mut Rng, of: impl IntoIterator<Item = T>) -> Option<T> {
        let all: Vec<T> = of.into_iter().collect();
        all.get(usize::try_from(rng.below(all.len() as u64)).ok()?).cloned()
    }

    pub(super) fn say(&mut self, what: &'static str) -> u64 {
        let count = self.said.entry(what).or_default();
        *count += 1;
        *count
    }

    fn open_issue(&mut self, town: &Town, rng: &mut Rng) {
        let text = Self::one(rng, BUGS).unwrap_or_default();
        let title = format!("{} ({})", &text[..text.len().min(40)], self.say("issue"));
        let number = town.world.github(|desk, cx| {
            let new = NewIssue { title: &title, body: Some(text), author: "ada-example", ..NewIssue::default() };
            desk.open_issue(REPO, &new, cx)
        });
        self.issues.extend(number);
    }

    fn edit_issue(&mut self, town: &Town, rng: &mut Rng) {
        let Some(number) = Self::one(rng, self.issues.iter().copied()) else { return };
        let body = format!("Edited {}: it crashes, production is down", self.say("edit"));
        town.world.github(|desk, cx| {
            desk.edit_issue(REPO, number, Edit { body: Some(Some(body)), ..Edit::default() }, "ada-example", cx);
        });
    }

    fn comment(&mut self, town: &Town, rng: &mut Rng) {
        let Some(number) = Self::one(rng, self.issues.iter().copied()) else { return };
        let text = format!("Me too ({})", self.say("comment"));
        town.world.github(|desk, cx| desk.comment(REPO, number, "grace-example", &text, cx));
    }

    fn delete_issue(&mut self, town: &Town, rng: &mut Rng) {
        let Some(number) = Self::one(rng, self.issues.iter().copied()) else { return };
        town.world.github(|desk, cx| desk.delete_issue(REPO, number, "ada-example", cx));
        self.issues.remove(&number);
        self.deleted_issues.insert(number);
    }

    fn company(&mut self, town: &Town, rng: &mut Rng) {
        self.companies += 1;
        let n = self.companies;
        let (name, id, site) = (format!("Company {n} Example"), format!("c-{n}"), format!("https://c{n}.example.com"));
        let spend = rng.below(90_000);
        let contact = town.world.intercom(|desk, cx| {
            let new = NewCompany {
                name: &name,
                company_id: &id,
                website: Some(&site),
                monthly_spend: spend.cast_signed(),
                ..NewCompany::default()
            };
            let company = desk.add_company(&new, cx);
            desk.add_contact(&format!("Person {n}"), &format!("person@c{n}.example.com"), Some(&company), cx)
        });
        self.contacts.push(contact);
    }

    fn conversation(&mut self, town: &Town, rng: &mut Rng) {
        if self.contacts.is_empty() {
            self.company(town, rng);
        }
        let text = Self::one(rng, BUGS).unwrap_or_default();
        let known = Self::one(rng, self.conversations.iter().copied());
        let contact = Self::one(rng, self.contacts.iter().cloned()).unwrap_or_default();
        let n = self.say("conversation");
        let id = town.world.intercom(|desk, cx| match known {
            Some(known) if n.is_multiple_of(3) => {
                desk.user_replies(known, &format!("<p>And another thing ({n})</p>"), cx);
                None
            }
            _ => desk.open_conversation(&contact, &format!("Help {n}"), &format!("<p>{text}</p>"), None, cx),
        });
        self.conversations.extend(id);
    }

    fn row(town: &Town, rng: &mut Rng, table: &'static str) -> Option<Value> {
        let rows = town.world.airtable(|desk, _| desk.rows(BASE, table));
        Self::one(rng, rows)
    }

    fn edit_cell(&mut self, town: &Town, rng: &mut Rng) {
        let Some(row) = Self::row(town, rng, "Feedback") else { return };
        let Some(record) = row["id"].as_str().map(str::to_owned) else { return };
        let (field, value) = match rng.below(6) {
            0 | 1 => ("Status", Self::one(rng, ["New", "Reviewing", "Validated", "Building"]).map(Value::from)),
            2 => ("Severity", Self::one(rng, ["Critical", "High", "Medium", "Low"]).map(Value::from)),
            3 => ("Category", Self::one(rng, ["Bug", "Request", "Praise"]).map(Value::from)),
            4 => ("Summary", Some(json!(format!("In short ({})", self.say("summary"))))),
            _ => {
                let theme = Self::row(town, rng, "Themes").and_then(|theme| theme["id"].as_str().map(str::to_owned));
                ("Theme", theme.map(|theme| json!([theme])))
            }
        };
        let Some(value) = value else { return };
        if row["fields"][field] == value {
            return;
        }
        town.world.airtable(|desk, cx| desk.edit_cell(cx, BASE, "Feedback", &record, field, &value));
        self.typed.push(Typed { at: town.clock.now(), vendor: "airtable", table: "Feedback", record, field, value });
    }

    fn theme(&mut self, town: &Town, _rng: &mut Rng) {
        let name = format!("Theme {}", self.say("theme"));
        let cells = json!({"Name": name});
        let record = town.world.airtable(|desk, cx| desk.add_row(cx, BASE, "Themes", &cells));
        self.typed.push(Typed {
            at: town.clock.now(),
            vendor: "airtable",
            table: "Themes",
            record,
            field: "Name",
            value: cells["Name"].clone(),
        });
    }

    fn delete_row(&mut self, town: &Town, rng: &mut Rng) {
        if rng.chance(0.5) {
            return; // Seldom.
        }
        let Some(row) = Self::row(town, rng, "Feedback") else { return };
        let (Some(record), Some(id)) = (row["id"].as_str(), row["fields"]["Loopd ID"].as_str()) else { return };
        // A row that is deleted before its writer knows that the write went through is made once more: the answer was
        // lost, and looking for it finds nothing. Nobody could tell.
        if town.house.ledger.linked("airtable", "Feedback", record).expect("memory").is_none() {
            return;
        }
        town.world.airtable(|desk, cx| desk.delete_row(cx, BASE, "Feedback", record));
        self.deleted_rows.insert(id.to_owned());
    }

    fn issue(town: &Town, rng: &mut Rng) -> Option<String> {
        let issues = town.world.linear(|desk, _| desk.issues());
        let live = issues.into_iter().filter(|issue| issue["trashed"] != json!(true));
        Self::one(rng, live.filter_map(|issue| issue["id"].as_str().map(str::to_owned)))
    }

    fn linear(&mut self, town: &Town, rng: &mut Rng) {
        let Some(issue) = Self::issue(town, rng) else { return };
        let before = town.world.linear(|desk, _| desk.issue(&issue)).unwrap_or_default();
        let (field, value) = match rng.below(4) {
            0 => {
                let state = Self::one(rng, ["Todo", "In Progress", "Done", "Canceled"]).unwrap_or("Done");
                town.world.linear(|desk, cx| desk.move_issue(cx, &issue, state));
                self.moved.insert(issue);
                return;
            }
            1 => {
                let priority = 1 + u8::try_from(rng.below(4)).unwrap_or(0);
                town.world.linear(|desk, cx| desk.set_priority(cx, &issue, priority));
                if before["priority"] == json!(priority) {
                    return;
                }
                ("priority", json!(priority))
            }
            2 => {
                let title = format!("Better title {}", self.say("title"));
                town.world.linear(|desk, cx| desk.set_title(cx, &issue, &title));
                ("title", json!(title))
            }
            _ => {
                let text = format!("An engineer's words {}", self.say("description"));
                town.world.linear(|desk, cx| desk.set_description(cx, &issue, &text));
                ("description", json!(text))
            }
        };
        self.typed.push(Typed { at: town.clock.now(), vendor: "linear", table: "issue", record: issue, field, value });
    }

    fn trash(&mut self, town: &Town, rng: &mut Rng) {
        if rng.chance(0.7) {
            return; // Seldom.
        }
        let Some(issue) = Self::issue(town, rng) else { return };
        town.world.linear(|desk, cx| desk.trash_issue(cx, &issue));
        self.trashed.insert(issue);
    }
}

/// Every customer, and whether it lives on in another.
fn customers(town: &Town) -> Vec<(EntityId, bool)> {
    let mut found = Vec::new();
    let see = |entity: Entity| {
        found.extend(entity.as_customer().map(|customer| (entity.id, customer.is_merged())));
        Ok(())
    };
    town.house.ledger.each_entity(see).expect("memory");
    found
}

/// A person says that two customers are one.
fn merge(town: &Town, rng: &mut Rng) {
    let living: Vec<EntityId> = customers(town).into_iter().filter(|(_, merged)| !merged).map(|(id, _)| id).collect();
    let (Some(keep), Some(lose)) = (People::one(rng, living.clone()), People::one(rng, living)) else { return };
    // The same twice is refused, in words.
    let _ = loopd::customers::merge(&town.house, keep, lose, "a colleague").expect("memory");
}

/// A person says that they are two after all.
fn part(town: &Town, rng: &mut Rng) {
    let merged = customers(town).into_iter().filter(|(_, merged)| *merged).map(|(id, _)| id);
    let Some(merged) = People::one(rng, merged) else { return };
    // One whose other self was merged itself must wait for that, and is told so.
    let _ = loopd::customers::undo(&town.house, merged, "a colleague").expect("memory");
}

/// A person approves a message that waits.
fn approve(town: &Town, rng: &mut Rng) {
    let messages = town.house.ledger.messages().expect("memory");
    let waiting = messages.into_iter().filter(|(_, message)| message.state == loopd::ledger::MessageState::Prepared);
    let Some((id, _)) = People::one(rng, waiting) else { return };
    loopd::close::approve(&town.house, &id, "a colleague").expect("memory").expect("it was prepared");
}

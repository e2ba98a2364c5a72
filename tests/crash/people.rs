//! The world that goes on while the daemon dies: customers who speak, and colleagues who edit.

use std::collections::BTreeSet;

use loopd::schema::EntityId;
use sandbox::World;
use sandbox::faults::Rng;
use sandbox::github::NewIssue;
use sandbox::intercom::NewCompany;
use serde_json::{Value, json};

use crate::scene::{BASE, REPO};

/// What a person typed into a record of ours.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) vendor: &'static str,
    pub(crate) record: String,
    pub(crate) field: &'static str,
    pub(crate) value: Value,
}

#[derive(Default)]
pub(crate) struct People {
    /// What was said: the entities that must come of it, and where each was said.
    pub(crate) said: Vec<(EntityId, String)>,
    pub(crate) typed: Vec<Typed>,
    /// Linear issues that were moved to Done; nobody moves them again.
    pub(crate) done: BTreeSet<String>,
    /// Rows whose status somebody set by hand: their issues are not moved.
    decided: BTreeSet<String>,
    contacts: Vec<String>,
    conversations: Vec<u64>,
    counter: u64,
}

const WORDS: [&str; 5] = [
    "Outage: every request fails with error 500, production is down for our whole team",
    "The stream crashes with an exception and we lost data, no workaround",
    "Completion is broken, returns an error and blocks our release",
    "Feature request: please add batch uploads to the API",
    "How do I set the temperature?",
];

impl People {
    /// One thing that somebody does.
    pub(crate) fn act(&mut self, world: &World, rng: &mut Rng) {
        self.counter += 1;
        match rng.below(12) {
            0..=2 => self.open_issue(world, rng),
            3 | 4 => self.speak(world, rng),
            5 => self.comment(world, rng),
            6..=8 => self.edit_cell(world, rng),
            9 => self.edit_issue(world, rng),
            _ => self.ship(world, rng),
        }
    }

    fn open_issue(&mut self, world: &World, rng: &mut Rng) {
        let text = one(rng, WORDS).unwrap_or_default();
        let title = format!("{} ({})", &text[..text.len().min(30)], self.counter);
        let new = NewIssue { title: &title, body: Some(text), author: "ada-example", ..NewIssue::default() };
        let number = world.github(|desk, cx| desk.open_issue(REPO, &new, cx)).expect("the repository is there");
        let outside = format!("{REPO}#{number}");
        self.said.push((EntityId::derive("github", "issue", &outside), format!("github {outside}")));
    }

    fn comment(&mut self, world: &World, rng: &mut Rng) {
        let numbers: Vec<u64> = world.github(|desk, _| desk.issues(REPO).map(|issue| issue.number).collect());
        let Some(number) = one(rng, numbers) else { return };
        let text = format!("Me too ({})", self.counter);
        world.github(|desk, cx| desk.comment(REPO, number, "grace-example", &text, cx));
    }

    fn speak(&mut self, world: &World, rng: &mut Rng) {
        let n = self.counter;
        if self.contacts.len() < 3 || rng.chance(0.1) {
            let (name, id, site) =
                (format!("Company {n} Example"), format!("c-{n}"), format!("https://c{n}.example.com"));
            let contact = world.intercom(|desk, cx| {
                let new = NewCompany { name: &name, company_id: &id, website: Some(&site), ..NewCompany::default() };
                let company = desk.add_company(&new, cx);
                desk.add_contact(&format!("Person {n}"), &format!("person@c{n}.example.com"), Some(&company), cx)
            });
            self.contacts.push(contact);
        }
        let text = one(rng, WORDS).unwrap_or_default();
        if n.is_multiple_of(3)
            && let Some(known) = one(rng, self.conversations.iter().copied())
        {
            world.intercom(|desk, cx| desk.user_replies(known, &format!("<p>And another thing ({n})</p>"), cx));
            return;
        }
        let Some(contact) = one(rng, self.contacts.iter().cloned()) else { return };
        let opened = world.intercom(|desk, cx| {
            desk.open_conversation(&contact, &format!("Help {n}"), &format!("<p>{text}</p>"), None, cx)
        });
        let id = opened.expect("the contact is there");
        self.conversations.push(id);
        self.said.push((EntityId::derive("intercom", "conversation", &id.to_string()), format!("intercom {id}")));
    }

    fn edit_cell(&mut self, world: &World, rng: &mut Rng) {
        let Some(row) = one(rng, world.airtable(|desk, _| desk.rows(BASE, "Feedback"))) else { return };
        let (Some(record), Some(id)) = (row["id"].as_str(), row["fields"]["Loopd ID"].as_str()) else { return };
        let issue = id.parse::<EntityId>().map(issue_of).unwrap_or_default();
        let (field, value) = match rng.below(4) {
            0 if !self.done.contains(&issue) => {
                self.decided.insert(issue);
                ("Status", json!(one(rng, ["Reviewing", "Validated", "Building"])))
            }
            1 => ("Severity", json!(one(rng, ["Critical", "High", "Medium", "Low"]))),
            2 => ("Category", json!(one(rng, ["Bug", "Request", "Praise"]))),
            _ => ("Summary", json!(format!("In short ({})", self.counter))),
        };
        if row["fields"][field] == value {
            return;
        }
        world.airtable(|desk, cx| desk.edit_cell(cx, BASE, "Feedback", record, field, &value));
        self.typed.push(Typed { vendor: "airtable", record: record.to_owned(), field, value });
    }

    fn edit_issue(&mut self, world: &World, rng: &mut Rng) {
        let Some(issue) = one(rng, issues(world)) else { return };
        let title = format!("Better title {}", self.counter);
        world.linear(|desk, cx| desk.set_title(cx, &issue, &title));
        self.typed.push(Typed { vendor: "linear", record: issue, field: "title", value: json!(title) });
    }

    /// An engineer has done it: the customer hears of it, once.
    fn ship(&mut self, world: &World, rng: &mut Rng) {
        // Those that came by webhook alone have no thread in which anybody could be told.
        let told: BTreeSet<String> = self.said.iter().map(|(id, _)| issue_of(*id)).collect();
        let open = issues(world)
            .into_iter()
            .filter(|issue| told.contains(issue) && !self.done.contains(issue) && !self.decided.contains(issue));
        let Some(issue) = one(rng, open) else { return };
        world.linear(|desk, cx| desk.move_issue(cx, &issue, "Done"));
        self.done.insert(issue);
    }
}

/// Linear lets its clients choose an issue's id: it is the item's own.
pub(crate) fn issue_of(id: EntityId) -> String {
    id.to_string()
}

fn issues(world: &World) -> Vec<String> {
    let issues = world.linear(|desk, _| desk.issues());
    issues.iter().filter_map(|issue| issue["id"].as_str().map(str::to_owned)).collect()
}

fn one<T>(rng: &mut Rng, of: impl IntoIterator<Item = T>) -> Option<T> {
    let mut all: Vec<T> = of.into_iter().collect();
    let at = usize::try_from(rng.below(all.len().max(1) as u64)).unwrap_or(0);
    (at < all.len()).then(|| all.swap_remove(at))
}

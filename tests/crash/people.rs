//! The world that goes on while the daemon dies: customers who speak, and colleagues who edit.

use std::collections::BTreeSet;

use loopd::schema::EntityId;
use sandbox::World;
use sandbox::faults::Rng;
use sandbox::github::NewIssue;
use sandbox::granola::NewCall;
use sandbox::intercom::NewCompany;
use sandbox::typeform::NewResponse;
use serde_json::{Value, json};

use crate::scene::{BASE, CHANNEL, FORM, LUMEN, REPO};

/// What Salesforce's people see beside the account.
pub(crate) const CHILD: &str = "Loopd_Feedback__c";

/// What a person typed into a record of ours.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) vendor: &'static str,
    pub(crate) record: String,
    pub(crate) field: &'static str,
    pub(crate) value: Value,
}

/// What was said, and the entity that must come of it.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) id: EntityId,
    /// Where.
    pub(crate) what: String,
    /// Whoever said it hears when it has shipped.
    pub(crate) answered: bool,
}

#[derive(Default)]
pub(crate) struct People {
    pub(crate) said: Vec<Said>,
    pub(crate) typed: Vec<Typed>,
    /// Linear issues that were moved to Done; nobody moves them again.
    pub(crate) done: BTreeSet<String>,
    /// Rows whose status somebody set by hand: their issues are not moved.
    decided: BTreeSet<String>,
    contacts: Vec<String>,
    conversations: Vec<u64>,
    /// Companies by their site, and those of them that have an account at Salesforce.
    companies: BTreeSet<String>,
    accounts: BTreeSet<String>,
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
        match rng.below(22) {
            0 | 1 => self.open_issue(world, rng),
            2 | 3 => self.speak(world, rng),
            4 | 5 => self.react(world, rng),
            6 => self.answer(world, rng),
            7 => self.call(world, rng),
            8 => self.comment(world, rng),
            9..=11 => self.edit_cell(world, rng),
            12..=14 => self.edit_page(world, rng),
            15 | 16 => self.edit_child(world, rng),
            17 => self.account(world, rng),
            18 => self.edit_issue(world, rng),
            _ => self.ship(world, rng),
        }
    }

    fn say(&mut self, connection: &str, collection: &str, outside: &str) {
        let answered = ["github", "intercom", "slack"].contains(&connection);
        let id = EntityId::derive(connection, collection, outside);
        self.said.push(Said { id, what: format!("{connection} {outside}"), answered });
    }

    fn open_issue(&mut self, world: &World, rng: &mut Rng) {
        let text = one(rng, WORDS).unwrap_or_default();
        let title = format!("{} ({})", &text[..text.len().min(30)], self.counter);
        let new = NewIssue { title: &title, body: Some(text), author: "ada-example", ..NewIssue::default() };
        let number = world.github(|desk, cx| desk.open_issue(REPO, &new, cx)).expect("the repository is there");
        self.say("github", "issue", &format!("{REPO}#{number}"));
    }

    /// Something is said in Slack, and a colleague marks it.
    fn react(&mut self, world: &World, rng: &mut Rng) {
        let text = format!("{} ({})", one(rng, WORDS).unwrap_or_default(), self.counter);
        let mark = one(rng, ["bug", "bulb", "mega"]).unwrap_or("bug");
        let ts = world.slack(|desk, cx| {
            let ts = desk.say(CHANNEL, "U0ADMIN", &text, cx);
            assert!(desk.react(CHANNEL, &ts, "U0ADMIN", mark, cx), "the message is there");
            ts
        });
        self.say("slack", "message", &format!("{CHANNEL}:{ts}"));
    }

    fn answer(&mut self, world: &World, rng: &mut Rng) {
        let (score, why) = (rng.below(11), one(rng, WORDS).unwrap_or_default());
        let email = format!("ada@{LUMEN}");
        let answers = [("nps", json!(score)), ("why", json!(why))];
        let new = NewResponse { answers: &answers, hidden: &[("email", &email)], ..NewResponse::default() };
        let token = world.typeform(|desk, cx| desk.respond(FORM, &new, cx)).expect("the form is there");
        self.say("typeform", "response", &format!("{FORM}/{token}"));
    }

    fn call(&mut self, world: &World, rng: &mut Rng) {
        let (title, email) = (format!("Lumen weekly {}", self.counter), format!("ada@{LUMEN}"));
        let people = [("Bo Agent", "bo@ours.example.com"), ("Ada Example", &email)];
        let said = [("me", "How is it going?"), ("them", one(rng, WORDS).unwrap_or_default())];
        let new = NewCall { title: &title, people: &people, said: &said, ..NewCall::default() };
        let note = world.granola(|desk, cx| desk.call(&new, "They told us how it goes.", cx));
        self.say("granola", "note", &note);
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
            self.companies.insert(site);
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
        self.say("intercom", "conversation", &id.to_string());
    }

    /// Sales make an account of a company that support knows already.
    fn account(&mut self, world: &World, rng: &mut Rng) {
        let Some(site) = one(rng, self.companies.difference(&self.accounts).cloned()) else { return };
        let name = site.trim_start_matches("https://c").trim_end_matches(".example.com");
        let new = json!({"Name": format!("Company {name} Example"), "Website": site});
        world.salesforce(|desk, cx| desk.create(cx, "Account", &new));
        self.accounts.insert(site);
    }

    fn edit_page(&mut self, world: &World, rng: &mut Rng) {
        let Some((record, page)) = one(rng, world.notion(|desk, _| desk.rows("Feedback"))) else { return };
        let Some(id) = page.get("Loopd ID").and_then(Value::as_str) else { return };
        let (field, value) = match rng.below(4) {
            0 if self.may_decide(id) => ("Status", json!(one(rng, ["Reviewing", "Validated", "Building"]))),
            1 => ("Severity", json!(one(rng, ["Critical", "High", "Medium", "Low"]))),
            2 => ("Category", json!(one(rng, ["Bug", "Request", "Praise"]))),
            _ => ("Summary", json!(format!("In a word ({})", self.counter))),
        };
        if page.get(field) == Some(&value) {
            return;
        }
        world.notion(|desk, cx| desk.edit_row(cx, &record, &json!({ field: value })));
        self.typed.push(Typed { vendor: "notion", record, field, value });
    }

    fn edit_child(&mut self, world: &World, rng: &mut Rng) {
        let Some(row) = one(rng, world.salesforce(|desk, _| desk.rows(CHILD))) else { return };
        let (Some(record), Some(id)) = (row["Id"].as_str(), row["Loopd_ID__c"].as_str()) else { return };
        let (field, value) = match rng.below(3) {
            0 if self.may_decide(id) => ("Status__c", one(rng, ["Reviewing", "Validated", "Building"])),
            1 => ("Category__c", one(rng, ["Bug", "Request", "Praise"])),
            _ => ("Severity__c", one(rng, ["Critical", "High", "Medium", "Low"])),
        };
        let value = json!(value);
        if row[field] == value {
            return;
        }
        world.salesforce(|desk, cx| desk.edit(cx, CHILD, record, &json!({ field: value })));
        self.typed.push(Typed { vendor: "salesforce", record: record.to_owned(), field, value });
    }

    /// Whether somebody may set this item's status by hand: its issue is then not moved any more.
    fn may_decide(&mut self, id: &str) -> bool {
        let issue = id.parse::<EntityId>().map(issue_of).unwrap_or_default();
        let may = !self.done.contains(&issue);
        if may {
            self.decided.insert(issue);
        }
        may
    }

    fn edit_cell(&mut self, world: &World, rng: &mut Rng) {
        let Some(row) = one(rng, world.airtable(|desk, _| desk.rows(BASE, "Feedback"))) else { return };
        let (Some(record), Some(id)) = (row["id"].as_str(), row["fields"]["Loopd ID"].as_str()) else { return };
        let (field, value) = match rng.below(4) {
            0 if self.may_decide(id) => ("Status", json!(one(rng, ["Reviewing", "Validated", "Building"]))),
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
        let told: BTreeSet<String> = self.said.iter().map(|said| issue_of(said.id)).collect();
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

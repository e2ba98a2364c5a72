//! What people do in the demo: customers speak, engineers move cards, product managers edit cells.

use std::collections::BTreeMap;

use sandbox::World;
use sandbox::faults::Rng;
use sandbox::github::NewIssue;
use sandbox::intercom::NewCompany;
use serde_json::{Map, Value, json};

use super::feed::{Company, Feed, Talk, Thread};
use super::stage::{BASE, FEEDBACK, Stage, THEMES};
use crate::schema::EntityId;

/// Something that was said, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fed {
    pub connection: &'static str,
    pub collection: &'static str,
    pub outside: String,
}

impl Fed {
    /// The id that loopd derives for it.
    pub(super) fn entity(&self) -> EntityId {
        EntityId::derive(self.connection, self.collection, &self.outside)
    }
}

/// Companies and their people are there before the run.
pub(super) fn companies(world: &World, feed: &Feed) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for company in feed.talks.iter().filter_map(|talk| talk.company.as_ref()) {
        if !known.contains_key(&company.company_id) {
            let id = world.intercom(|intercom, cx| intercom.add_company(&new_company(company), cx));
            known.insert(company.company_id.clone(), id);
        }
    }
    known
}

fn new_company(company: &Company) -> NewCompany<'_> {
    let mut attributes = Map::new();
    let texts = [("region", &company.region), ("lifecycle", &company.lifecycle), ("github_org", &company.github_org)];
    attributes.extend(texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))));
    if let Some(arr) = company.arr {
        attributes.insert("arr".into(), json!(arr));
    }
    NewCompany {
        name: &company.name,
        company_id: &company.company_id,
        website: company.website.as_deref(),
        industry: company.industry.as_deref(),
        monthly_spend: 0,
        plan: company.plan.as_deref(),
        custom_attributes: attributes,
    }
}

/// Somebody opens an issue.
pub(super) fn open_issue(world: &World, thread: &Thread) -> Option<Fed> {
    let labels: Vec<&str> = thread.labels.iter().map(String::as_str).collect();
    let new = NewIssue {
        title: &thread.title,
        body: thread.body.as_deref(),
        author: &thread.author,
        labels: &labels,
        created_at: thread.created,
        number: Some(thread.number),
        ..NewIssue::default()
    };
    let number = world.github(|github, cx| {
        let number = github.open_issue(&thread.repo, &new, cx)?;
        if !thread.open {
            github.close_issue(&thread.repo, number, &thread.author, cx);
        }
        Some(number)
    })?;
    Some(Fed { connection: "github", collection: "issue", outside: format!("{}#{number}", thread.repo) })
}

/// Somebody writes in.
pub(super) fn open_talk(world: &World, talk: &Talk, companies: &BTreeMap<String, String>) -> Option<Fed> {
    let company = talk.company.as_ref().and_then(|company| companies.get(&company.company_id));
    let id = world.intercom(|intercom, cx| {
        let contact = intercom.add_contact(&talk.contact, &talk.email, company.map(String::as_str), cx);
        intercom.open_conversation(&contact, &talk.subject, &talk.body, talk.created, cx)
    })?;
    Some(Fed { connection: "intercom", collection: "conversation", outside: id.to_string() })
}

/// What somebody changed, and what must follow from it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Move {
    /// A card went to a state; the item's status follows, and so does its row.
    Card { fed: Fed, status: &'static str, shown: &'static str },
    /// A title was changed in Linear.
    Title { fed: Fed, title: &'static str },
    /// A cell was changed; the item holds it.
    Cell { fed: Fed, field: &'static str, shown: &'static str, path: &'static str, value: &'static str },
    /// A severity was changed in Airtable: Linear's priority follows.
    Priority { fed: Fed, shown: &'static str, priority: u64 },
    /// A bug was made severe by hand: it becomes a Linear issue.
    Raised { fed: Fed },
    /// A theme was made by hand, and a row linked to it.
    Theme { fed: Fed, theme: String },
    /// A row was deleted: it stays away.
    Deleted { fed: Fed },
}

impl Move {
    pub(super) fn fed(&self) -> &Fed {
        match self {
            Self::Card { fed, .. }
            | Self::Title { fed, .. }
            | Self::Cell { fed, .. }
            | Self::Priority { fed, .. }
            | Self::Raised { fed }
            | Self::Theme { fed, .. }
            | Self::Deleted { fed } => fed,
        }
    }
}

/// The rows of a table by their `Loopd ID`.
pub(super) fn rows(world: &World, table: &str) -> BTreeMap<String, Value> {
    let rows = world.airtable(|airtable, _| airtable.rows(BASE, table));
    rows.into_iter().filter_map(|row| Some((row["fields"]["Loopd ID"].as_str()?.to_owned(), row))).collect()
}

/// Once all that was said has arrived, people begin to work with it.
pub(super) fn moves(stage: &Stage, fed: &[Fed], rng: &mut Rng) -> Vec<Move> {
    let world = &*stage.world;
    let rows = rows(world, FEEDBACK);
    let issues = world.linear(|linear, _| linear.issues());
    let has_issue = |one: &Fed| issues.iter().any(|issue| issue["id"].as_str() == Some(&stage.issue(one.entity())));
    let (mut with, mut without): (Vec<&Fed>, Vec<&Fed>) =
        fed.iter().filter(|one| rows.contains_key(&one.entity().to_string())).partition(|one| has_issue(one));
    shuffle(&mut with, rng);
    shuffle(&mut without, rng);
    let row = |one: &Fed| {
        rows.get(&one.entity().to_string()).and_then(|row| row["id"].as_str()).unwrap_or_default().to_owned()
    };
    let edit = |one: &Fed, field: &str, value: &Value| {
        world.airtable(|airtable, cx| airtable.edit_cell(cx, BASE, FEEDBACK, &row(one), field, value));
    };
    let mut done = Vec::new();

    let (done_cards, started) = ((with.len() / 3).clamp(usize::from(!with.is_empty()), 5), (with.len() / 3).min(4));
    let mut with = with.into_iter();
    for (count, state, status, shown) in
        [(done_cards, "Done", "shipped", "Shipped"), (started, "In Progress", "building", "Building")]
    {
        for one in with.by_ref().take(count) {
            world.linear(|linear, cx| linear.move_issue(cx, &stage.issue(one.entity()), state));
            done.push(Move::Card { fed: one.clone(), status, shown });
        }
    }
    if let Some(one) = with.next() {
        let title = "Renamed by an engineer";
        world.linear(|linear, cx| linear.set_title(cx, &stage.issue(one.entity()), title));
        done.push(Move::Title { fed: one.clone(), title });
    }
    if let Some(one) = with.next() {
        let urgent = rows.get(&one.entity().to_string()).is_some_and(|row| row["fields"]["Severity"] == "Critical");
        let (shown, priority) = if urgent { ("High", 2) } else { ("Critical", 1) };
        edit(one, "Severity", &json!(shown));
        done.push(Move::Priority { fed: one.clone(), shown, priority });
    }

    let is_bug = |one: &Fed| rows.get(&one.entity().to_string()).is_some_and(|row| row["fields"]["Category"] == "Bug");
    if let Some(at) = without.iter().position(|one| is_bug(one)) {
        let one = without.remove(at);
        edit(one, "Severity", &json!("Critical"));
        done.push(Move::Raised { fed: one.clone() });
    }
    let mut without = without.into_iter().filter(|one| !is_bug(one));
    for _ in 0..3 {
        if let Some(one) = without.next() {
            edit(one, "Status", &json!("Validated"));
            done.push(Move::Cell {
                fed: one.clone(),
                field: "Status",
                shown: "Validated",
                path: "status",
                value: "validated",
            });
        }
    }
    for _ in 0..3 {
        if let Some(one) = without.next() {
            edit(one, "Category", &json!("Churn Signal"));
            done.push(Move::Cell {
                fed: one.clone(),
                field: "Category",
                shown: "Churn Signal",
                path: "tags.category",
                value: "churn_signal",
            });
        }
    }
    if let Some(one) = without.next() {
        let values = json!({"Name": "Made by hand", "Status": "Hypothesis"});
        let theme = world.airtable(|airtable, cx| airtable.add_row(cx, BASE, THEMES, &values));
        edit(one, "Theme", &json!([theme]));
        done.push(Move::Theme { fed: one.clone(), theme });
    }
    if let Some(one) = without.next() {
        world.airtable(|airtable, cx| airtable.delete_row(cx, BASE, FEEDBACK, &row(one)));
        done.push(Move::Deleted { fed: one.clone() });
    }
    done
}

/// In an order that the seed decides.
pub(super) fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for at in (1..items.len()).rev() {
        let other = usize::try_from(rng.below(at as u64 + 1)).unwrap_or(0);
        items.swap(at, other);
    }
}

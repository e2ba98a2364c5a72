//! What people do in the demo once customers have spoken: engineers move cards, product managers edit cells and pages, customer
//! success edits records. Nobody changes the same item twice, so that what must follow is certain.

use std::collections::BTreeMap;

use sandbox::World;
use sandbox::faults::Rng;
use serde_json::{Value, json};

use super::books::Books;
use super::speak::Fed;
use super::stage::{BASE, CHILDREN, FEEDBACK, Stage, THEMES};

/// What somebody changed, and what must follow from it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Move {
    /// A card went to a state; the item's status follows, and so does its row.
    Card { fed: Fed, status: &'static str, shown: &'static str },
    /// A title was changed in Linear.
    Title { fed: Fed, title: &'static str },
    /// A word was changed in one place: the item holds it, and all places show it.
    Word { fed: Fed, at: Place, word: Word },
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
            | Self::Word { fed, .. }
            | Self::Priority { fed, .. }
            | Self::Raised { fed }
            | Self::Theme { fed, .. }
            | Self::Deleted { fed } => fed,
        }
    }

    /// What its customer asked for is there.
    pub(super) fn has_shipped(&self) -> bool {
        match self {
            Self::Card { status, .. } => *status == "shipped",
            Self::Word { word, .. } => word.path == "status" && word.value == "shipped",
            _ => false,
        }
    }
}

/// Where the same item may be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Airtable,
    Notion,
    Salesforce,
}

impl Place {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Airtable => "Airtable",
            Self::Notion => "Notion",
            Self::Salesforce => "Salesforce",
        }
    }
}

/// A field's name and word as people see them, and as the item holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub field: &'static str,
    pub shown: &'static str,
    pub path: &'static str,
    pub value: &'static str,
}

const fn status(shown: &'static str, value: &'static str) -> Word {
    Word { field: "Status", shown, path: "status", value }
}

const fn category(shown: &'static str, value: &'static str) -> Word {
    Word { field: "Category", shown, path: "tags.category", value }
}

/// What is changed, where, and how often.
const WORDS: [(Place, Word, usize); 5] = [
    (Place::Salesforce, category("Pain Point", "pain_point"), 2),
    (Place::Notion, status("Reviewing", "reviewing"), 3),
    (Place::Airtable, status("Validated", "validated"), 3),
    (Place::Airtable, category("Churn Signal", "churn_signal"), 3),
    (Place::Notion, category("General", "general"), 1),
];

/// A field's name at Salesforce, and its word there: CS reads "Addressed".
pub(super) fn at_salesforce(field: &str, shown: &str) -> (String, String) {
    (format!("{field}__c"), if shown == "Shipped" { "Addressed" } else { shown }.to_owned())
}

/// Once all that was said has arrived, people begin to work with it.
pub(super) fn moves(stage: &Stage, fed: &[Fed], rng: &mut Rng) -> Vec<Move> {
    let world = &*stage.world;
    let books = Books::read(world);
    let has_issue = |one: &Fed| books.issues.contains_key(&stage.issue(one.entity()));
    let (mut with, mut without): (Vec<&Fed>, Vec<&Fed>) =
        fed.iter().filter(|one| books.row(one).is_some()).partition(|one| has_issue(one));
    shuffle(&mut with, rng);
    shuffle(&mut without, rng);
    let with = in_turns(&with);
    let row = |one: &Fed| books.row(one).and_then(|row| row["id"].as_str()).map(str::to_owned).unwrap_or_default();
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
    // A call goes by its summary, which is not its title.
    if let Some(one) = with.find(|one| matches!(one.connection, "github" | "intercom")) {
        let title = "Renamed by an engineer";
        world.linear(|linear, cx| linear.set_title(cx, &stage.issue(one.entity()), title));
        done.push(Move::Title { fed: one.clone(), title });
    }
    if let Some(one) = with.next() {
        let urgent = books.row(one).is_some_and(|row| row["fields"]["Severity"] == "Critical");
        let (shown, priority) = if urgent { ("High", 2) } else { ("Critical", 1) };
        edit(one, "Severity", &json!(shown));
        done.push(Move::Priority { fed: one.clone(), shown, priority });
    }

    let is_bug = |one: &Fed| books.row(one).is_some_and(|row| row["fields"]["Category"] == "Bug");
    if let Some(at) = without.iter().position(|one| is_bug(one)) {
        let one = without.remove(at);
        edit(one, "Severity", &json!("Critical"));
        done.push(Move::Raised { fed: one.clone() });
    }
    without.retain(|one| !is_bug(one));
    // One of those that asked in Slack learns that it is there: somebody says so in Notion.
    let shipped = status("Shipped", "shipped");
    if let Some(at) = without.iter().position(|one| one.connection == "slack" && one.is_answered()) {
        done.extend(type_in(world, &books, without.remove(at), Place::Notion, shipped));
    }
    for (place, word, count) in WORDS {
        for _ in 0..count {
            let free =
                |one: &&Fed| books.shown(one, place, word.field).is_some_and(|shown| !word.is_shown(place, &shown));
            let Some(at) = without.iter().position(free) else { break };
            done.extend(type_in(world, &books, without.remove(at), place, word));
        }
    }
    let mut without = without.into_iter();
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

impl Word {
    pub(super) fn is_shown(&self, place: Place, there: &Value) -> bool {
        match place {
            Place::Salesforce => *there == at_salesforce(self.field, self.shown).1,
            Place::Airtable | Place::Notion => *there == self.shown,
        }
    }
}

/// Somebody types a word where an item lives; `None`: it does not live there.
fn type_in(world: &World, books: &Books, one: &Fed, at: Place, word: Word) -> Option<Move> {
    let key = one.entity().to_string();
    match at {
        Place::Airtable => {
            let row = books.row(one)?["id"].as_str()?.to_owned();
            world.airtable(|airtable, cx| airtable.edit_cell(cx, BASE, FEEDBACK, &row, word.field, &json!(word.shown)));
        }
        Place::Notion => {
            let (page, _) = books.pages.get(&key)?;
            world.notion(|notion, cx| notion.edit_row(cx, page, &json!({ word.field: word.shown })));
        }
        Place::Salesforce => {
            let id = books.children.get(&key)?["Id"].as_str()?.to_owned();
            let (field, shown) = at_salesforce(word.field, word.shown);
            world.salesforce(|salesforce, cx| salesforce.edit(cx, CHILDREN, &id, &json!({ field: shown })));
        }
    }
    Some(Move::Word { fed: one.clone(), at, word })
}

/// So that each connection has its turn: the first of each, then the second of each.
fn in_turns<'f>(fed: &[&'f Fed]) -> Vec<&'f Fed> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, &Fed)> = fed
        .iter()
        .map(|one| {
            let turn = seen.entry(one.connection).or_default();
            *turn += 1;
            (*turn, *one)
        })
        .collect();
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, one)| one).collect()
}

/// In an order that the seed decides.
pub(super) fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for at in (1..items.len()).rev() {
        let other = usize::try_from(rng.below(at as u64 + 1)).unwrap_or(0);
        items.swap(at, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(connection: &'static str, outside: &str) -> Fed {
        Fed { connection, collection: "x", outside: outside.into(), company: None }
    }

    #[test]
    fn each_connection_has_its_turn() {
        let fed =
            [said("github", "1"), said("github", "2"), said("slack", "3"), said("github", "4"), said("slack", "5")];
        let turns: Vec<&str> = in_turns(&fed.iter().collect::<Vec<_>>()).iter().map(|one| &*one.outside).collect();
        assert_eq!(turns, ["1", "3", "2", "5", "4"]);
    }

    #[test]
    fn customer_success_reads_addressed() {
        let word = status("Shipped", "shipped");
        assert_eq!(at_salesforce(word.field, word.shown), ("Status__c".to_owned(), "Addressed".to_owned()));
        assert!(
            word.is_shown(Place::Salesforce, &json!("Addressed"))
                && !word.is_shown(Place::Salesforce, &json!("Shipped"))
        );
        assert!(word.is_shown(Place::Notion, &json!("Shipped")) && !word.is_shown(Place::Airtable, &Value::Null));
    }
}

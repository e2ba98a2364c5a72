//! What the vendors' own books say at the end. loopd is not asked whether it did well.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::Vendor;
use serde::Serialize;
use serde_json::Value;

use super::feed::Feed;
use super::play::{Fed, Move, rows};
use super::stage::{BASE, CUSTOMERS, FEEDBACK, Stage, THEMES};
use crate::ledger::LedgerError;
use crate::schema::Path;

/// How the world stands against what it should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Standing {
    /// Things said that have their row in Airtable.
    pub airtable: usize,
    /// Severe bugs that have their issue in Linear, of so many.
    pub linear: usize,
    pub linear_due: usize,
    /// What people changed that is wherever it belongs, of so many.
    pub came_back: usize,
    pub moves: usize,
    /// Rows and issues that exist once too often.
    pub doubled: usize,
    /// What is missing, in words.
    pub lost: Vec<String>,
}

impl Standing {
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.doubled == 0
    }
}

/// Compares.
///
/// # Errors
/// A ledger that cannot be read.
pub(super) fn look(stage: &Stage, fed: &[Fed], moves: &[Move]) -> Result<Standing, LedgerError> {
    let world = &*stage.world;
    let rows = rows(world, FEEDBACK);
    let mut standing = Standing { moves: moves.len(), ..Standing::default() };
    let deleted: BTreeSet<&Fed> =
        moves.iter().filter(|done| matches!(done, Move::Deleted { .. })).map(Move::fed).collect();
    let issues: BTreeMap<String, Value> = world
        .linear(|linear, _| linear.issues())
        .into_iter()
        .filter_map(|issue| Some((issue["id"].as_str()?.to_owned(), issue)))
        .collect();
    for one in fed {
        let row = rows.get(&one.entity().to_string());
        if deleted.contains(one) {
            // It did arrive; what became of it is the move's to say.
            standing.airtable += 1;
            continue;
        }
        match row {
            Some(_) => standing.airtable += 1,
            None => standing.lost.push(format!("{} has no row in Airtable", one.outside)),
        }
        let severe = row.is_some_and(|row| {
            row["fields"]["Category"] == "Bug"
                && ["High", "Critical"].iter().any(|word| row["fields"]["Severity"] == *word)
        });
        if severe {
            standing.linear_due += 1;
            if issues.contains_key(&stage.issue(one.entity())) {
                standing.linear += 1;
            } else {
                standing.lost.push(format!("{} is a severe bug and has no issue in Linear", one.outside));
            }
        }
    }
    standing.doubled = doubles(stage, fed, &issues);
    for done in moves {
        match came_back(stage, done, &rows, &issues)? {
            None => standing.came_back += 1,
            Some(why) => standing.lost.push(why),
        }
    }
    Ok(standing)
}

/// Rows with one id or one source, sources with several issues, and issues of nothing that was said.
fn doubles(stage: &Stage, fed: &[Fed], issues: &BTreeMap<String, Value>) -> usize {
    let world = &*stage.world;
    let twice = |counts: BTreeMap<String, usize>| counts.values().map(|count| count - 1).sum::<usize>();
    let tables = [
        (FEEDBACK, "Loopd ID"),
        (FEEDBACK, "Source Link"),
        (CUSTOMERS, "Loopd ID"),
        (CUSTOMERS, "Name"),
        (THEMES, "Loopd ID"),
    ];
    let rows: usize = tables
        .into_iter()
        .map(|(table, field)| twice(world.airtable(|airtable, _| airtable.doubles(BASE, table, field))))
        .sum();
    let ours: BTreeSet<String> = fed.iter().map(|one| stage.issue(one.entity())).collect();
    rows + twice(world.linear(|linear, _| linear.doubles())) + issues.keys().filter(|id| !ours.contains(*id)).count()
}

/// `None`: what somebody changed is wherever it belongs.
fn came_back(
    stage: &Stage,
    done: &Move,
    rows: &BTreeMap<String, Value>,
    issues: &BTreeMap<String, Value>,
) -> Result<Option<String>, LedgerError> {
    let ledger = &stage.house.ledger;
    let fed = done.fed();
    let entity = ledger.entity(fed.entity())?;
    let value = entity.as_ref().map(crate::schema::Entity::to_value).unwrap_or_default();
    let row = rows.get(&fed.entity().to_string());
    let cell = |field: &str| row.map(|row| row["fields"][field].clone()).unwrap_or_default();
    let holds = |path: &str, wanted: &str| path.parse::<Path>().is_ok_and(|path| path.get(&value) == wanted);
    let name = &fed.outside;
    let miss = |good: bool, what: String| (!good).then_some(what);
    Ok(match done {
        Move::Card { status, shown, .. } => {
            let told =
                *status != "shipped" || ledger.messages()?.iter().any(|(_, message)| message.entity == fed.entity());
            miss(holds("status", status), format!("{name}: its card moved in Linear, but its status is not {status}"))
                .or_else(|| miss(cell("Status") == *shown, format!("{name}: its row does not show {shown}")))
                .or_else(|| miss(told, format!("{name}: it shipped, and no message is prepared")))
        }
        Move::Title { title, .. } => {
            miss(holds("title", title), format!("{name}: its title was changed in Linear, and the item has another"))
                .or_else(|| miss(cell("Summary") == *title, format!("{name}: its row does not show the new title")))
        }
        Move::Cell { field, shown, path, value, .. } => miss(
            holds(path, value),
            format!("{name}: {field} was edited in Airtable, and the item holds something else"),
        )
        .or_else(|| miss(cell(field) == *shown, format!("{name}: what was typed into {field} is gone"))),
        Move::Priority { shown, priority, .. } => {
            let there = issues.get(&stage.issue(fed.entity())).and_then(|issue| issue["priority"].as_u64());
            miss(cell("Severity") == *shown, format!("{name}: what was typed into Severity is gone")).or_else(|| {
                miss(
                    there == Some(*priority),
                    format!("{name}: its severity was changed in Airtable, Linear's priority is not"),
                )
            })
        }
        Move::Raised { .. } => miss(
            issues.contains_key(&stage.issue(fed.entity())),
            format!("{name}: it was made severe in Airtable, and has no issue in Linear"),
        ),
        Move::Theme { theme, .. } => {
            let adopted = ledger.linked("airtable", THEMES, theme)?;
            let named =
                entity.as_ref().and_then(crate::schema::Entity::as_feedback).and_then(|feedback| feedback.theme);
            let counted = stage
                .world
                .airtable(|airtable, _| airtable.row(BASE, THEMES, theme))
                .map(|row| row["fields"]["Feedback Count"].clone());
            miss(adopted.is_some(), "a theme was made in Airtable, and loopd does not know it".into())
                .or_else(|| {
                    miss(
                        named == adopted,
                        format!("{name}: it was linked to a theme in Airtable, and the item was not"),
                    )
                })
                .or_else(|| miss(counted == Some(Value::from(1)), "the theme's row does not count its feedback".into()))
        }
        Move::Deleted { .. } => miss(row.is_none(), format!("{name}: its row was deleted and came again")),
    })
}

/// The fewest calls by which one could have done this, knowing everything beforehand:
///
/// - GitHub: a look at each repository, its first pages of issues (100 a page) and of comments. What was opened while the
///   daemon ran came by webhook and costs nothing.
/// - Intercom: one to know the workspace, a page of companies, the pages of the first search (150 a page), one retrieval
///   a conversation and one a contact.
/// - Airtable: three to bind the base and its webhook; creates and updates in tens, table by table, each row that had to
///   change once people worked with it counted once; one look at what people changed, one read of each table that they
///   changed something in.
/// - Linear: two to bind the team, one look at its issues, one create an issue and one an attachment, one update an
///   issue whose fields people changed elsewhere.
pub(super) fn least(stage: &Stage, feed: &Feed, waiting: &Waiting, moves: &[Move]) -> BTreeMap<&'static str, u64> {
    let world = &*stage.world;
    let mut least = BTreeMap::new();
    let pages = |records: usize, page: usize| records.div_ceil(page).max(1) as u64;

    let github: u64 =
        feed.repos().iter().map(|repo| 2 + pages(waiting.threads.get(repo).copied().unwrap_or(0), 100)).sum();
    least.insert(Vendor::GitHub.name(), github);

    let contacts: BTreeSet<&str> = feed.talks.iter().map(|talk| talk.email.as_str()).collect();
    let intercom = 2 + pages(waiting.talks, 150) + (feed.talks.len() + contacts.len()) as u64;
    least.insert(Vendor::Intercom.name(), intercom);

    let count = |table: &str| world.airtable(|airtable, _| airtable.rows(BASE, table).len());
    let made_by_hand = moves.iter().filter(|done| matches!(done, Move::Theme { .. })).count();
    let deleted = moves.iter().filter(|done| matches!(done, Move::Deleted { .. })).count();
    let creates = tens(count(FEEDBACK) + deleted)
        + tens(count(CUSTOMERS))
        + tens(count(THEMES) - made_by_hand.min(count(THEMES)));
    let shown = moves
        .iter()
        .filter(|done| matches!(done, Move::Card { .. } | Move::Title { .. } | Move::Raised { .. }))
        .count();
    let updates = tens(shown) + tens(made_by_hand);
    let looks = if moves.is_empty() { 0 } else { 2 + made_by_hand as u64 };
    least.insert(Vendor::Airtable.name(), 3 + creates + updates + looks);

    let (issues, attachments) = world.linear(|linear, _| (linear.issues().len(), linear.attachments().len()));
    let priorities = moves.iter().filter(|done| matches!(done, Move::Priority { .. })).count();
    least.insert(Vendor::Linear.name(), 3 + (issues + attachments + priorities) as u64);
    least
}

fn tens(rows: usize) -> u64 {
    rows.div_ceil(10) as u64
}

/// What was there before the daemon started; the rest came while it ran.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    pub threads: BTreeMap<String, usize>,
    pub talks: usize,
}

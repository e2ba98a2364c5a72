//! What the vendors' own books say at the end. loopd is not asked whether it did well.

use std::collections::{BTreeMap, BTreeSet};

use sandbox::World;
use serde::Serialize;
use serde_json::{Map, Value};

use super::feed::Feed;
use super::play::{Move, Place, Word, at_salesforce};
use super::speak::Fed;
use super::stage::{BASE, CHILDREN, CUSTOMERS, FEEDBACK, Stage, THEMES};
use crate::ledger::LedgerError;
use crate::schema::{Entity, EntityId, Path};
use crate::triage::extract;

/// How the world stands against what it should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Standing {
    /// Things said that have their row in Airtable, and their page in Notion.
    pub airtable: usize,
    pub notion: usize,
    /// Severe bugs that have their issue in Linear, of so many.
    pub linear: usize,
    pub linear_due: usize,
    /// Things said by a customer with an account that hang on it, of so many.
    pub salesforce: usize,
    pub salesforce_due: usize,
    /// Companies that are one customer wherever customers are, of so many.
    pub customers: usize,
    pub customers_due: usize,
    /// Uses of features that their customers' rows count, of so many that were sent.
    pub usage: u64,
    pub usage_due: u64,
    /// Things said that are wherever they should be, by where they were said.
    pub sources: BTreeMap<&'static str, usize>,
    /// What people changed that is wherever it belongs, of so many.
    pub came_back: usize,
    pub moves: usize,
    /// Records that exist once too often.
    pub doubled: usize,
    /// What is missing, in words.
    pub lost: Vec<String>,
}

impl Standing {
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.doubled == 0
    }
}

/// One look at everything that loopd has made: by the item's id, but for Linear's issues, which go by their own.
pub(super) struct Books {
    pub rows: BTreeMap<String, Value>,
    pub pages: BTreeMap<String, (String, Map<String, Value>)>,
    pub children: BTreeMap<String, Value>,
    pub issues: BTreeMap<String, Value>,
}

impl Books {
    pub(super) fn read(world: &World) -> Self {
        let by = |records: Vec<Value>, key: fn(&Value) -> &Value| {
            records.into_iter().filter_map(|record| Some((key(&record).as_str()?.to_owned(), record))).collect()
        };
        let pages = world.notion(|notion, _| notion.rows(FEEDBACK));
        Self {
            rows: by(world.airtable(|airtable, _| airtable.rows(BASE, FEEDBACK)), |row| &row["fields"]["Loopd ID"]),
            pages: pages
                .into_iter()
                .filter_map(|(id, page)| Some((page.get("Loopd ID")?.as_str()?.to_owned(), (id, page))))
                .collect(),
            children: by(world.salesforce(|salesforce, _| salesforce.rows(CHILDREN)), |row| &row["Loopd_ID__c"]),
            issues: by(world.linear(|linear, _| linear.issues()), |issue| &issue["id"]),
        }
    }

    pub(super) fn row(&self, one: &Fed) -> Option<&Value> {
        self.rows.get(&one.entity().to_string())
    }

    /// What a field shows there, `null` where it is empty. `None`: the item does not live there.
    pub(super) fn shown(&self, one: &Fed, place: Place, field: &str) -> Option<Value> {
        let key = one.entity().to_string();
        match place {
            Place::Airtable => self.rows.get(&key).map(|row| row["fields"][field].clone()),
            Place::Notion => self.pages.get(&key).map(|(_, page)| page.get(field).cloned().unwrap_or_default()),
            Place::Salesforce => self.children.get(&key).map(|row| row[&at_salesforce(field, "").0].clone()),
        }
    }

    /// Where an item lives and shows something else.
    fn differs(&self, one: &Fed, word: &Word) -> Option<Place> {
        let all = [Place::Airtable, Place::Notion, Place::Salesforce];
        all.into_iter()
            .find(|place| self.shown(one, *place, word.field).is_some_and(|there| !word.is_shown(*place, &there)))
    }
}

/// The records of one company, where customers are.
struct Company {
    row: Option<String>,
    page: Option<String>,
    account: Option<Value>,
    uses: u64,
}

/// Compares.
///
/// # Errors
/// A ledger that cannot be read.
pub(super) fn look(stage: &Stage, feed: &Feed, fed: &[Fed], moves: &[Move]) -> Result<Standing, LedgerError> {
    let books = Books::read(&stage.world);
    let mut standing = Standing { moves: moves.len(), ..Standing::default() };
    let companies = companies(stage, feed, fed, &mut standing);
    let deleted: BTreeSet<&Fed> =
        moves.iter().filter(|done| matches!(done, Move::Deleted { .. })).map(Move::fed).collect();
    for one in fed {
        let lost = standing.lost.len();
        arrived(stage, &books, one, deleted.contains(one), &companies, &mut standing);
        if standing.lost.len() == lost {
            *standing.sources.entry(one.connection).or_default() += 1;
        }
    }
    standing.doubled = doubles(stage, feed, fed, &books);
    for done in moves {
        match came_back(stage, done, moves, &books, &companies)? {
            None => standing.came_back += 1,
            Some(why) => standing.lost.push(why),
        }
    }
    Ok(standing)
}

/// Each company that a vendor knows is one customer in Airtable and in Notion, and its account says so.
fn companies(stage: &Stage, feed: &Feed, fed: &[Fed], standing: &mut Standing) -> BTreeMap<String, Company> {
    let rows = stage.world.airtable(|airtable, _| airtable.rows(BASE, CUSTOMERS));
    let pages = stage.world.notion(|notion, _| notion.rows(CUSTOMERS));
    let has = |cell: &Value, domain: &str| cell.as_str().is_some_and(|text| text.split(", ").any(|one| one == domain));
    let mut found = BTreeMap::new();
    for (domain, known) in feed.companies() {
        // The row of one who was merged stays, and says in whom they live on.
        let rows: Vec<&Value> = rows
            .iter()
            .filter(|row| has(&row["fields"]["Domains"], &domain) && row["fields"]["Merged Into"].is_null())
            .collect();
        let pages: Vec<&String> = pages
            .iter()
            .filter(|(_, page)| page.get("Domains").is_some_and(|cell| has(cell, &domain)))
            .map(|(id, _)| id)
            .collect();
        let account = stage
            .accounts
            .get(&domain)
            .and_then(|id| stage.world.salesforce(|salesforce, _| salesforce.row("Account", id)));
        let sent: u64 =
            feed.usage().filter(|usage| Some(&usage.account) == known.id.as_ref()).map(|usage| usage.times).sum();
        let company = Company {
            row: rows.first().and_then(|row| Some(row["id"].as_str()?.to_owned())),
            page: pages.first().map(|id| (*id).clone()),
            uses: rows.first().and_then(|row| row["fields"]["Uses in 30 Days"].as_u64()).unwrap_or(0),
            account,
        };
        let said = fed.iter().any(|one| one.company.as_ref() == Some(&domain));
        let unheard = |account: &Value| said && account["Loopd_Last_Feedback__c"].is_null();
        let mut miss = Vec::new();
        if rows.len() != 1 {
            miss.push(format!("{domain} is {} customers in Airtable", rows.len()));
        }
        if pages.len() != 1 {
            miss.push(format!("{domain} is {} customers in Notion", pages.len()));
        }
        if company.account.as_ref().is_some_and(unheard) {
            miss.push(format!("the account of {domain} in Salesforce knows of no feedback"));
        }
        standing.customers_due += 1;
        standing.customers += usize::from(miss.is_empty());
        standing.usage_due += sent;
        standing.usage += company.uses.min(sent);
        if company.uses != sent {
            miss.push(format!("{domain} used {sent} times, and its row in Airtable says {}", company.uses));
        }
        standing.lost.extend(miss);
        found.insert(domain, company);
    }
    found
}

/// One thing said, in each place where it should be, on its customer.
fn arrived(
    stage: &Stage,
    books: &Books,
    one: &Fed,
    deleted: bool,
    companies: &BTreeMap<String, Company>,
    standing: &mut Standing,
) {
    let key = one.entity().to_string();
    let company = one.company.as_ref().and_then(|domain| companies.get(domain));
    let on = |cell: &Value, id: Option<&String>| company.is_none() || cell[0].as_str() == id.map(String::as_str);
    match books.row(one) {
        // It did arrive; what became of it is the move's to say.
        None if deleted => standing.airtable += 1,
        None => standing.lost.push(format!("{} has no row in Airtable", one.outside)),
        Some(row) => {
            standing.airtable += 1;
            if !on(&row["fields"]["Customer"], company.and_then(|company| company.row.as_ref())) {
                standing.lost.push(format!("{} is not on its customer in Airtable", one.outside));
            }
        }
    }
    match books.pages.get(&key) {
        None => standing.lost.push(format!("{} has no page in Notion", one.outside)),
        Some((_, page)) => {
            standing.notion += 1;
            let there = page.get("Customer").cloned().unwrap_or_default();
            if !on(&there, company.and_then(|company| company.page.as_ref())) {
                standing.lost.push(format!("{} is not on its customer in Notion", one.outside));
            }
        }
    }
    if let Some(account) = company.and_then(|company| company.account.as_ref()) {
        standing.salesforce_due += 1;
        match books.children.get(&key) {
            None => standing.lost.push(format!("{} does not hang on its account in Salesforce", one.outside)),
            Some(child) if child["Account__c"] != account["Id"] => {
                standing.lost.push(format!("{} hangs on another account in Salesforce", one.outside));
            }
            Some(_) => standing.salesforce += 1,
        }
    }
    let severe = books.row(one).is_some_and(|row| {
        row["fields"]["Category"] == "Bug" && ["High", "Critical"].iter().any(|word| row["fields"]["Severity"] == *word)
    });
    if severe {
        standing.linear_due += 1;
        if books.issues.contains_key(&stage.issue(one.entity())) {
            standing.linear += 1;
        } else {
            standing.lost.push(format!("{} is a severe bug and has no issue in Linear", one.outside));
        }
    }
}

/// Records with one id, sources with several issues, accounts that loopd made, and whatever belongs to nothing that was said:
/// a thing said twice over has another id.
/// More than any call of the feed can hold.
const PARTS: u32 = 40;

fn doubles(stage: &Stage, feed: &Feed, fed: &[Fed], books: &Books) -> usize {
    let world = &*stage.world;
    let twice = |counts: BTreeMap<String, usize>| counts.values().map(|count| count - 1).sum::<usize>();
    let tables = [(FEEDBACK, "Loopd ID"), (CUSTOMERS, "Loopd ID"), (CUSTOMERS, "Name"), (THEMES, "Loopd ID")];
    let rows: usize = tables
        .into_iter()
        .map(|(table, field)| twice(world.airtable(|airtable, _| airtable.doubles(BASE, table, field))))
        .sum();
    let pages: usize =
        tables.into_iter().map(|(table, field)| world.notion(|notion, _| notion.doubles(table, field)).len()).sum();
    let children = world.salesforce(|salesforce, _| salesforce.doubles(CHILDREN, "Loopd_ID__c").len());
    // loopd changes accounts and makes none.
    let accounts = world.salesforce(|salesforce, _| salesforce.rows("Account").len()).abs_diff(feed.accounts().count());
    // What was taken from a call is an item of its own.
    let parts = fed
        .iter()
        .filter(|one| one.connection == "granola")
        .flat_map(|one| (0..PARTS).map(|number| extract::child_id(one.entity(), number)));
    let known: Vec<EntityId> = fed.iter().map(Fed::entity).chain(parts).collect();
    let issues: BTreeSet<String> = known.iter().map(|id| stage.issue(*id)).collect();
    let items: BTreeSet<String> = known.iter().map(EntityId::to_string).collect();
    let strange = books.issues.keys().filter(|id| !issues.contains(*id)).count()
        + [books.rows.keys().collect::<Vec<_>>(), books.pages.keys().collect(), books.children.keys().collect()]
            .concat()
            .into_iter()
            .filter(|id| !items.contains(*id))
            .count();
    rows + pages + children + accounts + strange + twice(world.linear(|linear, _| linear.doubles()))
}

/// `None`: what somebody changed is wherever it belongs.
fn came_back(
    stage: &Stage,
    done: &Move,
    moves: &[Move],
    books: &Books,
    companies: &BTreeMap<String, Company>,
) -> Result<Option<String>, LedgerError> {
    let ledger = &stage.house.ledger;
    let fed = done.fed();
    let entity = ledger.entity(fed.entity())?;
    let value = entity.as_ref().map(Entity::to_value).unwrap_or_default();
    let row = books.row(fed);
    let cell = |field: &str| row.map(|row| row["fields"][field].clone()).unwrap_or_default();
    let holds = |path: &str, wanted: &str| path.parse::<Path>().is_ok_and(|path| path.get(&value) == wanted);
    let name = &fed.outside;
    let miss = |good: bool, what: String| (!good).then_some(what);
    let everywhere = |word: &Word| {
        books.differs(fed, word).map(|place| format!("{name}: {} does not show {}", place.name(), word.shown))
    };
    // Whoever asked is told, and their account shows it.
    let shipped = || -> Result<Option<String>, LedgerError> {
        let told = !fed.is_answered() || ledger.messages()?.iter().any(|(_, message)| message.entity == fed.entity());
        Ok(miss(told, format!("{name}: it shipped, and no message is prepared")).or_else(|| {
            let domain = fed.company.as_ref()?;
            let account = companies.get(domain)?.account.as_ref()?;
            let due =
                moves.iter().filter(|one| one.has_shipped() && one.fed().company.as_ref() == Some(domain)).count();
            let due = u32::try_from(due).unwrap_or(u32::MAX);
            let there = account["Loopd_Feedback_Addressed__c"].as_f64();
            miss(
                there == Some(f64::from(due)),
                format!("{domain}: {due} were addressed, and its account does not say so"),
            )
        }))
    };
    Ok(match done {
        Move::Card { status, shown, .. } => {
            let word = Word { field: "Status", shown, path: "status", value: status };
            let moved = miss(
                holds("status", status),
                format!("{name}: its card moved in Linear, but its status is not {status}"),
            )
            .or_else(|| everywhere(&word));
            if moved.is_none() && done.has_shipped() { shipped()? } else { moved }
        }
        Move::Word { at, word, .. } => {
            let held = miss(
                holds(word.path, word.value),
                format!("{name}: {} was edited in {}, and the item holds something else", word.field, at.name()),
            )
            .or_else(|| everywhere(word));
            if held.is_none() && done.has_shipped() { shipped()? } else { held }
        }
        Move::Title { title, .. } => {
            miss(holds("title", title), format!("{name}: its title was changed in Linear, and the item has another"))
                .or_else(|| miss(cell("Summary") == *title, format!("{name}: its row does not show the new title")))
                .or_else(|| {
                    let page = books.shown(fed, Place::Notion, "Summary");
                    miss(page.is_some_and(|there| there == *title), format!("{name}: its page has the old title"))
                })
        }
        Move::Priority { shown, priority, .. } => {
            let word = Word { field: "Severity", shown, path: "tags.severity", value: "" };
            let there = books.issues.get(&stage.issue(fed.entity())).and_then(|issue| issue["priority"].as_u64());
            everywhere(&word).or_else(|| {
                miss(
                    there == Some(*priority),
                    format!("{name}: its severity was changed in Airtable, Linear's priority is not"),
                )
            })
        }
        Move::Raised { .. } => miss(
            books.issues.contains_key(&stage.issue(fed.entity())),
            format!("{name}: it was made severe in Airtable, and has no issue in Linear"),
        ),
        Move::Theme { theme, .. } => {
            let adopted = ledger.linked("airtable", THEMES, theme)?;
            let named = entity.as_ref().and_then(Entity::as_feedback).and_then(|feedback| feedback.theme);
            let counted = stage
                .world
                .airtable(|airtable, _| airtable.row(BASE, THEMES, theme))
                .map(|row| row["fields"]["Feedback Count"].clone());
            let pages = stage.world.notion(|notion, _| notion.rows(THEMES));
            let page = pages.values().find(|page| page.get("Name").is_some_and(|name| name == "Made by hand"));
            miss(adopted.is_some(), "a theme was made in Airtable, and loopd does not know it".into())
                .or_else(|| {
                    miss(
                        named == adopted,
                        format!("{name}: it was linked to a theme in Airtable, and the item was not"),
                    )
                })
                .or_else(|| miss(counted == Some(Value::from(1)), "the theme's row does not count its feedback".into()))
                .or_else(|| {
                    let counted = page.and_then(|page| page.get("Feedback Count")?.as_f64());
                    miss(counted == Some(1.0), "the theme's page in Notion does not count its feedback".into())
                })
        }
        Move::Deleted { .. } => miss(row.is_none(), format!("{name}: its row was deleted and came again")),
    })
}

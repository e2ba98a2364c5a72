//! The laws of counting, over a store in memory that can lose its power.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use connectors::{Belongs, Counted, Member, Usage, Whole};

use super::{Expiry, FEATURES, Holder, OTHER, PEOPLE, Tally, USAGE};
use crate::ledger::{Ledger, MemoryStore, NoProbe, Tree, portable, verify};

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

fn noon() -> DateTime<Utc> {
    day("2026-11-23").and_hms_opt(12, 0, 0).expect("a time").and_utc()
}

fn event(id: &str, account: Option<&str>, user: Option<&str>, feature: &str) -> Usage {
    Usage {
        account: account.map(str::to_owned),
        user: user.map(str::to_owned),
        anonymous: None,
        email: None,
        feature: feature.into(),
        day: day("2026-11-23"),
        count: Counted::Once(id.into()),
    }
}

fn total(account: &str, user: &str, on: &str, count: u64, pull: i64) -> Usage {
    let count = Counted::Total { count, pull };
    Usage { day: day(on), count, ..event("", Some(account), Some(user), "export") }
}

fn belongs(user: &str, of: Belongs) -> Member {
    Member { user: user.into(), of }
}

struct Books {
    store: Arc<MemoryStore>,
    ledger: Ledger,
}

impl Books {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let ledger = Ledger::over(store.clone(), Arc::new(NoProbe)).expect("memory");
        Self { store, ledger }
    }

    fn take(&self, members: &[Member], usage: &[Usage]) {
        let work = |tx: &mut crate::ledger::Tx<'_>| {
            let mut tally = Tally::default();
            tally.join(tx, "segment", members, noon())?;
            tally.count(tx, "segment", usage, noon())?;
            tally.write(tx)
        };
        self.ledger.transact(work).expect("memory");
    }

    /// Day, whose, feature: how often, and by how many.
    fn all(&self) -> BTreeMap<String, (u64, u64)> {
        let mut all = BTreeMap::new();
        self.ledger
            .usage_between(day("2000-01-01"), day("2100-01-01"), |(connection, day, holder, feature, cell)| {
                assert_eq!(connection, "segment");
                let whose = match holder {
                    Holder::Account(name) => name.clone(),
                    Holder::Person(name) => format!("person {name}"),
                    Holder::Nobody => "nobody".to_owned(),
                };
                all.insert(format!("{day} {whose} {feature}"), (cell.count, cell.people.len()));
                Ok(())
            })
            .expect("memory");
        assert_eq!(verify(&self.ledger).expect("memory"), [], "a law is broken");
        all
    }

    fn is(&self, rows: &[(&str, u64, u64)]) {
        let expect: BTreeMap<String, (u64, u64)> =
            rows.iter().map(|(row, count, people)| (format!("2026-11-23 {row}"), (*count, *people))).collect();
        assert_eq!(self.all(), expect);
    }

    fn counts(&self) -> super::Counts {
        self.ledger.usage_counts(["segment"]).expect("memory").remove("segment").unwrap_or_default()
    }
}

#[test]
fn an_event_counts_once_however_often_and_in_whatever_order_it_comes() {
    let books = Books::new();
    let events: Vec<Usage> = (0..50)
        .map(|n| event(&format!("m{n}"), Some(["Acme", " acme "][n % 2]), Some(&format!("u{}", n % 7)), "export"))
        .collect();
    books.take(&[], &events[..30]);
    let again: Vec<Usage> = events.iter().rev().cloned().collect();
    books.take(&[], &again);
    let twice: Vec<Usage> = events.iter().chain(&events).cloned().collect();
    books.take(&[], &twice);
    books.is(&[("acme export", 50, 7)]);
    let counts = books.counts();
    assert_eq!((counts.events, counts.duplicates, counts.unplaced), (50, 130, 0));
    assert_eq!(books.ledger.count(Tree::Counted).expect("memory"), 50);
}

#[test]
fn what_a_crash_takes_is_counted_when_it_is_sent_again_and_nothing_twice() {
    for kept in 0..=3 {
        let books = Books::new();
        let batches: Vec<Vec<Usage>> = (0..5)
            .map(|b| (0..4).map(|n| event(&format!("{b}-{n}"), Some("acme"), Some("kim"), "export")).collect())
            .collect();
        books.take(&[], &batches[0]);
        books.take(&[], &batches[1]);
        books.ledger.durable().expect("memory");
        for batch in &batches[2..] {
            books.take(&[], batch);
        }
        books.store.lose_power(kept);
        books.is(&[("acme export", 8 + 4 * kept as u64, 1)]);
        // What was not acknowledged comes again; and what was, too, for its answer may have been lost.
        for batch in &batches[1..] {
            books.take(&[], batch);
        }
        books.is(&[("acme export", 20, 1)]);
    }
}

#[test]
fn a_user_whose_account_becomes_known_brings_what_they_did_before() {
    let books = Books::new();
    books.take(&[], &[event("1", None, Some("kim"), "export"), event("2", None, Some("lou"), "export")]);
    books.is(&[("person kim export", 1, 1), ("person lou export", 1, 1)]);
    assert_eq!((books.counts().unplaced, books.counts().people), (2, 2));
    books.take(&[belongs("kim", Belongs::Account("Acme".into()))], &[]);
    books.take(&[], &[event("3", None, Some("kim"), "export"), event("4", Some("acme"), Some("ann"), "export")]);
    books.is(&[("acme export", 3, 2), ("person lou export", 1, 1)]);
    // In one batch, whichever stands first.
    books.take(&[belongs("lou", Belongs::Account("acme".into()))], &[event("5", None, Some("lou"), "import")]);
    books.is(&[("acme export", 4, 3), ("acme import", 1, 1)]);
}

#[test]
fn an_account_that_was_told_beats_one_that_an_address_suggests() {
    let books = Books::new();
    let email = |address: &str| belongs("kim", Belongs::Email(address.into()));
    books.take(&[email("kim@gmail.com")], &[event("1", None, Some("kim"), "export")]);
    books.is(&[("person kim export", 1, 1)]);
    books.take(&[email("kim@acme.example")], &[event("2", None, Some("kim"), "export")]);
    books.is(&[("acme.example export", 2, 1)]);
    books.take(
        &[belongs("kim", Belongs::Account("g1".into())), email("kim@other.example")],
        &[event("3", None, Some("kim"), "export")],
    );
    // What was counted for a company stays there: that was so, then.
    books.is(&[("acme.example export", 2, 1), ("g1 export", 1, 1)]);
}

#[test]
fn other_names_of_a_person_are_one_person() {
    let books = Books::new();
    let stranger = |id: &str, name: &str| Usage { anonymous: Some(name.into()), ..event(id, None, None, "visit") };
    books.take(&[], &[stranger("1", "anon-1"), stranger("2", "anon-2")]);
    books.is(&[("nobody visit", 2, 2)]);
    books.take(&[belongs("anon-1", Belongs::Person("kim".into()))], &[stranger("3", "anon-1")]);
    books.take(
        &[belongs("kim", Belongs::Account("acme".into()))],
        &[stranger("4", "anon-1"), event("5", None, Some("kim"), "visit")],
    );
    books.is(&[("nobody visit", 2, 2), ("acme visit", 3, 1)]);
    // Names that lead in a circle end nowhere, and lose nothing.
    books.take(
        &[belongs("a", Belongs::Person("b".into())), belongs("b", Belongs::Person("a".into()))],
        &[event("6", None, Some("a"), "loop")],
    );
    assert_eq!(books.all().iter().filter(|(row, _)| row.ends_with(" loop")).map(|(_, (n, _))| n).sum::<u64>(), 1);
}

#[test]
fn a_pull_replaces_what_an_earlier_one_brought() {
    let books = Books::new();
    books.take(&[], &[total("acme", "kim", "2026-11-23", 5, 1), total("acme", "lou", "2026-11-23", 2, 1)]);
    // The next page of the same pull adds up.
    books.take(&[], &[total("acme", "ann", "2026-11-23", 3, 1), total("quill", "tom", "2026-11-23", 9, 1)]);
    books.is(&[("acme export", 10, 3), ("quill export", 9, 1)]);
    books.take(&[], &[total("acme", "kim", "2026-11-23", 6, 2)]);
    books.take(&[], &[total("acme", "lou", "2026-11-23", 2, 2)]);
    books.is(&[("acme export", 8, 2), ("quill export", 9, 1)]);
    // A page of the older pull comes late: no news.
    books.take(&[], &[total("acme", "kim", "2026-11-23", 99, 1)]);
    books.is(&[("acme export", 8, 2), ("quill export", 9, 1)]);
    // All is told of that day: who is not in it used nothing.
    let whole = Whole { from: day("2026-11-22"), to: day("2026-11-23"), pull: 2 };
    books.ledger.drop_untold("segment", whole).expect("memory");
    books.ledger.drop_untold("segment", whole).expect("memory");
    books.is(&[("acme export", 8, 2)]);
}

#[test]
fn strangers_cannot_make_it_grow_without_bound() {
    let books = Books::new();
    let many: Vec<Usage> =
        (0..FEATURES + 20).map(|n| event(&format!("m{n}"), Some("acme"), Some("kim"), &format!("f{n:04}"))).collect();
    books.take(&[], &many);
    let all = books.all();
    assert_eq!(all.len(), FEATURES + 1);
    assert_eq!(all[&format!("2026-11-23 acme {OTHER}")], (20, 1));
    let long = "ä".repeat(5000);
    books.take(
        &[],
        &[event("long", Some(&long), Some(&long), "f0001"), event("long 2", Some(&long), Some(&long), "f0001")],
    );
    let (row, count) = books.all().into_iter().find(|(row, _)| row.contains("äää")).expect("it is there");
    assert!(row.len() < 250 && count == (2, 1), "{row}");
    // With as many people as are remembered, others are counted and not told apart from strangers.
    let full = super::Counts { people: PEOPLE, ..books.counts() };
    books.ledger.transact(|tx| tx.set_meta(&super::counts_name("segment"), &full)).expect("memory");
    books.take(&[belongs("new", Belongs::Account("acme".into()))], &[event("n", None, Some("new"), "f0001")]);
    assert_eq!(books.all()["2026-11-23 nobody f0001"], (1, 1));
}

#[test]
fn days_people_and_ids_go_when_their_time_is_over() {
    let books = Books::new();
    let old = |id: &str, user: &str, on: &str| Usage { day: day(on), ..event(id, Some("acme"), Some(user), "export") };
    books.take(
        &[belongs("kim", Belongs::Account("acme".into()))],
        &[old("1", "kim", "2025-01-01"), old("2", "kim", "2026-11-01"), event("3", None, Some("lou"), "export")],
    );
    let walk = |now: DateTime<Utc>| {
        let mut walk = Expiry::default();
        while books.ledger.expire_usage(&mut walk, now, 400, 7).expect("memory") {}
    };
    walk(noon());
    assert_eq!(books.all().len(), 2);
    assert_eq!(books.ledger.count(Tree::Counted).expect("memory"), 3);
    let spans = books.ledger.usage_spans(&Holder::Account("acme".into())).expect("memory");
    assert_eq!(spans[0].1.last, day("2026-11-01"));
    walk(noon() + TimeDelta::days(8));
    assert_eq!(books.ledger.count(Tree::Counted).expect("memory"), 0);
    assert_eq!((books.all().len(), books.counts().people), (2, 2));
    walk(noon() + TimeDelta::days(401));
    assert_eq!((books.all().len(), books.counts().people), (0, 0));
    assert_eq!(
        books.ledger.count(Tree::UsageOf).expect("memory") + books.ledger.count(Tree::Members).expect("memory"),
        0
    );
}

#[test]
fn a_thousand_events_of_an_account_are_one_piece_of_work() {
    let books = Books::new();
    for batch in 0..10 {
        let events: Vec<Usage> =
            (0..100).map(|n| event(&format!("{batch}-{n}"), Some("acme"), Some("kim"), "export")).collect();
        books.take(&[], &events);
    }
    let claims = books.ledger.due(USAGE, 1, noon() + TimeDelta::seconds(5), 100).expect("memory");
    assert_eq!(claims.iter().map(|claim| claim.item.as_slice()).collect::<Vec<_>>(), [b"acme"]);
}

#[test]
fn an_export_holds_what_was_counted() {
    let books = Books::new();
    let events: Vec<Usage> =
        (0..300).map(|n| event(&format!("m{n}"), Some("acme"), Some(&format!("u{n}")), "export")).collect();
    books.take(&[belongs("kim", Belongs::Account("acme".into()))], &events);
    let mut text = Vec::new();
    portable::export(&*books.store, &mut text).expect("memory");
    let fresh = MemoryStore::new();
    portable::import(&fresh, &mut text.as_slice(), portable::Ending::Needed).expect("an export");
    assert_eq!(portable::Seal::of(&fresh).expect("memory"), portable::Seal::of(&*books.store).expect("memory"));
    let other = Books { ledger: Ledger::over(Arc::new(fresh), Arc::new(NoProbe)).expect("memory"), store: books.store };
    other.take(&[], &events);
    assert_eq!(other.counts().duplicates, 300);
}

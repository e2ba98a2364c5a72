use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{TimeDelta, TimeZone};
use connectors::{Cursor, Key, Record, Version};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::portable::{Ending, PortError};
use super::*;
use crate::schema::{Alias, AliasKind, Body, EntityKind};

mod disk;

fn memory() -> (Arc<MemoryStore>, Ledger) {
    let store = Arc::new(MemoryStore::new());
    let ledger = Ledger::over(store.clone(), Arc::new(NoProbe)).expect("a new ledger");
    (store, ledger)
}

fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, 12, 0, 0).single().expect("a real time")
}

fn plenty() -> FreeSpace {
    Arc::new(|_| u64::MAX)
}

fn input(id: &str, version: Option<i64>, body: Option<Value>) -> Input {
    let key = Key::new("issue", id);
    let record = Record { key, version: version.map(Version), body, url: None, edits: Vec::new() };
    Input { connection: "github".into(), record, via: Via::Poll, seen_at: noon() }
}

fn feedback(id: &str) -> Entity {
    Entity::empty(EntityId::derive("github", "issue", id), EntityKind::Feedback)
}

#[test]
fn a_transaction_runs_again_when_what_it_read_has_changed() {
    let (_, ledger) = memory();
    let id = feedback("1").id;
    let mut runs = 0;
    ledger
        .transact(|tx| {
            runs += 1;
            let known = tx.entity(id)?;
            if runs == 1 {
                // Another room is faster.
                ledger.transact(|tx| tx.put_entity(&feedback("1")))?;
                assert!(known.is_none());
            }
            tx.put_entity(&feedback("1"))
        })
        .expect("the second run commits");
    assert_eq!(runs, 2);
}

#[test]
fn numbers_never_come_twice_even_after_power_loss() {
    let (store, ledger) = memory();
    let dead = |cause: &str| Dead {
        at: noon(),
        room: "test".into(),
        connection: "github".into(),
        key: None,
        entity: None,
        field: None,
        cause: cause.into(),
        letter: Letter::Message { id: cause.into() },
        mapping: None,
    };
    let before = ledger.shared.sequence.next().expect("a number");
    ledger.transact(|tx| tx.bury(&dead("a")).map(|_| ())).expect("memory");
    ledger.durable().expect("memory");
    store.lose_power(0);
    let again = Ledger::over(store, Arc::new(NoProbe)).expect("opens");
    assert!(again.shared.sequence.next().expect("a number") > before);
}

#[test]
fn a_page_read_after_another_cursor_is_refused_whole() {
    let (_, ledger) = memory();
    let at = |n: i64| Position { cursor: Some(Cursor(json!(n))), ..Position::default() };
    let page = |from: Option<i64>, to: i64, id: &str| {
        ledger.transact(|tx| {
            tx.advance("github", "issues", from.map(|n| Cursor(json!(n))).as_ref(), &at(to))?;
            tx.ingest(&input(id, None, Some(json!({}))))
        })
    };
    page(None, 1, "a").expect("the first page");
    page(Some(1), 2, "b").expect("the second");
    let error = page(Some(1), 3, "c").expect_err("the stream stands at 2");
    assert!(matches!(error, LedgerError::StaleCursor { .. }));
    let ids: Vec<String> =
        ledger.inbox(9).expect("memory").into_iter().filter_map(|(_, input)| Some(input.ok()?.record.key.id)).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn the_same_again_and_what_is_older_are_no_news() {
    let (_, ledger) = memory();
    let take = |version: Option<i64>, body: Option<Value>| {
        ledger.transact(|tx| tx.ingest(&input("1", version, body.clone()))).expect("memory")
    };
    assert!(take(Some(5), Some(json!({"title": "a"}))));
    assert!(!take(Some(5), Some(json!({"title": "a"}))), "the same again");
    assert!(!take(Some(4), Some(json!({"title": "b"}))), "an older one that comes late");
    assert!(take(Some(5), Some(json!({"title": "c"}))), "the same second, another text");
    assert!(take(None, None), "a deletion has no version");
    assert!(!take(None, None), "and happens once");
    assert!(take(Some(6), Some(json!({"title": "c"}))), "and can be undone");
}

#[test]
fn one_slot_an_item_and_changed_work_is_not_done() {
    let (_, ledger) = memory();
    let queue = |when, now| ledger.transact(|tx| tx.queue("sync/x", 0, b"a", when, now)).expect("memory");
    queue(When::Now, noon());
    queue(When::Now, noon());
    let claims = ledger.due("sync/x", 1, noon(), 9).expect("memory");
    assert_eq!(claims.len(), 1);
    // It changes while it is worked on.
    queue(When::Now, noon());
    ledger.transact(|tx| tx.finish("sync/x", b"a", claims[0].slot.stamp, noon())).expect("memory");
    let claims = ledger.due("sync/x", 1, noon(), 9).expect("memory");
    assert_eq!(claims.len(), 1, "it is still to be done");
    ledger.transact(|tx| tx.finish("sync/x", b"a", claims[0].slot.stamp, noon())).expect("memory");
    assert_eq!(ledger.next_due("sync/x", 1).expect("memory"), None);
}

#[test]
fn settling_work_waits_for_the_last_change_but_not_for_ever() {
    let (_, ledger) = memory();
    let settle = TimeDelta::seconds(5);
    let at = |seconds| noon() + TimeDelta::seconds(seconds);
    for second in [0, 3, 6] {
        ledger.transact(|tx| tx.queue("sync/x", 0, b"a", When::Settled(settle), at(second))).expect("memory");
    }
    assert_eq!(ledger.next_due("sync/x", 1).expect("memory"), Some(at(11)));
    for second in 7..60 {
        ledger.transact(|tx| tx.queue("sync/x", 0, b"a", When::Settled(settle), at(second))).expect("memory");
    }
    assert_eq!(ledger.next_due("sync/x", 1).expect("memory"), Some(at(30)), "six times the settling time at most");
}

#[test]
fn lower_ranks_go_first_and_what_is_not_due_waits() {
    let (_, ledger) = memory();
    ledger
        .transact(|tx| {
            tx.queue("l", 2, b"late rank", When::Now, noon())?;
            tx.queue("l", 0, b"first", When::Now, noon())?;
            tx.queue("l", 0, b"tomorrow", When::At(noon() + TimeDelta::days(1)), noon())
        })
        .expect("memory");
    let items: Vec<Vec<u8>> =
        ledger.due("l", 3, noon(), 9).expect("memory").into_iter().map(|claim| claim.item).collect();
    assert_eq!(items, [b"first".to_vec(), b"late rank".to_vec()]);
}

#[test]
fn references_and_links_keep_their_inverse() {
    let (_, ledger) = memory();
    let customer = Entity::empty(EntityId::derive("csv", "customers", "1"), EntityKind::Customer);
    let mut item = feedback("1");
    let name = |item: &mut Entity, who| {
        if let Body::Feedback(body) = &mut item.body {
            body.customer = who;
        }
    };
    let put = |entity: &Entity| ledger.transact(|tx| tx.put_entity(entity)).expect("memory");
    put(&customer);
    name(&mut item, Some(customer.id));
    put(&item);
    assert_eq!(ledger.referrers(customer.id).expect("memory"), [item.id]);
    name(&mut item, None);
    put(&item);
    assert_eq!(ledger.referrers(customer.id).expect("memory"), []);
    let link = |id: &str| Link { id: id.into(), url: None, state: LinkState::Live, generation: 0, since: noon() };
    for outside in ["rec1", "rec2"] {
        ledger.transact(|tx| tx.put_link(item.id, "airtable", "Feedback", &link(outside))).expect("memory");
    }
    assert_eq!(ledger.linked("airtable", "Feedback", "rec1").expect("memory"), None);
    assert_eq!(ledger.linked("airtable", "Feedback", "rec2").expect("memory"), Some(item.id));
    assert_eq!(verify(&ledger).expect("memory"), []);
}

#[test]
fn verify_finds_each_broken_law() {
    let (store, ledger) = memory();
    let item = feedback("1");
    let ghost = EntityId::derive("nobody", "nothing", "0");
    let put = |tree, key: Vec<u8>, value: &[u8]| {
        let writes = vec![(tree, key, Some(value.to_vec()))];
        store.apply(Batch { checks: Vec::new(), writes }).expect("memory");
    };
    let link =
        serde_json::to_vec(&Link { id: "r".into(), url: None, state: LinkState::Live, generation: 0, since: noon() })
            .expect("JSON");
    ledger.transact(|tx| tx.put_entity(&item)).expect("memory");
    put(Tree::Links, keys::entity(ghost, &["airtable", "Feedback"]), &link);
    put(Tree::Linked, keys::texts(&["airtable", "Feedback", "other"]), &serde_json::to_vec(&item.id).expect("JSON"));
    put(Tree::Bases, keys::entity(item.id, &["airtable", "Feedback"]), b"{}");
    put(Tree::Refs, keys::pair(ghost, item.id), b"null");
    put(Tree::Due, keys::due("sync/airtable", 0, noon(), b"x"), b"null");
    put(Tree::Aliases, keys::texts(&["domain:example.com"]), &serde_json::to_vec(&ghost).expect("JSON"));
    put(Tree::Dead, keys::sequence(7), b"not JSON");
    let trees: Vec<&str> = verify(&ledger).expect("memory").into_iter().map(|broken| broken.tree).collect();
    assert_eq!(trees, ["refs", "links", "links", "linked", "bases", "due", "aliases", "dead"]);
}

#[test]
fn customers_are_found_by_any_of_their_names() {
    let (_, ledger) = memory();
    let customer = EntityId::derive("csv", "customers", "1");
    let alias = Alias::new(AliasKind::Domain, "someone@lumen.example.com").expect("a domain");
    ledger.transact(|tx| tx.wait_for(&alias, feedback("1").id)).expect("memory");
    assert_eq!(ledger.waiting(&alias).expect("memory"), [feedback("1").id]);
    ledger.transact(|tx| tx.name_customer(&alias, customer)).expect("memory");
    assert_eq!(ledger.transact(|tx| tx.customer_by(&alias)).expect("memory"), Some(customer));
}

#[test]
fn power_loss_takes_what_was_not_durable_and_nothing_else() {
    let (store, ledger) = memory();
    ledger.transact(|tx| tx.put_entity(&feedback("kept"))).expect("memory");
    ledger.durable().expect("memory");
    ledger.transact(|tx| tx.put_entity(&feedback("also"))).expect("memory");
    ledger.transact(|tx| tx.put_entity(&feedback("lost"))).expect("memory");
    assert_eq!(store.at_risk(), 2);
    store.lose_power(1);
    let has = |id: &str| ledger.entity(feedback(id).id).expect("memory").is_some();
    assert_eq!([has("kept"), has("also"), has("lost")], [true, true, false]);
}

#[test]
fn an_overlay_keeps_its_changes_to_itself() {
    let (_, ledger) = memory();
    ledger.transact(|tx| tx.put_entity(&feedback("below"))).expect("memory");
    let above = ledger.overlay().expect("an overlay");
    above.transact(|tx| tx.put_entity(&feedback("above"))).expect("memory");
    assert_eq!(above.count(Tree::Entities).expect("memory"), 2);
    assert_eq!(ledger.count(Tree::Entities).expect("memory"), 1);
}

#[test]
fn what_waited_in_vain_leaves_a_letter_when_its_time_is_over() {
    let (store, ledger) = memory();
    let parent = Key::new("issue", "7");
    let (old, new) = (input("old", None, Some(json!({"body": "Same here."}))), input("new", None, Some(json!({}))));
    let late = noon() + TimeDelta::days(9);
    let fresh = Input { seen_at: late, ..new };
    ledger.transact(|tx| tx.park(&parent, &old).and_then(|()| tx.park(&parent, &fresh))).expect("memory");
    store
        .apply(Batch { checks: Vec::new(), writes: vec![(Tree::Parked, b"odd".to_vec(), Some(b"no input".to_vec()))] })
        .expect("memory");
    assert_eq!(ledger.retire(late, late, None, 99).expect("memory"), 2);
    assert_eq!(ledger.parked("github", &parent).expect("memory"), [fresh]);
    let letters: Vec<Dead> = ledger.dead().expect("memory").into_iter().map(|(_, dead)| dead).collect();
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(letters.iter().any(|dead| dead.letter == Letter::Unreadable { bytes: b"no input".to_vec() }));
    let letter = letters.iter().find(|dead| dead.key == Some(old.record.key.clone())).expect("the old one's");
    assert_eq!(letter.letter, Letter::Input { input: Box::new(old) });
    assert!(letter.at == late && letter.cause.contains("part of"), "{letter:?}");
    assert_eq!(ledger.retire(late, late, None, 99).expect("memory"), 0);
}

/// A store in which another room is faster, once: it writes just before the first batch that is to be applied.
struct Faster {
    inner: MemoryStore,
    first: Mutex<Option<Batch>>,
}

impl Store for Faster {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(tree, key)
    }

    fn scan(&self, tree: Tree, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.inner.scan(tree, prefix, after, limit)
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        if let Some(first) = self.first.lock().expect("one thread").take() {
            self.inner.apply(first)?;
        }
        self.inner.apply(batch)
    }

    fn durable(&self) -> Result<(), StoreError> {
        self.inner.durable()
    }

    fn size_on_disk(&self) -> u64 {
        0
    }
}

#[test]
fn a_row_that_is_written_anew_while_its_time_ends_stays() {
    let store = Arc::new(Faster { inner: MemoryStore::new(), first: Mutex::default() });
    let ledger = Ledger::over(store.clone(), Arc::new(NoProbe)).expect("a new ledger");
    let old = input("1", None, Some(json!({"title": "old"})));
    ledger.transact(|tx| tx.keep_raw(&old)).expect("memory");
    let late = noon() + TimeDelta::days(9);
    let new = Input { seen_at: late, ..old };
    let key = keys::texts(&["github", "issue", "1"]);
    let anew = (Tree::Raw, key, Some(raw::pack(&new).expect("packs")));
    *store.first.lock().expect("one thread") = Some(Batch { checks: Vec::new(), writes: vec![anew] });
    assert_eq!(ledger.retire(late, late, None, 99).expect("memory"), 0);
    assert_eq!(ledger.raw("github", "issue", "1").expect("memory"), Some(new));
}

/// An action on a store, for comparing stores with each other.
#[derive(Clone, Debug)]
enum Act {
    Put(u8, u8, u8),
    Remove(u8, u8),
    /// A batch whose check fails or holds.
    Checked(u8, u8, Option<u8>, u8),
}

fn act() -> impl Strategy<Value = Act> {
    let key = 0..12u8;
    prop_oneof![
        (0..3u8, key.clone(), any::<u8>()).prop_map(|(t, k, v)| Act::Put(t, k, v)),
        (0..3u8, key.clone()).prop_map(|(t, k)| Act::Remove(t, k)),
        (0..3u8, key, proptest::option::of(any::<u8>()), any::<u8>()).prop_map(|(t, k, e, v)| Act::Checked(t, k, e, v)),
    ]
}

fn apply(store: &dyn Store, act: &Act) -> bool {
    let tree = |t: u8| [Tree::Inbox, Tree::Raw, Tree::Seen][usize::from(t)];
    let key = |k: u8| vec![k / 4, k % 4];
    let batch = match act {
        Act::Put(t, k, v) => Batch { checks: Vec::new(), writes: vec![(tree(*t), key(*k), Some(vec![*v]))] },
        Act::Remove(t, k) => Batch { checks: Vec::new(), writes: vec![(tree(*t), key(*k), None)] },
        Act::Checked(t, k, e, v) => Batch {
            checks: vec![(tree(*t), key(*k), e.map(|e| vec![e]))],
            writes: vec![(tree(*t), key(*k), Some(vec![*v])), (tree((*t + 1) % 3), key(*k), Some(vec![*v]))],
        },
    };
    store.apply(batch).is_ok()
}

fn seen(store: &dyn Store) -> Vec<Vec<store::Row>> {
    let mut seen = Vec::new();
    for tree in [Tree::Inbox, Tree::Raw, Tree::Seen] {
        for prefix in [&[][..], &[0], &[1], &[2]] {
            seen.push(store.scan(tree, prefix, None, 5).expect("reads"));
            seen.push(store.scan(tree, prefix, Some(&[1, 1]), 3).expect("reads"));
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// All stores answer alike, and like an overlay over a store that was filled halfway.
    #[test]
    fn stores_agree(acts in proptest::collection::vec(act(), 1..60), split in 0usize..60) {
        let folder = tempfile::tempdir().expect("a folder");
        let sled = SledStore::open(&folder.path().join("ledger"), plenty()).expect("opens");
        let memory = MemoryStore::new();
        let below = Arc::new(MemoryStore::new());
        let mut overlay = None;
        for (n, act) in acts.iter().enumerate() {
            let said = apply(&memory, act);
            prop_assert_eq!(apply(&sled, act), said);
            if n < split {
                apply(&*below, act);
            } else {
                let overlay = overlay.get_or_insert_with(|| Overlay::new(below.clone()));
                prop_assert_eq!(apply(overlay, act), said);
            }
        }
        prop_assert_eq!(seen(&sled), seen(&memory));
        if let Some(overlay) = overlay {
            prop_assert_eq!(seen(&overlay), seen(&memory));
        }
    }
}

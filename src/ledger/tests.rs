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
fn a_ledger_on_disk_has_one_holder_and_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger");
    let ledger = Ledger::open(&path, plenty(), Arc::new(NoProbe)).expect("opens");
    ledger.transact(|tx| tx.put_entity(&feedback("1"))).expect("writes");
    ledger.durable().expect("syncs");
    let second = SledStore::open(&path, plenty()).err().expect("one process holds it").to_string();
    assert!(second.contains("in use by another process"), "{second}");
    drop(ledger);
    let ledger = Ledger::open(&path, plenty(), Arc::new(NoProbe)).expect("opens again");
    assert!(ledger.entity(feedback("1").id).expect("reads").is_some());
}

#[test]
fn an_unreadable_ledger_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("conf"), "this is no sled").expect("writes");
    std::fs::write(folder.path().join("db"), vec![7; 4096]).expect("writes");
    let error = Ledger::open(folder.path(), plenty(), Arc::new(NoProbe)).err().expect("refused").to_string();
    assert!(error.contains("cannot be read") && error.contains("loopd ledger rebuild"), "{error}");
    assert_eq!(std::fs::read(folder.path().join("conf")).expect("is there"), b"this is no sled");
    assert_eq!(std::fs::read(folder.path().join("db")).expect("is there"), vec![7; 4096]);
}

/// A ledger of a few hundred rows, and what stands in its database.
fn furnished(path: &Path) -> Ledger {
    let ledger = Ledger::open(path, plenty(), Arc::new(NoProbe)).expect("opens");
    for n in 0..300 {
        let text: String =
            (0..600).map(|at| char::from(b'a' + u8::try_from((at * n + at) % 26).expect("small"))).collect();
        let input = input(&n.to_string(), Some(n), Some(json!({"title": text})));
        ledger.transact(|tx| tx.ingest(&input).and_then(|_| tx.keep_raw(&input))).expect("writes");
        ledger.transact(|tx| tx.put_entity(&feedback(&n.to_string()))).expect("writes");
        if n % 50 == 0 {
            ledger.durable().expect("syncs");
        }
    }
    ledger.durable().expect("syncs");
    ledger
}

fn cut(path: &Path, to: u64) {
    File::options().write(true).open(path.join("db")).and_then(|db| db.set_len(to)).expect("cuts");
}

fn noise(path: &Path, at: u64) {
    let db = File::options().write(true).open(path.join("db")).expect("opens");
    std::os::unix::fs::FileExt::write_all_at(&db, &[0xa7; 4096], at).expect("writes");
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path.join("db")).expect("is there").len()
}

#[track_caller]
fn refused_untouched(path: &Path, what: &str) {
    let before = std::fs::read(path.join("db")).expect("is there");
    let error = Ledger::open(path, plenty(), Arc::new(NoProbe)).err().unwrap_or_else(|| panic!("{what}: it opens"));
    let text = error.to_string();
    for part in ["cannot be read", "left untouched", "ledger import", "ledger rebuild"] {
        assert!(text.contains(part), "{what}: {text}");
    }
    assert!(std::fs::read(path.join("db")).expect("is there") == before, "{what}: it was changed");
    assert!(!place::beside(path, "checking").exists());
}

#[test]
fn a_damaged_ledger_is_refused_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger");
    drop(furnished(&path));
    let (length, whole) = (length(&path), folder.path().join("whole"));
    copy_folder(&path, &whole);
    let damages: [(&str, &dyn Fn()); 5] = [
        ("cut to 100 KB", &|| cut(&path, 100 * 1024)),
        ("cut in half", &|| cut(&path, length / 2)),
        ("without its last byte", &|| cut(&path, length - 1)),
        ("noise in the middle", &|| noise(&path, length / 2)),
        ("gone", &|| std::fs::write(path.join("db"), "").expect("writes")),
    ];
    for (what, damage) in damages {
        damage();
        refused_untouched(&path, what);
        refused_untouched(&path, what);
        std::fs::remove_dir_all(&path).expect("removes");
        copy_folder(&whole, &path);
    }
    let ledger = Ledger::open(&path, plenty(), Arc::new(NoProbe)).expect("the whole one opens");
    assert_eq!(verify(&ledger).expect("reads"), []);
}

/// A copy of an open ledger's files is what a kill leaves.
#[test]
fn a_killed_ledger_opens_and_a_killed_and_cut_one_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = folder.path().join("open");
    let ledger = furnished(&open);
    let killed = |name: &str| {
        let path = folder.path().join(name);
        copy_folder(&open, &path);
        path
    };
    let opens = |path: &Path| {
        let ledger = Ledger::open(path, plenty(), Arc::new(NoProbe)).expect("opens");
        assert_eq!(ledger.count(Tree::Entities).expect("reads"), 300);
        assert_eq!(verify(&ledger).expect("reads"), []);
    };
    opens(&killed("whole"));
    let cut_one = killed("cut");
    cut(&cut_one, length(&cut_one) / 2);
    refused_untouched(&cut_one, "killed and cut");
    // sled gave back room just before the kill.
    let shorter = killed("shorter");
    let mark = mark::Mark::read(&shorter).expect("is there");
    let write = |path: &Path, mark: mark::Mark| mark.write(&mark::file(path).expect("opens")).expect("writes");
    write(&shorter, mark::Mark { length: mark.length + (1 << 20), ..mark });
    opens(&shorter);
    // Its end was lost, though its length is right.
    let older = killed("older");
    write(&older, mark::Mark { epoch: mark.epoch + 1, ..mark });
    let error = Ledger::open(&older, plenty(), Arc::new(NoProbe)).err().expect("refused").to_string();
    assert!(error.contains("its end was lost"), "{error}");
    // A mark that a power loss tore claims nothing.
    let torn = killed("torn");
    std::fs::write(torn.join(mark::NAME), "00000000000000").expect("writes");
    opens(&torn);
    drop(ledger);
}

#[test]
fn verify_reads_every_row_and_says_what_it_cannot() {
    let folder = tempfile::tempdir().expect("a folder");
    let (open, killed) = (folder.path().join("open"), folder.path().join("killed"));
    let ledger = furnished(&open);
    copy_folder(&open, &killed);
    drop(ledger);
    for at in (0..length(&killed)).step_by(64 * 1024).skip(1) {
        noise(&killed, at);
    }
    match Ledger::open(&killed, plenty(), Arc::new(NoProbe)) {
        Err(error) => assert!(error.to_string().contains("ledger rebuild"), "{error}"),
        Ok(ledger) => match verify(&ledger) {
            Err(error) => assert!(error.to_string().contains("ledger rebuild"), "{error}"),
            Ok(broken) => assert!(!broken.is_empty(), "it reads what is no more"),
        },
    }
}

#[test]
fn a_ledger_of_a_newer_loopd_is_refused_and_an_older_one_migrates() {
    let store = MemoryStore::new();
    migrate::migrate_with(&store, 3, &[]).expect("a new ledger");
    let newer = migrate::migrate_with(&store, 2, &[]).expect_err("it is newer").to_string();
    assert!(newer.contains("newer loopd"), "{newer}");
    fn step(store: &dyn Store) -> Result<Batch, LedgerError> {
        let known = store.get(Tree::Meta, b"told")?.unwrap_or_default();
        let writes = vec![(Tree::Meta, b"told".to_vec(), Some([known, b"+".to_vec()].concat()))];
        Ok(Batch { checks: Vec::new(), writes })
    }
    let steps = [step as migrate::Step; 4];
    migrate::migrate_with(&store, 5, &steps).expect("two steps");
    migrate::migrate_with(&store, 5, &steps).expect("none");
    assert_eq!(store.get(Tree::Meta, b"told").expect("memory"), Some(b"++".to_vec()));
}

#[test]
fn a_full_disk_refuses_and_room_heals() {
    let folder = tempfile::tempdir().expect("a folder");
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let seen = free.clone();
    let room: FreeSpace = Arc::new(move |_| seen.load(Ordering::Relaxed));
    let open = || Ledger::open(&folder.path().join("ledger"), room.clone(), Arc::new(NoProbe)).expect("opens");
    let ledger = open();
    ledger.transact(|tx| tx.put_entity(&feedback("before"))).expect("room");
    free.store(RESERVE - 1, Ordering::Relaxed);
    let error = ledger.transact(|tx| tx.put_entity(&feedback("during"))).expect_err("no room");
    assert!(matches!(error, LedgerError::Store(StoreError::Full { .. })), "{error}");
    assert!(error.to_string().contains("disk is full"), "{error}");
    assert!(ledger.entity(feedback("before").id).expect("reading goes on").is_some());
    // People look, and a daemon starts anew, also while there is no room.
    drop(ledger);
    let ledger = open();
    assert!(ledger.entity(feedback("before").id).expect("reading goes on").is_some());
    free.store(u64::MAX, Ordering::Relaxed);
    ledger.transact(|tx| tx.put_entity(&feedback("after"))).expect("room again");
    assert!(ledger.entity(feedback("during").id).expect("reads").is_none());
}

#[test]
fn export_import_and_compact_keep_every_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger");
    let rows = |store: &dyn Store| {
        let mut rows = BTreeMap::new();
        for tree in Tree::ALL {
            rows.extend(
                store.scan(tree, &[], None, 9999).expect("reads").into_iter().map(|(key, value)| ((tree, key), value)),
            );
        }
        rows
    };
    let all = {
        let ledger = Ledger::open(&path, plenty(), Arc::new(NoProbe)).expect("opens");
        for n in 0..40 {
            let mut input = input(&n.to_string(), Some(n), Some(json!({"title": "é\n\"x\"", "n": n})));
            input.via = Via::Webhook;
            ledger.transact(|tx| tx.ingest(&input).and_then(|_| tx.keep_raw(&input))).expect("writes");
            ledger.transact(|tx| tx.put_entity(&feedback(&n.to_string()))).expect("writes");
        }
        let mut text = Vec::new();
        let exported = portable::export(&**ledger.store(), &mut text).expect("exports");
        let fresh = MemoryStore::new();
        assert_eq!(portable::import(&fresh, &mut text.as_slice(), Ending::Needed).expect("imports"), exported);
        assert_eq!(rows(&fresh), rows(&**ledger.store()));
        let again = portable::import(&fresh, &mut text.as_slice(), Ending::Needed).expect_err("not empty");
        assert!(again.to_string().contains("not empty"));
        let broken = portable::import(
            &MemoryStore::new(),
            &mut &b"{\"loopd_ledger\":1}\n{\"tree\":\"x\",\"key\":\"00\",\"value\":1}\n"[..],
            Ending::Needed,
        );
        assert!(broken.expect_err("no such tree").to_string().starts_with("line 2"));
        rows(&**ledger.store())
    };
    portable::compact(&path, &plenty()).expect("compacts");
    let ledger = Ledger::open(&path, plenty(), Arc::new(NoProbe)).expect("opens");
    let mut after = rows(&**ledger.store());
    // Opening reserves numbers anew.
    let sequence = (Tree::Meta, keys::texts(&[SEQUENCE]));
    assert!(after.remove(&sequence) > None);
    let mut all = all;
    all.remove(&sequence);
    assert_eq!(after, all);
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

#[test]
fn an_import_is_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let mut text = Vec::new();
    let rows = portable::export(&**furnished(&from).store(), &mut text).expect("exports");
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), rows + 2, "a head and an end");
    let at = |text: Vec<u8>, ending| portable::import_at(&to, &mut text.as_slice(), ending, &plenty());
    let nothing_left = || {
        let names =
            std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().expect("text")).collect();
        names.sort();
        assert_eq!(names, ["from", "from.lock", "to.lock"]);
    };
    for cut in [0, 1, 2, 19, 59, 99, rows, rows + 1] {
        assert!(
            matches!(at(lines[..cut].concat(), Ending::Needed), Err(PortError::Cut { .. })),
            "cut after {cut} lines"
        );
        nothing_left();
    }
    let without_one = [&lines[..7], &lines[8..]].concat().concat();
    assert!(matches!(at(without_one, Ending::MayLack), Err(PortError::Changed { .. })), "a line is missing");
    let mut changed = text.clone();
    let title = text.windows(5).position(|part| part == b"title").expect("one has a title");
    changed[title + 9] ^= 1;
    assert!(matches!(at(changed, Ending::Needed), Err(PortError::Changed { .. } | PortError::Line { .. })));
    let within_a_line = text[..text.len() / 2].to_vec();
    assert!(matches!(at(within_a_line, Ending::MayLack), Err(PortError::Line { .. })));
    nothing_left();
    // Who knows that it is cut may take it. Then it is there, and another is refused.
    assert_eq!(at(lines[..19].concat(), Ending::MayLack).expect("taken"), 18);
    assert!(matches!(at(text.clone(), Ending::Needed), Err(PortError::NotEmpty)));
    std::fs::remove_dir_all(&to).expect("removes");
    // A ledger that was only opened is empty.
    drop(Ledger::open(&to, plenty(), Arc::new(NoProbe)).expect("opens"));
    assert_eq!(at(text, Ending::Needed).expect("taken"), rows);
    let ledger = Ledger::open(&to, plenty(), Arc::new(NoProbe)).expect("opens");
    assert_eq!(ledger.count(Tree::Entities).expect("reads"), 300);
    assert_eq!(verify(&ledger).expect("reads"), []);
}

/// What a crash leaves between any two steps of a swap, the next to hold the place puts in order.
#[test]
fn a_compaction_cut_short_leaves_a_whole_ledger() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |suffix: &str| folder.path().join(format!("ledger{suffix}"));
    let path = at("");
    let made = |path: &Path, id: &str| {
        let ledger = Ledger::open(path, plenty(), Arc::new(NoProbe)).expect("opens");
        ledger.transact(|tx| tx.put_entity(&feedback(id))).expect("writes");
    };
    let whole = || {
        let ledger = Ledger::open(&path, plenty(), Arc::new(NoProbe)).expect("opens");
        assert!(ledger.entity(feedback("1").id).expect("reads").is_some());
        for suffix in [".compacting", ".before-compact", ".discarded", ".checking", ".importing"] {
            assert!(!at(suffix).exists(), "{suffix} was left");
        }
    };
    made(&path, "1");
    // While the copy is made.
    std::fs::create_dir(at(".compacting")).expect("makes");
    whole();
    // Between the two renames.
    std::fs::rename(&path, at(".before-compact")).expect("renames");
    std::fs::create_dir(at(".compacting")).expect("makes");
    whole();
    // After the second.
    copy_folder(&path, &at(".before-compact"));
    whole();
    // While the old one is removed.
    std::fs::create_dir(at(".discarded")).expect("makes");
    whole();
    // Another ledger beside it, which no compaction leaves: nothing is removed, and a person is told.
    made(&at(".other"), "2");
    std::fs::rename(at(".other"), at(".before-compact")).expect("renames");
    let error = Ledger::open(&path, plenty(), Arc::new(NoProbe)).err().expect("refused").to_string();
    assert!(error.contains(".before-compact") && error.contains("Move away"), "{error}");
    assert!(path.join("db").exists() && at(".before-compact").join("db").exists());
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copies");
        }
    }
}

#[test]
fn who_does_not_hold_the_place_touches_nothing_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger");
    let ledger = Ledger::open(&path, plenty(), Arc::new(NoProbe)).expect("opens");
    let siblings =
        ["ledger.compacting", "ledger.before-compact", "ledger.importing", "ledger.checking", "ledger.discarded"];
    for name in siblings {
        std::fs::create_dir(folder.path().join(name)).expect("makes");
    }
    let locked = |done: Result<(), StoreError>| assert!(matches!(done, Err(StoreError::Locked { .. })));
    locked(SledStore::open(&path, plenty()).map(|_| ()));
    match portable::compact(&path, &plenty()) {
        Err(portable::PortError::Store(error)) => locked(Err(error)),
        other => panic!("{other:?}"),
    }
    for name in siblings {
        assert!(folder.path().join(name).exists(), "{name} is another's");
    }
    drop(ledger);
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

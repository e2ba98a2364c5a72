//! What only a disk can do: be held, be damaged, be full, be cut short.

use super::*;

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

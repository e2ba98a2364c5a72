//! The ledger in people's hands: looked at, compacted, exported, imported, damaged.

use crate::support::{GITHUB, Place};

/// A place with a ledger that holds some customers.
fn furnished() -> Place {
    let place = Place::with(GITHUB);
    let rows: String = (0..60).map(|n| format!("Company {n},company{n}.example,{}\n", n * 1000)).collect();
    place.write("customers.csv", &format!("name,domain,arr\n{rows}"));
    place.loopd(&["import", "customers", "customers.csv"]).ends(0);
    place
}

fn rows(place: &Place) -> Vec<(String, u64)> {
    let size = place.loopd(&["ledger", "size", "--json"]).ends(0).json();
    let trees = size["trees"].as_array().expect("trees").iter();
    trees.map(|tree| (tree["tree"].to_string(), tree["rows"].as_u64().expect("a number"))).collect()
}

#[test]
fn looking_beside_a_compaction_loses_nothing() {
    let place = furnished();
    let whole = rows(&place);
    assert!(whole.iter().any(|(tree, rows)| tree == "\"entities\"" && *rows == 60), "{whole:?}");
    for round in 0..6 {
        std::thread::scope(|scope| {
            for command in ["status", "dead", "close"] {
                let place = &place;
                scope.spawn(move || {
                    for _ in 0..5 {
                        let said = place.loopd(&[command]);
                        assert!(matches!(said.code, Some(0 | 4)), "{said:?}");
                    }
                });
            }
            // One of them may hold the ledger at the moment; then it is told, and asks again.
            let mut compacted = false;
            for _ in 0..200 {
                let said = place.loopd(&["ledger", "compact"]);
                assert!(matches!(said.code, Some(0 | 4)), "{said:?}");
                if said.code == Some(0) {
                    compacted = true;
                    break;
                }
            }
            assert!(compacted, "nobody lets go of the ledger");
        });
        assert_eq!(rows(&place), whole, "round {round}");
        for sibling in ["compacting", "before-compact", "discarded"] {
            assert!(!place.path().join(format!("ledger.{sibling}")).exists(), "{sibling} was left");
        }
    }
    place.loopd(&["ledger", "verify"]).ends(0);
}

/// What a person meets while another process is at the ledger: a clear word and code 4, and nothing is touched.
#[test]
fn a_second_process_is_told() {
    let place = furnished();
    let lock = std::fs::File::options().append(true).open(place.path().join("ledger.lock")).expect("it is there");
    lock.try_lock().expect("nobody is there");
    std::fs::create_dir(place.path().join("ledger.compacting")).expect("a folder");
    for command in [&["status"][..], &["ledger", "compact"], &["ledger", "import", "customers.csv"], &["run"]] {
        place.loopd(command).ends(4).says("in use by another process");
    }
    assert!(place.path().join("ledger.compacting").exists(), "it is the other's");
    drop(lock);
    place.loopd(&["status"]).ends(0);
    assert!(!place.path().join("ledger.compacting").exists());
}

#[test]
fn a_damaged_ledger_is_refused_with_the_way_out_and_left_as_it_is() {
    let place = furnished();
    let db = place.path().join("ledger/db");
    let whole = std::fs::read(&db).expect("is there");
    let noisy = [&whole[..whole.len() / 2], &[0xa7; 4096], &whole[whole.len() / 2 + 4096..]].concat();
    for damaged in [&whole[..100 * 1024], &whole[..whole.len() / 2], &noisy] {
        std::fs::write(&db, damaged).expect("writes");
        for command in [&["status"][..], &["ledger", "verify"], &["ledger", "compact"], &["run"]] {
            place.loopd(command).ends(1).says("left untouched").says("ledger import").says("ledger rebuild");
            assert!(std::fs::read(&db).expect("is there") == damaged, "{command:?} changed it");
        }
    }
    std::fs::write(&db, &whole).expect("writes");
    place.loopd(&["ledger", "verify"]).ends(0).says("Every law holds");
}

#[test]
fn a_cut_export_is_refused_and_leaves_nothing() {
    let place = furnished();
    place.loopd(&["ledger", "export", "all.ndjson"]).ends(0);
    let text = std::fs::read_to_string(place.path().join("all.ndjson")).expect("is there");
    let other = Place::with(GITHUB);
    for lines in [19, 59, 99] {
        let part: String = text.split_inclusive('\n').take(lines).collect();
        other.write("part.ndjson", &part);
        other.loopd(&["ledger", "import", "part.ndjson"]).ends(1).says("it was cut").says("--cut");
        assert!(!other.path().join("ledger").exists());
        assert!(!other.path().join("ledger.importing").exists());
    }
    other.write("all.ndjson", &text);
    other.loopd(&["ledger", "import", "all.ndjson"]).ends(0);
    assert_eq!(rows(&other), rows(&place));
    other.loopd(&["ledger", "import", "all.ndjson"]).ends(1).says("not empty");
    // The daemon's export is the same text in its form.
    let daemon = place.run();
    place.loopd(&["ledger", "export", "live.ndjson"]).ends(0);
    assert_eq!(daemon.stop(), Some(0));
    let third = Place::with(GITHUB);
    third.write("live.ndjson", &std::fs::read_to_string(place.path().join("live.ndjson")).expect("is there"));
    third.loopd(&["ledger", "import", "live.ndjson"]).ends(0);
}

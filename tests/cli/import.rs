//! `loopd import`: files as they come, dry runs, bad lines, and the same file twice.

use crate::support::{GITHUB, Place};

const REPORT: &str = include_str!("../samples/salesforce-report.csv");
const FEEDBACK: &str = include_str!("../samples/feedback.csv");

#[test]
fn a_salesforce_export_is_imported_twice_and_changes_nothing_the_second_time() {
    let place = Place::with(GITHUB);
    place.write("accounts.csv", REPORT);
    let import = |more: &[&str]| {
        let args = [&["import", "customers", "accounts.csv", "--json"], more].concat();
        place.loopd(&args).ends(0).json()
    };
    let counts = |report: &serde_json::Value| {
        ["rows", "new", "changed", "unchanged", "refused"].map(|key| report[key].as_u64().expect("a count"))
    };
    assert_eq!(counts(&import(&["--dry-run"])), [3, 3, 0, 0, 0]);
    place.loopd(&["customers"]).ends(2).says("no ledger");
    assert_eq!(counts(&import(&[])), [3, 3, 0, 0, 0]);
    assert_eq!(counts(&import(&["--dry-run"])), [3, 0, 0, 3, 0]);
    assert_eq!(counts(&import(&[])), [3, 0, 0, 3, 0]);
    place.write("accounts.csv", &REPORT.replace("USD 1,234,000.00", "USD 1,500,000.00"));
    assert_eq!(counts(&import(&["--dry-run"])), [3, 0, 1, 2, 0]);
    assert_eq!(counts(&import(&[])), [3, 0, 1, 2, 0]);
    let shown = place.loopd(&["customers", "show", "salesforce_account:001D000000IRFma", "--json"]).ends(0).json();
    assert_eq!((&shown["name"], &shown["arr"]), (&"Lumen Example".into(), &1_500_000.0.into()));
}

#[test]
fn bad_lines_are_told_kept_and_gone_when_they_are_mended() {
    let place = Place::with(GITHUB);
    place.write("feedback.csv", FEEDBACK);
    let said = place.loopd(&["import", "feedback", "feedback.csv"]).ends(3);
    let said = said.says("feedback.csv:8: it says nothing").says("the same row again");
    assert!(said.out.contains("refused"), "{}", said.out);
    place.loopd(&["dead"]).ends(0).says("feedback.csv:8");
    place.loopd(&["dead", "retry", "--all"]).ends(1).says("mend the line and import feedback.csv again");
    place.write("feedback.csv", &FEEDBACK.replace("\n;cy@", "\nToo slow;cy@"));
    let report = place.loopd(&["import", "feedback", "feedback.csv", "--json"]).ends(0).json();
    assert_eq!((&report["new"], &report["unchanged"], &report["repeated"]), (&1.into(), &3.into(), &1.into()));
    place.loopd(&["dead"]).ends(0).says("No dead letters");
}

#[test]
fn a_daemon_takes_the_rows_in_and_tells_what_it_would_do() {
    let place = Place::with(GITHUB);
    place.write("accounts.csv", REPORT);
    let daemon = place.run();
    place
        .loopd(&["import", "customers", "accounts.csv", "--dry-run"])
        .ends(0)
        .says("new customers")
        .says("Nothing was changed");
    place.loopd(&["import", "customers", "accounts.csv"]).ends(0).says("handed to the daemon");
    place.loopd(&["import", "customers", "accounts.csv"]).ends(0).says("known already");
    assert_eq!(daemon.stop(), Some(0));
    place.loopd(&["customers"]).ends(0).says("Quill Example");
}

#[test]
fn mappings_formats_and_encodings() {
    let place = Place::with(GITHUB);
    place.write("list.txt", "{\"Kunde\": \"Lumen Example\", \"Umsatz\": \"1.234,50 EUR\"}\n{\"Kunde\": \"\"}\n");
    place.write(
        "map.toml",
        "from = \"csv.customers\"\nentity = \"customer\"\n[fields]\nname = '.Kunde'\n[customer]\nmatch = [{ name = '.Kunde' }]\n",
    );
    place.write("wrong.toml", "from = \"csv.customers\"\nentity = \"customer\"\n[fields]\nnmae = '.Kunde'\n");
    let with = |map: &str, more: &[&str]| {
        let args = [&["import", "customers", "list.txt", "--map", map], more].concat();
        place.loopd(&args)
    };
    with("wrong.toml", &[]).ends(2).says("wrong.toml:4").says("did you mean `name`");
    with("nothing.toml", &[]).ends(2).says("HEADER=NAME");
    with("map.toml", &["--map", "Kunde=name"]).ends(2).says("alone says");
    with("map.toml", &["--id", "Nummer"]).ends(3).says("list.txt:1: its Nummer is empty");
    with("map.toml", &[]).ends(3).says("list.txt:2: ");
    with("Kunde=name", &["--map", "Umsatz=arr"]).ends(3).says("list.txt:2: ");
    let shown = place.loopd(&["customers", "show", "Lumen Example", "--json"]).ends(0).json();
    assert_eq!(shown["arr"], 1234.5);
    let utf16: Vec<u8> = "name\nAcme\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(place.path().join("wide.csv"), utf16).expect("it can be written");
    place.loopd(&["import", "customers", "wide.csv"]).ends(2).says("UTF-16").says("CSV UTF-8");
    std::fs::write(place.path().join("west.csv"), b"name;region\nM\xfcller GmbH;\xd6sterreich\n")
        .expect("it can be written");
    place.loopd(&["import", "customers", "west.csv"]).ends(0).says("Windows-1252");
    let shown = place.loopd(&["customers", "show", "M\u{fc}ller GmbH", "--json"]).ends(0).json();
    assert_eq!(shown["region"], "\u{d6}sterreich");
    place.loopd(&["import", "customers", "west.csv", "--map", "Kunde=name"]).ends(2).says("no such column");
    place.write("empty.csv", "");
    place.loopd(&["import", "feedback", "empty.csv"]).ends(2).says("it is empty");
    place.write("days.csv", "name;since\nAcme Example;6/7/2024\n");
    place.loopd(&["import", "customers", "days.csv", "--dry-run"]).ends(0).says("--dates dmy");
    place.write("more.csv", "name;since\nAcme Example;6/7/2024\nQuill Example;27/7/2024\n");
    let sure = place.loopd(&["import", "customers", "more.csv", "--dry-run"]).ends(0);
    assert!(!sure.err.contains("--dates"), "{}", sure.err);
}

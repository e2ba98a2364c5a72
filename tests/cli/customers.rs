//! `loopd customers`: looked at, reviewed, merged and parted, beside a running daemon and without one.

use serde_json::Value;

use crate::support::{GITHUB, Place};

/// Three who may be one, and one who is not.
fn place() -> Place {
    let place = Place::with(GITHUB);
    let sheet = "id,name,domain\nc1,Lumen GmbH,lumen.example.com\nc2,LUMEN Inc.,\nc3,Lumen,\nc4,Quill Example,quill.example.com\n";
    place.write("customers.csv", sheet);
    place.loopd(&["import", "customers", "customers.csv"]).ends(0).says("new customers");
    place
}

fn list(place: &Place) -> Vec<(String, String)> {
    let lines = place.loopd(&["customers", "--json"]).ends(0).json();
    let text = |line: &Value, key: &str| line[key].as_str().expect("a text").to_owned();
    lines.as_array().expect("a list").iter().map(|line| (text(line, "name"), text(line, "short_id"))).collect()
}

fn number(pair: &Value) -> String {
    pair["number"].to_string()
}

fn pairs(place: &Place, code: i32) -> Vec<Value> {
    let pairs = place.loopd(&["customers", "review", "--json"]).ends(code).json();
    pairs.as_array().expect("a list").clone()
}

#[test]
fn doubtful_pairs_are_shown_with_both_sides_and_answered_by_number() {
    let place = place();
    place
        .loopd(&["customers", "review"])
        .ends(3)
        .says("Lumen GmbH")
        .says("their names are alike")
        .says("--accept NUMBER");
    place.loopd(&["status", "--json"]).ends(0).says("pairs of customers may be one");
    let open = pairs(&place, 3);
    assert_eq!(open.len(), 3);
    let of = |a: &str, b: &str| {
        let is = |pair: &&Value| {
            let names = [pair["keep"]["name"].as_str(), pair["other"]["name"].as_str()];
            names.contains(&Some(a)) && names.contains(&Some(b))
        };
        number(open.iter().find(is).expect("the pair"))
    };
    place.loopd(&["customers", "review", "--reject", &of("Lumen", "LUMEN Inc.")]).ends(0).says("stay two");
    place.loopd(&["customers", "review", "--accept", &of("Lumen", "Lumen GmbH")]).ends(0).says("was merged into");
    assert_eq!(pairs(&place, 0), Vec::<Value>::new(), "the third is none of them");
    place.loopd(&["customers", "review", "--accept", "7"]).ends(1).says("no such pair waits");
    assert_eq!(list(&place).len(), 3);
    place.loopd(&["customers", "list", "--all"]).ends(0).says("(merged)");
    place.loopd(&["ledger", "verify"]).ends(0);
}

#[test]
fn two_are_merged_parted_and_named_beside_a_running_daemon() {
    let place = place();
    let daemon = place.run();
    place
        .loopd(&["customers", "merge", "Quill Example", "c1"])
        .ends(0)
        .says("Lumen GmbH")
        .says("was merged into Quill Example");
    place.loopd(&["customers", "merge", "c4", "c1"]).ends(1).says("already");
    place.loopd(&["customers", "merge", "c4", "c4"]).ends(1).says("is one customer already");
    // A name leads to where its customer lives.
    let shown = place.loopd(&["customers", "show", "domain:lumen.example.com", "--json"]).ends(0).json();
    assert_eq!((&shown["name"], &shown["absorbed"][0][1]), (&Value::from("Quill Example"), &shown["absorbed"][0][1]));
    place.loopd(&["customers", "show", "quill.example.com"]).ends(0).says("merged in").says("domain:lumen.example.com");
    place.loopd(&["why", "c1"]).ends(0).says("merged into Quill Example");
    place.loopd(&["customers", "split", "--undo-merge", "c1"]).ends(0).says("are two again");
    place.loopd(&["customers", "split", "--undo-merge", "c1"]).ends(1).says("was not merged");
    let lumen = place.loopd(&["customers", "show", "lumen.example.com", "--json"]).ends(0).json();
    assert_eq!(lumen["name"], "Lumen GmbH");

    place
        .loopd(&["customers", "alias", "add", "c4", "slack_channel:C0123"])
        .ends(0)
        .says("goes by slack_channel:c0123");
    place
        .loopd(&["customers", "alias", "add", "c1", "slack_channel:C0123"])
        .ends(1)
        .says("Quill Example")
        .says("alias remove");
    place.loopd(&["customers", "alias", "add", "c1", "domain:gmail.com"]).ends(1).says("customers.companies");
    place.loopd(&["customers", "split", "c4", "--alias", "slack_channel:C0123"]).ends(0).says("customers of their own");
    assert_eq!(list(&place).len(), 5);
    place.loopd(&["customers", "split", "c4", "--alias", "domain:nobody.example.com"]).ends(1).says("does not go by");
    place.loopd(&["customers", "alias", "remove", "c4", "quill.example.com"]).ends(0).says("no more");
    place.loopd(&["customers", "show", "quill.example.com"]).ends(1).says("no customer is known");
    assert_eq!(daemon.stop(), Some(0));
    place.loopd(&["ledger", "verify"]).ends(0);
    place.loopd(&["customers", "split"]).ends(2).says("--alias");
}

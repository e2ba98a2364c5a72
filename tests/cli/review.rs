//! `loopd review` and `loopd agreement`: what waits is listed, judged and counted, beside a running daemon and without one.

use serde_json::Value;

use crate::support::{GITHUB, Place};

const SAID: &str = "id,title,text\n\
    1,Opening a file ends it,The program crashes with an error as soon as I open a file. This is a bug.\n\
    2,Printing is broken,The print dialogue fails with an exception when two printers are configured. This is a bug.\n\
    3,Thanks,I love the new editor. Great work and thank you all.\n";

/// Two complaints and one thanks, sorted by the small models.
fn place() -> Place {
    let place = Place::with(GITHUB);
    place.write("said.csv", SAID);
    place.loopd(&["import", "feedback", "said.csv"]).ends(0);
    let daemon = place.run();
    let sorted = (0..500).any(|_| waiting(&place).len() == 3);
    assert!(sorted, "nothing was sorted");
    assert_eq!(daemon.stop(), Some(0));
    place
}

fn waiting(place: &Place) -> Vec<Value> {
    let list = place.loopd(&["review", "list", "--json"]).ends(0).json();
    list.as_array().expect("a list").clone()
}

fn of(waiting: &[Value], title: &str) -> (String, Value) {
    let found = waiting.iter().find(|waiting| waiting["item"]["title"] == title).expect("it waits");
    (found["item"]["short_id"].as_str().expect("an id").to_owned(), found.clone())
}

#[test]
fn what_waits_is_accepted_corrected_and_counted() {
    let place = place();
    let list = waiting(&place);
    assert_eq!(list.len(), 3);
    let scores: Vec<f64> = list.iter().filter_map(|waiting| waiting["score"].as_f64()).collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]), "best first: {scores:?}");
    let (first, shown) = of(&list, "Opening a file ends it");
    assert_eq!(shown["kind"], "suggestions");
    assert!(shown["item"]["text"].as_str().is_some_and(|text| text.contains("crashes")));
    let category = shown["suggestions"].as_array().expect("some").iter().find(|said| said["field"] == "category");
    assert_eq!(category.expect("a category")["value"], "bug");
    // Without a terminal it is a list, for people as well.
    place.loopd(&["review"]).ends(0).says("KIND").says(&first).says("category bug");
    place.loopd(&["review", "list", "--kind", "proposal"]).ends(0).says("Nothing waits");
    place.loopd(&["review", "list", "--limit", "1", "--json"]).ends(0);
    place.loopd(&["status"]).ends(0).says("3 items with suggestions that nobody has spoken to");

    let daemon = place.run();
    place.loopd(&["review", "accept", &first]).ends(0).says("accepted").says("category bug");
    place.loopd(&["review", "accept", &first]).ends(1).says("nothing that a model suggested is open");
    let (second, _) = of(&list, "Printing is broken");
    place.loopd(&["review", "correct", &second, "category", "Pain Point"]).ends(0).says("category is pain_point");
    place.loopd(&["review", "correct", &second, "status", "shipped"]).ends(1).says("models suggest no status");
    place.loopd(&["review", "accept", &second, "mood"]).ends(1).says("models suggest no mood");
    assert_eq!(daemon.stop(), Some(0));

    let told = place.loopd(&["agreement", "--json"]).ends(0).json();
    let row = &told["rows"][0];
    let (reviews, agreed) = (row["reviews"].as_u64().expect("a count"), row["agreed"].as_u64().expect("a count"));
    assert_eq!(reviews - agreed, 1, "{told}");
    assert_eq!(told["mistakes"][0]["item"], second.as_str());
    assert!(told["cells"][0]["lacks"].as_str().is_some_and(|lacks| lacks.contains("more review")), "{told}");
    place.loopd(&["agreement", "--week", "--by", "field"]).ends(0).says("category").says("KAPPA").says("bug 0.");
    place.loopd(&["why", &second, "tags.category"]).ends(0).says("reviewed");

    place.loopd(&["review", "reopen", &second]).ends(0).says("is open again");
    place.loopd(&["review", "reopen", &second]).ends(1).says("nothing was said");
    let again = place.loopd(&["agreement", "--json"]).ends(0).json();
    assert_eq!(again["rows"][0]["reviews"], reviews - 1);
    place.loopd(&["ledger", "verify"]).ends(0);
}

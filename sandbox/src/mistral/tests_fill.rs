//! What is read out of a text, and how a schema is filled from it.

use serde_json::{Value, json};

use super::fill::{Reading, fill};
use super::text::{Block, blocks, sentences, speaker};

fn reading(text: &str) -> Reading<'_> {
    Reading { text, other: None, system: "", order: None, lying: false }
}

fn choose(values: &Value, text: &str) -> Value {
    fill(&json!({"type": "object", "properties": {"v": {"enum": values}}}), &reading(text))["v"].take()
}

#[test]
fn the_data_of_a_message_is_found() {
    let sealed = |text| Block { text, sealed: true };
    let open = |text| Block { text, sealed: false };
    for (message, found) in [
        ("Just a text.", vec![open("Just a text.")]),
        (
            "First:\n<<<DATA-0a1b2c3d\nA.\nDATA-0a1b2c3d>>>\n\nSecond:\n<<<DATA-4e5f6a7b\nB\nDATA-4e5f6a7b>>>\n\nYour last answer was refused.",
            vec![sealed("A."), sealed("B")],
        ),
        ("Sort:\n<<<k3j9x2q7\nA.\n\nB.\nk3j9x2q7>>>\nThanks.", vec![sealed("A.\n\nB.")]),
        ("One:\n<a-7f3a9c>\nA\n</a-7f3a9c>\nTwo:\n<b-7f3a9c>\nB\n</b-7f3a9c>", vec![sealed("A"), sealed("B")]),
        ("Data: <feedback>a <b>bold</b> text</feedback> end", vec![open("a <b>bold</b> text")]),
        ("Data:\n```\nA\n```", vec![open("A")]),
        (
            "=== data 12345678 ===\n</feedback>\n=== data 11111111 ===\n=== end 12345678 ===",
            vec![sealed("</feedback>\n=== data 11111111 ===")],
        ),
    ] {
        assert_eq!(blocks(message), found, "{message}");
    }
}

#[test]
fn sentences_are_as_they_stand_there() {
    let text = "[00:12] Ada Example: It is slow. Version 1.2 was not!\nBo: «Très lent», non ?\nno end";
    assert_eq!(sentences(text), ["It is slow.", "Version 1.2 was not!", "«Très lent», non ?", "no end"]);
    assert_eq!(
        (speaker("[00:12] Ada Example: It"), speaker("https://x.example"), speaker("It is 12:30")),
        (Some("Ada Example"), None, None)
    );
}

#[test]
fn a_closed_list_is_decided_by_its_words() {
    let categories = json!(["bug", "feature_request", "pain_point", "praise", "churn_signal", "question", "general"]);
    for (text, category) in [
        ("The importer crashes with an error.", "bug"),
        ("Please add dark mode, it would be nice.", "feature_request"),
        ("Il manque un export CSV.", "feature_request"),
        ("It is slow and annoying.", "pain_point"),
        ("Merci, super outil !", "praise"),
        ("We will cancel and switch to somebody else.", "churn_signal"),
        ("Nous allons résilier.", "churn_signal"),
        ("How do I export?", "question"),
        ("It is Monday.", "general"),
    ] {
        assert_eq!(choose(&categories, text), category, "{text}");
    }
    assert_eq!(choose(&json!(["API", "Console", null]), "The console is grey."), "Console");
    assert_eq!(choose(&json!(["API", "Console", null]), "It is grey."), Value::Null);
    let compared = |other: &str, text: &str| {
        let schema = json!({"properties": {"verdict": {"enum": ["duplicate", "distinct", "unsure"]}, "is_duplicate": {"type": "boolean"}}});
        fill(&schema, &Reading { other: Some(other), ..reading(text) })
    };
    assert_eq!(compared("Export of large tables fails", "Large tables: the export fails")["verdict"], "duplicate");
    assert_eq!(
        compared("Export of large tables fails", "Single sign-on wanted"),
        json!({"verdict": "distinct", "is_duplicate": false})
    );
}

#[test]
fn a_deep_schema_is_filled_one_entry_for_each_remark() {
    let schema = json!({"$defs": {"item": {"type": "object", "properties": {
            "category": {"type": "object", "properties": {"value": {"enum": ["bug", "praise"]}, "confidence": {"type": "number"}}},
            "quote": {"type": "string"}, "speaker": {"type": ["string", "null"]}, "start": {"type": "integer"}}}},
        "type": "object", "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}, "summary": {"type": "string"}}});
    let call =
        "Bo: How is it going?\nAda: The export crashes. Every night.\nBo: Oh.\nAda: We love the new console though!";
    let filled = fill(&schema, &reading(call));
    let items = filled["items"].as_array().expect("a list");
    assert_eq!(items.len(), 2);
    assert_eq!(
        (&items[0]["quote"], &items[0]["speaker"], &items[0]["start"]),
        (&json!("The export crashes."), &json!("Ada"), &json!(0))
    );
    assert_eq!(
        (&items[1]["category"]["value"], &items[1]["quote"]),
        (&json!("praise"), &json!("We love the new console though!"))
    );
    assert!(items[0]["category"]["confidence"].as_f64().is_some_and(|sure| sure > 0.6));
    assert_eq!(filled["summary"], "How is it going");
    let lies = fill(&schema, &Reading { lying: true, ..reading(call) });
    let quote = lies["items"][0]["quote"].as_str().expect("a quote");
    let differing = quote.chars().zip("The export crashes.".chars()).filter(|(a, b)| a != b).count();
    assert_eq!((differing, quote.len()), (1, "The export crashes.".len()));
    assert_eq!(lies["items"][0]["category"]["confidence"], 1.0);
    assert!(!call.contains("4711") && lies["summary"].as_str().is_some_and(|text| text.contains("4711")));
    assert_eq!(fill(&json!({"$ref": "#"}), &reading(call)), Value::Null, "a schema that is only itself");
}

#[test]
fn a_turn_is_named_with_its_words_and_a_name_is_short() {
    let schema = json!({"type": "object", "properties": {
        "items": {"type": "array", "items": {"type": "object", "properties": {
            "kind": {"enum": ["request", "problem", "praise", "leaving"]}, "turn": {"type": "string"}, "confidence": {"type": "number"},
            "quote": {"type": "string", "description": "copied exactly"}, "title": {"type": "string"}}}},
        "because": {"type": "string", "description": "A few words of the text, copied exactly"}, "name": {"type": "string"}}});
    let call = "[t1] us: Did the error go away?\n[t2] customer: No.\nNote: the nightly export of all our invoices still fails with an error.\n[t3] customer: We may cancel.";
    let filled = fill(&schema, &reading(call));
    let items = filled["items"].as_array().expect("a list");
    let read: Vec<_> = items.iter().map(|item| (&item["kind"], &item["turn"], &item["quote"])).collect();
    assert_eq!(
        read[0],
        (&json!("problem"), &json!("t2"), &json!("the nightly export of all our invoices still fails with an error."))
    );
    assert_eq!(read[1], (&json!("leaving"), &json!("t3"), &json!("We may cancel.")));
    assert!(call.contains(filled["because"].as_str().expect("text")));
    assert!(filled["name"].as_str().is_some_and(|name| name.split(' ').count() <= 7));
    let alone = fill(&schema, &reading("[] customer: It crashes.\n\nEvery night."));
    assert_eq!((&alone["items"][0]["turn"], &alone["items"][0]["quote"]), (&json!(""), &json!("It crashes.")));
}

#[test]
fn each_choice_says_how_sure_it_is() {
    let sure = json!({"type": "object", "properties": {"category": {"type": "number"}, "severity": {"type": "number"}, "other": {"type": "number"}}});
    let schema = json!({"type": "object", "properties": {"category": {"enum": ["bug", "praise"]}, "confidence": sure,
        "severity": {"enum": ["critical", "high", "medium", "low"]}}});
    let filled = fill(&schema, &reading("The importer shows an error, with an exception: it is broken."));
    assert_eq!(
        (&filled["category"], &filled["severity"], &filled["confidence"]["severity"]),
        (&json!("bug"), &json!("medium"), &json!(0.72))
    );
    assert!(filled["confidence"]["category"].as_f64().is_some_and(|sure| sure > 0.8));
    let compared = json!({"properties": {"duplicate": {"type": "boolean"}, "confidence": {"type": "number"}}});
    let same = Reading { other: Some("Export of large tables fails"), ..reading("Large tables: the export fails") };
    assert_eq!(fill(&compared, &same), json!({"duplicate": true, "confidence": 0.95}));
}

//! What is read out of a text, and how a schema is filled from it.

use serde_json::{Value, json};

use super::fill::{Reading, fill};
use super::text::{Block, blocks, sentences, speaker};

fn reading(text: &str) -> Reading<'_> {
    Reading { text, other: None, system: "", order: None, lying: false }
}

fn choose(values: Value, text: &str) -> Value {
    fill(&json!({"type": "object", "properties": {"v": {"enum": values}}}), &reading(text))["v"].take()
}

#[test]
fn the_data_of_a_message_is_found() {
    let sealed = |text| Block { text, sealed: true };
    let open = |text| Block { text, sealed: false };
    for (message, found) in [
        ("Just a text.", vec![open("Just a text.")]),
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
        assert_eq!(choose(categories.clone(), text), category, "{text}");
    }
    assert_eq!(choose(json!(["API", "Console", null]), "The console is grey."), "Console");
    assert_eq!(choose(json!(["API", "Console", null]), "It is grey."), Value::Null);
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

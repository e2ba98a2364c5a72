//! Jobs by rule, and what an answer must hold.

use serde_json::json;

use super::*;
use crate::enrich::{Text, embed};
use crate::schema::Tags;
use crate::triage::nearest;
use crate::triage::testing::{NOW, customer, feedback, house, id, put, read as stands, theme};

fn by_rule(text: &str, category: &str) -> Option<Job> {
    let tags = Tags { category: Some(category.into()), product: Some("Console".into()), ..Tags::default() };
    rules::of_text(text, &Feedback { tags, ..feedback(text) })
}

#[test]
fn rules_tell_what_stands_there_and_that_the_rest_was_not_said() {
    for (text, category, request, job) in [
        (
            "Hi! We would like to export invoices to CSV so that we can check them. Thanks.",
            "feature_request",
            "We would like to export invoices to CSV so that we can check them.",
            "When I use Console, I want to export invoices to CSV, so I can check them",
        ),
        (
            "The export crashes every day. Please hurry.",
            "bug",
            "The export crashes every day.",
            "When I use Console, I want to get past this: “The export crashes every day.”, so I can … (they did not say: ask)",
        ),
        (
            "Hi. Please add a dark mode.",
            "feature_request",
            "Please add a dark mode.",
            "When I use Console, I want to have a dark mode, so I can … (they did not say: ask)",
        ),
        (
            "The export stops after an hour. Very annoying.",
            "bug",
            "The export stops after an hour.",
            "When I use Console, I want to get past this: “The export stops after an hour.”, so I can … (they did not say: ask)",
        ),
        (
            "Il faudrait un mode sombre.",
            "feature_request",
            "Il faudrait un mode sombre.",
            "When I use Console, I want to have what I ask for: “Il faudrait un mode sombre.”, so I can … (they did not say: ask)",
        ),
    ] {
        let told = by_rule(text, category).expect("it asks");
        assert_eq!((told.request.as_str(), told.job.as_str()), (request, job));
        assert!(text.contains(&told.request) && told.model == RULES && !told.questions.is_empty());
    }
    assert_eq!(by_rule("Thank you for the call.", "praise"), None);
    assert_eq!(by_rule("", "bug"), None);
    let today = by_rule("We need to merge cells. For now we do it by hand.", "feature_request").expect("it asks");
    assert_eq!(today.alternatives, ["What they do today: “For now we do it by hand.”"]);
}

#[test]
fn an_answer_must_hold_what_a_job_is() {
    let text = "Please add a dark mode, my eyes hurt at night.";
    let good = json!({
        "request": "Please add a dark mode", "job": "When I work at night, I want to look at the screen without pain, so I can finish my work.",
        "questions": ["How often do you work at night?"], "alternatives": ["The system's own night colours"],
    });
    assert_eq!(holds(&good, Some(text)), Ok(()));
    assert_eq!(holds(&good, None), Ok(()));
    for (key, value) in [
        ("request", json!("Please add the dark mode")),
        ("request", json!("")),
        ("request", json!(7)),
        ("job", json!("I want a dark mode.")),
        ("job", json!("When , I want to , so I can ")),
        ("job", json!("When I work, I want a dark mode.")),
        ("questions", json!([])),
        ("questions", json!(["Tell me more."])),
        ("questions", json!("Why?")),
        ("questions", json!([null])),
        ("alternatives", json!(null)),
        ("alternatives", json!([{}])),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(holds(&bad, Some(text)).is_err(), "{bad}");
    }
    for odd in [json!(null), json!([]), json!("a job")] {
        assert!(holds(&odd, None).is_err());
    }
    let answered = Answered { value: good, model: "large".into(), prompt: "jtbd/1".into() };
    let job = read(&answered, Some(text)).expect("it holds");
    assert_eq!((job.model.as_str(), job.request.as_str()), ("large (jtbd/1)", "Please add a dark mode"));
}

fn member(house: &House, number: u8, theme: EntityId, text: &str) {
    let at = NOW + chrono::TimeDelta::hours(i64::from(number));
    let tags = Tags { category: Some("feature_request".into()), ..Tags::default() };
    put(
        house,
        number,
        Body::Feedback(Box::new(Feedback { theme: Some(theme), received_at: Some(at), tags, ..feedback(text) })),
    );
    let vector = embed::embed(&Text { body: text.into(), ..Text::default() });
    let place = house.ledger.transact(|tx| nearest::put(house, tx, id(number), embed::NAME, &vector));
    place.and_then(|()| nearest::settle(house, id(number))).expect("memory");
}

#[tokio::test]
async fn a_theme_is_told_at_its_birth_and_when_it_has_doubled() {
    let house = house("");
    let dark = put(&house, 100, theme("Dark mode"));
    assert_eq!(of_theme(&house, dark).await.expect("memory"), Outcome::Done);
    let request = |house: &House| match stands(house, dark).body {
        Body::Theme(theme) => theme.job.map(|job| job.request),
        _ => None,
    };
    assert_eq!(request(&house), None, "of nobody's words nothing is told");
    for number in 1..=3 {
        member(&house, number, dark, &format!("Please add dark mode {number}."));
    }
    // As the steps of an item come by.
    step(&house, id(1)).await.expect("memory");
    assert_eq!(request(&house).as_deref(), Some("Please add dark mode 3."));
    member(&house, 4, dark, "Please add dark mode 4.");
    member(&house, 5, dark, "Please add dark mode 5.");
    step(&house, id(5)).await.expect("memory");
    assert_eq!(request(&house).as_deref(), Some("Please add dark mode 3."), "five are no twice three");
    member(&house, 6, dark, "Please add dark mode 6.");
    step(&house, id(6)).await.expect("memory");
    assert_eq!(request(&house).as_deref(), Some("Please add dark mode 6."));
    assert!(
        stands(&house, id(6)).as_feedback().is_some_and(|feedback| feedback.job.is_none()),
        "items only when asked for"
    );
    // What a person wrote stands.
    house
        .ledger
        .transact(|tx| {
            let mut entity = tx.entity(dark)?.expect("it is there");
            entity.decided_mut().insert(PATH.into(), crate::schema::Decision { by: "cli".into(), at: NOW });
            tx.put_entity(&entity)
        })
        .expect("memory");
    for number in 7..=20 {
        member(&house, number, dark, "Please add a dark mode at last.");
    }
    step(&house, id(7)).await.expect("memory");
    assert_eq!(request(&house).as_deref(), Some("Please add dark mode 6."));
}

#[tokio::test]
async fn an_item_is_told_when_a_person_asks() {
    let house = house("");
    member(&house, 1, id(100), "We need to sign in once.");
    put(&house, 100, theme("Sign in"));
    let (job, later) = asked_for(&house, id(1)).await.expect("memory").expect("it asks");
    assert_eq!((job.request.as_str(), later), ("We need to sign in once.", None));
    assert!(stands(&house, id(1)).as_feedback().is_some_and(|feedback| feedback.job.is_some()));
    assert!(asked_for(&house, id(100)).await.expect("memory").is_ok());
    put(&house, 2, Body::Feedback(Box::new(feedback("Thanks."))));
    assert!(asked_for(&house, id(2)).await.expect("memory").is_err_and(|why| why.contains("asks for nothing")));
    put(&house, 3, customer("Lumen Example", 1.0));
    assert!(asked_for(&house, id(3)).await.expect("memory").is_err_and(|why| why.contains("is a customer")));
    put(&house, 101, theme("Empty"));
    assert!(asked_for(&house, id(101)).await.expect("memory").is_err_and(|why| why.contains("has no items")));
    assert!(asked_for(&house, id(9)).await.expect("memory").is_err());
}

#[tokio::test]
async fn every_request_is_told_where_the_configuration_wants_it() {
    let house = house("[triage]\njob_of_items = true\n");
    member(&house, 1, id(100), "We need to sign in once.");
    step(&house, id(1)).await.expect("memory");
    assert!(stands(&house, id(1)).as_feedback().is_some_and(|feedback| feedback.job.is_some()));
}

#[tokio::test]
async fn a_model_writes_it_and_what_does_not_hold_is_ours() {
    let good = json!({
        "request": "We need to sign in once.", "job": "When I open several tools, I want to be known everywhere, so I can begin at once.",
        "questions": ["How many tools do you open a day?"], "alternatives": ["A password manager"],
    });
    let (house, _) = crate::triage::testing::house_where_a_model_says("", &good);
    member(&house, 1, id(100), "Hello. We need to sign in once.");
    put(&house, 100, theme("Sign in"));
    let (job, _) = asked_for(&house, id(1)).await.expect("memory").expect("it asks");
    assert!(job.job.starts_with("When I open several tools") && job.model.ends_with("(jtbd/1)"), "{job:?}");
    step(&house, id(1)).await.expect("memory");
    assert!(matches!(stands(&house, id(100)).body, Body::Theme(theme) if theme.job.as_ref() == Some(&job)));
    // A request that nobody made.
    let mut bad = good;
    bad["request"] = json!("We need to sign in twice.");
    let (house, _) = crate::triage::testing::house_where_a_model_says("", &bad);
    member(&house, 1, id(100), "Hello. We need to sign in once.");
    let (job, _) = asked_for(&house, id(1)).await.expect("memory").expect("it asks");
    assert_eq!((job.model.as_str(), job.request.as_str()), (RULES, "We need to sign in once."));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC{0,200}") {
        if let Some(job) = by_rule(&text, "bug") {
            proptest::prop_assert!(text.contains(&job.request));
        }
        let _ = by_rule(&format!("We would like to {text} so that we can {text}"), "bug");
    }
}

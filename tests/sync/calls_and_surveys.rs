//! Calls and surveys: one piece of feedback each, whoever tells of it first and however often it is edited.

use chrono::TimeDelta;
use sandbox::Faults;
use sandbox::granola::NewCall;
use sandbox::typeform::NewResponse;
use serde_json::{Value, json};

use crate::story::{cells, company, known, minutes, much_later, no_dead, row, rows_with, tell_in, type_in};
use crate::town::Town;
use loopd::schema::EntityId;

const FORM: &str = "lT4Z3j";
const MORE: &str = r#"
[connection.granola]
kind = "granola"
own_domains = ["ours.example.com"]
token = { env = "GRANOLA_TOKEN" }
webhook = true

[connection.typeform]
kind = "typeform"
forms = ["lT4Z3j"]
token = { env = "TYPEFORM_TOKEN" }
webhook = true
"#;

fn town(faults: Faults) -> Town {
    let town = Town::with(11, MORE);
    let questions = json!([
        {"ref": "nps", "type": "nps", "title": "How likely are you to recommend us?"},
        {"ref": "why", "type": "long_text", "title": "Why?"},
    ]);
    town.world.typeform(|desk, cx| assert!(desk.add_form(FORM, "Customer survey", &questions, &["company_id"], cx)));
    town.world.set_faults(faults);
    town
}

fn call(town: &Town, summary: &str) -> (String, EntityId) {
    let people = [("Bo Agent", "bo@ours.example.com"), ("Ada Example", "ada@lumen.example.com")];
    let said = [
        ("me", "How is it going?"),
        ("them", "Exports take all night."),
        ("me", "Oh."),
        ("them", "We need them at eight."),
    ];
    let new = NewCall { title: "Lumen weekly", people: &people, said: &said, ..NewCall::default() };
    let note = town.world.granola(|desk, cx| desk.call(&new, summary, cx));
    let id = EntityId::derive("granola", "note", &note);
    (note, id)
}

fn answer(town: &Town, score: u64, why: Option<&str>) -> (String, EntityId) {
    let mut answers = vec![("nps", json!(score))];
    answers.extend(why.map(|why| ("why", json!(why))));
    let new = NewResponse { answers: &answers, hidden: &[("company_id", "Lumen-1")], ..NewResponse::default() };
    let token = town.world.typeform(|desk, cx| desk.respond(FORM, &new, cx)).expect("the form is there");
    let id = EntityId::derive("typeform", "response", &format!("{FORM}/{token}"));
    (token, id)
}

fn names(town: &Town, cells: &Value) -> Vec<Value> {
    let ids = cells["Customer"].as_array().cloned().unwrap_or_default();
    let rows = town.world.airtable(|desk, _| desk.rows(crate::town::BASE, "Customers"));
    rows.into_iter().filter(|row| ids.contains(&row["id"])).map(|row| row["fields"]["Name"].clone()).collect()
}

/// Whether webhooks come, come twice and late, or not at all: the story ends the same.
fn each_way(story: impl Fn(&mut Town, crate::story::Mid<'_>)) {
    let (mut deaf, mut double) = (Faults::NONE, Faults::NONE);
    deaf.webhook_drop = 1.0;
    (double.webhook_double, double.webhook_reorder) = (1.0, 1.0);
    for faults in [Faults::NONE, deaf, double] {
        tell_in(|| town(faults), &story);
    }
}

#[test]
fn a_call_is_one_item_and_stays_it_when_its_note_is_edited() {
    each_way(|town, mid| {
        company(town, "Lumen", None, 1000);
        minutes(town, 2);
        let (note, id) = call(town, "Exports are slow.");
        mid(town);
        minutes(town, 12);
        let first = cells(town, id);
        assert_eq!((&first["Summary"], &first["Source"]), (&json!("Exports are slow."), &json!("Call")));
        assert_eq!(first["Verbatim"], "Exports take all night.\n\nWe need them at eight.");
        assert_eq!(names(town, &first), [json!("Lumen")]);
        let feedback = known(town, id).and_then(|known| known.as_feedback().cloned()).expect("known");
        let turns: Vec<(Option<&str>, bool, i64)> = feedback
            .thread
            .iter()
            .map(|turn| {
                (
                    turn.author.as_deref(),
                    turn.customer,
                    turn.at.map_or(0, |at| at.timestamp() - feedback.received_at.map_or(0, |at| at.timestamp())),
                )
            })
            .collect();
        assert_eq!(
            turns,
            [
                (Some("Bo Agent"), false, 0),
                (Some("Ada Example"), true, 5),
                (Some("Bo Agent"), false, 10),
                (Some("Ada Example"), true, 15)
            ]
        );
        type_in(town, "Feedback", id, "Severity", &json!("Critical"));
        town.world.granola(|desk, cx| desk.summarise(&note, "Exports take all night; needed at eight.", cx));
        mid(town);
        minutes(town, 12);
        let edited = cells(town, id);
        assert_eq!(
            (&edited["Summary"], &edited["Severity"]),
            (&json!("Exports take all night; needed at eight."), &json!("Critical"))
        );
        assert_eq!(rows_with(town, "Feedback", id).len(), 1);
        town.world.granola(|desk, _| desk.unshare(&note));
        // Something else is to be seen, or nothing at all would be believed gone.
        call(town, "Another.");
        much_later(town, 24);
        minutes(town, 15);
        assert_eq!(known(town, id).and_then(|known| known.as_feedback().map(|body| body.withdrawn)), Some(true));
        assert_eq!(rows_with(town, "Feedback", id).len(), 1, "what was said stays known");
        no_dead(town);
    });
}

#[test]
fn a_response_is_one_item_with_its_score_whether_pushed_or_polled() {
    each_way(|town, mid| {
        company(town, "Lumen", None, 1000);
        minutes(town, 2);
        town.world.typeform(|desk, _| desk.set_lag(TimeDelta::minutes(30)));
        let (token, words) = answer(town, 3, Some("Exports fail since Monday, we cannot work."));
        let (_, silent) = answer(town, 1, None);
        mid(town);
        minutes(town, 45);
        let told = cells(town, words);
        assert_eq!(
            told["Verbatim"],
            "How likely are you to recommend us?\n3 of 10, detractor\n\nWhy?\nExports fail since Monday, we cannot work."
        );
        assert_eq!((&told["Source"], names(town, &told)), (&json!("Survey"), vec![json!("Lumen")]));
        let told = cells(town, silent);
        assert_eq!((&told["Category"], &told["Severity"]), (&json!("Pain Point"), &json!("High")));
        town.world.typeform(|desk, cx| desk.retitle(FORM, "why", "And why?", cx));
        town.world.typeform(|desk, _| desk.delete_response(FORM, &token));
        mid(town);
        much_later(town, 24);
        minutes(town, 15);
        assert_eq!(known(town, words).and_then(|known| known.as_feedback().map(|body| body.withdrawn)), Some(true));
        assert_eq!(known(town, silent).and_then(|known| known.as_feedback().map(|body| body.withdrawn)), Some(false));
        assert!(row(town, "Feedback", words).1["Verbatim"].is_string());
        no_dead(town);
    });
}

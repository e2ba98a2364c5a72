//! What the vendor's own client does not ask for, and what people do there. That client itself drives the stand-in in
//! `tests/sdk`, and loopd's connector in `tests/contract`.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::NewResponse;
use crate::testing::{Bench, Got, body};
use crate::world::Vendor;

const FORM: &str = "lT4Z3j";
const AUTH: &[(&str, &str)] = &[("authorization", "Bearer tfp_sandbox")];

fn call(bench: &Bench, method: &str, path: &str, body: Option<&Value>) -> Got {
    bench.wait(1);
    bench.call(Vendor::Typeform, method, path, AUTH, body)
}

fn get(bench: &Bench, path: &str) -> Got {
    call(bench, "GET", path, None)
}

fn code(got: &Got) -> (u16, &str) {
    (got.status, got.body["code"].as_str().unwrap_or_default())
}

fn tokens(got: &Got) -> Vec<&str> {
    got.body["items"].as_array().into_iter().flatten().filter_map(|item| item["token"].as_str()).collect()
}

fn filled(responses: usize) -> (Bench, Vec<String>) {
    let bench = Bench::new(1);
    let questions = json!([{"ref": "why", "type": "long_text", "title": "Why?"}]);
    bench.world.typeform(|desk, cx| assert!(desk.add_form(FORM, "Survey", &questions, &[], cx)));
    let made = (0..responses).map(|at| {
        bench.wait(60);
        answer(&bench, &format!("Reason {at}"), false)
    });
    let made = made.collect();
    (bench, made)
}

fn answer(bench: &Bench, why: &str, partial: bool) -> String {
    let answers = [("why", json!(why))];
    let new = NewResponse { answers: &answers, partial, ..NewResponse::default() };
    bench.world.typeform(|desk, cx| desk.respond(FORM, &new, cx)).expect("the form is there")
}

#[test]
fn what_arrived_last_comes_first_whatever_the_page() {
    let (bench, made) = filled(30);
    let newest: Vec<&str> = made.iter().rev().map(String::as_str).collect();
    let first = get(&bench, "/forms/lT4Z3j/responses");
    assert_eq!(
        (tokens(&first), &first.body["total_items"], &first.body["page_count"]),
        (newest[..25].to_vec(), &json!(30), &json!(2))
    );
    let rest = get(&bench, &format!("/forms/lT4Z3j/responses?before={}", newest[24]));
    assert_eq!((tokens(&rest), &rest.body["page_count"]), (newest[25..].to_vec(), &json!(1)));
    let after = get(&bench, &format!("/forms/lT4Z3j/responses?after={}", made[27]));
    assert_eq!(tokens(&after), [made[28].as_str(), made[29].as_str()]);
    for odd in ["page_size=0", "page_size=1001", "since=soon", "before=nowhere", "response_type=lost", "sort=mood,asc"]
    {
        assert_eq!(code(&get(&bench, &format!("/forms/lT4Z3j/responses?{odd}"))), (400, "VALIDATION_ERROR"), "{odd}");
    }
    assert_eq!(code(&get(&bench, "/forms/nowhere/responses")), (404, "FORM_NOT_FOUND"));
    assert_eq!(code(&get(&bench, "/nowhere")), (404, "NOT_FOUND"));
}

#[test]
fn what_was_not_sent_off_is_told_only_who_asks_for_it() {
    let (bench, _) = filled(1);
    let begun = answer(&bench, "Hm", true);
    assert_eq!(tokens(&get(&bench, "/forms/lT4Z3j/responses")).len(), 1);
    let partial = get(&bench, "/forms/lT4Z3j/responses?response_type=partial");
    assert_eq!((tokens(&partial), partial.body["items"][0].get("submitted_at")), (vec![begun.as_str()], None));
    assert_eq!(tokens(&get(&bench, "/forms/lT4Z3j/responses?response_type=partial,completed")).len(), 2);
    bench.world.typeform(|desk, cx| desk.complete(FORM, &begun, &[], cx)).expect("sent off");
    assert_eq!(tokens(&get(&bench, "/forms/lT4Z3j/responses"))[0], begun);
}

#[test]
fn it_is_shown_late_and_not_at_the_wrong_region() {
    let (bench, _) = filled(0);
    bench.world.typeform(|desk, _| desk.set_lag(TimeDelta::minutes(30)));
    let made = answer(&bench, "Late", false);
    assert_eq!(tokens(&get(&bench, "/forms/lT4Z3j/responses")).len(), 0);
    bench.wait(1800);
    assert_eq!(tokens(&get(&bench, "/forms/lT4Z3j/responses")), [made.as_str()]);
    bench.world.typeform(|desk, _| desk.keep_responses_at("https://api.eu.typeform.com"));
    let elsewhere = get(&bench, "/forms/lT4Z3j/responses");
    assert_eq!((elsewhere.status, tokens(&elsewhere).len()), (200, 0));
    let form = get(&bench, "/forms/lT4Z3j");
    assert_eq!(form.body["_links"]["responses"], "https://api.eu.typeform.com/forms/lT4Z3j/responses");
}

#[test]
fn a_webhook_is_switched_off_after_three_hundred_failures_in_a_day() {
    let (bench, _) = filled(0);
    let hook = json!({"url": "https://loopd.example/h", "enabled": true, "secret": "s"});
    assert_eq!(call(&bench, "PUT", "/forms/lT4Z3j/webhooks/t", Some(&hook)).status, 200);
    for at in 0..301 {
        answer(&bench, &format!("{at}"), false);
    }
    let due = bench.world.due_webhooks();
    assert!(due.iter().any(|one| one.body.ends_with(b"\n")) && due.iter().any(|one| one.body.ends_with(b"}")));
    assert!(due.iter().all(|one| one.headers.contains_key("typeform-signature")));
    assert_eq!(body(&due[0])["event_type"], "form_response");
    for outgoing in due {
        bench.world.delivered(outgoing, Some(500));
    }
    assert_eq!(get(&bench, "/forms/lT4Z3j/webhooks/t").body["enabled"], false);
    for odd in [json!({}), json!({"url": "nowhere"}), json!({"url": "https://a.example", "enabled": "yes"})] {
        assert_eq!(
            code(&call(&bench, "PUT", "/forms/lT4Z3j/webhooks/new", Some(&odd))),
            (400, "VALIDATION_ERROR"),
            "{odd}"
        );
    }
}

#[test]
fn the_third_call_within_a_second_is_too_many() {
    let (bench, _) = filled(0);
    bench.wait(1);
    let ask = || bench.call(Vendor::Typeform, "GET", "/forms", AUTH, None);
    assert_eq!((ask().status, ask().status, ask().status), (200, 200, 429));
    assert_eq!(ask().header("retry-after"), "1");
    bench.wait(1);
    assert_eq!(ask().status, 200);
    assert_eq!(bench.call(Vendor::Typeform, "GET", "/forms", &[], None).status, 401);
}

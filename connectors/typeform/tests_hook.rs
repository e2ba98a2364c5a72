//! Typeform's webhooks: what they bring, whose they are, and how they are put there.

use http::{HeaderMap, HeaderValue};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::tests::{SECRET, form, page, response, typeform};
use super::{Typeform, open};
use crate::testing::outside;
use crate::{Connector, Fault, Refusal, Request, Secrets, Shape, Source, Webhook};

const URL: &str = "https://loopd.example/hooks/typeform";

pub(super) fn delivery(token: &str) -> Value {
    let mut response = response(token, "2026-11-23T07:00:00Z");
    response["form_id"] = json!("F1");
    response["definition"] = json!({"id": "F1", "title": "As it was", "fields": form()["fields"]});
    json!({"event_id": "01E", "event_type": "form_response", "form_response": response})
}

fn sign(secret: &str, body: &[u8]) -> String {
    use base64::Engine as _;
    use hmac::Mac as _;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(body);
    format!("sha256={}", base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes()))
}

fn open_raw(typeform: &Typeform, body: &[u8], signature: Option<&str>) -> Result<crate::Delivery, Refusal> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    if let Some(signature) = signature {
        headers.insert("typeform-signature", HeaderValue::from_str(signature).expect("a header"));
    }
    typeform.open(Request { headers: &headers, body }, chrono::DateTime::UNIX_EPOCH)
}

pub(super) fn open_it(typeform: &Typeform, event: &Value, secret: &str) -> Result<crate::Delivery, Refusal> {
    let body = event.to_string();
    open_raw(typeform, body.as_bytes(), Some(&sign(secret, body.as_bytes())))
}

#[tokio::test]
async fn a_webhook_reads_like_the_poll() {
    let (typeform, script, _) = typeform();
    let opened = open_it(&typeform, &delivery("t1"), SECRET).expect("it is Typeform's");
    assert_eq!((opened.id.as_str(), opened.fetch.len(), opened.pull.len()), ("01E", 0, 0));
    let pushed = opened.records[0].body.clone().expect("there");
    script.answer(200, &form());
    script.answer(200, &page(&[response("t1", "2026-11-23T07:00:00Z")], 1));
    let polled = typeform.pull("responses:F1", None).await.expect("a page").records.remove(0);
    assert_eq!((&polled.key, polled.version), (&opened.records[0].key, opened.records[0].version));
    let polled = polled.body.expect("there");
    for same in ["text", "words", "score", "respondent", "answers", "submitted_at", "response_type"] {
        assert_eq!(pushed[same], polled[same], "{same}");
    }
    assert_eq!((&pushed["form_title"], pushed.get("definition")), (&json!("As it was"), None));
}

#[tokio::test]
async fn deliveries_are_verified_before_anything_else() {
    let (typeform, ..) = typeform();
    let body = delivery("t1").to_string();
    let signature = sign(SECRET, body.as_bytes());
    assert!(open_raw(&typeform, body.as_bytes(), Some(&signature)).is_ok());
    let bare = signature.trim_start_matches("sha256=").to_owned();
    for (body, signature) in [
        (body.clone(), None),
        (body.clone(), Some(bare)),
        (body.clone(), Some(sign("another", body.as_bytes()))),
        (body.clone(), Some("sha256=".into())),
        (format!("{body}\n"), Some(signature.clone())),
        ("{}".into(), Some(signature.clone())),
    ] {
        let refusal = open_raw(&typeform, body.as_bytes(), signature.as_deref()).expect_err("forged");
        assert!(matches!(refusal, Refusal::Forged(_)), "{refusal}");
    }
    for malformed in [
        json!([]),
        json!({}),
        json!({"event_type": "form_response"}),
        json!({"event_type": "form_response", "form_response": {}}),
        json!({"event_type": "form_response", "form_response": {"form_id": "F1"}}),
    ] {
        assert!(matches!(open_it(&typeform, &malformed, SECRET), Err(Refusal::Malformed(_))), "{malformed}");
    }
    // Another form's, a kind that nobody knows, one that was not sent off: taken, and none of ours.
    let mut foreign = delivery("t1");
    foreign["form_response"]["form_id"] = json!("F2");
    let mut partial = delivery("t1");
    partial["event_type"] = json!("form_response_partial");
    for quiet in [foreign, partial, json!({"event_type": "form_deleted"})] {
        let opened = open_it(&typeform, &quiet, SECRET).expect("it is Typeform's");
        assert!(opened.records.is_empty() && opened.fetch.is_empty() && opened.pull.is_empty());
    }
    // Without what the form asks it is taken all the same, and looked at again.
    let mut bare = delivery("t1");
    bare["form_response"]["definition"] = Value::Null;
    let opened = open_it(&typeform, &bare, SECRET).expect("it is Typeform's");
    assert_eq!((opened.records.len(), opened.pull), (1, vec!["responses:F1".to_owned()]));
}

#[tokio::test]
async fn without_a_secret_of_ours_one_is_made_and_kept_over_restarts_and_tokens() {
    let (script, clock, outside) = outside();
    let settings = json!({"base_url": "https://tf.example", "forms": ["F1"], "quota": {"calls": 100, "per_seconds": 1, "burst": 100}});
    let opened = |token: &str| {
        let secrets: Secrets = [("token".to_owned(), SecretString::from(token))].into();
        open(&settings, &secrets, &outside).expect("it opens")
    };
    let first = opened("t");
    assert!(matches!(open_it(&first, &delivery("t1"), SECRET), Err(Refusal::NotReady(_))));
    clock.warm_up();
    script.answer(200, &form());
    script.answer(200, &json!({"enabled": true}));
    let bound = first.attach(&Shape::default(), Some(URL), None).await.expect("attached");
    let asked = script.take_asked();
    assert_eq!((asked[1].method().as_str(), asked[1].uri().path()), ("PUT", "/forms/F1/webhooks/loopd"));
    let put: Value = serde_json::from_slice(asked[1].body()).expect("JSON");
    let secret = put["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(
        put,
        json!({"url": URL, "enabled": true, "secret": secret, "verify_ssl": true,
               "event_types": {"form_response": true, "form_response_partial": false}})
    );
    assert!(secret.len() == 64 && bound["secret"] == secret.as_str());
    assert!(open_it(&first, &delivery("t1"), &secret).is_ok());
    // Another token, another process: the same secret, and the webhook is looked at and left alone.
    let second = opened("another");
    clock.warm_up();
    script.answer(200, &form());
    script.answer(200, &json!({"url": URL, "enabled": true, "event_types": {"form_response": true}}));
    assert_eq!(second.attach(&Shape::default(), Some(URL), Some(&bound)).await, Ok(bound.clone()));
    assert!(script.take_asked().iter().all(|request| request.method() == "GET"));
    assert!(open_it(&second, &delivery("t1"), &secret).is_ok());
    // Switched off, and found so an hour later.
    clock.advance(3600);
    script.answer(200, &form());
    script.answer(200, &json!({"url": URL, "enabled": false}));
    script.answer(200, &json!({}));
    second.attach(&Shape::default(), Some(URL), Some(&bound)).await.expect("attached");
    assert_eq!(script.lines().last().map(String::as_str), Some("PUT /forms/F1/webhooks/loopd"));
}

#[tokio::test]
async fn where_no_webhook_can_be_made_responses_are_polled_and_that_is_said() {
    for status in [400, 402, 403, 404, 500] {
        let (typeform, script, _) = typeform();
        script.answer(200, &form());
        script.answer(status, &json!({"code": "FORBIDDEN", "description": "your plan"}));
        typeform.attach(&Shape::default(), Some(URL), None).await.expect("attached all the same");
        let told = typeform.hindrance().expect("it is said");
        assert!(told.contains("polled") && told.contains("form F1"), "{told}");
    }
    let (typeform, script, _) = typeform();
    script.answer(200, &form());
    script.answer_with(429, &[("retry-after", "2")], &Value::Null);
    assert!(matches!(
        typeform.attach(&Shape::default(), Some(URL), None).await,
        Err(Fault::Later { after: Some(_), .. })
    ));
}

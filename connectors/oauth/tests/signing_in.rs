//! The browser's part.

use std::sync::Arc;

use serde_json::json;

use super::super::{Begun, SignInError, Way};
use super::locked;
use super::stage::{rig_of, signed_in};

/// What the browser comes back with.
pub(super) fn back(begun: &Begun, with: &str) -> String {
    let state = begun.url.split(['?', '&']).find_map(|pair| pair.strip_prefix("state=")).expect("a state");
    format!("http://localhost:8788/callback?{with}&state={state}")
}

#[tokio::test]
async fn the_url_asks_for_a_code_bound_to_a_verifier() {
    let rig = rig_of(Arc::default(), Way::Code);
    let begun = rig.session.begin("http://localhost:8788/callback", &[0; 64]).expect("begins");
    let (at, query) = begun.url.split_once('?').expect("a query");
    assert_eq!(at, "https://vendor.example/oauth/authorize");
    for part in [
        "response_type=code",
        "client_id=our-id",
        "redirect_uri=http%3A%2F%2Flocalhost%3A8788%2Fcallback",
        "scope=read+write",
        "code_challenge_method=S256",
        // BASE64URL(SHA256("A" × 43)), by another program.
        "code_challenge=DwBzhbb51LfusnSGBa_hqYSgo7-j8BTQnip4TOnlzRo",
    ] {
        assert!(query.split('&').any(|pair| pair == part), "{part} is not in {query}");
    }
    rig.stage.answer(200, json!({"access_token": "a", "refresh_token": "r", "scope": "read,write"}));
    let grant = rig.session.finish(&begun, &back(&begun, "code=a%2Fb+c")).await.expect("signed in");
    assert_eq!(grant.scopes, ["read", "write"]);
    let form = rig.stage.forms().remove(0);
    for part in [
        "grant_type=authorization_code",
        "code=a%2Fb+c",
        "redirect_uri=http%3A%2F%2Flocalhost%3A8788%2Fcallback",
        &format!("code_verifier={}", "A".repeat(43)),
    ] {
        assert!(form.split('&').any(|pair| pair == part), "{part} is not in {form}");
    }
    assert!(!format!("{grant:?}").contains("\"a\""), "no secret is shown");
}

#[tokio::test]
async fn only_the_answer_to_this_sign_in_counts() {
    let rig = rig_of(Arc::default(), Way::Code);
    let begun = rig.session.begin("http://localhost:8788/callback", &[7; 64]).expect("begins");
    for (answer, error) in [
        ("http://localhost:8788/callback?code=c0&state=forged".to_owned(), SignInError::State),
        ("code=c0".to_owned(), SignInError::State),
        (String::new(), SignInError::State),
        (back(&begun, "x=1"), SignInError::NoCode),
        (
            back(&begun, "error=access_denied&error_description=The+person+said%20no"),
            SignInError::Denied { vendor: "Acme", why: "access_denied: The person said no".into() },
        ),
    ] {
        assert_eq!(rig.session.finish(&begun, &answer).await.expect_err("not ours"), error, "{answer}");
    }
    assert!(rig.stage.forms().is_empty(), "no code was spent");
    rig.stage.answer(400, json!({"error": "invalid_grant", "error_description": "redirect_uri differs"}));
    let error = rig.session.finish(&begun, &back(&begun, "code=c0")).await.expect_err("refused");
    assert!(error.to_string().contains("http://localhost:8788/callback"), "{error}");
    *rig.stage.held_elsewhere.lock().expect("whole") = true;
    assert_eq!(rig.session.finish(&begun, &back(&begun, "code=c0")).await.expect_err("busy"), SignInError::Busy);
}

#[tokio::test]
async fn a_sign_in_is_looked_at_and_forgotten() {
    let rig = signed_in().await;
    let standing = rig.session.standing().expect("readable").expect("signed in");
    assert!(standing.renewable && standing.until.is_some() && standing.over.is_none(), "{standing:?}");
    assert_eq!(rig.session.forget().await, Ok((false, None)), "this vendor cannot be told");
    assert_eq!(rig.session.standing(), Ok(None));
    assert!(locked(rig.call().await).contains("nobody has signed in"));
}

#[tokio::test]
async fn who_needs_no_person_cannot_be_signed_in() {
    let rig = rig_of(Arc::default(), Way::ClientCredentials);
    assert!(matches!(rig.session.begin("http://localhost:1/", &[0; 64]), Err(SignInError::NotNeeded)));
    let rig = rig_of(Arc::default(), Way::Code);
    assert!(matches!(rig.session.begin("localhost", &[0; 64]), Err(SignInError::Back(..))));
}

//! Tokens against a scripted token endpoint. What happens at the vendor and in the vault goes into one list, so that the
//! order can be told.

mod assertions;
mod signing_in;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use self::stage::{rig_of, signed_in};
use super::Way;
use crate::Fault;

fn locked(fault: Result<StatusCode, Fault>) -> String {
    match fault {
        Err(Fault::Locked { why }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_has_signed_in_is_told_with_the_command() {
    let rig = rig_of(Arc::default(), Way::Code);
    assert_eq!(locked(rig.call().await), "nobody has signed in to Acme yet: loopd auth acme");
    assert!(rig.stage.take_told().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn a_token_is_used_until_shortly_before_its_end_and_renewed_then() {
    let rig = signed_in().await;
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    rig.clock.advance(3600 - 61);
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    rig.clock.advance(2);
    rig.stage.turn("a1", "r1");
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    assert_eq!(
        rig.stage.take_told(),
        ["api a0 200", "api a0 200", "store a0 asked=true", "token call", "store a1 asked=false", "api a1 200"],
        "the new pair is stored before it is used"
    );
    assert_eq!(rig.stage.forms(), ["grant_type=refresh_token&refresh_token=r0"]);
    assert_eq!(rig.stage.kept()["refresh_token"], "r1");
}

#[tokio::test]
async fn ten_callers_at_once_make_one_refresh() {
    let rig = signed_in().await;
    rig.clock.advance(4_000);
    rig.stage.turn("a1", "r1");
    let calls = futures::future::join_all((0..10).map(|_| rig.call())).await;
    assert!(calls.iter().all(|call| *call == Ok(StatusCode::OK)), "{calls:?}");
    assert_eq!(rig.stage.take_told().iter().filter(|what| *what == "token call").count(), 1);
}

#[tokio::test]
async fn those_who_waited_share_a_failure_as_well() {
    let rig = signed_in().await;
    rig.clock.advance(4_000);
    rig.stage.answer(503, json!({}));
    let calls = futures::future::join_all((0..10).map(|_| rig.call())).await;
    assert!(calls.iter().all(|call| matches!(call, Err(Fault::Later { .. }))), "{calls:?}");
    assert_eq!(rig.stage.take_told().iter().filter(|what| *what == "token call").count(), 1);
    rig.stage.turn("a1", "r1");
    assert_eq!(rig.call().await, Ok(StatusCode::OK), "and the next one tries for itself");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_comes_again() {
    let rig = signed_in().await;
    rig.clock.advance(600);
    *rig.stage.good.lock().expect("whole") = "none".into();
    let refused = futures::future::join_all((0..3).map(|_| rig.call())).await;
    for call in refused {
        let Err(Fault::Later { after: Some(Duration::ZERO), .. }) = call else { panic!("{call:?}") };
    }
    rig.stage.turn("a1", "r1");
    let again = futures::future::join_all((0..3).map(|_| rig.call())).await;
    assert!(again.iter().all(|call| *call == Ok(StatusCode::OK)), "{again:?}");
    assert_eq!(rig.stage.take_told().iter().filter(|what| *what == "token call").count(), 1);
}

#[tokio::test]
async fn a_token_that_ends_a_moment_after_it_was_given_has_a_successor() {
    let rig = signed_in().await;
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    rig.clock.advance(5);
    *rig.stage.good.lock().expect("whole") = "none".into();
    assert!(
        matches!(rig.call().await, Err(Fault::Later { after: Some(Duration::ZERO), .. })),
        "an administrator ended it"
    );
    rig.stage.turn("a1", "r1");
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
}

#[tokio::test]
async fn a_call_that_no_token_opens_spends_no_more_than_three_a_minute() {
    let rig = signed_in().await;
    assert_eq!(rig.call().await, Ok(StatusCode::OK), "some calls pass, and one never does");
    rig.stage.take_told();
    *rig.stage.good.lock().expect("whole") = "none".into();
    for turn in 1..=3 {
        assert!(matches!(rig.call().await, Err(Fault::Later { .. })), "{turn}");
        rig.stage.turn(&format!("a{turn}"), &format!("r{turn}"));
        *rig.stage.good.lock().expect("whole") = "none".into();
    }
    assert_eq!(rig.call().await, Ok(StatusCode::UNAUTHORIZED), "told by the connector as locked");
    assert_eq!(rig.call().await, Ok(StatusCode::UNAUTHORIZED));
    let asked = rig.stage.take_told().iter().filter(|what| *what == "token call").count();
    assert_eq!(asked, 3);
    rig.clock.advance(300);
    assert!(matches!(rig.call().await, Err(Fault::Later { .. })), "five minutes later, one more is asked for");
}

#[tokio::test]
async fn without_an_expiry_a_token_is_used_until_it_is_refused() {
    let rig = rig_of(Arc::default(), Way::Code);
    let begun = rig.session.begin("http://localhost:8788/callback", &[7; 64]).expect("begins");
    rig.stage.answer(200, json!({"access_token": "s0", "refresh_token": "r0", "instance_url": "https://na1.example", "id": "https://login.example/id/00D/005"}));
    *rig.stage.good.lock().expect("whole") = "s0".into();
    rig.session.finish(&begun, &signing_in::back(&begun, "code=c0")).await.expect("signed in");
    rig.clock.advance(90 * 86_400);
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    // A refresh that says neither: the refresh token and the rest stay as they were.
    rig.stage.answer(200, json!({"access_token": "s1", "token_type": "Bearer"}));
    *rig.stage.good.lock().expect("whole") = "s1".into();
    assert!(matches!(rig.call().await, Err(Fault::Later { .. })));
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    let grant = rig.session.grant().await.expect("a grant");
    assert_eq!(grant.text("instance_url"), Some("https://na1.example"));
    assert_eq!(rig.stage.kept()["refresh_token"], "r0");
}

#[tokio::test]
async fn a_vault_that_takes_nothing_costs_no_refresh_token() {
    let rig = signed_in().await;
    rig.clock.advance(4_000);
    *rig.stage.full.lock().expect("whole") = true;
    let Err(Fault::Later { why, .. }) = rig.call().await else { panic!("a token was used") };
    assert!(why.contains("disk full"), "{why}");
    assert!(rig.stage.take_told().is_empty(), "the vendor was not asked");
}

#[tokio::test]
async fn a_new_token_that_cannot_be_stored_is_not_used_and_not_lost() {
    let rig = signed_in().await;
    rig.clock.advance(4_000);
    rig.stage.turn("a1", "r1");
    // The disk fills up while the vendor answers.
    let call = async {
        let filling = async {
            while rig.stage.forms.lock().expect("whole").is_empty() {
                tokio::task::yield_now().await;
            }
            *rig.stage.full.lock().expect("whole") = true;
        };
        futures::future::join(rig.call(), filling).await.0
    };
    assert!(matches!(call.await, Err(Fault::Later { .. })));
    assert!(matches!(rig.call().await, Err(Fault::Later { .. })));
    assert_eq!(rig.stage.take_told(), ["store a0 asked=true", "token call"], "a1 was not used");
    *rig.stage.full.lock().expect("whole") = false;
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    assert_eq!(rig.stage.take_told(), ["store a1 asked=false", "api a1 200"], "it was not asked for again");
}

#[tokio::test]
async fn what_the_vendor_will_not_renew_is_asked_once_and_told_until_somebody_signs_in() {
    let rig = signed_in().await;
    rig.clock.advance(4_000);
    rig.stage.answer(400, json!({"error": "invalid_grant", "error_description": "refresh token was revoked"}));
    let why = locked(rig.call().await);
    assert!(why.contains("refresh token was revoked") && why.ends_with("sign in again: loopd auth acme"), "{why}");
    assert_eq!(locked(rig.call().await), why);
    assert_eq!(locked(rig.restarted().call().await), why, "also after a restart");
    assert_eq!(rig.stage.take_told().iter().filter(|what| *what == "token call").count(), 1);
    // `loopd auth` in another process: this one finds it without being told.
    let other = rig.restarted();
    let begun = other.session.begin("http://localhost:8788/callback", &[8; 64]).expect("begins");
    rig.stage.turn("a9", "r9");
    other.session.finish(&begun, &signing_in::back(&begun, "code=c9")).await.expect("signed in");
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
}

#[tokio::test]
async fn a_sign_in_elsewhere_replaces_a_token_that_is_still_good() {
    let rig = signed_in().await;
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    let other = rig.restarted();
    let begun = other.session.begin("http://localhost:8788/callback", &[8; 64]).expect("begins");
    rig.stage.turn("a9", "r9");
    other.session.finish(&begun, &signing_in::back(&begun, "code=c9")).await.expect("signed in");
    rig.stage.take_told();
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    assert_eq!(rig.stage.take_told(), ["api a9 200"]);
}

#[tokio::test]
async fn a_crash_between_the_answer_and_the_disk_is_told_as_what_it_is() {
    let rig = signed_in().await;
    rig.clock.advance(4_000);
    *rig.stage.cut.lock().expect("whole") = true;
    assert!(matches!(rig.call().await, Err(Fault::Later { .. })), "the call was not sent, so it may be repeated");
    assert_eq!(rig.stage.kept()["asked"], true);
    let next = rig.restarted();
    rig.stage.answer(400, json!({"error": "invalid_grant"}));
    let why = locked(next.call().await);
    assert!(why.contains("between asking for a new one and keeping it") && why.ends_with("loopd auth acme"), "{why}");
    rig.stage.take_told();
    assert_eq!(locked(next.call().await), why);
    assert!(rig.stage.take_told().is_empty(), "it is no loop");
}

#[tokio::test]
async fn a_lost_answer_is_made_good_where_the_vendor_answers_again() {
    let rig = signed_in().await;
    rig.clock.advance(4_000);
    *rig.stage.cut.lock().expect("whole") = true;
    assert!(rig.call().await.is_err());
    rig.stage.turn("a1", "r1");
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    assert_eq!(rig.stage.kept()["asked"], false);
}

#[tokio::test]
async fn one_process_refreshes_at_a_time_and_the_other_takes_its_token() {
    let rig = signed_in().await;
    let other = rig.restarted();
    assert_eq!(other.call().await, Ok(StatusCode::OK), "both have read a0");
    for clock in [&rig.clock, &other.clock] {
        clock.advance(4_000);
    }
    *rig.stage.held_elsewhere.lock().expect("whole") = true;
    let Err(Fault::Later { after: Some(_), .. }) = rig.call().await else { panic!("it did not wait") };
    *rig.stage.held_elsewhere.lock().expect("whole") = false;
    rig.stage.turn("a1", "r1");
    assert_eq!(other.call().await, Ok(StatusCode::OK));
    rig.stage.take_told();
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    assert_eq!(rig.stage.take_told(), ["api a1 200"], "r0 is not spent a second time");
}

#[tokio::test]
async fn a_grant_for_another_client_or_server_is_shown_to_nobody() {
    let rig = signed_in().await;
    let mut kept = rig.stage.kept();
    kept["client_id"] = json!("their-id");
    rig.stage.keep(&kept);
    let why = locked(rig.call().await);
    assert!(why.contains("another client_id or server") && why.ends_with("loopd auth acme"), "{why}");
    rig.stage.keep(&json!({"format": 1}));
    let why = locked(rig.restarted().call().await);
    assert!(why.contains("damaged"), "{why}");
    assert!(rig.stage.take_told().is_empty());
}

#[tokio::test]
async fn client_credentials_are_enough_where_the_vendor_says_so() {
    let rig = rig_of(Arc::default(), Way::ClientCredentials);
    rig.stage.answer(
        200,
        json!({"access_token": "c0", "token_type": "Bearer", "expires_in": "3600", "scope": ["read", "write"]}),
    );
    *rig.stage.good.lock().expect("whole") = "c0".into();
    assert_eq!(rig.call().await, Ok(StatusCode::OK));
    let request = rig.stage.forms.lock().expect("whole").pop().expect("asked");
    assert_eq!(request.headers()["authorization"], "Basic b3VyLWlkOmh1c2g=");
    assert_eq!(request.body(), "grant_type=client_credentials&scope=read+write");
    assert_eq!(rig.session.grant().await.expect("a grant").scopes, ["read", "write"]);
    rig.clock.advance(3_590);
    rig.stage.answer(401, json!({"error": "invalid_client", "error_description": "secret was rotated"}));
    assert!(locked(rig.call().await).contains("secret was rotated"));
    assert!(!rig.session.wants_person());
}

#[tokio::test]
async fn what_went_wrong_at_the_token_endpoint_is_a_decision() {
    for (status, body, later) in [
        (429, json!({"error": "rate_limit_exceeded"}), true),
        (500, json!("<html>"), true),
        (503, json!({"error": "temporarily_unavailable"}), true),
        (400, json!({"error": "unauthorized_client"}), false),
        (400, json!({"message": "nonsense"}), false),
        (302, json!({}), false),
        (200, json!({"token": "of another kind"}), true),
        (200, json!({"access_token": "m", "token_type": "mac"}), true),
    ] {
        let rig = signed_in().await;
        rig.clock.advance(4_000);
        rig.stage.answer(status, body.clone());
        let call = rig.call().await;
        assert_eq!(matches!(call, Err(Fault::Later { .. })), later, "{status} {body}: {call:?}");
        assert_eq!(matches!(call, Err(Fault::Locked { .. })), !later, "{status} {body}: {call:?}");
        rig.stage.turn("a1", "r1");
        assert_eq!(rig.call().await, Ok(StatusCode::OK), "{status} {body}: it goes on when the vendor does");
    }
}

//! Tokens against a scripted token endpoint. What happens at the vendor and in the vault goes into one list, so that the
//! order can be told.

mod assertions;
mod signing_in;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{Server, Session, Style, Vault, Way};
use crate::http::{Auth, Broken, Call, Http, Transport};
use crate::quota::{Limit, Quota};
use crate::testing::StillClock;
use crate::{Fault, Outside};

const TOKEN_URL: &str = "https://vendor.example/oauth/token";
const API: &str = "https://api.vendor.example";

/// A vendor that answers its token endpoint from a script and its API by whether the token is the good one; and the vault.
#[derive(Default)]
struct Stage {
    told: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<(u16, Value)>>,
    forms: Mutex<Vec<Request<Bytes>>>,
    good: Mutex<String>,
    cut: Mutex<bool>,
    vault: Mutex<Option<String>>,
    stamp: Mutex<u64>,
    full: Mutex<bool>,
    held_elsewhere: Mutex<bool>,
}

impl Stage {
    fn answer(&self, status: u16, body: Value) {
        self.answers.lock().expect("whole").push_back((status, body));
    }

    /// The next refresh gives this pair, and the API takes the new token only.
    fn turn(&self, token: &str, refresh: &str) {
        self.answer(
            200,
            json!({"access_token": token, "refresh_token": refresh, "token_type": "bearer", "expires_in": 3600}),
        );
        *self.good.lock().expect("whole") = token.into();
    }

    fn tell(&self, what: impl Into<String>) {
        self.told.lock().expect("whole").push(what.into());
    }

    fn take_told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().expect("whole"))
    }

    fn forms(&self) -> Vec<String> {
        let forms = std::mem::take(&mut *self.forms.lock().expect("whole"));
        forms.iter().map(|form| String::from_utf8_lossy(form.body()).into_owned()).collect()
    }

    fn kept(&self) -> Value {
        self.vault
            .lock()
            .expect("whole")
            .as_deref()
            .map_or(Value::Null, |text| serde_json::from_str(text).expect("JSON"))
    }

    fn keep(&self, kept: &Value) {
        *self.vault.lock().expect("whole") = Some(kept.to_string());
        *self.stamp.lock().expect("whole") += 1;
    }
}

#[async_trait]
impl Transport for Stage {
    async fn send(&self, request: Request<Bytes>, _timeout: Duration) -> Result<Response<Bytes>, Broken> {
        // Others have their turn while a call is under way.
        tokio::task::yield_now().await;
        let reply = |status: u16, body: &Value| {
            Response::builder()
                .status(status)
                .header("content-type", "application/json")
                .body(Bytes::from(body.to_string()))
        };
        if request.uri().path() != "/oauth/token" {
            let sent = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let token = sent.strip_prefix("Bearer ").unwrap_or_default();
            let good = token == *self.good.lock().expect("whole");
            self.tell(format!("api {token} {}", if good { 200 } else { 401 }));
            return Ok(reply(if good { 200 } else { 401 }, &json!({})).expect("a response"));
        }
        self.tell("token call");
        self.forms.lock().expect("whole").push(request);
        tokio::task::yield_now().await;
        if std::mem::take(&mut *self.cut.lock().expect("whole")) {
            return Err(Broken::NoAnswer("cut".into()));
        }
        let next = self.answers.lock().expect("whole").pop_front();
        let (status, body) = next.ok_or_else(|| Broken::NotSent("not in the script".into()))?;
        Ok(reply(status, &body).expect("a response"))
    }
}

impl Vault for Stage {
    fn load(&self) -> Result<Option<SecretString>, String> {
        Ok(self.vault.lock().expect("whole").clone().map(SecretString::from))
    }
    fn store(&self, grant: &SecretString) -> Result<(), String> {
        if *self.full.lock().expect("whole") {
            return Err("disk full".into());
        }
        let kept: Value = serde_json::from_str(grant.expose_secret()).expect("JSON");
        self.tell(format!("store {} asked={}", kept["access_token"].as_str().unwrap_or_default(), kept["asked"]));
        self.keep(&kept);
        Ok(())
    }
    fn forget(&self) -> Result<(), String> {
        *self.vault.lock().expect("whole") = None;
        *self.stamp.lock().expect("whole") += 1;
        Ok(())
    }
    fn stamp(&self) -> u64 {
        *self.stamp.lock().expect("whole")
    }
    fn lock(&self) -> Result<Option<Box<dyn Send>>, String> {
        Ok((!*self.held_elsewhere.lock().expect("whole")).then(|| Box::new(()) as Box<dyn Send>))
    }
    fn command(&self) -> String {
        "loopd auth acme".into()
    }
}

fn server() -> Server {
    Server {
        authorize_url: "https://vendor.example/oauth/authorize".into(),
        client_secret: Some(SecretString::from("hush")),
        style: Style::Basic,
        scopes: vec!["read".into(), "write".into()],
        ..Server::new("Acme", TOKEN_URL, "our-id")
    }
}

struct Rig {
    stage: Arc<Stage>,
    clock: Arc<StillClock>,
    session: Arc<Session>,
    http: Http,
}

fn rig_of(stage: Arc<Stage>, way: Way) -> Rig {
    let clock = Arc::new(StillClock::default());
    let outside = Outside { transport: stage.clone(), clock: clock.clone(), vault: stage.clone() };
    let session = Arc::new(Session::new(server(), way, &outside).expect("URLs"));
    let quota = Arc::new(Quota::new(Limit::even(1_000_000, Duration::from_secs(1)).with_burst(1_000), clock.clone()));
    let http = Http::new(API, Auth::Fresh(session.clone()), quota, stage.clone());
    clock.warm_up();
    Rig { stage, clock, session, http }
}

/// Signed in with the tokens `a0` and `r0`, good for an hour.
async fn signed_in() -> Rig {
    let rig = rig_of(Arc::default(), Way::Code);
    let begun = rig.session.begin("http://localhost:8788/callback", &[7; 64]).expect("begins");
    rig.stage.turn("a0", "r0");
    rig.session.finish(&begun, &signing_in::back(&begun, "code=c0")).await.expect("signed in");
    rig.stage.take_told();
    rig.stage.forms();
    rig
}

impl Rig {
    async fn call(&self) -> Result<StatusCode, Fault> {
        self.http.call(Call::new(Method::PATCH, "/thing")).await.map(|answer| answer.status)
    }

    /// The same connection after a restart of the process.
    fn restarted(&self) -> Self {
        let next = rig_of(self.stage.clone(), Way::Code);
        next.clock.pass(crate::Clock::monotonic(&*self.clock));
        next
    }
}

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
async fn a_token_that_is_refused_at_once_is_no_cause_for_another() {
    let rig = signed_in().await;
    assert_eq!(rig.call().await, Ok(StatusCode::OK), "some calls pass, and one never does");
    rig.stage.take_told();
    *rig.stage.good.lock().expect("whole") = "none".into();
    assert_eq!(rig.call().await, Ok(StatusCode::UNAUTHORIZED), "told by the connector as locked");
    assert_eq!(rig.call().await, Ok(StatusCode::UNAUTHORIZED));
    assert_eq!(rig.stage.take_told(), ["api a0 401", "api a0 401"], "no token was asked for");
    rig.clock.advance(300);
    assert!(matches!(rig.call().await, Err(Fault::Later { .. })), "five minutes later, one is");
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

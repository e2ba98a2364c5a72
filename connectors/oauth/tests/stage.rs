//! A vendor and a vault that write down what happens to them, and a connection between the two.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::signing_in;
use crate::http::{Auth, Broken, Call, Http, Transport};
use crate::oauth::{Server, Session, Style, Vault, Way};
use crate::quota::{Limit, Quota};
use crate::testing::StillClock;
use crate::{Fault, Outside};

const TOKEN_URL: &str = "https://vendor.example/oauth/token";
const API: &str = "https://api.vendor.example";

/// A vendor that answers its token endpoint from a script and its API by whether the token is the good one; and the vault.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) told: Mutex<Vec<String>>,
    pub(super) answers: Mutex<VecDeque<(u16, Value)>>,
    pub(super) forms: Mutex<Vec<Request<Bytes>>>,
    pub(super) good: Mutex<String>,
    pub(super) cut: Mutex<bool>,
    pub(super) vault: Mutex<Option<String>>,
    pub(super) stamp: Mutex<u64>,
    pub(super) full: Mutex<bool>,
    pub(super) held_elsewhere: Mutex<bool>,
}

impl Stage {
    pub(super) fn answer(&self, status: u16, body: Value) {
        self.answers.lock().expect("whole").push_back((status, body));
    }

    /// The next refresh gives this pair, and the API takes the new token only.
    pub(super) fn turn(&self, token: &str, refresh: &str) {
        self.answer(
            200,
            json!({"access_token": token, "refresh_token": refresh, "token_type": "bearer", "expires_in": 3600}),
        );
        *self.good.lock().expect("whole") = token.into();
    }

    fn tell(&self, what: impl Into<String>) {
        self.told.lock().expect("whole").push(what.into());
    }

    pub(super) fn take_told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().expect("whole"))
    }

    pub(super) fn forms(&self) -> Vec<String> {
        let forms = std::mem::take(&mut *self.forms.lock().expect("whole"));
        forms.iter().map(|form| String::from_utf8_lossy(form.body()).into_owned()).collect()
    }

    pub(super) fn kept(&self) -> Value {
        self.vault
            .lock()
            .expect("whole")
            .as_deref()
            .map_or(Value::Null, |text| serde_json::from_str(text).expect("JSON"))
    }

    pub(super) fn keep(&self, kept: &Value) {
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

pub(super) struct Rig {
    pub(super) stage: Arc<Stage>,
    pub(super) clock: Arc<StillClock>,
    pub(super) session: Arc<Session>,
    http: Http,
}

pub(super) fn rig_of(stage: Arc<Stage>, way: Way) -> Rig {
    let clock = Arc::new(StillClock::default());
    let outside = Outside { transport: stage.clone(), clock: clock.clone(), vault: stage.clone() };
    let session = Arc::new(Session::new(server(), way, &outside).expect("URLs"));
    let quota = Arc::new(Quota::new(Limit::even(1_000_000, Duration::from_secs(1)).with_burst(1_000), clock.clone()));
    let http = Http::new(API, Auth::Fresh(session.clone()), quota, stage.clone());
    clock.warm_up();
    Rig { stage, clock, session, http }
}

/// Signed in with the tokens `a0` and `r0`, good for an hour.
pub(super) async fn signed_in() -> Rig {
    let rig = rig_of(Arc::default(), Way::Code);
    let begun = rig.session.begin("http://localhost:8788/callback", &[7; 64]).expect("begins");
    rig.stage.turn("a0", "r0");
    rig.session.finish(&begun, &signing_in::back(&begun, "code=c0")).await.expect("signed in");
    rig.stage.take_told();
    rig.stage.forms();
    rig
}

impl Rig {
    pub(super) async fn call(&self) -> Result<StatusCode, Fault> {
        self.http.call(Call::new(Method::PATCH, "/thing")).await.map(|answer| answer.status)
    }

    /// The same connection after a restart of the process.
    pub(super) fn restarted(&self) -> Self {
        let next = rig_of(self.stage.clone(), Way::Code);
        next.clock.pass(crate::Clock::monotonic(&*self.clock));
        next
    }
}

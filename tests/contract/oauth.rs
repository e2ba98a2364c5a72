//! Signing in to the stand-ins, and work that goes on over the ends of tokens.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connectors::http::Transport as _;
use connectors::oauth::{Session, SignInError};
use connectors::{Connector, Fault, Kind, Outside, Secrets};
use http::{Method, Request};
use sandbox::{FailKind, Vendor, World};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::pull::patient;
use crate::recording::Recording;
use crate::support::{InProcess, TestClock};
use crate::vault::MemoryVault;

const BASE: &str = "appContract000001";
const BACK: &str = "http://localhost:8788/callback";

struct Rig {
    vendor: Vendor,
    world: Arc<World>,
    clock: Arc<TestClock>,
    sent: Arc<Recording>,
    vault: Arc<MemoryVault>,
    connector: Arc<dyn Connector>,
}

fn rig(vendor: Vendor) -> Rig {
    let clock = TestClock::new();
    let world = World::new(7, clock.hands());
    world.airtable(|desk, cx| desk.create_base_with(cx, BASE, "Contract", &json!([{"name": "Feedback", "fields": [{"name": "Loopd ID", "type": "singleLineText"}, {"name": "Summary", "type": "singleLineText"}]}])));
    open(vendor, world, clock, MemoryVault::new(), &json!({}), true)
}

fn open(
    vendor: Vendor,
    world: Arc<World>,
    clock: Arc<TestClock>,
    vault: Arc<MemoryVault>,
    more: &Value,
    secret: bool,
) -> Rig {
    let sent = Recording::new(Arc::new(InProcess { world: world.clone(), vendor, clock: clock.clone() }));
    let outside = Outside { transport: sent.clone(), clock: clock.clone(), vault: vault.clone() };
    let (kind, mut settings) = match vendor {
        Vendor::Airtable => (Kind::Airtable, json!({"base": BASE, "client_id": sandbox::airtable::CLIENT_ID})),
        _ => (Kind::Linear, json!({"team": "ENG", "client_id": sandbox::linear::CLIENT_ID})),
    };
    settings.as_object_mut().expect("a table").extend(more.as_object().cloned().unwrap_or_default());
    let words =
        if vendor == Vendor::Airtable { sandbox::airtable::CLIENT_SECRET } else { sandbox::linear::CLIENT_SECRET };
    let secrets: Secrets =
        secret.then(|| ("client_secret".to_owned(), SecretString::from(words))).into_iter().collect();
    let connector = connectors::open(kind, &settings, &secrets, &outside).expect("it opens");
    Rig { vendor, world, clock, sent, vault, connector }
}

impl Rig {
    fn session(&self) -> &Session {
        self.connector.sign_in().expect("a person signs in here")
    }

    fn restarted(&self) -> Self {
        open(self.vendor, self.world.clone(), self.clock.clone(), self.vault.clone(), &json!({}), true)
    }

    /// Where the vendor sends the browser.
    async fn browse(&self, url: &str) -> String {
        let target = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).expect("a path");
        let request = Request::builder().method(Method::GET).uri(target).body(Bytes::new()).expect("a request");
        let answer = self.sent.send(request, Duration::from_secs(30)).await.expect("an answer");
        assert_eq!(answer.status(), 302, "{:?}", answer.body());
        answer.headers()["location"].to_str().expect("text").to_owned()
    }

    async fn sign_in(&self) {
        let begun = self.session().begin(BACK, &[5; 64]).expect("begins");
        let back = self.browse(&begun.url).await;
        self.session().finish(&begun, &back).await.expect("signed in");
    }

    /// A read, as the engine does it: what was certainly not done is done again.
    async fn probe(&self) -> Result<String, Fault> {
        for _ in 0..10 {
            match patient(&self.clock, async || self.connector.probe().await).await {
                Err(Fault::Later { after: Some(after), .. }) => self.clock.advance(after),
                ended => return ended.map(|identity| identity.account),
            }
        }
        panic!("it never gets through");
    }

    fn token_calls(&self) -> u64 {
        self.world.books(self.vendor).by_operation.get("POST token").copied().unwrap_or_default()
    }

    fn expire(&self) {
        match self.vendor {
            Vendor::Airtable => self.world.airtable(|desk, _| desk.expire_sign_ins()),
            _ => self.world.linear(|desk, _| desk.expire_sign_ins()),
        }
    }
}

const BOTH: [Vendor; 2] = [Vendor::Airtable, Vendor::Linear];

#[tokio::test]
async fn work_goes_on_over_the_end_of_a_token() {
    for vendor in BOTH {
        let rig = rig(vendor);
        let Err(Fault::Locked { why }) = rig.probe().await else { panic!("nobody has signed in") };
        assert!(why.contains("loopd auth"), "{why}");
        rig.sign_in().await;
        rig.probe().await.unwrap_or_else(|fault| panic!("{vendor:?}: {fault}"));
        assert_eq!(rig.token_calls(), 1);
        // By the clock, over a week.
        for _ in 0..14 {
            rig.clock.advance(Duration::from_secs(43_200));
            rig.probe().await.unwrap_or_else(|fault| panic!("{vendor:?}: {fault}"));
        }
        let by_clock = rig.token_calls();
        assert_eq!(by_clock, if vendor == Vendor::Airtable { 15 } else { 8 }, "{vendor:?}: one a token's life");
        // Before its time, as the vendor likes.
        rig.clock.advance(Duration::from_secs(120));
        rig.expire();
        rig.probe().await.unwrap_or_else(|fault| panic!("{vendor:?}: {fault}"));
        assert_eq!(rig.token_calls(), by_clock + 1);
        rig.restarted().probe().await.unwrap_or_else(|fault| panic!("{vendor:?}: {fault}"));
        assert_eq!(rig.token_calls(), by_clock + 1, "{vendor:?}: a restart takes what is kept");
    }
}

#[tokio::test]
async fn ten_callers_find_an_expired_token_and_one_refreshes() {
    for vendor in BOTH {
        let rig = rig(vendor);
        rig.sign_in().await;
        rig.clock.advance(Duration::from_secs(30 * 3_600));
        let grants = futures::future::join_all((0..10).map(|_| rig.session().grant())).await;
        assert!(grants.iter().all(Result::is_ok), "{vendor:?}: {grants:?}");
        assert_eq!(rig.token_calls(), 2, "{vendor:?}: the code, and one refresh");
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_costs_the_sign_in_where_the_vendor_has_no_grace() {
    // Linear takes the refresh token again for half an hour; Airtable ends the grant.
    for vendor in BOTH {
        let rig = rig(vendor);
        rig.sign_in().await;
        rig.clock.advance(Duration::from_secs(30 * 3_600));
        rig.world.fail_next_operation(vendor, "POST token", 1, FailKind::CutAfter);
        let lost = rig.connector.probe().await;
        assert!(matches!(lost, Err(Fault::Later { .. })), "{vendor:?}: {lost:?}");
        // The process ends here; the next one finds that a token was asked for.
        let next = rig.restarted();
        let found = next.probe().await;
        if vendor == Vendor::Linear {
            assert!(found.is_ok(), "{found:?}");
            continue;
        }
        let Err(Fault::Locked { why }) = found else { panic!("{found:?}") };
        assert!(why.contains("between asking for a new one and keeping it") && why.contains("loopd auth"), "{why}");
        let asked = rig.token_calls();
        assert!(matches!(next.probe().await, Err(Fault::Locked { .. })));
        assert_eq!(rig.token_calls(), asked, "it is told, and not tried again");
        next.sign_in().await;
        next.probe().await.expect("signed in again");
    }
}

#[tokio::test]
async fn a_vault_that_takes_nothing_leaves_the_grant_whole() {
    let rig = rig(Vendor::Airtable);
    rig.sign_in().await;
    rig.clock.advance(Duration::from_secs(4_000));
    rig.vault.set_full(true);
    let refused = rig.connector.probe().await;
    assert!(matches!(&refused, Err(Fault::Later { why, .. }) if why.contains("no space left")), "{refused:?}");
    assert_eq!(rig.token_calls(), 1, "nothing was spent");
    rig.vault.set_full(false);
    rig.probe().await.expect("and it goes on");
}

#[tokio::test]
async fn a_write_with_an_old_token_was_not_done_and_comes_again() {
    let rig = rig(Vendor::Airtable);
    rig.sign_in().await;
    rig.clock.advance(Duration::from_secs(120));
    let shape = connectors::Shape {
        collections: vec![connectors::CollectionShape {
            name: "Feedback".into(),
            key: Some("Loopd ID".into()),
            fields: vec![connectors::FieldShape {
                name: "Summary".into(),
                kind: connectors::FieldKind::Text,
                options: Vec::new(),
                links_to: None,
                description: String::new(),
            }],
        }],
    };
    patient(&rig.clock, async || rig.connector.attach(&shape, None, None).await).await.expect("attaches");
    let write = connectors::Write {
        external_id: "00000000-0000-4000-8000-000000000001".into(),
        target: None,
        fields: [("Summary".to_owned(), json!("Once"))].into_iter().collect(),
        tags: std::collections::BTreeMap::new(),
    };
    rig.expire();
    let sink = rig.connector.sink().expect("it writes");
    let mut verdict = sink.write("Feedback", std::slice::from_ref(&write)).await.remove(0);
    let mut rounds = 0;
    while let Err(Fault::Later { after: Some(after), .. }) = &verdict {
        assert!(rounds < 5, "{verdict:?}");
        rounds += 1;
        rig.clock.advance(*after);
        verdict = sink.write("Feedback", std::slice::from_ref(&write)).await.remove(0);
    }
    assert!(verdict.is_ok() && rounds > 0, "{verdict:?} after {rounds}");
    assert_eq!(rig.world.airtable(|desk, _| desk.rows(BASE, "Feedback").len()), 1);
}

#[tokio::test]
async fn a_person_who_says_no_or_takes_it_back_is_heard() {
    for vendor in BOTH {
        let rig = rig(vendor);
        let begun = rig.session().begin(BACK, &[5; 64]).expect("begins");
        match vendor {
            Vendor::Airtable => rig.world.airtable(|desk, _| desk.deny_next_sign_in("The user said no")),
            _ => rig.world.linear(|desk, _| desk.deny_next_sign_in("The user said no")),
        }
        let back = rig.browse(&begun.url).await;
        let denied = rig.session().finish(&begun, &back).await.expect_err("denied");
        assert!(matches!(&denied, SignInError::Denied { why, .. } if why.contains("The user said no")), "{denied:?}");
        rig.sign_in().await;
        rig.clock.advance(Duration::from_secs(120));
        match vendor {
            Vendor::Airtable => rig.world.airtable(|desk, _| desk.end_sign_ins()),
            _ => rig.world.linear(|desk, _| desk.end_sign_ins()),
        }
        let Err(Fault::Locked { why }) = rig.probe().await else { panic!("{vendor:?} is taken back") };
        assert!(why.contains("sign in again: loopd auth"), "{why}");
    }
}

#[tokio::test]
async fn public_clients_do_without_a_secret() {
    let rig = rig(Vendor::Airtable);
    rig.world.airtable(|desk, _| desk.register_client("public-client", None, &[]));
    let public = open(
        rig.vendor,
        rig.world.clone(),
        rig.clock.clone(),
        MemoryVault::new(),
        &json!({"client_id": "public-client", "scopes": ["schema.bases:read"]}),
        false,
    );
    public.sign_in().await;
    rig.clock.advance(Duration::from_secs(7_200));
    assert_eq!(public.session().grant().await.expect("renewed").scopes, ["schema.bases:read"]);
    let wrong = open(rig.vendor, rig.world.clone(), rig.clock.clone(), rig.vault.clone(), &json!({}), false);
    let begun = wrong.session().begin(BACK, &[5; 64]).expect("begins");
    let back = wrong.browse(&begun.url).await;
    let refused = wrong.session().finish(&begun, &back).await.expect_err("no secret");
    assert!(refused.to_string().contains("invalid_client"), "{refused}");
}

#[tokio::test]
async fn an_application_acts_for_itself_where_linear_lets_it() {
    let rig = rig(Vendor::Linear);
    let settings = json!({"auth": "client_credentials"});
    let app = open(rig.vendor, rig.world.clone(), rig.clock.clone(), rig.vault.clone(), &settings, true);
    assert!(!app.session().wants_person());
    app.probe().await.expect("no person is needed");
    rig.clock.advance(Duration::from_secs(120));
    rig.expire();
    app.probe().await.expect("another token");
    assert_eq!(rig.token_calls(), 2);
}

#[tokio::test]
async fn a_scope_that_is_missing_is_told_by_the_vendor() {
    let rig = rig(Vendor::Linear);
    let settings = json!({"scopes": ["read", "write"]});
    let narrow = open(rig.vendor, rig.world.clone(), rig.clock.clone(), MemoryVault::new(), &settings, true);
    narrow.sign_in().await;
    let customers = connectors::CollectionShape { name: "customer".into(), key: None, fields: Vec::new() };
    let shape = connectors::Shape { collections: vec![customers] };
    patient(&rig.clock, async || narrow.connector.attach(&shape, None, None).await).await.expect("attaches");
    let identity = patient(&rig.clock, async || narrow.connector.probe().await).await.expect("it reads");
    assert!(identity.notes.iter().any(|note| note.contains("`customer:read` required")), "{identity:?}");
}

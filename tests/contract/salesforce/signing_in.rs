//! The four ways in, and what becomes of a session that ends.

use connectors::{Fault, Secrets};
use sandbox::Vendor;
use sandbox::salesforce::{CLIENT_ID, CLIENT_SECRET};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::bench::{ACCOUNT, Bench, FEEDBACK, create, receipt, update};

const KEY: &str = include_str!("../../../connectors/github/fixtures/app_key_for_tests_only.pem");
const CERTIFICATE: &str = include_str!("../../../connectors/github/fixtures/app_public_key_for_tests_only.pem");

fn secrets(of: &[(&str, &str)]) -> Secrets {
    of.iter().map(|(name, secret)| ((*name).to_owned(), SecretString::from((*secret).to_owned()))).collect()
}

fn by_key(bench: &Bench, username: &str) -> Bench {
    bench.beside(&secrets(&[("private_key", KEY)]), &json!({ "client_id": CLIENT_ID, "username": username }))
}

#[tokio::test]
async fn a_key_signs_in_as_a_user_who_was_approved() {
    let bench = Bench::new().await;
    bench.world.salesforce(|desk, _| desk.set_certificate(CERTIFICATE));
    let [admin, integration] = bench.world.salesforce(|desk, _| desk.usernames());
    let keyed = by_key(&bench, &admin);
    let who = keyed.patient(async || keyed.salesforce.probe().await).await.expect("answers");
    assert!(who.name.contains(&admin) && who.scopes.contains(&"api".into()), "{who:?}");
    // Another user sees what permission sets show, and nothing more.
    let narrow = by_key(&bench, &integration);
    let bound = narrow.attach(None).await;
    assert_eq!(bound["objects"][FEEDBACK]["gone"], true, "its permission set is not theirs");
    assert!(
        bound["objects"][ACCOUNT]["missing"].as_object().is_some_and(|missing| missing.contains_key("Loopd_Risk__c"))
    );
    bench.world.salesforce(|desk, _| desk.approve(false));
    let refused = by_key(&bench, &admin).salesforce.probe().await;
    assert!(
        matches!(&refused, Err(Fault::Locked { why }) if why.contains("hasn't approved this consumer")),
        "{refused:?}"
    );
    let unknown = by_key(&bench, "nobody@example.com").salesforce.probe().await;
    assert!(matches!(unknown, Err(Fault::Locked { .. })), "{unknown:?}");
}

#[tokio::test]
async fn setup_may_serve_the_user_who_will_work() {
    let bench = Bench::empty();
    let [_, integration] = bench.world.salesforce(|desk, _| desk.usernames());
    let for_them =
        bench.beside(&secrets(&[("token", Vendor::Salesforce.token())]), &json!({ "assign_to": [integration] }));
    for_them.furnish().await;
    let narrow = by_key(&bench, &integration);
    let bound = narrow.attach(None).await;
    assert_eq!(bound["objects"][FEEDBACK]["missing"], json!({}));
    let acme = bench.made(ACCOUNT, &json!({ "Name": "Acme Example" }));
    let verdicts = narrow.write(FEEDBACK, &[create(1, &json!({ "Name": "x", "Account__c": [acme] }))]).await;
    assert!(receipt(&verdicts[0]).created);
    assert!(narrow.write(ACCOUNT, &[update(1, &acme, &json!({ "Loopd_Risk__c": "Low" }))]).await[0].is_ok());
}

#[tokio::test]
async fn a_session_that_ends_in_the_middle_is_renewed_once_and_loses_nothing() {
    let bench = Bench::new().await;
    let settings = json!({ "client_id": CLIENT_ID });
    let opened = bench.beside(&secrets(&[("client_secret", CLIENT_SECRET)]), &settings);
    opened.attach(None).await;
    assert!(opened.write(FEEDBACK, &[create(1, &json!({ "Name": "x" }))]).await[0].is_ok());
    let tokens = opened.calls("POST token");
    opened.clock.advance(std::time::Duration::from_secs(120));
    bench.world.salesforce(|desk, _| desk.expire_sessions());
    let batch = [create(2, &json!({ "Name": "y" })), create(3, &json!({ "Name": "z" }))];
    let first = opened.write(FEEDBACK, &batch).await;
    assert!(first.iter().all(|verdict| matches!(verdict, Err(Fault::Later { .. }))), "certainly not done: {first:?}");
    let second = opened.write(FEEDBACK, &batch).await;
    assert!(second.iter().all(|verdict| receipt(verdict).created), "{second:?}");
    assert_eq!(opened.calls("POST token"), tokens + 1);
    // Sessions that are refused as soon as they are had: a matter for people, and not for a loop.
    let mut refused = Vec::new();
    for _ in 0..4 {
        bench.world.salesforce(|desk, _| desk.expire_sessions());
        refused.push(opened.write(FEEDBACK, &batch).await.remove(0));
        if matches!(refused.last(), Some(Err(Fault::Later { .. }))) {
            opened.salesforce.probe().await.expect("the next session is good for a moment");
        }
    }
    assert_eq!(refused.iter().filter(|verdict| matches!(verdict, Err(Fault::Later { .. }))).count(), 2, "{refused:?}");
    let last = refused.pop().expect("one");
    assert!(matches!(&last, Err(Fault::Locked { why }) if why.contains("INVALID_SESSION_ID")), "{last:?}");
    // Switched off in the org.
    bench.world.salesforce(|desk, _| {
        desk.run_as(None);
        desk.expire_sessions();
    });
    opened.clock.advance(std::time::Duration::from_secs(120));
    let _ = opened.write(FEEDBACK, &batch).await;
    let off = opened.write(FEEDBACK, &batch).await.remove(0);
    assert!(matches!(&off, Err(Fault::Locked { why }) if why.contains("client credentials")), "{off:?}");
}

#[tokio::test]
async fn a_person_signs_in_with_the_browser_and_stays_signed_in() {
    let bench = Bench::new().await;
    bench.world.salesforce(|desk, _| desk.rotate_refresh_tokens(true));
    let opened = bench.beside(&Secrets::new(), &json!({ "client_id": CLIENT_ID }));
    let early = opened.salesforce.probe().await;
    assert!(matches!(&early, Err(Fault::Locked { why }) if why.contains("loopd auth")), "{early:?}");
    let session = opened.salesforce.sign_in().expect("a person may sign in");
    let begun = session.begin("http://127.0.0.1:8123/back", &[7; 64]).expect("an address");
    let (head, query) = begun.url.split_once('?').expect("a query");
    assert!(
        head.ends_with("/services/oauth2/authorize") && query.contains("code_challenge_method=S256"),
        "{}",
        begun.url
    );
    // The browser goes there, and comes back with a code.
    let request = http::Request::get(&begun.url).body(bytes::Bytes::new()).expect("a request");
    let sandbox::Reply::Answer { response, .. } = bench.world.call(Vendor::Salesforce, request) else { panic!("cut") };
    let back = response.headers()["location"].to_str().expect("text").to_owned();
    session.finish(&begun, &back).await.expect("signs in");
    let who = opened.patient(async || opened.salesforce.probe().await).await.expect("answers");
    assert!(who.name.contains("ada@sandbox.example.com"));
    for _ in 0..3 {
        opened.clock.advance(std::time::Duration::from_secs(3 * 3600));
        let first = opened.salesforce.probe().await;
        assert!(matches!(first, Err(Fault::Later { .. })), "two hours are over: {first:?}");
        opened.patient(async || opened.salesforce.probe().await).await.expect("renewed, with a token that rotates");
    }
    bench.world.salesforce(|desk, _| desk.revoke_grants());
    opened.clock.advance(std::time::Duration::from_secs(120));
    let _ = opened.salesforce.probe().await;
    let over = opened.salesforce.probe().await;
    assert!(matches!(&over, Err(Fault::Locked { why }) if why.contains("sign in again")), "{over:?}");
}

#[tokio::test]
async fn settings_that_cannot_sign_in_say_what_is_missing() {
    let open = |more: Value, given: &[(&str, &str)]| {
        let clock = crate::support::TestClock::new();
        let world = sandbox::World::new(1, clock.hands());
        let transport = crate::support::InProcess { world, vendor: Vendor::Salesforce, clock: clock.clone() };
        let outside = connectors::Outside {
            transport: std::sync::Arc::new(transport),
            clock,
            vault: std::sync::Arc::new(connectors::oauth::NoVault),
        };
        connectors::open(connectors::Kind::Salesforce, &more, &secrets(given), &outside)
            .err()
            .map(|error| (error.key, error.why))
    };
    for (settings, given, key, word) in [
        (json!({}), &[][..], "client_id", "external client app"),
        (json!({ "client_id": "x" }), &[("private_key", KEY)][..], "username", "user name"),
        (json!({ "client_id": "x", "username": "u" }), &[("private_key", "no key")][..], "private_key", "PEM"),
        (json!({ "client_id": "x" }), &[("client_secret", "s")][..], "base_url", "My Domain"),
        (json!({ "client_id": "x" }), &[("client_secret", "s"), ("token", "t")][..], "sign_in", "several ways in"),
        (json!({ "client_id": "x", "sign_in": "jwt", "username": "u" }), &[][..], "private_key", "private key"),
        (json!({ "api_version": "new" }), &[("token", "t")][..], "api_version", "67.0"),
        (json!({ "objects": ["Account"] }), &[("token", "t")][..], "objects", "Account"),
        (json!({ "objects": ["Bad Name"] }), &[("token", "t")][..], "objects", "API name"),
        (json!({ "account": { "arr": "x; DROP" } }), &[("token", "t")][..], "account", "API name"),
        (json!({ "account": { "size": "X__c" } }), &[("token", "t")][..], "account", "none of"),
        (json!({ "opportunity": { "losses": "X__c" } }), &[("token", "t")][..], "opportunity", "none of"),
        (json!({ "fields": { "Lead": ["X__c"] } }), &[("token", "t")][..], "fields", "Lead"),
        (json!({ "leave_percent": 100 }), &[("token", "t")][..], "leave_percent", "99"),
    ] {
        let error = open(settings.clone(), given).unwrap_or_else(|| panic!("{settings} is taken"));
        assert!(error.0.as_deref() == Some(key) && error.1.contains(word), "{settings}: {error:?}");
    }
}

//! Signed assertions, as Salesforce and Google take them.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::super::{Assertion, Server, Session, Way};
use crate::testing::{Script, outside};
use crate::{Clock, Fault};

const KEY: &str = include_str!("../../github/fixtures/app_key_for_tests_only.pem");
const PUBLIC: &[u8] = include_bytes!("../../github/fixtures/app_public_key_for_tests_only.pem");

fn claims(script: &Script) -> (jsonwebtoken::Header, Value) {
    let asked = script.take_asked();
    let form = String::from_utf8_lossy(asked.last().expect("asked").body()).into_owned();
    let jwt = form.strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
    let mut how = Validation::new(Algorithm::RS256);
    how.validate_exp = false;
    how.validate_aud = false;
    let key = DecodingKey::from_rsa_pem(PUBLIC).expect("a key");
    let told =
        jsonwebtoken::decode::<Value>(jwt.unwrap_or_else(|| panic!("{form}")), &key, &how).expect("signed by us");
    (told.header, told.claims)
}

#[tokio::test]
async fn google_reads_scopes_from_the_claims_and_says_when_the_token_ends() {
    let (script, clock, outside) = outside();
    let assertion =
        Assertion::new(&SecretString::from(KEY.replace('\n', "\\n")), "robot@project.example", "https://token.example")
            .expect("a key")
            .scope("https://scope.example/bigquery.readonly")
            .key_id("key-1")
            .life(Duration::from_secs(3_600));
    let server = Server::new("Google", "https://token.example", "robot@project.example");
    let session = Session::new(server, Way::Assertion(assertion), &outside).expect("URLs");
    script.answer(200, &json!({"access_token": "g0", "expires_in": 3599, "token_type": "Bearer"}));
    session.grant().await.expect("a token");
    let (header, claims) = claims(&script);
    let now = clock.now().timestamp();
    assert_eq!(header.kid.as_deref(), Some("key-1"));
    assert_eq!(
        claims,
        json!({
            "iss": "robot@project.example",
            "aud": "https://token.example",
            "scope": "https://scope.example/bigquery.readonly",
            "iat": now - 30,
            "exp": now + 3_570,
        })
    );
    clock.advance(3_500);
    session.grant().await.expect("still good");
    clock.advance(60);
    script.answer(200, &json!({"access_token": "g1", "expires_in": 3599}));
    assert!(session.grant().await.is_ok_and(|grant| grant.is(&SecretString::from("g1"))));
}

#[tokio::test]
async fn salesforce_names_the_user_and_tells_the_host_and_no_end() {
    let (script, clock, outside) = outside();
    let assertion = Assertion::new(&SecretString::from(KEY), "3MVG9", "https://login.salesforce.com")
        .expect("a key")
        .subject("ops@example.com");
    let server = Server::new("Salesforce", "https://login.salesforce.com/services/oauth2/token", "3MVG9");
    let session = Session::new(server, Way::Assertion(assertion), &outside).expect("URLs");
    script.answer(
        200,
        &json!({"access_token": "00D!s0", "instance_url": "https://acme.my.salesforce.com", "id": "https://login.salesforce.com/id/00D/005", "scope": "api", "token_type": "Bearer"}),
    );
    let grant = session.grant().await.expect("a token");
    assert_eq!(grant.text("instance_url"), Some("https://acme.my.salesforce.com"));
    let (_, claims) = claims(&script);
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("ops@example.com"), &json!("https://login.salesforce.com")));
    let ahead = claims["exp"].as_i64().expect("a time") - clock.now().timestamp();
    assert!((60..=180).contains(&ahead), "{ahead}: Salesforce takes three minutes at most");
    clock.advance(30 * 86_400);
    session.grant().await.expect("used until it is refused");
}

#[tokio::test]
async fn a_clock_that_differs_is_learnt_once() {
    let (script, clock, outside) = outside();
    let assertion = Assertion::new(&SecretString::from(KEY), "3MVG9", "https://login.salesforce.com").expect("a key");
    let server = Server::new("Salesforce", "https://login.salesforce.com/services/oauth2/token", "3MVG9");
    let session = Session::new(server, Way::Assertion(assertion), &outside).expect("URLs");
    let refusal = || {
        let body = json!({"error": "invalid_grant", "error_description": "assertion expired"}).to_string();
        let date = (clock.now() + chrono::TimeDelta::minutes(10)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        Response::builder()
            .status(StatusCode::BAD_REQUEST)
            .header("date", date)
            .body(Bytes::from(body))
            .expect("a response")
    };
    script.put(Ok(refusal()));
    script.answer(200, &json!({"access_token": "s0"}));
    session.grant().await.expect("a token, at the second try");
    let (_, claims) = claims(&script);
    assert_eq!(claims["iat"], clock.now().timestamp() + 570);
    // The clock is no excuse a second time.
    assert!(crate::oauth::Tokens::refused(&session, &SecretString::from("another")), "it was replaced");
    clock.advance(120);
    assert!(crate::oauth::Tokens::refused(&session, &SecretString::from("s0")));
    script.put(Ok(refusal()));
    let Err(Fault::Locked { why }) = session.grant().await else { panic!("a token") };
    assert!(why.contains("assertion expired"), "{why}");
    assert_eq!(script.take_asked().len(), 1);
}

#[test]
fn a_key_that_is_none_is_told() {
    assert!(Assertion::new(&SecretString::from("path/to/key.pem"), "a", "b").is_err_and(|why| why.contains("PEM")));
    let (_, _, outside) = outside();
    let bad = Server::new("Acme", "not a URL", "id");
    assert!(Session::new(bad, Way::ClientCredentials, &outside).is_err());
}

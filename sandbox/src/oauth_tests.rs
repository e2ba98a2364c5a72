//! Sign-ins as a client by hand would do them, at both vendors that have them here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::testing::Bench;
use crate::world::{Reply, Vendor};
use crate::{airtable, linear};

const VERIFIER: &str = "a-verifier-that-is-long-enough-for-every-vendor-here";
const BACK: &str = "http%3A%2F%2Flocalhost%3A8788%2Fcallback";

fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// Status, `Location`, body.
fn send(bench: &Bench, vendor: Vendor, method: &str, path: &str, form: &str, json: bool) -> (u16, String, Value) {
    let kind = if json { "application/json" } else { "application/x-www-form-urlencoded" };
    let request = Request::builder().method(method).uri(path).header("content-type", kind);
    let request = request.body(Bytes::copy_from_slice(form.as_bytes())).expect("a request");
    let Reply::Answer { response, .. } = bench.world.call(vendor, request) else { panic!("cut") };
    let location = response.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
    (response.status().as_u16(), location.to_owned(), serde_json::from_slice(response.body()).unwrap_or_default())
}

fn post(bench: &Bench, vendor: Vendor, form: &str) -> (u16, Value) {
    let (path, client) = match vendor {
        Vendor::Airtable => ("/oauth2/v1/token", (airtable::CLIENT_ID, airtable::CLIENT_SECRET)),
        _ => ("/oauth/token", (linear::CLIENT_ID, linear::CLIENT_SECRET)),
    };
    let form = format!("{form}&client_id={}&client_secret={}", client.0, client.1);
    let (status, _, body) = send(bench, vendor, "POST", path, &form, false);
    (status, body)
}

fn authorize(bench: &Bench, vendor: Vendor, more: &str) -> (u16, String) {
    let (path, id) = match vendor {
        Vendor::Airtable => ("/oauth2/v1/authorize", airtable::CLIENT_ID),
        _ => ("/oauth/authorize", linear::CLIENT_ID),
    };
    let path = format!("{path}?client_id={id}&redirect_uri={BACK}&response_type=code&{more}");
    let (status, location, _) = send(bench, vendor, "GET", &path, "", false);
    (status, location)
}

fn code(bench: &Bench, vendor: Vendor, scope: &str) -> String {
    let more = format!("state=s1&scope={scope}&code_challenge={}&code_challenge_method=S256", challenge(VERIFIER));
    let (status, location) = authorize(bench, vendor, &more);
    assert_eq!(status, 302);
    assert!(
        location.starts_with("http://localhost:8788/callback?code=") && location.ends_with("&state=s1"),
        "{location}"
    );
    location.split(['=', '&']).nth(1).expect("a code").to_owned()
}

fn redeem(bench: &Bench, vendor: Vendor, code: &str, verifier: &str) -> (u16, Value) {
    post(
        bench,
        vendor,
        &format!("grant_type=authorization_code&code={code}&redirect_uri={BACK}&code_verifier={verifier}"),
    )
}

fn refresh(bench: &Bench, vendor: Vendor, token: &Value) -> (u16, Value) {
    post(bench, vendor, &format!("grant_type=refresh_token&refresh_token={}", token.as_str().expect("a token")))
}

fn whoami(bench: &Bench, token: &Value) -> (u16, Value) {
    let bearer = format!("Bearer {}", token.as_str().expect("a token"));
    bench.wait(1);
    let got = bench.call(Vendor::Airtable, "GET", "/v0/meta/whoami", &[("authorization", &bearer)], None);
    (got.status, got.body)
}

fn refused(answer: &(u16, Value), status: u16, error: &str) {
    assert_eq!((answer.0, answer.1["error"].as_str()), (status, Some(error)), "{}", answer.1);
}

#[test]
fn a_code_is_good_once_and_for_its_verifier() {
    for (vendor, scope) in [(Vendor::Airtable, "data.records:read"), (Vendor::Linear, "read,write")] {
        let bench = Bench::new(1);
        let first = code(&bench, vendor, scope);
        refused(&redeem(&bench, vendor, &first, &VERIFIER.replace('a', "b")), 400, "invalid_grant");
        let (status, told) = redeem(&bench, vendor, &first, VERIFIER);
        assert_eq!((status, told["token_type"].as_str()), (200, Some("Bearer")), "{told}");
        assert_eq!(told["scope"], scope.replace(',', " "), "scopes are told with spaces");
        refused(&redeem(&bench, vendor, &first, VERIFIER), 400, "invalid_grant");
        refused(&refresh(&bench, vendor, &told["refresh_token"]), 400, "invalid_grant");
        let late = code(&bench, vendor, scope);
        bench.wait(301);
        refused(&redeem(&bench, vendor, &late, VERIFIER), 400, "invalid_grant");
    }
}

#[test]
fn what_the_browser_brings_must_be_whole() {
    let bench = Bench::new(1);
    let good = format!("code_challenge={}&code_challenge_method=S256", challenge(VERIFIER));
    for (vendor, more, error) in [
        (Vendor::Airtable, format!("scope=data.records:read&{good}"), "invalid_request"),
        (Vendor::Airtable, "state=s&scope=data.records:read".to_owned(), "invalid_request"),
        (Vendor::Airtable, "state=s&code_challenge=x&code_challenge_method=plain".to_owned(), "invalid_request"),
        (Vendor::Airtable, format!("state=s&scope=data.records:eat&{good}"), "invalid_scope"),
        (Vendor::Linear, format!("state=s&scope=read%20write&{good}"), "invalid_scope"),
    ] {
        let (status, location) = authorize(&bench, vendor, &more);
        assert!(status == 302 && location.contains(&format!("error={error}")), "{more}: {status} {location}");
    }
    // Where it cannot be known that the address is the application's, nobody is sent there.
    for (id, back) in [(airtable::CLIENT_ID, "https%3A%2F%2Fevil.example%2F"), ("nobody", BACK)] {
        let path = format!("/oauth2/v1/authorize?client_id={id}&redirect_uri={back}&response_type=code&state=s&{good}");
        let (status, location, _) = send(&bench, Vendor::Airtable, "GET", &path, "", false);
        assert_eq!((status, location.as_str()), (400, ""), "{back}");
    }
}

#[test]
fn a_refresh_token_rotates_and_a_second_use_ends_the_grant_at_airtable() {
    let bench = Bench::new(1);
    let (_, first) = redeem(&bench, Vendor::Airtable, &code(&bench, Vendor::Airtable, "data.records:read"), VERIFIER);
    assert_eq!((&first["expires_in"], &first["refresh_expires_in"]), (&3_600.into(), &5_184_000.into()));
    assert_eq!(whoami(&bench, &first["access_token"]).1["scopes"], serde_json::json!(["data.records:read"]));
    let (_, second) = refresh(&bench, Vendor::Airtable, &first["refresh_token"]);
    assert_eq!(whoami(&bench, &second["access_token"]).0, 200);
    refused(&refresh(&bench, Vendor::Airtable, &first["refresh_token"]), 400, "invalid_grant");
    refused(&refresh(&bench, Vendor::Airtable, &second["refresh_token"]), 400, "invalid_grant");
    assert_eq!(whoami(&bench, &second["access_token"]).0, 401, "the whole grant is over");
}

#[test]
fn tokens_end_by_the_clock() {
    let bench = Bench::new(1);
    let (_, told) = redeem(&bench, Vendor::Airtable, &code(&bench, Vendor::Airtable, "data.records:read"), VERIFIER);
    bench.wait(3_590);
    assert_eq!(whoami(&bench, &told["access_token"]).0, 200);
    bench.wait(20);
    let (status, body) = whoami(&bench, &told["access_token"]);
    assert_eq!((status, body["error"]["type"].as_str()), (401, Some("AUTHENTICATION_REQUIRED")), "{body}");
    bench.wait(60 * 86_400);
    refused(&refresh(&bench, Vendor::Airtable, &told["refresh_token"]), 400, "invalid_grant");
}

#[test]
fn linear_takes_a_refresh_token_again_for_half_an_hour() {
    let bench = Bench::new(1);
    let (_, first) = redeem(&bench, Vendor::Linear, &code(&bench, Vendor::Linear, "read"), VERIFIER);
    assert_eq!((&first["expires_in"], first.get("refresh_expires_in")), (&86_399.into(), None));
    assert_eq!(refresh(&bench, Vendor::Linear, &first["refresh_token"]).0, 200);
    bench.wait(29 * 60);
    let (status, again) = refresh(&bench, Vendor::Linear, &first["refresh_token"]);
    assert_eq!(status, 200);
    bench.wait(2 * 60);
    refused(&refresh(&bench, Vendor::Linear, &first["refresh_token"]), 400, "invalid_grant");
    assert_eq!(refresh(&bench, Vendor::Linear, &again["refresh_token"]).0, 200, "the grant goes on");
}

#[test]
fn an_application_must_prove_itself_and_send_a_form() {
    let bench = Bench::new(1);
    let form = format!("grant_type=refresh_token&refresh_token=x&client_id={}", airtable::CLIENT_ID);
    for (form, json, status, error) in [
        (form.clone(), false, 401, "invalid_client"),
        (format!("{form}&client_secret=wrong"), false, 401, "invalid_client"),
        ("grant_type=refresh_token".to_owned(), false, 401, "invalid_client"),
        (format!("{form}&client_secret={}", airtable::CLIENT_SECRET), true, 400, "invalid_request"),
        (format!("{form}&client_secret={}", airtable::CLIENT_SECRET), false, 400, "invalid_grant"),
        (
            format!(
                "grant_type=client_credentials&client_id={}&client_secret={}",
                airtable::CLIENT_ID,
                airtable::CLIENT_SECRET
            ),
            false,
            400,
            "unsupported_grant_type",
        ),
    ] {
        let (got, _, body) = send(&bench, Vendor::Airtable, "POST", "/oauth2/v1/token", &form, json);
        refused(&(got, body), status, error);
    }
}

#[test]
fn other_scopes_end_an_applications_own_tokens_at_linear() {
    let bench = Bench::new(1);
    let own = |scope: &str| post(&bench, Vendor::Linear, &format!("grant_type=client_credentials&scope={scope}")).1;
    let viewer = |token: &Value| {
        let bearer = format!("Bearer {}", token["access_token"].as_str().expect("a token"));
        let ask = serde_json::json!({"query": "{ viewer { id } }"});
        let got = bench.call(Vendor::Linear, "POST", "/graphql", &[("authorization", &bearer)], Some(&ask));
        (got.status, got.body["data"]["viewer"]["id"].clone())
    };
    let first = own("read");
    assert_eq!((&first["expires_in"], first.get("refresh_token")), (&2_591_999.into(), None));
    assert_eq!(viewer(&first), (200, linear::APP.into()));
    let second = own("read");
    assert_eq!((viewer(&first).0, viewer(&second).0), (200, 200));
    let third = own("read,write");
    assert_eq!((viewer(&first).0, viewer(&third).0), (401, 200));
    let form = format!("token={}", third["access_token"].as_str().expect("a token"));
    assert_eq!(send(&bench, Vendor::Linear, "POST", "/oauth/revoke", &form, false).0, 200);
    assert_eq!(viewer(&third).0, 401);
}

//! `loopd check`: every mistake in one go, with its place and its mend.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::{GITHUB, Place};

#[test]
fn a_good_configuration_is_good() {
    let place = Place::with(GITHUB);
    place.loopd(&["check"]).ends(0).says("config.toml is good: 1 connection,");
    let said = place.loopd(&["check", "--json"]).ends(0).json();
    assert_eq!((said["ok"].as_bool(), said["problems"].as_array().map(Vec::len)), (Some(true), Some(0)), "{said}");
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let config =
        GITHUB.replace("public_url", "publik_url").replace("\"github\"", "\"githug\"").replace("65536", "\"many\"");
    let place = Place::with(&config);
    let said = place.loopd(&["check"]).ends(2);
    for (at, mend) in [("config.toml:7:1", "public_url"), ("config.toml:8:18", ""), ("config.toml:11:8", "github")] {
        assert!(said.out.contains(at), "{at} is not in:\n{}", said.out);
        assert!(said.out.contains(mend), "{mend} is not in:\n{}", said.out);
    }
    let json = place.loopd(&["check", "--json"]).ends(2).json();
    assert_eq!(json["ok"], false);
    let first = &json["problems"][0];
    assert!(first["line"].as_u64() > Some(0) && first["column"].as_u64() > Some(0), "{first}");
    assert!(first["what"].is_string(), "{first}");
}

#[test]
fn a_missing_secret_is_told_and_none_is_shown() {
    let place = Place::with(GITHUB);
    let output = place.command(&["check"]).env_remove("TEST_TOKEN").output().expect("it runs");
    let said = crate::support::Said::from(output).ends(2).says("TEST_TOKEN").says("config.toml:14:9");
    assert!(!said.out.contains(crate::support::SECRET) && !said.err.contains(crate::support::SECRET));
}

#[test]
fn a_broken_mapping_is_told_in_its_own_file() {
    let place = Place::with(&format!("{GITHUB}\n[mappings]\ndir = \"mine\"\n"));
    place.write(
        "mine/github.issue.toml",
        "from = \"github.issue\"\nentity = \"feedback\"\n\n[fields]\nverbatim = \".body | frobnicate\"\n",
    );
    place.loopd(&["check"]).ends(2).says("mine/github.issue.toml:5:").says("frobnicate");
}

#[test]
fn text_that_is_no_toml_is_told_with_its_place() {
    let place = Place::with("[ledger\npath = 1\n");
    place.loopd(&["check"]).ends(2).says("config.toml:1:");
}

#[test]
fn live_says_what_cannot_be_reached() {
    let place = Place::with(GITHUB);
    place.loopd(&["check", "--live"]).ends(1).says("github: ");
    place.loopd(&["check", "--live", "airtable"]).ends(2).says("no connection airtable");
    let said = place.loopd(&["check", "--json", "--live"]).ends(1).json();
    assert!(said["live"][0]["fault"].is_string(), "{said}");
}

/// The stand-ins on ports of their own, and what they say of where they are.
fn stand_ins(place: &Place) -> (Child, Value) {
    let mut sandbox =
        place.command(&["sandbox", "--json", "--for", "60"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(sandbox.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it is");
    let said = serde_json::from_str(&line).expect("JSON");
    (sandbox, said)
}

/// All of Slack's calls are POST, also those that only look.
#[test]
fn live_reaches_those_who_are_asked_by_post() {
    let place = Place::empty();
    let (mut sandbox, said) = stand_ins(&place);
    let mut config = "[ledger]\npath = \"ledger\"\n[http]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    for (vendor, more) in [
        ("slack", "app_token = { file = \"slack.app\" }"),
        ("granola", ""),
        ("typeform", "forms = [\"sBxF0rm\"]"),
        ("posthog", "project = 4711"),
    ] {
        let (base_url, token) = (&said["vendors"][vendor]["base_url"], &said["vendors"][vendor]["token"]);
        place.write(&format!("{vendor}.token"), token.as_str().expect("a token"));
        config.push_str(&format!(
            "[connection.{vendor}]\nkind = \"{vendor}\"\nbase_url = {base_url}\ntoken = {{ file = \"{vendor}.token\" }}\n{more}\n"
        ));
    }
    place.write("slack.app", "xapp-sandbox");
    place.write("config.toml", &config);
    let output = place.command(&["check", "--live"]).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let _ = sandbox.kill();
    let _ = sandbox.wait();
    for vendor in ["slack", "granola", "typeform", "posthog"] {
        assert!(told.contains(&format!("{vendor}: reached")), "{told}");
    }
    assert!(!told.contains("Socket Mode:"), "{told}");
}

#[test]
fn live_makes_no_webhook() {
    let place = Place::empty();
    let (mut sandbox, said) = stand_ins(&place);
    let (base_url, token) = (&said["vendors"]["airtable"]["base_url"], &said["vendors"]["airtable"]["token"]);
    let token = token.as_str().expect("a token");
    place.write("airtable.token", token);
    place.write(
        "config.toml",
        &format!(
            r#"
[ledger]
path = "ledger"
[http]
listen = "127.0.0.1:0"
[connection.airtable]
kind = "airtable"
base_url = {base_url}
base = "appSandbox0000001"
token = {{ file = "airtable.token" }}
# Leaves room for the look below.
quota = {{ calls = 2, per_seconds = 1 }}
[[route]]
entity = "customer"
to = "airtable.Customers"
"#
        ),
    );
    let output = place.command(&["check", "--live"]).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let address = base_url.as_str().expect("text").split("//").nth(1).expect("an address");
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let mut answer = String::new();
    let mut stream = TcpStream::connect(host).expect("it listens");
    write!(
        stream,
        "GET /{path}/bases/appSandbox0000001/webhooks HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    .and_then(|()| stream.read_to_string(&mut answer))
    .expect("it answers");
    let _ = sandbox.kill();
    let _ = sandbox.wait();
    assert!(told.contains("airtable: reached"), "{told}");
    assert!(answer.contains("\"webhooks\":[]"), "{answer}");
}

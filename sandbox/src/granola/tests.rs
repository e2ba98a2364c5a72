//! What people do there, and what is refused. loopd's connector drives the stand-in in `tests/contract`.

use serde_json::{Value, json};

use super::NewCall;
use crate::testing::{Bench, Got, body};
use crate::world::Vendor;

const AUTH: &[(&str, &str)] = &[("authorization", "Bearer grn_sandbox_key")];
const PEOPLE: [(&str, &str); 2] = [("Bo", "bo@ours.example"), ("Ada", "ada@lumen.example")];

fn call(bench: &Bench, method: &str, path: &str, body: Option<&Value>) -> Got {
    bench.wait(1);
    bench.call(Vendor::Granola, method, path, AUTH, body)
}

fn get(bench: &Bench, path: &str) -> Got {
    call(bench, "GET", path, None)
}

fn ids(got: &Got) -> Vec<&str> {
    got.body["notes"].as_array().into_iter().flatten().filter_map(|note| note["id"].as_str()).collect()
}

fn hold(bench: &Bench) -> String {
    let said = [("me", "Hello."), ("them", "Slow."), ("Cy", "Indeed.")];
    bench.wait(60);
    bench.world.granola(|desk, cx| {
        desk.hold(&NewCall { title: "Call", people: &PEOPLE, said: &said, ..NewCall::default() }, cx)
    })
}

#[test]
fn only_what_is_summarised_and_shared_is_there() {
    let bench = Bench::new(1);
    let id = hold(&bench);
    let path = format!("/v1/notes/{id}");
    assert_eq!((ids(&get(&bench, "/v1/notes")).len(), get(&bench, &path).status), (0, 404));
    bench.world.granola(|desk, cx| desk.summarise(&id, "Slow.", cx));
    let whole = get(&bench, &format!("{path}?include=transcript"));
    assert_eq!(
        (ids(&get(&bench, "/v1/notes")), whole.body["transcript"].as_array().map(Vec::len)),
        (vec![id.as_str()], Some(3))
    );
    assert_eq!(whole.body["transcript"][2]["speaker"], json!({"source": "speaker", "name": "Cy"}));
    assert_eq!(get(&bench, &path).body["transcript"], Value::Null);
    assert!(get(&bench, "/v1/notes").body["notes"][0].get("summary_text").is_none());
    bench.world.granola(|desk, _| desk.unshare(&id));
    assert_eq!((ids(&get(&bench, "/v1/notes")).len(), get(&bench, &path).status), (0, 404));
}

#[test]
fn notes_come_newest_created_first_and_by_when_they_were_updated() {
    let bench = Bench::new(1);
    let made: Vec<String> = (0..35)
        .map(|_| {
            let id = hold(&bench);
            bench.world.granola(|desk, cx| desk.summarise(&id, "Said.", cx));
            id
        })
        .collect();
    let newest: Vec<&str> = made.iter().rev().map(String::as_str).collect();
    let first = get(&bench, "/v1/notes?page_size=30");
    assert_eq!((ids(&first), &first.body["hasMore"]), (newest[..30].to_vec(), &json!(true)));
    let cursor = first.body["cursor"].as_str().expect("a place").to_owned();
    let rest = get(&bench, &format!("/v1/notes?page_size=30&cursor={cursor}"));
    assert_eq!(
        (ids(&rest), &rest.body["hasMore"], &rest.body["cursor"]),
        (newest[30..].to_vec(), &json!(false), &Value::Null)
    );
    let stamp = bench.world.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true).replace(':', "%3A");
    bench.world.granola(|desk, cx| desk.summarise(&made[3], "Edited.", cx));
    assert_eq!(ids(&get(&bench, &format!("/v1/notes?updated_after={stamp}"))), [made[3].as_str()]);
    let day = bench.world.now().format("%Y-%m-%d").to_string();
    assert_eq!(ids(&get(&bench, &format!("/v1/notes?created_before={day}"))).len(), 0, "a bare day leaves out itself");
    for odd in ["page_size=0", "page_size=31", "cursor=odd", "created_after=soon"] {
        assert_eq!(get(&bench, &format!("/v1/notes?{odd}")).status, 400, "{odd}");
    }
    assert_eq!(get(&bench, "/v1/notes?folder_id=fol_AAAAAAAAAAAAAA").status, 404);
}

#[test]
fn an_endpoint_tells_its_secret_once_and_hears_what_it_asked_for() {
    let bench = Bench::new(1);
    let wanted = json!({"url": "https://loopd.example/h", "scopes": ["public"], "events": ["note.generated"]});
    let made = call(&bench, "POST", "/v1/webhook-endpoints", Some(&wanted));
    assert_eq!(
        (made.status, made.body["signing_secret"].as_str().map(|secret| secret.starts_with("whsec_"))),
        (201, Some(true))
    );
    let listed = get(&bench, "/v1/webhook-endpoints");
    assert!(listed.body["webhook_endpoints"][0].get("signing_secret").is_none());
    let id = hold(&bench);
    bench.world.granola(|desk, cx| {
        desk.summarise(&id, "Said.", cx);
        desk.summarise(&id, "Edited.", cx);
    });
    let sent = bench.webhooks();
    assert_eq!(
        (sent.len(), &body(&sent[0])["event_type"], &body(&sent[0])["note_id"]),
        (1, &json!("note.generated"), &json!(id))
    );
    let path = format!("/v1/webhook-endpoints/{}", made.body["id"].as_str().expect("an id"));
    assert_eq!(call(&bench, "PATCH", &path, Some(&json!({"enabled": false}))).body["enabled"], false);
    let id = hold(&bench);
    bench.world.granola(|desk, cx| desk.summarise(&id, "Said.", cx));
    assert_eq!(bench.webhooks().len(), 0);
    assert_eq!(call(&bench, "DELETE", &path, None).body["deleted"], true);
    assert_eq!(call(&bench, "DELETE", &path, None).status, 404);
    for (odd, status) in [
        (json!({"scopes": ["public"]}), 400),
        (json!({"url": "http://loopd.example/h", "scopes": ["public"]}), 400),
        (json!({"url": "https://loopd.example/h"}), 400),
        (json!({"url": "https://loopd.example/h", "scopes": []}), 400),
        (json!({"url": "https://loopd.example/h", "scopes": ["workspace"]}), 400),
        (json!({"url": "https://loopd.example/h", "scopes": ["public"], "events": ["note.read"]}), 400),
        (json!({"url": "https://loopd.example/h", "scopes": ["public"], "folder_ids": []}), 400),
    ] {
        assert_eq!(call(&bench, "POST", "/v1/webhook-endpoints", Some(&odd)).status, status, "{odd}");
    }
    bench.world.granola(|desk, _| desk.set_key_scopes(&["personal"]));
    assert_eq!(call(&bench, "POST", "/v1/webhook-endpoints", Some(&wanted)).status, 403);
}

#[test]
fn the_twenty_sixth_call_within_five_seconds_is_too_many() {
    let bench = Bench::new(1);
    let ask = || bench.call(Vendor::Granola, "GET", "/v1/notes", AUTH, None).status;
    assert!((0..25).all(|_| ask() == 200));
    assert_eq!(ask(), 429);
    bench.wait(5);
    assert_eq!(ask(), 200);
    assert_eq!(bench.call(Vendor::Granola, "GET", "/v1/notes", &[], None).status, 401);
}

use chrono::DateTime;
use serde_json::{Value, json};

use super::NewIssue;
use crate::testing::{Bench, Got, body};
use crate::world::Vendor;

const AUTH: &[(&str, &str)] = &[("authorization", "Bearer ghp_sandbox"), ("user-agent", "test")];

fn bench() -> Bench {
    let bench = Bench::new(1);
    bench.world.github(|desk, cx| desk.create_repo("Acme/App", cx));
    bench
}

fn with(bench: &Bench, method: &str, path: &str, extra: &[(&str, &str)], body: Option<&Value>) -> Got {
    let headers: Vec<_> = AUTH.iter().chain(extra).copied().collect();
    bench.call(Vendor::GitHub, method, path, &headers, body)
}

fn get(bench: &Bench, path: &str) -> Got {
    with(bench, "GET", path, &[], None)
}

#[expect(clippy::needless_pass_by_value, reason = "bodies are written in place")]
fn send(bench: &Bench, method: &str, path: &str, body: Value) -> Got {
    with(bench, method, path, &[], Some(&body))
}

fn open(bench: &Bench, title: &str) -> u64 {
    let new = NewIssue { title, body: Some("It breaks."), author: "ann", labels: &["Bug"], ..NewIssue::default() };
    bench.world.github(|desk, cx| desk.open_issue("acme/app", &new, cx)).expect("opened")
}

fn numbers(got: &Got) -> Vec<u64> {
    got.list().iter().filter_map(|issue| issue["number"].as_u64()).collect()
}

#[test]
fn who_asks_without_credential_agent_or_known_version_is_refused() {
    let bench = bench();
    let call = |headers: &[(&str, &str)]| bench.call(Vendor::GitHub, "GET", "/repos/acme/app", headers, None);
    let no_token = call(&[("user-agent", "t")]);
    assert_eq!(
        (no_token.status, &no_token.body["message"], &no_token.body["status"]),
        (401, &json!("Requires authentication"), &json!("401"))
    );
    let wrong = call(&[("user-agent", "t"), ("authorization", "Bearer ghp_other")]);
    assert_eq!((wrong.status, &wrong.body["message"]), (401, &json!("Bad credentials")));
    assert_eq!(call(&[("authorization", "Bearer ghp_sandbox")]).status, 403);
    assert_eq!(with(&bench, "GET", "/repos/acme/app", &[("x-github-api-version", "2020-01-01")], None).status, 410);
    assert_eq!(get(&bench, "/repos/acme/app").status, 200);
    assert_eq!(get(&bench, "/repos/acme/other").status, 404);
    bench.world.github(|desk, _| desk.revoke_token("ghp_sandbox"));
    assert_eq!(get(&bench, "/repos/acme/app").status, 401);
}

#[test]
fn the_newer_version_has_no_singular_assignee_and_no_rate() {
    let bench = bench();
    open(&bench, "A");
    let newer: &[_] = &[("x-github-api-version", "2026-03-10")];
    assert!(get(&bench, "/repos/acme/app/issues/1").body.get("assignee").is_some());
    assert!(with(&bench, "GET", "/repos/acme/app/issues/1", newer, None).body.get("assignee").is_none());
    assert!(get(&bench, "/rate_limit").body.get("rate").is_some());
    assert!(with(&bench, "GET", "/rate_limit", newer, None).body.get("rate").is_none());
}

#[test]
fn lists_filter_sort_and_include_pull_requests() {
    let bench = bench();
    for (title, pull_request) in [("one", false), ("two", true), ("three", false)] {
        bench.world.github(|desk, cx| {
            desk.open_issue("acme/app", &NewIssue { title, author: "ann", pull_request, ..NewIssue::default() }, cx)
        });
        bench.wait(10);
    }
    bench.world.github(|desk, cx| desk.close_issue("acme/app", 1, "ann", cx));
    let path = "/repos/acme/app/issues";
    assert_eq!(numbers(&get(&bench, path)), [3, 2]);
    assert_eq!(numbers(&get(&bench, &format!("{path}?state=all&sort=updated&direction=asc"))), [2, 3, 1]);
    assert_eq!(numbers(&get(&bench, &format!("{path}?state=closed"))), [1]);
    let all = get(&bench, &format!("{path}?state=all&direction=asc"));
    assert!(all.list()[1].get("pull_request").is_some() && all.list()[0].get("pull_request").is_none());
    let updated = all.list()[1]["updated_at"].as_str().expect("a time").to_owned();
    assert_eq!(
        numbers(&get(&bench, &format!("{path}?state=all&since={updated}&direction=asc"))),
        [1, 2, 3],
        "`since` is inclusive"
    );
    assert_eq!(get(&bench, &format!("{path}?since=yesterday")).status, 422);
    assert_eq!(get(&bench, &format!("{path}?state=half")).status, 422);
}

#[test]
fn pages_follow_links_beyond_the_cap_and_numbers_do_not() {
    let bench = bench();
    bench.world.github(|desk, _| desk.set_page_cap(4));
    for number in 0..9 {
        open(&bench, &format!("{number}"));
        bench.wait(1);
    }
    let path = "/repos/acme/app/issues?per_page=2&state=all";
    for (direction, wanted) in [("asc", (1..=9).collect::<Vec<u64>>()), ("desc", (1..=9).rev().collect())] {
        let mut seen = Vec::new();
        let mut next = Some(format!("{path}&direction={direction}"));
        while let Some(url) = next {
            let page = get(&bench, &url);
            assert_eq!(page.status, 200);
            seen.extend(numbers(&page));
            next = page.next();
            assert!(next.as_ref().is_none_or(|next| next.contains("/repositories/")));
        }
        assert_eq!(seen, wanted);
    }
    let beyond = get(&bench, &format!("{path}&page=3"));
    assert_eq!(beyond.status, 422);
    assert!(beyond.body["message"].as_str().is_some_and(|text| text.contains("cursor based pagination")));
    assert_eq!(get(&bench, &format!("{path}&after=nonsense")).status, 422);
    assert_eq!(get(&bench, "/repos/acme/app/issues?per_page=500").list().len(), 9);
    let middle = get(&bench, &format!("{path}&page=2"));
    assert!(middle.header("link").contains("rel=\"prev\"") && middle.header("link").contains("rel=\"first\""));
}

#[test]
fn what_is_updated_during_a_scan_is_seen_again_ascending() {
    let bench = bench();
    for number in 0..4 {
        open(&bench, &format!("{number}"));
        bench.wait(1);
    }
    let first = get(&bench, "/repos/acme/app/issues?per_page=2&sort=updated&direction=asc");
    bench.world.github(|desk, cx| desk.comment("acme/app", 1, "bob", "me too", cx));
    let second = get(&bench, &first.next().expect("more"));
    let third = get(&bench, &second.next().expect("more"));
    assert_eq!([numbers(&first), numbers(&second), numbers(&third)].concat(), [1, 2, 3, 4, 1]);
}

#[test]
fn an_unchanged_answer_is_304_free_and_bound_to_the_token() {
    let bench = bench();
    open(&bench, "A");
    let path = "/repos/acme/app/issues";
    let first = get(&bench, path);
    let etag = first.header("etag").to_owned();
    let known: &[_] = &[("if-none-match", etag.as_str())];
    let again = with(&bench, "GET", path, known, None);
    assert_eq!((again.status, again.header("x-ratelimit-used")), (304, first.header("x-ratelimit-used")));
    bench.world.github(|desk, _| desk.add_token("ghp_second", "zoe"));
    let other = [("authorization", "Bearer ghp_second"), ("user-agent", "t"), ("if-none-match", &etag)];
    assert_eq!(bench.call(Vendor::GitHub, "GET", path, &other, None).status, 200);
    open(&bench, "B");
    assert_eq!(with(&bench, "GET", path, known, None).status, 200);
}

#[test]
fn the_hourly_quota_ends_in_403_and_comes_back() {
    let bench = bench();
    assert_eq!(get(&bench, "/user").header("x-ratelimit-remaining"), "4999");
    bench.world.github(|desk, cx| desk.exhaust_quota("ghp_sandbox", cx.now));
    let refused = get(&bench, "/user");
    assert_eq!((refused.status, refused.header("x-ratelimit-remaining")), (403, "0"));
    assert_eq!(get(&bench, "/rate_limit").status, 200, "asking is free");
    bench.wait(3600);
    assert_eq!(get(&bench, "/user").status, 200);
    assert_eq!(bench.world.books(Vendor::GitHub).throttled, 1);
}

#[test]
fn too_much_content_in_a_minute_bars_for_a_minute() {
    let bench = bench();
    open(&bench, "A");
    for _ in 0..80 {
        assert_eq!(send(&bench, "POST", "/repos/acme/app/issues/1/comments", json!({"body": "hi"})).status, 201);
    }
    let refused = send(&bench, "POST", "/repos/acme/app/issues/1/comments", json!({"body": "hi"}));
    assert_eq!((refused.status, refused.header("retry-after")), (403, "60"));
    assert_ne!(refused.header("x-ratelimit-remaining"), "0");
    assert!(refused.body["message"].as_str().is_some_and(|text| text.contains("secondary rate limit")));
    bench.wait(61);
    assert_eq!(send(&bench, "POST", "/repos/acme/app/issues/1/comments", json!({"body": "hi"})).status, 201);
}

#[test]
fn what_is_wrong_with_an_issue_or_comment_is_a_422() {
    let bench = bench();
    open(&bench, "A");
    let issues = "/repos/acme/app/issues";
    let long = "x".repeat(65_537);
    for (path, body, field) in [
        (issues, json!({"body": "no title"}), "title"),
        (issues, json!({"title": "x".repeat(257)}), "title"),
        (issues, json!({"title": "A", "body": long}), "body"),
        (issues, json!({"title": "A", "state_reason": "tired"}), "state_reason"),
        ("/repos/acme/app/issues/1/comments", json!({"body": long}), "data"),
        ("/repos/acme/app/issues/1/comments", json!({}), "body"),
        ("/repos/acme/app/labels", json!({"name": "bug"}), "name"),
        ("/repos/acme/app/labels", json!({"name": "x", "color": "red"}), "color"),
    ] {
        let got = send(&bench, "POST", path, body);
        assert_eq!((got.status, &got.body["errors"][0]["field"]), (422, &json!(field)), "{path} {field}");
        assert_eq!(got.body["message"], "Validation Failed");
    }
    assert_eq!(send(&bench, "POST", issues, json!([1])).status, 400);
    bench.world.github(|desk, _| desk.set_has_issues("acme/app", false));
    assert_eq!(send(&bench, "POST", issues, json!({"title": "A"})).status, 410);
}

#[test]
fn labels_are_added_replaced_and_removed() {
    let bench = bench();
    open(&bench, "A");
    let path = "/repos/acme/app/issues/1/labels";
    let names =
        |got: &Got| got.list().iter().filter_map(|label| label["name"].as_str().map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(
        names(&send(&bench, "POST", path, json!({"labels": ["bug", "new one"]}))),
        ["Bug", "new one"],
        "as the repository writes it"
    );
    assert_eq!(
        names(&send(&bench, "POST", path, json!({"labels": [{"name": "maybe", "suggest": true}]}))),
        ["Bug", "new one"]
    );
    assert_eq!(names(&with(&bench, "DELETE", &format!("{path}/new%20one"), &[], None)), ["Bug"]);
    assert_eq!(with(&bench, "DELETE", &format!("{path}/gone"), &[], None).status, 404);
    assert_eq!(names(&send(&bench, "PUT", path, json!({"labels": ["x"]}))), ["x"]);
    assert_eq!(with(&bench, "DELETE", path, &[], None).status, 204);
    assert_eq!(get(&bench, "/repos/acme/app/labels").list().len(), 3);
}

#[test]
fn moved_and_deleted_things_say_so() {
    let bench = bench();
    bench.world.github(|desk, cx| desk.create_repo("acme/other", cx));
    open(&bench, "A");
    open(&bench, "B");
    bench.world.github(|desk, cx| {
        desk.comment("acme/app", 1, "bob", "me too", cx);
        assert_eq!(desk.transfer_issue("acme/app", 1, "acme/other", "ann", cx), Some(1));
        assert!(desk.delete_issue("acme/app", 2, "ann", cx));
    });
    let moved = get(&bench, "/repos/acme/app/issues/1");
    assert_eq!(moved.status, 301);
    let there = get(&bench, moved.header("location"));
    assert_eq!((&there.body["title"], &there.body["comments"]), (&json!("A"), &json!(1)));
    assert_eq!(get(&bench, "/repos/acme/app/issues/2").status, 410);
    assert_eq!(get(&bench, "/repos/acme/app/issues/77").status, 404);
    assert!(get(&bench, "/repos/acme/app/issues?state=all").list().is_empty());

    bench.world.github(|desk, cx| assert!(desk.rename_repo("acme/other", "acme/renamed", cx)));
    let renamed = get(&bench, "/repos/acme/other/issues?state=all");
    assert_eq!(renamed.status, 301);
    assert_eq!(get(&bench, renamed.header("location")).list().len(), 1);
    assert_eq!(send(&bench, "POST", "/repos/acme/other/issues", json!({"title": "C"})).status, 307);
    assert_eq!(get(&bench, "/repos/acme/renamed").status, 200);
}

#[test]
fn comments_are_listed_by_repository_and_by_issue() {
    let bench = bench();
    open(&bench, "A");
    open(&bench, "B");
    for number in [1, 2, 1] {
        bench.wait(5);
        send(&bench, "POST", &format!("/repos/acme/app/issues/{number}/comments"), json!({"body": "key-42"}));
    }
    assert_eq!(get(&bench, "/repos/acme/app/issues/comments").list().len(), 3);
    let mine = get(&bench, "/repos/acme/app/issues/1/comments");
    assert_eq!(mine.list().len(), 2);
    let comment = mine.list()[0]["id"].clone();
    bench.wait(5);
    assert_eq!(
        send(&bench, "PATCH", &format!("/repos/acme/app/issues/comments/{comment}"), json!({"body": "key-43"})).status,
        200
    );
    let latest = get(&bench, "/repos/acme/app/issues/comments?sort=updated&direction=desc&per_page=1");
    assert_eq!(latest.list()[0]["id"], comment);
    bench.world.github(|desk, _| {
        assert_eq!(desk.comments_containing("key-42"), 2);
        assert_eq!(desk.comments("acme/app", 1).count(), 2);
    });
}

#[test]
fn webhooks_are_signed_logged_and_sent_again_only_when_asked() {
    let bench = bench();
    let hook = bench
        .world
        .github(|desk, cx| desk.set_webhook("acme/app", "http://127.0.0.1:1/", "It's a Secret", cx))
        .expect("set");
    assert_eq!(bench.webhooks()[0].headers["x-github-event"], "ping");
    open(&bench, "A");
    let sent = bench.world.due_webhooks();
    let actions: Vec<_> = sent.iter().map(|outgoing| body(outgoing)["action"].clone()).collect();
    assert_eq!(actions, ["opened", "labeled"]);
    let opened = &sent[0];
    let signature = crate::wire::hmac::<hmac::Hmac<sha2::Sha256>>("It's a Secret", &opened.body);
    assert_eq!(opened.headers["x-hub-signature-256"], format!("sha256={signature}"));
    for key in ["action", "issue", "repository", "sender"] {
        assert!(body(opened).get(key).is_some(), "{key}");
    }
    bench.world.delivered(opened.clone(), Some(500));
    bench.world.delivered(sent[1].clone(), Some(200));
    bench.wait(7200);
    assert!(bench.world.due_webhooks().is_empty(), "no retry");

    let path = format!("/repos/acme/app/hooks/{hook}/deliveries");
    let failed = get(&bench, &format!("{path}?status=failure"));
    assert_eq!(failed.list().len(), 1);
    assert_eq!(failed.list()[0]["guid"], opened.headers["x-github-delivery"].to_str().expect("text"));
    assert_eq!(send(&bench, "POST", &format!("{path}/{}/attempts", failed.list()[0]["id"]), json!({})).status, 202);
    let again = bench.webhooks();
    assert_eq!(again[0].headers["x-github-delivery"], opened.headers["x-github-delivery"]);
    assert_eq!(again[0].body, opened.body);
    let page = get(&bench, &format!("{path}?per_page=1"));
    assert_eq!(page.list()[0]["redelivery"], true);
    assert!(page.next().is_some_and(|next| next.contains("cursor=")));
    bench.wait(4 * 86_400);
    assert!(get(&bench, &path).list().is_empty(), "three days");
}

#[test]
fn every_change_of_people_fires_its_event() {
    let bench = bench();
    open(&bench, "A");
    bench.world.github(|desk, cx| desk.set_webhook("acme/app", "http://127.0.0.1:1/", "s", cx));
    bench.webhooks();
    let heard = |bench: &Bench| {
        bench
            .webhooks()
            .iter()
            .map(|outgoing| body(outgoing)["action"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    bench.world.github(|desk, cx| {
        desk.edit_issue(
            "acme/app",
            1,
            super::Edit { title: Some("A2".to_owned()), ..super::Edit::default() },
            "ann",
            cx,
        );
        desk.close_issue("acme/app", 1, "ann", cx);
        desk.close_issue("acme/app", 1, "ann", cx);
        desk.reopen_issue("acme/app", 1, "ann", cx);
        desk.label_issue("acme/app", 1, &["new"], "ann", cx);
        let comment = desk.comment("acme/app", 1, "ann", "x", cx).expect("there");
        desk.edit_comment("acme/app", comment, "y", "ann", cx);
        desk.delete_comment("acme/app", comment, "ann", cx);
        desk.delete_issue("acme/app", 1, "ann", cx);
    });
    assert_eq!(
        heard(&bench),
        ["edited", "closed", "reopened", "labeled", "unlabeled", "created", "edited", "deleted", "deleted"]
    );
}

const JWT: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3ODk5OTk5NDAsImV4cCI6MTc5MDAwMDU0MCwiaXNzIjoiSXYyM3NhbmRib3gifQ.D-KjnR1b9RbBCUhjhAZWySokFt5E3Sw9kZJMUrsyqgU9pEmms5pCE27MG4jv43cFe1nALLg40BwY29b-CA8OrEKa-PzkBjx9fHPlEELWMJpIhl5N5Hig2RV52lq2lU7Z3v-KwTkPPBbRBbjZb_PB0zgXsjtxngqVh_SyIGjYhVoXDC_gAo6AdK_Q-olUVMcosa3XflnSLCl1iI9TGP5nwQaHMlu3gT4Z2UddqAXckOOe9GydqHEQ7ux-vqPfEcUhP38bD7TMUx2qrYuQM9ifGqXQX6YBwJ_hVrDzj0d8sXh1Dx0Se1Pc29S-r1bN4wAy5S0SSVERc6VUph8o4oggRA";
const SPKI: &str = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuCbql+LrTcdS5qIEq5Xn\n9p1z5woCf8GIAlxFSigRNozH3h4j0ZOTDSwzvTvrzDNpCfrxWR8dmVMXTky70qOb\nbVh+AIb8diA4dHNwfoBCNZjcHM7S78q7zG/37MtGIEW0ulgC3i+02S00NqXTUnlh\nPU/B3WGC8irhmz8XxoWzpLKYDc2KLf1V9+Lodr31hZJHHaOTZG6zErfOyp1uilX1\nXZArw3xq6H3fGzsB6/3MZdiqVL6UkUD4z31LiqEyFJ7AbeUe2HV//xsXm9Fa/3PK\nuFmbQKOscudF/oZH8/WNZDHyhdiTLUB+2ef2AKZ8li0m+r0r4ZlClZBatVWEqR1J\niwIDAQAB\n-----END PUBLIC KEY-----";
const PKCS1: &str = "-----BEGIN RSA PUBLIC KEY-----\nMIIBCgKCAQEAuCbql+LrTcdS5qIEq5Xn9p1z5woCf8GIAlxFSigRNozH3h4j0ZOT\nDSwzvTvrzDNpCfrxWR8dmVMXTky70qObbVh+AIb8diA4dHNwfoBCNZjcHM7S78q7\nzG/37MtGIEW0ulgC3i+02S00NqXTUnlhPU/B3WGC8irhmz8XxoWzpLKYDc2KLf1V\n9+Lodr31hZJHHaOTZG6zErfOyp1uilX1XZArw3xq6H3fGzsB6/3MZdiqVL6UkUD4\nz31LiqEyFJ7AbeUe2HV//xsXm9Fa/3PKuFmbQKOscudF/oZH8/WNZDHyhdiTLUB+\n2ef2AKZ8li0m+r0r4ZlClZBatVWEqR1JiwIDAQAB\n-----END RSA PUBLIC KEY-----";

#[test]
fn an_app_buys_a_token_for_an_hour() {
    let bench = bench();
    let mint = |jwt: &str| {
        let headers = [("authorization", format!("Bearer {jwt}")), ("user-agent", "t".to_owned())];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        bench.call(Vendor::GitHub, "POST", "/app/installations/42/access_tokens", &headers, None)
    };
    assert_eq!(mint(JWT).status, 401, "no app is registered");
    for key in [SPKI, PKCS1] {
        assert!(bench.world.github(|desk, _| desk.register_app(7, "Iv23sandbox", 42, Some(key))));
        assert_eq!(mint(JWT).status, 201);
    }
    assert_eq!(mint(&JWT[..JWT.len() - 6]).status, 401, "a signature that is cut short");
    assert_eq!(mint("ghp_sandbox").status, 401);
    let minted = mint(JWT);
    let token = minted.body["token"].as_str().expect("a token").to_owned();
    assert!(token.starts_with("ghs_7_") && token.len() > 40);
    let expires = DateTime::parse_from_rfc3339(minted.body["expires_at"].as_str().expect("a time")).expect("RFC 3339");
    assert_eq!(expires.timestamp(), 1_790_003_600);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("user-agent", "t")];
    let list = || bench.call(Vendor::GitHub, "GET", "/repos/acme/app/issues", &headers, None).status;
    assert_eq!(list(), 200);
    bench.wait(3600);
    assert_eq!(list(), 401);
    assert_eq!(mint(JWT).status, 401, "the JWT is over, too");
}

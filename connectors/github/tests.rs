//! GitHub against a script: what each answer means, and where the position goes. Stateful stories are in the contract
//! tests, against the sandbox.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::client::next_link;
use super::{GitHub, open};
use crate::testing::{Script, StillClock, outside};
use crate::{Connector, Cursor, Fault, Key, Next, Page, Refusal, Request, Secrets, Shape, Source, Webhook};

const PEM: &str = include_str!("fixtures/app_key_for_tests_only.pem");
const PUBLIC: &str = include_str!("fixtures/app_public_key_for_tests_only.pem");

fn secrets(all: &[(&str, &str)]) -> Secrets {
    all.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect()
}

pub(super) fn github_with(more: &Value) -> (GitHub, Arc<Script>, Arc<StillClock>) {
    let (script, clock, outside) = outside();
    let mut settings = json!({"repos": ["acme/widgets"], "base_url": "https://gh.example/api/v3"});
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    let secrets = secrets(&[("token", "t"), ("app_private_key", PEM), ("webhook_secret", "hook")]);
    let github = open(&settings, &secrets, &outside).expect("it opens");
    clock.warm_up();
    (github, script, clock)
}

pub(super) fn github() -> (GitHub, Arc<Script>, Arc<StillClock>) {
    github_with(&json!({}))
}

pub(super) fn issue(number: u64, updated_at: &str) -> Value {
    json!({"number": number, "title": "t", "updated_at": updated_at, "html_url": format!("https://github.example/acme/widgets/issues/{number}"),
           "labels": [{"name": "b"}, "a", {"name": "A"}], "state": "open", "body": null, "user": null, "created_at": updated_at})
}

fn repo(name: &str) -> Value {
    json!({"id": 7, "full_name": name, "owner": {"id": 3, "login": "acme"}, "has_issues": true, "permissions": {"push": true}})
}

fn ids(page: &Page) -> Vec<&str> {
    page.records.iter().map(|record| record.key.id.as_str()).collect()
}

fn cursor(page: &Page) -> (bool, Cursor) {
    match &page.next {
        Next::More(cursor) => (true, cursor.clone()),
        Next::CaughtUp(cursor) => (false, cursor.clone()),
    }
}

#[test]
fn settings_say_what_is_wrong() {
    let (_, _, outside) = outside();
    let all = secrets(&[("token", "t")]);
    for (settings, secrets, key) in [
        (json!({}), &all, "repos"),
        (json!({"repos": []}), &all, "repos"),
        (json!({"repos": ["acme"]}), &all, "repos"),
        (json!({"repos": ["a/b", "A/B"]}), &all, "repos"),
        (json!({"repos": ["a/.."]}), &all, "repos"),
        (json!({"repos": ["a/b"], "repo": 1}), &all, "repo"),
        (json!({"repos": ["a/b"], "base_url": "gh.example"}), &all, "base_url"),
        (json!({"repos": ["a/b"]}), &Secrets::new(), "token"),
        (json!({"repos": ["a/b"], "app": {"client_id": "c", "installation_id": 1}}), &all, "app_private_key"),
        (
            json!({"repos": ["a/b"], "app": {"client_id": "c", "installation_id": 1}}),
            &secrets(&[("app_private_key", "no")]),
            "app_private_key",
        ),
    ] {
        let error = open(&settings, secrets, &outside).err().expect("it is wrong");
        assert_eq!(error.key.as_deref(), Some(key), "{error}");
    }
}

#[test]
fn links_are_read_whatever_else_they_hold() {
    let header = r#"<https://h.example/a?labels=x,y&page=1>; rel="prev", <https://h.example/a?after=Y,3D&page=3>; rel="next", <https://h.example/l>; rel="last""#;
    assert_eq!(next_link(header), Some("https://h.example/a?after=Y,3D&page=3"));
    assert_eq!(next_link("<https://h.example/l>; rel=\"last\""), None);
    assert_eq!(next_link("<https://h.example/n>; foo=1; rel=next"), Some("https://h.example/n"));
    assert_eq!(next_link("garbage"), None);
}

#[tokio::test]
async fn a_pass_follows_the_links_and_moves_the_watermark_at_its_end() {
    let (github, script, _) = github();
    let mut pull_request = issue(2, "2026-11-22T10:00:01Z");
    pull_request["pull_request"] = json!({});
    let odd = json!({"title": "no number"});
    let page = json!([issue(1, "2026-11-22T10:00:00Z"), pull_request, odd, 17]);
    let link = r#"<https://gh.example/api/v3/repositories/7/issues?after=abc>; rel="next""#;
    script.answer_with(200, &[("link", link), ("etag", "\"one\"")], &page);
    script.answer(200, &json!([issue(3, "2026-11-22T10:00:09Z"), issue(4, "2099-01-01T00:00:00Z")]));
    let first = github.pull("issues:acme/widgets", None).await.expect("a page");
    assert_eq!(ids(&first), ["acme/widgets#1"]);
    let (more, at) = cursor(&first);
    assert!(more && at.0["watermark"].is_null(), "{at:?}");
    let last = github.pull("issues:acme/widgets", Some(&at)).await.expect("a page");
    assert_eq!(ids(&last), ["acme/widgets#3", "acme/widgets#4"]);
    let (more, at) = cursor(&last);
    assert!(!more);
    // Never past the present, whatever a record claims.
    assert_eq!(at.0["watermark"], "2026-11-23T08:00:00Z");
    assert_eq!(
        script.lines(),
        [
            "GET /api/v3/repos/acme/widgets/issues?state=all&sort=updated&direction=asc&per_page=100",
            "GET /api/v3/repositories/7/issues?after=abc",
        ]
    );
    let record = &first.records[0];
    assert_eq!(record.url.as_deref(), Some("https://github.example/acme/widgets/issues/1"));
    assert_eq!(record.body.as_ref().map(|body| &body["title"]), Some(&json!("t")));
    assert_eq!(record.version.map(|version| version.0), Some(1_795_341_600_000));
}

#[tokio::test]
async fn an_unchanged_page_costs_nothing_and_moves_nothing() {
    let (github, script, _) = github_with(&json!({"start": "2026-11-20"}));
    script.answer_with(200, &[("etag", "\"one\"")], &json!([issue(1, "2026-11-22T10:00:00Z")]));
    script.answer_with(200, &[("etag", "\"two\"")], &json!([issue(1, "2026-11-22T10:00:00Z")]));
    script.answer(304, &Value::Null);
    let mut at = None;
    for _ in 0..3 {
        let page = github.pull("issues:acme/widgets", at.as_ref()).await.expect("a page");
        at = Some(cursor(&page).1);
    }
    let asked = script.take_asked();
    let tags: Vec<_> = asked
        .iter()
        .map(|request| request.headers().get("if-none-match").map(|tag| tag.to_str().expect("text")))
        .collect();
    // The first pass asked for another `since` than the second, so its ETag was for another list.
    assert_eq!(tags, [None, None, Some("\"two\"")]);
    assert!(asked[1].uri().query().expect("a query").ends_with("since=2026-11-22T09%3A58%3A00Z"), "{}", asked[1].uri());
    assert_eq!(at.expect("a cursor").0["watermark"], "2026-11-22T10:00:00Z");
}

#[tokio::test]
async fn no_etag_is_kept_of_a_page_that_news_might_not_change() {
    let link = r#"<https://gh.example/api/v3/repositories/7/issues?page=2>; rel="next""#;
    let (old, new) = (issue(1, "2026-11-22T10:00:00Z"), issue(2, "2026-11-23T08:00:00Z"));
    for (why, head, items) in [
        ("of this very second, where the order is not told", [("etag", "\"a\""), ("x-none", "")], json!([new, old])),
        ("not all", [("etag", "\"a\""), ("link", link)], json!([old])),
        ("all new: a page before it may be unsaid", [("etag", "\"a\""), ("x-none", "")], json!([new])),
    ] {
        let (github, script, _) = github_with(&json!({"start": "2026-11-20"}));
        script.answer(200, &json!([old]));
        script.answer_with(200, &head, &items);
        let (_, at) = cursor(&github.pull("issues:acme/widgets", None).await.expect("a page"));
        let (_, at) = cursor(&github.pull("issues:acme/widgets", Some(&at)).await.expect("a page"));
        assert!(script.lines()[1].contains("direction=desc"), "{why}");
        assert_eq!(at.0.get("etag"), None, "{why}");
    }
}

#[tokio::test]
async fn after_a_long_pass_the_next_begins_where_it_began() {
    let (github, script, _) = github();
    let at = |second: &str| [("date", format!("Mon, 23 Nov 2026 07:00:{second} GMT"))];
    let link = r#"<https://gh.example/api/v3/repositories/7/issues?page=2>; rel="next""#;
    let (first, second) = (at("00"), at("09"));
    script.answer_with(200, &[("link", link), ("date", &first[0].1)], &json!([issue(1, "2026-11-22T10:00:00Z")]));
    script.answer_with(200, &[("date", &second[0].1)], &json!([issue(2, "2026-11-22T11:00:00Z")]));
    let (_, next) = cursor(&github.pull("issues:acme/widgets", None).await.expect("a page"));
    let (more, next) = cursor(&github.pull("issues:acme/widgets", Some(&next)).await.expect("a page"));
    assert!(!more);
    assert_eq!(next.0, json!({"watermark": "2026-11-23T07:00:00Z"}));
}

#[tokio::test]
async fn a_dead_link_begins_again_from_what_was_seen() {
    let (github, script, _) = github();
    let at = Cursor(
        json!({"watermark": "2026-11-01T00:00:00Z", "next": "/repositories/7/issues?page=11", "seen_max": "2026-11-20T00:00:00Z"}),
    );
    let capped = json!({"message": "Pagination with the page parameter is not supported for large datasets"});
    script.answer(422, &capped);
    let (more, at) = cursor(&github.pull("issues:acme/widgets", Some(&at)).await.expect("a page"));
    assert!(more);
    assert_eq!(at.0["watermark"], "2026-11-20T00:00:00Z");
    // Without progress it must not spin.
    let stuck = Cursor(json!({"watermark": "2026-11-20T00:00:00Z", "next": "/x", "seen_max": "2026-11-20T00:00:00Z"}));
    script.answer(422, &capped);
    assert!(matches!(github.pull("issues:acme/widgets", Some(&stuck)).await, Err(Fault::Later { .. })));
}

#[tokio::test]
async fn comments_name_their_issue_and_those_on_pull_requests_stay_out() {
    let (github, script, _) = github();
    let comment = |id: u64, kind: &str| {
        json!({"id": id, "html_url": format!("https://github.example/acme/widgets/{kind}/5#issuecomment-{id}"),
        "issue_url": "https://gh.example/api/v3/repos/acme/widgets/issues/5", "updated_at": "2026-11-22T10:00:00Z"})
    };
    script.answer(200, &json!([comment(1, "issues"), comment(2, "pull")]));
    let page = github.pull("comments:acme/widgets", None).await.expect("a page");
    assert_eq!(ids(&page), ["acme/widgets/comments/1"]);
    assert_eq!(page.records[0].body.as_ref().map(|body| &body["issue_key"]), Some(&json!("acme/widgets#5")));
    assert_eq!(
        script.lines(),
        ["GET /api/v3/repos/acme/widgets/issues/comments?sort=updated&direction=asc&per_page=100"]
    );
    script.answer(200, &comment(1, "issues"));
    assert!(github.fetch(&page.records[0].key).await.expect("found").is_some_and(|record| record.body.is_some()));
}

#[tokio::test]
async fn missing_is_gone_only_while_the_repository_is_in_sight() {
    let key = Key::new("issue", "acme/widgets#9");
    let (github, script, _) = github();
    script.answer(404, &json!({"message": "Not Found"}));
    script.answer(200, &repo("acme/widgets"));
    assert_eq!(github.fetch(&key).await.expect("known").expect("ours").body, None);
    let (github, script, _) = self::github();
    for _ in 0..3 {
        script.answer(404, &json!({"message": "Not Found"}));
    }
    assert!(matches!(github.fetch(&key).await, Err(Fault::Locked { .. })));
    let (github, script, _) = self::github();
    let mut off = repo("acme/widgets");
    off["has_issues"] = json!(false);
    script.answer(410, &json!({"message": "Issues are disabled for this repo"}));
    script.answer(200, &off);
    assert!(matches!(github.fetch(&key).await, Err(Fault::Locked { .. })));
    assert_eq!(github.fetch(&Key::new("issue", "other/repo#9")).await, Ok(None));
    assert_eq!(github.fetch(&Key::new("issue", "nonsense")).await, Ok(None));
}

#[tokio::test]
async fn a_renamed_repository_keeps_its_handle_and_a_transferred_issue_is_gone() {
    let (github, script, _) = github();
    let elsewhere = [("location", "https://gh.example/api/v3/repositories/7/issues/9")];
    let moved = json!({"message": "Moved Permanently"});
    script.answer_with(301, &elsewhere, &moved);
    script.answer_with(301, &[("location", "https://gh.example/api/v3/repositories/7")], &moved);
    script.answer(200, &repo("acme/gadgets"));
    script.answer(200, &issue(9, "2026-11-22T10:00:00Z"));
    let record = github.fetch(&Key::new("issue", "acme/widgets#9")).await.expect("found").expect("ours");
    assert_eq!((record.key.id.as_str(), record.body.is_some()), ("acme/widgets#9", true));
    assert_eq!(script.lines().last().map(String::as_str), Some("GET /api/v3/repos/acme/gadgets/issues/9"));
    script.answer_with(301, &elsewhere, &moved);
    script.answer(200, &repo("acme/gadgets"));
    let record = github.fetch(&Key::new("issue", "acme/widgets#9")).await.expect("found").expect("ours");
    assert_eq!(record.body, None);
    let binding = github.client.repos.binding();
    assert_eq!(binding, json!({"repos": {"7": "acme/widgets"}, "renamed": {"acme/widgets": "acme/gadgets"}}));
}

#[tokio::test]
async fn throttling_closes_the_gate_for_all() {
    for (status, headers, body, wait) in [
        (403, vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795420810")], "x", 11),
        (429, vec![("retry-after", "7")], "x", 7),
        (403, vec![], "You have exceeded a secondary rate limit", 60),
    ] {
        let (github, script, _) = github();
        script.answer_with(status, &headers, &json!({ "message": body }));
        let fault = github.pull("issues:acme/widgets", None).await.expect_err("throttled");
        assert!(
            matches!(&fault, Fault::Later { after: Some(after), .. } if *after == Duration::from_secs(wait)),
            "{fault:?}"
        );
        assert!(matches!(github.pull("issues:acme/widgets", None).await, Err(Fault::Later { .. })));
        assert_eq!(github.meter().throttled, 1);
        assert_eq!(script.lines().len(), 1);
    }
}

#[tokio::test]
async fn an_app_signs_in_and_renews_a_token_that_was_revoked() {
    let app = json!({"app": {"client_id": "Iv23abc", "installation_id": 42}});
    let (github, script, clock) = github_with(&app);
    let minted = |token: &str| json!({"token": token, "expires_at": "2026-11-23T09:00:00Z"});
    script.answer(201, &minted("one"));
    script.answer(401, &json!({"message": "Bad credentials"}));
    script.answer(201, &minted("two"));
    script.answer(200, &json!([]));
    script.answer(200, &json!([]));
    github.pull("issues:acme/widgets", None).await.expect("a page");
    github.pull("issues:acme/widgets", None).await.expect("a page");
    let asked = script.take_asked();
    assert_eq!(asked[0].uri().path(), "/api/v3/app/installations/42/access_tokens");
    let token = asked[0].headers()["authorization"]
        .to_str()
        .expect("text")
        .strip_prefix("Bearer ")
        .expect("a bearer")
        .to_owned();
    let key = jsonwebtoken::DecodingKey::from_rsa_pem(PUBLIC.as_bytes()).expect("a key");
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    rules.validate_exp = false;
    let claims = jsonwebtoken::decode::<Value>(&token, &key, &rules).expect("our signature").claims;
    assert_eq!(claims, json!({"iss": "Iv23abc", "iat": 1_795_420_740, "exp": 1_795_421_340}));
    let bearers: Vec<_> = asked
        .iter()
        .skip(1)
        .map(|request| request.headers()["authorization"].to_str().expect("text").to_owned())
        .collect();
    assert_eq!(bearers[0], "Bearer one");
    assert_eq!(bearers[2..], ["Bearer two", "Bearer two"]);
    clock.advance(59 * 60 + 1);
    script.answer(201, &minted("three"));
    script.answer(200, &json!([]));
    github.pull("issues:acme/widgets", None).await.expect("a page");
    assert_eq!(script.lines()[0], "POST /api/v3/app/installations/42/access_tokens");
}

fn deliver(github: &GitHub, headers: &[(&str, &str)], body: &str) -> Result<crate::Delivery, Refusal> {
    use hmac::{Hmac, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"hook").expect("any key");
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut all = HeaderMap::new();
    all.insert("x-hub-signature-256", HeaderValue::from_str(&format!("sha256={hex}")).expect("text"));
    for (name, value) in headers {
        all.insert(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_str(value).expect("text"),
        );
    }
    github.open(Request { headers: &all, body: body.as_bytes() }, chrono::DateTime::UNIX_EPOCH)
}

#[test]
fn webhooks_are_verified_then_read() {
    let (github, _, _) = github();
    let head = |event| [("x-github-event", event), ("x-github-delivery", "g-1"), ("content-type", "application/json")];
    let payload = |action: &str| {
        json!({"action": action, "issue": issue(4, "2026-11-22T10:00:00Z"), "repository": repo("Acme/Widgets"),
        "comment": {"id": 8, "issue_url": "https://gh.example/repos/x/y/issues/4", "body": "Me too", "user": null,
            "html_url": "https://gh.example/x/y/issues/4#issuecomment-8", "created_at": "2026-11-22T10:00:00Z",
            "updated_at": "2026-11-22T10:00:00Z"}})
    };
    let opened = deliver(&github, &head("issues"), &payload("opened").to_string()).expect("ours");
    assert_eq!((opened.id.as_str(), opened.records[0].key.id.as_str()), ("g-1", "acme/widgets#4"));
    let deleted = deliver(&github, &head("issues"), &payload("deleted").to_string()).expect("ours");
    assert_eq!(deleted.records[0].body, None);
    let comment = deliver(&github, &head("issue_comment"), &payload("created").to_string()).expect("ours");
    assert_eq!(
        comment.records.iter().map(|record| record.key.id.as_str()).collect::<Vec<_>>(),
        ["acme/widgets#4", "acme/widgets/comments/8"]
    );
    // What lacks some of what GitHub always sends is fetched, and not believed.
    for lacking in ["title", "body", "labels", "user", "updated_at"] {
        let mut part = payload("edited");
        part["issue"].as_object_mut().expect("an object").remove(lacking);
        let told = deliver(&github, &head("issues"), &part.to_string()).expect("ours");
        assert_eq!((told.records.len(), told.fetch[0].id.as_str()), (0, "acme/widgets#4"), "{lacking}");
    }
    let mut part = payload("created");
    part["comment"].as_object_mut().expect("an object").remove("body");
    let told = deliver(&github, &head("issue_comment"), &part.to_string()).expect("ours");
    assert_eq!((told.records.len(), told.fetch[0].id.as_str()), (1, "acme/widgets/comments/8"));
    for (event, body) in [
        ("issues", payload("frobnicated")),
        ("star", payload("created")),
        ("ping", json!({"zen": "z"})),
        (
            "issues",
            json!({"action": "opened", "issue": issue(4, "x"), "repository": {"id": 1, "full_name": "other/repo"}}),
        ),
        (
            "issue_comment",
            json!({"action": "created", "issue": {"number": 1, "pull_request": {}}, "comment": {"id": 1}, "repository": repo("acme/widgets")}),
        ),
    ] {
        let delivery = deliver(&github, &head(event), &body.to_string()).expect("let in");
        assert!(delivery.records.is_empty(), "{event}");
    }
    let form: String = payload("opened").to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let form = format!("a=b&payload={form}");
    let mut headers = head("issues");
    headers[2].1 = "application/x-www-form-urlencoded";
    assert_eq!(deliver(&github, &headers, &form).expect("ours").records.len(), 1);
    headers[2].1 = "text/plain";
    assert_eq!(deliver(&github, &headers, "{}").expect_err("refused"), Refusal::ContentType);
    for body in
        ["", "{", "[1]", "\"text\"", "7", r#"{"action":"opened","repository":{"full_name":"acme/widgets"},"issue":7}"#]
    {
        let told = deliver(&github, &head("issues"), body);
        assert!(told.as_ref().is_err_and(|refusal| refusal.status() == 400), "{body}: {told:?}");
    }
    let forged = [("x-hub-signature-256", "sha256=00"), ("x-github-event", "issues")];
    assert_eq!(deliver(&github, &forged, "{}").expect_err("refused").status(), 401);
}

#[tokio::test]
async fn attach_binds_by_number_and_survives_a_taken_name() {
    let (github, script, _) = github_with(&json!({"repos": ["acme/widgets", "acme/lost"]}));
    let known = json!({"repos": {"7": "acme/widgets", "99": "no/longer"}});
    let mut other = repo("acme/widgets");
    other["id"] = json!(8);
    script.answer(200, &other);
    script.answer(200, &repo("acme/new-name"));
    script.answer(404, &json!({"message": "Not Found"}));
    script.answer(404, &json!({"message": "Not Found"}));
    let binding = github.attach(&Shape::default(), None, Some(&known)).await.expect("one of them is there");
    assert_eq!(binding, json!({"repos": {"7": "acme/widgets"}, "renamed": {"acme/widgets": "acme/new-name"}}));
}

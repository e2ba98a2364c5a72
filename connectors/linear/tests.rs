mod back;
mod strangers;

use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use super::operations::document;
use super::*;
use crate::testing::{Script, StillClock, outside};
use crate::{CollectionShape, Cursor, FieldShape, Key, Next, Receipt, Refusal, Request, TagChange, Write, Written};

const ALL: &str = include_str!("operations.graphql");
const ID: &str = "4f0c1a52-0f55-4d9e-9a52-3b1a7c1e2d3f";

fn secrets() -> Secrets {
    Secrets::from([
        ("token".into(), SecretString::from("lin_api_invented")),
        ("webhook_secret".into(), SecretString::from("whsec")),
    ])
}

fn linear() -> (Linear, Arc<Script>, Arc<StillClock>) {
    let (script, clock, outside) = outside();
    (open(&json!({ "team": "ENG" }), &secrets(), &outside).expect("opens"), script, clock)
}

fn attach_answer() -> Value {
    json!({ "data": {
        "viewer": { "id": "me", "name": "Loopd" },
        "organization": { "id": "org", "name": "Acme", "urlKey": "acme" },
        "teams": { "nodes": [{ "id": "team-1", "key": "ENG", "name": "Engineering" }] },
    }})
}

fn labels_answer() -> Value {
    json!({ "data": { "issueLabels": { "nodes": [
        { "id": "lab-w", "name": "Bug", "isGroup": false, "team": null },
        { "id": "lab-t", "name": "Bug", "isGroup": false, "team": { "id": "team-1" } },
        { "id": "lab-f", "name": "Feedback", "isGroup": false, "team": null },
        { "id": "lab-g", "name": "Area", "isGroup": true, "team": null },
        { "id": "lab-x", "name": "Foreign", "isGroup": false, "team": { "id": "team-2" } },
        null,
    ], "pageInfo": { "hasNextPage": false } } } })
}

fn shape(collections: &[&str]) -> Shape {
    let labels = FieldShape {
        name: "labels".into(),
        kind: FieldKind::Tags,
        options: vec!["Bug".into(), "Churn".into()],
        links_to: None,
        description: String::new(),
    };
    Shape {
        collections: collections
            .iter()
            .map(|name| CollectionShape {
                name: (*name).into(),
                key: None,
                fields: if *name == ISSUE { vec![labels.clone()] } else { Vec::new() },
            })
            .collect(),
    }
}

async fn attached() -> (Linear, Arc<Script>, Arc<StillClock>) {
    let (linear, script, clock) = linear();
    script.answer(200, &attach_answer());
    script.answer(200, &labels_answer());
    linear.attach(&shape(&[ISSUE]), None, None).await.expect("attaches");
    script.take_asked();
    (linear, script, clock)
}

fn issue(title: &str) -> Value {
    json!({
        "id": ID, "identifier": "ENG-1", "url": "https://linear.app/acme/issue/ENG-1", "title": title, "description": "Text",
        "priority": 2.0, "createdAt": "2026-11-23T08:00:00.000Z", "updatedAt": "2026-11-23T08:00:01.000Z", "archivedAt": null, "trashed": null,
        "team": { "id": "team-1", "key": "ENG" }, "state": { "id": "s", "name": "Todo", "type": "unstarted" },
        "labels": { "nodes": [{ "id": "lab-t", "name": "Bug" }] },
    })
}

fn write(target: Option<&str>, fields: &Value, add: &[&str], remove: &[&str]) -> Write {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let change = TagChange { add: names(add), remove: names(remove) };
    Write {
        external_id: ID.into(),
        target: target.map(String::from),
        fields: fields.as_object().cloned().unwrap_or_default(),
        tags: if add.is_empty() && remove.is_empty() {
            BTreeMap::new()
        } else {
            BTreeMap::from([("labels".into(), change)])
        },
    }
}

fn body(request: &::http::Request<bytes::Bytes>) -> Value {
    serde_json::from_slice(request.body()).expect("JSON")
}

fn error(code: &str, message: &str) -> Value {
    json!({ "data": null, "errors": [{ "message": message, "extensions": { "code": code, "userPresentableMessage": message } }] })
}

async fn one(linear: &Linear, collection: &str, write: Write) -> Result<Written, Fault> {
    linear.write(collection, &[write]).await.pop().expect("a verdict")
}

fn stored(verdict: Result<Written, Fault>) -> Receipt {
    match verdict {
        Ok(Written::Stored(receipt)) => receipt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_are_checked() {
    let (_, _, outside) = outside();
    let key = |settings: Value| open(&settings, &secrets(), &outside).err().and_then(|error| error.key);
    assert_eq!(key(json!({ "team": "ENG", "auth": "bearer" })), None);
    assert_eq!(key(json!({})), Some("team".into()));
    assert_eq!(key(json!({ "team": "two words" })), Some("team".into()));
    assert_eq!(key(json!({ "team": "ENG", "label_color": "red" })), Some("label_color".into()));
    assert_eq!(key(json!({ "team": "ENG", "tem": 1 })), Some("tem".into()));
}

#[tokio::test]
async fn a_key_goes_bare_and_a_token_as_bearer() {
    for (token, auth, expected) in [
        ("lin_api_x", "auto", "lin_api_x"),
        ("lin_oauth_x", "auto", "Bearer lin_oauth_x"),
        ("other", "key", "other"),
        ("lin_api_x", "bearer", "Bearer lin_api_x"),
    ] {
        let (script, _, outside) = outside();
        let secrets = Secrets::from([("token".into(), SecretString::from(token))]);
        let linear = open(&json!({ "team": "ENG", "auth": auth }), &secrets, &outside).expect("opens");
        script.answer(200, &attach_answer());
        let who = linear.probe().await.expect("answers");
        assert_eq!(who.account, "org");
        assert_eq!(script.take_asked()[0].headers()["authorization"], expected);
    }
}

#[test]
fn only_the_operation_and_its_fragments_are_sent() {
    let text = document(ALL, "IssueUpdateWithHistory");
    let begins = |keyword: &str| text.lines().filter(|line| line.starts_with(keyword)).collect::<Vec<_>>();
    assert_eq!(begins("mutation "), ["mutation IssueUpdateWithHistory($id: String!, $input: IssueUpdateInput!) {"]);
    assert_eq!(begins("fragment ").len(), 2, "{text}");
    assert!(begins("query ").is_empty());
    assert_eq!(document(ALL, "CustomersProbe").matches("fragment").count(), 0);
}

#[test]
fn values_have_one_spelling() {
    let (linear, ..) = linear();
    let cases = [
        ("title", json!("  two\n lines "), json!("two lines")),
        ("description", json!("\r\na\r\nb\n"), json!("a\nb")),
        ("priority", json!(2.0), json!(2)),
        ("priority", json!(0), Value::Null),
        ("labels", json!(["b", " a", "b"]), json!(["a", "b"])),
        ("labels", json!([]), Value::Null),
        ("url", json!(" https://x.example/1 "), json!("https://x.example/1")),
        ("state", json!(""), Value::Null),
    ];
    for (field, value, expected) in cases {
        let once = linear.canonical(ISSUE, field, value);
        assert_eq!(once, expected, "{field}");
        assert_eq!(linear.canonical(ISSUE, field, once), expected, "{field}, again");
    }
    let cut = linear.canonical(ISSUE, "title", json!("x".repeat(300)));
    assert_eq!(cut.as_str().map(|cut| cut.encode_utf16().count()), Some(255));
    let long = linear.canonical(ISSUE, "description", json!("x".repeat(60_000)));
    assert!(long.as_str().is_some_and(|long| long.ends_with("… [cut by loopd: 60000 characters]")));
    assert_eq!(linear.canonical(ISSUE, "description", long.clone()), long);
}

#[tokio::test]
async fn the_binding_holds_team_and_labels_and_outlives_a_new_key() {
    let (linear, script, _) = attached().await;
    let binding = linear.binding();
    assert_eq!(binding.labels, BTreeMap::from([("Bug".into(), "lab-t".into()), ("Feedback".into(), "lab-f".into())]));
    assert_eq!(binding.customers, None);
    let known = serde_json::to_value(&*binding).expect("JSON");
    script.answer(200, &attach_answer());
    script.answer(200, &labels_answer());
    script.answer(200, &error("FEATURE_NOT_ACCESSIBLE", "Feature not accessible"));
    let again = linear.attach(&shape(&[ISSUE, CUSTOMER]), None, Some(&known)).await.expect("attaches");
    assert_eq!(body(&script.take_asked()[0])["variables"], json!({ "team": { "id": { "eq": "team-1" } } }));
    assert_eq!(again["customers"], json!(false));
    let names: Vec<_> = linear.collections().into_iter().map(|collection| collection.name).collect();
    assert_eq!(names, [ISSUE, ATTACHMENT]);
    for _ in 0..3 {
        script.answer(200, &json!({ "data": { "teams": { "nodes": [] } } }));
    }
    assert!(
        matches!(linear.attach(&shape(&[ISSUE]), None, Some(&again)).await, Err(Fault::Locked { why }) if why.contains("ENG"))
    );
}

#[tokio::test]
async fn an_issue_is_made_with_our_own_id() {
    let (linear, script, _) = attached().await;
    script.answer(200, &json!({ "data": { "issueCreate": { "success": true, "issue": issue("Slow") } } }));
    let receipt = stored(
        one(
            &linear,
            ISSUE,
            write(None, &json!({ "title": "Slow", "priority": 2, "state": "started" }), &["bug", "Nope"], &[]),
        )
        .await,
    );
    let asked = body(&script.take_asked()[0]);
    assert_eq!(asked["operationName"], "IssueCreate");
    assert_eq!(
        asked["variables"],
        json!({ "input": { "id": ID, "teamId": "team-1", "title": "Slow", "priority": 2, "labelIds": ["lab-t"] } })
    );
    assert_eq!((receipt.id.as_str(), receipt.created), (ID, true));
    assert_eq!(
        Value::Object(receipt.fields),
        json!({
            "title": "Slow", "priority": 2, "labels": ["Bug"], "state": "unstarted", "state_name": "Todo", "identifier": "ENG-1",
            "url": "https://linear.app/acme/issue/ENG-1",
        })
    );
    assert_eq!(receipt.skipped.keys().collect::<Vec<_>>(), ["labels", "state"]);
    assert_eq!(receipt.version.map(|version| version.0), Some(1_795_420_801_000));
}

#[tokio::test]
async fn an_id_that_exists_is_success() {
    let (linear, script, clock) = attached().await;
    let conflict = json!({ "data": null, "errors": [{ "message": "conflict on insert of Issue", "extensions": {
        "code": "INPUT_ERROR", "statusCode": 400, "userError": true, "userPresentableMessage": format!("Entity Issue with id {ID} already exists.") } }] });
    script.answer(400, &conflict);
    script.answer_with(429, &[("retry-after", "5")], &Value::Null);
    let create = || write(None, &json!({ "title": "Slow" }), &[], &[]);
    assert!(matches!(one(&linear, ISSUE, create()).await, Err(Fault::Later { .. })));
    clock.advance(6);
    script.answer(200, &json!({ "data": { "issues": { "nodes": [issue("Slow, says a person")] } } }));
    let receipt = stored(one(&linear, ISSUE, create()).await);
    assert!(!receipt.created);
    assert_eq!(receipt.fields["title"], json!("Slow, says a person"));
    assert_eq!(receipt.fields["state"], json!("unstarted"), "whoever has moved it stands in its history");
    let names: Vec<_> = script.take_asked().iter().map(|request| body(request)["operationName"].clone()).collect();
    assert_eq!(names, ["IssueCreate", "Issues", "Issues"], "the conflict is not asked for again");
    // A replica that lags does not know it yet: that is no answer. What none knows for minutes is gone.
    script.answer(200, &conflict);
    let none = json!({ "data": { "issues": { "nodes": [] } } });
    script.answer(200, &none);
    assert!(matches!(one(&linear, ISSUE, create()).await, Err(Fault::Unknown { .. })));
    clock.advance(180);
    script.answer(200, &none);
    assert_eq!(one(&linear, ISSUE, create()).await, Ok(Written::Gone));
    // In the trash: gone, and not made again.
    script.answer(200, &conflict);
    let mut trashed = issue("Slow");
    trashed["trashed"] = json!(true);
    script.answer(200, &json!({ "data": { "issues": { "nodes": [trashed] } } }));
    assert_eq!(one(&linear, ISSUE, create()).await, Ok(Written::Gone));
}

#[tokio::test]
async fn an_update_sends_only_what_differs_and_tells_what_it_replaced() {
    let (linear, script, _) = attached().await;
    let mut answer = issue("New");
    answer["history"] = json!({ "nodes": [
        { "id": "h2", "createdAt": "2026-11-23T08:00:01.000Z", "actorId": "me", "fromTitle": "A person's", "toTitle": "New" },
        { "id": "h1", "createdAt": "2026-11-23T07:00:00.000Z", "actorId": "ann", "fromTitle": "Old", "toTitle": "A person's" },
    ]});
    script.answer(200, &json!({ "data": { "issueUpdate": { "success": true, "issue": answer } } }));
    let receipt = stored(
        one(&linear, ISSUE, write(Some(ID), &json!({ "title": "New", "description": null }), &["Feedback"], &["Bug"]))
            .await,
    );
    let asked = body(&script.take_asked()[0]);
    assert_eq!(
        asked["variables"],
        json!({ "id": ID, "input": { "title": "New", "description": "", "addedLabelIds": ["lab-f"], "removedLabelIds": ["lab-t"] } })
    );
    assert_eq!(Value::Object(receipt.replaced), json!({ "title": "A person's" }));
    // A server without history: asked again without, and nothing was done in between.
    script.answer(400, &error("GRAPHQL_VALIDATION_FAILED", "Cannot query field \"history\" on type \"Issue\"."));
    let update = || write(Some(ID), &json!({ "title": "New" }), &[], &[]);
    assert!(matches!(one(&linear, ISSUE, update()).await, Err(Fault::Later { .. })));
    script.answer(200, &json!({ "data": { "issueUpdate": { "success": true, "issue": issue("New") } } }));
    stored(one(&linear, ISSUE, update()).await);
    assert_eq!(body(&script.take_asked()[1])["operationName"], "IssueUpdate");
    // Nothing that can be written: no call.
    let receipt = stored(one(&linear, ISSUE, write(Some(ID), &json!({ "state": "completed" }), &[], &[])).await);
    assert!(receipt.skipped.contains_key("state") && script.take_asked().is_empty());
}

#[tokio::test]
async fn a_history_that_is_refused_is_done_without() {
    let refused = |code: &str| json!({ "data": null, "errors": [{ "message": "not on this plan", "path": ["issues", "nodes", 0, "history"], "extensions": { "code": code } }] });
    let read = json!({ "data": { "issues": { "nodes": [issue("One")], "pageInfo": { "hasNextPage": false } } } });
    for code in ["FEATURE_NOT_ACCESSIBLE", "FORBIDDEN", "INTERNAL_SERVER_ERROR"] {
        let (linear, script, _) = attached().await;
        script.take_asked();
        script.answer(200, &refused(code));
        script.answer(200, &read);
        script.answer(200, &read);
        let page = linear.pull("issues", None).await.unwrap_or_else(|fault| panic!("{code}: {fault}"));
        assert_eq!(page.records.len(), 1, "{code}");
        linear.pull("issues", None).await.expect("a page");
        let asked: Vec<_> = script.take_asked().iter().map(|request| body(request)["operationName"].clone()).collect();
        assert_eq!(asked, ["IssuesWithHistory", "Issues", "Issues"], "{code}");
    }
    // Too many is not that: history is asked for again.
    let (linear, script, _) = attached().await;
    script.answer(400, &refused("RATELIMITED"));
    assert!(matches!(linear.pull("issues", None).await, Err(Fault::Later { .. })));
    assert!(linear.has_history());
    // An update may be done although its answer could not be put together.
    let (linear, script, _) = attached().await;
    script.answer(200, &refused("FEATURE_NOT_ACCESSIBLE"));
    let verdict = one(&linear, "issue", write(Some(ID), &json!({ "title": "New" }), &[], &[])).await;
    assert!(matches!(verdict, Err(Fault::Unknown { .. })) && !linear.has_history(), "{verdict:?}");
}

#[tokio::test]
async fn refusals_become_decisions() {
    type Check = fn(&Result<Written, Fault>) -> bool;
    let locked: Check = |verdict| matches!(verdict, Err(Fault::Locked { .. }));
    let unknown: Check = |verdict| matches!(verdict, Err(Fault::Unknown { .. }));
    let later: Check = |verdict| matches!(verdict, Err(Fault::Later { .. }));
    let cases: [(u16, Value, Check); 13] = [
        (401, Value::Null, locked),
        (200, error("AUTHENTICATION_ERROR", "Authentication required"), locked),
        (403, error("FORBIDDEN", "no"), locked),
        (400, error("USAGE_LIMIT_EXCEEDED", "Usage limit exceeded"), locked),
        (200, error("INPUT_ERROR", "Entity not found: Team"), locked),
        (500, json!("<html>"), unknown),
        (502, error("INTERNAL_SERVER_ERROR", "oops"), unknown),
        (200, json!("<html>"), unknown),
        (200, json!({ "data": { "issueUpdate": { "success": false } } }), unknown),
        (400, error("RATELIMITED", "Rate limit exceeded"), later),
        (200, error("INPUT_ERROR", "Entity not found: IssueLabel"), later),
        (200, error("INPUT_ERROR", "Entity not found: Issue"), |verdict| *verdict == Ok(Written::Gone)),
        (
            400,
            json!({ "errors": [{ "message": "Argument Validation Error", "extensions": { "code": "INVALID_INPUT", "validationErrors": [{ "property": "title" }] } }] }),
            |verdict| matches!(verdict, Err(Fault::Rejected { field: Some(field), .. }) if field == "title"),
        ),
    ];
    for (status, answer, good) in cases {
        let (linear, script, _) = attached().await;
        script.answer(status, &answer);
        let verdict = one(&linear, ISSUE, write(Some(ID), &json!({ "title": "New" }), &["Bug"], &[])).await;
        assert!(good(&verdict), "{status} {answer}: {verdict:?}");
    }
    // What was done is done, even if its answer is not whole.
    let (linear, script, _) = attached().await;
    script.answer(200, &json!({ "data": { "issueUpdate": { "success": true, "issue": issue("New") } }, "errors": [{ "message": "history timed out" }] }));
    stored(one(&linear, ISSUE, write(Some(ID), &json!({ "title": "New" }), &[], &[])).await);
}

#[tokio::test]
async fn what_hangs_on_an_issue() {
    let (linear, script, _) = attached().await;
    script.answer(
        200,
        &json!({ "data": { "attachmentCreate": { "success": true, "attachment": {
        "id": "att-1", "title": "Thread", "url": "https://x.example/1", "subtitle": null, "issue": { "id": ID },
        "createdAt": "2026-11-23T08:00:00.000Z", "updatedAt": "2026-11-23T08:00:00.000Z" } } } }),
    );
    let receipt = stored(
        one(
            &linear,
            ATTACHMENT,
            write(None, &json!({ "issue": [ID], "url": "https://x.example/1", "title": "Thread" }), &[], &[]),
        )
        .await,
    );
    assert_eq!((receipt.id.as_str(), receipt.created), ("att-1", true));
    assert_eq!(receipt.fields["issue"], json!([ID]));
    assert_eq!(body(&script.take_asked()[0])["variables"]["input"]["metadata"], json!({ "loopd_id": ID }));
    // A subtitle alone: the title has to be known.
    script.answer(200, &json!({ "data": { "attachments": { "nodes": [{ "id": "att-1", "title": "Thread" }] } } }));
    script.answer(200, &json!({ "data": { "attachmentUpdate": { "success": true, "attachment": { "id": "att-1", "title": "Thread", "subtitle": "new" } } } }));
    stored(one(&linear, ATTACHMENT, write(Some("att-1"), &json!({ "subtitle": "new" }), &[], &[])).await);
    assert_eq!(
        body(&script.take_asked()[1])["variables"],
        json!({ "id": "att-1", "input": { "title": "Thread", "subtitle": "new" } })
    );
    script.answer(200, &json!({ "data": { "customers": { "nodes": [] } } }));
    script.answer(200, &json!({ "data": { "customerUpsert": { "success": true, "customer": { "id": "cus-1", "name": "Acme", "domains": ["acme.example"], "revenue": 1200 } } } }));
    let customer = json!({ "name": "Acme", "domains": ["ACME.example"], "revenue": 1200.4, "tier": "Gold" });
    let receipt = stored(one(&linear, CUSTOMER, write(None, &customer, &[], &[])).await);
    assert_eq!(receipt.fields["revenue"], json!(1200));
    assert_eq!(
        body(&script.take_asked()[1])["variables"]["input"],
        json!({ "externalId": ID, "name": "Acme", "domains": ["acme.example"], "revenue": 1200, "tierName": "Gold" })
    );
    // Clearing is an explicit null, which the typed variables cannot say.
    script.answer(
        200,
        &json!({ "data": { "customerUpdate": { "success": true, "customer": { "id": "cus-1", "name": "Acme" } } } }),
    );
    let receipt = stored(
        one(&linear, CUSTOMER, write(Some("cus-1"), &json!({ "revenue": null, "tier": "Gold" }), &[], &[])).await,
    );
    assert!(receipt.skipped.contains_key("tier"));
    assert_eq!(body(&script.take_asked()[0])["variables"], json!({ "id": "cus-1", "input": { "revenue": null } }));
    // The plan turns out to have no customers.
    script.answer(200, &error("FEATURE_NOT_ACCESSIBLE", "Feature not accessible"));
    let need = || write(None, &json!({ "issue": [ID], "customer": ["cus-1"], "body": "Wants it" }), &[], &[]);
    assert!(matches!(one(&linear, NEED, need()).await, Err(Fault::Later { .. })));
    assert_eq!(linear.collections().len(), 2);
    script.take_asked();
    assert!(matches!(one(&linear, NEED, need()).await, Err(Fault::Later { .. })));
    assert!(script.take_asked().is_empty());
}

#[tokio::test]
async fn setup_makes_the_labels_that_are_missing() {
    let (linear, script, _) = linear();
    script.answer(200, &attach_answer());
    script.answer(200, &labels_answer());
    let plan = linear.plan(&shape(&[ISSUE])).await.expect("plans");
    assert_eq!(plan.iter().map(|change| change.what.as_str()).collect::<Vec<_>>(), ["create label Churn in team ENG"]);
    script.take_asked();
    script.answer(200, &json!({ "data": { "issueLabelCreate": { "success": true, "issueLabel": { "id": "lab-c", "name": "Churn" } } } }));
    linear.apply(&plan[0]).await.expect("makes it");
    assert_eq!(
        body(&script.take_asked()[0])["variables"]["input"],
        json!({ "name": "Churn", "color": "#5e6ad2", "teamId": "team-1" })
    );
    assert_eq!(linear.binding().label("churn"), Some("lab-c"));
}

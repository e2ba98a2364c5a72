//! What Linear refuses, and how.

use super::*;

fn error(body: &Value) -> &Value {
    &body["errors"][0]
}

const CREATE: &str = "mutation($i: IssueCreateInput!) { issueCreate(input: $i) { success lastSyncId issue { id identifier url updatedAt } } }";

#[test]
fn wrong_credentials_are_401() {
    let mut bench = Bench::new();
    for auth in ["", "Bearer lin_api_sandbox", "lin_api_other", "Bearer lin_oauth_other", "lin_oauth_sandbox"] {
        let response = bench.full(auth, "{ viewer { id } }", &json!({}));
        assert_eq!(response.status(), 401, "{auth}");
        assert!(String::from_utf8_lossy(response.body()).contains("AUTHENTICATION_ERROR"));
    }
    bench.linear.revoke_token(KEY);
    assert_eq!(bench.ask("{ viewer { id } }", json!({})).0, 401);
    bench.linear.restore_token(KEY);
    assert_eq!(bench.ask("{ viewer { id } }", json!({})).0, 200);
}

#[test]
fn documents_that_do_not_fit_the_schema_are_400_and_nothing_runs() {
    let mut bench = Bench::new();
    let cases = [
        ("{ viewer { nickname } }", json!({}), "Cannot query field \"nickname\" on type \"User\"."),
        ("{ issues(limit: 3) { nodes { id } } }", json!({}), "Unknown argument"),
        ("{ issue { id } }", json!({}), "is required"),
        ("{ viewer }", json!({}), "must have a selection"),
        ("{ viewer { id { x } } }", json!({}), "must not have a selection"),
        ("{ viewer { ...F } }", json!({}), "Unknown fragment"),
        ("{ viewer { ...F } } fragment F on User { id ...F }", json!({}), "within itself"),
        ("{ viewer { id }", json!({}), "Syntax Error"),
        ("query($a: String) { viewer { id } }", json!({}), "never used"),
        ("{ issue(id: $a) { id } }", json!({}), "is not defined"),
        (
            "query($f: IssueFilter) { issues(filter: $f) { nodes { id } } }",
            json!({"f": {"nope": 1}}),
            "is not defined by type",
        ),
        (CREATE, json!({"i": {"title": "x"}}), "teamId"),
        (CREATE, json!({"i": {"title": 5, "teamId": TEAM_ID}}), "cannot represent value"),
        (CREATE, json!({}), "was not provided"),
        ("{ issues(orderBy: title) { nodes { id } } }", json!({}), "enum"),
    ];
    for (query, variables, expected) in cases {
        let (status, body) = bench.ask(query, variables);
        assert_eq!(status, 400, "{query}");
        assert!(error(&body)["message"].as_str().unwrap().contains(expected), "{query}: {body}");
        assert!(body.get("data").is_none());
    }
    assert!(bench.linear.issues().is_empty());
}

#[test]
fn a_page_is_250_at_most() {
    let mut bench = Bench::new();
    let (status, body) = bench.ask("{ issues(first: 251) { nodes { id } } }", json!({}));
    assert_eq!((status, error(&body)["message"].as_str()), (400, Some("Argument Validation Error")));
    assert_eq!(error(&body)["extensions"]["code"], "INVALID_INPUT");
    assert!(body.to_string().contains("first must not be greater than 250"));
    assert_eq!(bench.ask("{ issues(first: 250) { nodes { id } } }", json!({})).0, 200);
}

#[test]
fn a_document_costs_10000_points_at_most() {
    let mut bench = Bench::new();
    let query = "{ issues(first: 250) { nodes { id labels { nodes { id name } } } } }";
    let (status, body) = bench.ask(query, json!({}));
    assert_eq!(status, 400, "{body}");
    assert!(error(&body)["message"].as_str().unwrap().contains("complex"));
    assert_eq!(
        bench.ask("{ issues(first: 250) { nodes { id labels(first: 5) { nodes { id name } } } } }", json!({})).0,
        200
    );
}

#[test]
fn used_up_buckets_are_400_ratelimited_and_leak() {
    let mut bench = Bench::new();
    bench.linear.set_quota(Some((2, 1_000)));
    for _ in 0..2 {
        assert_eq!(bench.ask("{ viewer { id } }", json!({})).0, 200);
    }
    let (status, body) = bench.ask("{ viewer { id } }", json!({}));
    assert_eq!((status, error(&body)["extensions"]["code"].as_str()), (400, Some("RATELIMITED")));
    bench.later(1_800);
    assert_eq!(bench.ask("{ viewer { id } }", json!({})).0, 200);
    bench.linear.set_quota(Some((100, 50)));
    bench.later(3_600);
    let (_, body) = bench.ask("{ issues { nodes { id title } } }", json!({}));
    assert_eq!(error(&body)["extensions"]["code"], "RATELIMITED");
}

#[test]
fn what_is_not_there() {
    let mut bench = Bench::new();
    let gone = "11111111-1111-4111-8111-111111111111";
    let (_, body) = bench.ask("query($id: String!) { issue(id: $id) { id } }", json!({"id": gone}));
    assert_eq!((error(&body)["message"].as_str(), &body["data"]), (Some("Entity not found: Issue"), &Value::Null));
    for input in [
        json!({"title": "x", "teamId": gone}),
        json!({"title": "x", "teamId": TEAM_ID, "stateId": gone}),
        json!({"title": "x", "teamId": TEAM_ID, "labelIds": [gone]}),
        json!({"title": "x", "teamId": TEAM_ID, "assigneeId": gone}),
    ] {
        let (_, body) = bench.ask(CREATE, json!({"i": input}));
        assert!(error(&body)["extensions"]["userPresentableMessage"].is_string(), "{body}");
    }
    assert!(bench.linear.issues().is_empty());
}

#[test]
fn an_id_that_is_taken_conflicts_even_in_the_trash() {
    let mut bench = Bench::new();
    let id = "22222222-2222-4222-9222-222222222222";
    let input = json!({"i": {"id": id, "teamId": TEAM_ID, "title": "Once"}});
    assert_eq!(bench.data(CREATE, input.clone())["issueCreate"]["issue"]["id"], id);
    for round in 0..2 {
        let (status, body) = bench.ask(CREATE, input.clone());
        assert!(matches!(status, 200 | 400));
        assert_eq!(error(&body)["message"], "conflict on insert of Issue");
        let extensions = &error(&body)["extensions"];
        assert_eq!(
            (&extensions["code"], &extensions["statusCode"], &extensions["userError"]),
            (&json!("INPUT_ERROR"), &json!(400), &json!(true))
        );
        assert_eq!(extensions["userPresentableMessage"], format!("Entity Issue with id {id} already exists."));
        assert_eq!(body["data"], Value::Null);
        if round == 0 {
            bench.desk(|linear, cx| linear.trash_issue(cx, id));
        }
    }
    bench.desk(|linear, cx| linear.delete_issue(cx, id));
    bench.data(CREATE, input);
    let (_, body) = bench.ask(CREATE, json!({"i": {"id": "not-a-uuid", "teamId": TEAM_ID, "title": "x"}}));
    assert_eq!(error(&body)["message"], "Argument Validation Error");
}

#[test]
fn labels_of_another_team_of_one_group_and_groups_themselves() {
    let mut bench = Bench::new();
    let issue = bench.create("Labelled");
    let (other, group, labels) = bench.desk(|linear, cx| {
        linear.create_team(cx, "OPS", "Operations");
        let other = linear.create_label(cx, Some("OPS"), "Pager");
        let (group, labels) = linear.create_label_group(cx, "Area", &["Api", "Web"]);
        (other, group, labels)
    });
    let update = "mutation($id: String!, $i: IssueUpdateInput!) { issueUpdate(id: $id, input: $i) { success } }";
    for (ids, expected) in
        [(vec![&other], "same team"), (vec![&group], "is a group"), (labels.iter().collect(), "already has a label")]
    {
        let (_, body) = bench.ask(update, json!({"id": issue, "i": {"addedLabelIds": ids}}));
        assert!(body.to_string().contains(expected), "{body}");
    }
    let state = bench.linear.states().iter().find(|s| s["teamId"] != TEAM_ID).unwrap()["id"].clone();
    let (_, body) = bench.ask(update, json!({"id": issue, "i": {"stateId": state}}));
    assert!(body.to_string().contains("does not belong to the team"));
    assert_eq!(bench.linear.issue(&issue).unwrap()["labelIds"], json!([]));
}

#[test]
fn bad_values_are_argument_validation_errors() {
    let mut bench = Bench::new();
    for input in [
        json!({"teamId": TEAM_ID}),
        json!({"teamId": TEAM_ID, "title": " "}),
        json!({"teamId": TEAM_ID, "title": "x".repeat(256)}),
        json!({"teamId": TEAM_ID, "title": "x", "priority": 5}),
        json!({"teamId": TEAM_ID, "title": "x", "createdAt": "2999-01-01T00:00:00Z"}),
    ] {
        let (status, body) = bench.ask(CREATE, json!({ "i": input }));
        assert_eq!((status, error(&body)["extensions"]["code"].as_str()), (400, Some("INVALID_INPUT")), "{body}");
    }
}

#[test]
fn a_batch_is_whole_and_fifty() {
    let mut bench = Bench::new();
    let batch =
        "mutation($i: IssueBatchCreateInput!) { issueBatchCreate(input: $i) { success issues { identifier } } }";
    let one = |title: &str| json!({"teamId": TEAM_ID, "title": title});
    let (_, body) = bench.ask(batch, json!({"i": {"issues": vec![one("x"); 51]}}));
    assert_eq!(error(&body)["message"], "Argument Validation Error");
    let (_, body) = bench.ask(batch, json!({"i": {"issues": [one("a"), {"teamId": "gone", "title": "b"}]}}));
    assert!(body.get("errors").is_some() && bench.linear.issues().is_empty());
    let data = bench.data(batch, json!({"i": {"issues": [one("a"), one("b")]}}));
    assert_eq!(data["issueBatchCreate"]["issues"], json!([{"identifier": "ENG-1"}, {"identifier": "ENG-2"}]));
}

#[test]
fn a_failing_alias_ends_the_run_after_what_came_before_it() {
    let mut bench = Bench::new();
    let query = format!(
        "mutation {{ a: issueCreate(input: {{teamId: \"{TEAM_ID}\", title: \"A\"}}) {{ success }}
                     b: issueCreate(input: {{teamId: \"gone\", title: \"B\"}}) {{ success }}
                     c: issueCreate(input: {{teamId: \"{TEAM_ID}\", title: \"C\"}}) {{ success }} }}"
    );
    let (status, body) = bench.ask(&query, json!({}));
    assert_eq!((status, &body["data"], &error(&body)["path"]), (200, &Value::Null, &json!(["b"])));
    assert_eq!(bench.linear.issues().len(), 1);
    bench.linear.set_keeps_other_aliases(true);
    let (_, body) = bench.ask(&query, json!({}));
    assert_eq!(
        (&body["data"]["a"]["success"], &body["data"]["b"], &body["data"]["c"]["success"]),
        (&json!(true), &Value::Null, &json!(true))
    );
    assert_eq!(bench.linear.issues().len(), 3);
}

#[test]
fn a_plan_without_customers_refuses_them() {
    let mut bench = Bench::new();
    bench.linear.set_plan(false);
    for query in ["{ customers { nodes { id } } }", "mutation { customerUpsert(input: {name: \"Acme\"}) { success } }"]
    {
        let (_, body) = bench.ask(query, json!({}));
        assert_eq!(error(&body)["extensions"]["type"], "feature not accessible");
    }
}

#[test]
fn webhooks_need_an_admin_and_a_good_url() {
    let mut bench = Bench::new();
    let query = "mutation { webhookCreate(input: {url: \"https://hooks.example/l\", resourceTypes: [\"Issue\"], allPublicTeams: true}) { webhook { id secret } } }";
    let response = bench.full(&format!("Bearer {OAUTH_TOKEN}"), query, &json!({}));
    assert!(String::from_utf8_lossy(response.body()).contains("FORBIDDEN"));
    assert!(
        bench.data(query, json!({}))["webhookCreate"]["webhook"]["secret"].as_str().unwrap().starts_with("lin_wh_")
    );
    bench.linear.set_strict_webhook_urls(true);
    let (_, body) = bench.ask(&query.replace("https://hooks.example", "http://127.0.0.1:9"), json!({}));
    assert_eq!(error(&body)["extensions"]["code"], "INVALID_INPUT");
}

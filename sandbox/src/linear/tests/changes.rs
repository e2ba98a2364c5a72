//! What changes: history, attachments, customers, webhooks.

use super::*;

const UPDATE: &str =
    "mutation($id: String!, $i: IssueUpdateInput!) { issueUpdate(id: $id, input: $i) { success issue { updatedAt } } }";
const HISTORY: &str = "query($id: String!) { issue(id: $id) { history(first: 20) { nodes { actorId actor { id } fromTitle toTitle fromPriority
    toPriority fromState { name } toState { name } addedLabels { name } removedLabels { name } addedLabelIds updatedDescription createdAt } } } }";

#[test]
fn defaults_of_a_new_issue() {
    let mut bench = Bench::new();
    let id = bench.create("New");
    let issue = bench.linear.issue(&id).unwrap();
    assert_eq!(
        (&issue["state"], &issue["identifier"], &issue["priority"]),
        (&json!("Backlog"), &json!("ENG-1"), &json!(0))
    );
    assert_eq!(bench.linear.count_by_id(&id), 1);
}

#[test]
fn history_names_the_actor_of_every_change() {
    let mut bench = Bench::new();
    let id = bench.create("Title");
    bench.desk(|linear, cx| {
        linear.move_issue(cx, &id, "In Progress");
        linear.set_priority(cx, &id, 2);
        linear.add_label(cx, &id, "Bug");
    });
    let bug = bench.linear.labels()[0]["id"].clone();
    bench.data(UPDATE, json!({"id": id, "i": {"title": "Other", "removedLabelIds": [bug]}}));
    // Nothing new, nothing remembered.
    bench.data(UPDATE, json!({"id": id, "i": {"title": "Other"}}));
    let data = bench.data(HISTORY, json!({"id": id}));
    let entries = data["issue"]["history"]["nodes"].as_array().unwrap();
    assert_eq!(entries.len(), 4);
    let find = |test: &dyn Fn(&Value) -> bool| entries.iter().find(|e| test(e)).unwrap();
    let moved = find(&|e| e["toState"]["name"] == "In Progress");
    assert_eq!((&moved["fromState"]["name"], &moved["actor"]["id"]), (&json!("Backlog"), &json!(PERSON)));
    assert_eq!(find(&|e| e["toPriority"] == 2)["fromPriority"], 0);
    assert_eq!(find(&|e| e["addedLabels"].is_array())["addedLabels"], json!([{"name": "Bug"}]));
    let written = find(&|e| e["toTitle"] == "Other");
    assert_eq!((&written["actorId"], &written["removedLabels"]), (&json!(OWNER), &json!([{"name": "Bug"}])));
    assert_eq!(written["addedLabels"], Value::Null);
}

#[test]
fn state_moves_set_their_times() {
    let mut bench = Bench::new();
    let id = bench.create("Work");
    bench.desk(|linear, cx| linear.move_issue(cx, &id, "Done"));
    assert!(bench.linear.issue(&id).unwrap()["completedAt"].is_string());
    bench.desk(|linear, cx| linear.move_issue(cx, &id, "Todo"));
    assert_eq!(bench.linear.issue(&id).unwrap()["completedAt"], Value::Null);
}

#[test]
fn the_same_url_on_the_same_issue_is_one_attachment() {
    let mut bench = Bench::new();
    let (one, two) = (bench.create("One"), bench.create("Two"));
    let query =
        "mutation($i: AttachmentCreateInput!) { attachmentCreate(input: $i) { attachment { id title metadata url } } }";
    let input = |issue: &str, title: &str| json!({"i": {"issueId": issue, "title": title, "url": "https://source.example/9", "metadata": {"k": [1]}}});
    let first = bench.data(query, input(&one, "a"))["attachmentCreate"]["attachment"].clone();
    let again = bench.data(query, input(&one, "b"))["attachmentCreate"]["attachment"].clone();
    assert_eq!((&first["id"], &again["title"], &again["metadata"]), (&again["id"], &json!("b"), &json!({"k": [1]})));
    assert!(bench.linear.doubles().is_empty());
    bench.data(query, input(&two, "c"));
    assert_eq!(bench.linear.doubles()["https://source.example/9"], 2);
}

#[test]
fn customers_are_found_again_and_their_needs_kept() {
    let mut bench = Bench::new();
    let issue = bench.create("Wish");
    let upsert = "mutation($i: CustomerUpsertInput!) { customerUpsert(input: $i) { customer { id name revenue domains externalIds tier { name } status { name } } } }";
    let first = bench.data(
        upsert,
        json!({"i": {"name": "Acme", "domains": ["acme.example"], "externalId": "c-1", "tierName": "Platinum"}}),
    );
    let first = &first["customerUpsert"]["customer"];
    assert_eq!((&first["tier"]["name"], &first["externalIds"]), (&json!("Platinum"), &json!(["c-1"])));
    let again = bench.data(upsert, json!({"i": {"domains": ["acme.example"], "revenue": 5, "externalId": "c-2"}}));
    let again = &again["customerUpsert"]["customer"];
    assert_eq!(
        (&again["id"], &again["revenue"], &again["externalIds"]),
        (&first["id"], &json!(5), &json!(["c-1", "c-2"]))
    );
    let (_, body) = bench.ask(upsert, json!({"i": {"name": "Mail", "domains": ["gmail.com"]}}));
    assert!(body.to_string().contains("public mail domain"));
    let need = "mutation($i: CustomerNeedCreateInput!) { customerNeedCreate(input: $i) { need { id customer { name } attachment { url } priority } } }";
    let made = bench.data(need, json!({"i": {"issueId": issue, "customerExternalId": "c-1", "body": "please", "attachmentUrl": "https://source.example/7"}}));
    assert_eq!(made["customerNeedCreate"]["need"]["customer"]["name"], "Acme");
    assert_eq!(made["customerNeedCreate"]["need"]["attachment"]["url"], "https://source.example/7");
    let counts = bench.data(
        "query($id: String!) { issue(id: $id) { customerTicketCount needs { nodes { body } } } }",
        json!({"id": issue}),
    );
    assert_eq!(
        (&counts["issue"]["customerTicketCount"], &counts["issue"]["needs"]["nodes"][0]["body"]),
        (&json!(1), &json!("please"))
    );
    let id = made["customerNeedCreate"]["need"]["id"].clone();
    bench.data("mutation($id: String!) { customerNeedDelete(id: $id) { success entityId } }", json!({"id": id}));
    assert!(bench.linear.needs().is_empty() && bench.linear.attachments().is_empty());
}

#[test]
fn webhooks_are_signed_and_say_what_was() {
    let mut bench = Bench::new();
    bench.desk(|linear, cx| linear.set_webhook(cx, "http://127.0.0.1:9/hook", "shh"));
    let id = bench.create("Seen");
    bench.desk(|linear, cx| linear.move_issue(cx, &id, "Done"));
    let sent = bench.sent[1].clone();
    assert_eq!(sent.headers["linear-event"], "Issue");
    assert_eq!(sent.headers["linear-signature"], super::super::events::sign("shh", &sent.body));
    assert_eq!(sent.headers["linear-timestamp"], bench.now.timestamp_millis().to_string().as_str());
    let told = bench.told();
    assert_eq!((&told[0]["action"], &told[0]["data"]["identifier"]), (&json!("create"), &json!("ENG-1")));
    let moved = &told[1];
    assert_eq!(
        (&moved["action"], &moved["data"]["state"]["name"], &moved["actor"]["id"]),
        (&json!("update"), &json!("Done"), &json!(PERSON))
    );
    assert!(moved["updatedFrom"]["stateId"].is_string() && moved["updatedFrom"].get("title").is_none());
    assert_eq!(moved["webhookTimestamp"], bench.now.timestamp_millis());
    bench.desk(|linear, cx| linear.delete_issue(cx, &id));
    assert_eq!(bench.told()[0]["action"], "remove");
    let waits: Vec<_> = (1..=4).map(|n| bench.linear.retry_after(n).map(|w| w.as_secs())).collect();
    assert_eq!(waits, [Some(60), Some(3_600), Some(21_600), None]);
}

#[test]
fn archived_and_trashed_issues_hide_and_return() {
    let mut bench = Bench::new();
    let id = bench.create("Hidden");
    let list = "query($all: Boolean) { issues(includeArchived: $all) { nodes { id trashed archivedAt } } }";
    let delete = "mutation($id: String!) { issueDelete(id: $id) { success entity { id } } }";
    bench.data(delete, json!({"id": "ENG-1"}));
    assert_eq!(bench.data(list, json!({}))["issues"]["nodes"], json!([]));
    assert_eq!(bench.data(list, json!({"all": true}))["issues"]["nodes"][0]["trashed"], true);
    bench.data(UPDATE, json!({"id": id, "i": {"trashed": null}}));
    assert_eq!(bench.data(list, json!({}))["issues"]["nodes"][0]["id"], *id);
    bench.data("mutation($id: String!) { issueArchive(id: $id) { success } }", json!({"id": id}));
    assert_eq!(bench.data(list, json!({}))["issues"]["nodes"], json!([]));
}

#[test]
fn a_move_to_another_team_keeps_the_old_identifier() {
    let mut bench = Bench::new();
    let id = bench.create("Wanderer");
    bench.desk(|linear, cx| {
        linear.create_team(cx, "OPS", "Operations");
        linear.move_to_team(cx, &id, "OPS");
    });
    let data = bench.data("{ issue(id: \"ENG-1\") { id identifier previousIdentifiers team { key } } }", json!({}));
    assert_eq!(
        (&data["issue"]["identifier"], &data["issue"]["previousIdentifiers"]),
        (&json!("OPS-1"), &json!(["ENG-1"]))
    );
}

#[test]
fn people_delete_states_labels_and_teams() {
    let mut bench = Bench::new();
    let id = bench.create("Moved along");
    bench.desk(|linear, cx| {
        linear.move_issue(cx, &id, "In Review");
        linear.add_label(cx, &id, "Bug");
        linear.delete_state(cx, "ENG", "In Review");
        linear.delete_label(cx, "Bug");
    });
    let issue = bench.linear.issue(&id).unwrap();
    assert_eq!((&issue["state"], &issue["labels"]), (&json!("Backlog"), &json!([])));
    bench.desk(|linear, cx| linear.delete_team(cx, "ENG"));
    assert!(bench.linear.issues().is_empty() && bench.linear.teams().is_empty());
}

#[test]
fn comments_and_operation_names() {
    let mut bench = Bench::new();
    let id = bench.create("Talk");
    let create = "mutation($i: CommentCreateInput!) { commentCreate(input: $i) { comment { id body url user { id } issue { id } } } }";
    let made = bench.data(create, json!({"i": {"issueId": id, "body": "hello"}}));
    let comment = made["commentCreate"]["comment"]["id"].clone();
    bench.data(
        "mutation($id: String!) { commentUpdate(id: $id, input: {body: \"bye\"}) { comment { editedAt } } }",
        json!({"id": comment}),
    );
    assert_eq!(bench.linear.comments()[0]["body"], "bye");
    bench.data("mutation($id: String!) { commentDelete(id: $id) { success } }", json!({"id": comment}));
    assert!(bench.linear.comments().is_empty());
    let request = Bench::request(
        KEY,
        "mutation { a: issueDelete(id: \"x\") { success } b: issueDelete(id: \"y\") { success } }",
        &json!({}),
    );
    assert_eq!(bench.linear.operation(&request), "issueDelete");
    assert!(!bench.linear.is_read(&request));
    assert!(bench.linear.is_read(&Bench::request(KEY, "{ viewer { id } }", &json!({}))));
}

use serde_json::{Map, Value, json};

use super::NewCompany;
use crate::testing::{Bench, Got, body};
use crate::world::Vendor;

const AUTH: &[(&str, &str)] = &[("authorization", "Bearer intercom-sandbox"), ("intercom-version", "2.16")];

fn call(bench: &Bench, version: &str, method: &str, path: &str, body: Option<&Value>) -> Got {
    let headers = [AUTH[0], ("intercom-version", version)];
    bench.call(Vendor::Intercom, method, path, &headers, body)
}

fn get(bench: &Bench, path: &str) -> Got {
    call(bench, "2.16", "GET", path, None)
}

#[expect(clippy::needless_pass_by_value, reason = "bodies are written in place")]
fn post(bench: &Bench, path: &str, body: Value) -> Got {
    call(bench, "2.16", "POST", path, Some(&body))
}

fn code(got: &Got) -> (u16, &str) {
    (got.status, got.body["errors"][0]["code"].as_str().unwrap_or_default())
}

/// A contact in a company, with so many conversations, a minute apart.
fn filled(conversations: usize) -> (Bench, String, Vec<u64>) {
    let bench = Bench::new(1);
    let contact = bench.world.intercom(|desk, cx| {
        let company = desk.add_company(
            &NewCompany {
                name: "Plum & Co",
                company_id: "plum",
                monthly_spend: 900,
                plan: Some("Team"),
                ..NewCompany::default()
            },
            cx,
        );
        desk.add_contact("Petra Plum", "petra@plum.example", Some(&company), cx)
    });
    let ids = (0..conversations)
        .map(|number| {
            bench.wait(60);
            bench
                .world
                .intercom(|desk, cx| {
                    desk.open_conversation(&contact, "Hello", &format!("<p>It is <b>slow</b> {number}</p>"), None, cx)
                })
                .expect("opened")
        })
        .collect();
    (bench, contact, ids)
}

fn found(got: &Got) -> Vec<u64> {
    got.body["conversations"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|of| of["id"].as_str()?.parse().ok())
        .collect()
}

fn admin(bench: &Bench) -> u64 {
    bench.world.intercom(|desk, _| desk.app_admin())
}

#[test]
fn a_wrong_token_or_version_is_refused() {
    let (bench, _, _) = filled(1);
    let refused = bench.call(Vendor::Intercom, "GET", "/me", &[("authorization", "Bearer x")], None);
    assert_eq!(code(&refused), (401, "unauthorized"));
    assert_eq!((&refused.body["type"], refused.body["request_id"].is_string()), (&json!("error.list"), true));
    assert_eq!(bench.call(Vendor::Intercom, "GET", "/me", &[], None).status, 401);
    for version in ["2.18", "2.6", "preview", "3.0"] {
        assert_eq!(code(&call(&bench, version, "GET", "/me", None)), (400, "intercom_version_invalid"), "{version}");
    }
    assert_eq!(call(&bench, "2.17", "GET", "/me", None).body["app"]["type"], "app");
    assert_eq!(code(&get(&bench, "/nowhere")), (404, "not_found"));
    bench.world.intercom(|desk, _| desk.revoke_token("intercom-sandbox"));
    assert_eq!(get(&bench, "/me").status, 401);
}

#[test]
fn a_search_filters_and_walks_by_cursor() {
    let (bench, contact, ids) = filled(7);
    let newest: Vec<u64> = ids.iter().rev().copied().collect();
    let query = json!({"field": "updated_at", "operator": ">", "value": 0});
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let page = post(
            &bench,
            "/conversations/search",
            json!({"query": query, "pagination": {"per_page": 3, "starting_after": after}}),
        );
        assert_eq!(
            (page.status, &page.body["total_count"], &page.body["pages"]["total_pages"]),
            (200, &json!(7), &json!(3))
        );
        assert!(page.body["conversations"][0].get("conversation_parts").is_none());
        seen.extend(found(&page));
        after = page.body["pages"]["next"]["starting_after"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(seen, newest);
    let at = bench.world.intercom(|desk, _| desk.conversation(ids[3]).expect("there").updated_at);
    let search = |query: Value| found(&post(&bench, "/conversations/search", json!({"query": query})));
    let later = json!({"field": "updated_at", "operator": ">", "value": at});
    assert_eq!(search(later.clone()), newest[..3]);
    let same = json!({"field": "updated_at", "operator": "=", "value": at});
    assert_eq!(search(json!({"operator": "OR", "value": [later, same]})), newest[..4]);
    assert_eq!(
        search(json!({"operator": "AND", "value": [
            {"field": "contact_ids", "operator": "=", "value": contact},
            {"field": "source.body", "operator": "=", "value": "slow"},
            {"field": "state", "operator": "IN", "value": ["open", "snoozed"]},
            {"field": "open", "operator": "=", "value": true},
        ]}))
        .len(),
        7
    );
    assert!(search(json!({"field": "source.author.email", "operator": "$", "value": "other.example"})).is_empty());
}

#[test]
fn a_query_beyond_the_rules_is_refused() {
    let (bench, _, _) = filled(0);
    let one = json!({"field": "updated_at", "operator": ">", "value": 1});
    let group = |entries: Vec<Value>| json!({"operator": "AND", "value": entries});
    for query in [
        group(vec![group(vec![group(vec![one.clone()])])]),
        group(vec![one.clone(); 16]),
        json!({"field": "updated_at", "operator": "=>", "value": 1}),
        json!({"field": "updated_at", "operator": ">", "value": "yesterday"}),
        json!({"field": "no_such_field", "operator": "=", "value": "x"}),
        json!({"field": "state", "operator": "IN", "value": "open"}),
        json!({"operator": "XOR", "value": [one]}),
    ] {
        assert_eq!(
            code(&post(&bench, "/conversations/search", json!({"query": query}))),
            (400, "parameter_invalid"),
            "{query}"
        );
    }
    assert_eq!(
        post(&bench, "/conversations/search", json!({"query": one, "pagination": {"per_page": 151}})).status,
        400
    );
    assert_eq!(
        post(&bench, "/conversations/search", json!({"query": one, "pagination": {"starting_after": "x"}})).status,
        400
    );
    assert_eq!(code(&post(&bench, "/conversations/search", json!({}))), (400, "parameter_not_found"));
}

#[test]
fn a_conversation_shows_its_newest_500_parts_and_counts_all() {
    let (bench, _, ids) = filled(1);
    for number in 0..503 {
        bench.world.intercom(|desk, cx| desk.user_replies(ids[0], &format!("part {number}"), cx));
    }
    let path = format!("/conversations/{}", ids[0]);
    let shown = get(&bench, &path).body;
    let parts = shown["conversation_parts"]["conversation_parts"].as_array().expect("parts").clone();
    assert_eq!((parts.len(), &parts[0]["body"]), (500, &json!("<p>part 3</p>")));
    assert_eq!(
        (&shown["conversation_parts"]["total_count"], &shown["statistics"]["count_conversation_parts"]),
        (&json!(503), &json!(503))
    );
    assert_eq!(shown["source"]["body"], "<p>It is <b>slow</b> 0</p>");
    assert_eq!(get(&bench, &format!("{path}?display_as=plaintext")).body["source"]["body"], "It is slow 0");
    assert_eq!(code(&get(&bench, "/conversations/1")), (404, "not_found"));
}

#[test]
fn versions_show_the_unassigned_and_the_company_their_way() {
    let (bench, _, ids) = filled(1);
    let path = format!("/conversations/{}", ids[0]);
    let shown = |version| call(&bench, version, "GET", &path, None).body;
    assert_eq!((&shown("2.16")["admin_assignee_id"], &shown("2.16")["priority"]), (&json!(0), &json!("none")));
    assert_eq!(
        (&shown("2.15")["admin_assignee_id"], &shown("2.15")["priority"]),
        (&Value::Null, &json!("not_priority"))
    );
    assert_eq!(shown("2.15")["company"]["company_id"], "plum");
    assert!(shown("2.14").get("company").is_none());
}

#[test]
fn notes_replies_and_states_are_written() {
    let (bench, contact, ids) = filled(1);
    let (admin, path) = (admin(&bench), format!("/conversations/{}", ids[0]));
    let reply = format!("{path}/reply");
    let note = post(
        &bench,
        &reply,
        json!({"type": "admin", "message_type": "note", "admin_id": admin, "body": "<!-- hidden -->FB-1 seen"}),
    );
    let part = &note.body["conversation_parts"]["conversation_parts"][0];
    assert_eq!(
        (note.status, &part["part_type"], &part["body"], &part["app_package_code"]),
        (200, &json!("note"), &json!("<p>FB-1 seen</p>"), &json!("loopd-sandbox"))
    );
    assert_eq!(bench.world.intercom(|desk, _| desk.parts_containing("FB-1").count()), 1);
    let parts = format!("{path}/parts");
    assert_eq!(
        post(&bench, &parts, json!({"type": "admin", "message_type": "close", "admin_id": admin.to_string()})).body["state"],
        "closed"
    );
    let user = post(
        &bench,
        "/conversations/last/reply",
        json!({"type": "user", "message_type": "comment", "email": "petra@plum.example", "body": "still"}),
    );
    assert_eq!((&user.body["state"], &user.body["contacts"]["contacts"][0]["id"]), (&json!("open"), &json!(contact)));
    assert_eq!(
        post(
            &bench,
            &parts,
            json!({"type": "admin", "message_type": "assignment", "admin_id": admin, "assignee_id": admin})
        )
        .body["admin_assignee_id"],
        admin
    );
    let snoozed = json!({"message_type": "snoozed", "admin_id": admin, "snoozed_until": 1_800_000_000});
    assert_eq!(post(&bench, &parts, snoozed).body["state"], "snoozed");
    assert_eq!(post(&bench, &parts, json!({"message_type": "open", "admin_id": admin})).body["state"], "open");
    for wrong in [
        json!({"type": "admin", "message_type": "note", "admin_id": admin}),
        json!({"type": "admin", "message_type": "note", "body": "x"}),
        json!({"type": "admin", "message_type": "note", "admin_id": 1, "body": "x"}),
        json!({"type": "user", "message_type": "note", "email": "petra@plum.example", "body": "x"}),
        json!({"type": "user", "message_type": "comment", "email": "nobody@plum.example", "body": "x"}),
        json!({"type": "admin", "message_type": "comment", "admin_id": admin, "body": "x", "attachment_urls": vec!["u"; 11]}),
    ] {
        assert!(matches!(post(&bench, &reply, wrong.clone()).status, 400 | 404), "{wrong}");
    }
    assert_eq!(post(&bench, &parts, json!({"message_type": "close", "admin_id": admin})).status, 400);
}

#[test]
fn tags_are_found_or_made_and_put_on() {
    let (bench, _, ids) = filled(1);
    let tag = post(&bench, "/tags", json!({"name": "bug"})).body["id"].clone();
    assert_eq!(post(&bench, "/tags", json!({"name": "Bug"})).body["id"], tag);
    assert_eq!(post(&bench, "/tags", json!({})).status, 400);
    let path = format!("/conversations/{}/tags", ids[0]);
    let admin = admin(&bench);
    assert_eq!(post(&bench, &path, json!({"id": tag, "admin_id": admin})).body["name"], "bug");
    assert_eq!(bench.world.intercom(|desk, _| desk.tag_names(ids[0])), ["bug"]);
    assert_eq!(post(&bench, &path, json!({"id": "9", "admin_id": admin})).status, 404);
    let one = format!("{path}/{}", tag.as_str().expect("an id"));
    assert_eq!(call(&bench, "2.16", "DELETE", &one, Some(&json!({"admin_id": admin}))).status, 200);
    assert!(bench.world.intercom(|desk, _| desk.tag_names(ids[0])).is_empty());
}

#[test]
fn the_deleted_are_listed_since_2_16() {
    let (bench, _, ids) = filled(3);
    bench.world.intercom(|desk, cx| {
        desk.delete_conversation(ids[0], cx);
        desk.delete_conversation(ids[2], cx);
    });
    assert_eq!(code(&call(&bench, "2.15", "GET", "/conversations/deleted", None)), (400, "intercom_version_invalid"));
    let first = get(&bench, "/conversations/deleted?per_page=1");
    assert_eq!((found(&first), &first.body["total_count"]), (vec![ids[2]], &json!(2)));
    assert_eq!(found(&get(&bench, first.body["pages"]["next"].as_str().expect("more"))), [ids[0]]);
    assert_eq!(get(&bench, &format!("/conversations/{}", ids[0])).status, 404);
}

#[test]
fn contacts_are_made_found_and_searched_by_day_until_2_17() {
    let (bench, contact, _) = filled(0);
    assert_eq!(get(&bench, &format!("/contacts/{contact}")).body["companies"]["total_count"], 1);
    assert_eq!(get(&bench, &format!("/contacts/{contact}/companies")).body["data"][0]["company_id"], "plum");
    assert_eq!(code(&post(&bench, "/contacts", json!({"email": "petra@plum.example"}))), (409, "conflict"));
    assert_eq!(post(&bench, "/contacts", json!({"name": "Nobody"})).status, 400);
    assert_eq!(post(&bench, "/contacts", json!({"email": "new@plum.example"})).body["role"], "user");
    let search = |version, operator: &str, value: i64| {
        call(
            &bench,
            version,
            "POST",
            "/contacts/search",
            Some(&json!({"query": {"field": "updated_at", "operator": operator, "value": value}})),
        )
    };
    let now = 1_790_000_000;
    assert_eq!(search("2.16", ">", now - 1).body["total_count"], 0, "from the next day on");
    assert_eq!(search("2.16", ">", now - 86_400).body["total_count"], 2);
    assert_eq!(search("2.16", ">=", now).status, 400);
    assert_eq!(search("2.17", ">", now - 1).body["total_count"], 2);
    assert_eq!(search("2.17", ">=", now).body["total_count"], 2);
    let sorted = json!({"query": {"field": "role", "operator": "=", "value": "user"}, "sort": {"field": "name", "order": "desc"}});
    assert_eq!(code(&post(&bench, "/contacts/search", sorted)), (400, "invalid_sort_order"));
}

#[test]
fn companies_are_listed_scrolled_and_found() {
    let (bench, contact, _) = filled(0);
    for number in 0..120 {
        bench.world.intercom(|desk, cx| {
            let key = format!("c{number}");
            let company = desk.add_company(&NewCompany { name: &key, company_id: &key, ..NewCompany::default() }, cx);
            // Twenty have no users, and are in no list.
            if number >= 20 {
                desk.add_contact("Petra Plum", "petra@plum.example", Some(&company), cx);
            }
        });
    }
    assert_eq!(get(&bench, "/companies?per_page=150").body["total_count"], 101);
    assert_eq!(get(&bench, "/companies").body["data"].as_array().map(Vec::len), Some(15));
    assert_eq!(get(&bench, "/companies?company_id=c3").body["name"], "c3");
    assert_eq!(get(&bench, "/companies?company_id=zzz").status, 404);
    assert_eq!(code(&get(&bench, "/companies?per_page=150&page=67")), (400, "page_limit_reached"));
    assert_eq!(code(&get(&bench, "/companies?per_page=151")), (400, "parameter_invalid"));
    assert_eq!(get(&bench, &format!("/contacts/{contact}")).body["companies"]["has_more"], true);

    let first = get(&bench, "/companies/scroll");
    let next = format!("/companies/scroll?scroll_param={}", first.body["scroll_param"].as_str().expect("a parameter"));
    assert_eq!(first.body["data"].as_array().map(Vec::len), Some(100));
    assert_eq!(code(&get(&bench, "/companies/scroll")), (400, "scroll_exists"));
    assert_eq!(get(&bench, &next).body["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(get(&bench, &next).body["data"].as_array().map(Vec::len), Some(0));
    assert_eq!(get(&bench, &next).status, 404, "over");
    get(&bench, "/companies/scroll");
    bench.wait(61);
    assert_eq!(get(&bench, "/companies/scroll").status, 200, "the silent one died");
}

#[test]
fn a_company_is_written_whole_numbers_only_and_attributes_are_discovered() {
    let (bench, _, _) = filled(0);
    let made = post(
        &bench,
        "/companies",
        json!({"company_id": "fig", "name": "Fig", "monthly_spend": 155.9, "custom_attributes": {"arr": 12_000, "vip": true}}),
    );
    assert_eq!((&made.body["monthly_spend"], &made.body["user_count"]), (&json!(155), &json!(0)));
    let id = made.body["id"].as_str().expect("an id");
    assert_eq!(post(&bench, "/companies", json!({"company_id": "fig", "plan": "Team"})).body["id"], id);
    assert_eq!(get(&bench, &format!("/companies/{id}")).body["plan"]["name"], "Team");
    assert_eq!(code(&post(&bench, "/companies", json!({"name": "x"}))), (400, "parameter_not_found"));
    let attributes = get(&bench, "/data_attributes?model=company");
    let names: Vec<_> =
        attributes.body["data"].as_array().into_iter().flatten().filter_map(|of| of["full_name"].as_str()).collect();
    assert!(names.contains(&"custom_attributes.arr") && !names.contains(&"email"), "{names:?}");
    assert_eq!(get(&bench, "/data_attributes?model=conversation").status, 422);
}

#[test]
fn a_contact_that_is_deleted_leaves_its_company() {
    let (bench, contact, _) = filled(0);
    bench.world.intercom(|desk, _| desk.set_webhook("https://loopd.example/hooks/intercom", "s"));
    let path = format!("/contacts/{contact}");
    let gone = call(&bench, "2.16", "DELETE", &path, None);
    assert_eq!((&gone.body["id"], &gone.body["deleted"]), (&json!(contact), &json!(true)));
    assert_eq!(code(&get(&bench, &path)), (404, "not_found"));
    assert_eq!(call(&bench, "2.16", "DELETE", &path, None).status, 404);
    assert!(bench.world.intercom(|desk, _| desk.companies().all(|company| company.user_count == 0)));
    assert_eq!(body(&bench.webhooks()[0])["topic"], "contact.deleted");
}

#[test]
fn calls_are_counted_in_slices_of_ten_seconds() {
    let (bench, _, _) = filled(0);
    for _ in 0..1_666 {
        assert_eq!(get(&bench, "/me").status, 200);
    }
    let refused = get(&bench, "/me");
    assert_eq!(code(&refused), (429, "rate_limit_exceeded"));
    assert_eq!((refused.header("x-ratelimit-remaining"), refused.header("x-ratelimit-reset")), ("0", "1790000010"));
    bench.wait(10);
    assert_eq!(get(&bench, "/me").header("x-ratelimit-remaining"), "1665");
}

#[test]
fn webhooks_are_signed_and_carry_the_part_that_fired_in_plain_text() {
    let (bench, contact, _) = filled(0);
    bench.world.intercom(|desk, _| desk.set_webhook("http://127.0.0.1:1/", "client-secret"));
    bench.world.intercom(|desk, cx| {
        let id = desk.open_conversation(&contact, "", "<p>Hi <b>there</b></p>", None, cx).expect("opened");
        desk.user_replies(id, "one", cx);
        desk.admin_replies(id, "<p>two</p>", cx);
        desk.admin_notes(id, "three", cx);
        desk.close_conversation(id, cx);
        desk.delete_conversation(id, cx);
        desk.add_company(
            &NewCompany { name: "Plum", company_id: "plum", custom_attributes: Map::new(), ..NewCompany::default() },
            cx,
        );
    });
    let sent = bench.webhooks();
    let topics: Vec<_> =
        sent.iter().map(|outgoing| body(outgoing)["topic"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(
        topics,
        [
            "conversation.user.created",
            "conversation.user.replied",
            "conversation.admin.replied",
            "conversation.admin.noted",
            "conversation.admin.closed",
            "conversation.deleted",
            "company.updated",
        ]
    );
    let signature = crate::wire::hmac::<hmac::Hmac<sha1::Sha1>>("client-secret", &sent[0].body);
    assert_eq!(sent[0].headers["x-hub-signature"], format!("sha1={signature}"));
    let replied = body(&sent[2]);
    let item = &replied["data"]["item"];
    let parts = item["conversation_parts"]["conversation_parts"].as_array().expect("parts").clone();
    assert_eq!(
        (replied["type"].as_str(), parts.len(), &parts[0]["body"], &item["source"]["body"]),
        (Some("notification_event"), 1, &json!("two"), &json!("Hi there"))
    );
    assert!(body(&sent[5])["data"]["item"].get("source").is_none(), "a deletion carries ids only");
    bench.world.intercom(|desk, _| assert!(desk.set_version("2.14")));
    bench.world.intercom(|desk, cx| desk.open_conversation(&contact, "", "<p>Hi</p>", None, cx));
    assert_eq!(body(&bench.webhooks()[0])["data"]["item"]["source"]["body"], "<p>Hi</p>");
}

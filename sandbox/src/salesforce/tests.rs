//! The stand-in's answers, refusals and limits, called in process.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::model::{id_of, long, read_id};
use super::{CLIENT_ID, CLIENT_SECRET, TOKEN};
use crate::faults::FailKind;
use crate::testing::{Bench, Got};
use crate::wire;
use crate::world::Vendor;

const ROOT: &str = "/services/data/v67.0";

struct Org(Bench);

impl Org {
    fn new() -> Self {
        Self(Bench::new(5))
    }

    fn ask(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Got {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.0.call(Vendor::Salesforce, method, path, &headers, body)
    }

    fn get(&self, path: &str) -> Got {
        self.ask(TOKEN, "GET", &format!("{ROOT}/{path}"), None)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Got {
        self.ask(TOKEN, method, &format!("{ROOT}/{path}"), Some(body))
    }

    fn query(&self, soql: &str) -> Got {
        self.get(&format!("query?q={}", wire::encode(soql)))
    }

    fn names(&self, soql: &str) -> Vec<String> {
        let got = self.query(soql);
        assert_eq!(got.status, 200, "{soql}: {}", got.body);
        let rows = got.body["records"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row["Name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn account(&self, fields: &Value) -> String {
        self.0.world.salesforce(|desk, cx| desk.create(cx, "Account", fields))
    }

    fn code(got: &Got) -> (u16, String) {
        (got.status, got.body[0]["errorCode"].as_str().unwrap_or_default().to_owned())
    }

    fn token(&self, form: &str) -> Got {
        let request = http::Request::post("/services/oauth2/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(bytes::Bytes::from(form.to_owned()))
            .expect("a request");
        let crate::Reply::Answer { response, .. } = self.0.world.call(Vendor::Salesforce, request) else {
            panic!("cut")
        };
        Got {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: serde_json::from_slice(response.body()).unwrap_or_default(),
        }
    }
}

#[test]
fn ids_are_eighteen_letters_of_which_the_last_three_tell_the_case() {
    // The example of Salesforce's own help: 15 characters, and the 18 that they are.
    assert_eq!(long("001D000000IRFma"), "001D000000IRFmaIAH");
    assert_eq!(read_id("001D000000IRFma"), Some("001D000000IRFmaIAH".into()));
    assert_eq!(read_id("001D"), None);
    assert_eq!(id_of("001", 1), "0015g0000000001AAA");
    assert_ne!(id_of("001", 61), id_of("001", 35));
}

#[test]
fn queries_find_what_they_ask_for() {
    let org = Org::new();
    for (name, industry, size) in
        [("Ant", "Energy", 5), ("Bee", "Media", 50), ("Cat_1", "Energy", 500), ("O'Neil", "Retail", 7)]
    {
        org.account(&json!({ "Name": name, "Industry": industry, "NumberOfEmployees": size, "Website": if size == 5 { json!("ant.example.com") } else { Value::Null } }));
    }
    for (filter, found) in [
        ("Industry = 'energy'", vec!["Ant", "Cat_1"]),
        ("Industry != 'Energy'", vec!["Bee", "O'Neil"]),
        ("NumberOfEmployees > 5 AND NumberOfEmployees <= 50", vec!["Bee", "O'Neil"]),
        ("(Industry = 'Media' OR Industry = 'Retail') AND NumberOfEmployees < 10", vec!["O'Neil"]),
        ("Name LIKE 'c%\\_1'", vec!["Cat_1"]),
        ("Name LIKE '_ee'", vec!["Bee"]),
        ("NOT Name LIKE '%e%'", vec!["Ant", "Cat_1"]),
        ("Name = 'O\\'Neil'", vec!["O'Neil"]),
        ("Name IN ('Ant', 'bee')", vec!["Ant", "Bee"]),
        ("Name NOT IN ('Ant', 'Bee')", vec!["Cat_1", "O'Neil"]),
        ("Website = null", vec!["Bee", "Cat_1", "O'Neil"]),
        ("CreatedDate = TODAY AND CreatedDate >= LAST_N_DAYS:3", vec!["Ant", "Bee", "Cat_1", "O'Neil"]),
        ("CreatedDate < 2020-01-01T00:00:00Z", vec![]),
        ("Owner.Name = 'Ada Admin' AND Id IN (SELECT Id FROM Account WHERE Industry = 'Energy')", vec!["Ant", "Cat_1"]),
    ] {
        assert_eq!(org.names(&format!("SELECT Name FROM Account WHERE {filter} ORDER BY Name")), found, "{filter}");
    }
    assert_eq!(org.names("SELECT Name FROM Account ORDER BY NumberOfEmployees DESC LIMIT 1 OFFSET 1"), ["Bee"]);
    assert_eq!(org.query("SELECT COUNT() FROM Account").body["totalSize"], 4);
    let row = org.query("SELECT Id, Owner.Name, Owner.Email FROM Account LIMIT 1").body["records"][0].clone();
    assert_eq!((&row["Owner"]["Name"], &row["attributes"]["type"]), (&json!("Ada Admin"), &json!("Account")));
}

#[test]
fn queries_that_are_wrong_are_refused_as_salesforce_words_it() {
    let org = Org::new();
    org.account(&json!({ "Name": "A" }));
    for (soql, code, word) in [
        (
            "SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'",
            "MALFORMED_QUERY",
            "unexpected token: 'OR'",
        ),
        ("SELECT Id Account", "MALFORMED_QUERY", "unexpected token: 'Account'"),
        ("SELECT Id FROM Account WHERE Name = 'a", "MALFORMED_QUERY", "no end"),
        ("SELECT Id FROM Account GROUP BY Name", "MALFORMED_QUERY", "GROUP"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "should be enclosed in quotes"),
        (
            "SELECT Id FROM Account WHERE CreatedDate > '2026-01-01T00:00:00Z'",
            "INVALID_FIELD",
            "should not be enclosed in quotes",
        ),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Nope FROM Account", "INVALID_FIELD", "No such column 'Nope' on entity 'Account'"),
        ("SELECT Boss.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Boss'"),
        ("SELECT Id FROM Nope__c", "INVALID_TYPE", "sObject type 'Nope__c' is not supported"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY", "LIMIT"),
        ("SELECT Id FROM Account WHERE CreatedDate = LAST_N_DAYS:99999999999", "MALFORMED_QUERY", "unexpected token"),
    ] {
        let got = org.query(soql);
        assert_eq!(Org::code(&got), (400, code.to_owned()), "{soql}");
        assert!(got.body[0]["message"].as_str().is_some_and(|message| message.contains(word)), "{soql}: {}", got.body);
    }
    assert_eq!(org.get(&format!("query?q={}", "x".repeat(17_000))).status, 414);
}

#[test]
fn a_long_answer_comes_in_pages_that_can_be_lost() {
    let org = Org::new();
    for n in 0..450 {
        org.account(&json!({ "Name": format!("Corp {n}") }));
    }
    let small = |path: &str| {
        let headers = [("authorization", "Bearer 00Dsandbox!session"), ("sforce-query-options", "batchSize=1")];
        org.0.call(Vendor::Salesforce, "GET", path, &headers, None)
    };
    let first = small(&format!("{ROOT}/query?q=SELECT+Id+FROM+Account"));
    assert_eq!((first.body["totalSize"].clone(), first.body["done"].clone()), (json!(450), json!(false)));
    assert_eq!(first.body["records"].as_array().map(Vec::len), Some(200), "at least two hundred");
    let next = first.body["nextRecordsUrl"].as_str().expect("more").to_owned();
    let second = small(&next);
    let third = small(second.body["nextRecordsUrl"].as_str().expect("more"));
    assert_eq!((third.body["done"].clone(), third.body["records"].as_array().map(Vec::len)), (json!(true), Some(50)));
    org.0.world.salesforce(|desk, _| desk.forget_cursors());
    assert_eq!(Org::code(&small(&next)), (400, "INVALID_QUERY_LOCATOR".into()));
}

#[test]
fn rows_are_checked_trimmed_and_rounded() {
    let org = Org::new();
    let id = org.account(&json!({ "Name": "A" }));
    for (fields, code, named) in [
        (json!({ "Name": null }), "REQUIRED_FIELD_MISSING", Some("Name")),
        (json!({ "Name": "x".repeat(256) }), "STRING_TOO_LONG", Some("Name")),
        (json!({ "CreatedDate": "2026-01-01T00:00:00Z" }), "INVALID_FIELD_FOR_INSERT_UPDATE", Some("CreatedDate")),
        (json!({ "OwnerId": "0055g0000009999AAA" }), "INVALID_CROSS_REFERENCE_KEY", Some("OwnerId")),
        (json!({ "ParentId": "0035g0000000001AAA" }), "MALFORMED_ID", Some("ParentId")),
        (json!({ "NumberOfEmployees": 1e12 }), "NUMBER_OUTSIDE_VALID_RANGE", Some("NumberOfEmployees")),
        (json!({ "NumberOfEmployees": "many" }), "JSON_PARSER_ERROR", None),
        (json!({ "Nope": 1 }), "INVALID_FIELD", None),
    ] {
        let got = org.send("PATCH", &format!("sobjects/Account/{id}"), &fields);
        assert_eq!(Org::code(&got), (400, code.to_owned()), "{fields}");
        assert_eq!(got.body[0]["fields"][0].as_str(), named, "{fields}");
    }
    let saved = org.send(
        "PATCH",
        &format!("sobjects/Account/{}", &id[..15]),
        &json!({ "Name": "  B  ", "AnnualRevenue": 12.5 }),
    );
    assert_eq!(saved.status, 204);
    let row = org.get(&format!("sobjects/Account/{id}?fields=Name,AnnualRevenue")).body;
    assert_eq!((&row["Name"], &row["AnnualRevenue"]), (&json!("B"), &json!(13.0)));
    assert_eq!(Org::code(&org.get("sobjects/Account/0015g0000009999AAA")), (404, "NOT_FOUND".into()));
}

#[test]
fn collections_answer_row_by_row_or_not_at_all() {
    let org = Org::new();
    let of = |name: &str| json!({ "attributes": { "type": "Account" }, "Name": name });
    let got = org.send("POST", "composite/sobjects", &json!({ "records": [of("A"), of(""), of("C")] }));
    assert_eq!(got.status, 200);
    let good: Vec<_> = (0..3).map(|n| got.body[n]["success"].clone()).collect();
    assert_eq!(good, [json!(true), json!(false), json!(true)]);
    assert_eq!(got.body[1]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING");
    let all = org.send("POST", "composite/sobjects", &json!({ "allOrNone": true, "records": [of("D"), of("")] }));
    assert_eq!(all.body[0]["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK");
    assert_eq!(org.names("SELECT Name FROM Account ORDER BY Name"), ["A", "C"]);
    let many: Vec<_> = (0..201).map(|n| of(&n.to_string())).collect();
    assert_eq!(
        Org::code(&org.send("POST", "composite/sobjects", &json!({ "records": many }))),
        (400, "EXCEEDED_ID_LIMIT".into())
    );
    let wrong = json!({ "records": [of("E"), { "attributes": { "type": "Account" }, "Nope__c": 1 }] });
    assert_eq!(Org::code(&org.send("POST", "composite/sobjects", &wrong)), (400, "INVALID_FIELD".into()));
    let ids: Vec<String> = [0, 2].map(|n| got.body[n]["id"].as_str().unwrap_or_default().to_owned()).into();
    let read = org.send(
        "POST",
        "composite/sobjects/Account",
        &json!({ "ids": [ids[0], "0015g0000009999AAA"], "fields": ["Name"] }),
    );
    assert_eq!((&read.body[0]["Name"], &read.body[1]), (&json!("A"), &Value::Null));
    let gone = org.ask(TOKEN, "DELETE", &format!("{ROOT}/composite/sobjects?ids={}", ids.join(",")), None);
    assert!(gone.body.as_array().is_some_and(|rows| rows.iter().all(|row| row["success"] == true)));
    let again = org.ask(TOKEN, "DELETE", &format!("{ROOT}/composite/sobjects?ids={}", ids[0]), None);
    assert_eq!(again.body[0]["errors"][0]["statusCode"], "ENTITY_IS_DELETED");
    assert_eq!(org.query("SELECT COUNT() FROM Account").body["totalSize"], 0);
    assert_eq!(org.get("queryAll?q=SELECT+COUNT()+FROM+Account+WHERE+IsDeleted=true").body["totalSize"], 2);
}

#[test]
fn a_field_is_seen_by_nobody_until_it_is_shown_and_an_external_id_is_met_again() {
    let org = Org::new();
    let metadata = json!({ "type": "Text", "label": "Key", "length": 40, "externalId": true, "unique": true });
    let made = org.send(
        "POST",
        "tooling/sobjects/CustomField",
        &json!({ "FullName": "Account.Key__c", "Metadata": metadata }),
    );
    assert_eq!(made.status, 201, "{}", made.body);
    let twice = org.send(
        "POST",
        "tooling/sobjects/CustomField",
        &json!({ "FullName": "Account.Key__c", "Metadata": metadata }),
    );
    assert_eq!(Org::code(&twice).1, "DUPLICATE_DEVELOPER_NAME");
    let fields =
        |org: &Org| org.get("sobjects/Account/describe").body["fields"].as_array().cloned().unwrap_or_default();
    assert!(!fields(&org).iter().any(|field| field["name"] == "Key__c"));
    assert_eq!(Org::code(&org.query("SELECT Key__c FROM Account")).1, "INVALID_FIELD");
    let upsert = |org: &Org, key: &str, name: &str| {
        org.send("PATCH", &format!("sobjects/Account/Key__c/{key}"), &json!({ "Name": name }))
    };
    assert_eq!(Org::code(&upsert(&org, "k", "A")), (404, "NOT_FOUND".into()));
    org.0.world.salesforce(|desk, cx| desk.show_field(cx, "Account", "Key__c"));
    assert!(
        fields(&org)
            .iter()
            .any(|field| field["name"] == "Key__c" && field["externalId"] == true && field["updateable"] == true)
    );
    assert_eq!(
        (upsert(&org, "k", "A").status, upsert(&org, "K", "B").status),
        (201, 200),
        "case does not count unless it is said"
    );
    let rows = json!({ "records": [
        { "attributes": { "type": "Account" }, "Key__c": "k", "Name": "C" }, { "attributes": { "type": "Account" }, "Key__c": "n", "Name": "N" },
        { "attributes": { "type": "Account" }, "Key__c": "t", "Name": "T" }, { "attributes": { "type": "Account" }, "Key__c": "t", "Name": "T" },
    ] });
    let got = org.send("PATCH", "composite/sobjects/Account/Key__c", &rows).body;
    assert_eq!(
        (&got[0]["created"], &got[1]["created"], &got[2]["errors"][0]["statusCode"]),
        (&json!(false), &json!(true), &json!("DUPLICATE_VALUE"))
    );
    let plain = org.send("POST", "sobjects/Account", &json!({ "Name": "D", "Key__c": "N" }));
    assert_eq!(Org::code(&plain), (400, "DUPLICATE_VALUE".into()));
    assert_eq!(org.get("sobjects/Account/Key__c/n").body["Name"], "N");
    for wrong in [
        json!({ "type": "Text", "label": "x" }),
        json!({ "type": "LongTextArea", "label": "x", "length": 300 }),
        json!({ "type": "Checkbox", "label": "x" }),
    ] {
        let got = org.send(
            "POST",
            "tooling/sobjects/CustomField",
            &json!({ "FullName": "Account.Bad__c", "Metadata": wrong }),
        );
        assert_eq!(Org::code(&got).1, "REQUIRED_FIELD_MISSING", "{wrong}");
    }
    assert_eq!(org.get("tooling/query?q=SELECT+Id+FROM+CustomField+WHERE+TableEnumOrId='Account'").body["size"], 1);
}

#[test]
fn the_days_calls_are_counted_and_refused_when_they_are_used_up() {
    let org = Org::new();
    assert_eq!(org.get("limits").headers["sforce-limit-info"], "api-usage=1/100000");
    org.0.world.salesforce(|desk, _| desk.set_limit(2));
    assert_eq!(org.get("limits").body["DailyApiRequests"]["Remaining"], 0);
    assert_eq!(Org::code(&org.get("limits")), (403, "REQUEST_LIMIT_EXCEEDED".into()));
    assert_eq!(
        org.ask("none", "GET", "/services/data/", None).status,
        200,
        "this list costs nothing, and needs no session"
    );
    org.0.wait(24 * 3600 + 60);
    assert_eq!(org.get("limits").status, 200);
    org.0.world.salesforce(|desk, _| desk.set_limit(100));
    assert_eq!(org.ask(TOKEN, "GET", "/services/data/v20.0/limits", None).status, 410);
    assert_eq!(org.ask(TOKEN, "GET", "/services/data/v99.0/limits", None).status, 404);
}

#[test]
fn sessions_end_and_refresh_tokens_rotate() {
    let org = Org::new();
    assert_eq!(Org::code(&org.ask("bad", "GET", &format!("{ROOT}/limits"), None)), (401, "INVALID_SESSION_ID".into()));
    let client = format!("grant_type=client_credentials&client_id={CLIENT_ID}&client_secret=");
    assert_eq!(org.token(&format!("{client}wrong")).body["error"], "invalid_client");
    let got = org.token(&format!("{client}{CLIENT_SECRET}"));
    let token = got.body["access_token"].as_str().expect("a token").to_owned();
    assert!(
        got.body["instance_url"].as_str().is_some_and(|url| url.starts_with("https://"))
            && got.body.get("expires_in").is_none()
    );
    let works = |token: &str| org.ask(token, "GET", &format!("{ROOT}/limits"), None).status;
    assert_eq!(works(&token), 200);
    org.0.wait(TimeDelta::minutes(110).num_seconds());
    assert_eq!(works(&token), 200, "each use makes it last");
    org.0.wait(TimeDelta::minutes(121).num_seconds());
    assert_eq!(works(&token), 401);
    org.0.world.salesforce(|desk, _| desk.rotate_refresh_tokens(true));
    let page = org.ask("", "GET", &format!("/services/oauth2/authorize?response_type=code&client_id={CLIENT_ID}&redirect_uri=http%3A%2F%2F127.0.0.1%2Fb&state=s&code_challenge=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU&code_challenge_method=S256"), None);
    let back = page.headers["location"].to_str().expect("text").to_owned();
    let code = back.split("code=").nth(1).and_then(|rest| rest.split('&').next()).expect("a code").to_owned();
    let form = |verifier: &str| {
        format!(
            "grant_type=authorization_code&client_id={CLIENT_ID}&code={code}&redirect_uri=http%3A%2F%2F127.0.0.1%2Fb&code_verifier={verifier}"
        )
    };
    assert_eq!(org.token(&form("other")).body["error_description"], "invalid code verifier");
    assert_eq!(org.token(&form("")).body["error"], "invalid_grant", "a code works once");
}

#[test]
fn nothing_that_comes_in_makes_it_panic() {
    let org = Org::new();
    for path in [
        "/",
        "//",
        "/services",
        "/services/data/v",
        "/services/data/v67.0/query",
        "/services/data/v67.0/query/x-y",
        "/services/data/v67.0/query/01g5g0000000001AAA-99999999999999999999",
        "/services/data/v67.0/sobjects/Account/%00",
        "/services/data/v67.0/composite/sobjects?ids=%C3%A9",
        "/services/data/v67.0/sobjects/Account/updated?start=x",
        "/id/a/b?oauth_token=%",
        "/services/data/v67.0/query?q=%27",
        "/services/data/v67.0/query?q=SELECT",
        "/services/data/v67.0/query?q=SELECT+a..b+FROM+Account",
    ] {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            for body in [
                json!(null),
                json!([]),
                json!({ "records": [null] }),
                json!({ "records": [{ "attributes": { "type": 5 } }], "compositeRequest": [{ "url": "\u{7f}", "method": "\n" }] }),
            ] {
                org.ask(TOKEN, method, path, Some(&body));
            }
        }
    }
}

#[test]
fn what_breaks_says_so_in_its_own_words() {
    let org = Org::new();
    org.0.world.fail_next(Vendor::Salesforce, 1, FailKind::ServerError);
    let broken = org.get("limits");
    assert_eq!(Org::code(&broken), (500, "UNKNOWN_EXCEPTION".to_owned()));
    assert!(broken.header("sforce-limit-info").starts_with("api-usage="), "a call that failed is a call");
}

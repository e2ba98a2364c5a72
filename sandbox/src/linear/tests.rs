//! The stand-in's answers, refusals and webhooks, called in process.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::Request;
use serde_json::{Value, json};

use super::{KEY, Linear, OAUTH_TOKEN, OWNER, PERSON, seed::TEAM_ID};
use crate::faults::Rng;
use crate::world::{Context, Outgoing, StandIn};

mod changes;
mod refusals;

struct Bench {
    linear: Linear,
    rng: Rng,
    now: DateTime<Utc>,
    sent: Vec<Outgoing>,
}

impl Bench {
    fn new() -> Self {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default();
        Self { linear: Linear::default(), rng: Rng::seeded(11), now, sent: Vec::new() }
    }

    fn later(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    fn request(auth: &str, query: &str, variables: &Value) -> Request<Bytes> {
        let body = json!({"query": query, "variables": variables}).to_string();
        let request =
            Request::post("/graphql").header("authorization", auth).header("content-type", "application/json");
        request.body(Bytes::from(body)).unwrap()
    }

    fn full(&mut self, auth: &str, query: &str, variables: &Value) -> http::Response<Bytes> {
        let request = Self::request(auth, query, variables);
        let mut cx = Context { now: self.now, rng: &mut self.rng, outbox: &mut self.sent, base: "" };
        let response = match self.linear.admit(&request, &mut cx) {
            Ok(()) => self.linear.handle(&request, &mut cx),
            Err(refusal) => refusal,
        };
        self.linear.finish(&request, response, &mut cx)
    }

    #[expect(clippy::needless_pass_by_value, reason = "calls read better with a plain json!")]
    fn ask(&mut self, query: &str, variables: Value) -> (u16, Value) {
        let response = self.full(KEY, query, &variables);
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    /// The data of a call that must go well.
    #[track_caller]
    fn data(&mut self, query: &str, variables: Value) -> Value {
        let (status, body) = self.ask(query, variables);
        assert_eq!(status, 200, "{body}");
        assert!(body.get("errors").is_none(), "{body}");
        body["data"].clone()
    }

    fn desk<R>(&mut self, act: impl FnOnce(&mut Linear, &mut Context<'_>) -> R) -> R {
        let mut cx = Context { now: self.now, rng: &mut self.rng, outbox: &mut self.sent, base: "" };
        act(&mut self.linear, &mut cx)
    }

    fn create(&mut self, title: &str) -> String {
        self.desk(|linear, cx| linear.create_issue(cx, "ENG", title, &Value::Null))
    }

    fn told(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.sent).iter().map(|o| serde_json::from_slice(&o.body).unwrap()).collect()
    }
}

#[test]
fn reads_what_clients_read_first() {
    let mut bench = Bench::new();
    let data = bench.data(
        "query { viewer { __typename id email teams { nodes { key } } } organization { name urlKey }
                 teams(first: 5) { nodes { id key name states { nodes { name type position } } } pageInfo { hasNextPage endCursor } } }",
        json!({}),
    );
    assert_eq!(data["viewer"]["id"], OWNER);
    assert_eq!(data["viewer"]["__typename"], "User");
    assert_eq!(data["teams"]["nodes"][0]["key"], "ENG");
    assert_eq!(data["teams"]["nodes"][0]["states"]["nodes"].as_array().unwrap().len(), 7);
    assert_eq!(data["organization"]["urlKey"], "sandbox");
}

#[test]
fn fragments_aliases_and_directives() {
    let mut bench = Bench::new();
    bench.create("One");
    let data = bench.data(
        "query Q($with: Boolean!) { mine: issues { ...C } }
         fragment C on IssueConnection { nodes { name: title ... on Issue { team @include(if: $with) { key } state @skip(if: $with) { name } } ...N } }
         fragment N on Node { id }",
        json!({"with": true}),
    );
    let node = &data["mine"]["nodes"][0];
    assert_eq!((&node["name"], &node["team"]["key"]), (&json!("One"), &json!("ENG")));
    assert!(node.get("state").is_none() && node["id"].is_string());
}

#[test]
fn pages_newest_first_by_the_id_of_the_last_row() {
    let mut bench = Bench::new();
    for n in 0..5 {
        bench.create(&format!("Issue {n}"));
        bench.later(1);
    }
    let query = "query($after: String) { issues(first: 2, after: $after, orderBy: updatedAt) { nodes { id title } pageInfo { hasNextPage endCursor } } }";
    let (mut titles, mut after) = (Vec::new(), Value::Null);
    loop {
        let page = bench.data(query, json!({"after": after}))["issues"].clone();
        titles.extend(page["nodes"].as_array().unwrap().iter().map(|n| n["title"].clone()));
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        assert_eq!(page["nodes"][1]["id"], after);
    }
    assert_eq!(titles, ["Issue 4", "Issue 3", "Issue 2", "Issue 1", "Issue 0"]);
}

#[test]
fn filters() {
    let mut bench = Bench::new();
    let first = bench.create("First");
    bench.later(100);
    let second = bench.create("Second");
    let since = bench.now;
    bench.desk(|linear, cx| linear.add_label(cx, &second, "Bug"));
    let attach = "mutation($i: AttachmentCreateInput!) { attachmentCreate(input: $i) { attachment { id } } }";
    bench.data(attach, json!({"i": {"issueId": second, "title": "t", "url": "https://source.example/1"}}));
    let query = "query($f: IssueFilter) { issues(filter: $f) { nodes { id } } }";
    let cases = [
        (json!({"updatedAt": {"gte": since.to_rfc3339()}}), vec![&second]),
        (json!({"updatedAt": {"lt": since.to_rfc3339()}}), vec![&first]),
        (json!({"updatedAt": {"gt": "-PT50S"}}), vec![&second]),
        (json!({"id": {"in": [first]}}), vec![&first]),
        (json!({"id": {"eq": "ENG-2"}}), vec![&second]),
        (json!({"team": {"id": {"eq": TEAM_ID}}, "title": {"contains": "ir"}}), vec![&first]),
        (json!({"labels": {"name": {"eq": "Bug"}}}), vec![&second]),
        (json!({"labels": {"length": {"eq": 0}}}), vec![&first]),
        (json!({"attachments": {"url": {"eq": "https://source.example/1"}}}), vec![&second]),
        (json!({"or": [{"title": {"eqIgnoreCase": "first"}}, {"number": {"gte": 2}}]}), vec![&second, &first]),
        (json!({"assignee": {"null": true}, "state": {"type": {"nin": ["backlog"]}}}), vec![]),
    ];
    for (filter, expected) in cases {
        let data = bench.data(query, json!({"f": filter}));
        let ids: Vec<&str> =
            data["issues"]["nodes"].as_array().unwrap().iter().map(|n| n["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{filter}");
    }
    let found =
        bench.data("{ attachmentsForURL(url: \"https://source.example/1\") { nodes { issue { id } } } }", json!({}));
    assert_eq!(found["attachmentsForURL"]["nodes"][0]["issue"]["id"], *second);
}

#[test]
fn unmodelled_fields_that_exist_answer_null_or_the_plainest_value() {
    let mut bench = Bench::new();
    let id = bench.create("Plain");
    let data = bench.data(
        "query($id: String!) { issue(id: $id) { cycle { id } slaType boardOrder previousIdentifiers reactions { id } inheritsSharedAccess
           sharedAccess { __typename } subscribers { nodes { id } } relations { nodes { id } pageInfo { hasNextPage } } botActor { id type } } }",
        json!({"id": id}),
    );
    let issue = &data["issue"];
    assert_eq!((&issue["cycle"], &issue["boardOrder"], &issue["reactions"]), (&Value::Null, &json!(0), &json!([])));
    assert_eq!(issue["relations"]["nodes"], json!([]));
    assert_eq!(issue["subscribers"]["nodes"][0]["id"], PERSON);
}

#[test]
fn quota_headers_and_status() {
    let mut bench = Bench::new();
    let response = bench.full(
        KEY,
        "{ rateLimitStatus { kind identifier limits { type allowedAmount remainingAmount period reset } } }",
        &json!({}),
    );
    let header = |name: &str| response.headers()[name].to_str().unwrap().parse::<f64>().unwrap();
    assert_eq!((header("x-ratelimit-requests-limit"), header("x-ratelimit-requests-remaining")), (2_500.0, 2_499.0));
    assert_eq!(header("x-ratelimit-complexity-limit"), 3_000_000.0);
    let reset = header("x-ratelimit-requests-reset");
    let now = 1_790_000_000_000.0;
    assert!(reset > now && reset < now + 3_600_000.0, "milliseconds");
    let oauth = bench.full(&format!("Bearer {OAUTH_TOKEN}"), "{ viewer { id app } }", &json!({}));
    assert_eq!(oauth.headers()["x-ratelimit-requests-limit"], "5000");
    assert!(String::from_utf8_lossy(oauth.body()).contains("\"app\":true"));
}

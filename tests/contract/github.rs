//! The GitHub connector against its stand-in. Every request is also checked against GitHub's OpenAPI document.

use std::sync::Arc;
use std::time::Duration;

use connectors::{
    Connector, Cursor, Fault, Kind, Message, MessageKind, Next, Outside, Record, Request, Secrets, Sent, Shape,
    TagChange, Write, Written,
};
use sandbox::github::{Edit, NewIssue};
use sandbox::{FailKind, Vendor, World};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use crate::pull;
use crate::recording::Recording;
use crate::spec;
use crate::support::{InProcess, TestClock};

const REPO: &str = "acme/widgets";
const ISSUES: &str = "issues:acme/widgets";
const COMMENTS: &str = "comments:acme/widgets";
const PEM: &str = include_str!("../../connectors/github/fixtures/app_key_for_tests_only.pem");
const PUBLIC: &str = include_str!("../../connectors/github/fixtures/app_public_key_for_tests_only.pem");

struct Bench {
    world: Arc<World>,
    clock: Arc<TestClock>,
    sent: Arc<Recording>,
    github: Arc<dyn Connector>,
}

impl Bench {
    fn new() -> Self {
        Self::with(&json!({}))
    }

    fn with(more: &Value) -> Self {
        let clock = TestClock::new();
        let world = World::new(7, clock.hands());
        world.github(|desk, cx| desk.create_repo(REPO, cx));
        let (sent, github) = open(&world, &clock, more);
        // What others wrote before is waited out.
        clock.advance(Duration::from_secs(2));
        Self { world, clock, sent, github }
    }

    fn open_issues(&self, n: u64) {
        for at in 0..n {
            let title = format!("Issue {at}");
            let new = NewIssue { title: &title, body: Some("It broke."), author: "ada", ..NewIssue::default() };
            self.world.github(|desk, cx| desk.open_issue(REPO, &new, cx)).expect("the repository is there");
        }
    }

    async fn pull_all(&self, stream: &str, at: &mut Option<Cursor>) -> Result<Vec<Record>, Fault> {
        let source = self.github.source().expect("it reads");
        pull::all(at, async |at| source.pull(stream, at).await).await
    }

    async fn fetch(&self, id: &str) -> Result<Option<Record>, Fault> {
        self.github.source().expect("it reads").fetch(&connectors::Key::new("issue", id)).await
    }

    async fn label(&self, number: u64, add: &[&str], remove: &[&str]) -> Result<Written, Fault> {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let write = Write {
            external_id: "00000000-0000-4000-8000-000000000001".into(),
            target: Some(format!("{REPO}#{number}")),
            fields: Map::new(),
            tags: [("labels".to_owned(), TagChange { add: names(add), remove: names(remove) })].into(),
        };
        let sink = self.github.sink().expect("it writes");
        // Writes are a second apart.
        for _ in 0..20 {
            match sink.write("issue", std::slice::from_ref(&write)).await.remove(0) {
                Err(Fault::Later { after: Some(wait), .. }) if wait <= Duration::from_secs(3) => {
                    self.clock.advance(wait);
                }
                verdict => return verdict,
            }
        }
        panic!("a write that never comes through");
    }

    fn labels(&self, number: u64) -> Vec<String> {
        self.world.github(|desk, _| desk.issue(REPO, number).map(|issue| issue.labels.clone())).unwrap_or_default()
    }

    async fn send(&self, message: &Message) -> Result<Sent, Fault> {
        self.github.messenger().expect("it answers").send(message).await
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let Some(spec) = spec::github() else { return };
        for request in self.sent.seen() {
            assert!(
                request.headers().contains_key("x-github-api-version") && request.headers().contains_key("user-agent")
            );
            // GitHub's own links lead to paths and cursors that its document does not list.
            if !request.uri().path().starts_with("/repositories/") {
                assert_eq!(spec.check("", &request), Ok(()));
            }
        }
    }
}

fn open(world: &Arc<World>, clock: &Arc<TestClock>, more: &Value) -> (Arc<Recording>, Arc<dyn Connector>) {
    let transport = InProcess { world: world.clone(), vendor: Vendor::GitHub, clock: clock.clone() };
    let sent = Recording::new(Arc::new(transport));
    let outside =
        Outside { transport: sent.clone(), clock: clock.clone(), vault: Arc::new(connectors::oauth::NoVault) };
    let mut settings = json!({ "repos": [REPO] });
    settings.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
    let secrets: Secrets =
        [("token", Vendor::GitHub.token()), ("app_private_key", PEM), ("webhook_secret", "hook secret")]
            .map(|(name, value)| (name.to_owned(), SecretString::from(value)))
            .into();
    (sent, connectors::open(Kind::GitHub, &settings, &secrets, &outside).expect("it opens"))
}

fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.key.id.as_str()).collect()
}

#[tokio::test]
async fn every_issue_comes_once_over_many_pages_and_an_idle_look_is_free() {
    let bench = Bench::new();
    bench.open_issues(250);
    bench.world.github(|desk, cx| {
        desk.open_issue(REPO, &NewIssue { title: "PR", author: "ada", pull_request: true, ..NewIssue::default() }, cx)
    });
    bench.clock.advance(Duration::from_secs(3600));
    let mut at = None;
    let records = bench.pull_all(ISSUES, &mut at).await.expect("read");
    let mut numbers: Vec<_> = ids(&records).into_iter().map(str::to_owned).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!((records.len(), numbers.len()), (250, 250));
    let body = records[0].body.as_ref().expect("there");
    assert_eq!(
        (&body["title"], &body["body"], &body["user"]["login"]),
        (&json!("Issue 0"), &json!("It broke."), &json!("ada"))
    );
    assert!(records[0].url.is_some() && records[0].version.is_some());

    // Nothing changed: two looks later GitHub answers 304 (of a second that is over). An edit is seen at once, and only the edited come.
    bench
        .world
        .github(|desk, cx| desk.edit_issue(REPO, 3, Edit { title: Some("Now".into()), ..Edit::default() }, "ada", cx));
    assert_eq!(ids(&bench.pull_all(ISSUES, &mut at).await.expect("read")), ["acme/widgets#3"]);
    bench.clock.advance(Duration::from_secs(60));
    bench.pull_all(ISSUES, &mut at).await.expect("read");
    let before = bench.sent.seen().len();
    assert_eq!(bench.pull_all(ISSUES, &mut at).await.expect("read"), []);
    assert!(bench.sent.seen()[before].headers().contains_key("if-none-match"));
    bench.world.github(|desk, cx| desk.close_issue(REPO, 5, "ada", cx));
    let records = bench.pull_all(ISSUES, &mut at).await.expect("read");
    assert!(ids(&records).contains(&"acme/widgets#5"), "{:?}", ids(&records));
}

#[tokio::test]
async fn a_page_that_is_full_before_a_hundred_hides_nothing() {
    let bench = Bench::new();
    bench.world.github(|desk, _| desk.set_most_per_page(3));
    bench.open_issues(3);
    let mut at = None;
    assert_eq!(bench.pull_all(ISSUES, &mut at).await.expect("read").len(), 3);
    bench.clock.advance(Duration::from_secs(60));
    for _ in 0..2 {
        bench.pull_all(ISSUES, &mut at).await.expect("read");
    }
    let before = bench.sent.seen().len();
    assert_eq!(bench.pull_all(ISSUES, &mut at).await.expect("read"), []);
    assert_eq!(bench.sent.seen().len(), before + 1, "an idle look is one call");
    assert!(bench.sent.seen()[before].headers().contains_key("if-none-match"));

    bench.open_issues(5);
    bench.clock.advance(Duration::from_secs(60));
    let records = bench.pull_all(ISSUES, &mut at).await.expect("read");
    for number in 4..=8 {
        assert!(ids(&records).contains(&format!("{REPO}#{number}").as_str()), "{:?}", ids(&records));
    }
}

#[tokio::test]
async fn what_changes_during_a_pass_is_not_missed() {
    let bench = Bench::new();
    bench.open_issues(150);
    bench.clock.advance(Duration::from_secs(60));
    let source = bench.github.source().expect("it reads");
    let first = source.pull(ISSUES, None).await.expect("a page");
    let Next::More(at) = first.next else { panic!("there are two pages") };
    bench.clock.advance(Duration::from_secs(5));
    for number in 1..=60 {
        bench.world.github(|desk, cx| desk.close_issue(REPO, number, "ada", cx));
    }
    let mut at = Some(at);
    let mut seen = first.records;
    seen.extend(bench.pull_all(ISSUES, &mut at).await.expect("read"));
    seen.extend(bench.pull_all(ISSUES, &mut at).await.expect("read"));
    for number in 1..=150 {
        let last = seen.iter().rev().find(|record| record.key.id == format!("{REPO}#{number}")).expect("seen");
        assert_eq!(
            last.body.as_ref().expect("there")["state"],
            if number <= 60 { "closed" } else { "open" },
            "{number}"
        );
    }
}

#[tokio::test]
async fn the_page_cap_is_passed_by_following_links() {
    let bench = Bench::new();
    bench.world.github(|desk, _| desk.set_page_cap(200));
    bench.open_issues(450);
    assert_eq!(bench.pull_all(ISSUES, &mut None).await.expect("read").len(), 450);
}

#[tokio::test]
async fn comments_come_with_their_issue_and_edits_and_deletions_are_seen() {
    let bench = Bench::new();
    bench.open_issues(1);
    let new = NewIssue { title: "PR", author: "ada", pull_request: true, ..NewIssue::default() };
    let pr = bench.world.github(|desk, cx| desk.open_issue(REPO, &new, cx)).expect("opened");
    let id = bench.world.github(|desk, cx| desk.comment(REPO, 1, "bob", "Me too", cx)).expect("written");
    bench.world.github(|desk, cx| desk.comment(REPO, pr, "bob", "LGTM", cx));
    let mut at = None;
    let records = bench.pull_all(COMMENTS, &mut at).await.expect("read");
    assert_eq!(ids(&records), [format!("{REPO}/comments/{id}")]);
    let body = records[0].body.as_ref().expect("there");
    assert_eq!((&body["issue_key"], &body["body"]), (&json!("acme/widgets#1"), &json!("Me too")));
    bench.clock.advance(Duration::from_secs(5));
    bench.world.github(|desk, cx| desk.edit_comment(REPO, id, "Me three", "bob", cx));
    let records = bench.pull_all(COMMENTS, &mut at).await.expect("read");
    assert_eq!(records[0].body.as_ref().expect("there")["body"], "Me three");
    bench.world.github(|desk, cx| desk.delete_comment(REPO, id, "bob", cx));
    let source = bench.github.source().expect("it reads");
    assert_eq!(source.fetch(&records[0].key).await.expect("read").expect("ours").body, None);
    assert_eq!(source.ids("comment", None).await.expect("read").expect("it lists").ids, Vec::<String>::new());
}

#[tokio::test]
async fn deleted_transferred_and_renamed_are_told_apart() {
    let bench = Bench::new();
    bench.open_issues(3);
    bench.world.github(|desk, cx| desk.create_repo("acme/other", cx));
    let binding = bench.github.attach(&Shape::default(), None, None).await.expect("attached");
    bench.world.github(|desk, cx| desk.delete_issue(REPO, 1, "ada", cx));
    bench.world.github(|desk, cx| desk.transfer_issue(REPO, 2, "acme/other", "ada", cx));
    let gone = |record: Option<Record>| record.expect("ours").body.is_none();
    assert!(gone(bench.fetch("acme/widgets#1").await.expect("read")));
    assert!(gone(bench.fetch("acme/widgets#2").await.expect("read")));
    assert!(!gone(bench.fetch("acme/widgets#3").await.expect("read")));

    bench.world.github(|desk, cx| desk.rename_repo(REPO, "acme/gadgets", cx));
    let record = bench.fetch("acme/widgets#3").await.expect("read").expect("ours");
    assert_eq!((record.key.id.as_str(), record.body.is_some()), ("acme/widgets#3", true));
    assert_eq!(ids(&bench.pull_all(ISSUES, &mut None).await.expect("read")), ["acme/widgets#3"]);
    assert!(matches!(bench.label(3, &["kept"], &[]).await, Ok(Written::Stored(_))));
    let again = bench.github.attach(&Shape::default(), None, Some(&binding)).await.expect("attached");
    assert_eq!(again["repos"], binding["repos"]);
}

#[tokio::test]
async fn the_list_of_what_exists_spans_pages_and_repositories() {
    let bench = Bench::with(&json!({"repos": [REPO, "acme/other"]}));
    bench.open_issues(130);
    bench.world.github(|desk, cx| desk.create_repo("acme/other", cx));
    bench.world.github(|desk, cx| {
        desk.open_issue("acme/other", &NewIssue { title: "t", author: "ada", ..NewIssue::default() }, cx)
    });
    let source = bench.github.source().expect("it reads");
    let (mut at, mut all) = (None, Vec::new());
    loop {
        let page = source.ids("issue", at.as_ref()).await.expect("read").expect("it lists");
        all.extend(page.ids);
        at = page.next;
        if at.is_none() {
            break;
        }
    }
    assert_eq!((all.len(), all.last().map(String::as_str)), (131, Some("acme/other#1")));
    assert!(source.ids("star", None).await.expect("read").is_none());
}

#[tokio::test]
async fn labels_are_added_and_removed_and_those_of_others_stay() {
    let bench = Bench::new();
    bench.open_issues(1);
    bench.world.github(|desk, cx| desk.label_issue(REPO, 1, &["theirs", "old"], "ada", cx));
    let Ok(Written::Stored(receipt)) = bench.label(1, &["Severity: high"], &["old", "never there"]).await else {
        panic!("stored")
    };
    assert_eq!(receipt.fields["labels"], json!(["Severity: high", "theirs"]));
    assert!(receipt.version.is_some() && !receipt.created);
    let mut there = bench.labels(1);
    there.sort();
    assert_eq!(there, ["Severity: high", "theirs"]);
    // Twice is the same as once.
    assert!(matches!(bench.label(1, &["Severity: high"], &[]).await, Ok(Written::Stored(_))));
    assert_eq!(bench.labels(1).len(), 2);
    let sink = bench.github.sink().expect("it writes");
    let read = sink.read("issue", &["acme/widgets#1".into(), "acme/widgets#99".into()]).await.expect("read");
    assert_eq!(read[0].body, Some(json!({"labels": ["Severity: high", "theirs"]})));
    assert_eq!(read[1].body, None);
    assert_eq!(bench.label(99, &["x"], &[]).await, Ok(Written::Gone));
    assert_eq!(sink.find("issue", &["x".into()]).await, Ok(vec![None]));
}

#[tokio::test]
async fn a_read_that_fails_says_come_back_and_loses_nothing() {
    for kind in [
        FailKind::Unavailable,
        FailKind::ServerError,
        FailKind::CutBefore,
        FailKind::CutAfter,
        FailKind::BadGatewayAfter,
        FailKind::Throttled,
    ] {
        let bench = Bench::new();
        bench.open_issues(120);
        let mut at = None;
        bench.world.fail_next_operation(Vendor::GitHub, "GET", 1, kind);
        let fault = bench.pull_all(ISSUES, &mut at).await.expect_err("it fails");
        assert!(matches!(fault, Fault::Later { .. } | Fault::Unknown { .. }), "{kind:?}: {fault}");
        assert_eq!(bench.github.meter().throttled, u64::from(kind == FailKind::Throttled));
        if kind == FailKind::Throttled {
            let before = bench.sent.seen().len();
            assert!(matches!(bench.pull_all(ISSUES, &mut at).await, Err(Fault::Later { after: Some(_), .. })));
            assert_eq!(bench.sent.seen().len(), before, "the gate is shut");
        }
        bench.clock.advance(Duration::from_secs(3700));
        assert_eq!(bench.pull_all(ISSUES, &mut at).await.expect("read").len(), 120, "{kind:?}");
    }
}

#[tokio::test]
async fn an_exhausted_hour_waits_for_its_reset() {
    let bench = Bench::new();
    let now = bench.world.now();
    bench.world.github(|desk, _| desk.exhaust_quota(Vendor::GitHub.token(), now));
    let Err(Fault::Later { after: Some(wait), .. }) = bench.pull_all(ISSUES, &mut None).await else {
        panic!("it waits")
    };
    assert!(wait > Duration::from_secs(1) && wait <= Duration::from_secs(3660), "{wait:?}");
    bench.clock.advance(wait + Duration::from_secs(1));
    assert_eq!(bench.pull_all(ISSUES, &mut None).await.expect("read"), []);
}

#[tokio::test]
async fn a_write_that_fails_says_whether_it_may_have_happened() {
    for (kind, unknown) in [
        (FailKind::ServerError, true),
        (FailKind::CutBefore, true),
        (FailKind::CutAfter, true),
        (FailKind::ErrorAfter, true),
        (FailKind::Throttled, false),
    ] {
        let bench = Bench::new();
        bench.open_issues(1);
        bench.world.fail_next_operation(Vendor::GitHub, "POST", 1, kind);
        let message = Message {
            id: "m-1".into(),
            to: connectors::Key::new("issue", "acme/widgets#1"),
            kind: MessageKind::Reply,
            body: "Shipped.".into(),
        };
        let fault = bench.send(&message).await.expect_err("it fails");
        assert_eq!(matches!(fault, Fault::Unknown { .. }), unknown, "{kind:?}: {fault}");
        bench.clock.advance(Duration::from_secs(3700));
        let messenger = bench.github.messenger().expect("it answers");
        let found = messenger.find(&message).await.expect("read");
        assert_eq!(found.is_some(), matches!(kind, FailKind::CutAfter | FailKind::ErrorAfter), "{kind:?}");
        if found.is_none() {
            let sent = bench.send(&message).await.expect("sent");
            assert_eq!(messenger.find(&message).await.expect("read").map(|found| found.id), Some(sent.id));
        }
        assert_eq!(bench.world.github(|desk, _| desk.comments_containing("loopd:m-1")), 1);
    }
    let bench = Bench::new();
    let nobody = Message {
        id: "m".into(),
        to: connectors::Key::new("issue", "acme/widgets#9"),
        kind: MessageKind::Reply,
        body: "x".into(),
    };
    assert!(matches!(bench.send(&nobody).await, Err(Fault::Rejected { .. })));
    let note = Message { kind: MessageKind::Note, ..nobody };
    assert!(matches!(bench.send(&note).await, Err(Fault::Rejected { .. })));
}

#[tokio::test]
async fn a_revoked_token_locks() {
    let bench = Bench::new();
    bench.open_issues(1);
    assert_eq!(bench.github.probe().await.expect("seen").notes, Vec::<String>::new());
    bench.world.github(|desk, _| desk.revoke_token(Vendor::GitHub.token()));
    assert!(matches!(bench.pull_all(ISSUES, &mut None).await, Err(Fault::Locked { .. })));
    assert!(matches!(bench.label(1, &["x"], &[]).await, Err(Fault::Locked { .. })));
    assert!(matches!(bench.github.probe().await, Err(Fault::Locked { .. })));
    let lost = Bench::with(&json!({"repos": ["acme/nowhere"]}));
    assert!(matches!(lost.pull_all("issues:acme/nowhere", &mut None).await, Err(Fault::Locked { .. })));
    assert!(matches!(lost.github.attach(&Shape::default(), None, None).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn an_app_works_beyond_the_hour_of_its_token() {
    let bench = Bench::with(&json!({"app": {"client_id": "Iv23sandbox", "installation_id": 4242}}));
    assert!(bench.world.github(|desk, _| desk.register_app(99, "Iv23sandbox", 4242, Some(PUBLIC))));
    bench.open_issues(2);
    let mut at = None;
    assert_eq!(bench.pull_all(ISSUES, &mut at).await.expect("read").len(), 2);
    bench.pull_all(ISSUES, &mut at).await.expect("read");
    let mints = |bench: &Bench| bench.sent.lines(0).iter().filter(|line| line.ends_with("/access_tokens")).count();
    assert_eq!(mints(&bench), 1);
    bench.clock.advance(Duration::from_secs(2 * 3600));
    bench.open_issues(1);
    assert_eq!(ids(&bench.pull_all(ISSUES, &mut at).await.expect("read")).last(), Some(&"acme/widgets#3"));
    assert_eq!(mints(&bench), 2);
    let stranger = Bench::with(&json!({"app": {"client_id": "Iv23stranger", "installation_id": 1}}));
    assert!(matches!(stranger.pull_all(ISSUES, &mut None).await, Err(Fault::Locked { .. })));
}

#[tokio::test]
async fn webhooks_bring_whole_records_and_forgeries_are_refused() {
    let bench = Bench::new();
    bench.github.attach(&Shape::default(), None, None).await.expect("attached");
    bench.world.github(|desk, cx| desk.set_webhook(REPO, "https://loopd.example/hooks/github", "hook secret", cx));
    bench.open_issues(1);
    bench.world.github(|desk, cx| {
        desk.comment(REPO, 1, "bob", "Me too", cx);
        desk.rename_repo(REPO, "acme/gadgets", cx);
        desk.label_issue("acme/gadgets", 1, &["x"], "ada", cx);
        desk.delete_issue("acme/gadgets", 1, "ada", cx);
    });
    let hook = bench.github.webhook().expect("it receives");
    let mut seen = Vec::new();
    for outgoing in bench.world.due_webhooks() {
        let mut headers = outgoing.headers.clone();
        let raw = Request { headers: &headers, body: &outgoing.body };
        let delivery = hook.open(raw, bench.world.now()).expect("it is GitHub's");
        assert_eq!(delivery.id, outgoing.headers["x-github-delivery"].to_str().expect("text"));
        seen.extend(delivery.records.into_iter().map(|record| (record.key.id, record.body.is_some())));
        let mut body = outgoing.body.to_vec();
        body.push(b' ');
        assert_eq!(
            hook.open(Request { headers: &headers, body: &body }, bench.world.now()).expect_err("forged").status(),
            401
        );
        headers.remove("x-hub-signature-256");
        assert_eq!(
            hook.open(Request { headers: &headers, body: &outgoing.body }, bench.world.now())
                .expect_err("unsigned")
                .status(),
            401
        );
        bench.world.delivered(outgoing, Some(202));
    }
    let issue = |body| ("acme/widgets#1".to_owned(), body);
    assert_eq!((seen.first(), seen.last()), (Some(&issue(true)), Some(&issue(false))));
    assert!(seen.iter().any(|(id, body)| id.starts_with("acme/widgets/comments/") && *body), "{seen:?}");
}

#[tokio::test]
async fn setup_makes_the_labels_once() {
    let bench = Bench::new();
    let setup = bench.github.setup().expect("it sets up");
    let shape: Shape = serde_json::from_value(json!({"collections": [{"name": "issue", "key": null, "fields": [
        {"name": "labels", "kind": "tags", "options": ["feedback: shipped", "feedback: building"], "links_to": null, "description": "Set by loopd"}]}]}))
    .expect("a shape");
    let plan = setup.plan(&shape).await.expect("a plan");
    assert_eq!(plan.len(), 2);
    for change in &plan {
        bench.clock.advance(Duration::from_secs(2));
        setup.apply(change).await.expect("made");
    }
    assert_eq!(setup.plan(&shape).await, Ok(vec![]));
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(setup.apply(&plan[0]).await, Ok(()));
}

//! GitHub against a script: servers and proxies that know less of GitHub than GitHub.

use serde_json::{Value, json};

use super::tests::{github, github_with, issue};
use super::types::Repository;
use crate::{Connector, Fault, Next, Shape, Sink, Source, TagChange, Write, Written};

fn not_found() -> Value {
    json!({"message": "Not Found"})
}

#[tokio::test]
async fn a_repository_that_only_lists_its_issues_is_there() {
    let (github, script, _) = github();
    script.answer(404, &not_found());
    script.answer(200, &json!([issue(1, "2026-11-22T10:00:00Z")]));
    let binding = github.attach(&Shape::default(), None, None).await.expect("attached");
    assert_eq!(binding, json!({"repos": {}}));
    assert_eq!(script.lines()[1], "GET /api/v3/repos/acme/widgets/issues?state=all&per_page=1");
}

#[tokio::test]
async fn a_full_page_without_links_is_followed_by_time() {
    let (github, script, _) = github();
    let full: Vec<_> = (1..=100).map(|number| issue(number, "2026-11-22T10:00:00Z")).collect();
    script.answer(200, &json!(full));
    script.answer(200, &json!(full));
    let page = github.pull("issues:acme/widgets", None).await.expect("a page");
    let Next::More(at) = page.next else { panic!("there may be more") };
    // The same again is no progress.
    let page = github.pull("issues:acme/widgets", Some(&at)).await.expect("a page");
    assert!(matches!(page.next, Next::CaughtUp(_)));
    assert!(script.lines()[1].ends_with("since=2026-11-22T09%3A58%3A00Z"), "{:?}", script.lines());
}

#[tokio::test]
async fn a_link_may_be_a_query_only() {
    let (github, script, _) = github();
    script.answer_with(200, &[("link", "<?page=2>; rel=\"next\"")], &json!([issue(1, "2026-11-22T10:00:00Z")]));
    script.answer(200, &json!([]));
    let page = github.pull("issues:acme/widgets", None).await.expect("a page");
    let Next::More(at) = page.next else { panic!("there is more") };
    github.pull("issues:acme/widgets", Some(&at)).await.expect("a page");
    assert_eq!(script.lines()[1], "GET /api/v3/repos/acme/widgets/issues?page=2");
}

#[tokio::test]
async fn labels_that_were_taken_are_stored_whatever_the_look_says() {
    let (github, script, _) = github();
    script.answer(200, &json!([{"name": "a"}]));
    script.answer(404, &not_found());
    script.answer(200, &json!({"id": 7, "full_name": "acme/widgets"}));
    let change = TagChange { add: vec!["a".into()], remove: vec![] };
    let write = Write {
        external_id: "x".into(),
        target: Some("acme/widgets#9".into()),
        fields: serde_json::Map::new(),
        tags: [("labels".to_owned(), change)].into(),
    };
    let written = github.write("issue", &[write]).await.remove(0);
    assert!(
        matches!(&written, Ok(Written::Stored(receipt)) if receipt.fields["labels"] == json!(["a"])),
        "{written:?}"
    );
}

#[tokio::test]
async fn what_is_missing_stops_its_own_stream_only() {
    let (github, script, _) = github_with(&json!({"repos": ["acme/widgets", "acme/hidden"]}));
    // The repository is there, its comments are not.
    script.answer(404, &not_found());
    script.answer(200, &json!({"id": 7, "full_name": "acme/widgets"}));
    assert!(matches!(github.pull("comments:acme/widgets", None).await, Err(Fault::Rejected { .. })));
    // Another repository is hidden.
    for _ in 0..3 {
        script.answer(404, &not_found());
    }
    assert!(matches!(github.pull("issues:acme/hidden", None).await, Err(Fault::Rejected { .. })));
}

#[test]
fn a_repository_without_its_full_name_is_put_together() {
    let read = Repository::read(&json!({"name": "widgets", "owner": {"login": "acme"}}));
    assert_eq!(read.full_name.as_deref(), Some("acme/widgets"));
    assert_eq!(Repository::read(&json!({"name": "widgets"})).full_name, None);
}

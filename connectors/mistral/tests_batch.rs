//! Batches against a script.

use serde_json::{Value, json};

use super::tests::{model_with, question};
use crate::Fault;
use crate::http::Broken;
use crate::model::{BatchLine, BatchState, ChatRequest};

fn lines(count: usize) -> Vec<BatchLine> {
    (0..count)
        .map(|n| BatchLine {
            custom_id: format!("FB-{n}"),
            request: ChatRequest { user: format!("text {n}"), ..question() },
        })
        .collect()
}

#[tokio::test]
async fn few_lines_go_inside_and_many_as_a_file() {
    let (model, script, _) = model_with(&json!({}));
    let batches = model.batches().expect("it has them");
    script.answer(200, &json!({"id": "job-1"}));
    assert_eq!(batches.submit("backfill 1", &lines(2)).await, Ok("job-1".to_owned()));
    let body: Value = serde_json::from_slice(script.take_asked()[0].body()).expect("JSON");
    assert_eq!(
        (&body["model"], &body["endpoint"], &body["metadata"]),
        (&json!("mistral-small-latest"), &json!("/v1/chat/completions"), &json!({"loopd": "backfill 1"}))
    );
    assert_eq!((&body["requests"][1]["custom_id"], body["requests"][1]["body"].get("model")), (&json!("FB-1"), None));
    assert_eq!(body["requests"][1]["body"]["messages"][1]["content"], "text 1");

    script.answer(200, &json!({"id": "file-1", "object": "file"}));
    script.put(Err(Broken::NoAnswer("cut".into())));
    assert!(
        matches!(batches.submit("backfill 2", &lines(10_001)).await, Err(Fault::Unknown { .. })),
        "the job may be there"
    );
    script.answer(200, &json!({"id": "job-2"}));
    assert_eq!(batches.submit("backfill 2", &lines(10_001)).await, Ok("job-2".to_owned()));
    let asked = script.take_asked();
    let paths: Vec<&str> = asked.iter().map(|asked| asked.uri().path()).collect();
    assert_eq!(paths, ["/v1/files", "/v1/batch/jobs", "/v1/batch/jobs"], "the file is not sent twice");
    let kind = asked[0].headers()["content-type"].to_str().expect("text");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a boundary");
    let file = String::from_utf8_lossy(asked[0].body());
    let parts: Vec<&str> = file.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[3]), (4, "--\r\n"));
    assert!(parts[1].contains("name=\"purpose\"\r\n\r\nbatch\r\n"));
    let content = parts[2].split_once("\r\n\r\n").expect("a head").1.trim_end();
    assert_eq!(content.lines().count(), 10_001);
    let line: Value = serde_json::from_str(content.lines().next().expect("a line")).expect("JSON");
    assert_eq!(line["custom_id"], "FB-0");
    let job: Value = serde_json::from_slice(asked[2].body()).expect("JSON");
    assert_eq!((&job["input_files"], job.get("requests")), (&json!(["file-1"]), None));
}

#[tokio::test]
async fn a_batch_that_cannot_be_is_refused_before_it_is_sent() {
    let (model, script, _) = model_with(&json!({}));
    let batches = model.batches().expect("it has them");
    let mut mixed = lines(2);
    mixed[1].request.model = "mistral-large-latest".into();
    let mut double = lines(2);
    double[1].custom_id = "FB-0".into();
    for (name, bad, word) in [
        ("n", Vec::new(), "without lines"),
        ("n", mixed, "mistral-large-latest"),
        ("n", double, "FB-0"),
        ("", lines(1), "name"),
        ("n", lines(20_001), "20000"),
    ] {
        let fault = batches.submit(name, &bad).await.expect_err("a fault");
        assert!(matches!(&fault, Fault::Rejected { why, .. } if why.contains(word)), "{fault}");
    }
    assert!(script.lines().is_empty());
    for status in [500, 502, 504] {
        script.answer(status, &json!(null));
        assert!(matches!(batches.submit("n", &lines(1)).await, Err(Fault::Unknown { .. })), "{status}");
    }
    script.answer(503, &json!(null));
    assert!(matches!(batches.submit("n", &lines(1)).await, Err(Fault::Later { .. })));
}

#[tokio::test]
async fn a_job_is_looked_at_and_its_results_are_read_by_their_ids() {
    let (model, script, _) = model_with(&json!({}));
    let batches = model.batches().expect("it has them");
    for (status, state) in [
        ("QUEUED", BatchState::Running { done: 1, total: 4 }),
        ("CANCELLATION_REQUESTED", BatchState::Running { done: 1, total: 4 }),
        ("SUCCESS", BatchState::Done),
        ("TIMEOUT_EXCEEDED", BatchState::Failed("timeout exceeded: slow".into())),
    ] {
        script.answer(200, &json!({"status": status, "completed_requests": 1, "total_requests": 4, "errors": [{"message": "slow", "count": 1}]}));
        assert_eq!(batches.look("job").await, Ok(state));
    }
    script.answer(404, &json!(null));
    assert!(matches!(batches.look("job").await, Ok(BatchState::Failed(_))));

    let good = json!({"custom_id": "b", "response": {"status_code": 200, "body": {"model": "m", "choices": [{"finish_reason": "stop", "message": {"content": "{}"}}]}}, "error": null});
    let bad = json!({"custom_id": "a", "response": {"status_code": 422, "body": {"detail": [{"loc": ["body"], "msg": "quoted: text", "type": "missing"}]}}, "error": null});
    script.answer(200, &json!({"status": "SUCCESS", "outputs": null, "output_file": "out 1", "error_file": "err"}));
    script.put(Ok(http::Response::new(format!("{bad}\nnot json\n").into())));
    script.put(Err(Broken::NoAnswer("cut".into())));
    assert!(batches.results("job").await.is_err());
    script.put(Ok(http::Response::new(format!("{good}\n{{\"id\": 1}}\n").into())));
    let results = batches.results("job").await.expect("results");
    assert_eq!(results.len(), 2);
    assert_eq!((&results[0].0, &results[0].1), (&"a".to_owned(), &Err("HTTP 422 missing".to_owned())));
    assert!(matches!(&results[1], (id, Ok(chat)) if id == "b" && chat.text == "{}"));
    let tail: Vec<String> = script.lines().into_iter().skip(5).collect();
    assert_eq!(
        tail,
        [
            "GET /v1/batch/jobs/job?inline=true",
            "GET /v1/files/err/content",
            "GET /v1/files/out%201/content",
            "GET /v1/files/out%201/content"
        ]
    );

    script.answer(200, &json!({"status": "SUCCESS", "outputs": [good]}));
    assert_eq!(batches.results("job").await.expect("results").len(), 1);
    script.answer(200, &json!({"status": "SUCCESS", "output_file": "x"}));
    script.answer(404, &json!({"message": "No such file"}));
    assert!(matches!(batches.results("job").await, Err(Fault::Rejected { .. })));
}

#[tokio::test]
async fn a_job_is_found_by_its_name_on_any_page() {
    let (model, script, _) = model_with(&json!({}));
    let batches = model.batches().expect("it has them");
    let others: Vec<Value> = (0..100).map(|n| json!({"id": format!("o{n}"), "metadata": {"loopd": "other"}})).collect();
    let page = json!({"data": others, "total": 101});
    script.answer(200, &page);
    script.answer(503, &json!(null));
    assert!(batches.find("mine").await.is_err());
    script.answer(200, &page);
    script.answer(
        200,
        &json!({"data": [{"id": "j", "metadata": {"loopd": "mine"}}, {"id": "k", "metadata": null}], "total": 101}),
    );
    assert_eq!(batches.find("mine").await, Ok(Some("j".into())));
    script.answer(200, &json!({"data": []}));
    assert_eq!(batches.find("mine").await, Ok(None));
    assert!(
        script.lines()[0].starts_with("GET /v1/batch/jobs?page=0&page_size=100&created_after=2026-11-15T08%3A00%3A00Z")
    );
    script.answer(200, &json!({"id": "j"}));
    script.answer(404, &json!(null));
    assert_eq!((batches.cancel("j").await, batches.cancel("j").await), (Ok(()), Ok(())));
}

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Phase, Reply, Vendor};
use crate::faults::{FailKind, Faults};
use crate::github::NewIssue;
use crate::testing::Bench;

const AUTH: &[(&str, &str)] = &[("authorization", "Bearer ghp_sandbox"), ("user-agent", "test")];

fn bench(seed: u64) -> Bench {
    let bench = Bench::new(seed);
    bench.world.github(|desk, cx| desk.create_repo("acme/app", cx));
    bench
}

fn post_issue(bench: &Bench) -> Reply {
    bench.reply(Vendor::GitHub, "POST", "/repos/acme/app/issues", AUTH, Some(&serde_json::json!({"title": "A"})))
}

fn issues(bench: &Bench) -> usize {
    bench.world.github(|desk, _| desk.issues("acme/app").count())
}

#[test]
fn failing_before_does_nothing_and_after_does_it() {
    let bench = bench(1);
    for (kind, status, there) in [
        (FailKind::Unavailable, Some(503), 0),
        (FailKind::ServerError, Some(500), 0),
        (FailKind::CutBefore, None, 0),
        (FailKind::CutAfter, None, 1),
        (FailKind::ErrorAfter, Some(500), 2),
        (FailKind::BadGatewayAfter, Some(502), 3),
    ] {
        bench.world.fail_next(Vendor::GitHub, 1, kind);
        match (post_issue(&bench), status) {
            (Reply::Answer { response, .. }, Some(status)) => {
                assert_eq!(response.status().as_u16(), status, "{kind:?}");
            }
            (Reply::Cut { committed, .. }, None) => assert_eq!(committed, kind.committed()),
            (reply, _) => panic!("{kind:?}: {reply:?}"),
        }
        assert_eq!(issues(&bench), there, "{kind:?}");
    }
    let books = bench.world.books(Vendor::GitHub);
    assert_eq!((books.calls, books.failed, books.lost_answers), (6, 3, 3));
    assert_eq!(books.by_operation.get("POST issues"), Some(&6));
}

#[test]
fn a_planned_fault_waits_for_its_operation() {
    let bench = bench(1);
    bench.world.fail_next_operation(Vendor::GitHub, "POST issues", 1, FailKind::CutAfter);
    assert_eq!(bench.call(Vendor::GitHub, "GET", "/user", AUTH, None).status, 200);
    assert!(matches!(post_issue(&bench), Reply::Cut { committed: true, .. }));
    assert!(matches!(post_issue(&bench), Reply::Answer { .. }));
}

#[test]
fn the_hook_hears_after_only_of_what_was_done() {
    let bench = bench(1);
    let after = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&after);
    bench.world.on_call(move |_, _, phase| {
        if phase == Phase::After {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    bench.world.fail_next(Vendor::GitHub, 1, FailKind::CutBefore);
    post_issue(&bench);
    assert_eq!(after.load(Ordering::Relaxed), 0);
    bench.world.fail_next(Vendor::GitHub, 1, FailKind::CutAfter);
    post_issue(&bench);
    assert_eq!(after.load(Ordering::Relaxed), 1);
}

#[test]
fn a_stale_read_is_answered_from_a_while_ago() {
    let bench = bench(1);
    bench.world.set_faults("stale_read=1:5000".parse::<Faults>().expect("valid"));
    let seen = || bench.call(Vendor::GitHub, "GET", "/repos/acme/app/issues", AUTH, None).list().len();
    post_issue(&bench);
    assert_eq!(seen(), 0);
    bench.wait(3);
    post_issue(&bench);
    assert_eq!(seen(), 0);
    bench.wait(3);
    assert_eq!(seen(), 1, "the first is six seconds old, the second three");
    bench.wait(6);
    assert_eq!(seen(), 2);
    assert!(bench.world.books(Vendor::GitHub).stale_reads >= 3);
}

#[test]
fn webhooks_are_dropped_doubled_and_held_back() {
    let sent = |faults: &str| {
        let bench = bench(5);
        bench.world.github(|desk, cx| desk.set_webhook("acme/app", "http://127.0.0.1:1/", "s", cx));
        bench.webhooks();
        bench.world.set_faults(faults.parse().expect("valid"));
        for number in 0..20 {
            let title = format!("Issue {number}");
            bench.world.github(|desk, cx| {
                desk.open_issue("acme/app", &NewIssue { title: &title, author: "ann", ..NewIssue::default() }, cx)
            });
        }
        let now = bench.world.due_webhooks().len();
        bench.wait(60);
        (now, bench.world.due_webhooks().len(), bench.world.books(Vendor::GitHub).webhooks_dropped)
    };
    assert_eq!(sent(""), (20, 0, 0));
    assert_eq!(sent("webhook_drop=1"), (0, 0, 20));
    let (now, later, _) = sent("webhook_double=1");
    assert_eq!(now + later, 40);
    let (now, later, _) = sent("webhook_reorder=0.5");
    assert!(now > 2 && later > 2, "{now} {later}");
    let (now, later, _) = sent("webhook_delay=50000");
    assert!(later > 15, "{now} {later}");
}

#[test]
fn a_failed_delivery_is_retried_as_the_vendor_does() {
    let bench = bench(1);
    bench.world.intercom(|desk, cx| {
        desk.set_webhook("http://127.0.0.1:1/", "secret");
        desk.send_ping(cx);
    });
    let first = bench.world.due_webhooks();
    bench.world.delivered(first[0].clone(), Some(500));
    assert!(bench.world.due_webhooks().is_empty());
    bench.wait(60);
    let second = bench.world.due_webhooks();
    assert_eq!((second.len(), second[0].attempt), (1, 2));
    bench.world.delivered(second[0].clone(), None);
    bench.wait(3600);
    assert_eq!(bench.world.webhooks_waiting(), 0);
    assert_eq!(bench.world.books(Vendor::Intercom).webhooks_failed, 2);
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let trace = |seed| {
        let bench = bench(seed);
        bench.world.set_faults("fail_before=0.2,fail_after=0.2,slow=0.3:500".parse().expect("valid"));
        (0..30).map(|_| format!("{:?}", post_issue(&bench))).collect::<Vec<_>>()
    };
    assert_eq!(trace(9), trace(9));
    assert_ne!(trace(9), trace(10));
}

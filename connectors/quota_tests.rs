use std::sync::Arc;
use std::time::Duration;

use super::{HAIR, Limit, Quota};
use crate::Clock;
use crate::testing::StillClock;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at_airtable() -> (Quota, Arc<StillClock>) {
    let clock = Arc::new(StillClock::default());
    let quota = Quota::new(Limit::even(5, ms(1000)), clock.clone());
    clock.pass(ms(1002));
    (quota, clock)
}

/// Sends as soon as it may; the answer comes after `took`. The moment of sending.
fn send(quota: &Quota, clock: &StillClock, took: Duration) -> Duration {
    loop {
        match quota.take() {
            Ok(ticket) => {
                let sent = clock.monotonic();
                clock.pass(took);
                quota.answered(ticket);
                return sent;
            }
            Err(wait) => clock.pass(wait),
        }
    }
}

#[test]
fn an_even_pace_uses_all_but_a_hair_of_the_limit() {
    let (quota, clock) = at_airtable();
    let sent: Vec<_> = (0..501).map(|_| send(&quota, &clock, ms(120))).collect();
    let taken = sent[500] - sent[0];
    assert!(taken <= (ms(1000) + 2 * HAIR) * 100, "{taken:?}");
    assert!(sent.windows(6).all(|six| six[5] - six[0] >= ms(1000)), "six in one second");
    assert!(sent.windows(2).all(|two| two[1] - two[0] >= ms(199)), "they come in lumps");
}

#[test]
fn a_burst_goes_out_at_once_and_is_missing_later() {
    let clock = Arc::new(StillClock::default());
    let quota = Quota::new(Limit::even(10, ms(1000)).with_burst(4), clock.clone());
    let sent: Vec<_> = (0..40).map(|_| send(&quota, &clock, Duration::ZERO)).collect();
    assert_eq!(sent[3], sent[0]);
    assert!(sent[4] > sent[0]);
    assert!(sent.windows(11).all(|eleven| eleven[10] - eleven[0] >= ms(1000)), "{sent:?}");
}

#[test]
fn a_call_that_was_late_keeps_its_place_longer() {
    let (quota, clock) = at_airtable();
    let on_time: Vec<_> = (0..20).map(|_| send(&quota, &clock, ms(10))).collect();
    let late = send(&quota, &clock, ms(25));
    let after: Vec<_> = (0..5).map(|_| send(&quota, &clock, ms(10))).collect();
    assert!(late > on_time[19]);
    // It may have arrived just before its answer: 15 ms later than calls do.
    assert!(after[4] - late >= ms(1000) + ms(14), "{:?}", after[4] - late);
}

#[test]
fn the_call_that_opens_the_connection_does_not_pass_for_usual() {
    let (quota, clock) = at_airtable();
    let sent: Vec<_> = [300, 10, 10, 10, 10, 10].map(|took| send(&quota, &clock, ms(took))).into();
    assert!(sent[5] - sent[0] >= ms(1100), "{:?}", sent[5] - sent[0]);
}

#[test]
fn what_is_still_on_its_way_counts_as_late_within_reason() {
    let (quota, clock) = at_airtable();
    for _ in 0..20 {
        send(&quota, &clock, ms(10));
    }
    clock.pass(ms(2000));
    let hanging = quota.take().expect("the window is empty");
    let began = clock.monotonic();
    clock.pass(ms(200));
    for _ in 0..4 {
        send(&quota, &clock, ms(10));
    }
    let next = send(&quota, &clock, ms(10)) - began;
    assert!((ms(1100)..ms(1150)).contains(&next), "{next:?}");
    quota.answered(hanging);
}

#[test]
fn being_throttled_makes_it_careful() {
    let (quota, clock) = at_airtable();
    let one_late = |clock: &StillClock| {
        for _ in 0..20 {
            send(&quota, clock, ms(10));
        }
        let late = send(&quota, clock, ms(190));
        (0..5).map(|_| send(&quota, clock, ms(10))).last().expect("five") - late
    };
    let before = one_late(&clock);
    for _ in 0..10 {
        quota.note_throttled();
    }
    let after = one_late(&clock);
    assert!(before < ms(1150) && after > ms(1170), "{before:?} {after:?}");
    assert_eq!(quota.meter().throttled, 10);
}

#[test]
fn what_others_sent_before_it_began_is_waited_out() {
    let clock = Arc::new(StillClock::default());
    let quota = Quota::new(Limit::even(5, ms(1000)), clock.clone());
    assert_eq!((quota.wait(), quota.take().expect_err("too early")), (Some(ms(1002)), ms(1002)));
    let hourly = Quota::new(Limit::even(100, Duration::from_secs(3600)), clock);
    hourly.take().map(|ticket| hourly.answered(ticket)).expect("nobody waits for an hour");
}

#[test]
fn the_wait_it_tells_is_the_wait_it_makes() {
    let (quota, clock) = at_airtable();
    for _ in 0..20 {
        match quota.wait() {
            Some(wait) => {
                quota.take().expect_err("it said so");
                clock.pass(wait);
            }
            None => quota.take().map(|ticket| quota.answered(ticket)).expect("it said so"),
        }
    }
    assert_eq!(quota.meter().calls, 10);
}

#[test]
fn a_closed_gate_holds_all_and_a_shorter_word_does_not_open_it() {
    let (quota, clock) = at_airtable();
    quota.close_for(ms(30_000));
    quota.close_for(ms(1));
    assert_eq!(quota.take().expect_err("closed"), ms(30_000));
    clock.pass(ms(30_000));
    quota.take().map(|ticket| quota.answered(ticket)).expect("open");
    quota.close_for(Duration::MAX);
    assert!(quota.take().expect_err("closed") <= Duration::from_secs(7200));
}

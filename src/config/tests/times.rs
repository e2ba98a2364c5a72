//! When schedules fire.

use super::*;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn fires(cron: &str, zone: &str, from: &str, until: &str) -> Vec<String> {
    let schedule = Schedule::parse(cron, zone).expect(cron);
    let mut at = time(from);
    let mut fired = Vec::new();
    while fired.len() < 100 {
        at = schedule.after(at);
        if at > time(until) {
            break;
        }
        fired.push(at.format("%m-%dT%H:%M:%S").to_string());
    }
    fired
}

#[test]
fn what_daylight_saving_skips_fires_once_late_and_what_comes_twice_fires_once() {
    // Paris, 2026: 02:00 to 03:00 does not exist on March 29; on October 25 it comes twice.
    assert_eq!(
        fires("30 2 * * *", "Europe/Paris", "2026-03-27T12:00:00Z", "2026-03-31T00:00:00Z"),
        ["03-28T01:30:00", "03-29T01:00:00", "03-30T00:30:00"]
    );
    assert_eq!(
        fires("30 2 * * *", "Europe/Paris", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
        ["10-25T00:30:00", "10-26T01:30:00"]
    );
    // Several in the gap are one firing at its end.
    assert_eq!(
        fires("0,20,40 2 * * *", "Europe/Paris", "2026-03-28T12:00:00Z", "2026-03-30T00:10:00Z"),
        ["03-29T01:00:00", "03-30T00:00:00"]
    );
    // A midnight that does not exist: Santiago, September 6.
    assert_eq!(
        fires("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-07T12:00:00Z"),
        ["09-06T04:00:00", "09-07T03:00:00"]
    );
    // What runs every hour follows real time through both.
    assert_eq!(
        fires("15 * * * *", "Europe/Paris", "2026-03-28T23:30:00Z", "2026-03-29T03:30:00Z"),
        ["03-29T00:15:00", "03-29T01:15:00", "03-29T02:15:00", "03-29T03:15:00"]
    );
    assert_eq!(
        fires("15 * * * *", "Europe/Paris", "2026-10-24T23:30:00Z", "2026-10-25T03:30:00Z"),
        ["10-25T00:15:00", "10-25T01:15:00", "10-25T02:15:00", "10-25T03:15:00"]
    );
}

#[test]
fn weekdays_count_as_cron_counts() {
    // 2026-03-02 is a Monday.
    assert_eq!(
        fires("0 9 * * 1", "UTC", "2026-03-01T00:00:00Z", "2026-03-10T00:00:00Z"),
        ["03-02T09:00:00", "03-09T09:00:00"]
    );
    assert_eq!(
        fires("0 9 * * 0", "UTC", "2026-03-01T00:00:00Z", "2026-03-09T00:00:00Z"),
        ["03-01T09:00:00", "03-08T09:00:00"]
    );
    assert_eq!(fires("0 9 * * 7", "UTC", "2026-03-01T00:00:00Z", "2026-03-07T00:00:00Z"), ["03-01T09:00:00"]);
    assert_eq!(fires("0 9 * * 1-5", "UTC", "2026-03-06T12:00:00Z", "2026-03-09T12:00:00Z"), ["03-09T09:00:00"]);
    assert_eq!(
        fires("0 9 * * Sat,Sun", "UTC", "2026-03-06T12:00:00Z", "2026-03-09T12:00:00Z"),
        ["03-07T09:00:00", "03-08T09:00:00"]
    );
    assert_eq!(
        fires("*/20 * * * * *", "UTC", "2026-03-06T12:00:00Z", "2026-03-06T12:01:00Z"),
        ["03-06T12:00:20", "03-06T12:00:40", "03-06T12:01:00"]
    );
    for bad in ["", "* * *", "61 * * * *", "0 9 * * 8", "0 9 1 * 1", "0 0 30 2 *", "x y z a b"] {
        assert!(Schedule::parse(bad, "UTC").is_err(), "{bad}");
    }
    assert!(Schedule::parse("0 9 * * *", "Europe/Pariss").is_err());
    assert!(Schedule::parse("@hourly", "UTC").is_ok());
}

use super::{Faults, Rng};

#[test]
fn a_spec_is_read_and_written_back() {
    let spec = "fail_before=0.05,fail_after=0.05,server_error=0.02,webhook_drop=0.1,slow=0.1:2000,stale_read=0.2:3000,webhook_delay=5000";
    let faults: Faults = spec.parse().expect("valid");
    assert_eq!(faults.slow_ms, 2000);
    assert_eq!(faults.webhook_delay, 5000);
    assert_eq!(faults.to_string().parse::<Faults>().expect("valid"), faults);
    assert_eq!("".parse::<Faults>().expect("valid"), Faults::NONE);
}

#[test]
fn a_wrong_spec_says_what_is_wrong() {
    for (spec, says) in [
        ("fail_befor=0.1", "no `fail_befor`"),
        ("fail_before", "has no value"),
        ("fail_before=2", "from 0 to 1"),
        ("slow=0.1", "as in `slow=0.1:2000`"),
        ("webhook_delay=soon", "whole milliseconds"),
    ] {
        let error = spec.parse::<Faults>().expect_err(spec).to_string();
        assert!(error.contains(says), "{spec}: {error}");
    }
}

#[test]
fn chance_keeps_its_odds_and_its_seed() {
    let mut rng = Rng::seeded(7);
    let hits = (0..10_000).filter(|_| rng.chance(0.25)).count();
    assert!((2_300..2_700).contains(&hits), "{hits}");
    let drawn = |seed| {
        let mut rng = Rng::seeded(seed);
        (0..5).map(|_| rng.below(1000)).collect::<Vec<_>>()
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    assert_eq!(Rng::seeded(1).below(0), 0);
}

#[test]
fn a_uuid_is_version_four() {
    let id = Rng::seeded(3).uuid();
    assert_eq!(id.len(), 36);
    assert_eq!(id.as_bytes()[14], b'4');
    assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
}

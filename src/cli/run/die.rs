//! For crash tests: the process kills itself at a named point, as a power cut would end it there.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::Probe;

/// The points that are passed.
const POINTS: [&str; 5] = ["commit.before", "commit.after", "durable.after", "call.before", "call.after"];

#[derive(Debug)]
pub(super) struct DieAt {
    /// `None`: any point counts.
    point: Option<String>,
    /// Passes left before the end.
    left: AtomicU64,
}

impl Clone for DieAt {
    fn clone(&self) -> Self {
        Self { point: self.point.clone(), left: self.left.load(Ordering::Relaxed).into() }
    }
}

impl FromStr for DieAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (point, rest) = text.split_once(':').ok_or("write POINT:N, or random:SEED:MEAN")?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is no number"));
        if point == "random" {
            let (seed, mean) = rest.split_once(':').ok_or("write random:SEED:MEAN")?;
            let mean = number(mean)?.max(1);
            return Ok(Self { point: None, left: (1 + scatter(number(seed)?) % (2 * mean)).into() });
        }
        if !POINTS.contains(&point) {
            return Err(format!("there is no point {point:?}; there are {}", POINTS.join(", ")));
        }
        Ok(Self { point: Some(point.to_owned()), left: number(rest)?.max(1).into() })
    }
}

/// Spreads neighbouring seeds over all numbers (splitmix64).
fn scatter(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Probe for DieAt {
    fn at(&self, point: &'static str) {
        if self.point.as_deref().is_some_and(|wanted| wanted != point) {
            return;
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Nothing is flushed, no destructor runs.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_seeds_are_read() {
        let named: DieAt = "commit.after:17".parse().expect("a point");
        assert_eq!((named.point.as_deref(), named.left.load(Ordering::Relaxed)), (Some("commit.after"), 17));
        for seed in 0..200 {
            let random: DieAt = format!("random:{seed}:50").parse().expect("a seed");
            assert!((1..=100).contains(&random.left.load(Ordering::Relaxed)));
        }
        for bad in ["commit.after", "commit.never:1", "random:1", "call.before:x"] {
            assert!(bad.parse::<DieAt>().is_err(), "{bad}");
        }
    }
}

//! How often each may send: token buckets, in a bounded amount of memory.
//!
//! A bucket is one moment, the one at which it will be full again (GCRA), so that an idle one needs no upkeep: forgotten, it
//! is full. Two generations are kept; when the younger has grown to half of what there may be, the older one is dropped.
//! Who floods us from ever new addresses can make us forget others' addresses, not their keys' limit for long: it is asked
//! for at every request.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use connectors::quota::Limit;

/// Buckets that may be remembered, some hundred bytes each.
const MOST: usize = 32 * 1024;

/// Whose bucket it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// All who hold this key of a connection.
    Key(String),
    /// One address among those who send to this connection.
    Address(String, IpAddr),
    /// An address that comes with keys that there are not.
    Stranger(IpAddr),
}

#[derive(Default)]
pub(super) struct Buckets {
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Who, Duration>,
    old: HashMap<Who, Duration>,
}

impl Buckets {
    /// Takes one, or tells how long until there is one. `now`: monotonic.
    pub(super) fn take(&self, who: &Who, limit: Limit, now: Duration) -> Result<(), Duration> {
        let interval = limit.per / limit.calls.get();
        let slack = interval * (limit.burst.get() - 1);
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let full =
            generations.young.get(who).or_else(|| generations.old.get(who)).copied().unwrap_or_default().max(now);
        if full - now > slack {
            return Err(full - now - slack);
        }
        if generations.young.len() >= MOST / 2 && !generations.young.contains_key(who) {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(who.clone(), full + interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(name: &str) -> Who {
        Who::Key(name.into())
    }

    #[test]
    fn a_burst_and_then_the_pace() {
        let (buckets, limit) = (Buckets::default(), Limit::even(60, SECOND * 60).with_burst(3));
        for _ in 0..3 {
            assert_eq!(buckets.take(&key("a"), limit, SECOND), Ok(()));
        }
        assert_eq!(buckets.take(&key("a"), limit, SECOND), Err(SECOND));
        assert_eq!(buckets.take(&key("b"), limit, SECOND), Ok(()), "each has its own");
        assert_eq!(buckets.take(&key("a"), limit, SECOND * 2), Ok(()));
        assert_eq!(buckets.take(&key("a"), limit, SECOND * 2), Err(SECOND), "what was refused costs nothing");
        for _ in 0..3 {
            assert_eq!(buckets.take(&key("a"), limit, SECOND * 60), Ok(()), "it is full again");
        }
    }

    #[test]
    fn memory_is_bounded_and_who_keeps_sending_is_not_forgotten() {
        let (buckets, limit) = (Buckets::default(), Limit::even(1, SECOND * 3600));
        assert_eq!(buckets.take(&key("a"), limit, SECOND), Ok(()));
        for address in 0..u32::try_from(MOST / 2 - 1).expect("small") {
            let _ = buckets.take(&Who::Stranger(IpAddr::from(address.to_be_bytes())), limit, SECOND);
        }
        assert!(buckets.take(&key("a"), limit, SECOND).is_err(), "still known");
        for address in 0..200_000_u32 {
            let _ = buckets.take(&Who::Stranger(IpAddr::from((address << 8).to_be_bytes())), limit, SECOND);
        }
        let generations = buckets.generations.lock().expect("nobody died");
        assert!(generations.young.len() + generations.old.len() <= MOST);
    }
}

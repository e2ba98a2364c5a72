//! Waiting, for what works on its own under the quota of real reads. A room never waits: it says when it wants to go on.

use std::time::Duration;

use async_trait::async_trait;
use connectors::Fault;

/// How a command waits; a test moves its clock instead.
#[async_trait]
pub trait Pause: Send + Sync {
    async fn pause(&self, wait: Duration);
}

/// Waits as long as it says.
pub struct RealPause;

#[async_trait]
impl Pause for RealPause {
    #[expect(
        clippy::disallowed_methods,
        reason = "a command that reads under a quota waits for it; no room is held up"
    )]
    async fn pause(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

/// Repeats a call that was certainly not done. 200 times at most where it is said how long to wait, ten in a row where it is not (a vendor
/// that cannot be reached); what may have been done is left to the caller.
pub async fn patiently<T, F: Future<Output = Result<T, Fault>>>(
    pause: &dyn Pause,
    call: impl Fn() -> F,
) -> Result<T, Fault> {
    const TRIES: usize = 200;
    const UNTOLD: usize = 10;
    let mut untold = 0;
    let mut last = Fault::later("the quota never let this call through");
    for _ in 0..TRIES {
        match call().await {
            Err(Fault::Later { after, why }) => {
                untold = if after.is_none() { untold + 1 } else { 0 };
                last = Fault::Later { after, why };
                if untold == UNTOLD {
                    return Err(last);
                }
                pause.pause(after.unwrap_or(Duration::from_secs(1))).await;
            }
            done => return done,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts how often somebody waits.
    #[derive(Default)]
    struct Counted(AtomicUsize);

    #[async_trait]
    impl Pause for Counted {
        async fn pause(&self, _: Duration) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_vendor_that_cannot_be_reached_is_given_up_and_a_quota_is_waited_for() {
        let waits = Counted::default();
        let refused: Result<(), Fault> = patiently(&waits, || async { Err(Fault::later("not sent")) }).await;
        assert!(matches!(refused, Err(Fault::Later { .. })));
        assert_eq!(waits.0.swap(0, Ordering::Relaxed), 9);
        let calls = AtomicUsize::new(0);
        let quota = || async {
            match calls.fetch_add(1, Ordering::Relaxed) {
                100 => Ok(()),
                _ => Err(Fault::Later { after: Some(Duration::from_secs(1)), why: "our own quota".into() }),
            }
        };
        assert!(patiently(&waits, quota).await.is_ok());
        assert_eq!(waits.0.load(Ordering::Relaxed), 100);
    }
}

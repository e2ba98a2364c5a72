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

/// Repeats a call that was certainly not done. 200 times at most; what may have been done is left to the caller.
pub async fn patiently<T, F: Future<Output = Result<T, Fault>>>(
    pause: &dyn Pause,
    call: impl Fn() -> F,
) -> Result<T, Fault> {
    const TRIES: usize = 200;
    let mut last = Fault::later("the quota never let this call through");
    for _ in 0..TRIES {
        match call().await {
            Err(Fault::Later { after, why }) => {
                pause.pause(after.unwrap_or(Duration::from_secs(1))).await;
                last = Fault::Later { after, why };
            }
            done => return done,
        }
    }
    Err(last)
}

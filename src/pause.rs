//! Waiting, for what works on its own under the quota of real reads. A room never waits: it says when it wants to go on.

use std::time::Duration;

use async_trait::async_trait;

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

//! Reading on until there is nothing more, and with the patience of the engine where a story is not about waiting.

use connectors::{Cursor, Fault, Next, Page, Record};

use crate::support::TestClock;

/// Does it again for as long as only our own quota is against it.
pub(crate) async fn patient<T>(clock: &TestClock, act: impl AsyncFn() -> Result<T, Fault>) -> Result<T, Fault> {
    for _ in 0..10_000 {
        match act().await {
            Err(Fault::Later { after: Some(wait), why }) if why.contains("our own") => clock.advance(wait),
            other => return other,
        }
    }
    panic!("it never gets through");
}

/// Every record behind `at`, which moves on page by page.
pub(crate) async fn all(
    at: &mut Option<Cursor>,
    page: impl AsyncFn(Option<&Cursor>) -> Result<Page, Fault>,
) -> Result<Vec<Record>, Fault> {
    let mut records = Vec::new();
    loop {
        let page = page(at.as_ref()).await?;
        records.extend(page.records);
        match page.next {
            Next::More(cursor) => *at = Some(cursor),
            Next::CaughtUp(cursor) => {
                *at = Some(cursor);
                return Ok(records);
            }
        }
    }
}

//! Virtual time with everything side by side: each room is a task of its own, a call takes its time without holding up
//! the others, and the clock jumps only when nobody can do anything now.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connectors::Clock;
use connectors::http::{Broken, Transport};
use futures::future::{Either, poll_fn, select};
use http::{Request, Response};
use loopd::house::{House, Stage, Step};
use sandbox::{Reply, Vendor, World};

use crate::support::TestClock;

pub(crate) type Task = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
pub(crate) struct Timeline {
    pub(crate) clock: Arc<TestClock>,
    /// Grows whenever somebody does something.
    acts: AtomicU64,
    /// The earliest moment that a task waits for, among those asked since the last jump.
    next: Mutex<Option<Duration>>,
}

impl Timeline {
    pub(crate) fn act(&self) {
        self.acts.fetch_add(1, Ordering::Relaxed);
    }

    async fn until(&self, at: Duration) {
        poll_fn(|_| {
            if self.clock.monotonic() >= at {
                return Poll::Ready(());
            }
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next = Some(next.map_or(at, |next| next.min(at)));
            Poll::Pending
        })
        .await;
    }

    async fn pass(&self, time: Duration) {
        self.until(self.clock.monotonic() + time).await;
    }

    /// Lets all tasks do what they can, and moves the clock on, until `done` at a moment when nobody can do anything.
    /// `post` delivers what is due and says when more will be.
    ///
    /// # Panics
    /// After `most` of virtual time.
    pub(crate) fn run(
        &self,
        tasks: &mut [Task],
        most: Duration,
        mut post: impl FnMut() -> Option<Duration>,
        mut done: impl FnMut() -> bool,
    ) {
        let end = self.clock.monotonic() + most;
        let mut context = Context::from_waker(Waker::noop());
        loop {
            let before = self.acts.load(Ordering::Relaxed);
            *self.next.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let post_due = post();
            for task in tasks.iter_mut() {
                let _ = task.as_mut().poll(&mut context);
            }
            if self.acts.load(Ordering::Relaxed) != before {
                continue;
            }
            if done() {
                return;
            }
            let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let next = [next, post_due].into_iter().flatten().min().expect("somebody waits for something");
            assert!(next <= end, "not done after {most:?} of virtual time");
            let now = self.clock.monotonic();
            self.clock.advance(next.saturating_sub(now).max(Duration::from_micros(1)));
        }
    }
}

/// The daemon's loop around one room, on virtual time.
pub(crate) async fn keep_working(house: Arc<House>, mut room: Box<dyn Stage>, line: Arc<Timeline>) {
    let nudged = house.ledger.nudged(&room.lane());
    loop {
        line.act();
        match room.step().await.unwrap_or_else(|error| panic!("{}: {error}", room.name())) {
            Step::Worked => {
                let mut turned = false;
                poll_fn(|_| if std::mem::replace(&mut turned, true) { Poll::Ready(()) } else { Poll::Pending }).await;
            }
            Step::Idle { until } => {
                let wait =
                    until.map_or(Duration::from_secs(60), |until| (until - house.now()).to_std().unwrap_or_default());
                let at = line.clock.monotonic() + wait.clamp(Duration::from_millis(1), Duration::from_secs(60));
                match select(pin!(line.until(at)), pin!(nudged.notified())).await {
                    Either::Left(_) | Either::Right(_) => {}
                }
            }
        }
    }
}

/// The sandbox in process; half of `delay` passes on the way there, half on the way back.
pub(crate) struct Wire {
    pub(crate) world: Arc<World>,
    pub(crate) vendor: Vendor,
    pub(crate) line: Arc<Timeline>,
    pub(crate) delay: Duration,
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: Request<Bytes>, _timeout: Duration) -> Result<Response<Bytes>, Broken> {
        self.line.act();
        self.line.pass(self.delay / 2).await;
        let reply = self.world.call(self.vendor, request);
        self.line.act();
        self.line.pass(self.delay / 2).await;
        self.line.act();
        match reply {
            Reply::Answer { response, .. } => Ok(response),
            Reply::Cut { .. } => Err(Broken::NoAnswer("cut".into())),
        }
    }
}

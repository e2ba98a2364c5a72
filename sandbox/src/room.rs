//! One vendor's place in a world: its stand-in, its luck, its books, and what was true there a while ago.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Request, Response, StatusCode};

use crate::faults::{FailKind, Faults, Rng};
use crate::wire;
use crate::world::{Books, Context, Outgoing, Reply, StandIn, Vendor};

/// An extension of an answer, for what a stand-in does by itself and not by a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Twist {
    /// It comes so much later.
    Late(Duration),
    /// It does not come: the connection is cut, and nothing was done.
    Cut,
}

pub(crate) struct Room<T> {
    stand_in: T,
    pub(crate) base: String,
    pub(crate) books: Books,
    /// For ids and the like; apart from `luck`, so that faults do not change what things are called.
    rng: Rng,
    luck: Rng,
    planned: VecDeque<Planned>,
    /// States before a write, with the moment of the write, oldest first. Kept only while reads may be stale.
    past: VecDeque<(DateTime<Utc>, T)>,
}

struct Planned {
    operation: String,
    left: usize,
    kind: FailKind,
}

/// A room, whichever vendor's it is.
pub(crate) trait AnyRoom {
    fn base(&mut self) -> &mut String;
    fn books(&mut self) -> &mut Books;
    fn plan(&mut self, operation: &str, n: usize, kind: FailKind);
    fn forget_past(&mut self);
    /// Answers, and says whether the stand-in did what was asked.
    fn call(
        &mut self,
        request: &Request<Bytes>,
        faults: &Faults,
        now: DateTime<Utc>,
        outbox: &mut Vec<Outgoing>,
    ) -> (Reply, bool);
    /// The answer to a delivery, for vendors that read it.
    fn answered(
        &mut self,
        outgoing: &Outgoing,
        status: Option<u16>,
        body: &[u8],
        took: Duration,
        now: DateTime<Utc>,
        outbox: &mut Vec<Outgoing>,
    );
    /// Books a delivery's outcome, and says after what time it is tried again.
    fn delivered(
        &mut self,
        outgoing: &mut Outgoing,
        status: Option<u16>,
        now: DateTime<Utc>,
        outbox: &mut Vec<Outgoing>,
    ) -> Option<TimeDelta>;
}

impl<T: StandIn> Room<T> {
    pub(crate) fn new(stand_in: T, vendor: Vendor, seeds: &mut Rng) -> Self {
        Self {
            stand_in,
            base: vendor.home().to_owned(),
            books: Books::default(),
            rng: Rng::seeded(seeds.next_u64()),
            luck: Rng::seeded(seeds.next_u64()),
            planned: VecDeque::new(),
            past: VecDeque::new(),
        }
    }

    /// What a person does, or looks at, in the vendor's own screens.
    pub(crate) fn desk<R>(
        &mut self,
        faults: &Faults,
        now: DateTime<Utc>,
        outbox: &mut Vec<Outgoing>,
        act: impl FnOnce(&mut T, &mut Context<'_>) -> R,
    ) -> R {
        remember(&mut self.past, &self.stand_in, faults, now);
        let mut cx = Context { now, rng: &mut self.rng, outbox, base: &self.base };
        act(&mut self.stand_in, &mut cx)
    }

    fn failure(
        &mut self,
        kind: FailKind,
        request: &Request<Bytes>,
        delay: Duration,
        now: DateTime<Utc>,
        outbox: &mut Vec<Outgoing>,
    ) -> Reply {
        let status = match kind {
            FailKind::CutBefore | FailKind::CutAfter => return Reply::Cut { committed: kind.committed(), delay },
            FailKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            FailKind::BadGatewayAfter => StatusCode::BAD_GATEWAY,
            FailKind::ServerError | FailKind::ErrorAfter | FailKind::Throttled => {
                if let Some(own) = self.stand_in.broken() {
                    let mut cx = Context { now, rng: &mut self.rng, outbox, base: &self.base };
                    return Reply::Answer { response: dated(self.stand_in.finish(request, own, &mut cx), now), delay };
                }
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Reply::Answer { response: gateway_page(status), delay }
    }
}

impl<T: StandIn> AnyRoom for Room<T> {
    fn base(&mut self) -> &mut String {
        &mut self.base
    }

    fn books(&mut self) -> &mut Books {
        &mut self.books
    }

    fn plan(&mut self, operation: &str, n: usize, kind: FailKind) {
        if n > 0 {
            self.planned.push_back(Planned { operation: operation.to_owned(), left: n, kind });
        }
    }

    fn forget_past(&mut self) {
        self.past.clear();
    }

    fn call(
        &mut self,
        request: &Request<Bytes>,
        faults: &Faults,
        now: DateTime<Utc>,
        outbox: &mut Vec<Outgoing>,
    ) -> (Reply, bool) {
        let operation = self.stand_in.operation(request);
        let fate = faults.draw(&mut self.luck);
        self.books.calls += 1;

        let mut cx = Context { now, rng: &mut self.rng, outbox, base: &self.base };
        if let Err(refusal) = self.stand_in.admit(request, &mut cx) {
            self.books.throttled += 1;
            let response = dated(self.stand_in.finish(request, refusal, &mut cx), now);
            return (Reply::Answer { response, delay: fate.delay }, false);
        }
        let fail = next_planned(&mut self.planned, &operation).or(fate.fail);
        if fail == Some(FailKind::Throttled) {
            self.books.throttled += 1;
            let refusal = self.stand_in.throttle(request, &mut cx);
            let response = dated(self.stand_in.finish(request, refusal, &mut cx), now);
            return (Reply::Answer { response, delay: fate.delay }, false);
        }
        *self.books.by_operation.entry(operation).or_default() += 1;
        if let Some(kind) = fail.filter(|kind| !kind.committed()) {
            self.books.failed += 1;
            return (self.failure(kind, request, fate.delay, now, outbox), false);
        }

        let read = self.stand_in.is_read(request);
        let stale = (read && fate.stale).then(|| stale_state(&self.past, faults, now)).flatten();
        let response = if let Some(mut then) = stale {
            self.books.stale_reads += 1;
            then.freshen(&self.stand_in);
            then.handle(request, &mut cx)
        } else {
            if !read {
                remember(&mut self.past, &self.stand_in, faults, now);
            }
            self.stand_in.handle(request, &mut cx)
        };
        let response = dated(self.stand_in.finish(request, response, &mut cx), now);
        let twist = response.extensions().get::<Twist>().copied();
        let reply = match (fail, twist) {
            (Some(kind), _) => {
                self.books.lost_answers += 1;
                self.failure(kind, request, fate.delay, now, outbox)
            }
            (None, Some(Twist::Cut)) => Reply::Cut { committed: false, delay: fate.delay },
            (None, Some(Twist::Late(late))) => Reply::Answer { response, delay: fate.delay + late },
            (None, None) => Reply::Answer { response, delay: fate.delay },
        };
        (reply, true)
    }

    fn answered(
        &mut self,
        outgoing: &Outgoing,
        status: Option<u16>,
        body: &[u8],
        took: Duration,
        now: DateTime<Utc>,
        outbox: &mut Vec<Outgoing>,
    ) {
        let mut cx = Context { now, rng: &mut self.rng, outbox, base: &self.base };
        self.stand_in.answered(outgoing, status, body, took, &mut cx);
    }

    fn delivered(
        &mut self,
        outgoing: &mut Outgoing,
        status: Option<u16>,
        now: DateTime<Utc>,
        outbox: &mut Vec<Outgoing>,
    ) -> Option<TimeDelta> {
        let mut cx = Context { now, rng: &mut self.rng, outbox, base: &self.base };
        self.stand_in.noted(outgoing, status, &mut cx);
        if status.is_some_and(|status| (200..300).contains(&status)) {
            self.books.webhooks_sent += 1;
            return None;
        }
        self.books.webhooks_failed += 1;
        self.stand_in.retry(outgoing, status, now).and_then(|wait| TimeDelta::from_std(wait).ok())
    }
}

fn next_planned(planned: &mut VecDeque<Planned>, operation: &str) -> Option<FailKind> {
    let at = planned.iter().position(|one| operation.starts_with(&one.operation))?;
    let one = planned.get_mut(at)?;
    one.left -= 1;
    let kind = one.kind;
    if one.left == 0 {
        planned.remove(at);
    }
    Some(kind)
}

fn horizon(faults: &Faults, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let window = TimeDelta::from_std(faults.stale_window()?).ok()?;
    now.checked_sub_signed(window)
}

/// The state at the horizon is the one before the first write that came after it.
fn stale_state<T: Clone>(past: &VecDeque<(DateTime<Utc>, T)>, faults: &Faults, now: DateTime<Utc>) -> Option<T> {
    let horizon = horizon(faults, now)?;
    past.iter().find(|(at, _)| *at > horizon).map(|(_, state)| state.clone())
}

fn remember<T: Clone>(past: &mut VecDeque<(DateTime<Utc>, T)>, state: &T, faults: &Faults, now: DateTime<Utc>) {
    let Some(horizon) = horizon(faults, now) else { return };
    while past.front().is_some_and(|(at, _)| *at <= horizon) {
        past.pop_front();
    }
    if past.back().is_none_or(|(at, _)| *at < now) {
        past.push_back((now, state.clone()));
    }
}

/// Clients measure their clock against this header, so it tells the world's time.
fn dated(mut response: Response<Bytes>, now: DateTime<Utc>) -> Response<Bytes> {
    wire::set(response.headers_mut(), "date", &now.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    response
}

/// What stands before a vendor answers in HTML, whatever the client accepts.
fn gateway_page(status: StatusCode) -> Response<Bytes> {
    let reason = status.canonical_reason().unwrap_or("Error");
    let page = format!("<html><head><title>{status}</title></head><body><h1>{reason}</h1></body></html>\n");
    wire::answer(status, "text/html", page)
}

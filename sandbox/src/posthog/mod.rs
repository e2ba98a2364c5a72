//! PostHog: not built yet.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use crate::wire;
use crate::world::{Context, StandIn};

#[derive(Clone, Default)]
pub struct PostHog;

impl StandIn for PostHog {
    fn handle(&mut self, _request: &Request<Bytes>, _cx: &mut Context<'_>) -> Response<Bytes> {
        wire::empty(StatusCode::NOT_IMPLEMENTED)
    }

    fn admit(&mut self, _request: &Request<Bytes>, _cx: &mut Context<'_>) -> Result<(), Response<Bytes>> {
        Ok(())
    }

    fn retry_after(&self, _attempt: u32) -> Option<Duration> {
        None
    }
}

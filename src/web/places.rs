//! Who may hold how many connections, and for how long one may keep us waiting.
//!
//! The law: no single address can take all places. Whoever holds a connection and neither sends nor reads loses it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use connectors::public::Network;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::address::household;

/// Connections that one address may hold: an eighth of all.
const EACH: usize = 128;

#[derive(Default)]
pub(super) struct Places {
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// Free again when it is dropped. `None` inside: it is not counted.
pub(super) struct Place {
    counted: Option<(Arc<Places>, IpAddr)>,
}

impl Places {
    /// `None`: this address holds too many.
    pub(super) fn take(self: &Arc<Self>, from: IpAddr, proxies: &[Network]) -> Option<Place> {
        if is_near(from) || proxies.iter().any(|proxy| proxy.contains(from)) {
            return Some(Place { counted: None });
        }
        let from = household(from);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let held = taken.entry(from).or_default();
        if *held >= EACH {
            return None;
        }
        *held += 1;
        Some(Place { counted: Some((self.clone(), from)) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((places, from)) = &self.counted else { return };
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = taken.get_mut(from) {
            *held -= 1;
            if *held == 0 {
                taken.remove(from);
            }
        }
    }
}

/// This machine or its own network: a proxy that stands for many, said so or not.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// A stream that ends when its other side takes nothing for `patience`: an answer that nobody reads would hold its place for
/// ever.
pub(super) struct Patient<S> {
    stream: S,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waiting: None }
    }

    /// What a write came to; one that cannot go on runs out of patience.
    fn patiently<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<std::io::Result<T>>,
    ) -> Poll<std::io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(alarm(patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge to the network, where nothing is simulated")]
fn alarm(after: Duration) -> Sleep {
    tokio::time::sleep(after)
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patiently(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.patiently(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.patiently(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.patiently(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let places = Arc::new(Places::default());
        let mut held: Vec<Place> =
            (0..EACH).map(|_| places.take(address("203.0.113.9"), &[]).expect("there is room")).collect();
        assert!(places.take(address("203.0.113.9"), &[]).is_none());
        assert!(places.take(address("::ffff:203.0.113.9"), &[]).is_none(), "in other clothes");
        assert!(places.take(address("203.0.113.10"), &[]).is_some(), "others have theirs");
        held.pop();
        assert!(places.take(address("203.0.113.9"), &[]).is_some());
        drop(held);
        assert!(places.taken.lock().expect("nobody died").is_empty(), "nobody is remembered");
    }

    #[test]
    fn an_ipv6_household_is_one_address() {
        let places = Arc::new(Places::default());
        let of = |at: usize| address(&format!("2001:db8:1:2::{at:x}"));
        let held: Vec<Option<Place>> = (0..EACH + 1).map(|at| places.take(of(at), &[])).collect();
        assert_eq!(held.iter().filter(|place| place.is_none()).count(), 1);
    }

    #[test]
    fn a_proxy_stands_for_many() {
        let places = Arc::new(Places::default());
        let proxy = Network::parse("203.0.113.0/24").expect("a network");
        for near in ["127.0.0.1", "::1", "10.1.2.3", "172.17.0.1", "192.168.1.1", "fd00::1", "203.0.113.9"] {
            let held: Vec<Option<Place>> = (0..2 * EACH).map(|_| places.take(address(near), &[proxy])).collect();
            assert!(held.iter().all(Option::is_some), "{near}");
        }
    }

    #[tokio::test]
    async fn who_reads_nothing_loses_the_connection_and_who_is_slow_does_not() {
        let (ours, theirs) = tokio::io::duplex(16);
        let mut patient = Patient::new(ours, Duration::from_millis(1));
        let error = patient.write_all(&[0; 64]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        drop(theirs);

        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut patient = Patient::new(ours, Duration::from_secs(600));
        let write = async {
            patient.write_all(&[7; 64]).await.expect("it is read");
            patient.shutdown().await.expect("it is read");
        };
        let read = async {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.expect("it is written");
            all
        };
        let ((), all) = tokio::join!(write, read);
        assert_eq!(all, [7; 64]);
    }
}

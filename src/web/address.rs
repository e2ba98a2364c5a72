//! Whom a request is counted under.
//!
//! The law: a header is believed only as far as proxies of our own wrote it. Whoever else writes `X-Forwarded-For` is
//! counted under the address from which they connect.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;
use connectors::public::Network;

/// The other end of the connection; the listener puts it into each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Who sent it: the nearest hop that is none of our proxies.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let ours = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer;
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    for hop in lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',')) {
        if !ours(client) {
            break;
        }
        match address(hop.trim()) {
            Some(hop) => client = hop,
            None => break,
        }
    }
    client.to_canonical()
}

/// Some proxies write the port as well.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next());
    bare.unwrap_or(text).parse().ok().or_else(|| Some(text.parse::<std::net::SocketAddr>().ok()?.ip()))
}

/// What one person can choose freely is one: the last half of an IPv6 address.
pub(super) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().expect("a header"));
        }
        let trusted: Vec<Network> = trusted.iter().map(|network| Network::parse(network).expect("a network")).collect();
        client(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_the_address_that_he_is_counted_under() {
        assert_eq!(from("203.0.113.9", &["198.51.100.1"], &[]), "203.0.113.9");
        assert_eq!(from("203.0.113.9", &["198.51.100.1"], &["10.0.0.0/8"]), "203.0.113.9");
        // Behind our proxy, what it wrote counts, and not what the sender had written before it.
        assert_eq!(from("10.0.0.2", &["198.51.100.1, 203.0.113.9"], &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(from("10.0.0.2", &["198.51.100.1", "203.0.113.9, 10.0.0.3"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn what_a_proxy_writes_badly_ends_the_search() {
        assert_eq!(from("10.0.0.2", &[], &["10.0.0.0/8"]), "10.0.0.2");
        assert_eq!(from("10.0.0.2", &["unknown"], &["10.0.0.0/8"]), "10.0.0.2");
        assert_eq!(from("10.0.0.2", &["203.0.113.9, 10.0.0.7:4711"], &["10.0.0.0/8"]), "203.0.113.9");
        assert_eq!(from("::1", &["[2001:db8::9]:443"], &["::1"]), "2001:db8::9");
        assert_eq!(from("::ffff:10.0.0.2", &["203.0.113.9"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn half_of_an_ipv6_address_is_the_senders_own_choice() {
        let of = |text: &str| household(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:aaaa::1"), of("2001:db8:1:2:bbbb::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:203.0.113.9"), "203.0.113.9");
    }
}

//! Receiving from anyone who holds a public key: browsers and apps, which can keep no secret.
//!
//! The law: nothing that arrives here proves who sent it. What such a sender may do is to add, never to read; and how
//! much it may add is bounded by the key, by the address and in size. All connections of a kind share its paths; a request
//! belongs to the one whose key it carries.

use std::net::IpAddr;

use http::Uri;

use crate::quota::Limit;
use crate::{Request, SettingsError};

/// A connection of this sort, seen by whoever serves its paths.
pub trait Public: Send + Sync {
    /// Where it is posted to: `/v1/feedback`. The same for each connection of the kind.
    fn paths(&self) -> &'static [&'static str];
    /// What can be fetched beside them. The same for each connection of the kind.
    fn assets(&self) -> &'static [Asset];
    /// The request headers that a page elsewhere may set, as `Access-Control-Allow-Headers` wants them.
    fn headers(&self) -> &'static str;
    /// The key that a request carries, wherever senders of this kind put it. The same for each connection of the kind.
    fn key(&self, raw: Request<'_>) -> Option<String>;
    /// The keys that are good now.
    fn keys(&self) -> &[String];
    /// The pages from which a browser may post.
    fn origins(&self) -> &Origins;
    /// A sender without an `Origin` (a server, an app on a telephone) is let in.
    fn takes_servers(&self) -> bool;
    fn bounds(&self) -> &Bounds;
}

/// A file that is served as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    pub path: &'static str,
    pub content_type: &'static str,
    pub body: &'static str,
}

/// How much may be sent.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The most that one body may hold.
    pub body_bytes: usize,
    /// Of all who hold the key.
    pub per_key: Limit,
    /// Of each address among them.
    pub per_address: Limit,
    /// Addresses that send for many and are bound by the key alone.
    pub servers: Vec<Network>,
}

/// The origins from which a browser may post, as it names them in `Origin`: scheme, host, port where it is not the
/// scheme's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    listed: Vec<Listed>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    /// With its `://`.
    scheme: String,
    /// Every host that ends so, and is longer: `https://*.example.com`.
    below: bool,
    /// With `:port` where there is one; with its first dot where `below`.
    host: String,
}

impl Origins {
    /// `["https://app.example.com", "https://*.example.com", "*"]`.
    ///
    /// # Errors
    /// An entry that no browser would ever send.
    pub fn parse(entries: &[String]) -> Result<Self, SettingsError> {
        let mut origins = Self::default();
        for entry in entries {
            if entry == "*" {
                origins.any = true;
                continue;
            }
            let bad = |why: &str| SettingsError::key("origins", format!("{entry:?} {why}"));
            let lower = entry.to_ascii_lowercase();
            let (scheme, host) = lower.split_once("://").ok_or_else(|| {
                bad("is no origin: write scheme and host, \"https://app.example.com\", or \"*\" for every page")
            })?;
            if host.contains(['/', '?', '#']) {
                return Err(bad("has more than scheme, host and port: leave out the path, and the slash at the end"));
            }
            let (below, host) = match host.strip_prefix('*') {
                Some(rest) if rest.starts_with('.') && rest.len() > 1 => (true, rest),
                Some(_) => {
                    return Err(bad(
                        "has a star that does not stand for a part of the host: write \"https://*.example.com\"",
                    ));
                }
                None => (false, host),
            };
            if scheme.is_empty() || !is_host(host) {
                return Err(bad("names no host"));
            }
            let own = match scheme {
                "https" => ":443",
                "http" => ":80",
                _ => "",
            };
            let host = host.strip_suffix(own).filter(|_| !own.is_empty()).unwrap_or(host);
            origins.listed.push(Listed { scheme: format!("{scheme}://"), below, host: host.to_owned() });
        }
        Ok(origins)
    }

    /// Every page may send, also one that has no name (`null`).
    pub fn is_any(&self) -> bool {
        self.any
    }

    pub fn is_empty(&self) -> bool {
        !self.any && self.listed.is_empty()
    }

    /// A page that belongs to one of them, so that it may be shown to people as a link: a stranger who sends in somebody's
    /// name must not choose where they click. Where no origins are listed, any page is as good as another.
    pub fn admits_page(&self, url: &str) -> bool {
        let Ok(uri) = url.parse::<Uri>() else { return false };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
        matches!(scheme, "http" | "https") && (self.is_empty() || self.admits(&format!("{scheme}://{authority}")))
    }

    /// Compared whole: `https://app.example.com.evil.example` and `https://evilexample.com` are other hosts.
    pub fn admits(&self, origin: &str) -> bool {
        if self.any {
            return true;
        }
        let origin = origin.to_ascii_lowercase();
        self.listed.iter().any(|listed| {
            let Some(host) = origin.strip_prefix(&listed.scheme) else { return false };
            match host.strip_suffix(&listed.host) {
                Some("") => !listed.below,
                Some(rest) => listed.below && is_host(rest) && !rest.contains(':'),
                None => false,
            }
        })
    }
}

/// Only what a host and a port are made of, so that nothing else can stand before the part that is compared.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    !text.is_empty() && text.chars().all(plain)
}

/// One address (`192.0.2.7`) or a block of them (`10.0.0.0/8`, `2001:db8::/32`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// `None`: it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.trim().parse().ok().filter(|prefix| *prefix <= whole)?,
            None => whole,
        };
        Some(Self { address, prefix })
    }

    /// An IPv4 address that comes in IPv6's clothes (`::ffff:192.0.2.7`) is what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                same(u32::from(ours).into(), u32::from(theirs).into(), 32, self.prefix)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => same(ours.into(), theirs.into(), 128, self.prefix),
            _ => false,
        }
    }
}

/// The first `prefix` of `width` bits are the same.
fn same(a: u128, b: u128, width: u8, prefix: u8) -> bool {
    prefix == 0 || (a ^ b) >> (width - prefix) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(entries: &[&str]) -> Origins {
        Origins::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).expect("origins")
    }

    #[test]
    fn an_origin_is_compared_whole() {
        let listed = origins(&["https://app.example.com", "http://localhost:5173", "capacitor://localhost"]);
        for good in
            ["https://app.example.com", "HTTPS://App.Example.com", "http://localhost:5173", "capacitor://localhost"]
        {
            assert!(listed.admits(good), "{good}");
        }
        for bad in [
            "null",
            "",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.example",
            "https://evil.example/https://app.example.com",
            "https://user@app.example.com",
            "https://xapp.example.com",
            "http://localhost",
        ] {
            assert!(!listed.admits(bad), "{bad}");
        }
    }

    #[test]
    fn a_star_stands_for_the_first_parts_of_a_host_and_for_nothing_else() {
        let below = origins(&["https://*.example.com"]);
        assert!(below.admits("https://app.example.com") && below.admits("https://a.b.example.com"));
        for bad in [
            "https://example.com",
            "https://evilexample.com",
            "https://.example.com.evil",
            "https://evil.test#.example.com",
            "https://evil.test/.example.com",
            "https://evil.test:443.example.com",
            "https://app.example.com:444",
            "http://app.example.com",
        ] {
            assert!(!below.admits(bad), "{bad}");
        }
        let any = origins(&["*"]);
        assert!(any.is_any() && any.admits("null") && any.admits("https://anything.example"));
        assert!(origins(&[]).is_empty() && !origins(&[]).admits("null"));
    }

    #[test]
    fn the_port_of_the_scheme_is_left_out_as_browsers_do() {
        assert!(origins(&["https://app.example.com:443"]).admits("https://app.example.com"));
        assert!(origins(&["http://app.example.com:80"]).admits("http://app.example.com"));
        assert!(!origins(&["http://app.example.com:443"]).admits("http://app.example.com"));
    }

    #[test]
    fn what_no_browser_sends_is_told_at_once() {
        for bad in [
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://*",
            "https://*example.com",
            "https://",
            "https://a b",
        ] {
            let error = Origins::parse(&[bad.to_owned()]).expect_err(bad);
            assert_eq!(error.key.as_deref(), Some("origins"));
        }
    }

    #[test]
    fn a_network_holds_its_addresses() {
        let within = |network: &str, address: &str| {
            Network::parse(network).expect("a network").contains(address.parse().expect("an address"))
        };
        assert!(within("10.0.0.0/8", "10.255.0.1") && !within("10.0.0.0/8", "11.0.0.1"));
        assert!(within("192.0.2.7", "192.0.2.7") && !within("192.0.2.7", "192.0.2.8"));
        assert!(within("192.0.2.7", "::ffff:192.0.2.7"));
        assert!(within("2001:db8::/32", "2001:db8:1::1") && !within("2001:db8::/32", "2001:db9::1"));
        assert!(within("0.0.0.0/0", "203.0.113.9") && !within("0.0.0.0/0", "::1") && within("::/0", "::1"));
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0", "host.example", "10.0.0.0/x"] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_link_leads_to_a_page_of_ours() {
        let listed = origins(&["https://app.example.com", "https://*.example.org"]);
        assert!(
            listed.admits_page("https://app.example.com/orders?a=b") && listed.admits_page("https://a.example.org/")
        );
        for bad in [
            "https://evil.example/",
            "https://ada:secret@app.example.com/",
            "https://app.example.com@evil.example/",
            "http://app.example.com/",
        ] {
            assert!(!listed.admits_page(bad), "{bad}");
        }
        for any in [origins(&[]), origins(&["*"])] {
            assert!(any.admits_page("https://anything.example/x"));
            for bad in
                ["javascript:alert(1)", "file:///etc/passwd", "/orders", "app.example.com", "data:text/html,x", ""]
            {
                assert!(!any.admits_page(bad), "{bad}");
            }
        }
    }
}

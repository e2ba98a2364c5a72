//! Proof that a webhook is the vendor's: an HMAC over the raw body, compared in constant time, before any parsing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// HMAC-SHA256 of `body`, given as hex in either case.
pub fn sha256_hex(secret: &[u8], body: &[u8], claimed: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(body);
    unhex(claimed).is_some_and(|claimed| mac.verify_slice(&claimed).is_ok())
}

/// HMAC-SHA256 of `parts`, one after another, given as standard base64.
pub fn sha256_base64(secret: &[u8], parts: &[&[u8]], claimed: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    for part in parts {
        mac.update(part);
    }
    STANDARD.decode(claimed.trim()).is_ok_and(|claimed| mac.verify_slice(&claimed).is_ok())
}

/// A text's SHA-256 in hex: tells two apart, and gives neither away.
pub fn sha256_mark(text: &[u8]) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC-SHA1 of `body`, given as hex in either case (Intercom only).
pub fn sha1_hex(secret: &[u8], body: &[u8], claimed: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else { return false };
    mac.update(body);
    unhex(claimed).is_some_and(|claimed| mac.verify_slice(&claimed).is_ok())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim().as_bytes();
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn githubs_own_vector_verifies() {
        // GitHub docs, "Validating webhook deliveries", read 2026-11-23.
        let digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(sha256_hex(b"It's a Secret to Everybody", b"Hello, World!", digest));
        assert!(!sha256_hex(b"It's a Secret to Everybody", b"Hello, World?", digest));
        assert!(!sha256_hex(b"another", b"Hello, World!", digest));
    }

    #[test]
    fn what_is_not_hex_never_verifies() {
        for claimed in ["", "zz", "7", "75 7", "sha256=75"] {
            assert!(!sha256_hex(b"s", b"b", claimed));
            assert!(!sha1_hex(b"s", b"b", claimed));
        }
    }

    #[test]
    fn base64_over_parts_is_the_same_as_over_the_whole() {
        // RFC 4231, test case 2, in base64.
        let digest = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
        assert!(sha256_base64(b"Jefe", &[b"what do ya want for nothing?"], digest));
        assert!(sha256_base64(b"Jefe", &[b"what do ya ", b"", b"want for nothing?"], digest));
        for wrong in ["", "W9zB", "%%%", "v9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="] {
            assert!(!sha256_base64(b"Jefe", &[b"what do ya want for nothing?"], wrong), "{wrong}");
        }
    }
}

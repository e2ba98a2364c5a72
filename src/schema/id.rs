//! Ids are derived, not drawn: the same outside record gives the same entity, on any machine, after any loss.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::EntityKind;

/// 128 bits, shaped as a UUID v4 so that a vendor that takes client-chosen ids (Linear) accepts it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId([u8; 16]);

impl EntityId {
    /// From the record in which the entity first appeared.
    pub fn derive(connection: &str, collection: &str, outside_id: &str) -> Self {
        Self::hash(&["entity", connection, collection, outside_id])
    }

    /// Another id that follows from this one: the `generation`th outside record of it in a collection, or a message.
    #[must_use]
    pub fn branch(self, purpose: &str, generation: u32) -> Self {
        Self::hash(&["branch", &self.to_string(), purpose, &generation.to_string()])
    }

    fn hash(parts: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x40; // version 4
        bytes[8] = bytes[8] & 0x3f | 0x80; // variant 1
        Self(bytes)
    }

    /// Its 16 bytes, in the order in which its hex form is written.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// For people: `FB-7K3Q9X`. Thirty bits in Crockford's base 32; unique enough to read out, not to look up by.
    pub fn short(&self, kind: EntityKind) -> String {
        const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let bits = u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]);
        let letters = (0..6).map(|i| char::from(LETTERS[(bits >> (27 - 5 * i) & 31) as usize]));
        format!("{}-{}", kind.prefix(), letters.collect::<String>())
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an entity id: 32 hex digits are expected, hyphens may stand between them")]
pub struct NotAnId;

impl FromStr for EntityId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut bytes = [0; 16];
        let mut digits = text.trim().bytes().filter(|byte| *byte != b'-');
        for byte in &mut bytes {
            let mut digit = || char::from(digits.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = digit().ok_or(NotAnId)? << 4 | digit().ok_or(NotAnId)?;
        }
        if digits.next().is_some() { Err(NotAnId) } else { Ok(Self(bytes)) }
    }
}

impl Serialize for EntityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EntityId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

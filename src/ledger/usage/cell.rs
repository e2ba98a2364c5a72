//! One account, one feature, one day: how often, and how many people.
//!
//! People are told apart exactly up to [`EXACT`], and estimated beyond (HyperLogLog, 512 registers: a standard error of
//! 4.6 %). Either way a cell takes no more than some 530 bytes, whoever comes.
//!
//! Packed, not JSON: there are many, and each is written again whenever it is counted in. The first byte is 1 or 2, with
//! which no JSON begins, so that an export shows a cell in hex.

use std::collections::BTreeSet;

/// So many people of a cell are known one by one.
pub const EXACT: usize = 128;

const REGISTERS: usize = 512;
/// Bits of a person's hash that choose the register.
const CHOOSE: u32 = REGISTERS.trailing_zeros();

/// What is known of a cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    pub count: u64,
    pub people: People,
    /// Of numbers that a vendor adds up: the pull that brought them, in milliseconds since 1970. 0: counted here.
    pub pull: i64,
}

/// A set of people, by a hash of 32 bits each.
#[derive(Clone, Debug, PartialEq)]
pub enum People {
    Exact(BTreeSet<u32>),
    /// For each register the longest run seen.
    Estimated(Vec<u8>),
}

impl Default for People {
    fn default() -> Self {
        Self::Exact(BTreeSet::new())
    }
}

impl People {
    pub fn insert(&mut self, hash: u32) {
        match self {
            Self::Exact(known) => {
                known.insert(hash);
                if known.len() > EXACT {
                    let mut registers = vec![0; REGISTERS];
                    for hash in known.iter() {
                        raise(&mut registers, *hash);
                    }
                    *self = Self::Estimated(registers);
                }
            }
            Self::Estimated(registers) => raise(registers, hash),
        }
    }

    /// Everybody of the other set, too.
    pub fn join(&mut self, other: &Self) {
        match other {
            Self::Exact(known) => known.iter().for_each(|hash| self.insert(*hash)),
            Self::Estimated(theirs) => {
                let mut registers = theirs.clone();
                match self {
                    Self::Exact(known) => known.iter().for_each(|hash| raise(&mut registers, *hash)),
                    Self::Estimated(ours) => {
                        for (register, run) in registers.iter_mut().zip(ours.iter()) {
                            *register = (*register).max(*run);
                        }
                    }
                }
                *self = Self::Estimated(registers);
            }
        }
    }

    /// How many. Beyond [`EXACT`], about.
    pub fn len(&self) -> u64 {
        match self {
            Self::Exact(known) => known.len() as u64,
            Self::Estimated(registers) => estimate(registers),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

fn raise(registers: &mut [u8], hash: u32) {
    let chosen = (hash >> (32 - CHOOSE)) as usize;
    // The bit beyond the rest stops the run.
    let run = ((hash << CHOOSE) | (1 << (CHOOSE - 1))).leading_zeros() + 1;
    if let Some(register) = registers.get_mut(chosen) {
        *register = (*register).max(u8::try_from(run).unwrap_or(u8::MAX));
    }
}

/// HyperLogLog (Flajolet and others, 2007), with its correction for few.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of people: positive, far below 2^53"
)]
fn estimate(registers: &[u8]) -> u64 {
    let m = registers.len() as f64;
    let alpha = 0.7213 / (1.0 + 1.079 / m);
    let sum: f64 = registers.iter().map(|run| 0.5_f64.powi(i32::from(*run))).sum();
    let raw = alpha * m * m / sum;
    let empty = registers.iter().filter(|run| **run == 0).count();
    let estimate = if raw <= 2.5 * m && empty > 0 { m * (m / empty as f64).ln() } else { raw };
    estimate.round() as u64
}

impl Cell {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(17 + 4 * EXACT);
        bytes.push(if self.people.is_exact() { 1 } else { 2 });
        bytes.extend(self.pull.to_be_bytes());
        bytes.extend(self.count.to_be_bytes());
        match &self.people {
            People::Exact(known) => known.iter().for_each(|hash| bytes.extend(hash.to_be_bytes())),
            People::Estimated(registers) => bytes.extend(registers),
        }
        bytes
    }

    /// `None`: these bytes are no cell.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (pull, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let people = match kind {
            1 => {
                let hashes = rest.chunks_exact(4);
                if !hashes.remainder().is_empty() || rest.len() > 4 * EXACT {
                    return None;
                }
                People::Exact(hashes.map(|hash| hash.iter().fold(0, |all, byte| all << 8 | u32::from(*byte))).collect())
            }
            2 if rest.len() == REGISTERS => People::Estimated(rest.to_vec()),
            _ => return None,
        };
        Some(Self { count: u64::from_be_bytes(*count), people, pull: i64::from_be_bytes(*pull) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u32) -> u32 {
        let [a, b, c, d, ..] = <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(n.to_be_bytes()));
        u32::from_be_bytes([a, b, c, d])
    }

    #[test]
    fn people_are_exact_up_to_the_bound_and_near_it_beyond() {
        let mut people = People::default();
        for n in 0..100_000_u32 {
            people.insert(hash(n));
            people.insert(hash(n));
            let known = u64::from(n) + 1;
            if n < 128 {
                assert_eq!((people.len(), people.is_exact()), (known, true));
            } else if n % 997 == 0 {
                let off = people.len().abs_diff(known) as f64 / known as f64;
                assert!(off < 0.14, "{} for {known}: beyond three standard errors", people.len());
            }
        }
    }

    #[test]
    fn a_union_counts_nobody_twice() {
        let of = |range: std::ops::Range<u32>| {
            let mut people = People::default();
            range.for_each(|n| people.insert(hash(n)));
            people
        };
        for (a, b, all) in [(0..50, 25..75, 75), (0..100, 50..150, 150), (0..1000, 0..10, 1000), (0..10, 0..1000, 1000)]
        {
            let (mut left, mut right) = (of(a.clone()), of(b.clone()));
            left.join(&right);
            right.join(&of(a));
            assert_eq!(left, right, "either way round");
            assert_eq!(left.len(), of(0..all).len(), "as if counted at once");
        }
    }

    #[test]
    fn a_cell_is_read_as_it_was_written() {
        for n in [0, 1, 128, 129, 5000] {
            let mut cell = Cell { count: u64::from(n) * 3, pull: 1_790_000_000_000, people: People::default() };
            (0..n).for_each(|n| cell.people.insert(hash(n)));
            let bytes = cell.encode();
            assert!(bytes.len() <= 17 + 512 && serde_json::from_slice::<serde_json::Value>(&bytes).is_err());
            assert_eq!(Cell::decode(&bytes), Some(cell));
        }
        for bad in [&b""[..], b"\x01", b"\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", b"{}", &[2; 100], &[1; 18]] {
            assert_eq!(Cell::decode(bad), None, "{bad:02x?}");
        }
    }
}

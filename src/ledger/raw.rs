//! Raw inputs are kept compressed: sled writes every byte several times over.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::LedgerError;
use super::records::Input;

/// The most that one raw input may unpack to, in bytes.
const LIMIT: u64 = 256 * 1024 * 1024;

pub(super) fn pack(input: &Input) -> Result<Vec<u8>, LedgerError> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(&super::encode(input)?).and_then(|()| encoder.finish());
    let packed = written.map(|packed| [&input.seen_at.timestamp_millis().to_be_bytes(), packed.as_slice()].concat());
    packed.map_err(|error| LedgerError::Bug(format!("packing in memory failed: {error}")))
}

/// When the input was seen, in milliseconds since 1970; it stands before the packed text, so that retention need not
/// unpack everything.
pub(super) fn seen_at(row: &[u8]) -> Option<i64> {
    row.split_first_chunk::<8>().map(|(at, _)| i64::from_be_bytes(*at))
}

pub(super) fn unpack(row: &[u8]) -> Result<Input, LedgerError> {
    let packed = row.get(8..).unwrap_or_default();
    let mut bytes = Vec::new();
    DeflateDecoder::new(packed)
        .take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|error| LedgerError::Corrupt { tree: "raw", why: error.to_string() })?;
    super::decode(super::Tree::Raw, &bytes)
}

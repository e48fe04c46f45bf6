//! Payloads in gzip.

use std::io::{self, Read};

use flate2::Compression;
use flate2::bufread::{GzDecoder, GzEncoder};

use super::DecodeFault;
use crate::broker::message::MessageError;

/// Nothing in gzip becomes longer than so many times itself.
const MOST: u64 = 1032;

/// Compresses, unless that makes it no shorter.
pub(super) fn pack(payload: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::new();
    // Whoever waits for the message waits for this, so that what is fast comes before what is small.
    let encoder = GzEncoder::new(payload, Compression::fast());
    let longest = payload.len().saturating_sub(1) as u64;
    let read = encoder.take(longest + 1).read_to_end(&mut packed).ok()?;
    (read as u64 <= longest).then_some(packed)
}

/// Gives what was compressed, which has to have a length that is allowed.
pub(super) fn unpack(packed: &[u8], length: i64, limit: usize) -> Result<Vec<u8>, DecodeFault> {
    let announced = u64::try_from(length).map_err(|_| DecodeFault::BadGzip)?;
    let wanted = usize::try_from(announced).unwrap_or(usize::MAX);
    if wanted > limit {
        return Err(DecodeFault::Message(MessageError::TooLong {
            field: "payload",
            length: wanted,
            limit,
        }));
    }
    // Nothing is set aside that cannot come.
    if announced > (packed.len() as u64).saturating_mul(MOST) {
        return Err(DecodeFault::BadGzip);
    }
    inflate(packed, wanted)
        .ok()
        .filter(|payload| payload.len() == wanted)
        .ok_or(DecodeFault::BadGzip)
}

fn inflate(packed: &[u8], wanted: usize) -> io::Result<Vec<u8>> {
    let mut payload = Vec::with_capacity(wanted);
    let mut decoder = GzDecoder::new(packed);
    // One more than wanted: the checksum is looked at when nothing is left.
    let longest = wanted as u64 + 1;
    decoder.by_ref().take(longest).read_to_end(&mut payload)?;
    if !decoder.into_inner().is_empty() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(payload)
}

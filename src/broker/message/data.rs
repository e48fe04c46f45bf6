//! Values as JSON, by the broker's rules.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::error::MessageError;

/// Compact JSON of a value: byte strings are in base64, and integers of more than 64 bits are strings.
pub(super) fn serialize(value: &impl Serialize) -> Result<Vec<u8>, MessageError> {
    let mut json = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut json, Rules))
        .map_err(|error| MessageError::NotSerializable(error.to_string()))?;
    Ok(json)
}

/// What differs from what serde_json does by itself.
struct Rules;

impl Formatter for Rules {
    fn write_byte_array<W: ?Sized + Write>(&mut self, out: &mut W, bytes: &[u8]) -> io::Result<()> {
        write!(out, "\"{}\"", STANDARD.encode(bytes))
    }

    fn write_i128<W: ?Sized + Write>(&mut self, out: &mut W, value: i128) -> io::Result<()> {
        if i64::try_from(value).is_ok() || u64::try_from(value).is_ok() {
            CompactFormatter.write_i128(out, value)
        } else {
            write!(out, "\"{value}\"")
        }
    }

    fn write_u128<W: ?Sized + Write>(&mut self, out: &mut W, value: u128) -> io::Result<()> {
        if u64::try_from(value).is_ok() {
            CompactFormatter.write_u128(out, value)
        } else {
            write!(out, "\"{value}\"")
        }
    }
}

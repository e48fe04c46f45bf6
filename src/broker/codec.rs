//! Messages as bytes, and back.
//!
//! There are two encodings, and the first byte tells which one it is: `{`, or white space, begins JSON, and the number
//! of the version begins the binary encoding. docs/broker-protocol.md describes both byte by byte.
//!
//! Decoding is total: any bytes give a message or an error, and nothing is set aside that the input has not paid for.

mod binary;
mod error;
mod gzip;
mod json;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use error::{DecodeError, DecodeFault};

use super::message::{Message, MessageSize, Status};

/// Makes a payload of what stands for it in the input as it is.
type Keep<'a> = dyn Fn(&[u8]) -> Bytes + 'a;

/// The longest payload that any broker takes, in bytes.
pub(super) const MAX_PAYLOAD: usize = 250 << 20;

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// Compact; begins with the byte 0xB1, which says that this is version 1.
    Binary,
    /// An object with the keys of [`Message::to_json`] and some more.
    Json,
}

/// Writes a message.
///
/// JSON takes a payload that is JSON along as a value, so that its white space is lost.
///
/// ```
/// use wirebird::broker::{Encoding, Message, decode, encode};
///
/// let message = Message::plain_text("1", "greeting", "hello")?;
/// for encoding in [Encoding::Binary, Encoding::Json] {
///     let bytes = encode(&message, encoding);
///     assert_eq!(decode(bytes), Ok((message.clone(), encoding)));
/// }
/// # Ok::<(), wirebird::broker::MessageError>(())
/// ```
#[must_use]
pub fn encode(message: &Message, encoding: Encoding) -> Bytes {
    match encoding {
        Encoding::Binary => binary::encode(message),
        Encoding::Json => json::encode(message),
    }
}

/// Writes a message in the binary encoding at the end of `out`.
pub(super) fn append(message: &Message, out: &mut Vec<u8>) {
    binary::append(message, out);
}

/// Writes a message in the binary encoding at the end of `out`, as what [`Message::into_response`] makes of it under its
/// own id.
pub(super) fn append_as_response(message: &Message, status: Status, out: &mut Vec<u8>) {
    binary::append_as_response(message, status, out);
}

/// Writes a message in the binary encoding, with its payload in gzip if that is at least `cutoff` bytes long and becomes
/// shorter by it.
pub(super) fn encode_packed(message: &Message, cutoff: usize) -> Bytes {
    if message.payload_binary().len() >= cutoff {
        binary::encode_packed(message)
    } else {
        binary::encode(message)
    }
}

/// Writes a message in the binary encoding with its payload as it is in `encoded`, another one with the same payload.
pub(super) fn encode_around(message: &Message, encoded: &[u8]) -> Option<Bytes> {
    binary::encode_around(message, encoded)
}

/// How long the payload is said to be that a message has in gzip, if it has one.
pub(super) fn unpacked_length(bytes: &[u8]) -> Option<u64> {
    binary::unpacked_length(bytes)
}

/// What the binary encoding has before the payload, which follows it as it is.
pub(super) fn head(message: &Message) -> Vec<u8> {
    binary::head(message)
}

/// Reads a message of either encoding, and says which one it was, so that it can be answered in kind.
///
/// The payload shares the input's memory where it stands there as it is, which is so in the binary encoding unless it is
/// compressed. One that is becomes 250 MiB long at most.
/// JSON may leave out any key: a message without an id gets a new one, and one without a timestamp the time.
///
/// ```
/// use wirebird::broker::{MessageType, decode};
///
/// let (message, _) = decode(r#"{"type":"offer","destination":"jobs","text":"hello"}"#)?;
/// assert_eq!(message.kind(), MessageType::Offer);
/// assert_eq!(message.payload_text().as_deref(), Some("hello"));
/// # Ok::<(), wirebird::broker::DecodeError>(())
/// ```
///
/// # Errors
///
/// What is wrong with the bytes, and the message's id if that could be read.
pub fn decode(bytes: impl Into<Bytes>) -> Result<(Message, Encoding), DecodeError> {
    decode_within(bytes.into(), MAX_PAYLOAD)
}

/// As [`decode`], with a limit for what compressed payloads become, in bytes.
pub(super) fn decode_within(
    bytes: Bytes,
    longest: usize,
) -> Result<(Message, Encoding), DecodeError> {
    read(&bytes, longest, &|payload| bytes.slice_ref(payload))
}

/// As [`decode`], with memory of its own for the payload, which must not be compressed.
pub(super) fn decode_apart(bytes: &[u8]) -> Result<(Message, Encoding), DecodeError> {
    read(bytes, 0, &Bytes::copy_from_slice)
}

fn read(bytes: &[u8], longest: usize, keep: &Keep<'_>) -> Result<(Message, Encoding), DecodeError> {
    match bytes.first() {
        None => Err(DecodeError::new(DecodeFault::Empty, None)),
        Some(b'{' | b' ' | b'\t' | b'\n' | b'\r') => {
            Ok((json::decode(bytes, keep)?, Encoding::Json))
        }
        Some(&binary::VERSION_1) => Ok((binary::decode(bytes, longest, keep)?, Encoding::Binary)),
        Some(&version @ 0xb0..=0xbf) => {
            let fault = DecodeFault::UnsupportedVersion(version & 0x0f);
            Err(DecodeError::new(fault, Some(Encoding::Binary)))
        }
        Some(&other) => Err(DecodeError::new(DecodeFault::UnknownEncoding(other), None)),
    }
}

impl Message {
    /// How many bytes the message has in the binary encoding.
    ///
    /// ```
    /// use wirebird::broker::{Encoding, Message, encode};
    ///
    /// let message = Message::plain_text("1", "test", "hello")?;
    /// let size = message.size();
    /// assert_eq!(size.data, 5);
    /// assert_eq!(size.total, encode(&message, Encoding::Binary).len());
    /// # Ok::<(), wirebird::broker::MessageError>(())
    /// ```
    #[must_use]
    pub fn size(&self) -> MessageSize {
        binary::size(self)
    }
}

//! Several messages in the payload of one, and several tokens.
//!
//! Messages come in two forms, which the media type tells apart: `application/octet-stream` is a sequence of encoded
//! messages, each behind its length, and `application/json` an array of messages in the JSON encoding. Tokens are an
//! array of strings. docs/broker-protocol.md describes them.
//!
//! Reading is total: any payload is a batch or is refused, and nothing is set aside that it has not paid for.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use uuid::Uuid;

use super::codec::{DecodeError, Encoding, append, append_as_response, decode_apart, encode};
use super::error::Result as BrokerResult;
use super::json::{JsonError, Reader, Token};
use super::message::{
    APPLICATION_JSON, Charset, Fields, Message, MessageType, OCTET_STREAM, Status, now_ms,
};

/// Most messages or tokens in a batch.
pub(super) const MOST: usize = 1000;
/// What most messages have around their payload in a batch, in bytes.
const AROUND: usize = 128;

/// Why a payload is no batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum BatchError {
    /// The payload is of another type.
    Content {
        mimetype: String,
        allowed: &'static str,
    },
    Empty,
    TooMany,
    /// This one, counted from 1, ends behind the payload, or its length does.
    Truncated(usize),
    NotJson(JsonError),
    /// This one, counted from 1, is no message.
    Message(usize, DecodeError),
    /// This one, counted from 1, is no string.
    NotText(usize),
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content { mimetype, allowed } => {
                write!(f, "a batch cannot be {mimetype:?}: {allowed} is allowed")
            }
            Self::Empty => write!(f, "a batch of nothing: 1 to {MOST} are allowed"),
            Self::TooMany => write!(f, "a batch of more than {MOST}: 1 to {MOST} are allowed"),
            Self::Truncated(number) => write!(f, "message {number} of the batch is cut off"),
            Self::NotJson(error) => error.fmt(f),
            Self::Message(number, error) => write!(f, "message {number} of the batch: {error}"),
            Self::NotText(number) => write!(f, "token {number} of the batch is no string"),
        }
    }
}

impl std::error::Error for BatchError {}

impl From<JsonError> for BatchError {
    fn from(error: JsonError) -> Self {
        Self::NotJson(error)
    }
}

impl Message {
    /// The messages in the payload, as the answer to a request of the type [`PollUpTo`](MessageType::PollUpTo) has them.
    ///
    /// ```
    /// # use wirebird::broker::Message;
    /// let both = Message::data(None, "", serde_json::json!([{"text": "a"}, {"text": "b"}]))?;
    /// assert_eq!(both.payload_messages()?.len(), 2);
    /// # Ok::<(), wirebird::broker::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Malformed`](crate::Error::Malformed) if it has anything else, none, or more than 1000.
    pub fn payload_messages(&self) -> BrokerResult<Vec<Self>> {
        let unusable = |_| crate::Error::Malformed("messages in a payload that cannot be read");
        Ok(unpack(self).map_err(unusable)?)
    }
}

/// The payload that carries these messages.
pub(super) fn pack(messages: &[Message]) -> Bytes {
    packed(messages, append)
}

/// What `append` writes for each message, behind its length.
fn packed(messages: &[Message], append: impl Fn(&Message, &mut Vec<u8>)) -> Bytes {
    const LENGTH: usize = size_of::<u32>();
    let sizes = messages
        .iter()
        .map(|message| message.payload_binary().len() + AROUND);
    let mut payload = Vec::with_capacity(sizes.sum());
    for message in messages {
        let start = payload.len() + LENGTH;
        payload.extend_from_slice(&[0; LENGTH]);
        append(message, &mut payload);
        // No message is near that long.
        let length = u32::try_from(payload.len() - start).unwrap_or(u32::MAX);
        payload[start - LENGTH..start].copy_from_slice(&length.to_be_bytes());
    }
    payload.into()
}

fn packed_json(messages: &[Message]) -> Bytes {
    let mut payload = Vec::from(b"[");
    for (at, message) in messages.iter().enumerate() {
        if at > 0 {
            payload.push(b',');
        }
        let answer = message.clone().into_response(message.id(), Status::Ok);
        payload.extend_from_slice(&encode(&answer, Encoding::Json));
    }
    payload.push(b']');
    payload.into()
}

/// The answer to a request with this id that carries messages, each as an answer under its own id, as they are in this
/// encoding.
pub(super) fn answer(id: Uuid, messages: &[Message], encoding: Encoding) -> Message {
    let mut fields = Fields::new(id, now_ms());
    (fields.kind, fields.status) = (MessageType::Response, Status::Ok);
    fields.oneway = true;
    match encoding {
        Encoding::Binary => {
            fields.payload = packed(messages, |message, out| {
                append_as_response(message, Status::Ok, out);
            });
        }
        Encoding::Json => {
            fields.mimetype = Cow::Borrowed(APPLICATION_JSON);
            fields.charset = Some(Charset::Utf8);
            fields.payload = packed_json(messages);
        }
    }
    Message::from_fields(fields)
}

/// The messages that one carries. Each has memory of its own, so that one which stays does not keep the others.
pub(super) fn unpack(message: &Message) -> Result<Vec<Message>, BatchError> {
    let mut messages = Vec::new();
    let mut add = |bytes: &[u8]| {
        let number = messages.len() + 1;
        if number > MOST {
            return Err(BatchError::TooMany);
        }
        // The batch may be compressed, but what is in it may not: together it could become too long.
        let decoded = decode_apart(bytes);
        let (message, _) = decoded.map_err(|error| BatchError::Message(number, error))?;
        messages.push(message);
        Ok(())
    };
    if message.mimetype() == OCTET_STREAM {
        let mut number = 0;
        let mut rest = message.payload_binary().as_ref();
        while !rest.is_empty() {
            number += 1;
            let one = sized(&mut rest).ok_or(BatchError::Truncated(number))?;
            add(one)?;
        }
    } else {
        let allowed = "application/octet-stream or application/json";
        each_of_array(message, allowed, |token| add(token.json().as_bytes()))?;
    }
    if messages.is_empty() {
        return Err(BatchError::Empty);
    }
    Ok(messages)
}

/// What a payload has as tokens of leases.
pub(super) fn tokens(message: &Message) -> Result<Vec<String>, BatchError> {
    let mut tokens = Vec::new();
    each_of_array(message, APPLICATION_JSON, |token| {
        let number = tokens.len() + 1;
        if number > MOST {
            return Err(BatchError::TooMany);
        }
        let text = token.string().ok_or(BatchError::NotText(number))?;
        tokens.push(text.decode().into_owned());
        Ok(())
    })?;
    if tokens.is_empty() {
        return Err(BatchError::Empty);
    }
    Ok(tokens)
}

fn each_of_array(
    message: &Message,
    allowed: &'static str,
    element: impl FnMut(Token<'_>) -> Result<(), BatchError>,
) -> Result<(), BatchError> {
    let text = message.payload_text();
    let text = text.filter(|_| message.mimetype() == APPLICATION_JSON);
    let text = text.ok_or_else(|| BatchError::Content {
        mimetype: message.mimetype().into(),
        allowed,
    })?;
    Reader::new(&text).only_array(element)
}

/// Takes bytes that have their length in front of them.
fn sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (one, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(one)
}

//! The broker's message: a payload and what is said about it.
//!
//! A message keeps within the limits of [`limits`](self::limits) and its text is text in its charset, whether it was
//! made here or decoded. So everything that is done with a message can rely on that, and encoding never fails.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use uuid::Uuid;

mod build;
mod charset;
mod codes;
mod data;
mod error;
mod expiry;
mod field;
mod fields;
mod headers;
pub(super) mod id;
mod kind;
pub(super) mod limits;
mod status;
#[cfg(test)]
mod tests;

pub use charset::Charset;
pub use error::MessageError;
pub use expiry::ExpiryUnit;
pub use field::Field;
pub(super) use fields::Fields;
pub use kind::MessageType;
pub use status::{Category, Status};

pub(super) const TEXT_PLAIN: &str = "text/plain";
pub(super) const APPLICATION_JSON: &str = "application/json";
pub(super) const OCTET_STREAM: &str = "application/octet-stream";

/// What clients and the broker send each other.
///
/// A message is a value that does not change: each method that sets something takes the message and gives the changed
/// one. Cloning is cheap, clones share what they have in common.
///
/// A constructor gives a message a new id and the time; the operation that sends it, such as an offer, says what it is
/// for. Times are milliseconds since 1970, UTC.
///
/// ```
/// use wirebird::broker::{ExpiryUnit, Message};
///
/// let message = Message::plain_text("request-1", "greeting", "hello")?
///     .with_durable(true)
///     .with_expires_in(2, ExpiryUnit::Hours)?
///     .with_header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")?;
///
/// assert_eq!(message.payload_text().as_deref(), Some("hello"));
/// assert_eq!(message.request_id(), Some("request-1"));
/// assert!(!message.is_expired(message.timestamp()));
/// # Ok::<(), wirebird::broker::MessageError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Message(Arc<Fields>);

/// The length of a message in bytes, as the binary encoding has it; see [`Message::size`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageSize {
    /// What every message has.
    pub header: usize,
    /// The fields.
    pub meta: usize,
    /// The payload.
    pub data: usize,
    /// All of it.
    pub total: usize,
}

/// Now, in milliseconds since 1970; a clock before that says 1970.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Message {
    /// Its id; an answer has that of its request.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    /// What it asks for; [`MessageType::Null`] until it is sent.
    #[must_use]
    pub fn kind(&self) -> MessageType {
        self.0.kind
    }

    /// How the request ended; [`Status::Null`] for what is no answer.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// Whether its request was done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.0.status == Status::Ok
    }

    /// Whether its request failed. A message that is no answer is neither `ok` nor `err`.
    #[must_use]
    pub fn is_err(&self) -> bool {
        !matches!(self.0.status, Status::Ok | Status::Null)
    }

    /// Whether nobody waits for an answer; so it is with answers, and with what subscribers get.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.0.oneway
    }

    /// Whether it is to survive a restart of the broker.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.0.durable
    }

    /// When it was made, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        self.0.timestamp
    }

    /// When it expires, in milliseconds since 1970; `None` is never.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        self.0.expires_at
    }

    /// Whether it had expired before this time, in milliseconds since 1970.
    #[must_use]
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.0.expires_at.is_some_and(|at| at < now_ms)
    }

    /// Whether it has expired by now, as the system's clock has it.
    ///
    /// ```
    /// use wirebird::broker::{ExpiryUnit, Message};
    ///
    /// let message = Message::plain_text(None, "", "hello")?.with_timestamp(0)?;
    /// assert!(!message.has_expired());
    /// assert!(message.with_expires_in(5, ExpiryUnit::Minutes)?.has_expired());
    /// # Ok::<(), wirebird::broker::MessageError>(())
    /// ```
    #[must_use]
    pub fn has_expired(&self) -> bool {
        self.is_expired(now_ms())
    }

    /// How long the broker may take, in milliseconds; -1 is for ever.
    #[must_use]
    pub fn timeout(&self) -> Option<i64> {
        self.0.timeout
    }

    /// By what the receiver recognises a message that was sent again.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// What it is about, in the application's words; may be empty.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The queue, topic or function.
    #[must_use]
    pub fn destination(&self) -> Option<&str> {
        self.0.destination.as_deref()
    }

    /// The queue to which an answer is to be offered.
    #[must_use]
    pub fn reply_to(&self) -> Option<&str> {
        self.0.reply_to.as_deref()
    }

    /// The media type of the payload.
    #[must_use]
    pub fn mimetype(&self) -> &str {
        &self.0.mimetype
    }

    /// How the payload is text; `None` if it is binary.
    #[must_use]
    pub fn charset(&self) -> Option<Charset> {
        self.0.charset
    }

    /// The header with this key.
    #[must_use]
    pub fn header(&self, key: &str) -> Option<&str> {
        self.0.headers.get(key)
    }

    /// All headers, by ascending keys.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.headers.iter()
    }

    /// The payload as text; `None` if it is binary.
    #[must_use]
    pub fn payload_text(&self) -> Option<Cow<'_, str>> {
        let charset = self.0.charset?;
        let text = charset.decode(&self.0.payload);
        // It was checked when the message was made.
        Some(text.unwrap_or_default())
    }

    /// The payload's bytes, whatever they are. A clone of them shares them.
    #[must_use]
    pub fn payload_binary(&self) -> &Bytes {
        &self.0.payload
    }

    /// The payload as a JSON value.
    ///
    /// # Errors
    ///
    /// [`MessageError::NoData`] if the payload is binary or its media type is not exactly `application/json`, and
    /// [`MessageError::NotJson`] if it is not JSON after all.
    pub fn payload_data(&self) -> Result<serde_json::Value, MessageError> {
        self.payload_as()
    }

    /// The payload as a value that was written as JSON.
    ///
    /// # Errors
    ///
    /// Those of [`payload_data`](Self::payload_data); [`MessageError::NotJson`] also if it is not of this type.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T, MessageError> {
        let Some(text) = self
            .payload_text()
            .filter(|_| self.0.mimetype == APPLICATION_JSON)
        else {
            return Err(MessageError::NoData {
                mimetype: self.mimetype().to_owned(),
            });
        };
        serde_json::from_str(&text).map_err(|error| MessageError::NotJson(error.to_string()))
    }

    pub(super) fn has_headers(&self) -> bool {
        !self.0.headers.is_empty()
    }

    pub(super) fn header_bytes(&self) -> usize {
        self.0.headers.bytes()
    }
}

impl fmt::Debug for Message {
    /// Without payload and headers, which may be long, and secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("id", &self.0.id)
            .field("kind", &self.0.kind)
            .field("status", &self.0.status)
            .field("request_id", &self.0.request_id)
            .field("subject", &self.0.subject)
            .field("destination", &self.0.destination)
            .field("mimetype", &self.0.mimetype)
            .field("payload_bytes", &self.0.payload.len())
            .finish_non_exhaustive()
    }
}

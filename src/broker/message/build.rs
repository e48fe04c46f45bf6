//! Making messages, and setting what they say.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::{
    APPLICATION_JSON, Charset, ExpiryUnit, Fields, Message, MessageError, MessageType, Status,
    TEXT_PLAIN, data, now_ms,
};

impl Message {
    /// Plain text, as UTF-8. What is not a string becomes one as `to_string` makes it.
    ///
    /// The request id, which may be `None`, lets the receiver recognise a message that was sent again. The subject says
    /// what the message is about, in the application's own words, and may be empty.
    ///
    /// # Errors
    ///
    /// [`MessageError::TooLong`] for a request id of more than [`MAX_REQUEST_ID`](crate::broker::MAX_REQUEST_ID) characters or a
    /// subject of more than [`MAX_SUBJECT`](crate::broker::MAX_SUBJECT).
    pub fn plain_text<'a>(
        request_id: impl Into<Option<&'a str>>,
        subject: &str,
        text: impl ToString,
    ) -> Result<Self, MessageError> {
        Self::text(request_id, subject, TEXT_PLAIN, Charset::Utf8, text)
    }

    /// Text of another media type or charset.
    ///
    /// ```
    /// use wirebird::broker::{Charset, Message};
    ///
    /// let order = Message::text(None, "order", "text/csv", Charset::Iso8859_1, "café;2")?;
    /// assert_eq!(order.payload_binary().len(), 6);
    /// assert_eq!(order.payload_text().as_deref(), Some("café;2"));
    /// # Ok::<(), wirebird::broker::MessageError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`plain_text`](Self::plain_text); [`MessageError::Unencodable`] if the charset lacks a character; any
    /// other than visible ASCII characters and spaces in the media type, none, or more than
    /// [`MAX_MIMETYPE`](crate::broker::MAX_MIMETYPE).
    pub fn text<'a>(
        request_id: impl Into<Option<&'a str>>,
        subject: &str,
        mimetype: &str,
        charset: Charset,
        text: impl ToString,
    ) -> Result<Self, MessageError> {
        let payload = charset.encode(text.to_string())?;
        Self::with_payload(request_id.into(), subject, mimetype, Some(charset), payload)
    }

    /// Bytes.
    ///
    /// # Errors
    ///
    /// Those of [`text`](Self::text) but for the charset's.
    pub fn binary<'a>(
        request_id: impl Into<Option<&'a str>>,
        subject: &str,
        mimetype: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<Self, MessageError> {
        Self::with_payload(request_id.into(), subject, mimetype, None, bytes)
    }

    /// A value as compact JSON, of the type `application/json`.
    ///
    /// Byte strings, which serde knows of only through crates such as `serde_bytes`, are written in base64, integers
    /// that need more than 64 bits as strings, and numbers that are none as null.
    ///
    /// ```
    /// use serde_json::json;
    /// use wirebird::broker::Message;
    ///
    /// let order = Message::data("1", "order", json!({"item": "espresso", "count": 2}))?;
    /// assert_eq!(order.payload_data()?["count"], 2);
    /// # Ok::<(), wirebird::broker::MessageError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`plain_text`](Self::plain_text), and [`MessageError::NotSerializable`] if the value cannot be JSON.
    pub fn data<'a>(
        request_id: impl Into<Option<&'a str>>,
        subject: &str,
        value: impl Serialize,
    ) -> Result<Self, MessageError> {
        let json = data::serialize(&value)?;
        Self::with_payload(
            request_id.into(),
            subject,
            APPLICATION_JSON,
            Some(Charset::Utf8),
            json,
        )
    }

    /// The payload is text of the charset, if there is one.
    pub(in crate::broker) fn with_payload(
        request_id: Option<&str>,
        subject: &str,
        mimetype: &str,
        charset: Option<Charset>,
        payload: impl Into<Bytes>,
    ) -> Result<Self, MessageError> {
        let mut fields = Fields::new(super::id::fresh(), now_ms());
        if let Some(id) = request_id {
            fields.set_request_id(id)?;
        }
        fields.set_subject(subject)?;
        fields.set_mimetype(mimetype)?;
        fields.charset = charset;
        fields.payload = payload.into();
        Ok(Self(Arc::new(fields)))
    }

    pub(in crate::broker) fn from_fields(fields: Fields) -> Self {
        Self(Arc::new(fields))
    }

    fn with(mut self, change: impl FnOnce(&mut Fields)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    fn try_with(
        mut self,
        change: impl FnOnce(&mut Fields) -> Result<(), MessageError>,
    ) -> Result<Self, MessageError> {
        change(Arc::make_mut(&mut self.0))?;
        Ok(self)
    }

    /// Whether it is to survive a restart of the broker, in a queue that does. The default is no.
    #[must_use]
    pub fn with_durable(self, durable: bool) -> Self {
        self.with(|fields| fields.durable = durable)
    }

    /// Whether nobody waits for an answer. The default is no.
    #[must_use]
    pub fn with_oneway(self, oneway: bool) -> Self {
        self.with(|fields| fields.oneway = oneway)
    }

    /// When it expires, in milliseconds since 1970; never, which is the default, for `None` and what is below 0.
    #[must_use]
    pub fn with_expires_at(self, ms: impl Into<Option<i64>>) -> Self {
        self.with(|fields| fields.expires_at = ms.into().filter(|&ms| ms >= 0))
    }

    /// Lets it expire so long after its timestamp; [`ExpiryUnit`] says what years and months are.
    ///
    /// ```
    /// use wirebird::broker::{ExpiryUnit, Message};
    ///
    /// let message = Message::plain_text(None, "", "hello")?.with_expires_in(5, ExpiryUnit::Minutes)?;
    /// assert_eq!(message.expires_at(), Some(message.timestamp() + 300_000));
    /// # Ok::<(), wirebird::broker::MessageError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MessageError::OutOfRange`] if that time is no number of 64 bits.
    pub fn with_expires_in(self, amount: u32, unit: ExpiryUnit) -> Result<Self, MessageError> {
        let at = unit
            .after(self.0.timestamp, amount)
            .ok_or_else(|| MessageError::OutOfRange {
                field: "expires-at",
                value: i64::from(amount),
                allowed: "amounts of the unit that lead to a time of 64 bits",
            })?;
        Ok(self.with_expires_at(at))
    }

    /// Sets a header, in place of one with the same key. The broker passes headers on; docs/broker-protocol.md
    /// says which of them it reads.
    ///
    /// A key is 1 to [`MAX_HEADER_KEY`](crate::broker::MAX_HEADER_KEY) visible ASCII characters. There may be
    /// [`MAX_HEADERS`](crate::broker::MAX_HEADERS), of [`MAX_HEADER_BYTES`](crate::broker::MAX_HEADER_BYTES) together.
    ///
    /// # Errors
    ///
    /// What is outside these limits, by name.
    pub fn with_header(self, key: &str, value: &str) -> Result<Self, MessageError> {
        self.try_with(|fields| fields.headers.set(key, value).map(|_| ()))
    }

    pub(in crate::broker) fn without_header(self, key: &str) -> Self {
        if self.header(key).is_none() {
            return self;
        }
        self.with(|fields| fields.headers.remove(key))
    }

    /// The destination has to be one that this type takes.
    pub(in crate::broker) fn with_kind(self, kind: MessageType) -> Self {
        self.with(|fields| fields.kind = kind)
    }

    pub(in crate::broker) fn without_payload(self) -> Self {
        self.with(|fields| fields.payload = Bytes::new())
    }

    /// What it asks for, and of which queue, topic or function.
    ///
    /// ```
    /// use wirebird::broker::{Message, MessageType};
    ///
    /// let offer = Message::plain_text(None, "", "work")?.addressed_to(MessageType::Offer, "jobs")?;
    /// assert_eq!((offer.kind(), offer.destination()), (MessageType::Offer, Some("jobs")));
    /// # Ok::<(), wirebird::broker::MessageError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`check_pattern`](crate::broker::check_pattern), and [`MessageError::PatternNotAllowed`] for a pattern that is no
    /// name if the type [does not take one](MessageType::takes_pattern).
    pub fn addressed_to<'a>(
        self,
        kind: MessageType,
        destination: impl Into<Option<&'a str>>,
    ) -> Result<Self, MessageError> {
        self.try_with(|fields| {
            fields.kind = kind;
            fields.destination = None;
            destination
                .into()
                .map_or(Ok(()), |name| fields.set_destination(name))
        })
    }

    /// The queue to which the receiver is to offer its answer. The default is none.
    ///
    /// # Errors
    ///
    /// Those of [`check_name`](crate::broker::check_name).
    pub fn with_reply_to<'a>(
        self,
        queue: impl Into<Option<&'a str>>,
    ) -> Result<Self, MessageError> {
        self.try_with(|fields| {
            fields.reply_to = None;
            queue
                .into()
                .map_or(Ok(()), |name| fields.set_reply_to(name))
        })
    }

    /// How long the broker may take to do what is asked for, in milliseconds; -1 is for ever, and the default is none.
    ///
    /// # Errors
    ///
    /// [`MessageError::OutOfRange`] below -1.
    pub fn with_timeout(self, ms: impl Into<Option<i64>>) -> Result<Self, MessageError> {
        self.try_with(|fields| {
            fields.timeout = None;
            ms.into().map_or(Ok(()), |ms| fields.set_timeout(ms))
        })
    }

    /// Gives it another id. The constructors give each message a new one.
    #[must_use]
    pub fn with_id(self, id: Uuid) -> Self {
        self.with(|fields| fields.id = id)
    }

    /// Gives it another request id, or none.
    ///
    /// # Errors
    ///
    /// [`MessageError::TooLong`] above [`MAX_REQUEST_ID`](crate::broker::MAX_REQUEST_ID) characters.
    pub fn with_request_id<'a>(self, id: impl Into<Option<&'a str>>) -> Result<Self, MessageError> {
        self.try_with(|fields| {
            fields.request_id = None;
            id.into().map_or(Ok(()), |id| fields.set_request_id(id))
        })
    }

    /// When it was made, in milliseconds since 1970. The constructors take the time from the system's clock.
    ///
    /// # Errors
    ///
    /// [`MessageError::OutOfRange`] below 0.
    pub fn with_timestamp(self, ms: i64) -> Result<Self, MessageError> {
        self.try_with(|fields| fields.set_timestamp(ms))
    }

    /// Makes it the answer to the request with this id: a response with this status that wants no answer itself.
    #[must_use]
    pub fn into_response(self, id: Uuid, status: Status) -> Self {
        self.with(|fields| {
            fields.id = id;
            fields.kind = MessageType::Response;
            fields.status = status;
            fields.oneway = true;
        })
    }

    /// An answer to this request in plain text, with the request's id, request id, subject and destination.
    ///
    /// ```
    /// use wirebird::broker::{Message, MessageType, Status};
    ///
    /// let poll = Message::plain_text("7", "", "")?.addressed_to(MessageType::Poll, "jobs")?;
    /// let answer = poll.reply(Status::QueueEmpty, "nothing came in 5 s");
    /// assert_eq!((answer.id(), answer.request_id()), (poll.id(), Some("7")));
    /// assert!(answer.is_err());
    /// # Ok::<(), wirebird::broker::MessageError>(())
    /// ```
    #[must_use]
    pub fn reply(&self, status: Status, text: impl ToString) -> Self {
        self.answered_with(Self::answer(self.0.id, status, text))
    }

    /// Gives an answer to this request the request's request id, subject and destination.
    pub(in crate::broker) fn answered_with(&self, answer: Self) -> Self {
        answer.with(|fields| {
            fields.request_id.clone_from(&self.0.request_id);
            fields.subject.clone_from(&self.0.subject);
            fields.destination.clone_from(&self.0.destination);
        })
    }

    /// An answer in plain text to a request of which only the id is known.
    pub(in crate::broker) fn answer(id: Uuid, status: Status, text: impl ToString) -> Self {
        let mut fields = Fields::new(id, now_ms());
        fields.kind = MessageType::Response;
        fields.status = status;
        fields.oneway = true;
        fields.mimetype = Cow::Borrowed(TEXT_PLAIN);
        fields.charset = Some(Charset::Utf8);
        fields.payload = text.to_string().into();
        Self::from_fields(fields)
    }
}

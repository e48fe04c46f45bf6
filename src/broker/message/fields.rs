//! What a message consists of, and the checks that each part passes on its way in.

use std::borrow::Cow;

use bytes::Bytes;
use uuid::Uuid;

use super::headers::Headers;
use super::limits::{
    check_mimetype, check_name, check_pattern, check_request_id, check_subject, is_pattern,
};
use super::{
    APPLICATION_JSON, Charset, MessageError, MessageType, OCTET_STREAM, Status, TEXT_PLAIN,
};

/// What a message consists of. Only decoders and [`Message`](super::Message) make one, and both check what they put in.
#[derive(Clone, PartialEq)]
pub(in crate::broker) struct Fields {
    pub(in crate::broker) id: Uuid,
    pub(in crate::broker) kind: MessageType,
    pub(in crate::broker) oneway: bool,
    pub(in crate::broker) durable: bool,
    pub(in crate::broker) status: Status,
    pub(in crate::broker) timestamp: i64,
    pub(in crate::broker) expires_at: Option<i64>,
    pub(in crate::broker) timeout: Option<i64>,
    pub(in crate::broker) request_id: Option<Box<str>>,
    pub(in crate::broker) subject: Box<str>,
    pub(in crate::broker) destination: Option<Box<str>>,
    pub(in crate::broker) reply_to: Option<Box<str>>,
    pub(in crate::broker) mimetype: Cow<'static, str>,
    pub(in crate::broker) charset: Option<Charset>,
    pub(in crate::broker) payload: Bytes,
    pub(in crate::broker) headers: Headers,
}

impl Fields {
    /// A binary message of no bytes.
    pub(in crate::broker) fn new(id: Uuid, timestamp: i64) -> Self {
        Self {
            id,
            kind: MessageType::Null,
            oneway: false,
            durable: false,
            status: Status::Null,
            timestamp,
            expires_at: None,
            timeout: None,
            request_id: None,
            subject: Box::default(),
            destination: None,
            reply_to: None,
            mimetype: Cow::Borrowed(OCTET_STREAM),
            charset: None,
            payload: Bytes::new(),
            headers: Headers::default(),
        }
    }

    pub(in crate::broker) fn set_request_id(&mut self, id: &str) -> Result<(), MessageError> {
        check_request_id(id)?;
        self.request_id = Some(id.into());
        Ok(())
    }

    pub(in crate::broker) fn set_subject(&mut self, subject: &str) -> Result<(), MessageError> {
        check_subject(subject)?;
        self.subject = subject.into();
        Ok(())
    }

    /// Needs the type to be set.
    pub(in crate::broker) fn set_destination(
        &mut self,
        destination: &str,
    ) -> Result<(), MessageError> {
        check_pattern(destination)?;
        if is_pattern(destination) && !self.kind.takes_pattern() {
            return Err(MessageError::PatternNotAllowed {
                kind: self.kind,
                pattern: destination.to_owned(),
            });
        }
        self.destination = Some(destination.into());
        Ok(())
    }

    pub(in crate::broker) fn set_reply_to(&mut self, queue: &str) -> Result<(), MessageError> {
        check_name(queue)?;
        self.reply_to = Some(queue.into());
        Ok(())
    }

    pub(in crate::broker) fn set_mimetype(&mut self, mimetype: &str) -> Result<(), MessageError> {
        check_mimetype(mimetype)?;
        self.mimetype = match mimetype {
            TEXT_PLAIN => Cow::Borrowed(TEXT_PLAIN),
            APPLICATION_JSON => Cow::Borrowed(APPLICATION_JSON),
            OCTET_STREAM => Cow::Borrowed(OCTET_STREAM),
            other => Cow::Owned(other.to_owned()),
        };
        Ok(())
    }

    pub(in crate::broker) fn set_timestamp(&mut self, ms: i64) -> Result<(), MessageError> {
        self.timestamp = in_range("timestamp", ms, 0, "0 and more")?;
        Ok(())
    }

    pub(in crate::broker) fn set_expires_at(&mut self, ms: i64) -> Result<(), MessageError> {
        self.expires_at = Some(in_range("expires-at", ms, 0, "0 and more")?);
        Ok(())
    }

    pub(in crate::broker) fn set_timeout(&mut self, ms: i64) -> Result<(), MessageError> {
        let allowed = "-1, which is for ever, and more";
        self.timeout = Some(in_range("timeout", ms, -1, allowed)?);
        Ok(())
    }

    /// Takes bytes of the charset as text; needs the charset to be set.
    pub(in crate::broker) fn set_payload(&mut self, payload: Bytes) -> Result<(), MessageError> {
        if let Some(charset) = self.charset {
            charset.check(&payload)?;
        }
        self.payload = payload;
        Ok(())
    }
}

fn in_range(
    field: &'static str,
    value: i64,
    least: i64,
    allowed: &'static str,
) -> Result<i64, MessageError> {
    if value >= least {
        return Ok(value);
    }
    Err(MessageError::OutOfRange {
        field,
        value,
        allowed,
    })
}

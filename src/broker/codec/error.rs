//! What can be wrong with an encoded message.

use std::fmt;

use uuid::Uuid;

use super::Encoding;
use crate::broker::json::JsonError;
use crate::broker::message::{MessageError, Status};

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    fault: DecodeFault,
    encoding: Option<Encoding>,
    id: Option<Uuid>,
}

/// What is wrong with bytes that are not a message: part of [`DecodeError`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeFault {
    /// There are no bytes.
    Empty,
    /// The first byte begins neither encoding.
    UnknownEncoding(u8),
    /// The binary encoding has no such version here.
    UnsupportedVersion(u8),
    /// The bytes end within this.
    Truncated(&'static str),
    /// A length is not written in the shortest way, or has more than 32 bits.
    BadLength(&'static str),
    /// Bits are set that mean nothing.
    UnknownFlags(u8),
    /// A field is not known and must be.
    UnknownField(u8),
    /// A field is there twice, or after one with a higher number.
    FieldOrder(u8),
    /// A field has another length than it always has.
    FieldLength {
        /// The field.
        field: &'static str,
        /// Its length.
        length: usize,
        /// The length it always has.
        expected: usize,
    },
    /// The keys of the headers do not ascend.
    HeaderOrder,
    /// This is not UTF-8.
    NotUtf8(&'static str),
    /// There is no such type of messages.
    UnknownType(String),
    /// There is no such status.
    UnknownStatus(String),
    /// It is not JSON.
    Json(JsonError),
    /// JSON has a key that no message has. Keys that begin with `x-` are passed over.
    UnknownKey(String),
    /// JSON has a key twice.
    DuplicateKey(String),
    /// The value of a key is not what it must be.
    WrongValue {
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The payload is said to be compressed and is no gzip, or not of the length that is said.
    BadGzip,
    /// These do not go together.
    Conflict(&'static str),
    /// A field is outside its limits.
    Message(MessageError),
}

impl DecodeError {
    pub(super) fn new(fault: DecodeFault, encoding: Option<Encoding>) -> Self {
        Self(Box::new(Details {
            fault,
            encoding,
            id: None,
        }))
    }

    pub(super) fn with_id(mut self, id: Option<Uuid>) -> Self {
        self.0.id = id;
        self
    }

    /// What is wrong.
    #[must_use]
    pub fn fault(&self) -> &DecodeFault {
        &self.0.fault
    }

    /// The encoding, if the first byte told.
    #[must_use]
    pub fn encoding(&self) -> Option<Encoding> {
        self.0.encoding
    }

    /// The message's id, if it could be read, so that the sender can be told.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        self.0.id
    }

    /// What to answer.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.0.fault {
            DecodeFault::UnsupportedVersion(_) => Status::UnsupportedVersion,
            _ => Status::BadRequest,
        }
    }
}

impl std::error::Error for DecodeError {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fault.fmt(f)
    }
}

impl From<JsonError> for DecodeFault {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

impl From<MessageError> for DecodeFault {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

impl fmt::Display for DecodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no bytes"),
            Self::UnknownEncoding(byte) => write!(
                f,
                "the first byte is {byte:#04x}: neither JSON, which begins with {{, nor the binary encoding, 0xb1"
            ),
            Self::UnsupportedVersion(version) => {
                write!(f, "version {version} is not known here, only 1")
            }
            Self::Truncated(what) => write!(f, "{what}: the bytes end too early"),
            Self::BadLength(what) => write!(
                f,
                "{what}: a length is not written in the shortest way, or has more than 32 bits"
            ),
            Self::UnknownFlags(flags) => write!(f, "flags {flags:#04x} are not known"),
            Self::UnknownField(tag) => write!(f, "field {tag} is not known, and must be"),
            Self::FieldOrder(tag) => write!(f, "field {tag} is twice, or behind a higher one"),
            Self::FieldLength {
                field,
                length,
                expected,
            } => write!(f, "{field}: {length} bytes long in place of {expected}"),
            Self::HeaderOrder => f.write_str("headers: the keys do not ascend"),
            Self::NotUtf8(what) => write!(f, "{what}: not UTF-8"),
            Self::UnknownType(name) => write!(f, "type: there is no {name}"),
            Self::UnknownStatus(name) => write!(f, "status: there is no {name}"),
            Self::Json(error) => error.fmt(f),
            Self::UnknownKey(key) => write!(f, "there is no key {key:?}"),
            Self::DuplicateKey(key) => write!(f, "the key {key:?} is there twice"),
            Self::WrongValue { key, expected } => write!(f, "{key}: must be {expected}"),
            Self::BadGzip => {
                f.write_str("the payload is no gzip, or has another length than it says")
            }
            Self::Conflict(what) => f.write_str(what),
            Self::Message(error) => error.fmt(f),
        }
    }
}

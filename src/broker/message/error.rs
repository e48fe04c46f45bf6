//! What can be wrong with a message.

use std::fmt;

use super::{Charset, MessageType};

/// Why a message cannot be made, or does not have what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// A field is longer than it may be.
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length, in characters, or in bytes for the headers together.
        length: usize,
        /// The longest it may be.
        limit: usize,
    },
    /// A field that needs a value is empty.
    Empty(&'static str),
    /// A field has a character that it must not have.
    BadCharacter {
        /// The field.
        field: &'static str,
        /// The first such character.
        character: char,
        /// What is allowed.
        allowed: &'static str,
    },
    /// `*` or `>` is not where a pattern may have it.
    BadPattern(String),
    /// A message of this type was given a pattern where it needs a name.
    PatternNotAllowed {
        /// The type.
        kind: MessageType,
        /// The pattern.
        pattern: String,
    },
    /// A number is outside its range.
    OutOfRange {
        /// The field.
        field: &'static str,
        /// The value.
        value: i64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// There would be more headers than this.
    TooManyHeaders(usize),
    /// The charset is not one of [`Charset::ALL`].
    UnknownCharset(String),
    /// The charset has no such character.
    Unencodable {
        /// The charset.
        charset: Charset,
        /// The first character it does not have.
        character: char,
    },
    /// The payload is not text in its charset.
    NotText {
        /// The charset.
        charset: Charset,
        /// Where it first is not, in bytes.
        at: usize,
    },
    /// The value cannot be written as JSON.
    NotSerializable(String),
    /// Data was asked of a message whose payload is something else.
    NoData {
        /// Its media type.
        mimetype: String,
    },
    /// The payload is not JSON, or not of the type that was asked for.
    NotJson(String),
    /// Messages have no such field.
    NoSuchField(String),
}

impl std::error::Error for MessageError {}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong {
                field,
                length,
                limit,
            } => write!(f, "{field}: {length} long, at most {limit} is allowed"),
            Self::Empty(field) => write!(f, "{field}: must not be empty"),
            Self::BadCharacter {
                field,
                character,
                allowed,
            } => write!(f, "{field}: {character:?} is not allowed, only {allowed}"),
            Self::BadPattern(pattern) => write!(
                f,
                "destination: {pattern:?} is no pattern: * stands for a whole segment, and > for the rest"
            ),
            Self::PatternNotAllowed { kind, pattern } => {
                write!(
                    f,
                    "destination: {kind} needs a name, and {pattern:?} is a pattern"
                )
            }
            Self::OutOfRange {
                field,
                value,
                allowed,
            } => write!(f, "{field}: {value} is not allowed, only {allowed}"),
            Self::TooManyHeaders(limit) => {
                write!(f, "headers: at most {limit} are allowed")
            }
            Self::UnknownCharset(name) => {
                write!(f, "charset: {name:?} is not known, only ")?;
                for (n, charset) in Charset::ALL.iter().enumerate() {
                    let comma = if n == 0 { "" } else { ", " };
                    write!(f, "{comma}{charset}")?;
                }
                Ok(())
            }
            Self::Unencodable { charset, character } => {
                write!(f, "text: {charset} has no {character:?}")
            }
            Self::NotText { charset, at } => {
                write!(f, "payload: not {charset} at byte {at}")
            }
            Self::NotSerializable(reason) => write!(f, "data: not JSON: {reason}"),
            Self::NoData { mimetype } => write!(
                f,
                "payload: data needs text of the type application/json, and this is {mimetype:?}"
            ),
            Self::NotJson(reason) => write!(f, "payload: {reason}"),
            Self::NoSuchField(name) => write!(f, "messages have no field {name:?}"),
        }
    }
}

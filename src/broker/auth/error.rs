//! What can be wrong with users, rights and keys, and the files that hold them.

use std::fmt;
use std::path::PathBuf;

use super::acl::DestinationType;
use crate::broker::message::MessageError;

/// Why an [`Authenticator`](super::Authenticator) or a key cannot do what it was asked for. No password is ever in it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AuthError {
    /// The name of a user is unusable.
    BadUser {
        /// The name, cut if it is long.
        user: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A password is unusable.
    BadPassword {
        /// What is allowed.
        allowed: &'static str,
    },
    /// A type of destination does not have this mode.
    BadMode {
        /// The type.
        destination_type: DestinationType,
        /// What was given as the mode.
        mode: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The name or pattern of a destination is unusable.
    BadDestination(MessageError),
    /// It is neither an address nor a network in CIDR notation.
    BadNetwork(String),
    /// It is no public key.
    BadKey(String),
    /// The system gives no random numbers.
    NoRandom,
    /// A file cannot be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: FileFault,
    },
}

/// What is wrong with a file: part of [`AuthError::File`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FileFault {
    /// There is no such file.
    Missing,
    /// The system refuses to read or write it.
    System(crate::Error),
    /// Others than its owner may read or write it; the mode bits.
    Exposed(u32),
    /// It is no regular file, or longer than 16 MiB.
    Unusable,
    /// It is not JSON, or not of the form that is written.
    Malformed {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// What it says cannot be.
    Content(String),
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUser { user, allowed } => {
                write!(
                    f,
                    "the user's name cannot be {user:?}: {allowed} are allowed"
                )
            }
            Self::BadPassword { allowed } => {
                write!(f, "the password is unusable: {allowed} are allowed")
            }
            Self::BadMode {
                destination_type,
                mode,
                allowed,
            } => write!(
                f,
                "the mode of a {destination_type} cannot be {mode:?}: {allowed} is allowed"
            ),
            Self::BadDestination(error) => error.fmt(f),
            Self::BadNetwork(text) => write!(
                f,
                "{text:?} is no network: an address or ADDRESS/PREFIX is allowed, as 10.0.0.0/8"
            ),
            Self::BadKey(text) => write!(
                f,
                "{text:?} is no public key: 44 characters of Base64 are, as wirebird key public prints them"
            ),
            Self::NoRandom => f.write_str("the system gives no random numbers"),
            Self::File { path, fault } => write!(f, "{}: {fault}", path.display()),
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::System(error) => error.fmt(f),
            Self::Exposed(mode) => write!(
                f,
                "others than the owner may use the file: its mode is {mode:03o}, and 600 is allowed"
            ),
            Self::Unusable => f.write_str("not a file, or longer than 16 MiB"),
            Self::Malformed {
                line,
                column,
                reason,
            } => write!(f, "line {line}, column {column}: {reason}"),
            Self::Content(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for AuthError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::BadDestination(error) => Some(error),
            Self::File {
                fault: FileFault::System(error),
                ..
            } => Some(error),
            _ => None,
        }
    }
}

impl From<MessageError> for AuthError {
    fn from(error: MessageError) -> Self {
        Self::BadDestination(error)
    }
}

//! What can go wrong with a broker and its clients.

use std::fmt;

use super::auth::AuthError;
use super::message::{Message, MessageError, Status};
use super::router::Refused;

/// The result of the calls of a broker and its clients.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The broker has answered with something else than OK.
    Refused(Box<Refusal>),
    /// The connection: it cannot be made, it broke, or the time is over.
    Socket(crate::Error),
    /// A message cannot be made.
    Message(MessageError),
    /// A user or a password is unusable.
    Auth(AuthError),
    /// Passwords would go over this URL, and anybody between the two ends could read them.
    Unprotected(Box<str>),
    /// An endpoint would listen at this URL, and anybody on other machines could act as its user.
    Exposed(Box<str>),
}

/// An answer other than OK: the content of [`Error::Refused`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Refusal {
    /// What kind of refusal it is.
    pub status: Status,
    /// The broker's reason.
    pub reason: String,
    /// The destination, if the request had one.
    pub destination: Option<String>,
}

impl Refusal {
    pub(super) fn of(answer: &Message) -> Self {
        Self {
            status: answer.status(),
            reason: answer.payload_text().unwrap_or_default().into_owned(),
            destination: answer.destination().map(str::to_owned),
        }
    }
}

impl Error {
    pub(super) fn refused(status: Status, reason: impl Into<String>) -> Self {
        Self::Refused(Box::new(Refusal {
            status,
            reason: reason.into(),
            destination: None,
        }))
    }

    pub(super) fn answered(answer: &Message) -> Self {
        Self::Refused(Box::new(Refusal::of(answer)))
    }

    /// The status that the broker answered with, if it did.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => {
                write!(f, "{}: {}", refusal.status.name(), refusal.reason)
            }
            Self::Socket(error) => error.fmt(f),
            Self::Message(error) => error.fmt(f),
            Self::Auth(error) => error.fmt(f),
            Self::Unprotected(url) => write!(
                f,
                "passwords cannot go over {url} as it is: encrypt, or use tls+tcp, wss, ipc, abstract or inproc"
            ),
            Self::Exposed(url) => write!(
                f,
                "{url} can be reached from other machines, and anybody there could act as the endpoint's user: listen on \
                 loopback, or with TLS that demands certificates, or allow it as insecure"
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) | Self::Unprotected(_) | Self::Exposed(_) => None,
            Self::Socket(error) => Some(error),
            Self::Message(error) => Some(error),
            Self::Auth(error) => Some(error),
        }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<MessageError> for Error {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl From<Refused> for Error {
    fn from(Refused(status, reason): Refused) -> Self {
        Self::refused(status, reason)
    }
}

//! What can go wrong, who is to blame, and the number nng gives it.

use std::fmt;
use std::io;

use crate::message::Message;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed.
///
/// Each variant has a stable number, [`code`](Self::code), which is nng's number for the same condition, and says
/// [who is to blame](Self::blame).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
// Aligned as a message, so that in a result both begin at the same place: else messages in results are moved in other
// parts than those in which they were written.
#[repr(align(16))]
pub enum Error {
    /// The deadline passed before the operation could complete.
    TimedOut,
    /// A try-form found nothing to do; the blocking form would have waited.
    WouldBlock,
    /// The socket, context, dialer or listener was closed, by this or another thread.
    Closed,
    /// A later operation on the same context took the place of this one, as a new request does to the one before.
    Canceled,
    /// The operation is not legal now, as receiving on a `Req` that has sent nothing.
    InvalidState(&'static str),
    /// The socket can never do this, whatever its state.
    NotSupported(&'static str),
    /// An argument is unusable.
    InvalidArgument(&'static str),
    /// An option was given a value outside its range.
    InvalidOption(Box<BadOption>),
    /// A URL cannot be used.
    InvalidUrl(Box<BadUrl>),
    /// Nobody listens at the address.
    ConnectionRefused,
    /// The connection broke, or a request with no resend time lost the peer that had it.
    ConnectionReset,
    /// The peer closed the connection, in the handshake or later.
    ConnectionShut,
    /// Something else already listens at the address.
    AddressInUse,
    /// The address does not exist on this machine, or the host name cannot be resolved.
    AddressInvalid(Box<str>),
    /// The directory in which a listener is to make its socket file does not exist.
    DirectoryMissing,
    /// The operating system refused the operation.
    PermissionDenied,
    /// There is no route to the address.
    Unreachable,
    /// The peer speaks another protocol than the one that pairs with ours.
    WrongProtocol {
        /// The protocol number a peer must have.
        expected: u16,
        /// The number the peer sent.
        actual: u16,
    },
    /// TLS: a certificate that is not accepted, a peer that speaks something else, unusable certificates of our own.
    Tls(Box<TlsError>),
    /// What the peer sent is not a scalability-protocol connection header.
    BadHandshake,
    /// A message is longer than the receiving side's limit.
    MessageTooLong {
        /// The limit in force, in bytes.
        limit: usize,
        /// The announced length, in bytes.
        length: u64,
    },
    /// An HTTP server answered the request for a WebSocket with this status, and neither with a connection nor with one
    /// of those that have an error of their own: 401 and 403 are [`PermissionDenied`](Self::PermissionDenied), and 404,
    /// 405 and 501 [`ConnectionRefused`](Self::ConnectionRefused).
    HttpStatus(u16),
    /// The peer closed the WebSocket with this code, which says that something was wrong: 1009 that a message was too
    /// long for it, 1002 that what we sent breaks the protocol.
    WebSocketClosed(u16),
    /// A raw message has a header the protocol cannot send, or a peer sent a message its protocol does not allow.
    Malformed(&'static str),
    /// The connection was turned away: a pair socket already has its peer, or a pipe hook rejected it.
    Rejected,
    /// A subscription, pipe, dialer or listener that was named is not there.
    NotFound,
    /// The endpoint or socket is already in use for something that excludes this.
    Busy,
    /// The process or the system has no more file descriptors.
    TooManyFiles,
    /// There is no memory, or no kernel buffer, for the operation.
    OutOfMemory,
    /// Any other error of the operating system.
    Os(i32),
}

/// An option value outside its range: the content of [`Error::InvalidOption`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadOption {
    /// The option's name.
    pub option: &'static str,
    /// The value that was refused.
    pub value: String,
    /// What is allowed.
    pub allowed: &'static str,
}

/// An unusable URL: the content of [`Error::InvalidUrl`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadUrl {
    /// The URL as it was given.
    pub url: String,
    /// What is wrong with it.
    pub reason: String,
    /// What kind of fault it is.
    pub fault: UrlFault,
}

/// In what way a URL cannot be used: part of [`BadUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UrlFault {
    /// It is no URL.
    Malformed,
    /// It is a URL and no address that its transport, or the role, has.
    Unusable,
    /// Its scheme, or this use of it, is not supported.
    Unsupported,
}

/// What went wrong with TLS: the content of [`Error::Tls`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsError {
    /// What kind of fault it is.
    pub fault: TlsFault,
    /// The fault in words, with the values that matter.
    pub reason: String,
}

/// In what way TLS failed: part of [`TlsError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFault {
    /// A certificate, key or setting of our own is missing or cannot be used.
    Configuration,
    /// The peer's certificate was issued by nobody that is trusted.
    UnknownIssuer,
    /// The peer's certificate is not valid any more.
    Expired,
    /// The peer's certificate is not valid yet.
    NotYetValid,
    /// The peer's certificate is for other names than the one that was dialed.
    NameMismatch,
    /// The peer's certificate has none of the fingerprints that are pinned.
    NotPinned,
    /// A certificate is needed from a client that has shown none.
    NoCertificate,
    /// The peer's certificate is unusable in another way.
    BadCertificate,
    /// The peer refused what we are or offer, and said so by an alert.
    Refused,
    /// The two ends have no version, cipher or signature in common.
    NothingInCommon,
    /// The peer does not speak TLS.
    NotTls,
    /// The peer broke the rules of TLS, or somebody has changed what it sent.
    Violation,
}

/// Whose doing an error is; see [`Error::blame`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// The calling program: a wrong argument, a call in the wrong state, an object that it closed.
    Caller,
    /// The program at the other end of the connection.
    Peer,
    /// The operating system, the network or their limits.
    Environment,
    /// Nobody: time passed, or there was nothing to do.
    Nobody,
}

impl Error {
    pub(crate) fn bad_option(
        option: &'static str,
        value: impl fmt::Debug,
        allowed: &'static str,
    ) -> Self {
        Self::InvalidOption(Box::new(BadOption {
            option,
            value: format!("{value:?}"),
            allowed,
        }))
    }

    #[cfg(feature = "tls")]
    pub(crate) fn tls(fault: TlsFault, reason: impl Into<String>) -> Self {
        Self::Tls(Box::new(TlsError {
            fault,
            reason: reason.into(),
        }))
    }

    pub(crate) fn bad_url(url: &str, fault: UrlFault, reason: impl Into<String>) -> Self {
        Self::InvalidUrl(Box::new(BadUrl {
            url: url.into(),
            reason: reason.into(),
            fault,
        }))
    }

    /// The number nng gives this condition (`NNG_ETIMEDOUT` is 5, and so on), which never changes between versions.
    ///
    /// Errors of the operating system without a number of their own are `0x1000_0000` plus the `errno` value.
    ///
    /// ```
    /// assert_eq!(wirebird::Error::TimedOut.code(), 5);
    /// ```
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::OutOfMemory => 2,
            Self::InvalidArgument(_) | Self::InvalidOption(_) => 3,
            Self::InvalidUrl(bad) => match bad.fault {
                UrlFault::Malformed => 3,
                UrlFault::Unusable => 15,
                UrlFault::Unsupported => 9,
            },
            Self::AddressInvalid(_) => 15,
            Self::Busy | Self::Rejected => 4,
            Self::TimedOut => 5,
            Self::ConnectionRefused => 6,
            Self::Closed => 7,
            Self::WouldBlock => 8,
            Self::NotSupported(_) => 9,
            Self::AddressInUse => 10,
            Self::InvalidState(_) => 11,
            Self::NotFound | Self::DirectoryMissing => 12,
            Self::WrongProtocol { .. }
            | Self::BadHandshake
            | Self::HttpStatus(_)
            | Self::Malformed(_) => 13,
            Self::WebSocketClosed(1009) => 17,
            Self::WebSocketClosed(_) => 13,
            Self::Unreachable => 14,
            Self::PermissionDenied => 16,
            Self::MessageTooLong { .. } => 17,
            Self::ConnectionReset => 19,
            Self::Canceled => 20,
            Self::TooManyFiles => 21,
            Self::Tls(error) => match error.fault {
                TlsFault::Configuration | TlsFault::NotTls | TlsFault::Violation => 26,
                _ => 27,
            },
            Self::ConnectionShut => 31,
            Self::Os(errno) => 0x1000_0000 | errno.unsigned_abs(),
        }
    }

    /// Who is to blame: whether to fix the calling program, look at the peer, look at the machine, or just wait.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::TimedOut | Self::WouldBlock => Blame::Nobody,
            Self::Closed
            | Self::Canceled
            | Self::InvalidState(_)
            | Self::NotSupported(_)
            | Self::InvalidArgument(_)
            | Self::InvalidOption(_)
            | Self::InvalidUrl(_)
            | Self::NotFound
            | Self::Busy => Blame::Caller,
            Self::Tls(error) if error.fault == TlsFault::Configuration => Blame::Caller,
            Self::ConnectionReset
            | Self::ConnectionShut
            | Self::WrongProtocol { .. }
            | Self::BadHandshake
            | Self::HttpStatus(_)
            | Self::WebSocketClosed(_)
            | Self::MessageTooLong { .. }
            | Self::Malformed(_)
            | Self::Tls(_)
            | Self::Rejected => Blame::Peer,
            Self::ConnectionRefused
            | Self::AddressInUse
            | Self::AddressInvalid(_)
            | Self::DirectoryMissing
            | Self::PermissionDenied
            | Self::Unreachable
            | Self::TooManyFiles
            | Self::OutOfMemory
            | Self::Os(_) => Blame::Environment,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("timed out"),
            Self::WouldBlock => f.write_str("try again: the operation would block"),
            Self::Closed => f.write_str("object closed"),
            Self::Canceled => f.write_str("operation canceled by a later one"),
            Self::InvalidState(why) => write!(f, "incorrect state: {why}"),
            Self::NotSupported(what) => write!(f, "not supported: {what}"),
            Self::InvalidArgument(why) => write!(f, "invalid argument: {why}"),
            Self::InvalidOption(bad) => {
                write!(
                    f,
                    "option {} cannot be {}: {} is allowed",
                    bad.option, bad.value, bad.allowed
                )
            }
            Self::InvalidUrl(bad) => write!(f, "unusable URL {:?}: {}", bad.url, bad.reason),
            Self::ConnectionRefused => f.write_str("connection refused"),
            Self::ConnectionReset => f.write_str("connection reset"),
            Self::ConnectionShut => f.write_str("connection shut down by the peer"),
            Self::AddressInUse => f.write_str("address in use"),
            Self::AddressInvalid(why) => write!(f, "address invalid: {why}"),
            Self::DirectoryMissing => {
                f.write_str("entry not found: the directory of the socket file does not exist")
            }
            Self::PermissionDenied => f.write_str("permission denied"),
            Self::Unreachable => f.write_str("destination unreachable"),
            Self::WrongProtocol { expected, actual } => {
                write!(
                    f,
                    "wrong protocol: the peer speaks {actual:#06x}, needed is {expected:#06x}"
                )
            }
            Self::Tls(error) => write!(f, "tls: {}", error.reason),
            Self::BadHandshake => {
                f.write_str("protocol error: the peer does not speak scalability protocols")
            }
            Self::MessageTooLong { limit, length } => {
                write!(f, "message too long: {length} bytes, the limit is {limit}")
            }
            Self::HttpStatus(status) => {
                write!(
                    f,
                    "protocol error: the server answered with HTTP status {status}"
                )
            }
            Self::WebSocketClosed(code) => {
                write!(
                    f,
                    "protocol error: the peer closed the WebSocket with code {code}"
                )
            }
            Self::Malformed(what) => write!(f, "protocol error: {what}"),
            Self::Rejected => f.write_str("connection rejected"),
            Self::NotFound => f.write_str("entry not found"),
            Self::Busy => f.write_str("resource busy"),
            Self::TooManyFiles => f.write_str("out of file descriptors"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Os(errno) => io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    /// Maps an operating system error as nng does. An error of this crate inside comes out as it is.
    fn from(error: io::Error) -> Self {
        use rustix::io::Errno;
        let own = error.get_ref().and_then(|inner| inner.downcast_ref());
        if let Some(own) = own {
            return Self::clone(own);
        }
        let Some(raw) = error.raw_os_error() else {
            if let Some(ours) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
                return Self::clone(ours);
            }
            return match error.kind() {
                io::ErrorKind::TimedOut => Self::TimedOut,
                io::ErrorKind::WouldBlock => Self::WouldBlock,
                io::ErrorKind::UnexpectedEof => Self::ConnectionShut,
                io::ErrorKind::OutOfMemory => Self::OutOfMemory,
                _ => Self::AddressInvalid(error.to_string().into()),
            };
        };
        match Errno::from_raw_os_error(raw) {
            Errno::ACCESS | Errno::PERM => Self::PermissionDenied,
            Errno::ADDRNOTAVAIL => Self::AddressInvalid("not an address of this machine".into()),
            Errno::ADDRINUSE => Self::AddressInUse,
            Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT => Self::NotSupported("address family"),
            Errno::AGAIN => Self::WouldBlock,
            Errno::CONNREFUSED | Errno::NOENT => Self::ConnectionRefused,
            Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE | Errno::NOTCONN => {
                Self::ConnectionReset
            }
            Errno::HOSTUNREACH | Errno::NETUNREACH => Self::Unreachable,
            Errno::TIMEDOUT => Self::TimedOut,
            Errno::MFILE | Errno::NFILE => Self::TooManyFiles,
            Errno::NOMEM | Errno::NOBUFS => Self::OutOfMemory,
            Errno::NOTSOCK | Errno::NOTTY | Errno::BADF => {
                Self::InvalidArgument("the descriptor is not a stream socket")
            }
            _ => Self::Os(raw),
        }
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        io::Error::from(errno).into()
    }
}

/// A failed send: the reason, and the message, which still belongs to the caller.
///
/// Converts into the plain [`Error`] with `?`.
#[derive(Debug, Clone)]
pub struct SendError {
    /// Why the message was not accepted.
    pub error: Error,
    /// The message, its header as the caller gave it or empty.
    pub message: Box<Message>,
}

impl SendError {
    /// Takes the message back. Apart, because with this in it the path of a send that succeeds would move the message
    /// once more before it knows that it need not.
    #[cold]
    #[inline(never)]
    pub(crate) fn new(error: Error, message: &mut Message) -> Self {
        let message = Box::new(std::mem::take(message));
        Self { error, message }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<SendError> for Error {
    fn from(failed: SendError) -> Self {
        failed.error
    }
}

#[cfg(test)]
mod tests;

//! Why a log cannot be opened, or stopped.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fmt, io};

/// Why a write-ahead log cannot be opened, or stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum WalError {
    /// The system refused; what was tried, and with which file.
    Io {
        /// What was to be done, such as `read`.
        what: &'static str,
        /// The path of the file or the directory; of what a running log does, the name in the directory.
        file: String,
        /// What the system said.
        error: io::Error,
    },
    /// Another process has the directory open.
    InUse {
        /// Which, if it has said so.
        pid: Option<u32>,
    },
    /// A file was written by a later version.
    Version {
        /// The file's name in the directory.
        file: String,
        /// The version that it has; 1 is understood.
        version: u16,
    },
    /// A sound record has something that only a later version understands.
    Unknown {
        /// The file's name in the directory.
        file: String,
        /// Where its record begins.
        offset: u64,
        /// The operation's tag, or the record's flags.
        what: UnknownPart,
    },
    /// The log is encrypted, and there is no key.
    KeyMissing {
        /// The first file that wants one.
        file: String,
    },
    /// The log is encrypted with another key.
    WrongKey {
        /// The first file that the key does not fit.
        file: String,
    },
    /// A key file that cannot be used.
    Key {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        fault: KeyFault,
    },
    /// The log is damaged and was opened strictly. Without strictness it opens, and says what is missing.
    Damaged {
        /// The first file that is damaged, or that follows what is missing.
        file: String,
        /// Where in it the damage begins.
        offset: u64,
    },
    /// An option outside its range.
    Option {
        /// The option's name.
        name: &'static str,
        /// What it was set to.
        value: u64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The log has stopped.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Errors are equal that say the same.
impl PartialEq for WalError {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

/// What a sound record has that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownPart {
    /// An operation with this tag.
    Operation(u8),
    /// Flags, of which some have no meaning yet.
    Flags(u8),
}

/// What is wrong with a key file.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyFault {
    /// It cannot be read.
    Io(io::Error),
    /// It holds neither 32 bytes nor 64 hexadecimal digits; how long it is, in bytes.
    Content(u64),
    /// Others than its owner may read or write it; its mode.
    Permissions(u32),
}

/// In place of a file's name: the directory itself.
pub(super) const DIRECTORY: &str = "the directory";

impl WalError {
    /// Says of a file where it is.
    pub(crate) fn within(mut self, directory: &Path) -> Self {
        if let Self::Io { file, .. } = &mut self {
            let path = match file.as_str() {
                DIRECTORY => directory.into(),
                name => directory.join(name),
            };
            *file = path.display().to_string();
        }
        self
    }
}

pub(super) fn io_error<'a>(
    what: &'static str,
    file: &'a str,
) -> impl FnOnce(io::Error) -> WalError + 'a {
    move |error| WalError::Io {
        what,
        file: file.into(),
        error,
    }
}

impl fmt::Display for WalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, file, error } => write!(f, "cannot {what} {file}: {error}"),
            Self::InUse { pid: Some(pid) } => {
                write!(f, "the directory is in use by the process {pid}")
            }
            Self::InUse { pid: None } => f.write_str("the directory is in use by another process"),
            Self::Version { file, version } => write!(
                f,
                "{file} has the format version {version}, only 1 is understood"
            ),
            Self::Unknown { file, offset, what } => {
                write!(f, "{file}: the record at {offset} ")?;
                match what {
                    UnknownPart::Operation(tag) => {
                        write!(f, "has an operation with the tag {tag}")?
                    }
                    UnknownPart::Flags(flags) => write!(f, "has the flags {flags:#04x}")?,
                }
                f.write_str(", which only a later version understands")
            }
            Self::KeyMissing { file } => write!(f, "{file} is encrypted: a key is needed"),
            Self::WrongKey { file } => write!(f, "{file} is encrypted with another key"),
            Self::Key { path, fault } => write!(f, "{}: {fault}", path.display()),
            Self::Damaged { file, offset } => write!(f, "{file} is damaged at {offset}"),
            Self::Option {
                name,
                value,
                allowed,
            } => write!(f, "{name} is {value}: {allowed} is allowed"),
            Self::Stopped { reason } => write!(f, "the log has stopped: {reason}"),
        }
    }
}

impl Error for WalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Key {
                fault: KeyFault::Io(error),
                ..
            } => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Content(length) => write!(
                f,
                "a key is 32 bytes or 64 hexadecimal digits, this file has {length} bytes"
            ),
            Self::Permissions(mode) => write!(
                f,
                "others than its owner may use it (mode {mode:o}), 600 is wanted"
            ),
        }
    }
}

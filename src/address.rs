//! Addresses of the two ends of a connection.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where one end of a connection is. Prints as nng prints its socket addresses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An internet address and port.
    Inet(SocketAddr),
    /// A socket file.
    Ipc(PathBuf),
    /// A Linux abstract socket name; any bytes.
    Abstract(Vec<u8>),
    /// A name in this process.
    Inproc(String),
    /// Not known, as for a descriptor that was handed over, or the dialing end of an ipc connection.
    Unspecified,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Ipc(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "abstract[{}]", name.escape_ascii()),
            Self::Inproc(name) => write!(f, "inproc[{name}]"),
            Self::Unspecified => f.write_str("unknown"),
        }
    }
}

/// Who the process at the other end of an ipc connection is, as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Credentials {
    /// Process number.
    pub pid: u32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

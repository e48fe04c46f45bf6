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

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(text: &str) -> Address {
        Address::Inet(text.parse().unwrap())
    }

    #[test]
    fn addresses_print_as_nngs_do() {
        for text in [
            "127.0.0.1:80",
            "[::1]:80",
            "[::]:80",
            "[fe80::1%2]:80",
            "[::ffff:1.2.3.4]:80",
            "[2001:db8::1:0:0:1]:80",
        ] {
            assert_eq!(inet(text).to_string(), text);
        }
        let longest_run = inet("[1:0:0:2:0:0:0:3]:80");
        assert_eq!(longest_run.to_string(), "[1:0:0:2::3]:80");
        assert_eq!(Address::Ipc("/tmp/x".into()).to_string(), "/tmp/x");
        let name = Address::Abstract(b"a\0\xff".to_vec());
        assert_eq!(name.to_string(), r"abstract[a\x00\xff]");
        assert_eq!(Address::Inproc("x".into()).to_string(), "inproc[x]");
        assert_eq!(Address::Unspecified.to_string(), "unknown");
    }

    #[test]
    fn addresses_of_different_kinds_are_never_equal() {
        assert_ne!(Address::Ipc("x".into()), Address::Inproc("x".into()));
        assert_ne!(Address::Abstract(b"x".to_vec()), Address::Ipc("x".into()));
        assert_ne!(inet("127.0.0.1:80"), inet("127.0.0.1:81"));
        assert_ne!(inet("127.0.0.1:80"), inet("[::ffff:127.0.0.1]:80"));
        assert_eq!(inet("[::1]:80"), inet("[0::1]:80"));
    }
}

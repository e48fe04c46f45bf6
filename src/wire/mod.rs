//! The bytes on the wire, without I/O: connection header, framing and backtraces.

pub(crate) mod backtrace;
mod batch;
mod decode;
pub(crate) mod header;
#[cfg(feature = "ws")]
pub(crate) mod web;

pub(crate) use batch::{Batch, Parcel};
pub(crate) use decode::Decoder;

/// How a connection marks where a message begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// tcp, tls+tcp and handed-over descriptors: a 64-bit big-endian length.
    Length,
    /// ipc: the byte 1, then the same.
    Typed,
    /// inproc: as tcp, but longer bodies are not among the bytes: they are moved beside them.
    Local,
    /// ws and wss: WebSocket frames, masked if we are the client. What comes in is unpacked as for inproc.
    #[cfg(feature = "ws")]
    Web { masked: bool },
}

impl Framing {
    /// Bytes in front of each message in a decoder.
    const fn overhead(self) -> usize {
        match self {
            Self::Length | Self::Local => 8,
            Self::Typed => 9,
            #[cfg(feature = "ws")]
            Self::Web { .. } => 8,
        }
    }

    /// Whether a decoder gets whole messages, which were checked before.
    const fn is_unpacked(self) -> bool {
        !matches!(self, Self::Length | Self::Typed)
    }
}

/// The type byte of an ipc message; no other was ever defined.
const IPC_MESSAGE: u8 = 1;

#[cfg(test)]
mod tests;

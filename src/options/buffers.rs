//! How much the system keeps of a connection.

use super::EndpointOptions;
use crate::error::{Error, Result};

/// The largest size that can be asked for.
const LARGEST: usize = 1 << 30;

/// The sizes of the system's buffers for a connection, in bytes; `None` leaves them to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SystemBuffers {
    pub(crate) send: Option<usize>,
    pub(crate) recv: Option<usize>,
}

impl SystemBuffers {
    pub(super) fn check(self) -> Result<()> {
        for (option, size) in [
            ("socket-send-buffer", self.send),
            ("socket-recv-buffer", self.recv),
        ] {
            if let Some(size) = size.filter(|size| !(1..=LARGEST).contains(size)) {
                return Err(Error::bad_option(option, size, "1 to 2^30"));
            }
        }
        Ok(())
    }
}

impl EndpointOptions {
    /// Bytes that the system keeps of what was sent until the peer's system has it, 1 to 2^30; it may take another size.
    /// `None`, the default, leaves it to the system, and for ipc is twice what that would be. For all transports but inproc
    /// and descriptors.
    #[must_use]
    pub fn socket_send_buffer(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.buffers.send = bytes.into();
        self
    }

    /// Bytes that the system keeps of what has come until it is read, as
    /// [`socket_send_buffer`](Self::socket_send_buffer).
    #[must_use]
    pub fn socket_recv_buffer(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.buffers.recv = bytes.into();
        self
    }
}

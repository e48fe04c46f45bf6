//! The options for the system's buffers that the broker and its clients have in common.

use clap::Args;
use wirebird::EndpointOptions;

use super::size::MaybeSize;

/// How much the system keeps of a connection.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Buffers {
    /// How much the system keeps of what is sent over a connection; -1 leaves it to the system [default: -1]
    #[arg(
        long = "socket-snd-buf-size",
        value_name = "SIZE",
        allow_hyphen_values = true
    )]
    pub(super) send: Option<MaybeSize>,
    /// The same of what has come over it [default: -1]
    #[arg(
        long = "socket-rcv-buf-size",
        value_name = "SIZE",
        allow_hyphen_values = true
    )]
    pub(super) recv: Option<MaybeSize>,
}

impl Buffers {
    pub(super) fn apply(self, options: EndpointOptions) -> EndpointOptions {
        options
            .socket_send_buffer(self.send.and_then(|size| size.0))
            .socket_recv_buffer(self.recv.and_then(|size| size.0))
    }
}

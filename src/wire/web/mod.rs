//! WebSocket frames (RFC 6455), without I/O: what a message looks like as frames, and frames as messages again.
//!
//! A message is one binary WebSocket message, protocol header and body behind each other. What a client sends is
//! masked, and what a server sends is not. Control frames stand between frames of data.

mod assemble;
mod frame;
mod mask;

pub(crate) use assemble::Assembler;
#[cfg(test)]
use assemble::Violation;
pub(crate) use frame::control;
pub(super) use frame::push;
pub(crate) use tungstenite::protocol::frame::coding::Control;

/// Longest payload of a frame that is sent, as in nng. Some peers accept no message in one frame of more than 1 MiB.
const FRAGMENT: usize = 64 * 1024;
/// Longest head of a frame.
const MAX_HEAD: usize = 14;
/// Longest payload of a control frame.
pub(crate) const MAX_CONTROL: usize = 125;

/// Close codes, RFC 6455 section 7.4.1.
pub(crate) mod code {
    pub(crate) const NORMAL: u16 = 1000;
    pub(crate) const PROTOCOL: u16 = 1002;
    pub(crate) const UNSUPPORTED: u16 = 1003;
    pub(crate) const NO_TEXT: u16 = 1007;
    pub(crate) const TOO_BIG: u16 = 1009;
    /// The server met what it did not expect.
    pub(crate) const FAILED: u16 = 1011;

    /// Whether a peer may send it: it is defined, and not one that only stands for a close without one.
    pub(super) fn is_sendable(code: u16) -> bool {
        matches!(code, NORMAL..=UNSUPPORTED | NO_TEXT..=1014 | 3000..=4999)
    }
}

#[cfg(test)]
mod tests;

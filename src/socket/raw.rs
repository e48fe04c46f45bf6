//! Raw sockets: the protocol's header is the program's business.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "stream")]
use super::asynchronous::Incoming;
#[cfg(feature = "sink")]
use super::asynchronous::Outgoing;
use super::asynchronous::{
    RecvFuture, SendFuture, common_async, receiving_async, sending_async, streaming,
};
use super::endpoint::{Dialer, Listener, Pipe};
use super::methods::{common, receiving, sending};
use super::pollable::pollable;
use super::{Handle, RawKind, debug};
use crate::engine::{
    Core, Dialing, Event, Listening, Monitor, Patience, PipeInfo, SocketStats, Timeouts,
};
use crate::error::{Result, SendError};
use crate::message::Message;
use crate::options::SocketOptions;
use crate::protocols::{CtxId, ProtocolInfo};
use crate::transports::{self, Setup};

/// A raw socket of any protocol: it keeps no state between messages and leaves the header to the program. Made for
/// devices, see [`forward`](crate::forward).
///
/// On the wire it cannot be told from a cooked one. What its protocol cannot do gives
/// [`NotSupported`](crate::Error::NotSupported). Its handles are as [`Socket`](super::Socket)'s.
///
/// ```
/// use wirebird::{RawKind, RawSocket, Req};
///
/// let rep = RawSocket::new(RawKind::Rep)?;
/// rep.listen("inproc://doc-raw")?;
/// let req = Req::new()?;
/// req.dial("inproc://doc-raw")?;
/// req.send("ping")?;
/// let mut request = rep.recv()?;
/// assert_eq!(request.header().len(), 8); // the pipe's number and the request's
/// request.append(b"-pong");
/// rep.send(request)?;
/// assert_eq!(req.recv()?.body(), b"ping-pong");
/// # Ok::<(), wirebird::Error>(())
/// ```
#[derive(Clone)]
pub struct RawSocket {
    handle: Arc<Handle>,
    kind: RawKind,
}

impl RawSocket {
    /// A new raw socket with the default options.
    ///
    /// # Errors
    ///
    /// As [`Socket::new`](super::Socket::new).
    pub fn new(kind: RawKind) -> Result<Self> {
        Self::with_options(kind, &SocketOptions::default())
    }

    /// A new raw socket.
    ///
    /// # Errors
    ///
    /// As [`Socket::with_options`](super::Socket::with_options).
    pub fn with_options(kind: RawKind, options: &SocketOptions) -> Result<Self> {
        let core = Core::new(kind.machine(), true, options)?;
        Ok(Self {
            handle: Arc::new(Handle { core }),
            kind,
        })
    }

    /// Which protocol it has.
    #[must_use]
    pub fn kind(&self) -> RawKind {
        self.kind
    }

    common!();

    common_async!();

    sending!();

    sending_async!();

    receiving!();

    receiving_async!();

    streaming!(stream);

    streaming!(sink);

    pollable!(recv);

    pollable!(send);

    fn own(&self) -> (&Arc<Core>, CtxId, &Timeouts) {
        (&self.handle.core, CtxId::SOCKET, &self.handle.core.timeouts)
    }

    /// Whether both are handles of the same socket.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.handle, &other.handle)
    }
}

impl fmt::Debug for RawSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(&self.handle.core, f)
    }
}

//! Contexts: many independent conversations on one socket.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::methods::{receiving, sending};
use super::{Contexts, Handle, Receives, Sends, Subscribes};
use crate::engine::{Core, Patience, Timeouts};
use crate::error::{Result, SendError};
use crate::message::Message;
use crate::options::SocketOptions;
use crate::protocols::CtxId;

/// An independent state machine on the peers of a socket: its own outstanding request, survey or subscriptions.
///
/// It keeps the socket alive. Dropping it gives up what is outstanding.
///
/// ```
/// use wirebird::{Rep, Req};
///
/// let (rep, req) = (Rep::new()?, Req::new()?);
/// rep.listen("inproc://doc-context")?;
/// req.dial("inproc://doc-context")?;
/// let contexts = [req.context()?, req.context()?];
/// for (number, context) in contexts.iter().enumerate() {
///     context.send(format!("request {number}"))?;
/// }
/// for _ in &contexts {
///     let request = rep.recv()?;
///     rep.send(request)?;
/// }
/// assert_eq!(contexts[1].recv()?.body(), b"request 1");
/// assert_eq!(contexts[0].recv()?.body(), b"request 0");
/// # Ok::<(), wirebird::Error>(())
/// ```
pub struct Context<P: Contexts> {
    handle: Arc<Handle>,
    id: CtxId,
    timeouts: Timeouts,
    pattern: PhantomData<fn() -> P>,
}

impl<P: Contexts> Context<P> {
    pub(super) fn open(handle: Arc<Handle>) -> Result<Self> {
        let id = handle.core.open_context()?;
        let timeouts = Timeouts::new();
        timeouts.set(handle.core.timeouts.send(), handle.core.timeouts.recv());
        Ok(Self {
            handle,
            id,
            timeouts,
            pattern: PhantomData,
        })
    }

    /// Changes the context's own options: its timeouts, and the resend time, survey time, receive buffer or
    /// preference that its protocol has.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`](crate::Error::InvalidOption), [`NotSupported`](crate::Error::NotSupported),
    /// [`Closed`](crate::Error::Closed).
    pub fn set_options(&self, options: &SocketOptions) -> Result<()> {
        self.handle.core.set_context_options(self.id, options)?;
        self.timeouts
            .set(options.send_timeout, options.recv_timeout);
        Ok(())
    }

    fn own(&self) -> (&Arc<Core>, CtxId, &Timeouts) {
        (&self.handle.core, self.id, &self.timeouts)
    }
}

impl<P: Contexts + Sends> Context<P> {
    sending!();
}

impl<P: Contexts + Receives> Context<P> {
    receiving!();
}

impl<P: Contexts + Subscribes> Context<P> {
    /// As [`Socket::subscribe`](super::Socket::subscribe), for this context alone.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Error::Closed).
    pub fn subscribe(&self, topic: impl AsRef<[u8]>) -> Result<()> {
        self.handle.core.subscribe(self.id, topic.as_ref())
    }

    /// As [`Socket::unsubscribe`](super::Socket::unsubscribe), for this context alone.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound), [`Closed`](crate::Error::Closed).
    pub fn unsubscribe(&self, topic: impl AsRef<[u8]>) -> Result<()> {
        self.handle.core.unsubscribe(self.id, topic.as_ref())
    }
}

impl<P: Contexts> Drop for Context<P> {
    fn drop(&mut self) {
        self.handle.core.close_context(self.id);
    }
}

impl<P: Contexts> fmt::Debug for Context<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("socket", &self.handle.core.id)
            .field("id", &self.id.0)
            .finish()
    }
}

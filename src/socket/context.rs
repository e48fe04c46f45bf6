//! Contexts: many independent conversations on one socket.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::asynchronous::{RecvFuture, SendFuture, receiving_async, sending_async};
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
    pub(super) conversation: Conversation,
    pattern: PhantomData<fn() -> P>,
}

/// A context without its type. The last thing it does is to close.
pub(super) struct Conversation {
    handle: Arc<Handle>,
    id: CtxId,
    timeouts: Timeouts,
}

impl Conversation {
    pub(super) fn open(handle: Arc<Handle>) -> Result<Self> {
        let id = handle.core.open_context()?;
        let timeouts = Timeouts::new();
        timeouts.set(handle.core.timeouts.send(), handle.core.timeouts.recv());
        Ok(Self {
            handle,
            id,
            timeouts,
        })
    }

    pub(super) fn own(&self) -> (&Arc<Core>, CtxId, &Timeouts) {
        (&self.handle.core, self.id, &self.timeouts)
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.handle.core.close_context(self.id);
    }
}

impl<P: Contexts> Context<P> {
    pub(super) fn open(handle: Arc<Handle>) -> Result<Self> {
        Ok(Self {
            conversation: Conversation::open(handle)?,
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
        let (core, id, timeouts) = self.own();
        core.set_context_options(id, options)?;
        timeouts.set(options.send_timeout, options.recv_timeout);
        Ok(())
    }

    fn own(&self) -> (&Arc<Core>, CtxId, &Timeouts) {
        self.conversation.own()
    }
}

impl<P: Contexts + Sends> Context<P> {
    sending!();
    sending_async!();
}

impl<P: Contexts + Receives> Context<P> {
    receiving!();
    receiving_async!();
}

impl<P: Contexts + Subscribes> Context<P> {
    /// As [`Socket::subscribe`](super::Socket::subscribe), for this context alone.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Error::Closed).
    pub fn subscribe(&self, topic: impl AsRef<[u8]>) -> Result<()> {
        let (core, id, _) = self.own();
        core.subscribe(id, topic.as_ref())
    }

    /// As [`Socket::unsubscribe`](super::Socket::unsubscribe), for this context alone.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound), [`Closed`](crate::Error::Closed).
    pub fn unsubscribe(&self, topic: impl AsRef<[u8]>) -> Result<()> {
        let (core, id, _) = self.own();
        core.unsubscribe(id, topic.as_ref())
    }
}

impl<P: Contexts> fmt::Debug for Context<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (core, id, _) = self.own();
        f.debug_struct("Context")
            .field("socket", &core.id)
            .field("id", &id.0)
            .finish()
    }
}

//! Sending.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::engine::{Core, Sending, Timeouts};
use crate::error::SendError;
use crate::message::Message;
use crate::protocols::CtxId;

/// A send under way: what [`Socket::send_async`](crate::Socket::send_async) returns.
///
/// # Cancel safety
///
/// One that is dropped before it is ready has not sent the message, and drops it.
#[must_use = "futures do nothing unless they are awaited"]
#[repr(C)]
pub struct SendFuture<'a> {
    // Begins with its message: see there.
    sending: Sending,
    core: &'a Core,
    timeouts: &'a Timeouts,
    timeout: Option<Duration>,
    ctx: CtxId,
}

impl<'a> SendFuture<'a> {
    #[inline]
    pub(in crate::socket) fn new(
        core: &'a Core,
        ctx: CtxId,
        timeouts: &'a Timeouts,
        message: Message,
    ) -> Self {
        Self {
            core,
            ctx,
            timeouts,
            timeout: None,
            sending: Sending::new(message),
        }
    }

    /// Waits at most `timeout`, counted from the first poll, whatever the socket's send timeout says.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Gives the send up. Returns the message, or `None` if it was accepted in the meantime, or the future was ready
    /// before.
    pub fn cancel(mut self) -> Option<Message> {
        self.sending.cancel(self.core, self.ctx)
    }
}

impl Future for SendFuture<'_> {
    type Output = Result<(), SendError>;

    /// # Panics
    ///
    /// When it is polled after it was ready.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            core,
            ctx,
            timeouts,
            timeout,
            sending,
        } = &mut *self;
        sending.poll(core, *ctx, || timeout.or_else(|| timeouts.send()), task)
    }
}

impl Drop for SendFuture<'_> {
    #[inline]
    fn drop(&mut self) {
        self.sending.give_up(self.core, self.ctx);
    }
}

impl fmt::Debug for SendFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFuture").finish_non_exhaustive()
    }
}

//! Receiving.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::engine::{Core, Receiving, Timeouts};
use crate::error::Result;
use crate::message::Message;
use crate::protocols::CtxId;

/// A receive under way: what [`Socket::recv_async`](crate::Socket::recv_async) returns.
///
/// # Cancel safety
///
/// Dropping it loses nothing: a message leaves the socket only when the future is ready.
#[must_use = "futures do nothing unless they are awaited"]
pub struct RecvFuture<'a> {
    core: &'a Core,
    ctx: CtxId,
    timeouts: &'a Timeouts,
    timeout: Option<Duration>,
    receiving: Receiving,
}

impl<'a> RecvFuture<'a> {
    #[inline]
    pub(in crate::socket) fn new(core: &'a Core, ctx: CtxId, timeouts: &'a Timeouts) -> Self {
        Self {
            core,
            ctx,
            timeouts,
            timeout: None,
            receiving: Receiving::default(),
        }
    }

    /// Waits at most `timeout`, counted from the first poll, whatever the socket's receive timeout says.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Future for RecvFuture<'_> {
    type Output = Result<Message>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<Message>> {
        let Self {
            core,
            ctx,
            timeouts,
            timeout,
            receiving,
        } = &mut *self;
        receiving.poll(core, *ctx, || timeout.or_else(|| timeouts.recv()), task)
    }
}

impl Drop for RecvFuture<'_> {
    #[inline]
    fn drop(&mut self) {
        self.receiving.release(self.core, self.ctx);
    }
}

impl fmt::Debug for RecvFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvFuture").finish_non_exhaustive()
    }
}

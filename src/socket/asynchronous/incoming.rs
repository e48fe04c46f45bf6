//! Receiving as a stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use crate::engine::Receiving;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::protocols::CtxId;
use crate::socket::Handle;
use crate::socket::asynchronous::Answers;

/// A socket's messages as a [`Stream`]: what [`Socket::incoming`](crate::Socket::incoming) returns.
///
/// It ends when the socket is closed, and after an error other than [`Error::TimedOut`], which it gives whenever
/// the receive timeout has passed without a message.
///
/// # Cancel safety
///
/// Dropping it, or the futures that combinators make of it, loses no message.
#[must_use = "streams do nothing unless they are polled"]
pub struct Incoming {
    handle: Arc<Handle>,
    receiving: Receiving,
    over: bool,
}

impl Incoming {
    pub(in crate::socket) fn new(handle: Arc<Handle>) -> Self {
        Self {
            handle,
            receiving: Receiving::default(),
            over: false,
        }
    }
}

impl Stream for Incoming {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let Self {
            handle, receiving, ..
        } = &mut *self;
        let core = &handle.core;
        let timeout = || core.timeouts.recv();
        let received = std::task::ready!(receiving.poll(core, CtxId::SOCKET, timeout, task));
        self.over = !matches!(received, Ok(_) | Err(Error::TimedOut));
        Poll::Ready(match received {
            Err(Error::Closed) => None,
            received => Some(received),
        })
    }
}

impl FusedStream for Incoming {
    fn is_terminated(&self) -> bool {
        self.over
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.receiving.release(&self.handle.core, CtxId::SOCKET);
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

/// The answers; ends with the survey.
impl Stream for Answers {
    type Item = Result<Message>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(task).map(Result::transpose)
    }
}

//! Sending as a sink.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_sink::Sink;

use crate::engine::Sending;
use crate::error::SendError;
use crate::message::Message;
use crate::protocols::CtxId;
use crate::socket::Handle;

/// A socket as a [`Sink`]: what [`Socket::outgoing`](crate::Socket::outgoing) returns.
///
/// Flushing waits until the socket has accepted the message, at most the send timeout. Closing the sink leaves
/// the socket open.
///
/// # Cancel safety
///
/// Dropping it drops a message that was not accepted yet; flush it before.
#[must_use = "sinks do nothing unless they are polled"]
pub struct Outgoing {
    handle: Arc<Handle>,
    sending: Option<Sending>,
}

impl Outgoing {
    pub(in crate::socket) fn new(handle: Arc<Handle>) -> Self {
        Self {
            handle,
            sending: None,
        }
    }
}

impl<M: Into<Message>> Sink<M> for Outgoing {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Self { handle, sending } = &mut *self;
        let Some(present) = sending else {
            return Poll::Ready(Ok(()));
        };
        let core = &handle.core;
        let timeout = || core.timeouts.send();
        let sent = std::task::ready!(present.poll(core, CtxId::SOCKET, timeout, task));
        *sending = None;
        Poll::Ready(sent)
    }

    fn start_send(mut self: Pin<&mut Self>, message: M) -> Result<(), SendError> {
        assert!(self.sending.is_none(), "the sink is not ready");
        self.sending = Some(Sending::new(message.into()));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Sink::<M>::poll_ready(self, task)
    }

    fn poll_close(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Sink::<M>::poll_ready(self, task)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(mut sending) = self.sending.take() {
            sending.give_up(&self.handle.core, CtxId::SOCKET);
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}

//! Sends and receives as futures do them: polled, with a deadline, and given up when the future is dropped.
//!
//! Neither has a `Drop`: whoever owns one knows the socket and gives it up.

use std::task::{Context, Poll};
use std::time::Duration;

use super::core::Core;
use super::deadline::Deadline;
use crate::error::{Error, Result, SendError};
use crate::message::Message;
use crate::protocols::{CtxId, OpId};

/// A receive. When it has ended it may be polled again, for the next message.
#[derive(Default)]
pub(crate) struct Receiving {
    waiting: Option<(OpId, Deadline)>,
}

impl Receiving {
    /// One attempt. `timeout` is asked for when the receive begins to wait.
    pub(crate) fn poll(
        &mut self,
        core: &Core,
        ctx: CtxId,
        timeout: impl FnOnce() -> Option<Duration>,
        task: &Context<'_>,
    ) -> Poll<Result<Message>> {
        let mut message = Message::new();
        let received = match &self.waiting {
            Some((op, _)) => core.poll_recv(ctx, *op, &mut message, task.waker()),
            None => {
                let begun = core.begin_recv(ctx, &mut message, task.waker());
                begun.map(|waits| {
                    self.waiting = waits.map(|op| (op, Deadline::after(core.reactor, timeout())));
                    waits.is_none()
                })
            }
        };
        if let (Ok(false), Some((_, deadline))) = (&received, &mut self.waiting) {
            if !deadline.is_over(task) {
                return Poll::Pending;
            }
            self.cancel(core, ctx);
            return Poll::Ready(Err(Error::TimedOut));
        }
        self.waiting = None;
        Poll::Ready(received.map(|_| message))
    }

    /// Gives it up for good, and with it what it waits for: a request or survey ends.
    pub(crate) fn cancel(&mut self, core: &Core, ctx: CtxId) {
        if let Some((op, _)) = self.waiting.take() {
            core.cancel_recv(ctx, op);
        }
    }

    /// Gives it up; the next receive has what comes.
    pub(crate) fn release(&mut self, core: &Core, ctx: CtxId) {
        if let Some((op, _)) = self.waiting.take() {
            core.release_recv(ctx, op);
        }
    }
}

/// A send.
pub(crate) struct Sending {
    /// The message while the machine does not have it.
    held: Option<Message>,
    waiting: Option<(OpId, Deadline)>,
    over: bool,
}

impl Sending {
    pub(crate) fn new(message: Message) -> Self {
        Self {
            held: Some(message),
            waiting: None,
            over: false,
        }
    }

    /// One attempt. `timeout` is asked for when the send begins to wait.
    ///
    /// # Panics
    ///
    /// When it is polled after it has ended.
    pub(crate) fn poll(
        &mut self,
        core: &Core,
        ctx: CtxId,
        timeout: impl FnOnce() -> Option<Duration>,
        task: &Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        assert!(!self.over, "a send was polled after it had ended");
        let held = &mut self.held;
        let attempt = match &self.waiting {
            Some((op, _)) => core.poll_send(ctx, *op, held, task.waker()),
            None => match core.begin_send(ctx, held, task.waker()) {
                Ok(None) => Some(Ok(())),
                Ok(Some(op)) => {
                    self.waiting = Some((op, Deadline::after(core.reactor, timeout())));
                    None
                }
                Err(error) => Some(Err(error)),
            },
        };
        let sent = match (attempt, &mut self.waiting) {
            (Some(sent), _) => sent,
            (None, Some((op, deadline))) => {
                if !deadline.is_over(task) {
                    return Poll::Pending;
                }
                if core.cancel_send(ctx, *op, held) {
                    Ok(())
                } else {
                    Err(Error::TimedOut)
                }
            }
            (None, None) => return Poll::Pending,
        };
        self.over = true;
        self.waiting = None;
        let held = &mut self.held;
        Poll::Ready(
            sent.map_err(|error| SendError::new(error, &mut held.take().unwrap_or_default())),
        )
    }

    /// Gives it up. Returns the message if it was not accepted.
    pub(crate) fn cancel(&mut self, core: &Core, ctx: CtxId) -> Option<Message> {
        self.over = true;
        if let Some((op, _)) = self.waiting.take() {
            core.cancel_send(ctx, op, &mut self.held);
        }
        self.held.take()
    }

    /// The message, to be sent in another way, of a send that was never polled.
    pub(crate) fn into_message(self) -> Message {
        self.held.unwrap_or_default()
    }
}

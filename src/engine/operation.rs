//! Sends and receives as futures do them: polled, with a deadline, and given up when the future is dropped.
//!
//! Neither has a `Drop`: whoever owns one knows the socket and gives it up. Both are small, and messages stay where
//! they were put: a future is moved before it is polled, and a message that is moved right after it was written makes
//! the processor wait.

use std::mem;
use std::task::{Context, Poll};
use std::time::Duration;

use super::core::Core;
use super::deadline::Deadline;
use super::spin::Look;
use crate::error::{Error, Result, SendError};
use crate::message::Message;
use crate::protocols::{CtxId, OpId, Sent};

/// A receive. When it has ended it may be polled again, for the next message.
#[derive(Default)]
pub(crate) struct Receiving {
    state: Progress,
}

#[derive(Default)]
enum Progress {
    #[default]
    New,
    /// It asks to be polled again at once: what it waits for is likely to come soon.
    Looking(OpId, Look),
    Waiting(OpId, Deadline),
}

impl Receiving {
    /// One attempt. `timeout` is asked for when the receive begins to wait.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        core: &Core,
        ctx: CtxId,
        timeout: impl FnOnce() -> Option<Duration>,
        task: &Context<'_>,
    ) -> Poll<Result<Message>> {
        let mut message = Message::new();
        if let Progress::New = self.state {
            let mut op = OpId::TRY;
            match core.look_recv(ctx, &mut op, &mut message) {
                Ok(true) => return Poll::Ready(Ok(message)),
                Ok(false) => {
                    let received = self.begin(core, ctx, op, &mut message, timeout, task);
                    return self.outcome(core, ctx, received, message, task);
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let received = self.again(core, ctx, &mut message, timeout, task);
        self.outcome(core, ctx, received, message, task)
    }

    /// Another attempt.
    #[inline(never)]
    fn again(
        &mut self,
        core: &Core,
        ctx: CtxId,
        message: &mut Message,
        timeout: impl FnOnce() -> Option<Duration>,
        task: &Context<'_>,
    ) -> Result<bool> {
        match &self.state {
            Progress::Waiting(op, _) => core.poll_recv(ctx, *op, message, task.waker()),
            _ => self.look(core, ctx, message, timeout, task),
        }
    }

    /// What an attempt means that was not the first, or came to nothing.
    #[inline(never)]
    fn outcome(
        &mut self,
        core: &Core,
        ctx: CtxId,
        received: Result<bool>,
        message: Message,
        task: &Context<'_>,
    ) -> Poll<Result<Message>> {
        let outcome = match received {
            Ok(true) => Poll::Ready(Ok(message)),
            Ok(false) => self.wait(core, ctx, task),
            Err(error) => Poll::Ready(Err(error)),
        };
        if outcome.is_ready() {
            self.state = Progress::New;
        }
        outcome
    }

    /// The first attempt has found nothing.
    #[cold]
    fn begin(
        &mut self,
        core: &Core,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
        timeout: impl FnOnce() -> Option<Duration>,
        task: &Context<'_>,
    ) -> Result<bool> {
        if let Some(look) = core.begin_look() {
            self.state = Progress::Looking(op, look);
            return Ok(false);
        }
        self.state = Progress::Waiting(op, Deadline::after(core.reactor, timeout()));
        core.poll_recv(ctx, op, message, task.waker())
    }

    /// Another attempt of a receive that looks.
    fn look(
        &mut self,
        core: &Core,
        ctx: CtxId,
        message: &mut Message,
        timeout: impl FnOnce() -> Option<Duration>,
        task: &Context<'_>,
    ) -> Result<bool> {
        let Progress::Looking(op, look) = &mut self.state else {
            return Ok(false);
        };
        core.look_around();
        match core.look_recv(ctx, op, message) {
            Ok(false) if core.goes_on(look) => Ok(false),
            Ok(false) => {
                let op = *op;
                self.state = Progress::Waiting(op, Deadline::after(core.reactor, timeout()));
                core.poll_recv(ctx, op, message, task.waker())
            }
            received => {
                core.paid();
                received
            }
        }
    }

    fn wait(&mut self, core: &Core, ctx: CtxId, task: &Context<'_>) -> Poll<Result<Message>> {
        match &mut self.state {
            Progress::New => return Poll::Pending,
            Progress::Looking(..) => {
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
            Progress::Waiting(_, deadline) => {
                if !deadline.is_over(task) {
                    return Poll::Pending;
                }
            }
        }
        self.cancel(core, ctx);
        Poll::Ready(Err(Error::TimedOut))
    }

    /// The operation, while it has not ended.
    #[inline]
    fn end(&mut self) -> Option<OpId> {
        match mem::take(&mut self.state) {
            Progress::New => None,
            Progress::Looking(op, _) | Progress::Waiting(op, _) => Some(op),
        }
    }

    /// Gives it up for good, and with it what it waits for: a request or survey ends.
    pub(crate) fn cancel(&mut self, core: &Core, ctx: CtxId) {
        if let Some(op) = self.end() {
            core.cancel_recv(ctx, op);
        }
    }

    /// Gives it up; the next receive has what comes.
    #[inline]
    pub(crate) fn release(&mut self, core: &Core, ctx: CtxId) {
        if let Some(op) = self.end() {
            core.release_recv(ctx, op);
        }
    }
}

/// A send.
///
/// Its message is beside nothing that has no value at times, as what an enum without fields has room for: that would be
/// moved together with the message, in other parts than those in which it was written.
#[repr(C)]
pub(crate) struct Sending {
    /// The message until the first poll.
    message: Message,
    /// What is left of it when it could not be done at once.
    waiting: Option<Box<Waiting>>,
    /// Whether it was polled.
    begun: bool,
}

struct Waiting {
    op: OpId,
    /// The message while the machine does not have it.
    held: Option<Message>,
    deadline: Deadline,
}

impl Sending {
    #[inline]
    pub(crate) fn new(message: Message) -> Self {
        Self {
            message,
            waiting: None,
            begun: false,
        }
    }

    /// One attempt. `timeout` is asked for when the send begins to wait.
    ///
    /// # Panics
    ///
    /// When it is polled after it has ended.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        core: &Core,
        ctx: CtxId,
        timeout: impl FnOnce() -> Option<Duration>,
        task: &Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        if !self.begun {
            self.begun = true;
            let mut op = OpId::TRY;
            return match core.begin_send(ctx, &mut op, &mut self.message, task.waker()) {
                Sent::Done => Poll::Ready(Ok(())),
                sent => self.go_on(core, sent, (ctx, op), timeout, task),
            };
        }
        self.poll_again(core, ctx, task)
    }

    /// What the first attempt means that was not enough.
    #[inline(never)]
    fn go_on(
        &mut self,
        core: &Core,
        sent: Sent,
        (ctx, op): (CtxId, OpId),
        timeout: impl FnOnce() -> Option<Duration>,
        task: &Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let held = match sent {
            Sent::Done => return Poll::Ready(Ok(())),
            Sent::Failed(error) => {
                return Poll::Ready(Err(SendError::new(*error, &mut self.message)));
            }
            Sent::Full => Some(mem::take(&mut self.message)),
            Sent::Pending => None,
        };
        self.waiting = Some(Box::new(Waiting {
            op,
            held,
            deadline: Deadline::after(core.reactor, timeout()),
        }));
        self.wait(core, ctx, task, None)
    }

    fn poll_again(
        &mut self,
        core: &Core,
        ctx: CtxId,
        task: &Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let Some(waiting) = &mut self.waiting else {
            panic!("a send was polled after it had ended");
        };
        let sent = core.poll_send(ctx, waiting.op, &mut waiting.held, task.waker());
        self.wait(core, ctx, task, sent)
    }

    /// What is to be done after an attempt that gave `sent`.
    fn wait(
        &mut self,
        core: &Core,
        ctx: CtxId,
        task: &Context<'_>,
        sent: Option<Result<()>>,
    ) -> Poll<Result<(), SendError>> {
        let Some(waiting) = &mut self.waiting else {
            return Poll::Pending;
        };
        let Waiting { op, held, deadline } = &mut **waiting;
        let sent = match sent {
            Some(sent) => sent,
            None if !deadline.is_over(task) => return Poll::Pending,
            None if core.cancel_send(ctx, *op, held) => Ok(()),
            None => Err(Error::TimedOut),
        };
        let sent = sent.map_err(|error| SendError::new(error, held.get_or_insert_default()));
        self.waiting = None;
        Poll::Ready(sent)
    }

    /// Gives the send up. Returns the message if it was not accepted.
    pub(crate) fn cancel(&mut self, core: &Core, ctx: CtxId) -> Option<Message> {
        if !mem::replace(&mut self.begun, true) {
            return Some(mem::take(&mut self.message));
        }
        let mut waiting = self.waiting.take()?;
        core.cancel_send(ctx, waiting.op, &mut waiting.held);
        waiting.held
    }

    /// Gives the send up, and the message with it.
    #[inline]
    pub(crate) fn give_up(&mut self, core: &Core, ctx: CtxId) {
        if self.waiting.is_some() {
            drop(self.cancel(core, ctx));
        }
    }

    /// The message, to be sent in another way, of a send that was never polled.
    pub(crate) fn into_message(self) -> Message {
        self.message
    }
}

//! Requests and surveys that carry their own way back: each is answered at most once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::engine::{Patience, Receiving, Sending};
use crate::error::{Error, Result, SendError};
use crate::message::{Message, PipeId};
use crate::pattern::Replies;
use crate::socket::Socket;
use crate::socket::context::Conversation;

impl<P: Replies> Socket<P> {
    /// Receives a request, or a survey, that remembers where its answer has to go. Any number may be open at once,
    /// and they may be answered in any order, by any thread or task.
    ///
    /// Awaiting the future is ready with the request; [`AcceptFuture::wait`] blocks instead. Either waits as long
    /// as the receive timeout says, unless [`AcceptFuture::timeout`] does.
    ///
    /// ```
    /// use wirebird::{Error, Rep, Req};
    ///
    /// let (rep, req) = (Rep::new()?, Req::new()?);
    /// rep.listen("inproc://doc-accept")?;
    /// req.dial("inproc://doc-accept")?;
    /// let (first, second) = (req.context()?, req.context()?);
    /// first.send("one")?;
    /// let one = rep.accept().wait()?;
    /// second.send("two")?;
    /// let two = rep.accept().wait()?;
    /// two.reply("second").wait()?;
    /// one.reply("first").wait()?;
    /// assert_eq!(first.recv()?.body(), b"first");
    /// assert_eq!(second.recv()?.body(), b"second");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a request leaves the socket only when the future is ready.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](Error::TimedOut), [`Closed`](Error::Closed).
    pub fn accept(&self) -> AcceptFuture {
        AcceptFuture {
            conversation: Conversation::open(self.handle.clone()).map(Some),
            receiving: Receiving::default(),
            timeout: None,
        }
    }
}

/// A request being waited for: what [`Rep::accept`](Socket::accept) returns.
///
/// # Cancel safety
///
/// Dropping it loses nothing.
#[must_use = "does nothing unless it is awaited, or waited for with `wait`"]
pub struct AcceptFuture {
    /// None when the request has taken it.
    conversation: Result<Option<Conversation>>,
    receiving: Receiving,
    timeout: Option<Duration>,
}

impl AcceptFuture {
    /// Waits at most `timeout`, counted from the first poll or from [`wait`](Self::wait), whatever the socket's
    /// receive timeout says.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Blocks until there is a request.
    ///
    /// # Errors
    ///
    /// As [`Rep::accept`](Socket::accept).
    pub fn wait(mut self) -> Result<Request> {
        let (conversation, receiving) = Self::parts(&mut self.conversation, &mut self.receiving)?;
        let (core, ctx, timeouts) = conversation.own();
        receiving.release(core, ctx);
        let patience = self.timeout.map_or(Patience::Default, Patience::For);
        let mut message = Message::new();
        core.recv(ctx, &mut message, patience, timeouts)?;
        self.request(message)
    }

    fn parts<'a>(
        conversation: &'a mut Result<Option<Conversation>>,
        receiving: &'a mut Receiving,
    ) -> Result<(&'a Conversation, &'a mut Receiving)> {
        match conversation {
            Ok(Some(conversation)) => Ok((conversation, receiving)),
            Ok(None) => panic!("an accept was used after it was ready"),
            Err(error) => Err(error.clone()),
        }
    }

    fn request(&mut self, message: Message) -> Result<Request> {
        let conversation = match &mut self.conversation {
            Ok(conversation) => conversation.take(),
            Err(error) => return Err(error.clone()),
        };
        Ok(Request {
            message,
            conversation: conversation.ok_or(Error::Closed)?,
        })
    }
}

impl Future for AcceptFuture {
    type Output = Result<Request>;

    /// # Panics
    ///
    /// When it is polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<Request>> {
        let Self {
            conversation,
            receiving,
            timeout,
        } = &mut *self;
        let (conversation, receiving) = Self::parts(conversation, receiving)?;
        let (core, ctx, timeouts) = conversation.own();
        let own = || timeout.or_else(|| timeouts.recv());
        let message = std::task::ready!(receiving.poll(core, ctx, own, task))?;
        Poll::Ready(self.request(message))
    }
}

impl Drop for AcceptFuture {
    fn drop(&mut self) {
        if let Ok(Some(conversation)) = &self.conversation {
            let (core, ctx, _) = conversation.own();
            self.receiving.release(core, ctx);
        }
    }
}

impl fmt::Debug for AcceptFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptFuture").finish_non_exhaustive()
    }
}

/// A request, or a survey, that waits for its answer. [`reply`](Self::reply) consumes it, so that none is answered
/// twice.
///
/// Dropping it answers nothing; who asked waits until its own time is over, or asks again. It keeps the socket alive.
pub struct Request {
    message: Message,
    conversation: Conversation,
}

impl Request {
    /// What the peer sent.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The body of what the peer sent.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.message.body()
    }

    /// The pipe it came through.
    #[must_use]
    pub fn pipe(&self) -> Option<PipeId> {
        self.message.pipe()
    }

    /// Takes the message out, to be changed into the answer for instance. What stays is empty.
    pub fn take_message(&mut self) -> Message {
        std::mem::take(&mut self.message)
    }

    /// Answers it. Awaiting the future is ready when the answer is accepted; [`ReplyFuture::wait`] blocks instead.
    /// Either waits, as long as the send timeout says, while the peer does not keep up. An answer whose peer is gone
    /// is accepted and discarded.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it is ready answers nothing.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](Error::TimedOut), [`Closed`](Error::Closed). The answer comes back with the error.
    pub fn reply(self, message: impl Into<Message>) -> ReplyFuture {
        ReplyFuture {
            conversation: self.conversation,
            sending: Sending::new(message.into()),
            timeout: None,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

/// An answer on its way: what [`Request::reply`] returns.
///
/// # Cancel safety
///
/// One that is dropped before it is ready answers nothing.
#[must_use = "an answer is sent only when it is awaited, or waited for with `wait`"]
pub struct ReplyFuture {
    conversation: Conversation,
    sending: Sending,
    timeout: Option<Duration>,
}

impl ReplyFuture {
    /// Waits at most `timeout`, counted from the first poll or from [`wait`](Self::wait), whatever the socket's send
    /// timeout says.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the answer, and blocks until it is accepted.
    ///
    /// # Errors
    ///
    /// As [`Request::reply`].
    pub fn wait(mut self) -> Result<(), SendError> {
        let (core, ctx, timeouts) = self.conversation.own();
        let Some(mut message) = self.sending.cancel(core, ctx) else {
            return Ok(());
        };
        let patience = self.timeout.map_or(Patience::Default, Patience::For);
        core.send(ctx, &mut message, patience, timeouts)
            .map_err(|error| SendError::new(error, &mut message))
    }
}

impl Future for ReplyFuture {
    type Output = Result<(), SendError>;

    /// # Panics
    ///
    /// When it is polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            conversation,
            sending,
            timeout,
        } = &mut *self;
        let (core, ctx, timeouts) = conversation.own();
        sending.poll(core, ctx, || timeout.or_else(|| timeouts.send()), task)
    }
}

impl Drop for ReplyFuture {
    fn drop(&mut self) {
        let (core, ctx, _) = self.conversation.own();
        self.sending.give_up(core, ctx);
    }
}

impl fmt::Debug for ReplyFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyFuture").finish_non_exhaustive()
    }
}

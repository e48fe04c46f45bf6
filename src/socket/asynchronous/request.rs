//! A request and its reply as one operation.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::engine::{Deadline, Patience, Receiving, Sending};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::pattern;
use crate::socket::Socket;
use crate::socket::context::Conversation;

/// A request under way: what [`Req::request`](Socket::request) returns.
///
/// Awaiting it sends the request and is ready with the reply; [`wait`](Self::wait) blocks instead. Nothing is sent
/// before either is done.
///
/// # Cancel safety
///
/// Dropping it gives the request up. A request that was sent may be served all the same; its reply is then dropped.
#[must_use = "a request is sent only when it is awaited, or waited for with `wait`"]
pub struct RequestFuture<'a> {
    place: Result<Place<'a>>,
    step: Step,
    timeout: Option<Duration>,
    deadline: Option<Deadline>,
}

/// Where a request is made.
enum Place<'a> {
    Own(Conversation),
    Given(&'a Conversation),
}

enum Step {
    Sending(Sending),
    Receiving(Receiving),
    Over,
}

impl Deref for Place<'_> {
    type Target = Conversation;

    fn deref(&self) -> &Conversation {
        match self {
            Self::Own(conversation) => conversation,
            Self::Given(conversation) => conversation,
        }
    }
}

impl Socket<pattern::Request> {
    /// Sends a request and receives its reply, in a context of its own: any number of requests may be under way on
    /// one socket, and each gets its own reply.
    ///
    /// The request waits for a peer as long as the send timeout says, and for its reply as long as the receive
    /// timeout says; [`RequestFuture::timeout`] sets one time for both. It is sent again as the socket's resend time
    /// says.
    ///
    /// ```
    /// use std::thread;
    /// use wirebird::{Error, Rep, Req};
    ///
    /// let (rep, req) = (Rep::new()?, Req::new()?);
    /// rep.listen("inproc://doc-request")?;
    /// req.dial("inproc://doc-request")?;
    /// let server = thread::spawn(move || -> Result<(), Error> {
    ///     let request = rep.accept().wait()?;
    ///     let greeting = [b"hello, ", request.body()].concat();
    ///     Ok(request.reply(greeting).wait()?)
    /// });
    /// // In async code: `let reply = req.request("world").await?;`
    /// let reply = req.request("world").wait()?;
    /// assert_eq!(reply.body(), b"hello, world");
    /// server.join().unwrap()?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up, and no other one is touched.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](Error::TimedOut), [`Closed`](Error::Closed), and [`ConnectionReset`](Error::ConnectionReset) when
    /// a request that is not resent lost its peer.
    pub fn request(&self, message: impl Into<Message>) -> RequestFuture<'static> {
        let place = Conversation::open(self.handle.clone()).map(Place::Own);
        RequestFuture::new(place, message.into())
    }
}

impl crate::Context<pattern::Request> {
    /// Sends a request and receives its reply, in this context, with its options. As every request of a context it
    /// takes the place of the one before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up.
    ///
    /// # Errors
    ///
    /// As [`Req::request`](Socket::request), and [`Canceled`](Error::Canceled) when a later request took its place.
    pub fn request(&self, message: impl Into<Message>) -> RequestFuture<'_> {
        RequestFuture::new(Ok(Place::Given(&self.conversation)), message.into())
    }
}

impl<'a> RequestFuture<'a> {
    fn new(place: Result<Place<'a>>, message: Message) -> Self {
        Self {
            place,
            step: Step::Sending(Sending::new(message)),
            timeout: None,
            deadline: None,
        }
    }

    /// Waits at most `timeout` for peer and reply together, whatever the socket's timeouts say. It counts from the
    /// first poll, or from [`wait`](Self::wait).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the request and blocks until the reply is there.
    ///
    /// # Errors
    ///
    /// As [`Req::request`](Socket::request).
    pub fn wait(mut self) -> Result<Message> {
        let Step::Sending(sending) = std::mem::replace(&mut self.step, Step::Over) else {
            return Err(Error::InvalidState("the request was polled before"));
        };
        let began = Instant::now();
        let patience = |timeout: Option<Duration>| {
            timeout.map_or(Patience::Default, |timeout| {
                Patience::For(timeout.saturating_sub(began.elapsed()))
            })
        };
        let (core, ctx, timeouts) = self.place.as_ref().map_err(Error::clone)?.own();
        let mut message = sending.into_message();
        core.send(ctx, &mut message, patience(self.timeout), timeouts)?;
        let mut reply = Message::new();
        core.recv(ctx, &mut reply, patience(self.timeout), timeouts)?;
        Ok(reply)
    }

    fn advance(&mut self, task: &mut Context<'_>) -> Poll<Result<Message>> {
        let place = self.place.as_ref().map_err(Error::clone)?;
        let (core, ctx, timeouts) = place.own();
        let whole = self.timeout;
        if let Step::Sending(sending) = &mut self.step {
            let own = || timeouts.send().filter(|_| whole.is_none());
            std::task::ready!(sending.poll(core, ctx, own, task))?;
            self.step = Step::Receiving(Receiving::default());
        }
        match &mut self.step {
            Step::Receiving(receiving) => {
                let own = || timeouts.recv().filter(|_| whole.is_none());
                receiving.poll(core, ctx, own, task)
            }
            _ => panic!("a request was polled after it had ended"),
        }
    }

    fn give_up(&mut self) {
        let step = std::mem::replace(&mut self.step, Step::Over);
        let Ok(place) = &self.place else { return };
        let (core, ctx, _) = place.own();
        match step {
            Step::Sending(mut sending) => sending.give_up(core, ctx),
            Step::Receiving(mut receiving) => receiving.cancel(core, ctx),
            Step::Over => {}
        }
    }
}

impl Future for RequestFuture<'_> {
    type Output = Result<Message>;

    /// # Panics
    ///
    /// When it is polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<Message>> {
        let mut outcome = self.advance(task);
        if outcome.is_pending()
            && let Some(timeout) = self.timeout
            && let Ok(place) = &self.place
        {
            let reactor = place.own().0.reactor;
            let deadline = self
                .deadline
                .get_or_insert_with(|| Deadline::after(reactor, Some(timeout)));
            if deadline.is_over(task) {
                outcome = Poll::Ready(Err(Error::TimedOut));
            }
        }
        if outcome.is_ready() {
            self.give_up();
        }
        outcome
    }
}

impl Drop for RequestFuture<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl fmt::Debug for RequestFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestFuture").finish_non_exhaustive()
    }
}

//! A survey and its answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::engine::{Patience, Receiving};
use crate::error::{Error, Result, SendError};
use crate::message::Message;
use crate::options::SocketOptions;
use crate::pattern;
use crate::socket::Socket;
use crate::socket::context::Conversation;

impl Socket<pattern::Survey> {
    /// Sends a survey in a context of its own: any number of surveys may be under way on one socket. It lasts as long
    /// as the socket's survey time says. Never waits.
    ///
    /// ```
    /// use wirebird::{Error, Respondent, Surveyor};
    /// use std::time::Duration;
    ///
    /// let (surveyor, respondent) = (Surveyor::new()?, Respondent::new()?);
    /// surveyor.listen("inproc://doc-survey-answers")?;
    /// respondent.dial("inproc://doc-survey-answers")?;
    /// surveyor.wait_for_peers(1, Duration::from_secs(5))?;
    /// let answers = surveyor.survey_timeout("who is there?", Duration::from_millis(100))?;
    /// respondent.accept().wait()?.reply("me").wait()?;
    /// for answer in answers {
    ///     assert_eq!(answer?.body(), b"me");
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Closed`](Error::Closed). The message comes back with the error.
    pub fn survey(&self, message: impl Into<Message>) -> Result<Answers, SendError> {
        self.begin_survey(message.into(), None)
    }

    /// As [`survey`](Self::survey), lasting `time`.
    ///
    /// # Errors
    ///
    /// As [`survey`](Self::survey).
    pub fn survey_timeout(
        &self,
        message: impl Into<Message>,
        time: Duration,
    ) -> Result<Answers, SendError> {
        self.begin_survey(message.into(), Some(time))
    }

    fn begin_survey(
        &self,
        mut message: Message,
        time: Option<Duration>,
    ) -> Result<Answers, SendError> {
        let begun = Conversation::open(self.handle.clone()).and_then(|conversation| {
            let (core, ctx, timeouts) = conversation.own();
            if let Some(time) = time {
                core.set_context_options(ctx, &SocketOptions::new().survey_time(time))?;
            }
            core.send(ctx, &mut message, Patience::Default, timeouts)?;
            Ok(conversation)
        });
        match begun {
            Ok(conversation) => Ok(Answers {
                conversation,
                receiving: Receiving::default(),
            }),
            Err(error) => Err(SendError::new(error, &mut message)),
        }
    }
}

/// The answers to one survey, as they come. Dropping it ends the survey.
///
/// Iterating over it blocks, and ends when the survey does.
pub struct Answers {
    conversation: Conversation,
    receiving: Receiving,
}

impl Answers {
    /// Waits for the next answer; `None` when the survey, or the socket's receive timeout, is over.
    ///
    /// # Errors
    ///
    /// [`Closed`](Error::Closed).
    pub fn recv(&mut self) -> Result<Option<Message>> {
        self.release();
        let (core, ctx, timeouts) = self.conversation.own();
        let mut answer = Message::new();
        let received = core.recv(ctx, &mut answer, Patience::Default, timeouts);
        unless_over(received.map(|()| answer))
    }

    /// [`recv`](Self::recv) for async code.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no answer, and the survey goes on.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_async(&mut self) -> AnswerFuture<'_> {
        AnswerFuture { answers: self }
    }

    pub(super) fn poll(&mut self, task: &Context<'_>) -> Poll<Result<Option<Message>>> {
        let (core, ctx, timeouts) = self.conversation.own();
        let received = self.receiving.poll(core, ctx, || timeouts.recv(), task);
        received.map(unless_over)
    }

    fn release(&mut self) {
        let (core, ctx, _) = self.conversation.own();
        self.receiving.release(core, ctx);
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.release();
    }
}

/// The end of a survey is not a failure.
fn unless_over(received: Result<Message>) -> Result<Option<Message>> {
    match received {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::TimedOut | Error::InvalidState(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl IntoIterator for Answers {
    type Item = Result<Message>;
    type IntoIter = AnswerIter;

    fn into_iter(self) -> AnswerIter {
        AnswerIter(Some(self))
    }
}

/// [`Answers`] as an iterator, which blocks. It ends with the survey, or after an error.
#[derive(Debug)]
pub struct AnswerIter(Option<Answers>);

impl Iterator for AnswerIter {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Result<Message>> {
        let received = self.0.as_mut()?.recv().transpose();
        if !matches!(received, Some(Ok(_))) {
            self.0 = None;
        }
        received
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

/// An answer being waited for: what [`Answers::recv_async`] returns.
///
/// # Cancel safety
///
/// Dropping it loses no answer, and the survey goes on.
#[must_use = "futures do nothing unless they are awaited"]
pub struct AnswerFuture<'a> {
    answers: &'a mut Answers,
}

impl Future for AnswerFuture<'_> {
    type Output = Result<Option<Message>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.answers.poll(task)
    }
}

impl Drop for AnswerFuture<'_> {
    fn drop(&mut self) {
        self.answers.release();
    }
}

impl fmt::Debug for AnswerFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerFuture").finish_non_exhaustive()
    }
}

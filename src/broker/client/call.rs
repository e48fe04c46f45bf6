//! A request on its way: through a context of its own, and again if it may be repeated.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use super::Client;
use super::retry::{Course, Repeatable};
use crate::broker::error::{Error, Result};
use crate::broker::message::id::fresh;
use crate::broker::message::{Message, MessageError, MessageType};
use crate::engine::{Core, Patience, Receiving, Sending, lock};
use crate::protocols::CtxId;

/// A request and what is known of how long and how often it may be made.
struct Call {
    request: Message,
    /// `None` for a request that waits as long as it takes.
    until: Option<Instant>,
    course: Option<Course>,
}

impl Call {
    fn new(client: &Client, request: Message) -> Result<Self> {
        let terms = &client.terms;
        let repeatable = match Repeatable::of(&request) {
            Repeatable::IfRecognised if !client.inner.recognises() => Repeatable::No,
            repeatable => repeatable,
        };
        let policy = terms.retry.as_ref();
        let policy = policy.filter(|_| repeatable != Repeatable::No);
        // All attempts have this id, by which the broker knows them as one.
        let mut request = request.with_id(fresh());
        if let Some(policy) = policy {
            lock(&client.inner.budget).earn(policy);
            if repeatable == Repeatable::IfRecognised && request.header("dedupe").is_none() {
                request = request.with_header("dedupe", "id")?;
            }
        }
        let time = match request.timeout() {
            Some(-1) => None,
            wait => Some(
                terms
                    .timeout
                    .saturating_add(Duration::from_millis(wait.unwrap_or(0).unsigned_abs())),
            ),
        };
        Ok(Self {
            request,
            until: time.and_then(|time| Instant::now().checked_add(time)),
            course: policy.cloned().map(Course::new),
        })
    }

    /// What the next attempt sends. A call says how long it is waited for, so that it is not done for nobody.
    fn attempt(&self) -> Result<Message> {
        let request = self.request.clone();
        if request.kind() != MessageType::Request || request.timeout().is_some() {
            return Ok(request);
        }
        let left = self.left().map_or(-1, |left| {
            i64::try_from(left.as_millis()).map_or(i64::MAX, |ms| ms.max(1))
        });
        Ok(request.with_timeout(left)?)
    }

    /// How much of the time is left.
    fn left(&self) -> Option<Duration> {
        let until = self.until?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    /// How long it may take until the request is on its way. Without a connection that ends, however long the broker may
    /// let it wait.
    fn time_to_send(&self, client: &Client) -> Duration {
        self.left().unwrap_or(client.terms.timeout)
    }

    /// After how long there is to be another attempt, if the time allows it.
    fn after(&mut self, outcome: &Result<Message>, client: &Client) -> Option<Duration> {
        let left = self.left();
        let course = self.course.as_mut()?;
        course.after(outcome, left, &mut lock(&client.inner.budget))
    }
}

impl Client {
    /// Sends a request and waits for its answer.
    pub(super) fn ask(&self, request: Message) -> Result<Message> {
        let mut call = Call::new(self, request)?;
        loop {
            let mut errand = Errand::begin(self, call.attempt()?)?;
            let sent = errand.send(Some(call.time_to_send(self)));
            let outcome = sent.and_then(|()| errand.recv(&call));
            drop(errand);
            match call.after(&outcome, self) {
                None => return outcome,
                Some(pause) => Errand::open(self)?.pause(pause)?,
            }
        }
    }

    /// As [`ask`](Self::ask). Dropping the future gives the request up.
    pub(super) async fn ask_async(&self, request: Message) -> Result<Message> {
        let mut call = Call::new(self, request)?;
        loop {
            let mut errand = Errand::begin(self, call.attempt()?)?;
            let time = call.time_to_send(self);
            let outcome = match errand.send_async(Some(time)).await {
                Ok(()) => errand.recv_async(&call).await,
                Err(error) => Err(error),
            };
            drop(errand);
            match call.after(&outcome, self) {
                None => return outcome,
                Some(pause) => Errand::open(self)?.pause_async(pause).await?,
            }
        }
    }

    /// Sends a request that is not answered.
    pub(super) fn post(&self, request: Message) -> Result<()> {
        let mut errand = Errand::begin(self, request.with_oneway(true))?;
        errand.send(Some(self.terms.timeout))
    }

    /// As [`post`](Self::post), if that needs no waiting.
    pub(super) fn post_now(&self, request: Message) -> Result<()> {
        let mut errand = Errand::begin(self, request.with_oneway(true))?;
        errand.send(Some(Duration::ZERO))
    }

    pub(super) async fn post_async(&self, request: Message) -> Result<()> {
        let mut errand = Errand::begin(self, request.with_oneway(true))?;
        errand.send_async(Some(self.terms.timeout)).await
    }

    /// Refuses what the broker would refuse, without sending it.
    fn check_size(&self, request: &Message) -> Result<()> {
        let length = request.payload_binary().len();
        match lock(&self.inner.desk).longest {
            Some(limit) if length > limit => Err(Error::Message(MessageError::TooLong {
                field: "payload",
                length,
                limit,
            })),
            _ => Ok(()),
        }
    }
}

/// A context that closes by itself. What was asked in it is given up then, if it is not answered.
struct Errand<'a> {
    client: &'a Client,
    ctx: CtxId,
    step: Step,
}

enum Step {
    Idle,
    Sending(Sending),
    Receiving(Receiving),
}

impl<'a> Errand<'a> {
    fn open(client: &'a Client) -> Result<Self> {
        let ctx = client.inner.core.open_context()?;
        let step = Step::Idle;
        Ok(Self { client, ctx, step })
    }

    fn begin(client: &'a Client, request: Message) -> Result<Self> {
        client.check_size(&request)?;
        let errand = Self::open(client)?;
        lock(&client.inner.desk).asking.insert(errand.ctx, request);
        Ok(errand)
    }

    fn core(&self) -> &'a Core {
        &self.client.inner.core
    }

    // ---- blocking ----

    /// Sends what the desk has for the context.
    fn send(&mut self, time: Option<Duration>) -> Result<()> {
        let core = self.core();
        let mut nothing = crate::Message::new();
        let sent = core.send(self.ctx, &mut nothing, patience(time), &core.timeouts);
        sent.map_err(|error| self.explained(error))
    }

    fn recv(&mut self, call: &Call) -> Result<Message> {
        let core = self.core();
        let mut nothing = crate::Message::new();
        core.recv(
            self.ctx,
            &mut nothing,
            patience(call.left()),
            &core.timeouts,
        )?;
        self.answer()
    }

    /// Waits for an answer that cannot come, so that closing the client ends it.
    fn pause(self, time: Duration) -> Result<()> {
        let core = self.core();
        let mut nothing = crate::Message::new();
        over(core.recv(self.ctx, &mut nothing, Patience::For(time), &core.timeouts))
    }

    // ---- awaited ----

    async fn send_async(&mut self, time: Option<Duration>) -> Result<()> {
        let (core, ctx) = (self.core(), self.ctx);
        self.step = Step::Sending(Sending::new(crate::Message::new()));
        let Step::Sending(sending) = &mut self.step else {
            return Ok(());
        };
        let sent = poll_fn(|task| sending.poll(core, ctx, || time, task)).await;
        self.step = Step::Idle;
        sent.map_err(|failed| self.explained(failed.error))
    }

    async fn recv_async(&mut self, call: &Call) -> Result<Message> {
        self.receive(call.left()).await?;
        self.answer()
    }

    async fn pause_async(mut self, time: Duration) -> Result<()> {
        over(self.receive(Some(time)).await)
    }

    async fn receive(&mut self, time: Option<Duration>) -> crate::Result<()> {
        let (core, ctx) = (self.core(), self.ctx);
        self.step = Step::Receiving(Receiving::default());
        let Step::Receiving(receiving) = &mut self.step else {
            return Ok(());
        };
        let received = poll_fn(|task| receiving.poll(core, ctx, || time, task)).await;
        self.step = Step::Idle;
        received.map(drop)
    }

    // ---- what came of it ----

    fn answer(&self) -> Result<Message> {
        let answer = lock(&self.client.inner.desk).answers.remove(&self.ctx);
        answer.ok_or(Error::Socket(crate::Error::ConnectionReset))
    }

    /// What the broker has said, where it has.
    fn explained(&self, error: crate::Error) -> Error {
        match &lock(&self.client.inner.desk).refused {
            Some(answer) if error == crate::Error::PermissionDenied => Error::answered(answer),
            _ => error.into(),
        }
    }
}

impl Drop for Errand<'_> {
    fn drop(&mut self) {
        let (core, ctx) = (self.core(), self.ctx);
        match std::mem::replace(&mut self.step, Step::Idle) {
            Step::Idle => {}
            Step::Sending(mut sending) => sending.give_up(core, ctx),
            Step::Receiving(mut receiving) => receiving.cancel(core, ctx),
        }
        core.close_context(ctx);
    }
}

fn patience(time: Option<Duration>) -> Patience {
    time.map_or(Patience::Default, Patience::For)
}

/// A pause is over when its time is.
fn over(waited: crate::Result<()>) -> Result<()> {
    match waited {
        Ok(()) | Err(crate::Error::TimedOut) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

//! Futures and time: a deadline that wakes a task, and a thread that waits for a future.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::core::after;
use super::lock;
use super::park::block_until;
use super::reactor::{Dependent, Reactor};
use super::timers::{Timed, TimerKey};
use crate::error::{Error, Result};
use crate::sync::Mutex;

/// A deadline of a future that waits, if only for ever. A timer is set only while the future really waits.
pub(crate) struct Deadline {
    limit: Option<Box<Limit>>,
    _waits: Dependent,
}

struct Limit {
    at: Instant,
    reactor: &'static Reactor,
    timer: Option<(TimerKey, Arc<Bell>)>,
}

impl Deadline {
    /// One that is over after `time`, or never.
    pub(crate) fn after(reactor: &'static Reactor, time: Option<Duration>) -> Self {
        let limit = |at| {
            Box::new(Limit {
                at,
                reactor,
                timer: None,
            })
        };
        Self {
            limit: time.and_then(after).map(limit),
            _waits: reactor.depend(),
        }
    }

    /// Whether it has passed. If not, the task is woken when it does.
    pub(crate) fn is_over(&mut self, task: &Context<'_>) -> bool {
        let Some(limit) = &mut self.limit else {
            return false;
        };
        if Instant::now() >= limit.at {
            return true;
        }
        match &limit.timer {
            Some((_, bell)) => lock(&bell.0).clone_from(task.waker()),
            None => {
                let bell = Arc::new(Bell(Mutex::new(task.waker().clone())));
                let timer = limit.reactor.set_timer(limit.at, bell.clone());
                limit.timer = Some((timer, bell));
            }
        }
        false
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        if let Some((timer, _)) = self.timer.take() {
            self.reactor.cancel_timer(timer);
        }
    }
}

/// Wakes a task.
struct Bell(Mutex<Waker>);

impl Timed for Bell {
    fn fire(self: Arc<Self>) {
        let waker = lock(&self.0).clone();
        waker.wake();
    }
}

/// Drives a future for at most `time`.
pub(super) async fn within<T>(
    reactor: &'static Reactor,
    time: Duration,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut deadline = Deadline::after(reactor, Some(time));
    let mut future = pin!(future);
    std::future::poll_fn(move |task| match future.as_mut().poll(task) {
        Poll::Pending if deadline.is_over(task) => Poll::Ready(Err(Error::TimedOut)),
        outcome => outcome,
    })
    .await
}

/// Waits for a future on this thread, which may lead the reactor meanwhile, until the deadline.
pub(super) fn block_on<T>(
    reactor: &Reactor,
    deadline: Option<Instant>,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut future = pin!(future);
    let outcome = block_until(
        deadline,
        |parker, until| reactor.wait(parker, until),
        |waker| {
            let mut task = Context::from_waker(waker);
            match future.as_mut().poll(&mut task) {
                Poll::Ready(outcome) => Some(outcome),
                Poll::Pending => None,
            }
        },
    );
    outcome.flatten()
}

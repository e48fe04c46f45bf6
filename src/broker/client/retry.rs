//! Which requests are made again, how often, and after how long.

use std::time::Duration;

use crate::broker::error::{Error, Result};
use crate::broker::message::{Message, MessageType, Status};
use crate::engine::random;

/// Repetitions that are allowed before the first request has been made.
const RESERVE: f64 = 10.0;

/// How requests are made again that failed and may succeed later. A builder.
///
/// Only what does no harm when it is done twice is made again: polls and what only looks; making and removing queues and
/// topics; subscriptions; and calls, offers and publications, because the client asks the broker not to do those again
/// that it has done ([`BrokerOptions::dedupe_window`](crate::broker::BrokerOptions::dedupe_window)). Oneway requests are
/// not made again. A broker that is started anew remembers nothing of the requests before. An item that was on its way
/// when the connection broke does not come again with its poll.
///
/// They are made again when the connection broke, and when the answer is [`RetryLater`](Status::RetryLater),
/// [`RateLimited`](Status::RateLimited) or [`QueueAccessInterrupted`](Status::QueueAccessInterrupted), each after a pause
/// of a random length between none and one that doubles each time, and never after the request's time is over.
///
/// ```
/// use std::time::Duration;
/// use wirebird::broker::{Broker, Client, ClientOptions, RetryPolicy};
///
/// let broker = Broker::new()?;
/// let listener = broker.listen("inproc://doc-retry")?;
/// let policy = RetryPolicy::new().attempts(5).longest_pause(Duration::from_secs(1));
/// let client = Client::connect_with(&listener.url(), &ClientOptions::new().retry(policy))?;
/// client.heartbeat()?;
/// # Ok::<(), wirebird::broker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    attempts: u32,
    first_pause: Duration,
    longest_pause: Duration,
    budget: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(2),
            budget: 0.1,
        }
    }
}

impl RetryPolicy {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How often a request is made at most, default 4; 0 counts as 1, which is never again.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The longest pause after the first attempt, default 50 ms.
    #[must_use]
    pub fn first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    /// The longest pause of all, default 2 s.
    #[must_use]
    pub fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    /// How many requests of the connection may be made again, as a part of all, 0 to 1, default 0.1; and 10 more. When
    /// they are used up a request fails as if there were no policy, so that a broker in trouble is not asked more and
    /// more.
    #[must_use]
    pub fn budget(mut self, part: f64) -> Self {
        self.budget = if part.is_nan() {
            0.0
        } else {
            part.clamp(0.0, 1.0)
        };
        self
    }

    /// The pause after a number of attempts. `chance` is from 0 to 1.
    fn pause(&self, attempts: u32, chance: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
        let longest = self.first_pause.saturating_mul(doubled);
        longest.min(self.longest_pause).mul_f64(chance)
    }
}

/// How many requests of a connection may still be made again.
#[derive(Debug)]
pub(super) struct Budget(f64);

impl Default for Budget {
    fn default() -> Self {
        Self(RESERVE)
    }
}

impl Budget {
    /// A request is made for the first time.
    pub(super) fn earn(&mut self, policy: &RetryPolicy) {
        self.0 = (self.0 + policy.budget).min(RESERVE);
    }

    fn spend(&mut self) -> bool {
        let enough = self.0 >= 1.0;
        if enough {
            self.0 -= 1.0;
        }
        enough
    }
}

/// Whether an outcome may be another one later.
fn may_pass(outcome: &Result<Message>) -> bool {
    match outcome {
        Ok(answer) => matches!(
            answer.status(),
            Status::RetryLater | Status::RateLimited | Status::QueueAccessInterrupted
        ),
        Err(Error::Socket(error)) => *error == crate::Error::ConnectionReset,
        Err(_) => false,
    }
}

/// How a request stands that may be made again.
#[derive(Debug)]
pub(super) struct Course {
    policy: RetryPolicy,
    attempts: u32,
}

impl Course {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            attempts: 0,
        }
    }

    /// An attempt came out like this, and so much of the request's time is left. Returns after how long there is to be
    /// another.
    pub(super) fn after(
        &mut self,
        outcome: &Result<Message>,
        left: Option<Duration>,
        budget: &mut Budget,
    ) -> Option<Duration> {
        self.attempts += 1;
        if !may_pass(outcome) || self.attempts >= self.policy.attempts {
            return None;
        }
        let pause = self.policy.pause(self.attempts, random());
        let in_time = left.is_none_or(|left| pause < left);
        (in_time && budget.spend()).then_some(pause)
    }
}

/// What has to be done so that a request may be made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeatable {
    /// Nothing.
    AsItIs,
    /// The broker has to recognise it.
    IfRecognised,
    /// It is of no use.
    No,
}

impl Repeatable {
    pub(super) fn of(message: &Message) -> Self {
        if message.is_oneway() {
            return Self::No;
        }
        match message.kind() {
            MessageType::Request
            | MessageType::Offer
            | MessageType::OfferAll
            | MessageType::Publish => Self::IfRecognised,
            MessageType::Poll
            | MessageType::PollUpTo
            | MessageType::Subscribe
            | MessageType::Unsubscribe
            | MessageType::CreateQueue
            | MessageType::RemoveQueue
            | MessageType::StatusQueue
            | MessageType::PeekQueue
            | MessageType::CreateTopic
            | MessageType::RemoveTopic
            | MessageType::StatusTopic
            | MessageType::ListQueues
            | MessageType::ListTopics
            | MessageType::StatusFunction
            | MessageType::ClientConfig
            | MessageType::ServerStatus
            | MessageType::ServerThreadPoolStat
            | MessageType::Heartbeat
            | MessageType::Test => Self::AsItIs,
            _ => Self::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: Status) -> Result<Message> {
        Ok(Message::answer(uuid::Uuid::nil(), status, ""))
    }

    fn reset() -> Result<Message> {
        Err(Error::Socket(crate::Error::ConnectionReset))
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_random_in_full() {
        let policy = RetryPolicy::new()
            .first_pause(Duration::from_millis(100))
            .longest_pause(Duration::from_millis(350));
        let longest: Vec<_> = (1..=4).map(|n| policy.pause(n, 1.0).as_millis()).collect();
        assert_eq!(longest, [100, 200, 350, 350]);
        assert_eq!(policy.pause(3, 0.0), Duration::ZERO);
        assert_eq!(policy.pause(2, 0.5), Duration::from_millis(100));
        assert_eq!(policy.pause(u32::MAX, 1.0), Duration::from_millis(350));
    }

    #[test]
    fn only_what_may_pass_is_made_again_and_only_so_often() {
        let again = |outcome: &Result<Message>| {
            let mut course = Course::new(RetryPolicy::new());
            course
                .after(outcome, None, &mut Budget::default())
                .is_some()
        };
        assert!(again(&reset()) && again(&answer(Status::RetryLater)));
        for status in [
            Status::Ok,
            Status::QueueEmpty,
            Status::QueueFull,
            Status::HandlerError,
            Status::TimedOut,
        ] {
            assert!(!again(&answer(status)), "{status}");
        }
        assert!(!again(&Err(Error::Socket(crate::Error::TimedOut))));
        let mut course = Course::new(RetryPolicy::new().attempts(3));
        let mut budget = Budget::default();
        let attempts: Vec<_> = (0..3)
            .map(|_| course.after(&reset(), None, &mut budget).is_some())
            .collect();
        assert_eq!(attempts, [true, true, false]);
    }

    #[test]
    fn a_pause_that_the_time_does_not_allow_costs_nothing() {
        let mut course = Course::new(RetryPolicy::new());
        let mut budget = Budget::default();
        let none = Some(Duration::ZERO);
        assert_eq!(course.after(&reset(), none, &mut budget), None);
        assert!((0..10).all(|_| budget.spend()));
        assert!(!budget.spend());
    }

    #[test]
    fn a_budget_that_is_used_up_grows_with_new_requests_only() {
        let policy = RetryPolicy::new().attempts(u32::MAX).budget(0.25);
        let mut budget = Budget::default();
        let again = |budget: &mut Budget| {
            Course::new(policy.clone())
                .after(&reset(), None, budget)
                .is_some()
        };
        assert!((0..10).all(|_| again(&mut budget)));
        assert!(!again(&mut budget));
        for _ in 0..3 {
            budget.earn(&policy);
            assert!(!again(&mut budget));
        }
        budget.earn(&policy);
        assert!(again(&mut budget));
        assert!(!again(&mut budget));
    }
}

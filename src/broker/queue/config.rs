//! What a queue is made with.

use std::error::Error;
use std::fmt;

use super::SessionId;

/// What a queue does when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Offers wait or are refused.
    Bounded,
    /// The oldest items give way.
    Circular,
}

/// What a queue is made with. Equal ones make queues that behave alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) kind: Kind,
    /// Items it holds at most; at least 1.
    pub(crate) messages: usize,
    /// Bytes of items it holds at most, and as many again in offers that wait; at least 1.
    pub(crate) bytes: usize,
    /// Polls and offers that may wait at once; 0 lets none wait.
    pub(crate) waiters: usize,
    /// Whether its durable items outlive a restart. Only a bounded queue that nobody owns can be durable.
    pub(crate) durable: bool,
    /// The session that a temporary queue belongs to.
    pub(crate) owner: Option<SessionId>,
    /// Milliseconds that an item lives for which says nothing itself; at least 1.
    pub(crate) expiry: Option<i64>,
    /// How often an item is leased at most; 0 is without end.
    pub(crate) max_attempts: u32,
    /// How long an item that failed has to wait.
    pub(crate) backoff: Backoff,
    /// The queue for what dies. Nothing to the queue itself: its caller moves it there.
    pub(crate) dead_letters: Option<Box<str>>,
}

/// How long an item waits that has failed: `base` after the first time, twice as long each further time, at most `cap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// Milliseconds; 0 is not at all.
    pub(crate) base: i64,
    /// Milliseconds; at least `base`.
    pub(crate) cap: i64,
}

impl Config {
    /// Bytes that a queue holds unless something else is set: more than the largest message.
    pub(crate) const DEFAULT_BYTES: usize = 256 << 20;
    /// Operations that wait at a queue at most unless something else is set.
    pub(crate) const DEFAULT_WAITERS: usize = 100_000;

    /// A bounded queue that does not outlive the broker.
    pub(crate) fn bounded(messages: usize) -> Self {
        Self {
            kind: Kind::Bounded,
            messages,
            bytes: Self::DEFAULT_BYTES,
            waiters: Self::DEFAULT_WAITERS,
            durable: false,
            owner: None,
            expiry: None,
            max_attempts: 0,
            backoff: Backoff::default(),
            dead_letters: None,
        }
    }

    /// A circular queue.
    pub(crate) fn circular(messages: usize) -> Self {
        Self {
            kind: Kind::Circular,
            ..Self::bounded(messages)
        }
    }

    /// A durable queue.
    pub(crate) fn durable(messages: usize) -> Self {
        Self {
            durable: true,
            ..Self::bounded(messages)
        }
    }

    /// A bounded queue that belongs to a session.
    pub(crate) fn temporary(messages: usize, owner: SessionId) -> Self {
        Self {
            owner: Some(owner),
            ..Self::bounded(messages)
        }
    }

    /// Milliseconds that an item waits which has failed so many times.
    pub(super) fn backoff(&self, failures: u32) -> i64 {
        let Backoff { base, cap } = self.backoff;
        let doublings = failures.saturating_sub(1).min(62);
        base.saturating_mul(1 << doublings).min(cap)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.messages == 0 || self.bytes == 0 {
            return Err(ConfigError::NoCapacity);
        }
        if self.expiry.is_some_and(|ms| ms < 1) {
            return Err(ConfigError::NoLife);
        }
        if self.backoff.base < 0 || self.backoff.cap < self.backoff.base {
            return Err(ConfigError::Backoff);
        }
        if self.durable && self.kind == Kind::Circular {
            return Err(ConfigError::DurableCircular);
        }
        if self.durable && self.owner.is_some() {
            return Err(ConfigError::DurableTemporary);
        }
        Ok(())
    }
}

/// Why a queue cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConfigError {
    NoCapacity,
    DurableCircular,
    DurableTemporary,
    NoStore,
    NoLife,
    Backoff,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCapacity => "a queue with capacity 0: at least 1 message and 1 byte are needed",
            Self::DurableCircular => "a circular queue cannot be durable, only a bounded one can",
            Self::DurableTemporary => "a temporary queue cannot be durable",
            Self::NoLife => "an expiry below 1 ms: at least 1 is needed",
            Self::Backoff => "a backoff below 0, or with a cap below its base",
            Self::NoStore => "a durable queue needs a broker with a write-ahead log",
        })
    }
}

impl Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap_however_often_an_item_fails() {
        let config = Config {
            backoff: Backoff {
                base: 100,
                cap: 1000,
            },
            ..Config::bounded(1)
        };
        let waits = [0, 1, 2, 3, 4, 5, 6, u32::MAX].map(|failures| config.backoff(failures));
        assert_eq!(waits, [100, 100, 200, 400, 800, 1000, 1000, 1000]);
        assert_eq!(Config::bounded(1).backoff(u32::MAX), 0);
    }
}

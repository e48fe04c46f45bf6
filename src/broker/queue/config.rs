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

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.messages == 0 || self.bytes == 0 {
            return Err(ConfigError::NoCapacity);
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
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCapacity => "a queue with capacity 0: at least 1 message and 1 byte are needed",
            Self::DurableCircular => "a circular queue cannot be durable, only a bounded one can",
            Self::DurableTemporary => "a temporary queue cannot be durable",
            Self::NoStore => "a durable queue needs a broker with a write-ahead log",
        })
    }
}

impl Error for ConfigError {}

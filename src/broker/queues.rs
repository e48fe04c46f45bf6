//! Queues as programs see them: what they are made with, and what is known of them.

use super::queue::{Config, Kind};
use super::router::QueueStatus as Inner;

/// Whether a queue that is full refuses offers or lets its oldest messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum QueueType {
    /// Offers to a full queue wait, and are refused when their time is over.
    #[default]
    Bounded,
    /// A full queue lets its oldest message go for each new one.
    Circular,
}

/// A queue at a moment. For one that does not exist everything is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatus {
    /// Its name.
    pub name: String,
    /// Whether it exists.
    pub exists: bool,
    /// What it does when it is full; `None` if it does not exist.
    pub queue_type: Option<QueueType>,
    /// Whether it goes with the client that made it.
    pub temporary: bool,
    /// Whether its durable messages outlive the broker.
    pub durable: bool,
    /// Messages it holds at most.
    pub capacity: usize,
    /// Messages in it.
    pub size: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Bytes it holds at most.
    pub max_bytes: usize,
}

/// The options of a queue, for [`Broker::create_queue_with`](super::Broker::create_queue_with).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueOptions {
    capacity: usize,
    queue_type: QueueType,
    max_bytes: Option<usize>,
}

impl QueueOptions {
    /// A bounded queue for a number of messages, 1 to 1,000,000,000.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            queue_type: QueueType::Bounded,
            max_bytes: None,
        }
    }

    /// What it does when it is full, default [`QueueType::Bounded`].
    #[must_use]
    pub fn queue_type(mut self, queue_type: QueueType) -> Self {
        self.queue_type = queue_type;
        self
    }

    /// Bytes of messages it holds at most, at least 1; as many again may wait to be let in. Default: as the broker's
    /// option [`max_queue_bytes`](super::BrokerOptions::max_queue_bytes) says.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    pub(super) fn to_config(&self, max_bytes: usize) -> Config {
        let config = match self.queue_type {
            QueueType::Bounded => Config::bounded(self.capacity),
            QueueType::Circular => Config::circular(self.capacity),
        };
        Config {
            bytes: self.max_bytes.unwrap_or(max_bytes),
            ..config
        }
    }
}

impl From<Inner> for QueueStatus {
    fn from(inner: Inner) -> Self {
        Self {
            name: inner.name,
            exists: inner.exists,
            queue_type: inner.kind.map(|kind| match kind {
                Kind::Bounded => QueueType::Bounded,
                Kind::Circular => QueueType::Circular,
            }),
            temporary: inner.temporary,
            durable: inner.durable,
            capacity: inner.capacity,
            size: inner.size,
            bytes: inner.bytes,
            max_bytes: inner.max_bytes,
        }
    }
}

//! Queues as programs see them: what they are made with, and what is known of them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::client::ask::millis;
use super::queue::{Config, Kind};
use super::router::{Answered, QueueStatus as Inner, configure, most_bytes};

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
    /// Those in it that are not to be handed out yet.
    pub delayed: usize,
    /// Messages that are on their way to clients, or leased.
    pub in_flight: usize,
    /// The queue into which its dead letters go.
    pub dead_letter: Option<String>,
}

/// The options of a queue, for [`Broker::create_queue_with`](super::Broker::create_queue_with) and
/// [`Client::create_queue_with`](super::Client::create_queue_with). Times are kept to the millisecond, and are at most a
/// year.
///
/// See [`Leased`](super::Leased) for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueOptions {
    capacity: usize,
    queue_type: QueueType,
    fields: Map<String, Value>,
}

impl QueueOptions {
    /// A bounded queue for a number of messages, 1 to 1,000,000,000. Those that are delayed or leased count.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            queue_type: QueueType::Bounded,
            fields: Map::new(),
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
    pub fn max_bytes(self, bytes: usize) -> Self {
        self.with("max-bytes", bytes)
    }

    /// The queue into which messages go that expire, that clients reject, that were tried too often, or for which a
    /// circular queue has no room any more. It has to exist, and stays as long as this queue does. Default: they are lost.
    ///
    /// A dead letter that finds this queue full is lost, and counted in
    /// [`Stats::dead_letters_lost`](super::Stats::dead_letters_lost).
    #[must_use]
    pub fn dead_letter(self, queue: &str) -> Self {
        self.with("dead-letter", queue)
    }

    /// How often a message is leased at most, 0 to 1,000,000; 0, which is the default, is without end.
    #[must_use]
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.with("max-attempts", attempts)
    }

    /// How long a message waits that has failed: `base` after the first time, twice as long each further time, at most
    /// `cap`, which is at least `base`. Default: not at all.
    #[must_use]
    pub fn backoff(self, base: Duration, cap: Duration) -> Self {
        self.with("backoff", millis(base))
            .with("max-backoff", millis(cap))
    }

    /// How long a message lives that says nothing of its own, at least 1 ms. Default: for ever.
    #[must_use]
    pub fn expiry(self, time: Duration) -> Self {
        self.with("expiry", millis(time))
    }

    /// Whether it outlives the broker, with those of its messages that are [durable](super::Message::with_durable); default
    /// false. It has to be bounded, and the broker needs a [log](super::BrokerOptions::log).
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        if durable {
            return self.with("persistence", "DURABLE");
        }
        self.fields.remove("persistence");
        self
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(key.into(), value.into());
        self
    }

    /// As a client asks for it.
    pub(super) fn to_json(&self, name: &str) -> Value {
        let kind = match self.queue_type {
            QueueType::Bounded => "BOUNDED",
            QueueType::Circular => "CIRCULAR",
        };
        let mut fields = self.fields.clone();
        fields.insert("name".into(), json!(name));
        fields.insert("capacity".into(), json!(self.capacity));
        fields.insert("type".into(), json!(kind));
        Value::Object(fields)
    }

    /// As the broker takes it, whose queues hold so many bytes unless something else is said.
    pub(super) fn to_config(&self, max_bytes: usize) -> Answered<Config> {
        let mut config = Config::bounded(self.capacity);
        if self.queue_type == QueueType::Circular {
            config.kind = Kind::Circular;
        }
        config.durable = self.fields.get("persistence") == Some(&json!("DURABLE"));
        let fields = Value::Object(self.fields.clone());
        config.bytes = most_bytes(&fields, max_bytes)?;
        configure(&fields, &mut config)?;
        Ok(config)
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
            delayed: inner.delayed,
            in_flight: inner.in_flight,
            dead_letter: inner.dead_letters.map(String::from),
        }
    }
}

//! What a broker tells administrators, as values.

use serde_json::Value;
use uuid::Uuid;

use crate::broker::error::Result;
use crate::broker::message::Message;
use crate::broker::queues::{QueueStatus, QueueType};
use crate::broker::router::Stats;

/// A broker at a moment, as [`Client::broker_status`](super::Client::broker_status) has it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BrokerStatus {
    /// What it has done since it was started.
    pub stats: Stats,
    /// Clients that are connected.
    pub connections: usize,
    /// Queues, but for temporary ones.
    pub queues: usize,
    /// Queues that go with their clients.
    pub temporary_queues: usize,
    /// Topics.
    pub topics: usize,
    /// Functions.
    pub functions: usize,
    /// Requests that wait at a queue.
    pub waiting: usize,
    /// All that the broker says in answer to `SERVER_STATUS`: an object, with its limits, endpoints and log among it.
    pub details: Value,
}

/// A message in a queue without its payload, as [`Client::peek_queue`](super::Client::peek_queue) has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuedMessage {
    /// The id that it was offered with.
    pub id: Uuid,
    /// Its request id, if it has one.
    pub request_id: Option<String>,
    /// What it is about; may be empty.
    pub subject: String,
    /// The media type of its payload.
    pub mimetype: String,
    /// When it was made, in milliseconds since 1970.
    pub timestamp: i64,
    /// All its bytes, as [`Message::size`] has them.
    pub bytes: usize,
}

fn unusable() -> crate::Error {
    crate::Error::Malformed("an answer of the broker that cannot be read")
}

fn word(fields: &Value, key: &str) -> Result<String> {
    let word = fields[key].as_str().ok_or_else(unusable)?;
    Ok(word.into())
}

/// A count of what this broker may not tell of yet.
fn counted(fields: &Value, key: &str) -> u64 {
    fields[key].as_u64().unwrap_or_default()
}

fn size(fields: &Value, key: &str) -> usize {
    usize::try_from(counted(fields, key)).unwrap_or(usize::MAX)
}

fn list(answer: &Message) -> Result<Vec<Value>> {
    match answer.payload_data()? {
        Value::Array(values) => Ok(values),
        _ => Err(unusable().into()),
    }
}

impl BrokerStatus {
    pub(super) fn read(answer: &Message) -> Result<Self> {
        let details = answer.payload_data()?;
        if !details.is_object() {
            return Err(unusable().into());
        }
        let (size, count) = (|key| size(&details, key), |key| counted(&details, key));
        let stats = Stats {
            requests: count("message-count"),
            failed: count("failed-count"),
            published: count("publish-count"),
            delivered: count("delivered-count"),
            expired: count("expired-count"),
            evicted: count("evicted-count"),
            failed_items: count("failed-item-count"),
            dead_letters: count("dead-letter-count"),
            dead_letters_lost: count("dead-letter-lost-count"),
            calls: count("call-count"),
            duplicates: count("duplicate-count"),
            held_bytes: size("memory-held"),
            refused_for_memory: count("memory-refused-count"),
        };
        Ok(Self {
            stats,
            connections: size("connection-count"),
            queues: size("queue-count"),
            temporary_queues: size("temp-queue-total-count"),
            topics: size("topic-count"),
            functions: size("function-count"),
            waiting: size("waiting-count"),
            details,
        })
    }
}

impl QueuedMessage {
    pub(super) fn read_all(answer: &Message) -> Result<Vec<Self>> {
        list(answer)?.iter().map(Self::of).collect()
    }

    fn of(fields: &Value) -> Result<Self> {
        Ok(Self {
            id: word(fields, "id")?.parse().map_err(|_| unusable())?,
            request_id: fields["request-id"].as_str().map(str::to_owned),
            subject: word(fields, "subject")?,
            mimetype: word(fields, "mimetype")?,
            timestamp: fields["timestamp"].as_i64().ok_or_else(unusable)?,
            bytes: size(fields, "bytes"),
        })
    }
}

impl QueueStatus {
    pub(super) fn read(answer: &Message) -> Result<Self> {
        Self::of(&answer.payload_data()?)
    }

    pub(super) fn read_all(answer: &Message) -> Result<Vec<Self>> {
        list(answer)?.iter().map(Self::of).collect()
    }

    fn of(fields: &Value) -> Result<Self> {
        let queue_type = match fields["type"].as_str() {
            Some("BOUNDED") => Some(QueueType::Bounded),
            Some("CIRCULAR") => Some(QueueType::Circular),
            _ => None,
        };
        Ok(Self {
            name: word(fields, "name")?,
            exists: fields["exists"].as_bool().ok_or_else(unusable)?,
            queue_type,
            temporary: fields["temporary"] == true,
            durable: fields["durable"] == true,
            capacity: size(fields, "capacity"),
            size: size(fields, "size"),
            bytes: size(fields, "bytes"),
            max_bytes: size(fields, "max-bytes"),
            delayed: size(fields, "delayed"),
            in_flight: size(fields, "in-flight"),
            dead_letter: fields["dead-letter"].as_str().map(str::to_owned),
        })
    }
}

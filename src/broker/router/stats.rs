//! What a broker counts.

/// What the broker has done since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests received, but for those with which clients begin.
    pub requests: u64,
    /// Requests that were answered with something else than OK.
    pub failed: u64,
    /// Messages published.
    pub published: u64,
    /// Copies of publications for subscribers.
    pub delivered: u64,
    /// Items that expired in a queue.
    pub expired: u64,
    /// Items that a circular queue let go.
    pub evicted: u64,
    /// Items that were rejected, or tried too often.
    pub failed_items: u64,
    /// Items that went into the queue for dead letters of their queue.
    pub dead_letters: u64,
    /// Items that should have, but there was no room.
    pub dead_letters_lost: u64,
    /// Function calls.
    pub calls: u64,
    /// Requests that were not done because they had been made before.
    pub duplicates: u64,
    /// Bytes of all messages that are held at this moment: in queues, for calls, and for clients that are slow to read.
    pub held_bytes: usize,
    /// Requests that were refused because that would have become more than
    /// [`max_memory`](crate::broker::BrokerOptions::max_memory).
    pub refused_for_memory: u64,
}

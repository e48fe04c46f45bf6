//! The words in which a queue and its caller speak.

use super::leases::Token;
use super::place::Place;

/// Names a session; never reused while the broker runs.
pub(crate) type SessionId = u64;

/// Names an operation that waits; never reused while the broker runs.
pub(crate) type WaiterId = u64;

/// What a queue has to know of its items. The answers must not change.
pub(crate) trait Item {
    /// What it counts for against the capacity in bytes.
    fn bytes(&self) -> usize;

    /// The millisecond from which on it is expired, if ever. Without one the queue may have a rule.
    fn expires_at(&self) -> Option<i64>;

    /// 0 to 9. Higher ones are served first.
    fn priority(&self) -> u8 {
        4
    }

    /// Milliseconds after it was accepted for which it is not handed out.
    fn delay(&self) -> i64 {
        0
    }

    /// Whether a durable queue is to keep it over a restart.
    fn durable(&self) -> bool;
}

/// Where a durable queue writes down its durable items.
///
/// Neither call fails: a store that cannot write remembers that, and whoever answers the clients asks it first.
pub(crate) trait Store<T> {
    /// An item was accepted. Numbers rise; one that was settled may be used again after a restart.
    fn append(&mut self, seq: u64, meta: Meta, item: &T);

    /// An item that was appended was tried in vain: what its [`Meta`] says now.
    fn change(&mut self, seq: u64, attempts: u32, not_before: i64);

    /// An item that was appended will not be handed out again.
    fn settle(&mut self, seq: u64);
}

/// What a store keeps beside an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// When it was accepted, in milliseconds since 1970.
    pub(crate) offered_at: i64,
    /// How often it was tried in vain.
    pub(crate) attempts: u32,
    /// From when on it may be handed out, in milliseconds since 1970; 0 is at once.
    pub(crate) not_before: i64,
}

/// An operation that may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) id: WaiterId,
    pub(crate) session: SessionId,
}

/// An item and what has happened to it. There may be many: each takes as little as it can.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held<T> {
    pub(super) offered_at: i64,
    /// When it was last handed out; 0 if it was not.
    pub(super) tried_at: i64,
    pub(super) attempts: u32,
    pub(super) item: T,
}

/// An item that is in flight. It ends with [`acknowledge`](super::Queue::acknowledge),
/// [`put_back`](super::Queue::put_back) or [`lease`](super::Queue::lease) of the queue it came from.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the item is lost if it is neither acknowledged, put back nor leased"]
pub(crate) struct Delivery<T> {
    pub(super) place: Place,
    pub(super) fence: u64,
    pub(super) held: Held<T>,
}

impl<T> Delivery<T> {
    pub(crate) fn item(&self) -> &T {
        &self.held.item
    }

    /// Its number in the queue, as the store knows it.
    #[cfg(test)]
    pub(crate) fn seq(&self) -> u64 {
        self.place.seq()
    }

    /// How often it was handed out, this time included.
    pub(crate) fn attempts(&self) -> u32 {
        self.held.attempts
    }

    /// What names the lease, if it comes to one.
    pub(crate) fn token(&self) -> Token {
        Token {
            place: self.place,
            fence: self.fence,
        }
    }
}

/// What became of an offer of a `T`, which may be several items.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offered<T> {
    /// Accepted.
    Done,
    /// There is no room, and the offer may not wait.
    Full(T),
    /// There is no room; the waiter's outcome will be among the [`Effects`].
    Waiting,
    /// There is no room, and too many wait already.
    Busy(T),
    /// It would not fit into the queue if that were empty.
    TooLarge(T),
}

/// What became of a poll.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Polled<T> {
    Item(Delivery<T>),
    /// There is nothing, and the poll may not wait.
    Empty,
    /// There is nothing; the waiter's outcome will be among the [`Effects`].
    Waiting,
    /// There is nothing, and too many wait already.
    Busy,
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome<T> {
    /// A poll has got an item.
    Got(Delivery<T>),
    /// An offer was accepted.
    Accepted,
    /// The queue is gone. An offer has its items back.
    Removed(Vec<T>),
}

/// A wait that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Woken<T> {
    pub(crate) waiter: Waiter,
    pub(crate) outcome: Outcome<T>,
}

/// Why an item that had been accepted will not be handed out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    Expired,
    /// A circular queue made room for a newer item.
    Evicted,
    /// A client has said so.
    Rejected,
    /// It was leased as often as it may be.
    TooManyAttempts,
}

/// An item that was accepted and will not be handed out again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dead<T> {
    pub(crate) cause: Cause,
    pub(crate) item: T,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// When it was accepted, in milliseconds since 1970.
    pub(crate) offered_at: i64,
    /// When it was last handed out, if it was since the queue was made or restored.
    pub(crate) tried_at: Option<i64>,
}

/// What the caller has to carry out, in this order. Calls add to it.
#[derive(Debug)]
pub(crate) struct Effects<T> {
    pub(crate) woken: Vec<Woken<T>>,
    pub(crate) dead: Vec<Dead<T>>,
}

impl<T> Default for Effects<T> {
    fn default() -> Self {
        Self {
            woken: Vec::new(),
            dead: Vec::new(),
        }
    }
}

/// An operation that was waiting, and does no more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancelled<T> {
    Poll,
    /// The items were not accepted.
    Offer(Vec<T>),
}

/// What a queue holds at a moment, and what it has done since it was made.
///
/// `offered` is the sum of `size`, `in_flight`, `acknowledged`, `expired`, `evicted`, `failed` and `purged`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) size: usize,
    pub(crate) bytes: usize,
    /// Those of `size` that are not to be handed out yet.
    pub(crate) delayed: usize,
    pub(crate) in_flight: usize,
    /// Those of `in_flight` that are leased.
    pub(crate) leased: usize,
    pub(crate) waiting_polls: usize,
    pub(crate) waiting_offers: usize,
    /// Milliseconds since the oldest item that may be handed out was accepted.
    pub(crate) oldest_age: Option<i64>,
    /// Items accepted, or restored.
    pub(crate) offered: u64,
    /// Items handed out, each time.
    pub(crate) polled: u64,
    /// Items that did not arrive, each time.
    pub(crate) put_back: u64,
    /// Items tried in vain and to be tried again, each time.
    pub(crate) requeued: u64,
    /// Leases that ended without a word.
    pub(crate) leases_over: u64,
    pub(crate) acknowledged: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    /// Items that were rejected, or tried too often.
    pub(crate) failed: u64,
    pub(crate) purged: u64,
    /// Offers that were not accepted.
    pub(crate) rejected: u64,
}

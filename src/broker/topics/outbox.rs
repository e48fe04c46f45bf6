//! What waits for one subscriber.

use std::collections::VecDeque;

use super::{Overflow, Subscription, SubscriptionId};
use crate::protocols::IdMap;

/// Messages that wait for one subscriber at most, whatever its subscriptions allow.
const MOST: usize = 100_000;

/// What became of a message for a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits for the subscriber.
    Done,
    /// It waits for the subscriber, in the place of so many of the oldest ones of its subscription.
    DroppedOldest(usize),
    /// The subscriber misses it.
    DroppedNewest,
    /// The subscriber is to be disconnected.
    Disconnect,
}

/// The messages that wait for one subscriber, as many of each subscription as its policy allows, and together no more
/// bytes than there may be, or a single message. They go in the order in which they came; where some were dropped, the
/// later ones of their subscription take their places.
#[derive(Debug)]
pub(crate) struct Outbox<M> {
    lines: IdMap<SubscriptionId, Line<M>>,
    /// Whose message is next: each subscription is there once for each of its messages.
    order: VecDeque<SubscriptionId>,
    bytes: usize,
    most_bytes: usize,
}

/// What waits of one subscription, oldest first. There is something as long as the line is there.
#[derive(Debug)]
struct Line<M> {
    messages: VecDeque<(M, usize)>,
    bytes: usize,
    /// Messages that were dropped since the subscriber was last told.
    missed: u64,
}

impl<M> Line<M> {
    fn push(&mut self, message: M, bytes: usize) {
        self.messages.push_back((message, bytes));
        self.bytes += bytes;
    }

    fn pop(&mut self) -> Option<(M, usize)> {
        let (message, bytes) = self.messages.pop_front()?;
        self.bytes -= bytes;
        Some((message, bytes))
    }
}

impl<M> Outbox<M> {
    /// An empty one for so many bytes.
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self {
            lines: IdMap::default(),
            order: VecDeque::new(),
            bytes: 0,
            most_bytes,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Adds a message of so many bytes.
    pub(crate) fn push(&mut self, subscription: &Subscription, message: M, bytes: usize) -> Pushed {
        let (id, policy) = (subscription.id, subscription.policy);
        let most = self.most_bytes;
        let fits = |held: usize| held == 0 || held.saturating_add(bytes) <= most;
        let room = self.order.len() < MOST && fits(self.bytes);
        let Some(line) = self.lines.get_mut(&id) else {
            return match policy.overflow {
                _ if room => {
                    let mut line = Line {
                        messages: VecDeque::new(),
                        bytes: 0,
                        missed: 0,
                    };
                    line.push(message, bytes);
                    self.lines.insert(id, line);
                    self.order.push_back(id);
                    self.bytes += bytes;
                    Pushed::Done
                }
                Overflow::Disconnect => Pushed::Disconnect,
                _ => Pushed::DroppedNewest,
            };
        };
        if room && line.messages.len() < policy.depth.max(1) {
            line.push(message, bytes);
            self.order.push_back(id);
            self.bytes += bytes;
            return Pushed::Done;
        }
        match policy.overflow {
            Overflow::Disconnect => return Pushed::Disconnect,
            // What waits of other subscriptions gives no way.
            Overflow::DropOldest if fits(self.bytes - line.bytes) => {}
            _ => {
                line.missed += 1;
                return Pushed::DroppedNewest;
            }
        }
        let mut lost = 0;
        while let Some((_, gone)) = line.pop() {
            self.bytes -= gone;
            lost += 1;
            if fits(self.bytes) {
                break;
            }
        }
        line.missed += lost as u64;
        line.push(message, bytes);
        self.bytes += bytes;
        // It has the place of one of them.
        for _ in 1..lost {
            if let Some(last) = self.order.iter().rposition(|&one| one == id) {
                self.order.remove(last);
            }
        }
        Pushed::DroppedOldest(lost)
    }

    /// The next message.
    pub(crate) fn front(&self) -> Option<&M> {
        let line = self.lines.get(self.order.front()?)?;
        line.messages.front().map(|(message, _)| message)
    }

    /// The next message, and how many of its subscription were dropped since the one before.
    pub(crate) fn pop(&mut self) -> Option<(M, u64)> {
        let id = self.order.pop_front()?;
        let line = self.lines.get_mut(&id)?;
        let missed = std::mem::take(&mut line.missed);
        let (message, bytes) = line.pop()?;
        self.bytes -= bytes;
        if line.messages.is_empty() {
            self.lines.remove(&id);
        }
        Some((message, missed))
    }
}

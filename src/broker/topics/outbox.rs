//! What waits for one subscriber.

use std::collections::{HashMap, VecDeque};

use super::{Overflow, Subscription, SubscriptionId};

/// Messages that wait for one subscriber at most, whatever its subscriptions allow.
const MOST: usize = 100_000;

/// What became of a message for a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed<M> {
    /// It waits for the subscriber.
    Done,
    /// It waits for the subscriber, in the place of the oldest one of its subscription, which is this.
    DroppedOldest(M),
    /// The subscriber misses it.
    DroppedNewest(M),
    /// The subscriber is to be disconnected.
    Disconnect(M),
}

/// The messages that wait for one subscriber, as many of each subscription as its policy allows. They go in the order in
/// which they came; where some were dropped, the later ones of their subscription take their places.
#[derive(Debug)]
pub(crate) struct Outbox<M> {
    lines: HashMap<SubscriptionId, Line<M>>,
    /// Whose message is next: each subscription is there once for each of its messages.
    order: VecDeque<SubscriptionId>,
}

/// What waits of one subscription, oldest first. There is something as long as the line is there.
#[derive(Debug)]
struct Line<M> {
    messages: VecDeque<M>,
    /// Messages that were dropped since the subscriber was last told.
    missed: u64,
}

impl<M> Default for Outbox<M> {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<M> Outbox<M> {
    pub(crate) fn push(&mut self, subscription: &Subscription, message: M) -> Pushed<M> {
        let (id, policy) = (subscription.id, subscription.policy);
        let room = self.order.len() < MOST;
        let Some(line) = self.lines.get_mut(&id) else {
            if !room {
                return Pushed::DroppedNewest(message);
            }
            let line = Line {
                messages: VecDeque::from([message]),
                missed: 0,
            };
            self.lines.insert(id, line);
            self.order.push_back(id);
            return Pushed::Done;
        };
        if room && line.messages.len() < policy.depth.max(1) {
            line.messages.push_back(message);
            self.order.push_back(id);
            return Pushed::Done;
        }
        line.missed += 1;
        match policy.overflow {
            Overflow::DropOldest => {
                line.messages.push_back(message);
                match line.messages.pop_front() {
                    Some(oldest) => Pushed::DroppedOldest(oldest),
                    None => Pushed::Done,
                }
            }
            Overflow::DropNewest => Pushed::DroppedNewest(message),
            Overflow::Disconnect => Pushed::Disconnect(message),
        }
    }

    /// The next message, and how many of its subscription were dropped since the one before.
    pub(crate) fn pop(&mut self) -> Option<(M, u64)> {
        let id = self.order.pop_front()?;
        let line = self.lines.get_mut(&id)?;
        let missed = std::mem::take(&mut line.missed);
        let message = line.messages.pop_front()?;
        if line.messages.is_empty() {
            self.lines.remove(&id);
        }
        Some((message, missed))
    }
}

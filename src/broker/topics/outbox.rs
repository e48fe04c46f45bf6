//! What waits for one subscriber.

use std::collections::VecDeque;

use super::{Overflow, Policy};

/// What became of a message for a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed<M> {
    /// It waits for the subscriber.
    Done,
    /// It waits for the subscriber, in the place of the oldest one, which is this.
    DroppedOldest(M),
    /// The subscriber misses it.
    DroppedNewest(M),
    /// The subscriber is to be disconnected.
    Disconnect(M),
}

/// The messages that wait for one subscriber, oldest first, as many as its policy allows.
#[derive(Debug)]
pub(crate) struct Outbox<M> {
    policy: Policy,
    messages: VecDeque<M>,
    dropped: u64,
}

impl<M> Outbox<M> {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            messages: VecDeque::new(),
            dropped: 0,
        }
    }

    pub(crate) fn push(&mut self, message: M) -> Pushed<M> {
        if self.messages.len() < self.policy.depth.max(1) {
            self.messages.push_back(message);
            return Pushed::Done;
        }
        self.dropped += 1;
        match self.policy.overflow {
            Overflow::DropOldest => {
                self.messages.push_back(message);
                match self.messages.pop_front() {
                    Some(oldest) => Pushed::DroppedOldest(oldest),
                    None => Pushed::Done,
                }
            }
            Overflow::DropNewest => Pushed::DroppedNewest(message),
            Overflow::Disconnect => Pushed::Disconnect(message),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<M> {
        self.messages.pop_front()
    }

    /// A message that was taken could not be sent: it comes first again.
    pub(crate) fn put_back(&mut self, message: M) {
        self.messages.push_front(message);
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Messages that the subscriber has missed.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

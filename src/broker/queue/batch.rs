//! Several items at once: accepted together or not at all, handed out as far as there are some, and done with.

use super::leases::Stale;
use super::{Delivery, Effects, Held, Item, Offered, Place, Queue, Token, Verdict, Waiter};

impl<T: Item> Queue<T> {
    /// Offers items that are to be accepted together, in their order. Without a waiter the answer is never
    /// [`Offered::Waiting`].
    ///
    /// What is more than the empty queue would hold is too large, in a circular queue as well: it would not keep all of
    /// them.
    pub(crate) fn offer_all(
        &mut self,
        items: Vec<T>,
        waiter: Option<Waiter>,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Offered<Vec<T>> {
        self.advance(now_ms, effects);
        let bytes = bytes_of(&items);
        if items.len() > self.config.messages || bytes > self.config.bytes {
            self.stats.rejected += items.len() as u64;
            return Offered::TooLarge(items);
        }
        if self.takes_at_once(items.len(), bytes) {
            for item in items {
                self.accept(item, now_ms, effects);
            }
            self.balance(now_ms, effects);
            return Offered::Done;
        }
        let Some(waiter) = waiter else {
            self.stats.rejected += items.len() as u64;
            return Offered::Full(items);
        };
        if !self.may_wait() || self.waiting_bytes.saturating_add(bytes) > self.config.bytes {
            self.stats.rejected += items.len() as u64;
            return Offered::Busy(items);
        }
        self.waiting_bytes += bytes;
        self.offers.push(waiter, items);
        Offered::Waiting
    }

    /// Takes the next item, if there is one and it has at most so many bytes.
    pub(crate) fn poll_within(
        &mut self,
        bytes: usize,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Option<Delivery<T>> {
        self.advance(now_ms, effects);
        let turn = self.turn;
        let place = self.next()?;
        let held = self.ready.get(&place)?;
        if held.item.bytes() > bytes {
            // Nobody had a turn.
            self.turn = turn;
            return None;
        }
        let delivery = self.hand_out_from(place, now_ms)?;
        self.balance(now_ms, effects);
        Some(delivery)
    }

    /// Leased items are done with, or not wanted if there is a verdict. Returns the places of those which were not leased.
    /// Who waits gets what comes back in its order, whatever that of the tokens.
    pub(crate) fn end_leases(
        &mut self,
        tokens: impl IntoIterator<Item = Result<Token, Stale>>,
        verdict: Option<Verdict>,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Vec<usize> {
        self.advance(now_ms, effects);
        let mut stale = Vec::new();
        for (at, token) in tokens.into_iter().enumerate() {
            let done = token.and_then(|token| match verdict {
                Some(verdict) => self.turn_down(token, verdict, now_ms, effects),
                None => self.conclude(token).map(drop),
            });
            if done.is_err() {
                stale.push(at);
            }
        }
        self.balance(now_ms, effects);
        stale
    }

    /// As [`put_back`](Self::put_back). Who waits gets them by their places, whatever their order here.
    pub(crate) fn put_all_back(
        &mut self,
        deliveries: impl IntoIterator<Item = Delivery<T>>,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) {
        for delivery in deliveries {
            self.landed();
            self.undo(delivery.place, delivery.held, now_ms, effects);
        }
        self.balance(now_ms, effects);
    }

    /// Puts an item back into its place as if it had not been handed out.
    pub(super) fn undo(
        &mut self,
        place: Place,
        mut held: Held<T>,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) {
        self.stats.put_back += 1;
        held.attempts = held.attempts.saturating_sub(1);
        self.put(place, held, 0, now_ms, effects);
    }
}

pub(super) fn bytes_of<T: Item>(items: &[T]) -> usize {
    let bytes = items.iter().map(T::bytes);
    bytes.fold(0, usize::saturating_add)
}

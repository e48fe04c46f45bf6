//! The queue machine: what a queue holds, who waits for it, and what each event leads to.
//!
//! A machine without a clock, threads or I/O. Times are milliseconds since 1970 and are passed in. What a call leads
//! to beyond its own answer is added to [`Effects`], and the caller carries it out.
//!
//! What always holds:
//!
//! - An item that was accepted is in the queue, in flight, or settled: acknowledged, expired, evicted, failed or purged.
//! - Items are handed out by their priority, and among equals in the order in which they were accepted. One that comes
//!   back takes its old place. Every eighth time that there is a choice of priorities the oldest item of all is handed
//!   out, so that each has its turn.
//! - Polls wait only while nothing may be handed out, offers only while the first of them does not fit. Both are served
//!   in the order in which they came, and nobody overtakes.
//! - What is delayed or leased counts against the capacity. A bounded queue exceeds it only by what was put back,
//!   restored, or leased while others came in.
//!
//! Every operation costs O(log n), apart from those that go over the whole queue or over what a session has there.

mod batch;
mod config;
mod leases;
mod line;
mod place;
mod words;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use batch::bytes_of;
#[cfg(test)]
pub(crate) use config::Backoff;
pub(crate) use config::{Config, ConfigError, Kind};
use leases::Leases;
#[cfg(test)]
pub(crate) use leases::Stale;
pub(crate) use leases::{Term, Token, Verdict};
use line::Line;
pub(crate) use place::PRIORITIES;
use place::{Place, oldest, oldest_of_last};
use words::Held;
pub(crate) use words::{
    Cancelled, Cause, Dead, Delivery, Effects, Item, Meta, Offered, Outcome, Polled, SessionId,
    Stats, Store, Waiter, WaiterId, Woken,
};

/// Of so many times that there is a choice of priorities, the oldest item comes once.
const TURNS: u8 = 8;

/// A queue of `T`.
pub(crate) struct Queue<T> {
    config: Config,
    store: Option<Box<dyn Store<T> + Send>>,
    next_seq: u64,
    next_fence: u64,
    /// What may be handed out.
    ready: BTreeMap<Place, Held<T>>,
    /// What may be handed out from a time on.
    delayed: BTreeMap<Place, (i64, Held<T>)>,
    leases: Leases<T>,
    /// Bytes of what is ready and delayed.
    bytes: usize,
    /// What is next to happen to an item, and when: each has one entry at most.
    timers: BTreeSet<(i64, Place)>,
    turn: u8,
    polls: Line<()>,
    /// Each brings what is accepted together.
    offers: Line<Vec<T>>,
    waiting_bytes: usize,
    /// Its gauges are filled in when somebody asks, but for `in_flight`, which counts what is not leased.
    stats: Stats,
}

impl<T: Item> Queue<T> {
    /// Makes an empty queue. A durable one needs a store, any other does not use it.
    pub(crate) fn new(
        config: Config,
        store: Option<Box<dyn Store<T> + Send>>,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let store = store.filter(|_| config.durable);
        if config.durable && store.is_none() {
            return Err(ConfigError::NoStore);
        }
        Ok(Self {
            config,
            store,
            next_seq: 0,
            next_fence: 0,
            ready: BTreeMap::new(),
            delayed: BTreeMap::new(),
            leases: Leases::new(),
            bytes: 0,
            timers: BTreeSet::new(),
            turn: 0,
            polls: Line::new(),
            offers: Line::new(),
            waiting_bytes: 0,
            stats: Stats::default(),
        })
    }

    /// Has tokens begin at a number. A random one keeps those that an earlier queue has given from naming a lease of
    /// this one.
    pub(crate) fn fenced_from(mut self, fence: u64) -> Self {
        self.next_fence = fence;
        self
    }

    #[cfg(test)]
    /// Has the numbers of items begin here, after those that a store has seen. No number is used twice then.
    pub(crate) fn numbered_from(mut self, seq: u64) -> Self {
        self.next_seq = self.next_seq.max(seq);
        self
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Adds an item that the store had kept, before the queue is used. Those beyond the capacity are kept too: there
    /// is room for offers again when they are gone. Returns whether the number was new, and one that can be.
    pub(crate) fn restore(&mut self, seq: u64, item: T, meta: Meta) -> bool {
        if seq > Place::LAST_SEQ || (seq < self.next_seq && self.holds(seq)) {
            return false;
        }
        self.next_seq = self.next_seq.max(seq.saturating_add(1));
        self.stats.offered += 1;
        let place = Place::new(item.priority(), seq);
        let held = Held {
            offered_at: meta.offered_at,
            tried_at: 0,
            attempts: meta.attempts,
            item,
        };
        self.keep(
            place,
            held,
            (meta.not_before > 0).then_some(meta.not_before),
        );
        true
    }

    /// Offers an item. Without a waiter the answer is never [`Offered::Waiting`].
    ///
    /// A circular queue accepts whatever is not too large, and evicts the oldest items of the lowest priority.
    pub(crate) fn offer(
        &mut self,
        item: T,
        waiter: Option<Waiter>,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Offered<T> {
        self.advance(now_ms, effects);
        let bytes = item.bytes();
        if bytes > self.config.bytes {
            self.stats.rejected += 1;
            return Offered::TooLarge(item);
        }
        if self.takes_at_once(1, bytes) {
            self.accept(item, now_ms, effects);
            self.balance(now_ms, effects);
            return Offered::Done;
        }
        let Some(waiter) = waiter else {
            self.stats.rejected += 1;
            return Offered::Full(item);
        };
        if !self.may_wait() || self.waiting_bytes.saturating_add(bytes) > self.config.bytes {
            self.stats.rejected += 1;
            return Offered::Busy(item);
        }
        self.waiting_bytes += bytes;
        self.offers.push(waiter, vec![item]);
        Offered::Waiting
    }

    /// Takes the next item. Without a waiter the answer is never [`Polled::Waiting`].
    pub(crate) fn poll(
        &mut self,
        waiter: Option<Waiter>,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Polled<T> {
        self.advance(now_ms, effects);
        if let Some(delivery) = self.hand_out(now_ms) {
            self.balance(now_ms, effects);
            return Polled::Item(delivery);
        }
        match waiter {
            None => Polled::Empty,
            Some(_) if !self.may_wait() => Polled::Busy,
            Some(waiter) => {
                self.polls.push(waiter, ());
                Polled::Waiting
            }
        }
    }

    /// An item in flight has arrived, or is not to be tried again. Returns it.
    pub(crate) fn acknowledge(&mut self, delivery: Delivery<T>) -> T {
        self.landed();
        self.stats.acknowledged += 1;
        self.settle(delivery.place, &delivery.held.item);
        delivery.held.item
    }

    /// An item in flight has not arrived: the first poll that waits gets it, or it takes its old place. That was no
    /// attempt. In a circular queue that is full it is the oldest, and evicted.
    pub(crate) fn put_back(
        &mut self,
        delivery: Delivery<T>,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) {
        self.put_all_back([delivery], now_ms, effects);
    }

    /// A wait is given up: its time is over, or its caller left. `None` if it had ended already, and its outcome is
    /// on its way.
    pub(crate) fn cancel(
        &mut self,
        waiter: WaiterId,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Option<Cancelled<T>> {
        if self.polls.remove(waiter).is_some() {
            return Some(Cancelled::Poll);
        }
        let items = self.offers.remove(waiter)?;
        self.offer_left(&items);
        self.balance(now_ms, effects);
        Some(Cancelled::Offer(items))
    }

    /// A session is gone: what it waits for is given up, what it had not managed to offer is dropped, and its leases that
    /// are as long as itself are over. Returns the waiters. What is in flight to it is for the caller to put back, and a
    /// queue that it owns to close.
    pub(crate) fn drop_session(
        &mut self,
        session: SessionId,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Vec<WaiterId> {
        let polls = self.polls.remove_session(session).into_iter();
        let mut gone: Vec<WaiterId> = polls.map(|(id, ())| id).collect();
        for (id, items) in self.offers.remove_session(session) {
            self.offer_left(&items);
            gone.push(id);
        }
        self.leases_over(session, now_ms, effects);
        self.balance(now_ms, effects);
        gone
    }

    /// Discards the items in the queue, and returns how many. Those in flight are not touched.
    pub(crate) fn purge(&mut self, now_ms: i64, effects: &mut Effects<T>) -> usize {
        self.advance(now_ms, effects);
        let ready = self.ready.keys();
        let places: Vec<Place> = ready.chain(self.delayed.keys()).copied().collect();
        for &place in &places {
            if let Some(held) = self.take(place) {
                self.settle(place, &held.item);
            }
        }
        self.stats.purged += places.len() as u64;
        self.balance(now_ms, effects);
        places.len()
    }

    /// Does what is due: what has expired dies, what was delayed may be handed out, and leases end. Every call does so
    /// itself; this is for a timer, set to [`next_event`](Self::next_event).
    pub(crate) fn advance(&mut self, now_ms: i64, effects: &mut Effects<T>) {
        let mut any = false;
        while let Some(&(at, place)) = self.timers.first()
            && at <= now_ms
        {
            any = true;
            self.timers.pop_first();
            match self.take(place) {
                Some(held) => self.put(place, held, 0, now_ms, effects),
                None => self.lease_over(place, now_ms, effects),
            }
        }
        if any {
            self.balance(now_ms, effects);
        }
    }

    /// When something is due by itself, in milliseconds since 1970.
    pub(crate) fn next_event(&self) -> Option<i64> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// The items in the queue, some of which may have expired: those that may be handed out by their places, then those
    /// that may not yet.
    pub(crate) fn peek(&self) -> impl Iterator<Item = &T> {
        let delayed = self.delayed.values().map(|(_, held)| held);
        let all = self.ready.values().chain(delayed);
        all.map(|held| &held.item)
    }

    pub(crate) fn stats(&self, now_ms: i64) -> Stats {
        let oldest = oldest(&self.ready).and_then(|place| self.ready.get(&place));
        Stats {
            size: self.ready.len() + self.delayed.len(),
            bytes: self.bytes,
            delayed: self.delayed.len(),
            in_flight: self.stats.in_flight + self.leases.len(),
            leased: self.leases.len(),
            waiting_polls: self.polls.len(),
            waiting_offers: self.offers.len(),
            oldest_age: oldest.map(|held| now_ms.saturating_sub(held.offered_at).max(0)),
            ..self.stats
        }
    }

    /// The queue is removed: whoever waits is told. Its items go with it; the store is left as it is.
    pub(crate) fn close(mut self, effects: &mut Effects<T>) {
        let polls = self.polls.drain().map(|(waiter, ())| (waiter, Vec::new()));
        let woken = polls
            .chain(self.offers.drain())
            .map(|(waiter, items)| Woken {
                waiter,
                outcome: Outcome::Removed(items),
            });
        effects.woken.extend(woken);
    }

    // ---- in ----

    fn fits(&self, count: usize, bytes: usize) -> bool {
        let held = self.ready.len() + self.delayed.len() + self.leases.len();
        let held_bytes = self.bytes.saturating_add(self.leases.bytes());
        held.saturating_add(count) <= self.config.messages
            && held_bytes.saturating_add(bytes) <= self.config.bytes
    }

    /// Whether what would not be too much for the empty queue may come in now.
    fn takes_at_once(&self, count: usize, bytes: usize) -> bool {
        let circular = self.config.kind == Kind::Circular;
        circular || (self.offers.is_empty() && self.fits(count, bytes))
    }

    fn may_wait(&self) -> bool {
        self.polls.len() + self.offers.len() < self.config.waiters
    }

    fn holds(&self, seq: u64) -> bool {
        let mut places = (0..PRIORITIES).map(|priority| Place::new(priority, seq));
        places.any(|place| self.ready.contains_key(&place) || self.delayed.contains_key(&place))
    }

    fn accept(&mut self, item: T, now_ms: i64, effects: &mut Effects<T>) {
        let seq = self.next_seq;
        self.next_seq = seq.saturating_add(1);
        self.stats.offered += 1;
        let not_before = match item.delay() {
            ..=0 => 0,
            delay => now_ms.saturating_add(delay),
        };
        if let Some(store) = self.store.as_mut().filter(|_| item.durable()) {
            let meta = Meta {
                offered_at: now_ms,
                attempts: 0,
                not_before,
            };
            store.append(seq, meta, &item);
        }
        let place = Place::new(item.priority(), seq);
        let held = Held {
            offered_at: now_ms,
            tried_at: 0,
            attempts: 0,
            item,
        };
        self.put(place, held, not_before, now_ms, effects);
    }

    /// Puts an item into its place, unless it has expired.
    fn put(
        &mut self,
        place: Place,
        held: Held<T>,
        not_before: i64,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) {
        if self.expires_at(&held).is_some_and(|at| at <= now_ms) {
            return self.bury(place, held, Cause::Expired, effects);
        }
        self.keep(place, held, (not_before > now_ms).then_some(not_before));
    }

    fn keep(&mut self, place: Place, held: Held<T>, not_before: Option<i64>) {
        self.bytes = self.bytes.saturating_add(held.item.bytes());
        if let Some(at) = self.due(&held, not_before) {
            self.timers.insert((at, place));
        }
        match not_before {
            None => drop(self.ready.insert(place, held)),
            Some(at) => drop(self.delayed.insert(place, (at, held))),
        }
    }

    /// Brings together what can be: items and polls, offers and room.
    fn balance(&mut self, now_ms: i64, effects: &mut Effects<T>) {
        loop {
            while !self.polls.is_empty()
                && let Some(delivery) = self.hand_out(now_ms)
                && let Some((waiter, ())) = self.polls.pop()
            {
                let outcome = Outcome::Got(delivery);
                effects.woken.push(Woken { waiter, outcome });
            }
            self.evict(effects);
            if let Some(first) = self.offers.front()
                && self.fits(first.len(), bytes_of(first))
                && let Some((waiter, items)) = self.offers.pop()
            {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes_of(&items));
                for item in items {
                    self.accept(item, now_ms, effects);
                }
                let outcome = Outcome::Accepted;
                effects.woken.push(Woken { waiter, outcome });
            } else {
                return;
            }
        }
    }

    fn offer_left(&mut self, items: &[T]) {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes_of(items));
        self.stats.rejected += items.len() as u64;
    }

    // ---- out ----

    /// The place of what is to be handed out.
    fn next(&mut self) -> Option<Place> {
        let (&first, _) = self.ready.first_key_value()?;
        let (&last, _) = self.ready.last_key_value()?;
        if first.level() == last.level() {
            return Some(first);
        }
        self.turn += 1;
        if self.turn < TURNS {
            return Some(first);
        }
        self.turn = 0;
        oldest(&self.ready)
    }

    fn hand_out(&mut self, now_ms: i64) -> Option<Delivery<T>> {
        let place = self.next()?;
        self.hand_out_from(place, now_ms)
    }

    fn hand_out_from(&mut self, place: Place, now_ms: i64) -> Option<Delivery<T>> {
        let mut held = self.take(place)?;
        self.stats.polled += 1;
        self.stats.in_flight += 1;
        held.attempts = held.attempts.saturating_add(1);
        held.tried_at = now_ms;
        let fence = self.next_fence;
        self.next_fence = fence.wrapping_add(1);
        Some(Delivery { place, fence, held })
    }

    /// Takes an item out of the queue, whether it may be handed out or not yet.
    fn take(&mut self, place: Place) -> Option<Held<T>> {
        let (not_before, held) = match self.ready.remove(&place) {
            Some(held) => (None, held),
            None => {
                let (at, held) = self.delayed.remove(&place)?;
                (Some(at), held)
            }
        };
        self.bytes = self.bytes.saturating_sub(held.item.bytes());
        if let Some(at) = self.due(&held, not_before) {
            self.timers.remove(&(at, place));
        }
        Some(held)
    }

    /// A circular queue lets go of what is too much.
    fn evict(&mut self, effects: &mut Effects<T>) {
        while self.config.kind == Kind::Circular
            && (self.ready.len() + self.delayed.len() > self.config.messages
                || self.bytes > self.config.bytes)
            && let places = [oldest_of_last(&self.ready), oldest_of_last(&self.delayed)]
            && let Some(place) = places
                .into_iter()
                .flatten()
                .max_by_key(|place| (place.level(), std::cmp::Reverse(place.seq())))
            && let Some(held) = self.take(place)
        {
            self.bury(place, held, Cause::Evicted, effects);
        }
    }

    /// An item is in flight no more.
    fn landed(&mut self) {
        self.stats.in_flight = self.stats.in_flight.saturating_sub(1);
    }

    fn expires_at(&self, held: &Held<T>) -> Option<i64> {
        let rule = self.config.expiry;
        let rule = || rule.map(|ms| held.offered_at.saturating_add(ms));
        held.item.expires_at().or_else(rule)
    }

    /// When something is to happen to an item in the queue.
    fn due(&self, held: &Held<T>, not_before: Option<i64>) -> Option<i64> {
        let expiry = self.expires_at(held);
        not_before.into_iter().chain(expiry).min()
    }

    fn bury(&mut self, place: Place, held: Held<T>, cause: Cause, effects: &mut Effects<T>) {
        match cause {
            Cause::Expired => self.stats.expired += 1,
            Cause::Evicted => self.stats.evicted += 1,
            Cause::Rejected | Cause::TooManyAttempts => self.stats.failed += 1,
        }
        self.settle(place, &held.item);
        effects.dead.push(Dead {
            cause,
            item: held.item,
            attempts: held.attempts,
            offered_at: held.offered_at,
            tried_at: (held.tried_at > 0).then_some(held.tried_at),
        });
    }

    fn settle(&mut self, place: Place, item: &T) {
        if let Some(store) = self.store.as_mut().filter(|_| item.durable()) {
            store.settle(place.seq());
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("config", &self.config)
            .field("size", &(self.ready.len() + self.delayed.len()))
            .finish_non_exhaustive()
    }
}

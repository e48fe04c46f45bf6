//! The queue machine: what a queue holds, who waits for it, and what each event leads to.
//!
//! A machine without a clock, threads or I/O. Times are milliseconds since 1970 and are passed in. What a call leads
//! to beyond its own answer is added to [`Effects`], and the caller carries it out.
//!
//! What always holds:
//!
//! - An item that was accepted is in the queue, in flight, or settled: acknowledged, expired, evicted or purged.
//! - Items are handed out in the order in which they were accepted. One that is put back takes its old place.
//! - Polls wait only while the queue is empty, offers only while the first of them does not fit. Both are served in
//!   the order in which they came, and nobody overtakes.
//! - A bounded queue exceeds its capacity only by what was put back or restored.
//!
//! Every operation costs O(log n), apart from those that go over the whole queue or a session's waiters.

mod config;
mod line;
mod words;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub(crate) use config::{Config, ConfigError, Kind};
use line::Line;
pub(crate) use words::{
    Cancelled, Cause, Dead, Delivery, Effects, Item, Offered, Outcome, Polled, SessionId, Stats,
    Store, Waiter, WaiterId, Woken,
};

/// A queue of `T`.
pub(crate) struct Queue<T> {
    config: Config,
    store: Option<Box<dyn Store<T> + Send>>,
    next_seq: u64,
    items: BTreeMap<u64, Delivery<T>>,
    bytes: usize,
    /// The items that expire, by when.
    deadlines: BTreeSet<(i64, u64)>,
    polls: Line<()>,
    offers: Line<T>,
    waiting_bytes: usize,
    /// Its gauges are filled in when somebody asks.
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
            items: BTreeMap::new(),
            bytes: 0,
            deadlines: BTreeSet::new(),
            polls: Line::new(),
            offers: Line::new(),
            waiting_bytes: 0,
            stats: Stats::default(),
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Adds an item that the store had kept, before the queue is used. Those beyond the capacity are kept too: there
    /// is room for offers again when they are gone. Returns whether the number was new.
    pub(crate) fn restore(&mut self, seq: u64, item: T, offered_at: i64) -> bool {
        if self.items.contains_key(&seq) {
            return false;
        }
        self.next_seq = self.next_seq.max(seq.saturating_add(1));
        self.stats.offered += 1;
        self.insert(Delivery {
            seq,
            offered_at,
            attempts: 0,
            item,
        });
        true
    }

    /// Offers an item. Without a waiter the answer is never [`Offered::Waiting`].
    ///
    /// A circular queue accepts whatever is not too large, and evicts its oldest items.
    pub(crate) fn offer(
        &mut self,
        item: T,
        waiter: Option<Waiter>,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Offered<T> {
        self.expire(now_ms, effects);
        let bytes = item.bytes();
        if bytes > self.config.bytes {
            self.stats.rejected += 1;
            return Offered::TooLarge(item);
        }
        if self.config.kind == Kind::Circular || (self.offers.is_empty() && self.fits(bytes)) {
            self.accept(item, now_ms, effects);
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
        self.offers.push(waiter, item);
        Offered::Waiting
    }

    /// Takes the oldest item. Without a waiter the answer is never [`Polled::Waiting`].
    pub(crate) fn poll(
        &mut self,
        waiter: Option<Waiter>,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Polled<T> {
        self.expire(now_ms, effects);
        if let Some(oldest) = self.take_oldest() {
            let delivery = self.hand_out(oldest);
            self.admit(now_ms, effects);
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
        self.stats.in_flight = self.stats.in_flight.saturating_sub(1);
        self.stats.acknowledged += 1;
        self.settle(&delivery);
        delivery.item
    }

    /// An item in flight has not arrived: the first poll that waits gets it, or it takes its old place. In a circular
    /// queue that is full it is the oldest, and evicted.
    pub(crate) fn put_back(
        &mut self,
        delivery: Delivery<T>,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) {
        self.stats.in_flight = self.stats.in_flight.saturating_sub(1);
        self.stats.put_back += 1;
        self.place(delivery, now_ms, effects);
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
        let item = self.offers.remove(waiter)?;
        self.offer_left(&item);
        self.admit(now_ms, effects);
        Some(Cancelled::Offer(item))
    }

    /// A session is gone: what it waits for is given up, and what it had not managed to offer is dropped. Returns the
    /// waiters. What is in flight to it is for the caller to put back, and a queue that it owns to close.
    pub(crate) fn drop_session(
        &mut self,
        session: SessionId,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Vec<WaiterId> {
        let polls = self.polls.remove_session(session).into_iter();
        let mut gone: Vec<WaiterId> = polls.map(|(id, ())| id).collect();
        for (id, item) in self.offers.remove_session(session) {
            self.offer_left(&item);
            gone.push(id);
        }
        self.admit(now_ms, effects);
        gone
    }

    /// Discards the items in the queue, and returns how many. Those in flight are not touched.
    pub(crate) fn purge(&mut self, now_ms: i64, effects: &mut Effects<T>) -> usize {
        self.expire(now_ms, effects);
        let mut count = 0;
        while let Some(oldest) = self.take_oldest() {
            self.settle(&oldest);
            count += 1;
        }
        self.stats.purged += count as u64;
        self.admit(now_ms, effects);
        count
    }

    /// Does away with what has expired. Every call does so itself; this is for a timer, set to
    /// [`next_expiry`](Self::next_expiry).
    pub(crate) fn expire(&mut self, now_ms: i64, effects: &mut Effects<T>) {
        let mut any = false;
        while let Some(&(at, seq)) = self.deadlines.first()
            && at <= now_ms
        {
            any = true;
            match self.take(seq) {
                Some(expired) => self.bury(expired, Cause::Expired, effects),
                None => drop(self.deadlines.pop_first()),
            }
        }
        if any {
            self.admit(now_ms, effects);
        }
    }

    /// When the next item expires, in milliseconds since 1970.
    pub(crate) fn next_expiry(&self) -> Option<i64> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// The items in the queue, oldest first, some of which may have expired.
    pub(crate) fn peek(&self) -> impl Iterator<Item = &T> {
        self.items.values().map(|held| &held.item)
    }

    pub(crate) fn stats(&self, now_ms: i64) -> Stats {
        let oldest = self.items.first_key_value();
        Stats {
            size: self.items.len(),
            bytes: self.bytes,
            waiting_polls: self.polls.len(),
            waiting_offers: self.offers.len(),
            oldest_age: oldest.map(|(_, held)| now_ms.saturating_sub(held.offered_at).max(0)),
            ..self.stats
        }
    }

    /// The queue is removed: whoever waits is told. Its items go with it; the store is left as it is.
    pub(crate) fn close(mut self, effects: &mut Effects<T>) {
        let polls = self.polls.drain().map(|(waiter, ())| (waiter, None));
        let offers = self
            .offers
            .drain()
            .map(|(waiter, item)| (waiter, Some(item)));
        let woken = polls.chain(offers).map(|(waiter, item)| Woken {
            waiter,
            outcome: Outcome::Removed(item),
        });
        effects.woken.extend(woken);
    }

    // ---- in ----

    fn fits(&self, bytes: usize) -> bool {
        self.items.len() < self.config.messages
            && self.bytes.saturating_add(bytes) <= self.config.bytes
    }

    fn may_wait(&self) -> bool {
        self.polls.len() + self.offers.len() < self.config.waiters
    }

    fn accept(&mut self, item: T, now_ms: i64, effects: &mut Effects<T>) {
        let seq = self.next_seq;
        self.next_seq = seq.saturating_add(1);
        self.stats.offered += 1;
        if let Some(store) = &mut self.store
            && item.durable()
        {
            store.append(seq, &item);
        }
        let delivery = Delivery {
            seq,
            offered_at: now_ms,
            attempts: 0,
            item,
        };
        self.place(delivery, now_ms, effects);
    }

    /// Gives an item to who waits for it, or keeps it.
    fn place(&mut self, delivery: Delivery<T>, now_ms: i64, effects: &mut Effects<T>) {
        if delivery.item.expires_at().is_some_and(|at| at <= now_ms) {
            return self.bury(delivery, Cause::Expired, effects);
        }
        if let Some((waiter, ())) = self.polls.pop() {
            let outcome = Outcome::Got(self.hand_out(delivery));
            effects.woken.push(Woken { waiter, outcome });
            return;
        }
        self.insert(delivery);
        while self.config.kind == Kind::Circular
            && (self.items.len() > self.config.messages || self.bytes > self.config.bytes)
            && let Some(oldest) = self.take_oldest()
        {
            self.bury(oldest, Cause::Evicted, effects);
        }
    }

    fn insert(&mut self, delivery: Delivery<T>) {
        self.bytes = self.bytes.saturating_add(delivery.item.bytes());
        if let Some(at) = delivery.item.expires_at() {
            self.deadlines.insert((at, delivery.seq));
        }
        self.items.insert(delivery.seq, delivery);
    }

    /// Lets in those who wait, as long as there is room.
    fn admit(&mut self, now_ms: i64, effects: &mut Effects<T>) {
        while let Some(first) = self.offers.front()
            && self.fits(first.bytes())
            && let Some((waiter, item)) = self.offers.pop()
        {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(item.bytes());
            self.accept(item, now_ms, effects);
            let outcome = Outcome::Accepted;
            effects.woken.push(Woken { waiter, outcome });
        }
    }

    fn offer_left(&mut self, item: &T) {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(item.bytes());
        self.stats.rejected += 1;
    }

    // ---- out ----

    fn take_oldest(&mut self) -> Option<Delivery<T>> {
        let (&seq, _) = self.items.first_key_value()?;
        self.take(seq)
    }

    fn take(&mut self, seq: u64) -> Option<Delivery<T>> {
        let taken = self.items.remove(&seq)?;
        self.bytes = self.bytes.saturating_sub(taken.item.bytes());
        if let Some(at) = taken.item.expires_at() {
            self.deadlines.remove(&(at, seq));
        }
        Some(taken)
    }

    fn hand_out(&mut self, mut delivery: Delivery<T>) -> Delivery<T> {
        self.stats.polled += 1;
        self.stats.in_flight += 1;
        delivery.attempts = delivery.attempts.saturating_add(1);
        delivery
    }

    fn bury(&mut self, delivery: Delivery<T>, cause: Cause, effects: &mut Effects<T>) {
        match cause {
            Cause::Expired => self.stats.expired += 1,
            Cause::Evicted => self.stats.evicted += 1,
        }
        self.settle(&delivery);
        let item = delivery.item;
        effects.dead.push(Dead { cause, item });
    }

    fn settle(&mut self, delivery: &Delivery<T>) {
        if let Some(store) = &mut self.store
            && delivery.item.durable()
        {
            store.settle(delivery.seq);
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("config", &self.config)
            .field("size", &self.items.len())
            .finish_non_exhaustive()
    }
}

//! Requests that were made before: a duplicate gets the answer of the first, or waits for it.
//!
//! A machine without a clock, threads or I/O. What always holds:
//!
//! - Of requests with the same key one runs at a time, and once it is finished none does while its answer is kept.
//! - An answer is kept no longer than the limits say; the oldest gives way first. A request that runs is never
//!   forgotten.
//! - Every operation costs O(1), spread over those before it.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// What a window remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long an answer is kept.
    pub(crate) age: Duration,
    /// Requests that run, and answers that are kept, at most.
    pub(crate) entries: usize,
    /// Bytes of the answers that are kept, at most.
    pub(crate) bytes: usize,
    /// Duplicates that wait at once, at most.
    pub(crate) joined: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(120),
            entries: 100_000,
            bytes: 64 << 20,
            joined: 10_000,
        }
    }
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begun<V> {
    /// Run it, and then [`finish`](Window::finish) or [`abandon`](Window::abandon) it.
    New,
    /// It is a duplicate; this is the answer.
    Done(V),
    /// It is a duplicate of one that runs, with which the caller will get its answer.
    Joined,
    /// Too many requests run, or too many duplicates wait. Nothing was remembered.
    Busy,
}

/// What a window has done since it was made, and holds.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) running: usize,
    pub(crate) kept: usize,
    pub(crate) bytes: usize,
    pub(crate) joined: usize,
    /// Requests that were answered, or joined to another, because they were duplicates.
    pub(crate) duplicates: u64,
}

#[derive(Debug)]
enum Entry<V, W> {
    Running(Vec<W>),
    Kept { value: V, bytes: usize },
}

/// The requests of the last while: `K` says which are the same, `V` is an answer, `W` who waits for one.
#[derive(Debug)]
pub(crate) struct Window<K, V, W> {
    limits: Limits,
    entries: HashMap<K, Entry<V, W>>,
    /// The answers that are kept and when each came, oldest first.
    order: VecDeque<(Instant, K)>,
    bytes: usize,
    joined: usize,
    duplicates: u64,
}

impl<K: Clone + Eq + Hash, V: Clone, W> Window<K, V, W> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            joined: 0,
            duplicates: 0,
        }
    }

    /// A request arrives. `waiter` is kept if the answer is [`Begun::Joined`].
    pub(crate) fn begin(&mut self, key: K, waiter: W, now: Instant) -> Begun<V> {
        self.expire(now);
        match self.entries.get_mut(&key) {
            Some(Entry::Kept { value, .. }) => {
                self.duplicates += 1;
                Begun::Done(value.clone())
            }
            Some(Entry::Running(_)) if self.joined >= self.limits.joined => Begun::Busy,
            Some(Entry::Running(waiters)) => {
                waiters.push(waiter);
                self.joined += 1;
                self.duplicates += 1;
                Begun::Joined
            }
            None => {
                if self.entries.len() >= self.limits.entries && !self.drop_oldest() {
                    return Begun::Busy;
                }
                self.entries.insert(key, Entry::Running(Vec::new()));
                Begun::New
            }
        }
    }

    /// A request has its answer, which counts for `bytes`. Returns the duplicates that wait for it. An answer that is
    /// larger than all that may be kept is not kept.
    pub(crate) fn finish(&mut self, key: &K, value: V, bytes: usize, now: Instant) -> Vec<W> {
        self.expire(now);
        let Some(waiters) = self.end(key) else {
            return Vec::new();
        };
        if bytes <= self.limits.bytes {
            while self.bytes > self.limits.bytes - bytes && self.drop_oldest() {}
            self.bytes += bytes;
            self.order.push_back((now, key.clone()));
            self.entries
                .insert(key.clone(), Entry::Kept { value, bytes });
        }
        waiters
    }

    /// A request came to nothing that is worth keeping: the next with its key runs. Returns the duplicates that wait
    /// for it.
    pub(crate) fn abandon(&mut self, key: &K) -> Vec<W> {
        self.end(key).unwrap_or_default()
    }

    /// Forgets the answers that are too old. Every call does so itself; this is for a timer, so that a window that
    /// nobody uses becomes empty.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((since, _)) = self.order.front()
            && now.saturating_duration_since(*since) >= self.limits.age
        {
            self.drop_oldest();
        }
    }

    /// When the oldest answer is to be forgotten. A second later, so that a timer does not run for each.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let &(since, _) = self.order.front()?;
        since.checked_add(self.limits.age.saturating_add(Duration::from_secs(1)))
    }

    #[cfg(test)]
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            running: self.entries.len() - self.order.len(),
            kept: self.order.len(),
            bytes: self.bytes,
            joined: self.joined,
            duplicates: self.duplicates,
        }
    }

    /// Removes a request that runs.
    fn end(&mut self, key: &K) -> Option<Vec<W>> {
        if !matches!(self.entries.get(key)?, Entry::Running(_)) {
            return None;
        }
        let Some(Entry::Running(waiters)) = self.entries.remove(key) else {
            return None;
        };
        self.joined -= waiters.len();
        Some(waiters)
    }

    /// Forgets the oldest answer. Returns whether there was one.
    fn drop_oldest(&mut self) -> bool {
        let Some((_, key)) = self.order.pop_front() else {
            return false;
        };
        if let Some(Entry::Kept { bytes, .. }) = self.entries.remove(&key) {
            self.bytes -= bytes;
        }
        true
    }
}

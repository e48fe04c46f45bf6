//! Leases: an item is with a client until that says what became of it, or its time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::place::Place;
use super::{Cause, Delivery, Effects, Held, Item, Queue, SessionId};

/// Names one handing out of one item; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(super) place: Place,
    pub(super) fence: u64,
}

/// As clients have it: two numbers in hexadecimal, with a hyphen between them.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.place.bits(), self.fence)
    }
}

impl FromStr for Token {
    type Err = Stale;

    fn from_str(text: &str) -> Result<Self, Stale> {
        let (place, fence) = text.split_once('-').ok_or(Stale)?;
        let number = |digits| u64::from_str_radix(digits, 16).map_err(|_| Stale);
        Ok(Self {
            place: Place::from_bits(number(place)?),
            fence: number(fence)?,
        })
    }
}

/// There is no such lease, or no more: the item is somebody else's, back in the queue, or settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stale;

/// How long a lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// Until a time in milliseconds since 1970.
    Until(i64),
    /// As long as a session.
    Session(SessionId),
}

/// What is to become of an item that a client does not want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is to be tried again after the queue's backoff.
    Retry,
    /// It is to be tried again after so many milliseconds.
    RetryIn(i64),
    /// It is not to be tried again.
    Dead,
    /// It was not tried: it is to be as if it had not been leased.
    Untried,
}

/// The items that are leased.
pub(super) struct Leases<T> {
    held: BTreeMap<Place, Lease<T>>,
    by_session: BTreeSet<(SessionId, Place)>,
    bytes: usize,
}

struct Lease<T> {
    fence: u64,
    term: Term,
    held: Held<T>,
}

impl<T: Item> Leases<T> {
    pub(super) fn new() -> Self {
        Self {
            held: BTreeMap::new(),
            by_session: BTreeSet::new(),
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn insert(&mut self, place: Place, lease: Lease<T>) {
        self.bytes = self.bytes.saturating_add(lease.held.item.bytes());
        if let Term::Session(session) = lease.term {
            self.by_session.insert((session, place));
        }
        self.held.insert(place, lease);
    }

    fn remove(&mut self, place: Place) -> Option<Lease<T>> {
        let lease = self.held.remove(&place)?;
        self.bytes = self.bytes.saturating_sub(lease.held.item.bytes());
        if let Term::Session(session) = lease.term {
            self.by_session.remove(&(session, place));
        }
        Some(lease)
    }

    fn check(&self, token: Token) -> Result<Term, Stale> {
        let lease = self.held.get(&token.place);
        let lease = lease.filter(|lease| lease.fence == token.fence);
        lease.map(|lease| lease.term).ok_or(Stale)
    }

    fn of_session(&self, session: SessionId) -> Vec<Place> {
        let all = (session, Place::from_bits(0))..=(session, Place::from_bits(u64::MAX));
        self.by_session.range(all).map(|&(_, at)| at).collect()
    }
}

impl<T: Item> Queue<T> {
    /// An item in flight has reached a client that will say what becomes of it. Until then it counts against the
    /// capacity. It is found again by [`Delivery::token`].
    pub(crate) fn lease(&mut self, delivery: Delivery<T>, term: Term) {
        self.landed();
        let Delivery { place, fence, held } = delivery;
        if let Term::Until(at) = term {
            self.timers.insert((at, place));
        }
        self.leases.insert(place, Lease { fence, term, held });
    }

    /// Whether this names a lease.
    pub(crate) fn is_leased(&self, token: Token) -> bool {
        self.leases.check(token).is_ok()
    }

    /// A leased item is done with. Returns it.
    pub(crate) fn finish(
        &mut self,
        token: Token,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Result<T, Stale> {
        self.advance(now_ms, effects);
        let item = self.conclude(token)?;
        self.balance(now_ms, effects);
        Ok(item)
    }

    /// As [`finish`](Self::finish), but who waits gets nothing before it is done.
    pub(super) fn conclude(&mut self, token: Token) -> Result<T, Stale> {
        let held = self.end_lease(token)?;
        self.stats.acknowledged += 1;
        self.settle(token.place, &held.item);
        Ok(held.item)
    }

    /// A leased item is not wanted. When it has been tried as often as it may, it is dead whatever the verdict, unless that
    /// is that it was not tried.
    pub(crate) fn reject(
        &mut self,
        token: Token,
        verdict: Verdict,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Result<(), Stale> {
        self.advance(now_ms, effects);
        self.turn_down(token, verdict, now_ms, effects)?;
        self.balance(now_ms, effects);
        Ok(())
    }

    /// As [`reject`](Self::reject), but who waits gets nothing before it is done.
    pub(super) fn turn_down(
        &mut self,
        token: Token,
        verdict: Verdict,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Result<(), Stale> {
        let held = self.end_lease(token)?;
        match verdict {
            Verdict::Dead => self.bury(token.place, held, Cause::Rejected, effects),
            Verdict::Retry => self.retry(token.place, held, None, now_ms, effects),
            Verdict::RetryIn(ms) => self.retry(token.place, held, Some(ms), now_ms, effects),
            Verdict::Untried => self.undo(token.place, held, now_ms, effects),
        }
        Ok(())
    }

    /// A lease ends at another time. One that is as long as a session stays so.
    pub(crate) fn extend(
        &mut self,
        token: Token,
        until: i64,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) -> Result<(), Stale> {
        self.advance(now_ms, effects);
        if let Term::Until(at) = self.leases.check(token)?
            && let Some(lease) = self.leases.held.get_mut(&token.place)
        {
            lease.term = Term::Until(until);
            self.timers.remove(&(at, token.place));
            self.timers.insert((until, token.place));
        }
        Ok(())
    }

    /// A lease has come to its end, and nothing was said.
    pub(super) fn lease_over(&mut self, place: Place, now_ms: i64, effects: &mut Effects<T>) {
        if let Some(lease) = self.leases.remove(place) {
            self.stats.leases_over += 1;
            self.retry(place, lease.held, None, now_ms, effects);
        }
    }

    pub(super) fn leases_over(
        &mut self,
        session: SessionId,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) {
        for place in self.leases.of_session(session) {
            self.lease_over(place, now_ms, effects);
        }
    }

    fn end_lease(&mut self, token: Token) -> Result<Held<T>, Stale> {
        if let Term::Until(at) = self.leases.check(token)? {
            self.timers.remove(&(at, token.place));
        }
        let lease = self.leases.remove(token.place).ok_or(Stale)?;
        Ok(lease.held)
    }

    /// An item that was tried goes back to its place after a while, or has been tried often enough.
    fn retry(
        &mut self,
        place: Place,
        held: Held<T>,
        delay: Option<i64>,
        now_ms: i64,
        effects: &mut Effects<T>,
    ) {
        let most = self.config.max_attempts;
        if most > 0 && held.attempts >= most {
            return self.bury(place, held, Cause::TooManyAttempts, effects);
        }
        let delay = delay.unwrap_or_else(|| self.config.backoff(held.attempts));
        let not_before = match delay {
            ..=0 => 0,
            delay => now_ms.saturating_add(delay),
        };
        if let Some(store) = self.store.as_mut().filter(|_| held.item.durable()) {
            store.change(place.seq(), held.attempts, not_before);
        }
        self.stats.requeued += 1;
        self.put(place, held, not_before, now_ms, effects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text_and_any_other_text_is_stale() {
        let token = Token {
            place: Place::new(0, 77),
            fence: u64::MAX,
        };
        assert_eq!(token.to_string().parse(), Ok(token));
        for text in ["", "-", "1", "1-", "-1", "g-1", "1-10000000000000000"] {
            assert_eq!(text.parse::<Token>(), Err(Stale), "{text}");
        }
    }
}

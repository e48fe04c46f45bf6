//! Those who wait, in the order they came, to be found by their id and by their session as well.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{SessionId, Waiter, WaiterId};

/// A line of waiters, each of which brings a `P`. Every operation costs O(log n) for each waiter that it removes.
pub(super) struct Line<P> {
    places: BTreeMap<u64, (Waiter, P)>,
    by_id: HashMap<WaiterId, u64>,
    by_session: BTreeSet<(SessionId, u64)>,
    next: u64,
}

impl<P> Line<P> {
    pub(super) fn new() -> Self {
        Self {
            places: BTreeMap::new(),
            by_id: HashMap::new(),
            by_session: BTreeSet::new(),
            next: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds a waiter at the end. Its id is not in the line yet.
    pub(super) fn push(&mut self, waiter: Waiter, brings: P) {
        let place = self.next;
        self.next += 1;
        let twice = self.by_id.insert(waiter.id, place);
        debug_assert_eq!(twice, None, "waiter {} waits already", waiter.id);
        self.by_session.insert((waiter.session, place));
        self.places.insert(place, (waiter, brings));
    }

    pub(super) fn front(&self) -> Option<&P> {
        self.places.first_key_value().map(|(_, (_, brings))| brings)
    }

    pub(super) fn pop(&mut self) -> Option<(Waiter, P)> {
        let (&place, _) = self.places.first_key_value()?;
        self.leave(place)
    }

    pub(super) fn remove(&mut self, id: WaiterId) -> Option<P> {
        let &place = self.by_id.get(&id)?;
        self.leave(place).map(|(_, brings)| brings)
    }

    /// Removes the waiters of a session, in their order.
    pub(super) fn remove_session(&mut self, session: SessionId) -> Vec<(WaiterId, P)> {
        let places = self.by_session.range((session, 0)..=(session, u64::MAX));
        let places: Vec<u64> = places.map(|&(_, place)| place).collect();
        let left = places.into_iter().filter_map(|place| self.leave(place));
        left.map(|(waiter, brings)| (waiter.id, brings)).collect()
    }

    /// Removes everybody, in their order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (Waiter, P)> + use<P> {
        self.by_id.clear();
        self.by_session.clear();
        std::mem::take(&mut self.places).into_values()
    }

    fn leave(&mut self, place: u64) -> Option<(Waiter, P)> {
        let (waiter, brings) = self.places.remove(&place)?;
        self.by_id.remove(&waiter.id);
        self.by_session.remove(&(waiter.session, place));
        Some((waiter, brings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line<char> {
        let mut line = Line::new();
        for (id, session, brings) in [(5, 1, 'a'), (3, 2, 'b'), (4, 1, 'c'), (9, 3, 'd')] {
            line.push(Waiter { id, session }, brings);
        }
        line
    }

    #[test]
    fn whoever_is_next_is_the_first_who_came() {
        let mut line = line();
        assert_eq!(line.front(), Some(&'a'));
        let order = std::iter::from_fn(|| line.pop()).map(|(waiter, brings)| (waiter.id, brings));
        assert!(order.eq([(5, 'a'), (3, 'b'), (4, 'c'), (9, 'd')]));
    }

    #[test]
    fn a_session_leaves_with_all_its_waiters() {
        let mut line = line();
        assert_eq!(line.remove_session(1), [(5, 'a'), (4, 'c')]);
        assert_eq!(line.remove_session(1), []);
        assert_eq!(line.len(), 2);
    }

    #[test]
    fn whoever_leaves_in_whatever_way_is_forgotten() {
        let mut line = line();
        line.pop();
        assert_eq!(line.remove(3), Some('b'));
        assert_eq!(line.remove(3), None);
        line.remove_session(1);
        assert_eq!(line.by_id.len(), 1);
        assert_eq!(line.by_session.len(), 1);
        assert_eq!(line.drain().count(), 1);
        assert!(line.is_empty() && line.by_id.is_empty() && line.by_session.is_empty());
    }
}

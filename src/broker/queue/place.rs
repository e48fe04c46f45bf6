//! Where an item stands: by its priority, and among equals by its number.

use std::collections::BTreeMap;

/// How many priorities there are; the highest is one less.
pub(crate) const PRIORITIES: u8 = 10;

/// Bits of an item's number, which is enough for a billion items a second for 36 years.
const BITS: u32 = 60;

/// A place in a queue. What is served first is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place(u64);

impl Place {
    pub(super) const LAST_SEQ: u64 = (1 << BITS) - 1;

    pub(super) fn new(priority: u8, seq: u64) -> Self {
        let level = u64::from((PRIORITIES - 1).saturating_sub(priority));
        Self(level << BITS | seq.min(Self::LAST_SEQ))
    }

    pub(super) fn seq(self) -> u64 {
        self.0 & Self::LAST_SEQ
    }

    /// 0 is that of the highest priority.
    pub(super) fn level(self) -> u64 {
        self.0 >> BITS
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    fn start_of(level: u64) -> Self {
        Self(level << BITS)
    }
}

/// The lowest number at any level.
pub(super) fn oldest<V>(places: &BTreeMap<Place, V>) -> Option<Place> {
    let mut oldest = None;
    let mut next = places.first_key_value();
    while let Some((&place, _)) = next {
        oldest = oldest.into_iter().chain([place]).min_by_key(|at| at.seq());
        next = places.range(Place::start_of(place.level() + 1)..).next();
    }
    oldest
}

/// The lowest number at the last level.
pub(super) fn oldest_of_last<V>(places: &BTreeMap<Place, V>) -> Option<Place> {
    let (last, _) = places.last_key_value()?;
    let level = places.range(Place::start_of(last.level())..).next();
    level.map(|(&place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_priorities_come_first_and_lower_numbers_among_equals() {
        let mut places: Vec<_> = [(0, 1), (9, 7), (4, 3), (9, 2), (200, 5)]
            .map(|(priority, seq)| Place::new(priority, seq))
            .into();
        places.sort();
        let order: Vec<_> = places.iter().map(|at| (at.level(), at.seq())).collect();
        assert_eq!(order, [(0, 2), (0, 5), (0, 7), (5, 3), (9, 1)]);
    }

    #[test]
    fn the_oldest_is_found_at_whichever_level_it_is() {
        let at = |places: &[(u8, u64)]| -> BTreeMap<Place, ()> {
            let places = places.iter();
            places.map(|&(p, seq)| (Place::new(p, seq), ())).collect()
        };
        let some = at(&[(9, 4), (5, 2), (5, 6), (0, 3), (0, 8)]);
        assert_eq!(oldest(&some), Some(Place::new(5, 2)));
        assert_eq!(oldest_of_last(&some), Some(Place::new(0, 3)));
        assert_eq!(oldest(&at(&[])), None);
        assert_eq!(oldest_of_last(&at(&[])), None);
    }
}

//! The numbers of outstanding requests and surveys.

use super::{CtxId, IdMap};

/// Gives out numbers with the high bit set, each unique while it is in use, and remembers whose they are.
pub(crate) struct OutstandingIds {
    next: u32,
    owners: IdMap<u32, CtxId>,
}

/// Marks the last word of a backtrace, which is what these numbers become.
const HIGH_BIT: u32 = 0x8000_0000;

impl OutstandingIds {
    /// Numbers start from `seed`, so that a restarted program does not take late answers for its own.
    pub(crate) fn new(seed: u32) -> Self {
        Self {
            next: seed | HIGH_BIT,
            owners: IdMap::default(),
        }
    }

    pub(crate) fn allocate(&mut self, owner: CtxId) -> u32 {
        while self.owners.contains_key(&self.next) {
            self.advance();
        }
        let id = self.next;
        self.owners.insert(id, owner);
        self.advance();
        id
    }

    pub(crate) fn release(&mut self, id: u32) {
        self.owners.remove(&id);
    }

    pub(crate) fn owner(&self, id: u32) -> Option<CtxId> {
        self.owners.get(&id).copied()
    }

    /// Sorts numbers in use by age, the oldest first, across the wrap too.
    pub(crate) fn age_key(&self, id: u32) -> u32 {
        id.wrapping_sub(self.next) & !HIGH_BIT
    }

    fn advance(&mut self) {
        self.next = self.next.wrapping_add(1) | HIGH_BIT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_and_keep_the_high_bit() {
        let mut ids = OutstandingIds::new(0x7fff_fffe);
        let given: Vec<u32> = (0..3).map(|_| ids.allocate(CtxId::SOCKET)).collect();
        assert_eq!(given, [0xffff_fffe, 0xffff_ffff, 0x8000_0000]);
        assert!(given.is_sorted_by_key(|&id| ids.age_key(id)));
    }

    #[test]
    fn numbers_in_use_are_not_given_out_again() {
        let mut ids = OutstandingIds::new(0);
        ids.allocate(CtxId(1));
        ids.next = HIGH_BIT;
        assert_eq!(ids.allocate(CtxId(2)), 0x8000_0001);
        ids.release(0x8000_0000);
        assert_eq!(ids.owner(0x8000_0000), None);
        assert_eq!(ids.owner(0x8000_0001), Some(CtxId(2)));
    }
}

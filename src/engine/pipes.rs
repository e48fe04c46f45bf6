//! A socket's pipes, found by number.

use std::cell::Cell;

use super::pipe::PipeSlot;
use crate::message::PipeId;

/// Pipes in the order of their numbers, which is the order they came in but for the wrap-around of numbers.
///
/// Most look-ups are for the pipe of the one before, or in a fan-out for the one behind it, and are answered without a
/// search.
#[derive(Default)]
pub(super) struct Pipes {
    slots: Vec<(PipeId, Box<PipeSlot>)>,
    last: Cell<usize>,
}

impl Pipes {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn contains(&self, id: PipeId) -> bool {
        self.find(id).is_some()
    }

    #[inline]
    pub(super) fn get(&self, id: PipeId) -> Option<&PipeSlot> {
        Some(&self.slots.get(self.find(id)?)?.1)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: PipeId) -> Option<&mut PipeSlot> {
        let at = self.find(id)?;
        Some(&mut self.slots.get_mut(at)?.1)
    }

    pub(super) fn insert(&mut self, id: PipeId, slot: PipeSlot) {
        let at = self.slots.partition_point(|(other, _)| *other < id);
        self.slots.insert(at, (id, Box::new(slot)));
    }

    pub(super) fn remove(&mut self, id: PipeId) -> Option<PipeSlot> {
        let at = self.find(id)?;
        Some(*self.slots.remove(at).1)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = PipeId> {
        self.slots.iter().map(|(id, _)| *id)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &PipeSlot> + Clone {
        self.slots.iter().map(|(_, slot)| &**slot)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PipeId, &PipeSlot)> {
        self.slots.iter().map(|(id, slot)| (*id, &**slot))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PipeId, &mut PipeSlot)> {
        self.slots.iter_mut().map(|(id, slot)| (*id, &mut **slot))
    }

    #[inline]
    fn find(&self, id: PipeId) -> Option<usize> {
        let last = self.last.get();
        let is_at = |at: usize| self.slots.get(at).is_some_and(|(found, _)| *found == id);
        if is_at(last) {
            return Some(last);
        }
        if is_at(last + 1) {
            self.last.set(last + 1);
            return Some(last + 1);
        }
        let at = self.slots.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.last.set(at);
        Some(at)
    }
}

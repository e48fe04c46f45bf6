//! Operations that wait, in the order they came.

use std::task::Waker;

use crate::protocols::{CtxId, OpId};

/// The waiting operations of one kind. Woken ones leave the list; an operation that still finds nothing comes back
/// to its old place, because the list is kept in the order of operation numbers.
#[derive(Default)]
pub(super) struct Waiters(Vec<(OpId, CtxId, Waker)>);

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an operation, or renews its waker.
    pub(super) fn add(&mut self, op: OpId, ctx: CtxId, waker: &Waker) {
        match self.0.binary_search_by_key(&op.0, |(op, ..)| op.0) {
            Ok(index) => self.0[index].2.clone_from(waker),
            Err(index) => self.0.insert(index, (op, ctx, waker.clone())),
        }
    }

    /// Removes an operation. `false` says that it had been woken, so that its wake-up has to be passed on.
    pub(super) fn remove(&mut self, op: OpId) -> bool {
        self.0
            .binary_search_by_key(&op.0, |(op, ..)| op.0)
            .map(|index| self.0.remove(index))
            .is_ok()
    }

    /// Takes the oldest operation of a context.
    pub(super) fn take_one(&mut self, ctx: CtxId) -> Option<Waker> {
        let index = self.0.iter().position(|(_, of, _)| *of == ctx)?;
        Some(self.0.remove(index).2)
    }

    /// Takes all operations of a context.
    pub(super) fn take_all(&mut self, ctx: CtxId, into: &mut Vec<Waker>) {
        self.0.retain(|(_, of, waker)| {
            let other = *of != ctx;
            if !other {
                into.push(waker.clone());
            }
            other
        });
    }

    /// Takes every operation.
    pub(super) fn drain(&mut self, into: &mut Vec<Waker>) {
        into.extend(self.0.drain(..).map(|(_, _, waker)| waker));
    }
}

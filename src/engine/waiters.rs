//! Operations that wait, in the order they came.

use std::task::Waker;

use crate::protocols::{CtxId, IdMap, OpId};

/// The waiting operations of one kind, by context. Woken ones leave the list; an operation that still finds nothing
/// comes back to its old place, because each list is kept in the order of operation numbers.
#[derive(Default)]
pub(super) struct Waiters {
    by_context: IdMap<CtxId, Vec<(OpId, Waker)>>,
    count: usize,
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an operation, or renews its waker. What is returned is to be dropped without the socket's lock: it may
    /// be the last thing that holds a task, and the task may use the socket.
    #[must_use = "a waker is not to be dropped under the lock"]
    pub(super) fn add(&mut self, op: OpId, ctx: CtxId, waker: &Waker) -> Option<Waker> {
        let list = self.by_context.entry(ctx).or_default();
        match find(list, op) {
            Ok(at) if list[at].1.will_wake(waker) => None,
            Ok(at) => Some(std::mem::replace(&mut list[at].1, waker.clone())),
            Err(at) => {
                list.insert(at, (op, waker.clone()));
                self.count += 1;
                None
            }
        }
    }

    /// Removes an operation. `None` says that it had been woken, so that its wake-up has to be passed on. The waker
    /// is to be dropped as by [`add`](Self::add).
    #[must_use = "a waker is not to be dropped under the lock"]
    pub(super) fn remove(&mut self, op: OpId, ctx: CtxId) -> Option<Waker> {
        let list = self.by_context.get_mut(&ctx)?;
        let at = find(list, op).ok()?;
        self.count -= 1;
        Some(list.remove(at).1)
    }

    /// Takes the oldest operation of a context.
    pub(super) fn take_one(&mut self, ctx: CtxId) -> Option<Waker> {
        if self.count == 0 {
            return None;
        }
        let list = self
            .by_context
            .get_mut(&ctx)
            .filter(|list| !list.is_empty())?;
        self.count -= 1;
        Some(list.remove(0).1)
    }

    /// Takes all operations of a context.
    pub(super) fn take_all(&mut self, ctx: CtxId, into: &mut Vec<Waker>) {
        if let Some(list) = self.by_context.get_mut(&ctx) {
            self.count -= list.len();
            into.extend(list.drain(..).map(|(_, waker)| waker));
        }
    }

    /// Takes all operations of a context that is closed.
    pub(super) fn forget(&mut self, ctx: CtxId, into: &mut Vec<Waker>) {
        self.take_all(ctx, into);
        self.by_context.remove(&ctx);
    }

    /// Takes every operation.
    pub(super) fn drain(&mut self, into: &mut Vec<Waker>) {
        self.count = 0;
        into.extend(
            self.by_context
                .drain()
                .flat_map(|(_, list)| list)
                .map(|(_, waker)| waker),
        );
    }
}

fn find(list: &[(OpId, Waker)], op: OpId) -> Result<usize, usize> {
    list.binary_search_by_key(&op.0, |(op, _)| op.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), Waker::from(count))
    }

    const HERE: CtxId = CtxId(1);
    const THERE: CtxId = CtxId(2);

    #[test]
    fn the_oldest_operation_of_a_context_is_taken_first_whenever_it_was_added() {
        let mut waiters = Waiters::default();
        let (old, new) = (waker(), waker());
        let _ = waiters.add(OpId(7), HERE, &new.1);
        let _ = waiters.add(OpId(3), HERE, &old.1);
        let _ = waiters.add(OpId(1), THERE, &new.1);
        waiters.take_one(HERE).unwrap().wake();
        assert_eq!(
            (
                old.0.0.load(Ordering::SeqCst),
                new.0.0.load(Ordering::SeqCst)
            ),
            (1, 0)
        );
    }

    #[test]
    fn removing_says_whether_the_operation_still_waited() {
        let mut waiters = Waiters::default();
        let _ = waiters.add(OpId(1), HERE, &waker().1);
        let _ = waiters.add(OpId(2), HERE, &waker().1);
        assert!(waiters.take_one(HERE).is_some());
        assert!(waiters.remove(OpId(1), HERE).is_none());
        assert!(waiters.remove(OpId(2), HERE).is_some());
        assert!(waiters.is_empty());
    }

    #[test]
    fn adding_again_renews_the_waker_and_counts_once() {
        let mut waiters = Waiters::default();
        let (old, new) = (waker(), waker());
        let _ = waiters.add(OpId(1), HERE, &old.1);
        let _ = waiters.add(OpId(1), HERE, &new.1);
        let mut woken = Vec::new();
        waiters.drain(&mut woken);
        assert_eq!(woken.len(), 1);
        woken.remove(0).wake();
        assert_eq!(new.0.0.load(Ordering::SeqCst), 1);
        assert!(waiters.is_empty());
    }

    #[test]
    fn taking_all_of_a_context_leaves_the_others() {
        let mut waiters = Waiters::default();
        for op in 1..4 {
            let _ = waiters.add(OpId(op), HERE, &waker().1);
        }
        let _ = waiters.add(OpId(9), THERE, &waker().1);
        let mut woken = Vec::new();
        waiters.forget(HERE, &mut woken);
        assert_eq!(woken.len(), 3);
        assert!(waiters.take_one(HERE).is_none());
        assert!(waiters.take_one(THERE).is_some());
        assert!(waiters.is_empty());
    }
}

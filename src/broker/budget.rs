//! How many bytes of messages a broker holds at once, over all queues, calls and clients.
//!
//! What is to be held is charged first, and the charge lives as long as what it is for: nothing has to be given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a message takes besides its bytes: its fields, and its place in a queue. Measured with small ones.
pub(super) const AROUND: usize = 500;

/// A budget; a clone is the same one.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    limit: usize,
    held: AtomicUsize,
    refused: AtomicU64,
}

/// Bytes that are held, until this is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Account {
            limit,
            held: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// Charges a message of so many bytes; `None`, and counted, if that would be too much.
    pub(super) fn charge(&self, bytes: usize) -> Option<Charge> {
        let charge = self.take(bytes);
        // Others may have taken theirs meanwhile: then both may be refused, but it is never too much.
        if self.held() <= self.0.limit {
            return Some(charge);
        }
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Charges what has to be held in any case.
    pub(super) fn take(&self, bytes: usize) -> Charge {
        let bytes = bytes.saturating_add(AROUND);
        self.0.held.fetch_add(bytes, Ordering::Relaxed);
        Charge {
            account: self.0.clone(),
            bytes,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// How often there was no room.
    pub(super) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_makes_room() {
        let budget = Budget::new(3 * (100 + AROUND));
        let mut held: Vec<_> = (0..3).map(|_| budget.charge(100).unwrap()).collect();
        assert_eq!(budget.held(), 3 * (100 + AROUND));
        assert!(budget.charge(0).is_none());
        assert_eq!(budget.refused(), 1);
        assert_eq!(budget.held(), 3 * (100 + AROUND), "nothing is left of it");
        let forced = budget.take(1000);
        held.pop();
        assert!(budget.charge(100).is_none(), "what was forced counts");
        drop(forced);
        assert!(budget.charge(100).is_some());
        held.clear();
        assert_eq!(budget.held(), 0);
    }
}

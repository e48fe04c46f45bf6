//! Things to do later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Something a timer is set for.
pub(crate) trait Timed: Send + Sync {
    /// The time has come.
    fn fire(self: Arc<Self>);
}

/// Names a timer that was set, to cancel it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    pub(super) at: Instant,
    number: u64,
}

/// All timers, soonest first.
#[derive(Default)]
pub(super) struct Timers {
    set: BTreeMap<TimerKey, Arc<dyn Timed>>,
    next: u64,
}

impl Timers {
    /// Sets a timer; the second value says whether it is now the soonest.
    pub(super) fn insert(&mut self, at: Instant, what: Arc<dyn Timed>) -> (TimerKey, bool) {
        self.next += 1;
        let key = TimerKey {
            at,
            number: self.next,
        };
        let soonest = self.soonest().is_none_or(|first| at < first);
        self.set.insert(key, what);
        (key, soonest)
    }

    pub(super) fn remove(&mut self, key: TimerKey) -> Option<Arc<dyn Timed>> {
        self.set.remove(&key)
    }

    pub(super) fn soonest(&self) -> Option<Instant> {
        self.set.first_key_value().map(|(key, _)| key.at)
    }

    /// Takes one timer whose time has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Arc<dyn Timed>> {
        let first = self.set.first_entry()?;
        (first.key().at <= now).then(|| first.remove())
    }
}

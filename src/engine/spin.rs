//! Looking for a message for a moment before sleeping, as long as that has lately paid.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use super::core::Core;
use super::pipe::PipeSlot;
use crate::transports::Connection;

/// Score up to which successes are remembered.
const BEST: i32 = 16;
/// While spinning does not pay, one wait in this many still tries it.
const PROBE: u32 = 32;
/// Receives in a row that found nothing at first, before they no longer look.
const MISSES: u32 = 4;
/// Sockets with more pipes look for messages through the poller.
pub(super) const DIRECT_PIPES: usize = 4;
/// Rounds to wait before messages are fetched that a sender in this process has: fetching several at a time costs
/// both sides less.
const LEISURE: u32 = 32;
/// Attempts between two looks at the clock.
const ATTEMPTS: u32 = 4;

/// Threads of the process that spin now.
static SPINNING: AtomicU32 = AtomicU32::new(0);
/// Waits of all threads of the process that are over.
static WAITS: AtomicU32 = AtomicU32::new(0);
/// Waits of other threads between two of a socket's that say that the processors are needed for them.
const CROWD: u32 = 4;

/// Takes note that a thread has slept and goes on.
pub(super) fn note_wait() {
    WAITS.fetch_add(1, Ordering::Relaxed);
}

/// A socket's record of how well spinning has paid.
pub(super) struct Spin {
    budget: AtomicU64,
    score: AtomicI32,
    skipped: AtomicU32,
    /// [`WAITS`] when it was last looked at.
    waits: AtomicU32,
    /// Whether other threads needed the processors then.
    crowded: AtomicBool,
    /// Receives in a row that found nothing when they began.
    misses: AtomicU32,
}

impl Spin {
    pub(super) fn new(budget: Duration) -> Self {
        let spin = Self {
            budget: AtomicU64::new(0),
            score: AtomicI32::new(BEST / 2),
            skipped: AtomicU32::new(0),
            waits: AtomicU32::new(0),
            crowded: AtomicBool::new(false),
            misses: AtomicU32::new(0),
        };
        spin.set_budget(budget);
        spin
    }

    pub(super) fn set_budget(&self, budget: Duration) {
        let budget = if processors() > 1 {
            budget
        } else {
            Duration::ZERO
        };
        self.budget.store(
            u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// How long to spin now, if at all. `serves_many` tells whether the socket has many pipes: if other threads need the
    /// processors, only such a socket spins, and lets them run.
    fn budget(&self, serves_many: impl FnOnce() -> bool) -> Option<Duration> {
        let budget = self.budget.load(Ordering::Relaxed);
        if budget == 0 {
            return None;
        }
        let waits = WAITS.load(Ordering::Relaxed);
        let others = waits.wrapping_sub(self.waits.swap(waits, Ordering::Relaxed));
        let crowded = others > CROWD;
        self.crowded.store(crowded, Ordering::Relaxed);
        if crowded && !serves_many() {
            return None;
        }
        if self.score.load(Ordering::Relaxed) <= 0
            && !self
                .skipped
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(PROBE)
        {
            return None;
        }
        Some(Duration::from_nanos(budget))
    }

    /// Whether a receive is likely to find nothing when it begins, and to sleep at once: asking the kernel before it is
    /// told of something would be in vain.
    pub(super) fn expects_to_sleep(&self) -> bool {
        let misses = self.misses.load(Ordering::Relaxed);
        misses >= MISSES
            && !misses.is_multiple_of(PROBE)
            && (self.budget.load(Ordering::Relaxed) == 0 || self.crowded.load(Ordering::Relaxed))
    }

    /// Takes note of whether a receive found a message when it began.
    #[inline]
    pub(super) fn found(&self, found: bool) {
        let misses = self.misses.load(Ordering::Relaxed);
        // Writing only what changes keeps the line shared between threads.
        if !found {
            self.misses.store(misses.wrapping_add(1), Ordering::Relaxed);
        } else if misses != 0 {
            self.misses.store(0, Ordering::Relaxed);
        }
    }

    fn learn(&self, paid: bool) {
        let score = self.score.load(Ordering::Relaxed);
        let next = if paid {
            (score + 2).min(BEST)
        } else {
            (score - 1).max(0)
        };
        self.score.store(next, Ordering::Relaxed);
    }
}

impl Core {
    /// Repeats `attempt` until it gives something, for as long as spinning is allowed to last.
    pub(super) fn spin<T>(
        &self,
        deadline: Option<Instant>,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let budget = self.spin.budget(|| self.serves_many())?;
        let crowded = self.spin.crowded.load(Ordering::Relaxed);
        let _spinner = Spinner::admit()?;
        let start = Instant::now();
        let until = start.checked_add(budget)?;
        let until = deadline.map_or(until, |deadline| until.min(deadline));
        loop {
            for _ in 0..ATTEMPTS {
                self.look_around();
                if let Some(found) = attempt() {
                    self.spin.learn(true);
                    return Some(found);
                }
                if crowded {
                    // Those who need the processor are likely to be who is waited for.
                    thread::yield_now();
                }
            }
            if Instant::now() >= until {
                self.spin.learn(false);
                return None;
            }
        }
    }

    /// Begins to look on behalf of a task that has found nothing, if that is likely to pay: the task is polled again at
    /// once, as long as the look lasts. In process there is nothing to look for, because whoever sends tells of it.
    #[cold]
    pub(super) fn begin_look(&self) -> Option<Look> {
        let may_come = |pipe: &PipeSlot| pipe.connection.fd().is_some();
        if !self.lock().world.pipes.values().any(may_come) {
            return None;
        }
        Look::admit(self.spin.budget(|| false)?)
    }

    /// Whether sleeping would make many peers wait for this thread to be woken.
    fn serves_many(&self) -> bool {
        self.lock().world.pipes.len() > DIRECT_PIPES
    }

    /// Whether a look goes on that has found nothing so far. After one that does not, the task depends on whoever
    /// watches the poller.
    pub(super) fn goes_on(&self, look: &Look) -> bool {
        let goes_on = Instant::now() < look.until;
        if !goes_on {
            self.spin.learn(false);
            self.reactor.call();
        }
        goes_on
    }

    /// A look has found something.
    pub(super) fn paid(&self) {
        self.spin.learn(true);
    }

    /// Lets events in that an attempt would not see by itself.
    pub(super) fn look_around(&self) {
        let state = self.lock();
        let direct = state.world.pipes.len() <= DIRECT_PIPES;
        let pipes = state.world.pipes.values();
        let silent = pipes.clone().all(|pipe| pipe.connection.fd().is_none());
        let arrivals: Option<Arc<dyn Connection>> = pipes
            .filter(|_| silent)
            .map(|pipe| pipe.connection.clone())
            .next();
        drop(state);
        if silent {
            // What arrives in process counts as a change; asking the kernel would tell nothing.
            let seen = self.changes.load(Ordering::Acquire);
            for round in 0..64 {
                if self.changes.load(Ordering::Acquire) != seen {
                    return;
                }
                if round >= LEISURE && arrivals.iter().any(|pipe| pipe.has_arrivals()) {
                    return;
                }
                std::hint::spin_loop();
            }
        } else if !direct || self.reactor.has_parked() {
            self.reactor.poll_once();
        }
    }
}

/// A task that looks for a message, for how long, and its right to do so, which as many tasks have as there are
/// processors. The right ends by itself, because a task may be left alone while it has it.
pub(super) struct Look {
    place: &'static AtomicU64,
    /// The end, in nanoseconds since the first look: what the place has while it is taken.
    stamp: u64,
    until: Instant,
}

impl Look {
    fn admit(budget: Duration) -> Option<Self> {
        /// When each place is free again.
        static PLACES: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        let now = Instant::now();
        let until = now.checked_add(budget)?;
        let beginning = *BEGINNING.get_or_init(|| now);
        let nanos = |at: Instant| {
            let since = at.saturating_duration_since(beginning);
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        };
        let (now, stamp) = (nanos(now), nanos(until));
        let places = PLACES.iter().take(processors() as usize); // a small number
        let place = places.into_iter().find(|place| {
            let taken = place.load(Ordering::Relaxed);
            taken <= now
                && place
                    .compare_exchange(taken, stamp, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
        });
        Some(Self {
            place: place?,
            stamp,
            until,
        })
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        // Another may have the place by now.
        let _ = self
            .place
            .compare_exchange(self.stamp, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The right to spin, which only as many threads have as there are processors.
struct Spinner;

impl Spinner {
    fn admit() -> Option<Self> {
        if SPINNING.fetch_add(1, Ordering::Relaxed) < processors() {
            return Some(Self);
        }
        SPINNING.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        SPINNING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn processors() -> u32 {
    static PROCESSORS: OnceLock<u32> = OnceLock::new();
    *PROCESSORS.get_or_init(|| {
        thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1))
    })
}

//! The thread that leads while no other does.

use std::mem;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::{Reactor, lock};

/// How often the background thread looks at the poller while it expects another leader. While others go on, and nobody
/// depends on it, it looks less and less often, down to every [`LONGEST_TICK`]: on a machine with few processors it takes
/// one from a thread that works.
const TICK: Duration = Duration::from_micros(250);
pub(super) const LONGEST_TICK: Duration = Duration::from_millis(2);
/// Ticks without another leader after which the background thread leads.
const PATIENCE: u32 = 4;

/// Somebody who depends on the background thread.
pub(in crate::engine) struct Dependent(&'static Reactor);

impl Drop for Dependent {
    fn drop(&mut self) {
        self.0.dependents.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Reactor {
    // ---- what others want of it ----

    /// Has the background thread lead at once, if it waits for others to do so: a task that looked for itself depends on
    /// it now.
    pub(in crate::engine) fn call(&self) {
        if self.ticking.load(Ordering::SeqCst)
            && !self.called.swap(true, Ordering::SeqCst)
            && let Some(thread) = self.background.get()
        {
            thread.unpark();
        }
    }

    /// As [`call`](Self::call), and if the background thread leads, it does not leave that to others the next time: a
    /// thread that runs tasks is about to sleep.
    #[cfg(feature = "broker")]
    pub(crate) fn rely(&self) {
        self.relied_on.store(true, Ordering::SeqCst);
        self.call();
    }

    /// Says that somebody waits for events without a thread that would look for them, as long as what is returned lives.
    pub(in crate::engine) fn depend(&'static self) -> Dependent {
        self.dependents.fetch_add(1, Ordering::SeqCst);
        self.depended.store(true, Ordering::SeqCst);
        self.hasten();
        Dependent(self)
    }

    /// Ends a longer tick: there is something that it would be too late for.
    pub(super) fn hasten(&self) {
        if self.resting.load(Ordering::SeqCst)
            && self.resting.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.background.get()
        {
            thread.unpark();
        }
    }

    /// Whether nothing is waited for that a longer tick would be too late for.
    fn may_rest(&self) -> bool {
        !self.depended.load(Ordering::SeqCst)
            && self.dependents.load(Ordering::SeqCst) == 0
            && self.parked.load(Ordering::SeqCst) == 0
            && !self.has_batching.load(Ordering::SeqCst)
    }

    // ---- what it does ----

    pub(super) fn run(&self) {
        // Ticks and held-back output want finer timing than the default of 50 us. Without it all is only later.
        #[cfg(target_os = "linux")]
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(10_000));
        loop {
            self.lead_until_wanted();
            self.ticking.store(true, Ordering::SeqCst);
            if !self.relied_on.swap(false, Ordering::SeqCst) {
                self.tick_until_idle();
            }
            self.ticking.store(false, Ordering::SeqCst);
            self.called.store(false, Ordering::SeqCst);
        }
    }

    /// Leads until other threads show that they would rather do so, or read for themselves.
    fn lead_until_wanted(&self) {
        let mut lead = lock(&self.lead);
        let turns = self.turns.load(Ordering::Relaxed);
        self.wanted.store(false, Ordering::Relaxed);
        while !self.wanted.load(Ordering::Relaxed) && self.turns.load(Ordering::Relaxed) == turns {
            self.turn(&mut lead, None, None);
        }
    }

    /// Returns when no other thread has led for a while.
    fn tick_until_idle(&self) {
        let mut turns = self.turns.load(Ordering::Relaxed);
        let (mut without, mut within) = (0, 0);
        let mut tick = TICK;
        while without < PATIENCE {
            self.resting.store(tick > TICK, Ordering::SeqCst);
            if tick > TICK && !self.may_rest() {
                tick = TICK;
            }
            thread::park_timeout(self.until_timer(tick));
            self.resting.store(false, Ordering::SeqCst);
            if self.called.load(Ordering::SeqCst) {
                return;
            }
            let now = self.turns.load(Ordering::Relaxed);
            let others = mem::replace(&mut turns, now) != now;
            tick = if others && self.may_rest() {
                LONGEST_TICK.min(tick * 2)
            } else {
                TICK
            };
            self.depended.store(false, Ordering::SeqCst);
            if let Some(mut lead) = self.try_lead() {
                self.wanted.store(false, Ordering::Relaxed);
                self.turn(&mut lead, Some(Instant::now()), None);
                drop(lead);
                if self.wanted.load(Ordering::Relaxed) {
                    // A thread found the lead taken and parked: nobody else would look at the poller for it.
                    return;
                }
                without = if others { 0 } else { without + 1 };
                within = 0;
            } else {
                // The same thread has led throughout the tick if no turn has ended.
                within = if others { 0 } else { within + 1 };
                without = 0;
            }
            if within >= PATIENCE {
                within = 0;
                self.sleep_while_led();
            }
        }
    }

    /// How long a tick is if it ends when a timer is due.
    fn until_timer(&self, tick: Duration) -> Duration {
        let now = Instant::now();
        let soonest = lock(&self.timers).soonest().filter(|at| *at > now);
        soonest.map_or(tick, |at| tick.min(at - now))
    }

    /// Parks until the thread that leads stops doing so.
    fn sleep_while_led(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        if self.try_lead().is_some() {
            self.asleep.store(false, Ordering::SeqCst);
        }
        while self.asleep.load(Ordering::SeqCst) {
            thread::park();
        }
    }
}

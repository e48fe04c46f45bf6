//! How a thread waits: a waker that unparks it, or interrupts the poll it is in.

use std::cell::Cell;
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;
use std::task::{Wake, Waker};
use std::time::Instant;

use super::reactor::Reactor;
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{self, Thread};
#[cfg(target_os = "linux")]
use crate::sys::poller::{Awaited, Bell, wait_for_few};

const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;
const PARKED: u32 = 2;
const POLLING: u32 = 3;
const ATTENDING: u32 = 4;

/// One thread's place to wait. Waking it costs a system call only if the thread is asleep.
pub(crate) struct Parker {
    state: AtomicU32,
    thread: Thread,
    /// Made when it is first needed.
    #[cfg(target_os = "linux")]
    bell: OnceLock<Bell>,
}

sync::thread_local! {
    static HERE: (Arc<Parker>, Waker) = {
        let parker = Arc::new(Parker {
            state: AtomicU32::new(EMPTY),
            thread: sync::current(),
            #[cfg(target_os = "linux")]
            bell: OnceLock::new(),
        });
        (parker.clone(), Waker::from(parker))
    };
    /// Parked threads that this thread has woken.
    static UNPARKED: Cell<u64> = const { Cell::new(0) };
}

/// Runs `f` with this thread's parker and a waker for it.
pub(crate) fn with_parker<R>(f: impl FnOnce(&Arc<Parker>, &Waker) -> R) -> R {
    HERE.with(|(parker, waker)| f(parker, waker))
}

/// Blocks this thread until `ready` gives a value or the deadline passes. `ready` is called with a waker for the thread,
/// which it leaves where the wake-up will come from; `sleep` waits, and may return early.
pub(crate) fn block_until<T>(
    deadline: Option<Instant>,
    mut sleep: impl FnMut(&Parker, Option<Instant>),
    mut ready: impl FnMut(&Waker) -> Option<T>,
) -> Result<T> {
    with_parker(|parker, waker| {
        loop {
            parker.reset();
            if let Some(value) = ready(waker) {
                return Ok(value);
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Err(Error::TimedOut);
            }
            sleep(parker, deadline);
        }
    })
}

/// How many parked threads this thread has woken so far.
pub(super) fn unparked() -> u64 {
    UNPARKED.with(Cell::get)
}

impl Parker {
    /// Forgets a wake-up that came before the wait it is meant for.
    pub(crate) fn reset(&self) {
        self.state.store(EMPTY, Ordering::SeqCst);
    }

    /// Whether a wake-up has come since the last reset.
    pub(crate) fn is_notified(&self) -> bool {
        self.state.load(Ordering::SeqCst) == NOTIFIED
    }

    /// Says that this thread is about to poll. Fails when it was woken already.
    pub(super) fn begin_polling(&self) -> bool {
        self.change(EMPTY, POLLING)
    }

    /// Says that the poll is over: what wakes this thread now needs no system call.
    pub(super) fn end_polling(&self) {
        self.change(POLLING, EMPTY);
    }

    /// Sleeps until woken or the deadline.
    pub(super) fn park(&self, deadline: Option<Instant>) {
        if !self.change(EMPTY, PARKED) {
            return;
        }
        while self.state.load(Ordering::SeqCst) == PARKED {
            match deadline {
                None => sync::park(),
                Some(deadline) => {
                    let now = Instant::now();
                    if now >= deadline {
                        self.change(PARKED, EMPTY);
                        return;
                    }
                    sync::park_timeout(deadline - now);
                }
            }
        }
    }

    /// Sleeps until one of the descriptors is ready, the thread is woken, or the deadline. Returns whether it could.
    #[cfg(target_os = "linux")]
    pub(super) fn wait_for(&self, few: &mut [Awaited<'_>], deadline: Option<Instant>) -> bool {
        if self.bell.get().is_none() {
            let Ok(bell) = Bell::new() else { return false };
            let _ = self.bell.set(bell);
        }
        let Some(bell) = self.bell.get() else {
            return false;
        };
        if !self.change(EMPTY, ATTENDING) {
            return true;
        }
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let waited = wait_for_few(few, bell, left);
        self.change(ATTENDING, EMPTY);
        waited.is_ok()
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match self.state.swap(NOTIFIED, Ordering::SeqCst) {
            PARKED => {
                UNPARKED.with(|count| count.set(count.get() + 1));
                self.thread.unpark();
            }
            POLLING => Reactor::interrupt(),
            #[cfg(target_os = "linux")]
            ATTENDING => {
                if let Some(bell) = self.bell.get() {
                    bell.ring();
                }
            }
            _ => {}
        }
    }
}

#[cfg(all(test, not(wirebird_loom)))]
mod tests {
    use super::*;

    #[test]
    fn waking_a_thread_that_does_not_sleep_unparks_nobody() {
        with_parker(|parker, waker| {
            let before = unparked();
            waker.wake_by_ref();
            parker.park(None);
            parker.reset();
            parker.park(Some(Instant::now()));
            waker.wake_by_ref();
            assert!(parker.is_notified());
            assert_eq!(unparked(), before);
        });
    }
}

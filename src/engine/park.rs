//! How a thread waits: a waker that unparks it, or interrupts the poll it leads.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use super::reactor::Reactor;

const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;
const PARKED: u32 = 2;
const POLLING: u32 = 3;

/// One thread's place to wait. Waking it costs a system call only if the thread is asleep.
pub(crate) struct Parker {
    state: AtomicU32,
    thread: Thread,
}

thread_local! {
    static HERE: (Arc<Parker>, Waker) = {
        let parker = Arc::new(Parker { state: AtomicU32::new(EMPTY), thread: thread::current() });
        (parker.clone(), Waker::from(parker))
    };
    /// Parked threads that this thread has woken.
    static UNPARKED: Cell<u64> = const { Cell::new(0) };
}

/// Runs `f` with this thread's parker and a waker for it.
pub(crate) fn with_parker<R>(f: impl FnOnce(&Arc<Parker>, &Waker) -> R) -> R {
    HERE.with(|(parker, waker)| f(parker, waker))
}

/// How many parked threads this thread has woken so far.
pub(super) fn unparked() -> u64 {
    UNPARKED.get()
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
                None => thread::park(),
                Some(deadline) => {
                    let now = Instant::now();
                    if now >= deadline {
                        self.change(PARKED, EMPTY);
                        return;
                    }
                    thread::park_timeout(deadline - now);
                }
            }
        }
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
                UNPARKED.set(UNPARKED.get() + 1);
                self.thread.unpark();
            }
            POLLING => Reactor::interrupt(),
            _ => {}
        }
    }
}

//! Stands in for the reactor: there are no descriptors, no timer fires, and leading is waiting to be interrupted.
//!
//! One thread leads and the others park, as with the real one. There is no background thread, because nothing comes
//! that it could tell of.

use std::sync::Arc;
use std::time::Instant;

use rustix::fd::BorrowedFd;

use super::lock;
use super::park::Parker;
use super::timers::{Timed, TimerKey, Timers};
use crate::error::Result;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, Token};
use crate::sys::poller::Event;

pub(crate) trait Source: Send + Sync {
    fn ready(self: Arc<Self>, event: Event) -> bool;
}

pub(crate) trait Batching: Send + Sync {
    fn flush_batches(&self) -> bool;
}

#[derive(Default)]
pub(crate) struct Reactor {
    led: AtomicBool,
    timers: Mutex<Timers>,
    notified: Token,
}

loom::lazy_static! {
    static ref REACTOR: &'static Reactor = Box::leak(Box::default());
}

impl Reactor {
    /// One for each run of a model.
    pub(crate) fn start() -> Result<&'static Self> {
        Ok(*REACTOR)
    }

    pub(super) fn interrupt() {
        REACTOR.notified.give();
    }

    pub(crate) fn wait(&self, parker: &Parker, _: Option<Instant>) {
        // In loom's mutexes a try may wait.
        if self.led.swap(true, Ordering::SeqCst) {
            return parker.park(None);
        }
        while !parker.is_notified() {
            if parker.begin_polling() {
                self.notified.take();
                parker.end_polling();
            }
        }
        self.led.store(false, Ordering::SeqCst);
    }

    pub(super) fn has_parked(&self) -> bool {
        false
    }

    pub(crate) fn poll_once(&self) -> bool {
        false
    }

    pub(super) fn note_read(&self) {}

    pub(super) fn call(&self) {}

    pub(crate) fn add(&self, _: BorrowedFd<'_>, _: Arc<dyn Source>, _: bool) -> Result<usize> {
        unreachable!("models have no descriptors")
    }

    pub(crate) fn modify(&self, _: BorrowedFd<'_>, _: usize, _: bool) -> Result<()> {
        unreachable!("models have no descriptors")
    }

    pub(crate) fn remove(&self, _: BorrowedFd<'_>, _: usize) {
        unreachable!("models have no descriptors")
    }

    pub(crate) fn set_timer(&self, at: Instant, what: Arc<dyn Timed>) -> TimerKey {
        lock(&self.timers).insert(at, what).0
    }

    pub(crate) fn cancel_timer(&self, key: TimerKey) {
        let timer = lock(&self.timers).remove(key);
        drop(timer);
    }

    pub(crate) fn flush_later(&self, _: Arc<dyn Batching>) {
        unreachable!("in process nothing is batched by time")
    }
}

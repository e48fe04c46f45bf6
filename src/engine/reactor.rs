//! The event loop of the process, run by whoever has nothing better to do.
//!
//! One poller serves every socket. Polling it and handling what it reports is called *leading*, and one thread
//! leads at a time. A thread that blocks in a socket call leads if nobody does, so that what it waits for reaches
//! it with no other thread in between. If somebody else leads, it parks until it is woken.
//!
//! One background thread makes sure that there is always a leader in the end:
//!
//! - *leading* while no other thread does;
//! - *ticking* for a little while after another thread gave up leading, because that thread is likely to be back
//!   at once: it looks at the poller at short intervals, longer ones while others go on and nobody depends on it, and
//!   leads again when it was the only one for a few of them, or when a thread parked during such a look;
//! - *parked* while another thread leads for long.
//!
//! So an idle process has exactly one thread in the poller, without a time-out, and no wake-ups.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rustix::fd::BorrowedFd;

use super::core::after;
use super::lock;
use super::park::{self, Parker};
use super::timers::{Timed, TimerKey, Timers};
use crate::error::Result;
use crate::message::pool;
use crate::sys::poller::{Event, Events, Poller};

mod background;

pub(super) use self::background::Dependent;
use self::background::LONGEST_TICK;

/// How long output that was held back to be batched may wait for more, unless flushing takes so long that it would
/// then be done most of the time.
const FLUSH_EVERY: Duration = Duration::from_micros(100);
/// How many times as long as flushing took nothing is flushed.
const FLUSH_PAUSE: u32 = 3;

/// How long sources that had left work over are called again before the poller is looked at.
const TURN: Duration = Duration::from_micros(500);

/// Something that is told of events on a descriptor.
pub(crate) trait Source: Send + Sync {
    /// Something happened. Must not block. Returns whether it left work over that it wants to be called for again.
    fn ready(self: Arc<Self>, event: Event) -> bool;
}

/// Something that holds back output to batch it.
pub(crate) trait Batching: Send + Sync {
    /// Writes out what was held back. Returns whether more is likely to come soon.
    fn flush_batches(&self) -> bool;
}

/// The event loop.
pub(crate) struct Reactor {
    poller: Poller,
    sources: Mutex<Sources>,
    timers: Mutex<Timers>,
    batching: Mutex<Vec<Arc<dyn Batching>>>,
    /// Whether `batching` has entries.
    has_batching: AtomicBool,
    lead: Mutex<Lead>,
    /// Turns led by threads other than the background one, and reads they did by themselves.
    turns: AtomicU64,
    /// Threads that are parked, and need somebody to look at the poller for them.
    parked: AtomicUsize,
    /// A thread parked while the background thread led, and would rather have led.
    wanted: AtomicBool,
    /// The background thread is parked.
    asleep: AtomicBool,
    /// The background thread ticks.
    ticking: AtomicBool,
    /// It waits for a tick that is longer than the shortest.
    resting: AtomicBool,
    /// A thread sleeps that needs somebody to lead.
    relied_on: AtomicBool,
    /// It is to lead at once.
    called: AtomicBool,
    /// Who waits for events without a thread that would look for them, and whether somebody has since the last tick.
    dependents: AtomicUsize,
    depended: AtomicBool,
    background: OnceLock<Thread>,
}

/// Sources that left work over, and what they were told.
type Again = VecDeque<(usize, Event)>;

/// What only the leader uses.
#[derive(Default)]
struct Lead {
    events: Events,
    again: Again,
    /// When held-back output is flushed next.
    next_flush: Option<Instant>,
}

/// Gives back memory of messages that nobody wants.
struct Sweep;

impl Sweep {
    fn later() {
        if let (Some(reactor), Some(at)) = (REACTOR.get(), after(pool::SWEEP_EVERY)) {
            reactor.set_timer(at, Arc::new(Self));
        }
    }
}

impl Timed for Sweep {
    fn fire(self: Arc<Self>) {
        if pool::sweep() {
            Self::later();
        }
    }
}

/// Sources by key. A key is an index and, above it, a count of how often the index was used, so that an event for
/// a source that is gone never reaches its successor.
#[derive(Default)]
struct Sources {
    slots: Vec<(u32, Option<Arc<dyn Source>>)>,
    free: Vec<u32>,
}

static REACTOR: OnceLock<Reactor> = OnceLock::new();

impl Reactor {
    /// The reactor of this process, started at the first call.
    ///
    /// # Errors
    ///
    /// What the system says when it has no descriptors or threads left.
    pub(crate) fn start() -> Result<&'static Self> {
        static STARTING: Mutex<()> = Mutex::new(());
        if let Some(reactor) = REACTOR.get() {
            return Ok(reactor);
        }
        let _only_one = lock(&STARTING);
        if let Some(reactor) = REACTOR.get() {
            return Ok(reactor);
        }
        let fresh = Self::new()?;
        let reactor = REACTOR.get_or_init(|| fresh);
        let thread = thread::Builder::new()
            .name("wirebird-io".into())
            .spawn(|| {
                if let Some(reactor) = REACTOR.get() {
                    reactor.run();
                }
            })?;
        let _ = reactor.background.set(thread.thread().clone());
        pool::watch_with(Sweep::later);
        Ok(reactor)
    }

    /// One that nobody leads yet.
    fn new() -> Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            sources: Mutex::default(),
            timers: Mutex::default(),
            batching: Mutex::default(),
            has_batching: AtomicBool::new(false),
            lead: Mutex::default(),
            turns: AtomicU64::new(0),
            parked: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            ticking: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            relied_on: AtomicBool::new(false),
            called: AtomicBool::new(false),
            dependents: AtomicUsize::new(0),
            depended: AtomicBool::new(false),
            background: OnceLock::new(),
        })
    }

    /// Ends the poll of whoever leads.
    pub(super) fn interrupt() {
        if let Some(reactor) = REACTOR.get() {
            reactor.poller.notify();
        }
    }

    // ---- sources ----

    /// Watches a descriptor. The source is told of what is ready already, too.
    pub(crate) fn add(
        &self,
        fd: BorrowedFd<'_>,
        source: Arc<dyn Source>,
        writable: bool,
    ) -> Result<usize> {
        let key = lock(&self.sources).insert(source);
        if let Err(error) = self.poller.add(fd, key, writable) {
            lock(&self.sources).remove(key);
            return Err(error.into());
        }
        Ok(key)
    }

    /// Changes whether room to write is reported.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, key: usize, writable: bool) -> Result<()> {
        Ok(self.poller.modify(fd, key, writable)?)
    }

    /// Stops watching a descriptor.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>, key: usize) {
        // A descriptor that is not there, or already closed, is not watched either.
        let _ = self.poller.delete(fd);
        let source = lock(&self.sources).remove(key);
        drop(source);
    }

    // ---- timers ----

    /// Calls `what` at a time.
    pub(crate) fn set_timer(&self, at: Instant, what: Arc<dyn Timed>) -> TimerKey {
        let (key, soonest) = lock(&self.timers).insert(at, what);
        if soonest {
            self.poller.notify();
            if at.saturating_duration_since(Instant::now()) < LONGEST_TICK {
                self.hasten();
            }
        }
        key
    }

    /// Cancels a timer that has not fired.
    pub(crate) fn cancel_timer(&self, key: TimerKey) {
        let timer = lock(&self.timers).remove(key);
        drop(timer);
    }

    // ---- batches ----

    /// Flushes `who` from time to time, until it says that nothing more is coming.
    pub(crate) fn flush_later(&self, who: Arc<dyn Batching>) {
        lock(&self.batching).push(who);
        if !self.has_batching.swap(true, Ordering::SeqCst) {
            self.poller.notify();
            self.hasten();
        }
    }

    fn flush_batches(&self) {
        let mut active = mem::take(&mut *lock(&self.batching));
        active.retain(|who| who.flush_batches());
        let mut batching = lock(&self.batching);
        batching.append(&mut active);
        self.has_batching
            .store(!batching.is_empty(), Ordering::SeqCst);
    }

    // ---- leading ----

    /// Waits until `parker` is notified or the deadline passes; leads meanwhile if nobody does. May return early.
    pub(crate) fn wait(&self, parker: &Parker, deadline: Option<Instant>) {
        if let Some(mut lead) = self.try_lead() {
            while !parker.is_notified() && deadline.is_none_or(|at| Instant::now() < at) {
                let unparked = park::unparked();
                self.turn(&mut lead, deadline, Some(parker));
                if park::unparked() != unparked && !parker.is_notified() {
                    // Somebody else's message came: that thread is the one to lead now.
                    break;
                }
            }
            self.release(lead);
            if parker.is_notified() {
                return;
            }
        } else {
            self.wanted.store(true, Ordering::Relaxed);
        }
        self.parked.fetch_add(1, Ordering::SeqCst);
        self.hasten();
        parker.park(deadline);
        self.parked.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a thread that spins should look at the poller too, on behalf of those that are parked.
    pub(super) fn has_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed) > 0
    }

    /// Looks at the poller without waiting, if nobody leads. Returns whether it could.
    pub(crate) fn poll_once(&self) -> bool {
        let Some(mut lead) = self.try_lead() else {
            return false;
        };
        self.turn(&mut lead, Some(Instant::now()), None);
        self.release(lead);
        true
    }

    /// Stops leading. The background thread may have gone to sleep because it saw somebody lead.
    fn release(&self, lead: MutexGuard<'_, Lead>) {
        drop(lead);
        self.turns.fetch_add(1, Ordering::Relaxed);
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.background.get()
        {
            thread.unpark();
        }
    }

    /// Takes note that a user's thread has read for itself: it needs nobody to tell it of arrivals.
    pub(super) fn note_read(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    fn try_lead(&self) -> Option<MutexGuard<'_, Lead>> {
        match self.lead.try_lock() {
            Ok(lead) => Some(lead),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// One round: waits for events until the deadline, and handles what came and what is due.
    fn turn(&self, lead: &mut Lead, deadline: Option<Instant>, parker: Option<&Parker>) {
        let timeout = self.timeout(lead, deadline);
        let left = lead.again.len();
        if parker.is_none_or(Parker::begin_polling) {
            let polled = self.poller.wait(&mut lead.events, timeout);
            if let Some(parker) = parker {
                parker.end_polling();
            }
            debug_assert!(polled.is_ok(), "the poller failed: {polled:?}");
            for event in lead.events.iter() {
                self.tell(&mut lead.again, event.key, event);
            }
        }
        if left > 0 {
            self.tell_again(&mut lead.again, left);
        }
        self.fire_timers();
        if self.has_batching.load(Ordering::SeqCst) {
            let now = Instant::now();
            if lead.next_flush.is_none_or(|at| at <= now) {
                self.flush_batches();
                let ended = Instant::now();
                let pause = FLUSH_EVERY.max((ended - now) * FLUSH_PAUSE);
                lead.next_flush = ended.checked_add(pause);
            }
        }
    }

    fn tell(&self, again: &mut Again, key: usize, event: Event) {
        let source = lock(&self.sources).find(key);
        if let Some(source) = source
            && source.ready(event)
        {
            again.push_back((key, event));
        }
    }

    /// Goes on with sources that had left work over, for a while: who has just become ready must not wait for all of them.
    fn tell_again(&self, again: &mut Again, most: usize) {
        let began = Instant::now();
        for _ in 0..most {
            let Some((key, event)) = again.pop_front() else {
                return;
            };
            self.tell(again, key, event);
            if began.elapsed() >= TURN {
                return;
            }
        }
    }

    fn timeout(&self, lead: &Lead, deadline: Option<Instant>) -> Option<Duration> {
        if !lead.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let soonest = lock(&self.timers).soonest();
        let until = [deadline, soonest].into_iter().flatten().min();
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        if self.has_batching.load(Ordering::SeqCst) {
            let flush = lead.next_flush.map_or(Duration::ZERO, |at| {
                at.saturating_duration_since(Instant::now())
            });
            return Some(left.unwrap_or(flush).min(flush));
        }
        left
    }

    fn fire_timers(&self) {
        if lock(&self.timers).soonest().is_none() {
            return;
        }
        let now = Instant::now();
        loop {
            let due = lock(&self.timers).pop_due(now);
            let Some(due) = due else { return };
            due.fire();
        }
    }
}

impl Sources {
    fn insert(&mut self, source: Arc<dyn Source>) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32 // descriptors number far below 2^32
        });
        let slot = &mut self.slots[index as usize];
        slot.0 = slot.0.wrapping_add(1) & 0x7fff_ffff;
        slot.1 = Some(source);
        (slot.0 as usize) << 32 | index as usize
    }

    fn slot(&mut self, key: usize) -> Option<&mut (u32, Option<Arc<dyn Source>>)> {
        let slot = self.slots.get_mut(key & 0xffff_ffff)?;
        (slot.0 as usize == key >> 32).then_some(slot)
    }

    fn find(&mut self, key: usize) -> Option<Arc<dyn Source>> {
        self.slot(key)?.1.clone()
    }

    fn remove(&mut self, key: usize) -> Option<Arc<dyn Source>> {
        let source = self.slot(key)?.1.take();
        if source.is_some() {
            self.free.push((key & 0xffff_ffff) as u32); // masked
        }
        source
    }
}

#[cfg(test)]
mod tests;

//! The log as its users see it: commit, and be told what is kept.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::WalError;
use super::format::MAX_PAYLOAD;
use super::operation::Batch;
use super::options::SyncPolicy;

/// Buffers that are larger are given back.
pub(super) const KEEP: usize = 8 << 20;

/// Stands for a commit. They are numbered in the order in which they were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(super) u64);

/// Whether the log takes anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Running,
    /// There is no space for a further segment, and why. What makes queues longer is to be refused; there is room for
    /// settlements. It ends by itself.
    Full(String),
    /// It has stopped for good, and why.
    Failed(String),
}

/// What the log has done and what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) records: u64,
    /// Bytes written, with headers and what was moved.
    pub(crate) bytes: u64,
    pub(crate) syncs: u64,
    pub(crate) last_sync: Duration,
    pub(crate) longest_sync: Duration,
    /// Segments that are part of the log.
    pub(crate) segments: u64,
    /// Bytes of all its files.
    pub(crate) disk_bytes: u64,
    pub(crate) live_bytes: u64,
    pub(crate) live_items: u64,
    /// Segments that were cleared by moving what was live in them.
    pub(crate) moved_segments: u64,
    /// Segments that could not be read when they were to be cleared. Their files are kept under other names.
    pub(crate) unreadable_segments: u64,
}

/// How the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) state: State,
    pub(crate) sync: SyncPolicy,
    pub(crate) counters: Counters,
    /// Bytes that wait to be written.
    pub(crate) pending_bytes: u64,
}

/// Why nothing was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The operations have so many bytes; 1 GiB is allowed.
    TooLarge(usize),
    /// The log has stopped for good.
    Stopped,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(bytes) => write!(
                f,
                "operations of {bytes} bytes cannot be committed together, {MAX_PAYLOAD} are allowed"
            ),
            Self::Stopped => f.write_str("the log has stopped"),
        }
    }
}

impl std::error::Error for Refused {}

/// A log that is open. Dropping it writes and syncs what was committed.
pub(crate) struct Log {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Log {
    pub(super) fn new(shared: Arc<Shared>, writer: JoinHandle<()>) -> Self {
        Self {
            shared,
            writer: Some(writer),
        }
    }

    /// Adds the operations to what is written next, together as one record. Never waits for the disk, and does not
    /// look at the bounds: [`is_full`](Self::is_full) and [`is_congested`](Self::is_congested) are to be asked before.
    pub(crate) fn commit(&self, batch: &Batch) -> Result<Ticket, Refused> {
        self.shared.commit(batch)
    }

    /// The last commit that counts as kept, and with it all before it.
    pub(crate) fn synced(&self) -> Ticket {
        self.shared.synced()
    }

    /// Waits until a commit counts as kept. Fails if the log stops before.
    pub(crate) fn wait(&self, ticket: Ticket) -> Result<(), WalError> {
        self.shared.wait(ticket)
    }

    /// Whether so much waits to be written that nothing more should be accepted.
    pub(crate) fn is_congested(&self) -> bool {
        self.shared.is_congested()
    }

    /// Whether there is no space for what makes queues longer.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    pub(crate) fn status(&self) -> Status {
        self.shared.status()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take() {
            // It has told its own end.
            let _ = writer.join();
        }
    }
}

/// What the writer and the users of a log share.
pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes who waits for a ticket.
    done: Condvar,
    synced: AtomicU64,
    pending: AtomicU64,
    full: AtomicBool,
    max_pending: u64,
    policy: SyncPolicy,
    told: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Inner {
    group: Group,
    last: u64,
    closing: bool,
    writer_waits: bool,
    /// Who waits for a ticket. To wake nobody is a system call, too.
    waiting: usize,
    state: State,
    counters: Counters,
}

/// What is written next: payloads, each behind its length.
#[derive(Default)]
pub(super) struct Group {
    pub(super) bytes: Vec<u8>,
    /// The last commit in it.
    pub(super) last: Ticket,
}

impl Group {
    pub(super) fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (payload, after) = after.split_at_checked(length)?;
            rest = after;
            Some(payload)
        })
    }
}

/// What the writer is woken for.
pub(super) enum Work {
    Write,
    /// The time is over.
    Tick,
    Close,
}

impl Shared {
    pub(super) fn new(
        policy: SyncPolicy,
        max_pending: usize,
        told: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            inner: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            synced: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            full: AtomicBool::new(false),
            max_pending: max_pending as u64,
            policy,
            told,
        }
    }

    /// What panics under the lock leaves it as it was before or after.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn commit(&self, batch: &Batch) -> Result<Ticket, Refused> {
        let payload = batch.as_bytes();
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if payload.len() > MAX_PAYLOAD {
            return Err(Refused::TooLarge(payload.len()));
        }
        let mut inner = self.lock();
        if inner.closing || matches!(inner.state, State::Failed(_)) {
            return Err(Refused::Stopped);
        }
        inner.last += 1;
        let ticket = Ticket(inner.last);
        inner.group.bytes.extend_from_slice(&length.to_le_bytes());
        inner.group.bytes.extend_from_slice(payload);
        inner.group.last = ticket;
        self.pending
            .fetch_add(payload.len() as u64, Ordering::Relaxed);
        let wake = std::mem::take(&mut inner.writer_waits);
        drop(inner);
        if wake {
            self.work.notify_one();
        }
        Ok(ticket)
    }

    pub(super) fn wait(&self, ticket: Ticket) -> Result<(), WalError> {
        let mut inner = self.lock();
        while self.synced.load(Ordering::Acquire) < ticket.0 {
            if let State::Failed(reason) = &inner.state {
                let reason = reason.clone();
                return Err(WalError::Stopped { reason });
            }
            inner.waiting += 1;
            inner = self
                .done
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
            inner.waiting -= 1;
        }
        Ok(())
    }

    pub(super) fn synced(&self) -> Ticket {
        Ticket(self.synced.load(Ordering::Acquire))
    }

    pub(super) fn status(&self) -> Status {
        let inner = self.lock();
        Status {
            state: inner.state.clone(),
            sync: self.policy,
            counters: inner.counters.clone(),
            pending_bytes: self.pending.load(Ordering::Relaxed),
        }
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    // ---- the writer's side ----

    /// Waits for something to write, for as long as `limit` says, and takes all of it. Gives the group's memory back.
    pub(super) fn next(&self, group: &mut Group, limit: Option<Duration>) -> Work {
        let written = group.payloads().map(|payload| payload.len() as u64).sum();
        self.pending.fetch_sub(written, Ordering::Relaxed);
        group.bytes.clear();
        group.bytes.shrink_to(KEEP);
        let mut inner = self.lock();
        loop {
            if !inner.group.bytes.is_empty() {
                std::mem::swap(&mut inner.group, group);
                return Work::Write;
            }
            if inner.closing {
                return Work::Close;
            }
            inner.writer_waits = true;
            let Some(limit) = limit else {
                inner = self
                    .work
                    .wait(inner)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.work.wait_timeout(inner, limit);
            let (guard, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            inner = guard;
            if waited.timed_out() && inner.group.bytes.is_empty() && !inner.closing {
                inner.writer_waits = false;
                return Work::Tick;
            }
        }
    }

    pub(super) fn is_congested(&self) -> bool {
        self.pending.load(Ordering::Relaxed) > self.max_pending
    }

    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(super) fn is_running(&self) -> bool {
        self.lock().state == State::Running
    }

    /// Waits a while, or until the log is closed. Returns whether it is.
    pub(super) fn pause(&self, limit: Duration) -> bool {
        let inner = self.lock();
        if inner.closing {
            return true;
        }
        let waited = self.work.wait_timeout(inner, limit);
        waited.unwrap_or_else(PoisonError::into_inner).0.closing
    }

    /// What was committed up to `ticket` counts as kept.
    pub(super) fn publish(&self, ticket: Ticket, counters: Counters) {
        let mut inner = self.lock();
        inner.counters = counters;
        self.synced.fetch_max(ticket.0, Ordering::Release);
        self.tell(inner);
    }

    pub(super) fn count(&self, counters: Counters) {
        self.lock().counters = counters;
    }

    pub(super) fn set_state(&self, state: State) {
        let mut inner = self.lock();
        if inner.state == state || matches!(inner.state, State::Failed(_)) {
            return;
        }
        self.full.store(state != State::Running, Ordering::Relaxed);
        inner.state = state;
        self.tell(inner);
    }

    fn tell(&self, inner: MutexGuard<'_, Inner>) {
        let waiting = inner.waiting > 0;
        drop(inner);
        if waiting {
            self.done.notify_all();
        }
        (self.told)();
    }
}

//! What happens to a socket's connections, told to whoever wants to know.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::core::after;
use super::lock;
use super::pipe::PipeInfo;
use super::waiters::Waiters;
use crate::address::Address;
use crate::error::{Error, Result};
use crate::protocols::{CtxId, DropReason, OpId};
use crate::sync::{Condvar, Mutex};

/// Events a monitor holds before it drops the oldest.
const MONITOR_QUEUE: usize = 1024;

/// Something that happened to a socket's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A dialer begins an attempt to connect.
    Dialing {
        /// The dialer's URL.
        url: String,
    },
    /// A pipe was added: it is connected, and messages can be exchanged with its peer.
    Added(Arc<PipeInfo>),
    /// A pipe that had been added is gone.
    Removed {
        /// The pipe.
        pipe: Arc<PipeInfo>,
        /// Why: [`Error::ConnectionShut`] when the peer closed it, [`Error::Closed`] when this side did, else what
        /// the peer or the network did wrong, as [`Error::MessageTooLong`].
        reason: Error,
    },
    /// A dialer has lost its pipe and is going to connect again. Follows [`Removed`](Self::Removed).
    Reconnecting {
        /// The dialer's URL.
        url: String,
        /// After how long.
        retry_in: Duration,
    },
    /// The first message of a pipe was dropped. [`PipeStats`](crate::PipeStats) counts it and those to come.
    Dropping {
        /// The pipe it came from, or was to go to.
        pipe: Arc<PipeInfo>,
        /// Why.
        reason: DropReason,
    },
    /// A connection came about and was turned away, by the pipe filter or because the protocol takes no more
    /// peers.
    Rejected {
        /// What would have been the pipe.
        pipe: Arc<PipeInfo>,
        /// Why.
        reason: Error,
    },
    /// A peer connected to a listener, or came as a descriptor, but its handshake failed, or took too long.
    HandshakeFailed {
        /// The dialer's or listener's URL; empty for a descriptor that was handed over.
        url: String,
        /// The peer's address, as far as known.
        peer: Address,
        /// What was wrong.
        reason: Error,
    },
    /// A dialer's attempt failed: nobody was there, the handshake failed, or the connection was turned away.
    DialFailed {
        /// The dialer's URL.
        url: String,
        /// What was wrong.
        reason: Error,
        /// After how long it will be tried again, if it will.
        retry_in: Option<Duration>,
    },
    /// A listener could not accept a connection, for want of descriptors for instance; it goes on.
    AcceptFailed {
        /// The listener's URL.
        url: String,
        /// What was wrong.
        reason: Error,
    },
}

pub(super) type Filter = dyn Fn(&PipeInfo) -> bool + Send + Sync;
pub(super) type Observer = dyn Fn(&Event) + Send + Sync;

/// Who is asked about, and told of, connections.
#[derive(Default)]
pub(super) struct Observers {
    filter: Mutex<Option<Arc<Filter>>>,
    observer: Mutex<Option<Arc<Observer>>>,
    monitors: Mutex<Monitors>,
}

#[derive(Default)]
struct Monitors {
    queues: Vec<std::sync::Weak<Queue>>,
    closed: bool,
}

impl Observers {
    pub(super) fn set_filter(&self, filter: Arc<Filter>) {
        let old = lock(&self.filter).replace(filter);
        drop(old);
    }

    pub(super) fn set_observer(&self, observer: Arc<Observer>) {
        let old = lock(&self.observer).replace(observer);
        drop(old);
    }

    pub(super) fn monitor(&self) -> Monitor {
        let queue = Arc::new(Queue::default());
        let mut monitors = lock(&self.monitors);
        if monitors.closed {
            queue.close();
        } else {
            monitors.queues.push(Arc::downgrade(&queue));
        }
        drop(monitors);
        Monitor { queue }
    }

    /// Whether the filter lets a peer in.
    pub(super) fn accepts(&self, pipe: &PipeInfo) -> bool {
        let filter = lock(&self.filter).clone();
        filter.is_none_or(|filter| filter(pipe))
    }

    pub(super) fn tell(&self, event: Event) {
        let observer = lock(&self.observer).clone();
        if let Some(observer) = observer {
            observer(&event);
        }
        let mut tasks = Vec::new();
        lock(&self.monitors)
            .queues
            .retain(|monitor| match monitor.upgrade() {
                Some(queue) => {
                    tasks.extend(queue.push(event.clone()));
                    true
                }
                None => false,
            });
        tasks.into_iter().for_each(Waker::wake);
    }

    /// Forgets everybody, and ends the monitors: no event will come any more.
    pub(super) fn clear(&self) {
        let filter = lock(&self.filter).take();
        let observer = lock(&self.observer).take();
        drop((filter, observer));
        let mut monitors = lock(&self.monitors);
        monitors.closed = true;
        let queues = std::mem::take(&mut monitors.queues);
        drop(monitors);
        for queue in queues.into_iter().filter_map(|monitor| monitor.upgrade()) {
            queue.close();
        }
    }
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    events: VecDeque<Event>,
    missed: u64,
    closed: bool,
    /// Tasks that wait, beside the threads that wait for `changed`.
    tasks: Waiters,
    last_op: u64,
}

impl Queue {
    /// Returns whom to wake once no lock is held.
    #[must_use]
    fn push(&self, event: Event) -> Option<Waker> {
        let mut state = lock(&self.state);
        if state.events.len() == MONITOR_QUEUE {
            state.events.pop_front();
            state.missed += 1;
        }
        state.events.push_back(event);
        let task = state.tasks.take_one(CtxId::SOCKET);
        drop(state);
        self.changed.notify_one();
        task
    }

    fn close(&self) {
        let mut tasks = Vec::new();
        let mut state = lock(&self.state);
        state.closed = true;
        state.tasks.drain(&mut tasks);
        drop(state);
        self.changed.notify_all();
        tasks.into_iter().for_each(Waker::wake);
    }
}

impl QueueState {
    /// The next event, or that there will be none.
    fn next(&mut self) -> Option<Result<Event>> {
        match self.events.pop_front() {
            Some(event) => Some(Ok(event)),
            None => self.closed.then_some(Err(Error::Closed)),
        }
    }
}

/// A queue of a socket's [`Event`]s, from the moment it was made. It holds 1024 and then drops the oldest.
pub struct Monitor {
    queue: Arc<Queue>,
}

impl Monitor {
    /// Waits for the next event.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when none came in time, [`Error::Closed`] when the socket is closed and all events have
    /// been taken.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Event> {
        let deadline = after(timeout);
        let mut state = lock(&self.queue.state);
        loop {
            if let Some(next) = state.next() {
                return next;
            }
            let left = deadline.map_or(Duration::MAX, |at| {
                at.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Err(Error::TimedOut);
            }
            state = self
                .queue
                .changed
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    /// The next event, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] when there is none, [`Error::Closed`] as for [`recv_timeout`](Self::recv_timeout).
    pub fn try_recv(&self) -> Result<Event> {
        let next = lock(&self.queue.state).next();
        next.unwrap_or(Err(Error::WouldBlock))
    }

    /// The next event, for async code.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] as for [`recv_timeout`](Self::recv_timeout).
    pub fn recv_async(&self) -> EventFuture<'_> {
        EventFuture {
            queue: &self.queue,
            op: None,
        }
    }

    /// Events that were dropped because nobody took them in time.
    #[must_use]
    pub fn missed(&self) -> u64 {
        lock(&self.queue.state).missed
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("waiting", &lock(&self.queue.state).events.len())
            .finish()
    }
}

/// An event being waited for: what [`Monitor::recv_async`] returns.
///
/// # Cancel safety
///
/// Dropping it loses no event.
#[must_use = "futures do nothing unless they are awaited"]
pub struct EventFuture<'a> {
    queue: &'a Queue,
    op: Option<OpId>,
}

impl Future for EventFuture<'_> {
    type Output = Result<Event>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<Event>> {
        let mut state = lock(&self.queue.state);
        if let Some(next) = state.next() {
            drop(state);
            self.give_up();
            return Poll::Ready(next);
        }
        let op = self.op.unwrap_or_else(|| {
            state.last_op += 1;
            OpId(state.last_op)
        });
        let spent = state.tasks.add(op, CtxId::SOCKET, task.waker());
        drop(state);
        drop(spent);
        self.op = Some(op);
        Poll::Pending
    }
}

impl EventFuture<'_> {
    /// Waits no longer. If this one was woken and there is still an event, another one is.
    fn give_up(&mut self) {
        let Some(op) = self.op.take() else { return };
        let mut state = lock(&self.queue.state);
        let own = state.tasks.remove(op, CtxId::SOCKET);
        let another = (own.is_none() && !state.events.is_empty())
            .then(|| state.tasks.take_one(CtxId::SOCKET))
            .flatten();
        drop(state);
        drop(own);
        if let Some(another) = another {
            another.wake();
        }
    }
}

impl Drop for EventFuture<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl fmt::Debug for EventFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventFuture").finish_non_exhaustive()
    }
}

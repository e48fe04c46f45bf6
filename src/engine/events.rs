//! What happens to a socket's connections, told to whoever wants to know.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::core::after;
use super::lock;
use super::pipe::PipeInfo;
use crate::address::Address;
use crate::error::{Error, Result};

/// Events a monitor holds before it drops the oldest.
const MONITOR_QUEUE: usize = 1024;

/// Something that happened to a socket's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A pipe was added: messages can be exchanged with its peer.
    Added(Arc<PipeInfo>),
    /// A pipe that had been added is gone.
    Removed {
        /// The pipe.
        pipe: Arc<PipeInfo>,
        /// Why: [`Error::ConnectionShut`] when the peer closed it, [`Error::Closed`] when this side did, else what
        /// the peer or the network did wrong.
        reason: Error,
    },
    /// A connection came about and was turned away, by the pipe filter or because the protocol takes no more
    /// peers.
    Rejected {
        /// What would have been the pipe.
        pipe: Arc<PipeInfo>,
        /// Why.
        reason: Error,
    },
    /// A peer connected but its handshake failed, or took too long.
    HandshakeFailed {
        /// The dialer's or listener's URL; empty for a descriptor that was handed over.
        url: String,
        /// The peer's address, as far as known.
        peer: Address,
        /// What was wrong.
        reason: Error,
    },
    /// An attempt to connect failed before there was a peer.
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
            lock(&queue.state).closed = true;
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
        lock(&self.monitors)
            .queues
            .retain(|monitor| match monitor.upgrade() {
                Some(queue) => {
                    queue.push(event.clone());
                    true
                }
                None => false,
            });
    }

    /// Forgets everybody, and ends the monitors: no event will come any more.
    pub(super) fn clear(&self) {
        let filter = lock(&self.filter).take();
        let observer = lock(&self.observer).take();
        drop((filter, observer));
        let mut monitors = lock(&self.monitors);
        monitors.closed = true;
        for queue in monitors
            .queues
            .drain(..)
            .filter_map(|monitor| monitor.upgrade())
        {
            lock(&queue.state).closed = true;
            queue.changed.notify_all();
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
}

impl Queue {
    fn push(&self, event: Event) {
        let mut state = lock(&self.state);
        if state.events.len() == MONITOR_QUEUE {
            state.events.pop_front();
            state.missed += 1;
        }
        state.events.push_back(event);
        drop(state);
        self.changed.notify_one();
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
            if let Some(event) = state.events.pop_front() {
                return Ok(event);
            }
            if state.closed {
                return Err(Error::Closed);
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
        let mut state = lock(&self.queue.state);
        match state.events.pop_front() {
            Some(event) => Ok(event),
            None if state.closed => Err(Error::Closed),
            None => Err(Error::WouldBlock),
        }
    }

    /// Events that were dropped because nobody took them in time.
    #[must_use]
    pub fn missed(&self) -> u64 {
        lock(&self.queue.state).missed
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor")
            .field("waiting", &lock(&self.queue.state).events.len())
            .finish()
    }
}

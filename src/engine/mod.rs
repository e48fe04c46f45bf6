//! The engine: it moves messages between protocol machines and connections.

mod close;
mod core;
mod deadline;
mod dialer;
mod direct;
mod endpoint;
mod events;
mod listener;
#[cfg(all(test, wirebird_loom))]
mod models;
mod operation;
mod output;
mod park;
mod pipe;
mod pipes;
mod pump;
#[cfg(not(wirebird_loom))]
mod reactor;
#[cfg(wirebird_loom)]
#[path = "models/reactor.rs"]
mod reactor;
mod ready;
mod recv;
mod release;
mod removal;
mod send;
mod spin;
mod stats;
mod tally;
mod tick;
mod timers;
#[cfg(feature = "tracing")]
mod trace;
mod waiters;
mod watch;
mod world;

use std::sync::PoisonError;

pub(crate) use self::core::{Core, Patience, Timeouts};
pub(crate) use deadline::Deadline;
pub(crate) use dialer::Dialing;
#[cfg(feature = "broker")]
pub(crate) use dialer::random;
pub use events::{Event, EventFuture, Monitor};
pub(crate) use listener::Listening;
pub(crate) use operation::{Receiving, Sending};
pub use pipe::{PipeInfo, PipeStats};
#[cfg(feature = "broker")]
pub(crate) use reactor::Reactor;
pub use stats::{DropStats, SocketStats};
pub use tally::EndpointStats;

use crate::sync::{Mutex, MutexGuard};

/// Locks a mutex. A panic in another thread while it held the lock does not make this one panic too.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

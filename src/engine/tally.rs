//! What is counted for a dialer or listener.

use super::core::Core;
use super::endpoint::Endpoint;
use super::lock;
use crate::error::Error;
use crate::sync::Mutex;

/// A snapshot of a dialer's or listener's counters. The names are those of nng's statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Its pipes, now.
    pub pipes: usize,
    /// Connections that came about, with a handshake between matching protocols. nng calls it `accept` for listeners.
    /// For a dialer all but the first are reconnects.
    pub connect: u64,
    /// Connections turned away by the pipe filter or the protocol, as a second peer of a pair is.
    pub reject: u64,
    /// Attempts where nobody listened.
    pub refused: u64,
    /// Connections that broke before their handshake was over.
    pub disconnect: u64,
    /// Attempts that were called off.
    pub canceled: u64,
    /// Attempts, or handshakes, that took too long.
    pub timeout: u64,
    /// Handshakes with garbage, or with a protocol that does not match.
    pub proto: u64,
    /// Failures for want of memory.
    pub oom: u64,
    /// Other failures.
    pub other: u64,
}

/// The counters themselves.
#[derive(Default)]
pub(super) struct Tally(Mutex<EndpointStats>);

impl Tally {
    pub(super) fn connected(&self) {
        lock(&self.0).connect += 1;
    }

    pub(super) fn failed(&self, why: &Error) {
        let mut stats = lock(&self.0);
        let counter = match why {
            // Being closed is no failure.
            Error::Closed => return,
            Error::Rejected => &mut stats.reject,
            Error::ConnectionRefused => &mut stats.refused,
            Error::ConnectionReset | Error::ConnectionShut => &mut stats.disconnect,
            Error::Canceled => &mut stats.canceled,
            Error::TimedOut => &mut stats.timeout,
            Error::WrongProtocol { .. } | Error::BadHandshake => &mut stats.proto,
            Error::OutOfMemory => &mut stats.oom,
            _ => &mut stats.other,
        };
        *counter += 1;
    }
}

impl Core {
    /// The counters of one of its endpoints.
    pub(super) fn endpoint_stats(&self, endpoint: &Endpoint) -> EndpointStats {
        let state = self.lock();
        let own = state.world.pipes.values().filter(|pipe| {
            let from = pipe.endpoint.as_ref();
            from.is_some_and(|one| one.is(endpoint))
        });
        let pipes = own.count();
        drop(state);
        EndpointStats {
            pipes,
            ..*lock(&endpoint.tally().0)
        }
    }
}

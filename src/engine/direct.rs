//! Waiting for a socket's own descriptors.
//!
//! A thread that blocks on a socket with few pipes is woken by the kernel itself when something comes, with neither the
//! reactor nor a thread that leads it in between. The reactor still hears of what happens to these pipes, and only
//! takes note of it while a thread attends to them.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::core::Core;
use super::park::{self, Parker};
use super::spin;
use crate::error::Result;
use crate::message::PipeId;
use crate::transports::Connection;

/// What a thread attends to.
type Attended = Vec<(PipeId, Arc<dyn Connection>, bool)>;

impl Core {
    /// Waits until `ready` gives a value or the deadline passes. `ready` is called with a waker for this thread, which
    /// it leaves where a wake-up may come from.
    pub(super) fn block<T>(
        &self,
        deadline: Option<Instant>,
        ready: impl FnMut(&Waker) -> Option<T>,
    ) -> Result<T> {
        let sleep = |parker: &Parker, deadline| {
            if !self.attend(parker, deadline) {
                self.reactor.wait(parker, deadline);
            }
            spin::note_wait();
        };
        park::block_until(deadline, sleep, ready)
    }

    /// Sleeps until something happens to one of the socket's pipes, the thread is woken, or the deadline passes.
    /// Returns whether it could.
    #[cfg(target_os = "linux")]
    fn attend(&self, parker: &Parker, deadline: Option<Instant>) -> bool {
        use crate::sys::poller::{Awaited, FEW};

        let Some(attended) = self.begin_attending() else {
            return false;
        };
        let mut few: Vec<Awaited<'_>> = attended
            .iter()
            .filter_map(|(_, connection, writable)| {
                Some(Awaited {
                    fd: connection.fd()?,
                    writable: *writable,
                    ready: false,
                })
            })
            .collect();
        debug_assert!(few.len() <= FEW);
        let waited = parker.wait_for(&mut few, deadline);
        let ready: Vec<bool> = few.iter().map(|awaited| awaited.ready).collect();
        self.end_attending(attended, &ready, deadline);
        waited
    }

    #[cfg(not(target_os = "linux"))]
    fn attend(&self, _: &Parker, _: Option<Instant>) -> bool {
        false
    }

    /// Makes this thread the one that attends to the socket's pipes, if they are few and nobody else does.
    fn begin_attending(&self) -> Option<Attended> {
        let mut state = self.lock();
        let pipes = &mut state.world.pipes;
        let few = (1..=spin::DIRECT_PIPES).contains(&pipes.len());
        if !few
            || pipes.values().any(|pipe| {
                pipe.connection.fd().is_none()
                    || pipe.attended
                    || pipe.rx.readable
                    || pipe.tx.writing
            })
        {
            return None;
        }
        let attended = pipes.iter_mut().map(|(id, pipe)| {
            pipe.attended = true;
            (id, pipe.connection.clone(), pipe.tx.blocked)
        });
        Some(attended.collect())
    }

    /// Takes note of what happened, and reads for nobody in particular if the time is over.
    fn end_attending(&self, attended: Attended, ready: &[bool], deadline: Option<Instant>) {
        let mut state = self.lock();
        let mut room = Vec::new();
        for ((id, connection, writable), &ready) in attended.into_iter().zip(ready) {
            if let Some(pipe) = state.world.pipes.get_mut(id) {
                pipe.attended = false;
                pipe.rx.readable |= ready;
                if ready && writable {
                    pipe.tx.blocked = false;
                    room.push(id);
                }
            }
            state.world.list_readable(id);
            state.world.put_back(id, connection);
        }
        for id in room {
            state = self.write(state, id, true);
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            state = self.read_noted(state);
        }
        self.finish(state);
    }
}

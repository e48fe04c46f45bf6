//! Closing a socket so that nothing that was accepted is lost.
//!
//! First everything is flushed to the kernel. Then each pipe that has carried something is closed for writing and
//! waits for the peer to close too, which says that the peer has read to the end: a peer that is told of the close
//! before it has read may throw away what is still unread. All of it ends with the linger time.

use std::sync::Arc;
use std::time::Instant;

use super::core::{Core, Phase, after};
use crate::error::{Error, Result};
use crate::message::PipeId;

impl Core {
    /// Closes the socket, waiting at most the linger time. Closing a closed socket does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when the linger time ended before everything was delivered.
    pub(crate) fn close(self: &Arc<Self>) -> Result<()> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Ok(());
        }
        state.phase = Phase::Closing;
        state.world.wake_everyone();
        self.finish(state);
        let deadline = after(self.options().linger);
        let drained = self.drain(deadline);
        self.shut();
        drained
    }

    fn drain(self: &Arc<Self>, deadline: Option<Instant>) -> Result<()> {
        let state = self.push_out(self.lock());
        // With nobody to send to, now or later, there is nothing to wait for.
        let hopeless = state.world.pipes.is_empty() && state.endpoints.is_empty();
        self.finish(state);
        if hopeless {
            return Ok(());
        }
        let flushed = self.wait_for(deadline, |state| state.is_flushed().then_some(Ok(())));
        let mut state = self.lock();
        state.phase = Phase::Finishing;
        let endpoints = std::mem::take(&mut state.endpoints);
        drop(state);
        for endpoint in endpoints {
            endpoint.stop();
        }
        flushed?;
        let mut state = self.lock();
        let mut waiting = Vec::new();
        for (id, pipe) in state.world.pipes.iter_mut() {
            if pipe.stats.tx_msgs > 0 && !pipe.tx.dead {
                // Reading goes on whether the machine wanted more or not, to find the end.
                pipe.rx.held = false;
                pipe.rx.saturated = false;
                waiting.push((id, pipe.connection.clone()));
            }
        }
        drop(state);
        for (id, connection) in &waiting {
            connection.finish();
            self.look_for_end(*id);
        }
        let waiting: Vec<PipeId> = waiting.into_iter().map(|(id, _)| id).collect();
        self.wait_for(deadline, |state| {
            let gone = waiting.iter().all(|id| !state.world.pipes.contains(*id));
            gone.then_some(Ok(()))
        })
    }

    /// Ends everything that is left.
    fn shut(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        let endpoints = std::mem::take(&mut state.endpoints);
        let timer = state.forget_timer();
        let pipes: Vec<PipeId> = state.world.pipes.ids().collect();
        for id in pipes {
            state.world.close(id, Error::Closed);
        }
        state.world.wake_everyone();
        self.finish(state);
        for endpoint in endpoints {
            endpoint.stop();
        }
        if let Some(timer) = timer {
            self.reactor.cancel_timer(timer);
        }
        self.release_observers();
    }
}

//! What connections do from time to time, such as looking whether the peer is still there.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::core::{Core, after};
use super::timers::Timed;
use crate::message::PipeId;

/// The next tick of a pipe.
struct Tick {
    core: Weak<Core>,
    pipe: PipeId,
    every: Duration,
}

impl Core {
    pub(super) fn tick_later(&self, pipe: PipeId, every: Duration) {
        if let Some(at) = after(every) {
            let core = self.me.clone();
            self.reactor
                .set_timer(at, Arc::new(Tick { core, pipe, every }));
        }
    }

    fn tick(&self, id: PipeId, every: Duration) {
        let state = self.lock();
        let Some(pipe) = state.world.pipes.get(id) else {
            return;
        };
        let connection = pipe.connection.clone();
        drop(state);
        let ticked = connection.tick();
        let mut state = self.lock();
        state.world.put_back(id, connection);
        match ticked {
            Ok(()) => {
                state = self.write(state, id, true);
                self.tick_later(id, every);
            }
            Err(error) => state.world.close(id, error),
        }
        self.finish(state);
    }
}

impl Timed for Tick {
    fn fire(self: Arc<Self>) {
        if let Some(core) = self.core.upgrade() {
            core.tick(self.pipe, self.every);
        }
    }
}

//! Giving back the memory that pipes have written from, once they have nothing to write.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::core::{Core, after};
use super::timers::Timed;

/// How long much memory is kept for what may follow.
const REST: Duration = Duration::from_secs(1);

struct Release(Weak<Core>);

impl Core {
    /// Has the memory of pipes that are idle then given back in a while.
    #[cold]
    pub(super) fn release_later(&self) {
        if let Some(at) = after(REST) {
            self.reactor
                .set_timer(at, Arc::new(Release(self.me.clone())));
        }
    }

    fn release_idle(&self) {
        let mut state = self.lock();
        // Whoever is not idle now says so again when it is.
        state.world.releases = false;
        for (_, pipe) in state.world.pipes.iter_mut() {
            if pipe.tx.is_idle() {
                pipe.tx.draining.release();
                pipe.tx.filling.release();
            }
        }
    }
}

impl Timed for Release {
    fn fire(self: Arc<Self>) {
        if let Some(core) = self.0.upgrade() {
            core.release_idle();
        }
    }
}

#[cfg(all(test, not(wirebird_loom)))]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::engine::{Listening, Patience};
    use crate::message::Message;
    use crate::protocols::{CtxId, push::Push};
    use crate::{Pull, SocketOptions};

    #[test]
    fn memory_that_was_written_from_is_kept_for_a_while_and_then_given_back() {
        let core = Core::new(Box::new(Push::new(false)), false, &SocketOptions::default()).unwrap();
        let listener = Listening::new(&core, "tcp://127.0.0.1:0").unwrap();
        listener.start().unwrap();
        let pull = Pull::new().unwrap();
        pull.dial(&listener.url().to_string()).unwrap();
        for _ in 0..100 {
            let mut message = Message::from(vec![7; 4000]);
            core.send(
                CtxId::SOCKET,
                &mut message,
                Patience::Default,
                &core.timeouts,
            )
            .unwrap();
            pull.recv().unwrap();
        }
        // Whether all was written, whether there is memory to give back, and whether that is going to be done.
        let look = || {
            let state = core.lock();
            let idle = state.world.pipes.values().all(|pipe| pipe.tx.is_idle());
            let mut pipes = state.world.pipes.values();
            let large = pipes.any(|pipe| pipe.tx.draining.is_large() || pipe.tx.filling.is_large());
            (idle, large, state.world.releases)
        };
        let until = Instant::now() + Duration::from_secs(10);
        while look() != (true, true, true) {
            assert!(Instant::now() < until, "{:?}", look());
            thread::yield_now();
        }
        core.release_idle();
        assert_eq!(look(), (true, false, false));
        core.close().unwrap();
    }
}

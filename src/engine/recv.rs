//! Receiving: an attempt, and what it takes to wait for the next one to succeed.

use std::task::Waker;

use super::core::{Core, Guard, Patience, Phase, State, Timeouts, after};
use super::world::World;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::protocols::{CtxId, OpId};
use crate::transports::Otherwise;

impl Core {
    /// Receives on a context, into `message`.
    #[inline]
    pub(crate) fn recv(
        &self,
        ctx: CtxId,
        message: &mut Message,
        patience: Patience,
        own: &Timeouts,
    ) -> Result<()> {
        let mut state = self.lock();
        let op = match patience {
            Patience::Try => OpId::TRY,
            _ => state.next_op(),
        };
        // Outcomes go their own ways at once: to merge them first, an error's room is copied for each message.
        match state.take(ctx, op, message) {
            Ok(true) => {
                self.spin.found(true);
                self.finish(state);
                Ok(())
            }
            Ok(false) => self.recv_next(state, ctx, op, message, patience, own),
            Err(error) => {
                self.spin.found(true);
                self.finish(state);
                Err(error)
            }
        }
    }

    /// The rest of a receive that found nothing in memory.
    fn recv_next<'a>(
        &'a self,
        state: Guard<'a>,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
        patience: Patience,
        own: &Timeouts,
    ) -> Result<()> {
        let otherwise = match patience {
            Patience::Try => Otherwise::GivesUp,
            _ if self.spin.expects_to_sleep() => Otherwise::Waits,
            _ => Otherwise::TriesAgain,
        };
        let (state, received) = self.look(state, ctx, op, message, otherwise);
        self.spin.found(!matches!(received, Ok(false)));
        match received {
            Ok(false) => self.recv_slowly(state, ctx, op, message, patience, own),
            outcome => {
                self.finish(state);
                outcome.map(drop)
            }
        }
    }

    /// The rest of a receive that has to wait.
    #[cold]
    fn recv_slowly<'a>(
        &'a self,
        state: Guard<'a>,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
        patience: Patience,
        own: &Timeouts,
    ) -> Result<()> {
        let state = self.release_held(state);
        let spins = !state.machine.waits_for_others();
        self.finish(state);
        let deadline = match patience {
            Patience::Try => return Err(Error::WouldBlock),
            Patience::Default => own.recv().and_then(after),
            Patience::For(timeout) => after(timeout),
        };
        let attempt = || {
            let (state, received) =
                self.recv_now(self.lock(), ctx, op, message, Otherwise::GivesUp);
            self.finish(state);
            done(received)
        };
        if spins && let Some(outcome) = self.spin(deadline, attempt) {
            return outcome;
        }
        let outcome = self.block(deadline, |waker| {
            done(self.poll_recv(ctx, op, message, waker))
        });
        // A task that reads depends on the thread that tells it of arrivals; this one does not.
        self.reactor.note_read();
        outcome.unwrap_or_else(|timed_out| {
            self.cancel_recv(ctx, op);
            Err(timed_out)
        })
    }

    /// One attempt of a receive as a future that looks again at once if there is nothing. Gives it a number at the first.
    pub(crate) fn look_recv(
        &self,
        ctx: CtxId,
        op: &mut OpId,
        message: &mut Message,
    ) -> Result<bool> {
        let mut state = self.lock();
        if *op == OpId::TRY {
            *op = state.next_op();
        }
        // Each outcome goes its own way, as in `recv`.
        match state.take(ctx, *op, message) {
            Ok(true) => {
                self.finish(state);
                Ok(true)
            }
            Ok(false) => {
                let (mut state, received) = self.look(state, ctx, *op, message, Otherwise::GivesUp);
                if let Ok(false) = received {
                    state = self.release_held(state);
                }
                self.finish(state);
                received
            }
            Err(error) => {
                self.finish(state);
                Err(error)
            }
        }
    }

    /// One attempt of a receive that goes on when `waker` is woken. Returns whether `message` was received.
    pub(crate) fn poll_recv(
        &self,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
        waker: &Waker,
    ) -> Result<bool> {
        let (mut state, received) = self.recv_now(self.lock(), ctx, op, message, Otherwise::Waits);
        let World {
            receivers, wakes, ..
        } = &mut state.world;
        let spent = match received {
            Ok(false) => receivers.add(op, ctx, waker),
            // It may have looked without having been woken. Who is done must not take a wake-up from one who waits.
            _ => receivers.remove(op, ctx),
        };
        match received {
            Ok(false) => {}
            // Another one may find something too, and only one was woken.
            Ok(true) => {
                wakes.extend(receivers.take_one(ctx));
                state.world.pass_on();
            }
            // What came while this thread attended to the pipes may be for others.
            Err(_) => state = self.read_noted(state),
        }
        self.finish(state);
        drop(spent);
        received
    }

    /// Gives up a receive that did not complete.
    pub(crate) fn cancel_recv(&self, ctx: CtxId, op: OpId) {
        let mut state = self.lock();
        let State { machine, world, .. } = &mut *state;
        let spent = world.receivers.remove(op, ctx);
        if spent.is_none() {
            world.wakes.extend(world.receivers.take_one(ctx));
        }
        machine.cancel_recv(ctx, op, world);
        self.finish(state);
        drop(spent);
    }

    /// Takes back the waker of a receive that did not complete, and whose caller has gone away. What it waited for is
    /// there for the next one.
    pub(crate) fn release_recv(&self, ctx: CtxId, op: OpId) {
        let mut state = self.lock();
        let State { machine, world, .. } = &mut *state;
        let spent = world.receivers.remove(op, ctx);
        if spent.is_none() {
            world.wakes.extend(world.receivers.take_one(ctx));
        }
        machine.release_recv(ctx, op, world);
        self.finish(state);
        drop(spent);
    }

    /// Tries to receive, reading from the pipes if need be. One that does not wait for events reads even where none
    /// said that there is something.
    #[inline]
    fn recv_now<'a>(
        &'a self,
        mut state: Guard<'a>,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
        otherwise: Otherwise,
    ) -> (Guard<'a>, Result<bool>) {
        match state.take(ctx, op, message) {
            Ok(false) => self.look(state, ctx, op, message, otherwise),
            received => (self.settle(state), received),
        }
    }

    /// Reads from the pipes until there is something to receive.
    fn look<'a>(
        &'a self,
        mut state: Guard<'a>,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
        otherwise: Otherwise,
    ) -> (Guard<'a>, Result<bool>) {
        loop {
            let progress;
            (state, progress) = self.pump_for_receiver(state, otherwise);
            // While this thread read one pipe, another may have delivered from a second and found nobody to wake, or
            // closed the socket.
            match state.take(ctx, op, message) {
                Ok(false) if progress => {}
                Ok(false) => return (state, Ok(false)),
                received => return (self.settle(state), received),
            }
        }
    }
}

impl State {
    /// Receives what is in memory. Returns whether there was something.
    #[inline]
    fn take(&mut self, ctx: CtxId, op: OpId, message: &mut Message) -> Result<bool> {
        self.pull.active = true;
        self.pull.attempts += 1;
        if self.phase != Phase::Open {
            return Err(Error::Closed);
        }
        self.machine.recv(ctx, op, message, &mut self.world)
    }
}

/// What an attempt that says whether it got something means for a wait.
fn done(received: Result<bool>) -> Option<Result<()>> {
    match received {
        Ok(false) => None,
        outcome => Some(outcome.map(drop)),
    }
}

#[cfg(all(test, not(wirebird_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::SocketOptions;
    use crate::message::PipeId;
    use crate::protocols::{Flow, Io, Protocol, ProtocolInfo, info};

    /// Has nothing, and counts how often it was asked.
    struct Working(Arc<AtomicU32>);

    impl Protocol for Working {
        fn info(&self) -> ProtocolInfo {
            info::PULL
        }

        fn add_pipe(&mut self, _: PipeId, _: &mut dyn Io) -> Result<()> {
            Ok(())
        }

        fn remove_pipe(&mut self, _: PipeId, _: &mut dyn Io) {}

        fn writable(&mut self, _: PipeId, _: &mut dyn Io) {}

        fn arrived(&mut self, _: PipeId, _: &mut dyn Io) -> Flow {
            Flow::Taken
        }

        fn recv(&mut self, _: CtxId, _: OpId, _: &mut Message, _: &mut dyn Io) -> Result<bool> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(false)
        }

        fn waits_for_others(&self) -> bool {
            true
        }
    }

    #[test]
    fn nobody_spins_while_other_threads_are_at_work_on_what_came() {
        let asked = Arc::new(AtomicU32::new(0));
        let options = SocketOptions::new().spin(Duration::from_millis(10));
        let core = Core::new(Box::new(Working(asked.clone())), false, &options).unwrap();
        let patience = Patience::For(Duration::from_millis(20));
        let received = core.recv(CtxId::SOCKET, &mut Message::new(), patience, &core.timeouts);
        assert_eq!(received, Err(Error::TimedOut));
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked < 10, "asked {asked} times");
        core.close().unwrap();
    }
}

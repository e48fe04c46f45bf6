//! Sending: an attempt, and what it takes to wait for the next one to succeed.

use std::task::Waker;

use super::core::{Core, Guard, Patience, Phase, State, Timeouts, after};
use super::world::World;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::protocols::{CtxId, OpId, Sent};

impl Core {
    /// Sends on a context. A message that was not accepted is still there afterwards.
    #[inline]
    pub(crate) fn send(
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
        let (state, sent) = self.send_now(state, ctx, op, message);
        match sent {
            Sent::Done => {
                self.finish(state);
                Ok(())
            }
            Sent::Failed(error) => {
                self.finish(state);
                Err(*error)
            }
            Sent::Full if op == OpId::TRY => self.try_again(state, ctx, message),
            Sent::Full => {
                let mut held = Some(std::mem::take(message));
                let sent = self.send_slowly(state, ctx, op, &mut held, patience, own);
                *message = held.unwrap_or_default();
                sent
            }
            Sent::Pending => {
                let mut held = None;
                let sent = self.send_slowly(state, ctx, op, &mut held, patience, own);
                *message = held.unwrap_or_default();
                sent
            }
        }
    }

    /// A try looks at the kernel's buffers itself before it says that they are full.
    #[cold]
    fn try_again<'a>(&'a self, state: Guard<'a>, ctx: CtxId, message: &mut Message) -> Result<()> {
        let state = self.relieve(state);
        let (state, sent) = self.send_now(state, ctx, OpId::TRY, message);
        self.finish(state);
        match sent {
            Sent::Done | Sent::Pending => Ok(()),
            Sent::Full => Err(Error::WouldBlock),
            Sent::Failed(error) => Err(*error),
        }
    }

    /// The rest of a send that has to wait. `held` is the message while the machine has not taken it.
    #[cold]
    fn send_slowly<'a>(
        &'a self,
        state: Guard<'a>,
        ctx: CtxId,
        op: OpId,
        held: &mut Option<Message>,
        patience: Patience,
        own: &Timeouts,
    ) -> Result<()> {
        let has_pipes = !state.world.pipes.is_empty();
        let state = self.relieve(state);
        self.finish(state);
        let deadline = match patience {
            Patience::For(timeout) => after(timeout),
            Patience::Default | Patience::Try => own.send().and_then(after),
        };
        if has_pipes {
            let spun = self.spin(deadline, || {
                let state = self.relieve(self.lock());
                let (state, outcome) = self.send_again(state, ctx, op, held);
                self.finish(state);
                outcome
            });
            if let Some(outcome) = spun {
                return outcome;
            }
        }
        let outcome = self.block(deadline, |waker| self.poll_send(ctx, op, held, waker));
        outcome.unwrap_or_else(|error| {
            if self.cancel_send(ctx, op, held) {
                Ok(())
            } else {
                Err(error)
            }
        })
    }

    /// The first attempt of a send as a future, which gets its number. If it has to wait, `waker` is woken.
    pub(crate) fn begin_send(
        &self,
        ctx: CtxId,
        op: &mut OpId,
        message: &mut Message,
        waker: &Waker,
    ) -> Sent {
        let mut state = self.settle(self.lock());
        *op = state.next_op();
        let (mut state, sent) = self.send_now(state, ctx, *op, message);
        if let Sent::Full | Sent::Pending = sent {
            // A new number: there is no waker before it.
            let _ = state.world.senders.add(*op, ctx, waker);
        }
        self.finish(state);
        sent
    }

    /// One attempt of a send that goes on when `waker` is woken. `held` is the message while the machine has not
    /// taken it, and again if it gives it back.
    pub(crate) fn poll_send(
        &self,
        ctx: CtxId,
        op: OpId,
        held: &mut Option<Message>,
        waker: &Waker,
    ) -> Option<Result<()>> {
        // What came while this thread attended to the pipes may be what the machine waits for.
        let state = self.read_noted(self.lock());
        // Nothing is left to be settled after the attempt: the lock is held until the waker is where it belongs.
        let state = self.settle(state);
        let (mut state, outcome) = self.send_again(state, ctx, op, held);
        let World { senders, wakes, .. } = &mut state.world;
        let spent = match outcome {
            None => senders.add(op, ctx, waker),
            // As for a receive.
            Some(_) => senders.remove(op, ctx),
        };
        if let Some(Ok(())) = outcome {
            // Another one may find room too, and only one was woken.
            wakes.extend(senders.take_one(ctx));
        }
        self.finish(state);
        drop(spent);
        outcome
    }

    /// Gives up a send that did not complete. Returns whether it was accepted after all; else the message is in
    /// `held`.
    pub(crate) fn cancel_send(&self, ctx: CtxId, op: OpId, held: &mut Option<Message>) -> bool {
        let mut state = self.lock();
        let State { machine, world, .. } = &mut *state;
        let spent = world.senders.remove(op, ctx);
        if spent.is_none() {
            world.wakes.extend(world.senders.take_one(ctx));
        }
        let kept = machine.cancel_send(ctx, op, world);
        if held.is_none() {
            *held = kept;
        }
        self.finish(state);
        drop(spent);
        held.is_none()
    }

    #[inline]
    fn send_now<'a>(
        &'a self,
        mut state: Guard<'a>,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
    ) -> (Guard<'a>, Sent) {
        if state.phase != Phase::Open {
            return (state, Sent::failed(Error::Closed));
        }
        let State { machine, world, .. } = &mut *state;
        let sent = machine.send(ctx, op, message, world);
        (self.settle(state), sent)
    }

    /// Goes on with a send: hands the message in again, or asks what became of it.
    fn send_again<'a>(
        &'a self,
        mut state: Guard<'a>,
        ctx: CtxId,
        op: OpId,
        held: &mut Option<Message>,
    ) -> (Guard<'a>, Option<Result<()>>) {
        if let Some(message) = held {
            let (state, sent) = self.send_now(state, ctx, op, message);
            if matches!(sent, Sent::Done | Sent::Pending) {
                *held = None;
            }
            let outcome = match sent {
                Sent::Done => Some(Ok(())),
                Sent::Full | Sent::Pending => None,
                Sent::Failed(error) => Some(Err(*error)),
            };
            return (state, outcome);
        }
        let open = state.phase == Phase::Open;
        let State { machine, world, .. } = &mut *state;
        let outcome = match machine.poll_send(ctx, op) {
            None if open => None,
            None => {
                *held = machine.cancel_send(ctx, op, world);
                Some(Err(Error::Closed))
            }
            Some(Ok(())) => Some(Ok(())),
            Some(Err((error, message))) => {
                *held = Some(message);
                Some(Err(error))
            }
        };
        (state, outcome)
    }
}

//! Writing: what the machine has put into the pipes' batches goes to the connections.
//!
//! As for reading, the socket's lock is given up for the system call; `writing` keeps other threads out meanwhile.

use std::mem;
use std::time::Instant;

use super::core::{Core, Guard, State};
use super::pipe::PipeSlot;
use super::reactor::Batching;
use super::spin::DIRECT_PIPES;
use super::world::World;
use crate::error::{Error, Result};
use crate::message::PipeId;
use crate::wire::Batch;

impl Core {
    /// Writes what a pipe has to send, or leaves it to be batched, unless `now`.
    pub(super) fn write<'a>(
        &'a self,
        mut state: Guard<'a>,
        id: PipeId,
        mut now: bool,
    ) -> Guard<'a> {
        loop {
            let world = &mut state.world;
            let count = world.pipes.len();
            let Some(pipe) = world.pipes.get_mut(id) else {
                return state;
            };
            let tx = &mut pipe.tx;
            let idle = tx.is_idle();
            if idle && !tx.pace.batching && !world.releases && tx.draining.is_large() {
                world.releases = true;
                self.release_later();
            }
            if tx.writing
                || tx.blocked
                || !(now || tx.wants_write(count))
                || (idle && (tx.dead || !pipe.connection.owes()))
            {
                return state;
            }
            if tx.draining.is_empty() {
                mem::swap(&mut tx.draining, &mut tx.filling);
            }
            let mut batch = mem::replace(&mut tx.draining, Batch::new(pipe.connection.framing()));
            tx.outstanding = batch.len();
            tx.writing = true;
            let timed = tx.pace.measures() && tx.demand.is_none();
            let connection = pipe.connection.clone();
            drop(state);
            let began = timed.then(Instant::now);
            let written = connection.send(&mut batch);
            let ended = timed.then(Instant::now);
            state = self.lock();
            state.world.put_back(id, connection);
            let broken = written.is_err();
            self.wrote(&mut state, id, batch, written.map_err(Error::from));
            if broken {
                return self.read_all(state, id);
            }
            if let (Some(began), Some(ended)) = (began, ended) {
                let last = state.world.last_write.replace(ended);
                if let Some(pipe) = state.world.pipes.get_mut(id)
                    && pipe.tx.pace.wrote(last, began, ended)
                    && !mem::replace(&mut state.batching, true)
                    && let Some(me) = self.me.upgrade()
                {
                    self.reactor.flush_later(me);
                }
            }
            // Whoever sends in a stream writes for itself, and must not find that another is for ever at it. What is
            // left is written by the next message, or by the reactor.
            let mine = state.world.pipes.get(id);
            if mem::take(&mut now)
                && mine.is_some_and(|pipe| pipe.tx.pace.batching && !pipe.tx.full)
            {
                return state;
            }
        }
    }

    /// Takes note of what a write did.
    fn wrote(&self, state: &mut State, id: PipeId, batch: Batch, written: Result<()>) {
        let State { machine, world, .. } = state;
        let Some(pipe) = world.pipes.get_mut(id) else {
            return;
        };
        let tx = &mut pipe.tx;
        tx.writing = false;
        tx.outstanding = batch.len();
        tx.draining = batch;
        if written.is_err() {
            // What the peer sent before it closed is still read; the end of that removes the pipe.
            tx.dead = true;
            tx.full = true;
            pipe.rx.readable = true;
            pipe.rx.hangup = true;
            world.pipes_changed();
            world.replace(id);
            machine.broken(id, world);
            return;
        }
        if tx.outstanding > 0 || pipe.connection.owes() {
            self.await_room(world, id);
        }
        let Some(pipe) = world.pipes.get_mut(id).filter(|pipe| !pipe.rx.closed) else {
            return;
        };
        let tx = &mut pipe.tx;
        if tx.full && tx.has_room() {
            tx.full = false;
            machine.writable(id, world);
        }
        if !world.watchers.is_empty() {
            world.pipes_changed();
        }
    }

    /// Has the rest written when there is room for it.
    pub(super) fn await_room(&self, world: &mut World, id: PipeId) {
        let Some(pipe) = world.pipes.get_mut(id) else {
            return;
        };
        pipe.tx.blocked = true;
        match (pipe.connection.fd(), pipe.key) {
            (Some(fd), Some(key)) => {
                if let Err(error) = self.reactor.modify(fd, key, true) {
                    world.close(id, error);
                }
            }
            _ => pipe.tx.blocked = !pipe.connection.await_room(),
        }
    }

    /// Tries to write where the kernel took no more, for a sender that waits.
    pub(super) fn relieve<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        let mut ids = [None; DIRECT_PIPES];
        let stuck = state
            .world
            .pipes
            .iter()
            .filter(|(_, pipe)| !pipe.tx.is_idle());
        for (slot, (id, _)) in ids.iter_mut().zip(stuck) {
            *slot = Some(id);
        }
        for id in ids.into_iter().flatten() {
            if let Some(pipe) = state.world.pipes.get_mut(id)
                && !pipe.tx.writing
                && pipe.connection.fd().is_some()
            {
                pipe.tx.blocked = false;
            }
            state = self.write(state, id, true);
            state = self.settle(state);
        }
        state
    }

    /// Writes out what is held back, because its sender is about to wait for something else.
    pub(super) fn release_held<'a>(&'a self, state: Guard<'a>) -> Guard<'a> {
        if state.batching {
            self.flush_held(state, |pipe| pipe.tx.pace.stop())
        } else {
            state
        }
    }

    /// Writes out everything that the kernel, or the other end, takes.
    pub(super) fn push_out<'a>(&'a self, state: Guard<'a>) -> Guard<'a> {
        let mut state = self.release_held(state);
        let ids: Vec<PipeId> = state.world.pipes.ids().collect();
        for id in ids {
            state = self.write(state, id, true);
        }
        state
    }

    fn flush_held<'a>(
        &'a self,
        mut state: Guard<'a>,
        mut each: impl FnMut(&mut PipeSlot),
    ) -> Guard<'a> {
        let held: Vec<PipeId> = state
            .world
            .pipes
            .iter_mut()
            .filter(|(_, pipe)| pipe.tx.pace.batching)
            .map(|(id, pipe)| {
                each(pipe);
                id
            })
            .collect();
        for id in held {
            state = self.write(state, id, true);
        }
        state
    }
}

impl Batching for Core {
    fn flush_batches(&self) -> bool {
        let state = self.flush_held(self.lock(), |pipe| pipe.tx.pace.flushed());
        let mut state = self.settle(state);
        let more = state.world.pipes.values().any(|pipe| pipe.tx.pace.batching);
        state.batching = more;
        self.finish(state);
        more
    }
}

//! Moving messages from the connections to the machine, and doing what the machine asks for.
//!
//! All of it is done by whoever is here: a user's thread, or the one that leads the reactor. The socket's lock is
//! given up for every system call; `reading` keeps other threads out meanwhile.

use std::mem;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::core::{Core, Guard, Phase, State};
use super::spin::DIRECT_PIPES;
use super::timers::Timed;
use super::world::World;
use crate::error::Error;
use crate::message::{Message, PipeId};
use crate::protocols::{Flow, Io};
use crate::sys::poller;
use crate::transports::{Otherwise, Received};
use crate::wire::Decoder;

/// Reads of one pipe in a row before others get their turn.
const READS: usize = 16;
/// How long they may last over a descriptor, where each may bring much. In process there is little at a time.
const TURN: Duration = Duration::from_micros(500);
/// How long a full receive queue waits for its user before the machine drops.
const GRACE: Duration = Duration::from_millis(2);

/// What is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Everything there is, until an event tells of more.
    All,
    /// A message for a receive, and what it does if there is none.
    One(Otherwise),
}

impl Core {
    /// The reactor says that something happened. Returns whether it should say so again.
    pub(super) fn pipe_ready(self: &Arc<Self>, id: PipeId, event: poller::Event) -> bool {
        let mut state = self.lock();
        if let Some(pipe) = state.world.pipes.get_mut(id) {
            pipe.rx.readable |= event.readable;
            pipe.rx.hangup |= event.hangup;
            let untold = pipe.connection.has_arrivals();
            if pipe.attended && !(event.hangup || event.writable || untold) {
                state.world.list_readable(id);
                return false;
            }
            if event.writable && (mem::take(&mut pipe.tx.blocked) || pipe.tx.demand.is_some()) {
                if let (Some(fd), Some(key)) = (pipe.connection.fd(), pipe.key) {
                    // Failing to change the interest costs a needless event at most.
                    let _ = self.reactor.modify(fd, key, false);
                }
                state = self.write(state, id, true);
            }
        }
        let (state, _) = self.read(state, id, Want::All);
        let again = state.world.has_rest(id);
        self.changes
            .fetch_add(1, std::sync::atomic::Ordering::Release);
        self.finish(state);
        again
    }

    /// As [`pipe_ready`](Self::pipe_ready), from somebody who cannot say so again.
    pub(super) fn pipe_told(self: &Arc<Self>, id: PipeId, event: poller::Event) {
        if self.pipe_ready(id, event) {
            self.read_later(&mut self.lock().world, id);
        }
    }

    /// Does everything that the machine, or a delivery, has put on the world's lists.
    #[inline]
    pub(super) fn settle<'a>(&'a self, state: Guard<'a>) -> Guard<'a> {
        if state.world.busy {
            self.settle_lists(state)
        } else {
            state
        }
    }

    fn settle_lists<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        loop {
            if let Some(id) = state.world.drained.pop() {
                self.announce(&mut state, id);
                if let Some(pipe) = state.world.pipes.get(id)
                    && pipe.rx.readable
                    && pipe.rx.is_open()
                {
                    if pipe.rx.hangup || pipe.connection.reads_on() {
                        // What was there while nothing was read, as the end, no event tells of again.
                        state = self.read_all(state, id);
                    } else if !state.world.receivers.is_empty() {
                        state.world.unread.push(id);
                    }
                }
            } else if let Some((id, why)) = state.world.condemned.pop() {
                self.remove_pipe(&mut state, id, why);
            } else if let Some(id) = state.world.dirty.pop() {
                if let Some(pipe) = state.world.pipes.get_mut(id) {
                    pipe.tx.dirty = false;
                }
                state = self.write(state, id, false);
            } else {
                state.world.busy = false;
                return state;
            }
        }
    }

    // ---- reading ----

    /// Looks for messages on behalf of a receive that found none. Returns whether anything was delivered.
    pub(super) fn pump_for_receiver<'a>(
        &'a self,
        mut state: Guard<'a>,
        otherwise: Otherwise,
    ) -> (Guard<'a>, bool) {
        state = self.settle(state);
        let mut progress = self.relax(&mut state);
        let direct = otherwise != Otherwise::Waits && state.world.pipes.len() <= DIRECT_PIPES;
        // Among many pipes only those are looked at that were said to have something, so they have to say so.
        let want = Want::One(if direct { otherwise } else { Otherwise::Waits });
        if direct && !progress {
            let mut ids = [None; DIRECT_PIPES];
            let open = state.world.pipes.iter();
            let open = open.filter(|(_, pipe)| pipe.rx.is_open());
            for (slot, (id, _)) in ids.iter_mut().zip(open) {
                *slot = Some(id);
            }
            for id in ids.into_iter().flatten() {
                let (back, delivered) = self.read(state, id, want);
                state = self.settle(back);
                progress |= delivered;
            }
        } else if !direct {
            while !progress && let Some(id) = state.world.next_readable() {
                let (back, delivered) = self.read(state, id, want);
                state = self.settle(back);
                progress = delivered;
            }
        }
        (state, progress)
    }

    /// Reads what a receive that found its message has left unread, for receivers that wait and that no event will
    /// wake. Without them it can stay, for who comes to wait looks first, unless it may be the end: a socket that closes
    /// waits for that without receiving.
    pub(super) fn serve_others<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        while let Some(id) = state.world.unread.pop() {
            let pipe = state.world.pipes.get(id);
            if !state.world.receivers.is_empty()
                || pipe.is_some_and(|pipe| pipe.rx.hangup || pipe.connection.reads_on())
            {
                state = self.settle(self.read_all(state, id));
            }
        }
        state
    }

    /// Delivers what a pipe has, and reads more, until there is nothing more or the machine has enough. Who wants one
    /// message reads at least once, and again only while that gave no message and there may be more. Returns whether
    /// anything was delivered.
    fn read<'a>(&'a self, mut state: Guard<'a>, id: PipeId, want: Want) -> (Guard<'a>, bool) {
        let mut progress = false;
        let (once, otherwise) = match want {
            Want::All => (false, Otherwise::Waits),
            Want::One(otherwise) => (true, otherwise),
        };
        let mut missed = once;
        let mut ends = None;
        for round in 0..READS {
            progress |= self.announce(&mut state, id);
            let World { pipes, spare, .. } = &mut state.world;
            let Some(pipe) = pipes.get_mut(id) else {
                break;
            };
            if !pipe.rx.is_open() {
                break;
            }
            if once && (progress || !missed) {
                break;
            }
            if !(pipe.rx.readable || missed) || ends.is_some_and(|at| Instant::now() >= at) {
                break;
            }
            // Most have no more to read than once, and need no clock.
            if round > 0 && !once && pipe.key.is_some() {
                ends = ends.or_else(|| Instant::now().checked_add(TURN));
            }
            missed = false;
            pipe.rx.reading = true;
            pipe.rx.readable = false;
            let framing = pipe.connection.framing();
            let mut decoder = mem::replace(&mut pipe.rx.decoder, Decoder::new(framing, 0));
            decoder.lend(spare);
            let connection = pipe.connection.clone();
            drop(state);
            let received = connection.recv(&mut decoder, otherwise);
            state = self.lock();
            state.world.put_back(id, connection);
            let World { pipes, spare, .. } = &mut state.world;
            let Some(pipe) = pipes.get_mut(id) else {
                break;
            };
            pipe.rx.reading = false;
            match received {
                Ok(Received::Some { more }) => {
                    pipe.tx.pace.received();
                    // What came may be a part of a message whose rest is there, too.
                    missed = once;
                    pipe.rx.readable |= more || pipe.rx.hangup;
                    if otherwise != Otherwise::Waits {
                        self.reactor.note_read();
                    }
                }
                Ok(Received::Unwatched) => {
                    pipe.rx.readable = true;
                    decoder.yield_buffer(spare);
                }
                Ok(Received::Nothing) => {
                    // An event that came since is not about what this read has seen.
                    missed = pipe.rx.readable;
                    pipe.rx.hangup &= missed;
                    decoder.yield_buffer(spare);
                }
                Ok(Received::End) => pipe.rx.ended = Some(Error::ConnectionShut),
                Err(error) => pipe.rx.ended = Some(error.into()),
            }
            // It may have changed meanwhile.
            decoder.set_limit(pipe.rx.limit);
            pipe.rx.decoder = decoder;
            if pipe.connection.owes() && !(pipe.tx.writing || pipe.tx.blocked || pipe.tx.dead) {
                self.await_room(&mut state.world, id);
            }
            progress |= self.announce(&mut state, id);
        }
        if once && state.world.has_rest(id) {
            state.world.unread.push(id);
        }
        state.world.list_readable(id);
        (state, progress)
    }

    /// Reads what there is, on no event's account: what is left over then is read later.
    pub(super) fn read_all<'a>(&'a self, state: Guard<'a>, id: PipeId) -> Guard<'a> {
        let (mut state, _) = self.read(state, id, Want::All);
        if state.world.has_rest(id) {
            self.read_later(&mut state.world, id);
        }
        state
    }

    /// Has the reactor read what a pipe may have left.
    pub(super) fn read_later(&self, world: &mut World, id: PipeId) {
        let Some(pipe) = world.pipes.get_mut(id) else {
            return;
        };
        if !mem::replace(&mut pipe.rx.resumes, true) {
            let rest = Rest {
                core: self.me.clone(),
                id,
            };
            self.reactor.set_timer(Instant::now(), Arc::new(rest));
        }
    }

    /// Reads what events have told of while a thread attended to the pipes, that now leaves.
    pub(super) fn read_noted<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        let noted: Vec<PipeId> = state.world.noted().collect();
        for id in noted {
            state = self.read_all(state, id);
        }
        state
    }

    /// Reads a pipe until there is nothing more, whatever events have said.
    pub(super) fn look_for_end(&self, id: PipeId) {
        let mut state = self.lock();
        if let Some(pipe) = state.world.pipes.get_mut(id) {
            pipe.rx.readable = true;
            pipe.rx.hangup = true;
        }
        let state = self.read_all(state, id);
        self.finish(state);
    }

    /// Tells the machine of the messages that a pipe has in memory. Returns whether there was one.
    fn announce(&self, state: &mut State, id: PipeId) -> bool {
        let State {
            machine,
            world,
            phase,
            pull,
            ..
        } = state;
        let mut progress = false;
        loop {
            let Some(pipe) = world.pipes.get_mut(id) else {
                return progress;
            };
            let rx = &mut pipe.rx;
            if rx.held || rx.saturated || rx.reading || rx.closed {
                return progress;
            }
            match rx.decoder.ready() {
                Ok(true) => {}
                Ok(false) => {
                    if let Some(why) = &rx.ended {
                        let why = if rx.decoder.is_amid_message() {
                            Error::ConnectionReset
                        } else {
                            why.clone()
                        };
                        world.close(id, why);
                    }
                    return progress;
                }
                Err(error) => {
                    world.close(id, error);
                    return progress;
                }
            }
            if matches!(phase, Phase::Finishing | Phase::Closed) {
                world.take(id, &mut Message::new());
                continue;
            }
            progress = true;
            match machine.arrived(id, world) {
                Flow::Taken => {}
                Flow::Held => {
                    if let Some(pipe) = world.pipes.get_mut(id) {
                        pipe.rx.held = true;
                    }
                }
                Flow::Saturated if pull.active && world.receivers.is_empty() => {
                    if let Some(pipe) = world.pipes.get_mut(id) {
                        pipe.rx.saturated = true;
                    }
                    if pull.watched.is_none() {
                        pull.watched = Some(pull.attempts);
                        self.watch_pull();
                    }
                }
                Flow::Saturated => {}
            }
        }
    }

    /// Lets go on what waited for a full receive queue. Returns whether anything was delivered.
    fn relax(&self, state: &mut State) -> bool {
        if state.pull.watched.is_none() {
            return false;
        }
        let mut progress = false;
        let saturated: Vec<PipeId> = state
            .world
            .pipes
            .iter_mut()
            .filter_map(|(id, pipe)| mem::take(&mut pipe.rx.saturated).then_some(id))
            .collect();
        for id in saturated {
            progress |= self.announce(state, id);
        }
        progress
    }

    fn watch_pull(&self) {
        if let Some(at) = Instant::now().checked_add(GRACE) {
            self.reactor
                .set_timer(at, Arc::new(PullTimer(self.me.clone())));
        }
    }
}

/// Goes on reading a pipe.
struct Rest {
    core: Weak<Core>,
    id: PipeId,
}

impl Timed for Rest {
    fn fire(self: Arc<Self>) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let mut state = core.lock();
        if let Some(pipe) = state.world.pipes.get_mut(self.id) {
            pipe.rx.resumes = false;
            let state = core.read_all(state, self.id);
            core.finish(state);
        }
    }
}

/// Looks whether the user of a full receive queue has come.
struct PullTimer(Weak<Core>);

impl Timed for PullTimer {
    fn fire(self: Arc<Self>) {
        let Some(core) = self.0.upgrade() else { return };
        let mut state = core.lock();
        let Some(watched) = state.pull.watched.take() else {
            return;
        };
        if state.pull.attempts == watched {
            state.pull.active = false;
            state.pull.watched = Some(watched);
            core.relax(&mut state);
            state.pull.watched = None;
            let ids: Vec<PipeId> = state.world.pipes.ids().collect();
            for id in ids {
                state = core.read_all(state, id);
            }
        } else if state.world.pipes.values().any(|pipe| pipe.rx.saturated) {
            state.pull.watched = Some(state.pull.attempts);
            core.watch_pull();
        }
        core.finish(state);
    }
}

//! The end of a pipe, and of its sending half.

use std::sync::Arc;

use super::core::{Core, Phase, State};
use super::endpoint::Endpoint;
use super::events::Event;
use super::pipe::PipeSlot;
use super::stats::DropStats;
use super::world::World;
use crate::error::Error;
use crate::message::PipeId;
use crate::transports::Connection;

impl Core {
    /// Forgets a pipe.
    pub(super) fn remove_pipe(&self, state: &mut State, id: PipeId, why: Error) {
        let State {
            machine,
            world,
            stats,
            phase,
            ..
        } = state;
        let Some(pipe) = world.pipes.remove(id) else {
            return;
        };
        if let (Some(fd), Some(key)) = (pipe.connection.fd(), pipe.key) {
            self.reactor.remove(fd, key);
        }
        if pipe.attended {
            // Whoever attends to it keeps the connection open.
            world.receivers.drain(&mut world.wakes);
            world.senders.drain(&mut world.wakes);
        }
        if pipe.rx.listed {
            world.readable.retain(|&listed| listed != id);
        }
        let unsent = pipe.tx.outstanding + pipe.tx.filling.len();
        let last = DropStats::with_pipe(&why, unsent);
        stats.malformed += last.malformed + last.too_long;
        stats.past.add(&pipe.stats);
        stats.past.dropped.add(&last);
        world.drops.add(&last);
        if *phase != Phase::Closed {
            machine.remove_pipe(id, world);
        }
        world.pipes_changed();
        world.tell(Event::Removed {
            pipe: pipe.info.clone(),
            reason: why,
        });
        if !pipe.tx.dead {
            world.events.extend(pipe.leave_endpoint());
        }
        world.gone.push(pipe.connection);
    }
}

impl PipeSlot {
    /// Tells the endpoint that the pipe is lost, so that a dialer looks for another. Returns what follows.
    fn leave_endpoint(&self) -> Option<Event> {
        let healthy = self.stats.rx_msgs > 0;
        self.endpoint.as_ref()?.pipe_gone(healthy)
    }
}

impl World {
    /// Has the dialer of a pipe that can send no more connect again: who sends must not wait until somebody has received
    /// what is left in the pipe. Of pipes that only have such a rest each dialer keeps one, lest a peer that comes and
    /// goes leaves ever more of them.
    pub(super) fn replace(&mut self, id: PipeId) {
        let Some(pipe) = self.pipes.get(id) else {
            return;
        };
        let Some(endpoint) = pipe.endpoint.clone().filter(Endpoint::is_dialer) else {
            return;
        };
        let follows = pipe.leave_endpoint();
        self.events.extend(follows);
        let is_left = |other: &PipeSlot| {
            other.tx.dead && other.endpoint.as_ref().is_some_and(|one| one.is(&endpoint))
        };
        let left = self.pipes.iter();
        let left = left.filter(|(other, pipe)| *other != id && is_left(pipe));
        let left: Vec<PipeId> = left.map(|(id, _)| id).collect();
        for id in left {
            self.close(id, Error::ConnectionShut);
        }
    }

    /// Gives up a connection that was used without the lock. If its pipe has gone meanwhile, this may be the last
    /// one to hold it, and it must not be dropped under the lock.
    pub(super) fn put_back(&mut self, id: PipeId, connection: Arc<dyn Connection>) {
        if !self.pipes.contains(id) {
            self.gone.push(connection);
        }
    }

    /// Has a pipe removed before the lock is given up.
    pub(super) fn close(&mut self, id: PipeId, why: Error) {
        if let Some(pipe) = self.pipes.get_mut(id) {
            pipe.rx.closed = true;
        }
        self.condemned.push((id, why));
        self.busy = true;
    }
}

//! The end of a pipe.

use std::sync::Arc;

use super::core::{Core, Phase, State};
use super::events::Event;
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
        if let Some(endpoint) = &pipe.endpoint {
            let healthy = pipe.stats.rx_msgs > 0;
            world.events.extend(endpoint.pipe_gone(healthy));
        }
        world.gone.push(pipe.connection);
    }
}

impl World {
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

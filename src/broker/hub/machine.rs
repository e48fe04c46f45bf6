//! The hub as the protocol machine of a socket.

use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use crate::broker::link::Link;
use crate::broker::router::{BEFORE_LOGIN, Now};
use crate::engine::lock;
use crate::error::Result;
use crate::message::{Message, PipeId};
use crate::protocols::{CtxId, Flow, Io, OpId, Protocol, ProtocolInfo, info};

/// The protocol machine around the hub.
pub(in crate::broker) struct Machine(pub(in crate::broker) Arc<Shared>);

impl Protocol for Machine {
    fn info(&self) -> ProtocolInfo {
        info::PAIR1
    }

    fn add_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) -> Result<()> {
        let mut hub = lock(&self.0.state);
        let session = hub.next_session();
        hub.sessions.insert(pipe, session);
        let (source, now) = (io.peer(pipe), io.now());
        let most_bytes = hub.router.limits().outbox_bytes;
        hub.links
            .insert(session, Link::new(pipe, source, now, most_bytes));
        hub.look_for_silent(now, io);
        hub.router.open(session);
        io.limit(pipe, BEFORE_LOGIN);
        hub.trust(session, io);
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let now = Now::read(io.now());
        let mut hub = lock(&self.0.state);
        let hub = &mut *hub;
        let Some(session) = hub.sessions.remove(&pipe) else {
            return;
        };
        if let Some(link) = hub.links.get_mut(&session) {
            (link.ready, link.broken) = (false, true);
            let answers = link.give_up();
            hub.take_all_back(answers, now);
            hub.hurry(session, now, &self.0, io);
            hub.links.remove(&session);
        }
        hub.router.close(session, now, &mut hub.later);
        hub.catch_up(now, &self.0, io);
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let now = Now::read(io.now());
        let mut hub = lock(&self.0.state);
        let Some(&session) = hub.sessions.get(&pipe) else {
            return;
        };
        let Some(link) = hub.links.get_mut(&session) else {
            return;
        };
        link.ready = true;
        link.in_pipe = None;
        hub.flush(session, now, &self.0, io);
        hub.resume(session, now, &self.0, io);
        hub.catch_up(now, &self.0, io);
    }

    /// What the client has sent is still done; its answers are not waited for.
    fn broken(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let now = Now::read(io.now());
        let mut hub = lock(&self.0.state);
        let hub = &mut *hub;
        let Some(&session) = hub.sessions.get(&pipe) else {
            return;
        };
        let Some(link) = hub.links.get_mut(&session) else {
            return;
        };
        link.ready = false;
        link.broken = true;
        link.frames.clear();
        let answers = link.give_up();
        let held = std::mem::take(&mut link.held);
        hub.take_all_back(answers, now);
        hub.hurry(session, now, &self.0, io);
        if held {
            hub.read(pipe, now, &self.0, io);
        }
        hub.catch_up(now, &self.0, io);
    }

    fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        let now = Now::read(io.now());
        let mut hub = lock(&self.0.state);
        hub.read(pipe, now, &self.0, io);
        hub.catch_up(now, &self.0, io);
        // What was caught up with may have made room, and read on.
        let session = hub.sessions.get(&pipe);
        match session.and_then(|session| hub.links.get(session)) {
            Some(link) if link.held => Flow::Held,
            _ => Flow::Taken,
        }
    }

    /// For the log.
    fn waits_for_others(&self) -> bool {
        !lock(&self.0.state).held.is_empty()
    }

    fn unsent(&self) -> usize {
        let hub = lock(&self.0.state);
        hub.links
            .values()
            .map(|link| {
                let packing = usize::from(link.packing.is_some());
                link.answers.len() + packing + link.frames.len() + link.awaited
            })
            .sum()
    }

    /// A thread that serves the broker: it is told that something was done, so that it looks for more.
    fn recv(&mut self, _: CtxId, _: OpId, _: &mut Message, _: &mut dyn Io) -> Result<bool> {
        Ok(std::mem::take(&mut lock(&self.0.state).busy))
    }

    fn deadline(&self) -> Option<Instant> {
        let hub = lock(&self.0.state);
        let look = hub.next_look.filter(|_| !hub.links.is_empty());
        hub.router.deadline().into_iter().chain(look).min()
    }

    fn timeout(&mut self, io: &mut dyn Io) {
        let now = Now::read(io.now());
        let mut hub = lock(&self.0.state);
        let hub = &mut *hub;
        hub.look_for_silent(now.at, io);
        hub.router.timeout(now, &mut hub.later);
        hub.catch_up(now, &self.0, io);
    }
}

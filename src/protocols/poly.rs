//! Polyamorous pair version 1: one socket, many peers, each message to one of them.
//!
//! A message goes to the pipe it names, so that answering means sending with the pipe of what was received; one that
//! names none goes to the peer that has been connected longest. What comes in from all peers is merged. Until the
//! first peer ever connects senders wait, or fill the send buffer; from then on sending never waits: a message for
//! an unknown pipe is dropped, and so is one for a pipe that is full and has two queued already. A full receive
//! buffer stops the reading of the pipes, each of which then holds one message. On the wire it is pair1.
//!
//! Only nng has this mode, and calls it deprecated: nanomsg has no version 1, mangos only the form with one peer.

use super::fanout::Outlet;
use super::hops::{self, Hops};
use super::queue::{HoldingQueue, SendQueue};
use super::{CtxId, Dropped, Flow, IdMap, Io, OpId, PipeId, Protocol, ProtocolInfo};
use super::{ProtocolOption, Sent, info, options};
use crate::error::Result;
use crate::message::Message;

/// Messages that can wait for each pipe.
const PIPE_DEPTH: usize = 2;
const RECV_DEPTH: usize = 1;

// ---- identity ----

/// The machine of a polyamorous pair1 socket.
#[derive(Debug)]
pub(crate) struct PairPoly {
    pipes: IdMap<PipeId, Outlet>,
    /// The pipes in the order in which they connected.
    joined: Vec<PipeId>,
    /// Whether there has ever been a peer. Before, messages wait in `early`; afterwards it stays empty.
    started: bool,
    early: SendQueue,
    received: HoldingQueue<Hops>,
}

// ---- state ----

impl PairPoly {
    pub(crate) fn new() -> Self {
        Self {
            pipes: IdMap::default(),
            joined: Vec::new(),
            started: false,
            early: SendQueue::new(0),
            received: HoldingQueue::new(RECV_DEPTH, Hops::new()),
        }
    }
}

impl Protocol for PairPoly {
    fn info(&self) -> ProtocolInfo {
        info::PAIR1
    }

    // ---- pipes ----

    fn add_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) -> Result<()> {
        self.pipes.insert(pipe, Outlet::new(pipe));
        self.joined.push(pipe);
        if !self.started {
            self.started = true;
            while let Some(mut message) = self.early.pop() {
                self.route(&mut message, io);
            }
            io.wake_send(CtxId::SOCKET);
        }
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.joined.retain(|&joined| joined != pipe);
        if let Some(outlet) = self.pipes.remove(&pipe) {
            outlet.discard(io);
        }
        self.received.forget(pipe, io);
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        if let Some(outlet) = self.pipes.get_mut(&pipe) {
            outlet.writable(io);
        }
    }

    // ---- messages from pipes ----

    fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        io.wake_recv(CtxId::SOCKET);
        self.received.arrived(pipe, io)
    }

    // ---- send ----

    fn send(&mut self, _: CtxId, _: OpId, message: &mut Message, io: &mut dyn Io) -> Sent {
        message.header_clear();
        if !self.started {
            return self.early.offer(message);
        }
        self.route(message, io);
        Sent::Done
    }

    fn can_send(&self) -> bool {
        self.started || self.early.has_room()
    }

    fn unsent(&self) -> usize {
        self.early.len() + self.pipes.values().map(Outlet::unsent).sum::<usize>()
    }

    // ---- receive ----

    fn recv(&mut self, _: CtxId, _: OpId, message: &mut Message, io: &mut dyn Io) -> Result<bool> {
        Ok(self.received.recv(message, io))
    }

    fn can_recv(&self) -> bool {
        !self.received.is_empty()
    }

    fn unreceived(&self, each: &mut dyn FnMut(&Message)) {
        self.received.each(each);
    }

    // ---- options ----

    fn set_option(&mut self, _: CtxId, option: ProtocolOption, io: &mut dyn Io) -> Result<()> {
        match option {
            ProtocolOption::SendBuffer(depth) => {
                self.early.resize(options::send_depth(depth, 0)?, io);
                if self.can_send() {
                    io.wake_send(CtxId::SOCKET);
                }
            }
            ProtocolOption::RecvBuffer(depth) => {
                self.received.resize(options::recv_depth(depth, 0)?, io);
            }
            ProtocolOption::Ttl(ttl) => self.received.admission.set_ttl(ttl)?,
            _ => return Err(options::NO_SUCH_OPTION),
        }
        Ok(())
    }
}

// ---- helpers ----

impl PairPoly {
    /// Sends a message to the pipe it names or else the first one, and drops it if that cannot take it.
    fn route(&mut self, message: &mut Message, io: &mut dyn Io) {
        let pipe = message.pipe().or_else(|| self.joined.first().copied());
        match pipe.and_then(|pipe| self.pipes.get_mut(&pipe)) {
            None => io.dropped(Dropped::NoPipe),
            Some(outlet) if !outlet.has_room(PIPE_DEPTH) => {
                io.dropped_on(pipe, Dropped::SendQueueFull);
            }
            Some(outlet) => {
                hops::advance(message);
                outlet.put(message, io);
            }
        }
    }
}

// ---- tests ----

#[cfg(test)]
mod tests;

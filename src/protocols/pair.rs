//! Pair, versions 0 and 1: two sockets, one connection, both ways.
//!
//! A pair socket has one peer at a time; who comes while there is one is rejected, and the first keeps working.
//! Nothing is lost or reordered while the peer stays: a full send buffer makes senders wait, and a full receive
//! buffer stops the reading of the pipe, which then holds one message more. What the socket buffered, either way,
//! outlives the peer; what the pipe held goes with it, but for what a peer has sent that takes nothing more: that can
//! still be received while the next peer is there, and goes when that one is lost, too. Version 1 adds a hop count (see the `hops` module), which a
//! received message has in its header; raw sockets must give it one to send.
//!
//! Where others differ: nanomsg has no version 1. mangos starts the hop count at 0, allows up to 255 hops, and drops a
//! malformed message, received or sent, where this closes the connection or fails the send. Buffers are 0 by default,
//! as in nng; mangos has 128 messages, nanomsg 128 KiB.

use super::hops::{self, Hops};
use super::queue::{HoldingQueue, SendQueue};
use super::{CtxId, Flow, Io, OpId, PipeId, Protocol, ProtocolInfo, ProtocolOption, Sent};
use super::{info, options};
use crate::error::{Error, Result};
use crate::message::Message;

// ---- identity ----

/// The machine of a pair socket.
#[derive(Debug)]
pub(crate) struct Pair {
    raw: bool,
    peer: Option<Peer>,
    /// The peer before this one, of which something is left to be received.
    former: Option<PipeId>,
    /// Holds messages only while there is no peer or it is full.
    unsent: SendQueue,
    /// Version 0 counts no hops.
    received: HoldingQueue<Option<Hops>>,
}

// ---- state ----

#[derive(Debug)]
struct Peer {
    pipe: PipeId,
    ready: bool,
    /// Nothing can be sent to it any more.
    broken: bool,
}

impl Pair {
    /// A pair0 socket.
    pub(crate) fn v0(raw: bool) -> Self {
        Self::new(raw, None)
    }

    /// A pair1 socket.
    pub(crate) fn v1(raw: bool) -> Self {
        Self::new(raw, Some(Hops::new()))
    }

    fn new(raw: bool, hops: Option<Hops>) -> Self {
        Self {
            raw,
            peer: None,
            former: None,
            unsent: SendQueue::new(0),
            received: HoldingQueue::new(0, hops),
        }
    }
}

impl Protocol for Pair {
    fn info(&self) -> ProtocolInfo {
        match self.received.admission {
            None => info::PAIR0,
            Some(_) => info::PAIR1,
        }
    }

    // ---- pipes ----

    fn add_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) -> Result<()> {
        match self.peer.take_if(|peer| peer.broken) {
            Some(peer) => {
                if let Some(former) = self.former.replace(peer.pipe) {
                    io.close_pipe(former, Error::ConnectionShut);
                }
            }
            None if self.peer.is_some() => return Err(Error::Rejected),
            None => {}
        }
        self.peer = Some(Peer {
            pipe,
            ready: true,
            broken: false,
        });
        self.flush(io);
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.peer.take_if(|peer| peer.pipe == pipe);
        self.former.take_if(|former| *former == pipe);
        self.received.forget(pipe, io);
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        if let Some(peer) = &mut self.peer
            && peer.pipe == pipe
        {
            peer.ready = true;
            self.flush(io);
        }
    }

    fn broken(&mut self, pipe: PipeId, _: &mut dyn Io) {
        if let Some(peer) = &mut self.peer
            && peer.pipe == pipe
        {
            peer.ready = false;
            peer.broken = true;
        }
    }

    // ---- messages from pipes ----

    #[inline]
    fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        io.wake_recv(CtxId::SOCKET);
        self.received.arrived(pipe, io)
    }

    // ---- send ----

    #[inline]
    fn send(&mut self, _: CtxId, _: OpId, message: &mut Message, io: &mut dyn Io) -> Sent {
        if !self.raw {
            message.header_clear();
        } else if self.counts_hops()
            && let Err(error) = hops::check(message)
        {
            return Sent::failed(error);
        }
        if self.ready() {
            self.hand_over(message, io);
            return Sent::Done;
        }
        self.unsent.offer(message)
    }

    fn can_send(&self) -> bool {
        self.ready() || self.unsent.has_room()
    }

    fn unsent(&self) -> usize {
        self.unsent.len()
    }

    // ---- receive ----

    #[inline]
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
        match (option, &mut self.received.admission) {
            (ProtocolOption::SendBuffer(depth), _) => {
                self.unsent.resize(options::send_depth(depth, 0)?, io);
                self.wake_sender(io);
            }
            (ProtocolOption::RecvBuffer(depth), _) => {
                self.received.resize(options::recv_depth(depth, 0)?, io);
            }
            (ProtocolOption::Ttl(ttl), Some(hops)) => hops.set_ttl(ttl)?,
            _ => return Err(options::NO_SUCH_OPTION),
        }
        Ok(())
    }
}

// ---- helpers ----

impl Pair {
    fn counts_hops(&self) -> bool {
        self.received.admission.is_some()
    }

    fn ready(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.ready)
    }

    /// Gives the peer, which must be ready, a message.
    fn hand_over(&mut self, message: &mut Message, io: &mut dyn Io) {
        if self.counts_hops() {
            hops::advance(message);
        }
        if let Some(peer) = &mut self.peer {
            peer.ready = io.push(peer.pipe, message);
        }
    }

    /// The peer is ready: gives it what waits, and lets senders know if there is room again.
    fn flush(&mut self, io: &mut dyn Io) {
        while self.ready()
            && let Some(mut message) = self.unsent.pop()
        {
            self.hand_over(&mut message, io);
        }
        self.wake_sender(io);
    }

    fn wake_sender(&self, io: &mut dyn Io) {
        if self.can_send() {
            io.wake_send(CtxId::SOCKET);
        }
    }
}

// ---- tests ----

#[cfg(test)]
mod tests;

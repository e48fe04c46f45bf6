//! Bus: sends every message to all peers and receives from all, waiting for none.
//!
//! A pipe that is full gets a queue (default 16), and a message that finds that full is dropped for that pipe. A
//! message that finds the receive queue (default 16) full is dropped, the pipe is read on. Nothing is forwarded, so
//! everyone hears everyone only when all are connected to each other. A raw socket tells in the header of a received
//! message the pipe it came from, and does not send a message back to the pipe its header names: a device that
//! copies what it receives thereby reflects it to all others.
//!
//! Where others differ: the header of nanomsg's raw socket is eight bytes long; a mangos bus has queues of 128.

use super::fanout::{Fanout, Overflow};
use super::queue::DroppingQueue;
use super::{CtxId, Delivered, Io, OpId, PipeId, Protocol, ProtocolInfo, ProtocolOption, Sent};
use super::{info, options};
use crate::error::Result;
use crate::message::Message;

const SEND_DEPTH: usize = 16;
const RECV_DEPTH: usize = 16;

// ---- identity ----

/// The machine of a bus socket.
#[derive(Debug)]
pub(crate) struct Bus {
    raw: bool,
    peers: Fanout,
    received: DroppingQueue,
}

// ---- state ----

impl Bus {
    pub(crate) fn new(raw: bool) -> Self {
        Self {
            raw,
            peers: Fanout::new(SEND_DEPTH, Overflow::DropNewest),
            received: DroppingQueue::new(RECV_DEPTH),
        }
    }
}

impl Protocol for Bus {
    fn info(&self) -> ProtocolInfo {
        info::BUS
    }

    // ---- pipes ----

    fn add_pipe(&mut self, pipe: PipeId, _: &mut dyn Io) -> Result<()> {
        self.peers.add_pipe(pipe);
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.peers.remove_pipe(pipe, io);
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.peers.writable(pipe, io);
    }

    // ---- messages from pipes ----

    fn deliver(&mut self, pipe: PipeId, mut message: Message, io: &mut dyn Io) -> Delivered {
        if self.raw {
            message
                .header_append_u32(pipe.number())
                .expect("one word fits into an empty header");
        }
        if self.received.push(message, false, io) {
            io.wake_recv(CtxId::SOCKET);
        }
        self.received.delivered()
    }

    // ---- send ----

    fn send(&mut self, _: CtxId, _: OpId, message: &mut Message, io: &mut dyn Io) -> Sent {
        let mut origin = None;
        if self.raw {
            origin = message.header_trim_u32().ok().and_then(PipeId::new);
        } else {
            message.header_clear();
        }
        self.peers.send(message, origin, io);
        Sent::Done
    }

    fn can_send(&self) -> bool {
        true
    }

    fn unsent(&self) -> usize {
        self.peers.unsent()
    }

    // ---- receive ----

    fn recv(&mut self, _: CtxId, op: OpId, message: &mut Message, _: &mut dyn Io) -> Result<bool> {
        Ok(self.received.recv(op, message))
    }

    fn can_recv(&self) -> bool {
        !self.received.is_empty()
    }

    fn unreceived(&self, each: &mut dyn FnMut(&Message)) {
        self.received.each(each);
    }

    // ---- cancelling ----

    fn cancel_recv(&mut self, _: CtxId, op: OpId, _: &mut dyn Io) {
        self.received.cancel(op);
    }

    // ---- options ----

    fn set_option(&mut self, _: CtxId, option: ProtocolOption, io: &mut dyn Io) -> Result<()> {
        match option {
            ProtocolOption::SendBuffer(depth) => {
                self.peers.resize(options::send_depth(depth, 1)?, io);
            }
            ProtocolOption::RecvBuffer(depth) => {
                self.received.resize(options::recv_depth(depth, 1)?, io);
            }
            _ => return Err(options::NO_SUCH_OPTION),
        }
        Ok(())
    }
}

// ---- tests ----

#[cfg(test)]
mod tests;

//! Pull: takes messages from all its peers, in turn.
//!
//! One message is read ahead from each pipe, which is then not read until that message was received: the peers feel
//! back-pressure. Messages are received in the order in which they arrived, so every pipe gets its turn. The message
//! that was read ahead goes with its pipe. The raw form is the same.
//!
//! Where others differ: nanomsg reads ahead by bytes, and can prefer peers by priority; mangos has a receive queue
//! of 128.

use super::queue::{Anything, HoldingQueue};
use super::{CtxId, Flow, Io, OpId, PipeId, Protocol, ProtocolInfo, ProtocolOption};
use super::{info, options};
use crate::error::Result;
use crate::message::Message;

// ---- identity ----

/// The machine of a pull socket.
#[derive(Debug)]
pub(crate) struct Pull {
    received: HoldingQueue<Anything>,
}

// ---- state ----

impl Pull {
    pub(crate) fn new() -> Self {
        Self {
            received: HoldingQueue::new(0, Anything),
        }
    }
}

impl Protocol for Pull {
    fn info(&self) -> ProtocolInfo {
        info::PULL
    }

    // ---- pipes ----

    fn add_pipe(&mut self, _: PipeId, _: &mut dyn Io) -> Result<()> {
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.received.forget(pipe, io);
    }

    fn writable(&mut self, _: PipeId, _: &mut dyn Io) {}

    // ---- messages from pipes ----

    #[inline]
    fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        io.wake_recv(CtxId::SOCKET);
        self.received.arrived(pipe, io)
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

    fn set_option(&mut self, _: CtxId, option: ProtocolOption, _: &mut dyn Io) -> Result<()> {
        match option {
            ProtocolOption::SendBuffer(depth) => options::send_depth(depth, 0).map(drop),
            ProtocolOption::RecvBuffer(depth) => options::recv_depth(depth, 0).map(drop),
            _ => Err(options::NO_SUCH_OPTION),
        }
    }
}

// ---- tests ----

#[cfg(test)]
mod tests;

//! Push: hands each message to one of the peers, in turn.
//!
//! The pipes that can take a message stand in a queue; the first one gets it and goes to the end, or comes back
//! there when it has room again, so a slow peer gets less. When no pipe is ready a message goes into the send
//! buffer (default 0) or the sender waits. The buffer belongs to the socket: it keeps its order, and survives when
//! a pipe goes. What a peer sends is dropped, its connection kept.
//!
//! Where others differ: mangos has a send buffer of 128 and can be told to drop or to fail when there is no peer;
//! nanomsg has priorities and a buffer in bytes.

use std::collections::VecDeque;

use super::queue::SendQueue;
use super::{CtxId, Delivered, Dropped, Io, OpId, PipeId, Protocol, ProtocolInfo, ProtocolOption};
use super::{Sent, info, options};
use crate::error::Result;
use crate::message::Message;

// ---- identity ----

/// The machine of a push socket.
#[derive(Debug)]
pub(crate) struct Push {
    raw: bool,
    /// The pipes that can take a message, the one that has been ready longest first.
    ready: VecDeque<PipeId>,
    /// Holds messages only while no pipe is ready.
    unsent: SendQueue,
}

// ---- state ----

impl Push {
    pub(crate) fn new(raw: bool) -> Self {
        Self {
            raw,
            ready: VecDeque::new(),
            unsent: SendQueue::new(0),
        }
    }
}

impl Protocol for Push {
    fn info(&self) -> ProtocolInfo {
        info::PUSH
    }

    // ---- pipes ----

    fn add_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) -> Result<()> {
        self.writable(pipe, io);
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, _: &mut dyn Io) {
        self.ready.retain(|&ready| ready != pipe);
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let mut ready = true;
        while ready && let Some(message) = self.unsent.pop() {
            ready = io.push(pipe, &message);
        }
        if ready {
            self.ready.push_back(pipe);
        }
        self.wake_sender(io);
    }

    // ---- messages from pipes ----

    fn deliver(&mut self, pipe: PipeId, _: Message, io: &mut dyn Io) -> Delivered {
        io.dropped_on(Some(pipe), Dropped::Unwanted);
        Delivered::Room
    }

    // ---- send ----

    #[inline]
    fn send(&mut self, _: CtxId, _: OpId, message: &mut Message, io: &mut dyn Io) -> Sent {
        if !self.raw {
            message.header_clear();
        }
        let Some(&pipe) = self.ready.front() else {
            return self.unsent.offer(message);
        };
        let ready = io.push(pipe, message);
        if !ready || self.ready.len() > 1 {
            self.ready.pop_front();
            if ready {
                self.ready.push_back(pipe);
            }
        }
        Sent::Done
    }

    fn can_send(&self) -> bool {
        !self.ready.is_empty() || self.unsent.has_room()
    }

    fn unsent(&self) -> usize {
        self.unsent.len()
    }

    // ---- options ----

    fn set_option(&mut self, _: CtxId, option: ProtocolOption, io: &mut dyn Io) -> Result<()> {
        match option {
            ProtocolOption::SendBuffer(depth) => {
                self.unsent.resize(options::send_depth(depth, 0)?, io);
                self.wake_sender(io);
                Ok(())
            }
            ProtocolOption::RecvBuffer(depth) => options::recv_depth(depth, 0).map(drop),
            _ => Err(options::NO_SUCH_OPTION),
        }
    }
}

// ---- helpers ----

impl Push {
    fn wake_sender(&self, io: &mut dyn Io) {
        if self.can_send() {
            io.wake_send(CtxId::SOCKET);
        }
    }
}

// ---- tests ----

#[cfg(test)]
mod tests;

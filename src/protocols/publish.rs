//! Publish: sends every message to all subscribers connected at the moment, and never waits.
//!
//! Subscribers filter for themselves; everything goes to everyone. A pipe that is full gets a queue (default 16),
//! and when that is full too the oldest message in it is dropped, for that pipe only: a slow subscriber sees the
//! newest. A subscriber that sends something breaks the protocol and is disconnected. A new depth applies at once
//! to all pipes. The raw form differs only in that the header of a message goes out in front of its body.
//!
//! Where others differ: nanomsg and mangos drop the new message rather than the oldest, and mangos ignores what a
//! subscriber sends.

use super::fanout::{Fanout, Overflow};
use super::{CtxId, Delivered, Io, OpId, PipeId, Protocol, ProtocolInfo, ProtocolOption, Sent};
use super::{info, options};
use crate::error::{Error, Result};
use crate::message::Message;

const SEND_DEPTH: usize = 16;

// ---- identity ----

/// The machine of a pub socket.
#[derive(Debug)]
pub(crate) struct Publish {
    raw: bool,
    subscribers: Fanout,
}

// ---- state ----

impl Publish {
    pub(crate) fn new(raw: bool) -> Self {
        Self {
            raw,
            subscribers: Fanout::new(SEND_DEPTH, Overflow::DropOldest),
        }
    }
}

impl Protocol for Publish {
    fn info(&self) -> ProtocolInfo {
        info::PUB
    }

    // ---- pipes ----

    fn add_pipe(&mut self, pipe: PipeId, _: &mut dyn Io) -> Result<()> {
        self.subscribers.add_pipe(pipe);
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.subscribers.remove_pipe(pipe, io);
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.subscribers.writable(pipe, io);
    }

    // ---- messages from pipes ----

    fn deliver(&mut self, pipe: PipeId, _: Message, io: &mut dyn Io) -> Delivered {
        io.close_pipe(pipe, Error::Malformed("a sub socket must not send"));
        Delivered::Room
    }

    // ---- send ----

    #[inline]
    fn send(&mut self, _: CtxId, _: OpId, message: &mut Message, io: &mut dyn Io) -> Sent {
        if !self.raw {
            message.header_clear();
        }
        self.subscribers.send(message, None, io);
        Sent::Done
    }

    fn can_send(&self) -> bool {
        true
    }

    fn unsent(&self) -> usize {
        self.subscribers.unsent()
    }

    // ---- options ----

    fn set_option(&mut self, _: CtxId, option: ProtocolOption, io: &mut dyn Io) -> Result<()> {
        match option {
            ProtocolOption::SendBuffer(depth) => {
                self.subscribers.resize(options::send_depth(depth, 1)?, io);
                Ok(())
            }
            ProtocolOption::RecvBuffer(depth) => options::recv_depth(depth, 0).map(drop),
            _ => Err(options::NO_SUCH_OPTION),
        }
    }
}

// ---- tests ----

#[cfg(test)]
mod tests;

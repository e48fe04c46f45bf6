//! The receive queue of raw sockets, which never drop what they received.

use std::collections::VecDeque;

use super::{CtxId, Dropped, Flow, Io, PipeId};
use crate::message::Message;

/// A bounded queue that belongs to the socket, and behind it one message held for each pipe that found it full.
/// Such a pipe is not read until its message has moved up.
pub(crate) struct Inbox {
    limit: usize,
    buffer: VecDeque<Message>,
    /// Not empty only while the buffer is full.
    held: VecDeque<(PipeId, Message)>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            limit: 1,
            buffer: VecDeque::new(),
            held: VecDeque::new(),
        }
    }

    /// Takes a message in, and says whether its pipe may go on.
    pub(crate) fn put(&mut self, pipe: PipeId, message: Message, io: &mut dyn Io) -> Flow {
        let flow = if self.buffer.len() < self.limit {
            self.buffer.push_back(message);
            Flow::Continue
        } else {
            self.held.push_back((pipe, message));
            Flow::Pause
        };
        io.wake_recv(CtxId::SOCKET);
        flow
    }

    pub(crate) fn take(&mut self, io: &mut dyn Io) -> Option<Message> {
        let message = self.buffer.pop_front().or_else(|| self.take_held(io))?;
        self.refill(io);
        Some(message)
    }

    /// Passes on the wake-up that a receive had when it was given up.
    pub(crate) fn receiver_left(&self, io: &mut dyn Io) {
        if !self.is_empty() {
            io.wake_recv(CtxId::SOCKET);
        }
    }

    /// Forgets the message a lost pipe still held; those in the queue stay.
    pub(crate) fn remove_pipe(&mut self, lost: PipeId, io: &mut dyn Io) {
        self.held.retain(|&(pipe, _)| {
            if pipe == lost {
                io.dropped(Dropped::NoPipe);
            }
            pipe != lost
        });
    }

    /// Changes the queue's length. The newest messages that no longer fit are dropped.
    pub(crate) fn resize(&mut self, limit: usize, io: &mut dyn Io) {
        self.limit = limit;
        for _ in limit..self.buffer.len() {
            io.dropped(Dropped::RecvQueueFull);
        }
        self.buffer.truncate(limit);
        self.refill(io);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.held.is_empty()
    }

    fn take_held(&mut self, io: &mut dyn Io) -> Option<Message> {
        let (pipe, message) = self.held.pop_front()?;
        io.resume(pipe);
        Some(message)
    }

    fn refill(&mut self, io: &mut dyn Io) {
        while self.buffer.len() < self.limit
            && let Some(message) = self.take_held(io)
        {
            self.buffer.push_back(message);
        }
    }
}

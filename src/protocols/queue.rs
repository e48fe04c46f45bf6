//! The queues of a socket, one for each way of meeting the limit.
//!
//! A [`SendQueue`] turns the sender away, a [`PausingQueue`] stops reading the pipe the message came from, and a
//! [`DroppingQueue`] drops a message. Shrinking any of them below its occupancy drops the newest messages.

use std::collections::VecDeque;

use super::{Dropped, Flow, Io, OpId, PipeId, Sent};
use crate::message::Message;

/// Messages a raw socket with a receive queue holds by default.
pub(super) const RAW_RECV_BUFFER: usize = 1;

/// Counts `count` messages that were dropped for the same reason.
pub(super) fn count_dropped(io: &mut dyn Io, why: Dropped, count: usize) {
    for _ in 0..count {
        io.dropped(why);
    }
}

/// Messages that were accepted while no pipe could take them.
#[derive(Debug)]
pub(super) struct SendQueue {
    messages: VecDeque<Message>,
    limit: usize,
}

impl SendQueue {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            limit,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.messages.len() < self.limit
    }

    /// Accepts the message if there is room.
    pub(super) fn offer(&mut self, message: &mut Message) -> Sent {
        if !self.has_room() {
            return Sent::Full;
        }
        self.messages.push_back(std::mem::take(message));
        Sent::Done
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    pub(super) fn resize(&mut self, limit: usize, io: &mut dyn Io) {
        self.limit = limit;
        let excess = self.messages.len().saturating_sub(limit);
        self.messages.truncate(limit);
        count_dropped(io, Dropped::SendQueueFull, excess);
    }
}

/// Received messages of pipes that feel back-pressure.
///
/// The first `limit` messages belong to the socket. Each one behind them is held by the pipe it came from, which a
/// delivered message always names: that pipe is paused, and takes its message with it when it goes. So every pipe
/// holds at most one.
#[derive(Debug)]
pub(super) struct PausingQueue {
    messages: VecDeque<Message>,
    limit: usize,
}

impl PausingQueue {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            limit,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Adds a message that a pipe delivers; the answer is for that pipe.
    #[inline]
    pub(super) fn push(&mut self, message: Message) -> Flow {
        self.messages.push_back(message);
        if self.messages.len() > self.limit {
            Flow::Pause
        } else {
            Flow::Continue
        }
    }

    /// Takes the oldest message, and reads on from the pipe whose message thereby came up.
    #[inline]
    pub(super) fn pop(&mut self, io: &mut dyn Io) -> Option<Message> {
        if let Some(pipe) = self.messages.get(self.limit).and_then(Message::pipe) {
            io.resume(pipe);
        }
        self.messages.pop_front()
    }

    /// Drops the message held by a pipe that is gone.
    pub(super) fn forget(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let mut held = self.messages.iter().skip(self.limit);
        if let Some(at) = held.position(|message| message.pipe() == Some(pipe)) {
            self.messages.remove(self.limit + at);
            io.dropped(Dropped::NoPipe);
        }
    }

    /// Changes how many messages belong to the socket. What the pipes hold stays, or moves up into the new room.
    pub(super) fn resize(&mut self, limit: usize, io: &mut dyn Io) {
        let old_limit = std::mem::replace(&mut self.limit, limit);
        let owned = old_limit.min(self.messages.len());
        if limit < owned {
            self.messages.drain(limit..owned);
            count_dropped(io, Dropped::RecvQueueFull, owned - limit);
        }
        let moved_up = self.messages.iter().take(limit).skip(old_limit);
        for pipe in moved_up.filter_map(Message::pipe) {
            io.resume(pipe);
        }
    }
}

/// Received messages of pipes that are always read.
///
/// A waiting receive is room for one message more, as it is in nng, where a message goes to it and not into the
/// queue: so a receive that waits is not robbed of its message by those that follow before it runs.
#[derive(Debug)]
pub(super) struct DroppingQueue {
    messages: VecDeque<Message>,
    limit: usize,
    waiting: Vec<OpId>,
}

impl DroppingQueue {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            limit,
            waiting: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Adds a message; if there is no room, drops the oldest one that no receive waits for, or else this one.
    /// Returns whether it was added.
    #[inline]
    pub(super) fn push(&mut self, message: Message, prefer_new: bool, io: &mut dyn Io) -> bool {
        if self.messages.len() >= self.room() {
            io.dropped(Dropped::RecvQueueFull);
            if !prefer_new || self.messages.remove(self.waiting.len()).is_none() {
                return false;
            }
        }
        self.messages.push_back(message);
        true
    }

    /// What to answer to a delivery: whether the next one would have to drop.
    #[inline]
    pub(super) fn flow(&self) -> Flow {
        if self.messages.len() < self.room() {
            Flow::Continue
        } else {
            Flow::Saturated
        }
    }

    /// Takes the oldest message. If there is none the operation is remembered as waiting.
    #[inline]
    pub(super) fn recv(&mut self, op: OpId) -> Option<Message> {
        let message = self.messages.pop_front();
        if message.is_some() {
            self.cancel(op);
        } else if op != OpId::TRY && !self.waiting.contains(&op) {
            self.waiting.push(op);
        }
        message
    }

    /// The operation no longer waits.
    #[inline]
    pub(super) fn cancel(&mut self, op: OpId) {
        self.waiting.retain(|&waiting| waiting != op);
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Message) -> bool) {
        self.messages.retain(keep);
    }

    pub(super) fn resize(&mut self, limit: usize, io: &mut dyn Io) {
        self.limit = limit;
        let room = self.room();
        count_dropped(
            io,
            Dropped::RecvQueueFull,
            self.messages.len().saturating_sub(room),
        );
        self.messages.truncate(room);
    }

    fn room(&self) -> usize {
        self.limit + self.waiting.len()
    }
}

// ---- tests ----

#[cfg(test)]
mod tests {
    use super::super::mock::{Mock, pipe};
    use super::*;

    fn from(number: u32, body: &str) -> Message {
        let mut message = Message::from(body);
        message.set_pipe(Some(pipe(number)));
        message
    }

    fn bodies(messages: impl IntoIterator<Item = Message>) -> Vec<Vec<u8>> {
        messages.into_iter().map(Vec::from).collect()
    }

    #[test]
    fn a_send_queue_of_depth_zero_is_always_full() {
        let mut queue = SendQueue::new(0);
        assert!(matches!(queue.offer(&mut Message::new()), Sent::Full));
    }

    #[test]
    fn a_pipe_that_is_gone_takes_only_the_message_it_holds() {
        let mut io = Mock::new();
        let mut queue = PausingQueue::new(1);
        assert_eq!(queue.push(from(1, "owned")), Flow::Continue);
        assert_eq!(queue.push(from(1, "held")), Flow::Pause);
        assert_eq!(queue.push(from(2, "other")), Flow::Pause);
        queue.forget(pipe(1), &mut io);
        assert_eq!(io.dropped, [Dropped::NoPipe]);
        let left = std::iter::from_fn(|| queue.pop(&mut io));
        assert_eq!(bodies(left), [b"owned", b"other"]);
    }

    #[test]
    fn shrinking_a_pausing_queue_drops_the_newest_it_owns_and_keeps_what_pipes_hold() {
        let mut io = Mock::new();
        let mut queue = PausingQueue::new(2);
        for body in ["one", "two", "held"] {
            let _ = queue.push(from(1, body));
        }
        queue.resize(1, &mut io);
        assert_eq!(io.dropped, [Dropped::RecvQueueFull]);
        let left = std::iter::from_fn(|| queue.pop(&mut io));
        assert_eq!(bodies(left), [b"one".to_vec(), b"held".to_vec()]);
    }

    #[test]
    fn a_dropping_queue_keeps_the_message_promised_to_a_waiting_receive() {
        let mut io = Mock::new();
        let mut queue = DroppingQueue::new(1);
        let op = io.op();
        assert_eq!(queue.recv(op), None);
        for body in ["promised", "old", "new"] {
            assert!(queue.push(Message::from(body), true, &mut io));
        }
        assert_eq!(io.dropped, [Dropped::RecvQueueFull]);
        let left = [queue.recv(op), queue.recv(OpId::TRY)];
        assert_eq!(
            bodies(left.into_iter().flatten()),
            [b"promised".to_vec(), b"new".to_vec()]
        );
    }

    #[test]
    fn a_dropping_queue_forgets_a_receive_that_was_given_up() {
        let mut io = Mock::new();
        let mut queue = DroppingQueue::new(0);
        let op = io.op();
        assert_eq!(queue.recv(op), None);
        queue.cancel(op);
        assert!(!queue.push(Message::new(), true, &mut io));
    }
}

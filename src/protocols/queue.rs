//! The queues of a socket, one for each way of meeting the limit.
//!
//! A [`SendQueue`] turns the sender away, a [`HoldingQueue`] leaves the message with the pipe it came from, and a
//! [`DroppingQueue`] drops a message. Shrinking any of them below its occupancy drops the newest messages.

use std::collections::VecDeque;

use super::{CtxId, Delivered, Dropped, Flow, Io, OpId, PipeId, Sent};
use crate::error::Error;
use crate::message::Message;

/// Messages a raw socket with a receive queue holds by default.
pub(super) const RAW_RECV_BUFFER: usize = 1;

/// Counts `count` messages that were dropped for the same reason.
pub(super) fn count_dropped(io: &mut dyn Io, why: Dropped, count: usize) {
    for _ in 0..count {
        io.dropped(why);
    }
}

/// Drops the received messages beyond the first `room`.
fn drop_behind(messages: &mut VecDeque<Message>, room: usize, io: &mut dyn Io) {
    for message in messages.drain(room.min(messages.len())..) {
        io.dropped_on(message.pipe(), Dropped::RecvQueueFull);
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

/// What a protocol demands of a received message.
pub(super) trait Admission {
    /// Looks at what the peer sent.
    fn judge(&self, wire: &[u8]) -> Verdict;

    /// Moves the protocol's words of an admitted message from its body to its header.
    fn unwrap(&self, message: &mut Message);
}

/// What is to become of a message.
pub(super) enum Verdict {
    Admit,
    Drop(Dropped),
    /// The peer does not speak the protocol.
    Close(&'static str),
}

/// Admits every message as it is.
#[derive(Debug)]
pub(super) struct Anything;

impl Admission for Anything {
    #[inline]
    fn judge(&self, _: &[u8]) -> Verdict {
        Verdict::Admit
    }

    #[inline]
    fn unwrap(&self, _: &mut Message) {}
}

/// Received messages of pipes that feel back-pressure.
///
/// The first `limit` messages belong to the socket. What comes behind them stays with its pipe, which is held, and
/// goes with it. Pipes take turns, one message each. The first message of a held pipe was admitted.
#[derive(Debug)]
pub(super) struct HoldingQueue<A> {
    pub(super) admission: A,
    messages: VecDeque<Message>,
    limit: usize,
    held: VecDeque<PipeId>,
}

impl<A: Admission> HoldingQueue<A> {
    pub(super) fn new(limit: usize, admission: A) -> Self {
        Self {
            admission,
            messages: VecDeque::new(),
            limit,
            held: VecDeque::new(),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.messages.is_empty()
    }

    /// Messages arrived on a pipe that is not held.
    #[inline]
    pub(super) fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        while self.has_message(pipe, io) {
            if self.messages.len() >= self.limit {
                self.held.push_back(pipe);
                return Flow::Held;
            }
            self.pull_in(pipe, io);
        }
        Flow::Taken
    }

    /// Takes the oldest message. Returns whether there was one.
    #[inline]
    pub(super) fn pop(&mut self, message: &mut Message, io: &mut dyn Io) -> bool {
        if let Some(owned) = self.messages.pop_front() {
            *message = owned;
            self.refill(io);
            return true;
        }
        let Some(&pipe) = self.held.front() else {
            return false;
        };
        let next = io.take(pipe, message);
        let next = next.map(|wire| self.admission.judge(wire));
        self.admission.unwrap(message);
        let more = match next {
            None => false,
            Some(Verdict::Admit) => true,
            Some(_) => self.has_message(pipe, io),
        };
        if !more || self.held.len() > 1 {
            self.held.pop_front();
            if more {
                self.held.push_back(pipe);
            }
        }
        true
    }

    /// As [`pop`](Self::pop), for a socket without contexts: who waits is told of what is left.
    #[inline]
    pub(super) fn recv(&mut self, message: &mut Message, io: &mut dyn Io) -> bool {
        let received = self.pop(message, io);
        if !self.is_empty() {
            io.wake_recv(CtxId::SOCKET);
        }
        received
    }

    /// Lets go of a pipe that is gone.
    pub(super) fn forget(&mut self, pipe: PipeId, io: &mut dyn Io) {
        if let Some(at) = self.held.iter().position(|&held| held == pipe) {
            self.held.remove(at);
            io.dropped(Dropped::NoPipe);
        }
    }

    /// Changes how many messages belong to the socket. What the pipes hold stays, or moves up into the new room.
    pub(super) fn resize(&mut self, limit: usize, io: &mut dyn Io) {
        self.limit = limit;
        drop_behind(&mut self.messages, limit, io);
        self.refill(io);
    }

    pub(super) fn each(&self, each: &mut dyn FnMut(&Message)) {
        self.messages.iter().for_each(each);
    }

    fn refill(&mut self, io: &mut dyn Io) {
        while self.messages.len() < self.limit
            && let Some(pipe) = self.held.pop_front()
        {
            self.pull_in(pipe, io);
            self.hold(pipe, io);
        }
    }

    fn pull_in(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let mut message = Message::new();
        io.take(pipe, &mut message);
        self.admission.unwrap(&mut message);
        self.messages.push_back(message);
    }

    #[inline]
    fn hold(&mut self, pipe: PipeId, io: &mut dyn Io) {
        if self.has_message(pipe, io) {
            self.held.push_back(pipe);
        }
    }

    /// Whether a pipe has a message that is admitted. Those before it that are not are done away with.
    #[inline]
    fn has_message(&self, pipe: PipeId, io: &mut dyn Io) -> bool {
        while let Some(wire) = io.peek(pipe) {
            match self.admission.judge(wire) {
                Verdict::Admit => return true,
                Verdict::Drop(why) => {
                    io.take(pipe, &mut Message::new());
                    io.dropped_on(Some(pipe), why);
                }
                Verdict::Close(why) => {
                    io.close_pipe(pipe, Error::Malformed(why));
                    return false;
                }
            }
        }
        false
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
            let oldest = prefer_new
                .then(|| self.messages.remove(self.waiting.len()))
                .flatten();
            let dropped = oldest.as_ref().unwrap_or(&message);
            io.dropped_on(dropped.pipe(), Dropped::RecvQueueFull);
            if oldest.is_none() {
                return false;
            }
        }
        self.messages.push_back(message);
        true
    }

    /// What to answer to a delivery: whether the next one would have to drop.
    #[inline]
    pub(super) fn delivered(&self) -> Delivered {
        if self.messages.len() < self.room() {
            Delivered::Room
        } else {
            Delivered::Saturated
        }
    }

    /// Takes the oldest message. If there is none the operation is remembered as waiting.
    #[inline]
    pub(super) fn recv(&mut self, op: OpId, message: &mut Message) -> bool {
        if let Some(oldest) = self.messages.pop_front() {
            *message = oldest;
            self.cancel(op);
            return true;
        }
        if op != OpId::TRY && !self.waiting.contains(&op) {
            self.waiting.push(op);
        }
        false
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
        drop_behind(&mut self.messages, room, io);
    }

    pub(super) fn each(&self, each: &mut dyn FnMut(&Message)) {
        self.messages.iter().for_each(each);
    }

    fn room(&self) -> usize {
        self.limit + self.waiting.len()
    }
}

// ---- tests ----

#[cfg(test)]
mod tests {
    use super::super::mock::{Mock, pipe};
    use super::super::{Protocol, ProtocolInfo, info};
    use super::*;
    use crate::error::Result;

    fn taken(queue: &mut DroppingQueue, op: OpId) -> Option<Message> {
        let mut message = Message::new();
        queue.recv(op, &mut message).then_some(message)
    }

    #[test]
    fn a_send_queue_of_depth_zero_is_always_full() {
        let mut queue = SendQueue::new(0);
        assert!(matches!(queue.offer(&mut Message::new()), Sent::Full));
    }

    /// A queue as a machine of its own.
    struct Holder(HoldingQueue<Anything>);

    impl Protocol for Holder {
        fn info(&self) -> ProtocolInfo {
            info::PULL
        }

        fn add_pipe(&mut self, _: PipeId, _: &mut dyn Io) -> Result<()> {
            Ok(())
        }

        fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
            self.0.forget(pipe, io);
        }

        fn writable(&mut self, _: PipeId, _: &mut dyn Io) {}

        fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
            self.0.arrived(pipe, io)
        }

        fn recv(
            &mut self,
            _: CtxId,
            _: OpId,
            message: &mut Message,
            io: &mut dyn Io,
        ) -> Result<bool> {
            Ok(self.0.recv(message, io))
        }
    }

    /// A queue with pipes 1 and 2 attached.
    fn holder(limit: usize) -> (Mock, Holder) {
        let (mut io, mut holder) = (Mock::new(), Holder(HoldingQueue::new(limit, Anything)));
        for number in [1, 2] {
            io.attach(&mut holder, number, 1).unwrap();
        }
        (io, holder)
    }

    #[test]
    fn a_pipe_that_is_gone_takes_what_it_holds_and_leaves_what_the_socket_has() {
        let (mut io, mut holder) = holder(1);
        for (number, body) in [(1, "owned"), (1, "held"), (2, "other")] {
            io.arrive(&mut holder, pipe(number), body.into());
        }
        io.detach(&mut holder, pipe(1));
        assert_eq!(io.dropped, [Dropped::NoPipe]);
        assert_eq!(io.recv_all(&mut holder), [b"owned", b"other"]);
    }

    #[test]
    fn held_pipes_take_turns() {
        let (mut io, mut holder) = holder(0);
        for (number, body) in [(1, "1a"), (1, "1b"), (2, "2a"), (2, "2b")] {
            io.arrive(&mut holder, pipe(number), body.into());
        }
        assert_eq!(io.recv_all(&mut holder), [b"1a", b"2a", b"1b", b"2b"]);
    }

    #[test]
    fn shrinking_a_holding_queue_drops_the_newest_it_owns_and_keeps_what_pipes_hold() {
        let (mut io, mut holder) = holder(2);
        for body in ["one", "two", "held"] {
            io.arrive(&mut holder, pipe(1), body.into());
        }
        holder.0.resize(1, &mut io);
        assert_eq!(io.dropped, [Dropped::RecvQueueFull]);
        assert_eq!(
            io.recv_all(&mut holder),
            [b"one".to_vec(), b"held".to_vec()]
        );
    }

    #[test]
    fn a_dropping_queue_keeps_the_message_promised_to_a_waiting_receive() {
        let mut io = Mock::new();
        let mut queue = DroppingQueue::new(1);
        let op = io.op();
        assert_eq!(taken(&mut queue, op), None);
        for body in ["promised", "old", "new"] {
            assert!(queue.push(Message::from(body), true, &mut io));
        }
        assert_eq!(io.dropped, [Dropped::RecvQueueFull]);
        assert_eq!(taken(&mut queue, op), Some("promised".into()));
        assert_eq!(taken(&mut queue, OpId::TRY), Some("new".into()));
    }

    #[test]
    fn a_dropping_queue_forgets_a_receive_that_was_given_up() {
        let mut io = Mock::new();
        let mut queue = DroppingQueue::new(0);
        let op = io.op();
        assert_eq!(taken(&mut queue, op), None);
        queue.cancel(op);
        assert!(!queue.push(Message::new(), true, &mut io));
    }
}

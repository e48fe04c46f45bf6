//! A simple model of the raw sockets whose messages carry backtraces, which their machines are compared with.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::mock::{Mock, flat, pipe, wire};
use super::{CtxId, Dropped, Protocol, ProtocolOption};
use crate::message::Message;

const ID: u32 = 0x8000_0000;

/// What happens to a socket.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Attach(u32, usize),
    Detach(u32),
    /// A message comes with a stack of so many words, which has an end or not.
    Arrive(u32, usize, bool),
    /// So many messages are sent, to this pipe where the header says to which.
    Send(u32, usize),
    Recv,
    Drain(u32, usize),
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = || 1..4u32;
    let room = || 1..6usize;
    let words = prop_oneof![4 => 1..8usize, 1 => 0..18usize];
    let step = prop_oneof![
        3 => (number(), room()).prop_map(|(n, room)| Step::Attach(n, room)),
        1 => number().prop_map(Step::Detach),
        8 => (number(), words, prop::bool::weighted(0.9))
            .prop_map(|(n, words, ended)| Step::Arrive(n, words, ended)),
        6 => (0..5u32, prop_oneof![1..4usize, 1..80usize]).prop_map(|(n, count)| Step::Send(n, count)),
        6 => Just(Step::Recv),
        4 => (number(), prop_oneof![room(), 1..80usize]).prop_map(|(n, room)| Step::Drain(n, room)),
    ];
    prop::collection::vec(step, 1..100)
}

/// Where a message that is sent goes.
#[derive(Clone, Copy)]
pub(super) enum Route {
    /// To the pipes in turn, or into one queue of this depth.
    Any(usize),
    /// To every pipe, each of which has a queue of this depth.
    All(usize),
    /// To the pipe that its header names, which has a queue of this depth.
    Named(usize),
}

#[derive(Default)]
struct Pipe {
    room: usize,
    /// What waits for room.
    queue: VecDeque<Vec<u8>>,
    /// What the pipe was handed in this step.
    sent: Vec<Vec<u8>>,
    /// What arrived and is not read yet.
    backlog: VecDeque<(Message, usize, bool)>,
}

struct Model {
    route: Route,
    ttl: Option<usize>,
    recv_depth: usize,
    pipes: BTreeMap<u32, Pipe>,
    /// The pipes with room, for [`Route::Any`].
    turns: VecDeque<u32>,
    /// The one queue of [`Route::Any`].
    unsent: VecDeque<Vec<u8>>,
    /// Header, body and pipe.
    received: VecDeque<(Vec<u8>, Vec<u8>, u32)>,
    dropped: Vec<Dropped>,
}

impl Model {
    /// Sends to every pipe that `wanted` picks.
    fn send_to(&mut self, wanted: impl Fn(u32) -> bool, depth: usize, message: &[u8]) {
        let mut anybody = false;
        for (_, to) in self.pipes.iter_mut().filter(|(n, _)| wanted(**n)) {
            anybody = true;
            if to.room > 0 {
                to.room -= 1;
                to.sent.push(message.to_vec());
            } else if to.queue.len() < depth {
                to.queue.push_back(message.to_vec());
            } else {
                self.dropped.push(Dropped::SendQueueFull);
            }
        }
        if !anybody {
            self.dropped.push(Dropped::NoPipe);
        }
    }

    /// Sends to the pipe whose turn it is. Returns whether the message was accepted.
    fn send_in_turn(&mut self, depth: usize, message: Vec<u8>) -> bool {
        if let Some(n) = self.turns.pop_front() {
            let to = self.pipes.get_mut(&n).unwrap();
            to.sent.push(message);
            to.room -= 1;
            if to.room > 0 {
                self.turns.push_back(n);
            }
        } else if self.unsent.len() < depth {
            self.unsent.push_back(message);
        } else {
            return false;
        }
        true
    }

    /// The pipe has room for `room` messages.
    fn make_room(&mut self, n: u32, room: usize) {
        let to = self.pipes.get_mut(&n).unwrap();
        let was_full = std::mem::replace(&mut to.room, room) == 0;
        while to.room > 0
            && let Some(message) = to.queue.pop_front().or_else(|| self.unsent.pop_front())
        {
            to.room -= 1;
            to.sent.push(message);
        }
        if was_full && to.room > 0 {
            self.turns.push_back(n);
        }
    }

    fn lose(&mut self, n: u32) {
        let lost = self.pipes.remove(&n).unwrap();
        self.turns.retain(|&other| other != n);
        let before = self.received.len();
        let mut at = 0;
        self.received.retain(|&(_, _, from)| {
            at += 1;
            at <= self.recv_depth || from != n
        });
        let gone = lost.queue.len() + before - self.received.len();
        self.dropped
            .extend(std::iter::repeat_n(Dropped::NoPipe, gone));
    }

    /// Reads from every pipe until a message of it finds no room.
    fn read(&mut self) {
        for n in self.pipes.keys().copied().collect::<Vec<_>>() {
            let holds = |&(_, _, from): &(_, _, u32)| from == n;
            while !self.received.iter().skip(self.recv_depth).any(holds)
                && let Some(from) = self.pipes.get_mut(&n)
                && let Some((message, words, ended)) = from.backlog.pop_front()
            {
                if ended && (1..=self.ttl.unwrap_or(16)).contains(&words) {
                    let (stack, body) = message.body().split_at(4 * words);
                    let mut header = stack.to_vec();
                    if let Route::Named(_) = self.route {
                        header.splice(0..0, n.to_be_bytes());
                    }
                    self.received.push_back((header, body.to_vec(), n));
                } else if self.ttl.is_some_and(|ttl| words >= ttl) {
                    self.dropped.push(Dropped::Ttl);
                } else {
                    self.lose(n);
                }
            }
        }
    }

    fn unsent(&self) -> usize {
        self.unsent.len() + self.pipes.values().map(|to| to.queue.len()).sum::<usize>()
    }

    fn can_send(&self) -> bool {
        !matches!(self.route, Route::Any(depth) if self.turns.is_empty() && self.unsent.len() >= depth)
    }
}

/// Takes `machine` through the steps, with a receive buffer of `recv_depth`.
pub(super) fn check(
    machine: &mut dyn Protocol,
    route: Route,
    ttl: Option<usize>,
    recv_depth: usize,
    steps: Vec<Step>,
) -> Result<(), TestCaseError> {
    let mut io = Mock::new();
    io.set(machine, ProtocolOption::RecvBuffer(recv_depth))
        .unwrap();
    let mut model = Model {
        route,
        ttl,
        recv_depth,
        pipes: BTreeMap::new(),
        turns: VecDeque::new(),
        unsent: VecDeque::new(),
        received: VecDeque::new(),
        dropped: Vec::new(),
    };
    let mut id = ID;
    for step in steps {
        let (could_send, could_recv) = (machine.can_send(), machine.can_recv());
        io.recv_wakes.clear();
        io.send_wakes.clear();
        match step {
            Step::Attach(n, room) if !model.pipes.contains_key(&n) => {
                io.attach(machine, n, room).unwrap();
                model.pipes.insert(n, Pipe::default());
                model.make_room(n, room);
            }
            Step::Detach(n) if model.pipes.contains_key(&n) => {
                io.detach(machine, pipe(n));
                model.lose(n);
            }
            Step::Arrive(n, words, ended) => {
                if let Some(from) = model.pipes.get_mut(&n) {
                    id += 1;
                    let mut stack = vec![n; words];
                    if let Some(last) = stack.last_mut().filter(|_| ended) {
                        *last = id;
                    }
                    let message = wire(&stack, b"x");
                    io.arrive(machine, pipe(n), message.clone());
                    from.backlog.push_back((message, words, ended));
                    model.read();
                }
            }
            Step::Send(n, count) => {
                for _ in 0..count {
                    id += 1;
                    let mut message = Message::from("y");
                    message.header_append_u32(id).unwrap();
                    let expected = flat(&message);
                    let accepted = match route {
                        Route::Any(depth) => model.send_in_turn(depth, expected),
                        Route::All(depth) => {
                            model.send_to(|_| true, depth, &expected);
                            true
                        }
                        Route::Named(depth) => {
                            message.header_insert_u32(n).unwrap();
                            model.send_to(|other| other == n, depth, &expected);
                            true
                        }
                    };
                    let sent = io.try_send(machine, CtxId::SOCKET, message);
                    prop_assert_eq!(sent.is_ok(), accepted);
                }
            }
            Step::Recv => {
                let received = io.try_recv(machine, CtxId::SOCKET).ok().map(|message| {
                    let (header, body) = (message.header().to_vec(), message.body().to_vec());
                    (header, body, message.pipe().unwrap().number())
                });
                prop_assert_eq!(received, model.received.pop_front());
                model.read();
            }
            Step::Drain(n, room) if model.pipes.contains_key(&n) => {
                io.drain(machine, pipe(n), room);
                model.make_room(n, room);
            }
            _ => {}
        }
        io.pipes.retain(|_, pipe| pipe.closed.is_none());
        prop_assert_eq!(io.pipes.len(), model.pipes.len());
        for (&n, expected) in &mut model.pipes {
            prop_assert_eq!(io.sent(pipe(n)), std::mem::take(&mut expected.sent));
            prop_assert_eq!(io.waiting(pipe(n)), expected.backlog.len());
        }
        prop_assert_eq!(&io.dropped, &model.dropped);
        prop_assert_eq!(machine.unsent(), model.unsent());
        prop_assert_eq!(machine.can_send(), model.can_send());
        prop_assert_eq!(machine.can_recv(), !model.received.is_empty());
        // Whoever waits is told.
        prop_assert!(could_send || !machine.can_send() || !io.send_wakes.is_empty());
        prop_assert!(could_recv || !machine.can_recv() || !io.recv_wakes.is_empty());
    }
    Ok(())
}

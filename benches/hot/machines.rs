//! The protocol machines and their queues, with an `Io` that keeps the last message.

use std::hint::black_box;
use std::mem;
use std::time::Instant;

use super::MESSAGES;
use crate::error::Error;
use crate::message::Message;
use crate::protocols::pair::Pair;
use crate::protocols::publish::Publish;
use crate::protocols::pull::Pull;
use crate::protocols::push::Push;
use crate::protocols::rep::Rep;
use crate::protocols::req::Req;
use crate::protocols::respondent::Respondent;
use crate::protocols::subscribe::Subscribe;
use crate::protocols::surveyor::Surveyor;
use crate::protocols::{CtxId, Dropped, Flow, Io, OpId, PipeId, Protocol, ProtocolOption, Sent};

const SOCKET: CtxId = CtxId::SOCKET;
const BODY: [u8; 64] = *b"topic/0500 and what there is to say about it, in sixty-four byte";

/// The outside of a machine: pipes that are never full, unless all are, and on which one message at a time arrives.
struct Sink {
    last: Message,
    arrived: Option<Message>,
    full: bool,
    now: Instant,
}

impl Io for Sink {
    fn push(&mut self, _: PipeId, message: &Message) -> bool {
        self.last = message.clone();
        !self.full
    }

    fn peek(&mut self, _: PipeId) -> Option<&[u8]> {
        self.arrived.as_ref().map(Message::body)
    }

    fn take(&mut self, _: PipeId, message: &mut Message) -> Option<&[u8]> {
        *message = self.arrived.take().expect("a message has come");
        None
    }

    fn close_pipe(&mut self, _: PipeId, why: Error) {
        panic!("no machine has a reason to close a pipe: {why}");
    }
    fn wake_recv(&mut self, _: CtxId) {}
    fn wake_recv_all(&mut self, _: CtxId) {}
    fn wake_send(&mut self, _: CtxId) {}
    fn wake_send_all(&mut self, _: CtxId) {}
    fn dropped(&mut self, _: Dropped) {}
    fn filtered(&mut self, _: PipeId) {}

    fn now(&mut self) -> Instant {
        self.now
    }
}

/// A machine with its pipes.
struct Node<P> {
    machine: P,
    io: Sink,
}

impl<P: Protocol> Node<P> {
    fn new(machine: P) -> Self {
        Self::with_pipes(machine, 1)
    }

    fn with_pipes(mut machine: P, pipes: u32) -> Self {
        let mut io = Sink {
            last: Message::new(),
            arrived: None,
            full: false,
            now: Instant::now(),
        };
        for number in 1..=pipes {
            let added = machine.add_pipe(pipe(number), &mut io);
            added.expect("a new machine takes pipes");
        }
        Self { machine, io }
    }

    fn set(mut self, option: ProtocolOption) -> Self {
        let set = self.machine.set_option(SOCKET, option, &mut self.io);
        set.expect("the machine has the option");
        self
    }

    fn send(&mut self) {
        let mut message = Message::from(black_box(&BODY[..]));
        let sent = (self.machine).send(SOCKET, OpId::TRY, &mut message, &mut self.io);
        assert!(matches!(sent, Sent::Done), "{sent:?}");
    }

    /// What was sent last, as it arrives at a peer.
    fn sent(&mut self) -> Message {
        let mut message = mem::take(&mut self.io.last);
        message.flatten();
        message
    }

    fn arrive(&mut self, mut message: Message) -> Flow {
        message.set_pipe(Some(pipe(1)));
        self.io.arrived = Some(message);
        self.machine.arrived(pipe(1), &mut self.io)
    }

    fn recv(&mut self) {
        let mut message = Message::new();
        let received = self
            .machine
            .recv(SOCKET, OpId::TRY, &mut message, &mut self.io);
        assert_eq!(received, Ok(true), "a message has come");
        black_box(message);
    }
}

fn pipe(number: u32) -> PipeId {
    PipeId::new(number).expect("these are small numbers")
}

fn body() -> Message {
    Message::from(black_box(&BODY[..]))
}

// ---- queues ----

/// Fills the queue of a sender without a free pipe, and empties it when the pipe is free.
pub(crate) fn send_queue() -> impl FnMut() {
    let mut push = Node::new(Push::new(false)).set(ProtocolOption::SendBuffer(MESSAGES));
    // The pipe takes one message and is full.
    push.io.full = true;
    push.send();
    move || {
        for _ in 0..MESSAGES {
            push.send();
        }
        push.io.full = false;
        push.machine.writable(pipe(1), &mut push.io);
        push.io.full = true;
        push.send();
    }
}

/// Fills and empties the queue of a receiver that makes its peers wait.
pub(crate) fn holding_queue() -> impl FnMut() {
    let mut pull = Node::new(Pull::new()).set(ProtocolOption::RecvBuffer(MESSAGES));
    move || {
        for _ in 0..MESSAGES {
            let _ = pull.arrive(body());
        }
        for _ in 0..MESSAGES {
            pull.recv();
        }
    }
}

/// Adds to the full queue of a subscriber, which drops its oldest messages.
pub(crate) fn dropping_queue() -> impl FnMut() {
    let mut sub = subscriber(1);
    move || {
        for _ in 0..MESSAGES {
            let _ = sub.arrive(body());
        }
    }
}

// ---- machines ----

pub(crate) fn push() -> impl FnMut() {
    let mut push = Node::with_pipes(Push::new(false), 2);
    move || push.send()
}

pub(crate) fn pull() -> impl FnMut() {
    let mut pull = Node::new(Pull::new());
    move || {
        let _ = pull.arrive(body());
        pull.recv();
    }
}

pub(crate) fn pair0() -> impl FnMut() {
    between(Pair::v0(false), Pair::v0(false))
}

pub(crate) fn pair1() -> impl FnMut() {
    between(Pair::v1(false), Pair::v1(false))
}

fn between<P: Protocol>(one: P, other: P) -> impl FnMut() {
    let (mut one, mut other) = (Node::new(one), Node::new(other));
    move || {
        one.send();
        let _ = other.arrive(one.sent());
        other.recv();
    }
}

/// A request and its reply.
pub(crate) fn req_rep() -> impl FnMut() {
    there_and_back(Req::new(1), Rep::new())
}

/// A survey with one respondent.
pub(crate) fn survey() -> impl FnMut() {
    there_and_back(Surveyor::new(1), Respondent::new())
}

fn there_and_back(client: impl Protocol, server: impl Protocol) -> impl FnMut() {
    let (mut client, mut server) = (Node::new(client), Node::new(server));
    move || {
        client.send();
        let _ = server.arrive(client.sent());
        server.recv();
        server.send();
        let _ = client.arrive(server.sent());
        client.recv();
    }
}

/// One message to all pipes.
pub(crate) fn publish(pipes: u32) -> impl FnMut() {
    let mut publisher = Node::with_pipes(Publish::new(false), pipes);
    move || publisher.send()
}

/// One message that one of many topics matches.
pub(crate) fn subscribe(topics: u32) -> impl FnMut() {
    let mut sub = subscriber(topics);
    move || {
        let _ = sub.arrive(body());
        sub.recv();
    }
}

/// A subscriber to so many topics around that of the body.
fn subscriber(topics: u32) -> Node<Subscribe> {
    let mut sub = Node::new(Subscribe::new());
    let first = 500 - topics / 2;
    for number in first..first + topics {
        let topic = format!("topic/{number:04}");
        let subscribed = sub.machine.subscribe(SOCKET, topic.as_bytes());
        subscribed.expect("the socket's own context is there");
    }
    sub
}

//! The protocols: one pure state machine per file.
//!
//! A machine knows messages, header words and pipe numbers. It has no descriptors, no threads and no clock: the
//! engine tells it what happened, and it answers through [`Io`], which the engine implements for real sockets and
//! the tests implement with mock pipes and a virtual clock.
//!
//! | | Pub | Sub | Req | Rep | Push | Pull | Surveyor | Respondent | Bus | Pair |
//! |---|---|---|---|---|---|---|---|---|---|---|
//! | state per pipe | send queue | – | busy flag | request read ahead, busy flag | busy flag | message read ahead | send queue | as Rep | send queue | the peer |
//! | state per context | – | topics, queue | request, reply, resend time | reply path | – | – | survey, deadline, answers | reply path | – | – |
//! | pipe full | its oldest is dropped | n/a | another pipe, else wait | sender waits | another pipe, else buffer, else wait | n/a | newest dropped for it | sender waits | newest dropped for it | wait |
//! | receive queue full | n/a | oldest dropped (newest, if so set) | n/a | pipe not read | n/a | pipe not read | newest dropped | pipe not read | newest dropped | pipe not read |
//! | pipe lost | forget | forget | resend elsewhere | reply discarded | buffer stays | forget | forget | reply discarded | forget | buffer stays |
//! | timers | – | – | resend | – | – | – | survey end | – | – | – |
//!
//! Every file has the same order: identity, state, pipes, messages from pipes, send, receive, cancelling, timers,
//! options, contexts, helpers, tests. The raw form of a protocol is in the same file as its cooked one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
#[cfg(feature = "broker")]
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::message::Message;
pub(crate) use crate::message::PipeId;

/// A context of a socket. The socket's own, default context is [`CtxId::SOCKET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CtxId(pub(crate) u32);

impl CtxId {
    pub(crate) const SOCKET: Self = Self(0);
}

/// One user operation, from its first attempt to its end. Attempts of the same operation carry the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OpId(pub(crate) u64);

impl OpId {
    /// An operation that will not wait: the machine must not remember it as pending.
    pub(crate) const TRY: Self = Self(0);
}

/// A map keyed by small numbers that this process gave out itself, so that no attacker chooses them.
pub(crate) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Spreads consecutive numbers over a hash table with one multiplication.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.0 = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// A protocol's numbers and names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProtocolInfo {
    /// Its number on the wire.
    pub id: u16,
    /// The number a peer must have.
    pub peer: u16,
    /// Its name, as nng reports it and as the WebSocket mapping uses it.
    pub name: &'static str,
    /// The peer's name.
    pub peer_name: &'static str,
}

impl ProtocolInfo {
    const fn new(id: u16, name: &'static str, peer: u16, peer_name: &'static str) -> Self {
        Self {
            id,
            peer,
            name,
            peer_name,
        }
    }

    /// The protocol with a number.
    #[cfg(feature = "ws")]
    pub(crate) fn numbered(id: u16) -> Option<Self> {
        info::ALL.into_iter().find(|one| one.id == id)
    }

    /// The protocol with a name.
    #[cfg(feature = "ws")]
    pub(crate) fn named(name: &str) -> Option<Self> {
        info::ALL.into_iter().find(|one| one.name == name)
    }

    /// Whether its sockets send.
    pub(crate) fn sends(self) -> bool {
        self != info::SUB && self != info::PULL
    }

    /// Whether its sockets receive.
    pub(crate) fn receives(self) -> bool {
        self != info::PUB && self != info::PUSH
    }
}

/// Numbers and names of all protocols.
pub(crate) mod info {
    use super::ProtocolInfo;

    pub(crate) const PAIR0: ProtocolInfo = ProtocolInfo::new(0x10, "pair", 0x10, "pair");
    pub(crate) const PAIR1: ProtocolInfo = ProtocolInfo::new(0x11, "pair1", 0x11, "pair1");
    pub(crate) const PUB: ProtocolInfo = ProtocolInfo::new(0x20, "pub", 0x21, "sub");
    pub(crate) const SUB: ProtocolInfo = ProtocolInfo::new(0x21, "sub", 0x20, "pub");
    pub(crate) const REQ: ProtocolInfo = ProtocolInfo::new(0x30, "req", 0x31, "rep");
    pub(crate) const REP: ProtocolInfo = ProtocolInfo::new(0x31, "rep", 0x30, "req");
    pub(crate) const PUSH: ProtocolInfo = ProtocolInfo::new(0x50, "push", 0x51, "pull");
    pub(crate) const PULL: ProtocolInfo = ProtocolInfo::new(0x51, "pull", 0x50, "push");
    pub(crate) const SURVEYOR: ProtocolInfo =
        ProtocolInfo::new(0x62, "surveyor", 0x63, "respondent");
    pub(crate) const RESPONDENT: ProtocolInfo =
        ProtocolInfo::new(0x63, "respondent", 0x62, "surveyor");
    pub(crate) const BUS: ProtocolInfo = ProtocolInfo::new(0x70, "bus", 0x70, "bus");

    #[cfg(feature = "ws")]
    pub(crate) const ALL: [ProtocolInfo; 11] = [
        PAIR0, PAIR1, PUB, SUB, REQ, REP, PUSH, PULL, SURVEYOR, RESPONDENT, BUS,
    ];
}

/// Why a message that was received or accepted went nowhere. Each has a counter in the socket's statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// A pipe's send queue was full.
    SendQueueFull,
    /// The receive queue was full.
    RecvQueueFull,
    /// The message had passed through more hops than the time-to-live allows.
    Ttl,
    /// Nobody waits for it: a late reply, an answer to an old survey, a message to a push socket.
    Unwanted,
    /// The pipe it was meant for is gone, or its header names none.
    NoPipe,
}

pub(crate) use DropReason as Dropped;

/// What a machine may do to the world. All of it takes effect at once.
pub(crate) trait Io {
    /// Hands `message` (header and body) to `pipe`, which copies or shares it. Returns whether the pipe can take
    /// another one now; if not, [`Protocol::writable`] follows when it can. Must not be called while the pipe is full.
    fn push(&mut self, pipe: PipeId, message: &Message) -> bool;

    /// What the peer sent as the next message of `pipe`, if there is one. Without one the machine no longer holds the
    /// pipe: [`Protocol::arrived`] says when there is one again.
    fn peek(&mut self, pipe: PipeId) -> Option<&[u8]>;

    /// Takes the next message of `pipe`, which the machine must know to be there. Everything the peer sent is in its
    /// body; `message.pipe()` is set. Returns what [`peek`](Self::peek) would then.
    fn take(&mut self, pipe: PipeId, message: &mut Message) -> Option<&[u8]>;

    /// Closes a pipe that misbehaved. [`Protocol::remove_pipe`] follows, after the machine's method has returned.
    fn close_pipe(&mut self, pipe: PipeId, why: Error);

    /// The address of a pipe's peer, from when the pipe is added. Those within the machine have none.
    #[cfg(feature = "broker")]
    fn peer(&self, pipe: PipeId) -> Option<IpAddr> {
        let _ = pipe;
        None
    }

    /// Sets the longest message that is accepted from a pipe, as far as that is less than its endpoint allows. It is in
    /// force for messages whose length has not been read yet. What comes from within the process has no limit.
    #[cfg(feature = "broker")]
    fn limit(&mut self, pipe: PipeId, bytes: usize) {
        let _ = (pipe, bytes);
    }

    /// Whether a descriptor tells of what a pipe has, and not its sender.
    #[cfg(feature = "broker")]
    fn is_watched(&self, _: PipeId) -> bool {
        true
    }

    /// A receive on `ctx` may now succeed: wakes one that waits.
    fn wake_recv(&mut self, ctx: CtxId);

    /// Every receive on `ctx` must look again, to find that it failed.
    fn wake_recv_all(&mut self, ctx: CtxId);

    /// A send on `ctx` may now succeed: wakes one that waits.
    fn wake_send(&mut self, ctx: CtxId);

    /// Every send on `ctx` must look again.
    fn wake_send_all(&mut self, ctx: CtxId);

    /// Counts a message that was dropped.
    fn dropped(&mut self, why: Dropped);

    /// Counts a message that was dropped, and whose pipe may be known.
    fn dropped_on(&mut self, pipe: Option<PipeId>, why: Dropped) {
        let _ = pipe;
        self.dropped(why);
    }

    /// Counts a publication of `pipe` that no subscription matched. That is no drop.
    fn filtered(&mut self, pipe: PipeId);

    /// The time, the same during one call of a machine's method.
    fn now(&mut self) -> Instant;
}

/// What became of messages that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The machine has taken all there were.
    Taken,
    /// The machine holds the pipe, and takes its messages when it has a use for them. Until then the pipe is not
    /// read, and the peer feels back-pressure.
    Held,
    /// The receive queue is full, and a further message would push one out. The engine holds the rest back for
    /// a moment if the queue's user is reading from it, and else goes on.
    Saturated,
}

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// The next one may follow.
    Room,
    /// As [`Flow::Saturated`].
    Saturated,
}

/// The outcome of one attempt to send.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The message was accepted.
    Done,
    /// There is no room now. The message is as it was, and the caller tries again when woken by [`Io::wake_send`].
    Full,
    /// The machine keeps the message but has not accepted it yet: the outcome is asked for with
    /// [`Protocol::poll_send`] when [`Io::wake_send`] says so. Never the answer to [`OpId::TRY`].
    Pending,
    /// The send failed for good. The message is as it was. Boxed, so that the outcome is passed in registers.
    Failed(Box<Error>),
}

impl Sent {
    pub(crate) fn failed(error: Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// A protocol option with its value. Ranges are checked before a machine sees it, except those that differ between
/// protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProtocolOption {
    /// Messages: 0 to 8192, or 1 to 8192 where the protocol needs a queue.
    SendBuffer(usize),
    /// Messages: 0 to 8192, or 1 to 8192 where the protocol needs a queue.
    RecvBuffer(usize),
    /// Hops: 1 to 15.
    Ttl(u8),
    /// `None` turns resending off.
    ResendTime(Option<Duration>),
    /// How often resend times are looked at; not zero.
    ResendTick(Duration),
    /// `None` lets a survey run until the next one.
    SurveyTime(Option<Duration>),
    /// Whether a full receive queue drops its oldest message (true) or the new one.
    PreferNew(bool),
}

/// One side of one protocol. See the module's description; methods that a protocol has no use for have defaults.
pub(crate) trait Protocol: Send {
    /// Numbers and names.
    fn info(&self) -> ProtocolInfo;

    // ---- pipes ----

    /// A pipe was connected, is empty and can take a message. An error rejects it: it is closed, and
    /// `remove_pipe` is not called.
    fn add_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) -> Result<()>;

    /// A pipe is gone: forget it and what was queued for it.
    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io);

    /// A pipe for which [`Io::push`] returned `false` can take a message again.
    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io);

    /// Nothing more can be sent to a pipe. What its peer has sent before still arrives, and then the pipe is removed.
    fn broken(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let _ = (pipe, io);
    }

    // ---- messages from pipes ----

    /// One or more messages arrived on a pipe that the machine does not hold. A machine whose peers feel back-pressure
    /// takes them later, with [`Io::take`]; others are delivered them one by one.
    fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        let mut more = io.peek(pipe).is_some();
        while more {
            let mut message = Message::new();
            more = io.take(pipe, &mut message).is_some();
            if self.deliver(pipe, message, io) == Delivered::Saturated {
                return Flow::Saturated;
            }
        }
        Flow::Taken
    }

    /// A message arrived. Everything the peer sent is in its body; `message.pipe()` is set.
    fn deliver(&mut self, pipe: PipeId, message: Message, io: &mut dyn Io) -> Delivered {
        let _ = (pipe, message, io);
        Delivered::Room
    }

    // ---- send ----

    /// Tries to send. What is accepted is taken out of `message` or copied, so that nothing of it is of use to the
    /// caller afterwards; a cooked socket clears the header in any case. A blocking operation calls it again, with the same `op`, after [`Sent::Full`] and a wake-up.
    fn send(&mut self, ctx: CtxId, op: OpId, message: &mut Message, io: &mut dyn Io) -> Sent {
        let _ = (ctx, op, message, io);
        Sent::failed(Error::NotSupported("this protocol does not send"))
    }

    /// After [`Sent::Pending`]: `None` while nothing is decided, else the outcome.
    fn poll_send(&mut self, ctx: CtxId, op: OpId) -> Option<Result<(), (Error, Message)>> {
        let _ = (ctx, op);
        None
    }

    /// A send that was [`Sent::Pending`] or [`Sent::Full`] is given up. Returns the message if the machine had it
    /// and has not accepted it.
    fn cancel_send(&mut self, ctx: CtxId, op: OpId, io: &mut dyn Io) -> Option<Message> {
        let _ = (ctx, op, io);
        None
    }

    /// Whether a send on the default context would be accepted now.
    fn can_send(&self) -> bool {
        false
    }

    /// Messages accepted but not yet handed to a pipe: what a flush waits for.
    fn unsent(&self) -> usize {
        0
    }

    // ---- receive ----

    /// Tries to receive into `message`; `false` when there is nothing yet. A blocking operation calls it again, with
    /// the same `op`, after a wake-up.
    fn recv(
        &mut self,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
        io: &mut dyn Io,
    ) -> Result<bool> {
        let _ = (ctx, op, message, io);
        Err(Error::NotSupported("this protocol does not receive"))
    }

    /// A receive that was told `false` is given up, because its deadline passed or its caller went away.
    fn cancel_recv(&mut self, ctx: CtxId, op: OpId, io: &mut dyn Io) {
        let _ = (ctx, op, io);
    }

    /// A receive that was told `false` is no longer wanted, but what it waited for is: a request or survey goes on,
    /// and the next receive has what comes of it.
    fn release_recv(&mut self, ctx: CtxId, op: OpId, io: &mut dyn Io) {
        self.cancel_recv(ctx, op, io);
    }

    /// Whether a receive on the default context would return a message now.
    fn can_recv(&self) -> bool {
        false
    }

    /// Shows `each` the messages that wait for a receive. Those that a held pipe has are not among them.
    fn unreceived(&self, each: &mut dyn FnMut(&Message)) {
        let _ = each;
    }

    /// Whether other threads are at work on what has come. They need the processors more than one that spins.
    fn waits_for_others(&self) -> bool {
        false
    }

    // ---- timers ----

    /// When `timeout` is to be called, if at all. It may be called earlier or later.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Time has passed.
    fn timeout(&mut self, io: &mut dyn Io) {
        let _ = io;
    }

    // ---- options ----

    /// Sets an option, of the socket or of one context.
    fn set_option(&mut self, ctx: CtxId, option: ProtocolOption, io: &mut dyn Io) -> Result<()> {
        let _ = (ctx, option, io);
        Err(Error::NotSupported(
            "this protocol does not have the option",
        ))
    }

    /// Adds a subscription.
    fn subscribe(&mut self, ctx: CtxId, topic: &[u8]) -> Result<()> {
        let _ = (ctx, topic);
        Err(Error::NotSupported(
            "only cooked sub sockets have subscriptions",
        ))
    }

    /// Removes a subscription and the queued messages that no other one matches.
    fn unsubscribe(&mut self, ctx: CtxId, topic: &[u8]) -> Result<()> {
        let _ = (ctx, topic);
        Err(Error::NotSupported(
            "only cooked sub sockets have subscriptions",
        ))
    }

    // ---- contexts ----

    /// Opens a context, with the socket's present options.
    fn open_context(&mut self, ctx: CtxId) -> Result<()> {
        let _ = ctx;
        Err(Error::NotSupported("this protocol has no contexts"))
    }

    /// Closes a context other than the default one. Its operations are woken and fail by the engine's doing.
    fn close_context(&mut self, ctx: CtxId, io: &mut dyn Io) {
        let _ = (ctx, io);
    }
}

pub(crate) mod bus;
mod fanout;
mod hops;
mod ids;
mod options;
pub(crate) mod pair;
pub(crate) mod poly;
pub(crate) mod publish;
pub(crate) mod pull;
pub(crate) mod push;
mod queue;
pub(crate) mod rep;
pub(crate) mod req;
pub(crate) mod respondent;
pub(crate) mod subscribe;
pub(crate) mod surveyor;
mod ttl;

#[cfg(test)]
pub(crate) mod mock;
#[cfg(test)]
mod raw_model;

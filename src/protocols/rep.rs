//! Reply: receives requests and sends each reply back the way its request came.
//!
//! Each context holds the backtrace of the request it received last, and receiving the next one replaces it. One
//! send is allowed for each request, and an attempt that fails spends it. A reply waits while its pipe is busy; one
//! whose pipe is gone is accepted and discarded, since nobody is left to want it. One request is read ahead for
//! each pipe, then the pipe is not read until a receive takes the request; requests are taken in order of arrival.
//!
//! As in nng, a request that made more hops than `ttl-max` is dropped, and garbage closes its pipe, where nanomsg
//! and mangos only drop it. nanomsg, and mangos when told so, drop a reply whose pipe is busy. The options
//! `send-buffer` and `recv-buffer` are accepted and have no effect.
//!
//! The raw form hands out the backtrace, with the number of the pipe in front, in the header, and routes what it
//! sends by that header. It never makes a sender wait, so its `send-buffer` has no effect either.
//!
//! [`Respondent`](super::respondent::Respondent) is the same machine under another identity.

use std::collections::VecDeque;
use std::marker::PhantomData;

use super::fanout::{Fanout, Overflow};
use super::options;
use super::queue::{HoldingQueue, RAW_RECV_BUFFER};
use super::ttl::{Traced, Ttl};
use super::{
    CtxId, Dropped, Flow, IdMap, Io, OpId, PipeId, Protocol, ProtocolInfo, ProtocolOption, Sent,
    info,
};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::wire::backtrace::Backtrace;

// ---- identity ----

/// What tells the protocols that reply apart.
pub(crate) trait Side: Send {
    const INFO: ProtocolInfo;
    /// Messages that the raw form queues for each pipe.
    const RAW_QUEUE: usize;
}

/// The replying side of request and reply.
pub(crate) enum RepSide {}

impl Side for RepSide {
    const INFO: ProtocolInfo = info::REP;
    const RAW_QUEUE: usize = 64;
}

/// The replying socket.
pub(crate) type Rep = Replier<RepSide>;

/// The raw replying socket.
pub(crate) type RawRep = RawReplier<RepSide>;

/// A socket that receives requests and replies to them.
pub(crate) struct Replier<S> {
    contexts: IdMap<CtxId, Context>,
    pipes: IdMap<PipeId, Pipe>,
    requests: HoldingQueue<Traced>,
    /// Contexts to be woken by requests to come, those with [`Context::enlisted`] set, in order. Some may have
    /// stopped waiting since.
    receivers: VecDeque<CtxId>,
    side: PhantomData<S>,
}

// ---- state ----

#[derive(Default)]
struct Context {
    /// Where the reply to the request received last is to go.
    path: Option<Path>,
    /// The one send that may wait for its pipe.
    sender: Option<(OpId, Path)>,
    /// The one receive that may wait.
    receiver: Option<OpId>,
    /// Whether the context is among [`Replier::receivers`].
    enlisted: bool,
}

struct Path {
    pipe: PipeId,
    backtrace: Backtrace,
}

struct Pipe {
    ready: bool,
    /// Contexts whose replies wait for the pipe. While it is ready, the first one was woken and has the right to
    /// it.
    senders: VecDeque<CtxId>,
}

impl<S> Replier<S> {
    pub(crate) fn new() -> Self {
        Self {
            contexts: IdMap::from_iter([(CtxId::SOCKET, Context::default())]),
            pipes: IdMap::default(),
            requests: HoldingQueue::new(0, Traced::requests(false)),
            receivers: VecDeque::new(),
            side: PhantomData,
        }
    }
}

impl Pipe {
    /// Whether a context may send now.
    fn free_for(&self, ctx: CtxId) -> bool {
        self.ready && self.senders.front().is_none_or(|&first| first == ctx)
    }

    fn wake_first(&self, io: &mut dyn Io) {
        if self.ready
            && let Some(&first) = self.senders.front()
        {
            io.wake_send(first);
        }
    }

    fn strike_out(&mut self, ctx: CtxId, io: &mut dyn Io) {
        self.senders.retain(|&sender| sender != ctx);
        self.wake_first(io);
    }
}

impl<S: Side> Protocol for Replier<S> {
    fn info(&self) -> ProtocolInfo {
        S::INFO
    }

    // ---- pipes ----

    fn add_pipe(&mut self, pipe: PipeId, _: &mut dyn Io) -> Result<()> {
        let state = Pipe {
            ready: true,
            senders: VecDeque::new(),
        };
        self.pipes.insert(pipe, state);
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.requests.forget(pipe, io);
        let state = self.pipes.remove(&pipe);
        for ctx in state.into_iter().flat_map(|state| state.senders) {
            io.wake_send(ctx);
        }
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        if let Some(state) = self.pipes.get_mut(&pipe) {
            state.ready = true;
            state.wake_first(io);
        }
    }

    // ---- messages from pipes ----

    fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        let flow = self.requests.arrived(pipe, io);
        self.pass_on(io);
        flow
    }

    // ---- send ----

    fn send(&mut self, ctx: CtxId, op: OpId, message: &mut Message, io: &mut dyn Io) -> Sent {
        let Some(context) = self.contexts.get_mut(&ctx) else {
            return Sent::failed(Error::Closed);
        };
        let waited = context.sender.take_if(|(sender, _)| *sender == op);
        let retry = waited.is_some();
        // Even an attempt that fails takes the path, so that a request never gets two replies.
        let path = waited.map(|(_, path)| path).or_else(|| context.path.take());
        let (Some(path), None) = (path, &context.sender) else {
            let why = "there is no request to reply to, or its reply still waits to be sent";
            return Sent::failed(Error::InvalidState(why));
        };
        let Some(pipe) = self.pipes.get_mut(&path.pipe) else {
            io.dropped(Dropped::NoPipe);
            return Sent::Done;
        };
        if pipe.free_for(ctx) {
            path.backtrace.attach(message);
            pipe.ready = io.push(path.pipe, message);
            if retry {
                pipe.senders.pop_front();
            }
            pipe.wake_first(io);
            return Sent::Done;
        }
        if op != OpId::TRY {
            context.sender = Some((op, path));
            if !retry {
                pipe.senders.push_back(ctx);
            }
        }
        Sent::Full
    }

    /// A reply can be sent if there is a request, and its pipe can take the reply or is gone.
    fn can_send(&self) -> bool {
        let context = self.contexts.get(&CtxId::SOCKET);
        context.is_some_and(|context| {
            context.sender.is_none()
                && context.path.as_ref().is_some_and(|path| {
                    self.pipes
                        .get(&path.pipe)
                        .is_none_or(|pipe| pipe.free_for(CtxId::SOCKET))
                })
        })
    }

    // ---- receive ----

    fn recv(
        &mut self,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
        io: &mut dyn Io,
    ) -> Result<bool> {
        let context = self.contexts.get_mut(&ctx).ok_or(Error::Closed)?;
        if context.receiver.is_some_and(|receiver| receiver != op) {
            return Err(Error::InvalidState(
                "another receive already waits on the context",
            ));
        }
        if self.requests.pop(message, io) {
            let backtrace = Backtrace::detach(message);
            context.path = message.pipe().map(|pipe| Path { pipe, backtrace });
            context.receiver = None;
            self.pass_on(io);
            return Ok(true);
        }
        if op != OpId::TRY {
            context.receiver = Some(op);
            if !std::mem::replace(&mut context.enlisted, true) {
                self.receivers.push_back(ctx);
            }
        }
        Ok(false)
    }

    fn can_recv(&self) -> bool {
        !self.requests.is_empty()
    }

    fn unreceived(&self, each: &mut dyn FnMut(&Message)) {
        self.requests.each(each);
    }

    // ---- cancelling ----

    fn cancel_send(&mut self, ctx: CtxId, op: OpId, io: &mut dyn Io) -> Option<Message> {
        let context = self.contexts.get_mut(&ctx)?;
        let (_, path) = context.sender.take_if(|(sender, _)| *sender == op)?;
        if let Some(pipe) = self.pipes.get_mut(&path.pipe) {
            pipe.strike_out(ctx, io);
        }
        None
    }

    fn cancel_recv(&mut self, ctx: CtxId, op: OpId, io: &mut dyn Io) {
        if let Some(context) = self.contexts.get_mut(&ctx)
            && context
                .receiver
                .take_if(|receiver| *receiver == op)
                .is_some()
        {
            self.pass_on(io);
        }
    }

    // ---- options ----

    fn set_option(&mut self, ctx: CtxId, option: ProtocolOption, _: &mut dyn Io) -> Result<()> {
        match option {
            _ if ctx != CtxId::SOCKET => {
                Err(Error::NotSupported("this option belongs to the socket"))
            }
            ProtocolOption::Ttl(hops) => {
                self.requests.admission.ttl = Some(Ttl::new(hops)?);
                Ok(())
            }
            ProtocolOption::SendBuffer(_) | ProtocolOption::RecvBuffer(_) => Ok(()),
            _ => Err(Error::NotSupported(
                "sockets that reply do not have the option",
            )),
        }
    }

    // ---- contexts ----

    fn open_context(&mut self, ctx: CtxId) -> Result<()> {
        self.contexts.insert(ctx, Context::default());
        Ok(())
    }

    fn close_context(&mut self, ctx: CtxId, io: &mut dyn Io) {
        let Some(context) = self.contexts.remove(&ctx) else {
            return;
        };
        if let Some((_, path)) = context.sender
            && let Some(pipe) = self.pipes.get_mut(&path.pipe)
        {
            pipe.strike_out(ctx, io);
        }
        if context.enlisted {
            self.receivers.retain(|&receiver| receiver != ctx);
        }
        if context.receiver.is_some() {
            self.pass_on(io);
        }
    }
}

// ---- helpers ----

impl<S> Replier<S> {
    /// Wakes the context that has waited longest.
    fn wake_receiver(&mut self, io: &mut dyn Io) {
        while let Some(ctx) = self.receivers.pop_front() {
            let Some(context) = self.contexts.get_mut(&ctx) else {
                continue;
            };
            context.enlisted = false;
            if context.receiver.is_some() {
                io.wake_recv(ctx);
                return;
            }
        }
    }

    /// If there is a request, somebody else may have it: one came, or a receive that may have been woken was given up.
    fn pass_on(&mut self, io: &mut dyn Io) {
        if !self.requests.is_empty() {
            self.wake_receiver(io);
        }
    }
}

// ---- identity, raw ----

/// A raw socket that replies: its user sees, and supplies, the way a reply has to go.
pub(crate) struct RawReplier<S> {
    pipes: Fanout,
    received: HoldingQueue<Traced>,
    side: PhantomData<S>,
}

impl<S: Side> RawReplier<S> {
    pub(crate) fn new() -> Self {
        Self {
            pipes: Fanout::new(S::RAW_QUEUE, Overflow::DropNewest),
            received: HoldingQueue::new(RAW_RECV_BUFFER, Traced::requests(true)),
            side: PhantomData,
        }
    }
}

impl<S: Side> Protocol for RawReplier<S> {
    fn info(&self) -> ProtocolInfo {
        S::INFO
    }

    // ---- pipes, raw ----

    fn add_pipe(&mut self, pipe: PipeId, _: &mut dyn Io) -> Result<()> {
        self.pipes.add_pipe(pipe);
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.pipes.remove_pipe(pipe, io);
        self.received.forget(pipe, io);
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.pipes.writable(pipe, io);
    }

    // ---- messages from pipes, raw ----

    fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        io.wake_recv(CtxId::SOCKET);
        self.received.arrived(pipe, io)
    }

    // ---- send, raw ----

    fn send(&mut self, _: CtxId, _: OpId, message: &mut Message, io: &mut dyn Io) -> Sent {
        match message.header_trim_u32().ok().and_then(PipeId::new) {
            Some(pipe) => self.pipes.send_to(pipe, message, io),
            None => io.dropped(Dropped::NoPipe),
        }
        Sent::Done
    }

    fn can_send(&self) -> bool {
        true
    }

    fn unsent(&self) -> usize {
        self.pipes.unsent()
    }

    // ---- receive, raw ----

    fn recv(&mut self, _: CtxId, _: OpId, message: &mut Message, io: &mut dyn Io) -> Result<bool> {
        Ok(self.received.recv(message, io))
    }

    fn can_recv(&self) -> bool {
        !self.received.is_empty()
    }

    fn unreceived(&self, each: &mut dyn FnMut(&Message)) {
        self.received.each(each);
    }

    // ---- options, raw ----

    fn set_option(&mut self, ctx: CtxId, option: ProtocolOption, io: &mut dyn Io) -> Result<()> {
        match option {
            _ if ctx != CtxId::SOCKET => Err(Error::Closed),
            ProtocolOption::Ttl(hops) => {
                self.received.admission.ttl = Some(Ttl::new(hops)?);
                Ok(())
            }
            ProtocolOption::RecvBuffer(limit) => {
                self.received.resize(options::recv_depth(limit, 0)?, io);
                Ok(())
            }
            ProtocolOption::SendBuffer(_) => Ok(()),
            _ => Err(Error::NotSupported(
                "raw sockets that reply do not have the option",
            )),
        }
    }
}

// ---- tests ----

#[cfg(test)]
mod tests;

//! Request: sends a request to one of its peers and waits for the reply.
//!
//! Each context has at most one request outstanding; a new one takes its place. Requests go to the pipe that has
//! been idle longest, and wait, oldest first, while there is none. A request is sent again when its resend time has
//! passed or its pipe is lost, so that a service may do the same work twice. A reply counts whichever pipe it comes
//! from, and only the first one does.
//!
//! As in nng, a send without a ready pipe waits, a receive that is given up forgets its request, and a malformed
//! reply closes its pipe. Unlike nng since 1.7, every resending starts the resend time anew, as in nng before that
//! and in mangos. nanomsg accepts a request without a peer at once; nanomsg and mangos ignore malformed replies.
//! The options `send-buffer`, `recv-buffer` and `ttl-max` are accepted and have no effect.
//!
//! The raw form leaves request numbers to its user and neither matches replies nor resends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::ids::OutstandingIds;
use super::options;
use super::push::Push;
use super::queue::{HoldingQueue, RAW_RECV_BUFFER};
use super::ttl::{Traced, Ttl};
use super::{
    CtxId, Delivered, Dropped, Flow, IdMap, Io, OpId, PipeId, Protocol, ProtocolInfo,
    ProtocolOption, Sent, info,
};
use crate::error::{Error, Result};
use crate::message::Message;

// ---- identity ----

/// The requesting socket.
pub(crate) struct Req {
    contexts: IdMap<CtxId, Context>,
    ids: OutstandingIds,
    /// Pipes that can take a request, the one idle longest first.
    ready: VecDeque<PipeId>,
    /// Requests to be sent or resent, oldest first. Not empty only while no pipe is ready.
    queue: VecDeque<u32>,
    /// What became of sends that had to wait, until they ask.
    ended_sends: IdMap<OpId, Result<(), (Error, Message)>>,
    /// Receives whose request was taken from them, until they ask.
    canceled_recvs: IdMap<OpId, ()>,
    resend_tick: Duration,
    /// When to look for requests to resend. Answered requests leave it as it is, which keeps timers off the path
    /// of every message.
    next_look: Option<Instant>,
}

// ---- state ----

struct Context {
    resend_time: Option<Duration>,
    state: State,
    /// The one receive that may wait.
    receiver: Option<OpId>,
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Outstanding(Request),
    Replied(Message),
    /// The pipe was lost and the request is not to be resent.
    Lost,
}

struct Request {
    id: u32,
    /// Header and body, as sent.
    message: Message,
    /// The send that waits for the first pipe: nothing was sent yet.
    sender: Option<OpId>,
    /// The pipe it was sent on last, while that lives.
    pipe: Option<PipeId>,
    queued: bool,
    resend_at: Option<Instant>,
}

impl Req {
    /// A socket whose request numbers start from `seed`.
    pub(crate) fn new(seed: u32) -> Self {
        let default = Context::new(Some(Duration::from_secs(60)));
        Self {
            contexts: IdMap::from_iter([(CtxId::SOCKET, default)]),
            ids: OutstandingIds::new(seed),
            ready: VecDeque::new(),
            queue: VecDeque::new(),
            ended_sends: IdMap::default(),
            canceled_recvs: IdMap::default(),
            resend_tick: Duration::from_secs(1),
            next_look: None,
        }
    }
}

impl Context {
    fn new(resend_time: Option<Duration>) -> Self {
        Self {
            resend_time,
            state: State::Idle,
            receiver: None,
        }
    }

    fn request(&self) -> Option<&Request> {
        match &self.state {
            State::Outstanding(request) => Some(request),
            _ => None,
        }
    }

    fn request_mut(&mut self) -> Option<&mut Request> {
        match &mut self.state {
            State::Outstanding(request) => Some(request),
            _ => None,
        }
    }
}

impl Protocol for Req {
    fn info(&self) -> ProtocolInfo {
        info::REQ
    }

    // ---- pipes ----

    fn add_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) -> Result<()> {
        self.writable(pipe, io);
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.ready.retain(|&ready| ready != pipe);
        for id in self.requests_where(|request| request.pipe == Some(pipe)) {
            self.lose(id, io);
        }
        self.run_queue(io);
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.ready.push_back(pipe);
        self.run_queue(io);
    }

    // ---- messages from pipes ----

    fn deliver(&mut self, pipe: PipeId, mut message: Message, io: &mut dyn Io) -> Delivered {
        let Ok(id) = message.trim_u32() else {
            io.close_pipe(pipe, Error::Malformed("a reply has no request id"));
            return Delivered::Room;
        };
        match self.answer(id, message) {
            Some(ctx) => io.wake_recv(ctx),
            None => io.dropped_on(Some(pipe), Dropped::Unwanted),
        }
        Delivered::Room
    }

    // ---- send ----

    fn send(&mut self, ctx: CtxId, op: OpId, message: &mut Message, io: &mut dyn Io) -> Sent {
        if !self.contexts.contains_key(&ctx) {
            return Sent::failed(Error::Closed);
        }
        let pipe = self.ready.pop_front();
        if pipe.is_none() && op == OpId::TRY {
            return Sent::Full;
        }
        self.reset(ctx, Error::Canceled, io);
        let id = self.ids.allocate(ctx);
        message.header_clear();
        message
            .header_append_u32(id)
            .expect("an empty header has room for a word");
        // Sending needs a copy, so that the request can be resent.
        let request = Request {
            id,
            message: std::mem::take(message),
            sender: pipe.is_none().then_some(op),
            pipe: None,
            queued: pipe.is_none(),
            resend_at: None,
        };
        if let Some(context) = self.contexts.get_mut(&ctx) {
            context.state = State::Outstanding(request);
        }
        if let Some(pipe) = pipe {
            self.transmit(ctx, pipe, io);
            Sent::Done
        } else {
            self.queue.push_back(id);
            Sent::Pending
        }
    }

    fn poll_send(&mut self, _: CtxId, op: OpId) -> Option<Result<(), (Error, Message)>> {
        self.ended_sends.remove(&op)
    }

    fn can_send(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Requests that lost their pipe and wait for another. A waiting send was not accepted yet, and a request that
    /// is only due to be resent was handed to a pipe.
    fn unsent(&self) -> usize {
        self.queue
            .iter()
            .filter_map(|&id| self.request(id))
            .filter(|request| request.sender.is_none() && request.pipe.is_none())
            .count()
    }

    // ---- receive ----

    fn recv(
        &mut self,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
        _: &mut dyn Io,
    ) -> Result<bool> {
        if self.canceled_recvs.remove(&op).is_some() {
            return Err(Error::Canceled);
        }
        let context = self.contexts.get_mut(&ctx).ok_or(Error::Closed)?;
        if context.receiver.is_some_and(|receiver| receiver != op) {
            return Err(Error::InvalidState(
                "another receive already waits for the reply",
            ));
        }
        if context.request().is_some() {
            if op != OpId::TRY {
                context.receiver = Some(op);
            }
            return Ok(false);
        }
        context.receiver = None;
        match std::mem::take(&mut context.state) {
            State::Replied(reply) => {
                *message = reply;
                Ok(true)
            }
            State::Lost => Err(Error::ConnectionReset),
            State::Idle | State::Outstanding(_) => Err(Error::InvalidState(
                "there is no request to receive a reply to",
            )),
        }
    }

    fn can_recv(&self) -> bool {
        self.contexts
            .get(&CtxId::SOCKET)
            .is_some_and(|context| matches!(context.state, State::Replied(_)))
    }

    fn unreceived(&self, each: &mut dyn FnMut(&Message)) {
        for context in self.contexts.values() {
            if let State::Replied(reply) = &context.state {
                each(reply);
            }
        }
    }

    // ---- cancelling ----

    fn cancel_send(&mut self, ctx: CtxId, op: OpId, io: &mut dyn Io) -> Option<Message> {
        let waits = |request: &Request| request.sender == Some(op);
        if self
            .contexts
            .get(&ctx)
            .and_then(Context::request)
            .is_some_and(waits)
        {
            self.reset(ctx, Error::Canceled, io);
        }
        let (_, message) = self.ended_sends.remove(&op)?.err()?;
        Some(message)
    }

    fn cancel_recv(&mut self, ctx: CtxId, op: OpId, io: &mut dyn Io) {
        if self.canceled_recvs.remove(&op).is_some() {
            return;
        }
        let Some(context) = self.contexts.get_mut(&ctx) else {
            return;
        };
        if context.receiver != Some(op) {
            return;
        }
        context.receiver = None;
        // A reply that came in the meantime stays for the next receive.
        if context.request().is_some() {
            self.reset(ctx, Error::Canceled, io);
        }
    }

    fn release_recv(&mut self, ctx: CtxId, op: OpId, _: &mut dyn Io) {
        self.canceled_recvs.remove(&op);
        if let Some(context) = self.contexts.get_mut(&ctx) {
            context.receiver.take_if(|receiver| *receiver == op);
        }
    }

    // ---- timers ----

    fn deadline(&self) -> Option<Instant> {
        self.next_look
    }

    fn timeout(&mut self, io: &mut dyn Io) {
        let now = io.now();
        if self.next_look.is_none_or(|look| look > now) {
            return;
        }
        for id in self.requests_where(|request| request.resend_at.is_some_and(|at| at <= now)) {
            self.enqueue(id);
        }
        self.next_look = None;
        let next = self
            .outstanding()
            .filter_map(|request| request.resend_at)
            .min();
        if let Some(next) = next {
            self.look_at(next, now);
        }
        self.run_queue(io);
    }

    // ---- options ----

    fn set_option(&mut self, ctx: CtxId, option: ProtocolOption, io: &mut dyn Io) -> Result<()> {
        match option {
            ProtocolOption::ResendTime(time) => {
                let context = self.contexts.get_mut(&ctx).ok_or(Error::Closed)?;
                context.resend_time = time.filter(|time| !time.is_zero());
                Ok(())
            }
            _ if ctx != CtxId::SOCKET => {
                Err(Error::NotSupported("this option belongs to the socket"))
            }
            ProtocolOption::ResendTick(tick) => self.set_resend_tick(tick, io),
            ProtocolOption::Ttl(hops) => Ttl::new(hops).map(drop),
            ProtocolOption::SendBuffer(_) | ProtocolOption::RecvBuffer(_) => Ok(()),
            _ => Err(Error::NotSupported("req sockets do not have the option")),
        }
    }

    // ---- contexts ----

    fn open_context(&mut self, ctx: CtxId) -> Result<()> {
        let default = self.contexts.get(&CtxId::SOCKET).ok_or(Error::Closed)?;
        let context = Context::new(default.resend_time);
        self.contexts.insert(ctx, context);
        Ok(())
    }

    /// The message of a send that waits can still be had with `cancel_send`.
    fn close_context(&mut self, ctx: CtxId, io: &mut dyn Io) {
        if let Some(context) = self.contexts.get_mut(&ctx) {
            // The engine fails it.
            context.receiver = None;
        }
        self.reset(ctx, Error::Closed, io);
        self.contexts.remove(&ctx);
    }
}

// ---- helpers ----

impl Req {
    fn outstanding(&self) -> impl Iterator<Item = &Request> {
        self.contexts.values().filter_map(Context::request)
    }

    fn request(&self, id: u32) -> Option<&Request> {
        self.contexts.get(&self.ids.owner(id)?)?.request()
    }

    fn request_mut(&mut self, id: u32) -> Option<&mut Request> {
        let ctx = self.ids.owner(id)?;
        self.contexts.get_mut(&ctx)?.request_mut()
    }

    /// The outstanding requests that meet a condition, oldest first.
    fn requests_where(&self, condition: impl Fn(&Request) -> bool) -> Vec<u32> {
        let mut ids: Vec<u32> = self
            .outstanding()
            .filter(|request| condition(request))
            .map(|request| request.id)
            .collect();
        ids.sort_unstable_by_key(|&id| self.ids.age_key(id));
        ids
    }

    /// Gives a reply to the context whose request it answers, if that was sent and not answered yet.
    fn answer(&mut self, id: u32, reply: Message) -> Option<CtxId> {
        let ctx = self.ids.owner(id)?;
        let context = self.contexts.get_mut(&ctx)?;
        let request = context.request()?;
        if request.sender.is_some() {
            return None;
        }
        if request.queued {
            self.queue.retain(|&queued| queued != id);
        }
        context.state = State::Replied(reply);
        self.ids.release(id);
        Some(ctx)
    }

    /// Sends a context's request on a pipe that is ready.
    fn transmit(&mut self, ctx: CtxId, pipe: PipeId, io: &mut dyn Io) {
        let Some(context) = self.contexts.get_mut(&ctx) else {
            return;
        };
        let resend_time = context.resend_time;
        let Some(request) = context.request_mut() else {
            return;
        };
        request.queued = false;
        request.pipe = Some(pipe);
        if io.push(pipe, &request.message) {
            self.ready.push_back(pipe);
        }
        if let Some(op) = request.sender.take() {
            self.ended_sends.insert(op, Ok(()));
            io.wake_send(ctx);
        }
        if let Some(time) = resend_time {
            let now = io.now();
            request.resend_at = now.checked_add(time);
            if let Some(at) = request.resend_at {
                self.look_at(at, now);
            }
        }
    }

    fn run_queue(&mut self, io: &mut dyn Io) {
        while !self.queue.is_empty()
            && let Some(pipe) = self.ready.pop_front()
        {
            let id = self.queue.pop_front();
            if let Some(ctx) = id.and_then(|id| self.ids.owner(id)) {
                self.transmit(ctx, pipe, io);
            }
        }
    }

    /// Queues a request that was sent before to be sent again.
    fn enqueue(&mut self, id: u32) {
        let Some(request) = self.request_mut(id) else {
            return;
        };
        request.resend_at = None;
        if !std::mem::replace(&mut request.queued, true) {
            self.queue.push_back(id);
        }
    }

    /// The pipe a request was sent on is gone.
    fn lose(&mut self, id: u32, io: &mut dyn Io) {
        let Some(ctx) = self.ids.owner(id) else {
            return;
        };
        let Some(context) = self.contexts.get_mut(&ctx) else {
            return;
        };
        if context.resend_time.is_some() {
            if let Some(request) = context.request_mut() {
                request.pipe = None;
            }
            self.enqueue(id);
        } else {
            context.state = State::Lost;
            self.ids.release(id);
            self.queue.retain(|&queued| queued != id);
            io.wake_recv(ctx);
        }
    }

    /// Ends whatever is outstanding on a context. A send that waits fails with `why`, a receive is cancelled.
    fn reset(&mut self, ctx: CtxId, why: Error, io: &mut dyn Io) {
        let Some(context) = self.contexts.get_mut(&ctx) else {
            return;
        };
        if let Some(op) = context.receiver.take() {
            self.canceled_recvs.insert(op, ());
            io.wake_recv_all(ctx);
        }
        match std::mem::take(&mut context.state) {
            State::Idle | State::Lost => {}
            State::Replied(reply) => io.dropped_on(reply.pipe(), Dropped::Unwanted),
            State::Outstanding(request) => self.forget(ctx, request, why, io),
        }
    }

    fn forget(&mut self, ctx: CtxId, mut request: Request, why: Error, io: &mut dyn Io) {
        self.ids.release(request.id);
        if request.queued {
            self.queue.retain(|&queued| queued != request.id);
        }
        if let Some(op) = request.sender {
            request.message.header_clear();
            let ended = Err((why, request.message));
            self.ended_sends.insert(op, ended);
            io.wake_send_all(ctx);
        }
    }

    /// Sees to it that a request that is due at `at` is found: then, or a tick from now if that is later.
    fn look_at(&mut self, at: Instant, now: Instant) {
        let tick = now.checked_add(self.resend_tick);
        let look = tick.map_or(at, |tick| tick.max(at));
        self.next_look = Some(self.next_look.map_or(look, |next| next.min(look)));
    }

    fn set_resend_tick(&mut self, tick: Duration, io: &mut dyn Io) -> Result<()> {
        if tick.is_zero() {
            let allowed = "any time above zero";
            return Err(Error::bad_option("req:resend-tick", tick, allowed));
        }
        self.resend_tick = tick;
        if self.next_look.is_some() {
            let now = io.now();
            self.look_at(now, now);
        }
        Ok(())
    }
}

// ---- identity, raw ----

/// The raw requesting socket: its user supplies the header, which ends in a request number. Requests are handed out
/// as a push socket hands out messages.
pub(crate) struct RawReq {
    requests: Push,
    replies: HoldingQueue<Traced>,
}

impl RawReq {
    pub(crate) fn new() -> Self {
        Self {
            requests: Push::new(true),
            replies: HoldingQueue::new(RAW_RECV_BUFFER, Traced::default()),
        }
    }
}

impl Protocol for RawReq {
    fn info(&self) -> ProtocolInfo {
        info::REQ
    }

    // ---- pipes, raw ----

    fn add_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) -> Result<()> {
        self.requests.add_pipe(pipe, io)
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.requests.remove_pipe(pipe, io);
        self.replies.forget(pipe, io);
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.requests.writable(pipe, io);
    }

    // ---- messages from pipes, raw ----

    fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        io.wake_recv(CtxId::SOCKET);
        self.replies.arrived(pipe, io)
    }

    // ---- send, raw ----

    fn send(&mut self, ctx: CtxId, op: OpId, message: &mut Message, io: &mut dyn Io) -> Sent {
        self.requests.send(ctx, op, message, io)
    }

    fn can_send(&self) -> bool {
        self.requests.can_send()
    }

    fn unsent(&self) -> usize {
        self.requests.unsent()
    }

    // ---- receive, raw ----

    fn recv(&mut self, _: CtxId, _: OpId, message: &mut Message, io: &mut dyn Io) -> Result<bool> {
        Ok(self.replies.recv(message, io))
    }

    fn can_recv(&self) -> bool {
        !self.replies.is_empty()
    }

    fn unreceived(&self, each: &mut dyn FnMut(&Message)) {
        self.replies.each(each);
    }

    // ---- options, raw ----

    fn set_option(&mut self, ctx: CtxId, option: ProtocolOption, io: &mut dyn Io) -> Result<()> {
        match option {
            ProtocolOption::RecvBuffer(depth) => {
                self.replies.resize(options::recv_depth(depth, 0)?, io);
                Ok(())
            }
            ProtocolOption::Ttl(hops) => Ttl::new(hops).map(drop),
            _ => self.requests.set_option(ctx, option, io),
        }
    }
}

// ---- tests ----

#[cfg(test)]
mod tests;

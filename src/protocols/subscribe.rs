//! Subscribe: receives the messages that begin with one of the topics it asked for.
//!
//! Without a topic nothing is received; the empty topic matches everything. Every context has its own topics, its
//! own queue (default 128) and its own rule for when that is full: drop the oldest message (`sub:prefnew`, the
//! default) or the new one. A message goes to every context that wants it. Pipes are always read, so publishers
//! never feel a slow subscriber. Removing a topic also removes the queued messages that no other topic matches.
//! The raw form has neither topics nor contexts: it receives everything, and drops the new message when its queue
//! (default 1) is full.
//!
//! Where others differ: nanomsg counts repeated subscriptions, so that each has to be removed (here, as in nng and
//! mangos, they are one), and lets publishers feel back-pressure.

use super::queue::DroppingQueue;
use super::{CtxId, Delivered, IdMap, Io, OpId, PipeId, Protocol, ProtocolInfo};
use super::{ProtocolOption, info, options};
use crate::error::{Error, Result};
use crate::message::Message;

const RECV_DEPTH: usize = 128;
const RAW_RECV_DEPTH: usize = 1;

// ---- identity ----

/// The machine of a sub socket.
#[derive(Debug)]
pub(crate) struct Subscribe {
    socket: Context,
    contexts: IdMap<CtxId, Context>,
}

/// The machine of a raw sub socket.
#[derive(Debug)]
pub(crate) struct RawSubscribe {
    received: DroppingQueue,
}

// ---- state ----

/// One independent subscriber.
#[derive(Debug)]
struct Context {
    topics: Topics,
    received: DroppingQueue,
    prefer_new: bool,
}

impl Subscribe {
    pub(crate) fn new() -> Self {
        Self {
            socket: Context::new(RECV_DEPTH, true),
            contexts: IdMap::default(),
        }
    }
}

impl RawSubscribe {
    pub(crate) fn new() -> Self {
        Self {
            received: DroppingQueue::new(RAW_RECV_DEPTH),
        }
    }
}

impl Protocol for Subscribe {
    fn info(&self) -> ProtocolInfo {
        info::SUB
    }

    // ---- pipes ----

    fn add_pipe(&mut self, _: PipeId, _: &mut dyn Io) -> Result<()> {
        Ok(())
    }

    fn remove_pipe(&mut self, _: PipeId, _: &mut dyn Io) {}

    fn writable(&mut self, _: PipeId, _: &mut dyn Io) {}

    // ---- messages from pipes ----

    fn deliver(&mut self, pipe: PipeId, message: Message, io: &mut dyn Io) -> Delivered {
        let socket = std::iter::once((CtxId::SOCKET, &mut self.socket));
        let contexts = self
            .contexts
            .iter_mut()
            .map(|(&ctx, context)| (ctx, context));
        let mut wanted_by = socket
            .chain(contexts)
            .filter(|(_, context)| context.topics.matches(&message));
        let Some((mut ctx, mut context)) = wanted_by.next() else {
            io.filtered(pipe);
            return Delivered::Room;
        };
        let mut room = false;
        for next in wanted_by {
            room |= context.deliver(ctx, message.clone(), io) == Delivered::Room;
            (ctx, context) = next;
        }
        room |= context.deliver(ctx, message, io) == Delivered::Room;
        // A context that nobody reads from must not hold up one that somebody does.
        if room {
            Delivered::Room
        } else {
            Delivered::Saturated
        }
    }

    // ---- receive ----

    fn recv(
        &mut self,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
        _: &mut dyn Io,
    ) -> Result<bool> {
        Ok(self.context(ctx)?.received.recv(op, message))
    }

    fn can_recv(&self) -> bool {
        !self.socket.received.is_empty()
    }

    fn unreceived(&self, each: &mut dyn FnMut(&Message)) {
        self.socket.received.each(each);
        for context in self.contexts.values() {
            context.received.each(each);
        }
    }

    // ---- cancelling ----

    fn cancel_recv(&mut self, ctx: CtxId, op: OpId, _: &mut dyn Io) {
        if let Ok(context) = self.context(ctx) {
            context.received.cancel(op);
        }
    }

    // ---- options ----

    fn set_option(&mut self, ctx: CtxId, option: ProtocolOption, io: &mut dyn Io) -> Result<()> {
        let context = self.context(ctx)?;
        match option {
            ProtocolOption::RecvBuffer(depth) => {
                context.received.resize(options::recv_depth(depth, 1)?, io);
                Ok(())
            }
            ProtocolOption::PreferNew(prefer_new) => {
                context.prefer_new = prefer_new;
                Ok(())
            }
            ProtocolOption::SendBuffer(depth) if ctx == CtxId::SOCKET => {
                options::send_depth(depth, 0).map(drop)
            }
            _ => Err(options::NO_SUCH_OPTION),
        }
    }

    fn subscribe(&mut self, ctx: CtxId, topic: &[u8]) -> Result<()> {
        self.context(ctx)?.topics.add(topic);
        Ok(())
    }

    fn unsubscribe(&mut self, ctx: CtxId, topic: &[u8]) -> Result<()> {
        let Context {
            topics, received, ..
        } = self.context(ctx)?;
        topics.remove(topic)?;
        received.retain(|message| topics.matches(message));
        Ok(())
    }

    // ---- contexts ----

    fn open_context(&mut self, ctx: CtxId) -> Result<()> {
        let context = Context::new(self.socket.received.limit(), self.socket.prefer_new);
        self.contexts.insert(ctx, context);
        Ok(())
    }

    fn close_context(&mut self, ctx: CtxId, _: &mut dyn Io) {
        self.contexts.remove(&ctx);
    }
}

impl Protocol for RawSubscribe {
    fn info(&self) -> ProtocolInfo {
        info::SUB
    }

    // ---- pipes ----

    fn add_pipe(&mut self, _: PipeId, _: &mut dyn Io) -> Result<()> {
        Ok(())
    }

    fn remove_pipe(&mut self, _: PipeId, _: &mut dyn Io) {}

    fn writable(&mut self, _: PipeId, _: &mut dyn Io) {}

    // ---- messages from pipes ----

    fn deliver(&mut self, _: PipeId, message: Message, io: &mut dyn Io) -> Delivered {
        if self.received.push(message, false, io) {
            io.wake_recv(CtxId::SOCKET);
        }
        self.received.delivered()
    }

    // ---- receive ----

    fn recv(&mut self, _: CtxId, op: OpId, message: &mut Message, _: &mut dyn Io) -> Result<bool> {
        Ok(self.received.recv(op, message))
    }

    fn can_recv(&self) -> bool {
        !self.received.is_empty()
    }

    fn unreceived(&self, each: &mut dyn FnMut(&Message)) {
        self.received.each(each);
    }

    // ---- cancelling ----

    fn cancel_recv(&mut self, _: CtxId, op: OpId, _: &mut dyn Io) {
        self.received.cancel(op);
    }

    // ---- options ----

    fn set_option(&mut self, _: CtxId, option: ProtocolOption, io: &mut dyn Io) -> Result<()> {
        match option {
            ProtocolOption::RecvBuffer(depth) => {
                self.received.resize(options::recv_depth(depth, 0)?, io);
                Ok(())
            }
            ProtocolOption::SendBuffer(depth) => options::send_depth(depth, 0).map(drop),
            _ => Err(options::NO_SUCH_OPTION),
        }
    }
}

// ---- helpers ----

impl Subscribe {
    fn context(&mut self, ctx: CtxId) -> Result<&mut Context> {
        if ctx == CtxId::SOCKET {
            return Ok(&mut self.socket);
        }
        self.contexts.get_mut(&ctx).ok_or(Error::Closed)
    }
}

impl Context {
    fn new(depth: usize, prefer_new: bool) -> Self {
        Self {
            topics: Topics::default(),
            received: DroppingQueue::new(depth),
            prefer_new,
        }
    }

    fn deliver(&mut self, ctx: CtxId, message: Message, io: &mut dyn Io) -> Delivered {
        if self.received.push(message, self.prefer_new, io) {
            io.wake_recv(ctx);
        }
        self.received.delivered()
    }
}

/// A set of prefixes, sorted.
#[derive(Debug, Default)]
struct Topics(Vec<Vec<u8>>);

impl Topics {
    fn add(&mut self, topic: &[u8]) {
        if let Err(at) = self.find(topic) {
            self.0.insert(at, topic.to_vec());
        }
    }

    fn remove(&mut self, topic: &[u8]) -> Result<()> {
        let at = self.find(topic).map_err(|_| Error::NotFound)?;
        self.0.remove(at);
        Ok(())
    }

    fn find(&self, topic: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|other| other.as_slice().cmp(topic))
    }

    /// Whether one of the topics is a prefix of `body`.
    #[inline]
    fn matches(&self, body: &[u8]) -> bool {
        // The empty topic is the first, and a prefix of everything.
        self.0.first().is_some_and(Vec::is_empty) || self.has_prefix_of(body)
    }

    /// A topic that is a prefix of `body` sorts before it, and all that sort between the two begin with it. So if the
    /// nearest topic before `body` is not a prefix, one can only be within what that topic and `body` have in common.
    fn has_prefix_of(&self, body: &[u8]) -> bool {
        let mut key = body;
        loop {
            let before = self.0.partition_point(|topic| topic.as_slice() <= key);
            let Some(nearest) = self.0[..before].last() else {
                return false;
            };
            if key.starts_with(nearest) {
                return true;
            }
            let common = nearest.iter().zip(key).take_while(|(a, b)| a == b).count();
            key = &key[..common];
        }
    }
}

// ---- tests ----

#[cfg(test)]
mod tests;

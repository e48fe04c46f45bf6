//! Surveyor: asks all its peers at once and collects their answers until the survey ends.
//!
//! Each context has at most one survey outstanding; a new one ends the one before. A survey goes to every pipe and
//! never makes its sender wait: a pipe that is busy queues 8 messages and misses what comes beyond. Up to 128
//! answers are kept for each context. When the survey's time has passed, receives that wait fail with a time-out,
//! answers nobody has taken are discarded, and later receives find no survey, as in nng; nanomsg reports one more
//! time-out first. Several receives may wait on one context.
//!
//! As in nng, a receive that is given up ends its survey, an answer's header holds the survey's number, and an
//! answer without a number closes its pipe, where nanomsg and mangos ignore it. Unlike nng, and like the other two,
//! a receive that will not wait returns at once instead of at the survey's end. The options `send-buffer`,
//! `recv-buffer` and `ttl-max` are accepted and have no effect.
//!
//! The raw form leaves survey numbers to its user, queues 16 messages for each pipe, and keeps no time; its
//! `send-buffer` has no effect.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::fanout::{Fanout, Overflow};
use super::ids::OutstandingIds;
use super::options;
use super::queue::{HoldingQueue, RAW_RECV_BUFFER};
use super::ttl::{Traced, Ttl};
use super::{
    CtxId, Delivered, Dropped, Flow, IdMap, Io, OpId, PipeId, Protocol, ProtocolInfo,
    ProtocolOption, Sent, info,
};
use crate::error::{Error, Result};
use crate::message::Message;

// ---- identity ----

/// Messages queued for each pipe, as in nng.
const SEND_QUEUE: usize = 8;
/// Messages queued for each pipe of a raw socket, as in nng.
const RAW_SEND_QUEUE: usize = 16;
/// Answers kept for each context, as in nng.
const ANSWERS: usize = 128;

const NO_SURVEY: Error = Error::InvalidState("there is no survey to receive an answer to");

/// The asking socket of a survey.
pub(crate) struct Surveyor {
    contexts: IdMap<CtxId, Context>,
    ids: OutstandingIds,
    pipes: Fanout,
    /// Receives whose survey ended, and why, until they ask.
    ended_recvs: IdMap<OpId, Error>,
    /// The earliest end of a survey. It may be too early, since a survey that ends before its time leaves it as it
    /// is: that keeps timers off the path of every survey.
    next_end: Option<Instant>,
}

// ---- state ----

struct Context {
    survey_time: Option<Duration>,
    survey: Option<Survey>,
    /// Empty while there is no survey, as are the receivers.
    answers: VecDeque<Message>,
    receivers: Vec<OpId>,
}

struct Survey {
    id: u32,
    end: Option<Instant>,
}

impl Surveyor {
    /// A socket whose survey numbers start from `seed`.
    pub(crate) fn new(seed: u32) -> Self {
        let default = Context::new(Some(Duration::from_secs(1)));
        Self {
            contexts: IdMap::from_iter([(CtxId::SOCKET, default)]),
            ids: OutstandingIds::new(seed),
            pipes: Fanout::new(SEND_QUEUE, Overflow::DropNewest),
            ended_recvs: IdMap::default(),
            next_end: None,
        }
    }
}

impl Context {
    fn new(survey_time: Option<Duration>) -> Self {
        Self {
            survey_time,
            survey: None,
            answers: VecDeque::new(),
            receivers: Vec::new(),
        }
    }

    fn end(&self) -> Option<Instant> {
        self.survey.as_ref()?.end
    }

    /// Removes a waiting receive, and says whether it was there.
    fn forget_receiver(&mut self, op: OpId) -> bool {
        let place = self.receivers.iter().position(|&receiver| receiver == op);
        place
            .map(|place| self.receivers.swap_remove(place))
            .is_some()
    }
}

impl Protocol for Surveyor {
    fn info(&self) -> ProtocolInfo {
        info::SURVEYOR
    }

    // ---- pipes ----

    fn add_pipe(&mut self, pipe: PipeId, _: &mut dyn Io) -> Result<()> {
        self.pipes.add_pipe(pipe);
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.pipes.remove_pipe(pipe, io);
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        self.pipes.writable(pipe, io);
    }

    // ---- messages from pipes ----

    fn deliver(&mut self, pipe: PipeId, mut message: Message, io: &mut dyn Io) -> Delivered {
        let Ok(id) = message.trim_u32() else {
            io.close_pipe(pipe, Error::Malformed("an answer has no survey id"));
            return Delivered::Room;
        };
        set_id(&mut message, id);
        let owner = self.ids.owner(id);
        match owner.and_then(|ctx| Some((ctx, self.contexts.get_mut(&ctx)?))) {
            Some((_, context)) if context.answers.len() >= ANSWERS => {
                io.dropped_on(Some(pipe), Dropped::RecvQueueFull);
            }
            Some((ctx, context)) => {
                context.answers.push_back(message);
                io.wake_recv(ctx);
                if context.answers.len() == ANSWERS {
                    return Delivered::Saturated;
                }
            }
            None => io.dropped_on(Some(pipe), Dropped::Unwanted),
        }
        Delivered::Room
    }

    // ---- send ----

    fn send(&mut self, ctx: CtxId, _: OpId, message: &mut Message, io: &mut dyn Io) -> Sent {
        self.end_survey(ctx, &Error::Canceled, io);
        let Some(context) = self.contexts.get_mut(&ctx) else {
            return Sent::failed(Error::Closed);
        };
        let end = context
            .survey_time
            .and_then(|time| io.now().checked_add(time));
        let id = self.ids.allocate(ctx);
        context.survey = Some(Survey { id, end });
        self.next_end = self.next_end.into_iter().chain(end).min();
        set_id(message, id);
        self.pipes.send(message, None, io);
        Sent::Done
    }

    fn can_send(&self) -> bool {
        true
    }

    fn unsent(&self) -> usize {
        self.pipes.unsent()
    }

    // ---- receive ----

    fn recv(
        &mut self,
        ctx: CtxId,
        op: OpId,
        message: &mut Message,
        _: &mut dyn Io,
    ) -> Result<bool> {
        if let Some(why) = self.ended_recvs.remove(&op) {
            return Err(why);
        }
        let context = self.contexts.get_mut(&ctx).ok_or(Error::Closed)?;
        if context.survey.is_none() {
            return Err(NO_SURVEY);
        }
        if let Some(answer) = context.answers.pop_front() {
            *message = answer;
            context.forget_receiver(op);
            return Ok(true);
        }
        if op != OpId::TRY && !context.receivers.contains(&op) {
            context.receivers.push(op);
        }
        Ok(false)
    }

    fn can_recv(&self) -> bool {
        self.contexts
            .get(&CtxId::SOCKET)
            .is_some_and(|context| !context.answers.is_empty())
    }

    fn unreceived(&self, each: &mut dyn FnMut(&Message)) {
        let contexts = self.contexts.values();
        contexts.flat_map(|one| &one.answers).for_each(each);
    }

    // ---- cancelling ----

    fn cancel_recv(&mut self, ctx: CtxId, op: OpId, io: &mut dyn Io) {
        if self.ended_recvs.remove(&op).is_some() {
            return;
        }
        let Some(context) = self.contexts.get_mut(&ctx) else {
            return;
        };
        if !context.forget_receiver(op) {
            return;
        }
        if context.answers.is_empty() {
            self.end_survey(ctx, &Error::Canceled, io);
        } else {
            // An answer came in the meantime: nothing was waited for in vain, and another may have it.
            io.wake_recv(ctx);
        }
    }

    fn release_recv(&mut self, ctx: CtxId, op: OpId, io: &mut dyn Io) {
        self.ended_recvs.remove(&op);
        if let Some(context) = self.contexts.get_mut(&ctx)
            && context.forget_receiver(op)
            && !context.answers.is_empty()
        {
            io.wake_recv(ctx);
        }
    }

    // ---- timers ----

    fn deadline(&self) -> Option<Instant> {
        self.next_end
    }

    fn timeout(&mut self, io: &mut dyn Io) {
        let now = io.now();
        if self.next_end.is_none_or(|end| end > now) {
            return;
        }
        let over: Vec<CtxId> = self
            .contexts
            .iter()
            .filter(|(_, context)| context.end().is_some_and(|end| end <= now))
            .map(|(&ctx, _)| ctx)
            .collect();
        for ctx in over {
            self.end_survey(ctx, &Error::TimedOut, io);
        }
        self.next_end = self.contexts.values().filter_map(Context::end).min();
    }

    // ---- options ----

    fn set_option(&mut self, ctx: CtxId, option: ProtocolOption, _: &mut dyn Io) -> Result<()> {
        match option {
            ProtocolOption::SurveyTime(time) => {
                let context = self.contexts.get_mut(&ctx).ok_or(Error::Closed)?;
                context.survey_time = time;
                Ok(())
            }
            _ if ctx != CtxId::SOCKET => {
                Err(Error::NotSupported("this option belongs to the socket"))
            }
            ProtocolOption::Ttl(hops) => Ttl::new(hops).map(drop),
            ProtocolOption::SendBuffer(_) | ProtocolOption::RecvBuffer(_) => Ok(()),
            _ => Err(Error::NotSupported(
                "surveyor sockets do not have the option",
            )),
        }
    }

    // ---- contexts ----

    fn open_context(&mut self, ctx: CtxId) -> Result<()> {
        let default = self.contexts.get(&CtxId::SOCKET).ok_or(Error::Closed)?;
        let context = Context::new(default.survey_time);
        self.contexts.insert(ctx, context);
        Ok(())
    }

    fn close_context(&mut self, ctx: CtxId, io: &mut dyn Io) {
        if let Some(context) = self.contexts.get_mut(&ctx) {
            // The engine fails them.
            context.receivers.clear();
        }
        self.end_survey(ctx, &Error::Closed, io);
        self.contexts.remove(&ctx);
    }
}

// ---- helpers ----

impl Surveyor {
    /// Ends a context's survey, if there is one: receives that wait fail, answers are discarded.
    fn end_survey(&mut self, ctx: CtxId, why: &Error, io: &mut dyn Io) {
        let Some(context) = self.contexts.get_mut(&ctx) else {
            return;
        };
        let Some(survey) = context.survey.take() else {
            return;
        };
        self.ids.release(survey.id);
        for answer in context.answers.drain(..) {
            io.dropped_on(answer.pipe(), Dropped::Unwanted);
        }
        if !context.receivers.is_empty() {
            let ended = context.receivers.drain(..).map(|op| (op, why.clone()));
            self.ended_recvs.extend(ended);
            io.wake_recv_all(ctx);
        }
    }
}

/// Makes a survey's number the header of a message.
fn set_id(message: &mut Message, id: u32) {
    message.header_clear();
    message
        .header_append_u32(id)
        .expect("an empty header has room for a word");
}

// ---- identity, raw ----

/// The raw asking socket of a survey: its user supplies the header, which ends in a survey number.
pub(crate) struct RawSurveyor {
    pipes: Fanout,
    received: HoldingQueue<Traced>,
}

impl RawSurveyor {
    pub(crate) fn new() -> Self {
        Self {
            pipes: Fanout::new(RAW_SEND_QUEUE, Overflow::DropNewest),
            received: HoldingQueue::new(RAW_RECV_BUFFER, Traced::default()),
        }
    }
}

impl Protocol for RawSurveyor {
    fn info(&self) -> ProtocolInfo {
        info::SURVEYOR
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
        self.pipes.send(message, None, io);
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
            ProtocolOption::RecvBuffer(limit) => {
                self.received.resize(options::recv_depth(limit, 0)?, io);
                Ok(())
            }
            ProtocolOption::Ttl(hops) => Ttl::new(hops).map(drop),
            ProtocolOption::SendBuffer(_) => Ok(()),
            _ => Err(Error::NotSupported(
                "raw surveyor sockets do not have the option",
            )),
        }
    }
}

// ---- tests ----

#[cfg(test)]
mod tests;

//! Mock pipes and a virtual clock: a world in which a machine can be tested without I/O.

use std::time::{Duration, Instant};

use super::{CtxId, Dropped, Flow, IdMap, Io, OpId, PipeId, Protocol, Sent};
use crate::error::{Error, Result};
use crate::message::Message;

/// What a machine did to the world, and the clock.
pub(crate) struct Mock {
    pub(crate) now: Instant,
    pub(crate) pipes: IdMap<PipeId, MockPipe>,
    pub(crate) recv_wakes: Vec<CtxId>,
    pub(crate) send_wakes: Vec<CtxId>,
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) filtered: usize,
    next_op: u64,
}

/// One mock pipe: what was sent on it, and how much it still takes.
#[derive(Default)]
pub(crate) struct MockPipe {
    pub(crate) sent: Vec<Message>,
    /// Messages the pipe takes before it is full.
    pub(crate) room: usize,
    full: bool,
    /// Messages that arrived and that the machine has not taken.
    waiting: std::collections::VecDeque<Message>,
    held: bool,
    pub(crate) closed: Option<Error>,
    removed: bool,
}

/// The pipe with this number.
pub(crate) fn pipe(number: u32) -> PipeId {
    PipeId::new(number).expect("tests use valid pipe numbers")
}

/// A message of header words followed by a body, flattened into the body as it comes from the wire.
pub(crate) fn wire(words: &[u32], body: &[u8]) -> Message {
    let mut message = Message::new();
    for &word in words {
        message.append_u32(word);
    }
    message.append(body);
    message
}

/// Header and body of a message, as they would go out on the wire.
pub(crate) fn flat(message: &Message) -> Vec<u8> {
    [message.header(), message.body()].concat()
}

impl Mock {
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::now(),
            pipes: IdMap::default(),
            recv_wakes: Vec::new(),
            send_wakes: Vec::new(),
            dropped: Vec::new(),
            filtered: 0,
            next_op: 1,
        }
    }

    /// A fresh operation number.
    pub(crate) fn op(&mut self) -> OpId {
        self.next_op += 1;
        OpId(self.next_op)
    }

    /// Connects pipe `number`, which takes `room` messages before it is full.
    pub(crate) fn attach(
        &mut self,
        machine: &mut dyn Protocol,
        number: u32,
        room: usize,
    ) -> Result<PipeId> {
        let id = pipe(number);
        self.pipes.insert(
            id,
            MockPipe {
                room,
                ..MockPipe::default()
            },
        );
        let added = machine.add_pipe(id, self);
        if added.is_err() {
            self.pipes.remove(&id);
        }
        added.map(|()| id)
    }

    /// Disconnects a pipe.
    pub(crate) fn detach(&mut self, machine: &mut dyn Protocol, id: PipeId) {
        self.pipes.remove(&id);
        machine.remove_pipe(id, self);
    }

    /// A message arrives on a pipe. It waits there, as in a real one, while the machine holds the pipe.
    pub(crate) fn arrive(&mut self, machine: &mut dyn Protocol, id: PipeId, mut message: Message) {
        message.set_pipe(Some(id));
        self.pipes
            .get_mut(&id)
            .expect("the pipe is attached")
            .waiting
            .push_back(message);
        self.settle(machine);
    }

    /// Messages that wait on a pipe behind the one for which the machine holds it.
    pub(crate) fn waiting(&self, id: PipeId) -> usize {
        let pipe = &self.pipes[&id];
        pipe.waiting.len() - usize::from(pipe.held)
    }

    /// What the engine does after every call of a machine: tells of what arrived, removes closed pipes.
    pub(crate) fn settle(&mut self, machine: &mut dyn Protocol) {
        let ids: Vec<PipeId> = self.pipes.keys().copied().collect();
        for id in ids {
            while let Some(pipe) = self.pipes.get(&id)
                && pipe.closed.is_none()
                && !pipe.held
                && !pipe.waiting.is_empty()
            {
                let flow = machine.arrived(id, self);
                if let Some(pipe) = self.pipes.get_mut(&id) {
                    pipe.held = flow == Flow::Held;
                }
            }
            let Some(pipe) = self.pipes.get_mut(&id) else {
                continue;
            };
            if pipe.closed.is_some() && !std::mem::replace(&mut pipe.removed, true) {
                pipe.waiting.clear();
                machine.remove_pipe(id, self);
            }
        }
    }

    /// Takes what was sent on a pipe, gives it room for `room` more messages, and tells the machine if it was full.
    pub(crate) fn drain(
        &mut self,
        machine: &mut dyn Protocol,
        id: PipeId,
        room: usize,
    ) -> Vec<Message> {
        let pipe = self.pipes.get_mut(&id).expect("the pipe is attached");
        let sent = std::mem::take(&mut pipe.sent);
        pipe.room = room;
        let was_full = std::mem::replace(&mut pipe.full, false);
        if was_full {
            machine.writable(id, self);
        }
        self.settle(machine);
        sent
    }

    /// Takes what was sent on a pipe, as flat bytes, without making room.
    pub(crate) fn sent(&mut self, id: PipeId) -> Vec<Vec<u8>> {
        let pipe = self.pipes.get_mut(&id).expect("the pipe is attached");
        std::mem::take(&mut pipe.sent).iter().map(flat).collect()
    }

    /// Why the machine closed a pipe, if it did.
    pub(crate) fn closed(&self, id: PipeId) -> Option<&Error> {
        self.pipes.get(&id)?.closed.as_ref()
    }

    /// Lets time pass, and tells the machine if its deadline was reached.
    pub(crate) fn advance(&mut self, machine: &mut dyn Protocol, time: Duration) {
        self.now += time;
        if machine
            .deadline()
            .is_some_and(|deadline| deadline <= self.now)
        {
            machine.timeout(self);
            self.settle(machine);
        }
    }

    /// One non-blocking send on a context.
    pub(crate) fn try_send(
        &mut self,
        machine: &mut dyn Protocol,
        ctx: CtxId,
        message: impl Into<Message>,
    ) -> Result<()> {
        let sent = machine.send(ctx, OpId::TRY, &mut message.into(), self);
        self.settle(machine);
        match sent {
            Sent::Done => Ok(()),
            Sent::Full => Err(Error::WouldBlock),
            Sent::Pending => panic!("a try must not leave a pending send"),
            Sent::Failed(error) => Err(*error),
        }
    }

    /// One non-blocking receive on a context.
    pub(crate) fn try_recv(&mut self, machine: &mut dyn Protocol, ctx: CtxId) -> Result<Message> {
        self.recv(machine, ctx, OpId::TRY)?.ok_or(Error::WouldBlock)
    }

    /// One attempt of a receive.
    pub(crate) fn recv(
        &mut self,
        machine: &mut dyn Protocol,
        ctx: CtxId,
        op: OpId,
    ) -> Result<Option<Message>> {
        let mut message = Message::from("whatever was there");
        let received = machine.recv(ctx, op, &mut message, self);
        self.settle(machine);
        received.map(|received| received.then_some(message))
    }

    /// Receives on the default context until there is nothing left.
    pub(crate) fn recv_all(&mut self, machine: &mut dyn Protocol) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.try_recv(machine, CtxId::SOCKET).ok())
            .map(Vec::from)
            .collect()
    }

    /// Sets an option of the socket.
    pub(crate) fn set(
        &mut self,
        machine: &mut dyn Protocol,
        option: super::ProtocolOption,
    ) -> Result<()> {
        let set = machine.set_option(CtxId::SOCKET, option, self);
        self.settle(machine);
        set
    }
}

impl Io for Mock {
    fn push(&mut self, pipe: PipeId, message: &Message) -> bool {
        let pipe = self
            .pipes
            .get_mut(&pipe)
            .expect("messages go to attached pipes only");
        assert!(
            !pipe.full && pipe.room > 0,
            "the machine pushed into a full pipe"
        );
        pipe.sent.push(message.clone());
        pipe.room -= 1;
        pipe.full = pipe.room == 0;
        !pipe.full
    }

    fn peek(&mut self, pipe: PipeId) -> Option<&[u8]> {
        let pipe = self.pipes.get_mut(&pipe)?;
        pipe.held &= !pipe.waiting.is_empty();
        let open = pipe.closed.is_none();
        pipe.waiting.front().filter(|_| open).map(Message::body)
    }

    fn take(&mut self, id: PipeId, message: &mut Message) -> Option<&[u8]> {
        let waiting = self.pipes.get_mut(&id).map(|pipe| &mut pipe.waiting);
        *message = waiting
            .and_then(std::collections::VecDeque::pop_front)
            .expect("a machine takes only what is there");
        self.peek(id)
    }

    fn close_pipe(&mut self, pipe: PipeId, why: Error) {
        if let Some(pipe) = self.pipes.get_mut(&pipe) {
            pipe.closed.get_or_insert(why);
        }
    }

    fn wake_recv(&mut self, ctx: CtxId) {
        self.recv_wakes.push(ctx);
    }

    fn wake_recv_all(&mut self, ctx: CtxId) {
        self.recv_wakes.push(ctx);
    }

    fn wake_send(&mut self, ctx: CtxId) {
        self.send_wakes.push(ctx);
    }

    fn wake_send_all(&mut self, ctx: CtxId) {
        self.send_wakes.push(ctx);
    }

    fn dropped(&mut self, why: Dropped) {
        self.dropped.push(why);
    }

    fn filtered(&mut self, _: PipeId) {
        self.filtered += 1;
    }

    fn now(&mut self) -> Instant {
        self.now
    }
}

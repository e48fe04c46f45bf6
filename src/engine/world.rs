//! The world as a socket's machine sees it: pipes to push into, operations to wake.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::events::Event;
use super::pipes::Pipes;
use super::stats::DropStats;
use super::waiters::Waiters;
#[cfg(feature = "broker")]
use crate::address::Address;
use crate::error::Error;
use crate::message::{Message, PipeId};
use crate::protocols::{CtxId, Dropped, Io};
use crate::transports::Connection;

/// Everything of a socket's state but the machine itself.
#[derive(Default)]
pub(super) struct World {
    pub(super) pipes: Pipes,
    pub(super) receivers: Waiters,
    pub(super) senders: Waiters,
    /// Who waits for pipes to come, go, or run empty.
    pub(super) watchers: Waiters,
    pub(super) drops: DropStats,
    /// Whether one of the lists below has an entry.
    pub(super) busy: bool,
    /// Pipes that were handed messages.
    pub(super) dirty: Vec<PipeId>,
    /// Pipes whose last message in memory was taken, and that have more to be read, or have ended.
    pub(super) drained: Vec<PipeId>,
    /// Pipes that may have something to read which a receive left there.
    pub(super) unread: Vec<PipeId>,
    /// Pipes that may have something to read, each once, the one that has had it longest first. Some may be held, or
    /// have been read since.
    pub(super) readable: VecDeque<PipeId>,
    /// Pipes to close.
    pub(super) condemned: Vec<(PipeId, Error)>,
    /// To be woken once the lock is given up.
    pub(super) wakes: Vec<Waker>,
    /// Connections to drop once the lock is given up: the other end of one in process is told at once.
    pub(super) gone: Vec<Arc<dyn Connection>>,
    /// To be told to the observers once the lock is given up, in order.
    pub(super) events: VecDeque<Event>,
    /// Whether a thread is telling events.
    pub(super) telling: bool,
    /// Whether the machine asked for the time: without that it cannot have come to another deadline.
    pub(super) asked_time: bool,
    /// When the last write was over that was measured.
    pub(super) last_write: Option<Instant>,
    /// Whether memory of pipes is going to be given back.
    pub(super) releases: bool,
    /// A read buffer between uses.
    pub(super) spare: Vec<u8>,
}

impl World {
    /// Notes an event for the observers.
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// A pipe's machine found no message: nothing holds the pipe now.
    #[cold]
    fn drained(&mut self, id: PipeId) {
        let Some(pipe) = self.pipes.get_mut(id) else {
            return;
        };
        let rx = &mut pipe.rx;
        rx.held = false;
        if let Err(error) = rx.decoder.ready() {
            self.close(id, error);
        } else if rx.readable || rx.ended.is_some() {
            self.list_readable(id);
            self.drained.push(id);
            self.busy = true;
        }
    }

    /// Lists a pipe that may have something to read, for receives that look for messages among many pipes.
    pub(super) fn list_readable(&mut self, id: PipeId) {
        if let Some(pipe) = self.pipes.get_mut(id)
            && pipe.rx.readable
            && !std::mem::replace(&mut pipe.rx.listed, true)
        {
            self.readable.push_back(id);
        }
    }

    /// Takes the next pipe from the list that may really be read.
    pub(super) fn next_readable(&mut self) -> Option<PipeId> {
        while let Some(id) = self.readable.pop_front() {
            if let Some(pipe) = self.pipes.get_mut(id) {
                pipe.rx.listed = false;
                if pipe.rx.readable && pipe.rx.is_open() {
                    return Some(id);
                }
            }
        }
        None
    }

    /// Whether a pipe has something left that is to be read, as far as is known.
    pub(super) fn has_rest(&self, id: PipeId) -> bool {
        let pipe = self.pipes.get(id);
        pipe.is_some_and(|pipe| pipe.rx.readable && pipe.rx.is_open())
    }

    /// The pipes of the list that may really have something to read.
    pub(super) fn noted(&self) -> impl Iterator<Item = PipeId> {
        let readable = |id: &PipeId| self.pipes.get(*id).is_some_and(|pipe| pipe.rx.readable);
        self.readable.iter().copied().filter(readable)
    }

    /// Has what events told of while a thread attended to the pipes read for receivers that wait: the thread has
    /// found what it wanted and leaves.
    pub(super) fn pass_on(&mut self) {
        if !(self.readable.is_empty() || self.receivers.is_empty()) {
            let noted: Vec<PipeId> = self.noted().collect();
            self.unread.extend(noted);
        }
    }

    /// Wakes whoever waits for pipes to change.
    pub(super) fn pipes_changed(&mut self) {
        self.watchers.drain(&mut self.wakes);
    }

    /// Wakes every operation there is.
    pub(super) fn wake_everyone(&mut self) {
        self.receivers.drain(&mut self.wakes);
        self.senders.drain(&mut self.wakes);
        self.pipes_changed();
    }
}

impl Io for World {
    #[inline]
    fn push(&mut self, id: PipeId, message: &Message) -> bool {
        let count = self.pipes.len();
        let Some(pipe) = self.pipes.get_mut(id) else {
            return false;
        };
        pipe.stats.tx_msgs += 1;
        pipe.stats.tx_bytes += message.wire_len() as u64;
        let tx = &mut pipe.tx;
        tx.filling.push(message);
        tx.pace.message();
        if tx.wants_write(count) && !tx.dirty {
            tx.dirty = true;
            self.dirty.push(id);
            self.busy = true;
        }
        tx.full = !tx.has_room();
        !tx.full
    }

    #[inline]
    fn peek(&mut self, id: PipeId) -> Option<&[u8]> {
        let rx = &mut self.pipes.get_mut(id)?.rx;
        if rx.decoder.ready() != Ok(true) || rx.closed {
            self.drained(id);
            return None;
        }
        Some(self.pipes.get(id)?.rx.decoder.front())
    }

    #[inline]
    fn take(&mut self, id: PipeId, message: &mut Message) -> Option<&[u8]> {
        let pipe = self.pipes.get_mut(id)?;
        pipe.rx.decoder.take(message);
        message.set_pipe(Some(id));
        pipe.stats.rx_msgs += 1;
        pipe.stats.rx_bytes += message.len() as u64;
        if pipe.rx.decoder.ready() != Ok(true) || pipe.rx.closed {
            self.drained(id);
            return None;
        }
        Some(self.pipes.get(id)?.rx.decoder.front())
    }

    fn close_pipe(&mut self, pipe: PipeId, why: Error) {
        self.close(pipe, why);
    }

    #[cfg(feature = "broker")]
    fn peer(&self, pipe: PipeId) -> Option<std::net::IpAddr> {
        match self.pipes.get(pipe)?.info.peer {
            Address::Inet(address) => Some(address.ip()),
            _ => None,
        }
    }

    #[cfg(feature = "broker")]
    fn limit(&mut self, pipe: PipeId, bytes: usize) {
        let Some(pipe) = self.pipes.get_mut(pipe) else {
            return;
        };
        let rx = &mut pipe.rx;
        rx.limit = match rx.longest {
            0 => bytes,
            longest => bytes.min(longest),
        };
        rx.decoder.set_limit(rx.limit);
        pipe.connection.set_limit(rx.limit);
    }

    #[cfg(feature = "broker")]
    fn is_watched(&self, pipe: PipeId) -> bool {
        let pipe = self.pipes.get(pipe);
        pipe.is_some_and(|pipe| pipe.connection.fd().is_some())
    }

    fn wake_recv(&mut self, ctx: CtxId) {
        if !self.receivers.is_empty() {
            self.wakes.extend(self.receivers.take_one(ctx));
        }
    }

    fn wake_recv_all(&mut self, ctx: CtxId) {
        self.receivers.take_all(ctx, &mut self.wakes);
    }

    fn wake_send(&mut self, ctx: CtxId) {
        if !self.senders.is_empty() {
            self.wakes.extend(self.senders.take_one(ctx));
        }
    }

    fn wake_send_all(&mut self, ctx: CtxId) {
        self.senders.take_all(ctx, &mut self.wakes);
    }

    fn dropped(&mut self, why: Dropped) {
        self.drops.count(why);
    }

    fn dropped_on(&mut self, pipe: Option<PipeId>, why: Dropped) {
        self.dropped(why);
        let Some(pipe) = pipe.and_then(|pipe| self.pipes.get_mut(pipe)) else {
            return;
        };
        pipe.stats.dropped.count(why);
        if pipe.stats.dropped.messages() == 1 {
            let pipe = pipe.info.clone();
            self.tell(Event::Dropping { pipe, reason: why });
        }
    }

    fn filtered(&mut self, pipe: PipeId) {
        if let Some(pipe) = self.pipes.get_mut(pipe) {
            pipe.stats.rx_filtered += 1;
        }
    }

    fn now(&mut self) -> Instant {
        self.asked_time = true;
        Instant::now()
    }
}

//! Sending to many pipes: each has its own queue, so that a slow peer holds up nobody else.

use std::collections::VecDeque;

use super::queue::count_dropped;
use super::{Dropped, Io, PipeId};
use crate::message::Message;

/// One pipe and what waits for it. Messages wait only while the pipe is full.
#[derive(Debug)]
pub(super) struct Outlet {
    pipe: PipeId,
    ready: bool,
    queue: VecDeque<Message>,
}

impl Outlet {
    /// The outlet of a pipe that was just connected.
    pub(super) fn new(pipe: PipeId) -> Self {
        Self {
            pipe,
            ready: true,
            queue: VecDeque::new(),
        }
    }

    /// Whether a message can go out, or wait in a queue of `depth`.
    #[inline]
    pub(super) fn has_room(&self, depth: usize) -> bool {
        self.ready || self.queue.len() < depth
    }

    /// Hands a message to the pipe, or lets it wait.
    #[inline]
    pub(super) fn put(&mut self, message: &Message, io: &mut dyn Io) {
        if self.ready {
            self.ready = io.push(self.pipe, message);
        } else {
            self.queue.push_back(message.clone());
        }
    }

    /// The pipe can take messages again.
    pub(super) fn writable(&mut self, io: &mut dyn Io) {
        self.ready = true;
        while self.ready
            && let Some(message) = self.queue.pop_front()
        {
            self.ready = io.push(self.pipe, &message);
        }
    }

    pub(super) fn unsent(&self) -> usize {
        self.queue.len()
    }

    /// The pipe is gone, and with it what waits for it.
    pub(super) fn discard(self, io: &mut dyn Io) {
        count_dropped(io, Dropped::NoPipe, self.queue.len());
    }

    fn shrink(&mut self, depth: usize, io: &mut dyn Io) {
        for _ in depth..self.queue.len() {
            io.dropped_on(Some(self.pipe), Dropped::SendQueueFull);
        }
        self.queue.truncate(depth);
    }
}

/// Which message a full queue drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    DropOldest,
    DropNewest,
}

/// All pipes of a socket that sends every message to each of them.
#[derive(Debug)]
pub(super) struct Fanout {
    /// Sorted by pipe. Pipe numbers rise, so a new one nearly always goes to the end.
    outlets: Vec<Outlet>,
    depth: usize,
    overflow: Overflow,
}

impl Fanout {
    /// No pipes yet; each will have a queue of `depth`.
    pub(super) fn new(depth: usize, overflow: Overflow) -> Self {
        Self {
            outlets: Vec::new(),
            depth,
            overflow,
        }
    }

    pub(super) fn add_pipe(&mut self, pipe: PipeId) {
        if let Err(at) = self.find(pipe) {
            self.outlets.insert(at, Outlet::new(pipe));
        }
    }

    pub(super) fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        if let Ok(at) = self.find(pipe) {
            self.outlets.remove(at).discard(io);
        }
    }

    pub(super) fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        if let Ok(at) = self.find(pipe)
            && let Some(outlet) = self.outlets.get_mut(at)
        {
            outlet.writable(io);
        }
    }

    /// Sends the message to every pipe but `except`.
    pub(super) fn send(&mut self, message: &Message, except: Option<PipeId>, io: &mut dyn Io) {
        let mut anybody = false;
        for outlet in &mut self.outlets {
            if Some(outlet.pipe) == except {
                continue;
            }
            anybody = true;
            if make_room(outlet, self.depth, self.overflow, io) {
                outlet.put(message, io);
            }
        }
        if !anybody {
            io.dropped(Dropped::NoPipe);
        }
    }

    /// Sends the message to one pipe, which may be gone.
    pub(super) fn send_to(&mut self, pipe: PipeId, message: &Message, io: &mut dyn Io) {
        let found = self.find(pipe).ok();
        let Some(outlet) = found.and_then(|at| self.outlets.get_mut(at)) else {
            return io.dropped(Dropped::NoPipe);
        };
        if make_room(outlet, self.depth, self.overflow, io) {
            outlet.put(message, io);
        }
    }

    pub(super) fn unsent(&self) -> usize {
        self.outlets.iter().map(Outlet::unsent).sum()
    }

    /// Changes the depth of every pipe's queue.
    pub(super) fn resize(&mut self, depth: usize, io: &mut dyn Io) {
        self.depth = depth;
        for outlet in &mut self.outlets {
            outlet.shrink(depth, io);
        }
    }

    fn find(&self, pipe: PipeId) -> Result<usize, usize> {
        self.outlets
            .binary_search_by_key(&pipe, |outlet| outlet.pipe)
    }
}

/// Drops the oldest message of a full outlet if that is the rule. Returns whether the new one may be put there.
#[inline]
fn make_room(outlet: &mut Outlet, depth: usize, overflow: Overflow, io: &mut dyn Io) -> bool {
    if outlet.has_room(depth) {
        return true;
    }
    io.dropped_on(Some(outlet.pipe), Dropped::SendQueueFull);
    overflow == Overflow::DropOldest && outlet.queue.pop_front().is_some()
}

// ---- tests ----

#[cfg(test)]
pub(super) mod model;

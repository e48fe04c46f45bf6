//! Bounded send queues, one per pipe, for protocols that never make a sender wait.

use std::collections::VecDeque;

use super::{Dropped, IdMap, Io, PipeId};
use crate::message::Message;

/// A send queue for every pipe. A message for a pipe whose queue is full is dropped for that pipe.
pub(crate) struct Fanout {
    lanes: IdMap<PipeId, Lane>,
    depth: usize,
}

struct Lane {
    ready: bool,
    /// Not empty only while the pipe is not ready.
    queue: VecDeque<Message>,
}

impl Fanout {
    /// Queues of `depth` messages, besides what a pipe itself takes.
    pub(crate) fn new(depth: usize) -> Self {
        Self {
            lanes: IdMap::default(),
            depth,
        }
    }

    pub(crate) fn add(&mut self, pipe: PipeId) {
        let lane = Lane {
            ready: true,
            queue: VecDeque::new(),
        };
        self.lanes.insert(pipe, lane);
    }

    pub(crate) fn remove(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let lane = self.lanes.remove(&pipe);
        for _ in lane.into_iter().flat_map(|lane| lane.queue) {
            io.dropped(Dropped::NoPipe);
        }
    }

    pub(crate) fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let Some(lane) = self.lanes.get_mut(&pipe) else {
            return;
        };
        lane.ready = true;
        while lane.ready
            && let Some(message) = lane.queue.pop_front()
        {
            lane.ready = io.push(pipe, message);
        }
    }

    /// Sends to one pipe, which may be gone.
    pub(crate) fn send_to(&mut self, pipe: PipeId, message: Message, io: &mut dyn Io) {
        match self.lanes.get_mut(&pipe) {
            Some(lane) => lane.send(pipe, message, self.depth, io),
            None => io.dropped(Dropped::NoPipe),
        }
    }

    /// Sends to all pipes.
    pub(crate) fn send_all(&mut self, mut message: Message, io: &mut dyn Io) {
        if self.lanes.len() > 1 {
            message.share();
        }
        let mut lanes = self.lanes.iter_mut();
        let Some((&first, first_lane)) = lanes.next() else {
            return;
        };
        for (&pipe, lane) in lanes {
            lane.send(pipe, message.clone(), self.depth, io);
        }
        first_lane.send(first, message, self.depth, io);
    }

    /// Messages that wait in the queues.
    pub(crate) fn queued(&self) -> usize {
        self.lanes.values().map(|lane| lane.queue.len()).sum()
    }
}

impl Lane {
    fn send(&mut self, pipe: PipeId, message: Message, depth: usize, io: &mut dyn Io) {
        if self.ready {
            self.ready = io.push(pipe, message);
        } else if self.queue.len() < depth {
            self.queue.push_back(message);
        } else {
            io.dropped(Dropped::SendQueueFull);
        }
    }
}

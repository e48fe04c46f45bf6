//! The hop count of pair version 1: one word in front of the body, at most 255.
//!
//! As in nng, the sender counts: a message leaves its origin with 1, and a raw socket adds one to what it was given.
//! The receiver leaves the word in the message's header and drops what has come further than the time-to-live.
//! (mangos starts at 0 and counts on receipt; either side accepts the other's.)

use std::ops::ControlFlow;

use super::{Dropped, Flow, Io, PipeId, options};
use crate::error::{Error, Result};
use crate::message::Message;

const DEFAULT_TTL: u8 = 8;
const MAX_HOPS: u32 = 255;

/// The limit on the hops of received messages.
#[derive(Debug)]
pub(super) struct Hops {
    ttl: u8,
}

impl Hops {
    pub(super) fn new() -> Self {
        Self { ttl: DEFAULT_TTL }
    }

    pub(super) fn set_ttl(&mut self, ttl: u8) -> Result<()> {
        self.ttl = options::ttl(ttl)?;
        Ok(())
    }

    /// Moves the hop count of a received message into its header. Breaks when the message goes no further.
    pub(super) fn admit(
        &self,
        pipe: PipeId,
        message: &mut Message,
        io: &mut dyn Io,
    ) -> ControlFlow<Flow> {
        let hops = match message.trim_u32() {
            Ok(hops) if hops <= MAX_HOPS => hops,
            _ => {
                let why = "a pair1 message must start with a hop count of at most 255";
                io.close_pipe(pipe, Error::Malformed(why));
                return ControlFlow::Break(Flow::Pause);
            }
        };
        if hops > u32::from(self.ttl) {
            io.dropped(Dropped::Ttl);
            return ControlFlow::Break(Flow::Continue);
        }
        set(message, hops);
        ControlFlow::Continue(())
    }
}

/// Fails unless a raw socket can send `message`: its header must be a hop count that can still grow.
pub(super) fn check(message: &Message) -> Result<()> {
    match <[u8; 4]>::try_from(message.header()).map(u32::from_be_bytes) {
        Ok(hops) if hops < MAX_HOPS => Ok(()),
        _ => Err(Error::Malformed(
            "the header of a raw pair1 message must be a hop count below 255",
        )),
    }
}

/// Counts one more hop on a message that goes out; without a header it is at its origin.
pub(super) fn advance(message: &mut Message) {
    let hops = message.header_trim_u32().unwrap_or(0);
    message.header_clear();
    set(message, hops + 1);
}

fn set(message: &mut Message, hops: u32) {
    message
        .header_append_u32(hops)
        .expect("one word fits into an empty header");
}

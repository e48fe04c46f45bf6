//! The hop count of pair version 1: one word in front of the body, at most 255.
//!
//! As in nng, the sender counts: a message leaves its origin with 1, and a raw socket adds one to what it was given.
//! The receiver leaves the word in the message's header and drops what has come further than the time-to-live.
//! (mangos starts at 0 and counts on receipt; either side accepts the other's.)

use super::queue::{Admission, Verdict};
use super::{Dropped, options};
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
}

impl Admission for Hops {
    #[inline]
    fn judge(&self, wire: &[u8]) -> Verdict {
        match wire.first_chunk().map(|word| u32::from_be_bytes(*word)) {
            Some(hops) if hops <= u32::from(self.ttl) => Verdict::Admit,
            Some(hops) if hops <= MAX_HOPS => Verdict::Drop(Dropped::Ttl),
            _ => Verdict::Close("a pair1 message must start with a hop count of at most 255"),
        }
    }

    #[inline]
    fn unwrap(&self, message: &mut Message) {
        message.unwrap_words(1);
    }
}

/// Version 0 counts no hops.
impl Admission for Option<Hops> {
    #[inline]
    fn judge(&self, wire: &[u8]) -> Verdict {
        self.as_ref()
            .map_or(Verdict::Admit, |hops| hops.judge(wire))
    }

    #[inline]
    fn unwrap(&self, message: &mut Message) {
        if let Some(hops) = self {
            hops.unwrap(message);
        }
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

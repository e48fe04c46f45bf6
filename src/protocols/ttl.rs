//! Admission of messages that carry a backtrace, and the limit on the hops they made.

use super::{Dropped, Flow, Io, PipeId, options};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::wire::backtrace::{self, Refused};

/// The option `ttl-max`: the most hops a message may have made, the last one to this socket included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ttl(u8);

impl Ttl {
    pub(crate) fn new(hops: u8) -> Result<Self> {
        options::ttl(hops).map(Self)
    }
}

impl Default for Ttl {
    fn default() -> Self {
        Self(8)
    }
}

/// Moves a message's backtrace into its header. A message that must not go on is dropped, or its pipe closed, and
/// the error says what to answer to the delivery. Answers, unlike requests, are admitted without a limit.
pub(crate) fn admit(
    pipe: PipeId,
    message: &mut Message,
    ttl: Option<Ttl>,
    io: &mut dyn Io,
) -> Result<(), Flow> {
    match backtrace::take(message, ttl.map(|ttl| ttl.0)) {
        Ok(()) => Ok(()),
        Err(Refused::Expired) => {
            io.dropped(Dropped::Ttl);
            Err(Flow::Continue)
        }
        Err(Refused::Garbage) => {
            io.close_pipe(
                pipe,
                Error::Malformed("a message's stack of pipe numbers does not end in an id"),
            );
            Err(Flow::Pause)
        }
    }
}

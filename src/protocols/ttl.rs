//! Admission of messages that carry a backtrace, and the limit on the hops they made.

use super::{Dropped, Flow, Io, PipeId};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::wire::backtrace::{self, Refused};

/// The option `ttl-max`: the most hops a message may have made, the last one to this socket included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ttl(u8);

impl Ttl {
    pub(crate) fn new(hops: u8) -> Result<Self> {
        match hops {
            1..=15 => Ok(Self(hops)),
            _ => Err(Error::bad_option("ttl-max", hops, "1 to 15")),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_1_to_15() {
        assert!(Ttl::new(1).is_ok() && Ttl::new(15).is_ok());
        for hops in [0, 16, 255] {
            assert!(
                matches!(Ttl::new(hops), Err(Error::InvalidOption(bad)) if bad.option == "ttl-max")
            );
        }
    }
}

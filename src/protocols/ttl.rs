//! Messages that carry a backtrace, and the limit on the hops they made.

use super::queue::{Admission, Verdict};
use super::{Dropped, options};
use crate::error::Result;
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

/// Demands a backtrace, which goes into the header. Answers, unlike requests, are admitted without a limit.
#[derive(Debug, Default)]
pub(super) struct Traced {
    pub(super) ttl: Option<Ttl>,
    /// Whether the number of the pipe a message came from goes in front.
    pub(super) names_pipe: bool,
}

impl Traced {
    /// For a socket that receives requests or surveys.
    pub(super) fn requests(names_pipe: bool) -> Self {
        Self {
            ttl: Some(Ttl::default()),
            names_pipe,
        }
    }

    fn limit(&self) -> Option<u8> {
        self.ttl.map(|ttl| ttl.0)
    }
}

impl Admission for Traced {
    #[inline]
    fn judge(&self, wire: &[u8]) -> Verdict {
        match backtrace::words(wire, self.limit()) {
            Ok(_) => Verdict::Admit,
            Err(Refused::Expired) => Verdict::Drop(Dropped::Ttl),
            Err(Refused::Garbage) => {
                Verdict::Close("a message's stack of pipe numbers does not end in an id")
            }
        }
    }

    #[inline]
    fn unwrap(&self, message: &mut Message) {
        if let Ok(words) = backtrace::words(message.body(), self.limit()) {
            message.unwrap_words(words);
        }
        if self.names_pipe
            && let Some(pipe) = message.pipe()
        {
            message
                .header_insert_u32(pipe.number())
                .expect("a stack within its time-to-live leaves room for a word");
        }
    }
}

//! A client's connection, and how far it has come.

use uuid::Uuid;

use crate::broker::codec::{Encoding, encode, encode_packed};
use crate::broker::crypto::{Cipher, Greeting};
use crate::broker::message::Message as Letter;
use crate::broker::wrap::{wrap, wrap_plain};
use crate::error::{Error, Result};
use crate::message::PipeId;
use crate::protocols::Io;

pub(super) struct Link {
    pub(super) pipe: PipeId,
    pub(super) ready: bool,
    pub(super) state: State,
    pub(super) login: Login,
    /// The request for the broker's configuration, until that is there.
    pub(super) config: Option<Uuid>,
    /// From which length on payloads are compressed, if any are.
    pub(super) cutoff: Option<usize>,
}

#[derive(PartialEq, Eq)]
pub(super) enum Login {
    /// It is done, or there is nothing to log in with.
    Done,
    /// Until the answer to the request with this id is there.
    UnderWay(Uuid),
    /// The connection is of no use. It stays, so that the broker is not asked again and again.
    Refused,
}

pub(super) enum State {
    Plain,
    Greeting(Option<Greeting>),
    Secret(Box<Cipher>),
}

impl Link {
    pub(super) fn new(pipe: PipeId) -> Self {
        Self {
            pipe,
            ready: true,
            state: State::Plain,
            login: Login::Done,
            config: None,
            cutoff: None,
        }
    }

    pub(super) fn is_established(&self) -> bool {
        self.login == Login::Done && !matches!(self.state, State::Greeting(_))
    }

    /// Sends a letter as it has to be here: compressed, or encrypted.
    pub(super) fn send(&mut self, letter: &Letter, io: &mut dyn Io) -> Result<()> {
        let packed = self.cutoff.map(|cutoff| encode_packed(letter, cutoff));
        let frame = match (&mut self.state, packed) {
            (State::Secret(cipher), packed) => {
                let plain = packed.unwrap_or_else(|| encode(letter, Encoding::Binary));
                let sealed = cipher.seal(&plain);
                wrap(sealed.map_err(|_| Error::Malformed("an encrypted session is used up"))?)
            }
            (_, Some(packed)) => wrap(packed),
            (_, None) => wrap_plain(letter, Encoding::Binary),
        };
        self.ready = io.push(self.pipe, &frame);
        Ok(())
    }

    /// Sends a part of the handshake.
    pub(super) fn push(&mut self, frame: Vec<u8>, io: &mut dyn Io) {
        self.ready = io.push(self.pipe, &wrap(frame));
    }
}

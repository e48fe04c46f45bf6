//! A client's connection, and how far it has come.

use bytes::Bytes;
use uuid::Uuid;

use crate::broker::codec::{Encoding, encode, encode_packed};
use crate::broker::crypto::{Cipher, Greeting};
use crate::broker::message::Message as Letter;
use crate::error::{Error, Result};
use crate::message::{Message, PipeId};
use crate::protocols::Io;

/// What a message of pair version 1 begins with when it has passed no device.
const FIRST_HOP: u32 = 1;

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
        let plain = match self.cutoff {
            Some(cutoff) => encode_packed(letter, cutoff),
            None => encode(letter, Encoding::Binary),
        };
        let frame = match &mut self.state {
            State::Secret(cipher) => Bytes::from(
                cipher
                    .seal(&plain)
                    .map_err(|_| Error::Malformed("an encrypted session is used up"))?,
            ),
            _ => plain,
        };
        self.push(frame.into(), io);
        Ok(())
    }

    pub(super) fn push(&mut self, mut message: Message, io: &mut dyn Io) {
        message.header_clear();
        // One word fits into an empty header.
        let _ = message.header_append_u32(FIRST_HOP);
        self.ready = io.push(self.pipe, &message);
    }
}

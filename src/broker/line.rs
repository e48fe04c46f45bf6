//! The broker's end of a connection as far as secrecy goes: what it demands, and what has been agreed on.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::crypto::{self, Challenge, Cipher, Fault};
use super::keys::{Identity, PublicKey};
use super::wrap::wrap;
use crate::error::{Error, Result};
use crate::message::Message;

/// What a broker demands of its clients' connections, and proves to them.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    pub(super) encrypt: bool,
    pub(super) identity: Option<Identity>,
    /// The clients that are served, if not all are.
    pub(super) clients: Option<BTreeSet<PublicKey>>,
}

impl Guard {
    /// Whether nothing is taken in the clear.
    pub(super) fn encrypts(&self) -> bool {
        self.encrypt || self.clients.is_some()
    }
}

/// What is agreed on with one client.
#[derive(Default)]
pub(super) struct Line {
    cipher: Option<Cipher>,
    /// Until the client has sent something else than its proof.
    challenge: Option<Challenge>,
    key: Option<PublicKey>,
}

/// What a frame was.
pub(super) enum Came {
    Message(Bytes),
    /// A part of the handshake, and the answer to it.
    Handshake(Option<Vec<u8>>),
}

impl Line {
    /// Takes a frame of the client. An error cuts it off.
    pub(super) fn take(&mut self, frame: Message, guard: &Guard) -> Result<Came> {
        let challenge = self.challenge.take();
        match (&mut self.cipher, frame.body().first()) {
            (Some(_), Some(&crypto::PROOF)) => {
                let proven = challenge.ok_or(Fault::Malformed);
                let proven = proven.and_then(|challenge| challenge.proven(frame.body()));
                let bad = |_| Error::Malformed("an unusable proof of a key");
                self.key = Some(proven.map_err(bad)?);
                Ok(Came::Handshake(None))
            }
            (Some(cipher), _) => {
                let bad = "an encrypted frame that is not as it was sent";
                let plain = cipher.open(frame.body());
                let plain = plain.map_err(|_| Error::Malformed(bad))?;
                Ok(Came::Message(plain.into()))
            }
            (None, Some(&crypto::HELLO)) => {
                let welcome = crypto::welcome(frame.body(), guard.identity.as_ref());
                let bad = |_| Error::Malformed("an unusable offer to encrypt");
                let (cipher, challenge, answer) = welcome.map_err(bad)?;
                (self.cipher, self.challenge) = (Some(cipher), Some(challenge));
                Ok(Came::Handshake(Some(answer)))
            }
            (None, _) if guard.encrypts() => Err(Error::PermissionDenied),
            (None, _) => Ok(Came::Message(frame.into())),
        }
    }

    /// Whether what is sent can be read on the way.
    pub(super) fn is_plain(&self) -> bool {
        self.cipher.is_none()
    }

    /// Makes the frame for a message.
    pub(super) fn seal(&mut self, plain: Bytes) -> Result<Bytes, Fault> {
        match &mut self.cipher {
            None => Ok(plain),
            Some(cipher) => cipher.seal(&plain).map(Bytes::from),
        }
    }

    /// Makes the frame for a message that is one in the clear.
    pub(super) fn seal_frame(&mut self, plain: Message) -> Result<Message, Fault> {
        match &mut self.cipher {
            None => Ok(plain),
            Some(cipher) => cipher.seal(plain.body()).map(wrap),
        }
    }

    /// Whether the client is one of those that are served.
    pub(super) fn is_known(&self, guard: &Guard) -> bool {
        match &guard.clients {
            None => true,
            Some(known) => self.key.is_some_and(|key| known.contains(&key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::crypto::Greeting;
    use super::*;

    /// A client with a key, its proof, and the broker's end.
    fn greeted() -> (Cipher, Vec<u8>, Line) {
        let identity = Identity::generate().unwrap();
        let (greeting, hello) = Greeting::new().unwrap();
        let mut line = Line::default();
        let came = line.take(hello.into(), &Guard::default()).unwrap();
        let Came::Handshake(Some(answer)) = came else {
            panic!("no answer");
        };
        let (cipher, proof) = greeting.answered(&answer, None, Some(&identity)).unwrap();
        (cipher, proof.unwrap(), line)
    }

    #[test]
    fn a_key_is_proven_before_anything_is_said_or_never() {
        let guard = Guard::default();
        let (mut client, proof, mut line) = greeted();
        assert!(line.take(proof.clone().into(), &guard).is_ok());
        assert!(line.key.is_some());
        assert!(line.take(proof.into(), &guard).is_err(), "twice");
        let frame = client.seal(b"x").unwrap();
        assert!(line.take(frame.into(), &guard).is_ok());

        let (mut client, proof, mut line) = greeted();
        let frame = client.seal(b"x").unwrap();
        assert!(line.take(frame.into(), &guard).is_ok());
        assert!(line.take(proof.into(), &guard).is_err(), "late");
        assert!(line.key.is_none());
    }
}

//! Encryption between a client and the broker: an ephemeral X25519 exchange, HKDF-SHA256, AES-256-GCM.
//!
//! | Frame | Sender | Content behind the first byte |
//! |---|---|---|
//! | `0xE1` hello | client | version 1; ephemeral key, 32 bytes |
//! | `0xE2` answer | server | ephemeral key, 32 bytes; nothing, or the server's Ed25519 key and signature |
//! | `0xE3` proof | client | the client's Ed25519 key and signature; sent next or never |
//! | `0xE5` data | both | counter, 8 bytes big-endian; ciphertext; tag, 16 bytes |
//!
//! The server signs a label and the SHA-256 digest of hello and the ephemeral part of the answer, the client another
//! label and the digest of both frames, so that a server cannot pass the proof on to another one. The keys, one for
//! each direction, come from the shared secret with the first digest as salt, so that both ends have the same view of
//! the handshake or none at all. A frame's first byte and counter are authenticated with its content; a counter that is not
//! the next one ends the session, which refuses what is repeated, left out, reordered or sent back.
//!
//! Whether a session is encrypted, and whose keys are accepted, is each end's own configuration: nothing the peer says
//! makes it weaker.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey, X25519};
use ring::digest::{Digest, SHA256, digest};
use ring::hkdf::{self, HKDF_SHA256};
use ring::rand::SystemRandom;
use ring::signature::{self, ED25519};

use super::keys::{Identity, KEY, PublicKey};

/// First byte of each frame. JSON and the binary encoding begin otherwise.
pub(super) const HELLO: u8 = 0xe1;
pub(super) const ANSWER: u8 = 0xe2;
pub(super) const PROOF: u8 = 0xe3;
pub(super) const DATA: u8 = 0xe5;

const VERSION: u8 = 1;
const SIGNATURE: usize = 64;
const COUNTER: usize = 8;
/// What encryption adds to a frame: first byte, counter, tag.
pub(super) const OVERHEAD: usize = 1 + COUNTER + 16;
/// Frames of one key: far below where AES-GCM would begin to weaken.
const MAX_FRAMES: u64 = 1 << 40;

/// Why encryption failed. The session is over then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A handshake frame has the wrong length, version or place.
    Malformed,
    /// A signature is missing or wrong.
    BadSignature,
    /// The key is none of those that are pinned.
    UnknownKey,
    /// A frame was changed, repeated, left out, or comes from elsewhere.
    Tampered,
    /// The system gives no random numbers, or the keys are used up.
    Exhausted,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "a malformed handshake frame",
            Self::BadSignature => "a missing or wrong signature",
            Self::UnknownKey => "a key that is not pinned",
            Self::Tampered => "a frame that was changed, repeated or left out",
            Self::Exhausted => "no random numbers, or too many frames for one key",
        })
    }
}

// ---- handshake ----

const BY_SERVER: &[u8] = b"wirebird broker, server";
const BY_CLIENT: &[u8] = b"wirebird broker, client";

/// A client that has said hello.
pub(super) struct Greeting {
    secret: EphemeralPrivateKey,
    hello: Vec<u8>,
}

impl Greeting {
    /// Begins. The second value is the frame to send.
    pub(super) fn new() -> Result<(Self, Vec<u8>), Fault> {
        let (secret, public) = ephemeral()?;
        let mut hello = vec![HELLO, VERSION];
        hello.extend_from_slice(&public);
        let frame = hello.clone();
        Ok((Self { secret, hello }, frame))
    }

    /// Takes the server's answer. `server` is the key the server must have, in the signed mode. Gives the session, and
    /// the proof to send if we have an identity.
    pub(super) fn answered(
        self,
        answer: &[u8],
        server: Option<&PublicKey>,
        identity: Option<&Identity>,
    ) -> Result<(Cipher, Option<Vec<u8>>), Fault> {
        let (ephemeral, signed) = answer.split_at_checked(1 + KEY).ok_or(Fault::Malformed)?;
        let (&first, theirs) = ephemeral.split_first().ok_or(Fault::Malformed)?;
        if first != ANSWER {
            return Err(Fault::Malformed);
        }
        let transcript = digest(&SHA256, &[&self.hello[..], ephemeral].concat());
        if server.is_some() || !signed.is_empty() {
            let shown = verify(BY_SERVER, transcript.as_ref(), signed)?;
            if server.is_some_and(|pinned| shown != *pinned) {
                return Err(Fault::UnknownKey);
            }
        }
        let keys = Keys::agree(self.secret, theirs, transcript.as_ref())?;
        let proof = identity.map(|identity| {
            let whole = digest(&SHA256, &[&self.hello[..], answer].concat());
            let mut proof = vec![PROOF];
            sign(identity, BY_CLIENT, whole.as_ref(), &mut proof);
            proof
        });
        Ok((Cipher::new(keys.client, keys.server), proof))
    }
}

/// Takes a client's hello. Gives the session, what a proof of the client is about, and the answer to send.
pub(super) fn welcome(
    hello: &[u8],
    identity: Option<&Identity>,
) -> Result<(Cipher, Challenge, Vec<u8>), Fault> {
    let Some(([HELLO, VERSION], theirs)) = hello.split_first_chunk() else {
        return Err(Fault::Malformed);
    };
    if theirs.len() != KEY {
        return Err(Fault::Malformed);
    }
    let (secret, public) = ephemeral()?;
    let mut answer = vec![ANSWER];
    answer.extend_from_slice(&public);
    let transcript = digest(&SHA256, &[hello, &answer].concat());
    let keys = Keys::agree(secret, theirs, transcript.as_ref())?;
    if let Some(identity) = identity {
        sign(identity, BY_SERVER, transcript.as_ref(), &mut answer);
    }
    let whole = digest(&SHA256, &[hello, &answer].concat());
    let cipher = Cipher::new(keys.server, keys.client);
    Ok((cipher, Challenge(whole), answer))
}

/// What a client signs to prove its key.
pub(super) struct Challenge(Digest);

impl Challenge {
    /// Checks a client's proof; returns its key.
    pub(super) fn proven(&self, proof: &[u8]) -> Result<PublicKey, Fault> {
        match proof.split_first() {
            Some((&PROOF, signed)) => verify(BY_CLIENT, self.0.as_ref(), signed),
            _ => Err(Fault::Malformed),
        }
    }
}

fn ephemeral() -> Result<(EphemeralPrivateKey, Vec<u8>), Fault> {
    let secret = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new());
    let secret = secret.map_err(|_| Fault::Exhausted)?;
    let public = secret.compute_public_key().map_err(|_| Fault::Exhausted)?;
    Ok((secret, public.as_ref().to_vec()))
}

/// Adds our key and our signature.
fn sign(identity: &Identity, label: &[u8], transcript: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&identity.public_key().0);
    into.extend_from_slice(identity.sign(&[label, transcript].concat()).as_ref());
}

/// Checks a key and its signature; returns the key.
fn verify(label: &[u8], transcript: &[u8], signed: &[u8]) -> Result<PublicKey, Fault> {
    let Some((key, signature)) = signed.split_first_chunk::<KEY>() else {
        return Err(Fault::BadSignature);
    };
    if signature.len() != SIGNATURE {
        return Err(Fault::BadSignature);
    }
    signature::UnparsedPublicKey::new(&ED25519, key)
        .verify(&[label, transcript].concat(), signature)
        .map_err(|_| Fault::BadSignature)?;
    Ok(PublicKey(*key))
}

/// The keys of the two directions.
struct Keys {
    client: LessSafeKey,
    server: LessSafeKey,
}

impl Keys {
    fn agree(secret: EphemeralPrivateKey, theirs: &[u8], salt: &[u8]) -> Result<Self, Fault> {
        let theirs = UnparsedPublicKey::new(&X25519, theirs);
        agreement::agree_ephemeral(secret, &theirs, |shared| {
            let secret = hkdf::Salt::new(HKDF_SHA256, salt).extract(shared);
            let key = |label: &'static [u8]| {
                let label = [label];
                let okm = secret.expand(&label, &AES_256_GCM);
                okm.map(|okm| LessSafeKey::new(UnboundKey::from(okm)))
                    .map_err(|_| Fault::Malformed)
            };
            Ok(Self {
                client: key(BY_CLIENT)?,
                server: key(BY_SERVER)?,
            })
        })
        // A point of small order.
        .unwrap_or(Err(Fault::Malformed))
    }
}

// ---- data ----

/// An encrypted session: seals what goes out, opens what comes in.
pub(super) struct Cipher {
    out: Direction,
    into: Direction,
}

struct Direction {
    key: LessSafeKey,
    next: u64,
}

impl Cipher {
    fn new(out: LessSafeKey, into: LessSafeKey) -> Self {
        Self {
            out: Direction { key: out, next: 0 },
            into: Direction { key: into, next: 0 },
        }
    }

    /// Makes the frame for a message.
    pub(super) fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, Fault> {
        let header = self.out.header()?;
        let mut frame = Vec::with_capacity(plain.len() + OVERHEAD);
        frame.extend_from_slice(&header);
        frame.extend_from_slice(plain);
        let nonce = self.out.advance();
        let body = frame.get_mut(header.len()..).ok_or(Fault::Malformed)?;
        let tag = self
            .out
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(header), body)
            .map_err(|_| Fault::Exhausted)?;
        frame.extend_from_slice(tag.as_ref());
        Ok(frame)
    }

    /// Gives the message in a frame.
    pub(super) fn open(&mut self, frame: &[u8]) -> Result<Vec<u8>, Fault> {
        let header = self.into.header()?;
        let body = frame.strip_prefix(&header[..]).ok_or(Fault::Tampered)?;
        let mut body = body.to_vec();
        let nonce = self.into.advance();
        let plain = self
            .into
            .key
            .open_in_place(nonce, Aad::from(header), &mut body)
            .map_err(|_| Fault::Tampered)?
            .len();
        body.truncate(plain);
        Ok(body)
    }
}

impl Direction {
    /// What the next frame begins with.
    fn header(&self) -> Result<[u8; 1 + COUNTER], Fault> {
        if self.next >= MAX_FRAMES {
            return Err(Fault::Exhausted);
        }
        let mut header = [DATA; 1 + COUNTER];
        header[1..].copy_from_slice(&self.next.to_be_bytes());
        Ok(header)
    }

    /// The nonce of the next frame, which is then past.
    fn advance(&mut self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.next.to_be_bytes());
        self.next += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::generate().unwrap()
    }

    fn session() -> (Cipher, Cipher) {
        let (greeting, hello) = Greeting::new().unwrap();
        let (server, _, answer) = welcome(&hello, None).unwrap();
        let (client, proof) = greeting.answered(&answer, None, None).unwrap();
        assert_eq!(proof, None);
        (client, server)
    }

    #[test]
    fn both_ends_read_each_other() {
        let (mut client, mut server) = session();
        for text in [&b""[..], b"x", &[7; 100_000]] {
            let frame = client.seal(text).unwrap();
            assert_eq!(frame.len(), text.len() + OVERHEAD);
            assert_eq!(server.open(&frame).unwrap(), text);
            let frame = server.seal(text).unwrap();
            assert_eq!(client.open(&frame).unwrap(), text);
        }
    }

    #[test]
    fn a_change_anywhere_in_a_frame_is_noticed() {
        let length = session().0.seal(b"content").unwrap().len();
        for at in 0..length {
            let (mut client, mut server) = session();
            let mut frame = client.seal(b"content").unwrap();
            frame[at] ^= 1;
            assert_eq!(server.open(&frame), Err(Fault::Tampered), "byte {at}");
        }
    }

    #[test]
    fn frames_repeated_left_out_reordered_sent_back_or_cut_are_refused() {
        let (mut client, mut server) = session();
        let (first, second) = (client.seal(b"1").unwrap(), client.seal(b"2").unwrap());
        assert_eq!(session().1.open(&second), Err(Fault::Tampered), "left out");
        assert_eq!(client.open(&first), Err(Fault::Tampered), "sent back");
        assert!(server.open(&first).is_ok());
        assert_eq!(server.open(&first), Err(Fault::Tampered), "repeated");
        let (mut client, mut server) = session();
        let frame = client.seal(b"cut").unwrap();
        assert_eq!(server.open(&frame[..5]), Err(Fault::Tampered));
    }

    #[test]
    fn a_server_with_the_pinned_key_is_accepted_and_no_other() {
        let (right, wrong) = (identity(), identity());
        let outcome = |signer: Option<&Identity>| {
            let (greeting, hello) = Greeting::new().unwrap();
            let (_, _, answer) = welcome(&hello, signer).unwrap();
            greeting
                .answered(&answer, Some(&right.public_key()), None)
                .map(drop)
        };
        assert_eq!(outcome(Some(&right)), Ok(()));
        assert_eq!(outcome(Some(&wrong)), Err(Fault::UnknownKey));
        assert_eq!(outcome(None), Err(Fault::BadSignature));
    }

    #[test]
    fn somebody_in_the_middle_cannot_put_in_a_key_of_his_own() {
        let server = identity();
        let (greeting, _) = Greeting::new().unwrap();
        let (_, theirs) = Greeting::new().unwrap();
        let (_, _, answer) = welcome(&theirs, Some(&server)).unwrap();
        for pinned in [Some(&server.public_key()), None] {
            let (greeting, _) = Greeting::new().unwrap();
            let outcome = greeting.answered(&answer, pinned, None);
            assert_eq!(outcome.map(drop), Err(Fault::BadSignature));
        }
        let stripped = &answer[..1 + KEY];
        let outcome = greeting.answered(stripped, Some(&server.public_key()), None);
        assert_eq!(outcome.map(drop), Err(Fault::BadSignature));
    }

    #[test]
    fn a_client_proves_its_key_to_the_server_that_it_talks_to() {
        let (client, server, other) = (identity(), identity(), identity());
        let (greeting, hello) = Greeting::new().unwrap();
        let (_, challenge, answer) = welcome(&hello, Some(&server)).unwrap();
        let (_, proof) = greeting.answered(&answer, None, Some(&client)).unwrap();
        let proof = proof.unwrap();
        assert_eq!(challenge.proven(&proof), Ok(client.public_key()));
        assert_eq!(challenge.proven(&proof[..9]), Err(Fault::BadSignature));
        assert_eq!(challenge.proven(b""), Err(Fault::Malformed));
        let (_, another, _) = welcome(&hello, Some(&server)).unwrap();
        let refused = another.proven(&proof);
        assert_eq!(refused, Err(Fault::BadSignature), "of another session");
        // One that the client trusts gives out another's answer as its own.
        let (greeting, hello) = Greeting::new().unwrap();
        let (_, challenge, mut answer) = welcome(&hello, Some(&server)).unwrap();
        answer.truncate(1 + KEY);
        let transcript = digest(&SHA256, &[&hello[..], &answer].concat());
        sign(&other, BY_SERVER, transcript.as_ref(), &mut answer);
        let pinned = other.public_key();
        let (_, proof) = greeting
            .answered(&answer, Some(&pinned), Some(&client))
            .unwrap();
        let refused = challenge.proven(&proof.unwrap());
        assert_eq!(refused, Err(Fault::BadSignature), "passed on");
    }

    #[test]
    fn malformed_handshakes_are_refused() {
        let (_, hello) = Greeting::new().unwrap();
        for bad in [&b""[..], &hello[..10], &[&hello[..], b"x"].concat()] {
            assert_eq!(welcome(bad, None).map(drop), Err(Fault::Malformed));
        }
        let mut newer = hello.clone();
        newer[1] = 2;
        assert_eq!(welcome(&newer, None).map(drop), Err(Fault::Malformed));
        let mut small_order = hello;
        small_order[2..].fill(0);
        assert_eq!(welcome(&small_order, None).map(drop), Err(Fault::Malformed));
    }
}

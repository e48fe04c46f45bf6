//! The client's side of a connection as a socket's protocol: requests go out, each from a context of its own, and answers
//! find the context by the request's id. What belongs to no request is a publication.
//!
//! While there is no connection, or it is not encrypted or logged in yet, requests wait to be sent. One that was sent and whose
//! connection breaks fails: whether it was done nobody knows.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::codec::{Encoding, decode, encode, encode_packed};
use super::crypto::{Cipher, Fault, Greeting};
use super::hub::{ACCEPT_ENCODING, GZIP};
use super::keys::{Identity, PublicKey};
use super::message::{Message as Letter, MessageType, Status};
use crate::engine::lock;
use crate::error::{Error, Result};
use crate::message::{Message, PipeId};
use crate::protocols::{CtxId, Dropped, Flow, IdMap, Io, OpId, Protocol, ProtocolInfo, Sent, info};

/// What a message of pair version 1 begins with when it has passed no device.
const FIRST_HOP: u32 = 1;
/// Publications that wait for their handlers at most; the oldest gives way.
const MOST_PUBLICATIONS: usize = 10_000;

/// What the machine and the client's methods share. Locked inside the socket's lock.
#[derive(Default)]
pub(super) struct Desk {
    /// The requests that contexts are to send, until they have.
    pub(super) asking: IdMap<CtxId, Letter>,
    /// Answers, until they are fetched.
    pub(super) answers: IdMap<CtxId, Letter>,
    pub(super) publications: VecDeque<Letter>,
    /// Subscriptions, to be made again on a new connection.
    pub(super) subscriptions: HashMap<String, Letter>,
    pub(super) missed: u64,
    /// What the broker said when it did not let us log in, until there is another connection.
    pub(super) refused: Option<Letter>,
    /// The longest payload that the broker takes, once it has said so.
    pub(super) longest: Option<usize>,
}

/// How a client wants its connection to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Security {
    pub(super) encrypt: bool,
    /// The key that the broker must prove to have.
    pub(super) server: Option<PublicKey>,
    pub(super) identity: Option<Identity>,
    pub(super) credentials: Option<Credentials>,
}

impl Security {
    pub(super) fn encrypts(&self) -> bool {
        self.encrypt || self.server.is_some() || self.identity.is_some()
    }
}

/// Who a client is.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: Zeroizing<String>,
}

impl Credentials {
    pub(super) fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.into(),
            password: Zeroizing::new(password.into()),
        }
    }

    fn letter(&self) -> Result<Letter> {
        let lines = Zeroizing::new(format!("{}\n{}", self.user, *self.password));
        Letter::plain_text(None, "", lines.as_str())
            .and_then(|letter| letter.addressed_to(MessageType::Authentication, None))
            .map_err(|_| Error::InvalidArgument("the user or the password"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Asks for the broker's configuration, and says that compressed payloads are read.
pub(super) fn config_request() -> Result<Letter> {
    Letter::plain_text(None, "", "")
        .and_then(|letter| letter.with_header(ACCEPT_ENCODING, GZIP))
        .and_then(|letter| letter.addressed_to(MessageType::ClientConfig, None))
        .map_err(|_| Error::InvalidArgument("a request for the configuration"))
}

/// The machine.
pub(super) struct Caller {
    desk: Arc<Mutex<Desk>>,
    security: Security,
    link: Option<Link>,
    /// Which context waits for the answer with this id.
    waiting: HashMap<Uuid, CtxId>,
    asked: IdMap<CtxId, Uuid>,
    /// Contexts whose connection broke while they waited.
    broken: Vec<CtxId>,
}

struct Link {
    pipe: PipeId,
    ready: bool,
    state: State,
    login: Login,
    /// The request for the broker's configuration, until that is there.
    config: Option<Uuid>,
    /// From which length on payloads are compressed, if any are.
    cutoff: Option<usize>,
}

#[derive(PartialEq, Eq)]
enum Login {
    /// It is done, or there is nothing to log in with.
    Done,
    /// Until the answer to the request with this id is there.
    UnderWay(Uuid),
    /// The connection is of no use. It stays, so that the broker is not asked again and again.
    Refused,
}

enum State {
    Plain,
    Greeting(Option<Greeting>),
    Secret(Box<Cipher>),
}

impl Caller {
    pub(super) fn new(desk: Arc<Mutex<Desk>>, security: Security) -> Self {
        Self {
            desk,
            security,
            link: None,
            waiting: HashMap::new(),
            asked: IdMap::default(),
            broken: Vec::new(),
        }
    }

    fn can_ask(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.ready && link.is_established())
    }

    /// Sends a request over the connection, which must be able to take one.
    fn ask(&mut self, letter: &Letter, io: &mut dyn Io) -> Result<()> {
        let Some(link) = &mut self.link else {
            return Err(Error::ConnectionReset);
        };
        let plain = match link.cutoff {
            Some(cutoff) => encode_packed(letter, cutoff),
            None => encode(letter, Encoding::Binary),
        };
        let frame = match &mut link.state {
            State::Secret(cipher) => Bytes::from(
                cipher
                    .seal(&plain)
                    .map_err(|_| Error::Malformed("an encrypted session is used up"))?,
            ),
            _ => plain,
        };
        link.push(frame.into(), io);
        Ok(())
    }

    /// What comes first on a connection that can be used: what we read, and who we are.
    fn introduce(&mut self, io: &mut dyn Io) -> Result<()> {
        let letter = config_request()?;
        if let Some(link) = &mut self.link {
            link.config = Some(letter.id());
        }
        self.ask(&letter, io)?;
        let Some(credentials) = &self.security.credentials else {
            self.established(io);
            return Ok(());
        };
        let letter = credentials.letter()?;
        if let Some(link) = &mut self.link {
            link.login = Login::UnderWay(letter.id());
        }
        self.ask(&letter, io)
    }

    /// What the broker says about itself.
    fn configured(&mut self, answer: &Letter) {
        let Some(link) = &mut self.link else { return };
        link.config = None;
        let Some(config) = answer.payload_data().ok().filter(|_| answer.is_ok()) else {
            return;
        };
        let size = |key| usize::try_from(config.get(key)?.as_u64()?).ok();
        link.cutoff = size("compress-cutoff-size");
        lock(&self.desk).longest = size("max-msg-size");
    }

    /// The answer to a login.
    fn introduced(&mut self, answer: Letter, io: &mut dyn Io) {
        let Some(link) = &mut self.link else { return };
        if answer.is_ok() {
            link.login = Login::Done;
            return self.established(io);
        }
        link.login = Login::Refused;
        if answer.status().is_retryable() {
            // It may go better on another connection, in a while.
            io.close_pipe(link.pipe, Error::Rejected);
        }
        lock(&self.desk).refused = Some(answer);
        io.wake_send_all(CtxId::SOCKET);
        self.wake_senders(io);
    }

    /// Subscriptions are made again, and those who wait may send.
    fn established(&mut self, io: &mut dyn Io) {
        let subscriptions: Vec<Letter> = lock(&self.desk).subscriptions.values().cloned().collect();
        for subscription in subscriptions {
            // The pipe is new; it takes more than its limit for once. One that is broken is told of by the engine.
            let _ = self.ask(&subscription, io);
        }
        if self.can_ask() {
            io.wake_send_all(CtxId::SOCKET);
            self.wake_senders(io);
        }
    }

    fn wake_senders(&self, io: &mut dyn Io) {
        let waiting: Vec<CtxId> = lock(&self.desk).asking.keys().copied().collect();
        for ctx in waiting {
            io.wake_send(ctx);
        }
    }

    fn read(&mut self, body: &[u8], io: &mut dyn Io) -> Result<()> {
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        let plain = match &mut link.state {
            State::Plain => Bytes::copy_from_slice(body),
            State::Secret(cipher) => cipher
                .open(body)
                .map(Bytes::from)
                .map_err(|_| Error::Malformed("an encrypted frame that is not as it was sent"))?,
            State::Greeting(greeting) => {
                let Some(greeting) = greeting.take() else {
                    return Err(Error::BadHandshake);
                };
                let Security {
                    server, identity, ..
                } = &self.security;
                return match greeting.answered(body, server.as_ref(), identity.as_ref()) {
                    Ok((cipher, proof)) => {
                        link.state = State::Secret(Box::new(cipher));
                        if let Some(proof) = proof {
                            link.push(proof.into(), io);
                        }
                        self.introduce(io)
                    }
                    Err(Fault::BadSignature | Fault::UnknownKey) => {
                        let text = "the broker does not prove to have the key that it is known by";
                        let answer = Letter::answer(Uuid::nil(), Status::DiffieHellmanNak, text);
                        self.introduced(answer, io);
                        Ok(())
                    }
                    Err(_) => Err(Error::Malformed(
                        "an unusable answer to the offer to encrypt",
                    )),
                };
            }
        };
        let (letter, _) =
            decode(plain).map_err(|_| Error::Malformed("an answer that cannot be read"))?;
        if letter.kind() != MessageType::Response {
            self.deliver(letter, io);
        } else if link.config == Some(letter.id()) {
            self.configured(&letter);
        } else if link.login == Login::UnderWay(letter.id()) {
            self.introduced(letter, io);
        } else {
            self.deliver(letter, io);
        }
        Ok(())
    }

    fn deliver(&mut self, letter: Letter, io: &mut dyn Io) {
        let mut desk = lock(&self.desk);
        if letter.kind() == MessageType::Response {
            let Some(ctx) = self.waiting.remove(&letter.id()) else {
                // Its caller has given up.
                return io.dropped(Dropped::Unwanted);
            };
            desk.answers.insert(ctx, letter);
            io.wake_recv(ctx);
            return;
        }
        if desk.publications.len() >= MOST_PUBLICATIONS {
            desk.publications.pop_front();
            desk.missed += 1;
            io.dropped(Dropped::RecvQueueFull);
        }
        desk.publications.push_back(letter);
        io.wake_recv(CtxId::SOCKET);
    }

    fn forget(&mut self, ctx: CtxId) {
        if let Some(id) = self.asked.remove(&ctx) {
            self.waiting.remove(&id);
        }
        self.broken.retain(|&broken| broken != ctx);
        let mut desk = lock(&self.desk);
        desk.answers.remove(&ctx);
        desk.asking.remove(&ctx);
    }
}

impl Link {
    fn is_established(&self) -> bool {
        self.login == Login::Done && !matches!(self.state, State::Greeting(_))
    }

    fn push(&mut self, mut message: Message, io: &mut dyn Io) {
        message.header_clear();
        // One word fits into an empty header.
        let _ = message.header_append_u32(FIRST_HOP);
        self.ready = io.push(self.pipe, &message);
    }
}

impl Protocol for Caller {
    fn info(&self) -> ProtocolInfo {
        info::PAIR1
    }

    fn add_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) -> Result<()> {
        if self.link.is_some() {
            return Err(Error::Rejected);
        }
        let mut link = Link {
            pipe,
            ready: true,
            state: State::Plain,
            login: Login::Done,
            config: None,
            cutoff: None,
        };
        lock(&self.desk).refused = None;
        if self.security.encrypts() {
            let (greeting, hello) = Greeting::new().map_err(|_| Error::OutOfMemory)?;
            link.state = State::Greeting(Some(greeting));
            link.push(hello.into(), io);
            self.link = Some(link);
        } else {
            self.link = Some(link);
            self.introduce(io)?;
        }
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        if self.link.take_if(|link| link.pipe == pipe).is_none() {
            return;
        }
        for (_, ctx) in self.waiting.drain() {
            self.broken.push(ctx);
            io.wake_recv_all(ctx);
        }
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        if let Some(link) = &mut self.link
            && link.pipe == pipe
        {
            link.ready = true;
            self.wake_senders(io);
        }
    }

    fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        let mut more = io.peek(pipe).is_some();
        while more {
            let mut message = Message::new();
            more = io.take(pipe, &mut message).is_some();
            let read = match message.body().get(size_of::<u32>()..) {
                Some(body) => self.read(body, io),
                None => Err(Error::Malformed("a message without a hop count")),
            };
            if let Err(why) = read {
                io.close_pipe(pipe, why);
                break;
            }
        }
        Flow::Taken
    }

    /// Sends what the desk has for the context.
    fn send(&mut self, ctx: CtxId, _: OpId, _: &mut Message, io: &mut dyn Io) -> Sent {
        if lock(&self.desk).refused.is_some() {
            return Sent::Failed(Box::new(Error::PermissionDenied));
        }
        if !self.can_ask() {
            return Sent::Full;
        }
        let Some(letter) = lock(&self.desk).asking.remove(&ctx) else {
            return Sent::Failed(Box::new(Error::InvalidState("there is nothing to ask")));
        };
        if !letter.is_oneway() {
            self.waiting.insert(letter.id(), ctx);
            self.asked.insert(ctx, letter.id());
        }
        match self.ask(&letter, io) {
            Ok(()) => Sent::Done,
            Err(error) => Sent::Failed(Box::new(error)),
        }
    }

    fn cancel_send(&mut self, ctx: CtxId, _: OpId, _: &mut dyn Io) -> Option<Message> {
        self.forget(ctx);
        None
    }

    fn recv(&mut self, ctx: CtxId, _: OpId, _: &mut Message, _: &mut dyn Io) -> Result<bool> {
        if let Some(at) = self.broken.iter().position(|&broken| broken == ctx) {
            self.broken.swap_remove(at);
            return Err(Error::ConnectionReset);
        }
        let desk = lock(&self.desk);
        Ok(if ctx == CtxId::SOCKET {
            !desk.publications.is_empty()
        } else {
            desk.answers.contains_key(&ctx)
        })
    }

    fn cancel_recv(&mut self, ctx: CtxId, _: OpId, _: &mut dyn Io) {
        if ctx != CtxId::SOCKET {
            self.forget(ctx);
        }
    }

    fn open_context(&mut self, _: CtxId) -> Result<()> {
        Ok(())
    }

    fn close_context(&mut self, ctx: CtxId, _: &mut dyn Io) {
        self.forget(ctx);
    }
}

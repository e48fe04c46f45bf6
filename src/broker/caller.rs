//! The client's side of a connection as a socket's protocol: requests go out, each from a context of its own, and answers
//! find the context by the request's id. What belongs to no request is a publication.
//!
//! While there is no connection, or it is not encrypted or logged in yet, requests wait to be sent. One that was sent and whose
//! connection breaks fails: whether it was done nobody knows.
//!
//! A poll or offer that is given up is called off at the broker. An item that comes nevertheless goes back if it is leased,
//! and else to another poll of its queue, or is kept for the next one.

mod asked;
mod link;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;

use super::client::ask::config_request;
use super::client::{ClientEvent, Desk, Security};
use super::codec::decode;
use super::crypto::{Fault, Greeting};
use super::error::Refusal;
use super::message::id::fresh;
use super::message::{Message as Letter, MessageError, MessageType, Status, now_ms};
use crate::engine::lock;
use crate::error::{Error, Result};
use crate::message::{Message, PipeId};
use crate::protocols::{CtxId, Dropped, Flow, IdMap, Io, OpId, Protocol, ProtocolInfo, Sent, info};
use asked::{Asked, queue_of};
use link::{Link, Login, State};

/// What names the lease of an item that the broker wants to hear of again.
const LEASE_TOKEN: &str = "lease-token";
/// Signs of life that may stay unanswered before the connection is given up.
const MOST_UNANSWERED: u32 = 3;

/// The machine.
pub(super) struct Caller {
    desk: Arc<Mutex<Desk>>,
    security: Security,
    link: Option<Link>,
    /// Which context waits for the answer with this id.
    waiting: HashMap<Uuid, CtxId>,
    asked: IdMap<CtxId, Asked>,
    /// Contexts whose connection broke while they waited.
    broken: Vec<CtxId>,
    /// The polls that nobody waits for any more, until they are answered.
    given_up: HashMap<Uuid, Asked>,
    /// What is to be said to the broker as soon as something can be sent.
    says: VecDeque<Letter>,
    /// The subscriptions that are being made again.
    restoring: HashMap<Uuid, String>,
    beat: Beat,
}

/// Signs of life.
#[derive(Default)]
struct Beat {
    /// When something was sent last.
    sent: Option<Instant>,
    unanswered: u32,
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
            given_up: HashMap::new(),
            says: VecDeque::new(),
            restoring: HashMap::new(),
            beat: Beat::default(),
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
        link.send(letter, io)?;
        if lock(&self.desk).heartbeat.is_some() {
            self.beat.sent = Some(io.now());
        }
        Ok(())
    }

    /// What comes first on a connection that can be used: what we read, and who we are.
    fn introduce(&mut self, io: &mut dyn Io) -> Result<()> {
        let unusable = |_| Error::InvalidArgument("a request for the configuration");
        let letter = config_request().map_err(unusable)?;
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
        let mut desk = lock(&self.desk);
        let event = ClientEvent::LoginRefused(Refusal::of(&answer));
        desk.watchers.tell(&event, io);
        desk.refused = Some(answer);
        drop(desk);
        io.wake_send_all(CtxId::SOCKET);
        self.wake_senders(io);
    }

    /// Subscriptions are made again, and those who wait may send.
    fn established(&mut self, io: &mut dyn Io) {
        let subscriptions = lock(&self.desk).subscriptions.clone();
        for (topic, subscription) in subscriptions {
            let again = subscription.with_id(fresh());
            self.restoring.insert(again.id(), topic);
            // The pipe is new; it takes more than its limit for once. One that is broken is told of by the engine.
            let _ = self.ask(&again, io);
        }
        self.beat = Beat {
            sent: Some(io.now()),
            unanswered: 0,
        };
        self.restored(io);
        if self.can_ask() {
            io.wake_send_all(CtxId::SOCKET);
            self.wake_senders(io);
        }
    }

    /// The connection is as the one before when the last subscription is there again.
    fn restored(&self, io: &mut dyn Io) {
        if self.restoring.is_empty() {
            let mut desk = lock(&self.desk);
            desk.connected = true;
            desk.watchers.tell(&ClientEvent::Connected, io);
        }
    }

    fn wake_senders(&self, io: &mut dyn Io) {
        let waiting: Vec<CtxId> = lock(&self.desk).asking.keys().copied().collect();
        for ctx in waiting {
            io.wake_send(ctx);
        }
    }

    fn read(&mut self, frame: Message, io: &mut dyn Io) -> Result<()> {
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        let plain = match &mut link.state {
            State::Plain => Bytes::from(frame),
            State::Secret(cipher) => cipher
                .open(frame.body())
                .map(Bytes::from)
                .map_err(|_| Error::Malformed("an encrypted frame that is not as it was sent"))?,
            State::Greeting(greeting) => {
                let Some(greeting) = greeting.take() else {
                    return Err(Error::BadHandshake);
                };
                let Security {
                    server, identity, ..
                } = &self.security;
                return match greeting.answered(frame.body(), server.as_ref(), identity.as_ref()) {
                    Ok((cipher, proof)) => {
                        link.state = State::Secret(Box::new(cipher));
                        if let Some(proof) = proof {
                            link.push(proof, io);
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
        self.beat.unanswered = 0;
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
        if letter.kind() == MessageType::Response {
            return self.answered(letter, io);
        }
        if !lock(&self.desk).publish(letter) {
            io.dropped(Dropped::RecvQueueFull);
        }
        io.wake_recv(CtxId::SOCKET);
    }

    fn answered(&mut self, letter: Letter, io: &mut dyn Io) {
        let id = letter.id();
        if let Some(ctx) = self.waiting.remove(&id) {
            lock(&self.desk).answers.insert(ctx, letter);
            io.wake_recv(ctx);
        } else if let Some(asked) = self.given_up.remove(&id) {
            self.keep(asked, letter, io);
        } else if let Some(topic) = self.restoring.remove(&id) {
            if letter.is_err() {
                let refusal = Refusal::of(&letter);
                let event = ClientEvent::SubscriptionLost { topic, refusal };
                lock(&self.desk).watchers.tell(&event, io);
            }
            self.restored(io);
        } else {
            // Its caller has given up, or it is for a sign of life.
            io.dropped(Dropped::Unwanted);
        }
    }

    // ---- what is given up ----

    fn forget(&mut self, ctx: CtxId, io: &mut dyn Io) {
        self.broken.retain(|&broken| broken != ctx);
        let mut desk = lock(&self.desk);
        desk.asking.remove(&ctx);
        let answer = desk.answers.remove(&ctx);
        drop(desk);
        let Some(asked) = self.asked.remove(&ctx) else {
            return;
        };
        let id = asked.id;
        let unanswered = self.waiting.remove(&id).is_some();
        if let Some(answer) = answer {
            self.keep(asked, answer, io);
        } else if unanswered && asked.waits {
            if asked.queue.is_some() {
                self.given_up.insert(id, asked);
            }
            self.call_off(id, io);
        }
    }

    /// The broker is told that nobody waits for an answer any more.
    fn call_off(&mut self, id: Uuid, io: &mut dyn Io) {
        if let Ok(letter) = bare(MessageType::Cancel, None) {
            self.says.push_back(letter.with_id(id).with_oneway(true));
        }
        self.say(io);
    }

    fn say(&mut self, io: &mut dyn Io) {
        while self.can_ask()
            && let Some(letter) = self.says.pop_front()
        {
            // With a connection that breaks, the broker takes everything back by itself.
            let _ = self.ask(&letter, io);
        }
    }

    /// The answer to a poll that nobody waits for.
    fn keep(&mut self, asked: Asked, answer: Letter, io: &mut dyn Io) {
        for item in asked.items(answer) {
            if let Some(queue) = asked.queue.clone() {
                self.keep_item(queue, item, io);
            }
        }
    }

    /// An item that nobody waits for goes back if the broker still has it, else to another poll.
    fn keep_item(&mut self, queue: Box<str>, answer: Letter, io: &mut dyn Io) {
        if let Some(token) = answer.header(LEASE_TOKEN) {
            let back = bare(MessageType::Nack, &*queue)
                .and_then(|nack| nack.with_header(LEASE_TOKEN, token))
                .and_then(|nack| nack.with_header("delay", "0"));
            if let Ok(back) = back {
                self.says.push_back(back.with_oneway(true));
            }
            return self.say(io);
        }
        if answer.is_expired(now_ms()) {
            return;
        }
        let heir = self.asked.iter().find(|(_, asked)| {
            let same = asked.queue.as_ref() == Some(&queue);
            same && !asked.leased && self.waiting.contains_key(&asked.id)
        });
        let mut desk = lock(&self.desk);
        if let Some((&ctx, asked)) = heir {
            let answer = asked.answer(answer, std::iter::empty());
            desk.answers.insert(ctx, answer);
            drop(desk);
            let asked = asked.clone();
            let id = asked.id;
            self.waiting.remove(&id);
            self.given_up.insert(id, asked);
            self.call_off(id, io);
            return io.wake_recv(ctx);
        }
        let event = ClientEvent::Late {
            queue: queue.clone().into(),
        };
        if desk.late.keep(queue, answer) {
            desk.watchers.tell(&event, io);
            drop(desk);
            self.wake_senders(io);
        } else {
            io.dropped(Dropped::RecvQueueFull);
        }
    }

    /// A poll gets an item that came too late for another one.
    fn serve_late(&mut self, ctx: CtxId) -> bool {
        let mut desk = lock(&self.desk);
        let Desk { asking, late, .. } = &mut *desk;
        let Some(letter) = asking.get(&ctx) else {
            return false;
        };
        let queue = queue_of(letter).filter(|_| letter.header("lease").is_none());
        let Some(queue) = queue else { return false };
        let Some(first) = late.take(queue, now_ms()) else {
            return false;
        };
        let asked = Asked::new(letter);
        let more = std::iter::from_fn(|| late.take(queue, now_ms()));
        let answer = asked.answer(first, more);
        self.asked.insert(ctx, asked);
        desk.asking.remove(&ctx);
        desk.answers.insert(ctx, answer);
        true
    }

    // ---- signs of life ----

    /// When the next one is due.
    fn next_beat(&self) -> Option<Instant> {
        let link = self.link.as_ref();
        link.filter(|link| link.is_established())?;
        let every = lock(&self.desk).heartbeat?;
        self.beat.sent?.checked_add(every)
    }

    fn send_beat(&mut self, io: &mut dyn Io) {
        let Some(link) = &self.link else { return };
        if !link.ready {
            // What is on its way is a sign of life.
            self.beat.sent = Some(io.now());
            return;
        }
        if self.beat.unanswered >= MOST_UNANSWERED {
            return io.close_pipe(link.pipe, Error::TimedOut);
        }
        self.beat.unanswered += 1;
        if let Ok(letter) = bare(MessageType::Heartbeat, None) {
            // A connection that cannot be used is told of by the engine.
            let _ = self.ask(&letter, io);
        }
    }
}

/// A request without content.
fn bare<'a>(
    kind: MessageType,
    destination: impl Into<Option<&'a str>>,
) -> std::result::Result<Letter, MessageError> {
    Letter::plain_text(None, "", "")?.addressed_to(kind, destination)
}

impl Protocol for Caller {
    fn info(&self) -> ProtocolInfo {
        info::PAIR1
    }

    fn add_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) -> Result<()> {
        if self.link.is_some() {
            return Err(Error::Rejected);
        }
        let mut link = Link::new(pipe);
        lock(&self.desk).refused = None;
        if self.security.encrypts() {
            let (greeting, hello) = Greeting::new().map_err(|_| Error::OutOfMemory)?;
            link.state = State::Greeting(Some(greeting));
            link.push(hello, io);
            self.link = Some(link);
        } else {
            self.link = Some(link);
            self.introduce(io)?;
        }
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let Some(link) = self.link.take_if(|link| link.pipe == pipe) else {
            return;
        };
        self.given_up.clear();
        self.says.clear();
        self.restoring.clear();
        let mut desk = lock(&self.desk);
        desk.connected = false;
        if link.is_established() {
            desk.watchers.tell(&ClientEvent::Disconnected, io);
        }
        let told = desk.greeted || desk.refused.is_some() || !self.waiting.is_empty();
        desk.cut_off = !told;
        drop(desk);
        if !told {
            // Who is still to send the first request would only be cut off again.
            self.wake_senders(io);
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
            self.say(io);
            self.wake_senders(io);
        }
    }

    fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        let mut more = io.peek(pipe).is_some();
        while more {
            let mut message = Message::new();
            more = io.take(pipe, &mut message).is_some();
            let read = match message.trim(size_of::<u32>()) {
                Ok(()) => self.read(message, io),
                Err(_) => Err(Error::Malformed("a message without a hop count")),
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
        let mut desk = lock(&self.desk);
        if desk.refused.is_some() {
            return Sent::Failed(Box::new(Error::PermissionDenied));
        }
        if std::mem::take(&mut desk.cut_off) {
            return Sent::Failed(Box::new(Error::ConnectionReset));
        }
        drop(desk);
        if self.serve_late(ctx) {
            return Sent::Done;
        }
        if !self.can_ask() {
            return Sent::Full;
        }
        let Some(letter) = lock(&self.desk).asking.remove(&ctx) else {
            return Sent::Failed(Box::new(Error::InvalidState("there is nothing to ask")));
        };
        if !letter.is_oneway() {
            self.waiting.insert(letter.id(), ctx);
            self.asked.insert(ctx, Asked::new(&letter));
        }
        match self.ask(&letter, io) {
            Ok(()) => Sent::Done,
            Err(error) => Sent::Failed(Box::new(error)),
        }
    }

    fn cancel_send(&mut self, ctx: CtxId, _: OpId, io: &mut dyn Io) -> Option<Message> {
        self.forget(ctx, io);
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
            desk.answers.contains_key(&ctx) || desk.watchers.has_news(ctx)
        })
    }

    fn cancel_recv(&mut self, ctx: CtxId, _: OpId, io: &mut dyn Io) {
        if ctx != CtxId::SOCKET {
            self.forget(ctx, io);
        }
    }

    fn open_context(&mut self, _: CtxId) -> Result<()> {
        Ok(())
    }

    fn close_context(&mut self, ctx: CtxId, io: &mut dyn Io) {
        self.forget(ctx, io);
    }

    fn deadline(&self) -> Option<Instant> {
        self.next_beat()
    }

    fn timeout(&mut self, io: &mut dyn Io) {
        let now = io.now();
        if self.next_beat().is_some_and(|at| at <= now) {
            self.send_beat(io);
        }
    }
}

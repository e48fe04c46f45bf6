//! The broker as a socket's protocol: it speaks pair version 1 with any number of peers, and each is a session.
//!
//! A request is read, decided by the [`Router`] and answered under the socket's lock, by whichever thread is there; only
//! handlers and what else takes long run on threads of the [`Pool`]. A client that does not read its answers is not
//! read from either, so that what waits for it stays bounded.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::auth::{Authenticator, Login};
use super::codec::{Encoding, decode, encode};
use super::crypto::{self, Cipher, Fault, Identity, Welcome};
use super::endpoints::Locals;
use super::journal::{Committed, Journal};
use super::message::{Message as Letter, Status};
use super::pool::Pool;
use super::queue::SessionId;
use super::router::{
    Credentials, Handler, InTransit, Now, Output, Outputs, OwnHandler, Publication, Returned,
    Router,
};
use super::topics::{Outbox, Pushed};
use super::wal::{Ticket, WalError};
use crate::engine::{Core, Deadline, lock};
use crate::error::{Error, Result};
use crate::message::{Message, PipeId};
use crate::protocols::{CtxId, Flow, IdMap, Io, OpId, Protocol, ProtocolInfo, info};

/// Answers that may wait for a client, in number and bytes, before nothing more is read from it.
const MOST_ANSWERS: usize = 1000;
const MOST_BYTES: usize = 8 << 20;
/// What a message of pair version 1 begins with when it has passed no device.
const FIRST_HOP: u32 = 1;
/// Most hops that are accepted.
const MOST_HOPS: u32 = 8;

/// What the broker's threads share. Locked inside the socket's lock, never around it.
pub(super) struct Shared {
    pub(super) state: Mutex<Hub>,
    pub(super) core: Arc<Mutex<Weak<Core>>>,
    pub(super) pool: Pool,
    /// Where passwords are checked: handlers that take long do not keep anybody from logging in, nor the other way round.
    pub(super) logins: Pool,
}

impl Shared {
    /// Works on the router, and sends what comes of it.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Router, Now, &mut Outputs) -> T) -> T {
        let mut guard = lock(&self.state);
        let mut out = Outputs::new();
        let done = work(&mut guard.router, Now::read(Instant::now()), &mut out);
        let hub = &mut *guard;
        hub.later
            .extend(out.into_iter().filter_map(|one| hub.locals.take(one)));
        let pending = !hub.later.is_empty();
        drop(guard);
        if pending {
            self.poke();
        }
        done
    }

    /// A deadline for a future of the broker; over at once if the broker is gone.
    pub(super) fn deadline(&self, time: Duration) -> Option<Deadline> {
        let core = lock(&self.core).upgrade()?;
        Some(Deadline::after(core.reactor, Some(time)))
    }

    /// Waits until the log has kept what was done so far.
    pub(super) fn keep(&self) -> Result<(), WalError> {
        let hub = lock(&self.state);
        let last = hub.router.journal().map(Journal::last);
        drop(hub);
        match last {
            Some((log, Some(ticket))) => log.wait(ticket),
            _ => Ok(()),
        }
    }

    fn poke(&self) {
        let core = lock(&self.core).upgrade();
        if let Some(core) = core {
            core.poke();
        }
    }

    /// Runs a handler on this thread, unless nobody waits for it any more, and sends its answer.
    fn run(
        &self,
        session: SessionId,
        request: &Letter,
        handler: &OwnHandler,
        until: Option<Instant>,
    ) {
        let result = if until.is_some_and(|until| Instant::now() >= until) {
            let text = "its time was over before a handler was free";
            Err((Status::TimedOut, text.into()))
        } else {
            let result = catch_unwind(AssertUnwindSafe(|| handler(request)));
            result
                .unwrap_or_else(|_| Err((Status::HandlerError, "the function has panicked".into())))
        };
        self.with(|router, now, out| router.returned(session, request, result, now, out));
    }

    /// Checks a password on this thread, and sends the answer.
    fn log_in(
        &self,
        session: SessionId,
        request: &Letter,
        auth: &Authenticator,
        credentials: &Credentials,
        source: Option<IpAddr>,
    ) {
        let Credentials { user, password } = credentials;
        let login = auth.log_in(user, password, source, Instant::now());
        self.with(|router, _, out| router.logged_in(session, request, user, login, out));
    }
}

impl Now {
    pub(super) fn read(at: Instant) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let ms = since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
        Self { at, ms }
    }
}

/// The sessions, and the router that decides what they get.
pub(super) struct Hub {
    pub(super) router: Router,
    links: HashMap<SessionId, Link>,
    /// The endpoints, which are sessions without a link.
    pub(super) locals: Locals,
    sessions: IdMap<PipeId, SessionId>,
    last_session: SessionId,
    /// What was decided while nobody could send it.
    later: Outputs,
    /// When clients are looked at that may have fallen silent, if they have to say that they are alive.
    next_look: Option<Instant>,
    /// What is not to be sent before the log has kept what it rests on.
    held: VecDeque<(Ticket, Outputs)>,
    /// Whether a client must encrypt.
    encrypt: bool,
    identity: Option<Identity>,
    /// Something was done since somebody last looked.
    busy: bool,
}

/// A connection of a client.
struct Link {
    pipe: PipeId,
    source: Option<IpAddr>,
    /// How the client's last request was encoded.
    encoding: Encoding,
    cipher: Option<Cipher>,
    /// Whether the pipe takes a message now.
    ready: bool,
    /// Whether its messages are left with the pipe for now.
    held: bool,
    /// When it sent something last.
    heard: Instant,
    /// Nothing can be sent to it any more.
    broken: bool,
    frames: VecDeque<Vec<u8>>,
    answers: VecDeque<Answer>,
    answer_bytes: usize,
    /// Answers that the hub holds until the log has kept what they rest on.
    awaited: usize,
    publications: Outbox<Arc<Publication>>,
}

struct Answer {
    message: Letter,
    item: Option<InTransit>,
    bytes: usize,
}

impl Link {
    fn new(pipe: PipeId, source: Option<IpAddr>, now: Instant) -> Self {
        Self {
            pipe,
            source,
            encoding: Encoding::Binary,
            cipher: None,
            ready: true,
            held: false,
            heard: now,
            broken: false,
            frames: VecDeque::new(),
            answers: VecDeque::new(),
            answer_bytes: 0,
            awaited: 0,
            publications: Outbox::default(),
        }
    }

    fn is_full(&self) -> bool {
        self.answers.len() + self.awaited >= MOST_ANSWERS || self.answer_bytes >= MOST_BYTES
    }

    /// The next frame to send, and what it carries.
    fn next(&mut self) -> Option<std::result::Result<(Bytes, Option<InTransit>), Fault>> {
        if let Some(frame) = self.frames.pop_front() {
            return Some(Ok((frame.into(), None)));
        }
        let (plain, item) = if let Some(answer) = self.answers.pop_front() {
            self.answer_bytes = self.answer_bytes.saturating_sub(answer.bytes);
            (encode(&answer.message, self.encoding), answer.item)
        } else {
            let (publication, missed) = self.publications.pop()?;
            (publication.encoded(self.encoding, missed), None)
        };
        Some(match &mut self.cipher {
            None => Ok((plain, item)),
            Some(cipher) => cipher.seal(&plain).map(|sealed| (sealed.into(), item)),
        })
    }
}

impl Hub {
    pub(super) fn new(router: Router, encrypt: bool, identity: Option<Identity>) -> Self {
        Self {
            router,
            links: HashMap::new(),
            locals: Locals::default(),
            sessions: IdMap::default(),
            last_session: 0,
            later: Outputs::new(),
            next_look: None,
            held: VecDeque::new(),
            encrypt,
            identity,
            busy: false,
        }
    }

    pub(super) fn next_session(&mut self) -> SessionId {
        self.last_session += 1;
        self.last_session
    }

    fn returned(&mut self, session: SessionId, request: &Letter, result: Returned, now: Now) {
        self.router
            .returned(session, request, result, now, &mut self.later);
    }

    /// Cuts off who has said nothing for three intervals, if they have to. One whose messages are left with its pipe is
    /// not silent.
    fn look_for_silent(&mut self, now: Instant, io: &mut dyn Io) {
        let interval = self.router.heartbeat();
        if interval.is_zero() || self.next_look.is_some_and(|at| now < at) {
            return;
        }
        self.next_look = now.checked_add(interval);
        let longest = interval.saturating_mul(3);
        for link in self.links.values() {
            if !link.held && now.saturating_duration_since(link.heard) >= longest {
                io.close_pipe(link.pipe, Error::TimedOut);
            }
        }
    }

    // ---- what comes in ----

    /// Reads what a client has sent, as long as there is room for the answers.
    fn read(&mut self, pipe: PipeId, shared: &Arc<Shared>, io: &mut dyn Io) -> Flow {
        let Some(&session) = self.sessions.get(&pipe) else {
            return Flow::Taken;
        };
        self.busy = true;
        let mut more = io.peek(pipe).is_some();
        while more {
            if let Some(link) = self.links.get_mut(&session)
                && link.is_full()
            {
                link.held = true;
                return Flow::Held;
            }
            let mut message = Message::new();
            more = io.take(pipe, &mut message).is_some();
            let now = Now::read(io.now());
            if let Err(why) = self.frame(session, message, now, shared, io) {
                io.close_pipe(pipe, why);
                return Flow::Taken;
            }
        }
        Flow::Taken
    }

    /// Takes one message of a client. An error cuts the client off.
    fn frame(
        &mut self,
        session: SessionId,
        mut message: Message,
        now: Now,
        shared: &Arc<Shared>,
        io: &mut dyn Io,
    ) -> Result<()> {
        let Some(hops) = message.body().first_chunk() else {
            return Err(Error::Malformed("a message without a hop count"));
        };
        if u32::from_be_bytes(*hops) > MOST_HOPS {
            return Err(Error::Malformed(
                "a message that has passed too many devices",
            ));
        }
        message.unwrap_words(1);
        message.header_clear();
        let Some(link) = self.links.get_mut(&session) else {
            return Ok(());
        };
        link.heard = now.at;
        let body = match (&mut link.cipher, message.body().first()) {
            (Some(cipher), _) => match cipher.open(message.body()) {
                Ok(plain) => Bytes::from(plain),
                Err(_) => {
                    return Err(Error::Malformed(
                        "an encrypted frame that is not as it was sent",
                    ));
                }
            },
            (None, Some(&crypto::HELLO)) => {
                let (welcome, answer) = Welcome::new(message.body(), self.identity.as_ref())
                    .map_err(|_| Error::Malformed("an unusable offer to encrypt"))?;
                link.cipher = Some(welcome.cipher);
                link.frames.push_back(answer);
                self.flush(session, io);
                return Ok(());
            }
            (None, _) if self.encrypt => return Err(Error::PermissionDenied),
            (None, _) => Bytes::from(message),
        };
        let mut out = Outputs::new();
        match decode(body) {
            Ok((request, encoding)) => {
                link.encoding = encoding;
                self.router.request(session, request, now, &mut out);
            }
            Err(error) => {
                if let Some(encoding) = error.encoding() {
                    link.encoding = encoding;
                }
                let id = error.id().unwrap_or_default();
                let answer = Letter::answer(id, error.status(), &error);
                self.router.refuse(session, answer, &mut out);
            }
        }
        self.carry_out(out, now, shared, io);
        Ok(())
    }

    // ---- what goes out ----

    /// Does what was decided, or has it wait for the log.
    fn carry_out(&mut self, out: Outputs, now: Now, shared: &Arc<Shared>, io: &mut dyn Io) {
        match self.router.commit() {
            Committed::Kept => match self.last_of_duplicate(&out) {
                Some(ticket) => self.hold(ticket, out),
                None => self.send(out, now, shared, io),
            },
            Committed::Later(ticket) => self.hold(ticket, out),
            Committed::Lost(why) => self.send(lost(out, &why), now, shared, io),
        }
    }

    /// What the answer to a request that came again rests on: the first may be on its way to the disk.
    fn last_of_duplicate(&self, out: &Outputs) -> Option<Ticket> {
        let journal = self.router.journal()?;
        let (_, last) = journal.last();
        let again = |output: &Output| matches!(output, Output::Answer { message, .. } if message.header("duplicate").is_some());
        last.filter(|last| !journal.has_kept(*last) && out.iter().any(again))
    }

    fn hold(&mut self, ticket: Ticket, out: Outputs) {
        for output in &out {
            if let Output::Answer { session, .. } = output
                && let Some(link) = self.links.get_mut(session)
            {
                link.awaited += 1;
            }
        }
        self.held.push_back((ticket, out));
    }

    /// Sends what has waited for the log, as far as that is.
    fn release(&mut self, now: Now, shared: &Arc<Shared>, io: &mut dyn Io) {
        while let Some((ticket, _)) = self.held.front() {
            let journal = self.router.journal();
            let failure = if journal.is_none_or(|journal| journal.has_kept(*ticket)) {
                None
            } else if let Some(why) = journal.and_then(Journal::failure) {
                Some(why)
            } else {
                return;
            };
            let Some((_, out)) = self.held.pop_front() else {
                return;
            };
            let mut sessions = Vec::new();
            for output in &out {
                if let Output::Answer { session, .. } = output
                    && let Some(link) = self.links.get_mut(session)
                {
                    link.awaited = link.awaited.saturating_sub(1);
                    sessions.push(*session);
                }
            }
            let out = match failure {
                None => out,
                Some(why) => lost(out, &why),
            };
            self.send(out, now, shared, io);
            for session in sessions {
                self.resume(session, shared, io);
            }
        }
    }

    /// Reads on from a client for whose answers there is room again.
    fn resume(&mut self, session: SessionId, shared: &Arc<Shared>, io: &mut dyn Io) {
        if let Some(link) = self.links.get_mut(&session)
            && link.held
            && !link.is_full()
        {
            link.held = false;
            let pipe = link.pipe;
            self.read(pipe, shared, io);
        }
    }

    fn send(&mut self, out: Outputs, now: Now, shared: &Arc<Shared>, io: &mut dyn Io) {
        for output in out {
            let Some(output) = self.locals.take(output) else {
                continue;
            };
            match output {
                Output::Answer {
                    session,
                    message,
                    item,
                } => {
                    let link = self.links.get_mut(&session);
                    let Some(link) = link.filter(|link| !link.broken) else {
                        self.take_back(item, now);
                        continue;
                    };
                    let bytes = message.payload_binary().len();
                    link.answer_bytes += bytes;
                    link.answers.push_back(Answer {
                        message,
                        item,
                        bytes,
                    });
                    self.flush(session, io);
                }
                Output::Publish {
                    subscription,
                    publication,
                } => {
                    let Some(link) = self.links.get_mut(&subscription.session) else {
                        continue;
                    };
                    match link.publications.push(&subscription, publication) {
                        Pushed::Done => {}
                        Pushed::DroppedOldest(_) | Pushed::DroppedNewest(_) => {
                            io.dropped_on(
                                Some(link.pipe),
                                crate::protocols::Dropped::SendQueueFull,
                            );
                        }
                        Pushed::Disconnect(_) => io.close_pipe(link.pipe, Error::Busy),
                    }
                    self.flush(subscription.session, io);
                }
                Output::Call {
                    session,
                    request,
                    handler,
                } => self.call(session, request, handler, now, shared),
                Output::LogIn {
                    session,
                    request,
                    auth,
                    credentials,
                } => self.log_in(session, request, auth, credentials, shared),
                Output::CutOff { session } => {
                    if let Some(link) = self.links.get(&session) {
                        io.close_pipe(link.pipe, Error::PermissionDenied);
                    }
                }
            }
        }
        // What was handed out is settled, and nobody waits for that.
        let _ = self.router.commit();
    }

    /// The pool is asked without the hub's lock being needed again: a full one answers at the next turn.
    fn call(
        &mut self,
        session: SessionId,
        request: Letter,
        handler: Handler,
        now: Now,
        shared: &Arc<Shared>,
    ) {
        let Handler::Own(handler) = handler else {
            let gone = Err((Status::RetryLater, "the function's workers are gone".into()));
            return self.returned(session, &request, gone, now);
        };
        let weak = Arc::downgrade(shared);
        let asked = request.clone();
        let time = request.timeout().filter(|&ms| ms > 0);
        let until =
            time.and_then(|ms| now.at.checked_add(Duration::from_millis(ms.unsigned_abs())));
        let job = Box::new(move || {
            if let Some(shared) = weak.upgrade() {
                shared.run(session, &asked, &handler, until);
            }
        });
        if shared.pool.run(job).is_err() {
            let busy = Err((Status::RetryLater, "all handlers are busy".into()));
            self.returned(session, &request, busy, now);
        }
    }

    fn log_in(
        &mut self,
        session: SessionId,
        request: Letter,
        auth: Authenticator,
        credentials: Credentials,
        shared: &Arc<Shared>,
    ) {
        let Some(source) = self.links.get(&session).map(|link| link.source) else {
            return;
        };
        let weak = Arc::downgrade(shared);
        let (asked, user) = (request.clone(), credentials.user.clone());
        let job = Box::new(move || {
            if let Some(shared) = weak.upgrade() {
                shared.log_in(session, &asked, &auth, &credentials, source);
            }
        });
        if shared.logins.run(job).is_err() {
            self.router
                .logged_in(session, &request, &user, Login::Busy, &mut self.later);
        }
    }

    /// Sends what waits for a client and goes into its pipe.
    fn flush(&mut self, session: SessionId, io: &mut dyn Io) {
        loop {
            let Some(link) = self.links.get_mut(&session) else {
                return;
            };
            if !link.ready {
                return;
            }
            let (frame, item) = match link.next() {
                None => return,
                Some(Ok(next)) => next,
                Some(Err(_)) => {
                    link.ready = false;
                    return io.close_pipe(
                        link.pipe,
                        Error::Malformed("an encrypted session is used up"),
                    );
                }
            };
            let mut message = Message::from(frame);
            // One word fits into an empty header.
            let _ = message.header_append_u32(FIRST_HOP);
            link.ready = io.push(link.pipe, &message);
            if let Some(item) = item {
                self.router.delivered(item, || Now::read(io.now()));
            }
        }
    }

    /// Takes back what was to be sent to a client.
    fn take_all_back(&mut self, answers: VecDeque<Answer>, now: Now) {
        // Newest first, so that each goes back in front of those that came after it.
        for answer in answers.into_iter().rev() {
            self.take_back(answer.item, now);
        }
    }

    fn take_back(&mut self, item: Option<InTransit>, now: Now) {
        if let Some(item) = item {
            self.router.undelivered(item, now, &mut self.later);
        }
    }

    /// Does what was left for later, until nothing is.
    fn catch_up(&mut self, now: Now, shared: &Arc<Shared>, io: &mut dyn Io) {
        self.release(now, shared, io);
        while !self.later.is_empty() {
            let out = std::mem::take(&mut self.later);
            self.carry_out(out, now, shared, io);
        }
        let _ = self.router.commit();
    }
}

/// What is left of an answer that says that something was done, if the log could not keep it.
fn lost(out: Outputs, why: &str) -> Outputs {
    let told = |output| match output {
        Output::Answer {
            session,
            message,
            item: None,
        } if message.is_ok() => Output::Answer {
            session,
            message: Letter::answer(
                message.id(),
                Status::ServerError,
                format!("it may not be kept, because the log has stopped: {why}"),
            ),
            item: None,
        },
        other => other,
    };
    out.into_iter().map(told).collect()
}

/// The protocol machine around the hub.
pub(super) struct Machine(pub(super) Arc<Shared>);

impl Protocol for Machine {
    fn info(&self) -> ProtocolInfo {
        info::PAIR1
    }

    fn add_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) -> Result<()> {
        let mut hub = lock(&self.0.state);
        let session = hub.next_session();
        hub.sessions.insert(pipe, session);
        let (source, now) = (io.peer(pipe), io.now());
        hub.links.insert(session, Link::new(pipe, source, now));
        hub.look_for_silent(now, io);
        hub.router.open(session);
        Ok(())
    }

    fn remove_pipe(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let now = Now::read(io.now());
        let mut hub = lock(&self.0.state);
        let hub = &mut *hub;
        let Some(session) = hub.sessions.remove(&pipe) else {
            return;
        };
        if let Some(link) = hub.links.remove(&session) {
            hub.take_all_back(link.answers, now);
        }
        hub.router.close(session, now, &mut hub.later);
        hub.catch_up(now, &self.0, io);
    }

    fn writable(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let now = Now::read(io.now());
        let mut hub = lock(&self.0.state);
        let Some(&session) = hub.sessions.get(&pipe) else {
            return;
        };
        let Some(link) = hub.links.get_mut(&session) else {
            return;
        };
        link.ready = true;
        hub.flush(session, io);
        hub.resume(session, &self.0, io);
        hub.catch_up(now, &self.0, io);
    }

    /// What the client has sent is still done; its answers are not waited for.
    fn broken(&mut self, pipe: PipeId, io: &mut dyn Io) {
        let now = Now::read(io.now());
        let mut hub = lock(&self.0.state);
        let hub = &mut *hub;
        let Some(link) = hub
            .sessions
            .get(&pipe)
            .and_then(|session| hub.links.get_mut(session))
        else {
            return;
        };
        link.ready = false;
        link.broken = true;
        link.answer_bytes = 0;
        link.frames.clear();
        let answers = std::mem::take(&mut link.answers);
        let held = std::mem::take(&mut link.held);
        hub.take_all_back(answers, now);
        if held {
            hub.read(pipe, &self.0, io);
        }
        hub.catch_up(now, &self.0, io);
    }

    fn arrived(&mut self, pipe: PipeId, io: &mut dyn Io) -> Flow {
        let mut hub = lock(&self.0.state);
        let flow = hub.read(pipe, &self.0, io);
        let now = Now::read(io.now());
        hub.catch_up(now, &self.0, io);
        flow
    }

    fn unsent(&self) -> usize {
        let hub = lock(&self.0.state);
        hub.links
            .values()
            .map(|link| link.answers.len() + link.frames.len() + link.awaited)
            .sum()
    }

    /// A thread that serves the broker: it is told that something was done, so that it looks for more.
    fn recv(&mut self, _: CtxId, _: OpId, _: &mut Message, _: &mut dyn Io) -> Result<bool> {
        Ok(std::mem::take(&mut lock(&self.0.state).busy))
    }

    fn deadline(&self) -> Option<Instant> {
        let hub = lock(&self.0.state);
        let look = hub.next_look.filter(|_| !hub.links.is_empty());
        hub.router.deadline().into_iter().chain(look).min()
    }

    fn timeout(&mut self, io: &mut dyn Io) {
        let now = Now::read(io.now());
        let mut hub = lock(&self.0.state);
        let hub = &mut *hub;
        hub.look_for_silent(now.at, io);
        hub.router.timeout(now, &mut hub.later);
        hub.catch_up(now, &self.0, io);
    }
}

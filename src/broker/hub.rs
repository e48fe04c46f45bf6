//! The broker as a socket's protocol: it speaks pair version 1 with any number of peers, and each is a session.
//!
//! A request is read, decided by the [`Router`] and answered under the socket's lock, by whichever thread is there; only
//! handlers and what else takes long run on threads of the [`Pool`]. A client that does not read its answers is not
//! read from either, so that what waits for it stays bounded.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::auth::{Authenticator, Login};
use super::budget::Charge;
use super::codec::{decode_within, encode_packed};
use super::endpoints::Locals;
use super::journal::Journal;
use super::line::{Came, Guard};
use super::link::{Answer, Link, Sealed};
use super::message::{Message as Letter, MessageType, Status};
use super::pool::Pool;
use super::queue::SessionId;
use super::router::{
    Credentials, Handler, InTransit, Now, Output, Outputs, OwnHandler, Publication, Returned,
    Router,
};
use super::topics::Subscription;
use super::wal::{Ticket, WalError};
use crate::engine::{Core, Deadline, lock};
use crate::error::{Error, Result};
use crate::message::{Message, PipeId};
use crate::protocols::{CtxId, IdMap, Io};

mod aside;
mod held;
mod machine;

use aside::{Decoded, Done, Task, is_long};
pub(super) use machine::Machine;

/// The header by which a client says that it reads compressed payloads, and its value.
pub(super) const ACCEPT_ENCODING: &str = "accept-encoding";
pub(super) const GZIP: &str = "gzip";
/// Most hops that are accepted.
const MOST_HOPS: u32 = 8;

/// What the broker's threads share. Locked inside the socket's lock, never around it.
pub(super) struct Shared {
    pub(super) state: Mutex<Hub>,
    pub(super) core: Arc<Mutex<Weak<Core>>>,
    pub(super) pool: Pool,
    /// Where passwords are checked: handlers that take long do not keep anybody from logging in, nor the other way round.
    pub(super) logins: Pool,
    /// Where long payloads are compressed and unpacked.
    pub(super) packers: Pool,
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
    links: IdMap<SessionId, Link>,
    /// The endpoints, which are sessions without a link.
    pub(super) locals: Locals,
    sessions: IdMap<PipeId, SessionId>,
    last_session: SessionId,
    /// What was decided while nobody could send it.
    later: Outputs,
    /// What was done aside, and is to be gone on with.
    done: Vec<Done>,
    /// Clients whose next publication is being compressed.
    await_packed: Vec<SessionId>,
    guard: Guard,
    /// When clients are looked at that may have fallen silent, if they have to say that they are alive.
    next_look: Option<Instant>,
    /// What is not to be sent before the log has kept what it rests on.
    held: VecDeque<(Ticket, Outputs)>,
    /// Something was done since somebody last looked.
    busy: bool,
}

impl Hub {
    pub(super) fn new(router: Router, guard: Guard) -> Self {
        Self {
            router,
            links: IdMap::default(),
            locals: Locals::default(),
            sessions: IdMap::default(),
            last_session: 0,
            later: Outputs::new(),
            done: Vec::new(),
            await_packed: Vec::new(),
            guard,
            next_look: None,
            held: VecDeque::new(),
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
    fn read(&mut self, pipe: PipeId, now: Now, shared: &Arc<Shared>, io: &mut dyn Io) {
        let Some(&session) = self.sessions.get(&pipe) else {
            return;
        };
        self.busy = true;
        if io.is_watched(pipe) {
            // Who sends in process hands over by itself.
            io.wake_recv(CtxId::SOCKET);
        }
        let mut more = io.peek(pipe).is_some();
        while more {
            if let Some(link) = self.links.get_mut(&session)
                && link.is_busy()
            {
                link.held = true;
                return;
            }
            let mut message = Message::new();
            more = io.take(pipe, &mut message).is_some();
            if let Err(why) = self.frame(session, message, now, shared, io) {
                io.close_pipe(pipe, why);
                return;
            }
        }
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
        let body = match link.line.take(message, &self.guard)? {
            Came::Message(body) => body,
            Came::Handshake(answer) => {
                link.frames.extend(answer);
                self.flush(session, now, shared, io);
                self.trust(session, io);
                return Ok(());
            }
        };
        if !link.broken && is_long(&body) {
            let longest = self.router.longest(session);
            let task = Task::Unpack(session, body.clone(), longest);
            if shared.aside(task) {
                link.unpacking = Some(body);
                return Ok(());
            }
        }
        let decoded = decode_within(body, self.router.longest(session));
        self.request(session, decoded, now, shared, io);
        Ok(())
    }

    /// Does what a client asks for, or refuses what is no message.
    fn request(
        &mut self,
        session: SessionId,
        decoded: Decoded,
        now: Now,
        shared: &Arc<Shared>,
        io: &mut dyn Io,
    ) {
        let Some(link) = self.links.get_mut(&session) else {
            return;
        };
        let known = link.line.is_known(&self.guard);
        let mut out = Outputs::new();
        match decoded {
            Ok((request, encoding)) if !known => {
                link.encoding = encoding;
                let text = "this client's key is none of those that the broker serves";
                let answer = request.reply(Status::DiffieHellmanNak, text);
                self.router.refuse(session, answer, &mut out);
            }
            Ok((request, encoding)) => {
                link.encoding = encoding;
                match request.kind() {
                    MessageType::ClientConfig => {
                        let reads = request.header(ACCEPT_ENCODING) == Some(GZIP);
                        link.cutoff = self.router.limits().compress_cutoff.filter(|_| reads);
                    }
                    MessageType::PollUpTo => self.router.speaks(session, encoding),
                    _ => {}
                }
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
    }

    /// Takes long messages from a client as soon as it is known who it is, if that matters.
    fn trust(&self, session: SessionId, io: &mut dyn Io) {
        if let Some(link) = self.links.get(&session)
            && link.line.is_known(&self.guard)
            && !self.router.is_stranger(session)
        {
            io.limit(link.pipe, usize::MAX);
        }
    }

    // ---- what goes out ----

    /// Reads on from a client for whose answers there is room again.
    fn resume(&mut self, session: SessionId, now: Now, shared: &Arc<Shared>, io: &mut dyn Io) {
        if let Some(link) = self.links.get_mut(&session)
            && link.held
            && !link.is_busy()
        {
            link.held = false;
            let pipe = link.pipe;
            self.read(pipe, now, shared, io);
        }
    }

    /// Sends a publication to a subscriber, or has it wait for that.
    fn publish(
        &mut self,
        subscription: &Subscription,
        publication: &Arc<Publication>,
        now: Now,
        shared: &Arc<Shared>,
        io: &mut dyn Io,
    ) {
        let Some(link) = self.links.get_mut(&subscription.session) else {
            return;
        };
        let budget = self.router.budget();
        if link.is_idle()
            && !link.has_to_pack(publication)
            && link.push_publication(publication, budget, io).is_ok()
        {
            return;
        }
        match link.publish(subscription, publication.clone()) {
            None => io.close_pipe(link.pipe, Error::Busy),
            Some(lost) => {
                for _ in 0..lost {
                    let why = crate::protocols::Dropped::SendQueueFull;
                    io.dropped_on(Some(link.pipe), why);
                }
            }
        }
        self.flush(subscription.session, now, shared, io);
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
                    if link.is_idle()
                        && !link.takes_long(&message)
                        && let Ok(frame) = link.seal(&message)
                    {
                        link.push(&frame, self.router.budget(), io);
                        self.passed(item, now);
                        continue;
                    }
                    link.answer(message, item, self.router.budget());
                    self.flush(session, now, shared, io);
                }
                Output::Publish { to, publication } => {
                    for subscription in to {
                        self.publish(&subscription, &publication, now, shared, io);
                    }
                }
                Output::Call {
                    session,
                    request,
                    handler,
                    charge,
                } => self.call(session, request, handler, charge, now, shared),
                Output::LogIn {
                    session,
                    request,
                    auth,
                    credentials,
                } => self.log_in(session, request, auth, credentials, shared),
                Output::Trust { session } => self.trust(session, io),
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
        charge: Charge,
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
            drop(charge);
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

    /// The pipe has an item that was polled.
    fn passed(&mut self, item: Option<InTransit>, now: Now) {
        if let Some(item) = item {
            self.router.delivered(item, now);
        }
    }

    /// Sends what waits for a client and goes into its pipe.
    fn flush(&mut self, session: SessionId, now: Now, shared: &Arc<Shared>, io: &mut dyn Io) {
        loop {
            let Some(link) = self.links.get_mut(&session) else {
                return;
            };
            if !link.ready {
                return;
            }
            if let Some((publication, cutoff)) = link.next_publication_to_pack()
                && self.pack_for_all(publication, cutoff, session, shared)
            {
                return;
            }
            let Some(link) = self.links.get_mut(&session) else {
                return;
            };
            let sealed = match link.next_to_pack() {
                None => link.next(),
                Some(answer) => {
                    let cutoff = link.cutoff.unwrap_or(0);
                    if shared.aside(Task::Pack(session, answer.clone(), cutoff)) {
                        return;
                    }
                    link.packed(encode_packed(&answer, cutoff))
                }
            };
            let Some(sealed) = sealed else {
                return;
            };
            self.push(session, sealed, now, io);
        }
    }

    fn push(&mut self, session: SessionId, sealed: Sealed, now: Now, io: &mut dyn Io) {
        let Some(link) = self.links.get_mut(&session) else {
            return;
        };
        match sealed {
            Ok((frame, item)) => {
                link.push(&frame, self.router.budget(), io);
                self.passed(item, now);
            }
            Err(_) => link.used_up(io),
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
        loop {
            for done in std::mem::take(&mut self.done) {
                self.go_on(done, now, shared, io);
            }
            if self.later.is_empty() {
                break;
            }
            let out = std::mem::take(&mut self.later);
            self.carry_out(out, now, shared, io);
        }
        let _ = self.router.commit();
    }
}

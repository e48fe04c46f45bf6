//! What every request leads to: the broker's own machine, without sockets, threads or a clock.
//!
//! It is told of sessions, requests, answers of functions and the time, and adds what is to be done to [`Outputs`].
//!
//! What always holds:
//!
//! - A request that wants an answer gets exactly one, now or later, unless its session ends first.
//! - An item taken out of a queue is in an output, and comes back by [`Router::delivered`] or [`Router::undelivered`].
//! - What a session waits for, owns or subscribes to ends with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::auth::{Action, Authenticator};
use super::budget::{Budget, Charge};
use super::endpoints::Shown;
use super::journal::{Committed, Journal, Restored};
use super::message::{Message, MessageType, Status};
use super::queue::{Delivery, Effects, Item, Outcome, Queue, SessionId, Waiter, WaiterId};
use super::topics::{self, Topics};
use crate::protocols::IdMap;

mod access;
mod admin;
mod again;
mod batches;
mod dead_letters;
mod functions;
mod leases;
mod limits;
mod publishing;
mod queues;
mod stats;
#[cfg(test)]
mod tests;

pub(super) use access::{BEFORE_LOGIN, Credentials};
pub(super) use admin::{QueueStatus, most_bytes};
pub(super) use dead_letters::configure;
pub(super) use functions::{Handler, OwnHandler, Returned};
pub(super) use leases::fenced;
pub(super) use limits::Limits;
pub(super) use publishing::Publication;
pub use stats::Stats;

/// The time, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) at: Instant,
    /// Milliseconds since 1970.
    pub(super) ms: i64,
}

/// What is in the queues.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) message: Message,
    bytes: usize,
    charge: Charge,
}

impl Entry {
    pub(super) fn new(message: Message, charge: Charge) -> Self {
        let bytes = message.size().total;
        Self {
            message,
            bytes,
            charge,
        }
    }
}

/// Why nobody waits any more.
const CLOSES: &str = "the broker closes";

/// The priority of what says nothing of its own.
const DEFAULT_PRIORITY: u8 = 4;

impl Item for Entry {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn expires_at(&self) -> Option<i64> {
        self.message.expires_at()
    }

    fn durable(&self) -> bool {
        self.message.is_durable()
    }

    fn priority(&self) -> u8 {
        leases::offered_number(&self.message, "priority").unwrap_or(DEFAULT_PRIORITY)
    }

    fn delay(&self) -> i64 {
        leases::offered_number(&self.message, "delay").unwrap_or(0)
    }
}

/// An item on its way to a client, or several, and the queue they come from.
#[derive(Debug)]
#[must_use = "the item is lost if the router is not told what became of it"]
pub(super) struct InTransit {
    pub(super) queue: Arc<str>,
    pub(super) delivery: Delivery<Entry>,
    /// What goes with it, if the client wants several.
    rest: Option<Box<batches::Rest>>,
    /// How long its client keeps it once it has it; without, it is the client's for good.
    pub(super) keep: Option<leases::Keep>,
}

impl InTransit {
    fn new(queue: Arc<str>, delivery: Delivery<Entry>) -> Self {
        Self {
            queue,
            delivery,
            rest: None,
            keep: None,
        }
    }
}

/// Something to do.
pub(super) enum Output {
    /// Send an answer. One that carries an item of a queue tells the router what became of it.
    Answer {
        session: SessionId,
        message: Message,
        item: Option<InTransit>,
    },
    /// Put a publication into the outboxes of subscribers.
    Publish {
        to: Vec<topics::Subscription>,
        publication: Arc<Publication>,
    },
    /// Run a function, and tell the router what it gave.
    Call {
        session: SessionId,
        request: Message,
        handler: Handler,
        charge: Charge,
    },
    /// Check a password, and tell the router what came of it.
    LogIn {
        session: SessionId,
        request: Message,
        auth: Authenticator,
        credentials: Credentials,
    },
    /// Take long messages from a client: it has logged in.
    Trust { session: SessionId },
    /// Close a client's connection.
    CutOff { session: SessionId },
}

/// What is to be done, in this order.
pub(super) type Outputs = Vec<Output>;

/// The broker's machine.
pub(super) struct Router {
    limits: Limits,
    budget: Budget,
    /// Without one there are no users, and everybody may do everything but manage.
    auth: Option<Authenticator>,
    /// Without one there are no durable queues.
    journal: Option<Journal>,
    queues: BTreeMap<Arc<str>, Queue<Entry>>,
    topics: Topics<Arc<Publication>>,
    functions: BTreeMap<String, functions::Function>,
    sessions: IdMap<SessionId, Session>,
    waiting: IdMap<WaiterId, Waiting>,
    deadlines: BTreeSet<(Instant, WaiterId)>,
    alarms: leases::Alarms,
    last_waiter: WaiterId,
    /// Nobody may wait any more.
    closing: bool,
    /// The requests that are not done again.
    window: again::Window,
    effects: Effects<Entry>,
    stats: Stats,
}

/// What the router knows of a client.
#[derive(Debug, Default)]
struct Session {
    identity: access::Identity,
    /// Whether it wants several messages at once in JSON.
    json: bool,
    temporary: BTreeSet<Arc<str>>,
    waiting: BTreeSet<WaiterId>,
    /// What it does, if it is an endpoint.
    endpoint: Option<Arc<Shown>>,
    /// The same, by the ids of their requests.
    ids: HashMap<Uuid, WaiterId>,
    /// Queues in which it has had leases as long as itself.
    leased: BTreeSet<Arc<str>>,
}

/// A request that waits at a queue.
struct Waiting {
    session: SessionId,
    request: Message,
    queue: Arc<str>,
    until: Option<Instant>,
    _charge: Charge,
}

/// Why a request is refused: the status of the answer, and its text.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Status, pub(super) String);

pub(super) type Answered<T = Message> = Result<T, Refused>;

fn refused<T>(status: Status, text: impl Into<String>) -> Answered<T> {
    Err(Refused(status, text.into()))
}

impl Router {
    pub(super) fn new(limits: Limits, auth: Option<Authenticator>) -> Self {
        Self {
            queues: BTreeMap::new(),
            topics: Topics::new(topics::Limits {
                topics: limits.topics,
                subscriptions_per_session: limits.subscriptions,
            }),
            functions: BTreeMap::new(),
            sessions: IdMap::default(),
            waiting: IdMap::default(),
            deadlines: BTreeSet::new(),
            alarms: leases::Alarms::default(),
            last_waiter: 0,
            closing: false,
            window: again::Window::new(limits.dedupe),
            effects: Effects::default(),
            stats: Stats::default(),
            budget: Budget::new(limits.memory),
            limits,
            auth,
            journal: None,
        }
    }

    /// Has durable queues, and those that the log has kept.
    pub(super) fn keep(&mut self, journal: Journal, restored: Restored, now: Now) {
        self.journal = Some(journal);
        self.window.restore(restored.offers, now);
        for (name, queue) in restored.queues {
            self.alarms.set(&name, queue.next_event(), now);
            self.queues.insert(name, queue);
        }
    }

    pub(super) fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    pub(super) fn take_journal(&mut self) -> Option<Journal> {
        self.journal.take()
    }

    /// Commits what the calls since the last time have changed in durable queues. What they have put out rests on it.
    pub(super) fn commit(&mut self) -> Committed {
        match &mut self.journal {
            Some(journal) => journal.commit(),
            None => Committed::Kept,
        }
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            held_bytes: self.budget.held(),
            refused_for_memory: self.budget.refused(),
            ..self.stats
        }
    }

    // ---- sessions ----

    pub(super) fn open(&mut self, session: SessionId) {
        self.sessions.insert(session, Session::default());
    }

    /// As [`open`](Self::open), for an endpoint that acts as a user, or may do everything without one.
    pub(super) fn open_endpoint(
        &mut self,
        session: SessionId,
        user: Option<Arc<str>>,
        endpoint: Arc<Shown>,
    ) {
        let opened = Session {
            identity: access::Identity::of_endpoint(user),
            endpoint: Some(endpoint),
            ..Session::default()
        };
        self.sessions.insert(session, opened);
    }

    /// Whether a session subscribes to anything.
    pub(super) fn subscribes(&self, session: SessionId) -> bool {
        self.topics.subscribes(session)
    }

    /// A client is gone.
    pub(super) fn close(&mut self, id: SessionId, now: Now, out: &mut Outputs) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        self.topics.drop_session(id);
        let mut touched = session.leased;
        for waiter in session.waiting {
            if let Some(waiting) = self.forget(waiter) {
                self.abandon(id, &waiting.request, now, out);
                touched.insert(waiting.queue);
            }
        }
        for name in touched {
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.drop_session(id, now.ms, &mut self.effects);
                self.alarms.set(&name, queue.next_event(), now);
            }
        }
        for name in session.temporary {
            if let Some(queue) = self.queues.remove(&name) {
                queue.close(&mut self.effects);
            }
        }
        self.carry_out(now, out);
    }

    // ---- requests ----

    /// A request of a session.
    pub(super) fn request(
        &mut self,
        session: SessionId,
        request: Message,
        now: Now,
        out: &mut Outputs,
    ) {
        let kind = request.kind();
        let beginning = matches!(
            kind,
            MessageType::ClientConfig | MessageType::Authentication
        );
        self.stats.requests += u64::from(!beginning);
        let recognised = self
            .admit(session, kind)
            .and_then(|()| self.check_size(&request))
            .and_then(|()| self.recognise(session, &request, now, out));
        let request = match recognised {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(Refused(status, text)) => {
                let answer = request.reply(status, text);
                return self.answer(session, &request, answer, out);
            }
        };
        let answer = self.decide(session, &request, now, out);
        self.carry_out(now, out);
        let answer = match answer {
            Ok(None) => return,
            Ok(Some(answer)) => answer,
            Err(Refused(status, text)) => request.reply(status, text),
        };
        self.settle(session, &request, &answer, answer.is_ok(), now, out);
        self.answer(session, &request, answer, out);
    }

    fn decide(
        &mut self,
        session: SessionId,
        request: &Message,
        now: Now,
        out: &mut Outputs,
    ) -> Answered<Option<Message>> {
        match request.kind() {
            MessageType::Offer => self.offer(session, request, now),
            MessageType::OfferAll => self.offer_all(session, request, now),
            MessageType::Poll | MessageType::PollUpTo => self.poll(session, request, now, out),
            MessageType::AckAll | MessageType::NackAll => self.end_leases(session, request, now),
            MessageType::Ack | MessageType::Nack | MessageType::Extend => {
                self.end_lease(session, request, now)
            }
            MessageType::Request => self.call(session, request, out),
            MessageType::Publish => self.publish(session, request, now, out),
            MessageType::Subscribe => self.subscribe(session, request, now, out),
            MessageType::Unsubscribe => self.unsubscribe(session, request),
            MessageType::Authentication => self.log_in(session, request, out),
            MessageType::Cancel => {
                self.cancel(session, request.id(), now, out);
                Ok(None)
            }
            MessageType::Test | MessageType::Heartbeat => Ok(Some(request.reply(Status::Ok, ""))),
            _ => self.manage(session, request, now),
        }
    }

    /// A request that cannot be read.
    pub(super) fn refuse(&mut self, session: SessionId, answer: Message, out: &mut Outputs) {
        self.stats.requests += 1;
        self.stats.failed += 1;
        out.push(Output::Answer {
            session,
            message: answer,
            item: None,
        });
    }

    fn answer(
        &mut self,
        session: SessionId,
        request: &Message,
        message: Message,
        out: &mut Outputs,
    ) {
        self.stats.failed += u64::from(message.is_err());
        if !request.is_oneway() && self.sessions.contains_key(&session) {
            out.push(Output::Answer {
                session,
                message,
                item: None,
            });
        }
    }

    // ---- time ----

    /// When [`timeout`](Self::timeout) is to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = self.deadlines.first().map(|&(at, _)| at);
        let waits = waits.into_iter().chain(self.window.deadline());
        waits.chain(self.alarms.first()).min()
    }

    /// How often clients have to say that they are alive; zero if they need not.
    pub(super) fn heartbeat(&self) -> Duration {
        self.limits.heartbeat
    }

    /// Ends the waits whose time is over, and does what is due in queues.
    pub(super) fn timeout(&mut self, now: Now, out: &mut Outputs) {
        self.window.expire(now);
        while let Some(&(at, waiter)) = self.deadlines.first()
            && at <= now.at
        {
            self.deadlines.pop_first();
            self.give_up(waiter, None, now, out);
        }
        self.ring(now, out);
        self.carry_out(now, out);
    }

    /// Ends all waits, because the broker closes. What comes after this does not wait either.
    pub(super) fn interrupt(&mut self, now: Now, out: &mut Outputs) {
        self.closing = true;
        let why = (Status::QueueAccessInterrupted, CLOSES);
        let waiters: Vec<WaiterId> = self.waiting.keys().copied().collect();
        for waiter in waiters {
            self.give_up(waiter, Some(why), now, out);
        }
        self.carry_out(now, out);
    }

    /// A client takes a request back. If it does not wait, its answer is on its way.
    fn cancel(&mut self, session: SessionId, id: Uuid, now: Now, out: &mut Outputs) {
        let known = self.sessions.get(&session);
        if let Some(&waiter) = known.and_then(|session| session.ids.get(&id)) {
            let why = (Status::QueueAccessInterrupted, "it was taken back");
            self.give_up(waiter, Some(why), now, out);
        }
    }

    /// A wait is over without success, for this reason or because its time is over.
    fn give_up(
        &mut self,
        waiter: WaiterId,
        why: Option<(Status, &str)>,
        now: Now,
        out: &mut Outputs,
    ) {
        let Some(waiting) = self.forget(waiter) else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(&waiting.queue)
            && queue.cancel(waiter, now.ms, &mut self.effects).is_none()
        {
            // Its outcome is among the effects already.
            return;
        }
        self.look_at(&waiting.queue, now);
        let (status, text) = why.unwrap_or_else(|| match waiting.request.kind() {
            MessageType::Poll | MessageType::PollUpTo => {
                (Status::QueueEmpty, "nothing came into the queue in time")
            }
            _ => (Status::QueueFull, "no room came up in the queue in time"),
        });
        let answer = waiting.request.reply(status, text);
        self.settle(waiting.session, &waiting.request, &answer, false, now, out);
        self.answer(waiting.session, &waiting.request, answer, out);
    }

    /// Registers a request that is to wait.
    fn wait(&mut self, session: SessionId) -> Answered<Waiter> {
        if self.closing {
            return refused(Status::QueueAccessInterrupted, CLOSES);
        }
        let most = self.limits.waiting;
        let Some(known) = self.sessions.get_mut(&session) else {
            return refused(Status::ServerError, "the session is over");
        };
        if known.waiting.len() >= most {
            return refused(
                Status::RetryLater,
                format!("{most} requests of this client wait already"),
            );
        }
        // What waits is charged when it does.
        self.charge_bytes(0).map(drop)?;
        self.last_waiter += 1;
        Ok(Waiter {
            id: self.last_waiter,
            session,
        })
    }

    /// Remembers a request that does wait.
    fn remember(
        &mut self,
        waiter: Waiter,
        queue: Arc<str>,
        request: Message,
        until: Option<Instant>,
    ) {
        if let Some(session) = self.sessions.get_mut(&waiter.session) {
            session.waiting.insert(waiter.id);
            session.ids.insert(request.id(), waiter.id);
        }
        self.deadlines.extend(until.map(|at| (at, waiter.id)));
        // Of an offer the queue holds the rest.
        let charge = self.budget.take(0);
        self.waiting.insert(
            waiter.id,
            Waiting {
                session: waiter.session,
                request,
                queue,
                until,
                _charge: charge,
            },
        );
    }

    fn forget(&mut self, waiter: WaiterId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&waiter)?;
        if let Some(at) = waiting.until {
            self.deadlines.remove(&(at, waiter));
        }
        if let Some(session) = self.sessions.get_mut(&waiting.session) {
            session.waiting.remove(&waiter);
            let id = waiting.request.id();
            if session.ids.get(&id) == Some(&waiter) {
                session.ids.remove(&id);
            }
        }
        Some(waiting)
    }

    /// Does what queues have asked for.
    fn carry_out(&mut self, now: Now, out: &mut Outputs) {
        while !self.effects.woken.is_empty() || !self.effects.dead.is_empty() {
            for dead in std::mem::take(&mut self.effects.dead) {
                self.bury(dead, now);
            }
            for woken in std::mem::take(&mut self.effects.woken) {
                self.woken(woken.waiter, woken.outcome, now, out);
            }
        }
    }

    fn woken(&mut self, waiter: Waiter, outcome: Outcome<Entry>, now: Now, out: &mut Outputs) {
        let Some(waiting) = self.forget(waiter.id) else {
            if let Outcome::Got(delivery) = outcome {
                // Nobody is known to wait for it: it goes back to whichever queue it was.
                debug_assert!(false, "an unknown waiter was woken");
                drop(delivery);
            }
            return;
        };
        let request = &waiting.request;
        let answer = match outcome {
            Outcome::Got(delivery) => {
                let item = InTransit::new(waiting.queue, delivery);
                // It may have lost the right while it waited.
                match self.check_queue(waiting.session, Action::Poll, &item.queue) {
                    Ok(()) => return self.hand_out(waiting.session, request, item, now, out),
                    Err(Refused(status, text)) => {
                        self.undelivered(item, now, out);
                        request.reply(status, text)
                    }
                }
            }
            Outcome::Accepted => request.reply(Status::Ok, ""),
            Outcome::Removed(_) => {
                request.reply(Status::QueueNotFound, "the queue was removed meanwhile")
            }
        };
        self.settle(waiting.session, request, &answer, answer.is_ok(), now, out);
        self.answer(waiting.session, request, answer, out);
    }

    /// How long a request may wait: `None` for not at all, else until when, if there is an end.
    fn patience(&self, request: &Message, now: Now) -> Option<Option<Instant>> {
        let longest = now.at.checked_add(self.limits.longest_wait);
        match request.timeout() {
            None | Some(0) => None,
            Some(ms @ 1..) => {
                let wait = Duration::from_millis(ms.unsigned_abs()).min(self.limits.longest_wait);
                Some(now.at.checked_add(wait))
            }
            Some(_) => Some(longest),
        }
    }
}

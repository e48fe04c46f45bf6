//! Dialers and listeners: what they share, and how a connection becomes a pipe.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use super::core::{Core, Phase, State, after};
use super::deadline::block_on;
use super::dialer::Dialing;
use super::events::Event;
use super::listener::Listening;
use super::lock;
use super::pipe::{PipeInfo, PipeSlot, PipeSource};
use super::reactor::Source;
use super::tally::Tally;
use super::timers::{Timed, TimerKey};
use crate::address::Address;
use crate::error::{Error, Result};
use crate::message::PipeId;
use crate::sync::{Mutex, MutexGuard};
use crate::sys::poller;
use crate::transports::{Established, Handshake, Progress};

/// What a pipe came from.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Dialer(Arc<Dialing>),
    Listener(Arc<Listening>),
}

impl Endpoint {
    /// A pipe of this endpoint is about to be added. Returns whether the endpoint still wants it.
    fn pipe_added(&self) -> bool {
        match self {
            Self::Dialer(dialer) => dialer.pipe_added(),
            Self::Listener(listener) => listener.pipe_added(),
        }
    }

    /// A pipe of this endpoint is gone. `healthy` says that something had been received on it. Returns what follows.
    pub(super) fn pipe_gone(&self, healthy: bool) -> Option<Event> {
        let Self::Dialer(dialer) = self else {
            return None;
        };
        let retry_in = dialer.pipe_gone(healthy)?;
        let url = dialer.url.to_string();
        Some(Event::Reconnecting { url, retry_in })
    }

    pub(super) fn is_dialer(&self) -> bool {
        matches!(self, Self::Dialer(_))
    }

    pub(super) fn tally(&self) -> &Tally {
        match self {
            Self::Dialer(dialer) => &dialer.tally,
            Self::Listener(listener) => &listener.tally,
        }
    }

    /// Closes it without closing its pipes.
    pub(super) fn stop(&self) {
        match self {
            Self::Dialer(dialer) => dialer.stop(),
            Self::Listener(listener) => listener.stop(),
        }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dialer(one), Self::Dialer(other)) => Arc::ptr_eq(one, other),
            (Self::Listener(one), Self::Listener(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// Called once with what became of a handshake.
type Outcome = Box<dyn FnOnce(Result<PipeId>) + Send>;

/// A handshake under way: a connection that is not a pipe yet.
pub(super) struct Shaking {
    core: Arc<Core>,
    endpoint: Option<Endpoint>,
    url: String,
    limit: usize,
    state: Mutex<ShakingState>,
}

struct ShakingState {
    handshake: Option<Box<dyn Handshake>>,
    key: Option<usize>,
    writable: bool,
    timer: Option<TimerKey>,
    outcome: Option<Outcome>,
}

/// How a handshake ends.
enum End {
    Up(Established),
    /// Its connection is for another listener.
    Elsewhere,
    Failed(Error),
}

impl Shaking {
    /// Runs a handshake to its end, at most `timeout` long, and makes a pipe of it.
    pub(super) fn start(
        core: Arc<Core>,
        endpoint: Option<Endpoint>,
        url: String,
        limit: usize,
        handshake: Box<dyn Handshake>,
        timeout: Duration,
        outcome: impl FnOnce(Result<PipeId>) + Send + 'static,
    ) -> Arc<Self> {
        let reactor = core.reactor;
        let shaking = Arc::new(Self {
            core,
            endpoint,
            url,
            limit,
            state: Mutex::new(ShakingState {
                handshake: Some(handshake),
                key: None,
                writable: true,
                timer: None,
                outcome: Some(Box::new(outcome)),
            }),
        });
        let mut state = lock(&shaking.state);
        let key = match state
            .handshake
            .as_ref()
            .and_then(|handshake| handshake.fd())
        {
            Some(fd) => reactor.add(fd, shaking.clone(), true).map(Some),
            None => Ok(None),
        };
        match key {
            Ok(key) => {
                state.key = key;
                if key.is_some()
                    && let Some(at) = after(timeout)
                {
                    state.timer = Some(reactor.set_timer(at, shaking.clone()));
                }
                drop(state);
                shaking.advance();
            }
            Err(error) => {
                drop(state);
                shaking.fail(error);
            }
        }
        shaking
    }

    /// Whether it has come to its end.
    pub(super) fn is_over(&self) -> bool {
        lock(&self.state).outcome.is_none()
    }

    /// Gives the handshake up.
    pub(super) fn abort(&self, why: Error) {
        self.fail(why);
    }

    fn advance(&self) {
        let mut state = lock(&self.state);
        let Some(handshake) = &mut state.handshake else {
            return;
        };
        let end = match handshake.advance() {
            Ok(Progress::Waiting { writable }) => {
                if state.writable == writable {
                    return;
                }
                state.writable = writable;
                let modified = match (state.handshake.as_ref().and_then(|one| one.fd()), state.key)
                {
                    (Some(fd), Some(key)) => self.core.reactor.modify(fd, key, writable),
                    _ => Ok(()),
                };
                match modified {
                    Ok(()) => return,
                    Err(error) => End::Failed(error),
                }
            }
            Ok(Progress::Done(established)) => End::Up(established),
            Ok(Progress::Elsewhere) => End::Elsewhere,
            Err(error) => End::Failed(error),
        };
        self.end_locked(state, end);
    }

    fn fail(&self, why: Error) {
        self.end_locked(lock(&self.state), End::Failed(why));
    }

    /// Ends the handshake in the same hold of the lock that decided its result: another thread that goes on with one
    /// that is over would find it broken.
    fn end_locked(&self, mut state: MutexGuard<'_, ShakingState>, end: End) {
        let Some(outcome) = state.outcome.take() else {
            return;
        };
        let handshake = state.handshake.take();
        let (key, timer) = (state.key.take(), state.timer.take());
        drop(state);
        if let Some(timer) = timer {
            self.core.reactor.cancel_timer(timer);
        }
        let fd = match &end {
            End::Up(established) => established.connection.fd(),
            _ => handshake.as_ref().and_then(|handshake| handshake.fd()),
        };
        if let (Some(fd), Some(key)) = (fd, key) {
            self.core.reactor.remove(fd, key);
        }
        let result = match end {
            End::Up(established) => self.core.attach(
                established,
                self.endpoint.clone(),
                self.url.clone(),
                self.limit,
            ),
            End::Elsewhere => {
                if let Some(handshake) = handshake {
                    handshake.hand_over();
                }
                Err(Error::Closed)
            }
            End::Failed(error) => {
                if !matches!(error, Error::Closed) && self.accepted() {
                    if let Some(listener) = &self.endpoint {
                        listener.tally().failed(&error);
                    }
                    let peer = handshake.map_or(Address::Unspecified, |one| one.peer());
                    self.core
                        .handshake_failed(self.url.clone(), peer, error.clone());
                }
                Err(error)
            }
        };
        outcome(result);
    }

    /// Dialers report failures themselves, with what they will do about it.
    fn accepted(&self) -> bool {
        !self.endpoint.as_ref().is_some_and(Endpoint::is_dialer)
    }
}

/// Gives a handshake up when nobody waits for it any more.
struct Abort(Arc<Shaking>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort(Error::Closed);
    }
}

impl Source for Shaking {
    fn ready(self: Arc<Self>, _: poller::Event) -> bool {
        self.advance();
        false
    }
}

impl Timed for Shaking {
    fn fire(self: Arc<Self>) {
        self.fail(Error::TimedOut);
    }
}

impl Core {
    /// Makes a pipe of a connection that is up.
    pub(super) fn attach(
        self: &Arc<Self>,
        established: Established,
        endpoint: Option<Endpoint>,
        url: String,
        limit: usize,
    ) -> Result<PipeId> {
        let Established {
            connection,
            protocol,
        } = established;
        if protocol != self.info.peer {
            let error = Error::WrongProtocol {
                expected: self.info.peer,
                actual: protocol,
            };
            match &endpoint {
                Some(endpoint) if endpoint.is_dialer() => {}
                endpoint => {
                    if let Some(listener) = endpoint {
                        listener.tally().failed(&error);
                    }
                    self.handshake_failed(url, connection.ends().peer, error.clone());
                }
            }
            return Err(error);
        }
        if let Some(endpoint) = &endpoint {
            endpoint.tally().connected();
        }
        let id = next_pipe_id();
        let ends = connection.ends();
        let info = Arc::new(PipeInfo {
            id,
            local: ends.local,
            peer: ends.peer,
            credentials: ends.credentials,
            #[cfg(feature = "tls")]
            certificate: ends.certificate,
            http: ends.http,
            url,
            dialed: matches!(endpoint, Some(Endpoint::Dialer(_))),
        });
        if !self.observers.accepts(&info) {
            count_rejected(endpoint.as_ref(), &Error::Rejected);
            self.reject(self.lock(), info, Error::Rejected);
            return Err(Error::Rejected);
        }
        let mut state = self.lock();
        if !state.takes_pipes() {
            return Err(Error::Closed);
        }
        let unwanted = |endpoint: &Endpoint| !endpoint.pipe_added();
        if endpoint.as_ref().is_some_and(unwanted) {
            return Err(Error::Closed);
        }
        let slot = PipeSlot::new(connection.clone(), limit, info.clone(), endpoint.clone());
        let State { machine, world, .. } = &mut *state;
        world.pipes.insert(id, slot);
        if let Err(error) = machine.add_pipe(id, world) {
            world.pipes.remove(id);
            count_rejected(endpoint.as_ref(), &error);
            if let Some(Endpoint::Dialer(dialer)) = endpoint {
                dialer.pipe_rejected();
            }
            self.reject(state, info, error.clone());
            return Err(error);
        }
        state.stats.added += 1;
        let source = Arc::new(PipeSource {
            core: self.clone(),
            id,
        });
        let watched = match connection.fd() {
            Some(fd) => self.reactor.add(fd, source, false).map(Some),
            None => {
                connection.set_listener(Arc::new(move |event| {
                    source.core.pipe_told(source.id, event);
                }));
                Ok(None)
            }
        };
        state.world.tell(Event::Added(info));
        state.world.pipes_changed();
        match watched {
            Ok(key) => {
                if let Some(pipe) = state.world.pipes.get_mut(id) {
                    pipe.key = key;
                }
            }
            Err(error) => state.world.close(id, error),
        }
        self.finish(state);
        if connection.fd().is_none() || connection.has_arrivals() {
            // What came before there was anybody to tell.
            self.look_for_end(id);
        }
        if let Some(every) = connection.ticks_every() {
            self.tick_later(id, every);
        }
        Ok(id)
    }

    fn reject(&self, mut state: super::core::Guard<'_>, pipe: Arc<PipeInfo>, reason: Error) {
        state.stats.rejected += 1;
        state.world.tell(Event::Rejected { pipe, reason });
        self.finish(state);
    }

    pub(super) fn handshake_failed(&self, url: String, peer: Address, reason: Error) {
        let mut state = self.lock();
        state.stats.handshakes_failed += 1;
        state
            .world
            .tell(Event::HandshakeFailed { url, peer, reason });
        self.finish(state);
    }

    /// Takes over a stream that is already connected. The handshake is still to come.
    pub(crate) fn adopt(
        self: &Arc<Self>,
        handshake: Box<dyn Handshake>,
        limit: usize,
        timeout: Duration,
    ) -> Result<PipeId> {
        block_on(
            self.reactor,
            None,
            self.adopt_async(handshake, limit, timeout),
        )
    }

    /// As [`adopt`](Self::adopt), as a future. Dropping it gives the handshake up.
    pub(crate) async fn adopt_async(
        self: &Arc<Self>,
        handshake: Box<dyn Handshake>,
        limit: usize,
        timeout: Duration,
    ) -> Result<PipeId> {
        drop(self.open()?);
        let result = Arc::new(Mutex::new(None));
        let shared = result.clone();
        let me: Weak<Self> = self.me.clone();
        let shaking = Shaking::start(
            self.clone(),
            None,
            String::new(),
            limit,
            handshake,
            timeout,
            move |done| {
                *lock(&shared) = Some(done);
                if let Some(core) = me.upgrade() {
                    let mut state = core.lock();
                    state.world.pipes_changed();
                    core.finish(state);
                }
            },
        );
        let _abandoned = Abort(shaking);
        self.watch(|_| lock(&result).take()).await
    }

    /// Closes one pipe.
    pub(crate) fn close_pipe(&self, id: PipeId) -> Result<()> {
        let mut state = self.lock();
        let known = state.world.pipes.contains(id);
        state.world.close(id, Error::Closed);
        self.finish(state);
        if known { Ok(()) } else { Err(Error::NotFound) }
    }

    /// Closes the pipes of an endpoint and forgets it.
    pub(super) fn drop_endpoint(&self, endpoint: &Endpoint) {
        let mut state = self.lock();
        state.endpoints.retain(|one| !one.is(endpoint));
        let ids: Vec<PipeId> = state
            .world
            .pipes
            .iter()
            .filter(|(_, pipe)| pipe.endpoint.as_ref().is_some_and(|one| one.is(endpoint)))
            .map(|(id, _)| id)
            .collect();
        for id in ids {
            state.world.close(id, Error::Closed);
        }
        self.finish(state);
    }
}

impl State {
    /// Whether new pipes are of use: to users, or to what they left to be sent.
    pub(super) fn takes_pipes(&self) -> bool {
        match self.phase {
            Phase::Open => true,
            Phase::Closing => self.machine.unsent() > 0,
            Phase::Finishing | Phase::Closed => false,
        }
    }
}

/// Dialers count their failures themselves.
fn count_rejected(endpoint: Option<&Endpoint>, why: &Error) {
    if let Some(listener) = endpoint.filter(|one| !one.is_dialer()) {
        listener.tally().failed(why);
    }
}

/// A number no pipe of the process has. They start anywhere and count up, so that a number is not used again soon.
fn next_pipe_id() -> PipeId {
    use std::hash::{BuildHasher, RandomState};
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| {
        AtomicU32::new(RandomState::new().hash_one(Instant::now()) as u32) // any 32 of its bits
    });
    loop {
        if let Some(id) = PipeId::new(NEXT.fetch_add(1, Ordering::Relaxed) & 0x7fff_ffff) {
            return id;
        }
    }
}

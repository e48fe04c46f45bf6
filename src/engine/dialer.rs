//! A dialer: it keeps one connection to an address, and tries again when there is none.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use std::{mem, thread};

use super::core::{Core, after};
use super::deadline::{block_on, within};
use super::endpoint::{Endpoint, Shaking};
use super::events::Event;
use super::lock;
use super::tally::{EndpointStats, Tally};
use super::timers::{Timed, TimerKey};
use crate::address::Address;
use crate::error::{Error, Result};
use crate::message::PipeId;
use crate::options::EndpointOptions;
use crate::sync::{Mutex, MutexGuard};
use crate::transports::{self, Setup, Transport};
use crate::url::Url;

/// Shortest wait between two attempts: one that fails at once must not keep a processor busy.
const SHORTEST: Duration = Duration::from_millis(5);

/// A dialer's core.
pub(crate) struct Dialing {
    core: Weak<Core>,
    pub(crate) url: Url,
    transport: &'static dyn Transport,
    state: Mutex<DialState>,
    pub(super) tally: Tally,
    me: Weak<Self>,
}

struct DialState {
    options: EndpointOptions,
    phase: DialPhase,
    /// Ceiling of the next wait.
    delay: Duration,
    timer: Option<TimerKey>,
    shaking: Option<Arc<Shaking>>,
    /// Addresses of this attempt that were not tried yet.
    left: Vec<Address>,
    connected_at: Option<Instant>,
    /// The result of the first attempt, for whoever waits for it.
    first: Option<Result<()>>,
    /// Whether somebody waits for the first attempt, whose failure then stops the dialer.
    awaited: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DialPhase {
    Idle,
    Running,
    Connected,
    Closed,
}

impl Dialing {
    pub(crate) fn new(core: &Arc<Core>, url: &str) -> Result<Arc<Self>> {
        let url: Url = url.parse()?;
        url.check_dial()?;
        let transport = transports::find(&url)?;
        let options = core.options().endpoint;
        drop(core.open()?);
        Ok(Arc::new_cyclic(|me| Self {
            core: Arc::downgrade(core),
            url,
            transport,
            state: Mutex::new(DialState {
                delay: options.reconnect_min,
                options,
                phase: DialPhase::Idle,
                timer: None,
                shaking: None,
                left: Vec::new(),
                connected_at: None,
                first: None,
                awaited: false,
            }),
            tally: Tally::default(),
            me: me.clone(),
        }))
    }

    pub(crate) fn options(&self) -> EndpointOptions {
        lock(&self.state).options.clone()
    }

    pub(crate) fn stats(self: &Arc<Self>) -> EndpointStats {
        let this = Endpoint::Dialer(self.clone());
        let core = self.core.upgrade();
        core.map_or_else(EndpointStats::default, |core| core.endpoint_stats(&this))
    }

    /// Changes the options for connections to come; the wait between attempts starts over.
    pub(crate) fn set_options(&self, options: &EndpointOptions) -> Result<()> {
        options.check()?;
        let mut state = lock(&self.state);
        if state.phase == DialPhase::Closed {
            return Err(Error::Closed);
        }
        state.delay = options.reconnect_min;
        state.options.clone_from(options);
        Ok(())
    }

    // ---- starting and stopping ----

    /// Starts dialing, and trying again until it is closed.
    pub(crate) fn start(self: &Arc<Self>) -> Result<()> {
        self.begin(false)
    }

    /// Starts dialing and waits for the first attempt. If that fails the dialer may be started again.
    pub(crate) fn start_and_wait(self: &Arc<Self>, timeout: Option<Duration>) -> Result<()> {
        let timeout = timeout.unwrap_or_else(|| self.options().connect_timeout);
        let core = self.core.upgrade().ok_or(Error::Closed)?;
        block_on(core.reactor, after(timeout), self.first_attempt(&core))
    }

    /// As [`start_and_wait`](Self::start_and_wait), as a future.
    pub(crate) async fn start_and_wait_async(
        self: &Arc<Self>,
        timeout: Option<Duration>,
    ) -> Result<()> {
        let timeout = timeout.unwrap_or_else(|| self.options().connect_timeout);
        let core = self.core.upgrade().ok_or(Error::Closed)?;
        within(core.reactor, timeout, self.first_attempt(&core)).await
    }

    /// Dropping the future before the attempt has succeeded is as if it had failed.
    async fn first_attempt(self: &Arc<Self>, core: &Core) -> Result<()> {
        self.begin(true)?;
        let mut attempt = FirstAttempt(Some(self));
        core.watch(|_| lock(&self.state).first.take()).await?;
        attempt.0 = None;
        Ok(())
    }

    fn begin(self: &Arc<Self>, awaited: bool) -> Result<()> {
        let core = self.core.upgrade().ok_or(Error::Closed)?;
        let mut state = lock(&self.state);
        match state.phase {
            DialPhase::Idle => {}
            DialPhase::Closed => return Err(Error::Closed),
            _ => return Err(Error::InvalidState("the dialer was started already")),
        }
        state.phase = DialPhase::Running;
        state.awaited = awaited;
        state.first = None;
        drop(state);
        let this = Endpoint::Dialer(self.clone());
        if let Err(error) = core.register_endpoint(this.clone()) {
            self.reset(DialPhase::Idle);
            return Err(error);
        }
        if lock(&self.state).phase == DialPhase::Closed {
            core.drop_endpoint(&this);
            return Err(Error::Closed);
        }
        self.attempt();
        Ok(())
    }

    /// Stops for good: no attempt goes on, none follows.
    pub(crate) fn stop(&self) {
        self.reset(DialPhase::Closed);
    }

    /// Stops, and closes the pipe.
    pub(crate) fn close(self: &Arc<Self>) {
        self.stop();
        if let Some(core) = self.core.upgrade() {
            core.drop_endpoint(&Endpoint::Dialer(self.clone()));
        }
    }

    fn reset(&self, phase: DialPhase) {
        let mut state = lock(&self.state);
        if state.phase != DialPhase::Closed {
            state.phase = phase;
        }
        state.left.clear();
        let (timer, shaking) = (state.timer.take(), state.shaking.take());
        self.report(state, Err(Error::Closed));
        if let (Some(timer), Some(core)) = (timer, self.core.upgrade()) {
            core.reactor.cancel_timer(timer);
        }
        if let Some(shaking) = shaking {
            shaking.abort(Error::Closed);
        }
    }

    // ---- one attempt ----

    fn attempt(self: &Arc<Self>) {
        if let Some(core) = self.core.upgrade() {
            core.announce_attempt(self.url.to_string());
        }
        if !self.transport.needs_lookup(&self.url) {
            return self.resolved(self.transport.resolve(&self.url));
        }
        let me = self.clone();
        let lookup = thread::Builder::new().name("wirebird-lookup".into());
        let spawned = lookup.spawn(move || me.resolved(me.transport.resolve(&me.url)));
        if let Err(error) = spawned {
            self.failed(error.into());
        }
    }

    fn resolved(self: &Arc<Self>, addresses: Result<Vec<Address>>) {
        match addresses {
            Ok(mut addresses) => {
                addresses.reverse();
                lock(&self.state).left = addresses;
                self.connect_next(Error::AddressInvalid("the host has no address".into()));
            }
            Err(error) => self.failed(error),
        }
    }

    /// Tries the next address; if there is none, the attempt has failed with the last one's error.
    fn connect_next(self: &Arc<Self>, mut last: Error) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        loop {
            let mut state = lock(&self.state);
            if state.phase != DialPhase::Running {
                return;
            }
            let Some(address) = state.left.pop() else {
                drop(state);
                return self.failed(last);
            };
            let setup = Setup {
                protocol: core.info.id,
                recv_max: state.options.recv_max,
                options: state.options.clone(),
            };
            drop(state);
            match self.transport.connect(&self.url, &address, &setup) {
                Ok(handshake) => {
                    let me = self.clone();
                    let shaking = Shaking::start(
                        core,
                        Some(Endpoint::Dialer(self.clone())),
                        self.url.to_string(),
                        setup.recv_max,
                        handshake,
                        setup.options.connect_timeout,
                        move |result| me.shaken(result),
                    );
                    return self.keep(shaking);
                }
                Err(error) => last = error,
            }
        }
    }

    /// Remembers a handshake so that it can be aborted, unless the dialer was closed meanwhile.
    fn keep(&self, shaking: Arc<Shaking>) {
        let mut state = lock(&self.state);
        match state.phase {
            DialPhase::Running if !shaking.is_over() => state.shaking = Some(shaking),
            DialPhase::Running | DialPhase::Connected => {}
            DialPhase::Idle | DialPhase::Closed => {
                drop(state);
                shaking.abort(Error::Closed);
            }
        }
    }

    fn shaken(self: &Arc<Self>, result: Result<PipeId>) {
        let mut state = lock(&self.state);
        if result.is_err() {
            state.shaking = None;
        }
        match result {
            Ok(_) => self.report(state, Ok(())),
            // The other addresses of the host lead to the same peer: only one that is not there is passed over.
            Err(Error::Closed) => drop(state),
            Err(error @ (Error::WrongProtocol { .. } | Error::BadHandshake | Error::Rejected)) => {
                state.left.clear();
                drop(state);
                self.failed(error);
            }
            Err(error) => {
                drop(state);
                self.connect_next(error);
            }
        }
    }

    // ---- afterwards ----

    fn failed(self: &Arc<Self>, error: Error) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        let mut state = lock(&self.state);
        if state.phase != DialPhase::Running {
            return;
        }
        let retry_in = if state.awaited {
            state.phase = DialPhase::Idle;
            None
        } else {
            Some(self.retry(&core, &mut state))
        };
        self.tally.failed(&error);
        let url = self.url.to_string();
        self.report(state, Err(error.clone()));
        core.dial_failed(Event::DialFailed {
            url,
            reason: error,
            retry_in,
        });
    }

    /// The connection becomes a pipe, unless the dialer was stopped meanwhile. Called with the socket's lock held,
    /// so that nobody can close the pipe before.
    pub(super) fn pipe_added(&self) -> bool {
        let mut state = lock(&self.state);
        if state.phase != DialPhase::Running {
            return false;
        }
        state.phase = DialPhase::Connected;
        state.connected_at = Some(Instant::now());
        state.left.clear();
        state.shaking = None;
        true
    }

    /// The socket took no more pipes: the attempt has failed after all. Called with the socket's lock held.
    pub(super) fn pipe_rejected(&self) {
        let mut state = lock(&self.state);
        if state.phase == DialPhase::Connected {
            state.phase = DialPhase::Running;
        }
    }

    /// The pipe is gone. Returns after how long there will be another attempt. Called with the socket's lock held.
    pub(super) fn pipe_gone(&self, healthy: bool) -> Option<Duration> {
        let core = self.core.upgrade()?;
        let mut state = lock(&self.state);
        if state.phase != DialPhase::Connected {
            return None;
        }
        // A peer that turns us away at once is not a success: the wait goes on growing.
        let lasted = state
            .connected_at
            .take()
            .is_some_and(|at| at.elapsed() >= state.delay);
        if healthy || lasted {
            state.delay = state.options.reconnect_min;
        }
        state.phase = DialPhase::Running;
        Some(self.retry(&core, &mut state))
    }

    /// Sets the timer for the next attempt; returns the wait.
    fn retry(&self, core: &Core, state: &mut DialState) -> Duration {
        let wait = state.delay.mul_f64(random()).max(SHORTEST);
        if !state.options.reconnect_max.is_zero() {
            state.delay = (state.delay * 2).min(state.options.reconnect_max);
        }
        if let (Some(at), Some(me)) = (after(wait), self.me.upgrade()) {
            state.timer = Some(core.reactor.set_timer(at, me));
        }
        wait
    }

    /// Tells whoever waits for the first attempt.
    fn report(&self, mut state: MutexGuard<'_, DialState>, result: Result<()>) {
        if !mem::take(&mut state.awaited) {
            return;
        }
        state.first = Some(result);
        drop(state);
        if let Some(core) = self.core.upgrade() {
            core.wake_watchers();
        }
    }
}

/// The dialer while somebody waits for its first attempt.
struct FirstAttempt<'a>(Option<&'a Arc<Dialing>>);

impl Drop for FirstAttempt<'_> {
    fn drop(&mut self) {
        let Some(dialer) = self.0 else { return };
        lock(&dialer.state).awaited = false;
        dialer.reset(DialPhase::Idle);
        if let Some(core) = dialer.core.upgrade() {
            core.drop_endpoint(&Endpoint::Dialer(dialer.clone()));
        }
    }
}

impl Timed for Dialing {
    fn fire(self: Arc<Self>) {
        lock(&self.state).timer = None;
        self.attempt();
    }
}

impl Core {
    pub(super) fn register_endpoint(&self, endpoint: Endpoint) -> Result<()> {
        let mut state = self.open()?;
        if !state.endpoints.iter().any(|one| one.is(&endpoint)) {
            state.endpoints.push(endpoint);
        }
        Ok(())
    }

    fn wake_watchers(&self) {
        let mut state = self.lock();
        state.world.pipes_changed();
        self.finish(state);
    }

    fn announce_attempt(&self, url: String) {
        let mut state = self.lock();
        state.world.tell(Event::Dialing { url });
        self.finish(state);
    }

    fn dial_failed(&self, event: Event) {
        let mut state = self.lock();
        state.stats.dials_failed += 1;
        state.world.tell(event);
        self.finish(state);
    }
}

/// A random number from 0 up to, not including, 1.
pub(crate) fn random() -> f64 {
    let bits = RandomState::new().hash_one(Instant::now()) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

//! A listener: it accepts connections and starts their handshakes, so that no silent peer holds up another.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{io, mem};

use super::core::{Core, after};
use super::endpoint::{Endpoint, Shaking};
use super::events::Event;
use super::lock;
use super::reactor::Source;
use super::tally::{EndpointStats, Tally};
use super::timers::{Timed, TimerKey};
use crate::address::Address;
use crate::error::{Error, Result};
use crate::options::EndpointOptions;
use crate::sync::Mutex;
use crate::sys::poller;
use crate::transports::{self, Acceptor, Inbox, Setup, Transport};
use crate::url::Url;

/// How long accepting rests when the process has no descriptors or memory left.
const REST: Duration = Duration::from_millis(50);
/// Connections accepted in a row before others get their turn.
const ACCEPTS: usize = 64;

/// A listener's core.
pub(crate) struct Listening {
    core: Weak<Core>,
    url: Url,
    transport: &'static dyn Transport,
    state: Mutex<ListenState>,
    pub(super) tally: Tally,
    me: Weak<Self>,
}

struct ListenState {
    options: EndpointOptions,
    acceptor: Option<Arc<dyn Acceptor>>,
    key: Option<usize>,
    closed: bool,
    timer: Option<TimerKey>,
    started: bool,
    /// Handshakes under way, by number.
    shaking: BTreeMap<u64, Weak<Shaking>>,
    last_shaking: u64,
    /// Descriptors wait for a handshake to end.
    full: bool,
}

impl Listening {
    pub(crate) fn new(core: &Arc<Core>, url: &str) -> Result<Arc<Self>> {
        let url: Url = url.parse()?;
        url.check_listen()?;
        let transport = transports::find(&url)?;
        let options = core.options().endpoint;
        drop(core.open()?);
        Ok(Arc::new_cyclic(|me| Self {
            core: Arc::downgrade(core),
            url,
            transport,
            state: Mutex::new(ListenState {
                options,
                acceptor: None,
                key: None,
                closed: false,
                timer: None,
                started: false,
                shaking: BTreeMap::new(),
                last_shaking: 0,
                full: false,
            }),
            tally: Tally::default(),
            me: me.clone(),
        }))
    }

    pub(crate) fn options(&self) -> EndpointOptions {
        lock(&self.state).options.clone()
    }

    pub(crate) fn stats(self: &Arc<Self>) -> EndpointStats {
        let this = Endpoint::Listener(self.clone());
        let core = self.core.upgrade();
        core.map_or_else(EndpointStats::default, |core| core.endpoint_stats(&this))
    }

    /// Changes the options. Those that shape the listening end itself are refused once it listens.
    pub(crate) fn set_options(&self, options: &EndpointOptions) -> Result<()> {
        options.check()?;
        if lock(&self.state).acceptor.is_some() {
            self.transport.check_listening(options)?;
        }
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Error::Closed);
        }
        if state.acceptor.is_some() && state.options.permissions != options.permissions {
            return Err(Error::Busy);
        }
        state.options.clone_from(options);
        Ok(())
    }

    /// The URL, with the port it really has once it listens.
    pub(crate) fn url(&self) -> Url {
        let state = lock(&self.state);
        state
            .acceptor
            .as_ref()
            .map_or_else(|| self.url.clone(), |one| one.url().clone())
    }

    /// The address it listens at.
    pub(crate) fn address(&self) -> Result<Address> {
        let state = lock(&self.state);
        let acceptor = state.acceptor.as_ref();
        Ok(acceptor
            .ok_or(Error::InvalidState("the listener was not started"))?
            .address())
    }

    /// Puts a descriptor in the inbox of a `socket://` listener.
    pub(crate) fn hand_over(&self, put: impl FnOnce(&Inbox) -> Result<()>) -> Result<()> {
        let state = lock(&self.state);
        let acceptor = state.acceptor.clone();
        drop(state);
        let acceptor = acceptor.ok_or(Error::InvalidState("the listener was not started"))?;
        let inbox = acceptor.inbox();
        put(inbox.ok_or(Error::NotSupported(
            "only socket:// listeners take descriptors",
        ))?)
    }

    // ---- starting and stopping ----

    /// Starts listening. If that fails the listener may be started again.
    pub(crate) fn start(self: &Arc<Self>) -> Result<()> {
        let core = self.core.upgrade().ok_or(Error::Closed)?;
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Error::Closed);
        }
        if state.started {
            return Err(Error::InvalidState("the listener was started already"));
        }
        state.started = true;
        let setup = setup(&core, &state.options);
        drop(state);
        let begun = self.begin(&core, &setup);
        if begun.is_err() {
            lock(&self.state).started = false;
            core.drop_endpoint(&Endpoint::Listener(self.clone()));
        }
        begun
    }

    fn begin(self: &Arc<Self>, core: &Arc<Core>, setup: &Setup) -> Result<()> {
        let me = self.me.clone();
        let arrived = Arc::new(move || {
            if let Some(me) = me.upgrade() {
                me.accept();
            }
        });
        let acceptor: Arc<dyn Acceptor> =
            Arc::from(self.transport.listen(&self.url, setup, arrived)?);
        core.register_endpoint(Endpoint::Listener(self.clone()))?;
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Error::Closed);
        }
        if let Some(fd) = acceptor.fd() {
            state.key = Some(core.reactor.add(fd, self.clone(), false)?);
        }
        state.acceptor = Some(acceptor);
        drop(state);
        self.accept();
        Ok(())
    }

    /// Stops listening.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let (acceptor, key, timer) = (state.acceptor.take(), state.key.take(), state.timer.take());
        let shaking = mem::take(&mut state.shaking);
        drop(state);
        for shaking in shaking.into_values().filter_map(|one| one.upgrade()) {
            shaking.abort(Error::Closed);
        }
        if let Some(acceptor) = &acceptor {
            acceptor.stop();
        }
        if let Some(core) = self.core.upgrade() {
            if let (Some(fd), Some(key)) = (acceptor.as_ref().and_then(|one| one.fd()), key) {
                core.reactor.remove(fd, key);
            }
            if let Some(timer) = timer {
                core.reactor.cancel_timer(timer);
            }
        }
    }

    /// Stops, and closes the pipes.
    pub(crate) fn close(self: &Arc<Self>) {
        self.stop();
        if let Some(core) = self.core.upgrade() {
            core.drop_endpoint(&Endpoint::Listener(self.clone()));
        }
    }

    // ---- accepting ----

    /// Accepts what waits. Returns whether more may wait.
    fn accept(&self) -> bool {
        let Some(core) = self.core.upgrade() else {
            return false;
        };
        for _ in 0..ACCEPTS {
            let mut state = lock(&self.state);
            let Some(acceptor) = state.acceptor.clone() else {
                return false;
            };
            if state.shaking.len() >= state.options.max_handshakes {
                if acceptor.inbox().is_some() {
                    // Descriptors that the program hands over wait for their turn.
                    state.full = true;
                    return false;
                }
                // Silent peers must not keep others out: the one that was silent longest goes.
                let oldest = state
                    .shaking
                    .pop_first()
                    .and_then(|(_, oldest)| oldest.upgrade());
                drop(state);
                if let Some(oldest) = oldest {
                    oldest.abort(Error::Busy);
                }
                continue;
            }
            state.last_shaking += 1;
            let number = state.last_shaking;
            state.shaking.insert(number, Weak::new());
            let setup = setup(&core, &state.options);
            drop(state);
            match acceptor.accept(&setup) {
                Ok(handshake) => self.shake(&core, handshake, &setup, acceptor.url(), number),
                Err(error) => {
                    lock(&self.state).shaking.remove(&number);
                    if let Some(again) = self.accept_failed(&core, error) {
                        return again;
                    }
                }
            }
        }
        true
    }

    fn shake(
        &self,
        core: &Arc<Core>,
        handshake: Box<dyn transports::Handshake>,
        setup: &Setup,
        url: &Url,
        number: u64,
    ) {
        let me = self.me.clone();
        let shaking = Shaking::start(
            core.clone(),
            self.me.upgrade().map(Endpoint::Listener),
            url.to_string(),
            setup.recv_max,
            handshake,
            setup.options.handshake_timeout,
            move |_| {
                if let Some(me) = me.upgrade() {
                    me.shaken(number);
                }
            },
        );
        let mut state = lock(&self.state);
        if let Some(slot) = state.shaking.get_mut(&number) {
            *slot = Arc::downgrade(&shaking);
        }
        let closed = state.closed;
        drop(state);
        if closed {
            shaking.abort(Error::Closed);
        }
    }

    /// Whether a pipe is still wanted. Called with the socket's lock held.
    pub(super) fn pipe_added(&self) -> bool {
        !lock(&self.state).closed
    }

    /// A handshake is over.
    fn shaken(&self, number: u64) {
        let mut state = lock(&self.state);
        state.shaking.remove(&number);
        let was_full = mem::take(&mut state.full);
        drop(state);
        if was_full {
            while self.accept() {}
        }
    }

    /// What to do after a failed accept: `None` to go on, else whether to be called again.
    fn accept_failed(&self, core: &Arc<Core>, error: io::Error) -> Option<bool> {
        match error.kind() {
            io::ErrorKind::WouldBlock => return Some(false),
            io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset => return None,
            _ => {}
        }
        let mut state = lock(&self.state);
        if state.closed {
            return Some(false);
        }
        if state.timer.is_none()
            && let (Some(at), Some(me)) = (after(REST), self.me.upgrade())
        {
            state.timer = Some(core.reactor.set_timer(at, me));
        }
        drop(state);
        let error = Error::from(error);
        self.tally.failed(&error);
        core.accept_failed(self.url().to_string(), error);
        Some(false)
    }
}

impl Source for Listening {
    fn ready(self: Arc<Self>, _: poller::Event) -> bool {
        self.accept()
    }
}

impl Timed for Listening {
    fn fire(self: Arc<Self>) {
        lock(&self.state).timer = None;
        while self.accept() {}
    }
}

impl Core {
    fn accept_failed(&self, url: String, reason: Error) {
        let mut state = self.lock();
        state.stats.accepts_failed += 1;
        state.world.tell(Event::AcceptFailed { url, reason });
        self.finish(state);
    }
}

fn setup(core: &Core, options: &EndpointOptions) -> Setup {
    Setup {
        protocol: core.info.id,
        recv_max: options.recv_max,
        options: options.clone(),
    }
}

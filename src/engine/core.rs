//! A socket's core: its machine, its world, and the operations of its users.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use std::time::{Duration, Instant};

use super::endpoint::Endpoint;
use super::events::{Filter, Monitor, Observer, Observers};
use super::lock;
use super::pipe::{PipeInfo, PipeStats};
use super::reactor::Reactor;
use super::ready::Shown;
use super::spin::Spin;
use super::stats::Counters;
use super::timers::{Timed, TimerKey};
use super::world::World;
use crate::error::{Error, Result};
use crate::message::PipeId;
use crate::options::SocketOptions;
use crate::protocols::{CtxId, OpId, Protocol, ProtocolInfo};
use crate::sync::{Mutex, MutexGuard};
use crate::transports::Otherwise;

/// A socket. Handles, endpoints and pipes share it.
pub(crate) struct Core {
    pub(crate) id: u32,
    pub(crate) info: ProtocolInfo,
    pub(crate) raw: bool,
    pub(crate) reactor: &'static Reactor,
    pub(super) state: Mutex<State>,
    /// Counts what happened to the pipes, for threads that spin.
    pub(super) changes: AtomicU32,
    pub(super) spin: Spin,
    pub(super) observers: Observers,
    pub(super) shown: Shown,
    options: Mutex<SocketOptions>,
    /// The socket's own time-outs in nanoseconds, where sending and receiving find them without a lock.
    pub(crate) timeouts: Timeouts,
    pub(super) me: Weak<Self>,
}

/// Everything that the lock guards.
pub(super) struct State {
    pub(super) machine: Box<dyn Protocol>,
    pub(super) world: World,
    pub(super) phase: Phase,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) stats: Counters,
    /// Whether output is held back somewhere, so that the reactor flushes it.
    pub(super) batching: bool,
    /// Whether a descriptor shows what the socket could do.
    pub(super) shows: bool,
    /// How the receive queue's user keeps up; see [`Pull`].
    pub(super) pull: Pull,
    timer: Option<TimerKey>,
    last_op: u64,
    last_ctx: u32,
}

/// How far a socket is on its way to being closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Its users are gone, what they sent is still on its way.
    Closing,
    /// Its pipes only wait for their peers to have read everything.
    Finishing,
    Closed,
}

/// Whether somebody takes messages as they come. If so, a full receive queue leaves them with the pipe for a
/// moment; if not, the machine drops as its protocol says.
#[derive(Default)]
pub(super) struct Pull {
    pub(super) active: bool,
    pub(super) attempts: u64,
    pub(super) watched: Option<u64>,
}

/// A send and a receive time-out, to be read on every operation.
pub(crate) struct Timeouts {
    send: AtomicU64,
    recv: AtomicU64,
}

pub(super) type Guard<'a> = MutexGuard<'a, State>;

/// How long an operation may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// Only as long as it takes to try.
    Try,
    /// As long as the socket or context says.
    Default,
    /// This long.
    For(Duration),
}

impl Core {
    /// A new, open socket around a machine.
    pub(crate) fn new(
        machine: Box<dyn Protocol>,
        raw: bool,
        options: &SocketOptions,
    ) -> Result<Arc<Self>> {
        static LAST_ID: AtomicU32 = AtomicU32::new(0);
        options.check()?;
        let reactor = Reactor::start()?;
        let info = machine.info();
        let core = Arc::new_cyclic(|me| Self {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed).wrapping_add(1),
            info,
            raw,
            reactor,
            state: Mutex::new(State {
                machine,
                world: World::default(),
                phase: Phase::Open,
                endpoints: Vec::new(),
                stats: Counters::default(),
                batching: false,
                shows: false,
                pull: Pull::default(),
                timer: None,
                last_op: 0,
                last_ctx: 0,
            }),
            changes: AtomicU32::new(0),
            spin: Spin::new(options.spin),
            observers: Observers::default(),
            shown: Shown::default(),
            options: Mutex::new(SocketOptions::default()),
            timeouts: Timeouts::new(),
            me: me.clone(),
        });
        core.set_options(options)?;
        Ok(core)
    }

    // ---- options ----

    /// The options in force.
    pub(crate) fn options(&self) -> SocketOptions {
        lock(&self.options).clone()
    }

    /// Changes the options; nothing changes if one is wrong.
    pub(crate) fn set_options(&self, options: &SocketOptions) -> Result<()> {
        options.check()?;
        let mut present = lock(&self.options);
        let mut state = self.open()?;
        let State { machine, world, .. } = &mut *state;
        let mut undo = Vec::new();
        for option in options.for_protocol() {
            if present.for_protocol().any(|same| same == option) {
                continue;
            }
            if let Err(error) = machine.set_option(CtxId::SOCKET, option, world) {
                for option in undo {
                    // It was in force before, so the machine takes it again.
                    let _ = machine.set_option(CtxId::SOCKET, option, world);
                }
                drop(present);
                self.finish(state);
                return Err(error);
            }
            let kind = std::mem::discriminant(&option);
            undo.extend(
                present
                    .for_protocol()
                    .find(|old| std::mem::discriminant(old) == kind),
            );
        }
        present.clone_from(options);
        self.timeouts
            .set(options.send_timeout, options.recv_timeout);
        self.spin.set_budget(options.spin);
        drop(present);
        self.finish(state);
        Ok(())
    }

    /// Sets an option of one context.
    pub(crate) fn set_context_options(&self, ctx: CtxId, options: &SocketOptions) -> Result<()> {
        options.check()?;
        let mut state = self.open()?;
        let State { machine, world, .. } = &mut *state;
        let result = options
            .for_protocol()
            .try_for_each(|option| machine.set_option(ctx, option, world));
        self.finish(state);
        result
    }

    /// The socket's name: the one it was given, or its number.
    pub(crate) fn name(&self) -> String {
        lock(&self.options)
            .name
            .clone()
            .unwrap_or_else(|| self.id.to_string())
    }

    // ---- contexts and subscriptions ----

    pub(crate) fn open_context(&self) -> Result<CtxId> {
        let mut state = self.open()?;
        state.last_ctx += 1;
        let ctx = CtxId(state.last_ctx);
        state.machine.open_context(ctx).map(|()| ctx)
    }

    pub(crate) fn close_context(&self, ctx: CtxId) {
        let mut state = self.lock();
        let State { machine, world, .. } = &mut *state;
        machine.close_context(ctx, world);
        world.receivers.forget(ctx, &mut world.wakes);
        world.senders.forget(ctx, &mut world.wakes);
        self.finish(state);
    }

    pub(crate) fn subscribe(&self, ctx: CtxId, topic: &[u8]) -> Result<()> {
        self.open()?.machine.subscribe(ctx, topic)
    }

    pub(crate) fn unsubscribe(&self, ctx: CtxId, topic: &[u8]) -> Result<()> {
        let mut state = self.open()?;
        let unsubscribed = state.machine.unsubscribe(ctx, topic);
        self.finish(state);
        unsubscribed
    }

    /// Lets the machine look at what it shares with others, and at the time.
    #[cfg(feature = "broker")]
    pub(crate) fn poke(&self) {
        let mut state = self.lock();
        let State { machine, world, .. } = &mut *state;
        machine.timeout(world);
        self.finish(state);
    }

    // ---- looking ----

    /// Whether a receive on the default context would give a message now.
    pub(crate) fn can_recv(&self) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Open && !state.machine.can_recv() {
            state = self.pump_for_receiver(state, Otherwise::GivesUp).0;
        }
        let ready = state.phase == Phase::Open && state.machine.can_recv();
        self.finish(state);
        ready
    }

    /// Whether a send on the default context would be accepted now.
    pub(crate) fn can_send(&self) -> bool {
        let state = self.relieve(self.lock());
        let ready = state.phase == Phase::Open && state.machine.can_send();
        self.finish(state);
        ready
    }

    pub(crate) fn set_filter(&self, filter: Arc<Filter>) {
        self.observers.set_filter(filter);
    }

    pub(crate) fn set_observer(&self, observer: Arc<Observer>) {
        self.observers.set_observer(observer);
    }

    pub(crate) fn monitor(&self) -> Monitor {
        self.observers.monitor()
    }

    pub(crate) fn pipes(&self) -> Vec<Arc<PipeInfo>> {
        let state = self.lock();
        let mut pipes: Vec<_> = state
            .world
            .pipes
            .values()
            .map(|pipe| pipe.info.clone())
            .collect();
        pipes.sort_by_key(|pipe| pipe.id);
        pipes
    }

    pub(crate) fn pipe_stats(&self, id: PipeId) -> Option<PipeStats> {
        let state = self.lock();
        let mut stats = state.world.pipes.get(id)?.stats();
        state.machine.unreceived(&mut |message| {
            stats.rx_queued_msgs += u64::from(message.pipe() == Some(id));
        });
        Some(stats)
    }

    // ---- the lock ----

    pub(super) fn lock(&self) -> Guard<'_> {
        lock(&self.state)
    }

    /// The state of a socket that its users may still use.
    pub(super) fn open(&self) -> Result<Guard<'_>> {
        let state = self.lock();
        if state.phase == Phase::Open {
            Ok(state)
        } else {
            Err(Error::Closed)
        }
    }

    /// Does what the machine asked for, gives up the lock, and only then wakes and tells others.
    #[inline]
    pub(super) fn finish(&self, state: Guard<'_>) {
        let mut state = self.settle(state);
        if !state.world.unread.is_empty() {
            state = self.serve_others(state);
        }
        if state.shows {
            state = self.show_readiness(state);
        }
        if std::mem::take(&mut state.world.asked_time)
            && let Some(at) = state.machine.deadline()
        {
            self.arm_timer(&mut state, at);
        }
        let World {
            wakes,
            events,
            gone,
            ..
        } = &state.world;
        if !wakes.is_empty() || !events.is_empty() || !gone.is_empty() {
            self.tell(state);
        }
    }

    #[cold]
    fn tell(&self, mut state: Guard<'_>) {
        let wakes = std::mem::take(&mut state.world.wakes);
        let gone = std::mem::take(&mut state.world.gone);
        let teller = !state.world.events.is_empty() && !state.world.telling;
        state.world.telling |= teller;
        drop(state);
        drop(gone);
        for waker in wakes {
            waker.wake();
        }
        if !teller {
            return;
        }
        // One thread tells at a time, so that observers see events in the order they happened.
        loop {
            let mut state = self.lock();
            let Some(event) = state.world.events.pop_front() else {
                state.world.telling = false;
                drop(state);
                return self.release_observers();
            };
            drop(state);
            #[cfg(feature = "tracing")]
            self.trace(&event);
            self.observers.tell(event);
        }
    }

    /// Lets go of the observers of a closed socket, which may hold the socket itself.
    pub(super) fn release_observers(&self) {
        let state = self.lock();
        let over = state.phase == Phase::Closed && !state.world.telling;
        let over = over && state.world.events.is_empty();
        drop(state);
        if over {
            self.observers.clear();
        }
    }

    fn arm_timer(&self, state: &mut State, at: Instant) {
        if state.timer.is_some_and(|timer| timer.at <= at) {
            return;
        }
        if let Some(timer) = state.timer.take() {
            self.reactor.cancel_timer(timer);
        }
        state.timer = Some(
            self.reactor
                .set_timer(at, Arc::new(MachineTimer(self.me.clone()))),
        );
    }
}

impl State {
    pub(super) fn next_op(&mut self) -> OpId {
        self.last_op += 1;
        OpId(self.last_op)
    }

    /// Whether everything that was accepted has gone to the kernel.
    pub(super) fn is_flushed(&self) -> bool {
        self.machine.unsent() == 0 && self.world.pipes.values().all(|pipe| pipe.tx.is_idle())
    }

    pub(super) fn forget_timer(&mut self) -> Option<TimerKey> {
        self.timer.take()
    }
}

/// Tells a socket's machine that time has passed.
struct MachineTimer(Weak<Core>);

impl Timed for MachineTimer {
    fn fire(self: Arc<Self>) {
        let Some(core) = self.0.upgrade() else { return };
        let mut state = core.lock();
        state.timer = None;
        let State { machine, world, .. } = &mut *state;
        machine.timeout(world);
        core.finish(state);
    }
}

impl Timeouts {
    pub(crate) fn new() -> Self {
        Self {
            send: AtomicU64::new(u64::MAX),
            recv: AtomicU64::new(u64::MAX),
        }
    }

    pub(crate) fn set(&self, send: Option<Duration>, recv: Option<Duration>) {
        let nanos = |time: Option<Duration>| {
            time.map_or(u64::MAX, |time| {
                u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
            })
        };
        self.send.store(nanos(send), Ordering::Relaxed);
        self.recv.store(nanos(recv), Ordering::Relaxed);
    }

    pub(crate) fn send(&self) -> Option<Duration> {
        duration(self.send.load(Ordering::Relaxed))
    }

    pub(crate) fn recv(&self) -> Option<Duration> {
        duration(self.recv.load(Ordering::Relaxed))
    }
}

/// When a time is over; `None` if that is beyond all times.
pub(super) fn after(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}

fn duration(nanos: u64) -> Option<Duration> {
    (nanos != u64::MAX).then(|| Duration::from_nanos(nanos))
}

//! Models: loom runs what a few threads do with real sockets in every order in which they can come, with each value
//! that the memory model lets an atomic load see.
//!
//! Real are the sockets' cores with their machines, worlds and lists of waiters, the parkers, and connections in
//! process with their demand. Stood in for are the reactor (`reactor.rs`), which has neither descriptors nor a
//! background thread, the wait for descriptors (`few.rs`), and time: deadlines are over at once or never.
//!
//! A wait that nobody ends shows as a deadlock. A model stops at a number of preemptions in a run, because more of them
//! find little and take long; `LOOM_MAX_PREEMPTIONS` sets another one. `./test.sh models` runs them.
//!
//! Loom takes the first value of an atomic for one that was not stored with `SeqCst`, so that even a `SeqCst` load may
//! still see it. Where that matters a model begins after something was stored.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use loom::thread::JoinHandle;

use super::core::{Core, Patience};
use crate::error::Result;
use crate::message::Message;
use crate::options::SocketOptions;
use crate::protocols::pull::Pull;
use crate::protocols::push::Push;
use crate::protocols::{CtxId, Protocol};
use crate::transports::{self, Connection, Established};

mod closing;
mod demand;
mod park;
mod waiters;

const SOCKET: CtxId = CtxId::SOCKET;
/// More than a connection in process takes before its sender has to wait.
const LONG: usize = 40 * 1024;
/// In machine words; loom's own is too small for a socket's calls.
const STACK: usize = 32 * 1024;
/// Ends of runs that are too long to be anything but a loop without an end.
const STEPS: usize = 20_000;

/// Runs a model in every order in which at most `preemptions` times a thread is stopped where it could go on.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = STEPS;
    let model = Arc::new(model);
    builder.check(move || {
        let model = model.clone();
        spawn(move || model()).join().unwrap();
    });
}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let builder = loom::thread::Builder::new().stack_size(STACK);
    builder.spawn(work).unwrap()
}

/// A thread that does something with a socket.
fn on<T: Send + 'static>(
    core: &Arc<Core>,
    work: impl FnOnce(&Arc<Core>) -> T + Send + 'static,
) -> JoinHandle<T> {
    let core = core.clone();
    spawn(move || work(&core))
}

// ---- sockets ----

fn socket(machine: impl Protocol + 'static) -> Arc<Core> {
    let options = SocketOptions::new()
        .spin(Duration::ZERO)
        .linger(Duration::from_secs(3600));
    Core::new(Box::new(machine), false, &options).unwrap()
}

fn attach(core: &Arc<Core>, connection: Arc<dyn Connection>) {
    let protocol = core.info.peer;
    let established = Established {
        connection,
        protocol,
    };
    core.attach(established, None, String::new(), 0).unwrap();
}

/// A push and a pull socket that are connected.
fn connected() -> (Arc<Core>, Arc<Core>) {
    let (push, pull) = (socket(Push::new(false)), socket(Pull::new()));
    let (here, there) = transports::ends();
    attach(&push, here);
    attach(&pull, there);
    (push, pull)
}

/// Messages are known by their first byte.
fn send(core: &Core, name: u8, patience: Patience) -> Result<()> {
    send_long(core, name, 1, patience)
}

fn send_long(core: &Core, name: u8, length: usize, patience: Patience) -> Result<()> {
    let mut message = Message::from(vec![name; length]);
    let sent = core.send(SOCKET, &mut message, patience, &core.timeouts);
    if sent.is_err() {
        assert_eq!(message.body(), vec![name; length]);
    }
    sent
}

fn recv(core: &Core, patience: Patience) -> Result<u8> {
    let mut message = Message::new();
    let received = core.recv(SOCKET, &mut message, patience, &core.timeouts);
    received.map(|()| message.body()[0])
}

/// What is left for receives.
fn rest(core: &Core) -> Vec<u8> {
    std::iter::from_fn(|| recv(core, Patience::Try).ok()).collect()
}

// ---- tasks ----

/// Counts how often a task was woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Woken {
    fn new() -> (Arc<Self>, Waker) {
        let woken = Arc::new(Self::default());
        (woken.clone(), Waker::from(woken))
    }

    fn times(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

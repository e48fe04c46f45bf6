//! Descriptors that show whether a socket could send or receive, for event loops of others.
//!
//! Each is made by the first call that asks for it. From then on every operation ends with a look at the machine, and
//! a system call when the answer has changed. Before that all of it costs one branch.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::core::{Core, Guard, Phase};
use super::reactor::{Dependent, Reactor};
use crate::error::{Error, Result};
use crate::transports::Otherwise;
use signal::Signal;

/// The descriptors of a socket that were asked for.
#[derive(Default)]
pub(super) struct Shown {
    recv: OnceLock<Lamp>,
    send: OnceLock<Lamp>,
}

/// A descriptor that is readable while it is on. Switched under the socket's lock.
struct Lamp {
    signal: Signal,
    on: AtomicBool,
    _watched: Dependent,
}

impl Lamp {
    fn new(reactor: &'static Reactor) -> io::Result<Self> {
        Ok(Self {
            signal: Signal::new()?,
            on: AtomicBool::new(false),
            _watched: reactor.depend(),
        })
    }

    fn switch(&self, on: bool) {
        if self.on.swap(on, Ordering::Relaxed) == on {
            return;
        }
        if on {
            self.signal.raise();
        } else {
            self.signal.lower();
        }
    }
}

impl Core {
    /// A descriptor that is readable while a receive on the default context has something to say.
    pub(crate) fn recv_fd(&self) -> Result<BorrowedFd<'_>> {
        if !self.info.receives() {
            return Err(Error::NotSupported("this protocol does not receive"));
        }
        self.show(&self.shown.recv)
    }

    /// A descriptor that is readable while a send on the default context has something to say.
    pub(crate) fn send_fd(&self) -> Result<BorrowedFd<'_>> {
        if !self.info.sends() {
            return Err(Error::NotSupported("this protocol does not send"));
        }
        self.show(&self.shown.send)
    }

    fn show<'a>(&'a self, slot: &'a OnceLock<Lamp>) -> Result<BorrowedFd<'a>> {
        let mut state = self.open()?;
        if slot.get().is_none() {
            // Only this thread is here: it has the lock.
            let _ = slot.set(Lamp::new(self.reactor)?);
            state.shows = true;
        }
        self.finish(state);
        let lamp = slot.get().ok_or(Error::Closed)?;
        Ok(lamp.signal.as_fd())
    }

    /// Makes the descriptors say what is so.
    #[cold]
    pub(super) fn show_readiness<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        if let Some(lamp) = self.shown.recv.get() {
            // What is left unread on a pipe is told by no event: whoever polls waits as a receiver does.
            let mut progress = true;
            while progress && state.phase == Phase::Open && !state.machine.can_recv() {
                (state, progress) = self.pump_for_receiver(state, Otherwise::Waits);
            }
            state = self.settle(state);
            lamp.switch(state.phase != Phase::Open || state.machine.can_recv());
        }
        if let Some(lamp) = self.shown.send.get() {
            lamp.switch(state.phase != Phase::Open || state.machine.can_send());
        }
        state
    }
}

/// Linux has a descriptor made for this.
#[cfg(all(target_os = "linux", not(wirebird_portable_poller)))]
mod signal {
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    pub(super) struct Signal(OwnedFd);

    impl Signal {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(eventfd(
                0,
                EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
            )?))
        }

        pub(super) fn raise(&self) {
            // Fails only when it is raised already, as a program can do that has no business to.
            let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }

        pub(super) fn lower(&self) {
            let _ = rustix::io::read(&self.0, &mut [0; 8]);
        }
    }

    impl AsFd for Signal {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}

/// Elsewhere it is the end of a stream with or without a byte in it.
#[cfg(not(all(target_os = "linux", not(wirebird_portable_poller))))]
mod signal {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;

    pub(super) struct Signal {
        here: UnixStream,
        there: UnixStream,
    }

    impl Signal {
        pub(super) fn new() -> io::Result<Self> {
            let (here, there) = UnixStream::pair()?;
            here.set_nonblocking(true)?;
            there.set_nonblocking(true)?;
            Ok(Self { here, there })
        }

        pub(super) fn raise(&self) {
            // There is room for the one byte.
            let _ = (&self.here).write(&[1]);
        }

        pub(super) fn lower(&self) {
            let _ = (&self.there).read(&mut [0]);
        }
    }

    impl AsFd for Signal {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.there.as_fd()
        }
    }
}

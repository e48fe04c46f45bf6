//! The poller on systems other than Linux, over the `polling` crate.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use polling::PollMode;

use super::Event;

/// The system's event queue: kqueue on BSD and macOS.
pub(crate) struct Poller(polling::Poller);

/// The outcome of one wait.
pub(crate) struct Events(polling::Events);

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let poller = polling::Poller::new()?;
        if !poller.supports_edge() {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        Ok(Self(poller))
    }

    /// Starts watching a descriptor for reading, and for writing if so asked.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: usize, writable: bool) -> io::Result<()> {
        // SAFETY: every caller keeps the descriptor open until it has called `delete`, or closes it, which takes
        // it out of the queue.
        unsafe {
            self.0
                .add_with_mode(fd.as_raw_fd(), interest(key, writable), PollMode::Edge)
        }
    }

    /// Changes whether writing is watched. What is ready at this moment is reported again.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, key: usize, writable: bool) -> io::Result<()> {
        self.0
            .modify_with_mode(fd, interest(key, writable), PollMode::Edge)
    }

    /// Stops watching a descriptor.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.0.delete(fd)
    }

    /// Waits until something happens, [`notify`](Self::notify) is called, or the time is over.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        match self.0.wait(&mut events.0, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other.map(drop),
        }
    }

    /// Ends the wait that is going on, or else the next one.
    pub(crate) fn notify(&self) {
        // It can only fail where the queue itself is broken, and then the wait ends too.
        let _ = self.0.notify();
    }
}

impl Events {
    /// What happened.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> {
        self.0.iter().map(|event| Event {
            key: event.key,
            readable: event.readable,
            writable: event.writable,
            // The crate does not tell a hang-up from an arrival, so each may be one.
            hangup: event.readable,
        })
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(polling::Events::new())
    }
}

fn interest(key: usize, writable: bool) -> polling::Event {
    polling::Event::new(key, true, writable)
}

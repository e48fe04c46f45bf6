//! The poller on Linux.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::io::Errno;

use super::Event;

/// Key of the descriptor behind [`Poller::notify`].
const NOTIFY: u64 = u64::MAX;
/// No time at all.
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
/// Most events taken in one wait.
const BATCH: usize = 256;

/// An epoll instance and the event counter that interrupts a wait on it.
pub(crate) struct Poller {
    epoll: OwnedFd,
    notify: OwnedFd,
}

/// The outcome of one wait.
pub(crate) struct Events(Vec<epoll::Event>);

// SAFETY: the pointer that the kernel's record may hold is only ever used as the number it was set as.
unsafe impl Send for Events {}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let notify = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // Edge-triggered, so that it never has to be read: every write to it is a new edge.
        epoll::add(
            &epoll,
            &notify,
            epoll::EventData::new_u64(NOTIFY),
            flags(false),
        )?;
        Ok(Self { epoll, notify })
    }

    /// Starts watching a descriptor for reading, and for writing if so asked.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: usize, writable: bool) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, data(key), flags(writable))?)
    }

    /// Changes whether writing is watched. What is ready at this moment is reported again.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, key: usize, writable: bool) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, data(key), flags(writable))?)
    }

    /// Stops watching a descriptor.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits until something happens, [`notify`](Self::notify) is called, or the time is over.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        let timeout = timeout.map(|time| Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        let waited = match timeout {
            // The call itself counts in milliseconds, and rounds up.
            Some(time) if time.tv_sec == 0 && time.tv_nsec != 0 => {
                let mut this = [PollFd::new(&self.epoll, PollFlags::IN)];
                poll(&mut this, Some(&time)).and_then(|_| self.take(events, Some(&NOW)))
            }
            _ => self.take(events, timeout.as_ref()),
        };
        match waited {
            Err(Errno::INTR) => Ok(()),
            other => Ok(other?),
        }
    }

    fn take(&self, events: &mut Events, timeout: Option<&Timespec>) -> rustix::io::Result<()> {
        epoll::wait(&self.epoll, spare_capacity(&mut events.0), timeout).map(drop)
    }

    /// Ends the wait that is going on, or else the next one.
    pub(crate) fn notify(&self) {
        // The counter can only overflow after 2^64 calls, and a full one would end the wait as well.
        let _ = rustix::io::write(&self.notify, &1_u64.to_ne_bytes());
    }
}

impl Events {
    /// What happened, without the notifications.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> {
        self.0.iter().filter_map(|event| {
            let (flags, data) = (event.flags, event.data.u64());
            let hangup = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
            (data != NOTIFY).then(|| Event {
                key: data as usize, // keys come from a usize
                readable: flags.intersects(epoll::EventFlags::IN | hangup),
                writable: flags.intersects(
                    epoll::EventFlags::OUT | epoll::EventFlags::HUP | epoll::EventFlags::ERR,
                ),
                hangup: flags.intersects(hangup),
            })
        })
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(Vec::with_capacity(BATCH))
    }
}

fn data(key: usize) -> epoll::EventData {
    epoll::EventData::new_u64(key as u64)
}

fn flags(writable: bool) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    flags.set(epoll::EventFlags::OUT, writable);
    flags
}

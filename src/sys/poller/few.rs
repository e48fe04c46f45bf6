//! Waiting for a few descriptors with one system call, without registering them anywhere.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// What wakes a thread that waits with [`wait_for_few`].
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
        )?))
    }

    /// Ends the wait that is on, or else the next one.
    pub(crate) fn ring(&self) {
        // It fails only when it has been rung more often than a counter of 64 bits can tell.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    fn silence(&self) {
        // It fails only when it was not rung.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

/// One descriptor to wait for: for something to read or an end, and for room to write if so said.
pub(crate) struct Awaited<'fd> {
    pub(crate) fd: BorrowedFd<'fd>,
    pub(crate) writable: bool,
    /// Set by the wait.
    pub(crate) ready: bool,
}

/// Most descriptors that can be waited for.
pub(crate) const FEW: usize = 4;

/// Waits until one of the descriptors is ready, the bell is rung, or the time is over.
pub(crate) fn wait_for_few(
    few: &mut [Awaited<'_>],
    bell: &Bell,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let rung = PollFd::new(&bell.0, PollFlags::IN);
    let mut fds: [PollFd<'_>; FEW + 1] = std::array::from_fn(|_| rung.clone());
    for (slot, awaited) in fds.iter_mut().zip(few.iter()) {
        let mut flags = PollFlags::IN | PollFlags::RDHUP;
        flags.set(PollFlags::OUT, awaited.writable);
        *slot = PollFd::from_borrowed_fd(awaited.fd.as_fd(), flags);
    }
    let count = few.len().min(FEW);
    let timeout = timeout.map(|time| Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    });
    match poll(&mut fds[..=count], timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    if !fds[count].revents().is_empty() {
        bell.silence();
    }
    let ready = fds.map(|fd| !fd.revents().is_empty());
    for (awaited, ready) in few.iter_mut().zip(ready) {
        awaited.ready = ready;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    const SOON: Option<Duration> = Some(Duration::from_secs(5));

    fn awaited(stream: &UnixStream) -> Awaited<'_> {
        Awaited {
            fd: stream.as_fd(),
            writable: false,
            ready: false,
        }
    }

    #[test]
    fn only_what_is_ready_is_said_to_be() {
        let bell = Bell::new().unwrap();
        let (one, other) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        (&other.1).write_all(b"x").unwrap();
        let mut few = [awaited(&one.0), awaited(&other.0)];
        wait_for_few(&mut few, &bell, SOON).unwrap();
        assert_eq!(few.map(|awaited| awaited.ready), [false, true]);
    }

    #[test]
    fn the_end_of_a_stream_is_ready() {
        let bell = Bell::new().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut few = [awaited(&ours)];
        wait_for_few(&mut few, &bell, SOON).unwrap();
        assert!(few[0].ready);
    }

    #[test]
    fn the_bell_ends_one_wait() {
        let bell = Bell::new().unwrap();
        bell.ring();
        bell.ring();
        wait_for_few(&mut [], &bell, SOON).unwrap();
        let left = rustix::io::read(&bell.0, &mut [0; 8]);
        assert_eq!(left, Err(Errno::AGAIN));
    }
}
